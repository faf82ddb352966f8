/* onnx_suite.c: ONNX's official backend tests through import, passes, lowering and the backends.
 *
 *   onnx_suite [--backend=interp|loop|llvm|c] [--mode=given|symbolic|constant] [--filter=TEXT] [--every=N] [--jobs=N]
 *              [--timeout=S] [--second=FOLDER] [--cc=NAME] [--target=CPU] [--list-failures] [--table=FILE] [--json=FILE]
 *              [--minimum=FILE] [--verbose] FOLDER...
 *
 * --backend and --mode take lists by commas, or all.  FOLDER holds test_* folders with model.onnx and test_data_set_0/.
 * --second=S: where S/<name of FOLDER>/<case> exists, symbolic mode runs the one compiled model at those sizes as well.
 * --cc: backend c through that compiler (gcc, clang) instead of libtcc.
 * Every case is a process of its own with limits of memory and time (--timeout: seconds of CPU), so that nothing it does can
 * end the run.
 * Prints a table by operator and totals, and writes both to --table's file; --json: a line for every case.
 * Exit status 1 where something crashed, fewer pass than --minimum's file says, or more fail (lines: mode backend, passes, of
 * those not _expanded, passes that include second sizes, failures).
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
enum { MAX_JOBS = 16, MAX_CASES = 8192 };

typedef struct Item { char folder[512], second[512]; const char *name; } Item;
typedef struct Settings {
    bool backends[BACKENDS], modes[MODES];
    const char *filter, *second, *json, *table, *minimum, *target, *cc;
    unsigned every, jobs, timeout;
    bool list, verbose;
} Settings;
typedef struct Job { pid_t pid; int from; const Item *item; double start; Report report; size_t got; } Job;

static Settings settings = {.every = 1, .jobs = 2, .timeout = 60, .target = "x86-64-v3"};
static Item items[MAX_CASES];
static unsigned n_items;
static Table table;
static FILE *json;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- results ------------------------------------------------------------------------------------------------------------ */

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

/* ---- processes ---------------------------------------------------------------------------------------------------------- */

static void limit(int what, rlim_t value) {
    struct rlimit l = {value,
                       what == RLIMIT_CPU ? value + 1 : value}; /* at the second one it is SIGKILL, which tells nothing */
    setrlimit(what, &l);
}

static void child(const Item *item, Mode mode, Backend backend, int to) {
    static Report r;
    Case c = {.folder = item->folder, .backend = backend, .mode = mode, .target = settings.target, .cc = settings.cc};
    if (item->second[0]) c.second = item->second;
    c.verbose = settings.verbose;
    limit(RLIMIT_CPU, settings.timeout);
    alarm(settings.timeout * 10); /* waits that take no time of a CPU */
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
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    snprintf(r->text, sizeof r->text, "ended by %s %d%s", signal ? "signal" : "status", signal ? signal : WEXITSTATUS(status),
             signal == SIGALRM || signal == SIGXCPU ? " (time limit)" : "");
    *o = CRASH;
    return true;
}

static void finish(const Job *j, Outcome o, Mode mode, Backend backend, Totals *t) {
    t->count[o]++;
    t->plain += o == PASS && !strstr(j->item->name, "_expanded");
    t->second += o == PASS && j->report.sets > 1;
    table_add(&table, j->report.op, mode, backend, o);
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
    fprintf(stderr, "%s %s: %u of %u pass, %.0f s\n", mode_names[mode], backend_names[backend], t.count[PASS], n_items,
            t.seconds);
    return t;
}

/* ---- the command -------------------------------------------------------------------------------------------------------- */

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
            if (settings.second)
                snprintf(item->second, sizeof item->second, "%.200s/%.50s/%.250s", settings.second, group, list[k]->d_name);
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
            if ((strlen(names[i]) == length && strncmp(names[i], at, length) == 0) || strncmp(at, "all", length) == 0)
                chosen[i] = found = true;
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
    if ((v = value_of(a, "--table"))) return settings.table = v, true;
    if ((v = value_of(a, "--minimum"))) return settings.minimum = v, true;
    if ((v = value_of(a, "--cc"))) return settings.cc = v, true;
    if ((v = value_of(a, "--target"))) return settings.target = v, true;
    if ((v = value_of(a, "--every"))) return settings.every = (unsigned)atoi(v), settings.every > 0;
    if ((v = value_of(a, "--jobs"))) return settings.jobs = (unsigned)atoi(v), settings.jobs > 0 && settings.jobs <= MAX_JOBS;
    if ((v = value_of(a, "--timeout"))) return settings.timeout = (unsigned)atoi(v), true;
    if (strcmp(a, "--list-failures") == 0) return settings.list = true;
    if (strcmp(a, "--verbose") == 0) return settings.verbose = true;
    return false;
}

static void report(FILE *f, Totals totals[MODES][BACKENDS]) {
    table_print(&table, f, settings.modes, settings.backends);
    totals_print(totals, f, settings.modes, settings.backends);
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
            bad |= totals[m][b].count[CRASH] > 0;
            bad |= settings.minimum && !totals_reach(&totals[m][b], settings.minimum, (Mode)m, (Backend)b);
        }
    report(stdout, totals);
    FILE *f = settings.table ? fopen(settings.table, "w") : NULL;
    if (f) report(f, totals);
    bad |= settings.table && (!f || fclose(f) != 0);
    if (json) fclose(json);
    return bad;
}
