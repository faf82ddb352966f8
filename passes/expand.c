/* expand.c: pass `expand`: MACRO ops become the ops that define them (expand_<op> in ir/ops/macro.c), and products with narrow
 * constants get shorter chains.
 *
 * Orders of summation are fixed here, before layout and schedule, from what is constant alone.  Errors of a sum grow with the
 * root of its chains; where the result has columns for one panel, a tile has registers for the sums of many (passes/schedule.c:
 * chains), so that short chains cost nothing.
 * Source: Higham 1993, The accuracy of floating point summation (blocked sums).
 */
#include "passes.h"
#include <string.h>

enum { NARROW = 16 /* columns */, SHORT_CHAIN = 32 /* products */ };

static Val shorten(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    const TypeInfo *w = val_type(rw->to, in[1]);
    int64_t columns;
    if (val_op(rw->to, in[1]) != OP_const || !dtype_is_float(val_dtype(rw->from, old_val))) return (Val){0};
    if (!dim_const_value(rw->to->cx, w->dims[w->rank - 1], &columns) || columns > NARROW) return (Val){0};
    if (node_attr(old, ATTR_groups) && attr_int(old, ATTR_groups) > 1) return (Val){0};
    if (!node_attr(old, ATTR_chunk) || attr_int(old, ATTR_chunk) <= SHORT_CHAIN) return (Val){0};
    Attr *attrs = arena_copy(rw->to->arena, old->attrs, old->n_attrs * sizeof *attrs);
    for (uint32_t i = 0; i < old->n_attrs; i++)
        if (attrs[i].key == ATTR_chunk) attrs[i].as.i = SHORT_CHAIN;
    return emit(rw->to, old->op, old->loc, in, old->n_in, attrs, old->n_attrs);
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
