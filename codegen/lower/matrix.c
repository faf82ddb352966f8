/* matrix.c: template `matrix`: a contraction or convolution of bf16, its constant in pairs, on tile registers (AMX).
 *
 * A unit is 32 rows by two panels: four tiles of sums, 0 to 3, over all of K without a pause; per 32 k two tiles of x, 4 and
 * 5, and two of w, 6 and 7.  A tile of w is sixteen vectors of a panel as every tier has them (ENCODING_PAIR16).  Rows of x
 * are read where they lie if these are lines at constant distances; else (taps, views) a block of rows is copied to scratch
 * first, tap beside tap.
 * Channels of a tap are padded with zeros to 32 k, in copies of x and, where they need it, of w.  Rows that two tiles share
 * at the end of a unit come out the same twice.  The sums pass through memory to the epilogue.
 * Order law of its own, the hardware's: sums grow by 32 k of a tap at a time (tile_dot_bf16), in order.  Neither blocks of
 * rows nor threads change a bit.
 * Source: docs/cpu.md section 2 (blocking, why there is one configuration).
 */
#include "tile.h"

enum { DEPTH = 2 * TILE_SIDE /* k of a tile */, ROWS = 2 * TILE_SIDE };

typedef struct Matrix {
    Blocks s;
    int64_t taps, channels, depth; /* depth: channels of a tap, padded */
    bool in_place;               /* x[row, k] is element start + row * step + k of base */
    Val base;
    Dim start, step;
    LVal first, at, pitch;       /* of the block: its first row; pointer to that, u16; from one row to the next */
} Matrix;

static int64_t whole_depth(const Matrix *m) { return m->taps * m->depth; }

static bool pads_panels(const Matrix *m) { return m->depth != m->channels; }

/* ---- where x lies -------------------------------------------------------------------------------------------------------- */

/* A convolution that is a contraction of pixels. */
static bool is_pointwise(Kernel *k, const Matrix *m) {
    const Blocks *s = &m->s;
    if (s->node->op != OP_conv) return true;
    const int64_t *stride = attr_ints(s->node, ATTR_stride, NULL);
    for (uint32_t i = 0; i + 2 < s->x->rank; i++)
        if (stride[i] != 1 || !dim_is(k->cx, attr_dims(s->node, ATTR_low, NULL)[i], 0) ||
            !dim_same(s->x->dims[i + 1], s->y->dims[i + 1]))
            return false;
    return m->taps == 1;
}

static void find_lines(Kernel *k, Matrix *m) {
    Context *cx = k->cx;
    Blocks *s = &m->s;
    if (pads_panels(m) || !is_pointwise(k, m)) return;
    Symbol row = index_symbol(cx, MAX_INDEX - 1), channel = index_symbol(cx, MAX_INDEX - 2);
    Dim at[MAX_RANK], offset, along, rest;
    Fact facts[] = {{REL_LT, dim_symbol(cx, row), s->rows}, {REL_LT, dim_symbol(cx, channel), s->channels}};
    Scope scope = {k->scope, facts, 2};
    Kernel probe = *k;
    probe.scope = &scope;
    blocks_row(&probe, s, dim_symbol(cx, row), at);
    at[s->x->rank - 1] = dim_symbol(cx, channel);
    m->in_place = blocks_where(&probe, s->node->in[0], at, &m->base, &offset) &&
                  dim_affine(cx, offset, channel, &along, &rest) && dim_is(cx, along, 1) &&
                  dim_affine(cx, rest, row, &m->step, &m->start);
}

static Matrix matrix_of(Kernel *k) {
    Matrix m = {.s = blocks_of(k)};
    Blocks *s = &m.s;
    bool known = s->batch == 0 && s->pairs && !s->packs && dim_const_value(k->cx, s->taps, &m.taps) &&
                 dim_const_value(k->cx, s->channels, &m.channels);
    if (!known || (s->node->op == OP_conv && attr_int(s->node, ATTR_groups) != 1))
        diag_fatal(k->cx, "schedule: template matrix takes contractions of one group with a constant in pairs of bf16");
    m.depth = (m.channels + DEPTH - 1) / DEPTH * DEPTH;
    s->whole = true, s->chained = false;
    find_lines(k, &m);
    return m;
}

/* Fewer rows than a tile has cannot be read in place: there may be nothing behind them. */
static Truth too_few(Kernel *k, const Matrix *m) {
    return prove(k->cx, k->scope, REL_LT, m->s.rows, dim_const(k->cx, TILE_SIDE));
}

