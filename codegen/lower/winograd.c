/* winograd.c: template `winograd`: convolution of 3 x 3 taps by minimal filtering, F(m x m, 3 x 3): op winograd.
 *
 * The image is cut into squares of m x m results, the rows of this kernel.  For a block of them and all channels
 *     V[p] = B' d B         d: the (m + 2)^2 pixels under a square, p: one of as many points
 * is written to scratch; then for each group of columns
 *     M[p] = V[p] U[p]      a product of matrices for each point, on the register tile
 *     y    = A' M A         and the epilogue, pixel by pixel, for those of the square that lie in the result.
 * A task is a block and a group: shares that meet inside of a block both transform it.  One chain over all channels a
 * product, transforms always along the image's lines last: schedule and threads change no bit.
 * Source: Lavin and Gray, arXiv 1509.09308, algorithm 1; the transforms: ir/ops/winograd.c.
 */
#include "tile.h"

enum { MOST_POINTS = 6 /* along an axis */ };

typedef struct Filtering {
    Blocks s;                    /* of the products: rows are squares, taps are points */
    Winograd w;
    Image im;
    uint32_t points;             /* along an axis */
    Dim squares[3];              /* images, squares down, squares across */
    int64_t depth;               /* from one square to the next in V: channels, filled up to whole vectors */
    int64_t v_point, m_point;    /* from one point to the next in V and in M */
    LVal v, m;                   /* scratch */
    LVal first, end;             /* squares of the block */
    LVal point;                  /* at hand */
    LVal half, line;             /* transformed along one axis; pixels of a line of results */
    Dim at[3];                   /* the square at hand, in `squares` */
    LVal row, inside[MOST_POINTS]; /* its pixels: pointer to the first of each line less where it lies in its line … */
    Dim left;                    /* place of its first column in the image */
    LVal lines[MOST_POINTS];
} Filtering;

/* ---- sizes ------------------------------------------------------------------------------------------------------------ */

static int64_t known(Kernel *k, Dim d, const char *what) {
    int64_t value = 0;
    if (!dim_const_value(k->cx, d, &value)) diag_fatal(k->cx, "schedule: template winograd asks for constant %s", what);
    return value;
}

static Filtering filtering_of(Kernel *k) {
    Context *cx = k->cx;
    Filtering f = {0};
    for (uint32_t i = 1; i < k->body->nodes.n && !f.s.anchor.id; i++)
        if (k->body->nodes.at[i].op == OP_winograd) f.s.anchor = (Val){i};
    if (!f.s.anchor.id) diag_fatal(cx, "schedule: template winograd without an op winograd");
    Blocks *s = &f.s;
    s->node = node(k->body, s->anchor);
    s->y = type_info(cx, s->node->type), s->x = val_type(k->body, s->node->in[0]), s->w = val_type(k->body, s->node->in[1]);
    if (s->w->encoding != ENCODING_PANEL16) diag_fatal(cx, "schedule: template winograd asks for a constant filter in panels");
    winograd_of(attr_int(s->node, ATTR_tile), &f.w);
    f.points = f.w.tile + 2;
    Dim side = dim_const(cx, f.w.tile);
    f.squares[0] = s->y->dims[0];
    for (uint32_t i = 1; i < 3; i++) f.squares[i] = dim_cdiv(cx, s->y->dims[i], side);
    s->compute = DT_f32, s->whole = true, s->together = 1, s->pieces = s->units = 1;
    s->rows = dim_product(cx, f.squares, 3), s->columns = s->y->dims[3], s->channels = s->w->dims[2];
    s->taps = dim_const(cx, (int64_t)f.points * f.points);
    blocks_sizes(k, s);
    f.depth = (known(k, s->channels, "channels") + LANES - 1) / LANES * LANES;
    int64_t panels = (known(k, s->columns, "filters") + PANEL - 1) / PANEL, rows = (int64_t)s->block_tiles * s->tile_m;
    if (panels % s->tile_n)
        diag_fatal(cx, "schedule: tiles of %u panels do not divide the %lld of a convolution", s->tile_n, (long long)panels);
    /* A line more, so that an element's points do not meet in one set of the cache. */
    f.v_point = rows * f.depth + LANES, f.m_point = rows * s->tile_n * PANEL + LANES;
    return f;
}

