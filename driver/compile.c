/* compile.c: a model to a complete Loop module: import or parse, passes, lowering, interface.
 *
 * Everything that the artifact depends on is in the module when this is done (settings as notes), so that printing it,
 * reading it back and emitting it gives the same bytes as emitting it at once.
 */
#include "compile.h"
#include <stdio.h>
#include <string.h>

static void say(void *user, const char *title, const char *text) {
    Job *job = user;
    if (job->set.text) job->set.text(job->set.user, title, text);
}
static void progress(void *user, const char *stage, const Graph *before) {
    ((Job *)user)->graph = before;
    job_progress(user, stage);
}

static bool constants(Job *job, ImportOptions *o) {
    ImportConstant *to = arena_new_array(job->cx->arena, ImportConstant, job->set.n_constants);
    for (uint32_t i = 0; i < job->set.n_constants; i++) {
        const ingot_constant *c = &job->set.constants[i];
        DType dtype = DT_none;
        for (int t = 1; t < DT_COUNT; t++)
            if (dtype_info[t].dlpack == c->tensor.dtype) dtype = (DType)t;
        if (dtype == DT_none || c->tensor.rank < 0 || c->tensor.rank > 8) {
            diag_error(job->cx, (Loc){0}, "constant '%s' has an unknown dtype or rank", c->name);
            return false;
        }
        to[i] = (ImportConstant){c->name, dtype, (uint32_t)c->tensor.rank, c->tensor.dims, c->tensor.data};
    }
    o->constants = to;
    o->n_constants = job->set.n_constants;
    return true;
}

ImportOptions job_import_options(Job *job) {
    return (ImportOptions){.dims = job->set.dims,
                           .n_dims = job->set.n_dims,
                           .symbolic_inputs = (job->set.flags & INGOT_SYMBOLIC) != 0,
                           .external_folder = job->folder};
}

/* Settings that only an ONNX model can take. */
static bool refuse_import_settings(Job *job) {
    bool declares = job->set.n_dims && !job->set.donate; /* else of capacities */
    if (!declares && !job->set.n_constants && !(job->set.flags & INGOT_SYMBOLIC)) return true;
    diag_usage(job->cx, (Loc){0},
               "%s is text IR, whose dims are fixed in its text: dims, constants and symbolic inputs apply to ONNX models",
               job->file);
    return false;
}

/* Declared dims that the model has not (used) are capacities. */
static const Graph *donate_all(Job *job, const Graph *g, Donations all, bool *used) {
    uint32_t n = job->set.n_dims;
    SymbolInfo *ranges = arena_new_array(job->cx->arena, SymbolInfo, n + 1);
    for (uint32_t i = 0; i < n; i++)
        if (!symbol_declaration(job->cx, job->set.dims[i], &ranges[i])) return NULL;
    all.ranges = ranges, all.used = used, all.n_ranges = n;
    const Graph *to = graph_donate(job->cx, g, &all);
    for (uint32_t i = 0; to && i < n; i++)
        if (!used[i]) {
            diag_usage(job->cx, (Loc){0}, "'%s': neither the model nor a donated cache has a dim of that name",
                       job->set.dims[i]);
            return NULL;
        }
    return to;
}

/* "k=past_k,v=past_v".  Only graphs as they are imported have concatenations to look for. */
static const Graph *donate(Job *job, const Graph *g, bool *used) {
    Arena *arena = job->cx->arena;
    VEC(Donation) all = {0};
    for (const char *at = job->set.donate; *at;) {
        size_t n = strcspn(at, ",");
        const char *eq = memchr(at, '=', n);
        if (!eq || eq == at || eq + 1 == at + n) {
            diag_usage(job->cx, (Loc){0}, "--donate=%s: expected OUT=IN,.. such as k=past_k,v=past_v", job->set.donate);
            return NULL;
        }
        const char *in = intern_n(job->cx, eq + 1, (size_t)(at + n - eq - 1));
        vec_push(arena, &all, (Donation){intern_n(job->cx, at, (size_t)(eq - at)), in});
        at += n + (at[n] == ',');
    }
    const Graph *folded = pass_find("canon")->run(job->cx, g, &job->tiers); /* shapes' leftovers hide slices */
    return folded ? donate_all(job, folded, (Donations){.at = all.at, .n = all.n}, used) : NULL;
}

