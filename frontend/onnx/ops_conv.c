/* ops_conv.c: ONNX convolutions and pools.
 *
 * The Graph op conv is channels last: the operand is permuted to [n, s.., c], the weights to [r.., c/g, f], the result
 * back; the permutes of neighbours cancel in pass layout and those of constants fold.  ConvTranspose with a stride is a
 * convolution to all its phases side by side, which are then interleaved; without one, or with dilation, a convolution of the
 * operand spread by the stride with the weights turned round.  Pools work on ONNX's own layout with windows of 1 over
 * batch and channels.
 */
#include "onnx.h"
#include <string.h>

/* ---- spatial attributes ------------------------------------------------------------------------------------------ */

static bool spatial_list(Call *c, const char *name, uint32_t n, int64_t otherwise, int64_t least, int64_t *to_) {
    const IntVec *list = attr_list(c, name);
    if (list && list->n != n) {
        fail(c, "%s has %u numbers for %u spatial axes", name, list->n, n);
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        to_[i] = list ? list->at[i] : otherwise;
        if (to_[i] < least || to_[i] > INT32_MAX) {
            fail(c, "%s is %lld on spatial axis %u", name, (long long)to_[i], i);
            return false;
        }
    }
    return true;
}

/* Padding so that every stride'th position has a window; the odd element goes to the end, or to the start (SAME_LOWER). */
static void same_padding(Call *c, Dim extent, bool lower, uint32_t i, Window *w) {
    Context *cx = c->cx;
    Dim steps = dim_addi(cx, dim_cdiv(cx, extent, dim_k(c, w->stride[i])), -1);
    Dim total = dim_sub(cx, dim_addi(cx, dim_add(cx, dim_muli(cx, steps, w->stride[i]), w->reach[i]), 1), extent);
    total = dim_max(cx, total, dim_k(c, 0));
    Dim small = dim_fdiv(cx, total, dim_k(c, 2)), large = dim_sub(cx, total, small);
    w->low[i] = lower ? large : small;
    w->high[i] = lower ? small : large;
}

bool window_read(Call *c, Val x, const Dim *extents, uint32_t n, Window *w) {
    const char *automatic = attr_s(c, "auto_pad", "NOTSET");
    int64_t pads[2 * MAX_RANK];
    *w = (Window){.n = n, .ceil = attr_i(c, "ceil_mode", 0) != 0};
    if (!extents && !spatial_list(c, "kernel_shape", n, 0, 1, w->kernel)) return false;
    if (!spatial_list(c, "strides", n, 1, 1, w->stride) || !spatial_list(c, "dilations", n, 1, 1, w->dilation))
        return false;
    for (uint32_t i = 0; i < n; i++)
        w->reach[i] =
            dim_muli(c->cx, dim_addi(c->cx, extents ? extents[i] : dim_k(c, w->kernel[i]), -1), w->dilation[i]);
    bool fixed = strcmp(automatic, "NOTSET") == 0 || strcmp(automatic, "VALID") == 0 || !automatic[0];
    bool lower = strcmp(automatic, "SAME_LOWER") == 0, upper = strcmp(automatic, "SAME_UPPER") == 0;
    if (!fixed && !lower && !upper) {
        fail(c, "auto_pad '%s' is not known", automatic);
        return false;
    }
    if (!spatial_list(c, "pads", 2 * n, 0, INT32_MIN, pads)) return false;
    for (uint32_t i = 0; i < n; i++) {
        bool none = strcmp(automatic, "VALID") == 0;
        w->low[i] = dim_k(c, none ? 0 : pads[i]);
        w->high[i] = dim_k(c, none ? 0 : pads[i + n]);
        if (!fixed) same_padding(c, val_dim(c->g, x, val_rank(c->g, x) - n + i), lower, i, w);
    }
    return true;
}

/* ---- convolution ------------------------------------------------------------------------------------------------- */

