/* test_weights.c: weights on their way from a constant to a library: constants in another order, and the hole that a linker
 * leaves for them. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codegen.h"

static int setup(void **state) { return (*state = context_new(NULL)) ? 0 : -1; }
static int teardown(void **state) {
    context_free(*state);
    return 0;
}

/* ---- constants in another order ---- */

static int64_t element_of(const ConstView *v, int64_t row, int64_t column) {
    int64_t at = v->origin;
    uint32_t outer = v->rank ? v->rank - 1 : 0;
    if (v->rank) at += column * v->stride[outer];
    for (uint32_t i = outer; i-- > 0; row /= v->dims[i]) at += row % v->dims[i] * v->stride[i];
    return at;
}

/* What the element at i of the encoded view is; -1: zero. */
static int64_t expected_at(const ConstView *v, Encoding encoding, int64_t i) {
    int64_t columns = v->rank ? v->dims[v->rank - 1] : 1, rows = 1;
    for (uint32_t a = 0; a + 1 < v->rank; a++) rows *= v->dims[a];
    if (encoding == ENCODING_DENSE) return element_of(v, i / columns, i % columns);
    int64_t width = encoding_columns(encoding), column = i / (rows * width) * width + i % width;
    return column < columns ? element_of(v, i / width % rows, column) : -1;
}

typedef struct Collected { uint8_t *at; size_t n, room; } Collected;

static bool collect(void *user, const void *bytes, size_t n) {
    Collected *c = user;
    assert_true(n <= c->room - c->n);
    memcpy(c->at + c->n, bytes, n);
    c->n += n;
    return true;
}

static void check_view(Context *cx, DType t, Encoding encoding, ConstView v, uint64_t of_elements) {
    size_t each = (size_t)dtype_bytes(t);
    uint8_t *data = arena_alloc(cx->arena, of_elements * each);
    for (uint64_t i = 0; i < of_elements; i++) { /* no two neighbours alike */
        uint64_t x = i * 2654435761u + 12345;
        memcpy(data + i * each, &x, each);
    }
    v.of = const_data(cx, t, of_elements, data);
    Const c = const_view(cx, encoding, &v);
    assert_int_not_equal(c.id, 0);
    const ConstInfo *info = const_info(cx, c);
    Collected got = {arena_alloc(cx->arena, info->elements * each), 0, info->elements * each};
    bool pending = !info->data;
    assert_true(const_stream(cx, c, collect, &got));
    assert_int_equal(got.n, got.room);
    assert_true(!info->data == pending); /* streaming keeps nothing */
    static const uint8_t zero[8] = {0};
    for (uint64_t i = 0; i < info->elements; i++) {
        int64_t from = expected_at(&v, encoding, (int64_t)i);
        assert_memory_equal(got.at + i * each, from < 0 ? zero : data + (uint64_t)from * each, each);
    }
    assert_memory_equal(const_bytes(cx, c), got.at, got.n);
    assert_int_equal(const_view(cx, encoding, &v).id, c.id);
}

/* Pairs of rows of bf16: [ceil(N/16)][taps][ceil(K/2)][16][2], subnormal numbers as 0. */
static void pairs(void **state) {
    enum { TAPS = 3, K = 181, N = 75, PAIRS = (K + 1) / 2, PANELS = (N + 15) / 16 };
    Context *cx = *state;
    float *data = arena_new_array(cx->arena, float, TAPS * K * N);
    for (int i = 0; i < TAPS * K * N; i++) data[i] = i % 97 ? (float)(i % 1009) - 0.3f * (float)(i % 7) : 1e-40f;
    ConstView v = {
        .of = const_data(cx, DT_f32, TAPS * K * N, data), .rank = 3, .stride = {1, TAPS, TAPS * K}, .dims = {TAPS, K, N}};
    Const c = const_view(cx, ENCODING_PAIR16, &v);
    const ConstInfo *info = const_info(cx, c);
    assert_int_equal(info->dtype, DT_bf16);
    assert_int_equal(info->elements, PANELS * TAPS * PAIRS * 32);
    assert_null(info->data);
    const uint16_t *got = const_bytes(cx, c);
    for (int i = 0; i < PANELS * TAPS * PAIRS * 32; i++) {
        int column = i / (TAPS * PAIRS * 32) * 16 + i / 2 % 16, tap = i / (PAIRS * 32) % TAPS, k = i / 32 % PAIRS * 2 + i % 2;
        float x = k < K && column < N ? data[tap + TAPS * (k + K * column)] : 0;
        assert_int_equal(got[i], x == 1e-40f ? 0 : f32_to_bf16(x));
    }
}

