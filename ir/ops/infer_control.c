/* infer_control.c: rules of ops with regions, of tuples and of kernels.
 *
 * A region is a closed graph: its parameters must match what the op feeds it, in number, element
 * type and extents (the symbols of extents are the Context's, so that extents on both sides compare
 * directly).
 */
#include "infer.h"

static const TypeInfo *result_type(const Graph *body, uint32_t i) {
    return val_type(body, body->results.at[i]);
}

/* Two tensor types agree; a region may see an encoded operand as the logical tensor. */
static bool same_type(Infer *k, const TypeInfo *a, const TypeInfo *b, const char *what,
                      uint32_t i) {
    if (a->dtype == DT_none || a->dtype != b->dtype || a->rank != b->rank) {
        infer_error(k, "%s %u: found %s of rank %u, expected %s of rank %u", what, i,
                    dtype_info[a->dtype].name, a->rank, dtype_info[b->dtype].name, b->rank);
        return false;
    }
    if (a->encoding != ENCODING_DENSE && a->encoding != b->encoding) {
        infer_error(k, "%s %u: the encodings differ", what, i);
        return false;
    }
    for (uint32_t axis = 0; axis < a->rank; axis++)
        if (!infer_require(k, REL_EQ, a->dims[axis], b->dims[axis],
                           "%s %u must have extent %s on axis %u", what, i,
                           dim_string(k->cx, b->dims[axis]), axis))
            return false;
    return true;
}

static bool param_count(Infer *k, const Graph *body, uint32_t expected) {
    if (body->params.n == expected)
        return true;
    infer_error(k, "region '%s' has %u parameters, %u expected", body->name, body->params.n,
                expected);
    return false;
}

static bool result_count(Infer *k, const Graph *body, uint32_t expected) {
    if (body->results.n == expected)
        return true;
    infer_error(k, "region '%s' has %u results, %u expected", body->name, body->results.n,
                expected);
    return false;
}

/* Parameters [from, from + n) of body take operands [operand0, operand0 + n). */
static bool params_take(Infer *k, const Graph *body, uint32_t from, uint32_t operand0, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (!same_type(k, val_type(body, body->params.at[from + i]), operand_info(k, operand0 + i),
                       "region parameter", from + i))
            return false;
    return true;
}

static bool is_bool_scalar(const TypeInfo *t) { return t->dtype == DT_bool && t->rank == 0; }

/* Does d use an extent found by a node of body itself?  Outside, or in the next step, it means
 * something else. */
static bool found_inside(const Graph *body, Dim d) {
    for (uint32_t id = 1; id < body->nodes.n; id++) {
        const Attr *extent = node_attr(&body->nodes.at[id], ATTR_extent);
        const Term *term;
        if (!extent || dim_terms(body->cx, extent->as.dim, &term) != 1 || term->n != 1)
            continue;
        Atom atom = dim_atom(body->cx, term->factors[0].atom);
        if (atom.kind == ATOM_SYMBOL && dim_uses(body->cx, d, atom.symbol))
            return true;
    }
    return false;
}

/* ---- control
 * ------------------------------------------------------------------------------------------------------
 */

Type infer_if(Infer *k) {
    const Graph *then = attr_graph(k->n, ATTR_then), *orelse = attr_graph(k->n, ATTR_orelse);
    if (k->n->n_in == 0 || !is_bool_scalar(operand_info(k, 0)))
        return infer_error(k, "operand 0 must be a bool scalar");
    uint32_t captures = k->n->n_in - 1;
    if (!param_count(k, then, captures) || !param_count(k, orelse, captures) ||
        !result_count(k, orelse, then->results.n) || !params_take(k, then, 0, 1, captures) ||
        !params_take(k, orelse, 0, 1, captures))
        return no_type;
    Type *types = arena_new_array(k->cx->arena, Type, then->results.n);
    for (uint32_t i = 0; i < then->results.n; i++) {
        if (!same_type(k, result_type(orelse, i), result_type(then, i), "branch result", i))
            return no_type;
        types[i] = node(then, then->results.at[i])->type;
    }
    return type_tuple(k->cx, then->results.n, types);
}

