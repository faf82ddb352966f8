/* reduce.c: reducers (identity, combination) and the evaluator of all reductions, over axes or over
 * windows.
 *
 * Accumulators are f64, i64 or u64 and meet the node's dtype once, at the end; the attribute
 * `order` fixes bits for compiled code only.  Integers wrap.  max and min: a NaN wins.  bool: sum
 * and max are or, product and min are and.
 */
#include <math.h>
#include <string.h>
#include "ops.h"

bool scalar_is_nan(DType t, Scalar s) { return dtype_is_float(t) && isnan(s.f); }

bool scalar_less(DType t, Scalar a, Scalar b) {
    if (dtype_is_float(t))
        return a.f < b.f;
    return dtype_is_signed(t) ? a.i < b.i : a.u < b.u;
}

static Scalar zero_of(DType t) { return dtype_is_float(t) ? (Scalar){.f = 0.0} : (Scalar){.u = 0}; }

static Scalar one_of(DType t) { return dtype_is_float(t) ? (Scalar){.f = 1.0} : (Scalar){.u = 1}; }

/* The largest finite value of the formats that have no infinity; 0 for those that have one. */
static double finite_limit(DType t) {
    if (t == DT_f4e2m1)
        return 6;
    if (t == DT_f8e4m3)
        return 448;
    if (t == DT_f8e4m3z)
        return 240;
    if (t == DT_f8e5m2z)
        return 57344;
    return 0;
}

static Scalar lowest_of(DType t) {
    if (t == DT_f8e8m0)
        return (Scalar){.f = 0x1p-127}; /* unsigned powers of two */
    if (dtype_is_float(t))
        return (Scalar){.f = finite_limit(t) > 0 ? -finite_limit(t) : -INFINITY};
    if (dtype_is_signed(t))
        return (Scalar){.i =
                            -INT64_C(1) - (int64_t)(UINT64_MAX >> (65 - dtype_info[t].value_bits))};
    return (Scalar){.u = 0};
}

static Scalar highest_of(DType t) {
    if (t == DT_f8e8m0)
        return (Scalar){.f = 0x1p127};
    if (dtype_is_float(t))
        return (Scalar){.f = finite_limit(t) > 0 ? finite_limit(t) : INFINITY};
    if (dtype_is_signed(t))
        return (Scalar){.i = (int64_t)(UINT64_MAX >> (65 - dtype_info[t].value_bits))};
    return (Scalar){.u = UINT64_MAX >> (64 - dtype_info[t].value_bits)};
}

static Scalar combine_sum(DType t, Scalar a, Scalar b) {
    if (dtype_is_float(t))
        return (Scalar){.f = a.f + b.f};
    if (dtype_is_bool(t))
        return (Scalar){.u = a.u | b.u};
    return (Scalar){.u = a.u + b.u};
}

static Scalar combine_prod(DType t, Scalar a, Scalar b) {
    if (dtype_is_float(t))
        return (Scalar){.f = a.f * b.f};
    return (Scalar){.u = a.u * b.u};
}

/* Of zeros of both signs max gives +0 and min -0, whatever the order. */
static Scalar combine_max(DType t, Scalar a, Scalar b) {
    if (scalar_is_nan(t, a))
        return a;
    if (scalar_is_nan(t, b))
        return b;
    if (dtype_is_float(t) && a.f == b.f)
        return signbit(a.f) ? b : a;
    return scalar_less(t, a, b) ? b : a;
}

static Scalar combine_min(DType t, Scalar a, Scalar b) {
    if (scalar_is_nan(t, a))
        return a;
    if (scalar_is_nan(t, b))
        return b;
    if (dtype_is_float(t) && a.f == b.f)
        return signbit(a.f) ? a : b;
    return scalar_less(t, b, a) ? b : a;
}

const Reducer reducer_reduce_sum = {zero_of, combine_sum, OP_add};
const Reducer reducer_reduce_prod = {one_of, combine_prod, OP_mul};
const Reducer reducer_reduce_max = {lowest_of, combine_max, OP_max};
const Reducer reducer_reduce_min = {highest_of, combine_min, OP_min};
const Reducer reducer_window_sum = {zero_of, combine_sum, OP_add};
const Reducer reducer_window_max = {lowest_of, combine_max, OP_max};

const Reducer *reducer_by_combine(const char *combine) {
    static const struct {
        const char *name;
        const Reducer *reducer;
    } rows[] = {{"add", &reducer_reduce_sum},
                {"mul", &reducer_reduce_prod},
                {"min", &reducer_reduce_min},
                {"max", &reducer_reduce_max}};
    for (size_t i = 0; i < COUNT(rows); i++)
        if (!strcmp(rows[i].name, combine))
            return rows[i].reducer;
    return NULL;
}

