/* test_loop.c: Loop IR: builder, text form, verifier, and what the interpreter computes and catches. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loop.h"

static int setup(void **state) { return (*state = context_new(NULL)) ? 0 : -1; }
static int teardown(void **state) {
    context_free(*state);
    return 0;
}

static LoopModule *parse(Context *cx, const char *text) { return loop_parse(cx, "t.loop", text, strlen(text), NULL, 0); }

static LoopModule *must_parse(Context *cx, const char *text) {
    LoopModule *m = parse(cx, text);
    if (!m && diag_count(cx)) print_error("%s: %s\n%s\n", loc_string(cx, diag_at(cx, 0)->loc), diag_at(cx, 0)->text, text);
    assert_non_null(m);
    return m;
}

static const char *print(const LoopModule *m) {
    Text out = text_new(m->cx->arena);
    loop_print(m, &out, NULL);
    return out.at;
}

/* The last diagnostic must contain `text`; then all are dropped. */
static void expect_error(Context *cx, const char *text) {
    assert_true(diag_error_count(cx) > 0);
    const Diag *d = diag_at(cx, diag_count(cx) - 1);
    if (!strstr(d->text, text)) print_error("found: %s\nexpected: %s\n", d->text, text);
    assert_non_null(strstr(d->text, text));
    diag_truncate(cx, 0);
}

static bool call(LoopModule *m, const LSlot *in, uint32_t n, LSlot *out) {
    return loop_interp_call(loop_interp_new(m, NULL, NULL), "f", in, n, out);
}

/* ---- builder ---- */

static LoopBuilder *begin(LoopModule *m, LType a, LType b, LType result) {
    LParam params[] = {{.name = "a", .type = a}, {.name = "b", .type = b}};
    return loop_begin(m, "f", LF_EXPORT, params, 2, result);
}

static void folds_constants_and_identities(void **state) {
    Context *cx = *state;
    LType i64 = lt_scalar(DT_i64), f32 = lt_scalar(DT_f32);
    LoopModule *m = loop_module_new(cx, "m", NULL);
    LoopBuilder *b = begin(m, i64, f32, i64);
    LVal x = loop_param(b, 0), f = loop_param(b, 1), zero = l_i64(b, 0), one = l_i64(b, 1);
    int64_t value = 0;
    assert_true(loop_const_int(b, l_mul(b, l_add(b, l_i64(b, 3), l_i64(b, 4)), l_i64(b, 6)), &value));
    assert_int_equal(value, 42);
    assert_int_equal(l_add(b, x, zero).id, x.id);
    assert_int_equal(l_add(b, zero, x).id, x.id);
    assert_int_equal(l_mul(b, one, x).id, x.id);
    assert_int_equal(l_mul(b, x, zero).id, zero.id);
    assert_int_equal(l_sub(b, x, zero).id, x.id);
    assert_int_equal(l_sub(b, x, x).id, zero.id);
    assert_int_equal(l_sub(b, l_add(b, x, l_i64(b, 5)), l_i64(b, 5)).id, x.id); /* (x + 5) + -5 */
    assert_int_equal(l_convert(b, x, DT_i64).id, x.id);
    assert_int_equal(l_select(b, l_bool(b, true), x, zero).id, x.id);
    assert_int_equal(l_select(b, l_lt(b, x, one), x, x).id, x.id);
    assert_int_equal(l_add(b, f, l_float(b, f32, -0.0)).id, f.id);
    assert_int_not_equal(l_add(b, f, l_float(b, f32, 0.0)).id, f.id); /* -0 + 0 is 0 */
    assert_int_equal(l_mul(b, f, l_float(b, f32, 1)).id, f.id);
    assert_int_not_equal(l_mul(b, f, l_float(b, f32, 0)).id, l_float(b, f32, 0).id);
    assert_int_equal(l_floor_div(b, l_i64(b, -7), l_i64(b, 2)).id, l_i64(b, -4).id);
    assert_int_equal(l_inst(b, LOP_extract, f32, (LVal[]){l_splat(b, f, 8)}, 1, 3).id, f.id);
    LVal nan = l_bin(b, LOP_div, l_float(b, f32, 0), l_float(b, f32, 0));
    assert_true(loop_def(b, nan)->op == LOP_div); /* a NaN is left to run time */
    l_return(b, x);
    loop_end(b);
    assert_true(loop_verify(m));
}

