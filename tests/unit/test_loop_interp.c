/* test_loop_interp.c: what the Loop IR interpreter computes and what it catches. */
#include "loop_test.h"

/* ---- elements: as a parameter, in a vector, and folded ---- */

typedef struct ElementCase {
    const char *op, *from, *to;
    LSlot in[3], out;
    int n;
} ElementCase;
#define F(x)  {.f32 = x}
#define D(x)  {.f = x}
#define I(x)  {.i = x}
#define QNAN  ((float)NAN)
static const ElementCase elements[] = {
    {"add", "i8", "i8", {I(127), I(1)}, I(-128), 2},
    {"sub", "u16", "u16", {I(0), I(1)}, I(65535), 2},
    {"mul", "i32", "i32", {I(1 << 20), I(1 << 12)}, I(0), 2},
    {"add", "i64", "i64", {I(INT64_MAX), I(1)}, I(INT64_MIN), 2},
    {"div", "i32", "i32", {I(-7), I(2)}, I(-3), 2},
    {"rem", "i32", "i32", {I(-7), I(2)}, I(-1), 2},
    {"div", "i32", "i32", {I(INT32_MIN), I(-1)}, I(INT32_MIN), 2},
    {"rem", "i64", "i64", {I(INT64_MIN), I(-1)}, I(0), 2},
    {"div", "u64", "u64", {I(-1), I(2)}, I(INT64_MAX), 2},
    {"neg", "u8", "u8", {I(1)}, I(255), 1},
    {"abs", "i8", "i8", {I(-128)}, I(-128), 1},
    {"abs", "f32", "f32", {F(-0.0F)}, F(0.0F), 1},
    {"not", "u8", "u8", {I(1)}, I(254), 1},
    {"not", "bool", "bool", {I(1)}, I(0), 1},
    {"popcount", "i8", "i8", {I(-1)}, I(8), 1},
    {"min", "u8", "u8", {I(200), I(100)}, I(100), 2},
    {"max", "i8", "i8", {I(-56), I(100)}, I(100), 2},
    {"min", "f32", "f32", {F(0.0F), F(-0.0F)}, F(-0.0F), 2},
    {"max", "f32", "f32", {F(-0.0F), F(0.0F)}, F(0.0F), 2},
    {"min", "f32", "f32", {F(1), F(QNAN)}, F(QNAN), 2},
    {"max", "f32", "f32", {F(QNAN), F(1)}, F(QNAN), 2},
    {"max", "f64", "f64", {D(-2), D(-1)}, D(-1), 2},
    {"min", "f64", "f64", {D(0), D(-0.0)}, D(-0.0), 2},
    {"and", "bool", "bool", {I(1), I(0)}, I(0), 2},
    {"or", "u32", "u32", {I(12), I(3)}, I(15), 2},
    {"xor", "i16", "i16", {I(-1), I(1)}, I(-2), 2},
    {"shl", "i8", "i8", {I(1), I(7)}, I(-128), 2},
    {"shr", "i8", "i8", {I(-128), I(7)}, I(-1), 2},
    {"shr", "u8", "u8", {I(128), I(7)}, I(1), 2},
    {"floor", "f32", "f32", {F(-1.5F)}, F(-2), 1},
    {"ceil", "f32", "f32", {F(-0.5F)}, F(-0.0F), 1},
    {"trunc", "f64", "f64", {D(-1.7)}, D(-1), 1},
    {"rint", "f32", "f32", {F(2.5F)}, F(2), 1},
    {"rint", "f64", "f64", {D(3.5)}, D(4), 1},
    {"sqrt", "f32", "f32", {F(2)}, F(1.41421354F), 1},
    {"div", "f32", "f32", {F(1), F(3)}, F(0x1.555556p-2F), 2},
    {"mul", "f64", "f64", {D(3), D(0.5)}, D(1.5), 2},
    {"fma", "f32", "f32", {F(0x1.000002p0F), F(0x1.000002p0F), F(-0x1.000004p0F)}, F(0x1p-46F), 3},
    {"fma", "f64", "f64", {D(2), D(3), D(4)}, D(10), 3},
    {"eq", "f32", "bool", {F(QNAN), F(QNAN)}, I(0), 2},
    {"ne", "f32", "bool", {F(QNAN), F(QNAN)}, I(1), 2},
    {"lt", "f64", "bool", {D(1), D(2)}, I(1), 2},
    {"le", "f32", "bool", {F(QNAN), F(2)}, I(0), 2},
    {"lt", "u8", "bool", {I(200), I(100)}, I(0), 2},
    {"lt", "i8", "bool", {I(-56), I(100)}, I(1), 2},
    {"eq", "i64", "bool", {I(4), I(4)}, I(1), 2},
    {"convert", "f32", "i8", {F(1000)}, I(127), 1},
    {"convert", "f32", "i8", {F(-1000)}, I(-128), 1},
    {"convert", "f32", "u8", {F(-1)}, I(0), 1},
    {"convert", "f32", "u8", {F(255.9F)}, I(255), 1},
    {"convert", "f32", "i32", {F(QNAN)}, I(0), 1},
    {"convert", "f64", "i64", {D(1e30)}, I(INT64_MAX), 1},
    {"convert", "f64", "i64", {D(-1e30)}, I(INT64_MIN), 1},
    {"convert", "f64", "u64", {D(1e30)}, I(-1), 1},
    {"convert", "f32", "i32", {F(-1.9F)}, I(-1), 1},
    {"convert", "i64", "u8", {I(511)}, I(255), 1},
    {"convert", "i8", "i64", {I(-3)}, I(-3), 1},
    {"convert", "i8", "u32", {I(-1)}, I(4294967295), 1},
    {"convert", "u64", "f32", {I(-1)}, F(0x1p64F), 1},
    {"convert", "i64", "f32", {I(0x4000004000000001)}, F(0x1.000002p62F), 1}, /* rounds once */
    {"convert", "u32", "f64", {I(4294967295)}, D(4294967295.0), 1},
    {"convert", "f64", "f32", {D(0x1.000001p0)}, F(1), 1},
    {"convert", "f64", "f32", {D(0x1.0000010000001p0)}, F(0x1.000002p0F), 1},
    {"convert", "f32", "bool", {F(QNAN)}, I(1), 1},
    {"convert", "i32", "bool", {I(256)}, I(1), 1},
    {"convert", "bool", "f32", {I(1)}, F(1), 1},
    {"bitcast", "f32", "u32", {F(1)}, I(0x3F800000), 1},
    {"bitcast", "u64", "f64", {I(0x3FF0000000000000)}, D(1), 1},
    {"bitcast", "u8", "i8", {I(255)}, I(-1), 1},
};

