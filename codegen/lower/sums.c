/* sums.c: what templates contraction, convolution and attention do with tiles: balanced tiles over a block of rows, their sums
 * to memory, and the epilogue, which evaluates the body's results from finished sums, row by row, and stores them.
 *
 * Tiles of a block differ by at most one row, and only the variants that the extents allow are written.
 */
#include "tile.h"

/* ---- the epilogue ------------------------------------------------------------------------------------------------------- */

LVal blocks_value(Kernel *k, const Blocks *s, Val v, const Dim *at) {
    if (v.id != s->anchor.id) return (LVal){0};
    uint32_t exact = s->pieces > 1 ? s->y->rank - 1 : s->y->rank;
    /* Views lead back to the same place, perhaps spelt in another way. */
    for (uint32_t i = 0; i < exact; i++)
        if (prove(k->cx, k->scope, REL_EQ, at[i], s->value_at[i]) == NO)
            diag_fatal(k->cx, "schedule: the contraction of a tiled kernel is read at '%s', expected '%s'",
                       dim_string(k->cx, at[i]), dim_string(k->cx, s->value_at[i]));
    return l_round(k->b, s->pieces > 1 ? blocks_piece(k, s, at) : s->value, s->y->dtype);
}

LVal blocks_anchor(Kernel *k, Val v, const Dim *at) { return blocks_value(k, k->state, v, at); }

void store_result(Kernel *k, uint32_t r, const Dim *at, const Kept *kept) {
    Val v = k->body->results.at[r];
    const TypeInfo *t = val_type(k->body, v);
    LVal outer_mask = k->mask;
    KernelScope scope;
    for (uint32_t i = 0; i < kept->n; i++) {
        LVal holds = l_splat(k->b, kernel_fact(k, kept->facts[i]), k->lanes);
        k->mask = k->mask.id ? l_bin(k->b, LOP_and, k->mask, holds) : holds;
    }
    if (kept->n) kernel_enter(k, &scope, kept->facts, kept->n);
    kernel_store(k, k->outputs[r], t->dtype, access_offset(k->cx, t->dims, at, t->rank), kernel_eval(k, v, at));
    if (kept->n) kernel_leave(k, &scope);
    k->mask = outer_mask;
}

void store_results(Kernel *k, Val anchor, const Dim *place) {
    uint32_t memo = k->memo.n;
    for (uint32_t r = 0; r < k->body->results.n; r++) {
        Dim at[MAX_RANK];
        Kept kept = {.n = 0};
        if (!kernel_forward(k, anchor, k->body->results.at[r], place, at, &kept))
            diag_fatal(k->cx,
                       "schedule: result %u of the kernel is not made of its contraction by pointwise ops and views alone", r);
        store_result(k, r, at, &kept);
    }
    k->memo.n = memo;
}

/* The element at hand of what is kept. */
static void keep_value(Kernel *k, const Blocks *s) {
    const TypeInfo *t = val_type(k->body, s->kept);
    uint32_t memo = k->memo.n;
    kernel_store(k, s->to, t->dtype, access_offset(k->cx, t->dims, s->value_at, t->rank), kernel_eval(k, s->kept, s->value_at));
    k->memo.n = memo;
}

static void store_panel(Kernel *k, Blocks *s, Dim column, LVal value, LVal mask) {
    Fact inside[] = {{REL_LT, column, s->columns}};
    KernelScope scope;
    kernel_enter(k, &scope, inside, 1);
    k->lanes = LANES, k->mask = mask;
    s->value = value;
    s->value_at[s->y->rank - 1] = column;
    if (s->kept.id) keep_value(k, s);
    else store_results(k, s->anchor, s->value_at);
    k->lanes = 1, k->mask = (LVal){0};
    kernel_leave(k, &scope);
}

