/* isolate.c: --isolate: the command in a child process, so that whatever becomes of the compiler is a clear error.
 *
 * LLVM ends the process where it runs out of memory or finds itself inconsistent, and no handler helps.  The child does all of
 * the work; the parent waits, passes its exit status on, and turns its death into a message: a crash is our bug and leaves a
 * reproducer, a budget that was exceeded is a limit.  What the child left behind half-done goes: files beside the output that
 * were not yet put in place, and its private folder.  Stages come through a pipe, which also tells of the end.
 */
#define _GNU_SOURCE
#include "command.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0 /* sanitizers reserve terabytes, which would count */
#endif

static const uint64_t compiler_memory = UINT64_C(4) << 30; /* the library's default limit */
static const uint64_t tools_memory = UINT64_C(2) << 30;    /* for what does not obey it: LLVM, libtcc */
static const double grace = 1;                             /* seconds in which the library keeps its time limit itself */
static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
enum { n_ending = sizeof ending / sizeof *ending };

static volatile sig_atomic_t told_to_end; /* a handler has nothing but globals */
static int stages = -1;                   /* in the child: where its stages are told */

static void end_soon(int signal) { told_to_end = signal; }

void isolate_stage(const char *stage) {
    if (stages < 0) return;
    ssize_t n = write(stages, stage, strlen(stage) + 1);
    (void)n; /* a parent that is gone needs no stages */
}

static int run_here(Arguments *a) {
    int status = a->command->run(a);
    progress_end();
    return output_end(status);
}

/* ---- the child ---------------------------------------------------------------------------------------------------------- */

static void limit_memory(uint64_t bytes) {
    struct rlimit limit;
    if (SANITIZED || getrlimit(RLIMIT_DATA, &limit) || limit.rlim_cur <= bytes) return;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_DATA, &limit);
}

/* What the shell allows may be less. */
static uint64_t memory_allowed(uint64_t bytes) {
    struct rlimit limit;
    if (!getrlimit(RLIMIT_DATA, &limit) && limit.rlim_cur < bytes) bytes = limit.rlim_cur;
    if (!getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur < bytes) bytes = limit.rlim_cur;
    return bytes;
}

static int run_child(Arguments *a, int pipe_end, const char *folder, uint64_t memory, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) return EXIT_MACHINE; /* it died before prctl */
    stages = pipe_end;
    if (folder) setenv("TMPDIR", folder, 1);
    limit_memory(memory);
    return run_here(a);
}

/* ---- what a child that died leaves -------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    remove(path);
    return 0;
}

static void remove_tree(const char *folder) {
    if (*folder) nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Files that were being written: <output>.tmp-<process>-<number>. */
static void remove_unfinished(const char *folder, pid_t child) {
    char mark[48];
    DIR *dir = opendir(folder);
    snprintf(mark, sizeof mark, ".tmp-%ld-", (long)child);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (strstr(e->d_name, mark)) unlinkat(dirfd(dir), e->d_name, 0);
    if (dir) closedir(dir);
}

static void clean_up(const Arguments *a, pid_t child) {
    char folder[4096];
    const char *out = a->value[OPT_o], *slash = out ? strrchr(out, '/') : NULL;
    if (out) {
        snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - out + 1) : 1, slash ? out : ".");
        remove_unfinished(folder, child);
    }
    if (a->value[OPT_dump_dir]) remove_unfinished(a->value[OPT_dump_dir], child);
}

/* ---- the parent --------------------------------------------------------------------------------------------------------- */

typedef struct Child {
    pid_t id;
    int stages;
    char stage[64], folder[4096];
    uint64_t memory;
    double seconds; /* 0: any */
    bool late;
    struct rusage use;
} Child;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The last of the stages in a piece of the pipe's text. */
static void take_stages(Child *c, const char *text, size_t n) {
    size_t start = n > 1 ? n - 1 : 0;
    while (start && text[start - 1]) start--;
    if (n > 1) snprintf(c->stage, sizeof c->stage, "%.*s", (int)(n - start), text + start);
}

/* Until the child is gone: its end of the pipe closes with it, and programs that it starts do not have it. */
static int wait_for(Child *c, const sigset_t *while_waiting) {
    double end = now() + c->seconds;
    bool ended = false;
    for (int status;;) {
        struct pollfd p = {.fd = c->stages, .events = POLLIN};
        double left = end - now();
        struct timespec most = {.tv_sec = left > 0 ? (time_t)left : 0,
                .tv_nsec = left > 0 ? (long)((left - (double)(time_t)left) * 1e9) : 0};
        char text[512];
        if (told_to_end && !ended) kill(c->id, told_to_end), ended = true;
        int ready = ppoll(&p, 1, c->seconds > 0 && !c->late ? &most : NULL, while_waiting);
        ssize_t n = ready > 0 ? read(c->stages, text, sizeof text) : 1;
        if (ready > 0 && n > 0) take_stages(c, text, (size_t)n);
        if (ready == 0 && c->seconds > 0 && now() >= end) c->late = true, kill(c->id, SIGKILL);
        if (ready > 0 && n <= 0 && wait4(c->id, &status, 0, &c->use) == c->id) return status;
        if (ready < 0 && errno != EINTR) return wait4(c->id, &status, 0, &c->use) == c->id ? status : 0;
    }
}

