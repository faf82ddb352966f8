/* model.c: ModelProto and what it contains as arena structs, second stage of the ONNX importer.
 *
 * One function per message, each a switch over the fields that matter; the rest is passed over.  Names are interned,
 * tensor data stays in the file.  A scalar field given twice keeps its last value.  Nesting is limited to ONNX_DEPTH.
 * Field numbers: onnx 1.22.
 */
#include "onnx.h"
#include <string.h>

typedef struct Reader {
    Context *cx;
    const char *file;
    uint32_t depth;
    bool failed;
} Reader;

static void broken(Reader *r, const char *message, const char *why) {
    bool whole = strcmp(message, "ModelProto") == 0;
    if (!r->failed)
        diag_error(r->cx, loc_node(r->cx, r->file, NULL, NULL), "broken %s message: %s%s", message, why,
                   whole ? "; is this an ONNX model?" : "");
    r->failed = true;
}

static bool enter(Reader *r, const char *message) {
    if (r->failed) return false;
    if (r->depth == ONNX_DEPTH) {
        broken(r, message, "nested more than 64 deep");
        return false;
    }
    context_spend(r->cx, 1);
    r->depth++;
    return true;
}

static void leave(Reader *r, const Wire *w, const char *message) {
    if (w->error) broken(r, message, w->error);
    r->depth--;
}

static const char *text_of(Reader *r, const Field *f) {
    if (f->bytes.n && memchr(f->bytes.at, 0, f->bytes.n)) {
        broken(r, "string", "a NUL byte in a name");
        return "";
    }
    return intern_n(r->cx, (const char *)f->bytes.at, f->bytes.n);
}

/* The array of a vector, or an empty array: never NULL. */
#define LIST(vec) ((vec).n ? (void *)(vec).at : (void *)r->cx->arena)

static void read_external(Reader *r, Span s, OnnxTensor *t) {
    const char *key = "", *value = "";
    Field f;
    if (!enter(r, "StringStringEntry")) return;
    Wire w = wire_open(s);
    while (wire_next(&w, &f)) {
        if (field_key(&f) == FIELD(1, WIRE_BYTES)) key = text_of(r, &f);
        if (field_key(&f) == FIELD(2, WIRE_BYTES)) value = text_of(r, &f);
    }
    leave(r, &w, "StringStringEntry");
    if (strcmp(key, "location") == 0) {
        t->location = value;
        return;
    }
    bool offset = strcmp(key, "offset") == 0;
    if (!offset && strcmp(key, "length") != 0) return;
    int64_t n = 0;
    for (const char *p = value; *p; p++)
        if (*p < '0' || *p > '9' || !ck_mul(n, 10, &n) || !ck_add(n, *p - '0', &n)) {
            broken(r, "TensorProto", "external offset or length is not a number");
            return;
        }
    if (offset)
        t->offset = n;
    else
        t->length = n;
}

static void read_tensor(Reader *r, Span s, OnnxTensor *t) {
    IntVec dims = {0};
    Field f;
    *t = (OnnxTensor){.name = intern(r->cx, ""), .message = s, .length = -1};
    if (!enter(r, "TensorProto")) return;
    Wire w = wire_open(s);
    while (wire_next(&w, &f)) switch (field_key(&f)) {
        case FIELD(1, WIRE_VARINT):
        case FIELD(1, WIRE_BYTES):
            if (!wire_ints(r->cx->arena, &f, &dims)) broken(r, "TensorProto", "dims");
            break;
        case FIELD(2, WIRE_VARINT): t->data_type = (int64_t)f.value; break;
        case FIELD(8, WIRE_BYTES): t->name = text_of(r, &f); break;
        case FIELD(9, WIRE_BYTES):
            t->raw = f.bytes;
            t->has_raw = true;
            break;
        case FIELD(13, WIRE_BYTES): read_external(r, f.bytes, t); break;
        case FIELD(14, WIRE_VARINT): t->external = f.value == 1; break;
        default: break;
        }
    leave(r, &w, "TensorProto");
    t->dims = LIST(dims);
    t->n_dims = dims.n;
}

/* TensorShapeProto.Dimension. */
static struct OnnxDim read_dim(Reader *r, Span s) {
    struct OnnxDim dim = {.param = ""};
    Field f;
    if (!enter(r, "Dimension")) return dim;
    Wire w = wire_open(s);
    while (wire_next(&w, &f)) {
        if (field_key(&f) == FIELD(1, WIRE_VARINT)) dim = (struct OnnxDim){true, (int64_t)f.value, ""};
        if (field_key(&f) == FIELD(2, WIRE_BYTES)) dim = (struct OnnxDim){false, 0, text_of(r, &f)};
    }
    leave(r, &w, "Dimension");
    return dim;
}

static const OnnxType *read_type(Reader *r, Span s);

