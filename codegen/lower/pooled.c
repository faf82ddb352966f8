/* pooled.c: template `pooled`: a convolution, what is pointwise behind it, and windows over that (max and average pooling),
 * without a trip to memory between them.
 *
 * A strip is a few lines of windows (places of the first spatial axis).  The lines of the convolution that they see go to
 * scratch, which stays in cache, and the windows are evaluated from there.  Lines that the next strip sees again move to the
 * front, so that a line is computed once, but for those that two shares of the range both see.  The range counts lines of
 * windows, image by image.
 * Order law: the convolution's (tile.h), which is all in one strip or part by part of K, and the windows' own (reduce.c).
 * Source: template separable, with rows of windows in place of the second convolution.
 */
#include "tile.h"

typedef struct Pooled {
    Val kept, window;            /* what the windows read: the convolution's results one by one; they */
    Blocks conv;
    int64_t strip;               /* lines of windows */
    int64_t step, reach;         /* lines from one window to the next; that a window spans */
    Dim low;                     /* lines of padding before the first */
    LVal lines;                  /* in scratch: those .. */
    Dim image, first;            /* .. of this image, from this one on */
    Dim at[MAX_RANK];            /* of the windows at hand */
} Pooled;

/* Rows of the convolution that a line of it has. */
static Dim line_rows(Kernel *k, const Pooled *s) {
    const TypeInfo *y = s->conv.y;
    return dim_product(k->cx, y->dims + 2, y->rank - 3);
}

static int64_t most_lines(const Pooled *s) { return (s->strip - 1) * s->step + s->reach; }

static Pooled pooled_of(Kernel *k) {
    const Graph *g = k->body;
    Pooled s = {0};
    Val conv = {0};
    int64_t rows;
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        if (g->nodes.at[i].op == OP_conv) conv = (Val){i};
        if (node_attr(&g->nodes.at[i], ATTR_window)) s.window = (Val){i};
    }
    if (!conv.id || !s.window.id) diag_fatal(k->cx, "schedule: template pooled needs a convolution and windows over it");
    const Node *n = node(g, s.window);
    s.kept = n->in[0], s.conv = blocks_at(k, conv);
    s.step = attr_ints(n, ATTR_stride, NULL)[1], s.low = attr_dims(n, ATTR_low, NULL)[1];
    s.reach = (attr_ints(n, ATTR_window, NULL)[1] - 1) * attr_ints(n, ATTR_dilation, NULL)[1] + 1;
    if (s.conv.packs || !dim_const_value(k->cx, line_rows(k, &s), &rows) || rows < 1)
        diag_fatal(k->cx, "schedule: template pooled takes a convolution of packed filters and lines of known length");
    int64_t room = k->schedule->field[SCHED_block_m] / rows;
    s.strip = room > s.reach ? (room - s.reach) / s.step + 1 : 1;
    s.conv.block_tiles = (uint32_t)((most_lines(&s) * rows + s.conv.tile_m - 1) / s.conv.tile_m);
    return s;
}

/* Elements of a line in scratch. */
static Dim line_elements(Kernel *k, const Pooled *s) { return dim_mul(k->cx, line_rows(k, s), s->conv.columns); }

Dim range_pooled(Kernel *k) {
    Pooled s = pooled_of(k);
    const TypeInfo *t = val_type(k->body, s.window);
    return dim_mul(k->cx, t->dims[0], t->dims[1]);
}

Dim scratch_pooled(Kernel *k) {
    Pooled s = pooled_of(k);
    Dim bytes = dim_muli(k->cx, line_elements(k, &s), most_lines(&s) * dtype_bytes(val_dtype(k->body, s.kept)));
    Dim unit = dim_const(k->cx, 64);
    return dim_add(k->cx, blocks_scratch(k, &s.conv), dim_mul(k->cx, dim_cdiv(k->cx, bytes, unit), unit));
}

/* ---- the convolution's lines --------------------------------------------------------------------------------------------- */

