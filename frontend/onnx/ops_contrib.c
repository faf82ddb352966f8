/* ops_contrib.c: operators of the domain com.microsoft, which ONNX Runtime's optimizers and exporters leave in models:
 * fused activations and normalisations, quantised arithmetic, packed low-bit weights.  Attention: ops_contrib_attention.c.
 * Source: ONNX Runtime, docs/ContribOperators.md.
 */
#include "onnx.h"
#include <math.h>

static Val maybe(Call *c, uint32_t i) { return has_in(c, i) ? in(c, i) : NO_VAL; }
static Val plus(Call *c, Val a, Val b) { return b.id ? ew2(c, OP_add, a, b) : a; }

/* ---- activations and products ------------------------------------------------------------------------------------ */

Val import_plain_gelu(Call *c) { return ew1(c, OP_gelu, in(c, 0)); }
Val import_bias_gelu(Call *c) { return ew1(c, OP_gelu, ew2(c, OP_add, in(c, 0), in(c, 1))); }
Val import_fast_gelu(Call *c) { return gelu_tanh(c, plus(c, in(c, 0), maybe(c, 1))); }

Val import_quick_gelu(Call *c) {
    Val x = in(c, 0);
    return ew2(c, OP_mul, x, ew1(c, OP_sigmoid, ew2(c, OP_mul, num(c, x, attr_f(c, "alpha", 1.702F)), x)));
}

Val import_fused_matmul(Call *c) {
    Val a = in(c, 0), b = in(c, 1);
    double alpha = attr_f(c, "alpha", 1);
    if (attr_i(c, "transBatchA", 0) || attr_i(c, "transBatchB", 0))
        return fail(c, "transposed batch axes are not supported");
    if (attr_i(c, "transA", 0) && a.id && val_rank(c->g, a) > 1) a = swap_last(c, a);
    if (attr_i(c, "transB", 0) && b.id && val_rank(c->g, b) > 1) b = swap_last(c, b);
    Val y = batched_matmul(c, a, b);
    return alpha == 1 ? y : ew2(c, OP_mul, y, num(c, y, alpha));
}

/* ---- normalisations ---------------------------------------------------------------------------------------------- */

static Val over_last(Call *c, Val x, bool centred) {
    if (!x.id) return x;
    int64_t last = (int64_t)val_rank(c->g, x) - 1;
    double epsilon = attr_f(c, "epsilon", 1e-12F);
    if (last < 0) return fail(c, "needs rank 1 or more");
    DType t = val_dtype(c->g, x);
    Val wide = t == DT_f16 || t == DT_bf16 ? to(c, x, DT_f32) : x;
    if (centred) {
        Attr attrs[2] = {{.key = ATTR_axes, .n = 1, .as.ints = &last}, {.key = ATTR_epsilon, .as.f = epsilon}};
        return to(c, emit(c->g, OP_normalize, c->loc, &wide, 1, attrs, 2), t);
    }
    Val mean = b_mean(c->g, c->loc, ew2(c, OP_mul, wide, wide), &last, 1, true);
    return to(c, ew2(c, OP_div, wide, ew1(c, OP_sqrt, ew2(c, OP_add, mean, num(c, mean, epsilon)))), t);
}

/* input, skip, gamma, beta (not where simplified: the row's param), bias. */
Val import_skip_norm(Call *c) {
    bool simple = c->row->param != 0;
    Val sum = plus(c, ew2(c, OP_add, in(c, 0), in(c, 1)), maybe(c, simple ? 3 : 4));
    set_out(c, 3, sum);
    return plus(c, ew2(c, OP_mul, over_last(c, sum, !simple), in(c, 2)), simple ? NO_VAL : maybe(c, 3));
}

static Val row_of(Call *c, Val table, Val index) {
    if (!table.id || !index.id) return NO_VAL;
    index = wrap_index(c, index, val_dim(c->g, table, 0));
    return index.id ? b_gather(c->g, c->loc, table, index, 0, 0) : index;
}

