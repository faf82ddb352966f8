/* import.c: walks ONNX graphs and dispatches their nodes; fourth stage of the ONNX importer.
 *
 * Names resolve through a chain of scopes; a name taken across the border of a region becomes a parameter of it (a
 * capture).  Nodes may come in any order: those that the outputs need are sorted.  Model-local functions are inlined, their
 * attribute references resolved through the call.  A node with a poisoned input gives poison silently, so that one cause
 * is one diagnostic and every independent mistake is reported.
 */
#include "onnx.h"
#include <stdlib.h>
#include <string.h>

/* ---- scopes ------------------------------------------------------------------------------------------------------ */

static uint64_t name_key(const char *name) { return (uint64_t)(uintptr_t)name; }

NameScope *scope_new(Importer *im, NameScope *parent, Graph *g, bool boundary) {
    NameScope *s = arena_new_array(im->arena, NameScope, 1);
    s->parent = parent;
    s->g = g;
    s->boundary = boundary;
    s->names = map_new(im->arena);
    s->function = parent ? parent->function : NULL;
    s->opsets = parent ? parent->opsets : NULL;
    s->n_opsets = parent ? parent->n_opsets : 0;
    return s;
}

bool scope_has(const NameScope *s, const char *name) { return map_get(&s->names, name_key(name)) != 0; }

void scope_set(Importer *im, NameScope *s, const char *name, Value v) {
    vec_push(im->arena, &s->values, v);
    map_set(&s->names, name_key(name), s->values.n);
}

/* The outer value as the region sees it: constants and known elements are made again inside, the rest is a parameter. */
static Value capture(Importer *im, NameScope *s, const char *name, Value v) {
    Const data;
    if (v.kind == VALUE_SEQUENCE || v.kind == VALUE_OPTIONAL) {
        Value *items = arena_new_array(im->arena, Value, v.n);
        for (uint32_t i = 0; i < v.n; i++) items[i] = capture(im, s, name, v.items[i]);
        v.items = items;
        return v;
    }
    if (v.kind != VALUE_TENSOR || !v.val.id) return v;
    const Graph *outer = s->parent->g;
    const TypeInfo *t = val_type(outer, v.val);
    Loc loc = loc_node(im->cx, im->file, NULL, NULL);
    Value inside = v;
    inside.param = 0;
    if (val_const(outer, v.val, &data)) {
        inside.val = b_const(s->g, loc, data, t->rank, t->dims);
        return inside;
    }
    inside.val = b_param(s->g, loc, name, t->dtype, t->rank, t->dims);
    vec_push(im->arena, &s->captures.outer, v);
    vec_push(im->arena, &s->captures.name, name);
    return inside;
}

bool scope_get(Importer *im, NameScope *s, const char *name, Value *v) {
    uint32_t k = map_get(&s->names, name_key(name));
    if (k) {
        *v = s->values.at[k - 1];
        return true;
    }
    if (!s->parent || !scope_get(im, s->parent, name, v)) return false;
    if (!s->boundary) return true;
    *v = capture(im, s, name, *v);
    scope_set(im, s, name, *v);
    return true;
}

static int64_t scope_opset(const NameScope *s, const char *domain) {
    int64_t version = 0;
    for (uint32_t i = 0; i < s->n_opsets; i++)
        if (s->opsets[i].domain == domain) version = s->opsets[i].version;
    return version;
}

/* ---- one node ---------------------------------------------------------------------------------------------------- */

static bool known_attr(const OnnxRow *row, const char *name) {
    size_t n = strlen(name);
    for (const char *p = row->attrs; *p;) {
        size_t word = strcspn(p, " ");
        if (word == n && memcmp(p, name, n) == 0) return true;
        p += word;
        p += *p == ' ';
    }
    return false;
}

static bool check_node(Call *c) {
    for (uint32_t i = 0; i < c->node->n_attrs; i++)
        if (!known_attr(c->row, c->node->attrs[i].name)) {
            fail(c, "attribute '%s' is not supported; known are: %s", c->node->attrs[i].name,
                 c->row->attrs[0] ? c->row->attrs : "none");
            return false;
        }
    for (int i = 0; i < c->row->inputs; i++)
        if (!has_in(c, (uint32_t)i)) {
            fail(c, "input %d is missing, %d are needed", i, c->row->inputs);
            return false;
        }
    return true;
}

