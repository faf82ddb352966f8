/* verify.c: ingot verify: against the interpreter or another artifact at several sizes, and against ONNX test data. */
#define _GNU_SOURCE
#include "command.h"
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Tolerance { double ulp, rtol, atol; } Tolerance; /* ulp < 0: the others */
typedef struct Worst { double absolute, ulp; uint64_t at; bool within; } Worst;

/* ---- comparing ------------------------------------------------------------------------------------------------------------- */

static bool is_float(ingot_dtype t) { return (t & 0xFF) == 2 || (t & 0xFF) == 4 || (t & 0xFF) >= 8; }

/* Floats of one format in order, as integers: neighbours differ by 1. */
static int64_t rank_of(ingot_dtype t, const void *at) {
    uint64_t bits = 0, sign;
    unsigned n = (t >> 8) / 8;
    memcpy(&bits, at, n <= 8 ? n : 8);
    sign = UINT64_C(1) << (n * 8 - 1);
    return bits & sign ? -(int64_t)(bits & (sign - 1)) : (int64_t)bits;
}

static bool same_element(const ingot_tensor *x, const ingot_tensor *y, uint64_t i, const Tolerance *tolerance, Worst *w) {
    uint64_t each = ((x->dtype >> 8) + 7) / 8;
    const char *p = (const char *)x->data + i * each, *q = (const char *)y->data + i * each;
    if (memcmp(p, q, each) == 0) return true;
    if (!is_float(x->dtype)) return false;
    double a = ingot_element(x->dtype, p), b = ingot_element(y->dtype, q), d = fabs(a - b);
    if (isnan(a) && isnan(b)) return true;
    double ulp = isnan(a) || isnan(b) ? INFINITY : fabs((double)rank_of(x->dtype, p) - (double)rank_of(y->dtype, q));
    if (!(ulp <= w->ulp)) w->ulp = ulp;
    if (!(d <= w->absolute)) w->absolute = d;
    return tolerance->ulp >= 0 ? ulp <= tolerance->ulp : d <= tolerance->atol + tolerance->rtol * fabs(b);
}

static int compare(const char *name, const ingot_tensor *got, const ingot_tensor *want, const Tolerance *tolerance, Worst *w) {
    bool same = got->dtype == want->dtype && got->rank == want->rank;
    for (int32_t d = 0; same && d < got->rank; d++) same = got->dims[d] == want->dims[d];
    if (!same) {
        printf("output '%s' is ", name);
        print_shape(stdout, got);
        printf(", expected ");
        print_shape(stdout, want);
        printf("\n");
        return EXIT_NO;
    }
    uint64_t n = element_count(got), each = ((got->dtype >> 8) + 7) / 8, wrong = 0, first = 0;
    for (uint64_t i = 0; i < n; i++)
        if (!same_element(got, want, i, tolerance, w) && !wrong++) first = i;
    if (!wrong) return EXIT_YES;
    printf("output '%s' differs at %llu of %llu elements, first at %llu: found %.9g, expected %.9g\n", name, (unsigned long long)wrong, (unsigned long long)n,
           (unsigned long long)first, ingot_element(got->dtype, (const char *)got->data + first * each), ingot_element(want->dtype, (const char *)want->data + first * each));
    return EXIT_NO;
}

/* ---- against a model ------------------------------------------------------------------------------------------------------- */

static void print_sizes(const Session *s) {
    const char *separator = " at ";
    for (uint32_t i = 0; i < s->model->n_symbols; i++) {
        if (s->model->symbols[i]->flags & 1) continue;
        printf("%s%s=%lld", separator, s->model->symbols[i]->name, (long long)s->symbols[i]);
        separator = ", ";
    }
}

/* The reference takes the inputs of s by name. */
static int lend_inputs(const Session *s, Session *reference) {
    for (uint32_t k = 0; k < reference->entry->n_inputs; k++) {
        uint32_t i = 0;
        while (i < s->entry->n_inputs && strcmp(s->entry->inputs[i]->name, reference->entry->inputs[k]->name) != 0) i++;
        if (i == s->entry->n_inputs) return fail_no("%s has no input '%s', which %s has", s->path, reference->entry->inputs[k]->name, reference->path);
        reference->in[k] = s->in[i];
    }
    return EXIT_YES;
}

static int compare_all(Session *s, Session *reference, const Tolerance *tolerance, Worst *w) {
    int status = EXIT_YES;
    for (uint32_t i = 0; i < s->entry->n_outputs; i++) {
        uint32_t k = 0;
        while (k < reference->entry->n_outputs && strcmp(s->entry->outputs[i]->name, reference->entry->outputs[k]->name) != 0) k++;
        if (k == reference->entry->n_outputs) return fail_no("%s has no output '%s', which %s has", reference->path, s->entry->outputs[i]->name, s->path);
        if (compare(s->entry->outputs[i]->name, &s->out[i], &reference->out[k], tolerance, w)) status = EXIT_NO;
    }
    return status;
}

static int one_size(Arguments *a, Session *s, Session *reference, int64_t typical, uint64_t seed, const Tolerance *tolerance, int *compared) {
    Worst w = {0};
    ingot_error why = {0};
    int status = session_sizes(s, a, typical);
    if (!status) status = session_random(s, seed);
    if (!status) status = lend_inputs(s, reference);
    bool refused = !status && session_try(reference, &why); /* outside of the model's domain */
    if (!status && !refused) status = session_run(s, NULL, NULL);
    progress_end();
    if (refused) {
        printf("skipped");
        print_sizes(s);
        printf(": %s\n", why.text);
    } else if (!status) {
        status = compare_all(s, reference, tolerance, &w);
        printf("%s", status ? "differs" : "same");
        print_sizes(s);
        printf(": largest difference %g, %g ulp\n", w.absolute, w.ulp);
    }
    *compared += !refused;
    memset(reference->in, 0, reference->entry->n_inputs * sizeof *reference->in);
    session_forget_inputs(s);
    return status;
}

