/* ops_sample.c: operators that read at computed positions between elements: GridSample, AffineGrid, DeformConv, RoiAlign,
 * and Col2Im, their counterpart that adds up overlapping windows.
 *
 * One sampler serves the first and the third: for each tap of the filter around floor(position) a flat index is built,
 * gathered and weighted.
 */
#include "onnx.h"
#include <math.h>
#include <string.h>

enum { SPACE = 4 };
typedef enum Outside { OUTSIDE_ZEROS, OUTSIDE_BORDER, OUTSIDE_REFLECT } Outside;
typedef struct Sampler {
    uint32_t n; /* spatial axes */
    Dim extent[SPACE];
    Val position[SPACE];         /* [b, p] each, in elements */
    Val low[SPACE], high[SPACE]; /* where reflection turns */
    Outside outside;
    uint32_t taps; /* 1 nearest, 2 linear, 4 cubic */
} Sampler;

static Val span_of(Call *c, Val like, Dim d) { return to(c, b_dim(c->g, c->loc, d), val_dtype(c->g, like)); }

/* The triangle wave between low and high. */
static Val reflect(Call *c, Val x, Val low, Val high) {
    Val range = ew2(c, OP_sub, high, low), off = ew1(c, OP_abs, ew2(c, OP_sub, x, low));
    Val turns = ew1(c, OP_floor, ew2(c, OP_div, off, range)), rest = ew2(c, OP_sub, off, ew2(c, OP_mul, turns, range));
    Val even = ew2(c, OP_eq, ew2(c, OP_mod, turns, num(c, x, 2)), num(c, x, 0));
    Val y = sel(c, even, ew2(c, OP_add, low, rest), ew2(c, OP_sub, high, rest));
    return sel(c, greater(c, range, num(c, x, 0)), y, low);
}

static Val clamp(Call *c, Val x, Val low, Val high) { return ew2(c, OP_max, ew2(c, OP_min, x, high), low); }

/* Weights of the taps at offsets first .. around a fraction in [0, 1). */
static Val tap_weight(Call *c, uint32_t taps, uint32_t k, Val f) {
    Val one = num(c, f, 1);
    const double a = -0.75;
    if (taps == 1) return NO_VAL;
    if (taps == 2) return k ? f : ew2(c, OP_sub, one, f);
    if (k == 2) f = ew2(c, OP_sub, one, f);
    if (k == 3) f = ew2(c, OP_sub, one, f);
    if (k == 0 || k == 3) { /* ((a t - 5 a) t + 8 a) t - 4 a at t = 1 + f */
        Val t = ew2(c, OP_add, f, one);
        Val y = ew2(c, OP_sub, ew2(c, OP_mul, num(c, f, a), t), num(c, f, 5 * a));
        y = ew2(c, OP_add, ew2(c, OP_mul, y, t), num(c, f, 8 * a));
        return ew2(c, OP_sub, ew2(c, OP_mul, y, t), num(c, f, 4 * a));
    }
    Val y = ew2(c, OP_sub, ew2(c, OP_mul, num(c, f, a + 2), f), num(c, f, a + 3));
    return ew2(c, OP_add, ew2(c, OP_mul, ew2(c, OP_mul, y, f), f), one);
}

/* Index of tap k on one axis, inside; *valid is false where it would read outside and zeros are wanted. */
static Val tap_index(Call *c, const Sampler *s, uint32_t axis, Val base, int offset, Val *valid) {
    Val at = offset ? ew2(c, OP_add, base, num(c, base, offset)) : base, zero = num(c, base, 0);
    Val last = span_of(c, base, dim_addi(c->cx, s->extent[axis], -1));
    if (s->outside == OUTSIDE_ZEROS) {
        Val inside = ew2(c, OP_and, ew2(c, OP_le, zero, at), ew2(c, OP_le, at, last));
        *valid = valid->id ? ew2(c, OP_and, *valid, inside) : inside;
    }
    if (s->outside == OUTSIDE_REFLECT) at = reflect(c, at, s->low[axis], s->high[axis]);
    return to(c, clamp(c, at, zero, last), DT_i64);
}

