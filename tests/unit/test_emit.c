/* test_emit.c: every instruction of Loop IR through every printer, compared to the interpreter bit by bit (any NaN equals any
 * NaN): libtcc in memory, gcc and clang (where installed) through a linked library, LLVM in memory and linked. */
#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "codegen.h"

enum { N = 480, BYTES = N * 8 + 64, MAX_CASES = 4096 };
typedef struct Case {
    const char *name;  /* void f(a, b, c, m, index, r: ptr u8, n: i64) */
    LOp op;
    DType in[3], out;
} Case;
typedef struct Suite {
    Context *cx;
    LoopModule *m;
    Case cases[MAX_CASES];
    uint32_t n;
} Suite;
typedef void CaseFn(void *a, void *b, void *c, void *m, void *index, void *r, int64_t n);

static const DType dtypes[] = {DT_bool, DT_i8, DT_u8, DT_i16, DT_u16, DT_i32, DT_u32, DT_i64, DT_u64, DT_f32, DT_f64};

static void fail_with_diagnostics(Context *cx, const char *what) {
    for (uint32_t i = 0; i < diag_count(cx) && i < 5; i++) print_error("%s\n", diag_at(cx, i)->text);
    fail_msg("%s", what);
}

/* ---- values ---- */

static uint64_t next_random(uint64_t *state) {
    *state += UINT64_C(0x9E3779B97F4A7C15);
    return hash_mix(*state, *state >> 29);
}
static double special_float(uint32_t i) {
    static const double at[] = {0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 127.5, -128.9, 255.9, 256.0, 32767.5, 65535.9,
                                2147483647.0, 2147483648.0, -2147483649.0, 4294967295.0, 4294967296.0, 9223372036854775807.0,
                                -9223372036854775808.0, 18446744073709551615.0, 1e30, -1e30, 3.0000001, 1e-40, -1e-45, 5e-324,
                                (double)INFINITY, (double)-INFINITY, (double)NAN};
    return at[i % COUNT(at)];
}
static uint64_t special_int(uint32_t i, uint32_t bits) {
    static const int64_t at[] = {0, 1, -1, 2, -2, 3, 7, 8, 15, -8, 100, -100, 77, 12345};
    uint64_t top = UINT64_C(1) << (bits - 1);
    uint32_t k = i % (COUNT(at) + 4);
    if (k < COUNT(at)) return (uint64_t)at[k];
    uint64_t edge[] = {top, top - 1, top + 1, top >> 1};
    return edge[k - COUNT(at)];
}

static void put_bits(uint8_t *at, DType t, uint32_t i, uint64_t bits) {
    memcpy(at + i * dtype_bytes(t), &bits, (size_t)dtype_bytes(t));
}

/* Element i of operand `operand`: pairs of specials first, then random. */
static void fill(uint8_t *at, DType t, LOp op, uint32_t operand, uint64_t seed) {
    uint64_t state = seed * 77 + operand;
    for (uint32_t i = 0; i < N; i++) {
        uint64_t random = next_random(&state), bits = random;
        uint32_t pick = operand == 0 ? i : operand == 1 ? i / 18 + i * 5 : i * 7 + 3;
        bool special = i < N * 3 / 4;
        if (dtype_is_bool(t)) bits = random & 1;
        else if (dtype_is_int(t) && special) bits = special_int(pick, dtype_info[t].bits);
        if (dtype_is_int(t)) {
            if (operand == 1 && (op == LOP_shl || op == LOP_shr)) bits = random % dtype_info[t].bits;
            bool zero = (bits << (64 - dtype_info[t].bits)) == 0;
            if (operand == 1 && (op == LOP_div || op == LOP_rem) && zero) bits = 3;
        }
        if (dtype_is_float(t)) {
            double value = special ? special_float(pick) : (double)(int64_t)random / ldexp(1, (int)(random % 64));
            float narrow = (float)value;
            uint32_t word;
            memcpy(&word, &narrow, sizeof word);
            if (t == DT_f32) bits = i % 5 == 4 && !special ? random & 0xffffffffu : word;
            else if (special || i % 5 != 4) memcpy(&bits, &value, sizeof bits);
        }
        put_bits(at, t, i, bits);
    }
}

static bool same_element(DType t, const uint8_t *a, const uint8_t *b) {
    if (memcmp(a, b, (size_t)dtype_bytes(t)) == 0) return true;
    if (t == DT_f32) {
        float x, y;
        memcpy(&x, a, sizeof x), memcpy(&y, b, sizeof y);
        return isnan(x) && isnan(y);
    }
    if (t == DT_f64) {
        double x, y;
        memcpy(&x, a, sizeof x), memcpy(&y, b, sizeof y);
        return isnan(x) && isnan(y);
    }
    return false;
}

/* ---- building cases ---- */

typedef struct Open {
    LoopBuilder *b;
    Case *c;
    LVal param[7], i;
    LFor loop;
} Open;

