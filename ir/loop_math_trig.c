/* loop_math_trig.c: sin, cos, tan.
 *
 * x = n pi/2 + r + tail with |r| <= pi/4.  Up to a limit, n times pi/2 in three parts is subtracted with exact products and
 * sums (Cody and Waite); the first subtraction is exact by itself.  Beyond the limit, where some lane needs it, x is
 * multiplied by the bits of 2/pi that matter for it in fixed point (Payne and Hanek): the only branch in the math
 * functions, taken together by all lanes, and without effect on the bits of the others.  r is right to half an ulp for
 * every float.
 * Source: Payne and Hanek 1983; fdlibm's k_sin.c, k_cos.c (use of the tail); polynomials: tools/minimax.py.
 */
#include <math.h>

#include "loop_math.h"

/* quadrant: n in the low bits. */
typedef struct Reduced { LVal r, tail, quadrant; } Reduced;

static const double reduction_limit[2] = {0x1p17, 0x1p30};

static Reduced reduce_near(LoopBuilder *b, LVal x) {
    const MathFormat *f = math_of(b, x);
    LVal magic = like(b, x, f->round);
    LVal shifted = l_fma(b, x, like(b, x, 0x1.45f306dc9c883p-1), magic);
    LVal n = l_sub(b, shifted, magic);
    LVal exact = l_fma(b, n, like(b, x, -f->half_pi[0]), x);
    Pair second = math_product(b, n, like(b, x, -f->half_pi[1]));
    Pair r = math_sum(b, exact, second.high);
    LVal tail = l_fma(b, n, like(b, x, -f->half_pi[2]), l_add(b, r.low, second.low));
    return (Reduced){r.high, tail, bits_of(b, shifted)};
}

/* 2/pi after its point, behind 64 zeros. */
static const uint64_t two_over_pi[20] = {
    0,
    0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561,
    0xb7246e3a424dd2e0, 0x06492eea09d1921c, 0xfe1deb1cb129a73e, 0xe88235f52ebb4484,
    0xe99c7026b45f7e41, 0x3991d639835339f4, 0x9c845f8bbdf9283b, 0x1ff897ffde05980f,
    0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7, 0x4f463f669e5fea2d, 0x7527bac7ebe5f17b,
    0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab};

/* count words of 2/pi from bit `first` on: a shift by whole words, halved step by step, then by bits. */
static void window(LoopBuilder *b, LVal first, int words, int count, LVal *out) {
    LVal w[20], zero = like_int(b, first, 0), index = l_shr_by(b, first, 6);
    for (int i = 0; i < words; i++) w[i] = like_int(b, first, (int64_t)two_over_pi[i]);
    for (int step = 16; step; step /= 2) {
        if (step > words - count - 1) continue;
        LVal move = l_ne(b, l_and(b, index, like_int(b, first, step)), zero);
        int needed = count + step; /* later steps move by less than this one in all */
        for (int i = 0; i < needed && i + step < words; i++) w[i] = l_select(b, move, w[i + step], w[i]);
    }
    LVal left = l_and(b, first, like_int(b, first, 63)), right = l_sub(b, like_int(b, first, 63), left);
    for (int i = 0; i < count; i++) {
        LVal high = l_bin(b, LOP_shl, w[i], left);
        out[i] = l_or(b, high, l_bin(b, LOP_shr, l_shr_by(b, w[i + 1], 1), right));
    }
}

/* Mantissa and place of x: |x| = m 2^e; the window starts at bit e + 62, so that m times it has units of 2^-62 quadrants
 * in its first word, whole turns having overflowed. */
typedef struct Place { LVal m, first; } Place;
static Place place_of(LoopBuilder *b, LVal x) {
    const MathFormat *f = math_of(b, x);
    LVal bits = bits_of(b, l_abs(b, x));
    LVal m = l_and(b, bits, like_int(b, bits, (INT64_C(1) << f->mantissa) - 1));
    m = l_convert(b, l_or(b, m, like_int(b, bits, INT64_C(1) << f->mantissa)), DT_u64);
    LVal e = l_convert(b, l_shr_by(b, bits, f->mantissa), DT_u64);
    return (Place){m, l_sub(b, e, like_int(b, e, f->bias + f->mantissa - 62))};
}

