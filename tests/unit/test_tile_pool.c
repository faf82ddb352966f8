/* test_tile_pool.c: template pooled, whose bits are those of a convolution and of windows over it, element by element: template
 * map. */
#define _GNU_SOURCE
#include "tile_conv.h"

/* Windows of `size` places `step` apart, along all spatial axes. */
typedef struct Windows { Op op; int64_t size, step, dilation, low, high; } Windows;

static Val windows(Case *c, Val x, const Windows *z) {
    uint32_t rank = val_rank(c->g, x);
    int64_t size[MAX_RANK], step[MAX_RANK], dilation[MAX_RANK];
    Dim low[MAX_RANK], high[MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) {
        bool spatial = i && i + 1 < rank;
        size[i] = spatial ? z->size : 1, step[i] = spatial ? z->step : 1, dilation[i] = spatial ? z->dilation : 1;
        low[i] = dim_const(c->cx, spatial ? z->low : 0), high[i] = dim_const(c->cx, spatial ? z->high : 0);
    }
    Attr attrs[] = {{.key = ATTR_window, .n = rank, .as.ints = size}, {.key = ATTR_stride, .n = rank, .as.ints = step},
                    {.key = ATTR_dilation, .n = rank, .as.ints = dilation}, {.key = ATTR_low, .n = rank, .as.dims = low},
                    {.key = ATTR_high, .n = rank, .as.dims = high}};
    return emit(c->g, z->op, (Loc){0}, (Val[]){x}, 1, attrs, COUNT(attrs));
}

/* A convolution, an activation, windows: those that overlap, that do not, that leave lines out; padding; K in one part, in
 * parts that follow one another in registers, and that do not; a residual on either side. */
static void test_pooled(void **state) {
    (void)state;
    static const struct { Windows windows; Shape shape; int64_t l2_kilobytes; } cases[] = {
        {{OP_window_max, 3, 2, 1, 1, 1}, {28, 40, 3, 24, 7, 7, 2, 1, 3, 3, false, true}, 24},
        {{OP_window_max, 2, 2, 1, 0, 0}, {14, 28, 9, 16, 3, 3, 1, 1, 1, 1, true, false}, 24},
        {{OP_window_sum, 3, 1, 1, 1, 1}, {16, 19, 4, 21, 3, 3, 1, 1, 1, 1, false, false}, 24},
        {{OP_window_max, 5, 1, 1, 2, 2}, {8, 16, 40, 24, 3, 3, 1, 1, 1, 1, true, false}, 24},
        {{OP_window_sum, 2, 3, 1, 1, 0}, {19, 21, 70, 16, 3, 3, 1, 1, 1, 1, false, false}, 24},
        {{OP_window_max, 2, 2, 2, 1, 1}, {11, 14, 5, 33, 2, 2, 1, 1, 0, 0, true, false}, 32}};
    for (uint32_t i = 0; i < COUNT(cases); i++) {
        const Shape *z = &cases[i].shape;
        char name[32];
        snprintf(name, sizeof name, "pooled_%u", i);
        Case c = begin_case(name);
        c.depth = z->r * z->s * z->c * 9, c.expects = TEMPLATE_pooled, c.l2_bytes = cases[i].l2_kilobytes << 10;
        Loc l = {0};
        Val x = picture(&c, z, 2, false);
        Val y = conv(&c, x, weights(&c, 4, DIMS(z->r, z->s, z->c, z->f)), 2, z, 1);
        y = b_binary(c.g, l, OP_add, y, weights(&c, 1, DIMS(z->f)));
        if (i & 1) y = b_binary(c.g, l, OP_add, y, param(&c, DT_f32, 4, val_type(c.g, y)->dims));
        y = windows(&c, b_binary(c.g, l, OP_max, y, b_scalar(c.g, l, DT_f32, 0)), &cases[i].windows);
        if (i & 2) y = b_binary(c.g, l, OP_add, y, param(&c, DT_f32, 4, val_type(c.g, y)->dims));
        end_case(&c, b_binary(c.g, l, OP_mul, y, b_scalar(c.g, l, DT_f32, 0.25)));
    }
    Shape z = {.stride = 1, .dilation = 1, .low = 1, .high = 1};
    Case c = begin_case("pooled_1d");
    c.depth = 60, c.expects = TEMPLATE_pooled, c.l2_bytes = 20 << 10;
    Val y = conv(&c, param_i(&c, DT_f32, 3, DIMS(2, 190, 20)), weights(&c, 3, DIMS(3, 20, 24)), 1, &z, 1);
    end_case(&c, windows(&c, y, &(Windows){OP_window_max, 4, 4, 1, 0, 0}));
    c = begin_case("pooled_3d");
    c.depth = 540, c.expects = TEMPLATE_pooled, c.l2_bytes = 32 << 10;
    y = conv(&c, param_i(&c, DT_f32, 5, DIMS(2, 6, 7, 9, 4)), weights(&c, 5, DIMS(3, 3, 3, 4, 16)), 3, &z, 1);
    end_case(&c, windows(&c, y, &(Windows){OP_window_sum, 2, 2, 1, 0, 0}));
}

int main(void) {
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_pooled)};
    return have_llvm() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
