/* pipeline.c: every pass, in order, with the reason for its place.
 *
 * Stands on top of everything: frontends give the graph that goes in, codegen/lower takes the planned graph that comes out.
 * The runner owns every aid: printing, stopping, timing, verifying and checking by interpretation.
 */
#include "pipeline.h"
#include <string.h>
#include <time.h>

static const char *const order[] = {
    "canon",    /* imports are written as found: fold shapes' leftovers, merge, drop */
    "expand",   /* composites had their chance to be seen whole; orders of summation are fixed from here on */
    "permute",  /* layout: one permutation at each end of a CNN instead of two around every convolution */
    "canon",    /* what met its inverse cancels; parameters of norms fold */
    "pack",     /* after layout, so that filters are packed from where they lie */
    "canon",    /* unpacked originals are dead now */
    "fuse",     /* kernels */
    "schedule", /* numbers, now that bodies are final */
    "plan",     /* memory, now that kernels are final */
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void say(Context *cx, const PipelineOptions *o, const char *pass, const Graph *before, const Graph *g, double ms) {
    if (!o->print) return;
    Text title = text_new(cx->arena);
    text_add(&title, "after %s", pass);
    if (graph_equal(before, g)) text_add(&title, " (unchanged)");
    if (o->time_passes) text_add(&title, ": %.1f ms, %u nodes", ms, g->nodes.n - 1);
    bool whole = o->print_after && (strcmp(o->print_after, "all") == 0 || strcmp(o->print_after, pass) == 0);
    if (!whole && !o->time_passes) return;
    Text text = text_new(cx->arena);
    if (whole) graph_print(g, &text, NULL);
    o->print(o->user, title.at, whole ? text.at : NULL);
}

static const Graph *run_pass(Context *cx, const Graph *g, const PassInfo *pass, const PipelineOptions *o) {
    double start = now();
    if (o->progress) o->progress(o->user, pass->name);
    const Graph *out = pass->run(cx, g, o->target);
    if (!out) return NULL;
    say(cx, o, pass->name, g, out, now() - start);
    if (o->verify_each && !graph_verify(out)) {
        diag_note(cx, (Loc){0}, "the graph is not well-formed after pass %s", pass->name);
        return NULL;
    }
    return o->check_each && !check_pass(cx, g, out, pass->name) ? NULL : out;
}

const Graph *pipeline_graph(Context *cx, const Graph *g, const PipelineOptions *o) {
    uint32_t last = COUNT(order);
    if (o->stop_after) {
        while (last > 0 && strcmp(order[last - 1], o->stop_after) != 0) last--;
        if (!last) {
            diag_error(cx, (Loc){0}, "no pass '%s' to stop after; passes: canon expand permute pack fuse schedule plan", o->stop_after);
            return NULL;
        }
    }
    /* A graph that already is planned (printed after plan, read back) goes straight through. */
    for (uint32_t i = 0; i < last && !g->plan; i++)
        if (!(g = run_pass(cx, g, pass_find(order[i]), o))) return NULL;
    return g;
}
