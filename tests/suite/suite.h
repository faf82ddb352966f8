/* suite.h: the parts of onnx_suite: one case in one mode through one backend, and what is reported of it.
 *
 * Stands on top of everything but driver/'s command line: import, pipeline, lowering, printers, code in memory.
 */
#pragma once
#include "pipeline.h"
#include <stdio.h>

typedef enum Backend { BACKEND_INTERP, BACKEND_LOOP, BACKEND_LLVM, BACKEND_C, BACKENDS } Backend;
typedef enum Mode { MODE_GIVEN, MODE_SYMBOLIC, MODE_CONSTANT, MODES } Mode;
extern const char *const backend_names[BACKENDS], *const mode_names[MODES];

typedef enum Outcome { PASS, UNSUPPORTED, FAIL, CRASH, OUTCOMES } Outcome;
typedef struct Report {
    int32_t outcome;         /* Outcome */
    int32_t sets;            /* data sets that were run */
    char op[64];             /* the operator that the case is about */
    char text[400];          /* of what is not PASS */
} Report;
typedef struct Case {
    const char *folder;      /* holds model.onnx and test_data_set_<i> */
    const char *second;      /* holds input_<i>.pb and output_<i>.pb at other extents; may be absent */
    Backend backend;
    Mode mode;
    const char *target;      /* of compiled backends */
    const char *cc;          /* of backend c: a compiler's name, or NULL for libtcc */
    bool verbose;            /* graphs and diagnostics on stderr */
} Case;

/* suite_case.c: fills the report; never returns by unwinding. */
void case_run(const Case *, Report *);

/* suite_execute.c: a compiled graph, and runs of it. */
typedef struct Program Program;
/* NULL after a diagnostic. */
Program *program_make(Context *, const Graph *, const Case *);
/* Outputs (one per result, arena memory) at their actual extents.  false after a diagnostic. */
bool program_run(Program *, const Tensor *inputs, uint32_t n_inputs, Tensor *outputs);

/* suite_table.c: counts by operator, mode and backend. */
enum { TABLE_ROWS = 512 };
typedef struct TableRow { char op[64]; unsigned count[MODES][BACKENDS][OUTCOMES]; } TableRow;
typedef struct Table { unsigned n; TableRow rows[TABLE_ROWS]; } Table;
typedef struct Totals { unsigned count[OUTCOMES], plain /* passes not _expanded */, second; double seconds; } Totals;
void table_add(Table *, const char *op, Mode, Backend, Outcome);
void table_print(Table *, FILE *, const bool modes[MODES], const bool backends[BACKENDS]);
void totals_print(Totals totals[MODES][BACKENDS], FILE *, const bool modes[MODES], const bool backends[BACKENDS]);
/* At least as good as the file records; says where not. */
bool totals_reach(const Totals *, const char *file, Mode, Backend);
