/* suite_case.c: one case of the suite: its model imported as the mode says, run on its data sets, compared.
 *
 * Comparison as in the official runner: dtype and shape exact, |got - expected| <= atol + rtol |expected| with the case's own
 * tolerances (data.json of light models), else rtol 1e-3, atol 1e-7; NaN equals NaN.
 */
#include "suite.h"
#include "onnx/onnx.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PATH = 1024 };
typedef struct Tolerance { double relative, absolute; } Tolerance;
typedef struct Inputs { Tensor *at; const char **names; uint32_t n; } Inputs;

static bool read_tensor(Context *cx, const char *path, Tensor *t) {
    size_t n;
    const uint8_t *bytes = file_map(cx, path, &n);
    return bytes && onnx_read_tensor(cx, path, bytes, n, t);
}

/* The tensor in an OptionalProto; false where it holds none. */
static bool read_optional(Context *cx, const char *path, Tensor *t) {
    enum { TENSOR_VALUE = 3 };
    size_t n;
    Field field;
    const uint8_t *bytes = file_map(cx, path, &n);
    Wire wire = wire_open((Span){bytes, bytes ? n : 0});
    while (wire_next(&wire, &field))
        if (field_key(&field) == FIELD(TENSOR_VALUE, WIRE_BYTES))
            return onnx_read_tensor(cx, path, field.bytes.at, field.bytes.n, t);
    diag_error(cx, (Loc){0}, "the test gives an optional input no tensor, which a compiled model cannot be called with");
    return false;
}

static Tolerance read_tolerance(Context *cx, const char *folder) {
    char path[MAX_PATH];
    size_t n;
    Tolerance t = {1e-3, 1e-7};
    snprintf(path, sizeof path, "%s/data.json", folder);
    if (access(path, R_OK) != 0) return t;
    const char *text = (const char *)file_map(cx, path, &n);
    text = text ? arena_print(cx->arena, "%.*s", (int)n, text) : "";
    const char *r = strstr(text, "\"rtol\":"), *a = strstr(text, "\"atol\":");
    if (r) t.relative = strtod(r + 7, NULL);
    if (a) t.absolute = strtod(a + 7, NULL);
    return t;
}

/* ---- comparison ------------------------------------------------------------------------------------------------------- */

static bool close_enough(DType t, const Tolerance *tol, Scalar a, Scalar b) {
    if (!dtype_is_float(t)) return a.u == b.u;
    if (isnan(a.f) || isnan(b.f)) return isnan(a.f) && isnan(b.f);
    if (isinf(a.f) || isinf(b.f)) return a.f == b.f;
    return fabs(a.f - b.f) <= tol->absolute + tol->relative * fabs(b.f);
}

static bool compare(Report *r, const char *name, const Tolerance *tol, const Tensor *got, const Tensor *want) {
    if (got->dtype != want->dtype || got->rank != want->rank) {
        snprintf(r->text, sizeof r->text, "output '%s' is %s of rank %u, expected %s of rank %u", name,
                 dtype_info[got->dtype].name, got->rank, dtype_info[want->dtype].name, want->rank);
        return false;
    }
    for (uint32_t i = 0; i < want->rank; i++)
        if (got->dims[i] != want->dims[i]) {
            snprintf(r->text, sizeof r->text, "output '%s' axis %u is %lld, expected %lld", name, i, (long long)got->dims[i],
                     (long long)want->dims[i]);
            return false;
        }
    for (int64_t i = 0, n = tensor_elements(want); i < n; i++) {
        Scalar a = tensor_at(got, i), b = tensor_at(want, i);
        if (close_enough(want->dtype, tol, a, b)) continue;
        if (dtype_is_float(want->dtype))
            snprintf(r->text, sizeof r->text, "output '%s'[%lld] is %g, expected %g", name, (long long)i, a.f, b.f);
        else
            snprintf(r->text, sizeof r->text, "output '%s'[%lld] is %lld, expected %lld", name, (long long)i, (long long)a.i,
                     (long long)b.i);
        return false;
    }
    return true;
}

static void first_error(Context *cx, Report *r) {
    for (uint32_t i = 0; i < diag_count(cx); i++) {
        const Diag *d = diag_at(cx, i);
        if (d->kind != DIAG_ERROR) continue;
        snprintf(r->text, sizeof r->text, "%s%s%s", loc_string(cx, d->loc), d->loc.id ? ": " : "", d->text);
        return;
    }
}

/* ---- one case ----------------------------------------------------------------------------------------------------------- */

/* The operator a case is about: that of its last node; expanded functions are one row, light models have their own. */
static void name_op(const OnnxModel *m, const char *folder, Report *r) {
    const char *op = m->graph->n_nodes ? m->graph->nodes[m->graph->n_nodes - 1].op : "(none)";
    const char *light = strstr(folder, "/light/test_");
    if (strstr(folder, "_expanded")) op = "(expanded)";
    if (light) op = light + strlen("/light/test_");
    snprintf(r->op, sizeof r->op, "%.60s", op);
}

