/* test_loop.c: Loop IR: builder, text form, verifier. */
#include "loop_test.h"

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

/* store p[x] = p[0] * x + p[1]; return p[0] - x, the operands appended left to right or right to left. */
static const char *in_some_order(Context *cx, bool reversed) {
    LType i64 = lt_scalar(DT_i64);
    LoopModule *m = loop_module_new(cx, "m", NULL);
    LoopBuilder *b = begin(m, i64, lt_pointer(DT_i64), i64);
    LVal x = loop_param(b, 0), p = loop_param(b, 1), none = {0}, first, second, product;
    if (reversed) {
        l_mul(b, x, l_i64(b, 99)); /* nobody needs it */
        second = l_load(b, p, l_i64(b, 1), 1, none);
        first = l_load(b, p, l_i64(b, 0), 1, none);
        product = l_mul(b, first, x);
    } else {
        first = l_load(b, p, l_i64(b, 0), 1, none);
        product = l_mul(b, first, x);
        second = l_load(b, p, l_i64(b, 1), 1, none);
    }
    LVal early = l_load(b, p, x, 1, none); /* read before the store, used after it */
    l_store(b, p, x, l_add(b, product, second), none);
    l_return(b, l_sub(b, early, x));
    loop_end(b);
    assert_true(loop_verify(m));
    Text text = text_new(cx->arena);
    loop_print(m, &text, NULL);
    return text.at;
}

