/* fuse.h: what the files of pass `fuse` share: the partition of a graph into groups, one kernel each.
 *
 * fuse_groups.c forms groups around anchors, fuse.c decides what else lives in memory, fuse_kernels.c writes the kernels.
 */
#ifndef INGOT_FUSE_H
#define INGOT_FUSE_H
#include "passes.h"

typedef enum GroupKind { GROUP_NONE, GROUP_MAP, GROUP_ROW, GROUP_TILE, GROUP_ALONE } GroupKind;
typedef struct Group {
    GroupKind kind;
    Val anchor;
    uint32_t outer;              /* ROW: number of outer axes */
    Val before;                  /* TILE: an anchor whose result this one takes, in the same kernel; or none */
    uint32_t first, last;        /* members lie between these nodes */
    bool planes;                 /* TILE: channels lie first in the operand and in what is made of the result */
    VEC(Val) outputs;            /* members read from outside */
} Group;
#define MANY UINT32_MAX /* readers */

typedef struct Fusion {
    Context *cx;
    Arena *arena;
    const Graph *g;
    const Tiers *tiers;
    VEC(Group) groups;           /* [0] unused */
    uint32_t *group;             /* by node: the group it is a member of */
    uint32_t *stage;             /* TILE members: the view after which their index space is the result's */
    uint32_t *reader;            /* by node: the one group that computes or reads it; 0 none, MANY */
    bool *stored;                /* by node: lives in a buffer */
    uint8_t *depth;              /* of inlining below a node */
    uint32_t *uses;
    uint32_t *space_uses;        /* uses by views other than broadcast */
    Val *body_map;               /* of old values into the kernel being written; all 0 between kernels */
    VEC(Val) finders;            /* nodes that bind an extent while running */
    bool *read_as_extent;        /* by node: a finder whose extent some type or attribute mentions */
} Fusion;

static inline OpKind kind_of(const Fusion *f, Val v) { return op_info[val_op(f->g, v)].kind; }
static inline bool is_anchor(OpKind k) { return k == KIND_REDUCE || k == KIND_CONTRACT || k == KIND_ANCHOR; }
static inline bool is_inlinable(OpKind k) { return k == KIND_EW || k == KIND_VIEW || k == KIND_INDEXED; }
static inline bool is_free(const Fusion *f, Val v) {
    Op op = val_op(f->g, v);
    return op == OP_iota || op == OP_dim || val_splat(f->g, v, &(Scalar){0});
}

/* A wider copy of what lies in memory anyway: its readers make their own. */
static inline bool is_widened(const Fusion *f, Val v) {
    const Node *n = node(f->g, v);
    if (n->op != OP_convert || f->uses[n->in[0].id] < 2) return false;
    DType from = val_dtype(f->g, n->in[0]), to = val_dtype(f->g, v);
    return dtype_is_float(from) && dtype_is_float(to) && dtype_bytes(from) < dtype_bytes(to);
}

/* Opens a group for every anchor and takes in what its template computes in the same loops. */
void fuse_groups(Fusion *);

/* The graph of kernels; regions[v][i]: graph i among the attributes of node v, fused itself. */
Graph *fuse_kernels(Fusion *, const Graph *const *const *regions);

#endif
