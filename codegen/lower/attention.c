/* attention.c: template `attention`: attend(x, w), block of keys by block of keys, in one kernel with what computes x.
 *
 * A task is a batch element and a block of rows (queries).  For each block of keys: the scores' own contraction, where the
 * body has one, leaves its sums in scratch on the register tile; what lies between it and `attend` (scale, mask) is evaluated
 * over them, row by row; scores become exponentials against the largest so far, and what was summed up to here is rescaled;
 * the tile then adds exponentials times values.  At the end the epilogue runs over the sums, divided by the total.
 *
 * Order law: blocks hold `chunk` keys, counted from key 0.  In a block the products with the values are one ascending chain
 * from +0, added to the rescaled sum; exponentials are added in 16 lanes (key mod 16), lanes by a fixed tree at the end.
 * Values of bf16 meet exponentials rounded to bf16, two products at a time (ENCODING_PAIR16); totals are of exponentials in
 * f32.
 * A block whose exponentials are all 0 leaves the row's sums as they are, whatever its values.  Sums are multiplied by one over
 * the total.  A row without any score but -inf gives NaN, as softmax does; without keys, 0.
 * Source: Dao et al. 2022 (arXiv 2205.14135), algorithm 1; Milakov and Gimelshein 2018 (arXiv 1805.02867).
 */
#include "attention.h"
#include <math.h>

enum { MOST_BETWEEN = 24 /* elementary operations before `attend` that are written out for every panel of a block */ };

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
    for (uint32_t i = 0; same && i < made->rank; i++)
        same = prove(k->cx, k->scope, REL_EQ, made->dims[i], scores->dims[i]) == YES;
    return same;
}

static Attention attention_of(Kernel *k) {
    Attention a = {0};
    Val attend = find_op(k->body, false), product = find_op(k->body, true);
    if (!attend.id) diag_fatal(k->cx, "schedule: template attention without attend");
    a.values = blocks_at(k, attend);
    if (product.id) a.product = blocks_at(k, product);
    if (product.id && !fits(k, &a))
        diag_fatal(k->cx, "schedule: the contraction in a kernel of template attention does not make its scores");
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
    a.makes_queries = attention_has_queries(k, &a);
    attention_find_hiders(k, &a);
    return a;
}

Dim range_attention(Kernel *k) {
    Attention a = attention_of(k);
    return dim_mul(k->cx, dim_product(k->cx, a.values.y->dims, a.values.batch), blocks_count(k, &a.values));
}

/* ---- scratch ------------------------------------------------------------------------------------------------------------ */

typedef struct Place { LVal *to; Dim elements; DType dtype; /* none: that of sums */ } Place;
enum { PLACES = 10 };

static void list_places(Kernel *k, Attention *a, Place *p) {
    Context *cx = k->cx;
    Dim depth = a->product.anchor.id ? dim_upper(cx, a->product.channels) : dim_const(cx, 0);
    p[0] = (Place){&a->scores, dim_const(cx, a->most_rows * a->keys), DT_none};
    p[1] = (Place){&a->sums, dim_muli(cx, dim_upper(cx, a->pitch), a->most_rows), DT_none};
    p[2] = (Place){&a->best, dim_const(cx, (a->most_rows + PANEL - 1) / PANEL * PANEL), DT_none};
    p[3] = (Place){&a->total, dim_const(cx, a->most_rows * PANEL), DT_none};
    p[4] = (Place){&a->product_panels, dim_muli(cx, depth, (int64_t)a->product.tile_n * PANEL), blocks_packed(&a->product)};
    p[5] = (Place){&a->value_panels, dim_muli(cx, dim_upper(cx, a->pitch), a->keys), blocks_packed(&a->values)};
    p[6] = (Place){&a->factor, dim_const(cx, (a->most_rows + PANEL - 1) / PANEL * PANEL), DT_none};
    p[7] = (Place){&a->seen, dim_const(cx, a->n_hiders ? (a->values.block_tiles + PANEL - 1) / PANEL * PANEL : 0), DT_none};
    Dim query = a->makes_queries ? dim_upper(cx, attention_query_pitch(k, a)) : dim_const(cx, 0);
    p[8] = (Place){&a->queries, dim_muli(cx, query, a->most_rows), a->product.pairs ? DT_u16 : DT_none};
    p[9] = (Place){&a->weights, dim_const(cx, a->values.pairs ? a->most_rows * a->keys / 2 : 0), DT_u16};
}

