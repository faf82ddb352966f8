/* profile.c: the time of every kernel, and where it reports it (compile --profile, or a model in this process) its work and how
 * near that is to what the machine can do.
 *
 * A launch inside a loop counts each time; times are medians over runs, work is that of the last run.  A kernel's bound is the
 * longer of its FLOPs at the FMA peak and its bytes at the bandwidth of a buffer as large as they are; the model's constants
 * are read at the bandwidth of all of them, because every other kernel's pass through the cache before they come again.
 */
#define _GNU_SOURCE
#include "command.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LEAST_RUNS = 5, MOST_RUNS = 1000 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- collecting --------------------------------------------------------------------------------------------------------- */

/* One more row; NULL: no memory, which profile_collect tells. */
static ProfileRow *add_row(Profile *p, const char *nodes) {
    ProfileRow *rows = realloc(p->rows, (p->n + 1) * sizeof *rows);
    double *ns = calloc(MOST_RUNS, sizeof *ns);
    if (rows) p->rows = rows;
    if (!rows || !ns) {
        free(ns);
        p->lost = true;
        return NULL;
    }
    rows[p->n] = (ProfileRow){.nodes = nodes, .kind = "", .function = "", .ns = ns};
    return &rows[p->n++];
}

/* Of a library without a profile: names and times alone. */
static void traced(void *user, const char *kernel, uint64_t ns) {
    Profile *p = user;
    uint32_t i = 0;
    while (i < p->n && strcmp(p->rows[i].nodes, kernel) != 0) i++;
    if (i == p->n && !add_row(p, kernel)) return;
    p->rows[i].ns[p->runs] += (double)ns;
    p->rows[i].launches++;
}

static void observed(void *user, const ingot_launch *l) {
    Profile *p = user;
    ProfileRow *r = &p->rows[l->kernel];
    r->ns[p->runs] += (double)(l->end_ns - l->begin_ns);
    r->launches++;
    r->flops += (double)l->flops, r->read += (double)l->read;
    r->written += (double)l->written, r->weights += (double)l->weights;
    if (p->trace) trace_launch(p->trace, l);
}

static void forget_work(Profile *p) {
    for (uint32_t i = 0; i < p->n; i++) {
        ProfileRow *r = &p->rows[i];
        r->launches = 0;
        r->flops = r->read = r->written = r->weights = 0;
    }
}

