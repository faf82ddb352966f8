/* plan.c: pass `plan`: which buffer every result of a kernel lives in.
 *
 * A buffer is placed on top of those it must not overlap: `above` lists them, and its offset is the largest of their ends.
 * The order is chosen here, once, by packing greedily (largest first, best gap) at the symbols' hints; at run time only
 * max and + are left, so offsets and total are monotone in the sizes, and a plan made at upper bounds serves every smaller
 * size.  This replaces a packer inside the artifact: shorter, and monotone where packing is not.
 *
 * Kernel and control nodes get attribute `buffers`: one entry per result, -1-k where output k of the function is written in
 * place.  Regions have plans of their own; the parent holds one buffer for the frame of each.
 * Source of the packing order: greedy by size, arXiv 2001.03288.
 */
#include "passes.h"
#include <stdlib.h>

typedef struct Life {
    uint32_t first, last;        /* positions in node order, inclusive */
    Dim bytes;
    int64_t size, offset;        /* at the hints */
    const Graph *frame;
} Life;
/* Sizes decide an order alone; cut off here, the sum of all of them fits. */
#define LARGEST_HINT (INT64_MAX >> 24)
typedef struct Planner {
    Context *cx;
    const Graph *g;
    Arena *arena;
    VEC(Life) lives;
    uint32_t *last_use;          /* by node, through views and tuples: the end of the round that uses it last */
    uint32_t *begin, *end;       /* by node: of the round that it runs in; itself where it runs alone */
    int64_t **slots;             /* by node: buffers of its results */
} Planner;

static bool has_memory(Op op) { return op == OP_kernel || op == OP_join || op_info[op].kind == KIND_CONTROL; }

static void find_rounds(Planner *p) {
    uint32_t begin = 0;
    for (uint32_t i = 1; i < p->g->nodes.n; i++) {
        const Node *n = &p->g->nodes.at[i];
        bool kernel = n->op == OP_kernel;
        if (round_begins(n)) begin = i;
        p->begin[i] = kernel ? begin : i;
        for (uint32_t m = begin; kernel && m <= i; m++)
            if (p->g->nodes.at[m].op == OP_kernel) p->end[m] = i;
        if (!kernel) p->end[i] = i;
    }
}

static void find_last_uses(Planner *p) {
    const Graph *g = p->g;
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        if (p->last_use[i] < p->end[i]) p->last_use[i] = p->end[i];
        for (uint32_t o = 0; o < g->nodes.at[i].n_in; o++) {
            Val m = graph_memory(g, g->nodes.at[i].in[o], NULL);
            if (p->last_use[m.id] < p->end[i]) p->last_use[m.id] = p->end[i];
            /* A loop or branch may hand on its operands' memory. */
            if (op_info[g->nodes.at[i].op].kind == KIND_CONTROL && p->last_use[m.id] < g->nodes.n)
                p->last_use[m.id] = g->nodes.n;
        }
    }
    for (uint32_t i = 0; i < g->results.n; i++) p->last_use[graph_memory(g, g->results.at[i], NULL).id] = g->nodes.n;
}

static Dim aligned_bytes(const Planner *p, Val v, uint32_t element) {
    Context *cx = p->cx;
    const TypeInfo *t = val_type(p->g, v);
    Type type = t->dtype == DT_none ? t->elements[element] : node(p->g, v)->type;
    Dim elements = graph_upper_elements(p->g, v, element);
    if (!elements.id) {
        Text text = text_new(p->arena);
        type_print(cx, &text, type);
        diag_error(cx, node(p->g, v)->loc,
                   "a value of type %s has no largest size; declare the range of its symbols, as in --dim n=..4096", text.at);
        return dim_const(cx, 0);
    }
    Dim bytes = dim_muli(cx, elements, dtype_bytes(type_info(cx, type)->dtype));
    return dim_muli(cx, dim_cdiv(cx, bytes, dim_const(cx, 64)), 64);
}

