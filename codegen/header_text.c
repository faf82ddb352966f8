/* header_text.c: the C header of an artifact: macros of sizes, the typed in/out struct, prototypes.  C99 and C++11.
 *
 * Names of tensors may be anything ("class", "input:0", "a.b" beside "a_b"): members get unique C names, and the comment
 * beside each says the model's spelling where it differs.
 */
#include "interface.h"
#include "ingot_frame.h"
#include <ctype.h>
#include <string.h>

/* ---- names ------------------------------------------------------------------------------------------------------------ */

static const char *const taken[] = { /* keywords of C and C++, common macros, and names of our own parameters */
    "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break", "case", "catch", "char",
    "char16_t", "char32_t", "char8_t", "class", "co_await", "co_return", "co_yield", "compl", "concept", "const", "const_cast",
    "consteval", "constexpr", "constinit", "continue", "decltype", "default", "delete", "do", "double", "dynamic_cast", "else",
    "enum", "explicit", "export", "extern", "false", "float", "for", "friend", "goto", "if", "inline", "int", "long", "mutable",
    "namespace", "new", "noexcept", "not", "not_eq", "nullptr", "operator", "or", "or_eq", "private", "protected", "public",
    "register", "reinterpret_cast", "requires", "restrict", "return", "short", "signed", "sizeof", "static", "static_assert",
    "static_cast", "struct", "switch", "template", "this", "thread_local", "throw", "true", "try", "typedef", "typeid",
    "typename", "typeof", "typeof_unqual", "union", "unsigned", "using", "virtual", "void", "volatile", "wchar_t", "while",
    "xor", "xor_eq", "errno", "linux", "unix", "assert", "complex", "imaginary", "I", "NULL", "EOF", "stdin", "stdout",
    "stderr", "near", "far", "signals", "slots", "emit", "min", "max", "err", "size_t", "int8_t", "int16_t", "int32_t",
    "int64_t", "uint8_t", "uint16_t", "uint32_t", "uint64_t"};

static bool is_taken(const char *name, const char *const *others, uint32_t n) {
    for (uint32_t i = 0; i < COUNT(taken); i++)
        if (strcmp(name, taken[i]) == 0) return true;
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(name, others[i]) == 0) return true;
    return false;
}

bool header_takes(const char *name) {
    return is_taken(name, NULL, 0) || strcmp(name, "main") == 0 || strcmp(name, "ingot") == 0 ||
           strncmp(name, "ingot_", 6) == 0;
}

static const char *unique_name(Arena *arena, const char *from, const char *const *others, uint32_t n) {
    Text t = text_new(arena);
    if (!isalpha((unsigned char)from[0])) text_add(&t, "t"); /* no leading digit or underscore */
    for (const char *s = from; *s; s++)
        text_add(&t, "%c", (unsigned char)*s < 128 && isalnum((unsigned char)*s) ? *s : '_');
    if (t.n == 1 && !isalpha((unsigned char)from[0])) text_add(&t, "ensor");
    const char *name = t.at;
    if (is_taken(name, NULL, 0)) name = arena_print(arena, "%s_", t.at);
    for (uint32_t k = 2; is_taken(name, others, n); k++) name = arena_print(arena, "%s_%u", t.at, k);
    return name;
}

const char **interface_fields(Arena *arena, const LoopModule *m, const Graph *g, const HostFacts *facts, uint32_t *n) {
    uint32_t inputs = facts->n_input_symbols, tensors = g->params.n + g->results.n;
    const char **names = arena_new_array(arena, const char *, facts->symbols.n + tensors + 1);
    *n = 0;
    for (uint32_t i = 0; i < facts->symbols.n + tensors; i++) {
        bool symbol = i < inputs || i >= inputs + tensors;
        uint32_t s = i < inputs ? i : i - tensors;
        const char *from = symbol ? symbol_info(m->cx, facts->symbols.at[s])->name : interface_tensor_name(g, i - inputs);
        names[*n] = unique_name(arena, from, names, *n);
        ++*n;
    }
    return names;
}