/* Four rows of i8: [ceil(N/16)][taps][ceil(K/4)][16][4], of i32. */
static void quads(void **state) {
    enum { TAPS = 3, K = 181, N = 75, QUADS = (K + 3) / 4, PANELS = (N + 15) / 16 };
    Context *cx = *state;
    int32_t *data = arena_new_array(cx->arena, int32_t, TAPS * K * N);
    for (int i = 0; i < TAPS * K * N; i++) data[i] = i * 7 % 256 - 128;
    ConstView v = {
        .of = const_data(cx, DT_i32, TAPS * K * N, data), .rank = 3, .stride = {1, TAPS, TAPS * K}, .dims = {TAPS, K, N}};
    Const c = const_view(cx, ENCODING_QUAD16, &v);
    const ConstInfo *info = const_info(cx, c);
    assert_int_equal(info->dtype, DT_i8);
    assert_int_equal(info->elements, PANELS * TAPS * QUADS * 64);
    const int8_t *got = const_bytes(cx, c);
    for (int i = 0; i < PANELS * TAPS * QUADS * 64; i++) {
        int column = i / (TAPS * QUADS * 64) * 16 + i / 4 % 16, tap = i / (QUADS * 64) % TAPS, k = i / 64 % QUADS * 4 + i % 4;
        assert_int_equal(got[i], k < K && column < N ? data[tap + TAPS * (k + K * column)] : 0);
    }
}

static void views(void **state) {
    Context *cx = *state;
    const ConstView transposed = {.rank = 2, .stride = {1, 300}, .dims = {300, 211}};
    const ConstView filter = {.rank = 4, .stride = {3, 1, 9, 9 * 40}, .dims = {3, 3, 40, 100}};
    const ConstView slice = {.rank = 3, .origin = 7, .stride = {5000, 50, 1}, .dims = {9, 90, 31}};
    const ConstView backwards = {.rank = 1, .origin = 69999, .stride = {-1}, .dims = {70000}};
    static const Encoding encodings[] = {ENCODING_DENSE, ENCODING_PANEL16, ENCODING_PANEL64};
    for (size_t e = 0; e < COUNT(encodings); e++) {
        Encoding encoding = encodings[e];
        check_view(cx, DT_f32, encoding, transposed, 300 * 211);
        check_view(cx, DT_f32, encoding, filter, 9 * 40 * 100);
        check_view(cx, DT_f32, encoding, slice, 45007);
        check_view(cx, DT_f32, encoding, (ConstView){.rank = 2, .stride = {33, 1}, .dims = {5, 33}}, 165);
    }
    check_view(cx, DT_u8, ENCODING_DENSE, backwards, 70000);
    check_view(cx, DT_i64, ENCODING_DENSE, backwards, 70000);
    check_view(cx, DT_f16, ENCODING_DENSE, transposed, 300 * 211);
}

/* The law of constant.c: what has equal elements is a splat, however it is computed. */
static void equal_elements(void **state) {
    Context *cx = *state;
    enum { N = 100000 };
    float *data = arena_new_array(cx->arena, float, N + 1);
    data[N] = 1;
    ConstView v = {.of = const_data(cx, DT_f32, N + 1, data), .rank = 1, .stride = {1}, .dims = {N}};
    assert_true(const_info(cx, const_view(cx, ENCODING_DENSE, &v))->splat);
    v.origin = 1;
    assert_false(const_info(cx, const_view(cx, ENCODING_DENSE, &v))->splat);
    v.dims[0] = INT64_MAX / 2, v.rank = 2, v.dims[1] = 16;
    assert_int_equal(const_view(cx, ENCODING_DENSE, &v).id, 0);
}

/* ---- holes ---- */

