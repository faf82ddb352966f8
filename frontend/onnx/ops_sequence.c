/* ops_sequence.c: sequences and optionals, which are the importer's own lists: their length and every position have to be
 * known at import, and nothing of them is left in the Graph.
 */
#include "onnx.h"
#include <string.h>

static Value sequence(Call *c, const Value *items, uint32_t n) {
    return (Value){
        .kind = VALUE_SEQUENCE, .n = n, .items = arena_copy(c->im->arena, items, n * sizeof *items), .divisor = 1};
}

static bool is_sequence(Call *c, uint32_t i) {
    if (has_in(c, i) && c->in[i].kind == VALUE_OPTIONAL && c->in[i].n == 1) c->in[i] = c->in[i].items[0];
    if (has_in(c, i) && c->in[i].kind == VALUE_SEQUENCE) return true;
    fail(c, "input %u has to be a sequence", i);
    return false;
}

Val import_sequence_construct(Call *c) {
    set_out_value(c, 0, sequence(c, c->in, c->n_in));
    return NO_VAL;
}

Val import_sequence_empty(Call *c) {
    set_out_value(c, 0, sequence(c, c->in, 0));
    return NO_VAL;
}

/* A position in [0, most]; false after a diagnostic. */
static bool position(Call *c, uint32_t input, uint32_t n, uint32_t most, uint32_t *at) {
    const int64_t *k;
    uint32_t count;
    if (!in_ints(c, input, &k, &count) || count != 1) {
        fail(c, "the position has to be known when compiling");
        return false;
    }
    int64_t p = k[0] < 0 ? k[0] + n : k[0];
    if (p < 0 || p > most) {
        fail(c, "position %lld in a sequence of %u", (long long)k[0], n);
        return false;
    }
    *at = (uint32_t)p;
    return true;
}

Val import_sequence_insert(Call *c) {
    if (!is_sequence(c, 0)) return NO_VAL;
    uint32_t n = c->in[0].n, at = n;
    if (has_in(c, 2) && !position(c, 2, n, n, &at)) return NO_VAL;
    Value *items = arena_new_array(c->im->arena, Value, n + 1);
    for (uint32_t i = 0; i <= n; i++) items[i] = i == at ? c->in[1] : c->in[0].items[i - (i > at)];
    set_out_value(c, 0, sequence(c, items, n + 1));
    return NO_VAL;
}

Val import_sequence_erase(Call *c) {
    if (!is_sequence(c, 0)) return NO_VAL;
    uint32_t n = c->in[0].n, at = n - 1;
    if (n == 0) return fail(c, "the sequence is empty");
    if (has_in(c, 1) && !position(c, 1, n, n - 1, &at)) return NO_VAL;
    Value *items = arena_new_array(c->im->arena, Value, n);
    for (uint32_t i = 0; i + 1 < n; i++) items[i] = c->in[0].items[i + (i >= at)];
    set_out_value(c, 0, sequence(c, items, n - 1));
    return NO_VAL;
}

Val import_sequence_at(Call *c) {
    uint32_t at;
    if (!is_sequence(c, 0)) return NO_VAL;
    if (c->in[0].n == 0) return fail(c, "the sequence is empty");
    if (position(c, 1, c->in[0].n, c->in[0].n - 1, &at)) set_out_value(c, 0, c->in[0].items[at]);
    return NO_VAL;
}

Val import_sequence_length(Call *c) {
    if (!is_sequence(c, 0)) return NO_VAL;
    Dim *at = arena_new_array(c->im->arena, Dim, 1);
    at[0] = dim_k(c, c->in[0].n);
    set_out_value(c, 0, (Value){.kind = VALUE_TENSOR, .dtype = DT_i64, .n = 1, .elements = at, .divisor = 1});
    return NO_VAL;
}

Val import_concat_from_sequence(Call *c) {
    uint32_t axis;
    bool fresh = attr_i(c, "new_axis", 0) != 0;
    if (!is_sequence(c, 0)) return NO_VAL;
    uint32_t n = c->in[0].n;
    if (n == 0) return fail(c, "the sequence is empty");
    Val *list = arena_new_array(c->im->arena, Val, n);
    for (uint32_t i = 0; i < n; i++)
        if (!(list[i] = value_val(c, &c->in[0].items[i])).id) return NO_VAL;
    if (!norm_axis(c, attr_i(c, "axis", 0), val_rank(c->g, list[0]) + fresh, &axis)) return NO_VAL;
    for (uint32_t i = 0; fresh && i < n; i++) list[i] = unsqueezed(c, list[i], axis);
    return b_concat(c->g, c->loc, list, n, axis);
}

