/* session.c: a library or a model, ready to run: loading, sizes, inputs, one run.  Shared by run, verify and bench.
 *
 * A library and a model in this process are the same thing here: `const ingot_model *`.
 */
#define _GNU_SOURCE
#include "command.h"
#include <dlfcn.h>
#include <elf.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- loading ------------------------------------------------------------------------------------------------------------ */

static bool is_library(const char *path) {
    char magic[4] = {0};
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    size_t n = fread(magic, 1, sizeof magic, f);
    fclose(f);
    return n == 4 && memcmp(magic, "\177ELF", 4) == 0;
}

/* Bytes that the segments of a library need, and that its file has: reading a mapped page beyond the file would end us. */
static bool library_extent(const char *path, uint64_t *needed, uint64_t *found) {
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    FILE *f = fopen(path, "rb");
    bool ok = f && fread(&header, sizeof header, 1, f) == 1 && header.e_phentsize == sizeof segment;
    *needed = ok ? header.e_phoff : sizeof header;
    for (int i = 0; ok && i < header.e_phnum; i++) {
        uint64_t end = header.e_phoff + (uint64_t)(i + 1) * sizeof segment;
        ok = end < LONG_MAX && fseek(f, (long)(end - sizeof segment), SEEK_SET) == 0 &&
             fread(&segment, sizeof segment, 1, f) == 1;
        if (ok) end = segment.p_offset + segment.p_filesz;
        if (end > *needed) *needed = end;
    }
    *found = f && fseek(f, 0, SEEK_END) == 0 ? (uint64_t)ftell(f) : 0;
    if (f) fclose(f);
    return ok && *needed <= *found;
}

static int open_library(Session *s) {
    char path[4096];
    ingot_get_model get;
    uint64_t needed, found;
    snprintf(path, sizeof path, "%s%s", strchr(s->path, '/') ? "" : "./", s->path);
    if (!library_extent(path, &needed, &found))
        return fail_no("%s is no whole library: found %llu bytes, expected at least %llu; compile or copy it again", s->path,
                       (unsigned long long)found, (unsigned long long)needed);
    s->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!s->library) return fail_machine("%s", dlerror());
    void *at = dlsym(s->library, "ingot_model_v1");
    if (!at) return fail_no("%s was not made by ingot: it exports no ingot_model_v1", s->path);
    memcpy(&get, &at, sizeof get);
    s->model = get();
    if (s->model->abi >> 16 != INGOT_ABI >> 16)
        return fail_no("%s has ABI %u, expected %u", s->path, s->model->abi >> 16, INGOT_ABI >> 16);
    return EXIT_YES;
}

static int open_model(Session *s, Arguments *a, const char *backend, int threads) {
    Prepared p;
    ingot_error err;
    int status = prepare(a, &p);
    List declared = {0}; /* plain sizes are for the run: the model stays general */
    for (uint32_t i = 0; i < a->dims.n; i++)
        if (strstr(a->dims.at[i], "..") && !list_push(&declared, a->dims.at[i])) status = fail_machine("out of memory");
    p.settings.dims = declared.at, p.settings.n_dims = declared.n;
    if (backend) p.settings.backend = backend;
    if (threads > 1) p.settings.flags |= INGOT_THREADS;
    else p.settings.flags &= ~(uint32_t)INGOT_THREADS;
    if (s->adjust) s->adjust(s->adjust_user, &p.settings);
    if (!status) status = exit_status(ingot_jit_file(s->path, &p.settings, &s->model, &err));
    prepared_free(&p);
    free(declared.at);
    return status;
}

static int open_weights(Session *s, Arguments *a) {
    const char *path = a->value[OPT_weights];
    ingot_source source = {.size = sizeof source, .path = path};
    ingot_error err;
    if (!s->model->weights_open || !path) return EXIT_YES;
    return s->model->weights_open(s->model, &source, &s->weights, &err) ? fail_error(s->path, &err) : EXIT_YES;
}

static int open_context(Session *s, int threads) {
    ingot_error err;
    ingot_options o = {.size = sizeof o, .weights = s->weights};
    if (threads > 1 && !s->model->pool_open) return fail_no("%s was compiled without --threads", s->path);
    if (threads > 1) {
        s->pool.size = sizeof s->pool;
        if (s->model->pool_open(threads, &s->pool, &err)) return fail_error(s->path, &err);
        s->has_pool = true;
        o.parallel = s->watch ? watch_pool(s->watch, &s->pool) : &s->pool;
    }
    return s->model->create(s->model, &o, &s->context, &err) ? fail_error(s->path, &err) : EXIT_YES;
}

