/* tile.c: the register tile: rows x panels of accumulators over a run of k.  The one place where products are summed fast.
 *
 * Per k: a vector of 16 columns from each panel, a scalar from each row, one fma a pair.  Vectors are 16 lanes on every
 * target; LLVM splits them where registers are narrower.  Unrolling leaves the chain of each accumulator as it is.
 * Where at most eight columns are left for the last panel, a register holds them for two rows.
 * Pairs of bf16, or four bytes, take the place of single k where w lies so; they give the same bits on every target (dot_bf16,
 * dot_u8).
 * Source: docs/cpu.md section 1 ("IR recipe that produced zero spills").
 */
#include "tile.h"

static LVal row_scalar(Kernel *k, const Tile *t, uint32_t i, LVal at) {
    LoopBuilder *b = k->b;
    LVal x = t->same.id ? t->same : l_decode(b, l_load(b, t->row[i], at, 1, (LVal){0}), t->x);
    if (!t->inside[i].id) return x;
    LType type = loop_type(b, x);
    return l_select(b, t->inside[i], x, dtype_is_float((DType)type.dtype) ? l_float(b, type, 0) : l_int(b, type, 0));
}

/* What is needed next, beside step number at. */
static void fetch(LoopBuilder *b, const Tile *t, LVal at) {
    for (uint32_t j = 0; t->beside.id && j < t->besides; j++) {
        LVal place = l_add(b, l_mul(b, at, l_i64(b, (int64_t)t->besides * PANEL)), l_i64(b, (int64_t)j * PANEL));
        l_inst(b, LOP_prefetch, (LType){0}, (LVal[]){t->beside, place}, 2, 0);
    }
}

/* Two rows share the register of the last panel: whose accumulators follow all others. */
static bool pairs_rows(const Tile *t) { return t->half && t->rows > 1; }
static uint32_t own_panels(const Tile *t) { return t->panels - pairs_rows(t); }
static uint32_t accumulators(const Tile *t) {
    return t->rows * own_panels(t) + (pairs_rows(t) ? (t->rows + 1) / 2 : 0);
}

/* The first eight lanes of low, then those of high. */
static LVal eight_of_each(LoopBuilder *b, LVal low, LVal high) {
    int64_t lane[PANEL];
    for (int64_t i = 0; i < PANEL; i++) lane[i] = i % (PANEL / 2) + (i < PANEL / 2 ? 0 : PANEL);
    return l_shuffle(b, low, high, lane, PANEL);
}

/* The panels that come next. */
static void fetch_ahead(LoopBuilder *b, const Tile *t, LVal at) {
    const Ahead *a = &t->ahead;
    if (!a->to[0].id) return;
    LVal line = l_bin(b, LOP_shr, l_mul(b, l_add(b, a->first, at), a->rate), l_i64(b, RATE_BITS));
    LVal at_line = l_mul(b, line, t->step.id ? t->step : l_i64(b, PANEL));
    for (uint32_t j = 0; j < MAX_TILE_PANELS && a->to[j].id; j++)
        l_inst(b, LOP_prefetch, (LType){0}, (LVal[]){l_offset(b, t->panel[0], a->to[j]), at_line}, 2, 0);
}

/* Step i of n that are written out. */
static bool fetches(const Tile *t, uint32_t n, uint32_t i) { return !t->ahead.sparse || n % 2 || i % 2 == 0; }

/* k number at of w, x at index from. */
static void tile_step(Kernel *k, const Tile *t, LVal at, LVal from, bool ahead, LVal *acc) {
    LoopBuilder *b = k->b;
    uint32_t own = own_panels(t);
    LVal w[MAX_TILE_PANELS], before = {0}, column = l_mul(b, at, t->step.id ? t->step : l_i64(b, PANEL));
    for (uint32_t j = 0; j < t->panels; j++) w[j] = l_decode(b, l_load(b, t->panel[j], column, PANEL, t->mask[j]), t->w);
    if (own < t->panels) w[own] = eight_of_each(b, w[own], w[own]);
    fetch(b, t, at);
    if (ahead) fetch_ahead(b, t, at);
    for (uint32_t i = 0; i < t->rows; i++) {
        LVal x = l_splat(b, row_scalar(k, t, i, from), PANEL);
        for (uint32_t j = 0; j < own; j++) acc[i * own + j] = contract_step(b, k->fma, x, w[j], acc[i * own + j]);
        bool second = i & 1, last = i + 1 == t->rows;
        if (own < t->panels && (second || last)) {
            LVal *a = &acc[t->rows * own + i / 2];
            *a = contract_step(b, k->fma, second ? eight_of_each(b, before, x) : x, w[own], *a);
        }
        before = x;
    }
}

