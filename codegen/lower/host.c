/* host.c: from a planned graph of kernels to a Loop module: kernels, N_bind, N_plan and N_main, and the weights.
 *
 * N_main walks the graph in order: a kernel node is a launch, a region is lowered in place into if, for and while of the host
 * program, reshapes and tuples are names for memory.  The host program exists once, whatever number of CPU tiers there is.
 * Invariants: every pointer lies in the arena at a planned offset, in the weights, or is the caller's; nothing is allocated.
 */
#include "program.h"
#include <string.h>

typedef struct Frame {
    const Graph *g;
    LVal base;                   /* u8 pointer: the frame's place in the arena */
    LVal **pointers;             /* by node: one u8 pointer per result */
    const LVal *params, *outputs;
    bool region, *checked;       /* by guard */
} Frame;
typedef struct Host {
    Program *p;
    LVal offsets, weights, fails, scratch, scratch_bytes, symbols, fail, tier;
    LVal step;                   /* number of the innermost scan's; or 0: in no loop */
    bool waits;                  /* kernels are deferred; round: their nodes */
    Loc round;
} Host;

static void run_graph(Host *h, Frame *fr);

const char *program_name(Program *p, const char *suffix) {
    return intern(p->cx, arena_print(p->arena, "%s_%s", p->m->name, suffix));
}

uint32_t program_symbol_index(Program *p, Symbol s) {
    for (uint32_t i = 0; i < p->facts->symbols.n; i++)
        if (p->facts->symbols.at[i].id == s.id) return i;
    BUG(p->cx, "symbol '%s' is not in the frame", symbol_info(p->cx, s)->name);
}

LVal program_dim(Program *p, Dim d) {
    Kernel k = {.cx = p->cx, .arena = p->arena, .b = p->b, .lanes = 1};
    for (uint32_t i = 0; i < p->facts->symbols.n; i++) {
        Symbol s = p->facts->symbols.at[i];
        if (p->symbols[s.id].id) kernel_bind(&k, s, p->symbols[s.id]);
    }
    return kernel_dim(&k, d);
}

uint32_t program_base(Program *p, const Graph *g) {
    for (uint32_t i = 0; i < p->bases.n; i++)
        if (p->bases.at[i].g == g) return p->bases.at[i].first;
    BUG(p->cx, "graph %s has no place in the offsets", g->name);
}

/* ---- what the whole program needs to know first ------------------------------------------------------------------------ */

/* Input symbols are those that some input determines, found ones those that some node finds. */
static bool is_bound(Program *p, const Graph *g, Symbol s) {
    for (uint32_t i = 0; i < g->params.n; i++) {
        const TypeInfo *t = val_type(g, g->params.at[i]);
        for (uint32_t d = 0; d < t->rank; d++)
            if (dim_uses(p->cx, t->dims[d], s)) return true;
    }
    for (uint32_t i = 0; i < g->bindings.n; i++)
        if (g->bindings.at[i].symbol.id == s.id) return true;
    return false;
}

static bool is_found(Program *p, const Graph *g, Symbol s) {
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        const Node *n = &g->nodes.at[i];
        if (node_finds(p->cx, n).id == s.id) return true;
        for (uint32_t a = 0; n->op != OP_kernel && a < n->n_attrs; a++)
            if (attr_info[n->attrs[a].key].type == AT_GRAPH && is_found(p, n->attrs[a].as.graph, s)) return true;
    }
    return false;
}

static void collect_symbols(Program *p, const Graph *g, SymbolKind kind) {
    for (uint32_t i = 1; i <= symbol_count(p->cx); i++) {
        Symbol s = {i};
        if (symbol_info(p->cx, s)->kind != kind || !(kind == SYMBOL_INPUT ? is_bound(p, g, s) : is_found(p, g, s))) continue;
        vec_push(p->arena, &p->facts->symbols, s);
    }
}

