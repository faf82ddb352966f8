/* attention.c: template `attention`: attend(x, w), block of keys by block of keys, in one kernel with what computes x.
 *
 * A task is a batch element and a block of rows (queries).  For each block of keys: the scores' own contraction, where the
 * body has one, leaves its sums in scratch on the register tile; what lies between it and `attend` (scale, mask) is evaluated
 * over them, row by row; scores become exponentials against the largest so far, and what was summed up to here is rescaled;
 * the tile then adds exponentials times values.  At the end the epilogue runs over the sums, divided by the total.
 *
 * Order law: blocks hold `chunk` keys, counted from key 0.  In a block the products with the values are one ascending chain
 * from +0, added to the rescaled sum; exponentials are added in 16 lanes (key mod 16), lanes by a fixed tree at the end.
 * A block whose exponentials are all 0 leaves the row's sums as they are, whatever its values.  Sums are multiplied by one over
 * the total.  A row without any score but -inf gives NaN, as softmax does; without keys, 0.
 * Source: Dao et al. 2022 (arXiv 2205.14135), algorithm 1; Milakov and Gimelshein 2018 (arXiv 1805.02867).
 */
#include "tile.h"
#include <math.h>

enum {
    MAX_KEY_PANELS = 16,
    MOST_BETWEEN = 24 /* elementary operations before `attend` that are written out for every panel of a block */
};

typedef struct Attention {
    Blocks values;               /* attend: rows x value columns, K is the keys */
    Blocks product;              /* the scores' contraction; anchor 0: none */
    int64_t keys;                /* of a block */
    int64_t most_rows;           /* of a task */
    Dim pitch;                   /* of a row of sums: value columns, in whole panels, or groups of them where unknown */
    bool in_place;               /* values are read where they lie, else from panels */
    Rows rows;
    LVal begin, end;             /* rows of the task */
    LVal scores, sums, best, total, factor;  /* scratch, by row of the task: [keys], [pitch], one, [16], one */
    LVal product_panels, value_panels;
    LVal first, count;           /* keys of the block */
    Rows tile;                   /* whose exponentials meet the values */
    bool is_short;               /* few operations lead from the contraction to the scores */
    LVal row_scores, key;        /* while scores are evaluated: their row, and the key in the block of lane 0 */
    LVal row, inverse;           /* while results are stored: the row, and one over its total */
} Attention;

static Val find_op(const Graph *g, bool contraction) {
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        Op op = g->nodes.at[i].op;
        if (contraction ? op_info[op].kind == KIND_CONTRACT : op == OP_attend) return (Val){i};
    }
    return (Val){0};
}

/* The contraction has the scores' extents, and its sums are finished when a tile is. */
static bool fits(Kernel *k, const Attention *a) {
    const TypeInfo *scores = a->values.x, *made = a->product.y;
    bool same = scores->rank == made->rank && a->product.batch == a->values.batch && a->product.whole && a->product.packs;
    for (uint32_t i = 0; same && i < made->rank; i++) same = prove(k->cx, k->scope, REL_EQ, made->dims[i], scores->dims[i]) == YES;
    return same;
}

static Attention attention_of(Kernel *k) {
    Attention a = {0};
    Val attend = find_op(k->body, false), product = find_op(k->body, true);
    if (!attend.id) diag_fatal(k->cx, "schedule: template attention without attend");
    a.values = blocks_at(k, attend);
    if (product.id) a.product = blocks_at(k, product);
    if (product.id && !fits(k, &a)) diag_fatal(k->cx, "schedule: the contraction in a kernel of template attention does not make its scores");
    a.keys = a.values.chunk;
    a.most_rows = (int64_t)a.values.block_tiles * a.values.tile_m;
    int64_t columns, needed = MAX_TILE_PANELS;
    if (dim_const_value(k->cx, a.values.columns, &columns)) needed = (columns + PANEL - 1) / PANEL;
    if (needed < 1) needed = 1;
    if (a.values.tile_n > needed) a.values.tile_n = (uint32_t)needed;
    while (a.product.tile_n > 1 && a.keys % (a.product.tile_n * PANEL)) a.product.tile_n--;
    a.product.block_tiles = a.values.block_tiles;
    int64_t width = dim_const_value(k->cx, a.values.columns, &columns) ? PANEL : (int64_t)a.values.tile_n * PANEL;
    a.pitch = dim_muli(k->cx, dim_cdiv(k->cx, a.values.columns, dim_const(k->cx, width)), width);
    int64_t cost = 0;
    for (uint32_t i = 1; i < attend.id; i++) cost += op_info[k->body->nodes.at[i].op].cost;
    a.is_short = cost <= MOST_BETWEEN && a.keys % PANEL == 0 && a.keys / PANEL <= MAX_KEY_PANELS;
    return a;
}

