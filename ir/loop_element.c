/* loop_element.c: the meaning of one lane of every arithmetic instruction; folding and the interpreter share it.
 *
 * f32 is computed in float and f64 in double, one rounding an instruction, so that the bits are those of the machine.
 * Source: IEEE 754-2019 section 9.6 (minimum, maximum); loop_ops.def. */
#include "loop.h"
#include <math.h>
#include <string.h>

int64_t loop_wrap(DType t, int64_t bits) {
    if (t == DT_bool) return bits & 1;
    unsigned unused = 64U - dtype_info[t].bits;
    uint64_t high = (uint64_t)bits << unused;
    return dtype_is_signed(t) ? (int64_t)high >> unused : (int64_t)(high >> unused);
}

static LSlot slot_f32(float x) {
    LSlot s = {0};
    s.f32 = x;
    return s;
}

LSlot loop_const_slot(const LInst *inst, DType t) {
    LSlot s = {0};
    if (t == DT_f32)
        s = slot_f32((float)inst->imm.f);
    else if (t == DT_f64)
        s.f = inst->imm.f;
    else
        s.i = inst->imm.i;
    return s;
}

static float min_f32(float a, float b) {
    if (isnan(a) || isnan(b)) return a + b;
    if (a == b) return signbit(a) ? a : b;
    return a < b ? a : b;
}

static float max_f32(float a, float b) {
    if (isnan(a) || isnan(b)) return a + b;
    if (a == b) return signbit(a) ? b : a;
    return a > b ? a : b;
}

static double min_f64(double a, double b) {
    if (isnan(a) || isnan(b)) return a + b;
    if (a == b) return signbit(a) ? a : b;
    return a < b ? a : b;
}

static double max_f64(double a, double b) {
    if (isnan(a) || isnan(b)) return a + b;
    if (a == b) return signbit(a) ? b : a;
    return a > b ? a : b;
}

static bool element_f32(LOp op, const LSlot *in, LSlot *out) {
    float a = in[0].f32, b = lop_info[op].operands > 1 ? in[1].f32 : 0;
    switch ((int)op) {
    case LOP_neg: *out = slot_f32(-a); return true;
    case LOP_abs: *out = slot_f32(fabsf(a)); return true;
    case LOP_floor: *out = slot_f32(floorf(a)); return true;
    case LOP_ceil: *out = slot_f32(ceilf(a)); return true;
    case LOP_trunc: *out = slot_f32(truncf(a)); return true;
    case LOP_rint: *out = slot_f32(nearbyintf(a)); return true;
    case LOP_sqrt: *out = slot_f32(sqrtf(a)); return true;
    case LOP_round_bf16: *out = slot_f32(isnan(a) ? NAN : bf16_to_f32(f32_to_bf16(a))); return true;
    case LOP_add: *out = slot_f32(a + b); return true;
    case LOP_sub: *out = slot_f32(a - b); return true;
    case LOP_mul: *out = slot_f32(a * b); return true;
    case LOP_div: *out = slot_f32(a / b); return true;
    case LOP_min: *out = slot_f32(min_f32(a, b)); return true;
    case LOP_max: *out = slot_f32(max_f32(a, b)); return true;
    case LOP_fma: *out = slot_f32(fmaf(a, b, in[2].f32)); return true;
    case LOP_eq: out->i = a == b; return true;
    case LOP_ne: out->i = a != b; return true;
    case LOP_lt: out->i = a < b; return true;
    case LOP_le: out->i = a <= b; return true;
    default: return false;
    }
}

static bool element_f64(LOp op, const LSlot *in, LSlot *out) {
    double a = in[0].f, b = lop_info[op].operands > 1 ? in[1].f : 0;
    switch ((int)op) {
    case LOP_neg: out->f = -a; return true;
    case LOP_abs: out->f = fabs(a); return true;
    case LOP_floor: out->f = floor(a); return true;
    case LOP_ceil: out->f = ceil(a); return true;
    case LOP_trunc: out->f = trunc(a); return true;
    case LOP_rint: out->f = nearbyint(a); return true;
    case LOP_sqrt: out->f = sqrt(a); return true;
    case LOP_add: out->f = a + b; return true;
    case LOP_sub: out->f = a - b; return true;
    case LOP_mul: out->f = a * b; return true;
    case LOP_div: out->f = a / b; return true;
    case LOP_min: out->f = min_f64(a, b); return true;
    case LOP_max: out->f = max_f64(a, b); return true;
    case LOP_fma: out->f = fma(a, b, in[2].f); return true;
    case LOP_eq: out->i = a == b; return true;
    case LOP_ne: out->i = a != b; return true;
    case LOP_lt: out->i = a < b; return true;
    case LOP_le: out->i = a <= b; return true;
    default: return false;
    }
}

static bool divide(LOp op, DType t, LSlot a, LSlot b, LSlot *out) {
    if (b.i == 0) return false;
    if (!dtype_is_signed(t))
        out->u = op == LOP_div ? a.u / b.u : a.u % b.u;
    else if (b.i == -1) /* the quotient of the least value does not fit */
        out->i = op == LOP_div ? (int64_t)(0 - a.u) : 0;
    else
        out->i = op == LOP_div ? a.i / b.i : a.i % b.i;
    return true;
}

static bool shift(LOp op, DType t, LSlot a, LSlot b, LSlot *out) {
    if (b.u >= dtype_info[t].bits) return false;
    if (op == LOP_shl)
        out->u = a.u << b.u;
    else if (dtype_is_signed(t))
        out->i = a.i >> b.u;
    else
        out->u = a.u >> b.u;
    return true;
}

