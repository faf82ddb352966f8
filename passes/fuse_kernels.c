/* fuse_kernels.c: pass `fuse`: a kernel node for every group, and the graph around them.
 *
 * A kernel's body holds the group's members and, again for each kernel, what is computed where it is read; its parameters are
 * what lives in memory.  Invariant: every result of a function is a kernel's, written where the caller wants it, unless its
 * extents are only found while running.
 */
#include "fuse.h"

typedef struct Body {
    Fusion *f;
    uint32_t group;
    Graph *to;
    Val *map;                    /* old id -> body value */
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
    if (gr->before.id) loc = loc_join(f->cx, node(f->g, gr->before)->loc, loc);
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

/* A kernel that copies v: for a result that no kernel of this function writes, or that another result has taken.  Equal nodes
 * are one, so what has been copied before is copied from its last copy. */
static Val copy_kernel(Build *bd, Val v) {
    Context *cx = bd->f->cx;
    for (uint32_t i = 0; i < bd->copies.n; i++)
        if (val_in(bd->to, bd->copies.at[i].value, 0).id == v.id) v = bd->copies.at[i].value;
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
        if (!taken) continue;
        Copy copy = {i, copy_kernel(bd, v)};
        vec_push(bd->f->arena, &bd->copies, copy);
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

Graph *fuse_kernels(Fusion *f, const Graph *const *const *regions) {
    const Graph *g = f->g;
    Build bd = {.f = f, .map = arena_new_array(f->arena, Val, g->nodes.n)};
    bd.to = rebuild_begin(g, false, bd.map);
    for (uint32_t i = 0; i < g->results.n; i++) need(&bd, g->results.at[i], regions);
    own_results(&bd);
    for (uint32_t i = 0, c = 0; i < g->results.n; i++) {
        bool copied = c < bd.copies.n && bd.copies.at[c].result == i;
        graph_result(bd.to, copied ? bd.copies.at[c++].value : bd.map[g->results.at[i].id], g->result_names.at[i]);
    }
    return graph_finish(bd.to);
}