/* The row's sums, panel by panel: at sums[0 .. 16 * panels), or in acc. */
static void store_row(Kernel *k, Blocks *s, const Group *gr, Dim row, LVal sums, const LVal *acc) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    Fact inside[] = {{REL_LT, row, s->rows}};
    KernelScope scope;
    kernel_enter(k, &scope, inside, 1);
    blocks_row(k, s, row, s->value_at);
    if (s->pieces > 1) blocks_store_pieces(k, s, gr, sums, acc);
    for (uint32_t j = 0; j < gr->panels && s->pieces == 1; j++) {
        Dim first = dim_muli(cx, dim_addi(cx, s->panel, j), PANEL), column = dim_add(cx, first, dim_symbol(cx, k->lane));
        LVal left = kernel_dim(k, kernel_simplify(k, dim_sub(cx, s->columns, first))), mask = {0},
             at = l_i64(b, (int64_t)j * PANEL);
        bool full = gr->kind == COLUMNS_FULL || (gr->kind == COLUMNS_TAIL && j + 1 < gr->panels);
        LIf some = {0};
        if (gr->kind == COLUMNS_DYNAMIC) some = l_if(b, l_lt(b, l_i64(b, 0), left));
        if (!full) mask = l_lane_mask(b, left, LANES);
        store_panel(k, s, column, acc ? acc[j] : l_load(b, sums, at, PANEL, (LVal){0}), mask);
        if (gr->kind != COLUMNS_DYNAMIC) continue;
        l_else(b, &some, NULL, 0);
        l_if_end(b, &some, NULL, 0, NULL);
    }
    kernel_leave(k, &scope);
}

void blocks_store_rows(Kernel *k, Blocks *s, const Group *gr, LVal first, LVal end, LVal sums, LVal pitch) {
    KernelLoop loop;
    LoopBuilder *b = k->b;
    if (blocks_cross(k, s) && s->tile_m <= PANEL) {
        CrossedRows rows = {gr, first, l_sub(b, end, first), s->tile_m, NULL, sums, pitch};
        blocks_store_crossed(k, s, &rows);
        return;
    }
    if (blocks_cross(k, s)) {
        LVal from;
        LFor squares = l_for(b, first, end, PANEL, LOOP_SERIAL, NULL, 0, &from);
        CrossedRows rows = {gr,    from, l_min(b, l_i64(b, PANEL), l_sub(b, end, from)),
                            PANEL, NULL, l_offset(b, sums, l_mul(b, l_sub(b, from, first), pitch)),
                            pitch};
        blocks_store_crossed(k, s, &rows);
        l_for_end(b, &squares, NULL, 0);
        return;
    }
    Dim row = kernel_loop(k, &loop, first, end, s->rows, 1, NULL, 0);
    LVal at = l_mul(b, l_sub(b, kernel_dim(k, row), first), pitch);
    store_row(k, s, gr, row, l_offset(b, sums, at), NULL);
    kernel_loop_end(k, &loop, NULL, 0);
}

/* ---- tiles of rows ------------------------------------------------------------------------------------------------------ */

LVal rows_start(Kernel *k, const Rows *r, LVal tile) {
    LoopBuilder *b = k->b;
    LVal before = {0};
    if (r->width.id) before = l_mul(b, l_bin(b, LOP_div, tile, r->tiles), r->width), tile = l_bin(b, LOP_rem, tile, r->tiles);
    LVal row = l_add(b, l_mul(b, tile, r->size), l_min(b, tile, r->larger));
    if (before.id) row = l_add(b, before, row);
    return r->first.id ? l_add(b, r->first, row) : row;
}

