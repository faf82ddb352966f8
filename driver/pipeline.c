/* pipeline.c: every pass, in order, with the reason for its place.
 *
 * Stands on top of everything: frontends give the graph that goes in, codegen/lower takes the planned graph that comes out.
 * The runner owns every aid: printing, stopping, timing, verifying and checking by interpretation.
 */
#define _GNU_SOURCE
#include "pipeline.h"
#include <string.h>
#include <time.h>

static const char *const order[] = {
    "canon",    /* imports are written as found: fold shapes' leftovers, merge, drop */
    "sink",     /* before anything looks for constants */
    "attend",   /* while a softmax can still be seen */
    "expand",   /* composites had their chance to be seen whole; orders of summation are fixed from here on */
    "permute",  /* layout: one permutation at each end of a CNN instead of two around every convolution */
    "align",    /* after layout, when filters lie along columns */
    "canon",    /* what met its inverse cancels; parameters of norms fold */
    "rescale",  /* numerics fast alone; after layout, when scales lie along columns */
    "winograd", /* likewise, with scales inside the filter; operands in bf16 are better summed as they are */
    "interleave", /* after layout, before constants are laid out in panels */
    "lines",    /* likewise; before what takes pairs of taps */
    "narrow",   /* precision bf16 alone; after layout, so that an operand is rounded where it is read */
    "bytes",    /* after layout, when filters lie along columns; what is left is packed as i32 */
    "pack",     /* after layout, so that filters are packed from where they lie */
    "canon",    /* unpacked originals are dead now */
    "regroup",  /* what shapes contractions and layout want is settled */
    "fuse",     /* kernels */
    "join",     /* now that it is known what is stored */
    "schedule", /* numbers, now that bodies are final */
    "together", /* the order of kernels, and where threads wait */
    "plan",     /* memory, now that it is known what runs when */
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Constants of a graph that is only shown are left out of its text: they may be gigabytes. */
static void say(Context *cx, const PipelineOptions *o, const char *pass, const Graph *before, const Graph *g, double ms) {
    bool whole = o->print_after && (strcmp(o->print_after, "all") == 0 || strcmp(o->print_after, pass) == 0);
    if (!o->print || (!whole && !o->time_passes)) return;
    Arena *arena = arena_new(cx);
    Text title = text_new(arena), text = text_new(arena), constants = text_new(arena);
    text_add(&title, "after %s", pass);
    if (graph_equal(before, g)) text_add(&title, " (unchanged)");
    if (o->time_passes) text_add(&title, ": %.1f ms, %u nodes", ms, g->nodes.n - 1);
    if (whole) graph_print(g, &text, &constants);
    o->print(o->user, title.at, whole ? text.at : NULL);
    arena_free(arena);
}

static bool dump(Context *cx, const PipelineOptions *o, uint32_t number, const char *pass, const Graph *g) {
    if (!o->dump_folder) return true;
    Arena *arena = arena_new(cx);
    Text text = text_new(arena), constants = text_new(arena);
    graph_print(g, &text, &constants);
    const char *path = arena_print(arena, "%s/%02u-%s.graph", o->dump_folder, number, pass);
    bool ok = file_write(cx, path, text.at, text.n, 0644) &&
              (!constants.n || file_write(cx, arena_print(arena, "%s.bin", path), constants.at, constants.n, 0644));
    arena_free(arena);
    return ok;
}

static const Graph *run_pass(Context *cx, const Graph *g, const PassInfo *pass, const PipelineOptions *o) {
    double start = now();
    if (o->progress) o->progress(o->user, pass->name, g);
    const Graph *out = pass->run(cx, g, o->tiers);
    if (out && o->schedule && pass == pass_find("schedule"))
        out = schedule_override(cx, out, o->tiers, o->schedule_file, o->schedule, o->schedule_bytes);
    if (!out) return NULL;
    say(cx, o, pass->name, g, out, now() - start);
    if (o->verify_each && !graph_verify(out)) {
        diag_note(cx, (Loc){0}, "the graph is not well-formed after pass %s", pass->name);
        return NULL;
    }
    bool rounds = pass == pass_find("narrow"); /* to bf16: nothing to compare closely */
    return o->check_each && !rounds && !check_pass(cx, g, out, pass->name) ? NULL : out;
}

typedef VEC(const PassInfo *) Passes;

static const PassInfo *find_pass(Context *cx, const char *name, const char *purpose) {
    const PassInfo *pass = pass_find(name);
    if (pass) return pass;
    const char **names = arena_new_array(cx->arena, const char *, n_passes);
    Text known = text_new(cx->arena);
    for (uint32_t i = 0; i < n_passes; i++) {
        names[i] = pass_info[i].name;
        text_add(&known, " %s", names[i]);
    }
    const char *close = closest_word(name, names, n_passes);
    diag_usage(cx, (Loc){0}, "no pass '%s' to %s%s%s%s; passes:%s", name, purpose, close ? " (did you mean '" : "",
               close ? close : "", close ? "'?)" : "", known.at);
    return NULL;
}

/* Passes that change bits run where they are asked for. */
static bool wanted(const PipelineOptions *o, const char *pass) {
    if (strcmp(pass, "winograd") == 0) return o->fast && !o->bf16;
    return strcmp(pass, "narrow") == 0 || strcmp(pass, "lines") == 0 ? o->bf16 : strcmp(pass, "rescale") == 0 ? o->fast : true;
}

static bool choose_passes(Context *cx, const PipelineOptions *o, Passes *to) {
    if (o->passes) {
        for (const char *at = o->passes; *at;) {
            size_t n = strcspn(at, ",");
            const PassInfo *pass = find_pass(cx, intern_n(cx, at, n), "run");
            if (!pass) return false;
            vec_push(cx->arena, to, pass);
            at += n + (at[n] == ',');
        }
        return true;
    }
    uint32_t last = COUNT(order);
    if (o->stop_after) {
        if (!find_pass(cx, o->stop_after, "stop after")) return false;
        while (last > 0 && strcmp(order[last - 1], o->stop_after) != 0) last--;
    }
    for (uint32_t i = 0; i < last; i++)
        if (wanted(o, order[i])) vec_push(cx->arena, to, pass_find(order[i]));
    return true;
}

bool pipeline_check(Context *cx, const PipelineOptions *o) {
    Passes chosen = {0};
    if (o->print_after && strcmp(o->print_after, "all") != 0 && !find_pass(cx, o->print_after, "print after")) return false;
    return choose_passes(cx, o, &chosen);
}

static bool has_kernels(const Graph *g) {
    for (uint32_t i = 1; i < g->nodes.n; i++)
        if (g->nodes.at[i].op == OP_kernel) return true;
    return false;
}

/* These make kernels, or expect none. */
static bool before_kernels(const PassInfo *pass) {
    static const char *const behind[] = {"join", "schedule", "together", "plan"};
    for (uint32_t i = 0; i < COUNT(behind); i++)
        if (pass == pass_find(behind[i])) return false;
    return true;
}

static bool may_override(Context *cx, const Passes *passes, const Graph *g, const PipelineOptions *o) {
    bool runs = false;
    for (uint32_t i = 0; i < passes->n; i++) runs |= passes->at[i] == pass_find("schedule");
    if (!o->schedule || (runs && !g->plan)) return true;
    diag_usage(cx, (Loc){0}, "%s has nothing to override: %s", o->schedule_file,
               g->plan ? "the graph is planned already, its schedules are in its text" : "pass schedule does not run");
    return false;
}

const Graph *pipeline_graph(Context *cx, const Graph *g, const PipelineOptions *o) {
    Passes passes = {0};
    if (!choose_passes(cx, o, &passes) || !dump(cx, o, 0, "input", g)) return NULL;
    /* A graph that was printed on the way and read back goes on from there; one that is planned goes straight through. */
    bool fused = !o->passes && has_kernels(g);
    if (!may_override(cx, &passes, g, o)) return NULL;
    for (uint32_t i = 0; i < passes.n && !g->plan; i++) {
        if (fused && before_kernels(passes.at[i])) continue;
        g = run_pass(cx, g, passes.at[i], o);
        if (!g || !dump(cx, o, i + 1, passes.at[i]->name, g)) return NULL;
    }
    return g;
}
