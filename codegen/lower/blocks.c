/* blocks.c: the loops around the register tile: tasks, parts of K, balanced tiles of rows, and the epilogue.
 *
 * A task is a batch element, a block of rows and a group of panels.  For each part of K (packing w where it is no constant)
 * all row tiles of the block run; sums of parts gather in scratch.  The epilogue then evaluates the body's results from the
 * finished sums, row by row, and stores them.  Tiles of a block differ by at most one row, and only variants that the extents
 * allow are written.  Source: cpu.md sections 1, 3 and "Second machine".
 */
#include "tile.h"

enum { MAX_BLOCK_TILES = 1 << 16 };

static const Node *find_anchor(const Graph *g, Val *anchor) {
    for (uint32_t i = 1; i < g->nodes.n; i++)
        if (op_info[g->nodes.at[i].op].kind == KIND_CONTRACT) {
            *anchor = (Val){i};
            return &g->nodes.at[i];
        }
    diag_fatal(g->cx, "schedule: a tiled template without a contraction");
}

Blocks blocks_of(Kernel *k) {
    Context *cx = k->cx;
    Blocks s = {0};
    s.node = find_anchor(k->body, &s.anchor);
    s.y = type_info(cx, s.node->type), s.x = val_type(k->body, s.node->in[0]), s.w = val_type(k->body, s.node->in[1]);
    s.compute = loop_compute_dtype(s.y->dtype);
    bool conv = s.node->op == OP_conv;
    if (conv != (k->schedule->field[SCHED_template_] == TEMPLATE_convolution)) diag_fatal(cx, "schedule: template and contraction do not fit each other");
    s.batch = conv ? 0 : (uint32_t)attr_int(s.node, ATTR_batch);
    s.rows = dim_product(cx, s.y->dims + s.batch, s.y->rank - s.batch - 1);
    s.columns = s.y->dims[s.y->rank - 1];
    s.taps = conv ? dim_product(cx, s.w->dims, s.w->rank - 2) : dim_const(cx, 1);
    s.channels = s.w->dims[s.w->rank - 2];
    s.chunk = attr_int(s.node, ATTR_chunk);
    s.whole = prove(cx, k->scope, REL_LE, dim_mul(cx, s.taps, s.channels), dim_const(cx, s.chunk)) == YES;
    s.packs = s.w->encoding != ENCODING_PANEL16;
    int64_t m = k->schedule->field[SCHED_tile_m], n = k->schedule->field[SCHED_tile_n], rows;
    if (m < 1 || m > MAX_TILE_ROWS || n < 1 || n > MAX_TILE_PANELS)
        diag_fatal(cx, "schedule: a register tile of %lld x %lld panels, at most %d x %d are possible", (long long)m, (long long)n, MAX_TILE_ROWS, MAX_TILE_PANELS);
    s.tile_m = (uint32_t)m, s.tile_n = (uint32_t)n;
    int64_t tiles = k->schedule->field[SCHED_block_m] / m;
    if (dim_const_value(cx, s.rows, &rows) && tiles > (rows + m - 1) / m) tiles = (rows + m - 1) / m;
    s.block_tiles = tiles < 1 ? 1 : tiles > MAX_BLOCK_TILES ? MAX_BLOCK_TILES : (uint32_t)tiles;
    return s;
}

static Dim tiles_of(Kernel *k, const Blocks *s) { return dim_cdiv(k->cx, s->rows, dim_const(k->cx, s->tile_m)); }
static Dim row_blocks(Kernel *k, const Blocks *s) { return dim_cdiv(k->cx, tiles_of(k, s), dim_const(k->cx, s->block_tiles)); }
static Dim column_blocks(Kernel *k, const Blocks *s) {
    return dim_cdiv(k->cx, s->columns, dim_const(k->cx, (int64_t)s->tile_n * PANEL));
}

Dim blocks_range(Kernel *k, const Blocks *s) {
    Dim batches = dim_product(k->cx, s->y->dims, s->batch);
    return dim_mul(k->cx, batches, dim_mul(k->cx, row_blocks(k, s), column_blocks(k, s)));
}

/* ---- scratch: sums of parts, then panels of w ------------------------------------------------------------------------- */

