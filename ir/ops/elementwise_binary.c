/* elementwise_binary.c: arithmetic, bits, comparisons and choices of two and three operands: reference semantics and
 * Loop IR.
 *
 * ref_<op>: integers exact in i64 or u64, floats in double (add, sub, mul, div of f32 round there without harm, since
 * 53 >= 2 * 24 + 2); not yet wrapped.  lanes_<op>: compute form, any lanes; the caller rounds or wraps.
 * Loop IR's integer div, rem need a divisor that is not 0 and its shifts an amount below the width: guarded here.
 */
#include <math.h>

#include "scalar_ops.h"

static LVal zero_like(LoopBuilder *b, LVal x) { return number_like(b, x, 0); }
static bool is_float(const Graph *g, const Node *n) { return dtype_is_float(in_dtype(g, n, 0)); }
static bool is_signed(const Graph *g, const Node *n) { return dtype_is_signed(in_dtype(g, n, 0)); }

/* add: integers wrap. */
Scalar ref_add(const Graph *g, const Node *n, const Scalar *in) {
    if (is_float(g, n)) return (Scalar){.f = in[0].f + in[1].f};
    return (Scalar){.u = in[0].u + in[1].u};
}
LVal lanes_add(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return l_add(b, in[0], in[1]);
}

/* sub: integers wrap. */
Scalar ref_sub(const Graph *g, const Node *n, const Scalar *in) {
    if (is_float(g, n)) return (Scalar){.f = in[0].f - in[1].f};
    return (Scalar){.u = in[0].u - in[1].u};
}
LVal lanes_sub(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return l_sub(b, in[0], in[1]);
}

/* mul: integers wrap. */
Scalar ref_mul(const Graph *g, const Node *n, const Scalar *in) {
    if (is_float(g, n)) return (Scalar){.f = in[0].f * in[1].f};
    return (Scalar){.u = in[0].u * in[1].u};
}
LVal lanes_mul(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return l_mul(b, in[0], in[1]);
}

/* ---- division ---- */

/* 1 in place of a divisor of 0. */
static LVal safe_divisor(LoopBuilder *b, LVal y, LVal *is_zero) {
    *is_zero = l_bin(b, LOP_eq, y, zero_like(b, y));
    return l_select(b, *is_zero, number_like(b, y, 1), y);
}

/* div: integers towards zero; by 0 gives 0, min / -1 wraps. */
Scalar ref_div(const Graph *g, const Node *n, const Scalar *in) {
    if (is_float(g, n)) return (Scalar){.f = in[0].f / in[1].f};
    if (in[1].u == 0) return (Scalar){.u = 0};
    if (!is_signed(g, n)) return (Scalar){.u = in[0].u / in[1].u};
    if (in[1].i == -1) return (Scalar){.u = -in[0].u};
    return (Scalar){.i = in[0].i / in[1].i};
}
LVal lanes_div(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    if (is_float(g, n)) return l_bin(b, LOP_div, in[0], in[1]);
    LVal is_zero, divisor = safe_divisor(b, in[1], &is_zero);
    return l_select(b, is_zero, zero_like(b, in[0]), l_bin(b, LOP_div, in[0], divisor));
}

/* rem: sign of a, C's fmod; integer by 0 gives 0. */
Scalar ref_rem(const Graph *g, const Node *n, const Scalar *in) {
    if (is_float(g, n)) return (Scalar){.f = fmod(in[0].f, in[1].f)};
    if (in[1].u == 0) return (Scalar){.u = 0};
    if (!is_signed(g, n)) return (Scalar){.u = in[0].u % in[1].u};
    return (Scalar){.i = in[1].i == -1 ? 0 : in[0].i % in[1].i};
}
LVal lanes_rem(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    if (is_float(g, n)) return m_fmod(b, in[0], in[1]);
    LVal is_zero, divisor = safe_divisor(b, in[1], &is_zero);
    return l_select(b, is_zero, zero_like(b, in[0]), l_bin(b, LOP_rem, in[0], divisor));
}

/* mod: the remainder, moved by b where the signs differ; a float 0 takes b's sign.  NumPy's and Python's. */
Scalar ref_mod(const Graph *g, const Node *n, const Scalar *in) {
    Scalar r = ref_rem(g, n, in);
    if (is_float(g, n)) {
        if (r.f == 0) return (Scalar){.f = copysign(0, in[1].f)};
        return (Scalar){.f = (r.f < 0) != (in[1].f < 0) ? r.f + in[1].f : r.f};
    }
    if (is_signed(g, n) && r.i != 0 && (r.i < 0) != (in[1].i < 0)) r.i += in[1].i;
    return r;
}
LVal lanes_mod(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    LVal r = lanes_rem(b, g, n, in), zero = zero_like(b, r);
    if (!is_float(g, n) && !is_signed(g, n)) return r;
    LVal nonzero = l_bin(b, LOP_ne, r, zero);
    LVal differ = l_bin(b, LOP_xor, l_lt(b, r, zero), l_lt(b, in[1], zero));
    LVal moved = l_select(b, differ, l_add(b, r, in[1]), r);
    if (!is_float(g, n)) return l_select(b, nonzero, moved, zero);
    DType bits = loop_type(b, r).dtype == DT_f64 ? DT_u64 : DT_u32;
    LVal sign = l_bitcast(b, number_like(b, r, -0.0), bits);
    LVal signed_zero = l_bitcast(b, l_bin(b, LOP_and, l_bitcast(b, in[1], bits), sign), (DType)loop_type(b, r).dtype);
    return l_select(b, nonzero, moved, signed_zero);
}

