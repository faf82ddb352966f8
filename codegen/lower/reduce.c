/* reduce.c: reductions as loops inside one element.
 *
 * The order of additions is the node's attribute, never the schedule's choice: order 1 is one ascending chain; order 16
 * adds element i to lane i mod 16 and then the lanes by a fixed tree.  Lanes start from the identity, so that a masked tail
 * changes no bit.  Chains whose lanes lie apart are read along the chain, sixteen by sixteen, and transposed.  Windows run in
 * row-major order over the part that lies inside the input.
 */
#include "lower.h"
#include <string.h>

static bool is_sum(Op op) { return op == OP_reduce_sum || op == OP_window_sum; }
static bool is_max(Op op) { return op == OP_reduce_max || op == OP_window_max || op == OP_window_arg_max; }

LVal reduce_identity(Kernel *k, Op op, DType t, uint32_t lanes) {
    LType type = lt_vector(t, lanes);
    if (is_sum(op) || op == OP_reduce_prod) {
        double one = is_sum(op) ? 0 : 1;
        return dtype_is_float(t) ? l_float(k->b, type, one) : l_int(k->b, type, (int64_t)one);
    }
    if (dtype_is_float(t)) return l_float(k->b, type, is_max(op) ? -1.0 / 0.0 : 1.0 / 0.0);
    if (t == DT_bool) return l_int(k->b, type, !is_max(op));
    uint32_t bits = dtype_info[t].bits;
    if (!dtype_is_signed(t)) return l_int(k->b, type, is_max(op) ? 0 : -1);
    int64_t top = INT64_MAX >> (64 - bits);
    return l_int(k->b, type, is_max(op) ? -top - 1 : top);
}

LVal reduce_combine(Kernel *k, Op op, LVal a, LVal b) {
    bool bools = loop_type(k->b, a).dtype == DT_bool;
    if (is_sum(op)) return l_add(k->b, a, b);
    if (op == OP_reduce_prod) return l_mul(k->b, a, b);
    if (is_max(op)) return bools ? l_bin(k->b, LOP_or, a, b) : l_max(k->b, a, b);
    return bools ? l_bin(k->b, LOP_and, a, b) : l_min(k->b, a, b);
}

LVal reduce_lanes(Kernel *k, Op op, LVal v) {
    LType t = loop_type(k->b, v);
    if (t.lanes == 1) return v;
    bool bools = t.dtype == DT_bool;
    LOp tree = is_sum(op)                ? LOP_reduce_add
               : op == OP_reduce_prod    ? LOP_reduce_mul
               : is_max(op)              ? (bools ? LOP_reduce_or : LOP_reduce_max)
                                         : (bools ? LOP_reduce_and : LOP_reduce_min);
    return l_inst(k->b, tree, lt_scalar((DType)t.dtype), &v, 1, 0);
}

/* The largest and smallest f32 are found among unsigned keys in the same order, NaNs at the winning end: one instruction of
 * one cycle, where a comparison that minds NaN and the sign of 0 takes five in a row. */
static bool has_keys(Op op, DType compute) { return compute == DT_f32 && (op == OP_reduce_max || op == OP_reduce_min); }

static DType key_type(Op op, DType compute) { return has_keys(op, compute) ? DT_u32 : compute; }

/* Of the key where bits ascend with the value, the NaNs beyond the losing end go around to the winning one. */
static LVal key_turn(Kernel *k, Op op, LVal like) {
    int64_t nans = 0x7FFFFF;
    return l_int(k->b, loop_type(k->b, like), op == OP_reduce_max ? -nans : nans);
}

static LVal key_of(Kernel *k, Op op, LVal x) {
    LoopBuilder *b = k->b;
    if (!has_keys(op, (DType)loop_type(b, x).dtype)) return x;
    LVal bits = l_bitcast(b, x, DT_i32), sign = l_bin(b, LOP_shr, bits, l_int(b, loop_type(b, bits), 31));
    LVal flips = l_bin(b, LOP_or, sign, l_int(b, loop_type(b, bits), INT32_MIN));
    LVal ascending = l_bitcast(b, l_bin(b, LOP_xor, bits, flips), DT_u32);
    return l_add(b, ascending, key_turn(k, op, ascending));
}

