/* test_api.c: ingot.h as a host uses it: compiling from and to memory, models in this process, diagnostics, errors. */
#include "ingot.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char text[] = "graph @f(%1 \"x\": f32[n,4], %2 \"w\": f32[4,4]) where n in [1,64] {\n"
                           "  %3 = dot %1, %2 {batch=0, chunk=512}\n"
                           "  %4 = exp %3\n"
                           "  return %4 \"y\"\n"
                           "}\n";
static const ingot_input input = {.size = sizeof input, .path = "f.graph", .bytes = text, .n = sizeof text - 1};

typedef struct Seen { int errors, stages; char last[300]; } Seen;
static void see(void *user, int32_t kind, const char *where, const char *message) {
    Seen *s = user;
    if (kind == INGOT_ERROR) s->errors++;
    snprintf(s->last, sizeof s->last, "%s|%s", where, message);
}
static void stage(void *user, const char *name) { ((Seen *)user)->stages += *name != 0; }

/* y = exp(x w) for x of n rows; the answer of row 0, column 0 in *first. */
static ingot_status run(const ingot_model *m, int64_t n, float *first, ingot_error *err) {
    float *x = calloc((size_t)n * 4 + 4, 4), w[16] = {1, 2, 3, 4}, *y = calloc((size_t)n * 4 + 4, 4);
    ingot_context *c;
    assert_int_equal(m->create(m, NULL, &c, err), INGOT_OK);
    x[0] = 0.5f;
    ingot_tensor in[2] = {{.data = x, .bytes = (uint64_t)n * 16, .dims = {n, 4}, .dtype = INGOT_F32, .rank = 2},
                          {.data = w, .bytes = sizeof w, .dims = {4, 4}, .dtype = INGOT_F32, .rank = 2}};
    ingot_tensor out = {.data = y, .bytes = (uint64_t)n * 16, .dtype = INGOT_F32, .rank = 2};
    ingot_call call = {.size = sizeof call, .n_inputs = 2, .n_outputs = 1, .inputs = in, .outputs = &out};
    ingot_status status = m->run(c, &call, err);
    if (!status) {
        assert_int_equal(out.dims[0], n);
        *first = y[0];
    }
    m->destroy(c);
    free(x);
    free(y);
    return status;
}

static void in_process(void **state) {
    static const char *const backends[] = {"llvm", "c", "interpreter"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        ingot_settings s = {.size = sizeof s, .backend = backends[i]};
        const ingot_model *m;
        ingot_error err = {0};
        float y = 0;
        ingot_status status = ingot_jit(&input, &s, &m, &err);
        if (status && strstr(err.text, "this build")) continue; /* without LLVM or libtcc */
        assert_int_equal(status, INGOT_OK);
        assert_int_equal(m->n_symbols, 1);
        assert_int_equal(m->symbols[0]->max, 64);
        assert_int_equal(run(m, 3, &y, &err), INGOT_OK);
        assert_true(y > 1.648f && y < 1.649f);
        assert_int_equal(run(m, 64, &y, &err), INGOT_OK);
        assert_int_not_equal(run(m, 65, &y, &err), INGOT_OK);
        assert_non_null(strstr(err.text, "64"));
        ingot_jit_close(m);
    }
}

/* Two models at once, closed in the other order; a null close does nothing. */
static void two_models(void **state) {
    const ingot_model *a, *b;
    ingot_error err;
    float y;
    (void)state;
    assert_int_equal(ingot_jit(&input, NULL, &a, &err), INGOT_OK);
    assert_int_equal(ingot_jit(&input, NULL, &b, &err), INGOT_OK);
    assert_int_equal(run(a, 1, &y, &err), INGOT_OK);
    ingot_jit_close(a);
    assert_int_equal(run(b, 2, &y, &err), INGOT_OK);
    ingot_jit_close(b);
    ingot_jit_close(NULL);
}

/* The observer's launch: of the one kernel of n rows. */
static void observed(void *user, const ingot_launch *l) {
    *(ingot_launch *)user = *l;
    assert_int_equal(l->kernel, 0);
}

