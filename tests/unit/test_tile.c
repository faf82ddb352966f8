/* test_tile.c: templates contraction, convolution, grouped and planes against the graph interpreter (within rounding) and, bit by bit,
 * against template map, whose loops follow the order law one element at a time; by the Loop interpreter and as machine code.
 * Template separable: both of its convolutions by template map.
 * Template winograd likewise against the interpreter, and every tier and engine bit by bit.
 * With bf16 operands in pairs (pass narrow): against the interpreter of the narrowed graph, and every tier and engine bit by bit;
 * template matrix, which has an order of its own, every engine: its machine code emulated where the CPU has no AMX. */
#define _GNU_SOURCE
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
    uint32_t separable;          /* of template separable */
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

/* i32 run(slots): takes the kernel's arguments from 8-byte slots. */
static void add_entry(LoopModule *m, const LFunc *kernel) {
    LParam slots = {.name = "slots", .type = lt_pointer(DT_u64)};
    LoopBuilder *b = loop_begin(m, "run", LF_EXPORT, &slots, 1, lt_scalar(DT_i32));
    LVal *in = arena_new_array(m->arena, LVal, kernel->n_params);
    for (uint32_t i = 0; i < kernel->n_params; i++) {
        LVal at[] = {loop_param(b, 0), l_i64(b, i)};
        LType t = kernel->params[i].type;
        if (t.pointer) in[i] = l_inst(b, LOP_load_pointer, t, at, 2, 0);
        else in[i] = l_convert(b, l_load(b, at[0], at[1], 1, (LVal){0}), DT_i64);
    }
    l_return(b, l_call(b, kernel->name, lt_scalar(DT_i32), in, kernel->n_params));
    loop_end(b);
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

typedef int32_t EntryFn(uint64_t *slots);

static void run_native(const Run *r, LoopModule *m, Slots *s) {
    LoadedCode *code;
    if (r->engine == ENGINE_LLVM) {
        const uint8_t *object;
        size_t n;
        if (!emit_llvm(m, &(EmitLlvm){.opt_level = 2, .verify = true}, LLVM_OBJECT, &object, &n)) fail_with_diagnostics(r->cx, "emit_llvm");
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
        if (val_const(r->g, n->in[i], &c)) bytes = (int64_t)const_info(r->cx, c)->elements * dtype_bytes(const_info(r->cx, c)->dtype);
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
    bool tiled = its == TEMPLATE_contraction || its == TEMPLATE_convolution || its == TEMPLATE_grouped || its == TEMPLATE_planes ||
                 its == TEMPLATE_winograd || its == TEMPLATE_matrix || its == TEMPLATE_separable;
    r->tiled += tiled, r->separable += its == TEMPLATE_separable;
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
    bool separable;              /* template separable is expected: the cache is too small for what lies between */
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
    Symbol s = symbol_new(c->cx, &(SymbolInfo){.name = intern(c->cx, name), .kind = SYMBOL_INPUT, .min = 1, .max = INT64_MAX, .multiple = 1});
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
            if (x.i != y.i) fail_msg("%s %s: element %lld is %lld, expected %lld", c->g->name, what, (long long)i, (long long)y.i, (long long)x.i);
            continue;
        }
        if (!(fabs(x.f - y.f) <= scale * eps * (1 + fabs(x.f))))
            fail_msg("%s %s: element %lld is %.9g, expected %.9g", c->g->name, what, (long long)i, y.f, x.f);
    }
}

static Graph *compile(Case *c, const Target *target, bool pack) {
    Graph *g = c->g;
    Target small = *target;
    small.l2_bytes = 1 << 10;
    if (c->separable) target = &small;
    if (pack) g = pass_align(c->cx, g, &(Tiers){.n = 1, .at = {target}});
    if (pack && g) g = pass_pack(c->cx, g, &(Tiers){.n = 1, .at = {target}});
    if (g) g = pass_fuse(c->cx, g, &(Tiers){.n = 1, .at = {target}});
    if (g) g = pass_schedule(c->cx, g, &(Tiers){.n = 1, .at = {target}});
    if (!g) fail_with_diagnostics(c->cx, "passes");
    return g;
}