static int64_t new_buffer(Planner *p, uint32_t at, uint32_t last, Dim bytes, const Graph *frame) {
    int64_t size = frame ? 1 << 20 : dim_hint(p->cx, bytes);
    if (size > LARGEST_HINT) size = LARGEST_HINT;
    vec_push(p->arena, &p->lives, (Life){at, last, bytes, size < 0 ? 0 : size, 0, frame});
    return p->lives.n - 1;
}

/* The output that result `element` of node i is written to directly, or -1. */
static int64_t direct_output(const Planner *p, uint32_t i, uint32_t element) {
    const Graph *g = p->g;
    if (g->nodes.at[i].op != OP_kernel && g->nodes.at[i].op != OP_join) return -1;
    for (uint32_t k = 0; k < g->results.n; k++) {
        Val v = g->results.at[k];
        bool exact = !type_has_found(p->cx, node(g, v)->type);
        while (val_op(g, v) == OP_reshape) v = val_in(g, v, 0);
        uint32_t index = 0;
        if (val_op(g, v) == OP_get) index = (uint32_t)attr_int(node(g, v), ATTR_index), v = val_in(g, v, 0);
        if (exact && v.id == i && index == element) return k;
    }
    return -1;
}

/* A kernel that runs together with i reads m. */
static bool read_beside(const Planner *p, uint32_t i, Val m) {
    for (uint32_t k = p->begin[i]; k <= p->end[i]; k++)
        for (uint32_t o = 0; k != i && p->g->nodes.at[k].op == OP_kernel && o < p->g->nodes.at[k].n_in; o++)
            if (graph_memory(p->g, p->g->nodes.at[k].in[o], NULL).id == m.id) return true;
    return false;
}

/* The buffer of an operand that dies at kernel i, has the result's size, and may be overwritten; or -1. */
static int64_t dying_operand(Planner *p, uint32_t i, Dim bytes) {
    const Node *n = &p->g->nodes.at[i];
    Dim place;
    if (n->op != OP_kernel) return -1;
    for (uint32_t o = 0; o < n->n_in; o++) {
        Val m = graph_memory(p->g, n->in[o], NULL);
        if (val_op(p->g, m) != OP_kernel || val_type(p->g, m)->dtype == DT_none || p->last_use[m.id] != p->end[i]) continue;
        if (graph_home(p->g, m, &place).id != m.id) continue;
        int64_t b = p->slots[m.id][0];
        if (b < 0 || !dim_same(p->lives.at[b].bytes, bytes) || p->lives.at[b].last != p->end[i]) continue;
        bool once = !read_beside(p, i, m);
        for (uint32_t other = 0; other < n->n_in; other++)
            once &= other == o || graph_memory(p->g, n->in[other], NULL).id != m.id;
        if (once && overwrites_safely(attr_graph(n, ATTR_body), o, 0)) return b;
    }
    return -1;
}

/* Loop-carried values alternate between two buffers: entries after the results are the second ones. */
static uint32_t carried_of(const Node *n) { return node_attr(n, ATTR_carried) ? (uint32_t)attr_int(n, ATTR_carried) : 0; }

/* The buffer of the join that node i's memory is a part of: it lives from its first part to the last use of any. */
static int64_t shared_buffer(Planner *p, uint32_t i, Val home) {
    if (p->slots[home.id]) return p->slots[home.id][0];
    Dim place;
    uint32_t last = p->last_use[home.id];
    for (uint32_t m = 1; m < home.id; m++) {
        bool inside = has_memory(p->g->nodes.at[m].op) && graph_home(p->g, (Val){m}, &place).id == home.id;
        if (inside && p->last_use[m] > last) last = p->last_use[m];
    }
    int64_t output = direct_output(p, home.id, 0);
    p->slots[home.id] = arena_new_array(p->arena, int64_t, 1);
    return p->slots[home.id][0] = output >= 0 ? -1 - output : new_buffer(p, p->begin[i], last, aligned_bytes(p, home, 0), NULL);
}

