/* test_base.c: all of base/: memory and its budget, maps, strings, arithmetic, diagnostics, floats, files, SHA-256. */
#define _GNU_SOURCE
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base.h"

static const Loc nowhere = {0};

static int setup(void **state) { return (*state = context_new(NULL)) ? 0 : -1; }
static int teardown(void **state) {
    context_free(*state);
    return 0;
}

static uint64_t random_next(uint64_t *s) {
    *s ^= *s << 13;
    *s ^= *s >> 7;
    return *s ^= *s << 17;
}

/* ---- memory ---- */

static void arena_zeroes_and_aligns(void **state) {
    Context *cx = *state;
    uint64_t before = cx->memory_used, seed = 1;
    Arena *arena = arena_new(cx), *other = arena_new(cx);
    for (int i = 0; i < 3000; i++) {
        size_t n = random_next(&seed) % (i % 100 ? 300 : 300000);
        uint8_t *at = arena_alloc(arena, n);
        assert_non_null(at);
        assert_int_equal((uintptr_t)at % 16, 0);
        for (size_t k = 0; k < n; k++) assert_int_equal(at[k], 0);
        memset(at, 0xFF, n);
    }
    assert_string_equal(arena_copy(other, "copy", 5), "copy");
    assert_string_equal(arena_print(other, "%d-%s", 42, "x"), "42-x");
    assert_int_equal(arena_new_array(other, int64_t, 5)[4], 0);
    assert_true(cx->memory_used > before);
    arena_free(arena);
    arena_free(other);
    assert_int_equal(cx->memory_used, before);
    arena_new(cx); /* left to context_free */
}

static void vectors_grow(void **state) {
    Context *cx = *state;
    VEC(uint32_t) v = {0};
    for (uint32_t i = 0; i < 100000; i++) vec_push(cx->arena, &v, i * 3);
    assert_int_equal(v.n, 100000);
    for (uint32_t i = 0; i < v.n; i++) assert_int_equal(v.at[i], i * 3);
    vec_last(&v) = 7;
    assert_int_equal(v.at[99999], 7);
    typedef struct Pair {
        int a;
        double b;
    } Pair;
    VEC(Pair) pairs = {0};
    vec_push(cx->arena, &pairs, (Pair){1, 2.5});
    assert_true(vec_last(&pairs).b == 2.5);
}

static bool exhaust(Context *cx, int how) {
    if (!context_enter(cx)) return true;
    if (how == 0)
        for (;;) arena_alloc(cx->arena, 1000);
    if (how == 1) arena_alloc(cx->arena, SIZE_MAX - 3);
    if (how == 2) arena_array(cx->arena, SIZE_MAX / 2, 3);
    if (how == 3)
        for (;;) context_spend(cx, 1000);
    if (how == 4) context_spend(cx, UINT64_MAX);
    if (how == 5)
        for (;;) diag_error(cx, nowhere, "%0200d", 1);
    if (how == 6) BUG(cx, "number %d", 6);
    if (how == 7) REQUIRE(cx, 1 + 1 == 3);
    REQUIRE(cx, true);
    context_leave(cx);
    return false;
}

static void budgets_unwind(void **state) {
    (void)state;
    static const char *const expected[] = {
        "out of memory: compiling needs more than the limit of 300000 bytes",
        "out of memory: cannot allocate",
        "out of memory: cannot allocate",
        "out of fuel: folding, proving and interpreting need more than the limit of 5000 steps",
        "out of fuel",
        "out of memory",
        "internal error: number 6 (test_base.c:",
        "internal error: violated: 1 + 1 == 3",
    };
    for (int how = 0; how < 8; how++) {
        Context *cx = context_new(&(Limits){.memory_bytes = 300000, .fuel = 5000});
        assert_true(exhaust(cx, how));
        assert_false(cx->armed);
        assert_true(cx->memory_used <= 300000);
        uint32_t n = diag_count(cx) < 100 ? diag_count(cx) : 100;
        assert_true(diag_error_count(cx) > 0);
        const Diag *last = diag_at(cx, n - 1);
        assert_int_equal(last->kind, DIAG_ERROR);
        if (!strstr(last->text, expected[how])) fail_msg("%d: %s", how, last->text);
        if (how == 6) assert_string_equal(cx->bug, "number 6");
        if (how < 6) assert_null(cx->bug);
        for (int again = 0; again < 100; again++) assert_true(exhaust(cx, how)); /* the reserve runs out, nothing breaks */
        assert_false(exhaust(cx, 99));
        context_free(cx);
    }
}

