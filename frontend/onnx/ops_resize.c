/* ops_resize.c: Resize and Upsample, one axis after the other.
 *
 * Positions and weights of an axis are vectors computed from an iota in f64 (constants, once folded, where the extents
 * are); the taps are gathered and summed.  Taps outside the operand repeat its edge, or with exclude_outside weigh 0.
 * Source: the ONNX specification of Resize-19.
 */
#include "onnx.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct Resize {
    const char *coordinates, *nearest;
    bool linear, cubic, exclude, antialias;
    double cubic_a, extrapolation;
} Resize;
typedef struct AxisResize {
    uint32_t axis;
    Dim from, to;
    Val scale;          /* f64 scalar */
    double scale_known; /* 0: not */
    Dim under, over;    /* the scale as a fraction of dims, where not known; may be 0 */
    Val start, end;     /* of the region of interest, f64 scalars */
} AxisResize;

static Val k64(Call *c, double v) { return numt(c, DT_f64, v); }
static Val dim64(Call *c, Dim d) { return to(c, b_dim(c->g, c->loc, d), DT_f64); }

/* Where output position i lies in the operand. */
static Val source_position(Call *c, const Resize *r, const AxisResize *a, Val *outside) {
    Val i = iota(c, DT_f64, a->to), from = dim64(c, a->from), half = k64(c, 0.5), one = k64(c, 1);
    Val width = ew2(c, OP_mul, a->scale, from), single = ew2(c, OP_eq, width, one), last = ew2(c, OP_sub, from, one);
    Val pixel = ew2(c, OP_sub, ew2(c, OP_div, ew2(c, OP_add, i, half), a->scale), half);
    Val step = ew2(c, OP_div, ew2(c, OP_mul, i, last), ew2(c, OP_sub, width, one));
    if (strcmp(r->coordinates, "half_pixel") == 0) return pixel;
    if (strcmp(r->coordinates, "asymmetric") == 0) return ew2(c, OP_div, i, a->scale);
    if (strcmp(r->coordinates, "align_corners") == 0) return sel(c, single, k64(c, 0), step);
    if (strcmp(r->coordinates, "pytorch_half_pixel") == 0) return sel(c, single, k64(c, -0.5), pixel);
    if (strcmp(r->coordinates, "half_pixel_symmetric") == 0) {
        Val adjust = ew2(c, OP_sub, one, ew2(c, OP_div, dim64(c, a->to), width));
        return ew2(c, OP_add, ew2(c, OP_mul, ew2(c, OP_mul, from, half), adjust), pixel);
    }
    if (strcmp(r->coordinates, "tf_crop_and_resize") != 0)
        return fail(c, "coordinate_transformation_mode '%s' is not known", r->coordinates);
    if (!a->start.id || !a->end.id) return fail(c, "tf_crop_and_resize needs a region of interest");
    Val size = ew2(c, OP_sub, a->end, a->start);
    Val middle = ew2(c, OP_mul, ew2(c, OP_mul, size, last), half);
    Val x = ew2(c, OP_add, sel(c, single, middle, ew2(c, OP_mul, step, size)), ew2(c, OP_mul, a->start, last));
    *outside = ew2(c, OP_or, ew2(c, OP_lt, x, k64(c, 0)), greater(c, x, last));
    return x;
}

static Val nearest_position(Call *c, const Resize *r, Val x) {
    if (strcmp(r->nearest, "floor") == 0) return ew1(c, OP_floor, x);
    if (strcmp(r->nearest, "ceil") == 0) return ew1(c, OP_ceil, x);
    if (strcmp(r->nearest, "round_prefer_ceil") == 0) return ew1(c, OP_floor, ew2(c, OP_add, x, k64(c, 0.5)));
    if (strcmp(r->nearest, "round_prefer_floor") == 0) return ew1(c, OP_ceil, ew2(c, OP_sub, x, k64(c, 0.5)));
    return fail(c, "nearest_mode '%s' is not known", r->nearest);
}

