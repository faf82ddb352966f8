/* regroup.c: pass `regroup`: pointwise ops behind a reshape of normalised rows go before it, so that they join the rows'
 * kernel.
 *
 * A group norm normalises [n, groups, rest] and scales [n, channels, y, x]: between the two stands a reshape, which ends the
 * kernel of template `row`.  f(reshape(r), w) becomes reshape(f(r, reshape(w))), where w is of the same elements or one number
 * for each run of at least sixteen of them.  Runs last before `fuse`, when the shapes that contractions want are settled.
 */
#include "passes.h"

enum { FUEL = 48, RUN = 16 };

/* v is made, pointwise, of a reduction over rows of the dims `full`. */
static bool from_rows(const Graph *g, Val v, const TypeInfo *full, uint32_t *fuel) {
    const Node *n = node(g, v);
    OpKind kind = op_info[n->op].kind;
    if (*fuel == 0) return false;
    --*fuel;
    if (kind == KIND_REDUCE) return reduces_rows(g, n) >= 0 && type_same_dims(val_type(g, n->in[0]), full);
    if (kind != KIND_EW && n->op != OP_broadcast && n->op != OP_reshape) return false;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (from_rows(g, n->in[i], full, fuel)) return true;
    return false;
}

/* The rows that v is a reshape of, or 0. */
static Val rows_behind(const Graph *g, Val v) {
    if (val_op(g, v) != OP_reshape) return (Val){0};
    Val rows = val_in(g, v, 0);
    uint32_t fuel = FUEL;
    bool same = dim_same(type_elements(g->cx, node(g, v)->type), type_elements(g->cx, node(g, rows)->type));
    return same && op_info[val_op(g, rows)].kind == KIND_EW && from_rows(g, rows, val_type(g, rows), &fuel) ? rows : (Val){0};
}

/* Of equal neighbours in v: 1 where it has elements of its own all along, 0 where that is not known. */
static int64_t run_of(const Graph *g, Val v) {
    const Node *n = node(g, v);
    uint32_t rank = val_rank(g, v), from;
    if (n->op != OP_broadcast) return 1;
    const int64_t *axes = attr_ints(n, ATTR_axes, &from);
    while (from && dim_is(g->cx, val_dim(g, n->in[0], from - 1), 1)) from--;
    uint32_t first = from ? (uint32_t)axes[from - 1] + 1 : 0;
    int64_t run;
    return dim_const_value(g->cx, dim_product(g->cx, val_type(g, v)->dims + first, rank - first), &run) ? run : 0;
}

static bool fits(const Graph *g, Val v) {
    if (val_splat(g, v, &(Scalar){0}) || val_op(g, v) == OP_reshape) return true;
    return val_op(g, v) == OP_broadcast && run_of(g, v) > 0 && run_of(g, v) % RUN == 0;
}

static Val reshaped(Graph *g, Loc loc, Val v, const TypeInfo *to) {
    while (val_op(g, v) == OP_reshape) v = val_in(g, v, 0);
    return type_same_dims(val_type(g, v), to) ? v : b_reshape(g, loc, v, to->rank, to->dims);
}

static Val regroup(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    (void)old_val;
    Graph *g = rw->to;
    Val rows = {0}, moved[4];
    if (op_info[old->op].kind != KIND_EW || old->n_in > COUNT(moved)) return (Val){0};
    for (uint32_t i = 0; i < old->n_in && !rows.id; i++) rows = rows_behind(g, in[i]);
    if (!rows.id) return (Val){0};
    for (uint32_t i = 0; i < old->n_in; i++)
        if (!fits(g, in[i])) return (Val){0};
    const TypeInfo to = *val_type(g, rows), back = *type_info(g->cx, old->type);
    for (uint32_t i = 0; i < old->n_in; i++) moved[i] = reshaped(g, old->loc, in[i], &to);
    return b_reshape(g, old->loc, emit(g, old->op, old->loc, moved, old->n_in, old->attrs, old->n_attrs), back.rank, back.dims);
}

Graph *pass_regroup(Context *cx, const Graph *g, const Tiers *tiers) {
    (void)tiers;
    return graph_rewrite(cx, g, regroup, NULL, false); /* a repeated constant stays small */
}