static bool carried_attr(Infer *k, uint32_t most, uint32_t *carried) {
    int64_t value;
    if (!int_attr(k, ATTR_carried, 0, most, &value))
        return false;
    *carried = (uint32_t)value;
    return true;
}

/* The body's results [from, from + carried) go back into the operands from operand0 on. */
static bool results_return(Infer *k, const Graph *body, uint32_t from, uint32_t operand0,
                           uint32_t carried) {
    for (uint32_t i = 0; i < carried; i++)
        if (!same_type(k, result_type(body, from + i), operand_info(k, operand0 + i),
                       "carried result", from + i))
            return false;
    return true;
}

Type infer_while(Infer *k) {
    const Graph *body = attr_graph(k->n, ATTR_body);
    uint32_t carried;
    if (k->n->n_in == 0 || !is_bool_scalar(operand_info(k, 0)))
        return infer_error(k, "operand 0 must be a bool scalar");
    uint32_t rest = k->n->n_in - 1;
    if (!carried_attr(k, rest, &carried) || !param_count(k, body, rest) ||
        !result_count(k, body, carried + 1) || !params_take(k, body, 0, 1, rest))
        return no_type;
    if (!is_bool_scalar(result_type(body, 0)))
        return infer_error(k, "result 0 of the body must be a bool scalar");
    if (!results_return(k, body, 1, 1, carried))
        return no_type;
    Type *types = arena_new_array(k->cx->arena, Type, carried);
    for (uint32_t i = 0; i < carried; i++)
        types[i] = operand_type(k, i + 1);
    return type_tuple(k->cx, carried, types);
}

/* Parameter `at` of body is operand i without its first axis, whose extent is the trip count. */
static bool takes_slice(Infer *k, const Graph *body, uint32_t at, uint32_t i, Dim trip) {
    const TypeInfo *whole = operand_info(k, i);
    if (whole->rank == 0) {
        infer_error(k, "operand %u is scanned, at least one axis expected", i);
        return false;
    }
    TypeInfo slice = {.dtype = whole->dtype, .rank = whole->rank - 1, .dims = whole->dims + 1};
    return infer_require(k, REL_EQ, whole->dims[0], trip, "scanned operand %u must have extent %s",
                         i, dim_string(k->cx, trip)) &&
           same_type(k, val_type(body, body->params.at[at]), &slice, "region parameter", at);
}

static Type stacked(Infer *k, const Graph *body, uint32_t i, Dim trip) {
    const TypeInfo *y = result_type(body, i);
    if (y->dtype == DT_none)
        return infer_error(k, "result %u of the body is a tuple", i);
    if (y->rank >= MAX_RANK)
        return infer_error(k, "result %u of the body has rank %u, less than %u expected", i,
                           y->rank, MAX_RANK);
    Dim dims[MAX_RANK] = {trip};
    for (uint32_t axis = 0; axis < y->rank; axis++) {
        if (found_inside(body, y->dims[axis]))
            return infer_error(k,
                               "result %u of the body has extent %s found in each step: slices of "
                               "varying extent cannot be stacked",
                               i, dim_string(k->cx, y->dims[axis]));
        dims[axis + 1] = y->dims[axis];
    }
    return infer_tensor(k, y->dtype, y->rank + 1, dims);
}

static bool scan_params(Infer *k, const Graph *body, uint32_t carried, uint32_t scanned, Dim trip) {
    if (!param_count(k, body, k->n->n_in + 1))
        return false;
    const TypeInfo *step = val_type(body, body->params.at[0]);
    if (step->dtype != DT_i64 || step->rank != 0) {
        infer_error(k, "parameter 0 of the body must be the step, an i64 scalar");
        return false;
    }
    if (!params_take(k, body, 1, 0, carried))
        return false;
    for (uint32_t i = carried; i < carried + scanned; i++)
        if (!takes_slice(k, body, i + 1, i, trip))
            return false;
    uint32_t first = carried + scanned;
    return params_take(k, body, first + 1, first, k->n->n_in - first);
}

