/* grouped.c: template `grouped`: conv in groups of few channels (one: depthwise) over channels-last images.  The lanes are the
 * filters of several groups.
 *
 * A tile is a rectangle of output pixels under the same sixteen filters: every pixel of the operand is loaded once for all the
 * taps that see it, and its channels are dealt to the lanes that need them.  Inside the image a tile's addresses are one
 * pointer a line and constants; where it may leave the image, a pointer for every pixel, to a row of zeros outside.
 * A pass takes block_m tiles of lines, block_n filters at a time, so that lines wait in cache for the next tile that sees them.
 * Order law (contract.c's): K is one chunk, an ascending chain over taps, then channels.
 * Template separable has values of the tiles kept in scratch instead of results stored.
 * Source: docs/cpu.md section 3 ("Depthwise NHWC") and "Second machine".
 */
#include "tile.h"
#include <string.h>

enum { MAX_COLUMNS = 16, MAX_LINES = 4 };

typedef struct Direction {       /* along the lines, or along the columns, of the image */
    uint32_t axis;               /* of the result; 0: there is but one line */
    uint32_t tile;               /* pixels of a full tile */
    int64_t taps, stride, dilation;
} Direction;

struct Grouped {
    Val anchor;
    const Node *node;
    const TypeInfo *y, *x, *w;
    Image image;
    LVal zeros;                  /* a row of them */
    Direction lines, columns;
    uint32_t outer;              /* spatial axes before the lines */
    int64_t outer_taps;
    int64_t channels, filters;   /* of a group */
    Dim at[MAX_RANK];            /* of the tile's first pixel */
    KernelSpan span;             /* filters of the block at hand; id 0: all are one block */
    LVal value;                  /* of the anchor, where it is stored */
    Val kept;                    /* instead of results: this, made of the anchor .. */
    LVal to;                     /* .. where its elements lie as in memory */
};

/* What a tile of n_lines x n_columns outputs sees: `lines` lines of the operand for each outer tap, `width` pixels of each. */
typedef struct Patch {
    Grouped *s;
    uint32_t n_lines, n_columns;
    int64_t lines, width;
    bool inside;
    LVal *line;                  /* pointer to the first pixel of each line; inside */
    LVal *pixel;                 /* pointer to each pixel, [line * width + x]; else */
    LVal *dealt;                 /* within a step: each pixel's channels, by lane: [(line * width + x) * channels + c] */
} Patch;

static int64_t constant(Context *cx, Dim d) {
    int64_t value = 1;
    if (!dim_const_value(cx, d, &value)) diag_fatal(cx, "schedule: template grouped needs a filter of known extents");
    return value;
}

static Direction direction(Kernel *k, const Grouped *s, uint32_t axis, uint32_t tile) {
    if (!axis) return (Direction){0, 1, 1, 1, 1};
    int64_t taps = constant(k->cx, s->w->dims[axis - 1]);
    return (Direction){axis, tile, taps, s->image.stride[axis - 1], s->image.dilation[axis - 1]};
}

/* The convolution, on tiles of `pixels` pixels of as many lines as field unroll says. */
static Grouped grouped_of(Kernel *k, Val conv, SchedField pixels) {
    Context *cx = k->cx;
    Grouped s = {.anchor = conv};
    int64_t m = k->schedule->field[pixels], lines = k->schedule->field[SCHED_unroll];
    if (m < 1 || m > MAX_COLUMNS || lines < 1 || lines > MAX_LINES)
        diag_fatal(cx, "schedule: a tile of %lld x %lld pixels, at most %d x %d are possible", (long long)lines, (long long)m,
                   MAX_LINES, MAX_COLUMNS);
    s.columns.tile = (uint32_t)m, s.lines.tile = (uint32_t)lines;
    s.node = node(k->body, s.anchor);
    s.y = type_info(cx, s.node->type), s.x = val_type(k->body, s.node->in[0]), s.w = val_type(k->body, s.node->in[1]);
    int64_t groups = attr_int(s.node, ATTR_groups);
    s.channels = constant(cx, s.w->dims[s.w->rank - 2]), s.filters = constant(cx, s.w->dims[s.w->rank - 1]) / groups;
    if (s.filters < 1 || LANES % s.filters || LANES / s.filters * s.channels > 2 * LANES || s.w->encoding != ENCODING_DENSE)
        diag_fatal(cx, "schedule: template grouped takes groups of 1, 2, 4, 8 or 16 filters and at most "
                       "twice as many channels");
    return s;
}