static Dim group_count(Kernel *k, const Filtering *f) {
    return dim_cdiv(k->cx, f->s.columns, dim_const(k->cx, (int64_t)f->s.tile_n * PANEL));
}

Dim range_winograd(Kernel *k) {
    Filtering f = filtering_of(k);
    return dim_mul(k->cx, blocks_count(k, &f.s), group_count(k, &f));
}

Dim scratch_winograd(Kernel *k) {
    Filtering f = filtering_of(k);
    return dim_const(k->cx, (int64_t)f.points * f.points * (f.v_point + f.m_point) * dtype_bytes(DT_f32));
}

/* ---- transforms along an axis ------------------------------------------------------------------------------------------- */

/* acc + x times the constant; acc of id 0: nothing. */
static LVal add_times(Kernel *k, LVal acc, double factor, LVal x) {
    LoopBuilder *b = k->b;
    if (factor == 1) return acc.id ? l_add(b, acc, x) : x;
    LVal constant = l_float(b, loop_type(b, x), factor);
    return acc.id ? contract_step(b, k->fma, x, constant, acc) : l_mul(b, x, constant);
}

/* v = B d: values at the points. */
static void transform_in(Kernel *k, const Winograd *w, const LVal *d, LVal *v) {
    LVal *last = &v[w->tile + 1];
    v[0] = d[2 * w->pairs], *last = d[2 * w->pairs + 1];
    for (uint32_t j = w->pairs; j-- > 0;) {
        v[0] = add_times(k, v[0], w->all[j], d[2 * j]);
        *last = add_times(k, *last, w->all[j], d[2 * j + 1]);
    }
    for (uint32_t i = 0; i < w->pairs; i++) {
        LVal even = {0}, odd = {0};
        for (uint32_t j = w->pairs; j-- > 0;) {
            even = add_times(k, even, w->rest[i][j], d[2 * j + 2]);
            odd = add_times(k, odd, w->rest[i][j], d[2 * j + 1]);
        }
        v[1 + 2 * i] = add_times(k, even, w->point[i], odd);
        v[2 + 2 * i] = add_times(k, even, -w->point[i], odd);
    }
}

/* y = A m: results from the products at the points. */
static void transform_out(Kernel *k, const Winograd *w, const LVal *m, LVal *y) {
    LoopBuilder *b = k->b;
    LVal sum[2], difference[2];
    for (uint32_t i = 0; i < w->pairs; i++) {
        sum[i] = l_add(b, m[1 + 2 * i], m[2 + 2 * i]);
        difference[i] = l_sub(b, m[1 + 2 * i], m[2 + 2 * i]);
    }
    for (uint32_t r = 0; r < w->tile; r++) {
        y[r] = r == 0 ? m[0] : r + 1 == w->tile ? m[w->tile + 1] : (LVal){0};
        for (uint32_t i = 0; i < w->pairs; i++) {
            double power = 1;
            for (uint32_t j = 0; j < r; j++) power *= w->point[i];
            y[r] = add_times(k, y[r], power, r % 2 ? difference[i] : sum[i]);
        }
    }
}

/* Vector number i * n + j of a buffer. */
static LVal vector_place(Kernel *k, LVal i, int64_t n, LVal j) {
    LVal number = l_add(k->b, l_mul(k->b, i, l_i64(k->b, n)), j);
    return l_mul(k->b, number, l_i64(k->b, LANES));
}

static LFor begin(Kernel *k, uint32_t n, LVal *i) {
    return l_for(k->b, l_i64(k->b, 0), l_i64(k->b, n), 1, LOOP_SERIAL, NULL, 0, i);
}

/* ---- V: the image at the points ------------------------------------------------------------------------------------------ */

/* The square's column number j, lines at the points: to half[line][j]. */
static void column_in(Kernel *k, Filtering *f, LVal j, LVal channel) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    LVal d[MOST_POINTS], v[MOST_POINTS];
    KernelScope scope;
    kernel_enter(k, &scope, NULL, 0);
    Dim across = dim_add(cx, f->left, kernel_index(k, j)), zero = dim_const(cx, 0);
    LVal in = l_bin(b, LOP_and, kernel_fact(k, (Fact){REL_LE, zero, across}),
                    kernel_fact(k, (Fact){REL_LT, across, f->s.x->dims[2]}));
    LVal moved = kernel_dim(k, dim_mul(cx, across, f->im.axis[1]));
    for (uint32_t i = 0; i < f->points; i++) {
        LVal pixel = l_offset(b, f->im.x.pointer, l_add(b, f->lines[i], moved));
        pixel = l_select(b, l_bin(b, LOP_and, f->inside[i], in), pixel, f->im.zeros);
        d[i] = l_load(b, pixel, channel, LANES, k->mask);
    }
    transform_in(k, &f->w, d, v);
    for (uint32_t i = 0; i < f->points; i++) l_store(b, f->half, vector_place(k, l_i64(b, i), f->points, j), v[i], (LVal){0});
    kernel_leave(k, &scope);
}

