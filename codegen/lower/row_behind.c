/* row_behind.c: template `row` where rows are kept in scratch and results go past the caches (large softmax): each row is
 * stored while the next one is reduced.
 *
 * The pass that computes what is kept leaves the memory idle, and the pass that stores it does nothing else.  So the loop of
 * the first reduction that writes to scratch also stores the row before, at each place before that is overwritten; the row's
 * reductions are carried around the loop over rows until then.  The first row has nothing before it, the last is stored alone.
 * The operations are those of one row after the other.  Rows that are not kept are faster so: their passes read and write by
 * turns, which memory prefers to both at once.
 */
#include "row.h"

typedef struct Behind {
    Rows rows;               /* first: kernel state is a Rows too */
    Rows before;             /* the row that is stored */
    uint32_t n, pass;        /* reductions; the one at hand */
    uint32_t joined;         /* which one stores the row before */
    uint32_t fetching;       /* and which fetches the next */
    uint32_t *nodes;         /* of the reductions */
    LVal *values;            /* theirs, of the row reduced last */
} Behind;

bool row_stores_behind(Kernel *k, const Rows *r) {
    for (uint32_t i = 0; i < k->body->results.n; i++)
        if (!type_same_dims(val_type(k->body, k->body->results.at[i]), r->full)) return false;
    return k->stream && k->staged.n && !k->straight;
}

static void keep(Kernel *k, bool filled) {
    for (uint32_t i = 0; i < k->staged.n; i++) k->staged.at[i].filled = filled, k->staged.at[i].stored = false;
}

/* At the same place in the row before. */
static void store_before(Kernel *k, const Dim *at) {
    Behind *s = k->state;
    const Dim *row_at = k->row_at;
    Dim linear = k->row_offset;
    if (s->pass == s->fetching) row_fetch_next(k, at);
    k->state = &s->before, k->fetch = NULL;
    keep(k, true);
    for (uint32_t i = 0; i < k->body->results.n; i++) row_store_step(k, &(Pass){&s->before, i}, linear, NULL);
    keep(k, false);
    k->state = s, k->fetch = store_before;
    k->row_at = row_at, k->row_offset = linear;
}

/* stores: the row before as well.  That of the first row finds out with which reduction. */
static void reduce_row(Kernel *k, Behind *s, bool stores) {
    keep(k, false);
    for (s->pass = 0; s->pass < s->n; s->pass++) {
        row_values(k, &s->rows, s->nodes[s->pass]);
        k->fetch = stores && s->pass == s->joined ? store_before : s->pass == s->fetching ? row_fetch_next : NULL;
        s->values[s->pass] = kernel_eval(k, (Val){s->nodes[s->pass]}, s->rows.at);
        k->fetch = NULL;
        for (uint32_t i = 0; i < k->staged.n && !stores; i++)
            if (k->staged.at[i].stored && s->pass < s->joined) s->joined = s->pass;
        row_end_pass(k);
    }
}

/* The values of the row before, where its elements look for them. */
static void values_before(Kernel *k, Behind *s) {
    Dim at[MAX_RANK];
    for (uint32_t i = 0; i < s->n; i++) {
        Val v = {s->nodes[i]};
        if (!row_value_at(k, &s->before, v, at)) continue;
        EvalEntry entry = {v, arena_copy(k->arena, at, val_rank(k->body, v) * sizeof *at), (LVal){0}, s->values[i]};
        vec_push(k->arena, &k->memo, entry);
    }
    row_values(k, &s->before, k->body->nodes.n);
}

typedef struct RowScope { KernelScope outer, inner; Fact facts[MAX_RANK + 1]; } RowScope;

/* Row p, in at[] of rows; facts[n] are those about p. */
static void enter_row(Kernel *k, RowScope *s, Rows *rows, LVal p) {
    kernel_enter(k, &s->outer, NULL, 0);
    Dim index = kernel_index(k, p);
    s->facts[0] = (Fact){REL_LT, index, dim_product(k->cx, rows->full->dims, rows->outer)};
    kernel_split(k, index, rows->full->dims, rows->outer, rows->at, s->facts + 1);
    kernel_enter(k, &s->inner, s->facts, rows->outer + 1);
}

static void leave_row(Kernel *k, RowScope *s) {
    kernel_leave(k, &s->inner);
    kernel_leave(k, &s->outer);
}

static void rows_between(Kernel *k, Behind *s, LVal lo, LVal hi) {
    KernelLoop loop;
    KernelScope scope;
    Fact facts[2 * MAX_RANK];
    const TypeInfo *t = s->rows.full;
    uint32_t outer = s->rows.outer;
    LVal second = l_add(k->b, lo, l_i64(k->b, 1));
    Dim p = kernel_loop(k, &loop, second, hi, dim_product(k->cx, t->dims, outer), 1, s->values, s->n);
    kernel_split(k, p, t->dims, outer, s->rows.at, facts);
    kernel_split(k, dim_addi(k->cx, p, -1), t->dims, outer, s->before.at, facts + outer);
    kernel_enter(k, &scope, facts, 2 * outer);
    values_before(k, s);
    reduce_row(k, s, true);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, s->values, s->n);
}

void row_lower_behind(Kernel *k, const Rows *r, LVal lo, LVal hi) {
    const Graph *g = k->body;
    Behind s = {.rows = *r, .before = *r, .fetching = row_fetching_pass(k, r)};
    RowScope scope;
    s.nodes = arena_new_array(k->arena, uint32_t, g->nodes.n), s.values = arena_new_array(k->arena, LVal, g->nodes.n);
    for (uint32_t i = 1; i < g->nodes.n; i++)
        if (op_info[g->nodes.at[i].op].kind == KIND_REDUCE) s.nodes[s.n++] = i;
    s.joined = s.n - 1;
    LIf any = l_if(k->b, l_lt(k->b, lo, hi));
    k->state = &s;
    enter_row(k, &scope, &s.rows, lo);
    reduce_row(k, &s, false);
    leave_row(k, &scope);
    rows_between(k, &s, lo, hi);
    enter_row(k, &scope, &s.before, l_sub(k->b, hi, l_i64(k->b, 1)));
    values_before(k, &s);
    keep(k, true);
    k->state = &s.before;
    for (uint32_t i = 0; i < g->results.n; i++) {
        row_result(k, &s.before, i);
        row_end_pass(k);
    }
    leave_row(k, &scope);
    l_else(k->b, &any, NULL, 0);
    l_if_end(k->b, &any, NULL, 0, NULL);
}
