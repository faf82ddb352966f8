/* test_fold.c: what emit does where the graph folds: laws that change no bit, splats that stay
 * splats, constants folded within limits, and what must not fold. */
#include "graph_test.h"

typedef struct Case {
    Context *cx;
    Graph *g;
    Dim n;       /* a symbol */
    Dim dims[2]; /* n, 4 */
    Val x, i, c; /* f32[n,4], i32[n,4], bool[n,4] */
} Case;

static Case make(void **state) {
    Case t = {.cx = *state};
    t.g = graph_new(t.cx, "f");
    t.g->fold = true;
    t.n = dim_symbol(t.cx, symbol_new(t.cx, &(SymbolInfo){.name = "n",
                                                          .kind = SYMBOL_INPUT,
                                                          .min = 0,
                                                          .max = INT64_MAX,
                                                          .multiple = 1}));
    t.dims[0] = t.n;
    t.dims[1] = dim_const(t.cx, 4);
    t.x = b_param(t.g, nowhere, "x", DT_f32, 2, t.dims);
    t.i = b_param(t.g, nowhere, "i", DT_i32, 2, t.dims);
    t.c = b_param(t.g, nowhere, "c", DT_bool, 2, t.dims);
    return t;
}

static Val splat_of(Case *t, DType d, double v) {
    return b_splat(t->g, nowhere, d,
                   dtype_is_float(d) ? (Scalar){.f = v} : (Scalar){.i = (int64_t)v}, 2, t->dims);
}

static Val binary(Case *t, Op op, Val a, Val b) {
    return emit(t->g, op, nowhere, LIST(Val, a, b), 2, NULL, 0);
}

#define SAME(a, b)      assert_int_equal((a).id, (b).id)
#define DIFFERENT(a, b) assert_int_not_equal((a).id, (b).id)

static void arithmetic_laws(void **state) {
    Case t = make(state);
    SAME(binary(&t, OP_mul, t.x, splat_of(&t, DT_f32, 1)), t.x);
    SAME(binary(&t, OP_mul, splat_of(&t, DT_f32, 1), t.x), t.x);
    SAME(binary(&t, OP_sub, t.x, splat_of(&t, DT_f32, 0)), t.x);
    SAME(binary(&t, OP_add, t.x, splat_of(&t, DT_f32, -0.0)), t.x);
    SAME(binary(&t, OP_div, t.x, splat_of(&t, DT_f32, 1)), t.x);
    SAME(binary(&t, OP_add, t.i, splat_of(&t, DT_i32, 0)), t.i);
    SAME(binary(&t, OP_mul, splat_of(&t, DT_i32, 1), t.i), t.i);
    SAME(binary(&t, OP_max, t.x, t.x), t.x);
    SAME(b_unary(t.g, nowhere, OP_neg, b_unary(t.g, nowhere, OP_neg, t.x)), t.x);
    SAME(b_unary(t.g, nowhere, OP_not, b_unary(t.g, nowhere, OP_not, t.c)), t.c);
    SAME(binary(&t, OP_and, t.c, splat_of(&t, DT_bool, 1)), t.c);
    SAME(binary(&t, OP_and, t.i, splat_of(&t, DT_i32, -1)), t.i);
    SAME(emit(t.g, OP_select, nowhere,
              LIST(Val, splat_of(&t, DT_bool, 1), t.x, splat_of(&t, DT_f32, 7)), 3, NULL, 0),
         t.x);
    SAME(emit(t.g, OP_select, nowhere, LIST(Val, t.c, t.x, t.x), 3, NULL, 0), t.x);
}

/* x + 0 changes -0; x * 0 changes NaN; x - -0 changes -0. */
static void laws_that_do_not_hold(void **state) {
    Case t = make(state);
    DIFFERENT(binary(&t, OP_add, t.x, splat_of(&t, DT_f32, 0)), t.x);
    DIFFERENT(binary(&t, OP_sub, t.x, splat_of(&t, DT_f32, -0.0)), t.x);
    Scalar s;
    assert_false(val_splat(t.g, binary(&t, OP_mul, t.x, splat_of(&t, DT_f32, 0)), &s));
    assert_true(val_splat(t.g, binary(&t, OP_mul, t.i, splat_of(&t, DT_i32, 0)), &s) && s.i == 0);
}