/* What needs code: only for lower_grouped. */
static void place_image(Kernel *k, Grouped *s) {
    s->image = image_of(k, s->node);
    if (!dim_is(k->cx, s->image.channel, 1) || s->image.x.same.id)
        diag_fatal(k->cx, "schedule: template grouped needs channels side by side");
    uint32_t spatial = s->image.spatial;
    s->columns = direction(k, s, spatial, s->columns.tile);
    s->lines = direction(k, s, spatial > 1 ? spatial - 1 : 0, s->lines.tile);
    s->outer = spatial > 2 ? spatial - 2 : 0, s->outer_taps = 1;
    for (uint32_t i = 0; i < s->outer; i++) s->outer_taps *= constant(k->cx, s->w->dims[i]);
    if (s->outer_taps * s->lines.taps * s->columns.taps * s->channels > attr_int(s->node, ATTR_chunk))
        diag_fatal(k->cx, "schedule: template grouped takes filters of one chunk, at most %lld products",
                   (long long)attr_int(s->node, ATTR_chunk));
    int64_t bytes = s->channels * attr_int(s->node, ATTR_groups) * dtype_bytes(loop_memory_dtype(s->x->dtype));
    if (s->image.any_checked) s->zeros = zero_row(k, loop_memory_dtype(s->x->dtype), bytes);
}

/* ---- the range: batch, outer axes, tiles of lines: full ones, then single lines ---------------------------------- */

static uint32_t range_dims(Kernel *k, const Grouped *s, Dim *dims) {
    Context *cx = k->cx;
    uint32_t n = 0, spatial = s->y->rank - 2;
    Dim tile = dim_const(cx, k->schedule->field[SCHED_unroll]);
    uint32_t outer = spatial > 2 ? spatial - 2 : 0;
    for (uint32_t i = 0; i <= outer; i++) dims[n++] = s->y->dims[i];
    Dim lines = s->y->dims[spatial - 1];
    if (spatial > 1) dims[n++] = dim_add(cx, dim_fdiv(cx, lines, tile), dim_mod(cx, lines, tile));
    return n;
}

/* The only convolution of the body. */
static Val only_conv(Kernel *k) {
    for (uint32_t i = 1; i < k->body->nodes.n; i++)
        if (k->body->nodes.at[i].op == OP_conv) return (Val){i};
    diag_fatal(k->cx, "schedule: template grouped without a convolution");
}

Dim range_grouped(Kernel *k) {
    Dim dims[MAX_RANK];
    Grouped s = grouped_of(k, only_conv(k), SCHED_tile_m);
    uint32_t n = range_dims(k, &s, dims);
    return dim_product(k->cx, dims, n);
}

Dim scratch_grouped(Kernel *k) { return dim_const(k->cx, 0); }

/* ---- what a tile sees -------------------------------------------------------------------------------------------- */

static int64_t extent_seen(const Direction *d, uint32_t n) { return (n - 1) * d->stride + (d->taps - 1) * d->dilation + 1; }

/* Some output of n sees position `at`. */
static bool is_seen(const Direction *d, uint32_t n, int64_t at) {
    for (uint32_t i = 0; i < n; i++) {
        int64_t rest = at - i * d->stride;
        if (rest >= 0 && rest % d->dilation == 0 && rest / d->dilation < d->taps) return true;
    }
    return false;
}

/* First place in the image under the tile along spatial axis i, without taps. */
static Dim place(Kernel *k, const Grouped *s, uint32_t i) {
    return kernel_simplify(k, dim_sub(k->cx, dim_muli(k->cx, s->at[i + 1], s->image.stride[i]), s->image.low[i]));
}

/* The indices of outer tap o along the outer axes. */
static void outer_tap(Kernel *k, const Grouped *s, int64_t o, int64_t *tap) {
    for (uint32_t i = s->outer; i-- > 0;) {
        int64_t n = constant(k->cx, s->w->dims[i]);
        tap[i] = o % n, o /= n;
    }
}

