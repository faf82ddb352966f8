/* fuse.c: pass `fuse`: partitions a graph into kernel nodes.
 *
 * Two decisions.  (1) Every anchor (reduction, contraction, window, sort …) opens a group and takes in, in one scan forwards,
 * the nodes after it that its template can compute in the same loops: `accepts`.  A node that depends on the group through a
 * value outside is never taken, so groups form no cycle.  (2) Of the remaining nodes, consumers first, each is either
 * computed inside its one reader or materialised as a map kernel of its own.  Views never move data by themselves; a
 * materialised reshape is an alias and stays outside kernels.
 *
 * In: core ops, no MACRO.  Out: kernels, constants, reshapes of buffers, tuples, control flow.
 * Source: ir.md section 2 "Formation"; XLA hero / IREE root / Hidet anchor agree on the scheme.
 */
#include "passes.h"
#include <string.h>

typedef enum GroupKind { GROUP_NONE, GROUP_MAP, GROUP_ROW, GROUP_TILE, GROUP_ALONE } GroupKind;
typedef struct Group {
    GroupKind kind;
    Val anchor;
    uint32_t outer;              /* ROW: number of outer axes */
    bool planes;                 /* TILE: channels lie first in the operand and in what is made of the result */
    VEC(Val) outputs;            /* members read from outside */
} Group;
#define MANY UINT32_MAX /* readers */
enum { MAX_DEPTH = 48 };

typedef struct Fusion {
    Context *cx;
    Arena *arena;
    const Graph *g;
    VEC(Group) groups;           /* [0] unused */
    uint32_t *group;             /* by node: the group it is a member of */
    uint32_t *stage;             /* TILE members: the view after which their index space is the result's */
    uint32_t *reader;            /* by node: the one group that computes or reads it; 0 none, MANY */
    bool *stored;                /* by node: lives in a buffer */
    uint8_t *depth;              /* of inlining below a node */
    uint32_t *uses;
    uint32_t *space_uses;        /* uses by views other than broadcast */
    Val *body_map;               /* Body.map */
    VEC(Val) finders;            /* nodes that bind an extent while running */
    bool *read_as_extent;        /* by node: a finder whose extent some type or attribute mentions */
} Fusion;

static OpKind kind_of(const Fusion *f, Val v) { return op_info[val_op(f->g, v)].kind; }
static bool is_anchor(OpKind k) { return k == KIND_REDUCE || k == KIND_CONTRACT || k == KIND_ANCHOR; }
static bool is_inlinable(OpKind k) { return k == KIND_EW || k == KIND_VIEW || k == KIND_INDEXED; }
static bool is_free(const Fusion *f, Val v) {
    Op op = val_op(f->g, v);
    return op == OP_iota || op == OP_dim || val_splat(f->g, v, &(Scalar){0});
}

static bool same_dims(const Fusion *f, Val a, Val b) {
    const TypeInfo *x = val_type(f->g, a), *y = val_type(f->g, b);
    return x->rank == y->rank && memcmp(x->dims, y->dims, x->rank * sizeof *x->dims) == 0;
}

/* A wider copy of what lies in memory anyway: its readers make their own. */
static bool is_widened(const Fusion *f, Val v) {
    const Node *n = node(f->g, v);
    if (n->op != OP_convert || f->uses[n->in[0].id] < 2) return false;
    DType from = val_dtype(f->g, n->in[0]), to = val_dtype(f->g, v);
    return dtype_is_float(from) && dtype_is_float(to) && dtype_bytes(from) < dtype_bytes(to);
}

/* ---- anchors -------------------------------------------------------------------------------------------------------- */

