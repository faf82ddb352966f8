/* index.c: Dims as Loop IR instructions, and the symbols that stand for loop values.
 *
 * A Dim that uses neither the lane nor a symbol bound to a vector is uniform and becomes i64 scalars; any other becomes an
 * i64 vector.  The builder shares equal scalars, so that no attempt is made here to compute an address only once.
 */
#include "lower.h"

Symbol kernel_index_symbol(Kernel *k, Dim index) {
    const Term *terms;
    REQUIRE(k->cx, dim_terms(k->cx, index, &terms) == 1 && terms[0].n == 1);
    return dim_atom(k->cx, terms[0].factors[0].atom).symbol;
}

void kernel_bind(Kernel *k, Symbol s, LVal value) { vec_push(k->arena, &k->symbols, (SymbolValue){s, value}); }

Dim kernel_index(Kernel *k, LVal value) {
    if (k->next_index >= MAX_INDEX - 1)
        diag_fatal(k->cx, "a kernel needs more than %d nested indices; use fewer axes", MAX_INDEX - 1);
    Symbol s = index_symbol(k->cx, k->next_index++);
    kernel_bind(k, s, value);
    return dim_symbol(k->cx, s);
}

LVal kernel_symbol(Kernel *k, Symbol s) {
    for (uint32_t i = k->symbols.n; i-- > 0;)
        if (k->symbols.at[i].symbol.id == s.id) return k->symbols.at[i].value;
    return (LVal){0};
}

/* Asked from the few symbols that are vectors: a dim may hold one let-symbol many times over. */
bool kernel_varies(Kernel *k, Dim d) {
    if (k->lanes > 1 && k->lane.id && dim_uses(k->cx, d, k->lane)) return true;
    for (uint32_t i = 0; i < k->symbols.n; i++) {
        SymbolValue v = k->symbols.at[i];
        if (loop_type(k->b, v.value).lanes == 1 || v.symbol.id == k->lane.id) continue;
        if (kernel_symbol(k, v.symbol).id == v.value.id && dim_uses(k->cx, d, v.symbol)) return true;
    }
    return false;
}

static LVal lower_sum(Kernel *k, Dim d, uint32_t lanes);

static LVal lower_symbol(Kernel *k, Symbol s, uint32_t lanes) {
    if (s.id == k->lane.id && k->lanes > 1) return l_inst(k->b, LOP_iota, lt_vector(DT_i64, lanes), NULL, 0, 0);
    const SymbolInfo *info = symbol_info(k->cx, s);
    if (info->kind == SYMBOL_LET) {
        for (uint32_t i = 0; i < k->lets.n; i++)
            if (k->lets.at[i].symbol.id == s.id) return k->lets.at[i].value;
        LVal sum = lower_sum(k, info->capacity, lanes);
        vec_push(k->arena, &k->lets, (SymbolValue){s, sum});
        return sum;
    }
    LVal value = kernel_symbol(k, s);
    if (!value.id) BUG(k->cx, "symbol '%s' has no value in this kernel", info->name);
    return value;
}

/* By a divisor of either sign (a step that is an input); by 0, as by 1. */
static LVal signed_floor_div(LoopBuilder *b, LVal x, LVal y) {
    LVal zero = l_i64(b, 0);
    y = l_select(b, l_bin(b, LOP_eq, y, zero), l_splat(b, l_i64(b, 1), loop_type(b, y).lanes), y);
    LVal rest = l_bin(b, LOP_rem, x, y);
    LVal high = l_bin(b, LOP_and, l_bin(b, LOP_ne, rest, zero), l_bin(b, LOP_ne, l_lt(b, rest, zero), l_lt(b, y, zero)));
    return l_sub(b, l_bin(b, LOP_div, x, y), l_convert(b, high, DT_i64));
}

