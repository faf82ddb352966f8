/* order.c: templates along one axis, a line after the other: `arg`, `cumulate`, `top_k`; and `nonzero`.
 *
 * A line is a setting of all other axes; lines are the parallel range.  Within a line everything is scalar and in order, so
 * that ties, NaNs and rounding are those of the reference (ir/ops/anchor.c); but template top_k takes vectors where elements
 * fit keys (ranks.c).
 */
#include "order.h"

/* A schedule that comes from a text may name any template. */
static const Node *anchor_of(Kernel *k) {
    static const uint8_t served_by[OP_COUNT] = {
        [OP_arg_max] = TEMPLATE_arg, [OP_arg_min] = TEMPLATE_arg, [OP_cum_sum] = TEMPLATE_cumulate,
        [OP_cum_prod] = TEMPLATE_cumulate, [OP_top_k] = TEMPLATE_top_k, [OP_nonzero] = TEMPLATE_nonzero,
    };
    for (uint32_t i = 1; i < k->body->nodes.n; i++)
        if (served_by[k->body->nodes.at[i].op] == k->schedule->field[SCHED_template_]) return &k->body->nodes.at[i];
    diag_fatal(k->cx, "schedule: no operation of this kernel is one for template %s",
               template_name[k->schedule->field[SCHED_template_]]);
}

static void others(const Lines *l, Dim *dims) {
    for (uint32_t i = 0, n = 0; i < l->x->rank; i++)
        if (i != l->axis) dims[n++] = l->x->dims[i];
}

static Lines lines_of(Kernel *k) {
    Lines l = {.node = anchor_of(k)};
    l.x = val_type(k->body, l.node->in[0]);
    l.axis = (uint32_t)attr_int(l.node, ATTR_axis);
    return l;
}

static Dim line_count(Kernel *k) {
    Lines l = lines_of(k);
    Dim dims[MAX_RANK];
    others(&l, dims);
    return dim_product(k->cx, dims, l.x->rank - 1);
}

static void begin_lines(Kernel *k, Lines *l, LVal lo, LVal hi) {
    Dim dims[MAX_RANK], at[MAX_RANK];
    others(l, dims);
    k->lane = lane_symbol(k->cx, LANES);
    Dim p = kernel_loop(k, &l->loop, lo, hi, dim_product(k->cx, dims, l->x->rank - 1), 1, NULL, 0);
    kernel_split(k, p, dims, l->x->rank - 1, at, l->facts);
    kernel_enter(k, &l->scope, l->facts, l->x->rank - 1);
    for (uint32_t i = 0, n = 0; i < l->x->rank; i++)
        if (i != l->axis) l->at[i] = at[n++];
}

static void end_lines(Kernel *k, Lines *l) {
    kernel_leave(k, &l->scope);
    kernel_loop_end(k, &l->loop, NULL, 0);
}

static LVal is_nan(LoopBuilder *b, LVal x) {
    return dtype_is_float((DType)loop_type(b, x).dtype) ? l_bin(b, LOP_ne, x, x) : l_bool(b, false);
}

/* x before y in the order; equal values are not. NaN is the largest. */
static LVal before(LoopBuilder *b, bool largest, LVal x, LVal y) {
    LVal nx = is_nan(b, x), ny = is_nan(b, y);
    LVal less = l_bin(b, LOP_and, l_lt(b, x, y), l_un(b, LOP_not, l_bin(b, LOP_or, nx, ny)));
    LVal more = l_bin(b, LOP_and, l_lt(b, y, x), l_un(b, LOP_not, l_bin(b, LOP_or, nx, ny)));
    if (largest) return l_bin(b, LOP_or, more, l_bin(b, LOP_and, nx, l_un(b, LOP_not, ny)));
    return l_bin(b, LOP_or, less, l_bin(b, LOP_and, ny, l_un(b, LOP_not, nx)));
}

/* ---- arg ------------------------------------------------------------------------------------------------------------- */

Dim range_arg(Kernel *k) { return line_count(k); }
Dim scratch_arg(Kernel *k) { return dim_const(k->cx, 0); }

