/* reference.c: the Graph interpreter behind `const ingot_model *`: slow, and right by definition.
 *
 * What `verify` compares with, and `run --backend=interpreter`.  No passes, no code.  One model is one Context, so runs of
 * its contexts take turns.  Outputs without memory are lent by the context.
 */
#include "compile.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Reference {
    const Graph *g;
    Job *job;
    pthread_mutex_t turn;
} Reference;
struct ingot_reference_context {
    Reference *reference;
    void **lent;             /* per output */
};
typedef struct ingot_reference_context ReferenceContext;

static ReferenceContext *of(ingot_context *c) { return (ReferenceContext *)(void *)c; }

/* The graph is found behind the model's private pointer, which generated code uses for its own facts. */
static Reference *reference_of(const ingot_model *m) { return (Reference *)(uintptr_t)m->own; }

static ingot_status answer(ingot_error *err, ingot_status code, const char *text) {
    if (err) {
        err->code = code;
        snprintf(err->text, sizeof err->text, "%s", text);
    }
    return code;
}

static ingot_status create(const ingot_model *m, const ingot_options *o, ingot_context **out, ingot_error *err) {
    (void)o;
    ReferenceContext *c = calloc(1, sizeof *c);
    *out = NULL;
    if (c) c->lent = calloc(reference_of(m)->g->results.n + 1, sizeof *c->lent);
    if (!c || !c->lent) {
        free(c);
        return answer(err, INGOT_E_MEMORY, "no memory for a context");
    }
    c->reference = reference_of(m);
    *out = (ingot_context *)(void *)c;
    return INGOT_OK;
}

static void destroy(ingot_context *context) {
    ReferenceContext *c = of(context);
    if (!c) return;
    for (uint32_t i = 0; i < c->reference->g->results.n; i++) free(c->lent[i]);
    free(c->lent);
    free(c);
}

static ingot_status reserve(ingot_context *c, uint32_t entry, const int64_t *symbols, ingot_error *err) {
    (void)c, (void)symbols;
    return entry ? answer(err, INGOT_E_ARG, "no such entry") : INGOT_OK;
}

static ingot_status take_inputs(const Graph *g, const ingot_call *call, Tensor *in, ingot_error *err) {
    char text[200];
    for (uint32_t i = 0; i < g->params.n; i++) {
        const TypeInfo *t = val_type(g, g->params.at[i]);
        const ingot_tensor *x = &call->inputs[i];
        const char *name = node_attr(node(g, g->params.at[i]), ATTR_name)->as.text;
        snprintf(text, sizeof text, "'%.100s' has dtype %x and rank %d, expected %x and %u", name, x->dtype, x->rank,
                 dtype_info[t->dtype].dlpack, t->rank);
        if (x->dtype != dtype_info[t->dtype].dlpack) return answer(err, INGOT_E_DTYPE, text);
        if (x->rank != (int32_t)t->rank) return answer(err, INGOT_E_SHAPE, text);
        in[i] = (Tensor){.dtype = t->dtype, .rank = t->rank, .data = x->data};
        memcpy(in[i].dims, x->dims, sizeof x->dims);
        int64_t bytes = tensor_elements(&in[i]) * dtype_bytes(t->dtype);
        snprintf(text, sizeof text, "'%.100s' has %llu bytes, expected %lld", name, (unsigned long long)x->bytes,
                 (long long)bytes);
        if (bytes < 0 || x->bytes < (uint64_t)bytes) return answer(err, INGOT_E_SHORT, text);
    }
    return INGOT_OK;
}

static ingot_status give_output(ReferenceContext *c, const ingot_call *call, uint32_t i, const Tensor *from, ingot_tensor *to,
                                ingot_error *err) {
    int64_t n = tensor_elements(from), each = dtype_bytes(from->dtype);
    uint64_t bytes = (uint64_t)(n * each);
    to->rank = (int32_t)from->rank;
    memcpy(to->dims, from->dims, sizeof to->dims);
    int64_t donor = graph_donor(c->reference->g, i);
    if (donor >= 0) {
        const ingot_tensor *in = &call->inputs[donor];
        if (to->data && to->data != in->data)
            return answer(err, INGOT_E_ARG, "an output lies elsewhere than the input that is donated to it");
        to->data = in->data, to->bytes = in->bytes;
    }
    if (!to->data) {
        free(c->lent[i]);
        if (!(to->data = c->lent[i] = malloc((size_t)bytes + 1))) return answer(err, INGOT_E_MEMORY, "no memory for an output");
        to->bytes = bytes;
    }
    if (to->bytes < bytes) return answer(err, INGOT_E_SHORT, "an output's memory is too small");
    for (int64_t k = 0; k < n; k++) scalar_store(from->dtype, (uint8_t *)to->data + k * each, tensor_at(from, k));
    return INGOT_OK;
}

typedef struct Run { ReferenceContext *c; const ingot_call *call; ingot_error *err; ingot_status status; } Run;

static bool interpret(Job *job, void *user) {
    Run *r = user;
    const Graph *g = r->c->reference->g;
    Arena *arena = arena_new(job->cx);
    Tensor *in = arena_new_array(arena, Tensor, g->params.n + 1), *out = arena_new_array(arena, Tensor, g->results.n + 1);
    job->cx->fuel_used = 0;
    r->status = take_inputs(g, r->call, in, r->err);
    bool ok = !r->status && interp_run(job->cx, arena, g, in, g->params.n, out);
    for (uint32_t i = 0; ok && i < g->results.n && !r->status; i++)
        r->status = give_output(r->c, r->call, i, &out[i], &r->call->outputs[i], r->err);
    arena_free(arena);
    return ok && !r->status;
}

