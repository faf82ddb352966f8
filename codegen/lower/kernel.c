/* kernel.c: one kernel node (body and schedule) becomes one Loop IR function.
 *
 * The body is closed, so the function depends on nothing but its arguments and equal bodies share one function (host.c).
 * Which symbols, failure record and scratch it takes is decided here from the body alone.
 */
#include "lower.h"

static const TemplateInfo templates[TEMPLATE_COUNT] = {
#define TEMPLATE(name, ...) [TEMPLATE_##name] = {lower_##name, range_##name, scratch_##name},
#include "templates.def"
};

typedef struct SymbolSet {
    Context *cx;
    Arena *arena;
    VEC(Symbol) all;
} SymbolSet;

static void add_dim(SymbolSet *set, Dim d);

static void add_symbol(SymbolSet *set, Symbol s) {
    const SymbolInfo *info = symbol_info(set->cx, s);
    if (info->kind == SYMBOL_INDEX) return;
    if (info->capacity.id) add_dim(set, info->capacity); /* a let's definition; a bound that is checked */
    if (info->kind == SYMBOL_LET) return;
    uint32_t at = 0;
    while (at < set->all.n && set->all.at[at].id < s.id) at++;
    if (at < set->all.n && set->all.at[at].id == s.id) return;
    vec_push(set->arena, &set->all, s);
    for (uint32_t i = set->all.n - 1; i > at; i--) set->all.at[i] = set->all.at[i - 1];
    set->all.at[at] = s;
}

static void add_dim(SymbolSet *set, Dim d) {
    const Term *terms;
    uint32_t n = dim_terms(set->cx, d, &terms);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t f = 0; f < terms[i].n; f++) {
            Atom a = dim_atom(set->cx, terms[i].factors[f].atom);
            if (a.kind == ATOM_SYMBOL) add_symbol(set, a.symbol);
            else add_dim(set, a.a), add_dim(set, a.b);
        }
}

static void add_type(SymbolSet *set, Type type) {
    const TypeInfo *t = type_info(set->cx, type);
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->dtype == DT_none) add_type(set, t->elements[i]);
        else add_dim(set, t->dims[i]);
}

static SymbolSet body_symbols(Context *cx, Arena *arena, const Graph *g) {
    SymbolSet set = {.cx = cx, .arena = arena};
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        const Node *n = &g->nodes.at[i];
        add_type(&set, n->type);
        for (uint32_t a = 0; a < n->n_attrs; a++) {
            AttrType t = attr_info[n->attrs[a].key].type;
            if (t == AT_DIM) add_dim(&set, n->attrs[a].as.dim);
            for (uint32_t d = 0; t == AT_DIMS && d < n->attrs[a].n; d++) add_dim(&set, n->attrs[a].as.dims[d]);
        }
    }
    return set;
}

static bool body_checks(const Graph *g) {
    for (uint32_t i = 1; i < g->nodes.n; i++)
        if (op_info[g->nodes.at[i].op].traits & FAILS) return true;
    return false;
}

static Symbol body_found(Context *cx, const Graph *g) {
    Symbol s = {0};
    for (uint32_t i = 1; i < g->nodes.n && !s.id; i++) s = node_finds(cx, &g->nodes.at[i]);
    return s;
}

/* A kernel does not take the extent it finds as an argument. */
static void drop_found(SymbolSet *set, Symbol found) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < set->all.n; i++)
        if (set->all.at[i].id != found.id) set->all.at[n++] = set->all.at[i];
    set->all.n = n;
}

typedef struct Signature {
    VEC(LParam) params;
    uint32_t first_pointer, first_output, fail, found, scratch, step, first_symbol;
} Signature;

static void add_param(Arena *arena, Signature *s, const char *name, LType type, uint32_t flags) {
    LParam p = {.name = name, .type = type, .flags = flags, .align = 0};
    vec_push(arena, &s->params, p);
}

static Signature make_signature(Kernel *k, const KernelInfo *info, Arena *arena, bool aliased) {
    const Graph *g = k->body;
    Signature s = {0};
    LType i64 = lt_scalar(DT_i64);
    const char *const leading[] = {"lo", "hi", "worker"};
    for (uint32_t i = 0; i < 3; i++) add_param(arena, &s, leading[i], i64, 0);
    s.first_pointer = s.params.n;
    for (uint32_t i = 0; i < g->params.n; i++)
        add_param(arena, &s, arena_print(arena, "in%u", i), lt_pointer(loop_memory_dtype(val_dtype(g, g->params.at[i]))),
                  LP_READONLY);
    s.first_output = s.params.n;
    for (uint32_t i = 0; i < g->results.n; i++)
        add_param(arena, &s, arena_print(arena, "out%u", i), lt_pointer(loop_memory_dtype(val_dtype(g, g->results.at[i]))),
                  aliased ? 0 : LP_NOALIAS);
    s.fail = s.params.n;
    if (info->fails) add_param(arena, &s, "fails", lt_pointer(DT_i64), 0);
    s.found = s.params.n;
    if (info->found.id) add_param(arena, &s, "found", lt_pointer(DT_i64), 0);
    s.scratch = s.params.n;
    if (info->scratches) {
        add_param(arena, &s, "scratch", lt_pointer(DT_u8), LP_NOALIAS);
        add_param(arena, &s, "scratch_bytes", i64, 0);
    }
    s.step = s.params.n;
    if (info->turns) add_param(arena, &s, "step", i64, 0);
    s.first_symbol = s.params.n;
    for (uint32_t i = 0; i < info->n_symbols; i++)
        add_param(arena, &s, symbol_info(k->cx, info->symbols[i])->name, i64, 0);
    return s;
}

