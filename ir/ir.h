/* ir.h: the Graph IR, everything a frontend, a pass or a template may call.  The other header of this layer is loop.h.
 *
 * Values are handles (u32, 0 is poison) into tables that hang on the Context (dims, types, constants: interned, so that
 * equality is an id compare) or on the Graph (nodes: immutable, hash-consed).  Tables: dtypes.def attrs.def ops.def
 * schedule.def.  Where the invariants of an op live: its row in ops.def and the infer rule named there.
 */
#pragma once
#include "base.h"

/* ---- dtype.c ------------------------------------------------------------------------------------------------------ */

typedef enum DType {
    DT_none,
#define DTYPE(name, ...) DT_##name,
#include "dtypes.def"
    DT_COUNT
} DType;
typedef enum DTypeClass { CLASS_NONE, CLASS_BOOL, CLASS_SINT, CLASS_UINT, CLASS_FLOAT } DTypeClass;
typedef struct DTypeInfo {
    const char *name;
    uint8_t bits;        /* in memory: 8, 16, 32, 64 */
    uint8_t value_bits;  /* of the value: 4 for i4, 1 for bool */
    uint8_t class_;      /* DTypeClass */
    int32_t onnx;
    uint32_t dlpack;
} DTypeInfo;
extern const DTypeInfo dtype_info[DT_COUNT];
DType dtype_by_name(const char *);         /* DT_none where unknown */
DType dtype_by_onnx(int64_t data_type);    /* DT_none where unknown (strings, complex) */
static inline int64_t dtype_bytes(DType t) { return dtype_info[t].bits / 8; }
static inline bool dtype_is_float(DType t) { return dtype_info[t].class_ == CLASS_FLOAT; }
static inline bool dtype_is_int(DType t) { return dtype_info[t].class_ == CLASS_SINT || dtype_info[t].class_ == CLASS_UINT; }
static inline bool dtype_is_signed(DType t) { return dtype_info[t].class_ == CLASS_SINT; }
static inline bool dtype_is_bool(DType t) { return t == DT_bool; }

/* One element under a dtype: signed integers in i, unsigned and bool in u, floats in f (already rounded to the dtype). */
typedef union Scalar { int64_t i; uint64_t u; double f; } Scalar;
Scalar scalar_load(DType, const void *at);
void scalar_store(DType, void *at, Scalar);
Scalar scalar_wrap(DType, Scalar);         /* integers to the value bits, floats rounded to the dtype (f32, f16, …) */
Scalar scalar_convert(DType to, DType from, Scalar, bool saturate); /* as op convert */
bool scalar_equal(DType, Scalar, Scalar);  /* bitwise: NaN equals itself, -0 differs from 0 */

/* ---- dim.c, prove.c ----------------------------------------------------------------------------------------------- */

/* An extent or index: an interned int64 polynomial over symbols and the atoms fdiv (floor), max and bcast.  Equal
 * expressions have equal ids as far as the normal form sees.  bcast(a,b) is ONNX's broadcast of two extents: b where a is
 * 1, else a.  Overflow of a coefficient or more than 32 terms gives a let-symbol, never a wrong number. */
typedef struct Dim { uint32_t id; } Dim;
typedef struct Symbol { uint32_t id; } Symbol;
static inline bool dim_same(Dim a, Dim b) { return a.id == b.id; }

typedef enum SymbolKind {
    SYMBOL_INPUT, /* solved from the shapes of inputs, or the element of a small integer input */
    SYMBOL_FOUND, /* data-dependent: bound while running, at most its capacity */
    SYMBOL_INDEX, /* a loop index of a kernel; never leaves it */
    SYMBOL_LET    /* stands for definition */
} SymbolKind;
typedef struct SymbolInfo {
    const char *name;        /* interned, unique in the Context */
    SymbolKind kind;
    int64_t min, max;        /* birth range, inclusive; max INT64_MAX: unbounded */
    int64_t multiple;        /* known divisor, >= 1 */
    int64_t hint;            /* a typical value, for cost models alone; 0: none */
    Dim capacity;            /* FOUND: an upper bound in input symbols; LET: the definition */
} SymbolInfo;
/* A new symbol; where the name is taken, a suffix _1, _2 … is added.  info->name NULL: "s". */
Symbol symbol_new(Context *, const SymbolInfo *info);
/* "name=7", "name=1..64%8", "name=..4096" as a symbol of inputs; false after a diagnostic.  declaration.c */
bool symbol_declaration(Context *, const char *text, SymbolInfo *to);
Symbol symbol_find(Context *, const char *name); /* id 0 where there is none */
const SymbolInfo *symbol_info(Context *, Symbol);
/* Narrows the birth range before the symbol was used in any dim (declarations: --dim, text headers). */
void symbol_declare(Context *, Symbol, int64_t min, int64_t max, int64_t multiple, int64_t hint);
uint32_t symbol_count(Context *);          /* ids are 1..count */

