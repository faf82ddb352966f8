/* source.c: ops without operands: parameters, constants, iota, dims.
 *
 * A parameter's evaluator is handed the function's inputs as its operands.  A constant is a view of
 * its data where that is aligned; an encoded one stays encoded (its consumer, a contraction,
 * decodes it).
 */
#include <string.h>
#include "ops.h"

/* param: the function's argument number `index`. */
bool eval_param(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)ip, (void)g;
    *out = in[attr_int(n, ATTR_index)];
    return true;
}

/* const: its elements, under the dims of the type. */
bool eval_const(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g, (void)in;
    const ConstInfo *c = const_info(ip->cx, node_attr(n, ATTR_data)->as.data);
    const TypeInfo *t = type_info(ip->cx, n->type);
    int64_t dims[MAX_RANK];
    if (!interp_dims(ip, t->dims, t->rank, dims))
        return false;
    *out = tensor_splat(c->dtype, t->rank, dims, c->value);
    if (c->splat)
        return true;
    out->splat = false;
    out->encoding = c->encoding;
    uint64_t need = (uint64_t)tensor_elements(out);
    if (c->encoding == ENCODING_DENSE && c->elements != need) {
        diag_error(ip->cx, ip->loc, "constant has %llu elements, its type needs %llu",
                   (unsigned long long)c->elements, (unsigned long long)need);
        return false;
    }
    size_t bytes = (size_t)c->elements * (size_t)dtype_bytes(c->dtype);
    const void *data = const_bytes(ip->cx, node_attr(n, ATTR_data)->as.data);
    bool aligned = (uintptr_t)data % (uintptr_t)dtype_bytes(c->dtype) == 0;
    if (aligned)
        memcpy(&out->data, &data,
               sizeof out->data); /* never written through: evaluators write fresh tensors */
    else
        out->data = arena_copy(ip->arena, data, bytes);
    return true;
}

static Scalar scalar_from_int(DType t, int64_t v) {
    return scalar_convert(t, DT_i64, (Scalar){.i = v}, false);
}

/* iota: y[..i..] = i along axis. */
bool eval_iota(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g, (void)in;
    if (!tensor_new(ip, n->type, out))
        return false;
    int64_t axis = attr_int(n, ATTR_axis),
            inner = product_of(out->dims + axis + 1, out->rank - (uint32_t)axis - 1);
    int64_t extent = out->dims[axis], elements = tensor_elements(out);
    for (int64_t i = 0; i < elements; i++) {
        Scalar s = scalar_wrap(out->dtype, scalar_from_int(out->dtype, i / inner % extent));
        tensor_store(out, i, 1, &s);
    }
    return true;
}

/* dim: a symbolic extent as an i64 scalar. */
bool eval_dim(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g, (void)in;
    int64_t value;
    if (!interp_dim(ip, attr_dim(n, ATTR_value), &value))
        return false;
    *out = tensor_splat(DT_i64, 0, NULL, (Scalar){.i = value});
    return true;
}