/* A text may speak of symbols that nothing determines. */
static void require_bound(Program *p, const Graph *g) {
    for (uint32_t i = 1; i <= symbol_count(p->cx); i++) {
        Symbol s = {i};
        if (symbol_info(p->cx, s)->kind != SYMBOL_INPUT || is_bound(p, g, s)) continue;
        bool used = false;
        for (uint32_t k = 0; k < g->guards.n && !used; k++)
            used = dim_uses(p->cx, g->guards.at[k].fact.a, s) || dim_uses(p->cx, g->guards.at[k].fact.b, s);
        for (uint32_t k = 1; k < g->nodes.n && !used; k++) used = node_mentions(p->cx, &g->nodes.at[k], s);
        for (uint32_t k = 0; k < g->bindings.n && !used; k++) {
            Dim value = g->bindings.at[k].value;
            used = value.id && dim_uses(p->cx, value, s);
        }
        for (uint32_t k = 0; k < g->plan->n && !used; k++) used = dim_uses(p->cx, g->plan->buffers[k].bytes, s);
        if (used) diag_fatal(p->cx, "verify: symbol '%s' is used, and no input determines it", symbol_info(p->cx, s)->name);
    }
}

static void add_constant(Program *p, const Node *n) {
    Const c = n->attrs[0].as.data;
    for (uint32_t a = 0; a < n->n_attrs; a++)
        if (n->attrs[a].key == ATTR_data) c = n->attrs[a].as.data;
    for (uint32_t i = 0; i < p->constants.n; i++)
        if (p->constants.at[i].data.id == c.id) return;
    const ConstInfo *info = const_info(p->cx, c);
    if (info->splat) BUG(p->cx, "a splat constant outside kernels");
    uint64_t bytes = info->elements * (uint64_t)dtype_bytes(info->dtype);
    vec_push(p->arena, &p->constants, (ConstPlace){c, p->weights_bytes});
    p->weights_bytes = (p->weights_bytes + bytes + 63) & ~UINT64_C(63);
}

static void collect_graph(Program *p, const Graph *g) {
    vec_push(p->arena, &p->bases, (GraphBase){g, p->facts->n_offsets});
    p->facts->n_offsets += g->plan->n;
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        const Node *n = &g->nodes.at[i];
        if (n->op == OP_const) add_constant(p, n);
        for (uint32_t a = 0; n->op != OP_kernel && a < n->n_attrs; a++)
            if (attr_info[n->attrs[a].key].type == AT_GRAPH) collect_graph(p, n->attrs[a].as.graph);
    }
}

static void add_weights(Program *p) {
    LPart *parts = arena_new_array(p->arena, LPart, p->constants.n);
    for (uint32_t i = 0; i < p->constants.n; i++) parts[i] = (LPart){p->constants.at[i].offset, p->constants.at[i].data};
    LData data = {.name = program_name(p, "weights"), .size = p->weights_bytes, .align = 64, .flags = LD_WEIGHTS,
            .parts = parts, .n_parts = p->constants.n};
    vec_push(p->arena, &p->m->datas, data);
}

/* ---- memory ------------------------------------------------------------------------------------------------------------- */

static LVal recast(Program *p, LVal pointer, DType t) {
    if (loop_type(p->b, pointer).dtype == t) return pointer;
    return l_inst(p->b, LOP_recast, lt_pointer(t), &pointer, 1, 0);
}

static LVal pointer_of(Host *h, Frame *fr, Val v) {
    Program *p = h->p;
    uint32_t element;
    v = graph_memory(fr->g, v, &element);
    const Node *n = node(fr->g, v);
    if (n->op == OP_param) return fr->params[attr_int(n, ATTR_index)];
    if (n->op == OP_const) {
        Const c = node_attr(n, ATTR_data)->as.data;
        for (uint32_t i = 0; i < p->constants.n; i++)
            if (p->constants.at[i].data.id == c.id)
                return l_offset(p->b, h->weights, l_i64(p->b, (int64_t)p->constants.at[i].offset));
    }
    if (!fr->pointers[v.id]) BUG(p->cx, "value %%%u (%s) has no memory", v.id, op_info[n->op].name);
    return fr->pointers[v.id][element];
}