/* ---- pow ---- */

static uint64_t power_of(uint64_t base, uint64_t exponent) {
    uint64_t r = 1;
    for (; exponent; exponent >>= 1, base *= base)
        if (exponent & 1) r *= base;
    return r;
}

/* pow: floats as C's; integers wrap, a negative exponent gives 0 but for bases 1 and -1. */
Scalar ref_pow(const Graph *g, const Node *n, const Scalar *in) {
    if (is_float(g, n)) return (Scalar){.f = pow(in[0].f, in[1].f)};
    if (!is_signed(g, n) || in[1].i >= 0) return (Scalar){.u = power_of(in[0].u, in[1].u)};
    if (in[0].i == 1) return (Scalar){.i = 1};
    if (in[0].i == -1) return (Scalar){.i = in[1].i % 2 ? -1 : 1};
    return (Scalar){.i = 0};
}

/* Square and multiply until no lane has exponent bits left. */
static LVal power_loop(LoopBuilder *b, LVal base, LVal exponent) {
    LType t = loop_type(b, base);
    LVal one = l_int(b, t, 1), zero = l_int(b, t, 0);
    LVal state[3] = {one, base, exponent};
    LFor loop = l_while(b, state, 3);
    LVal odd = l_bin(b, LOP_ne, l_bin(b, LOP_and, state[2], one), zero);
    LVal next[3] = {l_select(b, odd, l_mul(b, state[0], state[1]), state[0]), l_mul(b, state[1], state[1]),
                    l_bin(b, LOP_shr, state[2], one)};
    LVal again = l_bin(b, LOP_ne, next[2], zero);
    if (t.lanes > 1) again = l_inst(b, LOP_reduce_or, lt_scalar(DT_bool), &again, 1, 0);
    l_while_end(b, &loop, again, next, 3);
    return next[0];
}
LVal lanes_pow(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    if (is_float(g, n)) return m_pow(b, in[0], in[1]);
    if (!is_signed(g, n)) return power_loop(b, in[0], in[1]);
    LVal zero = zero_like(b, in[0]), one = number_like(b, in[0], 1), minus = number_like(b, in[0], -1);
    LVal negative = l_lt(b, in[1], zero);
    LVal r = power_loop(b, in[0], l_select(b, negative, zero, in[1]));
    LVal odd = l_bin(b, LOP_ne, l_bin(b, LOP_and, in[1], one), zero);
    LVal unit = l_select(b, l_bin(b, LOP_eq, in[0], minus), l_select(b, odd, minus, one), zero);
    unit = l_select(b, l_bin(b, LOP_eq, in[0], one), one, unit);
    return l_select(b, negative, unit, r);
}

/* ---- order ---- */

static bool less(DType t, Scalar a, Scalar b) {
    if (dtype_is_float(t)) return a.f < b.f;
    return dtype_is_signed(t) ? a.i < b.i : a.u < b.u;
}

/* max: NaN wins, -0 < 0 (IEEE 754-2019 maximum); of bool: or. */
Scalar ref_max(const Graph *g, const Node *n, const Scalar *in) {
    if (is_float(g, n)) {
        if (isnan(in[0].f) || isnan(in[1].f)) return (Scalar){.f = (double)NAN};
        if (in[0].f == in[1].f) return in[signbit(in[0].f) != 0];
    }
    return in[less(in_dtype(g, n, 0), in[0], in[1])];
}
LVal lanes_max(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    return l_bin(b, dtype_is_bool(in_dtype(g, n, 0)) ? LOP_or : LOP_max, in[0], in[1]);
}

/* min: NaN wins, -0 < 0 (IEEE 754-2019 minimum); of bool: and. */
Scalar ref_min(const Graph *g, const Node *n, const Scalar *in) {
    if (is_float(g, n)) {
        if (isnan(in[0].f) || isnan(in[1].f)) return (Scalar){.f = (double)NAN};
        if (in[0].f == in[1].f) return in[signbit(in[0].f) == 0];
    }
    return in[less(in_dtype(g, n, 0), in[1], in[0])];
}
LVal lanes_min(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    return l_bin(b, dtype_is_bool(in_dtype(g, n, 0)) ? LOP_and : LOP_min, in[0], in[1]);
}

/* Bools are compared as 0 and 1. */
static LVal compare(LoopBuilder *b, const Graph *g, const Node *n, LOp op, const LVal *in) {
    if (!dtype_is_bool(in_dtype(g, n, 0))) return l_bin(b, op, in[0], in[1]);
    return l_bin(b, op, l_convert(b, in[0], DT_u8), l_convert(b, in[1], DT_u8));
}

