/* run_mutants.c: tries mutants of models and of texts on the compiler, and says what became of them.
 *
 *   run_mutants [--kind=onnx|graph|loop] [--count=N] [--seed=N] [--first=N] [--sample=N] [--jobs=N] [--save=FOLDER]
 *               [--milliseconds=N] [--megabytes=N] [--imported=PERCENT] [--small] [--reasons] SEED...
 *   run_mutants --replay FILE...           files as they are, every step
 *   run_mutants --make FILE SEED...        writes mutant --first of --seed
 *
 * A SEED is a model, or a folder that is searched for *.onnx; of many, --sample are taken at even distances.  The text kinds
 * mutate what the compiler prints for the same models.  Failing mutants are saved, with --small also minimised;
 * --reasons lists what was refused and why.
 * Ends with `N passed, M failed`; status 0 only without failures and with at least --imported percent past import.
 */
#define _GNU_SOURCE
#include "mutate.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Options {
    Work work;
    uint32_t sample, imported;
    bool small, reasons;
    const char *make;
} Options;
typedef struct Files { char **at; uint32_t n, cap; } Files;
enum { LARGEST_SEED = 2 << 20, LARGEST_TEXT = 24 << 10, LISTED = 40 };

const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "quarantine_size_mb=8:detect_leaks=1:leak_check_at_exit=0:handle_abort=1:allocator_release_to_os_interval_ms=500:"
           "detect_stack_use_after_return=0:malloc_context_size=8:allocator_may_return_null=1";
}
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) { return "print_stacktrace=1"; }

/* ---- seeds ---------------------------------------------------------------------------------------------------------- */

static void add_file(Files *f, const char *path) {
    if (f->n == f->cap) {
        f->cap = f->cap ? f->cap * 2 : 256;
        f->at = realloc(f->at, f->cap * sizeof *f->at);
        if (!f->at) abort();
    }
    f->at[f->n++] = strdup(path);
}

static bool ends_in(const char *text, const char *ending) {
    size_t n = strlen(text), k = strlen(ending);
    return n >= k && strcmp(text + n - k, ending) == 0;
}

static void search(Files *files, const char *path, bool given, bool every_kind) {
    struct stat st;
    struct dirent **entries;
    if (stat(path, &st)) return;
    if (!S_ISDIR(st.st_mode)) {
        bool fits = ends_in(path, ".onnx") || (every_kind && (ends_in(path, ".graph") || ends_in(path, ".loop")));
        if ((given || fits) && st.st_size <= LARGEST_SEED) add_file(files, path);
        return;
    }
    int n = scandir(path, &entries, NULL, alphasort); /* the order is part of what a seed means */
    for (int i = 0; i < n; i++) {
        char inner[4096];
        if (entries[i]->d_name[0] != '.') {
            snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
            search(files, inner, false, every_kind);
        }
        free(entries[i]);
    }
    if (n >= 0) free(entries);
}

static Seed read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    Seed s = {path, NULL, 0};
    if (!f) return s;
    fseek(f, 0, SEEK_END);
    s.n = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = malloc(s.n + 1);
    if (!bytes || fread(bytes, 1, s.n, f) != s.n) abort();
    fclose(f);
    s.bytes = bytes;
    return s;
}

static Seeds read_seeds(const Files *files, uint32_t sample) {
    uint32_t n = sample && sample < files->n ? sample : files->n;
    Seeds seeds = {calloc(n + 1, sizeof(Seed)), 0};
    for (uint32_t i = 0; i < n; i++) {
        Seed s = read_file(files->at[(uint64_t)i * files->n / n]);
        if (s.bytes) seeds.at[seeds.n++] = s;
    }
    return seeds;
}

static Seeds text_seeds(Seeds models, Kind kind) {
    Seeds texts = {calloc(models.n * 2 + 1, sizeof(Seed)), 0};
    for (uint32_t i = 0; i < models.n; i++)
        texts.n += subject_texts(&models.at[i], kind, texts.at + texts.n, models.n * 2 - texts.n, LARGEST_TEXT);
    return texts;
}

/* ---- what came of it ---------------------------------------------------------------------------------------------------- */

static bool failed(const Record *r) { return r->outcome >= OUT_SILENT || r->outcome == OUT_NONE; }

