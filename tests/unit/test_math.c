/* test_math.c: the math builders against libm in long double: sampled errors within the bounds of docs/math.md, special
 * values exact, and the same bits whatever the number of lanes.
 *
 * Each function is built into a loop over buffers and run by the Loop interpreter.  INGOT_MATH_REPORT=1 prints the errors.
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

enum { SAMPLES = 2048, LANES = 16 };

typedef long double Wide;
typedef LVal Unary(LoopBuilder *, LVal);
typedef LVal Binary(LoopBuilder *, LVal, LVal);

static Wide sigmoid_wide(Wide x) { return 1 / (1 + expl(-x)); }
static Wide softplus_wide(Wide x) { return isnan(x) ? x : (x > 0 ? x : 0) + log1pl(expl(-fabsl(x))); }

static Wide cube_wide(Wide x) { return x * x * x; }
static LVal m_cube(LoopBuilder *b, LVal x) { return m_pow(b, x, l_float(b, loop_type(b, x), 3)); }

/* bound[0]: f32, bound[1]: f64, in units in the last place of the exact result. */
static const struct {
    const char *name;
    Unary *build;
    Wide (*reference)(Wide);
    double bound[2];
} unary[] = {
    {"exp", m_exp, expl, {1.05, 1.0}},
    {"expm1", m_expm1, expm1l, {1.2, 1.2}},
    {"log", m_log, logl, {0.8, 0.9}},
    {"log1p", m_log1p, log1pl, {0.9, 1.0}},
    {"sin", m_sin, sinl, {0.9, 0.8}},
    {"cos", m_cos, cosl, {0.9, 0.8}},
    {"tan", m_tan, tanl, {0.51, 1.0}},
    {"asin", m_asin, asinl, {0.51, 0.7}},
    {"acos", m_acos, acosl, {0.51, 0.7}},
    {"atan", m_atan, atanl, {0.51, 2.1}},
    {"sinh", m_sinh, sinhl, {0.51, 2.0}},
    {"cosh", m_cosh, coshl, {0.51, 1.6}},
    {"tanh", m_tanh, tanhl, {2.6, 2.6}},
    {"asinh", m_asinh, asinhl, {0.51, 2.0}},
    {"acosh", m_acosh, acoshl, {0.51, 2.2}},
    {"atanh", m_atanh, atanhl, {0.51, 2.1}},
    {"erf", m_erf, erfl, {2.5, 1.2}},
    {"cube", m_cube, cube_wide, {1.5, 1.5}},
    {"sigmoid", m_sigmoid, sigmoid_wide, {2.45, 2.4}},
    {"softplus", m_softplus, softplus_wide, {1.8, 1.8}},
};
static const struct {
    const char *name;
    Binary *build;
    Wide (*reference)(Wide, Wide);
    double bound[2];
} binary[] = {
    {"pow", m_pow, powl, {0.51, 1.2}},
    {"atan2", m_atan2, atan2l, {0.51, 2.1}},
    {"fmod", m_fmod, fmodl, {0, 0}},
};

static int setup(void **state) { return (*state = context_new(NULL)) ? 0 : -1; }
static int teardown(void **state) {
    context_free(*state);
    return 0;
}

/* ---- samples ---- */

