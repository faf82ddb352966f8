/* convolution.c: template `convolution`: conv over channels-last images, on the register tile.  Groups are columns apart:
 * a tile lies in one, and starts at its channels.
 *
 * The rows are output pixels, flattened over the batch.  For each filter tap a row of the tile is a pointer to the pixel
 * under the tap, or to a row of zeros where the tap lies outside the image: no halo, no border code.  Where channels are not
 * contiguous (the model's own channels-first input) the value is switched off instead.  Where tiles lie in lines of the
 * image, a tile's rows lie at constant distances, only its ends may leave the line, and taps above and below are skipped.
 * Of one channel in pairs of bf16 a row of taps, which never leaves the line, takes the place of a tap's channels.
 * Source: docs/cpu.md "Second machine", "Convolution, dense NHWC".
 */
#include "tile.h"
#include <string.h>

enum { FEW_CHANNELS = 4, MOST_ZEROS = 4096 };

typedef struct Pixels {          /* of the rows of a tile */
    LVal base[MAX_TILE_ROWS];            /* offset of the pixel under tap 0 */
    LVal y[MAX_TILE_ROWS][MAX_RANK];     /* its place along each spatial axis */
    bool line;                           /* all lie in one line, at constant distances */
    Dim distance;                        /* from one to the next */
    bool after[MAX_TILE_ROWS], before[MAX_TILE_ROWS]; /* no tap lies before the line's first pixel; after its last */
} Pixels;

/* Elements that a run over a row of taps spans where channels are contiguous; 0: unknown. */
static int64_t run_elements(Context *cx, const Image *im, int64_t channels, int64_t taps) {
    int64_t step, reach;
    uint32_t last = im->spatial - 1;
    if (!dim_const_value(cx, im->axis[last], &step) || step < 0 || !ck_mul(step, im->dilation[last], &reach)) return 0;
    return ck_mul(reach, taps - 1, &reach) && ck_add(reach, channels, &reach) ? reach : 0;
}

/* The row of zeros, and whether taps merge. */
static void plan_runs(Kernel *k, const Blocks *s, Image *im) {
    Context *cx = k->cx;
    DType memory = loop_memory_dtype(s->x->dtype);
    int64_t channels, taps, span;
    bool contiguous = dim_is(cx, im->channel, 1);
    if (!dim_const_value(cx, s->channels, &channels) || !dim_const_value(cx, s->w->dims[im->spatial - 1], &taps)) return;
    bool lines =
        s->whole || (s->chained && channels * taps <= s->chunk && s->chunk / channels % taps == 0); /* of taps, each part */
    bool merges = lines && s->deep == 1 && channels <= FEW_CHANNELS && taps > 1;
    span = contiguous ? run_elements(cx, im, channels, taps) : 0;
    if (merges && (!contiguous || (span > 0 && span < MOST_ZEROS))) im->merged = (uint32_t)taps;
    if (im->any_checked && contiguous) im->zeros = zero_row(k, memory, (im->merged ? span : channels) * dtype_bytes(memory));
}

/* Pixels of one line from that of row 0. */
static void find_line(Kernel *k, const Blocks *s, const Image *im, uint32_t rows, Pixels *p) {
    Context *cx = k->cx;
    uint32_t last = im->spatial - 1;
    Dim width = s->y->dims[im->spatial], reach = dim_muli(cx, dim_addi(cx, s->w->dims[last], -1), im->dilation[last]);
    p->distance = dim_muli(cx, im->axis[last], im->stride[last]);
    for (uint32_t r = 0; r < rows; r++) {
        int64_t moved = r * im->stride[last];
        for (uint32_t i = 0; i < last; i++) p->y[r][i] = p->y[0][i];
        if (im->checked[last]) p->y[r][last] = l_add(k->b, p->y[0][last], l_i64(k->b, moved));
        Dim least = dim_sub(cx, dim_const(cx, moved), im->low[last]);
        Dim most = dim_add(cx, dim_add(cx, least, dim_muli(cx, dim_addi(cx, width, -(int64_t)rows), im->stride[last])), reach);
        p->after[r] = prove(cx, k->scope, REL_LE, dim_const(cx, 0), least) == YES;
        p->before[r] = prove(cx, k->scope, REL_LT, most, s->x->dims[last + 1]) == YES;
    }
}

