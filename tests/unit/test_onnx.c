/* test_onnx.c: the ONNX importer on models written here field by field: the wire format and its abuses, order and scopes,
 * functions, symbols, shape arithmetic, regions, and what unknown things are reported as. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#undef fail
#include "frontend.h"
#include "onnx/onnx.h"

static int setup(void **state) { return (*state = context_new(NULL)) ? 0 : -1; }
static int teardown(void **state) {
    context_free(*state);
    return 0;
}

/* ---- a writer of messages ---------------------------------------------------------------------------------------- */

typedef struct Bytes {
    uint8_t at[8192];
    size_t n;
} Bytes;

static void put(Bytes *b, const void *from, size_t n) {
    assert_true(b->n + n <= sizeof b->at);
    memcpy(b->at + b->n, from, n);
    b->n += n;
}

static void varint(Bytes *b, uint64_t v) {
    for (;; v >>= 7) {
        uint8_t byte = (uint8_t)(v & 0x7F) | (uint8_t)(v > 0x7F ? 0x80 : 0);
        put(b, &byte, 1);
        if (v <= 0x7F) return;
    }
}

static void number(Bytes *b, unsigned field, int64_t v) {
    varint(b, field << 3);
    varint(b, (uint64_t)v);
}

static void text(Bytes *b, unsigned field, const char *s) {
    varint(b, field << 3 | 2);
    varint(b, strlen(s));
    put(b, s, strlen(s));
}

static void nest(Bytes *b, unsigned field, const Bytes *inner) {
    varint(b, field << 3 | 2);
    varint(b, inner->n);
    put(b, inner->at, inner->n);
}

/* Names by blanks: "a b" -> two fields. */
static void names(Bytes *b, unsigned field, const char *list) {
    char one[64];
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, " ");
        snprintf(one, sizeof one, "%.*s", (int)n, p);
        text(b, field, strcmp(one, "_") == 0 ? "" : one);
        p += n;
        p += *p == ' ';
    }
}

static Bytes node_of(const char *op, const char *ins, const char *outs) {
    Bytes b = {.n = 0};
    names(&b, 1, ins);
    names(&b, 2, outs);
    text(&b, 4, op);
    return b;
}

static void add_int(Bytes *node_, const char *name, int64_t v) {
    Bytes a = {.n = 0};
    text(&a, 1, name);
    number(&a, 3, v);
    number(&a, 20, 2);
    nest(node_, 5, &a);
}

static void add_graph(Bytes *node_, const char *name, const Bytes *graph) {
    Bytes a = {.n = 0};
    text(&a, 1, name);
    nest(&a, 6, graph);
    number(&a, 20, 5);
    nest(node_, 5, &a);
}

static void add_node(Bytes *graph, const char *op, const char *ins, const char *outs) {
    Bytes n = node_of(op, ins, outs);
    nest(graph, 1, &n);
}

/* dims: "batch 3 ?" */
static void value(Bytes *graph, unsigned field, const char *name, int64_t type, const char *dims) {
    Bytes v = {.n = 0}, t = {.n = 0}, tensor = {.n = 0}, shape = {.n = 0};
    char one[64];
    for (const char *p = dims; *p;) {
        size_t n = strcspn(p, " ");
        Bytes d = {.n = 0};
        snprintf(one, sizeof one, "%.*s", (int)n, p);
        if (one[0] >= '0' && one[0] <= '9')
            number(&d, 1, one[0] - '0');
        else if (one[0] != '?')
            text(&d, 2, one);
        nest(&shape, 1, &d);
        p += n;
        p += *p == ' ';
    }
    number(&tensor, 1, type);
    nest(&tensor, 2, &shape);
    nest(&t, 1, &tensor);
    text(&v, 1, name);
    nest(&v, 2, &t);
    nest(graph, field, &v);
}

static void ints(Bytes *graph, const char *name, const int64_t *values, int64_t n, bool packed) {
    Bytes t = {.n = 0}, list = {.n = 0};
    number(&t, 1, n);
    number(&t, 2, 7);
    for (int64_t i = 0; i < n; i++) {
        if (packed)
            varint(&list, (uint64_t)values[i]);
        else
            number(&t, 7, values[i]);
    }
    if (packed) nest(&t, 7, &list);
    text(&t, 8, name);
    nest(graph, 5, &t);
}