static Val channels_last(Call *c, Val x) {
    int64_t perm[MAX_RANK];
    if (!x.id) return x;
    uint32_t rank = val_rank(c->g, x);
    perm[0] = 0, perm[rank - 1] = 1;
    for (uint32_t i = 1; i + 1 < rank; i++) perm[i] = i + 1;
    return permuted(c, x, perm);
}

static Val channels_first(Call *c, Val x) {
    int64_t perm[MAX_RANK];
    if (!x.id) return x;
    uint32_t rank = val_rank(c->g, x);
    perm[0] = 0, perm[1] = rank - 1;
    for (uint32_t i = 2; i < rank; i++) perm[i] = i - 1;
    return permuted(c, x, perm);
}

/* x [n, s.., c] and w [r.., c/g, f]. */
static Val emit_conv(Call *c, Val x, Val w, const Window *k, int64_t groups) {
    Attr attrs[] = {{.key = ATTR_stride, .n = k->n, .as.ints = k->stride},
                    {.key = ATTR_dilation, .n = k->n, .as.ints = k->dilation},
                    {.key = ATTR_low, .n = k->n, .as.dims = k->low},
                    {.key = ATTR_high, .n = k->n, .as.dims = k->high},
                    {.key = ATTR_groups, .as.i = groups},
                    {.key = ATTR_chunk, .as.i = CHUNK_K}};
    Val pair[2] = {x, w};
    Val y = x.id && w.id ? emit(c->g, OP_conv, c->loc, pair, 2, attrs, COUNT(attrs)) : NO_VAL;
    return y.id ? b_convert(c->g, c->loc, y, val_dtype(c->g, x)) : y;
}

/* [f, c/g, r..] -> [r.., c/g, f]. */
static Val weights_last(Call *c, Val w) {
    int64_t perm[MAX_RANK];
    if (!w.id) return w;
    uint32_t rank = val_rank(c->g, w);
    for (uint32_t i = 0; i + 2 < rank; i++) perm[i] = i + 2;
    perm[rank - 2] = 1, perm[rank - 1] = 0;
    return permuted(c, w, perm);
}

Val conv_core(Call *c, Val x, Val w, const Window *k, int64_t groups) {
    return channels_first(c, emit_conv(c, channels_last(c, x), weights_last(c, w), k, groups));
}

/* The extents of the filter: of the weights, or of kernel_shape where the weights' are symbolic. */
static bool kernel_of(Call *c, Val x, Val w, Dim *kernel, uint32_t *n) {
    const IntVec *stated = attr_list(c, "kernel_shape");
    int64_t k;
    if (!x.id || !w.id) return false;
    uint32_t rank = val_rank(c->g, x);
    *n = rank - 2;
    if (rank < 3 || val_rank(c->g, w) != rank) {
        fail(c, "needs operand and weights of one rank, 3 or more, found %u and %u", rank, val_rank(c->g, w));
        return false;
    }
    for (uint32_t i = 0; i < *n; i++) {
        kernel[i] = val_dim(c->g, w, i + 2);
        if (!dim_const_value(c->cx, kernel[i], &k) && stated && stated->n == *n) kernel[i] = dim_k(c, stated->at[i]);
        if (dim_const_value(c->cx, kernel[i], &k) && (k < 1 || k > INT32_MAX)) {
            fail(c, "the filter has extent %lld", (long long)k);
            return false;
        }
    }
    return true;
}

static Val conv_of(Call *c, Val x, Val w, Val bias) {
    int64_t groups = attr_i(c, "group", 1);
    Dim kernel[MAX_RANK];
    uint32_t n;
    Window k;
    if (groups < 1) return fail(c, "group is %lld", (long long)groups);
    if (!kernel_of(c, x, w, kernel, &n) || !window_read(c, x, kernel, n, &k)) return NO_VAL;
    Val y = emit_conv(c, channels_last(c, x), weights_last(c, w), &k, groups);
    if (bias.id) y = ew2(c, OP_add, y, bias);
    return channels_first(c, y);
}

