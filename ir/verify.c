/* verify.c: is a finished graph what emit would have built?
 *
 * Run between passes and over parsed input.  Every node goes through infer_node again (row,
 * attributes, operands, type); parameters, results, bindings, regions and the plan are checked
 * against each other.  A failure is a diagnostic.
 */
#include "ir.h"
#include "ops/infer.h"

static bool verify_type(const Graph *g, uint32_t id) {
    const Node *n = &g->nodes.at[id];
    Type again = infer_node(g->cx, g, NULL, n);
    if (again.id == 0)
        return false;
    if (again.id == n->type.id)
        return true;
    Text found = text_new(g->cx->arena), expected = text_new(g->cx->arena);
    type_print(g->cx, &found, n->type);
    type_print(g->cx, &expected, again);
    diag_error(g->cx, n->loc, "verify: node %%%u of '%s' (%s) has type %s, %s expected", id,
               g->name, op_info[n->op].name, found.at, expected.at);
    return false;
}

static bool verify_node(const Graph *g, uint32_t id) {
    const Node *n = &g->nodes.at[id];
    if (n->op <= OP_poison || n->op >= OP_COUNT) {
        diag_error(g->cx, n->loc, "verify: node %%%u of '%s' has unknown op %d", id, g->name,
                   (int)n->op);
        return false;
    }
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i].id == 0 || n->in[i].id >= id) {
            diag_error(g->cx, n->loc,
                       "verify: node %%%u of '%s' uses %%%u, which does not precede "
                       "it",
                       id, g->name, n->in[i].id);
            return false;
        }
    for (uint32_t i = 1; i < n->n_attrs; i++)
        if (n->attrs[i - 1].key >= n->attrs[i].key) {
            diag_error(g->cx, n->loc, "verify: attributes of %%%u of '%s' do not ascend", id,
                       g->name);
            return false;
        }
    return verify_type(g, id);
}

static bool verify_regions(const Node *n) {
    bool fine = true;
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (attr_info[n->attrs[i].key].type == AT_GRAPH)
            fine &= graph_verify(n->attrs[i].as.graph);
    return fine;
}

static bool verify_params(const Graph *g) {
    uint32_t n = 0;
    for (uint32_t id = 1; id < g->nodes.n; id++)
        n += g->nodes.at[id].op == OP_param;
    bool fine = n == g->params.n;
    for (uint32_t i = 0; fine && i < n; i++) {
        Val v = g->params.at[i];
        fine = v.id > 0 && v.id < g->nodes.n && val_op(g, v) == OP_param &&
               attr_int(node(g, v), ATTR_index) == i;
    }
    if (!fine)
        diag_error(g->cx, (Loc){0}, "verify: parameters of '%s' do not match its nodes", g->name);
    return fine;
}

/* A computed symbol stands for what is known before it. */
static bool verify_computed(const Graph *g, uint32_t i) {
    Dim value = g->bindings.at[i].value;
    for (uint32_t id = 1; id <= symbol_count(g->cx); id++) {
        SymbolKind kind = symbol_info(g->cx, (Symbol){id})->kind;
        bool early = kind == SYMBOL_INPUT || kind == SYMBOL_LET;
        for (uint32_t k = i; k < g->bindings.n && early; k++)
            early = g->bindings.at[k].symbol.id != id;
        if (early || !dim_uses(g->cx, value, (Symbol){id}))
            continue;
        diag_error(g->cx, (Loc){0},
                   "verify: symbol '%s' of '%s' is bound to %s, where '%s' is not yet known",
                   symbol_info(g->cx, g->bindings.at[i].symbol)->name, g->name,
                   dim_string(g->cx, value), symbol_info(g->cx, (Symbol){id})->name);
        return false;
    }
    return true;
}