/* Line `at` of those seen: its pointer, and whether it lies in the image (id 0: it does). */
static LVal line_pointer(Kernel *k, const Patch *p, int64_t at, LVal *inside) {
    const Grouped *s = p->s;
    Context *cx = k->cx;
    int64_t tap[MAX_RANK];
    outer_tap(k, s, at / p->lines, tap);
    Dim offset = dim_add(cx, s->image.origin, dim_mul(cx, s->at[0], s->image.step));
    LVal ok = l_bool(k->b, true);
    for (uint32_t i = 0; i < s->image.spatial; i++) {
        bool is_line = i + 1 == s->lines.axis, is_column = i + 1 == s->columns.axis;
        Dim y = place(k, s, i);
        if (is_line) y = dim_addi(cx, y, at % p->lines);
        else if (!is_column) y = dim_addi(cx, y, tap[i] * s->image.dilation[i]);
        offset = dim_add(cx, offset, dim_mul(cx, y, s->image.axis[i]));
        if (p->inside || is_column || !s->image.checked[i]) continue;
        ok = l_bin(k->b, LOP_and, ok, kernel_fact(k, (Fact){REL_LE, dim_const(cx, 0), y}));
        ok = l_bin(k->b, LOP_and, ok, kernel_fact(k, (Fact){REL_LT, y, s->x->dims[i + 1]}));
    }
    *inside = ok;
    return l_offset(k->b, s->image.x.pointer, kernel_dim(k, kernel_simplify(k, offset)));
}

static void find_pixels(Kernel *k, Patch *p) {
    const Grouped *s = p->s;
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    uint32_t last = s->image.spatial - 1;
    Dim step = s->image.axis[last], first = place(k, s, last);
    for (int64_t at = 0; at < s->outer_taps * p->lines; at++) {
        LVal line_ok;
        if (!is_seen(&s->lines, p->n_lines, at % p->lines)) continue;
        p->line[at] = line_pointer(k, p, at, &line_ok);
        for (int64_t x = 0; x < p->width && !p->inside; x++) {
            if (!is_seen(&s->columns, p->n_columns, x)) continue;
            LVal ok = line_ok, here = l_offset(b, p->line[at], kernel_dim(k, dim_muli(cx, step, x)));
            Dim y = dim_addi(cx, first, x);
            if (s->image.checked[last]) {
                ok = l_bin(b, LOP_and, ok, kernel_fact(k, (Fact){REL_LE, dim_const(cx, 0), y}));
                ok = l_bin(b, LOP_and, ok, kernel_fact(k, (Fact){REL_LT, y, s->x->dims[last + 1]}));
            }
            p->pixel[at * p->width + x] = l_select(b, ok, here, s->zeros);
        }
    }
}

/* ---- sixteen filters --------------------------------------------------------------------------------------------- */

/* Vector number i of the channels under sixteen filters, at one pixel. */
static LVal load_channels(Kernel *k, const Patch *p, int64_t line, int64_t x, LVal channel, int64_t i) {
    const Grouped *s = p->s;
    LoopBuilder *b = k->b;
    int64_t spread = LANES / s->filters * s->channels, total = s->channels * attr_int(s->node, ATTR_groups);
    LVal mask = {0}, left = l_i64(b, spread - i * LANES);
    if (k->mask.id) left = l_min(b, left, l_sub(b, l_i64(b, total - i * LANES), channel));
    if (k->mask.id || spread < (i + 1) * LANES) mask = l_lane_mask(b, left, LANES);
    LVal index = l_add(b, channel, l_i64(b, i * LANES)), pointer = p->pixel[line * p->width + x];
    if (p->inside) {
        Dim step = s->image.axis[s->image.spatial - 1];
        pointer = p->line[line], index = l_add(b, index, kernel_dim(k, dim_muli(k->cx, step, x)));
    }
    return l_decode(b, l_load(b, pointer, index, LANES, mask), s->x->dtype);
}

/* The pixel's channel number c of every lane's group. */
static LVal deal(Kernel *k, const Patch *p, int64_t line, int64_t x, LVal channel, int64_t c) {
    const Grouped *s = p->s;
    LVal *all = p->dealt + (line * p->width + x) * s->channels;
    if (all[c].id) return all[c];
    LVal low = load_channels(k, p, line, x, channel, 0), high = low;
    if (s->channels == 1 && s->filters == 1) return all[0] = low;
    if (LANES / s->filters * s->channels > LANES) high = load_channels(k, p, line, x, channel, 1);
    for (int64_t i = 0; i < s->channels; i++) {
        int64_t lane[LANES];
        for (uint32_t l = 0; l < LANES; l++) lane[l] = l / s->filters * s->channels + i;
        all[i] = l_shuffle(k->b, low, high, lane, LANES);
    }
    return all[c];
}

typedef struct Filters { const Patch *patch; Dim first; LVal channel; LVal acc[MAX_LINES * MAX_COLUMNS]; } Filters;

