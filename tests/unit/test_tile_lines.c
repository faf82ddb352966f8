/* test_tile_lines.c: template few, and template convolution where tiles lie in lines of any width. */
#define _GNU_SOURCE
#include "tile_conv.h"

/* Few filters: lanes are pixels, K in one part and in several, tasks and vectors left over, either layout on both sides. */
static void test_few(void **state) {
    (void)state;
    static const Shape shapes[] = {
        {9, 70, 16, 3, 3, 3, 1, 1, 1, 1, false, false}, {5, 37, 20, 2, 5, 3, 1, 1, 2, 1, true, false},
        {18, 16, 2, 1, 7, 7, 1, 1, 3, 3, false, true},
        {11, 130, 3, 4, 3, 3, 1, 2, 2, 2, true, true},  {6, 20, 70, 6, 3, 3, 1, 1, 0, 0, false, false}};
    for (uint32_t i = 0; i < 2 * COUNT(shapes); i++) {
        const Shape *z = &shapes[i / 2];
        char name[32];
        snprintf(name, sizeof name, "few_%u", i);
        Case c = begin_case(name);
        c.depth = z->r * z->s * z->c;
        Loc l = {0};
        Val x = picture(&c, z, 2, z->symbolic);
        Val y = conv(&c, x, weights(&c, 4, DIMS(z->r, z->s, z->c, z->f)), 2, z, 1);
        y = b_binary(c.g, l, OP_add, y, weights(&c, 1, DIMS(z->f)));
        if (i & 2) y = b_unary(c.g, l, OP_sigmoid, b_binary(c.g, l, OP_add, y, param(&c, DT_f32, 4, val_type(c.g, y)->dims)));
        end_case(&c, i & 1 ? b_permute(c.g, l, y, DIMS(0, 3, 1, 2)) : y);
    }
    Shape line = {.stride = 1, .dilation = 1, .low = 3, .high = 3};
    Case c = begin_case("few_1d");
    c.depth = 7 * 40;
    end_case(&c, conv(&c, param_i(&c, DT_f32, 3, DIMS(2, 150, 40)), weights(&c, 3, DIMS(7, 40, 1)), 1, &line, 1));
}

/* Lines of a width that nothing divides, or that is unknown; tiles whose ends taps put outside, by one row or several. */
static void test_lines(void **state) {
    (void)state;
    static const Shape shapes[] = {
        {5, 29, 20, 32, 3, 3, 1, 1, 1, 1, false, false}, {4, 81, 3, 48, 3, 3, 2, 1, 1, 1, false, true},
        {6, 47, 24, 64, 3, 3, 1, 1, 1, 1, true, false},
        {3, 33, 40, 16, 5, 5, 1, 1, 2, 2, true, false}, {7, 64, 3, 32, 7, 7, 2, 1, 3, 3, true, true},
        {3, 19, 110, 40, 3, 3, 1, 1, 1, 1, true, false},
        {7, 7, 20, 64, 3, 3, 1, 1, 1, 1, false, false}, {3, 4, 12, 64, 5, 5, 1, 1, 3, 4, false, false},
        {4, 14, 150, 32, 3, 3, 1, 2, 2, 2, false, false}, {9, 8, 300, 64, 3, 3, 2, 1, 1, 1, false, false}};
    for (uint32_t i = 0; i < COUNT(shapes); i++) {
        const Shape *z = &shapes[i];
        char name[32];
        snprintf(name, sizeof name, "lines_%u", i);
        Case c = begin_case(name);
        c.depth = z->r * z->s * z->c;
        Loc l = {0};
        Val x = picture(&c, z, 2, z->symbolic);
        Val y = conv(&c, x, weights(&c, 4, DIMS(z->r, z->s, z->c, z->f)), 2, z, 1);
        end_case(&c, b_binary(c.g, l, OP_add, y, weights(&c, 1, DIMS(z->f))));
    }
}

/* Filters that are no constant, read where they lie: columns left over, groups, K in several parts, a filter that is made. */
static void test_given(void **state) {
    (void)state;
    static const Shape shapes[] = {
        {9, 21, 16, 40, 3, 3, 1, 1, 1, 1, false, false}, {6, 17, 20, 7, 3, 3, 2, 1, 1, 1, true, false},
        {5, 12, 70, 100, 3, 3, 1, 2, 2, 2, false, true}, {4, 33, 32, 96, 1, 3, 1, 1, 0, 0, true, true}};
    for (uint32_t i = 0; i < 2 * COUNT(shapes); i++) {
        const Shape *z = &shapes[i / 2];
        int64_t groups = z->f == 96 ? 2 : 1;
        char name[32];
        snprintf(name, sizeof name, "given_%u", i);
        Case c = begin_case(name);
        c.depth = z->r * z->s * z->c;
        Loc l = {0};
        Val x = picture(&c, z, 2, z->symbolic), w;
        if (i & 1) {
            w = b_permute(c.g, l, param_i(&c, DT_f32, 4, DIMS(z->f, z->c / groups, z->r, z->s)), DIMS(2, 3, 1, 0));
            w = b_binary(c.g, l, OP_mul, w, param_i(&c, DT_f32, 1, DIMS(z->f)));
        } else {
            w = param_i(&c, DT_f32, 4, DIMS(z->r, z->s, z->c / groups, z->f));
        }
        Val y = conv(&c, x, w, 2, z, groups);
        end_case(&c, b_binary(c.g, l, OP_add, y, weights(&c, 1, DIMS(z->f))));
    }
    Shape line = {.stride = 1, .dilation = 1, .low = 2, .high = 2};
    Case c = begin_case("given_1d");
    c.depth = 5 * 300;
    end_case(&c, conv(&c, param_i(&c, DT_f32, 3, DIMS(2, 50, 300)), param_i(&c, DT_f32, 3, DIMS(5, 300, 24)), 1, &line, 1));
}

int main(void) {
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_few), cmocka_unit_test(test_lines),
                                              cmocka_unit_test(test_given)};
    return have_llvm() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