int session_open(Session *s, Arguments *a, const char *path, const char *backend, int threads) {
    *s = (Session){.path = path, .watch = s->watch, .adjust = s->adjust, .adjust_user = s->adjust_user};
    int status = is_library(path) ? open_library(s) : open_model(s, a, backend, threads);
    if (status) return status;
    s->entry = s->model->entries[0];
    s->in = calloc(s->entry->n_inputs + 1, sizeof *s->in);
    s->out = calloc(s->entry->n_outputs + 1, sizeof *s->out);
    s->symbols = calloc(s->model->n_symbols + 1, sizeof *s->symbols);
    if (!s->in || !s->out || !s->symbols) return fail_machine("out of memory");
    status = open_weights(s, a);
    return status ? status : open_context(s, threads);
}

void session_forget_inputs(Session *s) {
    for (uint32_t i = 0; s->in && i < s->entry->n_inputs; i++) {
        free(s->in[i].data);
        s->in[i] = (ingot_tensor){0};
    }
}

const char *session_precision(const Session *s) {
    return INGOT_HAS(ingot_model, s->model, precision) && s->model->precision ? s->model->precision : "f32";
}

void session_close(Session *s) {
    if (s->context) s->model->destroy(s->context);
    if (s->has_pool) s->model->pool_close(&s->pool);
    if (s->weights) s->model->weights_close(s->weights);
    session_forget_inputs(s);
    free(s->in);
    free(s->out);
    free(s->symbols);
    if (s->library) dlclose(s->library);
    else ingot_jit_close(s->model);
    *s = (Session){0};
}

/* ---- sizes -------------------------------------------------------------------------------------------------------------- */

static bool known_late(const ingot_symbol *s) { return s->flags & 1; }

static int64_t into_range(const ingot_symbol *s, int64_t v) {
    if (v < s->min) v = s->min;
    if (s->multiple > 1) v = (v + s->multiple - 1) / s->multiple * s->multiple;
    if (v > s->max) v = s->multiple > 1 ? s->max / s->multiple * s->multiple : s->max;
    return v;
}

static const char *symbol_name(const void *model, size_t i) { return ((const ingot_model *)model)->symbols[i]->name; }

/* --dim S=N of a model that is run; a range only declares. */
static int given_size(Session *s, const char *text) {
    const char *eq = strchr(text, '=');
    size_t n = eq ? (size_t)(eq - text) : 0;
    if (!n) return fail_usage("--dim=%s: expected NAME=N", text);
    for (uint32_t i = 0; i < s->model->n_symbols; i++) {
        const ingot_symbol *y = s->model->symbols[i];
        if (strncmp(y->name, text, n) != 0 || y->name[n]) continue;
        char *end;
        long long v = strtoll(eq + 1, &end, 10);
        if (strstr(eq, "..")) return EXIT_YES;
        if (end == eq + 1 || *end) return fail_usage("--dim=%s: expected a number", text);
        if (into_range(y, v) != v)
            return fail_usage("--dim: %s = %lld, declared %lld..%lld%s", y->name, v, (long long)y->min, (long long)y->max,
                              y->multiple > 1 ? " with a multiple" : "");
        s->symbols[i] = v;
        s->fixed_dims++;
        return EXIT_YES;
    }
    if (strstr(eq, "..")) return EXIT_YES; /* a range of one value leaves no symbol */
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)(n < 120 ? n : 120), text);
    const char *close = closest(name, symbol_name, s->model, s->model->n_symbols);
    return fail_usage("%s has no dim '%s'%s%s%s", s->path, name, close ? " (did you mean '" : "", close ? close : "",
                      close ? "'?)" : "");
}

int session_sizes(Session *s, Arguments *a, int64_t typical) {
    for (uint32_t i = 0; i < s->model->n_symbols; i++) {
        const ingot_symbol *y = s->model->symbols[i];
        s->symbols[i] = known_late(y) ? 0 : into_range(y, y->hint > 0 && typical <= 0 ? y->hint : typical > 0 ? typical : 3);
    }
    for (uint32_t i = 0; i < a->dims.n; i++) {
        int status = given_size(s, a->dims.at[i]);
        if (status) return status;
    }
    return EXIT_YES;
}

void session_sizes_of_inputs(Session *s) {
    for (uint32_t i = 0; i < s->entry->n_inputs; i++) {
        const ingot_tensor_info *info = s->entry->inputs[i];
        for (int32_t d = 0; s->in[i].data && s->in[i].rank == info->rank && d < info->rank; d++)
            if (info->dims[d] < 0 && info->dims[d] != INT64_MIN) s->symbols[-1 - info->dims[d]] = s->in[i].dims[d];
    }
}

