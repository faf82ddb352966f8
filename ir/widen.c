/* widen.c: a graph whose f32 arithmetic is f64: what a model would compute if rounding hardly happened.
 *
 * In: a graph as imported.  Out: the same graph with every f32 value an f64 one, constants and parameters widened where they
 * come in, so that results of f32 become f64.  Run by the interpreter it is what errors are measured against (`ingot verify`,
 * --precision=f64).  Integers stay, and f16 and bf16 still round: they are the model's own choice.  Bits that were read as
 * f32 or f32 read as bits are still those of f32.
 */
#include "ir.h"

static bool is_f32(const Graph *g, Val v) {
    const TypeInfo *t = val_type(g, v);
    return t->dtype == DT_f32;
}

/* The node with f64 where it says f32. */
static Val copy_wide(Rewrite *r, const Node *old, const Val *in) {
    Node wide = *old;
    Attr attrs[ATTR_COUNT];
    for (uint32_t i = 0; i < old->n_attrs; i++) {
        attrs[i] = old->attrs[i];
        if (attrs[i].key == ATTR_dtype && attrs[i].as.dtype == DT_f32) attrs[i].as.dtype = DT_f64;
    }
    wide.attrs = attrs;
    return rewrite_copy(r, &wide, in);
}

static Val widen(Rewrite *r, const Node *old, Val old_val, const Val *in) {
    const Graph *main = r->user;
    bool given = old->op == OP_const || (old->op == OP_param && r->from == main);
    (void)old_val;
    Val v;
    if (old->op == OP_bitcast) {
        Val bits = is_f32(r->from, old->in[0]) ? b_convert(r->to, old->loc, in[0], DT_f32) : in[0];
        v = rewrite_copy(r, old, &bits);
    } else {
        v = given ? rewrite_copy(r, old, in) : copy_wide(r, old, in);
    }
    return v.id && is_f32(r->to, v) ? b_convert(r->to, old->loc, v, DT_f64) : v;
}

Graph *graph_widen(Context *cx, const Graph *g) { return graph_rewrite(cx, g, widen, (void *)(uintptr_t)g, false); }
