/* row.c: template `row`: reductions over the innermost axes with everything pointwise around them (softmax, norms,
 * log-sum-exp, means), one row after the other.
 *
 * The outer axes are the parallel range.  Per row, every reduction of the body runs once, in order, as a vector loop over
 * the row; its value is then a scalar that later passes share.  Nodes that schedule field `stage` names are written to
 * scratch by the first pass that computes them and read by later ones.  Invariant (pass fuse): all reductions of the body
 * reduce exactly the axes after the outer ones, and every result has the outer dims, outer ++ inner dims, or outer ++ ones.
 */
#include "lower.h"
#include <string.h>

/* The first reduction gives the split: its operand's dims are outer ++ inner. */
static const Node *first_reduction(Kernel *k) {
    for (uint32_t i = 1; i < k->body->nodes.n; i++)
        if (op_info[k->body->nodes.at[i].op].kind == KIND_REDUCE && node_attr(&k->body->nodes.at[i], ATTR_axes)) return &k->body->nodes.at[i];
    diag_fatal(k->cx, "schedule: template row without a reduction");
}

typedef struct Rows {
    const TypeInfo *full;
    uint32_t outer;          /* number of outer axes */
    Dim inner;               /* extent of a row */
    Dim at[MAX_RANK];
} Rows;

static Rows rows_of(Kernel *k) {
    const Node *n = first_reduction(k);
    Rows r = {.full = val_type(k->body, n->in[0])};
    uint32_t axes;
    attr_ints(n, ATTR_axes, &axes);
    r.outer = r.full->rank - axes;
    r.inner = dim_product(k->cx, r.full->dims + r.outer, axes);
    return r;
}

Dim range_row(Kernel *k) {
    Rows r = rows_of(k);
    return dim_product(k->cx, r.full->dims, r.outer);
}

static Dim staged_bytes(Kernel *k, Dim inner, Val v) {
    int64_t each = dtype_bytes(loop_compute_dtype(val_dtype(k->body, v)));
    Dim bytes = dim_muli(k->cx, dim_upper(k->cx, inner), each);
    return dim_muli(k->cx, dim_cdiv(k->cx, bytes, dim_const(k->cx, 64)), 64);
}

Dim scratch_row(Kernel *k) {
    Rows r = rows_of(k);
    Dim total = dim_const(k->cx, 0);
    for (uint32_t i = 1; i < k->body->nodes.n && i < 63; i++)
        if (k->schedule->field[SCHED_stage] >> i & 1) total = dim_add(k->cx, total, staged_bytes(k, r.inner, (Val){i}));
    return total;
}

static void place_staged(Kernel *k, Dim inner) {
    Dim at = dim_const(k->cx, 0);
    for (uint32_t i = 1; i < k->body->nodes.n && i < 63; i++) {
        if (!(k->schedule->field[SCHED_stage] >> i & 1)) continue;
        LType type = lt_pointer(loop_compute_dtype(val_dtype(k->body, (Val){i})));
        LVal base = l_offset(k->b, k->scratch, kernel_dim(k, at));
        StagedRow s = {.node = {i}, .pointer = l_inst(k->b, LOP_recast, type, &base, 1, 0)};
        vec_push(k->arena, &k->staged, s);
        at = dim_add(k->cx, at, staged_bytes(k, inner, (Val){i}));
    }
}

static void end_pass(Kernel *k) {
    for (uint32_t i = 0; i < k->staged.n; i++) k->staged.at[i].filled |= k->staged.at[i].stored;
    k->row_at = NULL;
}

typedef struct Pass { Rows *rows; uint32_t result; } Pass;

static void store_step(Kernel *k, void *user, Dim linear, LVal *carried) {
    Pass *p = user;
    Rows *r = p->rows;
    (void)carried;
    row_index(k, linear);
    Val v = k->body->results.at[p->result];
    Dim offset = access_offset(k->cx, r->full->dims, k->row_at, r->full->rank);
    kernel_store(k, k->outputs[p->result], val_dtype(k->body, v), offset, kernel_eval(k, v, k->row_at));
}

/* Sets row_at to the element `linear` of the row. */
void row_index(Kernel *k, Dim linear) {
    Rows *r = k->state;
    k->row_offset = linear;
    for (uint32_t i = r->full->rank; i-- > r->outer;) {
        bool first = i == r->outer;
        r->at[i] = first ? linear : kernel_simplify(k, dim_mod(k->cx, linear, r->full->dims[i]));
        if (!first) linear = kernel_simplify(k, dim_fdiv(k->cx, linear, r->full->dims[i]));
    }
    k->row_at = r->at;
}

static void lower_one_row(Kernel *k, Rows *r) {
    const Graph *g = k->body;
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        if (op_info[g->nodes.at[i].op].kind != KIND_REDUCE) continue;
        kernel_eval(k, (Val){i}, r->at);
        end_pass(k);
    }
    for (uint32_t i = 0; i < g->results.n; i++) {
        Val v = g->results.at[i];
        const TypeInfo *t = val_type(g, v);
        if (t->rank == r->full->rank && memcmp(t->dims, r->full->dims, t->rank * sizeof *t->dims) == 0) {
            Pass pass = {r, i};
            kernel_vector_loop(k, r->inner, LANES, NULL, 0, store_step, &pass);
            end_pass(k);
            continue;
        }
        Dim at[MAX_RANK]; /* one value a row; axes of extent 1 may follow the outer ones */
        for (uint32_t d = 0; d < t->rank; d++) at[d] = d < r->outer ? r->at[d] : dim_const(k->cx, 0);
        kernel_store(k, k->outputs[i], t->dtype, access_offset(k->cx, t->dims, at, t->rank), kernel_eval(k, v, at));
    }
}

void lower_row(Kernel *k, LVal lo, LVal hi) {
    Rows r = rows_of(k);
    k->state = &r;
    k->lane = lane_symbol(k->cx, LANES);
    if (k->scratch.id) place_staged(k, r.inner);
    KernelLoop loop;
    Dim p = kernel_loop(k, &loop, lo, hi, dim_product(k->cx, r.full->dims, r.outer), 1, NULL, 0);
    KernelScope scope;
    Fact facts[MAX_RANK];
    kernel_split(k, p, r.full->dims, r.outer, r.at, facts);
    kernel_enter(k, &scope, facts, r.outer);
    lower_one_row(k, &r);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
}
