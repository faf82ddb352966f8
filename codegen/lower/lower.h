/* lower.h: what templates share: from a kernel node (a closed graph with a schedule) to a Loop IR function.
 *
 * Every index is a Dim over index symbols.  A template binds symbols to loop values, asks kernel_eval for elements, and
 * stores them with kernel_store.  One symbol, the lane, stands for the position in a vector: an index that uses it yields a
 * vector, one that does not a scalar.  Loads become vector loads where the address is lane + something uniform, gathers
 * where it is not.  Views dissolve into Dim algebra; nothing is materialised here.
 */
#pragma once
#include "ingot_rt.h"
#include "loop.h"

enum { LANES = 16, MAX_INDEX = 64, FAIL_SLOTS = 4 };

typedef struct SymbolValue {
    Symbol symbol;
    LVal value;              /* i64 scalar, or i64 vector (a gathered index) */
} SymbolValue;
typedef struct EvalEntry {   /* a value already computed in an enclosing block */
    Val node;
    const Dim *at;
    LVal mask;
    LVal value;
} EvalEntry;
typedef struct StagedRow {   /* a node kept in scratch between passes over a row: see row.c */
    Val node;
    LVal pointer;            /* to its compute dtype */
    bool stored, filled;     /* written by the current pass; complete */
} StagedRow;

typedef struct Kernel Kernel;
/* Value of an anchor (reduction, contraction …) at an index, where the template computes it; 0: not the template's. */
typedef LVal AnchorFn(Kernel *, Val, const Dim *at);

struct Kernel {
    Context *cx;
    Arena *arena;
    LoopBuilder *b;
    const Graph *body;
    const Schedule *schedule;
    bool fma;                /* all that a template may know of the target beside its schedule */
    const Scope *scope;      /* facts of the enclosing loops */
    LVal *pointers;          /* by index of body parameter */
    LVal *outputs;           /* by result */
    VEC(SymbolValue) symbols;
    VEC(SymbolValue) lets;   /* within one call of kernel_dim and the like: what a let-symbol came to */
    VEC(EvalEntry) memo;
    VEC(StagedRow) staged;
    Symbol lane;             /* of this kernel's vectors */
    uint32_t lanes;          /* of the current vector context; 1: scalar */
    LVal mask;               /* bool x lanes of active lanes, or 0: all */
    uint64_t stream;         /* bit r: result r goes past the caches */
    LVal far;                /* bool: where it holds alone; or 0: always */
    Dim ahead;               /* operands of so many elements are fetched ahead of their vector loads; or 0 */
    const Dim *row_at;       /* index at which staged nodes are evaluated, and its offset within the row */
    Dim row_offset;
    void (*fetch)(Kernel *, const Dim *at); /* into the cache, what the next row reads there; or NULL: row.c */
    bool straight;           /* vector loops are written out, and values last beyond them */
    uint32_t next_index;     /* index symbols in use */
    AnchorFn *anchor;
    void *state;             /* the template's own */
    LVal fail;               /* i64 pointer to this worker's failure record, or 0 */
    LVal found;              /* i64 pointer: where the extent found goes, or 0 */
    LVal scratch;            /* u8 pointer to this worker's scratch, or 0 */
    LVal step;               /* i64: of the innermost loop that the host program is in; or 0: the schedule does not ask */
    Dim scratch_bytes;       /* what the template needs, in input symbols */
};

/* ---- index.c: Dims as instructions -------------------------------------------------------------------------------- */

/* A fresh index symbol bound to an i64 value, dead after kernel_drop to the mark. */
Dim kernel_index(Kernel *, LVal value);
Symbol kernel_index_symbol(Kernel *, Dim index);      /* of a Dim that kernel_index gave */
void kernel_bind(Kernel *, Symbol, LVal value);
LVal kernel_symbol(Kernel *, Symbol);
bool kernel_varies(Kernel *, Dim);                    /* differs between the lanes */
LVal kernel_dim(Kernel *, Dim);                       /* i64 scalar; d must not vary */
LVal kernel_dim_lanes(Kernel *, Dim);                 /* i64 x lanes */
LVal kernel_fact(Kernel *, Fact);                     /* bool, scalar or x lanes */
Dim kernel_simplify(Kernel *, Dim);

/* ---- eval.c: elements --------------------------------------------------------------------------------------------- */

/* The element of v at `at`, in compute form: a scalar where at is uniform, else a vector of k->lanes. */
LVal kernel_eval(Kernel *, Val v, const Dim *at);
LVal kernel_load(Kernel *, LVal pointer, DType, Dim offset);                   /* decodes; offset in elements */
void kernel_store(Kernel *, LVal pointer, DType, Dim offset, LVal value);      /* encodes; under k->mask */
/* Where result r (its value or a chain of views of it) of the element `at` of v lies: follows reshape, permute and slices that
 * keep what comes first, or surely this element, forwards.  The elements that a slice keeps are those of which the facts
 * hold. */
