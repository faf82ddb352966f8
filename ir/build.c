/* build.c: one typed function per op, so that importers and passes read like mathematics.
 *
 * Nothing here knows more than emit: builders gather attributes, broadcast operands as NumPy does,
 * and leave out nodes that change nothing.  Poison in gives poison out, silently. Source of the
 * broadcasting rule: ONNX, docs/Broadcasting.md (multidirectional).
 */
#include <string.h>

#include "ir.h"
#include "ops/infer.h"

#define INT(k, v)     ((Attr){.key = ATTR_##k, .as.i = (v)})
#define INTS(k, v, c) ((Attr){.key = ATTR_##k, .n = (c), .as.ints = (v)})
#define DIMS(k, v, c) ((Attr){.key = ATTR_##k, .n = (c), .as.dims = (v)})
#define DTYPE_OF(v)   ((Attr){.key = ATTR_dtype, .as.dtype = (v)})
#define EMIT(op, in, n_in, ...)                                                                    \
    emit(g, OP_##op, loc, in, n_in, (const Attr[]){__VA_ARGS__},                                   \
         COUNT(((const Attr[]){__VA_ARGS__})))

static const Val poison = {0};

/* ---- sources
 * ------------------------------------------------------------------------------------------------------
 */

Val b_param(Graph *g, Loc loc, const char *name, DType dtype, uint32_t rank, const Dim *dims) {
    return EMIT(param, NULL, 0, INT(index, g->params.n),
                {.key = ATTR_name, .as.text = name ? name : ""}, DTYPE_OF(dtype),
                DIMS(shape, dims, rank), INT(encoding, ENCODING_DENSE));
}

Val b_const(Graph *g, Loc loc, Const data, uint32_t rank, const Dim *dims) {
    return EMIT(const, NULL, 0, {.key = ATTR_data, .as.data = data},
                DTYPE_OF(const_info(g->cx, data)->dtype), DIMS(shape, dims, rank));
}

Val b_splat(Graph *g, Loc loc, DType dtype, Scalar value, uint32_t rank, const Dim *dims) {
    return b_const(g, loc, const_splat(g->cx, dtype, value), rank, dims);
}

Val b_scalar(Graph *g, Loc loc, DType dtype, double value) {
    Scalar x = scalar_convert(dtype, DT_f64, (Scalar){.f = value}, true);
    return b_splat(g, loc, dtype, x, 0, NULL);
}

Val b_int(Graph *g, Loc loc, DType dtype, int64_t value) {
    Scalar x = scalar_convert(dtype, DT_i64, (Scalar){.i = value}, true);
    return b_splat(g, loc, dtype, x, 0, NULL);
}

Val b_ints(Graph *g, Loc loc, const int64_t *values, uint32_t n) {
    const int64_t *kept = arena_copy(g->cx->arena, values, n * sizeof *values);
    Dim extent = dim_const(g->cx, n);
    return b_const(g, loc, const_data(g->cx, DT_i64, n, kept), 1, &extent);
}

Val b_iota(Graph *g, Loc loc, DType dtype, uint32_t rank, const Dim *dims, uint32_t axis) {
    return EMIT(iota, NULL, 0, DTYPE_OF(dtype), DIMS(shape, dims, rank), INT(axis, axis));
}

Val b_dim(Graph *g, Loc loc, Dim value) {
    return EMIT(dim, NULL, 0, {.key = ATTR_value, .as.dim = value});
}

/* ---- views
 * --------------------------------------------------------------------------------------------------------
 */

static bool same_shape(const Graph *g, Val x, uint32_t rank, const Dim *dims) {
    const TypeInfo *t = val_type(g, x);
    if (t->dtype == DT_none || t->rank != rank)
        return false;
    for (uint32_t i = 0; i < rank; i++)
        if (!dim_same(t->dims[i], dims[i]))
            return false;
    return true;
}