/* Numbers of rows that a strip's tiles may have, as bits. */
static uint32_t tile_sizes(Kernel *k, const Pooled *s) {
    int64_t each = 1, m = s->conv.tile_m;
    uint32_t sizes = 0;
    dim_const_value(k->cx, line_rows(k, s), &each);
    for (int64_t lines = 1; lines <= most_lines(s); lines++) {
        int64_t rows = lines * each, tiles = (rows + m - 1) / m;
        sizes |= 1u << rows / tiles | (rows % tiles ? 2u << rows / tiles : 0);
    }
    return sizes;
}

/* Lines [begin, end) of the image to where they lie in scratch. */
static void make_lines(Kernel *k, Pooled *s, LVal begin, LVal end) {
    LoopBuilder *b = k->b;
    Blocks *c = &s->conv;
    LVal each = kernel_dim(k, line_rows(k, s)), m = l_i64(b, c->tile_m), one = l_i64(b, 1);
    LVal image = l_mul(b, kernel_dim(k, s->image), kernel_dim(k, c->y->dims[1]));
    LVal rows = l_mul(b, l_sub(b, end, begin), each), tiles = l_bin(b, LOP_div, l_add(b, rows, l_sub(b, m, one)), m);
    LIf some = l_if(b, l_lt(b, begin, end));
    Rows r = {.begin = l_i64(b, 0), .end = tiles, .size = l_bin(b, LOP_div, rows, tiles),
              .larger = l_bin(b, LOP_rem, rows, tiles),
              .first = l_mul(b, l_add(b, image, begin), each), .sizes = tile_sizes(k, s)};
    LVal before = l_mul(b, l_add(b, image, kernel_dim(k, s->first)), kernel_dim(k, line_elements(k, s)));
    c->kept = s->kept, c->to = l_offset(b, s->lines, l_mul(b, before, l_i64(b, -1)));
    blocks_strip(k, c, &r);
    l_else(b, &some, NULL, 0), l_if_end(b, &some, NULL, 0, NULL);
}

typedef struct Move { LVal to, from; } Move;

static void move_step(Kernel *k, void *user, Dim at, LVal *carried) {
    const Move *m = user;
    (void)carried;
    LVal place = kernel_dim(k, dim_substitute(k->cx, at, &k->lane, (Dim[]){dim_const(k->cx, 0)}, 1));
    l_store(k->b, m->to, place, l_load(k->b, m->from, place, LANES, k->mask), k->mask);
}

/* Lines [from, end) of those that start with `first` move to the front: towards lower addresses, in their order. */
static void move_lines(Kernel *k, const Pooled *s, LVal first, LVal from, LVal end) {
    LoopBuilder *b = k->b;
    LVal each = kernel_dim(k, line_elements(k, s));
    Move m = {s->lines, l_offset(b, s->lines, l_mul(b, l_sub(b, from, first), each))};
    KernelScope scope;
    LIf some = l_if(b, l_bin(b, LOP_and, l_lt(b, first, from), l_lt(b, from, end)));
    kernel_enter(k, &scope, NULL, 0);
    Dim lines = kernel_index(k, l_sub(b, end, from));
    kernel_vector_loop(k, dim_mul(k->cx, lines, line_elements(k, s)), LANES, NULL, 0, move_step, &m);
    kernel_leave(k, &scope);
    l_else(b, &some, NULL, 0), l_if_end(b, &some, NULL, 0, NULL);
}

/* ---- windows ------------------------------------------------------------------------------------------------------------- */

/* AnchorFn: what the windows read. */
static LVal line_value(Kernel *k, Val v, const Dim *at) {
    const Pooled *s = k->state;
    if (v.id != s->kept.id) return (LVal){0};
    const TypeInfo *t = val_type(k->body, v);
    Dim place[MAX_RANK];
    for (uint32_t i = 0; i < t->rank; i++) place[i] = at[i];
    place[0] = dim_const(k->cx, 0), place[1] = dim_sub(k->cx, at[1], s->first);
    return kernel_load(k, s->lines, t->dtype, access_offset(k->cx, t->dims, place, t->rank));
}

