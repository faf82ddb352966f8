/* tile_test.h: what the tests of tiled templates share: a case is a graph whose kernels run by the Loop interpreter and as
 * machine code, on every tier, against the graph interpreter (within rounding) and, bit by bit, against template map, whose
 * loops follow the order law one element at a time.
 * Template winograd is held against the interpreter, and every tier and engine bit by bit.
 * With bf16 operands in pairs (pass narrow): against the interpreter of the narrowed graph, and every tier and engine bit by
 * bit; template matrix, which has an order of its own, every engine: its machine code emulated where the CPU has no AMX. */
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "amx_emulator.h"
#include "artifact.h"
#include "codegen.h"
#include "kernel_entry.h"
#include "lower/lower.h"
#include "passes.h"

typedef enum Engine { ENGINE_LOOP, ENGINE_TCC, ENGINE_LLVM } Engine;
typedef struct Run {
    Context *cx;
    const Target *target;
    const Graph *g;              /* of kernels */
    Engine engine;
    bool map;                    /* template map instead of the tiles */
    bool blocks;                 /* of 16 filters, three tiles of lines a pass, in template grouped */
    const int64_t *symbols;      /* by id */
    void **memory;               /* by node: first result; kernels of one result alone */
    uint32_t tiled;              /* kernels of the templates under test */
    uint32_t together;           /* of the template that the case expects */
    Template expects;
} Run;

static void fail_with_diagnostics(Context *cx, const char *what) {
    for (uint32_t i = 0; i < diag_count(cx) && i < 5; i++) print_error("%s\n", diag_at(cx, i)->text);
    fail_msg("%s", what);
}

static int64_t bytes_of(const Run *r, const TypeInfo *t) {
    int64_t n = dtype_bytes(t->dtype);
    for (uint32_t i = 0; i < t->rank; i++) {
        int64_t d = 0;
        assert_true(dim_eval(r->cx, t->dims[i], r->symbols, &d));
        n *= d;
    }
    return n;
}

typedef struct Slots { uint64_t at[64]; uint32_t n; int64_t range; void *scratch; int64_t scratch_bytes; } Slots;

static void put(Slots *s, uint64_t value) { s->at[s->n++] = value; }

static Slots slots_of(const Run *r, const KernelInfo *info, const Node *n, uint32_t v) {
    Slots s = {.n = 3};
    for (uint32_t i = 0; i < n->n_in; i++) put(&s, (uintptr_t)r->memory[n->in[i].id]);
    put(&s, (uintptr_t)r->memory[v]);
    if (info->scratches) {
        assert_true(dim_eval(r->cx, info->scratch_bytes, r->symbols, &s.scratch_bytes));
        s.scratch = arena_alloc(r->cx->arena, (size_t)s.scratch_bytes * 2 + 64);
        s.scratch = (void *)(((uintptr_t)s.scratch + 63) & ~(uintptr_t)63);
        put(&s, (uintptr_t)s.scratch);
        put(&s, (uint64_t)s.scratch_bytes);
    }
    for (uint32_t i = 0; i < info->n_symbols; i++) put(&s, (uint64_t)r->symbols[info->symbols[i].id]);
    assert_true(dim_eval(r->cx, info->range, r->symbols, &s.range));
    return s;
}

static void run_native(const Run *r, LoopModule *m, Slots *s) {
    LoadedCode *code;
    if (r->engine == ENGINE_LLVM) {
        const uint8_t *object;
        size_t n;
        if (!emit_llvm(m, &(EmitLlvm){.opt_level = 2, .verify = true}, LLVM_OBJECT, &object, &n))
            fail_with_diagnostics(r->cx, "emit_llvm");
        code = llvm_load(r->cx, object, n, NULL, 0);
    } else {
        Text text = text_new(m->arena);
        if (!emit_c(m, &(EmitC){0}, &text)) fail_with_diagnostics(r->cx, "emit_c");
        code = tcc_load(r->cx, text.at, NULL, 0);
    }
    if (!code) fail_with_diagnostics(r->cx, "load");
    EntryFn *run = (EntryFn *)(uintptr_t)code_find(code, "run");
    for (int64_t lo = 0, step = s->range / 3 + 1; lo < s->range; lo += step) {
        s->at[0] = (uint64_t)lo, s->at[1] = (uint64_t)(lo + step < s->range ? lo + step : s->range), s->at[2] = (lo / step) & 1;
        assert_int_equal(run(s->at), 0);
    }
    code_detach(code);
    code_free(code);
}

