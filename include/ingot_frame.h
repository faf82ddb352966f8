/* ingot_frame.h: the private ABI between generated code and the runtime linked with it.
 *
 * Both sides of one artifact are always made by the same compiler: nothing here is versioned.  The compiler takes offsets
 * from these structs with offsetof, so generated code and runtime agree by construction.  64-bit machines.
 *
 * A frame is a context, seen as 8-byte slots: its address is the `context` argument of generated functions, and FRAME_X is
 * the slot of its member x.  N_bind, N_plan and N_main: codegen/host.h.  The other functions that the descriptor points to
 * are written by codegen/interface*.c.
 */
#ifndef INGOT_FRAME_H
#define INGOT_FRAME_H
#include "ingot_rt.h"

/* Members that point into the context itself are set by ingot_rt_model.init, which knows the lengths of these arrays. */
struct ingot_context {
    const struct ingot_rt_model *m;
    const ingot_call *call;        /* of the run */
    void *work;                    /* what a reservation lies in: behind the arrays, or `own` */
    void *own;                     /* allocated, or NULL */
    uint64_t bytes;                /* that a reservation may need, as measure counts */
    int64_t lends;                 /* 1: the context allocates, and lends memory for outputs */
    int64_t tier;                  /* which of the artifact's CPU tiers runs, 0 the lowest */
    int64_t pool;                  /* workers that scratch is reserved for, >= 1 */
    int64_t workers;               /* those allowed in this run, >= 1 */
    int64_t *fail;                 /* launch, position, value, limit; the same record as `fails` of worker 0 */
    int64_t *bounds;               /* the reservation's sizes + 1; 0: none */
    int64_t *wanted;               /* the next reservation */
    const ingot_parallel *parallel; /* or NULL */
    const uint8_t *weights;        /* 64-aligned */
    ingot_weights *held;
    int64_t traced, traced_ns; /* 1 + the launch that runs, or 0: none, and since when */
    int64_t *symbols;              /* input symbols, then found ones, which N_main writes */
    int64_t *offsets;              /* as N_plan wrote them */
    int64_t *input_dims;           /* of all inputs, one after the other */
    void **inputs;
    void **outputs;                /* where N_main writes; unspecified for outputs that are copied out of the arena */
    int64_t *fails;                /* a record per worker, FRAME_FAIL_SLOTS apart; kernels write [1..3] */
    uint8_t *arena, *scratch;      /* 64-aligned */
    int64_t scratch_bytes;         /* per worker, a multiple of 64 */
    void **places;                 /* what the reservation has to lend, per output; NULL: nothing */
    void **lent;                   /* what run lent last, per output */
    int64_t *typed;                /* ingot_call, inputs, outputs: the call that N_run makes of its struct */
};
/* One of those that run together. */
struct ingot_rt_kernel {
    int32_t (*task)(void *args, int64_t lo, int64_t hi, int64_t worker);
    void *args;
    int64_t n, pieces;
};
enum { FRAME_TOGETHER = sizeof(struct ingot_rt_kernel) / 8, FRAME_MAX_TOGETHER = 8 };
#define INGOT_RT_SLOT(member) (offsetof(struct ingot_context, member) / 8)
enum {
    FRAME_CALL = INGOT_RT_SLOT(call),
    FRAME_WORK = INGOT_RT_SLOT(work),
    FRAME_LENDS = INGOT_RT_SLOT(lends),
    FRAME_TIER = INGOT_RT_SLOT(tier),
    FRAME_POOL = INGOT_RT_SLOT(pool),
    FRAME_WORKERS = INGOT_RT_SLOT(workers),
    FRAME_FAIL = INGOT_RT_SLOT(fail),
    FRAME_BOUNDS = INGOT_RT_SLOT(bounds),
    FRAME_WANTED = INGOT_RT_SLOT(wanted),
    FRAME_PARALLEL = INGOT_RT_SLOT(parallel),
    FRAME_WEIGHTS = INGOT_RT_SLOT(weights),
    FRAME_SYMBOLS = INGOT_RT_SLOT(symbols),
    FRAME_OFFSETS = INGOT_RT_SLOT(offsets),
    FRAME_INPUT_DIMS = INGOT_RT_SLOT(input_dims),
    FRAME_INPUTS = INGOT_RT_SLOT(inputs),
    FRAME_OUTPUTS = INGOT_RT_SLOT(outputs),
    FRAME_FAILS = INGOT_RT_SLOT(fails),
    FRAME_ARENA = INGOT_RT_SLOT(arena),
    FRAME_SCRATCH = INGOT_RT_SLOT(scratch),
    FRAME_SCRATCH_BYTES = INGOT_RT_SLOT(scratch_bytes),
    FRAME_PLACES = INGOT_RT_SLOT(places),
    FRAME_LENT = INGOT_RT_SLOT(lent),
    FRAME_TYPED = INGOT_RT_SLOT(typed),
    FRAME_SLOTS = sizeof(struct ingot_context) / 8
};
enum { FRAME_FAIL_SLOTS = 4, FRAME_MAX_WORKERS = 256 };

