/* test_graph.c: the Graph IR: a small graph with every op, printed and parsed back; emit, guards,
 * rewriting, verify. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ir.h"

static const Loc nowhere = {0};

static int setup(void **state) { return (*state = context_new(NULL)) ? 0 : -1; }
static int teardown(void **state) {
    context_free(*state);
    return 0;
}

/* ---- building
 * -----------------------------------------------------------------------------------------------------
 */

/* What a row of `samples` builds with: a graph and parameters of the shapes that ops commonly take.
 */
typedef struct Sample {
    Context *cx;
    Graph *g;
    Dim n, m;  /* symbols */
    Val x, y;  /* f32[n,8] */
    Val i, j;  /* i32[n,8] */
    Val c;     /* bool[n,8] */
    Val w;     /* f32[8,16] */
    Val image; /* f32[n,9,9,4] */
    Val index; /* i64[n] */
    Val at;    /* i64[2] */
    Val flag;  /* bool[] */
    Val u;     /* u8[n,8] */
} Sample;

static Dim symbol(Context *cx, const char *name, int64_t min, int64_t max) {
    Symbol s = symbol_find(cx, name);
    if (!s.id)
        s = symbol_new(cx, &(SymbolInfo){.name = name, .min = min, .max = max, .multiple = 1});
    return dim_symbol(cx, s);
}

static Val param(Graph *g, const char *name, DType t, uint32_t rank, const Dim *dims) {
    return b_param(g, loc_node(g->cx, "model.onnx", name, NULL), name, t, rank, dims);
}

#define D(...)   ((const Dim[]){__VA_ARGS__})
#define I64(...) ((const int64_t[]){__VA_ARGS__})
#define K(v)     dim_const(s->cx, v)

static Sample sample_new(Context *cx) {
    Sample sample = {.cx = cx, .g = graph_new(cx, "sample")}, *s = &sample;
    Graph *g = s->g;
    s->n = symbol(cx, "n", 1, 64);
    s->m = symbol(cx, "m", 0, INT64_MAX);
    s->x = param(g, "x", DT_f32, 2, D(s->n, K(8)));
    s->y = param(g, "y", DT_f32, 2, D(s->n, K(8)));
    s->i = param(g, "i", DT_i32, 2, D(s->n, K(8)));
    s->j = param(g, "j", DT_i32, 2, D(s->n, K(8)));
    s->c = param(g, "c", DT_bool, 2, D(s->n, K(8)));
    s->w = param(g, "w", DT_f32, 2, D(K(8), K(16)));
    s->image = param(g, "image \"quoted\\\n", DT_f32, 4, D(s->n, K(9), K(9), K(4)));
    s->index = param(g, "index", DT_i64, 1, D(s->n));
    s->at = param(g, "at", DT_i64, 1, D(K(2)));
    s->flag = param(g, "flag", DT_bool, 0, NULL);
    s->u = param(g, "u", DT_u8, 2, D(s->n, K(8)));
    return sample;
}

