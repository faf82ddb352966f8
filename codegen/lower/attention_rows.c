/* attention_rows.c: template `attention`: a block's scores become exponentials, row by row.
 *
 * Two passes over the rows of a tile: the first finds the largest scores, each of which waits for the last lane of its row; the
 * second has nothing to wait for.  Where few operations lead to the scores, both evaluate them, and only exponentials are
 * stored; else the first stores the scores.  Order: attention.c.
 */
#include "attention.h"
#include <math.h>

/* The larger; NaN may get lost, since its exponential brings it back. */
static LVal larger(LoopBuilder *b, LVal x, LVal y) { return l_select(b, l_lt(b, x, y), y, x); }

/* The largest lane in every lane. */
static LVal largest_lane(LoopBuilder *b, LVal v) {
    for (int64_t d = PANEL / 2; d; d /= 2) {
        int64_t from[PANEL];
        for (int64_t i = 0; i < PANEL; i++) from[i] = (i + d) % PANEL;
        v = larger(b, v, l_shuffle(b, v, v, from, PANEL));
    }
    return v;
}

/* Sixteen scores, finished, at key .. key + 15. */
static LVal finished_scores(Kernel *k, Scoring *s, Dim key) {
    Attention *a = s->a;
    const Blocks *values = &a->values;
    a->key = kernel_dim(k, dim_substitute(k->cx, key, &k->lane, (Dim[]){dim_const(k->cx, 0)}, 1));
    s->at[values->x->rank - 1] = dim_add(k->cx, s->first, key);
    LVal x = l_splat(k->b, kernel_eval(k, values->node->in[0], s->at), PANEL);
    x = attention_hide(k, a, x, s->at);
    return k->mask.id ? l_select(k->b, k->mask, x, attention_splat(k, a, -INFINITY)) : x;
}

static void score_step(Kernel *k, void *user, Dim key, LVal *best) {
    Scoring *s = user;
    LVal x = finished_scores(k, s, key);
    l_store(k->b, s->a->row_scores, s->a->key, x, (LVal){0});
    *best = larger(k->b, *best, x);
}

/* The row's scores to scratch; returns the largest by lane, beginning with `best`. */
static LVal score_row(Kernel *k, Scoring *s, LVal best) {
    Dim count = kernel_index(k, s->a->count);
    const Fact facts[] = {{REL_LE, dim_add(k->cx, s->first, count), s->a->values.channels},
                          {REL_LE, count, dim_const(k->cx, s->a->keys)}, {REL_LE, dim_const(k->cx, 0), count}};
    KernelScope scope;
    kernel_enter(k, &scope, facts, COUNT(facts));
    kernel_vector_loop(k, count, LANES, &best, 1, score_step, s);
    kernel_leave(k, &scope);
    return best;
}

static void full_scores(Kernel *k, Scoring *s, LVal *x) {
    const Attention *a = s->a;
    const Fact whole[] = {{REL_LE, dim_addi(k->cx, s->first, a->keys), a->values.channels}};
    KernelScope scope;
    kernel_enter(k, &scope, whole, 1);
    k->lanes = LANES;
    for (uint32_t j = 0; j < a->keys / PANEL; j++)
        x[j] = finished_scores(k, s, dim_addi(k->cx, dim_symbol(k->cx, k->lane), (int64_t)j * PANEL));
    k->lanes = 1;
    kernel_leave(k, &scope);
}

/* The same for a full block, which leaves no scores behind: they are cheap to find again. */
static LVal score_full_row(Kernel *k, Scoring *s, LVal best) {
    LVal x[MAX_KEY_PANELS];
    full_scores(k, s, x);
    for (uint32_t left = (uint32_t)(s->a->keys / PANEL); left > 1; left = (left + 1) / 2)
        for (uint32_t j = 0; j < left / 2; j++) x[j] = larger(k->b, x[j], x[left - 1 - j]);
    return larger(k->b, best, x[0]);
}

/* Nothing but -inf so far: against 0 they all come to +0. */
static LVal reference_of(Kernel *k, const Attention *a, LVal best) {
    return l_select(k->b, l_bin(k->b, LOP_eq, best, attention_splat(k, a, -INFINITY)), attention_splat(k, a, 0), best);
}

/* The row's place in scratch and its index; returns it counted from the task's first. */
LVal attention_enter_row(Kernel *k, Attention *a, Scoring *s, Dim row) {
    LVal local = l_sub(k->b, kernel_dim(k, row), a->begin);
    a->row_scores = l_offset(k->b, a->scores, l_mul(k->b, local, l_i64(k->b, a->keys)));
    if (a->values.pairs) a->row_weights = l_offset(k->b, a->weights, l_mul(k->b, local, l_i64(k->b, a->keys)));
    blocks_row(k, &a->values, row, s->at);
    return local;
}