static void check_target(Case *c, const char *name, Tensor *inputs, const Tensor *expected) {
    const Target *target = target_find(name);
    Run run = {.cx = c->cx, .target = target, .symbols = c->symbols, .engine = ENGINE_LLVM};
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
        run.tiled = run.separable = 0;
        void *found = run_graph(&run, inputs);
        char what[64];
        snprintf(what, sizeof what, "%s, engine %d, pack %d", name, (int)run.engine, pack);
        compare_reference(c, expected, found, what);
        if (memcmp(reference, found, bytes)) fail_msg("%s %s: bits differ from the element-wise template's", c->g->name, what);
        if (pack && !run.tiled) fail_msg("%s: no tiled kernel", c->g->name);
        if (pack && c->separable && !run.separable) fail_msg("%s: no kernel of template separable", c->g->name);
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
        Run run = {.cx = c->cx, .target = target, .symbols = c->symbols, .engine = (Engine)(variant / n)};
        bool runs = run.engine != ENGINE_LLVM || runs_tiles(target) || cpu_best(c->cx->arena, &(Tiers){.n = 2, .at = {target_find("x86-64"), target}}) == target;
        if (run.engine == ENGINE_TCC && target->tiles_bf16) continue; /* test_amx.c, and slow */
        if (!runs || (run.engine == ENGINE_LOOP && c->large) || (run.engine == ENGINE_TCC && !have_tcc())) continue;
        run.g = compile(c, target, true);
        void *found = run_graph(&run, inputs);
        char what[64];
        snprintf(what, sizeof what, "%s, engine %u", target->name, variant / n);
        compare_reference(c, &expected, found, what);
        if (!run.tiled) fail_msg("%s %s: no tiled kernel", c->g->name, what);
        if (c->separable && !run.separable && !target->tiles_bf16) fail_msg("%s %s: no kernel of template separable", c->g->name, what);
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
    c->g = pass_narrow(c->cx, g, NULL);
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

/* ---- contractions --------------------------------------------------------------------------------------------------------- */

static void test_dot_sizes(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1}, {1, 3, 17}, {2, 5, 16}, {5, 7, 33}, {6, 16, 64}, {7, 3, 70}, {13, 11, 65}, {37, 19, 100}, {70, 8, 128}};
    for (uint32_t i = 0; i < COUNT(sizes); i++) {
        const int64_t *z = sizes[i];
        Case c = begin_case("dot_sizes");
        c.depth = z[1];
        Val x = param_i(&c, DT_f32, 2, DIMS(z[0], z[1])), w = weights(&c, 2, DIMS(z[1], z[2])), bias = weights(&c, 1, DIMS(z[2]));
        Val y = b_binary(c.g, (Loc){0}, OP_add, b_dot(c.g, (Loc){0}, x, w, 0), bias);
        end_case(&c, b_binary(c.g, (Loc){0}, OP_max, y, b_scalar(c.g, (Loc){0}, DT_f32, 0)));
    }
}

/* Wide panels (ENCODING_PANEL64): tiles of four of its sixteens, of two and of one, whole and cut off. */
static void test_dot_few_rows(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 3, 64}, {1, 700, 128}, {2, 9, 60}, {2, 300, 250}, {3, 5, 120}, {4, 300, 192}};
    for (uint32_t i = 0; i < COUNT(sizes); i++) {
        const int64_t *z = sizes[i];
        Case c = begin_case("dot_few_rows");
        c.depth = z[1];
        Val x = param_i(&c, DT_f32, 2, DIMS(z[0], z[1])), w = weights(&c, 2, DIMS(z[1], z[2]));
        end_case(&c, b_binary(c.g, (Loc){0}, OP_add, b_dot(c.g, (Loc){0}, x, w, 0), weights(&c, 1, DIMS(z[2]))));
    }
}

static void test_dot_depths(void **state) {
    (void)state;
    static const int64_t depths[] = {511, 512, 513, 1500};
    for (uint32_t i = 0; i < COUNT(depths); i++) {
        Case c = begin_case("dot_depths");
        c.depth = depths[i];
        c.large = i > 2;
        Val x = param_i(&c, DT_f32, 2, DIMS(8, depths[i])), w = weights(&c, 2, DIMS(depths[i], 36));
        Val residual = param_i(&c, DT_f32, 2, DIMS(8, 36));
        end_case(&c, b_binary(c.g, (Loc){0}, OP_add, b_dot(c.g, (Loc){0}, x, w, 0), residual));
    }
}