static int64_t sums_bytes(const Blocks *s) {
    return s->whole ? 0 : (int64_t)s->block_tiles * s->tile_m * s->tile_n * PANEL * dtype_bytes(s->compute);
}

static int64_t pack_depth(Kernel *k, const Blocks *s) {
    int64_t channels;
    if (!dim_const_value(k->cx, s->channels, &channels) || channels >= s->chunk) return s->chunk;
    return channels < 1 ? 1 : channels; /* even without depth there is a place to point at */
}

Dim blocks_scratch(Kernel *k, const Blocks *s) {
    int64_t bytes = sums_bytes(s);
    if (s->packs) bytes += pack_depth(k, s) * s->tile_n * PANEL * dtype_bytes(s->compute);
    return dim_const(k->cx, (bytes + 63) & ~INT64_C(63));
}

static LVal scratch_at(Kernel *k, int64_t bytes, DType dtype) {
    LVal at = l_offset(k->b, k->scratch, l_i64(k->b, bytes));
    return dtype == DT_u8 ? at : l_inst(k->b, LOP_recast, lt_pointer(dtype), &at, 1, 0);
}

LVal blocks_zero(Kernel *k, const Blocks *s) { return l_int(k->b, lt_vector(s->compute, PANEL), 0); }

/* ---- where operands lie ------------------------------------------------------------------------------------------------- */

typedef struct SourceWalk { const Graph *g; Val base; Dim offset; bool ok; } SourceWalk;

static void source_read(void *user, Val leaf, const Dim *at) {
    SourceWalk *s = user;
    const TypeInfo *t = val_type(s->g, leaf);
    s->ok = !s->base.id && val_op(s->g, leaf) == OP_param;
    s->base = leaf;
    s->offset = access_offset(s->g->cx, t->dims, at, t->rank);
}

static bool source_stop(void *user, Val v) { return op_info[val_op(((SourceWalk *)user)->g, v)].kind != KIND_VIEW; }

Source blocks_source(Kernel *k, Val x, const Dim *at) {
    Scalar splat;
    if (val_splat(k->body, x, &splat)) return (Source){.same = kernel_eval(k, x, at), .offset = dim_const(k->cx, 0)};
    SourceWalk walk = {.g = k->body};
    Access access = {k->body, k->scope, source_read, source_stop, &walk, 0};
    if (!access_walk(&access, x, at) || !walk.ok) BUG(k->cx, "the left operand of a tiled contraction is no view of a buffer");
    LVal pointer = k->pointers[attr_int(node(k->body, walk.base), ATTR_index)];
    return (Source){walk.base, pointer, {0}, kernel_simplify(k, walk.offset)};
}

void blocks_row(Kernel *k, const Blocks *s, Dim row, Dim *at) {
    for (uint32_t i = 0; i < s->batch; i++) at[i] = s->at[i];
    for (uint32_t i = s->y->rank - 1; i-- > s->batch;) {
        bool first = i == s->batch;
        at[i] = first ? row : kernel_simplify(k, dim_mod(k->cx, row, s->y->dims[i]));
        if (!first) row = kernel_simplify(k, dim_fdiv(k->cx, row, s->y->dims[i]));
    }
}

void blocks_panels(Kernel *k, const Blocks *s, LVal tap, LVal first, Tile *t) {
    LoopBuilder *b = k->b;
    LVal depth = l_i64(b, 0);
    if (!s->packs) depth = l_add(b, l_mul(b, tap, kernel_dim(k, s->channels)), first);
    LVal start = l_offset(b, s->panels, l_mul(b, depth, l_i64(b, PANEL)));
    for (uint32_t j = 0; j < t->panels; j++) t->panel[j] = l_offset(b, start, l_mul(b, s->panel_stride, l_i64(b, j)));
    t->w = s->packs ? s->compute : s->w->dtype;
}

/* ---- the epilogue --------------------------------------------------------------------------------------------------------- */

