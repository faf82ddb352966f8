/* ops_movement.c: ONNX operators that move elements or make them from nothing: Reshape, Slice, Pad, Concat, OneHot, Range …
 *
 * Targets and bounds are dims (shape_values.c), symbolic or not.  Where ONNX gives a number a special meaning by its sign
 * (-1, 0, counting from the end) and the sign of a symbol is not known, the dim spells both cases out with max and min, so
 * that one artifact serves them all.
 */
#include "onnx.h"
#include <math.h>

/* ---- choices inside dims ----------------------------------------------------------------------------------------- */

/* 1 where d < 0, else 0. */
Dim is_negative(Call *c, Dim d) {
    Context *cx = c->cx;
    Truth t = prove(cx, NULL, REL_LT, d, dim_k(c, 0));
    if (t != UNKNOWN) return dim_k(c, t == YES);
    return dim_min(cx, dim_k(c, 1), dim_max(cx, dim_k(c, 0), dim_sub(cx, dim_k(c, 0), d)));
}

/* 1 where d == k, else 0. */
Dim is_number(Call *c, Dim d, int64_t k) {
    Context *cx = c->cx;
    Truth t = prove(cx, NULL, REL_EQ, d, dim_k(c, k));
    if (t != UNKNOWN) return dim_k(c, t == YES);
    Dim off = dim_addi(cx, d, -k);
    Dim distance = dim_max(cx, off, dim_sub(cx, dim_k(c, 0), off));
    return dim_max(cx, dim_k(c, 0), dim_sub(cx, dim_k(c, 1), distance));
}

/* [element names axis], counted from either end. */
static Dim names_axis(Call *c, Dim element, uint32_t axis, uint32_t rank) {
    return dim_add(c->cx, is_number(c, element, axis), is_number(c, element, (int64_t)axis - rank));
}

bool axis_flags(Call *c, uint32_t input, uint32_t rank, Dim *flags, uint32_t *n) {
    const Dim *list;
    if (!in_dims(c, input, &list, n)) {
        fail(c, "axes have to come from constants or from an input of known length");
        return false;
    }
    for (uint32_t i = 0; i < rank; i++) {
        flags[i] = dim_k(c, 0);
        for (uint32_t k = 0; k < *n; k++) flags[i] = dim_add(c->cx, flags[i], names_axis(c, list[k], i, rank));
        if (*n > 1) flags[i] = dim_min(c->cx, flags[i], dim_k(c, 1));
    }
    return true;
}

Dim float_extent(Call *c, Dim numerator) { return dim_fdiv(c->cx, numerator, dim_k(c, INT64_C(1) << 32)); }

static Dim clamp(Call *c, Dim d, Dim low, Dim high) { return dim_min(c->cx, dim_max(c->cx, d, low), high); }

/* ---- reshapes ---------------------------------------------------------------------------------------------------- */

/* The extent that -1 stands for: all elements over those of the other axes.  An exact quotient of polynomials is taken as
 * it is, so that 12 remains of 12 * batch / batch even where batch may be 0. */
static Dim rest_extent(Call *c, Dim total, Dim others) {
    Context *cx = c->cx;
    if (dim_is(cx, others, 0)) return dim_k(c, 0);
    Dim q = dim_fdiv(cx, total, others);
    if (dim_same(dim_mul(cx, q, others), total) || prove(cx, NULL, REL_LT, dim_k(c, 0), others) == YES) return q;
    return dim_fdiv(cx, total, dim_max(cx, others, dim_k(c, 1)));
}

/* 1 where the target copies the operand's extent.  A computed extent that can be 0 means 0; only constants and elements
 * of inputs, which can be negative too, ask for a copy. */
static Dim copies(Call *c, Dim target, bool allow_zero) {
    int64_t low, high;
    if (allow_zero) return dim_k(c, 0);
    if (dim_is(c->cx, target, 0)) return dim_k(c, 1);
    dim_range(c->cx, NULL, target, &low, &high);
    return low >= 0 ? dim_k(c, 0) : is_number(c, target, 0);
}

static Val reshape_to(Call *c, Val x, const Dim *target, uint32_t n) {
    Context *cx = c->cx;
    Dims d = dims_of(c, x), r = {.n = n};
    Dim others = dim_k(c, 1), inferred[MAX_RANK];
    bool allow_zero = attr_i(c, "allowzero", 0) != 0, any = false;
    if (n > MAX_RANK) return fail(c, "rank %u, the largest supported is %d", n, MAX_RANK);
    for (uint32_t i = 0; i < n; i++) {
        inferred[i] = is_number(c, target[i], -1);
        Dim zero = copies(c, target[i], allow_zero), copied = dim_k(c, 0);
        if (i >= d.n && dim_is(cx, zero, 1))
            return fail(c, "axis %u is to be copied, but the operand has rank %u", i, d.n);
        if (i < d.n) copied = dim_mul(cx, zero, d.at[i]);
        bool inferring = !dim_is(cx, inferred[i], 0);
        Dim stated = inferring ? dim_max(cx, target[i], dim_k(c, 0)) : target[i];
        r.at[i] = dim_add(cx, stated, copied);
        others = dim_mul(cx, others, dim_add(cx, r.at[i], inferred[i]));
        any = any || inferring;
    }
    Dim rest = any ? rest_extent(c, dim_product(cx, d.at, d.n), others) : others;
    for (uint32_t i = 0; i < n && any; i++) {
        if (dim_is(cx, inferred[i], 1))
            r.at[i] = rest;
        else if (!dim_is(cx, inferred[i], 0))
            r.at[i] = dim_add(cx, r.at[i], dim_mul(cx, inferred[i], rest));
    }
    return shaped(c, x, &r);
}