static LVal lower_atom(Kernel *k, Atom a, uint32_t lanes) {
    if (a.kind == ATOM_SYMBOL) return lower_symbol(k, a.symbol, lanes);
    LVal x = lower_sum(k, a.a, lanes), y = lower_sum(k, a.b, lanes);
    LoopBuilder *b = k->b;
    if (a.kind == ATOM_MAX) return l_max(b, x, y);
    if (a.kind == ATOM_BCAST) return l_select(b, l_bin(b, LOP_eq, x, l_i64(b, 1)), y, x);
    int64_t divisor;
    if (loop_const_int(b, y, &divisor) && divisor <= 0) return l_i64(b, 0); /* an index into nothing: never runs */
    uint32_t n = loop_type(b, x).lanes > loop_type(b, y).lanes ? loop_type(b, x).lanes : loop_type(b, y).lanes;
    int64_t low, high;
    dim_range(k->cx, k->scope, a.b, &low, &high);
    x = l_splat(b, x, n), y = l_splat(b, y, n);
    if (low < 0) return signed_floor_div(b, x, y);
    /* Kernels divide by extents in loops over them; the host program also computes with extents of 0. */
    return l_floor_div(b, x, low == 0 && !k->body ? l_max(b, y, l_i64(b, 1)) : y);
}

static LVal lower_term(Kernel *k, const Term *t, uint32_t lanes) {
    LVal product = {0};
    for (uint32_t f = 0; f < t->n; f++) {
        LVal x = lower_atom(k, dim_atom(k->cx, t->factors[f].atom), lanes);
        for (uint32_t p = 0; p < t->factors[f].power; p++) product = product.id ? l_mul(k->b, product, x) : x;
    }
    if (!product.id) return l_i64(k->b, t->coefficient);
    return t->coefficient == 1 ? product : l_mul(k->b, product, l_i64(k->b, t->coefficient));
}

/* Scalar where every term is; else i64 x lanes. */
static LVal lower_sum(Kernel *k, Dim d, uint32_t lanes) {
    const Term *terms;
    uint32_t n = dim_terms(k->cx, d, &terms);
    LVal uniform = {0}, varying = {0};
    for (uint32_t i = 0; i < n; i++) {
        LVal x = lower_term(k, &terms[i], lanes);
        LVal *sum = loop_type(k->b, x).lanes > 1 ? &varying : &uniform;
        *sum = sum->id ? l_add(k->b, *sum, x) : x;
    }
    if (!varying.id) return uniform.id ? uniform : l_i64(k->b, 0);
    return uniform.id ? l_add(k->b, varying, uniform) : varying;
}

/* A let-symbol may stand for dims with the same let-symbols again and again: each is lowered once a call. */
static LVal lower_dim(Kernel *k, Dim d) {
    k->lets.n = 0;
    return lower_sum(k, d, k->lanes);
}

LVal kernel_dim(Kernel *k, Dim d) {
    LVal v = lower_dim(k, d);
    if (loop_type(k->b, v).lanes > 1) BUG(k->cx, "index '%s' varies between lanes", dim_string(k->cx, d));
    return v;
}

LVal kernel_dim_lanes(Kernel *k, Dim d) { return l_splat(k->b, lower_dim(k, d), k->lanes); }

LVal kernel_fact(Kernel *k, Fact f) {
    Truth known = prove(k->cx, k->scope, f.relation, f.a, f.b);
    if (known != UNKNOWN) return l_bool(k->b, known == YES);
    LVal x = lower_dim(k, f.a), y = lower_dim(k, f.b);
    switch (f.relation) {
    case REL_EQ: return l_bin(k->b, LOP_eq, x, y);
    case REL_NE: return l_bin(k->b, LOP_ne, x, y);
    case REL_LE: return l_bin(k->b, LOP_le, x, y);
    case REL_LT: return l_lt(k->b, x, y);
    case REL_DIVIDES: break;
    }
    LVal q = lower_dim(k, dim_fdiv(k->cx, f.b, f.a));
    return l_bin(k->b, LOP_eq, l_mul(k->b, q, x), y);
}

Dim kernel_simplify(Kernel *k, Dim d) { return dim_simplify(k->cx, k->scope, d); }