/* A context of a build with a profile: its arrays lie behind this. */
typedef struct ingot_rt_observed {
    struct ingot_context context;
    ingot_observer observer;
    void *user;
} ingot_rt_observed;
enum { WORK_FLOPS, WORK_READ, WORK_WRITTEN, WORK_WEIGHTS, WORK_SLOTS }; /* as in ingot_launch */

/* A feature of the CPU that tiers need (bit t of `tiers`): a bit of eax, ebx, ecx or edx (reg 0..3) of a cpuid leaf,
 * ascending by leaf and subleaf.  Leaf INGOT_RT_SAVED: a bit of XCR0, register state that the operating system saves; these
 * come last.
 * There reg INGOT_RT_GRANTED: what it saves once it was asked to, which the check does (in builds with INGOT_RT_GRANTS). */
#define INGOT_RT_SAVED 0xffffffffu
enum { INGOT_RT_GRANTED = 1 };
typedef struct ingot_rt_feature {
    uint32_t leaf;
    uint8_t reg, bit, tiers, subleaf;
    const char *name;
} ingot_rt_feature;

/* A run that can be repeated: inputs by seed and dims (of all inputs, one after the other), then elements that are set:
 * triples of input, element, bits; capacities of the outputs, and the hash of what came out. */
typedef struct ingot_rt_test {
    uint64_t seed, hash;
    const int64_t *dims, *output_bytes, *sets;
    uint64_t n_sets;
} ingot_rt_test;

/* What the runtime knows of a model.  `sizes` are symbols of inputs.  A guard that fails is answered as ~number, with the
 * values that its message names in `fail`: the launch's number for %s, then those for %d. */
typedef struct ingot_rt_model {
    void (*init)(void *frame);        /* zeroed but for bytes and lends: all that does not depend on sizes */
    /* Bytes of a context as wide as `pool`, and with memory to lend if it `lends`; or a guard: sizes out of range, or too
     * large to count.  Below 2^62, with the memory of every tensor. */
    int64_t (*measure)(const int64_t *sizes, void *frame);
    void (*layout)(const int64_t *sizes, void *frame); /* a reservation of measured sizes in `work` */
    /* Takes the call's inputs, whose memory is known to suffice for their own dims.  0: symbols, the outputs' dims (found
     * ones 0) and lent memory are set; 1: the reservation is too small, `wanted` would do; or a guard. */
    int32_t (*start)(void *frame);
    /* 0 or a guard: N_main failed, or an output is too small for what was found: all dims are exact then. */
    int32_t (*main)(void *frame);
    /* The highest tier below `end` that this machine runs, or a negative status.  NULL: one tier, the baseline. */
    const ingot_tensor_info *const *tensors; /* inputs, then outputs */
    const char *const *guards;        /* by number: a status as first byte, then a text */
    const char *const *launches;      /* the model's nodes by number of the launch */
    const ingot_rt_feature *features;
    const char *name;
    uint32_t n_inputs, n_outputs;     /* side by side as in ingot_call */
    uint32_t n_symbols, fixed_bytes;  /* context with its arrays, a multiple of 64 */
    uint32_t n_features, n_tiers;
    uint32_t max_workers, reserved;
    uint64_t weights_bytes, weights_layout; /* weights of this layout fit */
    const void *weights;              /* embedded ones, or NULL */
    const ingot_rt_test *tests;
    uint64_t n_tests;
} ingot_rt_model;