/* The lengths of the pieces: a list, one length for all (the last may be shorter), or 1. */
static bool piece_lengths(Call *c, Dim extent, const Dim **list, uint32_t *n, bool *drop) {
    int64_t total, each = 1;
    *drop = !has_in(c, 1) && !attr_i(c, "keepdims", 1);
    if (has_in(c, 1)) {
        if (!in_dims(c, 1, list, n)) {
            fail(c, "the lengths have to come from shapes, constants or inputs of known length");
            return false;
        }
        if (c->in[1].rank == 1) return true;
        if (!dim_const_value(c->cx, (*list)[0], &each) || each < 1) {
            fail(c, "the length has to be known when compiling, and positive");
            return false;
        }
    }
    if (!dim_const_value(c->cx, extent, &total) || total / each > 1 << 16) {
        fail(c, "the number of pieces has to be known when compiling");
        return false;
    }
    *n = (uint32_t)((total + each - 1) / each);
    Dim *made = arena_new_array(c->im->arena, Dim, *n + 1);
    for (uint32_t i = 0; i < *n; i++) made[i] = dim_k(c, i + 1 == *n ? total - each * (*n - 1) : each);
    *list = made;
    return true;
}

Val import_split_to_sequence(Call *c) {
    Val x = in(c, 0);
    uint32_t axis, n;
    const Dim *lengths;
    bool drop;
    if (!x.id || !norm_axis(c, attr_i(c, "axis", 0), val_rank(c->g, x), &axis)) return NO_VAL;
    if (!piece_lengths(c, val_dim(c->g, x, axis), &lengths, &n, &drop)) return NO_VAL;
    Value *items = arena_new_array(c->im->arena, Value, n + 1);
    Dim at = dim_k(c, 0);
    for (uint32_t i = 0; i < n; i++) {
        Val piece = sliced(c, x, axis, at, lengths[i]);
        if (drop) piece = squeezed(c, piece, axis);
        if (!piece.id) return NO_VAL;
        items[i] = value_of(c, piece);
        at = dim_add(c->cx, at, lengths[i]);
    }
    set_out_value(c, 0, sequence(c, items, n));
    return NO_VAL;
}

/* The body once per item; further inputs are sequences too (taken item by item) or tensors (taken whole). */
Val import_sequence_map(Call *c) {
    const OnnxGraph *body = attr_subgraph(c, "body");
    if (!body || !is_sequence(c, 0)) return NO_VAL;
    uint32_t n = c->in[0].n;
    Value *ins = arena_new_array(c->im->arena, Value, c->n_in + 1),
          **steps = arena_new_array(c->im->arena, Value *, n + 1);
    for (uint32_t k = 1; k < c->n_in; k++)
        if (c->in[k].kind == VALUE_SEQUENCE && c->in[k].n != n)
            return fail(c, "sequences of %u and %u items", n, c->in[k].n);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < c->n_in; k++) ins[k] = c->in[k].kind == VALUE_SEQUENCE ? c->in[k].items[i] : c->in[k];
        steps[i] = arena_new_array(c->im->arena, Value, body->n_outputs + 1);
        if (!inline_graph(c, body, ins, c->n_in, steps[i])) return NO_VAL;
    }
    for (uint32_t o = 0; o < c->n_out && o < body->n_outputs; o++) {
        Value *items = arena_new_array(c->im->arena, Value, n + 1);
        for (uint32_t i = 0; i < n; i++) items[i] = steps[i][o];
        set_out_value(c, o, sequence(c, items, n));
    }
    return NO_VAL;
}

/* ---- optionals --------------------------------------------------------------------------------------------------- */

Val import_optional(Call *c) {
    Value v = {.kind = VALUE_OPTIONAL, .divisor = 1};
    if (has_in(c, 0)) v.n = 1, v.items = arena_copy(c->im->arena, &c->in[0], sizeof c->in[0]);
    set_out_value(c, 0, v);
    return NO_VAL;
}

Val import_optional_has(Call *c) {
    Dim *at = arena_new_array(c->im->arena, Dim, 1);
    bool empty = !has_in(c, 0) || (c->in[0].kind == VALUE_OPTIONAL && c->in[0].n == 0);
    at[0] = dim_k(c, !empty);
    set_out_value(c, 0, (Value){.kind = VALUE_TENSOR, .dtype = DT_bool, .n = 1, .elements = at, .divisor = 1});
    return NO_VAL;
}

Val import_optional_get(Call *c) {
    const Value *v = &c->in[0];
    if (v->kind == VALUE_OPTIONAL && v->n == 0) return fail(c, "the optional is empty");
    set_out_value(c, 0, v->kind == VALUE_OPTIONAL ? v->items[0] : *v);
    return NO_VAL;
}
