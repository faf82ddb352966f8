/* context.c: one compilation's life: limits, clean-up list, and the one place that running out unwinds to.
 *
 * Invariants: `armed` is true exactly between context_enter and either context_leave or the unwinding; everything that
 * is not arena memory is on the clean-up list, so unwinding leaks nothing: context_free returns it all.
 * A caller that acquires a resource registers a record first and fills it in afterwards, because registering may itself
 * run out of memory and unwind (file.c shows how).
 * The one exit that is not a return: unwinding with nobody armed aborts, as a caller broke the contract and there is no
 * frame to go back to.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base.h"

struct Cleanup {
    CleanupFn *fn;
    void *resource;
    Context *cx;
    Cleanup *older, *newer;
};

static const Limits default_limits = {
    .memory_bytes = UINT64_C(4) << 30,
    .fold_bytes = UINT64_C(64) << 20,
    .nodes = UINT64_C(1) << 20,
    .fuel = UINT64_C(2000000000),
};

static uint64_t limit_or(uint64_t limit, uint64_t otherwise) { return limit ? limit : otherwise; }

/* Its own function, as locals beside a setjmp are fragile.  Only malloc can fail: the caller's limits are set later. */
static bool set_up(Context *cx) {
    if (!context_enter(cx)) return false;
    cx->arena = arena_new(cx);
    diag_init(cx);
    context_leave(cx);
    return true;
}

Context *context_new(const Limits *limits) {
    Context *cx = calloc(1, sizeof *cx);
    if (!cx) return NULL;
    cx->limits = default_limits;
    if (!set_up(cx)) {
        context_free(cx);
        return NULL;
    }
    if (limits)
        cx->limits = (Limits){
            .memory_bytes = limit_or(limits->memory_bytes, default_limits.memory_bytes),
            .fold_bytes = limit_or(limits->fold_bytes, default_limits.fold_bytes),
            .nodes = limit_or(limits->nodes, default_limits.nodes),
            .fuel = limit_or(limits->fuel, default_limits.fuel),
        };
    return cx;
}

void context_free(Context *cx) {
    if (!cx) return;
    while (cx->cleanups) {
        Cleanup *last = cx->cleanups;
        context_cancel(last); /* first, so that fn may itself cancel others */
        last->fn(last->resource);
    }
    arena_free(cx->arena);
    free(cx);
}

void context_leave(Context *cx) { cx->armed = false; }

void context_unwind(Context *cx) {
    if (!cx->armed) abort();
    cx->armed = false;
    longjmp(cx->unwind, 1);
}

Cleanup *context_defer(Context *cx, CleanupFn *fn, void *resource) {
    Cleanup *c = arena_alloc(cx->arena, sizeof *c);
    *c = (Cleanup){.fn = fn, .resource = resource, .cx = cx, .older = cx->cleanups};
    if (c->older) c->older->newer = c;
    cx->cleanups = c;
    return c;
}

void context_cancel(Cleanup *c) {
    if (!c || !c->cx) return; /* cancelled before, or already run */
    if (c->newer)
        c->newer->older = c->older;
    else
        c->cx->cleanups = c->older;
    if (c->older) c->older->newer = c->newer;
    c->cx = NULL;
}

void context_spend(Context *cx, uint64_t fuel) {
    uint64_t limit = cx->limits.fuel;
    if (fuel <= limit && cx->fuel_used <= limit - fuel) {
        cx->fuel_used += fuel;
        return;
    }
    cx->fuel_used = limit;
    diag_fatal(cx,
               "out of fuel: folding, proving and interpreting need more than the limit of %" PRIu64
               " steps; raise the fuel limit or compile a smaller model",
               limit);
}
