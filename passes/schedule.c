/* schedule.c: pass `schedule`: every kernel's template and numbers, in closed form from the target and the types.
 *
 * The result is data on the node, printed with it: one schedule where it is the same for all tiers, else one for each;
 * --schedule overrides fields.  No number here changes a bit of a result: orders of summation are attributes of the ops.
 * Source: docs/cpu.md sections 1 and 8 (register tiles, cache blocks), measured there.
 */
#include "passes.h"
#include <string.h>

enum {
    TASK_WORK = 1 << 18 /* of body_work that is worth a thread: about 1.5 us */,
    STEP_WORK = 1 << 16 /* the same in a loop, whose threads wait for the next launch awake, each with its part in its cache */,
    WORTH_KEEPING = 8 /* elementary operations, against a store and a load */,
    BLOCK_COLUMNS = 256 /* whose sums are kept while a part of x lies in cache */,
    LONG_LINE = 32 /* pixels: most tiles of it are whole, wherever its width comes from */,
    PACKED_COLUMNS = 64 /* the same, of an operand that is packed while running */,
    PLACED_ROWS = 96 /* so few do not pay for packing what they multiply */,
    PANEL = 16
};

/* What numbers are chosen for: the body of a kernel, its anchor (NULL: pointwise throughout), one tier. */
typedef struct Choice {
    Context *cx;
    const Graph *body;
    const Node *anchor;
    const Target *target;
    bool steps;                  /* it is a kernel of a loop's body */
} Choice;

static int64_t divide_up(int64_t a, int64_t b) { return a / b + (a % b != 0); }

static Template body_template(const Graph *body, const Node **anchor) {
    Template t = TEMPLATE_map;
    *anchor = NULL;
    for (uint32_t i = 1; i < body->nodes.n; i++) {
        const Node *n = &body->nodes.at[i];
        OpKind kind = op_info[n->op].kind;
        if (kind != KIND_REDUCE && kind != KIND_CONTRACT && kind != KIND_ANCHOR) continue;
        Template its = anchor_template(body, n);
        /* The scores' own contraction stands before the attend that it belongs to. */
        bool follows = t == TEMPLATE_grouped && its == TEMPLATE_convolution;
        if (!*anchor || its == TEMPLATE_attention || follows) *anchor = n, t = follows ? TEMPLATE_separable : its;
        else if (t == TEMPLATE_convolution && node_attr(n, ATTR_window)) t = TEMPLATE_pooled; /* the convolution's numbers */
    }
    return t;
}

/* ---- rows: what is worth keeping between passes ------------------------------------------------------------------------- */

/* Bit p of passes[i]: node i is evaluated over the row in pass p (one per reduction, then one for all full results). */
static void mark_pass(const Graph *g, Val v, uint64_t bit, uint64_t *passes) {
    if (passes[v.id] & bit) return;
    passes[v.id] |= bit;
    if (op_info[val_op(g, v)].kind == KIND_REDUCE) return;
    for (uint32_t i = 0; i < node(g, v)->n_in; i++) mark_pass(g, val_in(g, v, i), bit, passes);
}

/* Nodes worth keeping: least: their cost. */
static int64_t staged_nodes(Context *cx, const Graph *g, const Node *anchor, int64_t least) {
    uint64_t *passes = arena_new_array(g->arena, uint64_t, g->nodes.n), bit = 1;
    const TypeInfo *full = val_type(g, anchor->in[0]);
    for (uint32_t i = 1; i < g->nodes.n && bit < UINT64_C(1) << 62; i++)
        if (op_info[g->nodes.at[i].op].kind == KIND_REDUCE) mark_pass(g, g->nodes.at[i].in[0], bit, passes), bit <<= 1;
    for (uint32_t i = 0; i < g->results.n; i++) mark_pass(g, g->results.at[i], bit, passes);
    int64_t stage = 0;
    int64_t *cost = arena_new_array(g->arena, int64_t, g->nodes.n);
    for (uint32_t i = 1; i < g->nodes.n && i < 63; i++) {
        const Node *n = &g->nodes.at[i];
        const TypeInfo *t = type_info(cx, n->type);
        OpKind kind = op_info[n->op].kind;
        if (kind == KIND_REDUCE) continue;
        bool whole = t->rank == full->rank && type_elements(cx, n->type).id == dim_product(cx, full->dims, full->rank).id;
        if (!whole) continue; /* one value a row costs nothing */
        for (uint32_t o = 0; o < n->n_in; o++)
            if (!(n->in[o].id < 63 && stage >> n->in[o].id & 1)) cost[i] += cost[n->in[o].id];
        cost[i] += op_info[n->op].cost;
        bool several = passes[i] & (passes[i] - 1);
        if (several && cost[i] >= least && (kind == KIND_EW || kind == KIND_INDEXED)) stage |= INT64_C(1) << i;
    }
    return stage;
}

/* Short rows are taken sixteen at a time, which the first cache holds; loops over those of a few vectors are written out. */
static void short_rows(const Choice *c, Schedule *s) {
    enum { VECTORS = 8, COST = 512 /* of straight code */ };
    Context *cx = c->cx;
    const Graph *body = c->body;
    const TypeInfo *full = val_type(body, c->anchor->in[0]);
    uint32_t outer = (uint32_t)reduces_rows(body, c->anchor);
    Dim inner = dim_product(cx, full->dims + outer, full->rank - outer);
    int64_t extent = dim_hint(cx, inner), vectors = divide_up(extent, PANEL), cost = 0;
    for (uint32_t i = 1; i < body->nodes.n; i++) cost += op_info[body->nodes.at[i].op].cost;
    s->field[SCHED_tile_m] = extent * PANEL * 4 <= c->target->l1_bytes ? PANEL : 1;
    if (dim_const_value(cx, inner, &extent) && vectors <= VECTORS && vectors * cost <= COST) s->field[SCHED_vectors] = vectors;
}

