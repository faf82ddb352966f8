/* verify.c: is a finished graph what emit would have built?
 *
 * Run between passes and over parsed input.  Every node goes through infer_node again (row,
 * attributes, operands, type); parameters, results, bindings, regions and the plan are checked
 * against each other.  A failure is a diagnostic.
 */
#include "ir.h"
#include "ops/infer.h"

static bool verify_type(const Graph *g, uint32_t id) {
    const Node *n = &g->nodes.at[id];
    Type again = infer_node(g->cx, g, NULL, n);
    if (again.id == 0)
        return false;
    if (again.id == n->type.id)
        return true;
    Text found = text_new(g->cx->arena), expected = text_new(g->cx->arena);
    type_print(g->cx, &found, n->type);
    type_print(g->cx, &expected, again);
    diag_error(g->cx, n->loc, "verify: node %%%u of '%s' (%s) has type %s, %s expected", id,
               g->name, op_info[n->op].name, found.at, expected.at);
    return false;
}

static bool verify_node(const Graph *g, uint32_t id) {
    const Node *n = &g->nodes.at[id];
    if (n->op <= OP_poison || n->op >= OP_COUNT) {
        diag_error(g->cx, n->loc, "verify: node %%%u of '%s' has unknown op %d", id, g->name,
                   (int)n->op);
        return false;
    }
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i].id == 0 || n->in[i].id >= id) {
            diag_error(g->cx, n->loc,
                       "verify: node %%%u of '%s' uses %%%u, which does not precede "
                       "it",
                       id, g->name, n->in[i].id);
            return false;
        }
    for (uint32_t i = 1; i < n->n_attrs; i++)
        if (n->attrs[i - 1].key >= n->attrs[i].key) {
            diag_error(g->cx, n->loc, "verify: attributes of %%%u of '%s' do not ascend", id,
                       g->name);
            return false;
        }
    return verify_type(g, id);
}

static bool verify_regions(const Node *n) {
    bool fine = true;
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (attr_info[n->attrs[i].key].type == AT_GRAPH)
            fine &= graph_verify(n->attrs[i].as.graph);
    return fine;
}

static bool verify_params(const Graph *g) {
    uint32_t n = 0;
    for (uint32_t id = 1; id < g->nodes.n; id++)
        n += g->nodes.at[id].op == OP_param;
    bool fine = n == g->params.n;
    for (uint32_t i = 0; fine && i < n; i++) {
        Val v = g->params.at[i];
        fine = v.id > 0 && v.id < g->nodes.n && val_op(g, v) == OP_param &&
               attr_int(node(g, v), ATTR_index) == i;
    }
    if (!fine)
        diag_error(g->cx, (Loc){0}, "verify: parameters of '%s' do not match its nodes", g->name);
    return fine;
}

static bool verify_bindings(const Graph *g) {
    for (uint32_t i = 0; i < g->bindings.n; i++) {
        const ElementBinding *b = &g->bindings.at[i];
        if (b->param < g->params.n && val_dtype(g, g->params.at[b->param]) != DT_none) {
            int64_t n;
            Dim elements = type_elements(g->cx, node(g, g->params.at[b->param])->type);
            if (!dim_const_value(g->cx, elements, &n) || (n > 0 && b->element < (uint64_t)n))
                continue;
            diag_error(g->cx, (Loc){0},
                       "verify: symbol '%s' of '%s' is bound to element %llu of parameter %u, which has %lld",
                       symbol_info(g->cx, b->symbol)->name, g->name,
                       (unsigned long long)b->element, b->param, (long long)n);
            return false;
        }
        diag_error(g->cx, (Loc){0},
                   "verify: symbol '%s' of '%s' is bound to parameter %u, which is no tensor",
                   symbol_info(g->cx, b->symbol)->name, g->name, b->param);
        return false;
    }
    return true;
}

static bool is_region(const Graph *g, const Graph *frame) {
    for (uint32_t id = 1; id < g->nodes.n; id++) {
        const Node *n = &g->nodes.at[id];
        for (uint32_t i = 0; i < n->n_attrs; i++)
            if (attr_info[n->attrs[i].key].type == AT_GRAPH && n->attrs[i].as.graph == frame)
                return true;
    }
    return false;
}

static bool verify_plan(const Graph *g) {
    for (uint32_t b = 0; g->plan && b < g->plan->n; b++) {
        const Buffer *buffer = &g->plan->buffers[b];
        bool fine = buffer->bytes.id && (!buffer->frame || is_region(g, buffer->frame));
        for (uint32_t i = 0; fine && i < buffer->n_above; i++)
            fine = buffer->above[i] < g->plan->n && buffer->above[i] != b;
        if (fine)
            continue;
        diag_error(g->cx, (Loc){0}, "verify: buffer %u of the plan of '%s' is malformed", b,
                   g->name);
        return false;
    }
    return true;
}

static bool verify_buffers(const Graph *g, const Node *n) {
    const Attr *buffers = node_attr(n, ATTR_buffers);
    for (uint32_t i = 0; buffers && i < buffers->n; i++) {
        int64_t b = buffers->as.ints[i];
        if (g->plan && b < g->plan->n && b >= -(int64_t)g->results.n)
            continue;
        diag_error(g->cx, n->loc,
                   "verify: '%s' of '%s' lies in buffer %lld, which the plan does "
                   "not have",
                   op_info[n->op].name, g->name, (long long)b);
        return false;
    }
    return true;
}

bool graph_verify(const Graph *g) {
    REQUIRE(g->cx, g->finished);
    bool fine = true;
    for (uint32_t id = 1; id < g->nodes.n; id++)
        fine &= verify_node(g, id) && verify_regions(&g->nodes.at[id]) &&
                verify_buffers(g, &g->nodes.at[id]);
    if (!fine || !verify_params(g) || !verify_bindings(g) || !verify_plan(g))
        return false;
    for (uint32_t i = 0; i < g->results.n; i++)
        if (g->results.at[i].id == 0 || g->results.at[i].id >= g->nodes.n) {
            diag_error(g->cx, (Loc){0}, "verify: result %u of '%s' is not a node", i, g->name);
            return false;
        }
    return true;
}