Rows blocks_rows(Kernel *k, const Blocks *s, Dim block) {
    LoopBuilder *b = k->b;
    LVal rows = kernel_dim(k, s->rows), tiles = kernel_dim(k, blocks_tiles(k, s)), blocks = kernel_dim(k, blocks_count(k, s));
    LVal each = l_bin(b, LOP_div, tiles, blocks), more = l_bin(b, LOP_rem, tiles, blocks), i = kernel_dim(k, block);
    Rows r = {.size = l_bin(b, LOP_div, rows, tiles), .larger = l_bin(b, LOP_rem, rows, tiles)};
    Dim tile = dim_const(k->cx, s->tile_m);
    if (s->width.id && prove(k->cx, k->scope, REL_DIVIDES, tile, s->width) != YES) {
        r.width = kernel_dim(k, s->width), r.tiles = kernel_dim(k, dim_cdiv(k->cx, s->width, tile));
        r.size = l_bin(b, LOP_div, r.width, r.tiles), r.larger = l_bin(b, LOP_rem, r.width, r.tiles);
    }
    r.begin = l_add(b, l_mul(b, i, each), l_min(b, i, more));
    r.end = l_add(b, r.begin, l_add(b, each, l_convert(b, l_lt(b, i, more), DT_i64)));
    return r;
}

/* Bit n: some tile may have n rows, over all extents that the scope allows. */
static uint32_t reachable_rows(Kernel *k, const Blocks *s) {
    int64_t low, high, m = s->tile_m;
    Dim cut = blocks_cut(s);
    dim_range(k->cx, k->scope, cut, &low, &high);
    uint32_t sizes = 0;
    int64_t most = m * (m + 1), step = dim_multiple(k->cx, cut); /* from most on the sizes repeat: m - 1 and m */
    low = low < 1 ? 1 : low > most ? most : low;
    if (step < 1 || step > INT32_MAX) step = 1;
    for (int64_t rows = (low + step - 1) / step * step; rows <= high && (rows <= most || sizes == 0); rows += step) {
        int64_t tiles = (rows + m - 1) / m;
        sizes |= 1u << (rows / tiles);
        if (rows % tiles) sizes |= 1u << (rows / tiles + 1);
    }
    int64_t exact;
    bool whole = step % m == 0; /* tiles, whatever the number of rows */
    if (high > most && !dim_const_value(k->cx, cut, &exact)) sizes |= 1u << m | (m > 1 && !whole ? 1u << (m - 1) : 0);
    if (dim_const_value(k->cx, cut, &exact) && exact > 0) {
        int64_t tiles = (exact + m - 1) / m;
        sizes = 1u << (exact / tiles) | (exact % tiles ? 1u << (exact / tiles + 1) : 0);
    }
    return sizes;
}

typedef struct TileRun {
    Blocks *s;
    const Part *part;
    const Group *group;
    LVal first;                  /* row */
    LVal sums;                   /* of the first row */
    LVal pitch;                  /* elements from one row of sums to the next */
    enum { SUMS_FINISH, SUMS_KEEP, SUMS_ADD } then; /* results at once; sums to memory; sums onto those in memory */
    LVal scale;                  /* ADD: pointer to a number a row that those in memory are multiplied by first, or 0 */
} TileRun;

/* The results of row i straight from its accumulators. */
static void store_tile_row(Kernel *k, const TileRun *t, uint32_t i, const LVal *acc) {
    KernelScope scope;
    kernel_enter(k, &scope, NULL, 0);
    Dim row = kernel_index(k, l_add(k->b, t->first, l_i64(k->b, i)));
    store_row(k, t->s, t->group, row, (LVal){0}, acc);
    kernel_leave(k, &scope);
}

/* Row i of the tile to memory.  A scale below 0: what is there stays. */
static void keep_row(Kernel *k, const TileRun *t, uint32_t i, const LVal *acc) {
    LoopBuilder *b = k->b;
    LVal scale = {0}, stays = {0};
    if (t->scale.id) {
        scale = l_splat(b, l_load(b, t->scale, l_i64(b, i), 1, (LVal){0}), PANEL);
        stays = l_lt(b, scale, l_float(b, loop_type(b, scale), 0));
    }
    for (uint32_t j = 0; j < t->group->panels; j++) {
        LVal at = l_add(b, l_mul(b, t->pitch, l_i64(b, i)), l_i64(b, (int64_t)j * PANEL)), sum = acc[j];
        if (t->then == SUMS_ADD) {
            LVal old = l_load(b, t->sums, at, PANEL, (LVal){0});
            sum = l_add(b, scale.id ? l_mul(b, old, scale) : old, sum);
            if (scale.id) sum = l_select(b, stays, old, sum);
        }
        l_store(b, t->sums, at, sum, (LVal){0});
    }
}

