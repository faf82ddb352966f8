/* test_index.c: index_<op>, what fusion and lowering read, against eval_<op>, what the interpreter
 * does: every element, with symbolic extents; and the shape of the expressions of a reshape.
 */
#include "graph_test.h"

/* ---- index_<op> against eval_<op> ---- */

typedef struct Load {
    Symbol symbol;
    uint32_t operand;
    const Dim *at;
    Dim extent;
} Load;
typedef struct Loads {
    Context *cx;
    VEC(Load) list;
} Loads;

static Dim record_load(void *user, uint32_t operand, const Dim *at, Dim extent) {
    Loads *l = user;
    Symbol s = symbol_new(
        l->cx, &(SymbolInfo){
                   .name = "at", .kind = SYMBOL_INDEX, .min = 0, .max = INT64_MAX, .multiple = 1});
    vec_push(l->cx->arena, &l->list, (Load){s, operand, at, extent});
    return dim_symbol(l->cx, s);
}

static int64_t value_of(Context *cx, Dim d, const int64_t *values) {
    int64_t v = -1;
    if (!dim_eval(cx, d, values, &v)) {
        print_message("cannot evaluate %s\n", dim_string(cx, d));
        fail();
    }
    return v;
}

static int64_t flat(Context *cx, const Tensor *t, const Dim *at, const int64_t *values) {
    int64_t offset = 0;
    for (uint32_t i = 0; i < t->rank; i++) {
        int64_t v = value_of(cx, at[i], values);
        assert_in_range(v, 0, t->dims[i] - 1);
        offset = offset * t->dims[i] + v;
    }
    return offset;
}

static bool fact_holds(Context *cx, const Fact *f, const int64_t *values) {
    int64_t a = value_of(cx, f->a, values), b = value_of(cx, f->b, values);
    switch (f->relation) {
    case REL_EQ:
        return a == b;
    case REL_NE:
        return a != b;
    case REL_LE:
        return a <= b;
    case REL_LT:
        return a < b;
    case REL_DIVIDES:
        return b % a == 0;
    }
    return false;
}

/* Compares every element of y = node(in) with what the index function says.  symbols: values of the
 * input symbols. */
static void check_index(Graph *g, Val v, const Tensor *in, uint32_t n_in, const Symbol *symbols,
                        const int64_t *sizes, uint32_t n) {
    Context *cx = g->cx;
    Node saved = *node(g, v);
    Tensor y = run(g, v, in, n_in);
    uint32_t rank = y.rank;
    Symbol index[MAX_RANK];
    Dim at[MAX_RANK];
    VEC(Fact) facts = {0};
    const TypeInfo *t = type_info(cx, saved.type);
    for (uint32_t i = 0; i < rank; i++) {
        index[i] = symbol_new(
            cx, &(SymbolInfo){
                    .name = "i", .kind = SYMBOL_INDEX, .min = 0, .max = INT64_MAX, .multiple = 1});
        at[i] = dim_symbol(cx, index[i]);
        vec_push(cx->arena, &facts, (Fact){REL_LT, at[i], t->dims[i]});
    }
    Scope scope = {NULL, facts.at, facts.n};
    Loads loads = {.cx = cx};
    IndexQuery q = {g, &saved, at, &scope, cx->arena, record_load, &loads};
    const IndexCase *cases;
    uint32_t n_cases = index_fn[saved.op](&q, &cases);
    int64_t *values = arena_new_array(cx->arena, int64_t, symbol_count(cx) + 1);
    for (uint32_t i = 0; i < n; i++)
        values[symbols[i].id] = sizes[i];
    for (int64_t e = 0; e < tensor_elements(&y); e++) {
        int64_t rest = e;
        for (uint32_t i = rank; i-- > 0; rest /= y.dims[i])
            values[index[i].id] = rest % y.dims[i];
        for (uint32_t i = 0; i < loads.list.n; i++) {
            Load l = loads.list.at[i];
            int64_t extent = value_of(cx, l.extent, values),
                    got = tensor_at(&in[l.operand], flat(cx, &in[l.operand], l.at, values)).i;
            if (saved.op == OP_dyn_slice || saved.op == OP_dyn_update)
                got = got < 0 ? 0 : got >= extent ? extent - 1 : got;
            assert_in_range(got, 0, extent - 1);
            values[l.symbol.id] = got;
        }
        uint32_t c = 0;
        for (; c < n_cases; c++) {
            bool all = true;
            for (uint32_t i = 0; i < cases[c].n_when; i++)
                all = all && fact_holds(cx, &cases[c].when[i], values);
            if (all)
                break;
        }
        assert_true(c < n_cases);
        const Tensor *from = &in[cases[c].operand];
        Scalar want = tensor_at(from, flat(cx, from, cases[c].at, values));
        assert_true(scalar_equal(y.dtype, tensor_at(&y, e), want));
    }
}

