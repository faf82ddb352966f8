/* tensor.c: TensorProto to Const, third stage of the ONNX importer.
 *
 * Raw and external data are viewed where they lie (little-endian, perhaps unaligned); typed fields are decoded into arena
 * memory; sub-byte elements are unpacked to one byte each, low bits first; bools become 0 and 1.  Nothing is allocated
 * from a declared count that the file's bytes do not back.
 */
#include "onnx.h"
#include <string.h>

bool tensor_count(const OnnxTensor *t, uint64_t *count) {
    int64_t n = 1;
    bool zero = false;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] < 0) return false;
        if (t->dims[i] == 0) zero = true;
    }
    for (uint32_t i = 0; i < t->n_dims && !zero; i++)
        if (!ck_mul(n, t->dims[i], &n)) return false;
    *count = zero ? 0 : (uint64_t)n;
    return true;
}

static unsigned packed_bits(DType t) { return t == DT_i2 || t == DT_u2 ? 2 : 4; }

/* Packed elements of 2 or 4 bits to a byte each, sign-extended where signed. */
static const void *unpack(Arena *arena, DType dtype, const uint8_t *from, uint64_t elements) {
    unsigned bits = packed_bits(dtype), per = 8 / bits;
    uint8_t mask = (uint8_t)((1u << bits) - 1), sign = (uint8_t)(1u << (bits - 1));
    uint8_t *to = arena_array(arena, 1, elements);
    for (uint64_t i = 0; i < elements; i++) {
        uint8_t v = (uint8_t)(from[i / per] >> (i % per * bits)) & mask;
        if (dtype_is_signed(dtype) && (v & sign)) v |= (uint8_t)~mask;
        to[i] = v;
    }
    return to;
}

/* Bytes of bools as 0 and 1, which is what kernels compute with; files may hold others for true. */
static const uint8_t *truth_values(Arena *arena, const uint8_t *from, uint64_t elements) {
    uint64_t i = 0;
    while (i < elements && from[i] <= 1) i++;
    if (i == elements) return from;
    uint8_t *to = arena_copy(arena, from, elements);
    for (; i < elements; i++) to[i] = to[i] != 0;
    return to;
}

static bool is_packed(DType t) { return t == DT_i4 || t == DT_u4 || t == DT_i2 || t == DT_u2 || t == DT_f4e2m1; }

static uint64_t stored_bytes(DType t, uint64_t elements) {
    if (!is_packed(t)) return elements * (uint64_t)dtype_bytes(t);
    uint64_t per = 8 / packed_bits(t);
    return elements / per + (elements % per != 0);
}

static Const view(Context *cx, Loc loc, const OnnxTensor *t, DType dtype, uint64_t elements, Span bytes) {
    if (elements > UINT64_MAX / 8 || bytes.n != stored_bytes(dtype, elements)) {
        diag_error(cx, loc, "tensor '%s' has %zu bytes of data, but its shape takes %llu %s elements", t->name, bytes.n,
                   (unsigned long long)elements, dtype_info[dtype].name);
        return (Const){0};
    }
    const void *data = bytes.at;
    if (is_packed(dtype)) data = unpack(cx->arena, dtype, bytes.at, elements);
    if (dtype == DT_bool) data = truth_values(cx->arena, bytes.at, elements);
    return const_data(cx, dtype, elements, data);
}

static Const external(Context *cx, Loc loc, const OnnxTensor *t, DType dtype, uint64_t elements, const char *folder) {
    size_t bytes;
    if (!folder) {
        diag_error(cx, loc, "tensor '%s' lies in the external file '%s', and this model was not loaded from a folder",
                   t->name, t->location ? t->location : "");
        return (Const){0};
    }
    if (!t->location) {
        diag_error(cx, loc, "tensor '%s' is external but names no location", t->name);
        return (Const){0};
    }
    const uint8_t *file = file_map_beneath(cx, loc, folder, t->location, &bytes);
    if (!file) return (Const){0};
    uint64_t offset = (uint64_t)t->offset, need = stored_bytes(dtype, elements);
    if (offset > bytes || need > bytes - offset || (t->length >= 0 && (uint64_t)t->length != need)) {
        diag_error(cx, loc, "tensor '%s' needs %llu bytes at offset %llu of '%s', which has %zu (declared length %lld)",
                   t->name, (unsigned long long)need, (unsigned long long)offset, t->location, bytes,
                   (long long)t->length);
        return (Const){0};
    }
    return view(cx, loc, t, dtype, elements, (Span){file + offset, (size_t)need});
}

