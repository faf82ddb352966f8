/* step.c: between two launches of the host program: cancellation, and times for the call's trace. */
#if !defined(_POSIX_C_SOURCE) && !defined(_GNU_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif
#include "ingot_frame.h"
#if INGOT_RT_HEAP
#include <time.h>

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
#endif

int32_t ingot_rt_step(void *frame, int64_t launch) {
    ingot_context *c = (ingot_context *)frame;
    const volatile uint32_t *cancel = (const volatile uint32_t *)c->frame[FRAME_CANCEL].cp;
#if INGOT_RT_HEAP
    const ingot_call *call = c->call;
    if (call && call->trace) {
        if (c->traced_launch >= 0) call->trace(call->trace_user, c->m->launches[c->traced_launch], now_ns() - c->traced_ns);
        c->traced_launch = launch;
        c->traced_ns = now_ns();
    }
#else
    (void)launch;
#endif
    return *cancel ? INGOT_E_CANCELLED : INGOT_OK;
}
