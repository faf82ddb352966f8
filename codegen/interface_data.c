/* interface_data.c: the descriptor of an artifact as data with relocations: N_private for the runtime, N_public for hosts.
 *
 * Structs of ingot_rt.h and ingot_frame.h are written at the offsets that this compiler gives them: host and target share
 * the 64-bit layout.  N_public refers to N_private and never the other way, so that programs of typed functions alone link
 * without the generic ones.  Strings lie in N_strings.
 */
#include "interface.h"
#include "ingot_frame.h"
#include <limits.h>
#include <string.h>

typedef struct Writer {
    Interface *w;
    Arena *arena;
    const char *name;        /* of the data object */
    Text *strings;
    const char *strings_name;
    Text bytes;
    VEC(LReloc) relocs;
} Writer;

static void put(Writer *out, uint64_t at, const void *value, size_t n) { memcpy(out->bytes.at + at, value, n); }
static void put_u32(Writer *out, uint64_t at, uint64_t value) { put(out, at, &(uint32_t){(uint32_t)value}, 4); }
static void put_i64(Writer *out, uint64_t at, int64_t value) { put(out, at, &value, 8); }

static uint64_t room(Writer *out, size_t n, size_t align) {
    static const char zeros[64];
    uint64_t padded = (n + 7) & ~(size_t)7;
    while (out->bytes.n % align) text_add_n(&out->bytes, zeros, 1);
    uint64_t at = out->bytes.n;
    for (uint64_t left = padded; left; left -= left < 64 ? left : 64) text_add_n(&out->bytes, zeros, left < 64 ? left : 64);
    return at;
}
static void point(Writer *out, uint64_t at, const char *symbol, uint64_t addend) {
    vec_push(out->arena, &out->relocs, (LReloc){at, intern(out->w->p.cx, symbol), (int64_t)addend});
}
static void point_own(Writer *out, uint64_t at, uint64_t to) { point(out, at, out->name, to); }
static void point_function(Writer *out, uint64_t at, const char *suffix) {
    point(out, at, program_name(&out->w->p, suffix), 0);
}
static void point_text(Writer *out, uint64_t at, const char *text) {
    point(out, at, out->strings_name, out->strings->n);
    text_add_n(out->strings, text, strlen(text) + 1);
}

static void finish(Writer *out, uint32_t align) {
    for (uint32_t i = 1; i < out->relocs.n; i++) /* insertion sort: nearly sorted */
        for (uint32_t k = i; k && out->relocs.at[k - 1].offset > out->relocs.at[k].offset; k--) {
            LReloc r = out->relocs.at[k];
            out->relocs.at[k] = out->relocs.at[k - 1];
            out->relocs.at[k - 1] = r;
        }
    LoopModule *m = out->w->p.m;
    LData d = {.name = out->name, .bytes = (const uint8_t *)out->bytes.at, .size = out->bytes.n, .align = align,
               .n_relocs = out->relocs.n, .relocs = out->relocs.at};
    vec_push(m->arena, &m->datas, d);
}

/* ---- tables --------------------------------------------------------------------------------------------------------- */

const char *interface_tensor_name(const Graph *g, uint32_t k) {
    if (k >= g->params.n) return g->result_names.at[k - g->params.n];
    const Attr *a = node_attr(node(g, g->params.at[k]), ATTR_name);
    return a ? a->as.text : "input";
}

const char *interface_dim_text(Context *cx, Arena *arena, Dim d) {
    Text t = text_new(arena);
    dim_print(cx, &t, d);
    return t.at;
}

/* A dim as hosts see it: an extent, -1-k for symbol k, INT64_MIN for an expression. */
static int64_t dim_code(const Interface *w, Dim d) {
    int64_t value;
    if (dim_const_value(w->p.cx, d, &value)) return value;
    for (uint32_t i = 0; i < w->facts->symbols.n; i++)
        if (dim_same(d, dim_symbol(w->p.cx, w->facts->symbols.at[i]))) return -1 - (int64_t)i;
    return INT64_MIN;
}

