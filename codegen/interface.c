/* interface.c: what a user of an artifact calls, as Loop IR over the host program that lower_graph wrote.
 *
 * The typed functions, and N_query.  N_run makes an ingot_call of its struct in the context and gives it to the runtime: typed
 * and generic runs are one path.  What the runtime calls: interface_sizes.c; the descriptor: interface_data.c; the C header:
 * header_text.c.
 */
#include "interface.h"
#include "ingot_frame.h"
#include <string.h>

static LVal zero(Interface *w) { return l_i64(w->p.b, 0); }

static LParam param(const char *name, DType t, bool pointer) {
    return (LParam){.name = name, .type = pointer ? lt_pointer(t) : lt_scalar(t)};
}

uint32_t interface_guard(Interface *w, const char *text) {
    vec_push(w->p.arena, &w->guards, text);
    return w->guards.n - 1;
}

LVal interface_frame_pointer(Interface *w, LVal frame, int slot, DType t) {
    return l_inst(w->p.b, LOP_load_pointer, lt_pointer(t), (LVal[]){frame, l_i64(w->p.b, slot)}, 2, 0);
}
LVal interface_word(Interface *w, LVal words, int64_t i) { return l_load(w->p.b, words, l_i64(w->p.b, i), 1, (LVal){0}); }
void interface_set_word(Interface *w, LVal words, int64_t i, LVal value) {
    l_store(w->p.b, words, l_i64(w->p.b, i), value, (LVal){0});
}
LVal interface_recast(Interface *w, LVal pointer, DType t) { return l_inst(w->p.b, LOP_recast, lt_pointer(t), &pointer, 1, 0); }
LVal interface_address(Interface *w, const char *data) { return l_addr(w->p.b, program_name(&w->p, data), lt_pointer(DT_u8)); }

Val interface_tensor(const Interface *w, uint32_t k) {
    return k < w->g->params.n ? w->g->params.at[k] : w->g->results.at[k - w->g->params.n];
}

/* ---- typed functions ------------------------------------------------------------------------------------------------ */

static LoopBuilder *typed_begin(Interface *w, const char *name, LParam *params, uint32_t n, LType result) {
    return w->p.b = loop_begin(w->p.m, program_name(&w->p, name), LF_EXPORT, params, n, result);
}

static LVal null(Interface *w) { return l_int(w->p.b, lt_pointer(DT_u8), 0); }

/* A text as a data object of its own. */
static LVal text_address(Interface *w, const char *name, const char *text) {
    const char *data = program_name(&w->p, name);
    if (!loop_data_find(w->p.m, data)) {
        LData d = {.name = data, .bytes = (const uint8_t *)text, .size = strlen(text) + 1, .align = 1};
        vec_push(w->p.m->arena, &w->p.m->datas, d);
    }
    return l_addr(w->p.b, data, lt_pointer(DT_u8));
}

/* Ends the function with an error where `holds` does not. */
static void refuse_unless(Interface *w, LVal holds, LVal error, LVal text, LVal name, LVal a, LVal b, LVal c) {
    LoopBuilder *to = w->p.b;
    LIf branch = l_if(to, l_un(to, LOP_not, holds));
    l_return(to, l_call(to, "ingot_rt_error", lt_scalar(DT_i32), (LVal[]){error, text, name, a, b, c}, 6));
    l_else(to, &branch, NULL, 0);
    l_if_end(to, &branch, NULL, 0, NULL);
}

/* Parameters first..first+n of the function, stored as an array on the stack. */
static LVal sizes_array(Interface *w, uint32_t first) {
    LoopBuilder *b = w->p.b;
    uint32_t n = w->facts->n_input_symbols;
    LVal at = l_alloc(b, DT_i64, n ? n : 1);
    for (uint32_t i = 0; i < n; i++) interface_set_word(w, at, i, loop_param(b, first + i));
    return at;
}

