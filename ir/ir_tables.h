/* ir_tables.h: the interning tables of one Context, private to ir/.
 *
 * cx->ir points at an IrTables, made on first use.  Each sub-table belongs to one family of files, which makes it on its
 * own first use and alone knows its layout: dims to dim*.c and prove.c, types to type.c, consts to constant.c.
 */
#pragma once
#include "ir.h"

struct DimTable;
struct TypeTable;
struct ConstTable;

typedef struct IrTables {
    struct DimTable *dims;
    struct TypeTable *types;
    struct ConstTable *consts;
} IrTables;

IrTables *ir_tables(Context *);

/* constant.c, for constant_view.c: interns a view; keeps the elements of one. */
Const const_of_view(Context *, DType, Encoding, uint64_t elements, const ConstView *);
const void *const_keep(Context *, Const, const void *data);