/* An array of pointers to `n` structs, made by `each`; returns its place. */
typedef uint64_t EachFn(Writer *, uint32_t i);
static uint64_t pointers(Writer *out, uint32_t n, EachFn *each) {
    uint64_t at = room(out, 8 * (size_t)n, 8);
    for (uint32_t i = 0; i < n; i++) point_own(out, at + 8 * i, each(out, i));
    return at;
}

static uint64_t write_symbol(Writer *out, uint32_t i) {
    const SymbolInfo *s = symbol_info(out->w->p.cx, out->w->facts->symbols.at[i]);
    bool found = i >= out->w->facts->n_input_symbols;
    int64_t max = s->max, low;
    if (found) dim_range(out->w->p.cx, NULL, s->capacity, &low, &max);
    uint64_t at = room(out, sizeof(ingot_symbol), 8);
    put_u32(out, at + offsetof(ingot_symbol, size), sizeof(ingot_symbol));
    put_u32(out, at + offsetof(ingot_symbol, flags), found);
    put_i64(out, at + offsetof(ingot_symbol, min), s->min < 0 ? 0 : s->min);
    put_i64(out, at + offsetof(ingot_symbol, max), max);
    put_i64(out, at + offsetof(ingot_symbol, multiple), s->multiple < 1 ? 1 : s->multiple);
    put_i64(out, at + offsetof(ingot_symbol, hint), s->hint);
    point_text(out, at + offsetof(ingot_symbol, name), s->name);
    return at;
}

static uint64_t write_tensor(Writer *out, uint32_t k) {
    Interface *w = out->w;
    const TypeInfo *t = val_type(w->g, interface_tensor(w, k));
    uint64_t at = room(out, sizeof(ingot_tensor_info), 8), dims = room(out, 8 * t->rank, 8), texts = room(out, 8 * t->rank, 8);
    put_u32(out, at + offsetof(ingot_tensor_info, size), sizeof(ingot_tensor_info));
    put_u32(out, at + offsetof(ingot_tensor_info, dtype), dtype_info[t->dtype].dlpack);
    put_u32(out, at + offsetof(ingot_tensor_info, rank), t->rank);
    int64_t alias = graph_alias(w->g, k);
    put_u32(out, at + offsetof(ingot_tensor_info, flags), alias < 0 ? 0 : 2);
    put_u32(out, at + offsetof(ingot_tensor_info, alias), (uint32_t)alias);
    point_text(out, at + offsetof(ingot_tensor_info, name), interface_tensor_name(w->g, k));
    if (t->rank) {
        point_own(out, at + offsetof(ingot_tensor_info, dims), dims);
        point_own(out, at + offsetof(ingot_tensor_info, dim_text), texts);
    }
    for (uint32_t a = 0; a < t->rank; a++) {
        put_i64(out, dims + 8 * a, dim_code(w, t->dims[a]));
        point_text(out, texts + 8 * a, interface_dim_text(w->p.cx, out->arena, t->dims[a]));
    }
    return at;
}

static uint64_t write_texts(Writer *out, const char *const *texts, uint32_t n) {
    uint64_t at = room(out, 8 * (size_t)n, 8);
    for (uint32_t i = 0; i < n; i++) point_text(out, at + 8 * i, texts[i] ? texts[i] : "");
    return at;
}

static uint64_t write_words(Writer *out, const int64_t *words, uint32_t n) {
    uint64_t at = room(out, 8 * (size_t)n, 8);
    for (uint32_t i = 0; i < n; i++) put_i64(out, at + 8 * i, words[i]);
    return at;
}

