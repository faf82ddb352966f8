/* ops_attention.c: Attention, RotaryEmbedding, LinearAttention, CausalConvWithState.
 *
 * Attention is written out as dot, mask, softmax, dot, the pattern that pass match looks for.  Query heads that share a
 * key head are further rows of one product, so that keys and values are never repeated.
 */
#include "onnx.h"
#include <math.h>
#include <string.h>

/* [b, s, h * d] -> [b, h, s, d]. */
Val split_heads(Call *c, Val x, int64_t heads) {
    static const int64_t perm[] = {0, 2, 1, 3};
    if (!x.id) return x;
    Dims d = dims_of(c, x);
    if (d.n != 3 || heads < 1)
        return fail(c, "an operand of rank %u and %lld heads; rank 3 and the number of heads, or rank 4, are needed",
                    d.n, (long long)heads);
    Dims four = {.n = 4, .at = {d.at[0], d.at[1], dim_k(c, heads), dim_fdiv(c->cx, d.at[2], dim_k(c, heads))}};
    return permuted(c, shaped(c, x, &four), perm);
}

/* [b, h, s, d] -> [b, s, h * d]. */
Val join_heads(Call *c, Val x) {
    static const int64_t perm[] = {0, 2, 1, 3};
    if (!x.id) return x;
    Dims d = dims_of(c, x), three = {.n = 3, .at = {d.at[0], d.at[2], dim_mul(c->cx, d.at[1], d.at[3])}};
    return shaped(c, permuted(c, x, perm), &three);
}

static Val append(Call *c, Val past, Val fresh) {
    Val pair[2] = {past, fresh};
    return past.id && fresh.id ? b_concat(c->g, c->loc, pair, 2, 2) : NO_VAL;
}

/* ---- scores and masks -------------------------------------------------------------------------------------------- */

/* A mask may be shorter than the keys: what it does not name is masked. */
static Val long_enough(Call *c, Val mask, Dim keys) {
    Dim low[MAX_RANK], high[MAX_RANK];
    if (!mask.id) return mask;
    uint32_t rank = val_rank(c->g, mask);
    if (rank == 0) return mask;
    Dim have = val_dim(c->g, mask, rank - 1);
    if (dim_same(have, keys) || dim_is(c->cx, have, 1)) return mask;
    for (uint32_t i = 0; i < rank; i++) low[i] = high[i] = dim_k(c, 0);
    high[rank - 1] = dim_sub(c->cx, keys, have);
    return padded(c, mask,
                  val_dtype(c->g, mask) == DT_bool ? splat(c, DT_bool, 0, &(Dims){0}) : num(c, mask, -INFINITY), low,
                  high);
}

/* Key j is seen by query i where j <= i + past. */
static Val causal(Call *c, Dim queries, Dim keys, Dim past) {
    Dims two = {.n = 2, .at = {queries, keys}};
    Val last = ew2(c, OP_add, axis_iota(c, DT_i64, &two, 0), b_dim(c->g, c->loc, past));
    return ew2(c, OP_le, axis_iota(c, DT_i64, &two, 1), last);
}

static Val masked(Call *c, Val scores, Dim past) {
    Dims d = dims_of(c, scores);
    Val low = num(c, scores, -INFINITY);
    if (has_in(c, 3)) {
        Val mask = long_enough(c, in(c, 3), d.at[3]);
        if (!mask.id) return mask;
        scores = val_dtype(c->g, mask) == DT_bool ? sel(c, mask, scores, low)
                                                  : ew2(c, OP_add, scores, to(c, mask, val_dtype(c->g, scores)));
    }
    if (attr_i(c, "is_causal", 0)) scores = sel(c, causal(c, d.at[2], d.at[3], past), scores, low);
    if (has_in(c, 6)) {
        Dims row = {.n = 4, .at = {dim_k(c, 1), dim_k(c, 1), dim_k(c, 1), d.at[3]}};
        scores = sel(c, ew2(c, OP_lt, axis_iota(c, DT_i64, &row, 3), per_axis(c, to(c, in(c, 6), DT_i64), 0, 4)),
                     scores, low);
    }
    return scores;
}

