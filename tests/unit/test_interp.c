/* test_interp.c: the reference semantics: every family of ops against hand-computed values (NaN,
 * zero extents, integers past 2^53, symbolic dims), binding of symbols and guards.
 */
#include "graph_test.h"

#define FLOATS(...) LIST(float, __VA_ARGS__), (uint32_t)COUNT(LIST(float, __VA_ARGS__))

static Attr a_ints(AttrKey key, const int64_t *v, uint32_t n) {
    return (Attr){.key = key, .n = n, .as.ints = v};
}
static Attr a_dim(AttrKey key, Dim v) { return (Attr){.key = key, .as.dim = v}; }
static Attr a_graph(AttrKey key, const Graph *v) { return (Attr){.key = key, .as.graph = v}; }
static Attr a_text(Context *cx, AttrKey key, const char *v) {
    return (Attr){.key = key, .as.text = intern(cx, v)};
}

static void assert_dims(const Tensor *t, const int64_t *dims, uint32_t n) {
    assert_int_equal(t->rank, n);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(t->dims[i], dims[i]);
}

static void assert_ints(const Tensor *t, const int64_t *want, uint32_t n) {
    assert_int_equal(tensor_elements(t), n);
    for (uint32_t i = 0; i < n; i++) {
        if (tensor_at(t, i).i != want[i])
            print_message("at %u\n", i);
        assert_int_equal(tensor_at(t, i).i, want[i]);
    }
}

static void assert_floats(const Tensor *t, const float *want, uint32_t n) {
    assert_int_equal(tensor_elements(t), n);
    for (uint32_t i = 0; i < n; i++) {
        double got = tensor_at(t, i).f;
        bool close = (isnan(got) && isnan(want[i])) || got == want[i] ||
                     fabs(got - want[i]) <= 1e-6 * fabs((double)want[i]);
        if (!close)
            print_message("at %u: %g, expected %g\n", i, got, want[i]);
        assert_true(close);
    }
}

static Graph *fresh(void **state) { return graph_new(*state, "f"); }

/* ---- elementwise ---- */

static void integers_are_exact(void **state) {
    Graph *g = fresh(state);
    int64_t big = (INT64_C(1) << 53) + 1;
    Val x = param(g, "x", DT_i64, INTS(4));
    Tensor in = tensor(g->cx, DT_i64, 1, LIST(int64_t, 4), LIST(int64_t, big, INT64_MAX, -7, 0));
    Tensor y = run(g, b_binary(g, nowhere, OP_add, x, b_int(g, nowhere, DT_i64, 2)), &in, 1);
    assert_ints(&y, INTS(big + 2, INT64_MIN + 1, -5, 2));
}

static void unsigned_and_narrow(void **state) {
    Graph *g = fresh(state);
    Val x = param(g, "x", DT_u8, INTS(3)), y = param(g, "y", DT_u8, INTS(3));
    Tensor in[] = {tensor(g->cx, DT_u8, 1, LIST(int64_t, 3), LIST(uint8_t, 200, 7, 9)),
                   tensor(g->cx, DT_u8, 1, LIST(int64_t, 3), LIST(uint8_t, 100, 0, 4))};
    Tensor sum = run(g, b_binary(g, nowhere, OP_add, x, y), in, 2);
    assert_ints(&sum, INTS(44, 7, 13));
    g = fresh(state);
    x = param(g, "x", DT_u8, INTS(3)), y = param(g, "y", DT_u8, INTS(3));
    Tensor quotient = run(g, b_binary(g, nowhere, OP_div, x, y), in, 2);
    assert_ints(&quotient, INTS(2, 0, 2));
}

static void blocks_and_rounding(void **state) {
    Graph *g = fresh(state);
    Val x = param(g, "x", DT_f16, INTS(1000));
    Tensor in = counting(g->cx, DT_f16, 1, LIST(int64_t, 1000));
    Tensor y = run(g, b_binary(g, nowhere, OP_mul, x, b_scalar(g, nowhere, DT_f16, 3)), &in, 1);
    for (int i = 0; i < 1000; i++)
        assert_true(tensor_at(&y, i).f == (double)f16_to_f32(f64_to_f16(3.0 * i)));
}

/* ---- sources, views, indexed ---- */

static void sources(void **state) {
    Graph *g = fresh(state);
    Tensor y = run(g, b_iota(g, nowhere, DT_i32, 2, dims_of(g->cx, INTS(2, 3)), 1), NULL, 0);
    assert_ints(&y, INTS(0, 1, 2, 0, 1, 2));
    g = fresh(state);
    Dim n = input_symbol(g->cx, "n", 0);
    Dim twice = dim_addi(g->cx, dim_muli(g->cx, n, 2), 1);
    (void)b_param(g, nowhere, "x", DT_f32, 1, &twice);
    Tensor in = counting(g->cx, DT_f32, 1, LIST(int64_t, 11)),
           d = run(g, b_dim(g, nowhere, n), &in, 1);
    assert_ints(&d, INTS(5));
}