static void shares_what_dominates(void **state) {
    Context *cx = *state;
    LType i64 = lt_scalar(DT_i64);
    LoopModule *m = loop_module_new(cx, "m", NULL);
    LoopBuilder *b = begin(m, i64, lt_pointer(DT_f32), i64);
    LVal x = loop_param(b, 0), p = loop_param(b, 1), index, none = {0};
    LVal square = l_mul(b, x, x);
    assert_int_equal(l_mul(b, x, x).id, square.id);
    assert_int_equal(l_float(b, lt_vector(DT_f32, 8), 2).id, l_splat(b, l_float(b, lt_scalar(DT_f32), 2), 8).id);
    assert_int_not_equal(l_float(b, lt_scalar(DT_f32), 0.0).id, l_float(b, lt_scalar(DT_f32), -0.0).id);
    LVal first = l_load(b, p, x, 1, none);
    assert_int_not_equal(l_load(b, p, x, 1, none).id, first.id);
    LVal carried[] = {square};
    LFor loop = l_for(b, l_i64(b, 0), x, 1, LOOP_SERIAL, carried, 1, &index);
    assert_int_equal(l_mul(b, x, x).id, square.id);
    LVal inner = l_add(b, x, l_i64(b, 77));
    assert_int_equal(l_add(b, x, l_i64(b, 77)).id, inner.id);
    carried[0] = l_add(b, carried[0], inner);
    l_for_end(b, &loop, carried, 1);
    LVal outer = l_add(b, x, l_i64(b, 77)); /* the one inside does not dominate */
    assert_int_not_equal(outer.id, inner.id);
    assert_int_equal(l_add(b, x, l_i64(b, 77)).id, outer.id);
    l_return(b, l_add(b, carried[0], outer));
    loop_end(b);
    assert_true(loop_verify(m));
}

static void builds_control(void **state) {
    Context *cx = *state;
    LType i64 = lt_scalar(DT_i64);
    LoopModule *m = loop_module_new(cx, "m", NULL);
    LoopBuilder *b = begin(m, i64, i64, i64);
    LVal x = loop_param(b, 0), y = loop_param(b, 1), result[1], carried[2] = {x, y};
    LIf negative = l_if(b, l_lt(b, x, l_i64(b, 0)));
    l_return(b, l_i64(b, -1));
    l_else(b, &negative, NULL, 0);
    l_if_end(b, &negative, NULL, 0, NULL);
    LFor gcd = l_while(b, carried, 2); /* Euclid; y > 0 */
    LVal remainder = l_bin(b, LOP_rem, carried[0], carried[1]);
    carried[0] = carried[1];
    carried[1] = remainder;
    LIf stop = l_if(b, l_bin(b, LOP_eq, remainder, l_i64(b, 0)));
    l_else(b, &stop, (LVal[]){l_bool(b, false)}, 1);
    l_if_end(b, &stop, (LVal[]){l_bool(b, true)}, 1, result);
    l_while_end(b, &gcd, result[0], carried, 2);
    l_return(b, carried[0]);
    loop_end(b);
    assert_true(loop_verify(m));
    LSlot out;
    assert_true(call(m, (LSlot[]){{.i = 84}, {.i = 36}}, 2, &out));
    assert_int_equal(out.i, 12);
    assert_true(call(m, (LSlot[]){{.i = -5}, {.i = 36}}, 2, &out));
    assert_int_equal(out.i, -1);
    const char *once = print(m);
    assert_string_equal(print(must_parse(cx, once)), once);
}

static void builder_refuses_wrong_types(void **state) {
    Context *cx = *state;
    if (context_enter(cx)) {
        LoopModule *m = loop_module_new(cx, "m", NULL);
        LoopBuilder *b = begin(m, lt_scalar(DT_i64), lt_scalar(DT_f32), lt_scalar(DT_i64));
        l_add(b, loop_param(b, 0), loop_param(b, 1));
        fail_msg("i64 + f32 was accepted");
    }
    context_leave(cx);
    assert_non_null(strstr(cx->bug, "operand 1 is f32, expected i64"));
}

