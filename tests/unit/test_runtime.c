/* test_runtime.c: the runtime and the generated interface, over a model written by hand (runtime_model.h), as machine code
 * of LLVM, C in libtcc, and a shared library of the C text: every status, memory, lending, threads, fork, float modes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <elf.h>

#include "artifact.h"
#include "ingot_frame.h"
#include "runtime_model.h"

typedef struct Io { int64_t n; const float *x; const int64_t *class_; float *a_b; float *a_b_2; int64_t u; } Io;
typedef struct Built {
    Context *cx;
    const ingot_model *model;
    const ingot_rt_model *rt;
    uint64_t (*memory_bytes)(int64_t);
    ingot_status (*create)(uint32_t, const ingot_options *, ingot_context **, ingot_error *);
    void (*destroy)(ingot_context *);
    ingot_status (*reserve)(ingot_context *, int64_t, ingot_error *);
    ingot_status (*run)(ingot_context *, Io *, ingot_error *);
    uint32_t signature;
} Built;

static void fail_with(Context *cx, const char *what) {
    for (uint32_t i = 0; i < diag_count(cx) && i < 5; i++) print_error("%s\n", diag_at(cx, i)->text);
    fail_msg("%s", what);
}
static void (*function_of(void *p))(void) {
    void (*f)(void);
    memcpy(&f, &p, sizeof f);
    return f;
}

static void *find(LoadedCode *code, void *library, const char *name) {
    void *p = code ? code_find(code, name) : dlsym(library, name);
    if (!p) fail_msg("%s is missing", name);
    return p;
}

static void bind_built(Built *b, LoadedCode *code, void *library) {
    b->memory_bytes = (uint64_t(*)(int64_t))function_of(find(code, library, "twice_memory_bytes"));
    b->create = (ingot_status(*)(uint32_t, const ingot_options *, ingot_context **, ingot_error *))function_of(
        find(code, library, "twice_create"));
    b->destroy = (void (*)(ingot_context *))function_of(find(code, library, "twice_destroy"));
    b->reserve = (ingot_status(*)(ingot_context *, int64_t, ingot_error *))function_of(find(code, library, "twice_reserve"));
    b->run = (ingot_status(*)(ingot_context *, Io *, ingot_error *))function_of(find(code, library, "twice_run"));
    b->model = ((ingot_get_model)function_of(find(code, library, "twice_model")))();
    b->rt = (const ingot_rt_model *)b->model->own;
}

typedef enum How { BY_LLVM, BY_TCC, BY_CC, N_HOW } How;

static bool text_library(Built *b, const LoopModule *m) {
    Temporary *folder = temporary_new(b->cx);
    const char *object = temporary_path(folder, "twice.o"), *library = temporary_path(folder, "libtwice.so");
    uint32_t n;
    EmitC options = {.before = runtime_text(m->arena, (RuntimeUse){.threads = true}), .declared = runtime_functions(&n)};
    options.n_declared = n;
    Text text = text_new(m->arena);
    if (!emit_c(m, &options, &text)) fail_with(b->cx, "emit_c");
    const char *exports[] = {"twice_memory_bytes", "twice_create", "twice_destroy",
                             "twice_reserve",      "twice_run",    "twice_model"};
    LinkShared link = {
        .path = library, .soname = "libtwice.so", .objects = &object, .n_objects = 1, .exports = exports, .n_exports = 6};
    if (!cc_object(b->cx, NULL, loop_target(m, NULL), text.at, text.n, object) || !link_shared(b->cx, &link))
        fail_with(b->cx, "cc");
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle) fail_msg("dlopen: %s", dlerror());
    bind_built(b, NULL, handle);
    return true;
}

static bool build(Built *b, How how) {
    *b = (Built){.cx = context_new(NULL)};
    TestModel t = test_model(b->cx, "twice", "x86-64");
    InterfaceOptions options = {.model_file = "twice.onnx", .threads = true};
    if (!artifact_interface(t.m, t.g, &t.facts, &options) || !loop_verify(t.m)) fail_with(b->cx, "interface");
    b->signature = (uint32_t)strtoul(strstr(loop_note(t.m, "header"), "TWICE_SIGNATURE") + 16, NULL, 16);
    uint32_t n;
    const CodeSymbol *symbols = runtime_symbols(t.m->arena, &n);
    if (how == BY_CC) return text_library(b, t.m);
    LoadedCode *code = NULL;
    if (how == BY_LLVM) {
        const uint8_t *object;
        size_t bytes;
        if (!have_llvm()) return false;
        if (!emit_llvm(t.m, &(EmitLlvm){.verify = true, .opt_level = 1}, LLVM_OBJECT, &object, &bytes))
            fail_with(b->cx, "llvm");
        code = llvm_load(b->cx, object, bytes, symbols, n);
    } else {
        Text text = text_new(t.m->arena);
        if (!have_tcc()) return false;
        if (!emit_c(t.m, NULL, &text)) fail_with(b->cx, "emit_c");
        code = tcc_load(b->cx, text.at, symbols, n);
    }
    if (!code) fail_with(b->cx, "load");
    bind_built(b, code, NULL);
    return true;
}

/* ---- data ---- */