static void note_order(void *resource) {
    int **at = resource;
    static int order;
    **at = ++order;
}

static void cleanups_run_last_first(void **state) {
    (void)state;
    Context *cx = context_new(NULL);
    int order[3] = {0}, *at[3] = {&order[0], &order[1], &order[2]};
    context_defer(cx, note_order, &at[0]);
    Cleanup *middle = context_defer(cx, note_order, &at[1]);
    context_defer(cx, note_order, &at[2]);
    context_cancel(middle);
    context_cancel(middle);
    assert_true(exhaust(cx, 6));
    context_free(cx);
    assert_int_equal(order[2], 1);
    assert_int_equal(order[0], 2);
    assert_int_equal(order[1], 0);
}

/* ---- maps ---- */

static void map_holds_many_keys(void **state) {
    Context *cx = *state;
    Map map = map_new(cx->arena);
    assert_int_equal(map_get(&map, 5), 0);
    enum { N = 200000 };
    for (uint32_t i = 1; i <= N; i++) map_set(&map, (uint64_t)i << 4, i);
    for (uint32_t i = 1; i <= N; i += 2) map_set(&map, (uint64_t)i << 4, i + 1);
    assert_int_equal(map.n, N);
    for (uint32_t i = 1; i <= N; i++) {
        assert_int_equal(map_get(&map, (uint64_t)i << 4), i % 2 ? i + 1 : i);
        assert_int_equal(map_get(&map, ((uint64_t)i << 4) + 1), 0);
    }
    map_set(&map, 0, 9);
    assert_int_equal(map_get(&map, 0), 9);
}

static void map_keeps_order_of_equal_keys(void **state) {
    Context *cx = *state;
    Map map = map_new(cx->arena);
    uint32_t cursor = 0;
    assert_int_equal(map_next(&map, 1, &cursor), 0);
    for (uint32_t i = 0; i < 7000; i++) map_add(&map, i % 70, i + 1);
    for (uint32_t key = 0; key < 70; key++) {
        cursor = 0;
        for (uint32_t k = 0; k < 100; k++) assert_int_equal(map_next(&map, key, &cursor), k * 70 + key + 1);
        assert_int_equal(map_next(&map, key, &cursor), 0);
    }
}

static void hashes_differ(void **state) {
    (void)state;
    char bytes[40] = {0};
    assert_true(hash_bytes(bytes, 8, 0) != hash_bytes(bytes, 9, 0));
    assert_true(hash_bytes(bytes, 8, 0) != hash_bytes(bytes, 8, 1));
    assert_true(hash_bytes(bytes, 40, 3) == hash_bytes(bytes, 40, 3));
    for (size_t i = 0; i < 40; i++) {
        uint64_t before = hash_bytes(bytes, 40, 0);
        bytes[i] = 1;
        assert_true(hash_bytes(bytes, 40, 0) != before);
    }
}

/* ---- strings ---- */

static void interning(void **state) {
    Context *cx = *state;
    char name[32];
    const char *first[5000];
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        first[i] = intern(cx, name);
        assert_string_equal(first[i], name);
    }
    for (int i = 0; i < 5000; i++) {
        int n = snprintf(name, sizeof name, "n%dtail", i) - 4;
        assert_ptr_equal(intern_n(cx, name, (size_t)n), first[i]);
    }
    assert_ptr_equal(intern_n(cx, "n1\0more", 7), first[1]);
    assert_ptr_equal(intern(cx, ""), intern_n(cx, NULL, 0));
    assert_string_equal(intern(cx, ""), "");
}

static void texts_grow_and_quote(void **state) {
    Context *cx = *state;
    Text t = text_new(cx->arena);
    for (int i = 0; i < 1000; i++) text_add(&t, "%d,", i);
    assert_int_equal(t.n, strlen(t.at));
    assert_int_equal(t.n, 10 + 90 * 2 + 900 * 3 + 1000);
    text_add(&t, "%*d", 10000, 1);
    assert_int_equal(t.n, strlen(t.at));
    t = text_new(cx->arena);
    text_add_n(&t, "", 0);
    assert_string_equal(t.at, "");
    text_quote(&t, "a\"b\\c\n\t\x01\x7f \xC3\xA9 \xFF\xC3 \xED\xA0\x80 \xF0\x9F\x99\x82");
    assert_string_equal(t.at, "\"a\\\"b\\\\c\\n\\t\\x01\\x7F \xC3\xA9 \\xFF\\xC3 \\xED\\xA0\\x80 \xF0\x9F\x99\x82\"");
}

