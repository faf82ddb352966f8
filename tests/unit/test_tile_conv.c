/* test_tile_conv.c: templates convolution, grouped, planes, separable and winograd, and results that cross to channels first.
 * Template separable: against both of its convolutions by template map. */
#define _GNU_SOURCE
#include "tile_conv.h"

static void test_conv(void **state) {
    (void)state;
    static const Shape shapes[] = {{5, 5, 3, 8, 3, 3, 1, 1, 1, 1, false, false},
                                   {9, 7, 16, 40, 3, 3, 1, 1, 1, 1, false, false},
                                   {8, 8, 24, 64, 1, 1, 1, 1, 0, 0, false, false},
                                   {11, 13, 5, 33, 3, 5, 2, 1, 2, 1, false, false},
                                   {9, 9, 8, 17, 3, 3, 1, 2, 2, 2, true, false},
                                   {12, 12, 3, 20, 7, 7, 2, 1, 3, 3, false, true},
                                   {6, 5, 200, 24, 3, 3, 1, 1, 1, 1, false, false},
                                   {4, 4, 700, 19, 2, 2, 1, 1, 0, 1, false, false},
                                   {3, 3, 512, 16, 3, 3, 1, 1, 1, 1, true, false},
                                   {7, 7, 6, 16, 1, 1, 2, 1, 0, 0, true, true},
                                   {5, 6, 4, 8, 2, 2, 1, 1, -1, 0, false, false},
                                   {20, 23, 2, 16, 3, 5, 1, 2, 2, 3, true, false},
                                   /* Tiles in one line of the image: */
                                   {5, 14, 20, 32, 3, 3, 1, 1, 1, 1, false, false},
                                   {6, 8, 9, 64, 3, 3, 1, 1, 1, 1, true, false},
                                   {9, 31, 3, 16, 3, 3, 2, 1, 1, 1, false, true},
                                   {4, 12, 70, 64, 3, 3, 1, 2, 2, 2, true, false},
                                   {7, 28, 3, 24, 5, 5, 2, 1, 2, 1, true, true},
                                   {6, 16, 3, 16, 3, 3, 1, 1, 1, 1, false, false}};
    for (uint32_t i = 0; i < COUNT(shapes); i++) {
        const Shape *z = &shapes[i];
        char name[32];
        snprintf(name, sizeof name, "conv_%u", i);
        Case c = begin_case(name);
        c.depth = z->r * z->s * z->c;
        c.large = c.depth > 1000;
        Loc l = {0};
        Val x = picture(&c, z, 2, false);
        Val y = conv(&c, x, weights(&c, 4, DIMS(z->r, z->s, z->c, z->f)), 2, z, 1);
        y = b_binary(c.g, l, OP_add, y, weights(&c, 1, DIMS(z->f)));
        if (i & 1) y = b_binary(c.g, l, OP_add, y, param(&c, DT_f32, 4, val_type(c.g, y)->dims));
        end_case(&c, b_binary(c.g, l, OP_max, y, b_scalar(c.g, l, DT_f32, 0)));
    }
}

/* Of integers, whose sums are exact in any order: quantized networks. */
static void test_conv_integers(void **state) {
    (void)state;
    static const Shape shapes[] = {{9, 7, 16, 40, 3, 3, 1, 1, 1, 1, false, false},
                                   {7, 7, 70, 20, 1, 1, 1, 1, 0, 0, true, false}};
    for (uint32_t i = 0; i < COUNT(shapes); i++) {
        const Shape *z = &shapes[i];
        Case c = begin_case(i ? "conv_integers_1" : "conv_integers_0");
        c.depth = z->r * z->s * z->c;
        Dim dims[] = {z->symbolic ? symbol(&c, "n", 3) : dim_const(c.cx, 2), dim_const(c.cx, z->h), dim_const(c.cx, z->w),
                      dim_const(c.cx, z->c)};
        int64_t n = z->r * z->s * z->c * z->f;
        int32_t *data = arena_new_array(c.cx->arena, int32_t, (size_t)n);
        for (int64_t k = 0; k < n; k++) data[k] = (int32_t)(next_float(&c.seed) * 127);
        Dim d[] = {dim_const(c.cx, z->r), dim_const(c.cx, z->s), dims[3], dim_const(c.cx, z->f)};
        Val w = b_const(c.g, (Loc){0}, const_data(c.cx, DT_i32, (uint64_t)n, data), 4, d);
        end_case(&c, conv(&c, param(&c, DT_i32, 4, dims), w, 2, z, 1));
    }
}