static Bytes model_of(const Bytes *graph, int64_t opset) {
    Bytes m = {.n = 0}, o = {.n = 0};
    number(&m, 1, 8);
    number(&o, 2, opset);
    nest(&m, 8, &o);
    nest(&m, 7, graph);
    return m;
}

static Graph *import_with(Context *cx, const Bytes *m, const ImportOptions *options) {
    const uint8_t *bytes = arena_copy(cx->arena, m->at, m->n);
    return onnx_import(cx, "m.onnx", bytes, m->n, options);
}

static Graph *import_graph(Context *cx, const Bytes *graph) {
    Bytes m = model_of(graph, 17);
    return import_with(cx, &m, NULL);
}

static const char *result_dim(Graph *g, uint32_t axis) { return dim_string(g->cx, val_dim(g, g->results.at[0], axis)); }

static bool reported(Context *cx, const char *words) {
    for (uint32_t i = 0; i < diag_count(cx); i++)
        if (strstr(diag_at(cx, i)->text, words)) return true;
    for (uint32_t i = 0; i < diag_count(cx); i++) print_message("%s\n", diag_at(cx, i)->text);
    return false;
}

static bool has_op(const Graph *g, Op op) {
    for (uint32_t i = 1; i < g->nodes.n; i++)
        if (g->nodes.at[i].op == op) return true;
    return false;
}

/* ---- the wire format --------------------------------------------------------------------------------------------- */

static void overlong_numbers_read_and_endless_ones_do_not(void **state) {
    (void)state;
    const uint8_t overlong[] = {0x81, 0x80, 0x80, 0x00},
                  endless[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01};
    uint64_t v = 0;
    Wire w = wire_open((Span){overlong, sizeof overlong});
    assert_true(wire_varint(&w, &v) && v == 1 && w.at == w.end);
    w = wire_open((Span){endless, sizeof endless});
    assert_false(wire_varint(&w, &v));
    assert_string_equal(w.error, "number of more than ten bytes");
}

static void groups_and_lengths_beyond_the_message_are_refused(void **state) {
    (void)state;
    const uint8_t group[] = {0x0B}, longer[] = {0x0A, 0x05, 'a'}, field0[] = {0x00, 0x00};
    Field f;
    Wire w = wire_open((Span){group, sizeof group});
    assert_false(wire_next(&w, &f));
    assert_non_null(strstr(w.error, "group"));
    w = wire_open((Span){longer, sizeof longer});
    assert_false(wire_next(&w, &f));
    assert_string_equal(w.error, "field longer than its message");
    w = wire_open((Span){field0, sizeof field0});
    assert_false(wire_next(&w, &f));
}

static void every_cut_of_a_model_is_a_diagnostic_or_a_model(void **state) {
    Context *cx = *state;
    Bytes g = {.n = 0};
    value(&g, 11, "x", 1, "n 3");
    add_node(&g, "Relu", "x", "y");
    value(&g, 12, "y", 1, "");
    Bytes m = model_of(&g, 17);
    for (size_t n = 0; n < m.n; n++) {
        Bytes cut = m;
        cut.n = n;
        uint32_t errors = diag_error_count(cx);
        Graph *made = import_with(cx, &cut, NULL);
        assert_true(made || diag_error_count(cx) > errors);
    }
    assert_non_null(import_with(cx, &m, NULL));
}

/* ---- graphs and scopes ------------------------------------------------------------------------------------------- */

static void nodes_may_come_in_any_order(void **state) {
    Bytes g = {.n = 0};
    add_node(&g, "Neg", "b", "c");
    add_node(&g, "Abs", "a", "b");
    add_node(&g, "Relu", "x", "a");
    value(&g, 11, "x", 1, "2");
    value(&g, 12, "c", 1, "");
    Graph *made = import_graph(*state, &g);
    assert_non_null(made);
    assert_int_equal(val_op(made, made->results.at[0]), OP_neg);
}

static void cycles_and_unknown_names_are_reported(void **state) {
    Bytes g = {.n = 0}, h = {.n = 0};
    value(&g, 11, "x", 1, "2");
    add_node(&g, "Add", "x b", "a");
    add_node(&g, "Abs", "a", "b");
    value(&g, 12, "b", 1, "");
    assert_null(import_graph(*state, &g));
    assert_true(reported(*state, "the graph has a cycle"));
    add_node(&h, "Abs", "nobody", "b");
    value(&h, 12, "b", 1, "");
    assert_null(import_graph(*state, &h));
    assert_true(reported(*state, "'nobody', is defined nowhere"));
}