static void assert_f64(Context *cx, double x, const char *expected) {
    Text t = text_new(cx->arena);
    text_add_f64(&t, x);
    assert_string_equal(t.at, expected);
}

static void assert_f32(Context *cx, float x, const char *expected) {
    Text t = text_new(cx->arena);
    text_add_f32(&t, x);
    assert_string_equal(t.at, expected);
}

static void shortest_decimals(void **state) {
    Context *cx = *state;
    assert_f64(cx, 0.1, "0.1");
    assert_f64(cx, 1.0 / 3, "0.3333333333333333");
    assert_f64(cx, 5e-324, "5e-324");
    assert_f64(cx, 1.7976931348623157e308, "1.7976931348623157e+308");
    assert_f64(cx, -0.0, "-0");
    assert_f64(cx, (double)NAN, "nan");
    assert_f64(cx, -(double)INFINITY, "-inf");
    assert_f32(cx, 0.1f, "0.1");
    assert_f32(cx, 16777216.0f, "16777216");
    assert_f32(cx, 1e-45f, "1e-45");
    assert_f32(cx, INFINITY, "inf");
    uint64_t seed = 7;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = random_next(&seed);
        uint32_t low = (uint32_t)bits;
        double x;
        float y;
        memcpy(&x, &bits, 8);
        memcpy(&y, &low, 4);
        Text t = text_new(cx->arena);
        if (isfinite(x)) {
            text_add_f64(&t, x);
            assert_true(strtod(t.at, NULL) == x);
        }
        t = text_new(cx->arena);
        if (isfinite(y)) {
            text_add_f32(&t, y);
            assert_true(strtof(t.at, NULL) == y);
        }
    }
}

static void did_you_mean(void **state) {
    (void)state;
    static const char *const words[] = {"matmul", "conv", "softmax", "add", NULL, "reshape"};
    assert_string_equal(closest_word("matmull", words, 6), "matmul");
    assert_string_equal(closest_word("sotfmax", words, 6), "softmax");
    assert_string_equal(closest_word("con", words, 6), "conv");
    assert_string_equal(closest_word("add", words, 6), "add");
    assert_null(closest_word("xyzzy", words, 6));
    assert_null(closest_word("", words, 6));
    assert_null(closest_word("add", words, 0));
    char longest[300];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_null(closest_word(longest, words, 6));
}

static void checked_arithmetic(void **state) {
    (void)state;
    int64_t r;
    assert_true(ck_add(1, 2, &r) && r == 3);
    assert_false(ck_add(INT64_MAX, 1, &r));
    assert_false(ck_sub(INT64_MIN, 1, &r));
    assert_true(ck_mul(-3, 5, &r) && r == -15);
    assert_false(ck_mul(INT64_C(1) << 32, INT64_C(1) << 31, &r));
    assert_true(ck_align_up(65, 64, &r) && r == 128);
    assert_true(ck_align_up(64, 64, &r) && r == 64);
    assert_false(ck_align_up(INT64_MAX - 3, 64, &r));
    for (int64_t a = -20; a <= 20; a++)
        for (int64_t b = -7; b <= 7; b++) {
            if (!b) continue;
            assert_int_equal(floor_div(a, b), (int64_t)floor((double)a / (double)b));
            assert_int_equal(floor_mod(a, b), a - b * floor_div(a, b));
        }
}

/* ---- diagnostics ---- */