static void find_pixels(Kernel *k, const Blocks *s, const Image *im, LVal first_row, uint32_t rows, Pixels *p) {
    Context *cx = k->cx;
    Dim at[MAX_RANK], row = kernel_index(k, first_row), y[MAX_RANK], base;
    Fact fact[] = {{REL_LT, row, s->rows}};
    KernelScope scope;
    kernel_enter(k, &scope, fact, 1);
    blocks_row(k, s, row, at);
    base = dim_add(cx, im->origin, dim_mul(cx, at[0], im->step));
    for (uint32_t i = 0; i < im->spatial; i++) {
        y[i] = dim_sub(cx, dim_muli(cx, at[i + 1], im->stride[i]), im->low[i]);
        base = dim_add(cx, base, dim_mul(cx, y[i], im->axis[i]));
    }
    base = kernel_simplify(k, base);
    p->line = rows > 1 && s->width.id && !im->x.same.id;
    for (uint32_t r = 0; r < (p->line ? 1 : rows); r++) {
        uint32_t symbols = k->symbols.n;
        LVal number = s->last.id && r + 1 == rows ? s->last : l_add(k->b, first_row, l_i64(k->b, r));
        kernel_bind(k, kernel_index_symbol(k, row), number);
        p->base[r] = kernel_dim(k, base);
        for (uint32_t i = 0; i < im->spatial; i++)
            if (im->checked[i]) p->y[r][i] = kernel_dim(k, y[i]);
        k->symbols.n = symbols;
    }
    kernel_leave(k, &scope);
    if (p->line) find_line(k, s, im, rows, p);
}

/* The first channel of the group that the task's columns belong to. */
static LVal first_channel(Kernel *k, const Blocks *s) {
    int64_t groups = attr_int(s->node, ATTR_groups), filters;
    if (groups == 1 || !dim_const_value(k->cx, s->columns, &filters)) return l_i64(k->b, 0);
    Dim column = dim_muli(k->cx, s->panel, PANEL);
    LVal group = kernel_dim(k, kernel_simplify(k, dim_fdiv(k->cx, column, dim_const(k->cx, filters / groups))));
    return l_mul(k->b, group, kernel_dim(k, s->channels));
}

/* Place y along spatial axis i lies in the image. */
static LVal is_inside(Kernel *k, const Blocks *s, uint32_t i, LVal y, bool after, bool before) {
    LoopBuilder *b = k->b;
    LVal low = after ? l_bool(b, true) : l_bin(b, LOP_le, l_i64(b, 0), y);
    return before ? low : l_bin(b, LOP_and, low, l_lt(b, y, kernel_dim(k, s->x->dims[i + 1])));
}

/* One tap: how far it lies along each axis, and where in memory from tap 0. */
typedef struct Tap { LVal shift[MAX_RANK], offset; } Tap;

static Tap tap_at(Kernel *k, const Blocks *s, const Image *im, LVal value, LVal first) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    KernelScope outer, scope;
    kernel_enter(k, &outer, NULL, 0);
    Dim tap = kernel_index(k, value), moved = dim_const(cx, 0), shift;
    Fact fact[] = {{REL_LT, tap, s->taps}};
    Tap t;
    kernel_enter(k, &scope, fact, 1);
    for (uint32_t i = im->spatial - s->runs; i-- > 0;) {
        Dim r = i ? kernel_simplify(k, dim_mod(cx, tap, s->w->dims[i])) : tap;
        if (i) tap = kernel_simplify(k, dim_fdiv(cx, tap, s->w->dims[i]));
        shift = dim_muli(cx, r, im->dilation[i]);
        t.shift[i] = kernel_dim(k, shift);
        moved = dim_add(cx, moved, dim_mul(cx, shift, im->axis[i]));
    }
    LVal channel = l_add(b, first_channel(k, s), first);
    t.offset = l_add(b, kernel_dim(k, moved), l_mul(b, channel, kernel_dim(k, im->channel)));
    kernel_leave(k, &scope);
    kernel_leave(k, &outer);
    return t;
}