/* eq: false where one is NaN. */
Scalar ref_eq(const Graph *g, const Node *n, const Scalar *in) {
    return (Scalar){.u = is_float(g, n) ? in[0].f == in[1].f : in[0].u == in[1].u};
}
LVal lanes_eq(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) { return compare(b, g, n, LOP_eq, in); }

/* lt: false where one is NaN. */
Scalar ref_lt(const Graph *g, const Node *n, const Scalar *in) {
    return (Scalar){.u = less(in_dtype(g, n, 0), in[0], in[1])};
}
LVal lanes_lt(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) { return compare(b, g, n, LOP_lt, in); }

/* le: false where one is NaN. */
Scalar ref_le(const Graph *g, const Node *n, const Scalar *in) {
    if (is_float(g, n)) return (Scalar){.u = in[0].f <= in[1].f};
    return (Scalar){.u = !less(in_dtype(g, n, 0), in[1], in[0])};
}
LVal lanes_le(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) { return compare(b, g, n, LOP_le, in); }

/* ---- bits ---- */

/* and */
Scalar ref_and(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.u = in[0].u & in[1].u};
}
LVal lanes_and(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return l_bin(b, LOP_and, in[0], in[1]);
}

/* or */
Scalar ref_or(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.u = in[0].u | in[1].u};
}
LVal lanes_or(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return l_bin(b, LOP_or, in[0], in[1]);
}

/* xor */
Scalar ref_xor(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.u = in[0].u ^ in[1].u};
}
LVal lanes_xor(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return l_bin(b, LOP_xor, in[0], in[1]);
}

/* A negative amount is one beyond the width: as unsigned it is large. */
static LVal shift_beyond(LoopBuilder *b, LVal amount, int bits) {
    LType t = loop_type(b, amount);
    static const DType unsigned_of[DT_COUNT] = {[DT_i8] = DT_u8, [DT_i16] = DT_u16, [DT_i32] = DT_u32, [DT_i64] = DT_u64};
    if (unsigned_of[t.dtype]) amount = l_bitcast(b, amount, unsigned_of[t.dtype]);
    return l_bin(b, LOP_le, l_int(b, loop_type(b, amount), bits), amount);
}

/* shl: by the width or more, or by a negative amount: 0. */
Scalar ref_shl(const Graph *g, const Node *n, const Scalar *in) {
    return (Scalar){.u = in[1].u >= dtype_info[in_dtype(g, n, 0)].value_bits ? 0 : in[0].u << in[1].u};
}
LVal lanes_shl(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    LVal beyond = shift_beyond(b, in[1], dtype_info[in_dtype(g, n, 0)].value_bits), zero = zero_like(b, in[0]);
    return l_select(b, beyond, zero, l_bin(b, LOP_shl, in[0], l_select(b, beyond, zero, in[1])));
}

/* shr: arithmetic where signed; by the width or more, or by a negative amount: all sign bits. */
Scalar ref_shr(const Graph *g, const Node *n, const Scalar *in) {
    bool beyond = in[1].u >= dtype_info[in_dtype(g, n, 0)].value_bits;
    if (is_signed(g, n)) return (Scalar){.i = in[0].i >> (beyond ? 63 : in[1].i)};
    return (Scalar){.u = beyond ? 0 : in[0].u >> in[1].u};
}
LVal lanes_shr(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    int bits = dtype_info[in_dtype(g, n, 0)].value_bits;
    LVal beyond = shift_beyond(b, in[1], bits), zero = zero_like(b, in[0]);
    if (is_signed(g, n))
        return l_bin(b, LOP_shr, in[0], l_select(b, beyond, number_like(b, in[0], bits - 1), in[1]));
    return l_select(b, beyond, zero, l_bin(b, LOP_shr, in[0], l_select(b, beyond, zero, in[1])));
}

/* ---- three operands ---- */

/* select: c ? a : b. */
Scalar ref_select(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return in[0].u ? in[1] : in[2];
}
LVal lanes_select(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return l_select(b, in[0], in[1], in[2]);
}

/* fma: a * b + c.  f32 and f64 round once; smaller dtypes do so in double and then to the dtype. */
Scalar ref_fma(const Graph *g, const Node *n, const Scalar *in) {
    if (in_dtype(g, n, 0) == DT_f32) return (Scalar){.f = (double)fmaf((float)in[0].f, (float)in[1].f, (float)in[2].f)};
    return (Scalar){.f = fma(in[0].f, in[1].f, in[2].f)};
}
LVal lanes_fma(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    DType t = in_dtype(g, n, 0);
    if (t == DT_f32 || t == DT_f64) return l_fma(b, in[0], in[1], in[2]);
    LVal wide[3];
    for (int i = 0; i < 3; i++) wide[i] = l_convert(b, in[i], DT_f64);
    return l_convert_graph(b, l_fma(b, wide[0], wide[1], wide[2]), DT_f64, t, false);
}