static void views(void **state) {
    Graph *g = fresh(state);
    Tensor in = counting(g->cx, DT_f32, 2, LIST(int64_t, 2, 3)), y;
    y = run(g, b_permute(g, nowhere, param(g, "x", DT_f32, INTS(2, 3)), LIST(int64_t, 1, 0)), &in,
            1);
    assert_floats(&y, FLOATS(0, 3, 1, 4, 2, 5));
    g = fresh(state);
    y = run(g,
            b_slice(g, nowhere, param(g, "x", DT_f32, INTS(2, 3)), dims_of(g->cx, INTS(1, 2)),
                    LIST(int64_t, -1, -2), dims_of(g->cx, INTS(2, 2))),
            &in, 1);
    assert_floats(&y, FLOATS(5, 3, 2, 0));
    g = fresh(state);
    y = run(g,
            b_broadcast(g, nowhere, param(g, "x", DT_f32, INTS(2, 3)), 3,
                        dims_of(g->cx, INTS(2, 2, 3)), LIST(int64_t, 0, 2)),
            &in, 1);
    assert_floats(&y, FLOATS(0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5));
    g = fresh(state);
    y = run(g, b_reshape(g, nowhere, param(g, "x", DT_f32, INTS(2, 3)), 1, dims_of(g->cx, INTS(6))),
            &in, 1);
    assert_dims(&y, INTS(6));
    assert_floats(&y, FLOATS(0, 1, 2, 3, 4, 5));
}

static void pads(void **state) {
    Graph *g = fresh(state);
    Tensor in = counting(g->cx, DT_f32, 1, LIST(int64_t, 4));
    Val x = param(g, "x", DT_f32, INTS(4));
    Tensor y = run(g,
                   b_pad(g, nowhere, x, b_scalar(g, nowhere, DT_f32, 9), dims_of(g->cx, INTS(1)),
                         dims_of(g->cx, INTS(2)), LIST(int64_t, 1)),
                   &in, 1);
    assert_floats(&y, FLOATS(9, 0, 9, 1, 9, 2, 9, 3, 9, 9));
    g = fresh(state);
    x = param(g, "x", DT_f32, INTS(4));
    y = run(g,
            b_pad(g, nowhere, x, b_scalar(g, nowhere, DT_f32, 9), dims_of(g->cx, INTS(-1)),
                  dims_of(g->cx, INTS(-2)), LIST(int64_t, 1)),
            &in, 1);
    assert_floats(&y, FLOATS(9, 1, 9, 2)); /* 0 9 1 9 2 9 3 without the first and the last two */
    g = fresh(state);
    x = param(g, "x", DT_f32, INTS(4));
    y = run(g,
            b_pad(g, nowhere, x, b_scalar(g, nowhere, DT_f32, 9), dims_of(g->cx, INTS(-3)),
                  dims_of(g->cx, INTS(1)), LIST(int64_t, 0)),
            &in, 1);
    assert_floats(&y, FLOATS(3, 9));
}

static void gathers(void **state) {
    Graph *g = fresh(state);
    Tensor in[] = {counting(g->cx, DT_f32, 2, LIST(int64_t, 3, 2)),
                   tensor(g->cx, DT_i64, 1, LIST(int64_t, 2), LIST(int64_t, 2, 0))};
    Val x = param(g, "x", DT_f32, INTS(3, 2)), i = param(g, "i", DT_i64, INTS(2));
    Tensor y = run(g, b_gather(g, nowhere, x, i, 0, 0), in, 2);
    assert_floats(&y, FLOATS(4, 5, 0, 1));
    g = fresh(state);
    x = param(g, "x", DT_f32, INTS(3, 2)), i = param(g, "i", DT_i64, INTS(2));
    graph_result(g, b_gather(g, nowhere, x, i, 0, 0), "y");
    in[1] = tensor(g->cx, DT_i64, 1, LIST(int64_t, 2), LIST(int64_t, 0, 3));
    Tensor out;
    assert_non_null(graph_finish(g));
    assert_false(interp_run(g->cx, g->cx->arena, g, in, 2, &out));
    assert_non_null(strstr(diag_at(g->cx, 0)->text, "index [1] is 3, outside [0, 3)"));
}

/* ---- reductions ---- */