static void channels_in(Kernel *k, void *user, Dim at, LVal *carried) {
    Filtering *f = user;
    LoopBuilder *b = k->b;
    LVal channel = kernel_dim(k, dim_substitute(k->cx, at, &k->lane, (Dim[]){dim_const(k->cx, 0)}, 1)), i, j;
    (void)carried;
    LFor columns = begin(k, f->points, &j);
    column_in(k, f, j, channel);
    l_for_end(b, &columns, NULL, 0);
    LFor lines = begin(k, f->points, &i);
    LVal d[MOST_POINTS], v[MOST_POINTS], point = l_mul(b, i, l_i64(b, f->points)), to = l_add(b, f->row, channel);
    for (uint32_t c = 0; c < f->points; c++)
        d[c] = l_load(b, f->half, vector_place(k, i, f->points, l_i64(b, c)), LANES, (LVal){0});
    transform_in(k, &f->w, d, v);
    for (uint32_t c = 0; c < f->points; c++) {
        LVal place = l_mul(b, l_add(b, point, l_i64(b, c)), l_i64(b, f->v_point));
        l_store(b, f->v, l_add(b, place, to), v[c], (LVal){0});
    }
    l_for_end(b, &lines, NULL, 0);
}

/* Where the lines of the square lie, and whether they lie in the image. */
static void find_lines(Kernel *k, Filtering *f) {
    Context *cx = k->cx;
    Dim top = dim_sub(cx, dim_muli(cx, f->at[1], f->w.tile), f->im.low[0]), zero = dim_const(cx, 0);
    Dim image = dim_add(cx, f->im.origin, dim_mul(cx, f->at[0], f->im.step));
    f->left = dim_sub(cx, dim_muli(cx, f->at[2], f->w.tile), f->im.low[1]);
    for (uint32_t i = 0; i < f->points; i++) {
        Dim y = dim_addi(cx, top, i);
        LVal low = kernel_fact(k, (Fact){REL_LE, zero, y}), high = kernel_fact(k, (Fact){REL_LT, y, f->s.x->dims[1]});
        f->inside[i] = l_bin(k->b, LOP_and, low, high);
        f->lines[i] = kernel_dim(k, dim_add(cx, image, dim_mul(cx, y, f->im.axis[0])));
    }
}

typedef void SquareFn(Kernel *, Filtering *, LVal number);

/* All squares of the block; number: from its first. */
static void each_square(Kernel *k, Filtering *f, SquareFn *run) {
    KernelLoop loop;
    KernelScope scope;
    Fact facts[3];
    Dim square = kernel_loop(k, &loop, f->first, f->end, f->s.rows, 1, NULL, 0);
    LVal number = l_sub(k->b, kernel_dim(k, square), f->first);
    kernel_split(k, square, f->squares, 3, f->at, facts);
    kernel_enter(k, &scope, facts, 3);
    run(k, f, number);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
}

static void square_in(Kernel *k, Filtering *f, LVal number) {
    find_lines(k, f);
    f->row = l_mul(k->b, number, l_i64(k->b, f->depth));
    kernel_vector_loop(k, f->s.channels, LANES, NULL, 0, channels_in, f);
}

/* ---- M: products -------------------------------------------------------------------------------------------------------- */

static void accumulate(Kernel *k, Blocks *s, const Part *part, LVal first_row, uint32_t rows, const Group *gr, LVal *acc) {
    const Filtering *f = s->state;
    LoopBuilder *b = k->b;
    Tile t = {.rows = rows, .panels = gr->panels, .x = DT_f32, .stride = l_i64(b, 1), .count = part->count};
    LVal square = l_mul(b, l_sub(b, first_row, f->first), l_i64(b, f->depth));
    LVal start = l_offset(b, f->v, l_add(b, l_mul(b, part->tap, l_i64(b, f->v_point)), square));
    for (uint32_t i = 0; i < rows; i++) t.row[i] = l_offset(b, start, l_i64(b, i * f->depth));
    blocks_panels(k, s, part->tap, part->first, &t);
    tile_run(k, &t, acc);
}