/* ---- inputs ------------------------------------------------------------------------------------------------------------- */

static double next_uniform(uint64_t *state) { /* splitmix64 */
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static bool is_float(ingot_dtype t) { return (t & 0xFF) == 2 || (t & 0xFF) == 4 || (t & 0xFF) >= 8; }

/* Elements that are sizes: symbol x_at_2 is element 2 of input x. */
static void put_sizes(Session *s, uint32_t input) {
    const char *name = s->entry->inputs[input]->name;
    ingot_tensor *t = &s->in[input];
    uint64_t each = (t->dtype >> 8) / 8, n = element_count(t);
    char plain[160];
    if (is_float(t->dtype)) return;
    snprintf(plain, sizeof plain, "%s", name);
    for (char *p = plain; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9'))) *p = '_';
    for (uint32_t i = 0; i < s->model->n_symbols; i++) {
        const char *symbol = s->model->symbols[i]->name;
        size_t k = strlen(plain);
        if (strncmp(symbol, plain, k) != 0) continue;
        uint64_t element = 0;
        if (strncmp(symbol + k, "_at_", 4) == 0) element = strtoull(symbol + k + 4, NULL, 10);
        else if (symbol[k]) continue;
        if (element < n && each) ingot_set_element(t->dtype, (char *)t->data + element * each, (double)s->symbols[i]);
    }
}

static int fill(Session *s, uint32_t input, uint64_t seed) {
    const ingot_tensor_info *info = s->entry->inputs[input];
    ingot_tensor *t = &s->in[input];
    ingot_error err;
    t->dtype = info->dtype;
    t->rank = info->rank;
    if (ingot_input_dims(s->model, 0, input, s->symbols, t->dims, &err)) return fail_error(s->path, &err);
    uint64_t each = ((info->dtype >> 8) + 7) / 8, n = 1, state = seed * 1000003 + input;
    for (int32_t d = 0; d < t->rank; d++) {
        if (t->dims[d] < 0)
            return fail_no("input '%s' has extent %lld on axis %d at these sizes: give --dim", info->name,
                           (long long)t->dims[d], d);
        if (t->dims[d] && n > (UINT64_C(1) << 40) / (uint64_t)t->dims[d])
            return fail_no("input '%s' is too large at these sizes: give --dim", info->name);
        n *= (uint64_t)t->dims[d];
    }
    t->bytes = n * each;
    t->data = malloc(t->bytes + 1);
    if (!t->data) return fail_machine("out of memory for input '%s'", info->name);
    for (uint64_t i = 0; i < n; i++) {
        double u = next_uniform(&state), v = next_uniform(&state);
        ingot_set_element(t->dtype, (char *)t->data + i * each, is_float(t->dtype) ? 2 * (u + v) - 2 : u < 0.5 ? 0 : 1);
    }
    put_sizes(s, input);
    return EXIT_YES;
}

int session_random(Session *s, uint64_t seed) {
    for (uint32_t i = 0; i < s->entry->n_inputs; i++) {
        int status = s->in[i].data ? EXIT_YES : fill(s, i, seed);
        if (status) return status;
    }
    return EXIT_YES;
}

/* ---- running ------------------------------------------------------------------------------------------------------------ */

static ingot_status run_once(Session *s, void (*trace)(void *, const char *, uint64_t), void *user, ingot_error *err) {
    for (uint32_t i = 0; i < s->entry->n_outputs; i++)
        s->out[i] = (ingot_tensor){.dtype = s->entry->outputs[i]->dtype, .rank = s->entry->outputs[i]->rank};
    ingot_call call = {.size = sizeof call, .n_inputs = s->entry->n_inputs, .n_outputs = s->entry->n_outputs, .inputs = s->in,
                       .outputs = s->out, .trace = trace, .trace_user = user};
    return s->model->run(s->context, &call, err);
}

bool session_try(Session *s, ingot_error *err) { return run_once(s, NULL, NULL, err) != INGOT_OK; }

int session_run(Session *s, void (*trace)(void *, const char *, uint64_t), void *user) {
    ingot_error err = {0};
    return run_once(s, trace, user, &err) ? fail_error(s->path, &err) : EXIT_YES;
}

void print_shape(FILE *to, const ingot_tensor *t) {
    fprintf(to, "%s[", ingot_dtype_name(t->dtype));
    for (int32_t d = 0; d < t->rank; d++) fprintf(to, "%s%lld", d ? "," : "", (long long)t->dims[d]);
    fprintf(to, "]");
}