/* Whether the elements an operator's shape function found are all there is: nobody needs the tensor path. */
static bool elements_suffice(Call *c) {
    Const data;
    int64_t k;
    bool constant = true, dims_only = true;
    for (uint32_t o = 0; o < c->n_out; o++)
        for (uint32_t i = 0; i < c->out[o].n; i++)
            constant = constant && dim_const_value(c->cx, c->out[o].elements[i], &k);
    for (uint32_t i = 0; i < c->n_in; i++)
        if (c->in[i].kind == VALUE_TENSOR && c->in[i].val.id && !val_const(c->g, c->in[i].val, &data))
            dims_only = false;
    return constant || dims_only;
}

static void run_row(Call *c) {
    uint32_t n = c->n_out;
    if (!check_node(c)) return;
    bool found = c->row->shape(c);
    if (found && (c->row->fn == import_extents || elements_suffice(c))) return;
    Value *known = NULL;
    if (found) {
        known = arena_new_array(c->im->arena, Value, n);
        memcpy(known, c->out, n * sizeof *known);
        memset(c->out, 0, n * sizeof *known);
    }
    Val v = c->row->fn(c);
    if (v.id) set_out(c, 0, v);
    for (uint32_t i = 0; known && i < n; i++)
        if (c->out[i].kind == VALUE_TENSOR && known[i].elements) {
            known[i].val = c->out[i].val;
            known[i].dtype = c->out[i].dtype;
            c->out[i] = known[i];
        }
}

static bool inline_function(Call *c, const OnnxFunction *fn);

static const OnnxFunction *find_function(const OnnxModel *m, const OnnxNode *n) {
    for (uint32_t i = 0; i < m->n_functions; i++)
        if (m->functions[i].name == n->op && m->functions[i].domain == n->domain &&
            m->functions[i].overload == n->overload)
            return &m->functions[i];
    return NULL;
}

static void unknown_op(Call *c) {
    const char **words = arena_new_array(c->im->arena, const char *, n_onnx_rows);
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_onnx_rows; i++)
        if (strcmp(onnx_rows[i].domain, c->node->domain) == 0) words[n++] = onnx_rows[i].op;
    const char *close = closest_word(c->node->op, words, n), *domain = c->node->domain;
    if (close && strcmp(close, c->node->op) != 0)
        fail(c, "operator %s%s%s is not supported (did you mean %s?)", domain, domain[0] ? "." : "", c->node->op,
             close);
    else
        fail(c, "operator %s%s%s (opset %lld) is not supported", domain, domain[0] ? "." : "", c->node->op,
             (long long)c->opset);
}

static bool fetch_inputs(Call *c, bool *poison) {
    *poison = false;
    for (uint32_t i = 0; i < c->n_in; i++) {
        const char *name = c->node->in[i];
        if (!name[0]) continue;
        if (!scope_get(c->im, c->scope, name, &c->in[i])) {
            fail(c, "input %u, '%s', is defined nowhere", i, name);
            return false;
        }
        if (c->in[i].kind == VALUE_POISON) *poison = true;
    }
    while (c->n_in && c->in[c->n_in - 1].kind == VALUE_ABSENT) c->n_in--;
    return true;
}

static void import_node(Importer *im, NameScope *scope, const OnnxNode *n) {
    Context *cx = im->cx;
    const char *label = n->name[0] ? n->name : n->n_out ? n->out[0] : "";
    Call call = {.im = im, .cx = cx, .g = scope->g, .scope = scope, .node = n, .n_in = n->n_in, .n_out = n->n_out},
         *c = &call;
    bool poison;
    context_spend(cx, 16);
    c->loc = loc_node(cx, im->file, label, n->op);
    c->opset = scope_opset(scope, n->domain);
    c->in = arena_new_array(im->arena, Value, n->n_in + 1);
    c->out = arena_new_array(im->arena, Value, n->n_out + 1);
    uint32_t errors = diag_count(cx);
    if (++im->nodes > cx->limits.nodes) {
        fail(c, "more than %llu nodes after inlining", (unsigned long long)cx->limits.nodes);
        context_unwind(cx);
    }
    const OnnxFunction *fn = find_function(im->model, n);
    c->row = onnx_row(n->domain, n->op);
    bool fetched = fetch_inputs(c, &poison);
    if (!fn && !c->row)
        unknown_op(c);
    else if (fetched && !poison && fn)
        inline_function(c, fn);
    else if (fetched && !poison)
        run_row(c);
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!n->out[i][0]) continue;
        if (c->out[i].kind == VALUE_ABSENT) {
            if (!poison && diag_count(cx) == errors) fail(c, "output %u ('%s') is not supported", i, n->out[i]);
            c->out[i].kind = VALUE_POISON;
        }
        scope_set(im, scope, n->out[i], c->out[i]);
    }
}