/* A profile and a schedule from memory, which changes no bit; without the flag there is nothing to observe. */
static void profiles(void **state) {
    static const char *const backends[] = {"llvm", "c"};
    static const char schedule[] = "\"\" on x86-64-v3 {tile_m=1}\n\"\" on x86-64-v4 {tile_m=1}\n";
    static const char wrong[] = "\n\"\" {tile_m=0}\n";
    (void)state;
    for (int i = 0; i < 2; i++) {
        Seen seen = {0};
        ingot_settings s = {.size = sizeof s, .backend = backends[i], .flags = INGOT_PROFILE};
        s.schedule_text = schedule, s.schedule_bytes = sizeof schedule - 1;
        const ingot_model *m;
        ingot_error err = {0};
        ingot_launch l = {0};
        float x[12] = {0.5f}, w[16] = {1, 2, 3, 4}, y[12];
        ingot_context *c;
        ingot_status status = ingot_jit(&input, &s, &m, &err);
        if (status && strstr(err.text, "this build")) continue;
        if (status) fail_msg("%s: %s", backends[i], err.text);
        assert_true(INGOT_HAS(ingot_model, m, observe) && m->observe && m->n_kernels == 1);
        assert_string_equal(m->kernels[0]->kind, "contraction");
        assert_int_equal(m->create(m, NULL, &c, &err), INGOT_OK);
        ingot_tensor in[2] = {{.data = x, .bytes = sizeof x, .dims = {3, 4}, .dtype = INGOT_F32, .rank = 2},
                              {.data = w, .bytes = sizeof w, .dims = {4, 4}, .dtype = INGOT_F32, .rank = 2}};
        ingot_tensor out = {.data = y, .bytes = sizeof y, .dtype = INGOT_F32, .rank = 2};
        ingot_call call = {.size = sizeof call, .n_inputs = 2, .n_outputs = 1, .inputs = in, .outputs = &out};
        m->observe(c, observed, &l);
        ingot_status ran = m->run(c, &call, &err);
        if (ran) fail_msg("%s: %s", backends[i], err.text);
        assert_true(l.end_ns >= l.begin_ns && l.begin_ns > 0);
        assert_true(l.flops == 3 * 4 * (2 * 4 + 20) && l.read == sizeof x + sizeof w && l.written == sizeof y &&
                    l.weights == 0);
        m->destroy(c);
        ingot_jit_close(m);
        s.flags = 0;
        assert_int_equal(ingot_jit(&input, &s, &m, &err), INGOT_OK);
        assert_false(INGOT_HAS(ingot_model, m, observe) && m->observe);
        ingot_jit_close(m);
        s.schedule_text = wrong, s.schedule_bytes = sizeof wrong - 1, s.user = &seen, s.diagnostic = see;
        assert_int_equal(ingot_jit(&input, &s, &m, &err), INGOT_E_ARG);
        assert_non_null(strstr(seen.last, "schedule:2:5|tile_m = 0"));
    }
}

static void to_memory(void **state) {
    static const char *const kinds[] = {"graph", "loop", "c", "header", "dot"};
    ingot_bytes one, two, side, side_too;
    ingot_error err;
    (void)state;
    for (int i = 0; i < 5; i++) {
        ingot_settings s = {.size = sizeof s, .emit = kinds[i], .name = "f"};
        assert_int_equal(ingot_compile_memory(&input, &s, &one, &side, &err), INGOT_OK);
        assert_int_equal(ingot_compile_memory(&input, &s, &two, &side_too, &err), INGOT_OK);
        assert_int_equal(one.n, two.n);
        assert_int_equal(side.n, side_too.n);
        assert_memory_equal(one.at, two.at, one.n);
        ingot_free(one.at);
        ingot_free(two.at);
        ingot_free(side.at);
        ingot_free(side_too.at);
    }
}

/* A printed module in memory is an input. */
static void loop_from_memory(void **state) {
    ingot_settings s = {.size = sizeof s, .emit = "loop", .name = "f"};
    ingot_bytes loop, side, direct, again;
    ingot_error err;
    (void)state;
    assert_int_equal(ingot_compile_memory(&input, &s, &loop, &side, &err), INGOT_OK);
    ingot_input in = {.size = sizeof in, .path = "f.loop", .bytes = loop.at, .n = loop.n, .side = side.at, .side_n = side.n};
    s.emit = "c";
    assert_int_equal(ingot_compile_memory(&input, &s, &direct, NULL, &err), INGOT_OK);
    s.name = NULL;
    assert_int_equal(ingot_compile_memory(&in, &s, &again, NULL, &err), INGOT_OK);
    assert_int_equal(direct.n, again.n);
    assert_memory_equal(direct.at, again.at, direct.n);
    ingot_free(loop.at);
    ingot_free(side.at);
    ingot_free(direct.at);
    ingot_free(again.at);
}

