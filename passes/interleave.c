/* interleave.c: pass `interleave`: columns of a product that are combined element by element come to lie side by side.
 *
 * The gates of a recurrent cell, both halves of a gated unit: x * w, and what is added to it, is cut into pieces of equal
 * extents along its last axis, which pointwise operations combine.  The constant w is laid out so that sixteen columns of
 * each piece follow one another, [K, H, pieces, 16], and pieces are cut where they are made: a template of tiles then has the
 * same columns of all pieces at hand, and the operations join its kernel.  Sums are the same, in the same order.  Pieces that
 * sixteen does not divide are laid out with columns of zeros behind each, as far as panels are little more for it; what these
 * come to is cut off at once.
 * Runs after layout, and before `pack` and `narrow`, which lay constants out in panels.
 */
#include "passes.h"
#include <string.h>

enum { FUEL = 8, MOST_BYTES = 1 << 26 /* of a constant: the new one is in memory */ };

typedef struct Cuts {
    const Graph *of;             /* what the arrays are of; by node: */
    bool *pointwise;             /* every reader is, over the same elements */
    uint32_t *pieces, *cut;      /* slices cut so many pieces off it, of so many */
    Val *dot, *made;             /* of what is cut: the product in it; of a product: the one that is laid out anew, cut */
} Cuts;

static int64_t round_up(int64_t n, int64_t to) { return n / to * to + (n % to ? to : 0); }

/* Columns of a piece as it is laid out. */
static int64_t laid(int64_t extent) { return round_up(extent, PIECE_COLUMNS); }

/* What the zeros cost is little: few rows take panels of 64 anyway. */
static bool pays(const Graph *g, const TypeInfo *from, int64_t all, int64_t pieces) {
    enum { FEW_ROWS = 4, WIDE = 64 };
    int64_t rows, padded = laid(all / pieces) * pieces;
    bool few = dim_const_value(g->cx, dim_product(g->cx, from->dims, from->rank - 1), &rows) && rows <= FEW_ROWS;
    return padded <= all + all / 8 || (few && padded <= round_up(all, WIDE));
}

/* Into how many pieces of its extent the slice's operand falls along its last axis, this one being number *number; or 0. */
static uint32_t cuts_columns(const Graph *g, const Node *n, int64_t *number) {
    const TypeInfo *from = val_type(g, n->in[0]), *to = type_info(g->cx, n->type);
    const Dim *start = attr_dims(n, ATTR_start, NULL);
    int64_t all, extent, at;
    uint32_t last = to->rank - 1;
    if (to->rank == 0 || to->rank + 2 > MAX_RANK || attr_ints(n, ATTR_step, NULL)[last] != 1) return 0;
    for (uint32_t i = 0; i < last; i++)
        if (!dim_same(from->dims[i], to->dims[i]) || attr_ints(n, ATTR_step, NULL)[i] != 1) return 0;
    if (!dim_const_value(g->cx, from->dims[last], &all) || !dim_const_value(g->cx, to->dims[last], &extent)) return 0;
    if (!dim_const_value(g->cx, start[last], &at) || extent < 1 || all % extent || at % extent) return 0;
    int64_t pieces = all / extent;
    if (!pays(g, from, all, pieces)) return 0;
    *number = at / extent;
    return pieces > 1 && pieces <= MOST_PIECES && (pieces % 2 == 0 || pieces == 3) ? (uint32_t)pieces : 0;
}

static bool is_pointwise(const Graph *g, const Node *n, Val operand) {
    bool elementwise = op_info[n->op].kind == KIND_EW && n->op != OP_bitcast;
    return elementwise && type_same_dims(type_info(g->cx, n->type), val_type(g, operand));
}