static uint64_t write_tests(Writer *out) {
    const InterfaceOptions *o = out->w->options;
    uint64_t at = room(out, sizeof(ingot_rt_test) * o->n_tests, 8);
    for (uint32_t i = 0; i < o->n_tests; i++) {
        const SelfTest *t = &o->tests[i];
        uint64_t row = at + sizeof(ingot_rt_test) * i;
        put_i64(out, row + offsetof(ingot_rt_test, seed), (int64_t)t->seed);
        put_i64(out, row + offsetof(ingot_rt_test, hash), (int64_t)t->hash);
        put_i64(out, row + offsetof(ingot_rt_test, n_sets), t->n_sets);
        point_own(out, row + offsetof(ingot_rt_test, dims), write_words(out, t->dims, t->n_dims));
        point_own(out, row + offsetof(ingot_rt_test, output_bytes), write_words(out, t->output_bytes, out->w->g->results.n));
        point_own(out, row + offsetof(ingot_rt_test, sets), write_words(out, t->sets, 3 * t->n_sets));
    }
    return at;
}

/* ---- features of the CPU ---------------------------------------------------------------------------------------------- */

static uint64_t write_features(Writer *out, uint32_t *n) {
    Interface *w = out->w;
    const ingot_rt_feature *all = cpu_features(out->arena, &w->p.m->tiers, n);
    uint64_t at = room(out, *n * sizeof *all, 8);
    Text names = text_new(out->arena);
    text_add(&names, "%s", "");
    for (uint32_t i = 0; i < *n; i++) {
        ingot_rt_feature f = all[i];
        f.name = NULL;
        put(out, at + i * sizeof f, &f, sizeof f);
        point_text(out, at + i * sizeof f + offsetof(ingot_rt_feature, name), all[i].name);
        if (f.leaf != INGOT_RT_SAVED && f.tiers & 1) text_add(&names, "%s%s", names.n ? " " : "", all[i].name);
    }
    w->found.features = names.at;
    return at;
}

/* ---- the descriptors ---------------------------------------------------------------------------------------------------- */

#define FIELD(member) offsetof(ingot_rt_model, member)

/* Places of the context's arrays, and its bytes. */
static void lay_context(Interface *w) {
    int64_t dims = 0, at;
    uint32_t n_inputs = w->g->params.n, n_outputs = w->g->results.n, workers = w->options->threads ? FRAME_MAX_WORKERS : 1;
    at = (int64_t)(((w->options->profile ? sizeof(ingot_rt_observed) : sizeof(ingot_context)) + 63) & ~(size_t)63);
    for (uint32_t k = 0; k < n_inputs; k++) dims += (int64_t)val_rank(w->g, w->g->params.at[k]);
    const struct { uint32_t slot; int64_t words; } arrays[] = {
        {FRAME_SYMBOLS, (int64_t)w->facts->symbols.n},
        {FRAME_OFFSETS, (int64_t)w->facts->n_offsets + 1},
        {FRAME_INPUT_DIMS, dims},
        {FRAME_INPUTS, n_inputs},
        {FRAME_OUTPUTS, n_outputs},
        {FRAME_FAIL, 0}, /* where the next begins */
        {FRAME_FAILS, FRAME_FAIL_SLOTS * (int64_t)workers},
        {FRAME_BOUNDS, (int64_t)w->facts->n_input_symbols + 1},
        {FRAME_WANTED, (int64_t)w->facts->n_input_symbols},
        {FRAME_PLACES, n_outputs},
        {FRAME_LENT, n_outputs},
        {FRAME_TYPED, CALL_WORDS + TENSOR_WORDS * ((int64_t)n_inputs + n_outputs)},
    };
    for (uint32_t i = 0; i < COUNT(arrays); i++) {
        w->at[arrays[i].slot] = (uint32_t)at;
        at += 8 * arrays[i].words;
    }
    w->fixed_bytes = (uint32_t)((at + 63) & ~INT64_C(63));
    w->at[FRAME_WORK] = w->fixed_bytes;
    REQUIRE(w->p.cx, at < INT32_MAX);
}

