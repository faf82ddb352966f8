/* float.c: the small float formats: half, bfloat, the 8-bit ones and E2M1.
 *
 * Used by constant folding, the interpreters and the importers; all of them round here, so all of them agree.
 * One decoder and one encoder serve every format: a Format describes it, and the compiler specialises the inlined calls.
 * The encoder takes a double: every float is a double exactly, so there is one rounding whatever the source was.
 *
 * Invariants: decode is exact; encode rounds to nearest, ties to even, subnormals included; encode(decode(x)) == x except
 * that signalling NaNs come back quiet (as F16C and AVX-512 do), payloads kept as far as they fit.
 * Overflow, as ONNX Cast and OCP have it: with saturate, the largest finite value, infinities included; without,
 * infinity where the format has it, else NaN.  E2M1 has neither, so it always saturates, and NaN becomes -0.
 * E8M0 is an exponent alone: ties go up, negative numbers and infinities are NaN, anything too small is 2^-127.
 * Source: IEEE 754-2019; OCP OFP8 1.0; OCP MX 1.0; arXiv 2206.02915 (the FNUZ formats); ONNX Cast.
 */
#include <string.h>

#include "base.h"

typedef enum Specials {
    IEEE,      /* infinities and NaNs in the top binade */
    ONE_NAN,   /* FN: all ones is NaN, no infinity */
    ZERO_NAN,  /* FNUZ: what would be -0 is NaN, no infinity */
    NO_SPECIAL /* all finite */
} Specials;

typedef struct Format {
    int exponent_bits, mantissa_bits, bias;
    Specials specials;
} Format;

static const Format half = {5, 10, 15, IEEE};
static const Format bfloat = {8, 7, 127, IEEE};
static const Format e4m3fn = {4, 3, 7, ONE_NAN};
static const Format e4m3fnuz = {4, 3, 8, ZERO_NAN};
static const Format e5m2 = {5, 2, 15, IEEE};
static const Format e5m2fnuz = {5, 2, 16, ZERO_NAN};
static const Format e2m1 = {2, 1, 1, NO_SPECIAL};

static uint64_t bits_of_f64(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static uint32_t bits_of_f32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static float f32_of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Every finite value of every format is a normal float, or a float's subnormal (bfloat): hence by way of bits. */
static inline float decode(Format f, uint32_t x) {
    int width = f.exponent_bits + f.mantissa_bits;
    uint32_t sign = (x >> width & 1) << 31, magnitude = x & ((1u << width) - 1);
    uint32_t top = (1u << f.exponent_bits) - 1, mantissa = magnitude & ((1u << f.mantissa_bits) - 1);
    int exponent = (int)(magnitude >> f.mantissa_bits);
    if (f.specials == IEEE && (uint32_t)exponent == top) {
        uint32_t payload = mantissa << (23 - f.mantissa_bits);
        return f32_of_bits(sign | 0x7F800000u | (mantissa ? 0x400000u | payload : 0));
    }
    if (f.specials == ONE_NAN && magnitude == (1u << width) - 1) return f32_of_bits(sign | 0x7FC00000u);
    if (f.specials == ZERO_NAN && sign && !magnitude) return f32_of_bits(0x7FC00000u);
    if (!magnitude) return f32_of_bits(sign);
    if (!exponent) { /* subnormal: shift the leading one into place */
        exponent = 1;
        while (!(mantissa >> f.mantissa_bits)) {
            mantissa <<= 1;
            exponent--;
        }
        mantissa &= (1u << f.mantissa_bits) - 1;
    }
    return f32_of_bits(sign | (uint32_t)(exponent - f.bias + 127) << 23 | mantissa << (23 - f.mantissa_bits));
}

static inline uint32_t nan_of(Format f, uint32_t sign, uint64_t payload52) {
    int width = f.exponent_bits + f.mantissa_bits;
    uint32_t ones = (1u << width) - 1;
    switch (f.specials) {
    case IEEE: {
        uint32_t infinity = ones & ~((1u << f.mantissa_bits) - 1);
        return sign | infinity | 1u << (f.mantissa_bits - 1) | (uint32_t)(payload52 >> (52 - f.mantissa_bits));
    }
    case ONE_NAN: return sign | ones;
    case ZERO_NAN:
    case NO_SPECIAL: break;
    }
    return 1u << width;
}

/* The magnitude of the largest finite value. */
static inline uint32_t largest(Format f) {
    uint32_t ones = (1u << (f.exponent_bits + f.mantissa_bits)) - 1;
    if (f.specials == IEEE) return ones - (1u << f.mantissa_bits);
    return f.specials == ONE_NAN ? ones - 1 : ones;
}

static inline uint32_t encode(Format f, uint64_t bits, bool saturate) {
    int width = f.exponent_bits + f.mantissa_bits;
    uint32_t sign = (uint32_t)(bits >> 63) << width;
    uint64_t mantissa = bits & ((UINT64_C(1) << 52) - 1);
    int exponent = (int)(bits >> 52 & 0x7FF);
    uint32_t magnitude;
    if (exponent == 0x7FF && mantissa) return nan_of(f, sign, mantissa);
    if (exponent == 0x7FF) {
        magnitude = UINT32_MAX;
    } else {
        int target = exponent - 1023 + f.bias; /* doubles' own subnormals have target far below 1: they become 0 */
        if (exponent) mantissa |= UINT64_C(1) << 52;
        int drop = 52 - f.mantissa_bits + (target < 1 ? 1 - target : 0);
        if (drop > 54) drop = 54; /* below half the least subnormal: rounds to 0 */
        uint64_t half_unit = UINT64_C(1) << (drop - 1), rest = mantissa & ((half_unit << 1) - 1);
        uint64_t kept = mantissa >> drop;
        kept += rest > half_unit || (rest == half_unit && (kept & 1));
        /* A normal number's leading one adds 1 to the exponent field, and so does a carry out of rounding. */
        if (target > 1 << f.exponent_bits) target = 1 << f.exponent_bits;
        magnitude = (uint32_t)kept + ((uint32_t)(target < 1 ? 0 : target - 1) << f.mantissa_bits);
    }
    if (magnitude > largest(f)) {
        if (saturate || f.specials == NO_SPECIAL) magnitude = largest(f);
        else if (f.specials == IEEE) magnitude = largest(f) + 1;
        else return nan_of(f, sign, 0);
    }
    if (f.specials == ZERO_NAN && !magnitude) return 0; /* there is no -0 */
    return sign | magnitude;
}

/* Widening a signalling NaN as a value may change it, so it is done on the bits; finite numbers convert exactly. */
static inline uint64_t widen(float x) {
    uint32_t bits = bits_of_f32(x);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint64_t)(bits >> 31) << 63 | UINT64_C(0x7FF) << 52 | (uint64_t)(bits & 0x7FFFFFu) << 29;
    return bits_of_f64((double)x);
}