/* x [b, h, s, k] by w [b, hk, k, n], h a multiple of hk. */
Val grouped_dot(Call *c, Val x, Val w) {
    if (!x.id || !w.id) return NO_VAL;
    Dims d = dims_of(c, x), e = dims_of(c, w);
    if (dim_same(d.at[1], e.at[1])) return b_dot(c->g, c->loc, x, w, 2);
    Dims five = {.n = 5, .at = {d.at[0], e.at[1], dim_fdiv(c->cx, d.at[1], e.at[1]), d.at[2], d.at[3]}};
    Dims four = {.n = 4, .at = {d.at[0], d.at[1], d.at[2], e.at[3]}};
    Val parted = shaped(c, x, &five);
    return parted.id ? shaped(c, b_dot(c->g, c->loc, parted, w, 2), &four) : parted;
}

Val import_attention(Call *c) {
    Val q = in(c, 0), k = in(c, 1), v = in(c, 2);
    int64_t heads = attr_i(c, "q_num_heads", 0), kv_heads = attr_i(c, "kv_num_heads", 0),
            mode = attr_i(c, "qk_matmul_output_mode", 0);
    if (!q.id || !k.id || !v.id) return NO_VAL;
    bool flat = val_rank(c->g, q) == 3;
    if (flat) q = split_heads(c, q, heads), k = split_heads(c, k, kv_heads), v = split_heads(c, v, kv_heads);
    if (!q.id || !k.id || !v.id) return NO_VAL;
    if (val_rank(c->g, q) != 4 || val_rank(c->g, k) != 4 || val_rank(c->g, v) != 4)
        return fail(c, "query, key and value have to be of rank 3 or 4");
    for (uint32_t i = 4; i < 6; i++)
        if (has_in(c, i) && (!c->in[i].val.id || val_rank(c->g, c->in[i].val) != 4))
            return fail(c, "the past has to be of rank 4");
    Dim past = has_in(c, 4) ? val_dim(c->g, c->in[4].val, 2) : dim_k(c, 0), size = val_dim(c->g, q, 3);
    if (has_in(c, 4)) k = append(c, in(c, 4), k);
    if (has_in(c, 5)) v = append(c, in(c, 5), v);
    set_out(c, 1, k), set_out(c, 2, v);
    Val scale = num(c, q, attr_f(c, "scale", 1)); /* on the queries alone: the keys may be a long past */
    if (!find_attr(c, "scale")) {
        Val root = ew1(c, OP_sqrt, to(c, b_dim(c->g, c->loc, size), DT_f64));
        scale = to(c, ew2(c, OP_div, numt(c, DT_f64, 1), root), val_dtype(c->g, q));
    }
    Val scores = grouped_dot(c, ew2(c, OP_mul, q, scale), swap_last(c, k));
    double cap = attr_f(c, "softcap", 0);
    if (cap > 0)
        scores = ew2(c, OP_mul, ew1(c, OP_tanh, ew2(c, OP_div, scores, num(c, scores, cap))), num(c, scores, cap));
    if (mode < 2) set_out(c, 3, scores);
    if (!scores.id) return scores;
    scores = masked(c, scores, past);
    if (mode == 2) set_out(c, 3, scores);
    DType t = val_dtype(c->g, q), wide = dtype_by_onnx(attr_i(c, "softmax_precision", dtype_info[t].onnx));
    if (wide == DT_none) return fail(c, "softmax_precision is not a known element type");
    Val weights = scores.id ? to(c, soft(c, OP_softmax, to(c, scores, wide), 3), t) : scores;
    if (mode == 3) set_out(c, 3, weights);
    Val y = grouped_dot(c, weights, v);
    return flat ? join_heads(c, y) : y;
}

/* A subgraph from scores to scores. */
static Val modified(Call *c, const char *name, Val x) {
    Value given = value_of(c, x), out = {0};
    if (!x.id || !find_attr(c, name)) return x;
    const OnnxGraph *graph = attr_subgraph(c, name);
    if (!graph) return NO_VAL;
    if (graph->n_outputs != 1) return fail(c, "%s has to give one output, not %u", name, graph->n_outputs);
    return inline_graph(c, graph, &given, 1, &out) ? value_val(c, &out) : NO_VAL;
}