/* What may join a kernel, by its template. */
static const GroupKind group_kind[TEMPLATE_COUNT] = {
    [TEMPLATE_map] = GROUP_MAP,          [TEMPLATE_columns] = GROUP_MAP,   [TEMPLATE_row] = GROUP_ROW, [TEMPLATE_contraction] = GROUP_TILE,
    [TEMPLATE_convolution] = GROUP_TILE, [TEMPLATE_grouped] = GROUP_TILE,  [TEMPLATE_winograd] = GROUP_TILE, [TEMPLATE_planes] = GROUP_TILE,
    [TEMPLATE_attention] = GROUP_TILE,   [TEMPLATE_overwrite] = GROUP_ALONE,
    [TEMPLATE_arg] = GROUP_ALONE,        [TEMPLATE_scatter] = GROUP_ALONE, [TEMPLATE_cumulate] = GROUP_ALONE,
    [TEMPLATE_top_k] = GROUP_ALONE,      [TEMPLATE_nonzero] = GROUP_ALONE,
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
    if (n->op != OP_permute || (t != TEMPLATE_contraction && t != TEMPLATE_convolution) || y->rank < 2) return false;
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
        if (step[i] != 1 || !dim_is(f->cx, start[i], 0) || (i + 1 < to->rank && !dim_same(from->dims[i], to->dims[i]))) return false;
    return to->rank > 0;
}

static bool puts_channels_first(const Fusion *f, const Node *n) {
    static const int64_t first[] = {0, 3, 1, 2};
    return n->op == OP_permute && val_rank(f->g, n->in[0]) == COUNT(first) && !memcmp(attr_ints(n, ATTR_perm, NULL), first, sizeof first);
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
    if (n->op == OP_reshape || keeps_rows || ends || drops_columns(f, n)) stage = v.id;
    else if (n->op == OP_bitcast || kind_of(f, v) != KIND_EW) return false;
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

/* Takes in what follows the anchor.  tainted: depends on the group through a node outside it. */
static void grow(Fusion *f, uint32_t group, bool *tainted) {
    const Graph *g = f->g;
    uint32_t first = f->groups.at[group].anchor.id, last = first, members = 1;
    memset(tainted, 0, g->nodes.n * sizeof *tainted);
    for (uint32_t i = first + 1; i < g->nodes.n && i < last + 512; i++) {
        const Node *n = &g->nodes.at[i];
        bool inside = false, bad = false;
        for (uint32_t o = 0; o < n->n_in; o++) {
            inside |= f->group[n->in[o].id] == group;
            bad |= tainted[n->in[o].id];
        }
        if (!inside && !bad) continue;
        bool free_node = !f->group[i] && (is_inlinable(op_info[n->op].kind) || op_info[n->op].kind == KIND_REDUCE);
        if (bad || !free_node || is_widened(f, (Val){i}) || members >= 200 || !accepts(f, group, (Val){i})) {
            tainted[i] = true;
            continue;
        }
        f->group[i] = group;
        members++, last = i;
    }
}

/* The contraction that v comes from through pointwise ops and reshapes that keep the last axis, all of which nothing else reads;
 * they join the group of the `attend` that reads v, and whose scores have its extents.  Its K is one chunk, so that its sums are finished when a tile is. */
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
    if (n->op == OP_reshape && rank && dim_same(val_dim(f->g, v, rank - 1), val_dim(f->g, n->in[0], val_rank(f->g, n->in[0]) - 1)))
        taken = take_product(f, attend, n->in[0], group, fuel - 1);
    for (uint32_t i = 0; kind_of(f, v) == KIND_EW && i < n->n_in && !taken; i++) taken = take_product(f, attend, n->in[i], group, fuel - 1);
    if (taken) f->group[v.id] = group;
    return taken;
}

static void find_anchors(Fusion *f) {
    bool *tainted = arena_new_array(f->arena, bool, f->g->nodes.n);
    for (uint32_t attends = 2; attends-- > 0;) /* first those that reach back for an anchor before them */
        for (uint32_t i = 1; i < f->g->nodes.n; i++) {
            Val v = {i};
            if (!is_anchor(kind_of(f, v)) || f->group[i] || (val_op(f->g, v) == OP_attend) != attends) continue;
            const Node *n = node(f->g, v);
            int outer = reduces_rows(f->g, n);
            Group gr = {.kind = group_kind[anchor_template(f->g, n)], .anchor = v, .outer = outer < 0 ? 0 : (uint32_t)outer};
            gr.planes = reads_planes(f->g, n) && wanted_in_planes(f, v);
            vec_push(f->arena, &f->groups, gr);
            f->group[i] = f->groups.n - 1;
            if (attends) take_product(f, n, n->in[0], f->group[i], 16);
            grow(f, f->groups.n - 1, tainted);
        }
}

/* ---- the rest ------------------------------------------------------------------------------------------------------- */

