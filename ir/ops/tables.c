/* tables.c: the columns of ops.def that the Graph IR's semantics consist of, built by re-including the table.
 *
 * Each kind fills the columns it owes and leaves the others NULL; a row whose function is missing does not link.
 * scalar_fn, the Loop-IR column of EW, stands in scalar_tables.c.
 */
#include "ops.h"

#define COLUMN_NONE(op)
#define REF(op)     [OP_##op] = ref_##op,
#define EVAL(op)    [OP_##op] = eval_##op,
#define INDEX(op)   [OP_##op] = index_##op,
#define REDUCER(op) [OP_##op] = &reducer_##op,
#define EXPAND(op)  [OP_##op] = expand_##op,

RefFn *const ref_fn[OP_COUNT] = {
#define SOURCE   COLUMN_NONE
#define EW       REF
#define VIEW     COLUMN_NONE
#define INDEXED  COLUMN_NONE
#define REDUCE   COLUMN_NONE
#define CONTRACT COLUMN_NONE
#define ANCHOR   COLUMN_NONE
#define CONTROL  COLUMN_NONE
#define MACRO    COLUMN_NONE
#define GROUP    COLUMN_NONE
#define OP(name, operands, kind, ...) kind(name)
#include "ops.def"
};

#undef EW
#undef REDUCE
#undef MACRO
#define EW     COLUMN_NONE
#define REDUCE REDUCER
#define MACRO  COLUMN_NONE
const Reducer *const reducer_of[OP_COUNT] = {
#define OP(name, operands, kind, ...) kind(name)
#include "ops.def"
};

#undef REDUCE
#undef MACRO
#define REDUCE COLUMN_NONE
#define MACRO  EXPAND
ExpandFn *const expand_fn[OP_COUNT] = {
#define OP(name, operands, kind, ...) kind(name)
#include "ops.def"
};

#undef VIEW
#undef INDEXED
#undef MACRO
#define VIEW    INDEX
#define INDEXED INDEX
#define MACRO   COLUMN_NONE
IndexFn *const index_fn[OP_COUNT] = {
#define OP(name, operands, kind, ...) kind(name)
#include "ops.def"
};

#undef SOURCE
#undef EW
#undef VIEW
#undef INDEXED
#undef REDUCE
#undef CONTRACT
#undef ANCHOR
#undef CONTROL
#undef MACRO
#undef GROUP
#define SOURCE       EVAL
#define EW(op)       [OP_##op] = eval_elementwise,
#define VIEW         EVAL
#define INDEXED      EVAL
#define REDUCE(op)   [OP_##op] = eval_reduction,
#define CONTRACT     EVAL
#define ANCHOR       EVAL
#define CONTROL      EVAL
#define MACRO(op)    [OP_##op] = eval_macro,
#define GROUP        EVAL
EvalFn *const eval_fn[OP_COUNT] = {
#define OP(name, operands, kind, ...) kind(name)
#include "ops.def"
};