/* One part's chains, from +0. */
static void sum_part(Kernel *k, const TileRun *t, const Part *part, uint32_t rows, LVal *acc) {
    for (uint32_t i = 0; i < rows * t->group->panels; i++) acc[i] = blocks_zero(k, t->s);
    KernelScope scope;
    Ahead *ahead = &t->s->ahead;
    kernel_enter(k, &scope, NULL, 0);
    if (ahead->turn.id) ahead->first = l_mul(k->b, ahead->turn, blocks_vectors_of(k, t->s, part->count));
    t->s->accumulate(k, t->s, part, t->first, rows, t->group, acc);
    kernel_leave(k, &scope);
}

/* All parts of K, one after the other, onto +0. */
static void sum_parts(Kernel *k, const TileRun *t, uint32_t rows, LVal *sums) {
    LoopBuilder *b = k->b;
    LVal acc[MAX_TILE_ROWS * MAX_TILE_PANELS], i;
    uint32_t n = rows * t->group->panels;
    for (uint32_t j = 0; j < n; j++) sums[j] = blocks_zero(k, t->s);
    LFor parts = l_for(b, l_i64(b, 0), kernel_dim(k, blocks_parts(k, t->s)), 1, LOOP_SERIAL, sums, n, &i);
    Part part = blocks_part(k, t->s, i);
    sum_part(k, t, &part, rows, acc);
    for (uint32_t j = 0; j < n; j++) sums[j] = l_add(b, sums[j], acc[j]);
    l_for_end(b, &parts, sums, n);
}

/* Row i of the tile to where it belongs. */
static void end_row(Kernel *k, const TileRun *t, uint32_t i, const LVal *acc) {
    if (t->then == SUMS_FINISH) store_tile_row(k, t, i, acc);
    else keep_row(k, t, i, acc);
}

/* A tile of so few rows is the only one: then the extents that it is cut from are few. */
static bool few_alone(const Blocks *s, uint32_t rows) {
    return !s->width.id && !s->strip && rows <= STREAMED_ROWS && 2 * rows < s->tile_m;
}

/* size: rows - 1 (the tile ends in a row that is there twice), or rows; id 0: rows. */
static void run_tile(Kernel *k, const TileRun *t, uint32_t rows, LVal size) {
    Blocks *s = t->s;
    LoopBuilder *b = k->b;
    LVal acc[MAX_TILE_ROWS * MAX_TILE_PANELS];
    uint32_t panels = t->group->panels;
    Ahead ahead = s->ahead;
    if (few_alone(s, rows)) s->ahead = (Ahead){0};
    s->last = size.id ? l_add(b, t->first, l_sub(b, size, l_i64(b, 1))) : size;
    if (s->chained) sum_parts(k, t, rows, acc);
    else sum_part(k, t, t->part, rows, acc);
    s->last = (LVal){0}, s->ahead = ahead;
    if (t->then == SUMS_FINISH && blocks_cross(k, s)) {
        CrossedRows all = {
            .group = t->group, .first = t->first, .count = size.id ? size : l_i64(b, rows), .most = rows, .acc = acc};
        blocks_store_crossed(k, s, &all);
        return;
    }
    for (uint32_t i = 0; i < rows; i++) {
        bool sometimes = size.id && i + 1 == rows;
        LIf branch = {0};
        if (sometimes) branch = l_if(b, l_bin(b, LOP_eq, size, l_i64(b, rows)));
        end_row(k, t, i, acc + i * panels);
        if (sometimes) l_else(b, &branch, NULL, 0), l_if_end(b, &branch, NULL, 0, NULL);
    }
}

