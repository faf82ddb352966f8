/* trace.c: the fastest run of a profile as a Chrome trace: the launches on one track, and on one track per worker the ranges
 * that a launch was cut into.
 *
 * The ranges are seen by a pool that stands between the context and its own: no part of the artifact knows of it.
 * Source: "Trace Event Format" of the Chromium project: complete events, times in microseconds.
 */
#define _GNU_SOURCE
#include "command.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- ranges ------------------------------------------------------------------------------------------------------------- */

typedef struct Task { Watch *watch; ingot_task run; void *arg; } Task;

/* A worker's notes are its own while it has the id. */
static void note_span(Spans *s, uint64_t begin, uint64_t end) {
    if (s->n == s->capacity) {
        uint32_t capacity = s->capacity ? 2 * s->capacity : 256;
        Span *at = realloc(s->at, capacity * sizeof *at);
        if (!at) return; /* the range is missing from the trace */
        s->at = at, s->capacity = capacity;
    }
    s->at[s->n++] = (Span){begin, end};
}

static void timed_task(void *arg, int64_t i, int32_t worker) {
    const Task *t = arg;
    uint64_t begin = clock_ns();
    t->run(t->arg, i, worker);
    note_span(&t->watch->spans[worker], begin, clock_ns());
}

static void watched_run(void *user, int64_t n, int32_t workers, ingot_task task, void *arg) {
    Watch *w = user;
    Task timed = {w, task, arg};
    if (w->on) w->inner->run(w->inner->user, n, workers, timed_task, &timed);
    else w->inner->run(w->inner->user, n, workers, task, arg);
}

const ingot_parallel *watch_pool(Watch *w, ingot_parallel *inner) {
    w->inner = inner;
    w->pool = *inner;
    w->pool.user = w;
    w->pool.run = watched_run;
    return &w->pool;
}

/* ---- one run ------------------------------------------------------------------------------------------------------------ */

void trace_begin(Trace *t) {
    t->n = 0;
    if (!t->watch) return;
    for (int i = 0; i < MOST_THREADS; i++) t->watch->spans[i].n = 0;
    t->watch->on = true;
}

void trace_launch(Trace *t, const ingot_launch *l) {
    if (t->n == t->capacity) {
        uint32_t capacity = t->capacity ? 2 * t->capacity : 256;
        ingot_launch *at = realloc(t->at, capacity * sizeof *at);
        if (!at) {
            t->lost = true;
            return;
        }
        t->at = at, t->capacity = capacity;
    }
    t->at[t->n++] = *l;
}

/* The notes of the fastest run so far change places with those of this one. */
void trace_end(Trace *t) {
    uint64_t took = t->n ? t->at[t->n - 1].end_ns - t->at[0].begin_ns : 0;
    if (t->watch) t->watch->on = false;
    if (t->best && took >= t->best_took) return;
    free(t->best);
    t->best = t->at, t->n_best = t->n, t->best_took = took;
    t->at = NULL, t->n = t->capacity = 0;
    for (int i = 0; t->watch && i < MOST_THREADS; i++) {
        Spans kept = t->best_spans[i];
        t->best_spans[i] = t->watch->spans[i];
        t->watch->spans[i] = kept;
    }
}

void trace_free(Trace *t) {
    free(t->at);
    free(t->best);
    for (int i = 0; i < MOST_THREADS; i++) {
        free(t->best_spans[i].at);
        if (t->watch) free(t->watch->spans[i].at), t->watch->spans[i] = (Spans){0};
    }
}

/* ---- the file ----------------------------------------------------------------------------------------------------------- */

static void write_event(FILE *f, const char *name, int track, uint64_t begin, uint64_t end) {
    fprintf(f, ",\n{\"name\": ");
    json_string(f, name);
    fprintf(f, ", \"ph\": \"X\", \"pid\": 1, \"tid\": %d, \"ts\": %.3f", track, (double)begin * 1e-3);
    fprintf(f, ", \"dur\": %.3f", (double)(end - begin) * 1e-3);
}

static void write_track(FILE *f, int track, const char *name) {
    fprintf(f, ",\n{\"name\": \"thread_name\", \"ph\": \"M\", \"pid\": 1, \"tid\": %d, ", track);
    fprintf(f, "\"args\": {\"name\": \"%s\"}}", name);
}

static void write_launches(FILE *f, const Trace *t, uint64_t start) {
    for (uint32_t i = 0; i < t->n_best; i++) {
        const ingot_launch *l = &t->best[i];
        const ingot_kernel *k = t->model->kernels[l->kernel];
        write_event(f, kernel_label(k), 0, l->begin_ns - start, l->end_ns - start);
        fprintf(f, ", \"cat\": \"%s\", \"args\": {\"function\": \"%s\", \"flops\": %lld", k->kind, k->function,
                (long long)l->flops);
        fprintf(f, ", \"read\": %lld, \"written\": %lld, \"weights\": %lld}}", (long long)l->read, (long long)l->written,
                (long long)l->weights);
    }
}

/* Launches follow each other, and so do a worker's ranges. */
static void write_ranges(FILE *f, const Trace *t, int worker, uint64_t start) {
    const Spans *s = &t->best_spans[worker];
    for (uint32_t i = 0, launch = 0; i < s->n; i++) {
        while (launch < t->n_best && t->best[launch].end_ns < s->at[i].begin_ns) launch++;
        const char *name = launch < t->n_best ? kernel_label(t->model->kernels[t->best[launch].kernel]) : "";
        write_event(f, name, 1 + worker, s->at[i].begin_ns - start, s->at[i].end_ns - start);
        fprintf(f, "}");
    }
}

int trace_write(const Trace *t, const char *path, int threads) {
    uint64_t start = t->n_best ? t->best[0].begin_ns : 0;
    FILE *f = fopen(path, "w");
    if (!f) return fail_machine("cannot write '%s': %s", path, strerror(errno));
    fprintf(f, "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n");
    fprintf(f, "{\"name\": \"process_name\", \"ph\": \"M\", \"pid\": 1, \"args\": {\"name\": ");
    json_string(f, t->model->name);
    fprintf(f, "}}");
    write_track(f, 0, "launches");
    write_launches(f, t, start);
    for (int w = 0; t->watch && w < threads; w++) {
        char name[32];
        snprintf(name, sizeof name, "worker %d", w);
        write_track(f, 1 + w, name);
        write_ranges(f, t, w, start);
    }
    fprintf(f, "\n]}\n");
    bool bad = ferror(f) != 0;
    if (fclose(f) || bad) return fail_machine("cannot write '%s': %s", path, strerror(errno));
    return EXIT_YES;
}