static LParam *sizes_params(Interface *w, uint32_t before) {
    LParam *params = arena_new_array(w->p.arena, LParam, w->facts->n_input_symbols + 2);
    for (uint32_t i = 0; i < w->facts->n_input_symbols; i++)
        params[before + i] = param(arena_print(w->p.arena, "size%u", i), DT_i64, false);
    return params;
}

/* What N_measure reads and writes of a context, on the stack; returns bytes, or the guard that failed. */
static LVal measure(Interface *w, LVal sizes, LVal workers, LVal *fail) {
    LoopBuilder *b = w->p.b;
    LVal frame = l_alloc(b, DT_u64, FRAME_SLOTS), words = interface_recast(w, frame, DT_i64);
    *fail = l_alloc(b, DT_i64, FRAME_FAIL_SLOTS);
    interface_set_word(w, words, FRAME_POOL, workers);
    interface_set_word(w, words, FRAME_LENDS, zero(w));
    l_inst(b, LOP_store_pointer, (LType){0}, (LVal[]){frame, l_i64(b, FRAME_FAIL), *fail}, 3, 0);
    return l_call(b, program_name(&w->p, "measure"), lt_scalar(DT_i64), (LVal[]){sizes, frame}, 2);
}

static void write_memory_bytes(Interface *w) {
    LoopBuilder *b = typed_begin(w, "memory_bytes", sizes_params(w, 0), w->facts->n_input_symbols, lt_scalar(DT_u64));
    LVal fail, bytes = measure(w, sizes_array(w, 0), l_i64(b, 1), &fail);
    l_return(b, l_convert(b, l_max(b, bytes, zero(w)), DT_u64));
    loop_end(b);
}

static void write_create(Interface *w) {
    LParam params[] = {param("signature", DT_u32, false), param("options", DT_u8, true), param("out", DT_u64, true),
                       param("error", DT_u8, true)};
    LoopBuilder *b = typed_begin(w, "create", params, 4, lt_scalar(DT_i32));
    LVal found = loop_param(b, 0), expected = l_int(b, lt_scalar(DT_u32), w->found.signature), out = loop_param(b, 2);
    l_inst(b, LOP_store_pointer, (LType){0}, (LVal[]){out, zero(w), null(w)}, 3, 0);
    LVal text = text_address(w, "text_signature",
                             "\013header and library are not from the same model: found signature %d, expected %d");
    refuse_unless(w, l_bin(b, LOP_eq, found, expected), loop_param(b, 3), text, null(w), l_convert(b, found, DT_i64),
                  l_convert(b, expected, DT_i64), zero(w));
    LVal in[] = {interface_address(w, "public"), loop_param(b, 1), out, loop_param(b, 3)};
    l_return(b, l_call(b, "ingot_rt_create", lt_scalar(DT_i32), in, 4));
    loop_end(b);
}

static void write_destroy(Interface *w) {
    LParam params[] = {param("context", DT_u8, true)};
    LoopBuilder *b = typed_begin(w, "destroy", params, 1, (LType){0});
    (void)l_call(b, "ingot_rt_destroy", (LType){0}, (LVal[]){loop_param(b, 0)}, 1);
    loop_end(b);
}

static void write_reserve(Interface *w) {
    uint32_t n = w->facts->n_input_symbols;
    LParam *params = sizes_params(w, 1);
    params[0] = param("context", DT_u8, true);
    params[n + 1] = param("error", DT_u8, true);
    LoopBuilder *b = typed_begin(w, "reserve", params, n + 2, lt_scalar(DT_i32));
    LVal in[] = {loop_param(b, 0), l_int(b, lt_scalar(DT_u32), 0), sizes_array(w, 1), loop_param(b, n + 1)};
    l_return(b, l_call(b, "ingot_rt_reserve", lt_scalar(DT_i32), in, 4));
    loop_end(b);
}