Val import_reshape(Call *c) {
    Val x = in(c, 0);
    const Dim *target;
    uint32_t n;
    if (!x.id) return x;
    if (c->opset < 5) {
        const IntVec *list = attr_list(c, "shape");
        if (!list || list->n > MAX_RANK) return fail(c, "attribute 'shape' is missing or too long");
        Dim fixed[MAX_RANK];
        for (uint32_t i = 0; i < list->n; i++) fixed[i] = dim_k(c, list->at[i]);
        return reshape_to(c, x, fixed, list->n);
    }
    if (!in_dims(c, 1, &target, &n))
        return fail(c, "the target shape has to come from shapes, constants or inputs of known length");
    return reshape_to(c, x, target, n);
}

Val import_flatten(Call *c) {
    Val x = in(c, 0);
    Dims d = dims_of(c, x);
    int64_t axis = attr_i(c, "axis", 1);
    if (!x.id) return x;
    if (axis < 0) axis += d.n;
    if (axis < 0 || axis > d.n) return fail(c, "axis %lld is out of range for rank %u", (long long)axis, d.n);
    uint32_t a = (uint32_t)axis;
    Dims r = {.n = 2, .at = {dim_product(c->cx, d.at, a), dim_product(c->cx, d.at + a, d.n - a)}};
    return shaped(c, x, &r);
}

Val import_transpose(Call *c) {
    Val x = in(c, 0);
    const IntVec *list = attr_list(c, "perm");
    int64_t perm[MAX_RANK];
    if (!x.id) return x;
    uint32_t rank = val_rank(c->g, x), seen = 0, axis;
    if (list && list->n != rank) return fail(c, "perm names %u axes, the operand has %u", list->n, rank);
    for (uint32_t i = 0; i < rank; i++) {
        if (!norm_axis(c, list ? list->at[i] : rank - 1 - i, rank, &axis)) return NO_VAL;
        perm[i] = axis;
        seen |= 1u << axis;
    }
    if (seen != (1u << rank) - 1) return fail(c, "perm names an axis twice");
    return permuted(c, x, perm);
}

/* Axes as a set of bits; false after a diagnostic. */
static bool axis_set(Call *c, const int64_t *list, uint32_t n, uint32_t rank, uint32_t *set) {
    uint32_t axis;
    *set = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!norm_axis(c, list[i], rank, &axis)) return false;
        if (*set >> axis & 1) {
            fail(c, "axis %u is named twice", axis);
            return false;
        }
        *set |= 1u << axis;
    }
    return true;
}

/* Axes that are only known while running.  Output axis p is the input axis before which p others stay; each extent is a
 * sum over the candidates. */
static Val squeeze_running(Call *c, Val x) {
    Context *cx = c->cx;
    Dims d = dims_of(c, x), r = {0};
    Dim flags[MAX_RANK];
    uint32_t n;
    if (!axis_flags(c, 1, d.n, flags, &n)) return NO_VAL;
    if (n > d.n) return fail(c, "%u axes of rank %u", n, d.n);
    r.n = d.n - n;
    for (uint32_t p = 0; p < r.n; p++) {
        Dim before = dim_k(c, 0);
        r.at[p] = dim_k(c, 0);
        for (uint32_t i = 0; i < d.n; i++) {
            Dim stays = dim_sub(cx, dim_k(c, 1), flags[i]);
            r.at[p] = dim_add(cx, r.at[p], dim_mul(cx, dim_mul(cx, stays, is_number(c, before, p)), d.at[i]));
            before = dim_add(cx, before, stays);
        }
    }
    return shaped(c, x, &r);
}

static Val unsqueeze_running(Call *c, Val x) {
    Context *cx = c->cx;
    const Dim *list;
    uint32_t n;
    Dims d = dims_of(c, x), r = d;
    Dim flags[MAX_RANK], taken = dim_k(c, 0);
    if (!in_dims(c, 1, &list, &n) || d.n + n > MAX_RANK)
        return fail(c, "axes have to come from constants or from an input of known length");
    r.n = d.n + n;
    if (!axis_flags(c, 1, r.n, flags, &n)) return NO_VAL;
    for (uint32_t p = 0; p < r.n; p++) {
        Dim old = dim_k(c, 0);
        for (uint32_t i = 0; i < d.n; i++) old = dim_add(cx, old, dim_mul(cx, is_number(c, taken, i), d.at[i]));
        r.at[p] = dim_add(cx, flags[p], dim_mul(cx, dim_sub(cx, dim_k(c, 1), flags[p]), old));
        taken = dim_add(cx, taken, dim_sub(cx, dim_k(c, 1), flags[p]));
    }
    return shaped(c, x, &r);
}

static bool running_axes(Call *c, uint32_t input, int64_t from) {
    const int64_t *list;
    uint32_t n;
    return c->opset >= from && has_in(c, input) && !in_ints(c, input, &list, &n);
}

Val import_squeeze(Call *c) {
    Val x = in(c, 0);
    Dims d = dims_of(c, x), r = {0};
    const int64_t *list;
    uint32_t n, set = 0;
    bool bad;
    if (!x.id) return x;
    if (running_axes(c, 1, 13)) return squeeze_running(c, x);
    if (list_arg(c, "axes", 1, 13, &list, &n, &bad)) {
        if (bad || !axis_set(c, list, n, d.n, &set)) return NO_VAL;
    } else if (!bad) {
        for (uint32_t i = 0; i < d.n; i++)
            if (dim_is(c->cx, d.at[i], 1)) set |= 1u << i;
    }
    for (uint32_t i = 0; i < d.n; i++)
        if (!(set >> i & 1)) r.at[r.n++] = d.at[i];
    return shaped(c, x, &r);
}