static void run_interpreted(const Run *r, LoopModule *m, Slots *s, const Node *n, uint32_t v) {
    LoopInterp *in = loop_interp_new(m, NULL, NULL);
    for (uint32_t i = 0; i < n->n_in; i++) {
        loop_interp_forget(in, r->memory[n->in[i].id]);
        int64_t bytes = bytes_of(r, val_type(r->g, n->in[i]));
        Const c;
        if (val_const(r->g, n->in[i], &c))
            bytes = (int64_t)const_info(r->cx, c)->elements * dtype_bytes(const_info(r->cx, c)->dtype);
        loop_interp_memory(in, r->memory[n->in[i].id], (uint64_t)bytes, false, true);
    }
    loop_interp_memory(in, r->memory[v], (uint64_t)bytes_of(r, type_info(r->cx, n->type)), true, false);
    if (s->scratch) loop_interp_memory(in, s->scratch, (uint64_t)s->scratch_bytes * 2, true, false);
    loop_interp_memory(in, s->at, sizeof s->at, false, true);
    for (int64_t lo = 0, step = s->range / 2 + 1; lo < s->range; lo += step) {
        s->at[0] = (uint64_t)lo, s->at[1] = (uint64_t)(lo + step < s->range ? lo + step : s->range), s->at[2] = (lo / step) & 1;
        LSlot slots = {.p = s->at}, status;
        if (!loop_interp_call(in, "run", &slots, 1, &status)) fail_with_diagnostics(r->cx, "loop interpreter");
        assert_int_equal(status.i, 0);
    }
}

static void run_kernel(Run *r, uint32_t v) {
    const Node *n = node(r->g, (Val){v});
    Schedule schedule = *node_attr(n, ATTR_schedule)->as.schedule;
    int64_t its = schedule.field[SCHED_template_];
    bool tiled = its == TEMPLATE_contraction || its == TEMPLATE_convolution || its == TEMPLATE_grouped ||
                 its == TEMPLATE_planes || its == TEMPLATE_winograd || its == TEMPLATE_matrix || its == TEMPLATE_separable ||
                 its == TEMPLATE_pooled || its == TEMPLATE_few;
    r->tiled += tiled, r->together += r->expects && its == r->expects;
    if (its == TEMPLATE_grouped && r->blocks) schedule.field[SCHED_block_n] = LANES, schedule.field[SCHED_block_m] = 3;
    if (tiled && r->map) schedule.field[SCHED_template_] = TEMPLATE_map;
    LoopModule *m = loop_module_new(r->cx, "test", &(Tiers){.n = 1, .at = {r->target}});
    KernelInfo info = lower_kernel(m, attr_graph(n, ATTR_body), &schedule, "kernel", "", false);
    add_entry(m, info.func);
    if (!loop_verify(m)) fail_with_diagnostics(r->cx, "loop_verify");
    if (getenv("TILE_PRINT")) {
        Text t = text_new(m->arena), body = text_new(m->arena);
        graph_print(attr_graph(n, ATTR_body), &body, NULL);
        loop_print(m, &t, NULL);
        printf("%s\n%s\n", body.at, t.at);
    }
    r->memory[v] = aligned_alloc(64, ((size_t)bytes_of(r, type_info(r->cx, n->type)) + 127) & ~(size_t)63);
    Slots s = slots_of(r, &info, n, v);
    if (r->engine == ENGINE_LOOP) run_interpreted(r, m, &s, n, v);
    else run_native(r, m, &s);
}

