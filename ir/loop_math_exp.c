/* loop_math_exp.c: e^x and what is made of it: expm1, sigmoid, softplus, tanh, sinh, cosh, erf.
 *
 * One reduction serves all: e^x = 2^n (1 + q) with n = rint(x / ln 2) and q = e^r - 1 on |r| <= ln(2)/2.  Keeping 1 + q
 * unevaluated lets each function add its own terms before the one rounding that counts: 1 + e^x is (1 + 2^n) + 2^n q,
 * whose first sum is exact.  n is found by adding a constant that pushes the fraction out of the mantissa, biased so that
 * the integer also serves as exponent field: no float to integer conversion, which is slow where it must saturate.
 * Source: Cody and Waite 1980; polynomials: tools/minimax.py.
 */
#include "loop_math.h"

ExpParts math_exp_parts(LoopBuilder *b, LVal x, LVal tail) {
    const MathFormat *f = math_of(b, x);
    LVal magic = like(b, x, f->round + 2 * f->bias);
    LVal shifted = l_fma(b, x, like(b, x, 0x1.71547652b82fep0), magic);
    LVal n = l_sub(b, shifted, magic);
    LVal exact = l_fma(b, n, like(b, x, -f->ln2[0]), x);
    LVal r = l_fma(b, n, like(b, x, -f->ln2[1]), exact);
    LVal square = l_mul(b, r, r), poly = math_poly(b, r, &poly_exp[math_row(b, x)]);
    LVal q = l_fma(b, square, poly, r), lost = l_fma(b, n, like(b, x, -f->ln2[1]), l_sub(b, exact, r));
    LVal rest = l_fma(b, square, poly, lost);
    if (tail.id) { /* e^(r + tail) - 1 = q + tail (1 + q), the rounding of r in the tail */
        tail = l_add(b, tail, lost);
        q = l_add(b, q, l_fma(b, tail, q, tail));
    }
    return (ExpParts){bits_of(b, shifted), n, q, r, rest};
}

/* 2^n cut in two, since neither 2^128 nor 2^-150 is a float. */
static Pair half_powers(LoopBuilder *b, LVal shifted, LVal *first_exponent) {
    int mantissa = dtype_bytes((DType)loop_type(b, shifted).dtype) == 8 ? 52 : 23;
    LVal h = l_shr_by(b, shifted, 1);
    if (first_exponent) *first_exponent = h;
    return (Pair){float_of(b, l_shl_by(b, h, mantissa)), float_of(b, l_shl_by(b, l_sub(b, shifted, h), mantissa))};
}

/* 2^(n - less), which must be normal. */
static LVal power(LoopBuilder *b, ExpParts p, int less) {
    const MathFormat *f = math_of(b, p.q);
    return float_of(b, l_shl_by(b, l_sub(b, p.shifted, like_int(b, p.shifted, f->bias + less)), f->mantissa));
}

LVal math_exp_assemble(LoopBuilder *b, ExpParts p) {
    Pair two = half_powers(b, p.shifted, NULL);
    return l_mul(b, l_fma(b, two.low, p.q, two.low), two.high);
}

/* e^x = 2^n e^r for x where 2^(n + more) is normal: the least that serves.  fine: ln 2 to twice the precision, for n that are
 * many. */
typedef struct Reduced { LVal r, power; } Reduced;

static Reduced reduce(LoopBuilder *b, LVal x, bool fine, int more) {
    const MathFormat *f = math_of(b, x);
    LVal magic = like(b, x, f->round + f->bias + more), shifted = l_fma(b, x, like(b, x, 0x1.71547652b82fep0), magic);
    LVal n = l_sub(b, shifted, magic), r = l_fma(b, n, like(b, x, -f->ln2[0]), x);
    if (fine) r = l_fma(b, n, like(b, x, -f->ln2[1]), r);
    return (Reduced){r, float_of(b, l_shl_by(b, bits_of(b, shifted), f->mantissa))};
}

static LVal exp_minus_1(LoopBuilder *b, LVal r) {
    return l_fma(b, l_mul(b, r, r), math_poly(b, r, &poly_exp[math_row(b, r)]), r);
}

/* Beyond these e^x is 0 or infinite. */
static const struct { double low, high; } exp_range[2] = {{-104, 89}, {-746, 710}};