Dim dim_const(Context *, int64_t);
Dim dim_symbol(Context *, Symbol);
Dim dim_add(Context *, Dim, Dim);
Dim dim_sub(Context *, Dim, Dim);
Dim dim_mul(Context *, Dim, Dim);
Dim dim_fdiv(Context *, Dim, Dim);         /* floor(a / b); divisor must not be the constant 0 */
Dim dim_cdiv(Context *, Dim, Dim);         /* ceiling */
Dim dim_mod(Context *, Dim, Dim);          /* a - b * fdiv(a, b) */
Dim dim_max(Context *, Dim, Dim);
Dim dim_min(Context *, Dim, Dim);
Dim dim_bcast(Context *, Dim, Dim);
Dim dim_addi(Context *, Dim, int64_t);
Dim dim_muli(Context *, Dim, int64_t);
Dim dim_product(Context *, const Dim *, uint32_t n);   /* 1 where n is 0 */
bool dim_const_value(Context *, Dim, int64_t *value);  /* false where symbolic */
bool dim_is(Context *, Dim, int64_t value);            /* is the constant `value` */

/* The structure of a dim, for lowering: sum over terms of coefficient * product of atom^power. */
typedef enum AtomKind { ATOM_SYMBOL, ATOM_FDIV, ATOM_MAX, ATOM_BCAST } AtomKind;
typedef struct Atom { AtomKind kind; Symbol symbol; Dim a, b; } Atom;
typedef struct Factor { uint32_t atom; uint32_t power; } Factor;
typedef struct Term { int64_t coefficient; uint32_t n; const Factor *factors; } Term;  /* n 0: the constant term */
uint32_t dim_terms(Context *, Dim, const Term **terms);
Atom dim_atom(Context *, uint32_t atom);
bool dim_uses(Context *, Dim, Symbol);     /* anywhere inside */
/* d with each symbol of the list replaced; simultaneous. */
Dim dim_substitute(Context *, Dim, const Symbol *symbols, const Dim *with, uint32_t n);
/* d = a * s + b with neither a nor b using s; false where d is not affine in s. */
bool dim_affine(Context *, Dim d, Symbol s, Dim *a, Dim *b);
/* Value under values[symbol id]; false on overflow or division by 0. LET symbols are computed from their definition. */
NODISCARD bool dim_eval(Context *, Dim, const int64_t *values, int64_t *result);
/* Largest value over FOUND symbols up to their capacities and the like: a dim in INPUT symbols only, >= d, monotone.
 * id 0 where there is none: an INDEX or FOUND symbol without a bound, or a term that may be unboundedly negative. */
Dim dim_upper(Context *, Dim);
int64_t dim_multiple(Context *, Dim);      /* a divisor known from birth, >= 1; 0: the dim is 0 */
int64_t dim_hint(Context *, Dim);          /* value at the hints (unknown: 128, clamped to range), for cost models */
void dim_print(Context *, Text *, Dim);    /* "2*batch*seq+floordiv(h,32)+1" */
const char *dim_string(Context *, Dim);    /* interned */
/* Parses what dim_print prints, and + - * / (floor) % max min ceildiv(), from *at; unknown names become new INPUT symbols
 * if `declare`, else an error.  id 0 after a diagnostic. */
Dim dim_parse(Context *, Loc, const char **at, bool declare);

typedef enum Truth { UNKNOWN, YES, NO } Truth;
typedef enum Relation { REL_EQ, REL_NE, REL_LE, REL_LT, REL_DIVIDES /* a divides b */ } Relation;
typedef struct Fact { Relation relation; Dim a, b; } Fact;
/* What may be assumed: birth ranges always, and the facts of the chain. */
typedef struct Scope {
    const struct Scope *parent;
    const Fact *facts;
    uint32_t n;
} Scope;
/* Holds for every valuation, for none, or unknown.  Fuel-bounded.  scope may be NULL. */
Truth prove(Context *, const Scope *, Relation, Dim a, Dim b);
/* Interval of d; INT64_MIN / INT64_MAX where unbounded. */
void dim_range(Context *, const Scope *, Dim, int64_t *min, int64_t *max);
/* d with floor-divisions, maxima and broadcasts resolved where the scope's facts decide them. */
Dim dim_simplify(Context *, const Scope *, Dim);

/* ---- type.c ------------------------------------------------------------------------------------------------------- */