Val import_conv(Call *c) { return conv_of(c, in(c, 0), in(c, 1), has_in(c, 2) ? in(c, 2) : NO_VAL); }

static Val less_zero(Call *c, Val x, uint32_t zero_input, bool per_filter) {
    Val y = to(c, x, DT_i32);
    if (!has_in(c, zero_input) || !y.id) return y;
    Val zero = to(c, in(c, zero_input), DT_i32);
    Dims scalar = {0};
    if (zero.id && val_rank(c->g, zero) == 1)
        zero = per_filter && !dim_is(c->cx, val_dim(c->g, zero, 0), 1) ? per_axis(c, zero, 0, val_rank(c->g, y))
                                                                       : shaped(c, zero, &scalar);
    return ew2(c, OP_sub, y, zero);
}

Val import_conv_integer(Call *c) {
    return conv_of(c, less_zero(c, in(c, 0), 2, false), less_zero(c, in(c, 1), 3, true), NO_VAL);
}

/* x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias. */
Val import_qlinear_conv(Call *c) {
    Val zero = in(c, 7), scale_w = in(c, 4), bias = has_in(c, 8) ? in(c, 8) : NO_VAL;
    Val y = conv_of(c, less_zero(c, in(c, 0), 2, false), less_zero(c, in(c, 3), 5, true), bias);
    if (!y.id || !zero.id || !scale_w.id) return NO_VAL;
    Val scale = ew2(c, OP_div, ew2(c, OP_mul, in(c, 1), scale_w), in(c, 6));
    if (scale.id && val_rank(c->g, scale) == 1 && !dim_is(c->cx, val_dim(c->g, scale, 0), 1))
        scale = per_axis(c, scale, 1, val_rank(c->g, y));
    Val f = ew1(c, OP_round, ew2(c, OP_mul, to(c, y, DT_f32), scale));
    return to(c, ew2(c, OP_add, f, to(c, zero, DT_f32)), val_dtype(c->g, zero));
}

/* ---- transposed convolution -------------------------------------------------------------------------------------- */

/* [i, o/g, r..] -> [r.. turned round, i/g, o]. */
static Val turned_weights(Call *c, Val w, int64_t groups) {
    Dims d = dims_of(c, w), parted = {.n = d.n + 1}, merged = {.n = d.n};
    int64_t perm[MAX_RANK];
    if (!w.id || d.n == MAX_RANK) return NO_VAL;
    uint32_t n = d.n - 2;
    for (uint32_t i = 0; i < n; i++) w = reversed(c, w, i + 2);
    parted.at[0] = dim_k(c, groups);
    parted.at[1] = dim_fdiv(c->cx, d.at[0], dim_k(c, groups));
    for (uint32_t i = 1; i < d.n; i++) parted.at[i + 1] = d.at[i];
    for (uint32_t i = 0; i < n; i++) perm[i] = i + 3, merged.at[i] = d.at[i + 2];
    perm[n] = 1, perm[n + 1] = 0, perm[n + 2] = 2;
    merged.at[n] = parted.at[1];
    merged.at[n + 1] = dim_muli(c->cx, d.at[1], groups);
    return shaped(c, permuted(c, shaped(c, w, &parted), perm), &merged);
}

/* low and high as they would be in the convolution that this one transposes. */
static bool transposed_padding(Call *c, Val x, Window *k, const int64_t *extra) {
    const IntVec *shape = attr_list(c, "output_shape");
    const char *automatic = attr_s(c, "auto_pad", "NOTSET");
    bool lower = strcmp(automatic, "SAME_LOWER") == 0, same = lower || strcmp(automatic, "SAME_UPPER") == 0;
    Context *cx = c->cx;
    if (shape && shape->n != k->n && shape->n != k->n + 2) {
        fail(c, "output_shape has %u numbers for %u spatial axes", shape->n, k->n);
        return false;
    }
    for (uint32_t i = 0; i < k->n; i++) {
        Dim extent = val_dim(c->g, x, i + 2);
        if (!shape && !same) continue;
        Dim out = shape ? dim_k(c, shape->at[shape->n - k->n + i]) : dim_muli(cx, extent, k->stride[i]);
        Dim full = dim_addi(cx, dim_muli(cx, dim_addi(cx, extent, -1), k->stride[i]), extra[i] + 1);
        full = dim_add(cx, full, k->reach[i]);
        Dim total = dim_sub(cx, full, out);
        if (same) total = dim_max(cx, total, dim_k(c, 0));
        Dim half = dim_fdiv(cx, total, dim_k(c, 2)), rest = dim_sub(cx, total, half);
        k->low[i] = same && !lower ? half : rest;
        k->high[i] = dim_sub(cx, total, k->low[i]);
    }
    return true;
}

