/* loop_math_log.c: ln x and what is made of it: log1p, pow, asinh, acosh, atanh.
 *
 * x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), ln x = e ln 2 + ln(1 + f).  ln 2 is held in two parts, the first
 * short enough for e times it to be exact; e ln 2 + f is an exact sum, so only terms of second order are rounded on the
 * way.  pow carries the logarithm in double-double (about 66 bits).
 * Source: fdlibm's e_log.c (the f64 polynomial in s = f / (2 + f)); Tang 1990; polynomials: tools/minimax.py.
 */
#include <math.h>

#include "loop_math.h"

LogParts math_log_parts(LoopBuilder *b, LVal x) {
    const MathFormat *f = math_of(b, x);
    LVal bits = bits_of(b, x);
    int64_t mask = (INT64_C(1) << f->mantissa) - 1;
    LVal t = l_add(b, bits, like_int(b, bits, ((int64_t)f->bias << f->mantissa) - f->root_half));
    LVal biased = l_shr_by(b, t, f->mantissa);
    LVal m = float_of(b, l_add(b, l_and(b, t, like_int(b, bits, mask)), like_int(b, bits, f->root_half)));
    /* An integer below 2^mantissa is a float once it has that exponent. */
    double unit = ldexp(1, f->mantissa);
    int64_t unit_bits = (int64_t)(f->bias + f->mantissa) << f->mantissa;
    LVal e = l_sub(b, float_of(b, l_or(b, biased, like_int(b, bits, unit_bits))), like(b, x, unit + f->bias));
    return (LogParts){e, l_sub(b, m, like(b, x, 1)), biased};
}

LogParts math_log_parts_any(LoopBuilder *b, LVal x) {
    const MathFormat *f = math_of(b, x);
    LVal tiny = l_lt(b, x, like(b, x, f->min_normal));
    LogParts p = math_log_parts(b, l_select(b, tiny, l_mul(b, x, like(b, x, f->subnormal_scale)), x));
    p.e = l_select(b, tiny, l_sub(b, p.e, like(b, x, f->subnormal_shift)), p.e);
    return p;
}

LVal math_log_tail(LoopBuilder *b, LVal f) {
    LVal square = l_mul(b, f, f);
    if (!math_row(b, f)) {
        LVal p = l_fma(b, f, math_poly(b, f, &poly_log[0]), like(b, f, -0.5));
        return l_mul(b, square, p);
    }
    LVal s = l_div(b, f, l_add(b, f, like(b, f, 2)));
    LVal half = l_mul(b, square, like(b, f, 0.5)), z = l_mul(b, s, s);
    LVal r = l_mul(b, z, math_poly(b, z, &poly_log[1]));
    return l_sub(b, l_mul(b, s, l_add(b, half, r)), half);
}

/* e ln 2 + f + tail. */
static LVal log_assemble(LoopBuilder *b, LogParts p, LVal tail) {
    const MathFormat *f = math_of(b, p.f);
    Pair sum = math_sum_ordered(b, l_mul(b, p.e, like(b, p.f, f->ln2_short[0])), p.f);
    tail = l_add(b, tail, l_fma(b, p.e, like(b, p.f, f->ln2_short[1]), sum.low));
    return l_add(b, sum.high, tail);
}

/* y but for the ends of the domain: at `pole` -infinity, below it NaN; infinity and NaN are their own logarithms. */
static LVal log_ends(LoopBuilder *b, LVal x, double pole, LVal y) {
    y = l_select(b, l_lt(b, x, like(b, x, (double)INFINITY)), y, x);
    y = l_select(b, l_eq(b, x, like(b, x, pole)), like(b, x, -(double)INFINITY), y);
    return l_select(b, l_lt(b, x, like(b, x, pole)), like(b, x, (double)NAN), y);
}

LVal m_log(LoopBuilder *b, LVal x) {
    LogParts p = math_log_parts_any(b, x);
    return log_ends(b, x, 0, log_assemble(b, p, math_log_tail(b, p.f)));
}

/* u = 1 + x rounds; its error c adds c / u.  Where e is 0, f is x itself and nothing was lost. */
LVal m_log1p(LoopBuilder *b, LVal x) {
    const MathFormat *f = math_of(b, x);
    LVal one = like(b, x, 1), zero = like(b, x, 0);
    Pair u = math_sum(b, one, x);
    LogParts p = math_log_parts(b, u.high);
    /* 2^-e brings c to the size of f; beyond 2^100 c no longer counts and 2^-e might not be normal. */
    LVal most = like_int(b, p.biased, f->bias + 100);
    LVal biased = l_select(b, l_lt(b, p.biased, most), p.biased, most);
    LVal scale = float_of(b, l_shl_by(b, l_sub(b, like_int(b, biased, 2 * f->bias), biased), f->mantissa));
    LVal near = l_eq(b, p.e, zero);
    LVal c = l_select(b, near, zero, l_mul(b, u.low, scale));
    p.f = l_select(b, near, x, p.f);
    LVal inverse = l_fma(b, p.f, l_sub(b, p.f, one), one); /* 1 / (1 + f) */
    LVal y = log_assemble(b, p, l_fma(b, c, inverse, math_log_tail(b, p.f)));
    return math_near_zero(b, x, f->epsilon, log_ends(b, x, -1, y));
}