static void view_laws(void **state) {
    Case t = make(state);
    Context *cx = t.cx;
    const Dim flat[] = {dim_muli(cx, t.n, 4)}, zero[] = {dim_const(cx, 0), dim_const(cx, 0)};
    Val r = b_reshape(t.g, nowhere, t.x, 1, flat);
    assert_int_equal(val_op(t.g, r), OP_reshape);
    SAME(b_reshape(t.g, nowhere, r, 2, t.dims), t.x);
    Val p = b_permute(t.g, nowhere, t.x, LIST(int64_t, 1, 0));
    SAME(b_permute(t.g, nowhere, p, LIST(int64_t, 1, 0)), t.x);
    SAME(b_slice(t.g, nowhere, t.x, zero, LIST(int64_t, 1, 1), t.dims), t.x);
    SAME(b_pad(t.g, nowhere, t.x, b_scalar(t.g, nowhere, DT_f32, 1), zero, zero,
               LIST(int64_t, 0, 0)),
         t.x);
    SAME(b_concat(t.g, nowhere, &t.x, 1, 0), t.x);
    SAME(b_broadcast(t.g, nowhere, t.x, 2, t.dims, LIST(int64_t, 0, 1)), t.x);
    Val row = b_param(t.g, nowhere, "row", DT_f32, 1, t.dims + 1);
    const Dim deep[] = {dim_const(cx, 3), t.n, dim_const(cx, 4)};
    Val twice =
        b_broadcast(t.g, nowhere, b_broadcast(t.g, nowhere, row, 2, t.dims, LIST(int64_t, 1)), 3,
                    deep, LIST(int64_t, 1, 2));
    SAME(val_in(t.g, twice, 0), row);
    Val both = emit(t.g, OP_tuple, nowhere, LIST(Val, t.x, row), 2, NULL, 0);
    SAME(b_get(t.g, nowhere, both, 1), row);
}

static void splats_stay_splats(void **state) {
    Case t = make(state);
    Scalar s;
    Val sum = binary(&t, OP_add, splat_of(&t, DT_f32, 2), splat_of(&t, DT_f32, 3));
    assert_int_equal(val_op(t.g, sum), OP_const);
    assert_true(val_splat(t.g, sum, &s) && s.f == 5);
    Val wide = b_broadcast(t.g, nowhere, b_scalar(t.g, nowhere, DT_f32, 5), 2, t.dims, NULL);
    SAME(wide, sum);
    const Dim flat[] = {dim_muli(t.cx, t.n, 4)};
    assert_int_equal(val_op(t.g, b_reshape(t.g, nowhere, sum, 1, flat)), OP_const);
    Val negative = b_unary(t.g, nowhere, OP_neg, splat_of(&t, DT_f32, 0));
    assert_true(val_splat(t.g, negative, &s) && signbit(s.f));
}

static Val constant(Case *t, DType d, uint32_t rank, const Dim *dims, uint64_t n,
                    const void *data) {
    size_t bytes = (size_t)n * (size_t)dtype_bytes(d);
    return b_const(t->g, nowhere, const_data(t->cx, d, n, arena_copy(t->cx->arena, data, bytes)),
                   rank, dims);
}

static Scalar element(Case *t, Val v, uint64_t i) {
    Const c;
    assert_true(val_const(t->g, v, &c));
    return const_element(t->cx, c, i);
}

static void constants_fold(void **state) {
    Case t = make(state);
    const Dim three = dim_const(t.cx, 3), two = dim_const(t.cx, 2);
    Val a = constant(&t, DT_i64, 1, &three, 3, LIST(int64_t, (INT64_C(1) << 53) + 1, 2, 3));
    Val b = b_binary(t.g, nowhere, OP_add, a, b_int(t.g, nowhere, DT_i64, 2));
    assert_int_equal(element(&t, b, 0).i, (INT64_C(1) << 53) + 3);
    Val g = b_gather(t.g, nowhere, b, constant(&t, DT_i64, 1, &two, 2, LIST(int64_t, 2, 1)), 0, 0);
    assert_int_equal(element(&t, g, 0).i, 5);
    assert_int_equal(element(&t, g, 1).i, 4);
    Val sum = b_reduce(t.g, nowhere, OP_reduce_sum, g, LIST(int64_t, 0), 1, false);
    assert_int_equal(element(&t, sum, 0).i, 9);
    Val d = b_dim(t.g, nowhere, dim_const(t.cx, 12));
    assert_int_equal(element(&t, d, 0).i, 12);
    assert_int_equal(val_op(t.g, b_dim(t.g, nowhere, t.n)), OP_dim);
    const Attr top[] = {{.key = ATTR_axis, .as.i = 0},
                        {.key = ATTR_value, .as.dim = two},
                        {.key = ATTR_largest, .as.i = 1}};
    Val best = b_get(t.g, nowhere, emit(t.g, OP_top_k, nowhere, &a, 1, top, 3), 1);
    assert_int_equal(element(&t, best, 0).i, 0);
    assert_int_equal(element(&t, best, 1).i, 2);
}

/* A constant times a broadcast constant folds, the broadcast alone does not: batch norm into
 * weights. */