/* x [b, c, s..] at positions [b, p] -> [b, c, p].  Of several vectors of channels, all lie side by side at each position. */
static Val sample(Call *c, Val x, Sampler *s) {
    enum { SIDE_BY_SIDE = 16 };
    static const int64_t turn[] = {0, 2, 1};
    if (!x.id) return NO_VAL;
    Dims d = dims_of(c, x), flat = {.n = 3, .at = {d.at[0], d.at[1], dim_product(c->cx, d.at + 2, d.n - 2)}};
    Val base[SPACE], fraction[SPACE], sum = NO_VAL;
    uint32_t all = 1;
    int first = s->taps == 4 ? -1 : 0;
    x = shaped(c, x, &flat);
    int64_t channels;
    bool rows = dim_const_value(c->cx, d.at[1], &channels) && channels >= SIDE_BY_SIDE;
    uint32_t axis = rows ? 1 : 2, along = 3 - axis; /* of positions; of channels */
    if (rows) x = permuted(c, x, turn);
    for (uint32_t i = 0; i < s->n; i++) {
        if (!s->position[i].id) return NO_VAL;
        base[i] = ew1(c, OP_floor, s->position[i]);
        fraction[i] = ew2(c, OP_sub, s->position[i], base[i]);
        all *= s->taps;
    }
    for (uint32_t tap = 0; tap < all; tap++) {
        Val index = numt(c, DT_i64, 0), weight = NO_VAL, valid = NO_VAL;
        for (uint32_t i = 0, rest = tap; i < s->n; i++, rest /= s->taps) {
            Val at = tap_index(c, s, i, base[i], first + (int)(rest % s->taps), &valid),
                w = tap_weight(c, s->taps, rest % s->taps, fraction[i]);
            index = ew2(c, OP_add, ew2(c, OP_mul, index, b_dim(c->g, c->loc, s->extent[i])), at);
            if (w.id) weight = weight.id ? ew2(c, OP_mul, weight, w) : w;
        }
        if (!index.id || !x.id) return NO_VAL;
        Val v = b_gather(c->g, c->loc, x, index, axis, 1);
        if (valid.id) v = sel(c, unsqueezed(c, valid, along), v, num(c, x, 0));
        if (weight.id) v = ew2(c, OP_mul, v, to(c, unsqueezed(c, weight, along), val_dtype(c->g, x)));
        sum = tap ? ew2(c, OP_add, sum, v) : v;
    }
    return rows ? permuted(c, sum, turn) : sum;
}

/* ---- GridSample -------------------------------------------------------------------------------------------------- */

static bool read_sampler(Call *c, Sampler *s) {
    const char *mode = attr_s(c, "mode", c->opset < 20 ? "bilinear" : "linear"),
               *outside = attr_s(c, "padding_mode", "zeros");
    s->taps = strcmp(mode, "nearest") == 0 ? 1 : strstr(mode, "linear") ? 2 : strstr(mode, "cubic") ? 4 : 0;
    if (!s->taps) fail(c, "mode '%s' is not known", mode);
    if (strcmp(outside, "zeros") == 0)
        s->outside = OUTSIDE_ZEROS;
    else if (strcmp(outside, "border") == 0)
        s->outside = OUTSIDE_BORDER;
    else if (strcmp(outside, "reflection") == 0)
        s->outside = OUTSIDE_REFLECT;
    else
        fail(c, "padding_mode '%s' is not known", outside);
    return s->taps != 0;
}

/* From [-1, 1] to elements, then inside as the mode wants it. */
static void place_axis(Call *c, Sampler *s, uint32_t i, Val n, bool corners) {
    Val one = num(c, n, 1), half = num(c, n, 0.5), size = span_of(c, n, s->extent[i]), last = ew2(c, OP_sub, size, one),
        zero = num(c, n, 0);
    Val x = ew2(c, OP_add, n, one);
    x = corners ? ew2(c, OP_mul, ew2(c, OP_mul, x, half), last)
                : ew2(c, OP_mul, ew2(c, OP_sub, ew2(c, OP_mul, x, size), one), half);
    s->low[i] = corners ? zero : num(c, n, -0.5);
    s->high[i] = corners ? last : ew2(c, OP_sub, size, half);
    if (s->taps == 1) x = ew1(c, OP_round, x);
    if (s->outside == OUTSIDE_BORDER) {
        Val beyond = ew2(c, OP_or, ew2(c, OP_lt, x, s->low[i]), greater(c, x, s->high[i]));
        x = sel(c, beyond, clamp(c, x, zero, last), x);
    }
    if (s->outside == OUTSIDE_REFLECT) x = reflect(c, x, s->low[i], s->high[i]);
    s->position[i] = x;
}

