/* program.h: shared by the files that write the host program: host.c (launches), host_bind.c (symbols and guards),
 * host_plan.c (offsets).
 */
#pragma once
#include "host.h"
#include "lower.h"
#include "ingot_frame.h"

typedef struct ConstPlace { Const data; uint64_t offset; } ConstPlace;
/* One kernel of the host program: by tier its schedule, and what that came to; parameters are the same for all. */
typedef struct KernelEntry {
    const Graph *body;
    bool aliased;
    const char *name;
    Schedule schedule[MAX_TIERS];
    KernelInfo info[MAX_TIERS];
} KernelEntry;
typedef struct GraphBase { const Graph *g; uint32_t first; } GraphBase; /* index of its first buffer in offsets */
typedef struct Program {
    Context *cx;
    Arena *arena;
    LoopModule *m;
    HostFacts *facts;
    VEC(ConstPlace) constants;
    uint64_t weights_bytes;
    VEC(KernelEntry) kernels;
    VEC(GraphBase) bases;
    Dim scratch;             /* largest need of a worker */
    LoopBuilder *b;          /* of the function being written */
    LVal frame;
    LVal *symbols;           /* by symbol id: value in this function, 0: not bound */
} Program;

const char *program_name(Program *, const char *suffix);
LVal program_estimate(Program *, Dim);               /* f64, at least |d| and all values on the way to it: tells overflow */
LVal program_dim(Program *, Dim);                    /* i64 of a dim over bound symbols */
uint32_t program_symbol_index(Program *, Symbol);    /* in the frame's order */
uint32_t program_base(Program *, const Graph *);
void program_bind(Program *, const Graph *);
/* host_kernel.c */
const KernelEntry *program_kernel(Program *, const Graph *, const Node *); /* written where it is new */
void program_kernels(Program *, const Graph *);      /* all of a graph's */
LVal program_extent(Program *, const KernelEntry *, LVal tier); /* to launch over; tier: the frame's, where there are several */
LVal program_pieces(Program *, const KernelEntry *, LVal tier); /* most that the extent may be cut into */
/* host_profile.c */
void program_declare_profile(Program *);
LVal program_launch_begins(Program *);               /* when; 0: nobody observes */
void program_launch_ended(Program *, const Graph *, const Node *, const KernelEntry *, LVal begin);
/* host_guard.c */
bool program_guard_is_late(Program *, const Guard *); /* mentions a size found while running */
LVal program_guard(Program *, const Guard *, LVal *x, LVal *y); /* whether it holds, and the two values compared */
/* Checks those of g's guards that are decidable here and not yet checked. */
void program_late_guards(Program *, const Graph *, bool region, bool *checked, LVal fail);
void program_plan(Program *, const Graph *);
