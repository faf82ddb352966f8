/* few.c: template `few`: convolution over channels-last images to a few filters, by strides of 1.  The lanes are pixels of a
 * line, where those of the register tile would be columns, most of them empty.
 *
 * A task is block_m lines of results, block_n columns wide.  What it sees of the image goes to scratch with a channel's pixels
 * side by side, sixteen by sixteen transposed, and zeros for what lies outside; then, line by line, the sums of all its vectors
 * for all filters take a vector of pixels and a number of each filter at a time.
 * Order law: tile.h's.  K's parts are whole taps, each an ascending chain from +0; sums of parts are added from left to right.
 */
#include "tile.h"
#include <string.h>

enum { MOST_SUMS = 32 };

typedef struct Few {
    Val anchor;
    const Node *node;
    const TypeInfo *y, *x, *w;
    Image im;
    uint32_t spatial;
    int64_t taps[2], dilation[2], channels, filters, part; /* part: taps whose products are one chain */
    int64_t lines, vectors;      /* of results, of a task */
    int64_t seen, pitch;         /* lines of the image under a task; pixels of one in scratch */
    Dim at[3];                   /* image, first line, first column of the task */
    LVal scratch, value;         /* value: of the anchor, where it is stored */
} Few;

static int64_t known(Kernel *k, Dim d, const char *what) {
    int64_t value = 0;
    if (!dim_const_value(k->cx, d, &value) || value < 1) diag_fatal(k->cx, "schedule: template few asks for constant %s", what);
    return value;
}

static Few few_of(Kernel *k) {
    Few s = {.taps = {1, 1}, .dilation = {1, 1}};
    for (uint32_t i = 1; i < k->body->nodes.n && !s.anchor.id; i++)
        if (k->body->nodes.at[i].op == OP_conv) s.anchor = (Val){i};
    if (!s.anchor.id) diag_fatal(k->cx, "schedule: template few without a convolution");
    s.node = node(k->body, s.anchor);
    s.y = type_info(k->cx, s.node->type), s.x = val_type(k->body, s.node->in[0]), s.w = val_type(k->body, s.node->in[1]);
    s.spatial = s.y->rank - 2;
    if (s.spatial < 1 || s.spatial > 2 || s.w->encoding != ENCODING_PANEL16 || s.x->dtype != DT_f32 || s.w->dtype != DT_f32)
        diag_fatal(k->cx, "schedule: template few takes convolutions along one or two axes with a constant filter of f32");
    for (uint32_t i = 0, to = 2 - s.spatial; i < s.spatial; i++, to++) {
        s.taps[to] = known(k, s.w->dims[i], "taps"), s.dilation[to] = attr_ints(s.node, ATTR_dilation, NULL)[i];
        if (attr_ints(s.node, ATTR_stride, NULL)[i] != 1) diag_fatal(k->cx, "schedule: template few takes strides of 1");
    }
    s.channels = known(k, s.w->dims[s.spatial], "channels"), s.filters = known(k, s.w->dims[s.spatial + 1], "filters");
    s.part = attr_int(s.node, ATTR_chunk) / s.channels;
    s.lines = k->schedule->field[SCHED_block_m], s.vectors = k->schedule->field[SCHED_block_n] / LANES;
    if (s.part < 1 || s.lines < 1 || (s.spatial == 1 && s.lines != 1) || s.vectors < 1 || s.vectors * s.filters > MOST_SUMS)
        diag_fatal(k->cx, "schedule: template few takes channels of one chunk, and tasks of at most %d vectors", MOST_SUMS);
    s.seen = s.lines + (s.taps[0] - 1) * s.dilation[0];
    s.pitch = (s.vectors * LANES + (s.taps[1] - 1) * s.dilation[1] + LANES - 1) / LANES * LANES;
    return s;
}

static void range_dims(Kernel *k, const Few *s, Dim *dims) {
    dims[0] = s->y->dims[0];
    dims[1] = s->spatial == 2 ? dim_cdiv(k->cx, s->y->dims[1], dim_const(k->cx, s->lines)) : dim_const(k->cx, 1);
    dims[2] = dim_cdiv(k->cx, s->y->dims[s->spatial], dim_const(k->cx, s->vectors * LANES));
}

Dim range_few(Kernel *k) {
    Few s = few_of(k);
    Dim dims[3];
    range_dims(k, &s, dims);
    return dim_product(k->cx, dims, 3);
}

Dim scratch_few(Kernel *k) {
    Few s = few_of(k);
    return dim_const(k->cx, s.seen * s.channels * s.pitch * dtype_bytes(DT_f32));
}

/* ---- the image to scratch ---------------------------------------------------------------------------------------------- */

