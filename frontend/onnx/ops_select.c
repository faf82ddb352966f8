/* ops_select.c: operators whose result is as long as the data say: NonMaxSuppression, Unique; and TfIdfVectorizer.
 *
 * The places of what stays come from nonzero, whose extent is a symbol found while running.
 */
#include "onnx.h"
#include <stdio.h>
#include <string.h>

static Val axis_op(Call *c, Op op, Val x, uint32_t axis) {
    Attr attrs[3] = {
        {.key = ATTR_axis, .as.i = axis}, {.key = ATTR_exclusive, .as.i = 0}, {.key = ATTR_reverse, .as.i = 0}};
    return x.id ? emit(c->g, op, c->loc, &x, 1, attrs, 3) : x;
}

/* (values, indices) of all elements along an axis in order. */
static Val sorted(Call *c, Val x, uint32_t axis, bool descending) {
    Attr attrs[3] = {{.key = ATTR_axis, .as.i = axis},
                     {.key = ATTR_value, .as.dim = val_dim(c->g, x, axis)},
                     {.key = ATTR_largest, .as.i = descending}};
    return emit(c->g, OP_top_k, c->loc, &x, 1, attrs, 3);
}

static Val scatter(Call *c, Val x, Val index, Val update, uint32_t axis, const char *how) {
    Val triple[3] = {x, index, update};
    Attr attrs[2] = {{.key = ATTR_axis, .as.i = axis}, {.key = ATTR_combine, .as.text = intern(c->cx, how)}};
    return x.id && index.id && update.id ? emit(c->g, OP_scatter_elements, c->loc, triple, 3, attrs, 2) : NO_VAL;
}

static Val places_of(Call *c, Val x, Dim most) { return places(c, x, c->node->out[0], "count", most); }

static Val as_scalar(Call *c, Val v) { return v.id ? shaped(c, v, &(Dims){0}) : v; }

/* ---- NonMaxSuppression ------------------------------------------------------------------------------------------- */

typedef struct Corners {
    Val low[2], high[2];
} Corners; /* of boxes [.., 4] */

static Corners corners_of(Call *c, Val boxes, bool centred) {
    Corners k;
    uint32_t last = val_rank(c->g, boxes) - 1;
    Val at[4];
    for (uint32_t i = 0; i < 4; i++) at[i] = squeezed(c, sliced(c, boxes, last, dim_k(c, i), dim_k(c, 1)), last);
    for (uint32_t i = 0; i < 2; i++) {
        Val half = ew2(c, OP_div, at[2 + i], num(c, boxes, 2));
        k.low[i] = centred ? ew2(c, OP_sub, at[i], half) : ew2(c, OP_min, at[i], at[2 + i]);
        k.high[i] = centred ? ew2(c, OP_add, at[i], half) : ew2(c, OP_max, at[i], at[2 + i]);
    }
    return k;
}

static Val area(Call *c, const Corners *k) {
    return ew2(c, OP_mul, ew2(c, OP_sub, k->high[0], k->low[0]), ew2(c, OP_sub, k->high[1], k->low[1]));
}

/* Intersection over union above the threshold; a [b, c, 1] against all [b, c, n]. */
static Val overlaps(Call *c, const Corners *a, const Corners *all, Val threshold) {
    Val zero = numt(c, DT_f32, 0), side[2];
    for (uint32_t i = 0; i < 2; i++)
        side[i] =
            ew2(c, OP_max,
                ew2(c, OP_sub, ew2(c, OP_min, a->high[i], all->high[i]), ew2(c, OP_max, a->low[i], all->low[i])), zero);
    Val common = ew2(c, OP_mul, side[0], side[1]);
    Val one = area(c, a), other = area(c, all), both = ew2(c, OP_sub, ew2(c, OP_add, one, other), common);
    Val real = ew2(c, OP_and, ew2(c, OP_and, greater(c, common, zero), greater(c, one, zero)),
                   ew2(c, OP_and, greater(c, other, zero), greater(c, both, zero)));
    return ew2(c, OP_and, real, greater(c, ew2(c, OP_div, common, both), threshold));
}

/* False of nothing. */
static Val any_of(Call *c, Val x) {
    static const int64_t axes[] = {0, 1, 2};
    Val y = reduce(c, OP_reduce_max, to(c, x, DT_i32), axes, 3, false);
    return y.id ? greater(c, y, numt(c, DT_i32, 0)) : y;
}