Val import_unsqueeze(Call *c) {
    Val x = in(c, 0);
    Dims d = dims_of(c, x);
    const int64_t *list;
    uint32_t n, set, from = 0;
    bool bad;
    if (!x.id) return x;
    if (running_axes(c, 1, 13)) return unsqueeze_running(c, x);
    if (!list_arg(c, "axes", 1, 13, &list, &n, &bad)) return bad ? NO_VAL : fail(c, "axes are missing");
    if (bad) return NO_VAL;
    if (d.n + n > MAX_RANK) return fail(c, "rank %u, the largest supported is %d", d.n + n, MAX_RANK);
    Dims r = {.n = d.n + n};
    if (!axis_set(c, list, n, r.n, &set)) return NO_VAL;
    for (uint32_t i = 0; i < r.n; i++) r.at[i] = set >> i & 1 ? dim_k(c, 1) : d.at[from++];
    return shaped(c, x, &r);
}

Val import_expand(Call *c) {
    Val x = in(c, 0);
    Dims d = dims_of(c, x);
    const Dim *target;
    uint32_t n;
    if (!x.id) return x;
    if (!in_dims(c, 1, &target, &n))
        return fail(c, "the target shape has to come from shapes, constants or inputs of known length");
    if (n > MAX_RANK) return fail(c, "rank %u, the largest supported is %d", n, MAX_RANK);
    Dims r = {.n = n > d.n ? n : d.n};
    for (uint32_t i = 0; i < r.n; i++) {
        Dim a = i + d.n >= r.n ? d.at[i + d.n - r.n] : dim_k(c, 1),
            b = i + n >= r.n ? target[i + n - r.n] : dim_k(c, 1);
        r.at[i] = b_broadcast_dim(c->g, c->loc, a, b);
    }
    return spread(c, x, &r);
}

/* Each repeated axis: [.., d, ..] -> [.., r, d, ..] -> [.., r * d, ..]. */
Val import_tile(Call *c) {
    Val x = in(c, 0);
    const Dim *times;
    uint32_t n;
    if (!x.id) return x;
    if (c->opset < 6) return fail(c, "Tile of opset %lld is not supported", (long long)c->opset);
    if (!in_dims(c, 1, &times, &n))
        return fail(c, "the repeats have to come from shapes, constants or inputs of known length");
    if (n != val_rank(c->g, x)) return fail(c, "%u repeats for rank %u", n, val_rank(c->g, x));
    for (uint32_t i = 0; i < n; i++) {
        if (dim_is(c->cx, times[i], 1)) continue;
        Val parted = unsqueezed(c, x, i);
        Dims wide = dims_of(c, parted), merged = dims_of(c, x);
        wide.at[i] = times[i];
        merged.at[i] = dim_mul(c->cx, merged.at[i], times[i]);
        x = spread(c, parted, &wide);
        x = shaped(c, x, &merged);
        if (!x.id) return x;
    }
    return x;
}

/* [n, c, h, w] with the channel axis read as three: block rows, block columns, channels (DCR), or channels first (CRD). */
Val import_depth_to_space(Call *c) {
    Val x = in(c, 0);
    Dims d = dims_of(c, x);
    int64_t b = attr_i(c, "blocksize", 0);
    bool crd = attr_is(c, "mode", "DCR", "CRD");
    static const int64_t perm_dcr[] = {0, 3, 4, 1, 5, 2}, perm_crd[] = {0, 1, 4, 2, 5, 3};
    if (!x.id) return x;
    if (d.n != 4 || b <= 0 || b > 1 << 15)
        return fail(c, "needs rank 4 and a positive block size, found rank %u and %lld", d.n, (long long)b);
    Dim k = dim_k(c, b), depth = dim_fdiv(c->cx, d.at[1], dim_k(c, b * b));
    Dims six = {.n = 6, .at = {d.at[0], k, k, depth, d.at[2], d.at[3]}};
    if (crd) six = (Dims){.n = 6, .at = {d.at[0], depth, k, k, d.at[2], d.at[3]}};
    Dims r = {.n = 4, .at = {d.at[0], depth, dim_mul(c->cx, d.at[2], k), dim_mul(c->cx, d.at[3], k)}};
    return shaped(c, permuted(c, shaped(c, x, &six), crd ? perm_crd : perm_dcr), &r);
}

Val import_space_to_depth(Call *c) {
    Val x = in(c, 0);
    Dims d = dims_of(c, x);
    int64_t b = attr_i(c, "blocksize", 0);
    static const int64_t perm[] = {0, 3, 5, 1, 2, 4};
    if (!x.id) return x;
    if (d.n != 4 || b <= 0 || b > 1 << 15)
        return fail(c, "needs rank 4 and a positive block size, found rank %u and %lld", d.n, (long long)b);
    Dim k = dim_k(c, b), h = dim_fdiv(c->cx, d.at[2], k), w = dim_fdiv(c->cx, d.at[3], k);
    Dims six = {.n = 6, .at = {d.at[0], d.at[1], h, k, w, k}},
         r = {.n = 4, .at = {d.at[0], dim_muli(c->cx, d.at[1], b * b), h, w}};
    return shaped(c, permuted(c, shaped(c, x, &six), perm), &r);
}

/* ---- concat, split, slice ---------------------------------------------------------------------------------------- */

