/* fuse_groups.c: pass `fuse`, first decision: the groups around anchors.
 *
 * An anchor's template says what may join its group: pointwise ops over the same rows or the same tile, and views that the
 * stores of a tile can follow.  A node that depends on the group through a value outside is never taken, so groups form no
 * cycle.
 */
#include "fuse.h"
#include <string.h>

static bool same_dims(const Fusion *f, Val a, Val b) { return type_same_dims(val_type(f->g, a), val_type(f->g, b)); }

/* ---- anchors -------------------------------------------------------------------------------------------------------- */

/* What may join a kernel, by its template. */
static const GroupKind group_kind[TEMPLATE_COUNT] = {
    [TEMPLATE_map] = GROUP_MAP,          [TEMPLATE_columns] = GROUP_MAP,      [TEMPLATE_row] = GROUP_ROW,
    [TEMPLATE_contraction] = GROUP_TILE, [TEMPLATE_convolution] = GROUP_TILE, [TEMPLATE_grouped] = GROUP_TILE,
    [TEMPLATE_winograd] = GROUP_TILE,    [TEMPLATE_planes] = GROUP_TILE,      [TEMPLATE_attention] = GROUP_TILE,
    [TEMPLATE_few] = GROUP_TILE,
    [TEMPLATE_overwrite] = GROUP_ALONE,  [TEMPLATE_arg] = GROUP_ALONE,        [TEMPLATE_scatter] = GROUP_ALONE,
    [TEMPLATE_cumulate] = GROUP_ALONE,   [TEMPLATE_top_k] = GROUP_ALONE,      [TEMPLATE_nonzero] = GROUP_ALONE,
};

/* dims are outer ++ inner of the group's first reduction, or a prefix of outer axes with extents 1 after it. */
static bool row_full(const Fusion *f, const Group *gr, Val v) { return same_dims(f, v, node(f->g, gr->anchor)->in[0]); }
static bool row_kept(const Fusion *f, const Group *gr, Val v) {
    const TypeInfo *t = val_type(f->g, v), *o = val_type(f->g, gr->anchor);
    if (t->rank < o->rank || memcmp(t->dims, o->dims, o->rank * sizeof *o->dims)) return false;
    for (uint32_t i = o->rank; i < t->rank; i++)
        if (!dim_is(f->cx, t->dims[i], 1)) return false;
    return true;
}

static bool row_accepts(const Fusion *f, const Group *gr, Val v) {
    const Node *n = node(f->g, v);
    if (n->op == OP_broadcast) {
        const int64_t *axes = attr_ints(n, ATTR_axes, NULL);
        for (uint32_t i = 0; i < val_rank(f->g, n->in[0]); i++)
            if (axes[i] != i) return false;
        return row_full(f, gr, v) && row_kept(f, gr, n->in[0]);
    }
    if (n->op == OP_reshape) return row_kept(f, gr, v) && row_kept(f, gr, n->in[0]);
    if (kind_of(f, v) == KIND_EW) return row_full(f, gr, v) || row_kept(f, gr, v);
    return kind_of(f, v) == KIND_REDUCE && reduces_rows(f->g, n) == (int)gr->outer && row_full(f, gr, n->in[0]);
}

/* A permutation that ends with the rows of a contraction, tiles of which the template transposes; all that it makes of them. */
static bool ends_with_rows(const Fusion *f, const Group *gr, Val v) {
    enum { LEAST_ROWS = 8 /* side by side */ };
    const Node *n = node(f->g, v);
    Template t = anchor_template(f->g, node(f->g, gr->anchor));
    const TypeInfo *y = val_type(f->g, gr->anchor);
    bool tiles = t == TEMPLATE_contraction || t == TEMPLATE_convolution || t == TEMPLATE_few;
    if (n->op != OP_permute || !tiles || y->rank < 2) return false;
    if (dtype_bytes(y->dtype) != 4 || dtype_bytes(val_dtype(f->g, v)) != 4) return false;
    if (f->stage[n->in[0].id] || !same_dims(f, n->in[0], gr->anchor)) return false;
    uint32_t batch = contract_batch(node(f->g, gr->anchor)), axis = y->rank - 1;
    const int64_t *perm = attr_ints(n, ATTR_perm, NULL);
    while (axis > batch && perm[axis] == (int64_t)axis - 1) axis--;
    return f->uses[n->in[0].id] == 1 && dim_hint(f->cx, dim_product(f->cx, y->dims + axis, y->rank - 1 - axis)) >= LEAST_ROWS;
}

