/* verify.c: ingot verify: against the interpreter or another artifact at several sizes, ONNX test data, or itself. */
#define _GNU_SOURCE
#include "command.h"
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Tolerance { double ulp, rtol, atol; } Tolerance; /* ulp < 0: the others */
typedef struct Worst { double absolute, ulp; } Worst;
/* Of all f32 results against those of an f64 run of the interpreter: the largest error, and sums of squares. */
typedef struct Error { uint64_t n; double largest, errors, values; } Error;

/* What is printed, a comparison after the other: lines, or members of a JSON array. */
typedef struct Report { bool json; int comparisons, differences; } Report;

static void print_sizes(const Report *r, const Session *s) {
    const char *separator = r->json ? "\"sizes\": {" : " at ";
    for (uint32_t i = 0; i < s->model->n_symbols; i++) {
        if (s->model->symbols[i]->flags & 1) continue;
        printf("%s", separator);
        if (r->json) json_string(stdout, s->model->symbols[i]->name);
        else printf("%s", s->model->symbols[i]->name);
        printf("%s%lld", r->json ? ": " : "=", (long long)s->symbols[i]);
        separator = ", ";
    }
    if (r->json) printf("%s}", *separator == ',' ? "" : separator);
}

/* folder: of test data; NULL: the sizes say what was compared. */
static void report_begin(Report *r, const Session *s, const char *folder) {
    if (!r->json) return;
    printf("%s\n  {", r->comparisons++ ? "," : "");
    if (folder) printf("\"data\": "), json_string(stdout, folder);
    else print_sizes(r, s);
    printf(", \"differences\": [");
    r->differences = 0;
}

static void report_difference(Report *r, const char *name, const char *text) {
    if (r->json) {
        printf("%s{\"output\": ", r->differences++ ? ", " : "");
        json_string(stdout, name);
        printf(", \"text\": ");
        json_string(stdout, text);
        printf("}");
    } else {
        printf("output '%s' %s\n", name, text);
    }
}

static void print_error(const Report *r, const Error *e) {
    double n = (double)e->n, rms = sqrt(e->errors / n), relative = e->values > 0 ? sqrt(e->errors / e->values) : rms;
    if (r->json) {
        printf(", \"f64\": {\"largest\": "), json_number(stdout, e->largest), printf(", \"rms\": "), json_number(stdout, rms);
        printf(", \"relative\": "), json_number(stdout, relative), printf("}");
        return;
    }
    printf("; error against f64: largest %.3g, RMS %.3g (%.3g of the RMS of results)", e->largest, rms, relative);
}

/* error may be NULL: not measured. */
static void report_end(Report *r, const Session *s, const char *folder, const char *result, const Worst *w, const Error *error,
                       const char *why) {
    if (r->json) {
        printf("], \"result\": \"%s\"", result);
        if (why) printf(", \"why\": "), json_string(stdout, why);
        if (w) printf(", \"absolute\": "), json_number(stdout, w->absolute), printf(", \"ulp\": "), json_number(stdout, w->ulp);
        if (error && error->n) print_error(r, error);
        printf("}");
        return;
    }
    printf("%s", result);
    if (folder) printf(" %s", folder);
    else print_sizes(r, s);
    if (w) printf(": largest difference %g, %g ulp", w->absolute, w->ulp);
    else printf(": %s", why);
    if (error && error->n) print_error(r, error);
    printf("\n");
}

/* ---- comparing ---------------------------------------------------------------------------------------------------------- */

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

static void shape_text(const ingot_tensor *t, char *to, size_t room) {
    size_t n = (size_t)snprintf(to, room, "%s[", ingot_dtype_name(t->dtype));
    for (int32_t d = 0; d < t->rank && n < room; d++)
        n += (size_t)snprintf(to + n, room - n, "%s%lld", d ? "," : "", (long long)t->dims[d]);
    if (n < room) snprintf(to + n, room - n, "]");
}