/* The loop's body: every class takes its first free box, and those that overlap it too far are free no more.  Carries which
 * boxes are free, which are chosen, how many are taken; captured: corners of all, the threshold, the limit. */
static Graph *suppress(Call *c, const Dims *d) {
    Call body = *c, *b = &body;
    body.g = graph_new(c->cx, "suppress");
    Val open = b_param(body.g, c->loc, "free", DT_bool, 3, d->at);
    Val chosen = b_param(body.g, c->loc, "chosen", DT_bool, 3, d->at);
    Val taken = b_param(body.g, c->loc, "taken", DT_i64, 2, d->at);
    Corners inner, one;
    for (uint32_t i = 0; i < 2; i++) {
        inner.low[i] = b_param(body.g, c->loc, i ? "left" : "top", DT_f32, 3, d->at);
        inner.high[i] = b_param(body.g, c->loc, i ? "right" : "bottom", DT_f32, 3, d->at);
    }
    Val threshold = b_param(body.g, c->loc, "iou", DT_f32, 0, NULL), limit = b_param(body.g, c->loc, "most", DT_i64, 0, NULL);
    Val at = axis_iota(b, DT_i32, d, 2), n = to(b, b_dim(body.g, c->loc, d->at[2]), DT_i32);
    Val first = reduce1(b, OP_reduce_min, sel(b, open, at, n), 2, false), any = ew2(b, OP_lt, first, n); /* [b, c] */
    Val place = to(b, ew2(b, OP_min, first, ew2(b, OP_sub, n, numt(b, DT_i32, 1))), DT_i64);
    for (uint32_t i = 0; i < 2; i++) {
        one.low[i] = unsqueezed(b, b_gather(body.g, c->loc, inner.low[i], place, 2, 2), 2);
        one.high[i] = unsqueezed(b, b_gather(body.g, c->loc, inner.high[i], place, 2, 2), 2);
    }
    Val it = ew2(b, OP_eq, at, unsqueezed(b, first, 2)), count = ew2(b, OP_add, taken, to(b, any, DT_i64));
    Val gone = ew2(b, OP_or, it, overlaps(b, &one, &inner, threshold));
    Val more = unsqueezed(b, ew2(b, OP_lt, count, limit), 2);
    Val left = ew2(b, OP_and, ew2(b, OP_and, open, more), logical_not(b, gone));
    graph_result(body.g, any_of(b, left), "condition");
    graph_result(body.g, left, "free");
    graph_result(body.g, ew2(b, OP_or, chosen, it), "chosen");
    graph_result(body.g, count, "taken");
    return graph_finish(body.g) ? body.g : NULL;
}

/* Boxes in the order of their scores, [b, c, n, 4]: which of them are chosen, [b, c, n], in as many steps as the class with
 * the most of them. */
static Val suppression(Call *c, Val boxes, Val scores, Val most, Val iou, Val least, bool centred) {
    Dims d = dims_of(c, scores), taken = {.n = 2, .at = {d.at[0], d.at[1]}};
    Corners all = corners_of(c, boxes, centred);
    Graph *body = suppress(c, &d);
    Val open = least.id ? greater(c, scores, least) : splat(c, DT_bool, 1, &d), none = splat(c, DT_i64, 0, &taken);
    open = ew2(c, OP_and, open, ew2(c, OP_lt, numt(c, DT_i64, 0), most));
    Val own[] = {any_of(c, open), open,       splat(c, DT_bool, 0, &d), none, all.low[0],
                 all.high[0],     all.low[1], all.high[1],              iou,  most};
    Attr attrs[] = {{.key = ATTR_carried, .as.i = 3}, {.key = ATTR_body, .as.graph = body}};
    for (uint32_t i = 0; i < COUNT(own); i++)
        if (!own[i].id || !body) return NO_VAL;
    Val result = emit(c->g, OP_while, c->loc, own, COUNT(own), attrs, COUNT(attrs));
    return result.id ? b_get(c->g, c->loc, result, 1) : result;
}