static bool same_slot(DType t, LSlot a, LSlot b) {
    if (t == DT_f32) return isnan(a.f32) ? isnan(b.f32) : memcmp(&a.f32, &b.f32, sizeof a.f32) == 0;
    return t == DT_f64 && isnan(a.f) ? isnan(b.f) : a.u == b.u;
}

static LVal const_of(LoopBuilder *b, DType t, LSlot s) {
    return t == DT_f32   ? l_float(b, lt_scalar(t), (double)s.f32)
           : t == DT_f64 ? l_float(b, lt_scalar(t), s.f)
                         : l_int(b, lt_scalar(t), s.i);
}

/* how: 0 parameters, 1 splat to four lanes and the last extracted, 2 constants */
static LSlot run_case(Context *cx, const ElementCase *c, int how) {
    DType from = dtype_by_name(c->from), to = dtype_by_name(c->to);
    LoopModule *m = loop_module_new(cx, "m", NULL);
    LParam params[3] = {{.type = lt_scalar(from)}, {.type = lt_scalar(from)}, {.type = lt_scalar(from)}};
    LoopBuilder *b = loop_begin(m, "f", LF_EXPORT, params, 3, lt_scalar(to));
    LVal in[3];
    for (uint32_t i = 0; i < 3; i++) {
        in[i] = how == 2 ? const_of(b, from, c->in[i]) : loop_param(b, i);
        if (how == 1) in[i] = l_splat(b, in[i], 4);
    }
    LVal out = l_inst(b, lop_by_name(c->op), lt_vector(to, how == 1 ? 4 : 1), in, (uint32_t)c->n, 0);
    if (how == 1) out = l_inst(b, LOP_extract, lt_scalar(to), &out, 1, 3);
    l_return(b, out);
    loop_end(b);
    LSlot result = {0};
    assert_true(call(m, c->in, 3, &result));
    return result;
}

