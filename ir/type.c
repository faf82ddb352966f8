/* type.c: types, interned on the Context: equal types have equal ids.
 *
 * Ids are 1..n; 0 is poison and is what any constructor returns for poison parts (a diagnostic has
 * been given by then). TypeInfo records are individually allocated, so that pointers to them live
 * as long as the Context.
 */
#include <string.h>

#include "ir.h"
#include "ir_tables.h"

typedef struct TypeTable {
    VEC(const TypeInfo *) types;
    Map by_hash;
} TypeTable;

const char *const encoding_name[ENCODING_COUNT] = {
    [ENCODING_DENSE] = "dense", [ENCODING_PANEL16] = "panel16", [ENCODING_PAIR16] = "pair16", [ENCODING_PANEL64] = "panel64",
    [ENCODING_QUAD16] = "quad16"};

int64_t encoding_columns(Encoding e) {
    static const uint8_t columns[ENCODING_COUNT] = {
        [ENCODING_DENSE] = 1, [ENCODING_PANEL16] = 16, [ENCODING_PAIR16] = 16, [ENCODING_PANEL64] = 64,
        [ENCODING_QUAD16] = 16};
    return columns[e];
}

int64_t encoding_rows(Encoding e) { return e == ENCODING_PAIR16 ? 2 : e == ENCODING_QUAD16 ? 4 : 1; }

DType encoding_dtype(Encoding e, DType t) { return e == ENCODING_PAIR16 ? DT_bf16 : e == ENCODING_QUAD16 ? DT_i8 : t; }

uint32_t pair_axis(Context *cx, uint32_t rank, const Dim *dims) {
    return rank > 2 && dim_is(cx, dims[rank - 2], 1) ? rank - 3 : rank - 2;
}

static const TypeInfo poison_type = {.dtype = DT_none};

static TypeTable *table(Context *cx) {
    struct IrTables *ir = ir_tables(cx);
    if (!ir->types) {
        TypeTable *t = arena_alloc(cx->arena, sizeof *t);
        t->by_hash = map_new(cx->arena);
        vec_push(cx->arena, &t->types, &poison_type);
        ir->types = t;
    }
    return ir->types;
}

static uint64_t type_hash(const TypeInfo *t) {
    uint64_t h = hash_mix(hash_mix(hash_mix(1, t->dtype), t->encoding), t->rank);
    for (uint32_t i = 0; i < t->rank; i++)
        h = hash_mix(h, t->dtype == DT_none ? t->elements[i].id : t->dims[i].id);
    return h;
}

static bool same_type(const TypeInfo *a, const TypeInfo *b) {
    if (a->dtype != b->dtype || a->encoding != b->encoding || a->rank != b->rank)
        return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->dtype == DT_none ? a->elements[i].id != b->elements[i].id
                                : !dim_same(a->dims[i], b->dims[i]))
            return false;
    return true;
}

static Type intern_type(Context *cx, const TypeInfo *t) {
    TypeTable *types = table(cx);
    uint64_t hash = type_hash(t);
    uint32_t cursor = 0, id;
    while ((id = map_next(&types->by_hash, hash, &cursor)))
        if (same_type(types->types.at[id], t))
            return (Type){id};
    TypeInfo *copy = arena_copy(cx->arena, t, sizeof *t);
    if (t->dtype == DT_none)
        copy->elements = arena_copy(cx->arena, t->elements, t->rank * sizeof *t->elements);
    else
        copy->dims = arena_copy(cx->arena, t->dims, t->rank * sizeof *t->dims);
    id = types->types.n;
    vec_push(cx->arena, &types->types, copy);
    map_add(&types->by_hash, hash, id);
    return (Type){id};
}

Type type_tensor(Context *cx, DType dtype, uint32_t rank, const Dim *dims) {
    REQUIRE(cx, dtype > DT_none && dtype < DT_COUNT);
    REQUIRE(cx, rank <= MAX_RANK);
    for (uint32_t i = 0; i < rank; i++)
        if (dims[i].id == 0)
            return (Type){0};
    return intern_type(cx, &(TypeInfo){.dtype = dtype, .rank = rank, .dims = dims});
}

Type type_encoded(Context *cx, Type type, Encoding encoding) {
    if (type.id == 0)
        return type;
    TypeInfo t = *type_info(cx, type);
    REQUIRE(cx, t.dtype != DT_none);
    t.encoding = encoding;
    return intern_type(cx, &t);
}

Type type_tuple(Context *cx, uint32_t n, const Type *elements) {
    for (uint32_t i = 0; i < n; i++)
        if (elements[i].id == 0)
            return (Type){0};
    return intern_type(cx, &(TypeInfo){.dtype = DT_none, .rank = n, .elements = elements});
}

const TypeInfo *type_info(Context *cx, Type type) {
    TypeTable *types = table(cx);
    REQUIRE(cx, type.id < types->types.n);
    return types->types.at[type.id];
}

bool type_same_dims(const TypeInfo *a, const TypeInfo *b) {
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0;
}

Dim type_elements(Context *cx, Type type) {
    const TypeInfo *t = type_info(cx, type);
    REQUIRE(cx, t->dtype != DT_none);
    return dim_product(cx, t->dims, t->rank);
}

void type_print(Context *cx, Text *out, Type type) {
    const TypeInfo *t = type_info(cx, type);
    if (type.id == 0) {
        text_add(out, "poison");
        return;
    }
    bool tuple = t->dtype == DT_none;
    if (tuple)
        text_add(out, "(");
    else
        text_add(out, "%s[", dtype_info[t->dtype].name);
    for (uint32_t i = 0; i < t->rank; i++) {
        if (i)
            text_add(out, tuple ? ", " : ",");
        if (tuple)
            type_print(cx, out, t->elements[i]);
        else
            dim_print(cx, out, t->dims[i]);
    }
    text_add(out, tuple ? ")" : "]");
    if (t->encoding != ENCODING_DENSE)
        text_add(out, "{%s}", encoding_name[t->encoding]);
}

bool type_is_static(Context *cx, Type type) {
    const TypeInfo *t = type_info(cx, type);
    for (uint32_t i = 0; i < t->rank; i++) {
        int64_t value;
        if (t->dtype == DT_none ? !type_is_static(cx, t->elements[i])
                                : !dim_const_value(cx, t->dims[i], &value))
            return false;
    }
    return true;
}