static void save(const Options *o, const Record *r, uint32_t i) {
    const Work *w = &o->work;
    Context *cx = context_new(NULL);
    const uint8_t *bytes;
    size_t n;
    char path[4096];
    if (!cx || !context_enter(cx)) abort();
    worker_bytes(w, cx, i, &bytes, &n);
    if (o->small) {
        Work one = *w;
        one.first = w->first + i;
        minimise(&one, r, &bytes, &n);
    }
    snprintf(path, sizeof path, "%s/%s-%llu-%llu%s", w->folder, kind_names[w->kind], (unsigned long long)w->seed,
             (unsigned long long)w->first + i, kind_endings[w->kind]);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n) fprintf(stderr, "cannot write %s\n", path);
    if (f) fclose(f);
    context_leave(cx);
    context_free(cx);
}

/* Failures that read alike (numbers aside) are one line, with the first mutant of them. */
static bool same_failure(const Record *a, const Record *b) {
    char x[sizeof a->text], y[sizeof b->text];
    size_t i = 0, k = 0;
    if (a->outcome != b->outcome) return false;
    for (const char *p = a->text; *p; p++)
        if (*p < '0' || *p > '9') x[i++] = *p;
    for (const char *p = b->text; *p; p++)
        if (*p < '0' || *p > '9') y[k++] = *p;
    return i == k && memcmp(x, y, i) == 0;
}

static void list_failures(const Options *o, const Record *records) {
    const Work *w = &o->work;
    uint32_t firsts[LISTED], counts[LISTED], n = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        if (!failed(&records[i])) continue;
        uint32_t k = 0;
        while (k < n && !same_failure(&records[firsts[k]], &records[i])) k++;
        if (k == n && n < LISTED) firsts[n] = i, counts[n++] = 0;
        if (k < n && counts[k]++ < 3 && !w->replay) save(o, &records[i], i);
    }
    for (uint32_t k = 0; k < n; k++) {
        const Record *r = &records[firsts[k]];
        if (w->replay) printf("%s: ", w->seeds->at[firsts[k]].path);
        else
            printf("%5u x %s-%llu-%llu ", counts[k], kind_names[w->kind], (unsigned long long)w->seed,
                   (unsigned long long)w->first + firsts[k]);
        printf("%s (%u ms, %u MB): %s\n", outcome_names[r->outcome], r->milliseconds, r->peak_kilobytes >> 10, r->text);
    }
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* values[i] of mutant first + i. */
static void print_spread(const char *what, const char *unit, uint32_t *values, uint32_t n, uint64_t first) {
    uint32_t worst = 0;
    for (uint32_t i = 1; i < n; i++)
        if (values[i] > values[worst]) worst = i;
    qsort(values, n, sizeof *values, by_size);
    if (n)
        printf("%s: median %u, 99%% %u, 99.9%% %u, most %u %s (mutant %llu)\n", what, values[n / 2],
               values[(uint64_t)n * 99 / 100], values[(uint64_t)n * 999 / 1000], values[n - 1], unit,
               (unsigned long long)first + worst);
}

static int report(const Options *o, const Record *records) {
    const Work *w = &o->work;
    uint32_t n[OUTCOMES] = {0}, bad = 0;
    uint32_t *times = calloc(w->count + 1, sizeof *times), *sizes = calloc(w->count + 1, sizeof *sizes);
    if (!times || !sizes) abort();
    for (uint32_t i = 0; i < w->count; i++) {
        n[records[i].outcome]++;
        bad += failed(&records[i]);
        times[i] = records[i].milliseconds;
        sizes[i] = records[i].peak_kilobytes >> 10;
    }
    list_failures(o, records);
    for (uint32_t i = 0; o->reasons && i < w->count; i++)
        if (records[i].outcome == OUT_REJECTED || records[i].outcome == OUT_IMPORTED)
            printf("%llu %s: %s\n", (unsigned long long)w->first + i, outcome_names[records[i].outcome], records[i].text);
    for (uint32_t k = 0; k < OUTCOMES; k++)
        if (n[k]) printf("%7u %s\n", n[k], outcome_names[k]);
    print_spread("time", "ms", times, w->count, w->first);
    print_spread("memory", "MB", sizes, w->count, w->first);
    uint32_t past = w->count ? (uint32_t)((uint64_t)(n[OUT_IMPORTED] + n[OUT_COMPILED]) * 100 / w->count) : 0;
    printf("%s: %u %% past import, %u %% compiled\n", w->replay ? "replay" : kind_names[w->kind], past,
           w->count ? (uint32_t)((uint64_t)n[OUT_COMPILED] * 100 / w->count) : 0);
    if (past < o->imported) printf("fewer than %u %% got past import\n", o->imported);
    printf("%u passed, %u failed\n", w->count - bad, bad);
    free(times);
    free(sizes);
    return bad || past < o->imported;
}