/* y[i] = x[i] for 8 lanes at a time under a mask, y[reversed] scattered, through every memory function of the builder. */
static void builds_memory(void **state) {
    Context *cx = *state;
    LType f32 = lt_scalar(DT_f32), f32x8 = lt_vector(DT_f32, 8), none = {0, 0, 0};
    LoopModule *m = loop_module_new(cx, "m", NULL);
    LParam params[] = {{.name = "lo", .type = lt_scalar(DT_i64)}, {.name = "hi", .type = lt_scalar(DT_i64)},
                       {.name = "worker", .type = lt_scalar(DT_i64)}, {.name = "y", .type = lt_pointer(DT_f32), .flags = LP_NOALIAS}};
    LoopBuilder *b = loop_begin(m, "k", LF_KERNEL, params, 4, lt_scalar(DT_i32));
    LVal index, y = loop_param(b, 3), table = l_addr(b, "table", lt_pointer(DT_f32)), no_mask = {0};
    LFor loop = l_for(b, loop_param(b, 0), loop_param(b, 1), 8, LOOP_UNROLLED, NULL, 0, &index);
    LVal mask = l_inst(b, LOP_lane_mask, lt_vector(DT_bool, 8), (LVal[]){l_sub(b, loop_param(b, 1), index)}, 1, 0);
    LVal scratch = l_alloc(b, DT_f32, 8), x = l_load(b, table, l_i64(b, 0), 8, no_mask);
    l_store(b, scratch, l_i64(b, 0), x, l_bool(b, true));
    LVal reversed = l_sub(b, l_i64(b, 7), l_inst(b, LOP_iota, lt_vector(DT_i64, 8), NULL, 0, 0));
    LVal gathered = l_gather(b, scratch, reversed, no_mask), masked = l_gather(b, scratch, reversed, mask);
    static const int64_t back[] = {7, 6, 5, 4, 3, 2, 1, 0};
    LVal straight = l_shuffle(b, gathered, masked, back, 8);
    LVal sum = l_fma(b, straight, l_float(b, f32, 2), l_load(b, l_offset(b, y, index), l_i64(b, 0), 8, mask));
    assert_true(lt_same(loop_type(b, sum), f32x8));
    l_store(b, y, index, l_add(b, sum, l_un(b, LOP_reduce_max, x)), mask);
    l_inst(b, LOP_prefetch, none, (LVal[]){y, index}, 2, 0);
    l_for_end(b, &loop, NULL, 0);
    loop_end(b);
    LParam host[] = {{.name = "y", .type = lt_pointer(DT_f32)}};
    b = loop_begin(m, "f", LF_EXPORT, host, 1, lt_scalar(DT_i32));
    LVal context = l_inst(b, LOP_recast, lt_pointer(DT_u64), (LVal[]){loop_param(b, 0)}, 1, 0);
    l_return(b, l_launch(b, "k", (LVal[]){context, l_i64(b, 21), l_i64(b, 8), loop_param(b, 0)}, 4));
    loop_end(b);
    float values[8], at[21];
    for (int i = 0; i < 8; i++) values[i] = (float)i;
    for (int i = 0; i < 21; i++) at[i] = 100;
    vec_push(m->arena, &m->datas, (LData){.name = "table", .bytes = (const uint8_t *)values, .size = sizeof values, .align = 4});
    const char *once = print(m);
    assert_string_equal(print(must_parse(cx, once)), once);
    LoopInterp *in = loop_interp_new(m, NULL, NULL);
    LSlot status;
    loop_interp_memory(in, at, sizeof at, true, true);
    assert_true(loop_interp_call(in, "f", (LSlot[]){{.p = at}}, 1, &status));
    assert_int_equal(status.i, 0);
    for (int i = 0; i < 21; i++) assert_true(at[i] == (float)(100 + 2 * (i % 8) + 7));
}

static void floor_division_is_floor(void **state) {
    Context *cx = *state;
    LType i64 = lt_scalar(DT_i64);
    static const int64_t divisors[] = {1, 2, 3, 7, 16};
    for (size_t d = 0; d <= COUNT(divisors); d++) {
        LoopModule *m = loop_module_new(cx, "m", NULL);
        LoopBuilder *b = begin(m, i64, i64, i64);
        l_return(b, l_floor_div(b, loop_param(b, 0), d < COUNT(divisors) ? l_i64(b, divisors[d]) : loop_param(b, 1)));
        loop_end(b);
        LoopInterp *in = loop_interp_new(m, NULL, NULL);
        for (int64_t x = -40; x <= 40; x++) {
            int64_t y = d < COUNT(divisors) ? divisors[d] : 5;
            LSlot out;
            assert_true(loop_interp_call(in, "f", (LSlot[]){{.i = x}, {.i = y}}, 2, &out));
            assert_int_equal(out.i, floor_div(x, y));
        }
    }
}

/* ---- text ---- */

