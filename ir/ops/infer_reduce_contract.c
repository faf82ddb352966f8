/* infer_reduce_contract.c: rules of reductions, windows, running sums, orderings and contractions.
 *
 * A window's extent over n elements is floor((n + low + high - ((window - 1) * dilation + 1)) /
 * stride) + 1; it must come out non-negative, which `tensor` turns into a guard where the extents
 * are symbolic.
 */
#include "infer.h"

/* Result extents are those of x less the given axes. */
static Type without_axes(Infer *k, const TypeInfo *x, DType dtype, const int64_t *axes,
                         uint32_t n_axes) {
    Dim dims[MAX_RANK];
    uint32_t n = 0, next = 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (next < n_axes && axes[next] == i)
            next++;
        else
            dims[n++] = x->dims[i];
    }
    return infer_tensor(k, dtype, n, dims);
}

Type infer_reduce(Infer *k) {
    const TypeInfo *x = operand_info(k, 0);
    bool of_bool = k->n->op == OP_reduce_max || k->n->op == OP_reduce_min;
    const int64_t *axes;
    uint32_t n_axes;
    int64_t order;
    if (!type_is_numeric(x) && !of_bool)
        return infer_error(k, "operand of bool, a number expected");
    if (!ascending_axes(k, x->rank, &axes, &n_axes) ||
        !int_attr(k, ATTR_order, 1, MAX_ORDER, &order))
        return no_type;
    if (order & (order - 1))
        return infer_error(k, "order is %lld, a power of two expected", (long long)order);
    return without_axes(k, x, x->dtype, axes, n_axes);
}

/* One axis of a window or of a convolution. */
static Dim window_extent(Context *cx, Dim n, Dim low, Dim high, Dim window, int64_t dilation,
                         int64_t stride) {
    Dim span = dim_addi(cx, dim_muli(cx, dim_addi(cx, window, -1), dilation), 1);
    Dim room = dim_sub(cx, dim_add(cx, dim_add(cx, n, low), high), span);
    return dim_addi(cx, dim_fdiv(cx, room, dim_const(cx, stride)), 1);
}

/* Numbers so large that extents could overflow are nonsense in any model. */
static bool small_ints(Infer *k, AttrKey key, uint32_t n, const int64_t **ints) {
    const int64_t most = INT64_C(1) << 31;
    if (!ints_attr(k, key, n, 1, ints))
        return false;
    for (uint32_t i = 0; i < n; i++)
        if ((*ints)[i] > most) {
            infer_error(k, "%s[%u] is %lld, at most %lld expected", attr_info[key].name, i,
                        (long long)(*ints)[i], (long long)most);
            return false;
        }
    return true;
}

static Type window_type(Infer *k, DType dtype) {
    Context *cx = k->cx;
    const TypeInfo *x = operand_info(k, 0);
    const int64_t *window, *stride, *dilation;
    const Dim *low, *high;
    if (!type_is_numeric(x))
        return infer_error(k, "operand of bool, a number expected");
    if (!small_ints(k, ATTR_window, x->rank, &window) ||
        !small_ints(k, ATTR_stride, x->rank, &stride) ||
        !small_ints(k, ATTR_dilation, x->rank, &dilation) ||
        !dims_attr(k, ATTR_low, x->rank, &low) || !dims_attr(k, ATTR_high, x->rank, &high))
        return no_type;
    Dim dims[MAX_RANK];
    for (uint32_t i = 0; i < x->rank; i++)
        dims[i] = window_extent(cx, x->dims[i], low[i], high[i], dim_const(cx, window[i]),
                                dilation[i], stride[i]);
    return infer_tensor(k, dtype, x->rank, dims);
}

Type infer_window(Infer *k) { return window_type(k, operand_info(k, 0)->dtype); }

Type infer_window_ar(Infer *k) { return window_type(k, DT_i64); }

Type infer_arg(Infer *k) {
    const TypeInfo *x = operand_info(k, 0);
    uint32_t axis;
    int64_t last;
    if (!axis_attr(k, ATTR_axis, x->rank, &axis) || !int_attr(k, ATTR_last, 0, 1, &last) ||
        !infer_require(k, REL_LE, dim_const(k->cx, 1), x->dims[axis], "axis %u must not be empty",
                       axis))
        return no_type;
    return without_axes(k, x, DT_i64, (const int64_t[]){axis}, 1);
}

