/* infer.h: private to emit, verify and the infer rules (ir/graph.c, ir/verify.c, ir/ops/infer*.c).
 *
 * A rule gets a node whose operands and attributes already match the op's row in number and kind
 * (check_node), checks everything else and returns the type of its result; Type 0 after a
 * diagnostic.  A relation between dims that cannot be decided becomes a guard of the graph, never
 * an assumption: no rule specialises a dim on it.
 */
#pragma once
#include "ir.h"

typedef struct Infer {
    Context *cx;
    const Graph *g; /* holds the operands */
    Graph *guards;  /* receives guards; NULL in verify, which only looks for contradictions */
    const Node *n;  /* the candidate; its type is not set */
    Fact asked;     /* what infer_holds looked at last, and what came of it */
    Truth truth;
} Infer;
typedef Type InferFn(Infer *);
extern InferFn *const infer_fn[OP_COUNT]; /* NULL for poison */

#define OP(name, operands, kind, cost, traits, infer, ...) InferFn infer_##infer;
#include "ops.def"

/* Checks a node completely and gives its type; Type 0 after a diagnostic, or silently where an
 * operand is poison. */
Type infer_node(Context *, const Graph *, Graph *guards, const Node *);

/* For rules.  infer_error() reports "<op>: <text> (operands …)" and gives Type 0. */
static const Type no_type = {0};
Type infer_error(Infer *, const char *fmt, ...) PRINTF_LIKE(2, 3);
const TypeInfo *operand_info(Infer *, uint32_t i);
Type operand_type(Infer *, uint32_t i);
/* The relation holds or has become a guard with this text; false after a diagnostic.  The text's arguments are evaluated
 * only where it is needed: dims may print long. */
#define infer_require(k, relation, a, b, ...) (infer_holds(k, relation, a, b) || infer_unproven(k, __VA_ARGS__))
bool infer_holds(Infer *, Relation, Dim a, Dim b);
bool infer_unproven(Infer *, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* a[i] = b[i] for all i < n, required. */
bool infer_require_dims(Infer *, const Dim *a, const Dim *b, uint32_t n, const char *what);
/* The result type: rank, extents and byte size are checked. */
Type infer_tensor(Infer *, DType, uint32_t rank, const Dim *dims);
Type infer_same_dims(Infer *, const TypeInfo *, DType);
bool axis_attr(Infer *, AttrKey, uint32_t rank, uint32_t *axis);
bool int_attr(Infer *, AttrKey, int64_t min, int64_t max, int64_t *value);
/* A list of exactly n numbers, each at least min. */
bool ints_attr(Infer *, AttrKey, uint32_t n, int64_t min, const int64_t **ints);
bool dims_attr(Infer *, AttrKey, uint32_t n, const Dim **dims);
bool ascending_axes(Infer *, uint32_t rank, const int64_t **axes, uint32_t *n);
bool type_is_numeric(const TypeInfo *);
bool infer_same_dtype(Infer *, uint32_t a, uint32_t b);

/* Dims that are all 0 exactly where an extent `from` can be broadcast to `to`. */
enum {
    MAX_BROADCAST_PARTS = 8,
    MAX_BROADCAST_CONDITIONS = MAX_BROADCAST_PARTS * MAX_BROADCAST_PARTS
};
uint32_t broadcast_conditions(Context *, Dim from, Dim to, Dim zeros[MAX_BROADCAST_CONDITIONS]);