/* A kernel that overwrites has no memory of its own. */
static void require_donor(Planner *p, uint32_t i) {
    const Node *n = &p->g->nodes.at[i];
    const Graph *body = n->op == OP_kernel ? attr_graph(n, ATTR_body) : NULL;
    bool overwrites = false;
    for (uint32_t b = 1; body && b < body->nodes.n; b++) overwrites |= (op_info[body->nodes.at[b].op].traits & OVERWRITES) != 0;
    int64_t slot = p->slots[i][0];
    if (overwrites && (slot >= 0 || graph_donor(p->g, (uint32_t)(-1 - slot)) < 0))
        diag_error(
            p->cx, n->loc,
            "what is overwritten here must lie in a parameter that a result takes the memory of, in whole lines of 64 bytes");
}

static void plan_node(Planner *p, uint32_t i) {
    const Node *n = &p->g->nodes.at[i];
    const TypeInfo *t = type_info(p->cx, n->type);
    bool tuple = t->dtype == DT_none;
    Dim place;
    Val home = graph_home(p->g, (Val){i}, &place);
    if (home.id != i || n->op == OP_join) {
        int64_t shared = shared_buffer(p, i, home);
        p->slots[i] = arena_new_array(p->arena, int64_t, 1), p->slots[i][0] = shared;
        return;
    }
    uint32_t results = tuple ? t->rank : 1, carried = carried_of(n), regions = 0;
    for (uint32_t a = 0; n->op != OP_kernel && a < n->n_attrs; a++) regions += attr_info[n->attrs[a].key].type == AT_GRAPH;
    p->slots[i] = arena_new_array(p->arena, int64_t, results + carried + regions + 1);
    int64_t *slot = p->slots[i];
    for (uint32_t r = 0; r < results; r++) {
        int64_t output = direct_output(p, i, r), reused = -1;
        Dim bytes = aligned_bytes(p, (Val){i}, r);
        if (output < 0 && (reused = dying_operand(p, i, bytes)) >= 0) p->lives.at[reused].last = p->last_use[i];
        *slot++ = output >= 0 ? -1 - output : reused >= 0 ? reused : new_buffer(p, p->begin[i], p->last_use[i], bytes, NULL);
    }
    for (uint32_t c = 0; c < carried; c++) *slot++ = new_buffer(p, i, p->last_use[i], aligned_bytes(p, (Val){i}, c), NULL);
    for (uint32_t a = 0; n->op != OP_kernel && a < n->n_attrs; a++)
        if (attr_info[n->attrs[a].key].type == AT_GRAPH)
            *slot++ = new_buffer(p, i, i, dim_const(p->cx, 0), n->attrs[a].as.graph);
}

/* ---- packing at the hints ------------------------------------------------------------------------------------------------ */

static bool overlap(const Life *a, const Life *b) { return a->first <= b->last && b->first <= a->last; }

static int by_size(const void *a, const void *b) {
    const Life *x = *(Life *const *)a, *y = *(Life *const *)b;
    if (x->size != y->size) return x->size < y->size ? 1 : -1;
    return x < y ? -1 : x > y;
}

static void place(Life *l, Life *const *placed, uint32_t n) { /* placed: ascending by offset */
    int64_t end = 0, best = -1, best_gap = INT64_MAX;
    for (uint32_t i = 0; i < n; i++) {
        if (!overlap(l, placed[i])) continue;
        int64_t gap = placed[i]->offset - end;
        if (gap >= l->size && gap < best_gap) best = end, best_gap = gap;
        if (placed[i]->offset + placed[i]->size > end) end = placed[i]->offset + placed[i]->size;
    }
    l->offset = best >= 0 ? best : end;
}

static void pack(Planner *p) {
    uint32_t n = p->lives.n;
    Life **order = arena_new_array(p->arena, Life *, n), **placed = arena_new_array(p->arena, Life *, n);
    for (uint32_t i = 0; i < n; i++) order[i] = &p->lives.at[i];
    if (n) qsort(order, n, sizeof *order, by_size);
    for (uint32_t i = 0; i < n; i++) {
        place(order[i], placed, i);
        uint32_t at = i;
        for (; at > 0 && placed[at - 1]->offset > order[i]->offset; at--) placed[at] = placed[at - 1];
        placed[at] = order[i];
    }
}