static void read_by(Fusion *f, Val v, uint32_t group) {
    uint32_t *r = &f->reader[v.id];
    *r = *r == 0 || *r == group ? group : MANY;
}

/* A convolution of one tap, whose channels do not all lie in the same lines of the first cache. */
static bool one_tap(const Fusion *f, const Node *n) {
    enum { SAME_SET = 1024 /* elements */ };
    if (n->op != OP_conv) return false;
    const TypeInfo *w = val_type(f->g, n->in[1]), *x = val_type(f->g, n->in[0]);
    if (!dim_is(f->cx, dim_product(f->cx, w->dims, w->rank - 2), 1)) return false;
    return dim_hint(f->cx, dim_product(f->cx, x->dims + 1, x->rank - 2)) % SAME_SET != 0;
}

/* What attention's scores ask with is evaluated once, by the task that its row belongs to. */
static bool is_query(const Fusion *f, const Group *gr, const Node *n, uint32_t i) {
    Val v = n->in[i], base = v;
    bool contiguous;
    if (n->op != OP_dot || i != 0 || val_op(f->g, gr->anchor) != OP_attend) return false;
    if (kind_of(f, v) == KIND_VIEW && !operand_is_affine(f->g, v, &base, &contiguous)) return false;
    return kind_of(f, base) == KIND_EW && !f->group[base.id] && f->uses[base.id] == 1;
}

/* Operand i of anchor n must be a buffer, or a view of one that its template can address. */
static void anchor_operand(Fusion *f, const Group *gr, const Node *n, uint32_t i) {
    Val v = n->in[i], base;
    bool contiguous;
    int64_t channels;
    if (n->op == OP_attend && i == 0) return; /* each score is read once */
    bool addressed = gr->kind == GROUP_TILE && (i == 0 || n->op == OP_conv);
    bool repeated = op_info[n->op].traits & REREADS || kind_of(f, gr->anchor) == KIND_ANCHOR;
    if (!is_inlinable(kind_of(f, v)) || is_query(f, gr, n, i)) return;
    if (gr->kind == GROUP_MAP && is_widened(f, v)) {
        f->stored[node(f->g, v)->in[0].id] = true;
        return;
    }
    if (kind_of(f, v) != KIND_VIEW && repeated) f->stored[v.id] = true;
    if (kind_of(f, v) != KIND_VIEW || !(addressed || repeated)) return;
    /* Every tap would walk channels with a stride: one transpose is cheaper, but for one tap, or the few channels of a first layer. */
    bool few = dim_const_value(f->cx, val_dim(f->g, v, val_rank(f->g, v) - 1), &channels) && channels < 8;
    bool image = op_info[n->op].kind == KIND_CONTRACT && node_attr(n, ATTR_low) && i == 0;
    Template its = anchor_template(f->g, n);
    few = (few || one_tap(f, n)) && its != TEMPLATE_grouped && its != TEMPLATE_winograd && its != TEMPLATE_planes;
    few |= gr->planes;
    if (!operand_is_affine(f->g, v, &base, &contiguous)) f->stored[v.id] = true;
    else if (image && !contiguous && !few) f->stored[v.id] = true;
    else if (base.id != v.id && is_inlinable(kind_of(f, base))) f->stored[base.id] = true;
}

/* A row is read by each of its passes, in vectors: what would be gathered is transposed first. */
static bool crosses_rows(const Fusion *f, uint32_t group, Val v) {
    enum { SHORT = 8 };
    if (!group || group == MANY || f->groups.at[group].kind != GROUP_ROW || kind_of(f, v) != KIND_VIEW || f->group[v.id]) return false;
    uint32_t rank = val_rank(f->g, v);
    return rank && dim_hint(f->cx, val_dim(f->g, v, rank - 1)) >= SHORT && operand_strides(f->g, v);
}

/* What computing an element of v takes beyond reading memory, as far as nothing on the way is stored; at most `enough`. */
static int64_t cost_of(const Fusion *f, Val v, int64_t enough) {
    const Node *n = node(f->g, v);
    OpKind kind = op_info[n->op].kind;
    if ((kind != KIND_EW && kind != KIND_VIEW) || f->group[v.id] || f->stored[v.id] || is_free(f, v)) return 0;
    int64_t cost = op_info[n->op].cost > 1 ? op_info[n->op].cost : 1; /* views too, so that the walk ends */
    for (uint32_t i = 0; i < n->n_in && cost < enough; i++) cost += cost_of(f, n->in[i], enough - cost);
    return cost;
}