/* A tensor of the struct as the generic interface has it; bytes are what the caller's sizes make them. */
static void put_tensor(Interface *w, LVal tensors, uint32_t k, LVal data) {
    Program *p = &w->p;
    LoopBuilder *b = p->b;
    const TypeInfo *t = val_type(w->g, interface_tensor(w, k));
    int64_t first = (int64_t)k * TENSOR_WORDS;
    LVal bytes = l_i64(b, dtype_bytes(t->dtype));
    for (uint32_t a = 0; a < t->rank; a++) {
        bool found = interface_uses_found(w, t->dims[a]);
        LVal d = program_dim(p, found ? graph_upper_axis(w->g, interface_tensor(w, k), 0, a) : t->dims[a]);
        if (k < w->g->params.n) interface_set_word(w, tensors, first + TENSOR_WORD(dims) + a, d);
        bytes = l_mul(b, bytes, d);
    }
    interface_set_word(w, tensors, first + TENSOR_WORD(data), data);
    interface_set_word(w, tensors, first + TENSOR_WORD(bytes), bytes);
    interface_set_word(w, tensors, first + TENSOR_WORD(dtype),
                       l_i64(b, (int64_t)dtype_info[t->dtype].dlpack | (int64_t)t->rank << 32));
}

static LVal put_call(Interface *w, LVal typed) {
    LoopBuilder *b = w->p.b;
    uint32_t n_inputs = w->g->params.n;
    LVal words = interface_recast(w, typed, DT_i64);
    interface_set_word(w, words, CALL_WORD(size), l_i64(b, (int64_t)sizeof(ingot_call)));
    interface_set_word(w, words, CALL_WORD(n_inputs), l_i64(b, (int64_t)n_inputs | (int64_t)w->g->results.n << 32));
    LVal at = l_i64(b, CALL_WORD(inputs)), inputs = l_offset(b, typed, l_i64(b, CALL_WORDS));
    l_inst(b, LOP_store_pointer, (LType){0}, (LVal[]){typed, at, inputs}, 3, 0);
    at = l_i64(b, CALL_WORD(outputs));
    LVal outputs = l_offset(b, inputs, l_i64(b, (int64_t)n_inputs * TENSOR_WORDS));
    l_inst(b, LOP_store_pointer, (LType){0}, (LVal[]){typed, at, outputs}, 3, 0);
    return l_offset(b, words, l_i64(b, CALL_WORDS));
}

static void write_run(Interface *w) {
    LParam params[] = {param("context", DT_u64, true), param("io", DT_i64, true), param("error", DT_u8, true)};
    LoopBuilder *b = typed_begin(w, "run", params, 3, lt_scalar(DT_i32));
    uint32_t n = w->facts->n_input_symbols, n_tensors = w->g->params.n + w->g->results.n;
    LVal frame = loop_param(b, 0), io = loop_param(b, 1), typed = interface_frame_pointer(w, frame, FRAME_TYPED, DT_u64);
    LVal tensors = put_call(w, typed);
    interface_symbols(w, io, n);
    for (uint32_t k = 0; k < n_tensors; k++) put_tensor(w, tensors, k, interface_word(w, io, n + k));
    LVal in[] = {interface_recast(w, frame, DT_u8), interface_recast(w, typed, DT_u8), loop_param(b, 2)};
    LVal status = l_call(b, "ingot_rt_run", lt_scalar(DT_i32), in, 3);
    LIf branch = l_if(b, l_bin(b, LOP_eq, status, l_int(b, lt_scalar(DT_i32), 0)));
    for (uint32_t k = w->g->params.n; k < n_tensors; k++)
        interface_set_word(w, io, n + k, interface_word(w, tensors, (int64_t)k * TENSOR_WORDS + TENSOR_WORD(data)));
    LVal symbols = interface_frame_pointer(w, frame, FRAME_SYMBOLS, DT_i64);
    for (uint32_t i = n; i < w->facts->symbols.n; i++) interface_set_word(w, io, n_tensors + i, interface_word(w, symbols, i));
    l_else(b, &branch, NULL, 0);
    l_if_end(b, &branch, NULL, 0, NULL);
    l_return(b, status);
    loop_end(b);
}