enum { HOLE = 3 * 1000 * 1000 + 17 };
static const char user_text[] =
    "extern __attribute__((visibility(\"hidden\"))) const unsigned char the_data[];"
    "static const char text[] = \"behind the data\"; static int zeros[100]; int filled[] = {1, 2, 3};"
    "const unsigned char *const table[] = {the_data + 5};"
    "\n#define SEEN __attribute__((visibility(\"default\")))\n"
    "SEEN const unsigned char *data(void) { return the_data; } SEEN const char *behind(void) { return text; }"
    "SEEN int sum(void) { return zeros[7] + filled[2] + (table[0] == the_data + 5); }";

static bool produce(const void *what, SinkFn *sink, void *user) {
    for (uint64_t at = 0; at < HOLE; at += 1000)
        if (!sink(user, (const uint8_t *)what + at, HOLE - at < 1000 ? HOLE - at : 1000)) return false;
    return true;
}

static void check_library(const char *path, const uint8_t *expected) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) fail_msg("%s", dlerror());
    union { void *at; const uint8_t *(*data)(void); const char *(*behind)(void); int (*sum)(void); } f;
    f.at = dlsym(library, "data");
    assert_memory_equal(f.data(), expected, HOLE);
    f.at = dlsym(library, "behind");
    assert_string_equal(f.behind(), "behind the data");
    f.at = dlsym(library, "sum");
    assert_int_equal(f.sum(), 4);
    dlclose(library);
}

static const char *fill(Context *cx, const char *linked, const char *path, const FilePiece *piece) {
    size_t n;
    const uint8_t *bytes = file_map(cx, linked, &n);
    FilePieces pieces = {0};
    assert_non_null(bytes);
    assert_true(n < HOLE / 2); /* the linker saw none of it */
    assert_true(elf_fill(cx, bytes, n, piece, &pieces));
    assert_true(file_write_pieces(cx, path, &pieces, 0755));
    return path;
}

static void holes(void **state) {
    static const char *const linkers[] = {"ld.lld-19", "ld.lld"};
    Context *cx = *state;
    const char *lld = process_find(cx, linkers, COUNT(linkers));
    Temporary *folder = temporary_new(cx);
    const char *user = temporary_path(folder, "user.o"), *hole = temporary_path(folder, "hole.o"),
               *whole = temporary_path(folder, "whole.o");
    const char *so = temporary_path(folder, "linked.so"), *joined = temporary_path(folder, "joined.o");
    uint8_t *expected = arena_alloc(cx->arena, HOLE);
    for (uint32_t i = 0; i < HOLE; i++) expected[i] = (uint8_t)(i * 31 + i / 999);
    FilePiece piece = {.n = HOLE, .produce = produce, .what = expected};
    FilePieces pieces[2] = {{0}};
    assert_true(cc_object(cx, NULL, NULL, user_text, sizeof user_text - 1, user));
    assert_true(elf_data(cx, "the_data", &piece, true, &pieces[0]) && file_write_pieces(cx, hole, &pieces[0], 0600));
    assert_true(elf_data(cx, "the_data", &piece, false, &pieces[1]) && file_write_pieces(cx, whole, &pieces[1], 0600));
    const char *objects[] = {user, whole}, *exports[] = {"data", "behind", "sum"};
    LinkShared link = {.path = so, .soname = "a.so", .objects = objects, .n_objects = 2, .exports = exports, .n_exports = 3};
    assert_true(link_shared(cx, &link));
    check_library(so, expected);
    assert_int_equal(link_leaves_holes(cx), lld != NULL);
    if (lld) {
        objects[1] = hole;
        assert_true(link_shared(cx, &link));
        check_library(fill(cx, so, temporary_path(folder, "b.so"), &piece), expected);
        const char *const join[] = {lld, "-r", "-o", joined, user, hole, NULL};
        assert_true(process_run(cx, join));
        objects[0] = fill(cx, joined, temporary_path(folder, "filled.o"), &piece);
        link.n_objects = 1, link.path = temporary_path(folder, "c.so");
        assert_true(link_shared(cx, &link));
        check_library(link.path, expected);
    }
    temporary_remove(folder);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(views), TEST(pairs), TEST(quads), TEST(equal_elements), TEST(holes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
