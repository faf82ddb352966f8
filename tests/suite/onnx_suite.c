/* onnx_suite.c: ONNX's official backend tests through import, passes, lowering and the backends.
 *
 *   onnx_suite [--backend=interp|loop|llvm|c] [--mode=given|symbolic|constant] [--filter=TEXT] [--every=N] [--jobs=N]
 *              [--timeout=S] [--second=FOLDER] [--list-failures] [--json=FILE] [--minimum=FILE] [--verbose] FOLDER...
 *
 * --backend and --mode take lists by commas, or all.  FOLDER holds test_* folders with model.onnx and test_data_set_0/.
 * --second=S: where S/<name of FOLDER>/<case> exists, symbolic mode runs the one compiled model at those sizes as well.
 * Every case is a process of its own with limits of memory and time, so that nothing it does can end the run.
 * Prints a table by operator and totals.  Exit status 1 where something crashed or a count lies below --minimum's
 * (lines: mode backend pass pass-without-expanded).
 */
#define _GNU_SOURCE
#include "suite.h"
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *const backend_names[BACKENDS] = {"interp", "loop", "llvm", "c"};
const char *const mode_names[MODES] = {"given", "symbolic", "constant"};
static const char *const outcome_names[OUTCOMES] = {"pass", "unsupported", "FAIL", "CRASH"};
enum { MAX_JOBS = 16, MAX_ROWS = 512, MAX_CASES = 8192, MAX_PATH = 1024 };

typedef struct Item { char folder[512], second[512]; const char *name; } Item;
typedef struct Row { char op[64]; unsigned count[OUTCOMES]; } Row;
typedef struct Totals { unsigned count[OUTCOMES], plain /* passes not _expanded */, second; double seconds; } Totals;
typedef struct Settings {
    bool backends[BACKENDS], modes[MODES];
    const char *filter, *second, *json, *minimum, *target;
    unsigned every, jobs, timeout;
    bool list, verbose;
} Settings;
typedef struct Job { pid_t pid; int from; const Item *item; double start; Report report; size_t got; } Job;

static Settings settings = {.every = 1, .jobs = 2, .timeout = 60, .target = "x86-64-v3"};
static Item items[MAX_CASES];
static unsigned n_items;
static Row rows[MAX_ROWS];
static unsigned n_rows;
static FILE *json;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- results ------------------------------------------------------------------------------------------------------------ */

static void tally(const Report *r, Outcome o) {
    unsigned i = 0;
    while (i < n_rows && strcmp(rows[i].op, r->op) != 0) i++;
    if (i == MAX_ROWS) return;
    if (i == n_rows) memcpy(rows[n_rows++].op, r->op, sizeof r->op);
    rows[i].count[o]++;
}

static int by_op(const void *a, const void *b) { return strcmp(((const Row *)a)->op, ((const Row *)b)->op); }

static void json_text(const char *s) {
    fputc('"', json);
    for (; *s; s++)
        if (*s == '"' || *s == '\\') fprintf(json, "\\%c", *s);
        else fputc((unsigned char)*s < ' ' ? ' ' : *s, json);
    fputc('"', json);
}

static void json_case(const Item *item, const Report *r, Outcome o, Mode mode, Backend backend, double seconds) {
    if (!json) return;
    fputs("{\"case\":", json);
    json_text(item->name);
    fputs(",\"op\":", json);
    json_text(r->op);
    fprintf(json, ",\"mode\":\"%s\",\"backend\":\"%s\",\"outcome\":\"%s\",\"sets\":%d,\"ms\":%.0f,\"text\":", mode_names[mode],
            backend_names[backend], outcome_names[o], r->sets, seconds * 1e3);
    json_text(r->text);
    fputs("}\n", json);
}

static void print_table(Mode mode, Backend backend, const Totals *t) {
    qsort(rows, n_rows, sizeof *rows, by_op);
    printf("\n%-10s%-22s %5s %11s %5s %5s\n", mode_names[mode], backend_names[backend], "pass", "unsupported", "fail", "crash");
    for (unsigned i = 0; i < n_rows; i++)
        printf("%-32s %5u %11u %5u %5u\n", rows[i].op, rows[i].count[PASS], rows[i].count[UNSUPPORTED], rows[i].count[FAIL],
               rows[i].count[CRASH]);
    printf("%-32s %5u %11u %5u %5u\n", "all", t->count[PASS], t->count[UNSUPPORTED], t->count[FAIL], t->count[CRASH]);
}

/* ---- processes ------------------------------------------------------------------------------------------------------------ */

static void limit(int what, rlim_t value) {
    struct rlimit l = {value, value};
    setrlimit(what, &l);
}

