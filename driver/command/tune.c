/* tune.c: ingot tune: searches schedules on this machine and writes those that are faster, as --schedule takes them.
 *
 * The data searched is what --print-schedule prints.  Kernels that share a function are one group and stay so.  In each
 * round every group tries one neighbour of its best numbers; one artifact, compiled in this process, holds all of these, and
 * its profile tells them apart, so that N candidates a kernel cost N compiles.  The default is measured beside every
 * candidate, in turns, and only ratios count: the machine's moods cancel.  At the end the winner is measured against the
 * default again; groups that gain less than WORTH keep the default, and so does the whole where it is not faster.  No field
 * changes bits, and that is checked.
 */
#define _GNU_SOURCE
#include "tune.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const double WORTH = 0.02, SMALL = 0.003 /* share of a run */,
                    BETTER = 0.99 /* of the best, to be taken while searching */;
enum { TURNS = 2, FINAL_TURNS = 6, MOST_RUNS = 50, CHECKS = 3 /* compiles and measurements kept for the end */ };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- artifacts ---------------------------------------------------------------------------------------------------------- */

/* "candidate:7:12": a number that a template cannot work with; its group does not try it again. */
static void refused(void *user, int32_t kind, const char *where, const char *text) {
    Tuner *t = user;
    unsigned line;
    if (kind != INGOT_ERROR) return;
    if (sscanf(where, "candidate:%u:", &line) == 1) tune_refuse(t, line), t->n_refused++;
    else fail_no("%s%s%s", where, *where ? ": " : "", text);
}

static void adjust(void *user, ingot_settings *s) {
    Tuner *t = user;
    s->flags |= INGOT_PROFILE;
    s->progress = NULL;
    if (!t->text) return;
    s->schedule = "candidate", s->schedule_text = t->text, s->schedule_bytes = strlen(t->text);
    s->diagnostic = refused, s->user = t;
    s->reproducer = NULL;
}

/* The default where text is NULL.  Candidates that are refused say nothing. */
static int open_artifact(Tuner *t, Session *s, char *text) {
    t->text = text;
    t->n_refused = 0;
    *s = (Session){.adjust = adjust, .adjust_user = t};
    return session_open(s, t->a, t->a->rest.at[0], NULL, t->threads);
}

static int set_point(Tuner *t, Session *s, uint32_t point) {
    session_forget_inputs(s);
    memcpy(s->symbols, t->points[point], s->model->n_symbols * sizeof *s->symbols);
    return session_random(s, 1);
}

/* ---- measuring ---------------------------------------------------------------------------------------------------------- */

/* Milliseconds by group, the least of the runs; the whole in *sum. */
static int measure_once(Tuner *t, Session *s, double *by_group) {
    Profile p = {0};
    int status = profile_collect(s, &p, t->repeat, 0);
    for (uint32_t i = 0; !status && i < t->n_groups; i++) by_group[i] = 0;
    for (uint32_t i = 0; !status && i < p.n; i++) by_group[t->kernels[i].group] += p.rows[i].ns[0] * 1e-6;
    profile_free(&p);
    return status;
}

static void keep_least(double *least, const double *found, uint32_t n, bool first) {
    for (uint32_t i = 0; i < n; i++)
        if (first || found[i] < least[i]) least[i] = found[i];
}

/* Time of the candidate over that of the default, by group and (last) of all kernels, averaged over the points. */
static int measure_beside(Tuner *t, Session *candidate, int turns, double *ratio) {
    uint32_t n = t->n_groups;
    double *times = calloc(4 * (size_t)n + 4, sizeof *times);
    if (!times) return fail_machine("out of memory");
    double *found = times, *base = times + n, *tuned = base + n + 1;
    int status = EXIT_YES;
    for (uint32_t i = 0; i <= n; i++) ratio[i] = 0;
    for (uint32_t point = 0; !status && point < t->n_points; point++) {
        status = set_point(t, &t->base, point);
        if (!status) status = set_point(t, candidate, point);
        for (int turn = 0; !status && turn < turns; turn++) {
            status = measure_once(t, candidate, found);
            keep_least(tuned, found, n, turn == 0);
            if (!status) status = measure_once(t, &t->base, found);
            keep_least(base, found, n, turn == 0);
        }
        base[n] = tuned[n] = 0;
        for (uint32_t i = 0; i < n; i++) base[n] += base[i], tuned[n] += tuned[i];
        for (uint32_t i = 0; i <= n; i++) ratio[i] += (base[i] > 0 ? tuned[i] / base[i] : 1) / t->n_points;
    }
    free(times);
    return status;
}