typedef struct Data { float x[256], y[256], z[64]; int64_t class[64]; } Data;
static void fill(Data *d, int64_t n) {
    for (int64_t i = 0; i < 4 * n; i++) d->x[i] = (float)(i - 7) * 0.25f, d->y[i] = -1;
    for (int64_t i = 0; i < n; i++) d->class[i] = i % 4, d->z[i] = -1;
}
static void check(const Data *d, const float *y, const float *z, int64_t u, int64_t n) {
    for (int64_t i = 0; i < 4 * n; i++) assert_true(y[i] == d->x[i] * 2);
    assert_int_equal(u, (n + 3) / 4);
    for (int64_t i = 0; i < u; i++) assert_true(z[i] == (float)(4 * i));
}
static ingot_tensor tensor(void *data, uint64_t bytes, ingot_dtype t, int32_t rank, int64_t d0, int64_t d1) {
    ingot_tensor x = {.data = data, .bytes = bytes, .dtype = t, .rank = rank, .dims = {d0, d1}};
    return x;
}
typedef struct Call { ingot_tensor in[2], out[2]; ingot_call call; } Call;
static void call_init(Call *c, Data *d, int64_t n) {
    memset(c, 0, sizeof *c);
    c->in[0] = tensor(d->x, sizeof d->x, INGOT_F32, 2, n, 4);
    c->in[1] = tensor(d->class, sizeof d->class, INGOT_I64, 1, n, 0);
    c->out[0] = tensor(d->y, sizeof d->y, INGOT_F32, 0, 0, 0);
    c->out[1] = tensor(d->z, sizeof d->z, INGOT_F32, 0, 0, 0);
    c->call = (ingot_call){.size = sizeof c->call, .n_inputs = 2, .n_outputs = 2, .inputs = c->in, .outputs = c->out};
}
#define OPTIONS(...) (&(ingot_options){.size = sizeof(ingot_options), __VA_ARGS__})

static ingot_context *context(Built *b, const ingot_options *options) {
    ingot_context *c;
    ingot_error err = {0};
    if (b->create(b->signature, options, &c, &err)) fail_msg("create: %s", err.text);
    return c;
}

/* ---- tests, each for every way of building ---- */

static void test_typed(Built *b) {
    Data d;
    ingot_error err = {0};
    ingot_context *c = context(b, NULL);
    for (int64_t n = 0; n <= 64; n = n * 2 + 1) {
        fill(&d, n);
        Io io = {.n = n, .x = d.x, .class_ = d.class, .a_b = d.y, .a_b_2 = d.z};
        if (b->run(c, &io, &err)) fail_msg("run %d: %s", (int)n, err.text);
        check(&d, d.y, d.z, io.u, n);
        Io lent = {.n = n, .x = d.x, .class_ = d.class};
        assert_int_equal(b->run(c, &lent, &err), INGOT_OK);
        check(&d, lent.a_b, lent.a_b_2, lent.u, n);
        assert_int_equal(b->run(c, &lent, &err), INGOT_OK); /* what was lent is taken as lent again */
        check(&d, lent.a_b, lent.a_b_2, lent.u, n);
    }
    Io io = {.n = 65, .x = d.x, .class_ = d.class, .a_b = d.y, .a_b_2 = d.z};
    assert_int_equal(b->run(c, &io, &err), INGOT_E_SHAPE);
    assert_string_equal(err.text, "input 'x' axis 0 (n): found 65, expected at most 64");
    io.n = 8, io.x = NULL;
    assert_int_equal(b->run(c, &io, &err), INGOT_E_SHORT);
    assert_string_equal(err.text, "'x' has 0 bytes of memory, expected 128");
    ingot_context *other;
    assert_int_equal(b->create(b->signature + 1, NULL, &other, &err), INGOT_E_ABI);
    assert_null(other);
    b->destroy(c);
    b->destroy(NULL);
}

