/* ops_loss.c: losses, and the optimizer steps of ai.onnx.preview.training. */
#include "onnx.h"
#include <string.h>

/* ---- losses ------------------------------------------------------------------------------------------------------ */

/* -x[n, target, ..] weighted; targets equal to ignore_index weigh nothing. */
static Val likelihood_loss(Call *c, Val x, Val target, Val weight) {
    if (!x.id || !target.id) return NO_VAL;
    uint32_t rank = val_rank(c->g, x);
    if (rank < 2) return fail(c, "needs rank 2 or more, found %u", rank);
    const char *reduction = attr_s(c, "reduction", "mean");
    Val index = to(c, target, DT_i64), zero = num(c, x, 0), ignored = NO_VAL, weights = NO_VAL;
    if (find_attr(c, "ignore_index")) {
        ignored = ew2(c, OP_eq, index, numt(c, DT_i64, (double)attr_i(c, "ignore_index", 0)));
        index = sel(c, ignored, numt(c, DT_i64, 0), index);
    }
    index = wrap_index(c, index, val_dim(c->g, x, 1));
    Val pair[2] = {x, unsqueezed(c, index, 1)};
    Attr axis = {.key = ATTR_axis, .as.i = 1};
    if (!pair[1].id) return NO_VAL;
    Val loss = squeezed(c, ew1(c, OP_neg, emit(c->g, OP_gather_elements, c->loc, pair, 2, &axis, 1)), 1);
    if (weight.id) weights = b_gather(c->g, c->loc, weight, index, 0, 0);
    if (ignored.id) weights = sel(c, ignored, zero, weights.id ? weights : num(c, x, 1));
    if (weights.id) loss = ew2(c, OP_mul, loss, weights);
    if (strcmp(reduction, "none") == 0) {
        if (!loss.id) return loss;
        Dims d = dims_of(c, loss);
        return weights.id ? spread(c, loss, &d) : loss;
    }
    int64_t axes[MAX_RANK];
    for (uint32_t i = 0; i + 1 < rank; i++) axes[i] = i;
    if (strcmp(reduction, "sum") == 0) return reduce(c, OP_reduce_sum, loss, axes, rank - 1, false);
    if (strcmp(reduction, "mean") != 0)
        return fail(c, "reduction '%s' is not known; known are none, sum and mean", reduction);
    if (!weights.id) return loss.id ? b_mean(c->g, c->loc, loss, axes, rank - 1, false) : loss;
    if (!loss.id) return loss;
    Dims d = dims_of(c, loss);
    Val total = reduce(c, OP_reduce_sum, spread(c, weights, &d), axes, rank - 1, false);
    return ew2(c, OP_div, reduce(c, OP_reduce_sum, loss, axes, rank - 1, false), total);
}

Val import_likelihood_loss(Call *c) { return likelihood_loss(c, in(c, 0), in(c, 1), has_in(c, 2) ? in(c, 2) : NO_VAL); }

Val import_cross_entropy(Call *c) {
    Val x = in(c, 0);
    if (!x.id) return x;
    if (val_rank(c->g, x) < 2) return fail(c, "needs rank 2 or more, found %u", val_rank(c->g, x));
    Val log_prob = soft(c, OP_log_softmax, x, 1);
    set_out(c, 1, log_prob);
    return likelihood_loss(c, log_prob, in(c, 1), has_in(c, 2) ? in(c, 2) : NO_VAL);
}

/* ---- optimizer steps --------------------------------------------------------------------------------------------- */

static Val mul(Call *c, Val a, Val b) { return ew2(c, OP_mul, a, b); }
static Val scaled(Call *c, Val x, double k) { return mul(c, x, num(c, x, k)); }

/* Inputs r, t, then n each of the tensors, gradients, states. */
static bool step_inputs(Call *c, uint32_t states, uint32_t *n) {
    if (c->n_in < 2 || (c->n_in - 2) % (states + 2) != 0) {
        fail(c, "%u inputs do not make whole sets of tensor, gradient and state", c->n_in);
        return false;
    }
    *n = (c->n_in - 2) / (states + 2);
    return true;
}

