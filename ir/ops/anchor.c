/* anchor.c: whole-tensor ops that are neither elementwise nor plain reductions: arg_max and its
 * kin, scatters, running sums, top_k, nonzero.
 *
 * Along an axis, an operand is [outer, extent, inner] in row-major order.  NaN is the extreme of
 * arg_max, arg_min and counts as the largest in top_k.
 */
#include <string.h>
#include "ops.h"

typedef struct Lines {
    int64_t outer, extent, inner;
} Lines;

static Lines lines_of(const Tensor *x, int64_t axis) {
    return (Lines){product_of(x->dims, (uint32_t)axis), x->dims[axis],
                   product_of(x->dims + axis + 1, x->rank - (uint32_t)axis - 1)};
}

/* Element k of line (o, i). */
static int64_t line_at(Lines l, int64_t o, int64_t k, int64_t i) {
    return (o * l.extent + k) * l.inner + i;
}

/* ---- arg_max, arg_min, window_arg_max ---- */

/* Does candidate take the place of best?  sign 1: the larger wins, -1: the smaller; a NaN beats
 * every number. */
static bool beats(DType t, Scalar candidate, Scalar best, int sign, bool last) {
    bool nan = scalar_is_nan(t, candidate), best_nan = scalar_is_nan(t, best);
    if (nan || best_nan)
        return nan && (!best_nan || last);
    if (scalar_less(t, sign > 0 ? best : candidate, sign > 0 ? candidate : best))
        return true;
    return last && !scalar_less(t, sign > 0 ? candidate : best, sign > 0 ? best : candidate);
}

static bool eval_arg(Interp *ip, const Node *n, const Tensor *x, int sign, Tensor *out) {
    Lines l = lines_of(x, attr_int(n, ATTR_axis));
    bool last = attr_int(n, ATTR_last) != 0;
    if (!tensor_new(ip, n->type, out))
        return false;
    if (l.extent == 0 && l.outer * l.inner > 0) {
        diag_error(ip->cx, ip->loc, "%s: the axis has extent 0, expected at least 1",
                   op_info[n->op].name);
        return false;
    }
    for (int64_t o = 0; o < l.outer; o++) {
        for (int64_t i = 0; i < l.inner; i++) {
            int64_t where = 0;
            Scalar best = tensor_at(x, line_at(l, o, 0, i));
            for (int64_t k = 1; k < l.extent; k++) {
                Scalar s = tensor_at(x, line_at(l, o, k, i));
                if (!beats(x->dtype, s, best, sign, last))
                    continue;
                best = s;
                where = k;
            }
            ((int64_t *)out->data)[o * l.inner + i] = where;
        }
    }
    return true;
}

bool eval_arg_max(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    return eval_arg(ip, n, &in[0], 1, out);
}

bool eval_arg_min(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    return eval_arg(ip, n, &in[0], -1, out);
}

/* window_arg_max: flat index into x of the first largest; 0 for a window wholly outside. */
bool eval_window_arg_max(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    const Tensor *x = &in[0];
    const int64_t *window = attr_ints(n, ATTR_window, NULL),
                  *stride = attr_ints(n, ATTR_stride, NULL);
    const int64_t *dilation = attr_ints(n, ATTR_dilation, NULL);
    int64_t low[MAX_RANK], strides[MAX_RANK], at[MAX_RANK] = {0}, to = 0;
    if (!tensor_new(ip, n->type, out) ||
        !interp_dims(ip, attr_dims(n, ATTR_low, NULL), x->rank, low))
        return false;
    if (tensor_elements(out) == 0)
        return true;
    tensor_strides(x, strides);
    do {
        int64_t tap[MAX_RANK] = {0}, where = -1;
        Scalar best = {0};
        do {
            int64_t offset = 0;
            bool inside = true;
            for (uint32_t i = 0; i < x->rank && inside; i++) {
                int64_t place = at[i] * stride[i] + tap[i] * dilation[i] - low[i];
                inside = place >= 0 && place < x->dims[i];
                offset += place * strides[i];
            }
            if (!inside)
                continue;
            Scalar s = tensor_at(x, offset);
            if (where >= 0 && !beats(x->dtype, s, best, 1, false))
                continue;
            best = s;
            where = offset;
        } while (index_next(window, x->rank, tap));
        ((int64_t *)out->data)[to++] = where < 0 ? 0 : where;
    } while (index_next(out->dims, out->rank, at));
    return true;
}

/* ---- scatter ---- */

static bool copy_of(const Interp *ip, const Tensor *x, Tensor *out) {
    Tensor dense;
    if (!tensor_dense(ip, x, &dense) || !tensor_alloc(ip, x->dtype, x->rank, x->dims, out))
        return false;
    memcpy(out->data, dense.data, (size_t)(tensor_elements(x) * dtype_bytes(x->dtype)));
    return true;
}