static int verify_model(Arguments *a, Session *s, const char *against, uint64_t seed, const Tolerance *tolerance) {
    static const int64_t sizes[] = {0, 1, 2, 7, 17};
    Session reference = {0};
    int status = session_open(&reference, a, against, "interpreter", 1), worst = EXIT_YES;
    size_t n = 1;
    int compared = 0;
    for (uint32_t i = 0; !status && i < s->model->n_symbols; i++)
        if (!(s->model->symbols[i]->flags & 1)) n = sizeof sizes / sizeof *sizes;
    for (size_t i = 0; i < n && !status; i++) {
        int here = one_size(a, s, &reference, sizes[i], seed + i, tolerance, &compared);
        if (here > worst) worst = here;
        if (here > EXIT_NO) status = here;
    }
    session_close(&reference);
    if (!status && !worst && !compared) return fail_no("nothing was compared: the model accepts none of these sizes, give --dim");
    return status ? status : worst;
}

/* ---- against test data ------------------------------------------------------------------------------------------------------ */

static char *read_file(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    long end = -1;
    if (!f) return NULL;
    if (!fseek(f, 0, SEEK_END)) end = ftell(f);
    char *bytes = end >= 0 && !fseek(f, 0, SEEK_SET) ? malloc((size_t)end + 1) : NULL;
    if (bytes && fread(bytes, 1, (size_t)end, f) != (size_t)end) {
        free(bytes);
        bytes = NULL;
    }
    *n = (size_t)end;
    fclose(f);
    return bytes;
}

/* 1: read; 0: no such file; -1 after a message. */
static int read_tensor(const char *folder, const char *kind, uint32_t i, ingot_tensor *t) {
    char path[4096];
    size_t n;
    ingot_error err;
    snprintf(path, sizeof path, "%s/%s_%u.pb", folder, kind, i);
    char *bytes = read_file(path, &n);
    if (!bytes) return 0;
    ingot_status status = ingot_read_tensor(bytes, n, t, &err);
    free(bytes);
    if (!status) return 1;
    fail_error(path, &err);
    return -1;
}

static int verify_set(Session *s, const char *folder, const Tolerance *tolerance) {
    Worst w = {0};
    int status = EXIT_YES;
    for (uint32_t i = 0; i < s->entry->n_inputs; i++) {
        int got = read_tensor(folder, "input", i, &s->in[i]);
        if (got <= 0) return got < 0 ? EXIT_NO : fail_machine("%s has no input_%u.pb", folder, i);
    }
    status = session_run(s, NULL, NULL);
    progress_end();
    for (uint32_t i = 0; i < s->entry->n_outputs && !status; i++) {
        ingot_tensor want = {0};
        int got = read_tensor(folder, "output", i, &want);
        if (got <= 0) return got < 0 ? EXIT_NO : fail_machine("%s has no output_%u.pb", folder, i);
        status = compare(s->entry->outputs[i]->name, &s->out[i], &want, tolerance, &w);
        ingot_free(want.data);
    }
    session_forget_inputs(s);
    if (status <= EXIT_NO) printf("%s %s: largest difference %g, %g ulp\n", status ? "differs" : "same", folder, w.absolute, w.ulp);
    return status;
}

static int verify_data(Session *s, const char *folder, const Tolerance *tolerance) {
    struct dirent **names;
    int n = scandir(folder, &names, NULL, alphasort), worst = EXIT_YES, sets = 0;
    if (n < 0) return fail_machine("cannot read the folder '%s'", folder);
    for (int i = 0; i < n; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (strncmp(names[i]->d_name, "test_data_set_", 14) == 0) {
            int status = verify_set(s, path, tolerance);
            if (status > worst) worst = status;
            sets++;
        }
        free(names[i]);
    }
    free(names);
    return sets ? worst : verify_set(s, folder, tolerance);
}

/* ---- the command ------------------------------------------------------------------------------------------------------------ */

int command_verify(Arguments *a) {
    double seed = 1, threads = 1;
    const char *data = a->value[OPT_data], *against = a->value[OPT_against];
    Tolerance t = {-1, 1e-3, data ? 1e-7 : 1e-5};
    Session s = {0};
    if (a->rest.n != 1) return fail_usage("expected one library or model; usage: ingot verify %s", a->command->usage);
    if (!option_number(a, OPT_ulp, &t.ulp) || !option_number(a, OPT_rtol, &t.rtol) || !option_number(a, OPT_atol, &t.atol)) return EXIT_USAGE;
    if (!option_number(a, OPT_seed, &seed) || !option_number(a, OPT_threads, &threads)) return EXIT_USAGE;
    int status = session_open(&s, a, a->rest.at[0], NULL, (int)threads);
    if (!status && s.library && !data && !against) status = fail_usage("a library needs something to compare with: --against M or --data DIR");
    if (!status && data) status = verify_data(&s, data, &t);
    if (!status && (against || !data)) status = verify_model(a, &s, against ? against : a->rest.at[0], (uint64_t)seed, &t);
    session_close(&s);
    return status;
}