/* ---- pow ---- */

/* ln x for x > 0 in double-double: 2 s (1 + z (1/3 + z T(z))), s = f / (2 + f), z = s^2; T alone is a plain double. */
static Pair log_pair(LoopBuilder *b, LVal x) {
    const MathFormat *format = &math_format[1];
    LogParts p = math_log_parts_any(b, x);
    LVal f = p.f, m = l_add(b, f, like(b, x, 1)), two = like(b, x, 2);
    LVal den = l_add(b, f, two), den_low = l_sub(b, m, l_sub(b, den, like(b, x, 1)));
    LVal s = l_div(b, f, den);
    LVal rest = l_fnma(b, s, den_low, l_fnma(b, s, den, f));
    LVal s_low = l_div(b, rest, den);
    Pair z = math_product(b, s, s);
    z.low = l_fma(b, l_add(b, s, s), s_low, z.low);
    Pair w = math_sum_ordered(b, like(b, x, 0x1.5555555555555p-2), l_mul(b, z.high, math_poly(b, z.high, &poly_log_pair[1])));
    w.low = l_add(b, w.low, like(b, x, 0x1.5555555555555p-56));
    Pair v = math_product(b, z.high, w.high);
    v.low = l_add(b, v.low, l_fma(b, z.high, w.low, l_mul(b, z.low, w.high)));
    Pair t = math_product(b, s, v.high);
    t.low = l_add(b, t.low, l_fma(b, s, v.low, l_mul(b, s_low, v.high)));
    Pair half = math_sum_ordered(b, s, t.high);
    half.low = l_add(b, half.low, l_add(b, s_low, t.low));
    LVal exact = l_mul(b, p.e, like(b, x, format->ln2_short[0]));
    Pair sum = math_sum_ordered(b, exact, l_mul(b, half.high, two));
    LVal low = l_fma(b, half.low, two, sum.low);
    low = l_fma(b, p.e, like(b, x, format->ln2_short[1]), low);
    return math_sum_ordered(b, sum.high, low);
}

/* a^y for a >= 0, f64, ends included but for 0 * infinity in the exponent. */
static LVal pow_magnitude(LoopBuilder *b, LVal a, LVal y) {
    LVal infinity = like(b, a, (double)INFINITY), zero = like(b, a, 0);
    Pair l = log_pair(b, a);
    LVal inside = l_lt(b, zero, a); /* false at 0 and for NaN, whose logarithm log_ends gives */
    inside = l_and(b, inside, l_lt(b, a, infinity));
    l.high = l_select(b, inside, l.high, log_ends(b, a, 0, l.high));
    Pair e = math_product(b, y, l.high);
    e.low = l_fma(b, y, l.low, e.low);
    LVal finite = l_lt(b, l_abs(b, e.high), like(b, a, 750));
    e.low = l_select(b, finite, e.low, zero);
    return math_exp_assemble(b, math_exp_parts(b, math_clamp(b, e.high, -746, 711), e.low));
}

/* The same where a and y are floats: a plain logarithm leaves 2^-45 of relative error. */
static LVal pow_magnitude_f32(LoopBuilder *b, LVal a, LVal y) { return m_exp(b, l_mul(b, y, m_log(b, a))); }

/* C's rules (F.10.4.4): 1 for y = 0 or x = 1 whatever the other is; a negative finite x needs an integer y. */
static LVal pow_f64(LoopBuilder *b, LVal x, LVal y, LVal magnitude) {
    LVal one = like(b, x, 1), zero = like(b, x, 0), infinity = like(b, x, (double)INFINITY);
    LVal a = l_abs(b, x), half = l_mul(b, y, like(b, x, 0.5));
    LVal integer = l_eq(b, l_un(b, LOP_trunc, y), y);
    LVal odd = l_and(b, integer, l_ne(b, l_un(b, LOP_trunc, half), half));
    LVal r = l_select(b, l_eq(b, a, one), one, magnitude);
    r = l_select(b, odd, math_with_sign(b, r, x), r);
    LVal negative = l_and(b, l_lt(b, x, zero), l_lt(b, a, infinity));
    r = l_select(b, l_and(b, negative, l_ne(b, l_un(b, LOP_trunc, y), y)), like(b, x, (double)NAN), r);
    r = l_select(b, l_ne(b, y, y), y, r);
    return l_select(b, l_or(b, l_eq(b, x, one), l_eq(b, y, zero)), one, r);
}