/* The filter at a distance |t| from its centre: a triangle, or Keys' cubic. */
static Val filter_weight(Call *c, const Resize *r, Val t) {
    Val one = k64(c, 1), zero = k64(c, 0);
    t = ew1(c, OP_abs, t);
    if (r->linear) return ew2(c, OP_max, ew2(c, OP_sub, one, t), zero);
    double a = r->cubic_a;
    Val t2 = ew2(c, OP_mul, t, t);
    Val inner = ew2(c, OP_mul, ew2(c, OP_sub, ew2(c, OP_mul, k64(c, a + 2), t), k64(c, a + 3)), t2);
    inner = ew2(c, OP_add, inner, one);
    Val outer = ew2(c, OP_mul, ew2(c, OP_add, ew2(c, OP_mul, k64(c, a), t), k64(c, -5 * a)), t2);
    outer = ew2(c, OP_add, outer, ew2(c, OP_sub, ew2(c, OP_mul, k64(c, 8 * a), t), k64(c, 4 * a)));
    return sel(c, ew2(c, OP_le, t, one), inner, sel(c, ew2(c, OP_lt, t, k64(c, 2)), outer, zero));
}

static Val gather_clamped(Call *c, Val x, Val at, uint32_t axis, Dim extent) {
    Val last = dim64(c, dim_addi(c->cx, extent, -1));
    Val index = to(c, ew2(c, OP_max, ew2(c, OP_min, at, last), k64(c, 0)), DT_i64);
    return x.id && index.id ? b_gather(c->g, c->loc, x, index, axis, 0) : NO_VAL;
}

/* The same with taps along an axis of their own, as many as the scale asks for while running. */
static Val weighted_running(Call *c, const Resize *r, const AxisResize *a, Val x, Val position) {
    Context *cx = c->cx;
    if (!a->under.id || !x.id) return fail(c, "antialias needs scales that are known, or an input");
    /* first = floor(-reach / min(scale, 1)) + 1, taps = 2 - 2 first */
    Dim smaller = dim_max(cx, dim_min(cx, a->under, a->over), dim_k(c, 1)),
        first = dim_addi(cx, dim_fdiv(cx, dim_muli(cx, a->over, r->linear ? -1 : -2), smaller), 1);
    Dim n_taps = dim_max(cx, dim_sub(cx, dim_k(c, 2), dim_muli(cx, first, 2)), dim_k(c, 0));
    char what[32];
    snprintf(what, sizeof what, "taps_%u", a->axis);
    Dims grid = {.n = 2, .at = {a->to, bounded_extent(c, what, n_taps)}};
    Val tap = ew2(c, OP_add, axis_iota(c, DT_f64, &grid, 1), dim64(c, first)), zero = k64(c, 0),
        last = dim64(c, dim_addi(cx, a->from, -1));
    Val base = ew1(c, OP_floor, position), ratio = ew2(c, OP_sub, position, base),
        at = ew2(c, OP_add, unsqueezed(c, base, 1), tap);
    Val w = filter_weight(
        c, r, ew2(c, OP_mul, ew2(c, OP_sub, tap, unsqueezed(c, ratio, 1)), ew2(c, OP_min, a->scale, k64(c, 1))));
    if (r->exclude) w = sel(c, ew2(c, OP_or, ew2(c, OP_lt, at, zero), greater(c, at, last)), zero, w);
    w = to(c, ew2(c, OP_div, w, reduce1(c, OP_reduce_sum, w, 1, true)), val_dtype(c->g, x));
    Val taps = gather_clamped(c, x, at, a->axis, a->from);
    if (!taps.id || !w.id) return NO_VAL;
    Dims wide = {.n = val_rank(c->g, taps)};
    for (uint32_t i = 0; i < wide.n; i++)
        wide.at[i] = i == a->axis ? grid.at[0] : i == a->axis + 1 ? grid.at[1] : dim_k(c, 1);
    return reduce1(c, OP_reduce_sum, ew2(c, OP_mul, taps, shaped(c, w, &wide)), a->axis + 1, false);
}