int64_t schedule_stageable(Context *cx, const Graph *body) {
    const Node *anchor;
    return body_template(body, &anchor) == TEMPLATE_row ? staged_nodes(cx, body, anchor, 0) : 0;
}

/* ---- contractions -------------------------------------------------------------------------------------------------------- */

/* A panel's row is one register, of 32. */
static bool wide_registers(const Target *t, DType compute) {
    return t->vector_registers >= 32 && PANEL * dtype_bytes(compute) <= t->vector_bytes;
}

/* Register tile of rows x panels: as many accumulators as leave room for the panels and a broadcast.  Four panels share each
 * broadcast where registers allow; few rows are one tile, so that the weights are read once, up to 24 two tiles of two panels:
 * with four panels they are three or four, and what comes from memory is read from the second cache as often.
 * halves: panels and broadcasts are pairs of bf16 that take two registers each, as f32, or bytes that do, as i16. */
static void tile(Schedule *s, const Target *t, DType compute, bool halves, int64_t rows, int64_t columns, int64_t widest) {
    int64_t each = PANEL * dtype_bytes(compute) / t->vector_bytes, room = t->vector_registers - 1; /* registers a panel takes */
    if (each < 1) each = 1;
    int64_t panels = each >= 2 ? 1 : 4, needed = (columns + PANEL - 1) / PANEL;
    if (t->vector_registers >= 32 && each == 2) panels = 2;
    if (each == 2 && rows > 0 && rows <= 2 && !halves) panels = rows == 1 ? 4 : 2; /* chains enough */
    if (panels > widest) panels = widest;
    if (needed > 0 && panels > needed) panels = needed;
    while (panels > 1 && rows > 6 && rows <= 14 && (rows + 1) * panels * each > room) panels--;
    if (each == 1 && panels > 2 && rows > 14 && rows <= 24) panels = 2;
    int64_t most = halves ? (room - 1) / (panels * each) - 2 : room / (panels * each) - 1;
    if (most > 14) most = 14;
    if (rows <= 0 && panels == 1 && most > 8)
        most = 8; /* eight chains keep the units busy; any number of rows is code of its own */
    s->field[SCHED_tile_n] = panels;
    s->field[SCHED_tile_m] = most < 1 ? 1 : rows > 0 && rows < most ? rows : most;
}

static int64_t pieces_of(const Graph *body, const Node *anchor) {
    return contract_pieces(body, (Val){(uint32_t)(anchor - body->nodes.at)});
}

/* Columns that are combined lie in one tile, or fill several. */
static bool holds_pieces(const Graph *body, const Node *anchor, int64_t panels) {
    int64_t pieces = pieces_of(body, anchor);
    return pieces % panels == 0 || panels % pieces == 0;
}

/* Some result is the contraction's with its columns elsewhere: stored along the rows of a tile, which is better longer than
 * wide.  plane: the elements from one column to the next. */
static bool crosses_rows(const Graph *body, const Node *anchor, Dim *plane) {
    uint32_t rank = type_info(body->cx, anchor->type)->rank, axes;
    for (uint32_t i = 0; i < body->results.n; i++) {
        const Node *n = node(body, body->results.at[i]);
        const int64_t *perm = n->op == OP_permute ? attr_ints(n, ATTR_perm, &axes) : NULL;
        if (!perm || axes != rank || perm[rank - 1] == (int64_t)rank - 1) continue;
        uint32_t at = 0;
        while (perm[at] != (int64_t)rank - 1) at++;
        *plane = dim_product(body->cx, type_info(body->cx, n->type)->dims + at + 1, rank - at - 1);
        return true;
    }
    return false;
}

/* Columns that lie a multiple of a page apart meet in few places of the first cache, and a line that two tiles write is gone
 * when the second one comes.  Where sums are short enough for that to matter, a tile is one panel whose rows fill lines (1x1,
 * 16 channels to 96 of 128x128: 0.69 -> 0.30 ms). */
static bool fills_lines(const Choice *c, DType compute, Dim plane) {
    enum { PAGE = 4096, SHORT = 256 };
    return wide_registers(c->target, compute) && dim_hint(c->cx, contract_depth(c->body, c->anchor)) <= SHORT &&
           prove(c->cx, NULL, REL_DIVIDES, dim_const(c->cx, PAGE / dtype_bytes(compute)), plane) == YES;
}

/* A tile of pixels in one line of the image needs one pointer and few checks: rows that divide the line, with room for two k of
 * the panels beside the accumulators, which the constant distances let the compiler overlap.  Narrow registers have no such
 * room. */
static bool line_tile(Schedule *s, const Target *t, DType compute, int64_t width, int64_t columns, int64_t widest) {
    int64_t needed = divide_up(columns, PANEL), least = needed == 1 ? 8 : 14; /* accumulators that are worth it */
    if (!wide_registers(t, compute)) return false;
    for (int64_t panels = needed < widest ? needed : widest; panels > 0; panels--) {
        if (needed % panels) continue;
        for (int64_t rows = 16; rows * panels >= least; rows--)
            if (width % rows == 0 && rows * panels + 2 * panels + 2 <= t->vector_registers) {
                s->field[SCHED_tile_n] = panels, s->field[SCHED_tile_m] = rows;
                return true;
            }
    }
    return false;
}

