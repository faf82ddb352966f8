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