/* The first of the columns: the others' sums are not stored. */
static bool drops_columns(const Fusion *f, const Node *n) {
    if (n->op != OP_slice || f->uses[n->in[0].id] != 1) return false;
    const TypeInfo *from = val_type(f->g, n->in[0]), *to = type_info(f->cx, n->type);
    const Dim *start = attr_dims(n, ATTR_start, NULL);
    const int64_t *step = attr_ints(n, ATTR_step, NULL);
    for (uint32_t i = 0; i < to->rank; i++)
        if (step[i] != 1 || !dim_is(f->cx, start[i], 0) || (i + 1 < to->rank && !dim_same(from->dims[i], to->dims[i])))
            return false;
    return to->rank > 0;
}

static bool puts_channels_first(const Fusion *f, const Node *n) {
    static const int64_t first[] = {0, 3, 1, 2};
    return n->op == OP_permute && val_rank(f->g, n->in[0]) == COUNT(first) &&
           !memcmp(attr_ints(n, ATTR_perm, NULL), first, sizeof first);
}

/* The one reader of v, through pointwise operations that have one as well, puts channels first. */
static bool wanted_in_planes(const Fusion *f, Val v) {
    for (uint32_t i = v.id + 1; i < f->g->nodes.n && f->uses[v.id] == 1; i++) {
        const Node *n = &f->g->nodes.at[i];
        bool reads = false;
        for (uint32_t o = 0; o < n->n_in; o++) reads |= n->in[o].id == v.id;
        if (!reads) continue;
        if (op_info[n->op].kind != KIND_EW || !same_dims(f, v, (Val){i})) return puts_channels_first(f, n);
        v = (Val){i};
    }
    return false;
}

/* A piece of columns that lie side by side for that, or its columns in a row, without zeros behind them: all are read as what
 * was cut into pieces. */
static bool takes_piece(const Fusion *f, uint32_t group, const Node *n) {
    const Node *anchor = node(f->g, f->groups.at[group].anchor), *slice = n;
    if (drops_columns(f, slice) && val_op(f->g, slice->in[0]) == OP_reshape) slice = node(f->g, slice->in[0]);
    if (slice->op == OP_reshape) slice = node(f->g, slice->in[0]);
    if (!slice_pieces(f->g, slice) || f->uses[slice->in[0].id] != slice_pieces(f->g, slice)) return false;
    bool packed = val_type(f->g, anchor->in[1])->encoding != ENCODING_DENSE;
    return packed && anchor_template(f->g, anchor) == TEMPLATE_contraction && f->stage[slice->in[0].id] == slice->in[0].id;
}

static bool tile_accepts(Fusion *f, uint32_t group, Val v) {
    const Node *n = node(f->g, v);
    uint32_t stage = MANY;
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (f->group[n->in[i].id] != group) continue;
        if (ends_with_rows(f, &f->groups.at[group], n->in[i])) return false;
        uint32_t s = f->stage[n->in[i].id];
        if (stage != MANY && s != stage) return false;
        stage = s;
    }
    uint32_t rank = val_rank(f->g, v);
    /* Another permutation that moves the innermost axis would scatter the stores: readers take it as a view instead. */
    bool keeps_rows = n->op == OP_permute && rank && attr_ints(n, ATTR_perm, NULL)[rank - 1] == (int64_t)rank - 1;
    keeps_rows |= f->groups.at[group].planes && puts_channels_first(f, n);
    bool ends = ends_with_rows(f, &f->groups.at[group], v);
    bool piece = takes_piece(f, group, n);
    if (!piece && (n->op == OP_reshape || keeps_rows || ends || drops_columns(f, n))) stage = v.id;
    else if (!piece && (n->op == OP_bitcast || kind_of(f, v) != KIND_EW)) return false;
    f->stage[v.id] = stage;
    return true;
}

static bool map_accepts(const Fusion *f, const Group *gr, Val v) {
    return kind_of(f, v) == KIND_EW && same_dims(f, v, gr->anchor);
}

static bool accepts(Fusion *f, uint32_t group, Val v) {
    const Group *gr = &f->groups.at[group];
    switch (gr->kind) {
    case GROUP_ROW: return row_accepts(f, gr, v);
    case GROUP_TILE: return tile_accepts(f, group, v);
    case GROUP_MAP: return map_accepts(f, gr, v);
    case GROUP_ALONE:
    case GROUP_NONE: break;
    }
    return false;
}

