/* loop_interp.h: private to the Loop IR interpreter: loop_interp.c (control), loop_interp_ops.c (values and memory
 * instructions), loop_memory.c (checked memory). */
#pragma once
#include "loop.h"

/* Who wrote and read a byte during the current launch: stamps from LoopMemory.launch on belong to it, and the stamp
 * `launch` itself stands for several readers. */
typedef struct Touch { uint16_t writer, reader; } Touch;
typedef struct Region {
    uintptr_t base;
    uint64_t bytes;
    const char *name;        /* of a data object, or NULL */
    uint8_t *written;        /* one per byte; NULL: all initialised */
    Touch *touched;          /* one per byte; NULL until a launch touches it */
    Arena *shadow;           /* of both; NULL where there are none or a stack holds them */
    bool writable, stack;    /* stack: of one function's alloc, so nobody else's */
} Region;
typedef struct StackChunk {
    struct StackChunk *next;
    uint8_t *data, *written;
    uint64_t size, used;
} StackChunk;
typedef struct LoopMemory {
    Context *cx;
    Arena *arena;
    VEC(Region) regions;     /* ascending, disjoint */
    uint32_t last;           /* where the latest access was found */
    uint16_t launch, task;   /* task: this worker's stamp; 0: no launch under way, or it has one worker */
    StackChunk *chunk;       /* the one in use, then those before it */
    StackChunk *spare;
    uint64_t stack_bytes;
} LoopMemory;

LoopMemory memory_new(Context *, Arena *);
void memory_add(LoopMemory *, uintptr_t base, uint64_t bytes, bool writable, bool initialised, const char *name);
void memory_remove(LoopMemory *, uintptr_t base);
/* false after writing what is wrong.  A read checks initialisation, a write records it; both record who touched it. */
bool memory_touch(LoopMemory *, uintptr_t at, uint64_t bytes, bool write, Text *problem);
void memory_launch(LoopMemory *, uint32_t workers);          /* stamps of earlier launches are past */
/* Stack memory, undefined until written.  0 where the stack is full. */
uintptr_t memory_push(LoopMemory *, uint64_t bytes);
void memory_renew(LoopMemory *, uintptr_t base);             /* the block is undefined again */
void memory_pop(LoopMemory *, uintptr_t base, uint64_t bytes); /* the latest one */

typedef struct Frame {
    const LFunc *f;
    LSlot *values;           /* lanes of value v begin at first[v.id] */
    const uint32_t *first;
    struct Alloc *allocs;
} Frame;
typedef struct Alloc {
    struct Alloc *next;
    const LInst *inst;
    uintptr_t base;
    uint64_t bytes;
} Alloc;
static inline LSlot *slots(const Frame *frame, LVal v) { return &frame->values[frame->first[v.id]]; }
static inline LType value_type(const Frame *frame, LVal v) { return frame->f->types.at[v.id]; }

typedef struct ValueChunk {
    struct ValueChunk *before;
    LSlot *at;
    uint32_t size, used;
} ValueChunk;
typedef struct Layout { uint32_t *first; uint32_t n; } Layout;
struct LoopInterp {
    const LoopModule *m;
    Context *cx;
    Arena *arena;
    LoopExternFn *external;
    void *user;
    LoopMemory memory;
    Map symbols;             /* interned name -> function index + 1, or n functions + data index + 1 */
    Map functions;           /* address of the LFunc, as pointers to it have -> index + 1 */
    Layout *layouts;         /* by function; first NULL until its first call */
    uintptr_t *data;         /* addresses by data index */
    ValueChunk *values, *spare_values; /* a stack, and chunks for its growth */
    Alloc *spare_allocs;
    LSlot result;            /* of the function that just returned */
    uint64_t random, steps;
    uint32_t workers, depth;
    bool valid, launching;
    uint32_t deferred;       /* kernels since the last launch; they have run, the next launch answers for them */
    int64_t deferred_status;
    bool tiles;              /* between tile_begin and tile_end */
    LoopTile tile[LOOP_TILES];
};

/* Reports at the instruction; always false. */
bool interp_fail(LoopInterp *, const Frame *, const LInst *, const char *fmt, ...) PRINTF_LIKE(4, 5);
bool interp_op(LoopInterp *, Frame *, const LInst *);        /* everything but CONTROL */
bool interp_tile(LoopInterp *, Frame *, const LInst *);      /* loop_tile.c */
/* false after a report: of the access, and where the address is no multiple of align. */
bool interp_touch(LoopInterp *, const Frame *, const LInst *, uintptr_t at, uint64_t bytes, uint64_t align, bool write);
uintptr_t interp_symbol(LoopInterp *, const char *name);
