/* graph_hash.c: structural hashes and equality of nodes and graphs, for hash-consing and for
 * merging equal kernels.
 *
 * Regions are compared by content: two equal bodies make two equal nodes.  Types follow from
 * operands and attributes, so they are not part of a key.  Names and locations never are.
 */
#include "graph_hash.h"

#include <string.h>

static uint64_t float_bits(double f) {
    uint64_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static uint64_t attr_hash(const Attr *a) {
    uint64_t h = hash_mix(a->key, a->n);
    switch (attr_info[a->key].type) {
    case AT_INT:
        return hash_mix(h, (uint64_t)a->as.i);
    case AT_FLOAT:
        return hash_mix(h, float_bits(a->as.f));
    case AT_INTS:
        for (uint32_t i = 0; i < a->n; i++)
            h = hash_mix(h, (uint64_t)a->as.ints[i]);
        return h;
    case AT_DIM:
        return hash_mix(h, a->as.dim.id);
    case AT_DIMS:
        for (uint32_t i = 0; i < a->n; i++)
            h = hash_mix(h, a->as.dims[i].id);
        return h;
    case AT_DTYPE:
        return hash_mix(h, a->as.dtype);
    case AT_TEXT:
        return hash_bytes(a->as.text, strlen(a->as.text), h);
    case AT_CONST:
        return hash_mix(h, a->as.data.id);
    case AT_GRAPH:
        return hash_mix(h, graph_hash(a->as.graph));
    case AT_SCHEDULE:
        return hash_bytes(a->as.schedule, a->n * sizeof *a->as.schedule, h);
    }
    return h;
}

static bool attr_equal(const Attr *a, const Attr *b) {
    if (a->key != b->key || a->n != b->n)
        return false;
    switch (attr_info[a->key].type) {
    case AT_INT:
        return a->as.i == b->as.i;
    case AT_FLOAT:
        return float_bits(a->as.f) == float_bits(b->as.f);
    case AT_INTS:
        return a->n == 0 || memcmp(a->as.ints, b->as.ints, a->n * sizeof(int64_t)) == 0;
    case AT_DIM:
        return dim_same(a->as.dim, b->as.dim);
    case AT_DIMS:
        for (uint32_t i = 0; i < a->n; i++)
            if (!dim_same(a->as.dims[i], b->as.dims[i]))
                return false;
        return true;
    case AT_DTYPE:
        return a->as.dtype == b->as.dtype;
    case AT_TEXT:
        return strcmp(a->as.text, b->as.text) == 0;
    case AT_CONST:
        return a->as.data.id == b->as.data.id;
    case AT_GRAPH:
        return graph_equal(a->as.graph, b->as.graph);
    case AT_SCHEDULE:
        return memcmp(a->as.schedule, b->as.schedule, a->n * sizeof *a->as.schedule) == 0;
    }
    return false;
}

uint64_t node_hash(const Node *n) {
    uint64_t h = hash_mix(n->op, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        h = hash_mix(h, n->in[i].id);
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (n->attrs[i].key != ATTR_name)
            h = hash_mix(h, attr_hash(&n->attrs[i]));
    return h;
}

bool node_equal(const Node *a, const Node *b) {
    if (a->op != b->op || a->n_in != b->n_in || a->n_attrs != b->n_attrs)
        return false;
    for (uint32_t i = 0; i < a->n_in; i++)
        if (a->in[i].id != b->in[i].id)
            return false;
    for (uint32_t i = 0; i < a->n_attrs; i++) {
        bool names = a->attrs[i].key == ATTR_name && b->attrs[i].key == ATTR_name;
        if (!names && !attr_equal(&a->attrs[i], &b->attrs[i]))
            return false;
    }
    return true;
}

static bool same_vals(const Val *a, const Val *b, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (a[i].id != b[i].id)
            return false;
    return true;
}

static bool same_guards(const Graph *a, const Graph *b) {
    if (a->guards.n != b->guards.n)
        return false;
    for (uint32_t i = 0; i < a->guards.n; i++) {
        const Fact *x = &a->guards.at[i].fact, *y = &b->guards.at[i].fact;
        if (x->relation != y->relation || !dim_same(x->a, y->a) || !dim_same(x->b, y->b))
            return false;
    }
    return true;
}

static bool same_bindings(const Graph *a, const Graph *b) {
    if (a->bindings.n != b->bindings.n)
        return false;
    for (uint32_t i = 0; i < a->bindings.n; i++) {
        const SymbolBinding *x = &a->bindings.at[i], *y = &b->bindings.at[i];
        if (x->symbol.id != y->symbol.id || x->param != y->param || x->element != y->element ||
            !dim_same(x->value, y->value))
            return false;
    }
    return true;
}

static bool same_buffer(const Buffer *a, const Buffer *b) {
    if (!dim_same(a->bytes, b->bytes) || a->n_above != b->n_above || !a->frame != !b->frame)
        return false;
    for (uint32_t i = 0; i < a->n_above; i++)
        if (a->above[i] != b->above[i])
            return false;
    return true; /* frames are bodies of the nodes, which are compared there */
}

static bool same_plan(const Plan *a, const Plan *b) {
    if (!a || !b)
        return a == b;
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (!same_buffer(&a->buffers[i], &b->buffers[i]))
            return false;
    return true;
}

uint64_t graph_hash(const Graph *g) {
    uint64_t h = hash_mix(g->nodes.n, g->results.n);
    for (uint32_t id = 1; id < g->nodes.n; id++)
        h = hash_mix(h, node_hash(&g->nodes.at[id]));
    for (uint32_t i = 0; i < g->results.n; i++)
        h = hash_mix(h, g->results.at[i].id);
    return hash_mix(h, g->guards.n);
}

bool graph_equal(const Graph *a, const Graph *b) {
    if (a == b)
        return true;
    if (a->nodes.n != b->nodes.n || a->params.n != b->params.n || a->results.n != b->results.n)
        return false;
    if (!same_vals(a->params.at, b->params.at, a->params.n) ||
        !same_vals(a->results.at, b->results.at, a->results.n) || !same_guards(a, b) ||
        !same_bindings(a, b) || !same_plan(a->plan, b->plan))
        return false;
    for (uint32_t id = 1; id < a->nodes.n; id++)
        if (!node_equal(&a->nodes.at[id], &b->nodes.at[id]))
            return false;
    return true;
}
