/* planes.c: template `planes`: depthwise convolution of images whose channels lie first, on both sides.  The lanes are pixels
 * of a line, so that nothing is transposed.
 *
 * A tile is a few lines of one channel's plane; a step takes sixteen columns of them: each vector of the operand is loaded
 * once for all the lines that see it, at any offset; under a stride of 2 two vectors are dealt into even and odd columns, and
 * the taps beside these are the same columns one further, with one element more.
 * Where a step may leave the image its loads are masked: lanes outside read 0.
 * Order law (contract.c's): K is one chunk, an ascending chain over taps.
 * Source: docs/cpu.md section 3 ("Depthwise"), with lanes along the width.
 */
#include "tile.h"
#include <string.h>

enum { MAX_LINES = 4, MAX_STRIDE = 2 };

typedef struct Planes {
    Val anchor;
    const Node *node;
    const TypeInfo *y, *x, *w;
    Image image;
    LVal zeros;                  /* pointer to a 0, under a stride of 2 */
    int64_t taps[2];
    uint32_t lines;              /* of the tile at hand */
    LVal *weights;               /* splat, by tap */
    LVal *dealt;                 /* within a step: by line seen and offset along it */
    Dim at[MAX_RANK];            /* of the tile's first pixel */
    LVal value;                  /* of the anchor, where it is stored */
} Planes;

static Planes planes_of(Kernel *k) {
    Planes s = {0};
    for (uint32_t i = 1; i < k->body->nodes.n; i++)
        if (k->body->nodes.at[i].op == OP_conv) s.anchor = (Val){i};
    int64_t lines = k->schedule->field[SCHED_unroll], filters = 0, channels = 0;
    if (!s.anchor.id || lines < 1 || lines > MAX_LINES)
        diag_fatal(k->cx, "schedule: template planes needs a convolution and a tile of at most %d lines", MAX_LINES);
    s.node = node(k->body, s.anchor);
    s.y = type_info(k->cx, s.node->type), s.x = val_type(k->body, s.node->in[0]), s.w = val_type(k->body, s.node->in[1]);
    const int64_t *stride = attr_ints(s.node, ATTR_stride, NULL);
    bool ok = s.y->rank == 4 && s.w->encoding == ENCODING_DENSE && stride[0] <= MAX_STRIDE && stride[1] <= MAX_STRIDE;
    for (uint32_t i = 0; i < 2 && ok; i++) ok = dim_const_value(k->cx, s.w->dims[i], &s.taps[i]);
    ok = ok && dim_const_value(k->cx, s.w->dims[2], &channels) && dim_const_value(k->cx, s.w->dims[3], &filters);
    if (!ok || channels != 1 || filters != attr_int(s.node, ATTR_groups) ||
        s.taps[0] * s.taps[1] > attr_int(s.node, ATTR_chunk))
        diag_fatal(k->cx,
                   "schedule: template planes takes depthwise convolutions of images, of strides 1 and 2 and known taps");
    return s;
}

/* ---- the range: batch, channels, tiles of lines: full ones, then single lines -------------------------------------- */

static void range_dims(Kernel *k, const Planes *s, Dim *dims) {
    Dim lines = s->y->dims[1], tile = dim_const(k->cx, k->schedule->field[SCHED_unroll]);
    dims[0] = s->y->dims[0], dims[1] = s->y->dims[3];
    dims[2] = dim_add(k->cx, dim_fdiv(k->cx, lines, tile), dim_mod(k->cx, lines, tile));
}

Dim range_planes(Kernel *k) {
    Dim dims[3];
    Planes s = planes_of(k);
    range_dims(k, &s, dims);
    return dim_product(k->cx, dims, 3);
}

Dim scratch_planes(Kernel *k) { return dim_const(k->cx, 0); }

/* ---- sixteen columns of a tile --------------------------------------------------------------------------------------- */

