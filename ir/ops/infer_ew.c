/* infer_ew.c: rules of sources and of elementwise ops.
 *
 * Operands of an elementwise op have the same dims (broadcasts are explicit nodes), so a rule
 * decides only which dtypes meet and which comes out.  Where two extents are merely guarded to be
 * equal, the result has operand 0's.
 */
#include "infer.h"

/* ---- sources
 * ------------------------------------------------------------------------------------------------------
 */

static Type declared(Infer *k) {
    uint32_t rank;
    const Dim *dims = attr_dims(k->n, ATTR_shape, &rank);
    return infer_tensor(k, node_attr(k->n, ATTR_dtype)->as.dtype, rank, dims);
}

static bool can_be_encoded(Infer *k, Encoding encoding, DType dtype, uint32_t rank) {
    bool plain = encoding_rows(encoding) == 1;
    bool fits = plain ? dtype == DT_f32 || dtype == DT_i32 : dtype == encoding_dtype(encoding, dtype);
    if (encoding == ENCODING_DENSE || (fits && rank >= 2))
        return true;
    infer_error(k, "%s expects %s of rank 2 or more", encoding_name[encoding],
                plain ? "f32 or i32" : dtype_info[encoding_dtype(encoding, dtype)].name);
    return false;
}

Type infer_param(Infer *k) {
    int64_t index, encoding;
    if (!int_attr(k, ATTR_index, 0, UINT32_MAX, &index) ||
        !int_attr(k, ATTR_encoding, ENCODING_DENSE, ENCODING_COUNT - 1, &encoding))
        return no_type;
    Type type = declared(k);
    if (type.id == 0 || encoding == ENCODING_DENSE)
        return type;
    const TypeInfo *t = type_info(k->cx, type);
    if (!can_be_encoded(k, (Encoding)encoding, t->dtype, t->rank))
        return no_type;
    return type_encoded(k->cx, type, (Encoding)encoding);
}

/* Elements that a constant of these extents stores under an encoding; false where symbolic or too
 * many. */
static bool stored_elements(Context *cx, Encoding encoding, uint32_t rank, const Dim *dims,
                            uint64_t *elements) {
    int64_t n = 1, columns = encoding_columns(encoding);
    uint32_t rows = encoding == ENCODING_PAIR16 ? pair_axis(cx, rank, dims) : rank - 2;
    for (uint32_t i = 0; i < rank; i++) {
        int64_t extent;
        if (!dim_const_value(cx, dims[i], &extent))
            return false;
        if (i + 1 == rank && !ck_align_up(extent, columns, &extent))
            return false;
        if (i == rows && !ck_align_up(extent, encoding_rows(encoding), &extent))
            return false;
        if (!ck_mul(n, extent, &n))
            return false;
    }
    *elements = (uint64_t)n;
    return true;
}

Type infer_const(Infer *k) {
    const ConstInfo *c = const_info(k->cx, node_attr(k->n, ATTR_data)->as.data);
    DType dtype = node_attr(k->n, ATTR_dtype)->as.dtype;
    if (c->dtype != dtype)
        return infer_error(k, "data is of %s, dtype is %s", dtype_info[c->dtype].name,
                           dtype_info[dtype].name);
    uint32_t rank;
    const Dim *dims = attr_dims(k->n, ATTR_shape, &rank);
    Type type = declared(k);
    if (type.id == 0 || c->splat)
        return type;
    if (!can_be_encoded(k, c->encoding, dtype, rank))
        return no_type;
    uint64_t expected;
    if (!stored_elements(k->cx, c->encoding, rank, dims, &expected))
        return infer_error(k, "a constant that is not one repeated number needs static extents");
    if (c->elements != expected)
        return infer_error(k, "data has %llu elements, the shape expects %llu",
                           (unsigned long long)c->elements, (unsigned long long)expected);
    return c->encoding == ENCODING_DENSE ? type : type_encoded(k->cx, type, c->encoding);
}

Type infer_iota(Infer *k) {
    uint32_t rank, axis;
    attr_dims(k->n, ATTR_shape, &rank);
    if (dtype_is_bool(node_attr(k->n, ATTR_dtype)->as.dtype))
        return infer_error(k, "dtype is bool, a number expected");
    if (!axis_attr(k, ATTR_axis, rank, &axis))
        return no_type;
    return declared(k);
}

Type infer_dim(Infer *k) { return infer_tensor(k, DT_i64, 0, NULL); }

/* ---- one element from one of each
 * --------------------------------------------------------------------------------- */