/* Sixteen pixels of a line: its first element in memory, and the first of them; may they lie in the image at all? */
typedef struct Pixels { LVal line, inside, first, to; } Pixels;

static LVal pixel_inside(Kernel *k, const Few *s, const Pixels *p, LVal pixel) {
    LoopBuilder *b = k->b;
    LVal low = l_bin(b, LOP_le, l_i64(b, 0), pixel), high = l_lt(b, pixel, kernel_dim(k, s->x->dims[s->spatial]));
    return l_bin(b, LOP_and, p->inside, l_bin(b, LOP_and, low, high));
}

/* `count` of their channels from `channel` on, which lie side by side. */
static void turn_square(Kernel *k, const Few *s, const LVal *pixel, LVal channel, int64_t count, LVal to) {
    LoopBuilder *b = k->b;
    LVal v[LANES], mask = {0}, some = l_i64(b, count);
    if (count < LANES) mask = l_inst(b, LOP_lane_mask, lt_vector(DT_bool, LANES), &some, 1, 0);
    for (uint32_t i = 0; i < LANES; i++) v[i] = l_load(b, pixel[i], channel, LANES, mask);
    lanes_transpose(b, v);
    for (int64_t i = 0; i < count; i++) {
        LVal place = l_mul(b, l_add(b, channel, l_i64(b, i)), l_i64(b, s->pitch));
        l_store(b, s->scratch, l_add(b, to, place), v[i], (LVal){0});
    }
}

static void turn_pixels(Kernel *k, const Few *s, const Pixels *p) {
    LoopBuilder *b = k->b;
    LVal pixel[LANES], channel, step = kernel_dim(k, s->im.axis[s->spatial - 1]);
    LVal zeros = zero_row(k, DT_f32, (s->channels + LANES) * dtype_bytes(DT_f32));
    for (uint32_t i = 0; i < LANES; i++) {
        LVal place = l_add(b, p->first, l_i64(b, i)), at = l_add(b, p->line, l_mul(b, place, step));
        LVal from = l_offset(b, s->im.x.pointer, at);
        pixel[i] = l_select(b, pixel_inside(k, s, p, place), from, zeros);
    }
    int64_t whole = s->channels / LANES * LANES;
    LFor loop = l_for(b, l_i64(b, 0), l_i64(b, whole), LANES, LOOP_SERIAL, NULL, 0, &channel);
    turn_square(k, s, pixel, channel, LANES, p->to);
    l_for_end(b, &loop, NULL, 0);
    if (whole < s->channels) turn_square(k, s, pixel, l_i64(b, whole), s->channels - whole, p->to);
}

/* The same where pixels lie side by side, or at any other distance. */
static void copy_pixels(Kernel *k, const Few *s, const Pixels *p) {
    LoopBuilder *b = k->b;
    Dim step = s->im.axis[s->spatial - 1];
    LType bools = lt_vector(DT_bool, LANES);
    LVal channel, before = l_sub(b, l_i64(b, 0), p->first);
    LVal within = l_sub(b, kernel_dim(k, s->x->dims[s->spatial]), p->first);
    LVal mask = l_un(b, LOP_not, l_inst(b, LOP_lane_mask, bools, &before, 1, 0));
    mask = l_bin(b, LOP_and, mask, l_inst(b, LOP_lane_mask, bools, &within, 1, 0));
    mask = l_bin(b, LOP_and, mask, l_splat(b, p->inside, LANES));
    LFor loop = l_for(b, l_i64(b, 0), l_i64(b, s->channels), 1, LOOP_SERIAL, NULL, 0, &channel);
    LVal along = l_mul(b, p->first, kernel_dim(k, step)), x;
    LVal from = l_add(b, p->line, l_add(b, l_mul(b, channel, kernel_dim(k, s->im.channel)), along));
    if (dim_is(k->cx, step, 1)) {
        x = l_load(b, s->im.x.pointer, from, LANES, mask);
    } else {
        LVal lanes = l_inst(b, LOP_iota, lt_vector(DT_i64, LANES), NULL, 0, 0);
        lanes = l_mul(b, lanes, l_splat(b, kernel_dim(k, step), LANES));
        x = l_gather(b, s->im.x.pointer, l_add(b, lanes, l_splat(b, from, LANES)), mask);
    }
    l_store(b, s->scratch, l_add(b, p->to, l_mul(b, channel, l_i64(b, s->pitch))), x, (LVal){0});
    l_for_end(b, &loop, NULL, 0);
}

