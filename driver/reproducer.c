/* reproducer.c: after a BUG, what brings it about again: the graph of the stage that failed, behind comments that tell the
 * rest.
 *
 * job_end calls it when all else has been reported.  It writes no file: the text goes to the settings' callback, and without
 * one becomes a note.  The graph may be as large as the model, so it is printed under an entry of its own: if that fails too,
 * what is left is the text alone.  The same failure gives the same text.
 */
#include "compile.h"
#include <stdio.h>

typedef struct Reproducer {
    const char *stage;
    Text text, side;
    bool has_graph;
} Reproducer;

static void add_comment(Text *to, const char *title, const char *text) {
    text_add(to, "// %s: ", title);
    for (; *text; text++) text_add_n(to, *text == '\n' || *text == '\r' ? " " : text, 1);
    text_add(to, "\n");
}

static void add_model(Job *job, Text *to) {
    static const char *const kinds[] = {[INPUT_ONNX] = "ONNX", [INPUT_GRAPH] = "graph", [INPUT_LOOP] = "Loop IR"};
    Text line = text_new(job->cx->arena);
    if (!job->origin) return;
    text_add(&line, "%s (%s), %zu bytes; from %s, sha256 ", job->file, kinds[job->kind], job->n, job->origin);
    for (size_t i = 0; i < sizeof job->origin_sha256; i++) text_add(&line, "%02x", job->origin_sha256[i]);
    add_comment(to, "model", line.at);
}

static void add_settings(Job *job, Text *to) {
    const ingot_settings *s = &job->set;
    const struct { const char *title, *value;
    } rows[] = {{"name", job->name},     {"cpu", s->cpu},           {"backend", s->backend},       {"emit", s->emit},
                {"target", s->target},   {"numerics", s->numerics}, {"precision", s->precision},   {"schedule", s->schedule},
                {"weights", s->weights}, {"passes", s->passes},     {"stop after", s->stop_after}, {"donate", s->donate}};
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].value) add_comment(to, rows[i].title, rows[i].value);
    for (uint32_t i = 0; i < s->n_dims; i++) add_comment(to, "dim", s->dims[i]);
    for (uint32_t i = 0; i < s->n_constants; i++) add_comment(to, "constant input", s->constants[i].name);
    if (s->flags) text_add(to, "// flags: %u\n", s->flags);
}

static bool tell(Job *job, void *user) {
    Reproducer *r = user;
    r->text = text_new(job->cx->arena);
    add_comment(&r->text, "ingot " INGOT_VERSION " failed", job->cx->bug);
    if (r->stage) add_comment(&r->text, "stage", r->stage);
    add_model(job, &r->text);
    add_settings(job, &r->text);
    return true;
}

static bool show_graph(Job *job, void *user) {
    Reproducer *r = user;
    Text graph = text_new(job->cx->arena), side = text_new(job->cx->arena);
    graph_print(job->graph, &graph, &side);
    if (pass_find(r->stage)) text_add(&r->text, "// again: ingot compile THIS --passes=%s --emit=graph -o -\n", r->stage);
    else text_add(&r->text, "// again: ingot compile THIS, with the settings above; stage %s\n", r->stage);
    text_add_n(&r->text, graph.at, graph.n);
    r->side = side;
    r->has_graph = true;
    return true;
}

void give_reproducer(Job *job, const char *stage) {
    Reproducer r = {.stage = stage};
    const ingot_settings *s = &job->set;
    uint32_t before = diag_count(job->cx);
    bool ok = job_run(job, tell, &r);
    if (ok && job->graph && stage) job_run(job, show_graph, &r);
    diag_truncate(job->cx, before);
    job->ok = false;
    if (!ok) return;
    if (s->reproducer)
        s->reproducer(s->user, r.has_graph ? ".graph" : ".txt", r.text.at, r.text.n, r.side.n ? r.side.at : NULL, r.side.n);
    else if (s->diagnostic) s->diagnostic(s->user, INGOT_NOTE, "", r.text.at);
}
