/* dtype.c: element types and typed scalars: load, store, wrap, convert, compare.
 *
 * The one place that knows how an element of each dtype lies in memory and how arithmetic results
 * come back into its range.  Every evaluator of the compiler (folding, interpreters, printing,
 * parsing) goes through these functions. Invariant: a Scalar under a float dtype holds a value that
 * the dtype represents exactly; integers are in range and sign- or zero-extended to 64 bits; bool
 * is 0 or 1. Conversions round once: wider sources are first rounded to odd, which makes the second
 * rounding exact (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved
 * algorithms using rounding to odd", 2008).
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "ir.h"

#define VALUE_BITS(class, dlpack) (uint8_t)(CLASS_##class == CLASS_BOOL ? 1 : (dlpack) >> 8)

const DTypeInfo dtype_info[DT_COUNT] = {
    [DT_none] = {.name = "none"},
#define DTYPE(name, bits, class, onnx, dlpack)                                                     \
    [DT_##name] = {#name, bits, VALUE_BITS(class, dlpack), CLASS_##class, onnx, dlpack},
#include "dtypes.def"
};

typedef enum FloatForm { FORM_NOT, FORM_F8, FORM_F16, FORM_BF16, FORM_F32, FORM_F64 } FloatForm;

static const struct {
    FloatForm form;
    Float8 f8;
} float_form[DT_COUNT] = {
    [DT_f4e2m1] = {FORM_F8, F4_E2M1},      [DT_f8e4m3] = {FORM_F8, F8_E4M3FN},
    [DT_f8e4m3z] = {FORM_F8, F8_E4M3FNUZ}, [DT_f8e5m2] = {FORM_F8, F8_E5M2},
    [DT_f8e5m2z] = {FORM_F8, F8_E5M2FNUZ}, [DT_f8e8m0] = {FORM_F8, F8_E8M0},
    [DT_f16] = {.form = FORM_F16},         [DT_bf16] = {.form = FORM_BF16},
    [DT_f32] = {.form = FORM_F32},         [DT_f64] = {.form = FORM_F64},
};

DType dtype_by_name(const char *name) {
    for (int t = 1; t < DT_COUNT; t++)
        if (strcmp(dtype_info[t].name, name) == 0)
            return (DType)t;
    return DT_none;
}

DType dtype_by_onnx(int64_t data_type) {
    for (int t = 1; t < DT_COUNT; t++)
        if (dtype_info[t].onnx == data_type)
            return (DType)t;
    return DT_none;
}

static uint64_t sign_extend(uint64_t x, int bits) {
    int unused = 64 - bits;
    return (uint64_t)((int64_t)(x << unused) >> unused);
}

static uint64_t truncate_bits(uint64_t x, int bits) {
    return bits == 64 ? x : x & ((UINT64_C(1) << bits) - 1);
}

static Scalar wrap_int(DType t, Scalar x) {
    const DTypeInfo *info = &dtype_info[t];
    if (info->class_ == CLASS_BOOL)
        return (Scalar){.u = x.u != 0};
    if (info->class_ == CLASS_SINT)
        return (Scalar){.u = sign_extend(x.u, info->value_bits)};
    return (Scalar){.u = truncate_bits(x.u, info->value_bits)};
}

/* Truncates to float; where that was inexact, the last bit is set. */
static float to_f32_odd(double x) {
    float r = (float)x;
    if (isnan(x) || (double)r == x)
        return r;
    if (isinf(r))
        return copysignf(FLT_MAX, r);
    uint32_t bits;
    memcpy(&bits, &r, sizeof bits);
    if (fabs((double)r) > fabs(x))
        bits--;
    bits |= 1;
    memcpy(&r, &bits, sizeof r);
    return r;
}

static uint64_t load_bits(const void *at, int bits) {
    uint64_t raw = 0;
    switch (bits) {
    case 8: {
        uint8_t x;
        memcpy(&x, at, sizeof x);
        raw = x;
        break;
    }
    case 16: {
        uint16_t x;
        memcpy(&x, at, sizeof x);
        raw = x;
        break;
    }
    case 32: {
        uint32_t x;
        memcpy(&x, at, sizeof x);
        raw = x;
        break;
    }
    default:
        memcpy(&raw, at, sizeof raw);
        break;
    }
    return raw;
}

static void store_bits(void *at, int bits, uint64_t raw) {
    switch (bits) {
    case 8: {
        uint8_t x = (uint8_t)raw;
        memcpy(at, &x, sizeof x);
        break;
    }
    case 16: {
        uint16_t x = (uint16_t)raw;
        memcpy(at, &x, sizeof x);
        break;
    }
    case 32: {
        uint32_t x = (uint32_t)raw;
        memcpy(at, &x, sizeof x);
        break;
    }
    default:
        memcpy(at, &raw, sizeof raw);
        break;
    }
}

