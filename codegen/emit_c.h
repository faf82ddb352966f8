/* emit_c.h: shared by the files of the C printer alone. */
#pragma once
#include "codegen.h"

/* The printer of one module.  Operations are defined in the text where first needed: `ops` collects these definitions. */
typedef struct CPrinter {
    Context *cx;
    Arena *arena;
    const LoopModule *m;
    const EmitC *options;
    Text ops, body;
    Map defined;             /* hash of a name -> 1 + index in names */
    VEC(const char *) names;
    uint64_t lanes_used;     /* these powers of two, or-ed */
    bool failed;
    bool has_data;           /* data is defined in this text */
    const LFunc *func;       /* being printed */
    const LInst **def;       /* by value id */
    int depth;
} CPrinter;

void c_prelude(Text *out);
/* emit_c_ops.c: names of types and operations, defined on first use. */
const char *c_type(CPrinter *, LType);
const char *c_element(DType);                       /* name of a scalar type */
const char *c_op(CPrinter *, LOp, LType operand, LType result);
bool c_is_integer_literal(CPrinter *, LVal);
void c_literal(CPrinter *, Text *, DType, const LInst *);
bool c_define(CPrinter *, const char *name);        /* true the first time */
/* emit_c_func.c */
void c_function(CPrinter *, const LFunc *);
void c_signature(CPrinter *, Text *, const LFunc *);
void c_use(CPrinter *, LVal);
/* emit_c_tile.c */
bool c_uses_tiles(const LBlock *);
void c_tile_op(CPrinter *, const LInst *);
/* emit_c_parts.c */
bool c_in_part(const CPrinter *, const LFunc *);
void c_choose_tier(const LoopModule *, Text *out);             /* defines INGOT_RT_TIER */
void c_join_variants(CPrinter *, Text *out);                   /* where a text is for one tier: names of variants */
bool c_guard_begin(CPrinter *, Text *out, const LFunc *);      /* true: #endif goes behind the function */
/* emit_c_data.c */
void c_data_declarations(CPrinter *, Text *);
void c_data_definitions(CPrinter *, Text *);
bool c_identifier(CPrinter *, const char *name);    /* reports names that are none in C */