static int compare(Report *r, const char *name, const ingot_tensor *got, const ingot_tensor *want, const Tolerance *tolerance,
                   Worst *w) {
    bool same = got->dtype == want->dtype && got->rank == want->rank;
    char text[640], found[256], expected[256];
    for (int32_t d = 0; same && d < got->rank; d++) same = got->dims[d] == want->dims[d];
    if (!same) {
        shape_text(got, found, sizeof found);
        shape_text(want, expected, sizeof expected);
        snprintf(text, sizeof text, "is %s, expected %s", found, expected);
        report_difference(r, name, text);
        return EXIT_NO;
    }
    uint64_t n = element_count(got), each = ((got->dtype >> 8) + 7) / 8, wrong = 0, first = 0;
    for (uint64_t i = 0; i < n; i++)
        if (!same_element(got, want, i, tolerance, w) && !wrong++) first = i;
    if (!wrong) return EXIT_YES;
    snprintf(text, sizeof text, "differs at %llu of %llu elements, first at %llu: found %.9g, expected %.9g",
             (unsigned long long)wrong, (unsigned long long)n, (unsigned long long)first,
             ingot_element(got->dtype, (const char *)got->data + first * each),
             ingot_element(want->dtype, (const char *)want->data + first * each));
    report_difference(r, name, text);
    return EXIT_NO;
}

/* Where both are numbers: an infinity or NaN is compared above. */
static void add_errors(const ingot_tensor *got, const ingot_tensor *wide, Error *e) {
    uint64_t n = element_count(got), each = ((got->dtype >> 8) + 7) / 8;
    if (got->dtype != INGOT_F32 || wide->dtype != INGOT_F64 || element_count(wide) != n) return;
    for (uint64_t i = 0; i < n; i++) {
        double exact = ((const double *)wide->data)[i],
               d = fabs(ingot_element(got->dtype, (const char *)got->data + i * each) - exact);
        if (!isfinite(d)) continue;
        if (d > e->largest) e->largest = d;
        e->errors += d * d, e->values += exact * exact, e->n++;
    }
}

/* ---- against a model ---------------------------------------------------------------------------------------------------- */

/* The reference takes the inputs of s by name. */
static int lend_inputs(const Session *s, Session *reference) {
    for (uint32_t k = 0; k < reference->entry->n_inputs; k++) {
        uint32_t i = 0;
        while (i < s->entry->n_inputs && strcmp(s->entry->inputs[i]->name, reference->entry->inputs[k]->name) != 0) i++;
        if (i == s->entry->n_inputs)
            return fail_no("%s has no input '%s', which %s has", s->path, reference->entry->inputs[k]->name, reference->path);
        reference->in[k] = s->in[i];
    }
    return EXIT_YES;
}

/* The reference's output of that name, or their number. */
static uint32_t output_named(const Session *reference, const char *name) {
    uint32_t k = 0;
    while (k < reference->entry->n_outputs && strcmp(name, reference->entry->outputs[k]->name) != 0) k++;
    return k;
}

/* Whether the two have the names in common that a comparison needs. */
static int comparable(const Session *s, Session *reference) {
    int status = lend_inputs(s, reference);
    for (uint32_t i = 0; !status && i < s->entry->n_outputs; i++)
        if (output_named(reference, s->entry->outputs[i]->name) == reference->entry->n_outputs)
            status = fail_no("%s has no output '%s', which %s has", reference->path, s->entry->outputs[i]->name, s->path);
    return status;
}

static int compare_all(Report *r, Session *s, Session *reference, const Tolerance *tolerance, Worst *w) {
    int status = EXIT_YES;
    for (uint32_t i = 0; i < s->entry->n_outputs; i++) {
        const char *name = s->entry->outputs[i]->name;
        if (compare(r, name, &s->out[i], &reference->out[output_named(reference, name)], tolerance, w)) status = EXIT_NO;
    }
    return status;
}

