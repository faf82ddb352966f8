/* test_amx.c: tile instructions of Loop IR: what they compute, by the interpreter, as machine code (AMX, emulated where the
 * CPU has none: amx_emulator.h) and as portable C, bit by bit; and their mistakes.  Templates on tiles: test_tile.c,
 * test_tile_conv.c. */
#define _GNU_SOURCE
#include "loop_test.h"
#include "amx_emulator.h"
#include "codegen.h"

enum { PITCH = 24, ROWS = 2 * TILE_SIDE };
typedef struct Operands { uint32_t a[ROWS * PITCH], b[ROWS * PITCH], c[ROWS * PITCH]; } Operands;

/* c += a * b for two tiles of a and one of b, all with rows further apart than they are long; the third operand is added
 * twice. */
static LoopModule *tile_module(Context *cx) {
    LoopModule *m = loop_module_new(cx, "test", &(Tiers){.n = 1, .at = {target_find("v4-amx")}});
    LParam p[] = {{.name = "a", .type = lt_pointer(DT_u32)},
                  {.name = "b", .type = lt_pointer(DT_u32)},
                  {.name = "c", .type = lt_pointer(DT_f32)}};
    LoopBuilder *b = loop_begin(m, "f", LF_EXPORT, p, 3, lt_scalar(DT_i32));
    LVal zero = l_i64(b, 0), pitch = l_i64(b, PITCH), down = l_i64(b, TILE_SIDE * PITCH);
    l_tile(b, LOP_tile_begin, NULL, 0);
    l_tile_move(b, LOP_tile_load, 6, loop_param(b, 1), zero, pitch);
    for (uint32_t i = 0; i < 2; i++) {
        LVal at = i ? down : zero;
        l_tile_move(b, LOP_tile_load, 4 + i, loop_param(b, 0), at, pitch);
        if (i) l_tile(b, LOP_tile_zero, (int64_t[]){1}, 1);
        else l_tile_move(b, LOP_tile_load, 0, loop_param(b, 2), at, pitch);
        for (uint32_t twice = 0; twice < 2; twice++) l_tile(b, LOP_tile_dot_bf16, (int64_t[]){i, 4 + i, 6}, 3);
    }
    LVal index = zero;
    LFor loop = l_for(b, zero, l_i64(b, 1), 1, LOOP_SERIAL, NULL, 0, &index);
    l_tile_move(b, LOP_tile_store, 0, loop_param(b, 2), index, pitch);
    l_for_end(b, &loop, NULL, 0);
    l_tile_move(b, LOP_tile_store, 1, loop_param(b, 2), down, pitch);
    l_tile(b, LOP_tile_end, NULL, 0);
    l_return(b, l_int(b, lt_scalar(DT_i32), 0));
    loop_end(b);
    return m;
}

typedef int32_t TileFn(uint32_t *a, uint32_t *b, uint32_t *c);

static void run_interpreter(LoopModule *m, Operands *o) {
    LoopInterp *in = loop_interp_new(m, NULL, NULL);
    LSlot out, slots[] = {{.p = o->a}, {.p = o->b}, {.p = o->c}};
    loop_interp_memory(in, o->a, sizeof o->a, false, true);
    loop_interp_memory(in, o->b, sizeof o->b, false, true);
    loop_interp_memory(in, o->c, sizeof o->c, true, true);
    bool ok = loop_interp_call(in, "f", slots, 3, &out);
    if (!ok) print_error("%s\n", diag_at(m->cx, 0)->text);
    assert_true(ok);
}

static void run_code(LoadedCode *code, Operands *o) {
    assert_non_null(code);
    assert_int_equal(((TileFn *)(uintptr_t)code_find(code, "f"))(o->a, o->b, o->c), 0);
}

static LoadedCode *by_llvm(LoopModule *m) {
    const uint8_t *object;
    size_t n;
    assert_true(emit_llvm(m, &(EmitLlvm){.opt_level = 2, .verify = true}, LLVM_OBJECT, &object, &n));
    return llvm_load(m->cx, object, n, NULL, 0);
}

static LoadedCode *by_tcc(LoopModule *m) {
    Text text = text_new(m->arena);
    assert_true(emit_c(m, &(EmitC){0}, &text));
    return tcc_load(m->cx, text.at, NULL, 0);
}

/* bf16 and f32 with exponents [least, least + span): products and sums around any magnitude, above all where they are
 * flushed. */
static uint32_t number(uint64_t *random, uint32_t least, uint32_t span) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    uint32_t bits = (uint32_t)(*random >> 33);
    return (bits & 0x807fffffu) | (least + (bits >> 23) % span) << 23;
}

static uint32_t pair(uint64_t *random, uint32_t least, uint32_t span) {
    return number(random, least, span) >> 16 | (number(random, least, span) & 0xffff0000u);
}

/* a: exponents of the operands, c: of the sums. */
static void fill(Operands *o, uint64_t *random, uint32_t a, uint32_t c, uint32_t span) {
    for (uint32_t i = 0; i < ROWS * PITCH; i++) {
        o->a[i] = pair(random, a, span), o->b[i] = pair(random, a, span), o->c[i] = number(random, c, span);
        if (i % 7 == 0) o->a[i] &= 0xffff8000u; /* zeros, of both signs */
    }
}

static bool is_nan(uint32_t bits) { return (bits & 0x7fffffffu) > 0x7f800000u; }

