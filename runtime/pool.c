/* pool.c: our own threads: they spin for about a millisecond after work, then sleep on a futex.  Threaded builds alone.
 *
 * A job is claimed slot by slot, each thread beginning with its own, so that kernel after kernel finds its data in the same
 * cache.  `generation` counts jobs; two of them have room, by turns: who reads the same number before and after has read the
 * fields of that job.  A slot's `taken` is the last generation in which it was claimed; a claim raises it to the one whose
 * fields were read, which fails once the job has ended: all its slots were claimed by then.  The caller takes part, and
 * returns when all slots are finished; it waits for work, never for threads.
 * What one thread writes and another waits for lies in a cache line of its own: a line that two write costs some 100 ns.
 * One job at a time: a second caller at the same time, or a child after fork, runs its indices itself, in order.
 * Few CPUs: there are no more threads than CPUs (affinity, quota.c).  The caller's CPU is closed to the others, and
 * another one when the caller moves: a scheduler that wakes who sleeps next to who wakes leaves both there for milliseconds.
 * Who finds itself there all the same sleeps instead of spinning; sleepers that came too late for a number of jobs are woken
 * for few.
 * Fork: the page is wiped in children (MADV_WIPEONFORK), where `alive` therefore reads 0.
 * Workers block all signals.  Where a thread cannot be made, the pool has fewer.
 */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "ingot_frame.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct Pool Pool;
typedef struct Worker {
    pthread_t thread;
    Pool *pool;
    int32_t id;
} Worker;
typedef struct Job {
    ingot_task task;
    void *arg;
    int64_t n, slots; /* slot i has the indices [i * n / slots, (i + 1) * n / slots) */
    int64_t limit;    /* worker ids below it take part */
    char apart[24];
} Job;
typedef struct Slot {
    uint64_t taken, finished; /* generations */
    char apart[48];
} Slot;
struct Pool {
    uint64_t generation; /* of the job */
    char apart[56];
    Job jobs[2];         /* of odd and even generations */
    int32_t bell, sleepers; /* futex of those who sleep */
    int32_t rung, waiting;  /* futex of the caller */
    int32_t cpu;            /* where the caller runs */
    int32_t stop, alive, workers, threads, spins;
    int64_t bytes;
    cpu_set_t allowed;      /* CPUs of who opened the pool */
    char apart_too[16];
    int64_t alone;          /* jobs in a row that no worker took part in */
    int32_t busy;
    char apart_again[52];
    Slot slot[FRAME_MAX_WORKERS];
    Worker worker[];
};
_Static_assert(sizeof(Job) == 64 && sizeof(Slot) == 64 && offsetof(Pool, slot) % 64 == 0, "lines");
#define LOAD(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define STORE(p, v) __atomic_store_n(p, v, __ATOMIC_SEQ_CST)
#define PUT(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
enum { SPINS = 1 << 14, LOOK = 256, PATIENCE = 16, RETRY = 64 };

