/* ops_varying.c: values whose extents only running tells, at the border of a region.
 *
 * Types of a region's results are fixed, so a value whose extent differs between branches or grows from step to step crosses
 * the border at its capacity, with the extent beside it as a number; on the other side the first so many elements are taken
 * again, and their extent is a symbol found while running.
 */
#include "onnx.h"
#include <stdio.h>

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