/* ---- text --------------------------------------------------------------------------------------------------------------- */

typedef struct Header {
    const LoopModule *m;
    const Graph *g;
    const HostFacts *facts;
    const InterfaceOptions *options;
    const InterfaceFacts *found;
    Text out;
    const char *upper;       /* prefix of macros */
    const char **fields;
    VEC(const char *) macros;
} Header;

static const char *c_dtype(DType t) {
    static const char *const names[DT_COUNT] = {
        [DT_bool] = "uint8_t",   [DT_i2] = "int8_t",       [DT_u2] = "uint8_t",     [DT_i4] = "int8_t",
        [DT_u4] = "uint8_t",     [DT_i8] = "int8_t",       [DT_u8] = "uint8_t",     [DT_i16] = "int16_t",
        [DT_u16] = "uint16_t",   [DT_i32] = "int32_t",     [DT_u32] = "uint32_t",   [DT_i64] = "int64_t",
        [DT_u64] = "uint64_t",   [DT_f4e2m1] = "uint8_t",  [DT_f8e4m3] = "uint8_t", [DT_f8e4m3z] = "uint8_t",
        [DT_f8e5m2] = "uint8_t", [DT_f8e5m2z] = "uint8_t", [DT_f8e8m0] = "uint8_t", [DT_f16] = "uint16_t",
        [DT_bf16] = "uint16_t",  [DT_f32] = "float",       [DT_f64] = "double"};
    return names[t];
}

static const char *upper_case(Arena *arena, const char *name) {
    char *s = arena_print(arena, "%s", name);
    for (char *c = s; *c; c++) *c = (char)toupper((unsigned char)*c);
    return s;
}

static Val tensor(const Header *h, uint32_t k) {
    return k < h->g->params.n ? h->g->params.at[k] : h->g->results.at[k - h->g->params.n];
}
static const char *tensor_field(const Header *h, uint32_t k) { return h->fields[h->facts->n_input_symbols + k]; }

/* A comment holds the model's text: nothing in it may end it. */
static void add_comment_text(Text *out, const char *text) {
    for (const char *s = text; *s; s++)
        text_add(out, "%c", (unsigned char)*s < 32 || (*s == '/' && s > text && s[-1] == '*') || (*s == '*' && s[1] == '/') ||
                                    (*s == '*' && s > text && s[-1] == '/') || *s == '\\' ? '?' : *s);
}

static void add_macro(Header *h, const char *name, const char *suffix, const char *value) {
    const char *macro = arena_print(h->m->arena, "%s_%s%s", h->upper, upper_case(h->m->arena, name), suffix);
    for (uint32_t k = 2; is_taken(macro, h->macros.at, h->macros.n); k++)
        macro = arena_print(h->m->arena, "%s_%s_%u%s", h->upper, upper_case(h->m->arena, name), k, suffix);
    vec_push(h->m->arena, &h->macros, macro);
    text_add(&h->out, "#define %s %s\n", macro, value);
}

static void add_opening(Header *h) {
    const InterfaceOptions *o = h->options;
    Text *t = &h->out;
    text_add(t, "/* %s.h: generated by ingot " INGOT_VERSION " from ", h->m->name);
    add_comment_text(t, o->model_file ? o->model_file : h->m->name);
    text_add(t, "\n * model sha256 ");
    for (int i = 0; i < 32; i++) text_add(t, "%02x", o->model_sha256[i]);
    text_add(t, "\n * weights sha256 ");
    for (int i = 0; i < 32; i++) text_add(t, "%02x", h->found->weights_sha256[i]);
    text_add(t, " (%llu bytes, %s)\n", (unsigned long long)h->found->weights_bytes,
             o->weights == WEIGHTS_EMBEDDED ? "embedded" : "outside");
    const Tiers *tiers = &h->m->tiers;
    text_add(t, " * %s", tiers->at[0]->triple);
    if (h->found->features[0]) text_add(t, ", needs %s", h->found->features);
    for (uint32_t i = 0; i < tiers->n && tiers->n > 1; i++) text_add(t, "%s %s", i ? "," : "; variants", tiers->at[i]->name);
    if (o->precision) text_add(t, "; precision %s", o->precision);
    text_add(t, "; numerics %s; imports memcpy memset%s%s\n */\n", o->numerics ? o->numerics : "strict",
             o->bare ? "" : " aligned_alloc free clock_gettime", o->threads ? ", pthreads, Linux 4.14" : "");
}