/* Products of one line seen, at one tap along it. */
static void add_line(Kernel *k, Filters *f, int64_t line, int64_t column_tap) {
    const Patch *p = f->patch;
    const Grouped *s = p->s;
    Context *cx = k->cx;
    int64_t outer[MAX_RANK];
    Dim at[MAX_RANK];
    outer_tap(k, s, line / p->lines, outer);
    for (uint32_t i = 0; i < s->outer; i++) at[i] = dim_const(cx, outer[i]);
    at[s->w->rank - 3] = dim_const(cx, column_tap), at[s->w->rank - 1] = f->first;
    for (int64_t c = 0; c < s->channels; c++) {
        at[s->w->rank - 2] = dim_const(cx, c);
        for (uint32_t i = 0; i < p->n_lines; i++) {
            int64_t rest = line % p->lines - i * s->lines.stride, tap = rest / s->lines.dilation;
            if (rest < 0 || rest % s->lines.dilation || tap >= s->lines.taps) continue;
            if (s->lines.axis) at[s->w->rank - 4] = dim_const(cx, tap);
            LVal w = l_splat(k->b, kernel_eval(k, s->node->in[1], at), LANES);
            for (uint32_t j = 0; j < p->n_columns; j++) {
                LVal *acc = &f->acc[i * p->n_columns + j];
                LVal x = deal(k, p, line, j * s->columns.stride + column_tap * s->columns.dilation, f->channel, c);
                *acc = contract_step(k->b, k->fma, x, w, *acc);
            }
        }
    }
}

static void keep_pixel(Kernel *k, const Grouped *s, const Dim *at) {
    const TypeInfo *t = val_type(k->body, s->kept);
    uint32_t memo = k->memo.n;
    kernel_store(k, s->to, t->dtype, access_offset(k->cx, t->dims, at, t->rank), kernel_eval(k, s->kept, at));
    k->memo.n = memo;
}

static void store_pixels(Kernel *k, const Filters *f) {
    Grouped *s = f->patch->s;
    Context *cx = k->cx;
    Dim at[MAX_RANK];
    memcpy(at, s->at, sizeof at);
    at[s->y->rank - 1] = f->first;
    for (uint32_t i = 0; i < f->patch->n_lines; i++)
        for (uint32_t j = 0; j < f->patch->n_columns; j++) {
            KernelScope scope;
            at[s->columns.axis] = dim_addi(cx, s->at[s->columns.axis], j);
            if (s->lines.axis) at[s->lines.axis] = dim_addi(cx, s->at[s->lines.axis], i);
            Fact inside[] = {{REL_LT, at[s->columns.axis], s->y->dims[s->columns.axis]},
                             {REL_LT, at[s->lines.axis], s->y->dims[s->lines.axis]}};
            kernel_enter(k, &scope, inside, 2);
            s->value = f->acc[i * f->patch->n_columns + j];
            if (s->kept.id) keep_pixel(k, s, at);
            else store_results(k, s->anchor, at);
            kernel_leave(k, &scope);
        }
}

static void filters_step(Kernel *k, void *user, Dim filter, LVal *carried) {
    Patch *p = user;
    const Grouped *s = p->s;
    Context *cx = k->cx;
    (void)carried;
    Filters f = {.patch = p, .first = filter};
    Dim first = dim_substitute(cx, filter, &k->lane, (Dim[]){dim_const(cx, 0)}, 1);
    first = kernel_simplify(k, dim_muli(cx, dim_fdiv(cx, first, dim_const(cx, s->filters)), s->channels));
    f.channel = kernel_dim(k, first);
    int64_t n = s->outer_taps * p->lines * p->width * s->channels;
    p->dealt = arena_new_array(k->arena, LVal, (size_t)n);
    LType sums = lt_vector(loop_compute_dtype(s->y->dtype), LANES);
    for (uint32_t i = 0; i < p->n_lines * p->n_columns; i++) f.acc[i] = l_float(k->b, sums, 0);
    for (int64_t line = 0; line < s->outer_taps * p->lines; line++)
        for (int64_t t = 0; t < s->columns.taps && p->line[line].id; t++) add_line(k, &f, line, t);
    store_pixels(k, &f);
}

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

