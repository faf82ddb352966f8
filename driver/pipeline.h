/* pipeline.h: the compiler on one page: which passes run in which order, and the aids around them.  Private to driver/.
 */
#pragma once
#include "frontend.h"
#include "passes.h"
#include "codegen.h"
#include "host.h"

typedef void PipelineTextFn(void *user, const char *title, const char *text); /* text of a graph; length may be large */
typedef struct PipelineOptions {
    const Tiers *tiers;
    const char *print_after;     /* a pass, "all", or NULL */
    const char *stop_after;      /* a pass or NULL */
    const char *passes;          /* exactly these, by commas, instead of the pipeline; or NULL */
    const char *schedule_file, *schedule; /* overrides, applied behind pass schedule; or NULL */
    size_t schedule_bytes;
    const char *dump_folder;     /* receives NN-pass.graph, with constants in NN-pass.graph.bin; or NULL */
    PipelineTextFn *print;       /* receives what print_after, time_passes and check_each have to say */
    void (*progress)(void *user, const char *stage, const Graph *before);
    void *user;
    bool verify_each, check_each, time_passes;
    bool fast;                   /* numerics fast: passes rescale and winograd run */
    bool bf16;                   /* precision bf16: pass narrow runs */
} PipelineOptions;

/* The names in them; false after a diagnostic. */
bool pipeline_check(Context *, const PipelineOptions *);
/* The graph after all passes (or after stop_after). NULL after a diagnostic. */
const Graph *pipeline_graph(Context *, const Graph *, const PipelineOptions *);

/* ---- check.c --------------------------------------------------------------------------------------------------------- */

/* Seeded inputs for a graph's parameters at the symbols' hints (small where there are none): floats of order 1, small
 * integers.  symbols may give values by id (0: choose).  Arena memory. */
typedef struct RandomInputs { Tensor *tensors; uint32_t n; } RandomInputs;
bool random_inputs(Context *, Arena *, const Graph *, const int64_t *symbols, uint64_t seed, RandomInputs *out);
/* Largest difference of two results relative to 1 + |expected|; dims and dtype must agree, NaN equals NaN. -1: they differ in
 * kind. */
double tensor_distance(const Tensor *a, const Tensor *b);
/* Interprets both graphs on the same inputs; false after a diagnostic that names the pass. */
bool check_pass(Context *, const Graph *before, const Graph *after, const char *pass);
