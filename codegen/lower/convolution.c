/* convolution.c: template `convolution`: conv over channels-last images, on the register tile.  Groups are columns apart: a tile lies
 * in one, and starts at its channels.
 *
 * The rows are output pixels, flattened over the batch.  For each filter tap a row of the tile is a pointer to the pixel
 * under the tap, or to a row of zeros where the tap lies outside the image: no halo, no border code.  Where channels are not
 * contiguous (the model's own channels-first input) the value is switched off instead.
 * Source: cpu.md "Second machine", "Convolution, dense NHWC".
 */
#include "tile.h"

enum { FEW_CHANNELS = 4, MOST_ZEROS = 4096 };

typedef struct Pixels {          /* of the rows of a tile */
    LVal base[MAX_TILE_ROWS];            /* offset of the pixel under tap 0 */
    LVal y[MAX_TILE_ROWS][MAX_RANK];     /* its place along each spatial axis */
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
    bool merges = s->whole && !s->pairs && channels <= FEW_CHANNELS && taps > 1;
    span = contiguous ? run_elements(cx, im, channels, taps) : 0;
    if (merges && (!contiguous || (span > 0 && span < MOST_ZEROS))) im->merged = (uint32_t)taps;
    if (im->any_checked && contiguous) im->zeros = zero_row(k, memory, (im->merged ? span : channels) * dtype_bytes(memory));
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
    for (uint32_t r = 0; r < rows; r++) {
        uint32_t symbols = k->symbols.n;
        kernel_bind(k, kernel_index_symbol(k, row), l_add(k->b, first_row, l_i64(k->b, r)));
        p->base[r] = kernel_dim(k, base);
        for (uint32_t i = 0; i < im->spatial; i++)
            if (im->checked[i]) p->y[r][i] = kernel_dim(k, y[i]);
        k->symbols.n = symbols;
    }
    kernel_leave(k, &scope);
}

/* The first channel of the group that the task's columns belong to. */
static LVal first_channel(Kernel *k, const Blocks *s) {
    int64_t groups = attr_int(s->node, ATTR_groups), filters;
    if (groups == 1 || !dim_const_value(k->cx, s->columns, &filters)) return l_i64(k->b, 0);
    LVal group = kernel_dim(k, kernel_simplify(k, dim_fdiv(k->cx, dim_muli(k->cx, s->panel, PANEL), dim_const(k->cx, filters / groups))));
    return l_mul(k->b, group, kernel_dim(k, s->channels));
}

/* Row pointers under one tap; the first `checked` axes may put it outside. */
static void place_rows(Kernel *k, const Blocks *s, const Image *im, const Pixels *p, LVal tap_value, LVal first, uint32_t checked, Tile *t) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    Dim tap = kernel_index(k, tap_value), moved = dim_const(cx, 0), shift[MAX_RANK];
    Fact fact[] = {{REL_LT, tap, s->taps}};
    KernelScope scope;
    kernel_enter(k, &scope, fact, 1);
    for (uint32_t i = im->spatial; i-- > 0;) {
        Dim r = i ? kernel_simplify(k, dim_mod(cx, tap, s->w->dims[i])) : tap;
        if (i) tap = kernel_simplify(k, dim_fdiv(cx, tap, s->w->dims[i]));
        shift[i] = dim_muli(cx, r, im->dilation[i]);
        moved = dim_add(cx, moved, dim_mul(cx, shift[i], im->axis[i]));
    }
    LVal channel = l_add(b, first_channel(k, s), first);
    LVal offset = l_add(b, kernel_dim(k, moved), l_mul(b, channel, kernel_dim(k, im->channel)));
    for (uint32_t row = 0; row < t->rows; row++) {
        LVal ok = {0};
        for (uint32_t i = 0; i < checked; i++) {
            if (!im->checked[i]) continue;
            LVal y = l_add(b, p->y[row][i], kernel_dim(k, shift[i]));
            LVal inside = l_bin(b, LOP_and, l_bin(b, LOP_le, l_i64(b, 0), y), l_lt(b, y, kernel_dim(k, s->x->dims[i + 1])));
            ok = ok.id ? l_bin(b, LOP_and, ok, inside) : inside;
        }
        t->inside[row] = im->zeros.id ? (LVal){0} : ok;
        if (im->x.same.id) continue;
        LVal at = l_offset(b, im->x.pointer, l_add(b, p->base[row], offset));
        t->row[row] = ok.id ? l_select(b, ok, at, im->zeros.id ? im->zeros : im->x.pointer) : at;
    }
    kernel_leave(k, &scope);
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
    place_rows(k, s, im, pixels, tap, part->first, im->spatial, t);
    blocks_panels(k, s, tap, part->first, t);
    tile_run(k, t, acc);
    if (!one) l_for_end(b, &loop, acc, n);
}

/* All taps of the innermost axis as one run: see all_inside. */
static void run_merged(Kernel *k, const Blocks *s, const Image *im, const Pixels *pixels, const Part *part, Tile *t, LVal *acc) {
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
    place_rows(k, s, im, pixels, tap, part->first, im->zeros.id ? last : 0, t);
    blocks_panels(k, s, tap, part->first, t);
    tile_run(k, t, acc);
    l_for_end(b, &loop, acc, n);
}

/* Every row's window lies inside the image along the innermost axis; without a row of zeros, along all. */
static LVal all_inside(Kernel *k, const Blocks *s, const Image *im, const Pixels *p, uint32_t rows) {
    LoopBuilder *b = k->b;
    uint32_t last = im->spatial - 1;
    LVal all = l_bool(b, true);
    for (uint32_t i = im->zeros.id ? last : 0; i <= last; i++) {
        if (!im->checked[i]) continue;
        LVal extent = kernel_dim(k, s->x->dims[i + 1]);
        LVal reach = kernel_dim(k, dim_muli(k->cx, dim_addi(k->cx, s->w->dims[i], -1), im->dilation[i]));
        for (uint32_t r = 0; r < rows; r++) {
            LVal y = p->y[r][i], inside = l_bin(b, LOP_and, l_bin(b, LOP_le, l_i64(b, 0), y), l_lt(b, l_add(b, y, reach), extent));
            all = l_bin(b, LOP_and, all, inside);
        }
    }
    return all;
}

static void accumulate(Kernel *k, Blocks *s, const Part *part, LVal first_row, uint32_t rows, const Group *gr, LVal *acc) {
    const Image *im = s->state;
    LoopBuilder *b = k->b;
    Pixels pixels;
    find_pixels(k, s, im, first_row, rows, &pixels);
    Tile t = {.rows = rows, .panels = gr->panels, .x = s->x->dtype, .same = im->x.same};
    if (!im->merged || im->x.same.id) {
        run_taps(k, s, im, &pixels, part, &t, acc);
    } else if (im->zeros.id ? !im->checked[im->spatial - 1] : !im->any_checked) {
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
    diag_fatal(k->cx, "schedule: tiles of %u panels do not divide the %lld groups of a convolution", s->tile_n, (long long)groups);
}

void lower_convolution(Kernel *k, LVal lo, LVal hi) {
    Blocks s = blocks_of(k);
    check_groups(k, &s);
    Image image = image_of(k, s.node);
    plan_runs(k, &s, &image);
    s.accumulate = accumulate;
    s.state = &image;
    blocks_lower(k, &s, lo, hi);
}