/* x[n, 6, 4] reshaped, permuted, broadcast, sliced for n = 5. */
static void index_of_views(void **state) {
    Context *cx = *state;
    Dim n = input_symbol(cx, "n", 1);
    Symbol sn = symbol_find(cx, "n");
    const int64_t size = 5;
    const Dim x_dims[] = {n, k(cx, 6), k(cx, 4)};
    Tensor in = counting(cx, DT_f32, 3, LIST(int64_t, 5, 6, 4));
    const struct {
        uint32_t rank;
        Dim dims[5];
    } shapes[] = {
        {1, {dim_muli(cx, n, 24)}},
        {2, {n, k(cx, 24)}},
        {3, {n, k(cx, 4), k(cx, 6)}},
        {4, {n, k(cx, 2), k(cx, 3), k(cx, 4)}},
        {2, {dim_muli(cx, n, 6), k(cx, 4)}},
        {5, {k(cx, 1), n, k(cx, 1), k(cx, 8), k(cx, 3)}},
        {3, {k(cx, 2), dim_muli(cx, n, 3), k(cx, 4)}},
        {3, {k(cx, 12), n, k(cx, 2)}},
    };
    for (size_t i = 0; i < COUNT(shapes); i++) {
        Graph *g = graph_new(cx, "f");
        Val x = b_param(g, nowhere, "x", DT_f32, 3, x_dims);
        check_index(g, b_reshape(g, nowhere, x, shapes[i].rank, shapes[i].dims), &in, 1, &sn, &size,
                    1);
    }
    Graph *g = graph_new(cx, "f");
    Val x = b_param(g, nowhere, "x", DT_f32, 3, x_dims);
    check_index(g, b_permute(g, nowhere, x, LIST(int64_t, 2, 0, 1)), &in, 1, &sn, &size, 1);
    g = graph_new(cx, "f");
    x = b_param(g, nowhere, "x", DT_f32, 3, x_dims);
    const Dim wide[] = {n, k(cx, 3), k(cx, 6), k(cx, 4)};
    check_index(g, b_broadcast(g, nowhere, x, 4, wide, LIST(int64_t, 0, 2, 3)), &in, 1, &sn, &size,
                1);
    g = graph_new(cx, "f");
    x = b_param(g, nowhere, "x", DT_f32, 3, x_dims);
    const Dim start[] = {k(cx, 0), k(cx, 5), k(cx, 1)}, part[] = {n, k(cx, 3), k(cx, 2)};
    check_index(g, b_slice(g, nowhere, x, start, LIST(int64_t, 1, -2, 2), part), &in, 1, &sn, &size,
                1);
}

/* The index expressions of a reshape, as text, for result indices i0, i1 ... */
static const char *reshape_text(Context *cx, uint32_t from_rank, const Dim *from, uint32_t to_rank,
                                const Dim *to) {
    Graph *g = graph_new(cx, "f");
    Val v = b_reshape(g, nowhere, b_param(g, nowhere, "x", DT_f32, from_rank, from), to_rank, to);
    Dim at[MAX_RANK];
    Fact facts[MAX_RANK];
    for (uint32_t i = 0; i < to_rank; i++) {
        Symbol s = symbol_find(cx, arena_print(cx->arena, "i%u", i));
        if (!s.id) {
            const char *name = intern(cx, arena_print(cx->arena, "i%u", i));
            s = symbol_new(
                cx,
                &(SymbolInfo){
                    .name = name, .kind = SYMBOL_INDEX, .min = 0, .max = INT64_MAX, .multiple = 1});
        }
        at[i] = dim_symbol(cx, s);
        facts[i] = (Fact){REL_LT, at[i], to[i]};
    }
    Scope scope = {NULL, facts, to_rank};
    IndexQuery q = {g, node(g, v), at, &scope, cx->arena, NULL, NULL};
    const IndexCase *cases;
    assert_int_equal(index_fn[OP_reshape](&q, &cases), 1);
    Text text = text_new(cx->arena);
    for (uint32_t i = 0; i < from_rank; i++)
        text_add(&text, i ? ", %s" : "%s", dim_string(cx, cases[0].at[i]));
    return text.at;
}

