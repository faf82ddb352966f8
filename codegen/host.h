/* host.h: what lowering a whole graph leaves for the artifact's interface, beside the Loop module itself.
 *
 * Generated functions of a module named N (hidden; reached through its descriptor):
 *   N_bind(frame) -> i32      symbols from input dims (and elements), guards; 0, or 1 + the number of the failed guard, with
 *                             the two compared values in fail[1], fail[2]
 *   N_plan(symbols, offsets) -> i64   arena bytes at these (upper) symbol values, or -1 on overflow; writes
 *                             offsets[0..n_offsets) and, at offsets[n_offsets], scratch bytes per worker.  Monotone.
 *   N_main(frame) -> i32      the host program: launches; 0 or an ingot_status, then fail[0] is the launch's number and
 *                             fail[1..3] position, value, limit
 * The frame's slots: include/ingot_frame.h.
 */
#pragma once
#include "loop.h"

/* A kernel's function and template. */
typedef struct LaunchFact { const char *function, *kind; } LaunchFact;

typedef struct HostFacts {
    bool profile;                  /* given, not found: launches report what they take */
    VEC(Symbol) symbols;           /* in the frame's order: INPUT symbols (public) first, then FOUND ones */
    uint32_t n_input_symbols;
    VEC(const char *) guards;      /* by number: first byte the status, then the message, two %d for the values compared */
    VEC(const char *) launches;    /* the model's nodes behind launch number i */
    VEC(LaunchFact) launch_facts;  /* the same, where there is a profile */
    VEC(int64_t) output_offset;    /* per output: -1 written in place, else index into offsets: run copies it out */
    uint32_t n_offsets;
} HostFacts;

/* A planned graph as a Loop module; facts is filled. NULL after a diagnostic. codegen/lower/host.c */
LoopModule *lower_graph(Context *, const Graph *, const char *name, const Tiers *, HostFacts *facts);
