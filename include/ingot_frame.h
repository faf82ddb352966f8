/* ingot_frame.h: the private ABI between generated code and the runtime linked with it.
 *
 * Both sides of one artifact are always made by the same compiler: nothing here is versioned.  The compiler takes offsets
 * from these structs with offsetof, so generated code and runtime agree by construction.  64-bit machines.
 *
 * A frame is an array of 8-byte slots; its address is the `context` argument of generated functions.  N_bind, N_plan and
 * N_main: codegen/host.h.  The other functions of the descriptor are written by codegen/interface.c.
 */
#ifndef INGOT_FRAME_H
#define INGOT_FRAME_H
#include "ingot_rt.h"

enum {
    /* in the context itself, at offsets that the compiler chose: ingot_rt_model.at */
    FRAME_SYMBOLS,       /* int64_t *: input symbols, then found ones, which N_main writes */
    FRAME_OFFSETS,       /* int64_t *: as N_plan wrote them */
    FRAME_INPUT_DIMS,    /* int64_t *: of all inputs, one after the other */
    FRAME_FAIL,          /* int64_t *: launch, position, value, limit; the same record as FAILS of worker 0 */
    FRAME_FAILS,         /* int64_t *: such a record per worker, FRAME_FAIL_SLOTS apart; kernels write [1..3] */
    FRAME_CANCEL,        /* const uint32_t *, never NULL */
    FRAME_BOUNDS,        /* private to rt.c, with those below: int64_t *: the reservation; -1: none */
    FRAME_WANTED,        /* int64_t *: the next reservation */
    FRAME_OUT_DIMS,      /* int64_t *: of all outputs, one after the other */
    FRAME_LENT,          /* void **: what run lent last, per output */
    FRAME_DATA,          /* void **: of inputs, then outputs, of a run with tensors */
    FRAME_CAPACITY,      /* uint64_t *: bytes behind each of DATA */
    FRAME_INSIDE,        /* number of those above */
    /* per reservation or run */
    FRAME_ARENA = FRAME_INSIDE, /* uint8_t *, 64-aligned */
    FRAME_WEIGHTS,       /* const uint8_t *, 64-aligned */
    FRAME_INPUTS,        /* void ** */
    FRAME_OUTPUTS,       /* void **: the caller's memory; unspecified for outputs that run copies out of the arena */
    FRAME_SCRATCH,       /* uint8_t *, 64-aligned */
    FRAME_SCRATCH_BYTES, /* int64_t: per worker, a multiple of 64 */
    FRAME_PARALLEL,      /* const ingot_parallel *, or NULL */
    FRAME_WORKERS,       /* int64_t: workers allowed in this run, >= 1 */
    FRAME_SLOTS
};
enum { FRAME_FAIL_SLOTS = 4, FRAME_MAX_WORKERS = 256 };
typedef union ingot_rt_slot { int64_t i; void *p; const void *cp; } ingot_rt_slot;

/* A feature of the CPU that code needs: a bit of eax, ebx, ecx or edx (reg 0..3) of a cpuid leaf, ascending by leaf.
 * Leaf INGOT_RT_SAVED: a bit of XCR0, register state that the operating system saves; these come last. */
#define INGOT_RT_SAVED 0xffffffffu
typedef struct ingot_rt_feature {
    uint32_t leaf;
    uint8_t reg, bit, pad[2];
    const char *name;
} ingot_rt_feature;

/* Sums in bytes of one reservation; all of them below 2^62 together, or measure says -1. */
typedef struct ingot_rt_sizes {
    int64_t scratch;     /* per worker, a multiple of 64 */
    int64_t lent;        /* outputs that are written in place, each 64-aligned */
} ingot_rt_sizes;

enum { INGOT_RT_BINDS_ELEMENTS = 1 }; /* symbols depend on elements of inputs: bind runs every time */

/* What the runtime knows of a model.  It does not refer to the generic table, so that a program of typed functions alone
 * links without the code behind that.  `sizes` below are symbols of inputs. */
typedef struct ingot_rt_model {
    int32_t (*bind)(void *frame);
    /* Bytes of the arena, 64-aligned; -1: too large.  measure writes no offsets.  Tensors' bytes are checked as well. */
    int64_t (*measure)(const int64_t *sizes, ingot_rt_sizes *);
    /* N_plan's offsets; at [n_offsets + 1 + k] the place of output k in the lent block. */
    void (*layout)(const int64_t *sizes, int64_t *offsets);
    void (*input_dims)(const int64_t *sizes, int64_t *dims);          /* one input after the other */
    /* Outputs' dims, `stride` apart, or one after the other where it is 0.  bounds: found symbols at their capacity;
     * upper: at least those of all smaller sizes as well. */
    void (*extents)(const int64_t *symbols, int64_t *dims, int64_t stride);
    void (*bounds)(const int64_t *symbols, int64_t *dims, int64_t stride);
    void (*upper)(const int64_t *sizes, int64_t *dims, int64_t stride);
    int32_t (*main)(void *frame);
    ingot_status (*cpu)(const struct ingot_rt_model *, ingot_error *); /* NULL: the baseline */
    const char *name;
    uint32_t signature, flags;
    uint32_t n_symbols, n_found, n_inputs, n_tensors, n_offsets, max_workers, n_features;
    uint32_t fixed_bytes;             /* context with its arrays, a multiple of 64 */
    uint32_t at[FRAME_INSIDE];        /* offset in the context of what the slot points to */
    const ingot_symbol *const *symbols;
    const ingot_tensor_info *const *tensors; /* inputs, then outputs */
    const int64_t *output_offset;     /* per output: -1 written in place, else its index in the offsets */
    const char *const *guards;        /* by number: a status as first byte, a text, its two %d the values compared */
    const char *const *launches;      /* the model's nodes by number of the launch */
    const ingot_rt_feature *features;
    const void *weights;              /* embedded ones, or NULL */
    uint64_t weights_bytes, weights_layout; /* weights of this layout fit */
} ingot_rt_model;

