/* worker.c: mutants in forked workers under limits; what ends a worker is put down to the mutant it was at.
 *
 * A worker takes a run of mutants, writes a Record for each into memory it shares with its watcher, and says which one it is
 * at and since when.  The watcher looks every few milliseconds: a worker over the limit of processor time is killed.  Time is
 * the worker's own (a busy machine makes nothing slow); resident memory is the kernel's high-water mark, reset per mutant.
 */
#define _GNU_SOURCE
#include "mutate.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_LSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_LSAN 1
#endif
#endif
#ifdef HAVE_LSAN
#include <sanitizer/lsan_interface.h>
#else
static int __lsan_do_recoverable_leak_check(void) { return 0; }
#endif

enum { BATCH = 100, POLL_MICROSECONDS = 4000, WALL_FACTOR = 30, RETIRE_KILOBYTES = 300 << 10 };

/* Shared with one worker. */
typedef struct Post {
    volatile uint32_t at;                /* the mutant in hand */
    volatile int64_t started;            /* of its processor time; -1: between mutants */
    volatile int64_t wall;
    const char *volatile stage;          /* text of the program, which both processes have at the same address */
} Post;
typedef struct Slot { pid_t pid; uint32_t begin, end; Post *post; char log[256]; } Slot;

static int64_t clock_now(clockid_t clock) {
    struct timespec t;
    return clock_gettime(clock, &t) ? -1 : (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

double worker_slowness(void) {
    enum { WORDS = 1 << 18, STEPS = 1 << 22 };
    const double usual = 4e7; /* ns */
    uint32_t *at = calloc(WORDS, sizeof *at), place = 1;
    int64_t best = INT64_MAX;
    if (!at) abort();
    for (int round = 0; round < 3; round++) {
        int64_t start = clock_now(CLOCK_PROCESS_CPUTIME_ID);
        for (int i = 0; i < STEPS; i++) {
            uint32_t *word = &at[place % WORDS];
            place = place * 1664525u + 1013904223u + ++*word;
        }
        int64_t took = clock_now(CLOCK_PROCESS_CPUTIME_ID) - start;
        if (took < best) best = took;
    }
    free(at);
    return (double)best > usual ? (double)best / usual : 1;
}

static void *shared(size_t bytes) {
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) abort();
    return at;
}

Record *worker_records(uint32_t count) { return shared((size_t)count * sizeof(Record)); }

static uint32_t status_kilobytes(const char *key) {
    char line[256];
    uint32_t value = 0;
    FILE *f = fopen("/proc/self/status", "r");
    if (!f) return 0;
    while (fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0) value = (uint32_t)strtoul(line + strlen(key) + 1, NULL, 10);
    fclose(f);
    return value;
}

static void reset_peak(void) {
    int fd = open("/proc/self/clear_refs", O_WRONLY);
    if (fd < 0) return;
    if (write(fd, "5", 1) < 0) { /* then peaks are the worker's, not the mutant's */
    }
    close(fd);
}

void worker_bytes(const Work *w, Context *cx, uint32_t index, const uint8_t **bytes, size_t *n) {
    if (w->replay) {
        *bytes = w->seeds->at[index].bytes, *n = w->seeds->at[index].n;
        return;
    }
    Text text = text_new(cx->arena);
    if (w->kind == KIND_ONNX) mutate_onnx(cx->arena, w->seeds, w->seed, w->first + index, &text);
    else mutate_text(cx->arena, w->seeds, w->seed, w->first + index, &text);
    *bytes = (const uint8_t *)text.at, *n = text.n;
}

static Kind kind_of(const Work *w, uint32_t index) {
    if (!w->replay) return w->kind;
    const char *path = w->seeds->at[index].path, *dot = strrchr(path, '.');
    for (uint32_t k = 0; k < KINDS; k++)
        if (dot && strcmp(dot, kind_endings[k]) == 0) return (Kind)k;
    return KIND_ONNX;
}

static void timed(const Work *w, Kind kind, const uint8_t *bytes, size_t n, uint64_t number, uint32_t at, Post *post,
                  Record *r) {
    reset_peak();
    post->stage = "starting";
    post->at = at;
    post->wall = clock_now(CLOCK_MONOTONIC);
    int64_t start = clock_now(CLOCK_PROCESS_CPUTIME_ID);
    post->started = start;
    const char *volatile *stage = &post->stage;
    subject_run(kind, bytes, n, number, stage, r);
    post->started = -1;
    r->milliseconds = (uint32_t)((clock_now(CLOCK_PROCESS_CPUTIME_ID) - start) / 1000000);
    r->peak_kilobytes = status_kilobytes("VmHWM:");
    if (r->milliseconds > w->milliseconds) r->outcome = OUT_SLOW;
    if (r->peak_kilobytes >> 10 > w->megabytes) r->outcome = OUT_FAT;
}

static void one(const Work *w, uint32_t i, Post *post, Record *r) {
    Context *cx = context_new(NULL);
    const uint8_t *bytes;
    size_t n;
    if (!cx || !context_enter(cx)) _exit(3); /* a seed that the mutator cannot hold: our own fault */
    worker_bytes(w, cx, i, &bytes, &n);
    uint8_t *copy = malloc(n + (n == 0)); /* its own block, so that a read beyond its end is seen */
    if (!copy) _exit(3);
    if (n) memcpy(copy, bytes, n);
    context_leave(cx);
    context_free(cx);
    bool every = w->replay && !w->first;
    timed(w, kind_of(w, i), copy, n, every ? EVERY_STEP : w->first + i, i, post, r);
    if (every && r->outcome < OUT_SILENT) {
        Record first = *r;
        timed(w, kind_of(w, i), copy, n, EVERY_STEP_SYMBOLIC, i, post, r);
        if (first.milliseconds > r->milliseconds) r->milliseconds = first.milliseconds;
        if (first.peak_kilobytes > r->peak_kilobytes) r->peak_kilobytes = first.peak_kilobytes;
    }
    free(copy);
}

static void work(const Work *w, Slot *slot, Record *records) {
    int log = open(slot->log, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (log < 0) _exit(3);
    dup2(log, 2);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    for (uint32_t i = slot->begin; i < slot->end; i++) {
        if (lseek(log, 0, SEEK_SET) || ftruncate(log, 0)) _exit(3);
        one(w, i, slot->post, &records[i]);
        if (records[i].peak_kilobytes > RETIRE_KILOBYTES &&
            i + 1 < slot->end) { /* what the allocator keeps is not the next one's */
            slot->post->at = i + 1;
            _exit(0);
        }
    }
    slot->post->at = slot->end;
    _exit(__lsan_do_recoverable_leak_check() ? 4 : 0);
}

/* The line of a sanitizer's report that names the fault, else the signal. */
static void fault_text(const Slot *slot, int status, char *to, size_t room) {
    char line[512];
    FILE *f = fopen(slot->log, "r");
    snprintf(to, room, "%s %d while %s", WIFSIGNALED(status) ? "signal" : "exit",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), slot->post->stage);
    while (f && fgets(line, sizeof line, f)) {
        const char *at = strstr(line, "SUMMARY: ");
        if (at) at += 9;
        else if (strstr(line, "runtime error: ") || strstr(line, "Assertion")) at = line;
        if (!at) continue;
        snprintf(to, room, "%.*s", (int)strcspn(at, "\n"), at);
        if (strstr(line, "runtime error: ")) break;
    }
    if (f) fclose(f);
}

static void blame(const Work *w, Slot *slot, Record *records, Outcome outcome, int status) {
    uint32_t at = slot->post->at < slot->end ? slot->post->at : slot->end - 1;
    Record *r = &records[at];
    r->outcome = (int32_t)outcome;
    r->milliseconds = outcome == OUT_SLOW ? w->milliseconds : r->milliseconds;
    if (outcome == OUT_SLOW) snprintf(r->text, sizeof r->text, "over %u ms while %s", w->milliseconds, slot->post->stage);
    else fault_text(slot, status, r->text, sizeof r->text);
    char to[512];
    snprintf(to, sizeof to, "%s/%s-%llu-%llu.log", w->folder, kind_names[w->kind], (unsigned long long)w->seed,
             (unsigned long long)w->first + at);
    if (rename(slot->log, to)) r->text[0] = r->text[0] ? r->text[0] : '?';
}

static bool over_time(const Work *w, const Slot *slot) {
    clockid_t clock;
    int64_t started = slot->post->started;
    if (started < 0 || clock_getcpuclockid(slot->pid, &clock)) return false;
    int64_t limit = (int64_t)w->milliseconds * 1000000;
    uint32_t at = slot->post->at;
    bool over = clock_now(clock) - started > limit || clock_now(CLOCK_MONOTONIC) - slot->post->wall > limit * WALL_FACTOR;
    return over && slot->post->started == started && slot->post->at == at;
}

static void start(const Work *w, Slot *slot, Record *records) {
    slot->post->at = slot->begin;
    slot->post->started = -1;
    slot->post->stage = "starting";
    fflush(NULL);
    slot->pid = fork();
    if (slot->pid < 0) abort();
    if (slot->pid == 0) work(w, slot, records);
}

/* After a worker ended: true while its run has mutants left. */
static bool ended(const Work *w, Slot *slot, Record *records, int status, bool killed) {
    uint32_t at = slot->post->at;
    bool fine = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (killed) blame(w, slot, records, OUT_SLOW, status);
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 4) blame(w, slot, records, OUT_LEAKED, status);
    else if (!fine) blame(w, slot, records, OUT_CRASHED, status);
    slot->begin = fine && !killed ? at : at + 1;
    return slot->begin < slot->end;
}