/* ids, segments, words, positions, segment table, gamma, beta, mask, position ids. */
Val import_embed_norm(Call *c) {
    Val ids = in(c, 0), words = in(c, 2), places = in(c, 3);
    if (!ids.id || !words.id || !places.id) return NO_VAL;
    if (val_rank(c->g, ids) != 2 || val_rank(c->g, words) != 2 || val_rank(c->g, places) != 2)
        return fail(c, "ids and tables have to be of rank 2");
    Dim batch = val_dim(c->g, ids, 0), length = val_dim(c->g, ids, 1);
    Val sum = row_of(c, words, ids);
    Val at = has_in(c, 8) ? row_of(c, places, in(c, 8)) : sliced(c, places, 0, dim_k(c, 0), length);
    sum = ew2(c, OP_add, sum, at);
    if (has_in(c, 1) && has_in(c, 4)) sum = ew2(c, OP_add, sum, row_of(c, in(c, 4), in(c, 1)));
    Dims line = {.n = 1, .at = {batch}};
    Val counted = has_in(c, 7) ? reduce1(c, OP_reduce_sum, in(c, 7), 1, false) : splat(c, DT_i32, 0, &line);
    set_out(c, 1, to(c, counted, DT_i32));
    set_out(c, 2, sum);
    return ew2(c, OP_add, ew2(c, OP_mul, over_last(c, sum, true), in(c, 5)), in(c, 6));
}

/* ---- quantised arithmetic ---------------------------------------------------------------------------------------- */

static Val real_of(Call *c, uint32_t at) { /* tensor, scale, zero point */
    Val x = to(c, in(c, at), DT_f32);
    if (has_in(c, at + 2)) x = ew2(c, OP_sub, x, to(c, in(c, at + 2), DT_f32));
    return ew2(c, OP_mul, x, in(c, at + 1));
}

static Val quantised(Call *c, Val y, uint32_t scale, DType t) {
    y = ew1(c, OP_round, ew2(c, OP_div, y, in(c, scale)));
    if (has_in(c, scale + 1)) y = ew2(c, OP_add, y, to(c, in(c, scale + 1), DT_f32));
    return to(c, y, t);
}

static DType kind_of(Call *c, uint32_t i) { return has_in(c, i) ? c->in[i].dtype : DT_u8; }

/* The row's param is the Graph op. */
Val import_qlinear_binary(Call *c) {
    return quantised(c, ew2(c, (Op)c->row->param, real_of(c, 0), real_of(c, 3)), 6, kind_of(c, 0));
}

Val import_qlinear_sigmoid(Call *c) { return quantised(c, ew1(c, OP_sigmoid, real_of(c, 0)), 3, kind_of(c, 0)); }

Val import_qlinear_leaky(Call *c) {
    Val x = real_of(c, 0), low = ew2(c, OP_mul, x, num(c, x, attr_f(c, "alpha", 0.01F)));
    return quantised(c, sel(c, ew2(c, OP_lt, x, num(c, x, 0)), low, x), 3, kind_of(c, 0));
}

Val import_qlinear_pool(Call *c) {
    Val x = real_of(c, 0);
    int64_t axes[MAX_RANK];
    if (!x.id) return x;
    uint32_t rank = val_rank(c->g, x), first = attr_i(c, "channels_last", 0) ? 1 : 2;
    if (rank < 3) return fail(c, "needs rank 3 or more, found %u", rank);
    for (uint32_t i = 0; i < rank - 2; i++) axes[i] = first + i;
    return quantised(c, b_mean(c->g, c->loc, x, axes, rank - 2, true), 3, kind_of(c, 0));
}

/* y_scale, y_zero, then tensor, scale, zero point of each part. */
Val import_qlinear_concat(Call *c) {
    uint32_t n = c->n_in > 2 ? (c->n_in - 2) / 3 : 0, axis;
    Val *list = arena_new_array(c->im->arena, Val, n + 1);
    if (n == 0 || c->n_in != 2 + 3 * n) return fail(c, "%u inputs do not make whole triples", c->n_in);
    for (uint32_t i = 0; i < n; i++)
        if (!(list[i] = quantised(c, real_of(c, 2 + 3 * i), 0, kind_of(c, 1))).id) return NO_VAL;
    if (!norm_axis(c, attr_i(c, "axis", 0), val_rank(c->g, list[0]), &axis)) return NO_VAL;
    return b_concat(c->g, c->loc, list, n, axis);
}

static Val less_zero(Call *c, Val x, Val zero) {
    return zero.id ? ew2(c, OP_sub, to(c, x, DT_i32), to(c, zero, DT_i32)) : to(c, x, DT_i32);
}

/* a, b, a_scale, b_scale, a_zero, b_zero, bias. */
Val import_matmul_to_float(Call *c) {
    Val a = less_zero(c, in(c, 0), maybe(c, 4)), b = less_zero(c, in(c, 1), maybe(c, 5)), y = batched_matmul(c, a, b);
    return plus(c, ew2(c, OP_mul, to(c, y, DT_f32), ew2(c, OP_mul, in(c, 2), in(c, 3))), maybe(c, 6));
}

