/* ops_contrib_attention.c: Attention, MultiHeadAttention, GroupQueryAttention and RotaryEmbedding of com.microsoft.
 *
 * All come down to the same: heads split, past keys and values in front, scores masked, softmax, values.  Masks are
 * conditions per key (which keys are there), per query and key (causal, a window), or added numbers.
 * Source: ONNX Runtime, docs/ContribOperators.md.
 */
#include "onnx.h"
#include <math.h>

typedef struct Heads {
    Val q, k, v; /* [b, h, s, d], [b, hk, t, d] */
    Val seen;    /* bool that broadcasts to [b, h, s, t], or none */
    Val added;   /* numbers that broadcast to it, or none */
    double scale, softcap, masked;
} Heads;

static Val both(Call *c, Val a, Val b) { return !a.id ? b : !b.id ? a : ew2(c, OP_and, a, b); }
static Val plus(Call *c, Val a, Val b) { return b.id ? ew2(c, OP_add, a, b) : a; }
static Val maybe(Call *c, uint32_t i) { return has_in(c, i) ? in(c, i) : NO_VAL; }

/* [b, h, s, d]. */
static Val attend(Call *c, const Heads *a) {
    if (!a->q.id || !a->k.id || !a->v.id) return NO_VAL;
    Val scale = num(c, a->q, a->scale);
    if (a->scale == 0) {
        Val root = ew1(c, OP_sqrt, to(c, b_dim(c->g, c->loc, val_dim(c->g, a->q, 3)), DT_f64));
        scale = to(c, ew2(c, OP_div, numt(c, DT_f64, 1), root), val_dtype(c->g, a->q));
    }
    Val scores = ew2(c, OP_mul, grouped_dot(c, a->q, swap_last(c, a->k)), scale);
    if (a->softcap > 0)
        scores = ew2(c, OP_mul, ew1(c, OP_tanh, ew2(c, OP_div, scores, num(c, scores, a->softcap))),
                     num(c, scores, a->softcap));
    if (a->added.id) scores = ew2(c, OP_add, scores, a->added);
    if (a->seen.id) scores = sel(c, a->seen, scores, num(c, scores, a->masked));
    return scores.id ? grouped_dot(c, soft(c, OP_softmax, scores, 3), a->v) : scores;
}

/* j <= i + past over [s, t]; with a window also j > i + past - window. */
static Val ordered(Call *c, Dim queries, Dim keys, Val past, int64_t window) {
    Dims d = {.n = 2, .at = {queries, keys}};
    Val last = ew2(c, OP_add, axis_iota(c, DT_i64, &d, 0), past), j = axis_iota(c, DT_i64, &d, 1);
    Val seen = ew2(c, OP_le, j, last);
    return window > 0 ? ew2(c, OP_and, seen, ew2(c, OP_lt, ew2(c, OP_sub, last, numt(c, DT_i64, (double)window)), j))
                      : seen;
}

/* mask_index: lengths [b]; flags [b, t] or [b, s, t]. */
static bool key_mask(Call *c, Val mask, Dim keys, Val *seen) {
    if (!mask.id) return false;
    uint32_t rank = val_rank(c->g, mask);
    if (rank == 1) {
        Dims row = {.n = 4, .at = {dim_k(c, 1), dim_k(c, 1), dim_k(c, 1), keys}};
        *seen = ew2(c, OP_lt, axis_iota(c, DT_i64, &row, 3), per_axis(c, to(c, mask, DT_i64), 0, 4));
        return true;
    }
    if (rank != 2 && rank != 3) {
        fail(c, "a mask of rank %u is not supported; supported are lengths and flags of rank 2 and 3", rank);
        return false;
    }
    Val flags = logical_not(c, ew2(c, OP_eq, mask, num(c, mask, 0)));
    *seen = unsqueezed(c, flags, 1);
    if (rank == 2) *seen = unsqueezed(c, *seen, 1);
    return seen->id != 0;
}

static Val part(Call *c, Val x, uint32_t axis, Dim start, Dim extent) { return sliced(c, x, axis, start, extent); }

static Val joined(Call *c, Val past, Val fresh) {
    Val pair[2] = {past, fresh};
    return past.id && fresh.id ? b_concat(c->g, c->loc, pair, 2, 2) : NO_VAL;
}