/* A few scalar instructions on extents: no kernel is worth it. */
static bool made_of_extents(const Fusion *f, Val v, uint32_t fuel) {
    const Node *n = node(f->g, v);
    if (is_free(f, v)) return true;
    bool made = kind_of(f, v) == KIND_EW && val_rank(f->g, v) == 0 && fuel > 0;
    for (uint32_t i = 0; i < n->n_in && made; i++) made = made_of_extents(f, n->in[i], fuel - 1);
    return made;
}

/* Operand i of n is asked for the same element again and again: its value through views, where that is worth a buffer. */
static Val worth_storing(const Fusion *f, const Node *n, uint32_t i) {
    enum { ENOUGH = 16 /* against a load */, TIMES = 4, LAUNCH = 1 << 15 /* lanes of instructions, as in work.c */ };
    Val v = n->in[i];
    bool picks = n->op == OP_gather && i == 1;
    if (n->op != OP_broadcast && !picks) return (Val){0};
    int64_t from = dim_hint(f->cx, type_elements(f->cx, node(f->g, v)->type)), to = dim_hint(f->cx, type_elements(f->cx, n->type));
    while (kind_of(f, v) == KIND_VIEW) v = val_in(f->g, v, 0);
    if (from < 1 || to / from < TIMES || to < LAUNCH / ENOUGH || kind_of(f, v) != KIND_EW || f->group[v.id]) return (Val){0};
    return cost_of(f, v, ENOUGH) >= ENOUGH ? v : (Val){0};
}

static void visit_uses(Fusion *f, Val user) {
    const Node *n = node(f->g, user);
    uint32_t group = f->group[user.id];
    bool structural = op_info[n->op].kind == KIND_CONTROL || op_info[n->op].kind == KIND_GROUP;
    for (uint32_t i = 0; i < n->n_in; i++) {
        Val v = n->in[i];
        if (structural || crosses_rows(f, group ? group : f->reader[user.id], v)) f->stored[v.id] = true;
        if (!structural) read_by(f, v, group ? group : f->reader[user.id]);
        if (group && is_anchor(op_info[n->op].kind)) anchor_operand(f, &f->groups.at[group], n, i);
        bool widens = n->op == OP_broadcast && !dim_same(type_elements(f->cx, n->type), type_elements(f->cx, node(f->g, v)->type));
        if (widens && kind_of(f, v) == KIND_EW && !f->group[v.id] && !made_of_extents(f, v, 4)) f->stored[v.id] = true;
        Val kept = worth_storing(f, n, i);
        if (kept.id) f->stored[kept.id] = true;
        if (op_info[n->op].kind == KIND_VIEW || op_info[n->op].kind == KIND_INDEXED) f->space_uses[v.id] += n->op != OP_broadcast;
        if (!group && !f->stored[user.id] && f->depth[user.id] >= f->depth[v.id]) f->depth[v.id] = f->depth[user.id] + 1;
    }
}

static bool must_store(const Fusion *f, Val v) {
    OpKind kind = kind_of(f, v);
    if (is_free(f, v)) return false;
    if (f->depth[v.id] > MAX_DEPTH) return true;
    if (kind == KIND_VIEW || is_widened(f, v)) return false;
    if (f->reader[v.id] == MANY) return true;
    return f->space_uses[v.id] > 0 && f->uses[v.id] > 1;
}