static bool verify_bindings(const Graph *g) {
    for (uint32_t i = 0; i < g->bindings.n; i++) {
        const SymbolBinding *b = &g->bindings.at[i];
        if (b->value.id && !verify_computed(g, i))
            return false;
        if (b->value.id)
            continue;
        if (b->param < g->params.n && val_dtype(g, g->params.at[b->param]) != DT_none) {
            int64_t n;
            Dim elements = type_elements(g->cx, node(g, g->params.at[b->param])->type);
            if (!dim_const_value(g->cx, elements, &n) || (n > 0 && b->element < (uint64_t)n))
                continue;
            diag_error(g->cx, (Loc){0},
                       "verify: symbol '%s' of '%s' is bound to element %llu of parameter %u, which has %lld",
                       symbol_info(g->cx, b->symbol)->name, g->name,
                       (unsigned long long)b->element, b->param, (long long)n);
            return false;
        }
        diag_error(g->cx, (Loc){0},
                   "verify: symbol '%s' of '%s' is bound to parameter %u, which is no tensor",
                   symbol_info(g->cx, b->symbol)->name, g->name, b->param);
        return false;
    }
    return true;
}

static bool is_region(const Graph *g, const Graph *frame) {
    for (uint32_t id = 1; id < g->nodes.n; id++) {
        const Node *n = &g->nodes.at[id];
        for (uint32_t i = 0; i < n->n_attrs; i++)
            if (attr_info[n->attrs[i].key].type == AT_GRAPH && n->attrs[i].as.graph == frame)
                return true;
    }
    return false;
}

/* Buffers lie on buffers in an order: each goes after all it lies on. */
static bool plan_is_ordered(const Graph *g) {
    uint32_t n = g->plan->n, placed = 0;
    Arena *arena = arena_new(g->cx);
    bool *done = arena_new_array(arena, bool, n);
    for (bool progress = true; progress && placed < n;) {
        progress = false;
        for (uint32_t b = 0; b < n; b++) {
            const Buffer *buffer = &g->plan->buffers[b];
            bool ready = !done[b];
            for (uint32_t i = 0; ready && i < buffer->n_above; i++)
                ready = done[buffer->above[i]];
            if (!ready)
                continue;
            done[b] = progress = true;
            placed++;
        }
    }
    arena_free(arena);
    if (placed == n)
        return true;
    diag_error(g->cx, (Loc){0}, "verify: buffers of the plan of '%s' lie on each other in a circle",
               g->name);
    return false;
}

static bool verify_plan(const Graph *g) {
    for (uint32_t b = 0; g->plan && b < g->plan->n; b++) {
        const Buffer *buffer = &g->plan->buffers[b];
        bool fine = buffer->bytes.id && (!buffer->frame || is_region(g, buffer->frame));
        for (uint32_t i = 0; fine && i < buffer->n_above; i++)
            fine = buffer->above[i] < g->plan->n && buffer->above[i] != b;
        if (fine)
            continue;
        diag_error(g->cx, (Loc){0}, "verify: buffer %u of the plan of '%s' is malformed", b,
                   g->name);
        return false;
    }
    return !g->plan || plan_is_ordered(g);
}

/* One for each result; of control also second ones of what is carried, and the frames of regions, which are planned too. */
static uint32_t buffers_needed(const Graph *g, const Node *n, bool *planned) {
    const TypeInfo *t = type_info(g->cx, n->type);
    uint32_t count = t->dtype == DT_none ? t->rank : 1;
    if (node_attr(n, ATTR_carried))
        count += (uint32_t)attr_int(n, ATTR_carried);
    for (uint32_t i = 0; n->op != OP_kernel && i < n->n_attrs; i++) {
        if (attr_info[n->attrs[i].key].type != AT_GRAPH)
            continue;
        count++;
        *planned &= n->attrs[i].as.graph->plan != NULL;
    }
    return count;
}

static uint32_t node_id(const Graph *g, const Node *n) { return (uint32_t)(n - g->nodes.at); }