static void find_cuts(Cuts *c, const Graph *g) {
    if (c->of == g) return;
    Arena *arena = g->cx->arena;
    uint32_t nodes = g->nodes.n;
    *c = (Cuts){.of = g, .pointwise = arena_new_array(arena, bool, nodes), .pieces = arena_new_array(arena, uint32_t, nodes)};
    c->cut = arena_new_array(arena, uint32_t, nodes);
    c->dot = arena_new_array(arena, Val, nodes), c->made = arena_new_array(arena, Val, nodes);
    memset(c->pointwise, true, nodes * sizeof *c->pointwise);
    for (uint32_t i = 0; i < g->results.n; i++) c->pointwise[g->results.at[i].id] = false;
    for (uint32_t i = nodes; i-- > 1;) {
        const Node *n = &g->nodes.at[i];
        int64_t number;
        for (uint32_t o = 0; o < n->n_in; o++) c->pointwise[n->in[o].id] &= is_pointwise(g, n, n->in[o]);
        uint32_t pieces = n->op == OP_slice && c->pointwise[i] ? cuts_columns(g, n, &number) : 0;
        if (!pieces) continue;
        Val from = n->in[0];
        c->cut[from.id] += c->pieces[from.id] == 0 || c->pieces[from.id] == pieces;
        c->pieces[from.id] = pieces;
    }
}

/* x[.., K] times a constant matrix that can be laid out. */
static bool is_product(const Graph *g, Val v) {
    const Node *n = node(g, v);
    ConstView w;
    if (n->op != OP_dot || contract_batch(n) || !wants_panels(g, n) || val_rank(g, n->in[1]) != 2) return false;
    return find_view(g, n->in[1], &w) && w.dims[0] > 0 && w.dims[1] <= MOST_BYTES / 4 / w.dims[0];
}

/* The first product that v is made of, element by element, and that leads to v alone. */
static Val product_in(const Rewrite *rw, Val v, uint32_t fuel) {
    const Node *n = node(rw->from, v);
    Val found = {0};
    if (is_product(rw->from, v)) return v;
    if (op_info[n->op].kind != KIND_EW || fuel == 0) return found;
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (rw->uses[n->in[i].id] != 1 || !is_pointwise(rw->from, n, n->in[i])) continue;
        Val its = product_in(rw, n->in[i], fuel - 1);
        if (its.id && (!found.id || its.id < found.id)) found = its;
    }
    return found;
}

/* The constant w[K, columns] with zeros behind each piece, where these are no whole panels. */
static Val whole_panels(Rewrite *rw, Val w, uint32_t pieces) {
    Graph *g = rw->to;
    Context *cx = g->cx;
    Loc loc = node(g, w)->loc;
    Dim k = val_dim(g, w, 0), all = val_dim(g, w, 1), zero = dim_const(cx, 0);
    int64_t columns = dim_hint(cx, all) / pieces, interior[] = {0, 0, 0};
    if (columns == laid(columns)) return w;
    Dim cut[] = {k, dim_const(cx, pieces), dim_const(cx, columns)};
    Dim low[] = {zero, zero, zero}, high[] = {zero, zero, dim_const(cx, laid(columns) - columns)};
    Dim flat[] = {k, dim_const(cx, pieces * laid(columns))};
    Val nothing = b_scalar(g, loc, val_dtype(g, w), 0);
    return b_reshape(g, loc, b_pad(g, loc, b_reshape(g, loc, w, 3, cut), nothing, low, high, interior), 2, flat);
}