static void test_dot_symbolic(void **state) {
    (void)state;
    static const int64_t rows[] = {1, 5, 12, 31, 64};
    for (uint32_t i = 0; i < COUNT(rows); i++) {
        Case c = begin_case("dot_symbolic");
        c.depth = 24;
        Dim m = symbol(&c, "m", rows[i]), dims[] = {m, dim_const(c.cx, 24)};
        Val x = param(&c, DT_f32, 2, dims), w = weights(&c, 2, DIMS(24, 96));
        end_case(&c, b_unary(c.g, (Loc){0}, OP_neg, b_dot(c.g, (Loc){0}, x, w, 0)));
    }
}

/* Many rows of which some tiles have one less: they compute their last row twice, and store it once; also where results go onto
 * sums of parts, and channels first. */
static void test_repeated_rows(void **state) {
    (void)state;
    static const struct { int64_t images, depth, columns; bool crossed; } cases[] = {
        {1, 40, 64, false}, {3, 24, 19, false}, {1, 300, 80, false}, {2, 33, 32, true}, {1, 270, 48, true}};
    for (uint32_t i = 0; i < COUNT(cases); i++) {
        Case c = begin_case("repeated_rows");
        Loc l = {0};
        c.depth = cases[i].depth, c.large = true;
        Dim n = symbol(&c, "n", cases[i].images), dims[] = {n, dim_const(c.cx, 196), dim_const(c.cx, c.depth)};
        Val x = param(&c, DT_f32, 3, dims), y = b_dot(c.g, l, x, weights(&c, 2, DIMS(c.depth, cases[i].columns)), 0);
        y = b_binary(c.g, l, OP_add, y, param(&c, DT_f32, 3, val_type(c.g, y)->dims));
        end_case(&c, cases[i].crossed ? b_permute(c.g, l, y, DIMS(0, 2, 1)) : y);
    }
}

/* Attention's two products: heads split from a projection by views, both operands at run time. */
static void test_dot_heads(void **state) {
    (void)state;
    static const int64_t lengths[] = {1, 3, 17, 70};
    for (uint32_t i = 0; i < 2 * COUNT(lengths); i++) {
        Case c = begin_case("dot_heads");
        Loc l = {0};
        int64_t s = lengths[i / 2], heads = 3, size = s == 70 ? 35 : 8;
        Dim length = i & 1 ? symbol(&c, "s", s) : dim_const(c.cx, s), h = dim_const(c.cx, heads), d = dim_const(c.cx, size);
        Dim flat[] = {dim_const(c.cx, 2), length, dim_const(c.cx, heads * size)}, split[] = {flat[0], length, h, d};
        Val q = b_reshape(c.g, l, param(&c, DT_f32, 3, flat), 4, split), k = b_reshape(c.g, l, param(&c, DT_f32, 3, flat), 4, split);
        Val v = b_reshape(c.g, l, param(&c, DT_f32, 3, flat), 4, split);
        q = b_permute(c.g, l, q, DIMS(0, 2, 1, 3)), k = b_permute(c.g, l, k, DIMS(0, 2, 3, 1)), v = b_permute(c.g, l, v, DIMS(0, 2, 1, 3));
        Val p = b_unary(c.g, l, OP_sigmoid, b_dot(c.g, l, q, k, 2));
        Val y = b_permute(c.g, l, b_dot(c.g, l, p, v, 2), DIMS(0, 2, 1, 3));
        c.depth = s + size;
        end_case(&c, b_reshape(c.g, l, y, 3, flat));
    }
}

/* A projection whose result is split into heads: stores through reshape and permute. */
static void test_dot_split(void **state) {
    (void)state;
    Case c = begin_case("dot_split");
    Loc l = {0};
    c.depth = 32;
    Dim s = symbol(&c, "s", 7), in[] = {dim_const(c.cx, 2), s, dim_const(c.cx, 32)};
    Dim split[] = {in[0], s, dim_const(c.cx, 2), dim_const(c.cx, 64)};
    Val y = b_dot(c.g, l, param(&c, DT_f32, 3, in), weights(&c, 2, DIMS(32, 128)), 0);
    y = b_binary(c.g, l, OP_add, y, weights(&c, 1, DIMS(128)));
    end_case(&c, b_permute(c.g, l, b_reshape(c.g, l, y, 4, split), DIMS(0, 2, 1, 3)));
}