/* The same where nothing divides the line, or its width is unknown (0) but long: its tiles differ by at most one row. */
static void cut_line(Schedule *s, const Target *t, DType compute, int64_t width, int64_t columns, int64_t widest) {
    int64_t needed = divide_up(columns, PANEL), best = needed == 1 ? 7 : 13;
    if (!wide_registers(t, compute)) return;
    for (int64_t panels = needed < widest ? needed : widest; panels > 0; panels--) {
        int64_t most = (t->vector_registers - 2) / panels - 2, rows = most < 16 ? most : 16, few = rows;
        if (needed % panels || rows < 1) continue;
        if (width > 0) few = width / divide_up(width, rows), rows = divide_up(width, divide_up(width, rows));
        if (few * panels <= best) continue;
        best = few * panels;
        s->field[SCHED_tile_n] = panels, s->field[SCHED_tile_m] = rows, s->field[SCHED_lines] = 1;
    }
}

/* Constant extent, or 0. */
static int64_t known(Context *cx, Dim d) {
    int64_t value = 0;
    return dim_const_value(cx, d, &value) ? value : 0;
}

/* A tile keeps the sum of K's parts beside that of the one at hand: few columns, where the panel lies in cache, or registers
 * for both.  A dot's tile may as well lay it aside between two parts. */
static bool chains(const Choice *c, const Schedule *s) {
    if (c->anchor->op == OP_dot) return true;
    int64_t each = PANEL * 4 / c->target->vector_bytes, panels = s->field[SCHED_tile_n];
    if (each < 1) each = 1;
    const TypeInfo *y = type_info(c->cx, c->anchor->type);
    int64_t columns = known(c->cx, y->dims[y->rank - 1]);
    int64_t needed = (2 * s->field[SCHED_tile_m] * panels + panels) * each + 1;
    return (columns > 0 && columns <= PANEL) || needed <= c->target->vector_registers;
}

/* Vectors of each piece that are combined at a time: long chains of arithmetic overlap where registers hold several, and an
 * even number of groups remains.  Those of a row or two overlap with the next group's products. */
static int64_t together(const Choice *c, int64_t pieces) {
    enum { FEW_ROWS = 2 };
    const TypeInfo *y = type_info(c->cx, c->anchor->type);
    int64_t rows = known(c->cx, dim_product(c->cx, y->dims, y->rank - 1)), columns = known(c->cx, y->dims[y->rank - 1]);
    int64_t units = wide_registers(c->target, y->dtype) && (rows < 1 || rows > FEW_ROWS) ? 4 : 1;
    while (units > 1 && columns % (2 * units * pieces * PANEL)) units /= 2;
    return units;
}

/* Every step of a loop reads a constant that the second cache hardly holds: what it still holds of the last step comes first
 * (4 MB where the cache has 1: 0.83 of the time, 1 MB 0.87). */
static bool turns(const Choice *c, const TypeInfo *w) {
    int64_t bytes = sat_mul(dim_hint(c->cx, dim_product(c->cx, w->dims, w->rank)), dtype_bytes(w->dtype));
    return w->encoding != ENCODING_DENSE && bytes > c->target->l2_bytes / 2;
}

/* A block of rows and, where K comes in parts, of columns: x's part of K, the sums and two groups of panels (the one at work
 * and the one being fetched) fill most of the cache.  Threads share the tiles of a block (codegen/lower/share.c). */
static void blocks(const Choice *c, Schedule *s) {
    Context *cx = c->cx;
    const Target *t = c->target;
    const Graph *body = c->body;
    const Node *anchor = c->anchor;
    const TypeInfo *y = type_info(cx, anchor->type), *w = val_type(body, anchor->in[1]);
    uint32_t batch = contract_batch(anchor);
    int64_t chunk = attr_int(anchor, ATTR_chunk), tile_m = s->field[SCHED_tile_m], wide = pieces_of(body, anchor);
    if (wide > 1) s->field[SCHED_vectors] = together(c, wide), wide *= s->field[SCHED_vectors];
    int64_t width = PANEL * (wide > s->field[SCHED_tile_n] ? wide : s->field[SCHED_tile_n]);
    int64_t rows = dim_hint(cx, dim_product(cx, y->dims + batch, y->rank - batch - 1));
    int64_t depth = dim_hint(cx, contract_depth(body, anchor)), part = depth < chunk ? depth : chunk;
    bool packs = w->encoding == ENCODING_DENSE && !s->field[SCHED_place];
    bool chained = depth > chunk && !packs && chains(c, s), parts = depth > chunk && !chained;
    /* All of K stays with a block: where that leaves it few rows, the panels would be read again and again.  Pages lie
     * anywhere: some places of the cache are taken more often than others, and the rest of it is for that. */
    int64_t least = rows > 0 && rows < 32 ? rows : 32;
    if (chained && t->l2_bytes / 8 * 5 < sat_mul(depth, 4 * (2 * width + least))) chained = false, parts = true;
    if (chained) part = depth;
    int64_t bytes = (part < 128 ? 128 : part) * dtype_bytes(w->dtype); /* of a row of x, and of a column */
    /* x stays there, and panels that nothing fetches ahead (sums.c, as few rows) are best read in order. */
    bool streams = rows <= STREAMED_ROWS && sat_mul(sat_mul(rows, depth), 4) <= t->l2_bytes / 4;
    int64_t most = packs ? PACKED_COLUMNS : BLOCK_COLUMNS; /* what is packed takes a place in the cache as well */
    int64_t columns = parts && !streams && width <= most ? most / width * width : width, sums = parts ? 4 * columns : 0;
    int64_t block = (t->l2_bytes / 8 * 7 - 2 * bytes * width) / (bytes + sums);
    /* A run-time operand is packed again for every block of rows. */
    if (packs && block < 512) block = 512;
    s->field[SCHED_turn] = c->steps && !packs && !parts && turns(c, w);
    s->field[SCHED_block_k] = chained ? 0 : chunk;
    s->field[SCHED_block_m] = block < tile_m ? tile_m : block / tile_m * tile_m;
    s->field[SCHED_block_n] = columns;
}

