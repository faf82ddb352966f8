/* inplace.c: may a kernel's result overwrite one of its operands?
 *
 * Yes where every read of the operand, for the element being written, is at that element's own offset: then each element is
 * read before it is written and by nobody else.  Reductions over a row read the row they belong to, at the offsets that the
 * row's own results are written to; contractions and other anchors read their operands in any order, so those never qualify.
 * Used by pass plan, which also asks that the operand dies here and has the same bytes.
 */
#include "passes.h"

typedef struct Reads {
    const Graph *body;
    Val operand;
    const Dim *at;       /* of the result */
    Dim offset;          /* of the element written */
    bool ok;
} Reads;

static void read_leaf(void *user, Val leaf, const Dim *at);

static bool walk(Reads *r, Val v, const Dim *at) {
    Access access = {r->body, NULL, read_leaf, NULL, r, 0, NULL};
    return access_walk(&access, v, at);
}

/* The index of a reduction's operand: the result's axes, then the reduced ones as in the element written. */
static void read_row(Reads *r, const Node *n, const Dim *at) {
    uint32_t n_axes, rank = val_rank(r->body, n->in[0]);
    const int64_t *axes = attr_ints(n, ATTR_axes, &n_axes);
    Dim full[MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) full[i] = i < rank - n_axes ? at[i] : r->at[i];
    bool rows = rank == val_rank(r->body, r->body->results.at[0]);
    for (uint32_t i = 0; i < n_axes && rows; i++) rows = axes[i] == rank - n_axes + i;
    r->ok = r->ok && rows && walk(r, n->in[0], full);
}

enum { MAX_BODY = 256 };

/* Some path of operands leads from `from` to the parameter. */
static bool reaches(const Graph *g, Val from, Val operand) {
    bool leads[MAX_BODY] = {0};
    leads[operand.id] = true;
    for (uint32_t i = 1; i <= from.id; i++)
        for (uint32_t o = 0; o < g->nodes.at[i].n_in; o++) leads[i] |= leads[g->nodes.at[i].in[o].id];
    return leads[from.id];
}

static void read_leaf(void *user, Val leaf, const Dim *at) {
    Reads *r = user;
    const Node *n = node(r->body, leaf);
    if (leaf.id == r->operand.id) {
        const TypeInfo *t = val_type(r->body, leaf);
        r->ok = r->ok && dim_same(access_offset(r->body->cx, t->dims, at, t->rank), r->offset);
    } else if (op_info[n->op].kind == KIND_REDUCE && node_attr(n, ATTR_axes)) {
        read_row(r, n, at);
    } else {
        r->ok = r->ok && !reaches(r->body, leaf, r->operand);
    }
}

bool overwrites_safely(const Graph *body, uint32_t operand, uint32_t result) {
    Context *cx = body->cx;
    if (body->results.n != 1 || result != 0 || body->nodes.n > MAX_BODY) return false;
    Val v = body->results.at[0];
    const TypeInfo *t = val_type(body, v);
    Dim at[MAX_RANK];
    for (uint32_t i = 0; i < t->rank; i++) at[i] = dim_symbol(cx, index_symbol(cx, i));
    Reads r = {body, body->params.at[operand], at, access_offset(cx, t->dims, at, t->rank), true};
    /* A result that is a view of an anchor is stored elsewhere than where it is computed: only plain chains qualify. */
    for (uint32_t i = 1; i < body->nodes.n; i++) {
        OpKind kind = op_info[body->nodes.at[i].op].kind;
        if (kind == KIND_ANCHOR || kind == KIND_INDEXED) return false;
    }
    return dtype_bytes(val_dtype(body, r.operand)) == dtype_bytes(t->dtype) && walk(&r, v, at) && r.ok;
}
