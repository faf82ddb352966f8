/* attend.c: pass `attend`: dot(softmax(x), w), where nothing else reads the softmax, becomes attend(x, w).
 *
 * Runs before `expand`, which takes softmax apart.  The new op fixes another order of summation than the two old ones: block
 * of keys by block of keys, so that no row of scores has to be in memory whole.  What comes before x (the scores' own
 * contraction, scale, mask) is left to pass `fuse`.  Other spellings are undone here: a softmax written out; values on the
 * left of turned weights (convolutional networks keep pixels last); rows without a number that become 0 (fully masked ones,
 * in exports of PyTorch); and heads that share their keys and values as copies of them: a contraction whose right operand
 * repeats its last batch axis is one with that many more rows.
 * Source: Dao et al. 2022 (arXiv 2205.14135); Milakov and Gimelshein 2018 (arXiv 1805.02867); Ainslie et al. 2023 (2305.13245).
 */
#include "passes.h"
#include <string.h>

enum { KEYS = 128 /* of a block: scores of 64 rows fit in the first cache */, MOST_STEPS = 4 };

/* ---- shared keys and values --------------------------------------------------------------------------------------------- */

/* w repeats each matrix of `once` `times` times along its last batch axis. */
typedef struct Repeat { Val once; Dim shared, times; } Repeat;

/* broadcast [.., h, 1, k, n] -> [.., h, g, k, n], reshape -> [.., h g, k, n]; then perhaps k and n change places. */
static bool find_repeat(Graph *g, Loc loc, Val w, uint32_t batch, Repeat *r) {
    const Node *permute = val_op(g, w) == OP_permute ? node(g, w) : NULL;
    const int64_t *perm = permute ? attr_ints(permute, ATTR_perm, NULL) : NULL;
    for (uint32_t i = 0; perm && i < batch; i++)
        if (perm[i] != i) return false;
    Val flat = permute ? permute->in[0] : w;
    if (!batch || val_op(g, flat) != OP_reshape || val_op(g, val_in(g, flat, 0)) != OP_broadcast) return false;
    Val wide = val_in(g, flat, 0), narrow = val_in(g, wide, 0);
    const TypeInfo *f = val_type(g, flat), *b = val_type(g, wide), *s = val_type(g, narrow);
    const int64_t *axes = attr_ints(node(g, wide), ATTR_axes, NULL);
    if (b->rank != f->rank + 1 || s->rank != b->rank || !dim_is(g->cx, s->dims[batch], 1)) return false;
    Dim dims[MAX_RANK];
    for (uint32_t i = 0; i < b->rank; i++) {
        if (axes[i] != i || (i != batch && !dim_same(s->dims[i], b->dims[i]))) return false;
        if (i != batch) dims[i - (i > batch)] = b->dims[i];
    }
    for (uint32_t i = 0; i < f->rank; i++)
        if (i != batch - 1 && !dim_same(f->dims[i], dims[i])) return false;
    Val once = b_reshape(g, loc, narrow, f->rank, dims);
    *r = (Repeat){permute ? b_permute(g, loc, once, perm) : once, b->dims[batch - 1], b->dims[batch]};
    return true;
}

/* x [.., h g, m.., k] as [.., h, g, m.., k]. */
static Val with_repeats(Graph *g, Loc loc, Val x, uint32_t batch, const Repeat *r) {
    const TypeInfo *t = val_type(g, x);
    Dim dims[MAX_RANK];
    memcpy(dims, t->dims, batch * sizeof *dims);
    dims[batch - 1] = r->shared, dims[batch] = r->times;
    memcpy(dims + batch + 1, t->dims + batch, (t->rank - batch) * sizeof *dims);
    return b_reshape(g, loc, x, t->rank + 1, dims);
}

/* ---- the softmax -------------------------------------------------------------------------------------------------------- */

/* What a contraction sums over with: the softmax of scores along one axis. */
typedef struct Weights {
    Val softmax;                 /* its last value; id 0: there is none */
    Val scores;
    bool guarded;
    bool turned;                 /* the axis is the scores' last but one */
} Weights;

static bool keeps_rows(const Graph *g, const Node *reshape, Val result) {
    Val from = reshape->in[0];
    uint32_t a = val_rank(g, result), b = val_rank(g, from);
    return a && b && dim_same(val_dim(g, result, a - 1), val_dim(g, from, b - 1));
}

/* The last two axes change places, the others stay. */
static bool turns(const Node *permute) {
    uint32_t rank;
    const int64_t *perm = attr_ints(permute, ATTR_perm, &rank);
    for (uint32_t i = 0; i + 2 < rank; i++)
        if (perm[i] != i) return false;
    return rank >= 2 && perm[rank - 1] == (int64_t)rank - 2 && perm[rank - 2] == (int64_t)rank - 1;
}

/* select(isnan(p), 0, p) */
static bool is_guard(const Rewrite *rw, const Node *n) {
    Scalar s;
    const Graph *g = rw->from;
    return n->op == OP_select && val_op(g, n->in[0]) == OP_isnan && val_in(g, n->in[0], 0).id == n->in[2].id &&
           val_splat(g, n->in[1], &s) && s.f == 0 && rw->uses[n->in[0].id] == 1 && rw->uses[n->in[2].id] == 2;
}