Val import_grid_sample(Call *c) {
    Val x = in(c, 0), grid = in(c, 1);
    Sampler s = {0};
    if (!x.id || !grid.id || !read_sampler(c, &s)) return NO_VAL;
    Dims d = dims_of(c, x), e = dims_of(c, grid);
    s.n = d.n - 2;
    if (d.n < 3 || s.n > SPACE || e.n != d.n)
        return fail(c, "needs operand and grid of one rank from 3 to %d", SPACE + 2);
    Dims points = {.n = 2, .at = {e.at[0], dim_product(c->cx, e.at + 1, e.n - 2)}},
         y = {.n = d.n, .at = {d.at[0], d.at[1]}};
    for (uint32_t i = 0; i < s.n; i++) {
        s.extent[i] = d.at[i + 2];
        y.at[i + 2] = e.at[i + 1];
        Val n = sliced(c, grid, e.n - 1, dim_k(c, s.n - 1 - i), dim_k(c, 1));
        n = to(c, shaped(c, n, &points), val_dtype(c->g, grid) == DT_f64 ? DT_f64 : DT_f32);
        place_axis(c, &s, i, n, attr_i(c, "align_corners", 0) != 0);
    }
    return shaped(c, sample(c, x, &s), &y);
}

/* theta [n, k, k + 1] applied to the points of a regular grid over [-1, 1]^k; x comes first. */
Val import_affine_grid(Call *c) {
    Val theta = in(c, 0);
    const Dim *size;
    uint32_t n;
    bool corners = attr_i(c, "align_corners", 0) != 0;
    if (!theta.id) return theta;
    if (!in_dims(c, 1, &size, &n) || n < 3 || n > SPACE + 2)
        return fail(c, "the size has to come from shapes, constants or inputs of known length");
    uint32_t k = n - 2;
    Dims space = {.n = k}, column = {.n = 2};
    for (uint32_t i = 0; i < k; i++) space.at[i] = size[i + 2];
    column.at[0] = dim_product(c->cx, space.at, k), column.at[1] = dim_k(c, 1);
    DType t = val_dtype(c->g, theta);
    Val parts[SPACE + 1];
    for (uint32_t i = 0; i < k; i++) {
        uint32_t axis = k - 1 - i;
        Val at = axis_iota(c, DT_f64, &space, axis), extent = to(c, b_dim(c->g, c->loc, space.at[axis]), DT_f64),
            two = numt(c, DT_f64, 2), one = numt(c, DT_f64, 1);
        Val y = corners ? ew2(c, OP_sub, ew2(c, OP_div, ew2(c, OP_mul, at, two), ew2(c, OP_sub, extent, one)), one)
                        : ew2(c, OP_sub, ew2(c, OP_div, ew2(c, OP_add, ew2(c, OP_mul, at, two), one), extent), one);
        parts[i] = shaped(c, to(c, y, t), &column);
    }
    parts[k] = splat(c, t, 1, &column);
    for (uint32_t i = 0; i <= k; i++)
        if (!parts[i].id) return NO_VAL;
    Val points = b_concat(c->g, c->loc, parts, k + 1, 1);
    Dims y = {.n = n, .at = {size[0]}};
    for (uint32_t i = 0; i < k; i++) y.at[i + 1] = space.at[i];
    y.at[n - 1] = dim_k(c, k);
    return shaped(c, batched_matmul(c, unsqueezed(c, points, 0), swap_last(c, theta)), &y);
}

/* ---- DeformConv -------------------------------------------------------------------------------------------------- */