Dim range_attention(Kernel *k) {
    Attention a = attention_of(k);
    return dim_mul(k->cx, dim_product(k->cx, a.values.y->dims, a.values.batch), blocks_count(k, &a.values));
}

/* ---- scratch ------------------------------------------------------------------------------------------------------------ */

typedef struct Place { LVal *to; Dim elements; } Place;
enum { PLACES = 7 };

static void list_places(Kernel *k, Attention *a, Place *p) {
    Context *cx = k->cx;
    Dim depth = a->product.anchor.id ? dim_upper(cx, a->product.channels) : dim_const(cx, 0);
    p[0] = (Place){&a->scores, dim_const(cx, a->most_rows * a->keys)};
    p[1] = (Place){&a->sums, dim_muli(cx, dim_upper(cx, a->pitch), a->most_rows)};
    p[2] = (Place){&a->best, dim_const(cx, (a->most_rows + PANEL - 1) / PANEL * PANEL)};
    p[3] = (Place){&a->total, dim_const(cx, a->most_rows * PANEL)};
    p[4] = (Place){&a->product_panels, dim_muli(cx, depth, (int64_t)a->product.tile_n * PANEL)};
    p[5] = (Place){&a->value_panels, dim_muli(cx, dim_upper(cx, a->pitch), a->keys)};
    p[6] = (Place){&a->factor, dim_const(cx, (a->most_rows + PANEL - 1) / PANEL * PANEL)};
}

Dim scratch_attention(Kernel *k) {
    Attention a = attention_of(k);
    Place places[PLACES];
    Dim bytes = dim_const(k->cx, 0);
    list_places(k, &a, places);
    for (uint32_t i = 0; i < PLACES; i++) bytes = dim_add(k->cx, bytes, dim_muli(k->cx, places[i].elements, dtype_bytes(a.values.compute)));
    return bytes;
}

static void place_scratch(Kernel *k, Attention *a) {
    Place places[PLACES];
    Dim at = dim_const(k->cx, 0);
    list_places(k, a, places);
    LVal base = l_inst(k->b, LOP_recast, lt_pointer(a->values.compute), &k->scratch, 1, 0);
    for (uint32_t i = 0; i < PLACES; i++) {
        *places[i].to = l_offset(k->b, base, kernel_dim(k, at));
        at = dim_add(k->cx, at, places[i].elements);
    }
}

/* ---- pieces --------------------------------------------------------------------------------------------------------------- */

static LVal splat_of(Kernel *k, const Attention *a, double value) { return l_float(k->b, lt_vector(a->values.compute, PANEL), value); }

static void fill(Kernel *k, LVal to, LVal elements, LVal value) {
    LVal at;
    LFor loop = l_for(k->b, l_i64(k->b, 0), elements, PANEL, LOOP_SERIAL, NULL, 0, &at);
    l_store(k->b, to, at, value, (LVal){0});
    l_for_end(k->b, &loop, NULL, 0);
}

static LVal vectors(Kernel *k, LVal n) { return l_bin(k->b, LOP_and, l_add(k->b, n, l_i64(k->b, PANEL - 1)), l_i64(k->b, -PANEL)); }

/* The scores' contraction while `between` is evaluated, the anchor while results are stored. */
static LVal attention_value(Kernel *k, Val v, const Dim *at) {
    const Attention *a = k->state;
    if (a->product.anchor.id && v.id == a->product.anchor.id) return l_load(k->b, a->row_scores, a->key, PANEL, (LVal){0});
    LVal sum = blocks_value(k, &a->values, v, at);
    return sum.id ? l_mul(k->b, sum, l_splat(k->b, a->inverse, PANEL)) : sum;
}

/* ---- scores ----------------------------------------------------------------------------------------------------------------- */

/* Sums of the scores' contraction for the block's keys, group of panels by group of panels. */
static void multiply_keys(Kernel *k, Attention *a) {
    LoopBuilder *b = k->b;
    Blocks *s = &a->product;
    int64_t width = (int64_t)s->tile_n * PANEL;
    LVal at, zero = l_i64(b, 0);
    Group group = {s->tile_n, COLUMNS_DYNAMIC};
    Part part = {zero, l_i64(b, 1), zero, kernel_dim(k, s->channels)};
    LFor loop = l_for(b, zero, a->count, width, LOOP_SERIAL, NULL, 0, &at);
    KernelScope scope;
    kernel_enter(k, &scope, NULL, 0);
    s->panel = kernel_index(k, l_bin(b, LOP_shr, l_add(b, a->first, at), l_i64(b, 4)));
    s->panels = a->product_panels, s->panel_stride = l_mul(b, part.count, l_i64(b, PANEL));
    blocks_pack(k, s, &part, &group);
    blocks_sum_tiles(k, s, &part, &group, &a->rows, &(Sums){.at = l_offset(b, a->scores, at), .pitch = l_i64(b, a->keys)});
    kernel_leave(k, &scope);
    l_for_end(b, &loop, NULL, 0);
}

