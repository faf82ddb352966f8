/* separable.c: template `separable`: a grouped convolution (depthwise), what is pointwise behind it, and a convolution of one
 * tap over that, without a trip to memory between them.
 *
 * A strip is block_m of template grouped's tiles of lines.  Their values go to scratch, which stays in cache; the register tile
 * then takes its rows from there, all columns, and gives its sums to the epilogue, while the next lines of the image are
 * fetched.  The range is template grouped's.
 * Order law: that of both convolutions by themselves (grouped.c, tile.h); the second one's K is one chunk.
 * Source: docs/cpu.md section 3 ("Depthwise NHWC"); the two templates' own.
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

/* Elements of a strip's lines of the image that are new, and of one line; tiles of the strip; k. */
typedef struct Fetched { int64_t elements, line, tiles, depth; } Fetched;

/* False: some of it is unknown, or the image is not dense. */
static bool strip_image(Kernel *k, const Separable *s, const Image *im, const TypeInfo *x, Fetched *f) {
    Context *cx = k->cx;
    const Blocks *p = &s->product;
    uint32_t lines = im->spatial - 2, last = x->rank - 1;
    int64_t width, columns, count = s->strip * s->lines, rows, moved;
    bool known = dim_const_value(cx, dim_mul(cx, x->dims[last], x->dims[last - 1]), &f->line) &&
                 dim_const_value(cx, line_pixels(k, s), &width) && dim_const_value(cx, p->channels, &f->depth);
    if (!known || !dim_is(cx, im->channel, 1) || !dim_same(im->axis[lines + 1], x->dims[last])) return false;
    if (!dim_is(cx, im->axis[lines], f->line)) return false;
    /* Each of several groups of columns would fetch them. */
    if (!dim_const_value(cx, p->columns, &columns) || columns > (int64_t)p->tile_n * PANEL) return false;
    if (!ck_mul(count, width, &rows) || !ck_mul(count, im->stride[lines], &moved) || !ck_mul(moved, f->line, &f->elements))
        return false;
    f->tiles = rows / p->tile_m;
    return f->tiles > 0 && f->depth > 0;
}

/* The lines of the image that the next strip reads and this one does not are fetched while the product of this one's rows,
 * [begin, end), is summed: so many vectors for each k.  more: there is a next one; else what was just read takes its place. */
static void fetch_next(Kernel *k, Separable *s, LVal begin, LVal end, LVal more) {
    enum { MOST = 4 };
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    Blocks *p = &s->product;
    const Node *conv = node(k->body, s->grouped);
    const TypeInfo *x = val_type(k->body, conv->in[0]), *w = val_type(k->body, conv->in[1]);
    p->beside = (LVal){0};
    if (x->rank < 4) return;
    Image im = image_of(k, conv);
    uint32_t lines = im.spatial - 2;
    Fetched f;
    if (!strip_image(k, s, &im, x, &f)) return;
    int64_t each = f.elements / PANEL / f.tiles + 1; /* vectors for a tile */
    p->besides = (uint32_t)(each / f.depth < MOST ? (each + f.depth - 1) / f.depth : MOST);
    p->beside_step = l_select(b, more, l_i64(b, each * PANEL), l_i64(b, 0));
    Dim ahead = dim_muli(cx, dim_addi(cx, w->dims[lines], -1), im.dilation[lines]);
    ahead = dim_addi(cx, dim_sub(cx, ahead, im.low[lines]), 1 - im.stride[lines]);
    LVal row = l_select(b, more, end, begin), line = l_bin(b, LOP_div, row, kernel_dim(k, line_pixels(k, s)));
    LVal all = kernel_dim(k, line_count(k, s)), image = l_bin(b, LOP_div, line, all);
    LVal at = l_mul(b, l_bin(b, LOP_rem, line, all), l_i64(b, im.stride[lines]));
    LVal from = l_mul(b, l_add(b, at, kernel_dim(k, ahead)), l_i64(b, f.line));
    from = l_add(b, from, l_add(b, kernel_dim(k, im.origin), l_mul(b, image, kernel_dim(k, im.step))));
    p->beside = l_offset(b, im.x.pointer, from);
}

/* Tiles [first, end) of lines: their values to scratch, and the product over them.  more: others follow. */
static void run_strip(Kernel *k, Separable *s, Grouped *grouped, LVal first, LVal end, LVal more) {
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
    fetch_next(k, s, begin, l_add(b, begin, rows), more);
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
    LVal end = l_min(b, hi, l_add(b, first, strip));
    run_strip(k, &s, grouped, first, end, l_lt(b, end, hi));
    l_for_end(b, &strips, NULL, 0);
}
