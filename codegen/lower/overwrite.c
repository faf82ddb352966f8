/* overwrite.c: template `overwrite`: a part of a tensor whose memory the result takes: only what changes is written.
 *
 * Pass plan has seen that the result lies where operand 0 does, a parameter that the caller donates, so nothing is copied, and
 * nothing is read of it.  Rows of the part are shared among threads.
 */
#include "lower.h"

static const Node *overwrite_node(Kernel *k) {
    for (uint32_t i = 1; i < k->body->nodes.n; i++)
        if (k->body->nodes.at[i].op == OP_overwrite) return &k->body->nodes.at[i];
    diag_fatal(k->cx, "schedule: template overwrite without an overwrite");
}

/* Axes of a row's index; the innermost is the row. */
static uint32_t outer_axes(const TypeInfo *w) { return w->rank ? w->rank - 1 : 0; }

Dim range_overwrite(Kernel *k) {
    const TypeInfo *w = val_type(k->body, overwrite_node(k)->in[1]);
    return dim_product(k->cx, w->dims, outer_axes(w));
}

Dim scratch_overwrite(Kernel *k) { return dim_const(k->cx, 0); }

typedef struct Row { const Node *n; const TypeInfo *x; Dim at[MAX_RANK]; } Row;

static void write_step(Kernel *k, void *user, Dim inner, LVal *carried) {
    Row *r = user;
    const Dim *start = attr_dims(r->n, ATTR_start, NULL);
    Dim to[MAX_RANK];
    (void)carried;
    if (r->x->rank) r->at[r->x->rank - 1] = inner;
    for (uint32_t i = 0; i < r->x->rank; i++) to[i] = dim_add(k->cx, r->at[i], start[i]);
    Dim offset = access_offset(k->cx, r->x->dims, to, r->x->rank);
    kernel_store(k, k->outputs[0], r->x->dtype, offset, kernel_eval(k, r->n->in[1], r->at));
}

void lower_overwrite(Kernel *k, LVal lo, LVal hi) {
    Context *cx = k->cx;
    const Node *n = overwrite_node(k);
    const TypeInfo *w = val_type(k->body, n->in[1]);
    Row row = {.n = n, .x = val_type(k->body, n->in[0])};
    uint32_t outer = outer_axes(w);
    Fact facts[MAX_RANK];
    KernelLoop loop;
    KernelScope scope;
    k->lane = lane_symbol(cx, LANES);
    Dim p = kernel_loop(k, &loop, lo, hi, range_overwrite(k), 1, NULL, 0);
    if (outer) kernel_split(k, p, w->dims, outer, row.at, facts);
    kernel_enter(k, &scope, facts, outer);
    kernel_vector_loop(k, w->rank ? w->dims[outer] : dim_const(cx, 1), LANES, NULL, 0, write_step, &row);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
}