/* Every kernel in order; the memory of result 0. */
static void *run_graph(Run *r, Tensor *inputs) {
    r->memory = arena_new_array(r->cx->arena, void *, r->g->nodes.n);
    for (uint32_t i = 1; i < r->g->nodes.n; i++) {
        const Node *n = node(r->g, (Val){i});
        Const c;
        if (n->op == OP_param) r->memory[i] = inputs[attr_int(n, ATTR_index)].data;
        else if (val_const(r->g, (Val){i}, &c)) r->memory[i] = (void *)(uintptr_t)const_bytes(r->cx, c);
        else if (n->op == OP_reshape) r->memory[i] = r->memory[n->in[0].id];
        else if (n->op == OP_kernel) run_kernel(r, i);
    }
    void *result = r->memory[r->g->results.at[0].id];
    for (uint32_t i = 1; i < r->g->nodes.n; i++)
        if (r->memory[i] != result && val_op(r->g, (Val){i}) == OP_kernel) free(r->memory[i]);
    return result;
}

/* ---- one case ----------------------------------------------------------------------------------------------------------- */

typedef struct Case {
    Context *cx;
    Graph *g;
    uint64_t seed;
    int64_t symbols[64];         /* values of symbols, by id */
    int64_t depth;               /* of the sums, for the tolerance */
    bool large;                  /* too large for the Loop interpreter */
    Template expects;            /* a template of several anchors: the cache is too small for what lies between them .. */
    int64_t l2_bytes;            /* .. namely so */
    uint32_t pieces;             /* of a product's columns, that one kernel combines; 0: nothing is asked */
} Case;

static Case begin_case(const char *name) {
    Case c = {.cx = context_new(NULL), .seed = 1};
    c.g = graph_new(c.cx, name);
    return c;
}
static float next_float(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)((int32_t)(*seed >> 40) % 2001 - 1000) / 1000.0f;
}
static Dim symbol(Case *c, const char *name, int64_t value) {
    Symbol s = symbol_new(
        c->cx, &(SymbolInfo){.name = intern(c->cx, name), .kind = SYMBOL_INPUT, .min = 1, .max = INT64_MAX, .multiple = 1});
    c->symbols[s.id] = value;
    return dim_symbol(c->cx, s);
}
static Val param(Case *c, DType t, uint32_t rank, const Dim *dims) { return b_param(c->g, (Loc){0}, "p", t, rank, dims); }
static Val param_i(Case *c, DType t, uint32_t rank, const int64_t *dims) {
    Dim d[MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) d[i] = dim_const(c->cx, dims[i]);
    return param(c, t, rank, d);
}
static Val weights(Case *c, uint32_t rank, const int64_t *dims) {
    int64_t n = 1;
    Dim d[MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) n *= dims[i], d[i] = dim_const(c->cx, dims[i]);
    float *data = arena_new_array(c->cx->arena, float, (size_t)n);
    for (int64_t i = 0; i < n; i++) data[i] = next_float(&c->seed);
    return b_const(c->g, (Loc){0}, const_data(c->cx, DT_f32, (uint64_t)n, data), rank, d);
}
#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

static void fill_input(Case *c, const Graph *g, Tensor *t, Val v) {
    const TypeInfo *type = val_type(g, v);
    *t = (Tensor){.dtype = type->dtype, .rank = type->rank};
    int64_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++) {
        assert_true(dim_eval(c->cx, type->dims[i], c->symbols, &t->dims[i]));
        n *= t->dims[i];
    }
    uint8_t *data = arena_alloc(c->cx->arena, (size_t)(n * dtype_bytes(t->dtype) + 64));
    t->data = (void *)(((uintptr_t)data + 63) & ~(uintptr_t)63);
    for (int64_t i = 0; i < n; i++) {
        float f = next_float(&c->seed);
        Scalar s = dtype_is_float(t->dtype) ? (Scalar){.f = (double)f} : (Scalar){.i = (int64_t)(f * 100)};
        scalar_store(t->dtype, (uint8_t *)t->data + i * dtype_bytes(t->dtype), scalar_wrap(t->dtype, s));
    }
}

