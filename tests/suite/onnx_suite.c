/* onnx_suite.c: runs ONNX's official backend tests through import and the Graph interpreter.
 *
 *   onnx_suite [--mode=static|symbolic|constant] [--filter=TEXT] [--timeout=S] [--verbose] FOLDER...
 *
 * FOLDER holds test_* folders with model.onnx and test_data_set_0/.  Every test is a process of its own, so that nothing
 * it does can end the run.  Modes: as the model declares; every input extent symbolic; every input a constant.
 * Comparison as in the official runner: dtype and shape exact, values within rtol 1e-3, atol 1e-7.
 * Prints a line per test that does not pass and a table by operator; exit status 0 if no test failed or crashed.
 */
#include "frontend.h"
#include "onnx/onnx.h"
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef enum Outcome { PASS, UNSUPPORTED, FAIL, CRASH, OUTCOMES } Outcome;
static const char *const outcome_names[] = {"pass", "unsupported", "FAIL", "CRASH"};
typedef struct Report { int outcome; char op[64]; char text[400]; } Report;
typedef struct Settings { int mode; const char *filter; unsigned timeout; bool verbose; } Settings;
enum { MODE_STATIC, MODE_SYMBOLIC, MODE_CONSTANT };

static bool read_tensor(Context *cx, const char *path, Tensor *t) {
    size_t n;
    const uint8_t *bytes = file_map(cx, path, &n);
    const OnnxTensor *proto = bytes ? onnx_tensor(cx, path, bytes, n) : NULL;
    uint64_t elements;
    if (!proto) return false;
    Const data = tensor_const(cx, (Loc){0}, proto, NULL);
    if (!data.id || !tensor_count(proto, &elements)) return false;
    *t = (Tensor){.dtype = dtype_by_onnx(proto->data_type), .rank = proto->n_dims};
    memcpy(t->dims, proto->dims, proto->n_dims * sizeof *proto->dims);
    uint8_t *at = arena_array(cx->arena, (size_t)dtype_bytes(t->dtype), elements + 1);
    for (uint64_t i = 0; i < elements; i++)
        scalar_store(t->dtype, at + i * (uint64_t)dtype_bytes(t->dtype), const_element(cx, data, i));
    t->data = at;
    return true;
}

static bool close_enough(DType t, Scalar a, Scalar b) {
    if (!dtype_is_float(t)) return a.u == b.u;
    if (isnan(a.f) || isnan(b.f)) return isnan(a.f) && isnan(b.f);
    if (isinf(a.f) || isinf(b.f)) return a.f == b.f;
    return fabs(a.f - b.f) <= 1e-7 + 1e-3 * fabs(b.f);
}

static bool compare(Report *r, const char *name, const Tensor *got, const Tensor *want) {
    if (got->dtype != want->dtype || got->rank != want->rank) {
        snprintf(r->text, sizeof r->text, "output '%s' is %s of rank %u, expected %s of rank %u", name, dtype_info[got->dtype].name, got->rank, dtype_info[want->dtype].name, want->rank);
        return false;
    }
    for (uint32_t i = 0; i < want->rank; i++)
        if (got->dims[i] != want->dims[i]) {
            snprintf(r->text, sizeof r->text, "output '%s' axis %u is %lld, expected %lld", name, i, (long long)got->dims[i], (long long)want->dims[i]);
            return false;
        }
    for (int64_t i = 0; i < tensor_elements(want); i++) {
        Scalar a = tensor_at(got, i), b = tensor_at(want, i);
        if (close_enough(want->dtype, a, b)) continue;
        if (dtype_is_float(want->dtype)) snprintf(r->text, sizeof r->text, "output '%s'[%lld] is %g, expected %g", name, (long long)i, a.f, b.f);
        else snprintf(r->text, sizeof r->text, "output '%s'[%lld] is %lld, expected %lld", name, (long long)i, (long long)a.i, (long long)b.i);
        return false;
    }
    return true;
}