static LVal buffer(Host *h, Frame *fr, int64_t index) {
    Program *p = h->p;
    if (index < 0) return fr->outputs[-1 - index];
    LVal offset = l_load(p->b, h->offsets, l_i64(p->b, program_base(p, fr->g) + index), 1, (LVal){0});
    return l_offset(p->b, fr->base, offset);
}

static Dim type_bytes(Context *cx, const TypeInfo *t) {
    return dim_muli(cx, dim_product(cx, t->dims, t->rank), dtype_bytes(t->dtype));
}

/* ---- kernels ------------------------------------------------------------------------------------------------------------ */

/* A node may become several launches: each has a name of its own, so that profiles tell them apart. */
static const char *launch_name(Program *p, const char *node) {
    uint32_t known = 0;
    size_t n = strlen(node);
    for (uint32_t i = 0; i < p->facts->launches.n; i++) {
        const char *other = p->facts->launches.at[i];
        known += strncmp(other, node, n) == 0 && (!other[n] || strncmp(other + n, " #", 2) == 0);
    }
    return known ? intern(p->cx, arena_print(p->arena, "%s #%u", node, known + 1)) : node;
}

static void check_status(Host *h, LVal status, const char *what) {
    Program *p = h->p;
    LoopBuilder *b = p->b;
    LIf branch = l_if(b, l_bin(b, LOP_ne, status, l_int(b, lt_scalar(DT_i32), 0)));
    l_store(b, h->fail, l_i64(b, 0), l_i64(b, p->facts->launches.n), (LVal){0});
    l_return(b, status);
    l_else(b, &branch, NULL, 0);
    l_if_end(b, &branch, NULL, 0, NULL);
    what = launch_name(p, what);
    vec_push(p->arena, &p->facts->launches, what);
}

static void find_symbols(Host *h, const KernelInfo *info) {
    Program *p = h->p;
    if (!info->found.id) return;
    p->symbols[info->found.id] = l_load(p->b, h->symbols, l_i64(p->b, program_symbol_index(p, info->found)), 1, (LVal){0});
}

/* Cancellation and tracing, between kernels. */
static void step(Host *h) {
    Program *p = h->p;
    LVal in[] = {p->frame, l_i64(p->b, p->facts->launches.n)};
    LVal status = l_call(p->b, "ingot_rt_step", lt_scalar(DT_i32), in, 2);
    LIf branch = l_if(p->b, l_bin(p->b, LOP_ne, status, l_int(p->b, lt_scalar(DT_i32), 0)));
    l_return(p->b, status);
    l_else(p->b, &branch, NULL, 0);
    l_if_end(p->b, &branch, NULL, 0, NULL);
}

/* What a launch passes: frame, extent, pieces, then the kernel's parameters. */
static LVal *launch_operands(Host *h, Frame *fr, Val v, const KernelEntry *e, uint32_t *count) {
    Program *p = h->p;
    const KernelInfo *info = &e->info[0];
    const Node *n = node(fr->g, v);
    const Graph *body = attr_graph(n, ATTR_body);
    VEC(LVal) in = {0};
    vec_push(p->arena, &in, p->frame);
    vec_push(p->arena, &in, program_extent(p, e, h->tier));
    vec_push(p->arena, &in, program_pieces(p, e, h->tier));
    for (uint32_t i = 0; i < n->n_in; i++)
        vec_push(p->arena, &in, recast(p, pointer_of(h, fr, n->in[i]), loop_memory_dtype(val_dtype(body, body->params.at[i]))));
    for (uint32_t i = 0; i < body->results.n; i++)
        vec_push(p->arena, &in, recast(p, fr->pointers[v.id][i], loop_memory_dtype(val_dtype(body, body->results.at[i]))));
    if (info->fails) vec_push(p->arena, &in, h->fails);
    if (info->found.id) vec_push(p->arena, &in, l_offset(p->b, h->symbols, l_i64(p->b, program_symbol_index(p, info->found))));
    if (info->scratches) {
        vec_push(p->arena, &in, h->scratch);
        vec_push(p->arena, &in, h->scratch_bytes);
    }
    if (info->turns) vec_push(p->arena, &in, h->step.id ? h->step : l_i64(p->b, 0));
    for (uint32_t i = 0; i < info->n_symbols; i++) vec_push(p->arena, &in, program_dim(p, dim_symbol(p->cx, info->symbols[i])));
    *count = in.n;
    return in.at;
}