static bool verify_schedule(const Graph *g, const Node *n, const int64_t *field) {
    if (!field[SCHED_template_]) return true;
    uint64_t lanes = (uint64_t)field[SCHED_lanes];
    bool power = (lanes & (lanes - 1)) == 0, known = field[SCHED_template_] < TEMPLATE_COUNT;
    uint32_t i = 0;
    while (i < SCHED_COUNT && field[i] >= 0 && field[i] <= schedule_range[i].most) i++;
    if (i == SCHED_COUNT && power && known) return true;
    uint32_t wrong = i < SCHED_COUNT ? i : known ? SCHED_lanes : SCHED_template_;
    diag_error(g->cx, n->loc, "verify: a schedule of '%s' is impossible: %%%u has %s=%lld, expected 0 to %lld%s", g->name,
               node_id(g, n), schedule_field_name[wrong], (long long)field[wrong],
               (long long)(known ? schedule_range[wrong].most : TEMPLATE_COUNT - 1), power ? "" : ", lanes a power of two");
    return false;
}

/* Of several schedules each names its own target. */
static bool verify_schedules(const Graph *g, const Node *n) {
    const Attr *a = node_attr(n, ATTR_schedule);
    bool named = true;
    for (uint32_t i = 0; a && i < a->n; i++) {
        const int64_t *field = a->as.schedule[i].field;
        if (!verify_schedule(g, n, field))
            return false;
        named &=
            field[SCHED_tier] > (i ? a->as.schedule[i - 1].field[SCHED_tier] : 0) && field[SCHED_tier] <= (int64_t)n_targets;
    }
    if (!a || a->n == 1 || named)
        return true;
    diag_error(g->cx, n->loc, "verify: the schedules of %%%u in '%s' must name targets in ascending order", node_id(g, n),
               g->name);
    return false;
}

static bool verify_buffers(const Graph *g, const Node *n) {
    const Attr *buffers = node_attr(n, ATTR_buffers);
    bool planned = true;
    if (g->plan && (n->op == OP_kernel || n->op == OP_join || op_info[n->op].kind == KIND_CONTROL) &&
        (!buffers || buffers->n != buffers_needed(g, n, &planned) || !planned)) {
        diag_error(g->cx, n->loc, "verify: %%%u of '%s' (%s) has not the buffers that a planned graph needs", node_id(g, n),
                   g->name, op_info[n->op].name);
        return false;
    }
    for (uint32_t i = 0; buffers && i < buffers->n; i++) {
        int64_t b = buffers->as.ints[i];
        if (g->plan && b < g->plan->n && b >= -(int64_t)g->results.n)
            continue;
        diag_error(g->cx, n->loc, "verify: %%%u of '%s' (%s) lies in buffer %lld, which the plan does not have", node_id(g, n),
                   g->name, op_info[n->op].name, (long long)b);
        return false;
    }
    return true;
}

/* Memory has one place: what a kernel makes lies in one join at most. */
static bool verify_joins(const Graph *g) {
    bool *taken = NULL;
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        const Node *n = &g->nodes.at[i];
        if (n->op == OP_join && !taken) taken = arena_new_array(g->cx->arena, bool, g->nodes.n);
        for (uint32_t o = 0; n->op == OP_join && o < n->n_in; o++) {
            uint32_t memory = graph_memory(g, n->in[o], NULL).id;
            if (val_op(g, (Val){memory}) != OP_kernel && val_op(g, (Val){memory}) != OP_join) continue;
            if (taken[memory]) {
                diag_error(g->cx, n->loc, "verify: operand %u of 'join' in '%s' lies in another join already", o, g->name);
                return false;
            }
            taken[memory] = true;
        }
    }
    return true;
}

bool graph_verify(const Graph *g) {
    REQUIRE(g->cx, g->finished);
    bool fine = verify_joins(g);
    for (uint32_t id = 1; id < g->nodes.n; id++)
        fine &= verify_node(g, id) && verify_regions(&g->nodes.at[id]) &&
                verify_buffers(g, &g->nodes.at[id]) && verify_schedules(g, &g->nodes.at[id]);
    if (!fine || !rounds_verify(g) || !verify_params(g) || !verify_bindings(g) || !verify_plan(g))
        return false;
    for (uint32_t i = 0; i < g->results.n; i++)
        if (g->results.at[i].id == 0 || g->results.at[i].id >= g->nodes.n) {
            diag_error(g->cx, (Loc){0}, "verify: result %u of '%s' is not a node", i, g->name);
            return false;
        }
    return true;
}