/* ---- the order of nodes ------------------------------------------------------------------------------------------ */

typedef struct Sorter {
    Importer *im;
    const OnnxGraph *graph;
    Map producer;   /* name -> 1 + node */
    uint8_t *state; /* 0 new, 1 open, 2 done */
    VEC(uint32_t) stack, order;
    VEC(uint32_t) pending; /* producers of one node */
} Sorter;

/* Producers in this graph of the names that a node, or a graph inside it, reads. */
static void node_needs(Sorter *s, const OnnxNode *n, uint32_t depth) {
    for (uint32_t i = 0; i < n->n_in; i++) {
        uint32_t p = map_get(&s->producer, name_key(n->in[i]));
        if (n->in[i][0] && p) vec_push(s->im->arena, &s->pending, p - 1);
    }
    for (uint32_t a = 0; a < n->n_attrs && depth < ONNX_DEPTH; a++) {
        const OnnxGraph *g = n->attrs[a].g;
        for (uint32_t i = 0; g && i < g->n_nodes; i++) node_needs(s, &g->nodes[i], depth + 1);
        for (uint32_t i = 0; g && i < g->n_outputs; i++) {
            uint32_t p = map_get(&s->producer, name_key(g->outputs[i].name));
            if (p) vec_push(s->im->arena, &s->pending, p - 1);
        }
    }
}

static void cycle(Sorter *s, uint32_t node_) {
    const OnnxNode *n = &s->graph->nodes[node_];
    diag_error(s->im->cx, loc_node(s->im->cx, s->im->file, n->name, n->op),
               "this node needs its own output: the graph has a cycle");
}

/* Depth first, producers before their node; the stack is explicit. */
static bool visit(Sorter *s, uint32_t root) {
    Arena *arena = s->im->arena;
    s->stack.n = 0;
    vec_push(arena, &s->stack, root);
    while (s->stack.n) {
        uint32_t at = vec_last(&s->stack);
        if (s->state[at] != 0) {
            s->stack.n--;
            if (s->state[at] == 1) vec_push(arena, &s->order, at);
            s->state[at] = 2;
            continue;
        }
        s->state[at] = 1;
        s->pending.n = 0;
        node_needs(s, &s->graph->nodes[at], 0);
        for (uint32_t i = s->pending.n; i-- > 0;) {
            uint32_t p = s->pending.at[i];
            if (s->state[p] == 1) {
                cycle(s, p);
                return false;
            }
            if (s->state[p] == 0) vec_push(arena, &s->stack, p);
        }
    }
    return true;
}

static bool sort_nodes(Sorter *s) {
    const OnnxGraph *g = s->graph;
    s->producer = map_new(s->im->arena);
    s->state = arena_new_array(s->im->arena, uint8_t, g->n_nodes + 1);
    for (uint32_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; k < g->nodes[i].n_out; k++) {
            const char *name = g->nodes[i].out[k];
            if (!name[0]) continue;
            if (map_get(&s->producer, name_key(name))) {
                const OnnxNode *n = &g->nodes[i];
                diag_error(s->im->cx, loc_node(s->im->cx, s->im->file, n->name, n->op), "output '%s' is produced twice",
                           name);
                return false;
            }
            map_set(&s->producer, name_key(name), i + 1);
        }
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        uint32_t p = map_get(&s->producer, name_key(g->outputs[i].name));
        if (p && s->state[p - 1] == 0 && !visit(s, p - 1)) return false;
    }
    return true;
}