/* The axes [from, to) do not put the row's tap outside; id 0: they cannot. */
static LVal row_inside(Kernel *k, const Blocks *s, const Image *im, const Pixels *p, const Tap *tap, uint32_t row,
                       uint32_t from, uint32_t to) {
    LVal ok = {0};
    for (uint32_t i = from; i < to; i++) {
        bool last = p->line && i + 1 == im->spatial;
        if (!im->checked[i] || (last && p->after[row] && p->before[row])) continue;
        LVal y = l_add(k->b, p->y[row][i], tap->shift[i]);
        LVal inside = is_inside(k, s, i, y, last && p->after[row], last && p->before[row]);
        ok = ok.id ? l_bin(k->b, LOP_and, ok, inside) : inside;
    }
    return ok;
}

/* Row pointers under one tap; axes [from, to) may put it outside. */
static void place_rows(Kernel *k, const Blocks *s, const Image *im, const Pixels *p, const Tap *tap, uint32_t from,
                       uint32_t to, Tile *t) {
    LoopBuilder *b = k->b;
    LVal start = {0};
    for (uint32_t row = 0; row < t->rows; row++) {
        LVal ok = row_inside(k, s, im, p, tap, row, from, to);
        t->inside[row] = im->zeros.id ? (LVal){0} : ok;
        if (im->x.same.id) continue;
        LVal at;
        if (p->line && row) at = l_offset(b, start, l_mul(b, kernel_dim(k, p->distance), l_i64(b, row)));
        else at = start = l_offset(b, im->x.pointer, l_add(b, p->base[row], tap->offset));
        t->row[row] = ok.id ? l_select(b, ok, at, im->zeros.id ? im->zeros : im->x.pointer) : at;
    }
}

/* Rows [from, to) of the tile: as one of so many. */
static void run_between(Kernel *k, const Tile *t, uint32_t from, uint32_t to, LVal *acc) {
    Tile part = *t;
    part.rows = to - from;
    for (uint32_t i = from; i < to; i++) part.row[i - from] = t->row[i], part.inside[i - from] = t->inside[i];
    tile_run(k, &part, acc + (size_t)from * t->panels);
}

/* The run of a tap; a row at an end of the line that the tap puts outside of it has no part in it. */
static void run_ends(Kernel *k, const Blocks *s, const Image *im, const Pixels *p, const Tap *tap, const Tile *t, LVal *acc) {
    LoopBuilder *b = k->b;
    uint32_t last = im->spatial - 1, rows = t->rows, n = rows * t->panels;
    LVal first = {0}, end = {0}, before[MAX_TILE_ROWS * MAX_TILE_PANELS], cut[MAX_TILE_ROWS * MAX_TILE_PANELS];
    LIf early = {0}, late = {0};
    if (p->line && im->zeros.id && !im->merged) {
        first = row_inside(k, s, im, p, tap, 0, last, last + 1);
        end = row_inside(k, s, im, p, tap, rows - 1, last, last + 1);
    }
    memcpy(before, acc, n * sizeof *acc), memcpy(cut, acc, n * sizeof *acc);
    if (first.id) early = l_if(b, first);
    if (end.id) late = l_if(b, end);
    tile_run(k, t, acc);
    if (end.id) {
        l_else(b, &late, acc, n);
        run_between(k, t, 0, rows - 1, cut);
        l_if_end(b, &late, cut, n, acc);
    }
    if (!first.id) return;
    l_else(b, &early, acc, n);
    run_between(k, t, 1, rows, before);
    l_if_end(b, &early, before, n, acc);
}