Val import_flex_attention(Call *c) {
    Val q = in(c, 0), k = in(c, 1), v = in(c, 2);
    if (!q.id || !k.id || !v.id) return NO_VAL;
    if (val_rank(c->g, q) != 4 || val_rank(c->g, k) != 4 || val_rank(c->g, v) != 4)
        return fail(c, "query, key and value have to be of rank 4");
    DType t = val_dtype(c->g, q), wide = dtype_by_onnx(attr_i(c, "softmax_precision", t == DT_f64 ? 11 : 1));
    if (wide == DT_none) return fail(c, "softmax_precision is not a known element type");
    Val scores = grouped_dot(c, to(c, q, wide), swap_last(c, to(c, k, wide)));
    Val scale = num(c, scores, attr_f(c, "scale", 1));
    if (!find_attr(c, "scale")) {
        Val root = ew1(c, OP_sqrt, to(c, b_dim(c->g, c->loc, val_dim(c->g, q, 3)), DT_f64));
        scale = to(c, ew2(c, OP_div, numt(c, DT_f64, 1), root), wide);
    }
    scores = modified(c, "score_mod", ew2(c, OP_mul, scores, scale));
    if (!scores.id) return scores;
    Val weights = modified(c, "prob_mod", soft(c, OP_softmax, scores, 3));
    return to(c, grouped_dot(c, weights, to(c, v, wide)), t);
}

/* ---- rotary ------------------------------------------------------------------------------------------------------ */

/* Pairs (x1, x2) of the first `rotary` features turned by the position's angle; pairs are neighbours (interleaved) or
 * halves. */
Val rotary_turn(Call *c, Val x, Val cosine, Val sine, Dim rotary, bool neighbours) {
    Dims d = dims_of(c, x);
    uint32_t last = d.n - 1;
    Dim half = dim_fdiv(c->cx, rotary, dim_k(c, 2)), zero = dim_k(c, 0);
    Val part = sliced(c, x, last, zero, rotary), rest = sliced(c, x, last, rotary, dim_sub(c->cx, d.at[last], rotary)),
        x1, x2;
    Dims pairs = d, whole = d;
    whole.at[last] = rotary;
    pairs.at[last] = half, pairs.at[pairs.n++] = dim_k(c, 2);
    if (neighbours) {
        Val two = shaped(c, part, &pairs);
        x1 = squeezed(c, sliced(c, two, last + 1, zero, dim_k(c, 1)), last + 1);
        x2 = squeezed(c, sliced(c, two, last + 1, dim_k(c, 1), dim_k(c, 1)), last + 1);
    } else {
        x1 = sliced(c, part, last, zero, half), x2 = sliced(c, part, last, half, half);
    }
    Val cosine1 = ew2(c, OP_mul, cosine, x1), sine2 = ew2(c, OP_mul, sine, x2);
    Val sine1 = ew2(c, OP_mul, sine, x1), cosine2 = ew2(c, OP_mul, cosine, x2);
    Val y[3] = {ew2(c, OP_sub, cosine1, sine2), ew2(c, OP_add, sine1, cosine2), rest};
    if (!y[0].id || !y[1].id || !rest.id) return NO_VAL;
    if (neighbours) {
        y[0] = unsqueezed(c, y[0], last + 1), y[1] = unsqueezed(c, y[1], last + 1);
        y[0] = shaped(c, b_concat(c->g, c->loc, y, 2, last + 1), &whole);
        y[1] = rest;
    }
    bool all = dim_same(rotary, d.at[last]);
    uint32_t n = neighbours ? 2 : 3;
    return all && n == 2 ? y[0] : b_concat(c->g, c->loc, y, all ? n - 1 : n, last);
}

Val import_rotary_embedding(Call *c) {
    Val x = in(c, 0), cosine = in(c, 1), sine = in(c, 2);
    int64_t rotary = attr_i(c, "rotary_embedding_dim", 0);
    if (!x.id || !cosine.id || !sine.id) return NO_VAL;
    bool flat = val_rank(c->g, x) == 3;
    if (flat) x = split_heads(c, x, attr_i(c, "num_heads", 0));
    if (!x.id || val_rank(c->g, x) != 4) return x.id ? fail(c, "needs rank 3 or 4") : x;
    if (has_in(c, 3)) {
        if (val_rank(c->g, cosine) != 2 || val_rank(c->g, sine) != 2)
            return fail(c, "caches that positions select from have to be of rank 2");
        Val at = wrap_index(c, in(c, 3), val_dim(c->g, cosine, 0));
        if (!at.id) return at;
        cosine = b_gather(c->g, c->loc, cosine, at, 0, 0), sine = b_gather(c->g, c->loc, sine, at, 0, 0);
    }
    /* [b, s, r / 2] under [b, h, s, r / 2]. */
    cosine = unsqueezed(c, cosine, 1), sine = unsqueezed(c, sine, 1);
    Val y = rotary_turn(c, x, cosine, sine, rotary ? dim_k(c, rotary) : val_dim(c->g, x, 3),
                        attr_i(c, "interleaved", 0) != 0);
    return flat ? join_heads(c, y) : y;
}