/* Of all rows, where there are any. */
static int64_t least_rows(Kernel *k, const Blocks *s) {
    int64_t low, high, step = dim_multiple(k->cx, s->rows);
    dim_range(k->cx, k->scope, s->rows, &low, &high);
    return low < 1 && step < INT32_MAX ? step : low;
}

/* Tiles have m rows or, few of them, one less: these may as well compute their last row twice, and need no code of their
 * own. */
static bool repeats_rows(Kernel *k, const Blocks *s, uint32_t sizes) {
    enum { FEW = 32 };
    int64_t m = s->tile_m;
    if (!s->repeats || s->width.id || m < 2 || sizes != (3u << (m - 1))) return false;
    return least_rows(k, s) >= FEW * m;
}

/* if (size == a) … else if (size == b) … over the sizes in the set. */
static void choose_rows(Kernel *k, const TileRun *t, LVal size, uint32_t sizes) {
    if (!sizes) return;
    uint32_t rows = 31 - (uint32_t)__builtin_clz(sizes), rest = sizes & ~(1u << rows);
    if (!rest || repeats_rows(k, t->s, sizes)) {
        run_tile(k, t, rows, rest ? size : (LVal){0});
        return;
    }
    LIf branch = l_if(k->b, l_bin(k->b, LOP_eq, size, l_i64(k->b, rows)));
    run_tile(k, t, rows, (LVal){0});
    l_else(k->b, &branch, NULL, 0);
    choose_rows(k, t, size, rest);
    l_if_end(k->b, &branch, NULL, 0, NULL);
}

/* An epilogue short enough to be written out for every accumulator. */
static bool short_epilogue(const Graph *g, Val anchor) {
    uint32_t cost = 0;
    for (uint32_t i = anchor.id + 1; i < g->nodes.n; i++) cost += op_info[g->nodes.at[i].op].cost;
    return cost <= 6 && g->results.n <= 2;
}

/* The sums of the group's tiles of these rows, one after the other, which lie side by side in memory. */
static void sum_beside(Kernel *k, TileRun *t, LVal size, uint32_t sizes) {
    Blocks *s = t->s;
    const Group *all = t->group, one = {s->tile_n, all->kind};
    if (all->panels <= s->tile_n) {
        choose_rows(k, t, size, sizes);
        return;
    }
    KernelLoop loop;
    LVal sums = t->sums;
    uint32_t n = all->panels / s->tile_n;
    Dim tile = kernel_loop(k, &loop, l_i64(k->b, 0), l_i64(k->b, n), dim_const(k->cx, n), 1, NULL, 0);
    s->aside = blocks_aside(k, s, tile);
    t->group = &one, t->sums = l_offset(k->b, sums, l_mul(k->b, kernel_dim(k, tile), l_i64(k->b, (int64_t)s->tile_n * PANEL)));
    choose_rows(k, t, size, sizes);
    kernel_loop_end(k, &loop, NULL, 0);
    s->aside = (LVal){0}, t->group = all, t->sums = sums;
}

typedef struct TileLoop { LFor loop; LVal tile, size, end; } TileLoop;

enum { MAX_FETCHED = 3 /* operands and results of an epilogue */ };

/* Constant panels are read from memory once a task: while its tiles run, those that come next are fetched, evenly: some lines
 * of several panels in each, so that every page of them is entered slowly.  Few tiles, or such as may be few when it runs,
 * take all panels, many two by two. */