static void add_macros(Header *h) {
    Text *t = &h->out;
    Arena *a = h->m->arena;
    text_add(t, "#ifndef %s_H\n#define %s_H\n#include \"ingot_rt.h\"\n", h->upper, h->upper);
    text_add(t, "#if INGOT_ABI >> 16 != %u\n#error \"needs ingot_rt.h %u.x\"\n#endif\n", INGOT_ABI >> 16, INGOT_ABI >> 16);
    text_add(t, "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
    add_macro(h, "SIGNATURE", "", arena_print(a, "0x%08xu /* hash of names, dtypes and shapes */", h->found->signature));
    add_macro(h, "ALIGN", "", "64");
    if (h->found->memory_max >= 0)
        add_macro(h, "MEMORY_MAX", "",
                  arena_print(a, "%lldu /* enough for every size in range */", (long long)h->found->memory_max));
    for (uint32_t i = 0; i < h->facts->n_input_symbols; i++) {
        const SymbolInfo *s = symbol_info(h->m->cx, h->facts->symbols.at[i]);
        if (s->max != INT64_MAX) add_macro(h, h->fields[i], "_MAX", arena_print(a, "%lld", (long long)s->max));
    }
    for (uint32_t k = 0; k < h->g->params.n + h->g->results.n; k++) {
        const TypeInfo *type = val_type(h->g, tensor(h, k));
        int64_t extent, length;
        bool fixed = true;
        length = 1;
        for (uint32_t i = 0; i < type->rank; i++) {
            bool constant = dim_const_value(h->m->cx, type->dims[i], &extent);
            fixed = fixed && constant && ck_mul(length, extent, &length);
            if (constant)
                add_macro(h, arena_print(a, "%s_DIM_%u", tensor_field(h, k), i), "", arena_print(a, "%lld", (long long)extent));
        }
        if (fixed) add_macro(h, tensor_field(h, k), "_LEN", arena_print(a, "%lld", (long long)length));
    }
}

static void add_tensor(Header *h, uint32_t k) {
    Val v = tensor(h, k);
    const TypeInfo *type = val_type(h->g, v);
    Text *t = &h->out;
    const char *name = interface_tensor_name(h->g, k), *field = tensor_field(h, k);
    bool found = k >= h->g->params.n && h->facts->output_offset.at[k - h->g->params.n] >= 0;
    int64_t alias = graph_alias(h->g, k);
    text_add(t, "    %s%s *%s; /* %s[", k < h->g->params.n && alias < 0 ? "const " : "", c_dtype(type->dtype), field,
             dtype_info[type->dtype].name);
    for (uint32_t a = 0; a < type->rank; a++) {
        if (a) text_add(t, ", ");
        add_comment_text(t, interface_dim_text(h->m->cx, h->m->arena, type->dims[a]));
    }
    text_add(t, "]");
    if (strcmp(name, field) != 0) {
        text_add(t, " \"");
        add_comment_text(t, name);
        text_add(t, "\"");
    }
    if (alias >= 0) {
        bool input = k < h->g->params.n;
        text_add(t, input ? ", donated: run writes '" : ", NULL: run sets it to '");
        add_comment_text(t, interface_tensor_name(h->g, input ? h->g->params.n + (uint32_t)alias : (uint32_t)alias));
        text_add(t, input ? "' into it */\n" : "', where it lies */\n");
        return;
    }
    text_add(t, "%s */\n", found ? ", room for the capacity, or NULL: lent" : k >= h->g->params.n ? ", or NULL: lent" : "");
}

static void add_struct(Header *h) {
    Text *t = &h->out;
    const char *n = h->m->name;
    uint32_t inputs = h->facts->n_input_symbols, tensors = h->g->params.n + h->g->results.n;
    bool donated = false;
    for (uint32_t k = 0; k < h->g->results.n; k++) donated |= graph_donor(h->g, k) >= 0;
    text_add(t, "\ntypedef struct ingot_context %s; /* one per thread */\n\n", n);
    text_add(t, "/* Zero first.  Tensors are dense, row-major, aligned to their elements; outputs overlap no input%s. */\n"
                "typedef struct %s_io {\n", donated ? " but those donated to them" : "", n);
    for (uint32_t i = 0; i < inputs; i++) {
        const SymbolInfo *s = symbol_info(h->m->cx, h->facts->symbols.at[i]);
        text_add(t, "    int64_t %s; /* ", h->fields[i]);
        if (s->max == INT64_MAX) text_add(t, "%lld or more", (long long)s->min);
        else text_add(t, "%lld..%lld", (long long)s->min, (long long)s->max);
        if (s->multiple > 1) text_add(t, ", a multiple of %lld", (long long)s->multiple);
        text_add(t, " */\n");
    }
    for (uint32_t k = 0; k < tensors; k++) add_tensor(h, k);
    for (uint32_t i = inputs; i < h->facts->symbols.n; i++)
        text_add(t, "    int64_t %s; /* set by run */\n", h->fields[i + tensors]);
    text_add(t, "} %s_io;\n\n", n);
}

static void add_sizes(Header *h, const char *separator_before, const char *separator_after, const char *none) {
    uint32_t n = h->facts->n_input_symbols;
    if (!n) text_add(&h->out, "%s", none);
    for (uint32_t i = 0; i < n; i++)
        text_add(&h->out, "%sint64_t %s%s", i ? ", " : separator_before, h->fields[i], i + 1 == n ? separator_after : "");
}

static void add_prototypes(Header *h) {
    Text *t = &h->out;
    const char *n = h->m->name;
    text_add(t, "/* Bytes of a context for sizes up to these, on one thread; 0: out of range. */\nuint64_t %s_memory_bytes(",
             n);
    add_sizes(h, "", "", "void");
    text_add(t, ");\n/* signature: %s_SIGNATURE. options: NULL, or zeroed with their size set. */\n", h->upper);
    text_add(t, "ingot_status %s_create(uint32_t signature, const ingot_options *options, %s **out, ingot_error *err);\n", n,
             n);
    text_add(t, "void %s_destroy(%s *);\n", n, n);
    text_add(t, "/* From then on runs up to these sizes allocate nothing. */\ningot_status %s_reserve(%s *", n, n);
    add_sizes(h, ", ", "", "");
    text_add(t, ", ingot_error *err);\ningot_status %s_run(%s *, %s_io *io, ingot_error *err);\n", n, n, n);
    if (h->options->profile)
        text_add(
            t,
            "/* Told what each launch takes, by numbers of %s_model()->kernels, from the next run on; NULL: no longer. */\n"
            "void %s_observe(%s *, ingot_observer observer, void *user);\n",
            n, n, n);
    text_add(t, "/* The generic interface: tensors with dims, queries%s. */\nconst ingot_model *%s_model(void);\n",
             h->options->threads ? ", threads" : "", n);
    text_add(t, "\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
}

const char *header_text(const LoopModule *m, const Graph *g, const HostFacts *facts, const InterfaceOptions *options,
                        const InterfaceFacts *found) {
    uint32_t n;
    Header h = {.m = m, .g = g, .facts = facts, .options = options, .found = found, .out = text_new(m->arena)};
    h.upper = upper_case(m->arena, m->name);
    h.fields = interface_fields(m->arena, m, g, facts, &n);
    add_opening(&h);
    add_macros(&h);
    add_struct(&h);
    add_prototypes(&h);
    return h.out.at;
}