static void test_dot_transposed(void **state) {
    (void)state;
    Case c = begin_case("dot_transposed");
    Loc l = {0};
    c.depth = 20;
    Val x = b_permute(c.g, l, param_i(&c, DT_f32, 2, DIMS(20, 11)), DIMS(1, 0));
    Val w = b_permute(c.g, l, weights(&c, 2, DIMS(50, 20)), DIMS(1, 0));
    end_case(&c, b_dot(c.g, l, x, w, 0));
}

static void test_dot_dtypes(void **state) {
    (void)state;
    static const DType dtypes[] = {DT_f64, DT_i32, DT_i64, DT_f16, DT_bf16, DT_u8};
    for (uint32_t i = 0; i < COUNT(dtypes); i++) {
        Case c = begin_case(dtype_info[dtypes[i]].name);
        c.depth = 21;
        Val x = param_i(&c, dtypes[i], 2, DIMS(9, 21)), w = param_i(&c, dtypes[i], 2, DIMS(21, 37));
        Graph *g = c.g;
        Val y = b_dot(g, (Loc){0}, x, w, 0);
        Val z = weights(&c, 2, DIMS(4, 4));
        (void)z;
        end_case(&c, b_binary(g, (Loc){0}, OP_add, y, y));
    }
}

/* ---- convolutions ----------------------------------------------------------------------------------------------------------- */

typedef struct Shape { int64_t h, w, c, f, r, s, stride, dilation, low, high; bool symbolic, planes; } Shape;

static Val conv(Case *c, Val x, Val w, uint32_t spatial, const Shape *z, int64_t groups) {
    int64_t stride[MAX_RANK], dilation[MAX_RANK];
    Dim low[MAX_RANK], high[MAX_RANK];
    for (uint32_t i = 0; i < spatial; i++) {
        stride[i] = z->stride, dilation[i] = z->dilation;
        low[i] = dim_const(c->cx, z->low), high[i] = dim_const(c->cx, z->high);
    }
    Attr attrs[] = {{.key = ATTR_stride, .n = spatial, .as.ints = stride}, {.key = ATTR_dilation, .n = spatial, .as.ints = dilation},
                    {.key = ATTR_low, .n = spatial, .as.dims = low}, {.key = ATTR_high, .n = spatial, .as.dims = high},
                    {.key = ATTR_groups, .as.i = groups}, {.key = ATTR_chunk, .as.i = CHUNK_K}};
    return emit(c->g, OP_conv, (Loc){0}, (Val[]){x, w}, 2, attrs, COUNT(attrs));
}

static void test_conv(void **state) {
    (void)state;
    static const Shape shapes[] = {
        {5, 5, 3, 8, 3, 3, 1, 1, 1, 1, false, false},   {9, 7, 16, 40, 3, 3, 1, 1, 1, 1, false, false}, {8, 8, 24, 64, 1, 1, 1, 1, 0, 0, false, false},
        {11, 13, 5, 33, 3, 5, 2, 1, 2, 1, false, false}, {9, 9, 8, 17, 3, 3, 1, 2, 2, 2, true, false},  {12, 12, 3, 20, 7, 7, 2, 1, 3, 3, false, true},
        {6, 5, 200, 24, 3, 3, 1, 1, 1, 1, false, false}, {4, 4, 700, 19, 2, 2, 1, 1, 0, 1, false, false}, {3, 3, 512, 16, 3, 3, 1, 1, 1, 1, true, false},
        {7, 7, 6, 16, 1, 1, 2, 1, 0, 0, true, true},    {5, 6, 4, 8, 2, 2, 1, 1, -1, 0, false, false},
        {20, 23, 2, 16, 3, 5, 1, 2, 2, 3, true, false},
        /* Tiles in one line of the image: */
        {5, 14, 20, 32, 3, 3, 1, 1, 1, 1, false, false}, {6, 8, 9, 64, 3, 3, 1, 1, 1, 1, true, false}, {9, 31, 3, 16, 3, 3, 2, 1, 1, 1, false, true},
        {4, 12, 70, 64, 3, 3, 1, 2, 2, 2, true, false},  {7, 28, 3, 24, 5, 5, 2, 1, 2, 1, true, true}, {6, 16, 3, 16, 3, 3, 1, 1, 1, 1, false, false}};
    for (uint32_t i = 0; i < COUNT(shapes); i++) {
        const Shape *z = &shapes[i];
        char name[32];
        snprintf(name, sizeof name, "conv_%u", i);
        Case c = begin_case(name);
        c.depth = z->r * z->s * z->c;
        c.large = c.depth > 1000;
        Loc l = {0};
        Dim n = z->symbolic ? symbol(&c, "n", 3) : dim_const(c.cx, 2), ch = dim_const(c.cx, z->c);
        Dim dims[] = {n, z->symbolic ? symbol(&c, "h", z->h) : dim_const(c.cx, z->h), dim_const(c.cx, z->w), ch}, planes[] = {n, ch, dims[1], dims[2]};
        Val x = z->planes ? b_permute(c.g, l, param(&c, DT_f32, 4, planes), DIMS(0, 2, 3, 1)) : param(&c, DT_f32, 4, dims);
        Val y = conv(&c, x, weights(&c, 4, DIMS(z->r, z->s, z->c, z->f)), 2, z, 1);
        y = b_binary(c.g, l, OP_add, y, weights(&c, 1, DIMS(z->f)));
        if (i & 1) y = b_binary(c.g, l, OP_add, y, param(&c, DT_f32, 4, val_type(c.g, y)->dims));
        end_case(&c, b_binary(c.g, l, OP_max, y, b_scalar(c.g, l, DT_f32, 0)));
    }
}