static void locations(void **state) {
    Context *cx = *state;
    Loc a = loc_node(cx, "m.onnx", "A", "Conv"), b = loc_node(cx, "m.onnx", "B", "Relu");
    assert_string_equal(loc_string(cx, a), "m.onnx: node 'A' (Conv)");
    assert_int_equal(loc_node(cx, "m.onnx", "A", "Conv").id, a.id);
    assert_string_equal(loc_string(cx, loc_node(cx, "m.onnx", NULL, NULL)), "m.onnx");
    assert_string_equal(loc_string(cx, loc_node(cx, NULL, "A", NULL)), "node 'A'");
    assert_int_equal(loc_node(cx, NULL, NULL, NULL).id, 0);
    assert_string_equal(loc_string(cx, nowhere), "");
    assert_string_equal(loc_string(cx, loc_text(cx, "a.graph", 12, 8)), "a.graph:12:8");
    Loc ab = loc_join(cx, a, b);
    assert_string_equal(loc_string(cx, ab), "m.onnx: node 'A' (Conv), node 'B' (Relu)");
    assert_int_equal(loc_join(cx, a, a).id, a.id);
    assert_int_equal(loc_join(cx, a, nowhere).id, a.id);
    assert_int_equal(loc_join(cx, nowhere, a).id, a.id);
    assert_int_equal(loc_join(cx, ab, b).id, ab.id);
    Loc all = ab;
    char name[16];
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "n%d", i);
        all = loc_join(cx, all, loc_node(cx, "m.onnx", name, NULL));
    }
    assert_true(strlen(loc_string(cx, all)) < 100);
    assert_string_equal(loc_string(cx, loc_node(cx, NULL, "a\nb", NULL)), "node 'a\\x0Ab'");
    char longest[5000];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_true(strlen(loc_string(cx, loc_node(cx, longest, longest, longest))) < 700);
}

static void diagnostics(void **state) {
    Context *cx = *state;
    Loc loc = loc_text(cx, "f", 1, 2);
    diag_warning(cx, loc, "w %d", 1);
    diag_error(cx, loc, "e %s", "x");
    diag_note(cx, nowhere, "because");
    assert_int_equal(diag_count(cx), 3);
    assert_int_equal(diag_error_count(cx), 1);
    assert_int_equal(diag_at(cx, 0)->kind, DIAG_WARNING);
    assert_string_equal(diag_at(cx, 1)->text, "e x");
    assert_int_equal(diag_at(cx, 1)->loc.id, loc.id);
    diag_truncate(cx, 1);
    assert_int_equal(diag_count(cx), 1);
    assert_int_equal(diag_error_count(cx), 0);
    for (int i = 0; i < 1000; i++) diag_error(cx, nowhere, "%d", i);
    assert_int_equal(diag_error_count(cx), 1000);
    assert_string_equal(diag_at(cx, 99)->text, "98");
    assert_int_equal(diag_at(cx, 500)->kind, DIAG_NOTE);
    diag_truncate(cx, 501);
    assert_int_equal(diag_error_count(cx), 500);
    assert_true(exhaust(cx, 6)); /* the fatal one is kept even so */
    assert_non_null(strstr(diag_at(cx, 99)->text, "number 6"));
    assert_int_equal(diag_error_count(cx), 500);
}

/* ---- floats ---- */

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

static void half_and_bfloat_round_trip(void **state) {
    (void)state;
    for (uint32_t i = 0; i <= 0xFFFF; i++) {
        uint16_t x = (uint16_t)i;
        bool nan16 = (x & 0x7FFF) > 0x7C00, nan_b = (x & 0x7FFF) > 0x7F80;
        float h = f16_to_f32(x), b = bf16_to_f32(x);
        assert_int_equal(f32_to_f16(h), nan16 ? x | 0x200 : x);
        assert_int_equal(f32_to_bf16(b), nan_b ? x | 0x40 : x);
        assert_true(nan16 == (isnan(h) != 0) && nan_b == (isnan(b) != 0));
        if (!nan16) assert_int_equal(f64_to_f16((double)h), x);
        if (!nan_b) assert_int_equal(f64_to_bf16((double)b), x);
        if ((x & 0x7C00) == 0x7C00) continue;
        double sign = x >> 15 ? -1 : 1, m = x & 0x3FF;
        int e = x >> 10 & 31;
        assert_true((double)h == sign * (e ? ldexp(1024 + m, e - 25) : ldexp(m, -24)));
    }
}

