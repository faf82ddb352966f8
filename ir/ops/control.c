/* control.c: ops with regions, and structure: if, while, scan, tuple, get, join, kernel.
 *
 * A region is a closed function run by interp_graph on its operands; symbols are shared with the
 * caller.  A kernel means exactly what its body means.
 */
#include <string.h>
#include "ops.h"

/* Leaves of a function's results, in order. */
static uint32_t result_leaves(const Graph *body) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < body->results.n; i++)
        n += type_leaves(body->cx, node(body, body->results.at[i])->type);
    return n;
}

static uint32_t operand_leaves(const Graph *g, const Node *n) {
    uint32_t leaves = 0;
    for (uint32_t i = 0; i < n->n_in; i++)
        leaves += type_leaves(g->cx, node(g, n->in[i])->type);
    return leaves;
}

/* if: the branch that operand 0 names, on the other operands. */
bool eval_if(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    const Graph *branch = attr_graph(n, tensor_at(&in[0], 0).u ? ATTR_then : ATTR_orelse);
    return interp_graph(ip, branch, in + 1, operand_leaves(g, n) - 1, out);
}

/* while: operands bool, carried.., captures..; the body answers bool, carried... */
bool eval_while(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    const Graph *body = attr_graph(n, ATTR_body);
    uint32_t carried = (uint32_t)attr_int(n, ATTR_carried), operands = operand_leaves(g, n) - 1;
    Tensor *args = arena_copy(ip->arena, in + 1, operands * sizeof *args);
    Tensor *results = arena_new_array(ip->arena, Tensor, carried + 1);
    bool more = tensor_at(&in[0], 0).u != 0;
    while (more) {
        context_spend(ip->cx, 1);
        if (!interp_graph(ip, body, args, operands, results))
            return false;
        more = tensor_at(&results[0], 0).u != 0;
        memcpy(args, results + 1, carried * sizeof *args);
    }
    memcpy(out, args, carried * sizeof *args);
    return true;
}

/* Slice `step` along axis 0 of a stacked tensor, without copying. */
static Tensor slice_of(const Tensor *x, int64_t step) {
    Tensor t = *x;
    t.rank = x->rank - 1;
    memmove(t.dims, x->dims + 1, t.rank * sizeof *t.dims);
    if (!t.splat)
        t.data = (uint8_t *)x->data + step * tensor_elements(&t) * dtype_bytes(x->dtype);
    return t;
}

static bool stack_slice(Interp *ip, Tensor *stacked, int64_t step, const Tensor *y) {
    Tensor place = slice_of(stacked, step), dense;
    for (uint32_t i = 0; i < place.rank; i++) {
        if (place.dims[i] == y->dims[i])
            continue;
        diag_error(ip->cx, ip->loc,
                   "scan: a stacked result has extent %lld in axis %u, expected %lld",
                   (long long)y->dims[i], i, (long long)place.dims[i]);
        return false;
    }
    if (!tensor_dense(ip, y, &dense))
        return false;
    memcpy(place.data, dense.data, (size_t)(tensor_elements(&place) * dtype_bytes(place.dtype)));
    return true;
}

/* scan: body(step, carried.., slices.., captures..) -> (carried.., ys..); reversed, steps run from
 * trip - 1 down to 0 and slices are read and stacked at the step's own place. */
bool eval_scan(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    const Graph *body = attr_graph(n, ATTR_body);
    uint32_t carried = (uint32_t)attr_int(n, ATTR_carried),
             scanned = (uint32_t)attr_int(n, ATTR_scanned);
    uint32_t operands = operand_leaves(g, n), n_results = result_leaves(body);
    bool reverse = attr_int(n, ATTR_reverse) != 0;
    const TypeInfo *t = type_info(ip->cx, n->type);
    int64_t trip;
    if (!interp_dim(ip, attr_dim(n, ATTR_trip), &trip))
        return false;
    for (uint32_t i = carried; i < carried + scanned; i++) {
        if (in[i].rank > 0 && in[i].dims[0] == trip)
            continue;
        diag_error(ip->cx, ip->loc, "scan: operand %u has %lld slices, expected %lld", i,
                   (long long)(in[i].rank ? in[i].dims[0] : 0), (long long)trip);
        return false;
    }
    Tensor *args = arena_new_array(ip->arena, Tensor, operands + 1);
    Tensor *results = arena_new_array(ip->arena, Tensor, n_results);
    memcpy(args + 1, in, operands * sizeof *args);
    for (uint32_t i = carried; i < n_results; i++)
        if (!tensor_new(ip, t->elements[i], &out[i]))
            return false;
    for (int64_t i = 0; i < trip; i++) {
        int64_t step = reverse ? trip - 1 - i : i;
        context_spend(ip->cx, 1);
        args[0] = tensor_splat(DT_i64, 0, NULL, (Scalar){.i = step});
        for (uint32_t k = carried; k < carried + scanned; k++)
            args[1 + k] = slice_of(&in[k], step);
        if (!interp_graph(ip, body, args, operands + 1, results))
            return false;
        memcpy(args + 1, results, carried * sizeof *args);
        for (uint32_t k = carried; k < n_results; k++)
            if (!stack_slice(ip, &out[k], step, &results[k]))
                return false;
    }
    memcpy(out, args + 1, carried * sizeof *args);
    return true;
}

/* tuple: operands and results are flattened alike. */
bool eval_tuple(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)ip;
    memcpy(out, in, operand_leaves(g, n) * sizeof *out);
    return true;
}

/* join: a copy, here. */
bool eval_join(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    if (!tensor_new(ip, n->type, out))
        return false;
    int64_t bytes = dtype_bytes(out->dtype), room = tensor_elements(out);
    uint8_t *to = strided_of(out).at;
    for (uint32_t i = 0; i < n->n_in; i++) {
        Tensor x;
        if (!tensor_dense(ip, &in[i], &x))
            return false;
        int64_t elements = tensor_elements(&x);
        room -= elements;
        if (room < 0)
            break;
        if (elements)
            memcpy(to, strided_of(&x).at, (size_t)(elements * bytes));
        to += elements * bytes;
    }
    if (room == 0)
        return true;
    diag_error(ip->cx, ip->loc, "join: the operands have not the elements of the result");
    return false;
}

/* get: the leaves of element `index`. */
bool eval_get(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    const TypeInfo *tuple = val_type(g, n->in[0]);
    uint32_t index = (uint32_t)attr_int(n, ATTR_index), from = 0;
    for (uint32_t i = 0; i < index; i++)
        from += type_leaves(ip->cx, tuple->elements[i]);
    memcpy(out, in + from, type_leaves(ip->cx, n->type) * sizeof *out);
    return true;
}

/* kernel: its body. */
bool eval_kernel(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    return interp_graph(ip, attr_graph(n, ATTR_body), in, operand_leaves(g, n), out);
}
