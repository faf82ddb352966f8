/* step.c: between two launches of the host program: cancellation, and times for the call's trace. */
#if !defined(_POSIX_C_SOURCE) && !defined(_GNU_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif
#include "ingot_frame.h"
#if INGOT_RT_HEAP
#include <time.h>
#endif

int32_t ingot_rt_step(void *frame, int64_t launch) {
    ingot_context *c = (ingot_context *)frame;
    const ingot_call *call = c->call;
#if INGOT_RT_HEAP
    if (call->trace) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        int64_t now = t.tv_sec * 1000000000 + t.tv_nsec;
        if (c->traced) call->trace(call->trace_user, c->m->launches[c->traced - 1], (uint64_t)(now - c->traced_ns));
        c->traced = launch + 1;
        c->traced_ns = now;
    }
#else
    (void)launch;
#endif
    return call->cancel && *(const volatile uint32_t *)call->cancel ? INGOT_E_CANCELLED : INGOT_OK;
}
