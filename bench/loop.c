/* loop.c: calls a C function again and again and notes the time of each call: bench/peers.py loads it, so that no time of
 * Python's is in the figures of peers that have a C interface.
 *
 * Functions take up to eight pointers.  `checked`: a result other than 0 is a failure: the loop stops and returns it.  Else the
 * function may as well be void.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <time.h>

typedef int32_t Function(void *, void *, void *, void *, void *, void *, void *, void *);

static uint64_t now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int32_t time_calls(Function *, void *const[8], int32_t, int32_t, int64_t, uint64_t *);

/* processor: the time of all threads of this process instead of the clock on the wall. */
int32_t time_calls(Function *function, void *const a[8], int32_t checked, int32_t processor, int64_t n, uint64_t *ns) {
    clockid_t clock = processor ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
    for (int64_t i = 0; i < n; i++) {
        uint64_t start = now(clock);
        int32_t status = function(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
        ns[i] = now(clock) - start;
        if (checked && status) return status;
    }
    return 0;
}