/* Under a stride taps share few pixels, and the machine does not guess those of the next tile: they are fetched meanwhile. */
static void fetch_next(Kernel *k, const Image *im, const Pixels *p, Tile *t) {
    if (!p->line || !im->zeros.id || im->stride[im->spatial - 1] < 2) return;
    LVal on = l_mul(k->b, kernel_dim(k, p->distance), l_i64(k->b, t->rows - 1));
    t->beside = l_offset(k->b, t->row[1], on), t->besides = 1;
}

/* The run of a tap; where the whole line of a tile lies outside, none. */
static void run_tap(Kernel *k, const Blocks *s, const Image *im, const Pixels *p, const Tap *tap,
                    uint32_t checked, Tile *t, LVal *acc) {
    uint32_t lines = p->line ? im->spatial - 1 : 0, n = t->rows * t->panels;
    LVal inside = row_inside(k, s, im, p, tap, 0, 0, lines), before[MAX_TILE_ROWS * MAX_TILE_PANELS];
    LIf branch = {0};
    memcpy(before, acc, n * sizeof *acc);
    if (inside.id) branch = l_if(k->b, inside);
    place_rows(k, s, im, p, tap, lines, checked, t);
    fetch_next(k, im, p, t);
    run_ends(k, s, im, p, tap, t, acc);
    if (!inside.id) return;
    l_else(k->b, &branch, acc, n);
    l_if_end(k->b, &branch, before, n, acc);
}

/* Tap by tap: any channels, any border. */
static void run_taps(Kernel *k, const Blocks *s, const Image *im, const Pixels *pixels, const Part *part, Tile *t, LVal *acc) {
    LoopBuilder *b = k->b;
    LVal tap = l_i64(b, 0);
    uint32_t n = t->rows * t->panels;
    bool one = dim_is(k->cx, s->taps, 1);
    LFor loop = {0};
    if (!one) loop = l_for(b, part->tap, part->end, 1, LOOP_SERIAL, acc, n, &tap);
    t->count = part->count, t->depth = 1;
    t->stride = kernel_dim(k, im->channel);
    Tap at = tap_at(k, s, im, tap, part->first);
    blocks_panels(k, s, tap, part->first, t);
    run_tap(k, s, im, pixels, &at, im->spatial, t, acc);
    if (!one) l_for_end(b, &loop, acc, n);
}

/* All taps of the innermost axis as one run: see all_inside. */
static void run_merged(Kernel *k, const Blocks *s, const Image *im, const Pixels *pixels, const Part *part, Tile *t,
                       LVal *acc) {
    LoopBuilder *b = k->b;
    Context *cx = k->cx;
    uint32_t n = t->rows * t->panels, last = im->spatial - 1;
    int64_t channels = 1;
    LVal tap;
    dim_const_value(cx, s->channels, &channels);
    LFor loop = l_for(b, part->tap, part->end, im->merged, LOOP_SERIAL, acc, n, &tap);
    t->count = l_i64(b, im->merged), t->depth = (uint32_t)channels;
    t->stride = kernel_dim(k, dim_muli(cx, im->axis[last], im->dilation[last]));
    t->inner = kernel_dim(k, im->channel);
    Tap at = tap_at(k, s, im, tap, part->first);
    blocks_panels(k, s, tap, part->first, t);
    run_tap(k, s, im, pixels, &at, im->zeros.id || pixels->line ? last : 0, t, acc);
    l_for_end(b, &loop, acc, n);
}