/* Results channels first: rows of a tile stored side by side, over one image or the ends of several. */
static void test_crossed(void **state) {
    (void)state;
    static const Shape shapes[] = {
        {7, 7, 16, 40, 1, 1, 1, 1, 0, 0, false, true},    {3, 3, 9, 33, 3, 3, 1, 1, 1, 1, true, false}, {5, 14, 70, 32, 3, 3, 1, 1, 1, 1, false, false},
        {6, 56, 3, 64, 3, 3, 1, 1, 1, 1, true, true},     {8, 8, 300, 20, 1, 1, 2, 1, 0, 0, true, true}, {4, 5, 40, 7, 2, 3, 1, 1, 1, 0, false, false}};
    for (uint32_t i = 0; i < 2 * COUNT(shapes); i++) {
        const Shape *z = &shapes[i / 2];
        char name[32];
        snprintf(name, sizeof name, "crossed_%u", i);
        Case c = begin_case(name);
        c.depth = z->r * z->s * z->c;
        Loc l = {0};
        Dim n = z->symbolic ? symbol(&c, "n", 3) : dim_const(c.cx, i & 1 ? 1 : 2), ch = dim_const(c.cx, z->c);
        Dim dims[] = {n, z->symbolic ? symbol(&c, "h", z->h) : dim_const(c.cx, z->h), dim_const(c.cx, z->w), ch}, planes[] = {n, ch, dims[1], dims[2]};
        Val x = z->planes ? b_permute(c.g, l, param(&c, DT_f32, 4, planes), DIMS(0, 2, 3, 1)) : param(&c, DT_f32, 4, dims);
        Val y = conv(&c, x, weights(&c, 4, DIMS(z->r, z->s, z->c, z->f)), 2, z, 1);
        y = b_binary(c.g, l, OP_add, y, weights(&c, 1, DIMS(z->f)));
        if (i & 1) y = b_unary(c.g, l, OP_sigmoid, b_binary(c.g, l, OP_add, y, param(&c, DT_f32, 4, val_type(c.g, y)->dims)));
        end_case(&c, b_permute(c.g, l, y, DIMS(0, 3, 1, 2)));
    }
    Case c = begin_case("crossed_dot");
    Dim s = symbol(&c, "s", 21), in[] = {dim_const(c.cx, 2), s, dim_const(c.cx, 32)};
    c.depth = 32;
    Val y = b_dot(c.g, (Loc){0}, param(&c, DT_f32, 3, in), weights(&c, 2, DIMS(32, 50)), 0);
    end_case(&c, b_permute(c.g, (Loc){0}, y, DIMS(0, 2, 1)));
    c = begin_case("crossed_batch");
    c.depth = 300;
    y = b_dot(c.g, (Loc){0}, param_i(&c, DT_f32, 3, DIMS(3, 19, 300)), weights(&c, 3, DIMS(3, 300, 37)), 1);
    end_case(&c, b_permute(c.g, (Loc){0}, y, DIMS(0, 2, 1)));
}