static int by_value(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

bool profile_has_work(const ingot_model *m) { return INGOT_HAS(ingot_model, m, observe) && m->observe; }

/* Text IR may say nothing of nodes. */
const char *kernel_label(const ingot_kernel *k) { return *k->nodes ? k->nodes : k->function; }

int profile_collect(Session *s, Profile *p, uint64_t repeat, double time) {
    const ingot_model *m = s->model;
    p->work = profile_has_work(m);
    for (uint32_t i = 0; p->work && i < m->n_kernels; i++) {
        ProfileRow *r = add_row(p, "");
        if (r) r->nodes = kernel_label(m->kernels[i]), r->kind = m->kernels[i]->kind, r->function = m->kernels[i]->function;
    }
    if (p->lost) return fail_machine("out of memory");
    if (p->work) m->observe(s->context, observed, p);
    int status = EXIT_YES;
    for (double end = now() + time; !status && p->runs < (repeat && repeat < MOST_RUNS ? repeat : MOST_RUNS); p->runs++) {
        if (!repeat && p->runs >= LEAST_RUNS && now() >= end) break;
        forget_work(p);
        if (p->trace) trace_begin(p->trace);
        status = p->work ? session_run(s, NULL, NULL) : session_run(s, traced, p);
        if (p->trace) trace_end(p->trace);
    }
    if (p->work) m->observe(s->context, NULL, NULL);
    if (p->lost || (p->trace && p->trace->lost)) status = fail_machine("out of memory");
    for (uint32_t i = 0; !status && i < p->n; i++) {
        ProfileRow *r = &p->rows[i];
        qsort(r->ns, p->runs, sizeof *r->ns, by_value);
        r->ms = r->ns[p->runs / 2] * 1e-6;
    }
    return status;
}

void profile_free(Profile *p) {
    for (uint32_t i = 0; i < p->n; i++) free(p->rows[i].ns);
    free(p->rows);
    *p = (Profile){0};
}

/* ---- bounds ------------------------------------------------------------------------------------------------------------- */

static void bound(ProfileRow *r, Machine *m, double all_weights) {
    double launches = r->launches ? r->launches : 1, other = (r->read - r->weights + r->written) / launches;
    double by_flops = r->flops / machine_flops(m), by_bytes = 0;
    if (other > 0) by_bytes += other * launches / machine_bandwidth(m, other);
    if (r->weights > 0) by_bytes += r->weights / machine_bandwidth(m, all_weights);
    r->bound_ms = (by_flops > by_bytes ? by_flops : by_bytes) * 1e3;
    r->by = by_flops > by_bytes ? "fma" : "read";
}

static int by_time(const void *a, const void *b) {
    const ProfileRow *x = a, *y = b;
    return (x->ms < y->ms) - (x->ms > y->ms);
}

/* ---- showing ------------------------------------------------------------------------------------------------------------ */

static void print_json(const Profile *p, const Machine *m) {
    printf(", \"kernels\": [");
    for (uint32_t i = 0; i < p->n; i++) {
        const ProfileRow *r = &p->rows[i];
        printf("%s\n    {\"name\": ", i ? "," : "");
        json_string(stdout, r->nodes);
        printf(", \"ms\": %.6f, \"launches\": %u", r->ms, r->launches);
        if (p->work) {
            printf(", \"kind\": \"%s\", \"function\": \"%s\", \"flops\": %.0f", r->kind, r->function, r->flops);
            printf(", \"read\": %.0f, \"written\": %.0f, \"weights\": %.0f, \"bound_ms\": ", r->read, r->written, r->weights);
            json_number(stdout, r->bound_ms);
            printf(", \"bound_by\": \"%s\"", r->by);
        }
        printf("}");
    }
    printf("]");
    if (!p->work) return;
    printf(",\n   \"machine\": {\"flops\": %.0f, \"read\": {", m->flops);
    for (int k = LEAST_SIZE, n = 0; k <= MOST_SIZE; k++)
        if (m->read[k] > 0) printf("%s\"%lld\": %.0f", n++ ? ", " : "", 1LL << k, m->read[k]);
    printf("}}");
}

static void print_table(const Profile *p, const Machine *m) {
    double sum = 0, least = 0;
    for (uint32_t i = 0; i < p->n; i++) sum += p->rows[i].ms, least += p->rows[i].bound_ms;
    if (p->work) {
        printf("  kernels %.4f ms, bound %.4f ms (%.1f %%) at %.1f GFLOP/s\n", sum, least, 100 * least / sum, m->flops * 1e-9);
        printf("         time   share      bound  GFLOP/s    GB/s  template      nodes\n");
    }
    if (!p->work) printf("  (compile --profile tells work and bounds as well)\n");
    for (uint32_t i = 0; i < p->n; i++) {
        const ProfileRow *r = &p->rows[i];
        printf("  %9.4f ms %5.1f %%  ", r->ms, sum > 0 ? 100 * r->ms / sum : 0);
        double per_ms = r->ms > 0 ? 1 / r->ms : 0;
        if (p->work)
            printf("%4.0f %% %-4s %7.1f %7.1f  %-12s  ", 100 * r->bound_ms * per_ms, r->by, r->flops * per_ms * 1e-6,
                   (r->read + r->written) * per_ms * 1e-6, r->kind);
        printf("%.100s\n", r->nodes);
    }
}

int profile_run(Session *s, Arguments *a, int threads, uint64_t repeat) {
    Machine machine = {.threads = threads};
    Profile p = {0};
    Trace trace = {.watch = s->watch, .model = s->model};
    if (a->value[OPT_trace]) p.trace = &trace;
    if (p.trace && !profile_has_work(s->model))
        return fail_no("%s was compiled without --profile: there is nothing to trace", s->path);
    int status = profile_collect(s, &p, repeat, 1);
    for (uint32_t i = 0; !status && p.work && i < p.n; i++) bound(&p.rows[i], &machine, (double)s->model->weights_bytes);
    if (!status && p.trace) status = trace_write(&trace, a->value[OPT_trace], threads);
    if (!status) {
        qsort(p.rows, p.n, sizeof *p.rows, by_time);
        if (a->value[OPT_json]) print_json(&p, &machine);
        else print_table(&p, &machine);
    }
    trace_free(&trace);
    profile_free(&p);
    return status;
}
