/* interface.c: what a user of an artifact calls, as Loop IR over the host program that lower_graph wrote.
 *
 * Writes functions of sizes (measure, layout, dims) that the runtime calls through the descriptor, and the typed functions
 * that call the runtime.  The descriptor itself: interface_data.c; the C header: header_text.c.
 * Invariant: measure accepts sizes only where every tensor and the sum of all memory stay below 2^61 bytes, judged in
 * double with the absolute value of every term; sums of the runtime cannot overflow then.
 */
#include "interface.h"
#include "ingot_frame.h"
#include <string.h>

static LVal zero(Interface *w) { return l_i64(w->p.b, 0); }

static LParam param(const char *name, DType t, bool pointer) {
    return (LParam){.name = name, .type = pointer ? lt_pointer(t) : lt_scalar(t)};
}

/* A function over symbols at its first parameter. */
static LoopBuilder *sizes_begin(Interface *w, const char *name, LParam *params, uint32_t n, LType result, bool found) {
    Program *p = &w->p;
    LoopBuilder *b = p->b = loop_begin(p->m, program_name(p, name), LF_LOCAL, params, n, result);
    uint32_t known = found ? w->facts->symbols.n : w->facts->n_input_symbols;
    p->symbols = arena_new_array(p->arena, LVal, symbol_count(p->cx) + 1);
    for (uint32_t i = 0; i < known; i++)
        p->symbols[w->facts->symbols.at[i].id] = l_load(b, loop_param(b, 0), l_i64(b, i), 1, (LVal){0});
    return b;
}

/* ---- functions of sizes --------------------------------------------------------------------------------------------- */

static bool uses_found(Interface *w, Dim d) {
    for (uint32_t i = w->facts->n_input_symbols; i < w->facts->symbols.n; i++)
        if (dim_uses(w->p.cx, d, w->facts->symbols.at[i])) return true;
    return false;
}

/* Dims of outputs, `stride` apart, or one after the other where it is 0. */
static void write_output_dims(Interface *w, const char *name, OutputDims kind) {
    Program *p = &w->p;
    LParam params[] = {param("symbols", DT_i64, true), param("dims", DT_i64, true), param("stride", DT_i64, false)};
    LoopBuilder *b = sizes_begin(w, name, params, 3, (LType){0}, kind == DIMS_EXACT);
    LVal dims = loop_param(b, 1), stride = loop_param(b, 2), packed = l_bin(b, LOP_eq, stride, zero(w));
    int64_t before = 0;
    for (uint32_t k = 0; k < w->g->results.n; k++) {
        const TypeInfo *t = val_type(w->g, w->g->results.at[k]);
        LVal base = l_select(b, packed, l_i64(b, before), l_mul(b, stride, l_i64(b, k)));
        for (uint32_t a = 0; a < t->rank; a++) {
            Dim d = t->dims[a];
            if (kind == DIMS_UPPER || (kind == DIMS_BOUND && uses_found(w, d))) d = graph_upper(w->g, d);
            l_store(b, dims, l_add(b, base, l_i64(b, a)), program_dim(p, d), (LVal){0});
        }
        before += t->rank;
    }
    loop_end(b);
}

static void write_input_dims(Interface *w) {
    LParam params[] = {param("symbols", DT_i64, true), param("dims", DT_i64, true)};
    LoopBuilder *b = sizes_begin(w, "input_dims", params, 2, (LType){0}, false);
    int64_t at = 0;
    for (uint32_t k = 0; k < w->g->params.n; k++) {
        const TypeInfo *t = val_type(w->g, w->g->params.at[k]);
        for (uint32_t a = 0; a < t->rank; a++)
            l_store(b, loop_param(b, 1), l_i64(b, at++), program_dim(&w->p, t->dims[a]), (LVal){0});
    }
    loop_end(b);
}

static LVal round64(LoopBuilder *b, LVal x) { return l_bin(b, LOP_and, l_add(b, x, l_i64(b, 63)), l_i64(b, -64)); }

/* Upper bytes of a tensor. */
static Dim tensor_bytes(Interface *w, Val v) {
    const TypeInfo *t = val_type(w->g, v);
    return dim_muli(w->p.cx, graph_upper_product(w->g, t->dims, t->rank), dtype_bytes(t->dtype));
}