/* input, weights, bias, mask_index, past, attention_bias. */
Val import_ms_attention(Call *c) {
    Val x = in(c, 0), w = in(c, 1);
    int64_t heads = attr_i(c, "num_heads", 0);
    const IntVec *sizes = attr_list(c, "qkv_hidden_sizes");
    Heads a = {.scale = attr_f(c, "scale", 0), .masked = attr_f(c, "mask_filter_value", -10000)};
    if (!x.id || !w.id) return NO_VAL;
    if (val_rank(c->g, x) != 3 || val_rank(c->g, w) != 2)
        return fail(c, "needs an operand of rank 3 and weights of rank 2");
    if (attr_i(c, "do_rotary", 0) || attr_i(c, "past_present_share_buffer", 0))
        return fail(c, "do_rotary and shared buffers are not supported");
    Val all = plus(c, batched_matmul(c, x, w), has_in(c, 2) ? in(c, 2) : NO_VAL), split[3];
    Dim at = dim_k(c, 0), third = dim_fdiv(c->cx, val_dim(c->g, w, 1), dim_k(c, 3));
    for (uint32_t i = 0; i < 3; i++) {
        Dim size = sizes && sizes->n == 3 ? dim_k(c, sizes->at[i]) : third;
        split[i] = split_heads(c, part(c, all, 2, at, size), heads);
        at = dim_add(c->cx, at, size);
    }
    a.q = split[0], a.k = split[1], a.v = split[2];
    Val past = numt(c, DT_i64, 0);
    if (has_in(c, 4)) {
        Val cache = in(c, 4);
        if (!cache.id || val_rank(c->g, cache) != 5) return cache.id ? fail(c, "the past has to be of rank 5") : cache;
        past = b_dim(c->g, c->loc, val_dim(c->g, cache, 3));
        a.k = joined(c, squeezed(c, part(c, cache, 0, dim_k(c, 0), dim_k(c, 1)), 0), a.k);
        a.v = joined(c, squeezed(c, part(c, cache, 0, dim_k(c, 1), dim_k(c, 1)), 0), a.v);
    }
    if (!a.q.id || !a.k.id || !a.v.id) return NO_VAL;
    if (wants_out(c, 1)) {
        Val pair[2] = {unsqueezed(c, a.k, 0), unsqueezed(c, a.v, 0)};
        set_out(c, 1, b_concat(c->g, c->loc, pair, 2, 0));
    }
    if (has_in(c, 3) && !key_mask(c, in(c, 3), val_dim(c->g, a.k, 2), &a.seen)) return NO_VAL;
    if (attr_i(c, "unidirectional", 0))
        a.seen = both(c, a.seen, ordered(c, val_dim(c->g, a.q, 2), val_dim(c->g, a.k, 2), past, 0));
    a.added = maybe(c, 5);
    return join_heads(c, attend(c, &a));
}

/* query, key, value, bias, key_padding_mask, attention_bias, past_key, past_value. */
Val import_multi_head(Call *c) {
    Val q = in(c, 0);
    int64_t heads = attr_i(c, "num_heads", 0);
    Heads a = {.scale = attr_f(c, "scale", 0), .masked = attr_f(c, "mask_filter_value", -10000)};
    if (!q.id) return q;
    for (uint32_t i = 8; i < c->n_in; i++)
        if (has_in(c, i)) return fail(c, "input %u is not supported", i);
    if (val_rank(c->g, q) != 3 || !has_in(c, 1) || !has_in(c, 2))
        return fail(c, "packed queries, keys and values are not supported");
    Val k = in(c, 1), v = in(c, 2);
    if (!k.id || !v.id) return NO_VAL;
    bool cross = val_rank(c->g, k) == 4; /* keys of another sequence, split already */
    if (has_in(c, 3)) {
        Val bias = in(c, 3);
        Dim hidden = val_dim(c->g, q, 2), wide = cross ? dim_k(c, 0) : val_dim(c->g, v, 2);
        q = ew2(c, OP_add, q, part(c, bias, 0, dim_k(c, 0), hidden));
        if (!cross) {
            k = ew2(c, OP_add, k, part(c, bias, 0, hidden, hidden));
            v = ew2(c, OP_add, v, part(c, bias, 0, dim_muli(c->cx, hidden, 2), wide));
        }
    }
    a.q = split_heads(c, q, heads);
    a.k = cross ? k : split_heads(c, k, heads), a.v = cross ? v : split_heads(c, v, heads);
    if (!a.q.id || !a.k.id || !a.v.id || val_rank(c->g, a.v) != 4)
        return a.v.id ? fail(c, "keys and values have to be of one rank") : NO_VAL;
    Val past = numt(c, DT_i64, 0);
    if (has_in(c, 6) && has_in(c, 7)) {
        Val old = in(c, 6);
        if (!old.id || val_rank(c->g, old) != 4) return old.id ? fail(c, "the past has to be of rank 4") : old;
        past = b_dim(c->g, c->loc, val_dim(c->g, old, 2));
        a.k = joined(c, old, a.k), a.v = joined(c, in(c, 7), a.v);
    }
    if (!a.k.id || !a.v.id) return NO_VAL;
    set_out(c, 1, a.k), set_out(c, 2, a.v);
    if (has_in(c, 4) && !key_mask(c, in(c, 4), val_dim(c->g, a.k, 2), &a.seen)) return NO_VAL;
    if (attr_i(c, "unidirectional", 0))
        a.seen = both(c, a.seen, ordered(c, val_dim(c->g, a.q, 2), val_dim(c->g, a.k, 2), past, 0));
    a.added = maybe(c, 5);
    return join_heads(c, attend(c, &a));
}

