/* operand.c: how an operand is read: which views a template can turn into pointers and strides.
 *
 * Shared by passes fuse (what must be materialised) and schedule (which template fits).
 */
#include "passes.h"

typedef struct OperandProbe {
    const Graph *g;
    const Dim *at;
    uint32_t rank;
    Val base;
    bool ok, contiguous;
} OperandProbe;

static void probe_read(void *user, Val leaf, const Dim *at) {
    OperandProbe *p = user;
    Context *cx = p->g->cx;
    const TypeInfo *t = val_type(p->g, leaf);
    if (p->base.id) p->ok = false;
    p->base = leaf;
    Dim offset = access_offset(cx, t->dims, at, t->rank), a, b;
    for (uint32_t i = 0; i < p->rank; i++) {
        const Term *terms;
        if (dim_terms(cx, p->at[i], &terms) != 1 || terms[0].n != 1) continue;
        Symbol s = dim_atom(cx, terms[0].factors[0].atom).symbol;
        if (!dim_affine(cx, offset, s, &a, &b)) p->ok = false;
        else if (i + 1 == p->rank) p->contiguous = dim_is(cx, a, 1);
    }
}

static bool is_leaf(void *user, Val v) {
    OperandProbe *p = user;
    return op_info[val_op(p->g, v)].kind != KIND_VIEW;
}

bool operand_is_affine(const Graph *g, Val v, Val *base, bool *contiguous) {
    Context *cx = g->cx;
    uint32_t rank = val_rank(g, v), n = 0;
    Dim at[MAX_RANK];
    Fact facts[MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) {
        at[i] = dim_symbol(cx, index_symbol(cx, i));
        facts[n++] = (Fact){REL_LT, at[i], val_dim(g, v, i)};
    }
    Scope scope = {NULL, facts, n};
    OperandProbe probe = {g, at, rank, {0}, true, true};
    Access access = {g, &scope, probe_read, is_leaf, &probe, 0, NULL};
    bool ok = access_walk(&access, v, at) && probe.ok && probe.base.id;
    *base = probe.base, *contiguous = probe.contiguous;
    return ok && !val_splat(g, v, &(Scalar){0});
}

typedef struct StrideProbe { const Graph *g; Symbol along; bool strided; } StrideProbe;

static void probe_stride(void *user, Val leaf, const Dim *at) {
    StrideProbe *p = user;
    Context *cx = p->g->cx;
    const TypeInfo *t = val_type(p->g, leaf);
    Dim step, rest;
    bool affine = dim_affine(cx, access_offset(cx, t->dims, at, t->rank), p->along, &step, &rest);
    p->strided |= !affine || !(dim_is(cx, step, 0) || dim_is(cx, step, 1));
}

static bool is_stride_leaf(void *user, Val v) {
    StrideProbe *p = user;
    return op_info[val_op(p->g, v)].kind != KIND_VIEW;
}

static bool is_permuted(const Graph *g, Val v) {
    while (op_info[val_op(g, v)].kind == KIND_VIEW && val_op(g, v) != OP_permute) v = val_in(g, v, 0);
    return val_op(g, v) == OP_permute;
}

bool operand_strides(const Graph *g, Val v) {
    Context *cx = g->cx;
    uint32_t rank = val_rank(g, v);
    Dim at[MAX_RANK];
    Fact facts[MAX_RANK];
    if (!rank || !is_permuted(g, v)) return false;
    for (uint32_t i = 0; i < rank; i++) {
        at[i] = dim_symbol(cx, index_symbol(cx, i));
        facts[i] = (Fact){REL_LT, at[i], val_dim(g, v, i)};
    }
    Scope scope = {NULL, facts, rank};
    StrideProbe probe = {g, index_symbol(cx, rank - 1), false};
    Access access = {g, &scope, probe_stride, is_stride_leaf, &probe, 0, NULL};
    return access_walk(&access, v, at) && probe.strided;
}