/* Divisions appear only where axes really mix. */
static void reshape_groups(void **state) {
    Context *cx = *state;
    Dim b = input_symbol(cx, "b", 0), s = input_symbol(cx, "s", 0);
    const Dim merged[] = {b, s, k(cx, 96)}, heads[] = {b, s, k(cx, 12), k(cx, 8)},
              rows[] = {dim_mul(cx, b, s), k(cx, 96)};
    const Dim padded[] = {k(cx, 1), b, k(cx, 1), s, k(cx, 96), k(cx, 1)};
    assert_string_equal(reshape_text(cx, 3, merged, 4, heads), "i0, i1, 8*i2+i3");
    assert_string_equal(reshape_text(cx, 2, rows, 3, merged), "i0*s+i1, i2");
    assert_string_equal(reshape_text(cx, 6, padded, 3, merged), "0, i0, 0, i1, i2, 0");
    assert_string_equal(reshape_text(cx, 4, heads, 3, merged),
                        "i0, i1, floordiv(i2,8), i2-8*floordiv(i2,8)");
}

/* A broadcast of an extent not known to be 1 or n: both turn out right. */
static void index_of_unknown_broadcast(void **state) {
    Context *cx = *state;
    Dim m = input_symbol(cx, "m", 1), n = input_symbol(cx, "n", 1);
    const Symbol symbols[] = {symbol_find(cx, "m"), symbol_find(cx, "n")};
    for (int64_t extent = 1; extent <= 4; extent += 3) {
        Graph *g = graph_new(cx, "f");
        Val x = b_param(g, nowhere, "x", DT_f32, 1, &m);
        (void)b_param(g, nowhere, "z", DT_f32, 1, &n);
        Tensor in[] = {counting(cx, DT_f32, 1, &extent), counting(cx, DT_f32, 1, LIST(int64_t, 4))};
        const int64_t sizes[] = {extent, 4};
        check_index(g, b_broadcast(g, nowhere, x, 1, &n, LIST(int64_t, 0)), in, 2, symbols, sizes,
                    2);
    }
}

static void index_of_indexed(void **state) {
    Context *cx = *state;
    Dim n = input_symbol(cx, "n", 1);
    Symbol sn = symbol_find(cx, "n");
    const int64_t size = 3;
    const Dim x_dims[] = {n, k(cx, 4)};
    Tensor x_in = counting(cx, DT_i32, 2, LIST(int64_t, 3, 4));
    Tensor fill = tensor(cx, DT_i32, 0, NULL, LIST(int32_t, 77));
    const struct {
        int64_t low, high, interior;
    } pads_of[] = {{1, 2, 0}, {0, 0, 2}, {-1, 3, 1}, {2, -1, 0}, {-2, -1, 1}};
    for (size_t i = 0; i < COUNT(pads_of); i++) {
        Graph *g = graph_new(cx, "f");
        Val x = b_param(g, nowhere, "x", DT_i32, 2, x_dims),
            f = b_param(g, nowhere, "fill", DT_i32, 0, NULL);
        Val y = b_pad(g, nowhere, x, f, dims_of(cx, INTS(1, pads_of[i].low)),
                      dims_of(cx, INTS(0, pads_of[i].high)), LIST(int64_t, 0, pads_of[i].interior));
        check_index(g, y, LIST(Tensor, x_in, fill), 2, &sn, &size, 1);
    }
    Graph *g = graph_new(cx, "f");
    Val a = b_param(g, nowhere, "a", DT_i32, 2, x_dims),
        b = b_param(g, nowhere, "b", DT_i32, 2, dims_of(cx, INTS(2, 4)));
    Tensor other = counting(cx, DT_i32, 2, LIST(int64_t, 2, 4));
    check_index(g, b_concat(g, nowhere, LIST(Val, a, b, a), 3, 0), LIST(Tensor, x_in, other, x_in),
                2, &sn, &size, 1);
}