static void write_observe(Interface *w) {
    LParam params[] = {param("context", DT_u8, true), param("observer", DT_u8, true), param("user", DT_u8, true)};
    LoopBuilder *b = typed_begin(w, "observe", params, 3, (LType){0});
    (void)l_call(b, "ingot_rt_observe", (LType){0}, (LVal[]){loop_param(b, 0), loop_param(b, 1), loop_param(b, 2)}, 3);
    loop_end(b);
}

static void write_model(Interface *w, const char *name) {
    LoopBuilder *b = w->p.b = loop_begin(w->p.m, name, LF_EXPORT, NULL, 0, lt_pointer(DT_u8));
    l_return(b, interface_address(w, "public"));
    loop_end(b);
}

/* ---- query ------------------------------------------------------------------------------------------------------------ */

/* Outputs at these sizes: at least what all smaller sizes need, found symbols at their capacity. */
static void describe_outputs(Interface *w, LVal plan, LVal sizes) {
    LoopBuilder *b = w->p.b;
    LVal outputs = interface_frame_pointer(w, plan, (int)(offsetof(ingot_plan, outputs) / 8), DT_i64);
    LVal present =
        l_bin(b, LOP_ne, interface_word(w, interface_recast(w, plan, DT_i64), offsetof(ingot_plan, outputs) / 8), zero(w));
    LIf branch = l_if(b, present);
    interface_symbols(w, sizes, w->facts->n_input_symbols);
    for (uint32_t k = 0; k < w->g->results.n; k++) {
        const TypeInfo *t = val_type(w->g, w->g->results.at[k]);
        int64_t first = (int64_t)k * TENSOR_WORDS;
        LVal bytes = l_i64(b, dtype_bytes(t->dtype));
        for (uint32_t a = 0; a < t->rank; a++) {
            LVal d = program_dim(&w->p, graph_upper_axis(w->g, w->g->results.at[k], 0, a));
            interface_set_word(w, outputs, first + TENSOR_WORD(dims) + a, d);
            bytes = l_mul(b, bytes, d);
        }
        interface_set_word(w, outputs, first + TENSOR_WORD(bytes), bytes);
        interface_set_word(w, outputs, first + TENSOR_WORD(dtype),
                           l_i64(b, (int64_t)dtype_info[t->dtype].dlpack | (int64_t)t->rank << 32));
    }
    l_else(b, &branch, NULL, 0);
    l_if_end(b, &branch, NULL, 0, NULL);
}

#define PLAN_WORD(member) ((int64_t)(offsetof(ingot_plan, member) / 8))
#define PLAN_HALF(member) ((int64_t)(offsetof(ingot_plan, member) / 4))

static LVal half(Interface *w, LVal halves, int64_t i) {
    return l_convert(w->p.b, l_load(w->p.b, halves, l_i64(w->p.b, i), 1, (LVal){0}), DT_i64);
}