typedef struct Kept {
    Fact facts[MAX_RANK];
    uint32_t n;
    bool none;               /* they surely do not hold */
} Kept;
bool kernel_forward(Kernel *, Val from, Val to, const Dim *at, Dim *out_at, Kept *);
/* Loop over [0, extent) with a symbol bound to the index and the facts 0 <= i < extent in scope. */
typedef struct KernelLoop { LFor loop; Scope scope; Fact facts[2]; uint32_t memo, symbols, index; } KernelLoop;
Dim kernel_loop(Kernel *, KernelLoop *, LVal begin, LVal end, Dim extent, int64_t step, LVal *carried, uint32_t n);
void kernel_loop_end(Kernel *, KernelLoop *, LVal *carried, uint32_t n);
/* The index of element `linear` of dims[n], one fresh symbol an axis (bound by division), with facts at[i] < dims[i]. */
void kernel_split(Kernel *, Dim linear, const Dim *dims, uint32_t n, Dim *at, Fact *facts);
/* Facts for the time of a block. */
typedef struct KernelScope { const Scope *outer; Scope scope; uint32_t memo, symbols, index; } KernelScope;
void kernel_enter(Kernel *, KernelScope *, const Fact *facts, uint32_t n);
void kernel_leave(Kernel *, KernelScope *);
/* Elements [lo, hi) of dims[n], one after the other: a kernel's share of its range.  at: the element's index, in scope. */
typedef struct KernelTasks { KernelLoop loop; KernelScope scope; Fact facts[MAX_RANK + 1]; } KernelTasks;
void kernel_tasks(Kernel *, KernelTasks *, LVal lo, LVal hi, const Dim *dims, uint32_t n, Dim *at);
void kernel_tasks_end(Kernel *, KernelTasks *);
/* Runs fill(k, user, i + lane) over [0, extent) in full vectors and a masked tail; carried as in l_for. */
typedef void KernelVectorFn(Kernel *, void *user, Dim at, LVal *carried);
void kernel_vector_loop(Kernel *, Dim extent, uint32_t lanes, LVal *carried, uint32_t n, KernelVectorFn *, void *user);
/* The same over a part of it: from a multiple of lanes to another, or to the extent and beyond. */
typedef struct KernelSpan { LVal begin, end; } KernelSpan;
void kernel_vector_range(Kernel *, const KernelSpan *, Dim extent, uint32_t lanes, LVal *carried, uint32_t n, KernelVectorFn *,
                         void *user);
/* Sixteen vectors of sixteen: lane j of v[i] and lane i of v[j] change places. */
void lanes_transpose(LoopBuilder *, LVal *v);
/* Where the condition (scalar) holds: records position, value and limit, and ends the kernel with the status. */
void kernel_fail(Kernel *, LVal condition, ingot_status, LVal position, LVal value, LVal limit);

/* ---- reduce.c: reductions inside an element ----------------------------------------------------------------------- */

LVal kernel_reduce(Kernel *, Val reduction, const Dim *at);
LVal reduce_identity(Kernel *, Op, DType compute, uint32_t lanes);
LVal reduce_combine(Kernel *, Op, LVal a, LVal b);
LVal reduce_lanes(Kernel *, Op, LVal vector);
/* A reduction in steps, where its order is of sixteen lanes and at[] is uniform: the lanes' sums over a row; those of no
 * element; sums with x taken in; the value that the combination of all lanes (reduce_combine, vectors of several rows too)
 * stands for. */
LVal reduce_accumulate(Kernel *, Val reduction, const Dim *at);
LVal reduce_nothing(Kernel *, Val reduction);
LVal reduce_take(Kernel *, Val reduction, LVal sums, LVal x);
LVal reduce_finished(Kernel *, Val reduction, LVal combined);

/* ---- contract.c: contractions inside an element ------------------------------------------------------------------- */

LVal kernel_contract(Kernel *, Val dot_or_conv, const Dim *at);
LVal contract_step(LoopBuilder *, bool fused, LVal x, LVal w, LVal acc);   /* acc + x * w */
void row_index(Kernel *, Dim linear);                                      /* row.c */

/* ---- kernel.c: one kernel node as a function ------------------------------------------------------------------------ */

/* Arguments of a kernel after lo, hi, worker: pointers of the body's parameters, of its results, then where needed the base
 * of failure records, the place of the found extent, the base of scratch and its bytes per worker, the number of the loop's
 * step, then the symbols' values. */
typedef struct KernelInfo {
    LFunc *func;
    bool fails, scratches;
    bool turns;              /* takes the number of the loop's step */
    Symbol found;            /* the extent that the kernel finds while running, or 0 */
    Dim scratch_bytes;       /* per worker; an upper bound in input symbols */
    Dim range;               /* extent to launch over */
    Dim elements;            /* of the first result, that are stored */
    uint32_t n_symbols;
    const Symbol *symbols;
} KernelInfo;
/* What a schedule makes of a body, before there is code: all but func. */
KernelInfo kernel_info(LoopModule *, const Graph *body, const Schedule *);
/* aliased: a result may lie where an operand does (same elements at the same offsets). */
typedef struct KernelText { const char *name, *comment; bool aliased; } KernelText;
void kernel_write(LoopModule *, const Graph *body, const Schedule *, const KernelText *, KernelInfo *);
KernelInfo lower_kernel(LoopModule *, const Graph *body, const Schedule *, const char *name, const char *comment, bool aliased);

/* ---- templates ---------------------------------------------------------------------------------------------------- */

/* Each writes the kernel's loops over [lo, hi) of its parallel range; range gives that range's extent. */
typedef struct TemplateInfo {
    void (*lower)(Kernel *, LVal lo, LVal hi);
    Dim (*range)(Kernel *);              /* extent of the parallel range */
    Dim (*scratch)(Kernel *);            /* bytes per worker at upper bounds; 0: none */
} TemplateInfo;
#define TEMPLATE(name, ...)                                                                                            \
    void lower_##name(Kernel *, LVal lo, LVal hi);                                                                     \
    Dim range_##name(Kernel *);                                                                                        \
    Dim scratch_##name(Kernel *);
#include "templates.def"