/* Positions of all taps of all windows along one axis, [n * og, taps * windows]. */
static Val deformed(Call *c, Val offset, const Window *w, uint32_t axis, Dims parts) {
    /* parts: n * og, kh, kw, 2, oh, ow */
    Val off = sliced(c, shaped(c, offset, &parts), 3, dim_k(c, axis), dim_k(c, 1));
    Dims grid = {.n = 6, .at = {dim_k(c, 1), parts.at[1], parts.at[2], dim_k(c, 1), parts.at[4], parts.at[5]}};
    Val tap = ew2(c, OP_mul, axis_iota(c, DT_f32, &grid, 1 + axis), numt(c, DT_f32, (double)w->dilation[axis]));
    Val window = ew2(c, OP_mul, axis_iota(c, DT_f32, &grid, 4 + axis), numt(c, DT_f32, (double)w->stride[axis]));
    Val start = ew2(c, OP_sub, ew2(c, OP_add, tap, window), to(c, b_dim(c->g, c->loc, w->low[axis]), DT_f32));
    Dims flat = {.n = 2,
                 .at = {parts.at[0], dim_mul(c->cx, dim_mul(c->cx, parts.at[1], parts.at[2]),
                                             dim_mul(c->cx, parts.at[4], parts.at[5]))}};
    return shaped(c, ew2(c, OP_add, to(c, off, DT_f32), start), &flat);
}

Val import_deform_conv(Call *c) {
    Val x = in(c, 0), w = in(c, 1), offset = in(c, 2);
    int64_t groups = attr_i(c, "group", 1), offsets = attr_i(c, "offset_group", 1);
    Window k;
    Sampler s = {.n = 2, .taps = 2};
    if (!x.id || !w.id || !offset.id) return NO_VAL;
    Context *cx = c->cx;
    Dims d = dims_of(c, x), dw = dims_of(c, w), off = dims_of(c, offset);
    if (d.n != 4 || dw.n != 4 || off.n != 4 || groups < 1 || offsets < 1)
        return fail(c, "only two spatial axes are supported");
    if (!window_read(c, x, dw.at + 2, 2, &k)) return NO_VAL;
    Dim og = dim_k(c, offsets), taps = dim_mul(cx, dw.at[2], dw.at[3]), windows = dim_mul(cx, off.at[2], off.at[3]),
        per = dim_fdiv(cx, d.at[1], og);
    Dims parts = {.n = 6, .at = {dim_mul(cx, d.at[0], og), dw.at[2], dw.at[3], dim_k(c, 2), off.at[2], off.at[3]}};
    Dims image = {.n = 4, .at = {parts.at[0], per, d.at[2], d.at[3]}};
    for (uint32_t i = 0; i < 2; i++) s.extent[i] = d.at[i + 2], s.position[i] = deformed(c, offset, &k, i, parts);
    Val taken = sample(c, shaped(c, x, &image), &s); /* [n * og, c / og, taps * windows] */
    if (has_in(c, 4)) {
        Dims one = {.n = 3, .at = {parts.at[0], dim_k(c, 1), dim_mul(cx, taps, windows)}};
        taken = ew2(c, OP_mul, taken, shaped(c, in(c, 4), &one));
    }
    Dim g = dim_k(c, groups), depth = dim_mul(cx, dw.at[1], taps), filters = dim_fdiv(cx, dw.at[0], g);
    Dims grouped = {.n = 4, .at = {d.at[0], g, depth, windows}}, weights = {.n = 3, .at = {g, filters, depth}};
    Dims wide = {.n = 4, .at = {d.at[0], g, filters, depth}},
         y = {.n = 4, .at = {d.at[0], dw.at[0], off.at[2], off.at[3]}};
    Val left = spread(c, shaped(c, w, &weights), &wide), right = shaped(c, taken, &grouped);
    Val p = left.id && right.id ? shaped(c, b_dot(c->g, c->loc, left, right, 2), &y) : NO_VAL;
    return has_in(c, 3) ? ew2(c, OP_add, p, per_axis(c, in(c, 3), 1, 4)) : p;
}

/* ---- RoiAlign ---------------------------------------------------------------------------------------------------- */

typedef struct Roi {
    Val rois, image; /* [r, 4]; [r] number of the image */
    Dim extent[2], bins[2];
    int64_t samples;
    double scale;
    bool half_pixel;
} Roi;

static Val column(Call *c, Val m, uint32_t k) { return squeezed(c, sliced(c, m, 1, dim_k(c, k), dim_k(c, 1)), 1); }

