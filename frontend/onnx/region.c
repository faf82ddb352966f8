/* region.c: subgraphs as regions: closed Graphs whose captures are parameters after their own.
 *
 * Types of a region's results are fixed, so a value whose extent differs between branches or grows from step to step crosses
 * the border at its capacity, with the extent beside it as a number; on the other side the first so many elements are taken
 * again, and their extent is a symbol found while running.
 */
#include "region.h"
#include <stdio.h>
#include <string.h>

Region region_open(Call *c, const char *name) {
    Region r = {.scope = scope_new(c->im, c->scope, graph_new(c->cx, name), true), .call = *c};
    r.call.g = r.scope->g;
    r.call.scope = r.scope;
    return r;
}

Val region_param(Region *r, const Graph *outer, Val like, const char *name, uint32_t drop_axes) {
    const TypeInfo *t = val_type(outer, like);
    return b_param(r->scope->g, r->call.loc, name, t->dtype, t->rank - drop_axes, t->dims + drop_axes);
}

bool region_result(Region *r, const Value *v, const char *name) {
    Val x = value_val(&r->call, v);
    if (!x.id) {
        if (v->kind == VALUE_SEQUENCE || v->kind == VALUE_OPTIONAL || v->kind == VALUE_ABSENT)
            fail(&r->call, "result '%s' of a subgraph that is chosen or repeated while running has to be a tensor", name);
        return false;
    }
    graph_result(r->scope->g, x, name);
    return true;
}

Val *region_operands(Call *c, const Region *r, const Val *own, uint32_t n_own, uint32_t *n) {
    *n = n_own + r->scope->captures.outer.n;
    Val *list = arena_new_array(c->im->arena, Val, *n + 1);
    memcpy(list, own, n_own * sizeof *list);
    for (uint32_t i = n_own; i < *n; i++) list[i] = r->scope->captures.outer.at[i - n_own].val;
    return list;
}

bool inline_graph(Call *c, const OnnxGraph *graph, const Value *ins, uint32_t n_in, Value *out) {
    NameScope *s = scope_new(c->im, c->scope, c->g, false);
    if (graph->n_inputs != n_in) {
        fail(c, "subgraph '%s' has %u inputs, it is given %u", graph->name, graph->n_inputs, n_in);
        return false;
    }
    for (uint32_t i = 0; i < n_in; i++) scope_set(c->im, s, graph->inputs[i].name, ins[i]);
    return import_body(c->im, s, graph, out);
}

bool known_flag(Call *c, Value *v, bool *flag) {
    Const data;
    int64_t k;
    if (v->kind != VALUE_TENSOR) return false;
    if (v->elements && v->n == 1 && dim_const_value(c->cx, v->elements[0], &k)) {
        *flag = k != 0;
        return true;
    }
    if (!v->val.id || v->param || !const_of(c, v->val, &data)) return false;
    *flag = const_element(c->cx, data, 0).u != 0;
    return true;
}

Val scalar_of(Call *c, Val v) {
    Dims scalar = {0};
    return v.id && val_rank(c->g, v) ? shaped(c, v, &scalar) : v;
}

/* ---- loops -------------------------------------------------------------------------------------------------------------- */

bool same_types(Call *c, const Graph *body, const Val *carried, uint32_t n, uint32_t first) {
    for (uint32_t i = 0; i < n; i++) {
        const TypeInfo *a = val_type(c->g, carried[i]), *b = val_type(body, body->results.at[first + i]);
        if (a->dtype != b->dtype || a->rank != b->rank) return false;
        for (uint32_t k = 0; k < a->rank; k++)
            if (prove(c->cx, NULL, REL_EQ, a->dims[k], b->dims[k]) != YES) return false;
    }
    return true;
}

Val emit_scan(Call *c, Region *r, const Val *own, uint32_t carried, uint32_t scanned, Dim trip) {
    uint32_t n;
    Val *list = region_operands(c, r, own, carried + scanned, &n);
    Attr attrs[] = {{.key = ATTR_carried, .as.i = carried},
                    {.key = ATTR_scanned, .as.i = scanned},
                    {.key = ATTR_trip, .as.dim = trip},
                    {.key = ATTR_body, .as.graph = r->scope->g},
                    {.key = ATTR_reverse, .as.i = 0}};
    return emit(c->g, OP_scan, c->loc, list, n, attrs, COUNT(attrs));
}