static Open open_case(Suite *s, LOp op, DType in0, DType in1, DType in2, DType out, uint32_t lanes) {
    static const char *const names[] = {"a", "b", "c", "m", "index", "r", "n"};
    Open o = {.c = &s->cases[s->n]};
    assert_true(s->n < MAX_CASES);
    LParam params[7];
    for (uint32_t i = 0; i < 7; i++)
        params[i] = (LParam){.name = names[i], .type = i < 6 ? lt_pointer(DT_u8) : lt_scalar(DT_i64)};
    char name[64];
    snprintf(name, sizeof name, "t%u_%s_%s_%s_x%u", s->n, lop_info[op].name, dtype_info[in0].name, dtype_info[out].name, lanes);
    s->n++;
    *o.c = (Case){intern(s->cx, name), op, {in0, in1, in2}, out};
    o.b = loop_begin(s->m, o.c->name, LF_EXPORT, params, 7, (LType){0});
    for (uint32_t i = 0; i < 7; i++) o.param[i] = loop_param(o.b, i);
    o.loop = l_for(o.b, l_i64(o.b, 0), o.param[6], lanes, LOOP_SERIAL, NULL, 0, &o.i);
    return o;
}
static LVal pointer(Open *o, uint32_t param, DType t) {
    LType type = lt_pointer(t);
    if (t == DT_u8) return o->param[param];
    return l_inst(o->b, LOP_recast, type, &o->param[param], 1, 0);
}
static LVal load(Open *o, uint32_t param, DType t, uint32_t lanes) {
    return l_load(o->b, pointer(o, param, t), o->i, lanes, (LVal){0});
}
static void close_case(Open *o, LVal result) {
    if (result.id) l_store(o->b, pointer(o, 5, o->c->out), o->i, result, (LVal){0});
    l_for_end(o->b, &o->loop, NULL, 0);
    l_return(o->b, (LVal){0});
    loop_end(o->b);
}

/* Whether the table permits op on these types. */
static bool legal(Suite *s, LOp op, const LType *in, uint32_t n, LType out) {
    LFunc f = {.name = "legal"};
    LVal ids[4] = {{2}, {3}, {4}, {5}}, result = {1};
    LInst inst = {.op = op, .n_in = n, .n_out = 1, .in = ids, .out = &result};
    Text problem = text_new(s->cx->arena);
    vec_push(s->cx->arena, &f.types, (LType){0});
    vec_push(s->cx->arena, &f.types, out);
    for (uint32_t i = 0; i < n; i++) vec_push(s->cx->arena, &f.types, in[i]);
    return loop_inst_check(&f, &inst, &problem);
}

static void add_elementwise(Suite *s, LOp op, DType from, DType to, uint32_t lanes) {
    uint32_t n = (uint32_t)lop_info[op].operands;
    bool packed = op == LOP_dot_bf16 || op == LOP_dot_u8;
    DType rest = packed ? DT_u32 : from, in[3] = {op == LOP_select ? DT_bool : from, rest, rest};
    LType types[3] = {{0}};
    for (uint32_t i = 0; i < n; i++) types[i] = lt_vector(in[i], lanes);
    if (!legal(s, op, types, n, lt_vector(to, lanes))) return;
    Open o = open_case(s, op, in[0], in[1], in[2], to, lanes);
    LVal v[3];
    for (uint32_t i = 0; i < n; i++) v[i] = load(&o, i, in[i], lanes);
    close_case(&o, l_inst(o.b, op, lt_vector(to, lanes), v, n, 0));
}

/* a * b + c of two roundings, which no compiler may make one. */
static void add_uncontracted(Suite *s, DType t, uint32_t lanes) {
    Open o = open_case(s, LOP_add, t, t, t, t, lanes);
    LVal product = l_mul(o.b, load(&o, 0, t, lanes), load(&o, 1, t, lanes));
    close_case(&o, l_sub(o.b, load(&o, 2, t, lanes), l_add(o.b, product, load(&o, 2, t, lanes))));
}

static void add_all_elementwise(Suite *s) {
    static const uint32_t widths[] = {1, 4, 16};
    for (size_t w = 0; w < COUNT(widths); w++) {
        add_uncontracted(s, DT_f32, widths[w]);
        add_uncontracted(s, DT_f64, widths[w]);
    }
    for (int op = 1; op < LOP_COUNT; op++) {
        LClass c = lop_info[op].class_;
        if (c != LC_UNARY && c != LC_BINARY && c != LC_TERNARY && c != LC_COMPARE && c != LC_CAST) continue;
        for (size_t t = 0; t < COUNT(dtypes); t++)
            for (size_t w = 0; w < COUNT(widths); w++) {
                if (c != LC_CAST) {
                    add_elementwise(s, (LOp)op, dtypes[t], c == LC_COMPARE ? DT_bool : dtypes[t], widths[w]);
                    continue;
                }
                for (size_t to = 0; to < COUNT(dtypes); to++) {
                    if (op == LOP_convert && widths[w] == 4 && t % 3 != to % 3) continue; /* fewer: compile time */
                    add_elementwise(s, (LOp)op, dtypes[t], dtypes[to], widths[w]);
                }
            }
    }
}

/* ---- vectors and memory ---- */