/* a (f32), b, b_scale, b_zero, bias: a is quantised to u8 over its own range. */
Val import_dynamic_matmul(Call *c) {
    Val x = in(c, 0), zero = num(c, x, 0), levels = num(c, x, 255), low;
    if (!x.id) return x;
    Val scale = u8_step(c, x, zero, levels, &low);
    scale = sel(c, ew2(c, OP_eq, scale, zero), num(c, x, 1), scale);
    Val point =
        ew1(c, OP_round, ew2(c, OP_min, ew2(c, OP_max, ew2(c, OP_div, ew1(c, OP_neg, low), scale), zero), levels));
    Val q = to(c, ew2(c, OP_add, ew1(c, OP_round, ew2(c, OP_div, x, scale)), point), DT_u8);
    Val a = less_zero(c, q, to(c, point, DT_u8)), b = less_zero(c, in(c, 1), maybe(c, 3)), y = batched_matmul(c, a, b);
    return plus(c, ew2(c, OP_mul, to(c, y, DT_f32), ew2(c, OP_mul, scale, in(c, 2))), maybe(c, 4));
}

/* ---- low-bit weights --------------------------------------------------------------------------------------------- */

/* Bytes [.., n] to their numbers of `bits`, low first: [.., n * 8 / bits]. */
static Val unpacked(Call *c, Val bytes, int64_t bits) {
    if (!bytes.id || bits == 8) return bytes;
    uint32_t rank = val_rank(c->g, bytes);
    Dims d = dims_of(c, bytes), parts = {.n = rank + 1};
    int64_t per = 8 / bits;
    for (uint32_t i = 0; i < rank; i++) parts.at[i] = dim_k(c, 1);
    parts.at[rank] = dim_k(c, per);
    Val shift = to(c, ew2(c, OP_mul, axis_iota(c, DT_i32, &parts, rank), numt(c, DT_i32, (double)bits)), DT_u8);
    Val all =
        ew2(c, OP_and, ew2(c, OP_shr, unsqueezed(c, bytes, rank), shift), numt(c, DT_u8, (double)((1 << bits) - 1)));
    d.at[rank - 1] = dim_muli(c->cx, d.at[rank - 1], per);
    return shaped(c, all, &d);
}

/* a [.., K] by weights [N, blocks, bytes], a scale and a zero point a block. */
Val import_matmul_nbits(Call *c) {
    Val a = in(c, 0), b = in(c, 1), scale = in(c, 2);
    int64_t k = attr_i(c, "K", 0), n = attr_i(c, "N", 0), bits = attr_i(c, "bits", 4),
            block = attr_i(c, "block_size", 0);
    if (!a.id || !b.id || !scale.id) return NO_VAL;
    if ((bits != 2 && bits != 4 && bits != 8) || block < 8 || block > 1 << 16 || k < 1 || n < 1 || k > INT32_MAX ||
        n > INT32_MAX || val_rank(c->g, b) != 3)
        return fail(c, "bits %lld, block_size %lld, K %lld, N %lld", (long long)bits, (long long)block, (long long)k,
                    (long long)n);
    if (has_in(c, 4)) return fail(c, "g_idx is not supported");
    int64_t blocks = (k + block - 1) / block, room = (blocks * bits + 7) / 8;
    DType t = val_dtype(c->g, a);
    Dims per = {.n = 3, .at = {dim_k(c, n), dim_k(c, blocks), dim_k(c, 1)}},
         matrix = {.n = 2, .at = {dim_k(c, n), dim_k(c, blocks * block)}};
    Val zero = numt(c, t, (double)(1 << (bits - 1))), q = to(c, unpacked(c, b, bits), t);
    if (has_in(c, 3)) {
        Val z = in(c, 3);
        Dims rows = {.n = 2, .at = {dim_k(c, n), dim_k(c, room)}};
        if (z.id && val_dtype(c->g, z) == DT_u8)
            z = sliced(c, unpacked(c, shaped(c, z, &rows), bits), 1, dim_k(c, 0), dim_k(c, blocks));
        zero = to(c, shaped(c, z, &per), t);
    }
    Val w = ew2(c, OP_mul, ew2(c, OP_sub, q, zero), to(c, shaped(c, scale, &per), t));
    w = sliced(c, shaped(c, w, &matrix), 1, dim_k(c, 0), dim_k(c, k));
    return plus(c, batched_matmul(c, a, swap_last(c, w)), maybe(c, 5));
}