/* Neighbours below: those it overlaps in time that lie lower, less what another of them already lies on. */
static Buffer finish_buffer(Planner *p, uint32_t i, Arena *arena) {
    const Life *l = &p->lives.at[i];
    VEC(uint32_t) below = {0};
    for (uint32_t j = 0; j < p->lives.n; j++) {
        const Life *o = &p->lives.at[j];
        bool lower = o->offset < l->offset || (o->offset == l->offset && j < i);
        if (j != i && overlap(l, o) && lower) vec_push(arena, &below, j);
    }
    return (Buffer){l->bytes, below.at, below.n, l->frame};
}

static Graph *attach(Planner *p, Graph *to, Val *map, const Graph *const *const *regions) {
    const Graph *g = p->g;
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        const Node *n = &g->nodes.at[i];
        if (n->op == OP_param) continue;
        Node planned = *n;
        if (p->slots[i]) {
            uint32_t count = 0, results = type_info(p->cx, n->type)->dtype == DT_none ? type_info(p->cx, n->type)->rank : 1;
            count = results + carried_of(n);
            for (uint32_t a = 0; n->op != OP_kernel && a < n->n_attrs; a++)
                count += attr_info[n->attrs[a].key].type == AT_GRAPH;
            Attr *attrs = arena_new_array(to->arena, Attr, n->n_attrs + 1);
            for (uint32_t a = 0; a < n->n_attrs; a++) attrs[a] = n->attrs[a];
            attrs[n->n_attrs] = (Attr){.key = ATTR_buffers, .n = count, .as.ints = p->slots[i]};
            planned.attrs = attrs, planned.n_attrs++;
        }
        map[i] = rebuild_node(to, &planned, map, n->op == OP_kernel ? NULL : regions[i]);
    }
    for (uint32_t i = 0; i < g->results.n; i++) graph_result(to, map[g->results.at[i].id], g->result_names.at[i]);
    Plan *plan = arena_alloc(to->arena, sizeof *plan);
    Buffer *buffers = arena_new_array(to->arena, Buffer, p->lives.n);
    for (uint32_t i = 0; i < p->lives.n; i++) buffers[i] = finish_buffer(p, i, to->arena);
    *plan = (Plan){p->lives.n, buffers};
    to->plan = plan;
    return graph_finish(to);
}

Graph *pass_plan(Context *cx, const Graph *g, const Tiers *tiers) {
    Planner p = {.cx = cx, .g = g, .arena = arena_new(cx)};
    uint32_t n = g->nodes.n, errors = diag_error_count(cx);
    p.last_use = arena_new_array(p.arena, uint32_t, n);
    p.begin = arena_new_array(p.arena, uint32_t, n), p.end = arena_new_array(p.arena, uint32_t, n);
    p.slots = arena_new_array(p.arena, int64_t *, n);
    const Graph ***regions = arena_new_array(p.arena, const Graph **, n);
    Val *map = arena_new_array(p.arena, Val, n);
    Graph *to = rebuild_begin(g, false, map);
    find_rounds(&p);
    find_last_uses(&p);
    for (uint32_t i = 1; i < n; i++) {
        const Node *nd = &g->nodes.at[i];
        regions[i] = arena_new_array(p.arena, const Graph *, nd->n_attrs);
        for (uint32_t a = 0, r = 0; nd->op != OP_kernel && a < nd->n_attrs; a++)
            if (attr_info[nd->attrs[a].key].type == AT_GRAPH &&
                !(regions[i][r++] = pass_plan(cx, nd->attrs[a].as.graph, tiers)))
                return NULL;
    }
    for (uint32_t i = 1; i < n; i++) {
        if (!has_memory(g->nodes.at[i].op)) continue;
        uint32_t first = p.lives.n;
        plan_node(&p, i);
        require_donor(&p, i);
        for (uint32_t b = first, r = 0; b < p.lives.n; b++)
            if (p.lives.at[b].frame) p.lives.at[b].frame = regions[i][r++];
    }
    if (diag_error_count(cx) > errors) {
        arena_free(p.arena);
        return NULL;
    }
    pack(&p);
    Graph *out = attach(&p, to, map, (const Graph *const *const *)regions);
    arena_free(p.arena);
    return out;
}