static void decide_rest(Fusion *f) {
    const Graph *g = f->g;
    for (uint32_t i = 0; i < g->results.n; i++) f->stored[g->results.at[i].id] = true;
    for (uint32_t i = g->nodes.n; i-- > 1;) {
        Val v = {i};
        const Node *n = &g->nodes.at[i];
        if (f->uses[i] == 0 && !f->stored[i]) continue;
        bool made_free = is_free(f, v) && f->stored[i] && (n->op != OP_const || val_splat(g, v, &(Scalar){0}));
        if ((is_inlinable(op_info[n->op].kind) || made_free) && !f->group[i]) {
            if (!f->stored[i] && must_store(f, v)) f->stored[i] = true;
            bool alias = f->stored[i] && n->op == OP_reshape;
            if (alias && !is_free(f, n->in[0])) {
                f->stored[n->in[0].id] = true;
                continue;
            }
            if (f->stored[i]) {
                Group gr = {.kind = GROUP_MAP, .anchor = v};
                vec_push(f->arena, &f->groups, gr);
                f->group[i] = f->groups.n - 1;
            }
        }
        visit_uses(f, v);
    }
}

/* A member is an output where something outside its group reads it. */
static void find_outputs(Fusion *f) {
    const Graph *g = f->g;
    bool *out = arena_new_array(f->arena, bool, g->nodes.n);
    for (uint32_t i = 0; i < g->results.n; i++) out[g->results.at[i].id] = true;
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        const Node *n = &g->nodes.at[i];
        if (f->uses[i] == 0) continue;
        out[i] |= f->read_as_extent[i];
        for (uint32_t o = 0; o < n->n_in; o++) {
            uint32_t from = f->group[n->in[o].id];
            if (from && from != f->group[i]) out[n->in[o].id] = true;
        }
    }
    for (uint32_t i = 1; i < g->nodes.n; i++)
        if (f->group[i] && out[i]) vec_push(f->arena, &f->groups.at[f->group[i]].outputs, (Val){i});
}

/* ---- kernels ---------------------------------------------------------------------------------------------------------- */

typedef struct Body {
    Fusion *f;
    uint32_t group;
    Graph *to;
    Val *map;                    /* old id -> body value; shared by all bodies, cleared after each */
    VEC(Val) touched;
    VEC(Val) inputs;             /* old values that become parameters */
} Body;

static bool in_body(const Body *b, Val v) {
    const Fusion *f = b->f;
    if (f->group[v.id]) return f->group[v.id] == b->group;
    if (is_free(f, v)) return true;
    return is_inlinable(op_info[val_op(f->g, v)].kind) && !f->stored[v.id];
}

static Val body_value(Body *b, Val v) {
    if (b->map[v.id].id) return b->map[v.id];
    const Node *n = node(b->f->g, v);
    const TypeInfo *t = type_info(b->f->cx, n->type);
    Val made;
    if (in_body(b, v)) {
        for (uint32_t i = 0; i < n->n_in; i++) body_value(b, n->in[i]);
        made = rebuild_node(b->to, n, b->map, NULL);
    } else {
        Attr attrs[] = {{.key = ATTR_index, .as.i = b->inputs.n}, {.key = ATTR_name, .as.text = intern(b->f->cx, "")},
                        {.key = ATTR_dtype, .as.dtype = t->dtype}, {.key = ATTR_shape, .n = t->rank, .as.dims = t->dims},
                        {.key = ATTR_encoding, .as.i = t->encoding}};
        made = emit(b->to, OP_param, (Loc){0}, NULL, 0, attrs, COUNT(attrs));
        vec_push(b->f->arena, &b->inputs, v);
    }
    b->map[v.id] = made;
    vec_push(b->f->arena, &b->touched, v);
    return made;
}

typedef VEC(Val) ValStack;
typedef struct Copy { uint32_t result; Val value; } Copy;
typedef struct Build {
    Fusion *f;
    Graph *to;
    Val *map;                    /* old id -> value of the new graph */
    VEC(Copy) copies;
} Build;

static void begin_body(Body *b, Fusion *f, uint32_t group) {
    *b = (Body){.f = f, .group = group, .to = graph_new(f->cx, "body")};
    b->map = f->body_map;
    Group *gr = &f->groups.at[group];
    for (uint32_t i = 0; i < gr->outputs.n; i++) body_value(b, gr->outputs.at[i]);
}