static uint64_t random_state;
static uint64_t random_bits(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static const double special[] = {
    0.0, -0.0, 1, -1, 0.5, -0.5, 2, -2, 3, -3, 3.5, 0x1p-149, -0x1p-149, 0x1p-126, 0x1p-1074, -0x1p-1074, 0x1p-1022,
    (double)INFINITY, -(double)INFINITY, (double)NAN, DBL_MAX, -DBL_MAX, FLT_MAX, -FLT_MAX, 0x1p24, 0x1p30, -0x1p31,
    0x1p53, 0x1p53 - 1, -0x1p53 + 1, 0x1p100, 1e300, 88.72284, 88.72283, -87.33655, -103.97208, -103.98, 709.5, 709.79,
    -745.13, -745.14, 710.5, 0x1.921fb54442d18p0, 0x1.921fb6p0, 0x1.6ac5b262ca1ffp849, 0.625, 0.921875, 22, 6, 1e-310};

/* Bits at random, then numbers of everyday sizes, then numbers near 1. */
static double sample(int i, bool f64) {
    if (i < (int)COUNT(special)) return special[i];
    double unit = (double)(int64_t)random_bits() * 0x1p-63;
    uint64_t bits = random_bits();
    switch (i % 4) {
    case 0:
        if (f64) {
            double d;
            memcpy(&d, &bits, sizeof d);
            return d;
        } else {
            uint32_t low = (uint32_t)bits;
            float f;
            memcpy(&f, &low, sizeof f);
            return (double)f;
        }
    case 1: return unit * 8;
    case 2: return ldexp(unit, (int)(bits % 24) - 12);
    default: return 1 + ldexp(unit, -(int)(bits % 30));
    }
}

/* ---- running ---- */

typedef struct Buffers { double f64[3][SAMPLES]; float f32[3][SAMPLES]; } Buffers;

static void run(Context *cx, Unary *one, Binary *two, bool f64, uint32_t lanes, Buffers *m) {
    DType t = f64 ? DT_f64 : DT_f32;
    LoopModule *module = loop_module_new(cx, "m", NULL);
    LParam params[3] = {
        {.name = "x", .type = lt_pointer(t)}, {.name = "y", .type = lt_pointer(t)}, {.name = "r", .type = lt_pointer(t)}};
    LoopBuilder *b = loop_begin(module, "f", LF_EXPORT, params, 3, (LType){0});
    LVal i, x, y;
    LFor loop = l_for(b, l_i64(b, 0), l_i64(b, SAMPLES), lanes, LOOP_SERIAL, NULL, 0, &i);
    x = l_load(b, loop_param(b, 0), i, lanes, (LVal){0});
    y = l_load(b, loop_param(b, 1), i, lanes, (LVal){0});
    l_store(b, loop_param(b, 2), i, one ? one(b, x) : two(b, x, y), (LVal){0});
    l_for_end(b, &loop, NULL, 0);
    l_return(b, (LVal){0});
    loop_end(b);
    assert_true(loop_verify(module));
    LoopInterp *interp = loop_interp_new(module, NULL, NULL);
    LSlot in[3];
    for (int k = 0; k < 3; k++) {
        in[k].p = f64 ? (void *)m->f64[k] : (void *)m->f32[k];
        loop_interp_memory(interp, in[k].p, SAMPLES * (f64 ? 8 : 4), true, true);
    }
    if (!loop_interp_call(interp, "f", in, 3, NULL)) fail_msg("%s", diag_at(cx, 0)->text);
}

/* ---- judging ---- */

static Wide ulp_of(Wide exact, bool f64) {
    int digits = f64 ? 53 : 24, least = f64 ? -1074 : -149, e;
    if (exact == 0) return ldexpl(1, least);
    frexpl(exact, &e);
    return ldexpl(1, e - digits > least ? e - digits : least);
}

static const Wide hopeless = 1e9L;

static Wide error_of(double got, Wide exact, bool f64) {
    double rounded = f64 ? (double)exact : (double)(float)exact;
    if (isnan(rounded) || isnan(got)) return isnan(rounded) && isnan(got) ? 0 : hopeless;
    if (got == rounded)
        return got == 0 && signbit(got) != signbit(rounded) ? hopeless
                                                            : fabsl(isinf(got) ? 0 : (Wide)got - exact) / ulp_of(exact, f64);
    if (isinf(got)) got = copysign(f64 ? ldexp(1, 1023) : ldexp(1, 128), got); /* next to it is an ulp away */
    if (isinf(rounded)) exact = copysignl(f64 ? DBL_MAX : 0x1p128L, exact);
    return fabsl((Wide)got - exact) / ulp_of(exact, f64);
}

static void judge(const char *name, bool f64, double bound, const Buffers *m, const Wide *exact) {
    Wide worst = 0;
    int at = 0;
    for (int i = 0; i < SAMPLES; i++) {
        Wide e = error_of(f64 ? m->f64[2][i] : (double)m->f32[2][i], exact[i], f64);
        if (e > worst) worst = e, at = i;
    }
    double x = f64 ? m->f64[0][at] : (double)m->f32[0][at], y = f64 ? m->f64[1][at] : (double)m->f32[1][at];
    double got = f64 ? m->f64[2][at] : (double)m->f32[2][at];
    if (getenv("INGOT_MATH_REPORT")) print_message("%-9s %s %.3Lf at %a, %a\n", name, f64 ? "f64" : "f32", worst, x, y);
    if (f64 && LDBL_MANT_DIG < 64) return; /* no better reference here */
    if (worst > (Wide)bound)
        fail_msg("%s, %s: %Lf ulp at %a, %a: got %a, exactly %La", name, f64 ? "f64" : "f32", worst, x, y, got, exact[at]);
}

static void same_with_one_lane(Context *cx, Unary *one, Binary *two, bool f64, Buffers *m) {
    static Buffers wide;
    wide = *m;
    run(cx, one, two, f64, 1, m);
    for (int i = 0; i < SAMPLES; i++) {
        if (f64 && !(isnan(m->f64[2][i]) && isnan(wide.f64[2][i]))) assert_memory_equal(&m->f64[2][i], &wide.f64[2][i], 8);
        if (!f64 && !(isnan(m->f32[2][i]) && isnan(wide.f32[2][i]))) assert_memory_equal(&m->f32[2][i], &wide.f32[2][i], 4);
    }
}

static void fill(Buffers *m, bool two) {
    memset(m, 0, sizeof *m);
    random_state = UINT64_C(88172645463325252);
    for (int i = 0; i < SAMPLES; i++) {
        int pairs = (int)(COUNT(special) * COUNT(special));
        int first = two && i < pairs / 2 ? i * 2 / (int)COUNT(special) : i,
            second = two && i < pairs / 2 ? i * 2 % (int)COUNT(special) : i / 4;
        m->f64[0][i] = sample(first, true);
        m->f32[0][i] = (float)sample(first, false);
        m->f64[1][i] = sample(second, true);
        m->f32[1][i] = (float)sample(second, false);
    }
}

static void unary_functions_keep_their_bounds(void **state) {
    static Buffers m;
    static Wide exact[SAMPLES];
    for (size_t k = 0; k < COUNT(unary); k++)
        for (int f64 = 0; f64 < 2; f64++) {
            fill(&m, false);
            run(*state, unary[k].build, NULL, f64, LANES, &m);
            for (int i = 0; i < SAMPLES; i++) exact[i] = unary[k].reference(f64 ? (Wide)m.f64[0][i] : (Wide)m.f32[0][i]);
            judge(unary[k].name, f64, unary[k].bound[f64], &m, exact);
            same_with_one_lane(*state, unary[k].build, NULL, f64, &m);
        }
}

static void binary_functions_keep_their_bounds(void **state) {
    static Buffers m;
    static Wide exact[SAMPLES];
    for (size_t k = 0; k < COUNT(binary); k++)
        for (int f64 = 0; f64 < 2; f64++) {
            fill(&m, true);
            run(*state, NULL, binary[k].build, f64, LANES, &m);
            for (int i = 0; i < SAMPLES; i++)
                exact[i] = binary[k].reference(f64 ? (Wide)m.f64[0][i] : (Wide)m.f32[0][i],
                                               f64 ? (Wide)m.f64[1][i] : (Wide)m.f32[1][i]);
            judge(binary[k].name, f64, binary[k].bound[f64], &m, exact);
            same_with_one_lane(*state, NULL, binary[k].build, f64, &m);
        }
}

/* At most 1 + |x|/4 ulp for x in [-87, 0], +0 below, NaN stays. */
static void decay_keeps_its_bound(void **state) {
    static Buffers m;
    fill(&m, false);
    for (int i = 0; i < SAMPLES; i++)
        m.f32[0][i] = isnan(m.f32[0][i]) ? m.f32[0][i] : -fabsf(i % 2 ? m.f32[0][i] : m.f32[0][i] * 30);
    run(*state, m_exp_decay, NULL, false, LANES, &m);
    for (int i = 0; i < SAMPLES; i++) {
        float x = m.f32[0][i], got = m.f32[2][i];
        if (isnan(x)) assert_true(isnan(got));
        else if (x < -87) assert_true(got == 0 && !signbit(got));
        else if (error_of((double)got, expl((Wide)x), false) > 1 + fabsl((Wide)x) / 4)
            fail_msg("e^%a: got %a", (double)x, (double)got);
    }
    same_with_one_lane(*state, m_exp_decay, NULL, false, &m);
}

/* For x that are not above 0, m_exp_below has the bits of m_exp. */
static void below_is_exp(void **state) {
    static Buffers m;
    static Wide exact[SAMPLES];
    for (int f64 = 0; f64 < 2; f64++) {
        fill(&m, false);
        for (int i = 0; i < SAMPLES; i++) m.f32[0][i] = -fabsf(m.f32[0][i]), m.f64[0][i] = -fabs(m.f64[0][i]);
        run(*state, m_exp, NULL, f64, LANES, &m);
        for (int i = 0; i < SAMPLES; i++) exact[i] = f64 ? (Wide)m.f64[2][i] : (Wide)m.f32[2][i];
        run(*state, m_exp_below, NULL, f64, LANES, &m);
        for (int i = 0; i < SAMPLES; i++) {
            Wide got = f64 ? (Wide)m.f64[2][i] : (Wide)m.f32[2][i];
            assert_true(got == exact[i] || (isnan(got) && isnan(exact[i])));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(below_is_exp, setup, teardown),
        cmocka_unit_test_setup_teardown(unary_functions_keep_their_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(binary_functions_keep_their_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(decay_keeps_its_bound, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
