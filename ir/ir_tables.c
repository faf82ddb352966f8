/* ir_tables.c: hangs the interning tables of ir/ on a Context.
 *
 * Invariants: made once per Context, in its arena; a sub-table is NULL until the file that owns it needs it.
 */
#include "ir_tables.h"

IrTables *ir_tables(Context *cx) {
    if (!cx->ir) cx->ir = arena_alloc(cx->arena, sizeof *cx->ir);
    return cx->ir;
}
