/* scatter.c: template `scatter`: a copy of operand 0, then the updates combined in, in row-major order of the updates.
 *
 * One task: duplicates meet in the order that the op defines.  Indices are checked (a bad one ends the kernel with a status).
 */
#include "lower.h"
#include <string.h>

Dim range_scatter(Kernel *k) { return dim_const(k->cx, 1); }
Dim scratch_scatter(Kernel *k) { return dim_const(k->cx, 0); }

static const Node *scatter_node(Kernel *k) {
    for (uint32_t i = 1; i < k->body->nodes.n; i++)
        if (k->body->nodes.at[i].op == OP_scatter_nd || k->body->nodes.at[i].op == OP_scatter_elements)
            return &k->body->nodes.at[i];
    diag_fatal(k->cx, "schedule: template scatter without a scatter");
}

static void copy_step(Kernel *k, void *user, Dim linear, LVal *carried) {
    const Node *n = user;
    const TypeInfo *t = val_type(k->body, n->in[0]);
    Dim at[MAX_RANK], offset = linear;
    (void)carried;
    for (uint32_t i = t->rank; i-- > 0;) {
        at[i] = i ? kernel_simplify(k, dim_mod(k->cx, linear, t->dims[i])) : linear;
        if (i) linear = kernel_simplify(k, dim_fdiv(k->cx, linear, t->dims[i]));
    }
    kernel_store(k, k->outputs[0], t->dtype, offset, kernel_eval(k, n->in[0], at));
}

static LVal combine(Kernel *k, const char *how, LVal old, LVal update) {
    bool bools = loop_type(k->b, old).dtype == DT_bool;
    if (strcmp(how, "add") == 0) return l_add(k->b, old, update);
    if (strcmp(how, "mul") == 0) return l_mul(k->b, old, update);
    if (strcmp(how, "min") == 0) return bools ? l_bin(k->b, LOP_and, old, update) : l_min(k->b, old, update);
    if (strcmp(how, "max") == 0) return bools ? l_bin(k->b, LOP_or, old, update) : l_max(k->b, old, update);
    return update;
}

/* The index read at `at` of operand 1, checked against [0, extent), as a dim. */
static Dim read_index(Kernel *k, const Node *n, const Dim *at, Dim extent) {
    const TypeInfo *t = val_type(k->body, n->in[1]);
    LVal index = l_convert(k->b, kernel_eval(k, n->in[1], at), DT_i64), limit = kernel_dim(k, extent);
    LVal bad = l_bin(k->b, LOP_or, l_lt(k->b, index, l_i64(k->b, 0)), l_bin(k->b, LOP_le, limit, index));
    kernel_fail(k, bad, INGOT_E_INDEX, kernel_dim(k, access_offset(k->cx, t->dims, at, t->rank)), index, limit);
    return kernel_index(k, index);
}

/* Where the update at `at` goes. */
static void target_index(Kernel *k, const Node *n, const Dim *at, Dim *to) {
    const TypeInfo *x = val_type(k->body, n->in[0]), *index = val_type(k->body, n->in[1]);
    if (n->op == OP_scatter_elements) {
        int64_t axis = attr_int(n, ATTR_axis);
        for (uint32_t i = 0; i < x->rank; i++) to[i] = i == axis ? read_index(k, n, at, x->dims[i]) : at[i];
        return;
    }
    int64_t depth = 0;
    dim_const_value(k->cx, index->dims[index->rank - 1], &depth);
    Dim tuple[MAX_RANK];
    for (uint32_t i = 0; i + 1 < index->rank; i++) tuple[i] = at[i];
    for (uint32_t i = 0; i < depth; i++) {
        tuple[index->rank - 1] = dim_const(k->cx, i);
        to[i] = read_index(k, n, tuple, x->dims[i]);
    }
    for (uint32_t i = (uint32_t)depth; i < x->rank; i++) to[i] = at[index->rank - 1 + i - (uint32_t)depth];
}

/* Updates of one place of the indices: the axes from `first` on, all of which it moves along. */
typedef struct Piece { const Node *node; uint32_t first; Dim *at; } Piece;

static void update_step(Kernel *k, void *user, Dim linear, LVal *carried) {
    const Piece *p = user;
    const Node *n = p->node;
    const TypeInfo *x = val_type(k->body, n->in[0]), *u = val_type(k->body, n->in[2]);
    Dim at[MAX_RANK], to[MAX_RANK];
    (void)carried;
    memcpy(at, p->at, sizeof at);
    for (uint32_t i = u->rank; i-- > p->first;) {
        bool last = i == p->first;
        at[i] = last ? linear : kernel_simplify(k, dim_mod(k->cx, linear, u->dims[i]));
        if (!last) linear = kernel_simplify(k, dim_fdiv(k->cx, linear, u->dims[i]));
    }
    target_index(k, n, at, to);
    Dim offset = access_offset(k->cx, x->dims, to, x->rank);
    LVal old = kernel_load(k, k->outputs[0], x->dtype, offset), update = kernel_eval(k, n->in[2], at);
    LVal value = combine(k, node_attr(n, ATTR_combine)->as.text, old, l_splat(k->b, update, loop_type(k->b, old).lanes));
    kernel_store(k, k->outputs[0], x->dtype, offset, l_round(k->b, value, x->dtype));
}

/* A place moves along its axes in vectors: their elements are different ones of the result, so that only places have an
 * order. */
void lower_scatter(Kernel *k, LVal lo, LVal hi) {
    (void)lo, (void)hi;
    Context *cx = k->cx;
    const Node *n = scatter_node(k);
    const TypeInfo *x = val_type(k->body, n->in[0]), *u = val_type(k->body, n->in[2]);
    Dim at[MAX_RANK];
    Piece piece = {n, n->op == OP_scatter_nd ? val_rank(k->body, n->in[1]) - 1 : u->rank, at};
    k->lane = lane_symbol(cx, LANES);
    kernel_vector_loop(k, dim_product(cx, x->dims, x->rank), LANES, NULL, 0, copy_step, (void *)(uintptr_t)n);
    Dim total = dim_product(cx, u->dims, piece.first), size = dim_product(cx, u->dims + piece.first, u->rank - piece.first);
    KernelLoop loop;
    Dim p = kernel_loop(k, &loop, l_i64(k->b, 0), kernel_dim(k, total), total, 1, NULL, 0);
    KernelScope scope;
    Fact facts[MAX_RANK];
    kernel_split(k, p, u->dims, piece.first, at, facts);
    kernel_enter(k, &scope, facts, piece.first);
    if (dim_is(cx, size, 1)) update_step(k, &piece, dim_const(cx, 0), NULL);
    else kernel_vector_loop(k, size, LANES, NULL, 0, update_step, &piece);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
}
