/* blocks.c: the loops around the register tile: tasks and parts of K; tiles of rows and the epilogue are in sums.c.
 *
 * A task is a batch element, a block of rows and a block of column groups, each as many panels as a tile is wide.  For each
 * part of K, for each group (packing w where it is no constant), all row tiles of the block run; sums of parts gather in
 * scratch until the last part's tiles give them to the epilogue.  So a part of x lies in cache, and w streams past it.  Where
 * K is one pass, a tile goes over all parts, and keeps their sum in registers.
 * Source: docs/cpu.md sections 1, 3 and "Second machine".
 */
#include "tile.h"

enum { MAX_BLOCK_TILES = 1 << 16, MAX_BLOCK_GROUPS = 1 << 10 };

static const Node *find_anchor(const Graph *g, Val *anchor) {
    for (uint32_t i = 1; i < g->nodes.n; i++)
        if (op_info[g->nodes.at[i].op].kind == KIND_CONTRACT) {
            *anchor = (Val){i};
            return &g->nodes.at[i];
        }
    diag_fatal(g->cx, "schedule: a tiled template without a contraction");
}

Blocks blocks_of(Kernel *k) {
    Val anchor;
    bool conv = find_anchor(k->body, &anchor)->op == OP_conv;
    int64_t its = k->schedule->field[SCHED_template_];
    if (its != TEMPLATE_matrix && conv != (its == TEMPLATE_convolution))
        diag_fatal(k->cx, "schedule: template and contraction do not fit each other");
    return blocks_at(k, anchor);
}

/* Rows of a line that no tile leaves; or none.  Template pooled cuts strips by itself: so, where tiles divide a line. */
static Dim uncrossed_line(Kernel *k, const TypeInfo *y) {
    const int64_t *field = k->schedule->field;
    if (!field[SCHED_lines]) return (Dim){0};
    Dim width = y->dims[y->rank - 2];
    if (field[SCHED_template_] == TEMPLATE_convolution) return width;
    bool divides = prove(k->cx, k->scope, REL_DIVIDES, dim_const(k->cx, field[SCHED_tile_m]), width) == YES;
    return field[SCHED_template_] == TEMPLATE_pooled && divides ? width : (Dim){0};
}

Blocks blocks_at(Kernel *k, Val anchor) {
    Context *cx = k->cx;
    Blocks s = {.anchor = anchor, .node = node(k->body, anchor)};
    s.y = type_info(cx, s.node->type), s.x = val_type(k->body, s.node->in[0]), s.w = val_type(k->body, s.node->in[1]);
    s.compute = loop_compute_dtype(s.y->dtype);
    bool conv = s.node->op == OP_conv;
    s.batch = conv ? 0 : (uint32_t)attr_int(s.node, ATTR_batch);
    s.rows = dim_product(cx, s.y->dims + s.batch, s.y->rank - s.batch - 1);
    s.pieces = contract_pieces(k->body, anchor), s.columns = s.y->dims[s.y->rank - 1];
    s.units = blocks_units(k, &s);
    s.taps = conv ? dim_product(cx, s.w->dims, s.w->rank - 2) : dim_const(cx, 1);
    s.channels = s.w->dims[s.w->rank - 2];
    s.runs = conv && s.w->encoding == ENCODING_PAIR16 && pair_axis(cx, s.w->rank, s.w->dims) == s.w->rank - 3;
    if (s.runs) s.channels = s.w->dims[s.w->rank - 3], s.taps = dim_product(cx, s.w->dims, s.w->rank - 3);
    s.chunk = attr_int(s.node, ATTR_chunk);
    s.whole = prove(cx, k->scope, REL_LE, dim_mul(cx, s.taps, s.channels), dim_const(cx, s.chunk)) == YES;
    s.packs = s.w->encoding == ENCODING_DENSE, s.pairs = s.w->dtype == DT_bf16 && (k->fma || !s.packs);
    s.deep = s.pairs ? 2 : (uint32_t)encoding_rows(s.w->encoding);
    bool lies = conv ? val_op(k->body, s.node->in[1]) == OP_param : k->schedule->field[SCHED_place] && blocks_lie(k, &s);
    s.in_place = s.packs && !s.pairs && lies;
    if (conv && s.packs && !lies) diag_fatal(cx, "schedule: the filters of a convolution are neither packed nor in memory");
    if (s.in_place) s.packs = false;
    s.chained = !s.whole && !s.packs && !k->schedule->field[SCHED_block_k];
    s.together = s.w->encoding == ENCODING_DENSE ? 1 : (uint32_t)(encoding_columns(s.w->encoding) / PANEL);
    if (conv) s.width = uncrossed_line(k, s.y);
    blocks_sizes(k, &s);
    return s;
}