/* Every row's window lies inside the image along the innermost axis; without a row of zeros or a line, along all. */
static LVal all_inside(Kernel *k, const Blocks *s, const Image *im, const Pixels *p, uint32_t rows) {
    LoopBuilder *b = k->b;
    uint32_t last = im->spatial - 1;
    LVal all = l_bool(b, true);
    for (uint32_t i = im->zeros.id || p->line ? last : 0; i <= last; i++) {
        if (!im->checked[i]) continue;
        LVal extent = kernel_dim(k, s->x->dims[i + 1]);
        LVal reach = kernel_dim(k, dim_muli(k->cx, dim_addi(k->cx, s->w->dims[i], -1), im->dilation[i]));
        for (uint32_t r = 0; r < rows; r++) {
            LVal y = p->y[r][i];
            if (!p->line || !p->after[r]) all = l_bin(b, LOP_and, all, l_bin(b, LOP_le, l_i64(b, 0), y));
            if (!p->line || !p->before[r]) all = l_bin(b, LOP_and, all, l_lt(b, l_add(b, y, reach), extent));
        }
    }
    return all;
}

static void accumulate(Kernel *k, Blocks *s, const Part *part, LVal first_row, uint32_t rows, const Group *gr, LVal *acc) {
    const Image *im = s->state;
    LoopBuilder *b = k->b;
    Pixels pixels;
    find_pixels(k, s, im, first_row, rows, &pixels);
    Tile t = {.rows = rows, .panels = gr->panels, .x = s->x->dtype, .same = im->x.same, .line = pixels.line};
    if (s->in_place) blocks_masks(k, s, gr, &t);
    t.half = blocks_half(k, s, gr);
    if (!im->merged || im->x.same.id) {
        run_taps(k, s, im, &pixels, part, &t, acc);
    } else if (im->zeros.id || pixels.line ? !im->checked[im->spatial - 1] : !im->any_checked) {
        run_merged(k, s, im, &pixels, part, &t, acc);
    } else {
        LVal before[MAX_TILE_ROWS * MAX_TILE_PANELS];
        uint32_t n = rows * gr->panels;
        for (uint32_t i = 0; i < n; i++) before[i] = acc[i];
        LIf branch = l_if(b, all_inside(k, s, im, &pixels, rows));
        run_merged(k, s, im, &pixels, part, &t, acc);
        l_else(b, &branch, acc, n);
        run_taps(k, s, im, &pixels, part, &t, before);
        l_if_end(b, &branch, before, n, acc);
    }
}

Dim range_convolution(Kernel *k) {
    Blocks s = blocks_of(k);
    return share_range(k, &s);
}

Dim scratch_convolution(Kernel *k) {
    Blocks s = blocks_of(k);
    return blocks_scratch(k, &s);
}

/* A tile may not span two groups. */
static void check_groups(Kernel *k, const Blocks *s) {
    int64_t groups = attr_int(s->node, ATTR_groups), filters;
    if (groups == 1 || (dim_const_value(k->cx, s->columns, &filters) && filters / groups % (s->tile_n * PANEL) == 0)) return;
    diag_fatal(k->cx, "schedule: tiles of %u panels do not divide the %lld groups of a convolution", s->tile_n,
               (long long)groups);
}

void convolution_place(Kernel *k, Blocks *s) {
    Image *image = arena_new_array(k->arena, Image, 1);
    check_groups(k, s);
    *image = image_of(k, s->node);
    if (s->runs && image->checked[image->spatial - 1]) diag_fatal(k->cx, "schedule: a row of taps in pairs leaves its line");
    if (s->runs) image->channel = dim_muli(k->cx, image->axis[image->spatial - 1], image->dilation[image->spatial - 1]);
    plan_runs(k, s, image);
    s->accumulate = accumulate, s->repeats = true;
    s->state = image;
}

void lower_convolution(Kernel *k, LVal lo, LVal hi) {
    Blocks s = blocks_of(k);
    convolution_place(k, &s);
    blocks_lower(k, &s, lo, hi);
}