/* Results channels first: rows of a tile stored side by side, over one image or the ends of several. */
static void test_crossed(void **state) {
    (void)state;
    static const Shape shapes[] = {
        {7, 7, 16, 40, 1, 1, 1, 1, 0, 0, false, true},   {3, 3, 9, 33, 3, 3, 1, 1, 1, 1, true, false},
        {5, 14, 70, 32, 3, 3, 1, 1, 1, 1, false, false}, {6, 56, 3, 64, 3, 3, 1, 1, 1, 1, true, true},
        {8, 8, 300, 20, 1, 1, 2, 1, 0, 0, true, true},   {4, 5, 40, 7, 2, 3, 1, 1, 1, 0, false, false}};
    for (uint32_t i = 0; i < 2 * COUNT(shapes); i++) {
        const Shape *z = &shapes[i / 2];
        char name[32];
        snprintf(name, sizeof name, "crossed_%u", i);
        Case c = begin_case(name);
        c.depth = z->r * z->s * z->c;
        Loc l = {0};
        Val x = picture(&c, z, i & 1 ? 1 : 2, false);
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
        {2, {8, 70, 2, 2, 2, 4, 1, 2, 1, 0, false, true}}, {2, {7, 100, 2, 2, 3, 3, 2, 1, 1, 1, false, true}},
        {3, {9, 75, 3, 3, 5, 5, 2, 1, 1, 2, false, true}}, {2, {6, 71, 2, 2, 2, 2, 2, 1, 1, 0, false, true}}};
    for (uint32_t i = 0; i < COUNT(cases); i++) {
        const Shape *z = &cases[i].shape;
        int64_t groups = cases[i].groups;
        char name[32];
        snprintf(name, sizeof name, "conv_groups_%u", i);
        Case c = begin_case(name);
        c.depth = z->r * z->s * z->c / groups;
        Loc l = {0};
        Val x = picture(&c, z, 2, z->symbolic);
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

/* A convolution in groups, an activation, one of one tap to `filters`: strips of every height, lines left over, borders, rows
 * that do not fill tiles; with a residual. */
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
        c.depth = z->r * z->s * z->c, c.expects = TEMPLATE_separable, c.l2_bytes = 1 << 10;
        Loc l = {0};
        Val y = conv(&c, picture(&c, z, 3, z->symbolic), weights(&c, 4, DIMS(z->r, z->s, z->c / cases[i].groups, z->f)), 2, z,
                     cases[i].groups);
        y = b_binary(c.g, l, OP_max, b_binary(c.g, l, OP_add, y, weights(&c, 1, DIMS(z->f))), b_scalar(c.g, l, DT_f32, 0));
        y = conv(&c, y, weights(&c, 4, DIMS(1, 1, z->f, cases[i].filters)), 2, &(Shape){.stride = 1, .dilation = 1}, 1);
        if (i & 1) y = b_binary(c.g, l, OP_add, y, param(&c, DT_f32, 4, val_type(c.g, y)->dims));
        end_case(&c, b_binary(c.g, l, OP_add, y, weights(&c, 1, DIMS(cases[i].filters))));
    }
    Shape z = {.stride = 2, .dilation = 1, .low = 1, .high = 1}, one = {.stride = 1, .dilation = 1};
    Case c = begin_case("separable_1d");
    c.depth = 60, c.expects = TEMPLATE_separable, c.l2_bytes = 1 << 10;
    Val y = conv(&c, param_i(&c, DT_f32, 3, DIMS(20, 19, 20)), weights(&c, 3, DIMS(3, 1, 20)), 1, &z, 20);
    end_case(&c, conv(&c, y, weights(&c, 3, DIMS(1, 20, 24)), 1, &one, 1));
    c = begin_case("separable_3d");
    c.depth = 540, c.expects = TEMPLATE_separable, c.l2_bytes = 1 << 10;
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
    Dim low = dim_const(c.cx, z->low), high = dim_const(c.cx, z->high);
    Val x = picture(&c, z, 2, false);
    Attr attrs[] = {{.key = ATTR_low, .n = 2, .as.dims = (Dim[]){low, low}},
                    {.key = ATTR_high, .n = 2, .as.dims = (Dim[]){high, high}},
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
    static const Shape shapes[] = {
        {8, 8, 16, 16, 4, 4, 1, 1, 1, 1, false, false},   {7, 9, 20, 40, 4, 4, 1, 1, 1, 0, false, false},
        {9, 6, 48, 32, 2, 2, 1, 1, 0, 2, true, false},    {5, 11, 17, 65, 2, 2, 1, 1, 1, 1, true, true},
        {3, 3, 8, 16, 4, 4, 1, 1, 0, 0, false, false},    {21, 18, 24, 8, 4, 4, 1, 1, 2, -1, true, false},
        {30, 29, 300, 24, 4, 4, 1, 1, 1, 1, false, false}};
    for (uint32_t i = 0; i < COUNT(shapes); i++) winograd_case(&shapes[i], i);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),      cmocka_unit_test(test_conv_integers), cmocka_unit_test(test_conv_ranks),
        cmocka_unit_test(test_conv_groups), cmocka_unit_test(test_separable),   cmocka_unit_test(test_winograd),
        cmocka_unit_test(test_crossed),
    };
    return have_llvm() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