void lower_arg(Kernel *k, LVal lo, LVal hi) {
    Lines l = lines_of(k);
    LoopBuilder *b = k->b;
    begin_lines(k, &l, lo, hi);
    l.at[l.axis] = dim_const(k->cx, 0);
    bool last = attr_int(l.node, ATTR_last), largest = l.node->op == OP_arg_max;
    LVal best[] = {kernel_eval(k, l.node->in[0], l.at), l_i64(b, 0)};
    KernelLoop loop;
    Dim extent = l.x->dims[l.axis], j = kernel_loop(k, &loop, l_i64(b, 1), kernel_dim(k, extent), extent, 1, best, 2);
    l.at[l.axis] = j;
    LVal x = kernel_eval(k, l.node->in[0], l.at);
    LVal worse = before(b, largest, best[0], x), better = before(b, largest, x, best[0]);
    LVal nan_wins = l_bin(b, LOP_and, is_nan(b, x), l_un(b, LOP_not, is_nan(b, best[0])));
    LVal nan_stays = l_bin(b, LOP_and, is_nan(b, best[0]), l_un(b, LOP_not, is_nan(b, x)));
    LVal take = last ? l_un(b, LOP_not, worse) : better;
    take = l_bin(b, LOP_and, l_bin(b, LOP_or, take, nan_wins), l_un(b, LOP_not, nan_stays));
    best[0] = l_select(b, take, x, best[0]);
    best[1] = l_select(b, take, kernel_dim(k, j), best[1]);
    kernel_loop_end(k, &loop, best, 2);
    Dim out[MAX_RANK];
    for (uint32_t i = 0, n = 0; i < l.x->rank; i++)
        if (i != l.axis) out[n++] = l.at[i];
    const TypeInfo *y = val_type(k->body, k->body->results.at[0]);
    kernel_store(k, k->outputs[0], DT_i64, access_offset(k->cx, y->dims, out, y->rank), best[1]);
    end_lines(k, &l);
}

/* ---- cumulate -------------------------------------------------------------------------------------------------------- */

Dim range_cumulate(Kernel *k) { return line_count(k); }
Dim scratch_cumulate(Kernel *k) { return dim_const(k->cx, 0); }

void lower_cumulate(Kernel *k, LVal lo, LVal hi) {
    Lines l = lines_of(k);
    LoopBuilder *b = k->b;
    begin_lines(k, &l, lo, hi);
    bool sum = l.node->op == OP_cum_sum, exclusive = attr_int(l.node, ATTR_exclusive);
    DType dtype = l.x->dtype, compute = loop_compute_dtype(dtype);
    LType type = lt_scalar(compute);
    LVal acc = dtype_is_float(compute) ? l_float(b, type, sum ? 0 : 1) : l_int(b, type, sum ? 0 : 1);
    KernelLoop loop;
    Dim extent = l.x->dims[l.axis], j = kernel_loop(k, &loop, l_i64(b, 0), kernel_dim(k, extent), extent, 1, &acc, 1);
    if (attr_int(l.node, ATTR_reverse)) j = dim_sub(k->cx, dim_addi(k->cx, extent, -1), j);
    l.at[l.axis] = j;
    LVal x = kernel_eval(k, l.node->in[0], l.at);
    LVal next = l_round(b, sum ? l_add(b, acc, x) : l_mul(b, acc, x), dtype);
    kernel_store(k, k->outputs[0], dtype, access_offset(k->cx, l.x->dims, l.at, l.x->rank), exclusive ? acc : next);
    acc = next;
    kernel_loop_end(k, &loop, &acc, 1);
    end_lines(k, &l);
}

/* ---- top_k ------------------------------------------------------------------------------------------------------------ */

Dim range_top_k(Kernel *k) { return line_count(k); }
Dim scratch_top_k(Kernel *k) {
    Lines l = lines_of(k);
    return ranks_by_keys(k, &l) ? ranks_scratch(k, &l) : dim_const(k->cx, 0);
}

typedef struct Ranking { Kernel *k; const Lines *l; const TypeInfo *y; Dim base, stride; DType dtype; } Ranking;