/* A sum of taps around floor(position), each a gather times a weight vector along the axis. */
static Val weighted(Call *c, const Resize *r, const AxisResize *a, Val x, Val position) {
    enum { MOST_TAPS = 256 };
    double reach = r->linear ? 1 : 2, scale = 1;
    if (r->antialias) {
        if (a->scale_known == 0) return weighted_running(c, r, a, x, position);
        scale = a->scale_known < 1 ? a->scale_known : 1;
    }
    if (reach / scale > MOST_TAPS / 2) return fail(c, "antialias over more than %d taps", MOST_TAPS);
    int first = (int)floor(-reach / scale) + 1, n = 2 - 2 * first;
    Val base = ew1(c, OP_floor, position), ratio = ew2(c, OP_sub, position, base), total = NO_VAL, sum = NO_VAL;
    Val last = dim64(c, dim_addi(c->cx, a->from, -1)), zero = k64(c, 0), weights[MOST_TAPS + 2];
    for (int i = 0; i < n; i++) {
        Val at = ew2(c, OP_add, base, k64(c, first + i));
        Val w = filter_weight(c, r, ew2(c, OP_mul, ew2(c, OP_sub, k64(c, first + i), ratio), k64(c, scale)));
        if (r->exclude) w = sel(c, ew2(c, OP_or, ew2(c, OP_lt, at, zero), greater(c, at, last)), zero, w);
        weights[i] = w;
        total = i ? ew2(c, OP_add, total, w) : w;
    }
    if (!x.id || !total.id) return NO_VAL;
    bool normal = r->exclude || r->antialias;
    for (int i = 0; i < n; i++) {
        Val w = normal ? ew2(c, OP_div, weights[i], total) : weights[i];
        Val tap = gather_clamped(c, x, ew2(c, OP_add, base, k64(c, first + i)), a->axis, a->from);
        tap = ew2(c, OP_mul, tap, per_axis(c, to(c, w, val_dtype(c->g, x)), a->axis, val_rank(c->g, x)));
        sum = i ? ew2(c, OP_add, sum, tap) : tap;
    }
    return sum;
}