static void compare_reference(const Case *c, const Tensor *expected, const void *found, const char *what) {
    double scale = 8 * sqrt((double)c->depth + 1);
    DType t = expected->dtype;
    double eps = t == DT_f64 ? 2.3e-16 : t == DT_f16 ? 1e-3 : t == DT_bf16 ? 8e-3 : 1.2e-7;
    for (int64_t i = 0, n = tensor_elements(expected); i < n; i++) {
        Scalar x = tensor_at(expected, i), y = scalar_load(t, (const uint8_t *)found + i * dtype_bytes(t));
        if (!dtype_is_float(t)) {
            if (x.i != y.i)
                fail_msg("%s %s: element %lld is %lld, expected %lld", c->g->name, what, (long long)i, (long long)y.i,
                         (long long)x.i);
            continue;
        }
        if (!(fabs(x.f - y.f) <= scale * eps * (1 + fabs(x.f))))
            fail_msg("%s %s: element %lld is %.9g, expected %.9g", c->g->name, what, (long long)i, y.f, x.f);
    }
}

static Graph *compile(Case *c, const Target *target, bool pack) {
    Graph *g = c->g;
    Target small = *target;
    small.l2_bytes = c->l2_bytes;
    if (c->l2_bytes) target = &small;
    if (pack) g = pass_align(c->cx, g, &(Tiers){.n = 1, .at = {target}});
    if (pack && g) g = pass_interleave(c->cx, g, &(Tiers){.n = 1, .at = {target}});
    if (pack && g) g = pass_pack(c->cx, g, &(Tiers){.n = 1, .at = {target}});
    if (g) g = pass_fuse(c->cx, g, &(Tiers){.n = 1, .at = {target}});
    if (g) g = pass_schedule(c->cx, g, &(Tiers){.n = 1, .at = {target}});
    if (!g) fail_with_diagnostics(c->cx, "passes");
    return g;
}

/* Some kernel has a product of so many pieces. */
static bool combines_pieces(const Graph *g, uint32_t pieces) {
    bool found = pieces == 0;
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        if (g->nodes.at[i].op != OP_kernel) continue;
        const Graph *body = attr_graph(&g->nodes.at[i], ATTR_body);
        for (uint32_t k = 1; k < body->nodes.n; k++)
            found |= body->nodes.at[k].op == OP_dot && contract_pieces(body, (Val){k}) == pieces;
    }
    return found;
}

static void check_target(Case *c, const char *name, Tensor *inputs, const Tensor *expected) {
    const Target *target = target_find(name);
    Run run = {.cx = c->cx, .target = target, .symbols = c->symbols, .engine = ENGINE_LLVM, .expects = c->expects};
    Run map = run;
    map.map = true;
    map.g = compile(c, target, false);
    void *reference = run_graph(&map, inputs);
    compare_reference(c, expected, reference, "map");
    size_t bytes = (size_t)(tensor_elements(expected) * dtype_bytes(expected->dtype));
    for (uint32_t variant = 0; variant < 6; variant++) {
        bool pack = variant & 1;
        run.blocks = pack;
        run.engine = variant / 2 == 0 ? ENGINE_LLVM : variant / 2 == 1 ? ENGINE_LOOP : ENGINE_TCC;
        if (run.engine == ENGINE_LOOP && c->large) continue;
        if (run.engine == ENGINE_TCC && !have_tcc()) continue;
        run.g = compile(c, target, pack);
        run.tiled = run.together = 0;
        void *found = run_graph(&run, inputs);
        char what[64];
        snprintf(what, sizeof what, "%s, engine %d, pack %d", name, (int)run.engine, pack);
        compare_reference(c, expected, found, what);
        if (memcmp(reference, found, bytes)) fail_msg("%s %s: bits differ from the element-wise template's", c->g->name, what);
        if (pack && !run.tiled) fail_msg("%s: no tiled kernel", c->g->name);
        if (pack && !combines_pieces(run.g, c->pieces)) fail_msg("%s: no kernel of %u pieces", c->g->name, c->pieces);
        if (pack && c->expects && !run.together)
            fail_msg("%s: no kernel of template %s", c->g->name, template_name[c->expects]);
        free(found);
    }
    free(reference);
}