static void every_unsupported_node_is_reported_and_dead_ones_are_not(void **state) {
    Bytes g = {.n = 0};
    value(&g, 11, "x", 1, "2");
    add_node(&g, "Relv", "x", "a");
    add_node(&g, "StringSplit", "x", "b");
    add_node(&g, "Nonsense", "x", "dead");
    add_node(&g, "Add", "a b", "y");
    value(&g, 12, "y", 1, "");
    assert_null(import_graph(*state, &g));
    assert_true(reported(*state, "operator Relv is not supported (did you mean Relu?)"));
    assert_true(reported(*state, "operator StringSplit"));
    assert_int_equal(diag_error_count(*state), 2);
}

static void unknown_attributes_are_refused(void **state) {
    Bytes g = {.n = 0}, n = node_of("Relu", "x", "y");
    value(&g, 11, "x", 1, "2");
    add_int(&n, "speed", 9);
    nest(&g, 1, &n);
    value(&g, 12, "y", 1, "");
    assert_null(import_graph(*state, &g));
    assert_true(reported(*state, "attribute 'speed' is not supported"));
}

/* A model with function local.Twice(x) { Softmax(x, axis = @where) + itself }, called with where = 0. */
static void functions_are_inlined_with_their_attributes(void **state) {
    Context *cx = *state;
    Bytes g = {.n = 0}, fn = {.n = 0}, soft = node_of("Softmax", "a", "s"), sum = node_of("Add", "s s", "r"),
          call = node_of("Twice", "x", "y"), o = {.n = 0}, a = {.n = 0};
    text(&a, 1, "axis");
    text(&a, 21, "where");
    number(&a, 20, 2);
    nest(&soft, 5, &a);
    text(&fn, 1, "Twice");
    text(&fn, 4, "a");
    text(&fn, 5, "r");
    text(&fn, 6, "where");
    nest(&fn, 7, &soft);
    nest(&fn, 7, &sum);
    number(&o, 2, 17);
    nest(&fn, 9, &o);
    text(&fn, 10, "local");
    text(&call, 7, "local");
    add_int(&call, "where", 0);
    value(&g, 11, "x", 1, "2 3");
    nest(&g, 1, &call);
    value(&g, 12, "y", 1, "");
    Bytes m = model_of(&g, 17);
    /* FunctionProto lists its outputs in field 5 and its attributes in 6. */
    nest(&m, 25, &fn);
    Graph *made = import_with(cx, &m, NULL);
    assert_non_null(made);
    Val softmax = val_in(made, made->results.at[0], 0);
    assert_int_equal(val_op(made, softmax), OP_softmax);
    assert_int_equal(node_attr(node(made, softmax), ATTR_axis)->as.i, 0);
}

static void functions_that_call_themselves_end(void **state) {
    Bytes g = {.n = 0}, fn = {.n = 0}, call = node_of("Loopy", "x", "y"), inner = node_of("Loopy", "a", "r");
    text(&call, 7, "local");
    text(&inner, 7, "local");
    text(&fn, 1, "Loopy");
    text(&fn, 4, "a");
    text(&fn, 5, "r");
    nest(&fn, 7, &inner);
    text(&fn, 10, "local");
    value(&g, 11, "x", 1, "2");
    nest(&g, 1, &call);
    value(&g, 12, "y", 1, "");
    Bytes m = model_of(&g, 17);
    nest(&m, 25, &fn);
    assert_null(import_with(*state, &m, NULL));
    assert_true(reported(*state, "nest more than 64 deep"));
}

/* ---- symbols and shape arithmetic -------------------------------------------------------------------------------- */

/* Reshape(x, Concat(Gather(Shape(x), 0), -1)). */
static Bytes flattening(const char *dims) {
    Bytes g = {.n = 0}, n = node_of("Concat", "b minus", "target");
    value(&g, 11, "x", 1, dims);
    ints(&g, "first", (const int64_t[]){0}, 1, true);
    ints(&g, "minus", (const int64_t[]){-1}, 1, false);
    add_node(&g, "Shape", "x", "s");
    add_node(&g, "Gather", "s first", "b");
    add_int(&n, "axis", 0);
    nest(&g, 1, &n);
    add_node(&g, "Reshape", "x target", "y");
    value(&g, 12, "y", 1, "");
    return g;
}