Val import_concat(Call *c) {
    Val *list = arena_new_array(c->im->arena, Val, c->n_in + 1);
    uint32_t axis;
    for (uint32_t i = 0; i < c->n_in; i++)
        if (!(list[i] = in(c, i)).id) return NO_VAL;
    if (!c->n_in) return fail(c, "nothing to concatenate");
    if (!norm_axis(c, attr_i(c, "axis", c->opset < 4 ? 1 : 0), val_rank(c->g, list[0]), &axis)) return NO_VAL;
    return c->n_in == 1 ? list[0] : b_concat(c->g, c->loc, list, c->n_in, axis);
}

Val import_split(Call *c) {
    Val x = in(c, 0);
    Dims d = dims_of(c, x);
    const Dim *parts = NULL;
    uint32_t n = 0, axis;
    if (!x.id || !norm_axis(c, attr_i(c, "axis", 0), d.n, &axis)) return NO_VAL;
    const IntVec *list = attr_list(c, "split");
    if (c->opset >= 13 ? has_in(c, 1) : c->opset == 1 && has_in(c, 1)) {
        if (!in_dims(c, 1, &parts, &n))
            return fail(c, "the lengths have to come from shapes, constants or inputs of known length");
    } else if (list) {
        n = list->n;
        Dim *fixed = arena_new_array(c->im->arena, Dim, n + 1);
        for (uint32_t i = 0; i < n; i++) fixed[i] = dim_k(c, list->at[i]);
        parts = fixed;
    }
    if (parts && n != c->n_out) return fail(c, "%u lengths for %u outputs", n, c->n_out);
    int64_t pieces = attr_i(c, "num_outputs", c->n_out);
    if (pieces < (int64_t)c->n_out || pieces <= 0)
        return fail(c, "num_outputs %lld for %u outputs", (long long)pieces, c->n_out);
    Dim even =
        c->opset >= 18 ? dim_cdiv(c->cx, d.at[axis], dim_k(c, pieces)) : dim_fdiv(c->cx, d.at[axis], dim_k(c, pieces));
    Dim at = dim_k(c, 0), total = d.at[axis];
    for (uint32_t i = 0; i < c->n_out; i++) {
        Dim size = parts ? parts[i] : i + 1 == pieces ? dim_sub(c->cx, total, at) : even;
        set_out(c, i, sliced(c, x, axis, at, size));
        at = dim_add(c->cx, at, size);
    }
    if (parts && !graph_guard(c->g, c->loc, REL_EQ, at, total,
                              "the lengths of Split have to add up to the extent of axis %u", axis))
        return NO_VAL;
    return NO_VAL;
}

/* A bound that may count from the end, clamped to [low, high]; numbers beyond every extent are the ends themselves. */
static Dim bound(Call *c, Dim at, Dim extent, Dim low, Dim high) {
    int64_t k;
    if (dim_const_value(c->cx, at, &k)) {
        if (k >= INT32_MAX) return high;
        if (k <= -INT32_MAX) return low;
    }
    return clamp(c, dim_add(c->cx, at, dim_mul(c->cx, is_negative(c, at), extent)), low, high);
}

static void slice_axis(Call *c, Dim from, Dim to_, int64_t step, Dim extent, Dim *start, Dim *count) {
    Context *cx = c->cx;
    Dim zero = dim_k(c, 0), one = dim_k(c, 1), last = dim_sub(cx, extent, one);
    if (step > 0) {
        *start = bound(c, from, extent, zero, extent);
        Dim end = bound(c, to_, extent, zero, extent);
        Dim length = dim_cdiv(cx, dim_sub(cx, end, *start), dim_k(c, step));
        *count = dim_is(cx, *start, 0) ? length : dim_max(cx, length, zero);
    } else {
        *start = bound(c, from, extent, zero, last);
        Dim end = bound(c, to_, extent, dim_k(c, -1), last);
        Dim length = dim_cdiv(cx, dim_sub(cx, *start, end), dim_k(c, -step));
        *count = dim_max(cx, length, zero);
    }
    if (dim_is(cx, *count, 0)) *start = zero;
}

static Val slice_list(Call *c, Val x, const Dim *from, const Dim *to_, const int64_t *axes, const int64_t *steps,
                      uint32_t n) {
    Dims d = dims_of(c, x), r = d;
    Dim start[MAX_RANK];
    int64_t step[MAX_RANK];
    uint32_t axis;
    for (uint32_t i = 0; i < d.n; i++) start[i] = dim_k(c, 0), step[i] = 1;
    for (uint32_t i = 0; i < n; i++) {
        int64_t s = steps ? steps[i] : 1;
        if (s == 0) return fail(c, "a step of 0");
        if (!norm_axis(c, axes ? axes[i] : i, d.n, &axis)) return NO_VAL;
        if (s > INT32_MAX) s = INT32_MAX;
        if (s < -INT32_MAX) s = -INT32_MAX;
        step[axis] = s;
        slice_axis(c, from[i], to_[i], s, d.at[axis], &start[axis], &r.at[axis]);
    }
    return b_slice(c->g, c->loc, x, start, step, r.at);
}

static Val legacy_slice(Call *c, Val x) {
    const IntVec *s = attr_list(c, "starts"), *e = attr_list(c, "ends"), *axes = attr_list(c, "axes");
    Dim from[MAX_RANK], to_[MAX_RANK];
    if (!s || !e || s->n != e->n || s->n > MAX_RANK || (axes && axes->n != s->n))
        return fail(c, "starts, ends and axes have to be of one length");
    for (uint32_t i = 0; i < s->n; i++) from[i] = dim_k(c, s->at[i]), to_[i] = dim_k(c, e->at[i]);
    return slice_list(c, x, from, to_, axes ? axes->at : NULL, NULL, s->n);
}

/* A start that is only known while running, with a length that is known: end - start as dims is of no use, so that only
 * slices of one element are taken (start and end are the same value and that value plus 1). */