/* Every pixel seen lies in the image. */
static LVal all_inside(Kernel *k, const Patch *p) {
    const Grouped *s = p->s;
    Context *cx = k->cx;
    LVal all = l_bool(k->b, true);
    for (uint32_t i = 0; i < s->image.spatial; i++) {
        if (!s->image.checked[i]) continue;
        int64_t reach = (constant(cx, s->w->dims[i]) - 1) * s->image.dilation[i];
        if (i + 1 == s->lines.axis) reach = p->lines - 1;
        if (i + 1 == s->columns.axis) reach = p->width - 1;
        Dim y = place(k, s, i);
        all = l_bin(k->b, LOP_and, all, kernel_fact(k, (Fact){REL_LE, dim_const(cx, 0), y}));
        all = l_bin(k->b, LOP_and, all, kernel_fact(k, (Fact){REL_LT, dim_addi(cx, y, reach), s->x->dims[i + 1]}));
    }
    return all;
}

static void run_patch(Kernel *k, Grouped *s, uint32_t lines, uint32_t columns, bool inside) {
    KernelScope scope;
    Patch p = {.s = s, .n_lines = lines, .n_columns = columns, .inside = inside};
    kernel_enter(k, &scope, NULL, 0);
    p.lines = extent_seen(&s->lines, lines), p.width = extent_seen(&s->columns, columns);
    p.line = arena_new_array(k->arena, LVal, (size_t)(s->outer_taps * p.lines));
    p.pixel = arena_new_array(k->arena, LVal, (size_t)(s->outer_taps * p.lines * p.width));
    find_pixels(k, &p);
    kernel_vector_range(k, s->span.end.id ? &s->span : NULL, s->y->dims[s->y->rank - 1], LANES, NULL, 0, filters_step, &p);
    kernel_leave(k, &scope);
}

/* Of the full tiles of a line, the first sees a pixel before the image, and the second and last one after it. */
static bool tiles_leave(Kernel *k, const Grouped *s) {
    uint32_t last = s->image.spatial - 1;
    int64_t extent = 0, low = 0, width = 0, tile = s->columns.tile;
    bool all_known = dim_const_value(k->cx, s->y->dims[last + 1], &extent) &&
                     dim_const_value(k->cx, s->x->dims[last + 1], &width) && dim_const_value(k->cx, s->image.low[last], &low);
    if (!all_known || extent / tile != 2 || low < 1) return false;
    return tile * s->columns.stride - low + extent_seen(&s->columns, s->columns.tile) > width;
}

static void run_tile(Kernel *k, Grouped *s, uint32_t lines, uint32_t columns) {
    LoopBuilder *b = k->b;
    Patch p = {.s = s, .lines = extent_seen(&s->lines, lines), .width = extent_seen(&s->columns, columns)};
    LVal inside = columns == s->columns.tile && tiles_leave(k, s) ? l_bool(b, false) : all_inside(k, &p);
    int64_t known;
    if (loop_const_int(b, inside, &known)) {
        run_patch(k, s, lines, columns, known);
        return;
    }
    LIf branch = l_if(b, inside);
    run_patch(k, s, lines, columns, true);
    l_else(b, &branch, NULL, 0);
    run_patch(k, s, lines, columns, false);
    l_if_end(b, &branch, NULL, 0, NULL);
}

/* Fewer columns than a tile has, from `first` on: as many as are left. */
static void last_columns(Kernel *k, Grouped *s, uint32_t lines, Dim first, Dim left) {
    LoopBuilder *b = k->b;
    int64_t known;
    s->at[s->columns.axis] = first;
    if (dim_const_value(k->cx, left, &known)) {
        if (known > 0) run_tile(k, s, lines, (uint32_t)known);
        return;
    }
    LVal n = kernel_dim(k, left);
    for (uint32_t i = 1; i < s->columns.tile; i++) {
        KernelScope scope;
        Fact is = {REL_EQ, left, dim_const(k->cx, i)};
        LIf branch = l_if(b, l_bin(b, LOP_eq, n, l_i64(b, i)));
        kernel_enter(k, &scope, &is, 1);
        run_tile(k, s, lines, i);
        kernel_leave(k, &scope);
        l_else(b, &branch, NULL, 0);
        l_if_end(b, &branch, NULL, 0, NULL);
    }
}

