/* onnx.h: private to frontend/onnx.  Wire format, model views, the importer's state and what operator functions call.
 *
 * wire.c reads protobuf without copying; model.c makes arena structs of it; tensor.c constants; import.c walks graphs and
 * dispatches on onnx_ops.def; ops_*.c hold one function per operator; shape_values.c follows small integer tensors as dims.
 * Field numbers and semantics: onnx 1.22 (IR 13, opset 27), in our own words.
 */
#pragma once
#include "frontend.h"

/* Short names read well in operator functions; at link time they are onnx_…, so that no other layer meets them. */
#define fail            onnx_fail
#define split_heads     onnx_split_heads
#define join_heads      onnx_join_heads
#define grouped_dot     onnx_grouped_dot
#define rotary_turn     onnx_rotary_turn
#define gelu_tanh       onnx_gelu_tanh
#define in(c, i)        onnx_in(c, i)
#define to(c, v, t)     onnx_to(c, v, t)
#define num             onnx_num
#define numt            onnx_numt
#define sel             onnx_sel
#define splat           onnx_splat
#define spread          onnx_spread
#define shaped          onnx_shaped
#define permuted        onnx_permuted
#define reduce          onnx_reduce
#define reduce1         onnx_reduce1
#define sliced          onnx_sliced
#define reversed        onnx_reversed
#define squeezed        onnx_squeezed
#define unsqueezed      onnx_unsqueezed
#define iota            onnx_iota
#define axis_iota       onnx_axis_iota
#define padded          onnx_padded
#define soft            onnx_soft
#define greater         onnx_greater
#define per_axis        onnx_per_axis
#define ew1             onnx_ew1
#define ew2             onnx_ew2
#define swap_last       onnx_swap_last
#define has_in          onnx_has_in
#define wants_out       onnx_wants_out
#define value_val       onnx_value_val
#define value_of        onnx_value_of
#define set_out         onnx_set_out
#define set_out_value   onnx_set_out_value
#define find_attr       onnx_find_attr
#define attr_i          onnx_attr_i
#define attr_f          onnx_attr_f
#define attr_s          onnx_attr_s
#define attr_is         onnx_attr_is
#define attr_list       onnx_attr_list
#define attr_floats     onnx_attr_floats
#define attr_subgraph   onnx_attr_subgraph
#define attr_tensor     onnx_attr_tensor
#define in_dims         onnx_in_dims
#define in_ints         onnx_in_ints
#define in_const        onnx_in_const
#define in_scalar       onnx_in_scalar
#define const_of        onnx_const_of
#define value_elements  onnx_value_elements
#define number_elements onnx_number_elements
#define norm_axis       onnx_norm_axis
#define list_arg        onnx_list_arg
#define dims_of         onnx_dims_of
#define batched_matmul  onnx_batched_matmul
#define wrap_index      onnx_wrap_index
#define logical_not     onnx_logical_not
#define activation      onnx_activation
#define one_hot         onnx_one_hot
#define conv_core       onnx_conv_core
#define window_read     onnx_window_read
#define scope_new       onnx_scope_new
#define scope_set       onnx_scope_set
#define scope_get       onnx_scope_get
#define scope_has       onnx_scope_has
#define found_symbol    onnx_found_symbol
#define places          onnx_places
#define finds_part_of   onnx_finds_part_of
#define to_capacity     onnx_to_capacity
#define first_of        onnx_first_of

/* ---- wire.c ------------------------------------------------------------------------------------------------------ */

typedef enum WireKind { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 } WireKind;
typedef struct Span { const uint8_t *at; size_t n; } Span;
typedef struct Wire {
    const uint8_t *at, *end;
    const char *error;              /* NULL while all is well */
} Wire;
typedef struct Field {
    uint32_t number;
    WireKind kind;
    uint64_t value;                 /* varint, or the fixed bits */
    Span bytes;
} Field;
/* For switches over fields: a field of another kind than expected is an unknown one, and skipped. */
#define FIELD(number, kind) ((uint32_t)(number) << 3 | (uint32_t)(kind))
static inline uint32_t field_key(const Field *f) { return FIELD(f->number, f->kind); }
static inline Wire wire_open(Span s) { return (Wire){s.at, s.at + s.n, NULL}; }
bool wire_next(Wire *, Field *);    /* false at the end, and on an error */
bool wire_varint(Wire *, uint64_t *);
typedef VEC(int64_t) IntVec;
typedef VEC(double) FloatVec;
/* Appends a repeated scalar, packed or not. */
bool wire_ints(Arena *, const Field *, IntVec *);
bool wire_floats(Arena *, const Field *, FloatVec *);  /* f32 or f64, by the kind */