/* The high word of m w, m below 2^53. */
static LVal multiply_high(LoopBuilder *b, LVal m, LVal w) {
    LVal mask = like_int(b, m, 0xFFFFFFFF);
    LVal mh = l_shr_by(b, m, 32), ml = l_and(b, m, mask), wh = l_shr_by(b, w, 32), wl = l_and(b, w, mask);
    LVal cross = l_mul(b, ml, wh);
    LVal middle = l_add(b, l_shr_by(b, l_mul(b, ml, wl), 32), l_and(b, cross, mask));
    middle = l_add(b, middle, l_mul(b, mh, wl));
    return l_add(b, l_add(b, l_mul(b, mh, wh), l_shr_by(b, cross, 32)), l_shr_by(b, middle, 32));
}

static Reduced reduce_far_f32(LoopBuilder *b, LVal x) {
    Place at = place_of(b, x);
    LVal w[2];
    window(b, at.first, 5, 2, w);
    LVal fixed = l_add(b, l_mul(b, at.m, w[0]), l_shr_by(b, l_mul(b, at.m, l_shr_by(b, w[1], 32)), 32));
    LVal n = l_shr_by(b, l_add(b, fixed, like_int(b, fixed, INT64_C(1) << 61)), 62);
    LVal fraction = l_convert(b, l_bitcast(b, l_shl_by(b, fixed, 2), DT_i64), DT_f64);
    LVal r = l_mul(b, fraction, like(b, fraction, 0x1.921fb54442d18p-64));
    LVal high = l_convert(b, r, DT_f32);
    LVal tail = l_convert(b, l_sub(b, r, l_convert(b, high, DT_f64)), DT_f32);
    return (Reduced){high, tail, l_convert(b, n, DT_u32)};
}

static Reduced reduce_far_f64(LoopBuilder *b, LVal x) {
    Place at = place_of(b, x);
    LVal w[3];
    window(b, at.first, 20, 3, w);
    LVal low1 = l_mul(b, at.m, w[1]);
    LVal low = l_add(b, low1, multiply_high(b, at.m, w[2]));
    LVal carry = l_convert(b, l_lt(b, low, low1), DT_u64);
    LVal high = l_add(b, l_add(b, l_mul(b, at.m, w[0]), multiply_high(b, at.m, w[1])), carry);
    LVal n = l_shr_by(b, l_add(b, high, like_int(b, high, INT64_C(1) << 61)), 62);
    high = l_or(b, l_shl_by(b, high, 2), l_shr_by(b, low, 62));
    low = l_shl_by(b, low, 2);
    /* A signed fraction of 128 bits: its magnitude, in two floats without overlap, then times pi/2. */
    LVal negative = l_lt(b, l_bitcast(b, high, DT_i64), l_bitcast(b, like_int(b, high, 0), DT_i64));
    LVal flip = l_select(b, negative, like_int(b, high, -1), like_int(b, high, 0));
    high = l_bin(b, LOP_xor, high, flip);
    low = l_bin(b, LOP_xor, low, flip);
    LVal kept = l_convert(b, l_and(b, high, like_int(b, high, -2048)), DT_f64);
    LVal rest = l_convert(b, l_or(b, l_shl_by(b, high, 53), l_shr_by(b, low, 11)), DT_f64);
    Pair t = math_sum_ordered(b, l_mul(b, kept, like(b, kept, 0x1p-64)), l_mul(b, rest, like(b, rest, 0x1p-117)));
    LVal half_pi = like(b, x, 0x1.921fb54442d18p0);
    Pair r = math_product(b, t.high, half_pi);
    r.low = l_add(b, r.low, l_fma(b, t.high, like(b, x, 0x1.1a62633145c07p-54), l_mul(b, t.low, half_pi)));
    return (Reduced){l_select(b, negative, l_neg(b, r.high), r.high), l_select(b, negative, l_neg(b, r.low), r.low), n};
}

