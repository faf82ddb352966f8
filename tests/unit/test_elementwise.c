/* test_elementwise.c: every elementwise op on every dtype its rule accepts: Loop IR of lanes_<op>, run by the interpreter,
 * against ref_<op>, bit for bit (functions of docs/math.md: within their bounds); and every conversion of loop_convert.c
 * against base/float.c and scalar_convert.
 *
 * Operands are bytes at random, so that every code of a small dtype occurs, and numbers from a list of awkward ones.
 */
#include <float.h>
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

enum { SAMPLES = 1024 };

static int setup(void **state) { return (*state = context_new(NULL)) ? 0 : -1; }
static int teardown(void **state) {
    context_free(*state);
    return 0;
}

static uint64_t random_state = UINT64_C(88172645463325252);
static uint64_t random_bits(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* ---- operands: SAMPLES elements in memory form ---- */

static const double awkward[] = {
    0.0, -0.0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 1.5, 2.5, -2.5, 7, -8, 8, 15, 16, -9, 63, 64, 65, 127, 128, -128, -129, 255,
    256, 32767, 32768, 65504, 65519.99, 65520, 65536, 448, 464, 465, 240, 248, 57344, 61440, 6, 5, 0.25, 0.75, 2147483647,
    2147483648.0, -2147483648.0, 4294967295.0, 4294967296.0, 9223372036854774784.0, 9223372036854775808.0,
    -9223372036854775808.0, 18446744073709549568.0, 18446744073709551616.0, 1e30, -1e30, FLT_MAX, -FLT_MAX, DBL_MAX,
    (double)INFINITY, -(double)INFINITY, (double)NAN, 0x1p-149, -0x1p-149, 0x1p-126, 0x1p-24, 0x1p-25, 0x1.8p-25,
    0x1.0000001p-25, 0x1p-14, 0x1.ffcp-15, 0x1p-127, 0x1.8p-127, 0x1p-10, 1.0009765625, 1.00048828125, 1.0004882812500002,
    1.00390625, 1.01171875, 1.0117187500000002, 1.0625, 1.1875, 3.14159265358979};

static void fill(DType t, uint8_t *memory, int salt) {
    int64_t bytes = dtype_bytes(t);
    for (int i = 0; i < SAMPLES; i++) {
        uint64_t raw = random_bits();
        uint8_t *at = memory + i * bytes;
        Scalar x;
        if (i % 3 == 0) {
            memcpy(&x, &raw, sizeof x);
            x = scalar_load(t, &raw);
        } else {
            double d = awkward[(uint64_t)(i + salt * i / (int)COUNT(awkward)) % COUNT(awkward)];
            if (i % 3 == 2) d = d / 3 + (double)(int64_t)raw * 0x1p-62;
            x = scalar_convert(t, DT_f64, (Scalar){.f = d}, false);
        }
        scalar_store(t, at, x);
    }
}

/* ---- running ---- */

typedef struct Run {
    Context *cx;
    DType in[3], out;
    uint32_t n, lanes;
    uint8_t memory[4][SAMPLES * 8]; /* operands, then the result */
} Run;
typedef LVal Body(LoopBuilder *, void *user, const LVal *in); /* on compute forms; rounded */

static void run(Run *r, Body *body, void *user) {
    LoopModule *m = loop_module_new(r->cx, "m", NULL);
    LParam params[4];
    for (uint32_t i = 0; i <= r->n; i++)
        params[i] = (LParam){.name = "p", .type = lt_pointer(loop_memory_dtype(i < r->n ? r->in[i] : r->out))};
    LoopBuilder *b = loop_begin(m, "f", LF_EXPORT, params, r->n + 1, (LType){0});
    LVal at, in[3];
    LFor loop = l_for(b, l_i64(b, 0), l_i64(b, SAMPLES), r->lanes, LOOP_SERIAL, NULL, 0, &at);
    for (uint32_t i = 0; i < r->n; i++) in[i] = l_decode(b, l_load(b, loop_param(b, i), at, r->lanes, (LVal){0}), r->in[i]);
    LVal y = body(b, user, in);
    assert_true(loop_type(b, y).lanes == r->lanes);
    assert_int_equal(loop_type(b, y).dtype, loop_compute_dtype(r->out));
    l_store(b, loop_param(b, r->n), at, l_encode(b, y, r->out), (LVal){0});
    l_for_end(b, &loop, NULL, 0);
    l_return(b, (LVal){0});
    loop_end(b);
    assert_true(loop_verify(m));
    LoopInterp *interp = loop_interp_new(m, NULL, NULL);
    LSlot slots[4];
    for (uint32_t i = 0; i <= r->n; i++) {
        slots[i].p = r->memory[i];
        loop_interp_memory(interp, slots[i].p, sizeof r->memory[i], true, true);
    }
    if (!loop_interp_call(interp, "f", slots, r->n + 1, NULL)) fail_msg("%s", diag_at(r->cx, 0)->text);
}

static Scalar operand(const Run *r, uint32_t k, int i) {
    return scalar_load(r->in[k], r->memory[k] + i * dtype_bytes(r->in[k]));
}
static Scalar result(const Run *r, int i) { return scalar_load(r->out, r->memory[r->n] + i * dtype_bytes(r->out)); }

static const char *show(Context *cx, DType t, Scalar x) {
    if (dtype_is_float(t)) return arena_print(cx->arena, "%a", x.f);
    return arena_print(cx->arena, "%lld", (long long)x.i);
}

/* ---- ops ---- */

/* Ops whose Loop IR is a function of docs/math.md: within a few ulp of f32 or f64, a neighbour in smaller dtypes. */
static bool is_approximate(Op op) {
    switch ((int)op) {
    case OP_exp: case OP_expm1: case OP_log: case OP_log1p: case OP_sin: case OP_cos: case OP_tan: case OP_asin: case OP_acos:
    case OP_atan: case OP_sinh: case OP_cosh: case OP_tanh: case OP_asinh: case OP_acosh: case OP_atanh: case OP_erf:
    case OP_sigmoid: case OP_softplus: case OP_pow: case OP_atan2: return true;
    default: return false;
    }
}

static bool close_enough(DType t, double got, double want) {
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    if (got == want) return true;
    if (t == DT_f64) return fabs(got - want) <= fmax(fabs(want) * 0x1p-50, 0x1p-1073);
    if (t == DT_f32) return fabs(got - want) <= fmax(fabs(want) * 0x1p-22, 0x1p-148);
    uint32_t a = 0, b = 0; /* codes of one sign are in order of magnitude */
    scalar_store(t, &a, (Scalar){.f = got});
    scalar_store(t, &b, (Scalar){.f = want});
    return a - b + 1 <= 2;
}

typedef struct OpCase { const Graph *g; const Node *n; } OpCase;

static LVal op_body(LoopBuilder *b, void *user, const LVal *in) {
    const OpCase *c = user;
    return l_round(b, scalar_fn[c->n->op](b, c->g, c->n, in), val_dtype(c->g, vec_last(&c->g->results)));
}

static void check_op(Run *r, OpCase *c) {
    for (uint32_t k = 0; k < r->n; k++) fill(r->in[k], r->memory[k], (int)k);
    static const uint32_t lanes[] = {16, 1};
    for (int l = 0; l < 2; l++) {
        r->lanes = lanes[l];
        run(r, op_body, c);
        for (int i = 0; i < SAMPLES; i++) {
            Scalar in[3], got = result(r, i), want;
            for (uint32_t k = 0; k < r->n; k++) in[k] = operand(r, k, i);
            want = ref_fn[c->n->op](c->g, c->n, in);
            want = scalar_wrap(r->out, want);
            bool approximate = is_approximate(c->n->op) && dtype_is_float(r->out);
            if (approximate ? close_enough(r->out, got.f, want.f) : scalar_equal(r->out, got, want)) continue;
            fail_msg("%s.%s x%u(%s, %s, %s) -> %s: got %s, want %s", op_info[c->n->op].name, dtype_info[r->in[r->n - 1]].name,
                     r->lanes, show(r->cx, r->in[0], in[0]), r->n > 1 ? show(r->cx, r->in[1], in[1]) : "-",
                     r->n > 2 ? show(r->cx, r->in[2], in[2]) : "-", dtype_info[r->out].name, show(r->cx, r->out, got),
                     show(r->cx, r->out, want));
        }
    }
}

/* The op on operands of dtype t; false where its rule declines. */
static bool build_op(Run *r, Op op, DType t, const Attr *attrs, uint32_t n_attrs, OpCase *c) {
    Context *cx = r->cx;
    Graph *g = graph_new(cx, "g");
    Dim dims[1] = {dim_const(cx, SAMPLES)};
    Val in[3];
    r->n = (uint32_t)op_info[op].operands;
    for (uint32_t i = 0; i < r->n; i++) {
        r->in[i] = op == OP_select && i == 0 ? DT_bool : t;
        in[i] = b_param(g, (Loc){0}, "x", r->in[i], 1, dims);
    }
    Val v = emit(g, op, (Loc){0}, in, r->n, attrs, n_attrs);
    if (!v.id) {
        assert_true(diag_error_count(cx) > 0);
        diag_truncate(cx, 0);
        return false;
    }
    graph_result(g, v, "y");
    r->out = val_dtype(g, v);
    *c = (OpCase){g, node(g, v)};
    return true;
}

static Run shared;

static void ops_agree_with_their_references(void **state) {
    shared.cx = *state;
    int cases = 0;
    for (int op = 1; op < OP_COUNT; op++) {
        if (op_info[op].kind != KIND_EW || op == OP_convert || op == OP_bitcast) continue;
        for (int t = 1; t < DT_COUNT; t++) {
            OpCase c;
            if (!build_op(&shared, (Op)op, (DType)t, NULL, 0, &c)) continue;
            check_op(&shared, &c);
            cases++;
        }
    }
    assert_true(cases > 300);
}

static void conversions_agree_with_their_references(void **state) {
    shared.cx = *state;
    int cases = 0;
    for (int from = 1; from < DT_COUNT; from++)
        for (int to = 1; to < DT_COUNT; to++)
            for (int saturate = 0; saturate < 2; saturate++) {
                Attr attrs[2] = {{.key = ATTR_dtype, .as.dtype = (DType)to}, {.key = ATTR_saturate, .as.i = saturate}};
                OpCase c;
                if (!build_op(&shared, OP_convert, (DType)from, attrs, 2, &c)) continue;
                check_op(&shared, &c);
                cases++;
            }
    assert_true(cases > 900);
}

static void bitcasts_agree_with_their_references(void **state) {
    shared.cx = *state;
    int cases = 0;
    for (int from = 1; from < DT_COUNT; from++)
        for (int to = 1; to < DT_COUNT; to++) {
            Attr attrs[1] = {{.key = ATTR_dtype, .as.dtype = (DType)to}};
            OpCase c;
            if (!build_op(&shared, OP_bitcast, (DType)from, attrs, 1, &c)) continue;
            check_op(&shared, &c);
            cases++;
        }
    assert_true(cases > 30);
}

/* ---- every code of the small dtypes ---- */

static LVal same(LoopBuilder *b, void *user, const LVal *in) {
    (void)b, (void)user;
    return in[0];
}
static LVal as_f32(LoopBuilder *b, void *user, const LVal *in) {
    return l_convert_graph(b, in[0], *(const DType *)user, DT_f32, false);
}

static void every_code_survives_and_has_its_value(void **state) {
    shared.cx = *state;
    for (int t = 1; t < DT_COUNT; t++) {
        DType dtype = (DType)t;
        if (dtype_info[t].bits > 16 || dtype_is_bool(dtype)) continue;
        uint32_t codes = 1u << dtype_info[t].value_bits;
        for (uint32_t first = 0; first < codes; first += SAMPLES) {
            for (uint32_t i = 0; i < SAMPLES; i++) {
                uint32_t code = (first + i) % codes;
                if (dtype_is_signed(dtype) && dtype_info[t].value_bits < 8) /* in memory sign-extended */
                    scalar_store(dtype, shared.memory[0] + i, (Scalar){.u = code});
                else
                    memcpy(shared.memory[0] + i * (uint32_t)dtype_bytes(dtype), &code, (size_t)dtype_bytes(dtype));
            }
            shared.n = 1;
            shared.lanes = 16;
            shared.in[0] = shared.out = dtype;
            run(&shared, same, NULL);
            for (int i = 0; i < SAMPLES; i++)
                if (!dtype_is_float(dtype) || !isnan(operand(&shared, 0, i).f))
                    assert_memory_equal(shared.memory[1] + i * dtype_bytes(dtype), shared.memory[0] + i * dtype_bytes(dtype),
                                        (size_t)dtype_bytes(dtype));
                else
                    assert_true(isnan(result(&shared, i).f));
            shared.out = DT_f32;
            run(&shared, as_f32, &dtype);
            for (int i = 0; i < SAMPLES; i++) {
                Scalar want = scalar_convert(DT_f32, dtype, operand(&shared, 0, i), false);
                assert_true(scalar_equal(DT_f32, result(&shared, i), want));
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ops_agree_with_their_references, setup, teardown),
        cmocka_unit_test_setup_teardown(conversions_agree_with_their_references, setup, teardown),
        cmocka_unit_test_setup_teardown(bitcasts_agree_with_their_references, setup, teardown),
        cmocka_unit_test_setup_teardown(every_code_survives_and_has_its_value, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
