/* ops_reduce.c: ONNX reductions, running sums, orderings and softmax.
 *
 * Axes come from an attribute or, from some opset on, from an input.  Where that input is only known while running, its
 * elements are bound as dims, every axis is reduced in turn, and a slice keeps the reduced or the old extent.
 */
#include "onnx.h"

static Val sum(Call *c, Val x, const int64_t *axes, uint32_t n, bool keep) {
    return reduce(c, OP_reduce_sum, x, axes, n, keep);
}

/* log sum e^x = m + log sum e^(x - m), m the largest; 0 where that is infinite. */
static Val log_sum_exp(Call *c, Val x, const int64_t *axes, uint32_t n, bool keep) {
    Val m = reduce(c, OP_reduce_max, x, axes, n, true);
    m = sel(c, ew1(c, OP_isinf, m), num(c, m, 0), m);
    Val total = ew1(c, OP_log, sum(c, ew1(c, OP_exp, ew2(c, OP_sub, x, m)), axes, n, keep));
    if (!keep && m.id) {
        Dims d = dims_of(c, total);
        m = shaped(c, m, &d);
    }
    return ew2(c, OP_add, total, m);
}

static Val reduce_kind(Call *c, Reduction kind, Val x, const int64_t *axes, uint32_t n, bool keep) {
    DType t = val_dtype(c->g, x);
    switch (kind) {
    case RED_SUM: return sum(c, x, axes, n, keep);
    case RED_MAX: return reduce(c, OP_reduce_max, x, axes, n, keep);
    case RED_MIN: return reduce(c, OP_reduce_min, x, axes, n, keep);
    case RED_PROD: return reduce(c, OP_reduce_prod, x, axes, n, keep);
    case RED_L1: return sum(c, ew1(c, OP_abs, x), axes, n, keep);
    case RED_SUM_SQUARE: return sum(c, ew2(c, OP_mul, x, x), axes, n, keep);
    case RED_LOG_SUM: return ew1(c, OP_log, sum(c, x, axes, n, keep));
    case RED_LOG_SUM_EXP: return log_sum_exp(c, x, axes, n, keep);
    case RED_MEAN:
        if (dtype_is_float(t)) return b_mean(c->g, c->loc, x, axes, n, keep);
        break;
    case RED_L2: {
        Val y = sum(c, ew2(c, OP_mul, x, x), axes, n, keep);
        return dtype_is_float(t) ? ew1(c, OP_sqrt, y) : to(c, ew1(c, OP_sqrt, to(c, y, DT_f64)), t);
    }
    }
    Dims d = dims_of(c, x);
    Dim count = dim_k(c, 1);
    for (uint32_t i = 0; i < n; i++) count = dim_mul(c->cx, count, d.at[axes[i]]);
    return ew2(c, OP_div, sum(c, x, axes, n, keep), to(c, b_dim(c->g, c->loc, count), t));
}

/* ---- axes only known while running ------------------------------------------------------------------------------- */

/* Each axis in turn: the reduced element before the axis' own, of which a slice keeps one or the others. */
static Val reduce_flagged(Call *c, Op op, Val x, const Dim *flags) {
    if (!x.id) return x;
    uint32_t rank = val_rank(c->g, x);
    for (uint32_t i = 0; i < rank && x.id; i++) {
        if (dim_is(c->cx, flags[i], 0)) continue;
        Dim extent = val_dim(c->g, x, i), left = dim_sub(c->cx, dim_k(c, 1), flags[i]);
        Val pair[2] = {reduce1(c, op, x, i, true), x};
        if (!pair[0].id) return NO_VAL;
        x = sliced(c, b_concat(c->g, c->loc, pair, 2, i), i, left,
                   dim_add(c->cx, flags[i], dim_mul(c->cx, left, extent)));
    }
    return x;
}

/* The same, repeated over the reduced axes, so that the shape stays. */
static Val reduce_flagged_full(Call *c, Op op, Val x, const Dim *flags) {
    if (!x.id) return x;
    Dims d = dims_of(c, x);
    for (uint32_t i = 0; i < d.n && x.id; i++) {
        Val chosen = ew2(c, OP_eq, b_dim(c->g, c->loc, flags[i]), numt(c, DT_i64, 1));
        x = sel(c, chosen, spread(c, reduce1(c, op, x, i, true), &d), x);
    }
    return x;
}

