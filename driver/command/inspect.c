/* inspect.c: ingot inspect: what a library says of itself, and whether one may replace another. */
#define _GNU_SOURCE
#include "command.h"
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

static void print_hash(const uint8_t *hash) {
    for (int i = 0; i < 32; i++) printf("%02x", hash[i]);
}

/* ---- text --------------------------------------------------------------------------------------------------------------- */

/* others: the outputs, of an input; the inputs, of an output. */
static void print_tensor(const ingot_tensor_info *t, const ingot_tensor_info *const *others, bool input) {
    printf("    %s: %s[", t->name, ingot_dtype_name(t->dtype));
    for (int32_t d = 0; d < t->rank; d++) printf("%s%s", d ? "," : "", t->dim_text[d]);
    printf("]%s", t->flags & 1 ? " optional" : "");
    if (t->flags & 2) printf("%s%s", input ? " donated to " : " in ", others[t->alias]->name);
    printf("\n");
}

static void print_symbol(const ingot_symbol *s) {
    printf("    %s: ", s->name);
    if (s->min != INT64_MIN) printf("%" PRId64, s->min);
    printf("..");
    if (s->max != INT64_MAX) printf("%" PRId64, s->max);
    if (s->multiple > 1) printf(" %% %" PRId64, s->multiple);
    printf("%s\n", s->flags & 1 ? " (known after the run)" : "");
}

/* Libraries of ABI 1.0 do not say. */
static uint32_t n_tiers(const ingot_model *m) { return INGOT_HAS(ingot_model, m, tiers) ? m->n_tiers : 0; }

static void print_text(const Session *s, long long file_bytes) {
    const ingot_model *m = s->model;
    printf("%s: model %s\n  made by %s for %s\n  needs %s\n", s->path, m->name, m->compiler, m->target,
           *m->cpu ? m->cpu : "nothing beyond the baseline");
    if (n_tiers(m)) printf("  variants");
    for (uint32_t i = 0; i < n_tiers(m); i++) printf("%s %s", i ? "," : "", m->tiers[i]);
    printf("%s  numerics %s, precision %s\n", n_tiers(m) ? "\n" : "", m->numerics, session_precision(s));
    if (*m->licence) printf("  licence %s\n", m->licence);
    printf("  %s, weights %" PRIu64 " bytes %s\n", m->pool_open ? "threads" : "single-threaded", m->weights_bytes,
           m->weights_open ? "outside" : "embedded");
    if (m->self_test) printf("  self-tests: ingot verify runs them\n");
    if (profile_has_work(m)) printf("  profile of %u kernels: ingot bench --profile shows it\n", m->n_kernels);
    if (file_bytes >= 0) printf("  file %lld bytes\n", file_bytes);
    printf("  model sha256 ");
    print_hash(m->model_sha256);
    printf("\n");
    if (m->n_symbols) printf("  sizes\n");
    for (uint32_t i = 0; i < m->n_symbols; i++) print_symbol(m->symbols[i]);
    for (uint32_t e = 0; e < m->n_entries; e++) {
        const ingot_entry *entry = m->entries[e];
        if (m->n_entries > 1) printf("  entry %s\n", entry->name);
        printf("  inputs\n");
        for (uint32_t i = 0; i < entry->n_inputs; i++) print_tensor(entry->inputs[i], entry->outputs, true);
        printf("  outputs\n");
        for (uint32_t i = 0; i < entry->n_outputs; i++) print_tensor(entry->outputs[i], entry->inputs, false);
    }
}

/* ---- JSON --------------------------------------------------------------------------------------------------------------- */

static void json_field(const char *key, const char *value) {
    printf("  \"%s\": ", key);
    json_string(stdout, value);
    printf(",\n");
}

static void json_tensors(const char *key, const ingot_tensor_info *const *list, uint32_t n,
                         const ingot_tensor_info *const *others) {
    printf("\"%s\": [", key);
    for (uint32_t i = 0; i < n; i++) {
        printf("%s{\"name\": ", i ? ", " : "");
        json_string(stdout, list[i]->name);
        printf(", \"dtype\": \"%s\", \"dims\": [", ingot_dtype_name(list[i]->dtype));
        for (int32_t d = 0; d < list[i]->rank; d++) {
            if (d) printf(", ");
            if (list[i]->dims[d] >= 0) printf("%" PRId64, list[i]->dims[d]);
            else json_string(stdout, list[i]->dim_text[d]);
        }
        printf("], \"optional\": %s", list[i]->flags & 1 ? "true" : "false");
        if (list[i]->flags & 2) {
            printf(", \"donated\": ");
            json_string(stdout, others[list[i]->alias]->name);
        }
        printf("}");
    }
    printf("]");
}

