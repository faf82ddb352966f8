/* loop.h: Loop IR: kernels and the host program as structured SSA, printed by every backend.
 *
 * A LoopModule is all of an artifact but the runtime: functions, data, and the C header's text.  Values are scalars,
 * vectors of explicit width and typed pointers; control is for/while/if with carried values, so there are no phis and no
 * mutable variables.  Order of instructions is order of effects.  Instructions: loop_ops.def.  Text: docs/loop-ir.md.
 * Invariants (loop_verify): definitions dominate uses structurally, types agree with the table, a block ends in exactly
 * one yield or return, kernels have the leading parameters lo, hi, worker (i64).
 * Floating point: no contraction, no reassociation; fma only where written.
 * A module may serve several CPU tiers: a kernel's variants stand beside it, and `launch` runs the best one for the machine.
 */
#pragma once
#include "ir.h"

typedef enum LOp {
    LOP_none,
#define LOP(name, ...) LOP_##name,
#include "loop_ops.def"
    LOP_COUNT
} LOp;
typedef enum LClass {
    LC_NONE, LC_CONST, LC_UNARY, LC_BINARY, LC_TERNARY, LC_COMPARE, LC_CAST, LC_VECTOR, LC_MEMORY, LC_TILE, LC_CONTROL
} LClass;
typedef struct LOpInfo { const char *name; int operands; LClass class_; const char *doc; } LOpInfo;
extern const LOpInfo lop_info[LOP_COUNT];
LOp lop_by_name(const char *);

/* dtype x lanes, or pointer to dtype (lanes 1), or nothing (DT_none).  Loop IR has no sub-byte and no small-float
 * arithmetic: f16, bf16, f8 are loaded as u16/u8 and converted by builders (loop_math.c); these dtypes occur here not at all.
 * Allowed: bool i8 u8 i16 u16 i32 u32 i64 u64 f32 f64. Bool in memory is a u8 of 0 or 1. */
typedef struct LType { uint8_t dtype; uint8_t pointer; uint16_t lanes; } LType;
#define MAX_LANES 128
enum { TABLE = 16 }; /* entries of a lookup */
static inline LType lt_scalar(DType t) { return (LType){(uint8_t)t, 0, 1}; }
static inline LType lt_vector(DType t, uint32_t lanes) { return (LType){(uint8_t)t, 0, (uint16_t)lanes}; }
static inline LType lt_pointer(DType t) { return (LType){(uint8_t)t, 1, 1}; }
static inline bool lt_same(LType a, LType b) { return a.dtype == b.dtype && a.pointer == b.pointer && a.lanes == b.lanes; }

typedef struct LVal { uint32_t id; } LVal;   /* SSA value of one function; 0: none */
typedef struct LBlock LBlock;
typedef struct LInst LInst;
typedef enum LoopKind { LOOP_SERIAL, LOOP_UNROLLED } LoopKind; /* of `for`; parallel is a kernel's outermost range alone */
struct LInst {
    LOp op;
    uint8_t kind;            /* for: LoopKind */
    uint16_t n_blocks;
    uint32_t n_in, n_out;
    const LVal *in;
    const LVal *out;         /* results */
    LBlock *blocks[2];
    struct {
        int64_t i;
        double f;
        const char *text;    /* interned */
        const int64_t *ints;
        uint32_t n_ints;
    } imm;
};
struct LBlock {
    uint32_t n_args;
    const LVal *args;        /* defined by the block: loop index, carried values */
    VEC(LInst) insts;
};
typedef enum LFuncKind {
    LF_LOCAL,                /* called inside the module */
    LF_EXPORT,               /* visible to the runtime or the user */
    LF_KERNEL,               /* launched; returns i32 status: 0, or a site of the module's failure table */
    LF_EXTERN                /* declared only: the runtime's or libc's */
} LFuncKind;
enum { LP_NOALIAS = 1, LP_READONLY = 2, LP_WRITEONLY = 4 };
typedef struct LParam { LVal value; const char *name; LType type; uint32_t flags; uint32_t align; } LParam;
typedef struct LFunc {
    const char *name;
    LFuncKind kind;
    uint32_t n_params;
    const LParam *params;    /* a kernel's first three: lo, hi, worker */
    LType result;            /* DT_none: void */
    LBlock *body;            /* NULL: extern */
    VEC(LType) types;        /* by value id; [0] unused */
    const char *comment;     /* the model's nodes behind a kernel; printed as a comment */
    const Target *target;    /* what it is compiled for; NULL: the module's lowest tier */
    const char *variant_of;  /* a kernel that it stands in for from its target upwards, or NULL; same parameters */
    bool same_text;          /* body and types are those of variant_of: only the machine code differs */
} LFunc;

