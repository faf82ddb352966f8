/* transpose.c: template `transpose`: pointwise over values that lie along another axis of the result than the last.
 *
 * Loads follow the axis that schedule field `axis` names, where memory is contiguous, stores follow the last axis: sixteen by
 * sixteen elements are evaluated as vectors along the former, transposed in registers and stored along the latter.  What is
 * left over on either side goes element by element.  The other axes, and blocks of sixteen of the axis, are the parallel range.
 * A share passes its blocks in strips of the last axis: as many lines of memory as the caches hold side by side, each of which
 * is fetched while blocks before it are at work, since so many streams at once are more than the machine foresees.
 */
#include "lower.h"

enum {
    STRIP = 512 /* elements of the last axis */,
    WHOLE = 768 /* as well in one strip */,
    AHEAD = 32 /* elements along the axis: two lines */,
    NEAR = 1 << 16 /* elements that wait in the second cache anyway */
};

typedef struct Crossing {
    const TypeInfo *type;
    Val result;
    uint32_t axis, last;     /* of loads, of stores */
    uint32_t others;         /* axes besides the two */
    uint32_t other[MAX_RANK];
    bool fetches;
    Dim at[MAX_RANK];
    Dim first;               /* of the block, along axis */
    Dim strip;               /* first of the strip, along last */
} Crossing;

static Crossing crossing_of(Kernel *k) {
    const Graph *g = k->body;
    Crossing c = {.type = val_type(g, g->results.at[0]), .result = g->results.at[0]};
    int64_t axis = k->schedule->field[SCHED_axis];
    if (g->results.n != 1 || c.type->rank < 2 || axis < 0 || axis + 1 >= c.type->rank ||
        dtype_bytes(loop_compute_dtype(c.type->dtype)) != 4)
        diag_fatal(
            k->cx,
            "schedule: template transpose needs one result, of elements that are 4 bytes in registers, and an axis before its "
            "last");
    c.axis = (uint32_t)axis, c.last = c.type->rank - 1;
    for (uint32_t i = 0; i < c.last; i++)
        if (i != c.axis) c.other[c.others++] = i;
    Dim elements = dim_product(k->cx, c.type->dims, c.type->rank);
    c.fetches = prove(k->cx, k->scope, REL_LE, elements, dim_const(k->cx, NEAR)) != YES;
    return c;
}

/* Extents of the parallel range: the other axes, then blocks along the axis. */
static uint32_t range_dims(Kernel *k, const Crossing *c, Dim *dims) {
    for (uint32_t i = 0; i < c->others; i++) dims[i] = c->type->dims[c->other[i]];
    dims[c->others] = dim_cdiv(k->cx, c->type->dims[c->axis], dim_const(k->cx, LANES));
    return c->others + 1;
}

Dim range_transpose(Kernel *k) {
    Crossing c = crossing_of(k);
    Dim dims[MAX_RANK];
    uint32_t n = range_dims(k, &c, dims);
    return dim_product(k->cx, dims, n);
}

Dim scratch_transpose(Kernel *k) { return dim_const(k->cx, 0); }

static void store(Kernel *k, const Crossing *c, LVal value) {
    kernel_store(k, k->outputs[0], c->type->dtype, access_offset(k->cx, c->type->dims, c->at, c->type->rank), value);
}

static void fetch_read(void *user, Val leaf, const Dim *at) {
    Kernel *k = user;
    Context *cx = k->cx;
    const Graph *g = k->body;
    const TypeInfo *t = val_type(g, leaf);
    Dim step, first;
    if (val_op(g, leaf) != OP_param || t->encoding != ENCODING_DENSE) return;
    if (!dim_affine(cx, access_offset(cx, t->dims, at, t->rank), k->lane, &step, &first) || !dim_is(cx, step, 1)) return;
    for (uint32_t i = 0; i < g->params.n; i++) {
        if (g->params.at[i].id != leaf.id || kernel_varies(k, first)) continue;
        LVal place = kernel_dim(k, kernel_simplify(k, dim_addi(cx, first, AHEAD)));
        l_inst(k->b, LOP_prefetch, (LType){0}, (LVal[]){k->pointers[i], place}, 2, 0);
    }
}

/* Sixteen along the axis, at one place along the last. */
static LVal load_along(Kernel *k, Crossing *c, Dim column) {
    c->at[c->axis] = dim_add(k->cx, c->first, dim_symbol(k->cx, k->lane)), c->at[c->last] = column;
    return l_splat(k->b, kernel_eval(k, c->result, c->at), LANES);
}

/* Sixteen by sixteen, from column `at` on. */
static void square(Kernel *k, Crossing *c, Dim at) {
    LVal v[LANES];
    for (uint32_t i = 0; i < LANES; i++) {
        v[i] = load_along(k, c, dim_addi(k->cx, at, i));
        if (!c->fetches) continue;
        Access access = {.g = k->body, .scope = k->scope, .read = fetch_read, .user = k};
        access_walk(&access, c->result, c->at);
    }
    lanes_transpose(k->b, v);
    for (uint32_t i = 0; i < LANES; i++) {
        c->at[c->axis] = dim_addi(k->cx, c->first, i), c->at[c->last] = dim_add(k->cx, at, dim_symbol(k->cx, k->lane));
        store(k, c, v[i]);
    }
}