static void hash_weights(Interface *w, uint64_t *layout) {
    const LData *d = loop_weights(w->p.m);
    Sha256 sha;
    FilePiece piece = d ? loop_data_piece(w->p.m, d) : (FilePiece){0};
    sha256_init(&sha);
    piece_put(&piece, sha256_sink, &sha);
    sha256_end(&sha, w->found.weights_sha256);
    w->found.weights_bytes = d ? d->size : 0;
    memcpy(layout, w->found.weights_sha256, 8);
    if (w->options->weights_layout) *layout = w->options->weights_layout;
}

/* Names, dtypes and dims at the border: what a host was compiled against. */
static uint32_t signature(Interface *w) {
    Text t = text_new(w->p.arena);
    for (uint32_t i = 0; i < w->facts->symbols.n; i++) {
        const SymbolInfo *s = symbol_info(w->p.cx, w->facts->symbols.at[i]);
        text_add(&t, "%s:%lld:%lld:%lld;", s->name, (long long)s->min, (long long)s->max, (long long)s->multiple);
    }
    for (uint32_t k = 0; k < w->g->params.n + w->g->results.n; k++) {
        const TypeInfo *type = val_type(w->g, interface_tensor(w, k));
        text_add(&t, "%c%s:%s[", k < w->g->params.n ? '<' : '>', interface_tensor_name(w->g, k), dtype_info[type->dtype].name);
        for (uint32_t a = 0; a < type->rank; a++)
            text_add(&t, "%s,", interface_dim_text(w->p.cx, w->p.arena, type->dims[a]));
        text_add(&t, "]");
    }
    return (uint32_t)hash_bytes(t.at, t.n, 0x1960);
}

/* *symbols, *tensors: where in the object these tables lie. */
static void write_private(Writer *out, uint64_t *symbols, uint64_t *tensors) {
    static const struct { size_t at; const char *suffix;
    } functions[] = {{FIELD(init), "init"},
                     {FIELD(measure), "measure"},
                     {FIELD(layout), "layout"},
                     {FIELD(start), "start"},
                     {FIELD(main), "enter"}};
    Interface *w = out->w;
    const HostFacts *f = w->facts;
    uint32_t n_tensors = w->g->params.n + w->g->results.n, n_features;
    uint64_t layout;
    room(out, sizeof(ingot_rt_model), 64);
    hash_weights(w, &layout);
    w->found.signature = signature(w);
    for (uint32_t i = 0; i < COUNT(functions); i++) point_function(out, functions[i].at, functions[i].suffix);
    point_text(out, FIELD(name), w->p.m->name);
    put_u32(out, FIELD(n_inputs), w->g->params.n);
    put_u32(out, FIELD(n_outputs), w->g->results.n);
    put_u32(out, FIELD(max_workers), w->options->threads ? FRAME_MAX_WORKERS : 1);
    put_u32(out, FIELD(fixed_bytes), w->fixed_bytes);
    *symbols = pointers(out, f->symbols.n, write_symbol);
    *tensors = pointers(out, n_tensors, write_tensor);
    point_own(out, FIELD(tensors), *tensors);
    point_own(out, FIELD(guards), write_texts(out, w->guards.at, w->guards.n));
    static const char *const nothing = "";
    point_own(out, FIELD(launches),
              f->launches.n ? write_texts(out, f->launches.at, f->launches.n) : write_texts(out, &nothing, 1));
    point_own(out, FIELD(features), write_features(out, &n_features));
    put_u32(out, FIELD(n_features), n_features);
    put_u32(out, FIELD(n_tiers), w->p.m->tiers.n);
    if (w->options->n_tests) point_own(out, FIELD(tests), write_tests(out));
    put_i64(out, FIELD(n_tests), w->options->n_tests);
    const LData *weights = loop_weights(w->p.m);
    if (weights && w->options->weights == WEIGHTS_EMBEDDED) point(out, FIELD(weights), weights->name, 0);
    put_i64(out, FIELD(weights_bytes), (int64_t)w->found.weights_bytes);
    put_i64(out, FIELD(weights_layout), (int64_t)layout);
}