/* A dense row-major tensor, or a tuple of types.  Interned.  Encoding: how a constant operand is laid out in memory while
 * its dims stay the logical ones. */
typedef enum Encoding {
    ENCODING_DENSE,
    /* [.., K, N] f32 or i32 as [..][ceil(N/16)][K][16], tail columns zero; conv weights: K = taps * channels */
    ENCODING_PANEL16,
    /* [taps.., K, N] bf16 as [ceil(N/16)][taps][ceil(K/2)][16][2], tails zero: contractions of bf16 add the
     * products of a pair the second first, as instruction dot_bf16 of Loop IR does.  Filters of one channel, K = 1, have
     * pairs of the innermost taps instead (pair_axis). */
    ENCODING_PAIR16,
    ENCODING_PANEL64, /* as PANEL16, with panels of 64 columns: few rows read them as one stream */
    /* [taps.., K, N] i8 as [ceil(N/16)][taps][ceil(K/4)][16][4], tails zero: what dot_u8 of Loop IR takes. */
    ENCODING_QUAD16,
    ENCODING_COUNT
} Encoding;
typedef struct Type { uint32_t id; } Type;
typedef struct TypeInfo {
    DType dtype;             /* DT_none: a tuple */
    Encoding encoding;
    uint32_t rank;           /* or number of elements */
    const Dim *dims;
    const Type *elements;
} TypeInfo;
#define MAX_RANK 16
#define MAX_ORDER 64         /* of a reduction: no vector of Loop IR has more lanes */
Type type_tensor(Context *, DType, uint32_t rank, const Dim *dims);
extern const char *const encoding_name[ENCODING_COUNT];
int64_t encoding_columns(Encoding);        /* that lie side by side: of a panel; 1: dense */
int64_t encoding_rows(Encoding);           /* that lie side by side in each of those: 2 of pairs, 4 of quads, else 1 */
DType encoding_dtype(Encoding, DType);     /* that elements of the dtype get when they are encoded so */
Type type_encoded(Context *, Type, Encoding);
Type type_tuple(Context *, uint32_t n, const Type *elements);
const TypeInfo *type_info(Context *, Type);
Dim type_elements(Context *, Type);        /* product of the dims */
uint32_t pair_axis(Context *, uint32_t rank, const Dim *dims); /* along which ENCODING_PAIR16 makes pairs */
bool type_same_dims(const TypeInfo *, const TypeInfo *); /* as many, each the same expression */
void type_print(Context *, Text *, Type);  /* "f32[batch,128]{panel16}", "(f32[2], i64[])" */
bool type_is_static(Context *, Type);

/* ---- constant.c --------------------------------------------------------------------------------------------------- */

/* Elements of a constant: a view of memory that outlives the Context's graphs (a mapped file or arena), or one scalar.
 * Sub-byte types are unpacked, one byte an element.  Interned by content hash, so that equal constants are one. */
typedef struct Const { uint32_t id; } Const;
/* Element [i...] is element origin + sum of i[a] * stride[a] of another constant, a dense one; dims are what it has before it
 * is encoded. */
typedef struct ConstView {
    Const of;
    uint32_t rank;
    int64_t origin, stride[MAX_RANK], dims[MAX_RANK];
} ConstView;
typedef struct ConstInfo {
    DType dtype;
    Encoding encoding;
    bool splat;              /* then `value` stands for every element and data is NULL */
    Scalar value;
    uint64_t elements;       /* stored elements: of the encoding, tails included; splat: not meaningful */
    const void *data;        /* may be unaligned; NULL where the elements are still to be computed: const_bytes */
    const ConstView *view;   /* how to compute them, else NULL */
    uint64_t hash;
} ConstInfo;
Const const_data(Context *, DType, uint64_t elements, const void *data); /* becomes a splat if all elements are equal bits */
Const const_encoded(Context *, DType, Encoding, uint64_t elements, const void *data);
Const const_splat(Context *, DType, Scalar);
const ConstInfo *const_info(Context *, Const);
Scalar const_element(Context *, Const, uint64_t i);
/* constant_view.c: elements in another order; id 0 where they are too many.  const_bytes: the elements in memory, not of a
 * splat; large views had better be streamed, in pieces that are a whole number of elements. */
Const const_view(Context *, Encoding, const ConstView *);
const void *const_bytes(Context *, Const);
bool const_stream(Context *, Const, SinkFn *, void *sink);

/* ---- graph.c ------------------------------------------------------------------------------------------------------ */