uint32_t blocks_wide(const Blocks *s) { return s->pieces * s->units > s->tile_n ? s->pieces * s->units : s->tile_n; }

void blocks_sizes(Kernel *k, Blocks *s) {
    Context *cx = k->cx;
    int64_t m = k->schedule->field[SCHED_tile_m], n = k->schedule->field[SCHED_tile_n], all;
    bool matrix = k->schedule->field[SCHED_template_] == TEMPLATE_matrix;
    if (matrix) m = 2 * TILE_SIDE, n = 2;
    else if (m < 1 || m > MAX_TILE_ROWS || n < 1 || n > MAX_TILE_PANELS)
        diag_fatal(cx, "schedule: a register tile of %lld x %lld panels, at most %d x %d are possible", (long long)m,
                   (long long)n, MAX_TILE_ROWS, MAX_TILE_PANELS);
    s->tile_m = (uint32_t)m, s->tile_n = (uint32_t)n;
    if (s->together > 1 && s->together % s->tile_n)
        diag_fatal(cx, "schedule: tiles of %u panels of a constant in which %u lie together", s->tile_n, s->together);
    if (blocks_wide(s) % s->tile_n || blocks_wide(s) % s->pieces)
        diag_fatal(cx, "schedule: tiles of %u panels where results are made of %u", s->tile_n, s->pieces);
    int64_t tiles = k->schedule->field[SCHED_block_m] / m;
    if (dim_const_value(cx, blocks_tiles(k, s), &all) && tiles > all) tiles = all;
    int64_t groups = k->schedule->field[SCHED_block_n] / (blocks_wide(s) * PANEL);
    s->block_groups = groups < 1 ? 1 : groups > MAX_BLOCK_GROUPS ? MAX_BLOCK_GROUPS : (uint32_t)groups;
    s->block_tiles = tiles < 1 ? 1 : tiles > MAX_BLOCK_TILES ? MAX_BLOCK_TILES : (uint32_t)tiles;
}

Dim blocks_cut(const Blocks *s) { return s->width.id ? s->width : s->rows; }

Dim blocks_tiles(Kernel *k, const Blocks *s) {
    Dim each = dim_cdiv(k->cx, blocks_cut(s), dim_const(k->cx, s->tile_m));
    return s->width.id ? dim_mul(k->cx, each, dim_product(k->cx, s->y->dims, s->y->rank - 2)) : each;
}

Dim blocks_count(Kernel *k, const Blocks *s) { return dim_cdiv(k->cx, blocks_tiles(k, s), dim_const(k->cx, s->block_tiles)); }
/* K is one pass: sums need no memory. */
static bool one_pass(const Blocks *s) { return s->whole || s->chained; }

/* ---- scratch: sums of parts, then panels of w ------------------------------------------------------------------------- */

static int64_t sums_bytes(const Blocks *s) {
    if (one_pass(s)) return 0;
    return (int64_t)s->block_groups * s->block_tiles * s->tile_m * blocks_wide(s) * PANEL * dtype_bytes(s->compute);
}

/* Vectors of a panel packed while running. */
static int64_t pack_depth(Kernel *k, const Blocks *s) {
    int64_t channels, depth = s->chunk;
    if (dim_const_value(k->cx, s->channels, &channels) && channels < depth) depth = channels;
    if (s->pairs) depth = (depth + 1) / 2;
    return depth < 1 ? 1 : depth; /* even without depth there is a place to point at */
}

Dim blocks_scratch(Kernel *k, const Blocks *s) {
    int64_t bytes = sums_bytes(s);
    if (s->packs) bytes += pack_depth(k, s) * s->tile_n * PANEL * dtype_bytes(s->compute);
    return dim_const(k->cx, (bytes + 63) & ~INT64_C(63));
}

static LVal scratch_at(Kernel *k, int64_t bytes, DType dtype) {
    LVal at = l_offset(k->b, k->scratch, l_i64(k->b, bytes));
    return l_inst(k->b, LOP_recast, lt_pointer(dtype), &at, 1, 0);
}

