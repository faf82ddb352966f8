/* together.c: pass `together`: kernels that do not need each other run between the same barriers.
 *
 * Runs after `schedule`, when kernels and their numbers are settled, and before `plan`, which keeps apart the memory of what
 * runs at the same time.  A kernel joins the round (ir/rounds.c) of the kernel before it where its operands are made in earlier
 * rounds: projections of one operand, branches of a network, heads of a detector.  Threads then wait once for all of a round.
 * Small kernels are fetched from behind for this, since branches stand one after the other, unless the largest live set
 * grew (at the hints): their results live from then on.
 */
#include "passes.h"

enum {
    REACH = 96,              /* nodes that a kernel may be fetched over */
    SMALL = 1 << 22,         /* of body_work: about 25 us, where waiting for threads still counts */
};
#define LARGEST (INT64_MAX >> 24) /* bytes: the sum of all nodes' fits */

typedef struct Order {
    Context *cx;
    const Graph *g;
    uint32_t *round, now, members;       /* by node; of the round that is open */
    bool *placed, *together;             /* by node */
    bool *small, *output;                /* by node: a kernel that may be fetched; the caller's memory */
    uint32_t *order, n;
    int64_t *live, peak;                 /* bytes at the hints, by node of the given order */
} Order;

static bool has_memory(const Node *n) { return n->op == OP_kernel || op_info[n->op].kind == KIND_CONTROL; }

static int64_t result_bytes(const Order *o, uint32_t i) {
    Context *cx = o->cx;
    const TypeInfo *t = type_info(cx, o->g->nodes.at[i].type);
    int64_t bytes = 0;
    if (o->output[i]) return 0;
    for (uint32_t e = 0; e < (t->dtype == DT_none ? t->rank : 1); e++) {
        const TypeInfo *part = t->dtype == DT_none ? type_info(cx, t->elements[e]) : t;
        bytes = sat_add(bytes, dim_hint(cx, dim_muli(cx, dim_product(cx, part->dims, part->rank), dtype_bytes(part->dtype))));
    }
    return bytes < LARGEST ? bytes : LARGEST;
}

/* Sizes found while running are known behind the kernel that finds them, though no operand says so. */
static bool knows_sizes(const Order *o, const Node *n) {
    for (uint32_t s = 1; s <= symbol_count(o->cx); s++)
        if (symbol_info(o->cx, (Symbol){s})->kind == SYMBOL_FOUND && node_mentions(o->cx, n, (Symbol){s})) return false;
    return true;
}

static void find_small(Order *o) {
    for (uint32_t i = 1; i < o->g->nodes.n; i++) {
        const Node *n = &o->g->nodes.at[i];
        if (!round_takes(o->cx, n) || !knows_sizes(o, n)) continue;
        o->small[i] = body_work(o->cx, attr_graph(n, ATTR_body)) <= SMALL;
    }
}

/* What is live at every node in the given order. */
static void find_live(Order *o, Arena *arena) {
    const Graph *g = o->g;
    uint32_t *last = arena_new_array(arena, uint32_t, g->nodes.n);
    for (uint32_t i = 0; i < g->results.n; i++) o->output[graph_memory(g, g->results.at[i], NULL).id] = true;
    for (uint32_t i = 1; i < g->nodes.n; i++)
        for (uint32_t k = 0; k < g->nodes.at[i].n_in; k++) last[graph_memory(g, g->nodes.at[i].in[k], NULL).id] = i;
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        if (!has_memory(&g->nodes.at[i])) continue;
        int64_t bytes = result_bytes(o, i);
        uint32_t end = (last[i] > i ? last[i] : i) + 1;
        o->live[i] += bytes;
        if (end < g->nodes.n) o->live[end] -= bytes;
    }
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        o->live[i] += o->live[i - 1];
        if (o->live[i] > o->peak) o->peak = o->live[i];
    }
}

/* Node i comes next; a kernel that may, joins the open round. */
static void place(Order *o, uint32_t i) {
    const Node *n = &o->g->nodes.at[i];
    o->placed[i] = true;
    o->order[o->n++] = i;
    o->round[i] = round_needed(n, o->round);
    if (!has_memory(n)) return;
    bool takes = round_takes(o->cx, n);
    o->together[i] = takes && o->members && o->members < MAX_TOGETHER && o->round[i] < o->now;
    o->members = o->together[i] ? o->members + 1 : takes;
    o->round[i] = o->together[i] ? o->now : ++o->now;
}