/* A data object.  bytes: content; NULL: zeros, but for constants at the offsets of its parts; relocations put addresses of
 * symbols over 8-byte slots.
 * LD_WEIGHTS marks the packed weights, which a backend may place elsewhere (own object, side file). */
enum { LD_EXPORT = 1, LD_WRITABLE = 2, LD_WEIGHTS = 4 };
typedef struct LPart { uint64_t offset; Const data; } LPart;
typedef struct LReloc { uint64_t offset; const char *symbol; int64_t addend; } LReloc;
typedef struct LData {
    const char *name;
    const uint8_t *bytes;
    uint64_t size;
    uint32_t align, flags;
    uint32_t n_relocs;
    const LReloc *relocs;    /* ascending */
    uint32_t n_parts;
    const LPart *parts;      /* ascending; of weights, which are streamed rather than held */
} LData;

/* The C header and the facts `inspect` shows travel as text: key, value pairs such as header, name, target. */
typedef struct LNote { const char *key; const char *text; } LNote;
typedef struct LoopModule {
    Context *cx;
    Arena *arena;
    const char *name;
    Tiers tiers;             /* lowest first; empty in modules that never become machine code */
    VEC(LFunc *) funcs;
    VEC(LData) datas;
    VEC(LNote) notes;
} LoopModule;
LoopModule *loop_module_new(Context *, const char *name, const Tiers *or_null);
const Target *loop_target(const LoopModule *, const LFunc *); /* what a function is compiled for, or NULL */
/* Appends a variant of a kernel: the same text, compiled for another target. */
LFunc *loop_variant(LoopModule *, const LFunc *kernel, const Target *);
const char *loop_variant_name(LoopModule *, const char *kernel, const Target *);
/* The tiers [*from, *end) on which a kernel or variant runs. */
void loop_func_tiers(const LoopModule *, const LFunc *, uint32_t *from, uint32_t *end);
/* What `launch` of a kernel runs on a tier: its variant of the highest target up to there, else the kernel itself. */
LFunc *loop_func_on(const LoopModule *, LFunc *kernel, uint32_t tier);
LFunc *loop_func_find(const LoopModule *, const char *name);
const LData *loop_data_find(const LoopModule *, const char *name);
const char *loop_note(const LoopModule *, const char *key);  /* NULL where absent */
/* loop_data.c: the content without relocations.  A piece refers to the arguments.  loop_data_bytes: in memory, NULL where it
 * is zeros; loop_data_aligned: in memory at a multiple of 64, where generated code expects weights. */
const LData *loop_weights(const LoopModule *);               /* NULL where there are none */
FilePiece loop_data_piece(const LoopModule *, const LData *);
const uint8_t *loop_data_bytes(const LoopModule *, const LData *);
const uint8_t *loop_data_aligned(const LoopModule *, const LData *);

/* ---- loop_build.c: writes one function; folds constants and identities, and shares equal pure scalars in a block's scope */