typedef enum Op {
    OP_poison,
#define OP(name, ...) OP_##name,
#include "ops.def"
    OP_COUNT
} Op;
typedef enum OpKind {
    KIND_NONE, KIND_SOURCE, KIND_EW, KIND_VIEW, KIND_INDEXED, KIND_REDUCE, KIND_CONTRACT, KIND_ANCHOR, KIND_CONTROL,
    KIND_MACRO, KIND_GROUP
} OpKind;
typedef enum AttrKey {
    ATTR_none,
#define ATTR(name, ...) ATTR_##name,
#include "attrs.def"
    ATTR_COUNT
} AttrKey;
#define A(name) (UINT64_C(1) << ATTR_##name)
#define ANY     (-1)
typedef enum AttrType {
    AT_INT, AT_FLOAT, AT_INTS, AT_DIM, AT_DIMS, AT_DTYPE, AT_TEXT, AT_CONST, AT_GRAPH, AT_SCHEDULE
} AttrType;
enum { FAILS = 1, REREADS = 2, ALIAS = 4, OVERWRITES = 8, CROWDED = 16 }; /* traits of ops: see ops.def */
typedef struct OpInfo {
    const char *name;
    int operands;            /* or ANY */
    OpKind kind;
    uint8_t cost;            /* elementary operations an element takes */
    uint8_t traits;
    uint64_t attrs;          /* bit per AttrKey */
    const char *doc;
} OpInfo;
typedef struct AttrInfo { const char *name; AttrType type; const char *doc; } AttrInfo;
extern const OpInfo op_info[OP_COUNT];
extern const AttrInfo attr_info[ATTR_COUNT];
Op op_by_name(const char *);

typedef enum SchedField {
#define SCHED(name, ...) SCHED_##name,
#include "schedule.def"
    SCHED_COUNT
} SchedField;
typedef enum Template {
    TEMPLATE_none,
#define TEMPLATE(name, ...) TEMPLATE_##name,
#include "templates.def"
    TEMPLATE_COUNT
} Template;
extern const char *const template_name[TEMPLATE_COUNT];
typedef struct Schedule { int64_t field[SCHED_COUNT]; } Schedule;
extern const char *const schedule_field_name[SCHED_COUNT];
typedef struct SchedRange { int64_t least, most; } SchedRange;
extern const SchedRange schedule_range[SCHED_COUNT];         /* what an override may say */
extern const char *const template_fields[TEMPLATE_COUNT];    /* names by spaces of the fields that a template reads */

typedef struct Val { uint32_t id; } Val;   /* a node of one graph; 0: poison or none */
typedef struct Graph Graph;
/* One attribute.  ints, dims, schedule: n elements, copied by emit. */
typedef struct Attr {
    AttrKey key;
    uint32_t n;
    union {
        int64_t i;
        double f;
        const int64_t *ints;
        Dim dim;
        const Dim *dims;
        DType dtype;
        const char *text;    /* interned */
        Const data;
        const Graph *graph;
        const Schedule *schedule; /* n of them: one for all targets, or one for each of several */
    } as;
} Attr;
typedef struct Node {
    Op op;
    uint32_t n_in, n_attrs;
    const Val *in;
    const Attr *attrs;       /* ascending by key: exactly those of the op's row (and `buffers` after plan) */
    Type type;
    Loc loc;
} Node;

/* A condition on input symbols that run checks (bind): with the text a user reads when it fails. */
typedef struct Guard { Fact fact; const char *message; Loc loc; } Guard;
/* Memory of one function, by pass plan.  Buffer b lies at max over `above` of their ends (0 where none): monotone in
 * the sizes, so that offsets planned at upper bounds serve every smaller size. */
typedef struct Buffer {
    Dim bytes;               /* an upper bound in input symbols */
    const uint32_t *above;   /* buffers it lies on */
    uint32_t n_above;
    const Graph *frame;      /* not NULL: the frame of this region's body, sized by its own plan */
} Buffer;
typedef struct Plan { uint32_t n; const Buffer *buffers; } Plan;
/* An INPUT symbol whose value is element `element` of parameter `param`: of an integer one the element itself (a Reshape
 * target, a position), of bool 0 or 1, of a float (a scale) the element times ELEMENT_SCALE, truncated and saturating.
 * With `value` it is what that dim comes to, in symbols of extents and of bindings before this one: an extent that has no
 * monotone bound in those (limit / step) is bounded as a symbol of its own. */
#define ELEMENT_SCALE 0x1p32
typedef struct SymbolBinding { Symbol symbol; uint32_t param; uint64_t element; Dim value; } SymbolBinding;

/* A function: closed (captures of a region are its parameters).  Frozen by graph_finish. */
struct Graph {
    Context *cx;
    const char *name;
    Arena *arena;
    VEC(Node) nodes;         /* ids 1..; operands precede users */
    VEC(Val) params;         /* in order of index */
    VEC(Val) results;
    VEC(const char *) result_names;
    VEC(Guard) guards;
    VEC(SymbolBinding) bindings;
    const Plan *plan;        /* NULL before pass plan */
    Map cse;
    bool fold;               /* emit folds constants and applies identities (builder); off in parse and import */
    bool finished;
};

