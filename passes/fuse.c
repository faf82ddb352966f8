/* fuse.c: pass `fuse`: partitions a graph into kernel nodes.
 *
 * Two decisions.  (1) Every anchor (reduction, contraction, window, sort …) opens a group and takes in, in one scan forwards,
 * the nodes after it that its template can compute in the same loops (fuse_groups.c).  A node that depends on the group
 * through a value outside is never taken, so groups form no cycle.  (2) Of the remaining nodes, consumers first, each is either
 * computed inside its one reader or materialised as a map kernel of its own.  Views never move data by themselves; a
 * materialised reshape is an alias and stays outside kernels.
 *
 * In: core ops, no MACRO.  Out: kernels, constants, reshapes of buffers, tuples, control flow.
 * Source: XLA hero / IREE root / Hidet anchor agree on the scheme.
 */
#include "fuse.h"

enum { MAX_DEPTH = 48 };

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

/* Copied into panels anyway: what it is rounded from will do. */
static bool packs_rounded(const Fusion *f, const Node *n, uint32_t i) {
    const Node *v = node(f->g, n->in[i]);
    if (i != 1 || (n->op != OP_dot && n->op != OP_attend) || v->op != OP_convert || f->uses[n->in[i].id] != 1) return false;
    return val_dtype(f->g, n->in[i]) == DT_bf16 && val_dtype(f->g, v->in[0]) == DT_f32;
}

/* A matrix for each batch element, picked from memory: it is copied into panels where it lies, once. */
static bool picks_matrices(const Fusion *f, const Node *n, uint32_t i) {
    const Node *v = node(f->g, n->in[i]);
    if (n->op != OP_dot || i != 1 || v->op != OP_gather || f->uses[n->in[i].id] != 1) return false;
    uint32_t inner = val_rank(f->g, v->in[0]) - (uint32_t)attr_int(v, ATTR_axis) - 1;
    Dim rows = dim_product(f->cx, type_info(f->cx, n->type)->dims + attr_int(n, ATTR_batch), 1);
    return inner >= 2 && kind_of(f, v->in[0]) == KIND_SOURCE && dim_is(f->cx, rows, 1);
}

/* Operand i of anchor n must be a buffer, or a view of one that its template can address. */
static void anchor_operand(Fusion *f, const Group *gr, const Node *n, uint32_t i) {
    Val v = n->in[i], base;
    bool contiguous;
    int64_t channels;
    if (n->op == OP_attend && i == 0) return; /* each score is read once */
    if (f->group[v.id] && &f->groups.at[f->group[v.id]] == gr) return;
    bool addressed = gr->kind == GROUP_TILE && (i == 0 || n->op == OP_conv);
    bool repeated = op_info[n->op].traits & REREADS || kind_of(f, gr->anchor) == KIND_ANCHOR;
    if (packs_rounded(f, n, i)) v = val_in(f->g, v, 0);
    if (!is_inlinable(kind_of(f, v)) || is_query(f, gr, n, i)) return;
    if (gr->kind == GROUP_MAP && is_widened(f, v)) {
        f->stored[node(f->g, v)->in[0].id] = true;
        return;
    }
    if (picks_matrices(f, n, i)) return;
    if (kind_of(f, v) != KIND_VIEW && repeated) f->stored[v.id] = true;
    if (kind_of(f, v) != KIND_VIEW || !(addressed || repeated)) return;
    /* Every tap would walk channels with a stride: one transpose is cheaper, but for one tap, or the few channels of a first
     * layer. */
    bool few = dim_const_value(f->cx, val_dim(f->g, v, val_rank(f->g, v) - 1), &channels) && channels < 8;
    bool image = op_info[n->op].kind == KIND_CONTRACT && node_attr(n, ATTR_low) && i == 0;
    Template its = anchor_template(f->g, n);
    if (its == TEMPLATE_convolution && i == 1) { /* whole panels of columns beside each other */
        f->stored[v.id] = true;
        return;
    }
    few = (few || one_tap(f, n)) && its != TEMPLATE_grouped && its != TEMPLATE_winograd && its != TEMPLATE_planes;
    few |= gr->planes;
    if (!operand_is_affine(f->g, v, &base, &contiguous)) f->stored[v.id] = true;
    else if (image && !contiguous && !few) f->stored[v.id] = true;
    else if (base.id != v.id && is_inlinable(kind_of(f, base))) f->stored[base.id] = true;
}

/* A row is read by each of its passes, in vectors: what would be gathered is transposed first. */
static bool crosses_rows(const Fusion *f, uint32_t group, Val v) {
    enum { SHORT = 8 };
    if (!group || group == MANY || f->groups.at[group].kind != GROUP_ROW || kind_of(f, v) != KIND_VIEW || f->group[v.id])
        return false;
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
    int64_t from = dim_hint(f->cx, type_elements(f->cx, node(f->g, v)->type)),
            to = dim_hint(f->cx, type_elements(f->cx, n->type));
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
        bool widens =
            n->op == OP_broadcast && !dim_same(type_elements(f->cx, n->type), type_elements(f->cx, node(f->g, v)->type));
        if (widens && kind_of(f, v) == KIND_EW && !f->group[v.id] && !made_of_extents(f, v, 4)) f->stored[v.id] = true;
        Val kept = worth_storing(f, n, i);
        if (kept.id) f->stored[kept.id] = true;
        if (op_info[n->op].kind == KIND_VIEW || op_info[n->op].kind == KIND_INDEXED)
            f->space_uses[v.id] += n->op != OP_broadcast;
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

/* The graphs among every node's attributes, fused; NULL: one could not be. */
static const Graph *const *const *fuse_regions(Context *cx, Arena *arena, const Graph *g, const Tiers *tiers) {
    const Graph ***regions = arena_new_array(arena, const Graph **, g->nodes.n);
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        const Node *n = &g->nodes.at[i];
        regions[i] = arena_new_array(arena, const Graph *, n->n_attrs);
        for (uint32_t a = 0, r = 0; a < n->n_attrs; a++)
            if (attr_info[n->attrs[a].key].type == AT_GRAPH && !(regions[i][r++] = pass_fuse(cx, n->attrs[a].as.graph, tiers)))
                return NULL;
    }
    return (const Graph *const *const *)regions;
}

Graph *pass_fuse(Context *cx, const Graph *g, const Tiers *tiers) {
    Arena *arena = arena_new(cx);
    Graph *out = NULL;
    uint32_t n = g->nodes.n;
    Fusion f = {.cx = cx, .arena = arena, .g = g, .tiers = tiers};
    f.group = arena_new_array(arena, uint32_t, n), f.stage = arena_new_array(arena, uint32_t, n);
    f.reader = arena_new_array(arena, uint32_t, n), f.stored = arena_new_array(arena, bool, n);
    f.depth = arena_new_array(arena, uint8_t, n), f.uses = arena_new_array(arena, uint32_t, n);
    f.space_uses = arena_new_array(arena, uint32_t, n), f.body_map = arena_new_array(arena, Val, n);
    f.read_as_extent = arena_new_array(arena, bool, n);
    const Graph *const *const *regions = fuse_regions(cx, arena, g, tiers);
    if (regions) {
        vec_push(arena, &f.groups, (Group){0});
        count_uses(&f);
        fuse_groups(&f);
        decide_rest(&f);
        find_outputs(&f);
        out = fuse_kernels(&f, regions);
    }
    arena_free(arena);
    return out;
}