static void elements_compute(void **state) {
    Context *cx = *state;
    for (size_t i = 0; i < COUNT(elements); i++)
        for (int how = 0; how < 3; how++) {
            LSlot found = run_case(cx, &elements[i], how);
            bool same = same_slot(dtype_by_name(elements[i].to), elements[i].out, found);
            if (!same)
                print_error("case %zu (%s %s) way %d: %llx\n", i, elements[i].op, elements[i].from, how,
                            (unsigned long long)found.u);
            assert_true(same);
        }
}

/* ---- vectors, control, memory ---- */

static void expect_int(Context *cx, const char *body, int64_t expected) {
    LoopModule *m = must_parse(cx, arena_print(cx->arena, "loop @m\nexport @f(%%n: i64) -> i64 {\n%s\n}\n", body));
    LSlot out = {0};
    bool ok = call(m, (LSlot[]){{.i = 10}}, 1, &out);
    if (!ok && diag_count(cx)) print_error("%s\n", diag_at(cx, 0)->text);
    assert_true(ok);
    if (out.i != expected) print_error("%s\n", body);
    assert_int_equal(out.i, expected);
}

static void vectors_compute(void **state) {
    Context *cx = *state;
    const char *start = "%2 = iota : i64x8\n%3 = splat %n : i64x8\n%4 = add %2, %3 : i64x8\n"; /* 10 .. 17 */
    static const struct { const char *rest; int64_t expected;
    } cases[] = {
        {"%5 = extract %4 [7] : i64\nreturn %5", 17},
        {"%5 = insert %4, %n [7] : i64x8\n%6 = reduce_add %5 : i64\nreturn %6", 101},
        {"%5 = shuffle %4, %2 [7, 15, 0, 8] : i64x4\n%6 = reduce_add %5 : i64\nreturn %6", 34},
        {"%5 = reduce_add %4 : i64\nreturn %5", 108},
        {"%5 = shuffle %4, %4 [0, 1] : i64x2\n%6 = reduce_mul %5 : i64\nreturn %6", 110},
        {"%5 = reduce_max %4 : i64\nreturn %5", 17},
        {"%5 = reduce_min %4 : i64\nreturn %5", 10},
        {"%5 = reduce_or %4 : i64\nreturn %5", 31},
        {"%5 = reduce_and %4 : i64\nreturn %5", 0},
        {"%5 = const 3 : i64\n%6 = lane_mask %5 : boolx8\n%7 = select %6, %4, %2 : i64x8\n%8 = reduce_add %7 : "
         "i64\nreturn %8",
         58},
        {"%5 = lt %2, %4 : boolx8\n%6 = reduce_and %5 : bool\n%7 = convert %6 : i64\nreturn %7", 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_int(cx, arena_print(cx->arena, "%s%s", start, cases[i].rest), cases[i].expected);
    /* the tree: (x0 + x2) + (x1 + x3), not left to right */
    LoopModule *m =
        must_parse(cx, "loop @m\nexport @f(%p: ptr f32) -> f32 {\n%2 = const 0 : i64\n%3 = load %p, %2 : f32x4\n"
                       "%4 = reduce_add %3 : f32\nreturn %4\n}\n");
    float x[4] = {1e8F, 1, -1e8F, 1};
    LoopInterp *in = loop_interp_new(m, NULL, NULL);
    loop_interp_memory(in, x, sizeof x, false, true);
    LSlot out;
    assert_true(loop_interp_call(in, "f", (LSlot[]){{.p = x}}, 1, &out));
    assert_true(out.f32 == 2.0F);
}

static void control_runs(void **state) {
    Context *cx = *state;
    const char *zero_one = "%2 = const 0 : i64\n%3 = const 1 : i64\n";
    static const struct { const char *rest; int64_t expected;
    } cases[] = {
        {"%4 = for %5 = %2 to %n step 3 iter(%6 = %2) : i64 {\n%7 = add %6, %5 : i64\nyield %7\n}\nreturn %4", 18},
        {"%4 = for %5 = %n to %2 step 1 iter(%6 = %3) : i64 {\nyield %5\n}\nreturn %4", 1},
        /* Fibonacci: the yield permutes what it replaces */
        {"%4, %5 = for %6 = %2 to %n step 1 iter(%7 = %2, %8 = %3) : i64, i64 {\n%9 = add %7, %8 : i64\nyield %8, "
         "%9\n}\nreturn %4",
         55},
        {"%4, %5 = for %6 = %2 to %3 step 1 iter(%7 = %2, %8 = %3) : i64, i64 {\nyield %8, %7\n}\nreturn %4", 1},
        {"%4 = while iter(%5 = %2) : i64 {\n%6 = add %5, %3 : i64\n%7 = lt %6, %n : bool\nyield %7, %6\n}\nreturn %4",
         10},
        {"%4 = while iter(%5 = %n) : i64 {\n%6 = add %5, %3 : i64\n%7 = lt %6, %n : bool\nyield %7, %6\n}\nreturn %4",
         11},
        {"%4 = lt %n, %2 : bool\n%5 = if %4 : i64 {\nyield %2\n} else {\nyield %3\n}\nreturn %5", 1},
        {"for %4 = %2 to %n step 1 {\n%5 = const 7 : i64\n%6 = eq %4, %5 : bool\nif %6 {\nreturn %4\n}\n}\nreturn %2",
         7},
        /* the last step would overflow */
        {"%4 = const 9223372036854775806 : i64\n%5 = const 9223372036854775807 : i64\n"
         "%6 = for %7 = %4 to %5 step 5 iter(%8 = %2) : i64 {\n%9 = add %8, %3 : i64\nyield %9\n}\nreturn %6",
         1},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_int(cx, arena_print(cx->arena, "%s%s", zero_one, cases[i].rest), cases[i].expected);
}

static bool external(void *user, LoopInterp *in, const char *name, const LSlot *arguments, uint32_t n, LSlot *out) {
    (void)in;
    assert_int_equal(n, 1);
    if (strcmp(name, "twice") != 0) return false;
    ++*(int *)user;
    out->i = arguments[0].i * 2;
    return true;
}

static void calls_run(void **state) {
    Context *cx = *state;
    LoopModule *m = must_parse(cx, "loop @m\n"
                                   "data @table align 8 = zero(16) relocs [0: @twice, 8: @square]\n"
                                   "extern @twice(%1: i64) -> i64\nextern @gone(%1: i64) -> i64\n"
                                   "func @square(%x: i64) -> i64 {\n%2 = mul %x, %x : i64\nreturn %2\n}\n"
                                   "export @f(%n: i64, %which: i64) -> i64 {\n%3 = call @square(%n) : i64\n"
                                   "%4 = symbol_addr @table : ptr u64\n%5 = load_pointer %4, %which : ptr u8\n"
                                   "%6 = call_pointer %5(%3) : i64\nreturn %6\n}\n"
                                   "export @g(%n: i64) -> i64 {\n%2 = call @gone(%n) : i64\nreturn %2\n}\n"
                                   "export @h(%n: i64) -> i64 {\n%2 = call @h(%n) : i64\nreturn %2\n}\n"
                                   "export @bad(%n: i64) -> i64 {\n%2 = symbol_addr @table : ptr u8\n%3 = call_pointer "
                                   "%2(%n) : i64\nreturn %3\n}\n"
                                   "export @type(%n: i64) -> i64 {\n%2 = symbol_addr @square : ptr u8\n%3 = "
                                   "call_pointer %2(%n) : i32\nreturn %n\n}\n");
    int calls = 0;
    LoopInterp *in = loop_interp_new(m, external, &calls);
    LSlot out;
    assert_true(loop_interp_call(in, "f", (LSlot[]){{.i = 5}, {.i = 0}}, 2, &out));
    assert_int_equal(out.i, 50);
    assert_int_equal(calls, 1);
    assert_true(loop_interp_call(in, "f", (LSlot[]){{.i = 5}, {.i = 1}}, 2, &out));
    assert_int_equal(out.i, 625);
    assert_false(loop_interp_call(in, "g", (LSlot[]){{.i = 5}}, 1, &out));
    expect_error(cx, "extern function 'gone' failed");
    assert_false(loop_interp_call(in, "h", (LSlot[]){{.i = 5}}, 1, &out));
    expect_error(cx, "calls nest deeper");
    assert_false(loop_interp_call(in, "bad", (LSlot[]){{.i = 5}}, 1, &out));
    expect_error(cx, "no function of this module");
    assert_false(loop_interp_call(in, "type", (LSlot[]){{.i = 5}}, 1, &out));
    expect_error(cx, "not those of 'square'");
    assert_false(loop_interp_call(in, "f", (LSlot[]){{.i = 5}}, 1, &out));
    expect_error(cx, "no function 'f' of 1 parameters");
}

/* A function over x (12 f32, read only), y (12 f32, undefined) and n = 10; the message, or NULL and the sum of y. */
static void check_memory(Context *cx, const char *body, const char *error, double sum) {
    float x[12], *y = calloc(12, sizeof *y);
    assert_non_null(y);
    for (int i = 0; i < 12; i++) x[i] = (float)i;
    LoopModule *m = must_parse(cx, arena_print(cx->arena,
                                               "loop @m\nexport @f(%%x: ptr f32, %%y: ptr f32, %%n: i64) {\n"
                                               "%%4 = const 0 : i64\n%%5 = const 1 : i64\n%%6 = iota : i64x4\n"
                                               "%%7 = const 3 : i64\n%%8 = lane_mask %%7 : boolx4\n"
                                               "%s\nreturn\n}\n",
                                               body));
    LoopInterp *in = loop_interp_new(m, NULL, NULL);
    loop_interp_memory(in, x, sizeof x, false, true);
    loop_interp_memory(in, y, 12 * sizeof *y, true, false);
    bool ok = loop_interp_call(in, "f", (LSlot[]){{.p = x}, {.p = y}, {.i = 10}}, 3, NULL);
    if (ok != (error == NULL)) print_error("%s\n%s\n", body, diag_count(cx) ? diag_at(cx, 0)->text : "no error");
    assert_int_equal(ok, error == NULL);
    if (error) expect_error(cx, error);
    double found = 0;
    for (int i = 0; i < 12; i++) found += (double)y[i];
    free(y);
    if (!error && found != sum) print_error("%s: %g\n", body, found);
    if (!error) assert_true(found == sum);
}

static void memory_is_checked(void **state) {
    Context *cx = *state;
    static const struct { const char *body, *error; double sum;
    } cases[] = {
        {"%9 = load %x, %n : f32\nstore %y, %4, %9", NULL, 10},
        {"%9 = load %x, %5 : f32x4\nstore %y, %5, %9", NULL, 10},
        {"%9 = load_masked %x, %n, %8 : f32x4", "reads 4 bytes at offset 48 of memory (48 bytes)", 0},
        {"%9 = load_masked %x, %7, %8 : f32x4\nstore %y, %4, %9", NULL, 12},
        {"%9 = load %x, %4 : f32x4\nstore_masked %y, %4, %9, %8", NULL, 3},
        {"%9 = add %6, %6 : i64x4\n%10 = gather %x, %9 : f32x4\nstore %y, %4, %10", NULL, 12},
        {"%9 = add %6, %6 : i64x4\n%10 = gather_masked %x, %9, %8 : f32x4\nscatter_masked %y, %9, %10, %8", NULL, 6},
        {"%9 = offset %x, %7 : ptr f32\n%10 = load %9, %4 : f32\nstore %y, %4, %10", NULL, 3},
        {"%9 = load %x, %n : f32x4", "reads 16 bytes at offset 40 of memory (48 bytes)", 0},
        {"%9 = const -1 : i64\n%10 = load %x, %9 : f32", "reads 4 bytes at offset -4", 0},
        {"%9 = const null : ptr f32\n%10 = load %9, %4 : f32", "through a null pointer", 0},
        {"%9 = load %y, %5 : f32", "reads uninitialised memory at offset 4", 0},
        {"%9 = const 1 : f32\nstore %x, %4, %9", "writes to read-only memory", 0},
        {"%9 = alloc 4 : ptr f32\n%10 = load %9, %4 : f32", "reads uninitialised memory at offset 0 of an alloc", 0},
        {"%9 = alloc 4 : ptr f32\n%10 = load %x, %5 : f32x4\nstore %9, %5, %10",
         "writes 16 bytes at offset 4 of an alloc (16 bytes)", 0},
        {"%9 = alloc 4 : ptr f32\n%10 = load %x, %5 : f32x4\nstore %9, %4, %10\n%11 = load %9, %5 : f32\nstore %y, %4, "
         "%11",
         NULL, 2},
        {"for %9 = %4 to %n step 1 {\n%10 = alloc 4 : ptr f32\n%11 = load %x, %5 : f32x4\nstore %10, %4, %11\n}", NULL,
         0},
        {"for %9 = %4 to %n step 1 {\n%10 = alloc 1 : ptr f32\n%11 = eq %9, %4 : bool\n%12 = load %x, %4 : f32\nif %11 "
         "{\nstore %10, %4, %12\n}\n%13 = load %10, %4 : f32\n}",
         "reads uninitialised memory", 0},
        {"%9 = recast %x : ptr u8\n%10 = offset %9, %5 : ptr u8\n%11 = recast %10 : ptr f32\n%12 = load %11, %4 : f32",
         "alignment", 0},
        {"%9 = recast %x : ptr u8\n%10 = load %9, %7 : u8\n%11 = convert %10 : f32\nstore %y, %4, %11", NULL, 0},
        {"%9 = recast %x : ptr bool\n%10 = const 7 : i64\n%11 = load %9, %10 : bool", "reads bool 63", 0},
        {"%9 = div %5, %4 : i64", "divides by zero", 0},
        {"%9 = const 64 : i64\n%10 = shl %5, %9 : i64", "shifts by 64", 0},
        {"prefetch %x, %n", NULL, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) check_memory(cx, cases[i].body, cases[i].error, cases[i].sum);
}

static void memory_can_be_declared_anew(void **state) {
    Context *cx = *state;
    LoopModule *m = must_parse(cx, "loop @m\nexport @f(%x: ptr f32 align 16) -> f32 {\n%2 = const 0 : i64\n%3 = load "
                                   "%x, %2 : f32\nreturn %3\n}\n");
    _Alignas(16) float x[8] = {3};
    LoopInterp *in = loop_interp_new(m, NULL, NULL);
    LSlot out;
    loop_interp_memory(in, x, sizeof x, true, false);
    assert_false(loop_interp_call(in, "f", (LSlot[]){{.p = x}}, 1, &out));
    expect_error(cx, "uninitialised");
    loop_interp_memory(in, x, sizeof x, true, true);
    assert_true(loop_interp_call(in, "f", (LSlot[]){{.p = x}}, 1, &out));
    assert_true(out.f32 == 3);
    assert_false(loop_interp_call(in, "f", (LSlot[]){{.p = x + 1}}, 1, &out));
    expect_error(cx, "not aligned to 16");
    loop_interp_forget(in, x);
    assert_false(loop_interp_call(in, "f", (LSlot[]){{.p = x}}, 1, &out));
    expect_error(cx, "memory");
}

/* ---- launches ---- */

static const char launch_text[] =
    "loop @m\n"
    "kernel @k(%lo: i64, %hi: i64, %worker: i64, %y: ptr i32, %shift: i64, %fail: i64) -> i32 {\n"
    "  %10 = const 1 : i32\n"
    "  for %7 = %lo to %hi step 1 {\n"
    "    %8 = eq %7, %fail : bool\n"
    "    if %8 {\n"
    "      %11 = const 9 : i32\n"
    "      return %11\n"
    "    }\n"
    "    %12 = const 0 : i64\n"
    "    %13 = eq %shift, %12 : bool\n"
    "    %14 = sub %hi, %lo : i64\n"
    "    %9 = select %13, %7, %12 : i64\n"
    "    %15 = load %y, %9 : i32\n"
    "    %16 = add %15, %10 : i32\n"
    "    store %y, %9, %16\n"
    "  }\n"
    "  %17 = const 0 : i32\n"
    "  return %17\n"
    "}\n"
    "export @f(%y: ptr i32, %n: i64, %pieces: i64, %shift: i64, %fail: i64) -> i32 {\n"
    "  %6 = const null : ptr u64\n"
    "  %7 = launch @k(%6, %n, %pieces, %y, %shift, %fail) : i32\n"
    "  return %7\n"
    "}\n"
    "export @two(%y: ptr i32, %z: ptr i32, %n: i64, %fail: i64) -> i32 {\n"
    "  %6 = const null : ptr u64\n"
    "  %5 = const 0 : i64\n"
    "  defer @k(%6, %n, %n, %y, %5, %fail)\n"
    "  %8 = const -1 : i64\n"
    "  %7 = launch @k(%6, %n, %n, %z, %5, %8) : i32\n"
    "  return %7\n"
    "}\n";

static void launches_cover_the_range(void **state) {
    Context *cx = *state;
    LoopInterp *in = loop_interp_new(must_parse(cx, launch_text), NULL, NULL);
    int32_t y[1000] = {0};
    LSlot out;
    loop_interp_memory(in, y, sizeof y, true, true);
    static const int64_t pieces[] = {0, 1, 3, 7, 999, 1000, 5000};
    for (size_t i = 0; i < COUNT(pieces); i++) {
        assert_true(loop_interp_call(in, "f", (LSlot[]){{.p = y}, {.i = 1000}, {.i = pieces[i]}, {.i = 0}, {.i = -1}},
                                     5, &out));
        assert_int_equal(out.i, 0);
        for (int k = 0; k < 1000; k++) assert_int_equal(y[k], i + 1);
    }
    for (int i = 0; i < 20000; i++) /* stamps wrap around */
        assert_true(loop_interp_call(in, "f", (LSlot[]){{.p = y}, {.i = 4}, {.i = 4}, {.i = 0}, {.i = -1}}, 5, &out));
    assert_true(loop_interp_call(in, "f", (LSlot[]){{.p = y}, {.i = 1000}, {.i = 1000}, {.i = 0}, {.i = 500}}, 5, &out));
    assert_int_equal(out.i, 9);
}

static void launches_show_races(void **state) {
    Context *cx = *state;
    LoopInterp *in = loop_interp_new(must_parse(cx, launch_text), NULL, NULL);
    int32_t y[10] = {0};
    LSlot out, arguments[] = {{.p = y}, {.i = 10}, {.i = 10}, {.i = 1}, {.i = -1}};
    loop_interp_memory(in, y, sizeof y, true, true);
    assert_false(loop_interp_call(in, "f", arguments, 5, &out));
    expect_error(cx, "race:");
    arguments[1].i = 2; /* two iterations: two workers even so */
    assert_false(loop_interp_call(in, "f", arguments, 5, &out));
    expect_error(cx, "race:");
    loop_interp_threads(in, 1);
    assert_true(loop_interp_call(in, "f", arguments, 5, &out));
}

static void kernels_run_together(void **state) {
    Context *cx = *state;
    LoopInterp *in = loop_interp_new(must_parse(cx, launch_text), NULL, NULL);
    int32_t y[20] = {0};
    LSlot out, arguments[] = {{.p = y}, {.p = y + 10}, {.i = 10}, {.i = -1}};
    loop_interp_memory(in, y, sizeof y, true, true);
    assert_true(loop_interp_call(in, "two", arguments, 4, &out));
    assert_int_equal(out.i, 0);
    for (int k = 0; k < 20; k++) assert_int_equal(y[k], 1);
    arguments[3].i = 5;
    assert_true(loop_interp_call(in, "two", arguments, 4, &out));
    assert_int_equal(out.i, 9); /* the launch answers for what was deferred */
    arguments[3].i = -1;
    static const struct { uint32_t threads, shift, n; } meets[] = {{4, 0, 1}, {4, 9, 10}, {1, 9, 10}};
    for (size_t i = 0; i < COUNT(meets); i++) { /* one piece each, or one worker, are no excuse */
        loop_interp_threads(in, meets[i].threads);
        arguments[1].p = y + meets[i].shift, arguments[2].i = meets[i].n;
        assert_false(loop_interp_call(in, "two", arguments, 4, &out));
        expect_error(cx, "race:");
    }
}

static void fuel_runs_out(void **state) {
    Context *cx = *state;
    volatile bool unwound = true;
    cx->limits.fuel = 1000000;
    if (context_enter(cx)) {
        LoopModule *m =
            must_parse(cx, "loop @m\nexport @f() {\nwhile {\n%1 = const true : bool\nyield %1\n}\nreturn\n}\n");
        LSlot out;
        unwound = !call(m, NULL, 0, &out);
        fail_msg("an endless loop came to an end");
    }
    context_leave(cx);
    assert_true(unwound);
    assert_true(diag_error_count(cx) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(elements_compute),
        TEST(vectors_compute),
        TEST(control_runs),
        TEST(calls_run),
        TEST(memory_is_checked),
        TEST(memory_can_be_declared_anew),
        TEST(launches_cover_the_range),
        TEST(launches_show_races),
        TEST(kernels_run_together),
        TEST(fuel_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
