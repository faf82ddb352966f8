/* graph.c: graphs and their one constructor of nodes, emit().
 *
 * Stands under everything that makes or reads a graph.  emit: sort attributes, infer the type (the
 * wall against ill-formed nodes, ops/infer.c), fold where asked, hash-cons.  A node is immutable
 * once it has an id; locations alone are joined when a second node merges into it.  Ids ascend in
 * topological order; finishing puts parameters first.
 */
#include <stdio.h>
#include <string.h>

#include "graph_hash.h"
#include "ir.h"
#include "graph_text.h"
#include "ops/infer.h"

const OpInfo op_info[OP_COUNT] = {
    [OP_poison] = {"poison", 0, KIND_NONE, 0, 0, 0, "the value of a node that could not be made"},
#define OP(name, operands, kind, cost, traits, infer, attributes, meaning)                         \
    [OP_##name] = {#name, operands, KIND_##kind, cost, traits, attributes, meaning},
#include "ops.def"
};

const AttrInfo attr_info[ATTR_COUNT] = {
    [ATTR_none] = {.name = "none"},
#define ATTR(name, type, meaning) [ATTR_##name] = {#name, AT_##type, meaning},
#include "attrs.def"
};

const char *const schedule_field_name[SCHED_COUNT] = {
#define SCHED(name, ...) [SCHED_##name] = #name,
#include "schedule.def"
};

const SchedRange schedule_range[SCHED_COUNT] = {
#define SCHED(name, least, most, meaning) [SCHED_##name] = {least, most},
#include "schedule.def"
};

const char *const template_name[TEMPLATE_COUNT] = {
    [TEMPLATE_none] = "none",
#define TEMPLATE(name, ...) [TEMPLATE_##name] = #name,
#include "templates.def"
};

const char *const template_fields[TEMPLATE_COUNT] = {
    [TEMPLATE_none] = "",
#define TEMPLATE(name, fields, meaning) [TEMPLATE_##name] = fields,
#include "templates.def"
};

_Static_assert(ATTR_COUNT <= 64, "attribute sets are 64-bit masks");

Op op_by_name(const char *name) {
    for (int op = 1; op < OP_COUNT; op++)
        if (strcmp(op_info[op].name, name) == 0)
            return (Op)op;
    return OP_poison;
}

Graph *graph_new(Context *cx, const char *name) {
    Graph *g = arena_alloc(cx->arena, sizeof *g);
    g->cx = cx;
    g->name = intern(cx, name);
    g->arena = cx->arena;
    g->cse = map_new(g->arena);
    vec_push(g->arena, &g->nodes, (Node){.op = OP_poison});
    return g;
}

/* ---- emit
 * ---------------------------------------------------------------------------------------------------------
 */

/* Ascending by key; few, so insertion sort. */
static void sort_attrs(Attr *to, const Attr *from, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i;
        for (; at > 0 && to[at - 1].key > from[i].key; at--)
            to[at] = to[at - 1];
        to[at] = from[i];
    }
}

static Attr copy_attr(Graph *g, Attr a) {
    switch (attr_info[a.key].type) {
    case AT_INTS:
        a.as.ints = arena_copy(g->arena, a.as.ints, a.n * sizeof *a.as.ints);
        break;
    case AT_DIMS:
        a.as.dims = arena_copy(g->arena, a.as.dims, a.n * sizeof *a.as.dims);
        break;
    case AT_TEXT:
        a.as.text = intern(g->cx, a.as.text);
        break;
    case AT_SCHEDULE:
        a.as.schedule = arena_copy(g->arena, a.as.schedule, a.n * sizeof *a.as.schedule);
        break;
    case AT_INT:
    case AT_FLOAT:
    case AT_DIM:
    case AT_DTYPE:
    case AT_CONST:
    case AT_GRAPH:
        break;
    }
    return a;
}

static Val push_node(Graph *g, const Node *candidate) {
    if (g->nodes.n > g->cx->limits.nodes)
        diag_fatal(g->cx, "graph '%s' has more than %llu nodes: raise the limit", g->name,
                   (unsigned long long)g->cx->limits.nodes);
    Node n = *candidate;
    n.in = arena_copy(g->arena, n.in, n.n_in * sizeof *n.in);
    Attr *attrs = arena_copy(g->arena, n.attrs, n.n_attrs * sizeof *n.attrs);
    for (uint32_t i = 0; i < n.n_attrs; i++)
        attrs[i] = copy_attr(g, attrs[i]);
    n.attrs = attrs;
    Val v = {g->nodes.n};
    vec_push(g->arena, &g->nodes, n);
    return v;
}