/* Of the group of columns that starts at s.panel. */
static void multiply(Kernel *k, Filtering *f, const Rows *rows) {
    LoopBuilder *b = k->b;
    Blocks *s = &f->s;
    LVal point, zero = l_i64(b, 0), channels = kernel_dim(k, s->channels);
    Group group = {s->tile_n, COLUMNS_FULL};
    LVal u = k->pointers[attr_int(node(k->body, s->node->in[1]), ATTR_index)];
    s->panel_stride = kernel_dim(k, dim_muli(k->cx, dim_mul(k->cx, s->taps, s->channels), PANEL));
    s->panels = l_offset(b, u, l_mul(b, kernel_dim(k, s->panel), s->panel_stride));
    s->next = l_mul(b, channels, l_i64(b, PANEL));
    LFor points = begin(k, f->points * f->points, &point);
    Part part = {point, l_add(b, point, l_i64(b, 1)), zero, channels};
    Sums sums = {.at = l_offset(b, f->m, l_mul(b, point, l_i64(b, f->m_point))), .pitch = l_i64(b, (int64_t)s->tile_n * PANEL)};
    blocks_sum_tiles(k, s, &part, &group, rows, &sums);
    l_for_end(b, &points, NULL, 0);
}

/* ---- y: results --------------------------------------------------------------------------------------------------------- */

/* Results [0, least of m and what is left of the axis) of the square along it, with the facts that they are there. */
typedef struct Side { KernelLoop loop; KernelScope scope; Fact fact; } Side;

static LVal begin_side(Kernel *k, Filtering *f, uint32_t axis, Side *side) {
    Context *cx = k->cx;
    Dim first = dim_muli(cx, f->at[axis], f->w.tile), extent = f->s.y->dims[axis];
    LVal left = kernel_dim(k, dim_sub(cx, extent, first));
    Dim i = kernel_loop(k, &side->loop, l_i64(k->b, 0), l_min(k->b, left, l_i64(k->b, f->w.tile)), dim_const(cx, f->w.tile), 1,
                        NULL, 0);
    f->s.value_at[axis] = dim_add(cx, first, i);
    side->fact = (Fact){REL_LT, f->s.value_at[axis], extent};
    kernel_enter(k, &side->scope, &side->fact, 1);
    return kernel_dim(k, i);
}

static void end_side(Kernel *k, Side *side) {
    kernel_leave(k, &side->scope);
    kernel_loop_end(k, &side->loop, NULL, 0);
}

/* Line i of results, transformed along it. */
static void line_out(Kernel *k, Filtering *f, LVal i, LVal mask) {
    LoopBuilder *b = k->b;
    LVal m[MOST_POINTS], y[MOST_POINTS];
    Side side;
    for (uint32_t c = 0; c < f->points; c++)
        m[c] = l_load(b, f->half, vector_place(k, i, f->points, l_i64(b, c)), LANES, (LVal){0});
    transform_out(k, &f->w, m, y);
    for (uint32_t c = 0; c < f->w.tile; c++) l_store(b, f->line, l_i64(b, c * LANES), y[c], (LVal){0});
    LVal column = begin_side(k, f, 2, &side);
    f->s.value = l_load(b, f->line, l_mul(b, column, l_i64(b, LANES)), LANES, (LVal){0});
    k->lanes = LANES, k->mask = mask;
    store_results(k, f->s.anchor, f->s.value_at);
    k->lanes = 1, k->mask = (LVal){0};
    end_side(k, &side);
}

