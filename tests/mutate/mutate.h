/* mutate.h: mutants of models and of texts, and what is done with each.
 *
 * Everything is a function of (seed, number): the same pair gives the same mutant on every machine, so that a failure is
 * named by two numbers.  Mutants are made in the process that tries them (worker.c), which is a fork with limits.
 */
#pragma once
#include "base.h"

typedef enum Kind { KIND_ONNX, KIND_GRAPH_TEXT, KIND_LOOP_TEXT, KINDS } Kind;
extern const char *const kind_names[KINDS], *const kind_endings[KINDS];
typedef struct Seed { const char *path; const uint8_t *bytes; size_t n; } Seed;
typedef struct Seeds { Seed *at; uint32_t n; } Seeds;

/* ---- random.c: splitmix64 ------------------------------------------------------------------------------------------- */

typedef struct Random { uint64_t state; } Random;
Random random_of(uint64_t seed, uint64_t number);
uint64_t random_bits(Random *);
uint32_t random_below(Random *, uint32_t n);             /* n 0: 0 */
bool random_chance(Random *, uint32_t percent);
int64_t random_number(Random *);                         /* small ones half of the time, else at the edges of types */

/* ---- wire_tree.c: protobuf as a tree that knows ONNX's schema ---------------------------------------------------------- */

typedef enum Message {
    MSG_NONE, MSG_MODEL, MSG_GRAPH, MSG_NODE, MSG_ATTRIBUTE, MSG_TENSOR, MSG_VALUE, MSG_TYPE, MSG_TENSOR_TYPE, MSG_SEQUENCE,
    MSG_SHAPE, MSG_DIM, MSG_OPSET, MSG_FUNCTION, MSG_SPARSE, MSG_ENTRY, MESSAGES
} Message;
enum { PIECE_VARINT = 0, PIECE_FIXED64 = 1, PIECE_BYTES = 2, PIECE_FIXED32 = 5 };
typedef struct Piece Piece;
struct Piece {
    uint32_t field;
    uint32_t kind;           /* PIECE_…: of the wire */
    Message message;         /* MSG_NONE: a leaf */
    uint64_t value;
    const uint8_t *bytes;    /* of a leaf of kind PIECE_BYTES */
    size_t n;
    VEC(Piece *) parts;
};
/* Never fails: what does not parse as its message is a leaf. */
Piece *tree_read(Arena *, Message, const uint8_t *bytes, size_t n);
void tree_write(const Piece *, Text *out);               /* of the root: its parts alone */
Piece *tree_copy(Arena *, const Piece *);
Piece *tree_part(const Piece *, uint32_t field);         /* the first; NULL where absent */
Piece *tree_add(Arena *, Piece *, uint32_t field, uint32_t kind, Message);
void tree_insert(Arena *, Piece *, uint32_t index, Piece *part);
void tree_remove(Piece *, uint32_t index);
void tree_set_number(Arena *, Piece *, uint32_t field, int64_t);
void tree_set_text(Arena *, Piece *, uint32_t field, const char *);
const char *tree_text(Arena *, const Piece *, uint32_t field); /* "" where absent */

/* ---- mutate_onnx.c, mutate_graph.c, mutate_text.c ----------------------------------------------------------------------- */

typedef struct Mutant {
    Arena *arena;
    Random random;
    const Seeds *seeds;
    Piece *root;
    VEC(Piece *) found[MESSAGES]; /* all pieces of the tree by message */
} Mutant;
typedef bool MutateFn(Mutant *);  /* false: does not apply */
typedef struct Mutation { const char *name; MutateFn *fn; uint32_t weight; } Mutation;
extern const Mutation structure_mutations[];             /* mutate_graph.c: nodes, edges, subgraphs, functions */
extern const uint32_t n_structure_mutations;
Piece *mutant_pick(Mutant *, Message);                   /* NULL where there is none */
Piece *mutant_donor(Mutant *, Message);                  /* a copy of one from some other seed, or NULL */

/* The mutant's bytes, in arena memory. */
void mutate_onnx(Arena *, const Seeds *, uint64_t seed, uint64_t number, Text *out);
void mutate_text(Arena *, const Seeds *, uint64_t seed, uint64_t number, Text *out);

/* ---- subject.c: what is done with one mutant ---------------------------------------------------------------------------- */

typedef enum Outcome {
    OUT_NONE, OUT_REJECTED, OUT_IMPORTED, OUT_COMPILED,  /* by an importer or parser; by a later stage; not at all */
    OUT_SILENT,              /* rejected without a diagnostic, or accepted with an error */
    OUT_BUG, OUT_UNSTABLE,   /* our own diagnostic says it is our mistake; text read back is another */
    OUT_CRASHED, OUT_SLOW, OUT_FAT, OUT_LEAKED, OUTCOMES
} Outcome;
extern const char *const outcome_names[OUTCOMES];
typedef struct Record {
    int32_t outcome;
    uint32_t milliseconds;   /* of this process, not of the wall */
    uint32_t peak_kilobytes;
    char text[320];
} Record;
/* stage: where the caller's watcher reads what is going on.  number decides which mutants get the costlier steps; these two
 * get them all, the second with the extents of inputs unknown. */
#define EVERY_STEP          (UINT64_MAX - 1)
#define EVERY_STEP_SYMBOLIC UINT64_MAX
void subject_run(Kind, const uint8_t *bytes, size_t n, uint64_t number, const char *volatile *stage, Record *);
/* Texts of what becomes of a model, as seeds of the text kinds: graph imported and planned, and Loop module. */
uint32_t subject_texts(const Seed *, Kind, Seed *to, uint32_t room, size_t largest);

/* ---- worker.c: many mutants in few processes under limits ---------------------------------------------------------------- */

typedef struct Work {
    Kind kind;
    const Seeds *seeds;
    bool replay;             /* mutant i is seed i, unchanged; where `first` is 0, with every step, twice */
    uint64_t seed, first;    /* numbers start at 1 */
    uint32_t count, jobs, milliseconds, megabytes, verbose;
    const char *folder;      /* of logs and of failing mutants */
} Work;
/* records[count], zeroed shared memory from worker_records. */
Record *worker_records(uint32_t count);
void worker_run(const Work *, Record *records);
/* Time of a fixed walk through memory over what it takes on an ordinary machine, at least 1: limits grow with it. */
double worker_slowness(void);
void worker_bytes(const Work *, Context *, uint32_t index, const uint8_t **bytes, size_t *n);

/* minimise.c: the smallest mutant found that fails alike; bytes are malloc'ed. */
void minimise(const Work *, const Record *wanted, const uint8_t **bytes, size_t *n);