static void print_json(const Session *s, long long file_bytes) {
    const ingot_model *m = s->model;
    printf("{\n");
    json_field("file", s->path);
    json_field("name", m->name);
    json_field("compiler", m->compiler);
    json_field("target", m->target);
    json_field("cpu", m->cpu);
    printf("  \"variants\": [");
    for (uint32_t i = 0; i < n_tiers(m); i++) printf("%s\"%s\"", i ? ", " : "", m->tiers[i]);
    printf("],\n");
    json_field("numerics", m->numerics);
    json_field("precision", session_precision(s));
    json_field("licence", m->licence);
    printf("  \"abi\": %u, \"alignment\": %u, \"threads\": %s, \"self_test\": %s, \"profile\": %s, \"file_bytes\": %lld,\n",
           m->abi, m->alignment, m->pool_open ? "true" : "false", m->self_test ? "true" : "false",
           profile_has_work(m) ? "true" : "false", file_bytes);
    printf("  \"weights_bytes\": %" PRIu64 ", \"weights\": \"%s\",\n  \"model_sha256\": \"", m->weights_bytes,
           m->weights_open ? "outside" : "embedded");
    print_hash(m->model_sha256);
    printf("\", \"weights_sha256\": \"");
    print_hash(m->weights_sha256);
    printf("\",\n  \"symbols\": [");
    for (uint32_t i = 0; i < m->n_symbols; i++) {
        const ingot_symbol *y = m->symbols[i];
        printf("%s{\"name\": ", i ? ", " : "");
        json_string(stdout, y->name);
        printf(", \"min\": %" PRId64 ", \"max\": %" PRId64 ", \"multiple\": %" PRId64 ", \"found\": %s}", y->min, y->max,
               y->multiple, y->flags & 1 ? "true" : "false");
    }
    printf("],\n  \"entries\": [");
    for (uint32_t e = 0; e < m->n_entries; e++) {
        const ingot_entry *entry = m->entries[e];
        printf("%s{\"name\": ", e ? ", " : "");
        json_string(stdout, entry->name);
        printf(", ");
        json_tensors("inputs", entry->inputs, entry->n_inputs, entry->outputs);
        printf(", ");
        json_tensors("outputs", entry->outputs, entry->n_outputs, entry->inputs);
        printf("}");
    }
    printf("]\n}\n");
}

/* ---- compatibility ------------------------------------------------------------------------------------------------------ */

typedef struct Differences { bool json; int n; } Differences;

static void differ(Differences *d, const char *fmt, ...) FORMAT(2, 3);
static void differ(Differences *d, const char *fmt, ...) {
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (d->json) printf("%s\n    ", d->n ? "," : ""), json_string(stdout, text);
    else printf("%s\n", text);
    d->n++;
}

static const ingot_tensor_info *find_tensor(const ingot_tensor_info *const *list, uint32_t n, const char *name) {
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(list[i]->name, name) == 0) return list[i];
    return NULL;
}

static void compare_tensors(const char *kind, const ingot_tensor_info *const *old, uint32_t n_old,
                            const ingot_tensor_info *const *new_, uint32_t n_new, Differences *differences) {
    for (uint32_t i = 0; i < n_old; i++) {
        const ingot_tensor_info *a = old[i], *b = find_tensor(new_, n_new, a->name);
        if (!b) {
            differ(differences, "%s '%s' is gone", kind, a->name);
            continue;
        }
        if (i < n_new && new_[i] != b) differ(differences, "%s '%s' moved", kind, a->name);
        if (a->dtype != b->dtype)
            differ(differences, "'%s' changes from %s to %s", a->name, ingot_dtype_name(a->dtype), ingot_dtype_name(b->dtype));
        if (a->rank != b->rank) differ(differences, "'%s' changes its rank from %d to %d", a->name, a->rank, b->rank);
        for (int32_t d = 0; d < a->rank && d < b->rank; d++)
            if (strcmp(a->dim_text[d], b->dim_text[d]) != 0)
                differ(differences, "'%s' has an extent that changes from %s to %s", a->name, a->dim_text[d], b->dim_text[d]);
    }
    for (uint32_t i = 0; i < n_new; i++)
        if (!find_tensor(old, n_old, new_[i]->name)) differ(differences, "%s '%s' is new", kind, new_[i]->name);
}

static void compare_symbols(const ingot_model *old, const ingot_model *new_, Differences *differences) {
    for (uint32_t i = 0; i < old->n_symbols; i++) {
        const ingot_symbol *a = old->symbols[i], *b = NULL;
        for (uint32_t k = 0; k < new_->n_symbols; k++)
            if (strcmp(new_->symbols[k]->name, a->name) == 0) b = new_->symbols[k];
        if (!b) differ(differences, "size %s is gone", a->name);
        else if (b->min > a->min || b->max < a->max || (a->multiple % b->multiple))
            differ(differences, "size %s has a smaller range", a->name);
    }
}

static int compare(Arguments *a, const Session *old, const Session *new_) {
    Differences d = {.json = a->value[OPT_json] != NULL};
    if (d.json) printf("{\n  \"differences\": [");
    compare_tensors("input", old->entry->inputs, old->entry->n_inputs, new_->entry->inputs, new_->entry->n_inputs, &d);
    compare_tensors("output", old->entry->outputs, old->entry->n_outputs, new_->entry->outputs, new_->entry->n_outputs, &d);
    compare_symbols(old->model, new_->model, &d);
    if (d.json) printf("],\n  \"compatible\": %s\n}\n", d.n ? "false" : "true");
    else if (!a->value[OPT_quiet] && !d.n) printf("%s can replace %s\n", new_->path, old->path);
    return d.n ? EXIT_NO : EXIT_YES;
}

/* ---- the command -------------------------------------------------------------------------------------------------------- */

int command_inspect(Arguments *a) {
    bool compat = a->value[OPT_compat] != NULL;
    Session s = {0}, other = {0};
    struct stat st;
    if (a->rest.n != (compat ? 2 : 1))
        return fail_usage("expected %s; usage: ingot inspect %s", compat ? "two libraries" : "one library", a->command->usage);
    int status = session_open(&s, a, a->rest.at[0], NULL, 1);
    if (!status && compat) status = session_open(&other, a, a->rest.at[1], NULL, 1);
    long long bytes = stat(a->rest.at[0], &st) ? -1 : (long long)st.st_size;
    if (!status && compat) status = compare(a, &s, &other);
    else if (!status && a->value[OPT_json]) print_json(&s, bytes);
    else if (!status) print_text(&s, bytes);
    session_close(&s);
    session_close(&other);
    return status;
}
