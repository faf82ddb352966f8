/* pool.c: our own threads: they spin for about a millisecond after work, then sleep on a futex.  Threaded builds alone.
 *
 * A job is claimed slot by slot, each thread beginning with its own, so that kernel after kernel finds its data in the same
 * cache.  `generation` is odd while the caller changes the job's fields, so that who reads the same even number before and
 * after has the fields of that job.  taken[i] is the last generation in which slot i was claimed; a claim raises it to the one
 * whose fields were read, which fails once the job has ended: all its slots were claimed by then.  The caller takes part, and
 * returns when `done` reaches all slots; it waits for work, never for threads.
 * One job at a time: a second caller at the same time, or a child after fork, runs its indices itself, in order.
 * Few CPUs: there are no more threads than CPUs (affinity, cgroup quota); who finds itself on the caller's CPU sleeps instead
 * of spinning; sleepers that came too late for a number of jobs are woken for few.
 * Fork: the page is wiped in children (MADV_WIPEONFORK), where `alive` therefore reads 0.
 * Workers block all signals.  Where a thread cannot be made, the pool has fewer.
 */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "ingot_frame.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct Pool Pool;
typedef struct Worker {
    pthread_t thread;
    Pool *pool;
    int32_t id;
} Worker;
struct Pool {
    uint64_t generation; /* of the job */
    int32_t bell;        /* its low half: the futex of sleepers */
    int32_t sleepers;
    char apart[48];
    int64_t n;
    int64_t slots;       /* slot i has the indices [i * n / slots, (i + 1) * n / slots) */
    int64_t limit;       /* worker ids below it take part */
    ingot_task task;
    void *arg;
    int32_t cpu;         /* where the caller runs */
    char apart_too[20];
    int32_t done;        /* slots finished; the futex of the caller */
    int32_t waiting;
    int32_t busy, stop, alive;
    int32_t workers, threads, spins;
    int64_t bytes;
    int64_t alone;       /* jobs in a row that no worker took part in */
    uint64_t taken[FRAME_MAX_WORKERS];
    Worker worker[];
};
#define LOAD(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define STORE(p, v) __atomic_store_n(p, v, __ATOMIC_SEQ_CST)
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

/* Claims and runs slots of the current job until none is left. */
static void work(Pool *p, int32_t id) {
    uint64_t job = LOAD(&p->generation);
    ingot_task task = LOAD(&p->task);
    void *arg = LOAD(&p->arg);
    int64_t n = LOAD(&p->n), slots = LOAD(&p->slots), limit = LOAD(&p->limit), threads = LOAD(&p->threads);
    if (job % 2 || LOAD(&p->generation) != job || id >= limit) return;
    int64_t first = slots <= threads ? id % slots : id * slots / threads;
    for (int64_t k = 0; k < slots; k++) {
        int64_t slot = first + k < slots ? first + k : first + k - slots;
        uint64_t last = LOAD(&p->taken[slot]);
        if (last > job) return;
        if (last == job || !__atomic_compare_exchange_n(&p->taken[slot], &last, job, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            continue;
        int64_t each = n / slots, rest = n % slots, lo = slot * each + (slot < rest ? slot : rest),
                hi = lo + each + (slot < rest);
        for (int64_t i = lo; i < hi; i++) task(arg, i, id);
        if (id) STORE(&p->alone, 0);
        if (__atomic_add_fetch(&p->done, 1, __ATOMIC_SEQ_CST) == (int32_t)slots && LOAD(&p->waiting)) futex_wake(&p->done, 1);
    }
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
        for (int32_t k = LOAD(&p->spins); k > 0 && LOAD(&p->generation) == seen; k--) {
            if (k % LOOK == 0 && sched_getcpu() == LOAD(&p->cpu)) break;
            relax();
        }
        if (LOAD(&p->generation) != seen) continue;
        __atomic_add_fetch(&p->sleepers, 1, __ATOMIC_SEQ_CST);
        if (LOAD(&p->generation) == seen && !LOAD(&p->stop)) futex_wait(&p->bell, (int32_t)(uint32_t)seen);
        __atomic_sub_fetch(&p->sleepers, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void job_run(Pool *p, int64_t n, int32_t workers, ingot_task task, void *arg) {
    int64_t slots = n < FRAME_MAX_WORKERS ? n : FRAME_MAX_WORKERS, alone = LOAD(&p->alone);
    uint64_t job = LOAD(&p->generation) + 2;
    STORE(&p->generation, job - 1);
    STORE(&p->task, task);
    STORE(&p->arg, arg);
    STORE(&p->n, n);
    STORE(&p->limit, (int64_t)workers);
    STORE(&p->cpu, sched_getcpu());
    STORE(&p->done, 0);
    STORE(&p->alone, alone + 1);
    STORE(&p->slots, slots);
    STORE(&p->generation, job);
    STORE(&p->bell, (int32_t)(uint32_t)job);
    if (LOAD(&p->sleepers) && (alone < PATIENCE || alone % RETRY == 0)) futex_wake(&p->bell, 0x7fffffff);
    work(p, 0);
    int32_t done;
    for (int32_t k = 4096; k > 0 && LOAD(&p->done) != (int32_t)slots; k--) relax();
    STORE(&p->waiting, 1);
    while ((done = LOAD(&p->done)) != (int32_t)slots) futex_wait(&p->done, done);
    STORE(&p->waiting, 0);
}

static void pool_run(void *user, int64_t n, int32_t workers, ingot_task task, void *arg) {
    Pool *p = (Pool *)user;
    int32_t idle = 0;
    if (n <= 1 || workers <= 1 || !LOAD(&p->alive) || LOAD(&p->threads) == 1 ||
        !__atomic_compare_exchange_n(&p->busy, &idle, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        for (int64_t i = 0; i < n; i++) task(arg, i, 0);
        return;
    }
    job_run(p, n, workers, task, arg);
    STORE(&p->busy, 0);
}

/* CPUs' worth of time that the cgroup allows, or INT32_MAX. */
static int32_t quota(void) {
    char text[64];
    int file = open("/sys/fs/cgroup/cpu.max", O_RDONLY | O_CLOEXEC);
    if (file < 0) return INT32_MAX;
    ssize_t bytes = read(file, text, sizeof text);
    close(file);
    int64_t number[2] = {0, 0}; /* microseconds of each period; "max" in the place of the first: no limit */
    for (ssize_t i = 0, k = 0; i < bytes && k < 2; i++) {
        if (text[i] == ' ') k++;
        else if (text[i] >= '0' && text[i] <= '9' && number[k] < INT32_MAX) number[k] = number[k] * 10 + (text[i] - '0');
    }
    if (number[0] < 1 || number[1] < 1) return INT32_MAX;
    return (int32_t)((number[0] + number[1] - 1) / number[1]);
}

/* CPUs that this process may use. */
static int32_t cpus(void) {
    cpu_set_t set;
    int32_t most = quota();
    if (sched_getaffinity(0, sizeof set, &set)) return 1;
    return CPU_COUNT(&set) < most ? CPU_COUNT(&set) : most;
}

ingot_status ingot_rt_pool_open(int32_t workers, ingot_parallel *out, ingot_error *err) {
    int32_t available = cpus();
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
        uint64_t last = __atomic_add_fetch(&p->generation, 1, __ATOMIC_SEQ_CST);
        STORE(&p->bell, (int32_t)(uint32_t)last);
        futex_wake(&p->bell, 0x7fffffff);
        for (int32_t i = 1; i < p->threads; i++) pthread_join(p->worker[i].thread, NULL);
    }
    munmap(p, bytes);
    parallel->user = NULL;
    parallel->workers = 1;
}