static const char everything[] =
    "loop @\"every thing\" target \"x86-64-v3\"\n"
    "note \"header\" = \"int f(void);\\n\"\n"
    "data @table align 16 = x\"0001020304050607\"\n"
    "data @weights align 64 export weights = zero(4096)\n"
    "data @info align 8 export writable = x\"00000000000000000000000000000000\" relocs [0: @k0, 8: @table+4]\n"
    "\n"
    "extern @rt_fail(%a: ptr u64, %2: i32) -> i32\n"
    "\n"
    "func @nothing(%1 \"odd name\": i64) {\n"
    "  return\n"
    "}\n"
    "\n"
    "func @scalars(%x: f32, %n: i64, %c: bool) -> f32 { // node 'a\\\\b'\\nnode 'c'\n"
    "  %4 = const -0.5 : f64\n"
    "  %5 = const nan : f32\n"
    "  %6 = const nan(0x7ff8000000000001) : f64\n"
    "  %7 = const inf : f32\n"
    "  %8 = const 18446744073709551615 : u64\n"
    "  %9 = const -128 : i8\n"
    "  %10 = const true : bool\n"
    "  %11 = const null : ptr u8\n"
    "  %12 = neg %x : f32\n"
    "  %13 = abs %12 : f32\n"
    "  %14 = floor %13 : f32\n"
    "  %15 = ceil %14 : f32\n"
    "  %16 = trunc %15 : f32\n"
    "  %17 = rint %16 : f32\n"
    "  %18 = sqrt %17 : f32\n"
    "  %19 = not %n : i64\n"
    "  %20 = popcount %19 : i64\n"
    "  %21 = add %20, %n : i64\n"
    "  %22 = sub %21, %n : i64\n"
    "  %23 = mul %22, %n : i64\n"
    "  %24 = div %23, %n : i64\n"
    "  %25 = rem %24, %n : i64\n"
    "  %26 = min %25, %n : i64\n"
    "  %27 = max %26, %n : i64\n"
    "  %28 = and %27, %n : i64\n"
    "  %29 = or %28, %n : i64\n"
    "  %30 = xor %29, %n : i64\n"
    "  %31 = shl %30, %n : i64\n"
    "  %32 = shr %31, %n : i64\n"
    "  %33 = fma %18, %x, %x : f32\n"
    "  %34 = select %c, %33, %x : f32\n"
    "  %35 = eq %32, %n : bool\n"
    "  %36 = ne %34, %x : bool\n"
    "  %37 = lt %34, %x : bool\n"
    "  %38 = le %34, %x : bool\n"
    "  %39 = convert %34 : i8\n"
    "  %40 = bitcast %34 : u32\n"
    "  call @nothing(%n)\n"
    "  %41 = symbol_addr @nothing : ptr u8\n"
    "  call_pointer %41(%n)\n"
    "  return %34\n"
    "}\n"
    "\n"
    "kernel @k0(%lo: i64, %hi: i64, %worker: i64, %x: ptr f32 noalias readonly align 64, %y: ptr f32 writeonly) -> i32 {\n"
    "  %6 = const 1.5 : f32x8\n"
    "  %7, %8 = for %9 = %lo to %hi step 8 iter(%10 = %6, %11 = %lo) : f32x8, i64 {\n"
    "    %12 = load %x, %9 align 32 : f32x8\n"
    "    %13 = lane_mask %hi : boolx8\n"
    "    %14 = load_masked %x, %9, %13 : f32x8\n"
    "    %15 = iota : i64x8\n"
    "    %16 = gather %x, %15 : f32x8\n"
    "    %17 = gather_masked %x, %15, %13 : f32x8\n"
    "    store %y, %9, %16 align 4\n"
    "    store_masked %y, %9, %17, %13\n"
    "    scatter_masked %y, %15, %14, %13\n"
    "    prefetch %x, %9\n"
    "    %18 = add %10, %12 : f32x8\n"
    "    if %13x {\n"
    "  }\n";

static void reports_where_text_is_wrong(void **state) {
    static const struct { const char *text, *where, *what; } wrong[] = {
        {everything, ":71:8", "%13x is not defined"},
        {"", ":1:1", "found the end of the text, expected 'loop'"},
        {"loop @m target \"pdp11\"", "", "unknown target 'pdp11'"},
        {"loop @m\nfunc @f() {\n  %1 = frob : i64\n}\n", ":3:8", "found 'frob', expected an instruction"},
        {"loop @m\nfunc @f() {\n  %1 = const 1 : f16\n}\n", ":3:18", "expected a type of loop IR"},
        {"loop @m\nfunc @f() {\n  %1 = const 1 : i64x65\n}\n", ":3:18", "expected a type of loop IR"},
        {"loop @m\nfunc @f() {\n  %1 = const 300 : u8\n}\n", "", "constant '300' is no u8"},
        {"loop @m\nfunc @f() {\n  %1 = const 1.5 : i32\n}\n", "", "constant '1.5' is no i32"},
        {"loop @m\nfunc @f() {\n  %1 = const maybe : bool\n}\n", "", "expected true or false"},
        {"loop @m\nfunc @f() {\n  %1 = const x : f32\n}\n", "", "'x' is no f32"},
        {"loop @m\nfunc @f(%a: i64, %a: i64) {\n  return\n}\n", "", "value %a is defined twice"},
        {"loop @m\nfunc @f() {\n  return\n", ":4:1", "expected '}'"},
        {"loop @m\nnote \"a\" = \"b\n\"", ":2:14", "a string does not end"},
        {"loop @m\ndata @d align 8 = x\"012\"\n", "", "pairs of hex digits"},
        {"loop @m\ndata @d align 8 = blob(0, 8)\n", "", "lies beyond the 0 bytes of the side file"},
        {"loop @m\nfunc @f(%n: i64) {\n  for %2 = %n to %n step 0 {\n}\nreturn\n}\n", ":3:26", "expected an integer from 1"},
        {"loop @m\n\x01", ":2:1", "found byte 0x01, expected note"},
    };
    Context *cx = *state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_null(parse(cx, wrong[i].text));
        const char *where = loc_string(cx, diag_at(cx, 0)->loc);
        if (!strstr(where, wrong[i].where)) print_error("%s: %s\n", where, diag_at(cx, 0)->text);
        assert_non_null(strstr(where, wrong[i].where));
        expect_error(cx, wrong[i].what);
    }
}