static LVal anchor_value(Kernel *k, Val v, const Dim *at) {
    const Blocks *s = k->state;
    if (v.id != s->anchor.id) return (LVal){0};
    /* Views lead back to the same place, perhaps spelt in another way. */
    for (uint32_t i = 0; i < s->y->rank; i++)
        if (prove(k->cx, k->scope, REL_EQ, at[i], s->value_at[i]) == NO)
            BUG(k->cx, "a tiled contraction is read at '%s', expected '%s'", dim_string(k->cx, at[i]), dim_string(k->cx, s->value_at[i]));
    return l_round(k->b, s->value, s->y->dtype);
}

/* Every result at the sixteen columns of value_at. */
static void store_results(Kernel *k, Blocks *s) {
    const Graph *g = k->body;
    uint32_t memo = k->memo.n;
    for (uint32_t r = 0; r < g->results.n; r++) {
        Val v = g->results.at[r];
        const TypeInfo *t = val_type(g, v);
        Dim at[MAX_RANK];
        if (!kernel_forward(k, s->anchor, v, s->value_at, at)) BUG(k->cx, "result %u of a tiled contraction is out of reach", r);
        kernel_store(k, k->outputs[r], t->dtype, access_offset(k->cx, t->dims, at, t->rank), kernel_eval(k, v, at));
    }
    k->memo.n = memo;
}

static void store_panel(Kernel *k, Blocks *s, Dim column, LVal value, LVal mask) {
    Fact inside[] = {{REL_LT, column, s->columns}};
    KernelScope scope;
    kernel_enter(k, &scope, inside, 1);
    k->lanes = LANES, k->mask = mask;
    s->value = value;
    s->value_at[s->y->rank - 1] = column;
    store_results(k, s);
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
    for (uint32_t j = 0; j < gr->panels; j++) {
        Dim first = dim_muli(cx, dim_addi(cx, s->panel, j), PANEL), column = dim_add(cx, first, dim_symbol(cx, k->lane));
        LVal left = kernel_dim(k, kernel_simplify(k, dim_sub(cx, s->columns, first))), mask = {0}, at = l_i64(b, (int64_t)j * PANEL);
        bool full = gr->kind == COLUMNS_FULL || (gr->kind == COLUMNS_TAIL && j + 1 < gr->panels);
        LIf some = {0};
        if (gr->kind == COLUMNS_DYNAMIC) some = l_if(b, l_lt(b, l_i64(b, 0), left));
        if (!full) mask = l_inst(b, LOP_lane_mask, lt_vector(DT_bool, LANES), &left, 1, 0);
        store_panel(k, s, column, acc ? acc[j] : l_load(b, sums, at, PANEL, (LVal){0}), mask);
        if (gr->kind != COLUMNS_DYNAMIC) continue;
        l_else(b, &some, NULL, 0);
        l_if_end(b, &some, NULL, 0, NULL);
    }
    kernel_leave(k, &scope);
}

/* Rows [first, end), whose sums start at `sums`. */
static void store_rows(Kernel *k, Blocks *s, const Group *gr, LVal first, LVal end, LVal sums) {
    KernelLoop loop;
    LoopBuilder *b = k->b;
    Dim row = kernel_loop(k, &loop, first, end, s->rows, 1, NULL, 0);
    LVal at = l_mul(b, l_sub(b, kernel_dim(k, row), first), l_i64(b, (int64_t)gr->panels * PANEL));
    store_row(k, s, gr, row, l_offset(b, sums, at), NULL);
    kernel_loop_end(k, &loop, NULL, 0);
}

/* ---- tiles of rows ---------------------------------------------------------------------------------------------------------- */

typedef struct Rows {            /* of the task's block */
    LVal begin, end;             /* tiles */
    LVal size, larger;           /* rows of a tile; the first `larger` tiles of all have one more */
} Rows;

static LVal tile_start(Kernel *k, const Rows *r, LVal tile) {
    return l_add(k->b, l_mul(k->b, tile, r->size), l_min(k->b, tile, r->larger));
}