static int64_t rows_bytes(Kernel *k, const Matrix *m) {
    bool copies = !m->in_place || too_few(k, m) != NO;
    return copies ? (int64_t)m->s.block_tiles * ROWS * whole_depth(m) * 2 : 0;
}

/* ---- rows of x to scratch ----------------------------------------------------------------------------------------------- */

typedef struct Copy { Matrix *m; Dim at[MAX_RANK]; LVal to; } Copy; /* to: pointer to the tap's first channel */

static void copy_channels(Kernel *k, void *user, Dim channel, LVal *carried) {
    Copy *c = user;
    LoopBuilder *b = k->b;
    const Blocks *s = &c->m->s;
    (void)carried;
    c->at[s->x->rank - 1] = channel;
    LVal value = l_splat(b, kernel_eval(k, s->node->in[0], c->at), LANES);
    Dim first = dim_sub(k->cx, channel, dim_symbol(k->cx, k->lane));
    l_store(b, c->to, kernel_dim(k, kernel_simplify(k, first)), l_encode(b, value, DT_bf16), k->mask);
}

static void clear(Kernel *k, LVal to, LVal begin, LVal end) {
    LVal at;
    LFor loop = l_for(k->b, begin, end, LANES, LOOP_SERIAL, NULL, 0, &at);
    l_store(k->b, to, at, l_int(k->b, lt_vector((DType)loop_type(k->b, to).dtype, LANES), 0), (LVal){0});
    l_for_end(k->b, &loop, NULL, 0);
}

static void copy_inside(Kernel *k, Copy *c) {
    Matrix *m = c->m;
    LoopBuilder *b = k->b;
    if (pads_panels(m)) clear(k, c->to, l_i64(b, m->depth - DEPTH), l_i64(b, m->depth));
    kernel_vector_loop(k, m->s.channels, LANES, NULL, 0, copy_channels, c);
}

/* The pixel under a tap, or zeros where that lies outside of the image. */
static void copy_tap(Kernel *k, Copy *c, const Dim *y, Dim tap, LVal row) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    const Blocks *s = &c->m->s;
    uint32_t spatial = s->x->rank - 2;
    Dim place[MAX_RANK];
    Fact facts[MAX_RANK], inside[2 * MAX_RANK];
    KernelScope taps, scope;
    kernel_enter(k, &taps, NULL, 0);
    kernel_split(k, tap, s->w->dims, spatial, place, facts);
    c->to = l_offset(b, row, l_mul(b, kernel_dim(k, tap), l_i64(b, c->m->depth)));
    c->at[0] = y[0];
    LVal ok = l_bool(b, true);
    for (uint32_t i = 0; i < spatial; i++) {
        int64_t stride = attr_ints(s->node, ATTR_stride, NULL)[i], dilation = attr_ints(s->node, ATTR_dilation, NULL)[i];
        Dim at = dim_sub(cx, dim_muli(cx, y[i + 1], stride), attr_dims(s->node, ATTR_low, NULL)[i]);
        c->at[i + 1] = at = dim_add(cx, at, dim_muli(cx, place[i], dilation));
        inside[2 * i] = (Fact){REL_LE, dim_const(cx, 0), at}, inside[2 * i + 1] = (Fact){REL_LT, at, s->x->dims[i + 1]};
        ok = l_bin(b, LOP_and, ok, l_bin(b, LOP_and, kernel_fact(k, inside[2 * i]), kernel_fact(k, inside[2 * i + 1])));
    }
    LIf branch = l_if(b, ok);
    kernel_enter(k, &scope, inside, 2 * spatial);
    copy_inside(k, c);
    kernel_leave(k, &scope);
    l_else(b, &branch, NULL, 0);
    clear(k, c->to, l_i64(b, 0), l_i64(b, c->m->depth));
    l_if_end(b, &branch, NULL, 0, NULL);
    kernel_leave(k, &taps);
}

static void copy_row(Kernel *k, Matrix *m, Dim row, LVal to) {
    Copy c = {.m = m, .to = to};
    Dim at[MAX_RANK];
    blocks_row(k, &m->s, row, at);
    if (m->s.node->op == OP_conv) {
        KernelLoop loop;
        Dim tap = kernel_loop(k, &loop, l_i64(k->b, 0), l_i64(k->b, m->taps), m->s.taps, 1, NULL, 0);
        copy_tap(k, &c, at, tap, to);
        kernel_loop_end(k, &loop, NULL, 0);
        return;
    }
    for (uint32_t i = 0; i + 1 < m->s.x->rank; i++) c.at[i] = at[i];
    copy_inside(k, &c);
}