static double float_from_bits(DType t, uint64_t raw) {
    switch (float_form[t].form) {
    case FORM_F8:
        return (double)f8_to_f32(float_form[t].f8, (uint8_t)raw);
    case FORM_F16:
        return (double)f16_to_f32((uint16_t)raw);
    case FORM_BF16:
        return (double)bf16_to_f32((uint16_t)raw);
    case FORM_F32: {
        uint32_t bits = (uint32_t)raw;
        float f;
        memcpy(&f, &bits, sizeof f);
        return (double)f;
    }
    case FORM_F64:
        break;
    case FORM_NOT:
        return 0;
    }
    double d;
    memcpy(&d, &raw, sizeof d);
    return d;
}

static uint64_t float_to_bits(DType t, double x, bool saturate) {
    switch (float_form[t].form) {
    case FORM_F8:
        return f32_to_f8(float_form[t].f8, to_f32_odd(x), saturate);
    case FORM_F16:
        return f64_to_f16(x);
    case FORM_BF16:
        return f64_to_bf16(x);
    case FORM_F32: {
        float f = (float)x;
        uint32_t bits;
        memcpy(&bits, &f, sizeof bits);
        return bits;
    }
    case FORM_F64:
        break;
    case FORM_NOT:
        return 0;
    }
    uint64_t raw;
    memcpy(&raw, &x, sizeof raw);
    return raw;
}

static double round_float(DType t, double x, bool saturate) {
    switch (float_form[t].form) {
    case FORM_F64:
        return x;
    case FORM_F32:
        return (double)(float)x;
    case FORM_F8:
    case FORM_F16:
    case FORM_BF16:
    case FORM_NOT:
        break;
    }
    return float_from_bits(t, float_to_bits(t, x, saturate));
}

Scalar scalar_load(DType t, const void *at) {
    uint64_t raw = load_bits(at, dtype_info[t].bits);
    if (dtype_is_float(t))
        return (Scalar){.f = float_from_bits(t, raw)};
    return wrap_int(t, (Scalar){.u = raw});
}

void scalar_store(DType t, void *at, Scalar x) {
    uint64_t raw = dtype_is_float(t) ? float_to_bits(t, x.f, false) : wrap_int(t, x).u;
    store_bits(at, dtype_info[t].bits, raw);
}

Scalar scalar_wrap(DType t, Scalar x) {
    if (dtype_is_float(t))
        return (Scalar){.f = round_float(t, x.f, false)};
    return wrap_int(t, x);
}

static Scalar float_to_int(DType to, double x) {
    int bits = dtype_info[to].value_bits;
    if (isnan(x))
        return (Scalar){.u = 0};
    if (dtype_is_signed(to)) {
        double end = ldexp(1, bits - 1);
        if (x >= end)
            return (Scalar){.i = (int64_t)((UINT64_C(1) << (bits - 1)) - 1)};
        if (x < -end)
            return (Scalar){.u = sign_extend(UINT64_C(1) << (bits - 1), bits)};
        return (Scalar){.i = (int64_t)x};
    }
    if (x <= 0)
        return (Scalar){.u = 0};
    if (x >= ldexp(1, bits))
        return (Scalar){.u = truncate_bits(UINT64_MAX, bits)};
    return (Scalar){.u = (uint64_t)x};
}

/* A magnitude as a double; beyond 53 bits rounded to odd unless the double itself is wanted. */
static double magnitude(uint64_t u, bool nearest) {
    if (nearest || u >> 53 == 0)
        return (double)u;
    int shift = 11 - __builtin_clzll(u);
    uint64_t kept = u >> shift, lost = u & ((UINT64_C(1) << shift) - 1);
    return ldexp((double)(kept | (lost != 0)), shift);
}

static double int_to_double(DType to, DType from, Scalar x) {
    bool nearest = to == DT_f64;
    if (dtype_is_signed(from) && x.i < 0)
        return -magnitude(-x.u, nearest);
    return magnitude(x.u, nearest);
}

Scalar scalar_convert(DType to, DType from, Scalar x, bool saturate) {
    if (to == from)
        return x;
    if (dtype_is_float(from)) {
        if (dtype_is_float(to))
            return (Scalar){.f = round_float(to, x.f, saturate)};
        if (dtype_is_bool(to))
            return (Scalar){.u = x.f != 0};
        return float_to_int(to, x.f);
    }
    if (dtype_is_float(to))
        return (Scalar){.f = round_float(to, int_to_double(to, from, x), saturate)};
    return wrap_int(to, x);
}

bool scalar_equal(DType t, Scalar a, Scalar b) {
    if (dtype_is_float(t) && isnan(a.f))
        return isnan(b.f);
    return a.u == b.u;
}