Dim scratch_attention(Kernel *k) {
    Attention a = attention_of(k);
    Place places[PLACES];
    Dim bytes = dim_const(k->cx, 0);
    list_places(k, &a, places);
    for (uint32_t i = 0; i < PLACES; i++)
        bytes = dim_add(k->cx, bytes, dim_muli(k->cx, places[i].elements, dtype_bytes(a.values.compute)));
    return bytes;
}

static void place_scratch(Kernel *k, Attention *a) {
    Place places[PLACES];
    Dim at = dim_const(k->cx, 0);
    list_places(k, a, places);
    LVal base = l_inst(k->b, LOP_recast, lt_pointer(a->values.compute), &k->scratch, 1, 0);
    for (uint32_t i = 0; i < PLACES; i++) {
        LVal to = l_offset(k->b, base, kernel_dim(k, at));
        *places[i].to = places[i].dtype ? l_inst(k->b, LOP_recast, lt_pointer(places[i].dtype), &to, 1, 0) : to;
        at = dim_add(k->cx, at, places[i].elements);
    }
}

/* ---- pieces ------------------------------------------------------------------------------------------------------------- */

static void fill(Kernel *k, LVal to, LVal elements, LVal value) {
    LVal at;
    LFor loop = l_for(k->b, l_i64(k->b, 0), elements, PANEL, LOOP_SERIAL, NULL, 0, &at);
    l_store(k->b, to, at, value, (LVal){0});
    l_for_end(k->b, &loop, NULL, 0);
}

LVal attention_splat(Kernel *k, const Attention *a, double value) {
    return l_float(k->b, lt_vector(a->values.compute, PANEL), value);
}

static LVal vectors(Kernel *k, LVal n) {
    return l_bin(k->b, LOP_and, l_add(k->b, n, l_i64(k->b, PANEL - 1)), l_i64(k->b, -PANEL));
}

/* The scores' contraction while `between` is evaluated, the anchor while results are stored. */
static LVal attention_value(Kernel *k, Val v, const Dim *at) {
    const Attention *a = k->state;
    if (a->product.anchor.id && v.id == a->product.anchor.id) return l_load(k->b, a->row_scores, a->key, PANEL, (LVal){0});
    LVal sum = blocks_value(k, &a->values, v, at);
    if (!sum.id) return sum;
    sum = l_mul(k->b, sum, l_splat(k->b, a->inverse, PANEL));
    return a->counts.id ? l_select(k->b, l_splat(k->b, a->counts, PANEL), sum, attention_splat(k, a, 0)) : sum;
}

/* ---- scores ------------------------------------------------------------------------------------------------------------- */

/* Sums of the scores' contraction for the group's keys, from the block's key `at` on. */
static void multiply_group(Kernel *k, Attention *a, LVal at, const Group *group) {
    LoopBuilder *b = k->b;
    Blocks *s = &a->product;
    LVal zero = l_i64(b, 0), only = a->n_hiders ? a->seen : (LVal){0};
    Part part = {zero, l_i64(b, 1), zero, kernel_dim(k, s->channels)};
    KernelScope scope;
    kernel_enter(k, &scope, NULL, 0);
    s->panel = kernel_index(k, l_bin(b, LOP_shr, l_add(b, a->first, at), l_i64(b, 4)));
    s->panels = a->product_panels, s->panel_stride = l_mul(b, blocks_vectors_of(k, s, part.count), l_i64(b, PANEL));
    blocks_pack(k, s, &part, group);
    Sums scores = {.at = l_offset(b, a->scores, at), .pitch = l_i64(b, a->keys), .only = only};
    blocks_sum_tiles(k, s, &part, group, &a->rows, &scores);
    kernel_leave(k, &scope);
}

