/* explain.c: what a model consists of, and everything in it that ingot lacks, as text or JSON.
 *
 * The importer's table answers first, all at once; a model that imports goes on through the passes down to Loop IR, where
 * whatever is missing further on shows.  That trial is a job of its own: symbols belong to a Context, and importing twice
 * into one would rename them.
 */
#include "compile.h"
#include <string.h>

typedef struct Explain {
    bool json, missing, onnx;
    Job *trial;                  /* owns g; NULL where issues were found without it */
    OnnxExplanation is;
    VEC(OnnxIssue) issues;
    const Graph *g;
    uint32_t kernels;
    Text out;
} Explain;

static const char *const kind_names[] = {"operator", "opset", "dtype", "attribute", "use"};

/* Errors of the trial become issues. */
static void take_diagnostics(Job *job, Explain *e, Job *trial) {
    for (uint32_t i = 0; i < diag_count(trial->cx); i++) {
        const Diag *d = diag_at(trial->cx, i);
        if (d->kind != DIAG_ERROR) continue;
        const char **where = arena_new_array(job->cx->arena, const char *, 1);
        where[0] = loc_string(trial->cx, d->loc);
        vec_push(job->cx->arena, &e->issues, (OnnxIssue){ONNX_ISSUE_IMPORT, d->text, "", 0, 1, where, *where[0] != 0});
    }
}

static bool try_to_compile(Job *trial, void *user) {
    Explain *e = user;
    if (!job_open(trial)) return false;
    e->g = job_import(trial);
    const Graph *planned = e->g ? job_passes(trial, e->g) : NULL;
    HostFacts facts = {0};
    trial->graph = planned;
    job_progress(trial, "lower");
    LoopModule *m = planned && planned->plan ? lower_graph(trial->cx, planned, trial->name, &trial->tiers, &facts) : NULL;
    for (uint32_t i = 0; m && i < m->funcs.n; i++)
        e->kernels += m->funcs.at[i]->kind == LF_KERNEL && !m->funcs.at[i]->variant_of;
    return true;
}

/* ---- text ---------------------------------------------------------------------------------------------------------------- */

static void text_issues(Explain *e) {
    for (uint32_t i = 0; i < e->issues.n; i++) {
        const OnnxIssue *x = &e->issues.at[i];
        /* A diagnostic of the importer is a sentence of its own. */
        if (x->kind == ONNX_ISSUE_IMPORT) text_add(&e->out, "  %s", x->subject);
        else text_add(&e->out, "  %s %s", kind_names[x->kind], x->subject);
        if (x->opset) text_add(&e->out, " (opset %lld)", (long long)x->opset);
        if (x->count > 1) text_add(&e->out, ", %u times", x->count);
        const char *separator = ": ";
        for (uint32_t k = 0; k < x->n_nodes; k++) {
            if (!*x->nodes[k]) continue;
            text_add(&e->out, "%s%s", separator, x->nodes[k]);
            separator = ", ";
        }
        if (x->n_nodes < x->count) text_add(&e->out, ", ...");
        if (*x->detail) text_add(&e->out, "\n    known: %s", x->detail);
        text_add(&e->out, "\n");
    }
}

static void text_tensor(Explain *e, Val v, const char *name) {
    text_add(&e->out, "    %s: ", name);
    type_print(e->g->cx, &e->out, node(e->g, v)->type);
    text_add(&e->out, "\n");
}

static void text_graph(Explain *e) {
    const Graph *g = e->g;
    if (!g) return;
    text_add(&e->out, "  inputs\n");
    for (uint32_t i = 0; i < g->params.n; i++)
        text_tensor(e, g->params.at[i], node_attr(node(g, g->params.at[i]), ATTR_name)->as.text);
    text_add(&e->out, "  outputs\n");
    for (uint32_t i = 0; i < g->results.n; i++) text_tensor(e, g->results.at[i], g->result_names.at[i]);
}