/* A kernel of the same round follows, so that the launch waits for it.  A profile sees each kernel alone. */
static bool is_deferred(const Program *p, const Graph *g, Val v) {
    uint32_t next = v.id + 1;
    while (next < g->nodes.n && g->nodes.at[next].op != OP_kernel && !round_begins(&g->nodes.at[next])) next++;
    return !p->facts->profile && next < g->nodes.n && !round_begins(&g->nodes.at[next]);
}

static void launch(Host *h, Frame *fr, Val v) {
    Program *p = h->p;
    const Node *n = node(fr->g, v);
    const KernelEntry *e = program_kernel(p, fr->g, n);
    const KernelInfo *info = &e->info[0];
    bool deferred = is_deferred(p, fr->g, v);
    if (!h->waits) step(h);
    h->round = h->waits ? loc_join(p->cx, h->round, n->loc) : n->loc;
    uint32_t count;
    const LVal *in = launch_operands(h, fr, v, e, &count);
    h->waits = deferred;
    if (deferred) {
        l_defer(p->b, e->name, in, count);
        return;
    }
    LVal begin = p->facts->profile ? program_launch_begins(p) : (LVal){0};
    LVal status = l_launch(p->b, e->name, in, count);
    check_status(h, status, loc_string(p->cx, h->round));
    find_symbols(h, info);
    if (begin.id) program_launch_ended(p, fr->g, n, e, begin);
    if (info->found.id) program_late_guards(p, fr->g, fr->region, fr->checked, h->fail);
}

/* ---- regions ------------------------------------------------------------------------------------------------------------ */

/* Runs a region's graph in a frame of its own and sees that result k lies at outputs[k]. */
static void run_region(Host *h, Frame *parent, int64_t frame_buffer, const Graph *g, const LVal *params, const LVal *outputs) {
    Program *p = h->p;
    LVal *saved = arena_copy(p->arena, p->symbols, (symbol_count(p->cx) + 1) * sizeof *saved);
    Frame fr = {.g = g, .base = buffer(h, parent, frame_buffer), .params = params, .outputs = outputs, .region = true};
    run_graph(h, &fr);
    for (uint32_t k = 0; k < g->results.n; k++) {
        Val v = g->results.at[k];
        LVal at = pointer_of(h, &fr, v);
        if (at.id != outputs[k].id) l_copy_bytes(h->p->b, outputs[k], at, program_dim(p, type_bytes(p->cx, val_type(g, v))));
    }
    memcpy(p->symbols, saved, (symbol_count(p->cx) + 1) * sizeof *saved);
}

static void run_if(Host *h, Frame *fr, Val v) {
    Program *p = h->p;
    const Node *n = node(fr->g, v);
    const int64_t *slots = attr_ints(n, ATTR_buffers, NULL);
    uint32_t results = type_info(p->cx, n->type)->rank;
    LVal *params = arena_new_array(p->arena, LVal, n->n_in);
    for (uint32_t i = 1; i < n->n_in; i++) params[i - 1] = pointer_of(h, fr, n->in[i]);
    LVal flag = l_load(p->b, pointer_of(h, fr, n->in[0]), l_i64(p->b, 0), 1, (LVal){0});
    LIf branch = l_if(p->b, l_bin(p->b, LOP_ne, flag, l_int(p->b, lt_scalar(DT_u8), 0)));
    run_region(h, fr, slots[results], attr_graph(n, ATTR_then), params, fr->pointers[v.id]);
    l_else(p->b, &branch, NULL, 0);
    run_region(h, fr, slots[results + 1], attr_graph(n, ATTR_orelse), params, fr->pointers[v.id]);
    l_if_end(p->b, &branch, NULL, 0, NULL);
}