Val b_reshape(Graph *g, Loc loc, Val x, uint32_t rank, const Dim *dims) {
    if (same_shape(g, x, rank, dims))
        return x;
    return EMIT(reshape, &x, 1, DIMS(shape, dims, rank));
}

Val b_permute(Graph *g, Loc loc, Val x, const int64_t *perm) {
    if (x.id == 0)
        return poison;
    uint32_t rank = val_rank(g, x), in_place = 0;
    while (in_place < rank && perm[in_place] == in_place)
        in_place++;
    if (in_place == rank)
        return x;
    return EMIT(permute, &x, 1, INTS(perm, perm, rank));
}

Val b_broadcast(Graph *g, Loc loc, Val x, uint32_t rank, const Dim *dims, const int64_t *axes) {
    if (x.id == 0)
        return poison;
    return EMIT(broadcast, &x, 1, DIMS(shape, dims, rank), INTS(axes, axes, val_rank(g, x)));
}

Val b_broadcast_to(Graph *g, Loc loc, Val x, uint32_t rank, const Dim *dims) {
    if (x.id == 0 || same_shape(g, x, rank, dims))
        return x;
    uint32_t own = val_rank(g, x);
    if (own > rank) {
        diag_error(g->cx, loc, "broadcast: operand of rank %u cannot become rank %u", own, rank);
        return poison;
    }
    int64_t axes[MAX_RANK];
    for (uint32_t i = 0; i < own; i++)
        axes[i] = rank - own + i;
    return b_broadcast(g, loc, x, rank, dims, axes);
}

Val b_slice(Graph *g, Loc loc, Val x, const Dim *start, const int64_t *step, const Dim *dims) {
    if (x.id == 0)
        return poison;
    uint32_t rank = val_rank(g, x);
    return EMIT(slice, &x, 1, DIMS(start, start, rank), INTS(step, step, rank),
                DIMS(shape, dims, rank));
}

Val b_slice_axis(Graph *g, Loc loc, Val x, uint32_t axis, Dim start, Dim extent) {
    if (x.id == 0)
        return poison;
    uint32_t rank = val_rank(g, x);
    REQUIRE(g->cx, axis < rank);
    Dim starts[MAX_RANK], dims[MAX_RANK];
    int64_t steps[MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) {
        starts[i] = i == axis ? start : dim_const(g->cx, 0);
        dims[i] = i == axis ? extent : val_dim(g, x, i);
        steps[i] = 1;
    }
    if (dim_is(g->cx, start, 0) && dim_same(extent, val_dim(g, x, axis)))
        return x;
    return b_slice(g, loc, x, starts, steps, dims);
}

Val b_pad(Graph *g, Loc loc, Val x, Val fill, const Dim *low, const Dim *high,
          const int64_t *interior) {
    if (x.id == 0 || fill.id == 0)
        return poison;
    uint32_t rank = val_rank(g, x);
    return EMIT(pad, ((const Val[]){x, fill}), 2, DIMS(low, low, rank), DIMS(high, high, rank),
                INTS(interior, interior, rank));
}

Val b_concat(Graph *g, Loc loc, const Val *parts, uint32_t n, uint32_t axis) {
    if (n == 1)
        return parts[0];
    return EMIT(concat, parts, n, INT(axis, axis));
}

Val b_gather(Graph *g, Loc loc, Val x, Val indices, uint32_t axis, uint32_t batch) {
    return EMIT(gather, ((const Val[]){x, indices}), 2, INT(axis, axis), INT(batch, batch));
}

/* ---- elementwise
 * --------------------------------------------------------------------------------------------------
 */