/* The lent block: places of outputs written in place, stored at offsets[n_offsets + 1 + k] unless offsets is 0; its bytes. */
static LVal lent_layout(Interface *w, LVal offsets) {
    LoopBuilder *b = w->p.b;
    LVal at = zero(w);
    for (uint32_t k = 0; k < w->g->results.n; k++) {
        if (offsets.id) l_store(b, offsets, l_i64(b, (int64_t)w->facts->n_offsets + 1 + k), at, (LVal){0});
        if (w->facts->output_offset.at[k] < 0)
            at = l_add(b, at, round64(b, program_dim(&w->p, tensor_bytes(w, w->g->results.at[k]))));
    }
    return at;
}

static LVal call_plan(Interface *w, LVal offsets) {
    LVal in[] = {loop_param(w->p.b, 0), offsets};
    return l_call(w->p.b, program_name(&w->p, "plan"), lt_scalar(DT_i64), in, 2);
}

static void write_layout(Interface *w) {
    LParam params[] = {param("symbols", DT_i64, true), param("offsets", DT_i64, true)};
    LoopBuilder *b = sizes_begin(w, "layout", params, 2, (LType){0}, false);
    (void)call_plan(w, loop_param(b, 1));
    (void)lent_layout(w, loop_param(b, 1));
    loop_end(b);
}

static void write_measure(Interface *w) {
    Program *p = &w->p;
    LParam params[] = {param("symbols", DT_i64, true), param("sizes", DT_i64, true)};
    LoopBuilder *b = sizes_begin(w, "measure", params, 2, lt_scalar(DT_i64), false);
    LVal offsets = l_alloc(b, DT_i64, (int64_t)w->facts->n_offsets + 1);
    LVal arena = round64(b, call_plan(w, offsets));
    LVal scratch = round64(b, l_load(b, offsets, l_i64(b, w->facts->n_offsets), 1, (LVal){0}));
    LType f64 = lt_scalar(DT_f64);
    LVal sum = l_add(b, l_convert(b, arena, DT_f64), l_mul(b, l_convert(b, scratch, DT_f64), l_float(b, f64, FRAME_MAX_WORKERS)));
    for (uint32_t k = 0; k < w->g->params.n; k++)
        sum = l_add(b, sum, program_estimate(p, tensor_bytes(w, w->g->params.at[k])));
    for (uint32_t k = 0; k < w->g->results.n; k++)
        sum = l_add(b, sum, l_add(b, program_estimate(p, tensor_bytes(w, w->g->results.at[k])), l_float(b, f64, 64)));
    LVal fits = l_bin(b, LOP_and, l_bin(b, LOP_le, zero(w), arena), l_lt(b, sum, l_float(b, f64, 0x1p61)));
    l_store(b, loop_param(b, 1), zero(w), scratch, (LVal){0});
    l_store(b, loop_param(b, 1), l_i64(b, 1), lent_layout(w, (LVal){0}), (LVal){0});
    l_return(b, l_select(b, fits, arena, l_i64(b, -1)));
    loop_end(b);
}

/* ---- typed functions ------------------------------------------------------------------------------------------------ */

static LoopBuilder *typed_begin(Interface *w, const char *name, LParam *params, uint32_t n, LType result) {
    return w->p.b = loop_begin(w->p.m, program_name(&w->p, name), LF_EXPORT, params, n, result);
}

static LVal address(Interface *w, const char *data) { return l_addr(w->p.b, program_name(&w->p, data), lt_pointer(DT_u8)); }

/* Parameters first..first+n of the function, stored as an array on the stack. */
static LVal sizes_array(Interface *w, uint32_t first) {
    LoopBuilder *b = w->p.b;
    uint32_t n = w->facts->n_input_symbols;
    LVal at = l_alloc(b, DT_i64, n ? n : 1);
    for (uint32_t i = 0; i < n; i++) l_store(b, at, l_i64(b, i), loop_param(b, first + i), (LVal){0});
    return at;
}

static LParam *sizes_params(Interface *w, uint32_t before) {
    LParam *params = arena_new_array(w->p.arena, LParam, w->facts->n_input_symbols + 2);
    for (uint32_t i = 0; i < w->facts->n_input_symbols; i++)
        params[before + i] = param(arena_print(w->p.arena, "size%u", i), DT_i64, false);
    return params;
}

static void write_memory_bytes(Interface *w) {
    uint32_t n = w->facts->n_input_symbols;
    LoopBuilder *b = typed_begin(w, "memory_bytes", sizes_params(w, 0), n, lt_scalar(DT_u64));
    LVal in[] = {address(w, "private"), sizes_array(w, 0), l_int(b, lt_scalar(DT_i32), 1), l_int(b, lt_pointer(DT_u8), 0)};
    l_return(b, l_call(b, "ingot_rt_bytes", lt_scalar(DT_u64), in, 4));
    loop_end(b);
}

