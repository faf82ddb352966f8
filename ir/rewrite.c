/* rewrite.c: passes rebuild graphs: walk the old nodes in order, map operands, let the visitor say
 * what each becomes.
 *
 * In: a finished graph.  Out: a new finished graph, dead nodes gone, equal ones merged; NULL after
 * a diagnostic. Regions are rewritten before the node that holds them.  Guards and element bindings
 * are kept; a memory plan and rounds belong to the nodes they were made for, so the plan and the
 * attributes `buffers` and `together` are dropped.
 */
#include <string.h>

#include "ir.h"

static uint32_t *count_uses(Context *cx, const Graph *g) {
    uint32_t *uses = arena_new_array(cx->arena, uint32_t, g->nodes.n);
    for (uint32_t id = 1; id < g->nodes.n; id++)
        for (uint32_t i = 0; i < g->nodes.at[id].n_in; i++)
            uses[g->nodes.at[id].in[i].id]++;
    for (uint32_t i = 0; i < g->results.n; i++)
        uses[g->results.at[i].id]++;
    return uses;
}

Val rewrite_copy(Rewrite *r, const Node *old, const Val *in) {
    Attr attrs[ATTR_COUNT];
    uint32_t n = 0;
    for (uint32_t i = 0; i < old->n_attrs; i++)
        if (old->attrs[i].key != ATTR_buffers && old->attrs[i].key != ATTR_together)
            attrs[n++] = old->attrs[i];
    return emit(r->to, old->op, old->loc, in, old->n_in, attrs, n);
}

/* The node with its regions rewritten; false after a diagnostic. */
static bool rewrite_regions(Context *cx, Node *n, VisitFn *visit, void *user, bool fold) {
    Attr *attrs = NULL;
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        if (attr_info[n->attrs[i].key].type != AT_GRAPH)
            continue;
        if (!attrs)
            attrs = arena_copy(cx->arena, n->attrs, n->n_attrs * sizeof *attrs);
        attrs[i].as.graph = graph_rewrite(cx, n->attrs[i].as.graph, visit, user, fold);
        if (!attrs[i].as.graph)
            return false;
    }
    if (attrs)
        n->attrs = attrs;
    return true;
}

static Val visit_node(Rewrite *r, const Node *old, Val old_val, const Val *in, VisitFn *visit) {
    uint32_t errors = diag_error_count(r->to->cx);
    Val v = visit(r, old, old_val, in);
    if (v.id || diag_error_count(r->to->cx) != errors)
        return v;
    return rewrite_copy(r, old, in);
}

Graph *graph_rewrite(Context *cx, const Graph *from, VisitFn *visit, void *user, bool fold) {
    REQUIRE(cx, from->finished);
    Graph *to = graph_new(cx, from->name);
    to->fold = fold;
    Val *map = arena_new_array(cx->arena, Val, from->nodes.n);
    Rewrite r = {.to = to, .from = from, .map = map, .user = user, .uses = count_uses(cx, from)};
    for (uint32_t i = 0; i < from->guards.n; i++)
        vec_push(to->arena, &to->guards, from->guards.at[i]);
    for (uint32_t i = 0; i < from->bindings.n; i++)
        vec_push(to->arena, &to->bindings, from->bindings.at[i]);
    VEC(Val) in = {0};
    for (uint32_t id = 1; id < from->nodes.n; id++) {
        Node old = from->nodes.at[id];
        bool poison = false;
        in.n = 0;
        for (uint32_t i = 0; i < old.n_in; i++) {
            vec_push(cx->arena, &in, map[old.in[i].id]);
            poison |= vec_last(&in).id == 0;
        }
        if (poison || !rewrite_regions(cx, &old, visit, user, fold))
            continue;
        map[id] = visit_node(&r, &old, (Val){id}, in.at, visit);
    }
    for (uint32_t i = 0; i < from->results.n; i++)
        graph_result(to, map[from->results.at[i].id], from->result_names.at[i]);
    return graph_finish(to);
}

void graph_inline(Graph *g, const Graph *callee, const Val *in, Val *out) {
    Context *cx = g->cx;
    REQUIRE(cx, callee->finished);
    Val *map = arena_new_array(cx->arena, Val, callee->nodes.n);
    Rewrite r = {.to = g, .from = callee, .map = map};
    for (uint32_t i = 0; i < callee->params.n; i++)
        map[callee->params.at[i].id] = in[i];
    for (uint32_t i = 0; i < callee->guards.n; i++) {
        const Guard *guard = &callee->guards.at[i];
        graph_guard(g, guard->loc, guard->fact.relation, guard->fact.a, guard->fact.b, "%s",
                    guard->message);
    }
    VEC(Val) operands = {0};
    for (uint32_t id = 1; id < callee->nodes.n; id++) {
        const Node *old = &callee->nodes.at[id];
        if (old->op == OP_param)
            continue;
        operands.n = 0;
        for (uint32_t i = 0; i < old->n_in; i++)
            vec_push(cx->arena, &operands, map[old->in[i].id]);
        map[id] = rewrite_copy(&r, old, operands.at);
    }
    for (uint32_t i = 0; i < callee->results.n; i++)
        out[i] = map[callee->results.at[i].id];
}