static void shape_arithmetic_vanishes(void **state) {
    Bytes g = flattening("batch 3 4");
    Graph *made = import_graph(*state, &g);
    assert_non_null(made);
    assert_string_equal(result_dim(made, 0), "batch");
    assert_string_equal(result_dim(made, 1), "12");
    assert_int_equal(made->nodes.n, 3); /* nothing, the parameter, the reshape */
    assert_int_equal(made->guards.n, 0);
}

/* ReduceMin and ReduceProd of a list of extents and constants, as counts of top_k and lengths of reshapes are spelt. */
static void shapes_are_reduced(void **state) {
    Bytes g = {.n = 0}, n = node_of("Concat", "s k", "both");
    value(&g, 11, "x", 1, "n 8");
    ints(&g, "k", (const int64_t[]){400, 24}, 2, true);
    add_node(&g, "Shape", "x", "s");
    add_int(&n, "axis", 0);
    nest(&g, 1, &n);
    n = node_of("ReduceMin", "both", "least");
    nest(&g, 1, &n);
    n = node_of("ReduceProd", "s", "all");
    nest(&g, 1, &n);
    n = node_of("Concat", "least minus", "target");
    add_int(&n, "axis", 0);
    nest(&g, 1, &n);
    ints(&g, "minus", (const int64_t[]){-1}, 1, true);
    add_node(&g, "Reshape", "x target", "y");
    add_node(&g, "Reshape", "x all", "z");
    value(&g, 12, "y", 1, "");
    value(&g, 12, "z", 1, "");
    Graph *made = import_graph(*state, &g);
    assert_non_null(made);
    assert_string_equal(result_dim(made, 0), "n-max(n,8)+8");
    assert_string_equal(dim_string(made->cx, val_dim(made, made->results.at[1], 0)), "8*n");
}

static void declarations_narrow_and_fix(void **state) {
    Context *cx = *state;
    Bytes g = flattening("batch seq 4"), m = model_of(&g, 17);
    const char *dims[] = {"batch=2", "seq=8..64%8"};
    Graph *made = import_with(cx, &m, &(ImportOptions){.dims = dims, .n_dims = 2});
    assert_non_null(made);
    assert_string_equal(result_dim(made, 0), "2");
    assert_string_equal(result_dim(made, 1), "4*seq");
    const SymbolInfo *s = symbol_info(cx, symbol_find(cx, "seq"));
    assert_int_equal(s->min, 8);
    assert_int_equal(s->max, 64);
    assert_int_equal(s->multiple, 8);
    const char *wrong[] = {"bach=2"};
    assert_null(import_with(cx, &m, &(ImportOptions){.dims = wrong, .n_dims = 1}));
    assert_true(reported(cx, "no dim of that name"));
}

static void targets_that_are_inputs_bind_their_elements(void **state) {
    Bytes g = {.n = 0};
    value(&g, 11, "x", 1, "2 3 4");
    value(&g, 11, "to", 7, "2");
    add_node(&g, "Reshape", "x to", "y");
    value(&g, 12, "y", 1, "");
    Graph *made = import_graph(*state, &g);
    assert_non_null(made);
    assert_int_equal(made->bindings.n, 2);
    assert_int_equal(made->bindings.at[1].param, 1);
    assert_int_equal(made->bindings.at[1].element, 1);
    assert_true(graph_verify(made));
}

/* (limit - start) / delta grows with none of the three: its bound is a symbol of its own. */
static void extents_without_a_bound_are_symbols(void **state) {
    Context *cx = *state;
    Bytes g = {.n = 0};
    value(&g, 11, "a", 7, "");
    value(&g, 11, "b", 7, "");
    value(&g, 11, "step", 7, "");
    add_node(&g, "Range", "a b step", "y");
    value(&g, 12, "y", 7, "?");
    Graph *made = import_graph(cx, &g);
    assert_non_null(made);
    assert_true(graph_verify(made));
    assert_string_equal(result_dim(made, 0), "y_extent");
    assert_int_equal(made->bindings.n, 4);
    assert_string_equal(dim_string(cx, made->bindings.at[3].value), "max(0,-floordiv(a-b,step))");
    assert_int_equal(made->guards.n, 1);
    int64_t one = 1, start[] = {9, 0, 3}, limit[] = {0, 5, 3}, step[] = {-4, 2, 1}, extent[] = {3, 3, 0};
    for (uint32_t i = 0; i < COUNT(start); i++) {
        Tensor in[] = {{.dtype = DT_i64, .data = &start[i]},
                       {.dtype = DT_i64, .data = &limit[i]},
                       {.dtype = DT_i64, .data = &step[i]}},
               y;
        assert_true(interp_run(cx, cx->arena, made, in, 3, &y));
        assert_int_equal(y.dims[0], extent[i]);
    }
    int64_t zero = 0;
    Tensor in[] = {{.dtype = DT_i64, .data = &zero}, {.dtype = DT_i64, .data = &one}, {.dtype = DT_i64, .data = &zero}}, y;
    assert_false(interp_run(cx, cx->arena, made, in, 3, &y));
}