/* First place in the image under `at` along spatial axis i, without taps. */
static Dim place(Kernel *k, const Planes *s, uint32_t i, Dim at) {
    return dim_sub(k->cx, dim_muli(k->cx, at, s->image.stride[i]), s->image.low[i]);
}

static int64_t lines_seen(const Planes *s) {
    return (s->lines - 1) * s->image.stride[0] + (s->taps[0] - 1) * s->image.dilation[0] + 1;
}

/* Places that the step's first column sees beside its own, rounded up to whole pairs under a stride of 2. */
static int64_t reach(const Planes *s) { return (s->taps[1] - 1) * s->image.dilation[1] + s->image.stride[1]; }

/* Where line y of the tile's plane lies. */
static Dim line_start(Kernel *k, const Planes *s, Dim y) {
    const Image *im = &s->image;
    Dim image = dim_add(k->cx, im->origin, dim_mul(k->cx, s->at[0], im->step));
    return dim_add(k->cx, image, dim_add(k->cx, dim_mul(k->cx, y, im->axis[0]), dim_mul(k->cx, s->at[3], im->channel)));
}

/* Sixteen neighbours of line `line` of those seen, from place x on. */
static LVal load_line(Kernel *k, const Planes *s, int64_t line, Dim x, bool inside) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    Dim y = dim_addi(cx, place(k, s, 0, s->at[1]), line);
    LVal mask = {0};
    if (!inside) { /* counted, not asked of the scope: what it knows of the lanes is about those that are stored */
        LVal above = kernel_fact(k, (Fact){REL_LE, dim_const(cx, 0), y}),
             below = kernel_fact(k, (Fact){REL_LT, y, s->x->dims[1]});
        LVal before = kernel_dim(k, kernel_simplify(k, dim_muli(cx, x, -1)));
        LVal within = kernel_dim(k, kernel_simplify(k, dim_sub(cx, s->x->dims[2], x)));
        mask = l_un(b, LOP_not, l_lane_mask(b, before, LANES));
        mask = l_bin(b, LOP_and, mask, l_lane_mask(b, within, LANES));
        mask = l_bin(b, LOP_and, mask, l_splat(b, l_bin(b, LOP_and, above, below), LANES));
    }
    Dim offset = kernel_simplify(k, dim_add(cx, line_start(k, s, y), x));
    return l_decode(b, l_load(b, s->image.x.pointer, kernel_dim(k, offset), LANES, mask), s->x->dtype);
}

/* The element at place x of the line, in all lanes; outside of the image 0. */
static LVal load_one(Kernel *k, const Planes *s, int64_t line, Dim x, bool inside) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    Dim y = dim_addi(cx, place(k, s, 0, s->at[1]), line);
    LVal at = l_offset(b, s->image.x.pointer, kernel_dim(k, kernel_simplify(k, dim_add(cx, line_start(k, s, y), x))));
    if (!inside) {
        Dim zero = dim_const(cx, 0);
        LVal ok = l_bin(b, LOP_and, kernel_fact(k, (Fact){REL_LE, zero, y}), kernel_fact(k, (Fact){REL_LT, y, s->x->dims[1]}));
        ok = l_bin(b, LOP_and, ok, kernel_fact(k, (Fact){REL_LE, zero, x}));
        ok = l_bin(b, LOP_and, ok, kernel_fact(k, (Fact){REL_LT, x, s->x->dims[2]}));
        at = l_select(b, ok, at, s->zeros);
    }
    return l_splat(b, l_decode(b, l_load(b, at, l_i64(b, 0), 1, (LVal){0}), s->x->dtype), LANES);
}

/* Under a stride of 2: the shift whose columns, and those one further, are dealt from vectors that start where the image's
 * whole pairs do. */
static int64_t dealt_shift(Kernel *k, const Planes *s) {
    int64_t low, dilation = s->image.dilation[1];
    bool derived = dilation == 1 && s->taps[1] > 2;
    return derived && dim_const_value(k->cx, s->image.low[1], &low) ? low & 1 : 0;
}