static void write_query(Interface *w) {
    LParam params[] = {param("model", DT_u8, true), param("entry", DT_u32, false), param("sizes", DT_i64, true),
                       param("plan", DT_u64, true), param("error", DT_u8, true)};
    LoopBuilder *b = w->p.b = loop_begin(w->p.m, program_name(&w->p, "query"), LF_LOCAL, params, 5, lt_scalar(DT_i32));
    LVal plan = loop_param(b, 3), words = interface_recast(w, plan, DT_i64), halves = interface_recast(w, plan, DT_i32),
         error = loop_param(b, 4);
    LVal size = half(w, halves, PLAN_HALF(size)), expected = l_i64(b, (int64_t)sizeof(ingot_plan));
    refuse_unless(w, l_bin(b, LOP_le, expected, size), error,
                  text_address(w, "text_plan", "\013the plan's size is %d, expected %d"), null(w), size, expected, zero(w));
    LVal entry = l_convert(b, loop_param(b, 1), DT_i64), n = half(w, halves, PLAN_HALF(n_outputs)),
         results = l_i64(b, w->g->results.n);
    LVal fits =
        l_bin(b, LOP_or, l_bin(b, LOP_eq, interface_word(w, words, PLAN_WORD(outputs)), zero(w)), l_bin(b, LOP_eq, n, results));
    refuse_unless(w, l_bin(b, LOP_and, fits, l_bin(b, LOP_eq, entry, zero(w))), error,
                  text_address(w, "text_query", "\001found room for %d outputs of entry %d, expected %d of entry 0"), null(w),
                  n, entry, results);
    int64_t most = w->options->threads ? FRAME_MAX_WORKERS : 1;
    LVal workers = l_min(b, l_max(b, half(w, halves, PLAN_HALF(workers)), l_i64(b, 1)), l_i64(b, most));
    LVal fail, bytes = measure(w, loop_param(b, 2), workers, &fail);
    LIf branch = l_if(b, l_lt(b, bytes, zero(w)));
    LVal private = interface_recast(w, interface_address(w, "private"), DT_u64);
    LVal guards = interface_frame_pointer(w, private, (int)(offsetof(ingot_rt_model, guards) / 8), DT_u64);
    LVal text = l_inst(b, LOP_load_pointer, lt_pointer(DT_u8), (LVal[]){guards, l_sub(b, l_i64(b, -1), bytes)}, 2, 0);
    LVal in[] = {error, text, null(w), interface_word(w, fail, 1), interface_word(w, fail, 2), zero(w)};
    l_return(b, l_call(b, "ingot_rt_error", lt_scalar(DT_i32), in, 6));
    l_else(b, &branch, NULL, 0);
    l_if_end(b, &branch, NULL, 0, NULL);
    for (int64_t i = 0; i < 2 * INGOT_SPACES; i++)
        interface_set_word(w, words, PLAN_WORD(context) + i, i == INGOT_HOST ? bytes : zero(w));
    describe_outputs(w, plan, loop_param(b, 2));
    l_return(b, l_int(b, lt_scalar(DT_i32), 0));
    loop_end(b);
}

/* ---- the runtime's functions -------------------------------------------------------------------------------------------- */

/* As far as this artifact may refer to them: p pointer, q pointer to i64, r pointer to u64, i i32, u u32, l i64, v nothing; the
 * result first. */
static const struct { const char *name, *types; } externs[] = {
    {"ingot_rt_error", "ippplll"},      {"ingot_rt_create", "ipprp"},   {"ingot_rt_destroy", "vp"},
    {"ingot_rt_reserve", "ipuqp"},      {"ingot_rt_run", "ippp"},       {"ingot_rt_pool_open", "iipp"},
    {"ingot_rt_pool_close", "vp"},      {"ingot_rt_weights_open", "ipppp"}, {"ingot_rt_weights_close", "vp"},
    {"ingot_rt_use_weights", "ippp"},   {"ingot_rt_self_test", "ipp"},  {"ingot_rt_observe", "vppp"},
};

static LType letter_type(char c) {
    switch (c) {
    case 'p': return lt_pointer(DT_u8);
    case 'q': return lt_pointer(DT_i64);
    case 'r': return lt_pointer(DT_u64);
    case 'i': return lt_scalar(DT_i32);
    case 'u': return lt_scalar(DT_u32);
    case 'l': return lt_scalar(DT_i64);
    default: return (LType){0};
    }
}

static void declare_runtime(Interface *w) {
    for (uint32_t i = 0; i < COUNT(externs); i++) {
        const char *types = externs[i].types;
        uint32_t n = (uint32_t)strlen(types) - 1;
        LParam *params = arena_new_array(w->p.arena, LParam, n);
        bool weights = strstr(externs[i].name, "weights") != NULL, pool = strstr(externs[i].name, "pool") != NULL;
        if ((weights && w->options->weights == WEIGHTS_EMBEDDED) || (pool && !w->options->threads)) continue;
        if (!w->options->n_tests && strstr(externs[i].name, "self_test")) continue;
        if (!w->options->profile && strstr(externs[i].name, "observe")) continue;
        if (loop_func_find(w->p.m, externs[i].name)) continue;
        for (uint32_t k = 0; k < n; k++)
            params[k] = (LParam){.name = arena_print(w->p.arena, "a%u", k), .type = letter_type(types[k + 1])};
        loop_end(loop_begin(w->p.m, externs[i].name, LF_EXTERN, params, n, letter_type(types[0])));
    }
}