static bool one_element_slice(Call *c, Val *start) {
    if (!has_in(c, 1) || !has_in(c, 2)) return false;
    Val s = c->in[1].kind == VALUE_TENSOR ? c->in[1].val : NO_VAL,
        e = c->in[2].kind == VALUE_TENSOR ? c->in[2].val : NO_VAL;
    if (!s.id || !e.id) return false;
    for (uint32_t hop = 0; hop < 8 && val_op(c->g, e) != OP_add; hop++) {
        Op op = val_op(c->g, e);
        if ((op != OP_reshape && op != OP_convert && op != OP_broadcast) || val_in(c->g, e, 0).id == 0) return false;
        e = val_in(c->g, e, 0);
    }
    if (val_op(c->g, e) != OP_add) return false;
    Val base = s;
    for (uint32_t hop = 0; hop < 16; hop++) {
        for (uint32_t k = 0; k < 2; k++) {
            Scalar one;
            Val a = val_in(c->g, e, k), b = val_in(c->g, e, 1 - k);
            while (val_op(c->g, a) == OP_reshape || val_op(c->g, a) == OP_broadcast) a = val_in(c->g, a, 0);
            Val root = base;
            while (val_op(c->g, root) == OP_reshape || val_op(c->g, root) == OP_broadcast) root = val_in(c->g, root, 0);
            if (a.id == root.id && val_splat(c->g, b, &one) && one.i == 1) {
                *start = s;
                return true;
            }
        }
        break;
    }
    return false;
}

static Val running_slice(Call *c, Val x, const int64_t *axes, uint32_t n_axes) {
    Val start;
    uint32_t axis = 0;
    Dims one = {0};
    if (n_axes > 1 || !one_element_slice(c, &start))
        return fail(c, "starts and ends have to come from shapes, constants or inputs of known length");
    if (!norm_axis(c, n_axes ? axes[0] : 0, val_rank(c->g, x), &axis)) return NO_VAL;
    Dims r = dims_of(c, x);
    r.at[axis] = dim_k(c, 1);
    Val index = wrap_index(c, shaped(c, start, &one), val_dim(c->g, x, axis));
    Val y = index.id ? b_gather(c->g, c->loc, x, index, axis, 0) : index;
    return shaped(c, y, &r);
}

/* What the input says about one axis, where its axes (or steps) are only known while running: a sum over the places at
 * which the axis may be named, `otherwise` where it is not. */
static Dim stated_for(Call *c, const Dim *values, const Dim *axes, uint32_t n, uint32_t axis, uint32_t rank,
                      Dim otherwise) {
    Dim named = dim_k(c, 0), value = dim_k(c, 0);
    for (uint32_t k = 0; k < n; k++) {
        Dim here = axes ? names_axis(c, axes[k], axis, rank) : dim_k(c, k == axis);
        named = dim_add(c->cx, named, here);
        value = dim_add(c->cx, value, dim_mul(c->cx, here, values[k]));
    }
    return dim_add(c->cx, value, dim_mul(c->cx, dim_sub(c->cx, dim_k(c, 1), named), otherwise));
}

/* Reads every axis through start + i * step. */
static Val slice_running(Call *c, Val x, const Dim *from, const Dim *to_, const Dim *axes, const Dim *steps,
                         uint32_t n) {
    Context *cx = c->cx;
    Dims d = dims_of(c, x);
    Dim zero = dim_k(c, 0), one = dim_k(c, 1);
    for (uint32_t i = 0; i < d.n && x.id; i++) {
        Dim step = steps ? stated_for(c, steps, axes, n, i, d.n, one) : one, back = is_negative(c, step),
            extent = d.at[i];
        Dim end = stated_for(c, to_, axes, n, i, d.n, extent), start = stated_for(c, from, axes, n, i, d.n, zero);
        Dim last = dim_sub(cx, extent, back);
        start = clamp(c, dim_add(cx, start, dim_mul(cx, is_negative(c, start), extent)), zero, last);
        end = clamp(c, dim_add(cx, end, dim_mul(cx, is_negative(c, end), extent)), dim_sub(cx, zero, back), last);
        Dim count = dim_max(cx, dim_sub(cx, zero, dim_fdiv(cx, dim_sub(cx, start, end), step)), zero);
        if (dim_same(count, extent) && dim_is(cx, start, 0) && dim_is(cx, step, 1)) continue;
        /* As many rows as there are at most, of which a slice takes the first: this gives memory a bound. */
        Val at = ew2(c, OP_mul, iota(c, DT_i64, extent), b_dim(c->g, c->loc, step));
        at = ew2(c, OP_add, at, b_dim(c->g, c->loc, start));
        at = ew2(c, OP_max, ew2(c, OP_min, at, b_dim(c->g, c->loc, dim_addi(cx, extent, -1))), numt(c, DT_i64, 0));
        x = at.id ? b_gather(c->g, c->loc, x, at, i, 0) : at;
        if (x.id) x = sliced(c, x, i, zero, count);
    }
    return x;
}