/* ---- linear attention -------------------------------------------------------------------------------------------- */

/* [b, t, h * d] -> [t, b, h, d], the order in which the scan reads. */
static Val by_step(Call *c, Val x, Dim heads) {
    static const int64_t perm[] = {1, 0, 2, 3};
    if (!x.id) return x;
    Dims d = dims_of(c, x), four = {.n = 4, .at = {d.at[0], d.at[1], heads, dim_fdiv(c->cx, d.at[2], heads)}};
    return to(c, permuted(c, shaped(c, x, &four), perm), DT_f32);
}

static Val row_by_matrix(Call *b, Val row, Val matrix) { /* [b, h, k] by [b, h, k, v] -> [b, h, v] */
    Val y = grouped_dot(b, unsqueezed(b, row, 2), matrix);
    return y.id ? squeezed(b, y, 2) : y;
}

Val import_linear_attention(Call *c) {
    const char *rule = attr_s(c, "update_rule", "gated_delta");
    bool gated = strncmp(rule, "gated", 5) == 0, delta = strstr(rule, "delta") != NULL;
    int64_t heads = attr_i(c, "q_num_heads", 0), kv_heads = attr_i(c, "kv_num_heads", 0);
    Val q = in(c, 0), k = in(c, 1), v = in(c, 2);
    if (!q.id || !k.id || !v.id) return NO_VAL;
    if (heads < 1 || kv_heads < 1 || heads % kv_heads || val_rank(c->g, q) != 3 || val_rank(c->g, k) != 3 ||
        val_rank(c->g, v) != 3)
        return fail(c, "needs operands of rank 3 and query heads that are a multiple of the %lld key heads, found %lld",
                    (long long)kv_heads, (long long)heads);
    DType t = val_dtype(c->g, q);
    Dim kv = dim_k(c, kv_heads), own[2] = {val_dim(c->g, q, 0), val_dim(c->g, q, 1)};
    Val list[6] = {NO_VAL, by_step(c, q, dim_k(c, heads)), by_step(c, k, kv), by_step(c, v, kv)};
    if (!list[1].id || !list[2].id || !list[3].id) return NO_VAL;
    Dim key = val_dim(c->g, list[2], 3), width = val_dim(c->g, list[3], 3);
    Dims state = {.n = 4, .at = {own[0], kv, key, width}};
    list[0] = has_in(c, 3) ? to(c, in(c, 3), DT_f32) : splat(c, DT_f32, 0, &state);
    uint32_t n = 4;
    if (gated) list[n++] = by_step(c, in(c, 4), kv);
    if (delta) {
        Val beta = in(c, 5);
        if (!beta.id) return beta;
        Dims each = {.n = 3, .at = {own[0], own[1], kv}};
        list[n++] = by_step(c, spread(c, beta, &each), kv);
    }
    Call body = *c, *b = &body;
    body.g = graph_new(c->cx, "step");
    Val at[6];
    static const char *const names[] = {"state", "q", "k", "v", "decay", "beta"};
    b_param(body.g, c->loc, "position", DT_i64, 0, NULL);
    for (uint32_t i = 0; i < n; i++) {
        if (!list[i].id) return NO_VAL;
        const TypeInfo *type = val_type(c->g, list[i]);
        at[i] = b_param(body.g, c->loc, names[i == 4 && !gated ? 5 : i], DT_f32, type->rank - (i > 0),
                        type->dims + (i > 0));
    }
    Val s = at[0], value = at[3];
    if (gated) s = ew2(b, OP_mul, s, unsqueezed(b, ew1(b, OP_exp, at[4]), 3));
    if (delta) value = ew2(b, OP_mul, at[n - 1], ew2(b, OP_sub, value, row_by_matrix(b, at[2], s)));
    s = ew2(b, OP_add, s, ew2(b, OP_mul, unsqueezed(b, at[2], 3), unsqueezed(b, value, 2)));
    Val y = row_by_matrix(b, at[1], s);
    graph_result(body.g, s, "state");
    graph_result(body.g, y, "y");
    if (!graph_finish(body.g)) return NO_VAL;
    Attr attrs[] = {{.key = ATTR_carried, .as.i = 1},
                    {.key = ATTR_scanned, .as.i = n - 1},
                    {.key = ATTR_trip, .as.dim = own[1]},
                    {.key = ATTR_body, .as.graph = body.g},
                    {.key = ATTR_reverse, .as.i = 0}};
    Val all = emit(c->g, OP_scan, c->loc, list, n, attrs, COUNT(attrs));
    if (!all.id) return all;
    set_out(c, 1, to(c, b_get(c->g, c->loc, all, 0), has_in(c, 3) ? c->in[3].dtype : t));
    y = b_get(c->g, c->loc, all, 1); /* [t, b, h, v] */
    double scale = attr_f(c, "scale", 0);
    Val factor =
        scale != 0 ? numt(c, DT_f32, scale)
                   : to(c, ew2(c, OP_div, numt(c, DT_f64, 1), ew1(c, OP_sqrt, to(c, b_dim(c->g, c->loc, key), DT_f64))),
                        DT_f32);
    static const int64_t perm[] = {1, 0, 2, 3};
    Dims three = {.n = 3, .at = {own[0], own[1], dim_muli(c->cx, width, heads)}};
    return to(c, shaped(c, permuted(c, ew2(c, OP_mul, y, factor), perm), &three), t);
}