/* How the weights travel outside of the artifact: this header, then the packed bytes. */
typedef struct ingot_rt_weights_header {
    uint8_t magic[8];    /* "INGOTWT1" */
    uint64_t bytes, layout, reserved;
    uint8_t sha256[32];  /* of the bytes */
} ingot_rt_weights_header;

/* ---- the runtime's functions: hidden, one prefix ------------------------------------------------------------------- */

#ifndef INGOT_RT_API
#if defined(__GNUC__) && !defined(__TINYC__)
#define INGOT_RT_API __attribute__((visibility("hidden")))
#else
#define INGOT_RT_API
#endif
#endif
/* rt.c: the functions of ingot_model that every artifact has; typed functions are written over them by the compiler */
INGOT_RT_API ingot_status ingot_rt_query(const ingot_model *, uint32_t entry, const int64_t *sizes, ingot_plan *,
                                         ingot_error *);
INGOT_RT_API ingot_status ingot_rt_create(const ingot_model *, const ingot_options *, ingot_context **, ingot_error *);
INGOT_RT_API void ingot_rt_destroy(ingot_context *);
INGOT_RT_API ingot_status ingot_rt_reserve(ingot_context *, uint32_t entry, const int64_t *sizes, ingot_error *);
INGOT_RT_API ingot_status ingot_rt_run(ingot_context *, const ingot_call *, ingot_error *);
/* cpu.c */
INGOT_RT_API int32_t ingot_rt_cpu(const ingot_rt_model *, uint32_t end, ingot_error *);
/* error.c: format: the code as first character, then text: %s is the name, %d the next of the values.  Returns the code. */
INGOT_RT_API ingot_status ingot_rt_error(ingot_error *, const char *format, const char *name, int64_t, int64_t, int64_t);
/* launch.c, threaded builds: cuts [0, n) into at most `pieces` ranges and runs them.  0, or the status of the lowest range
 * that failed, with its record in FAILS of worker 0: what a serial run would have met first. */
INGOT_RT_API int32_t ingot_rt_launch(void *frame, int32_t (*task)(void *args, int64_t lo, int64_t hi, int64_t worker),
                                     void *args, int64_t n, int64_t pieces);
/* The same for n kernels, at most FRAME_MAX_TOGETHER, none of which touches what another writes: one fork and join for all.
 * kernels: a struct ingot_rt_kernel each. */
INGOT_RT_API int32_t ingot_rt_launch_together(void *frame, const void *kernels, int64_t n);
/* step.c: N_main calls it before launch number k: 0, or INGOT_E_CANCELLED; reports times to the call's trace. */
INGOT_RT_API int32_t ingot_rt_step(void *frame, int64_t launch);
/* profile.c, builds with a profile.  N_main calls begin before a launch: the time, or 0: nobody observes; then end, with its
 * work. */
INGOT_RT_API void ingot_rt_observe(ingot_context *, ingot_observer, void *user);
INGOT_RT_API int64_t ingot_rt_begin(void *frame);
INGOT_RT_API void ingot_rt_end(void *frame, int64_t kernel, int64_t begin_ns, const int64_t *work);
/* pool.c, threaded builds */
INGOT_RT_API ingot_status ingot_rt_pool_open(int32_t workers, ingot_parallel *, ingot_error *);
INGOT_RT_API void ingot_rt_pool_close(ingot_parallel *);
/* quota.c, threaded builds: CPUs' worth of time that the cgroups of this process allow, or INT32_MAX; root: what lies before
 * /proc and /sys, "" but in tests */
INGOT_RT_API int32_t ingot_rt_quota(const char *root);
/* self_test.c, builds with self-tests */
INGOT_RT_API ingot_status ingot_rt_self_test(ingot_context *, ingot_error *);
INGOT_RT_API ingot_status ingot_rt_test_run(ingot_context *, const ingot_rt_test *, uint64_t *hash, ingot_error *);
/* weights.c, builds with weights outside */
INGOT_RT_API ingot_status ingot_rt_weights_open(const ingot_model *, const ingot_source *, ingot_weights **, ingot_error *);
INGOT_RT_API void ingot_rt_weights_close(ingot_weights *);
INGOT_RT_API ingot_status ingot_rt_use_weights(ingot_context *, ingot_weights *, ingot_error *);
#endif