static Rows block_rows(Kernel *k, const Blocks *s, Dim block) {
    LoopBuilder *b = k->b;
    LVal rows = kernel_dim(k, s->rows), tiles = kernel_dim(k, tiles_of(k, s)), blocks = kernel_dim(k, row_blocks(k, s));
    LVal each = l_bin(b, LOP_div, tiles, blocks), more = l_bin(b, LOP_rem, tiles, blocks), i = kernel_dim(k, block);
    Rows r = {.size = l_bin(b, LOP_div, rows, tiles), .larger = l_bin(b, LOP_rem, rows, tiles)};
    r.begin = l_add(b, l_mul(b, i, each), l_min(b, i, more));
    r.end = l_add(b, r.begin, l_add(b, each, l_convert(b, l_lt(b, i, more), DT_i64)));
    return r;
}

/* Bit n: some tile may have n rows, over all extents that the scope allows. */
static uint32_t reachable_rows(Kernel *k, const Blocks *s) {
    int64_t low, high, m = s->tile_m;
    dim_range(k->cx, k->scope, s->rows, &low, &high);
    uint32_t sizes = 0;
    int64_t most = m * (m + 1); /* from there on the sizes repeat: m - 1 and m */
    for (int64_t rows = low < 1 ? 1 : low > most ? most : low; rows <= high && (rows <= most || sizes == 0); rows++) {
        int64_t tiles = (rows + m - 1) / m;
        sizes |= 1u << (rows / tiles);
        if (rows % tiles) sizes |= 1u << (rows / tiles + 1);
    }
    int64_t exact;
    if (high > most && !dim_const_value(k->cx, s->rows, &exact)) sizes |= 1u << m | (m > 1 ? 1u << (m - 1) : 0);
    if (dim_const_value(k->cx, s->rows, &exact) && exact > 0) {
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
} TileRun;

/* The results straight from the accumulators. */
static void store_tile(Kernel *k, const TileRun *t, uint32_t rows, const LVal *acc) {
    for (uint32_t i = 0; i < rows; i++) {
        KernelScope scope;
        kernel_enter(k, &scope, NULL, 0);
        Dim row = kernel_index(k, l_add(k->b, t->first, l_i64(k->b, i)));
        store_row(k, t->s, t->group, row, (LVal){0}, acc + i * t->group->panels);
        kernel_leave(k, &scope);
    }
}

static void run_tile(Kernel *k, const TileRun *t, uint32_t rows, bool finish) {
    Blocks *s = t->s;
    LVal acc[MAX_TILE_ROWS * MAX_TILE_PANELS];
    uint32_t panels = t->group->panels;
    for (uint32_t i = 0; i < rows * panels; i++) acc[i] = blocks_zero(k, s);
    KernelScope scope;
    kernel_enter(k, &scope, NULL, 0);
    s->accumulate(k, s, t->part, t->first, rows, t->group, acc);
    kernel_leave(k, &scope);
    if (finish) store_tile(k, t, rows, acc);
    for (uint32_t i = 0; i < rows * panels && !finish; i++) {
        LVal at = l_i64(k->b, (int64_t)i * PANEL);
        if (!s->whole) acc[i] = l_add(k->b, l_load(k->b, t->sums, at, PANEL, (LVal){0}), acc[i]);
        l_store(k->b, t->sums, at, acc[i], (LVal){0});
    }
}

/* if (size == a) … else if (size == b) … over the sizes in the set. */
static void choose_rows(Kernel *k, const TileRun *t, LVal size, uint32_t sizes, bool finish) {
    if (!sizes) return;
    uint32_t rows = 31 - (uint32_t)__builtin_clz(sizes), rest = sizes & ~(1u << rows);
    if (!rest) {
        run_tile(k, t, rows, finish);
        return;
    }
    LIf branch = l_if(k->b, l_bin(k->b, LOP_eq, size, l_i64(k->b, rows)));
    run_tile(k, t, rows, finish);
    l_else(k->b, &branch, NULL, 0);
    choose_rows(k, t, size, rest, finish);
    l_if_end(k->b, &branch, NULL, 0, NULL);
}

/* An epilogue short enough to be written out for every accumulator. */
static bool short_epilogue(const Graph *g, Val anchor) {
    uint32_t cost = 0;
    for (uint32_t i = anchor.id + 1; i < g->nodes.n; i++) cost += op_info[g->nodes.at[i].op].cost;
    return cost <= 6 && g->results.n <= 2;
}

static void run_tiles(Kernel *k, Blocks *s, const Part *part, const Group *gr, const Rows *r, LVal sums) {
    LoopBuilder *b = k->b;
    LVal tile, base = tile_start(k, r, r->begin);
    LFor loop = l_for(b, r->begin, r->end, 1, LOOP_SERIAL, NULL, 0, &tile);
    TileRun t = {.s = s, .part = part, .group = gr, .first = tile_start(k, r, tile), .sums = sums};
    LVal end = tile_start(k, r, l_add(b, tile, l_i64(b, 1))), size = l_sub(b, end, t.first);
    if (!s->whole) t.sums = l_offset(b, sums, l_mul(b, l_sub(b, t.first, base), l_i64(b, (int64_t)gr->panels * PANEL)));
    uint32_t sizes = reachable_rows(k, s), often = 1u << s->tile_m;
    int64_t rows;
    if (dim_const_value(k->cx, s->rows, &rows)) often = sizes;
    if (!s->whole || gr->kind == COLUMNS_DYNAMIC || !short_epilogue(k->body, s->anchor)) often = 0;
    often &= sizes;
    if (often != sizes) {
        LIf branch = {0};
        if (often) {
            branch = l_if(b, l_bin(b, LOP_eq, size, l_i64(b, s->tile_m)));
            choose_rows(k, &t, size, often, true);
            l_else(b, &branch, NULL, 0);
        }
        choose_rows(k, &t, size, sizes & ~often, false);
        if (s->whole) store_rows(k, s, gr, t.first, end, sums);
        if (often) l_if_end(b, &branch, NULL, 0, NULL);
    } else {
        choose_rows(k, &t, size, often, true);
    }
    l_for_end(b, &loop, NULL, 0);
}

/* ---- parts of K --------------------------------------------------------------------------------------------------------------- */

static void run_part(Kernel *k, Blocks *s, const Part *part, const Group *gr, const Rows *r, LVal sums) {
    if (s->packs) blocks_pack(k, s, part, gr);
    run_tiles(k, s, part, gr, r, sums);
}

/* Part number i: a whole number of taps, or channels of one tap. */
static Part part_at(Kernel *k, const Blocks *s, LVal i) {
    LoopBuilder *b = k->b;
    LVal taps = kernel_dim(k, s->taps), channels = kernel_dim(k, s->channels), one = l_i64(b, 1), chunk = l_i64(b, s->chunk);
    int64_t known = 0;
    if (dim_const_value(k->cx, s->channels, &known) && known <= s->chunk) {
        LVal group = l_i64(b, s->chunk / (known ? known : 1)), tap = l_mul(b, i, group);
        return (Part){tap, l_min(b, taps, l_add(b, tap, group)), l_i64(b, 0), channels};
    }
    LVal per = kernel_dim(k, dim_cdiv(k->cx, s->channels, dim_const(k->cx, s->chunk))), tap = l_bin(b, LOP_div, i, per);
    LVal first = l_mul(b, l_bin(b, LOP_rem, i, per), chunk);
    if (dim_is(k->cx, s->taps, 1)) tap = l_i64(b, 0), first = l_mul(b, i, chunk);
    return (Part){tap, l_add(b, tap, one), first, l_min(b, chunk, l_sub(b, channels, first))};
}

static Dim part_count(Kernel *k, const Blocks *s) {
    Context *cx = k->cx;
    int64_t known = 0;
    if (dim_const_value(cx, s->channels, &known) && known <= s->chunk)
        return dim_cdiv(cx, s->taps, dim_const(cx, s->chunk / (known ? known : 1)));
    return dim_mul(cx, s->taps, dim_cdiv(cx, s->channels, dim_const(cx, s->chunk)));
}

static void run_parts(Kernel *k, Blocks *s, const Group *gr, const Rows *r) {
    LoopBuilder *b = k->b;
    LVal zero = l_i64(b, 0), at, i;
    if (s->whole) {
        Part part = {zero, kernel_dim(k, s->taps), zero, kernel_dim(k, s->channels)};
        run_part(k, s, &part, gr, r, l_alloc(b, s->compute, (int64_t)s->tile_m * s->tile_n * PANEL));
        return;
    }
    LVal sums = scratch_at(k, 0, s->compute), first = tile_start(k, r, r->begin), end = tile_start(k, r, r->end);
    LVal elements = l_mul(b, l_sub(b, end, first), l_i64(b, (int64_t)gr->panels * PANEL));
    LFor clear = l_for(b, zero, elements, PANEL, LOOP_SERIAL, NULL, 0, &at);
    l_store(b, sums, at, blocks_zero(k, s), (LVal){0});
    l_for_end(b, &clear, NULL, 0);
    LFor parts = l_for(b, zero, kernel_dim(k, part_count(k, s)), 1, LOOP_SERIAL, NULL, 0, &i);
    Part part = part_at(k, s, i);
    run_part(k, s, &part, gr, r, sums);
    l_for_end(b, &parts, NULL, 0);
    store_rows(k, s, gr, first, end, sums);
}

/* ---- tasks ---------------------------------------------------------------------------------------------------------------------- */

static void run_group(Kernel *k, Blocks *s, const Group *gr, Dim block, Dim column) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    s->panel = dim_muli(cx, column, s->tile_n);
    /* Where all columns are there, the prover may know it. */
    Dim end = dim_muli(cx, dim_addi(cx, s->panel, gr->panels), PANEL);
    Fact inside[] = {{REL_LE, end, s->columns}};
    KernelScope scope;
    kernel_enter(k, &scope, inside, gr->kind == COLUMNS_FULL);
    if (s->packs) {
        s->panels = scratch_at(k, sums_bytes(s), s->compute);
        s->panel_stride = l_i64(b, pack_depth(k, s) * PANEL);
    } else {
        s->panel_stride = kernel_dim(k, dim_muli(cx, dim_mul(cx, s->taps, s->channels), PANEL));
        LVal w = k->pointers[attr_int(node(k->body, s->node->in[1]), ATTR_index)];
        s->panels = l_offset(b, w, l_mul(b, kernel_dim(k, s->panel), s->panel_stride));
    }
    Rows r = block_rows(k, s, block);
    run_parts(k, s, gr, &r);
    kernel_leave(k, &scope);
}

