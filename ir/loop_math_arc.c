/* loop_math_arc.c: asin, acos, atan, atan2; all in f64 (f32 goes through it).
 *
 * Each result is base + main + tail, where base is a multiple of pi/4 in two parts and main the larger part of what is
 * added to it: base + main is summed exactly, so that only the small tail is rounded before the end.
 * Source: fdlibm's e_asin.c, s_atan.c (the identities); polynomials: tools/minimax.py.
 */
#include <math.h>

#include "loop_math.h"

static const double half_pi[2] = {0x1.921fb54442d18p0, 0x1.1a62633145c07p-54};

/* base.high + main + (base.low + tail); base is 0 or the larger. */
static LVal around(LoopBuilder *b, Pair base, LVal main, LVal tail) {
    Pair sum = math_sum_ordered(b, base.high, main);
    return l_add(b, sum.high, l_add(b, sum.low, l_add(b, base.low, tail)));
}

/* asin a = a + tail for a < 1/2; above, pi/2 - 2 asin s with s = sqrt((1 - a) / 2), asin s = s + tail. */
typedef struct ArcSine { LVal large, root, tail; } ArcSine;
static ArcSine arc_sine(LoopBuilder *b, LVal a) {
    LVal half = like(b, a, 0.5);
    LVal large = l_le(b, half, a);
    LVal z = l_select(b, large, l_fma(b, a, like(b, a, -0.5), half), l_mul(b, a, a));
    LVal s = l_un(b, LOP_sqrt, z);
    /* What the root's rounding lost; the divisor is never 0. */
    LVal lost = l_div(b, l_fnma(b, s, s, z), l_fma(b, s, like(b, a, 2), like(b, a, 0x1p-1000)));
    LVal root = l_select(b, large, s, a), zero = like(b, a, 0);
    LVal cubic = l_mul(b, l_mul(b, root, z), math_poly(b, z, &poly_asin[1]));
    return (ArcSine){large, root, l_add(b, cubic, l_select(b, large, lost, zero))};
}

LVal m_asin(LoopBuilder *b, LVal x) {
    if (!math_row(b, x)) return math_through_f64(b, m_asin, x);
    ArcSine p = arc_sine(b, l_abs(b, x));
    LVal zero = like(b, x, 0), factor = l_select(b, p.large, like(b, x, -2), like(b, x, 1));
    Pair base = {l_select(b, p.large, like(b, x, half_pi[0]), zero), l_select(b, p.large, like(b, x, half_pi[1]), zero)};
    LVal y = around(b, base, l_mul(b, factor, p.root), l_mul(b, factor, p.tail));
    return math_near_zero(b, x, 0x1p-28, math_with_sign(b, y, x));
}

LVal m_acos(LoopBuilder *b, LVal x) {
    if (!math_row(b, x)) return math_through_f64(b, m_acos, x);
    ArcSine p = arc_sine(b, l_abs(b, x));
    LVal negative = l_lt(b, x, like(b, x, 0)), one = like(b, x, 1), two = like(b, x, 2);
    /* Near 0: pi/2 - asin x; else 2 asin s, or pi - 2 asin s. */
    LVal factor = l_select(b, p.large, l_select(b, negative, l_neg(b, two), two), l_select(b, negative, one, l_neg(b, one)));
    LVal turns = l_select(b, p.large, l_select(b, negative, two, like(b, x, 0)), one);
    Pair base = {l_mul(b, turns, like(b, x, half_pi[0])), l_mul(b, turns, like(b, x, half_pi[1]))};
    return around(b, base, l_mul(b, factor, p.root), l_mul(b, factor, p.tail));
}

/* atan(n/d) for n, d >= 0, turned by pi where `back`: the quotient is brought to |t| <= tan(pi/8) about 0, pi/4 or pi/2. */
static LVal arc_tangent(LoopBuilder *b, LVal n, LVal d, LVal back) {
    LVal zero = like(b, n, 0), one = like(b, n, 1), two = like(b, n, 2), half = like(b, n, 0.5);
    LVal steep = l_lt(b, l_mul(b, d, like(b, n, 0x1.3504f333f9de6p1)), n);
    LVal middle = l_lt(b, l_mul(b, d, like(b, n, 0x1.a827999fcef32p-2)), n);
    LVal num = l_select(b, steep, l_neg(b, d), l_select(b, middle, l_sub(b, n, d), n));
    LVal den = l_select(b, steep, n, l_select(b, middle, l_add(b, n, d), d));
    LVal t = l_div(b, num, den);
    LVal turns = l_select(b, steep, one, l_select(b, middle, half, zero));
    LVal z = l_mul(b, t, t);
    LVal tail = l_mul(b, l_mul(b, t, z), math_poly(b, z, &poly_atan[1]));
    if (back.id) {
        turns = l_select(b, back, l_sub(b, two, turns), turns);
        t = l_select(b, back, l_neg(b, t), t);
        tail = l_select(b, back, l_neg(b, tail), tail);
    }
    Pair base = {l_mul(b, turns, like(b, n, half_pi[0])), l_mul(b, turns, like(b, n, half_pi[1]))};
    return around(b, base, t, tail);
}

LVal m_atan(LoopBuilder *b, LVal x) {
    if (!math_row(b, x)) return math_through_f64(b, m_atan, x);
    LVal a = l_abs(b, x), most = like(b, x, 0x1p60);
    a = l_select(b, l_lt(b, most, a), most, a);
    LVal y = arc_tangent(b, a, like(b, x, 1), (LVal){0});
    return math_near_zero(b, x, 0x1p-28, math_with_sign(b, y, x));
}

static LVal atan2_f64(LoopBuilder *b, LVal y, LVal x) {
    LVal n = l_abs(b, y), d = l_abs(b, x), one = like(b, x, 1);
    LVal huge = like(b, x, 0x1p1000), infinity = like(b, x, (double)INFINITY), zero = like(b, x, 0);
    LVal scale = l_select(b, l_or(b, l_lt(b, huge, n), l_lt(b, huge, d)), like(b, x, 0x1p-60), one);
    /* Two infinities are at 45 degrees; of two zeros the first counts. */
    LVal infinite = l_and(b, l_eq(b, n, infinity), l_eq(b, d, infinity));
    LVal origin = l_and(b, l_eq(b, n, zero), l_eq(b, d, zero));
    n = l_select(b, infinite, one, l_mul(b, n, scale));
    d = l_select(b, l_or(b, infinite, origin), one, l_mul(b, d, scale));
    LVal bits = l_bitcast(b, x, DT_i64);
    LVal back = l_lt(b, bits, like_int(b, bits, 0)); /* the sign of -0 counts */
    return math_with_sign(b, arc_tangent(b, n, d, back), y);
}

LVal m_atan2(LoopBuilder *b, LVal y, LVal x) {
    if (math_row(b, x)) return atan2_f64(b, y, x);
    return l_convert(b, atan2_f64(b, l_convert(b, y, DT_f64), l_convert(b, x, DT_f64)), DT_f32);
}