float f16_to_f32(uint16_t x) { return decode(half, x); }
uint16_t f32_to_f16(float x) { return (uint16_t)encode(half, widen(x), false); }
uint16_t f64_to_f16(double x) { return (uint16_t)encode(half, bits_of_f64(x), false); }

float bf16_to_f32(uint16_t x) { return f32_of_bits((uint32_t)x << 16); }
uint16_t f64_to_bf16(double x) { return (uint16_t)encode(bfloat, bits_of_f64(x), false); }

uint16_t f32_to_bf16(float x) {
    uint32_t bits = bits_of_f32(x);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1)) >> 16); /* the carry runs into the exponent, as it should */
}

/* ---- 8 bits and fewer ---- */

static float e8m0_to_f32(uint8_t x) {
    if (x == 0xFF) return f32_of_bits(0x7FC00000u);
    return f32_of_bits(x ? (uint32_t)x << 23 : 0x400000u); /* 2^-127 is a subnormal float */
}

static uint8_t f32_to_e8m0(float x, bool saturate) {
    uint32_t bits = bits_of_f32(x);
    if (bits == 0x80000000u) bits = 0;
    if (bits >= 0x7F800000u) return 0xFF; /* infinite, NaN or negative */
    if (bits < 0x600000u) return 0;       /* below 1.5 * 2^-127 */
    if (bits < 0x800000u) return 1;
    uint32_t exponent = (bits + 0x400000u) >> 23;
    return (uint8_t)(exponent == 0xFF && saturate ? 0xFE : exponent);
}

float f8_to_f32(Float8 format, uint8_t x) {
    switch (format) {
    case F8_E4M3FN: return decode(e4m3fn, x);
    case F8_E4M3FNUZ: return decode(e4m3fnuz, x);
    case F8_E5M2: return decode(e5m2, x);
    case F8_E5M2FNUZ: return decode(e5m2fnuz, x);
    case F8_E8M0: return e8m0_to_f32(x);
    case F4_E2M1: return decode(e2m1, x & 0xF);
    }
    return f32_of_bits(0x7FC00000u);
}

uint8_t f32_to_f8(Float8 format, float x, bool saturate) {
    switch (format) {
    case F8_E4M3FN: return (uint8_t)encode(e4m3fn, widen(x), saturate);
    case F8_E4M3FNUZ: return (uint8_t)encode(e4m3fnuz, widen(x), saturate);
    case F8_E5M2: return (uint8_t)encode(e5m2, widen(x), saturate);
    case F8_E5M2FNUZ: return (uint8_t)encode(e5m2fnuz, widen(x), saturate);
    case F8_E8M0: return f32_to_e8m0(x, saturate);
    case F4_E2M1: return (uint8_t)encode(e2m1, widen(x), true);
    }
    return 0;
}
