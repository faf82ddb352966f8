/* columns.c: template `columns`: a reduction over axes before the last, and everything pointwise around it.
 *
 * Lanes are elements of the kept axes behind the reduced ones (the columns).  A task is a block of columns: rows of the
 * block stream by in the order of memory, a few at a time, while the block's accumulators stay in the first cache; one
 * column after the other would take a line from every row and a page for every few.  Accumulators of an order above 1 are
 * as many per column, and combined by the reduction's own tree.  Invariant (pass fuse): the body has one reduction, every
 * result has its dims.
 */
#include "lower.h"

enum {
    BLOCK = 1024 /* columns */,
    TOGETHER = 8 /* rows of one pass over the accumulators: enough loads under way at once, where fetching ahead was slower */
};

typedef struct Columns {
    Val anchor;
    const Node *node;
    const TypeInfo *full, *type; /* of the operand, of the result */
    const int64_t *axes;
    uint32_t n_axes, first;      /* reduced axes; first result axis of the columns */
    uint32_t order;
    Dim rows, columns;
    Dim at[MAX_RANK];            /* of the result */
    Dim begin;                   /* first column of the block */
    Dim row[TOGETHER][MAX_RANK]; /* of the operand: reduced axes of the rows at hand */
    LVal slot[TOGETHER];         /* their accumulators */
    uint32_t together;
    LVal sums, value;
    Dim column;                  /* within the block, of value */
} Columns;

static Columns columns_of(Kernel *k) {
    const Graph *g = k->body;
    Columns s = {0};
    for (uint32_t i = 1; i < g->nodes.n && !s.anchor.id; i++)
        if (op_info[g->nodes.at[i].op].kind == KIND_REDUCE) s.anchor = (Val){i};
    if (!s.anchor.id || !node_attr(node(g, s.anchor), ATTR_axes))
        diag_fatal(k->cx, "schedule: template columns without a reduction");
    s.node = node(g, s.anchor), s.full = val_type(g, s.node->in[0]), s.type = val_type(g, s.anchor);
    s.axes = attr_ints(s.node, ATTR_axes, &s.n_axes), s.order = (uint32_t)attr_int(s.node, ATTR_order);
    if (!s.n_axes || s.axes[s.n_axes - 1] + 1 >= s.full->rank)
        diag_fatal(k->cx, "schedule: template columns needs an axis behind the reduced ones");
    s.first = (uint32_t)s.axes[s.n_axes - 1] + 1 - s.n_axes;
    s.rows = dim_const(k->cx, 1);
    for (uint32_t i = 0; i < s.n_axes; i++) s.rows = dim_mul(k->cx, s.rows, s.full->dims[s.axes[i]]);
    s.columns = dim_product(k->cx, s.type->dims + s.first, s.type->rank - s.first);
    return s;
}

static Dim blocks_of_columns(Kernel *k, const Columns *s) { return dim_cdiv(k->cx, s->columns, dim_const(k->cx, BLOCK)); }

Dim range_columns(Kernel *k) {
    Columns s = columns_of(k);
    return dim_mul(k->cx, dim_product(k->cx, s.type->dims, s.first), blocks_of_columns(k, &s));
}

Dim scratch_columns(Kernel *k) {
    Columns s = columns_of(k);
    return dim_const(k->cx, (int64_t)s.order * BLOCK * dtype_bytes(loop_compute_dtype(s.type->dtype)));
}

/* at[] of the result at column `linear` of the block. */
static void place_column(Kernel *k, Columns *s, Dim linear) {
    s->column = linear;
    linear = dim_add(k->cx, s->begin, linear);
    for (uint32_t i = s->type->rank; i-- > s->first;) {
        s->at[i] = i > s->first ? kernel_simplify(k, dim_mod(k->cx, linear, s->type->dims[i])) : linear;
        if (i > s->first) linear = kernel_simplify(k, dim_fdiv(k->cx, linear, s->type->dims[i]));
    }
}

static LVal column_index(Kernel *k, Dim column) {
    return kernel_dim(k, dim_substitute(k->cx, column, &k->lane, (Dim[]){dim_const(k->cx, 0)}, 1));
}

static LVal accumulator(Kernel *k, LVal at, uint32_t i) { return l_add(k->b, at, l_i64(k->b, (int64_t)i * BLOCK)); }

static void clear_step(Kernel *k, void *user, Dim column, LVal *carried) {
    Columns *s = user;
    (void)carried;
    LVal at = column_index(k, column), nothing = reduce_nothing(k, s->anchor);
    for (uint32_t i = 0; i < s->order; i++) l_store(k->b, s->sums, accumulator(k, at, i), nothing, k->mask);
}

/* The columns' elements of the rows at hand onto their accumulators. */
static void take_step(Kernel *k, void *user, Dim column, LVal *carried) {
    Columns *s = user;
    LoopBuilder *b = k->b;
    LVal at = column_index(k, column), sum = {0};
    (void)carried;
    place_column(k, s, column);
    for (uint32_t u = 0; u < s->together; u++) {
        for (uint32_t i = 0, next = 0, kept = 0; i < s->full->rank; i++) {
            bool reduced = next < s->n_axes && s->axes[next] == i;
            if (reduced) next++;
            else s->row[u][i] = s->at[kept++];
        }
        LVal x = l_splat(b, kernel_eval(k, s->node->in[0], s->row[u]), k->lanes), place = l_add(b, at, s->slot[u]);
        if (!u || s->order > 1) sum = l_load(b, s->sums, place, k->lanes, k->mask);
        sum = reduce_take(k, s->anchor, sum, x);
        if (u + 1 == s->together || s->order > 1) l_store(b, s->sums, place, sum, k->mask);
    }
}

