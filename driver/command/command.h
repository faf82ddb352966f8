/* command.h: the command line's own header.  It is a client of ingot.h and sees nothing else of the compiler.
 *
 * main.c picks a command; arguments.c parses by options.def; session.c loads and runs; every command is a file.
 */
#pragma once
#include "ingot.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Exit statuses. */
enum { EXIT_YES, EXIT_NO, EXIT_USAGE, EXIT_BUG, EXIT_MACHINE };

typedef enum Option {
#define OPTION(id, ...) OPT_##id,
#include "options.def"
    OPT_COUNT
} Option;
typedef struct Arguments Arguments;
typedef struct Command {
    const char *name, *usage, *summary, *examples;
    int (*run)(Arguments *);
} Command;
extern const Command commands[];
extern const size_t n_commands;

typedef struct List { const char **at; uint32_t n; } List;
bool list_push(List *, const char *); /* false: no memory */
struct Arguments {
    const Command *command;
    const char *value[OPT_COUNT]; /* NULL: not given; "" where it has no argument; the last one given wins */
    List dims, constants, rest;
    int argc;                     /* as main got them */
    char **argv;
};

/* ---- arguments.c ------------------------------------------------------------------------------------------------------- */

/* argv behind the command's name.  EXIT_YES, or the status to end with after a message. */
int arguments_parse(Arguments *, int argc, char **argv);
void arguments_free(Arguments *);
void print_help(FILE *, const Command *command_or_null);
const Command *command_find(const char *name);
bool option_applies(const Command *, Option);
bool option_number(Arguments *, Option, double *value); /* unchanged where absent; false after a message */
bool option_count(Arguments *, Option, uint64_t least, uint64_t most, uint64_t *value); /* the same, whole numbers */
enum { MOST_THREADS = 256 };

/* ---- message.c: everything that goes to stderr --------------------------------------------------------------------------- */

#if defined(__GNUC__)
#define FORMAT(f, a) __attribute__((format(printf, f, a)))
#else
#define FORMAT(f, a)
#endif
void message_setup(const Arguments *);
int fail_usage(const char *fmt, ...) FORMAT(1, 2); /* EXIT_USAGE */
int fail_machine(const char *fmt, ...) FORMAT(1, 2);
int fail_bug(const char *fmt, ...) FORMAT(1, 2);
int fail_no(const char *fmt, ...) FORMAT(1, 2);
void warn(const char *fmt, ...) FORMAT(1, 2);
void note(const char *fmt, ...) FORMAT(1, 2); /* also under --quiet */
int exit_status(ingot_status);
int output_end(int status);                             /* the status, or that the standard output could not be written */
void message_callbacks(ingot_settings *);
void progress_show(const char *what);                    /* on a terminal */
void progress_end(void);
void progress_lost(void);                               /* clears the line of a process that died */
int fail_error(const char *what, const ingot_error *);  /* exit status of the error */
/* "did you mean": the nearest of n candidates, or NULL. */
typedef const char *Candidate(const void *user, size_t i);
const char *closest(const char *word, Candidate *, const void *user, size_t n);

/* ---- isolate.c ---------------------------------------------------------------------------------------------------------- */

int command_start(Arguments *);         /* in a child process where --isolate says so */
void isolate_stage(const char *stage);  /* tells the parent, if there is one, what is under way */

/* ---- settings.c --------------------------------------------------------------------------------------------------------- */

/* Settings of the options; EXIT_YES, or a status after a message. */
typedef struct Prepared { ingot_settings settings; ingot_constant *constants; } Prepared;
int prepare(Arguments *, Prepared *);
void prepared_free(Prepared *);
int read_limits(const Arguments *, uint64_t *memory, double *seconds); /* unchanged where --limits does not say */

/* ---- reproducer.c ---------------------------------------------------------------------------------------------------- */

/* After a bug of ingot: writes ingot-bug-<hash>.graph (or .txt) into --dump-dir, else here, and says so.  user: Arguments. */
void write_reproducer(void *user, const char *suffix, const char *text, uint64_t n, const void *side, uint64_t side_n);

/* ---- json.c -------------------------------------------------------------------------------------------------------------- */

void json_string(FILE *, const char *);
void json_number(FILE *, double); /* null where it is not finite */

/* ---- npy.c: NumPy's file format, versions 1 to 3 ------------------------------------------------------------------------ */

/* data is malloc'd.  0, or EXIT_NO, EXIT_MACHINE with a text. */
int npy_read(const char *path, ingot_tensor *out, char text[256]);
int npy_write(const char *path, const ingot_tensor *, char text[256]);

/* ---- session.c: a model that can be run --------------------------------------------------------------------------------- */