/* ---- the default -------------------------------------------------------------------------------------------------------- */

/* Which runs a measurement takes, and what each group's share of the time is. */
static int weigh(Tuner *t) {
    double *ms = calloc(t->n_groups + 1, sizeof *ms), sum = 0;
    int status = ms ? set_point(t, &t->base, t->n_points - 1) : fail_machine("out of memory");
    double start = now();
    for (int i = 0; !status && i < 2; i++) status = session_run(&t->base, NULL, NULL);
    double took = (now() - start) / 2;
    t->repeat = took * (double)MOST_RUNS < 0.1 ? MOST_RUNS : took * 3 > 0.1 ? 3 : (uint64_t)(0.1 / took);
    if (!status) status = measure_once(t, &t->base, ms);
    for (uint32_t i = 0; i < t->n_groups; i++) sum += ms ? ms[i] : 0;
    for (uint32_t i = 0; !status && i < t->n_groups; i++) t->groups[i].done = ms[i] < SMALL * sum;
    free(ms);
    return status;
}

/* Bits of the candidate's outputs against the default's, everywhere it was measured. */
static int same_bits(Tuner *t, Session *candidate) {
    int status = EXIT_YES;
    for (uint32_t point = 0; !status && point < t->n_points; point++) {
        status = set_point(t, &t->base, point);
        if (!status) status = set_point(t, candidate, point);
        if (!status) status = session_run(&t->base, NULL, NULL);
        if (!status) status = session_run(candidate, NULL, NULL);
        for (uint32_t i = 0; !status && i < candidate->entry->n_outputs; i++) {
            const ingot_tensor *x = &candidate->out[i], *y = &t->base.out[i];
            uint64_t n = element_count(y) * ((y->dtype + 0x700) >> 11);
            bool same = element_count(x) == element_count(y) && memcmp(x->dims, y->dims, sizeof x->dims) == 0;
            same = same && memcmp(x->data, y->data, n) == 0;
            if (!same) status = fail_bug("a schedule changes bits of output '%s'", candidate->entry->outputs[i]->name);
        }
    }
    return status;
}

/* ---- the search --------------------------------------------------------------------------------------------------------- */

static void show(Tuner *t, const char *what) {
    char text[128];
    double left = t->end - now();
    snprintf(text, sizeof text, "tune: %s, %u candidates, %.0f s left", what, t->rounds, left > 0 ? left : 0);
    progress_show(text);
}

/* One neighbour of every group's best, measured; *more: there was one. */
static int round_once(Tuner *t, bool *more) {
    Session s = {0};
    double *ratio = calloc(t->n_groups + 1, sizeof *ratio);
    char *text = NULL;
    int status = ratio ? EXIT_YES : fail_machine("out of memory");
    *more = tune_propose(t);
    if (*more && !status) {
        status = tune_text(t, true, &text);
        if (!status) status = open_artifact(t, &s, text);
        bool known = t->n_refused > 0; /* these are marked, the others wait for the next round */
        if (status && known) status = EXIT_YES, *more = true;
        else if (!status) {
            status = measure_beside(t, &s, TURNS, ratio);
            if (!status) tune_learn(t, ratio, BETTER), t->rounds++;
        }
    }
    session_close(&s);
    free(text);
    free(ratio);
    return status;
}

static int search(Tuner *t) {
    double longest = 0;
    bool more = true;
    int status = EXIT_YES;
    while (!status && more && now() + (1 + CHECKS) * longest < t->end) {
        double start = now();
        show(t, "searching");
        status = round_once(t, &more);
        if (now() - start > longest) longest = now() - start;
    }
    return status;
}

