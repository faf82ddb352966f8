/* share.c: what a share [lo, hi) of the launch's range is of a tiled contraction: whole tasks, and at its ends some tiles of
 * one.
 *
 * The range counts panels of row tiles, in the order of the tasks: batch element, block of rows, group of panels, and in it
 * tile by tile.  So threads get equal work whatever the number of tasks, and blocks may be as large as the caches allow.  An
 * end that lies inside of a tile means the tile's end: shares that meet agree on it, and cover the range together.
 */
#include "tile.h"

static Dim panel_count(Kernel *k, const Blocks *s) { return dim_cdiv(k->cx, s->columns, dim_const(k->cx, PANEL)); }

static Dim group_count(Kernel *k, const Blocks *s) {
    return dim_cdiv(k->cx, s->columns, dim_const(k->cx, (int64_t)blocks_wide(s) * PANEL));
}

void share_tasks(Kernel *k, const Blocks *s, Dim *dims) {
    dims[0] = dim_product(k->cx, s->y->dims, s->batch), dims[1] = blocks_count(k, s), dims[2] = group_count(k, s);
}

Dim share_range(Kernel *k, const Blocks *s) {
    Dim batches = dim_product(k->cx, s->y->dims, s->batch);
    return dim_mul(k->cx, batches, dim_mul(k->cx, blocks_tiles(k, s), panel_count(k, s)));
}

/* Tiles of a block: from its number, or from one of its tiles. */
typedef struct Span { LVal block, begin, count; } Span;

static Span span_of_tile(Kernel *k, const Blocks *s, LVal tile) {
    LoopBuilder *b = k->b;
    LVal tiles = kernel_dim(k, blocks_tiles(k, s)), blocks = kernel_dim(k, blocks_count(k, s));
    if (dim_is(k->cx, blocks_count(k, s), 1)) return (Span){l_i64(b, 0), l_i64(b, 0), tiles};
    LVal each = l_bin(b, LOP_div, tiles, blocks), more = l_bin(b, LOP_rem, tiles, blocks), larger = l_add(b, each, l_i64(b, 1));
    LVal cut = l_mul(b, more, larger), early = l_lt(b, tile, cut), late = l_sub(b, tile, cut);
    Span f = {.count = l_select(b, early, larger, each)};
    f.block = l_select(b, early, l_bin(b, LOP_div, tile, larger), l_add(b, more, l_bin(b, LOP_div, late, each)));
    f.begin = l_add(b, l_mul(b, f.block, each), l_min(b, f.block, more));
    return f;
}

static LVal task_of(Kernel *k, const Blocks *s, LVal unit) {
    LoopBuilder *b = k->b;
    LVal panels = kernel_dim(k, panel_count(k, s)), batch = {0};
    if (s->batch) {
        LVal each = l_mul(b, kernel_dim(k, blocks_tiles(k, s)), panels);
        batch = l_bin(b, LOP_div, unit, each), unit = l_bin(b, LOP_rem, unit, each);
    }
    Span f = span_of_tile(k, s, l_bin(b, LOP_div, unit, panels));
    LVal group = l_sub(b, unit, l_mul(b, f.begin, panels));
    group = l_bin(b, LOP_div, group, l_mul(b, f.count, l_i64(b, blocks_wide(s))));
    LVal row = batch.id ? l_add(b, l_mul(b, batch, kernel_dim(k, blocks_count(k, s))), f.block) : f.block;
    return l_add(b, l_mul(b, row, kernel_dim(k, group_count(k, s))), group);
}

static void ends_between(Kernel *k, const Blocks *s, LVal *ends) {
    LVal one = l_i64(k->b, 1);
    ends[0] = task_of(k, s, s->lo), ends[1] = l_add(k->b, task_of(k, s, l_sub(k->b, s->hi, one)), one);
}

void share_ends(Kernel *k, const Blocks *s, LVal *ends) {
    enum { SMALL = 64 /* units: more of them do not notice a few divisions */ };
    LoopBuilder *b = k->b;
    int64_t known;
    bool constant = dim_const_value(k->cx, blocks_tiles(k, s), &known) && dim_const_value(k->cx, s->columns, &known);
    if (constant || dim_hint(k->cx, share_range(k, s)) > SMALL) {
        ends_between(k, s, ends);
        return;
    }
    Dim dims[3];
    share_tasks(k, s, dims);
    LVal zero = l_i64(b, 0), all[] = {zero, kernel_dim(k, dim_product(k->cx, dims, 3))}, some[2];
    LVal whole = l_bin(b, LOP_eq, s->hi, kernel_dim(k, share_range(k, s)));
    LIf branch = l_if(b, l_bin(b, LOP_and, whole, l_bin(b, LOP_eq, s->lo, zero)));
    l_else(b, &branch, all, 2);
    ends_between(k, s, some);
    l_if_end(b, &branch, some, 2, ends);
}

/* Tiles of the task that lie before the unit; `start`: the task's first unit, `width`: units of a tile. */
static LVal tiles_before(Kernel *k, LVal unit, LVal start, LVal width, LVal tiles) {
    LoopBuilder *b = k->b;
    LVal zero = l_i64(b, 0), units = l_min(b, l_bin(b, LOP_max, l_sub(b, unit, start), zero), l_mul(b, width, tiles));
    return l_bin(b, LOP_div, l_add(b, units, l_sub(b, width, l_i64(b, 1))), width);
}

Rows share_rows(Kernel *k, const Blocks *s, const Dim *task, uint32_t panels) {
    LoopBuilder *b = k->b;
    Rows r = blocks_rows(k, s, task[1]);
    LVal all = kernel_dim(k, panel_count(k, s)), begin = r.begin, tiles = l_sub(b, r.end, begin),
         column = kernel_dim(k, s->panel);
    LVal start = l_add(b, l_mul(b, begin, all), l_mul(b, tiles, column)), width = l_i64(b, panels);
    int64_t columns;
    if (!dim_const_value(k->cx, s->columns, &columns)) width = l_min(b, width, l_sub(b, all, column));
    if (s->batch) start = l_add(b, start, l_mul(b, kernel_dim(k, task[0]), l_mul(b, kernel_dim(k, blocks_tiles(k, s)), all)));
    r.begin = l_add(b, begin, tiles_before(k, s->lo, start, width, tiles));
    r.end = l_add(b, begin, tiles_before(k, s->hi, start, width, tiles));
    return r;
}