static void text_form_is_a_fixpoint(void **state) {
    Context *cx = *state;
    Text t = text_new(cx->arena);
    text_add_n(&t, everything, (size_t)(strstr(everything, "    if %13x") - everything));
    text_add(&t, "    yield %%18, %%9\n"
                 "  }\n"
                 "  %%19 = extract %%7 [3] : f32\n"
                 "  %%20 = insert %%7, %%19 [0] : f32x8\n"
                 "  %%21 = shuffle %%20, %%7 [0, 8, 15, 1] : f32x4\n"
                 "  %%22 = splat %%19 : f32x4\n"
                 "  %%23 = reduce_add %%22 : f32\n"
                 "  %%24 = reduce_mul %%22 : f32\n"
                 "  %%25 = reduce_max %%22 : f32\n"
                 "  %%26 = reduce_min %%22 : f32\n"
                 "  %%27 = lt %%21, %%22 : boolx4\n"
                 "  %%28 = reduce_and %%27 : bool\n"
                 "  %%29 = reduce_or %%27 : bool\n"
                 "  %%30 = offset %%x, %%8 : ptr f32\n"
                 "  %%31 = recast %%30 : ptr u64\n"
                 "  %%32 = alloc 16 : ptr u64\n"
                 "  %%33 = load_pointer %%31, %%lo : ptr i8\n"
                 "  store_pointer %%32, %%lo, %%33\n"
                 "  %%34 = while iter(%%35 = %%lo) : i64 {\n"
                 "    %%36 = lt %%35, %%hi : bool\n"
                 "    yield %%36, %%35\n"
                 "  }\n"
                 "  %%37 = if %%28 : i64 {\n"
                 "    yield %%lo\n"
                 "  } else {\n"
                 "    yield %%hi\n"
                 "  }\n"
                 "  %%38 = const 7 : i32\n"
                 "  if %%29 {\n"
                 "    return %%38\n"
                 "  }\n"
                 "  for unrolled %%39 = %%lo to %%hi step 1 {\n"
                 "  }\n"
                 "  return %%38\n"
                 "}\n"
                 "\n"
                 "export @host(%%ctx: ptr u64) -> i32 {\n"
                 "  %%2 = const 100 : i64\n"
                 "  %%3 = const 10 : i64\n"
                 "  %%4 = symbol_addr @weights : ptr f32\n"
                 "  %%5 = launch @k0(%%ctx, %%2, %%3, %%4, %%4) : i32\n"
                 "  %%6 = call @rt_fail(%%ctx, %%5) : i32\n"
                 "  return %%6\n"
                 "}\n");
    for (int op = 1; op < LOP_COUNT; op++) {
        const char *word = arena_print(cx->arena, op == LOP_yield || op == LOP_for ? "%s" : " %s", lop_info[op].name);
        if (!strstr(t.at, word)) print_error("%s\n", lop_info[op].name);
        assert_non_null(strstr(t.at, word));
        assert_int_equal(lop_by_name(lop_info[op].name), op);
    }
    LoopModule *m = must_parse(cx, t.at);
    assert_string_equal(print(m), t.at);
    assert_string_equal(loop_func_find(m, "scalars")->comment, "node 'a\\b'\nnode 'c'");
    assert_string_equal(loop_note(m, "header"), "int f(void);\n");
    assert_string_equal(loop_func_find(m, "nothing")->params[0].name, "odd name");
    assert_int_equal(loop_data_find(m, "info")->relocs[1].addend, 4);
    for (size_t n = 0; n < t.n; n += 7) { /* cut anywhere: an error or a shorter module, never a crash */
        LoopModule *cut = loop_parse(cx, "cut.loop", t.at, n, NULL, 0);
        assert_true(cut || diag_error_count(cx) > 0);
        diag_truncate(cx, 0);
    }
}

static void large_data_goes_to_the_blob(void **state) {
    Context *cx = *state;
    uint8_t bytes[300];
    for (int i = 0; i < 300; i++) bytes[i] = (uint8_t)(i * 7);
    LoopModule *m = loop_module_new(cx, "m", NULL);
    vec_push(m->arena, &m->datas, (LData){.name = "a", .bytes = bytes, .size = 300, .align = 64});
    vec_push(m->arena, &m->datas, (LData){.name = "b", .bytes = bytes, .size = 65, .align = 1});
    Text out = text_new(cx->arena), blob = text_new(cx->arena), again = text_new(cx->arena), blob_again = text_new(cx->arena);
    loop_print(m, &out, &blob);
    assert_non_null(strstr(out.at, "data @b align 1 = blob(320, 65)"));
    LoopModule *read = loop_parse(cx, "t.loop", out.at, out.n, (const uint8_t *)blob.at, blob.n);
    assert_non_null(read);
    assert_memory_equal(loop_data_find(read, "a")->bytes, bytes, 300);
    loop_print(read, &again, &blob_again);
    assert_string_equal(again.at, out.at);
    assert_int_equal(blob_again.n, blob.n);
    assert_memory_equal(blob_again.at, blob.at, blob.n);
}

static void deep_text_is_refused(void **state) {
    Context *cx = *state;
    Text t = text_new(cx->arena);
    text_add(&t, "loop @m\nfunc @f(%%c: bool) {\n");
    for (int i = 0; i < 100000; i++) text_add(&t, "if %%c {\n");
    assert_null(parse(cx, t.at));
    expect_error(cx, "nest deeper");
}

/* ---- verify ---- */

