/* compile.h: one call of the public API as a job.  Private to driver/.
 *
 * job_begin copies what the caller gave (so that later fields of growable structs read as zero) and makes the Context;
 * job_end turns diagnostics into callbacks and the status.  Between them everything runs under one context_enter.
 */
#pragma once
#include "ingot.h"
#include "pipeline.h"
#include "artifact.h"
#include "ingot_frame.h"

typedef enum InputKind { INPUT_ONNX, INPUT_GRAPH, INPUT_LOOP } InputKind;
typedef enum Emit {
#define EMIT(name, ...) EMIT_##name,
#include "emits.def"
    EMIT_COUNT
} Emit;
typedef enum Precision { PRECISION_f32, PRECISION_bf16, PRECISION_f64, PRECISION_COUNT } Precision;
extern const char *const precision_names[PRECISION_COUNT];
typedef enum Backend { BACKEND_llvm, BACKEND_c, BACKEND_interpreter, BACKEND_COUNT } Backend;
typedef enum WeightsKind { WEIGHTS_embed, WEIGHTS_file, WEIGHTS_extern, WEIGHTS_COUNT } WeightsKind;

#define ORIGIN_COMMENT "// from sha256 " /* then the hash and the name of the model's file */

typedef struct Job {
    Context *cx;
    ingot_input in;
    ingot_settings set;
    const char *path;            /* of the output; NULL: memory, or code in this process */
    bool ok;                     /* what the work answered; false where it unwound */
    bool limited;                /* the time limit is over */
    double deadline;             /* on the monotonic clock; 0: none */
    const char *stage;           /* under way, since stage_start */
    double stage_start;
    const Graph *graph;          /* what the stage started from, where there is one */
    /* filled by job_open */
    Tiers tiers;                 /* that the artifact serves */
    Emit emit;
    Precision precision;
    bool fast;                   /* numerics: not strict */
    Backend backend;
    WeightsKind weights;
    const char *name;
    InputKind kind;
    const char *file, *folder;   /* for messages; for external data, or NULL */
    const uint8_t *bytes, *side;
    size_t n, side_n;
    const char *schedule;        /* overrides; NULL: none */
    size_t schedule_n;
    const char *origin;          /* the model that all of this came from: its file's name, and its hash */
    uint8_t origin_sha256[32];
} Job;

/* ---- job.c ------------------------------------------------------------------------------------------------------------ */

/* NULL where there is no memory.  in may be NULL. */
Job *job_begin(const ingot_input *in, const ingot_settings *, const char *path);
/* Runs work under the Context's one entry. */
bool job_run(Job *, bool (*work)(Job *, void *user), void *user);
/* Reports, and writes err; frees unless keep (a job that lives on as a loaded model). */
ingot_status job_end(Job *, bool keep, ingot_error *err);
void job_free(Job *);
ingot_status job_status(const Job *); /* of what has run so far */
bool job_open(Job *);            /* settings and input; false after a diagnostic */
void job_progress(Job *, const char *stage); /* also ends the job where its time is over */

/* ---- compile.c --------------------------------------------------------------------------------------------------------- */

const Graph *job_import(Job *);              /* as the model has it */
void job_origin(Job *, Text *to);            /* as the comment that a graph made from an ONNX model starts with */
bool job_check_passes(Job *);                /* the names of passes in the settings */
const Graph *job_passes(Job *, const Graph *);
LoopModule *job_module(Job *);               /* complete, with its interface; verified */
ImportOptions job_import_options(Job *);

/* ---- self_test.c ------------------------------------------------------------------------------------------------------ */

const SelfTest *job_self_tests(Job *);       /* as many as the settings ask for; NULL after a diagnostic */

/* ---- emit.c ------------------------------------------------------------------------------------------------------------ */

bool emit_file(Job *);                       /* to job->path */
bool emit_memory(Job *, Text *out, Text *side_or_null);

/* ---- reproducer.c ------------------------------------------------------------------------------------------------------ */

void give_reproducer(Job *, const char *stage_or_null); /* after a BUG */

/* ---- jit.c, reference.c: models in this process ------------------------------------------------------------------------- */

/* What an in-process `const ingot_model *` points to. */
typedef struct InProcess {
    ingot_model public;
    void (*close)(struct InProcess *);
    Job *job;                    /* its Context owns code, weights and graph */
    LoadedCode *code;            /* NULL: interpreted */
} InProcess;
bool jit_load(Job *, InProcess *);
bool reference_load(Job *, InProcess *);