/* Around every pair of neighbours: below, at and above the midpoint. */
static void half_rounds_to_even(void **state) {
    (void)state;
    for (uint16_t x = 0; x < 0x7BFF; x++) {
        double low = (double)f16_to_f32(x), high = (double)f16_to_f32((uint16_t)(x + 1)), mid = (low + high) / 2;
        uint16_t even = x & 1 ? (uint16_t)(x + 1) : x;
        assert_int_equal(f64_to_f16(mid), even);
        assert_int_equal(f32_to_f16((float)mid), even);
        assert_int_equal(f64_to_f16(nextafter(mid, 0)), x);
        assert_int_equal(f64_to_f16(nextafter(mid, 1e9)), x + 1);
        assert_int_equal(f32_to_f16(nextafterf((float)mid, 0)), x);
        assert_int_equal(f32_to_f16(nextafterf((float)mid, 1e9f)), x + 1);
        assert_int_equal(f64_to_f16(-mid), even | 0x8000);
    }
    assert_int_equal(f32_to_f16(65519.996f), 0x7BFF);
    assert_int_equal(f32_to_f16(65520.0f), 0x7C00);
    assert_int_equal(f64_to_f16(1e300), 0x7C00);
    assert_int_equal(f64_to_f16(-1e-300), 0x8000);
    assert_int_equal(f64_to_f16(5e-324), 0);
    assert_int_equal(f64_to_bf16(5e-324), 0);
    uint64_t seed = 3;
    for (int i = 0; i < 1000000; i++) { /* the two ways to bfloat agree */
        uint32_t bits = (uint32_t)random_next(&seed);
        float x;
        memcpy(&x, &bits, 4);
        if (!isnan(x)) assert_int_equal(f32_to_bf16(x), f64_to_bf16((double)x));
    }
}

static void f8_round_trip(void **state) {
    (void)state;
    static const struct {
        Float8 format;
        uint32_t codes;
        float largest, least;
        uint8_t top, over; /* the largest value's code; what overflow gives without saturating */
    } formats[] = {
        {F8_E4M3FN, 256, 448, 0x1p-9f, 0x7E, 0x7F},    {F8_E4M3FNUZ, 256, 240, 0x1p-10f, 0x7F, 0x80},
        {F8_E5M2, 256, 57344, 0x1p-16f, 0x7B, 0x7C},   {F8_E5M2FNUZ, 256, 57344, 0x1p-17f, 0x7F, 0x80},
        {F8_E8M0, 256, 0x1p127f, 0x1p-126f, 254, 255}, {F4_E2M1, 16, 6, 0.5f, 7, 7},
    };
    for (size_t k = 0; k < COUNT(formats); k++) {
        Float8 f = formats[k].format;
        for (uint32_t x = 0; x < formats[k].codes; x++) {
            float y = f8_to_f32(f, (uint8_t)x);
            uint8_t back = f32_to_f8(f, y, x & 1);
            if (isnan(y))
                assert_true(isnan(f8_to_f32(f, back)));
            else if (isinf(y))
                assert_int_equal(f32_to_f8(f, y, false), x);
            else
                assert_int_equal(back, x);
        }
        assert_true(f8_to_f32(f, formats[k].top) == formats[k].largest);
        assert_true(f8_to_f32(f, 1) == formats[k].least);
        float over = formats[k].largest * 1.6f; /* infinite for E8M0 */
        assert_int_equal(f32_to_f8(f, over, false), formats[k].over);
        if (f != F8_E8M0) {
            assert_int_equal(f32_to_f8(f, over, true), formats[k].top);
            assert_int_equal(f32_to_f8(f, INFINITY, true), formats[k].top);
        }
    }
    assert_int_equal(f32_to_f8(F8_E4M3FN, 464, false), 0x7E); /* a tie, to even */
    assert_int_equal(f32_to_f8(F8_E4M3FN, -0.0f, false), 0x80);
    assert_int_equal(f32_to_f8(F8_E4M3FNUZ, -0.0f, false), 0);
    assert_int_equal(f32_to_f8(F8_E8M0, 1.5f, false), 128);
    assert_int_equal(f32_to_f8(F8_E8M0, 0x1.8p127f, true), 254);
    assert_int_equal(f32_to_f8(F8_E8M0, 0x1.8p127f, false), 255);
    assert_int_equal(f32_to_f8(F8_E8M0, -1, true), 255);
    assert_int_equal(f32_to_f8(F8_E8M0, 0, true), 0);
    assert_int_equal(bits_of(f8_to_f32(F8_E8M0, 0)), 0x400000);
    assert_int_equal(f32_to_f8(F4_E2M1, 5, false), 6);
    assert_int_equal(f32_to_f8(F4_E2M1, -100, false), 15);
}