static LVal place(Ranking *r, LVal position) {
    LoopBuilder *b = r->k->b;
    return l_add(b, kernel_dim(r->k, r->base), l_mul(b, position, kernel_dim(r->k, r->stride)));
}

static LVal value_at(Ranking *r, LVal position) {
    LVal raw = l_load(r->k->b, r->k->outputs[0], place(r, position), 1, (LVal){0});
    return l_decode(r->k->b, raw, r->dtype);
}

static void put(Ranking *r, LVal position, LVal value, LVal index) {
    LoopBuilder *b = r->k->b;
    l_store(b, r->k->outputs[0], place(r, position), l_encode(b, value, r->dtype), (LVal){0});
    l_store(b, r->k->outputs[1], place(r, position), index, (LVal){0});
}

/* Insertion: the place of x among the `count` best so far, from behind; those after it move back, the last of k falls off. */
static void insert(Ranking *r, LVal x, LVal index, LVal count, LVal limit) {
    LoopBuilder *b = r->k->b;
    bool largest = attr_int(r->l->node, ATTR_largest);
    LVal zero = l_i64(b, 0), one = l_i64(b, 1), found = count;
    LVal again = l_lt(b, zero, count), results[1];
    LIf any = l_if(b, again);
    LVal position = count;
    LFor loop = l_while(b, &position, 1);
    LVal prior = l_sub(b, position, one), moves = before(b, largest, x, value_at(r, prior));
    LIf shift = l_if(b, l_bin(b, LOP_and, moves, l_lt(b, position, limit)));
    LVal old_index = l_load(b, r->k->outputs[1], place(r, prior), 1, (LVal){0});
    put(r, position, value_at(r, prior), old_index);
    l_else(b, &shift, NULL, 0);
    l_if_end(b, &shift, NULL, 0, NULL);
    position = l_select(b, moves, prior, position);
    LVal more = l_bin(b, LOP_and, moves, l_lt(b, zero, position));
    l_while_end(b, &loop, more, &position, 1);
    l_else(b, &any, &position, 1);
    l_if_end(b, &any, &found, 1, results);
    LIf fits = l_if(b, l_lt(b, results[0], limit));
    put(r, results[0], x, index);
    l_else(b, &fits, NULL, 0);
    l_if_end(b, &fits, NULL, 0, NULL);
}

/* Of many, the best so far lie in a heap, the last of them on top.  x comes after y; equal values: in the order of indices. */
static LVal after(Ranking *r, LVal x, LVal x_index, LVal y, LVal y_index) {
    LoopBuilder *b = r->k->b;
    bool largest = attr_int(r->l->node, ATTR_largest);
    LVal later = l_bin(b, LOP_and, l_un(b, LOP_not, before(b, largest, x, y)), l_lt(b, y_index, x_index));
    return l_bin(b, LOP_or, before(b, largest, y, x), later);
}

static LVal index_at(Ranking *r, LVal position) {
    return l_load(r->k->b, r->k->outputs[1], place(r, position), 1, (LVal){0});
}

/* x goes to position `hole` of the first `count`, or below it: what comes after x moves up. */
static void sift(Ranking *r, LVal x, LVal index, LVal hole, LVal count) {
    LoopBuilder *b = r->k->b;
    LVal one = l_i64(b, 1), at[2] = {hole};
    LFor loop = l_while(b, at, 1);
    LVal left = l_add(b, l_add(b, at[0], at[0]), one), moved[2], down[2], stays[] = {at[0], l_bool(b, false)};
    LIf below = l_if(b, l_lt(b, left, count));
    LVal right = l_min(b, l_add(b, left, one), l_sub(b, count, one));
    LVal value[] = {value_at(r, left), value_at(r, right)}, number[] = {index_at(r, left), index_at(r, right)};
    LVal second = after(r, value[1], number[1], value[0], number[0]);
    LVal child = l_select(b, second, right, left), top = l_select(b, second, value[1], value[0]);
    LVal top_index = l_select(b, second, number[1], number[0]);
    moved[0] = child, moved[1] = after(r, top, top_index, x, index);
    LIf moves = l_if(b, moved[1]);
    put(r, at[0], top, top_index);
    l_else(b, &moves, moved, 2);
    l_if_end(b, &moves, stays, 2, down);
    l_else(b, &below, down, 2);
    l_if_end(b, &below, stays, 2, at);
    l_while_end(b, &loop, at[1], at, 1);
    put(r, at[0], x, index);
}