static LVal value_of_key(Kernel *k, Op op, DType compute, LVal key) {
    LoopBuilder *b = k->b;
    if (!has_keys(op, compute)) return key;
    LVal bits = l_bitcast(b, l_sub(b, key, key_turn(k, op, key)), DT_i32);
    LVal sign = l_bin(b, LOP_shr, bits, l_int(b, loop_type(b, bits), 31));
    LVal flips = l_bin(b, LOP_or, l_un(b, LOP_not, sign), l_int(b, loop_type(b, bits), INT32_MIN));
    return l_bitcast(b, l_bin(b, LOP_xor, bits, flips), DT_f32);
}

typedef struct Reduction {
    Val operand;
    Op op;
    DType dtype;             /* of the result: each combination is rounded to it */
    Dim at[MAX_RANK];        /* operand's index; reduced axes are filled in by the loops */
    const int64_t *axes;
    uint32_t n_axes;
} Reduction;

/* To the result's format; keys are of that already. */
static LVal rounded(Kernel *k, const Reduction *r, LVal acc) {
    return has_keys(r->op, loop_compute_dtype(r->dtype)) ? acc : l_round(k->b, acc, r->dtype);
}

static void fill_axes(Kernel *k, Reduction *r, Dim linear) {
    const TypeInfo *t = val_type(k->body, r->operand);
    for (uint32_t i = r->n_axes; i-- > 0;) {
        Dim extent = t->dims[r->axes[i]];
        r->at[r->axes[i]] = i ? kernel_simplify(k, dim_mod(k->cx, linear, extent)) : linear;
        if (i) linear = kernel_simplify(k, dim_fdiv(k->cx, linear, extent));
    }
}

static void reduce_step(Kernel *k, void *user, Dim linear, LVal *acc) {
    Reduction *r = user;
    fill_axes(k, r, linear);
    if (k->staged.n || k->fetch) k->row_at = r->at, k->row_offset = linear;
    if (k->fetch) k->fetch(k, r->at);
    LVal x = kernel_eval(k, r->operand, r->at);
    LType t = loop_type(k->b, *acc);
    x = key_of(k, r->op, l_splat(k->b, x, t.lanes));
    if (k->mask.id) x = l_select(k->b, k->mask, x, reduce_identity(k, r->op, (DType)t.dtype, t.lanes));
    *acc = rounded(k, r, reduce_combine(k, r->op, *acc, x));
}

static Dim reduced_extent(Kernel *k, const Reduction *r) {
    Dim n = dim_const(k->cx, 1);
    for (uint32_t i = 0; i < r->n_axes; i++)
        n = dim_mul(k->cx, n, val_dim(k->body, r->operand, (uint32_t)r->axes[i]));
    return n;
}

static bool any_varies(Kernel *k, const Dim *at, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (kernel_varies(k, at[i])) return true;
    return false;
}

/* One chain per output lane: nested serial loops over the axes, outermost first. */
static void reduce_chain(Kernel *k, Reduction *r, uint32_t axis, LVal *acc) {
    if (axis == r->n_axes) {
        LVal x = kernel_eval(k, r->operand, r->at);
        x = key_of(k, r->op, l_splat(k->b, x, loop_type(k->b, *acc).lanes));
        *acc = rounded(k, r, reduce_combine(k, r->op, *acc, x));
        return;
    }
    Dim extent = val_dim(k->body, r->operand, (uint32_t)r->axes[axis]);
    KernelLoop loop;
    r->at[r->axes[axis]] = kernel_loop(k, &loop, l_i64(k->b, 0), kernel_dim(k, extent), extent, 1, acc, 1);
    reduce_chain(k, r, axis + 1, acc);
    kernel_loop_end(k, &loop, acc, 1);
}