/* Whole groups of the block's keys, then what is left of the last. */
static void multiply_packed_keys(Kernel *k, Attention *a) {
    LoopBuilder *b = k->b;
    int64_t keys, panels = a->product.tile_n, width = panels * PANEL;
    bool known = dim_const_value(k->cx, a->values.channels, &keys);
    LVal at, zero = l_i64(b, 0), whole = l_sub(b, a->count, l_bin(b, LOP_rem, a->count, l_i64(b, width)));
    LFor loop = l_for(b, zero, whole, width, LOOP_SERIAL, NULL, 0, &at);
    multiply_group(k, a, at, &(Group){(uint32_t)panels, COLUMNS_FULL});
    l_for_end(b, &loop, NULL, 0);
    int64_t left = known ? keys % a->keys % width : 0;
    if (known && !left) return;
    Group rest = {(uint32_t)panels, COLUMNS_DYNAMIC};
    if (known) rest = (Group){(uint32_t)((left + PANEL - 1) / PANEL), left % PANEL ? COLUMNS_TAIL : COLUMNS_FULL};
    LIf some = l_if(b, l_lt(b, whole, a->count));
    multiply_group(k, a, whole, &rest);
    l_else(b, &some, NULL, 0);
    l_if_end(b, &some, NULL, 0, NULL);
}

static void multiply_keys(Kernel *k, Attention *a) {
    LoopBuilder *b = k->b;
    Truth few = attention_few(k, a);
    LIf branch = {0};
    if (few == UNKNOWN) branch = l_if(b, l_bin(b, LOP_le, kernel_dim(k, a->product.rows), l_i64(b, FEW)));
    if (few != NO) attention_multiply_few(k, a);
    if (few == UNKNOWN) l_else(b, &branch, NULL, 0);
    if (few != YES) multiply_packed_keys(k, a);
    if (few == UNKNOWN) l_if_end(b, &branch, NULL, 0, NULL);
}

/* ---- values ------------------------------------------------------------------------------------------------------------- */

/* Keys lie one after the other in whole panels: the tile reads them where they are. */
static bool find_lines(Kernel *k, const Attention *a, Lines *lines) {
    int64_t columns;
    bool whole = dim_const_value(k->cx, a->values.columns, &columns) && columns % PANEL == 0;
    return whole && !a->values.pairs && blocks_lines(k, &a->values, lines) && dim_is(k->cx, lines->along, 1);
}

/* Rows of exponentials against the values of the block's keys. */
static void accumulate_values(Kernel *k, Blocks *s, const Part *part, LVal first_row, uint32_t rows, const Group *gr,
                              LVal *acc) {
    LoopBuilder *b = k->b;
    Attention *a = s->state;
    Lines lines;
    Tile t = {
        .rows = rows, .panels = gr->panels, .x = s->pairs ? DT_bf16 : s->compute, .stride = l_i64(b, 1), .count = part->count};
    LVal local = l_mul(b, l_sub(b, first_row, a->begin), l_i64(b, a->keys)), weights = s->pairs ? a->weights : a->scores;
    for (uint32_t i = 0; i < rows; i++) t.row[i] = l_offset(b, weights, l_add(b, local, l_i64(b, (int64_t)i * a->keys)));
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
    LVal size = l_i64(k->b, (a->values.pairs ? a->keys / 2 : a->keys) * PANEL);
    a->values.panels = l_offset(k->b, a->value_panels, l_mul(k->b, kernel_dim(k, a->values.panel), size)),
    a->values.panel_stride = size;
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
    LVal at = l_offset(b, group_sums(k, a), l_mul(b, local, pitch));
    Sums sums = {.at = at, .pitch = pitch, .add = true, .scale = l_offset(b, a->factor, local)};
    blocks_sum_tiles(k, s, &part, gr, &a->tile, &sums);
}

/* ---- tasks -------------------------------------------------------------------------------------------------------------- */

static void begin_rows(Kernel *k, Attention *a) {
    LoopBuilder *b = k->b;
    LVal rows = l_sub(b, a->end, a->begin);
    fill(k, a->sums, l_mul(b, rows, kernel_dim(k, a->pitch)), attention_splat(k, a, 0));
    fill(k, a->total, l_mul(b, rows, l_i64(b, PANEL)), attention_splat(k, a, 0));
    fill(k, a->best, vectors(k, rows), attention_splat(k, a, -INFINITY));
}