#define PUBLIC(member) offsetof(ingot_model, member)

static uint64_t write_kernel(Writer *out, uint32_t i) {
    const HostFacts *f = out->w->facts;
    uint64_t at = room(out, sizeof(ingot_kernel), 8);
    put_u32(out, at + offsetof(ingot_kernel, size), sizeof(ingot_kernel));
    point_text(out, at + offsetof(ingot_kernel, nodes), f->launches.at[i]);
    point_text(out, at + offsetof(ingot_kernel, function), f->launch_facts.at[i].function);
    point_text(out, at + offsetof(ingot_kernel, kind), f->launch_facts.at[i].kind);
    return at;
}

/* What ABI 1.2 added. */
static void write_profile(Writer *out) {
    uint32_t n = out->w->facts->launch_facts.n;
    put_u32(out, PUBLIC(size), sizeof(ingot_model));
    put_u32(out, PUBLIC(abi), INGOT_ABI);
    put_u32(out, PUBLIC(n_kernels), n);
    point_own(out, PUBLIC(kernels), pointers(out, n, write_kernel));
    point(out, PUBLIC(observe), "ingot_rt_observe", 0);
}

static void write_public(Writer *out, const char *private_name, uint64_t symbols, uint64_t tensors) {
    Interface *w = out->w;
    const InterfaceOptions *o = w->options;
    bool outside = o->weights != WEIGHTS_EMBEDDED;
    struct { size_t at; const char *function; bool present; } row[] = {
        {PUBLIC(query), program_name(&w->p, "query"), true},         {PUBLIC(weights_open), "ingot_rt_weights_open", outside},
        {PUBLIC(weights_close), "ingot_rt_weights_close", outside}, {PUBLIC(create), "ingot_rt_create", true},
        {PUBLIC(destroy), "ingot_rt_destroy", true},           {PUBLIC(reserve), "ingot_rt_reserve", true},
        {PUBLIC(use_weights), "ingot_rt_use_weights", outside}, {PUBLIC(run), "ingot_rt_run", true},
        {PUBLIC(pool_open), "ingot_rt_pool_open", o->threads}, {PUBLIC(pool_close), "ingot_rt_pool_close", o->threads},
        {PUBLIC(self_test), "ingot_rt_self_test", o->n_tests > 0}};
    struct { size_t at; const char *text; } text[] = {
        {PUBLIC(name), w->p.m->name}, {PUBLIC(compiler), "ingot " INGOT_VERSION}, {PUBLIC(target), w->p.m->tiers.at[0]->triple},
        {PUBLIC(cpu), w->found.features}, {PUBLIC(numerics), o->numerics ? o->numerics : "strict"},
        {PUBLIC(precision), o->precision ? o->precision : "f32"},
        {PUBLIC(licence), o->licence ? o->licence : ""}};
    uint32_t n_inputs = w->g->params.n;
    room(out, o->profile ? sizeof(ingot_model) : PUBLIC(n_kernels), 64);
    put_u32(out, PUBLIC(size), PUBLIC(own));
    put_u32(out, PUBLIC(abi), 0x00010001u); /* the least that has all of it */
    for (uint32_t i = 0; i < COUNT(text); i++) point_text(out, text[i].at, text[i].text);
    put(out, PUBLIC(model_sha256), o->model_sha256, 32);
    put(out, PUBLIC(weights_sha256), w->found.weights_sha256, 32);
    put_i64(out, PUBLIC(weights_bytes), (int64_t)w->found.weights_bytes);
    put_u32(out, PUBLIC(alignment), 64);
    put_u32(out, PUBLIC(n_symbols), w->facts->symbols.n);
    put_u32(out, PUBLIC(n_entries), 1);
    point(out, PUBLIC(symbols), private_name, symbols);
    uint64_t entry = room(out, sizeof(ingot_entry), 8), entries = room(out, 8, 8);
    point_own(out, PUBLIC(entries), entries);
    point_own(out, entries, entry);
    put_u32(out, entry + offsetof(ingot_entry, size), sizeof(ingot_entry));
    put_u32(out, entry + offsetof(ingot_entry, n_inputs), n_inputs);
    put_u32(out, entry + offsetof(ingot_entry, n_outputs), w->g->results.n);
    point_text(out, entry + offsetof(ingot_entry, name), "main");
    point(out, entry + offsetof(ingot_entry, inputs), private_name, tensors);
    point(out, entry + offsetof(ingot_entry, outputs), private_name, tensors + 8 * (uint64_t)n_inputs);
    const char *tiers[MAX_TIERS];
    for (uint32_t i = 0; i < w->p.m->tiers.n; i++) tiers[i] = w->p.m->tiers.at[i]->name;
    put_u32(out, PUBLIC(n_tiers), w->p.m->tiers.n);
    point_own(out, PUBLIC(tiers), write_texts(out, tiers, w->p.m->tiers.n));
    for (uint32_t i = 0; i < COUNT(row); i++)
        if (row[i].present) point(out, row[i].at, row[i].function, 0);
    point(out, PUBLIC(own), private_name, 0);
    if (o->profile) write_profile(out);
}