static void verifier_finds_mistakes(void **state) {
    static const struct { const char *body, *what; } wrong[] = {
        {"%4 = add %n, %x : i64\nreturn", "operand 1 is f32, expected i64"},
        {"%4 = add %n, %n : i32\nreturn", "operand 0 is i64, expected i32"},
        {"%4 = floor %n : i64\nreturn", "type i64 is not a float"},
        {"%4 = add %c, %c : bool\nreturn", "type bool is not a number"},
        {"%4 = lt %n, %n : i64\nreturn", "the result is i64, expected bool"},
        {"%4 = add %n : i64\nreturn", "1 operands, expected 2"},
        {"%4 = load %n, %n : i64\nreturn", "operand 0 is i64, expected ptr i64"},
        {"%4 = bitcast %n : f32\nreturn", "differ in width"},
        {"%4 = splat %x : f32x3\n%5 = reduce_add %4 : f32\nreturn", "no power of two"},
        {"%4 = splat %x : f32x4\n%5 = extract %4 [4] : f32\nreturn", "outside of 4 lanes"},
        {"%4 = splat %x : f32x4\n%5 = shuffle %4, %4 [0, 9] : f32x2\nreturn", "lane number 9 is outside"},
        {"%4 = symbol_addr @gone : ptr f32\nreturn", "no function or data object 'gone'"},
        {"call @gone()\nreturn", "there is no function 'gone'"},
        {"call @g(%n)\nreturn", "1 arguments for the 0 parameters"},
        {"%4 = launch @g(%n) : i32\nreturn", "there is no kernel 'g'"},
        {"return %n", "returns i64, expected void"},
        {"yield", "ends in return, not yield"},
        {"%4 = const 1 : i64", "does not end in return"},
        {"return\nreturn", "follows the end of its block"},
        {"if %c {\n%4 = const 1 : i64\n}\n%5 = neg %4 : i64\nreturn", "outside of the block that defines it"},
        {"if %n {\n}\nreturn", "the condition is not one bool"},
        {"%4 = if %c : i64 {\nyield %n\n} else {\nyield %x\n}\nreturn", "value 0 is f32, expected i64"},
        {"%4 = if %c : i64 {\nyield %n\n}\nreturn", "yields 0 values, expected 1"},
        {"%4 = for %5 = %n to %n step 1 iter(%6 = %x) : f32 {\nyield %n\n}\nreturn", "value 0 is i64, expected f32"},
        {"for %5 = %x to %n step 1 {\n}\nreturn", "bounds are i64"},
        {"%4 = while iter(%5 = %n) : i64 {\nyield %5, %5\n}\nreturn", "the first value a while yields is i64"},
        {"while {\n}\nreturn", "yields 0 values, expected 1"},
    };
    Context *cx = *state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        Text t = text_new(cx->arena);
        text_add(&t, "loop @m\nfunc @g() {\nreturn\n}\nfunc @f(%%n: i64, %%x: f32, %%c: bool) {\n%s\n}\n", wrong[i].body);
        LoopModule *m = parse(cx, t.at);
        if (m) print_error("accepted: %s\n", wrong[i].body);
        assert_null(m);
        expect_error(cx, wrong[i].what);
    }
}