static bool broadcasts(Graph *g, Loc loc, Dim from, Dim to, Dim a, Dim b) {
    Dim zeros[MAX_BROADCAST_CONDITIONS], zero = dim_const(g->cx, 0);
    uint32_t n = broadcast_conditions(g->cx, from, to, zeros);
    for (uint32_t i = 0; i < n; i++)
        if (!graph_guard(g, loc, REL_EQ, zeros[i], zero,
                         "extents %s and %s must be equal, or one of them 1", dim_string(g->cx, a),
                         dim_string(g->cx, b)))
            return false;
    return true;
}

/* b = min(a, K) with a constant K >= 2, as slicing a table of K rows to a leaves it.  Then a and b meet only where they
 * are equal: were a above K, neither would be 1. */
static bool is_clipped(Context *cx, Dim a, Dim b) {
    const Term *terms;
    uint32_t n = dim_terms(cx, b, &terms);
    for (uint32_t i = 0; i < n; i++) {
        if (terms[i].n != 1 || terms[i].coefficient != -1)
            continue;
        Atom atom = dim_atom(cx, terms[i].factors[0].atom);
        int64_t k;
        if (atom.kind != ATOM_MAX ||
            (!dim_const_value(cx, atom.a, &k) && !dim_const_value(cx, atom.b, &k)))
            continue;
        if (k >= 2 && dim_same(b, dim_min(cx, a, dim_const(cx, k))))
            return true;
    }
    return false;
}

Dim b_broadcast_dim(Graph *g, Loc loc, Dim a, Dim b) {
    Context *cx = g->cx;
    if (a.id == 0 || b.id == 0)
        return (Dim){0};
    if (dim_same(a, b) || dim_is(cx, b, 1))
        return a;
    if (dim_is(cx, a, 1))
        return b;
    if (is_clipped(cx, a, b) || is_clipped(cx, b, a)) {
        Dim whole = is_clipped(cx, a, b) ? a : b;
        bool equal = graph_guard(g, loc, REL_EQ, a, b, "extents %s and %s must be equal",
                                 dim_string(cx, a), dim_string(cx, b));
        return equal ? whole : (Dim){0};
    }
    Dim common = dim_bcast(cx, a, b);
    bool fine = broadcasts(g, loc, a, common, a, b) && broadcasts(g, loc, b, common, a, b);
    return fine ? common : (Dim){0};
}

static bool common_shape(Graph *g, Loc loc, const Val *in, uint32_t n, uint32_t *rank,
                         Dim dims[MAX_RANK]) {
    *rank = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (in[i].id == 0)
            return false;
        if (val_dtype(g, in[i]) == DT_none) {
            diag_error(g->cx, loc, "broadcast: operand %u is a tuple, a tensor expected", i);
            return false;
        }
        if (val_rank(g, in[i]) > *rank)
            *rank = val_rank(g, in[i]);
    }
    for (uint32_t axis = 0; axis < *rank; axis++) {
        dims[axis] = dim_const(g->cx, 1);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t missing = *rank - val_rank(g, in[i]);
            if (axis < missing)
                continue;
            dims[axis] = b_broadcast_dim(g, loc, dims[axis], val_dim(g, in[i], axis - missing));
        }
        if (dims[axis].id == 0)
            return false;
    }
    return true;
}

Val b_ew(Graph *g, Loc loc, Op op, const Val *in, uint32_t n) {
    enum { MAX_OPERANDS = 3 };
    REQUIRE(g->cx, n <= MAX_OPERANDS);
    Val wide[MAX_OPERANDS];
    uint32_t rank;
    Dim dims[MAX_RANK];
    if (!common_shape(g, loc, in, n, &rank, dims))
        return poison;
    for (uint32_t i = 0; i < n; i++)
        wide[i] = b_broadcast_to(g, loc, in[i], rank, dims);
    return emit(g, op, loc, wide, n, NULL, 0);
}

Val b_unary(Graph *g, Loc loc, Op op, Val x) { return emit(g, op, loc, &x, 1, NULL, 0); }

Val b_binary(Graph *g, Loc loc, Op op, Val a, Val b) {
    return b_ew(g, loc, op, (const Val[]){a, b}, 2);
}

