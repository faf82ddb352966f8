/* bound.c: upper bounds of dims and of products of extents, using what a graph guards.
 *
 * A symbol taken from an element of an input may have any value, and a product of two such symbols has no monotone bound; but
 * run starts by checking guards, and under the guard 0 <= s the symbol equals max(0, s).  Extents are never negative, so that
 * a product of them is at most the product of their bounds.
 */
#include "ir.h"

enum { MAX_GUARDED = 64 };

/* d with every symbol that a guard keeps from being negative replaced by max(0, it). */
static Dim guarded(const Graph *g, Dim d) {
    Context *cx = g->cx;
    Symbol symbols[MAX_GUARDED];
    Dim with[MAX_GUARDED];
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->guards.n && n < MAX_GUARDED; i++) {
        const Fact *f = &g->guards.at[i].fact;
        const Term *terms;
        int64_t low;
        if (f->relation != REL_LE || !dim_const_value(cx, f->a, &low) || low < 0 || dim_terms(cx, f->b, &terms) != 1) continue;
        if (terms[0].n != 1 || terms[0].coefficient != 1 || terms[0].factors[0].power != 1) continue;
        Atom a = dim_atom(cx, terms[0].factors[0].atom);
        if (a.kind != ATOM_SYMBOL || symbol_info(cx, a.symbol)->min >= 0 || !dim_uses(cx, d, a.symbol)) continue;
        symbols[n] = a.symbol;
        with[n++] = dim_max(cx, dim_const(cx, 0), f->b);
    }
    return n ? dim_substitute(cx, d, symbols, with, n) : d;
}

Dim graph_upper(const Graph *g, Dim d) {
    Dim plain = dim_upper(g->cx, d);
    return plain.id ? plain : dim_upper(g->cx, guarded(g, d));
}

Dim graph_upper_product(const Graph *g, const Dim *dims, uint32_t n) {
    Context *cx = g->cx;
    Dim product = dim_const(cx, 1), whole = dim_upper(cx, dim_product(cx, dims, n));
    if (whole.id) return whole;
    for (uint32_t i = 0; i < n; i++) {
        Dim d = graph_upper(g, dims[i]);
        if (!d.id) return d;
        product = dim_mul(cx, product, dim_max(cx, d, dim_const(cx, 0)));
    }
    return product;
}