/* The one axis of the reduction by `op` of x that v repeats, all of it for one reader; -1: v is something else. */
static int64_t reduced_axis(const Rewrite *rw, Val v, Op op, Val x) {
    const Graph *g = rw->from;
    Val reduced = val_repeated_reduction(g, v, op, x);
    uint32_t n;
    if (!reduced.id) return -1;
    for (; v.id != reduced.id; v = val_in(g, v, 0))
        if (rw->uses[v.id] != 1) return -1;
    const int64_t *axes = attr_ints(node(g, reduced), ATTR_axes, &n);
    return n == 1 && rw->uses[reduced.id] == 1 ? axes[0] : -1;
}

/* The axis of a softmax, which n is or ends with: e / sum e, where e = exp(x - max x); -1: it is none. */
static int64_t softmax_axis(const Rewrite *rw, const Node *n, Val *x) {
    const Graph *g = rw->from;
    if (!n->n_in) return -1;
    *x = n->in[0];
    if (n->op == OP_softmax) return attr_int(n, ATTR_axis);
    if (n->op != OP_div || val_op(g, n->in[0]) != OP_exp || rw->uses[n->in[0].id] != 2) return -1;
    Val shifted = val_in(g, n->in[0], 0);
    if (val_op(g, shifted) != OP_sub || rw->uses[shifted.id] != 1) return -1;
    *x = val_in(g, shifted, 0);
    int64_t axis = reduced_axis(rw, n->in[1], OP_reduce_sum, n->in[0]);
    return axis == reduced_axis(rw, val_in(g, shifted, 1), OP_reduce_max, *x) ? axis : -1;
}

/* The softmax over the last axis (turned: but one) that v, in the old graph, is made of by reshapes that keep its rows, by
 * turning it, and by the guard. */
static Weights find_weights(const Rewrite *rw, Val v, bool turned) {
    const Graph *g = rw->from;
    Weights w = {.turned = turned};
    bool read_twice = false;
    for (uint32_t i = 0; i < MOST_STEPS; i++) {
        const Node *n = node(g, v);
        if (rw->uses[v.id] != (read_twice ? 2 : 1)) return (Weights){0};
        read_twice = false;
        int64_t axis = softmax_axis(rw, n, &w.scores);
        if (axis >= 0) {
            DType t = val_dtype(g, v); /* narrow formats would lose a rounding of the probabilities */
            bool fits = (t == DT_f32 || t == DT_f64) && axis == (int64_t)val_rank(g, v) - (w.turned ? 2 : 1);
            w.softmax = fits ? v : (Val){0};
            return w;
        }
        if (!w.guarded && is_guard(rw, n)) w.guarded = read_twice = true, v = n->in[2];
        else if (n->op == OP_reshape && !w.turned && keeps_rows(g, n, v)) v = n->in[0];
        else if (n->op == OP_permute && turns(n)) w.turned = !w.turned, v = n->in[0];
        else return (Weights){0};
    }
    return (Weights){0};
}

/* ---- the pass ----------------------------------------------------------------------------------------------------------- */

static Val turn(Graph *g, Loc loc, Val v) {
    int64_t perm[MAX_RANK];
    uint32_t rank = val_rank(g, v);
    for (uint32_t i = 0; i < rank; i++) perm[i] = i;
    perm[rank - 1] = (int64_t)rank - 2, perm[rank - 2] = (int64_t)rank - 1;
    return b_permute(g, loc, v, perm);
}

/* dot(x, w) as turn(dot(turn w, turn x)) has its weights on the left, where both are matrices. */
static bool weights_right(const Rewrite *rw, const Node *dot, uint32_t batch, Weights *found) {
    const Graph *g = rw->from;
    if (val_rank(g, dot->in[0]) != batch + 2) return false;
    *found = find_weights(rw, dot->in[1], true);
    return found->softmax.id != 0;
}

static Val attend(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    Graph *g = rw->to;
    if (old->op != OP_dot) return (Val){0};
    uint32_t batch = (uint32_t)attr_int(old, ATTR_batch);
    Weights found = find_weights(rw, old->in[0], false);
    bool right = !found.softmax.id && weights_right(rw, old, batch, &found);
    Loc loc = found.softmax.id ? loc_join(g->cx, node(rw->from, found.softmax)->loc, old->loc) : old->loc;
    Val left = right ? turn(g, loc, in[1]) : in[0], values = right ? turn(g, loc, in[0]) : in[1];
    const TypeInfo x = *val_type(g, left);
    Repeat repeat = {.once = values};
    bool repeats = x.rank < MAX_RANK && find_repeat(g, old->loc, values, batch, &repeat);
    if (!found.softmax.id && !repeats) return (Val){0};
    if (found.softmax.id) {
        Val scores = rw->map[found.scores.id];
        left = b_reshape(g, loc, found.turned ? turn(g, loc, scores) : scores, x.rank, x.dims);
    }
    if (repeats) left = with_repeats(g, loc, left, batch, &repeat);
    Attr chunk = found.softmax.id ? (Attr){.key = ATTR_chunk, .as.i = KEYS} : *node_attr(old, ATTR_chunk);
    Attr attrs[] = {{.key = ATTR_batch, .as.i = batch}, chunk, {.key = ATTR_guarded, .as.i = found.guarded}};
    Val y = emit(g, found.softmax.id ? OP_attend : OP_dot, loc, (Val[]){left, repeat.once}, 2, attrs, found.softmax.id ? 3 : 2);
    if (right) y = turn(g, loc, y);
    const TypeInfo *t = val_type(rw->from, old_val);
    return repeats ? b_reshape(g, loc, y, t->rank, t->dims) : y;
}

Graph *pass_attend(Context *cx, const Graph *g, const Tiers *tiers) {
    (void)tiers;
    return graph_rewrite(cx, g, attend, NULL, true);
}