/* Without the reduced axes: output axis p is the axis before which p others stay. */
static Val drop_flagged(Call *c, Val y, const Dims *d, const Dim *flags, uint32_t n) {
    Context *cx = c->cx;
    Dims r = {.n = d->n - n};
    for (uint32_t p = 0; p < r.n; p++) {
        Dim before = dim_k(c, 0);
        r.at[p] = dim_k(c, 0);
        for (uint32_t i = 0; i < d->n; i++) {
            Dim stays = dim_sub(cx, dim_k(c, 1), flags[i]);
            r.at[p] = dim_add(cx, r.at[p], dim_mul(cx, dim_mul(cx, stays, is_number(c, before, p)), d->at[i]));
            before = dim_add(cx, before, stays);
        }
    }
    return shaped(c, y, &r);
}

static Val reduce_running(Call *c, Reduction kind, Val x, bool keep) {
    Dims d = dims_of(c, x);
    Dim flags[MAX_RANK], count = dim_k(c, 1);
    uint32_t n;
    if (!axis_flags(c, 1, d.n, flags, &n)) return NO_VAL;
    if (n > d.n) return fail(c, "%u axes of rank %u", n, d.n);
    Op op = kind == RED_MAX    ? OP_reduce_max
            : kind == RED_MIN  ? OP_reduce_min
            : kind == RED_PROD ? OP_reduce_prod
                               : OP_reduce_sum;
    Val y = x, m = NO_VAL;
    DType t = val_dtype(c->g, x);
    if (kind == RED_L1) y = ew1(c, OP_abs, x);
    if (kind == RED_L2 || kind == RED_SUM_SQUARE) y = ew2(c, OP_mul, x, x);
    if (kind == RED_LOG_SUM_EXP) {
        Val full = reduce_flagged_full(c, OP_reduce_max, x, flags);
        full = sel(c, ew1(c, OP_isinf, full), num(c, full, 0), full);
        y = ew1(c, OP_exp, ew2(c, OP_sub, x, full));
        m = reduce_flagged(c, OP_reduce_max, x, flags);
        m = sel(c, ew1(c, OP_isinf, m), num(c, m, 0), m);
    }
    y = reduce_flagged(c, op, y, flags);
    if (kind == RED_L2) y = dtype_is_float(t) ? ew1(c, OP_sqrt, y) : to(c, ew1(c, OP_sqrt, to(c, y, DT_f64)), t);
    if (kind == RED_LOG_SUM || kind == RED_LOG_SUM_EXP) y = ew1(c, OP_log, y);
    if (m.id) y = ew2(c, OP_add, y, m);
    if (kind == RED_MEAN) {
        for (uint32_t i = 0; i < d.n; i++)
            count = dim_mul(c->cx, count,
                            dim_add(c->cx, dim_sub(c->cx, dim_k(c, 1), flags[i]), dim_mul(c->cx, flags[i], d.at[i])));
        y = ew2(c, OP_div, y, to(c, b_dim(c->g, c->loc, count), t));
    }
    return keep ? y : drop_flagged(c, y, &d, flags, n);
}

/* ---- operators --------------------------------------------------------------------------------------------------- */

Val import_reduce(Call *c) {
    Val x = in(c, 0);
    Reduction kind = (Reduction)c->row->param;
    int64_t axes[MAX_RANK];
    const int64_t *list;
    uint32_t n = 0, given = 0, axis, set = 0;
    bool bad, keep = attr_i(c, "keepdims", 1) != 0;
    if (!x.id) return x;
    uint32_t rank = val_rank(c->g, x);
    int64_t from = kind == RED_SUM ? 13 : 18;
    if (c->opset >= from && has_in(c, 1) && !in_ints(c, 1, &list, &given)) return reduce_running(c, kind, x, keep);
    list_arg(c, "axes", 1, from, &list, &given, &bad);
    if (bad) return NO_VAL;
    for (uint32_t i = 0; i < given; i++) {
        if (!norm_axis(c, list[i], rank, &axis)) return NO_VAL;
        set |= 1u << axis;
    }
    if (!given && !attr_i(c, "noop_with_empty_axes", 0)) set = (1u << rank) - 1;
    for (uint32_t i = 0; i < rank; i++)
        if (set >> i & 1) axes[n++] = i;
    return reduce_kind(c, kind, x, axes, n, keep);
}

Val import_arg(Call *c) {
    Val x = in(c, 0);
    uint32_t axis;
    if (!x.id || !norm_axis(c, attr_i(c, "axis", 0), val_rank(c->g, x), &axis)) return NO_VAL;
    Attr attrs[2] = {{.key = ATTR_axis, .as.i = axis},
                     {.key = ATTR_last, .as.i = attr_i(c, "select_last_index", 0) != 0}};
    Val y = emit(c->g, (Op)c->row->param, c->loc, &x, 1, attrs, 2);
    return attr_i(c, "keepdims", 1) ? unsqueezed(c, y, axis) : y;
}