/* A tile's columns lie in one group of channels, and in one panel of 64. */
static bool panels_fit(Context *cx, const Graph *body, const Node *anchor, int64_t panels) {
    const TypeInfo *y = type_info(cx, anchor->type);
    int64_t groups = node_attr(anchor, ATTR_groups) ? attr_int(anchor, ATTR_groups) : 1;
    if (groups > 1 && known(cx, y->dims[y->rank - 1]) / groups % (panels * PANEL) != 0) return false;
    Encoding encoding = val_type(body, anchor->in[1])->encoding;
    if (!holds_pieces(body, anchor, panels)) return false;
    return encoding != ENCODING_PANEL64 || encoding_columns(encoding) % (panels * PANEL) == 0;
}

bool schedule_panels_fit(Context *cx, const Graph *body, int64_t panels) {
    const Node *anchor;
    Template t = body_template(body, &anchor);
    if (t == TEMPLATE_winograd) return divide_up(known(cx, type_info(cx, anchor->type)->dims[3]), PANEL) % panels == 0;
    bool tiles = t == TEMPLATE_convolution || t == TEMPLATE_contraction || t == TEMPLATE_separable || t == TEMPLATE_pooled;
    return !tiles || panels_fit(cx, body, anchor, panels);
}

/* Few rows of a contraction multiply a run-time operand that nothing is fused to, whose columns are a memory's last axis; and
 * a convolution's filters, if they are no constant. */
static bool reads_in_place(const Choice *c) {
    const Graph *body = c->body;
    Val w = c->anchor->in[1];
    uint32_t batch = contract_batch(c->anchor);
    const TypeInfo *y = type_info(c->cx, c->anchor->type), *t = val_type(body, w);
    int64_t rows = dim_hint(c->cx, dim_product(c->cx, y->dims + batch, y->rank - batch - 1));
    if (c->anchor->op == OP_conv) return t->encoding == ENCODING_DENSE;
    if (c->anchor->op != OP_dot || t->encoding != ENCODING_DENSE || t->dtype == DT_bf16 || rows > PLACED_ROWS) return false;
    while (op_info[val_op(body, w)].kind == KIND_VIEW) w = val_in(body, w, 0);
    const TypeInfo *memory = val_type(body, w);
    return val_op(body, w) == OP_param && dim_same(memory->dims[memory->rank - 1], t->dims[t->rank - 1]);
}

/* Where at most eight columns are left for the last panel, two rows share its register (tile.c), if the tile leaves some: eight
 * rows (1x1 of 16 channels to 24, 112x112: 251 -> 182 us). */
static void share_last_panel(const Choice *c, Schedule *s, DType compute, int64_t columns, int64_t width) {
    enum { ROWS = 8, LEAST = 6, MANY = 128 };
    bool dense = dtype_bytes(val_dtype(c->body, c->anchor->in[1])) == 4 && wide_registers(c->target, compute);
    bool left = columns > PANEL && columns <= MANY && columns % PANEL > 0 && columns % PANEL <= PANEL / 2;
    if (!dense || !left || s->field[SCHED_tile_n] < 2 || s->field[SCHED_tile_m] <= ROWS) return;
    int64_t rows = ROWS;
    while (rows >= LEAST && width % rows != 0) rows--;
    s->field[SCHED_tile_m] = rows < LEAST ? ROWS : rows;
}

/* Panels and broadcasts that the target multiplies as two. */
static bool takes_two(const Graph *body, const Node *anchor, const Target *t) {
    DType w = val_dtype(body, anchor->in[1]);
    return (w == DT_bf16 && !t->dot_bf16) || (w == DT_i8 && !t->dot_u8);
}