Type infer_cumulate(Infer *k) {
    const TypeInfo *x = operand_info(k, 0);
    uint32_t axis;
    int64_t flag;
    if (!type_is_numeric(x))
        return infer_error(k, "operand of bool, a number expected");
    if (!axis_attr(k, ATTR_axis, x->rank, &axis) || !int_attr(k, ATTR_exclusive, 0, 1, &flag) ||
        !int_attr(k, ATTR_reverse, 0, 1, &flag))
        return no_type;
    return operand_type(k, 0);
}

Type infer_top_k(Infer *k) {
    const TypeInfo *x = operand_info(k, 0);
    uint32_t axis;
    int64_t largest;
    Dim count = attr_dim(k->n, ATTR_value), dims[MAX_RANK];
    if (!type_is_numeric(x))
        return infer_error(k, "operand of bool, a number expected");
    if (!axis_attr(k, ATTR_axis, x->rank, &axis) || !int_attr(k, ATTR_largest, 0, 1, &largest) ||
        !infer_require(k, REL_LE, count, x->dims[axis],
                       "k = %s must not exceed the extent of axis %u", dim_string(k->cx, count),
                       axis))
        return no_type;
    for (uint32_t i = 0; i < x->rank; i++)
        dims[i] = i == axis ? count : x->dims[i];
    Type values = infer_tensor(k, x->dtype, x->rank, dims);
    if (values.id == 0)
        return values;
    Type parts[] = {values, type_tensor(k->cx, DT_i64, x->rank, dims)};
    return type_tuple(k->cx, COUNT(parts), parts);
}

static bool is_found_symbol(Context *cx, Dim d) {
    const Term *term;
    if (dim_terms(cx, d, &term) != 1 || term->coefficient != 1 || term->n != 1)
        return false;
    if (term->factors[0].power != 1)
        return false;
    Atom atom = dim_atom(cx, term->factors[0].atom);
    return atom.kind == ATOM_SYMBOL && symbol_info(cx, atom.symbol)->kind == SYMBOL_FOUND;
}

Type infer_nonzero(Infer *k) {
    Dim extent = attr_dim(k->n, ATTR_extent);
    if (!is_found_symbol(k->cx, extent))
        return infer_error(k, "extent is %s, a symbol found while running expected",
                           dim_string(k->cx, extent));
    Dim dims[] = {dim_const(k->cx, operand_info(k, 0)->rank), extent};
    return infer_tensor(k, DT_i64, 2, dims);
}

/* u8 of the first operand meet i8 of the second. */
static bool are_bytes(const TypeInfo *x, const TypeInfo *w) { return x->dtype == DT_u8 && w->dtype == DT_i8; }

/* Sums of bf16 are f32, those of u8 times i8 are i32. */
static DType sum_dtype(const TypeInfo *x, const TypeInfo *w) {
    return x->dtype == DT_bf16 ? DT_f32 : are_bytes(x, w) ? DT_i32 : x->dtype;
}

Type infer_dot(Infer *k) {
    const TypeInfo *x = operand_info(k, 0), *w = operand_info(k, 1);
    int64_t batch, chunk;
    bool rounds = k->n->op == OP_attend && x->dtype == DT_f32 && w->dtype == DT_bf16;
    bool bytes = k->n->op == OP_dot && are_bytes(x, w);
    if ((!rounds && !bytes && !infer_same_dtype(k, 0, 1)) || !int_attr(k, ATTR_batch, 0, MAX_RANK, &batch) ||
        !int_attr(k, ATTR_chunk, 1, INT64_MAX, &chunk))
        return no_type;
    if (!type_is_numeric(x))
        return infer_error(k, "operands of bool, numbers expected");
    if (x->rank < batch + 1 || w->rank != batch + 2)
        return infer_error(k,
                           "ranks %u and %u do not fit %lld batch axes: expected x[b..,m..,k], "
                           "w[b..,k,n]",
                           x->rank, w->rank, (long long)batch);
    if (!infer_require_dims(k, x->dims, w->dims, (uint32_t)batch, "batch axes") ||
        !infer_require(k, REL_EQ, x->dims[x->rank - 1], w->dims[w->rank - 2],
                       "inner extents must be equal"))
        return no_type;
    Dim dims[MAX_RANK];
    for (uint32_t i = 0; i + 1 < x->rank; i++)
        dims[i] = x->dims[i];
    dims[x->rank - 1] = w->dims[w->rank - 1];
    return infer_tensor(k, sum_dtype(x, w), x->rank, dims);
}

