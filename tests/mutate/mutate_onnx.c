/* mutate_onnx.c: a mutant of an ONNX model: mutations of types, extents, attributes and data, and the choice among all.
 *
 * Most mutations keep the file well-formed and many keep it consistent (an extent changed wherever it occurs), so that
 * mutants reach the passes and the templates and not the wire reader alone; some break bytes at random.
 */
#include "mutate.h"
#include <string.h>

/* ---- picking -------------------------------------------------------------------------------------------------------- */

static void find(Mutant *m, Piece *p) {
    if (p->message != MSG_NONE) vec_push(m->arena, &m->found[p->message], p);
    for (uint32_t i = 0; i < p->parts.n; i++) find(m, p->parts.at[i]);
}

static void find_all(Mutant *m) {
    for (uint32_t i = 0; i < MESSAGES; i++) m->found[i].n = 0;
    find(m, m->root);
}

Piece *mutant_pick(Mutant *m, Message message) {
    uint32_t n = m->found[message].n;
    return n ? m->found[message].at[random_below(&m->random, n)] : NULL;
}

Piece *mutant_donor(Mutant *m, Message message) {
    const Seed *seed = &m->seeds->at[random_below(&m->random, m->seeds->n)];
    if (seed->n > 32768) return NULL;
    Mutant other = {.arena = m->arena, .random = m->random, .seeds = m->seeds};
    other.root = tree_read(m->arena, MSG_MODEL, seed->bytes, seed->n);
    find_all(&other);
    Piece *p = mutant_pick(&other, message);
    m->random = other.random;
    return p ? tree_copy(m->arena, p) : NULL;
}

/* ---- attributes ----------------------------------------------------------------------------------------------------- */

static bool attribute_number(Mutant *m) {
    Piece *a = mutant_pick(m, MSG_ATTRIBUTE);
    if (!a || !a->parts.n) return false;
    for (uint32_t tries = 0; tries < 8; tries++) {
        Piece *p = a->parts.at[random_below(&m->random, a->parts.n)];
        if (p->field == 3 || p->field == 8) {
            p->value = (uint64_t)random_number(&m->random);
            return true;
        }
        if (p->field == 2 || (p->field == 7 && p->kind == PIECE_FIXED32)) {
            static const float edges[] = {0, -0.0f, 1, -1, 1e-30f, 3e38f, -3e38f, 0.5f, 1e9f, 2147483648.0f, 1e19f};
            float f = edges[random_below(&m->random, (uint32_t)COUNT(edges))];
            uint32_t bits;
            memcpy(&bits, &f, 4);
            static const uint32_t special[] = {0x7FC00000, 0x7F800000, 0xFF800000, 1};
            p->value = random_chance(&m->random, 30) ? special[random_below(&m->random, 4)] : bits;
            return true;
        }
    }
    return false;
}

static bool attribute_list(Mutant *m) {
    Piece *a = mutant_pick(m, MSG_ATTRIBUTE);
    if (!a) return false;
    uint32_t field = tree_part(a, 8) ? 8 : tree_part(a, 7) ? 7 : 0;
    if (!field) return false;
    if (random_chance(&m->random, 50)) {
        Piece *p = tree_part(a, field);
        tree_insert(m->arena, a, random_below(&m->random, a->parts.n), tree_copy(m->arena, p));
        return true;
    }
    for (uint32_t i = 0; i < a->parts.n; i++)
        if (a->parts.at[i]->field == field) return tree_remove(a, i), true;
    return false;
}

static bool attribute_drop(Mutant *m) {
    Piece *n = mutant_pick(m, MSG_NODE);
    for (uint32_t i = 0; n && i < n->parts.n; i++)
        if (n->parts.at[i]->field == 5 && random_chance(&m->random, 60)) return tree_remove(n, i), true;
    return false;
}

static bool attribute_add(Mutant *m) {
    Piece *n = mutant_pick(m, MSG_NODE), *a = n ? mutant_donor(m, MSG_ATTRIBUTE) : NULL;
    if (!a) return false;
    a->field = 5;
    vec_push(m->arena, &n->parts, a);
    return true;
}

static bool attribute_rename(Mutant *m) {
    Piece *a = mutant_pick(m, MSG_ATTRIBUTE), *other = mutant_donor(m, MSG_ATTRIBUTE);
    if (!a || !other) return false;
    tree_set_text(m->arena, a, 1, tree_text(m->arena, other, 1));
    return true;
}

static bool attribute_type(Mutant *m) {
    Piece *a = mutant_pick(m, MSG_ATTRIBUTE);
    if (!a) return false;
    tree_set_number(m->arena, a, 20, (int64_t)random_below(&m->random, 16));
    return true;
}