static void first_error(Context *cx, Report *r) {
    for (uint32_t i = 0; i < diag_count(cx); i++) {
        const Diag *d = diag_at(cx, i);
        if (d->kind != DIAG_ERROR) continue;
        snprintf(r->text, sizeof r->text, "%s: %s", loc_string(cx, d->loc), d->text);
        return;
    }
}

/* The operator a test is about: of its only node, else of its last. */
static void name_op(const OnnxModel *m, const char *folder, Report *r) {
    const char *op = m->graph->n_nodes ? m->graph->nodes[m->graph->n_nodes - 1].op : "(none)";
    if (strstr(folder, "_expanded")) op = "(expanded)";
    snprintf(r->op, sizeof r->op, "%.60s", op);
}

static uint32_t load_inputs(Context *cx, const OnnxGraph *g, const char *folder, Tensor *inputs, const char **names) {
    char path[1024];
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        bool initialized = false;
        for (uint32_t k = 0; k < g->n_initializers; k++) initialized |= g->initializers[k].name == g->inputs[i].name;
        snprintf(path, sizeof path, "%s/test_data_set_0/input_%u.pb", folder, i);
        if (initialized && access(path, R_OK) != 0) continue;
        if (!read_tensor(cx, path, &inputs[n])) return UINT32_MAX;
        names[n++] = g->inputs[i].name;
    }
    return n;
}

static Outcome run_model(Context *cx, const Settings *set, const char *folder, Report *r) {
    char path[1024];
    size_t n;
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    const uint8_t *bytes = file_map(cx, path, &n);
    const OnnxModel *m = bytes ? onnx_model(cx, "model.onnx", bytes, n) : NULL;
    if (!m) return FAIL;
    name_op(m, folder, r);
    Tensor *inputs = arena_new_array(cx->arena, Tensor, m->graph->n_inputs + 1);
    const char **names = arena_new_array(cx->arena, const char *, m->graph->n_inputs + 1);
    uint32_t n_inputs = load_inputs(cx, m->graph, folder, inputs, names);
    ImportOptions options = {.symbolic_inputs = set->mode == MODE_SYMBOLIC, .external_folder = folder};
    ImportConstant *fixed = arena_new_array(cx->arena, ImportConstant, n_inputs == UINT32_MAX ? 0 : n_inputs);
    for (uint32_t i = 0; n_inputs != UINT32_MAX && i < n_inputs; i++)
        fixed[i] = (ImportConstant){names[i], inputs[i].dtype, inputs[i].rank, inputs[i].dims, inputs[i].data};
    if (set->mode == MODE_CONSTANT && n_inputs != UINT32_MAX) {
        options.constants = fixed;
        options.n_constants = n_inputs;
        n_inputs = 0;
    }
    Graph *g = onnx_import(cx, "model.onnx", bytes, n, &options);
    if (!g || n_inputs == UINT32_MAX) return UNSUPPORTED;
    if (set->verbose) {
        Text t = text_new(cx->arena);
        graph_print(g, &t, NULL);
        fprintf(stderr, "%s\n", t.at);
    }
    Tensor *outputs = arena_new_array(cx->arena, Tensor, g->results.n + 1);
    if (!interp_run(cx, cx->arena, g, inputs, n_inputs, outputs)) return FAIL;
    for (uint32_t i = 0; i < g->results.n; i++) {
        Tensor want;
        snprintf(path, sizeof path, "%s/test_data_set_0/output_%u.pb", folder, i);
        if (!read_tensor(cx, path, &want)) return FAIL;
        if (!compare(r, g->result_names.at[i], &outputs[i], &want)) return FAIL;
    }
    return PASS;
}