/* What sixteen outputs from `column` on see of a line at `shift` from their own places. */
static LVal deal(Kernel *k, const Planes *s, int64_t line, Dim column, int64_t shift, bool inside) {
    LVal *all = s->dealt + line * reach(s);
    if (all[shift].id) return all[shift];
    Dim x = place(k, s, 1, column);
    if (s->image.stride[1] == 1) return all[shift] = load_line(k, s, line, dim_addi(k->cx, x, shift), inside);
    int64_t first = dealt_shift(k, s), lanes[2][LANES];
    bool before = shift < first, after = shift > first + 1 && s->image.dilation[1] == 1;
    if (before || after) {
        LVal beside = deal(k, s, line, column, before ? shift + 2 : shift - 2, inside);
        LVal one = load_one(k, s, line, dim_addi(k->cx, x, before ? shift : shift + 2 * LANES - 2), inside);
        for (uint32_t l = 0; l < LANES; l++) lanes[0][l] = before ? (l ? LANES + l - 1 : 0) : l + 1;
        return all[shift] = l_shuffle(k->b, before ? one : beside, before ? beside : one, lanes[0], LANES);
    }
    int64_t pair = first + ((shift - first) & ~INT64_C(1));
    x = dim_addi(k->cx, x, pair);
    LVal low = load_line(k, s, line, x, inside), high = load_line(k, s, line, dim_addi(k->cx, x, LANES), inside);
    for (uint32_t l = 0; l < LANES; l++) lanes[0][l] = 2 * l, lanes[1][l] = 2 * l + 1;
    all[pair] = l_shuffle(k->b, low, high, lanes[0], LANES);
    if (pair + 1 < reach(s)) all[pair + 1] = l_shuffle(k->b, low, high, lanes[1], LANES);
    return all[shift];
}

static void store_lines(Kernel *k, Planes *s, Dim column, const LVal *acc) {
    Dim at[MAX_RANK];
    memcpy(at, s->at, sizeof at);
    at[2] = column;
    for (uint32_t i = 0; i < s->lines; i++) {
        KernelScope scope;
        at[1] = dim_addi(k->cx, s->at[1], i);
        kernel_enter(k, &scope, (Fact[]){{REL_LT, at[1], s->y->dims[1]}}, 1);
        s->value = acc[i];
        store_results(k, s->anchor, at);
        kernel_leave(k, &scope);
    }
}

static void run_columns(Kernel *k, Planes *s, Dim column, bool inside) {
    KernelScope scope;
    LVal acc[MAX_LINES];
    const int64_t *stride = s->image.stride, *dilation = s->image.dilation;
    kernel_enter(k, &scope, NULL, 0);
    Dim first = dim_substitute(k->cx, column, &k->lane, (Dim[]){dim_const(k->cx, 0)}, 1);
    LType sums = lt_vector(loop_compute_dtype(s->y->dtype), LANES);
    s->dealt = arena_new_array(k->arena, LVal, (size_t)(lines_seen(s) * (reach(s) + 1)));
    for (uint32_t i = 0; i < s->lines; i++) acc[i] = l_float(k->b, sums, 0);
    for (int64_t line = 0; line < lines_seen(s); line++)
        for (int64_t t = 0; t < s->taps[1]; t++)
            for (uint32_t i = 0; i < s->lines; i++) {
                int64_t rest = line - i * stride[0], tap = rest / dilation[0];
                if (rest < 0 || rest % dilation[0] || tap >= s->taps[0]) continue;
                LVal x = deal(k, s, line, first, t * dilation[1], inside);
                acc[i] = contract_step(k->b, k->fma, x, s->weights[tap * s->taps[1] + t], acc[i]);
            }
    store_lines(k, s, column, acc);
    kernel_leave(k, &scope);
}

