/* align.c: pass `align`: filters of a group become a number that register tiles take.
 *
 * A convolution in groups whose filters neither fill panels of 16 columns nor share vectors evenly (3, 6, 12, 24 .. of a
 * group) gets filters of zeros behind each group's own, which a slice drops again; the slice is a view that the kernel's
 * stores follow.  The sums that are kept are the same, in the same order.  Runs after layout, and before `pack`, which lays
 * the filters out.
 * Source: docs/cpu.md section 3, "Depthwise NHWC" (lanes are filters).
 */
#include "passes.h"

enum { LANES = 16 };

/* Filters of a group, from `filters` up, that some template takes. */
static int64_t aligned_filters(const Graph *g, const Node *conv, int64_t filters) {
    for (int64_t n = 1; n < LANES / 2; n *= 2)
        if (n >= filters && shares_vectors(g, conv, n)) return n;
    return (filters + LANES - 1) / LANES * LANES;
}

/* w[taps, channels, groups, filters] with `more` filters of zeros behind each group's. */
static Val with_zeros(Graph *g, Loc loc, Val w, int64_t groups, int64_t filters, int64_t more) {
    Context *cx = g->cx;
    const TypeInfo t = *val_type(g, w);
    Dim split[MAX_RANK], low[MAX_RANK], high[MAX_RANK];
    int64_t interior[MAX_RANK] = {0};
    uint32_t last = t.rank - 1;
    for (uint32_t i = 0; i <= t.rank; i++) low[i] = high[i] = dim_const(cx, 0);
    for (uint32_t i = 0; i < last; i++) split[i] = t.dims[i];
    split[last] = dim_const(cx, groups), split[last + 1] = dim_const(cx, filters), high[last + 1] = dim_const(cx, more);
    Val v = b_pad(g, loc, b_reshape(g, loc, w, t.rank + 1, split), b_scalar(g, loc, t.dtype, 0), low, high, interior);
    split[last] = dim_const(cx, groups * (filters + more));
    v = b_reshape(g, loc, v, t.rank, split);
    return v.id && val_op(g, v) == OP_const ? v : (Val){0};
}

/* Without the zeros' sums. */
static Val without(Graph *g, Loc loc, Val y, int64_t groups, int64_t filters, int64_t more) {
    Context *cx = g->cx;
    const TypeInfo t = *val_type(g, y);
    Dim split[MAX_RANK];
    uint32_t last = t.rank - 1;
    for (uint32_t i = 0; i < last; i++) split[i] = t.dims[i];
    split[last] = dim_const(cx, groups), split[last + 1] = dim_const(cx, filters + more);
    Val v = b_reshape(g, loc, y, t.rank + 1, split);
    v = b_slice_axis(g, loc, v, t.rank, dim_const(cx, 0), dim_const(cx, filters));
    split[last] = dim_const(cx, groups * filters);
    return b_reshape(g, loc, v, t.rank, split);
}

static Val align(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    Graph *g = rw->to;
    ConstView view;
    int64_t filters;
    (void)old_val;
    if (old->op != OP_conv || val_rank(g, in[1]) >= MAX_RANK || val_dtype(g, in[1]) != DT_f32) return (Val){0};
    int64_t groups = attr_int(old, ATTR_groups);
    if (groups < 2 || wants_panels(rw->from, old) || anchor_template(rw->from, old) != TEMPLATE_map) return (Val){0};
    if (!find_view(rw->from, old->in[1], &view) || !dim_const_value(g->cx, val_dim(g, in[1], val_rank(g, in[1]) - 1), &filters))
        return (Val){0};
    filters /= groups;
    int64_t more = aligned_filters(rw->from, old, filters) - filters;
    Val w = more ? with_zeros(g, old->loc, in[1], groups, filters, more) : (Val){0};
    if (!w.id) return (Val){0};
    Val y = emit(g, OP_conv, old->loc, (Val[]){in[0], w}, 2, old->attrs, old->n_attrs);
    return without(g, old->loc, y, groups, filters, more);
}

Graph *pass_align(Context *cx, const Graph *g, const Tiers *tiers) {
    (void)tiers;
    return graph_rewrite(cx, g, align, NULL, true);
}