Val b_select(Graph *g, Loc loc, Val c, Val a, Val b) {
    return b_ew(g, loc, OP_select, (const Val[]){c, a, b}, 3);
}

Val b_fma(Graph *g, Loc loc, Val a, Val b, Val c) {
    return b_ew(g, loc, OP_fma, (const Val[]){a, b, c}, 3);
}

Val b_convert(Graph *g, Loc loc, Val x, DType dtype) {
    if (x.id == 0 || val_dtype(g, x) == dtype)
        return x;
    return EMIT(convert, &x, 1, DTYPE_OF(dtype), INT(saturate, 1));
}

/* ---- reductions and contractions
 * ---------------------------------------------------------------------------------- */

static Val keep_axes(Graph *g, Loc loc, Val reduced, Val x, const int64_t *axes, uint32_t n_axes) {
    if (reduced.id == 0)
        return reduced;
    uint32_t rank = val_rank(g, x);
    Dim dims[MAX_RANK];
    for (uint32_t i = 0; i < rank; i++)
        dims[i] = val_dim(g, x, i);
    for (uint32_t i = 0; i < n_axes; i++)
        dims[axes[i]] = dim_const(g->cx, 1);
    return b_reshape(g, loc, reduced, rank, dims);
}

Val b_reduce(Graph *g, Loc loc, Op op, Val x, const int64_t *axes, uint32_t n_axes, bool keep) {
    enum { LANES = 16, LONG = 1024 /* elements, where one vector of sums would wait for itself */ };
    if (x.id == 0)
        return poison;
    bool last = n_axes > 0 && axes[n_axes - 1] + 1 == val_rank(g, x);
    int64_t extent = 1;
    for (uint32_t i = 0; i < n_axes; i++) {
        int64_t known;
        if (!dim_const_value(g->cx, val_dim(g, x, (uint32_t)axes[i]), &known)) known = 0;
        extent = sat_mul(extent, known);
    }
    Attr attrs[] = {INTS(axes, axes, n_axes), INT(order, last ? (extent >= LONG ? 2 * LANES : LANES) : 1)};
    Val y = emit(g, op, loc, &x, 1, attrs, COUNT(attrs));
    return keep ? keep_axes(g, loc, y, x, axes, n_axes) : y;
}

/* Narrow floats are summed in f32: their counts alone overflow. */
Val b_mean(Graph *g, Loc loc, Val x, const int64_t *axes, uint32_t n_axes, bool keep) {
    if (x.id == 0)
        return poison;
    DType dtype = val_dtype(g, x);
    DType wide = dtype_is_float(dtype) && dtype_info[dtype].bits < 32 ? DT_f32 : dtype;
    Val sum = b_reduce(g, loc, OP_reduce_sum, b_convert(g, loc, x, wide), axes, n_axes, keep);
    if (sum.id == 0)
        return poison;
    Dim count = dim_const(g->cx, 1);
    for (uint32_t i = 0; i < n_axes; i++)
        count = dim_mul(g->cx, count, val_dim(g, x, (uint32_t)axes[i]));
    int64_t known;
    Val divisor = dim_const_value(g->cx, count, &known)
                      ? b_int(g, loc, wide, known)
                      : b_convert(g, loc, b_dim(g, loc, count), wide);
    return b_convert(g, loc, b_binary(g, loc, OP_div, sum, divisor), dtype);
}

Val b_dot(Graph *g, Loc loc, Val x, Val w, uint32_t batch) {
    Val y = EMIT(dot, ((const Val[]){x, w}), 2, INT(batch, batch), INT(chunk, CHUNK_K));
    return y.id ? b_convert(g, loc, y, val_dtype(g, x)) : y;
}

Val b_get(Graph *g, Loc loc, Val tuple, uint32_t index) {
    return EMIT(get, &tuple, 1, INT(index, index));
}