static ingot_status run(ingot_context *context, const ingot_call *call, ingot_error *err) {
    Run r = {of(context), call, err, INGOT_OK};
    Reference *reference = r.c->reference;
    Job *job = reference->job;
    if (call->entry || call->n_inputs != reference->g->params.n || call->n_outputs != reference->g->results.n)
        return answer(err, INGOT_E_ARG, "wrong entry, or wrong number of inputs or outputs");
    pthread_mutex_lock(&reference->turn);
    uint32_t before = diag_count(job->cx);
    if (!job_run(job, interpret, &r) && !r.status) {
        const Diag *d = diag_at(job->cx, before);
        const char *where = loc_string(job->cx, d->loc);
        r.status = job->cx->bug ? INGOT_E_BUG : INGOT_E_SHAPE;
        job->cx->bug = NULL;
        if (err) {
            err->code = r.status;
            snprintf(err->text, sizeof err->text, "%s%s%s", where, *where ? ": " : "", d->text);
        }
    }
    diag_truncate(job->cx, before);
    pthread_mutex_unlock(&reference->turn);
    return r.status;
}

/* ---- what the model looks like ------------------------------------------------------------------------------------------ */

static const ingot_symbol *const *make_symbols(Context *cx, uint32_t *n) {
    const ingot_symbol **list = arena_new_array(cx->arena, const ingot_symbol *, symbol_count(cx) + 1);
    *n = 0;
    for (int found = 0; found < 2; found++)
        for (uint32_t i = 1; i <= symbol_count(cx); i++) {
            const SymbolInfo *s = symbol_info(cx, (Symbol){i});
            if (s->kind != (found ? SYMBOL_FOUND : SYMBOL_INPUT)) continue;
            ingot_symbol *to = arena_alloc(cx->arena, sizeof *to);
            *to = (ingot_symbol){sizeof *to, (uint32_t)found, s->name, s->min, s->max, s->multiple, s->hint};
            list[(*n)++] = to;
        }
    return list;
}

static int64_t dim_code(Context *cx, Dim d, const ingot_symbol *const *symbols, uint32_t n) {
    int64_t value;
    if (dim_const_value(cx, d, &value)) return value;
    for (uint32_t k = 0; k < n; k++)
        if (dim_same(d, dim_symbol(cx, symbol_find(cx, symbols[k]->name)))) return -1 - (int64_t)k;
    return INT64_MIN;
}

static const ingot_tensor_info *make_tensor(const Graph *g, Val v, const char *name, int64_t alias,
                                            const ingot_symbol *const *symbols, uint32_t n) {
    Context *cx = g->cx;
    const TypeInfo *t = val_type(g, v);
    int64_t *dims = arena_new_array(cx->arena, int64_t, t->rank + 1);
    const char **texts = arena_new_array(cx->arena, const char *, t->rank + 1);
    for (uint32_t d = 0; d < t->rank; d++) {
        dims[d] = dim_code(cx, t->dims[d], symbols, n);
        texts[d] = dim_string(cx, t->dims[d]);
    }
    ingot_tensor_info *to = arena_alloc(cx->arena, sizeof *to);
    *to = (ingot_tensor_info){sizeof *to, 0, name, dtype_info[t->dtype].dlpack, (int32_t)t->rank, (int32_t)alias, dims, texts};
    if (alias >= 0) to->flags = 2;
    return to;
}

static const ingot_entry *make_entry(const Graph *g, const ingot_symbol *const *symbols, uint32_t n) {
    Context *cx = g->cx;
    const ingot_tensor_info **in = arena_new_array(cx->arena, const ingot_tensor_info *, g->params.n + 1);
    const ingot_tensor_info **out = arena_new_array(cx->arena, const ingot_tensor_info *, g->results.n + 1);
    for (uint32_t i = 0; i < g->params.n; i++)
        in[i] = make_tensor(g, g->params.at[i], node_attr(node(g, g->params.at[i]), ATTR_name)->as.text, graph_alias(g, i),
                            symbols, n);
    for (uint32_t i = 0; i < g->results.n; i++)
        out[i] = make_tensor(g, g->results.at[i], g->result_names.at[i], graph_donor(g, i), symbols, n);
    ingot_entry *to = arena_alloc(cx->arena, sizeof *to);
    *to = (ingot_entry){sizeof *to, 0, "main", g->params.n, g->results.n, in, out};
    return to;
}

static void close_reference(InProcess *p) { pthread_mutex_destroy(&reference_of(&p->public)->turn); }

bool reference_load(Job *job, InProcess *to) {
    Context *cx = job->cx;
    const Graph *g = job_import(job);
    if (g && job->precision == PRECISION_f64) g = graph_widen(cx, g);
    if (!g) return false;
    Reference *r = arena_alloc(cx->arena, sizeof *r);
    r->g = g;
    r->job = job;
    if (pthread_mutex_init(&r->turn, NULL)) {
        diag_machine(cx, (Loc){0}, "cannot make a lock");
        return false;
    }
    ingot_model *m = &to->public;
    *m = (ingot_model){.size = sizeof *m, .abi = INGOT_ABI, .name = job->name, .compiler = "ingot " INGOT_VERSION,
                       .target = "interpreter", .cpu = "", .numerics = "reference", .licence = "",
                       .precision = job->precision == PRECISION_f64 ? "f64" : "f32", .alignment = 1,
                       .n_entries = 1, .create = create, .destroy = destroy, .reserve = reserve, .run = run};
    m->symbols = make_symbols(cx, &m->n_symbols);
    const ingot_entry **entries = arena_new_array(cx->arena, const ingot_entry *, 1);
    entries[0] = make_entry(g, m->symbols, m->n_symbols);
    m->entries = entries;
    cx->limits.fuel = UINT64_MAX / 2;
    to->public.own = r;
    to->close = close_reference;
    return true;
}