/* Carried values alternate: (current, next, other) -> (next, other, next), three pointers each. */
typedef struct Carry { uint32_t n; LVal *at; } Carry;

static Carry carry_begin(Host *h, Frame *fr, Val v, uint32_t first_operand, uint32_t carried, uint32_t results) {
    const Node *n = node(fr->g, v);
    const int64_t *slots = attr_ints(n, ATTR_buffers, NULL);
    Carry c = {3 * carried, arena_new_array(h->p->arena, LVal, 3 * carried + 1)};
    for (uint32_t i = 0; i < carried; i++) {
        c.at[3 * i] = pointer_of(h, fr, n->in[first_operand + i]);
        c.at[3 * i + 1] = fr->pointers[v.id][i];
        c.at[3 * i + 2] = buffer(h, fr, slots[results + i]);
    }
    return c;
}

static void carry_turn(Carry *c) {
    for (uint32_t i = 0; i < c->n; i += 3) {
        LVal next = c->at[i + 1];
        c->at[i] = next, c->at[i + 1] = c->at[i + 2], c->at[i + 2] = next;
    }
}

static void carry_end(Frame *fr, Val v, const Carry *c) {
    for (uint32_t i = 0; i < c->n; i += 3) fr->pointers[v.id][i / 3] = c->at[i];
}

static LVal slice_at(Host *h, LVal base, const TypeInfo *whole, LVal index) {
    Program *p = h->p;
    Dim bytes = dim_muli(p->cx, dim_product(p->cx, whole->dims + 1, whole->rank - 1), dtype_bytes(whole->dtype));
    return l_offset(p->b, base, l_mul(p->b, index, program_dim(p, bytes)));
}

static void run_scan(Host *h, Frame *fr, Val v) {
    Program *p = h->p;
    const Node *n = node(fr->g, v);
    const TypeInfo *t = type_info(p->cx, n->type);
    uint32_t carried = (uint32_t)attr_int(n, ATTR_carried), scanned = (uint32_t)attr_int(n, ATTR_scanned);
    const Graph *body = attr_graph(n, ATTR_body);
    Carry c = carry_begin(h, fr, v, 0, carried, t->rank);
    LVal trip = program_dim(p, attr_dim(n, ATTR_trip)), i, step = l_alloc(p->b, DT_i64, 1);
    LFor loop = l_for(p->b, l_i64(p->b, 0), trip, 1, LOOP_SERIAL, c.at, c.n, &i);
    LVal at = attr_int(n, ATTR_reverse) ? l_sub(p->b, l_sub(p->b, trip, l_i64(p->b, 1)), i) : i;
    l_store(p->b, step, l_i64(p->b, 0), at, (LVal){0});
    LVal *params = arena_new_array(p->arena, LVal, n->n_in + 1), *outputs = arena_new_array(p->arena, LVal, t->rank);
    params[0] = recast(p, step, DT_u8);
    for (uint32_t o = 0; o < n->n_in; o++) {
        bool slice = o >= carried && o < carried + scanned;
        LVal whole = o < carried ? c.at[3 * o] : pointer_of(h, fr, n->in[o]);
        params[o + 1] = slice ? slice_at(h, whole, val_type(fr->g, n->in[o]), at) : whole;
    }
    for (uint32_t r = 0; r < t->rank; r++)
        outputs[r] = r < carried ? c.at[3 * r + 1] : slice_at(h, fr->pointers[v.id][r], type_info(p->cx, t->elements[r]), at);
    LVal outer = h->step;
    h->step = i;
    run_region(h, fr, attr_ints(n, ATTR_buffers, NULL)[t->rank + carried], body, params, outputs);
    h->step = outer;
    carry_turn(&c);
    l_for_end(p->b, &loop, c.at, c.n);
    carry_end(fr, v, &c);
}