/* ---- the whole --------------------------------------------------------------------------------------------------------- */

static void add_note(Interface *w, const char *key, const char *text) {
    LoopModule *m = w->p.m;
    for (uint32_t i = 0; i < m->notes.n; i++)
        if (strcmp(m->notes.at[i].key, key) == 0) {
            m->notes.at[i].text = intern(w->p.cx, text);
            return;
        }
    vec_push(m->arena, &m->notes, (LNote){intern(w->p.cx, key), intern(w->p.cx, text)});
}

static bool check_border(Interface *w) {
    for (uint32_t k = 0; k < w->g->params.n + w->g->results.n; k++) {
        bool input = k < w->g->params.n;
        Val v = input ? w->g->params.at[k] : w->g->results.at[k - w->g->params.n];
        if (val_rank(w->g, v) <= 8) continue;
        diag_error(w->p.cx, node(w->g, v)->loc, "%s has rank %u: at most 8 at the border of an artifact",
                   interface_tensor_name(w->g, k), val_rank(w->g, v));
        return false;
    }
    return true;
}

/* All but kernels runs on any machine, so that one that lacks the tiers is refused by a message, not by a signal. */
static void lower_host(LoopModule *m) {
    const Target *baseline = target_baseline(m->tiers.at[0]);
    for (uint32_t i = 0; i < m->funcs.n && baseline != m->tiers.at[0]; i++) {
        LFunc *f = m->funcs.at[i];
        if (f->kind != LF_KERNEL && f->body) f->target = baseline;
    }
}

bool artifact_interface(LoopModule *m, const Graph *g, const HostFacts *facts, const InterfaceOptions *options) {
    Interface w = {.g = g, .facts = facts, .options = options};
    HostFacts copy = *facts;
    w.p = (Program){.cx = m->cx, .arena = m->arena, .m = m, .facts = &copy};
    if (!check_border(&w)) return false;
    if (options->bare && (options->threads || options->weights != WEIGHTS_EMBEDDED || options->n_tests || options->profile)) {
        diag_usage(
            m->cx, (Loc){0},
            "freestanding artifacts have neither threads nor weights outside nor a profile nor self-tests: drop one of the "
            "two");
        return false;
    }
    if (options->threads) add_note(&w, "threads", "1");
    if (options->profile) add_note(&w, "profile", "1");
    if (options->n_tests) add_note(&w, "tests", arena_print(m->arena, "%u", options->n_tests));
    declare_runtime(&w);
    for (uint32_t i = 0; i < facts->guards.n; i++) (void)interface_guard(&w, facts->guards.at[i]);
    write_query(&w);
    if (!interface_data(&w)) return false;
    write_memory_bytes(&w);
    write_create(&w);
    write_destroy(&w);
    write_reserve(&w);
    write_run(&w);
    if (options->profile) write_observe(&w);
    write_model(&w, program_name(&w.p, "model"));
    if (options->shared) write_model(&w, "ingot_model_v1");
    lower_host(m);
    add_note(&w, "header", header_text(m, g, facts, options, &w.found));
    const char *n = m->name;
    add_note(&w, "exports",
             arena_print(m->arena, "%s_memory_bytes %s_create %s_destroy %s_reserve %s_run %s_model%s%s", n, n, n, n, n, n,
                         options->profile ? arena_print(m->arena, " %s_observe", n) : "",
                         options->shared ? " ingot_model_v1" : ""));
    return true;
}