static void reductions(void **state) {
    Context *cx = *state;
    Graph *g = graph_new(cx, "f");
    Tensor in = counting(cx, DT_f32, 3, LIST(int64_t, 2, 3, 2)), y;
    y = run(g,
            b_reduce(g, nowhere, OP_reduce_sum, param(g, "x", DT_f32, INTS(2, 3, 2)),
                     LIST(int64_t, 0, 2), 2, false),
            &in, 1);
    assert_floats(&y, FLOATS(14, 22, 30));
    g = graph_new(cx, "f");
    Tensor nan_in =
        tensor(cx, DT_f32, 2, LIST(int64_t, 2, 3), LIST(float, 1, NAN, 3, -0.0f, -4, -5));
    y = run(g,
            b_reduce(g, nowhere, OP_reduce_max, param(g, "x", DT_f32, INTS(2, 3)), LIST(int64_t, 1),
                     1, true),
            &nan_in, 1);
    assert_dims(&y, INTS(2, 1));
    assert_floats(&y, FLOATS(NAN, 0));
    assert_true(signbit(tensor_at(&y, 1).f));
    g = graph_new(cx, "f");
    Tensor ints = tensor(cx, DT_i64, 1, LIST(int64_t, 3), LIST(int64_t, INT64_MAX, 1, 5));
    y = run(g,
            b_reduce(g, nowhere, OP_reduce_sum, param(g, "x", DT_i64, INTS(3)), LIST(int64_t, 0), 1,
                     false),
            &ints, 1);
    assert_ints(&y, INTS(INT64_MIN + 5));
    g = graph_new(cx, "f");
    Tensor empty = counting(cx, DT_i8, 2, LIST(int64_t, 2, 0));
    y = run(g,
            b_reduce(g, nowhere, OP_reduce_max, param(g, "x", DT_i8, INTS(2, 0)), LIST(int64_t, 1),
                     1, false),
            &empty, 1);
    assert_ints(&y, INTS(-128, -128));
    g = graph_new(cx, "f");
    Tensor bools = tensor(cx, DT_bool, 2, LIST(int64_t, 2, 2), LIST(uint8_t, 0, 1, 1, 1));
    y = run(g,
            b_reduce(g, nowhere, OP_reduce_min, param(g, "x", DT_bool, INTS(2, 2)),
                     LIST(int64_t, 1), 1, false),
            &bools, 1);
    assert_ints(&y, INTS(0, 1));
}

static Val window_op(Graph *g, Op op, Val x) {
    Context *cx = g->cx;
    return EMIT(g, op, &x, 1, a_ints(ATTR_window, INTS(1, 3)), a_ints(ATTR_stride, INTS(1, 2)),
                a_ints(ATTR_dilation, INTS(1, 1)), a_dims(ATTR_low, dims_of(cx, INTS(0, 1)), 2),
                a_dims(ATTR_high, dims_of(cx, INTS(0, 1)), 2));
}

static void windows(void **state) {
    Context *cx = *state;
    Tensor in = tensor(cx, DT_f32, 2, LIST(int64_t, 1, 5), LIST(float, -3, -1, -1, NAN, -7)), y;
    Graph *g = graph_new(cx, "f");
    y = run(g, window_op(g, OP_window_max, param(g, "x", DT_f32, INTS(1, 5))), &in, 1);
    assert_floats(&y, FLOATS(-1, NAN, NAN));
    g = graph_new(cx, "f");
    y = run(g, window_op(g, OP_window_sum, param(g, "x", DT_f32, INTS(1, 5))), &in, 1);
    assert_floats(&y, FLOATS(-4, NAN, NAN));
    g = graph_new(cx, "f");
    y = run(g, window_op(g, OP_window_arg_max, param(g, "x", DT_f32, INTS(1, 5))), &in, 1);
    assert_ints(&y, INTS(1, 3, 3));
}

/* ---- contractions ---- */

static void dots(void **state) {
    Context *cx = *state;
    Graph *g = graph_new(cx, "f");
    Tensor in[] = {counting(cx, DT_f32, 3, LIST(int64_t, 2, 2, 3)),
                   counting(cx, DT_f32, 3, LIST(int64_t, 2, 3, 2))};
    Val x = param(g, "x", DT_f32, INTS(2, 2, 3)), w = param(g, "w", DT_f32, INTS(2, 3, 2));
    Tensor y = run(g, b_dot(g, nowhere, x, w, 1), in, 2);
    assert_floats(&y, FLOATS(10, 13, 28, 40, 172, 193, 244, 274));
    g = graph_new(cx, "f");
    Tensor ints[] = {
        tensor(cx, DT_i64, 2, LIST(int64_t, 1, 2), LIST(int64_t, (INT64_C(1) << 53) + 1, 3)),
        tensor(cx, DT_i64, 2, LIST(int64_t, 2, 1), LIST(int64_t, 1, -1))};
    x = param(g, "x", DT_i64, INTS(1, 2)), w = param(g, "w", DT_i64, INTS(2, 1));
    y = run(g, b_dot(g, nowhere, x, w, 0), ints, 2);
    assert_ints(&y, INTS((INT64_C(1) << 53) - 2));
    g = graph_new(cx, "f");
    Tensor none[] = {counting(cx, DT_f32, 2, LIST(int64_t, 2, 0)),
                     counting(cx, DT_f32, 2, LIST(int64_t, 0, 2))};
    x = param(g, "x", DT_f32, INTS(2, 0)), w = param(g, "w", DT_f32, INTS(0, 2));
    y = run(g, b_dot(g, nowhere, x, w, 0), none, 2);
    assert_floats(&y, FLOATS(0, 0, 0, 0));
}