static void add_vector_ops(Suite *s, DType t, uint32_t lanes) {
    LType v = lt_vector(t, lanes);
    Open o = open_case(s, LOP_splat, t, t, t, t, lanes);
    close_case(&o, l_splat(o.b, load(&o, 0, t, 1), lanes));
    o = open_case(s, LOP_const, t, t, t, t, lanes);
    LVal all = dtype_is_float(t)  ? l_float(o.b, v, -1.1)
               : dtype_is_bool(t) ? l_splat(o.b, l_bool(o.b, true), lanes)
                                  : l_int(o.b, v, 77);
    close_case(&o, all);
    if (dtype_is_int(t)) {
        o = open_case(s, LOP_iota, t, t, t, t, lanes);
        close_case(&o, l_inst(o.b, LOP_iota, v, NULL, 0, 0));
    }
    for (uint32_t lane = 0; lane < lanes; lane += lanes > 4 ? 5 : 1) {
        o = open_case(s, LOP_extract, t, t, t, t, lanes);
        LVal x = load(&o, 0, t, lanes);
        LVal one = l_inst(o.b, LOP_extract, lt_scalar(t), &x, 1, lane);
        LVal two[2] = {load(&o, 1, t, lanes), one};
        close_case(&o, l_inst(o.b, LOP_insert, v, two, 2, lanes - 1 - lane));
    }
    for (LOp op = LOP_reduce_add; op <= LOP_reduce_or; op = (LOp)(op + 1)) {
        if (!legal(s, op, &v, 1, lt_scalar(t))) continue;
        o = open_case(s, op, t, t, t, t, lanes);
        LVal x = load(&o, 0, t, lanes);
        close_case(&o, l_splat(o.b, l_inst(o.b, op, lt_scalar(t), &x, 1, 0), lanes));
    }
    o = open_case(s, LOP_shuffle, t, t, t, t, lanes);
    int64_t mix[MAX_LANES], same[MAX_LANES];
    for (uint32_t i = 0; i < lanes; i++) mix[i] = i % 2 ? 2 * lanes - 1 - i : i, same[i] = i + lanes / 2;
    LVal x = load(&o, 0, t, lanes), y = load(&o, 1, t, lanes);
    x = l_shuffle(o.b, x, y, mix, lanes);
    LVal low = l_shuffle(o.b, x, y, same, lanes / 2 ? lanes / 2 : 1); /* narrower */
    for (uint32_t i = 0; i < lanes; i++) mix[i] = (i * 3 + 1) % (2 * (lanes / 2 ? lanes / 2 : 1));
    close_case(&o, l_shuffle(o.b, low, low, mix, lanes)); /* wider */
}

/* The operand's higher bits do not count. */
static void add_lookup(Suite *s, uint32_t lanes) {
    static const double table[TABLE] = {0, -0.0, 1, -1.5, 0x1p-149, 3, 4, 5, -6, 7, 1e30, 9, 10, 11, 12, -13};
    Open o = open_case(s, LOP_lookup, DT_u32, DT_u32, DT_u32, DT_f32, lanes);
    close_case(&o, l_lookup(o.b, load(&o, 0, DT_u32, lanes), table));
}

/* Lanes of the mask come from array m; indices are a permutation. */
static void add_memory_ops(Suite *s, DType t, uint32_t lanes) {
    Open o = open_case(s, LOP_load_masked, t, t, t, t, lanes);
    LVal mask = load(&o, 3, DT_bool, lanes);
    close_case(&o, l_load(o.b, pointer(&o, 0, t), o.i, lanes, mask));
    o = open_case(s, LOP_store_masked, t, t, t, t, lanes);
    mask = load(&o, 3, DT_bool, lanes);
    l_store(o.b, pointer(&o, 5, t), o.i, load(&o, 0, t, lanes), mask);
    close_case(&o, (LVal){0});
    o = open_case(s, LOP_gather, t, t, t, t, lanes);
    close_case(&o, l_gather(o.b, pointer(&o, 0, t), load(&o, 4, DT_i64, lanes), (LVal){0}));
    o = open_case(s, LOP_gather_masked, t, t, t, t, lanes);
    mask = load(&o, 3, DT_bool, lanes);
    close_case(&o, l_gather(o.b, pointer(&o, 0, t), load(&o, 4, DT_i64, lanes), mask));
    o = open_case(s, LOP_scatter_masked, t, t, t, t, lanes);
    LVal in[4] = {pointer(&o, 5, t), load(&o, 4, DT_i64, lanes), load(&o, 0, t, lanes), load(&o, 3, DT_bool, lanes)};
    in[1] = l_bin(o.b, LOP_shr, in[1], l_int(o.b, lt_vector(DT_i64, lanes), 1)); /* twice each: order matters */
    l_inst(o.b, LOP_scatter_masked, (LType){0}, in, 4, 0);
    close_case(&o, (LVal){0});
    o = open_case(s, LOP_lane_mask, t, t, t, t, lanes);
    LVal many = l_bin(o.b, LOP_sub, l_bin(o.b, LOP_rem, o.i, l_i64(o.b, 23)), l_i64(o.b, 2));
    mask = l_inst(o.b, LOP_lane_mask, lt_vector(DT_bool, lanes), &many, 1, 0);
    close_case(&o, l_select(o.b, mask, load(&o, 0, t, lanes), load(&o, 1, t, lanes)));
    /* Through stack memory, a slot of pointers and offset. */
    o = open_case(s, LOP_alloc, t, t, t, t, lanes);
    LVal stack = l_alloc(o.b, t, lanes * 3), slots = l_alloc(o.b, DT_u64, 2), p = l_offset(o.b, stack, l_i64(o.b, lanes));
    LVal put[3] = {slots, l_i64(o.b, 1), p};
    l_inst(o.b, LOP_store_pointer, (LType){0}, put, 3, 0);
    l_inst(o.b, LOP_prefetch, (LType){0}, (LVal[]){stack, l_i64(o.b, 0)}, 2, 0);
    l_store(o.b, stack, l_i64(o.b, lanes), load(&o, 0, t, lanes), (LVal){0});
    LVal back = l_inst(o.b, LOP_load_pointer, lt_pointer(t), put, 2, 0);
    close_case(&o, l_load(o.b, back, l_i64(o.b, 0), lanes, (LVal){0}));
    for (uint32_t odd = 0; odd < 2; odd++) { /* at a multiple of 64 bytes, and not */
        o = open_case(s, LOP_store_stream, t, t, t, t, lanes);
        stack = l_alloc(o.b, t, lanes + 1);
        l_inst(o.b, LOP_store_stream, (LType){0}, (LVal[]){stack, l_i64(o.b, odd), load(&o, 0, t, lanes)}, 3, 0);
        l_inst(o.b, LOP_fence, (LType){0}, NULL, 0, 0);
        close_case(&o, l_load(o.b, stack, l_i64(o.b, odd), lanes, (LVal){0}));
    }
}

