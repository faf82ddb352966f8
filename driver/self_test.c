/* self_test.c: the runs that an artifact repeats when asked: seeds, sizes, and the hash of the outputs.
 *
 * The model is compiled once more, into this process, and run: results have the same bits whatever backend, tier or number of
 * threads computes them, so what comes out here is what the artifact must give anywhere.  A job of its own does it, since
 * symbols belong to a Context.  Sizes that the model refuses (guards, indices out of range) are passed over.
 */
#include "compile.h"
#include <string.h>

static const int64_t sizes_tried[] = {0 /* the hint */, 1, 2, 7, 17, 3, 5, 8, 64, 512};

typedef struct Trial {
    Job *job;                /* whose tests they become */
    const ingot_model *m;
    ingot_context *context;
} Trial;

static void close_trial(void *resource) {
    Trial *t = resource;
    if (t->context) t->m->destroy(t->context);
    ingot_jit_close(t->m);
}

static bool open_trial(Trial *t) {
    Job *job = t->job;
    ingot_settings set = job->set;
    ingot_error err = {0};
    context_defer(job->cx, close_trial, t);
    set.flags &= ~(uint32_t)(INGOT_THREADS | INGOT_TIME | INGOT_CHECK);
    set.weights = set.emit = set.print_after = set.dump_folder = NULL;
    set.diagnostic = NULL, set.text = NULL, set.progress = NULL, set.reproducer = NULL;
    set.self_tests = 0;
    ingot_status status = ingot_jit(&job->in, &set, &t->m, &err);
    if (!status) status = t->m->create(t->m, NULL, &t->context, &err);
    if (!status) return true;
    diag_machine(job->cx, (Loc){0}, "self-tests are computed by running the model on this machine, which failed: %s", err.text);
    return false;
}

static int64_t fit(const ingot_symbol *s, int64_t value) {
    if (value == 0) value = s->hint > 0 ? s->hint : 3;
    if (value < s->min) value = s->min;
    if (s->multiple > 1) value = (value + s->multiple - 1) / s->multiple * s->multiple;
    return value <= s->max ? value : s->multiple > 1 ? s->max / s->multiple * s->multiple : s->max;
}

/* Elements of inputs that are sizes must be these sizes. */
static void set_elements(Trial *t, const int64_t *symbols, SelfTest *test) {
    const Graph *g = ((const InProcess *)(const void *)t->m)->job->graph;
    int64_t *sets = arena_new_array(t->job->cx->arena, int64_t, 3 * g->bindings.n + 1);
    for (uint32_t i = 0; i < g->bindings.n; i++) {
        const SymbolBinding *b = &g->bindings.at[i];
        if (b->value.id) continue; /* follows from others */
        const char *name = symbol_info(g->cx, b->symbol)->name;
        const ingot_tensor_info *info = t->m->entries[0]->inputs[b->param];
        uint32_t k = 0;
        while (k < t->m->n_symbols && strcmp(t->m->symbols[k]->name, name) != 0) k++;
        if (k == t->m->n_symbols || (t->m->symbols[k]->flags & 1)) continue;
        bool real = (info->dtype & 0xFF) == 2 || (info->dtype & 0xFF) == 4;
        int64_t *set = sets + 3 * test->n_sets++;
        set[0] = b->param, set[1] = (int64_t)b->element;
        ingot_set_element(info->dtype, &set[2], real ? (double)symbols[k] / ELEMENT_SCALE : (double)symbols[k]);
    }
    test->sets = sets;
}

/* Everything but the hash; false where the sizes are none. */
static bool describe(Trial *t, const int64_t *symbols, SelfTest *test, ingot_error *err) {
    Arena *arena = t->job->cx->arena;
    const ingot_entry *e = t->m->entries[0];
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->n_inputs; i++) n += (uint32_t)e->inputs[i]->rank;
    int64_t *dims = arena_new_array(arena, int64_t, n + 8), elements;
    test->dims = dims;
    for (uint32_t i = 0; i < e->n_inputs; i++) {
        if (ingot_input_dims(t->m, 0, i, symbols, dims, err)) return false;
        elements = 8;
        for (int32_t d = 0; d < e->inputs[i]->rank; d++)
            if (dims[d] < 0 || !ck_mul(elements, dims[d], &elements) || elements > INT64_C(1) << 36) return false;
        dims += e->inputs[i]->rank;
    }
    test->n_dims = n;
    ingot_tensor *outputs = arena_new_array(arena, ingot_tensor, e->n_outputs + 1);
    int64_t *bytes = arena_new_array(arena, int64_t, e->n_outputs + 1);
    ingot_plan plan = {.size = sizeof plan, .n_outputs = e->n_outputs, .outputs = outputs};
    if (t->m->query(t->m, 0, symbols, &plan, err)) return false;
    for (uint32_t i = 0; i < e->n_outputs; i++) bytes[i] = (int64_t)outputs[i].bytes;
    test->output_bytes = bytes;
    test->n_sets = 0;
    set_elements(t, symbols, test);
    for (uint32_t i = 0; i < test->n_sets; i++) { /* an element beyond its input: no size for it */
        const int64_t *at = test->dims, *set = test->sets + 3 * i;
        elements = 1;
        for (int64_t k = 0; k < set[0]; k++) at += e->inputs[k]->rank;
        for (int32_t d = 0; d < e->inputs[set[0]]->rank; d++) elements *= at[d];
        if (set[1] >= elements) return false;
    }
    return true;
}

static bool compute(Trial *t, uint32_t number, SelfTest *test) {
    Context *cx = t->job->cx;
    int64_t *symbols = arena_new_array(cx->arena, int64_t, t->m->n_symbols + 1);
    ingot_error err = {0, "no sizes within reason"};
    test->seed = number + 1;
    for (uint32_t k = 0; k < COUNT(sizes_tried); k++) {
        for (uint32_t i = 0; i < t->m->n_symbols; i++)
            symbols[i] = t->m->symbols[i]->flags & 1 ? 0 : fit(t->m->symbols[i],
                    sizes_tried[(number + k) % COUNT(sizes_tried)]);
        if (!describe(t, symbols, test, &err)) continue;
        ingot_rt_test run = {.seed = test->seed, .dims = test->dims, .output_bytes = test->output_bytes, .sets = test->sets,
                .n_sets = test->n_sets};
        if (!ingot_rt_test_run(t->context, &run, &test->hash, &err)) return true;
    }
    diag_error(cx, (Loc){0}, "self-test %u: the model accepts none of the sizes tried, give --dim; the last: %s", number + 1,
            err.text);
    return false;
}

const SelfTest *job_self_tests(Job *job) {
    uint32_t n = job->set.self_tests;
    SelfTest *tests = arena_new_array(job->cx->arena, SelfTest, n + 1);
    Trial *t = arena_new_array(job->cx->arena, Trial, 1);
    t->job = job;
    if (!n) return tests;
    job_progress(job, "self-test");
    if (!open_trial(t)) return NULL;
    for (uint32_t i = 0; i < n; i++)
        if (!compute(t, i, &tests[i])) return NULL;
    return tests;
}