static bool load_inputs(Context *cx, const OnnxGraph *g, const char *folder, Inputs *in) {
    char path[MAX_PATH];
    *in = (Inputs){arena_new_array(cx->arena, Tensor, g->n_inputs + 1),
                   arena_new_array(cx->arena, const char *, g->n_inputs + 1), 0};
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        bool initialized = false;
        for (uint32_t k = 0; k < g->n_initializers; k++) initialized |= g->initializers[k].name == g->inputs[i].name;
        snprintf(path, sizeof path, "%s/input_%u.pb", folder, i);
        if (initialized && access(path, R_OK) != 0) continue;
        const OnnxType *type = g->inputs[i].type;
        bool optional = type->kind == ONNX_TYPE_OPTIONAL && type->inner && type->inner->kind == ONNX_TYPE_TENSOR;
        if (type->kind != ONNX_TYPE_TENSOR && !optional) continue; /* the import says what it thinks of it */
        if (!(optional ? read_optional(cx, path, &in->at[in->n]) : read_tensor(cx, path, &in->at[in->n]))) return false;
        in->names[in->n++] = g->inputs[i].name;
    }
    return true;
}

static bool run_set(Context *cx, Program *p, const Graph *g, const Inputs *in, const Tolerance *tol, const char *folder,
                    Report *r) {
    char path[MAX_PATH];
    Tensor *outputs = arena_new_array(cx->arena, Tensor, g->results.n + 1), want;
    if (in->n != g->params.n) {
        snprintf(r->text, sizeof r->text, "the data set has %u inputs, the model %u", in->n, g->params.n);
        return false;
    }
    if (!program_run(p, in->at, in->n, outputs)) return false;
    for (uint32_t i = 0; i < g->results.n; i++) {
        snprintf(path, sizeof path, "%s/output_%u.pb", folder, i);
        if (!read_tensor(cx, path, &want)) return false;
        if (!compare(r, g->result_names.at[i], tol, &outputs[i], &want)) return false;
    }
    r->sets++;
    return true;
}

static Graph *import(Context *cx, const Case *c, const uint8_t *bytes, size_t n, Inputs *in) {
    ImportOptions options = {.symbolic_inputs = c->mode == MODE_SYMBOLIC, .external_folder = c->folder};
    ImportConstant *fixed = arena_new_array(cx->arena, ImportConstant, in->n + 1);
    for (uint32_t i = 0; i < in->n; i++)
        fixed[i] = (ImportConstant){in->names[i], in->at[i].dtype, in->at[i].rank, in->at[i].dims, in->at[i].data};
    if (c->mode == MODE_CONSTANT) {
        options.constants = fixed;
        options.n_constants = in->n;
        in->n = 0;
    }
    return onnx_import(cx, "model.onnx", bytes, n, &options);
}

/* A folder with a model is a case of its own, no second sizes of one. */
static bool has_second(const Case *c) {
    char path[MAX_PATH];
    snprintf(path, sizeof path, "%s/model.onnx", c->second ? c->second : "");
    return c->second && access(c->second, R_OK) == 0 && access(path, R_OK) != 0;
}

static Outcome run_case(Context *cx, const Case *c, Report *r) {
    char path[MAX_PATH];
    size_t n;
    Inputs in;
    snprintf(path, sizeof path, "%s/model.onnx", c->folder);
    const uint8_t *bytes = file_map(cx, path, &n);
    const OnnxModel *m = bytes ? onnx_model(cx, "model.onnx", bytes, n) : NULL;
    if (!m) return FAIL;
    name_op(m, c->folder, r);
    snprintf(path, sizeof path, "%s/test_data_set_0", c->folder);
    if (!load_inputs(cx, m->graph, path, &in)) return UNSUPPORTED;
    Graph *g = import(cx, c, bytes, n, &in);
    if (!g) return UNSUPPORTED;
    if (c->verbose) {
        Text t = text_new(cx->arena), blob = text_new(cx->arena);
        graph_print(g, &t, &blob);
        fprintf(stderr, "%s\n", t.at);
    }
    Tolerance tol = read_tolerance(cx, c->folder);
    Program *p = program_make(cx, g, c);
    if (!p) return FAIL;
    for (uint32_t set = 0;; set++) {
        snprintf(path, sizeof path, "%s/test_data_set_%u", c->folder, set);
        if (set > 0 && (c->mode == MODE_CONSTANT || access(path, R_OK) != 0)) break;
        if (set > 0 && !load_inputs(cx, m->graph, path, &in)) return FAIL;
        if (!run_set(cx, p, g, &in, &tol, path, r)) return FAIL;
    }
    if (c->mode != MODE_SYMBOLIC || !has_second(c)) return PASS;
    bool ok = load_inputs(cx, m->graph, c->second, &in) && run_set(cx, p, g, &in, &tol, c->second, r);
    if (ok) return PASS;
    if (!r->text[0]) first_error(cx, r);
    const char *why = arena_print(cx->arena, "%.360s", r->text);
    snprintf(r->text, sizeof r->text, "second sizes: %s", why);
    return FAIL;
}

void case_run(const Case *c, Report *r) {
    Limits limits = {.memory_bytes = UINT64_C(2) << 30, .fuel = UINT64_C(1) << 36};
    Context *cx = context_new(&limits);
    *r = (Report){.outcome = FAIL};
    if (context_enter(cx)) r->outcome = (int32_t)run_case(cx, c, r);
    context_leave(cx);
    if (cx->bug && !r->text[0]) snprintf(r->text, sizeof r->text, "BUG: %s", cx->bug);
    if (cx->bug) r->outcome = CRASH;
    if (!r->text[0] && r->outcome != PASS) first_error(cx, r);
    for (uint32_t i = 0; c->verbose && i < diag_count(cx); i++)
        fprintf(stderr, "%s: %s\n", loc_string(cx, diag_at(cx, i)->loc), diag_at(cx, i)->text);
    context_free(cx);
}
