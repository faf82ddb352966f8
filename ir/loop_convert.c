/* loop_convert.c: graph dtypes in Loop IR: memory form, compute form, rounding, and op convert.
 *
 * Small floats live as their bits in u16 or u8 and are computed with as f32 that hold only representable values; sub-byte
 * integers live in u8 and are computed with as i8 or u8 within their range.  Everything here is integer and exact float
 * arithmetic, any lanes, agreeing with base/float.c and ir/dtype.c to the bit (NaN payloads aside).
 * A magnitude's bits, shifted so that the exponent fields align, are that magnitude times a power of two: one exact
 * multiplication converts either way, subnormals included.
 * Wider sources are first rounded to odd, so that the second rounding is the only one (Boldo and Melquiond 2008).
 * Source: OCP OFP8 1.0; OCP MX 1.0; arXiv 2206.02915; ONNX Cast.
 */
#include <float.h>
#include <math.h>

#include "loop_math.h"

typedef enum Specials { NOT_SMALL, IEEE, ONE_NAN, ZERO_NAN, NO_SPECIAL, EXPONENT_ONLY } Specials; /* as in base/float.c */

typedef struct SmallFloat {
    Specials specials;
    int width, mantissa, bias; /* width: bits below the sign */
    double largest;
} SmallFloat;

static const SmallFloat small_float[DT_COUNT] = {
    [DT_f16] = {IEEE, 15, 10, 15, 65504},
    [DT_bf16] = {IEEE, 15, 7, 127, 0x1.FEp127},
    [DT_f8e4m3] = {ONE_NAN, 7, 3, 7, 448},
    [DT_f8e4m3z] = {ZERO_NAN, 7, 3, 8, 240},
    [DT_f8e5m2] = {IEEE, 7, 2, 15, 57344},
    [DT_f8e5m2z] = {ZERO_NAN, 7, 2, 16, 57344},
    [DT_f8e8m0] = {EXPONENT_ONLY, 8, 0, 127, 0x1p127},
    [DT_f4e2m1] = {NO_SPECIAL, 3, 1, 1, 6},
};

enum { F32_SIGN = INT32_MIN, F32_INFINITY = 0x7F800000, F32_NAN = 0x7FC00000 };

static bool is_small(DType t) { return small_float[t].specials != NOT_SMALL; }
static bool is_sub_byte(DType t) { return dtype_is_int(t) && dtype_info[t].value_bits < 8; }

DType loop_memory_dtype(DType t) {
    if (is_small(t)) return dtype_bytes(t) == 2 ? DT_u16 : DT_u8;
    return is_sub_byte(t) || t == DT_bool ? DT_u8 : t;
}

DType loop_compute_dtype(DType t) {
    if (is_small(t)) return DT_f32;
    if (is_sub_byte(t)) return dtype_is_signed(t) ? DT_i8 : DT_u8;
    return t;
}

static LVal bits_f32(LoopBuilder *b, LVal x) { return l_bitcast(b, x, DT_u32); }
static LVal f32_bits(LoopBuilder *b, LVal bits) { return l_bitcast(b, bits, DT_f32); }

/* ---- memory form -> compute form ---- */

static LVal decode_small(LoopBuilder *b, LVal memory, const SmallFloat *f) {
    LVal u = l_convert(b, memory, DT_u32), quiet = like_int(b, u, F32_NAN);
    if (f->width - f->mantissa == 8 && f->specials == IEEE) return f32_bits(b, l_shl_by(b, u, 16)); /* bfloat */
    if (f->specials == EXPONENT_ONLY) {
        LVal bits = l_select(b, l_eq(b, u, like_int(b, u, 0)), like_int(b, u, 0x400000), l_shl_by(b, u, 23));
        return f32_bits(b, l_select(b, l_eq(b, u, like_int(b, u, 0xFF)), quiet, bits));
    }
    int64_t ones = (INT64_C(1) << f->width) - 1, infinity = ones - ((INT64_C(1) << f->mantissa) - 1);
    LVal magnitude = l_and(b, u, like_int(b, u, ones));
    LVal sign = l_shl_by(b, l_and(b, u, like_int(b, u, ones + 1)), 31 - f->width);
    LVal scaled = f32_bits(b, l_shl_by(b, magnitude, 23 - f->mantissa));
    LVal bits = bits_f32(b, l_mul(b, scaled, like(b, scaled, ldexp(1, 127 - f->bias))));
    LVal none = like_int(b, u, 0);
    if (f->specials == IEEE) {
        LVal special = l_le(b, like_int(b, u, infinity), magnitude);
        bits = l_or(b, bits, l_select(b, special, like_int(b, u, F32_INFINITY), none));
    } else if (f->specials == ONE_NAN) {
        bits = l_select(b, l_eq(b, magnitude, like_int(b, u, ones)), quiet, bits);
    } else if (f->specials == ZERO_NAN) {
        bits = l_select(b, l_eq(b, u, like_int(b, u, ones + 1)), quiet, bits);
    }
    return f32_bits(b, l_or(b, bits, sign));
}