static void order_is_of_the_values_alone(void **state) {
    Context *cx = *state;
    const char *forwards = in_some_order(cx, false), *backwards = in_some_order(cx, true);
    assert_string_equal(forwards, backwards);
    assert_null(strstr(backwards, "99"));
    const char *load = strstr(forwards, "load %b, %a"), *store = strstr(forwards, "store");
    assert_non_null(load);
    assert_non_null(store);
    assert_true(load < store);
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
    LParam params[] = {{.name = "lo", .type = lt_scalar(DT_i64)},
                       {.name = "hi", .type = lt_scalar(DT_i64)},
                       {.name = "worker", .type = lt_scalar(DT_i64)},
                       {.name = "y", .type = lt_pointer(DT_f32), .flags = LP_NOALIAS}};
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
    l_inst(b, LOP_store_stream, none, (LVal[]){scratch, l_i64(b, 0), sum}, 3, 0);
    l_inst(b, LOP_fence, none, NULL, 0, 0);
    l_for_end(b, &loop, NULL, 0);
    loop_end(b);
    LParam host[] = {{.name = "y", .type = lt_pointer(DT_f32)}};
    b = loop_begin(m, "f", LF_EXPORT, host, 1, lt_scalar(DT_i32));
    LVal context = l_inst(b, LOP_recast, lt_pointer(DT_u64), (LVal[]){loop_param(b, 0)}, 1, 0);
    l_return(b, l_launch(b, "k", (LVal[]){context, l_i64(b, 21), l_i64(b, 1), loop_param(b, 0)}, 4));
    loop_end(b);
    float values[8], at[21];
    for (int i = 0; i < 8; i++) values[i] = (float)i;
    for (int i = 0; i < 21; i++) at[i] = 100;
    vec_push(m->arena, &m->datas,
             (LData){.name = "table", .bytes = (const uint8_t *)values, .size = sizeof values, .align = 4});
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
    "loop @\"every thing\" target \"x86-64-v4-amx\"\n"
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
    "kernel @k0(%lo: i64, %hi: i64, %worker: i64, %x: ptr f32 noalias readonly align 64, %y: ptr f32 writeonly) -> i32 "
    "{\n"
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
    "    store_stream %y, %9, %16\n"
    "    fence\n"
    "    tile_begin\n"
    "    tile_zero [0]\n"
    "    tile_load %x, %9, %9 [7]\n"
    "    tile_dot_bf16 [0, 6, 7]\n"
    "    tile_store %y, %9, %9 [0]\n"
    "    tile_end\n"
    "    %18 = add %10, %12 : f32x8\n"
    "    if %13x {\n"
    "  }\n";

static void reports_where_text_is_wrong(void **state) {
    static const struct { const char *text, *where, *what;
    } wrong[] = {
        {everything, ":79:8", "%13x is not defined"},
        {"", ":1:1", "found the end of the text, expected 'loop'"},
        {"loop @m target \"pdp11\"", "", "unknown target 'pdp11'"},
        {"loop @m\nfunc @f() {\n  %1 = frob : i64\n}\n", ":3:8", "found 'frob', expected an instruction"},
        {"loop @m\nfunc @f() {\n  %1 = const 1 : f16\n}\n", ":3:18", "expected a type of loop IR"},
        {"loop @m\nfunc @f() {\n  %1 = const 1 : i64x129\n}\n", ":3:18", "expected a type of loop IR"},
        {"loop @m\nfunc @f() {\n  %1 = const 300 : u8\n}\n", "", "constant '300' is no u8"},
        {"loop @m\nfunc @f() {\n  %1 = const 1.5 : i32\n}\n", "", "constant '1.5' is no i32"},
        {"loop @m\nfunc @f() {\n  %1 = const maybe : bool\n}\n", "", "expected true or false"},
        {"loop @m\nfunc @f() {\n  %1 = const x : f32\n}\n", "", "'x' is no f32"},
        {"loop @m\nfunc @f(%a: i64, %a: i64) {\n  return\n}\n", "", "value %a is defined twice"},
        {"loop @m\nfunc @f() {\n  return\n", ":4:1", "expected '}'"},
        {"loop @m\nnote \"a\" = \"b\n\"", ":2:14", "a string does not end"},
        {"loop @m\ndata @d align 8 = x\"012\"\n", "", "pairs of hex digits"},
        {"loop @m\ndata @d align 8 = blob(0, 8)\n", "", "lies beyond the 0 bytes of the side file"},
        {"loop @m\nfunc @f(%n: i64) {\n  for %2 = %n to %n step 0 {\n}\nreturn\n}\n", ":3:26",
         "expected an integer from 1"},
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


static void has_every_op(Context *cx, const char *text) {
    for (int op = 1; op < LOP_COUNT; op++) {
        bool first = op == LOP_yield || op == LOP_for || op == LOP_defer;
        const char *word = arena_print(cx->arena, first ? "%s" : " %s", lop_info[op].name);
        if (!strstr(text, word)) print_error("%s\n", lop_info[op].name);
        assert_non_null(strstr(text, word));
        assert_int_equal(lop_by_name(lop_info[op].name), op);
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
                 "  %%39 = const 7 : u32\n"
                 "  %%40 = dot_bf16 %%19, %%39, %%39 : f32\n"
                 "  %%41 = round_bf16 %%40 : f32\n"
                 "  %%42 = lookup %%39 [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 1065353216, 4294967295] : f32\n"
                 "  %%43 = dot_u8 %%38, %%39, %%39 : i32\n"
                 "  for unrolled %%44 = %%lo to %%hi step 1 {\n"
                 "  }\n"
                 "  return %%38\n"
                 "}\n"
                 "\n"
                 "export @host(%%ctx: ptr u64) -> i32 {\n"
                 "  %%2 = const 100 : i64\n"
                 "  %%3 = const 10 : i64\n"
                 "  %%4 = symbol_addr @weights : ptr f32\n"
                 "  defer @k0(%%ctx, %%2, %%3, %%4, %%4)\n"
                 "  %%5 = launch @k0(%%ctx, %%2, %%3, %%4, %%4) : i32\n"
                 "  %%6 = call @rt_fail(%%ctx, %%5) : i32\n"
                 "  return %%6\n"
                 "}\n");
    has_every_op(cx, t.at);
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
    Text out = text_new(cx->arena), blob = text_new(cx->arena), again = text_new(cx->arena),
         blob_again = text_new(cx->arena);
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
        {"%4 = const 7 : u32\n%5 = lookup %4 [1, 2] : f32\nreturn", "2 numbers in the table, expected 16"},
        {"%4 = splat %x : f32x3\n%5 = reduce_add %4 : f32\nreturn", "no power of two"},
        {"%4 = splat %x : f32x4\n%5 = extract %4 [4] : f32\nreturn", "outside of 4 lanes"},
        {"%4 = splat %x : f32x4\n%5 = shuffle %4, %4 [0, 9] : f32x2\nreturn", "lane number 9 is outside"},
        {"%4 = symbol_addr @gone : ptr f32\nreturn", "no function or data object 'gone'"},
        {"call @gone()\nreturn", "there is no function 'gone'"},
        {"call @g(%n)\nreturn", "1 arguments for the 0 parameters"},
        {"%4 = launch @g(%n) : i32\nreturn", "there is no kernel 'g'"},
        {"defer @g(%n)\nreturn", "stands between a deferred kernel and its launch"},
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
        text_add(&t, "loop @m\nfunc @g() {\nreturn\n}\nfunc @f(%%n: i64, %%x: f32, %%c: bool) {\n%s\n}\n",
                 wrong[i].body);
        LoopModule *m = parse(cx, t.at);
        if (m) print_error("accepted: %s\n", wrong[i].body);
        assert_null(m);
        expect_error(cx, wrong[i].what);
    }
}

static void verifier_checks_modules(void **state) {
    static const struct { const char *text, *what;
    } wrong[] = {
        {"func @f() {\nreturn\n}\ndata @f align 8 = zero(8)\n", "two symbols named 'f'"},
        {"kernel @k(%lo: i64, %hi: i64) -> i32 {\n%3 = const 0 : i32\nreturn %3\n}\n",
         "starts with parameters lo, hi, worker"},
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

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(folds_constants_and_identities),
        TEST(shares_what_dominates),
        TEST(order_is_of_the_values_alone),
        TEST(builds_control),
        TEST(builds_memory),
        TEST(floor_division_is_floor),
        TEST(builder_refuses_wrong_types),
        TEST(reports_where_text_is_wrong),
        TEST(text_form_is_a_fixpoint),
        TEST(large_data_goes_to_the_blob),
        TEST(deep_text_is_refused),
        TEST(verifier_finds_mistakes),
        TEST(verifier_checks_modules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