Type infer_scan(Infer *k) {
    const Graph *body = attr_graph(k->n, ATTR_body);
    Dim trip = attr_dim(k->n, ATTR_trip);
    uint32_t carried;
    int64_t scanned, reverse;
    if (!carried_attr(k, k->n->n_in, &carried) ||
        !int_attr(k, ATTR_scanned, 0, k->n->n_in - carried, &scanned) ||
        !int_attr(k, ATTR_reverse, 0, 1, &reverse) ||
        !infer_require(k, REL_LE, dim_const(k->cx, 0), trip, "trip count must not be negative") ||
        !scan_params(k, body, carried, (uint32_t)scanned, trip))
        return no_type;
    uint32_t n = body->results.n;
    if (n < carried)
        return infer_error(k, "the body has %u results, at least %u expected", n, carried);
    if (!results_return(k, body, 0, 0, carried))
        return no_type;
    Type *types = arena_new_array(k->cx->arena, Type, n);
    for (uint32_t i = 0; i < n; i++) {
        types[i] = i < carried ? operand_type(k, i) : stacked(k, body, i, trip);
        if (types[i].id == 0)
            return no_type;
    }
    return type_tuple(k->cx, n, types);
}

/* ---- structure
 * ----------------------------------------------------------------------------------------------------
 */

Type infer_tuple(Infer *k) {
    Type *types = arena_new_array(k->cx->arena, Type, k->n->n_in);
    for (uint32_t i = 0; i < k->n->n_in; i++)
        types[i] = operand_type(k, i);
    return type_tuple(k->cx, k->n->n_in, types);
}

Type infer_join(Infer *k) {
    uint32_t rank;
    const Dim *dims = attr_dims(k->n, ATTR_shape, &rank);
    Dim before = dim_const(k->cx, 0);
    if (k->n->n_in == 0)
        return infer_error(k, "at least one operand expected");
    DType dtype = operand_info(k, 0)->dtype;
    for (uint32_t i = 0; i < k->n->n_in; i++) {
        if (operand_info(k, i)->dtype != dtype || dtype == DT_none)
            return infer_error(k, "operand %u is of %s, tensors of %s expected", i, dtype_info[operand_info(k, i)->dtype].name,
                               dtype_info[dtype].name);
        before = dim_add(k->cx, before, type_elements(k->cx, operand_type(k, i)));
    }
    Type type = infer_tensor(k, dtype, rank, dims);
    if (type.id == 0)
        return type;
    Dim after = type_elements(k->cx, type);
    if (!infer_require(k, REL_EQ, before, after, "number of elements must stay the same, to %s", dim_string(k->cx, after)))
        return no_type;
    return type;
}

Type infer_get(Infer *k) {
    const TypeInfo *t = operand_info(k, 0);
    int64_t index = attr_int(k->n, ATTR_index);
    if (t->dtype != DT_none)
        return infer_error(k, "operand is a tensor, a tuple expected");
    if (index < 0 || index >= t->rank)
        return infer_error(k, "index is %lld, the tuple has %u elements", (long long)index,
                           t->rank);
    return t->elements[index];
}

Type infer_kernel(Infer *k) {
    const Graph *body = attr_graph(k->n, ATTR_body);
    if (!param_count(k, body, k->n->n_in) || !params_take(k, body, 0, 0, k->n->n_in))
        return no_type;
    uint32_t n = body->results.n;
    if (n == 0)
        return infer_error(k, "the body has no result");
    Type *types = arena_new_array(k->cx->arena, Type, n);
    for (uint32_t i = 0; i < n; i++)
        types[i] = node(body, body->results.at[i])->type;
    return n == 1 ? types[0] : type_tuple(k->cx, n, types);
}
