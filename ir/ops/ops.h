/* clang-format off
 * ops.h: what ir/ops/ shares inside itself, and with interp.c and fold.c: prototypes of the columns of ops.def, so that a
 * signature is checked and a missing function is a link error; and tensors as the evaluators see them.
 *
 * Evaluators take operands flattened: an operand of tuple type stands as one tensor per leaf, in order; results likewise.
 * Scalars of float dtypes are doubles already rounded to the dtype; integers are i64 or u64 within the value bits.
 */
#pragma once
#include "ir.h"

/* ---- prototypes, by kind ---------------------------------------------------------------------------------------------- */

#define ROW_SOURCE(op)   EvalFn eval_##op;
#define ROW_EW(op)       RefFn ref_##op;
#define ROW_VIEW(op)     IndexFn index_##op; EvalFn eval_##op;
#define ROW_INDEXED(op)  IndexFn index_##op; EvalFn eval_##op;
#define ROW_REDUCE(op)   extern const Reducer reducer_##op;
#define ROW_CONTRACT(op) EvalFn eval_##op;
#define ROW_ANCHOR(op)   EvalFn eval_##op;
#define ROW_CONTROL(op)  EvalFn eval_##op;
#define ROW_MACRO(op)    ExpandFn expand_##op;
#define ROW_GROUP(op)    EvalFn eval_##op;
#define OP(name, operands, kind, ...) ROW_##kind(name)
#include "ops.def"
#undef ROW_SOURCE
#undef ROW_EW
#undef ROW_VIEW
#undef ROW_INDEXED
#undef ROW_REDUCE
#undef ROW_CONTRACT
#undef ROW_ANCHOR
#undef ROW_CONTROL
#undef ROW_MACRO
#undef ROW_GROUP

/* Shared by all ops of a kind. */
EvalFn eval_elementwise, eval_reduction, eval_macro;

/* ---- interp.c --------------------------------------------------------------------------------------------------------- */

#define SYMBOL_UNBOUND INT64_MIN

/* The value of d under the interpreter's symbols; false (silently) where a symbol is unbound or arithmetic overflows. */
NODISCARD bool interp_try_dim(const Interp *, Dim d, int64_t *value);
/* The same with a diagnostic at ip->loc. */
NODISCARD bool interp_dim(const Interp *, Dim d, int64_t *value);
NODISCARD bool interp_dims(const Interp *, const Dim *dims, uint32_t n, int64_t *values);
/* d has turned out to be `value`: binds what d leaves open (and rebinds a data-dependent symbol); false after a
 * diagnostic where it contradicts.  what: for the message. */
NODISCARD bool interp_bind(Interp *, Dim d, int64_t value, const char *what);
/* Runs a closed function on flattened operands; out: flattened results. */
NODISCARD bool interp_graph(Interp *, const Graph *, const Tensor *inputs, uint32_t n_inputs, Tensor *out);
uint32_t type_leaves(Context *, Type);   /* tensors in a type: 1, or the sum over a tuple's elements */

/* ---- tensor.c --------------------------------------------------------------------------------------------------------- */

/* A fresh dense tensor of the type (not a tuple), its dims evaluated; zeroed. */
NODISCARD bool tensor_new(const Interp *, Type, Tensor *out);
NODISCARD bool tensor_alloc(const Interp *, DType, uint32_t rank, const int64_t *dims, Tensor *out);
Tensor tensor_splat(DType, uint32_t rank, const int64_t *dims, Scalar);
/* The same values in memory; itself where it is dense already. */
NODISCARD bool tensor_dense(const Interp *, const Tensor *, Tensor *out);
void tensor_strides(const Tensor *, int64_t strides[MAX_RANK]); /* row-major, in elements */
void tensor_load(const Tensor *, int64_t from, uint32_t n, Scalar *to);
void tensor_store(Tensor *, int64_t to, uint32_t n, const Scalar *from); /* rounds and wraps to the dtype */
int64_t product_of(const int64_t *extents, uint32_t n);

/* One side of a copy: elements base + sum index * stride. */
typedef struct Strided { uint8_t *at; int64_t stride[MAX_RANK]; } Strided;
/* Copies a box of `rank` extents element by element; strides in elements of `bytes`. */
void strided_copy(int64_t bytes, uint32_t rank, const int64_t *extents, Strided to, Strided from);
Strided strided_of(const Tensor *);      /* dense */
/* Next index in row-major order; false after the last. */
bool index_next(const int64_t *extents, uint32_t rank, int64_t *index);
/* Checks a run-time index against [0, extent): a diagnostic at ip->loc names the position in `indices`. */
NODISCARD bool index_check(const Interp *, const Node *, const Tensor *indices, int64_t position, int64_t value,
                           int64_t extent);
int64_t tensor_int(const Tensor *, int64_t i); /* an element of an integer or bool tensor, as i64 (saturating) */

/* ---- reduce.c --------------------------------------------------------------------------------------------------------- */

const Reducer *reducer_by_combine(const char *combine); /* add mul min max; NULL for set */
bool scalar_is_nan(DType, Scalar);
bool scalar_less(DType, Scalar, Scalar); /* false where one is NaN */

/* ---- contract.c ------------------------------------------------------------------------------------------------------- */

/* The second operand of a contraction as [batch or taps][k][cols], whatever its encoding. */
NODISCARD bool contract_decode(Interp *, const Tensor *w, int64_t batch, int64_t taps, int64_t k, int64_t cols, Tensor *out);