static void add_all_vector(Suite *s) {
    static const uint32_t widths[] = {1, 2, 8, 16, 32};
    for (size_t t = 0; t < COUNT(dtypes); t++)
        for (size_t w = 0; w < COUNT(widths); w++) {
            if (widths[w] == 2 && t % 3) continue; /* fewer: compile time */
            if (widths[w] == 32 && t % 3 != 1) continue;
            add_vector_ops(s, dtypes[t], widths[w]);
            add_memory_ops(s, dtypes[t], widths[w]);
        }
    for (size_t w = 0; w < COUNT(widths); w++) add_lookup(s, widths[w]);
}

/* ---- control ---- */

/* r[i] by fibonacci (carried swap), nested loops, while, if with a return inside, calls through pointers. */
static void add_control(Suite *s) {
    LParam params[2] = {{.name = "x", .type = lt_scalar(DT_i8)}, {.name = "y", .type = lt_scalar(DT_f32)}};
    LoopBuilder *b = loop_begin(s->m, "local_function", LF_LOCAL, params, 2, lt_scalar(DT_i16));
    LVal x = l_convert(b, loop_param(b, 0), DT_i16);
    LIf branch = l_if(b, l_lt(b, x, l_int(b, lt_scalar(DT_i16), 0)));
    l_return(b, l_un(b, LOP_neg, x));
    l_else(b, &branch, NULL, 0);
    l_if_end(b, &branch, NULL, 0, NULL);
    l_return(b, l_add(b, x, l_convert(b, loop_param(b, 1), DT_i16)));
    loop_end(b);

    Open o = open_case(s, LOP_call, DT_i8, DT_f32, DT_i8, DT_i16, 1);
    LVal in[3] = {load(&o, 0, DT_i8, 1), load(&o, 1, DT_f32, 1), {0}};
    LVal direct = l_call(o.b, "local_function", lt_scalar(DT_i16), in, 2);
    LVal through[3] = {l_addr(o.b, "local_function", lt_pointer(DT_u8)), in[0], in[1]};
    LVal indirect = l_inst(o.b, LOP_call_pointer, lt_scalar(DT_i16), through, 3, 0);
    close_case(&o, l_bin(o.b, LOP_xor, l_mul(o.b, direct, l_int(o.b, lt_scalar(DT_i16), 3)), indirect));

    for (int kind = LOOP_SERIAL; kind <= LOOP_UNROLLED; kind++) {
        o = open_case(s, LOP_for, DT_i32, DT_i32, DT_i32, DT_i32, 1);
        LVal carried[2] = {load(&o, 0, DT_i32, 1), load(&o, 1, DT_i32, 1)}, index, inner_index;
        LFor loop = l_for(o.b, l_i64(o.b, 1), l_i64(o.b, 12), 3, (LoopKind)kind, carried, 2, &index);
        LVal swapped[2] = {carried[1], l_add(o.b, carried[0], carried[1])};
        LFor inner = l_for(o.b, l_i64(o.b, 0), index, 1, LOOP_SERIAL, swapped, 2, &inner_index);
        LVal again[2] = {swapped[1], l_bin(o.b, LOP_xor, swapped[0], l_convert(o.b, inner_index, DT_i32))};
        l_for_end(o.b, &inner, again, 2);
        l_for_end(o.b, &loop, again, 2);
        close_case(&o, l_sub(o.b, again[0], again[1]));
    }
    o = open_case(s, LOP_while, DT_u32, DT_u32, DT_u32, DT_u32, 1); /* Collatz steps, at most 60 */
    LVal state[2] = {load(&o, 0, DT_u32, 1), l_int(o.b, lt_scalar(DT_u32), 0)};
    LFor loop = l_while(o.b, state, 2);
    LVal one = l_int(o.b, lt_scalar(DT_u32), 1), odd = l_bin(o.b, LOP_eq, l_bin(o.b, LOP_and, state[0], one), one), next[1];
    branch = l_if(o.b, odd);
    LVal yield = l_add(o.b, l_mul(o.b, state[0], l_int(o.b, lt_scalar(DT_u32), 3)), one);
    l_else(o.b, &branch, &yield, 1);
    yield = l_bin(o.b, LOP_shr, state[0], one);
    l_if_end(o.b, &branch, &yield, 1, next);
    LVal steps = l_add(o.b, state[1], one);
    LVal goes_on = l_bin(o.b, LOP_and, l_bin(o.b, LOP_ne, next[0], one), l_lt(o.b, steps, l_int(o.b, lt_scalar(DT_u32), 60)));
    state[0] = next[0], state[1] = steps;
    l_while_end(o.b, &loop, goes_on, state, 2);
    close_case(&o, l_bin(o.b, LOP_xor, state[1], l_bin(o.b, LOP_shl, state[0], l_int(o.b, lt_scalar(DT_u32), 8))));
    o = open_case(s, LOP_return, DT_i32, DT_i32, DT_i32, DT_i32, 1); /* leaves from inside two loops */
    l_store(o.b, pointer(&o, 5, DT_i32), o.i, load(&o, 0, DT_i32, 1), (LVal){0});
    LFor deep = l_for(o.b, l_i64(o.b, 0), l_i64(o.b, 2), 1, LOOP_UNROLLED, NULL, 0, &in[0]);
    branch = l_if(o.b, l_bin(o.b, LOP_eq, o.i, l_i64(o.b, 100)));
    l_return(o.b, (LVal){0});
    l_else(o.b, &branch, NULL, 0);
    l_if_end(o.b, &branch, NULL, 0, NULL);
    l_for_end(o.b, &deep, NULL, 0);
    close_case(&o, (LVal){0});
}

