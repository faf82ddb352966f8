/* attention_hidden.c: template `attention`: blocks of keys that a mask hides from a tile of rows are not visited.
 *
 * Nothing is known of masks but where they enter: a `select` between the scores and one number, or -inf added to them.
 * Before a block its mask alone is evaluated, last row first, up to the first key that is seen: next to nothing where a block
 * is seen, little where it is skipped.  This is causal, windowed, padded and packed attention, from constants, inputs or
 * positions.
 *
 * Skipping changes no bit: exponentials of such a block would all be +0, and such a block leaves a row as it is (attention.c).
 * A number other than -inf hides only where it lies so far below the row's largest score up to here that this holds.  Where
 * -inf is added the score is -inf even if the product is no number, for other rows of the tile may see the block.
 */
#include "attention.h"
#include <math.h>

enum { MOST_BODY = 256 };
static const double far_below = -87; /* m_exp_decay is +0 from there */

static void add_hider(Attention *a, Hider h) {
    if (a->n_hiders < MAX_HIDERS) a->hiders[a->n_hiders++] = h;
}

/* v: scores.  leads: nodes that the contraction leads to.  top: v is what softmax takes. */
static void find_at(Kernel *k, Attention *a, const bool *leads, Val v, Val view, bool top) {
    const Node *n = node(k->body, v);
    if (n->op == OP_reshape && !view.id) find_at(k, a, leads, n->in[0], v, top);
    Scalar s;
    if (n->op == OP_add) {
        for (uint32_t i = 0; i < 2; i++)
            if (leads[n->in[i].id] && !leads[n->in[1 - i].id]) add_hider(a, (Hider){.bias = n->in[1 - i], .view = view});
        return;
    }
    if (n->op != OP_select || leads[n->in[0].id]) return;
    for (uint32_t i = 1; i < 3; i++) {
        Val scores = n->in[i], other = n->in[3 - i];
        if (!leads[scores.id] || leads[other.id] || !val_splat(k->body, other, &s)) continue;
        bool never = s.f == -INFINITY;
        if (never || (top && a->values.compute == DT_f32 && s.f < far_below))
            add_hider(a, (Hider){n->in[0], {0}, i == 2, s.f, view});
        if (never) find_at(k, a, leads, scores, view, false);
    }
}

void attention_find_hiders(Kernel *k, Attention *a) {
    const Graph *g = k->body;
    bool leads[MOST_BODY] = {0};
    a->n_hiders = 0;
    if (!a->product.anchor.id || g->nodes.n > MOST_BODY) return;
    leads[a->product.anchor.id] = true;
    for (uint32_t i = a->product.anchor.id + 1; i < a->values.anchor.id; i++)
        for (uint32_t o = 0; o < g->nodes.at[i].n_in; o++) leads[i] |= leads[g->nodes.at[i].in[o].id];
    find_at(k, a, leads, a->values.node->in[0], (Val){0}, true);
}

/* Flag or bias for the score at `at`. */
static LVal hider_value(Kernel *k, const Hider *h, const Dim *at) {
    Dim inner[MAX_RANK];
    if (h->view.id) {
        IndexQuery query = {k->body, node(k->body, h->view), at, k->scope, k->arena, NULL, NULL};
        const IndexCase *cases;
        index_fn[OP_reshape](&query, &cases);
        uint32_t rank = val_rank(k->body, val_in(k->body, h->view, 0));
        for (uint32_t i = 0; i < rank; i++) inner[i] = kernel_simplify(k, cases[0].at[i]);
        at = inner;
    }
    return l_splat(k->b, kernel_eval(k, h->bias.id ? h->bias : h->flag, at), PANEL);
}

static LVal is_never(Kernel *k, const Attention *a, LVal bias) {
    return l_bin(k->b, LOP_eq, bias, attention_splat(k, a, -INFINITY));
}

LVal attention_hide(Kernel *k, const Attention *a, LVal score, const Dim *at) {
    for (uint32_t i = 0; i < a->n_hiders; i++) {
        if (!a->hiders[i].bias.id) continue;
        score = l_select(k->b, is_never(k, a, hider_value(k, &a->hiders[i], at)), attention_splat(k, a, -INFINITY), score);
    }
    return score;
}

/* Lanes of the row whose key is seen, onto those before. */
static void see_step(Kernel *k, void *user, Dim key, LVal *seen) {
    Scoring *s = user;
    Attention *a = s->a;
    LoopBuilder *b = k->b;
    LVal hidden = {0};
    s->at[a->values.x->rank - 1] = dim_add(k->cx, s->first, key);
    for (uint32_t i = 0; i < a->n_hiders; i++) {
        const Hider *h = &a->hiders[i];
        LVal x = hider_value(k, h, s->at);
        if (h->bias.id) x = is_never(k, a, x);
        else if (!h->when) x = l_un(b, LOP_not, x);
        hidden = hidden.id ? l_bin(b, LOP_or, hidden, x) : x;
    }
    LVal sees = l_un(b, LOP_not, hidden);
    *seen = l_bin(b, LOP_or, *seen, k->mask.id ? l_bin(b, LOP_and, sees, k->mask) : sees);
}

/* Whether a row sees any key of the block, or is none that a number hides it from. */
static LVal row_sees(Kernel *k, Attention *a, Scoring *s, LVal row) {
    LoopBuilder *b = k->b;
    KernelScope scope, inner;
    kernel_enter(k, &scope, NULL, 0);
    Dim index = kernel_index(k, row), count = kernel_index(k, a->count);
    const Fact facts[] = {{REL_LE, dim_const(k->cx, 0), index}, {REL_LT, index, a->values.rows},
                          {REL_LE, dim_add(k->cx, s->first, count), a->values.channels}, {REL_LE, dim_const(k->cx, 0), count}};
    kernel_enter(k, &inner, facts, COUNT(facts));
    LVal local = attention_enter_row(k, a, s, index), seen = l_splat(b, l_bool(b, false), PANEL);
    kernel_vector_loop(k, count, LANES, &seen, 1, see_step, s);
    seen = l_inst(b, LOP_reduce_or, lt_scalar(DT_bool), &seen, 1, 0);
    for (uint32_t i = 0; i < a->n_hiders; i++) {
        if (a->hiders[i].bias.id || a->hiders[i].value == -INFINITY) continue;
        LType scalar = lt_scalar(a->values.compute);
        LVal below = l_sub(b, l_float(b, scalar, a->hiders[i].value), l_load(b, a->best, local, 1, (LVal){0}));
        seen = l_bin(b, LOP_or, seen, l_un(b, LOP_not, l_lt(b, below, l_float(b, scalar, far_below))));
    }
    kernel_leave(k, &inner);
    kernel_leave(k, &scope);
    return seen;
}

/* From the last row, which sees most where masks are causal. */
LVal attention_sees(Kernel *k, Attention *a, Dim first_key, LVal begin, LVal end) {
    LoopBuilder *b = k->b;
    Scoring s = {.a = a, .first = first_key};
    LVal one = l_i64(b, 1), carried[] = {l_sub(b, end, one), l_bool(b, false)};
    LFor loop = l_while(b, carried, 2);
    carried[1] = row_sees(k, a, &s, carried[0]);
    carried[0] = l_sub(b, carried[0], one);
    LVal again = l_bin(b, LOP_and, l_un(b, LOP_not, carried[1]), l_bin(b, LOP_le, begin, carried[0]));
    l_while_end(b, &loop, again, carried, 2);
    return carried[1];
}
