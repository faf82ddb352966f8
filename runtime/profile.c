/* profile.c: tells a context's observer what each launch took.  Builds with a profile alone.
 *
 * The host program measures around a launch as a whole, so that times hold on any number of threads; what a launch computes and
 * moves is counted by the host program itself, from the sizes of the run (codegen/lower/host_profile.c).
 */
#if !defined(_POSIX_C_SOURCE) && !defined(_GNU_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif
#include "ingot_frame.h"
#include <time.h>

static int64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

void ingot_rt_observe(ingot_context *context, ingot_observer observer, void *user) {
    ingot_rt_observed *c = (ingot_rt_observed *)(void *)context;
    c->observer = observer;
    c->user = user;
}

int64_t ingot_rt_begin(void *frame) { return ((const ingot_rt_observed *)frame)->observer ? clock_ns() : 0; }

void ingot_rt_end(void *frame, int64_t kernel, int64_t begin_ns, const int64_t *work) {
    const ingot_rt_observed *c = (const ingot_rt_observed *)frame;
    ingot_launch l;
    l.end_ns = (uint64_t)clock_ns();
    l.size = sizeof l;
    l.kernel = (uint32_t)kernel;
    l.begin_ns = (uint64_t)begin_ns;
    l.flops = work[WORK_FLOPS];
    l.read = work[WORK_READ];
    l.written = work[WORK_WRITTEN];
    l.weights = work[WORK_WEIGHTS];
    c->observer(c->user, &l);
}