/* Bytes of a context at the largest sizes, by running N_measure in the interpreter; -1 where sizes have no bound. */
static int64_t memory_max(Interface *w) {
    uint32_t n = w->facts->n_input_symbols;
    int64_t *sizes = arena_new_array(w->p.arena, int64_t, n + 1), *frame = arena_new_array(w->p.arena, int64_t, FRAME_SLOTS);
    for (uint32_t i = 0; i < n; i++) {
        const SymbolInfo *s = symbol_info(w->p.cx, w->facts->symbols.at[i]);
        if (s->max == INT64_MAX) return -1;
        sizes[i] = s->max / (s->multiple < 1 ? 1 : s->multiple) * (s->multiple < 1 ? 1 : s->multiple);
    }
    frame[FRAME_POOL] = 1;
    LoopInterp *interp = loop_interp_new(w->p.m, NULL, NULL);
    loop_interp_memory(interp, sizes, 8 * (n + 1), false, true);
    loop_interp_memory(interp, frame, 8 * FRAME_SLOTS, false, true);
    LSlot in[] = {{.p = sizes}, {.p = frame}}, bytes;
    if (!loop_interp_call(interp, program_name(&w->p, "measure"), in, 2, &bytes)) return -1;
    return bytes.i < 0 ? -1 : bytes.i;
}

bool interface_data(Interface *w) {
    Program *p = &w->p;
    if (!cpu_can_check(p->cx, &p->m->tiers)) return false;
    uint64_t symbols, tensors;
    Text strings = text_new(p->arena);
    const char *strings_name = program_name(p, "strings");
    Writer inner = {
        .w = w, .arena = p->arena, .name = program_name(p, "private"), .strings = &strings, .strings_name = strings_name};
    Writer outer = inner;
    outer.name = program_name(p, "public");
    inner.bytes = text_new(p->arena);
    outer.bytes = text_new(p->arena);
    lay_context(w);
    interface_sizes(w); /* its guards are texts of the descriptor */
    write_private(&inner, &symbols, &tensors);
    write_public(&outer, inner.name, symbols, tensors);
    LData text = {.name = strings_name, .bytes = (const uint8_t *)strings.at, .size = strings.n, .align = 1};
    vec_push(p->m->arena, &p->m->datas, text);
    finish(&inner, 64);
    finish(&outer, 64);
    w->found.memory_max = memory_max(w);
    return true;
}