/* The best `limit` of a line by a heap. */
static void rank_many(Ranking *r, Lines *l, LVal limit) {
    Kernel *k = r->k;
    LoopBuilder *b = k->b;
    Dim extent = l->x->dims[l->axis];
    LVal zero = l_i64(b, 0), one = l_i64(b, 1), end = kernel_dim(k, extent), count = l_min(b, limit, end), i;
    LVal half = l_bin(b, LOP_div, count, l_i64(b, 2));
    KernelLoop loop;
    l->at[l->axis] = kernel_loop(k, &loop, zero, count, extent, 1, NULL, 0);
    LVal index = kernel_dim(k, l->at[l->axis]);
    put(r, index, kernel_eval(k, l->node->in[0], l->at), index);
    kernel_loop_end(k, &loop, NULL, 0);

    LFor build = l_for(b, zero, half, 1, LOOP_SERIAL, NULL, 0, &i);
    LVal root = l_sub(b, l_sub(b, half, one), i);
    sift(r, value_at(r, root), index_at(r, root), root, count);
    l_for_end(b, &build, NULL, 0);

    LVal rest = l_select(b, l_lt(b, zero, count), end, zero); /* without a first there is none to compare with */
    l->at[l->axis] = kernel_loop(k, &loop, count, rest, extent, 1, NULL, 0);
    LVal x = kernel_eval(k, l->node->in[0], l->at);
    LIf better = l_if(b, before(b, attr_int(l->node, ATTR_largest), x, value_at(r, zero)));
    sift(r, x, kernel_dim(k, l->at[l->axis]), zero, count);
    l_else(b, &better, NULL, 0);
    l_if_end(b, &better, NULL, 0, NULL);
    kernel_loop_end(k, &loop, NULL, 0);

    LFor order = l_for(b, one, count, 1, LOOP_SERIAL, NULL, 0, &i);
    LVal last = l_sub(b, count, i), value = value_at(r, last), number = index_at(r, last);
    put(r, last, value_at(r, zero), index_at(r, zero));
    sift(r, value, number, zero, last);
    l_for_end(b, &order, NULL, 0);
}

/* The best `limit` of a line by keys; values are read again where they lie, so that they keep all of their bits. */
static void rank_by_keys(Ranking *r, Lines *l, LVal limit) {
    Kernel *k = r->k;
    LoopBuilder *b = k->b;
    LVal keys = ranks_of_line(k, l, limit), i;
    LFor each = l_for(b, l_i64(b, 0), limit, 1, LOOP_SERIAL, NULL, 0, &i);
    LVal index = l_bin(b, LOP_and, l_load(b, keys, i, 1, (LVal){0}), l_i64(b, UINT32_MAX));
    KernelScope outer, scope;
    kernel_enter(k, &outer, NULL, 0);
    l->at[l->axis] = kernel_index(k, index);
    kernel_enter(k, &scope, (Fact[]){{REL_LT, l->at[l->axis], l->x->dims[l->axis]}}, 1);
    put(r, i, kernel_eval(k, l->node->in[0], l->at), index);
    kernel_leave(k, &scope);
    kernel_leave(k, &outer);
    l_for_end(b, &each, NULL, 0);
}

