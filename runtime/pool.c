/* pool.c: our own threads: they spin for about a millisecond after work, then sleep on a futex.  Threaded builds alone.
 *
 * A job is claimed index by index.  `ticket` holds its generation and the next index; a worker reads the job's fields
 * before it claims, and a claim succeeds only in the generation that it read: then the job cannot have ended, so the
 * fields were this job's.  The caller takes part, and returns when `done` reaches n; it waits for work, never for threads.
 * One job at a time: a second caller at the same time, or a child after fork, runs its indices itself, in order.
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
    uint64_t ticket;     /* generation << 32 | next index */
    char apart[56];
    int32_t generation;  /* the futex of sleepers */
    int32_t sleepers;
    int64_t n;
    int64_t limit;       /* worker ids below it take part */
    ingot_task task;
    void *arg;
    char apart_too[24];
    int32_t done;        /* indices finished; the futex of the caller */
    int32_t waiting;
    int32_t busy, stop, alive;
    int32_t workers, spins;
    int64_t bytes;
    Worker worker[];
};
#define LOAD(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define STORE(p, v) __atomic_store_n(p, v, __ATOMIC_SEQ_CST)
#define CHUNK ((int64_t)1 << 30) /* indices of one job: done and the ticket's low half count them */

static void futex_wait(int32_t *at, int32_t seen) { syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0); }
static void futex_wake(int32_t *at, int32_t n) { syscall(SYS_futex, at, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0); }
static void relax(void) {
#if defined(__x86_64__)
    __asm__ volatile("pause");
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Claims and runs indices of the current job until none is left. */
static void work(Pool *p, int32_t id) {
    uint64_t ticket = LOAD(&p->ticket);
    for (;;) {
        ingot_task task = LOAD(&p->task);
        void *arg = LOAD(&p->arg);
        int64_t n = LOAD(&p->n), i = (int64_t)(ticket & 0xffffffffu);
        if (id >= LOAD(&p->limit) || i >= n) {
            uint64_t again = LOAD(&p->ticket);
            if (again >> 32 == ticket >> 32) return; /* the fields were this generation's */
            ticket = again;
            continue;
        }
        if (!__atomic_compare_exchange_n(&p->ticket, &ticket, ticket + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) continue;
        task(arg, i, id);
        if (__atomic_add_fetch(&p->done, 1, __ATOMIC_SEQ_CST) == (int32_t)n && LOAD(&p->waiting)) futex_wake(&p->done, 1);
        ticket = LOAD(&p->ticket);
    }
}

static void *worker_main(void *arg) {
    Worker *w = (Worker *)arg;
    Pool *p = w->pool;
    int32_t seen = 0;
    while (!LOAD(&p->stop)) {
        int32_t now = LOAD(&p->generation);
        if (now != seen) {
            seen = now;
            work(p, w->id);
            continue;
        }
        for (int32_t k = LOAD(&p->spins); k > 0 && LOAD(&p->generation) == seen; k--) relax();
        if (LOAD(&p->generation) != seen) continue;
        __atomic_add_fetch(&p->sleepers, 1, __ATOMIC_SEQ_CST);
        if (LOAD(&p->generation) == seen && !LOAD(&p->stop)) futex_wait(&p->generation, seen);
        __atomic_sub_fetch(&p->sleepers, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void job_run(Pool *p, int64_t n, int32_t workers, ingot_task task, void *arg) {
    uint64_t next = (uint32_t)LOAD(&p->generation) + (uint64_t)1;
    STORE(&p->ticket, next << 32 | 0xffffffffu); /* while the fields change no claim succeeds */
    STORE(&p->task, task);
    STORE(&p->arg, arg);
    STORE(&p->n, n);
    STORE(&p->limit, (int64_t)workers);
    STORE(&p->done, 0);
    STORE(&p->ticket, next << 32);
    STORE(&p->generation, (int32_t)(uint32_t)next);
    if (LOAD(&p->sleepers)) futex_wake(&p->generation, 0x7fffffff);
    work(p, 0);
    int32_t done;
    for (int32_t k = 4096; k > 0 && LOAD(&p->done) != (int32_t)n; k--) relax();
    STORE(&p->waiting, 1);
    while ((done = LOAD(&p->done)) != (int32_t)n) futex_wait(&p->done, done);
    STORE(&p->waiting, 0);
}

static void pool_run(void *user, int64_t n, int32_t workers, ingot_task task, void *arg) {
    Pool *p = (Pool *)user;
    int32_t idle = 0;
    if (n <= 1 || workers <= 1 || !LOAD(&p->alive) ||
        !__atomic_compare_exchange_n(&p->busy, &idle, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        for (int64_t i = 0; i < n; i++) task(arg, i, 0);
        return;
    }
    if (n <= CHUNK)
        job_run(p, n, workers, task, arg);
    else
        for (int64_t i = 0; i < n; i++) task(arg, i, 0);
    STORE(&p->busy, 0);
}

/* CPUs that this process may use. */
static int32_t cpus(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) return 1;
    return CPU_COUNT(&set);
}

ingot_status ingot_rt_pool_open(int32_t workers, ingot_parallel *out, ingot_error *err) {
    int32_t available = cpus();
    if (!out || workers < 0) return ingot_rt_error(err, "\001pool_open: found %d workers, expected at least 0", NULL, workers, 0, 0);
    if (workers == 0) workers = available;
    if (workers > FRAME_MAX_WORKERS) workers = FRAME_MAX_WORKERS;
    size_t bytes = (sizeof(Pool) + (size_t)workers * sizeof(Worker) + 4095) & ~(size_t)4095;
    Pool *p = (Pool *)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return ingot_rt_error(err, "\010no memory for a pool: %d bytes", NULL, (int64_t)bytes, 0, 0);
    if (madvise(p, bytes, MADV_WIPEONFORK)) {
        munmap(p, bytes);
        return ingot_rt_error(err, "\021this kernel lacks MADV_WIPEONFORK (Linux 4.14), which a pool needs to survive fork", NULL, 0, 0, 0);
    }
    p->bytes = (int64_t)bytes;
    p->alive = 1;
    p->spins = workers > available ? 0 : 1 << 14;
    p->workers = 1;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (p->workers < workers) {
        Worker *w = &p->worker[p->workers];
        w->pool = p;
        w->id = p->workers;
        if (pthread_create(&w->thread, NULL, worker_main, w)) break;
        p->workers++;
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
        __atomic_add_fetch(&p->generation, 1, __ATOMIC_SEQ_CST);
        futex_wake(&p->generation, 0x7fffffff);
        for (int32_t i = 1; i < p->workers; i++) pthread_join(p->worker[i].thread, NULL);
    }
    munmap(p, bytes);
    parallel->user = NULL;
    parallel->workers = 1;
}