Graph *graph_new(Context *, const char *name);  /* lives as long as the Context */
/* The only constructor of nodes: checks against the op's row, infers the type, hash-conses.  A poison operand gives
 * poison silently; a mistake is a diagnostic at loc and poison.  attrs in any order. */
Val emit(Graph *, Op, Loc, const Val *in, uint32_t n_in, const Attr *attrs, uint32_t n_attrs);
void graph_result(Graph *, Val, const char *name);
/* Adds a guard unless the relation is proven; a relation proven false is an error at loc. false then. */
bool graph_guard(Graph *, Loc, Relation, Dim a, Dim b, const char *fmt, ...) PRINTF_LIKE(6, 7);
/* Drops nodes that no result needs (parameters stay), renumbers, freezes.  Returns g, or NULL if a result is poison. */
Graph *graph_finish(Graph *);
static inline const Node *node(const Graph *g, Val v) { return &g->nodes.at[v.id]; }
static inline Op val_op(const Graph *g, Val v) { return g->nodes.at[v.id].op; }
static inline Val val_in(const Graph *g, Val v, uint32_t i) { return g->nodes.at[v.id].in[i]; }
const TypeInfo *val_type(const Graph *, Val);
DType val_dtype(const Graph *, Val);
uint32_t val_rank(const Graph *, Val);
Dim val_dim(const Graph *, Val, uint32_t axis);
const Attr *node_attr(const Node *, AttrKey);      /* NULL where absent */
int64_t attr_int(const Node *, AttrKey);           /* the attribute must be there */
const int64_t *attr_ints(const Node *, AttrKey, uint32_t *n_or_null);
const Dim *attr_dims(const Node *, AttrKey, uint32_t *n_or_null);
Dim attr_dim(const Node *, AttrKey);
const Graph *attr_graph(const Node *, AttrKey);
Symbol node_finds(Context *, const Node *);                /* the symbol that the node binds while running; id 0: none */
bool node_mentions(Context *, const Node *, Symbol);       /* in its type, its attributes, or inside its regions or body */
bool val_const(const Graph *, Val, Const *);       /* is a const node */
bool val_splat(const Graph *, Val, Scalar *);      /* is a splat constant, or a broadcast/reshape of one */
/* The reduction by `op` of x whose result v, of x's dims, repeats along the reduced axes; id 0: v is something else. */
Val val_repeated_reduction(const Graph *, Val v, Op op, Val x);
uint64_t graph_hash(const Graph *);                /* structural: equal graphs, equal hashes */
bool graph_equal(const Graph *, const Graph *);    /* structurally, locations and names of parameters aside */
/* Guards that infer rules need are appended to the graph being built (a broadcast of unknown extents, a Reshape). */

/* ---- build.c: one typed function per op, so that callers read like mathematics ------------------------------------------ */

Val b_param(Graph *, Loc, const char *name, DType, uint32_t rank, const Dim *dims);  /* index is the next free one */
Val b_const(Graph *, Loc, Const, uint32_t rank, const Dim *dims);
Val b_scalar(Graph *, Loc, DType, double);             /* rank 0; the value must be exact in the dtype, or is rounded */
Val b_int(Graph *, Loc, DType, int64_t);
Val b_ints(Graph *, Loc, const int64_t *, uint32_t n); /* i64[n] */
Val b_splat(Graph *, Loc, DType, Scalar, uint32_t rank, const Dim *dims);
Val b_iota(Graph *, Loc, DType, uint32_t rank, const Dim *dims, uint32_t axis);
Val b_dim(Graph *, Loc, Dim);
Val b_ew(Graph *, Loc, Op, const Val *in, uint32_t n); /* broadcasts operands to their common dims as NumPy does, with guards */
Val b_unary(Graph *, Loc, Op, Val);
Val b_binary(Graph *, Loc, Op, Val, Val);
Val b_select(Graph *, Loc, Val c, Val a, Val b);
Val b_fma(Graph *, Loc, Val a, Val b, Val c); /* a * b + c */
Val b_convert(Graph *, Loc, Val, DType);               /* itself where the dtype is right */
Val b_reshape(Graph *, Loc, Val, uint32_t rank, const Dim *dims);
Val b_permute(Graph *, Loc, Val, const int64_t *perm);
Val b_broadcast(Graph *, Loc, Val, uint32_t rank, const Dim *dims, const int64_t *axes);
Val b_broadcast_to(Graph *, Loc, Val, uint32_t rank, const Dim *dims);  /* NumPy alignment: trailing axes meet */
Val b_slice(Graph *, Loc, Val, const Dim *start, const int64_t *step, const Dim *dims);
Val b_slice_axis(Graph *, Loc, Val, uint32_t axis, Dim start, Dim extent);
Val b_pad(Graph *, Loc, Val, Val fill, const Dim *low, const Dim *high, const int64_t *interior);
Val b_concat(Graph *, Loc, const Val *, uint32_t n, uint32_t axis);
Val b_gather(Graph *, Loc, Val, Val indices, uint32_t axis, uint32_t batch);
Val b_reduce(Graph *, Loc, Op, Val, const int64_t *axes, uint32_t n_axes,
             bool keep); /* order 16 where the last axis is reduced, else 1 */