static void explain_text(Job *job, Explain *e) {
    text_add(&e->out, "%s", job->file);
    if (e->onnx) {
        text_add(&e->out, ": ONNX IR %lld, opset %lld", (long long)e->is.ir_version, (long long)e->is.opset);
        if (e->is.producer && *e->is.producer) text_add(&e->out, ", from %s", e->is.producer);
        text_add(&e->out, "\n  %u nodes, %u initializers\n  operators", e->is.nodes, e->is.initializers);
        for (uint32_t i = 0; i < e->is.n_ops; i++)
            text_add(&e->out, "%s%s %u%s",
                     i % 8 ? ", "
                     : i   ? ",\n    "
                           : "\n    ",
                     e->is.ops[i].op, e->is.ops[i].count, e->is.ops[i].known ? "" : " (!)");
    }
    text_add(&e->out, "\n");
    text_graph(e);
    if (e->missing) {
        text_add(&e->out, "missing\n");
        text_issues(e);
    } else {
        text_add(&e->out, "everything is supported: %u kernels\n", e->kernels);
    }
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------------- */

static void json_text(Text *out, const char *s) {
    text_add(out, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') text_add(out, "\\%c", c);
        else if (c < 0x20) text_add(out, "\\u%04x", c);
        else text_add_n(out, s, 1);
    }
    text_add(out, "\"");
}

static void json_issues(Explain *e) {
    for (uint32_t i = 0; i < e->issues.n; i++) {
        const OnnxIssue *x = &e->issues.at[i];
        text_add(&e->out, "%s\n    {\"kind\": \"%s\", \"subject\": ", i ? "," : "", kind_names[x->kind]);
        json_text(&e->out, x->subject);
        text_add(&e->out, ", \"detail\": ");
        json_text(&e->out, x->detail);
        text_add(&e->out, ", \"opset\": %lld, \"count\": %u, \"nodes\": [", (long long)x->opset, x->count);
        for (uint32_t k = 0; k < x->n_nodes; k++) {
            text_add(&e->out, "%s", k ? ", " : "");
            json_text(&e->out, x->nodes[k]);
        }
        text_add(&e->out, "]}");
    }
}

static void json_tensor(Explain *e, Val v, const char *name, bool first) {
    Text type = text_new(e->g->cx->arena);
    type_print(e->g->cx, &type, node(e->g, v)->type);
    text_add(&e->out, "%s{\"name\": ", first ? "" : ", ");
    json_text(&e->out, name);
    text_add(&e->out, ", \"type\": ");
    json_text(&e->out, type.at);
    text_add(&e->out, "}");
}

static void explain_json(Job *job, Explain *e) {
    const Graph *g = e->g;
    text_add(&e->out, "{\n  \"file\": ");
    json_text(&e->out, job->file);
    text_add(&e->out, ",\n  \"supported\": %s,\n  \"kernels\": %u", e->missing ? "false" : "true", e->kernels);
    if (e->onnx) {
        text_add(&e->out, ",\n  \"ir_version\": %lld, \"opset\": %lld, \"nodes\": %u, \"initializers\": %u,\n  \"producer\": ",
                 (long long)e->is.ir_version, (long long)e->is.opset, e->is.nodes, e->is.initializers);
        json_text(&e->out, e->is.producer ? e->is.producer : "");
        text_add(&e->out, ",\n  \"operators\": [");
        for (uint32_t i = 0; i < e->is.n_ops; i++) {
            text_add(&e->out, "%s{\"op\": ", i ? ", " : "");
            json_text(&e->out, e->is.ops[i].op);
            text_add(&e->out, ", \"count\": %u, \"known\": %s}", e->is.ops[i].count, e->is.ops[i].known ? "true" : "false");
        }
        text_add(&e->out, "]");
    }
    text_add(&e->out, ",\n  \"inputs\": [");
    for (uint32_t i = 0; g && i < g->params.n; i++)
        json_tensor(e, g->params.at[i], node_attr(node(g, g->params.at[i]), ATTR_name)->as.text, i == 0);
    text_add(&e->out, "],\n  \"outputs\": [");
    for (uint32_t i = 0; g && i < g->results.n; i++) json_tensor(e, g->results.at[i], g->result_names.at[i], i == 0);
    text_add(&e->out, "],\n  \"missing\": [");
    json_issues(e);
    text_add(&e->out, "]\n}\n");
}

/* ---- the function -------------------------------------------------------------------------------------------------------- */

static bool survey(Job *job, void *user) {
    Explain *e = user;
    e->out = text_new(job->cx->arena);
    if (!job_open(job)) return false;
    e->onnx = job->kind == INPUT_ONNX;
    ImportOptions o = job_import_options(job);
    if (!e->onnx) return true;
    if (!onnx_explain(job->cx, job->file, job->bytes, job->n, &o, &e->is)) return false;
    for (uint32_t i = 0; i < e->is.n_issues; i++) vec_push(job->cx->arena, &e->issues, e->is.issues[i]);
    return true;
}

static bool report(Job *job, void *user) {
    Explain *e = user;
    if (e->trial) take_diagnostics(job, e, e->trial);
    e->missing = e->issues.n > 0;
    if (e->json) explain_json(job, e);
    else explain_text(job, e);
    return true;
}

/* What says nothing about the model: our bug, the machine, a budget, the settings. */
static bool says_nothing(ingot_status status) { return status != INGOT_OK && status != INGOT_E_MODEL; }

ingot_status ingot_explain(const ingot_input *in, const ingot_settings *settings, int32_t format,
                           void (*write)(void *user, const char *text, uint64_t n), void *user, ingot_error *err) {
    static const ingot_error missing = {INGOT_E_MODEL, "something in the model is not supported"};
    Job *job = job_begin(in, settings, NULL);
    Explain e = {.json = format == INGOT_JSON};
    if (job && job_run(job, survey, &e) && !e.issues.n && !(e.trial = job_begin(in, settings, NULL))) {
        job_free(job);
        job = NULL;
    }
    if (!job) {
        if (err) *err = (ingot_error){INGOT_E_SYSTEM, "out of memory"};
        return INGOT_E_SYSTEM;
    }
    if (e.trial) {
        job_run(e.trial, try_to_compile, &e);
        if (says_nothing(job_status(e.trial))) {
            job_free(job);
            return job_end(e.trial, false, err);
        }
    }
    if (job->ok && job_run(job, report, &e)) write(user, e.out.at, e.out.n);
    job_free(e.trial);
    ingot_status status = job_end(job, false, err);
    if (status || !e.missing) return status;
    if (err) *err = missing;
    return INGOT_E_MODEL;
}