static void index_of_gathers(void **state) {
    Context *cx = *state;
    Tensor x_in = counting(cx, DT_f32, 3, LIST(int64_t, 2, 3, 4));
    Tensor i_in = tensor(cx, DT_i64, 2, LIST(int64_t, 2, 2), LIST(int64_t, 1, 0, 0, 1));
    Graph *g = graph_new(cx, "f");
    Val x = param(g, "x", DT_f32, INTS(2, 3, 4)), i = param(g, "i", DT_i64, INTS(2, 2));
    check_index(g, b_gather(g, nowhere, x, i, 1, 0), LIST(Tensor, x_in, i_in), 2, NULL, NULL, 0);
    g = graph_new(cx, "f");
    x = param(g, "x", DT_f32, INTS(2, 3, 4)), i = param(g, "i", DT_i64, INTS(2, 2));
    check_index(g, b_gather(g, nowhere, x, i, 2, 1), LIST(Tensor, x_in, i_in), 2, NULL, NULL, 0);
    g = graph_new(cx, "f");
    x = param(g, "x", DT_f32, INTS(2, 3, 4)), i = param(g, "i", DT_i64, INTS(2, 2));
    check_index(g, EMIT(g, OP_gather_nd, LIST(Val, x, i), 2, a_int(ATTR_batch, 0)),
                LIST(Tensor, x_in, i_in), 2, NULL, NULL, 0);
    g = graph_new(cx, "f");
    x = param(g, "x", DT_f32, INTS(2, 3, 4)), i = param(g, "i", DT_i64, INTS(2, 2));
    check_index(g, EMIT(g, OP_gather_nd, LIST(Val, x, i), 2, a_int(ATTR_batch, 1)),
                LIST(Tensor, x_in, i_in), 2, NULL, NULL, 0);
    g = graph_new(cx, "f");
    x = param(g, "x", DT_f32, INTS(2, 3, 4)), i = param(g, "i", DT_i64, INTS(2, 2, 4));
    Tensor e_in = tensor(cx, DT_i64, 3, LIST(int64_t, 2, 2, 4),
                         LIST(int64_t, 0, 1, 2, 0, 1, 1, 2, 2, 0, 0, 0, 1, 2, 1, 2, 1));
    check_index(g, EMIT(g, OP_gather_elements, LIST(Val, x, i), 2, a_int(ATTR_axis, 1)),
                LIST(Tensor, x_in, e_in), 2, NULL, NULL, 0);
}

static void index_of_dynamic(void **state) {
    Context *cx = *state;
    Tensor x_in = counting(cx, DT_f32, 2, LIST(int64_t, 3, 5)),
           u_in = tensor(cx, DT_f32, 2, LIST(int64_t, 3, 2), LIST(float, 90, 91, 92, 93, 94, 95));
    for (int64_t start = -2; start < 7; start++) {
        Tensor s_in = tensor(cx, DT_i64, 1, LIST(int64_t, 2), LIST(int64_t, 1, start));
        Graph *g = graph_new(cx, "f");
        Val x = param(g, "x", DT_f32, INTS(3, 5)), s = param(g, "s", DT_i64, INTS(2));
        check_index(g,
                    EMIT(g, OP_dyn_slice, LIST(Val, x, s), 2,
                         a_dims(ATTR_shape, dims_of(cx, INTS(2, 3)), 2)),
                    LIST(Tensor, x_in, s_in), 2, NULL, NULL, 0);
        g = graph_new(cx, "f");
        x = param(g, "x", DT_f32, INTS(3, 5));
        Val u = param(g, "u", DT_f32, INTS(3, 2));
        s = param(g, "s", DT_i64, INTS(2));
        check_index(g, emit(g, OP_dyn_update, nowhere, LIST(Val, x, u, s), 3, NULL, 0),
                    LIST(Tensor, x_in, u_in, s_in), 3, NULL, NULL, 0);
    }
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(index_of_views),   TEST(reshape_groups),   TEST(index_of_unknown_broadcast),
        TEST(index_of_indexed), TEST(index_of_gathers), TEST(index_of_dynamic)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