static void fetch_ahead(Kernel *k, Blocks *s, const Rows *r, LVal tile) {
    enum { FEW_TILES = 4 /* for each panel */ };
    LoopBuilder *b = k->b;
    int64_t rows, columns, hint = dim_hint(k->cx, s->rows), tiles = hint / s->tile_m + (hint % s->tile_m != 0);
    bool few = tiles < FEW_TILES * (int64_t)s->tile_n || least_rows(k, s) < FEW_TILES * (int64_t)s->tile_m;
    uint32_t beside = few || s->tile_n < 2 ? s->tile_n : 2;
    s->ahead = (Ahead){.sparse = beside > 1 && tiles > 1};
    if (s->packs || !s->next.id || (dim_const_value(k->cx, s->rows, &rows) && rows <= STREAMED_ROWS)) return;
    if (s->tile_n % s->together) return; /* the next columns lie in the same lines */
    if (dim_const_value(k->cx, s->columns, &columns) && columns <= (int64_t)s->tile_n * PANEL) return; /* the only ones */
    LVal one = l_i64(b, 1), scale = l_i64(b, 1 << RATE_BITS), turn = l_i64(b, 0);
    LVal i = l_sub(b, tile, r->begin), each = l_sub(b, r->end, r->begin);
    if (beside < s->tile_n) each = l_max(b, one, l_bin(b, LOP_div, each, l_i64(b, (s->tile_n + beside - 1) / beside)));
    s->ahead.rate = l_bin(b, LOP_div, scale, each);
    if (beside < s->tile_n) turn = l_bin(b, LOP_div, i, each), i = l_sub(b, i, l_mul(b, turn, each));
    s->ahead.turn = i;
    turn = l_mul(b, turn, l_i64(b, beside));
    for (uint32_t j = 0; j < beside; j++)
        s->ahead.to[j] = l_add(b, s->next, l_mul(b, s->panel_stride, l_add(b, turn, l_i64(b, j))));
}

/* Param i is read, or result i written, at the very places that the contraction's own elements have. */
static bool lies_alike(Kernel *k, const Blocks *s, Val v) {
    const TypeInfo *t = val_type(k->body, v);
    bool all = dim_same(dim_product(k->cx, t->dims, t->rank), dim_product(k->cx, s->y->dims, s->y->rank));
    return all && t->encoding == ENCODING_DENSE && v.id != s->node->in[0].id && v.id != s->node->in[1].id;
}

/* What the epilogue of rows [first, end) will read and write comes into the cache while their products are summed. */
static void fetch_results(Kernel *k, const Blocks *s, const Group *gr, LVal first, LVal end) {
    enum { LEAST_DEPTH = 32 /* products that outweigh it */ };
    const Graph *g = k->body;
    LVal from[MAX_FETCHED + 1];
    uint32_t n = 0;
    int64_t depth, rows;
    if (dim_const_value(k->cx, dim_mul(k->cx, s->taps, s->channels), &depth) && depth < LEAST_DEPTH) return;
    if ((dim_const_value(k->cx, s->rows, &rows) && rows <= STREAMED_ROWS) || blocks_cross(k, s)) return;
    for (uint32_t i = 0; i < g->params.n && n < MAX_FETCHED; i++)
        if (lies_alike(k, s, g->params.at[i])) from[n++] = k->pointers[i];
    if (s->kept.id) from[n++] = s->to;
    for (uint32_t i = 0; i < g->results.n && n < MAX_FETCHED && !s->kept.id; i++)
        if (lies_alike(k, s, g->results.at[i])) from[n++] = k->outputs[i];
    if (!n) return;
    KernelLoop loop;
    Dim at[MAX_RANK], row = kernel_loop(k, &loop, first, end, s->rows, 1, NULL, 0);
    blocks_row(k, s, row, at);
    at[s->y->rank - 1] = dim_muli(k->cx, s->panel, PANEL);
    LVal start = kernel_dim(k, kernel_simplify(k, access_offset(k->cx, s->y->dims, at, s->y->rank)));
    for (uint32_t i = 0; i < n * gr->panels; i++) {
        LVal place = l_add(k->b, start, l_i64(k->b, (int64_t)(i % gr->panels) * PANEL));
        l_inst(k->b, LOP_prefetch, (LType){0}, (LVal[]){from[i / gr->panels], place}, 2, 0);
    }
    kernel_loop_end(k, &loop, NULL, 0);
}