Val import_slice(Call *c) {
    Val x = in(c, 0);
    const Dim *from, *to_;
    const int64_t *axes = NULL, *steps = NULL;
    uint32_t n, n_ends, n_axes = 0, n_steps = 0;
    if (!x.id) return x;
    if (c->opset < 10) return legacy_slice(c, x);
    const Dim *any_axes = NULL, *any_steps = NULL;
    if (has_in(c, 3) && !in_ints(c, 3, &axes, &n_axes) && !in_dims(c, 3, &any_axes, &n_axes))
        return fail(c, "axes have to come from constants or from an input of known length");
    if (has_in(c, 4) && !in_ints(c, 4, &steps, &n_steps) && !in_dims(c, 4, &any_steps, &n_steps))
        return fail(c, "steps have to come from constants or from an input of known length");
    if (any_axes || any_steps) {
        if (!in_dims(c, 1, &from, &n) || !in_dims(c, 2, &to_, &n_ends) || n_ends != n ||
            (has_in(c, 3) && (!in_dims(c, 3, &any_axes, &n_axes) || n_axes != n)) ||
            (has_in(c, 4) && (!in_dims(c, 4, &any_steps, &n_steps) || n_steps != n)))
            return fail(c, "starts, ends, axes and steps have to be of one known length");
        return slice_running(c, x, from, to_, any_axes, any_steps, n);
    }
    if (!in_dims(c, 1, &from, &n) || !in_dims(c, 2, &to_, &n_ends))
        return steps ? fail(c, "starts and ends have to come from shapes, constants or inputs of known length")
                     : running_slice(c, x, axes, n_axes);
    if (n_ends != n || (axes && n_axes != n) || (steps && n_steps != n))
        return fail(c, "starts, ends, axes and steps have to be of one length");
    if (!axes && n > val_rank(c->g, x)) return fail(c, "%u starts for rank %u", n, val_rank(c->g, x));
    return slice_list(c, x, from, to_, axes, steps, n);
}

/* ---- pad --------------------------------------------------------------------------------------------------------- */

/* Every other mode than constant reads x through computed indices, axis by axis. */
static Val pad_axis(Call *c, Val x, uint32_t axis, Dim low, Dim high, const char *mode) {
    Context *cx = c->cx;
    Dim d = val_dim(c->g, x, axis), n = dim_add(cx, dim_add(cx, d, low), high);
    if (dim_is(cx, low, 0) && dim_is(cx, high, 0)) return x;
    Val zero = numt(c, DT_i64, 0), at = ew2(c, OP_sub, iota(c, DT_i64, n), b_dim(c->g, c->loc, low));
    Val last = b_dim(c->g, c->loc, dim_addi(cx, d, -1));
    if (mode[0] == 'e') {
        at = ew2(c, OP_max, ew2(c, OP_min, at, last), zero);
    } else if (mode[0] == 'w') {
        at = ew2(c, OP_mod, at, b_dim(c->g, c->loc, d));
    } else {
        Val period = ew2(c, OP_mul, last, numt(c, DT_i64, 2));
        at = ew2(c, OP_mod, at, period);
        at = ew2(c, OP_min, at, ew2(c, OP_sub, period, at));
    }
    return at.id ? b_gather(c->g, c->loc, x, at, axis, 0) : at;
}

static Val pad_with(Call *c, Val x, const Dim *low, const Dim *high, const char *mode, Val fill) {
    static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
    uint32_t rank = val_rank(c->g, x);
    const char *known = NULL;
    for (uint32_t i = 0; i < COUNT(modes); i++)
        if (intern(c->cx, modes[i]) == intern(c->cx, mode)) known = modes[i];
    if (!known) return fail(c, "mode '%s' is not known; known are constant, reflect, edge and wrap", mode);
    if (known[0] == 'c') return padded(c, x, fill, low, high);
    for (uint32_t i = 0; i < rank && x.id; i++) x = pad_axis(c, x, i, low[i], high[i], known);
    return x;
}

static Val legacy_pad(Call *c, Val x) {
    const IntVec *pads = attr_list(c, c->opset < 2 ? "paddings" : "pads");
    Dim low[MAX_RANK], high[MAX_RANK];
    uint32_t rank = val_rank(c->g, x);
    if (!pads || pads->n != 2 * rank) return fail(c, "needs %u pads", 2 * rank);
    for (uint32_t i = 0; i < rank; i++) low[i] = dim_k(c, pads->at[i]), high[i] = dim_k(c, pads->at[i + rank]);
    return pad_with(c, x, low, high, attr_s(c, "mode", "constant"), num(c, x, attr_f(c, "value", 0)));
}

Val import_pad(Call *c) {
    Val x = in(c, 0);
    const Dim *pads;
    const int64_t *axes = NULL;
    uint32_t n, n_axes, axis;
    Dim low[MAX_RANK], high[MAX_RANK];
    if (!x.id) return x;
    if (c->opset < 11) return legacy_pad(c, x);
    uint32_t rank = val_rank(c->g, x);
    if (!in_dims(c, 1, &pads, &n)) return fail(c, "pads have to come from shapes, constants or inputs of known length");
    n_axes = rank;
    const Dim *any_axes = NULL;
    if (has_in(c, 3) && !in_ints(c, 3, &axes, &n_axes) && !in_dims(c, 3, &any_axes, &n_axes))
        return fail(c, "axes have to come from constants or from an input of known length");
    if (n != 2 * n_axes) return fail(c, "%u pads for %u axes", n, n_axes);
    for (uint32_t i = 0; i < rank; i++) low[i] = high[i] = dim_k(c, 0);
    for (uint32_t i = 0; any_axes && i < rank; i++) {
        low[i] = stated_for(c, pads, any_axes, n_axes, i, rank, dim_k(c, 0));
        high[i] = stated_for(c, pads + n_axes, any_axes, n_axes, i, rank, dim_k(c, 0));
    }
    for (uint32_t i = 0; !any_axes && i < n_axes; i++) {
        if (!norm_axis(c, axes ? axes[i] : i, rank, &axis)) return NO_VAL;
        low[axis] = pads[i], high[axis] = pads[i + n_axes];
    }
    Dims scalar = {0};
    Val fill = has_in(c, 2) ? shaped(c, in(c, 2), &scalar) : num(c, x, 0);
    return pad_with(c, x, low, high, attr_s(c, "mode", "constant"), fill);
}

