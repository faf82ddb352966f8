/* constant.c: the elements of constants, interned by content on the Context.
 *
 * Data is never copied: a constant is a view of a mapped file or of arena memory that the caller
 * promised to keep, or is computed from another when it is read (constant_view.c), and then
 * interned by how.  The hash of more than 1 MiB samples the ends and 64 strided pages, so that a
 * model of many gigabytes is not read at import; bytes are compared in full where hashes meet, so
 * sampling costs time at worst, never correctness. Invariant: a dense constant whose elements all
 * have the same bits is a splat (an empty one is a splat of zero), unless the element is a NaN
 * whose payload a Scalar would lose.
 */
#include <string.h>

#include "ir.h"
#include "ir_tables.h"

typedef struct ConstTable {
    VEC(ConstInfo *) consts;
    Map by_hash;
} ConstTable;

static ConstTable *table(Context *cx) {
    struct IrTables *ir = ir_tables(cx);
    if (!ir->consts) {
        ConstTable *t = arena_alloc(cx->arena, sizeof *t);
        t->by_hash = map_new(cx->arena);
        vec_push(cx->arena, &t->consts, arena_alloc(cx->arena, sizeof(ConstInfo))); /* poison */
        ir->consts = t;
    }
    return ir->consts;
}

enum { WHOLE_BYTES = 1 << 20, END_BYTES = 64 << 10, SAMPLES = 64, PAGE_BYTES = 4096 };

static uint64_t hash_content(const uint8_t *data, size_t bytes) {
    if (bytes <= WHOLE_BYTES)
        return hash_bytes(data, bytes, bytes);
    uint64_t h = hash_bytes(data, END_BYTES, bytes);
    h = hash_bytes(data + bytes - END_BYTES, END_BYTES, h);
    size_t stride = (bytes - PAGE_BYTES) / SAMPLES;
    for (size_t i = 0; i < SAMPLES; i++)
        h = hash_bytes(data + i * stride, PAGE_BYTES, h);
    return h;
}

static bool same_view(const ConstView *a, const ConstView *b) {
    if (a->of.id != b->of.id || a->origin != b->origin || a->rank != b->rank)
        return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->stride[i] != b->stride[i] || a->dims[i] != b->dims[i])
            return false;
    return true;
}

static bool same_const(const ConstInfo *a, const ConstInfo *b) {
    if (a->dtype != b->dtype || a->encoding != b->encoding || a->splat != b->splat)
        return false;
    if (a->splat)
        return scalar_equal(a->dtype, a->value, b->value);
    if (a->elements != b->elements || !a->view != !b->view)
        return false;
    if (a->view)
        return same_view(a->view, b->view);
    return a->data == b->data ||
           memcmp(a->data, b->data, a->elements * (size_t)dtype_bytes(a->dtype)) == 0;
}

static Const intern_const(Context *cx, ConstInfo info) {
    ConstTable *t = table(cx);
    uint64_t h = hash_mix(hash_mix(info.hash, info.dtype), info.encoding);
    info.hash = hash_mix(h, info.splat);
    uint32_t cursor = 0, id;
    while ((id = map_next(&t->by_hash, info.hash, &cursor)))
        if (same_const(t->consts.at[id], &info))
            return (Const){id};
    id = t->consts.n;
    ConstInfo *copy = arena_copy(cx->arena, &info, sizeof info);
    vec_push(cx->arena, &t->consts, copy);
    map_add(&t->by_hash, info.hash, id);
    return (Const){id};
}

static size_t data_bytes(Context *cx, DType dtype, uint64_t elements) {
    size_t bytes;
    if (__builtin_mul_overflow(elements, (uint64_t)dtype_bytes(dtype), &bytes) ||
        bytes > PTRDIFF_MAX)
        BUG(cx, "a constant of %llu elements", (unsigned long long)elements);
    return bytes;
}

static bool all_equal(DType dtype, size_t bytes, const uint8_t *data) {
    size_t each = (size_t)dtype_bytes(dtype);
    if (memcmp(data, data + each, bytes - each) != 0)
        return false;
    uint8_t again[8];
    scalar_store(dtype, again, scalar_load(dtype, data));
    return memcmp(again, data, each) == 0;
}

Const const_data(Context *cx, DType dtype, uint64_t elements, const void *data) {
    REQUIRE(cx, dtype > DT_none && dtype < DT_COUNT);
    if (elements == 0)
        return const_splat(cx, dtype, (Scalar){.u = 0});
    size_t bytes = data_bytes(cx, dtype, elements);
    if (all_equal(dtype, bytes, data))
        return const_splat(cx, dtype, scalar_load(dtype, data));
    return intern_const(cx, (ConstInfo){.dtype = dtype,
                                        .elements = elements,
                                        .data = data,
                                        .hash = hash_content(data, bytes)});
}

Const const_encoded(Context *cx, DType dtype, Encoding encoding, uint64_t elements,
                    const void *data) {
    if (encoding == ENCODING_DENSE)
        return const_data(cx, dtype, elements, data);
    REQUIRE(cx, dtype > DT_none && dtype < DT_COUNT);
    size_t bytes = data_bytes(cx, dtype, elements);
    return intern_const(cx, (ConstInfo){.dtype = dtype,
                                        .encoding = encoding,
                                        .elements = elements,
                                        .data = data,
                                        .hash = hash_content(data, bytes)});
}

Const const_of_view(Context *cx, DType dtype, Encoding encoding, uint64_t elements, const ConstView *v) {
    uint64_t h = hash_mix(hash_mix(const_info(cx, v->of)->hash, (uint64_t)v->origin), v->rank);
    for (uint32_t i = 0; i < v->rank; i++)
        h = hash_mix(hash_mix(h, (uint64_t)v->stride[i]), (uint64_t)v->dims[i]);
    data_bytes(cx, dtype, elements);
    return intern_const(cx, (ConstInfo){.dtype = dtype,
                                        .encoding = encoding,
                                        .elements = elements,
                                        .view = arena_copy(cx->arena, v, sizeof *v),
                                        .hash = h});
}

const void *const_keep(Context *cx, Const c, const void *data) {
    return table(cx)->consts.at[c.id]->data = data;
}

Const const_splat(Context *cx, DType dtype, Scalar value) {
    REQUIRE(cx, dtype > DT_none && dtype < DT_COUNT);
    value = scalar_wrap(dtype, value);
    uint8_t bits[8] = {0};
    scalar_store(dtype, bits, value);
    bool nan = dtype_is_float(dtype) && value.f != value.f;
    return intern_const(cx, (ConstInfo){.dtype = dtype,
                                        .splat = true,
                                        .value = value,
                                        .elements = 1,
                                        .hash = nan ? 0 : hash_bytes(bits, sizeof bits, 0)});
}

const ConstInfo *const_info(Context *cx, Const c) {
    ConstTable *t = table(cx);
    REQUIRE(cx, c.id < t->consts.n);
    return t->consts.at[c.id];
}

Scalar const_element(Context *cx, Const c, uint64_t i) {
    const ConstInfo *info = const_info(cx, c);
    if (info->splat)
        return info->value;
    REQUIRE(cx, i < info->elements);
    return scalar_load(info->dtype,
                       (const uint8_t *)const_bytes(cx, c) + i * (size_t)dtype_bytes(info->dtype));
}