/* One panel of the group's columns. */
static void panel_out(Kernel *k, Filtering *f, LVal number, Dim panel) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    Dim first = dim_muli(cx, dim_add(cx, f->s.panel, panel), PANEL), column = dim_add(cx, first, dim_symbol(cx, k->lane));
    LVal mask = {0}, left = kernel_dim(k, dim_sub(cx, f->s.columns, first)), j;
    LVal from =
        l_add(b, l_mul(b, number, l_i64(b, (int64_t)f->s.tile_n * PANEL)), l_mul(b, kernel_dim(k, panel), l_i64(b, PANEL)));
    Fact inside[] = {{REL_LT, column, f->s.columns}};
    KernelScope scope;
    if (known(k, f->s.columns, "filters") % PANEL) mask = l_lane_mask(b, left, LANES);
    kernel_enter(k, &scope, inside, 1);
    f->s.value_at[0] = f->at[0], f->s.value_at[3] = column;
    LFor columns = begin(k, f->points, &j);
    LVal m[MOST_POINTS], y[MOST_POINTS];
    for (uint32_t i = 0; i < f->points; i++) {
        LVal point = l_add(b, l_i64(b, i * f->points), j);
        m[i] = l_load(b, f->m, l_add(b, from, l_mul(b, point, l_i64(b, f->m_point))), LANES, (LVal){0});
    }
    transform_out(k, &f->w, m, y);
    for (uint32_t i = 0; i < f->w.tile; i++) l_store(b, f->half, vector_place(k, l_i64(b, i), f->points, j), y[i], (LVal){0});
    l_for_end(b, &columns, NULL, 0);
    Side side;
    LVal line = begin_side(k, f, 1, &side);
    line_out(k, f, line, mask);
    end_side(k, &side);
    kernel_leave(k, &scope);
}

static void square_out(Kernel *k, Filtering *f, LVal number) {
    KernelLoop loop;
    LoopBuilder *b = k->b;
    Dim panel = kernel_loop(k, &loop, l_i64(b, 0), l_i64(b, f->s.tile_n), dim_const(k->cx, f->s.tile_n), 1, NULL, 0);
    panel_out(k, f, number, panel);
    kernel_loop_end(k, &loop, NULL, 0);
}

/* ---- tasks -------------------------------------------------------------------------------------------------------------- */

static void run_block(Kernel *k, Filtering *f, Dim block, LVal lo, LVal hi) {
    LoopBuilder *b = k->b;
    Dim all = group_count(k, f);
    LVal groups = kernel_dim(k, all), before = l_mul(b, kernel_dim(k, block), groups);
    Rows rows = blocks_rows(k, &f->s, block);
    f->first = rows_start(k, &rows, rows.begin), f->end = rows_start(k, &rows, rows.end);
    each_square(k, f, square_in);
    KernelLoop loop;
    LVal first = l_max(b, l_i64(b, 0), l_sub(b, lo, before)), end = l_min(b, groups, l_sub(b, hi, before));
    Dim group = kernel_loop(k, &loop, first, end, all, 1, NULL, 0);
    f->s.panel = dim_muli(k->cx, group, f->s.tile_n);
    multiply(k, f, &rows);
    each_square(k, f, square_out);
    kernel_loop_end(k, &loop, NULL, 0);
}

void lower_winograd(Kernel *k, LVal lo, LVal hi) {
    LoopBuilder *b = k->b;
    Filtering f = filtering_of(k);
    f.s.state = &f, f.s.accumulate = accumulate;
    k->state = &f.s, k->anchor = blocks_anchor, k->lane = lane_symbol(k->cx, LANES);
    f.im = image_of(k, f.s.node);
    if (!dim_is(k->cx, f.im.channel, 1) || f.im.x.same.id)
        diag_fatal(k->cx, "schedule: template winograd asks for contiguous channels");
    f.im.zeros = zero_row(k, DT_f32, f.depth * dtype_bytes(DT_f32));
    f.half = l_alloc(b, DT_f32, (int64_t)f.points * f.points * LANES), f.line = l_alloc(b, DT_f32, (int64_t)f.w.tile * LANES);
    f.v = l_inst(b, LOP_recast, lt_pointer(DT_f32), &k->scratch, 1, 0);
    f.m = l_offset(b, f.v, l_i64(b, (int64_t)f.points * f.points * f.v_point));
    LVal groups = kernel_dim(k, group_count(k, &f)), one = l_i64(b, 1);
    LVal first = l_bin(b, LOP_div, lo, groups), end = l_bin(b, LOP_div, l_add(b, hi, l_sub(b, groups, one)), groups);
    KernelLoop loop;
    Dim block = kernel_loop(k, &loop, first, end, blocks_count(k, &f.s), 1, NULL, 0);
    run_block(k, &f, block, lo, hi);
    kernel_loop_end(k, &loop, NULL, 0);
}
