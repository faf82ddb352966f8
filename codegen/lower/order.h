/* order.h: what order.c and ranks.c share: the lines of an operand along one axis. */
#pragma once
#include "lower.h"

/* Lines of operand 0 along its axis: at[] has every axis but that one bound to loop values. */
typedef struct Lines {
    const Node *node;
    const TypeInfo *x;
    uint32_t axis;
    Dim at[MAX_RANK];
    KernelLoop loop;
    KernelScope scope;
    Fact facts[MAX_RANK];
} Lines;

/* ---- ranks.c: the best of a line, by keys --------------------------------------------------------------------------- */

bool ranks_by_keys(Kernel *, const Lines *);           /* its elements and places fit a key, and are worth making them */
Dim ranks_scratch(Kernel *, const Lines *);            /* bytes */
/* The places of the line's best `limit`, in order: as many i64 at the returned pointer, each in the low 32 bits. */
LVal ranks_of_line(Kernel *, Lines *, LVal limit);