/* ---- scores to exponentials ------------------------------------------------------------------------------------------------ */

typedef struct Scoring { Attention *a; Dim at[MAX_RANK]; Dim first; } Scoring;

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
    return k->mask.id ? l_select(k->b, k->mask, x, splat_of(k, a, -INFINITY)) : x;
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
    for (uint32_t j = 0; j < a->keys / PANEL; j++) x[j] = finished_scores(k, s, dim_addi(k->cx, dim_symbol(k->cx, k->lane), (int64_t)j * PANEL));
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
    return l_select(k->b, l_bin(k->b, LOP_eq, best, splat_of(k, a, -INFINITY)), splat_of(k, a, 0), best);
}

/* The row's place in scratch and its index; returns it counted from the task's first. */
static LVal enter_row(Kernel *k, Attention *a, Scoring *s, Dim row) {
    LVal local = l_sub(k->b, kernel_dim(k, row), a->begin);
    a->row_scores = l_offset(k->b, a->scores, l_mul(k->b, local, l_i64(k->b, a->keys)));
    blocks_row(k, &a->values, row, s->at);
    return local;
}

/* The largest score up to here, and what sums against the largest before this block are multiplied by. */
static LVal compare_row(Kernel *k, Attention *a, Scoring *s, Dim row, bool full) {
    LoopBuilder *b = k->b;
    LVal local = enter_row(k, a, s, row), none = {0}, lane_0[2];
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
    l_store(k->b, a->row_scores, at, e, (LVal){0});
    return l_add(k->b, sum, e);
}