/* ---- chains of sixteen rows ------------------------------------------------------------------------------------------ */

typedef struct Along { Kernel *k; Symbol axis; bool crosses, fine; } Along;

/* Contiguous along the reduced axis, or one number all along it; and not contiguous along the lanes. */
static void along_read(void *user, Val leaf, const Dim *at) {
    Along *s = user;
    Context *cx = s->k->cx;
    const TypeInfo *t = val_type(s->k->body, leaf);
    Dim offset = access_offset(cx, t->dims, at, t->rank), step, across, rest;
    bool source = op_info[val_op(s->k->body, leaf)].kind == KIND_SOURCE && t->encoding == ENCODING_DENSE;
    if (!source || !dim_affine(cx, offset, s->axis, &step, &rest) || !dim_affine(cx, offset, s->k->lane, &across, &rest)) {
        s->fine = false;
        return;
    }
    bool contiguous = dim_is(cx, step, 1);
    if (!contiguous && !dim_is(cx, step, 0)) s->fine = false;
    if (contiguous && dim_is(cx, across, 1)) s->fine = false;
    s->crosses |= contiguous && !dim_is(cx, across, 0);
}

static void along_choose(void *user, Fact when) {
    (void)when;
    ((Along *)user)->fine = false;
}

/* Lanes are rows that lie apart, so that a step along the chain would be a gather. */
static bool crosses_rows(Kernel *k, const Reduction *r, LVal acc) {
    LType t = loop_type(k->b, acc);
    if (r->n_axes != 1 || k->lanes != LANES || t.lanes != LANES || k->mask.id || dtype_bytes((DType)t.dtype) != 4) return false;
    Along s = {.k = k, .axis = index_symbol(k->cx, MAX_INDEX - 2), .fine = true};
    Dim at[MAX_RANK];
    memcpy(at, r->at, sizeof at);
    at[r->axes[0]] = dim_symbol(k->cx, s.axis);
    const Fact inside[] = {{REL_LT, at[r->axes[0]], val_dim(k->body, r->operand, (uint32_t)r->axes[0])}};
    Scope scope = {k->scope, inside, 1};
    Access access = {k->body, &scope, along_read, NULL, &s, 0, along_choose};
    return access_walk(&access, r->operand, at) && s.fine && s.crosses;
}

/* Sixteen elements of each of sixteen rows, transposed so that a lane is a row again, and added one after the other. */
static void chain_square(Kernel *k, const Reduction *r, Dim first, LVal *acc) {
    Context *cx = k->cx;
    LVal v[LANES];
    uint32_t axis = (uint32_t)r->axes[0];
    Dim place = dim_add(cx, first, dim_symbol(cx, k->lane)), at[MAX_RANK];
    const Fact inside[] = {{REL_LT, place, val_dim(k->body, r->operand, axis)}};
    KernelScope scope;
    kernel_enter(k, &scope, inside, 1);
    for (uint32_t l = 0; l < LANES; l++) {
        Dim row = dim_const(cx, l);
        for (uint32_t i = 0; i < val_rank(k->body, r->operand); i++)
            at[i] = i == axis ? place : kernel_simplify(k, dim_substitute(cx, r->at[i], &k->lane, &row, 1));
        v[l] = key_of(k, r->op, l_splat(k->b, kernel_eval(k, r->operand, at), LANES));
    }
    kernel_leave(k, &scope);
    lanes_transpose(k->b, v);
    for (uint32_t i = 0; i < LANES; i++) *acc = rounded(k, r, reduce_combine(k, r->op, *acc, v[i]));
}