static LVal wrap_sub_byte(LoopBuilder *b, LVal x, DType t) {
    int unused = 8 - dtype_info[t].value_bits;
    if (!dtype_is_signed(t)) return l_and(b, x, like_int(b, x, 0xFF >> unused));
    return l_shr_by(b, l_shl_by(b, x, unused), unused);
}

LVal l_decode(LoopBuilder *b, LVal memory, DType t) {
    if (is_small(t)) return decode_small(b, memory, &small_float[t]);
    if (t == DT_bool) return l_convert(b, memory, DT_bool);
    if (is_sub_byte(t)) return wrap_sub_byte(b, l_bitcast(b, memory, loop_compute_dtype(t)), t);
    return memory;
}

/* ---- compute form -> memory form ---- */

static LVal encode_small(LoopBuilder *b, LVal x, const SmallFloat *f) {
    LVal bits = bits_f32(b, x), a = l_and(b, bits, like_int(b, bits, INT32_MAX));
    if (f->width - f->mantissa == 8) return l_shr_by(b, f->mantissa ? bits : a, 23 - f->mantissa);
    int64_t ones = (INT64_C(1) << f->width) - 1, infinity = ones - ((INT64_C(1) << f->mantissa) - 1);
    int drop = 23 - f->mantissa;
    LVal sign = l_shr_by(b, l_and(b, bits, like_int(b, bits, F32_SIGN)), 31 - f->width);
    LVal scaled = l_mul(b, f32_bits(b, a), like(b, x, ldexp(1, f->bias - 127)));
    LVal magnitude = l_shr_by(b, bits_f32(b, scaled), drop), none = like_int(b, bits, 0);
    LVal nan = l_ne(b, x, x);
    if (f->specials == IEEE) {
        LVal payload = l_shr_by(b, l_and(b, a, like_int(b, a, 0x7FFFFF)), drop);
        LVal special = l_le(b, like_int(b, a, F32_INFINITY), a);
        magnitude = l_select(b, special, l_or(b, payload, like_int(b, a, infinity)), magnitude);
    } else if (f->specials == ONE_NAN) {
        magnitude = l_select(b, nan, like_int(b, a, ones), magnitude);
    } else if (f->specials == ZERO_NAN) {
        magnitude = l_select(b, nan, none, magnitude);
        sign = l_select(b, nan, like_int(b, a, ones + 1), sign);
    }
    return l_or(b, magnitude, sign);
}

LVal l_encode(LoopBuilder *b, LVal x, DType t) {
    if (is_small(t)) return l_convert(b, encode_small(b, x, &small_float[t]), loop_memory_dtype(t));
    if (t == DT_bool) return l_convert(b, x, DT_u8);
    if (is_sub_byte(t)) return l_bitcast(b, x, DT_u8);
    return x;
}

/* ---- rounding ---- */

/* An exponent alone: ties up; negative and infinite numbers are NaN; too small is 2^-127, a subnormal. */
static LVal round_exponent(LoopBuilder *b, LVal x, bool saturate) {
    LVal bits = bits_f32(b, x), infinity = like_int(b, bits, F32_INFINITY), quiet = like_int(b, bits, F32_NAN);
    bits = l_select(b, l_eq(b, bits, like_int(b, bits, F32_SIGN)), like_int(b, bits, 0), bits);
    LVal up = l_and(b, l_add(b, bits, like_int(b, bits, 0x400000)), infinity);
    LVal beyond = saturate ? like_int(b, bits, 0x7F000000) : quiet;
    LVal r = l_select(b, l_eq(b, up, infinity), beyond, up);
    r = l_select(b, l_lt(b, bits, like_int(b, bits, 0x800000)), like_int(b, bits, 0x800000), r);
    r = l_select(b, l_lt(b, bits, like_int(b, bits, 0x600000)), like_int(b, bits, 0x400000), r);
    return f32_bits(b, l_select(b, l_le(b, infinity, bits), quiet, r));
}