static void contraction(const Choice *c, Schedule *s) {
    Context *cx = c->cx;
    const Target *t = c->target;
    const Graph *body = c->body;
    const Node *anchor = c->anchor;
    const TypeInfo *y = type_info(cx, anchor->type);
    uint32_t batch = contract_batch(anchor);
    DType compute = dtype_bytes(y->dtype) < 4 ? DT_f32 : y->dtype;
    int64_t rows = known(cx, dim_product(cx, y->dims + batch, y->rank - batch - 1));
    int64_t columns = known(cx, y->dims[y->rank - 1]),
            groups = node_attr(anchor, ATTR_groups) ? attr_int(anchor, ATTR_groups) : 1;
    bool halves = takes_two(body, anchor, t);
    Dim plane = {0};
    bool crosses = crosses_rows(body, anchor, &plane), filled = crosses && !halves && fills_lines(c, compute, plane);
    int64_t most = crosses ? 2 : 4;
    do tile(s, t, compute, halves, rows, columns / groups, most--);
    while (!holds_pieces(body, anchor, s->field[SCHED_tile_n]));
    bool taps = anchor->op == OP_conv && !dim_is(cx, dim_product(cx, val_type(body, anchor->in[1])->dims, y->rank - 2), 1);
    Dim line = y->rank > 1 ? y->dims[y->rank - 2] : dim_const(cx, 1);
    int64_t width = known(cx, line);
    bool lines = taps && !halves && (width > 0 || dim_hint(cx, line) >= LONG_LINE);
    int64_t widest = filled ? 1 : crosses ? 3 : 4;
    if (filled && (rows <= 0 || rows > PANEL)) s->field[SCHED_tile_m] = PANEL, s->field[SCHED_tile_n] = 1;
    if (lines && !(width > 0 && line_tile(s, t, compute, width, columns / groups, widest)))
        cut_line(s, t, compute, width, columns / groups, widest);
    while (!panels_fit(cx, body, anchor, s->field[SCHED_tile_n])) s->field[SCHED_tile_n]--;
    if (!crosses && groups == 1) share_last_panel(c, s, compute, columns, width);
    s->field[SCHED_place] = reads_in_place(c);
    bool few = anchor->op == OP_dot && (rows == 1 || rows == 2);
    if (s->field[SCHED_place] && few && wide_registers(t, compute)) /* long pieces are read faster */
        s->field[SCHED_tile_n] = columns > 0 && columns < 8 * PANEL ? divide_up(columns, PANEL) : 8;
    if (anchor->op == OP_conv && width > 0 && width % s->field[SCHED_tile_m] == 0) s->field[SCHED_lines] = 1;
    blocks(c, s);
}

/* Contractions that tile registers compute: with fewer rows memory is the bound, and a tile mostly empty. */
static bool fits_tiles(const Choice *c) {
    enum { MOST_SPARED = 4 };
    const Node *n = c->anchor;
    if (!c->target->tiles_bf16 || !n || op_info[n->op].kind != KIND_CONTRACT ||
        val_type(c->body, n->in[1])->encoding != ENCODING_PAIR16)
        return false;
    const TypeInfo *y = type_info(c->cx, n->type), *w = val_type(c->body, n->in[1]);
    if (n->op == OP_conv && pair_axis(c->cx, w->rank, w->dims) + 2 < w->rank) return false; /* pairs of taps */
    if ((node_attr(n, ATTR_groups) && attr_int(n, ATTR_groups) != 1) || pieces_of(c->body, n) > 1) return false;
    for (uint32_t i = 1; i < c->body->nodes.n; i++)
        if (op_info[c->body->nodes.at[i].op].traits & FAILS) return false; /* a kernel that fails keeps the registers */
    int64_t rows = known(c->cx, dim_product(c->cx, y->dims, y->rank - 1));
    return contract_batch(n) == 0 && (rows < 1 || rows > MOST_SPARED);
}

/* A block's rows of x fill half of the cache, past which the panels stream. */
static void matrix(const Choice *c, Schedule *s) {
    enum { ROWS = 32 };
    int64_t depth = dim_hint(c->cx, contract_depth(c->body, c->anchor)),
            rows = c->target->l2_bytes / 4 / (depth < 1 ? 1 : depth);
    s->field[SCHED_block_m] = rows < ROWS ? ROWS : rows / ROWS * ROWS;
}

/* Channels of a block: few enough that the lines which the next tile of lines sees again wait in the first cache; and tiles of
 * lines of a pass: few enough that all their channels wait in the second. */
static void channel_blocks(const Choice *c, Schedule *s) {
    enum { LEAST_CHANNELS = 32, LEAST_TILES = 4 };
    Context *cx = c->cx;
    const TypeInfo *x = val_type(c->body, c->anchor->in[0]), *w = val_type(c->body, c->anchor->in[1]);
    uint32_t spatial = x->rank - 2, lines = spatial - 2;
    if (spatial < 2) return;
    int64_t stride = attr_ints(c->anchor, ATTR_stride, NULL)[lines],
            dilation = attr_ints(c->anchor, ATTR_dilation, NULL)[lines];
    int64_t width = dim_hint(cx, x->dims[spatial]), channels = known(cx, x->dims[x->rank - 1]),
            taps = known(cx, w->dims[lines]);
    if (channels < 1 || taps < 1) return;
    int64_t moved = sat_mul(s->field[SCHED_unroll], stride), seen = sat_add(moved - stride + 1, sat_mul(taps - 1, dilation));
    int64_t line = sat_mul(width < 1 ? 1 : width, dtype_bytes(x->dtype)); /* of one channel */
    int64_t block = c->target->l1_bytes / 2 / sat_mul(line, seen);
    int64_t tiles = c->target->l2_bytes / 2 / sat_mul(sat_mul(line, moved), channels);
    if (block < PANEL || block >= channels || tiles < LEAST_TILES) return;
    int64_t blocks = divide_up(channels, block < LEAST_CHANNELS ? LEAST_CHANNELS : block); /* equal ones */
    int64_t filters = known(cx, w->dims[w->rank - 1]);
    s->field[SCHED_block_n] = divide_up(divide_up(filters, blocks), PANEL) * PANEL, s->field[SCHED_block_m] = tiles;
}

