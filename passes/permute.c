/* permute.c: pass `permute`: pushes permutations down until they meet their inverse.
 *
 * Convolutions are channels-last; the importer wraps each in permutations.  Here a permutation in front of an operation moves
 * behind it, operation by operation, and cancels against the one in front of the next convolution (fold: permute of permute),
 * so that a CNN computes in one layout from its first convolution to its last.
 * Laws, each exact: f(permute a, permute b) = permute f(a, b) elementwise; the same for windows, reductions, pads, slices,
 * gathers along an axis and concatenations with their per-axis attributes permuted; an operand that is no permutation is
 * permuted the other way, which must be free (a splat, a broadcast of a smaller value).  Behind a reshape a permutation goes
 * where another one waits further down, block of axes by block: tokens that become an image, channels that are shuffled
 * between convolutions.
 */
#include "passes.h"

typedef struct Perm { uint32_t n; int64_t at[MAX_RANK]; } Perm;

static Perm invert(const Perm *p) {
    Perm q = {.n = p->n};
    for (uint32_t i = 0; i < p->n; i++) q.at[p->at[i]] = i;
    return q;
}

static bool is_permute(const Graph *g, Val v, Perm *p) {
    if (val_op(g, v) != OP_permute) return false;
    const int64_t *perm = attr_ints(node(g, v), ATTR_perm, &p->n);
    for (uint32_t i = 0; i < p->n; i++) p->at[i] = perm[i];
    return true;
}

static bool same_perm(const Perm *a, const Perm *b) {
    if (a->n != b->n) return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (a->at[i] != b->at[i]) return false;
    return true;
}

/* Permuting v costs nothing at run time: a splat, a constant, or a broadcast (its source is smaller). */
static bool permutes_free(const Graph *g, Val v) {
    Op op = val_op(g, v);
    return val_splat(g, v, &(Scalar){0}) || op == OP_const || op == OP_broadcast;
}

/* The permutation that all moving operands share; false where there is none or another operand would cost. */
static bool common_perm(const Graph *g, const Val *in, uint32_t n, Perm *p) {
    bool any = false;
    for (uint32_t i = 0; i < n; i++) {
        Perm q;
        if (is_permute(g, in[i], &q)) {
            if (any && !same_perm(p, &q)) return false;
            *p = q, any = true;
        } else if (!permutes_free(g, in[i])) {
            return false;
        }
    }
    return any;
}

/* v as it was before `p`: the operand of its permutation, or v permuted back. */
static Val before(Graph *g, Loc loc, Val v, const Perm *p) {
    Perm q;
    if (is_permute(g, v, &q)) return val_in(g, v, 0);
    Perm back = invert(p);
    if (val_op(g, v) == OP_broadcast) {
        const Node *n = node(g, v);
        uint32_t k;
        const int64_t *axes = attr_ints(n, ATTR_axes, &k);
        int64_t moved[MAX_RANK], order[MAX_RANK];
        Dim dims[MAX_RANK];
        /* Result axis i of v becomes axis p[i] of what was before; source axes must stay ascending. */
        for (uint32_t i = 0; i < p->n; i++) dims[p->at[i]] = val_dim(g, v, i);
        for (uint32_t i = 0; i < k; i++) order[i] = i;
        for (uint32_t i = 0; i < k; i++)
            for (uint32_t j = i; j > 0 && p->at[axes[order[j]]] < p->at[axes[order[j - 1]]]; j--) {
                int64_t t = order[j];
                order[j] = order[j - 1], order[j - 1] = t;
            }
        for (uint32_t i = 0; i < k; i++) moved[i] = p->at[axes[order[i]]];
        return b_broadcast(g, loc, b_permute(g, loc, n->in[0], order), p->n, dims, moved);
    }
    return b_permute(g, loc, v, back.at);
}

static Attr permuted_attr(Graph *g, const Attr *a, const Perm *p) {
    Attr out = *a;
    if (a->n != p->n) return out;
    if (attr_info[a->key].type == AT_INTS) {
        int64_t *ints = arena_new_array(g->arena, int64_t, p->n);
        for (uint32_t i = 0; i < p->n; i++) ints[p->at[i]] = a->as.ints[i];
        out.as.ints = ints;
    } else if (attr_info[a->key].type == AT_DIMS) {
        Dim *dims = arena_new_array(g->arena, Dim, p->n);
        for (uint32_t i = 0; i < p->n; i++) dims[p->at[i]] = a->as.dims[i];
        out.as.dims = dims;
    }
    return out;
}