/* Lanes over several groups: z->c channels and z->f filters in all. */
static void test_conv_groups(void **state) {
    (void)state;
    static const struct { int64_t groups; Shape shape; } cases[] = {
        {16, {5, 5, 16, 16, 3, 3, 1, 1, 1, 1, false, false}}, {40, {13, 11, 40, 40, 3, 3, 1, 1, 1, 1, false, false}},
        {21, {9, 17, 21, 21, 3, 3, 2, 1, 1, 1, false, false}}, {33, {7, 19, 33, 33, 5, 3, 1, 2, 2, 3, true, false}},
        {3, {6, 23, 3, 3, 3, 3, 1, 1, 1, 1, true, true}}, {12, {8, 10, 12, 24, 3, 3, 1, 1, 1, 0, false, false}},
        {8, {7, 9, 32, 32, 3, 3, 1, 1, 1, 1, true, false}}, {5, {5, 18, 40, 20, 1, 3, 1, 1, 0, 1, false, true}},
        {4, {6, 7, 12, 8, 2, 2, 2, 1, 0, 1, false, false}}, {7, {5, 12, 56, 56, 3, 3, 1, 3, 3, 3, false, false}},
        /* 3, 12, 24, 40 and 3 filters of a group: pass align */
        {4, {6, 7, 12, 12, 3, 3, 1, 1, 1, 1, false, false}}, {3, {5, 9, 18, 36, 3, 3, 1, 1, 1, 1, true, false}},
        {2, {5, 8, 10, 48, 1, 1, 1, 1, 0, 0, false, false}}, {2, {4, 7, 80, 80, 3, 3, 2, 1, 1, 1, false, true}},
        {9, {6, 9, 9, 27, 3, 3, 1, 1, 1, 1, false, false}},
        /* channels first on both sides: template planes */
        {5, {9, 39, 5, 5, 3, 3, 1, 1, 1, 1, false, true}}, {4, {11, 40, 4, 4, 3, 3, 2, 1, 1, 1, false, true}},
        {3, {7, 50, 3, 3, 5, 5, 2, 1, 2, 2, true, true}}, {2, {10, 21, 2, 2, 3, 3, 2, 2, 0, 3, false, true}},
        {2, {8, 70, 2, 2, 2, 4, 1, 2, 1, 0, false, true}}};
    for (uint32_t i = 0; i < COUNT(cases); i++) {
        const Shape *z = &cases[i].shape;
        int64_t groups = cases[i].groups;
        char name[32];
        snprintf(name, sizeof name, "conv_groups_%u", i);
        Case c = begin_case(name);
        c.depth = z->r * z->s * z->c / groups;
        Loc l = {0};
        Dim n = z->symbolic ? symbol(&c, "n", 2) : dim_const(c.cx, 2), ch = dim_const(c.cx, z->c);
        Dim width = z->symbolic ? symbol(&c, "w", z->w) : dim_const(c.cx, z->w);
        Dim dims[] = {n, z->symbolic ? symbol(&c, "h", z->h) : dim_const(c.cx, z->h), width, ch}, planes[] = {n, ch, dims[1], dims[2]};
        Val x = z->planes ? b_permute(c.g, l, param(&c, DT_f32, 4, planes), DIMS(0, 2, 3, 1)) : param(&c, DT_f32, 4, dims);
        Val y = conv(&c, x, weights(&c, 4, DIMS(z->r, z->s, z->c / groups, z->f)), 2, z, groups);
        y = b_binary(c.g, l, OP_add, y, weights(&c, 1, DIMS(z->f)));
        if (i & 1) y = b_binary(c.g, l, OP_add, y, param(&c, DT_f32, 4, val_type(c.g, y)->dims));
        y = b_binary(c.g, l, OP_max, y, b_scalar(c.g, l, DT_f32, 0));
        end_case(&c, z->planes ? b_permute(c.g, l, y, DIMS(0, 3, 1, 2)) : y);
    }
    Shape z = {.stride = 2, .dilation = 1, .low = 1, .high = 1};
    Case c = begin_case("conv_groups_1d");
    c.depth = 3;
    end_case(&c, conv(&c, param_i(&c, DT_f32, 3, DIMS(2, 19, 20)), weights(&c, 3, DIMS(3, 1, 20)), 1, &z, 20));
    c = begin_case("conv_groups_3d");
    c.depth = 27;
    end_case(&c, conv(&c, param_i(&c, DT_f32, 5, DIMS(1, 5, 4, 9, 20)), weights(&c, 5, DIMS(3, 3, 3, 1, 20)), 3, &z, 20));
}