/* Groups that gain too little go back; the whole where it is not faster.  *ratio: of what is left. */
static int confirm(Tuner *t, double *ratio) {
    double *ratios = calloc(t->n_groups + 1, sizeof *ratios);
    int status = ratios ? EXIT_YES : fail_machine("out of memory");
    *ratio = 1;
    for (int pass = 0; !status && pass < 2 && tune_changed(t); pass++) {
        Session s = {0};
        char *text = NULL;
        show(t, "confirming");
        status = tune_text(t, false, &text);
        if (!status) status = open_artifact(t, &s, text);
        if (!status) status = same_bits(t, &s);
        if (!status) status = measure_beside(t, &s, FINAL_TURNS, ratios);
        if (!status) tune_revert(t, ratios, 1 - WORTH);
        if (!status && pass && ratios[t->n_groups] >= 1) tune_revert(t, ratios, 0);
        if (!status) *ratio = tune_changed(t) ? ratios[t->n_groups] : 1;
        session_close(&s);
        free(text);
    }
    free(ratios);
    return status;
}

/* ---- the command -------------------------------------------------------------------------------------------------------- */

static int read_time(const Arguments *a, double *seconds) {
    const char *text = a->value[OPT_time];
    char *end;
    if (!text) return EXIT_YES;
    *seconds = strtod(text, &end);
    if (*end == 'm' && !end[1]) *seconds *= 60, end++;
    else if (*end == 's') end++;
    if (end == text || *end || !(*seconds > 0 && *seconds <= 1e6))
        return fail_usage("--time=%s: expected a time such as 60s or 5m", text);
    return EXIT_YES;
}

static int write_result(Tuner *t, FILE *f, const char *part, const char *path, double ratio) {
    char *text = NULL;
    int status = tune_text(t, false, &text);
    if (!status) {
        fprintf(f, "# ingot tune: %s on %s, %d thread%s: %u candidates a kernel, %u of %u kernels changed\n",
                t->base.model->name, t->base.model->tiers[0], t->threads, t->threads == 1 ? "" : "s", t->rounds,
                tune_changed(t), t->n_kernels);
        fputs(text, f);
    }
    free(text);
    bool bad = ferror(f) != 0;
    bad |= fclose(f) != 0;
    if (!status && (bad || rename(part, path))) status = fail_machine("cannot write '%s': %s", path, strerror(errno));
    if (status) return status;
    printf("%u of %u kernels changed after %u candidates each; time of all kernels %.1f %% of the default's\n", tune_changed(t),
           t->n_kernels, t->rounds, 100 * ratio);
    return EXIT_YES;
}

static int tune(Tuner *t, double *ratio) {
    show(t, "compiling");
    int status = open_artifact(t, &t->base, NULL);
    if (!status && t->base.library)
        return fail_no("%s is a library, whose schedules are fixed: tune takes a model", t->base.path);
    if (!status && !profile_has_work(t->base.model)) return fail_usage("the interpreter has no schedules: --backend=llvm or c");
    if (!status) status = session_sizes(&t->base, t->a, 0);
    if (!status) status = tune_points(t);
    if (!status) status = tune_kernels(t);
    if (!status) status = weigh(t);
    if (!status) status = search(t);
    return status ? status : confirm(t, ratio);
}

int command_tune(Arguments *a) {
    Tuner t = {.a = a, .threads = 1};
    const char *path = a->value[OPT_o];
    uint64_t threads = 1;
    double seconds = 60, ratio = 1;
    char part[4096];
    if (a->rest.n != 1) return fail_usage("expected one model; usage: ingot tune %s", a->command->usage);
    if (!path) return fail_usage("where to? say -o FILE");
    if (!option_count(a, OPT_threads, 1, MOST_THREADS, &threads)) return EXIT_USAGE;
    int status = read_time(a, &seconds);
    if (status) return status;
    t.threads = (int)threads, t.end = now() + seconds;
    snprintf(part, sizeof part, "%s.part", path);
    FILE *f = fopen(part, "w"); /* a folder that cannot be written to is told before the search */
    if (!f) return fail_machine("cannot write '%s': %s", path, strerror(errno));
    status = tune(&t, &ratio);
    progress_end();
    if (!status) status = write_result(&t, f, part, path, ratio);
    else fclose(f);
    if (status) remove(part);
    session_close(&t.base);
    tune_free(&t);
    return status;
}