static void child(const Settings *set, const char *folder, int to) {
    static Report r;
    Limits limits = {.memory_bytes = UINT64_C(3) << 30};
    Context *cx = context_new(&limits);
    alarm(set->timeout);
    r.outcome = FAIL;
    if (context_enter(cx)) r.outcome = (int)run_model(cx, set, folder, &r);
    context_leave(cx);
    if (!r.text[0]) first_error(cx, &r);
    if (set->verbose)
        for (uint32_t i = 0; i < diag_count(cx); i++) fprintf(stderr, "%s: %s\n", loc_string(cx, diag_at(cx, i)->loc), diag_at(cx, i)->text);
    if (write(to, &r, sizeof r) != sizeof r) _exit(3);
    context_free(cx);
    _exit(0);
}

static Outcome run_test(const Settings *set, const char *folder, Report *r) {
    int ends[2], status;
    memset(r, 0, sizeof *r);
    if (pipe(ends) != 0) return CRASH;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        child(set, folder, ends[1]);
    }
    close(ends[1]);
    bool whole = read(ends[0], r, sizeof *r) == (ssize_t)sizeof *r;
    close(ends[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return CRASH;
    if (whole && WIFEXITED(status) && WEXITSTATUS(status) == 0) return (Outcome)r->outcome;
    snprintf(r->text, sizeof r->text, "ended by %s %d", WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (!r->op[0]) snprintf(r->op, sizeof r->op, "(crashed)");
    return CRASH;
}

typedef struct Row { char op[64]; unsigned count[OUTCOMES]; } Row;
static Row rows[512];
static unsigned n_rows;

static void tally(const Report *r, Outcome o) {
    unsigned i = 0;
    while (i < n_rows && strcmp(rows[i].op, r->op) != 0) i++;
    if (i == COUNT(rows)) return;
    if (i == n_rows) memcpy(rows[n_rows++].op, r->op, sizeof r->op);
    rows[i].count[o]++;
}

static int by_op(const void *a, const void *b) { return strcmp(((const Row *)a)->op, ((const Row *)b)->op); }

static int ordinary(const struct dirent *e) { return strncmp(e->d_name, "test_", 5) == 0; }

int main(int argc, char **argv) {
    Settings set = {.timeout = 20};
    unsigned total[OUTCOMES] = {0};
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        struct dirent **list;
        char folder[1024];
        Report r;
        if (strncmp(a, "--filter=", 9) == 0) set.filter = a + 9;
        else if (strncmp(a, "--timeout=", 10) == 0) set.timeout = (unsigned)atoi(a + 10);
        else if (strcmp(a, "--verbose") == 0) set.verbose = true;
        else if (strncmp(a, "--mode=", 7) == 0) set.mode = a[7] == 's' && a[8] == 'y' ? MODE_SYMBOLIC : a[7] == 'c' ? MODE_CONSTANT : MODE_STATIC;
        if (a[0] == '-') continue;
        int n = scandir(a, &list, ordinary, alphasort);
        for (int k = 0; k < n; k++) {
            if (!set.filter || strstr(list[k]->d_name, set.filter)) {
                snprintf(folder, sizeof folder, "%s/%s", a, list[k]->d_name);
                Outcome o = run_test(&set, folder, &r);
                total[o]++;
                tally(&r, o);
                if (o != PASS) printf("%-11s %s (%s): %s\n", outcome_names[o], list[k]->d_name, r.op, r.text);
            }
            free(list[k]);
        }
        if (n > 0) free(list);
    }
    qsort(rows, n_rows, sizeof *rows, by_op);
    printf("\n%-32s %5s %11s %5s %5s\n", "operator", "pass", "unsupported", "fail", "crash");
    for (unsigned i = 0; i < n_rows; i++) printf("%-32s %5u %11u %5u %5u\n", rows[i].op, rows[i].count[PASS], rows[i].count[UNSUPPORTED], rows[i].count[FAIL], rows[i].count[CRASH]);
    printf("%-32s %5u %11u %5u %5u\n", "all", total[PASS], total[UNSUPPORTED], total[FAIL], total[CRASH]);
    return total[FAIL] + total[CRASH] ? 1 : 0;
}