/* x[at] = x[at] (combine) s, rounded to the dtype at every step; combine NULL: s. */
static void scatter_one(Tensor *x, int64_t at, const Reducer *combine, Scalar s) {
    if (combine)
        s = scalar_wrap(x->dtype, combine->combine(x->dtype, tensor_at(x, at), s));
    tensor_store(x, at, 1, &s);
}

/* scatter_nd: x[indices[p, 0..d), i..] op= update[p, i..], p in row-major order. */
bool eval_scatter_nd(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    const Tensor *indices = &in[1];
    const Reducer *combine = reducer_by_combine(node_attr(n, ATTR_combine)->as.text);
    uint32_t depth = (uint32_t)indices->dims[indices->rank - 1];
    int64_t places = product_of(indices->dims, indices->rank - 1), strides[MAX_RANK];
    int64_t inner = product_of(in[0].dims + depth, in[0].rank - depth);
    if (!copy_of(ip, &in[0], out))
        return false;
    tensor_strides(out, strides);
    for (int64_t p = 0; p < places; p++) {
        int64_t offset = 0;
        for (uint32_t k = 0; k < depth; k++) {
            int64_t pick = tensor_int(indices, p * depth + k);
            if (!index_check(ip, n, indices, p * depth + k, pick, out->dims[k]))
                return false;
            offset += pick * strides[k];
        }
        for (int64_t i = 0; i < inner; i++)
            scatter_one(out, offset + i, combine, tensor_at(&in[2], p * inner + i));
    }
    return true;
}

/* scatter_elements: x[index[i][j]][j] op= update[i][j] (axis 0), in row-major order. */
bool eval_scatter_elements(Interp *ip, const Graph *g, const Node *n, const Tensor *in,
                           Tensor *out) {
    (void)g;
    const Reducer *combine = reducer_by_combine(node_attr(n, ATTR_combine)->as.text);
    uint32_t axis = (uint32_t)attr_int(n, ATTR_axis);
    int64_t strides[MAX_RANK], at[MAX_RANK] = {0}, elements = tensor_elements(&in[1]);
    if (!copy_of(ip, &in[0], out))
        return false;
    tensor_strides(out, strides);
    for (uint32_t i = 0; i < out->rank; i++) {
        if (i == axis || in[1].dims[i] <= out->dims[i])
            continue;
        diag_error(
            ip->cx, ip->loc,
            "scatter_elements: the indices' extent %lld in axis %u exceeds the operand's %lld",
            (long long)in[1].dims[i], i, (long long)out->dims[i]);
        return false;
    }
    for (int64_t p = 0; p < elements; p++) {
        int64_t pick = tensor_int(&in[1], p), offset = 0;
        if (!index_check(ip, n, &in[1], p, pick, out->dims[axis]))
            return false;
        for (uint32_t i = 0; i < out->rank; i++)
            offset += (i == axis ? pick : at[i]) * strides[i];
        scatter_one(out, offset, combine, tensor_at(&in[2], p));
        (void)index_next(in[1].dims, in[1].rank, at);
    }
    return true;
}

bool eval_overwrite(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    int64_t first[MAX_RANK], offset = 0;
    Tensor w;
    if (!interp_dims(ip, attr_dims(n, ATTR_start, NULL), in[0].rank, first) || !copy_of(ip, &in[0], out) ||
        !tensor_dense(ip, &in[1], &w))
        return false;
    Strided to = strided_of(out);
    for (uint32_t i = 0; i < out->rank; i++) {
        if (first[i] < 0 || first[i] + w.dims[i] > out->dims[i]) {
            diag_error(ip->cx, ip->loc, "overwrite: axis %u writes [%lld .. %lld), its extent is %lld", i, (long long)first[i],
                       (long long)(first[i] + w.dims[i]), (long long)out->dims[i]);
            return false;
        }
        offset += first[i] * to.stride[i];
    }
    int64_t each = dtype_bytes(out->dtype);
    to.at += offset * each;
    if (product_of(w.dims, w.rank)) strided_copy(each, w.rank, w.dims, to, strided_of(&w));
    return true;
}

/* ---- running sums ---- */

/* The running total stays in the accumulator's type; each element written is rounded. */
static bool eval_cumulate(Interp *ip, const Node *n, const Tensor *x, const Reducer *r,
                          Tensor *out) {
    Lines l = lines_of(x, attr_int(n, ATTR_axis));
    bool exclusive = attr_int(n, ATTR_exclusive) != 0, reverse = attr_int(n, ATTR_reverse) != 0;
    if (!tensor_new(ip, n->type, out))
        return false;
    for (int64_t o = 0; o < l.outer; o++) {
        for (int64_t i = 0; i < l.inner; i++) {
            Scalar total = r->identity(x->dtype);
            for (int64_t k = 0; k < l.extent; k++) {
                int64_t at = line_at(l, o, reverse ? l.extent - 1 - k : k, i);
                Scalar before = total, next = r->combine(x->dtype, total, tensor_at(x, at));
                total = next;
                Scalar s = scalar_wrap(out->dtype, exclusive ? before : next);
                tensor_store(out, at, 1, &s);
            }
        }
    }
    return true;
}