static Val push_param(Graph *g, const Node *candidate) {
    int64_t index = attr_int(candidate, ATTR_index);
    if (index != g->params.n) {
        diag_error(g->cx, candidate->loc, "param: index is %lld, the next parameter is %u",
                   (long long)index, g->params.n);
        return (Val){0};
    }
    Val v = push_node(g, candidate);
    vec_push(g->arena, &g->params, v);
    return v;
}

static Val find_equal(Graph *g, const Node *candidate, uint64_t hash) {
    uint32_t cursor = 0, id;
    while ((id = map_next(&g->cse, hash, &cursor)))
        if (node_equal(candidate, &g->nodes.at[id]))
            return (Val){id};
    return (Val){0};
}

static Val add_node(Graph *g, const Node *candidate) {
    if (candidate->op == OP_param)
        return push_param(g, candidate);
    if (g->fold) {
        Val folded = fold_node(g, candidate);
        if (folded.id)
            return folded;
    }
    uint64_t hash = node_hash(candidate);
    Val same = find_equal(g, candidate, hash);
    if (same.id) {
        Node *kept = &g->nodes.at[same.id];
        kept->loc = loc_join(g->cx, kept->loc, candidate->loc);
        return same;
    }
    Val v = push_node(g, candidate);
    map_add(&g->cse, hash, v.id);
    return v;
}

Val emit(Graph *g, Op op, Loc loc, const Val *in, uint32_t n_in, const Attr *attrs,
         uint32_t n_attrs) {
    REQUIRE(g->cx, !g->finished);
    Attr sorted[ATTR_COUNT];
    if (n_attrs > ATTR_COUNT)
        BUG(g->cx, "%u attributes on one node", n_attrs);
    sort_attrs(sorted, attrs, n_attrs);
    Node candidate = {
        .op = op, .n_in = n_in, .n_attrs = n_attrs, .in = in, .attrs = sorted, .loc = loc};
    candidate.type = infer_node(g->cx, g, g, &candidate);
    if (candidate.type.id == 0)
        return (Val){0};
    return add_node(g, &candidate);
}

/* ---- results and guards
 * ------------------------------------------------------------------------------------------- */

void graph_result(Graph *g, Val v, const char *name) {
    REQUIRE(g->cx, !g->finished && v.id < g->nodes.n);
    vec_push(g->arena, &g->results, v);
    vec_push(g->arena, &g->result_names, intern(g->cx, name ? name : ""));
}

const char *const relation_name[N_RELATIONS] = {
    [REL_EQ] = "==", [REL_NE] = "!=", [REL_LE] = "<=", [REL_LT] = "<", [REL_DIVIDES] = "divides",
};