static bool integer_arithmetic(LOp op, DType t, const LSlot *in, LSlot *out) {
    LSlot a = in[0], b = lop_info[op].operands > 1 ? in[1] : (LSlot){0};
    bool less = dtype_is_signed(t) ? a.i < b.i : a.u < b.u;
    switch ((int)op) {
    case LOP_neg: out->u = 0 - a.u; return true;
    case LOP_abs: out->u = dtype_is_signed(t) && a.i < 0 ? 0 - a.u : a.u; return true;
    case LOP_not: out->u = ~a.u; return true;
    case LOP_popcount: {
        uint64_t value = a.u << (64 - dtype_info[t].bits);
        out->i = __builtin_popcountll(value);
        return true;
    }
    case LOP_add: out->u = a.u + b.u; return true;
    case LOP_sub: out->u = a.u - b.u; return true;
    case LOP_mul: out->u = a.u * b.u; return true;
    case LOP_div:
    case LOP_rem: return divide(op, t, a, b, out);
    case LOP_min: *out = less ? a : b; return true;
    case LOP_max: *out = less ? b : a; return true;
    case LOP_and: out->u = a.u & b.u; return true;
    case LOP_or: out->u = a.u | b.u; return true;
    case LOP_xor: out->u = a.u ^ b.u; return true;
    case LOP_shl:
    case LOP_shr: return shift(op, t, a, b, out);
    case LOP_eq: out->i = a.u == b.u; return true;
    case LOP_ne: out->i = a.u != b.u; return true;
    case LOP_lt: out->i = less; return true;
    case LOP_le: out->i = less || a.u == b.u; return true;
    default: return false;
    }
}

static bool element_integer(LOp op, DType t, DType to, const LSlot *in, LSlot *out) {
    LSlot result = {0};
    if (!integer_arithmetic(op, t, in, &result)) return false;
    out->i = loop_wrap(to, result.i);
    return true;
}

/* Towards zero, saturating, NaN to 0.  The bounds are powers of two: exact in double. */
static int64_t float_to_integer(DType to, double x) {
    if (isnan(x)) return 0;
    x = trunc(x);
    unsigned bits = dtype_info[to].bits;
    if (dtype_is_signed(to)) {
        double limit = ldexp(1.0, (int)bits - 1);
        if (x >= limit) return (int64_t)(UINT64_MAX >> (65 - bits));
        return x < -limit ? -(int64_t)(UINT64_MAX >> (65 - bits)) - 1 : (int64_t)x;
    }
    if (x >= ldexp(1.0, (int)bits)) return (int64_t)(UINT64_MAX >> (64 - bits));
    return x <= 0 ? 0 : (int64_t)(uint64_t)x;
}

static LSlot convert_float(DType from, DType to, LSlot in) {
    double x = from == DT_f32 ? (double)in.f32 : in.f;
    LSlot out = {0};
    if (to == DT_f32)
        out.f32 = (float)x;
    else if (to == DT_f64)
        out.f = x;
    else if (to == DT_bool)
        out.i = x != 0;
    else
        out.i = float_to_integer(to, x);
    return out;
}

static LSlot convert_integer(DType from, DType to, LSlot in) {
    LSlot out = {0};
    if (to == DT_f32) /* straight to float: through double would round twice */
        out.f32 = dtype_is_signed(from) ? (float)in.i : (float)in.u;
    else if (to == DT_f64)
        out.f = dtype_is_signed(from) ? (double)in.i : (double)in.u;
    else if (to == DT_bool)
        out.i = in.i != 0;
    else
        out.i = loop_wrap(to, in.i);
    return out;
}

static LSlot bitcast(DType to, LSlot in) {
    LSlot out = {0};
    if (to == DT_f32) {
        uint32_t bits = (uint32_t)in.u;
        memcpy(&out.f32, &bits, sizeof bits);
    } else if (to == DT_f64) {
        out.u = in.u;
    } else {
        out.i = loop_wrap(to, in.i);
    }
    return out;
}

/* Products of two bf16 are exact in f32, so that each fma rounds its sum alone.  Source: Intel SDM 2C, VDPBF16PS. */
static LSlot dot_bf16(const LSlot *in) {
    uint32_t x = (uint32_t)in[1].u, w = (uint32_t)in[2].u;
    float first = fmaf(bf16_to_f32((uint16_t)(x >> 16)), bf16_to_f32((uint16_t)(w >> 16)), in[0].f32);
    return slot_f32(fmaf(bf16_to_f32((uint16_t)x), bf16_to_f32((uint16_t)w), first));
}

static LSlot dot_u8(const LSlot *in) {
    uint32_t x = (uint32_t)in[1].u, w = (uint32_t)in[2].u;
    int64_t sum = in[0].i;
    for (int i = 0; i < 32; i += 8) sum += (int64_t)(uint8_t)(x >> i) * (int8_t)(w >> i);
    return (LSlot){.i = loop_wrap(DT_i32, sum)};
}

bool loop_element(LOp op, DType from, DType to, const LSlot *in, LSlot *out) {
    if (op == LOP_select) {
        *out = in[0].u ? in[1] : in[2];
        return true;
    }
    if (op == LOP_convert) {
        *out = dtype_is_float(from) ? convert_float(from, to, in[0]) : convert_integer(from, to, in[0]);
        return true;
    }
    if (op == LOP_bitcast) {
        *out = bitcast(to, in[0]);
        return true;
    }
    if (op == LOP_dot_bf16) {
        *out = dot_bf16(in);
        return true;
    }
    if (op == LOP_dot_u8) {
        *out = dot_u8(in);
        return true;
    }
    if (from == DT_f32) return element_f32(op, in, out);
    if (from == DT_f64) return element_f64(op, in, out);
    return element_integer(op, from, to, in, out);
}