/* ---- over axes ---- */

/* Strides of the result as seen from the operand: 0 along reduced axes. */
static void result_strides(const Tensor *x, const int64_t *axes, uint32_t n_axes,
                           int64_t *strides) {
    int64_t stride = 1;
    for (uint32_t i = x->rank, k = n_axes; i-- > 0;) {
        bool reduced = k > 0 && axes[k - 1] == (int64_t)i;
        strides[i] = reduced ? 0 : stride;
        if (reduced)
            k--;
        else
            stride *= x->dims[i];
    }
}

static void finish(Tensor *out, const Scalar *totals) {
    int64_t n = tensor_elements(out);
    for (int64_t i = 0; i < n; i++)
        tensor_store(out, i, 1, &totals[i]);
}

#define ROW_BLOCK 256

/* Walks the operand row by row along its last axis. */
static void reduce_axes(const Reducer *r, const Tensor *x, const int64_t *strides, Scalar *totals) {
    uint32_t last = x->rank - 1;
    int64_t index[MAX_RANK] = {0}, row = x->dims[last], from = 0;
    Scalar block[ROW_BLOCK];
    do {
        int64_t to = 0;
        for (uint32_t i = 0; i < last; i++)
            to += index[i] * strides[i];
        for (int64_t done = 0; done < row; done += ROW_BLOCK) {
            uint32_t n = (uint32_t)(row - done < ROW_BLOCK ? row - done : ROW_BLOCK);
            tensor_load(x, from + done, n, block);
            for (uint32_t i = 0; i < n; i++) {
                Scalar *total = &totals[to + (done + i) * strides[last]];
                *total = r->combine(x->dtype, *total, block[i]);
            }
        }
        from += row;
    } while (index_next(x->dims, last, index));
}

/* ---- over windows ---- */

typedef struct Window {
    const int64_t *extent, *stride, *dilation;
    int64_t low[MAX_RANK];
} Window;

/* One window: combines the elements inside x. */
static Scalar reduce_window(const Reducer *r, const Tensor *x, const int64_t *strides,
                            const Window *w, const int64_t *at) {
    int64_t tap[MAX_RANK] = {0};
    Scalar total = r->identity(x->dtype);
    do {
        int64_t offset = 0;
        bool inside = true;
        for (uint32_t i = 0; i < x->rank && inside; i++) {
            int64_t place = at[i] * w->stride[i] + tap[i] * w->dilation[i] - w->low[i];
            inside = place >= 0 && place < x->dims[i];
            offset += place * strides[i];
        }
        if (inside)
            total = r->combine(x->dtype, total, tensor_at(x, offset));
    } while (index_next(w->extent, x->rank, tap));
    return total;
}

static bool eval_windows(Interp *ip, const Node *n, const Tensor *x, Tensor *out, Scalar *totals) {
    Window w = {attr_ints(n, ATTR_window, NULL),
                attr_ints(n, ATTR_stride, NULL),
                attr_ints(n, ATTR_dilation, NULL),
                {0}};
    if (!interp_dims(ip, attr_dims(n, ATTR_low, NULL), x->rank, w.low))
        return false;
    int64_t strides[MAX_RANK], at[MAX_RANK] = {0}, i = 0;
    tensor_strides(x, strides);
    do
        totals[i++] = reduce_window(reducer_of[n->op], x, strides, &w, at);
    while (index_next(out->dims, out->rank, at));
    return true;
}

/* Every REDUCE op: over `axes`, or over windows where it has the attribute `window` (one extent per
 * axis of x). */
bool eval_reduction(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    const Reducer *r = reducer_of[n->op];
    if (!tensor_new(ip, n->type, out))
        return false;
    int64_t elements = tensor_elements(out);
    if (elements == 0)
        return true;
    Scalar *totals = arena_new_array(ip->arena, Scalar, (size_t)elements);
    if (node_attr(n, ATTR_window)) {
        if (!eval_windows(ip, n, &in[0], out, totals))
            return false;
    } else {
        uint32_t n_axes;
        const int64_t *axes = attr_ints(n, ATTR_axes, &n_axes);
        int64_t strides[MAX_RANK] = {0};
        for (int64_t i = 0; i < elements; i++)
            totals[i] = r->identity(in[0].dtype);
        result_strides(&in[0], axes, n_axes, strides);
        if (in[0].rank == 0)
            totals[0] = tensor_at(&in[0], 0);
        else if (tensor_elements(&in[0]) > 0)
            reduce_axes(r, &in[0], strides, totals);
    }
    finish(out, totals);
    return true;
}