/* The operation on what was before, with per-axis attributes moved; then the permutation. */
static Val move_below(Graph *g, const Node *old, const Val *in, uint32_t n_moving, const Perm *p) {
    Val operands[64];
    Attr attrs[12];
    for (uint32_t i = 0; i < old->n_in; i++) operands[i] = i < n_moving ? before(g, old->loc, in[i], p) : in[i];
    for (uint32_t i = 0; i < old->n_attrs; i++) {
        attrs[i] = permuted_attr(g, &old->attrs[i], p);
        if (attrs[i].key == ATTR_axis) attrs[i].as.i = p->at[attrs[i].as.i];
    }
    return b_permute(g, old->loc, emit(g, old->op, old->loc, operands, old->n_in, attrs, old->n_attrs), p->at);
}

/* Reduced axes vanish: those of before, ascending, then a permutation of the rest. */
static Val move_reduction(Graph *g, const Node *old, Val in, const Perm *p) {
    uint32_t n_axes;
    const int64_t *axes = attr_ints(old, ATTR_axes, &n_axes);
    bool reduced[MAX_RANK] = {0};
    int64_t moved[MAX_RANK], rest[MAX_RANK], place[MAX_RANK];
    uint32_t n = 0, kept = 0, out = 0;
    for (uint32_t i = 0; i < n_axes; i++) reduced[p->at[axes[i]]] = true;
    for (uint32_t i = 0; i < p->n; i++)
        if (reduced[i]) moved[n++] = i;
        else place[i] = kept++;
    bool ascending = true;
    for (uint32_t i = 0; i + 1 < n_axes; i++) ascending &= p->at[axes[i]] < p->at[axes[i + 1]];
    if (!ascending) return (Val){0}; /* the order of additions would change */
    for (uint32_t i = 0, next = 0; i < p->n; i++) {
        if (next < n_axes && axes[next] == i) next++;
        else rest[out++] = place[p->at[i]];
    }
    Attr attrs[] = {{.key = ATTR_axes, .n = n, .as.ints = moved}, {.key = ATTR_order, .as.i = attr_int(old, ATTR_order)}};
    Val source = val_in(g, in, 0);
    return b_permute(g, old->loc, emit(g, old->op, old->loc, &source, 1, attrs, 2), rest);
}

/* Picks places of one axis, which stays one axis: resizing, reflected edges. */
static bool gathers_along(const Graph *g, const Node *old, const Val *in) {
    return old->op == OP_gather && val_rank(g, in[1]) == 1 && attr_int(old, ATTR_batch) == 0;
}

/* ---- reshapes ----------------------------------------------------------------------------------------------------------- */

/* Axes [from, from_end) of a reshape's operand hold the same elements as axes [to, to_end) of its result. */
typedef struct Block { uint32_t from, from_end, to, to_end; int64_t last; /* of the axes before the permutation */ } Block;

/* The next block with the fewest axes; false where the rest has none. */
static bool next_block(Context *cx, const TypeInfo *a, const TypeInfo *b, Block *block) {
    for (uint32_t sum = 2; sum <= a->rank - block->from + b->rank - block->to; sum++)
        for (uint32_t n = 1; n < sum; n++) {
            uint32_t m = sum - n;
            if (block->from + n > a->rank || block->to + m > b->rank) continue;
            if (!dim_same(dim_product(cx, a->dims + block->from, n), dim_product(cx, b->dims + block->to, m))) continue;
            block->from_end = block->from + n, block->to_end = block->to + m;
            return true;
        }
    return false;
}