/* ---- model.c ----------------------------------------------------------------------------------------------------- */

typedef struct OnnxGraph OnnxGraph;
typedef struct OnnxTensor {
    const char *name;               /* interned, "" where absent; so are all names below */
    const int64_t *dims;
    uint32_t n_dims;
    int64_t data_type;
    bool has_raw, external;
    Span raw;
    Span message;                   /* typed data is decoded from here */
    const char *location;
    int64_t offset, length;         /* of external data; length -1: to the end */
} OnnxTensor;
/* TensorProto-like kinds an attribute can hold; the file's numbering. */
typedef enum OnnxAttrType {
    ONNX_ATTR_ANY, ONNX_ATTR_FLOAT, ONNX_ATTR_INT, ONNX_ATTR_STRING, ONNX_ATTR_TENSOR, ONNX_ATTR_GRAPH,
    ONNX_ATTR_FLOATS, ONNX_ATTR_INTS, ONNX_ATTR_STRINGS, ONNX_ATTR_TENSORS, ONNX_ATTR_GRAPHS,
    ONNX_ATTR_SPARSE, ONNX_ATTR_SPARSES, ONNX_ATTR_TYPE, ONNX_ATTR_TYPES
} OnnxAttrType;
typedef struct OnnxType {
    enum { ONNX_TYPE_NONE, ONNX_TYPE_TENSOR, ONNX_TYPE_SEQUENCE, ONNX_TYPE_OPTIONAL, ONNX_TYPE_OTHER } kind;
    int64_t element;                /* tensor: data type */
    bool has_shape;
    uint32_t rank;
    const struct OnnxDim { bool known; int64_t value; const char *param; } *dims;
    const struct OnnxType *inner;   /* sequence, optional */
} OnnxType;
typedef struct OnnxAttr {
    const char *name, *ref;         /* ref: the enclosing function's attribute that supplies the value, or NULL */
    OnnxAttrType type;
    double f;
    int64_t i;
    const char *s;
    const OnnxTensor *t;
    const OnnxGraph *g;
    const OnnxType *tp;
    FloatVec floats;
    IntVec ints;
    VEC(const char *) strings;
} OnnxAttr;
typedef struct OnnxNode {
    const char *name, *op, *domain, *overload;
    uint32_t n_in, n_out, n_attrs;
    const char *const *in, *const *out;
    const OnnxAttr *attrs;
} OnnxNode;
typedef struct OnnxValueInfo { const char *name; const OnnxType *type; } OnnxValueInfo;
struct OnnxGraph {
    const char *name;
    uint32_t n_nodes, n_initializers, n_inputs, n_outputs, n_sparse;
    const OnnxNode *nodes;
    const OnnxTensor *initializers;
    const OnnxValueInfo *inputs, *outputs;
};
typedef struct OnnxOpset { const char *domain; int64_t version; } OnnxOpset;
typedef struct OnnxFunction {
    const char *name, *domain, *overload;
    uint32_t n_in, n_out, n_attrs, n_nodes, n_opsets;
    const char *const *in, *const *out;
    const OnnxAttr *attrs;          /* those with defaults */
    const OnnxNode *nodes;
    const OnnxOpset *opsets;
} OnnxFunction;
typedef struct OnnxModel {
    int64_t ir_version;
    const char *producer;
    const OnnxGraph *graph;
    uint32_t n_opsets, n_functions;
    const OnnxOpset *opsets;
    const OnnxFunction *functions;
} OnnxModel;
/* NULL after a diagnostic. */
const OnnxModel *onnx_model(Context *, const char *file, const uint8_t *bytes, size_t n);
/* A TensorProto that stands alone in a file (test data). */
const OnnxTensor *onnx_tensor(Context *, const char *file, const uint8_t *bytes, size_t n);
#define ONNX_DEPTH 64               /* nesting of messages, graphs, functions */

/* ---- tensor.c ---------------------------------------------------------------------------------------------------- */