static void futex_wait(int32_t *at, int32_t seen) { syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0); }
static void futex_wake(int32_t *at, int32_t n) { syscall(SYS_futex, at, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0); }
static void relax(void) {
#if defined(__x86_64__)
    __asm__ volatile("pause");
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool claim(Slot *slot, uint64_t last, uint64_t job) {
    return __atomic_compare_exchange_n(&slot->taken, &last, job, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
static void finish(Pool *p, Slot *slot, uint64_t job) {
    STORE(&slot->finished, job);
    if (!LOAD(&p->waiting)) return;
    __atomic_add_fetch(&p->rung, 1, __ATOMIC_SEQ_CST);
    futex_wake(&p->rung, 1);
}

/* Claims and runs slots of the current job until none is left; how many. */
static int64_t work(Pool *p, int32_t id) {
    uint64_t job = LOAD(&p->generation);
    const Job *j = &p->jobs[job % 2];
    ingot_task task = LOAD(&j->task);
    void *arg = LOAD(&j->arg);
    int64_t n = LOAD(&j->n), slots = LOAD(&j->slots), limit = LOAD(&j->limit), ran = 0;
    if (LOAD(&p->generation) != job || id >= limit) return 0;
    int64_t first = slots <= p->threads ? id % slots : id * slots / p->threads;
    for (int64_t k = 0; k < slots; k++) {
        int64_t i = first + k < slots ? first + k : first + k - slots;
        Slot *slot = &p->slot[i];
        uint64_t last = LOAD(&slot->taken);
        if (last > job) return ran;
        if (last == job || !claim(slot, last, job)) continue;
        int64_t each = n / slots, rest = n % slots, lo = i * each + (i < rest ? i : rest), hi = lo + each + (i < rest);
        for (int64_t at = lo; at < hi; at++) task(arg, at, id);
        finish(p, slot, job);
        ran++;
    }
    return ran;
}

static void *worker_main(void *arg) {
    Worker *w = (Worker *)arg;
    Pool *p = w->pool;
    uint64_t seen = 0;
    while (!LOAD(&p->stop)) {
        uint64_t now = LOAD(&p->generation);
        if (now != seen) {
            seen = now;
            work(p, w->id);
            continue;
        }
        for (int32_t k = p->spins; k > 0 && LOAD(&p->generation) == seen && !LOAD(&p->stop); k--) {
            if (k % LOOK == 0 && sched_getcpu() == LOAD(&p->cpu)) break;
            relax();
        }
        if (LOAD(&p->generation) != seen) continue;
        __atomic_add_fetch(&p->sleepers, 1, __ATOMIC_SEQ_CST);
        int32_t heard = LOAD(&p->bell);
        if (LOAD(&p->generation) == seen && !LOAD(&p->stop)) futex_wait(&p->bell, heard);
        __atomic_sub_fetch(&p->sleepers, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void ring(Pool *p) {
    __atomic_add_fetch(&p->bell, 1, __ATOMIC_SEQ_CST);
    futex_wake(&p->bell, 0x7fffffff);
}

/* The other threads leave the caller's CPU; where that is not allowed, they stay where they are. */
static void keep_apart(Pool *p, int32_t cpu) {
    if (cpu < 0 || cpu >= CPU_SETSIZE || cpu == p->cpu) return;
    cpu_set_t others = p->allowed;
    CPU_CLR(cpu, &others);
    for (int32_t i = 1; i < p->threads && CPU_COUNT(&others); i++)
        (void)pthread_setaffinity_np(p->worker[i].thread, sizeof others, &others);
    STORE(&p->cpu, cpu);
}

static void await(Pool *p, const Slot *slot, uint64_t job) {
    for (int32_t k = 4096; k > 0 && LOAD(&slot->finished) != job; k--) relax();
    if (LOAD(&slot->finished) == job) return;
    STORE(&p->waiting, 1);
    for (int32_t heard = LOAD(&p->rung); LOAD(&slot->finished) != job; heard = LOAD(&p->rung)) futex_wait(&p->rung, heard);
    STORE(&p->waiting, 0);
}

static void job_run(Pool *p, int64_t n, int32_t workers, ingot_task task, void *arg) {
    int64_t slots = n < FRAME_MAX_WORKERS ? n : FRAME_MAX_WORKERS;
    uint64_t job = p->generation + 1;
    Job *j = &p->jobs[job % 2];
    keep_apart(p, sched_getcpu());
    PUT(&j->task, task);
    PUT(&j->arg, arg);
    PUT(&j->n, n);
    PUT(&j->slots, slots);
    PUT(&j->limit, (int64_t)workers);
    STORE(&p->generation, job);
    if (LOAD(&p->sleepers) && (p->alone < PATIENCE || p->alone % RETRY == 0)) ring(p);
    p->alone = work(p, 0) == slots ? p->alone + 1 : 0;
    for (int64_t i = 0; i < slots; i++) await(p, &p->slot[i], job);
}

static void pool_run(void *user, int64_t n, int32_t workers, ingot_task task, void *arg) {
    Pool *p = (Pool *)user;
    int32_t idle = 0;
    if (n <= 1 || workers <= 1 || !LOAD(&p->alive) || p->threads == 1 ||
        !__atomic_compare_exchange_n(&p->busy, &idle, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        for (int64_t i = 0; i < n; i++) task(arg, i, 0);
        return;
    }
    job_run(p, n, workers, task, arg);
    STORE(&p->busy, 0);
}

/* How many CPUs this process may use, and which; none are known where it cannot ask. */
static int32_t cpus(cpu_set_t *set) {
    int32_t most = ingot_rt_quota("");
    if (sched_getaffinity(0, sizeof *set, set)) {
        CPU_ZERO(set);
        return 1;
    }
    return CPU_COUNT(set) < most ? CPU_COUNT(set) : most;
}

ingot_status ingot_rt_pool_open(int32_t workers, ingot_parallel *out, ingot_error *err) {
    cpu_set_t allowed;
    int32_t available = cpus(&allowed);
    if (!out || workers < 0)
        return ingot_rt_error(err, "\001pool_open: found %d workers, expected at least 0", NULL, workers, 0, 0);
    if (workers == 0) workers = available;
    if (workers > FRAME_MAX_WORKERS) workers = FRAME_MAX_WORKERS;
    size_t bytes = (sizeof(Pool) + (size_t)workers * sizeof(Worker) + 4095) & ~(size_t)4095;
    Pool *p = (Pool *)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return ingot_rt_error(err, "\010no memory for a pool: %d bytes", NULL, (int64_t)bytes, 0, 0);
    if (madvise(p, bytes, MADV_WIPEONFORK)) {
        munmap(p, bytes);
        return ingot_rt_error(err, "\021this kernel lacks MADV_WIPEONFORK (Linux 4.14), which a pool needs to survive fork",
                              NULL, 0, 0, 0);
    }
    p->bytes = (int64_t)bytes;
    p->alive = 1;
    p->spins = SPINS;
    p->cpu = -1;
    p->workers = workers;
    p->threads = 1;
    p->allowed = allowed;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (p->threads < workers && p->threads < available) {
        Worker *w = &p->worker[p->threads];
        w->pool = p;
        w->id = p->threads;
        if (pthread_create(&w->thread, NULL, worker_main, w)) break;
        p->threads++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    out->size = sizeof *out;
    out->workers = p->workers;
    out->user = p;
    out->run = pool_run;
    return INGOT_OK;
}

void ingot_rt_pool_close(ingot_parallel *parallel) {
    Pool *p = (Pool *)parallel->user;
    if (!p) return;
    size_t bytes = ((sizeof(Pool) + (size_t)parallel->workers * sizeof(Worker) + 4095) & ~(size_t)4095);
    if (LOAD(&p->alive)) {
        bytes = (size_t)p->bytes;
        STORE(&p->stop, 1);
        ring(p);
        for (int32_t i = 1; i < p->threads; i++) pthread_join(p->worker[i].thread, NULL);
    }
    munmap(p, bytes);
    parallel->user = NULL;
    parallel->workers = 1;
}
