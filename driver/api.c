/* api.c: the functions of ingot.h.  Each is a job (job.c): begin, open, work under one context_enter, end.
 */
#include "compile.h"
#include <stdlib.h>
#include <string.h>

static ingot_status no_memory(ingot_error *err) {
    if (err) *err = (ingot_error){INGOT_E_SYSTEM, "out of memory"};
    return INGOT_E_SYSTEM;
}

/* ---- compiling ----------------------------------------------------------------------------------------------------------- */

static bool to_file(Job *job, void *user) {
    (void)user;
    return job_open(job) && emit_file(job);
}

ingot_status ingot_compile(const ingot_input *in, const ingot_settings *settings, const char *path, ingot_error *err) {
    Job *job = job_begin(in, settings, path);
    if (!job) return no_memory(err);
    job_run(job, to_file, NULL);
    return job_end(job, false, err);
}

typedef struct Memory { ingot_bytes *out, *side; } Memory;

static bool to_malloc(Job *job, const Text *from, ingot_bytes *to) {
    *to = (ingot_bytes){malloc(from->n + 1), from->n};
    if (!to->at) {
        diag_machine(job->cx, (Loc){0}, "out of memory for the output of %zu bytes", from->n);
        return false;
    }
    if (from->n) memcpy(to->at, from->at, from->n);
    ((char *)to->at)[from->n] = 0;
    return true;
}

static bool to_memory(Job *job, void *user) {
    Memory *m = user;
    Text out = text_new(job->cx->arena), side = text_new(job->cx->arena);
    return job_open(job) && emit_memory(job, &out, m->side ? &side : NULL) && to_malloc(job, &out, m->out) &&
           (!m->side || to_malloc(job, &side, m->side));
}

ingot_status ingot_compile_memory(const ingot_input *in, const ingot_settings *settings, ingot_bytes *out, ingot_bytes *side,
                                  ingot_error *err) {
    Job *job = job_begin(in, settings, NULL);
    if (!job) return no_memory(err);
    Memory m = {out, side};
    *out = (ingot_bytes){0};
    if (side) *side = (ingot_bytes){0};
    job_run(job, to_memory, &m);
    ingot_status status = job_end(job, false, err);
    if (!status) return status;
    free(out->at);
    *out = (ingot_bytes){0};
    if (side) {
        free(side->at);
        *side = (ingot_bytes){0};
    }
    return status;
}

void ingot_free(void *p) { free(p); }

/* ---- in process ---------------------------------------------------------------------------------------------------------- */

static bool load(Job *job, void *user) {
    if (!job_open(job)) return false;
    if (job->weights != WEIGHTS_embed) {
        diag_usage(job->cx, (Loc){0}, "weights of a model in this process are its own: place '%s' does not go with it",
                   job->set.weights);
        return false;
    }
    return job->backend == BACKEND_interpreter ? reference_load(job, user) : jit_load(job, user);
}

ingot_status ingot_jit(const ingot_input *in, const ingot_settings *settings, const ingot_model **out, ingot_error *err) {
    InProcess *p = calloc(1, sizeof *p);
    Job *job = p ? job_begin(in, settings, NULL) : NULL;
    *out = NULL;
    if (!job) {
        free(p);
        return no_memory(err);
    }
    p->job = job;
    job_run(job, load, p);
    ingot_status status = job_end(job, true, err);
    if (status) free(p);
    else *out = &p->public;
    return status;
}

ingot_status ingot_jit_file(const char *path, const ingot_settings *settings, const ingot_model **out, ingot_error *err) {
    ingot_input in = {.size = sizeof in, .path = path};
    return ingot_jit(&in, settings, out, err);
}

ingot_status ingot_jit_onnx(const void *bytes, uint64_t n, const ingot_settings *settings, const ingot_model **out,
                            ingot_error *err) {
    ingot_input in = {.size = sizeof in, .bytes = bytes, .n = n};
    return ingot_jit(&in, settings, out, err);
}

void ingot_jit_close(const ingot_model *model) {
    InProcess *p = (InProcess *)(uintptr_t)model;
    if (!p) return;
    p->close(p);
    job_free(p->job);
    free(p);
}

/* ---- dims and tensors --------------------------------------------------------------------------------------------------- */

typedef struct DimsQuery { const ingot_model *m; const ingot_tensor_info *t; const int64_t *symbols; int64_t *dims; } DimsQuery;

