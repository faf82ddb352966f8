/* expand.c: pass `expand`: MACRO ops become the ops that define them (expand_<op> in ir/ops/macro.c).
 *
 * Orders of summation are fixed here, before layout and schedule.
 */
#include "passes.h"

static Val expand(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    (void)old_val;
    if (op_info[old->op].kind != KIND_MACRO) return (Val){0};
    return expand_fn[old->op](rw->to, old, in);
}

Graph *pass_expand(Context *cx, const Graph *g, const Tiers *tiers) {
    (void)tiers;
    return graph_rewrite(cx, g, expand, NULL, true);
}