/* The elements as a constant; rank and dims are the tensor's own.  id 0 after a diagnostic. */
Const tensor_const(Context *, Loc, const OnnxTensor *, const char *folder_or_null);
/* Number of elements; false where a dim is negative or the product overflows. */
bool tensor_count(const OnnxTensor *, uint64_t *);

/* ---- import.c: values and scopes --------------------------------------------------------------------------------- */

typedef enum ValueKind { VALUE_ABSENT, VALUE_POISON, VALUE_TENSOR, VALUE_SEQUENCE, VALUE_OPTIONAL } ValueKind;
/* What a name stands for.  A small integer tensor may carry its elements as dims (`elements`), then val may be 0 until
 * somebody needs the tensor itself.  Float tensors on the way Shape -> Cast -> Mul -> Floor -> Cast carry elements too,
 * over the common `divisor`. */
typedef struct Value {
    ValueKind kind;
    Val val;
    DType dtype;
    uint8_t rank;                   /* where elements is set: 0 or 1 */
    uint32_t n;                     /* of elements, or of items */
    const Dim *elements;
    int64_t divisor;                /* >= 1 */
    uint32_t param;                 /* 1 + index of the parameter it is, where its elements can be bound */
    const struct Value *items;      /* sequence; optional: the value, or n 0 */
    const Fact *fact;               /* a bool scalar that is the truth of this, undecided at import */
} Value;

typedef struct Importer Importer;
typedef struct Call Call;
/* Names of one graph, subgraph or function body.  boundary: the parent lives in another Graph, so that what is taken
 * from it becomes a parameter (a capture). */
typedef struct NameScope {
    struct NameScope *parent;
    Graph *g;
    bool boundary;
    Map names;                      /* interned pointer -> 1 + index */
    VEC(Value) values;
    struct Captures {
        VEC(Value) outer;           /* as the parent knows them */
        VEC(const char *) name;
    } captures;
    const Call *function;           /* the call whose body this is (inherited by subgraphs), for attribute references */
    const OnnxOpset *opsets;
    uint32_t n_opsets;
} NameScope;
struct Importer {
    Context *cx;
    Arena *arena;                   /* scratch of this import */
    const char *file;
    const OnnxModel *model;
    const ImportOptions *options;
    uint32_t depth;
    uint64_t nodes;
    Graph *main;
    struct Declaration *declared;   /* parsed options->dims */
    bool *dims_used;                /* of those: the model has the dim */
    Map symbols;                    /* interned dim_param -> symbol */
};
NameScope *scope_new(Importer *, NameScope *parent, Graph *, bool boundary);
bool scope_has(const NameScope *, const char *name);
void scope_set(Importer *, NameScope *, const char *name, Value);
bool scope_get(Importer *, NameScope *, const char *name, Value *);
/* Imports the nodes of a graph whose inputs are bound already; outputs[i] of graph->outputs. */
bool import_body(Importer *, NameScope *, const OnnxGraph *, Value *outputs);

/* ---- inputs.c: parameters and their symbols ---------------------------------------------------------------------- */

/* A dim name made of what the text form allows; index >= 0: of an element, "name.3". */
const char *onnx_symbol_name(Context *, const char *name, int index);
/* Narrows info by a declaration ("--dim") of its name or of `also` (the model's own spelling; may be NULL). */
void declared_range(Importer *, const char *also, SymbolInfo *info);
/* All of the import; NULL after diagnostics. */
Graph *import_model(Context *, const char *file, const OnnxModel *, const ImportOptions *);

/* ---- onnx_ops.def ------------------------------------------------------------------------------------------------ */

typedef Val OnnxFn(Call *);
/* Computes an output's elements from those of the inputs; false where it cannot. */
typedef bool ShapeFn(Call *);
typedef struct OnnxRow {
    const char *domain, *op;
    int since;                      /* first opset that has it */
    OnnxFn *fn;
    int param;                      /* for functions that serve several rows */
    ShapeFn *shape;                 /* shape_none: never */
    int inputs;                     /* required ones */
    const char *attrs;              /* known attributes, separated by blanks */
} OnnxRow;
extern const OnnxRow onnx_rows[];
extern const uint32_t n_onnx_rows;
#define ONNX(domain, op, since, fn, param, shape, inputs, attrs) OnnxFn import_##fn; ShapeFn shape_##shape;
#include "onnx_ops.def"
#define ONNX_LATEST 27              /* newest opset of the default domain that the rows follow */
const OnnxRow *onnx_row(const char *domain, const char *op);