static int tell_crash(Arguments *a, const Child *c, int signal) {
    char text[512], where[96] = "";
    uint64_t used = (uint64_t)c->use.ru_maxrss << 10;
    if (*c->stage) snprintf(where, sizeof where, " in stage '%s'", c->stage);
    if (c->late) return fail_no("stopped%s: compiling took longer than the limit of %g seconds", where, c->seconds - grace);
    if (used > c->memory / 10 * 8)
        return fail_no(
            "stopped%s: compiling needs more than the %.0f MiB of memory allowed; raise --limits (or ulimit), or compile a "
            "smaller model",
            where, (double)c->memory * 0x1p-20);
    if (signal == SIGKILL)
        return fail_machine("the compiler was killed%s, with %.1f GiB of memory in use: is there enough?", where,
                            (double)used * 0x1p-30);
    snprintf(text, sizeof text, "ingot %s was ended by signal %d (%s)%s", ingot_version(), signal, strsignal(signal), where);
    fail_no("internal error: %s; please report this as a bug, with the model and the command line", text);
    size_t n = strlen(text);
    text[n] = '\n';
    char comment[520] = "// ";
    memcpy(comment + 3, text, n + 1);
    write_reproducer(a, ".txt", comment, n + 4, NULL, 0);
    return EXIT_BUG;
}

static void make_folder(Child *c) {
    const char *root = getenv("TMPDIR");
    snprintf(c->folder, sizeof c->folder, "%s/ingot-XXXXXX", root && *root ? root : "/tmp");
    if (!mkdtemp(c->folder)) *c->folder = 0; /* who needs one will say so */
}

static int start(Arguments *a, Child *c, const sigset_t *signals, const struct sigaction *before) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return fail_machine("cannot make a pipe: %s", strerror(errno));
    pid_t parent = getpid();
    make_folder(c);
    c->id = fork();
    if (c->id == 0) {
        sigprocmask(SIG_SETMASK, signals, NULL);
        for (size_t i = 0; i < n_ending; i++) sigaction(ending[i], &before[i], NULL);
        close(ends[0]);
        exit(run_child(a, ends[1], *c->folder ? c->folder : NULL, c->memory, parent));
    }
    close(ends[1]);
    c->stages = ends[0];
    if (c->id > 0) return EXIT_YES;
    close(ends[0]);
    remove_tree(c->folder);
    return fail_machine("cannot start a process to compile in: %s; --isolate=no does without", strerror(errno));
}

static int run_isolated(Arguments *a, uint64_t memory, double seconds) {
    Child c = {.memory = memory_allowed((memory ? memory : compiler_memory) + tools_memory),
            .seconds = seconds > 0 ? seconds + grace : 0};
    struct sigaction act = {.sa_handler = end_soon}, before[n_ending];
    sigset_t blocked, old;
    sigemptyset(&blocked);
    for (size_t i = 0; i < n_ending; i++) {
        sigaddset(&blocked, ending[i]);
        sigaction(ending[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN) sigaction(ending[i], &act, NULL);
    }
    sigprocmask(SIG_BLOCK, &blocked, &old);
    int status = start(a, &c, &old, before);
    if (status) return status;
    int how = wait_for(&c, &old);
    close(c.stages);
    if (WIFSIGNALED(how)) clean_up(a, c.id);
    remove_tree(c.folder);
    progress_lost();
    for (size_t i = 0; i < n_ending; i++) sigaction(ending[i], &before[i], NULL);
    sigprocmask(SIG_SETMASK, &old, NULL);
    /* As the shell expects of an interrupted program, or of one whose reader is gone. */
    if (WIFSIGNALED(how) && (told_to_end || WTERMSIG(how) == SIGPIPE)) raise(told_to_end ? told_to_end : SIGPIPE);
    return WIFSIGNALED(how) ? tell_crash(a, &c, WTERMSIG(how)) : WEXITSTATUS(how);
}

int command_start(Arguments *a) {
    const char *isolate = a->value[OPT_isolate];
    uint64_t memory = 0;
    double seconds = 0;
    if (!option_applies(a->command, OPT_isolate)) return run_here(a);
    if (isolate && strcmp(isolate, "yes") != 0 && strcmp(isolate, "no") != 0)
        return fail_usage("--isolate=%s: expected yes or no", isolate);
    int status = read_limits(a, &memory, &seconds);
    if (status) return status;
    return isolate && *isolate == 'n' ? run_here(a) : run_isolated(a, memory, seconds);
}
