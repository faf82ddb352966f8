/* rounds.c: which kernels of a graph run between the same barriers.
 *
 * A round is what runs between two barriers: one node, or kernels of which none needs what another of them makes; those behind
 * the first carry the attribute `together`.  Pass `together` makes rounds, pass `plan` keeps their memory apart, verify checks
 * them, the host program launches each at once.  Rounds are numbered from 1 in the order of the nodes; views, joins and
 * constants belong to none.
 */
#include "ir.h"

bool round_takes(Context *cx, const Node *n) {
    if (n->op != OP_kernel || node_finds(cx, n).id) return false;
    const Graph *body = attr_graph(n, ATTR_body);
    for (uint32_t i = 1; i < body->nodes.n; i++)
        if (op_info[body->nodes.at[i].op].traits & (FAILS | OVERWRITES)) return false;
    return true;
}

uint32_t round_needed(const Node *n, const uint32_t *round) {
    uint32_t last = 0;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (round[n->in[i].id] > last) last = round[n->in[i].id];
    return last;
}

bool round_begins(const Node *n) {
    return n->op == OP_kernel ? !node_attr(n, ATTR_together) : op_info[n->op].kind == KIND_CONTROL;
}

bool rounds_verify(const Graph *g) {
    uint32_t *round = arena_new_array(g->cx->arena, uint32_t, g->nodes.n), now = 0, members = 0;
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        const Node *n = &g->nodes.at[i];
        round[i] = round_needed(n, round);
        if (n->op != OP_kernel && op_info[n->op].kind != KIND_CONTROL) continue;
        bool fine = members && members < MAX_TOGETHER && round_takes(g->cx, n) && round[i] < now;
        if (!round_begins(n) && !fine) {
            diag_error(g->cx, n->loc,
                       "verify: kernel %%%u of '%s' cannot run together with the kernel before it: it may fail, needs what a "
                       "kernel beside it makes, or %d run together already", i, g->name, MAX_TOGETHER);
            return false;
        }
        members = !round_begins(n) ? members + 1 : round_takes(g->cx, n);
        now += round_begins(n);
        round[i] = now;
    }
    return true;
}
