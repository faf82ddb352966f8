/* attend.c: pass `attend`: dot(softmax(x), w), where nothing else reads the softmax, becomes attend(x, w).
 *
 * Runs before `expand`, which takes softmax apart.  The new op fixes another order of summation than the two old ones: block
 * of keys by block of keys, so that no row of scores has to be in memory whole.  What comes before x (the scores' own
 * contraction, scale, mask) is left to pass `fuse`.
 * Source: Dao et al. 2022 (arXiv 2205.14135); Milakov and Gimelshein 2018 (arXiv 1805.02867).
 */
#include "passes.h"

enum { KEYS = 128 /* of a block: scores of 64 rows fit in the first cache */ };

static Val attend(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    Graph *g = rw->to;
    (void)old_val;
    if (old->op != OP_dot || val_op(g, in[0]) != OP_softmax || rw->uses[old->in[0].id] != 1) return (Val){0};
    DType t = val_dtype(g, in[0]);
    const Node *softmax = node(g, in[0]);
    /* Narrow formats would lose a rounding of the probabilities. */
    if ((t != DT_f32 && t != DT_f64) || attr_int(softmax, ATTR_axis) != (int64_t)val_rank(g, in[0]) - 1) return (Val){0};
    Attr attrs[] = {{.key = ATTR_batch, .as.i = attr_int(old, ATTR_batch)}, {.key = ATTR_chunk, .as.i = KEYS}};
    return emit(g, OP_attend, loc_join(g->cx, softmax->loc, old->loc), (Val[]){softmax->in[0], in[1]}, 2, attrs, 2);
}

Graph *pass_attend(Context *cx, const Graph *g, const Tiers *tiers) {
    (void)tiers;
    return graph_rewrite(cx, g, attend, NULL, true);
}
