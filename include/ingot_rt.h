/* ingot_rt.h: the artifact ABI: how a host talks to a compiled model, typed header or not.
 *
 * Plain C99 (freestanding is enough) and C++11.  Integers instead of C enums, no bit-fields, no unions: bindings of any
 * language can spell it.  Growable structs start with the size their maker knew and are reached by pointer: hosts zero
 * them, then set `size`.  Same major version, or refuse; minors only append fields and codes.
 * Threads: a model and weights are immutable and shared; a context is used by one thread at a time.
 */
#ifndef INGOT_RT_H
#define INGOT_RT_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define INGOT_ABI 0x00010002u /* major << 16 | minor */
#define INGOT_HAS(T, p, f) (offsetof(T, f) + sizeof((p)->f) <= (p)->size)

typedef int32_t ingot_status;
enum {
    INGOT_OK,
    INGOT_E_ARG,         /* a count, strides, an overlap */
    INGOT_E_SHAPE,       /* rank, extent, a declared range, a guard between sizes */
    INGOT_E_DTYPE,
    INGOT_E_SHORT,       /* a buffer is too small, or NULL; where it is an output's, the dims of all outputs are set */
    INGOT_E_ALIGN,
    INGOT_E_INDEX,       /* found while running: an index out of range; outputs are unspecified */
    INGOT_E_CAPACITY,    /* a data-dependent extent beyond its capacity, or sizes beyond 64 bits */
    INGOT_E_MEMORY,
    INGOT_E_RESERVE,     /* sizes beyond the reservation, and allocating is not allowed */
    INGOT_E_CPU,         /* the machine lacks features the model was compiled for */
    INGOT_E_ABI,
    INGOT_E_WEIGHTS,
    INGOT_E_CANCELLED,
    INGOT_E_FORKED,
    INGOT_E_DEVICE,
    INGOT_E_DEVICE_LOST,
    INGOT_E_SYSTEM,
    INGOT_E_BUG
};
/* The caller's; may be NULL.  Written on failure alone.  text: "input 'x' has extent 5 on axis 1, expected 4". */
typedef struct ingot_error {
    ingot_status code;
    char text[252];
} ingot_error;

typedef uint32_t ingot_dtype; /* DLPack type code | bits << 8 */
enum {
    INGOT_I8 = 0x800, INGOT_I16 = 0x1000, INGOT_I32 = 0x2000, INGOT_I64 = 0x4000,
    INGOT_U8 = 0x801, INGOT_U16 = 0x1001, INGOT_U32 = 0x2001, INGOT_U64 = 0x4001,
    INGOT_F16 = 0x1002, INGOT_F32 = 0x2002, INGOT_F64 = 0x4002, INGOT_BF16 = 0x1004,
    INGOT_BOOL = 0x806, INGOT_F8_E4M3 = 0x80A, INGOT_F8_E5M2 = 0x80C
};

/* Frozen: 192 bytes.  Row-major. */
typedef struct ingot_tensor {
    void *data;          /* output NULL, or lent before: run lends memory of the context, valid until its next run, reserve or
                          * destroy; a context in memory of the caller lends only what is found while running */
    uint64_t bytes;      /* capacity, checked before reading or writing */
    int64_t dims[8];     /* outputs: set by run, even on INGOT_E_SHORT; what is found while running is 0 before */
    int64_t strides[8];  /* in elements; all 0: dense */
    ingot_dtype dtype;
    int32_t rank, device, device_id; /* as DLPack: 0, 1 CPU; 2 CUDA */
    uint64_t reserved[4];
} ingot_tensor;
/* Frozen. */
typedef struct ingot_memory {
    void *base;
    uint64_t bytes;
} ingot_memory;
enum { INGOT_HOST, INGOT_DEVICE, INGOT_PINNED, INGOT_SPACES = 4 };

typedef struct ingot_symbol {
    uint32_t size, flags; /* 1: known only while running; then max is the capacity */
    const char *name;
    int64_t min, max, multiple, hint;
} ingot_symbol;
typedef struct ingot_tensor_info {
    uint32_t size, flags; /* 1: optional, 2: an input donated to output `alias`; an output that lies in input `alias` */
    const char *name;     /* the model's spelling */
    ingot_dtype dtype;
    int32_t rank, alias;
    const int64_t *dims;  /* -1-k: symbol k; INT64_MIN: an expression, see dim_text */
    const char *const *dim_text; /* "batch", "2*seq+1" */
} ingot_tensor_info;
typedef struct ingot_entry {
    uint32_t size, flags; /* 1: needs a state */
    const char *name;     /* "main"; "prefill", "decode" */
    uint32_t n_inputs, n_outputs;
    const ingot_tensor_info *const *inputs, *const *outputs;
} ingot_entry;

typedef struct ingot_model ingot_model;
typedef struct ingot_weights ingot_weights; /* immutable, counted, shared */
typedef struct ingot_context ingot_context; /* scratch: one thread at a time */
typedef struct ingot_state ingot_state;     /* KV cache: one per conversation */

typedef void (*ingot_task)(void *arg, int64_t i, int32_t worker);
/* The host's pool, or pool_open's.  run calls task once for each i in [0, n), from any threads, and returns when all are
 * done; worker ids are below `workers` and never shared at a time.  Tasks never wait for each other: a loop is valid. */
typedef struct ingot_parallel {
    uint32_t size;
    int32_t workers;
    void *user;
    void (*run)(void *user, int64_t n, int32_t workers, ingot_task task, void *arg);
} ingot_parallel;