static LVal sum_exponentials(Kernel *k, Attention *a, Scoring *s, LVal best, bool full) {
    LoopBuilder *b = k->b;
    LVal sum = splat_of(k, a, 0), at, x[MAX_KEY_PANELS], none = {0};
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
    LVal local = enter_row(k, a, s, row), at = l_mul(b, local, l_i64(b, PANEL)), none = {0};
    LVal best = reference_of(k, a, l_splat(b, l_load(b, a->best, local, 1, none), PANEL)), factor = l_load(b, a->factor, local, 1, none);
    LVal sum = sum_exponentials(k, a, s, best, full), total = l_mul(b, l_load(b, a->total, at, PANEL, none), l_splat(b, factor, PANEL));
    l_store(b, a->total, at, l_add(b, total, sum), none);
    LVal some = l_bin(b, LOP_ne, sum, splat_of(k, a, 0)), touched = l_inst(b, LOP_reduce_or, lt_scalar(DT_bool), &some, 1, 0);
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
static LVal soften(Kernel *k, Attention *a, Dim first_key, LVal begin, LVal end) {
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

/* ---- values ----------------------------------------------------------------------------------------------------------------- */

/* Keys lie one after the other in whole panels: the tile reads them where they are. */
static bool find_lines(Kernel *k, const Attention *a, Lines *lines) {
    int64_t columns;
    bool whole = dim_const_value(k->cx, a->values.columns, &columns) && columns % PANEL == 0;
    return whole && blocks_lines(k, &a->values, lines) && dim_is(k->cx, lines->along, 1);
}

/* Rows of exponentials against the values of the block's keys. */
static void accumulate_values(Kernel *k, Blocks *s, const Part *part, LVal first_row, uint32_t rows, const Group *gr, LVal *acc) {
    LoopBuilder *b = k->b;
    Attention *a = s->state;
    Lines lines;
    Tile t = {.rows = rows, .panels = gr->panels, .x = s->compute, .stride = l_i64(b, 1), .count = part->count};
    LVal local = l_mul(b, l_sub(b, first_row, a->begin), l_i64(b, a->keys));
    for (uint32_t i = 0; i < rows; i++) t.row[i] = l_offset(b, a->scores, l_add(b, local, l_i64(b, (int64_t)i * a->keys)));
    if (a->in_place && find_lines(k, a, &lines)) {
        LVal start = l_add(b, kernel_dim(k, lines.start), l_mul(b, part->first, kernel_dim(k, lines.down)));
        start = l_offset(b, lines.pointer, l_add(b, start, l_mul(b, kernel_dim(k, s->panel), l_i64(b, PANEL))));
        for (uint32_t j = 0; j < gr->panels; j++) t.panel[j] = l_offset(b, start, l_i64(b, (int64_t)j * PANEL));
        t.step = kernel_dim(k, lines.down), t.w = s->w->dtype;
    } else {
        blocks_panels(k, s, l_i64(b, 0), part->first, &t);
    }
    tile_run(k, &t, acc);
}

typedef void GroupFn(Kernel *, Attention *, const Group *);

/* Over the groups of value columns. */
static void each_group(Kernel *k, Attention *a, GroupFn *body) {
    LoopBuilder *b = k->b;
    Blocks *s = &a->values;
    int64_t columns, width = (int64_t)s->tile_n * PANEL;
    bool known = dim_const_value(k->cx, s->columns, &columns);
    Dim groups = known ? dim_const(k->cx, columns / width) : dim_cdiv(k->cx, s->columns, dim_const(k->cx, width));
    Group full = {s->tile_n, known ? COLUMNS_FULL : COLUMNS_DYNAMIC};
    KernelLoop loop;
    KernelScope scope;
    Dim group = kernel_loop(k, &loop, l_i64(b, 0), kernel_dim(k, groups), groups, 1, NULL, 0);
    s->panel = dim_muli(k->cx, group, s->tile_n);
    const Fact inside[] = {{REL_LE, dim_muli(k->cx, dim_addi(k->cx, s->panel, s->tile_n), PANEL), s->columns}};
    kernel_enter(k, &scope, inside, known);
    body(k, a, &full);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
    if (!known || columns % width == 0) return;
    int64_t rest = columns % width;
    s->panel = dim_const(k->cx, columns / width * s->tile_n);
    kernel_enter(k, &scope, NULL, 0);
    body(k, a, &(Group){(uint32_t)((rest + PANEL - 1) / PANEL), rest % PANEL ? COLUMNS_TAIL : COLUMNS_FULL});
    kernel_leave(k, &scope);
}

/* Where the group's packed values lie: panels one after the other, `keys` long. */
static void place_values(Kernel *k, Attention *a) {
    LVal size = l_i64(k->b, a->keys * PANEL);
    a->values.panels = l_offset(k->b, a->value_panels, l_mul(k->b, kernel_dim(k, a->values.panel), size)), a->values.panel_stride = size;
}

static void pack_values(Kernel *k, Attention *a, const Group *gr) {
    place_values(k, a);
    blocks_pack(k, &a->values, &(Part){l_i64(k->b, 0), l_i64(k->b, 1), a->first, a->count}, gr);
}

static LVal group_sums(Kernel *k, const Attention *a) {
    return l_offset(k->b, a->sums, l_mul(k->b, kernel_dim(k, a->values.panel), l_i64(k->b, PANEL)));
}

static void multiply_values(Kernel *k, Attention *a, const Group *gr) {
    LoopBuilder *b = k->b;
    Part part = {l_i64(b, 0), l_i64(b, 1), a->first, a->count};
    Blocks *s = &a->values;
    LVal local = l_sub(b, rows_start(k, &a->tile, a->tile.begin), a->begin), pitch = kernel_dim(k, a->pitch);
    place_values(k, a);
    Sums sums = {l_offset(b, group_sums(k, a), l_mul(b, local, pitch)), pitch, true, l_offset(b, a->factor, local)};
    blocks_sum_tiles(k, s, &part, gr, &a->tile, &sums);
}

/* ---- tasks ------------------------------------------------------------------------------------------------------------------ */

static void begin_rows(Kernel *k, Attention *a) {
    LoopBuilder *b = k->b;
    LVal rows = l_sub(b, a->end, a->begin);
    fill(k, a->sums, l_mul(b, rows, kernel_dim(k, a->pitch)), splat_of(k, a, 0));
    fill(k, a->total, l_mul(b, rows, l_i64(b, PANEL)), splat_of(k, a, 0));
    fill(k, a->best, vectors(k, rows), splat_of(k, a, -INFINITY));
}

static void run_tile(Kernel *k, Attention *a, Dim first, LVal tile) {
    LoopBuilder *b = k->b;
    a->tile = a->rows, a->tile.begin = tile, a->tile.end = l_add(b, tile, l_i64(b, 1));
    LVal touched = soften(k, a, first, rows_start(k, &a->tile, tile), rows_start(k, &a->tile, a->tile.end));
    KernelScope scope;
    LIf any = l_if(b, l_lt(b, l_i64(b, 0), touched));
    kernel_enter(k, &scope, NULL, 0);
    each_group(k, a, multiply_values);
    kernel_leave(k, &scope);
    l_else(b, &any, NULL, 0);
    l_if_end(b, &any, NULL, 0, NULL);
}

static void run_block(Kernel *k, Attention *a, Dim first) {
    LoopBuilder *b = k->b;
    KernelScope scope;
    LVal tile;
    a->first = kernel_dim(k, first);
    a->count = l_min(b, l_sub(b, kernel_dim(k, a->values.channels), a->first), l_i64(b, a->keys));
    if (a->product.anchor.id) multiply_keys(k, a);
    if (!a->in_place) each_group(k, a, pack_values);
    const Fact whole = {REL_DIVIDES, dim_const(k->cx, a->keys), first};
    kernel_enter(k, &scope, &whole, 1);
    LFor tiles = l_for(b, a->rows.begin, a->rows.end, 1, LOOP_SERIAL, NULL, 0, &tile);
    run_tile(k, a, first, tile);
    l_for_end(b, &tiles, NULL, 0);
    kernel_leave(k, &scope);
}

static void store_group(Kernel *k, Attention *a, const Group *gr) {
    LVal pitch = kernel_dim(k, a->pitch), sums = l_offset(k->b, group_sums(k, a), l_mul(k->b, l_sub(k->b, a->row, a->begin), pitch));
    blocks_store_rows(k, &a->values, gr, a->row, l_add(k->b, a->row, l_i64(k->b, 1)), sums, pitch);
}

/* The rows' results: sums times one over their total. */
static void finish_rows(Kernel *k, Attention *a) {
    LoopBuilder *b = k->b;
    KernelScope scope;
    LFor rows = l_for(b, a->begin, a->end, 1, LOOP_SERIAL, NULL, 0, &a->row);
    LVal total = l_load(b, a->total, l_mul(b, l_sub(b, a->row, a->begin), l_i64(b, PANEL)), PANEL, (LVal){0});
    kernel_enter(k, &scope, NULL, 0);
    LType scalar = lt_scalar(a->values.compute);
    a->inverse = l_bin(b, LOP_div, l_float(b, scalar, 1), l_un(b, LOP_reduce_add, total));
    LVal none = l_bin(b, LOP_eq, kernel_dim(k, a->values.channels), l_i64(b, 0)); /* of no keys the sum is 0 */
    a->inverse = l_select(b, none, l_float(b, scalar, 0), a->inverse);
    each_group(k, a, store_group);
    kernel_leave(k, &scope);
    l_for_end(b, &rows, NULL, 0);
}

static void run_task(Kernel *k, Attention *a, Dim block) {
    KernelLoop loop;
    Dim keys = a->values.channels;
    a->rows = blocks_rows(k, &a->values, block);
    a->begin = rows_start(k, &a->rows, a->rows.begin), a->end = rows_start(k, &a->rows, a->rows.end);
    begin_rows(k, a);
    run_block(k, a, kernel_loop(k, &loop, l_i64(k->b, 0), kernel_dim(k, keys), keys, a->keys, NULL, 0));
    kernel_loop_end(k, &loop, NULL, 0);
    finish_rows(k, a);
}

void lower_attention(Kernel *k, LVal lo, LVal hi) {
    Context *cx = k->cx;
    Attention a = attention_of(k);
    Blocks *s = &a.values;
    k->state = &a, k->anchor = attention_value, k->lane = lane_symbol(cx, LANES);
    a.product.accumulate = contraction_accumulate;
    s->accumulate = accumulate_values, s->state = &a;
    place_scratch(k, &a);
    KernelLoop loop;
    KernelScope scope;
    Dim dims[] = {dim_product(cx, s->y->dims, s->batch), blocks_count(k, s)}, at[2];
    Fact facts[2 + MAX_RANK];
    Dim p = kernel_loop(k, &loop, lo, hi, dim_mul(cx, dims[0], dims[1]), 1, NULL, 0);
    uint32_t skip = s->batch == 0, n = 2 - skip;
    kernel_split(k, p, dims + skip, n, at + skip, facts);
    if (s->batch) kernel_split(k, at[0], s->y->dims, s->batch, s->at, facts + n);
    for (uint32_t i = 0; i < s->batch; i++) a.product.at[i] = s->at[i];
    kernel_enter(k, &scope, facts, n + s->batch);
    Lines lines;
    a.in_place = find_lines(k, &a, &lines);
    run_task(k, &a, at[1]);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
}