/* The one number that y is in every lane. */
static bool same_number(const LoopBuilder *b, LVal y, double *value) {
    const LInst *def = loop_def(b, y);
    if (def && def->op == LOP_splat) def = loop_def(b, def->in[0]);
    if (!def || def->op != LOP_const) return false;
    *value = def->imm.f;
    return true;
}

/* x^n by squaring, n > 0. */
static LVal power_of(LoopBuilder *b, LVal x, int n) {
    LVal y = {0};
    for (;; n /= 2, x = l_mul(b, x, x)) {
        if (n & 1) y = y.id ? l_mul(b, y, x) : x;
        if (n < 2) return y;
    }
}

/* Small whole exponents of f32: products in f64, each within 2^-53, rounded once; what f64 cannot hold is 0 or infinite in
 * f32 too.  Squares, and square roots but for -0 and -infinity, are correctly rounded as they are; a cube takes two
 * roundings. */
static LVal pow_known(LoopBuilder *b, LVal x, double y) {
    LVal one = like(b, x, 1);
    if (y == 0) return one;
    if (y == 1) return x;
    if (y == 2 || y == 3) return power_of(b, x, (int)y);
    if (y == 0.5) {
        LVal root = l_un(b, LOP_sqrt, l_add(b, x, like(b, x, 0)));
        return l_select(b, l_eq(b, x, like(b, x, -(double)INFINITY)), like(b, x, (double)INFINITY), root);
    }
    if (math_row(b, x) || y != rint(y) || fabs(y) > 64) return (LVal){0};
    LVal wide = power_of(b, l_convert(b, x, DT_f64), (int)fabs(y));
    if (y < 0) wide = l_div(b, like(b, wide, 1), wide);
    return l_convert(b, wide, DT_f32);
}

LVal m_pow(LoopBuilder *b, LVal x, LVal y) {
    double known;
    LVal easy = same_number(b, y, &known) ? pow_known(b, x, known) : (LVal){0};
    if (easy.id) return easy;
    if (math_row(b, x)) return pow_f64(b, x, y, pow_magnitude(b, l_abs(b, x), y));
    x = l_convert(b, x, DT_f64);
    y = l_convert(b, y, DT_f64);
    return l_convert(b, pow_f64(b, x, y, pow_magnitude_f32(b, l_abs(b, x), y)), DT_f32);
}

/* ---- inverse hyperbolic functions ---- */

/* ln of the argument's double beyond 2^60, where 1 + x^2 is x^2. */
static LVal log1p_or_double(LoopBuilder *b, LVal a, LVal otherwise) {
    LVal large = l_lt(b, like(b, a, 0x1p60), a);
    LVal l = m_log1p(b, l_select(b, large, a, otherwise));
    return l_add(b, l, l_select(b, large, like(b, a, 0x1.62e42fefa39efp-1), like(b, a, 0)));
}

LVal m_asinh(LoopBuilder *b, LVal x) {
    if (!math_row(b, x)) return math_through_f64(b, m_asinh, x);
    LVal a = l_abs(b, x), one = like(b, x, 1), square = l_mul(b, a, a);
    LVal root = l_un(b, LOP_sqrt, l_add(b, square, one));
    LVal t = l_add(b, a, l_div(b, square, l_add(b, one, root)));
    return math_near_zero(b, x, 0x1p-28, math_with_sign(b, log1p_or_double(b, a, t), x));
}

LVal m_acosh(LoopBuilder *b, LVal x) {
    if (!math_row(b, x)) return math_through_f64(b, m_acosh, x);
    LVal one = like(b, x, 1), t = l_sub(b, x, one);
    LVal root = l_un(b, LOP_sqrt, l_fma(b, t, t, l_add(b, t, t)));
    LVal y = log1p_or_double(b, x, l_add(b, t, root));
    return l_select(b, l_lt(b, x, one), like(b, x, (double)NAN), y);
}

LVal m_atanh(LoopBuilder *b, LVal x) {
    if (!math_row(b, x)) return math_through_f64(b, m_atanh, x);
    LVal a = l_abs(b, x), one = like(b, x, 1);
    LVal t = l_div(b, l_add(b, a, a), l_sub(b, one, a));
    LVal y = l_mul(b, like(b, x, 0.5), m_log1p(b, t));
    return math_near_zero(b, x, 0x1p-28, math_with_sign(b, y, x));
}