static void broadcasts_of_constants(void **state) {
    Case t = make(state);
    float data[64 * 512];
    for (int i = 0; i < 64 * 512; i++)
        data[i] = (float)i;
    const Dim dims[] = {dim_const(t.cx, 64), dim_const(t.cx, 512)};
    Val w = constant(&t, DT_f32, 2, dims, 64 * 512, data),
        scale = constant(&t, DT_f32, 1, dims + 1, 512, data);
    Val wide = b_broadcast(t.g, nowhere, scale, 2, dims, LIST(int64_t, 1));
    assert_int_equal(val_op(t.g, wide), OP_broadcast);
    Val scaled = binary(&t, OP_mul, w, wide);
    assert_true(element(&t, scaled, 512 * 3 + 7).f == (512.0 * 3 + 7) * 7);
}

/* Weights of 8 bits become what kernels multiply; other results that outgrow their operands do not. */
static void weights_widen(void **state) {
    Case t = make(state);
    int8_t data[64 * 512];
    for (int i = 0; i < 64 * 512; i++)
        data[i] = (int8_t)(i % 251 - 125);
    const Dim dims[] = {dim_const(t.cx, 64), dim_const(t.cx, 512)};
    Val w = constant(&t, DT_i8, 2, dims, 64 * 512, data);
    assert_true(element(&t, b_convert(t.g, nowhere, w, DT_f32), 700).f == 700 % 251 - 125);
    assert_true(element(&t, b_convert(t.g, nowhere, w, DT_i32), 3).i == -122);
    assert_int_equal(val_op(t.g, b_convert(t.g, nowhere, w, DT_f64)), OP_convert);
}

/* gather of a number that lies inside is a slice; a number before permute and reshape multiplies what they move. */
static void views_move(void **state) {
    Case t = make(state);
    const Dim dims[] = {dim_const(t.cx, 3), t.n, dim_const(t.cx, 2)};
    Val x = b_param(t.g, nowhere, "z", DT_f32, 3, dims);
    Val one = b_gather(t.g, nowhere, x, b_int(t.g, nowhere, DT_i64, 2), 0, 0);
    assert_int_equal(val_op(t.g, one), OP_reshape);
    assert_int_equal(val_op(t.g, val_in(t.g, one, 0)), OP_slice);
    assert_int_equal(val_op(t.g, b_gather(t.g, nowhere, x, b_int(t.g, nowhere, DT_i64, 3), 0, 0)), OP_gather);
    assert_int_equal(val_op(t.g, b_gather(t.g, nowhere, x, b_int(t.g, nowhere, DT_i64, 0), 1, 0)), OP_gather);
    Val moved = b_permute(t.g, nowhere, one, LIST(int64_t, 1, 0));
    Val scaled = b_binary(t.g, nowhere, OP_mul, moved, b_scalar(t.g, nowhere, DT_f32, 3));
    assert_int_equal(val_op(t.g, scaled), OP_permute);
    Val product = val_in(t.g, val_in(t.g, scaled, 0), 0);
    assert_int_equal(val_op(t.g, product), OP_mul);
    assert_int_equal(val_in(t.g, product, 0).id, val_in(t.g, one, 0).id);
}

/* An index out of range is a run-time error: the node stays and nothing is reported. */
static void errors_do_not_fold(void **state) {
    Case t = make(state);
    const Dim three = dim_const(t.cx, 3), one = dim_const(t.cx, 1);
    Val a = constant(&t, DT_i64, 1, &three, 3, LIST(int64_t, 1, 2, 3));
    Val v = b_gather(t.g, nowhere, a, constant(&t, DT_i64, 1, &one, 1, LIST(int64_t, 3)), 0, 0);
    assert_int_equal(val_op(t.g, v), OP_gather);
    assert_int_equal(diag_count(t.cx), 0);
}

static void limits_hold(void **state) {
    (void)state;
    Context *cx = context_new(&(Limits){.fold_bytes = 1024});
    void *own = cx;
    Case t = make(&own);
    float data[512];
    for (int i = 0; i < 512; i++)
        data[i] = (float)i;
    const Dim big = dim_const(cx, 512);
    Val a = constant(&t, DT_f32, 1, &big, 512, data);
    assert_int_equal(val_op(t.g, b_unary(t.g, nowhere, OP_neg, a)), OP_neg);
    context_free(cx);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(arithmetic_laws),    TEST(laws_that_do_not_hold),
                                       TEST(view_laws),          TEST(splats_stay_splats),
                                       TEST(constants_fold),     TEST(broadcasts_of_constants), TEST(weights_widen),
                                       TEST(errors_do_not_fold), TEST(views_move), TEST(limits_hold)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
