/* bound.c: upper bounds of dims, extents and sizes of values, using what a graph guards and computes.
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

/* ---- values --------------------------------------------------------------------------------------------------------- */

/* Where a graph's parameters come from: a kernel node of another graph. */
typedef struct Place { const struct Place *outer; const Graph *g; const Node *call; } Place;

static Dim axis_upper(const Place *p, Val v, uint32_t element, uint32_t axis, uint32_t *fuel);
static Dim elements_upper(const Place *p, Val v, uint32_t element, uint32_t *fuel);

static Dim concat_upper(const Place *p, const Node *n, uint32_t axis, uint32_t *fuel) {
    Dim sum = dim_const(p->g->cx, 0);
    for (uint32_t i = 0; i < n->n_in; i++) {
        Dim d = axis_upper(p, n->in[i], 0, axis, fuel);
        if (!d.id) return d;
        sum = dim_add(p->g->cx, sum, dim_max(p->g->cx, d, dim_const(p->g->cx, 0)));
    }
    return sum;
}

/* A value's extent where the dim itself has no bound: a slice is no longer than what it is cut from, a concatenation as
 * long as its parts, and an extent that an operand has as well is bounded as there. */
static Dim axis_upper(const Place *p, Val v, uint32_t element, uint32_t axis, uint32_t *fuel) {
    const Node *n = node(p->g, v);
    const Dim none = {0};
    if (n->op == OP_get) element = (uint32_t)attr_int(n, ATTR_index), n = node(p->g, n->in[0]);
    const TypeInfo *t = type_info(p->g->cx, n->type);
    if (t->dtype == DT_none) t = type_info(p->g->cx, t->elements[element]);
    Dim own = graph_upper(p->g, t->dims[axis]);
    if (own.id || *fuel == 0) return own;
    --*fuel;
    if (n->op == OP_param) return p->outer ? axis_upper(p->outer, p->call->in[attr_int(n, ATTR_index)], 0, axis, fuel) : none;
    if (n->op == OP_kernel) {
        const Graph *body = attr_graph(n, ATTR_body);
        return axis_upper(&(Place){p, body, n}, body->results.at[element], 0, axis, fuel);
    }
    if (n->op == OP_slice) return axis_upper(p, n->in[0], 0, axis, fuel);
    if (n->op == OP_concat && axis == attr_int(n, ATTR_axis)) return concat_upper(p, n, axis, fuel);
    for (uint32_t i = 0; i < n->n_in; i++) {
        const TypeInfo *from = val_type(p->g, n->in[i]);
        for (uint32_t a = 0; from->dtype != DT_none && a < from->rank; a++) {
            Dim d = dim_same(from->dims[a], t->dims[axis]) ? axis_upper(p, n->in[i], 0, a, fuel) : none;
            if (d.id) return d;
        }
    }
    /* as many as there are elements, unless another axis is empty: then the value is */
    return n->op == OP_reshape ? elements_upper(p, n->in[0], 0, fuel) : none;
}

typedef Dim AxisBound(const Place *, Val, uint32_t element, uint32_t axis, uint32_t *fuel);
static Dim own_upper(const Place *p, Val v, uint32_t element, uint32_t axis, uint32_t *fuel) {
    const TypeInfo *t = val_type(p->g, v);
    (void)fuel;
    if (t->dtype == DT_none) t = type_info(p->g->cx, t->elements[element]);
    return graph_upper(p->g, t->dims[axis]);
}

static Dim product_upper(const Place *p, Val v, uint32_t element, uint32_t rank, AxisBound *bound, uint32_t *fuel) {
    Context *cx = p->g->cx;
    Dim product = dim_const(cx, 1);
    for (uint32_t i = 0; i < rank; i++) {
        Dim d = bound(p, v, element, i, fuel);
        if (!d.id) return d;
        product = dim_mul(cx, product, dim_max(cx, d, dim_const(cx, 0)));
    }
    return product;
}

static Dim elements_upper(const Place *p, Val v, uint32_t element, uint32_t *fuel) {
    Context *cx = p->g->cx;
    const TypeInfo *t = val_type(p->g, v);
    if (t->dtype == DT_none) t = type_info(cx, t->elements[element]);
    Dim d = {0};
    if (val_op(p->g, v) == OP_reshape && *fuel) { /* a reshape's own extents may be hard to multiply */
        --*fuel;
        if ((d = elements_upper(p, val_in(p->g, v, 0), 0, fuel)).id) return d;
    }
    d = dim_upper(cx, dim_product(cx, t->dims, t->rank));
    if (!d.id) d = product_upper(p, v, element, t->rank, own_upper, fuel);
    if (d.id || *fuel == 0) return d;
    --*fuel;
    const Node *n = node(p->g, v);
    if (n->op == OP_get) element = (uint32_t)attr_int(n, ATTR_index), n = node(p->g, n->in[0]);
    if (n->op == OP_param && p->outer) return elements_upper(p->outer, p->call->in[attr_int(n, ATTR_index)], 0, fuel);
    if (n->op == OP_kernel) {
        const Graph *body = attr_graph(n, ATTR_body);
        return elements_upper(&(Place){p, body, n}, body->results.at[element], 0, fuel);
    }
    bool same = n->op == OP_reshape || n->op == OP_permute || op_info[n->op].kind == KIND_EW;
    for (uint32_t i = 0; same && i < n->n_in && !d.id; i++) d = elements_upper(p, n->in[i], 0, fuel);
    return d.id ? d : product_upper(p, v, element, t->rank, axis_upper, fuel);
}

Dim graph_upper_axis(const Graph *g, Val v, uint32_t element, uint32_t axis) {
    uint32_t fuel = 1000;
    Dim d = axis_upper(&(Place){NULL, g, NULL}, v, element, axis, &fuel);
    return d.id ? d : graph_upper_elements(g, v, element);
}

Dim graph_upper_elements(const Graph *g, Val v, uint32_t element) {
    uint32_t fuel = 1000;
    return elements_upper(&(Place){NULL, g, NULL}, v, element, &fuel);
}
