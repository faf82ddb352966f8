/* scalar_ops.h: what the elementwise_*.c share: the prototypes of the column lanes_<op>, from ops.def. */
#pragma once
#include "loop.h"
#include "ops.h"

#define COLUMN_NONE(op)
#define SOURCE   COLUMN_NONE
#define EW(op)   ScalarFn lanes_##op;
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
#undef COLUMN_NONE
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

/* The dtype of operand i; of the result. */
static inline DType in_dtype(const Graph *g, const Node *n, uint32_t i) { return val_dtype(g, n->in[i]); }
static inline DType out_dtype(const Graph *g, const Node *n) { return type_info(g->cx, n->type)->dtype; }

/* A constant of x's type. */
static inline LVal number_like(LoopBuilder *b, LVal x, double value) {
    LType t = loop_type(b, x);
    return dtype_is_float((DType)t.dtype) ? l_float(b, t, value) : l_int(b, t, (int64_t)value);
}
