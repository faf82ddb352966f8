/* rescale.c: pass `rescale`, run for --numerics=fast: a constant scale per column behind a contraction goes into its constant.
 *
 * (sum of x w + b) * s  becomes  sum of x (w s) + b s, which rounds otherwise: what batch normalisation behind a convolution
 * is, once its parameters are folded.  Runs after layout, so that the scale lies along the last axis, as columns do; what is
 * left of the normalisation is one addition in the contraction's epilogue.
 */
#include "passes.h"

/* v repeats a constant f32 vector along its last axis and is the same along all others. */
static bool is_column_constant(const Graph *g, Val v, Const *data) {
    Context *cx = g->cx;
    const Node *n = node(g, v);
    uint32_t rank = val_rank(g, v), from;
    if (n->op != OP_broadcast || !rank || val_dtype(g, v) != DT_f32 || !val_const(g, n->in[0], data)) return false;
    const ConstInfo *info = const_info(cx, *data);
    const int64_t *axes = attr_ints(n, ATTR_axes, &from);
    int64_t columns;
    if (info->splat || info->encoding != ENCODING_DENSE || !from || axes[from - 1] + 1 != rank) return false;
    return dim_const_value(cx, val_dim(g, v, rank - 1), &columns) && info->elements == (uint64_t)columns &&
           dim_is(cx, val_dim(g, n->in[0], from - 1), columns);
}

/* Constant c, its axis `axis` times the vector; poison where it is too large to be folded. */
static Val scaled_constant(Graph *g, Loc loc, Val c, uint32_t axis, Const scale) {
    const TypeInfo *t = val_type(g, c);
    Val vector = b_const(g, loc, scale, 1, &t->dims[axis]);
    Val product = b_binary(g, loc, OP_mul, c, b_broadcast(g, loc, vector, t->rank, t->dims, (int64_t[]){axis}));
    return product.id && val_op(g, product) == OP_const ? product : (Val){0};
}

static Val scaled_contraction(Graph *g, const Node *n, Const scale) {
    Val w = n->in[1];
    const Node view = *node(g, w); /* emit may move the table of nodes */
    bool permuted = view.op == OP_permute;
    uint32_t axis = val_rank(g, w) - 1;
    Val c = permuted ? view.in[0] : w;
    if (permuted) axis = (uint32_t)attr_ints(&view, ATTR_perm, NULL)[axis];
    if (val_op(g, c) != OP_const || val_dtype(g, c) != DT_f32) return (Val){0};
    const Node old = *n;
    c = scaled_constant(g, old.loc, c, axis, scale);
    if (c.id && permuted) c = emit(g, OP_permute, view.loc, &c, 1, view.attrs, view.n_attrs);
    return c.id ? emit(g, old.op, old.loc, (Val[]){old.in[0], c}, 2, old.attrs, old.n_attrs) : (Val){0};
}

/* v * scale, with the product inside of the contraction that v is, or is but for a constant bias.  uses: of the old values. */
static Val rescaled(Rewrite *rw, Val old, Val v, Const scale) {
    Graph *g = rw->to;
    const Node *n = node(g, v);
    Const bias;
    if (rw->uses[old.id] != 1) return (Val){0};
    if (op_info[n->op].kind == KIND_CONTRACT) return scaled_contraction(g, n, scale);
    if (n->op != OP_add || val_op(rw->from, old) != OP_add || !is_column_constant(g, n->in[1], &bias)) return (Val){0};
    const Node sum = *n, spread = *node(g, sum.in[1]);
    Val product = rescaled(rw, val_in(rw->from, old, 0), sum.in[0], scale);
    if (!product.id) return (Val){0};
    uint32_t last = val_rank(g, spread.in[0]) - 1;
    Val shifted = scaled_constant(g, sum.loc, spread.in[0], last, scale);
    if (!shifted.id) return (Val){0};
    shifted = emit(g, OP_broadcast, spread.loc, &shifted, 1, spread.attrs, spread.n_attrs);
    return emit(g, OP_add, sum.loc, (Val[]){product, shifted}, 2, NULL, 0);
}

static Val rescale(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    (void)old_val;
    if (old->op != OP_mul && old->op != OP_fma) return (Val){0};
    for (uint32_t i = 0; i < 2; i++) {
        Const scale;
        if (!is_column_constant(rw->to, in[1 - i], &scale)) continue;
        Val v = rescaled(rw, old->in[i], in[i], scale);
        if (v.id) return old->op == OP_fma ? b_binary(rw->to, old->loc, OP_add, v, in[2]) : v;
    }
    return (Val){0};
}

Graph *pass_rescale(Context *cx, const Graph *g, const Tiers *tiers) {
    (void)tiers;
    return graph_rewrite(cx, g, rescale, NULL, true);
}