static Val cumulate_axis(Call *c, Val x, uint32_t axis) {
    Attr attrs[3] = {{.key = ATTR_axis, .as.i = axis},
                     {.key = ATTR_exclusive, .as.i = attr_i(c, "exclusive", 0) != 0},
                     {.key = ATTR_reverse, .as.i = attr_i(c, "reverse", 0) != 0}};
    return emit(c->g, (Op)c->row->param, c->loc, &x, 1, attrs, 3);
}

/* Along every axis, then the one that the input names. */
static Val cumulate_running(Call *c, Val x) {
    uint32_t rank = val_rank(c->g, x);
    Dims scalar = {0};
    Val at = shaped(c, to(c, in(c, 1), DT_i64), &scalar), y = NO_VAL;
    at = wrap_index(c, at, dim_k(c, rank));
    for (uint32_t i = 0; i < rank; i++) {
        Val one = cumulate_axis(c, x, i);
        y = i ? sel(c, ew2(c, OP_eq, at, numt(c, DT_i64, i)), one, y) : one;
    }
    return y.id ? y : fail(c, "needs rank 1 or more");
}

/* CumSum, CumProd. */
Val import_cumulate(Call *c) {
    Val x = in(c, 0);
    const int64_t *list;
    uint32_t n, axis;
    if (!x.id) return x;
    if (!in_ints(c, 1, &list, &n)) return cumulate_running(c, x);
    if (n != 1) return fail(c, "the axis has %u elements, one expected", n);
    if (!norm_axis(c, list[0], val_rank(c->g, x), &axis)) return NO_VAL;
    return cumulate_axis(c, x, axis);
}

Val import_top_k(Call *c) {
    Val x = in(c, 0);
    const Dim *k;
    uint32_t n, axis;
    Dim count;
    if (!x.id) return x;
    if (c->opset < 10)
        count = dim_k(c, attr_i(c, "k", 0));
    else if (in_dims(c, 1, &k, &n) && n == 1)
        count = k[0];
    else
        return fail(c, "k has to come from shapes, constants or inputs of known length");
    if (!norm_axis(c, attr_i(c, "axis", -1), val_rank(c->g, x), &axis)) return NO_VAL;
    Attr attrs[3] = {{.key = ATTR_axis, .as.i = axis},
                     {.key = ATTR_value, .as.dim = count},
                     {.key = ATTR_largest, .as.i = attr_i(c, "largest", 1) != 0}};
    Val both = emit(c->g, OP_top_k, c->loc, &x, 1, attrs, 3);
    if (!both.id) return both;
    set_out(c, 1, b_get(c->g, c->loc, both, 1));
    return b_get(c->g, c->loc, both, 0);
}

/* Before opset 13 softmax was over all axes from `axis` on, as if they were one. */
static Val soft_over(Call *c, Val x, Val (*fn)(Call *, Val, uint32_t)) {
    uint32_t axis;
    if (!x.id) return x;
    Dims d = dims_of(c, x);
    if (d.n == 0) return fail(c, "needs rank 1 or more");
    if (!norm_axis(c, attr_i(c, "axis", c->opset < 13 ? 1 : -1), d.n + (c->opset < 13 && d.n == 1), &axis))
        return NO_VAL;
    if (c->opset >= 13 || axis + 1 == d.n) return fn(c, x, axis);
    Dims two = {.n = 2, .at = {dim_product(c->cx, d.at, axis), dim_product(c->cx, d.at + axis, d.n - axis)}};
    return shaped(c, fn(c, shaped(c, x, &two), 1), &d);
}

static Val softmax_fn(Call *c, Val x, uint32_t axis) { return soft(c, OP_softmax, x, axis); }
static Val log_softmax_fn(Call *c, Val x, uint32_t axis) { return soft(c, OP_log_softmax, x, axis); }
static Val hardmax_fn(Call *c, Val x, uint32_t axis) {
    Attr attrs[2] = {{.key = ATTR_axis, .as.i = axis}, {.key = ATTR_last, .as.i = 0}};
    if (!x.id) return x;
    Val best = emit(c->g, OP_arg_max, c->loc, &x, 1, attrs, 2);
    return one_hot(c, best, axis, val_dim(c->g, x, axis), num(c, x, 0), num(c, x, 1));
}

Val import_softmax(Call *c) { return soft_over(c, in(c, 0), softmax_fn); }
Val import_log_softmax(Call *c) { return soft_over(c, in(c, 0), log_softmax_fn); }
Val import_hardmax(Call *c) { return soft_over(c, in(c, 0), hardmax_fn); }
