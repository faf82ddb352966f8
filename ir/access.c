/* access.c: which elements an expression reads.
 *
 * Shared by pass fuse (is this operand an affine view?), pass schedule (which axes collapse into one loop?) and the
 * templates (row pointers and strides of contractions).  The walk composes index_<op> from a value down to its leaves; no
 * index map is ever stored.  Run-time indices become opaque symbols, so that an address that depends on data is never
 * mistaken for an affine one.
 */
#include "ir.h"
#include <stdio.h>

enum { MAX_READS = 4096, OPAQUE = 24 /* index symbols from here on stand for run-time indices */ };

Symbol index_symbol(Context *cx, uint32_t k) {
    char name[16];
    snprintf(name, sizeof name, "$i%u", k);
    Symbol s = symbol_find(cx, name);
    if (s.id) return s;
    SymbolInfo info = {.name = intern(cx, name), .kind = SYMBOL_INDEX, .max = INT64_MAX, .multiple = 1};
    return symbol_new(cx, &info);
}

Symbol lane_symbol(Context *cx, uint32_t lanes) {
    char name[16];
    snprintf(name, sizeof name, "$lane%u", lanes);
    Symbol s = symbol_find(cx, name);
    if (s.id) return s;
    SymbolInfo info = {.name = intern(cx, name), .kind = SYMBOL_INDEX, .max = (int64_t)lanes - 1, .multiple = 1};
    return symbol_new(cx, &info);
}

Dim access_offset(Context *cx, const Dim *dims, const Dim *at, uint32_t rank) {
    Dim offset = dim_const(cx, 0), stride = dim_const(cx, 1);
    for (uint32_t i = rank; i-- > 0;) {
        offset = dim_add(cx, offset, dim_mul(cx, at[i], stride));
        stride = dim_mul(cx, stride, dims[i]);
    }
    return offset;
}

typedef struct LoadState {
    Access *access;
    const Node *node;
    uint32_t opaque;
    bool ok;
} LoadState;

static Dim load_opaque(void *user, uint32_t operand, const Dim *at, Dim extent) {
    LoadState *s = user;
    (void)extent;
    s->ok = access_walk(s->access, s->node->in[operand], at) && s->ok;
    Context *cx = s->access->g->cx;
    return dim_symbol(cx, index_symbol(cx, OPAQUE + s->opaque++ % 8));
}

static bool walk_indexed(Access *access, const Node *n, const Dim *at) {
    Context *cx = access->g->cx;
    LoadState state = {access, n, 0, true};
    IndexQuery query = {access->g, n, at, access->scope, cx->arena, load_opaque, &state};
    const IndexCase *cases = NULL;
    uint32_t n_cases = index_fn[n->op](&query, &cases);
    const Scope *outer = access->scope;
    for (uint32_t i = 0; i < n_cases && state.ok; i++) {
        Scope inner = {outer, cases[i].when, cases[i].n_when};
        for (uint32_t w = 0; access->choose && n_cases > 1 && w < cases[i].n_when; w++)
            access->choose(access->user, cases[i].when[w]);
        access->scope = &inner;
        state.ok = access_walk(access, n->in[cases[i].operand], cases[i].at);
        access->scope = outer;
    }
    return state.ok;
}

bool access_walk(Access *access, Val v, const Dim *at) {
    const Graph *g = access->g;
    const Node *n = node(g, v);
    if (access->stop && access->stop(access->user, v)) {
        access->read(access->user, v, at);
        return ++access->reads < MAX_READS;
    }
    if (n->op == OP_iota || n->op == OP_dim || val_splat(g, v, &(Scalar){0})) return true;
    switch (op_info[n->op].kind) {
    case KIND_VIEW:
    case KIND_INDEXED: return walk_indexed(access, n, at);
    case KIND_EW:
        for (uint32_t i = 0; i < n->n_in; i++)
            if (!access_walk(access, n->in[i], at)) return false;
        return true;
    case KIND_NONE:
    case KIND_SOURCE:
    case KIND_REDUCE:
    case KIND_CONTRACT:
    case KIND_ANCHOR:
    case KIND_CONTROL:
    case KIND_MACRO:
    case KIND_GROUP: break;
    }
    access->read(access->user, v, at);
    return ++access->reads < MAX_READS;
}
