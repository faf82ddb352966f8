/* wire.c: a zero-copy pull reader of protobuf's wire format, first stage of the ONNX importer.
 *
 * A Wire walks the fields of one message; the caller switches on number and kind.  Numbers may be overlong varints (at
 * most ten bytes); repeated scalars come packed or one by one; unknown fields are passed over; groups are refused.
 * Nothing is read beyond the span, whatever the bytes.  Source: protobuf.dev, "Encoding".
 */
#include "onnx.h"
#include <string.h>

static bool wire_fail(Wire *w, const char *why) {
    if (!w->error) w->error = why;
    return false;
}

bool wire_varint(Wire *w, uint64_t *value) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (w->at == w->end) return wire_fail(w, "number cut off at the end of its message");
        uint8_t byte = *w->at++;
        if (shift < 64) v |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) {
            *value = v;
            return true;
        }
    }
    return wire_fail(w, "number of more than ten bytes");
}

static bool wire_fixed(Wire *w, unsigned bytes, uint64_t *value) {
    if ((size_t)(w->end - w->at) < bytes) return wire_fail(w, "fixed-width number cut off at the end of its message");
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++) v |= (uint64_t)w->at[i] << (8 * i);
    w->at += bytes;
    *value = v;
    return true;
}

bool wire_next(Wire *w, Field *f) {
    uint64_t key, n;
    if (w->error || w->at == w->end) return false;
    if (!wire_varint(w, &key)) return false;
    if (key >> 3 == 0 || key >> 3 > 0x1FFFFFFF) return wire_fail(w, "field number out of range");
    *f = (Field){.number = (uint32_t)(key >> 3)};
    switch (key & 7) {
    case WIRE_VARINT: f->kind = WIRE_VARINT; return wire_varint(w, &f->value);
    case WIRE_FIXED64: f->kind = WIRE_FIXED64; return wire_fixed(w, 8, &f->value);
    case WIRE_FIXED32: f->kind = WIRE_FIXED32; return wire_fixed(w, 4, &f->value);
    case WIRE_BYTES:
        f->kind = WIRE_BYTES;
        if (!wire_varint(w, &n)) return false;
        if (n > (uint64_t)(w->end - w->at)) return wire_fail(w, "field longer than its message");
        f->bytes = (Span){w->at, (size_t)n};
        w->at += n;
        return true;
    case 3:
    case 4: return wire_fail(w, "a group, which ONNX does not use");
    default: return wire_fail(w, "a field of unknown wire type");
    }
}

bool wire_ints(Arena *arena, const Field *f, IntVec *to) {
    if (f->kind == WIRE_VARINT) {
        vec_push(arena, to, (int64_t)f->value);
        return true;
    }
    if (f->kind != WIRE_BYTES) return false;
    Wire w = wire_open(f->bytes);
    while (w.at < w.end) {
        uint64_t v;
        if (!wire_varint(&w, &v)) return false;
        vec_push(arena, to, (int64_t)v);
    }
    return true;
}

static double float_bits(uint64_t bits, unsigned bytes) {
    if (bytes == 8) {
        double d;
        memcpy(&d, &bits, 8);
        return d;
    }
    uint32_t low = (uint32_t)bits;
    float s;
    memcpy(&s, &low, 4);
    return (double)s;
}

bool wire_floats(Arena *arena, const Field *f, FloatVec *to) {
    if (f->kind == WIRE_FIXED32 || f->kind == WIRE_FIXED64) {
        vec_push(arena, to, float_bits(f->value, f->kind == WIRE_FIXED32 ? 4 : 8));
        return true;
    }
    if (f->kind != WIRE_BYTES || f->bytes.n % 4 != 0) return false;
    Wire w = wire_open(f->bytes);
    while (w.at < w.end) {
        uint64_t v;
        if (!wire_fixed(&w, 4, &v)) return false;
        vec_push(arena, to, float_bits(v, 4));
    }
    return true;
}