/* Runs the model in f64 on the inputs of s.  What it refuses (sizes that depend on rounding) has no error. */
static int measure_error(Session *s, Session *wide, Error *e) {
    ingot_error why = {0};
    int status = lend_inputs(s, wide);
    if (!status && !session_try(wide, &why))
        for (uint32_t i = 0; i < s->entry->n_outputs; i++)
            for (uint32_t k = 0; k < wide->entry->n_outputs; k++)
                if (strcmp(s->entry->outputs[i]->name, wide->entry->outputs[k]->name) == 0)
                    add_errors(&s->out[i], &wide->out[k], e);
    memset(wide->in, 0, wide->entry->n_inputs * sizeof *wide->in);
    return status;
}

/* wide may be NULL. */
static int one_size(Arguments *a, Report *r, Session *s, Session *reference, Session *wide, int64_t typical, uint64_t seed,
                    const Tolerance *tolerance, int *compared) {
    Worst w = {0};
    Error error = {0};
    ingot_error why = {0};
    int status = session_sizes(s, a, typical);
    if (!status) status = session_random(s, seed);
    if (!status) status = lend_inputs(s, reference);
    bool refused = !status && session_try(reference, &why); /* outside of the model's domain */
    if (!status && !refused) status = session_run(s, NULL, NULL);
    if (!status && !refused && wide) status = measure_error(s, wide, &error);
    progress_end();
    if (!status) report_begin(r, s, NULL);
    if (refused) {
        report_end(r, s, NULL, "skipped", NULL, NULL, why.text);
    } else if (!status) {
        status = compare_all(r, s, reference, tolerance, &w);
        report_end(r, s, NULL, status ? "differs" : "same", &w, &error, NULL);
    }
    *compared += !refused;
    memset(reference->in, 0, reference->entry->n_inputs * sizeof *reference->in);
    session_forget_inputs(s);
    return status;
}

static void in_f64(void *user, ingot_settings *settings) {
    (void)user;
    settings->precision = "f64";
}

static int verify_model(Arguments *a, Report *r, Session *s, const char *against, uint64_t seed, const Tolerance *tolerance) {
    static const int64_t sizes[] = {0, 1, 2, 7, 17};
    Session reference = {0}, wide = {.adjust = in_f64};
    int status = session_open(&reference, a, against, "interpreter", 1), worst = EXIT_YES;
    if (!status) status = comparable(s, &reference);
    bool measures = !status && !reference.library;
    if (measures) status = session_open(&wide, a, against, "interpreter", 1);
    size_t n = 1;
    int compared = 0;
    for (uint32_t i = 0; !status && i < s->model->n_symbols; i++)
        if (!(s->model->symbols[i]->flags & 1)) n = sizeof sizes / sizeof *sizes;
    for (size_t i = 0; i < n && !status; i++) {
        int here = one_size(a, r, s, &reference, measures ? &wide : NULL, sizes[i], seed + i, tolerance, &compared);
        if (here > worst) worst = here;
        if (here > EXIT_NO) status = here;
    }
    session_close(&reference);
    session_close(&wide);
    if (!status && !worst && !compared)
        return fail_no("nothing was compared: the model accepts none of these sizes, give --dim");
    return status ? status : worst;
}

/* ---- against test data -------------------------------------------------------------------------------------------------- */

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

static int verify_set(Report *r, Session *s, const char *folder, const Tolerance *tolerance) {
    Worst w = {0};
    int status = EXIT_YES;
    for (uint32_t i = 0; i < s->entry->n_inputs; i++) {
        int got = read_tensor(folder, "input", i, &s->in[i]);
        if (got <= 0) return got < 0 ? EXIT_NO : fail_machine("%s has no input_%u.pb", folder, i);
    }
    status = session_run(s, NULL, NULL);
    progress_end();
    if (status) return status;
    report_begin(r, s, folder);
    for (uint32_t i = 0; i < s->entry->n_outputs && status <= EXIT_NO; i++) {
        ingot_tensor want = {0};
        int got = read_tensor(folder, "output", i, &want);
        if (got == 0) status = fail_machine("%s has no output_%u.pb", folder, i);
        else if (got < 0 || compare(r, s->entry->outputs[i]->name, &s->out[i], &want, tolerance, &w)) status = EXIT_NO;
        ingot_free(want.data);
    }
    session_forget_inputs(s);
    report_end(r, s, folder, status ? "differs" : "same", &w, NULL, NULL);
    return status;
}