static void bind_initializers(Importer *im, NameScope *scope, const OnnxGraph *graph) {
    for (uint32_t i = 0; i < graph->n_initializers; i++) {
        const OnnxTensor *t = &graph->initializers[i];
        if (scope_has(scope, t->name)) continue;
        Value v = {.kind = VALUE_POISON};
        Loc loc = loc_node(im->cx, im->file, t->name, "initializer");
        Const data = tensor_const(im->cx, loc, t, im->options->external_folder);
        if (data.id) {
            Dim dims[MAX_RANK];
            for (uint32_t k = 0; k < t->n_dims; k++) dims[k] = dim_const(im->cx, t->dims[k]);
            v = (Value){.kind = VALUE_TENSOR, .dtype = dtype_by_onnx(t->data_type), .divisor = 1};
            v.val = b_const(scope->g, loc, data, t->n_dims, dims);
        }
        scope_set(im, scope, t->name, v);
    }
    if (graph->n_sparse)
        diag_error(im->cx, loc_node(im->cx, im->file, NULL, NULL), "sparse initializers are not supported");
}

static int by_number(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Files are nearly always in order already: then their order is kept, which reads better in dumps. */
static void keep_file_order(Sorter *s) {
    uint32_t n = s->order.n;
    if (!n) return;
    uint32_t *sorted = arena_copy(s->im->arena, s->order.at, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_number);
    for (uint32_t k = 0; k < n; k++) {
        s->pending.n = 0;
        node_needs(s, &s->graph->nodes[sorted[k]], 0);
        for (uint32_t i = 0; i < s->pending.n; i++)
            if (s->pending.at[i] >= sorted[k]) return;
    }
    memcpy(s->order.at, sorted, n * sizeof *sorted);
}

bool import_body(Importer *im, NameScope *scope, const OnnxGraph *graph, Value *outputs) {
    Sorter s = {.im = im, .graph = graph};
    if (im->depth >= ONNX_DEPTH) {
        diag_error(im->cx, loc_node(im->cx, im->file, NULL, NULL), "graphs and functions nest more than %d deep",
                   ONNX_DEPTH);
        return false;
    }
    im->depth++;
    bind_initializers(im, scope, graph);
    bool ok = sort_nodes(&s);
    if (ok) keep_file_order(&s);
    for (uint32_t i = 0; ok && i < s.order.n; i++) import_node(im, scope, &graph->nodes[s.order.at[i]]);
    for (uint32_t i = 0; ok && i < graph->n_outputs; i++)
        if (!scope_get(im, scope, graph->outputs[i].name, &outputs[i])) {
            diag_error(im->cx, loc_node(im->cx, im->file, NULL, NULL), "output '%s' is defined nowhere",
                       graph->outputs[i].name);
            outputs[i] = (Value){.kind = VALUE_POISON};
        }
    im->depth--;
    return ok;
}

static bool inline_function(Call *c, const OnnxFunction *fn) {
    Importer *im = c->im;
    NameScope *s = scope_new(im, NULL, c->g, false);
    s->function = c;
    s->opsets = fn->n_opsets ? fn->opsets : c->scope->opsets;
    s->n_opsets = fn->n_opsets ? fn->n_opsets : c->scope->n_opsets;
    OnnxGraph body = {.name = fn->name, .n_nodes = fn->n_nodes, .nodes = fn->nodes, .n_outputs = fn->n_out};
    OnnxValueInfo *outs = arena_new_array(im->arena, OnnxValueInfo, fn->n_out + 1);
    for (uint32_t i = 0; i < fn->n_out; i++) outs[i].name = fn->out[i];
    body.outputs = outs;
    for (uint32_t i = 0; i < fn->n_in; i++)
        scope_set(im, s, fn->in[i], i < c->n_in ? c->in[i] : (Value){.kind = VALUE_ABSENT});
    if (c->n_in > fn->n_in) {
        fail(c, "%u inputs given, function '%s' takes %u", c->n_in, fn->name, fn->n_in);
        return false;
    }
    Value *values = arena_new_array(im->arena, Value, fn->n_out + 1);
    if (!import_body(im, s, &body, values)) return false;
    for (uint32_t i = 0; i < fn->n_out; i++) set_out_value(c, i, values[i]);
    return true;
}
