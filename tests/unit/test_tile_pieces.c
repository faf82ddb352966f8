/* test_tile_pieces.c: products whose columns fall into pieces that are combined element by element, gates and gated units: one
 * kernel, whose bits are those of a product and of what follows it, element by element: template map. */
#define _GNU_SOURCE
#include "tile_test.h"

/* Columns [number * extent, (number + 1) * extent) of v. */
static Val piece(Case *c, Val v, int64_t number, int64_t extent) {
    Dim start = dim_const(c->cx, number * extent), n = dim_const(c->cx, extent);
    return b_slice_axis(c->g, (Loc){0}, v, val_rank(c->g, v) - 1, start, n);
}

static Val mul(Case *c, Val a, Val b) { return b_binary(c->g, (Loc){0}, OP_mul, a, b); }
static Val add(Case *c, Val a, Val b) { return b_binary(c->g, (Loc){0}, OP_add, a, b); }
static Val gate(Case *c, Val v) { return b_unary(c->g, (Loc){0}, OP_sigmoid, v); }

typedef struct Cell { int64_t rows, depth, hidden; bool symbolic; } Cell;

static Val product(Case *c, const Cell *z, int64_t pieces) {
    Dim dims[] = {z->symbolic ? symbol(c, "n", z->rows) : dim_const(c->cx, z->rows), dim_const(c->cx, z->depth)};
    c->depth = z->depth;
    Val x = param(c, DT_f32, 2, dims), w = weights(c, 2, DIMS(z->depth, pieces * z->hidden));
    return b_dot(c->g, (Loc){0}, x, w, 0);
}

static Case begin(const char *name, uint32_t number, uint32_t pieces) {
    char text[32];
    snprintf(text, sizeof text, "%s_%u", name, number);
    Case c = begin_case(text);
    c.pieces = pieces;
    return c;
}

/* One tile and several, rows that tiles do not divide, K in one part and in several, hidden units that vectors beside each
 * other do not divide. */
static void test_gates(void **state) {
    (void)state;
    static const Cell cells[] = {{1, 20, 64, false}, {8, 33, 128, false}, {3, 300, 48, false},
                                 {30, 17, 16, false}, {21, 600, 32, false}, {5, 24, 192, true}};
    for (uint32_t i = 0; i < COUNT(cells); i++) {
        Case c = begin("gates", i, 4);
        int64_t h = cells[i].hidden;
        Val y = product(&c, &cells[i], 4);
        Val x = param(&c, DT_f32, 2, val_type(c.g, y)->dims);
        y = add(&c, x, y);
        Val old = param(&c, DT_f32, 2, val_type(c.g, piece(&c, y, 0, h))->dims);
        Val cell = add(&c, mul(&c, gate(&c, piece(&c, y, 2, h)), old),
                       mul(&c, gate(&c, piece(&c, y, 0, h)), b_unary(c.g, (Loc){0}, OP_tanh, piece(&c, y, 3, h))));
        Val out = mul(&c, gate(&c, piece(&c, y, 1, h)), b_unary(c.g, (Loc){0}, OP_tanh, cell));
        end_case(&c, out);
    }
}

static void test_gated_units(void **state) {
    (void)state;
    static const Cell cells[] = {{40, 70, 64, false}, {2, 16, 32, false}, {17, 513, 80, true}, {1, 40, 16, false}};
    for (uint32_t i = 0; i < COUNT(cells); i++) {
        Case c = begin("units", i, 2);
        Val y = product(&c, &cells[i], 2);
        y = add(&c, y, weights(&c, 1, DIMS(2 * cells[i].hidden)));
        Val out = mul(&c, piece(&c, y, 1, cells[i].hidden), gate(&c, piece(&c, y, 0, cells[i].hidden)));
        end_case(&c, out);
    }
}

/* Three pieces, of a result that is reshaped behind them. */
static void test_three(void **state) {
    (void)state;
    static const Cell cells[] = {{1, 30, 32, false}, {6, 30, 48, false}, {19, 300, 16, false}};
    for (uint32_t i = 0; i < COUNT(cells); i++) {
        Case c = begin("three", i, 3);
        int64_t h = cells[i].hidden;
        Val y = product(&c, &cells[i], 3);
        Val out = add(&c, mul(&c, gate(&c, piece(&c, y, 0, h)), piece(&c, y, 1, h)), piece(&c, y, 2, h));
        out = mul(&c, out, param_i(&c, DT_f32, 2, DIMS(cells[i].rows, h)));
        Dim dims[] = {dim_const(c.cx, cells[i].rows), dim_const(c.cx, h / 8), dim_const(c.cx, 8)};
        end_case(&c, b_reshape(c.g, (Loc){0}, out, 3, dims));
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_gates), cmocka_unit_test(test_gated_units),
                                              cmocka_unit_test(test_three)};
    return have_llvm() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