static void read_tensor_type(Reader *r, Span s, OnnxType *t) {
    VEC(struct OnnxDim) dims = {0};
    Field f, d;
    t->kind = ONNX_TYPE_TENSOR;
    if (!enter(r, "TypeProto.Tensor")) return;
    Wire w = wire_open(s);
    while (wire_next(&w, &f)) {
        if (field_key(&f) == FIELD(1, WIRE_VARINT)) t->element = (int64_t)f.value;
        if (field_key(&f) != FIELD(2, WIRE_BYTES)) continue;
        t->has_shape = true;
        Wire shape = wire_open(f.bytes);
        while (wire_next(&shape, &d))
            if (field_key(&d) == FIELD(1, WIRE_BYTES)) vec_push(r->cx->arena, &dims, read_dim(r, d.bytes));
        if (shape.error) broken(r, "TensorShapeProto", shape.error);
    }
    leave(r, &w, "TypeProto.Tensor");
    t->dims = LIST(dims);
    t->rank = dims.n;
}

static const OnnxType *read_inner(Reader *r, Span s) {
    const OnnxType *inner = NULL;
    Field f;
    if (!enter(r, "TypeProto.Sequence")) return NULL;
    Wire w = wire_open(s);
    while (wire_next(&w, &f))
        if (field_key(&f) == FIELD(1, WIRE_BYTES)) inner = read_type(r, f.bytes);
    leave(r, &w, "TypeProto.Sequence");
    return inner;
}

static const OnnxType *read_type(Reader *r, Span s) {
    OnnxType *t = arena_new_array(r->cx->arena, OnnxType, 1);
    Field f;
    if (!enter(r, "TypeProto")) return t;
    Wire w = wire_open(s);
    while (wire_next(&w, &f)) switch (field_key(&f)) {
        case FIELD(1, WIRE_BYTES): read_tensor_type(r, f.bytes, t); break;
        case FIELD(4, WIRE_BYTES):
            t->kind = ONNX_TYPE_SEQUENCE;
            t->inner = read_inner(r, f.bytes);
            break;
        case FIELD(9, WIRE_BYTES):
            t->kind = ONNX_TYPE_OPTIONAL;
            t->inner = read_inner(r, f.bytes);
            break;
        case FIELD(5, WIRE_BYTES):
        case FIELD(8, WIRE_BYTES): t->kind = ONNX_TYPE_OTHER; break;
        default: break;
        }
    leave(r, &w, "TypeProto");
    return t;
}

static OnnxValueInfo read_value_info(Reader *r, Span s) {
    static const OnnxType no_type;
    OnnxValueInfo v = {intern(r->cx, ""), &no_type};
    Field f;
    if (!enter(r, "ValueInfoProto")) return v;
    Wire w = wire_open(s);
    while (wire_next(&w, &f)) {
        if (field_key(&f) == FIELD(1, WIRE_BYTES)) v.name = text_of(r, &f);
        if (field_key(&f) == FIELD(2, WIRE_BYTES)) v.type = read_type(r, f.bytes);
    }
    leave(r, &w, "ValueInfoProto");
    return v;
}

static const OnnxGraph *read_graph(Reader *r, Span s);

/* Where the file does not say what an attribute holds (old writers), the field that is there does. */
static void attr_guess(OnnxAttr *a, OnnxAttrType type, bool *stated) {
    if (!*stated) a->type = type;
}

