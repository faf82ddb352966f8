/* infer.c: the entrance to type inference, and what its rules share.
 *
 * infer_node is the wall that every node passes, whoever built it (importers and the parser forward
 * hostile input): the op's row, the attribute set and payloads, operand kinds, then the op's rule.
 * The rules themselves: infer_ew.c, infer_view.c, infer_index.c, infer_reduce_contract.c,
 * infer_control.c.
 */
#include <stdio.h>

#include "infer.h"

InferFn *const infer_fn[OP_COUNT] = {
#define OP(name, operands, kind, cost, traits, infer, ...) [OP_##name] = infer_##infer,
#include "ops.def"
};

/* ---- what rules share
 * --------------------------------------------------------------------------------------------- */

const TypeInfo *operand_info(Infer *k, uint32_t i) { return type_info(k->cx, operand_type(k, i)); }

Type operand_type(Infer *k, uint32_t i) { return node(k->g, k->n->in[i])->type; }

static void add_operand_types(Infer *k, Text *out) {
    enum { SHOWN = 6 };
    if (k->n->n_in == 0)
        return;
    text_add(out, k->n->n_in == 1 ? " (operand " : " (operands ");
    for (uint32_t i = 0; i < k->n->n_in && i < SHOWN; i++) {
        if (i)
            text_add(out, ", ");
        type_print(k->cx, out, operand_type(k, i));
    }
    text_add(out, k->n->n_in > SHOWN ? ", …)" : ")");
}

static const char *describe(Infer *k, const char *fmt, va_list args) {
    char message[512];
    vsnprintf(message, sizeof message, fmt, args);
    Text out = text_new(k->cx->arena);
    text_add(&out, "%s: %s", op_info[k->n->op].name, message);
    add_operand_types(k, &out);
    return out.at;
}

Type infer_error(Infer *k, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    diag_error(k->cx, k->n->loc, "%s", describe(k, fmt, args));
    va_end(args);
    return no_type;
}

/* Asked before the message is written, which is long where the types are. */
static bool is_guarded(const Graph *g, Relation relation, Dim a, Dim b) {
    for (uint32_t i = 0; i < g->guards.n; i++) {
        const Fact *f = &g->guards.at[i].fact;
        if (f->relation == relation && dim_same(f->a, a) && dim_same(f->b, b))
            return true;
    }
    return false;
}

bool infer_holds(Infer *k, Relation relation, Dim a, Dim b) {
    if (relation == REL_EQ && dim_same(a, b))
        return true;
    k->asked = (Fact){relation, a, b};
    k->truth = prove(k->cx, NULL, relation, a, b);
    return k->truth == YES ||
           (k->truth == UNKNOWN && (!k->guards || is_guarded(k->guards, relation, a, b)));
}

/* After infer_holds answered false. */
bool infer_unproven(Infer *k, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    const char *message = describe(k, fmt, args);
    va_end(args);
    if (k->truth == UNKNOWN)
        return graph_guard(k->guards, k->n->loc, k->asked.relation, k->asked.a, k->asked.b, "%s", message);
    diag_error(k->cx, k->n->loc, "%s", message);
    return false;
}

bool infer_require_dims(Infer *k, const Dim *a, const Dim *b, uint32_t n, const char *what) {
    for (uint32_t i = 0; i < n; i++)
        if (!infer_require(k, REL_EQ, a[i], b[i], "%s must have equal extents on axis %u", what, i))
            return false;
    return true;
}

/* Extents of operands were checked when those were made. */
static bool known_extent(Infer *k, Dim d) {
    for (uint32_t i = 0; i < k->n->n_in; i++) {
        const TypeInfo *t = operand_info(k, i);
        for (uint32_t axis = 0; t->dtype != DT_none && axis < t->rank; axis++)
            if (dim_same(t->dims[axis], d))
                return true;
    }
    return false;
}

