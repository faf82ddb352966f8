/* infer_index.c: rules of the ops that index at run time: gathers, scatters, dynamic slices.
 *
 * Whether an index lies in range is a run-time error of these ops; here only extents and element
 * types are checked.
 */
#include "infer.h"

#include <string.h>

static bool index_operand(Infer *k, uint32_t i) {
    if (dtype_is_int(operand_info(k, i)->dtype))
        return true;
    infer_error(k, "operand %u must be integer indices", i);
    return false;
}

Type infer_gather(Infer *k) {
    const TypeInfo *x = operand_info(k, 0), *indices = operand_info(k, 1);
    uint32_t axis;
    int64_t batch;
    if (!index_operand(k, 1) || !axis_attr(k, ATTR_axis, x->rank, &axis) ||
        !int_attr(k, ATTR_batch, 0, axis, &batch))
        return no_type;
    if (batch > indices->rank)
        return infer_error(k, "batch is %lld, the indices have rank %u", (long long)batch,
                           indices->rank);
    if (!infer_require_dims(k, x->dims, indices->dims, (uint32_t)batch, "batch axes"))
        return no_type;
    Dim dims[2 * MAX_RANK];
    uint32_t n = 0;
    for (uint32_t i = 0; i < axis; i++)
        dims[n++] = x->dims[i];
    for (uint32_t i = (uint32_t)batch; i < indices->rank; i++)
        dims[n++] = indices->dims[i];
    for (uint32_t i = axis + 1; i < x->rank; i++)
        dims[n++] = x->dims[i];
    return infer_tensor(k, x->dtype, n, dims);
}

/* Operand 1 selects in operand 0 element by element: smaller or equal on every axis but the
 * selected one. */
static bool elements_fit(Infer *k, uint32_t *axis) {
    const TypeInfo *x = operand_info(k, 0), *indices = operand_info(k, 1);
    if (!index_operand(k, 1) || !axis_attr(k, ATTR_axis, x->rank, axis))
        return false;
    if (x->rank != indices->rank) {
        infer_error(k, "indices have rank %u, %u expected", indices->rank, x->rank);
        return false;
    }
    for (uint32_t i = 0; i < x->rank; i++)
        if (i != *axis && !infer_require(k, REL_LE, indices->dims[i], x->dims[i],
                                         "indices must not be larger than operand 0 on axis %u", i))
            return false;
    return true;
}

Type infer_gather_el(Infer *k) {
    uint32_t axis;
    if (!elements_fit(k, &axis))
        return no_type;
    return infer_same_dims(k, operand_info(k, 1), operand_info(k, 0)->dtype);
}

/* The last axis of operand 1 has the static extent *r and names places in r axes of x, from `batch`
 * on. */
static bool index_vectors(Infer *k, uint32_t batch, uint32_t *r) {
    const TypeInfo *x = operand_info(k, 0), *indices = operand_info(k, 1);
    int64_t n;
    if (!index_operand(k, 1))
        return false;
    if (indices->rank < batch + 1) {
        infer_error(k, "indices have rank %u, at least %u expected", indices->rank, batch + 1);
        return false;
    }
    if (!dim_const_value(k->cx, indices->dims[indices->rank - 1], &n)) {
        infer_error(k, "the last extent of the indices is %s, a constant expected",
                    dim_string(k->cx, indices->dims[indices->rank - 1]));
        return false;
    }
    if (batch > x->rank || n > x->rank - batch) {
        infer_error(k, "indices name %lld axes of an operand of rank %u after %u batch axes",
                    (long long)n, x->rank, batch);
        return false;
    }
    *r = (uint32_t)n;
    return true;
}

/* b.., i.., rest: what indices[b.., i.., r] select in x[b.., d0..dr-1, rest]. */
static uint32_t selected_dims(Infer *k, uint32_t batch, uint32_t r, Dim dims[2 * MAX_RANK]) {
    const TypeInfo *x = operand_info(k, 0), *indices = operand_info(k, 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i + 1 < indices->rank; i++)
        dims[n++] = indices->dims[i];
    for (uint32_t i = batch + r; i < x->rank; i++)
        dims[n++] = x->dims[i];
    return n;
}

