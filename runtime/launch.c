/* launch.c: one kernel over its range, or several over theirs, on the context's workers.  Threaded builds alone.
 *
 * The partition is static: range i of k is the same whatever runs it.  A range's number, not the thread's, is the
 * `worker` that kernels see: no two running ranges share it, so scratch and failure records need no more.  Results do not
 * depend on the partition (kernels are independent along their range); failures: the lowest range that failed wins.
 * Kernels that run together have one fork and join.  One that is worth all workers is cut for all, as it would be alone, so
 * that the balance is right whatever the kernels' kinds; the others, and the longer ranges of the former, go round.
 */
#include "ingot_frame.h"

/* Elements a range: where there are more, one of them counts less than data that lies in the other worker's cache. */
enum { UNEVEN = 16 };
typedef struct Launch {
    const struct ingot_rt_kernel *kernel;
    int64_t n, workers;                  /* kernels; workers, of which kernel k takes cuts[k] from first[k] on, in a ring */
    int64_t cuts[FRAME_MAX_TOGETHER], first[FRAME_MAX_TOGETHER];
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

/* Cut i of the kernel's range: the first ones are longer by one where it does not divide. */
static int32_t cut_run(const struct ingot_rt_kernel *k, int64_t cuts, int64_t i, int64_t worker) {
    int64_t each = k->n / cuts, rest = k->n % cuts, lo = i * each + (i < rest ? i : rest);
    return k->task(k->args, lo, lo + each + (i < rest), worker);
}

static void worker_run(void *arg, int64_t i, int32_t thread) {
    Launch *l = (Launch *)arg;
    uint32_t mode = float_mode(0x1f80);
    int32_t status = 0;
    (void)thread;
    for (int64_t k = 0; k < l->n; k++) {
        int64_t cut = i >= l->first[k] ? i - l->first[k] : i - l->first[k] + l->workers;
        int32_t found = cut < l->cuts[k] ? cut_run(&l->kernel[k], l->cuts[k], cut, i) : 0;
        if (!status) status = found;
    }
    l->status[i] = status;
    (void)float_mode(mode);
}

static int32_t run(const ingot_context *c, Launch *l) {
    c->parallel->run(c->parallel->user, l->workers, (int32_t)c->workers, worker_run, l);
    for (int64_t i = 0; i < l->workers; i++) {
        if (!l->status[i]) continue;
        int64_t *fails = c->fails;
        for (int k = 0; k < FRAME_FAIL_SLOTS; k++) fails[k] = fails[FRAME_FAIL_SLOTS * i + k];
        return l->status[i];
    }
    return 0;
}

int32_t ingot_rt_launch(void *frame, int32_t (*task)(void *args, int64_t lo, int64_t hi, int64_t worker), void *args,
                        int64_t n, int64_t pieces) {
    const ingot_context *c = (const ingot_context *)frame;
    int64_t cuts = pieces < n ? pieces : n;
    if (cuts > c->workers) cuts = c->workers;
    if (cuts <= 1 || !c->parallel) return task(args, 0, n, 0);
    struct ingot_rt_kernel kernel;
    kernel.task = task, kernel.args = args, kernel.n = n, kernel.pieces = pieces;
    Launch l;
    l.kernel = &kernel, l.n = 1, l.workers = cuts, l.cuts[0] = cuts, l.first[0] = 0;
    return run(c, &l);
}

int32_t ingot_rt_launch_together(void *frame, const void *kernels, int64_t n) {
    const ingot_context *c = (const ingot_context *)frame;
    int64_t pieces = 0, next = 0;
    Launch l;
    l.kernel = (const struct ingot_rt_kernel *)kernels, l.n = n;
    for (int64_t k = 0; k < n; k++) {
        const struct ingot_rt_kernel *e = &l.kernel[k];
        int64_t most = e->pieces < e->n ? e->pieces : e->n;
        l.cuts[k] = most < c->workers ? most : c->workers;
        pieces += l.cuts[k];
    }
    l.workers = pieces < c->workers ? pieces : c->workers;
    for (int64_t k = 0; k < n; k++) {
        int64_t *cuts = &l.cuts[k];
        l.first[k] = next;
        if (l.kernel[k].n < 1) *cuts = 0;
        else if (*cuts < 1) *cuts = 1;
        if (!*cuts) continue;
        int64_t more = *cuts < l.workers ? *cuts : l.kernel[k].n < UNEVEN * *cuts ? l.kernel[k].n % *cuts : 0;
        next = l.workers > 1 ? (next + more) % l.workers : 0;
    }
    if (l.workers > 1 && c->parallel) return run(c, &l);
    for (int64_t k = 0; k < n; k++) {
        int32_t status = l.cuts[k] ? l.kernel[k].task(l.kernel[k].args, 0, l.kernel[k].n, 0) : 0;
        if (status) return status;
    }
    return 0;
}