/* The phases of a stride: full position s * t + p sums x[t - j] w[s * j + p] over j, so that position t of one convolution with
 * ceil(k / s) taps yields all s of them, as filters. */

/* [i, o/g, k..] -> [taps turned round.., i/g, g * s.. * o/g]. */
static Val phase_weights(Call *c, Val w, const Window *k, const int64_t *kernel, int64_t groups) {
    Dims d = dims_of(c, w), parted = {.n = 3 + 2 * k->n}, merged = {.n = k->n + 2};
    Dim high[MAX_RANK], none[MAX_RANK];
    int64_t perm[MAX_RANK], phases = 1;
    for (uint32_t i = 0; i < d.n; i++) high[i] = none[i] = dim_k(c, 0);
    parted.at[0] = dim_k(c, groups), parted.at[1] = dim_fdiv(c->cx, d.at[0], dim_k(c, groups)), parted.at[2] = d.at[1];
    perm[k->n] = 1, perm[k->n + 1] = 0, perm[2 * k->n + 2] = 2;
    for (uint32_t i = 0; i < k->n; i++) {
        int64_t s = k->stride[i], taps = (kernel[i] + s - 1) / s;
        high[i + 2] = dim_k(c, taps * s - kernel[i]);
        parted.at[3 + 2 * i] = merged.at[i] = dim_k(c, taps), parted.at[4 + 2 * i] = dim_k(c, s);
        perm[i] = 3 + 2 * i, perm[k->n + 2 + i] = 4 + 2 * i;
        phases *= s;
    }
    merged.at[k->n] = parted.at[1], merged.at[k->n + 1] = dim_muli(c->cx, dim_muli(c->cx, d.at[1], groups), phases);
    w = shaped(c, padded(c, w, num(c, w, 0), none, high), &parted);
    for (uint32_t i = 0; i < k->n; i++) w = reversed(c, w, 3 + 2 * i);
    return shaped(c, permuted(c, w, perm), &merged);
}

/* y [n, t.., g * s.. * o/g] -> [n, t.. * s.., g * o/g]. */
static Val interleaved(Call *c, Val y, const Window *k, int64_t groups, Dim filters) {
    Dims d = dims_of(c, y), parted = {.n = 3 + 2 * k->n}, merged = {.n = k->n + 2};
    int64_t perm[MAX_RANK];
    if (!y.id) return y;
    parted.at[0] = merged.at[0] = d.at[0], perm[0] = 0;
    for (uint32_t i = 0; i < k->n; i++) {
        parted.at[1 + i] = d.at[1 + i], parted.at[2 + k->n + i] = dim_k(c, k->stride[i]);
        merged.at[1 + i] = dim_muli(c->cx, d.at[1 + i], k->stride[i]);
        perm[1 + 2 * i] = 1 + i, perm[2 + 2 * i] = 2 + k->n + i;
    }
    parted.at[1 + k->n] = dim_k(c, groups), perm[1 + 2 * k->n] = 1 + k->n;
    parted.at[2 + 2 * k->n] = filters, perm[2 + 2 * k->n] = 2 + 2 * k->n;
    merged.at[k->n + 1] = dim_muli(c->cx, filters, groups);
    return shaped(c, permuted(c, shaped(c, y, &parted), perm), &merged);
}