LVal m_exp(LoopBuilder *b, LVal x) {
    int row = math_row(b, x);
    x = math_clamp(b, x, exp_range[row].low, exp_range[row].high);
    return math_exp_assemble(b, math_exp_parts(b, x, (LVal){0}));
}

/* 2^(n + 64) (1 + q) 2^-64: no power of two is subnormal, and results that are are rounded as those of m_exp. */
LVal m_exp_below(LoopBuilder *b, LVal x) {
    LVal least = like(b, x, exp_range[math_row(b, x)].low);
    Reduced part = reduce(b, l_select(b, l_lt(b, x, least), least, x), true, 64);
    return l_mul(b, l_fma(b, part.power, exp_minus_1(b, part.r), part.power), like(b, x, 0x1p-64));
}

/* 2^n 2^r with n = rint(x log2 e): x is not above 0, so that 2^n is no larger than 1, and results that are not normal are 0.
 * log2 e is a single float: what it lacks counts with the size of x, as the rounding of x itself does. */
LVal m_exp_decay(LoopBuilder *b, LVal x) {
    if (math_row(b, x)) return m_exp(b, x);
    const MathFormat *f = math_of(b, x);
    LVal log2e = like(b, x, 0x1.715476p+0), magic = like(b, x, f->round + f->bias);
    LVal shifted = l_fma(b, x, log2e, magic), n = l_sub(b, shifted, magic);
    LVal p = math_poly(b, l_fms(b, x, log2e, n), &poly_exp2[0]);
    LVal y = l_mul(b, float_of(b, l_shl_by(b, bits_of(b, shifted), f->mantissa)), p);
    return l_select(b, l_lt(b, x, like(b, x, -87)), like(b, x, 0), y);
}

/* (2^n - 1) + 2^n q, all halved since 2^128 is no float; 2^n - 1 and r, the larger part of q, are summed exactly. */
LVal m_expm1(LoopBuilder *b, LVal x) {
    const MathFormat *f = math_of(b, x);
    ExpParts p = math_exp_parts(b, math_clamp(b, x, -f->mantissa, exp_range[math_row(b, x)].high), (LVal){0});
    LVal s = power(b, p, 1);
    Pair sum = math_sum_ordered(b, l_sub(b, s, like(b, x, 0.5)), l_mul(b, s, p.r));
    LVal y = l_add(b, sum.high, l_fma(b, s, p.rest, sum.low));
    y = l_select(b, l_eq(b, p.n, like(b, x, 0)), p.q, l_add(b, y, y));
    return math_near_zero(b, x, f->epsilon, y);
}

/* 1 / (1 + z), z = e^-|x|, or of x below 0 the same times z. */
LVal m_sigmoid(LoopBuilder *b, LVal x) {
    LVal z = m_exp_below(b, l_neg(b, l_abs(b, x))), one = like(b, x, 1);
    return l_div(b, l_select(b, l_lt(b, x, like(b, x, 0)), z, one), l_add(b, one, z));
}

/* max(x, 0) + ln(1 + z) for z up to 1, by one polynomial about the middle.  Where x is not below 0, z is added last: that costs
 * one rounding of a small sum where x is below 1, and is never inf - inf. */
static LVal softplus_f32(LoopBuilder *b, LVal x, LVal z) {
    LVal p = math_poly(b, l_sub(b, z, like(b, z, 0.5)), &poly_softplus[0]), below = l_lt(b, x, like(b, x, 0));
    LVal y = l_fma(b, l_mul(b, z, z), p, l_select(b, below, z, x));
    return l_select(b, below, y, l_add(b, y, z));
}

/* max(x, 0) + ln(1 + z), z = e^-|x|; in f64, beyond sqrt(2) - 1 as ln 2 + ln(1 + (z - 1) / 2). */
LVal m_softplus(LoopBuilder *b, LVal x) {
    LVal z = m_exp_below(b, l_neg(b, l_abs(b, x)));
    if (!math_row(b, x)) return softplus_f32(b, x, z);
    const double *ln2 = math_of(b, x)->ln2;
    LVal zero = like(b, x, 0), half = like(b, x, 0.5), positive = l_select(b, l_lt(b, zero, x), x, zero);
    LVal large = l_lt(b, like(b, x, 0x1.a8279ap-2), z);
    LVal f = l_select(b, large, l_fma(b, z, half, l_neg(b, half)), z);
    Pair sum = math_sum_ordered(b, l_select(b, large, like(b, x, ln2[0]), zero), f);
    LVal tail = l_add(b, math_log_tail(b, f), l_select(b, large, like(b, x, ln2[1]), zero));
    LVal l = l_add(b, sum.high, l_add(b, sum.low, tail));
    return l_add(b, positive, l);
}

