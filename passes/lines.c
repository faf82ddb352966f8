/* lines.c: pass `lines`, run for --precision=bf16: a dense convolution of few channels that lie apart, as models take images,
 * takes the lines of its channels one by one: an image of one channel, whose taps lie side by side.
 *
 * conv(x[n,..,h,w,c], f[..,r,s,c,m]) = conv(x[n,..,h*c,w,1], f[..,r*c,s,1,m]), with the lines of a row's channels one after the
 * other and strides, counted in lines, c times as large; what lies outside of the image is put around it as zeros.  The
 * products are the same, in the order of (row, channel, column).  So pass `narrow` makes pairs of the taps of a line, which a
 * few channels would leave mostly empty, and one pass over the image rounds it.  Runs before `narrow`, and after layout: where
 * channels already lie side by side, a transpose would cost more than the pairs spare.
 */
#include "passes.h"

enum { MOST_CHANNELS = 7 /* from eight on channels themselves make pairs */, LEAST_FILTERS = 16 };

/* Its memory, behind the permutation, has pixels side by side. */
static bool lies_in_lines(const Graph *g, Val x) {
    if (dim_is(g->cx, val_dim(g, x, val_rank(g, x) - 1), 1)) return true;
    if (val_op(g, x) != OP_permute) return false;
    uint32_t n;
    const int64_t *perm = attr_ints(node(g, x), ATTR_perm, &n);
    return perm[n - 2] == n - 1;
}

static bool takes_lines(const Graph *g, const Node *n, ConstView *w) {
    if (n->op != OP_conv || val_rank(g, n->in[0]) < 4 || val_rank(g, n->in[0]) >= MAX_RANK) return false;
    if (attr_int(n, ATTR_groups) != 1 || val_dtype(g, n->in[1]) != DT_f32 || val_splat(g, n->in[0], &(Scalar){0})) return false;
    if (val_type(g, n->in[1])->encoding != ENCODING_DENSE || !lies_in_lines(g, n->in[0])) return false;
    uint32_t spatial = val_rank(g, n->in[0]) - 2;
    const int64_t *dilation = attr_ints(n, ATTR_dilation, NULL);
    for (uint32_t i = 0; i < spatial; i++)
        if (prove(g->cx, NULL, REL_LE, dim_const(g->cx, 0), attr_dims(n, ATTR_low, NULL)[i]) != YES ||
            prove(g->cx, NULL, REL_LE, dim_const(g->cx, 0), attr_dims(n, ATTR_high, NULL)[i]) != YES)
            return false;
    if (dilation[spatial - 1] != 1 || dilation[spatial - 2] != 1 || !find_view(g, n->in[1], w)) return false;
    return w->dims[spatial] <= MOST_CHANNELS && w->dims[spatial - 1] > 1 && w->dims[spatial + 1] >= LEAST_FILTERS;
}

/* x[n,..,h,w,c] with zeros around it as [n,..,h*c,w,1]. */
static Val lines_of(Graph *g, const Node *conv, Val x) {
    Context *cx = g->cx;
    uint32_t rank = val_rank(g, x), last = rank - 1;
    const Dim *before = attr_dims(conv, ATTR_low, NULL), *after = attr_dims(conv, ATTR_high, NULL);
    Dim low[MAX_RANK], high[MAX_RANK], dims[MAX_RANK];
    int64_t interior[MAX_RANK] = {0}, perm[MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) perm[i] = i, low[i] = high[i] = dim_const(cx, 0);
    for (uint32_t i = 1; i < last; i++) low[i] = before[i - 1], high[i] = after[i - 1];
    perm[last - 1] = last, perm[last] = last - 1; /* at once, so that it meets the permutation of x */
    low[last] = low[last - 1], high[last] = high[last - 1], low[last - 1] = high[last - 1] = dim_const(cx, 0);
    x = b_permute(g, conv->loc, x, perm);
    x = b_pad(g, conv->loc, x, b_scalar(g, conv->loc, val_dtype(g, x), 0), low, high, interior);
    for (uint32_t i = 0; i < rank; i++) dims[i] = val_dim(g, x, i);
    dims[last - 2] = dim_mul(cx, dims[last - 2], dims[last - 1]), dims[last - 1] = dims[last], dims[last] = dim_const(cx, 1);
    return b_reshape(g, conv->loc, x, rank, dims);
}

/* w[..,r,s,c,m] as [..,r*c,s,1,m]. */
static Val filter_lines(Rewrite *rw, Val w, ConstView v) {
    Context *cx = rw->to->cx;
    uint32_t taps = v.rank - 2;
    int64_t columns = v.dims[taps - 1], step = v.stride[taps - 1];
    v.dims[taps - 1] = v.dims[taps], v.stride[taps - 1] = v.stride[taps];
    v.dims[taps] = columns, v.stride[taps] = step;
    Const c = const_view(cx, ENCODING_DENSE, &v);
    Dim dims[MAX_RANK];
    for (uint32_t i = 0; i < v.rank; i++) dims[i] = dim_const(cx, v.dims[i]);
    dims[taps - 2] = dim_mul(cx, dims[taps - 2], dims[taps - 1]), dims[taps - 1] = dims[taps], dims[taps] = dim_const(cx, 1);
    TypeInfo t = {.dtype = DT_f32, .rank = v.rank, .dims = dims};
    return c.id && !const_info(cx, c)->splat ? rewrite_const(rw, node(rw->from, w)->loc, c, &t) : (Val){0};
}

static Val lines(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    Graph *g = rw->to;
    ConstView view;
    (void)old_val;
    if (!takes_lines(rw->from, old, &view)) return (Val){0};
    Val operands[] = {lines_of(g, old, in[0]), filter_lines(rw, old->in[1], view)};
    if (!operands[1].id) return (Val){0};
    uint32_t spatial = view.rank - 2;
    int64_t stride[MAX_RANK];
    Dim none[MAX_RANK];
    for (uint32_t i = 0; i < spatial; i++) stride[i] = attr_ints(old, ATTR_stride, NULL)[i], none[i] = dim_const(g->cx, 0);
    stride[spatial - 2] *= view.dims[spatial];
    Attr attrs[12];
    for (uint32_t i = 0; i < old->n_attrs; i++) {
        attrs[i] = old->attrs[i];
        if (attrs[i].key == ATTR_stride) attrs[i].as.ints = stride;
        if (attrs[i].key == ATTR_low || attrs[i].key == ATTR_high) attrs[i].as.dims = none;
    }
    Val y = emit(g, OP_conv, old->loc, operands, 2, attrs, old->n_attrs);
    return type_same_dims(val_type(g, y), type_info(g->cx, old->type)) ? y : (Val){0};
}

Graph *pass_lines(Context *cx, const Graph *g, const Tiers *tiers) {
    (void)tiers;
    return graph_rewrite(cx, g, lines, NULL, true);
}