Type infer_tensor(Infer *k, DType dtype, uint32_t rank, const Dim *dims) {
    if (rank > MAX_RANK)
        return infer_error(k, "result of rank %u, at most %u expected", rank, MAX_RANK);
    int64_t bytes = dtype_bytes(dtype);
    for (uint32_t i = 0; i < rank; i++) {
        int64_t extent;
        if (dims[i].id == 0)
            return no_type;
        if (!dim_const_value(k->cx, dims[i], &extent)) {
            if (!known_extent(k, dims[i]) &&
                !infer_require(k, REL_LE, dim_const(k->cx, 0), dims[i],
                               "extent of axis %u must not be negative", i))
                return no_type;
            continue;
        }
        if (extent < 0)
            return infer_error(k, "extent of axis %u is %lld, at least 0 expected", i,
                               (long long)extent);
        if (extent > 0 && !ck_mul(bytes, extent, &bytes))
            return infer_error(k, "result has more elements than memory can address");
    }
    return type_tensor(k->cx, dtype, rank, dims);
}

Type infer_same_dims(Infer *k, const TypeInfo *t, DType dtype) {
    return infer_tensor(k, dtype, t->rank, t->dims);
}

bool int_attr(Infer *k, AttrKey key, int64_t min, int64_t max, int64_t *value) {
    *value = attr_int(k->n, key);
    if (*value >= min && *value <= max)
        return true;
    infer_error(k, "%s is %lld, expected %lld to %lld", attr_info[key].name, (long long)*value,
                (long long)min, (long long)max);
    return false;
}

bool axis_attr(Infer *k, AttrKey key, uint32_t rank, uint32_t *axis) {
    int64_t value = attr_int(k->n, key);
    *axis = (uint32_t)value;
    if (value >= 0 && value < rank)
        return true;
    infer_error(k, "%s is %lld, expected 0 to %lld", attr_info[key].name, (long long)value,
                (long long)rank - 1);
    return false;
}

bool ints_attr(Infer *k, AttrKey key, uint32_t n, int64_t min, const int64_t **ints) {
    uint32_t found;
    *ints = attr_ints(k->n, key, &found);
    if (found != n) {
        infer_error(k, "%s has %u numbers, %u expected", attr_info[key].name, found, n);
        return false;
    }
    for (uint32_t i = 0; i < n; i++)
        if ((*ints)[i] < min) {
            infer_error(k, "%s[%u] is %lld, at least %lld expected", attr_info[key].name, i,
                        (long long)(*ints)[i], (long long)min);
            return false;
        }
    return true;
}

bool dims_attr(Infer *k, AttrKey key, uint32_t n, const Dim **dims) {
    uint32_t found;
    *dims = attr_dims(k->n, key, &found);
    if (found == n)
        return true;
    infer_error(k, "%s has %u extents, %u expected", attr_info[key].name, found, n);
    return false;
}

bool ascending_axes(Infer *k, uint32_t rank, const int64_t **axes, uint32_t *n) {
    *axes = attr_ints(k->n, ATTR_axes, n);
    int64_t least = 0;
    for (uint32_t i = 0; i < *n; i++) {
        int64_t axis = (*axes)[i];
        if (axis < least || axis >= rank) {
            infer_error(k, "axes[%u] is %lld, expected ascending axes below %u", i, (long long)axis,
                        rank);
            return false;
        }
        least = axis + 1;
    }
    return true;
}

bool type_is_numeric(const TypeInfo *t) { return !dtype_is_bool(t->dtype); }

bool infer_same_dtype(Infer *k, uint32_t a, uint32_t b) {
    if (operand_info(k, a)->dtype == operand_info(k, b)->dtype)
        return true;
    infer_error(k, "operands %u and %u must have the same element type", a, b);
    return false;
}

/* ---- the op's row
 * -------------------------------------------------------------------------------------------------
 */