/* x [b, h, s, d] turned by the angles of positions [b, s]. */
static Val rotated(Call *c, Val x, Val positions, uint32_t cosines, Dim rotary, bool neighbours) {
    Val cosine = in(c, cosines), sine = in(c, cosines + 1);
    if (!x.id || !cosine.id || !sine.id || !positions.id) return NO_VAL;
    if (val_rank(c->g, cosine) != 2 || val_rank(c->g, sine) != 2)
        return fail(c, "caches of cosines and sines have to be of rank 2");
    if (!rotary.id) rotary = dim_muli(c->cx, val_dim(c->g, cosine, 1), 2);
    cosine = unsqueezed(c, b_gather(c->g, c->loc, cosine, positions, 0, 0), 1);
    sine = unsqueezed(c, b_gather(c->g, c->loc, sine, positions, 0, 0), 1);
    return rotary_turn(c, x, to(c, cosine, val_dtype(c->g, x)), to(c, sine, val_dtype(c->g, x)), rotary, neighbours);
}

Val import_ms_rotary(Call *c) {
    Val x = in(c, 0), at = to(c, in(c, 1), DT_i64);
    int64_t rotary = attr_i(c, "rotary_embedding_dim", 0), heads = attr_i(c, "num_heads", 0), k;
    if (!x.id || !at.id || !has_in(c, 2)) return NO_VAL;
    if (attr_i(c, "is_packed_batching", 0)) return fail(c, "packed batches are not supported");
    bool flat = val_rank(c->g, x) == 3;
    if (flat && heads == 0) { /* the cache tells the size of a head */
        Val cosine = in(c, 2);
        if (!cosine.id || val_rank(c->g, cosine) != 2 ||
            !dim_const_value(c->cx,
                             dim_fdiv(c->cx, val_dim(c->g, x, 2),
                                      dim_max(c->cx, dim_muli(c->cx, val_dim(c->g, cosine, 1), 2), dim_k(c, 1))),
                             &k))
            return fail(c, "the number of heads has to be stated");
        heads = k;
    }
    if (flat) x = split_heads(c, x, heads);
    if (!x.id || val_rank(c->g, x) != 4) return x.id ? fail(c, "needs rank 3 or 4") : x;
    Dims grid = {.n = 2, .at = {val_dim(c->g, x, 0), val_dim(c->g, x, 2)}};
    if (val_rank(c->g, at) == 1)
        at = spread(c, ew2(c, OP_add, at, iota(c, DT_i64, grid.at[1])), &grid); /* one offset */
    Val y = rotated(c, x, at, 2, rotary ? dim_k(c, rotary) : (Dim){0}, attr_i(c, "interleaved", 0) != 0);
    return flat ? join_heads(c, y) : y;
}