/* ---- the command line ---------------------------------------------------------------------------------------------------- */

static bool read_number(const char *argument, const char *name, uint64_t *to) {
    size_t n = strlen(name);
    if (strncmp(argument, name, n) != 0 || argument[n] != '=') return false;
    *to = strtoull(argument + n + 1, NULL, 10);
    return true;
}

static bool read_option(Options *o, const char *a) {
    uint64_t v;
    Work *w = &o->work;
    if (read_number(a, "--count", &v)) w->count = (uint32_t)v;
    else if (read_number(a, "--seed", &v)) w->seed = v;
    else if (read_number(a, "--first", &v)) w->first = v;
    else if (read_number(a, "--jobs", &v)) w->jobs = (uint32_t)v;
    else if (read_number(a, "--sample", &v)) o->sample = (uint32_t)v;
    else if (read_number(a, "--milliseconds", &v)) w->milliseconds = (uint32_t)v;
    else if (read_number(a, "--megabytes", &v)) w->megabytes = (uint32_t)v;
    else if (read_number(a, "--imported", &v)) o->imported = (uint32_t)v;
    else if (strncmp(a, "--save=", 7) == 0) w->folder = a + 7;
    else if (strncmp(a, "--make=", 7) == 0) o->make = a + 7;
    else if (strcmp(a, "--replay") == 0) w->replay = true;
    else if (strcmp(a, "--small") == 0) o->small = true;
    else if (strcmp(a, "--reasons") == 0) o->reasons = true;
    else if (strncmp(a, "--kind=", 7) == 0) {
        for (uint32_t k = 0; k < KINDS; k++)
            if (strcmp(a + 7, kind_names[k]) == 0) return w->kind = (Kind)k, true;
        return false;
    } else return false;
    return true;
}

static int make(const Options *o) {
    Context *cx = context_new(NULL);
    const uint8_t *bytes;
    size_t n;
    if (!cx || !context_enter(cx)) abort();
    worker_bytes(&o->work, cx, 0, &bytes, &n);
    FILE *f = fopen(o->make, "wb");
    bool ok = f && fwrite(bytes, 1, n, f) == n;
    if (f) fclose(f);
    context_leave(cx);
    context_free(cx);
    return !ok;
}

int main(int argc, char **argv) {
    Options o = {.work = {.count = 1000,
                          .seed = 1,
                          .first = 1,
                          .jobs = 2,
                          .megabytes = 1024,
                          .folder = "build/mutants"},
                 .sample = 400};
    Files files = {0};
    for (int i = 1; i < argc; i++) {
        bool option = argv[i][0] == '-' && argv[i][1] == '-';
        if (option && !read_option(&o, argv[i])) {
            fprintf(stderr, "run_mutants: unknown option %s\n", argv[i]);
            return 2;
        }
        if (!option) search(&files, argv[i], true, o.work.replay);
    }
    Work *w = &o.work;
    Seeds seeds = read_seeds(&files, w->replay ? 0 : o.sample);
    if (!w->replay && w->kind != KIND_ONNX) seeds = text_seeds(seeds, w->kind);
    if (!seeds.n || !w->jobs) {
        fprintf(stderr, "run_mutants: no seeds\n");
        return 2;
    }
    w->seeds = &seeds;
    if (!w->milliseconds) w->milliseconds = (uint32_t)(2e3 * worker_slowness());
    if (o.make) return make(&o);
    if (w->replay) w->count = seeds.n, w->first = 0;
    mkdir(w->folder, 0755);
    printf("%u seeds, %u ms each\n", seeds.n, w->milliseconds);
    Record *records = worker_records(w->count + 1);
    worker_run(w, records);
    return report(&o, records);
}
