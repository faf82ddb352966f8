/* subject.c: one mutant through the compiler, as far as it gets: import, explain, passes, lowering, verification, and for some
 * also the C printer, texts read back and the interpreter.
 *
 * The Context's limits are those a host would set for a stranger's model.  A mutant may be refused at any point, with a
 * diagnostic; everything else that is not a success is a failure here.
 */
#include "mutate.h"
#include "pipeline.h"
#include <stdlib.h>
#include <string.h>

const char *const kind_names[KINDS] = {"onnx", "graph", "loop"}, *const kind_endings[KINDS] = {".onnx", ".graph", ".loop"};
const char *const outcome_names[OUTCOMES] = {
    "not run", "rejected with a diagnostic", "imported, refused later", "compiled", "silent", "BUG", "unstable text",
    "crashed", "slow", "over memory", "leaked",
};
enum { EMIT_EVERY = 4, READ_BACK_EVERY = 5, INTERPRET_EVERY = 6, INTERPRET_FUEL = 4000000 };

typedef struct Subject {
    Context *cx;
    Kind kind;
    const uint8_t *bytes;
    size_t n;
    uint64_t number;
    const char *volatile *stage;
    Outcome reached;
    const char *unstable;    /* what was not read back as it was printed */
} Subject;

static bool chosen(const Subject *s, uint32_t every) {
    return s->number >= EVERY_STEP || hash_mix(s->number, every) % every == 0;
}

static bool same_text(const Text *a, const Text *b) { return a->n == b->n && (!a->n || memcmp(a->at, b->at, a->n) == 0); }

static void read_back_graph(Subject *s, const Graph *g) {
    *s->stage = "reading a graph back";
    Text text = text_new(s->cx->arena), blob = text_new(s->cx->arena), again = text_new(s->cx->arena),
         blob2 = text_new(s->cx->arena);
    graph_print(g, &text, &blob);
    if (text.n > 1 << 20) return;
    const Graph *h = graph_parse(s->cx, "printed", text.at, text.n, (const uint8_t *)blob.at, blob.n);
    if (!h) {
        s->unstable = "a printed graph is not accepted";
        return;
    }
    graph_print(h, &again, &blob2);
    if (!same_text(&text, &again) || !same_text(&blob, &blob2)) s->unstable = "a printed graph reads back as another";
}

static void read_back_loop(Subject *s, LoopModule *m) {
    *s->stage = "reading a Loop module back";
    Text text = text_new(s->cx->arena), blob = text_new(s->cx->arena), again = text_new(s->cx->arena),
         blob2 = text_new(s->cx->arena);
    loop_print(m, &text, &blob);
    if (text.n > 1 << 20) return;
    const LoopModule *h = loop_parse(s->cx, "printed", text.at, text.n, (const uint8_t *)blob.at, blob.n);
    if (!h) {
        s->unstable = "a printed Loop module is not accepted";
        return;
    }
    loop_print(h, &again, &blob2);
    if (!same_text(&text, &again) || !same_text(&blob, &blob2)) s->unstable = "a printed Loop module reads back as another";
}

static void print_c(Subject *s, const LoopModule *m) {
    *s->stage = "printing C";
    EmitC options = {.external_weights = true};
    Text text = text_new(s->cx->arena);
    if (!emit_c(m, &options, &text)) s->reached = OUT_IMPORTED;
}

/* More than a moment's work to fill: no inputs for this test. */
static bool small_inputs(Context *cx, const Graph *g) {
    for (uint32_t i = 0; i < g->params.n; i++)
        if (dim_hint(cx, type_elements(cx, node(g, g->params.at[i])->type)) > 1 << 17) return false;
    return true;
}

/* Within a small budget; running out of it unwinds, which is no failure. */
static void interpret(Subject *s, const Graph *g) {
    *s->stage = "interpreting";
    Context *cx = s->cx;
    if (cx->fuel_used + INTERPRET_FUEL < cx->limits.fuel) cx->limits.fuel = cx->fuel_used + INTERPRET_FUEL;
    RandomInputs in;
    if (!small_inputs(cx, g)) return;
    if (!random_inputs(cx, cx->arena, g, NULL, 1, &in)) return;
    Tensor *out = arena_new_array(cx->arena, Tensor, g->results.n);
    if (!interp_run(cx, cx->arena, g, in.tensors, in.n, out)) return;
}

static void finish_module(Subject *s, LoopModule *m) {
    *s->stage = "verifying a Loop module";
    if (!loop_verify(m)) return;
    s->reached = OUT_COMPILED;
    if (chosen(s, READ_BACK_EVERY) && s->kind == KIND_ONNX) read_back_loop(s, m);
    if (chosen(s, EMIT_EVERY) || s->kind == KIND_LOOP_TEXT) print_c(s, m);
}

static void compile(Subject *s, const Graph *g) {
    Tiers tiers = tiers_of(target_find("x86-64-v3"));
    PipelineOptions options = {.tiers = &tiers, .verify_each = true};
    HostFacts facts = {0};
    s->reached = OUT_IMPORTED;
    if (chosen(s, READ_BACK_EVERY)) read_back_graph(s, g);
    *s->stage = "passes";
    const Graph *planned = pipeline_graph(s->cx, g, &options);
    if (!planned) return;
    if (chosen(s, READ_BACK_EVERY) && s->kind == KIND_ONNX) read_back_graph(s, planned);
    *s->stage = "lowering";
    LoopModule *m = lower_graph(s->cx, planned, "mutant", &tiers, &facts);
    if (!m) return;
    finish_module(s, m);
    if (chosen(s, INTERPRET_EVERY)) interpret(s, g);
}

