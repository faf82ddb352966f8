/* row.h: what the files of template `row` share: row.c (one row after the other, or sixteen at a time) and row_behind.c (a row
 * is stored while the next is reduced).  Private to them.
 */
#pragma once
#include "lower.h"

typedef struct Rows {
    const TypeInfo *full;
    uint32_t outer;          /* number of outer axes */
    Dim inner;               /* extent of a row */
    Dim at[MAX_RANK];
} Rows;

/* One step of the pass that stores a result: a KernelVectorFn. */
typedef struct Pass { Rows *rows; uint32_t result; } Pass;
void row_store_step(Kernel *, void *pass, Dim linear, LVal *carried);
/* v is one value a row: at the row's index, with 0 for axes of extent 1 behind the outer ones. */
bool row_value_at(Kernel *, const Rows *, Val v, Dim *at);
/* What is made of the reductions before node `end` alone, so that the loops over a row find it. */
void row_values(Kernel *, const Rows *, uint32_t end);
/* Operands as large as the rows, a row further on: while this row is computed or stored, the next comes in from memory. */
void row_fetch_next(Kernel *, const Dim *at);
uint32_t row_fetching_pass(Kernel *, const Rows *);
void row_end_pass(Kernel *);
void row_result(Kernel *, Rows *, uint32_t result); /* stores it: a row, or one value of it */

bool row_stores_behind(Kernel *, const Rows *);
void row_lower_behind(Kernel *, const Rows *, LVal lo, LVal hi);
