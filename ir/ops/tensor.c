/* tensor.c: tensors of the reference semantics: allocation, typed element access in blocks, strided
 * copies, and the evaluator shared by all elementwise ops.
 *
 * A tensor is dense row-major memory or a splat.  Blocks of typed scalars keep the cost of dtype
 * dispatch off the inner loops; ref_<op> sees one element at a time.
 */
#include <string.h>
#include "ops.h"

#define BLOCK 256

int64_t product_of(const int64_t *extents, uint32_t n) {
    uint64_t p = 1; /* unsigned: a zero extent may stand beside extents whose product overflows */
    for (uint32_t i = 0; i < n; i++)
        p *= (uint64_t)extents[i];
    return (int64_t)p;
}

int64_t tensor_elements(const Tensor *t) { return product_of(t->dims, t->rank); }

Scalar tensor_at(const Tensor *t, int64_t i) {
    if (t->splat)
        return t->value;
    return scalar_load(t->dtype, (const uint8_t *)t->data + i * dtype_bytes(t->dtype));
}

bool tensor_alloc(const Interp *ip, DType dtype, uint32_t rank, const int64_t *dims, Tensor *out) {
    *out = (Tensor){.dtype = dtype, .rank = rank};
    int64_t bytes = dtype_bytes(dtype);
    bool empty = false, ok = true;
    for (uint32_t i = 0; i < rank; i++) {
        out->dims[i] = dims[i];
        if (dims[i] < 0) {
            diag_error(ip->cx, ip->loc, "extent of axis %u is %lld, expected at least 0", i,
                       (long long)dims[i]);
            return false;
        }
        empty |= dims[i] == 0;
    }
    for (uint32_t i = 0; i < rank && !empty; i++)
        ok = ok && ck_mul(bytes, dims[i], &bytes);
    if (!ok) {
        diag_error(ip->cx, ip->loc, "tensor is larger than 2^63 bytes");
        return false;
    }
    out->data = arena_alloc(ip->arena, empty ? 0 : (size_t)bytes);
    return true;
}

bool tensor_new(const Interp *ip, Type type, Tensor *out) {
    const TypeInfo *t = type_info(ip->cx, type);
    int64_t dims[MAX_RANK];
    return interp_dims(ip, t->dims, t->rank, dims) &&
           tensor_alloc(ip, t->dtype, t->rank, dims, out);
}

Tensor tensor_splat(DType dtype, uint32_t rank, const int64_t *dims, Scalar value) {
    Tensor t = {.dtype = dtype, .rank = rank, .splat = true, .value = value};
    for (uint32_t i = 0; i < rank; i++)
        t.dims[i] = dims[i];
    return t;
}

bool tensor_dense(const Interp *ip, const Tensor *t, Tensor *out) {
    if (!t->splat) {
        *out = *t;
        return true;
    }
    if (!tensor_alloc(ip, t->dtype, t->rank, t->dims, out))
        return false;
    int64_t n = tensor_elements(t), bytes = dtype_bytes(t->dtype);
    if (n == 0)
        return true;
    uint8_t *at = out->data;
    scalar_store(t->dtype, at, t->value);
    for (int64_t i = 1; i < n; i++)
        memcpy(at + i * bytes, at, (size_t)bytes);
    return true;
}

void tensor_strides(const Tensor *t, int64_t strides[MAX_RANK]) {
    int64_t s = 1;
    for (uint32_t i = t->rank; i-- > 0;) {
        strides[i] = s;
        s *= t->dims[i];
    }
}

Strided strided_of(const Tensor *t) {
    Strided s = {.at = t->data};
    tensor_strides(t, s.stride);
    return s;
}

/* ---- blocks of typed scalars ---- */

void tensor_load(const Tensor *t, int64_t from, uint32_t n, Scalar *to) {
    DType d = t->dtype;
    if (t->splat) {
        for (uint32_t i = 0; i < n; i++)
            to[i] = t->value;
    } else if (d == DT_f32) {
        const float *at = (const float *)t->data + from;
        for (uint32_t i = 0; i < n; i++)
            to[i].f = at[i];
    } else if (d == DT_f64) {
        memcpy(to, (const double *)t->data + from, n * sizeof *to);
    } else if (d == DT_i64 || d == DT_u64) {
        memcpy(to, (const int64_t *)t->data + from, n * sizeof *to);
    } else if (d == DT_i32) {
        const int32_t *at = (const int32_t *)t->data + from;
        for (uint32_t i = 0; i < n; i++)
            to[i].i = at[i];
    } else if (d == DT_bool) {
        const uint8_t *at = (const uint8_t *)t->data + from;
        for (uint32_t i = 0; i < n; i++)
            to[i].u = at[i];
    } else {
        const uint8_t *at = (const uint8_t *)t->data + from * dtype_bytes(d);
        for (uint32_t i = 0; i < n; i++)
            to[i] = scalar_load(d, at + i * dtype_bytes(d));
    }
}

/* Rounds or wraps to the dtype on the way. */
void tensor_store(Tensor *t, int64_t to, uint32_t n, const Scalar *from) {
    DType d = t->dtype;
    if (d == DT_f32) {
        float *at = (float *)t->data + to;
        for (uint32_t i = 0; i < n; i++)
            at[i] = (float)from[i].f;
    } else if (d == DT_f64) {
        memcpy((double *)t->data + to, from, n * sizeof *from);
    } else if (d == DT_i64 || d == DT_u64) {
        memcpy((int64_t *)t->data + to, from, n * sizeof *from);
    } else if (d == DT_i32) {
        int32_t *at = (int32_t *)t->data + to;
        for (uint32_t i = 0; i < n; i++)
            at[i] = (int32_t)(uint32_t)from[i].u;
    } else {
        uint8_t *at = (uint8_t *)t->data + to * dtype_bytes(d);
        for (uint32_t i = 0; i < n; i++)
            scalar_store(d, at + i * dtype_bytes(d), scalar_wrap(d, from[i]));
    }
}

