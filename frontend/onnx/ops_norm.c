/* ops_norm.c: ONNX normalisations.  Those that are (x - mean) / sqrt(var + epsilon) over axes become the composite
 * normalize; batch normalisation at inference is one multiplication and one addition by channel, y = x a + b with
 * a = scale / sqrt(var + epsilon), b = bias - mean a, which fold to constants where the parameters are constant.
 */
#include "onnx.h"

static Val normalize(Call *c, Val x, const int64_t *axes, uint32_t n, double epsilon) {
    Attr attrs[2] = {{.key = ATTR_axes, .n = n, .as.ints = axes}, {.key = ATTR_epsilon, .as.f = epsilon}};
    return x.id ? emit(c->g, OP_normalize, c->loc, &x, 1, attrs, 2) : x;
}

static Val square(Call *c, Val x) { return ew2(c, OP_mul, x, x); }

static uint32_t axes_from(uint32_t first, uint32_t rank, int64_t *axes) {
    for (uint32_t i = first; i < rank; i++) axes[i - first] = i;
    return rank - first;
}

/* x * scale + bias; rounded once where an instruction does that. */
static Val scaled_by_channel(Call *c, Val x, Val scale, Val bias) {
    if (!x.id || !scale.id) return NO_VAL;
    uint32_t rank = val_rank(c->g, x);
    DType t = val_dtype(c->g, x);
    Val factor = per_axis(c, scale, 1, rank), shift = per_axis(c, bias, 1, rank);
    if (shift.id && factor.id && (t == DT_f32 || t == DT_f64)) return b_fma(c->g, c->loc, x, factor, shift);
    Val y = ew2(c, OP_mul, x, factor);
    return bias.id ? ew2(c, OP_add, y, shift) : y;
}

/* ---- batch ------------------------------------------------------------------------------------------------------- */

static Val batch_training(Call *c, Val x, Val scale, Val bias, double epsilon) {
    int64_t axes[MAX_RANK] = {0};
    uint32_t rank = val_rank(c->g, x), n = 1;
    double keep = attr_f(c, "momentum", 0.9F);
    for (uint32_t i = 2; i < rank; i++) axes[n++] = i;
    DType t = val_dtype(c->g, scale);
    Val wide = to(c, x, DT_f32), mean = b_mean(c->g, c->loc, wide, axes, n, true);
    Val var = b_mean(c->g, c->loc, square(c, ew2(c, OP_sub, wide, mean)), axes, n, true);
    Val y = ew2(c, OP_div, ew2(c, OP_sub, wide, mean), ew1(c, OP_sqrt, ew2(c, OP_add, var, num(c, var, epsilon))));
    Dims channel = {.n = 1, .at = {val_dim(c->g, x, 1)}};
    Val both[2] = {shaped(c, mean, &channel), shaped(c, var, &channel)};
    for (uint32_t i = 0; i < 2; i++) {
        Val old = in(c, 3 + i), kept = ew2(c, OP_mul, old, num(c, old, keep));
        set_out(c, 1 + i,
                ew2(c, OP_add, kept, ew2(c, OP_mul, to(c, both[i], val_dtype(c->g, old)), num(c, old, 1 - keep))));
    }
    return to(c, scaled_by_channel(c, to(c, y, t), scale, bias), val_dtype(c->g, x));
}

Val import_batch_norm(Call *c) {
    Val x = in(c, 0), scale = in(c, 1), bias = in(c, 2), mean = in(c, 3), var = in(c, 4);
    double epsilon = attr_f(c, "epsilon", 1e-5F);
    if (!x.id || !scale.id || !bias.id || !mean.id || !var.id) return NO_VAL;
    if (val_rank(c->g, x) < 2) return fail(c, "needs rank 2 or more, found %u", val_rank(c->g, x));
    bool training = c->opset >= 14 ? attr_i(c, "training_mode", 0) != 0 : wants_out(c, 1);
    if (c->opset < 9 && !attr_i(c, "spatial", 1))
        return fail(c, "statistics per position (spatial 0) are not supported");
    if (training && c->opset >= 14) return batch_training(c, x, scale, bias, epsilon);
    if (training) return fail(c, "training mode is supported from opset 14 on");
    /* Once per channel, so that it costs nothing to be exact: bias and mean * a may nearly cancel. */
    Val wide = to(c, var, DT_f64);
    Val a = ew2(c, OP_div, to(c, scale, DT_f64), ew1(c, OP_sqrt, ew2(c, OP_add, wide, num(c, wide, epsilon))));
    Val b = ew2(c, OP_sub, to(c, bias, DT_f64), ew2(c, OP_mul, to(c, mean, DT_f64), a));
    DType t = val_dtype(c->g, x);
    return scaled_by_channel(c, x, to(c, a, t), to(c, b, t));
}

