/* transpose.c: template `transpose`: pointwise over values that lie along another axis of the result than the last.
 *
 * Loads follow the axis that schedule field `axis` names, where memory is contiguous, stores follow the last axis: sixteen by
 * sixteen elements are evaluated as vectors along the former, transposed in registers and stored along the latter.  What is
 * left over on either side goes element by element.  The other axes, and blocks of sixteen of the axis, are the parallel range.
 */
#include "lower.h"

typedef struct Crossing {
    const TypeInfo *type;
    Val result;
    uint32_t axis, last;     /* of loads, of stores */
    uint32_t others;         /* axes besides the two */
    uint32_t other[MAX_RANK];
    Dim at[MAX_RANK];
    Dim first;               /* of the block, along axis */
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

/* Sixteen along the axis, at one place along the last. */
static LVal load_along(Kernel *k, Crossing *c, Dim column) {
    c->at[c->axis] = dim_add(k->cx, c->first, dim_symbol(k->cx, k->lane)), c->at[c->last] = column;
    return l_splat(k->b, kernel_eval(k, c->result, c->at), LANES);
}

/* Sixteen by sixteen, from column `at` on. */
static void square(Kernel *k, Crossing *c, Dim at) {
    LVal v[LANES];
    for (uint32_t i = 0; i < LANES; i++) v[i] = load_along(k, c, dim_addi(k->cx, at, i));
    lanes_transpose(k->b, v);
    for (uint32_t i = 0; i < LANES; i++) {
        c->at[c->axis] = dim_addi(k->cx, c->first, i), c->at[c->last] = dim_add(k->cx, at, dim_symbol(k->cx, k->lane));
        store(k, c, v[i]);
    }
}

/* All columns of a whole block: squares, then column by column. */
static void whole_block(Kernel *k, Crossing *c) {
    Context *cx = k->cx;
    Dim columns = c->type->dims[c->last], width = dim_const(cx, LANES), full = dim_mul(cx, dim_fdiv(cx, columns, width), width);
    KernelLoop loop;
    KernelScope scope;
    Dim at = kernel_loop(k, &loop, l_i64(k->b, 0), kernel_dim(k, full), dim_addi(cx, columns, 1 - LANES), LANES, NULL, 0);
    kernel_enter(k, &scope, (Fact[]){{REL_DIVIDES, width, at}}, 1);
    square(k, c, at);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
    at = kernel_loop(k, &loop, kernel_dim(k, full), kernel_dim(k, columns), columns, 1, NULL, 0);
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

/* Fewer than sixteen along the axis: row by row. */
static void partial_block(Kernel *k, Crossing *c) {
    KernelLoop loop;
    Dim extent = c->type->dims[c->axis];
    k->lanes = 1;
    c->at[c->axis] = kernel_loop(k, &loop, kernel_dim(k, c->first), kernel_dim(k, extent), extent, 1, NULL, 0);
    kernel_vector_loop(k, c->type->dims[c->last], LANES, NULL, 0, row_step, c);
    kernel_loop_end(k, &loop, NULL, 0);
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

void lower_transpose(Kernel *k, LVal lo, LVal hi) {
    Context *cx = k->cx;
    Crossing c = crossing_of(k);
    Dim dims[MAX_RANK], at[MAX_RANK];
    uint32_t n = range_dims(k, &c, dims);
    k->lane = lane_symbol(cx, LANES);
    KernelLoop loop;
    KernelScope scope;
    Fact facts[MAX_RANK];
    Dim p = kernel_loop(k, &loop, lo, hi, dim_product(cx, dims, n), 1, NULL, 0);
    kernel_split(k, p, dims, n, at, facts);
    for (uint32_t i = 0; i < c.others; i++) c.at[c.other[i]] = at[i];
    c.first = dim_muli(cx, at[c.others], LANES);
    kernel_enter(k, &scope, facts, n);
    block(k, &c);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
}