Type infer_attend(Infer *k) {
    enum { MOST_KEYS = 1024 };
    const TypeInfo *x = operand_info(k, 0);
    int64_t chunk = attr_int(k->n, ATTR_chunk);
    if (x->dtype != DT_f32 && x->dtype != DT_f64)
        return infer_error(k, "scores of %s, f32 or f64 expected", dtype_info[x->dtype].name);
    if (chunk < 16 || chunk > MOST_KEYS || chunk % 16)
        return infer_error(k, "chunk is %lld, a multiple of 16 up to %d expected", (long long)chunk,
                           MOST_KEYS);
    return infer_dot(k);
}

static bool channels_fit(Infer *k, int64_t groups) {
    const TypeInfo *x = operand_info(k, 0), *w = operand_info(k, 1);
    return infer_require(
               k, REL_EQ, x->dims[x->rank - 1], dim_muli(k->cx, w->dims[w->rank - 2], groups),
               "input channels must be the weight's times %lld groups", (long long)groups) &&
           infer_require(k, REL_DIVIDES, dim_const(k->cx, groups), w->dims[w->rank - 1],
                         "%lld groups must divide the filters", (long long)groups);
}

Type infer_conv(Infer *k) {
    const TypeInfo *x = operand_info(k, 0), *w = operand_info(k, 1);
    const int64_t *stride, *dilation;
    const Dim *low, *high;
    int64_t groups, chunk;
    if (!are_bytes(x, w) && !infer_same_dtype(k, 0, 1))
        return no_type;
    if (!type_is_numeric(x))
        return infer_error(k, "operands of bool, numbers expected");
    if (x->rank < 3 || w->rank != x->rank)
        return infer_error(k, "ranks %u and %u, expected x[n,s..,c] and w[r..,c/groups,f]", x->rank,
                           w->rank);
    uint32_t spatial = x->rank - 2;
    if (!int_attr(k, ATTR_groups, 1, INT32_MAX, &groups) ||
        !int_attr(k, ATTR_chunk, 1, INT64_MAX, &chunk) ||
        !small_ints(k, ATTR_stride, spatial, &stride) ||
        !small_ints(k, ATTR_dilation, spatial, &dilation) ||
        !dims_attr(k, ATTR_low, spatial, &low) || !dims_attr(k, ATTR_high, spatial, &high) ||
        !channels_fit(k, groups))
        return no_type;
    Dim dims[MAX_RANK];
    dims[0] = x->dims[0];
    for (uint32_t i = 0; i < spatial; i++)
        dims[i + 1] = window_extent(k->cx, x->dims[i + 1], low[i], high[i], w->dims[i], dilation[i],
                                    stride[i]);
    dims[x->rank - 1] = w->dims[w->rank - 1];
    return infer_tensor(k, sum_dtype(x, w), x->rank, dims);
}

Type infer_winograd(Infer *k) {
    const TypeInfo *x = operand_info(k, 0), *u = operand_info(k, 1);
    const Dim *low, *high;
    Winograd w;
    if (!infer_same_dtype(k, 0, 1))
        return no_type;
    if (x->dtype != DT_f32 && x->dtype != DT_f64)
        return infer_error(k, "operands of %s, f32 or f64 expected", dtype_info[x->dtype].name);
    if (x->rank != 4 || u->rank != 4)
        return infer_error(k, "ranks %u and %u, expected x[n,h,w,c] and u[t,t,c,f]", x->rank,
                           u->rank);
    if (!winograd_of(attr_int(k->n, ATTR_tile), &w))
        return infer_error(k, "tile is %lld, 2 or 4 expected",
                           (long long)attr_int(k->n, ATTR_tile));
    for (uint32_t i = 0; i < 2; i++)
        if (!dim_is(k->cx, u->dims[i], w.tile + 2))
            return infer_error(k, "axis %u of the filter has %s points, %u expected", i,
                               dim_string(k->cx, u->dims[i]), w.tile + 2);
    if (!dims_attr(k, ATTR_low, 2, &low) || !dims_attr(k, ATTR_high, 2, &high) ||
        !infer_require(k, REL_EQ, x->dims[3], u->dims[2], "channels of image and filter must be equal"))
        return no_type;
    Dim dims[4] = {x->dims[0], {0}, {0}, u->dims[3]}, three = dim_const(k->cx, 3);
    for (uint32_t i = 0; i < 2; i++)
        dims[i + 1] = window_extent(k->cx, x->dims[i + 1], low[i], high[i], three, 1, 1);
    return infer_tensor(k, x->dtype, 4, dims);
}
