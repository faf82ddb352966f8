/* artifact.h: the artifact's interface: descriptor, typed functions, C header, and the runtime that goes with them.
 *
 * The ABI: include/ingot_rt.h; generated code and runtime: include/ingot_frame.h.  Like codegen.h, for codegen/ and above.
 */
#pragma once
#include "codegen.h"
#include "host.h"

/* ---- interface.c interface_sizes.c interface_data.c header_text.c ------------------------------------------------------- */

typedef enum WeightsPlace { WEIGHTS_EMBEDDED, WEIGHTS_OUTSIDE } WeightsPlace;
/* As ingot_rt_test has it (ingot_frame.h). */
typedef struct SelfTest { uint64_t seed, hash; const int64_t *dims, *output_bytes, *sets; uint32_t n_dims, n_sets; } SelfTest;
typedef struct InterfaceOptions {
    const char *model_file;     /* for the header's first line, without folders; NULL: the module's name */
    const char *licence, *numerics, *precision; /* NULL: "", "strict", "f32" */
    uint8_t model_sha256[32];
    uint64_t weights_layout;    /* hash of how weights are packed; 0: of the weights themselves */
    WeightsPlace weights;       /* outside: the runtime loads them (weights.c) */
    bool threads;               /* also sets the module's note "threads" */
    bool bare;                  /* no malloc: contexts live in the caller's memory alone */
    const SelfTest *tests;
    uint32_t n_tests;           /* 0: no self-test */
    bool profile;               /* as the facts were made: launches report what they take */
    bool shared;                /* exports ingot_model_v1 as well */
} InterfaceOptions;
/* Adds to the module: N_init, N_measure, N_layout, N_start, N_enter, N_query; the data N_private and N_public; the typed
 * functions N_memory_bytes, N_create, N_destroy, N_reserve, N_run, N_model; declarations of the runtime's functions;
 * notes "header" (the C text), "threads", "exports" (names by spaces).  g: the graph that lower_graph was given. */
NODISCARD bool artifact_interface(LoopModule *, const Graph *, const HostFacts *, const InterfaceOptions *);

/* Names of the typed struct's members in order: input symbols, inputs, outputs, found symbols; unique C and C++ names. */
const char **interface_fields(Arena *, const LoopModule *, const Graph *, const HostFacts *, uint32_t *n);
typedef struct InterfaceFacts {  /* what the header says beside the options */
    uint32_t signature;
    int64_t memory_max;         /* -1: no bound */
    uint64_t weights_bytes;
    uint8_t weights_sha256[32];
    const char *features;       /* names by spaces */
} InterfaceFacts;
/* A header of a model of that name would not be C, or would not go with ingot_rt.h or a program. */
bool header_takes(const char *name);
const char *header_text(const LoopModule *, const Graph *, const HostFacts *, const InterfaceOptions *, const InterfaceFacts *);

/* ---- cpu_features.c ---------------------------------------------------------------------------------------------------- */

/* What the tiers need, in the order in which the runtime asks for it. */
const struct ingot_rt_feature *cpu_features(Arena *, const Tiers *, uint32_t *n);
bool cpu_can_check(Context *, const Tiers *);    /* false after a diagnostic: a feature that artifacts cannot ask for */
/* The highest that this machine runs; the lowest where it runs none. */
const Target *cpu_best(Arena *, const Tiers *);
/* This machine as --cpu may have it: its best tier and its caches' sizes, as far as it tells them; cpu_native.c. */
const char *cpu_native(Arena *);

/* ---- runtime.c: the runtime's parts ---------------------------------------------------------------------------------- */

typedef struct RuntimeUse {
    bool threads, weights, bare, tests, profile, grants;
} RuntimeUse; /* grants: some tier asks the system for state */
typedef struct RuntimeObject { const char *name; const uint8_t *bytes; size_t n; } RuntimeObject;
/* The objects of such an artifact, in a fixed order; the number written to *n. */
const RuntimeObject *runtime_objects(Arena *, RuntimeUse, uint32_t *n);
/* All of it as one C text of static functions, to put before an emitted module; and the functions it defines. */
const char *runtime_text(Arena *, RuntimeUse);
const char *const *runtime_functions(uint32_t *n);
const char *runtime_header(void);                /* the text of ingot_rt.h, written beside generated headers */
/* The runtime inside this process, for code loaded into it.  In the arena. */
const CodeSymbol *runtime_symbols(Arena *, uint32_t *n);

/* ---- elf_rename.c ------------------------------------------------------------------------------------------------------ */

/* A copy of a relocatable ELF64 object where symbols that begin with `from` begin with `to` instead.  NULL after a
 * diagnostic (no such object). */
const uint8_t *elf_rename(Context *, const uint8_t *object, size_t n, const char *from, const char *to, size_t *renamed);