/* The largest score up to here, and what sums against the largest before this block are multiplied by. */
static LVal compare_row(Kernel *k, Attention *a, Scoring *s, Dim row, bool full) {
    LoopBuilder *b = k->b;
    LVal local = attention_enter_row(k, a, s, row), none = {0}, lane_0[2];
    LVal old = l_splat(b, l_load(b, a->best, local, 1, none), PANEL);
    LVal best = largest_lane(b, full && a->is_short ? score_full_row(k, s, old) : score_row(k, s, old));
    lane_0[0] = best, lane_0[1] = m_exp_decay(b, l_sub(b, old, reference_of(k, a, best)));
    for (uint32_t i = 0; i < 2; i++) lane_0[i] = l_inst(b, LOP_extract, lt_scalar(a->values.compute), &lane_0[i], 1, 0);
    l_store(b, a->best, local, lane_0[0], none);
    l_store(b, a->factor, local, lane_0[1], none);
    return l_i64(b, 0);
}

/* e^(score - best) of one panel to scratch, and onto the sum by lane. */
static LVal exponentials(Kernel *k, const Attention *a, LVal x, LVal at, LVal best, LVal sum) {
    LVal e = m_exp_decay(k->b, l_sub(k->b, x, best));
    if (a->values.pairs) l_store(k->b, a->row_weights, at, l_encode(k->b, l_round(k->b, e, DT_bf16), DT_bf16), (LVal){0});
    else l_store(k->b, a->row_scores, at, e, (LVal){0});
    return l_add(k->b, sum, e);
}

static LVal sum_exponentials(Kernel *k, Attention *a, Scoring *s, LVal best, bool full) {
    LoopBuilder *b = k->b;
    LVal sum = attention_splat(k, a, 0), at, x[MAX_KEY_PANELS], none = {0};
    if (full) {
        if (a->is_short) full_scores(k, s, x);
        for (uint32_t j = 0; j < a->keys / PANEL; j++) {
            at = l_i64(b, (int64_t)j * PANEL);
            sum = exponentials(k, a, a->is_short ? x[j] : l_load(b, a->row_scores, at, PANEL, none), at, best, sum);
        }
        return sum;
    }
    LFor loop = l_for(b, l_i64(b, 0), a->count, PANEL, LOOP_SERIAL, &sum, 1, &at);
    sum = exponentials(k, a, l_load(b, a->row_scores, at, PANEL, none), at, best, sum);
    l_for_end(b, &loop, &sum, 1);
    return sum;
}

/* Scores to exponentials, and the row's new total.  Where all are 0 the block is none of this row's: its factor becomes -1.
 * Returns the number of rows it is one of. */
static LVal soften_row(Kernel *k, Attention *a, Scoring *s, Dim row, bool full) {
    LoopBuilder *b = k->b;
    LVal local = attention_enter_row(k, a, s, row), at = l_mul(b, local, l_i64(b, PANEL)), none = {0};
    LVal best = reference_of(k, a, l_splat(b, l_load(b, a->best, local, 1, none), PANEL)),
         factor = l_load(b, a->factor, local, 1, none);
    LVal sum = sum_exponentials(k, a, s, best, full),
         total = l_mul(b, l_load(b, a->total, at, PANEL, none), l_splat(b, factor, PANEL));
    l_store(b, a->total, at, l_add(b, total, sum), none);
    LVal some = l_bin(b, LOP_ne, sum, attention_splat(k, a, 0)),
         touched = l_inst(b, LOP_reduce_or, lt_scalar(DT_bool), &some, 1, 0);
    l_store(b, a->factor, local, l_select(b, touched, factor, l_float(b, lt_scalar(a->values.compute), -1)), none);
    return l_convert(b, touched, DT_i64);
}

typedef LVal RowFn(Kernel *, Attention *, Scoring *, Dim row, bool full);

static LVal each_row(Kernel *k, Scoring *s, LVal begin, LVal end, RowFn *body, bool full) {
    LVal sum = l_i64(k->b, 0);
    KernelLoop loop;
    Dim row = kernel_loop(k, &loop, begin, end, s->a->values.rows, 1, &sum, 1);
    sum = l_add(k->b, sum, body(k, s->a, s, row, full));
    kernel_loop_end(k, &loop, &sum, 1);
    return sum;
}

/* Two passes over the rows: nothing in the second waits for a largest score. */
static LVal soften_rows(Kernel *k, Attention *a, Dim first_key, LVal begin, LVal end, bool full) {
    Scoring s = {.a = a, .first = first_key};
    each_row(k, &s, begin, end, compare_row, full);
    return each_row(k, &s, begin, end, soften_row, full);
}

/* Rows [begin, end) of the block's scores become exponentials.  Returns how many rows any of them counts for. */
LVal attention_soften(Kernel *k, Attention *a, Dim first_key, LVal begin, LVal end) {
    LoopBuilder *b = k->b;
    int64_t keys, n = a->keys;
    bool constant = dim_const_value(k->cx, a->values.channels, &keys), panels = n % PANEL == 0 && n / PANEL <= MAX_KEY_PANELS;
    if (!panels || (constant && keys < n)) return soften_rows(k, a, first_key, begin, end, false);
    if (constant && keys % n == 0) return soften_rows(k, a, first_key, begin, end, true);
    LIf full = l_if(b, l_bin(b, LOP_eq, a->count, l_i64(b, n)));
    LVal touched = soften_rows(k, a, first_key, begin, end, true), result;
    l_else(b, &full, &touched, 1);
    touched = soften_rows(k, a, first_key, begin, end, false);
    l_if_end(b, &full, &touched, 1, &result);
    return result;
}
