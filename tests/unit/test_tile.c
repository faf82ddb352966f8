/* test_tile.c: template contraction, also on tile registers (matrix): sizes, symbolic extents, few rows, parts of K, heads,
 * dtypes. */
#define _GNU_SOURCE
#include "tile_test.h"

static void test_dot_sizes(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1},  {1, 3, 17},   {2, 5, 16},    {5, 7, 33},  {6, 16, 64},
                                       {7, 3, 70}, {13, 11, 65}, {37, 19, 100}, {70, 8, 128}};
    for (uint32_t i = 0; i < COUNT(sizes); i++) {
        const int64_t *z = sizes[i];
        Case c = begin_case("dot_sizes");
        c.depth = z[1];
        Val x = param_i(&c, DT_f32, 2, DIMS(z[0], z[1])), w = weights(&c, 2, DIMS(z[1], z[2])),
            bias = weights(&c, 1, DIMS(z[2]));
        Val y = b_binary(c.g, (Loc){0}, OP_add, b_dot(c.g, (Loc){0}, x, w, 0), bias);
        end_case(&c, b_binary(c.g, (Loc){0}, OP_max, y, b_scalar(c.g, (Loc){0}, DT_f32, 0)));
    }
}

/* A vector times a matrix: the result has one axis, and no rows but that one. */
static void test_dot_vector(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {7, 33}, {700, 100}};
    for (uint32_t i = 0; i < COUNT(sizes); i++) {
        const int64_t *z = sizes[i];
        Case c = begin_case("dot_vector");
        c.depth = z[0];
        Val x = param_i(&c, DT_f32, 1, DIMS(z[0])), w = param_i(&c, DT_f32, 2, DIMS(z[0], z[1]));
        end_case(&c, b_unary(c.g, (Loc){0}, OP_neg, b_dot(c.g, (Loc){0}, x, w, 0)));
    }
}

/* At most eight columns in the last panel, where two rows share its register: an odd number of rows, one, a symbol; parts of K;
 * a panel of its own; nine columns, where they do not. */
static void test_shared_panel(void **state) {
    (void)state;
    static const struct { int64_t rows, depth, columns; bool symbolic; } cases[] = {
        {37, 19, 24, false}, {16, 600, 20, false}, {1, 30, 24, false},  {55, 33, 40, false}, {9, 7, 72, false},
        {41, 290, 25, false}, {23, 12, 120, false}, {13, 21, 24, true}, {31, 540, 56, true}};
    for (uint32_t i = 0; i < COUNT(cases); i++) {
        Case c = begin_case("shared_panel");
        Loc l = {0};
        c.depth = cases[i].depth, c.large = c.depth > 512;
        Dim m = cases[i].symbolic ? symbol(&c, "m", cases[i].rows) : dim_const(c.cx, cases[i].rows);
        Dim in[] = {m, dim_const(c.cx, c.depth)}, out[] = {m, dim_const(c.cx, cases[i].columns)};
        Val y = b_dot(c.g, l, param(&c, DT_f32, 2, in), weights(&c, 2, DIMS(c.depth, cases[i].columns)), 0);
        end_case(&c, b_binary(c.g, l, OP_add, y, param(&c, DT_f32, 2, out)));
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
        Val q = b_reshape(c.g, l, param(&c, DT_f32, 3, flat), 4, split),
            k = b_reshape(c.g, l, param(&c, DT_f32, 3, flat), 4, split);
        Val v = b_reshape(c.g, l, param(&c, DT_f32, 3, flat), 4, split);
        q = b_permute(c.g, l, q, DIMS(0, 2, 1, 3)), k = b_permute(c.g, l, k, DIMS(0, 2, 3, 1)),
        v = b_permute(c.g, l, v, DIMS(0, 2, 1, 3));
        Val p = b_unary(c.g, l, OP_sigmoid, b_dot(c.g, l, q, k, 2));
        Val y = b_permute(c.g, l, b_dot(c.g, l, p, v, 2), DIMS(0, 2, 1, 3));
        c.depth = s + size;
        end_case(&c, b_reshape(c.g, l, y, 3, flat));
    }
}

/* Few rows against an operand known while running, read where it lies: a slice of it, columns that panels do not divide or that
 * nobody knows, parts of K in registers (one row) and in memory, heads between the rows. */
static void test_dot_in_place(void **state) {
    (void)state;
    static const struct { int64_t rows, depth, columns; bool symbolic; } cases[] = {
        {1, 3, 17, false}, {1, 600, 130, false}, {2, 9, 250, false}, {7, 300, 33, false}, {13, 20, 100, false},
        {40, 11, 70, false}, {1, 270, 39, true},  {2, 12, 128, true}, {5, 8, 45, true}};
    for (uint32_t i = 0; i < COUNT(cases); i++) {
        Case c = begin_case("dot_in_place");
        Loc l = {0};
        c.depth = cases[i].depth;
        Dim n = cases[i].symbolic ? symbol(&c, "n", cases[i].columns) : dim_const(c.cx, cases[i].columns);
        Dim k = dim_const(c.cx, c.depth), x[] = {dim_const(c.cx, 2), dim_const(c.cx, cases[i].rows), k};
        Dim w[] = {dim_addi(c.cx, k, 3), x[0], n}, some[] = {k, x[0], n};
        Dim none = dim_const(c.cx, 0), start[] = {x[0], none, none};
        Val right = b_slice(c.g, l, param(&c, DT_f32, 3, w), start, DIMS(1, 1, 1), some);
        Val y = b_dot(c.g, l, param(&c, DT_f32, 3, x), b_permute(c.g, l, right, DIMS(1, 0, 2)), 1);
        end_case(&c, b_unary(c.g, l, OP_neg, y));
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

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dot_sizes),      cmocka_unit_test(test_dot_vector),   cmocka_unit_test(test_dot_few_rows),
        cmocka_unit_test(test_dot_depths),     cmocka_unit_test(test_dot_symbolic), cmocka_unit_test(test_repeated_rows),
        cmocka_unit_test(test_dot_heads),      cmocka_unit_test(test_dot_split),    cmocka_unit_test(test_dot_transposed),
        cmocka_unit_test(test_dot_dtypes),     cmocka_unit_test(test_dot_in_place), cmocka_unit_test(test_shared_panel),
    };
    return have_llvm() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