/* y[b, c, l] = sum over k of x[b, c, l + k] w[c, 0, k], where the weights' extents are known while running. */
static Val windowed_sum(Call *c, Val all, Val w, Dim length) {
    Dims grid = {.n = 2, .at = {length, val_dim(c->g, w, 2)}};
    Val at = ew2(c, OP_add, axis_iota(c, DT_i64, &grid, 0), axis_iota(c, DT_i64, &grid, 1));
    if (!at.id || !all.id) return NO_VAL;
    Val framed = to(c, b_gather(c->g, c->loc, all, at, 2, 0), DT_f32);
    return to(c, reduce1(c, OP_reduce_sum, ew2(c, OP_mul, framed, to(c, w, DT_f32)), 3, false), val_dtype(c->g, all));
}

/* A depthwise convolution over the last positions of the state and the operand. */
Val import_causal_conv(Call *c) {
    Val x = in(c, 0), w = in(c, 1);
    int64_t channels, taps;
    const char *name = attr_s(c, "activation", "none");
    if (!x.id || !w.id) return NO_VAL;
    if (val_rank(c->g, x) != 3 || val_rank(c->g, w) != 3) return fail(c, "operand and weights have to be of rank 3");
    Dims d = dims_of(c, x), before = d;
    Dim history = before.at[2] = dim_addi(c->cx, val_dim(c->g, w, 2), -1);
    Val pair[2] = {has_in(c, 3) ? in(c, 3) : splat(c, val_dtype(c->g, x), 0, &before), x}, y;
    if (!pair[0].id) return NO_VAL;
    Val all = b_concat(c->g, c->loc, pair, 2, 2);
    if (dim_const_value(c->cx, val_dim(c->g, w, 0), &channels) && dim_const_value(c->cx, val_dim(c->g, w, 2), &taps) &&
        channels > 0 && taps > 0) {
        Window k = {.n = 1, .stride = {1}, .dilation = {1}, .low = {dim_k(c, 0)}, .high = {dim_k(c, 0)}};
        y = conv_core(c, all, w, &k, channels);
    } else {
        y = windowed_sum(c, all, w, d.at[2]);
    }
    if (has_in(c, 2)) y = ew2(c, OP_add, y, per_axis(c, in(c, 2), 1, 3));
    set_out(c, 1, sliced(c, all, 2, d.at[2], history));
    if (strcmp(name, "none") == 0) return y;
    if (strcmp(name, "silu") != 0 && strcmp(name, "swish") != 0)
        return fail(c, "activation '%s' is not known; known are none, silu and swish", name);
    Val f = to(c, y, DT_f32);
    return to(c, ew2(c, OP_mul, f, ew1(c, OP_sigmoid, f)), val_dtype(c->g, x));
}