static void verifier_checks_modules(void **state) {
    static const struct { const char *text, *what; } wrong[] = {
        {"func @f() {\nreturn\n}\ndata @f align 8 = zero(8)\n", "two symbols named 'f'"},
        {"kernel @k(%lo: i64, %hi: i64) -> i32 {\n%3 = const 0 : i32\nreturn %3\n}\n", "starts with parameters lo, hi, worker"},
        {"kernel @k(%lo: i64, %hi: i64, %w: i64) {\nreturn\n}\n", "returns an i32 status"},
        {"data @d align 3 = zero(8)\n", "alignment 3"},
        {"data @d align 8 = zero(8) relocs [4: @d]\n", "overlaps another or the end"},
        {"data @d align 8 = zero(8) relocs [0: @e]\n", "which the module does not have"},
        {"func @f(%n: i64 noalias) {\nreturn\n}\n", "has flags of a pointer"},
        {"func @f(%n: f32x4) {\nreturn\n}\n", "is a vector"},
    };
    Context *cx = *state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_null(parse(cx, arena_print(cx->arena, "loop @m\n%s", wrong[i].text)));
        expect_error(cx, wrong[i].what);
    }
    /* what text cannot say */
    LoopModule *m = must_parse(cx, "loop @m\nfunc @f(%n: i64) {\n%2 = neg %n : i64\n%3 = neg %2 : i64\nreturn\n}\n");
    LInst *inst = m->funcs.at[0]->body->insts.at;
    const LVal *in = inst[0].in, late = inst[1].out[0];
    inst[0].in = &late;
    assert_false(loop_verify(m));
    expect_error(cx, "used before its definition");
    LVal wild = {999};
    inst[0].in = &wild;
    assert_false(loop_verify(m));
    expect_error(cx, "no value of the function");
    inst[0].in = in;
    inst[1].out = inst[0].out;
    assert_false(loop_verify(m));
    expect_error(cx, "defined already");
}

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
    return t == DT_f32 ? l_float(b, lt_scalar(t), (double)s.f32) : t == DT_f64 ? l_float(b, lt_scalar(t), s.f) : l_int(b, lt_scalar(t), s.i);
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
            if (!same) print_error("case %zu (%s %s) way %d: %llx\n", i, elements[i].op, elements[i].from, how, (unsigned long long)found.u);
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
    static const struct { const char *rest; int64_t expected; } cases[] = {
        {"%5 = extract %4 [7] : i64\nreturn %5", 17},
        {"%5 = insert %4, %n [7] : i64x8\n%6 = reduce_add %5 : i64\nreturn %6", 101},
        {"%5 = shuffle %4, %2 [7, 15, 0, 8] : i64x4\n%6 = reduce_add %5 : i64\nreturn %6", 34},
        {"%5 = reduce_add %4 : i64\nreturn %5", 108},
        {"%5 = shuffle %4, %4 [0, 1] : i64x2\n%6 = reduce_mul %5 : i64\nreturn %6", 110},
        {"%5 = reduce_max %4 : i64\nreturn %5", 17},
        {"%5 = reduce_min %4 : i64\nreturn %5", 10},
        {"%5 = reduce_or %4 : i64\nreturn %5", 31},
        {"%5 = reduce_and %4 : i64\nreturn %5", 0},
        {"%5 = const 3 : i64\n%6 = lane_mask %5 : boolx8\n%7 = select %6, %4, %2 : i64x8\n%8 = reduce_add %7 : i64\nreturn %8", 58},
        {"%5 = lt %2, %4 : boolx8\n%6 = reduce_and %5 : bool\n%7 = convert %6 : i64\nreturn %7", 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_int(cx, arena_print(cx->arena, "%s%s", start, cases[i].rest), cases[i].expected);
    /* the tree: (x0 + x2) + (x1 + x3), not left to right */
    LoopModule *m = must_parse(cx, "loop @m\nexport @f(%p: ptr f32) -> f32 {\n%2 = const 0 : i64\n%3 = load %p, %2 : f32x4\n"
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
    static const struct { const char *rest; int64_t expected; } cases[] = {
        {"%4 = for %5 = %2 to %n step 3 iter(%6 = %2) : i64 {\n%7 = add %6, %5 : i64\nyield %7\n}\nreturn %4", 18},
        {"%4 = for %5 = %n to %2 step 1 iter(%6 = %3) : i64 {\nyield %5\n}\nreturn %4", 1},
        /* Fibonacci: the yield permutes what it replaces */
        {"%4, %5 = for %6 = %2 to %n step 1 iter(%7 = %2, %8 = %3) : i64, i64 {\n%9 = add %7, %8 : i64\nyield %8, %9\n}\nreturn %4", 55},
        {"%4, %5 = for %6 = %2 to %3 step 1 iter(%7 = %2, %8 = %3) : i64, i64 {\nyield %8, %7\n}\nreturn %4", 1},
        {"%4 = while iter(%5 = %2) : i64 {\n%6 = add %5, %3 : i64\n%7 = lt %6, %n : bool\nyield %7, %6\n}\nreturn %4", 10},
        {"%4 = while iter(%5 = %n) : i64 {\n%6 = add %5, %3 : i64\n%7 = lt %6, %n : bool\nyield %7, %6\n}\nreturn %4", 11},
        {"%4 = lt %n, %2 : bool\n%5 = if %4 : i64 {\nyield %2\n} else {\nyield %3\n}\nreturn %5", 1},
        {"for %4 = %2 to %n step 1 {\n%5 = const 7 : i64\n%6 = eq %4, %5 : bool\nif %6 {\nreturn %4\n}\n}\nreturn %2", 7},
        /* the last step would overflow */
        {"%4 = const 9223372036854775806 : i64\n%5 = const 9223372036854775807 : i64\n"
         "%6 = for %7 = %4 to %5 step 5 iter(%8 = %2) : i64 {\n%9 = add %8, %3 : i64\nyield %9\n}\nreturn %6", 1},
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
                                   "export @bad(%n: i64) -> i64 {\n%2 = symbol_addr @table : ptr u8\n%3 = call_pointer %2(%n) : i64\nreturn %3\n}\n"
                                   "export @type(%n: i64) -> i64 {\n%2 = symbol_addr @square : ptr u8\n%3 = call_pointer %2(%n) : i32\nreturn %n\n}\n");
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
    LoopModule *m = must_parse(cx, arena_print(cx->arena, "loop @m\nexport @f(%%x: ptr f32, %%y: ptr f32, %%n: i64) {\n"
                                                          "%%4 = const 0 : i64\n%%5 = const 1 : i64\n%%6 = iota : i64x4\n"
                                                          "%%7 = const 3 : i64\n%%8 = lane_mask %%7 : boolx4\n"
                                                          "%s\nreturn\n}\n", body));
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
    static const struct { const char *body, *error; double sum; } cases[] = {
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
        {"%9 = alloc 4 : ptr f32\n%10 = load %x, %5 : f32x4\nstore %9, %5, %10", "writes 16 bytes at offset 4 of an alloc (16 bytes)", 0},
        {"%9 = alloc 4 : ptr f32\n%10 = load %x, %5 : f32x4\nstore %9, %4, %10\n%11 = load %9, %5 : f32\nstore %y, %4, %11", NULL, 2},
        {"for %9 = %4 to %n step 1 {\n%10 = alloc 4 : ptr f32\n%11 = load %x, %5 : f32x4\nstore %10, %4, %11\n}", NULL, 0},
        {"for %9 = %4 to %n step 1 {\n%10 = alloc 1 : ptr f32\n%11 = eq %9, %4 : bool\n%12 = load %x, %4 : f32\nif %11 {\nstore %10, %4, %12\n}\n%13 = load %10, %4 : f32\n}",
         "reads uninitialised memory", 0},
        {"%9 = recast %x : ptr u8\n%10 = offset %9, %5 : ptr u8\n%11 = recast %10 : ptr f32\n%12 = load %11, %4 : f32", "alignment", 0},
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
    LoopModule *m = must_parse(cx, "loop @m\nexport @f(%x: ptr f32 align 16) -> f32 {\n%2 = const 0 : i64\n%3 = load %x, %2 : f32\nreturn %3\n}\n");
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
    "export @f(%y: ptr i32, %n: i64, %grain: i64, %shift: i64, %fail: i64) -> i32 {\n"
    "  %6 = const null : ptr u64\n"
    "  %7 = launch @k(%6, %n, %grain, %y, %shift, %fail) : i32\n"
    "  return %7\n"
    "}\n";

static void launches_cover_the_range(void **state) {
    Context *cx = *state;
    LoopInterp *in = loop_interp_new(must_parse(cx, launch_text), NULL, NULL);
    int32_t y[1000] = {0};
    LSlot out;
    loop_interp_memory(in, y, sizeof y, true, true);
    static const int64_t grains[] = {0, 1, 3, 7, 999, 1000, 5000};
    for (size_t i = 0; i < COUNT(grains); i++) {
        assert_true(loop_interp_call(in, "f", (LSlot[]){{.p = y}, {.i = 1000}, {.i = grains[i]}, {.i = 0}, {.i = -1}}, 5, &out));
        assert_int_equal(out.i, 0);
        for (int k = 0; k < 1000; k++) assert_int_equal(y[k], i + 1);
    }
    for (int i = 0; i < 20000; i++) /* stamps wrap around */
        assert_true(loop_interp_call(in, "f", (LSlot[]){{.p = y}, {.i = 4}, {.i = 1}, {.i = 0}, {.i = -1}}, 5, &out));
    assert_true(loop_interp_call(in, "f", (LSlot[]){{.p = y}, {.i = 1000}, {.i = 1}, {.i = 0}, {.i = 500}}, 5, &out));
    assert_int_equal(out.i, 9);
}

static void launches_show_races(void **state) {
    Context *cx = *state;
    LoopInterp *in = loop_interp_new(must_parse(cx, launch_text), NULL, NULL);
    int32_t y[10] = {0};
    LSlot out, arguments[] = {{.p = y}, {.i = 10}, {.i = 1}, {.i = 1}, {.i = -1}};
    loop_interp_memory(in, y, sizeof y, true, true);
    assert_false(loop_interp_call(in, "f", arguments, 5, &out));
    expect_error(cx, "race:");
    arguments[1].i = 2; /* two iterations: two workers even so */
    assert_false(loop_interp_call(in, "f", arguments, 5, &out));
    expect_error(cx, "race:");
    loop_interp_threads(in, 1);
    assert_true(loop_interp_call(in, "f", arguments, 5, &out));
}

static void fuel_runs_out(void **state) {
    Context *cx = *state;
    volatile bool unwound = true;
    cx->limits.fuel = 1000000;
    if (context_enter(cx)) {
        LoopModule *m = must_parse(cx, "loop @m\nexport @f() {\nwhile {\n%1 = const true : bool\nyield %1\n}\nreturn\n}\n");
        LSlot out;
        unwound = !call(m, NULL, 0, &out);
        fail_msg("an endless loop came to an end");
    }
    context_leave(cx);
    assert_true(unwound);
    assert_true(diag_error_count(cx) > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(folds_constants_and_identities), TEST(shares_what_dominates), TEST(builds_control), TEST(builds_memory),
        TEST(floor_division_is_floor), TEST(builder_refuses_wrong_types),
        TEST(reports_where_text_is_wrong), TEST(text_form_is_a_fixpoint), TEST(large_data_goes_to_the_blob), TEST(deep_text_is_refused),
        TEST(verifier_finds_mistakes), TEST(verifier_checks_modules), TEST(elements_compute), TEST(vectors_compute),
        TEST(control_runs), TEST(calls_run), TEST(memory_is_checked), TEST(memory_can_be_declared_anew),
        TEST(launches_cover_the_range), TEST(launches_show_races), TEST(fuel_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