/* A convolution in groups, an activation, one of one tap to `filters`: strips of every height, lines left over, borders, rows that do
 * not fill tiles; with a residual. */
static void test_separable(void **state) {
    (void)state;
    static const struct { int64_t groups, filters; Shape shape; } cases[] = {
        {40, 24, {13, 11, 40, 40, 3, 3, 1, 1, 1, 1, false, false}}, {21, 70, {9, 17, 21, 21, 3, 3, 2, 1, 1, 1, false, false}},
        {33, 16, {7, 19, 33, 33, 5, 3, 1, 2, 2, 3, true, false}},   {8, 40, {7, 28, 32, 32, 3, 3, 1, 1, 1, 1, false, false}},
        {16, 3, {30, 16, 16, 16, 3, 3, 1, 1, 1, 1, false, false}}};
    for (uint32_t i = 0; i < COUNT(cases); i++) {
        const Shape *z = &cases[i].shape;
        char name[32];
        snprintf(name, sizeof name, "separable_%u", i);
        Case c = begin_case(name);
        c.depth = z->r * z->s * z->c, c.separable = true;
        Loc l = {0};
        Dim dims[] = {z->symbolic ? symbol(&c, "n", 3) : dim_const(c.cx, 3), z->symbolic ? symbol(&c, "h", z->h) : dim_const(c.cx, z->h),
                      z->symbolic ? symbol(&c, "w", z->w) : dim_const(c.cx, z->w), dim_const(c.cx, z->c)};
        Val y = conv(&c, param(&c, DT_f32, 4, dims), weights(&c, 4, DIMS(z->r, z->s, z->c / cases[i].groups, z->f)), 2, z, cases[i].groups);
        y = b_binary(c.g, l, OP_max, b_binary(c.g, l, OP_add, y, weights(&c, 1, DIMS(z->f))), b_scalar(c.g, l, DT_f32, 0));
        y = conv(&c, y, weights(&c, 4, DIMS(1, 1, z->f, cases[i].filters)), 2, &(Shape){.stride = 1, .dilation = 1}, 1);
        if (i & 1) y = b_binary(c.g, l, OP_add, y, param(&c, DT_f32, 4, val_type(c.g, y)->dims));
        end_case(&c, b_binary(c.g, l, OP_add, y, weights(&c, 1, DIMS(cases[i].filters))));
    }
    Shape z = {.stride = 2, .dilation = 1, .low = 1, .high = 1}, one = {.stride = 1, .dilation = 1};
    Case c = begin_case("separable_1d");
    c.depth = 60, c.separable = true;
    Val y = conv(&c, param_i(&c, DT_f32, 3, DIMS(20, 19, 20)), weights(&c, 3, DIMS(3, 1, 20)), 1, &z, 20);
    end_case(&c, conv(&c, y, weights(&c, 3, DIMS(1, 20, 24)), 1, &one, 1));
    c = begin_case("separable_3d");
    c.depth = 540, c.separable = true;
    y = conv(&c, param_i(&c, DT_f32, 5, DIMS(2, 5, 7, 9, 20)), weights(&c, 5, DIMS(3, 3, 3, 1, 20)), 3, &z, 20);
    end_case(&c, conv(&c, y, weights(&c, 5, DIMS(1, 1, 1, 20, 24)), 3, &one, 1));
}

static void test_conv_ranks(void **state) {
    (void)state;
    Shape z = {.stride = 2, .dilation = 1, .low = 1, .high = 1};
    Case c = begin_case("conv_1d");
    c.depth = 30;
    end_case(&c, conv(&c, param_i(&c, DT_f32, 3, DIMS(2, 19, 10)), weights(&c, 3, DIMS(3, 10, 20)), 1, &z, 1));
    c = begin_case("conv_3d");
    c.depth = 81;
    end_case(&c, conv(&c, param_i(&c, DT_f32, 5, DIMS(1, 5, 4, 6, 3)), weights(&c, 5, DIMS(3, 3, 3, 3, 18)), 3, &z, 1));
}