static Val regularised(Call *c, uint32_t i, uint32_t n, Val *x) {
    *x = in(c, 2 + i);
    return ew2(c, OP_add, scaled(c, *x, attr_f(c, "norm_coefficient", 0)), in(c, 2 + n + i));
}

Val import_adagrad(Call *c) {
    uint32_t n;
    Val r = in(c, 0), t = in(c, 1), x;
    if (!step_inputs(c, 1, &n) || !r.id) return NO_VAL;
    Val decay = scaled(c, to(c, t, val_dtype(c->g, r)), attr_f(c, "decay_factor", 0));
    Val rate = ew2(c, OP_div, r, ew2(c, OP_add, num(c, r, 1), decay));
    for (uint32_t i = 0; i < n; i++) {
        Val g = regularised(c, i, n, &x), h = ew2(c, OP_add, in(c, 2 + 2 * n + i), mul(c, g, g));
        Val root = ew2(c, OP_add, ew1(c, OP_sqrt, h), num(c, h, attr_f(c, "epsilon", 1e-6F)));
        set_out(c, i, ew2(c, OP_sub, x, ew2(c, OP_div, mul(c, rate, g), root)));
        set_out(c, n + i, h);
    }
    return NO_VAL;
}

/* 1 - beta^t, and 1 at the first step. */
static Val bias_correction(Call *c, Val t, double beta) {
    Val f = to(c, t, DT_f64), one = numt(c, DT_f64, 1);
    return sel(c, greater(c, t, num(c, t, 0)), ew2(c, OP_sub, one, ew2(c, OP_pow, numt(c, DT_f64, beta), f)), one);
}

Val import_adam(Call *c) {
    uint32_t n;
    Val r = in(c, 0), t = in(c, 1), x;
    double alpha = attr_f(c, "alpha", 0.9F), beta = attr_f(c, "beta", 0.999F);
    if (!step_inputs(c, 2, &n) || !r.id) return NO_VAL;
    Val factor = ew2(c, OP_div, ew1(c, OP_sqrt, bias_correction(c, t, beta)), bias_correction(c, t, alpha));
    Val rate = mul(c, r, to(c, factor, val_dtype(c->g, r)));
    for (uint32_t i = 0; i < n; i++) {
        Val g = regularised(c, i, n, &x);
        Val v = ew2(c, OP_add, scaled(c, in(c, 2 + 2 * n + i), alpha), scaled(c, g, 1 - alpha));
        Val h = ew2(c, OP_add, scaled(c, in(c, 2 + 3 * n + i), beta), scaled(c, mul(c, g, g), 1 - beta));
        Val root = ew2(c, OP_add, ew1(c, OP_sqrt, h), num(c, h, attr_f(c, "epsilon", 1e-6F)));
        Val next = ew2(c, OP_sub, x, mul(c, rate, ew2(c, OP_div, v, root)));
        set_out(c, i, scaled(c, next, 1 - attr_f(c, "norm_coefficient_post", 0)));
        set_out(c, n + i, v);
        set_out(c, 2 * n + i, h);
    }
    return NO_VAL;
}

Val import_momentum(Call *c) {
    uint32_t n;
    Val r = in(c, 0), t = in(c, 1), x;
    double alpha = attr_f(c, "alpha", 0), beta = attr_f(c, "beta", 0);
    bool nesterov = attr_is(c, "mode", "standard", "nesterov");
    if (!step_inputs(c, 1, &n) || !r.id) return NO_VAL;
    for (uint32_t i = 0; i < n; i++) {
        Val g = regularised(c, i, n, &x);
        Val part = sel(c, greater(c, t, num(c, t, 0)), num(c, g, beta), num(c, g, 1));
        Val v = ew2(c, OP_add, scaled(c, in(c, 2 + 2 * n + i), alpha), mul(c, part, g));
        Val step = nesterov ? ew2(c, OP_add, g, scaled(c, v, alpha)) : v;
        set_out(c, i, ew2(c, OP_sub, x, mul(c, r, step)));
        set_out(c, n + i, v);
    }
    return NO_VAL;
}