/* ---- extents found while running ---------------------------------------------------------------------------------------- */

Dim found_symbol(Call *c, const char *value, const char *what, Dim most) {
    SymbolInfo info = {.kind = SYMBOL_FOUND, .min = 0, .max = INT64_MAX, .multiple = 1, .capacity = most};
    SymbolInfo declared = info;
    int64_t k;
    info.name = declared.name = intern(c->cx, arena_print(c->im->arena, "%.100s_%s", onnx_symbol_name(c->cx, value, -1), what));
    declared_range(c->im, NULL, &declared);
    if (declared.max != INT64_MAX) info.capacity = dim_k(c, declared.max);
    if (!info.capacity.id) return info.capacity;
    if (dim_const_value(c->cx, info.capacity, &k)) info.max = k;
    return dim_symbol(c->cx, symbol_new(c->cx, &info));
}

Val places(Call *c, Val x, const char *value, const char *what, Dim most) {
    if (!x.id) return x;
    Attr a = {.key = ATTR_extent, .as.dim = found_symbol(c, value, what, most)};
    return emit(c->g, OP_nonzero, c->loc, &x, 1, &a, 1);
}

bool finds_part_of(const Graph *g, Dim d) {
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        Symbol s = node_finds(g->cx, &g->nodes.at[i]);
        if (s.id && dim_uses(g->cx, d, s)) return true;
    }
    return false;
}

Val to_capacity(Call *c, Val v, uint32_t axis, Dim capacity) {
    Dims low = {0}, high = {0};
    if (!v.id) return v;
    for (uint32_t i = 0; i < val_rank(c->g, v); i++) low.at[i] = high.at[i] = dim_k(c, 0);
    high.at[axis] = dim_sub(c->cx, capacity, val_dim(c->g, v, axis));
    return padded(c, v, num(c, v, 0), low.at, high.at);
}

/* One place more than the capacity, so that a count beyond it is found, and answered by a status. */
Val first_of(Call *c, Val v, uint32_t axis, Val count, const char *value) {
    char what[32];
    if (!v.id || !count.id) return NO_VAL;
    snprintf(what, sizeof what, "dim_%u", axis);
    Dim capacity = val_dim(c->g, v, axis);
    Val some = ew2(c, OP_lt, iota(c, DT_i64, dim_addi(c->cx, capacity, 1)), count);
    Val at = places(c, some, value, what, capacity);
    return at.id ? b_gather(c->g, c->loc, v, squeezed(c, at, 0), axis, 0) : at;
}

bool region_results(Region *r, const OnnxValueInfo *names, const Value *values, uint32_t n, const VaryingVec *list) {
    Val *extents = arena_new_array(r->call.im->arena, Val, list->n + 1);
    for (uint32_t i = 0; i < n; i++) {
        Value v = values[i];
        Val x = value_val(&r->call, &v);
        for (uint32_t k = 0; k < list->n && x.id; k++) {
            if (list->at[k].value != i) continue;
            extents[k] = b_dim(r->call.g, r->call.loc, val_dim(r->call.g, x, list->at[k].axis));
            x = to_capacity(&r->call, x, list->at[k].axis, list->at[k].capacity);
        }
        if (x.id) v = value_of(&r->call, x);
        if (!region_result(r, &v, names[i].name)) return false;
    }
    for (uint32_t k = 0; k < list->n; k++) graph_result(r->call.g, extents[k], "");
    return true;
}

Val region_taken(Call *c, Val all, uint32_t i, uint32_t first, const VaryingVec *list, const char *name) {
    Val v = b_get(c->g, c->loc, all, i);
    for (uint32_t k = 0; k < list->n && v.id; k++)
        if (list->at[k].value == i) v = first_of(c, v, list->at[k].axis, b_get(c->g, c->loc, all, first + k), name);
    return v;
}