/* Every format rounds every half value to its nearest code. */
static void f8_rounds_to_nearest(void **state) {
    (void)state;
    static const Float8 formats[] = {F8_E4M3FN, F8_E4M3FNUZ, F8_E5M2, F8_E5M2FNUZ, F4_E2M1};
    for (size_t k = 0; k < COUNT(formats); k++)
        for (uint32_t i = 0; i < 0x7C00; i++) {
            float x = f16_to_f32((uint16_t)i), best = INFINITY;
            for (uint32_t c = 0; c < (formats[k] == F4_E2M1 ? 8u : 128u); c++) {
                float y = f8_to_f32(formats[k], (uint8_t)c);
                if (fabsf(y - x) < best) best = fabsf(y - x);
            }
            assert_true(fabsf(f8_to_f32(formats[k], f32_to_f8(formats[k], x, true)) - x) == best);
        }
}

/* ---- files ---- */

static char folder[64];

static const char *in_folder(Context *cx, const char *name) { return arena_print(cx->arena, "%s/%s", folder, name); }

static int files_setup(void **state) {
    strcpy(folder, "/tmp/ingot-test-XXXXXX");
    return mkdtemp(folder) ? setup(state) : -1;
}

static int files_teardown(void **state) {
    Context *cx = *state;
    const char *argv[] = {"rm", "-rf", folder, NULL};
    bool ok = process_run(cx, argv);
    return teardown(state) || !ok;
}

static const char *last_diag(Context *cx) { return diag_at(cx, diag_count(cx) - 1)->text; }

static void files_are_written_whole(void **state) {
    Context *cx = *state;
    const char *path = in_folder(cx, "out");
    size_t n;
    assert_true(file_write(cx, path, "one", 3, 0600));
    const uint8_t *old = file_map(cx, path, &n);
    assert_int_equal(n, 3);
    assert_true(file_write(cx, path, "second", 6, 0644));
    assert_memory_equal(old, "one", 3); /* a new file took the name */
    assert_memory_equal(file_map(cx, path, &n), "second", 6);
    assert_int_equal(n, 6);
    assert_true(file_write(cx, in_folder(cx, "empty"), NULL, 0, 0755));
    assert_non_null(file_map(cx, in_folder(cx, "empty"), &n));
    assert_int_equal(n, 0);
    struct stat st;
    assert_int_equal(stat(in_folder(cx, "empty"), &st), 0);
    assert_true(st.st_mode & S_IXUSR);
    assert_int_equal(diag_count(cx), 0);
    /* Failures: no folder; the target is a folder, and the temporary file beside it goes away. */
    assert_false(file_write(cx, in_folder(cx, "none/x"), "x", 1, 0644));
    assert_non_null(strstr(last_diag(cx), "No such file"));
    assert_int_equal(mkdir(in_folder(cx, "dir"), 0755), 0);
    assert_false(file_write(cx, in_folder(cx, "dir"), "x", 1, 0644));
    assert_true(file_write(cx, "/dev/null", "x", 1, 0644));
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    DIR *dir = opendir(folder);
    int entries = 0;
    for (struct dirent *e; (e = readdir(dir));) entries += e->d_name[0] != '.';
    closedir(dir);
    assert_int_equal(entries, 3);
    assert_null(file_map(cx, in_folder(cx, "none"), &n));
    assert_null(file_map(cx, folder, &n));
    assert_non_null(strstr(last_diag(cx), "it is a folder"));
}

static void opening_stays_beneath(void **state) {
    Context *cx = *state;
    const char *model = in_folder(cx, "model");
    size_t n;
    assert_int_equal(mkdir(model, 0755) | mkdir(in_folder(cx, "model/sub"), 0755), 0);
    assert_true(file_write(cx, in_folder(cx, "secret"), "s", 1, 0644));
    assert_true(file_write(cx, in_folder(cx, "model/data"), "data", 4, 0644));
    assert_true(file_write(cx, in_folder(cx, "model/sub/w"), "w", 1, 0644));
    assert_int_equal(symlink("../secret", in_folder(cx, "model/up")), 0);
    assert_int_equal(symlink("/etc", in_folder(cx, "model/etc")), 0);
    assert_int_equal(symlink("..", in_folder(cx, "model/sub/parent")), 0);
    assert_int_equal(symlink("loop", in_folder(cx, "model/loop")), 0);
    assert_int_equal(mkfifo(in_folder(cx, "model/fifo"), 0644), 0);
    Loc loc = loc_text(cx, "m", 1, 1);
    assert_memory_equal(file_map_beneath(cx, loc, model, "data", &n), "data", 4);
    assert_int_equal(n, 4);
    assert_non_null(file_map_beneath(cx, loc, model, "./sub//w", &n));
    assert_int_equal(diag_count(cx), 0);
    static const char *const refused[] = {
        "",       "../secret", "sub/../data",    "sub/..",             "/etc/passwd", "up", "etc/passwd",
        "loop",   "fifo",      "sub",            "missing",            "sub/",        "data/x",
        "../model/data", "sub/parent/../secret", "sub/parent/up",
    };
    for (size_t i = 0; i < COUNT(refused); i++) {
        if (file_map_beneath(cx, loc, model, refused[i], &n)) fail_msg("opened '%s'", refused[i]);
        assert_int_equal(n, 0);
        assert_int_equal(diag_error_count(cx), i + 1);
        assert_int_equal(diag_at(cx, (uint32_t)i)->loc.id, loc.id);
    }
    assert_null(file_map_beneath(cx, loc, in_folder(cx, "nofolder"), "data", &n));
}