Val import_non_max(Call *c) {
    Val boxes = to(c, in(c, 0), DT_f32), scores = to(c, in(c, 1), DT_f32);
    if (!boxes.id || !scores.id) return NO_VAL;
    if (val_rank(c->g, boxes) != 3 || val_rank(c->g, scores) != 3)
        return fail(c, "boxes and scores have to be of rank 3");
    Val most = has_in(c, 2) ? as_scalar(c, to(c, in(c, 2), DT_i64)) : numt(c, DT_i64, 0);
    Val iou = has_in(c, 3) ? as_scalar(c, to(c, in(c, 3), DT_f32)) : numt(c, DT_f32, 0);
    Val least = has_in(c, 4) ? as_scalar(c, to(c, in(c, 4), DT_f32)) : NO_VAL;
    Dims d = dims_of(c, scores);
    Val order = sorted(c, scores, 2, true);
    if (!order.id) return order;
    Val rank = b_get(c->g, c->loc, order, 1), best = b_get(c->g, c->loc, order, 0);
    Val near = b_gather(c->g, c->loc, boxes, rank, 1, 1); /* [b, c, n, 4] */
    Val chosen = suppression(c, near, best, most, iou, least, attr_i(c, "center_point_box", 0) != 0);
    const Dim *limit;
    uint32_t n;
    Dim per = d.at[2];
    if (in_dims(c, 2, &limit, &n) && n == 1) per = dim_min(c->cx, per, dim_max(c->cx, limit[0], dim_k(c, 0)));
    Val at = places_of(c, chosen, dim_mul(c->cx, dim_mul(c->cx, d.at[0], d.at[1]), per)); /* [3, m] */
    if (!at.id) return at;
    Attr none = {.key = ATTR_batch, .as.i = 0};
    Val rows = swap_last(c, at), pair[2] = {rank, rows};
    Val box = unsqueezed(c, emit(c->g, OP_gather_nd, c->loc, pair, 2, &none, 1), 1);
    Val parts[2] = {sliced(c, rows, 1, dim_k(c, 0), dim_k(c, 2)), box};
    return parts[0].id && box.id ? b_concat(c->g, c->loc, parts, 2, 1) : NO_VAL;
}

/* ---- Unique ------------------------------------------------------------------------------------------------------ */

/* For n items: `order` lists them ascending (equal ones by position), `fresh` marks in that order where a new value starts. */
typedef struct Runs {
    Val order, fresh;
    Dim n;
} Runs;

static Runs runs_of_vector(Call *c, Val x) {
    Runs r = {.n = val_dim(c->g, x, 0)};
    Val all = sorted(c, x, 0, false);
    if (!all.id) return r;
    Val v = b_get(c->g, c->loc, all, 0), at = iota(c, DT_i64, r.n);
    r.order = b_get(c->g, c->loc, all, 1);
    Val before =
        b_gather(c->g, c->loc, v, ew2(c, OP_max, ew2(c, OP_sub, at, numt(c, DT_i64, 1)), numt(c, DT_i64, 0)), 0, 0);
    r.fresh = ew2(c, OP_or, ew2(c, OP_eq, at, numt(c, DT_i64, 0)), logical_not(c, ew2(c, OP_eq, v, before)));
    return r;
}

/* Slices along axis 0 of x [n, m], compared pairwise from their first elements on. */
static Runs runs_of_slices(Call *c, Val x) {
    Runs r = {.n = val_dim(c->g, x, 0)};
    Dims d = dims_of(c, x), pairs = {.n = 3, .at = {d.at[0], d.at[0], d.at[1]}},
         square = {.n = 2, .at = {d.at[0], d.at[0]}};
    Val a = spread(c, unsqueezed(c, x, 1), &pairs), b = spread(c, unsqueezed(c, x, 0), &pairs);
    Val differs = to(c, logical_not(c, ew2(c, OP_eq, a, b)), DT_i32);
    Attr attrs[2] = {{.key = ATTR_axis, .as.i = 2}, {.key = ATTR_last, .as.i = 0}},
         axis = {.key = ATTR_axis, .as.i = 2};
    if (!differs.id) return r;
    Val first = unsqueezed(c, emit(c->g, OP_arg_max, c->loc, &differs, 1, attrs, 2), 2), pa[2] = {a, first},
        pb[2] = {b, first};
    if (!first.id) return r;
    Val va = squeezed(c, emit(c->g, OP_gather_elements, c->loc, pa, 2, &axis, 1), 2),
        vb = squeezed(c, emit(c->g, OP_gather_elements, c->loc, pb, 2, &axis, 1), 2);
    Val i = axis_iota(c, DT_i64, &square, 0), j = axis_iota(c, DT_i64, &square, 1), equal = ew2(c, OP_eq, va, vb);
    /* before[i, j]: slice j comes before slice i */
    Val earlier = ew2(c, OP_and, equal, ew2(c, OP_lt, j, i)), before = ew2(c, OP_or, ew2(c, OP_lt, vb, va), earlier);
    Val rank = reduce1(c, OP_reduce_sum, to(c, before, DT_i64), 1, false);
    Val repeated = reduce1(c, OP_reduce_max, earlier, 1, false); /* an equal slice lies before it */
    Dims line = {.n = 1, .at = {r.n}};
    r.order = scatter(c, splat(c, DT_i64, 0, &line), rank, iota(c, DT_i64, r.n), 0, "set");
    r.fresh = r.order.id ? logical_not(c, b_gather(c->g, c->loc, repeated, r.order, 0, 0)) : NO_VAL;
    return r;
}

