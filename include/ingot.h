/* ingot.h: the compiler as a library: a model to an artifact, or to code in this process.
 *
 * C99 and C++11.  Integers instead of C enums; growable structs start with their size: zero them, then set `size`.
 * Nothing prints, exits or keeps state between calls: calls from several threads are independent.  What a call has to say
 * beside its status goes to the callbacks of its settings.  Every function of this library starts with ingot_.
 * What a loaded model looks like: ingot_rt.h.
 */
#ifndef INGOT_H
#define INGOT_H
#include "ingot_rt.h"
#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#define INGOT_API __attribute__((visibility("default")))
#else
#define INGOT_API
#endif

/* Statuses of the compiler beside those of ingot_rt.h: INGOT_E_ARG: the settings are wrong; INGOT_E_SYSTEM: a file, a tool,
 * memory; INGOT_E_BUG: ours. */
enum {
    INGOT_E_MODEL = 64,    /* the model is malformed, or needs something that ingot lacks */
    INGOT_E_LIMIT          /* memory or time beyond the settings' limits */
};

/* A model: .onnx, .graph or .loop, told by content. */
typedef struct ingot_input {
    uint32_t size, flags;
    const char *path;      /* read where bytes is NULL; else the name used in messages, or NULL */
    const void *bytes;     /* not NULL: the model itself; must stay until the call returns (ingot_jit: until ingot_jit_close) */
    uint64_t n;
    const void *side;      /* of .graph and .loop in memory: what stands in <path>.bin */
    uint64_t side_n;
    const char *folder;    /* where external data may lie; NULL: the path's folder, or none for bytes */
} ingot_input;

/* An input of the model that becomes a constant.  The tensor is dense and outlives the call. */
typedef struct ingot_constant {
    const char *name;
    ingot_tensor tensor;
} ingot_constant;

enum { /* flags of settings */
    INGOT_THREADS = 1,     /* the artifact can use a thread pool */
    INGOT_SYMBOLIC = 2,    /* every extent of every input is unknown, whatever the model declares */
    INGOT_VERIFY = 4,      /* checks the form of every intermediate result */
    INGOT_CHECK = 8,       /* interprets before and after every pass, and names the pass that changed the answer */
    INGOT_TIME = 16,       /* times of passes go to text() */
    INGOT_BARE = 32,       /* the artifact never allocates */
    INGOT_PROFILE = 64     /* the artifact tells an observer what each kernel takes */
};
enum { INGOT_ERROR, INGOT_WARNING, INGOT_NOTE };
/* NULL and 0 stand for the default. */
typedef struct ingot_settings {
    uint32_t size, flags;
    const char *name;      /* C identifier of the model; default: from the output's or input's file name */
    const char *cpu; /* tiers that the artifact serves: "v3,v4", "v4,l2=2M"; in process, the best of them for this machine */
    const char *backend;   /* "llvm", "c"; in process also "interpreter", the reference semantics */
    const char *emit;      /* so a obj c llvm asm loop graph dot; default: by the output's suffix */
    const char *weights;   /* "embed", "file" (<name>.weights beside the library), "extern" (the host brings them) */
    const char *const *dims; /* "batch=1..64%8", "seq=..512", "n=7" */
    uint32_t n_dims, n_constants;
    const ingot_constant *constants;
    uint64_t memory_limit; /* bytes of compiler memory */
    double time_limit;     /* seconds, looked at between steps */
    const char *print_after; /* a pass, or "all": its graph goes to text() */
    const char *stop_after;  /* a pass: for emit=graph and dot */
    const char *passes;      /* exactly these, by commas, instead of the pipeline */
    const char *dump_folder; /* every intermediate text is written there */
    void *user;
    void (*diagnostic)(void *user, int32_t kind, const char *where, const char *text); /* where: "" or "m.onnx: node 'x'" */
    void (*text)(void *user, const char *title, const char *text_or_null);
    void (*progress)(void *user, const char *stage);
    /* After INGOT_E_BUG: what brings it about again.  suffix ".graph": the text is a model, side what belongs into
     * <path>.bin (or NULL); ".txt": no graph was there yet.  Without this callback the text goes to diagnostic(). */
    void (*reproducer)(void *user, const char *suffix, const char *text, uint64_t n, const void *side, uint64_t side_n);
    const char *target;      /* "x86_64-linux-gnu" */
    const char *numerics;    /* "strict"; "fast": scales behind contractions go into their constants, 3 x 3 taps by Winograd */
    const char *schedule;    /* a file of overrides: what emit=schedule writes, changed */
    const char *precision;   /* "f32": the model's own types; "bf16": products of f32 contractions with constants */
    uint32_t self_tests;     /* runs that ingot_model.self_test repeats; they are computed here, on this machine's CPU */
    const char *schedule_text; /* not NULL: the overrides themselves; `schedule` is their name in messages */
    uint64_t schedule_bytes;
    const char *donate;      /* "k=past_k,v=past_v": outputs that are written into inputs, which become buffers with room */
} ingot_settings;

/* Compiles to a file, written whole or not at all, with the C headers of a library beside it.  err: the first error. */
INGOT_API ingot_status ingot_compile(const ingot_input *, const ingot_settings *, const char *path, ingot_error *err);
/* Compiles to memory, to be freed by ingot_free.  side: what belongs into <path>.bin of emit=graph and loop; may be NULL,
 * then constants stay inline. */
typedef struct ingot_bytes {
    void *at;
    uint64_t n;
} ingot_bytes;
INGOT_API ingot_status ingot_compile_memory(const ingot_input *, const ingot_settings *, ingot_bytes *out, ingot_bytes *side,
                                            ingot_error *err);
INGOT_API void ingot_free(void *);

/* Compiles and loads in this process; the same interface as a library's.  Contexts must be destroyed before the close. */
INGOT_API ingot_status ingot_jit(const ingot_input *, const ingot_settings *, const ingot_model **out, ingot_error *err);
INGOT_API ingot_status ingot_jit_file(const char *path, const ingot_settings *, const ingot_model **out, ingot_error *err);
INGOT_API ingot_status ingot_jit_onnx(const void *bytes, uint64_t n, const ingot_settings *, const ingot_model **out,
                                      ingot_error *err);
INGOT_API void ingot_jit_close(const ingot_model *);

/* What a model consists of and everything in it that ingot lacks, as text or JSON, to write(); INGOT_E_MODEL where something
 * is missing.  Models that import are also compiled, up to Loop IR. */
enum { INGOT_TEXT, INGOT_JSON };
INGOT_API ingot_status ingot_explain(const ingot_input *, const ingot_settings *, int32_t format,
                                     void (*write)(void *user, const char *text, uint64_t n), void *user, ingot_error *err);

/* Extents of an input at these values of the model's input symbols, whatever expressions they are. */
INGOT_API ingot_status ingot_input_dims(const ingot_model *, uint32_t entry, uint32_t input, const int64_t *symbols,
                                        int64_t *dims, ingot_error *err);
/* A TensorProto (ONNX test data): data is to be freed by ingot_free. */
INGOT_API ingot_status ingot_read_tensor(const void *bytes, uint64_t n, ingot_tensor *out, ingot_error *err);
/* An element as double; integers beyond 2^53 are rounded. */
INGOT_API double ingot_element(ingot_dtype, const void *at);
INGOT_API void ingot_set_element(ingot_dtype, void *at, double value); /* rounded, wrapped */
INGOT_API const char *ingot_dtype_name(ingot_dtype); /* "f32"; "?" where unknown */
INGOT_API const char *ingot_version(void);

#ifdef __cplusplus
}
#endif
#endif
