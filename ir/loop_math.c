/* loop_math.c: the arithmetic vocabulary of the loop_math_*.c: constants of the formats, polynomials, exact sums and
 * products, signs, ranges.
 *
 * Everything a math builder writes is a pure sequence of Loop-IR instructions, element by element, so that every backend
 * and the interpreter give the same bits.  Bounds: docs/math.md.
 * Source: Dekker 1971, Knuth TAOCP 2 section 4.2.2 (exact sums), the fma product.
 */
#include "loop_math.h"

const MathFormat math_format[2] = {
    {DT_f32, DT_u32, 23, 127, 0x1.8p23, 0x1p-126, 0x1p24, 24, 0x3F3504F3,
     {0x1.62e430p-1, -0x1.05c610p-29}, {0x1.62e300p-1, 0x1.2fefa4p-17},
     {0x1.921fb6p+0, -0x1.777a5cp-25, -0x1.ee59dap-50}, 0x1p-25},
    {DT_f64, DT_u64, 52, 1023, 0x1.8p52, 0x1p-1022, 0x1p54, 54, 0x3FE6A09E667F3BCD,
     {0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56}, {0x1.62e42fee00000p-1, 0x1.a39ef35793c76p-33},
     {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54, -0x1.f1976b7ed8fbcp-110}, 0x1p-54},
};

LVal math_poly(LoopBuilder *b, LVal x, const Poly *p) {
    LVal y = like(b, x, p->c[p->n - 1]);
    for (int i = p->n - 2; i >= 0; i--) y = l_fma(b, y, x, like(b, x, p->c[i]));
    return y;
}

LVal math_with_sign(LoopBuilder *b, LVal magnitude, LVal x) {
    LVal bits = bits_of(b, x);
    LVal sign = like_int(b, bits, loop_type(b, x).dtype == DT_f64 ? INT64_MIN : INT64_C(0x80000000));
    return float_of(b, l_or(b, bits_of(b, magnitude), l_and(b, bits, sign)));
}

LVal math_near_zero(LoopBuilder *b, LVal x, double bound, LVal y) {
    return l_select(b, l_lt(b, l_abs(b, x), like(b, x, bound)), x, y);
}

LVal math_clamp(LoopBuilder *b, LVal x, double low, double high) {
    LVal least = like(b, x, low), most = like(b, x, high);
    x = l_select(b, l_lt(b, x, least), least, x);
    return l_select(b, l_lt(b, most, x), most, x);
}

LVal math_any(LoopBuilder *b, LVal mask) {
    if (loop_type(b, mask).lanes == 1) return mask;
    return l_inst(b, LOP_reduce_or, lt_scalar(DT_bool), &mask, 1, 0);
}

Pair math_sum(LoopBuilder *b, LVal x, LVal y) {
    LVal high = l_add(b, x, y), of_y = l_sub(b, high, x), of_x = l_sub(b, high, of_y);
    return (Pair){high, l_add(b, l_sub(b, x, of_x), l_sub(b, y, of_y))};
}

Pair math_sum_ordered(LoopBuilder *b, LVal x, LVal y) {
    LVal high = l_add(b, x, y);
    return (Pair){high, l_sub(b, y, l_sub(b, high, x))};
}

Pair math_product(LoopBuilder *b, LVal x, LVal y) {
    LVal high = l_mul(b, x, y);
    return (Pair){high, l_fms(b, x, y, high)};
}

LVal math_through_f64(LoopBuilder *b, MathUnary *f, LVal x) {
    return l_convert(b, f(b, l_convert(b, x, DT_f64)), DT_f32);
}
