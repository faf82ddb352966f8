/* loop_math_fmod.c: fmod, exact: x - y trunc(x / y) by long division of the mantissas, eleven bits a step.
 *
 * |x| = mx 2^ex and |y| = my 2^ey with integers below 2^53; the remainder of mx 2^(ex - ey) by my is found by shifting and
 * taking remainders while exponents are left over in any lane.  The result is a multiple of 2^ey, hence representable.
 */
#include <math.h>

#include "loop_math.h"

typedef struct Whole { LVal m, e; } Whole;

/* a = m 2^(e - 1075); subnormals have e = 1 and no implicit one. */
static Whole whole_of(LoopBuilder *b, LVal a) {
    LVal bits = bits_of(b, a), zero = like_int(b, bits, 0), one = like_int(b, bits, 1);
    LVal e = l_shr_by(b, bits, 52), m = l_and(b, bits, like_int(b, bits, (INT64_C(1) << 52) - 1));
    LVal subnormal = l_eq(b, e, zero);
    m = l_or(b, m, l_select(b, subnormal, zero, like_int(b, bits, INT64_C(1) << 52)));
    return (Whole){m, l_select(b, subnormal, one, e)};
}

static LVal fmod_f64(LoopBuilder *b, LVal x, LVal y) {
    LVal ax = l_abs(b, x), ay = l_abs(b, y), infinity = like(b, x, (double)INFINITY), none = like(b, x, 0);
    Whole n = whole_of(b, ax), d = whole_of(b, ay);
    LVal zero = like_int(b, n.m, 0), most = like_int(b, n.m, 11);
    LVal divisor = l_select(b, l_eq(b, d.m, zero), like_int(b, d.m, 1), d.m);
    LVal left = l_select(b, l_lt(b, d.e, n.e), l_sub(b, n.e, d.e), zero);
    LVal state[2] = {n.m, left};
    LFor loop = l_while(b, state, 2);
    LVal step = l_select(b, l_lt(b, state[1], most), state[1], most);
    LVal rest[2] = {l_bin(b, LOP_rem, l_bin(b, LOP_shl, state[0], step), divisor), l_sub(b, state[1], step)};
    l_while_end(b, &loop, math_any(b, l_ne(b, rest[1], zero)), rest, 2);
    /* 2^(ey - 1075) in two halves, each normal. */
    LVal half = l_shr_by(b, d.e, 1), other = l_sub(b, d.e, half);
    LVal first = float_of(b, l_shl_by(b, l_add(b, half, like_int(b, half, 1023 - 537)), 52));
    LVal second = float_of(b, l_shl_by(b, l_add(b, other, like_int(b, half, 1023 - 538)), 52));
    LVal r = l_mul(b, l_mul(b, l_convert(b, rest[0], DT_f64), first), second);
    r = l_select(b, l_lt(b, ax, ay), ax, r);
    LVal bad = l_or(b, l_eq(b, ay, none), l_eq(b, ax, infinity));
    bad = l_or(b, bad, l_or(b, l_ne(b, x, x), l_ne(b, y, y)));
    r = l_select(b, bad, like(b, x, (double)NAN), r);
    return math_with_sign(b, r, x);
}

LVal m_fmod(LoopBuilder *b, LVal x, LVal y) {
    if (math_row(b, x)) return fmod_f64(b, x, y);
    return l_convert(b, fmod_f64(b, l_convert(b, x, DT_f64), l_convert(b, y, DT_f64)), DT_f32);
}