static void run_lines(Kernel *k, void *user, uint32_t lines) {
    Grouped *s = user;
    Context *cx = k->cx;
    Dim extent = s->y->dims[s->columns.axis], tile = dim_const(cx, s->columns.tile);
    Dim full = kernel_simplify(k, dim_mul(cx, dim_fdiv(cx, extent, tile), tile));
    if (dim_same(full, tile)) {
        s->at[s->columns.axis] = dim_const(cx, 0);
        run_tile(k, s, lines, s->columns.tile);
    } else if (!dim_is(cx, full, 0)) {
        KernelLoop loop;
        KernelScope scope;
        Dim first = dim_addi(cx, extent, 1 - (int64_t)s->columns.tile);
        Dim at = kernel_loop(k, &loop, l_i64(k->b, 0), kernel_dim(k, full), first, s->columns.tile, NULL, 0);
        kernel_enter(k, &scope, (Fact[]){{REL_DIVIDES, tile, at}}, 1);
        s->at[s->columns.axis] = at;
        run_tile(k, s, lines, s->columns.tile);
        kernel_leave(k, &scope);
        kernel_loop_end(k, &loop, NULL, 0);
    }
    last_columns(k, s, lines, full, kernel_simplify(k, dim_sub(cx, extent, full)));
}

/* Tile number `tile` of the lines. */
static void run_tile_of_lines(Kernel *k, Grouped *s, Dim tile) {
    uint32_t axis = s->lines.axis;
    if (!axis) run_lines(k, s, 1);
    else image_lines(k, tile, s->y->dims[axis], s->lines.tile, &s->at[axis], run_lines, s);
}

static LVal anchor_value(Kernel *k, Val v, const Dim *at) {
    const Grouped *s = k->state;
    (void)at;
    return v.id == s->anchor.id ? l_round(k->b, s->value, s->y->dtype) : (LVal){0};
}

/* Tiles [lo, hi) of the lines. */
static void run_tiles(Kernel *k, Grouped *s, LVal lo, LVal hi) {
    KernelTasks tasks;
    Dim dims[MAX_RANK], at[MAX_RANK];
    uint32_t n = range_dims(k, s, dims);
    kernel_tasks(k, &tasks, lo, hi, dims, n, at);
    for (uint32_t i = 0; i <= s->outer; i++) s->at[i] = at[i];
    run_tile_of_lines(k, s, at[n - 1]);
    kernel_tasks_end(k, &tasks);
}

/* The same, a block of filters after the other. */
static void run_blocks(Kernel *k, Grouped *s, LVal lo, LVal hi) {
    LoopBuilder *b = k->b;
    int64_t block = k->schedule->field[SCHED_block_n] / LANES * LANES;
    if (block < 1 || block >= constant(k->cx, s->y->dims[s->y->rank - 1])) {
        run_tiles(k, s, lo, hi);
        return;
    }
    LFor blocks = l_for(b, l_i64(b, 0), kernel_dim(k, s->y->dims[s->y->rank - 1]), block, LOOP_SERIAL, NULL, 0, &s->span.begin);
    s->span.end = l_add(b, s->span.begin, l_i64(b, block));
    run_tiles(k, s, lo, hi);
    l_for_end(b, &blocks, NULL, 0);
    s->span = (KernelSpan){0};
}

static void begin_grouped(Kernel *k, Grouped *s) {
    k->state = s, k->anchor = anchor_value, k->lane = lane_symbol(k->cx, LANES);
}

void lower_grouped(Kernel *k, LVal lo, LVal hi) {
    LoopBuilder *b = k->b;
    Grouped s = grouped_of(k, only_conv(k), SCHED_tile_m);
    begin_grouped(k, &s);
    place_image(k, &s);
    int64_t pass = k->schedule->field[SCHED_block_m];
    if (pass < 1 || k->schedule->field[SCHED_block_n] < LANES) {
        run_blocks(k, &s, lo, hi);
        return;
    }
    LVal first;
    LFor passes = l_for(b, lo, hi, pass, LOOP_SERIAL, NULL, 0, &first);
    run_blocks(k, &s, first, l_min(b, hi, l_add(b, first, l_i64(b, pass))));
    l_for_end(b, &passes, NULL, 0);
}

/* ---- for template separable ---------------------------------------------------------------------------------------- */

uint32_t grouped_range(Kernel *k, Val conv, SchedField pixels, Dim *dims) {
    Grouped s = grouped_of(k, conv, pixels);
    return range_dims(k, &s, dims);
}

Grouped *grouped_place(Kernel *k, Val conv, SchedField pixels) {
    Grouped *s = arena_new_array(k->arena, Grouped, 1);
    *s = grouped_of(k, conv, pixels);
    place_image(k, s);
    return s;
}

void grouped_keep(Kernel *k, Grouped *s, LVal lo, LVal hi, Val value, LVal to) {
    s->kept = value, s->to = to;
    begin_grouped(k, s);
    run_blocks(k, s, lo, hi);
}