/* Pixels under a tile: chains enough to keep the units busy, in registers that its weights and a line of the operand share. */
static void grouped(const Choice *c, Schedule *s) {
    Context *cx = c->cx;
    const Target *t = c->target;
    const TypeInfo *y = type_info(cx, c->anchor->type), *w = val_type(c->body, c->anchor->in[1]);
    int64_t each = PANEL * 4 / t->vector_bytes, room = t->vector_registers / 2 / (each < 1 ? 1 : each), best = 0;
    uint32_t spatial = y->rank - 2;
    bool dealt = !dim_is(cx, w->dims[spatial], 1); /* then lines share no vector that is worth its register */
    int64_t lines = !dealt && spatial > 1 && room >= 8 && known(cx, y->dims[spatial - 1]) != 1 ? 2 : 1;
    int64_t columns = known(cx, y->dims[spatial]);
    int64_t most = columns > 0 ? 8 : 4; /* every number of columns that may be left over is code of its own */
    if (room > most * lines) room = most * lines;
    for (int64_t n = room / lines; n >= (room + 1) / 2 / lines; n--) { /* the last tile as full as can be */
        int64_t tiles = divide_up(columns < 1 ? n : columns, n), waste = tiles * n - columns;
        if (best == 0 || waste * divide_up(columns, best) < (divide_up(columns, best) * best - columns) * tiles) best = n;
    }
    if (columns > 0 && best > columns) best = columns;
    s->field[SCHED_tile_m] = best < 1 ? 1 : best, s->field[SCHED_unroll] = lines;
    channel_blocks(c, s);
}

/* Both convolutions' own numbers; but tiles that fill lines, whose rows lie at constant distances in the strip, and strips
 * that leave most of the second cache to the image. */
static void separable(const Choice *c, Schedule *s) {
    Context *cx = c->cx;
    Choice first = *c;
    for (uint32_t i = 1; &c->body->nodes.at[i] != c->anchor; i++)
        if (c->body->nodes.at[i].op == OP_conv) first.anchor = &c->body->nodes.at[i];
    grouped(&first, s);
    int64_t pixels = s->field[SCHED_tile_m], lines = s->field[SCHED_unroll];
    contraction(c, s);
    const TypeInfo *x = val_type(c->body, c->anchor->in[0]), *y = type_info(cx, c->anchor->type);
    Dim width = x->dims[x->rank - 2];
    if (encoding_rows(val_type(c->body, c->anchor->in[1])->encoding) == 1 && known(cx, width))
        line_tile(s, c->target, y->dtype, known(cx, width), known(cx, y->dims[y->rank - 1]), 4);
    share_last_panel(c, s, y->dtype, known(cx, y->dims[y->rank - 1]), known(cx, width));
    int64_t tile = sat_mul(sat_mul(dim_hint(cx, width), dim_hint(cx, x->dims[x->rank - 1])), lines * dtype_bytes(x->dtype));
    int64_t strip = c->target->l2_bytes / 8 / (tile < 1 ? 1 : tile);
    s->field[SCHED_pixels] = pixels, s->field[SCHED_unroll] = lines, s->field[SCHED_block_n] = 0;
    s->field[SCHED_block_m] = strip < 1 ? 1 : strip > 64 ? 64 : strip;
}

/* The convolution's own; but a strip of lines that half of the second cache holds. */
static void pooled(const Choice *c, Schedule *s) {
    contraction(c, s);
    const TypeInfo *y = type_info(c->cx, c->anchor->type);
    int64_t rows = dim_hint(c->cx, dim_product(c->cx, y->dims + 2, y->rank - 3));
    int64_t row = sat_mul(known(c->cx, y->dims[y->rank - 1]), dtype_bytes(y->dtype));
    int64_t lines = c->target->l2_bytes / 2 / sat_mul(row < 1 ? 1 : row, rows < 1 ? 1 : rows);
    s->field[SCHED_block_m] = sat_mul(lines < 1 ? 1 : lines, rows < 1 ? 1 : rows);
}

/* Rows are tiles of the image: their transforms, and the products of a group of columns, fill most of the cache.  A group is a
 * tile wide, and all groups are whole. */
static void winograd(const Choice *c, Schedule *s) {
    const TypeInfo *y = type_info(c->cx, c->anchor->type), *u = val_type(c->body, c->anchor->in[1]);
    int64_t side = attr_int(c->anchor, ATTR_tile), panels = divide_up(known(c->cx, y->dims[3]), PANEL);
    tile(s, c->target, y->dtype, false, 0, panels * PANEL, 4);
    while (panels % s->field[SCHED_tile_n]) s->field[SCHED_tile_n]--;
    int64_t points = (side + 2) * (side + 2), tile_m = s->field[SCHED_tile_m];
    int64_t bytes = points * 4 * (known(c->cx, u->dims[2]) + PANEL * s->field[SCHED_tile_n]);
    int64_t block = c->target->l2_bytes / 8 * 7 / bytes;
    s->field[SCHED_block_m] = block < tile_m ? tile_m : block / tile_m * tile_m;
}

/* Lines under a tile share what they see; each is a chain. */
static void planes(const Choice *c, Schedule *s) {
    int64_t each = PANEL * 4 / c->target->vector_bytes, most = c->target->vector_registers / 8 / (each < 1 ? 1 : each);
    int64_t lines = known(c->cx, type_info(c->cx, c->anchor->type)->dims[1]);
    s->field[SCHED_unroll] = most < 1 ? 1 : lines > 0 && lines < most ? lines : most;
}

/* Sums of a line's vectors for all filters in registers, the blocks of a line as equal as can be; lines enough that what they
 * see beside their own is little, and waits in the second cache. */