Val import_unique(Call *c) {
    Val x = in(c, 0);
    uint32_t axis = 0;
    bool whole = !find_attr(c, "axis"), in_order = attr_i(c, "sorted", 1) != 0;
    if (!x.id) return x;
    if (!whole && !norm_axis(c, attr_i(c, "axis", 0), val_rank(c->g, x), &axis)) return NO_VAL;
    Dims d = dims_of(c, x), flat = {.n = 1, .at = {dim_product(c->cx, d.at, d.n)}},
         rest = {.n = 2, .at = {d.n ? d.at[axis] : dim_k(c, 1), dim_k(c, 1)}};
    Runs r;
    if (whole) {
        x = shaped(c, x, &flat);
        r = runs_of_vector(c, x);
    } else {
        int64_t perm[MAX_RANK];
        uint32_t k = 1;
        perm[0] = axis;
        for (uint32_t i = 0; i < d.n; i++)
            if (i != axis) perm[k++] = i, rest.at[1] = dim_mul(c->cx, rest.at[1], d.at[i]);
        r = runs_of_slices(c, shaped(c, permuted(c, x, perm), &rest));
    }
    if (!r.order.id || !r.fresh.id) return NO_VAL;
    Dims line = {.n = 1, .at = {r.n}};
    Val run = ew2(c, OP_sub, axis_op(c, OP_cum_sum, to(c, r.fresh, DT_i64), 0), numt(c, DT_i64, 1)); /* by rank */
    Val zeros = splat(c, DT_i64, 0, &line), inverse = scatter(c, zeros, r.order, run, 0, "set"), at, chosen;
    if (in_order) {
        at = squeezed(c, places_of(c, r.fresh, r.n), 0);
        chosen = at.id ? b_gather(c->g, c->loc, r.order, at, 0, 0) : at;
    } else {
        /* First places in the order of the operand; runs are renumbered by them. */
        Val starts = scatter(c, zeros, r.order, to(c, r.fresh, DT_i64), 0, "set");
        chosen = squeezed(c, places_of(c, starts, r.n), 0);
        Val number = ew2(c, OP_sub, axis_op(c, OP_cum_sum, starts, 0), numt(c, DT_i64, 1));
        Val own = number.id ? b_gather(c->g, c->loc, number, r.order, 0, 0) : number; /* of a run's first, by rank */
        Val by_run = scatter(c, zeros, run, sel(c, r.fresh, own, numt(c, DT_i64, 0)), 0, "add");
        inverse = by_run.id && inverse.id ? b_gather(c->g, c->loc, by_run, inverse, 0, 0) : NO_VAL;
    }
    if (!chosen.id || !inverse.id) return NO_VAL;
    set_out(c, 1, chosen);
    set_out(c, 2, inverse);
    if (wants_out(c, 3))
        set_out(c, 3,
                sliced(c, scatter(c, zeros, inverse, splat(c, DT_i64, 1, &line), 0, "add"), 0, dim_k(c, 0),
                       val_dim(c->g, chosen, 0)));
    return b_gather(c->g, c->loc, x, chosen, axis, 0);
}

/* ---- TfIdfVectorizer --------------------------------------------------------------------------------------------- */

/* How often the n-grams [g, n] occur in x [b, l], their elements `stride` apart: [b, g]. */
static Val occurrences(Call *c, Val x, Val grams, int64_t n, int64_t stride, Dim length) {
    Dim starts = dim_max(c->cx, dim_addi(c->cx, length, -(n - 1) * stride), dim_k(c, 0));
    Val match = NO_VAL;
    for (int64_t k = 0; k < n; k++) {
        Dim from = dim_min(c->cx, dim_k(c, k * stride), length); /* none start in rows that are shorter */
        Val part = unsqueezed(c, sliced(c, x, 1, from, starts), 2); /* [b, starts, 1] */
        Val gram = squeezed(c, sliced(c, grams, 1, dim_k(c, k), dim_k(c, 1)), 1);
        Val same = ew2(c, OP_eq, part, gram);
        match = k ? ew2(c, OP_and, match, same) : same;
    }
    return reduce1(c, OP_reduce_sum, to(c, match, DT_f32), 1, false);
}