static bool attribute_text(Mutant *m) {
    for (uint32_t tries = 0; tries < 6; tries++) {
        Piece *a = mutant_pick(m, MSG_ATTRIBUTE), *other = mutant_donor(m, MSG_ATTRIBUTE);
        if (!a || !other || !tree_part(a, 4) || !tree_part(other, 4)) continue;
        tree_set_text(m->arena, a, 4, random_chance(&m->random, 80) ? tree_text(m->arena, other, 4) : "%s%n\xff,,->");
        return true;
    }
    return false;
}

/* ---- tensors -------------------------------------------------------------------------------------------------------- */

static bool tensor_extent(Mutant *m) {
    Piece *t = mutant_pick(m, MSG_TENSOR);
    if (!t) return false;
    Piece *d = tree_part(t, 1);
    uint32_t how = random_below(&m->random, 3);
    if (how == 0 || !d) tree_add(m->arena, t, 1, PIECE_VARINT, MSG_NONE)->value = (uint64_t)random_number(&m->random);
    else if (how == 1) d->value = (uint64_t)random_number(&m->random);
    else
        for (uint32_t i = 0; i < t->parts.n; i++)
            if (t->parts.at[i] == d) return tree_remove(t, i), true;
    return true;
}

static bool tensor_type(Mutant *m) {
    Piece *t = mutant_pick(m, MSG_TENSOR);
    if (!t) return false;
    tree_set_number(m->arena, t, 2, (int64_t)random_below(&m->random, 27));
    return true;
}

static bool tensor_length(Mutant *m) {
    Piece *t = mutant_pick(m, MSG_TENSOR), *raw = t ? tree_part(t, 9) : NULL;
    if (!raw) return false;
    size_t n =
        random_chance(&m->random, 50) ? random_below(&m->random, (uint32_t)raw->n + 1) : raw->n + random_below(&m->random, 17);
    uint8_t *bytes = arena_alloc(m->arena, n + 1);
    if (raw->n) memcpy(bytes, raw->bytes, n < raw->n ? n : raw->n);
    raw->bytes = bytes, raw->n = n;
    return true;
}

/* One element, under the width of the tensor's type: axes, shapes, pads, indices and scales are such tensors. */
static bool tensor_element(Mutant *m) {
    Piece *t = mutant_pick(m, MSG_TENSOR);
    if (!t) return false;
    Piece *raw = tree_part(t, 9), *typed = tree_part(t, 7);
    if (!typed) typed = tree_part(t, 5);
    if (!raw || !raw->n) {
        if (typed && typed->kind == PIECE_VARINT) typed->value = (uint64_t)random_number(&m->random);
        return typed != NULL;
    }
    Piece *type = tree_part(t, 2);
    uint64_t code = type ? type->value : 1, bits = (uint64_t)random_number(&m->random);
    size_t each = code == 7 || code == 11 || code == 13  ? 8
                  : code == 1 || code == 6 || code == 12 ? 4
                  : code == 10 || code == 16             ? 2
                                                         : 1;
    if (raw->n < each) return false;
    if (code == 1) {
        float f = (float)(int64_t)bits;
        uint32_t low;
        memcpy(&low, &f, 4);
        bits = random_chance(&m->random, 30) ? UINT64_C(0x7FC00000) : low;
    }
    uint8_t *bytes = arena_copy(m->arena, raw->bytes, raw->n);
    memcpy(bytes + random_below(&m->random, (uint32_t)(raw->n / each)) * each, &bits, each);
    raw->bytes = bytes;
    return true;
}

static bool tensor_external(Mutant *m) {
    static const char *const places[] = {"../../../../etc/passwd", "/etc/passwd", "a/../../b", "", ".", "weights.bin", "\xff"};
    static const char *const numbers[] = {"0", "-1", "18446744073709551615", "9223372036854775807", "4096", "1e3", ""};
    static const char *const keys[] = {"location", "offset", "length", "checksum"};
    Piece *t = mutant_pick(m, MSG_TENSOR);
    if (!t) return false;
    tree_set_number(m->arena, t, 14, 1);
    for (uint32_t i = 0; i < COUNT(keys); i++) {
        if (random_chance(&m->random, 30)) continue;
        Piece *e = tree_add(m->arena, t, 13, PIECE_BYTES, MSG_ENTRY);
        tree_set_text(m->arena, e, 1, keys[i]);
        tree_set_text(m->arena, e, 2,
                      i ? numbers[random_below(&m->random, (uint32_t)COUNT(numbers))]
                        : places[random_below(&m->random, (uint32_t)COUNT(places))]);
    }
    return true;
}

