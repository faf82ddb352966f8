/* row.c: template `row`: reductions over the innermost axes with everything pointwise around them (softmax, norms,
 * log-sum-exp, means).
 *
 * The outer axes are the parallel range.  Per row, every reduction of the body runs once, in order, as a vector loop over
 * the row; its value is then a scalar that later passes share.  Nodes that schedule field `stage` names are written to
 * scratch by the first pass that computes them and read by later ones.  Short rows (schedule field tile_m is 16) go sixteen
 * at a time, every pass through all of them: their lanes are then transposed and combined together, by the same tree, and
 * the latency of one row's reduction hides behind the others'.  Invariant (pass fuse): all reductions of the body reduce
 * exactly the axes after the outer ones, and every result has the outer dims, outer ++ inner dims, or outer ++ ones.
 */
#include "row.h"

enum { NEAR = 4096 /* elements of a row that lie in the first cache beside the next */ };

/* The first reduction gives the split: its operand's dims are outer ++ inner. */
static const Node *first_reduction(Kernel *k) {
    for (uint32_t i = 1; i < k->body->nodes.n; i++)
        if (op_info[k->body->nodes.at[i].op].kind == KIND_REDUCE && node_attr(&k->body->nodes.at[i], ATTR_axes))
            return &k->body->nodes.at[i];
    diag_fatal(k->cx, "schedule: template row without a reduction");
}

static Rows rows_of(Kernel *k) {
    const Node *n = first_reduction(k);
    Rows r = {.full = val_type(k->body, n->in[0])};
    uint32_t axes;
    attr_ints(n, ATTR_axes, &axes);
    r.outer = r.full->rank - axes;
    r.inner = dim_product(k->cx, r.full->dims + r.outer, axes);
    return r;
}

/* Rows of a batch: the lanes of sixteen rows are one square. */
static bool is_batched(Kernel *k) {
    const Graph *g = k->body;
    for (uint32_t i = 1; i < g->nodes.n; i++)
        if (op_info[g->nodes.at[i].op].kind == KIND_REDUCE && attr_int(&g->nodes.at[i], ATTR_order) != LANES) return false;
    return k->schedule->field[SCHED_tile_m] == LANES;
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
    if (is_batched(k)) total = dim_muli(k->cx, total, LANES);
    return total;
}

static void place_staged(Kernel *k, Dim inner, int64_t rows) {
    Dim at = dim_const(k->cx, 0);
    for (uint32_t i = 1; i < k->body->nodes.n && i < 63; i++) {
        if (!(k->schedule->field[SCHED_stage] >> i & 1)) continue;
        LType type = lt_pointer(loop_compute_dtype(val_dtype(k->body, (Val){i})));
        LVal base = l_offset(k->b, k->scratch, kernel_dim(k, at));
        StagedRow s = {.node = {i}, .pointer = l_inst(k->b, LOP_recast, type, &base, 1, 0)};
        vec_push(k->arena, &k->staged, s);
        at = dim_add(k->cx, at, dim_muli(k->cx, staged_bytes(k, inner, (Val){i}), rows));
    }
}

void row_end_pass(Kernel *k) {
    for (uint32_t i = 0; i < k->staged.n; i++) k->staged.at[i].filled |= k->staged.at[i].stored;
    k->row_at = NULL;
}