static void expect(Built *b, ingot_context *c, Call *call, ingot_status code, const char *text) {
    ingot_error err = {0};
    ingot_status rc = b->model->run(c, &call->call, &err);
    if (rc != code || strcmp(err.text, text) != 0) fail_msg("status %d: %s; expected %d: %s", rc, err.text, code, text);
    assert_int_equal(err.code, code);
}

static void test_statuses(Built *b) {
    Data d;
    Call k;
    ingot_context *c = context(b, NULL);
    fill(&d, 10);
#define CASE(change, code, text) call_init(&k, &d, 10), change, expect(b, c, &k, code, text)
    CASE(k.in[0].dtype = INGOT_F64, INGOT_E_DTYPE, "'x' has dtype 16386, expected 8194");
    CASE(k.in[0].rank = 1, INGOT_E_SHAPE, "'x' has rank 1, expected 2");
    CASE(k.in[0].dims[1] = 5, INGOT_E_SHAPE, "input 'x' axis 1: found 5, expected 4");
    CASE(k.in[0].dims[0] = -1, INGOT_E_SHAPE, "'x' has extent -1 on axis 0, out of range");
    CASE(k.in[1].dims[0] = 9, INGOT_E_SHAPE, "inputs 'x' and 'class' must have as many rows: found 10 and 9");
    CASE((k.in[0].dims[0] = k.in[1].dims[0] = 65, k.in[0].bytes = k.in[1].bytes = 4096), INGOT_E_SHAPE,
         "input 'x' axis 0 (n): found 65, expected at most 64");
    CASE(k.in[0].strides[0] = 8, INGOT_E_ARG, "'x' has strides, expected a dense tensor");
    CASE(k.in[0].device = 2, INGOT_E_DEVICE, "'x' is on device 2, expected the CPU: 1");
    CASE(k.in[0].bytes = 159, INGOT_E_SHORT, "'x' has 159 bytes of memory, expected 160");
    CASE((k.in[0].data = (char *)d.x + 2, k.in[0].bytes = 160), INGOT_E_ALIGN, "'x' is not aligned to its 4 bytes an element");
    CASE(k.in[0].data = NULL, INGOT_E_SHORT, "'x' has 0 bytes of memory, expected 160");
    CASE(k.out[0].data = d.x, INGOT_E_ARG, "'a.b' overlaps input number 0");
    CASE(k.out[0].strides[0] = 1, INGOT_E_ARG, "'a.b' has strides, expected a dense tensor");
    CASE(k.out[1].dtype = INGOT_I32, INGOT_E_DTYPE, "'a_b' has dtype 8192, expected 8194");
    CASE(k.call.n_inputs = 1, INGOT_E_ARG, "found 1 inputs and 2 outputs, expected 2 of entry 0, without state and stream");
    CASE(k.call.entry = 1, INGOT_E_ARG, "found 2 inputs and 2 outputs, expected 2 of entry 0, without state and stream");
    CASE(k.call.size = 8, INGOT_E_ABI, "the struct's size is 8, expected 80");
    CASE(k.call.stream = &k, INGOT_E_ARG, "found 2 inputs and 2 outputs, expected 2 of entry 0, without state and stream");
    CASE(k.out[0].bytes = 159, INGOT_E_SHORT, "'a.b' has 159 bytes of memory, expected 160");
    assert_true(k.out[0].rank == 2 && k.out[0].dims[0] == 10 && k.out[0].dims[1] == 4);
    for (int i = 0; i < 40; i++) assert_true(d.y[i] == -1); /* nothing was touched */
    CASE(k.out[1].bytes = 8, INGOT_E_SHORT, "'a_b' has 8 bytes of memory, expected 12");
    assert_true(k.out[1].rank == 1 && k.out[1].dims[0] == 3);
    d.class[7] = 9, d.class[8] = -1;
    CASE((void)0, INGOT_E_INDEX, "node 'Gather_3' (Gather): at position 7 found 9, limit 4");
    d.class[7] = 3, d.class[8] = 0;
    const uint32_t stop = 1;
    CASE(k.call.cancel = &stop, INGOT_E_CANCELLED, "cancelled");
    call_init(&k, &d, 10);
    k.out[0].data = k.out[1].data = NULL;
    assert_int_equal(b->model->run(c, &k.call, NULL), INGOT_OK);
    check(&d, k.out[0].data, k.out[1].data, k.out[1].dims[0], 10);
    assert_true(k.out[1].bytes == 12 && k.out[0].bytes == 160);
    b->destroy(c);
}