DType blocks_packed(const Blocks *s) { return s->pairs ? DT_u32 : s->compute; }

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

bool blocks_where(Kernel *k, Val x, const Dim *at, Val *base, Dim *offset) {
    SourceWalk walk = {.g = k->body};
    Access access = {k->body, k->scope, source_read, source_stop, &walk, 0, NULL};
    if (!access_walk(&access, x, at) || !walk.ok) return false;
    *base = walk.base, *offset = kernel_simplify(k, walk.offset);
    return true;
}

Source blocks_source(Kernel *k, Val x, const Dim *at) {
    Scalar splat;
    Source s = {0};
    if (val_splat(k->body, x, &splat)) return (Source){.same = kernel_eval(k, x, at), .offset = dim_const(k->cx, 0)};
    if (!blocks_where(k, x, at, &s.base, &s.offset))
        diag_fatal(k->cx, "schedule: an operand of a tiled contraction is no view of a buffer");
    s.pointer = k->pointers[attr_int(node(k->body, s.base), ATTR_index)];
    return s;
}

void blocks_row(Kernel *k, const Blocks *s, Dim row, Dim *at) {
    for (uint32_t i = 0; i < s->batch; i++) at[i] = s->at[i];
    for (uint32_t i = s->y->rank - 1; i-- > s->batch;) {
        bool first = i == s->batch;
        at[i] = first ? row : kernel_simplify(k, dim_mod(k->cx, row, s->y->dims[i]));
        if (!first) row = kernel_simplify(k, dim_fdiv(k->cx, row, s->y->dims[i]));
    }
}

Dim blocks_vectors(Kernel *k, const Blocks *s) {
    return s->deep > 1 ? dim_cdiv(k->cx, s->channels, dim_const(k->cx, s->deep)) : s->channels;
}

LVal blocks_vectors_of(Kernel *k, const Blocks *s, LVal depth) {
    LoopBuilder *b = k->b;
    return s->deep > 1 ? l_bin(b, LOP_div, l_add(b, depth, l_i64(b, s->deep - 1)), l_i64(b, s->deep)) : depth;
}

static LVal panel_elements(Kernel *k, const Blocks *s) {
    return kernel_dim(k, dim_muli(k->cx, dim_mul(k->cx, s->taps, blocks_vectors(k, s)), PANEL));
}

/* Where a panel of a constant begins: the first one of a tile. */
static LVal panel_start(Kernel *k, const Blocks *s, Dim number) {
    LoopBuilder *b = k->b;
    LVal panel = kernel_dim(k, number), all = panel_elements(k, s), together = l_i64(b, s->together);
    if (s->tile_n % s->together == 0) return l_mul(b, panel, all);
    LVal beside = l_bin(b, LOP_rem, panel, together);
    return l_add(b, l_mul(b, l_sub(b, panel, beside), all), l_mul(b, beside, l_i64(b, PANEL)));
}

LVal blocks_aside(Kernel *k, const Blocks *s, Dim tile) {
    Dim there = dim_add(k->cx, s->panel, dim_muli(k->cx, tile, s->tile_n));
    return l_sub(k->b, panel_start(k, s, there), panel_start(k, s, s->panel));
}

/* From one group of a constant's panels to the next. */
static LVal group_elements(Kernel *k, const Blocks *s) {
    return s->packs ? l_i64(k->b, 0) : l_mul(k->b, panel_elements(k, s), l_i64(k->b, blocks_wide(s)));
}

/* The vector of a panel at which channel `first` of the tap begins. */
static LVal vector_at(Kernel *k, const Blocks *s, LVal tap, LVal first) {
    return l_add(k->b, l_mul(k->b, tap, kernel_dim(k, blocks_vectors(k, s))), blocks_vectors_of(k, s, first));
}

void blocks_panels(Kernel *k, const Blocks *s, LVal tap, LVal first, Tile *t) {
    LoopBuilder *b = k->b;
    LVal depth = l_i64(b, 0);
    if (!s->packs) depth = vector_at(k, s, tap, first);
    LVal start = l_offset(b, s->panels, l_mul(b, depth, s->in_place ? s->down : l_i64(b, (int64_t)s->together * PANEL)));
    if (s->aside.id) start = l_offset(b, start, s->aside);
    if (s->in_place) t->step = s->down;
    if (s->together > 1) t->step = l_i64(b, (int64_t)s->together * PANEL);
    for (uint32_t j = 0; j < t->panels; j++) t->panel[j] = l_offset(b, start, l_mul(b, s->panel_stride, l_i64(b, j)));
    t->w = s->packs ? s->compute : s->w->dtype, t->deep = s->deep;
    t->ahead = s->ahead, t->beside = s->beside_at, t->besides = s->besides;
}

