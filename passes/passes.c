/* passes.c: the table of passes, and what structural passes share to rebuild a graph.
 *
 * Stands between ir/ and the pipeline: driver/ looks passes up by name here.
 */
#include "passes.h"
#include <string.h>

const PassInfo pass_info[] = {
#define PASS(name, doc) {#name, pass_##name, doc},
#include "passes.def"
};
const uint32_t n_passes = COUNT(pass_info);

const PassInfo *pass_find(const char *name) {
    for (uint32_t i = 0; i < n_passes; i++)
        if (strcmp(pass_info[i].name, name) == 0) return &pass_info[i];
    return NULL;
}

Graph *rebuild_begin(const Graph *from, bool fold, Val *map) {
    Graph *to = graph_new(from->cx, from->name);
    to->fold = fold;
    for (uint32_t i = 0; i < from->params.n; i++) {
        const Node *p = node(from, from->params.at[i]);
        map[from->params.at[i].id] = emit(to, OP_param, p->loc, NULL, 0, p->attrs, p->n_attrs);
    }
    for (uint32_t i = 0; i < from->guards.n; i++) vec_push(to->arena, &to->guards, from->guards.at[i]);
    for (uint32_t i = 0; i < from->bindings.n; i++) vec_push(to->arena, &to->bindings, from->bindings.at[i]);
    return to;
}

Val rebuild_node(Graph *to, const Node *n, const Val *map, const Graph *const *regions) {
    Val *in = arena_new_array(to->arena, Val, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++) in[i] = map[n->in[i].id];
    Attr *attrs = arena_copy(to->arena, n->attrs, n->n_attrs * sizeof *attrs);
    for (uint32_t i = 0, r = 0; regions && i < n->n_attrs; i++)
        if (attr_info[attrs[i].key].type == AT_GRAPH) attrs[i].as.graph = regions[r++];
    return emit(to, n->op, n->loc, in, n->n_in, attrs, n->n_attrs);
}

bool type_has_found(Context *cx, Type type) {
    const TypeInfo *t = type_info(cx, type);
    for (uint32_t i = 1; i <= symbol_count(cx); i++) {
        if (symbol_info(cx, (Symbol){i})->kind != SYMBOL_FOUND) continue;
        for (uint32_t d = 0; d < t->rank; d++)
            if (dim_uses(cx, t->dims[d], (Symbol){i})) return true;
    }
    return false;
}