static OnnxAttr read_attr(Reader *r, Span s) {
    OnnxAttr a = {.name = "", .s = ""};
    Arena *arena = r->cx->arena;
    bool stated = false;
    FloatVec one = {0};
    OnnxTensor *t;
    Field f;
    if (!enter(r, "AttributeProto")) return a;
    Wire w = wire_open(s);
    while (wire_next(&w, &f)) switch (field_key(&f)) {
        case FIELD(1, WIRE_BYTES): a.name = text_of(r, &f); break;
        case FIELD(2, WIRE_FIXED32):
            one.n = 0;
            wire_floats(arena, &f, &one);
            a.f = one.at[0];
            attr_guess(&a, ONNX_ATTR_FLOAT, &stated);
            break;
        case FIELD(3, WIRE_VARINT):
            a.i = (int64_t)f.value;
            attr_guess(&a, ONNX_ATTR_INT, &stated);
            break;
        case FIELD(4, WIRE_BYTES):
            a.s = intern_n(r->cx, (const char *)f.bytes.at, f.bytes.n);
            attr_guess(&a, ONNX_ATTR_STRING, &stated);
            break;
        case FIELD(5, WIRE_BYTES):
            t = arena_new_array(arena, OnnxTensor, 1);
            read_tensor(r, f.bytes, t);
            a.t = t;
            attr_guess(&a, ONNX_ATTR_TENSOR, &stated);
            break;
        case FIELD(6, WIRE_BYTES):
            a.g = read_graph(r, f.bytes);
            attr_guess(&a, ONNX_ATTR_GRAPH, &stated);
            break;
        case FIELD(7, WIRE_BYTES):
        case FIELD(7, WIRE_FIXED32):
            if (!wire_floats(arena, &f, &a.floats)) broken(r, "AttributeProto", "floats");
            attr_guess(&a, ONNX_ATTR_FLOATS, &stated);
            break;
        case FIELD(8, WIRE_BYTES):
        case FIELD(8, WIRE_VARINT):
            if (!wire_ints(arena, &f, &a.ints)) broken(r, "AttributeProto", "ints");
            attr_guess(&a, ONNX_ATTR_INTS, &stated);
            break;
        case FIELD(9, WIRE_BYTES):
            vec_push(arena, &a.strings, intern_n(r->cx, (const char *)f.bytes.at, f.bytes.n));
            attr_guess(&a, ONNX_ATTR_STRINGS, &stated);
            break;
        case FIELD(14, WIRE_BYTES):
            a.tp = read_type(r, f.bytes);
            attr_guess(&a, ONNX_ATTR_TYPE, &stated);
            break;
        case FIELD(20, WIRE_VARINT):
            a.type = f.value <= ONNX_ATTR_TYPES ? (OnnxAttrType)f.value : ONNX_ATTR_ANY;
            stated = a.type != ONNX_ATTR_ANY;
            break;
        case FIELD(21, WIRE_BYTES): a.ref = text_of(r, &f); break;
        default: break;
        }
    leave(r, &w, "AttributeProto");
    if (a.ref && !a.ref[0]) a.ref = NULL;
    return a;
}

/* "ai.onnx" is another spelling of the default domain. */
static const char *read_domain(Reader *r, const Field *f) {
    const char *domain = text_of(r, f);
    return strcmp(domain, "ai.onnx") == 0 ? intern(r->cx, "") : domain;
}

static OnnxNode read_node(Reader *r, Span s) {
    const char *none = intern(r->cx, "");
    OnnxNode n = {.name = none, .op = none, .domain = none, .overload = none};
    Arena *arena = r->cx->arena;
    VEC(const char *) ins = {0}, outs = {0};
    VEC(OnnxAttr) attrs = {0};
    Field f;
    if (!enter(r, "NodeProto")) return n;
    Wire w = wire_open(s);
    while (!r->failed && wire_next(&w, &f)) switch (field_key(&f)) {
        case FIELD(1, WIRE_BYTES): vec_push(arena, &ins, text_of(r, &f)); break;
        case FIELD(2, WIRE_BYTES): vec_push(arena, &outs, text_of(r, &f)); break;
        case FIELD(3, WIRE_BYTES): n.name = text_of(r, &f); break;
        case FIELD(4, WIRE_BYTES): n.op = text_of(r, &f); break;
        case FIELD(5, WIRE_BYTES): vec_push(arena, &attrs, read_attr(r, f.bytes)); break;
        case FIELD(7, WIRE_BYTES): n.domain = read_domain(r, &f); break;
        case FIELD(8, WIRE_BYTES): n.overload = text_of(r, &f); break;
        default: break;
        }
    leave(r, &w, "NodeProto");
    n.in = LIST(ins), n.n_in = ins.n;
    n.out = LIST(outs), n.n_out = outs.n;
    n.attrs = LIST(attrs), n.n_attrs = attrs.n;
    return n;
}

static const OnnxGraph *read_graph(Reader *r, Span s) {
    OnnxGraph *g = arena_new_array(r->cx->arena, OnnxGraph, 1);
    Arena *arena = r->cx->arena;
    VEC(OnnxNode) nodes = {0};
    VEC(OnnxTensor) initializers = {0};
    VEC(OnnxValueInfo) inputs = {0}, outputs = {0};
    OnnxTensor t;
    Field f;
    g->name = "";
    if (!enter(r, "GraphProto")) return g;
    Wire w = wire_open(s);
    while (!r->failed && wire_next(&w, &f)) switch (field_key(&f)) {
        case FIELD(1, WIRE_BYTES): vec_push(arena, &nodes, read_node(r, f.bytes)); break;
        case FIELD(2, WIRE_BYTES): g->name = text_of(r, &f); break;
        case FIELD(5, WIRE_BYTES):
            read_tensor(r, f.bytes, &t);
            vec_push(arena, &initializers, t);
            break;
        case FIELD(11, WIRE_BYTES): vec_push(arena, &inputs, read_value_info(r, f.bytes)); break;
        case FIELD(12, WIRE_BYTES): vec_push(arena, &outputs, read_value_info(r, f.bytes)); break;
        case FIELD(15, WIRE_BYTES): g->n_sparse++; break;
        default: break;
        }
    leave(r, &w, "GraphProto");
    if (nodes.n > r->cx->limits.nodes) broken(r, "GraphProto", "more nodes than the limit allows");
    g->nodes = LIST(nodes), g->n_nodes = nodes.n;
    g->initializers = LIST(initializers), g->n_initializers = initializers.n;
    g->inputs = LIST(inputs), g->n_inputs = inputs.n;
    g->outputs = LIST(outputs), g->n_outputs = outputs.n;
    return g;
}