Val b_mean(Graph *, Loc, Val, const int64_t *axes, uint32_t n_axes, bool keep);
Val b_dot(Graph *, Loc, Val, Val, uint32_t batch);
Val b_get(Graph *, Loc, Val tuple, uint32_t index);
Dim b_broadcast_dim(Graph *, Loc, Dim, Dim);           /* the common extent; adds a guard where not proven compatible */
#define CHUNK_K 256                                    /* b_dot's and b_conv's attribute chunk */

/* ---- rewrite.c ---------------------------------------------------------------------------------------------------- */

/* A pass rebuilds: visit gets the old node with its operands already mapped to the new graph and returns the new value;
 * returning poison without a diagnostic copies the node.  Regions are rewritten first, with the same visitor. */
typedef struct Rewrite {
    Graph *to;
    const Graph *from;
    const Val *map;          /* old id -> new value */
    void *user;
    const uint32_t *uses;    /* uses[old id] in `from`, results counted */
} Rewrite;
typedef Val VisitFn(Rewrite *, const Node *old, Val old_val, const Val *in);
Graph *graph_rewrite(Context *, const Graph *, VisitFn *, void *user, bool fold);
Val rewrite_copy(Rewrite *, const Node *old, const Val *in);  /* the node as it was, over the new operands */
/* Inlines callee's body into g with its parameters bound to in; results to out. */
void graph_inline(Graph *, const Graph *callee, const Val *in, Val *out);

/* widen.c: every f32 value as f64, parameters and constants widened where they come in; results of f32 become f64. */
Graph *graph_widen(Context *, const Graph *);

/* ---- fold.c ------------------------------------------------------------------------------------------------------- */

/* With g->fold: the node's value where operands are constants (within limits.fold_bytes), or an identity (x + 0 => x).
 * Poison where nothing applies. Called by emit. */
Val fold_node(Graph *, const Node *candidate);

/* ---- bound.c ------------------------------------------------------------------------------------------------------ */

/* dim_upper where the graph's guards hold.  Bounds of an extent and of the number of elements of value v (of element
 * `element` where it is a tuple) that also use how it is computed.  id 0 where there is none. */
Dim graph_upper(const Graph *, Dim);
Dim graph_upper_axis(const Graph *, Val v, uint32_t element, uint32_t axis);
Dim graph_upper_elements(const Graph *, Val v, uint32_t element);
/* What v stands for in memory: through ops that alias their operand; *element, if asked for, of the tuple there. */
Val graph_memory(const Graph *, Val v, uint32_t *element);
/* The parameter that a result takes the memory of, since all of it comes from overwriting it, through joins and kernels; or -1.
 * graph_alias: of parameter k the result that does, of result k - params.n its donor; or -1. */
int64_t graph_donor(const Graph *, uint32_t result);
int64_t graph_alias(const Graph *, uint32_t k);
/* The outermost `join` that a node's memory is a part of, or the node; and how many bytes from its start. */
Val graph_home(const Graph *, Val, Dim *bytes);

/* ---- rounds.c: kernels between the same barriers ------------------------------------------------------------------ */

enum { MAX_TOGETHER = 8 };                         /* kernels in a round */
bool round_takes(Context *, const Node *);         /* a kernel that may run beside others: it cannot fail, nor overwrite */
bool round_begins(const Node *);                   /* a kernel or control that does not run together with what is before it */
uint32_t round_needed(const Node *, const uint32_t *round); /* the last round that its operands are made in; round: by node */
bool rounds_verify(const Graph *);                 /* false after a diagnostic */

/* ---- work.c ------------------------------------------------------------------------------------------------------- */