static Reduced reduce(LoopBuilder *b, LVal x) {
    LVal a = l_abs(b, x), far = l_lt(b, like(b, x, reduction_limit[math_row(b, x)]), a);
    Reduced near = reduce_near(b, x);
    LVal same[3] = {near.r, near.tail, near.quadrant}, out[3];
    LIf branch = l_if(b, math_any(b, far));
    Reduced p = math_row(b, x) ? reduce_far_f64(b, a) : reduce_far_f32(b, a);
    LVal negative = l_lt(b, x, like(b, x, 0));
    LVal r = l_select(b, negative, l_neg(b, p.r), p.r), tail = l_select(b, negative, l_neg(b, p.tail), p.tail);
    LVal n = l_select(b, negative, l_neg(b, p.quadrant), p.quadrant);
    r = l_select(b, l_eq(b, a, like(b, x, (double)INFINITY)), like(b, x, (double)NAN), r);
    LVal taken[3] = {l_select(b, far, r, near.r), l_select(b, far, tail, near.tail), l_select(b, far, n, near.quadrant)};
    l_else(b, &branch, taken, 3);
    l_if_end(b, &branch, same, 3, out);
    return (Reduced){out[0], out[1], out[2]};
}

/* sin and cos of r + tail: the value is high + low. */
static Pair sine(LoopBuilder *b, Reduced p, LVal z) {
    LVal cubic = l_fma(b, l_mul(b, p.r, z), math_poly(b, z, &poly_sin[math_row(b, z)]), p.tail);
    if (math_row(b, z)) cubic = l_fma(b, l_mul(b, p.tail, z), like(b, z, -0.5), cubic);
    return (Pair){p.r, cubic};
}

static Pair cosine(LoopBuilder *b, Reduced p, LVal z) {
    LVal one = like(b, z, 1), poly = math_poly(b, z, &poly_cos[math_row(b, z)]);
    LVal w = l_fma(b, z, like(b, z, -0.5), one);
    LVal lost = l_fma(b, z, like(b, z, -0.5), l_sub(b, one, w));
    LVal quartic = l_fma(b, l_mul(b, z, z), poly, lost);
    return (Pair){w, l_fnma(b, p.r, p.tail, quartic)};
}

/* sin(x + turn pi/2). */
static LVal sine_or_cosine(LoopBuilder *b, LVal x, int turn) {
    const MathFormat *f = math_of(b, x);
    Reduced p = reduce(b, x);
    LVal z = l_mul(b, p.r, p.r), n = l_add(b, p.quadrant, like_int(b, p.quadrant, turn));
    LVal odd = l_ne(b, l_and(b, n, like_int(b, n, 1)), like_int(b, n, 0));
    Pair s = sine(b, p, z), c = cosine(b, p, z);
    LVal y = l_add(b, l_select(b, odd, c.high, s.high), l_select(b, odd, c.low, s.low));
    LVal sign = l_shl_by(b, l_shr_by(b, n, 1), f->mantissa == 52 ? 63 : 31);
    return float_of(b, l_bin(b, LOP_xor, bits_of(b, y), sign));
}

LVal m_sin(LoopBuilder *b, LVal x) {
    return math_near_zero(b, x, math_row(b, x) ? 0x1p-27 : 0x1p-13, sine_or_cosine(b, x, 0));
}

LVal m_cos(LoopBuilder *b, LVal x) { return sine_or_cosine(b, x, 1); }

/* sin/cos or -cos/sin, the quotient corrected by what rounding took from the three. */
LVal m_tan(LoopBuilder *b, LVal x) {
    if (!math_row(b, x)) return math_through_f64(b, m_tan, x);
    Reduced p = reduce(b, x);
    LVal z = l_mul(b, p.r, p.r);
    Pair s = sine(b, p, z), c = cosine(b, p, z);
    s = math_sum_ordered(b, s.high, s.low);
    c = math_sum_ordered(b, c.high, c.low);
    LVal odd = l_ne(b, l_and(b, p.quadrant, like_int(b, p.quadrant, 1)), like_int(b, p.quadrant, 0));
    Pair num = {l_select(b, odd, l_neg(b, c.high), s.high), l_select(b, odd, l_neg(b, c.low), s.low)};
    Pair den = {l_select(b, odd, s.high, c.high), l_select(b, odd, s.low, c.low)};
    LVal y = l_div(b, num.high, den.high);
    LVal lost = l_add(b, l_fnma(b, y, den.high, num.high), l_fnma(b, y, den.low, num.low));
    return math_near_zero(b, x, 0x1p-27, l_add(b, y, l_div(b, lost, den.high)));
}