static LVal tile_sees(Kernel *k, const Attention *a, LVal tile) {
    LVal seen = l_load(k->b, a->seen, l_sub(k->b, tile, a->rows.begin), 1, (LVal){0});
    return l_bin(k->b, LOP_ne, seen, l_float(k->b, lt_scalar(a->values.compute), 0));
}

static void run_tile(Kernel *k, Attention *a, Dim first, LVal tile) {
    LoopBuilder *b = k->b;
    a->tile = a->rows, a->tile.begin = tile, a->tile.end = l_add(b, tile, l_i64(b, 1));
    LVal touched = attention_soften(k, a, first, rows_start(k, &a->tile, tile), rows_start(k, &a->tile, a->tile.end));
    KernelScope scope;
    LIf any = l_if(b, l_lt(b, l_i64(b, 0), touched));
    kernel_enter(k, &scope, NULL, 0);
    each_group(k, a, multiply_values);
    kernel_leave(k, &scope);
    l_else(b, &any, NULL, 0);
    l_if_end(b, &any, NULL, 0, NULL);
}

static void multiply_block(Kernel *k, Attention *a, Dim first) {
    LoopBuilder *b = k->b;
    LVal tile;
    if (a->product.anchor.id) multiply_keys(k, a);
    if (!a->in_place) each_group(k, a, pack_values);
    LFor tiles = l_for(b, a->rows.begin, a->rows.end, 1, LOOP_SERIAL, NULL, 0, &tile);
    LIf seen = {0};
    if (a->n_hiders) seen = l_if(b, tile_sees(k, a, tile));
    run_tile(k, a, first, tile);
    if (a->n_hiders) l_else(b, &seen, NULL, 0), l_if_end(b, &seen, NULL, 0, NULL);
    l_for_end(b, &tiles, NULL, 0);
}

/* Looks which tiles of rows see any of the block's keys, and how many do. */
static LVal look(Kernel *k, Attention *a, Dim first) {
    LoopBuilder *b = k->b;
    LType scalar = lt_scalar(a->values.compute);
    LVal tile, seen = l_i64(b, 0);
    LFor tiles = l_for(b, a->rows.begin, a->rows.end, 1, LOOP_SERIAL, &seen, 1, &tile);
    LVal sees =
        attention_sees(k, a, first, rows_start(k, &a->rows, tile), rows_start(k, &a->rows, l_add(b, tile, l_i64(b, 1))));
    l_store(b, a->seen, l_sub(b, tile, a->rows.begin), l_select(b, sees, l_float(b, scalar, 1), l_float(b, scalar, 0)),
            (LVal){0});
    seen = l_add(b, seen, l_convert(b, sees, DT_i64));
    l_for_end(b, &tiles, &seen, 1);
    return seen;
}

static void run_block(Kernel *k, Attention *a, Dim first) {
    LoopBuilder *b = k->b;
    KernelScope scope;
    a->first = kernel_dim(k, first);
    a->count = l_min(b, l_sub(b, kernel_dim(k, a->values.channels), a->first), l_i64(b, a->keys));
    const Fact whole = {REL_DIVIDES, dim_const(k->cx, a->keys), first};
    kernel_enter(k, &scope, &whole, 1);
    LIf seen = {0};
    if (a->n_hiders) seen = l_if(b, l_lt(b, l_i64(b, 0), look(k, a, first)));
    multiply_block(k, a, first);
    if (a->n_hiders) l_else(b, &seen, NULL, 0), l_if_end(b, &seen, NULL, 0, NULL);
    kernel_leave(k, &scope);
}

static void store_group(Kernel *k, Attention *a, const Group *gr) {
    LVal pitch = kernel_dim(k, a->pitch),
         sums = l_offset(k->b, group_sums(k, a), l_mul(k->b, l_sub(k->b, a->row, a->begin), pitch));
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
    total = l_un(b, LOP_reduce_add, total);
    a->inverse = l_bin(b, LOP_div, l_float(b, scalar, 1), total);
    if (attr_int(a->values.node, ATTR_guarded)) a->counts = l_lt(b, l_float(b, scalar, 0), total);
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
    if (a->makes_queries) attention_make_queries(k, a);
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
