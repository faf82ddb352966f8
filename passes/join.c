/* join.c: pass `join`: a kernel that only lays its operands one after the other becomes `join`, whose memory is that of its
 * operands: the kernels that make them write where it would have copied.
 *
 * Runs after `fuse`, when it is known what is a kernel of its own, and before `plan`, which places operands inside.  For this
 * each operand must be the one result of a kernel, lie in no other join, be no result of the function, and leave the next one
 * on a cache line.  Caches of all layers, stacked; parts of a batch.
 */
#include "passes.h"

enum { LINE = 64, MOST_PARTS = 256 };

/* By node of an old graph: its memory has a place already.  Regions are rewritten between the nodes around them. */
typedef struct Taken { const Graph *graph; bool *node; } Taken;
typedef struct Joins { VEC(Taken) graphs; } Joins;

static bool *taken_of(Joins *j, const Graph *g) {
    for (uint32_t i = 0; i < j->graphs.n; i++)
        if (j->graphs.at[i].graph == g) return j->graphs.at[i].node;
    vec_push(g->cx->arena, &j->graphs, ((Taken){g, arena_new_array(g->cx->arena, bool, g->nodes.n)}));
    return vec_last(&j->graphs).node;
}

static Val through_reshapes(const Graph *g, Val v) {
    while (val_op(g, v) == OP_reshape) v = val_in(g, v, 0);
    return v;
}

/* The concat behind the body's one result, where its parts lie one after the other in memory; else NULL. */
static const Node *find_concat(const Graph *body) {
    if (body->results.n != 1) return NULL;
    Val v = through_reshapes(body, body->results.at[0]);
    const Node *n = node(body, v);
    if (n->op != OP_concat || n->n_in < 2 || n->n_in > MOST_PARTS) return NULL;
    for (int64_t i = 0; i < attr_int(n, ATTR_axis); i++)
        if (!dim_is(body->cx, val_dim(body, v, (uint32_t)i), 1)) return NULL;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (val_op(body, through_reshapes(body, n->in[i])) != OP_param) return NULL;
    return n;
}

static bool may_lie_inside(const bool *taken, const Graph *g, Val v, bool last) {
    Context *cx = g->cx;
    Val memory = graph_memory(g, v, NULL);
    const TypeInfo *t = val_type(g, v);
    if (val_op(g, memory) != OP_kernel || val_type(g, memory)->dtype == DT_none || taken[memory.id]) return false;
    if (type_has_found(cx, node(g, memory)->type)) return false;
    for (uint32_t i = 0; i < g->results.n; i++)
        if (graph_memory(g, g->results.at[i], NULL).id == memory.id) return false;
    Dim bytes = dim_muli(cx, dim_product(cx, t->dims, t->rank), dtype_bytes(t->dtype));
    return last || prove(cx, NULL, REL_DIVIDES, dim_const(cx, LINE), bytes) == YES;
}

static Val join(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    const Graph *g = rw->from;
    if (old->op != OP_kernel || val_type(g, old_val)->dtype == DT_none) return (Val){0};
    const Graph *body = attr_graph(old, ATTR_body);
    const Node *concat = find_concat(body);
    if (!concat || concat->n_in != old->n_in) return (Val){0};
    bool *taken = taken_of(rw->user, g);
    Val *parts = arena_new_array(g->cx->arena, Val, concat->n_in), *memory = arena_new_array(g->cx->arena, Val, concat->n_in);
    for (uint32_t i = 0; i < concat->n_in; i++) {
        int64_t param = attr_int(node(body, through_reshapes(body, concat->in[i])), ATTR_index);
        if (!may_lie_inside(taken, g, old->in[param], i + 1 == concat->n_in)) return (Val){0};
        memory[i] = graph_memory(g, old->in[param], NULL);
        for (uint32_t before = 0; before < i; before++)
            if (memory[before].id == memory[i].id) return (Val){0};
        parts[i] = in[param];
    }
    for (uint32_t i = 0; i < concat->n_in; i++) taken[memory[i].id] = true;
    const TypeInfo *t = val_type(g, old_val);
    Attr shape = {.key = ATTR_shape, .n = t->rank, .as.dims = t->dims};
    return emit(rw->to, OP_join, old->loc, parts, concat->n_in, &shape, 1);
}

Graph *pass_join(Context *cx, const Graph *g, const Tiers *tiers) {
    (void)tiers;
    Joins j = {0};
    return graph_rewrite(cx, g, join, &j, false);
}
