/* attention_queries.c: template `attention`: what scores ask with where it is no view of a buffer, such as projections times a
 * scale: each task evaluates that of its own rows, once, into scratch, from where the tile reads it.
 */
#include "attention.h"

bool attention_has_queries(Kernel *k, const Attention *a) {
    if (!a->product.anchor.id) return false;
    Val v = a->product.node->in[0];
    if (val_splat(k->body, v, &(Scalar){0})) return false;
    while (op_info[val_op(k->body, v)].kind == KIND_VIEW) v = val_in(k->body, v, 0);
    return val_op(k->body, v) != OP_param;
}

Dim attention_query_pitch(Kernel *k, const Attention *a) {
    return dim_muli(k->cx, dim_cdiv(k->cx, a->product.channels, dim_const(k->cx, PANEL)), PANEL);
}

typedef struct Query { const Blocks *s; Dim at[MAX_RANK]; LVal to; } Query;

static void make_vector(Kernel *k, void *user, Dim channel, LVal *none) {
    (void)none;
    Query *q = user;
    LVal first = kernel_dim(k, dim_substitute(k->cx, channel, &k->lane, (Dim[]){dim_const(k->cx, 0)}, 1));
    q->at[q->s->x->rank - 1] = channel;
    LVal value = l_splat(k->b, kernel_eval(k, q->s->node->in[0], q->at), PANEL);
    l_store(k->b, q->to, first, q->s->pairs ? l_encode(k->b, value, DT_bf16) : value, (LVal){0});
}

void attention_make_queries(Kernel *k, Attention *a) {
    LoopBuilder *b = k->b;
    KernelLoop loop;
    Query q = {.s = &a->product};
    a->product.made = a->queries, a->product.made_first = a->begin;
    a->product.made_dtype = a->product.pairs ? DT_bf16 : a->product.compute;
    a->product.made_pitch = kernel_dim(k, attention_query_pitch(k, a));
    Dim row = kernel_loop(k, &loop, a->begin, a->end, a->product.rows, 1, NULL, 0);
    blocks_row(k, &a->product, row, q.at);
    q.to = l_offset(b, a->queries, l_mul(b, l_sub(b, kernel_dim(k, row), a->begin), a->product.made_pitch));
    kernel_vector_loop(k, a->product.channels, LANES, NULL, 0, make_vector, &q);
    kernel_loop_end(k, &loop, NULL, 0);
}
