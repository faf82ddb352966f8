/* template.c: which template computes an anchor: the one choice that passes `fuse` (what may join the kernel) and `schedule`
 * (which numbers it needs) both rest on.
 *
 * Invariant: the answer depends on the anchor and the types of its operands alone, so that it is the same in the whole graph
 * and in the kernel's body.
 */
#include "passes.h"

/* Where the op alone decides. */
static const Template op_template[OP_COUNT] = {
    [OP_arg_max] = TEMPLATE_arg,
    [OP_arg_min] = TEMPLATE_arg,
    [OP_window_arg_max] = TEMPLATE_map,
    [OP_scatter_nd] = TEMPLATE_scatter,
    [OP_scatter_elements] = TEMPLATE_scatter,
    [OP_cum_sum] = TEMPLATE_cumulate,
    [OP_cum_prod] = TEMPLATE_cumulate,
    [OP_top_k] = TEMPLATE_top_k,
    [OP_nonzero] = TEMPLATE_nonzero,
    [OP_dot] = TEMPLATE_contraction,
    [OP_attend] = TEMPLATE_attention,
};

int reduces_rows(const Graph *g, const Node *n) {
    if (op_info[n->op].kind != KIND_REDUCE || !node_attr(n, ATTR_axes) || attr_int(n, ATTR_order) == 1) return -1;
    uint32_t n_axes, rank = val_rank(g, n->in[0]);
    const int64_t *axes = attr_ints(n, ATTR_axes, &n_axes);
    for (uint32_t i = 0; i < n_axes; i++)
        if (axes[i] != rank - n_axes + i) return -1;
    return (int)(rank - n_axes);
}

Template anchor_template(const Graph *g, const Node *anchor) {
    if (op_template[anchor->op]) return op_template[anchor->op];
    if (op_info[anchor->op].kind == KIND_CONTRACT && val_type(g, anchor->in[1])->encoding == ENCODING_PANEL16) return TEMPLATE_convolution;
    return reduces_rows(g, anchor) >= 0 ? TEMPLATE_row : TEMPLATE_map;
}