void row_store_step(Kernel *k, void *user, Dim linear, LVal *carried) {
    Pass *p = user;
    Rows *r = p->rows;
    (void)carried;
    row_index(k, linear);
    if (k->fetch) k->fetch(k, k->row_at);
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

bool row_value_at(Kernel *k, const Rows *r, Val v, Dim *at) {
    const TypeInfo *t = val_type(k->body, v);
    if (t->dtype == DT_none || t->rank < r->outer) return false;
    for (uint32_t d = 0; d < t->rank; d++) {
        if (!(d < r->outer ? dim_same(t->dims[d], r->full->dims[d]) : dim_is(k->cx, t->dims[d], 1))) return false;
        at[d] = d < r->outer ? r->at[d] : dim_const(k->cx, 0);
    }
    return true;
}

void row_values(Kernel *k, const Rows *r, uint32_t end) {
    const Graph *g = k->body;
    bool *reduced = arena_new_array(k->arena, bool, g->nodes.n);
    Dim at[MAX_RANK];
    for (uint32_t i = 1; i < end; i++) {
        const Node *n = &g->nodes.at[i];
        reduced[i] = op_info[n->op].kind == KIND_REDUCE;
        for (uint32_t o = 0; o < n->n_in; o++) reduced[i] |= reduced[n->in[o].id];
        if (reduced[i] && op_info[n->op].kind == KIND_EW && row_value_at(k, r, (Val){i}, at)) kernel_eval(k, (Val){i}, at);
    }
}

void row_result(Kernel *k, Rows *r, uint32_t result) {
    Val v = k->body->results.at[result];
    const TypeInfo *t = val_type(k->body, v);
    Dim at[MAX_RANK];
    if (type_same_dims(t, r->full)) {
        Pass pass = {r, result};
        kernel_vector_loop(k, r->inner, LANES, NULL, 0, row_store_step, &pass);
    } else if (row_value_at(k, r, v, at)) {
        kernel_store(k, k->outputs[result], t->dtype, access_offset(k->cx, t->dims, at, t->rank), kernel_eval(k, v, at));
    } else {
        diag_fatal(k->cx, "schedule: result %u of a row kernel is neither a row nor one value of it", result);
    }
}

void row_fetch_next(Kernel *k, const Dim *at) {
    const Graph *g = k->body;
    const Rows *r = k->state;
    Dim whole = dim_product(k->cx, r->full->dims, r->full->rank),
        first = access_offset(k->cx, r->full->dims, at, r->full->rank);
    first = dim_add(k->cx, dim_substitute(k->cx, first, &k->lane, (Dim[]){dim_const(k->cx, 0)}, 1), r->inner);
    for (uint32_t i = 0; i < g->params.n && !k->mask.id; i++) {
        const TypeInfo *t = val_type(g, g->params.at[i]);
        if (t->encoding != ENCODING_DENSE || !dim_same(dim_product(k->cx, t->dims, t->rank), whole)) continue;
        for (uint32_t lane = 0; lane < k->lanes; lane += LANES) {
            LVal place = kernel_dim(k, kernel_simplify(k, dim_addi(k->cx, first, lane)));
            l_inst(k->b, LOP_prefetch, (LType){0}, (LVal[]){k->pointers[i], place}, 2, 0);
        }
    }
}

/* ---- one row after the other ------------------------------------------------------------------------------------------ */

/* The pass over a row during which the next is fetched, of one for each reduction and the one that stores: the last that
 * reduces, so that the stores have the memory for themselves; that which stores, where two rows fill the first cache and the
 * last reduction does not compute for longer than it reads. */
uint32_t row_fetching_pass(Kernel *k, const Rows *r) {
    const Graph *g = k->body;
    uint32_t passes = 0;
    bool stores = false;
    int64_t inner;
    for (uint32_t i = 1; i < g->nodes.n; i++) passes += op_info[g->nodes.at[i].op].kind == KIND_REDUCE;
    for (uint32_t i = 0; i < g->results.n; i++) stores |= type_same_dims(val_type(g, g->results.at[i]), r->full);
    bool is_short = dim_const_value(k->cx, r->inner, &inner) && inner <= NEAR;
    return stores && !is_short && !k->staged.n ? passes : passes - 1;
}

static void lower_single(Kernel *k, Rows *r, LVal lo, LVal hi) {
    const Graph *g = k->body;
    KernelLoop loop;
    KernelScope scope;
    Fact facts[MAX_RANK];
    Dim p = kernel_loop(k, &loop, lo, hi, dim_product(k->cx, r->full->dims, r->outer), 1, NULL, 0);
    kernel_split(k, p, r->full->dims, r->outer, r->at, facts);
    kernel_enter(k, &scope, facts, r->outer);
    uint32_t pass = 0, fetching = row_fetching_pass(k, r);
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        if (op_info[g->nodes.at[i].op].kind != KIND_REDUCE) continue;
        row_values(k, r, i);
        k->fetch = pass++ == fetching ? row_fetch_next : NULL;
        kernel_eval(k, (Val){i}, r->at);
        k->fetch = NULL;
        row_end_pass(k);
    }
    row_values(k, r, g->nodes.n);
    for (uint32_t i = 0; i < g->results.n; i++) {
        k->fetch = i + 1 == g->results.n && pass == fetching ? row_fetch_next : NULL;
        row_result(k, r, i);
        k->fetch = NULL;
        row_end_pass(k);
    }
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
}

/* ---- sixteen rows at a time ------------------------------------------------------------------------------------------- */

typedef struct Batch {
    Rows rows;               /* first: kernel state is a Rows too */
    Dim first;               /* row */
    LVal count, row;         /* rows of this batch; the current one's number in it */
    LVal *sums, *values;     /* by reduction: sixteen lanes a row; one value a row */
    LVal *staged;            /* by staged node: the first row's */
    bool *finished;          /* by reduction */
} Batch;

static LVal batch_anchor(Kernel *k, Val v, const Dim *at) {
    Batch *s = k->state;
    (void)at;
    return s->finished[v.id] ? l_load(k->b, s->values[v.id], s->row, 1, (LVal){0}) : (LVal){0};
}

typedef struct BatchLoop { KernelLoop loop; KernelScope scope; Fact facts[MAX_RANK + 1]; } BatchLoop;

