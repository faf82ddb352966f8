/* quiet.c: counts allocations and forbids system calls while models run at mixed sizes. */
#include "host.h"
#include "digits.h"
#include "pair.h"
#include "pooled.h"
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile long calls;
void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void __real_free(void *);
void *__real_aligned_alloc(size_t, size_t);
int __real_posix_memalign(void **, size_t, size_t);
void *__real_mmap(void *, size_t, int, int, int, off_t);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t k);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);
void *__wrap_aligned_alloc(size_t a, size_t n);
int __wrap_posix_memalign(void **p, size_t a, size_t n);
void *__wrap_mmap(void *p, size_t n, int a, int b, int fd, off_t at);
void *__wrap_malloc(size_t n) { return calls++, __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t k) { return calls++, __real_calloc(n, k); }
void *__wrap_realloc(void *p, size_t n) { return calls++, __real_realloc(p, n); }
void __wrap_free(void *p) { calls++, __real_free(p); }
void *__wrap_aligned_alloc(size_t a, size_t n) { return calls++, __real_aligned_alloc(a, n); }
int __wrap_posix_memalign(void **p, size_t a, size_t n) { return calls++, __real_posix_memalign(p, a, n); }
void *__wrap_mmap(void *p, size_t n, int a, int b, int fd, off_t at) { return calls++, __real_mmap(p, n, a, b, fd, at); }

enum { RUNS = 100000 };
static float image[16 * DIGITS_IN], out[16 * DIGITS_OUT];
static Pair p, q;

static void plain_loop(void *user, int64_t n, int32_t workers, ingot_task task, void *arg) {
    (void)user, (void)workers;
    for (int64_t i = 0; i < n; i++) task(arg, i, 0);
}

static void say(const char *text) { (void)!write(2, text, strlen(text)); }
static void end(int status) { syscall(SYS_exit, status); }

static void sizes(Pair *x, int64_t rows, int64_t cols) {
    x->in[0].dims[0] = x->in[2].dims[0] = rows;
    x->in[0].dims[1] = x->in[1].dims[0] = cols;
    for (int64_t i = 0; i < rows; i++) x->index[i] = (i + 1) % rows; /* one is 0 */
}

static int run(digits *d, pair *c, pooled *e, uint32_t seed) {
    for (int i = 0; i < RUNS; i++) {
        uint32_t r = random_next(&seed);
        int64_t n = i % 64 ? 1 : 1 + r % 16, rows = r % 65, cols = 1 + r / 65 % 32;
        digits_io x = {.batch = n, .image = image, .probability = r & 1 ? out : NULL};
        if (i % 4 == 0 && digits_run(d, &x, &host_error)) return 1;
        sizes(&p, rows, cols);
        sizes(&q, rows, cols);
        if (r & 2) p.out[2].data = NULL; /* lent */
        p.call.flags = q.call.flags = 1;
        if (pair_model()->run(c, &p.call, &host_error) || pooled_model()->run(e, &q.call, &host_error)) return 1;
        if (p.out[2].dims[1] != (rows ? rows - 1 : 0) || memcmp(p.soft, q.soft, (size_t)(rows * cols) * 4)) return 1;
    }
    return 0;
}

int main(void) {
    ingot_parallel parallel = {.size = sizeof parallel, .workers = 4, .run = plain_loop};
    ingot_options options = {.size = sizeof options, .parallel = &parallel};
    digits *d;
    pair *c;
    pooled *e;
    random_floats(image, 16 * DIGITS_IN, 3);
    pair_init(&p, 64, 32), pair_init(&q, 64, 32);
    OK(digits_create(DIGITS_SIGNATURE, NULL, &d, &host_error));
    OK(pair_create(PAIR_SIGNATURE, NULL, &c, &host_error));
    OK(pooled_create(POOLED_SIGNATURE, &options, &e, &host_error));
    OK(digits_reserve(d, 16, &host_error));
    OK(pair_reserve(c, 64, 32, &host_error));
    OK(pooled_reserve(e, 64, 32, &host_error));
    long before = calls;
    REQUIRE(before > 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) return 77;
    int failed = run(d, c, e, 5);
    if (failed) say(host_error.text), say("\n");
    if (calls != before) say("run allocates\n"), failed = 1;
    if (!failed) say("10^5 runs each of pair and pooled, 25000 of digits: no allocation, no system call\n");
    end(failed);
}