static void child(const Item *item, Mode mode, Backend backend, int to) {
    static Report r;
    Case c = {item->folder, item->second[0] ? item->second : NULL, backend, mode, settings.target, settings.verbose};
    alarm(settings.timeout);
    limit(RLIMIT_CORE, 0);
#ifndef __SANITIZE_ADDRESS__
    limit(RLIMIT_AS, (rlim_t)3 << 30);
#endif
    case_run(&c, &r);
    if (write(to, &r, sizeof r) != (ssize_t)sizeof r) _exit(3);
    _exit(0);
}

static bool start(Job *j, const Item *item, Mode mode, Backend backend) {
    int ends[2];
    if (pipe(ends) != 0) return false;
    fflush(NULL);
    *j = (Job){.item = item, .from = ends[0], .start = now()};
    j->pid = fork();
    if (j->pid == 0) {
        close(ends[0]);
        child(item, mode, backend, ends[1]);
    }
    close(ends[1]);
    return j->pid > 0;
}

/* Reads what is there; true once the case has ended. */
static bool ended(Job *j, Outcome *o) {
    int status;
    ssize_t n = read(j->from, (char *)&j->report + j->got, sizeof j->report - j->got);
    if (n > 0) j->got += (size_t)n;
    if (n > 0 && j->got < sizeof j->report) return false;
    close(j->from);
    waitpid(j->pid, &status, 0);
    Report *r = &j->report;
    if (j->got == sizeof *r && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        *o = (Outcome)r->outcome;
        return true;
    }
    *r = (Report){.op = "(crashed)"};
    snprintf(r->text, sizeof r->text, "ended by %s %d%s", WIFSIGNALED(status) ? "signal" : "status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
             WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? " (time limit)" : "");
    *o = CRASH;
    return true;
}

static void finish(const Job *j, Outcome o, Mode mode, Backend backend, Totals *t) {
    t->count[o]++;
    t->plain += o == PASS && !strstr(j->item->name, "_expanded");
    t->second += o == PASS && j->report.sets > 1;
    tally(&j->report, o);
    json_case(j->item, &j->report, o, mode, backend, now() - j->start);
    if (o == PASS || (!settings.list && o != CRASH)) return;
    printf("%-11s %s %s %s (%s): %s\n", outcome_names[o], mode_names[mode], backend_names[backend], j->item->name, j->report.op,
           j->report.text);
}

static Totals run_all(Mode mode, Backend backend) {
    Totals t = {0};
    Job jobs[MAX_JOBS];
    unsigned n = 0, next = 0;
    double begin = now();
    n_rows = 0;
    memset(rows, 0, sizeof rows);
    while (n || next < n_items) {
        while (n < settings.jobs && next < n_items)
            if (start(&jobs[n], &items[next++], mode, backend)) n++;
        struct pollfd wait[MAX_JOBS];
        for (unsigned i = 0; i < n; i++) wait[i] = (struct pollfd){.fd = jobs[i].from, .events = POLLIN};
        if (poll(wait, n, -1) < 0) continue;
        for (unsigned i = n; i-- > 0;) {
            Outcome o;
            if (!wait[i].revents || !ended(&jobs[i], &o)) continue;
            finish(&jobs[i], o, mode, backend, &t);
            jobs[i] = jobs[--n];
        }
    }
    t.seconds = now() - begin;
    return t;
}

/* ---- the command ---------------------------------------------------------------------------------------------------------- */

static int ordinary(const struct dirent *e) { return strncmp(e->d_name, "test_", 5) == 0; }

static void add_folder(const char *folder) {
    static unsigned seen;
    struct dirent **list;
    char group[256];
    int n = scandir(folder, &list, ordinary, alphasort);
    size_t length = strlen(folder);
    while (length && folder[length - 1] == '/') length--;
    size_t begin = length;
    while (begin && folder[begin - 1] != '/') begin--;
    snprintf(group, sizeof group, "%.*s", (int)(length - begin), folder + begin);
    for (int k = 0; k < n; k++) {
        bool wanted = !settings.filter || strstr(list[k]->d_name, settings.filter);
        if (wanted && n_items < MAX_CASES && seen++ % settings.every == 0) {
            Item *item = &items[n_items++];
            snprintf(item->folder, sizeof item->folder, "%.*s/%.250s", (int)length, folder, list[k]->d_name);
            if (settings.second) snprintf(item->second, sizeof item->second, "%.200s/%.50s/%.250s", settings.second, group, list[k]->d_name);
            item->name = strrchr(item->folder, '/') + 1;
        }
        free(list[k]);
    }
    if (n > 0) free(list);
}