static void few(const Choice *c, Schedule *s) {
    enum { MOST_VECTORS = 4, MOST_LINES = 8 };
    Context *cx = c->cx;
    const TypeInfo *y = type_info(cx, c->anchor->type), *w = val_type(c->body, c->anchor->in[1]);
    uint32_t spatial = y->rank - 2;
    int64_t each = PANEL * 4 / c->target->vector_bytes, filters = known(cx, w->dims[spatial + 1]), best = 1;
    int64_t most = (c->target->vector_registers - 4) / (filters * (each < 1 ? 1 : each));
    int64_t width = dim_hint(cx, y->dims[spatial]);
    if (most > MOST_VECTORS) most = MOST_VECTORS;
    for (int64_t n = 2; n <= most; n++)
        if (divide_up(width, n * PANEL) * n <= divide_up(width, best * PANEL) * best) best = n;
    const int64_t *dilation = attr_ints(c->anchor, ATTR_dilation, NULL);
    int64_t lines = spatial == 2 ? MOST_LINES : 1, seen = spatial == 2 ? (known(cx, w->dims[0]) - 1) * dilation[0] : 0;
    int64_t pixels = best * PANEL + (known(cx, w->dims[spatial - 1]) - 1) * dilation[spatial - 1];
    int64_t line = pixels * known(cx, w->dims[spatial]) * 4;
    while (lines > 1 && (lines + seen) * line > c->target->l2_bytes / 4) lines /= 2;
    s->field[SCHED_block_m] = lines, s->field[SCHED_block_n] = best * PANEL;
}

/* A task's rows share each block of keys, which is packed for them, unless that makes too few tasks; its scores and sums fit
 * in half of the cache. */
static void attention(const Choice *c, Schedule *s) {
    Context *cx = c->cx;
    const Node *anchor = c->anchor;
    const TypeInfo *y = type_info(cx, anchor->type);
    uint32_t batch = contract_batch(anchor);
    int64_t keys = attr_int(anchor, ATTR_chunk), columns = dim_hint(cx, y->dims[y->rank - 1]), rows = 256;
    int64_t all = dim_hint(cx, dim_product(cx, y->dims + batch, y->rank - batch - 1)),
            others = dim_hint(cx, dim_product(cx, y->dims, batch));
    bool halves = val_dtype(c->body, anchor->in[1]) == DT_bf16 && !c->target->dot_bf16;
    tile(s, c->target, y->dtype, halves, 0, keys, 4);
    while (rows > 64 && sat_mul(others, divide_up(all, rows)) < (rows > 128 ? 32 : 8)) rows /= 2;
    while (rows > 8 && sat_mul(rows * dtype_bytes(y->dtype), sat_add(keys, columns)) > c->target->l2_bytes / 2) rows /= 2;
    int64_t tile_m = s->field[SCHED_tile_m], block = divide_up(rows, tile_m) * tile_m;
    s->field[SCHED_block_m] = block;
}

/* ---- one pass over memory ------------------------------------------------------------------------------------------------ */

/* Bytes that pass through the caches with a result of so many: its own, and as many of each operand at most. */
static int64_t bytes_beside(const Choice *c, int64_t bytes) {
    int64_t all = bytes;
    for (uint32_t i = 0; i < c->body->params.n; i++) {
        const TypeInfo *x = val_type(c->body, c->body->params.at[i]);
        int64_t read = sat_mul(dim_hint(c->cx, dim_product(c->cx, x->dims, x->rank)), dtype_bytes(x->dtype));
        all = sat_add(all, read < bytes ? read : bytes);
    }
    return all;
}

/* Results that no cache can hold beside what they are made of are stored past the caches: a store of a line that is not there
 * reads it first.  Where only sizes tell, while running. */
static void streams(const Choice *c, Schedule *s) {
    for (uint32_t i = 0; i < c->body->results.n && i < 63; i++) {
        const TypeInfo *y = val_type(c->body, c->body->results.at[i]);
        Dim elements = dim_product(c->cx, y->dims, y->rank);
        int64_t bytes, exact;
        if (!ck_mul(dim_hint(c->cx, elements), dtype_bytes(y->dtype), &bytes)) bytes = INT64_MAX;
        int64_t beside = bytes_beside(c, bytes), least = c->target->last_bytes;
        if (beside < least) continue;
        s->field[SCHED_stream] |= INT64_C(1) << i;
        if (!dim_const_value(c->cx, elements, &exact)) s->field[SCHED_far] = bytes > 0 ? least / (beside / bytes) : least;
    }
}

/* Long chains of arithmetic on an element: eight vectors side by side (four where the last axis is cut so, or registers are
 * taken), each step of which the machine starts without looking ahead; chains one after the other fill its queues.  Narrow
 * registers have no room. */
static void pointwise(const Choice *c, Schedule *s) {
    enum { CHAIN = 20 /* elementary operations */, CROWDED_CHAIN = 24, WIDE = 128, LEAST = 4096 };
    const TypeInfo *y = val_type(c->body, c->body->results.at[0]);
    int64_t cost = 0;
    bool crowded = false;
    streams(c, s);
    if (c->anchor || c->target->vector_bytes < 64 || y->rank == 0 || dtype_bytes(y->dtype) != 4) return;
    int64_t last = dim_hint(c->cx, y->dims[y->rank - 1]);
    if (body_elements(c->cx, c->body) < LEAST || last % (WIDE / 2)) return;
    for (uint32_t i = 1; i < c->body->nodes.n; i++) {
        const OpInfo *op = &op_info[c->body->nodes.at[i].op];
        if (op->kind == KIND_INDEXED) return;
        if (op->kind == KIND_EW) cost += op->cost, crowded |= op->traits & CROWDED;
    }
    if (cost >= (crowded ? CROWDED_CHAIN : CHAIN)) s->field[SCHED_lanes] = crowded || last % WIDE ? WIDE / 2 : WIDE;
}