/* ---- types of values -------------------------------------------------------------------------------------------------- */

static bool value_extent(Mutant *m) {
    static const char *const names[] = {"N", "M", "batch", "seq"};
    Piece *d = mutant_pick(m, MSG_DIM);
    if (!d) return false;
    d->parts.n = 0;
    if (random_chance(&m->random, 60)) tree_set_number(m->arena, d, 1, random_number(&m->random));
    else tree_set_text(m->arena, d, 2, names[random_below(&m->random, (uint32_t)COUNT(names))]);
    return true;
}

static bool value_rank(Mutant *m) {
    Piece *s = mutant_pick(m, MSG_SHAPE);
    if (!s) return false;
    if (s->parts.n && random_chance(&m->random, 50)) tree_remove(s, random_below(&m->random, s->parts.n));
    else {
        Piece *d = tree_add(m->arena, s, 1, PIECE_BYTES, MSG_DIM);
        tree_set_number(m->arena, d, 1, (int64_t)random_below(&m->random, 4));
        if (random_chance(&m->random, 5))
            for (uint32_t i = 0; i < 40; i++) vec_push(m->arena, &s->parts, tree_copy(m->arena, d));
    }
    return true;
}

static bool value_no_shape(Mutant *m) {
    Piece *t = mutant_pick(m, MSG_TENSOR_TYPE);
    for (uint32_t i = 0; t && i < t->parts.n; i++)
        if (t->parts.at[i]->field == 2) return tree_remove(t, i), true;
    return false;
}

static bool value_type(Mutant *m) {
    Piece *t = mutant_pick(m, MSG_TENSOR_TYPE);
    if (!t) return false;
    tree_set_number(m->arena, t, 1, (int64_t)random_below(&m->random, 27));
    return true;
}

static bool value_nested(Mutant *m) {
    Piece *t = mutant_pick(m, MSG_TYPE);
    if (!t) return false;
    uint32_t depth = random_chance(&m->random, 70) ? 1 : 150;
    for (uint32_t i = 0; i < depth; i++) {
        Piece *inner = tree_copy(m->arena, t);
        t->parts.n = 0;
        Piece *s = tree_add(m->arena, t, random_chance(&m->random, 50) ? 4 : 9, PIECE_BYTES, MSG_SEQUENCE);
        inner->field = 1;
        vec_push(m->arena, &s->parts, inner);
        t = inner;
    }
    return true;
}

static void name_dims(Mutant *m, Piece *shape, uint32_t percent) {
    for (uint32_t i = 0; i < shape->parts.n; i++) {
        Piece *d = shape->parts.at[i], *v = tree_part(d, 1);
        if (!v || v->value < 2 || !random_chance(&m->random, percent)) continue;
        const char *name = arena_print(m->arena, "d%llu", (unsigned long long)v->value);
        d->parts.n = 0;
        tree_set_text(m->arena, d, 2, name);
    }
}

/* Equal extents become equal symbols: the model stays as consistent as it was. */
static bool all_symbolic(Mutant *m) {
    uint32_t percent = random_chance(&m->random, 60) ? 100 : 50;
    for (uint32_t i = 0; i < m->found[MSG_SHAPE].n; i++) name_dims(m, m->found[MSG_SHAPE].at[i], percent);
    return m->found[MSG_SHAPE].n > 0;
}

static bool all_types(Mutant *m) {
    Piece *picked = mutant_pick(m, MSG_TENSOR_TYPE), *code = picked ? tree_part(picked, 1) : NULL;
    if (!code) return false;
    uint64_t old = code->value, new = random_below(&m->random, 23);
    for (uint32_t i = 0; i < m->found[MSG_TENSOR_TYPE].n; i++) {
        Piece *p = tree_part(m->found[MSG_TENSOR_TYPE].at[i], 1);
        if (p && p->value == old) p->value = new;
    }
    for (uint32_t i = 0; i < m->found[MSG_TENSOR].n; i++) {
        Piece *p = tree_part(m->found[MSG_TENSOR].at[i], 2);
        if (p && p->value == old) p->value = new;
    }
    return true;
}

static bool all_extents(Mutant *m) {
    Piece *picked = mutant_pick(m, MSG_DIM), *d = picked ? tree_part(picked, 1) : NULL;
    if (!d) return false;
    uint64_t old = d->value, new = (uint64_t)random_number(&m->random);
    if (random_chance(&m->random, 50)) new = random_below(&m->random, 70);
    for (uint32_t i = 0; i < m->found[MSG_DIM].n; i++) {
        Piece *p = tree_part(m->found[MSG_DIM].at[i], 1);
        if (p && p->value == old) p->value = new;
    }
    return true;
}