/* Rows [first, end), and zeros up to a whole tile. */
static void copy_rows(Kernel *k, Matrix *m, LVal first, LVal end, LVal to) {
    LoopBuilder *b = k->b;
    LVal pitch = l_i64(b, whole_depth(m));
    KernelLoop loop;
    Dim row = kernel_loop(k, &loop, first, end, m->s.rows, 1, NULL, 0);
    copy_row(k, m, row, l_offset(b, to, l_mul(b, l_sub(b, kernel_dim(k, row), first), pitch)));
    kernel_loop_end(k, &loop, NULL, 0);
    if (too_few(k, m) != NO) clear(k, to, l_mul(b, l_sub(b, end, first), pitch), l_mul(b, l_i64(b, TILE_SIDE), pitch));
}

static void begin_block(Kernel *k, Blocks *s, const Dim *task) {
    Matrix *m = s->state;
    LoopBuilder *b = k->b;
    Rows r = blocks_rows(k, s, task[1]);
    LVal end = rows_start(k, &r, r.end), few = {0}, at = {0}, pitch = l_i64(b, whole_depth(m));
    Truth known = too_few(k, m);
    m->first = rows_start(k, &r, r.begin);
    if (m->in_place) {
        LVal step = kernel_dim(k, m->step), start = l_add(b, kernel_dim(k, m->start), l_mul(b, m->first, step));
        m->at = l_offset(b, k->pointers[attr_int(node(k->body, m->base), ATTR_index)], start), m->pitch = step;
        if (known == NO) return;
        few = l_lt(b, kernel_dim(k, s->rows), l_i64(b, TILE_SIDE));
    }
    LIf branch = {0};
    at = l_inst(b, LOP_recast, lt_pointer(DT_u16), &k->scratch, 1, 0);
    if (few.id) branch = l_if(b, few);
    copy_rows(k, m, m->first, end, at);
    if (few.id) l_else(b, &branch, NULL, 0), l_if_end(b, &branch, NULL, 0, NULL);
    m->at = few.id ? l_select(b, few, at, m->at) : at, m->pitch = few.id ? l_select(b, few, pitch, m->pitch) : pitch;
}

/* ---- units -------------------------------------------------------------------------------------------------------------- */

/* The group's panels, with 32 k for each 32 or less of a tap. */
static void padded_panels(Kernel *k, Matrix *m, const Group *gr, LVal *panel) {
    LoopBuilder *b = k->b;
    int64_t vectors = (m->channels + 1) / 2, padded = m->depth / 2;
    LVal bytes = l_offset(b, k->scratch, l_i64(b, rows_bytes(k, m))),
         all = l_inst(b, LOP_recast, lt_pointer(DT_u32), &bytes, 1, 0);
    for (uint32_t j = 0; j < gr->panels; j++) {
        LVal tap, v, to = l_offset(b, all, l_i64(b, j * m->taps * padded * PANEL));
        LFor taps = l_for(b, l_i64(b, 0), l_i64(b, m->taps), 1, LOOP_SERIAL, NULL, 0, &tap);
        LVal from = l_offset(b, panel[j], l_mul(b, tap, l_i64(b, vectors * PANEL)));
        LVal here = l_offset(b, to, l_mul(b, tap, l_i64(b, padded * PANEL)));
        LFor loop = l_for(b, l_i64(b, 0), l_i64(b, vectors * PANEL), PANEL, LOOP_SERIAL, NULL, 0, &v);
        l_store(b, here, v, l_load(b, from, v, PANEL, (LVal){0}), (LVal){0});
        l_for_end(b, &loop, NULL, 0);
        clear(k, here, l_i64(b, vectors * PANEL), l_i64(b, padded * PANEL));
        l_for_end(b, &taps, NULL, 0);
        panel[j] = to;
    }
}

