/* loop_memory.c: memory as the Loop IR interpreter sees it: regions of host memory with bounds, initialisation and, during
 * a launch, who touched which byte.
 *
 * Race rule: within a launch, a byte that one worker writes no other worker reads or writes.  Stamps grow from launch to
 * launch, so that nothing has to be cleared between them. */
#include "loop_interp.h"
#include <string.h>

enum { STACK_CHUNK = 1 << 20, STACK_LIMIT = 1 << 28, STACK_GAP = 64, STACK_ALIGN = 64 };

LoopMemory memory_new(Context *cx, Arena *arena) {
    return (LoopMemory){.cx = cx, .arena = arena, .launch = 1};
}

/* ---- regions ------------------------------------------------------------------------------------------------------ */

/* Number of regions that begin at or below the address. */
static uint32_t regions_below(const LoopMemory *m, uintptr_t at) {
    uint32_t low = 0, high = m->regions.n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (m->regions.at[middle].base <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert_region(LoopMemory *m, Region r) {
    uint32_t at = regions_below(m, r.base);
    bool overlaps = (at > 0 && m->regions.at[at - 1].bytes > r.base - m->regions.at[at - 1].base) ||
                    (at < m->regions.n && r.bytes > m->regions.at[at].base - r.base);
    if (overlaps) BUG(m->cx, "memory of %llu bytes overlaps memory declared before", (unsigned long long)r.bytes);
    vec_push(m->arena, &m->regions, r);
    memmove(&m->regions.at[at + 1], &m->regions.at[at], (m->regions.n - 1 - at) * sizeof r);
    m->regions.at[at] = r;
}

void memory_add(LoopMemory *m, uintptr_t base, uint64_t bytes, bool writable, bool initialised, const char *name) {
    memory_remove(m, base);
    if (bytes == 0) return;
    Region r = {.base = base, .bytes = bytes, .writable = writable, .name = name};
    if (!initialised) {
        r.shadow = arena_new(m->cx);
        r.written = arena_alloc(r.shadow, bytes);
    }
    insert_region(m, r);
}

void memory_remove(LoopMemory *m, uintptr_t base) {
    uint32_t at = regions_below(m, base);
    if (at == 0 || m->regions.at[at - 1].base != base) return;
    if (m->regions.at[at - 1].shadow) arena_free(m->regions.at[at - 1].shadow);
    memmove(&m->regions.at[at - 1], &m->regions.at[at], (m->regions.n - at) * sizeof *m->regions.at);
    m->regions.n--;
}

static bool holds(const Region *r, uintptr_t at, uint64_t bytes) {
    return at >= r->base && bytes <= r->bytes && at - r->base <= r->bytes - bytes;
}

/* NULL after writing where the access went. */
static Region *find_region(LoopMemory *m, uintptr_t at, uint64_t bytes, bool write, Text *problem) {
    if (m->last < m->regions.n && holds(&m->regions.at[m->last], at, bytes)) return &m->regions.at[m->last];
    uint32_t n = regions_below(m, at);
    if (n && holds(&m->regions.at[n - 1], at, bytes)) {
        m->last = n - 1;
        return &m->regions.at[n - 1];
    }
    const char *verb = write ? "writes" : "reads";
    const Region *before = n ? &m->regions.at[n - 1] : NULL, *after = n < m->regions.n ? &m->regions.at[n] : NULL;
    uint64_t past = before ? at - before->base : UINT64_MAX, ahead = after ? after->base - at : UINT64_MAX;
    const Region *nearest = before && past < before->bytes ? before
                            : ahead < 4096                 ? after
                            : past < UINT32_MAX            ? before
                                                           : NULL;
    if (at == 0)
        text_add(problem, "%s %llu bytes through a null pointer", verb, (unsigned long long)bytes);
    else if (!nearest)
        text_add(problem, "%s %llu bytes far from any memory", verb, (unsigned long long)bytes);
    else
        text_add(problem, "%s %llu bytes at offset %lld of %s%s (%llu bytes)", verb, (unsigned long long)bytes,
                 (long long)(at - nearest->base),
                 nearest->stack  ? "an alloc"
                 : nearest->name ? "data object @"
                                 : "memory",
                 nearest->name ? nearest->name : "", (unsigned long long)nearest->bytes);
    return NULL;
}

/* ---- access ------------------------------------------------------------------------------------------------------- */

void memory_launch(LoopMemory *m, uint32_t workers) {
    uint32_t next = m->launch + workers + 1;
    if (next + workers + 1 > UINT16_MAX) {
        for (uint32_t i = 0; i < m->regions.n; i++)
            if (m->regions.at[i].touched) memset(m->regions.at[i].touched, 0, m->regions.at[i].bytes * sizeof(Touch));
        next = 1;
    }
    m->launch = (uint16_t)next;
}

/* The first byte another worker has touched in the way, or n. */
static uint64_t touch_bytes(const LoopMemory *m, Touch *t, uint64_t n, bool write) {
    const uint16_t launch = m->launch, me = m->task;
    for (uint64_t i = 0; i < n; i++) {
        if (t[i].writer >= launch && t[i].writer != me) return i;
        if (write) {
            if (t[i].reader >= launch && t[i].reader != me) return i;
            t[i].writer = me;
        } else if (t[i].reader < launch) {
            t[i].reader = me;
        } else if (t[i].reader != me) {
            t[i].reader = launch;
        }
    }
    return n;
}

bool memory_touch(LoopMemory *m, uintptr_t at, uint64_t bytes, bool write, Text *problem) {
    Region *r = find_region(m, at, bytes, write, problem);
    if (!r) return false;
    uint64_t offset = at - r->base;
    if (write && !r->writable) {
        text_add(problem, "writes to read-only %s%s", r->name ? "data object @" : "memory", r->name ? r->name : "");
        return false;
    }
    if (r->written && write) {
        memset(r->written + offset, 1, bytes);
    } else if (r->written) {
        const uint8_t *hole = memchr(r->written + offset, 0, bytes);
        if (hole) {
            text_add(problem, "reads uninitialised memory at offset %llu of %s (%llu bytes)",
                     (unsigned long long)(hole - r->written), r->stack ? "an alloc" : "memory",
                     (unsigned long long)r->bytes);
            return false;
        }
    }
    if (!m->task || !r->writable || r->stack) return true;
    if (!r->touched) {
        if (!r->shadow) r->shadow = arena_new(m->cx);
        r->touched = arena_array(r->shadow, sizeof(Touch), r->bytes);
    }
    uint64_t n = touch_bytes(m, r->touched + offset, bytes, write);
    if (n == bytes) return true;
    text_add(problem, "race: %s offset %llu of %s%s (%llu bytes), which another worker of this launch %s",
             write ? "writes" : "reads", (unsigned long long)(offset + n), r->name ? "data object @" : "memory",
             r->name ? r->name : "", (unsigned long long)r->bytes,
             r->touched[offset + n].writer >= m->launch ? "wrote" : "read");
    return false;
}

/* ---- stack -------------------------------------------------------------------------------------------------------- */

static bool grow_stack(LoopMemory *m, uint64_t bytes) {
    StackChunk *c = m->spare;
    if (c && c->size >= bytes) {
        m->spare = c->next;
    } else {
        uint64_t size = bytes > STACK_CHUNK ? bytes : STACK_CHUNK;
        if (m->stack_bytes + size > STACK_LIMIT) return false;
        m->stack_bytes += size;
        c = arena_alloc(m->arena, sizeof *c);
        c->size = size;
        c->data = arena_alloc(m->arena, size + STACK_ALIGN);
        c->data += (STACK_ALIGN - (uintptr_t)c->data % STACK_ALIGN) % STACK_ALIGN;
        c->written = arena_alloc(m->arena, size);
    }
    c->used = 0;
    c->next = m->chunk;
    m->chunk = c;
    return true;
}

/* A block and the gap that catches what runs over its end. */
static uint64_t stack_extent(uint64_t bytes) {
    return (bytes + STACK_GAP + STACK_ALIGN - 1) / STACK_ALIGN * STACK_ALIGN;
}

uintptr_t memory_push(LoopMemory *m, uint64_t bytes) {
    uint64_t extent = stack_extent(bytes);
    if (bytes > STACK_LIMIT) return 0;
    if ((!m->chunk || m->chunk->size - m->chunk->used < extent) && !grow_stack(m, extent)) return 0;
    StackChunk *c = m->chunk;
    Region r = {.base = (uintptr_t)(c->data + c->used), .bytes = bytes, .writable = true, .stack = true};
    r.written = c->written + c->used;
    memset(r.written, 0, bytes);
    c->used += extent;
    insert_region(m, r);
    return r.base;
}

void memory_renew(LoopMemory *m, uintptr_t base) {
    uint32_t at = regions_below(m, base);
    REQUIRE(m->cx, at && m->regions.at[at - 1].base == base);
    memset(m->regions.at[at - 1].written, 0, m->regions.at[at - 1].bytes);
}

void memory_pop(LoopMemory *m, uintptr_t base, uint64_t bytes) {
    StackChunk *c = m->chunk;
    memory_remove(m, base);
    c->used -= stack_extent(bytes);
    if (c->used || !c->next) return;
    m->chunk = c->next;
    c->next = m->spare;
    m->spare = c;
}