bool graph_guard(Graph *g, Loc loc, Relation relation, Dim a, Dim b, const char *fmt, ...) {
    if (a.id == 0 || b.id == 0)
        return false;
    Truth truth = prove(g->cx, NULL, relation, a, b);
    if (truth == YES)
        return true;
    for (uint32_t i = 0; truth == UNKNOWN && i < g->guards.n; i++) {
        const Fact *f = &g->guards.at[i].fact;
        if (f->relation == relation && dim_same(f->a, a) && dim_same(f->b, b))
            return true;
    }
    char message[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    if (truth == NO) {
        diag_error(g->cx, loc, "%s", message);
        return false;
    }
    Guard guard = {.fact = {relation, a, b}, .message = intern(g->cx, message), .loc = loc};
    vec_push(g->arena, &g->guards, guard);
    return true;
}

/* ---- finish
 * -------------------------------------------------------------------------------------------------------
 */

/* Ids of the nodes that bind a symbol while running. */
static uint32_t *finders(Graph *g, uint32_t *n) {
    uint32_t *list = NULL;
    *n = 0;
    for (uint32_t id = 1; id < g->nodes.n; id++) {
        if (!node_finds(g->cx, &g->nodes.at[id]).id)
            continue;
        if (!list)
            list = arena_new_array(g->arena, uint32_t, g->nodes.n);
        list[(*n)++] = id;
    }
    return list;
}

/* New ids: parameters first, then the live nodes in their old order.  An extent needs the node that
 * finds it as an operand needs its maker. */
static uint32_t *number_live(Graph *g, uint32_t *n_live) {
    uint32_t *ids = arena_new_array(g->arena, uint32_t, g->nodes.n), n_found;
    const uint32_t *found = finders(g, &n_found);
    for (uint32_t i = 0; i < g->results.n; i++)
        ids[g->results.at[i].id] = 1;
    for (uint32_t id = g->nodes.n; id-- > 1;) {
        const Node *n = &g->nodes.at[id];
        for (uint32_t i = 0; ids[id] && i < n->n_in; i++)
            ids[n->in[i].id] = 1;
        for (uint32_t i = 0; ids[id] && i < n_found && found[i] < id; i++)
            if (!ids[found[i]] &&
                node_mentions(g->cx, n, node_finds(g->cx, &g->nodes.at[found[i]])))
                ids[found[i]] = 1;
    }
    uint32_t next = 1;
    for (uint32_t i = 0; i < g->params.n; i++)
        ids[g->params.at[i].id] = next++;
    for (uint32_t id = 1; id < g->nodes.n; id++)
        if (ids[id] && g->nodes.at[id].op != OP_param)
            ids[id] = next++;
    *n_live = next;
    return ids;
}

static void renumber(Val *vals, uint32_t n, const uint32_t *ids) {
    for (uint32_t i = 0; i < n; i++)
        vals[i].id = ids[vals[i].id];
}

Graph *graph_finish(Graph *g) {
    REQUIRE(g->cx, !g->finished);
    for (uint32_t i = 0; i < g->results.n; i++)
        if (g->results.at[i].id == 0)
            return NULL;
    uint32_t n_live;
    const uint32_t *ids = number_live(g, &n_live);
    Node *nodes = arena_new_array(g->arena, Node, n_live);
    nodes[0] = g->nodes.at[0];
    for (uint32_t id = 1; id < g->nodes.n; id++) {
        if (!ids[id])
            continue;
        Node n = g->nodes.at[id];
        Val *in = arena_copy(g->arena, n.in, n.n_in * sizeof *n.in);
        renumber(in, n.n_in, ids);
        n.in = in;
        nodes[ids[id]] = n;
    }
    g->nodes.at = nodes;
    g->nodes.n = g->nodes.cap = n_live;
    renumber(g->params.at, g->params.n, ids);
    renumber(g->results.at, g->results.n, ids);
    g->cse = map_new(g->arena);
    g->finished = true;
    return g;
}

/* ---- reading
 * ------------------------------------------------------------------------------------------------------
 */

const TypeInfo *val_type(const Graph *g, Val v) { return type_info(g->cx, node(g, v)->type); }
DType val_dtype(const Graph *g, Val v) { return val_type(g, v)->dtype; }
uint32_t val_rank(const Graph *g, Val v) { return val_type(g, v)->rank; }

Dim val_dim(const Graph *g, Val v, uint32_t axis) {
    const TypeInfo *t = val_type(g, v);
    if (v.id == 0)
        return (Dim){0};
    REQUIRE(g->cx, t->dtype != DT_none && axis < t->rank);
    return t->dims[axis];
}

const Attr *node_attr(const Node *n, AttrKey key) {
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (n->attrs[i].key == key)
            return &n->attrs[i];
    return NULL;
}

int64_t attr_int(const Node *n, AttrKey key) { return node_attr(n, key)->as.i; }

const int64_t *attr_ints(const Node *n, AttrKey key, uint32_t *count) {
    const Attr *a = node_attr(n, key);
    if (count)
        *count = a->n;
    return a->as.ints;
}

const Dim *attr_dims(const Node *n, AttrKey key, uint32_t *count) {
    const Attr *a = node_attr(n, key);
    if (count)
        *count = a->n;
    return a->as.dims;
}

Dim attr_dim(const Node *n, AttrKey key) { return node_attr(n, key)->as.dim; }
const Graph *attr_graph(const Node *n, AttrKey key) { return node_attr(n, key)->as.graph; }

Symbol node_finds(Context *cx, const Node *n) {
    const Attr *extent = node_attr(n, ATTR_extent);
    const Term *term;
    for (uint32_t id = 1; n->op == OP_kernel && id < attr_graph(n, ATTR_body)->nodes.n; id++) {
        Symbol s = node_finds(cx, &attr_graph(n, ATTR_body)->nodes.at[id]);
        if (s.id)
            return s;
    }
    if (!extent || dim_terms(cx, extent->as.dim, &term) != 1 || term->n != 1)
        return (Symbol){0};
    return dim_atom(cx, term->factors[0].atom).symbol;
}

static bool type_mentions(Context *cx, Type type, Symbol s) {
    const TypeInfo *t = type_info(cx, type);
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->dtype == DT_none ? type_mentions(cx, t->elements[i], s)
                                : dim_uses(cx, t->dims[i], s))
            return true;
    return false;
}

bool node_mentions(Context *cx, const Node *n, Symbol s) {
    if (type_mentions(cx, n->type, s))
        return true;
    for (uint32_t a = 0; a < n->n_attrs; a++) {
        const Attr *attr = &n->attrs[a];
        AttrType type = attr_info[attr->key].type;
        if (type == AT_DIM && dim_uses(cx, attr->as.dim, s))
            return true;
        for (uint32_t i = 0; type == AT_DIMS && i < attr->n; i++)
            if (dim_uses(cx, attr->as.dims[i], s))
                return true;
        for (uint32_t id = 1; type == AT_GRAPH && id < attr->as.graph->nodes.n; id++)
            if (node_mentions(cx, &attr->as.graph->nodes.at[id], s))
                return true;
    }
    return false;
}