static const uint8_t greeting[] = "what\?\?/ \"a\\b\" \n\0017\1778 end";
static const uint8_t weights[256] = {1, 2, 3, 250, 0, 9};

/* A kernel that is launched over rows and reads data objects, one of them a table of addresses. */
static void add_launch(Suite *s) {
    static uint8_t table_bytes[40] = {0x11, 0x22, 0, 0, 0, 0, 0, 0x33};
    static const LReloc relocs[] = {{8, "greeting", 2}, {16, "the_weights", 0}, {32, "scale_rows", 0}};
    vec_push(s->m->arena, &s->m->datas, (LData){"table", table_bytes, sizeof table_bytes, 16, 0, 3, relocs, 0, NULL});
    vec_push(s->m->arena, &s->m->datas, (LData){"greeting", greeting, sizeof greeting, 1, LD_EXPORT, 0, NULL, 0, NULL});
    vec_push(s->m->arena, &s->m->datas, (LData){"the_weights", weights, sizeof weights, 64, LD_WEIGHTS, 0, NULL, 0, NULL});
    vec_push(s->m->arena, &s->m->datas, (LData){"scratch", NULL, 1000, 64, LD_WRITABLE, 0, NULL, 0, NULL});
    LParam params[] = {{.name = "lo", .type = lt_scalar(DT_i64)},
                       {.name = "hi", .type = lt_scalar(DT_i64)},
                       {.name = "worker", .type = lt_scalar(DT_i64)},
                       {.name = "from", .type = lt_pointer(DT_f32), .flags = LP_NOALIAS | LP_READONLY},
                       {.name = "to", .type = lt_pointer(DT_f32), .flags = LP_NOALIAS, .align = 4},
                       {.name = "scale", .type = lt_scalar(DT_f32)},
                       {.name = "shift", .type = lt_scalar(DT_i8)},
                       {.name = "flag", .type = lt_scalar(DT_bool)},
                       {.name = "big", .type = lt_scalar(DT_f64)}};
    LoopBuilder *b = loop_begin(s->m, "scale_rows", LF_KERNEL, params, COUNT(params), lt_scalar(DT_i32));
    LVal i, table = l_addr(b, "table", lt_pointer(DT_u64));
    LVal at[2] = {table, l_i64(b, 1)}, text = l_inst(b, LOP_load_pointer, lt_pointer(DT_u8), at, 2, 0);
    at[1] = l_i64(b, 2);
    LVal numbers = l_inst(b, LOP_load_pointer, lt_pointer(DT_u8), at, 2, 0);
    LFor loop = l_for(b, loop_param(b, 0), loop_param(b, 1), 1, LOOP_SERIAL, NULL, 0, &i);
    LVal x = l_fma(b, l_load(b, loop_param(b, 3), i, 1, (LVal){0}), loop_param(b, 5), l_convert(b, loop_param(b, 6), DT_f32));
    LVal letter = l_load(b, text, l_bin(b, LOP_rem, i, l_i64(b, (int64_t)sizeof greeting - 2)), 1, (LVal){0});
    LVal weight = l_load(b, numbers, l_bin(b, LOP_and, i, l_i64(b, 7)), 1, (LVal){0});
    x = l_add(b, x, l_add(b, l_convert(b, letter, DT_f32), l_convert(b, weight, DT_f32)));
    x = l_select(b, loop_param(b, 7), x, l_convert(b, loop_param(b, 8), DT_f32));
    l_store(b, loop_param(b, 4), i, x, (LVal){0});
    l_for_end(b, &loop, NULL, 0);
    LVal bad = l_lt(b, l_i64(b, 1000), loop_param(b, 1));
    l_return(b, l_select(b, bad, l_int(b, lt_scalar(DT_i32), 7), l_int(b, lt_scalar(DT_i32), 0)));
    loop_end(b);

    Open o = open_case(s, LOP_launch, DT_f32, DT_f32, DT_f32, DT_f32, N);
    LVal first = l_load(o.b, pointer(&o, 1, DT_f32), l_i64(o.b, 2), 1, (LVal){0});
    LVal in[] = {o.param[3],
                 l_sub(o.b, o.param[6], l_i64(o.b, 1)),
                 l_i64(o.b, 16),
                 pointer(&o, 0, DT_f32),
                 pointer(&o, 5, DT_f32),
                 first,
                 l_int(o.b, lt_scalar(DT_i8), -3),
                 l_bool(o.b, true),
                 l_float(o.b, lt_scalar(DT_f64), 1e-3)};
    LVal status = l_launch(o.b, "scale_rows", in, COUNT(in));
    in[1] = l_i64(o.b, 0); /* an empty range */
    status = l_add(o.b, status, l_launch(o.b, "scale_rows", in, COUNT(in)));
    l_store(o.b, pointer(&o, 5, DT_f32), l_sub(o.b, o.param[6], l_i64(o.b, 1)), l_convert(o.b, status, DT_f32), (LVal){0});
    close_case(&o, (LVal){0});
}