static void programs(void **state) {
    Context *cx = *state;
    assert_true(process_run(cx, (const char *[]){"true", NULL}));
    assert_int_equal(diag_count(cx), 0);
    assert_false(process_run(cx, (const char *[]){"sh", "-c", "echo out; echo err >&2; exit 3", NULL}));
    assert_string_equal(last_diag(cx), "'sh' failed with exit status 3: out\nerr");
    assert_false(process_run(cx, (const char *[]){"sh", "-c", "kill -9 $$", NULL}));
    assert_string_equal(last_diag(cx), "'sh' was ended by signal 9");
    assert_false(process_run(cx, (const char *[]){"no-such-program-here", NULL}));
    assert_true(process_run(cx, (const char *[]){"sh", "-c", "head -c 300000 /dev/zero", NULL}));
    const char *found = process_find(cx, (const char *[]){"no-such-program-here", "sh"}, 2);
    assert_non_null(found);
    assert_int_equal(found[0], '/');
    assert_null(process_find(cx, (const char *[]){"no-such-program-here"}, 1));
}

static void paths(void **state) {
    Context *cx = *state;
    assert_string_equal(path_folder(cx, "a/b/c.so"), "a/b");
    assert_string_equal(path_folder(cx, "c.so"), ".");
    assert_string_equal(path_folder(cx, "/c.so"), "/");
    assert_string_equal(path_stem(cx, "a/libfoo.so"), "libfoo");
    assert_string_equal(path_stem(cx, "a.b/foo"), "foo");
    assert_string_equal(path_stem(cx, ".hidden"), ".hidden");
}

/* ---- SHA-256 ---- */

static void assert_sha(const void *bytes, size_t n, size_t step, const char *expected) {
    Sha256 sha;
    uint8_t out[32];
    char hex[65];
    sha256_init(&sha);
    for (size_t at = 0; at < n; at += step)
        sha256_add(&sha, (const uint8_t *)bytes + at, n - at < step ? n - at : step);
    sha256_end(&sha, out);
    for (size_t i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", out[i]);
    assert_string_equal(hex, expected);
}

static void sha256_vectors(void **state) {
    (void)state;
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    assert_sha("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_sha("abc", 3, 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for (size_t step = 1; step <= 56; step++)
        assert_sha(two_blocks, 56, step, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    char *million = malloc(1000000);
    assert_non_null(million);
    memset(million, 'a', 1000000);
    for (size_t step = 1000000; step > 50; step /= 7)
        assert_sha(million, 1000000, step, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

int main(void) {
#define TEST(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define FILES(name) cmocka_unit_test_setup_teardown(name, files_setup, files_teardown)
    const struct CMUnitTest tests[] = {
        TEST(arena_zeroes_and_aligns), TEST(vectors_grow), TEST(budgets_unwind), TEST(cleanups_run_last_first),
        TEST(map_holds_many_keys), TEST(map_keeps_order_of_equal_keys), TEST(hashes_differ),
        TEST(interning), TEST(texts_grow_and_quote), TEST(shortest_decimals), TEST(did_you_mean),
        TEST(checked_arithmetic), TEST(locations), TEST(diagnostics),
        TEST(half_and_bfloat_round_trip), TEST(half_rounds_to_even), TEST(f8_round_trip), TEST(f8_rounds_to_nearest),
        FILES(files_are_written_whole), FILES(opening_stays_beneath), TEST(programs), TEST(paths),
        TEST(sha256_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