/* Which typed field holds a dtype. */
static uint32_t typed_field(DType t) {
    switch (dtype_info[t].class_) {
    case CLASS_FLOAT: return t == DT_f32 ? 4 : t == DT_f64 ? 10 : 5;
    case CLASS_SINT: return t == DT_i64 ? 7 : 5;
    case CLASS_UINT: return t == DT_u64 || t == DT_u32 ? 11 : 5;
    default: return 5;
    }
}

/* Wire width of one packed element: 4 or 8 for floats, 0 for varints. */
static bool fixed_typed(DType t) { return t == DT_f32 || t == DT_f64; }

/* Decodes the varints of a typed field, each `bytes` wide in memory, at most `room` of them. */
static bool decode_varints(Arena *arena, Span message, uint32_t number, unsigned bytes, uint64_t room, uint8_t *to,
                           uint64_t *n) {
    Wire w = wire_open(message);
    Field f;
    IntVec chunk = {0};
    *n = 0;
    while (wire_next(&w, &f)) {
        if (f.number != number) continue;
        chunk.n = 0;
        if (!wire_ints(arena, &f, &chunk)) return false;
        if (chunk.n > room - *n) return false;
        for (uint32_t i = 0; i < chunk.n; i++, ++*n) memcpy(to + *n * bytes, &chunk.at[i], bytes);
    }
    return !w.error;
}

static bool decode_fixed(Span message, uint32_t number, unsigned bytes, uint64_t room, uint8_t *to, uint64_t *n) {
    Wire w = wire_open(message);
    Field f;
    *n = 0;
    while (wire_next(&w, &f)) {
        if (f.number != number) continue;
        size_t size = f.kind == WIRE_BYTES ? f.bytes.n : bytes;
        if (f.kind == WIRE_VARINT || size % bytes || size / bytes > room - *n) return false;
        memcpy(to + *n * bytes, f.kind == WIRE_BYTES ? (const void *)f.bytes.at : (const void *)&f.value, size);
        *n += size / bytes;
    }
    return !w.error;
}

static Const typed(Context *cx, Loc loc, const OnnxTensor *t, DType dtype, uint64_t elements) {
    uint64_t n = 0, stored = is_packed(dtype) ? stored_bytes(dtype, elements) : elements;
    unsigned bytes = (unsigned)dtype_bytes(dtype);
    /* A stored element takes at least one byte of the message: the declared count is not believed. */
    bool fits = stored <= t->message.n;
    uint8_t *to = fits ? arena_array(cx->arena, bytes, stored) : NULL;
    bool ok =
        fits && (fixed_typed(dtype) ? decode_fixed(t->message, typed_field(dtype), bytes, stored, to, &n)
                                    : decode_varints(cx->arena, t->message, typed_field(dtype), bytes, stored, to, &n));
    if (!ok || n != stored) {
        diag_error(cx, loc, "tensor '%s' does not hold the %llu %s elements that its shape declares", t->name,
                   (unsigned long long)elements, dtype_info[dtype].name);
        return (Const){0};
    }
    if (is_packed(dtype)) return const_data(cx, dtype, elements, unpack(cx->arena, dtype, to, elements));
    return const_data(cx, dtype, elements, dtype == DT_bool ? truth_values(cx->arena, to, elements) : to);
}

Const tensor_const(Context *cx, Loc loc, const OnnxTensor *t, const char *folder) {
    uint64_t elements;
    DType dtype = dtype_by_onnx(t->data_type);
    if (dtype == DT_none) {
        diag_error(cx, loc, "tensor '%s' has element type %lld (%s), which is not supported", t->name,
                   (long long)t->data_type,
                   t->data_type == 8                          ? "string"
                   : t->data_type == 14 || t->data_type == 15 ? "complex"
                                                              : "unknown");
        return (Const){0};
    }
    if (t->n_dims > MAX_RANK || !tensor_count(t, &elements)) {
        diag_error(cx, loc, "tensor '%s' has more than %d axes, a negative extent or too many elements", t->name,
                   MAX_RANK);
        return (Const){0};
    }
    if (t->external) return external(cx, loc, t, dtype, elements, folder);
    if (t->has_raw) return view(cx, loc, t, dtype, elements, t->raw);
    return typed(cx, loc, t, dtype, elements);
}
