/* pieces.c: columns of a contraction that a kernel combines: the gates of a recurrent cell, both halves of a gated unit.
 *
 * Pass `interleave` puts them side by side: the result, as [.., units, pieces, 16], is cut along the axis of the pieces, so
 * that sixteen columns of each lie in panels that follow one another.  `pack`, `fuse`, `schedule` and the templates of tiles
 * find that here.
 */
#include "ir.h"

uint32_t slice_pieces(const Graph *g, const Node *slice) {
    const Node *cut = slice->op == OP_slice ? node(g, slice->in[0]) : NULL;
    if (!cut || cut->op != OP_reshape || op_info[val_op(g, cut->in[0])].kind != KIND_CONTRACT) return 0;
    const TypeInfo *from = type_info(g->cx, cut->type), *to = type_info(g->cx, slice->type);
    const int64_t *step = attr_ints(slice, ATTR_step, NULL);
    int64_t n;
    if (from->rank < 3 || !dim_is(g->cx, from->dims[from->rank - 1], PIECE_COLUMNS)) return 0;
    for (uint32_t i = 0; i < from->rank; i++)
        if (step[i] != 1 || (i + 2 == from->rank ? !dim_is(g->cx, to->dims[i], 1) : !dim_same(from->dims[i], to->dims[i])))
            return 0;
    return dim_const_value(g->cx, from->dims[from->rank - 2], &n) && n > 1 && n <= MOST_PIECES ? (uint32_t)n : 0;
}

uint32_t contract_pieces(const Graph *g, Val contraction) {
    for (uint32_t i = contraction.id + 1; i < g->nodes.n; i++) {
        uint32_t n = slice_pieces(g, &g->nodes.at[i]);
        if (n && val_in(g, g->nodes.at[i].in[0], 0).id == contraction.id) return n;
    }
    return 1;
}