/* All that the task sees. */
static void fill(Kernel *k, const Few *s) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    const Image *im = &s->im;
    LVal line, group, zero = l_i64(b, 0);
    Dim start = dim_add(cx, im->origin, dim_mul(cx, s->at[0], im->step));
    Pixels p = {.inside = l_bool(b, true)};
    LFor lines = l_for(b, zero, l_i64(b, s->seen), 1, LOOP_SERIAL, NULL, 0, &line);
    p.line = kernel_dim(k, kernel_simplify(k, start));
    if (s->spatial == 2) {
        LVal y = l_add(b, kernel_dim(k, kernel_simplify(k, dim_sub(cx, s->at[1], im->low[0]))), line);
        p.line = l_add(b, p.line, l_mul(b, y, kernel_dim(k, im->axis[0])));
        p.inside = l_bin(b, LOP_and, l_bin(b, LOP_le, zero, y), l_lt(b, y, kernel_dim(k, s->x->dims[1])));
    }
    LFor groups = l_for(b, zero, l_i64(b, s->pitch), LANES, LOOP_SERIAL, NULL, 0, &group);
    p.first = l_add(b, kernel_dim(k, kernel_simplify(k, dim_sub(cx, s->at[2], im->low[s->spatial - 1]))), group);
    p.to = l_add(b, l_mul(b, line, l_i64(b, s->channels * s->pitch)), group);
    if (dim_is(cx, im->channel, 1)) turn_pixels(k, s, &p);
    else copy_pixels(k, s, &p);
    l_for_end(b, &groups, NULL, 0);
    l_for_end(b, &lines, NULL, 0);
}

/* ---- the sums of a line ------------------------------------------------------------------------------------------------ */

static void nothing(Kernel *k, const Few *s, LVal *sums) {
    for (int64_t i = 0; i < s->vectors * s->filters; i++) sums[i] = l_float(k->b, lt_vector(DT_f32, LANES), 0);
}

/* Onto sums[vector * filters + filter]: products of taps [tap, end). */
static void run_taps(Kernel *k, const Few *s, LVal line, LVal tap, LVal end, LVal *sums) {
    LoopBuilder *b = k->b;
    uint32_t n = (uint32_t)(s->vectors * s->filters);
    LVal w = k->pointers[attr_int(node(k->body, s->node->in[1]), ATTR_index)], t, c, x[MOST_SUMS];
    LVal across = l_i64(b, s->taps[1]);
    LFor taps = l_for(b, tap, end, 1, LOOP_SERIAL, sums, n, &t);
    LVal row = l_add(b, line, l_mul(b, l_bin(b, LOP_div, t, across), l_i64(b, s->dilation[0])));
    LVal moved = l_mul(b, l_bin(b, LOP_rem, t, across), l_i64(b, s->dilation[1]));
    LVal from = l_add(b, l_mul(b, row, l_i64(b, s->channels * s->pitch)), moved);
    LVal pixels = l_offset(b, s->scratch, from), weights = l_offset(b, w, l_mul(b, t, l_i64(b, s->channels * PANEL)));
    LFor channels = l_for(b, l_i64(b, 0), l_i64(b, s->channels), 1, LOOP_SERIAL, sums, n, &c);
    LVal place = l_mul(b, c, l_i64(b, s->pitch));
    for (int64_t v = 0; v < s->vectors; v++) x[v] = l_load(b, pixels, l_add(b, place, l_i64(b, v * LANES)), LANES, (LVal){0});
    for (int64_t f = 0; f < s->filters; f++) {
        LVal number = l_load(b, weights, l_add(b, l_mul(b, c, l_i64(b, PANEL)), l_i64(b, f)), 1, (LVal){0});
        for (int64_t v = 0; v < s->vectors; v++) {
            LVal *sum = &sums[v * s->filters + f];
            *sum = contract_step(b, k->fma, x[v], l_splat(b, number, LANES), *sum);
        }
    }
    l_for_end(b, &channels, sums, n);
    l_for_end(b, &taps, sums, n);
}

static void sum_line(Kernel *k, const Few *s, LVal line, LVal *sums) {
    LoopBuilder *b = k->b;
    int64_t taps = s->taps[0] * s->taps[1];
    uint32_t n = (uint32_t)(s->vectors * s->filters);
    LVal acc[MOST_SUMS], tap, all = l_i64(b, taps), each = l_i64(b, s->part);
    nothing(k, s, sums);
    if (taps <= s->part) {
        run_taps(k, s, line, l_i64(b, 0), all, sums);
        return;
    }
    LFor parts = l_for(b, l_i64(b, 0), all, s->part, LOOP_SERIAL, sums, n, &tap);
    nothing(k, s, acc);
    run_taps(k, s, line, tap, l_min(b, all, l_add(b, tap, each)), acc);
    for (uint32_t i = 0; i < n; i++) sums[i] = l_add(b, sums[i], acc[i]);
    l_for_end(b, &parts, sums, n);
}