/* k has the padding of the convolution that this one transposes; extra zeros at the high ends.  y: channels last. */
static Val conv_by_phases(Call *c, Val x, Val w, const Window *k, const int64_t *kernel, const int64_t *extra, int64_t groups) {
    Window by = {.n = k->n};
    Context *cx = c->cx;
    for (uint32_t i = 0; i < k->n; i++) {
        by.stride[i] = by.dilation[i] = 1;
        by.low[i] = by.high[i] = dim_k(c, (kernel[i] + k->stride[i] - 1) / k->stride[i] - 1);
    }
    Val y = emit_conv(c, channels_last(c, x), phase_weights(c, w, k, kernel, groups), &by, groups);
    y = interleaved(c, y, k, groups, val_dim(c->g, w, 1));
    if (!y.id) return y;
    Dim low[MAX_RANK], high[MAX_RANK], size[MAX_RANK];
    int64_t one[MAX_RANK], none[MAX_RANK] = {0};
    bool cuts = true;
    for (uint32_t i = 0; i < k->n + 2; i++) {
        bool spatial = i > 0 && i <= k->n;
        Dim all = val_dim(c->g, y, i);
        low[i] = high[i] = dim_k(c, 0), size[i] = all, one[i] = 1;
        if (!spatial) continue;
        low[i] = k->low[i - 1];
        size[i] = dim_muli(cx, dim_addi(cx, val_dim(c->g, x, i + 1), -1), k->stride[i - 1]);
        size[i] = dim_add(cx, size[i], dim_k(c, kernel[i - 1] + extra[i - 1]));
        size[i] = dim_sub(cx, dim_sub(cx, size[i], low[i]), k->high[i - 1]);
        high[i] = dim_sub(cx, all, dim_add(cx, low[i], size[i])); /* to be cut off */
        cuts = cuts && prove(cx, NULL, REL_LE, dim_k(c, 0), low[i]) == YES &&
               prove(cx, NULL, REL_LE, dim_k(c, 0), high[i]) == YES;
    }
    if (cuts) return b_slice(c->g, c->loc, y, low, one, size);
    for (uint32_t i = 0; i < k->n + 2; i++) low[i] = dim_muli(cx, low[i], -1), high[i] = dim_muli(cx, high[i], -1);
    return b_pad(c->g, c->loc, y, num(c, y, 0), low, high, none);
}

/* A stride, no dilation, and a filter known while compiling, of a size that can be. */
static bool has_phases(Call *c, const Window *k, const Dim *extents, int64_t *kernel) {
    bool strided = false;
    for (uint32_t i = 0; i < k->n; i++) {
        if (k->dilation[i] != 1 || k->stride[i] > 64) return false;
        if (!dim_const_value(c->cx, extents[i], &kernel[i]) || kernel[i] > INT32_MAX) return false;
        strided = strided || k->stride[i] > 1;
    }
    return strided && 3 + 2 * k->n <= MAX_RANK;
}

