/* work.c: what a kernel's body costs, from its types at the hints: pass `schedule` cuts kernels into tasks by it.
 *
 * The unit is a lane of one instruction: a multiply-add of a register tile, an elementary operation of op_info[].cost.  An
 * element that goes from or to memory counts MEMORY of them (measured: copying in the second-level cache, against tiles).
 */
#include "passes.h"

enum { MEMORY = 16, ANCHOR_COST = 20, FEW_ROWS = 4 };

static int64_t elements_of(Context *cx, const TypeInfo *t) {
    int64_t n = dim_hint(cx, dim_product(cx, t->dims, t->rank));
    return n < 1 ? 1 : n;
}

/* Terms of each element of a contraction or an attend; twice as many where there may be few rows, which share no load of w. */
static int64_t depth_of(Context *cx, const Graph *g, const Node *n) {
    const TypeInfo *y = type_info(cx, n->type);
    uint32_t batch = contract_batch(n);
    int64_t depth = dim_hint(cx, contract_depth(g, n)), rows;
    bool few = !dim_const_value(cx, dim_product(cx, y->dims + batch, y->rank - batch - 1), &rows) || rows <= FEW_ROWS;
    return sat_mul(depth, few ? 2 : 1);
}

static int64_t node_work(Context *cx, const Graph *g, const Node *n) {
    const TypeInfo *t = type_info(cx, n->type);
    int64_t elements = t->dtype == DT_none ? 0 : elements_of(cx, t), work = sat_mul(elements, op_info[n->op].cost), window = 1;
    OpKind kind = op_info[n->op].kind;
    uint32_t axes = 0;
    const int64_t *sizes = node_attr(n, ATTR_window) ? attr_ints(n, ATTR_window, &axes) : NULL;
    for (uint32_t i = 0; i < axes; i++) window = sat_mul(window, sizes[i]);
    if (sizes) return sat_mul(sat_mul(elements, window), MEMORY);
    if (kind == KIND_REDUCE) return sat_mul(elements_of(cx, val_type(g, n->in[0])), MEMORY);
    if (op_info[n->op].traits & OVERWRITES) return 0; /* what is read and written counts */
    if (kind == KIND_ANCHOR) work = sat_mul(elements_of(cx, val_type(g, n->in[0])), ANCHOR_COST);
    return kind == KIND_CONTRACT || node_attr(n, ATTR_chunk) ? sat_add(work, sat_mul(elements, depth_of(cx, g, n))) : work;
}

int64_t body_elements(Context *cx, const Graph *body) {
    int64_t n = dim_hint(cx, graph_written(body, 0));
    return n < 1 ? 1 : n;
}

int64_t body_work(Context *cx, const Graph *body) {
    int64_t work = 0, results = 0;
    for (uint32_t i = 0; i < body->results.n; i++) results = sat_add(results, dim_hint(cx, graph_written(body, i)));
    for (uint32_t i = 1; i < body->nodes.n; i++) work = sat_add(work, node_work(cx, body, &body->nodes.at[i]));
    for (uint32_t i = 0; i < body->params.n; i++) { /* a part of a large one may be all that is read */
        int64_t read = elements_of(cx, val_type(body, body->params.at[i]));
        work = sat_add(work, sat_mul(read < results ? read : results, MEMORY));
    }
    return sat_add(work, sat_mul(results, MEMORY));
}