/* Machine code with tiles runs, natively or not.  cmocka takes the signals anew for each test. */
static bool runs_tiles(const Target *target) {
    bool native;
    return target->tiles_bf16 && have_llvm() && amx_prepare(&native);
}

/* c->g, which only templates under test compute, on every tier and engine: near the interpreter, and of the same bits. */
static void check_tiers(Case *c, Tensor *inputs, const char *const *names, uint32_t n) {
    Tensor expected;
    void *reference = NULL;
    if (!interp_run(c->cx, c->cx->arena, c->g, inputs, c->g->params.n, &expected)) fail_with_diagnostics(c->cx, c->g->name);
    size_t bytes = (size_t)(tensor_elements(&expected) * dtype_bytes(expected.dtype));
    for (uint32_t variant = 0; variant < 3 * n; variant++) {
        const Target *target = target_find(names[variant % n]);
        Run run = {.cx = c->cx, .target = target, .symbols = c->symbols, .expects = c->expects};
        run.engine = (Engine)(variant / n);
        bool runs = run.engine != ENGINE_LLVM || runs_tiles(target) ||
                    cpu_best(c->cx->arena, &(Tiers){.n = 2, .at = {target_find("x86-64"), target}}) == target;
        if (run.engine == ENGINE_TCC && target->tiles_bf16) continue; /* test_amx.c, and slow */
        if (!runs || (run.engine == ENGINE_LOOP && c->large) || (run.engine == ENGINE_TCC && !have_tcc())) continue;
        run.g = compile(c, target, true);
        void *found = run_graph(&run, inputs);
        char what[64];
        snprintf(what, sizeof what, "%s, engine %u", target->name, variant / n);
        compare_reference(c, &expected, found, what);
        if (!run.tiled) fail_msg("%s %s: no tiled kernel", c->g->name, what);
        if (c->expects && !run.together && !target->tiles_bf16)
            fail_msg("%s %s: no kernel of template %s", c->g->name, what, template_name[c->expects]);
        if (reference && memcmp(reference, found, bytes)) fail_msg("%s %s: other bits", c->g->name, what);
        if (reference) free(found);
        else reference = found;
    }
    free(reference);
}

/* The same with the constants in pairs of bf16: no template but the tiles takes them. */
static void check_narrow(Case *c, Tensor *inputs) {
    static const char *const names[] = {"x86-64-v3", "x86-64-v4", "x86-64-v4-bf16"};
    Graph *g = c->g;
    c->g = pass_interleave(c->cx, g, NULL);
    if (c->g) c->g = pass_narrow(c->cx, c->g, NULL);
    if (!c->g) fail_with_diagnostics(c->cx, "narrow");
    if (graph_hash(g) != graph_hash(c->g)) {
        check_tiers(c, inputs, names, COUNT(names));
        check_tiers(c, inputs, (const char *[]){"x86-64-v4-amx"}, 1);
    }
    c->g = g;
}

static void end_case(Case *c, Val result) {
    graph_result(c->g, result, "y");
    if (!context_enter(c->cx)) fail_with_diagnostics(c->cx, c->g->name);
    if (!(c->g = graph_finish(c->g))) fail_with_diagnostics(c->cx, "graph");
    Tensor inputs[8], expected;
    uint32_t n = c->g->params.n;
    for (uint32_t i = 0; i < n; i++) fill_input(c, c->g, &inputs[i], c->g->params.at[i]);
    if (!interp_run(c->cx, c->cx->arena, c->g, inputs, n, &expected)) fail_with_diagnostics(c->cx, "interp_run");
    if (__builtin_cpu_supports("x86-64-v3")) check_narrow(c, inputs);
    check_target(c, "x86-64", inputs, &expected);
    if (__builtin_cpu_supports("x86-64-v3")) check_target(c, "x86-64-v3", inputs, &expected);
    if (__builtin_cpu_supports("x86-64-v4")) check_target(c, "x86-64-v4", inputs, &expected);
    context_leave(c->cx);
    context_free(c->cx);
}