/* A panel-encoded constant means what its dense one means. */
static void check_panels(Context *cx, Encoding encoding, int width) {
    Graph *g = graph_new(cx, "f");
    int stored = (18 + width - 1) / width * width * 3;
    float *panels = arena_new_array(cx->arena, float, (size_t)stored);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 18; j++)
            panels[(j / width * 3 + i) * width + j % width] = (float)(i * 18 + j);
    Const c = const_encoded(cx, DT_f32, encoding, (uint64_t)stored, panels);
    Val x = param(g, "x", DT_f32, INTS(1, 3)),
        w = b_const(g, nowhere, c, 2, dims_of(cx, INTS(3, 18)));
    Tensor in = counting(cx, DT_f32, 2, LIST(int64_t, 1, 3)),
           y = run(g, b_dot(g, nowhere, x, w, 0), &in, 1);
    for (int j = 0; j < 18; j++)
        assert_true(tensor_at(&y, j).f == 18 + j + 2 * (36 + j));
}

static void dot_with_panels(void **state) {
    check_panels(*state, ENCODING_PANEL16, 16);
    check_panels(*state, ENCODING_PANEL64, 64);
}

/* A kernel's body sees the logical type of a packed operand and means the same. */
static void kernel_with_panels(void **state) {
    Context *cx = *state;
    float *panels = arena_new_array(cx->arena, float, 2 * 16);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            panels[i * 16 + j] = (float)(i * 3 + j + 1);
    Graph *body = graph_new(cx, "k");
    Val x = param(body, "x", DT_f32, INTS(1, 2)), w = param(body, "w", DT_f32, INTS(2, 3));
    graph_result(body, b_dot(body, nowhere, x, w, 0), "y");
    assert_non_null(graph_finish(body));
    Graph *g = graph_new(cx, "f");
    x = param(g, "x", DT_f32, INTS(1, 2));
    w = b_const(g, nowhere, const_encoded(cx, DT_f32, ENCODING_PANEL16, 32, panels), 2,
                dims_of(cx, INTS(2, 3)));
    Schedule schedule = {0};
    Val v = EMIT(g, OP_kernel, LIST(Val, x, w), 2, a_graph(ATTR_body, body),
                 (Attr){.key = ATTR_schedule, .n = 1, .as.schedule = &schedule});
    Tensor in = tensor(cx, DT_f32, 2, LIST(int64_t, 1, 2), LIST(float, 1, 10)),
           y = run(g, v, &in, 1);
    assert_floats(&y, FLOATS(41, 52, 63));
}

/* Against the definition, element by element. */
static void convolution(void **state) {
    Context *cx = *state;
    enum { H = 5, W = 4, C = 4, R = 3, S = 2, F = 6, GROUPS = 2 };
    Graph *g = graph_new(cx, "f");
    Tensor in[] = {counting(cx, DT_f32, 4, LIST(int64_t, 2, H, W, C)),
                   counting(cx, DT_f32, 4, LIST(int64_t, R, S, C / GROUPS, F))};
    Val x = param(g, "x", DT_f32, INTS(2, H, W, C)),
        w = param(g, "w", DT_f32, INTS(R, S, C / GROUPS, F));
    Val v = EMIT(g, OP_conv, LIST(Val, x, w), 2, a_ints(ATTR_stride, INTS(2, 1)),
                 a_ints(ATTR_dilation, INTS(1, 2)), a_dims(ATTR_low, dims_of(cx, INTS(1, 0)), 2),
                 a_dims(ATTR_high, dims_of(cx, INTS(1, 1)), 2), a_int(ATTR_groups, GROUPS),
                 a_int(ATTR_chunk, CHUNK_K));
    Tensor y = run(g, v, in, 2);
    assert_dims(&y, INTS(2, 3, 3, F));
    for (int64_t e = 0; e < tensor_elements(&y); e++) {
        int64_t f = e % F, b = e / F % 3, a = e / F / 3 % 3, n = e / F / 9,
                group = f / (F / GROUPS);
        double sum = 0;
        for (int64_t r = 0; r < R; r++)
            for (int64_t s = 0; s < S; s++)
                for (int64_t c = 0; c < C / GROUPS; c++) {
                    int64_t h = a * 2 + r - 1, j = b + s * 2;
                    if (h < 0 || h >= H || j >= W)
                        continue;
                    sum +=
                        tensor_at(&in[0], ((n * H + h) * W + j) * C + group * (C / GROUPS) + c).f *
                        tensor_at(&in[1], ((r * S + s) * (C / GROUPS) + c) * F + f).f;
                }
        assert_true(tensor_at(&y, e).f == (double)(float)sum);
    }
}

/* ---- anchors ---- */

