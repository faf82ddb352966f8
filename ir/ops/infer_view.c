/* infer_view.c: rules of the ops that move elements without run-time indices: reshape, permute,
 * broadcast, slice, pad, concat.
 */
#include "infer.h"

Type infer_reshape(Infer *k) {
    uint32_t rank;
    const Dim *dims = attr_dims(k->n, ATTR_shape, &rank);
    Type type = infer_tensor(k, operand_info(k, 0)->dtype, rank, dims);
    if (type.id == 0)
        return type;
    Dim before = type_elements(k->cx, operand_type(k, 0)), after = type_elements(k->cx, type);
    if (!infer_require(k, REL_EQ, before, after, "number of elements must stay the same, to %s",
                       dim_string(k->cx, after)))
        return no_type;
    return type;
}

Type infer_permute(Infer *k) {
    const TypeInfo *x = operand_info(k, 0);
    const int64_t *perm;
    if (!ints_attr(k, ATTR_perm, x->rank, 0, &perm))
        return no_type;
    Dim dims[MAX_RANK];
    uint32_t seen = 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (perm[i] >= x->rank || seen >> perm[i] & 1)
            return infer_error(k, "perm[%u] is %lld, expected every axis once", i,
                               (long long)perm[i]);
        seen |= 1u << perm[i];
        dims[i] = x->dims[perm[i]];
    }
    return infer_tensor(k, x->dtype, x->rank, dims);
}

static bool extent_broadcasts(Infer *k, uint32_t axis, Dim from, Dim to) {
    Dim zeros[MAX_BROADCAST_CONDITIONS], zero = dim_const(k->cx, 0);
    uint32_t n = broadcast_conditions(k->cx, from, to, zeros);
    for (uint32_t i = 0; i < n; i++)
        if (!infer_require(k, REL_EQ, zeros[i], zero, "extent %s of axis %u must be 1 or %s",
                           dim_string(k->cx, from), axis, dim_string(k->cx, to)))
            return false;
    return true;
}

Type infer_broadcast(Infer *k) {
    const TypeInfo *x = operand_info(k, 0);
    uint32_t rank;
    const Dim *dims = attr_dims(k->n, ATTR_shape, &rank);
    const int64_t *axes;
    if (!ints_attr(k, ATTR_axes, x->rank, 0, &axes))
        return no_type;
    Type type = infer_tensor(k, x->dtype, rank, dims);
    if (type.id == 0)
        return type;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (axes[i] >= rank || seen >> axes[i] & 1)
            return infer_error(k, "axes[%u] is %lld, expected distinct axes below %u", i,
                               (long long)axes[i], rank);
        seen |= 1u << axes[i];
        if (!extent_broadcasts(k, i, x->dims[i], dims[axes[i]]))
            return no_type;
    }
    return type;
}

/* The first and the last element read lie inside; an empty slice asks for nothing that a sane
 * caller violates. */
static bool slice_inside(Infer *k, uint32_t axis, Dim start, int64_t step, Dim n, Dim extent) {
    Context *cx = k->cx;
    if (dim_is(cx, n, 0))
        return true;
    Dim last = dim_add(cx, start, dim_muli(cx, dim_addi(cx, n, -1), step));
    Dim low = step > 0 ? start : last, high = step > 0 ? last : start;
    return infer_require(k, REL_LE, dim_const(cx, 0), low, "slice must not start before axis %u",
                         axis) &&
           infer_require(k, REL_LE, dim_addi(cx, high, 1), extent,
                         "slice must end inside axis %u of extent %s", axis,
                         dim_string(cx, extent));
}

Type infer_slice(Infer *k) {
    const TypeInfo *x = operand_info(k, 0);
    const Dim *start, *dims;
    const int64_t *step;
    if (!dims_attr(k, ATTR_start, x->rank, &start) || !dims_attr(k, ATTR_shape, x->rank, &dims) ||
        !ints_attr(k, ATTR_step, x->rank, INT64_MIN, &step))
        return no_type;
    Type type = infer_tensor(k, x->dtype, x->rank, dims);
    if (type.id == 0)
        return type;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (step[i] == 0 || step[i] == INT64_MIN)
            return infer_error(k, "step[%u] is %lld, a stride other than 0 expected", i,
                               (long long)step[i]);
        if (!slice_inside(k, i, start[i], step[i], dims[i], x->dims[i]))
            return no_type;
    }
    return type;
}

Type infer_overwrite(Infer *k) {
    const TypeInfo *x = operand_info(k, 0), *w = operand_info(k, 1);
    const Dim *start;
    if (!infer_same_dtype(k, 0, 1) || !dims_attr(k, ATTR_start, x->rank, &start)) return no_type;
    if (x->rank != w->rank) return infer_error(k, "operands have ranks %u and %u, the same expected", x->rank, w->rank);
    for (uint32_t i = 0; i < x->rank; i++) {
        Dim end = dim_add(k->cx, start[i], w->dims[i]);
        if (!infer_require(k, REL_LE, dim_const(k->cx, 0), start[i], "what is written must not start before axis %u", i) ||
            !infer_require(k, REL_LE, end, x->dims[i], "what is written must end inside axis %u, %s <= %s", i,
                           dim_string(k->cx, end), dim_string(k->cx, x->dims[i])))
            return no_type;
    }
    return operand_type(k, 0);
}

Type infer_pad(Infer *k) {
    Context *cx = k->cx;
    const TypeInfo *x = operand_info(k, 0);
    const Dim *low, *high;
    const int64_t *interior;
    if (operand_info(k, 1)->rank != 0)
        return infer_error(k, "operand 1 must be a scalar");
    if (!infer_same_dtype(k, 0, 1) || !dims_attr(k, ATTR_low, x->rank, &low) ||
        !dims_attr(k, ATTR_high, x->rank, &high) ||
        !ints_attr(k, ATTR_interior, x->rank, 0, &interior))
        return no_type;
    Dim dims[MAX_RANK];
    for (uint32_t i = 0; i < x->rank; i++) {
        Dim d = dim_add(cx, dim_add(cx, low[i], x->dims[i]), high[i]);
        if (interior[i]) {
            Dim gaps = dim_max(cx, dim_addi(cx, x->dims[i], -1), dim_const(cx, 0));
            d = dim_add(cx, d, dim_muli(cx, gaps, interior[i]));
        }
        dims[i] = d;
    }
    return infer_tensor(k, x->dtype, x->rank, dims);
}

Type infer_concat(Infer *k) {
    if (k->n->n_in == 0)
        return infer_error(k, "no operands, at least one expected");
    const TypeInfo *first = operand_info(k, 0);
    uint32_t axis;
    if (!axis_attr(k, ATTR_axis, first->rank, &axis))
        return no_type;
    Dim dims[MAX_RANK];
    for (uint32_t i = 0; i < first->rank; i++)
        dims[i] = first->dims[i];
    for (uint32_t j = 1; j < k->n->n_in; j++) {
        const TypeInfo *x = operand_info(k, j);
        if (!infer_same_dtype(k, 0, j))
            return no_type;
        if (x->rank != first->rank)
            return infer_error(k, "operand %u has rank %u, %u expected", j, x->rank, first->rank);
        for (uint32_t i = 0; i < x->rank; i++)
            if (i != axis &&
                !infer_require(k, REL_EQ, dims[i], x->dims[i],
                               "operands 0 and %u must have equal extents on axis %u", j, i))
                return no_type;
        dims[axis] = dim_add(k->cx, dims[axis], x->dims[axis]);
    }
    return infer_tensor(k, first->dtype, first->rank, dims);
}