/* The least that a closed graph takes: floating-point operations, and bytes of results and (by parameter) of operands. */
typedef struct GraphWork { Dim flops, written, *read; } GraphWork;
GraphWork graph_work(const Graph *);
Dim graph_written(const Graph *, uint32_t result); /* elements that are stored: what is overwritten, or all */
/* Of a contraction or attend: leading axes that the operands share, and elements of x that one of the result is made of. */
uint32_t contract_batch(const Node *);
Dim contract_depth(const Graph *, const Node *);
enum { STREAMED_ROWS = 5 }; /* of so few, memory is a contraction's bound: what is read in order comes fastest by itself */

/* ---- pieces.c ----------------------------------------------------------------------------------------------------- */

enum { MOST_PIECES = 8, PIECE_COLUMNS = 16 };
/* Pieces of a contraction's columns, side by side, of which the node cuts off one; 0: it does not. */
uint32_t slice_pieces(const Graph *, const Node *);
/* Pieces that what is made of the contraction's columns starts from; 1: it starts from all of them. */
uint32_t contract_pieces(const Graph *, Val contraction);

/* ---- ops/winograd.c: Winograd's minimal filtering F(tile, 3) along one axis ------------------------------------------- */

/* Evaluated at 0, at the pairs of points +-point[i], and at infinity: tile + 2 in all, in this order. */
typedef struct Winograd {
    uint32_t tile, pairs;
    double point[2];
    double all[3];           /* coefficients of the product of (x^2 - point[i]^2), by power of x^2; the last is 1 */
    double rest[2][2];       /* of the product without pair i */
} Winograd;
bool winograd_of(int64_t tile, Winograd *); /* false where there is none: 2 and 4 are */
/* A filter of three taps at the points: three[i * step] to at[i]. */
void winograd_filter(const Winograd *, const double *three, double *at);

/* ---- print.c, parse.c, verify.c ----------------------------------------------------------------------------------- */

/* The text form; parse(print(g)) == g.  Constants above 64 elements go to `blob` (appended, 64-aligned) and are written
 * blob(offset); blob NULL: all inline. docs/ir.md is the grammar. */
void graph_print(const Graph *, Text *out, Text *blob);
Graph *graph_parse(Context *, const char *file, const char *text, size_t n, const uint8_t *blob, size_t blob_bytes);
/* Every type against its re-inferred one, operands precede users, attributes against the table, regions closed. */
bool graph_verify(const Graph *);
void graph_dot(const Graph *, Text *out);              /* Graphviz */

/* ---- index.c: what index_<op> computes ---------------------------------------------------------------------------- */

/* Where the element of a VIEW or INDEXED node at `at` comes from.  Cases are tried in order; the first whose bounds hold
 * for all its conditions supplies the element; an operand of -1 with no conditions is the fill. Run-time indices
 * (gather, dyn_slice) are asked for through `load`: the value of the operand at an index, as a dim (a fresh symbol bound
 * by the caller), already within [0, extent). */
typedef struct IndexCase {
    uint32_t operand;
    const Dim *at;           /* one per axis of the operand */
    const Fact *when;        /* conjunction over dims in the index symbols; n_when 0: always */
    uint32_t n_when;
} IndexCase;
typedef Dim IndexLoadFn(void *user, uint32_t operand, const Dim *at, Dim extent);
typedef struct IndexQuery {
    const Graph *g;
    const Node *node;
    const Dim *at;           /* one per axis of the result */
    const Scope *scope;
    Arena *arena;
    IndexLoadFn *load;
    void *user;
} IndexQuery;
typedef uint32_t IndexFn(IndexQuery *, const IndexCase **cases); /* number of cases */
extern IndexFn *const index_fn[OP_COUNT];              /* NULL but for VIEW and INDEXED */

/* ---- access.c ----------------------------------------------------------------------------------------------------- */

/* Which elements an expression reads: walks from value v at index `at` through EW, VIEW and INDEXED nodes and calls read
 * for every leaf it meets (parameters, constants, anchors, and nodes for which stop answers true), with the leaf's index.
 * Run-time indices appear as symbols that are opaque. false where the walk exceeds 4096 reads. */
typedef void AccessReadFn(void *user, Val leaf, const Dim *at);
typedef bool AccessStopFn(void *user, Val);
typedef struct Access {
    const Graph *g;
    const Scope *scope;
    AccessReadFn *read;
    AccessStopFn *stop;      /* may be NULL */
    void *user;
    uint32_t reads;
    void (*choose)(void *user, Fact); /* a condition that decides between cases of a concat, pad …; may be NULL */
} Access;
bool access_walk(Access *, Val v, const Dim *at);
/* Row-major offset of an index into dense dims. */
Dim access_offset(Context *, const Dim *dims, const Dim *at, uint32_t rank);
/* The k-th reusable index symbol (0.. : "i0", "i1" …, range [0, unbounded]) and the lane symbol of vectors of L (range
 * [0, L-1]); they never leave a kernel. */