static void reduce_rows_crossed(Kernel *k, Reduction *r, LVal *acc) {
    Context *cx = k->cx;
    uint32_t axis = (uint32_t)r->axes[0];
    Dim extent = val_dim(k->body, r->operand, axis), width = dim_const(cx, LANES);
    Dim full = dim_mul(cx, dim_fdiv(cx, extent, width), width);
    KernelLoop loop;
    LVal end = kernel_dim(k, full);
    Dim first = kernel_loop(k, &loop, l_i64(k->b, 0), end, dim_addi(cx, extent, 1 - LANES), LANES, acc, 1);
    chain_square(k, r, first, acc);
    kernel_loop_end(k, &loop, acc, 1);
    if (prove(cx, k->scope, REL_LE, extent, full) == YES) return;
    r->at[axis] = kernel_loop(k, &loop, end, kernel_dim(k, extent), extent, 1, acc, 1);
    reduce_chain(k, r, r->n_axes, acc);
    kernel_loop_end(k, &loop, acc, 1);
}

/* Lanes of the order for every lane of the vector: kept on the stack, a vector each, and combined by the same tree. */
static LVal reduce_lanes_of_vectors(Kernel *k, Reduction *r, DType acc, uint32_t order) {
    LoopBuilder *b = k->b;
    LVal store = l_alloc(b, acc, (int64_t)order * k->lanes), identity = reduce_identity(k, r->op, acc, k->lanes);
    for (uint32_t i = 0; i < order; i++) l_store(b, store, l_i64(b, (int64_t)i * k->lanes), identity, (LVal){0});
    Dim extent = reduced_extent(k, r);
    KernelLoop loop;
    Dim i = kernel_loop(k, &loop, l_i64(b, 0), kernel_dim(k, extent), extent, 1, NULL, 0);
    fill_axes(k, r, i);
    LVal x = key_of(k, r->op, l_splat(b, kernel_eval(k, r->operand, r->at), k->lanes));
    LVal slot = l_mul(b, l_bin(b, LOP_and, kernel_dim(k, i), l_i64(b, order - 1)), l_i64(b, k->lanes));
    LVal sum = reduce_combine(k, r->op, l_load(b, store, slot, k->lanes, (LVal){0}), x);
    l_store(b, store, slot, rounded(k, r, sum), (LVal){0});
    kernel_loop_end(k, &loop, NULL, 0);
    LVal lanes[MAX_ORDER];
    _Static_assert(MAX_ORDER <= MAX_LANES, "an order is also a vector");
    for (uint32_t l = 0; l < order; l++) lanes[l] = l_load(b, store, l_i64(b, (int64_t)l * k->lanes), k->lanes, (LVal){0});
    for (uint32_t half = order / 2; half; half /= 2)
        for (uint32_t l = 0; l < half; l++) lanes[l] = reduce_combine(k, r->op, lanes[l], lanes[l + half]);
    return rounded(k, r, lanes[0]);
}

static Reduction reduction_of(Kernel *k, Val v, const Dim *at) {
    const Node *n = node(k->body, v);
    Reduction r = {.operand = n->in[0], .op = n->op, .dtype = type_info(k->cx, n->type)->dtype};
    r.axes = attr_ints(n, ATTR_axes, &r.n_axes);
    uint32_t rank = val_rank(k->body, r.operand);
    for (uint32_t i = 0, next = 0, kept = 0; i < rank; i++) {
        bool reduced = next < r.n_axes && r.axes[next] == i;
        if (reduced) next++;
        else r.at[i] = at[kept++];
    }
    return r;
}

static LVal accumulate_row(Kernel *k, Reduction *r, uint32_t order) {
    LVal acc = reduce_identity(k, r->op, key_type(r->op, loop_compute_dtype(r->dtype)), order), mask = k->mask;
    Symbol lane = k->lane;
    k->mask = (LVal){0}, k->lane = lane_symbol(k->cx, order);
    kernel_vector_loop(k, reduced_extent(k, r), order, &acc, 1, reduce_step, r);
    k->mask = mask, k->lane = lane;
    return acc;
}