/* Sums of 16 rows from `row[0]` on, and of 16 from row[1] on where there are two, to the places sums[]. */
static void products(Kernel *k, const Matrix *m, const Group *gr, const LVal *row, uint32_t rows, const LVal *panel,
                     const LVal *sums) {
    LoopBuilder *b = k->b;
    LVal at, zero = l_i64(b, 0), pitch = l_i64(b, (int64_t)gr->panels * PANEL);
    for (uint32_t c = 0; c < 2 * rows; c++)
        if (c % 2 < gr->panels) l_tile(b, LOP_tile_zero, &(int64_t){c}, 1);
    LFor loop = l_for(b, zero, l_i64(b, whole_depth(m)), DEPTH, LOOP_SERIAL, NULL, 0, &at);
    LVal vector = l_mul(b, at, l_i64(b, PANEL / 2));
    for (uint32_t i = 0; i < rows; i++) {
        l_tile_move(b, LOP_tile_load, 4 + i, row[i], at, m->pitch);
        for (uint32_t j = 0; j < gr->panels; j++) {
            if (i == 0) l_tile_move(b, LOP_tile_load, 6 + j, panel[j], vector, l_i64(b, PANEL));
            l_tile(b, LOP_tile_dot_bf16, (int64_t[]){2 * i + j, 4 + i, 6 + j}, 3);
        }
    }
    l_for_end(b, &loop, NULL, 0);
    for (uint32_t c = 0; c < 2 * rows; c++)
        if (c % 2 < gr->panels) l_tile_move(b, LOP_tile_store, c, sums[c / 2], l_i64(b, (int64_t)(c % 2) * PANEL), pitch);
}

/* Whether units have more than one tile of rows: all of them, none, or as it comes. */
static Truth two_tiles(Kernel *k, const Matrix *m) {
    int64_t rows;
    if (!dim_const_value(k->cx, m->s.rows, &rows) || rows < 1) return UNKNOWN;
    int64_t tiles = (rows + ROWS - 1) / ROWS, size = rows / tiles, larger = size + (rows % tiles != 0);
    return size > TILE_SIDE ? YES : larger <= TILE_SIDE ? NO : UNKNOWN;
}

static void run_group(Kernel *k, Blocks *s, const Group *gr, const Rows *r, LVal sums) {
    Matrix *m = s->state;
    LoopBuilder *b = k->b;
    LVal panel[2], tile, one = l_i64(b, 1), side = l_i64(b, TILE_SIDE), pitch = l_i64(b, (int64_t)gr->panels * PANEL);
    for (uint32_t j = 0; j < gr->panels; j++) panel[j] = l_offset(b, s->panels, l_mul(b, s->panel_stride, l_i64(b, j)));
    if (pads_panels(m)) padded_panels(k, m, gr, panel);
    LFor loop = l_for(b, r->begin, r->end, 1, LOOP_SERIAL, NULL, 0, &tile);
    LVal first = rows_start(k, r, tile), end = rows_start(k, r, l_add(b, tile, one)), count = l_sub(b, end, first);
    LVal second = l_sub(b, l_sub(b, end, side), m->first); /* the last sixteen */
    LVal row[] = {l_offset(b, m->at, l_mul(b, l_sub(b, first, m->first), m->pitch)),
                  l_offset(b, m->at, l_mul(b, second, m->pitch))};
    LVal place[] = {sums, l_offset(b, sums, l_mul(b, l_sub(b, count, side), pitch))};
    Truth two = two_tiles(k, m);
    LIf branch = {0};
    if (two == UNKNOWN) branch = l_if(b, l_lt(b, side, count));
    if (two != NO) products(k, m, gr, row, 2, panel, place);
    if (two == UNKNOWN) l_else(b, &branch, NULL, 0);
    if (two != YES) products(k, m, gr, row, 1, panel, place);
    if (two == UNKNOWN) l_if_end(b, &branch, NULL, 0, NULL);
    blocks_store_rows(k, s, gr, first, end, sums, pitch);
    l_for_end(b, &loop, NULL, 0);
}

/* ---- the template ------------------------------------------------------------------------------------------------------- */

Dim range_matrix(Kernel *k) {
    Matrix m = matrix_of(k);
    return share_range(k, &m.s);
}

Dim scratch_matrix(Kernel *k) {
    Matrix m = matrix_of(k);
    int64_t panels = pads_panels(&m) ? 2 * whole_depth(&m) / 2 * PANEL * 4 : 0;
    return dim_const(k->cx, rows_bytes(k, &m) + panels);
}

void lower_matrix(Kernel *k, LVal lo, LVal hi) {
    Matrix m = matrix_of(k);
    m.s.state = &m, m.s.begin = begin_block, m.s.group = run_group;
    l_tile(k->b, LOP_tile_begin, NULL, 0);
    blocks_lower(k, &m.s, lo, hi);
    l_tile(k->b, LOP_tile_end, NULL, 0);
}