Val import_conv_transpose(Call *c) {
    Val x = in(c, 0), w = in(c, 1);
    int64_t extra[MAX_RANK], interior[MAX_RANK], extents[MAX_RANK], groups = attr_i(c, "group", 1);
    Dim none[MAX_RANK], kernel[MAX_RANK];
    uint32_t n;
    Window k;
    if (groups < 1) return fail(c, "group is %lld", (long long)groups);
    if (!kernel_of(c, x, w, kernel, &n) || !window_read(c, x, kernel, n, &k)) return NO_VAL;
    if (!spatial_list(c, "output_padding", n, 0, 0, extra) || !transposed_padding(c, x, &k, extra)) return NO_VAL;
    if (has_phases(c, &k, kernel, extents)) {
        Val y = conv_by_phases(c, x, w, &k, extents, extra, groups);
        return channels_first(c, has_in(c, 2) ? ew2(c, OP_add, y, in(c, 2)) : y);
    }
    for (uint32_t i = 0; i < n + 2; i++) interior[i] = 0, none[i] = dim_k(c, 0);
    for (uint32_t i = 0; i < n; i++) {
        interior[i + 1] = k.stride[i] - 1;
        k.low[i] = dim_sub(c->cx, k.reach[i], k.low[i]);
        k.high[i] = dim_addi(c->cx, dim_sub(c->cx, k.reach[i], k.high[i]), extra[i]);
        k.stride[i] = 1;
    }
    Val spaced = channels_last(c, x);
    bool spread_out = false;
    for (uint32_t i = 0; i < n + 2; i++) spread_out = spread_out || interior[i];
    if (spread_out && spaced.id) spaced = b_pad(c->g, c->loc, spaced, num(c, x, 0), none, none, interior);
    Val y = emit_conv(c, spaced, turned_weights(c, w, groups), &k, groups);
    if (has_in(c, 2)) y = ew2(c, OP_add, y, in(c, 2));
    return channels_first(c, y);
}

/* ---- pools ------------------------------------------------------------------------------------------------------- */

/* With ceil_mode a last, partial window counts if it starts inside the operand or its leading padding. */
static Dim extra_high(Call *c, const Window *k, uint32_t i, Dim extent) {
    Context *cx = c->cx;
    Dim s = dim_k(c, k->stride[i]), whole = dim_add(cx, dim_add(cx, extent, k->low[i]), k->high[i]);
    if (!k->ceil) return dim_k(c, 0);
    Dim count = dim_addi(cx, dim_cdiv(cx, dim_addi(cx, dim_sub(cx, whole, k->reach[i]), -1), s), 1);
    count = dim_min(cx, count, dim_cdiv(cx, dim_add(cx, extent, k->low[i]), s));
    Dim needed = dim_addi(cx, dim_add(cx, dim_muli(cx, dim_addi(cx, count, -1), k->stride[i]), k->reach[i]), 1);
    return dim_sub(cx, needed, whole);
}

static Val emit_window(Call *c, Op op, Val x, const Window *k) {
    int64_t window[MAX_RANK], stride[MAX_RANK], dilation[MAX_RANK];
    Dim low[MAX_RANK], high[MAX_RANK];
    if (!x.id) return x;
    uint32_t rank = val_rank(c->g, x), lead = rank - k->n;
    for (uint32_t i = 0; i < rank; i++) {
        bool spatial = i >= lead;
        window[i] = spatial ? k->kernel[i - lead] : 1;
        stride[i] = spatial ? k->stride[i - lead] : 1;
        dilation[i] = spatial ? k->dilation[i - lead] : 1;
        low[i] = spatial ? k->low[i - lead] : dim_k(c, 0);
        high[i] = spatial ? k->high[i - lead] : dim_k(c, 0);
    }
    Attr attrs[] = {{.key = ATTR_window, .n = rank, .as.ints = window},
                    {.key = ATTR_stride, .n = rank, .as.ints = stride},
                    {.key = ATTR_dilation, .n = rank, .as.ints = dilation},
                    {.key = ATTR_low, .n = rank, .as.dims = low},
                    {.key = ATTR_high, .n = rank, .as.dims = high}};
    return emit(c->g, op, c->loc, &x, 1, attrs, COUNT(attrs));
}

static bool pool_window(Call *c, Val x, Window *k) {
    if (!x.id) return false;
    uint32_t rank = val_rank(c->g, x);
    if (rank < 3) {
        fail(c, "needs rank 3 or more, found %u", rank);
        return false;
    }
    return window_read(c, x, NULL, rank - 2, k);
}

static void round_up(Call *c, Val x, Window *k) {
    for (uint32_t i = 0; i < k->n; i++)
        k->high[i] = dim_add(c->cx, k->high[i], extra_high(c, k, i, val_dim(c->g, x, i + 2)));
}