/* The product with its constant laid out anew, as [.., H, pieces, 16]. */
static Val laid_out(Rewrite *rw, Val dot, uint32_t pieces) {
    Graph *g = rw->to;
    Context *cx = g->cx;
    const Node *old = node(rw->from, dot);
    const TypeInfo t = *type_info(cx, old->type);
    ConstView flat;
    Val w = whole_panels(rw, rw->map[old->in[1].id], pieces);
    if (!w.id || !find_view(g, w, &flat)) return (Val){0};
    int64_t columns = flat.dims[1] / pieces, step = flat.stride[1];
    ConstView v = {.of = flat.of, .rank = 4, .origin = flat.origin,
                   .dims = {flat.dims[0], columns / PIECE_COLUMNS, pieces, PIECE_COLUMNS},
                   .stride = {flat.stride[0], PIECE_COLUMNS * step, columns * step, step}};
    Const c = const_view(cx, ENCODING_DENSE, &v);
    if (!c.id) return (Val){0};
    Val in[] = {rw->map[old->in[0].id], rewrite_const(rw, node(rw->from, old->in[1])->loc, c, val_type(g, w))};
    Dim dims[MAX_RANK];
    memcpy(dims, t.dims, t.rank * sizeof *dims);
    dims[t.rank - 1] = dim_const(cx, columns / PIECE_COLUMNS), dims[t.rank] = dim_const(cx, pieces);
    dims[t.rank + 1] = dim_const(cx, PIECE_COLUMNS);
    return b_reshape(g, old->loc, rewrite_copy(rw, old, in), t.rank + 2, dims);
}

typedef struct Piece { Val dot, made; int64_t number; Dim columns; } Piece;

/* The piece of v, where it is made of the product's. */
static Val piece_of(Rewrite *rw, const Piece *p, Val v, uint32_t fuel) {
    Graph *g = rw->to;
    const Node *n = node(rw->from, v);
    const TypeInfo *t = val_type(rw->from, v);
    Val in[4];
    Scalar splat;
    uint32_t last = t->rank - 1;
    Dim dims[MAX_RANK], number = dim_const(g->cx, p->number), one = dim_const(g->cx, 1);
    memcpy(dims, t->dims, t->rank * sizeof *dims);
    dims[last] = p->columns;
    if (v.id == p->dot.id) {
        dims[last] = dim_mul(g->cx, val_dim(g, p->made, last), dim_const(g->cx, PIECE_COLUMNS));
        Val all = b_reshape(g, n->loc, b_slice_axis(g, n->loc, p->made, last + 1, number, one), t->rank, dims);
        bool whole = dim_same(dims[last], p->columns);
        return whole ? all : b_slice_axis(g, n->loc, all, last, dim_const(g->cx, 0), p->columns);
    }
    if (val_splat(rw->from, v, &splat)) return b_splat(g, n->loc, t->dtype, splat, t->rank, dims);
    if (fuel == 0 || product_in(rw, v, fuel).id != p->dot.id || n->n_in > COUNT(in))
        return b_slice_axis(g, n->loc, rw->map[v.id], last, dim_mul(g->cx, number, p->columns), p->columns);
    for (uint32_t i = 0; i < n->n_in; i++) in[i] = piece_of(rw, p, n->in[i], fuel - 1);
    return emit(g, n->op, n->loc, in, n->n_in, n->attrs, n->n_attrs);
}

static Val interleave(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    Cuts *c = rw->user;
    int64_t number = 0;
    (void)in;
    if (old->op != OP_slice) return (Val){0};
    find_cuts(c, rw->from);
    Val v = old->in[0];
    uint32_t pieces = cuts_columns(rw->from, old, &number);
    if (!pieces || !c->pointwise[old_val.id] || c->pieces[v.id] != pieces || c->cut[v.id] != pieces || rw->uses[v.id] != pieces)
        return (Val){0};
    Val dot = c->dot[v.id] = c->dot[v.id].id ? c->dot[v.id] : product_in(rw, v, FUEL);
    if (!dot.id) return dot;
    if (!c->made[dot.id].id) c->made[dot.id] = laid_out(rw, dot, pieces);
    if (!c->made[dot.id].id) return (Val){0};
    Piece p = {dot, c->made[dot.id], number, val_dim(rw->from, old_val, val_rank(rw->from, old_val) - 1)};
    return piece_of(rw, &p, v, FUEL);
}

Graph *pass_interleave(Context *cx, const Graph *g, const Tiers *tiers) {
    (void)tiers;
    Cuts c = {0};
    return graph_rewrite(cx, g, interleave, &c, true);
}