/* Blocks of both, in their order; 0: there are none. */
static uint32_t split_blocks(Context *cx, const TypeInfo *a, const TypeInfo *b, Block *blocks) {
    uint32_t n = 0, from = 0, to = 0;
    while (from < a->rank && to < b->rank) {
        blocks[n] = (Block){.from = from, .to = to};
        if (!next_block(cx, a, b, &blocks[n])) break;
        from = blocks[n].from_end, to = blocks[n].to_end, n++;
    }
    for (; n && from < a->rank && dim_is(cx, a->dims[from], 1); from++) blocks[n - 1].from_end++;
    for (; n && to < b->rank && dim_is(cx, b->dims[to], 1); to++) blocks[n - 1].to_end++;
    return from == a->rank && to == b->rank ? n : 0;
}

static void sort_blocks(Block *blocks, uint32_t n) {
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t j = i; j > 0 && blocks[j].last < blocks[j - 1].last; j--) {
            Block t = blocks[j];
            blocks[j] = blocks[j - 1], blocks[j - 1] = t;
        }
}

/* reshape(permute(x, p)) as permute(reshape(permute(x, inner)), outer): blocks stand in the order of x's last axes, and only
 * axes within a block are moved before the reshape: mostly none. */
static Val move_reshape(Graph *g, const Node *old, Val in, const Perm *p) {
    Context *cx = g->cx;
    const TypeInfo *a = val_type(g, in), *b = type_info(cx, old->type);
    Block blocks[MAX_RANK];
    uint32_t n = split_blocks(cx, a, b, blocks);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = blocks[i].from; k < blocks[i].from_end; k++)
            if (p->at[k] > blocks[i].last) blocks[i].last = p->at[k];
    sort_blocks(blocks, n);
    int64_t inner[MAX_RANK], outer[MAX_RANK];
    Dim dims[MAX_RANK];
    uint32_t rank = 0, from = 0;
    bool moves = false;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = blocks[i].from; k < blocks[i].from_end; k++) inner[from++] = p->at[k];
        for (uint32_t k = blocks[i].to; k < blocks[i].to_end; k++, rank++) {
            moves |= rank != k;
            dims[rank] = b->dims[k], outer[k] = rank;
        }
    }
    if (!moves) return (Val){0};
    Val first = b_permute(g, old->loc, val_in(g, in, 0), inner);
    return b_permute(g, old->loc, b_reshape(g, old->loc, first, rank, dims), outer);
}

/* Of each value whether a permutation reads it, at once or behind operations that let one pass. */
static bool *find_awaited(Arena *arena, const Graph *g) {
    bool *awaited = arena_new_array(arena, bool, g->nodes.n);
    for (uint32_t i = g->nodes.n - 1; i > 0; i--) {
        const Node *n = &g->nodes.at[i];
        OpKind kind = op_info[n->op].kind;
        bool passes = kind == KIND_EW || n->op == OP_concat || n->op == OP_reshape || n->op == OP_pad || n->op == OP_slice ||
                      (node_attr(n, ATTR_window) && kind == KIND_REDUCE);
        if (n->op != OP_permute && !(passes && awaited[i])) continue;
        for (uint32_t k = 0; k < n->n_in; k++) awaited[n->in[k].id] = true;
    }
    return awaited;
}

static Val sink(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    Graph *g = rw->to;
    Perm p;
    const bool *awaited = rw->user;
    OpKind kind = op_info[old->op].kind;
    if (old->n_in == 0 || old->n_in > 60) return (Val){0};
    if (kind == KIND_EW || old->op == OP_concat)
        return common_perm(g, in, old->n_in, &p) ? move_below(g, old, in, old->n_in, &p) : (Val){0};
    if (!is_permute(g, in[0], &p)) return (Val){0};
    if (old->op == OP_reshape) return awaited[old_val.id] ? move_reshape(g, old, in[0], &p) : (Val){0};
    if (node_attr(old, ATTR_window) && kind == KIND_REDUCE) return move_below(g, old, in, 1, &p);
    if (kind == KIND_REDUCE) return move_reduction(g, old, in[0], &p);
    if (old->op == OP_pad || old->op == OP_slice || gathers_along(g, old, in)) return move_below(g, old, in, 1, &p);
    return (Val){0};
}

Graph *pass_permute(Context *cx, const Graph *g, const Tiers *tiers) {
    (void)tiers;
    return graph_rewrite(cx, g, sink, find_awaited(g->arena, g), true);
}