/* Squares of 2 and 4 results, whole and cut off, one block and several: z->r is the tile. */
static void winograd_case(const Shape *z, uint32_t i) {
    static const char *const names[] = {"x86-64-v3", "x86-64-v4"};
    char name[32];
    snprintf(name, sizeof name, "winograd_%u", i);
    Case c = begin_case(name);
    c.depth = 1000 * z->c; /* no filter gives such numbers: results cancel */
    c.large = z->c > 100;
    Loc l = {0};
    Dim n = z->symbolic ? symbol(&c, "n", 3) : dim_const(c.cx, 2), ch = dim_const(c.cx, z->c);
    Dim low = dim_const(c.cx, z->low), high = dim_const(c.cx, z->high);
    Dim dims[] = {n, z->symbolic ? symbol(&c, "h", z->h) : dim_const(c.cx, z->h), dim_const(c.cx, z->w), ch}, planes[] = {n, ch, dims[1], dims[2]};
    Val x = z->planes ? b_permute(c.g, l, param(&c, DT_f32, 4, planes), DIMS(0, 2, 3, 1)) : param(&c, DT_f32, 4, dims);
    Attr attrs[] = {{.key = ATTR_low, .n = 2, .as.dims = (Dim[]){low, low}}, {.key = ATTR_high, .n = 2, .as.dims = (Dim[]){high, high}},
                    {.key = ATTR_tile, .as.i = z->r}};
    Val y = emit(c.g, OP_winograd, l, (Val[]){x, weights(&c, 4, DIMS(z->r + 2, z->r + 2, z->c, z->f))}, 2, attrs, COUNT(attrs));
    y = b_binary(c.g, l, OP_add, y, weights(&c, 1, DIMS(z->f)));
    if (i & 1) y = b_binary(c.g, l, OP_add, y, param(&c, DT_f32, 4, val_type(c.g, y)->dims));
    graph_result(c.g, b_binary(c.g, l, OP_max, y, b_scalar(c.g, l, DT_f32, 0)), "y");
    if (!context_enter(c.cx) || !(c.g = graph_finish(c.g))) fail_with_diagnostics(c.cx, name);
    Tensor inputs[8];
    for (uint32_t p = 0; p < c.g->params.n; p++) fill_input(&c, c.g, &inputs[p], c.g->params.at[p]);
    if (__builtin_cpu_supports("x86-64-v3")) check_tiers(&c, inputs, names, COUNT(names));
    context_leave(c.cx);
    context_free(c.cx);
}

static void test_winograd(void **state) {
    (void)state;
    static const Shape shapes[] = {{8, 8, 16, 16, 4, 4, 1, 1, 1, 1, false, false},  {7, 9, 20, 40, 4, 4, 1, 1, 1, 0, false, false},
                                   {9, 6, 48, 32, 2, 2, 1, 1, 0, 2, true, false},   {5, 11, 17, 65, 2, 2, 1, 1, 1, 1, true, true},
                                   {3, 3, 8, 16, 4, 4, 1, 1, 0, 0, false, false},   {21, 18, 24, 8, 4, 4, 1, 1, 2, -1, true, false},
                                   {30, 29, 300, 24, 4, 4, 1, 1, 1, 1, false, false}};
    for (uint32_t i = 0; i < COUNT(shapes); i++) winograd_case(&shapes[i], i);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dot_sizes),  cmocka_unit_test(test_dot_few_rows), cmocka_unit_test(test_dot_depths),
        cmocka_unit_test(test_dot_symbolic), cmocka_unit_test(test_repeated_rows),
        cmocka_unit_test(test_dot_heads),  cmocka_unit_test(test_dot_split),    cmocka_unit_test(test_dot_transposed),
        cmocka_unit_test(test_dot_dtypes), cmocka_unit_test(test_conv),           cmocka_unit_test(test_conv_ranks),
        cmocka_unit_test(test_conv_groups), cmocka_unit_test(test_separable), cmocka_unit_test(test_winograd), cmocka_unit_test(test_crossed),
    };
    return have_llvm() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