Val import_center_crop_pad(Call *c) {
    Val x = in(c, 0);
    Dims d = dims_of(c, x);
    const Dim *target;
    const IntVec *axes = attr_list(c, "axes");
    Dim low[MAX_RANK], high[MAX_RANK];
    uint32_t n, axis;
    if (!x.id) return x;
    if (!in_dims(c, 1, &target, &n))
        return fail(c, "the target shape has to come from shapes, constants or inputs of known length");
    if (n != (axes ? axes->n : d.n)) return fail(c, "%u extents for %u axes", n, axes ? axes->n : d.n);
    for (uint32_t i = 0; i < d.n; i++) low[i] = high[i] = dim_k(c, 0);
    for (uint32_t i = 0; i < n; i++) {
        if (!norm_axis(c, axes ? axes->at[i] : i, d.n, &axis)) return NO_VAL;
        /* Both a crop and a pad put the odd element at the end; a crop is a negative pad whose floor is taken on its size. */
        Dim more = dim_sub(c->cx, target[i], d.at[axis]), two = dim_k(c, 2);
        Dim add = dim_max(c->cx, more, dim_k(c, 0)),
            cut = dim_max(c->cx, dim_sub(c->cx, dim_k(c, 0), more), dim_k(c, 0));
        low[axis] = dim_sub(c->cx, dim_fdiv(c->cx, add, two), dim_fdiv(c->cx, cut, two));
        high[axis] = dim_sub(c->cx, more, low[axis]);
    }
    return padded(c, x, num(c, x, 0), low, high);
}

/* ---- made from nothing ------------------------------------------------------------------------------------------- */

Val import_constant(Call *c) {
    const OnnxAttr *a;
    const OnnxTensor *t = attr_tensor(c, "value");
    if (t) {
        Dims d = {.n = t->n_dims};
        Const data = tensor_const(c->cx, c->loc, t, c->im->options->external_folder);
        if (!data.id) return NO_VAL;
        for (uint32_t i = 0; i < d.n; i++) d.at[i] = dim_k(c, t->dims[i]);
        return b_const(c->g, c->loc, data, d.n, d.at);
    }
    if ((a = find_attr(c, "value_float")) != NULL) return numt(c, DT_f32, a->f);
    if ((a = find_attr(c, "value_int")) != NULL) return b_int(c->g, c->loc, DT_i64, a->i);
    if ((a = find_attr(c, "value_ints")) != NULL) return b_ints(c->g, c->loc, a->ints.at, a->ints.n);
    if ((a = find_attr(c, "value_floats")) != NULL) {
        float *data = arena_new_array(c->cx->arena, float, a->floats.n);
        Dim n = dim_k(c, a->floats.n);
        for (uint32_t i = 0; i < a->floats.n; i++) data[i] = (float)a->floats.at[i];
        return b_const(c->g, c->loc, const_data(c->cx, DT_f32, a->floats.n, data), 1, &n);
    }
    return fail(c, "only tensors, numbers and lists of numbers are supported as constants");
}

Val import_constant_of_shape(Call *c) {
    const OnnxTensor *t = attr_tensor(c, "value");
    const Dim *size;
    Dims d = {0};
    Scalar value = {.f = 0};
    DType dtype = DT_f32;
    if (!in_dims(c, 0, &size, &d.n))
        return fail(c, "the shape has to come from shapes, constants or inputs of known length");
    if (d.n > MAX_RANK) return fail(c, "rank %u, the largest supported is %d", d.n, MAX_RANK);
    for (uint32_t i = 0; i < d.n; i++) d.at[i] = size[i];
    if (t) {
        uint64_t n;
        Const data = tensor_const(c->cx, c->loc, t, NULL);
        if (!data.id || !tensor_count(t, &n) || n != 1)
            return data.id ? fail(c, "value has to be one element") : NO_VAL;
        dtype = dtype_by_onnx(t->data_type);
        value = const_element(c->cx, data, 0);
    }
    return b_splat(c->g, c->loc, dtype, value, d.n, d.at);
}

static Val diagonal_mask(Call *c, Dim rows, Dim columns, Val shift) {
    Dims d = {.n = 2, .at = {rows, columns}};
    return ew2(c, OP_eq, axis_iota(c, DT_i64, &d, 1), ew2(c, OP_add, axis_iota(c, DT_i64, &d, 0), shift));
}

Val import_eye_like(Call *c) {
    Val x = in(c, 0);
    int64_t t = attr_i(c, "dtype", 0);
    if (!x.id) return x;
    DType dtype = t ? dtype_by_onnx(t) : val_dtype(c->g, x);
    if (dtype == DT_none || val_rank(c->g, x) != 2) return fail(c, "needs rank 2 and a known element type");
    return to(c, diagonal_mask(c, val_dim(c->g, x, 0), val_dim(c->g, x, 1), numt(c, DT_i64, (double)attr_i(c, "k", 0))),
              dtype);
}

Val import_trilu(Call *c) {
    Val x = in(c, 0);
    Dims d = dims_of(c, x), scalar = {0};
    if (!x.id) return x;
    if (d.n < 2) return fail(c, "needs rank 2 or more, found %u", d.n);
    Dims two = {.n = 2, .at = {d.at[d.n - 2], d.at[d.n - 1]}};
    Val k = has_in(c, 1) ? shaped(c, in(c, 1), &scalar) : numt(c, DT_i64, 0);
    Val row = ew2(c, OP_add, axis_iota(c, DT_i64, &two, 0), k), column = axis_iota(c, DT_i64, &two, 1);
    bool upper = attr_i(c, "upper", 1) != 0;
    return sel(c, upper ? ew2(c, OP_le, row, column) : ew2(c, OP_le, column, row), x, num(c, x, 0));
}