/* New keys or values [b, h, s, d] written into the past at each sequence's own length, in a buffer long enough for both. */
static Val written(Call *c, Val past, Val fresh, Val positions, Dim total) {
    if (!fresh.id || !positions.id) return NO_VAL;
    Dims d = dims_of(c, fresh), buffer = d;
    buffer.at[2] = total;
    Dim low[4], high[4];
    for (uint32_t i = 0; i < 4; i++) low[i] = high[i] = dim_k(c, 0);
    Val base = splat(c, val_dtype(c->g, fresh), 0, &buffer);
    if (past.id) {
        if (val_rank(c->g, past) != 4) return fail(c, "the past has to be of rank 4");
        high[2] = dim_sub(c->cx, total, val_dim(c->g, past, 2));
        base = padded(c, past, num(c, past, 0), low, high);
    }
    Val at = spread(c, unsqueezed(c, unsqueezed(c, positions, 1), 3), &d);
    Val triple[3] = {base, at, fresh};
    Attr attrs[2] = {{.key = ATTR_axis, .as.i = 2}, {.key = ATTR_combine, .as.text = intern(c->cx, "set")}};
    return base.id && at.id ? emit(c->g, OP_scatter_elements, c->loc, triple, 3, attrs, 2) : NO_VAL;
}

/* query, key, value, past_key, past_value, seqlens_k (total length less 1 of each sequence), total_sequence_length, cosines,
 * sines. */
Val import_group_query(Call *c) {
    Val q = in(c, 0), lens = to(c, in(c, 5), DT_i64);
    int64_t heads = attr_i(c, "num_heads", 0), kv = attr_i(c, "kv_num_heads", 0),
            window = attr_i(c, "local_window_size", -1);
    Heads a = {.scale = attr_f(c, "scale", 0), .softcap = attr_f(c, "softcap", 0), .masked = -INFINITY};
    const Dim *longest;
    uint32_t n;
    if (!q.id || !lens.id) return NO_VAL;
    if (attr_i(c, "smooth_softmax", 0) > 0 || has_in(c, 9) || has_in(c, 10) || has_in(c, 11))
        return fail(c, "smooth_softmax, position ids, a bias and sinks are not supported");
    if (val_rank(c->g, q) != 3 || heads < 1 || kv < 1 || heads % kv)
        return fail(c, "needs an operand of rank 3 and heads that share keys evenly, found %lld and %lld",
                    (long long)heads, (long long)kv);
    if (!in_dims(c, 6, &longest, &n) || n != 1)
        return fail(c, "total_sequence_length has to come from shapes, constants or an integer input");
    Val k = maybe(c, 1), v = maybe(c, 2);
    if (!k.id || !v.id) { /* packed */
        Dim size = dim_fdiv(c->cx, val_dim(c->g, q, 2), dim_k(c, heads + 2 * kv)), own = dim_muli(c->cx, size, heads),
            shared = dim_muli(c->cx, size, kv);
        Val all = q;
        q = part(c, all, 2, dim_k(c, 0), own), k = part(c, all, 2, own, shared),
        v = part(c, all, 2, dim_add(c->cx, own, shared), shared);
    }
    a.q = split_heads(c, q, heads), k = split_heads(c, k, kv), v = split_heads(c, v, kv);
    if (!a.q.id || !k.id || !v.id) return NO_VAL;
    Dim steps = val_dim(c->g, a.q, 2), total = longest[0];
    Dims flat = {.n = 1, .at = {val_dim(c->g, a.q, 0)}};
    Val past_k = maybe(c, 3), past_v = maybe(c, 4);
    if (past_k.id && val_rank(c->g, past_k) == 4) total = dim_max(c->cx, total, val_dim(c->g, past_k, 2));
    /* Where the first new key of each sequence goes: its length less the new ones; 0 for a prompt, which is padded. */
    Val start = ew2(c, OP_sub, ew2(c, OP_add, shaped(c, lens, &flat), numt(c, DT_i64, 1)), b_dim(c->g, c->loc, steps));
    start = ew2(c, OP_max, start, numt(c, DT_i64, 0));
    Val positions = ew2(c, OP_add, unsqueezed(c, start, 1), unsqueezed(c, iota(c, DT_i64, steps), 0));
    if (attr_i(c, "do_rotary", 0)) {
        bool neighbours = attr_i(c, "rotary_interleaved", 0) != 0;
        a.q = rotated(c, a.q, positions, 7, (Dim){0}, neighbours),
        k = rotated(c, k, positions, 7, (Dim){0}, neighbours);
    }
    a.k = written(c, past_k, k, positions, total), a.v = written(c, past_v, v, positions, total);
    set_out(c, 1, a.k), set_out(c, 2, a.v);
    if (!a.k.id || !a.v.id) return NO_VAL;
    a.seen = ordered(c, steps, total, unsqueezed(c, unsqueezed(c, unsqueezed(c, start, 1), 2), 3), window);
    return join_heads(c, attend(c, &a));
}