static bool alike(Infer *k, uint32_t first) {
    const TypeInfo *a = operand_info(k, first);
    for (uint32_t i = first + 1; i < k->n->n_in; i++) {
        const TypeInfo *b = operand_info(k, i);
        if (a->rank != b->rank) {
            infer_error(k, "operands must have the same rank: broadcast first");
            return false;
        }
        if (!infer_require_dims(k, a->dims, b->dims, a->rank, "operands"))
            return false;
    }
    return true;
}

static bool alike_with_dtype(Infer *k, uint32_t first) {
    for (uint32_t i = first + 1; i < k->n->n_in; i++)
        if (!infer_same_dtype(k, first, i))
            return false;
    return alike(k, first);
}

static Type expected(Infer *k, const char *what) {
    return infer_error(k, "operand of %s, %s expected", dtype_info[operand_info(k, 0)->dtype].name,
                       what);
}

Type infer_num(Infer *k) {
    const TypeInfo *x = operand_info(k, 0);
    return type_is_numeric(x) ? operand_type(k, 0) : expected(k, "a number");
}

/* Also the softmax family: MACRO ops over floats, with an axis or axes. */
Type infer_flt(Infer *k) {
    const TypeInfo *x = operand_info(k, 0);
    if (!dtype_is_float(x->dtype))
        return expected(k, "a float");
    uint32_t axis, n;
    const int64_t *axes;
    const Attr *epsilon = node_attr(k->n, ATTR_epsilon);
    if (node_attr(k->n, ATTR_axis) && !axis_attr(k, ATTR_axis, x->rank, &axis))
        return no_type;
    if (node_attr(k->n, ATTR_axes) && !ascending_axes(k, x->rank, &axes, &n))
        return no_type;
    if (epsilon && !(epsilon->as.f >= 0 && epsilon->as.f < 1e308))
        return infer_error(k, "epsilon is %g, a finite number of at least 0 expected",
                           epsilon->as.f);
    return operand_type(k, 0);
}

Type infer_test(Infer *k) {
    const TypeInfo *x = operand_info(k, 0);
    return dtype_is_float(x->dtype) ? infer_same_dims(k, x, DT_bool) : expected(k, "a float");
}

static const bool bool_allowed[OP_COUNT] = {
    [OP_not] = true, [OP_and] = true, [OP_or] = true,
    [OP_xor] = true, [OP_max] = true, [OP_min] = true,
};

static bool bool_is_fine(Infer *k) {
    return bool_allowed[k->n->op] && dtype_is_bool(operand_info(k, 0)->dtype);
}

Type infer_int(Infer *k) {
    if (!dtype_is_int(operand_info(k, 0)->dtype) && !bool_is_fine(k))
        return expected(k, "an integer");
    return operand_type(k, 0);
}

Type infer_convert(Infer *k) {
    int64_t saturate;
    if (!int_attr(k, ATTR_saturate, 0, 1, &saturate))
        return no_type;
    return infer_same_dims(k, operand_info(k, 0), node_attr(k->n, ATTR_dtype)->as.dtype);
}

Type infer_bitcast(Infer *k) {
    DType from = operand_info(k, 0)->dtype, to = node_attr(k->n, ATTR_dtype)->as.dtype;
    if (dtype_info[from].value_bits != dtype_info[to].value_bits || from == DT_bool)
        return infer_error(k, "from %s to %s: the widths must be equal", dtype_info[from].name,
                           dtype_info[to].name);
    return infer_same_dims(k, operand_info(k, 0), to);
}

Type infer_num2(Infer *k) {
    if (!type_is_numeric(operand_info(k, 0)) && !bool_is_fine(k))
        return expected(k, "a number");
    return alike_with_dtype(k, 0) ? operand_type(k, 0) : no_type;
}

Type infer_flt2(Infer *k) {
    if (!dtype_is_float(operand_info(k, 0)->dtype))
        return expected(k, "a float");
    return alike_with_dtype(k, 0) ? operand_type(k, 0) : no_type;
}

Type infer_flt3(Infer *k) { return infer_flt2(k); }

Type infer_int2(Infer *k) {
    if (!dtype_is_int(operand_info(k, 0)->dtype) && !bool_is_fine(k))
        return expected(k, "an integer");
    return alike_with_dtype(k, 0) ? operand_type(k, 0) : no_type;
}

Type infer_compare(Infer *k) {
    return alike_with_dtype(k, 0) ? infer_same_dims(k, operand_info(k, 0), DT_bool) : no_type;
}

Type infer_select(Infer *k) {
    if (!dtype_is_bool(operand_info(k, 0)->dtype))
        return expected(k, "bool");
    if (!infer_same_dtype(k, 1, 2) || !alike(k, 0))
        return no_type;
    return infer_same_dims(k, operand_info(k, 0), operand_info(k, 1)->dtype);
}
