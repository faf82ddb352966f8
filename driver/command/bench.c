/* bench.c: ingot bench: the time of a run, by threads, with percentiles; kernels: profile.c. */
#define _GNU_SOURCE
#include "command.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

enum { LEAST_RUNS = 10, MOST_RUNS = 100000 };

static int by_value(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

typedef struct Times { double *at; int n; } Times;
static double percentile(const Times *t, double p) {
    int i = (int)(p * (t->n - 1) + 0.5);
    return t->at[i] * 1e3;
}

static int measure(Session *s, uint64_t repeat, Times *t) {
    int status = EXIT_YES, most = repeat ? (int)repeat : MOST_RUNS;
    t->n = 0;
    t->at = malloc((size_t)most * sizeof *t->at);
    if (!t->at) return fail_machine("out of memory");
    for (int i = 0; i < 3 && !status; i++) status = session_run(s, NULL, NULL);
    double end = now() + 1;
    while (!status && t->n < most && (repeat || t->n < LEAST_RUNS || now() < end)) {
        double start = now();
        status = session_run(s, NULL, NULL);
        t->at[t->n++] = now() - start;
    }
    qsort(t->at, (size_t)t->n, sizeof *t->at, by_value);
    return status;
}

static void print_times(Arguments *a, const Times *t, int threads, bool first) {
    bool jitter = a->value[OPT_jitter] != NULL;
    if (a->value[OPT_json]) {
        printf(
            "%s\n  {\"threads\": %d, \"runs\": %d, \"min_ms\": %.6f, \"median_ms\": %.6f, \"p90_ms\": %.6f, \"p99_ms\": %.6f, "
            "\"p999_ms\": %.6f, \"max_ms\": %.6f",
            first ? "" : ",", threads, t->n, percentile(t, 0), percentile(t, 0.5), percentile(t, 0.9), percentile(t, 0.99),
            percentile(t, 0.999), percentile(t, 1));
        return;
    }
    bool small = percentile(t, 0.5) < 1;
    double unit = small ? 1e-3 : 1;
    printf("%d thread%s: median %.3f %s, min %.3f, p90 %.3f, p99 %.3f", threads, threads == 1 ? "" : "s",
           percentile(t, 0.5) / unit, small ? "us" : "ms", percentile(t, 0) / unit, percentile(t, 0.9) / unit,
           percentile(t, 0.99) / unit);
    if (jitter) printf(", p99.9 %.3f, max %.3f", percentile(t, 0.999) / unit, percentile(t, 1) / unit);
    printf(" (%d runs)\n", t->n);
}

static int bench(Arguments *a, int threads, bool first) {
    bool profiled = a->value[OPT_profile] || a->value[OPT_trace];
    Watch watch = {.on = false};
    Session s = {.watch = profiled && threads > 1 ? &watch : NULL};
    Times t = {0};
    uint64_t seed = 1, repeat = 0;
    if (!option_count(a, OPT_seed, 0, UINT64_MAX, &seed) || !option_count(a, OPT_repeat, 1, MOST_RUNS, &repeat))
        return EXIT_USAGE;
    int status = session_open(&s, a, a->rest.at[0], NULL, threads);
    if (!status) status = session_sizes(&s, a, 0);
    if (!status) status = session_random(&s, seed);
    progress_end();
    if (!status) status = measure(&s, repeat, &t);
    if (!status) print_times(a, &t, threads, first);
    if (!status && profiled) status = profile_run(&s, a, threads, repeat);
    if (!status && a->value[OPT_json]) printf("}");
    free(t.at);
    session_close(&s);
    return status;
}

int command_bench(Arguments *a) {
    const char *list = a->value[OPT_threads] && *a->value[OPT_threads] ? a->value[OPT_threads] : "1";
    int status = EXIT_YES;
    if (a->rest.n != 1) return fail_usage("expected one library or model; usage: ingot bench %s", a->command->usage);
    if (a->value[OPT_trace] && strchr(list, ','))
        return fail_usage("--trace takes one number of threads, found --threads=%s", list);
    if (a->value[OPT_json]) printf("[");
    for (const char *at = list; !status;) {
        char *end;
        long threads = strtol(at, &end, 10);
        if (end == at || threads < 1 || threads > MOST_THREADS || (*end && *end != ','))
            return fail_usage("--threads=%s: expected numbers from 1 to 256, such as 1,2,4", list);
        status = bench(a, (int)threads, at == list);
        if (!*end) break;
        at = end + 1;
    }
    if (a->value[OPT_json]) printf("\n]\n");
    return status;
}