Val import_tf_idf(Call *c) {
    Val x = in(c, 0);
    const IntVec *counts = attr_list(c, "ngram_counts"), *indexes = attr_list(c, "ngram_indexes"),
                 *pool = attr_list(c, "pool_int64s");
    const FloatVec *weights = attr_floats(c, "weights");
    int64_t least = attr_i(c, "min_gram_length", 1), most = attr_i(c, "max_gram_length", 1),
            skips = attr_i(c, "max_skip_count", 0), size = 0, length = INT64_MAX;
    const char *mode = attr_s(c, "mode", "TF");
    if (!x.id) return x;
    if (!counts || !indexes || !pool)
        return fail(c, "needs ngram_counts, ngram_indexes and pool_int64s; strings are not supported");
    bool row = val_rank(c->g, x) == 1;
    if (row) x = unsqueezed(c, x, 0);
    if (val_rank(c->g, x) != 2) return fail(c, "needs an operand of rank 1 or 2");
    dim_const_value(c->cx, val_dim(c->g, x, 1), &length);
    if (least < 1 || most < least || most > 64 || skips < 0 || skips > 64)
        return fail(c, "gram lengths %lld to %lld with %lld skips", (long long)least, (long long)most,
                    (long long)skips);
    for (uint32_t i = 0; i < indexes->n; i++) {
        if (indexes->at[i] < 0 || indexes->at[i] > INT32_MAX)
            return fail(c, "n-gram index %lld is no position in the result", (long long)indexes->at[i]);
        if (indexes->at[i] >= size) size = indexes->at[i] + 1;
    }
    Dims y = {.n = 2, .at = {val_dim(c->g, x, 0), dim_k(c, size)}};
    Val total = splat(c, DT_f32, 0, &y);
    uint32_t taken = 0;
    x = to(c, x, DT_i64);
    for (uint32_t level = 0; level < counts->n; level++) {
        int64_t n = level + 1, from = counts->at[level], end = level + 1 < counts->n ? counts->at[level + 1] : pool->n;
        if (from < 0 || end < from || end > pool->n || (end - from) % n)
            return fail(c, "ngram_counts do not fit the pool");
        uint32_t grams = (uint32_t)((end - from) / n);
        if (taken + grams > indexes->n || (weights && taken + grams > weights->n))
            return fail(c, "%u n-grams and %u indexes", taken + grams, indexes->n);
        Dims list = {.n = 2, .at = {dim_k(c, grams), dim_k(c, n)}}, line = {.n = 1, .at = {dim_k(c, grams)}};
        if (grams && n >= least && n <= most) {
            Val g = shaped(c, b_ints(c->g, c->loc, pool->at + from, (uint32_t)(end - from)), &list), sum = NO_VAL;
            for (int64_t skip = 0; skip <= (n == 1 ? 0 : skips); skip++) {
                if ((n - 1) * (skip + 1) >= length) break;
                Val one = occurrences(c, x, g, n, skip + 1, val_dim(c->g, x, 1));
                sum = sum.id ? ew2(c, OP_add, sum, one) : one;
            }
            float *w = arena_new_array(c->cx->arena, float, grams);
            for (uint32_t i = 0; i < grams; i++) w[i] = weights ? (float)weights->at[taken + i] : 1;
            Val weight = b_const(c->g, c->loc, const_data(c->cx, DT_f32, grams, w), 1, line.at);
            if (sum.id && strcmp(mode, "IDF") == 0)
                sum = sel(c, greater(c, sum, num(c, sum, 0)), weight, num(c, sum, 0));
            if (sum.id && strcmp(mode, "TFIDF") == 0) sum = ew2(c, OP_mul, sum, weight);
            Val at = b_ints(c->g, c->loc, indexes->at + taken, grams);
            Dims wide = {.n = 2, .at = {y.at[0], dim_k(c, grams)}};
            if (sum.id) total = scatter(c, total, spread(c, at, &wide), spread(c, sum, &wide), 1, "add");
        }
        taken += grams;
    }
    return row ? squeezed(c, total, 0) : total;
}