/* ---- instance, group, layer -------------------------------------------------------------------------------------- */

Val import_instance_norm(Call *c) {
    Val x = in(c, 0);
    int64_t axes[MAX_RANK];
    if (!x.id) return x;
    uint32_t rank = val_rank(c->g, x);
    if (rank < 3) return fail(c, "needs rank 3 or more, found %u", rank);
    uint32_t n = axes_from(2, rank, axes);
    return scaled_by_channel(c, normalize(c, x, axes, n, attr_f(c, "epsilon", 1e-5F)), in(c, 1), in(c, 2));
}

/* Half floats are normalised in f32 unless stash_type says otherwise. */
static Val stash(Call *c, Val x) {
    DType t = x.id ? val_dtype(c->g, x) : DT_none;
    DType wide = dtype_by_onnx(attr_i(c, "stash_type", 1));
    return (t == DT_f16 || t == DT_bf16) && wide != DT_none ? to(c, x, wide) : x;
}

Val import_group_norm(Call *c) {
    Val x = in(c, 0), scale = in(c, 1), bias = in(c, 2);
    int64_t groups = attr_i(c, "num_groups", 0), axes[MAX_RANK];
    if (!x.id || !scale.id || !bias.id) return NO_VAL;
    Dims d = dims_of(c, x), g = {.n = d.n + 1, .at = {d.at[0], dim_k(c, groups)}};
    if (groups < 1 || d.n < 2 || d.n == MAX_RANK)
        return fail(c, "needs groups and rank 2 or more, found %lld and %u", (long long)groups, d.n);
    DType t = val_dtype(c->g, x);
    g.at[2] = dim_fdiv(c->cx, d.at[1], dim_k(c, groups));
    for (uint32_t i = 2; i < d.n; i++) g.at[i + 1] = d.at[i];
    uint32_t n = axes_from(2, g.n, axes);
    Val y = to(c, normalize(c, shaped(c, stash(c, x), &g), axes, n, attr_f(c, "epsilon", 1e-5F)), t);
    if (c->opset < 21) return shaped(c, scaled_by_channel(c, y, scale, bias), &d);
    return scaled_by_channel(c, shaped(c, y, &d), scale, bias);
}

Val import_layer_norm(Call *c) {
    Val x = in(c, 0);
    int64_t axes[MAX_RANK];
    uint32_t axis;
    if (!x.id || !norm_axis(c, attr_i(c, "axis", -1), val_rank(c->g, x), &axis)) return NO_VAL;
    DType t = val_dtype(c->g, x);
    double epsilon = attr_f(c, "epsilon", 1e-5F);
    Val wide = stash(c, x);
    uint32_t n = axes_from(axis, val_rank(c->g, x), axes);
    if (wants_out(c, 1) || wants_out(c, 2)) {
        Val mean = b_mean(c->g, c->loc, wide, axes, n, true);
        Val var = b_mean(c->g, c->loc, square(c, ew2(c, OP_sub, wide, mean)), axes, n, true);
        Val deviation = ew1(c, OP_sqrt, ew2(c, OP_add, var, num(c, var, epsilon)));
        set_out(c, 1, mean);
        set_out(c, 2, ew2(c, OP_div, num(c, deviation, 1), deviation));
    }
    Val y = to(c, normalize(c, wide, axes, n, epsilon), t);
    if (has_in(c, 1)) y = ew2(c, OP_mul, y, in(c, 1));
    return has_in(c, 2) ? ew2(c, OP_add, y, in(c, 2)) : y;
}

Val import_rms_norm(Call *c) {
    Val x = in(c, 0);
    int64_t axes[MAX_RANK];
    uint32_t axis;
    if (!x.id || !norm_axis(c, attr_i(c, "axis", -1), val_rank(c->g, x), &axis)) return NO_VAL;
    uint32_t n = axes_from(axis, val_rank(c->g, x), axes);
    Val wide = stash(c, x), mean = b_mean(c->g, c->loc, square(c, wide), axes, n, true);
    Val root = ew1(c, OP_sqrt, ew2(c, OP_add, mean, num(c, mean, attr_f(c, "epsilon", 1e-5F))));
    if (wants_out(c, 1)) set_out(c, 1, ew2(c, OP_div, num(c, root, 1), root));
    Val y = to(c, ew2(c, OP_div, wide, root), val_dtype(c->g, x));
    return has_in(c, 1) ? ew2(c, OP_mul, y, in(c, 1)) : y;
}