static void symbolic_inputs_forget_declared_extents(void **state) {
    Bytes g = flattening("2 3 4"), m = model_of(&g, 17);
    Graph *made = import_with(*state, &m, &(ImportOptions){.symbolic_inputs = true});
    assert_non_null(made);
    assert_string_equal(result_dim(made, 0), "x_dim_0");
    assert_string_equal(result_dim(made, 1), "x_dim_1*x_dim_2");
}

/* ---- regions ----------------------------------------------------------------------------------------------------- */

static Bytes branch(const char *op) {
    Bytes g = {.n = 0};
    add_node(&g, op, "x", "r");
    value(&g, 12, "r", 1, "");
    return g;
}

static void branches_capture_and_known_conditions_choose(void **state) {
    Context *cx = *state;
    Bytes g = {.n = 0}, n = node_of("If", "c", "y"), then = branch("Relu"), orelse = branch("Neg");
    add_graph(&n, "then_branch", &then);
    add_graph(&n, "else_branch", &orelse);
    value(&g, 11, "x", 1, "2");
    value(&g, 11, "c", 9, "");
    nest(&g, 1, &n);
    value(&g, 12, "y", 1, "");
    Bytes m = model_of(&g, 17);
    Graph *made = import_with(cx, &m, NULL);
    assert_non_null(made);
    assert_true(has_op(made, OP_if) && graph_verify(made));
    const uint8_t no = 0;
    ImportConstant fixed = {"c", DT_bool, 0, NULL, &no};
    made = import_with(cx, &m, &(ImportOptions){.constants = &fixed, .n_constants = 1});
    assert_non_null(made);
    assert_false(has_op(made, OP_if));
    assert_int_equal(val_op(made, made->results.at[0]), OP_neg);
}