LVal reduce_accumulate(Kernel *k, Val v, const Dim *at) {
    Reduction r = reduction_of(k, v, at);
    return accumulate_row(k, &r, LANES);
}

LVal reduce_nothing(Kernel *k, Val v) {
    Op op = val_op(k->body, v);
    return reduce_identity(k, op, key_type(op, loop_compute_dtype(val_dtype(k->body, v))), LANES);
}

LVal reduce_take(Kernel *k, Val v, LVal sums, LVal x) {
    Reduction r = {.op = val_op(k->body, v), .dtype = val_dtype(k->body, v)};
    return rounded(k, &r, reduce_combine(k, r.op, sums, key_of(k, r.op, x)));
}

LVal reduce_finished(Kernel *k, Val v, LVal combined) {
    Reduction r = {.op = val_op(k->body, v), .dtype = val_dtype(k->body, v)};
    return value_of_key(k, r.op, loop_compute_dtype(r.dtype), rounded(k, &r, combined));
}

static LVal reduce_axes(Kernel *k, Val v, const Dim *at) {
    const Node *n = node(k->body, v);
    Reduction r = reduction_of(k, v, at);
    DType compute = loop_compute_dtype(r.dtype), key = key_type(r.op, compute);
    int64_t order = attr_int(n, ATTR_order);
    bool varies = any_varies(k, at, val_rank(k->body, v));
    if (order == 1) {
        LVal acc = reduce_identity(k, r.op, key, varies ? k->lanes : 1), mask = k->mask;
        uint32_t lanes = k->lanes;
        if (!varies) k->lanes = 1, k->mask = (LVal){0};
        if (varies && crosses_rows(k, &r, acc)) reduce_rows_crossed(k, &r, &acc);
        else reduce_chain(k, &r, 0, &acc);
        k->lanes = lanes, k->mask = mask;
        return value_of_key(k, r.op, compute, acc);
    }
    if (varies) return value_of_key(k, r.op, compute, reduce_lanes_of_vectors(k, &r, key, (uint32_t)order));
    return reduce_finished(k, v, reduce_lanes(k, r.op, accumulate_row(k, &r, (uint32_t)order)));
}

/* ---- windows ------------------------------------------------------------------------------------------------------ */

typedef struct Window {
    const Node *node;
    const int64_t *window, *stride, *dilation;
    const Dim *low;
    const Dim *at;           /* of the result */
    Dim in[MAX_RANK];
    uint32_t rank;
    Op op;                   /* the reduction of the same meaning */
    uint32_t carried;        /* 1: the reduction; 2: arg: the largest and its flat index, -1 where there is none yet */
    DType dtype;
} Window;

static void window_axis(Kernel *k, Window *w, uint32_t axis, LVal *acc);

/* One position of an axis that the lanes lie along: where it is outside the input it is masked, not skipped. */
static void window_tap_masked(Kernel *k, Window *w, uint32_t axis, Dim at, LVal *acc) {
    Fact inside[] = {{REL_LE, dim_const(k->cx, 0), at}, {REL_LT, at, val_dim(k->body, w->node->in[0], axis)}};
    LVal ok = l_bin(k->b, LOP_and, kernel_fact(k, inside[0]), kernel_fact(k, inside[1]));
    ok = l_splat(k->b, ok, k->lanes);
    LVal outer = k->mask, before[2] = {acc[0], acc[w->carried - 1]};
    KernelScope scope;
    kernel_enter(k, &scope, inside, 2);
    k->mask = outer.id ? l_bin(k->b, LOP_and, outer, ok) : ok;
    w->in[axis] = at;
    window_axis(k, w, axis + 1, acc);
    k->mask = outer;
    kernel_leave(k, &scope);
    for (uint32_t i = 0; i < w->carried; i++) acc[i] = l_select(k->b, ok, acc[i], before[i]);
}