/* Facts that hold in every kernel: extents of the body's values are not negative. */
static Scope body_facts(Kernel *k, Arena *arena) {
    VEC(Fact) facts = {0};
    for (uint32_t i = 1; i < k->body->nodes.n; i++) {
        const TypeInfo *t = type_info(k->cx, k->body->nodes.at[i].type);
        for (uint32_t d = 0; t->dtype != DT_none && d < t->rank; d++) {
            Fact f = {REL_LE, dim_const(k->cx, 0), t->dims[d]};
            bool known = prove(k->cx, NULL, f.relation, f.a, f.b) == YES;
            for (uint32_t j = 0; j < facts.n && !known; j++) known = dim_same(facts.at[j].b, f.b);
            if (!known) vec_push(arena, &facts, f);
        }
    }
    return (Scope){NULL, facts.at, facts.n};
}

static void bind_arguments(Kernel *k, const Signature *s, const KernelInfo *info) {
    LoopBuilder *b = k->b;
    const Graph *g = k->body;
    k->pointers = arena_new_array(k->arena, LVal, g->params.n);
    k->outputs = arena_new_array(k->arena, LVal, g->results.n);
    for (uint32_t i = 0; i < g->params.n; i++) k->pointers[i] = loop_param(b, s->first_pointer + i);
    for (uint32_t i = 0; i < g->results.n; i++) k->outputs[i] = loop_param(b, s->first_output + i);
    LVal worker = loop_param(b, 2);
    if (info->fails) k->fail = l_offset(b, loop_param(b, s->fail), l_mul(b, worker, l_i64(b, FAIL_SLOTS)));
    if (info->found.id) k->found = loop_param(b, s->found);
    if (info->scratches) {
        LVal at = l_mul(b, worker, loop_param(b, s->scratch + 1));
        k->scratch = l_offset(b, loop_param(b, s->scratch), at);
    }
    if (info->turns && k->schedule->field[SCHED_turn]) k->step = loop_param(b, s->step);
    for (uint32_t i = 0; i < info->n_symbols; i++) kernel_bind(k, info->symbols[i], loop_param(b, s->first_symbol + i));
}

static const TemplateInfo *template_of(Context *cx, const Schedule *schedule) {
    const TemplateInfo *t = &templates[schedule->field[SCHED_template_]];
    if (!t->lower) diag_fatal(cx, "schedule: a kernel has no template");
    return t;
}

static Kernel kernel_of(LoopModule *m, const Graph *body, const Schedule *schedule) {
    bool fma = !m->tiers.n || m->tiers.at[0]->fma; /* all tiers agree */
    return (Kernel){.cx = m->cx, .arena = m->arena, .body = body, .schedule = schedule, .fma = fma, .lanes = 1};
}

KernelInfo kernel_info(LoopModule *m, const Graph *body, const Schedule *schedule) {
    Context *cx = m->cx;
    const TemplateInfo *t = template_of(cx, schedule);
    Kernel k = kernel_of(m, body, schedule);
    SymbolSet symbols = body_symbols(cx, m->arena, body);
    Scope scope = body_facts(&k, m->arena);
    k.scope = &scope;
    Symbol found = body_found(cx, body);
    drop_found(&symbols, found);
    KernelInfo info = {.fails = body_checks(body), .found = found, .n_symbols = symbols.all.n, .symbols = symbols.all.at};
    info.range = t->range(&k);
    info.elements = graph_written(body, 0);
    info.scratch_bytes = t->scratch(&k);
    info.scratches = !dim_is(cx, info.scratch_bytes, 0);
    info.turns = schedule->field[SCHED_turn];
    return info;
}

/* Whether the results in the set are as large as the schedule asks for before they go past the caches; 0: it does not ask. */
static LVal results_are_far(Kernel *k, uint64_t set) {
    LVal all = {0}, least = l_i64(k->b, k->schedule->field[SCHED_far]);
    if (!k->schedule->field[SCHED_far]) return all;
    for (uint32_t i = 0; i < k->body->results.n && set >> i; i++) {
        const TypeInfo *y = val_type(k->body, k->body->results.at[i]);
        if (!(set >> i & 1)) continue;
        LVal bytes = kernel_dim(k, dim_muli(k->cx, dim_product(k->cx, y->dims, y->rank), dtype_bytes(y->dtype)));
        LVal far = l_bin(k->b, LOP_le, least, bytes);
        all = all.id ? l_bin(k->b, LOP_and, all, far) : far;
    }
    return all;
}

void kernel_write(LoopModule *m, const Graph *body, const Schedule *schedule, const KernelText *text, KernelInfo *info) {
    Kernel k = kernel_of(m, body, schedule);
    Scope scope = body_facts(&k, m->arena);
    k.scope = &scope;
    Signature s = make_signature(&k, info, m->arena, text->aliased);
    k.b = loop_begin(m, text->name, LF_KERNEL, s.params.at, s.params.n, lt_scalar(DT_i32));
    bind_arguments(&k, &s, info);
    k.stream = text->aliased ? 0 : (uint64_t)schedule->field[SCHED_stream]; /* a line that was read is in the caches anyway */
    if (k.stream) k.far = results_are_far(&k, k.stream);
    template_of(k.cx, schedule)->lower(&k, loop_param(k.b, 0), loop_param(k.b, 1));
    if (k.stream) l_inst(k.b, LOP_fence, (LType){0}, NULL, 0, 0);
    l_return(k.b, l_int(k.b, lt_scalar(DT_i32), 0));
    info->func = loop_end(k.b);
    info->func->comment = text->comment;
}

KernelInfo lower_kernel(LoopModule *m, const Graph *body, const Schedule *schedule, const char *name, const char *comment,
                        bool aliased) {
    KernelInfo info = kernel_info(m, body, schedule);
    kernel_write(m, body, schedule, &(KernelText){name, comment, aliased}, &info);
    return info;
}