static const char *attr_list(Context *cx, uint64_t bits) {
    Text out = text_new(cx->arena);
    for (int key = 1; key < ATTR_COUNT; key++)
        if (bits >> key & 1)
            text_add(&out, "%s'%s'", out.n ? ", " : "", attr_info[key].name);
    return out.n ? out.at : "none";
}

static bool check_attr_set(Infer *k) {
    const Node *n = k->n;
    uint64_t found = 0, expected = op_info[n->op].attrs;
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        AttrKey key = n->attrs[i].key;
        REQUIRE(k->cx, key > ATTR_none && key < ATTR_COUNT);
        if (found >> key & 1) {
            infer_error(k, "attribute '%s' is given twice", attr_info[key].name);
            return false;
        }
        found |= UINT64_C(1) << key;
    }
    found &= ~((A(buffers) | A(together)) & ~expected);
    if (found == expected)
        return true;
    infer_error(k, "attributes missing: %s, unexpected: %s", attr_list(k->cx, expected & ~found),
                attr_list(k->cx, found & ~expected));
    return false;
}

/* false silently: the payload is poison, and somebody has said why. */
static bool check_payload(Infer *k, const Attr *a) {
    switch (attr_info[a->key].type) {
    case AT_DIM:
        return a->as.dim.id != 0;
    case AT_DIMS:
        for (uint32_t i = 0; i < a->n; i++)
            if (a->as.dims[i].id == 0)
                return false;
        return true;
    case AT_DTYPE:
        if (a->as.dtype > DT_none && a->as.dtype < DT_COUNT)
            return true;
        infer_error(k, "unknown element type");
        return false;
    case AT_TEXT:
        REQUIRE(k->cx, a->as.text);
        return true;
    case AT_CONST:
        return a->as.data.id != 0;
    case AT_GRAPH:
        if (!a->as.graph)
            return false;
        REQUIRE(k->cx, a->as.graph->finished);
        return true;
    case AT_SCHEDULE:
        REQUIRE(k->cx, a->as.schedule && a->n);
        return true;
    case AT_INT:
    case AT_FLOAT:
    case AT_INTS:
        return true;
    }
    return false;
}

static bool takes_tuple(Op op) { return op == OP_get || op == OP_tuple; }

/* Encoded constants are read by contractions, as their weights, and by kernels that contain such a
 * contraction. */
static bool takes_encoded(Op op, uint32_t i) {
    return op == OP_kernel || (op_info[op].kind == KIND_CONTRACT && i == 1);
}

static bool check_operands(Infer *k) {
    const Node *n = k->n;
    const OpInfo *row = &op_info[n->op];
    if (row->operands != ANY && n->n_in != (uint32_t)row->operands) {
        infer_error(k, "%u operands, %d expected", n->n_in, row->operands);
        return false;
    }
    for (uint32_t i = 0; i < n->n_in; i++) {
        const TypeInfo *t = operand_info(k, i);
        if (t->dtype == DT_none && !takes_tuple(n->op)) {
            infer_error(k, "operand %u is a tuple, a tensor expected: select an element with get",
                        i);
            return false;
        }
        if (t->encoding != ENCODING_DENSE && !takes_encoded(n->op, i)) {
            infer_error(k, "operand %u is an encoded constant, which only contractions read", i);
            return false;
        }
    }
    return true;
}

Type infer_node(Context *cx, const Graph *g, Graph *guards, const Node *n) {
    REQUIRE(cx, n->op > OP_poison && n->op < OP_COUNT);
    Infer k = {.cx = cx, .g = g, .guards = guards, .n = n};
    for (uint32_t i = 0; i < n->n_in; i++) {
        REQUIRE(cx, n->in[i].id < g->nodes.n);
        if (n->in[i].id == 0)
            return no_type;
    }
    if (!check_attr_set(&k) || !check_operands(&k))
        return no_type;
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (!check_payload(&k, &n->attrs[i]))
            return no_type;
    return infer_fn[n->op](&k);
}