bool blocks_half(Kernel *k, const Blocks *s, const Group *gr) {
    enum { MOST_ROWS = 8 /* registers are left for what two rows share */, MANY = 128 /* columns: half a panel is little */ };
    int64_t columns;
    if (k->schedule->field[SCHED_template_] == TEMPLATE_attention) return false; /* scores are padded with zeros */
    if (gr->kind != COLUMNS_TAIL || s->tile_m > MOST_ROWS || !dim_const_value(k->cx, s->columns, &columns)) return false;
    bool chains = gr->panels > 1 || s->tile_n == 1; /* enough of them are left */
    return chains && columns > PANEL && columns <= MANY && columns % PANEL > 0 && columns % PANEL <= PANEL / 2;
}

/* ---- groups of columns ------------------------------------------------------------------------------------------------- */

/* One part of K for one group of columns, and its place in the task: what comes next is fetched meanwhile. */
typedef struct Unit {
    Part part;
    const Dim *task;             /* batch element and block of rows */
    LVal sums;                   /* of the group's rows */
    LVal last;                   /* bool: the part is the last */
} Unit;

static void run_unit(Kernel *k, Blocks *s, const Group *gr, const Unit *u) {
    LoopBuilder *b = k->b;
    Rows r = s->strip ? *s->strip : share_rows(k, s, u->task, gr->panels);
    Sums to = {.at = u->sums, .pitch = l_i64(b, (int64_t)gr->panels * PANEL), .add = true, .last = u->last};
    LIf some = {0};
    if (s->packs) {
        some = l_if(b, l_lt(b, r.begin, r.end));
        blocks_pack(k, s, &u->part, gr);
    }
    if (s->group) s->group(k, s, gr, &r, u->sums);
    else if (one_pass(s)) blocks_finish_tiles(k, s, &u->part, gr, &r, u->sums);
    else blocks_sum_tiles(k, s, &u->part, gr, &r, &to);
    if (s->packs) l_else(b, &some, NULL, 0), l_if_end(b, &some, NULL, 0, NULL);
}

/* Pointer to the first row of an operand that is read where it lies; a convolution's filters are a whole buffer. */
static LVal columns_in_place(Kernel *k, Blocks *s) {
    if (s->node->op == OP_conv) {
        s->down = kernel_dim(k, s->columns);
        return k->pointers[attr_int(node(k->body, s->node->in[1]), ATTR_index)];
    }
    Lines lines;
    REQUIRE(k->cx, blocks_lines(k, s, &lines));
    s->down = kernel_dim(k, lines.down);
    return l_offset(k->b, lines.pointer, kernel_dim(k, lines.start));
}

static void enter_group(Kernel *k, Blocks *s, const Group *gr, Dim column, const Unit *u) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    s->panel = dim_muli(cx, column, blocks_wide(s));
    /* Where all columns are there, the prover may know it. */
    Dim end = dim_muli(cx, dim_addi(cx, s->panel, gr->panels), PANEL);
    Fact inside[] = {{REL_LE, end, s->columns}};
    KernelScope scope;
    kernel_enter(k, &scope, inside, gr->kind == COLUMNS_FULL);
    if (s->packs) {
        s->panels = scratch_at(k, sums_bytes(s), blocks_packed(s));
        s->panel_stride = l_i64(b, pack_depth(k, s) * PANEL);
    } else if (s->in_place) {
        LVal along = l_mul(b, kernel_dim(k, s->panel), l_i64(b, PANEL));
        s->panels = l_offset(b, columns_in_place(k, s), along), s->panel_stride = l_i64(b, PANEL), s->next = (LVal){0};
    } else {
        LVal w = k->pointers[attr_int(node(k->body, s->node->in[1]), ATTR_index)];
        if (s->deep > 1) w = l_inst(b, LOP_recast, lt_pointer(DT_u32), &w, 1, 0);
        s->panels = l_offset(b, w, panel_start(k, s, s->panel));
        s->panel_stride = s->together > 1 ? l_i64(b, PANEL) : panel_elements(k, s);
    }
    run_unit(k, s, gr, u);
    kernel_leave(k, &scope);
}