#define ATTRS(...) (const Attr[]){__VA_ARGS__}, COUNT(((const Attr[]){__VA_ARGS__}))
#define AT_I(k, v)                                                                                 \
    { .key = ATTR_##k, .as.i = (v) }
#define AT_L(k, c, ...)                                                                            \
    { .key = ATTR_##k, .n = (c), .as.ints = I64(__VA_ARGS__) }
#define AT_D(k, c, ...)                                                                            \
    { .key = ATTR_##k, .n = (c), .as.dims = D(__VA_ARGS__) }

static Val one(Sample *s, Op op, Val x, const Attr *attrs, uint32_t n) {
    return emit(s->g, op, loc_node(s->cx, "model.onnx", "node", op_info[op].name), &x, 1, attrs, n);
}
static Val two(Sample *s, Op op, Val x, Val y, const Attr *attrs, uint32_t n) {
    return emit(s->g, op, nowhere, (const Val[]){x, y}, 2, attrs, n);
}
static Val three(Sample *s, Op op, Val x, Val y, Val z, const Attr *attrs, uint32_t n) {
    return emit(s->g, op, nowhere, (const Val[]){x, y, z}, 3, attrs, n);
}

/* ---- one builder per rule
 * ----------------------------------------------------------------------------------------- */

static Val s_param(Sample *s, Op op) {
    (void)op;
    return s->x;
}
static Val s_const(Sample *s, Op op) {
    (void)op;
    static const float values[] = {1, -0.0f, 0.1f, 1e30f, 3.14159274f, 1e-40f};
    Const data = const_data(s->cx, DT_f32, COUNT(values), values);
    return b_const(s->g, nowhere, data, 2, D(K(2), K(3)));
}
static Val s_iota(Sample *s, Op op) {
    (void)op;
    return b_iota(s->g, nowhere, DT_i32, 2, D(s->n, s->m), 1);
}
static Val s_dim(Sample *s, Op op) {
    (void)op;
    return b_dim(s->g, nowhere, dim_add(s->cx, dim_mul(s->cx, s->n, s->m), K(3)));
}
static Val s_float1(Sample *s, Op op) { return one(s, op, s->x, NULL, 0); }
static Val s_int1(Sample *s, Op op) { return one(s, op, s->i, NULL, 0); }
static Val s_float2(Sample *s, Op op) { return two(s, op, s->x, s->y, NULL, 0); }
static Val s_int2(Sample *s, Op op) { return two(s, op, s->i, s->j, NULL, 0); }
static Val s_convert(Sample *s, Op op) {
    return one(s, op, s->x, ATTRS({.key = ATTR_dtype, .as.dtype = DT_f8e4m3}, AT_I(saturate, 1)));
}
static Val s_bitcast(Sample *s, Op op) {
    return one(s, op, s->x, ATTRS({.key = ATTR_dtype, .as.dtype = DT_i32}));
}
static Val s_select(Sample *s, Op op) { return three(s, op, s->c, s->x, s->y, NULL, 0); }
static Val s_fma(Sample *s, Op op) { return three(s, op, s->x, s->y, s->x, NULL, 0); }
static Val s_reshape(Sample *s, Op op) {
    return one(s, op, s->x, ATTRS(AT_D(shape, 2, dim_muli(s->cx, s->n, 4), K(2))));
}
static Val s_permute(Sample *s, Op op) { return one(s, op, s->x, ATTRS(AT_L(perm, 2, 1, 0))); }
static Val s_broadcast(Sample *s, Op op) {
    return one(s, op, s->x, ATTRS(AT_D(shape, 3, s->m, s->n, K(8)), AT_L(axes, 2, 1, 2)));
}
static Val s_slice(Sample *s, Op op) {
    return one(s, op, s->x,
               ATTRS(AT_D(start, 2, K(0), K(7)), AT_L(step, 2, 1, -2), AT_D(shape, 2, s->n, K(4))));
}
static Val s_pad(Sample *s, Op op) {
    Val zero = b_scalar(s->g, nowhere, DT_f32, 0);
    return two(
        s, op, s->x, zero,
        ATTRS(AT_D(low, 2, K(1), K(0)), AT_D(high, 2, s->m, K(-1)), AT_L(interior, 2, 0, 1)));
}
static Val s_concat(Sample *s, Op op) {
    return three(s, op, s->x, s->y, s->x, ATTRS(AT_I(axis, 0)));
}
static Val s_gather(Sample *s, Op op) {
    return two(s, op, s->x, s->index, ATTRS(AT_I(axis, 1), AT_I(batch, 1)));
}
static Val s_gather_elements(Sample *s, Op op) {
    return two(s, op, s->x, s->i, ATTRS(AT_I(axis, 0)));
}
static Val s_gather_nd(Sample *s, Op op) { return two(s, op, s->x, s->at, ATTRS(AT_I(batch, 0))); }
static Val s_dyn_slice(Sample *s, Op op) {
    return two(s, op, s->x, s->at, ATTRS(AT_D(shape, 2, K(1), K(8))));
}
static Val s_dyn_update(Sample *s, Op op) {
    Val part = b_slice_axis(s->g, nowhere, s->x, 1, K(2), K(3));
    return three(s, op, s->x, part, s->at, NULL, 0);
}
static Val s_reduce(Sample *s, Op op) { return b_reduce(s->g, nowhere, op, s->x, I64(1), 1, true); }
static Val s_window(Sample *s, Op op) {
    return one(s, op, s->image,
               ATTRS(AT_L(window, 4, 1, 3, 3, 1), AT_L(stride, 4, 1, 2, 2, 1),
                     AT_L(dilation, 4, 1, 1, 2, 1), AT_D(low, 4, K(0), K(1), K(1), K(0)),
                     AT_D(high, 4, K(0), K(1), K(1), K(0))));
}
static Val s_arg(Sample *s, Op op) { return one(s, op, s->x, ATTRS(AT_I(axis, 1), AT_I(last, 0))); }
static Val s_dot(Sample *s, Op op) {
    (void)op;
    return b_dot(s->g, nowhere, s->x, s->w, 0);
}
static Val s_attend(Sample *s, Op op) {
    return two(s, op, s->x, s->w, ATTRS(AT_I(batch, 0), AT_I(chunk, 128), AT_I(guarded, 0)));
}
static Val s_conv(Sample *s, Op op) {
    Val filter = b_splat(s->g, nowhere, DT_f32, (Scalar){.f = 0.5}, 4, D(K(3), K(3), K(2), K(6)));
    return two(s, op, s->image, filter,
               ATTRS(AT_L(stride, 2, 2, 1), AT_L(dilation, 2, 1, 1), AT_D(low, 2, K(1), K(1)),
                     AT_D(high, 2, K(1), s->m), AT_I(groups, 2), AT_I(chunk, CHUNK_K)));
}
static Val s_winograd(Sample *s, Op op) {
    Val filter = b_splat(s->g, nowhere, DT_f32, (Scalar){.f = 0.5}, 4, D(K(4), K(4), K(4), K(6)));
    return two(s, op, s->image, filter,
               ATTRS(AT_D(low, 2, K(1), K(1)), AT_D(high, 2, K(1), s->m), AT_I(tile, 2)));
}
static Val s_scatter_nd(Sample *s, Op op) {
    Val where = b_reshape(s->g, nowhere, s->index, 2, D(s->n, K(1)));
    return three(s, op, s->x, where, s->y, ATTRS({.key = ATTR_combine, .as.text = "add"}));
}
static Val s_scatter_elements(Sample *s, Op op) {
    return three(s, op, s->x, s->i, s->y,
                 ATTRS(AT_I(axis, 1), {.key = ATTR_combine, .as.text = "set"}));
}
static Val s_overwrite(Sample *s, Op op) { return two(s, op, s->x, s->y, ATTRS(AT_D(start, 2, K(0), K(0)))); }
static Val s_cumulate(Sample *s, Op op) {
    return one(s, op, s->x, ATTRS(AT_I(reverse, 0), AT_I(axis, 1), AT_I(exclusive, 1)));
}
static Val s_top_k(Sample *s, Op op) {
    Val both = one(s, op, s->x,
                   ATTRS(AT_I(axis, 1), {.key = ATTR_value, .as.dim = K(3)}, AT_I(largest, 1)));
    return b_get(s->g, nowhere, both, 1);
}
static Val s_get(Sample *s, Op op) {
    (void)op;
    return s_top_k(s, OP_top_k);
}
static Val s_nonzero(Sample *s, Op op) {
    Symbol u = symbol_find(s->cx, "found here");
    if (!u.id)
        u = symbol_new(s->cx, &(SymbolInfo){.name = "found here",
                                            .kind = SYMBOL_FOUND,
                                            .max = INT64_MAX,
                                            .multiple = 1,
                                            .capacity = dim_muli(s->cx, s->n, 8)});
    return one(s, op, s->x, ATTRS({.key = ATTR_extent, .as.dim = dim_symbol(s->cx, u)}));
}

static const Graph *branch(Sample *s, Op op) {
    Graph *g = graph_new(s->cx, op_info[op].name);
    Val x = param(g, "x", DT_f32, 2, D(s->n, K(8))), y = param(g, "y", DT_f32, 2, D(s->n, K(8)));
    graph_result(g, b_binary(g, nowhere, op, x, y), "z");
    return graph_finish(g);
}
static Val s_if(Sample *s, Op op) {
    Val both = three(s, op, s->flag, s->x, s->y,
                     ATTRS({.key = ATTR_then, .as.graph = branch(s, OP_add)},
                           {.key = ATTR_orelse, .as.graph = branch(s, OP_mul)}));
    return b_get(s->g, nowhere, both, 0);
}
static Val s_while(Sample *s, Op op) {
    Graph *g = graph_new(s->cx, "a body");
    Val x = param(g, "x", DT_f32, 2, D(s->n, K(8))), y = param(g, "y", DT_f32, 2, D(s->n, K(8)));
    Val big = b_reduce(g, nowhere, OP_reduce_max, x, I64(0, 1), 2, false);
    graph_result(g, b_binary(g, nowhere, OP_lt, big, b_scalar(g, nowhere, DT_f32, 100)), "again");
    graph_result(g, b_binary(g, nowhere, OP_add, x, y), "x");
    Val end = three(s, op, s->flag, s->x, s->y,
                    ATTRS(AT_I(carried, 1), {.key = ATTR_body, .as.graph = graph_finish(g)}));
    return b_get(s->g, nowhere, end, 0);
}
static Val s_scan(Sample *s, Op op) {
    Graph *g = graph_new(s->cx, "body");
    Val step = param(g, "step", DT_i64, 0, NULL), sum = param(g, "sum", DT_f32, 1, D(K(8)));
    Val slice = param(g, "slice", DT_f32, 1, D(K(8)));
    Val next = b_binary(g, nowhere, OP_add, sum, slice);
    graph_result(g, next, "sum");
    graph_result(g, b_binary(g, nowhere, OP_mul, next, b_convert(g, nowhere, step, DT_f32)), "y");
    Val zero = b_splat(s->g, nowhere, DT_f32, (Scalar){.f = 0}, 1, D(K(8)));
    Val end = two(s, op, zero, s->x,
                  ATTRS(AT_I(carried, 1), AT_I(scanned, 1), {.key = ATTR_trip, .as.dim = s->n},
                        {.key = ATTR_body, .as.graph = graph_finish(g)}, AT_I(reverse, 1)));
    return b_get(s->g, nowhere, end, 1);
}
static Val s_axis(Sample *s, Op op) { return one(s, op, s->x, ATTRS(AT_I(axis, 1))); }
static Val s_normalize(Sample *s, Op op) {
    return one(s, op, s->x, ATTRS(AT_L(axes, 1, 1), {.key = ATTR_epsilon, .as.f = 1e-5}));
}
static Val s_tuple(Sample *s, Op op) {
    return b_get(s->g, nowhere, three(s, op, s->x, s->i, s->c, NULL, 0), 1);
}
static Val s_join(Sample *s, Op op) {
    Dim whole = dim_muli(s->g->cx, type_elements(s->g->cx, node(s->g, s->x)->type), 2);
    Attr shape = {.key = ATTR_shape, .n = 1, .as.dims = &whole};
    return two(s, op, s->x, s->x, &shape, 1);
}
static Val s_kernel(Sample *s, Op op) {
    static const Schedule schedule = {
        .field = {[SCHED_template_] = TEMPLATE_map, [SCHED_lanes] = 8, [SCHED_grain] = 4096}};
    return two(s, op, s->x, s->y,
               ATTRS({.key = ATTR_body, .as.graph = branch(s, OP_sub)},
                     {.key = ATTR_schedule, .n = 1, .as.schedule = &schedule}));
}

typedef Val SampleFn(Sample *, Op);
static SampleFn *const by_op[OP_COUNT] = {
    [OP_param] = s_param,
    [OP_const] = s_const,
    [OP_iota] = s_iota,
    [OP_dim] = s_dim,
    [OP_not] = s_int1,
    [OP_popcount] = s_int1,
    [OP_convert] = s_convert,
    [OP_bitcast] = s_bitcast,
    [OP_and] = s_int2,
    [OP_or] = s_int2,
    [OP_xor] = s_int2,
    [OP_shl] = s_int2,
    [OP_shr] = s_int2,
    [OP_select] = s_select,
    [OP_fma] = s_fma,
    [OP_reshape] = s_reshape,
    [OP_permute] = s_permute,
    [OP_broadcast] = s_broadcast,
    [OP_slice] = s_slice,
    [OP_pad] = s_pad,
    [OP_concat] = s_concat,
    [OP_gather] = s_gather,
    [OP_gather_elements] = s_gather_elements,
    [OP_gather_nd] = s_gather_nd,
    [OP_dyn_slice] = s_dyn_slice,
    [OP_dyn_update] = s_dyn_update,
    [OP_window_sum] = s_window,
    [OP_window_max] = s_window,
    [OP_window_arg_max] = s_window,
    [OP_arg_max] = s_arg,
    [OP_arg_min] = s_arg,
    [OP_dot] = s_dot,
    [OP_attend] = s_attend,
    [OP_conv] = s_conv,
    [OP_winograd] = s_winograd,
    [OP_scatter_nd] = s_scatter_nd,
    [OP_scatter_elements] = s_scatter_elements,
    [OP_overwrite] = s_overwrite,
    [OP_cum_sum] = s_cumulate,
    [OP_cum_prod] = s_cumulate,
    [OP_top_k] = s_top_k,
    [OP_nonzero] = s_nonzero,
    [OP_if] = s_if,
    [OP_while] = s_while,
    [OP_scan] = s_scan,
    [OP_softmax] = s_axis,
    [OP_log_softmax] = s_axis,
    [OP_normalize] = s_normalize,
    [OP_tuple] = s_tuple,
    [OP_join] = s_join,
    [OP_get] = s_get,
    [OP_kernel] = s_kernel,
};
static Val build_sample(Sample *s, Op op) {
    if (by_op[op])
        return by_op[op](s, op);
    if (op_info[op].kind == KIND_REDUCE)
        return s_reduce(s, op);
    return op_info[op].operands == 1 ? s_float1(s, op) : s_float2(s, op);
}

/* ---- checks
 * -------------------------------------------------------------------------------------------------------
 */

static void assert_clean(Context *cx) {
    for (uint32_t i = 0; i < diag_count(cx); i++)
        print_error("%s: %s\n", loc_string(cx, diag_at(cx, i)->loc), diag_at(cx, i)->text);
    assert_int_equal(diag_count(cx), 0);
}

static void assert_fixpoint(const Graph *g) {
    Context *fresh = context_new(NULL);
    Text text = text_new(g->cx->arena), blob = text_new(g->cx->arena);
    graph_print(g, &text, &blob);
    if (context_enter(fresh)) {
        Graph *again =
            graph_parse(fresh, "a.graph", text.at, text.n, (const uint8_t *)blob.at, blob.n);
        if (!again)
            print_error("%s", text.at);
        assert_clean(fresh);
        assert_non_null(again);
        assert_true(graph_verify(again));
        Text text2 = text_new(fresh->arena), blob2 = text_new(fresh->arena);
        graph_print(again, &text2, &blob2);
        assert_string_equal(text.at, text2.at);
        assert_int_equal(blob.n, blob2.n);
        if (blob.n)
            assert_memory_equal(blob.at, blob2.at, blob.n);
    } else {
        assert_clean(fresh);
        fail_msg("parse unwound");
    }
    context_leave(fresh);
    context_free(fresh);
    Graph *same = graph_parse(g->cx, "b.graph", text.at, text.n, (const uint8_t *)blob.at, blob.n);
    assert_non_null(same);
    assert_true(graph_equal(g, same));
    assert_true(graph_hash(g) == graph_hash(same));
}

static Val keep(Rewrite *r, const Node *old, Val old_val, const Val *in) {
    (void)r, (void)old, (void)old_val, (void)in;
    return (Val){0};
}

static void every_op_prints_parses_verifies_and_copies(void **state) {
    Context *cx = *state;
    for (int op = 1; op < OP_COUNT; op++) {
        Sample s = sample_new(cx);
        Val v = build_sample(&s, (Op)op);
        assert_clean(cx);
        assert_int_not_equal(v.id, 0);
        bool found = false;
        for (uint32_t id = 1; id < s.g->nodes.n; id++)
            found |= s.g->nodes.at[id].op == (Op)op;
        if (!found)
            fail_msg("no sample of op %s", op_info[op].name);
        graph_result(s.g, v, "result");
        assert_non_null(graph_finish(s.g));
        assert_true(graph_verify(s.g));
        assert_fixpoint(s.g);
        Graph *copy = graph_rewrite(cx, s.g, keep, NULL, false);
        assert_non_null(copy);
        assert_true(graph_equal(s.g, copy));
        Text dot = text_new(cx->arena);
        graph_dot(copy, &dot);
        assert_non_null(strstr(dot.at, op_info[op].name));
        assert_clean(cx);
    }
}

static void one_graph_with_every_op(void **state) {
    Context *cx = *state;
    Sample s = sample_new(cx);
    for (int op = 1; op < OP_COUNT; op++)
        graph_result(s.g, build_sample(&s, (Op)op), op_info[op].name);
    assert_non_null(graph_finish(s.g));
    assert_true(graph_verify(s.g));
    assert_fixpoint(s.g);
    assert_true(graph_equal(s.g, graph_rewrite(cx, s.g, keep, NULL, false)));
    assert_clean(cx);
}

/* ---- emit
 * ---------------------------------------------------------------------------------------------------------
 */

static void equal_nodes_merge_and_join_locations(void **state) {
    Context *cx = *state;
    Sample s = sample_new(cx);
    Loc a = loc_node(cx, "m", "a", NULL), b = loc_node(cx, "m", "b", NULL);
    Val p = b_unary(s.g, a, OP_exp, s.x), q = b_unary(s.g, b, OP_exp, s.x);
    assert_int_equal(p.id, q.id);
    assert_int_equal(node(s.g, p)->loc.id, loc_join(cx, a, b).id);
    assert_int_not_equal(b_unary(s.g, a, OP_exp, s.y).id, p.id);
    assert_int_not_equal(s.x.id, s.y.id); /* parameters of one type stay two */
    Val k1 = s_kernel(&s, OP_kernel), k2 = s_kernel(&s, OP_kernel);
    assert_int_equal(k1.id, k2.id); /* regions compare by content */
}

static void attribute_order_does_not_matter(void **state) {
    Sample s = sample_new(*state);
    Val a = one(&s, OP_cum_sum, s.x, ATTRS(AT_I(axis, 1), AT_I(exclusive, 0), AT_I(reverse, 1)));
    Val b = one(&s, OP_cum_sum, s.x, ATTRS(AT_I(reverse, 1), AT_I(exclusive, 0), AT_I(axis, 1)));
    assert_int_not_equal(a.id, 0);
    assert_int_equal(a.id, b.id);
}

static void finish_drops_what_no_result_needs(void **state) {
    Sample s = sample_new(*state);
    b_unary(s.g, nowhere, OP_exp, s.x);
    Val kept = b_unary(s.g, nowhere, OP_sin, s.y);
    graph_result(s.g, kept, "y");
    assert_non_null(graph_finish(s.g));
    assert_int_equal(s.g->nodes.n, 1 + s.g->params.n + 1);
    assert_int_equal(val_op(s.g, s.g->results.at[0]), OP_sin);
    assert_true(graph_verify(s.g));
}

static void parameters_move_to_the_front(void **state) {
    Context *cx = *state;
    Graph *g = graph_new(cx, "late");
    Dim d = dim_const(cx, 4);
    Val a = b_param(g, nowhere, "a", DT_f32, 1, &d), e = b_unary(g, nowhere, OP_exp, a);
    Val b = b_param(g, nowhere, "b", DT_f32, 1, &d);
    graph_result(g, b_binary(g, nowhere, OP_add, e, b), "y");
    assert_non_null(graph_finish(g));
    assert_int_equal(g->params.at[1].id, 2);
    assert_true(graph_verify(g));
    assert_fixpoint(g);
}

static void broadcasting_follows_numpy(void **state) {
    Context *cx = *state;
    Sample sample = sample_new(cx), *s = &sample;
    Val row = param(s->g, "row", DT_f32, 1, D(K(8))),
        odd = param(s->g, "odd", DT_f32, 2, D(s->m, K(1)));
    Val sum = b_binary(s->g, nowhere, OP_add, s->x, row);
    assert_int_equal(node(s->g, sum)->type.id, node(s->g, s->x)->type.id);
    assert_int_equal(s->g->guards.n, 0);
    Val both =
        b_binary(s->g, nowhere, OP_mul, s->x, odd); /* n against m: a guard, and their bcast */
    assert_int_not_equal(both.id, 0);
    assert_int_equal(s->g->guards.n, 1);
    assert_true(dim_same(val_dim(s->g, both, 0), dim_bcast(cx, s->n, s->m)) ||
                dim_same(val_dim(s->g, both, 0), dim_bcast(cx, s->m, s->n)));
    b_binary(s->g, nowhere, OP_add, s->x, odd);
    assert_int_equal(s->g->guards.n, 1); /* asked once */
    graph_result(s->g, both, "both");
    assert_non_null(graph_finish(s->g));
    assert_fixpoint(s->g);
    assert_clean(cx);
}

static void unproven_relations_become_guards(void **state) {
    Context *cx = *state;
    Sample sample = sample_new(cx), *s = &sample;
    Val v =
        b_reshape(s->g, loc_node(cx, "model.onnx", "Reshape_3", "Reshape"), s->x, 2, D(s->m, K(4)));
    assert_int_not_equal(v.id, 0);
    assert_int_equal(s->g->guards.n, 1);
    assert_non_null(strstr(s->g->guards.at[0].message, "number of elements must stay the same"));
    b_slice_axis(s->g, nowhere, s->x, 0, K(0), s->m);
    assert_int_equal(s->g->guards.n, 2);
    graph_result(s->g, v, "y");
    assert_non_null(graph_finish(s->g));
    assert_fixpoint(s->g);
    assert_clean(cx);
}

/* ---- constants
 * ----------------------------------------------------------------------------------------------------
 */

static void constants_round_trip_to_the_bit(void **state) {
    Context *cx = *state;
    Graph *g = graph_new(cx, "constants");
    for (int t = 1; t < DT_COUNT; t++) {
        uint8_t *bytes = arena_alloc(cx->arena, 8 * 300);
        for (uint32_t n = 3; n <= 300; n += 297) { /* inline, and in the blob */
            uint64_t seed = 88172645463325252u + (uint64_t)t;
            for (uint32_t i = 0; i < n; i++) {
                seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
                uint8_t raw[8];
                memcpy(raw, &seed, sizeof raw);
                size_t each = (size_t)dtype_bytes((DType)t);
                if (dtype_is_float((DType)t))
                    memcpy(bytes + i * each, raw, each);
                else
                    scalar_store((DType)t, bytes + i * each, scalar_load((DType)t, raw));
            }
            Dim extent = dim_const(cx, n);
            Const c = const_data(cx, (DType)t, n, arena_copy(cx->arena, bytes, 8 * 300));
            graph_result(g, b_const(g, nowhere, c, 1, &extent), dtype_info[t].name);
        }
    }
    static const uint32_t nans[] = {0x7fc00000, 0xffc00000, 0x7fc12345, 0x7f800001, 0xff800000};
    Dim extent = dim_const(cx, COUNT(nans));
    graph_result(g, b_const(g, nowhere, const_data(cx, DT_f32, COUNT(nans), nans), 1, &extent),
                 "nans");
    graph_result(g, b_scalar(g, nowhere, DT_f32, (double)NAN), "nan");
    graph_result(g, b_scalar(g, nowhere, DT_f64, 0.1), "tenth");
    assert_non_null(graph_finish(g));
    assert_fixpoint(g);
    Text text = text_new(cx->arena);
    graph_print(g, &text, NULL); /* all inline */
    Graph *again = graph_parse(cx, "a.graph", text.at, text.n, NULL, 0);
    assert_clean(cx);
    assert_true(again && graph_equal(g, again));
}

static void equal_constants_are_one(void **state) {
    Context *cx = *state;
    enum { N = 400000 };
    float *a = arena_alloc(cx->arena, N * sizeof *a), *b = arena_alloc(cx->arena, N * sizeof *b);
    for (int i = 0; i < N; i++)
        a[i] = b[i] = (float)i;
    assert_int_equal(const_data(cx, DT_f32, N, a).id, const_data(cx, DT_f32, N, b).id);
    float *c = arena_copy(cx->arena, a, N * sizeof *a);
    c[100001] = -1; /* hardly sampled by the hash */
    assert_int_not_equal(const_data(cx, DT_f32, N, a).id, const_data(cx, DT_f32, N, c).id);
    static const int8_t same[] = {7, 7, 7};
    assert_true(const_info(cx, const_data(cx, DT_i8, 3, same))->splat);
    Sample sample = sample_new(cx), *s = &sample;
    Scalar value;
    Val v = b_broadcast_to(s->g, nowhere, b_scalar(s->g, nowhere, DT_f32, 2.5), 2, D(s->n, K(8)));
    assert_true(val_splat(s->g, v, &value) && value.f == 2.5);
    assert_false(val_splat(s->g, s->x, &value));
}

static void scalars_convert_with_one_rounding(void **state) {
    (void)state;
    Scalar big = {.i = (INT64_C(1) << 62) + (INT64_C(1) << 38) +
                       1}; /* just above half an ulp of f32 */
    assert_true(scalar_convert(DT_f32, DT_i64, big, false).f == (double)(float)big.i);
    Scalar d = {.f = 1 + ldexp(1, -4) + ldexp(1, -50)}; /* e4m3: half an ulp and a little */
    assert_true(scalar_convert(DT_f8e4m3, DT_f64, d, true).f == 1.125);
    assert_int_equal(scalar_convert(DT_i8, DT_f32, (Scalar){.f = 1e9}, false).i, 127);
    assert_int_equal(scalar_convert(DT_i8, DT_f32, (Scalar){.f = -1e9}, false).i, -128);
    assert_int_equal(scalar_convert(DT_i4, DT_i32, (Scalar){.i = 9}, false).i, -7);
    assert_int_equal(scalar_convert(DT_u64, DT_f64, (Scalar){.f = 1e30}, false).u, UINT64_MAX);
    assert_int_equal(scalar_convert(DT_i64, DT_f32, (Scalar){.f = (double)NAN}, false).i, 0);
    assert_int_equal(scalar_convert(DT_bool, DT_f32, (Scalar){.f = 0.25}, false).u, 1);
    assert_true(scalar_convert(DT_f8e4m3, DT_f32, (Scalar){.f = 1e9}, true).f == 448);
    assert_true(isnan(scalar_convert(DT_f8e4m3, DT_f32, (Scalar){.f = 1e9}, false).f));
    assert_true(scalar_convert(DT_f64, DT_i64, (Scalar){.i = INT64_MIN}, false).f == -0x1p63);
    assert_false(scalar_equal(DT_f32, (Scalar){.f = 0.0}, (Scalar){.f = -0.0}));
}

/* ---- rewriting
 * ----------------------------------------------------------------------------------------------------
 */

static Val exp_to_neg(Rewrite *r, const Node *old, Val old_val, const Val *in) {
    (void)old_val;
    return old->op == OP_exp ? b_unary(r->to, old->loc, OP_neg, in[0]) : (Val){0};
}

static void rewriting_replaces_in_regions_too(void **state) {
    Context *cx = *state;
    Sample sample = sample_new(cx), *s = &sample;
    Graph *body = graph_new(cx, "body");
    Val p = param(body, "p", DT_f32, 2, D(s->n, K(8)));
    graph_result(body, b_unary(body, nowhere, OP_exp, p), "q");
    static const Schedule schedule = {.field = {0}};
    Val k = one(s, OP_kernel, b_unary(s->g, nowhere, OP_exp, s->x),
                ATTRS({.key = ATTR_body, .as.graph = graph_finish(body)},
                      {.key = ATTR_schedule, .n = 1, .as.schedule = &schedule}));
    graph_result(s->g, k, "y");
    Graph *to = graph_rewrite(cx, graph_finish(s->g), exp_to_neg, NULL, false);
    assert_non_null(to);
    Text text = text_new(cx->arena);
    graph_print(to, &text, NULL);
    assert_null(strstr(text.at, "exp"));
    assert_non_null(strstr(text.at, "neg"));
    assert_fixpoint(to);
}

static void inlining_binds_parameters(void **state) {
    Context *cx = *state;
    Sample s = sample_new(cx);
    Val out, direct = b_binary(s.g, nowhere, OP_add, s.y, s.x);
    graph_inline(s.g, branch(&s, OP_add), (const Val[]){s.y, s.x}, &out);
    assert_int_equal(out.id, direct.id);
}

static void a_plan_and_bindings_are_in_the_text(void **state) {
    Context *cx = *state;
    Sample sample = sample_new(cx), *s = &sample;
    Val k = emit(s->g, OP_exp, nowhere, &s->x, 1, ATTRS(AT_L(buffers, 1, 1)));
    graph_result(s->g, emit(s->g, OP_neg, nowhere, &k, 1, ATTRS(AT_L(buffers, 1, -1))), "y");
    Symbol half = symbol_new(
        cx, &(SymbolInfo){.name = "half", .kind = SYMBOL_INPUT, .max = INT64_MAX, .multiple = 1});
    Dim quotient = dim_fdiv(cx, s->n, dim_symbol(cx, symbol_find(cx, "m")));
    SymbolBinding bindings[] = {{.symbol = symbol_find(cx, "m"), .param = 7},
                                {.symbol = half, .value = quotient}};
    vec_push(s->g->arena, &s->g->bindings, bindings[0]);
    vec_push(s->g->arena, &s->g->bindings, bindings[1]);
    static const uint32_t above[] = {0};
    Buffer buffers[] = {
        {.bytes = dim_muli(cx, s->n, 32)},
        {.bytes = dim_addi(cx, dim_muli(cx, s->n, -1), 64), .above = above, .n_above = 1}};
    Plan plan = {2, buffers};
    s->g->plan = &plan;
    assert_non_null(graph_finish(s->g));
    assert_true(graph_verify(s->g));
    assert_fixpoint(s->g);
    assert_clean(cx);
    s->g->bindings.at[0] = bindings[1], s->g->bindings.at[1] = bindings[0];
    assert_false(graph_verify(s->g));
    assert_non_null(strstr(diag_at(cx, 0)->text, "bound to floordiv(n,m), where 'm' is not yet"));
}

static void a_value_lies_in_one_join(void **state) {
#define NEGATED "kernel %1 {body=graph @body(%1 \"\": f32[1,16]) {\n %2 = neg %1\n return %2\n}, schedule={}}\n"
    static const char text[] = "graph @f(%1 \"x\": f32[1,16]) {\n"
                               "  %2 = exp %1\n  %3 = " NEGATED
                               "  %4 = join %2, %3 {shape=[1, 32]}\n  %5 = join %3, %1 {shape=[1, 32]}\n"
                               "  return %4 \"y\", %5 \"z\"\n}\n";
    Context *cx = *state;
    Graph *g = graph_parse(cx, "joins.graph", text, sizeof text - 1, NULL, 0);
    assert_non_null(g);
    assert_false(graph_verify(g));
    assert_non_null(strstr(diag_at(cx, 0)->text, "lies in another join already"));
}

/* Parses under a limit on unwinding: NULL also where it unwound. */
static Graph *try_parse(Context *cx, const char *file, const char *text, size_t n) {
    Graph *volatile g = NULL;
    if (context_enter(cx))
        g = graph_parse(cx, file, text, n, NULL, 0);
    context_leave(cx);
    return g;
}

/* ---- mistakes
 * -----------------------------------------------------------------------------------------------------
 */

static void mistakes_in_texts(void **state) {
    static const struct {
        const char *body, *loc, *error;
    } rows[] = {
        {"%2 = addd %0, %1 return %2", "t:1:77", "unknown op 'addd': did you mean 'add'"},
        {"%2 = add %0, %1 return %2", "t:1:72", "operands must have equal extents on axis 1"},
        {"%2 = add %0 return %2", "t:1:72", "1 operands, 2 expected"},
        {"%2 = exp %9 return %2", "t:1:81", "%9 is not defined before this"},
        {"%0 = exp %1 return %0", "t:1:72", "%0 is defined twice"},
        {"%2 = softmax %0 return %2", "t:1:72", "attributes missing: 'axis', unexpected: none"},
        {"%2 = softmax %0 {axes=[1]} return %2", "t:1:72", "missing: 'axis', unexpected: 'axes'"},
        {"%2 = softmax %0 {axi=1} return %2", "t:1:89", "did you mean 'axis'"},
        {"%2 = softmax %0 {axis=2} return %2", "t:1:72", "axis is 2, expected 0 to 1"},
        {"%2 = and %0, %0 return %2", "t:1:72", "operand of f32, an integer expected"},
        {"%2 = dot %0, %0 {batch=0, chunk=256} return %2", "t:1:72",
         "inner extents must be equal (operands f32[2,4], f32[2,4])"},
        {"%2 = reshape %0 {shape=[3, 3]} return %2", "t:1:72",
         "number of elements must stay the same, to 9"},
        {"%2 = permute %0 {perm=[0, 0]} return %2", "t:1:72", "expected every axis once"},
        {"%2 = slice %0 {start=[0, 2], step=[1, 1], shape=[2, 3]} return %2", "t:1:72",
         "slice must end inside axis 1 of extent 4"},
        {"%2 = slice %0 {start=[0, 0], step=[1, 0], shape=[2, 3]} return %2", "t:1:72",
         "step[1] is 0"},
        {"%2 = concat %0, %1 {axis=0} return %2", "t:1:72",
         "operands 0 and 1 must have equal extents on axis 1"},
        {"%2 = get %0 {index=0} return %2", "t:1:72", "a tuple expected"},
        {"%2 = tuple %0 %3 = exp %2 return %3", "t:1:86", "operand 0 is a tuple"},
        {"%2 = exp %0 : f32[3,4] return %2", "t:1:86",
         "stated type is f32[3,4], but it is f32[2,4]"},
        {"%2 = const {data=f32 [1, 2], dtype=f32, shape=[3]} return %2", "t:1:72",
         "data has 2 elements, the shape expects 3"},
        {"%2 = const {data=i8 [1, 200], dtype=i8, shape=[2]} return %2", "t:1:96",
         "the range of i8"},
        {"%2 = const {data=f32 blob(0, 9), dtype=f32, shape=[9]} return %2", "t:1:103",
         "beyond the 0 bytes of the blob"},
        {"%2 = iota {dtype=f33, shape=[3], axis=0} return %2", "t:1:89", "did you mean 'f32'"},
        {"%2 = iota {dtype=f32, shape=[9223372036854775807, 2], axis=0} return %2", "t:1:72",
         "more elements than memory"},
        {"%2 = iota {dtype=f32, shape=[-1], axis=0} return %2", "t:1:72", "extent of axis 0 is -1"},
        {"%2 = nonzero %0 {extent=n} return %2", "t:1:72", "found while running expected"},
        {"return %0 \"y", "t:1:82", "a string without an end"},
        {"%2 = exp %0 return %2 } }", "t:1:96", "after the graph's end"},
        {"%2 = scatter_elements %0, %0, %0 {axis=0, combine=\"sub\"} return %2", "t:1:72",
         "expected set, add, mul, min or max"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        Context *cx = context_new(NULL);
        const char *text = arena_print(
            cx->arena,
            "graph @g(%%0 \"x\": f32[2,4], %%1 \"y\": f32[2,5]) where n in [0,9] {        %s }",
            rows[i].body);
        assert_null(try_parse(cx, "t", text, strlen(text)));
        if (diag_count(cx) != 1 || !strstr(diag_at(cx, 0)->text, rows[i].error) ||
            strcmp(loc_string(cx, diag_at(cx, 0)->loc), rows[i].loc))
            print_error("row %zu, %s\n%u: %s: %s\n", i, rows[i].body, diag_count(cx),
                        loc_string(cx, diag_at(cx, 0)->loc), diag_at(cx, 0)->text);
        assert_int_equal(diag_count(cx), 1);
        assert_non_null(strstr(diag_at(cx, 0)->text, rows[i].error));
        assert_string_equal(loc_string(cx, diag_at(cx, 0)->loc), rows[i].loc);
        context_free(cx);
    }
}

static void poison_is_reported_once(void **state) {
    Context *cx = *state;
    Sample s = sample_new(cx);
    Val bad = b_binary(s.g, nowhere, OP_add, s.x, s.i);
    assert_int_equal(bad.id, 0);
    assert_int_equal(diag_count(cx), 1);
    assert_non_null(strstr(
        diag_at(cx, 0)->text,
        "add: operands 0 and 1 must have the same element type (operands f32[n,8], i32[n,8])"));
    Val worse =
        b_mean(s.g, nowhere, b_unary(s.g, nowhere, OP_exp, b_dot(s.g, nowhere, bad, s.w, 0)),
               I64(0), 1, true);
    assert_int_equal(worse.id, 0);
    graph_result(s.g, worse, "y");
    assert_null(graph_finish(s.g));
    assert_int_equal(diag_count(cx), 1);
}

/* Every prefix and many corruptions of a text with everything in it end in a graph or a diagnostic.
 */
static void hostile_texts_are_survived(void **state) {
    Context *cx = *state;
    Sample s = sample_new(cx);
    for (int op = 1; op < OP_COUNT; op++)
        graph_result(s.g, build_sample(&s, (Op)op), "r");
    graph_finish(s.g);
    Text text = text_new(cx->arena);
    graph_print(s.g, &text, NULL);
    uint64_t seed = 42;
    for (uint32_t round = 0; round < 300; round++) {
        Context *fresh = context_new(NULL);
        char *copy = arena_copy(cx->arena, text.at, text.n + 1);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t n = round % 2 ? text.n : (seed >> 20) % text.n;
        for (uint32_t k = 0; k < round % 4; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            copy[(seed >> 20) % text.n] = text.at[(seed >> 40) % text.n];
        }
        const Graph *g = try_parse(fresh, "fuzz", copy, n);
        assert_null(fresh->bug);
        assert_true(g || diag_error_count(fresh));
        context_free(fresh);
    }
    static const char half_escape[] = "graph @\"\\";
    assert_null(try_parse(cx, "t", half_escape, strlen(half_escape)));
    static const char *const nests[] = {
        "graph @g(%0 \"x\": ((((",
        "graph @g() { %1 = kernel {body=graph @g() { %1 = kernel {body="};
    for (size_t i = 0; i < COUNT(nests); i++) {
        Text deep = text_new(cx->arena);
        for (int k = 0; k < 1000; k++)
            text_add(&deep, "%s", i || !k ? nests[i] : "((((((((");
        diag_truncate(cx, 0);
        assert_null(graph_parse(cx, "deep", deep.at, deep.n, NULL, 0));
        assert_non_null(strstr(diag_at(cx, 0)->text, "nested more than 64 deep"));
    }
}

static void targets_are_found(void **state) {
    (void)state;
    assert_non_null(target_find("x86-64-v3"));
    assert_int_equal(target_find("x86-64-v4")->vector_bytes, 64);
    assert_false(target_find("x86-64")->fma);
    assert_null(target_find("pdp-11"));
}

static void tables_are_complete(void **state) {
    (void)state;
    for (int op = 1; op < OP_COUNT; op++) {
        assert_true(strlen(op_info[op].doc) > 3);
        assert_int_equal(op_by_name(op_info[op].name), op);
    }
    for (int t = 1; t < DT_COUNT; t++) {
        assert_int_equal(dtype_by_name(dtype_info[t].name), t);
        assert_int_equal(dtype_by_onnx(dtype_info[t].onnx), t);
    }
    assert_int_equal(dtype_info[DT_i4].value_bits, 4);
    assert_int_equal(dtype_info[DT_bool].value_bits, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(tables_are_complete),
        TEST(every_op_prints_parses_verifies_and_copies),
        TEST(one_graph_with_every_op),
        TEST(equal_nodes_merge_and_join_locations),
        TEST(attribute_order_does_not_matter),
        TEST(finish_drops_what_no_result_needs),
        TEST(parameters_move_to_the_front),
        TEST(broadcasting_follows_numpy),
        TEST(unproven_relations_become_guards),
        TEST(constants_round_trip_to_the_bit),
        TEST(equal_constants_are_one),
        TEST(scalars_convert_with_one_rounding),
        TEST(rewriting_replaces_in_regions_too),
        TEST(inlining_binds_parameters),
        TEST(a_plan_and_bindings_are_in_the_text),
        TEST(a_value_lies_in_one_join),
        TEST(mistakes_in_texts),
        TEST(poison_is_reported_once),
        TEST(hostile_texts_are_survived),
        TEST(targets_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