typedef struct LoopBuilder {
    Context *cx;
    LoopModule *module;
    LFunc *func;
    LBlock *block;           /* where instructions go */
    struct LoopScope *scope; /* private: value sharing */
} LoopBuilder;
/* params: value is filled in. */
LoopBuilder *loop_begin(LoopModule *, const char *name, LFuncKind, LParam *params, uint32_t n, LType result);
LFunc *loop_end(LoopBuilder *);              /* puts instructions in order, appends to the module */
void loop_order(LoopModule *, LFunc *);      /* loop_order.c: an order that does not depend on who built ingot */
LVal loop_param(const LoopBuilder *, uint32_t i);
LType loop_type(const LoopBuilder *, LVal);
bool loop_const_int(const LoopBuilder *, LVal, int64_t *); /* the value of an integer constant */

LVal l_inst(LoopBuilder *, LOp, LType result, const LVal *in, uint32_t n, int64_t imm);
LVal l_i64(LoopBuilder *, int64_t);
LVal l_int(LoopBuilder *, LType, int64_t);   /* in every lane */
LVal l_float(LoopBuilder *, LType, double);
LVal l_bool(LoopBuilder *, bool);
LVal l_addr(LoopBuilder *, const char *symbol, LType pointer);
LVal l_un(LoopBuilder *, LOp, LVal);
LVal l_bin(LoopBuilder *, LOp, LVal, LVal);  /* compares too; a scalar operand is splat to the other's lanes */
LVal l_fma(LoopBuilder *, LVal, LVal, LVal);
LVal l_dot_bf16(LoopBuilder *, LVal sum, LVal x, LVal w);
LVal l_dot_u8(LoopBuilder *, LVal sum, LVal x, LVal w);
LVal l_select(LoopBuilder *, LVal c, LVal a, LVal b);
LVal l_convert(LoopBuilder *, LVal, DType);
LVal l_bitcast(LoopBuilder *, LVal, DType);
LVal l_splat(LoopBuilder *, LVal, uint32_t lanes);         /* itself where it has the lanes */
LVal l_lane_mask(LoopBuilder *, LVal n, uint32_t lanes);   /* bool x lanes: whether a lane is one of the first n */
LVal l_load(LoopBuilder *, LVal pointer, LVal index, uint32_t lanes, LVal mask_or_none);
void l_store(LoopBuilder *, LVal pointer, LVal index, LVal value, LVal mask_or_none);
LVal l_gather(LoopBuilder *, LVal pointer, LVal indices, LVal mask_or_none);
LVal l_offset(LoopBuilder *, LVal pointer, LVal index);
LVal l_alloc(LoopBuilder *, DType, int64_t elements);
void l_tile(LoopBuilder *, LOp, const int64_t *tiles, uint32_t n);
void l_tile_move(LoopBuilder *, LOp, uint32_t tile, LVal pointer, LVal index, LVal stride); /* tile_load, tile_store */
#define l_add(b, x, y) l_bin(b, LOP_add, x, y)
#define l_sub(b, x, y) l_bin(b, LOP_sub, x, y)
#define l_mul(b, x, y) l_bin(b, LOP_mul, x, y)
#define l_lt(b, x, y)  l_bin(b, LOP_lt, x, y)
#define l_min(b, x, y) l_bin(b, LOP_min, x, y)
#define l_max(b, x, y) l_bin(b, LOP_max, x, y)
LVal l_floor_div(LoopBuilder *, LVal, LVal); /* i64, divisor > 0 */
/* for i = begin; i < end; i += step: opens the body; *carried holds initial values and becomes the block's arguments;
 * l_for_end yields them and *carried becomes the results. kind: LoopKind. */