/* ---- running ---- */

typedef struct Arrays { _Alignas(64) uint8_t at[6][BYTES]; } Arrays;

static void fill_arrays(const Case *c, Arrays *x, uint64_t seed) {
    for (uint32_t k = 0; k < 3; k++) fill(x->at[k], c->in[k], c->op, k, seed);
    fill(x->at[3], DT_bool, c->op, 3, seed);
    for (uint32_t i = 0; i < N; i++) put_bits(x->at[4], DT_i64, i, (i * 7 + 3) % N);
    memset(x->at[5], 0x2b, BYTES);
}

/* The interpreter's results of all cases, in order. */
static uint8_t *reference(Suite *s) {
    uint8_t *results = malloc((size_t)s->n * BYTES);
    LoopInterp *in = loop_interp_new(s->m, NULL, NULL);
    static Arrays x;
    for (uint32_t k = 0; k < 6; k++) loop_interp_memory(in, x.at[k], BYTES, k == 5, true);
    for (uint32_t i = 0; i < s->n; i++) {
        const Case *c = &s->cases[i];
        fill_arrays(c, &x, i);
        LSlot args[7], result;
        for (uint32_t k = 0; k < 6; k++) args[k].p = x.at[k];
        args[6].i = N;
        s->cx->fuel_used = 0;
        if (!loop_interp_call(in, c->name, args, 7, &result)) fail_with_diagnostics(s->cx, c->name);
        memcpy(results + (size_t)i * BYTES, x.at[5], BYTES);
    }
    return results;
}

typedef void *FindFn(void *library, const char *name);
static void compare(Suite *s, const uint8_t *expected, FindFn *find, void *library, const char *backend) {
    static Arrays x;
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const Case *c = &s->cases[i];
        union { void *p; CaseFn *f; } at = {find(library, c->name)};
        if (!at.p) fail_msg("%s lacks %s", backend, c->name);
        fill_arrays(c, &x, i);
        at.f(x.at[0], x.at[1], x.at[2], x.at[3], x.at[4], x.at[5], N);
        const uint8_t *want = expected + (size_t)i * BYTES;
        uint32_t bytes = (uint32_t)dtype_bytes(c->out);
        for (uint32_t k = 0; k + bytes <= BYTES; k += bytes) {
            if (same_element(c->out, want + k, x.at[5] + k)) continue;
            uint64_t a = 0, b = 0, l = 0, r = 0;
            uint32_t e = k / bytes, in0 = (uint32_t)dtype_bytes(c->in[0]), in1 = (uint32_t)dtype_bytes(c->in[1]);
            memcpy(&a, want + k, bytes), memcpy(&b, x.at[5] + k, bytes);
            memcpy(&l, x.at[0] + e * in0, in0), memcpy(&r, x.at[1] + e * in1, in1);
            if (wrong++ < 20)
                print_error("%s: %s: element %u: expected %llx, got %llx; operands %llx %llx\n", backend, c->name, e,
                            (unsigned long long)a, (unsigned long long)b, (unsigned long long)l, (unsigned long long)r);
            break;
        }
    }
    if (wrong) fail_msg("%s: %u of %u cases differ", backend, wrong, s->n);
}

static void *find_loaded(void *code, const char *name) { return code_find(code, name); }
static void *find_dynamic(void *library, const char *name) { return dlsym(library, name); }