static void transposed(const Choice *c, Schedule *s) {
    streams(c, s);
    s->field[SCHED_axis] = crossed_axis(c->body);
}

static void rows(const Choice *c, Schedule *s) {
    streams(c, s);
    s->field[SCHED_stage] = staged_nodes(c->cx, c->body, c->anchor, WORTH_KEEPING);
    short_rows(c, s);
}

/* ---- the choice ---------------------------------------------------------------------------------------------------------- */

/* The numbers of a template beyond those that all have, `lanes` and `grain`. */
typedef void Numbers(const Choice *c, Schedule *s);
static Numbers *const numbers[TEMPLATE_COUNT] = {
    [TEMPLATE_map] = pointwise,           [TEMPLATE_transpose] = transposed, [TEMPLATE_row] = rows,
    [TEMPLATE_grouped] = grouped,         [TEMPLATE_planes] = planes,        [TEMPLATE_contraction] = contraction,
    [TEMPLATE_convolution] = contraction, [TEMPLATE_attention] = attention,  [TEMPLATE_winograd] = winograd,
    [TEMPLATE_separable] = separable,     [TEMPLATE_pooled] = pooled,        [TEMPLATE_matrix] = matrix,
    [TEMPLATE_few] = few,
};

/* Elements of the first result whose work is worth a thread. */
static int64_t grain(const Choice *c) {
    int64_t elements = body_elements(c->cx, c->body), work = body_work(c->cx, c->body);
    int64_t n = sat_mul(elements, c->steps ? STEP_WORK : TASK_WORK) / (work < 1 ? 1 : work);
    return n < 1 ? 1 : n > INT32_MAX ? INT32_MAX : n;
}

static Schedule choose(Context *cx, const Graph *body, const Target *target, bool steps) {
    Schedule s = {0};
    Choice c = {cx, body, NULL, target, steps};
    Template template_ = body_template(body, &c.anchor);
    if (!c.anchor && crossed_axis(body) >= 0) template_ = TEMPLATE_transpose;
    if (fits_tiles(&c)) template_ = TEMPLATE_matrix;
    const TypeInfo *y = val_type(body, body->results.at[0]);
    s.field[SCHED_template_] = template_;
    s.field[SCHED_lanes] = y->rank == 0 || dim_is(cx, dim_product(cx, y->dims, y->rank), 1) ? 1 : 16;
    s.field[SCHED_grain] = grain(&c);
    if (numbers[template_]) numbers[template_](&c, &s);
    for (int f = 0; f < SCHED_COUNT; f++) /* extents of billions */
        if (s.field[f] > schedule_range[f].most) s.field[f] = schedule_range[f].most;
    return s;
}

uint32_t schedule_join(const Tiers *tiers, Schedule *s) {
    bool same = true;
    for (uint32_t i = 1; i < tiers->n; i++) same &= memcmp(&s[i], &s[0], sizeof *s) == 0;
    for (uint32_t i = 0; i < tiers->n && !same; i++) s[i].field[SCHED_tier] = tiers->at[i] - targets + 1;
    return same ? 1 : tiers->n;
}

typedef struct Scheduler {
    Context *cx;
    const Tiers *tiers;
    VEC(const Graph *) steps;    /* bodies of loops, and what is in them */
} Scheduler;

static void find_steps(Scheduler *c, const Graph *g, bool inside) {
    if (inside) vec_push(c->cx->arena, &c->steps, g);
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        const Node *n = &g->nodes.at[i];
        for (uint32_t a = 0; op_info[n->op].kind == KIND_CONTROL && a < n->n_attrs; a++)
            if (attr_info[n->attrs[a].key].type == AT_GRAPH) find_steps(c, n->attrs[a].as.graph, inside || n->op == OP_scan);
    }
}

static bool is_step(const Scheduler *c, const Graph *g) {
    uint32_t i = 0;
    while (i < c->steps.n && c->steps.at[i] != g) i++;
    return i < c->steps.n;
}

static Val attach(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    (void)old_val;
    if (old->op != OP_kernel) return (Val){0};
    const Scheduler *c = rw->user;
    const Graph *body = attr_graph(old, ATTR_body);
    Schedule s[MAX_TIERS];
    for (uint32_t i = 0; i < c->tiers->n; i++) {
        Target target = tiers_target(c->tiers, i);
        s[i] = choose(c->cx, body, &target, is_step(c, rw->from));
    }
    uint32_t n = schedule_join(c->tiers, s);
    Attr attrs[] = {{.key = ATTR_body, .as.graph = body}, {.key = ATTR_schedule, .n = n, .as.schedule = s}};
    return emit(rw->to, OP_kernel, old->loc, in, old->n_in, attrs, 2);
}

Graph *pass_schedule(Context *cx, const Graph *g, const Tiers *tiers) {
    Scheduler c = {.cx = cx, .tiers = tiers};
    find_steps(&c, g, false);
    return graph_rewrite(cx, g, attach, &c, false);
}
