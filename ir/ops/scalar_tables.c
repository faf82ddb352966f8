/* scalar_tables.c: the Loop-IR column of elementwise ops, from ops.def: a row without its function does not link. */
#include "scalar_ops.h"

#define COLUMN_NONE(op)
#define SOURCE   COLUMN_NONE
#define EW(op)   [OP_##op] = lanes_##op,
#define VIEW     COLUMN_NONE
#define INDEXED  COLUMN_NONE
#define REDUCE   COLUMN_NONE
#define CONTRACT COLUMN_NONE
#define ANCHOR   COLUMN_NONE
#define CONTROL  COLUMN_NONE
#define MACRO    COLUMN_NONE
#define GROUP    COLUMN_NONE
ScalarFn *const scalar_fn[OP_COUNT] = {
#define OP(name, operands, kind, ...) kind(name)
#include "ops.def"
};