static bool next_run(const Work *w, Slot *slot, uint32_t *next) {
    if (*next >= w->count) return false;
    slot->begin = *next;
    slot->end = w->count - *next < BATCH ? w->count : *next + BATCH;
    *next = slot->end;
    return true;
}

void worker_run(const Work *w, Record *records) {
    Slot *slots = calloc(w->jobs, sizeof *slots);
    Post *posts = shared(w->jobs * sizeof *posts);
    if (!slots) abort();
    uint32_t next = 0, alive = 0;
    for (uint32_t i = 0; i < w->jobs; i++) {
        slots[i].post = &posts[i];
        snprintf(slots[i].log, sizeof slots[i].log, "%s/worker-%d-%u.log", w->folder, (int)getpid(), i);
        if (!next_run(w, &slots[i], &next)) continue;
        start(w, &slots[i], records);
        alive++;
    }
    while (alive) {
        usleep(POLL_MICROSECONDS);
        for (uint32_t i = 0; i < w->jobs; i++) {
            Slot *s = &slots[i];
            int status;
            if (!s->pid) continue;
            bool over = over_time(w, s);
            if (over) kill(s->pid, SIGKILL);
            if (waitpid(s->pid, &status, over ? 0 : WNOHANG) != s->pid) continue;
            s->pid = 0;
            if (ended(w, s, records, status, over) || next_run(w, s, &next)) start(w, s, records);
            else alive--;
        }
    }
    for (uint32_t i = 0; i < w->jobs; i++) unlink(slots[i].log);
    munmap(posts, w->jobs * sizeof *posts);
    free(slots);
}