static LVal round_small(LoopBuilder *b, LVal x, const SmallFloat *f, bool saturate) {
    if (f->specials == EXPONENT_ONLY) return round_exponent(b, x, saturate);
    if (f->bias == 127) return l_un(b, LOP_round_bf16, x);
    int drop = 23 - f->mantissa;
    LVal a = l_abs(b, x), bits = bits_f32(b, a);
    LVal odd = l_and(b, l_shr_by(b, bits, drop), like_int(b, bits, 1));
    LVal up = l_add(b, l_add(b, bits, odd), like_int(b, bits, (INT64_C(1) << (drop - 1)) - 1));
    LVal r = f32_bits(b, l_and(b, up, like_int(b, bits, -(INT64_C(1) << drop))));
    /* Subnormals: adding a number whose ulp is their unit rounds them. */
    LVal pusher = like(b, x, ldexp(1, 24 - f->bias - f->mantissa));
    LVal pushed = l_sub(b, l_add(b, a, pusher), pusher);
    r = l_select(b, l_lt(b, a, like(b, x, ldexp(1, 1 - f->bias))), pushed, r);
    double beyond = f->specials == IEEE ? (double)INFINITY : (double)NAN;
    if (saturate || f->specials == NO_SPECIAL) beyond = f->largest;
    r = l_select(b, l_lt(b, like(b, x, f->largest), r), like(b, x, beyond), r);
    LVal y = math_with_sign(b, r, x), zero = like(b, x, 0);
    if (f->specials == ZERO_NAN) y = l_select(b, l_eq(b, r, zero), zero, y); /* there is no -0 */
    return l_select(b, l_ne(b, x, x), like(b, x, f->specials == NO_SPECIAL ? -0.0 : (double)NAN), y);
}

LVal l_round(LoopBuilder *b, LVal x, DType t) {
    if (is_small(t)) return round_small(b, x, &small_float[t], false);
    return is_sub_byte(t) ? wrap_sub_byte(b, x, t) : x;
}

/* ---- op convert ---- */

/* f64 -> f32, towards zero, the last bit set where something was lost. */
static LVal narrow_to_odd(LoopBuilder *b, LVal x) {
    LVal r = l_convert(b, x, DT_f32), back = l_convert(b, r, DT_f64);
    LVal bits = bits_f32(b, r), one = like_int(b, bits, 1), none = like_int(b, bits, 0);
    bits = l_sub(b, bits, l_select(b, l_lt(b, l_abs(b, x), l_abs(b, back)), one, none));
    LVal lost = l_and(b, l_ne(b, back, x), l_eq(b, x, x));
    return f32_bits(b, l_or(b, bits, l_select(b, lost, one, none)));
}

/* 32 or 64 bits -> f64, to odd beyond 2^53. */
static LVal widen_to_odd(LoopBuilder *b, LVal x, DType from) {
    if (dtype_bytes(from) == 4) return l_convert(b, x, DT_f64);
    bool is_signed = dtype_is_signed(from);
    LVal u = is_signed ? l_bitcast(b, l_abs(b, x), DT_u64) : x, none = like_int(b, u, 0);
    LVal lost = l_ne(b, l_and(b, u, like_int(b, u, 2047)), none);
    LVal odd = l_or(b, l_and(b, u, like_int(b, u, -2048)), l_select(b, lost, like_int(b, u, 2048), none));
    LVal m = l_convert(b, l_select(b, l_lt(b, u, like_int(b, u, INT64_C(1) << 53)), u, odd), DT_f64);
    if (!is_signed) return m;
    return l_select(b, l_lt(b, x, like_int(b, x, 0)), l_neg(b, m), m);
}

static LVal convert_to_small(LoopBuilder *b, LVal x, DType from, DType to, bool saturate) {
    if (!dtype_is_float(from) && dtype_bytes(from) >= 4) x = narrow_to_odd(b, widen_to_odd(b, x, from));
    else if (from == DT_f64) x = narrow_to_odd(b, x);
    else x = l_convert(b, x, DT_f32);
    return round_small(b, x, &small_float[to], saturate && dtype_bytes(to) == 1);
}

LVal l_convert_graph(LoopBuilder *b, LVal x, DType from, DType to, bool saturate) {
    if (from == to) return x;
    if (is_small(to)) return convert_to_small(b, x, from, to, saturate);
    LVal y = l_convert(b, x, loop_compute_dtype(to));
    if (!is_sub_byte(to)) return y;
    if (!dtype_is_float(from)) return wrap_sub_byte(b, y, to);
    int bits = dtype_info[to].value_bits - dtype_is_signed(to);
    LVal most = like_int(b, y, (1 << bits) - 1), least = like_int(b, y, dtype_is_signed(to) ? -(1 << bits) : 0);
    return l_max(b, l_min(b, y, most), least);
}