/* Everything that the step loads lies in the image. */
static LVal all_inside(Kernel *k, const Planes *s, Dim first) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    Dim y = place(k, s, 0, s->at[1]), x = place(k, s, 1, first), zero = dim_const(cx, 0);
    int64_t width = (LANES - 1) * s->image.stride[1] + reach(s);
    LVal all = l_bin(b, LOP_and, kernel_fact(k, (Fact){REL_LE, zero, y}), kernel_fact(k, (Fact){REL_LE, zero, x}));
    all = l_bin(b, LOP_and, all, kernel_fact(k, (Fact){REL_LE, dim_addi(cx, y, lines_seen(s)), s->x->dims[1]}));
    return l_bin(b, LOP_and, all, kernel_fact(k, (Fact){REL_LE, dim_addi(cx, x, width), s->x->dims[2]}));
}

static void column_step(Kernel *k, void *user, Dim column, LVal *carried) {
    Planes *s = user;
    LoopBuilder *b = k->b;
    int64_t known = 0;
    (void)carried;
    Dim first = dim_substitute(k->cx, column, &k->lane, (Dim[]){dim_const(k->cx, 0)}, 1);
    LVal inside = k->mask.id ? l_bool(b, false) : all_inside(k, s, first);
    if (loop_const_int(b, inside, &known)) {
        run_columns(k, s, column, known);
        return;
    }
    LIf branch = l_if(b, inside);
    run_columns(k, s, column, true);
    l_else(b, &branch, NULL, 0);
    run_columns(k, s, column, false);
    l_if_end(b, &branch, NULL, 0, NULL);
}

/* ---- tiles ------------------------------------------------------------------------------------------------------------- */

static void run_lines(Kernel *k, void *user, uint32_t lines) {
    Planes *s = user;
    Dim at[4] = {{0}, {0}, dim_const(k->cx, 0), s->at[3]};
    s->lines = lines;
    s->weights = arena_new_array(k->arena, LVal, (size_t)(s->taps[0] * s->taps[1]));
    for (int64_t i = 0; i < s->taps[0] * s->taps[1]; i++) {
        at[0] = dim_const(k->cx, i / s->taps[1]), at[1] = dim_const(k->cx, i % s->taps[1]);
        s->weights[i] = l_splat(k->b, kernel_eval(k, s->node->in[1], at), LANES);
    }
    kernel_vector_loop(k, s->y->dims[2], LANES, NULL, 0, column_step, s);
}

/* Tile number `tile` of the plane. */
static void run_tile(Kernel *k, Planes *s, Dim tile) {
    image_lines(k, tile, s->y->dims[1], k->schedule->field[SCHED_unroll], &s->at[1], run_lines, s);
}

static LVal anchor_value(Kernel *k, Val v, const Dim *at) {
    const Planes *s = k->state;
    (void)at;
    return v.id == s->anchor.id ? l_round(k->b, s->value, s->y->dtype) : (LVal){0};
}

void lower_planes(Kernel *k, LVal lo, LVal hi) {
    Planes s = planes_of(k);
    k->state = &s, k->anchor = anchor_value, k->lane = lane_symbol(k->cx, LANES);
    s.image = image_of(k, s.node);
    if (!dim_is(k->cx, s.image.axis[1], 1) || s.image.x.same.id)
        diag_fatal(k->cx, "schedule: template planes needs the pixels of a line side by side");
    DType memory = loop_memory_dtype(s.x->dtype);
    if (s.image.stride[1] > 1) s.zeros = zero_row(k, memory, dtype_bytes(memory));
    KernelTasks tasks;
    Dim dims[3], at[3];
    range_dims(k, &s, dims);
    kernel_tasks(k, &tasks, lo, hi, dims, 3, at);
    s.at[0] = at[0], s.at[3] = at[1];
    run_tile(k, &s, at[2]);
    kernel_tasks_end(k, &tasks);
}