bool val_const(const Graph *g, Val v, Const *c) {
    if (val_op(g, v) != OP_const)
        return false;
    *c = node_attr(node(g, v), ATTR_data)->as.data;
    return true;
}

bool val_splat(const Graph *g, Val v, Scalar *value) {
    while (op_info[val_op(g, v)].kind == KIND_VIEW)
        v = val_in(g, v, 0);
    Const c;
    if (!val_const(g, v, &c))
        return false;
    const ConstInfo *info = const_info(g->cx, c);
    if (info->splat)
        *value = info->value;
    return info->splat;
}

/* Behind the reduction the axes stand again with extent 1, or the broadcast leaves them out. */
Val val_repeated_reduction(const Graph *g, Val v, Op op, Val x) {
    if (val_op(g, v) != OP_broadcast) return (Val){0};
    const Node *spread = node(g, v);
    Val kept = spread->in[0], reduced = val_op(g, kept) == OP_reshape ? val_in(g, kept, 0) : kept;
    if (val_op(g, reduced) != op || val_in(g, reduced, 0).id != x.id) return (Val){0};
    uint32_t n_axes, at = 0;
    const int64_t *axes = attr_ints(node(g, reduced), ATTR_axes, &n_axes), *to = attr_ints(spread, ATTR_axes, NULL);
    bool whole = val_rank(g, kept) == val_rank(g, x);
    for (uint32_t d = 0, r = 0; d < val_rank(g, x); d++) {
        bool gone = r < n_axes && axes[r] == d;
        r += gone;
        if (gone && !whole) continue;
        Dim extent = gone ? dim_const(g->cx, 1) : val_dim(g, x, d);
        if (at == val_rank(g, kept) || to[at] != d || !dim_same(val_dim(g, kept, at), extent)) return (Val){0};
        at++;
    }
    return at == val_rank(g, kept) ? reduced : (Val){0};
}

Val graph_home(const Graph *g, Val v, Dim *bytes) {
    Context *cx = g->cx;
    *bytes = dim_const(cx, 0);
    for (uint32_t i = v.id + 1; i < g->nodes.n; i++) {
        const Node *n = &g->nodes.at[i];
        if (n->op != OP_join) continue;
        Dim before = dim_const(cx, 0);
        for (uint32_t o = 0; o < n->n_in; o++) {
            const TypeInfo *t = val_type(g, n->in[o]);
            if (graph_memory(g, n->in[o], NULL).id == v.id) {
                *bytes = dim_add(cx, *bytes, before), v = (Val){i};
                break;
            }
            before = dim_add(cx, before, dim_muli(cx, dim_product(cx, t->dims, t->rank), dtype_bytes(t->dtype)));
        }
    }
    return v;
}

Val graph_memory(const Graph *g, Val v, uint32_t *element) {
    if (element) *element = 0;
    for (; op_info[val_op(g, v)].traits & ALIAS; v = val_in(g, v, 0))
        if (element && val_op(g, v) == OP_get) *element = (uint32_t)attr_int(node(g, v), ATTR_index);
    return v;
}

static Val through_views(const Graph *g, Val v) {
    while (op_info[val_op(g, v)].kind == KIND_VIEW || op_info[val_op(g, v)].traits & ALIAS) v = val_in(g, v, 0);
    return v;
}

/* The parameter that v is overwritten from, or -1. */
static int64_t donor_of(const Graph *g, Val v) {
    v = graph_memory(g, v, NULL);
    const Node *n = node(g, v);
    Val x = {0};
    if (op_info[n->op].traits & OVERWRITES) {
        x = n->in[0];
    } else if (n->op == OP_kernel && attr_graph(n, ATTR_body)->results.n == 1) {
        int64_t operand = donor_of(attr_graph(n, ATTR_body), attr_graph(n, ATTR_body)->results.at[0]);
        if (operand < 0) return -1;
        x = n->in[operand];
    } else if (n->op == OP_join || n->op == OP_concat) {
        int64_t all = donor_of(g, n->in[0]);
        for (uint32_t i = 1; i < n->n_in; i++)
            if (donor_of(g, n->in[i]) != all) return -1;
        return all;
    } else {
        return -1;
    }
    x = through_views(g, x);
    return val_op(g, x) == OP_param ? attr_int(node(g, x), ATTR_index) : donor_of(g, x);
}

int64_t graph_donor(const Graph *g, uint32_t result) { return donor_of(g, g->results.at[result]); }

int64_t graph_alias(const Graph *g, uint32_t k) {
    if (k >= g->params.n) return graph_donor(g, k - g->params.n);
    for (uint32_t r = 0; r < g->results.n; r++)
        if (graph_donor(g, r) == (int64_t)k) return r;
    return -1;
}