/* A small window is straight-line code; the outer axes of a larger one are loops, so that code stays small. */
static void window_axis_masked(Kernel *k, Window *w, uint32_t axis, Dim base, LVal *acc) {
    enum { STRAIGHT_TAPS = 64 };
    Context *cx = k->cx;
    int64_t n = w->window[axis], step = w->dilation[axis], taps = 1;
    for (uint32_t i = axis; i < w->rank && taps <= STRAIGHT_TAPS; i++)
        if (!ck_mul(taps, w->window[i], &taps)) taps = INT64_MAX;
    if (taps <= STRAIGHT_TAPS) {
        for (int64_t j = 0; j < n; j++) window_tap_masked(k, w, axis, dim_addi(cx, base, j * step), acc);
        return;
    }
    KernelLoop loop;
    Dim j = kernel_loop(k, &loop, l_i64(k->b, 0), l_i64(k->b, n), dim_const(cx, n), 1, acc, w->carried);
    window_tap_masked(k, w, axis, dim_add(cx, base, dim_muli(cx, j, step)), acc);
    kernel_loop_end(k, &loop, acc, w->carried);
}

/* The first largest wins, and a NaN against all but an earlier NaN. */
static void window_arg_step(Kernel *k, Window *w, LVal x, LVal *acc) {
    LoopBuilder *b = k->b;
    const TypeInfo *t = val_type(k->body, w->node->in[0]);
    Dim offset = kernel_simplify(k, access_offset(k->cx, t->dims, w->in, t->rank));
    LVal place = kernel_varies(k, offset) ? kernel_dim_lanes(k, offset) : kernel_dim(k, offset);
    LVal wins = l_bin(b, LOP_or, l_lt(b, acc[0], x), l_lt(b, acc[1], l_i64(b, 0)));
    if (dtype_is_float((DType)loop_type(b, x).dtype))
        wins = l_bin(b, LOP_or, wins, l_bin(b, LOP_and, l_bin(b, LOP_ne, x, x), l_bin(b, LOP_eq, acc[0], acc[0])));
    acc[0] = l_select(b, wins, x, acc[0]);
    acc[1] = l_select(b, wins, l_splat(b, place, loop_type(b, acc[1]).lanes), acc[1]);
}

/* Positions [begin, end) of the window along an axis, all of which lie inside the input. */
static void window_loop(Kernel *k, Window *w, uint32_t axis, Dim base, LVal *acc) {
    Context *cx = k->cx;
    Dim step = dim_const(cx, w->dilation[axis]), zero = dim_const(cx, 0), extent = val_dim(k->body, w->node->in[0], axis);
    LVal begin = kernel_dim(k, kernel_simplify(k, dim_max(cx, zero, dim_cdiv(cx, dim_sub(cx, zero, base), step))));
    Dim last = dim_min(cx, dim_const(cx, w->window[axis]), dim_cdiv(cx, dim_sub(cx, extent, base), step));
    LVal end = kernel_dim(k, kernel_simplify(k, last));
    KernelLoop loop;
    Dim j = kernel_loop(k, &loop, begin, end, dim_const(cx, w->window[axis]), 1, acc, w->carried);
    w->in[axis] = dim_add(cx, base, dim_mul(cx, j, step));
    Fact inside[] = {{REL_LE, zero, w->in[axis]}, {REL_LT, w->in[axis], extent}};
    KernelScope scope;
    kernel_enter(k, &scope, inside, 2);
    window_axis(k, w, axis + 1, acc);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, acc, w->carried);
}