/* Where weights come from: all zero: embedded, or the file beside the library. */
typedef struct ingot_source {
    uint32_t size, flags; /* 1: check the hash, 2: no mmap */
    const char *path;
    ingot_memory memory;  /* borrowed until weights_close; 64-byte aligned */
    int32_t (*read)(void *user, uint64_t offset, void *to, uint64_t n); /* 0, or not */
    void *user;
} ingot_source;
/* NULL stands for: malloc, the caller's thread, the CPU. */
typedef struct ingot_options {
    uint32_t size, flags;
    ingot_weights *weights;
    const ingot_parallel *parallel; /* outlives the context */
    int32_t device, device_id;
    ingot_memory memory[INGOT_SPACES]; /* given: never malloc */
    uint32_t tier;        /* since 1.1: CPU tiers to choose from, the model's first `tier`; 0: all of them */
    uint32_t reserved;
} ingot_options;
/* Enough for sizes d is enough for every d' <= d. */
typedef struct ingot_plan {
    uint32_t size, n_outputs;
    uint64_t context[INGOT_SPACES], state[INGOT_SPACES];
    ingot_tensor *outputs; /* the caller's, or NULL; dims and bytes filled */
    int32_t workers;       /* in: threads that will run; 0: one. Each adds its scratch to context[] */
    int32_t reserved;
} ingot_plan;
typedef struct ingot_call {
    uint32_t size, flags; /* 1: answer INGOT_E_RESERVE, never allocate */
    uint32_t entry;       /* 0 */
    int32_t max_workers;  /* 0: all */
    uint32_t n_inputs, n_outputs;
    const ingot_tensor *inputs;
    ingot_tensor *outputs;
    ingot_state *state;
    void *stream;           /* CUstream: enqueue; NULL: wait */
    const uint32_t *cancel; /* polled between kernels; not 0: stop */
    void (*trace)(void *user, const char *kernel, uint64_t ns);
    void *trace_user;
} ingot_call;

/* Since 1.2, in builds with --profile: a launch of generated code, and what one run of it took. */
typedef struct ingot_kernel {
    uint32_t size, flags;
    const char *nodes;    /* the model's: "m.onnx: node 'conv1' (Conv), node 'relu1' (Relu)"; " #2": their second kernel */
    const char *function; /* several launches may share one: "m_k3" */
    const char *kind;     /* its template: "convolution" */
} ingot_kernel;
typedef struct ingot_launch {
    uint32_t size, kernel;      /* index into the model's kernels */
    uint64_t begin_ns, end_ns;  /* of the monotonic clock, all threads together */
    int64_t flops;              /* least floating-point operations at the sizes of this run, a multiply-add is two */
    int64_t read, written;      /* least bytes: each element of an operand that matters once, and the results */
    int64_t weights;            /* those of `read` that are the model's constants */
} ingot_launch;
typedef void (*ingot_observer)(void *user, const ingot_launch *); /* on the thread that calls run; the struct is lent */

/* Functions that a build lacks are NULL: weights_* and use_weights where weights are embedded, state_* without states,
 * pool_* without --threads, self_test where none was asked for. */
struct ingot_model {
    uint32_t size, abi; /* frozen */
    const char *name, *compiler, *target, *cpu, *numerics, *licence;
    uint8_t model_sha256[32], weights_sha256[32];
    uint64_t weights_bytes;
    uint32_t alignment, n_symbols, n_entries, reserved;
    const ingot_symbol *const *symbols; /* those of inputs first, then those known only while running */
    const ingot_entry *const *entries;
    /* `symbols` arguments hold the values of the input symbols, in order. */
    ingot_status (*query)(const ingot_model *, uint32_t entry, const int64_t *symbols, ingot_plan *, ingot_error *);
    ingot_status (*weights_open)(const ingot_model *, const ingot_source *, ingot_weights **, ingot_error *);
    void (*weights_close)(ingot_weights *);
    ingot_status (*create)(const ingot_model *, const ingot_options *, ingot_context **, ingot_error *);
    void (*destroy)(ingot_context *);
    ingot_status (*reserve)(ingot_context *, uint32_t entry, const int64_t *symbols, ingot_error *);
    ingot_status (*use_weights)(ingot_context *, ingot_weights *, ingot_error *); /* between runs */
    ingot_status (*run)(ingot_context *, const ingot_call *, ingot_error *);
    ingot_status (*state_open)(const ingot_model *, const int64_t *symbols, const ingot_options *, ingot_state **,
                               ingot_error *);
    ingot_status (*state_copy)(ingot_state *, const ingot_state *from, ingot_error *); /* from NULL: reset */
    void (*state_close)(ingot_state *);
    ingot_status (*pool_open)(int32_t workers, ingot_parallel *, ingot_error *);
    void (*pool_close)(ingot_parallel *);
    ingot_status (*self_test)(ingot_context *, ingot_error *);
    uint32_t n_tiers, reserved_1_1; /* since 1.1: CPU tiers that there is code for; create takes the best for the machine */
    const char *const *tiers;       /* lowest first: "x86-64-v3" */
    const char *precision;          /* since 1.1: of products in contractions: "f32" (the model's own types), "bf16" */
    const void *own;                /* the runtime's */
    /* Since 1.2; builds without --profile are of 1.1 and end before: look at `size`. */
    uint32_t n_kernels, reserved_1_2;
    const ingot_kernel *const *kernels;
    void (*observe)(ingot_context *, ingot_observer, void *user); /* from the next run on; NULL: no longer */
};
typedef const ingot_model *(*ingot_get_model)(void); /* shared libraries export it as "ingot_model_v1"; never NULL */

#ifdef __cplusplus
}
#endif
#endif
