/* wire_tree.c: a protobuf message as a tree of pieces, by ONNX's schema, and back.
 *
 * Lengths are recomputed on writing, so that a mutation of the tree stays a well-formed file.  Packed integers become single
 * ones, which readers must take too; packed floats stay bytes.  Field numbers: onnx 1.22.
 */
#include "mutate.h"
#include <string.h>

enum { DEEPEST = 200 };

/* The message behind a length-delimited field, and the packed integers. */
static const struct { Message in; uint32_t field; Message is; } schema[] = {
    {MSG_MODEL, 7, MSG_GRAPH}, {MSG_MODEL, 8, MSG_OPSET}, {MSG_MODEL, 25, MSG_FUNCTION}, {MSG_MODEL, 14, MSG_ENTRY},
    {MSG_GRAPH, 1, MSG_NODE}, {MSG_GRAPH, 5, MSG_TENSOR}, {MSG_GRAPH, 11, MSG_VALUE}, {MSG_GRAPH, 12, MSG_VALUE},
    {MSG_GRAPH, 13, MSG_VALUE}, {MSG_GRAPH, 15, MSG_SPARSE}, {MSG_NODE, 5, MSG_ATTRIBUTE},
    {MSG_ATTRIBUTE, 5, MSG_TENSOR}, {MSG_ATTRIBUTE, 6, MSG_GRAPH}, {MSG_ATTRIBUTE, 10, MSG_TENSOR},
    {MSG_ATTRIBUTE, 11, MSG_GRAPH}, {MSG_ATTRIBUTE, 14, MSG_TYPE}, {MSG_ATTRIBUTE, 22, MSG_SPARSE},
    {MSG_VALUE, 2, MSG_TYPE}, {MSG_TYPE, 1, MSG_TENSOR_TYPE}, {MSG_TYPE, 4, MSG_SEQUENCE}, {MSG_TYPE, 9, MSG_SEQUENCE},
    {MSG_SEQUENCE, 1, MSG_TYPE}, {MSG_TENSOR_TYPE, 2, MSG_SHAPE}, {MSG_SHAPE, 1, MSG_DIM}, {MSG_TENSOR, 13, MSG_ENTRY},
    {MSG_FUNCTION, 7, MSG_NODE}, {MSG_FUNCTION, 9, MSG_OPSET}, {MSG_FUNCTION, 11, MSG_ATTRIBUTE},
    {MSG_SPARSE, 1, MSG_TENSOR}, {MSG_SPARSE, 2, MSG_TENSOR},
};
static const struct { Message in; uint32_t field; } packed[] = {
    {MSG_TENSOR, 1}, {MSG_TENSOR, 5}, {MSG_TENSOR, 7}, {MSG_TENSOR, 11}, {MSG_ATTRIBUTE, 8},
};

static Message message_of(Message in, uint32_t field) {
    for (uint32_t i = 0; i < COUNT(schema); i++)
        if (schema[i].in == in && schema[i].field == field) return schema[i].is;
    return MSG_NONE;
}

static bool is_packed(Message in, uint32_t field) {
    for (uint32_t i = 0; i < COUNT(packed); i++)
        if (packed[i].in == in && packed[i].field == field) return true;
    return false;
}

static bool take_varint(const uint8_t **at, const uint8_t *end, uint64_t *value) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        v |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) return *value = v, true;
    }
    return false;
}

static bool take_fixed(const uint8_t **at, const uint8_t *end, unsigned bytes, uint64_t *value) {
    if (end - *at < (ptrdiff_t)bytes) return false;
    *value = 0;
    for (unsigned i = 0; i < bytes; i++) *value |= (uint64_t)(*at)[i] << (8 * i);
    *at += bytes;
    return true;
}

static void leaf_number(Arena *arena, Piece *to, uint32_t field, uint32_t kind, uint64_t value) {
    tree_add(arena, to, field, kind, MSG_NONE)->value = value;
}

static bool read_parts(Arena *arena, Piece *to, const uint8_t *at, const uint8_t *end, uint32_t depth);

static bool read_bytes(Arena *arena, Piece *to, uint32_t field, const uint8_t *at, size_t n, uint32_t depth) {
    const uint8_t *end = at + n;
    if (is_packed(to->message, field) && n <= 4096) {
        uint64_t value;
        while (at < end) {
            if (!take_varint(&at, end, &value)) return false;
            leaf_number(arena, to, field, PIECE_VARINT, value);
        }
        return true;
    }
    Piece *p = tree_add(arena, to, field, PIECE_BYTES, message_of(to->message, field));
    p->bytes = at, p->n = n;
    if (p->message != MSG_NONE && (depth == DEEPEST || !read_parts(arena, p, at, end, depth + 1))) {
        p->message = MSG_NONE;
        p->parts.n = 0;
    }
    return true;
}