/* Several k of x as the bits of a u32, the first one low; or the first `there` of them, beside 0. */
static LVal row_group(Kernel *k, const Tile *t, uint32_t i, LVal at, uint32_t there) {
    LoopBuilder *b = k->b;
    LVal first = l_mul(b, l_mul(b, at, l_i64(b, t->deep)), t->stride), all = {0};
    LType u32 = lt_scalar(DT_u32);
    int64_t stride;
    if (!t->same.id && there == t->deep && loop_const_int(b, t->stride, &stride) && stride == 1) {
        LVal groups = l_inst(b, LOP_recast, lt_pointer(DT_u32), &t->row[i], 1, 0);
        return l_inst(b, LOP_load, u32, (LVal[]){groups, at}, 2, (int64_t)4 / t->deep);
    }
    for (uint32_t j = 0; j < there; j++) {
        LVal place = j ? l_add(b, first, l_mul(b, t->stride, l_i64(b, j))) : first;
        LVal one = t->same.id ? l_encode(b, t->same, t->x) : l_load(b, t->row[i], place, 1, (LVal){0});
        one = l_convert(b, one, DT_u32);
        all = j ? l_bin(b, LOP_or, all, l_bin(b, LOP_shl, one, l_int(b, u32, 32 / t->deep * j))) : one;
    }
    return all;
}

/* Group number at. */
static void group_step(Kernel *k, const Tile *t, LVal at, uint32_t there, bool ahead, LVal *acc) {
    LoopBuilder *b = k->b;
    LVal w[MAX_TILE_PANELS], column = l_mul(b, at, l_i64(b, PANEL)), none = l_int(b, lt_scalar(DT_u32), 0);
    for (uint32_t j = 0; j < t->panels; j++) w[j] = l_load(b, t->panel[j], column, PANEL, (LVal){0});
    fetch(b, t, at);
    if (ahead) fetch_ahead(b, t, at);
    for (uint32_t i = 0; i < t->rows; i++) {
        LVal x = row_group(k, t, i, at, there);
        if (t->inside[i].id) x = l_select(b, t->inside[i], x, none);
        x = l_splat(b, x, PANEL);
        for (uint32_t j = 0; j < t->panels; j++) {
            LVal *a = &acc[i * t->panels + j];
            *a = t->deep == 2 ? l_dot_bf16(b, *a, x, w[j]) : l_dot_u8(b, *a, x, w[j]);
        }
    }
}

static void group_loop(Kernel *k, const Tile *t, LVal begin, LVal end, uint32_t unroll, uint32_t there, LVal *acc) {
    LoopBuilder *b = k->b;
    int64_t first, last;
    if (loop_const_int(b, begin, &first) && loop_const_int(b, end, &last) && first >= last) return;
    uint32_t n = t->rows * t->panels;
    LVal at;
    LFor loop = l_for(b, begin, end, unroll, LOOP_SERIAL, acc, n, &at);
    for (uint32_t u = 0; u < unroll; u++) group_step(k, t, l_add(b, at, l_i64(b, u)), there, fetches(t, unroll, u), acc);
    l_for_end(b, &loop, acc, n);
}

/* What is left over behind whole groups, less than one: as many k as there are. */
static void last_group(Kernel *k, const Tile *t, LVal whole, LVal *acc) {
    LoopBuilder *b = k->b;
    LVal deep = l_i64(b, t->deep), left = l_sub(b, t->count, l_mul(b, whole, deep));
    for (uint32_t there = 1; there < t->deep; there++) {
        LVal some = l_bin(b, LOP_eq, left, l_i64(b, there));
        LVal end = l_select(b, some, l_add(b, whole, l_i64(b, 1)), whole);
        group_loop(k, t, whole, end, 1, there, acc);
    }
}