static void arg_extremes(void **state) {
    Context *cx = *state;
    Tensor in = tensor(cx, DT_f32, 2, LIST(int64_t, 2, 4), LIST(float, 1, 5, 5, 2, NAN, 9, NAN, 1)),
           y;
    for (int last = 0; last < 2; last++) {
        Graph *g = graph_new(cx, "f");
        Val x = param(g, "x", DT_f32, INTS(2, 4));
        y = run(g, EMIT(g, OP_arg_max, &x, 1, a_int(ATTR_axis, 1), a_int(ATTR_last, last)), &in, 1);
        assert_ints(&y, INTS(last ? 2 : 1, last ? 2 : 0));
    }
    Graph *g = graph_new(cx, "f");
    Val x = param(g, "x", DT_f32, INTS(2, 4));
    y = run(g, EMIT(g, OP_arg_min, &x, 1, a_int(ATTR_axis, 0), a_int(ATTR_last, 0)), &in, 1);
    assert_ints(&y, INTS(1, 0, 1, 1));
}

static void scatters(void **state) {
    Context *cx = *state;
    Graph *g = graph_new(cx, "f");
    Tensor in[] = {counting(cx, DT_i32, 2, LIST(int64_t, 3, 2)),
                   tensor(cx, DT_i64, 2, LIST(int64_t, 2, 1), LIST(int64_t, 2, 2)),
                   tensor(cx, DT_i32, 2, LIST(int64_t, 2, 2), LIST(int32_t, 10, 20, 100, 200))};
    Val x = param(g, "x", DT_i32, INTS(3, 2)), i = param(g, "i", DT_i64, INTS(2, 1)),
        u = param(g, "u", DT_i32, INTS(2, 2));
    Tensor y = run(
        g, EMIT(g, OP_scatter_nd, LIST(Val, x, i, u), 3, a_text(cx, ATTR_combine, "add")), in, 3);
    assert_ints(&y, INTS(0, 1, 2, 3, 114, 225));
    g = graph_new(cx, "f");
    in[1] = tensor(cx, DT_i64, 2, LIST(int64_t, 2, 2), LIST(int64_t, 2, 0, 0, 0));
    x = param(g, "x", DT_i32, INTS(3, 2)), i = param(g, "i", DT_i64, INTS(2, 2)),
    u = param(g, "u", DT_i32, INTS(2, 2));
    y = run(g,
            EMIT(g, OP_scatter_elements, LIST(Val, x, i, u), 3, a_int(ATTR_axis, 0),
                 a_text(cx, ATTR_combine, "set")),
            in, 3);
    assert_ints(&y, INTS(100, 200, 2, 3, 10, 5));
}

static void overwrites(void **state) {
    Context *cx = *state;
    Graph *g = graph_new(cx, "f");
    Tensor in[] = {counting(cx, DT_i32, 2, LIST(int64_t, 3, 3)),
                   tensor(cx, DT_i32, 2, LIST(int64_t, 2, 1), LIST(int32_t, 70, 80))};
    Val x = param(g, "x", DT_i32, INTS(3, 3)), w = param(g, "w", DT_i32, INTS(2, 1));
    Attr start = {.key = ATTR_start, .n = 2, .as.dims = LIST(Dim, dim_const(cx, 1), dim_const(cx, 2))};
    Tensor y = run(g, EMIT(g, OP_overwrite, LIST(Val, x, w), 2, start), in, 2);
    assert_ints(&y, INTS(0, 1, 2, 3, 4, 70, 6, 7, 80));
}

static void running_sums(void **state) {
    Context *cx = *state;
    Tensor in = counting(cx, DT_i32, 1, LIST(int64_t, 4)), y;
    const struct {
        int64_t exclusive, reverse, want[4];
    } rows[] = {
        {0, 0, {0, 1, 3, 6}}, {1, 0, {0, 0, 1, 3}}, {0, 1, {6, 6, 5, 3}}, {1, 1, {6, 5, 3, 0}}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        Graph *g = graph_new(cx, "f");
        Val x = param(g, "x", DT_i32, INTS(4));
        y = run(g,
                EMIT(g, OP_cum_sum, &x, 1, a_int(ATTR_axis, 0),
                     a_int(ATTR_exclusive, rows[i].exclusive),
                     a_int(ATTR_reverse, rows[i].reverse)),
                &in, 1);
        assert_ints(&y, rows[i].want, 4);
    }
}

static void top_k_orders(void **state) {
    Context *cx = *state;
    Tensor in = tensor(cx, DT_f32, 1, LIST(int64_t, 6), LIST(float, 2, NAN, 7, 2, -1, 7)), y;
    const struct { int64_t largest, want[3]; } rows[] = {{1, {1, 2, 5}}, {0, {4, 0, 3}}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        Graph *g = graph_new(cx, "f");
        Val x = param(g, "x", DT_f32, INTS(6));
        Val t = EMIT(g, OP_top_k, &x, 1, a_int(ATTR_axis, 0), a_dim(ATTR_value, k(cx, 3)),
                     a_int(ATTR_largest, rows[i].largest));
        y = run(g, b_get(g, nowhere, t, 1), &in, 1);
        assert_ints(&y, rows[i].want, 3);
    }
}