/* By node: tainted: depends on the group at hand through a node outside it; seen: among the ancestors that pending leads to. */
typedef struct Growth { bool *tainted, *seen; VEC(Val) pending; } Growth;

static void look_at(Fusion *f, Growth *w, Val v) {
    if (w->seen[v.id]) return;
    w->seen[v.id] = true;
    vec_push(f->arena, &w->pending, v);
}

/* An operand of n from outside of the group is made of the group's results, where groups are kernels: all of one runs before
 * any member's result is read. */
static bool comes_back(Fusion *f, uint32_t group, const Node *n, Growth *w) {
    memset(w->seen, 0, f->g->nodes.n * sizeof *w->seen);
    w->pending.n = 0;
    for (uint32_t o = 0; o < n->n_in; o++)
        if (f->group[n->in[o].id] != group) look_at(f, w, n->in[o]);
    while (w->pending.n) {
        Val v = w->pending.at[--w->pending.n];
        uint32_t other = f->group[v.id];
        if (other == group) return true;
        for (uint32_t i = f->groups.at[other].first; other && i <= f->groups.at[other].last; i++)
            if (f->group[i] == other) look_at(f, w, (Val){i});
        for (uint32_t o = 0; o < node(f->g, v)->n_in; o++) look_at(f, w, node(f->g, v)->in[o]);
    }
    return false;
}

/* Takes in what follows the anchor. */
static void grow(Fusion *f, uint32_t group, Growth *w) {
    const Graph *g = f->g;
    uint32_t first = f->groups.at[group].anchor.id, last = first, members = 1;
    memset(w->tainted, 0, g->nodes.n * sizeof *w->tainted);
    for (uint32_t i = first + 1; i < g->nodes.n && i < last + 512; i++) {
        const Node *n = &g->nodes.at[i];
        bool inside = false, bad = false;
        for (uint32_t o = 0; o < n->n_in; o++) {
            inside |= f->group[n->in[o].id] == group;
            bad |= w->tainted[n->in[o].id];
        }
        if (!inside && !bad) continue;
        bool free_node = !f->group[i] && (is_inlinable(op_info[n->op].kind) || op_info[n->op].kind == KIND_REDUCE);
        bool taken = !bad && free_node && !is_widened(f, (Val){i}) && members < 200 && accepts(f, group, (Val){i});
        if (!taken || comes_back(f, group, n, w)) {
            w->tainted[i] = true;
            continue;
        }
        f->group[i] = group;
        members++, last = i;
    }
    f->groups.at[group].last = last;
}

/* The contraction that v comes from through pointwise ops and reshapes that keep the last axis, all of which nothing else
 * reads; they join the group of the `attend` that reads v, and whose scores have its extents.  Its K is one chunk, so that
 * its sums are finished when a tile is. */
static bool take_product(Fusion *f, const Node *attend, Val v, uint32_t group, uint32_t fuel) {
    const Node *n = node(f->g, v);
    if (f->uses[v.id] != 1 || f->group[v.id] || fuel == 0) return false;
    bool taken = false;
    if (n->op == OP_dot) {
        const TypeInfo *w = val_type(f->g, n->in[1]);
        Dim chunk = dim_const(f->cx, attr_int(n, ATTR_chunk));
        taken = w->encoding == ENCODING_DENSE && attr_int(n, ATTR_batch) == attr_int(attend, ATTR_batch) &&
                prove(f->cx, NULL, REL_LE, w->dims[w->rank - 2], chunk) == YES && same_dims(f, v, attend->in[0]);
    }
    uint32_t rank = val_rank(f->g, v);
    if (n->op == OP_reshape && rank &&
        dim_same(val_dim(f->g, v, rank - 1), val_dim(f->g, n->in[0], val_rank(f->g, n->in[0]) - 1)))
        taken = take_product(f, attend, n->in[0], group, fuel - 1);
    for (uint32_t i = 0; kind_of(f, v) == KIND_EW && i < n->n_in && !taken; i++)
        taken = take_product(f, attend, n->in[i], group, fuel - 1);
    if (!taken) return false;
    Group *gr = &f->groups.at[group];
    f->group[v.id] = group, gr->first = v.id < gr->first ? v.id : gr->first;
    return true;
}