/* ---- call.c: what operator functions see ------------------------------------------------------------------------- */

struct Call {
    Importer *im;
    Context *cx;
    Graph *g;
    NameScope *scope;
    const OnnxNode *node;
    const OnnxRow *row;
    Loc loc;
    int64_t opset;
    uint32_t n_in, n_out;
    Value *in, *out;
};
#define NO_VAL ((Val){0})
/* Reports at the node; gives poison. */
Val fail(Call *, const char *fmt, ...) PRINTF_LIKE(2, 3);

bool has_in(const Call *, uint32_t i);
bool wants_out(const Call *, uint32_t i);                 /* the node names this output */
Val in(Call *, uint32_t i); /* the tensor; poison where absent or not a tensor, after a diagnostic */
Val value_val(Call *, const Value *);                     /* makes the tensor of a value that is only elements */
Value value_of(Call *, Val);
void set_out(Call *, uint32_t i, Val);
void set_out_value(Call *, uint32_t i, Value);

const OnnxAttr *find_attr(const Call *, const char *name);
int64_t attr_i(Call *, const char *name, int64_t otherwise);
double attr_f(Call *, const char *name, double otherwise);
const char *attr_s(Call *, const char *name, const char *otherwise);
bool attr_is(Call *, const char *name, const char *otherwise, const char *value);
const IntVec *attr_list(Call *, const char *name);        /* NULL where absent */
const FloatVec *attr_floats(Call *, const char *name);
const OnnxGraph *attr_subgraph(Call *, const char *name);
const OnnxTensor *attr_tensor(Call *, const char *name);

/* Elements of input i as dims, if it is a small integer tensor whose elements are known or can be bound. */
bool in_dims(Call *, uint32_t i, const Dim **dims, uint32_t *n);
bool in_ints(Call *, uint32_t i, const int64_t **ints, uint32_t *n);  /* the same, constants only */
bool value_elements(Call *, Value *);                     /* fills elements where possible */
bool number_elements(Call *, Value *);                    /* the same, small constants of floats too */
/* Element of a float parameter of `expected` elements, known while running: times 2^32, as a dim. */
bool bind_float(Call *, uint32_t input, uint32_t element, uint32_t expected, Dim *numerator);
/* d, an extent, where it has a bound or is found while running; else a symbol <output>_<what>, bound to d before the run. */
Dim bounded_extent(Call *, const char *what, Dim d);
Dim float_extent(Call *, Dim numerator);                 /* floor of such a dim over 2^32 */
Dim is_negative(Call *, Dim);                            /* 1 where it is, else 0 */
Dim is_number(Call *, Dim, int64_t);                     /* 1 where it is, else 0 */
/* For each axis of the rank 1 where one of the input's elements names it, else 0. */
bool axis_flags(Call *, uint32_t input, uint32_t rank, Dim *flags, uint32_t *n);
bool bind_flag(Call *, Value *);                          /* elements of a bool parameter: 0 or 1 */
bool const_of(Call *, Val, Const *);                      /* evaluates constant expressions */
bool in_const(Call *, uint32_t i, Const *);
bool in_scalar(Call *, uint32_t i, double *);             /* a constant of one element */
/* The axis, counted from the front; false after a diagnostic. */
bool norm_axis(Call *, int64_t axis, uint32_t rank, uint32_t *result);
/* A list of axes from an input (opset >= from) or an attribute, in the order given; false where absent, n then 0.
 * *bad after a diagnostic. */
bool list_arg(Call *, const char *attr, uint32_t input, int64_t from, const int64_t **list, uint32_t *n, bool *bad);