static void nonzero_binds(void **state) {
    Context *cx = *state;
    Graph *g = graph_new(cx, "f");
    Symbol s = symbol_new(cx, &(SymbolInfo){.name = "found",
                                            .kind = SYMBOL_FOUND,
                                            .min = 0,
                                            .max = INT64_MAX,
                                            .multiple = 1,
                                            .capacity = k(cx, 6)});
    Val x = param(g, "x", DT_f32, INTS(2, 3));
    Val places = EMIT(g, OP_nonzero, &x, 1, a_dim(ATTR_extent, dim_symbol(cx, s)));
    Tensor in = tensor(cx, DT_f32, 2, LIST(int64_t, 2, 3), LIST(float, 0, 4, 0, NAN, 0, -1));
    Tensor y = run(g, b_binary(g, nowhere, OP_add, places, b_int(g, nowhere, DT_i64, 10)), &in, 1);
    assert_dims(&y, INTS(2, 3));
    assert_ints(&y, INTS(10, 11, 11, 11, 10, 12));
}

/* ---- control ---- */

static Graph *unary_body(Context *cx, Op op) {
    Graph *g = graph_new(cx, op_info[op].name);
    Val x = param(g, "x", DT_f32, INTS(2));
    graph_result(g, b_unary(g, nowhere, op, x), "y");
    return graph_finish(g);
}

static void branches(void **state) {
    Context *cx = *state;
    for (uint8_t c = 0; c < 2; c++) {
        Graph *g = graph_new(cx, "f");
        Val cond = param(g, "c", DT_bool, NULL, 0), x = param(g, "x", DT_f32, INTS(2));
        Val v = EMIT(g, OP_if, LIST(Val, cond, x), 2, a_graph(ATTR_then, unary_body(cx, OP_neg)),
                     a_graph(ATTR_orelse, unary_body(cx, OP_abs)));
        Tensor in[] = {tensor(cx, DT_bool, 0, NULL, &c),
                       tensor(cx, DT_f32, 1, LIST(int64_t, 2), LIST(float, 1, -2))};
        Tensor y = run(g, b_get(g, nowhere, v, 0), in, 2);
        if (c)
            assert_floats(&y, FLOATS(-1, 2));
        else
            assert_floats(&y, FLOATS(1, 2));
    }
}

/* i, sum: while i < 5 { sum += i; i++ }. */
static void loops(void **state) {
    Context *cx = *state;
    Graph *body = graph_new(cx, "body");
    Val i = param(body, "i", DT_i64, NULL, 0), sum = param(body, "sum", DT_i64, NULL, 0),
        end = param(body, "end", DT_i64, NULL, 0);
    Val next = b_binary(body, nowhere, OP_add, i, b_int(body, nowhere, DT_i64, 1));
    graph_result(body, b_binary(body, nowhere, OP_lt, next, end), "more");
    graph_result(body, next, "i");
    graph_result(body, b_binary(body, nowhere, OP_add, sum, i), "sum");
    assert_non_null(graph_finish(body));
    Graph *g = graph_new(cx, "f");
    Val start = param(g, "start", DT_i64, NULL, 0), limit = param(g, "limit", DT_i64, NULL, 0);
    Val more = b_binary(g, nowhere, OP_lt, start, limit);
    Val v = EMIT(g, OP_while, LIST(Val, more, start, b_int(g, nowhere, DT_i64, 0), limit), 4,
                 a_int(ATTR_carried, 2), a_graph(ATTR_body, body));
    Tensor in[] = {tensor(cx, DT_i64, 0, NULL, LIST(int64_t, 0)),
                   tensor(cx, DT_i64, 0, NULL, LIST(int64_t, 5))};
    Tensor y = run(g, b_get(g, nowhere, v, 1), in, 2);
    assert_ints(&y, INTS(10));
}

/* carry' = carry + slice; y = carry' + step. */
static void scans(void **state) {
    Context *cx = *state;
    for (int64_t reverse = 0; reverse < 2; reverse++) {
        Graph *body = graph_new(cx, "body");
        Val step = param(body, "step", DT_i64, NULL, 0),
            carry = param(body, "carry", DT_i64, NULL, 0),
            slice = param(body, "slice", DT_i64, NULL, 0);
        Val next = b_binary(body, nowhere, OP_add, carry, slice);
        graph_result(body, next, "carry");
        graph_result(body, b_binary(body, nowhere, OP_add, next, step), "y");
        assert_non_null(graph_finish(body));
        Graph *g = graph_new(cx, "f");
        Dim n = dim_symbol(cx, symbol_new(cx, &(SymbolInfo){.name = "n",
                                                            .kind = SYMBOL_INPUT,
                                                            .min = 0,
                                                            .max = INT64_MAX,
                                                            .multiple = 1}));
        Val xs = b_param(g, nowhere, "xs", DT_i64, 1, &n);
        Val v = EMIT(g, OP_scan, LIST(Val, b_int(g, nowhere, DT_i64, 100), xs), 2,
                     a_int(ATTR_carried, 1), a_int(ATTR_scanned, 1), a_dim(ATTR_trip, n),
                     a_graph(ATTR_body, body), a_int(ATTR_reverse, reverse));
        Tensor in = tensor(cx, DT_i64, 1, LIST(int64_t, 3), LIST(int64_t, 1, 2, 4)),
               y = run(g, b_get(g, nowhere, v, 1), &in, 1);
        if (reverse)
            assert_ints(&y, INTS(107, 107, 106));
        else
            assert_ints(&y, INTS(101, 104, 109));
    }
}