/* Flat indices with the two last spatial axes exchanged in their order: storage_order 1. */
static Val column_major(Call *c, Val index, Val x) {
    Dims d = dims_of(c, x);
    Dim plane = dim_product(c->cx, d.at + 2, d.n - 2);
    Val size = b_dim(c->g, c->loc, plane), image = ew2(c, OP_div, index, size), rest = ew2(c, OP_rem, index, size);
    Val flat = numt(c, DT_i64, 0);
    Dim weight = dim_k(c, 1), below = plane;
    for (uint32_t i = 2; i < d.n; i++) {
        below = dim_fdiv(c->cx, below, d.at[i]);
        Val b = b_dim(c->g, c->loc, below), coordinate = ew2(c, OP_div, rest, b);
        rest = ew2(c, OP_rem, rest, b);
        flat = ew2(c, OP_add, flat, ew2(c, OP_mul, coordinate, b_dim(c->g, c->loc, weight)));
        weight = dim_mul(c->cx, weight, d.at[i]);
    }
    return ew2(c, OP_add, ew2(c, OP_mul, image, size), flat);
}

/* The largest of each window: of the largest along one axis after the other, where that takes half of the comparisons. */
static Val window_largest(Call *c, Val x, const Window *k) {
    int64_t whole = 1, parts = 0, left = 1; /* comparisons for a result; places along the axes that are still to come */
    for (uint32_t i = 0; i < k->n; i++) {
        whole = sat_mul(whole, k->kernel[i]), parts = sat_add(parts, sat_mul(left, k->kernel[i]));
        left = sat_mul(left, k->stride[i]);
    }
    if (parts > whole / 2) return emit_window(c, OP_window_max, x, k);
    for (uint32_t i = k->n; i-- > 0;) {
        Window along = {.n = k->n};
        for (uint32_t j = 0; j < k->n; j++) {
            bool one = j == i;
            along.kernel[j] = one ? k->kernel[j] : 1, along.stride[j] = one ? k->stride[j] : 1;
            along.dilation[j] = one ? k->dilation[j] : 1;
            along.low[j] = one ? k->low[j] : dim_k(c, 0), along.high[j] = one ? k->high[j] : dim_k(c, 0);
        }
        x = emit_window(c, OP_window_max, x, &along);
    }
    return x;
}

Val import_max_pool(Call *c) {
    Val x = in(c, 0);
    Window k;
    if (!pool_window(c, x, &k)) return NO_VAL;
    round_up(c, x, &k);
    if (wants_out(c, 1)) {
        Val index = emit_window(c, OP_window_arg_max, x, &k);
        set_out(c, 1, attr_i(c, "storage_order", 0) ? column_major(c, index, x) : index);
    }
    return window_largest(c, x, &k);
}

/* How many elements each window counts: a window sum over ones, where padding counts within the stated pads only. */
static Val window_count(Call *c, Val x, const Window *stated, const Window *k, bool padding) {
    Dims d = dims_of(c, x);
    Window ones = *k;
    bool plain = true;
    double all = 1;
    for (uint32_t i = 0; i < k->n; i++) {
        Dim more = dim_sub(c->cx, k->high[i], stated->high[i]);
        bool padded_ = !dim_is(c->cx, stated->low[i], 0) || !dim_is(c->cx, stated->high[i], 0);
        plain = plain && dim_is(c->cx, more, 0) && (padding || !padded_);
        all *= (double)k->kernel[i];
        if (!padding) continue;
        d.at[i + 2] = dim_add(c->cx, dim_add(c->cx, d.at[i + 2], stated->low[i]), stated->high[i]);
        ones.low[i] = dim_k(c, 0);
        ones.high[i] = more;
    }
    if (plain) return num(c, x, all);
    d.at[0] = d.at[1] = dim_k(c, 1);
    return emit_window(c, OP_window_sum, splat(c, val_dtype(c->g, x), 1, &d), &ones);
}