static void run_while(Host *h, Frame *fr, Val v) {
    Program *p = h->p;
    LoopBuilder *b = p->b;
    const Node *n = node(fr->g, v);
    uint32_t carried = (uint32_t)attr_int(n, ATTR_carried);
    LVal again = l_alloc(b, DT_u8, 1), zero = l_i64(b, 0), off = l_int(b, lt_scalar(DT_u8), 0);
    Carry c = carry_begin(h, fr, v, 1, carried, carried);
    LVal *before = arena_copy(p->arena, c.at, c.n * sizeof *before);
    LVal *params = arena_new_array(p->arena, LVal, n->n_in), *outputs = arena_new_array(p->arena, LVal, carried + 1);
    LIf first = l_if(b, l_bin(b, LOP_ne, l_load(b, pointer_of(h, fr, n->in[0]), zero, 1, (LVal){0}), off));
    LFor loop = l_while(b, c.at, c.n);
    for (uint32_t o = 0; o < carried; o++) params[o] = c.at[3 * o], outputs[o + 1] = c.at[3 * o + 1];
    for (uint32_t o = carried + 1; o < n->n_in; o++) params[o - 1] = pointer_of(h, fr, n->in[o]);
    outputs[0] = again;
    run_region(h, fr, attr_ints(n, ATTR_buffers, NULL)[2 * carried], attr_graph(n, ATTR_body), params, outputs);
    carry_turn(&c);
    l_while_end(b, &loop, l_bin(b, LOP_ne, l_load(b, again, zero, 1, (LVal){0}), off), c.at, c.n);
    l_else(b, &first, c.at, c.n);
    l_if_end(b, &first, before, c.n, c.at);
    carry_end(fr, v, &c);
}

static void run_node(Host *h, Frame *fr, Val v) {
    static void (*const run[OP_COUNT])(Host *, Frame *, Val) = {
        [OP_kernel] = launch, [OP_if] = run_if, [OP_scan] = run_scan, [OP_while] = run_while};
    Program *p = h->p;
    const Node *n = node(fr->g, v);
    if (!run[n->op] && n->op != OP_join) return;
    const TypeInfo *t = type_info(p->cx, n->type);
    uint32_t results = t->dtype == DT_none ? t->rank : 1;
    const int64_t *slots = attr_ints(n, ATTR_buffers, NULL);
    fr->pointers[v.id] = arena_new_array(p->arena, LVal, results);
    Dim place;
    graph_home(fr->g, v, &place);
    for (uint32_t r = 0; r < results; r++)
        fr->pointers[v.id][r] = l_offset(p->b, buffer(h, fr, slots[r]), program_dim(p, place));
    if (run[n->op]) run[n->op](h, fr, v);
}

static void run_graph(Host *h, Frame *fr) {
    fr->pointers = arena_new_array(h->p->arena, LVal *, fr->g->nodes.n);
    fr->checked = arena_new_array(h->p->arena, bool, fr->g->guards.n + 1);
    program_late_guards(h->p, fr->g, fr->region, fr->checked, h->fail);
    for (uint32_t i = 1; i < fr->g->nodes.n; i++) run_node(h, fr, (Val){i});
}

/* ---- the module --------------------------------------------------------------------------------------------------------- */

static LVal frame_slot(Program *p, int slot, DType t) {
    LVal in[] = {p->frame, l_i64(p->b, slot)};
    return l_inst(p->b, LOP_load_pointer, lt_pointer(t), in, 2, 0);
}

static LVal frame_value(Program *p, int slot) {
    return l_load(p->b, recast(p, p->frame, DT_i64), l_i64(p->b, slot), 1, (LVal){0});
}

static void declare_step(Program *p) {
    LParam params[] = {{.name = "frame", .type = lt_pointer(DT_u64)}, {.name = "launch", .type = lt_scalar(DT_i64)}};
    loop_end(loop_begin(p->m, "ingot_rt_step", LF_EXTERN, params, 2, lt_scalar(DT_i32)));
}