static Val resize_axis(Call *c, const Resize *r, const AxisResize *a, Val x, Val *outside) {
    if (a->scale_known == 1 && dim_same(a->from, a->to) && strcmp(r->coordinates, "tf_crop_and_resize") != 0) return x;
    Val beyond = NO_VAL, position = source_position(c, r, a, &beyond);
    if (!position.id || !x.id) return NO_VAL;
    if (beyond.id) {
        beyond = per_axis(c, beyond, a->axis, val_rank(c->g, x));
        *outside = outside->id ? ew2(c, OP_or, *outside, beyond) : beyond;
    }
    if (!r->linear && !r->cubic) return gather_clamped(c, x, nearest_position(c, r, position), a->axis, a->from);
    return weighted(c, r, a, x, position);
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

/* floor(extent * scale), in f32 as runtimes do; a symbolic extent takes the simplest fraction that is this scale. */
static bool scaled_extent(Call *c, Dim from, double scale, Dim *result) {
    int64_t k;
    if (dim_const_value(c->cx, from, &k)) {
        *result = dim_k(c, (int64_t)floorf((float)k * (float)scale));
        return true;
    }
    for (int64_t q = 1; q <= 4096; q++) {
        double p = nearbyint(scale * (double)q);
        if ((float)(p / (double)q) != (float)scale || p > 1e9) continue;
        *result = dim_fdiv(c->cx, dim_muli(c->cx, from, (int64_t)p), dim_k(c, q));
        return true;
    }
    fail(c, "a scale of %g over a symbolic extent", scale);
    return false;
}

/* The axes that scales, sizes and roi speak of. */
static bool resize_axes(Call *c, uint32_t rank, uint32_t *axes, uint32_t *n) {
    const IntVec *list = attr_list(c, "axes");
    *n = list ? list->n : rank;
    if (*n > rank) {
        fail(c, "%u axes for rank %u", *n, rank);
        return false;
    }
    for (uint32_t i = 0; i < *n; i++)
        if (!norm_axis(c, list ? list->at[i] : i, rank, &axes[i])) return false;
    return true;
}

/* Scales that are an input: extents are extent * scale, with half a unit in the last place of an f32 on top, because
 * 10 * 0.7 is meant to be 7. */
static bool running_scales(Call *c, uint32_t input, AxisResize *a, uint32_t n) {
    Context *cx = c->cx;
    Dim one = dim_k(c, INT64_C(1) << 32), ulp = dim_k(c, INT64_C(1) << 24);
    Dims scalar = {0};
    for (uint32_t i = 0; i < n; i++) {
        Dim scale;
        if (!bind_float(c, input, i, n, &scale)) return false;
        a[i].over = dim_k(c, INT64_C(1) << 32), a[i].under = scale;
        Dim product = dim_mul(cx, a[i].from, scale);
        a[i].to = dim_max(cx, dim_fdiv(cx, dim_add(cx, product, dim_fdiv(cx, product, ulp)), one), dim_k(c, 0));
        a[i].scale = to(c, shaped(c, sliced(c, in(c, input), 0, dim_k(c, i), dim_k(c, 1)), &scalar), DT_f64);
    }
    return true;
}

static bool from_scales(Call *c, uint32_t input, AxisResize *a, uint32_t n) {
    Const data;
    int64_t count;
    if (!in_const(c, input, &data)) {
        if (running_scales(c, input, a, n)) return true;
        fail(c, "scales have to be known when compiling; sizes may come from shapes or inputs");
        return false;
    }
    Val v = in(c, input);
    if (!dim_const_value(c->cx, type_elements(c->cx, node(c->g, v)->type), &count) || count != n) {
        fail(c, "there have to be %u scales", n);
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        double s = const_element(c->cx, data, i).f;
        if (!(s > 0 && s < 1e6)) {
            fail(c, "a scale of %g", s);
            return false;
        }
        a[i].scale_known = s;
        a[i].scale = k64(c, s);
        if (!scaled_extent(c, a[i].from, s, &a[i].to)) return false;
    }
    return true;
}

static void note_scale(Call *c, AxisResize *a) {
    int64_t x, y;
    a->scale = ew2(c, OP_div, dim64(c, a->to), dim64(c, a->from));
    a->under = a->to, a->over = a->from;
    if (dim_same(a->from, a->to))
        a->scale_known = 1;
    else if (dim_const_value(c->cx, a->from, &x) && dim_const_value(c->cx, a->to, &y) && x > 0)
        a->scale_known = (double)y / (double)x;
    if (a->scale_known > 0) a->scale = k64(c, a->scale_known);
}

/* The smallest (or largest) of the axes' scales for all of them; rounding keeps the order, so that the extent is the
 * smallest of the rounded ones. */
static bool one_scale(Call *c, AxisResize *a, uint32_t n, bool larger) {
    Context *cx = c->cx;
    Val scale = NO_VAL;
    Dim sizes[MAX_RANK];
    bool known = true;
    double value = 0;
    for (uint32_t i = 0; i < n; i++) {
        int64_t x, y;
        Val own = ew2(c, OP_div, dim64(c, a[i].to), dim64(c, a[i].from));
        scale = i ? ew2(c, larger ? OP_max : OP_min, scale, own) : own;
        sizes[i] = a[i].to;
        known = known && dim_const_value(cx, a[i].from, &x) && dim_const_value(cx, a[i].to, &y) && x > 0;
        if (known)
            value = i == 0   ? (double)y / (double)x
                    : larger ? fmax(value, (double)y / (double)x)
                             : fmin(value, (double)y / (double)x);
    }
    for (uint32_t i = 0; i < n; i++) {
        Dim extent = a[i].from;
        for (uint32_t k = 0; k < n; k++) { /* floor(from * size / extent + 1/2) */
            Dim twice = dim_muli(cx, dim_mul(cx, a[i].from, sizes[k]), 2);
            Dim one = dim_fdiv(cx, dim_add(cx, twice, a[k].from), dim_muli(cx, a[k].from, 2));
            extent = k == 0 ? one : larger ? dim_max(cx, extent, one) : dim_min(cx, extent, one);
        }
        a[i].to = extent;
        a[i].scale = known ? k64(c, value) : scale;
        a[i].scale_known = known ? value : 0;
    }
    return true;
}

static bool from_sizes(Call *c, AxisResize *a, uint32_t n) {
    const Dim *sizes;
    uint32_t count;
    const char *policy = attr_s(c, "keep_aspect_ratio_policy", "stretch");
    if (!in_dims(c, 3, &sizes, &count) || count != n) {
        fail(c, "the %u sizes have to come from shapes, constants or inputs of known length", n);
        return false;
    }
    for (uint32_t i = 0; i < n; i++) a[i].to = sizes[i];
    if (strcmp(policy, "stretch") == 0) {
        for (uint32_t i = 0; i < n; i++) note_scale(c, &a[i]);
        return true;
    }
    bool larger = strcmp(policy, "not_smaller") == 0;
    if (!larger && strcmp(policy, "not_larger") != 0) {
        fail(c, "keep_aspect_ratio_policy '%s' is not known", policy);
        return false;
    }
    return one_scale(c, a, n, larger);
}

static void take_roi(Call *c, AxisResize *a, uint32_t n) {
    Dims scalar = {0};
    if (!has_in(c, 1)) return;
    Val roi = to(c, in(c, 1), DT_f64);
    if (!roi.id || val_rank(c->g, roi) != 1 || dim_is(c->cx, val_dim(c->g, roi, 0), 0)) return;
    for (uint32_t i = 0; i < n; i++) {
        a[i].start = shaped(c, sliced(c, roi, 0, dim_k(c, i), dim_k(c, 1)), &scalar);
        a[i].end = shaped(c, sliced(c, roi, 0, dim_k(c, i + n), dim_k(c, 1)), &scalar);
    }
}

static bool given(Call *c, uint32_t i) {
    if (!has_in(c, i) || c->in[i].kind != VALUE_TENSOR) return false;
    if (c->in[i].elements) return c->in[i].n > 0;
    return c->in[i].val.id && val_rank(c->g, c->in[i].val) == 1 && !dim_is(c->cx, val_dim(c->g, c->in[i].val, 0), 0);
}

static Val resize_all(Call *c, const Resize *r, Val x, AxisResize *a, uint32_t n) {
    Val outside = NO_VAL;
    for (uint32_t i = 0; i < n && x.id; i++) x = resize_axis(c, r, &a[i], x, &outside);
    return outside.id ? sel(c, outside, num(c, x, r->extrapolation), x) : x;
}

Val import_resize(Call *c) {
    Val x = in(c, 0);
    uint32_t axes[MAX_RANK], n;
    AxisResize a[MAX_RANK] = {0};
    bool old = c->opset < 11;
    const char *mode = attr_s(c, "mode", "nearest");
    Resize r = {.coordinates = attr_s(c, "coordinate_transformation_mode", old ? "asymmetric" : "half_pixel"),
                .nearest = attr_s(c, "nearest_mode", old ? "floor" : "round_prefer_floor"),
                .linear = strcmp(mode, "linear") == 0,
                .cubic = strcmp(mode, "cubic") == 0,
                .exclude = attr_i(c, "exclude_outside", 0) != 0,
                .antialias = attr_i(c, "antialias", 0) != 0,
                .cubic_a = attr_f(c, "cubic_coeff_a", -0.75),
                .extrapolation = attr_f(c, "extrapolation_value", 0)};
    if (!x.id) return x;
    if (!r.linear && !r.cubic && strcmp(mode, "nearest") != 0)
        return fail(c, "mode '%s' is not known; known are nearest, linear and cubic", mode);
    if (!resize_axes(c, val_rank(c->g, x), axes, &n)) return NO_VAL;
    for (uint32_t i = 0; i < n; i++) a[i] = (AxisResize){.axis = axes[i], .from = val_dim(c->g, x, axes[i])};
    if (!old) take_roi(c, a, n);
    if (old ? !from_scales(c, 1, a, n) : given(c, 3) ? !from_sizes(c, a, n) : !from_scales(c, 2, a, n)) return NO_VAL;
    DType t = val_dtype(c->g, x);
    if ((r.linear || r.cubic) && !dtype_is_float(t)) return to(c, resize_all(c, &r, to(c, x, DT_f32), a, n), t);
    return resize_all(c, &r, x, a, n);
}

Val import_upsample(Call *c) {
    Val x = in(c, 0);
    AxisResize a[MAX_RANK] = {0};
    const char *mode = attr_s(c, "mode", "nearest");
    Resize r = {.coordinates = "asymmetric", .nearest = "floor", .linear = strstr(mode, "linear") != NULL};
    const FloatVec *scales = attr_floats(c, "scales");
    if (!x.id) return x;
    uint32_t n = val_rank(c->g, x);
    for (uint32_t i = 0; i < n; i++) a[i] = (AxisResize){.axis = i, .from = val_dim(c->g, x, i)};
    if (c->opset >= 9) return from_scales(c, 1, a, n) ? resize_all(c, &r, x, a, n) : NO_VAL;
    for (uint32_t i = 0; i < n; i++) {
        double s = scales && scales->n == n ? scales->at[i] : 1;
        if (!scales && n == 4 && i >= 2) s = attr_f(c, i == 2 ? "height_scale" : "width_scale", 1);
        if (!(s > 0 && s < 1e6)) return fail(c, "a scale of %g", s);
        a[i].scale_known = s, a[i].scale = k64(c, s);
        if (!scaled_extent(c, a[i].from, s, &a[i].to)) return NO_VAL;
    }
    return resize_all(c, &r, x, a, n);
}