/* Sample positions along one axis (0: y), [r, bins * samples]. */
static Val roi_positions(Call *c, const Roi *r, uint32_t axis) {
    Val scale = num(c, r->rois, r->scale), shift = num(c, r->rois, r->half_pixel ? 0.5 : 0);
    Val start = ew2(c, OP_sub, ew2(c, OP_mul, column(c, r->rois, 1 - axis), scale), shift);
    Val end = ew2(c, OP_sub, ew2(c, OP_mul, column(c, r->rois, 3 - axis), scale), shift),
        size = ew2(c, OP_sub, end, start);
    if (!r->half_pixel) size = ew2(c, OP_max, size, num(c, size, 1));
    Val bin = ew2(c, OP_div, size, span_of(c, size, r->bins[axis]));
    Val k = iota(c, DT_i64, dim_muli(c->cx, r->bins[axis], r->samples)), n = numt(c, DT_i64, (double)r->samples);
    DType t = val_dtype(c->g, r->rois);
    Val which = to(c, ew2(c, OP_div, k, n), t), part = ew2(c, OP_add, to(c, ew2(c, OP_rem, k, n), t), numt(c, t, 0.5));
    Val at = ew2(c, OP_add, which, ew2(c, OP_div, part, numt(c, t, (double)r->samples)));
    return ew2(c, OP_add, unsqueezed(c, start, 1), ew2(c, OP_mul, unsqueezed(c, bin, 1), unsqueezed(c, at, 0)));
}

typedef struct RoiAxis {
    Val low, high, near, far, valid;
} RoiAxis; /* indices and their weights */

static RoiAxis roi_axis(Call *c, const Roi *r, uint32_t axis) {
    Val x = roi_positions(c, r, axis), zero = num(c, x, 0), size = span_of(c, x, r->extent[axis]),
        last = ew2(c, OP_sub, size, num(c, x, 1));
    RoiAxis a = {.valid = ew2(c, OP_and, ew2(c, OP_le, num(c, x, -1), x), ew2(c, OP_le, x, size))};
    x = ew2(c, OP_min, ew2(c, OP_max, x, zero), last);
    Val low = ew1(c, OP_floor, x), high = ew2(c, OP_min, ew2(c, OP_add, low, num(c, x, 1)), last);
    a.far = ew2(c, OP_sub, x, low);
    a.near = ew2(c, OP_sub, num(c, x, 1), a.far);
    a.low = to(c, low, DT_i64), a.high = to(c, high, DT_i64);
    return a;
}

/* [r, by * sy, bx * sx, c] at one corner, weighted: whole rows of channels. */
static Val corner(Call *c, Val flat, const Roi *r, Val y, Val x, Val wy, Val wx) {
    Val plane = b_dim(c->g, c->loc, dim_mul(c->cx, r->extent[0], r->extent[1])),
        width = b_dim(c->g, c->loc, r->extent[1]);
    Val first = unsqueezed(c, unsqueezed(c, ew2(c, OP_mul, r->image, plane), 1), 2);
    Val index = ew2(c, OP_add, first, ew2(c, OP_add, unsqueezed(c, ew2(c, OP_mul, y, width), 2), unsqueezed(c, x, 1)));
    if (!index.id || !flat.id) return NO_VAL;
    return ew2(c, OP_mul, b_gather(c->g, c->loc, flat, index, 0, 0),
               unsqueezed(c, ew2(c, OP_mul, unsqueezed(c, wy, 2), unsqueezed(c, wx, 1)), 3));
}