Val import_average_pool(Call *c) {
    Val x = in(c, 0);
    Window stated, k;
    if (!pool_window(c, x, &stated)) return NO_VAL;
    k = stated;
    round_up(c, x, &k);
    Val total = emit_window(c, OP_window_sum, x, &k);
    return ew2(c, OP_div, total, window_count(c, x, &stated, &k, attr_i(c, "count_include_pad", 0) != 0));
}

static Val root(Call *c, Val x, double p) {
    if (p == 1) return x;
    return p == 2 ? ew1(c, OP_sqrt, x) : ew2(c, OP_pow, x, num(c, x, 1 / p));
}

static Val power(Call *c, Val x, double p) {
    Val a = ew1(c, OP_abs, x);
    if (p == 1) return a;
    return p == 2 ? ew2(c, OP_mul, x, x) : ew2(c, OP_pow, a, num(c, x, p));
}

static double lp_order(Call *c) { return c->opset < 2 ? attr_f(c, "p", 2) : (double)attr_i(c, "p", 2); }

Val import_lp_pool(Call *c) {
    Val x = in(c, 0);
    Window k;
    double p = lp_order(c);
    if (!pool_window(c, x, &k)) return NO_VAL;
    round_up(c, x, &k);
    return root(c, emit_window(c, OP_window_sum, power(c, x, p), &k), p);
}

Val import_global_pool(Call *c) {
    Val x = in(c, 0);
    int64_t axes[MAX_RANK];
    if (!x.id) return x;
    uint32_t rank = val_rank(c->g, x);
    if (rank < 2) return fail(c, "needs rank 2 or more, found %u", rank);
    for (uint32_t i = 2; i < rank; i++) axes[i - 2] = i;
    if (c->row->param == OP_reduce_max) return reduce(c, OP_reduce_max, x, axes, rank - 2, true);
    if (c->row->param == OP_div) return b_mean(c->g, c->loc, x, axes, rank - 2, true);
    double p = lp_order(c);
    return root(c, reduce(c, OP_reduce_sum, power(c, x, p), axes, rank - 2, true), p);
}

/* Values at flat indices of the unpooled tensor; zeros elsewhere. */
Val import_max_unpool(Call *c) {
    Val x = in(c, 0), index = in(c, 1);
    const Dim *shape;
    uint32_t n;
    Window k;
    if (!index.id || !pool_window(c, x, &k)) return NO_VAL;
    Dims d = dims_of(c, x), natural = d, full = d;
    for (uint32_t i = 0; i < k.n; i++) {
        Dim size = dim_addi(c->cx, dim_muli(c->cx, dim_addi(c->cx, d.at[i + 2], -1), k.stride[i]), k.kernel[i]);
        natural.at[i + 2] = dim_sub(c->cx, dim_sub(c->cx, size, k.low[i]), k.high[i]);
    }
    full = natural;
    if (has_in(c, 2)) {
        if (!in_dims(c, 2, &shape, &n) || n != d.n)
            return fail(c, "output_shape has to come from shapes, constants or inputs of known length");
        for (uint32_t i = 0; i < n; i++) full.at[i] = shape[i];
    }
    Dims flat = {.n = 1, .at = {dim_product(c->cx, natural.at, natural.n)}},
         list = {.n = 1, .at = {dim_product(c->cx, d.at, d.n)}};
    Attr attrs[2] = {{.key = ATTR_axis, .as.i = 0}, {.key = ATTR_combine, .as.text = intern(c->cx, "set")}};
    Val triple[3] = {splat(c, val_dtype(c->g, x), 0, &flat), shaped(c, to(c, index, DT_i64), &list),
                     shaped(c, x, &list)};
    Val y = shaped(c, emit(c->g, OP_scatter_elements, c->loc, triple, 3, attrs, 2), &natural);
    if (!has_in(c, 2)) return y;
    Dim low[MAX_RANK], high[MAX_RANK];
    for (uint32_t i = 0; i < d.n; i++) low[i] = dim_k(c, 0), high[i] = dim_sub(c->cx, full.at[i], natural.at[i]);
    return padded(c, y, num(c, x, 0), low, high);
}