static void window_step(Kernel *k, void *user, Dim at, LVal *carried) {
    Pooled *s = user;
    const Graph *g = k->body;
    (void)carried;
    s->at[s->conv.y->rank - 1] = at;
    for (uint32_t r = 0; r < g->results.n; r++) {
        Val v = g->results.at[r];
        const TypeInfo *t = val_type(g, v);
        kernel_store(k, k->outputs[r], t->dtype, access_offset(k->cx, t->dims, s->at, t->rank), kernel_eval(k, v, s->at));
    }
}

/* Windows of axes [axis, ..), those before at hand. */
static void pool_axis(Kernel *k, Pooled *s, uint32_t axis) {
    const TypeInfo *t = val_type(k->body, s->window);
    if (axis + 1 == t->rank) {
        kernel_vector_loop(k, t->dims[axis], LANES, NULL, 0, window_step, s);
        return;
    }
    KernelLoop loop;
    s->at[axis] = kernel_loop(k, &loop, l_i64(k->b, 0), kernel_dim(k, t->dims[axis]), t->dims[axis], 1, NULL, 0);
    pool_axis(k, s, axis + 1);
    kernel_loop_end(k, &loop, NULL, 0);
}

/* Windows [first, end) of the image's lines.  carried: the first line in scratch, and the first that is still to be made. */
static void run_strip(Kernel *k, Pooled *s, LVal first, LVal end, LVal *carried) {
    LoopBuilder *b = k->b;
    KernelLoop loop;
    KernelScope scope;
    Dim all = val_type(k->body, s->window)->dims[1];
    LVal step = l_i64(b, s->step), low = kernel_dim(k, s->low), lines = kernel_dim(k, s->conv.y->dims[1]), zero = l_i64(b, 0);
    LVal seen = l_max(b, l_sub(b, l_mul(b, first, step), low), zero);
    LVal last = l_sub(b, l_mul(b, l_sub(b, end, l_i64(b, 1)), step), low);
    LVal begin = l_max(b, seen, carried[1]), stop = l_max(b, begin, l_min(b, lines, l_add(b, last, l_i64(b, s->reach))));
    move_lines(k, s, carried[0], seen, carried[1]);
    kernel_enter(k, &scope, NULL, 0);
    s->first = kernel_index(k, seen);
    make_lines(k, s, begin, stop);
    k->state = s, k->anchor = line_value;
    s->at[0] = s->image, s->at[1] = kernel_loop(k, &loop, first, end, all, 1, NULL, 0);
    pool_axis(k, s, 2);
    kernel_loop_end(k, &loop, NULL, 0);
    kernel_leave(k, &scope);
    carried[0] = seen, carried[1] = stop;
}

void lower_pooled(Kernel *k, LVal lo, LVal hi) {
    LoopBuilder *b = k->b;
    Pooled s = pooled_of(k);
    const TypeInfo *t = val_type(k->body, s.window);
    DType memory = loop_memory_dtype(val_dtype(k->body, s.kept));
    LVal at = kernel_dim(k, blocks_scratch(k, &s.conv)), windows = kernel_dim(k, t->dims[1]), zero = l_i64(b, 0), first;
    at = l_offset(b, k->scratch, at);
    s.lines = l_inst(b, LOP_recast, lt_pointer(memory), &at, 1, 0);
    convolution_place(k, &s.conv);
    k->lane = lane_symbol(k->cx, LANES);
    KernelLoop images;
    s.image = kernel_loop(k, &images, zero, kernel_dim(k, t->dims[0]), t->dims[0], 1, NULL, 0);
    LVal before = l_mul(b, kernel_dim(k, s.image), windows), carried[2] = {zero, zero};
    LVal begin = l_max(b, zero, l_sub(b, lo, before)), end = l_min(b, windows, l_sub(b, hi, before));
    LFor strips = l_for(b, begin, end, s.strip, LOOP_SERIAL, carried, 2, &first);
    run_strip(k, &s, first, l_min(b, end, l_add(b, first, l_i64(b, s.strip))), carried);
    l_for_end(b, &strips, carried, 2);
    kernel_loop_end(k, &images, NULL, 0);
}