static void finish_kernel(Build *bd, Body *b) {
    Fusion *f = bd->f;
    const Group *gr = &f->groups.at[b->group];
    Loc loc = {0};
    bool tuple = val_type(f->g, gr->anchor)->dtype == DT_none;
    for (uint32_t i = 0; tuple && i < val_type(f->g, gr->anchor)->rank; i++)
        graph_result(b->to, b_get(b->to, (Loc){0}, b->map[gr->anchor.id], i), "");
    for (uint32_t i = 0; i < gr->outputs.n; i++) {
        if (!tuple) graph_result(b->to, b->map[gr->outputs.at[i].id], "");
        loc = loc_join(f->cx, loc, node(f->g, gr->outputs.at[i])->loc);
    }
    loc = loc_join(f->cx, node(f->g, gr->anchor)->loc, loc);
    Val *in = arena_new_array(f->arena, Val, b->inputs.n);
    for (uint32_t i = 0; i < b->inputs.n; i++) in[i] = bd->map[b->inputs.at[i].id];
    static const Schedule none;
    Attr attrs[] = {{.key = ATTR_body, .as.graph = graph_finish(b->to)}, {.key = ATTR_schedule, .n = 1, .as.schedule = &none}};
    Val kernel = emit(bd->to, OP_kernel, loc, in, b->inputs.n, attrs, 2);
    for (uint32_t i = 0; i < gr->outputs.n; i++)
        bd->map[gr->outputs.at[i].id] = gr->outputs.n == 1 ? kernel : b_get(bd->to, loc, kernel, i);
}

/* Both are the same element of one tuple. */
static bool same_element(const Graph *g, Val a, Val b) {
    while (val_op(g, a) == OP_reshape) a = val_in(g, a, 0);
    while (val_op(g, b) == OP_reshape) b = val_in(g, b, 0);
    return a.id == b.id;
}

/* A kernel that copies v: for a result that no kernel of this function writes, or that another result has taken. */
static Val copy_kernel(Build *bd, Val v) {
    Context *cx = bd->f->cx;
    const Node *n = node(bd->to, v);
    const TypeInfo *t = type_info(cx, n->type);
    Graph *body = graph_new(cx, "body");
    Val p = b_param(body, (Loc){0}, "", t->dtype, t->rank, t->dims);
    graph_result(body, p, "");
    static const Schedule none;
    Attr attrs[] = {{.key = ATTR_body, .as.graph = graph_finish(body)}, {.key = ATTR_schedule, .n = 1, .as.schedule = &none}};
    return emit(bd->to, OP_kernel, n->loc, &v, 1, attrs, 2);
}

/* Every result of the function gets a kernel result of its own to write, unless its extents are only found while running. */
static void own_results(Build *bd) {
    const Graph *g = bd->f->g;
    for (uint32_t i = 0; i < g->results.n; i++) {
        Val old = g->results.at[i], v = bd->map[old.id], memory = graph_memory(bd->to, v, NULL);
        if (type_has_found(bd->f->cx, node(bd->to, v)->type)) continue;
        bool taken = val_op(bd->to, memory) != OP_kernel;
        for (uint32_t j = 0; j < i && !taken; j++) {
            Val other = bd->map[g->results.at[j].id];
            taken = other.id == v.id || (graph_memory(bd->to, other, NULL).id == memory.id && same_element(bd->to, other, v));
        }
        if (taken) vec_push(bd->f->arena, &bd->copies, (Copy){i, copy_kernel(bd, v)});
    }
}

/* Pushes the nodes, outside of `group`, that find the extents which old value v mentions. */
static void need_extents(Build *bd, Val v, uint32_t group, ValStack *stack) {
    Fusion *f = bd->f;
    for (uint32_t i = 0; i < f->finders.n && f->finders.at[i].id < v.id; i++) {
        Val finder = f->finders.at[i];
        if (bd->map[finder.id].id || (group && f->group[finder.id] == group)) continue;
        if (node_mentions(f->cx, node(f->g, v), node_finds(f->cx, node(f->g, finder)))) vec_push(f->arena, stack, finder);
    }
}