typedef struct LFor { LBlock *outer; LInst inst; struct LoopScope *scope; } LFor;
LFor l_for(LoopBuilder *, LVal begin, LVal end, int64_t step, LoopKind, LVal *carried, uint32_t n, LVal *index);
void l_for_end(LoopBuilder *, LFor *, LVal *carried, uint32_t n);
LFor l_while(LoopBuilder *, LVal *carried, uint32_t n);
void l_while_end(LoopBuilder *, LFor *, LVal again, LVal *carried, uint32_t n);
typedef struct LIf { LBlock *outer; LInst inst; struct LoopScope *scope; } LIf;
LIf l_if(LoopBuilder *, LVal condition);     /* opens the then-block */
void l_else(LoopBuilder *, LIf *, const LVal *yield, uint32_t n);
void l_if_end(LoopBuilder *, LIf *, const LVal *yield, uint32_t n, LVal *results); /* l_else must have been called */
void l_copy_bytes(LoopBuilder *, LVal to, LVal from, LVal bytes); /* of u8 */
void l_return(LoopBuilder *, LVal);
LVal l_call(LoopBuilder *, const char *function, LType result, const LVal *in, uint32_t n);
LVal l_launch(LoopBuilder *, const char *kernel, const LVal *in, uint32_t n);  /* context, extent, pieces, arguments; i32 */
void l_defer(LoopBuilder *, const char *kernel, const LVal *in, uint32_t n);   /* until the next launch: MAX_TOGETHER with it */
LVal l_shuffle(LoopBuilder *, LVal, LVal, const int64_t *lanes, uint32_t n);
LVal l_lookup(LoopBuilder *, LVal index, const double *table); /* f32: table[index mod 16] */

/* ---- loop_math.c: transcendental functions as instruction sequences, the same bits everywhere --------------------------- */

/* x is f32 or f64, any lanes.  Bounds in ulp: docs/math.md, checked by tests/unit/test_math.c. No libm. */
LVal m_exp(LoopBuilder *, LVal);
LVal m_exp_below(LoopBuilder *, LVal);       /* the same for x that are not above 0, cheaper */
LVal m_exp_decay(LoopBuilder *, LVal);       /* e^x for x <= 0, cheaper; f32: within 1 + |x|/4 ulp, +0 below e^-87 */
LVal m_expm1(LoopBuilder *, LVal);
LVal m_log(LoopBuilder *, LVal);
LVal m_log1p(LoopBuilder *, LVal);
LVal m_pow(LoopBuilder *, LVal, LVal);
LVal m_sin(LoopBuilder *, LVal);
LVal m_cos(LoopBuilder *, LVal);
LVal m_tan(LoopBuilder *, LVal);
LVal m_asin(LoopBuilder *, LVal);
LVal m_acos(LoopBuilder *, LVal);
LVal m_atan(LoopBuilder *, LVal);
LVal m_atan2(LoopBuilder *, LVal, LVal);
LVal m_sinh(LoopBuilder *, LVal);
LVal m_cosh(LoopBuilder *, LVal);
LVal m_tanh(LoopBuilder *, LVal);
LVal m_asinh(LoopBuilder *, LVal);
LVal m_acosh(LoopBuilder *, LVal);
LVal m_atanh(LoopBuilder *, LVal);
LVal m_erf(LoopBuilder *, LVal);
LVal m_sigmoid(LoopBuilder *, LVal);
LVal m_softplus(LoopBuilder *, LVal);
LVal m_fmod(LoopBuilder *, LVal, LVal);      /* exact, as C's */

/* A graph dtype in Loop IR.  memory: the dtype of the buffer's elements (u16 for f16 and bf16, u8 for f8 and sub-byte);
 * compute: the dtype that holds a value between two Graph ops (f32 for f16 and smaller, i8 for i4 …), always rounded to the
 * graph dtype. */
DType loop_memory_dtype(DType graph_dtype);
DType loop_compute_dtype(DType graph_dtype);
LVal l_decode(LoopBuilder *, LVal memory_value, DType graph_dtype);  /* memory form -> compute form */
LVal l_encode(LoopBuilder *, LVal compute_value, DType graph_dtype); /* compute form -> memory form (exact) */
LVal l_round(LoopBuilder *, LVal compute_value, DType graph_dtype);  /* rounds, wraps to the graph dtype; identity for f32 … */
LVal l_convert_graph(LoopBuilder *, LVal compute_value, DType from, DType to, bool saturate); /* op convert on compute forms */

/* lanes_<op> of EW ops: operands in compute form, any lanes; result in compute form under the node's dtype, not yet
 * rounded (the caller applies l_round). */