/* What N_model() points to. */
typedef struct ingot_rt_public {
    ingot_model model;
    const ingot_rt_model *rt;
} ingot_rt_public;

struct ingot_context {
    ingot_rt_slot frame[FRAME_SLOTS];
    const ingot_rt_model *m;
    ingot_weights *weights;
    void *own;           /* malloc'd block of the context; NULL: the caller's memory */
    void *own_work;
    uint64_t work_bytes; /* behind the fixed part, or in own_work */
    char *lent;          /* lent block of the reservation */
    const ingot_call *call; /* of a run with tensors, for step.c */
    uint64_t traced_ns;
    int64_t traced_launch;
    uint32_t bound;      /* dims and symbols are those of the last run */
};

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
/* rt.c */
INGOT_RT_API ingot_status ingot_rt_create(const ingot_rt_model *, uint32_t signature, const ingot_options *,
                                          ingot_context **, ingot_error *);
INGOT_RT_API void ingot_rt_destroy(ingot_context *);
INGOT_RT_API ingot_status ingot_rt_reserve(ingot_context *, const int64_t *sizes, ingot_error *);
/* io: input symbols, pointers to inputs, pointers to outputs, found symbols; 8 bytes each. */
INGOT_RT_API ingot_status ingot_rt_run(ingot_context *, int64_t *io, ingot_error *);
/* Bytes of a context; 0 after an error. */
INGOT_RT_API uint64_t ingot_rt_bytes(const ingot_rt_model *, const int64_t *sizes, int32_t workers, ingot_error *);
/* given: NULL, or sizes that must equal those the inputs have; data: inputs, then outputs (where NULL: lent, and set);
 * capacity: bytes behind each, or NULL: enough. */
INGOT_RT_API ingot_status ingot_rt_execute(ingot_context *, const int64_t *given, void **data, const uint64_t *capacity,
                                           uint32_t flags, ingot_error *);
INGOT_RT_API int64_t ingot_rt_workers(const ingot_rt_model *, const ingot_parallel *);
/* generic.c: the functions of ingot_model */
INGOT_RT_API ingot_status ingot_rt_model_query(const ingot_model *, uint32_t entry, const int64_t *, ingot_plan *,
                                               ingot_error *);
INGOT_RT_API ingot_status ingot_rt_model_create(const ingot_model *, const ingot_options *, ingot_context **, ingot_error *);
INGOT_RT_API ingot_status ingot_rt_model_reserve(ingot_context *, uint32_t entry, const int64_t *, ingot_error *);
INGOT_RT_API ingot_status ingot_rt_model_run(ingot_context *, const ingot_call *, ingot_error *);
/* cpu.c */
INGOT_RT_API ingot_status ingot_rt_cpu(const ingot_rt_model *, ingot_error *);
/* error.c: the code is the first character of the format; %s, %d take 8-byte arguments.  Returns the code. */
INGOT_RT_API ingot_status ingot_rt_error(ingot_error *, const char *format, ...);
#define INGOT_RT_ARG(x) ((int64_t)(x))
/* launch.c, threaded builds: cuts [0, n) into ranges of at least `grain` and runs them.  0, or the status of the lowest
 * range that failed, with its record in FAILS of worker 0: what a serial run would have met first. */
INGOT_RT_API int32_t ingot_rt_launch(void *frame, int32_t (*task)(void *args, int64_t lo, int64_t hi, int64_t worker),
                                     void *args, int64_t n, int64_t grain);
/* step.c: N_main calls it before launch number k: 0, or INGOT_E_CANCELLED; reports times to the call's trace. */
INGOT_RT_API int32_t ingot_rt_step(void *frame, int64_t launch);
/* pool.c, threaded builds */
INGOT_RT_API ingot_status ingot_rt_pool_open(int32_t workers, ingot_parallel *, ingot_error *);
INGOT_RT_API void ingot_rt_pool_close(ingot_parallel *);
/* weights.c, builds with weights outside */
INGOT_RT_API ingot_status ingot_rt_weights_open(const ingot_model *, const ingot_source *, ingot_weights **, ingot_error *);
INGOT_RT_API void ingot_rt_weights_close(ingot_weights *);
INGOT_RT_API ingot_status ingot_rt_use_weights(ingot_context *, ingot_weights *, ingot_error *);
#endif
