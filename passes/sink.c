/* sink.c: pass `sink`: constants that a region captures, and views of them, become constants of its body.
 *
 * A body is a closed graph: what it captures is a parameter, and every later pass would take it for a value that only the run
 * knows.  As a constant it is folded, packed into panels and read in place like any other; a recurrent cell's weights are what
 * this is for.  First of the passes but canon, so that all others see it.
 */
#include "passes.h"

/* A constant, through views alone. */
static bool is_constant(const Graph *g, Val v) {
    while (op_info[val_op(g, v)].kind == KIND_VIEW) v = val_in(g, v, 0);
    return val_op(g, v) == OP_const;
}

static Val copy_constant(Graph *to, const Graph *from, Val v) {
    const Node *n = node(from, v);
    Val in = n->n_in ? copy_constant(to, from, n->in[0]) : (Val){0};
    return emit(to, n->op, n->loc, &in, n->n_in, n->attrs, n->n_attrs);
}

/* What the operands of a control node are to the parameters of its regions. */
typedef struct Captures { uint32_t first, param; } Captures; /* operand; its parameter */

static Captures captures_of(const Node *n) {
    if (n->op == OP_if) return (Captures){1, 0};
    uint32_t carried = (uint32_t)attr_int(n, ATTR_carried);
    if (n->op == OP_while) return (Captures){1 + carried, carried};
    uint32_t before = carried + (uint32_t)attr_int(n, ATTR_scanned);
    return (Captures){before, 1 + before};
}

typedef struct Sinking {
    const Graph *outer, *body;
    const Node *control;
    Captures captures;
} Sinking;

static bool sinks(const Sinking *s, uint32_t operand) {
    return operand >= s->captures.first && is_constant(s->outer, s->control->in[operand]);
}

static Val place(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    const Sinking *s = rw->user;
    (void)old_val, (void)in;
    if (old->op != OP_param || rw->from != s->body) return (Val){0};
    uint32_t index = (uint32_t)attr_int(old, ATTR_index), gone = 0;
    if (index < s->captures.param) return (Val){0};
    uint32_t operand = s->captures.first + (index - s->captures.param);
    if (sinks(s, operand)) return copy_constant(rw->to, s->outer, s->control->in[operand]);
    for (uint32_t i = s->captures.first; i < operand; i++) gone += sinks(s, i);
    Attr attrs[ATTR_COUNT];
    for (uint32_t i = 0; i < old->n_attrs; i++) {
        attrs[i] = old->attrs[i];
        if (attrs[i].key == ATTR_index) attrs[i].as.i = index - gone;
    }
    return emit(rw->to, OP_param, old->loc, NULL, 0, attrs, old->n_attrs);
}

static Val sink(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    (void)old_val;
    if (op_info[old->op].kind != KIND_CONTROL) return (Val){0};
    Context *cx = rw->to->cx;
    Node now = *old;
    now.in = in; /* constants of the new graph */
    Sinking s = {.outer = rw->to, .control = &now, .captures = captures_of(old)};
    Val *kept = arena_new_array(cx->arena, Val, old->n_in + 1);
    Attr attrs[ATTR_COUNT];
    uint32_t n = 0;
    for (uint32_t i = 0; i < old->n_in; i++)
        if (!sinks(&s, i)) kept[n++] = in[i];
    if (n == old->n_in) return (Val){0};
    for (uint32_t i = 0; i < old->n_attrs; i++) {
        attrs[i] = old->attrs[i];
        if (attr_info[attrs[i].key].type != AT_GRAPH) continue;
        s.body = attrs[i].as.graph;
        if (!(attrs[i].as.graph = graph_rewrite(cx, s.body, place, &s, false))) return (Val){0};
    }
    return emit(rw->to, old->op, old->loc, kept, n, attrs, old->n_attrs);
}

Graph *pass_sink(Context *cx, const Graph *g, const Tiers *tiers) {
    (void)tiers;
    return graph_rewrite(cx, g, sink, NULL, true);
}