/* Shorthand over ir.h's builders. */
typedef struct Dims { uint32_t n; Dim at[MAX_RANK]; } Dims;
Dims dims_of(Call *, Val);
static inline Dim dim_k(const Call *c, int64_t k) { return dim_const(c->cx, k); }
Val ew1(Call *, Op, Val);
Val ew2(Call *, Op, Val, Val);
Val sel(Call *, Val cond, Val a, Val b);
Val num(Call *, Val like, double);                        /* rank 0, in the dtype of `like` */
Val numt(Call *, DType, double);
Val to(Call *, Val, DType);
Val shaped(Call *, Val, const Dims *);                    /* reshape */
Val spread(Call *, Val, const Dims *);                    /* broadcast, trailing axes meet */
Val permuted(Call *, Val, const int64_t *perm);
Val swap_last(Call *, Val);                               /* the last two axes exchanged */
Val reduce(Call *, Op, Val, const int64_t *axes, uint32_t n, bool keep);
Val reduce1(Call *, Op, Val, uint32_t axis, bool keep);
Val sliced(Call *, Val, uint32_t axis, Dim start, Dim extent);
Val reversed(Call *, Val, uint32_t axis);
Val unsqueezed(Call *, Val, uint32_t axis);
Val squeezed(Call *, Val, uint32_t axis);
Val iota(Call *, DType, Dim n);                           /* [n] */
Val axis_iota(Call *, DType, const Dims *, uint32_t axis);
Val splat(Call *, DType, double, const Dims *);
Val padded(Call *, Val, Val fill, const Dim *low, const Dim *high);
Val soft(Call *, Op, Val, uint32_t axis);                 /* softmax, log_softmax */
Val per_axis(Call *, Val vector, uint32_t axis, uint32_t rank);  /* [n] -> [1..,n,1..] of the rank */
Val batched_matmul(Call *, Val, Val);                     /* NumPy's */
Val wrap_index(Call *, Val index, Dim extent);            /* negative ones count from the end */
Val logical_not(Call *, Val);
Val greater(Call *, Val a, Val b);

/* Params of rows of Reduce*. */
typedef enum Reduction {
    RED_SUM, RED_MEAN, RED_MAX, RED_MIN, RED_PROD,
    RED_L1, RED_L2, RED_LOG_SUM, RED_LOG_SUM_EXP, RED_SUM_SQUARE
} Reduction;

/* ---- used across ops_*.c ----------------------------------------------------------------------------------------- */

typedef struct Window {             /* spatial parameters of Conv and pools, one per spatial axis */
    uint32_t n;
    int64_t kernel[MAX_RANK], stride[MAX_RANK], dilation[MAX_RANK]; /* kernel: of pools */
    Dim reach[MAX_RANK];            /* what the window covers, less 1 */
    Dim low[MAX_RANK], high[MAX_RANK];
    bool ceil;
} Window;
/* extents: of the filter; NULL: attribute kernel_shape. */
bool window_read(Call *, Val x, const Dim *extents_or_null, uint32_t n, Window *);
Val conv_core(Call *, Val x, Val w, const Window *, int64_t groups);   /* ONNX layouts in and out */
Val activation(Call *, const char *name, Val x, double alpha, double beta);
/* ops_attention.c */
Val split_heads(Call *, Val x, int64_t heads);                           /* [b, s, h * d] -> [b, h, s, d] */
Val join_heads(Call *, Val x);                                           /* [b, h, s, d] -> [b, s, h * d] */
Val grouped_dot(Call *, Val x, Val w);                                   /* x [b, h, s, k] by w [b, hk, k, n] */
Val rotary_turn(Call *, Val x, Val cosine, Val sine, Dim rotary, bool neighbours);
Val gelu_tanh(Call *, Val x);
/* ops_quantize.c: what one step of u8 stands for over the range of x and 0, whose lower end is *low. */
Val u8_step(Call *, Val x, Val zero, Val levels, Val *low);
Val random_uniform(Call *, const Dims *, uint32_t stream);               /* f32 in [0, 1) */
Val one_hot(Call *, Val index, uint32_t axis, Dim depth, Val off, Val on);
/* region.c: extents found while running.  The symbol is named <value>_<what>; a declaration of it overrides `most`.
 * id 0 where there is neither. */
Dim found_symbol(Call *, const char *value, const char *what, Dim most);
Val places(Call *, Val x, const char *value, const char *what, Dim most); /* i64[rank, u] of what is not 0 */
bool finds_part_of(const Graph *, Dim);                   /* the dim uses an extent that a node of this graph finds */
Val to_capacity(Call *, Val, uint32_t axis, Dim capacity);      /* extended by zeros, or cut */
Val first_of(Call *, Val, uint32_t axis, Val count,
             const char *value); /* the first `count` of the axis, a status where there are fewer */
/* The graph's nodes imported into the caller's graph, its inputs bound to `in`. */
bool inline_graph(Call *, const OnnxGraph *, const Value *in, uint32_t n_in, Value *out);