/* Emits, in dependency order and without recursion, everything that old value v needs, then v. */
static void need(Build *bd, Val v, const Graph *const *const *regions) {
    Fusion *f = bd->f;
    ValStack stack = {0};
    vec_push(f->arena, &stack, v);
    while (stack.n) {
        Val top = vec_last(&stack);
        if (bd->map[top.id].id) {
            stack.n--;
            continue;
        }
        uint32_t before = stack.n, group = f->group[top.id];
        Body body;
        if (group) {
            begin_body(&body, f, group);
            for (uint32_t i = 0; i < body.inputs.n; i++)
                if (!bd->map[body.inputs.at[i].id].id) vec_push(f->arena, &stack, body.inputs.at[i]);
            for (uint32_t i = 0; i < body.touched.n; i++) need_extents(bd, body.touched.at[i], group, &stack);
            if (stack.n == before) finish_kernel(bd, &body);
            for (uint32_t i = 0; i < body.touched.n; i++) body.map[body.touched.at[i].id] = (Val){0};
            if (stack.n != before) continue;
            if (!bd->map[top.id].id) BUG(f->cx, "value %%%u of a kernel is read but is no output", top.id);
            continue;
        }
        const Node *n = node(f->g, top);
        for (uint32_t i = 0; i < n->n_in; i++)
            if (!bd->map[n->in[i].id].id) vec_push(f->arena, &stack, n->in[i]);
        need_extents(bd, top, 0, &stack);
        if (stack.n == before) bd->map[top.id] = rebuild_node(bd->to, n, bd->map, regions[top.id]);
    }
}

static void count_uses(Fusion *f) {
    const Graph *g = f->g;
    for (uint32_t i = 1; i < g->nodes.n; i++)
        if (node_finds(f->cx, &g->nodes.at[i]).id) vec_push(f->arena, &f->finders, (Val){i});
    for (uint32_t i = 0; i < g->results.n; i++) f->uses[g->results.at[i].id]++;
    for (uint32_t i = g->nodes.n; i-- > 1;) {
        for (uint32_t o = 0; f->uses[i] && o < g->nodes.at[i].n_in; o++) f->uses[g->nodes.at[i].in[o].id]++;
        for (uint32_t k = 0; f->uses[i] && k < f->finders.n && f->finders.at[k].id < i; k++) {
            Val v = f->finders.at[k];
            if (!node_mentions(f->cx, &g->nodes.at[i], node_finds(f->cx, node(g, v)))) continue;
            f->uses[v.id]++;
            f->read_as_extent[v.id] = true;
        }
    }
}

Graph *pass_fuse(Context *cx, const Graph *g, const Tiers *tiers) {
    Arena *arena = arena_new(cx);
    uint32_t n = g->nodes.n;
    Fusion f = {.cx = cx, .arena = arena, .g = g};
    f.group = arena_new_array(arena, uint32_t, n), f.stage = arena_new_array(arena, uint32_t, n);
    f.reader = arena_new_array(arena, uint32_t, n), f.stored = arena_new_array(arena, bool, n);
    f.depth = arena_new_array(arena, uint8_t, n), f.uses = arena_new_array(arena, uint32_t, n);
    f.space_uses = arena_new_array(arena, uint32_t, n), f.body_map = arena_new_array(arena, Val, n);
    f.read_as_extent = arena_new_array(arena, bool, n);
    const Graph ***regions = arena_new_array(arena, const Graph **, n);
    for (uint32_t i = 1; i < n; i++) {
        const Node *nd = &g->nodes.at[i];
        regions[i] = arena_new_array(arena, const Graph *, nd->n_attrs);
        for (uint32_t a = 0, r = 0; a < nd->n_attrs; a++)
            if (attr_info[nd->attrs[a].key].type == AT_GRAPH && !(regions[i][r++] = pass_fuse(cx, nd->attrs[a].as.graph, tiers)))
                return NULL;
    }
    vec_push(arena, &f.groups, (Group){0});
    count_uses(&f);
    find_anchors(&f);
    decide_rest(&f);
    find_outputs(&f);
    Build bd = {.f = &f, .map = arena_new_array(arena, Val, n)};
    bd.to = rebuild_begin(g, false, bd.map);
    for (uint32_t i = 0; i < g->results.n; i++) need(&bd, g->results.at[i], (const Graph *const *const *)regions);
    own_results(&bd);
    for (uint32_t i = 0, c = 0; i < g->results.n; i++) {
        bool copied = c < bd.copies.n && bd.copies.at[c].result == i;
        graph_result(bd.to, copied ? bd.copies.at[c++].value : bd.map[g->results.at[i].id], g->result_names.at[i]);
    }
    Graph *out = graph_finish(bd.to);
    arena_free(arena);
    return out;
}