static int verify_data(Report *r, Session *s, const char *folder, const Tolerance *tolerance) {
    struct dirent **names;
    int n = scandir(folder, &names, NULL, alphasort), worst = EXIT_YES, sets = 0;
    if (n < 0) return fail_machine("cannot read the folder '%s'", folder);
    for (int i = 0; i < n; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (strncmp(names[i]->d_name, "test_data_set_", 14) == 0) {
            int status = verify_set(r, s, path, tolerance);
            if (status > worst) worst = status;
            sets++;
        }
        free(names[i]);
    }
    free(names);
    return sets ? worst : verify_set(r, s, folder, tolerance);
}

/* ---- against itself ----------------------------------------------------------------------------------------------------- */

/* Runs that were made when the library was compiled. */
static int verify_alone(Report *r, Session *s) {
    ingot_error err = {0};
    bool failed = s->model->self_test(s->context, &err) != INGOT_OK;
    if (r->json) {
        printf("\n  {\"self_test\": \"%s\"", failed ? "failed" : "passed");
        if (failed) printf(", \"why\": "), json_string(stdout, err.text);
        printf("}");
    } else if (failed) {
        printf("self-test failed: %s\n", err.text);
    } else {
        printf("self-test passed\n");
    }
    return !failed ? EXIT_YES : err.code == INGOT_E_BUG ? EXIT_NO : exit_status(err.code);
}

/* ---- the command -------------------------------------------------------------------------------------------------------- */

#define BF16_TOLERANCE                                                                                                         \
    5e-2 /* of outputs of order 1, behind a dozen layers whose products were rounded to bf16: docs/precision.md */

int command_verify(Arguments *a) {
    uint64_t seed = 1, threads = 1;
    const char *data = a->value[OPT_data], *against = a->value[OPT_against];
    Tolerance t = {-1, 1e-3, data ? 1e-7 : 1e-5};
    Report r = {.json = a->value[OPT_json] != NULL};
    Session s = {0};
    if (a->rest.n != 1) return fail_usage("expected one library or model; usage: ingot verify %s", a->command->usage);
    if (!option_number(a, OPT_ulp, &t.ulp) || !option_number(a, OPT_rtol, &t.rtol) || !option_number(a, OPT_atol, &t.atol))
        return EXIT_USAGE;
    if (!option_count(a, OPT_seed, 0, UINT64_MAX, &seed) || !option_count(a, OPT_threads, 1, MOST_THREADS, &threads))
        return EXIT_USAGE;
    int status = session_open(&s, a, a->rest.at[0], NULL, (int)threads);
    if (!status && strcmp(session_precision(&s), "bf16") == 0) {
        if (!a->value[OPT_rtol]) t.rtol = BF16_TOLERANCE;
        if (!a->value[OPT_atol]) t.atol = BF16_TOLERANCE;
    }
    bool alone = s.library && !data && !against;
    if (!status && alone && !s.model->self_test)
        status = fail_usage("a library without self-tests needs something to compare with: --against M or --data DIR");
    if (!status && r.json) printf("[");
    bool opened = !status && r.json;
    if (!status && data) status = verify_data(&r, &s, data, &t);
    if (!status && alone) status = verify_alone(&r, &s);
    else if (!status && (against || !data)) status = verify_model(a, &r, &s, against ? against : a->rest.at[0], seed, &t);
    if (opened) printf("\n]\n");
    session_close(&s);
    return status;
}