static bool choose(const char *list, const char *const *names, unsigned n, bool *chosen) {
    for (const char *at = list; *at;) {
        size_t length = strcspn(at, ",");
        bool found = false;
        for (unsigned i = 0; i < n; i++)
            if ((strlen(names[i]) == length && strncmp(names[i], at, length) == 0) || strncmp(at, "all", length) == 0) chosen[i] = found = true;
        if (!found) return false;
        at += length + (at[length] == ',');
    }
    return true;
}

static const char *value_of(const char *argument, const char *name) {
    size_t n = strlen(name);
    return strncmp(argument, name, n) == 0 && argument[n] == '=' ? argument + n + 1 : NULL;
}

static bool read_option(const char *a) {
    const char *v;
    if ((v = value_of(a, "--backend"))) return choose(v, backend_names, BACKENDS, settings.backends);
    if ((v = value_of(a, "--mode"))) return choose(v, mode_names, MODES, settings.modes);
    if ((v = value_of(a, "--filter"))) return settings.filter = v, true;
    if ((v = value_of(a, "--second"))) return settings.second = v, true;
    if ((v = value_of(a, "--json"))) return settings.json = v, true;
    if ((v = value_of(a, "--minimum"))) return settings.minimum = v, true;
    if ((v = value_of(a, "--target"))) return settings.target = v, true;
    if ((v = value_of(a, "--every"))) return settings.every = (unsigned)atoi(v), settings.every > 0;
    if ((v = value_of(a, "--jobs"))) return settings.jobs = (unsigned)atoi(v), settings.jobs > 0 && settings.jobs <= MAX_JOBS;
    if ((v = value_of(a, "--timeout"))) return settings.timeout = (unsigned)atoi(v), true;
    if (strcmp(a, "--list-failures") == 0) return settings.list = true;
    if (strcmp(a, "--verbose") == 0) return settings.verbose = true;
    return false;
}

/* Fewer passes than recorded? */
static bool below_minimum(Mode mode, Backend backend, const Totals *t) {
    char m[32], b[32];
    unsigned pass, plain;
    bool below = false;
    FILE *f = settings.minimum ? fopen(settings.minimum, "r") : NULL;
    char line[256];
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%31s %31s %u %u", m, b, &pass, &plain) != 4 || strcmp(m, mode_names[mode]) || strcmp(b, backend_names[backend])) continue;
        below = t->count[PASS] < pass || t->plain < plain;
        if (below) printf("%s %s: %u pass, %u without _expanded; at least %u and %u are recorded\n", m, b, t->count[PASS], t->plain, pass, plain);
    }
    if (f) fclose(f);
    return below || (settings.minimum && !f);
}

int main(int argc, char **argv) {
    static Totals totals[MODES][BACKENDS];
    bool any_mode = false, any_backend = false, bad = false;
    for (int i = 1; i < argc; i++)
        if (argv[i][0] == '-' && !read_option(argv[i])) {
            fprintf(stderr, "onnx_suite: '%s' is no option; see the top of onnx_suite.c\n", argv[i]);
            return 2;
        }
    for (int i = 1; i < argc; i++)
        if (argv[i][0] != '-') add_folder(argv[i]);
    for (unsigned i = 0; i < MODES; i++) any_mode |= settings.modes[i];
    for (unsigned i = 0; i < BACKENDS; i++) any_backend |= settings.backends[i];
    if (!any_mode) settings.modes[MODE_GIVEN] = true;
    if (!any_backend) settings.backends[BACKEND_INTERP] = true;
    if (settings.json && !(json = fopen(settings.json, "w"))) return 2;
    for (unsigned m = 0; m < MODES; m++)
        for (unsigned b = 0; b < BACKENDS; b++) {
            if (!settings.modes[m] || !settings.backends[b]) continue;
            totals[m][b] = run_all((Mode)m, (Backend)b);
            print_table((Mode)m, (Backend)b, &totals[m][b]);
        }
    printf("\n%-10s %-8s %6s %14s %12s %12s %6s %6s %9s\n", "mode", "backend", "pass", "not _expanded", "second sizes", "unsupported", "fail", "crash", "seconds");
    for (unsigned m = 0; m < MODES; m++)
        for (unsigned b = 0; b < BACKENDS; b++) {
            const Totals *t = &totals[m][b];
            if (!settings.modes[m] || !settings.backends[b]) continue;
            printf("%-10s %-8s %6u %14u %12u %12u %6u %6u %9.1f\n", mode_names[m], backend_names[b], t->count[PASS], t->plain, t->second,
                   t->count[UNSUPPORTED], t->count[FAIL], t->count[CRASH], t->seconds);
            bad |= t->count[CRASH] > 0 || below_minimum((Mode)m, (Backend)b, t);
        }
    if (json) fclose(json);
    return bad;
}