/* The runtime's launch, in uneven pieces. */
typedef int32_t TaskFn(void *args, int64_t lo, int64_t hi, int64_t worker);
static int32_t rt_launch(void *context, TaskFn *task, void *args, int64_t n, int64_t pieces) {
    int32_t status = 0;
    (void)context;
    for (int64_t i = 0; i < pieces; i++) {
        int32_t found = task(args, i * i * n / (pieces * pieces), (i + 1) * (i + 1) * n / (pieces * pieces), i % 4);
        if (!status) status = found;
    }
    return status;
}
static CodeSymbol runtime_symbol(void) {
    union { int32_t (*f)(void *, TaskFn *, void *, int64_t, int64_t); void *p; } at = {.f = rt_launch};
    return (CodeSymbol){"ingot_rt_launch", at.p};
}
static const char runtime_text[] =
    "int ingot_rt_launch(void *c, int (*task)(void *, long, long, long), void *a, long n, long pieces) {"
    " int s = 0; for (long i = 0; i < pieces; i++) { int f = task(a, i * n / pieces, (i + 1) * n / pieces, 0); if (!s) s = f; }"
    " return s; }";

/* Links the objects with a runtime and the weights, and opens the library. */
static void check_library(Suite *s, const uint8_t *expected, Temporary *folder, const char *object, const char *backend) {
    const char *runtime = temporary_path(folder, "rt.o"), *data = temporary_path(folder, "w.o"),
               *so = temporary_path(folder, "lib.so");
    FilePiece data_piece = {.bytes = weights, .n = 256};
    FilePieces data_object = {0};
    bool ok = cc_object(s->cx, NULL, NULL, runtime_text, sizeof runtime_text - 1, runtime) &&
              elf_data(s->cx, "the_weights", &data_piece, false, &data_object) &&
              file_write_pieces(s->cx, data, &data_object, 0600);
    const char *objects[] = {object, runtime, data}, *exports[MAX_CASES];
    for (uint32_t i = 0; i < s->n; i++) exports[i] = s->cases[i].name;
    LinkShared link = {
        .path = so, .soname = "libtest.so", .objects = objects, .n_objects = 3, .exports = exports, .n_exports = s->n};
    if (!ok || !link_shared(s->cx, &link)) fail_with_diagnostics(s->cx, backend);
    void *library = dlopen(so, RTLD_NOW | RTLD_LOCAL);
    if (!library) fail_msg("%s", dlerror());
    assert_null(dlsym(library, "ingot_rt_launch"));
    compare(s, expected, find_dynamic, library, backend);
    dlclose(library);
}