/* (e^2a - 1) / (e^2a + 1); from 10 (f32) and 20 (f64) it is 1. */
LVal m_tanh(LoopBuilder *b, LVal x) {
    LVal a = l_abs(b, x), most = like(b, x, math_row(b, x) ? 20 : 10), c = l_select(b, l_lt(b, most, a), most, a);
    Reduced twice = reduce(b, l_add(b, c, c), false, 0);
    LVal e = l_fma(b, twice.power, exp_minus_1(b, twice.r), l_sub(b, twice.power, like(b, x, 1)));
    return math_with_sign(b, l_div(b, e, l_add(b, e, like(b, x, 2))), x);
}

/* e^a / 2 for a >= 22, where e^-a no longer counts. */
static LVal half_exp(LoopBuilder *b, LVal a) {
    ExpParts p = math_exp_parts(b, math_clamp(b, a, 0, 712), (LVal){0});
    p.shifted = l_sub(b, p.shifted, like_int(b, p.shifted, 1));
    return math_exp_assemble(b, p);
}

LVal m_sinh(LoopBuilder *b, LVal x) {
    if (!math_row(b, x)) return math_through_f64(b, m_sinh, x);
    LVal a = l_abs(b, x), limit = like(b, x, 22), z = l_mul(b, x, x);
    LVal e = l_mul(b, like(b, x, 0.5), m_exp(b, l_select(b, l_lt(b, limit, a), limit, a)));
    LVal middle = l_sub(b, e, l_div(b, like(b, x, 0.25), e));
    LVal small = l_fma(b, l_mul(b, a, z), math_poly(b, z, &poly_sinh[1]), a);
    LVal y = l_select(b, l_lt(b, a, like(b, x, 1)), small, l_select(b, l_lt(b, limit, a), half_exp(b, a), middle));
    return math_with_sign(b, y, x);
}

LVal m_cosh(LoopBuilder *b, LVal x) {
    if (!math_row(b, x)) return math_through_f64(b, m_cosh, x);
    LVal a = l_abs(b, x), limit = like(b, x, 22), half = like(b, x, 0.5);
    LVal e = l_mul(b, half, m_exp(b, l_select(b, l_lt(b, limit, a), limit, a)));
    LVal small = l_add(b, e, l_div(b, like(b, x, 0.25), e));
    return l_select(b, l_lt(b, limit, a), half_exp(b, a), small);
}

/* f32: one of sixteen polynomials in the distance from a multiple of 65/256, which is exact; the last one ends where erf is
 * 1. */
static LVal erf_f32(LoopBuilder *b, LVal x) {
    double step = 65.0 / 256;
    LVal a = l_abs(b, x), most = like(b, x, 3.9296875), t = l_select(b, l_lt(b, most, a), most, a);
    LVal magic = like(b, x, math_of(b, x)->round), shifted = l_fma(b, t, like(b, x, 1 / step), magic);
    LVal r = l_fma(b, l_sub(b, shifted, magic), like(b, x, -step), t), i = bits_of(b, shifted);
    LVal y = l_lookup(b, i, table_erf[5]);
    for (int k = 5; k--;) y = l_fma(b, y, r, l_lookup(b, i, table_erf[k]));
    return math_with_sign(b, y, x);
}

/* f64: near 0 a polynomial; further out 1 - e^(ln erfc a), the logarithm being a polynomial too. */
LVal m_erf(LoopBuilder *b, LVal x) {
    if (!math_row(b, x)) return erf_f32(b, x);
    LVal a = l_abs(b, x), most = like(b, x, 6), t = l_select(b, l_lt(b, most, a), most, a);
    LVal small = l_fma(b, math_poly(b, l_mul(b, x, x), &poly_erf[1]), a, a);
    ExpParts p = math_exp_parts(b, math_poly(b, l_sub(b, t, like(b, x, 2)), &poly_erfc[1]), (LVal){0});
    LVal s = power(b, p, 0), large = l_fnma(b, s, p.q, l_sub(b, like(b, x, 1), s));
    return math_with_sign(b, l_select(b, l_lt(b, a, like(b, x, 1)), small, large), x);
}