static void dots_agree(void **state) {
    static const struct { uint32_t a, c, span; } ranges[] = {
        {120, 120, 16}, {0, 0, 254}, {62, 0, 4}, {60, 0, 8}, {63, 1, 2}, {52, 0, 2}, {0, 0, 2}, {180, 200, 40}, {127, 151, 1}};
    Context *cx = *state;
    LoopModule *m = tile_module(cx);
    bool native = false, llvm = have_llvm() && amx_prepare(&native);
    assert_true(loop_verify(m));
    LoadedCode *machine = llvm ? by_llvm(m) : NULL, *portable = have_tcc() ? by_tcc(m) : NULL;
    uint64_t random = 20;
    for (uint32_t i = 0; i < COUNT(ranges); i++)
        for (uint32_t round = 0; round < 8; round++) {
            Operands given, first, other;
            fill(&given, &random, ranges[i].a, ranges[i].c, ranges[i].span);
            first = given;
            run_interpreter(m, &first);
            for (uint32_t engine = 0; engine < 2; engine++) {
                LoadedCode *code = engine ? portable : machine;
                if (!code) continue;
                other = given;
                run_code(code, &other);
                for (uint32_t e = 0; e < ROWS * PITCH; e++)
                    if (other.c[e] != first.c[e] && !(is_nan(other.c[e]) && is_nan(first.c[e])))
                        fail_msg("range %u, engine %u, element %u: %08x, the interpreter's is %08x", i, engine, e, other.c[e],
                                 first.c[e]);
            }
        }
    if (llvm && !native) assert_int_equal(amx_count[0x5c], 4 * 8 * COUNT(ranges));
}

/* Half a step of 24 bits below the least normal number is that number, anything less is 0: on paper. */
static void least_normal_number(void **state) {
    (void)state;
    static const struct { uint32_t x, y, sum, expected; } cases[] = {
        {0x3f80, 0x0080, 0, 0x00800000},              /* 1 * 2^-126 */
        {0x3f80, 0x8080, 0, 0x80800000},
        {0x3f00, 0x0080, 0, 0},                       /* half of it */
        {0x0040, 0x3f80, 0, 0},                       /* a subnormal operand is 0 */
        {0x3f80, 0x0081, 0x80800000, 0},              /* 2^-126 * (1 + 2^-7 - 1): the sum is subnormal */
        {0x0001, 0x7f7f, 0x40000000, 0x40000000},
        {0x0000, 0x0000, 0x00000001, 0},              /* so is this one */
        {0x8000, 0x3f80, 0x80000000, 0},              /* the chains start at +0 */
    };
    for (uint32_t i = 0; i < COUNT(cases); i++) {
        LoopTile a = {0}, b = {0}, c = {0};
        a.at[3][5] = cases[i].x, b.at[5][7] = cases[i].y, c.at[3][7] = cases[i].sum;
        loop_tile_dot_bf16(&c, &a, &b);
        assert_int_equal(c.at[3][7], cases[i].expected);
        a.at[3][5] <<= 16, b.at[5][7] <<= 16, c.at[3][7] = cases[i].sum;
        loop_tile_dot_bf16(&c, &a, &b);
        assert_int_equal(c.at[3][7], cases[i].expected);
    }
}

static void mistakes_are_found(void **state) {
    static const struct { const char *body, *error;
    } cases[] = {
        {"tile_zero [8]", "there is no tile 8"},
        {"tile_zero [1, 2]", "2 tiles, expected 1"},
        {"tile_dot_bf16 [1, 2, 1]", "not different"},
        {"tile_zero [1]", "there are no tiles"},
        {"tile_begin\ntile_begin", "there are tiles already"},
        {"tile_begin\ntile_end\ntile_end", "there are no tiles"},
        {"tile_begin\n%2 = const 0 : i64\n%3 = const 15 : i64\ntile_load %x, %2, %3 [0]\ntile_end", NULL},
        {"tile_begin\n%2 = const 1 : i64\n%3 = const 16 : i64\ntile_load %x, %2, %3 [0]", "reads 64 bytes at offset 964"},
        {"tile_begin\n%2 = const 0 : i64\n%3 = const 16 : i64\n%4 = alloc 256 : ptr f32\ntile_load %4, %2, %3 [0]",
         "uninitialised"},
        {"tile_begin\n%2 = const 0 : i64\n%3 = const 16 : i64\ntile_store %x, %2, %3 [0]", "read-only"},
    };
    Context *cx = *state;
    static float x[256];
    for (uint32_t i = 0; i < COUNT(cases); i++) {
        LoopModule *m = parse(
            cx, arena_print(cx->arena, "loop @m\nexport @f(%%x: ptr f32) -> i32 {\n%s\n%%9 = const 0 : i32\nreturn %%9\n}\n",
                            cases[i].body));
        if (m && loop_verify(m)) {
            LoopInterp *in = loop_interp_new(m, NULL, NULL);
            LSlot out;
            loop_interp_memory(in, x, sizeof x, false, true);
            bool ok = loop_interp_call(in, "f", (LSlot[]){{.p = x}}, 1, &out);
            assert_int_equal(ok, !cases[i].error);
        }
        if (cases[i].error) expect_error(cx, cases[i].error);
    }
    const char *other = "loop @m target \"x86-64-v4-bf16\"\nfunc @f() {\ntile_begin\ntile_end\nreturn\n}\n";
    assert_null(parse(cx, other));
    expect_error(cx, "x86-64-v4-bf16 has no tiles");
}

int main(void) {
    const struct CMUnitTest tests[] = {TEST(dots_agree), TEST(least_normal_number), TEST(mistakes_are_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