/* The strip's columns of a whole block: squares, then column by column. */
static void whole_block(Kernel *k, Crossing *c) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    Dim columns = c->type->dims[c->last], width = dim_const(cx, LANES), full = dim_mul(cx, dim_fdiv(cx, columns, width), width);
    LVal begin = kernel_dim(k, c->strip), squares = kernel_dim(k, full), end = kernel_dim(k, columns), rest = squares;
    if (!dim_is(cx, c->strip, 0)) {
        LVal next = kernel_dim(k, dim_addi(cx, c->strip, STRIP));
        rest = l_bin(b, LOP_max, squares, begin), squares = l_min(b, squares, next), end = l_min(b, end, next);
    }
    KernelLoop loop;
    KernelScope scope;
    Dim at = kernel_loop(k, &loop, begin, squares, dim_addi(cx, columns, 1 - LANES), LANES, NULL, 0);
    kernel_enter(k, &scope, (Fact[]){{REL_DIVIDES, width, at}}, 1);
    square(k, c, at);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
    at = kernel_loop(k, &loop, rest, end, columns, 1, NULL, 0);
    LVal value = load_along(k, c, at);
    store(k, c, value);
    kernel_loop_end(k, &loop, NULL, 0);
}

static void row_step(Kernel *k, void *user, Dim column, LVal *carried) {
    Crossing *c = user;
    (void)carried;
    c->at[c->last] = column;
    store(k, c, kernel_eval(k, c->result, c->at));
}

/* Fewer than sixteen along the axis: row by row, with the first strip. */
static void partial_block(Kernel *k, Crossing *c) {
    KernelLoop loop;
    LIf branch = {0};
    Dim extent = c->type->dims[c->axis];
    bool only = dim_is(k->cx, c->strip, 0);
    k->lanes = 1;
    if (!only) branch = l_if(k->b, l_bin(k->b, LOP_eq, kernel_dim(k, c->strip), l_i64(k->b, 0)));
    c->at[c->axis] = kernel_loop(k, &loop, kernel_dim(k, c->first), kernel_dim(k, extent), extent, 1, NULL, 0);
    kernel_vector_loop(k, c->type->dims[c->last], LANES, NULL, 0, row_step, c);
    kernel_loop_end(k, &loop, NULL, 0);
    if (only) return;
    l_else(k->b, &branch, NULL, 0);
    l_if_end(k->b, &branch, NULL, 0, NULL);
}

static void block(Kernel *k, Crossing *c) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    Dim end = dim_addi(cx, c->first, LANES), extent = c->type->dims[c->axis];
    const Fact whole = {REL_LE, end, extent};
    Fact facts[] = {whole, {REL_LT, dim_add(cx, c->first, dim_symbol(cx, k->lane)), extent}};
    bool always = prove(cx, k->scope, whole.relation, whole.a, whole.b) == YES;
    KernelScope scope;
    LIf branch = {0};
    if (!always) branch = l_if(b, l_bin(b, LOP_le, kernel_dim(k, end), kernel_dim(k, extent)));
    kernel_enter(k, &scope, facts, COUNT(facts));
    k->lanes = LANES;
    whole_block(k, c);
    k->lanes = 1;
    kernel_leave(k, &scope);
    if (always) return;
    l_else(b, &branch, NULL, 0);
    kernel_enter(k, &scope, NULL, 0);
    partial_block(k, c);
    kernel_leave(k, &scope);
    l_if_end(b, &branch, NULL, 0, NULL);
}

/* Blocks [from, to), strip by strip. */
static void strips(Kernel *k, Crossing *c, LVal from, LVal to, Dim blocks) {
    Context *cx = k->cx;
    Dim columns = c->type->dims[c->last];
    bool several = prove(cx, k->scope, REL_LE, columns, dim_const(cx, WHOLE)) != YES;
    KernelLoop outer, loop;
    c->strip = dim_const(cx, 0);
    if (several) c->strip = kernel_loop(k, &outer, l_i64(k->b, 0), kernel_dim(k, columns), columns, STRIP, NULL, 0);
    Dim at = kernel_loop(k, &loop, from, to, blocks, 1, NULL, 0);
    c->first = dim_muli(cx, at, LANES);
    block(k, c);
    kernel_loop_end(k, &loop, NULL, 0);
    if (several) kernel_loop_end(k, &outer, NULL, 0);
}

void lower_transpose(Kernel *k, LVal lo, LVal hi) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    Crossing c = crossing_of(k);
    Dim dims[MAX_RANK], at[MAX_RANK];
    uint32_t others = range_dims(k, &c, dims) - 1;
    k->lane = lane_symbol(cx, LANES);
    LVal one = l_i64(b, 1), blocks = l_bin(b, LOP_max, kernel_dim(k, dims[others]), one);
    LVal end = l_bin(b, LOP_div, l_add(b, hi, l_sub(b, blocks, one)), blocks);
    KernelTasks tasks;
    kernel_tasks(k, &tasks, l_bin(b, LOP_div, lo, blocks), end, dims, others, at);
    for (uint32_t i = 0; i < others; i++) c.at[c.other[i]] = at[i];
    LVal start = l_mul(b, kernel_dim(k, access_offset(cx, dims, at, others)), blocks);
    LVal from = l_bin(b, LOP_max, l_sub(b, lo, start), l_i64(b, 0)), to = l_min(b, l_sub(b, hi, start), blocks);
    strips(k, &c, from, to, dims[others]);
    kernel_tasks_end(k, &tasks);
}