/* The same, written out where the window is small and lies inside the input as a whole. */
static void window_axis_inside(Kernel *k, Window *w, uint32_t axis, Dim base, LVal *acc) {
    enum { STRAIGHT_TAPS = 9 };
    Context *cx = k->cx;
    int64_t taps = 1;
    for (uint32_t i = axis; i < w->rank && taps <= STRAIGHT_TAPS; i++) taps = sat_mul(taps, w->window[i]);
    if (taps > STRAIGHT_TAPS) {
        window_loop(k, w, axis, base, acc);
        return;
    }
    Dim last = dim_addi(cx, base, (w->window[axis] - 1) * w->dilation[axis]);
    Fact whole[] = {{REL_LE, dim_const(cx, 0), base}, {REL_LT, last, val_dim(k->body, w->node->in[0], axis)}};
    LVal ok = l_bin(k->b, LOP_and, kernel_fact(k, whole[0]), kernel_fact(k, whole[1]));
    LVal before[2] = {acc[0], acc[w->carried - 1]};
    int64_t known = 0;
    bool always = loop_const_int(k->b, ok, &known) && known;
    KernelScope scope;
    LIf branch = {0};
    if (!always) branch = l_if(k->b, ok);
    kernel_enter(k, &scope, whole, 2);
    for (int64_t j = 0; j < w->window[axis]; j++) {
        w->in[axis] = dim_addi(cx, base, j * w->dilation[axis]);
        window_axis(k, w, axis + 1, acc);
    }
    kernel_leave(k, &scope);
    if (always) return;
    l_else(k->b, &branch, acc, w->carried);
    window_loop(k, w, axis, base, before);
    l_if_end(k->b, &branch, before, w->carried, acc);
}

static void window_axis(Kernel *k, Window *w, uint32_t axis, LVal *acc) {
    Context *cx = k->cx;
    if (axis == w->rank) {
        LVal x = l_splat(k->b, kernel_eval(k, w->node->in[0], w->in), loop_type(k->b, *acc).lanes);
        if (w->carried == 2) window_arg_step(k, w, x, acc);
        else if (has_keys(w->op, w->dtype)) *acc = reduce_combine(k, w->op, *acc, key_of(k, w->op, x));
        else *acc = l_round(k->b, reduce_combine(k, w->op, *acc, x), w->dtype);
        return;
    }
    Dim base = dim_sub(cx, dim_muli(cx, w->at[axis], w->stride[axis]), w->low[axis]);
    if (w->window[axis] == 1 && w->stride[axis] == 1 && dim_is(cx, w->low[axis], 0)) {
        w->in[axis] = w->at[axis];
        window_axis(k, w, axis + 1, acc);
        return;
    }
    if (kernel_varies(k, base)) {
        window_axis_masked(k, w, axis, base, acc);
        return;
    }
    window_axis_inside(k, w, axis, base, acc);
}

static LVal reduce_window(Kernel *k, const Node *n, const Dim *at) {
    bool arg = n->op == OP_window_arg_max;
    Op op = is_sum(n->op) ? OP_reduce_sum : OP_reduce_max;
    Window w = {.node = n, .at = at, .op = op, .carried = arg ? 2 : 1};
    w.window = attr_ints(n, ATTR_window, &w.rank);
    w.stride = attr_ints(n, ATTR_stride, NULL);
    w.dilation = attr_ints(n, ATTR_dilation, NULL);
    w.low = attr_dims(n, ATTR_low, NULL);
    w.dtype = val_dtype(k->body, n->in[0]);
    uint32_t lanes = any_varies(k, at, w.rank) ? k->lanes : 1;
    DType compute = loop_compute_dtype(w.dtype), key = arg || !has_keys(op, w.dtype) ? compute : key_type(op, compute);
    LVal acc[2] = {reduce_identity(k, op, key, lanes), l_int(k->b, lt_vector(DT_i64, lanes), -1)};
    window_axis(k, &w, 0, acc);
    if (arg) return l_max(k->b, acc[1], l_int(k->b, lt_vector(DT_i64, lanes), 0));
    return key == compute ? acc[0] : value_of_key(k, op, compute, acc[0]);
}

LVal kernel_reduce(Kernel *k, Val v, const Dim *at) {
    const Node *n = node(k->body, v);
    return node_attr(n, ATTR_window) ? reduce_window(k, n, at) : reduce_axes(k, v, at);
}