static void run_onnx(Subject *s) {
    OnnxExplanation explanation;
    ImportOptions options = {.symbolic_inputs = s->number == EVERY_STEP_SYMBOLIC || (s->number < EVERY_STEP && chosen(s, 7))};
    *s->stage = "importing";
    const Graph *g = onnx_import(s->cx, "mutant.onnx", s->bytes, s->n, &options);
    if (!g && chosen(s, 3)) {
        *s->stage = "explaining";
        (void)onnx_explain(s->cx, "mutant.onnx", s->bytes, s->n, &options, &explanation);
    }
    if (g) compile(s, g);
}

static void run_graph_text(Subject *s) {
    *s->stage = "parsing";
    const Graph *g = graph_parse(s->cx, "mutant.graph", (const char *)s->bytes, s->n, NULL, 0);
    if (!g) return;
    *s->stage = "verifying";
    if (graph_verify(g)) compile(s, g);
}

static void run_loop_text(Subject *s) {
    *s->stage = "parsing";
    LoopModule *m = loop_parse(s->cx, "mutant.loop", (const char *)s->bytes, s->n, NULL, 0);
    if (!m) return;
    s->reached = OUT_IMPORTED;
    finish_module(s, m);
    if (s->reached == OUT_COMPILED && chosen(s, READ_BACK_EVERY)) read_back_loop(s, m);
}

static void put_text(Record *r, const char *text) {
    size_t n = strlen(text);
    if (n >= sizeof r->text) n = sizeof r->text - 1;
    for (size_t i = 0; i < n; i++) r->text[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    r->text[n] = 0;
}

static void judge(Subject *s, Record *r) {
    Context *cx = s->cx;
    r->outcome = (int32_t)(s->reached ? s->reached : OUT_REJECTED);
    for (uint32_t i = 0; i < diag_count(cx) && !r->text[0]; i++)
        if (diag_at(cx, i)->kind == DIAG_ERROR) put_text(r, diag_at(cx, i)->text);
    if (r->outcome == OUT_REJECTED && !diag_error_count(cx)) {
        r->outcome = OUT_SILENT;
        put_text(r, "rejected without a diagnostic");
    }
    if (s->unstable) {
        r->outcome = OUT_UNSTABLE;
        char why[sizeof r->text];
        memcpy(why, r->text, sizeof why);
        put_text(r, arena_print(cx->arena, "%s: %s", s->unstable, why));
    }
    /* what only a text can get wrong: in a model's way through the passes it is ours */
    bool ours = strncmp(r->text, "verify:", 7) == 0 || strncmp(r->text, "schedule:", 9) == 0;
    if (s->kind == KIND_ONNX && ours) r->outcome = OUT_BUG;
    if (cx->bug) {
        r->outcome = OUT_BUG;
        put_text(r, cx->bug);
    }
}

void subject_run(Kind kind, const uint8_t *bytes, size_t n, uint64_t number, const char *volatile *stage, Record *r) {
    Limits limits = {.memory_bytes = UINT64_C(900) << 20};
    Context *cx = context_new(&limits);
    Subject *s = calloc(1, sizeof *s);
    if (!cx || !s) abort();
    *s = (Subject){.cx = cx, .kind = kind, .bytes = bytes, .n = n, .number = number, .stage = stage};
    r->text[0] = 0;
    if (context_enter(cx)) {
        if (kind == KIND_ONNX) run_onnx(s);
        if (kind == KIND_GRAPH_TEXT) run_graph_text(s);
        if (kind == KIND_LOOP_TEXT) run_loop_text(s);
    }
    context_leave(cx);
    if (context_enter(cx)) judge(s, r);
    context_leave(cx);
    *stage = "freeing";
    context_free(cx);
    free(s);
}

static void keep_text(const Seed *from, const Text *text, Seed *to, uint32_t room, uint32_t *n, size_t largest) {
    if (*n == room || !text->n || text->n > largest) return;
    uint8_t *bytes = malloc(text->n);
    if (!bytes) abort();
    memcpy(bytes, text->at, text->n);
    to[(*n)++] = (Seed){from->path, bytes, text->n};
}

static uint32_t make_texts(Context *cx, const Seed *seed, Kind kind, Seed *to, uint32_t room, size_t largest) {
    uint32_t n = 0;
    Tiers tiers = tiers_of(target_find("x86-64-v3"));
    PipelineOptions options = {.tiers = &tiers};
    HostFacts facts = {0};
    const Graph *g = onnx_import(cx, seed->path, seed->bytes, seed->n, NULL);
    const Graph *planned = g ? pipeline_graph(cx, g, &options) : NULL;
    if (!planned) return 0;
    Text text = text_new(cx->arena);
    if (kind == KIND_LOOP_TEXT) {
        LoopModule *m = lower_graph(cx, planned, "mutant", &tiers, &facts);
        if (m) loop_print(m, &text, NULL);
        keep_text(seed, &text, to, room, &n, largest);
        return n;
    }
    graph_print(g, &text, NULL);
    keep_text(seed, &text, to, room, &n, largest);
    text = text_new(cx->arena);
    graph_print(planned, &text, NULL);
    keep_text(seed, &text, to, room, &n, largest);
    return n;
}

uint32_t subject_texts(const Seed *seed, Kind kind, Seed *to, uint32_t room, size_t largest) {
    Context *cx = context_new(NULL);
    volatile uint32_t n = 0;
    if (!cx) abort();
    if (context_enter(cx)) n = make_texts(cx, seed, kind, to, room, largest);
    context_leave(cx);
    context_free(cx);
    return n;
}