int64_t tensor_int(const Tensor *t, int64_t i) {
    Scalar s = tensor_at(t, i);
    if (dtype_is_signed(t->dtype))
        return s.i;
    return s.u > INT64_MAX ? INT64_MAX : (int64_t)s.u;
}

/* ---- strided copies ---- */

bool index_next(const int64_t *extents, uint32_t rank, int64_t *index) {
    for (uint32_t i = rank; i-- > 0;) {
        if (++index[i] < extents[i])
            return true;
        index[i] = 0;
    }
    return false;
}

static void copy_row(int64_t bytes, int64_t n, uint8_t *to, int64_t to_step, const uint8_t *from,
                     int64_t from_step) {
    if (to_step == 1 && from_step == 1) {
        memcpy(to, from, (size_t)(n * bytes));
        return;
    }
    switch (bytes) {
    case 1:
        for (int64_t i = 0; i < n; i++)
            to[i * to_step] = from[i * from_step];
        break;
    case 4:
        for (int64_t i = 0; i < n; i++)
            ((uint32_t *)(void *)to)[i * to_step] =
                ((const uint32_t *)(const void *)from)[i * from_step];
        break;
    default:
        for (int64_t i = 0; i < n; i++)
            memcpy(to + i * to_step * bytes, from + i * from_step * bytes, (size_t)bytes);
    }
}

void strided_copy(int64_t bytes, uint32_t rank, const int64_t *extents, Strided to, Strided from) {
    for (uint32_t i = 0; i < rank; i++)
        if (extents[i] <= 0)
            return;
    if (rank == 0) {
        memcpy(to.at, from.at, (size_t)bytes);
        return;
    }
    uint32_t last = rank - 1;
    int64_t index[MAX_RANK] = {0};
    do {
        int64_t t = 0, f = 0;
        for (uint32_t i = 0; i < last; i++) {
            t += index[i] * to.stride[i];
            f += index[i] * from.stride[i];
        }
        copy_row(bytes, extents[last], to.at + t * bytes, to.stride[last], from.at + f * bytes,
                 from.stride[last]);
    } while (index_next(extents, last, index));
}

/* ---- run-time indices ---- */

bool index_check(const Interp *ip, const Node *n, const Tensor *indices, int64_t position,
                 int64_t value, int64_t extent) {
    if (value >= 0 && value < extent)
        return true;
    Text where = text_new(ip->arena);
    int64_t strides[MAX_RANK], rest = position;
    tensor_strides(indices, strides);
    for (uint32_t i = 0; i < indices->rank; i++) {
        text_add(&where, i ? ", %lld" : "%lld", (long long)(rest / strides[i]));
        rest %= strides[i];
    }
    diag_error(ip->cx, n->loc.id ? n->loc : ip->loc, "%s: index [%s] is %lld, outside [0, %lld)",
               op_info[n->op].name, where.n ? where.at : "", (long long)value, (long long)extent);
    return false;
}

/* ---- elementwise ---- */

#define MAX_EW_OPERANDS 4

/* One operand of an elementwise op repeats nothing: all have the node's dims. */
static void eval_block(const Graph *g, const Node *n, const Tensor *in, Tensor *out, int64_t from,
                       uint32_t count) {
    Scalar operand[MAX_EW_OPERANDS][BLOCK], result[BLOCK];
    RefFn *ref = ref_fn[n->op];
    for (uint32_t k = 0; k < n->n_in; k++)
        tensor_load(&in[k], from, count, operand[k]);
    if (n->n_in == 1) {
        for (uint32_t i = 0; i < count; i++)
            result[i] = ref(g, n, &operand[0][i]);
    } else {
        for (uint32_t i = 0; i < count; i++) {
            Scalar args[MAX_EW_OPERANDS];
            for (uint32_t k = 0; k < n->n_in; k++)
                args[k] = operand[k][i];
            result[i] = ref(g, n, args);
        }
    }
    tensor_store(out, from, count, result);
}

bool eval_elementwise(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    REQUIRE(ip->cx, n->n_in > 0 && n->n_in <= MAX_EW_OPERANDS);
    DType dtype = type_info(ip->cx, n->type)->dtype;
    bool splat = true;
    for (uint32_t k = 0; k < n->n_in; k++)
        splat = splat && in[k].splat;
    if (splat) {
        Scalar args[MAX_EW_OPERANDS];
        for (uint32_t k = 0; k < n->n_in; k++)
            args[k] = in[k].value;
        *out = tensor_splat(dtype, in[0].rank, in[0].dims,
                            scalar_wrap(dtype, ref_fn[n->op](g, n, args)));
        return true;
    }
    if (!tensor_alloc(ip, dtype, in[0].rank, in[0].dims, out))
        return false;
    for (uint32_t k = 1; k < n->n_in; k++) {
        for (uint32_t a = 0; a < in[0].rank; a++) {
            if (in[k].dims[a] == in[0].dims[a])
                continue;
            diag_error(ip->cx, ip->loc, "%s: operands differ in axis %u: extents %lld and %lld",
                       op_info[n->op].name, a, (long long)in[0].dims[a], (long long)in[k].dims[a]);
            return false;
        }
    }
    int64_t elements = tensor_elements(out);
    for (int64_t from = 0; from < elements; from += BLOCK)
        eval_block(g, n, in, out, from,
                   (uint32_t)(elements - from < BLOCK ? elements - from : BLOCK));
    return true;
}