static const Graph *import(Job *job, bool *used) {
    job_progress(job, "import");
    if (job->kind == INPUT_GRAPH) { /* text, whose schedules and plan may be anything */
        if (!refuse_import_settings(job)) return NULL;
        const Graph *g = graph_parse(job->cx, job->file, (const char *)job->bytes, job->n, job->side, job->side_n);
        if (!g || graph_verify(g)) return g;
        diag_note(job->cx, (Loc){0}, "the graph in %s is not well-formed", job->file);
        return NULL;
    }
    if (job->kind == INPUT_LOOP) {
        diag_usage(job->cx, (Loc){0}, "%s is Loop IR: there is no graph in it", job->file);
        return NULL;
    }
    ImportOptions o = job_import_options(job);
    o.dims_used = used;
    return constants(job, &o) ? onnx_import(job->cx, job->file, job->bytes, job->n, &o) : NULL;
}

/* Products of integers are of 8 bits, as a rule: the default list gets the tier that has instructions for them.  Of one tier
 * alone, for code in this process, the best. */
static bool serve_integers(Job *job) {
    Tiers tiers;
    if (!tiers_parse(job->cx, "v3,v4,v4-vnni", NULL, &tiers)) return false;
    job->tiers = job->tiers.n == 1 ? tiers_of(cpu_best(job->cx->arena, &tiers)) : tiers;
    return true;
}

static bool sums_integers(const Graph *g) {
    for (uint32_t i = 1; i < g->nodes.n; i++)
        if (op_info[g->nodes.at[i].op].kind == KIND_CONTRACT && val_dtype(g, (Val){i}) == DT_i32) return true;
    return false;
}

const Graph *job_import(Job *job) {
    bool *used = job->set.donate ? arena_new_array(job->cx->arena, bool, job->set.n_dims + 1) : NULL;
    const Graph *g = import(job, used);
    bool by_default = !job->set.cpu && job->precision != PRECISION_bf16; /* its own list has such a tier */
    if (g && by_default && sums_integers(g) && !serve_integers(job)) return NULL;
    return g && used ? donate(job, g, used) : g;
}

static PipelineOptions pipeline_options(Job *job) {
    uint32_t flags = job->set.flags;
    return (PipelineOptions){.tiers = &job->tiers,
                             .fast = job->fast,
                             .bf16 = job->precision == PRECISION_bf16,
                             .print_after = job->set.print_after,
                             .stop_after = job->set.stop_after,
                             .passes = job->set.passes,
                             .schedule_file = job->set.schedule,
                             .schedule = job->schedule,
                             .schedule_bytes = job->schedule_n,
                             .dump_folder = job->set.dump_folder,
                             .print = say,
                             .progress = progress,
                             .user = job,
                             .verify_each = INGOT_VERIFY_EACH || (flags & INGOT_VERIFY),
                             .check_each = (flags & INGOT_CHECK) != 0,
                             .time_passes = (flags & INGOT_TIME) != 0};
}

bool job_check_passes(Job *job) {
    PipelineOptions o = pipeline_options(job);
    return pipeline_check(job->cx, &o);
}

const Graph *job_passes(Job *job, const Graph *g) {
    PipelineOptions o = pipeline_options(job);
    return pipeline_graph(job->cx, g, &o);
}

/* An intermediate text names the model it came from, so that the library made from it does too, whatever the route. */
void job_origin(Job *job, Text *to) {
    if ((job->kind != INPUT_ONNX && strcmp(job->origin, job->file) == 0) || strchr(job->origin, '\n')) return;
    text_add(to, ORIGIN_COMMENT);
    for (size_t i = 0; i < sizeof job->origin_sha256; i++) text_add(to, "%02x", job->origin_sha256[i]);
    text_add(to, " %s\n", job->origin);
}

/* ---- the module ---------------------------------------------------------------------------------------------------------- */