/* ---- composites ---- */

static void composites(void **state) {
    Context *cx = *state;
    Tensor in = tensor(cx, DT_f32, 2, LIST(int64_t, 2, 3), LIST(float, 1, 2, 3, 1000, 1000, -1000)),
           y;
    Graph *g = graph_new(cx, "f");
    Val x = param(g, "x", DT_f32, INTS(2, 3));
    y = run(g, EMIT(g, OP_softmax, &x, 1, a_int(ATTR_axis, 1)), &in, 1);
    assert_floats(&y, FLOATS(0.09003057f, 0.24472848f, 0.66524094f, 0.5f, 0.5f, 0));
    g = graph_new(cx, "f");
    x = param(g, "x", DT_f32, INTS(2, 3));
    y = run(g, EMIT(g, OP_log_softmax, &x, 1, a_int(ATTR_axis, 1)), &in, 1);
    assert_floats(&y, FLOATS(-2.4076059f, -1.4076059f, -0.40760598f, -0.69314718f, -0.69314718f,
                             -2000.6931f));
    g = graph_new(cx, "f");
    x = param(g, "x", DT_f32, INTS(2, 3));
    y = run(g,
            EMIT(g, OP_normalize, &x, 1, a_ints(ATTR_axes, INTS(1)),
                 (Attr){.key = ATTR_epsilon, .as.f = 0}),
            &in, 1);
    assert_floats(&y, FLOATS(-1.2247449f, 0, 1.2247449f, 0.70710678f, 0.70710678f, -1.4142136f));
    g = graph_new(cx, "f");
    x = param(g, "x", DT_f16, INTS(3));
    Tensor halves = tensor(cx, DT_f16, 1, LIST(int64_t, 3), NULL);
    for (int i = 0; i < 3; i++)
        ((uint16_t *)halves.data)[i] = f32_to_f16((float)(i - 1));
    y = run(g, emit(g, OP_gelu, nowhere, &x, 1, NULL, 0), &halves, 1);
    assert_true(tensor_at(&y, 0).f == (double)f16_to_f32(f32_to_f16(-0.15865526f)));
    assert_true(tensor_at(&y, 1).f == 0);
}

/* ---- symbols, guards, mistakes ---- */

static void expect_failure(Graph *g, const Tensor *in, uint32_t n, const char *text) {
    Tensor out[2];
    uint32_t before = diag_count(g->cx);
    assert_false(interp_run(g->cx, g->cx->arena, g, in, n, out));
    assert_true(diag_count(g->cx) > before);
    if (!strstr(diag_at(g->cx, before)->text, text))
        print_message("diag: %s\n", diag_at(g->cx, before)->text);
    assert_non_null(strstr(diag_at(g->cx, before)->text, text));
}

static void inputs_are_checked(void **state) {
    Context *cx = *state;
    Graph *g = graph_new(cx, "f");
    Dim n = input_symbol(cx, "n", 2);
    const Dim dims[] = {n, dim_muli(cx, n, 2)};
    Val x = b_param(g, nowhere, "x", DT_f32, 2, dims);
    graph_result(g, b_unary(g, nowhere, OP_neg, x), "y");
    assert_non_null(graph_finish(g));
    Tensor bad = counting(cx, DT_f32, 2, LIST(int64_t, 3, 5)),
           small = counting(cx, DT_f32, 2, LIST(int64_t, 1, 2));
    Tensor dtype = counting(cx, DT_i32, 2, LIST(int64_t, 3, 6));
    expect_failure(g, &bad, 1, "extent of axis 1 of input 'x' is 5, expected 2*n = 6");
    expect_failure(g, &small, 1, "n is 1, declared to lie in [2");
    expect_failure(g, &dtype, 1, "input 'x' is i32 of rank 2, expected f32 of rank 2");
    expect_failure(g, NULL, 0, "0 inputs given, expected 1");
}

static void guards_are_checked(void **state) {
    Context *cx = *state;
    Graph *g = graph_new(cx, "f");
    Dim n = input_symbol(cx, "n", 1);
    Val a = b_param(g, nowhere, "a", DT_f32, 1, &n);
    assert_true(graph_guard(g, nowhere, REL_DIVIDES, k(cx, 4), n, "heads must divide the width"));
    graph_result(g, b_unary(g, nowhere, OP_neg, a), "y");
    assert_non_null(graph_finish(g));
    Tensor in = counting(cx, DT_f32, 1, LIST(int64_t, 8)), y;
    assert_true(interp_run(cx, cx->arena, g, &in, 1, &y));
    in = counting(cx, DT_f32, 1, LIST(int64_t, 6));
    expect_failure(g, &in, 1, "heads must divide the width: 4 = 4 must divide n = 6");
}