static void mistakes(void **state) {
    static const struct { const char *text, *wanted; ingot_status status; } cases[] = {
        {"graph @f(%1 \"x\": f32[4]) { %2 = expp %1 return %2 \"y\" }", "expp", INGOT_E_MODEL},
        {"\x08\x07garbage", "", INGOT_E_MODEL},
        {"", "", INGOT_E_MODEL},
        {"loop @m target \"pdp-11\"\n", "", INGOT_E_MODEL}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Seen seen = {0};
        ingot_settings s = {.size = sizeof s, .user = &seen, .diagnostic = see, .progress = stage};
        ingot_input in = {.size = sizeof in, .bytes = cases[i].text, .n = strlen(cases[i].text)};
        const ingot_model *m = (const ingot_model *)&seen;
        ingot_error err = {0};
        assert_int_equal(ingot_jit(&in, &s, &m, &err), cases[i].status);
        assert_null(m);
        assert_true(seen.errors > 0);
        assert_non_null(strstr(err.text, cases[i].wanted));
    }
}

static void wrong_settings(void **state) {
    const ingot_model *m;
    ingot_error err;
    (void)state;
    ingot_settings backend = {.size = sizeof backend, .backend = "gpu"};
    assert_int_equal(ingot_jit(&input, &backend, &m, &err), INGOT_E_ARG);
    ingot_settings cpu = {.size = sizeof cpu, .cpu = "m68k"};
    assert_int_equal(ingot_jit(&input, &cpu, &m, &err), INGOT_E_ARG);
    ingot_settings memory = {.size = sizeof memory, .memory_limit = 200000};
    assert_int_equal(ingot_jit(&input, &memory, &m, &err), INGOT_E_LIMIT);
    ingot_settings clock = {.size = sizeof clock, .time_limit = 1e-9};
    assert_int_equal(ingot_jit(&input, &clock, &m, &err), INGOT_E_LIMIT);
    assert_int_equal(ingot_jit_file("/nonexistent/m.onnx", NULL, &m, &err), INGOT_E_SYSTEM);
    assert_int_equal(ingot_jit_onnx(NULL, 0, NULL, &m, &err), INGOT_E_ARG);
    /* An older caller's struct: what lies behind its size is not read. */
    ingot_settings old = {.size = 8, .backend = (const char *)1};
    assert_int_equal(ingot_jit(&input, &old, &m, &err), INGOT_OK);
    ingot_jit_close(m);
}

static void add(void *user, const char *from, uint64_t n) {
    size_t *bytes = user;
    *bytes += (size_t)n;
    assert_non_null(from);
}

static void explains(void **state) {
    size_t bytes = 0;
    ingot_error err;
    (void)state;
    assert_int_equal(ingot_explain(&input, NULL, INGOT_TEXT, add, &bytes, &err), INGOT_OK);
    assert_int_equal(ingot_explain(&input, NULL, INGOT_JSON, add, &bytes, &err), INGOT_OK);
    assert_true(bytes > 100);
}

static void elements(void **state) {
    uint8_t at[8];
    (void)state;
    ingot_set_element(INGOT_F16, at, 1.5);
    assert_true(ingot_element(INGOT_F16, at) == 1.5);
    ingot_set_element(INGOT_I64, at, -7);
    assert_true(ingot_element(INGOT_I64, at) == -7);
    assert_string_equal(ingot_dtype_name(INGOT_BF16), "bf16");
    assert_string_equal(ingot_dtype_name(77), "?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_process),       cmocka_unit_test(two_models), cmocka_unit_test(to_memory),
        cmocka_unit_test(loop_from_memory), cmocka_unit_test(mistakes),   cmocka_unit_test(wrong_settings),
        cmocka_unit_test(explains),         cmocka_unit_test(elements),   cmocka_unit_test(profiles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