Type infer_gather_nd(Infer *k) {
    int64_t batch;
    uint32_t r;
    if (!int_attr(k, ATTR_batch, 0, MAX_RANK, &batch) || !index_vectors(k, (uint32_t)batch, &r) ||
        !infer_require_dims(k, operand_info(k, 0)->dims, operand_info(k, 1)->dims, (uint32_t)batch,
                            "batch axes"))
        return no_type;
    Dim dims[2 * MAX_RANK];
    uint32_t n = selected_dims(k, (uint32_t)batch, r, dims);
    return infer_tensor(k, operand_info(k, 0)->dtype, n, dims);
}

static bool start_vector(Infer *k, uint32_t i, uint32_t rank) {
    const TypeInfo *t = operand_info(k, i);
    if (t->dtype == DT_i64 && t->rank == 1 && dim_is(k->cx, t->dims[0], rank))
        return true;
    infer_error(k, "operand %u must be i64[%u], a start per axis", i, rank);
    return false;
}

static bool fits(Infer *k, const Dim *inner, const Dim *outer, uint32_t rank, const char *what) {
    for (uint32_t i = 0; i < rank; i++)
        if (!infer_require(k, REL_LE, inner[i], outer[i], "%s must fit into axis %u of operand 0",
                           what, i))
            return false;
    return true;
}

Type infer_dyn_slice(Infer *k) {
    const TypeInfo *x = operand_info(k, 0);
    const Dim *dims;
    if (!dims_attr(k, ATTR_shape, x->rank, &dims) || !start_vector(k, 1, x->rank))
        return no_type;
    Type type = infer_tensor(k, x->dtype, x->rank, dims);
    if (type.id == 0 || !fits(k, dims, x->dims, x->rank, "the slice"))
        return no_type;
    return type;
}

Type infer_dyn_updat(Infer *k) {
    const TypeInfo *x = operand_info(k, 0), *update = operand_info(k, 1);
    if (!infer_same_dtype(k, 0, 1) || !start_vector(k, 2, x->rank))
        return no_type;
    if (update->rank != x->rank)
        return infer_error(k, "the update has rank %u, %u expected", update->rank, x->rank);
    if (!fits(k, update->dims, x->dims, x->rank, "the update"))
        return no_type;
    return operand_type(k, 0);
}

static bool combine_attr(Infer *k) {
    static const struct {
        const char *name;
        bool of_bool;
    } ways[] = {
        {"set", true}, {"add", false}, {"mul", false}, {"min", true}, {"max", true},
    };
    const char *found = node_attr(k->n, ATTR_combine)->as.text;
    for (size_t i = 0; i < COUNT(ways); i++) {
        if (strcmp(ways[i].name, found) != 0)
            continue;
        if (type_is_numeric(operand_info(k, 0)) || ways[i].of_bool)
            return true;
        infer_error(k, "combine %s of bool, a number expected", found);
        return false;
    }
    infer_error(k, "combine is '%s', expected set, add, mul, min or max", found);
    return false;
}

Type infer_scatter_n(Infer *k) {
    const TypeInfo *update = operand_info(k, 2);
    uint32_t r;
    if (!infer_same_dtype(k, 0, 2) || !combine_attr(k) || !index_vectors(k, 0, &r))
        return no_type;
    Dim dims[2 * MAX_RANK];
    uint32_t n = selected_dims(k, 0, r, dims);
    if (n != update->rank)
        return infer_error(k, "the update has rank %u, %u expected", update->rank, n);
    if (!infer_require_dims(k, dims, update->dims, n, "the places and the update"))
        return no_type;
    return operand_type(k, 0);
}

Type infer_scatter_e(Infer *k) {
    const TypeInfo *indices = operand_info(k, 1), *update = operand_info(k, 2);
    uint32_t axis;
    if (!infer_same_dtype(k, 0, 2) || !combine_attr(k) || !elements_fit(k, &axis))
        return no_type;
    if (indices->rank != update->rank)
        return infer_error(k, "the update has rank %u, %u expected", update->rank, indices->rank);
    if (!infer_require_dims(k, indices->dims, update->dims, indices->rank, "indices and update"))
        return no_type;
    return operand_type(k, 0);
}