static OnnxOpset read_opset(Reader *r, Span s) {
    OnnxOpset o = {intern(r->cx, ""), 1};
    Field f;
    if (!enter(r, "OperatorSetIdProto")) return o;
    Wire w = wire_open(s);
    while (wire_next(&w, &f)) {
        if (field_key(&f) == FIELD(1, WIRE_BYTES)) o.domain = read_domain(r, &f);
        if (field_key(&f) == FIELD(2, WIRE_VARINT)) o.version = (int64_t)f.value;
    }
    leave(r, &w, "OperatorSetIdProto");
    return o;
}

static OnnxFunction read_function(Reader *r, Span s) {
    const char *none = intern(r->cx, "");
    OnnxFunction fn = {.name = none, .domain = none, .overload = none};
    Arena *arena = r->cx->arena;
    VEC(const char *) ins = {0}, outs = {0};
    VEC(OnnxAttr) attrs = {0};
    VEC(OnnxNode) nodes = {0};
    VEC(OnnxOpset) opsets = {0};
    Field f;
    if (!enter(r, "FunctionProto")) return fn;
    Wire w = wire_open(s);
    while (!r->failed && wire_next(&w, &f)) switch (field_key(&f)) {
        case FIELD(1, WIRE_BYTES): fn.name = text_of(r, &f); break;
        case FIELD(4, WIRE_BYTES): vec_push(arena, &ins, text_of(r, &f)); break;
        case FIELD(5, WIRE_BYTES): vec_push(arena, &outs, text_of(r, &f)); break;
        case FIELD(7, WIRE_BYTES): vec_push(arena, &nodes, read_node(r, f.bytes)); break;
        case FIELD(9, WIRE_BYTES): vec_push(arena, &opsets, read_opset(r, f.bytes)); break;
        case FIELD(10, WIRE_BYTES): fn.domain = read_domain(r, &f); break;
        case FIELD(11, WIRE_BYTES): vec_push(arena, &attrs, read_attr(r, f.bytes)); break;
        case FIELD(13, WIRE_BYTES): fn.overload = text_of(r, &f); break;
        default: break;
        }
    leave(r, &w, "FunctionProto");
    fn.in = LIST(ins), fn.n_in = ins.n;
    fn.out = LIST(outs), fn.n_out = outs.n;
    fn.attrs = LIST(attrs), fn.n_attrs = attrs.n;
    fn.nodes = LIST(nodes), fn.n_nodes = nodes.n;
    fn.opsets = LIST(opsets), fn.n_opsets = opsets.n;
    return fn;
}

const OnnxModel *onnx_model(Context *cx, const char *file, const uint8_t *bytes, size_t n) {
    Reader reader = {.cx = cx, .file = file}, *r = &reader;
    OnnxModel *m = arena_new_array(cx->arena, OnnxModel, 1);
    VEC(OnnxOpset) opsets = {0};
    VEC(OnnxFunction) functions = {0};
    Field f;
    m->producer = "";
    Wire w = wire_open((Span){bytes, n});
    while (!r->failed && wire_next(&w, &f)) switch (field_key(&f)) {
        case FIELD(1, WIRE_VARINT): m->ir_version = (int64_t)f.value; break;
        case FIELD(2, WIRE_BYTES): m->producer = text_of(r, &f); break;
        case FIELD(7, WIRE_BYTES): m->graph = read_graph(r, f.bytes); break;
        case FIELD(8, WIRE_BYTES): vec_push(cx->arena, &opsets, read_opset(r, f.bytes)); break;
        case FIELD(25, WIRE_BYTES): vec_push(cx->arena, &functions, read_function(r, f.bytes)); break;
        default: break;
        }
    if (w.error) broken(r, "ModelProto", w.error);
    if (!r->failed && !m->graph) broken(r, "ModelProto", "it holds no graph");
    m->opsets = LIST(opsets), m->n_opsets = opsets.n;
    m->functions = LIST(functions), m->n_functions = functions.n;
    return r->failed ? NULL : m;
}

const OnnxTensor *onnx_tensor(Context *cx, const char *file, const uint8_t *bytes, size_t n) {
    Reader r = {.cx = cx, .file = file};
    OnnxTensor *t = arena_new_array(cx->arena, OnnxTensor, 1);
    read_tensor(&r, (Span){bytes, n}, t);
    return r.failed ? NULL : t;
}