static void loops_over_a_trip_count_are_scans(void **state) {
    Bytes g = {.n = 0}, n = node_of("Loop", "trip _ x", "y ys"), body = {.n = 0};
    value(&body, 11, "i", 7, "");
    value(&body, 11, "c", 9, "");
    value(&body, 11, "v", 1, "2");
    add_node(&body, "Identity", "c", "again");
    add_node(&body, "Add", "v x", "w");
    value(&body, 12, "again", 9, "");
    value(&body, 12, "w", 1, "");
    value(&body, 12, "v", 1, "");
    add_graph(&n, "body", &body);
    value(&g, 11, "trip", 7, "");
    value(&g, 11, "x", 1, "2");
    nest(&g, 1, &n);
    value(&g, 12, "y", 1, "");
    value(&g, 12, "ys", 1, "");
    Graph *made = import_graph(*state, &g);
    if (!made) reported(*state, "?");
    assert_non_null(made);
    assert_true(has_op(made, OP_scan) && graph_verify(made));
    assert_int_equal(val_rank(made, made->results.at[1]), 2);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static void packed_halves_unpack_low_first(void **state) {
    Context *cx = *state;
    Bytes t = {.n = 0};
    const char raw[] = {(char)0xF1, 0x02};
    number(&t, 1, 3);
    number(&t, 2, 22);
    varint(&t, 9 << 3 | 2);
    varint(&t, 2);
    put(&t, raw, 2);
    const OnnxTensor *proto = onnx_tensor(cx, "t.pb", arena_copy(cx->arena, t.at, t.n), t.n);
    Const c = tensor_const(cx, (Loc){0}, proto, NULL);
    assert_int_equal(const_element(cx, c, 0).i, 1);
    assert_int_equal(const_element(cx, c, 1).i, -1);
    assert_int_equal(const_element(cx, c, 2).i, 2);
}

static void bools_become_0_and_1(void **state) {
    Context *cx = *state;
    Bytes t = {.n = 0};
    number(&t, 1, 3);
    number(&t, 2, 9);
    text(&t, 9, "\x01\x02\xff");
    const OnnxTensor *proto = onnx_tensor(cx, "t.pb", arena_copy(cx->arena, t.at, t.n), t.n);
    Const c = tensor_const(cx, (Loc){0}, proto, NULL);
    for (uint32_t i = 0; i < 3; i++) assert_int_equal(const_element(cx, c, i).u, 1);
}

static void data_has_to_match_the_shape_and_stay_in_its_folder(void **state) {
    Context *cx = *state;
    Bytes t = {.n = 0}, e = {.n = 0}, entry = {.n = 0};
    number(&t, 1, INT64_C(1) << 61);
    number(&t, 2, 1);
    text(&t, 9, "abcd");
    const OnnxTensor *proto = onnx_tensor(cx, "t.pb", arena_copy(cx->arena, t.at, t.n), t.n);
    assert_int_equal(tensor_const(cx, (Loc){0}, proto, NULL).id, 0);
    assert_true(reported(cx, "has 4 bytes of data"));
    text(&entry, 1, "location");
    text(&entry, 2, "../secret");
    number(&e, 1, 1);
    number(&e, 2, 1);
    nest(&e, 13, &entry);
    number(&e, 14, 1);
    proto = onnx_tensor(cx, "t.pb", arena_copy(cx->arena, e.at, e.n), e.n);
    assert_int_equal(tensor_const(cx, (Loc){0}, proto, NULL).id, 0);
    assert_true(reported(cx, "not loaded from a folder"));
    uint32_t errors = diag_error_count(cx);
    assert_int_equal(tensor_const(cx, (Loc){0}, proto, INGOT_BINARY_DIR).id, 0);
    assert_true(diag_error_count(cx) > errors);
}

/* ---- explanations ------------------------------------------------------------------------------------------------ */

static void explanations_count_what_is_unknown(void **state) {
    Context *cx = *state;
    Bytes g = {.n = 0};
    value(&g, 11, "x", 1, "2");
    add_node(&g, "Mystery", "x", "a");
    add_node(&g, "Mystery", "a", "b");
    add_node(&g, "Relu", "b", "y");
    value(&g, 12, "y", 1, "");
    Bytes m = model_of(&g, 17);
    OnnxExplanation e;
    assert_true(onnx_explain(cx, "m.onnx", arena_copy(cx->arena, m.at, m.n), m.n, NULL, &e));
    assert_int_equal(e.nodes, 3);
    assert_int_equal(e.n_ops, 2);
    assert_true(e.n_issues >= 1);
    assert_int_equal(e.issues[0].kind, ONNX_ISSUE_OP);
    assert_string_equal(e.issues[0].subject, "Mystery");
    assert_int_equal(e.issues[0].count, 2);
    assert_string_equal(e.issues[0].nodes[1], "b");
    assert_int_equal(diag_error_count(cx), 0);
}

static void the_table_has_each_operator_once(void **state) {
    (void)state;
    for (uint32_t i = 0; i < n_onnx_rows; i++)
        assert_ptr_equal(onnx_row(onnx_rows[i].domain, onnx_rows[i].op), &onnx_rows[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(overlong_numbers_read_and_endless_ones_do_not),
        TEST(groups_and_lengths_beyond_the_message_are_refused),
        TEST(every_cut_of_a_model_is_a_diagnostic_or_a_model),
        TEST(nodes_may_come_in_any_order),
        TEST(cycles_and_unknown_names_are_reported),
        TEST(every_unsupported_node_is_reported_and_dead_ones_are_not),
        TEST(unknown_attributes_are_refused),
        TEST(functions_are_inlined_with_their_attributes),
        TEST(functions_that_call_themselves_end),
        TEST(shape_arithmetic_vanishes),
        TEST(shapes_are_reduced),
        TEST(declarations_narrow_and_fix),
        TEST(targets_that_are_inputs_bind_their_elements),
        TEST(extents_without_a_bound_are_symbols),
        TEST(symbolic_inputs_forget_declared_extents),
        TEST(branches_capture_and_known_conditions_choose),
        TEST(loops_over_a_trip_count_are_scans),
        TEST(packed_halves_unpack_low_first),
        TEST(bools_become_0_and_1),
        TEST(data_has_to_match_the_shape_and_stay_in_its_folder),
        TEST(explanations_count_what_is_unknown),
        TEST(the_table_has_each_operator_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