static void broadcasts_are_checked(void **state) {
    Context *cx = *state;
    Graph *g = graph_new(cx, "f");
    Dim m = input_symbol(cx, "m", 1), n = input_symbol(cx, "n", 1);
    Val a = b_param(g, nowhere, "a", DT_f32, 1, &m), b = b_param(g, nowhere, "b", DT_f32, 1, &n);
    graph_result(g, b_binary(g, nowhere, OP_add, a, b), "y");
    assert_non_null(graph_finish(g));
    Tensor in[] = {counting(cx, DT_f32, 1, LIST(int64_t, 1)),
                   counting(cx, DT_f32, 1, LIST(int64_t, 3))},
           y;
    assert_true(interp_run(cx, cx->arena, g, in, 2, &y));
    assert_floats(&y, FLOATS(0, 1, 2));
    in[0] = counting(cx, DT_f32, 1, LIST(int64_t, 2));
    expect_failure(g, in, 2, "");
}

static void elements_bind_symbols(void **state) {
    Context *cx = *state;
    Graph *g = graph_new(cx, "f");
    Dim n = input_symbol(cx, "n", 1);
    Val length = param(g, "length", DT_i64, INTS(2));
    (void)length;
    vec_push(g->arena, &g->bindings, (SymbolBinding){.symbol = symbol_find(cx, "n"), .element = 1});
    Dim m = input_symbol(cx, "m", 0), quotient = dim_fdiv(cx, k(cx, 7), n);
    vec_push(g->arena, &g->bindings, (SymbolBinding){.symbol = symbol_find(cx, "m"), .value = quotient});
    graph_result(g, b_iota(g, nowhere, DT_f32, 1, &n, 0), "y");
    graph_result(g, b_iota(g, nowhere, DT_f32, 1, &m, 0), "z");
    assert_non_null(graph_finish(g));
    Tensor in = tensor(cx, DT_i64, 1, LIST(int64_t, 2), LIST(int64_t, 7, 3)), y[2];
    assert_true(interp_run(cx, cx->arena, g, &in, 1, y));
    assert_floats(&y[0], FLOATS(0, 1, 2));
    assert_floats(&y[1], FLOATS(0, 1));
    in = tensor(cx, DT_i64, 1, LIST(int64_t, 2), LIST(int64_t, 7, 0));
    expect_failure(g, &in, 1, "element 1 of input 'length': n is 0, declared to lie in [1");
}

/* x doubled `times` times, one concat after the other. */
static Graph *doubling(Context *cx, int times) {
    Graph *g = graph_new(cx, "f");
    Val x = param(g, "x", DT_f32, INTS(1));
    for (int i = 0; i < times; i++) {
        const Val twice[] = {x, x};
        x = EMIT(g, OP_concat, twice, 2, a_int(ATTR_axis, 0));
    }
    graph_result(g, x, "y");
    assert_non_null(graph_finish(g));
    return g;
}

static bool runs(Context *cx, const Graph *g, const Tensor *in) {
    Tensor y;
    volatile bool ran = false;
    if (context_enter(cx)) ran = interp_run(cx, cx->arena, g, in, 1, &y);
    context_leave(cx);
    return ran;
}

static void interpreting_spends_fuel(void **state) {
    Context *cx = *state;
    const Graph *small = doubling(cx, 8), *large = doubling(cx, 30);
    const Tensor in = counting(cx, DT_f32, 1, LIST(int64_t, 1));
    cx->limits.fuel = cx->fuel_used + 10000;
    assert_true(runs(cx, small, &in));
    uint64_t memory = cx->memory_used;
    assert_false(runs(cx, large, &in));
    assert_non_null(strstr(diag_at(cx, diag_count(cx) - 1)->text, "out of fuel"));
    assert_true(cx->memory_used - memory < 1 << 20);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(integers_are_exact),
                                       TEST(unsigned_and_narrow),
                                       TEST(blocks_and_rounding),
                                       TEST(sources),
                                       TEST(views),
                                       TEST(pads),
                                       TEST(gathers),
                                       TEST(reductions),
                                       TEST(windows),
                                       TEST(dots),
                                       TEST(dot_with_panels),
                                       TEST(kernel_with_panels),
                                       TEST(convolution),
                                       TEST(arg_extremes),
                                       TEST(scatters),
                                       TEST(overwrites),
                                       TEST(running_sums),
                                       TEST(top_k_orders),
                                       TEST(nonzero_binds),
                                       TEST(branches),
                                       TEST(loops),
                                       TEST(scans),
                                       TEST(composites),
                                       TEST(inputs_are_checked),
                                       TEST(guards_are_checked),
                                       TEST(broadcasts_are_checked),
                                       TEST(elements_bind_symbols),
                                       TEST(interpreting_spends_fuel)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