Symbol index_symbol(Context *, uint32_t k);
Symbol lane_symbol(Context *, uint32_t lanes);

/* ---- interp.c ----------------------------------------------------------------------------------------------------- */

/* The reference semantics: naive, double accumulation, one tensor a node.  Serves folding, --check-each, `verify`. */
typedef struct Tensor {
    DType dtype;
    uint32_t rank;
    int64_t dims[MAX_RANK];
    void *data;              /* dense; NULL where a splat */
    bool splat;
    Encoding encoding;       /* of a constant's data; contractions decode it */
    Scalar value;
} Tensor;
int64_t tensor_elements(const Tensor *);
Scalar tensor_at(const Tensor *, int64_t i);
typedef struct Interp {
    Context *cx;
    Arena *arena;
    int64_t *symbols;        /* by symbol id; capacity symbol_count + 1 */
    Loc loc;                 /* of the node being evaluated */
} Interp;
/* Binds symbols from the inputs' dims and checks the guards, evaluates, and fills outputs (arena memory; one per result).
 * false after a diagnostic. */
NODISCARD bool interp_run(Context *, Arena *, const Graph *, const Tensor *inputs, uint32_t n_inputs, Tensor *outputs);
/* Evaluates one node over evaluated operands; used by folding.  out: one per tuple element. */
typedef bool EvalFn(Interp *, const Graph *, const Node *, const Tensor *in, Tensor *out);
extern EvalFn *const eval_fn[OP_COUNT];
/* One element of an EW op, typed: in[i] under dtypes of the operands; result under the node's dtype (not yet wrapped). */
typedef Scalar RefFn(const Graph *, const Node *, const Scalar *in);
extern RefFn *const ref_fn[OP_COUNT];
/* Identity and combination of a reduction; the accumulator is f64, i64 or u64. */
typedef struct Reducer {
    Scalar (*identity)(DType);
    Scalar (*combine)(DType, Scalar, Scalar);
    Op ew;                   /* the binary EW op that combines two values */
} Reducer;
extern const Reducer *const reducer_of[OP_COUNT];
/* expand_<op> of MACRO ops. */
typedef Val ExpandFn(Graph *, const Node *, const Val *in);
extern ExpandFn *const expand_fn[OP_COUNT];

/* ---- target.c ----------------------------------------------------------------------------------------------------- */

/* What passes and templates may know of the machine. */
typedef struct Target {
    const char *name;        /* "x86-64-v3" */
    const char *triple;      /* "x86_64-unknown-linux-gnu" */
    const char *cpu;         /* what compilers know it by, without extensions */
    const char *features;    /* LLVM spelling, and what the artifact checks at load */
    const char *cc_options[4]; /* extensions in the spelling of C compilers, or NULL */
    int32_t vector_bytes;    /* 32, 64 */
    int32_t vector_registers;
    bool fma;
    bool dot_u8;             /* an instruction for dot_u8 of Loop IR, at sixteen lanes */
    bool dot_bf16;           /* instructions for dot_bf16 and round_bf16 of Loop IR, at sixteen lanes */
    bool tiles_bf16;         /* the tile instructions of Loop IR */
    const char *c_macro;     /* that C compilers define for this target and those above it, not for those below */
    int64_t l1_bytes, l2_bytes, last_bytes; /* last: shared by all cores */
} Target;
const Target *target_find(const char *name); /* by full or short name; NULL where unknown */
const char *target_short_name(const Target *); /* "v3"; the full name where there is none */
extern const Target targets[];
extern const uint32_t n_targets;

/* The CPU tiers that one artifact serves, in the table's order, lowest first; all give the same bits, but for tiles
 * (docs/precision.md). */
enum { MAX_TIERS = 8 };
typedef struct Caches { int64_t l1, l2, last; } Caches; /* bytes, or 0: as the target's row has it */
typedef struct Tiers { uint32_t n; const Target *at[MAX_TIERS]; Caches caches; } Tiers;
const Target *target_baseline(const Target *); /* what every machine of its kind runs */
Tiers tiers_of(const Target *or_null);
/* "v3,v4", in any order, and sizes of caches for all of them, "l1=48K,l2=1M,last=32M", of which the last one given counts;
 * `native` stands for the list that the machine's owner calls so.  false after a diagnostic. */
NODISCARD bool tiers_parse(Context *, const char *list, const char *native, Tiers *);
/* Tier i with the caches that were given. */
Target tiers_target(const Tiers *, uint32_t i);
/* The schedule that a kernel's attribute has for a target, without its tier. */
Schedule schedule_for(const Attr *, const Target *);