static bool evaluate_dims(Job *job, void *user) {
    DimsQuery *q = user;
    Context *cx = job->cx;
    int64_t *values = arena_new_array(cx->arena, int64_t, q->m->n_symbols + 1);
    for (uint32_t i = 0; i < q->m->n_symbols; i++) {
        Symbol s = symbol_new(
            cx, &(SymbolInfo){
                    .name = q->m->symbols[i]->name, .kind = SYMBOL_INPUT, .min = INT64_MIN, .max = INT64_MAX, .multiple = 1});
        values[s.id] = q->m->symbols[i]->flags & 1 ? 0 : q->symbols[i];
    }
    for (int32_t d = 0; d < q->t->rank; d++) {
        int64_t code = q->t->dims[d];
        const char *text = q->t->dim_text ? q->t->dim_text[d] : "?";
        q->dims[d] = code;
        if (code >= 0) continue;
        if (code != INT64_MIN) {
            q->dims[d] = q->symbols[-1 - code];
            continue;
        }
        Dim dim = dim_parse(cx, (Loc){0}, &text, false);
        if (!dim.id) return false;
        if (!dim_eval(cx, dim, values, &q->dims[d])) {
            diag_error(cx, (Loc){0}, "extent %s has no value at these sizes", q->t->dim_text[d]);
            return false;
        }
    }
    return true;
}

ingot_status ingot_input_dims(const ingot_model *m, uint32_t entry, uint32_t input, const int64_t *symbols, int64_t *dims,
                              ingot_error *err) {
    if (entry >= m->n_entries || input >= m->entries[entry]->n_inputs) {
        if (err) *err = (ingot_error){INGOT_E_ARG, "no such entry or input"};
        return INGOT_E_ARG;
    }
    Job *job = job_begin(NULL, NULL, NULL);
    if (!job) return no_memory(err);
    DimsQuery q = {m, m->entries[entry]->inputs[input], symbols, dims};
    job_run(job, evaluate_dims, &q);
    return job_end(job, false, err);
}

typedef struct TensorQuery { const void *bytes; uint64_t n; ingot_tensor *out; } TensorQuery;

static bool read_tensor(Job *job, void *user) {
    TensorQuery *q = user;
    Tensor t;
    if (!onnx_read_tensor(job->cx, "tensor", q->bytes, (size_t)q->n, &t)) return false;
    if (t.rank > 8) {
        diag_error(job->cx, (Loc){0}, "found a tensor of %u axes; at most 8 are read", t.rank);
        return false;
    }
    uint64_t bytes = (uint64_t)tensor_elements(&t) * (uint64_t)dtype_bytes(t.dtype);
    *q->out =
        (ingot_tensor){.data = malloc(bytes + 1), .bytes = bytes, .dtype = dtype_info[t.dtype].dlpack, .rank = (int32_t)t.rank};
    if (!q->out->data) {
        diag_machine(job->cx, (Loc){0}, "out of memory for a tensor of %llu bytes", (unsigned long long)bytes);
        return false;
    }
    memcpy(q->out->dims, t.dims, sizeof q->out->dims);
    memcpy(q->out->data, t.data, bytes);
    return true;
}

ingot_status ingot_read_tensor(const void *bytes, uint64_t n, ingot_tensor *out, ingot_error *err) {
    Job *job = job_begin(NULL, NULL, NULL);
    if (!job) return no_memory(err);
    TensorQuery q = {bytes, n, out};
    job_run(job, read_tensor, &q);
    return job_end(job, false, err);
}

static DType dtype_of(ingot_dtype code) {
    for (int t = 1; t < DT_COUNT; t++)
        if (dtype_info[t].dlpack == code) return (DType)t;
    return DT_none;
}

double ingot_element(ingot_dtype dtype, const void *at) {
    DType t = dtype_of(dtype);
    if (t == DT_none) return 0;
    Scalar s = scalar_load(t, at);
    return dtype_is_float(t) ? s.f : dtype_is_signed(t) ? (double)s.i : (double)s.u;
}

void ingot_set_element(ingot_dtype dtype, void *at, double value) {
    DType t = dtype_of(dtype);
    Scalar s;
    if (t == DT_none) return;
    if (dtype_is_float(t)) s.f = value;
    else s.i = (int64_t)value;
    scalar_store(t, at, scalar_wrap(t, s));
}

const char *ingot_dtype_name(ingot_dtype dtype) {
    DType t = dtype_of(dtype);
    return t == DT_none ? "?" : dtype_info[t].name;
}

const char *ingot_version(void) { return INGOT_VERSION; }