static void program_main(Program *p, const Graph *g) {
    LParam param = {.name = "frame", .type = lt_pointer(DT_u64)};
    LoopBuilder *b = p->b = loop_begin(p->m, program_name(p, "main"), LF_EXPORT, &param, 1, lt_scalar(DT_i32));
    p->frame = loop_param(b, 0);
    p->symbols = arena_new_array(p->arena, LVal, symbol_count(p->cx) + 1);
    Host h = {.p = p, .offsets = frame_slot(p, FRAME_OFFSETS, DT_i64), .weights = frame_slot(p, FRAME_WEIGHTS, DT_u8)};
    h.symbols = frame_slot(p, FRAME_SYMBOLS, DT_i64), h.fail = frame_slot(p, FRAME_FAIL, DT_i64);
    h.fails = frame_slot(p, FRAME_FAILS, DT_i64), h.scratch = frame_slot(p, FRAME_SCRATCH, DT_u8);
    h.scratch_bytes = frame_value(p, FRAME_SCRATCH_BYTES);
    if (p->m->tiers.n > 1) h.tier = frame_value(p, FRAME_TIER);
    for (uint32_t i = 0; i < p->facts->n_input_symbols; i++)
        p->symbols[p->facts->symbols.at[i].id] = l_load(b, h.symbols, l_i64(b, i), 1, (LVal){0});
    LVal inputs = frame_slot(p, FRAME_INPUTS, DT_u64), outputs = frame_slot(p, FRAME_OUTPUTS, DT_u64);
    LVal *in = arena_new_array(p->arena, LVal, g->params.n), *out = arena_new_array(p->arena, LVal, g->results.n);
    for (uint32_t i = 0; i < g->params.n; i++)
        in[i] = l_inst(b, LOP_load_pointer, lt_pointer(DT_u8), (LVal[]){inputs, l_i64(b, i)}, 2, 0);
    for (uint32_t i = 0; i < g->results.n; i++)
        out[i] = l_inst(b, LOP_load_pointer, lt_pointer(DT_u8), (LVal[]){outputs, l_i64(b, i)}, 2, 0);
    Frame fr = {.g = g, .base = frame_slot(p, FRAME_ARENA, DT_u8), .params = in, .outputs = out};
    run_graph(&h, &fr);
    l_return(b, l_int(b, lt_scalar(DT_i32), 0));
    loop_end(b);
}

/* Where outputs lie that run copies to the caller: those whose extents are only found while running. */
static void place_outputs(Program *p, const Graph *g) {
    for (uint32_t k = 0; k < g->results.n; k++) {
        uint32_t element;
        Val v = graph_memory(g, g->results.at[k], &element);
        const Attr *slots = node_attr(node(g, v), ATTR_buffers);
        if (!slots || (op_info[val_op(g, v)].kind == KIND_CONTROL && node_attr(node(g, v), ATTR_carried)))
            diag_fatal(p->cx, "verify: result '%s' has no planned memory", g->result_names.at[k]);
        int64_t slot = slots->as.ints[element];
        vec_push(p->arena, &p->facts->output_offset, slot < 0 ? -1 : (int64_t)program_base(p, g) + slot);
    }
}

LoopModule *lower_graph(Context *cx, const Graph *g, const char *name, const Tiers *tiers, HostFacts *facts) {
    LoopModule *m = loop_module_new(cx, name, tiers);
    Program p = {.cx = cx, .arena = m->arena, .m = m, .facts = facts, .scratch = dim_const(cx, 0)};
    if (!g->plan) BUG(cx, "lowering a graph without a plan");
    collect_symbols(&p, g, SYMBOL_INPUT);
    facts->n_input_symbols = facts->symbols.n;
    collect_symbols(&p, g, SYMBOL_FOUND);
    require_bound(&p, g);
    collect_graph(&p, g);
    add_weights(&p);
    program_kernels(&p, g);
    declare_step(&p);
    if (facts->profile) program_declare_profile(&p);
    place_outputs(&p, g);
    program_bind(&p, g);
    program_plan(&p, g);
    program_main(&p, g);
    return diag_error_count(cx) ? NULL : m;
}