/* index (its axes, with a new one at `axis`) == iota along it. */
Val one_hot(Call *c, Val index, uint32_t axis, Dim depth, Val off, Val on) {
    if (!index.id) return index;
    Dims d = {.n = val_rank(c->g, index) + 1};
    for (uint32_t i = 0; i < d.n; i++) d.at[i] = dim_k(c, 1);
    d.at[axis] = depth;
    return sel(c, ew2(c, OP_eq, unsqueezed(c, index, axis), axis_iota(c, DT_i64, &d, axis)), on, off);
}

Val import_one_hot(Call *c) {
    Val index = in(c, 0), values = in(c, 2);
    const Dim *size;
    Dim depth;
    uint32_t n, axis;
    double number;
    Dims scalar = {0};
    if (!index.id || !values.id) return NO_VAL;
    if (in_dims(c, 1, &size, &n) && n == 1)
        depth = size[0];
    else if (in_scalar(c, 1, &number))
        depth = dim_k(c, (int64_t)number);
    else if (bind_float(c, 1, 0, 1, &depth))
        depth = float_extent(c, depth);
    else
        return fail(c, "depth has to come from shapes, constants or inputs of known length");
    if (!norm_axis(c, attr_i(c, "axis", -1), val_rank(c->g, index) + 1, &axis)) return NO_VAL;
    Val off = shaped(c, sliced(c, values, 0, dim_k(c, 0), dim_k(c, 1)), &scalar);
    Val on = shaped(c, sliced(c, values, 0, dim_k(c, 1), dim_k(c, 1)), &scalar);
    return one_hot(c, wrap_index(c, to(c, index, DT_i64), depth), axis, depth, off, on);
}

/* max(0, ceil((limit - start) / delta)) */
static Dim range_extent(Call *c, Dim start, Dim limit, Dim delta) {
    graph_guard(c->g, c->loc, REL_NE, delta, dim_k(c, 0), "the delta of a range is not 0");
    Dim steps = dim_sub(c->cx, dim_k(c, 0), dim_fdiv(c->cx, dim_sub(c->cx, start, limit), delta));
    return bounded_extent(c, "extent", dim_max(c->cx, steps, dim_k(c, 0)));
}

static Val range_of_floats(Call *c) {
    double start, limit, delta;
    Dim bound_[3];
    if (bind_float(c, 0, 0, 1, &bound_[0]) && bind_float(c, 1, 0, 1, &bound_[1]) &&
        bind_float(c, 2, 0, 1, &bound_[2])) {
        Dim n = range_extent(c, bound_[0], bound_[1], bound_[2]);
        Val first = in(c, 0), i = to(c, iota(c, DT_i64, n), val_dtype(c->g, first));
        return ew2(c, OP_add, ew2(c, OP_mul, i, in(c, 2)), first);
    }
    if (!in_scalar(c, 0, &start) || !in_scalar(c, 1, &limit) || !in_scalar(c, 2, &delta) || delta == 0)
        return fail(c, "start, limit and delta have to come from shapes, constants or integer inputs");
    double count = ceil((limit - start) / delta);
    if (!(count < 1e9)) return fail(c, "a range of %g elements", count);
    Val first = in(c, 0), i = to(c, iota(c, DT_i64, dim_k(c, count > 0 ? (int64_t)count : 0)), val_dtype(c->g, first));
    return ew2(c, OP_add, ew2(c, OP_mul, i, in(c, 2)), first);
}

Val import_range(Call *c) {
    Context *cx = c->cx;
    const Dim *start, *limit, *delta;
    uint32_t n;
    Dims scalar = {0};
    for (uint32_t i = 0; i < 3; i++)
        if (has_in(c, i)) number_elements(c, &c->in[i]);
    if (!in_dims(c, 0, &start, &n) || !in_dims(c, 1, &limit, &n) || !in_dims(c, 2, &delta, &n))
        return range_of_floats(c);
    if (dim_is(cx, delta[0], 0)) return fail(c, "a delta of 0");
    DType t = c->in[0].dtype;
    Val y = to(c, iota(c, DT_i64, range_extent(c, start[0], limit[0], delta[0])), t);
    if (!dim_is(cx, delta[0], 1)) y = ew2(c, OP_mul, y, shaped(c, in(c, 2), &scalar));
    if (!dim_is(cx, start[0], 0)) y = ew2(c, OP_add, y, shaped(c, in(c, 0), &scalar));
    return y;
}

/* Row t of sequence b comes from lens[b] - 1 - t where t lies inside. */
Val import_reverse_sequence(Call *c) {
    Val x = in(c, 0), lens = to(c, in(c, 1), DT_i64);
    uint32_t time, batch;
    if (!x.id || !lens.id) return NO_VAL;
    Dims d = dims_of(c, x);
    if (!norm_axis(c, attr_i(c, "time_axis", 0), d.n, &time) || !norm_axis(c, attr_i(c, "batch_axis", 1), d.n, &batch))
        return NO_VAL;
    Val t = axis_iota(c, DT_i64, &d, time), len = per_axis(c, lens, batch, d.n);
    Val back = ew2(c, OP_sub, ew2(c, OP_sub, len, numt(c, DT_i64, 1)), t);
    Val pair[2] = {x, sel(c, ew2(c, OP_lt, t, len), back, t)};
    Attr axis = {.key = ATTR_axis, .as.i = time};
    return emit(c->g, OP_gather_elements, c->loc, pair, 2, &axis, 1);
}