/* ---- others ------------------------------------------------------------------------------------------------------ */

/* The exponents of LRN that are quarters: by roots, each correctly rounded. */
static Val quarter_power(Call *c, Val base, double beta) {
    if (beta == 1) return base;
    Val half = beta == 0.5 || beta == 0.75 ? ew1(c, OP_sqrt, base) : NO_VAL;
    if (!half.id) return ew2(c, OP_pow, base, num(c, base, beta));
    return beta == 0.5 ? half : ew2(c, OP_mul, half, ew1(c, OP_sqrt, half));
}

/* y = x / (bias + alpha / size * sum of squares over `size` neighbouring channels) ^ beta. */
Val import_lrn(Call *c) {
    Val x = in(c, 0);
    int64_t size = attr_i(c, "size", 0), window[MAX_RANK], ones[MAX_RANK];
    Dim low[MAX_RANK], high[MAX_RANK];
    if (!x.id) return x;
    uint32_t rank = val_rank(c->g, x);
    if (size < 1 || size > INT32_MAX || rank < 2)
        return fail(c, "needs a size and rank 2 or more, found %lld and %u", (long long)size, rank);
    for (uint32_t i = 0; i < rank; i++) {
        window[i] = i == 1 ? size : 1, ones[i] = 1;
        low[i] = dim_k(c, i == 1 ? (size - 1) / 2 : 0);
        high[i] = dim_k(c, i == 1 ? size / 2 : 0);
    }
    Attr attrs[] = {{.key = ATTR_window, .n = rank, .as.ints = window},
                    {.key = ATTR_stride, .n = rank, .as.ints = ones},
                    {.key = ATTR_dilation, .n = rank, .as.ints = ones},
                    {.key = ATTR_low, .n = rank, .as.dims = low},
                    {.key = ATTR_high, .n = rank, .as.dims = high}};
    Val squares = square(c, x);
    if (!squares.id) return squares;
    Val total = emit(c->g, OP_window_sum, c->loc, &squares, 1, attrs, COUNT(attrs));
    Val scale = num(c, x, attr_f(c, "alpha", 1e-4F) / (double)size);
    Val base = ew2(c, OP_add, num(c, x, attr_f(c, "bias", 1)), ew2(c, OP_mul, scale, total));
    return ew2(c, OP_div, x, quarter_power(c, base, attr_f(c, "beta", 0.75)));
}

Val import_mean_variance_norm(Call *c) {
    Val x = in(c, 0);
    static const int64_t usual[] = {0, 2, 3};
    const IntVec *list = attr_list(c, "axes");
    int64_t axes[MAX_RANK];
    uint32_t n = list ? list->n : 3, axis, set = 0, count = 0;
    if (!x.id) return x;
    for (uint32_t i = 0; i < n; i++) {
        if (!norm_axis(c, list ? list->at[i] : usual[i], val_rank(c->g, x), &axis)) return NO_VAL;
        set |= 1u << axis;
    }
    for (uint32_t i = 0; i < MAX_RANK; i++)
        if (set >> i & 1) axes[count++] = i;
    Val off = ew2(c, OP_sub, x, b_mean(c->g, c->loc, x, axes, count, true));
    Val deviation = ew1(c, OP_sqrt, b_mean(c->g, c->loc, square(c, off), axes, count, true));
    return ew2(c, OP_div, off, ew2(c, OP_add, deviation, num(c, x, 1e-9)));
}

/* x / |x|, and 0 where the norm is 0. */
Val import_lp_norm(Call *c) {
    Val x = in(c, 0);
    int64_t p = attr_i(c, "p", 2);
    uint32_t axis;
    if (!x.id || !norm_axis(c, attr_i(c, "axis", -1), val_rank(c->g, x), &axis)) return NO_VAL;
    if (p != 1 && p != 2) return fail(c, "p is %lld, it has to be 1 or 2", (long long)p);
    Val norm = reduce1(c, OP_reduce_sum, p == 1 ? ew1(c, OP_abs, x) : square(c, x), axis, true);
    if (p == 2) norm = ew1(c, OP_sqrt, norm);
    Val zero = num(c, x, 0);
    return sel(c, ew2(c, OP_eq, norm, zero), zero, ew2(c, OP_div, x, norm));
}