static void test_reserve(Built *b) {
    Data d;
    Call k;
    ingot_error err = {0};
    ingot_context *c = context(b, NULL);
    fill(&d, 64);
    call_init(&k, &d, 64);
    k.call.flags = 1;
    assert_int_equal(b->model->run(c, &k.call, &err), INGOT_E_RESERVE);
    assert_int_equal(b->reserve(c, 65, &err), INGOT_E_SHAPE);
    assert_int_equal(b->reserve(c, 64, &err), INGOT_OK);
    const void *work = c->own;
    for (int64_t n = 64; n >= 0; n -= 7) {
        fill(&d, n);
        call_init(&k, &d, n);
        k.call.flags = 1;
        if (b->model->run(c, &k.call, &err)) fail_msg("%s", err.text);
        check(&d, d.y, d.z, k.out[1].dims[0], n);
    }
    assert_ptr_equal(work, c->own);
    b->destroy(c);
}

static void test_query_and_memory(Built *b) {
    uint64_t last = 0, page = 4096;
    ingot_error err = {0};
    for (int64_t n = 0; n <= 64; n++) {
        ingot_tensor out[2] = {{0}};
        ingot_plan plan = {.size = sizeof plan, .n_outputs = 2, .outputs = out};
        assert_int_equal(b->model->query(b->model, 0, &n, &plan, &err), INGOT_OK);
        assert_true(plan.context[0] >= last && plan.context[0] == b->memory_bytes(n));
        assert_true(out[0].bytes == 16 * (uint64_t)n && out[1].bytes == 4 * (uint64_t)n && out[0].dims[1] == 4);
        last = plan.context[0];
        uint64_t whole = (last + page - 1) / page * page;
        uint8_t *map = mmap(NULL, whole + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(map + page, whole, PROT_READ | PROT_WRITE);
        uint8_t *base = map + page + (whole - last); /* ends at the guard page: bytes are multiples of 64 */
        ingot_context *c = context(b, OPTIONS(.memory[0] = {base, last}));
        assert_int_equal(b->reserve(c, n, &err), INGOT_OK);
        Data d;
        fill(&d, n);
        Io io = {.n = n, .x = d.x, .class_ = d.class, .a_b = d.y, .a_b_2 = d.z};
        assert_int_equal(b->run(c, &io, &err), INGOT_OK);
        check(&d, d.y, d.z, io.u, n);
        io.a_b = NULL;
        assert_int_equal(b->run(c, &io, &err), n ? INGOT_E_SHORT : INGOT_OK);
        if (n == 32) {
            Io more = {.n = 64, .x = d.x, .class_ = d.class, .a_b = d.y, .a_b_2 = d.z};
            assert_int_equal(b->run(c, &more, &err), INGOT_E_RESERVE);
            c = context(b, OPTIONS(.memory[0] = {base, last - 1}));
            assert_int_equal(b->reserve(c, n, &err), INGOT_E_MEMORY);
            assert_int_equal(b->create(b->signature, OPTIONS(.memory[0] = {base, 64}), &c, &err), INGOT_E_MEMORY);
            assert_int_equal(b->create(b->signature, OPTIONS(.memory[0] = {base + 8, last}), &c, &err), INGOT_E_ALIGN);
        }
        munmap(map, whole + 2 * page);
    }
    int64_t n = 65;
    ingot_plan plan = {.size = sizeof plan};
    assert_int_equal(b->model->query(b->model, 0, &n, &plan, &err), INGOT_E_SHAPE);
    assert_int_equal(b->memory_bytes(65), 0);
}

static void run_reversed(void *user, int64_t n, int32_t workers, ingot_task task, void *arg) {
    for (int64_t i = n; i-- > 0;) task(arg, i, (int32_t)(i % workers));
    ++*(int *)user;
}
static void run_shuffled(void *user, int64_t n, int32_t workers, ingot_task task, void *arg) {
    (void)workers;
    for (int64_t i = 0; i < n; i++) task(arg, (i * 7 + 3) % n, 0); /* n is no multiple of 7 here */
    ++*(int *)user;
}

static void run_with(Built *b, const ingot_parallel *p, int32_t workers) {
    Data d;
    Call k;
    ingot_error err = {0};
    ingot_context *c = context(b, OPTIONS(.parallel = p));
    for (int64_t n = 1; n <= 64; n += 9) {
        fill(&d, n);
        call_init(&k, &d, n);
        k.call.max_workers = workers;
        if (b->model->run(c, &k.call, &err)) fail_msg("%s", err.text);
        check(&d, d.y, d.z, k.out[1].dims[0], n);
    }
    d.class[63] = 5, d.class[40] = 6, d.class[20] = 7; /* in several ranges: the lowest wins */
    assert_int_equal(b->model->run(c, &k.call, &err), INGOT_E_INDEX);
    assert_string_equal(err.text, "node 'Gather_3' (Gather): at position 20 found 7, limit 4");
    b->destroy(c);
}

static void test_parallel(Built *b) {
    int runs = 0;
    ingot_parallel p = {.size = sizeof p, .workers = 5, .user = &runs, .run = run_reversed}, pool;
    run_with(b, &p, 0);
    assert_true(runs > 0);
    p.run = run_shuffled;
    run_with(b, &p, 0);
    assert_int_equal(b->model->pool_open(4, &pool, NULL), INGOT_OK);
    assert_int_equal(pool.workers, 4);
    for (int i = 0; i < 50; i++) run_with(b, &pool, i % 5);
    pid_t child = fork();
    if (child == 0) {
        run_with(b, &pool, 0); /* the pool's threads are not here: runs alone */
        b->model->pool_close(&pool);
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    run_with(b, &pool, 0);
    b->model->pool_close(&pool);
}

static void traced(void *user, const char *kernel, uint64_t ns) {
    (void)ns;
    assert_string_equal(kernel, "node 'Gather_3' (Gather)");
    ++*(int *)user;
}

static void test_float_mode_and_trace(Built *b) {
    Data d;
    Call k;
    int seen = 0;
    ingot_context *c = context(b, NULL);
    fill(&d, 2);
    d.x[0] = 1e-40f;
    call_init(&k, &d, 2);
    k.call.trace = traced, k.call.trace_user = &seen;
    uint32_t mode = 0xffc0, after = 0; /* flush to zero, denormals are zero, round towards zero */
    __asm__ volatile("ldmxcsr %0" : : "m"(mode));
    ingot_status rc = b->model->run(c, &k.call, NULL);
    __asm__ volatile("stmxcsr %0" : "=m"(after));
    mode = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(mode));
    assert_int_equal(rc, INGOT_OK);
    assert_true(d.y[0] == 2 * d.x[0] && d.y[0] > 0);
    assert_int_equal(after & 0xffc0, 0xffc0);
    assert_int_equal(seen, 1);
    b->destroy(c);
}

/* Three tiers: every machine runs the first, none the last; and one below which no machine is. */
static void test_cpu(Built *b) {
    static const ingot_rt_feature table[] = {{.leaf = 1, .reg = 3, .bit = 26, .tiers = 7, .name = "sse2"},
                                             {.leaf = 1, .reg = 3, .bit = 25, .tiers = 6, .name = "sse"},
                                             {.leaf = 7, .reg = 3, .bit = 0, .tiers = 4, .name = "never"},
                                             {.leaf = 7, .reg = 3, .bit = 0, .tiers = 1, .name = "never"},
                                             {.leaf = 7, .reg = 0, .bit = 31, .tiers = 1, .name = "neither"}};
    ingot_rt_model m = *b->rt;
    ingot_model public = {.own = &m};
    ingot_error err = {0};
    ingot_context *c;
    m.features = table, m.n_features = 3, m.n_tiers = 3;
    static const struct { uint32_t asked; int64_t tier; } rows[] = {{0, 1}, {1, 0}, {2, 1}, {3, 1}, {4, 1}, {UINT32_MAX, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ingot_options o = {.size = sizeof o, .tier = rows[i].asked};
        assert_int_equal(ingot_rt_create(&public, &o, &c, &err), INGOT_OK);
        assert_int_equal(c->tier, rows[i].tier);
        ingot_rt_destroy(c);
        o.size = offsetof(ingot_options, tier); /* a host of ABI 1.0 */
        assert_int_equal(ingot_rt_create(&public, &o, &c, &err), INGOT_OK);
        assert_int_equal(c->tier, 1);
        ingot_rt_destroy(c);
    }
    m.features = table + 3, m.n_features = 2, m.n_tiers = 1;
    assert_int_equal(ingot_rt_create(&public, NULL, &c, &err), INGOT_E_CPU);
    assert_string_equal(err.text, "this machine lacks never, which the model was compiled for");
}

static void test_model_by(void **state) {
    (void)state;
    for (int how = 0; how < N_HOW; how++) {
        Built b;
        if (!build(&b, (How)how)) continue;
        test_typed(&b);
        test_statuses(&b);
        test_reserve(&b);
        test_query_and_memory(&b);
        test_parallel(&b);
        test_float_mode_and_trace(&b);
        test_cpu(&b);
        context_free(b.cx);
    }
}

/* ---- header, objects ---- */

static void test_header(void **state) {
    (void)state;
    Context *cx = context_new(NULL);
    TestModel t = test_model(cx, "twice", "x86-64-v3");
    InterfaceOptions options = {.model_file = "evil*/name.onnx", .threads = true, .shared = true};
    if (!artifact_interface(t.m, t.g, &t.facts, &options)) fail_with(cx, "interface");
    const char *header = loop_note(t.m, "header");
    assert_non_null(strstr(header, "const int64_t *class_; /* i64[n] \"class\" */"));
    assert_non_null(strstr(header, "float *a_b; /* f32[n, 4] \"a.b\", or NULL: lent */"));
    assert_non_null(strstr(header, "float *a_b_2; /* f32[u] \"a_b\", room for the capacity, or NULL: lent */"));
    assert_non_null(strstr(header, "#define TWICE_X_DIM_1 4\n"));
    assert_non_null(strstr(header, "#define TWICE_MEMORY_MAX "));
    assert_non_null(strstr(header, "needs sse3"));
    Temporary *folder = temporary_new(cx);
    const char *path = temporary_path(folder, "twice.h"), *rt = temporary_path(folder, "ingot_rt.h"),
               *c = temporary_path(folder, "t.c");
    const char *object = temporary_path(folder, "t.o"); /* not /dev/null: as root, tcc replaces it by a file */
    const char *source = "#include \"twice.h\"\ntwice_io io; int f(void) { return sizeof(io) == 48 ? 0 : 1; }\n";
    assert_true(file_write(cx, path, header, strlen(header), 0644) && file_write(cx, c, source, strlen(source), 0644));
    assert_true(file_write(cx, rt, runtime_header(), strlen(runtime_header()), 0644));
    const char *const dialects[][8] = {
        {"cc", "-std=c99", "-ffreestanding", "-Wall", "-Wextra", "-pedantic", "-Werror", NULL}, {"tcc", "-Wall", NULL},
        {"c++", "-std=c++11", "-x", "c++", "-Wall", "-pedantic", "-Werror", NULL}};
    for (uint32_t i = 0; i < COUNT(dialects); i++) {
        const char *argv[16];
        uint32_t n = 0;
        while (dialects[i][n]) argv[n] = dialects[i][n], n++;
        if (!process_find(cx, argv, 1)) continue;
        argv[n++] = "-c", argv[n++] = c, argv[n++] = "-o", argv[n++] = object, argv[n] = NULL;
        if (!process_run(cx, argv)) fail_with(cx, argv[0]);
    }
    context_free(cx);
}

/* Bytes of the object's code: sections that are executable. */
static uint64_t code_bytes(const RuntimeObject *o) {
    Elf64_Ehdr h;
    uint64_t sum = 0;
    memcpy(&h, o->bytes, sizeof h);
    for (uint32_t i = 0; i < h.e_shnum; i++) {
        Elf64_Shdr s;
        memcpy(&s, o->bytes + h.e_shoff + i * sizeof s, sizeof s);
        if (s.sh_flags & SHF_EXECINSTR) sum += s.sh_size;
    }
    return sum;
}

static void test_sizes(void **state) {
    (void)state;
    Context *cx = context_new(NULL);
    uint32_t n;
    uint64_t single = 0, all = 0;
    const RuntimeObject *o = runtime_objects(cx->arena, (RuntimeUse){0}, &n);
    for (uint32_t i = 0; i < n; i++) single += code_bytes(&o[i]);
    o = runtime_objects(cx->arena, (RuntimeUse){.threads = true, .weights = true}, &n);
    for (uint32_t i = 0; i < n; i++) all += code_bytes(&o[i]);
    print_message("runtime code: single-threaded %d, threads and weights %d bytes\n", (int)single, (int)all);
    assert_true(single <= 2048 && all <= 16384);
    context_free(cx);
}

static void prefix_count(void *user, const char *name) {
    int *counts = user;
    counts[strncmp(name, "twice_rt_", 9) == 0 ? 0 : strncmp(name, "ingot_rt_", 9) == 0 ? 1 : 2]++;
}

static void test_rename(void **state) {
    (void)state;
    Context *cx = context_new(NULL);
    uint32_t n;
    const RuntimeObject *o = runtime_objects(cx->arena, (RuntimeUse){.threads = true, .weights = true}, &n);
    for (uint32_t i = 0; i < n; i++) {
        int counts[3] = {0, 0, 0};
        size_t bytes;
        const uint8_t *renamed = elf_rename(cx, o[i].bytes, o[i].n, "ingot_rt_", "twice_rt_", &bytes);
        assert_non_null(renamed);
        assert_true(elf_each_symbol(renamed, bytes, prefix_count, counts));
        assert_true(counts[0] > 0 && counts[1] == 0);
        for (size_t cut = 0; cut < o[i].n; cut += 97) { /* truncated objects are refused or harmless */
            uint8_t *part = malloc(cut + 1);
            memcpy(part, o[i].bytes, cut);
            (void)elf_rename(cx, part, cut, "ingot_rt_", "twice_rt_", &bytes);
            free(part);
        }
    }
    context_free(cx);
}

/* ---- weights ---- */

static int32_t read_memory(void *user, uint64_t offset, void *to, uint64_t n) {
    memcpy(to, (const char *)user + offset, n);
    return 0;
}

static void test_weights(void **state) {
    (void)state;
    Context *cx = context_new(NULL);
    _Alignas(64) uint8_t blob[64 + 200];
    ingot_rt_weights_header h = {.magic = "INGOTWT", .bytes = 200, .layout = 42};
    h.magic[7] = '1';
    Sha256 sha;
    for (int i = 0; i < 200; i++) blob[64 + i] = (uint8_t)(i * 7);
    sha256_init(&sha);
    sha256_add(&sha, blob + 64, 200);
    sha256_end(&sha, h.sha256);
    memcpy(blob, &h, sizeof h);
    ingot_rt_model m = {.name = "w", .weights_bytes = 200, .weights_layout = 42};
    ingot_model pub = {.own = &m};
    Temporary *folder = temporary_new(cx);
    const char *path = temporary_path(folder, "w.weights");
    assert_true(file_write(cx, path, blob, sizeof blob, 0644));
    ingot_source sources[] = {
        {.memory = {blob, sizeof blob}}, {.read = read_memory, .user = blob}, {.path = path}, {.path = path, .flags = 2}};
    ingot_error err = {0};
    ingot_weights *w;
    for (uint32_t i = 0; i < COUNT(sources); i++) {
        sources[i].size = sizeof sources[i];
        sources[i].flags |= 1;
        if (ingot_rt_weights_open(&pub, &sources[i], &w, &err)) fail_msg("source %u: %s", i, err.text);
        ingot_context c = {.m = &m};
        assert_int_equal(ingot_rt_use_weights(&c, w, &err), INGOT_OK);
        ingot_rt_weights_close(w);
        assert_memory_equal(c.weights, blob + 64, 200);
        ingot_rt_weights_close(c.held);
    }
    blob[100] ^= 1;
    assert_int_equal(ingot_rt_weights_open(&pub, &sources[0], &w, &err), INGOT_E_WEIGHTS);
    assert_string_equal(err.text, "the given memory: the hash of the weights is wrong: the data is damaged");
    m.weights_layout = 43;
    assert_int_equal(ingot_rt_weights_open(&pub, &sources[2], &w, &err), INGOT_E_WEIGHTS);
    assert_non_null(strstr(err.text, "packed for another layout"));
    sources[0].memory.bytes = 63;
    assert_int_equal(ingot_rt_weights_open(&pub, &sources[0], &w, &err), INGOT_E_WEIGHTS);
    assert_int_equal(ingot_rt_weights_open(&pub, NULL, &w, &err), INGOT_E_WEIGHTS); /* no file beside this program */
    assert_null(w);
    context_free(cx);
}

/* ---- kernels that run together: every element once, whatever the number of workers, in one fork ---- */

typedef struct Counted { int32_t times[64]; int64_t most, worker; } Counted;
static int32_t count_range(void *args, int64_t lo, int64_t hi, int64_t worker) {
    Counted *c = args;
    for (int64_t i = lo; i < hi; i++) c->times[i]++;
    if (hi - lo > c->most) c->most = hi - lo, c->worker = worker;
    return lo <= 63 && 63 < hi ? 7 : 0;
}
static void run_in_turn(void *user, int64_t n, int32_t workers, ingot_task task, void *arg) {
    ++*(int *)user;
    assert_in_range(n, 2, workers);
    for (int64_t i = n - 1; i >= 0; i--) task(arg, i, 0);
}

static void test_together(void **state) {
    (void)state;
    static const int64_t extents[][3] = {{9, 9, 9}, {1, 1, 1}, {3, 0, 5}, {50, 2, 1}, {63, 63, 63}};
    static const int64_t pieces[][3] = {{9, 9, 9}, {1, 1, 1}, {0, 0, 0}, {3, 1, 0}, {1, 50, 2}};
    int64_t fails[FRAME_MAX_WORKERS * FRAME_FAIL_SLOTS] = {0};
    for (size_t e = 0; e < COUNT(extents); e++)
        for (size_t p = 0; p < COUNT(pieces); p++)
            for (int64_t workers = 1; workers <= 5; workers++) {
                int forks = 0;
                ingot_parallel parallel = {sizeof parallel, (int32_t)workers, &forks, run_in_turn};
                ingot_context c = {.workers = workers, .parallel = &parallel, .fails = fails};
                Counted counted[3] = {0};
                struct ingot_rt_kernel kernels[3];
                for (int k = 0; k < 3; k++)
                    kernels[k] = (struct ingot_rt_kernel){count_range, &counted[k], extents[e][k], pieces[p][k]};
                assert_int_equal(ingot_rt_launch_together(&c, kernels, 3), 0);
                assert_in_range(forks, 0, 1);
                for (int k = 0; k < 3; k++)
                    for (int i = 0; i < 64; i++) assert_int_equal(counted[k].times[i], i < extents[e][k]);
                if (e == 0 && p == 0 && workers == 2) /* the longer ranges take turns */
                    assert_true(counted[0].most == 5 && counted[0].worker != counted[1].worker);
                if (e == 1 && p == 1 && workers > 2) /* too small to cut, yet side by side */
                    assert_true(counted[0].worker != counted[1].worker && counted[1].worker != counted[2].worker);
            }
}

static void test_together_fails(void **state) {
    (void)state;
    int forks = 0;
    int64_t fails[FRAME_MAX_WORKERS * FRAME_FAIL_SLOTS] = {0};
    for (int64_t workers = 1; workers <= 3; workers++) {
        ingot_parallel parallel = {.size = sizeof parallel, .workers = (int32_t)workers, .user = &forks, .run = run_in_turn};
        ingot_context c = {.workers = workers, .parallel = &parallel, .fails = fails};
        Counted counted[2] = {0};
        struct ingot_rt_kernel kernels[2] = {{count_range, &counted[0], 20, 20}, {count_range, &counted[1], 64, 20}};
        assert_int_equal(ingot_rt_launch_together(&c, kernels, 2), 7);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_together), cmocka_unit_test(test_together_fails),
        cmocka_unit_test(test_model_by), cmocka_unit_test(test_header), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_rename),   cmocka_unit_test(test_weights)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
