/* separable.c: template `separable`: a grouped convolution (depthwise), what is pointwise behind it, and a convolution of one
 * tap over that, without a trip to memory between them.
 *
 * A strip is block_m of template grouped's tiles of lines.  Their values go to scratch, which stays in cache; the register tile
 * then takes its rows from there, all columns, and gives its sums to the epilogue.  The range is template grouped's.
 * Order law: that of both convolutions by themselves (grouped.c, tile.h); the second one's K is one chunk.
 * Source: cpu.md section 3 ("Depthwise NHWC"); the two templates' own.
 */
#include "tile.h"

typedef struct Separable {
    Val grouped;                 /* the first convolution; the other's operand is made of its results one by one */
    Blocks product;
    int64_t lines, strip;        /* of a tile; tiles */
    uint32_t n;
    Dim tiles[MAX_RANK];         /* of lines: those of an image last */
} Separable;

static Separable separable_of(Kernel *k) {
    const Graph *g = k->body;
    Separable s = {.lines = k->schedule->field[SCHED_unroll], .strip = k->schedule->field[SCHED_block_m]};
    Val last = {0};
    for (uint32_t i = 1; i < g->nodes.n; i++)
        if (g->nodes.at[i].op == OP_conv) s.grouped = last, last = (Val){i};
    if (!s.grouped.id || s.strip < 1) diag_fatal(k->cx, "schedule: template separable needs two convolutions, and strips");
    s.product = blocks_at(k, last);
    if (!s.product.whole || s.product.packs || !dim_is(k->cx, s.product.taps, 1))
        diag_fatal(k->cx, "schedule: template separable takes a second convolution of one packed tap and one chunk");
    s.n = grouped_range(k, s.grouped, SCHED_pixels, s.tiles);
    return s;
}

/* Lines of an image, and pixels of one. */
static Dim line_count(Kernel *k, const Separable *s) {
    const TypeInfo *y = val_type(k->body, s->grouped);
    return y->rank > 3 ? y->dims[y->rank - 3] : dim_const(k->cx, 1);
}
static Dim line_pixels(Kernel *k, const Separable *s) {
    const TypeInfo *y = val_type(k->body, s->grouped);
    return y->dims[y->rank - 2];
}

Dim range_separable(Kernel *k) {
    Separable s = separable_of(k);
    return dim_product(k->cx, s.tiles, s.n);
}

Dim scratch_separable(Kernel *k) {
    Context *cx = k->cx;
    Separable s = separable_of(k);
    Dim rows = dim_muli(cx, line_pixels(k, &s), s.strip * s.lines), line = dim_const(cx, 64);
    Dim bytes = dim_muli(cx, dim_mul(cx, rows, s.product.channels), dtype_bytes(s.product.x->dtype));
    return dim_mul(cx, dim_cdiv(cx, bytes, line), line);
}

/* The first of the flattened rows that tile `tile` of the range has: full tiles of lines, then single lines, image by image. */
static LVal first_row(Kernel *k, const Separable *s, LVal tile) {
    LoopBuilder *b = k->b;
    LVal lines = kernel_dim(k, line_count(k, s)), each = l_i64(b, s->lines), image = l_i64(b, 0);
    LVal pixels = kernel_dim(k, line_pixels(k, s)), line = tile;
    if (val_rank(k->body, s->grouped) > 3) {
        LVal tiles = kernel_dim(k, s->tiles[s->n - 1]), full = l_bin(b, LOP_div, lines, each);
        image = l_mul(b, l_bin(b, LOP_div, tile, tiles), lines), tile = l_bin(b, LOP_rem, tile, tiles);
        line = l_add(b, tile, l_mul(b, l_min(b, tile, full), l_sub(b, each, l_i64(b, 1))));
    }
    return l_mul(b, l_add(b, image, line), pixels);
}

/* Numbers of rows that a strip's tiles may have, as bits. */
static uint32_t tile_sizes(Kernel *k, const Separable *s) {
    int64_t pixels, m = s->product.tile_m;
    uint32_t sizes = 0;
    if (!dim_const_value(k->cx, line_pixels(k, s), &pixels)) return (2u << m) - 2;
    for (int64_t lines = 1; lines <= s->strip * s->lines; lines++) {
        int64_t rows = lines * pixels, tiles = (rows + m - 1) / m;
        if (tiles) sizes |= 1u << rows / tiles | (rows % tiles ? 2u << rows / tiles : 0);
    }
    return sizes ? sizes : 2;
}

/* Tiles [first, end) of lines: their values to scratch, and the product over them. */
static void run_strip(Kernel *k, Separable *s, Grouped *grouped, LVal first, LVal end) {
    LoopBuilder *b = k->b;
    Blocks *p = &s->product;
    LVal begin = first_row(k, s, first), rows = l_sub(b, first_row(k, s, end), begin), one = l_i64(b, 1);
    LVal pitch = kernel_dim(k, p->channels), m = l_i64(b, p->tile_m);
    DType memory = loop_memory_dtype(p->x->dtype);
    LVal scratch = l_inst(b, LOP_recast, lt_pointer(memory), &k->scratch, 1, 0);
    grouped_keep(k, grouped, first, end, p->node->in[0], l_offset(b, scratch, l_mul(b, l_mul(b, begin, pitch), l_i64(b, -1))));
    LVal tiles = l_bin(b, LOP_div, l_add(b, rows, l_sub(b, m, one)), m);
    Rows r = {.begin = l_i64(b, 0),
              .end = tiles,
              .size = l_bin(b, LOP_div, rows, tiles),
              .larger = l_bin(b, LOP_rem, rows, tiles),
              .first = begin,
              .sizes = tile_sizes(k, s)};
    p->made = scratch, p->made_first = begin, p->made_pitch = pitch, p->made_dtype = p->x->dtype;
    blocks_strip(k, p, &r);
}

void lower_separable(Kernel *k, LVal lo, LVal hi) {
    LoopBuilder *b = k->b;
    Separable s = separable_of(k);
    LVal first, strip = l_i64(b, s.strip);
    s.product.accumulate = contraction_accumulate;
    k->lane = lane_symbol(k->cx, LANES);
    Grouped *grouped = grouped_place(k, s.grouped, SCHED_pixels);
    LFor strips = l_for(b, lo, hi, s.strip, LOOP_SERIAL, NULL, 0, &first);
    run_strip(k, &s, grouped, first, l_min(b, hi, l_add(b, first, strip)));
    l_for_end(b, &strips, NULL, 0);
}