/* Over the rows of the batch, with what the reductions before node `end` gave. */
static void begin_rows(Kernel *k, Batch *s, BatchLoop *l, uint32_t end) {
    Rows *r = &s->rows;
    Dim u = kernel_loop(k, &l->loop, l_i64(k->b, 0), s->count, dim_const(k->cx, LANES), 1, NULL, 0);
    Dim p = dim_add(k->cx, s->first, u);
    l->facts[0] = (Fact){REL_LT, p, dim_product(k->cx, r->full->dims, r->outer)};
    kernel_split(k, p, r->full->dims, r->outer, r->at, l->facts + 1);
    kernel_enter(k, &l->scope, l->facts, r->outer + 1);
    s->row = kernel_dim(k, u);
    for (uint32_t i = 0; i < k->staged.n; i++) {
        Dim pitch = dim_fdiv(k->cx, staged_bytes(k, r->inner, k->staged.at[i].node),
                             dim_const(k->cx, dtype_bytes(loop_compute_dtype(val_dtype(k->body, k->staged.at[i].node)))));
        k->staged.at[i].pointer = l_offset(k->b, s->staged[i], kernel_dim(k, dim_mul(k->cx, u, pitch)));
    }
    row_values(k, r, end);
}

static void end_rows(Kernel *k, BatchLoop *l) {
    kernel_leave(k, &l->scope);
    kernel_loop_end(k, &l->loop, NULL, 0);
    row_end_pass(k);
}

/* Lane by lane over the rows, transposed so that a lane is a row. */
static void combine_rows(Kernel *k, Batch *s, uint32_t reduction) {
    LVal v[LANES];
    Op op = k->body->nodes.at[reduction].op;
    for (uint32_t i = 0; i < LANES; i++) v[i] = l_load(k->b, s->sums[reduction], l_i64(k->b, i * LANES), LANES, (LVal){0});
    lanes_transpose(k->b, v);
    for (uint32_t half = LANES / 2; half; half /= 2)
        for (uint32_t i = 0; i < half; i++) v[i] = reduce_combine(k, op, v[i], v[i + half]);
    l_store(k->b, s->values[reduction], l_i64(k->b, 0), reduce_finished(k, (Val){reduction}, v[0]), (LVal){0});
    s->finished[reduction] = true;
}

static void lower_batch(Kernel *k, Batch *s) {
    const Graph *g = k->body;
    BatchLoop loop;
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        if (op_info[g->nodes.at[i].op].kind != KIND_REDUCE) continue;
        begin_rows(k, s, &loop, i);
        LVal sums = reduce_accumulate(k, (Val){i}, s->rows.at);
        l_store(k->b, s->sums[i], l_mul(k->b, s->row, l_i64(k->b, LANES)), sums, (LVal){0});
        end_rows(k, &loop);
        combine_rows(k, s, i);
    }
    for (uint32_t i = 0; i < g->results.n; i++) {
        begin_rows(k, s, &loop, g->nodes.n);
        row_result(k, &s->rows, i);
        end_rows(k, &loop);
    }
}

static void lower_batched(Kernel *k, const Rows *r, LVal lo, LVal hi) {
    const Graph *g = k->body;
    LoopBuilder *b = k->b;
    Batch s = {.rows = *r};
    KernelLoop loop;
    s.sums = arena_new_array(k->arena, LVal, g->nodes.n), s.values = arena_new_array(k->arena, LVal, g->nodes.n);
    s.finished = arena_new_array(k->arena, bool, g->nodes.n), s.staged = arena_new_array(k->arena, LVal, k->staged.n + 1);
    for (uint32_t i = 0; i < k->staged.n; i++) s.staged[i] = k->staged.at[i].pointer;
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        if (op_info[g->nodes.at[i].op].kind != KIND_REDUCE) continue;
        LVal none = reduce_nothing(k, (Val){i});
        s.sums[i] = l_alloc(b, (DType)loop_type(b, none).dtype, LANES * LANES);
        s.values[i] = l_alloc(b, loop_compute_dtype(val_dtype(g, (Val){i})), LANES);
        /* The last batch may have fewer rows; all of the square is read. */
        for (uint32_t u = 0; u < LANES; u++) l_store(b, s.sums[i], l_i64(b, u * LANES), none, (LVal){0});
    }
    k->state = &s, k->anchor = batch_anchor;
    s.first = kernel_loop(k, &loop, lo, hi, dim_product(k->cx, r->full->dims, r->outer), LANES, NULL, 0);
    s.count = l_min(b, l_i64(b, LANES), l_sub(b, hi, kernel_dim(k, s.first)));
    lower_batch(k, &s);
    kernel_loop_end(k, &loop, NULL, 0);
}

void lower_row(Kernel *k, LVal lo, LVal hi) {
    Rows r = rows_of(k);
    int64_t inner;
    k->state = &r;
    k->straight = dim_const_value(k->cx, r.inner, &inner) && inner <= k->schedule->field[SCHED_vectors] * LANES;
    k->lane = lane_symbol(k->cx, LANES);
    bool batched = is_batched(k);
    if (k->scratch.id) place_staged(k, r.inner, batched ? LANES : 1);
    if (batched) lower_batched(k, &r, lo, hi);
    else if (row_stores_behind(k, &r)) row_lower_behind(k, &r, lo, hi);
    else lower_single(k, &r, lo, hi);
}