static bool machine_runs(const char *target) {
    __builtin_cpu_init();
    if (strcmp(target, "x86-64-v4") == 0)
        return __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    return strcmp(target, "x86-64-v3") != 0 || (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
}

static void check_c(Suite *s, const uint8_t *expected, bool systems_compilers) {
    EmitC options = {.external_weights = true};
    Text text = text_new(s->cx->arena);
    if (!emit_c(s->m, &options, &text)) fail_with_diagnostics(s->cx, "emit_c");
    union { const void *from; void *p; } w = {weights};
    CodeSymbol symbols[] = {runtime_symbol(), {"the_weights", w.p}};
    if (have_tcc()) {
        LoadedCode *code = tcc_load(s->cx, text.at, symbols, 2);
        if (!code) {
            (void)!file_write(s->cx, "emit.c", text.at, text.n, 0644);
            fail_with_diagnostics(s->cx, "tcc");
        }
        compare(s, expected, find_loaded, code, "tcc");
        code_detach(code);
        code_free(code);
    }
    static const char *const compilers[] = {"gcc", "clang"};
    for (size_t i = 0; i < COUNT(compilers) && systems_compilers; i++) {
        if (!process_find(s->cx, &compilers[i], 1)) continue;
        Temporary *folder = temporary_new(s->cx);
        const char *object = temporary_path(folder, "m.o");
        const Target *target = target_find(machine_runs("x86-64-v3") ? "x86-64-v3" : "x86-64");
        if (!cc_object(s->cx, compilers[i], target, text.at, text.n, object)) fail_with_diagnostics(s->cx, compilers[i]);
        check_library(s, expected, folder, object, compilers[i]);
        temporary_remove(folder);
    }
}

static void check_llvm(Suite *s, const uint8_t *expected, const char *name, bool links) {
    if (!have_llvm() || !machine_runs(name)) return;
    s->m->tiers = tiers_of(target_find(name));
    EmitLlvm options = {.external_weights = true, .verify = true, .opt_level = 2};
    const uint8_t *object;
    size_t n;
    if (!emit_llvm(s->m, &options, LLVM_OBJECT, &object, &n)) fail_with_diagnostics(s->cx, "emit_llvm");
    union { const void *from; void *p; } w = {weights};
    CodeSymbol symbols[] = {runtime_symbol(), {"the_weights", w.p}};
    LoadedCode *code = llvm_load(s->cx, object, n, symbols, 2);
    if (!code) fail_with_diagnostics(s->cx, "llvm_load");
    compare(s, expected, find_loaded, code, name);
    if (!links) return;
    Temporary *folder = temporary_new(s->cx);
    const char *path = temporary_path(folder, "m.o");
    if (!file_write(s->cx, path, object, n, 0600)) fail_with_diagnostics(s->cx, path);
    check_library(s, expected, folder, path, "LLVM, linked");
    temporary_remove(folder);
}

static Suite *new_suite(const char *name) {
    Suite *s = calloc(1, sizeof *s);
    s->cx = context_new(NULL);
    s->m = loop_module_new(s->cx, name, &(Tiers){.n = 1, .at = {target_find("x86-64-v3")}});
    return s;
}
static void end_suite(Suite *s, uint8_t *expected) {
    free(expected);
    context_free(s->cx);
    free(s);
}

typedef struct TestPlan { const char *name; void (*add)(Suite *); bool threads; } TestPlan;
static void add_program(Suite *s) {
    add_control(s);
    add_launch(s);
}
static const TestPlan elementwise = {"elementwise", add_all_elementwise, false}, vectors = {"vectors", add_all_vector, false};
static const TestPlan control = {"control", add_program, false}, threads = {"threads", add_program, true};

static void run_plan(const TestPlan *plan, bool c) {
    Suite *s = new_suite(plan->name);
    if (!context_enter(s->cx)) fail_with_diagnostics(s->cx, "unwound");
    plan->add(s);
    if (plan->threads) vec_push(s->m->arena, &s->m->notes, (LNote){"threads", "1"});
    if (!loop_verify(s->m)) fail_with_diagnostics(s->cx, "loop_verify");
    uint8_t *expected = reference(s);
    if (c) {
        check_c(s, expected, true);
    } else {
        check_llvm(s, expected, "x86-64-v3", true);
        check_llvm(s, expected, "x86-64-v4", false);
        check_llvm(s, expected, "x86-64", false);
    }
    context_leave(s->cx);
    end_suite(s, expected);
}

static void test_elementwise_c(void **state) { (void)state; run_plan(&elementwise, true); }
static void test_elementwise_llvm(void **state) { (void)state; run_plan(&elementwise, false); }
static void test_vectors_c(void **state) { (void)state; run_plan(&vectors, true); }
static void test_vectors_llvm(void **state) { (void)state; run_plan(&vectors, false); }
static void test_control_c(void **state) { (void)state; run_plan(&control, true); }
static void test_control_llvm(void **state) { (void)state; run_plan(&control, false); }
static void test_threads_c(void **state) { (void)state; run_plan(&threads, true); }
static void test_threads_llvm(void **state) { (void)state; run_plan(&threads, false); }

static bool write_archive(Context *cx, const char *path, const ArchiveMember *members, uint32_t n) {
    FilePieces pieces = {0};
    return archive_pieces(cx, path, members, n, &pieces) && file_write_pieces(cx, path, &pieces, 0600);
}

/* The same module gives the same bytes, in C, in objects, in linked libraries and archives. */
static void test_reproducible(void **state) {
    (void)state;
    const uint8_t *bytes[2];
    size_t n[2] = {0, 0};
    Suite *suites[2];
    Text texts[2];
    for (int i = 0; i < 2; i++) {
        suites[i] = new_suite("same");
        add_program(suites[i]);
        texts[i] = text_new(suites[i]->cx->arena);
        assert_true(emit_c(suites[i]->m, NULL, &texts[i]));
        if (have_llvm()) assert_true(emit_llvm(suites[i]->m, NULL, LLVM_OBJECT, &bytes[i], &n[i]));
    }
    assert_string_equal(texts[0].at, texts[1].at);
    assert_int_equal(n[0], n[1]);
    if (n[0]) assert_memory_equal(bytes[0], bytes[1], n[0]);
    Context *cx = suites[0]->cx;
    Temporary *folder = temporary_new(cx);
    const char *object = temporary_path(folder, "m.o"), *archive = temporary_path(folder, "libm.a"),
               *so = temporary_path(folder, "m.so");
    assert_true(cc_object(cx, NULL, NULL, texts[0].at, texts[0].n, object));
    size_t object_bytes, built[2];
    const uint8_t *at = file_map(cx, object, &object_bytes), *libraries[2];
    const ArchiveMember members[] = {{.name = "m.o", .bytes = at, .n = object_bytes},
                                     {.name = "a_rather_long_member_name.o", .bytes = at, .n = object_bytes}};
    assert_true(write_archive(cx, archive, members, 1));
    /* The linker finds the member through the index: an undefined symbol asks for it. */
    const char *user = temporary_path(folder, "u.o"), *name = suites[0]->cases[0].name;
    char call[200];
    snprintf(call, sizeof call, "void %s(void); __attribute__((visibility(\"default\"))) void *entry(void) { return %s; }",
             name, name);
    assert_true(cc_object(cx, NULL, NULL, call, strlen(call), user));
    for (int i = 0; i < 2; i++) {
        const char *objects[] = {user, archive}, *exports[] = {"entry"};
        LinkShared link = {
            .path = so, .soname = "m.so", .objects = objects, .n_objects = 2, .exports = exports, .n_exports = 1};
        if (!link_shared(cx, &link)) fail_with_diagnostics(cx, "archive");
        libraries[i] = file_map(cx, so, &built[i]);
    }
    assert_int_equal(built[0], built[1]);
    assert_memory_equal(libraries[0], libraries[1], built[0]);
    assert_true(write_archive(cx, archive, members, 2));
    temporary_remove(folder);
    for (int i = 0; i < 2; i++) end_suite(suites[i], NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control_c),     cmocka_unit_test(test_control_llvm),     cmocka_unit_test(test_threads_c),
        cmocka_unit_test(test_threads_llvm),  cmocka_unit_test(test_reproducible),     cmocka_unit_test(test_vectors_c),
        cmocka_unit_test(test_vectors_llvm),  cmocka_unit_test(test_elementwise_c),    cmocka_unit_test(test_elementwise_llvm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