/* Ranges of launches by thread, for a trace: a pool over the session's own, which takes notes while `on`. */
typedef struct Span { uint64_t begin_ns, end_ns; } Span;
typedef struct Spans { Span *at; uint32_t n, capacity; } Spans;
typedef struct Watch {
    ingot_parallel pool, *inner;
    bool on;
    Spans spans[MOST_THREADS]; /* by worker */
} Watch;
typedef struct Session {
    const char *path;
    const ingot_model *model;
    void *library;           /* dlopen'd; NULL: in process */
    const ingot_entry *entry;
    ingot_weights *weights;
    ingot_parallel pool;
    bool has_pool;
    Watch *watch;            /* set before session_open: it stands between the context and the pool */
    void (*adjust)(void *user, ingot_settings *); /* the same, or NULL: has the last word on how a model is compiled */
    void *adjust_user;
    ingot_context *context;
    ingot_tensor *in, *out;  /* data of inputs is malloc'd */
    int64_t *symbols;
    int32_t fixed_dims;      /* entries of symbols that --dim gave */
} Session;
/* backend_or_null overrides the option.  EXIT_YES, or a status after a message; session_close in any case. */
int session_open(Session *, Arguments *, const char *path, const char *backend_or_null, int threads);
const char *session_precision(const Session *); /* of the model: "f32" where it does not say */
void session_close(Session *);
/* Sizes from --dim, hints and `typical`; then random data of these sizes for inputs without data. */
int session_sizes(Session *, Arguments *, int64_t typical);
void session_sizes_of_inputs(Session *); /* inputs with data say what sizes there are */
int session_random(Session *, uint64_t seed);
void session_forget_inputs(Session *);
int session_run(Session *, void (*trace)(void *, const char *, uint64_t), void *user); /* message on failure */
bool session_try(Session *, ingot_error *);  /* true where it fails; no message */
uint64_t element_count(const ingot_tensor *);
void print_shape(FILE *, const ingot_tensor *);

/* ---- machine.c: what this machine can do --------------------------------------------------------------------------------- */

enum { LEAST_SIZE = 14, MOST_SIZE = 28 }; /* of buffers: powers of two */
typedef struct Machine {     /* zeroed but for threads; what was measured is kept */
    int threads;
    double flops, read[MOST_SIZE + 1];
} Machine;
double machine_flops(Machine *);                   /* of fused multiply-adds, per second; 0 where it cannot be measured */
double machine_bandwidth(Machine *, double bytes); /* of reading a buffer of that size again and again, bytes per second */

/* ---- trace.c: a run as a Chrome trace ----------------------------------------------------------------------------------- */

const ingot_parallel *watch_pool(Watch *, ingot_parallel *inner);
typedef struct Trace {       /* zeroed but for watch (NULL: one thread) and model */
    Watch *watch;
    const ingot_model *model;
    ingot_launch *at, *best; /* of this run; of the fastest */
    uint32_t n, capacity, n_best;
    uint64_t best_took;
    Spans best_spans[MOST_THREADS];
    bool lost;               /* no memory */
} Trace;
void trace_begin(Trace *);
void trace_launch(Trace *, const ingot_launch *);
void trace_end(Trace *);
int trace_write(const Trace *, const char *path, int threads);
void trace_free(Trace *);

/* ---- profile.c: time, work and bound of every kernel -------------------------------------------------------------------- */

typedef struct ProfileRow {  /* a launch of the host program; work in doubles, summed over one run */
    const char *nodes, *kind, *function, *by;
    double *ns;              /* by run */
    double ms, flops, read, written, weights, bound_ms;
    uint32_t launches;
} ProfileRow;
typedef struct Profile {
    ProfileRow *rows;
    uint32_t n, runs;
    bool work, lost;         /* the artifact tells its work; no memory */
    Trace *trace;            /* or NULL */
} Profile;
bool profile_has_work(const ingot_model *);
const char *kernel_label(const ingot_kernel *); /* its nodes, or its function */
/* Fills rows, in order of the model's kernels where there is work: `repeat` runs, or for so many seconds. */
int profile_collect(Session *, Profile *, uint64_t repeat, double time);
void profile_free(Profile *);
/* Prints a table, or members of a JSON object, and writes the trace if one is asked for. */
int profile_run(Session *, Arguments *, int threads, uint64_t repeat);

/* ---- the commands ------------------------------------------------------------------------------------------------------- */

int command_compile(Arguments *);
int command_run(Arguments *);
int command_inspect(Arguments *);
int command_explain(Arguments *);
int command_verify(Arguments *);
int command_bench(Arguments *);
int command_tune(Arguments *);