/* All operands of node i are made before the open round, or are views of what is; those stand behind what was placed last. */
static bool is_ready(const Order *o, uint32_t i) {
    const Node *n = &o->g->nodes.at[i];
    for (uint32_t k = 0; k < n->n_in; k++) {
        uint32_t v = n->in[k].id;
        const Node *from = &o->g->nodes.at[v];
        bool ready = o->placed[v] ? o->round[v] < o->now : !has_memory(from) && from->n_in <= 1 && is_ready(o, v);
        if (!ready) return false;
    }
    return true;
}

static void place_operands(Order *o, uint32_t i) {
    const Node *n = &o->g->nodes.at[i];
    for (uint32_t k = 0; k < n->n_in; k++) {
        if (o->placed[n->in[k].id]) continue;
        place_operands(o, n->in[k].id);
        place(o, n->in[k].id);
    }
}

/* What lives longer if node i runs at `at` fits below the peak; it counts then. */
static bool affords(Order *o, uint32_t at, uint32_t i) {
    int64_t bytes = result_bytes(o, i);
    for (uint32_t k = at; k < i; k++)
        if (o->live[k] + bytes > o->peak) return false;
    for (uint32_t k = at; k < i; k++) o->live[k] += bytes;
    return true;
}

/* Small kernels from behind the kernel that was placed last, into its round. */
static void fetch(Order *o, uint32_t at) {
    uint32_t end = o->g->nodes.n - at > REACH ? at + REACH : o->g->nodes.n;
    for (uint32_t i = at + 1; i < end && o->members < MAX_TOGETHER; i++) {
        const Node *n = &o->g->nodes.at[i];
        if (op_info[n->op].kind == KIND_CONTROL) return;
        if (o->placed[i] || !o->small[i] || !is_ready(o, i) || !affords(o, at, i)) continue;
        place_operands(o, i);
        place(o, i);
    }
}

static void find_order(Order *o) {
    for (uint32_t i = 1; i < o->g->nodes.n; i++) {
        const Node *n = &o->g->nodes.at[i];
        if (n->op == OP_param || o->placed[i]) continue;
        place(o, i);
        if (o->small[i]) fetch(o, i);
    }
}

Graph *pass_together(Context *cx, const Graph *g, const Tiers *tiers) {
    Arena *arena = arena_new(cx);
    uint32_t count = g->nodes.n;
    Val *map = arena_new_array(arena, Val, count);
    Order o = {.cx = cx, .g = g};
    o.round = arena_new_array(arena, uint32_t, count), o.order = arena_new_array(arena, uint32_t, count);
    o.placed = arena_new_array(arena, bool, count), o.together = arena_new_array(arena, bool, count);
    o.small = arena_new_array(arena, bool, count), o.output = arena_new_array(arena, bool, count);
    o.live = arena_new_array(arena, int64_t, count);
    for (uint32_t i = 0; i < g->params.n; i++) o.placed[g->params.at[i].id] = true;
    find_small(&o);
    find_live(&o, arena);
    find_order(&o);
    Graph *to = rebuild_begin(g, false, map);
    for (uint32_t k = 0; k < o.n; k++) {
        Node n = g->nodes.at[o.order[k]];
        const Graph **regions = arena_new_array(arena, const Graph *, n.n_attrs);
        for (uint32_t a = 0, r = 0; n.op != OP_kernel && a < n.n_attrs; a++)
            if (attr_info[n.attrs[a].key].type == AT_GRAPH) regions[r++] = pass_together(cx, n.attrs[a].as.graph, tiers);
        if (o.together[o.order[k]]) {
            Attr *attrs = arena_new_array(to->arena, Attr, n.n_attrs + 1);
            for (uint32_t a = 0; a < n.n_attrs; a++) attrs[a] = n.attrs[a];
            attrs[n.n_attrs++] = (Attr){.key = ATTR_together, .as.i = 1};
            n.attrs = attrs;
        }
        map[o.order[k]] = rebuild_node(to, &n, map, n.op == OP_kernel ? NULL : regions);
    }
    for (uint32_t i = 0; i < g->results.n; i++) graph_result(to, map[g->results.at[i].id], g->result_names.at[i]);
    arena_free(arena);
    return graph_finish(to);
}