static void groups_run(Kernel *k, const Tile *t, LVal *acc) {
    LoopBuilder *b = k->b;
    uint32_t unroll = t->rows * t->panels >= 12 ? 2 : 4;
    LVal deep = l_i64(b, t->deep), whole = l_bin(b, LOP_div, t->count, deep);
    LVal main = l_bin(b, LOP_and, whole, l_i64(b, -(int64_t)unroll));
    group_loop(k, t, l_i64(b, 0), main, unroll, t->deep, acc);
    group_loop(k, t, main, whole, 1, t->deep, acc);
    if (t->deep > 2) {
        last_group(k, t, whole, acc);
        return;
    }
    LVal all = l_bin(b, LOP_div, l_add(b, t->count, l_i64(b, 1)), deep);
    group_loop(k, t, whole, all, 1, 1, acc);
}

static void tile_loop(Kernel *k, const Tile *t, LVal begin, LVal end, uint32_t unroll, LVal *acc) {
    LoopBuilder *b = k->b;
    int64_t first, last;
    if (loop_const_int(b, begin, &first) && loop_const_int(b, end, &last) && first >= last) return;
    uint32_t n = accumulators(t), depth = t->depth ? t->depth : 1;
    LVal at;
    LFor loop = l_for(b, begin, end, unroll, LOOP_SERIAL, acc, n, &at);
    for (uint32_t u = 0; u < unroll; u++) {
        LVal step = l_add(b, at, l_i64(b, u)), from = l_mul(b, step, t->stride), first_k = l_mul(b, step, l_i64(b, depth));
        for (uint32_t d = 0; d < depth; d++) {
            LVal inner = d ? l_add(b, from, l_mul(b, t->inner, l_i64(b, d))) : from;
            tile_step(k, t, l_add(b, first_k, l_i64(b, d)), inner, fetches(t, unroll * depth, u * depth + d), acc);
        }
    }
    l_for_end(b, &loop, acc, n);
}

static void run(Kernel *k, const Tile *t, LVal *acc) {
    LoopBuilder *b = k->b;
    uint32_t n = accumulators(t), unroll = n >= 12 ? 2 : 4;
    bool full = (t->line && n + 2 * t->panels > 30) || (pairs_rows(t) && n > 16); /* of registers */
    bool stream = t->step.id && t->rows * t->panels <= 16; /* of lines side by side: copies of a step would read to and fro */
    if (t->depth > 1 || full || stream) unroll = 1;
    LVal main = l_bin(b, LOP_and, t->count, l_i64(b, -(int64_t)unroll));
    tile_loop(k, t, l_i64(b, 0), main, unroll, acc);
    tile_loop(k, t, main, t->count, 1, acc);
}

/* The last panel's eight columns of two rows in one register each. */
static void run_halves(Kernel *k, const Tile *t, LVal *acc) {
    LoopBuilder *b = k->b;
    LVal all[MAX_TILE_ROWS * MAX_TILE_PANELS];
    uint32_t own = own_panels(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        const LVal *row = acc + i * t->panels;
        for (uint32_t j = 0; j < own; j++) all[i * own + j] = row[j];
        LVal *shared = &all[t->rows * own + i / 2];
        *shared = i & 1 ? eight_of_each(b, *shared, row[own]) : row[own];
    }
    run(k, t, all);
    for (uint32_t i = 0; i < t->rows; i++) {
        LVal *row = acc + i * t->panels, shared = all[t->rows * own + i / 2];
        for (uint32_t j = 0; j < own; j++) row[j] = all[i * own + j];
        int64_t high[PANEL];
        for (int64_t l = 0; l < PANEL; l++) high[l] = PANEL / 2 + l % (PANEL / 2);
        row[own] = i & 1 ? l_shuffle(b, shared, shared, high, PANEL) : shared;
    }
}

void tile_run(Kernel *k, const Tile *t, LVal *acc) {
    if (t->deep > 1) groups_run(k, t, acc);
    else if (pairs_rows(t)) run_halves(k, t, acc);
    else run(k, t, acc);
}
