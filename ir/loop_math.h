/* loop_math.h: what loop_math_*.c and loop_convert.c share: formats, polynomials and the small arithmetic vocabulary in
 * which the functions are written.  Private to these files; the public builders stand in loop.h.
 *
 * Conventions: every constant takes its type from a value (`like`), so a sequence serves any number of lanes; comparisons
 * are written so that a NaN falls through to the value itself; fma appears wherever one rounding is meant.
 */
#pragma once
#include "loop.h"

/* Coefficients, lowest first. */
typedef struct Poly { int n; double c[24]; } Poly;
extern const Poly poly_exp[2], poly_exp2[2], poly_log[2], poly_softplus[2], poly_log_pair[2], poly_sinh[2];
extern const Poly poly_erf[2], poly_erfc[2];
extern const double table_erf[6][TABLE];
extern const Poly poly_sin[2], poly_cos[2], poly_asin[2], poly_atan[2];

/* What differs between f32 (row 0) and f64 (row 1). */
typedef struct MathFormat {
    DType dtype, bits;       /* bits: the unsigned integer of the same width */
    int mantissa, bias;
    double round;            /* 1.5 * 2^mantissa: added, it leaves an integer in the low bits */
    double min_normal;
    double subnormal_scale;  /* a power of two that makes subnormals normal */
    int subnormal_shift;     /* its exponent */
    int64_t root_half;       /* bits of sqrt(1/2) */
    double ln2[2];           /* to full precision */
    double ln2_short[2];     /* the first has room for a factor of the exponent's width */
    double half_pi[3];
    double epsilon;          /* below it f(x) = x + O(x^2) is x */
} MathFormat;
extern const MathFormat math_format[2];

static inline int math_row(const LoopBuilder *b, LVal x) { return loop_type(b, x).dtype == DT_f64; }
static inline const MathFormat *math_of(const LoopBuilder *b, LVal x) { return &math_format[math_row(b, x)]; }

static inline LVal like(LoopBuilder *b, LVal x, double value) { return l_float(b, loop_type(b, x), value); }
static inline LVal like_int(LoopBuilder *b, LVal x, int64_t value) { return l_int(b, loop_type(b, x), value); }
static inline LVal l_neg(LoopBuilder *b, LVal x) { return l_un(b, LOP_neg, x); }
static inline LVal l_abs(LoopBuilder *b, LVal x) { return l_un(b, LOP_abs, x); }
static inline LVal l_div(LoopBuilder *b, LVal x, LVal y) { return l_bin(b, LOP_div, x, y); }
static inline LVal l_and(LoopBuilder *b, LVal x, LVal y) { return l_bin(b, LOP_and, x, y); }
static inline LVal l_or(LoopBuilder *b, LVal x, LVal y) { return l_bin(b, LOP_or, x, y); }
static inline LVal l_eq(LoopBuilder *b, LVal x, LVal y) { return l_bin(b, LOP_eq, x, y); }
static inline LVal l_le(LoopBuilder *b, LVal x, LVal y) { return l_bin(b, LOP_le, x, y); }
static inline LVal l_ne(LoopBuilder *b, LVal x, LVal y) { return l_bin(b, LOP_ne, x, y); }
static inline LVal l_shl_by(LoopBuilder *b, LVal x, int amount) { return l_bin(b, LOP_shl, x, like_int(b, x, amount)); }
static inline LVal l_shr_by(LoopBuilder *b, LVal x, int amount) { return l_bin(b, LOP_shr, x, like_int(b, x, amount)); }
static inline LVal l_fms(LoopBuilder *b, LVal x, LVal y, LVal z) { return l_fma(b, x, y, l_neg(b, z)); }
static inline LVal l_fnma(LoopBuilder *b, LVal x, LVal y, LVal z) { return l_fma(b, l_neg(b, x), y, z); }

static inline LVal bits_of(LoopBuilder *b, LVal x) { return l_bitcast(b, x, math_of(b, x)->bits); }
static inline LVal float_of(LoopBuilder *b, LVal bits) {
    return l_bitcast(b, bits, dtype_bytes((DType)loop_type(b, bits).dtype) == 8 ? DT_f64 : DT_f32);
}

LVal math_poly(LoopBuilder *, LVal x, const Poly *);
/* magnitude, which is not negative, with the sign of x. */
LVal math_with_sign(LoopBuilder *, LVal magnitude, LVal x);
/* x where |x| < bound, else y: for odd functions near 0, where it keeps -0 and subnormals. */
LVal math_near_zero(LoopBuilder *, LVal x, double bound, LVal y);
/* x within [low, high]; NaN stays. */
LVal math_clamp(LoopBuilder *, LVal x, double low, double high);
/* true in every lane, or in some. */
LVal math_any(LoopBuilder *, LVal mask);

/* A sum of two floats, the second at most half an ulp of the first. */
typedef struct Pair { LVal high, low; } Pair;
Pair math_sum(LoopBuilder *, LVal x, LVal y);         /* exact for any order of magnitude */
Pair math_sum_ordered(LoopBuilder *, LVal x, LVal y); /* exact where x is 0 or |x| >= |y| */
Pair math_product(LoopBuilder *, LVal x, LVal y);     /* exact */

/* f over f64 lanes for f32 x: the result rounded to f32, hence within 0.51 ulp. */
typedef LVal MathUnary(LoopBuilder *, LVal);
LVal math_through_f64(LoopBuilder *, MathUnary *, LVal x);

/* e^x = 2^n (1 + q), |x| within the exponent range.  n + 2 * bias stands in the low bits of `shifted`.
 * q is r + rest, r exact as a float. */
typedef struct ExpParts { LVal shifted, n, q, r, rest; } ExpParts;
ExpParts math_exp_parts(LoopBuilder *, LVal x, LVal tail_or_none);
/* 2^n (1 + q), down to subnormal results. */
LVal math_exp_assemble(LoopBuilder *, ExpParts);

/* x = 2^e (1 + f), 1 + f in [sqrt(1/2), sqrt(2)); x positive and normal.  biased: e + bias as an integer. */
typedef struct LogParts { LVal e, f, biased; } LogParts;
LogParts math_log_parts(LoopBuilder *, LVal x);
LVal math_log_tail(LoopBuilder *, LVal f);  /* ln(1 + f) - f */
LogParts math_log_parts_any(LoopBuilder *, LVal x); /* subnormals too */