/* What a group widens at its end for one pointwise member of another, that one widens: memory holds the narrow numbers. */
static void leave_widening(Fusion *f) {
    const Graph *g = f->g;
    bool *moves = arena_new_array(f->arena, bool, g->nodes.n);
    for (uint32_t i = 1; i < g->nodes.n; i++)
        for (uint32_t o = 0; o < g->nodes.at[i].n_in; o++) {
            Val v = g->nodes.at[i].in[o];
            moves[v.id] = f->uses[v.id] == 1 && f->group[i] && f->group[i] != f->group[v.id] && kind_of(f, (Val){i}) == KIND_EW;
        }
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        Val v = {i}, from = g->nodes.at[i].n_in ? g->nodes.at[i].in[0] : (Val){0};
        if (!moves[i] || val_op(g, v) != OP_convert || !f->group[i] || f->group[from.id] != f->group[i]) continue;
        DType narrow = val_dtype(g, from), wide = val_dtype(g, v);
        if (dtype_is_float(narrow) && dtype_is_float(wide) && dtype_bytes(narrow) < dtype_bytes(wide)) f->group[i] = 0;
    }
}

/* Nothing but `reader` takes anything of the group, and that `v` alone, which has the anchor's elements one by one. */
static bool leads_only_to(const Fusion *f, uint32_t group, Val v, Val reader) {
    const Graph *g = f->g;
    if (f->uses[v.id] != 1 || !same_dims(f, v, f->groups.at[group].anchor)) return false;
    for (uint32_t i = f->groups.at[group].anchor.id; i < g->nodes.n; i++) {
        bool member = f->group[i] == group;
        if (member && f->stage[i]) return false; /* a view */
        for (uint32_t o = 0; o < g->nodes.at[i].n_in && !member; o++)
            if (f->group[g->nodes.at[i].in[o].id] == group && (i != reader.id || o != 0) && f->uses[i]) return false;
    }
    for (uint32_t i = 0; i < g->results.n; i++)
        if (f->group[g->results.at[i].id] == group) return false;
    return true;
}

/* The convolution whose result the anchor of `group` takes joins it: a depthwise one before one of one tap, or one before
 * windows. */
static void take_convolution(Fusion *f, uint32_t group) {
    Val to = f->groups.at[group].anchor;
    const Node *n = node(f->g, to);
    uint32_t from = n->op == OP_conv || node_attr(n, ATTR_window) ? f->group[n->in[0].id] : 0;
    Group *gr = &f->groups.at[from];
    if (!from || gr->kind != GROUP_TILE || gr->planes || gr->before.id) return;
    const Node *conv = node(f->g, gr->anchor);
    bool pays = n->op == OP_conv ? pays_as_separable(f->g, conv, n, f->tiers) : pays_as_pooled(f->g, conv, n, f->tiers);
    if (!pays || !leads_only_to(f, from, n->in[0], to)) return;
    for (uint32_t i = gr->anchor.id; i < to.id; i++)
        if (f->group[i] == from) f->group[i] = group;
    Group *its = &f->groups.at[group];
    gr->kind = GROUP_NONE, its->kind = GROUP_TILE, its->before = gr->anchor, its->first = gr->first;
}

void fuse_groups(Fusion *f) {
    Growth growth = {arena_new_array(f->arena, bool, f->g->nodes.n), arena_new_array(f->arena, bool, f->g->nodes.n), {0}};
    for (uint32_t attends = 2; attends-- > 0;) /* first those that reach back for an anchor before them */
        for (uint32_t i = 1; i < f->g->nodes.n; i++) {
            Val v = {i};
            if (!is_anchor(kind_of(f, v)) || f->group[i] || (val_op(f->g, v) == OP_attend) != attends) continue;
            const Node *n = node(f->g, v);
            int outer = reduces_rows(f->g, n);
            Group gr = {.kind = group_kind[anchor_template(f->g, n)], .anchor = v, .first = i, .last = i};
            gr.outer = outer < 0 ? 0 : (uint32_t)outer;
            gr.planes = reads_planes(f->g, n) && wanted_in_planes(f, v);
            vec_push(f->arena, &f->groups, gr);
            f->group[i] = f->groups.n - 1;
            if (attends) take_product(f, n, n->in[0], f->group[i], 16);
            if (gr.kind == GROUP_TILE) take_convolution(f, f->groups.n - 1);
            grow(f, f->groups.n - 1, &growth);
            if (gr.kind == GROUP_MAP) take_convolution(f, f->groups.n - 1);
        }
    leave_widening(f);
}