static LVal columns_anchor(Kernel *k, Val v, const Dim *at) {
    const Columns *s = k->state;
    (void)at; /* pointwise: read where it is written */
    return v.id == s->anchor.id ? s->value : (LVal){0};
}

static void store_step(Kernel *k, void *user, Dim column, LVal *carried) {
    Columns *s = user;
    const Graph *g = k->body;
    LVal at = column_index(k, column), v[MAX_ORDER];
    (void)carried;
    for (uint32_t i = 0; i < s->order; i++) v[i] = l_load(k->b, s->sums, accumulator(k, at, i), k->lanes, k->mask);
    for (uint32_t half = s->order / 2; half; half /= 2)
        for (uint32_t i = 0; i < half; i++) v[i] = reduce_combine(k, s->node->op, v[i], v[i + half]);
    place_column(k, s, column);
    s->value = reduce_finished(k, s->anchor, v[0]);
    for (uint32_t r = 0; r < g->results.n; r++) {
        Val result = g->results.at[r];
        Dim offset = access_offset(k->cx, s->type->dims, s->at, s->type->rank);
        kernel_store(k, k->outputs[r], val_dtype(g, result), offset, kernel_eval(k, result, s->at));
    }
    s->value = (LVal){0};
}

/* Rows [from, to), n at a time, over the block's columns. */
static void take_rows(Kernel *k, Columns *s, LVal from, LVal to, uint32_t n, Dim size) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    KernelLoop loop;
    KernelScope scope;
    Dim dims[MAX_RANK], at[MAX_RANK];
    Fact facts[TOGETHER * MAX_RANK];
    for (uint32_t i = 0; i < s->n_axes; i++) dims[i] = s->full->dims[s->axes[i]];
    Dim r = kernel_loop(k, &loop, from, to, s->rows, n, NULL, 0);
    s->together = n;
    for (uint32_t u = 0; u < n; u++) {
        Dim row = dim_addi(cx, r, u);
        kernel_split(k, row, dims, s->n_axes, at, facts + u * s->n_axes);
        for (uint32_t i = 0; i < s->n_axes; i++) s->row[u][s->axes[i]] = at[i];
        LVal slot = l_bin(b, LOP_and, kernel_dim(k, row), l_i64(b, (int64_t)s->order - 1));
        s->slot[u] = l_mul(b, slot, l_i64(b, BLOCK));
    }
    kernel_enter(k, &scope, facts, n * s->n_axes);
    kernel_vector_loop(k, size, LANES, NULL, 0, take_step, s);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
}

/* All rows; those of many axes have many indices each, of which a kernel has few. */
static void take_all(Kernel *k, Columns *s, Dim size) {
    enum { INDICES = 16 };
    static const uint32_t steps[] = {TOGETHER, TOGETHER / 2, 1};
    LoopBuilder *b = k->b;
    LVal rows = kernel_dim(k, s->rows), from = l_i64(b, 0);
    for (uint32_t i = 0; i < COUNT(steps); i++) {
        uint32_t n = steps[i];
        if (n > TOGETHER / 2 && n * s->n_axes > INDICES) continue;
        LVal to = l_sub(b, rows, l_bin(b, LOP_rem, rows, l_i64(b, n)));
        int64_t first, end;
        if (loop_const_int(b, from, &first) && loop_const_int(b, to, &end) && first == end) continue;
        take_rows(k, s, from, to, n, size);
        from = to;
    }
}

static void lower_block(Kernel *k, Columns *s, Dim block) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    s->begin = dim_muli(cx, block, BLOCK);
    /* The block's extent is an index symbol of its own: at most BLOCK, and it ends with the columns. */
    Dim size = kernel_index(k, l_min(b, l_i64(b, BLOCK), kernel_dim(k, dim_sub(cx, s->columns, s->begin))));
    Fact facts[] = {{REL_LE, size, dim_const(cx, BLOCK)}, {REL_LE, dim_add(cx, s->begin, size), s->columns}};
    KernelScope scope;
    kernel_enter(k, &scope, facts, COUNT(facts));
    kernel_vector_loop(k, size, LANES, NULL, 0, clear_step, s);
    take_all(k, s, size);
    kernel_vector_loop(k, size, LANES, NULL, 0, store_step, s);
    kernel_leave(k, &scope);
}

void lower_columns(Kernel *k, LVal lo, LVal hi) {
    Context *cx = k->cx;
    Columns s = columns_of(k);
    k->state = &s, k->anchor = columns_anchor;
    k->lane = lane_symbol(cx, LANES);
    LType acc = lt_pointer((DType)loop_type(k->b, reduce_nothing(k, s.anchor)).dtype);
    s.sums = l_inst(k->b, LOP_recast, acc, &k->scratch, 1, 0);
    KernelTasks tasks;
    Dim dims[MAX_RANK + 1], at[MAX_RANK + 1];
    for (uint32_t i = 0; i < s.first; i++) dims[i] = s.type->dims[i];
    dims[s.first] = blocks_of_columns(k, &s);
    kernel_tasks(k, &tasks, lo, hi, dims, s.first + 1, at);
    for (uint32_t i = 0; i < s.first; i++) s.at[i] = at[i];
    lower_block(k, &s, at[s.first]);
    kernel_tasks_end(k, &tasks);
}
