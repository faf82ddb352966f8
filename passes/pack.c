/* pack.c: pass `pack`: constant operands take the layout their readers want, at compile time.
 *
 * The right operand of a contraction and the filter of a convolution (grouped: of whole panels a group) become panels of 16
 * columns (ENCODING_PANEL16: [ceil(N/16)][K][16], tail columns zero), or of 64 where few rows read them: gathered straight
 * through any views of the constant, so that a transposed weight is never copied twice, and only when it is written to the
 * artifact (ir/constant_view.c).  Every other view of a constant that a kernel would gather from becomes a dense constant.
 * One packing serves every x86 tier (docs/cpu.md, second machine).
 */
#include "passes.h"

typedef struct Source {
    const Graph *g;
    Val base;
    Dim offset;
    bool ok;
} Source;

static void read_source(void *user, Val leaf, const Dim *at) {
    Source *s = user;
    const TypeInfo *t = val_type(s->g, leaf);
    s->ok = s->ok && !s->base.id;
    s->base = leaf;
    s->offset = access_offset(s->g->cx, t->dims, at, t->rank);
}

static bool not_view(void *user, Val v) { return op_info[val_op(((Source *)user)->g, v)].kind != KIND_VIEW; }

bool find_view(const Graph *g, Val v, ConstView *out) {
    Context *cx = g->cx;
    const TypeInfo *t = val_type(g, v);
    Dim at[MAX_RANK];
    Fact facts[MAX_RANK];
    for (uint32_t i = 0; i < t->rank; i++) {
        if (!dim_const_value(cx, t->dims[i], &out->dims[i])) return false;
        at[i] = dim_symbol(cx, index_symbol(cx, i));
        facts[i] = (Fact){REL_LT, at[i], t->dims[i]};
    }
    Scope scope = {NULL, facts, t->rank};
    Source s = {.g = g, .ok = true};
    Access access = {g, &scope, read_source, not_view, &s, 0, NULL};
    if (!access_walk(&access, v, at) || !s.ok || !s.base.id || val_op(g, s.base) != OP_const) return false;
    out->of = node_attr(node(g, s.base), ATTR_data)->as.data;
    const ConstInfo *info = const_info(cx, out->of);
    if (info->splat || info->encoding != ENCODING_DENSE) return false;
    Dim rest = dim_simplify(cx, &scope, s.offset);
    for (uint32_t i = 0; i < t->rank; i++) {
        Dim a;
        Symbol symbol = index_symbol(cx, i);
        if (!dim_affine(cx, rest, symbol, &a, &rest) || !dim_const_value(cx, a, &out->stride[i])) return false;
    }
    out->rank = t->rank;
    return dim_const_value(cx, rest, &out->origin);
}

bool wants_panels(const Graph *g, const Node *n) {
    if (op_info[n->op].kind != KIND_CONTRACT) return false;
    DType t = val_dtype(g, n->in[1]);
    if (t != DT_f32 && t != DT_i32) return false;
    if (n->op == OP_conv) { /* a panel's columns read one group of channels */
        const TypeInfo *w = val_type(g, n->in[1]);
        int64_t groups = attr_int(n, ATTR_groups), filters;
        return groups == 1 || (dim_const_value(g->cx, w->dims[w->rank - 1], &filters) && filters / groups % 16 == 0);
    }
    return n->op == OP_winograd || (contract_batch(n) == 0 && val_rank(g, n->in[1]) == 2);
}

Val rewrite_const(Rewrite *rw, Loc loc, Const c, const TypeInfo *t) {
    Attr attrs[] = {{.key = ATTR_data, .as.data = c}, {.key = ATTR_dtype, .as.dtype = t->dtype},
                    {.key = ATTR_shape, .n = t->rank, .as.dims = t->dims}};
    return emit(rw->to, OP_const, loc, NULL, 0, attrs, COUNT(attrs));
}

Val rewrite_chunk(Rewrite *rw, const Node *old, const Val *in, int64_t chunk) {
    Attr *attrs = arena_copy(rw->to->arena, old->attrs, old->n_attrs * sizeof *attrs);
    for (uint32_t i = 0; i < old->n_attrs; i++)
        if (attrs[i].key == ATTR_chunk) attrs[i].as.i = chunk;
    return emit(rw->to, old->op, old->loc, in, old->n_in, attrs, old->n_attrs);
}