typedef LVal ScalarFn(LoopBuilder *, const Graph *, const Node *, const LVal *in);
extern ScalarFn *const scalar_fn[OP_COUNT];

/* ---- loop_print.c loop_parse.c loop_verify.c loop_interp.c loop_fold.c -------------------------------------------------- */

/* parse(print(m)) == m.  Data objects above 64 bytes go to blob as with graphs. */
void loop_print(const LoopModule *, Text *out, Text *blob);
void loop_print_func(const LFunc *, Text *out);
/* Numbers every function's values in the order of the text, so that a printer that shows ids cannot tell a module that was
 * built from the same one read back. */
void loop_renumber(LoopModule *);
LoopModule *loop_parse(Context *, const char *file, const char *text, size_t n, const uint8_t *blob, size_t blob_bytes);
bool loop_verify(const LoopModule *);

/* The interpreter: every access is checked against the bounds of the memory it was made for, every read against
 * initialisation, and a launch runs its range in shuffled pieces while checking that no two pieces touch the same byte
 * unless both read.  Extern functions are supplied by name. */
typedef struct LoopInterp LoopInterp;
typedef union LSlot { int64_t i; uint64_t u; double f; float f32; void *p; } LSlot;
typedef bool LoopExternFn(void *user, LoopInterp *, const char *name, const LSlot *in, uint32_t n, LSlot *out);
LoopInterp *loop_interp_new(const LoopModule *, LoopExternFn *, void *user);
/* Declares memory that pointers may refer to; host address is the identity of the pointer. */
void loop_interp_memory(LoopInterp *, void *base, uint64_t bytes, bool writable, bool initialised);
void loop_interp_forget(LoopInterp *, void *base);
/* The tiles of one thread: loop_tile.c. */
enum { LOOP_TILES = 8, TILE_SIDE = 16 };
typedef struct LoopTile { uint32_t at[TILE_SIDE][TILE_SIDE]; } LoopTile;
void loop_tile_dot_bf16(LoopTile *c, const LoopTile *a, const LoopTile *b);
/* Calls a function; false after a diagnostic (out of bounds, uninitialised, race, fuel). Scalars and pointers only. */
NODISCARD bool loop_interp_call(LoopInterp *, const char *function, const LSlot *in, uint32_t n, LSlot *result);
/* Number of workers that a launch is shared among (default 4): worker indices stay below it. */
void loop_interp_threads(LoopInterp *, uint32_t workers);

/* ---- loop_type.c, loop_element.c: what builder, parser, verifier and interpreter share ---------------------------------- */

void lt_print(Text *, LType);                /* "f32x16", "ptr u8"; "void" for DT_none */
bool lt_allowed(LType);                      /* dtypes and lanes as above */
/* Operand and result types against the signature of the op, and its immediates; control ops: number of operands alone.
 * false after writing what is wrong. */
bool loop_inst_check(const LFunc *, const LInst *, Text *problem);
bool loop_inst_is_pure(LOp);                 /* no effect, and depends on its operands alone */
const LInst *loop_def(const LoopBuilder *, LVal); /* the pure instruction behind a value in scope, else NULL */
/* A value equal to the pure instruction without emitting it, where a law of loop_fold.c applies; else id 0. */
LVal loop_fold(LoopBuilder *, const LInst *candidate, LType result);
/* The instruction's line under the printer's names, without its blocks: for messages. */
void loop_print_inst(const LFunc *, const LInst *, Text *out);
/* One lane of a UNARY, BINARY, TERNARY, COMPARE or CAST op on operands of dtype `from` (select: of a and b), result of
 * dtype `to`.  Slots hold integers extended to 64 bits by their sign, bool as 0 or 1. false where the op is undefined. */
bool loop_element(LOp, DType from, DType to, const LSlot *in, LSlot *out);
LSlot loop_const_slot(const LInst *, DType); /* the value of a const instruction */
int64_t loop_wrap(DType, int64_t bits);      /* to the width of an integer dtype or bool, then extended */