static bool opset(Mutant *m) {
    static const int64_t versions[] = {1,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17,       18,
                                       19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 0,  -1, INT64_MAX};
    Piece *o = mutant_pick(m, MSG_OPSET);
    if (!o) return false;
    tree_set_number(m->arena, o, 2, versions[random_below(&m->random, (uint32_t)COUNT(versions))]);
    return true;
}

/* ---- any piece at all ---------------------------------------------------------------------------------------------------- */

static bool any_piece(Mutant *m) {
    Piece *p = mutant_pick(m, (Message)(1 + random_below(&m->random, MESSAGES - 1)));
    if (!p || !p->parts.n) return false;
    uint32_t i = random_below(&m->random, p->parts.n);
    Piece *part = p->parts.at[i];
    switch (random_below(&m->random, 5)) {
    case 0: tree_remove(p, i); break;
    case 1: tree_insert(m->arena, p, random_below(&m->random, p->parts.n), tree_copy(m->arena, part)); break;
    case 2: part->field = 1 + random_below(&m->random, 26); break;
    case 3:
        part->kind = (uint32_t[]){0, 1, 2, 5, 3, 4}[random_below(&m->random, 6)];
        part->message = part->kind == PIECE_BYTES ? part->message : MSG_NONE;
        break;
    default:
        part->value = random_bits(&m->random);
        if (part->kind == PIECE_BYTES && part->message == MSG_NONE) part->n = random_below(&m->random, (uint32_t)part->n + 1);
    }
    return true;
}

static const Mutation value_mutations[] = {
    {"attribute_number", attribute_number, 16}, {"attribute_list", attribute_list, 4}, {"attribute_drop", attribute_drop, 4},
    {"attribute_add", attribute_add, 2}, {"attribute_rename", attribute_rename, 1}, {"attribute_type", attribute_type, 1},
    {"attribute_text", attribute_text, 3}, {"tensor_extent", tensor_extent, 4}, {"tensor_type", tensor_type, 2},
    {"tensor_length", tensor_length, 1}, {"tensor_element", tensor_element, 8}, {"tensor_external", tensor_external, 1},
    {"value_extent", value_extent, 10}, {"value_rank", value_rank, 4}, {"value_no_shape", value_no_shape, 1},
    {"value_type", value_type, 3}, {"value_nested", value_nested, 1}, {"all_symbolic", all_symbolic, 8},
    {"all_types", all_types, 8}, {"all_extents", all_extents, 14}, {"opset", opset, 3}, {"any_piece", any_piece, 3},
};

static void mutate_once(Mutant *m) {
    uint32_t total = 0;
    for (uint32_t i = 0; i < COUNT(value_mutations); i++) total += value_mutations[i].weight;
    for (uint32_t i = 0; i < n_structure_mutations; i++) total += structure_mutations[i].weight;
    for (uint32_t tries = 0; tries < 20; tries++) {
        find_all(m);
        uint32_t at = random_below(&m->random, total);
        const Mutation *chosen = value_mutations;
        while (at >= chosen->weight) {
            at -= chosen->weight;
            chosen = chosen == &value_mutations[COUNT(value_mutations) - 1] ? structure_mutations : chosen + 1;
        }
        if (chosen->fn(m)) return;
    }
}

static void break_bytes(Random *r, Text *out) {
    for (uint32_t i = 0, n = 1 + random_below(r, 4); i < n && out->n; i++) {
        size_t at = random_below(r, (uint32_t)out->n);
        switch (random_below(r, 4)) {
        case 0: out->at[at] = (char)random_bits(r); break;
        case 1: out->at[at] = (char)(out->at[at] ^ 1 << random_below(r, 8)); break;
        case 2: out->n = at; break;
        default:
            memmove(out->at + at, out->at + at + 1, out->n - at - 1);
            out->n--;
        }
    }
}

void mutate_onnx(Arena *arena, const Seeds *seeds, uint64_t seed, uint64_t number, Text *out) {
    Mutant m = {.arena = arena, .random = random_of(seed, number), .seeds = seeds};
    const Seed *from = &seeds->at[random_below(&m.random, seeds->n)];
    bool bytes = random_chance(&m.random, 6);
    m.root = tree_read(arena, MSG_MODEL, from->bytes, from->n);
    for (uint32_t n = bytes ? 0 : 1; n && n <= 6; n = random_chance(&m.random, 45) ? n + 1 : 0) mutate_once(&m);
    tree_write(m.root, out);
    if (bytes) break_bytes(&m.random, out);
}