bool eval_cum_sum(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    return eval_cumulate(ip, n, &in[0], &reducer_reduce_sum, out);
}

bool eval_cum_prod(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    return eval_cumulate(ip, n, &in[0], &reducer_reduce_prod, out);
}

/* ---- top_k ---- */

typedef struct Ranked {
    Scalar value;
    int64_t index;
} Ranked;

/* Strictly before in the order asked for; equal values are left to the stable sort. */
static bool ranks_before(DType t, Scalar a, Scalar b, bool largest) {
    bool nan_a = scalar_is_nan(t, a), nan_b = scalar_is_nan(t, b);
    if (nan_a || nan_b)
        return largest ? nan_a && !nan_b : nan_b && !nan_a;
    return largest ? scalar_less(t, b, a) : scalar_less(t, a, b);
}

/* Bottom-up merge sort: stable, so that the lower index comes first among equals. */
static void sort_ranked(DType t, bool largest, Ranked *at, Ranked *spare, int64_t n) {
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t from = 0; from < n; from += 2 * width) {
            int64_t middle = from + width < n ? from + width : n,
                    end = from + 2 * width < n ? from + 2 * width : n;
            int64_t a = from, b = middle;
            for (int64_t to = from; to < end; to++) {
                bool right =
                    a >= middle || (b < end && ranks_before(t, at[b].value, at[a].value, largest));
                spare[to] = right ? at[b++] : at[a++];
            }
        }
        memcpy(at, spare, (size_t)n * sizeof *at);
    }
}

bool eval_top_k(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    const Tensor *x = &in[0];
    int64_t axis = attr_int(n, ATTR_axis), count;
    bool largest = attr_int(n, ATTR_largest) != 0;
    Lines l = lines_of(x, axis);
    const TypeInfo *t = type_info(ip->cx, n->type);
    if (!interp_dim(ip, attr_dim(n, ATTR_value), &count))
        return false;
    if (count < 0 || count > l.extent) {
        diag_error(ip->cx, ip->loc, "top_k: %lld elements are asked for, the axis has %lld",
                   (long long)count, (long long)l.extent);
        return false;
    }
    if (!tensor_new(ip, t->elements[0], &out[0]) || !tensor_new(ip, t->elements[1], &out[1]))
        return false;
    Ranked *line = arena_new_array(ip->arena, Ranked, (size_t)l.extent),
           *spare = arena_new_array(ip->arena, Ranked, (size_t)l.extent);
    Lines r = {l.outer, count, l.inner};
    for (int64_t o = 0; o < l.outer; o++) {
        for (int64_t i = 0; i < l.inner; i++) {
            for (int64_t k = 0; k < l.extent; k++)
                line[k] = (Ranked){tensor_at(x, line_at(l, o, k, i)), k};
            sort_ranked(x->dtype, largest, line, spare, l.extent);
            for (int64_t k = 0; k < count; k++) {
                tensor_store(&out[0], line_at(r, o, k, i), 1, &line[k].value);
                ((int64_t *)out[1].data)[line_at(r, o, k, i)] = line[k].index;
            }
        }
    }
    return true;
}

/* ---- nonzero ---- */

static bool is_zero(DType t, Scalar s) { return dtype_is_float(t) ? s.f == 0 : s.u == 0; }

/* nonzero: counts, binds the symbol `extent`, then lists the places column by column. */
bool eval_nonzero(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    const Tensor *x = &in[0];
    int64_t elements = tensor_elements(x), found = 0, to = 0, at[MAX_RANK] = {0};
    for (int64_t i = 0; i < elements; i++)
        found += !is_zero(x->dtype, tensor_at(x, i));
    if (!interp_bind(ip, attr_dim(n, ATTR_extent), found, "number of non-zero elements"))
        return false;
    int64_t dims[2] = {x->rank, found};
    if (!tensor_alloc(ip, DT_i64, 2, dims, out))
        return false;
    int64_t *places = out->data;
    for (int64_t i = 0; i < elements; i++) {
        if (!is_zero(x->dtype, tensor_at(x, i))) {
            for (uint32_t k = 0; k < x->rank; k++)
                places[k * found + to] = at[k];
            to++;
        }
        (void)index_next(x->dims, x->rank, at);
    }
    return true;
}