/* Few rows read each weight for few multiplications: as one stream it comes from the second-level cache half as fast again.
 * Any number of them may be few; where the first cache holds such a panel, many are as fast. */
static bool few_rows(const Graph *g, const Node *n) {
    enum { FEW = 4, WIDE = 64, SHORT = 128 };
    Context *cx = g->cx;
    const TypeInfo *y = type_info(cx, n->type);
    int64_t rows, columns, depth;
    uint32_t batch = contract_batch(n);
    bool known = dim_const_value(cx, dim_product(cx, y->dims + batch, y->rank - batch - 1), &rows);
    if (known && rows > FEW) return false;
    if (!known && (n->op != OP_dot || !dim_const_value(cx, contract_depth(g, n), &depth) || depth > SHORT)) return false;
    if (node_attr(n, ATTR_tile) || (node_attr(n, ATTR_groups) && attr_int(n, ATTR_groups) > 1)) return false;
    if (!dim_const_value(cx, y->dims[y->rank - 1], &columns)) return false;
    return (WIDE - columns % WIDE) % WIDE <= columns / 8; /* of zeros */
}

typedef struct Packed {
    VEC(Val) from;               /* old operands, and their panels */
    VEC(Const) to;
    const Graph *of;             /* what the flags are of */
    bool *dense, *tall;          /* tall: some contraction of more than few rows reads it */
} Packed;

/* dense[v]: some reader wants v's elements in order; else every reader takes panels of it, or is a view nobody reads so. */
static void find_dense(Packed *p, const Graph *g) {
    if (p->of == g) return;
    p->of = g, p->from.n = p->to.n = 0;
    p->dense = arena_new_array(g->cx->arena, bool, g->nodes.n), p->tall = arena_new_array(g->cx->arena, bool, g->nodes.n);
    for (uint32_t i = 0; i < g->results.n; i++) p->dense[g->results.at[i].id] = true;
    for (uint32_t i = g->nodes.n; i-- > 1;) {
        const Node *n = &g->nodes.at[i];
        if (op_info[n->op].kind == KIND_CONTRACT) p->tall[n->in[1].id] |= !few_rows(g, n) || contract_pieces(g, (Val){i}) == 3;
        for (uint32_t o = 0; o < n->n_in; o++)
            p->dense[n->in[o].id] |= op_info[n->op].kind == KIND_VIEW ? p->dense[i] : !(o == 1 && wants_panels(g, n));
    }
}

static Val pack_contraction(Rewrite *rw, const Node *old, const Val *in) {
    Packed *memo = rw->user;
    Context *cx = rw->to->cx;
    Val w = old->in[1];
    ConstView view;
    Const c = {0};
    find_dense(memo, rw->from);
    for (uint32_t i = 0; i < memo->from.n; i++)
        if (memo->from.at[i].id == w.id) c = memo->to.at[i];
    if (!c.id) {
        Encoding encoding = memo->tall[w.id] ? ENCODING_PANEL16 : ENCODING_PANEL64;
        if (!find_view(rw->from, w, &view) || !(c = const_view(cx, encoding, &view)).id) return (Val){0};
        vec_push(rw->to->arena, &memo->from, w);
        vec_push(rw->to->arena, &memo->to, c);
    }
    Val operands[] = {in[0], rewrite_const(rw, node(rw->from, w)->loc, c, val_type(rw->from, w))};
    return rewrite_copy(rw, old, operands);
}

static Val pack(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    OpKind kind = op_info[old->op].kind;
    const TypeInfo *t = type_info(rw->to->cx, old->type);
    (void)old_val;
    if (wants_panels(rw->from, old)) return pack_contraction(rw, old, in);
    /* Reshapes are free already; a view that repeats elements stays a view. */
    ConstView view;
    if (kind != KIND_VIEW || old->op == OP_reshape || old->op == OP_broadcast) return (Val){0};
    find_dense(rw->user, rw->from);
    if (!((Packed *)rw->user)->dense[old_val.id] || !find_view(rw->from, old_val, &view)) return (Val){0};
    Const c = const_view(rw->to->cx, ENCODING_DENSE, &view);
    return c.id ? rewrite_const(rw, old->loc, c, t) : (Val){0};
}

Graph *pass_pack(Context *cx, const Graph *g, const Tiers *tiers) {
    (void)tiers;
    Packed memo = {0};
    return graph_rewrite(cx, g, pack, &memo, true);
}