static void write_create(Interface *w) {
    LParam params[] = {param("signature", DT_u32, false), param("options", DT_u8, true), param("out", DT_u8, true),
                       param("error", DT_u8, true)};
    LoopBuilder *b = typed_begin(w, "create", params, 4, lt_scalar(DT_i32));
    LVal in[] = {address(w, "private"), loop_param(b, 0), loop_param(b, 1), loop_param(b, 2), loop_param(b, 3)};
    l_return(b, l_call(b, "ingot_rt_create", lt_scalar(DT_i32), in, 5));
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
    LVal in[] = {loop_param(b, 0), sizes_array(w, 1), loop_param(b, n + 1)};
    l_return(b, l_call(b, "ingot_rt_reserve", lt_scalar(DT_i32), in, 3));
    loop_end(b);
}

static void write_run(Interface *w) {
    LParam params[] = {param("context", DT_u8, true), param("io", DT_i64, true), param("error", DT_u8, true)};
    LoopBuilder *b = typed_begin(w, "run", params, 3, lt_scalar(DT_i32));
    LVal in[] = {loop_param(b, 0), loop_param(b, 1), loop_param(b, 2)};
    l_return(b, l_call(b, "ingot_rt_run", lt_scalar(DT_i32), in, 3));
    loop_end(b);
}

static void write_model(Interface *w, const char *name) {
    LoopBuilder *b = w->p.b = loop_begin(w->p.m, name, LF_EXPORT, NULL, 0, lt_pointer(DT_u8));
    l_return(b, address(w, "public"));
    loop_end(b);
}

/* Declarations of the runtime's functions, as far as this artifact may refer to them: p pointer, q pointer to i64, i i32, u u32, l i64, w u64,
 * v nothing; the result first. */
static const struct { const char *name, *types; } externs[] = {
    {"ingot_rt_bytes", "wpqip"},       {"ingot_rt_create", "ipuppp"},       {"ingot_rt_destroy", "vp"},
    {"ingot_rt_reserve", "ipqp"},      {"ingot_rt_run", "ipqp"},            {"ingot_rt_model_query", "ipuppp"},
    {"ingot_rt_model_create", "ipppp"}, {"ingot_rt_model_reserve", "ipupp"}, {"ingot_rt_model_run", "ippp"},
    {"ingot_rt_cpu", "ipp"},           {"ingot_rt_pool_open", "iipp"},      {"ingot_rt_pool_close", "vp"},
    {"ingot_rt_weights_open", "ipppp"}, {"ingot_rt_weights_close", "vp"},    {"ingot_rt_use_weights", "ippp"},
};

static LType letter_type(char c) {
    switch (c) {
    case 'p': return lt_pointer(DT_u8);
    case 'q': return lt_pointer(DT_i64);
    case 'i': return lt_scalar(DT_i32);
    case 'u': return lt_scalar(DT_u32);
    case 'l': return lt_scalar(DT_i64);
    case 'w': return lt_scalar(DT_u64);
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

bool artifact_interface(LoopModule *m, const Graph *g, const HostFacts *facts, const InterfaceOptions *options) {
    Interface w = {.g = g, .facts = facts, .options = options};
    HostFacts copy = *facts;
    w.p = (Program){.cx = m->cx, .arena = m->arena, .m = m, .facts = &copy};
    if (!check_border(&w)) return false;
    if (options->bare && (options->threads || options->weights != WEIGHTS_EMBEDDED)) {
        diag_error(m->cx, (Loc){0}, "freestanding artifacts have neither threads nor weights outside: drop one of the two");
        return false;
    }
    if (options->threads) add_note(&w, "threads", "1");
    declare_runtime(&w);
    write_input_dims(&w);
    write_output_dims(&w, "extents", DIMS_EXACT);
    write_output_dims(&w, "bounds", DIMS_BOUND);
    write_output_dims(&w, "upper", DIMS_UPPER);
    write_layout(&w);
    write_measure(&w);
    if (!interface_data(&w)) return false;
    write_memory_bytes(&w);
    write_create(&w);
    write_destroy(&w);
    write_reserve(&w);
    write_run(&w);
    write_model(&w, program_name(&w.p, "model"));
    if (options->shared) write_model(&w, "ingot_model_v1");
    add_note(&w, "header", header_text(m, g, facts, options, &w.found));
    const char *n = m->name;
    add_note(&w, "exports", arena_print(m->arena, "%s_memory_bytes %s_create %s_destroy %s_reserve %s_run %s_model%s", n, n, n, n,
                                        n, n, options->shared ? " ingot_model_v1" : ""));
    return true;
}
