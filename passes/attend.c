/* attend.c: pass `attend`: dot(softmax(x), w), where nothing else reads the softmax, becomes attend(x, w).
 *
 * Runs before `expand`, which takes softmax apart.  The new op fixes another order of summation than the two old ones: block
 * of keys by block of keys, so that no row of scores has to be in memory whole.  What comes before x (the scores' own
 * contraction, scale, mask) is left to pass `fuse`.  Two spellings around it are undone here: rows without a number that become
 * 0 (fully masked ones, in exports of PyTorch), and heads that share their keys and values as copies of them: a contraction whose
 * right operand repeats its last batch axis is one with that many more rows.
 * Source: Dao et al. 2022 (arXiv 2205.14135); Milakov and Gimelshein 2018 (arXiv 1805.02867); Ainslie et al. 2023 (2305.13245).
 */
#include "passes.h"
#include <string.h>

enum { KEYS = 128 /* of a block: scores of 64 rows fit in the first cache */, MOST_STEPS = 4 };

/* ---- shared keys and values ----------------------------------------------------------------------------------------------- */

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

/* ---- the softmax ------------------------------------------------------------------------------------------------------------ */

typedef struct Weights { Val softmax; bool guarded; } Weights;

static bool keeps_rows(const Graph *g, const Node *reshape, Val result) {
    Val from = reshape->in[0];
    uint32_t a = val_rank(g, result), b = val_rank(g, from);
    return a && b && dim_same(val_dim(g, result, a - 1), val_dim(g, from, b - 1));
}

/* select(isnan(p), 0, p) */
static bool is_guard(const Rewrite *rw, const Node *n) {
    Scalar s;
    const Graph *g = rw->from;
    return n->op == OP_select && val_op(g, n->in[0]) == OP_isnan && val_in(g, n->in[0], 0).id == n->in[2].id &&
           val_splat(g, n->in[1], &s) && s.f == 0 && rw->uses[n->in[0].id] == 1 && rw->uses[n->in[2].id] == 2;
}

/* The softmax over the last axis that v, in the old graph, is made of by reshapes that keep its rows and by the guard. */
static Weights find_weights(const Rewrite *rw, Val v) {
    const Graph *g = rw->from;
    Weights w = {0};
    bool read_twice = false;
    for (uint32_t i = 0; i < MOST_STEPS; i++) {
        const Node *n = node(g, v);
        if (rw->uses[v.id] != (read_twice ? 2 : 1)) return (Weights){0};
        read_twice = false;
        if (n->op == OP_softmax) {
            DType t = val_dtype(g, v); /* narrow formats would lose a rounding of the probabilities */
            bool fits = (t == DT_f32 || t == DT_f64) && attr_int(n, ATTR_axis) == (int64_t)val_rank(g, v) - 1;
            w.softmax = fits ? v : (Val){0};
            return w;
        }
        if (!w.guarded && is_guard(rw, n)) w.guarded = read_twice = true, v = n->in[2];
        else if (n->op == OP_reshape && keeps_rows(g, n, v)) v = n->in[0];
        else return (Weights){0};
    }
    return (Weights){0};
}

/* ---- the pass ------------------------------------------------------------------------------------------------------------------ */

static Val attend(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    Graph *g = rw->to;
    if (old->op != OP_dot) return (Val){0};
    uint32_t batch = (uint32_t)attr_int(old, ATTR_batch);
    const TypeInfo *x = val_type(g, in[0]);
    Weights found = find_weights(rw, old->in[0]);
    Repeat repeat = {.once = in[1]};
    bool repeats = x->rank < MAX_RANK && find_repeat(g, old->loc, in[1], batch, &repeat);
    if (!found.softmax.id && !repeats) return (Val){0};
    Loc loc = found.softmax.id ? loc_join(g->cx, node(rw->from, found.softmax)->loc, old->loc) : old->loc;
    Val left = found.softmax.id ? b_reshape(g, loc, rw->map[node(rw->from, found.softmax)->in[0].id], x->rank, x->dims) : in[0];
    if (repeats) left = with_repeats(g, loc, left, batch, &repeat);
    Attr chunk = found.softmax.id ? (Attr){.key = ATTR_chunk, .as.i = KEYS} : *node_attr(old, ATTR_chunk);
    Attr attrs[] = {{.key = ATTR_batch, .as.i = batch}, chunk, {.key = ATTR_guarded, .as.i = found.guarded}};
    Val y = emit(g, found.softmax.id ? OP_attend : OP_dot, loc, (Val[]){left, repeat.once}, 2, attrs, found.softmax.id ? 3 : 2);
    const TypeInfo *t = val_type(rw->from, old_val);
    return repeats ? b_reshape(g, loc, y, t->rank, t->dims) : y;
}

Graph *pass_attend(Context *cx, const Graph *g, const Tiers *tiers) {
    (void)tiers;
    return graph_rewrite(cx, g, attend, NULL, true);
}