/* ---- results ----------------------------------------------------------------------------------------------------------- */

/* Those of a vector of pixels, of every filter: left of them lie in the line. */
static void store_vector(Kernel *k, Few *s, const Dim *place, LVal sums, LVal mask) {
    Dim at[MAX_RANK];
    memcpy(at, place, sizeof at);
    k->lanes = LANES, k->mask = mask;
    for (int64_t f = 0; f < s->filters; f++) {
        KernelScope scope;
        kernel_enter(k, &scope, (Fact[]){{REL_LT, at[s->spatial], s->y->dims[s->spatial]}}, 1);
        at[s->spatial + 1] = dim_const(k->cx, f);
        s->value = l_load(k->b, sums, l_i64(k->b, f * LANES), LANES, (LVal){0});
        store_results(k, s->anchor, at);
        kernel_leave(k, &scope);
    }
    k->lanes = 1, k->mask = (LVal){0};
}

static void store_line(Kernel *k, Few *s, Dim *at, LVal sums) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    KernelLoop loop;
    LVal left = kernel_dim(k, kernel_simplify(k, dim_sub(cx, s->y->dims[s->spatial], s->at[2]))), lanes = l_i64(b, LANES);
    LVal vectors = l_min(b, l_i64(b, s->vectors), l_bin(b, LOP_div, l_add(b, left, l_i64(b, LANES - 1)), lanes));
    Dim v = kernel_loop(k, &loop, l_i64(b, 0), vectors, dim_const(cx, s->vectors), 1, NULL, 0);
    LVal number = kernel_dim(k, v), here = l_sub(b, left, l_mul(b, number, lanes));
    LVal from = l_offset(b, sums, l_mul(b, number, l_i64(b, s->filters * LANES)));
    at[s->spatial] = dim_add(cx, dim_add(cx, s->at[2], dim_muli(cx, v, LANES)), dim_symbol(cx, k->lane));
    LIf whole = l_if(b, l_bin(b, LOP_le, lanes, here));
    store_vector(k, s, at, from, (LVal){0});
    l_else(b, &whole, NULL, 0);
    store_vector(k, s, at, from, l_inst(b, LOP_lane_mask, lt_vector(DT_bool, LANES), &here, 1, 0));
    l_if_end(b, &whole, NULL, 0, NULL);
    kernel_loop_end(k, &loop, NULL, 0);
}

static LVal anchor_value(Kernel *k, Val v, const Dim *at) {
    const Few *s = k->state;
    (void)at;
    return v.id == s->anchor.id ? l_round(k->b, s->value, s->y->dtype) : (LVal){0};
}

static void run_task(Kernel *k, Few *s) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    KernelLoop loop;
    KernelScope scope;
    LVal sums[MOST_SUMS], count = l_i64(b, 1), room = l_alloc(b, DT_f32, s->vectors * s->filters * LANES);
    Dim at[MAX_RANK] = {s->at[0]};
    fill(k, s);
    if (s->spatial == 2) {
        LVal left = kernel_dim(k, kernel_simplify(k, dim_sub(cx, s->y->dims[1], s->at[1])));
        count = l_min(b, l_i64(b, s->lines), left);
    }
    Dim line = kernel_loop(k, &loop, l_i64(b, 0), count, dim_const(cx, s->lines), 1, NULL, 0);
    sum_line(k, s, kernel_dim(k, line), sums);
    for (int64_t i = 0; i < s->vectors * s->filters; i++) l_store(b, room, l_i64(b, i * LANES), sums[i], (LVal){0});
    if (s->spatial == 2) at[1] = dim_add(cx, s->at[1], line);
    kernel_enter(k, &scope, (Fact[]){{REL_LT, at[1], s->y->dims[1]}}, s->spatial == 2);
    store_line(k, s, at, room);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
}

void lower_few(Kernel *k, LVal lo, LVal hi) {
    Few s = few_of(k);
    k->state = &s, k->anchor = anchor_value, k->lane = lane_symbol(k->cx, LANES);
    s.im = image_of(k, s.node);
    if (s.im.x.same.id) diag_fatal(k->cx, "schedule: template few needs an image in memory");
    s.scratch = l_inst(k->b, LOP_recast, lt_pointer(DT_f32), &k->scratch, 1, 0);
    KernelTasks tasks;
    Dim dims[3], at[3];
    range_dims(k, &s, dims);
    kernel_tasks(k, &tasks, lo, hi, dims, 3, at);
    s.at[0] = at[0], s.at[1] = dim_muli(k->cx, at[1], s.lines), s.at[2] = dim_muli(k->cx, at[2], s.vectors * LANES);
    run_task(k, &s);
    kernel_tasks_end(k, &tasks);
}