Val import_roi_align(Call *c) {
    Val x = in(c, 0);
    static const int64_t last[] = {0, 2, 3, 1}, second[] = {0, 3, 1, 2}, sums[] = {2, 4};
    Roi r = {.rois = in(c, 1), .samples = attr_i(c, "sampling_ratio", 0), .scale = attr_f(c, "spatial_scale", 1)};
    bool largest = attr_is(c, "mode", "avg", "max");
    if (!x.id || !r.rois.id || val_rank(c->g, x) != 4) return x.id ? fail(c, "needs an operand of rank 4") : x;
    if (r.samples < 1 || r.samples > 64)
        return fail(
            c, "sampling_ratio has to be stated, from 1 to 64: samples that depend on the regions are not supported");
    r.half_pixel =
        attr_is(c, "coordinate_transformation_mode", c->opset < 16 ? "output_half_pixel" : "half_pixel", "half_pixel");
    Dims d = dims_of(c, x), flat = {.n = 2, .at = {dim_mul(c->cx, d.at[0], dim_mul(c->cx, d.at[2], d.at[3])), d.at[1]}};
    r.image = to(c, in(c, 2), DT_i64);
    for (uint32_t i = 0; i < 2; i++)
        r.extent[i] = d.at[i + 2], r.bins[i] = dim_k(c, attr_i(c, i ? "output_width" : "output_height", 1));
    Val rows = shaped(c, permuted(c, x, last), &flat);
    RoiAxis y = roi_axis(c, &r, 0), z = roi_axis(c, &r, 1);
    Val all[4] = {corner(c, rows, &r, y.low, z.low, y.near, z.near), corner(c, rows, &r, y.low, z.high, y.near, z.far),
                  corner(c, rows, &r, y.high, z.low, y.far, z.near), corner(c, rows, &r, y.high, z.high, y.far, z.far)};
    Val v = all[0];
    for (uint32_t i = 1; i < 4; i++) v = ew2(c, largest ? OP_max : OP_add, v, all[i]);
    Val valid = unsqueezed(c, ew2(c, OP_and, unsqueezed(c, y.valid, 2), unsqueezed(c, z.valid, 1)), 3);
    v = sel(c, valid, v, num(c, v, 0));
    if (!v.id) return v;
    Dims e = dims_of(c, v),
         six = {.n = 6, .at = {e.at[0], r.bins[0], dim_k(c, r.samples), r.bins[1], dim_k(c, r.samples), e.at[3]}};
    v = reduce(c, largest ? OP_reduce_max : OP_reduce_sum, shaped(c, v, &six), sums, 2, false);
    if (!largest) v = ew2(c, OP_div, v, num(c, v, (double)(r.samples * r.samples)));
    return permuted(c, v, second);
}

/* ---- Col2Im ------------------------------------------------------------------------------------------------------ */

/* Blocks whose shape is only known while running: every element is added at its computed place of the padded image. */
static Val col2im_running(Call *c, Val x, const Dim *image, uint32_t n) {
    Context *cx = c->cx;
    const Dim *block;
    uint32_t nb;
    Window k;
    if (!in_dims(c, 2, &block, &nb) || nb != n || n + 2 > MAX_RANK || val_rank(c->g, x) != 3 ||
        !window_read(c, x, block, n, &k))
        return fail(c, "the block's shape has to come from shapes, constants or inputs of known length");
    for (uint32_t i = 0; i < n; i++)
        if (!graph_guard(c->g, c->loc, REL_LE, dim_k(c, 1), block[i], "extents of the block have to be positive"))
            return NO_VAL;
    Dim taps = dim_product(cx, block, n), windows = val_dim(c->g, x, 2), all = dim_mul(cx, taps, windows);
    Dims d = dims_of(c, x), flat = {.n = 3, .at = {d.at[0], dim_fdiv(cx, d.at[1], taps), all}},
         plane = {.n = 2, .at = {taps, windows}};
    Dims padded_ = {.n = n + 2, .at = {flat.at[0], flat.at[1]}};
    Dim low[MAX_RANK], high[MAX_RANK], count[MAX_RANK];
    low[0] = low[1] = high[0] = high[1] = dim_k(c, 0);
    for (uint32_t i = 0; i < n; i++) {
        padded_.at[i + 2] = dim_add(cx, dim_add(cx, image[i], k.low[i]), k.high[i]);
        low[i + 2] = dim_sub(cx, dim_k(c, 0), k.low[i]), high[i + 2] = dim_sub(cx, dim_k(c, 0), k.high[i]);
        Dim room = dim_addi(cx, dim_sub(cx, padded_.at[i + 2], k.reach[i]), -1);
        count[i] = dim_addi(cx, dim_fdiv(cx, room, dim_k(c, k.stride[i])), 1);
    }
    Val tap = axis_iota(c, DT_i64, &plane, 0), window = axis_iota(c, DT_i64, &plane, 1), at = numt(c, DT_i64, 0);
    Dim step = dim_k(c, 1);
    for (uint32_t i = n; i-- > 0;) {
        Val b = b_dim(c->g, c->loc, block[i]), w = b_dim(c->g, c->loc, count[i]);
        Val place = ew2(c, OP_add, ew2(c, OP_mul, ew2(c, OP_rem, window, w), numt(c, DT_i64, (double)k.stride[i])),
                        ew2(c, OP_mul, ew2(c, OP_rem, tap, b), numt(c, DT_i64, (double)k.dilation[i])));
        at = ew2(c, OP_add, at, ew2(c, OP_mul, place, b_dim(c->g, c->loc, step)));
        tap = ew2(c, OP_div, tap, b), window = ew2(c, OP_div, window, w);
        step = dim_mul(cx, step, padded_.at[i + 2]);
    }
    Dims one = {.n = 3, .at = {dim_k(c, 1), dim_k(c, 1), all}}, target = {.n = 3, .at = {flat.at[0], flat.at[1], step}};
    Val triple[3] = {splat(c, val_dtype(c->g, x), 0, &target), spread(c, shaped(c, at, &one), &flat),
                     shaped(c, x, &flat)};
    Attr attrs[2] = {{.key = ATTR_axis, .as.i = 2}, {.key = ATTR_combine, .as.text = intern(cx, "add")}};
    if (!triple[1].id || !triple[2].id) return NO_VAL;
    Val y = shaped(c, emit(c->g, OP_scatter_elements, c->loc, triple, 3, attrs, 2), &padded_);
    return padded(c, y, num(c, x, 0), low, high);
}

