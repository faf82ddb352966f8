/* arena.c: all compiler memory, in chunks that grow and die together; and the growth of vectors.
 *
 * Stands below everything.  An Arena lives in its own first chunk and hangs in a ring whose head is the root arena,
 * cx->arena, so that context_free reaches every arena without allocating anything to remember them.
 *
 * In: a Context whose limits are set.  Out: zeroed, 16-byte aligned memory, never NULL.
 * Invariants: cx->memory_used is the sum of all live chunks' bytes; a chunk's memory is handed out once only, so calloc
 * is what zeroes it (and large blocks stay untouched pages).  Under ASan what was not handed out is poisoned and a gap
 * follows each allocation.
 * Running out (of limits.memory_bytes, of malloc, of size_t) reports through diag_fatal, which allocates nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define ARENA_GAP            16
#define POISON(at, bytes)    ASAN_POISON_MEMORY_REGION(at, bytes)
#define UNPOISON(at, bytes)  ASAN_UNPOISON_MEMORY_REGION(at, bytes)
#else
#define ARENA_GAP            0
#define POISON(at, bytes)    ((void)(at), (void)(bytes))
#define UNPOISON(at, bytes)  ((void)(at), (void)(bytes))
#endif

enum { ALIGN = 16, FIRST_CHUNK = 4096, LARGEST_STEP = 1 << 20 };

typedef struct Chunk {
    struct Chunk *older;
    size_t bytes; /* with this header */
} Chunk;
_Static_assert(sizeof(Chunk) % ALIGN == 0, "what follows a chunk's header must be aligned");

struct Arena {
    Context *cx;
    Arena *prev, *next; /* the ring through cx->arena */
    Chunk *chunks;      /* newest first; the oldest holds this Arena */
    char *at, *end;     /* what is left of the chunk in use */
    size_t step;        /* the next chunk's size */
};

static NORETURN void out_of_memory(Context *cx, size_t bytes) {
    diag_fatal(cx, "out of memory: cannot allocate %zu more bytes: %s", bytes, strerror(ENOMEM));
}

static Chunk *chunk_new(Context *cx, size_t bytes) {
    uint64_t limit = cx->limits.memory_bytes;
    if (bytes > limit || cx->memory_used > limit - bytes)
        diag_fatal(cx,
                   "out of memory: compiling needs more than the limit of %" PRIu64
                   " bytes; raise the memory limit or compile a smaller model",
                   limit);
    Chunk *chunk = calloc(1, bytes);
    if (!chunk) out_of_memory(cx, bytes);
    chunk->bytes = bytes;
    cx->memory_used += bytes;
    POISON(chunk + 1, bytes - sizeof *chunk);
    return chunk;
}

Arena *arena_new(Context *cx) {
    Chunk *chunk = chunk_new(cx, FIRST_CHUNK);
    Arena *arena = (Arena *)(chunk + 1);
    UNPOISON(arena, sizeof *arena);
    size_t head = (sizeof *arena + ALIGN - 1) / ALIGN * ALIGN + ARENA_GAP;
    *arena = (Arena){.cx = cx,
                     .chunks = chunk,
                     .at = (char *)arena + head,
                     .end = (char *)chunk + FIRST_CHUNK,
                     .step = (size_t)FIRST_CHUNK * 2};
    Arena *root = cx->arena;
    if (!root) { /* this is the root itself, from context_new */
        arena->prev = arena->next = arena;
        return arena;
    }
    arena->next = root;
    arena->prev = root->prev;
    root->prev->next = arena;
    root->prev = arena;
    return arena;
}

/* Freeing the root frees every other arena of the context first. */
void arena_free(Arena *arena) {
    if (!arena) return;
    Context *cx = arena->cx;
    if (arena == cx->arena) {
        while (arena->next != arena) arena_free(arena->next);
        cx->arena = NULL;
    }
    arena->prev->next = arena->next;
    arena->next->prev = arena->prev;
    for (Chunk *chunk = arena->chunks, *older; chunk; chunk = older) {
        older = chunk->older;
        cx->memory_used -= chunk->bytes;
        UNPOISON(chunk + 1, chunk->bytes - sizeof *chunk);
        free(chunk);
    }
}

/* A block too large for a step gets a chunk of its own, behind the one in use, whose rest stays usable. */
static void *alloc_slow(Arena *arena, size_t bytes, size_t room) {
    Context *cx = arena->cx;
    if (room > arena->step / 4) {
        Chunk *chunk = chunk_new(cx, sizeof(Chunk) + room);
        chunk->older = arena->chunks->older;
        arena->chunks->older = chunk;
        UNPOISON(chunk + 1, bytes);
        return chunk + 1;
    }
    Chunk *chunk = chunk_new(cx, arena->step);
    chunk->older = arena->chunks;
    arena->chunks = chunk;
    arena->at = (char *)(chunk + 1);
    arena->end = (char *)chunk + arena->step;
    if (arena->step < LARGEST_STEP) arena->step *= 2;
    void *at = arena->at;
    arena->at += room;
    UNPOISON(at, bytes);
    return at;
}

void *arena_alloc(Arena *arena, size_t bytes) {
    if (bytes > SIZE_MAX / 2) out_of_memory(arena->cx, bytes);
    size_t room = (bytes + ARENA_GAP + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (room > (size_t)(arena->end - arena->at)) return alloc_slow(arena, bytes, room);
    void *at = arena->at;
    arena->at += room;
    UNPOISON(at, bytes);
    return at;
}

void *arena_array(Arena *arena, size_t each, size_t n) {
    size_t bytes;
    if (__builtin_mul_overflow(each, n, &bytes)) out_of_memory(arena->cx, SIZE_MAX);
    return arena_alloc(arena, bytes);
}

void *arena_copy(Arena *arena, const void *from, size_t bytes) {
    void *to = arena_alloc(arena, bytes);
    if (bytes) memcpy(to, from, bytes);
    return to;
}

char *arena_print(Arena *arena, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0) n = 0; /* an encoding error: only %ls has any, and nobody uses it */
    char *text = arena_alloc(arena, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

void *vec_grow(Arena *arena, void *at, uint32_t n, uint32_t *cap, size_t each) {
    if (*cap > UINT32_MAX / 2) out_of_memory(arena->cx, SIZE_MAX);
    uint32_t grown = *cap ? *cap * 2 : 8;
    char *to = arena_array(arena, each, grown);
    if (n) memcpy(to, at, n * each);
    *cap = grown;
    return to;
}