static void run_group(Kernel *k, Blocks *s, Dim column, const Unit *u) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    int64_t columns;
    if (!dim_const_value(cx, s->columns, &columns)) {
        enter_group(k, s, &(Group){blocks_wide(s), COLUMNS_DYNAMIC}, column, u);
        return;
    }
    int64_t width = (int64_t)blocks_wide(s) * PANEL, full = columns / width, rest = columns - full * width;
    Group all = {blocks_wide(s), COLUMNS_FULL},
          tail = {(uint32_t)((rest + PANEL - 1) / PANEL), rest % PANEL ? COLUMNS_TAIL : COLUMNS_FULL};
    if (!rest || !full) {
        enter_group(k, s, full ? &all : &tail, column, u);
        return;
    }
    LIf branch = l_if(b, l_lt(b, kernel_dim(k, column), l_i64(b, full)));
    enter_group(k, s, &all, column, u);
    l_else(b, &branch, NULL, 0);
    enter_group(k, s, &tail, dim_const(cx, full), u);
    l_if_end(b, &branch, NULL, 0, NULL);
}

/* ---- parts of K --------------------------------------------------------------------------------------------------------- */

Part blocks_part(Kernel *k, const Blocks *s, LVal i) {
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

Dim blocks_parts(Kernel *k, const Blocks *s) {
    Context *cx = k->cx;
    int64_t known = 0;
    if (dim_const_value(cx, s->channels, &known) && known <= s->chunk)
        return dim_cdiv(cx, s->taps, dim_const(cx, s->chunk / (known ? known : 1)));
    return dim_mul(cx, s->taps, dim_cdiv(cx, s->channels, dim_const(cx, s->chunk)));
}

/* Parts of K outermost: one part of x stays in cache while the groups' panels stream through it. */
static void run_parts(Kernel *k, Blocks *s, const Dim *task, Dim all, Dim column, LVal groups) {
    LoopBuilder *b = k->b;
    Rows r = s->strip ? *s->strip : blocks_rows(k, s, task[1]);
    LVal zero = l_i64(b, 0), one = l_i64(b, 1), at, i;
    LVal rows = l_sub(b, rows_start(k, &r, r.end), rows_start(k, &r, r.begin));
    LVal sums = scratch_at(k, 0, s->compute), each = l_mul(b, rows, l_i64(b, (int64_t)blocks_wide(s) * PANEL));
    LFor clear = l_for(b, zero, l_mul(b, groups, each), PANEL, LOOP_SERIAL, NULL, 0, &at);
    l_store(b, sums, at, blocks_zero(k, s), (LVal){0});
    l_for_end(b, &clear, NULL, 0);
    LVal n = kernel_dim(k, blocks_parts(k, s)), group = group_elements(k, s);
    LFor parts = l_for(b, zero, n, 1, LOOP_SERIAL, NULL, 0, &i);
    LVal following = l_add(b, i, one);
    Unit u = {blocks_part(k, s, i), task, sums, l_bin(b, LOP_eq, following, n)};
    Part next = blocks_part(k, s, following);
    LVal start = l_mul(b, vector_at(k, s, u.part.tap, u.part.first), l_i64(b, PANEL));
    LVal from = l_mul(b, vector_at(k, s, next.tap, next.first), l_i64(b, PANEL));
    /* After the last group comes the first one's next part, or the next task. */
    LVal back = l_sub(b, l_sub(b, from, start), l_mul(b, l_sub(b, groups, one), group)), on = l_sub(b, group, start);
    LVal turn = l_select(b, u.last, on, back);
    KernelLoop loop;
    Dim g = kernel_loop(k, &loop, zero, groups, dim_sub(k->cx, all, column), 1, NULL, 0);
    LVal number = kernel_dim(k, g);
    u.sums = l_offset(b, sums, l_mul(b, number, each));
    s->next = l_select(b, l_lt(b, l_add(b, number, one), groups), group, turn);
    run_group(k, s, dim_add(k->cx, column, g), &u);
    kernel_loop_end(k, &loop, NULL, 0);
    l_for_end(b, &parts, NULL, 0);
}

/* ---- tasks -------------------------------------------------------------------------------------------------------------- */

/* All of K is one part. */
static void run_whole(Kernel *k, Blocks *s, const Dim *task, Dim column) {
    LoopBuilder *b = k->b;
    LVal zero = l_i64(b, 0);
    Unit u = {{zero, kernel_dim(k, s->taps), zero, kernel_dim(k, s->channels)}, task, {0}, {0}};
    u.sums = l_alloc(b, s->compute, (int64_t)s->tile_m * blocks_wide(s) * PANEL);
    run_group(k, s, column, &u);
}

/* The same in a loop whose every second step takes the groups backwards: `turned` is number `column` counted from the end. */
static void run_turning(Kernel *k, Blocks *s, const Dim *task, Dim column, LVal turned) {
    LoopBuilder *b = k->b;
    KernelScope scope, inner;
    LVal zero = l_i64(b, 0), back = l_bin(b, LOP_ne, l_bin(b, LOP_and, k->step, l_i64(b, 1)), zero);
    kernel_enter(k, &scope, NULL, 0);
    Dim there = kernel_index(k, l_select(b, back, turned, kernel_dim(k, column)));
    Dim start = dim_muli(k->cx, there, (int64_t)blocks_wide(s) * PANEL);
    Fact facts[] = {{REL_LE, dim_const(k->cx, 0), there}, {REL_LT, start, s->columns}};
    kernel_enter(k, &inner, facts, 2);
    if (s->next.id) s->next = l_select(b, back, l_sub(b, zero, s->next), s->next);
    run_whole(k, s, task, there);
    kernel_leave(k, &inner);
    kernel_leave(k, &scope);
}

/* Groups [first, end) of `all` in a block of rows. */
static void run_block(Kernel *k, Blocks *s, const Dim *task, Dim all, LVal first, LVal end) {
    LoopBuilder *b = k->b;
    KernelLoop loop;
    if (s->begin) s->begin(k, s, task);
    Dim column = kernel_loop(k, &loop, first, end, all, one_pass(s) ? 1 : s->block_groups, NULL, 0);
    if (one_pass(s)) {
        if (!s->strip) s->next = group_elements(k, s);
        LVal last = l_sub(b, end, l_i64(b, 1));
        if (k->step.id) run_turning(k, s, task, column, l_sub(b, l_add(b, first, last), kernel_dim(k, column)));
        else run_whole(k, s, task, column);
    } else {
        run_parts(k, s, task, all, column, l_min(b, l_i64(b, s->block_groups), l_sub(b, end, kernel_dim(k, column))));
    }
    kernel_loop_end(k, &loop, NULL, 0);
}

void blocks_strip(Kernel *k, Blocks *s, const Rows *rows) {
    Dim tasks[3];
    k->state = s, k->anchor = blocks_anchor, k->lane = lane_symbol(k->cx, LANES);
    s->strip = rows;
    share_tasks(k, s, tasks);
    run_block(k, s, NULL, tasks[2], l_i64(k->b, 0), kernel_dim(k, tasks[2]));
}

void blocks_lower(Kernel *k, Blocks *s, LVal lo, LVal hi) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    k->state = s;
    k->anchor = blocks_anchor;
    k->lane = lane_symbol(cx, s->units * LANES);
    KernelLoop loop;
    KernelScope scope;
    Dim dims[3], at[2];
    share_tasks(k, s, dims);
    s->lo = lo, s->hi = hi;
    Fact facts[2 + MAX_RANK];
    LVal zero = l_i64(b, 0), one = l_i64(b, 1), groups = kernel_dim(k, dims[2]);
    LVal ends[2];
    share_ends(k, s, ends);
    LVal first = ends[0], end = ends[1];
    LVal row = l_bin(b, LOP_div, first, groups), rows = l_bin(b, LOP_div, l_add(b, end, l_sub(b, groups, one)), groups);
    Dim p = kernel_loop(k, &loop, row, rows, dim_mul(cx, dims[0], dims[1]), 1, NULL, 0);
    LVal before = l_mul(b, kernel_dim(k, p), groups);
    uint32_t skip = s->batch == 0, n = 2 - skip;
    kernel_split(k, p, dims + skip, n, at + skip, facts);
    if (s->batch) kernel_split(k, at[0], s->y->dims, s->batch, s->at, facts + n);
    kernel_enter(k, &scope, facts, n + s->batch);
    run_block(k, s, at, dims[2], l_bin(b, LOP_max, zero, l_sub(b, first, before)), l_min(b, groups, l_sub(b, end, before)));
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
}