Val import_col2im(Call *c) {
    Val x = in(c, 0);
    const Dim *image;
    const int64_t *block;
    uint32_t n, nb;
    Window k;
    Dim extents[MAX_RANK];
    Context *cx = c->cx;
    if (!x.id) return x;
    if (!in_dims(c, 1, &image, &n))
        return fail(c, "the image's shape has to come from shapes, constants or inputs of known length");
    if (!in_ints(c, 2, &block, &nb)) return col2im_running(c, x, image, n);
    for (uint32_t i = 0; i < nb && i < MAX_RANK; i++) extents[i] = dim_k(c, block[i]);
    if (nb != n || n + 3 > MAX_RANK || val_rank(c->g, x) != 3 || !window_read(c, x, extents, n, &k))
        return fail(c, "image shape and block shape have to be of one length");
    int64_t taps = 1, interior[MAX_RANK] = {0};
    Dims d = dims_of(c, x), parts = {.n = n + 3, .at = {d.at[0]}}, y = {.n = n + 2, .at = {d.at[0]}};
    Dim low[MAX_RANK], high[MAX_RANK];
    for (uint32_t i = 0; i < n; i++)
        if (!ck_mul(taps, block[i], &taps) || taps > 4096 || block[i] < 1)
            return fail(c, "blocks of more than 4096 elements");
    parts.at[1] = y.at[1] = dim_fdiv(cx, d.at[1], dim_k(c, taps)), parts.at[2] = dim_k(c, taps);
    for (uint32_t i = 0; i < n; i++) {
        Dim room = dim_sub(cx, dim_add(cx, dim_add(cx, image[i], k.low[i]), k.high[i]), dim_addi(cx, k.reach[i], 1));
        parts.at[i + 3] = dim_addi(cx, dim_fdiv(cx, room, dim_k(c, k.stride[i])), 1);
        y.at[i + 2] = image[i];
        interior[i + 2] = k.stride[i] - 1;
    }
    x = shaped(c, x, &parts);
    Val sum = NO_VAL;
    for (int64_t tap = 0; tap < taps && x.id; tap++) {
        int64_t rest = tap;
        low[0] = low[1] = high[0] = high[1] = dim_k(c, 0);
        for (uint32_t i = n; i-- > 0; rest /= block[i]) {
            Dim covered = dim_addi(cx, dim_muli(cx, dim_addi(cx, parts.at[i + 3], -1), k.stride[i]), 1);
            low[i + 2] = dim_sub(cx, dim_k(c, rest % block[i] * k.dilation[i]), k.low[i]);
            high[i + 2] = dim_sub(cx, dim_sub(cx, image[i], covered), low[i + 2]);
        }
        Val one = squeezed(c, sliced(c, x, 2, dim_k(c, tap), dim_k(c, 1)), 2);
        Val placed = one.id ? b_pad(c->g, c->loc, one, num(c, x, 0), low, high, interior) : one;
        sum = tap ? ew2(c, OP_add, sum, placed) : placed;
    }
    return sum;
}
