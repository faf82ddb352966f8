/* work.c: the least that a closed graph computes and moves, as dims: what a kernel's time is held against.
 *
 * Elements that matter are followed from the results to the parameters: a view asks for no more elements than are asked of
 * it, a sum asks for all of its operand.  FLOPs come from the op table: cost an element for elementwise ops, a multiply-add
 * per element and step of a contraction.  Bounds that depend on values (masked keys, gathered rows that repeat) are not
 * known here.
 */
#include "ir.h"

/* Elements of a tensor, or of a tuple's first. */
static Dim elements(const Graph *g, Val v) {
    const TypeInfo *t = val_type(g, v);
    return t->dtype || !t->rank ? type_elements(g->cx, node(g, v)->type) : type_elements(g->cx, t->elements[0]);
}

static Dim least(Context *cx, Dim a, Dim b) {
    if (prove(cx, NULL, REL_LE, a, b) == YES) return a;
    return prove(cx, NULL, REL_LE, b, a) == YES ? b : dim_min(cx, a, b);
}

static bool is_whole(OpKind kind) { return kind == KIND_REDUCE || kind == KIND_CONTRACT || kind == KIND_ANCHOR; }

Dim graph_written(const Graph *g, uint32_t result) {
    Val v = g->results.at[result];
    while (op_info[val_op(g, v)].traits & ALIAS) v = val_in(g, v, 0);
    return elements(g, op_info[val_op(g, v)].traits & OVERWRITES ? val_in(g, v, 1) : g->results.at[result]);
}

/* Adds what node n asks of its operands, of which `asked` elements matter itself. */
static void ask(const Graph *g, const Node *n, Dim asked, Dim *needed) {
    for (uint32_t i = op_info[n->op].traits & OVERWRITES ? 1 : 0; i < n->n_in; i++) {
        Dim all = elements(g, n->in[i]), *to = &needed[n->in[i].id];
        *to = is_whole(op_info[n->op].kind) ? all : least(g->cx, all, to->id ? dim_add(g->cx, *to, asked) : asked);
    }
}

static bool touches_float(const Graph *g, const Node *n) {
    const TypeInfo *t = type_info(g->cx, n->type);
    bool is = t->dtype && dtype_is_float(t->dtype);
    for (uint32_t i = 0; i < n->n_in; i++) is |= dtype_is_float(val_dtype(g, n->in[i]));
    return is;
}

uint32_t contract_batch(const Node *n) { return node_attr(n, ATTR_batch) ? (uint32_t)attr_int(n, ATTR_batch) : 0; }

Dim contract_depth(const Graph *g, const Node *n) {
    const TypeInfo *w = val_type(g, n->in[1]);
    uint32_t batch = contract_batch(n);
    Dim depth = dim_product(g->cx, w->dims + batch, w->rank - batch - 1);
    if (!node_attr(n, ATTR_tile)) return depth;
    int64_t tile = attr_int(n, ATTR_tile); /* its products make a square of results */
    return dim_cdiv(g->cx, depth, dim_const(g->cx, tile * tile));
}

static Dim flops(const Graph *g, const Node *n, Dim asked) {
    Context *cx = g->cx;
    const Attr *window = node_attr(n, ATTR_window);
    OpKind kind = op_info[n->op].kind;
    if (kind == KIND_EW && touches_float(g, n)) return dim_muli(cx, asked, op_info[n->op].cost);
    if (kind == KIND_CONTRACT || node_attr(n, ATTR_chunk)) return dim_muli(cx, dim_mul(cx, asked, contract_depth(g, n)), 2);
    if (kind != KIND_REDUCE || !touches_float(g, n)) return dim_const(cx, 0);
    if (!window) return elements(g, n->in[0]);
    for (uint32_t i = 0; i < window->n; i++) asked = dim_muli(cx, asked, window->as.ints[i]);
    return asked;
}

GraphWork graph_work(const Graph *g) {
    Context *cx = g->cx;
    Dim zero = dim_const(cx, 0);
    GraphWork w = {.flops = zero, .written = zero, .read = arena_new_array(g->arena, Dim, g->params.n + 1)};
    Dim *needed = arena_new_array(g->arena, Dim, g->nodes.n);
    for (uint32_t i = 0; i < g->results.n; i++) {
        Val v = g->results.at[i];
        needed[v.id] = elements(g, v);
        w.written = dim_add(cx, w.written, dim_muli(cx, graph_written(g, i), dtype_bytes(val_dtype(g, v))));
    }
    for (uint32_t i = g->nodes.n; i-- > 1;) {
        const Node *n = &g->nodes.at[i];
        if (!needed[i].id) continue;
        ask(g, n, needed[i], needed);
        w.flops = dim_add(cx, w.flops, flops(g, n, needed[i]));
    }
    for (uint32_t i = 0; i < g->params.n; i++) {
        Val v = g->params.at[i];
        w.read[i] = needed[v.id].id ? dim_muli(cx, needed[v.id], dtype_bytes(val_dtype(g, v))) : dim_const(cx, 0);
    }
    return w;
}