static bool read_parts(Arena *arena, Piece *to, const uint8_t *at, const uint8_t *end, uint32_t depth) {
    while (at < end) {
        uint64_t key, value;
        if (!take_varint(&at, end, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX >> 3) return false;
        uint32_t field = (uint32_t)(key >> 3), kind = key & 7;
        switch (kind) {
        case PIECE_VARINT:
            if (!take_varint(&at, end, &value)) return false;
            leaf_number(arena, to, field, kind, value);
            break;
        case PIECE_FIXED32: case PIECE_FIXED64:
            if (!take_fixed(&at, end, kind == PIECE_FIXED32 ? 4 : 8, &value)) return false;
            leaf_number(arena, to, field, kind, value);
            break;
        case PIECE_BYTES:
            if (!take_varint(&at, end, &value) || value > (uint64_t)(end - at)) return false;
            if (!read_bytes(arena, to, field, at, (size_t)value, depth)) return false;
            at += value;
            break;
        default: return false;
        }
    }
    return true;
}

Piece *tree_read(Arena *arena, Message message, const uint8_t *bytes, size_t n) {
    Piece *root = arena_new_array(arena, Piece, 1);
    *root = (Piece){.kind = PIECE_BYTES, .message = message, .bytes = bytes, .n = n};
    if (!read_parts(arena, root, bytes, bytes + n, 0)) {
        root->message = MSG_NONE;
        root->parts.n = 0;
    }
    return root;
}

/* ---- writing -------------------------------------------------------------------------------------------------------- */

static void put_varint(Text *out, uint64_t v) {
    char bytes[10];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) bytes[n++] = (char)(v | 0x80);
    bytes[n++] = (char)v;
    text_add_n(out, bytes, n);
}

static void write_piece(const Piece *p, Text *out) {
    put_varint(out, (uint64_t)p->field << 3 | p->kind);
    if (p->kind == PIECE_VARINT) put_varint(out, p->value);
    if (p->kind == PIECE_FIXED32) text_add_n(out, (const char *)&p->value, 4);
    if (p->kind == PIECE_FIXED64) text_add_n(out, (const char *)&p->value, 8);
    if (p->kind != PIECE_BYTES) return;
    Text inner = text_new(out->arena);
    tree_write(p, &inner);
    put_varint(out, inner.n);
    if (inner.n) text_add_n(out, inner.at, inner.n);
}

void tree_write(const Piece *p, Text *out) {
    if (p->message == MSG_NONE) {
        if (p->n) text_add_n(out, (const char *)p->bytes, p->n);
        return;
    }
    for (uint32_t i = 0; i < p->parts.n; i++) write_piece(p->parts.at[i], out);
}

/* ---- editing -------------------------------------------------------------------------------------------------------- */

Piece *tree_copy(Arena *arena, const Piece *p) {
    Piece *to = arena_copy(arena, p, sizeof *p);
    to->parts.at = NULL, to->parts.n = to->parts.cap = 0;
    for (uint32_t i = 0; i < p->parts.n; i++) vec_push(arena, &to->parts, tree_copy(arena, p->parts.at[i]));
    return to;
}

Piece *tree_part(const Piece *p, uint32_t field) {
    for (uint32_t i = 0; i < p->parts.n; i++)
        if (p->parts.at[i]->field == field) return p->parts.at[i];
    return NULL;
}

Piece *tree_add(Arena *arena, Piece *to, uint32_t field, uint32_t kind, Message message) {
    Piece *p = arena_new_array(arena, Piece, 1);
    *p = (Piece){.field = field, .kind = kind, .message = message};
    vec_push(arena, &to->parts, p);
    return p;
}

void tree_insert(Arena *arena, Piece *to, uint32_t index, Piece *part) {
    vec_push(arena, &to->parts, part);
    if (index >= to->parts.n) return;
    memmove(to->parts.at + index + 1, to->parts.at + index, (to->parts.n - 1 - index) * sizeof *to->parts.at);
    to->parts.at[index] = part;
}

void tree_remove(Piece *from, uint32_t index) {
    if (index >= from->parts.n) return;
    memmove(from->parts.at + index, from->parts.at + index + 1, (from->parts.n - 1 - index) * sizeof *from->parts.at);
    from->parts.n--;
}

void tree_set_number(Arena *arena, Piece *p, uint32_t field, int64_t value) {
    Piece *part = tree_part(p, field);
    if (!part) part = tree_add(arena, p, field, PIECE_VARINT, MSG_NONE);
    part->kind = PIECE_VARINT;
    part->message = MSG_NONE;
    part->value = (uint64_t)value;
}

void tree_set_text(Arena *arena, Piece *p, uint32_t field, const char *text) {
    Piece *part = tree_part(p, field);
    if (!part) part = tree_add(arena, p, field, PIECE_BYTES, MSG_NONE);
    part->kind = PIECE_BYTES;
    part->message = MSG_NONE;
    part->bytes = arena_copy(arena, text, strlen(text));
    part->n = strlen(text);
}

const char *tree_text(Arena *arena, const Piece *p, uint32_t field) {
    const Piece *part = tree_part(p, field);
    if (!part || part->kind != PIECE_BYTES || part->message != MSG_NONE) return "";
    return arena_print(arena, "%.*s", (int)part->n, part->bytes ? (const char *)part->bytes : "");
}