static void run_task(Kernel *k, Blocks *s, Dim block, Dim column) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    int64_t columns;
    if (!dim_const_value(cx, s->columns, &columns)) {
        run_group(k, s, &(Group){s->tile_n, COLUMNS_DYNAMIC}, block, column);
        return;
    }
    int64_t width = (int64_t)s->tile_n * PANEL, full = columns / width, rest = columns - full * width;
    Group all = {s->tile_n, COLUMNS_FULL}, tail = {(uint32_t)((rest + PANEL - 1) / PANEL), rest % PANEL ? COLUMNS_TAIL : COLUMNS_FULL};
    if (!rest || !full) {
        run_group(k, s, full ? &all : &tail, block, column);
        return;
    }
    LIf branch = l_if(b, l_lt(b, kernel_dim(k, column), l_i64(b, full)));
    run_group(k, s, &all, block, column);
    l_else(b, &branch, NULL, 0);
    run_group(k, s, &tail, block, dim_const(cx, full));
    l_if_end(b, &branch, NULL, 0, NULL);
}

void blocks_lower(Kernel *k, Blocks *s, LVal lo, LVal hi) {
    Context *cx = k->cx;
    k->state = s;
    k->anchor = anchor_value;
    k->lane = lane_symbol(cx, LANES);
    KernelLoop loop;
    KernelScope scope;
    Dim dims[] = {dim_product(cx, s->y->dims, s->batch), row_blocks(k, s), column_blocks(k, s)}, at[3];
    Fact facts[3 + MAX_RANK];
    Dim p = kernel_loop(k, &loop, lo, hi, blocks_range(k, s), 1, NULL, 0);
    uint32_t skip = s->batch == 0, n = 3 - skip;
    kernel_split(k, p, dims + skip, n, at + skip, facts);
    if (s->batch) kernel_split(k, at[0], s->y->dims, s->batch, s->at, facts + n);
    kernel_enter(k, &scope, facts, n + s->batch);
    run_task(k, s, at[1], at[2]);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
}