void lower_top_k(Kernel *k, LVal lo, LVal hi) {
    enum { FEW = 24 /* by insertion, each of which moves half of them */ };
    Lines l = lines_of(k);
    LoopBuilder *b = k->b;
    begin_lines(k, &l, lo, hi);
    Ranking r = {.k = k, .l = &l, .y = val_type(k->body, k->body->results.at[0]), .dtype = l.x->dtype};
    Dim out[MAX_RANK];
    for (uint32_t i = 0; i < l.x->rank; i++) out[i] = i == l.axis ? dim_const(k->cx, 0) : l.at[i];
    r.base = access_offset(k->cx, r.y->dims, out, r.y->rank);
    r.stride = dim_product(k->cx, r.y->dims + l.axis + 1, r.y->rank - l.axis - 1);
    LVal limit = kernel_dim(k, attr_dim(l.node, ATTR_value));
    if (ranks_by_keys(k, &l)) {
        rank_by_keys(&r, &l, limit);
        end_lines(k, &l);
        return;
    }
    if (prove(k->cx, k->scope, REL_LE, attr_dim(l.node, ATTR_value), dim_const(k->cx, FEW)) != YES) {
        rank_many(&r, &l, limit);
        end_lines(k, &l);
        return;
    }
    KernelLoop loop;
    Dim extent = l.x->dims[l.axis], j = kernel_loop(k, &loop, l_i64(b, 0), kernel_dim(k, extent), extent, 1, NULL, 0);
    l.at[l.axis] = j;
    LVal index = kernel_dim(k, j);
    insert(&r, kernel_eval(k, l.node->in[0], l.at), index, l_min(b, index, limit), limit);
    kernel_loop_end(k, &loop, NULL, 0);
    end_lines(k, &l);
}

/* ---- nonzero ----------------------------------------------------------------------------------------------------------- */

Dim range_nonzero(Kernel *k) { return dim_const(k->cx, 1); }
Dim scratch_nonzero(Kernel *k) { return dim_const(k->cx, 0); }

/* One pass over all elements: counts where `extent` is 0, else writes the places. */
static LVal nonzero_pass(Kernel *k, const Node *n, LVal extent) {
    LoopBuilder *b = k->b;
    const TypeInfo *x = val_type(k->body, n->in[0]);
    Dim total = dim_product(k->cx, x->dims, x->rank), at[MAX_RANK];
    LVal count = l_i64(b, 0);
    KernelLoop loop;
    Dim p = kernel_loop(k, &loop, l_i64(b, 0), kernel_dim(k, total), total, 1, &count, 1);
    KernelScope scope;
    Fact facts[MAX_RANK];
    kernel_split(k, p, x->dims, x->rank, at, facts);
    kernel_enter(k, &scope, facts, x->rank);
    LVal v = kernel_eval(k, n->in[0], at);
    LType t = loop_type(b, v);
    LVal zero = dtype_is_float((DType)t.dtype) ? l_float(b, t, 0) : l_int(b, t, 0);
    LIf hit = l_if(b, l_bin(b, LOP_ne, v, zero));
    for (uint32_t i = 0; extent.id && i < x->rank; i++) {
        LVal row = l_mul(b, l_i64(b, i), extent);
        l_store(b, k->outputs[0], l_add(b, row, count), kernel_dim(k, at[i]), (LVal){0});
    }
    LVal more = l_add(b, count, l_i64(b, 1)), next;
    l_else(b, &hit, &more, 1);
    l_if_end(b, &hit, &count, 1, &next);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, &next, 1);
    return next;
}

void lower_nonzero(Kernel *k, LVal lo, LVal hi) {
    (void)lo, (void)hi;
    const Node *n = anchor_of(k);
    LVal extent = nonzero_pass(k, n, (LVal){0});
    /* A declared capacity may be below the number of elements. */
    const TypeInfo *x = val_type(k->body, n->in[0]);
    Dim capacity = dim_upper(k->cx, attr_dim(n, ATTR_extent));
    if (capacity.id && prove(k->cx, k->scope, REL_LE, dim_product(k->cx, x->dims, x->rank), capacity) != YES) {
        LVal limit = kernel_dim(k, capacity);
        kernel_fail(k, l_lt(k->b, limit, extent), INGOT_E_CAPACITY, l_i64(k->b, 0), extent, limit);
    }
    l_store(k->b, k->found, l_i64(k->b, 0), extent, (LVal){0});
    nonzero_pass(k, n, extent);
}