static TileLoop begin_tiles(Kernel *k, const Rows *r, TileRun *t) {
    LoopBuilder *b = k->b;
    TileLoop l;
    LVal tile;
    l.loop = l_for(b, r->begin, r->end, 1, LOOP_SERIAL, NULL, 0, &tile);
    t->first = rows_start(k, r, tile);
    l.end = rows_start(k, r, l_add(b, tile, l_i64(b, 1))), l.size = l_sub(b, l.end, t->first);
    fetch_ahead(k, t->s, r, tile);
    if (t->s->beside.id) t->s->beside_at = l_offset(b, t->s->beside, l_mul(b, l_sub(b, tile, r->begin), t->s->beside_step));
    l.tile = tile;
    return l;
}

void blocks_sum_tiles(Kernel *k, Blocks *s, const Part *part, const Group *gr, const Rows *r, const Sums *to) {
    LoopBuilder *b = k->b;
    TileRun t = {.s = s, .part = part, .group = gr, .pitch = to->pitch, .then = to->add ? SUMS_ADD : SUMS_KEEP};
    LVal base = rows_start(k, r, r->begin);
    TileLoop loop = begin_tiles(k, r, &t);
    t.sums = l_offset(b, to->at, l_mul(b, l_sub(b, t.first, base), to->pitch));
    if (to->scale.id) t.scale = l_offset(b, to->scale, l_sub(b, t.first, base));
    if (to->last.id) {
        LIf finish = l_if(b, to->last);
        fetch_results(k, s, gr, t.first, loop.end);
        l_else(b, &finish, NULL, 0), l_if_end(b, &finish, NULL, 0, NULL);
    }
    LIf wanted = {0};
    if (to->only.id) {
        LVal flag = l_load(b, to->only, l_sub(b, loop.tile, r->begin), 1, (LVal){0});
        wanted = l_if(b, l_bin(b, LOP_ne, flag, l_float(b, loop_type(b, flag), 0)));
    }
    sum_beside(k, &t, loop.size, r->sizes ? r->sizes : reachable_rows(k, s));
    if (to->only.id) l_else(b, &wanted, NULL, 0), l_if_end(b, &wanted, NULL, 0, NULL);
    if (to->last.id) {
        LIf finish = l_if(b, to->last);
        blocks_store_rows(k, s, gr, t.first, loop.end, t.sums, to->pitch);
        l_else(b, &finish, NULL, 0), l_if_end(b, &finish, NULL, 0, NULL);
    }
    l_for_end(b, &loop.loop, NULL, 0);
}

void blocks_finish_tiles(Kernel *k, Blocks *s, const Part *part, const Group *gr, const Rows *r, LVal sums) {
    LoopBuilder *b = k->b;
    TileRun now = {.s = s, .part = part, .group = gr, .then = SUMS_FINISH}, later = now;
    TileLoop loop = begin_tiles(k, r, &now);
    fetch_results(k, s, gr, now.first, loop.end);
    later.first = now.first, later.sums = sums, later.pitch = l_i64(b, (int64_t)gr->panels * PANEL), later.then = SUMS_KEEP;
    uint32_t sizes = r->sizes ? r->sizes : reachable_rows(k, s), often = 1u << s->tile_m;
    int64_t rows;
    if (r->sizes || dim_const_value(k->cx, blocks_cut(s), &rows)) often = sizes;
    if (repeats_rows(k, s, sizes)) often = sizes;
    if (gr->kind == COLUMNS_DYNAMIC || gr->panels > s->tile_n || !short_epilogue(k->body, s->anchor)) often = 0;
    often &= sizes;
    if (often == sizes) {
        choose_rows(k, &now, loop.size, often);
    } else {
        LIf branch = {0};
        if (often) {
            branch = l_if(b, l_bin(b, LOP_eq, loop.size, l_i64(b, s->tile_m)));
            choose_rows(k, &now, loop.size, often);
            l_else(b, &branch, NULL, 0);
        }
        sum_beside(k, &later, loop.size, sizes & ~often);
        blocks_store_rows(k, s, gr, later.first, loop.end, sums, later.pitch);
        if (often) l_if_end(b, &branch, NULL, 0, NULL);
    }
    l_for_end(b, &loop.loop, NULL, 0);
}
