/* launch.c: one kernel over its range, on the context's workers.  Threaded builds alone.
 *
 * The partition is static: range i of k is the same whatever runs it.  A range's number, not the thread's, is the
 * `worker` that kernels see: no two running ranges share it, so scratch and failure records need no more.  Results do not
 * depend on the partition (kernels are independent along their range); failures: the lowest range that failed wins.
 */
#include "ingot_frame.h"

typedef struct Launch {
    int32_t (*task)(void *args, int64_t lo, int64_t hi, int64_t worker);
    void *args;
    int64_t each, rest;  /* range i has each + (i < rest) elements */
    int32_t status[FRAME_MAX_WORKERS];
} Launch;

static uint32_t float_mode(uint32_t mode) {
#if defined(__x86_64__)
    uint32_t old;
    __asm__ volatile(".byte 0x0f, 0xae, 0x18" : : "a"(&old) : "memory"); /* stmxcsr (%rax) */
    __asm__ volatile(".byte 0x0f, 0xae, 0x10" : : "a"(&mode) : "memory"); /* ldmxcsr (%rax) */
    return old;
#else
    return mode;
#endif
}

static void range_run(void *arg, int64_t i, int32_t worker) {
    Launch *l = (Launch *)arg;
    int64_t lo = i * l->each + (i < l->rest ? i : l->rest);
    uint32_t mode = float_mode(0x1f80);
    (void)worker;
    l->status[i] = l->task(l->args, lo, lo + l->each + (i < l->rest), i);
    (void)float_mode(mode);
}

int32_t ingot_rt_launch(void *frame, int32_t (*task)(void *args, int64_t lo, int64_t hi, int64_t worker), void *args,
                        int64_t n, int64_t pieces) {
    const ingot_context *c = (const ingot_context *)frame;
    int64_t workers = c->workers, ranges = pieces < n ? pieces : n;
    const ingot_parallel *p = c->parallel;
    if (ranges > workers) ranges = workers;
    if (ranges <= 1 || !p) return task(args, 0, n, 0);
    Launch l;
    l.task = task;
    l.args = args;
    l.each = n / ranges;
    l.rest = n % ranges;
    p->run(p->user, ranges, (int32_t)workers, range_run, &l);
    for (int64_t i = 0; i < ranges; i++) {
        if (!l.status[i]) continue;
        int64_t *fails = c->fails;
        for (int k = 0; k < FRAME_FAIL_SLOTS; k++) fails[k] = fails[FRAME_FAIL_SLOTS * i + k];
        return l.status[i];
    }
    return 0;
}