/* How constants are packed, whatever their values: weights of one layout can be exchanged. */
static uint64_t hash_layout(const Graph *g, uint64_t h) {
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        const Node *n = &g->nodes.at[i];
        for (uint32_t a = 0; a < n->n_attrs; a++) {
            const Attr *attr = &n->attrs[a];
            if (attr_info[attr->key].type == AT_GRAPH) h = hash_layout(attr->as.graph, h);
            if (attr_info[attr->key].type != AT_CONST) continue;
            const ConstInfo *c = const_info(g->cx, attr->as.data);
            h = hash_mix(h, (uint64_t)c->dtype << 32 | (uint64_t)c->encoding << 8 | c->splat);
            h = hash_mix(h, c->splat ? 0 : c->elements);
        }
    }
    return h;
}

static void add_note(LoopModule *m, const char *key, const char *text) {
    vec_push(m->arena, &m->notes, (LNote){intern(m->cx, key), intern(m->cx, text)});
}

static bool add_interface(Job *job, LoopModule *m, const Graph *g, const HostFacts *facts) {
    static const char *const places[] = {"embed", "file", "extern"};
    uint64_t layout = hash_layout(g, 1);
    InterfaceOptions o = {.model_file = job->origin,
                          .numerics = job->fast ? "fast" : NULL,
                          .precision = job->precision == PRECISION_f32 ? NULL : precision_names[job->precision],
                          .weights_layout = layout ? layout : 1,
                          .weights = job->weights == WEIGHTS_embed ? WEIGHTS_EMBEDDED : WEIGHTS_OUTSIDE,
                          .threads = (job->set.flags & INGOT_THREADS) != 0,
                          .bare = (job->set.flags & INGOT_BARE) != 0,
                          .profile = facts->profile,
                          .shared = true}; /* outputs that are no shared library leave the getter out: emit.c */
    memcpy(o.model_sha256, job->origin_sha256, sizeof o.model_sha256);
    o.n_tests = job->set.self_tests;
    if (!o.bare && !(o.tests = job_self_tests(job))) return false;
    if (!artifact_interface(m, g, facts, &o)) return false;
    add_note(m, "name", job->name);
    add_note(m, "weights", places[job->weights]);
    add_note(m, "weights_layout", arena_print(m->arena, "%016llx", (unsigned long long)o.weights_layout));
    if (o.bare) add_note(m, "bare", "1");
    return true;
}

/* A module that was printed: its settings are fixed. */
static LoopModule *read_module(Job *job) {
    uint32_t fixed = INGOT_THREADS | INGOT_BARE | INGOT_PROFILE;
    if (!refuse_import_settings(job)) return NULL;
    if ((job->set.flags & fixed) || job->set.cpu || job->set.target || job->set.weights || job->set.name ||
        job->set.self_tests || job->set.schedule || job->set.precision || job->fast) {
        diag_usage(
            job->cx, (Loc){0},
            "%s is Loop IR: name, target, cpu, threads, precision, place of weights, schedules, profile and self-tests are "
            "fixed in it",
            job->file);
        return NULL;
    }
    LoopModule *m = loop_parse(job->cx, job->file, (const char *)job->bytes, job->n, job->side, job->side_n);
    if (m && !m->tiers.n) {
        diag_error(job->cx, (Loc){0}, "%s names no target; expected loop @name target \"x86-64-v3\"", job->file);
        return NULL;
    }
    return m;
}

LoopModule *job_module(Job *job) {
    LoopModule *m = NULL;
    if (job->kind == INPUT_LOOP) {
        job_progress(job, "parse");
        m = read_module(job);
    } else {
        const Graph *g = job_import(job);
        if (!g || !(g = job_passes(job, g))) return NULL;
        if (!g->plan) {
            diag_usage(job->cx, (Loc){0}, "the graph after %s cannot become code: only --emit=graph and dot go with it",
                       job->set.stop_after ? "--stop-after" : "--passes");
            return NULL;
        }
        HostFacts facts = {.profile = (job->set.flags & INGOT_PROFILE) != 0};
        job->graph = g;
        job_progress(job, "lower");
        m = lower_graph(job->cx, g, job->name, &job->tiers, &facts);
        if (m && !add_interface(job, m, g, &facts)) return NULL;
    }
    if (!m) return NULL;
    if (!loop_verify(m)) {
        if (job->kind != INPUT_LOOP)
            diag_note(job->cx, (Loc){0}, "the Loop IR made from %s is not well-formed: please report this", job->file);
        return NULL;
    }
    loop_renumber(m);
    return m;
}
