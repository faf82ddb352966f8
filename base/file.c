/* file.c: the file system and other programs: mapping, safe opening beneath a folder, running tools.  Writing: file_write.c.
 *
 * The machine's failures are diagnostics with the errno text.
 * Invariants: a mapping and its descriptor are owned by the clean-up list before they exist, so running out of memory
 * leaks neither; between starting a child and waiting for it nothing here allocates from an arena, so unwinding cannot
 * leave one behind.  Opening never blocks (a name may be a FIFO) and only regular files are mapped.
 * A file that is truncated while mapped raises SIGBUS on access, as with every reader that maps.
 * Source: openat2(2), ONNX ExternalData security notes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<linux/openat2.h>)
#include <linux/openat2.h>
#endif
#endif

#include "base.h"

extern char **environ;

/* ---- mapping ---- */

typedef struct Mapping {
    struct Mapping *next;  /* on the Context's list */
    int fd;
    void *at;
    size_t bytes;
} Mapping;

static void mapping_end(void *resource) {
    Mapping *m = resource;
    if (m->at) munmap(m->at, m->bytes);
    if (m->fd >= 0) close(m->fd);
}

static Mapping *mapping_new(Context *cx) {
    Mapping *m = arena_alloc(cx->arena, sizeof *m);
    m->fd = -1;
    m->next = cx->mappings;
    cx->mappings = m;
    context_defer(cx, mapping_end, m);
    return m;
}

/* Maps m->fd and closes it.  An empty file is one readable address and 0 bytes. */
static const uint8_t *map_open_file(Context *cx, Mapping *m, Loc loc, const char *name, size_t *bytes) {
    static const uint8_t empty[16];
    struct stat st;
    const char *why = NULL;
    if (fstat(m->fd, &st))
        why = strerror(errno);
    else if (!S_ISREG(st.st_mode))
        why = S_ISDIR(st.st_mode) ? "it is a folder" : "it is not a regular file";
    else if ((uint64_t)st.st_size > SIZE_MAX / 2)
        why = strerror(EFBIG);
    else if (st.st_size) {
        void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, m->fd, 0);
        if (at == MAP_FAILED) {
            why = strerror(errno);
        } else {
            m->at = at;
            m->bytes = (size_t)st.st_size;
        }
    }
    close(m->fd);
    m->fd = -1;
    if (why) {
        diag_machine(cx, loc, "cannot read '%s': %s", name, why);
        return NULL;
    }
    *bytes = m->bytes;
    return m->at ? m->at : empty;
}

const uint8_t *file_map(Context *cx, const char *path, size_t *bytes) {
    *bytes = 0;
    Mapping *m = mapping_new(cx);
    m->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (m->fd < 0) {
        diag_machine(cx, (Loc){0}, "cannot open '%s': %s", path, strerror(errno));
        return NULL;
    }
    return map_open_file(cx, m, (Loc){0}, path, bytes);
}

/* Whole pages alone, of mappings alone: what is dropped comes back from the file. */
void file_release(Context *cx, const void *bytes, size_t n) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)bytes, end = from + n;
    for (const Mapping *m = cx->mappings; m; m = m->next) {
        uintptr_t at = (uintptr_t)m->at;
        if (from < at || end > at + m->bytes) continue;
        from = from / page * page, end = (end + page - 1) / page * page;
        madvise((void *)from, end - from, MADV_DONTNEED);
        return;
    }
}

/* ---- opening beneath a folder ---- */

enum { OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

/* NULL where the name may be tried, else what is wrong with it. */
static const char *name_refused(const char *name) {
    if (!*name) return "the name is empty";
    if (*name == '/') return "the path is absolute; expected one relative to the model's folder";
    for (const char *part = name; *part;) {
        size_t n = strcspn(part, "/");
        if (n == 2 && part[0] == '.' && part[1] == '.') return "the path contains '..'";
        part += n + (part[n] == '/');
    }
    return NULL;
}

/* For kernels without openat2, or sandboxes that deny it: one component at a time, following no link at all. */
static int open_by_components(int folder, const char *name) {
    int at = fcntl(folder, F_DUPFD_CLOEXEC, 0);
    while (at >= 0) {
        char part[256];
        name += strspn(name, "/");
        size_t n = strcspn(name, "/");
        bool last = !name[n];
        int flags = last ? OPEN_FLAGS | O_NOFOLLOW : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        int next = -1, error = ENAMETOOLONG;
        if (n < sizeof part) {
            memcpy(part, name, n);
            part[n] = 0;
            next = openat(at, n ? part : ".", flags);
            error = errno;
        }
        close(at);
        errno = error;
        if (last) return next;
        at = next;
        name += n;
    }
    return -1;
}

static int open_beneath(int folder, const char *name) {
#if defined(SYS_openat2) && defined(RESOLVE_BENEATH)
    struct open_how how = {.flags = OPEN_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    for (int tries = 0; tries < 16; tries++) { /* EAGAIN: something was renamed meanwhile */
        long fd = syscall(SYS_openat2, folder, name, &how, sizeof how);
        if (fd >= 0) return (int)fd;
        if (errno == ENOSYS || errno == EPERM) return open_by_components(folder, name);
        if (errno != EAGAIN) return -1;
    }
    return -1;
#else
    return open_by_components(folder, name);
#endif
}

const uint8_t *file_map_beneath(Context *cx, Loc loc, const char *folder, const char *name, size_t *bytes) {
    *bytes = 0;
    const char *refused = name_refused(name);
    if (refused) {
        diag_error(cx, loc, "refusing to open external data '%s': %s", name, refused);
        return NULL;
    }
    Mapping *m = mapping_new(cx);
    int at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (at < 0) {
        diag_machine(cx, loc, "cannot open folder '%s': %s", folder, strerror(errno));
        return NULL;
    }
    m->fd = open_beneath(at, name);
    int error = errno;
    close(at);
    if (m->fd >= 0) return map_open_file(cx, m, loc, name, bytes);
    if (error == EXDEV || error == ELOOP)
        diag_error(cx, loc, "refusing to open external data '%s': a link in it leads outside '%s'", name, folder);
    else
        diag_machine(cx, loc, "cannot open '%s' in '%s': %s", name, folder, strerror(error));
    return NULL;
}

/* ---- other programs ---- */

enum { OUTPUT_BYTES = 8192 };

/* Starts argv with no input and both outputs into the pipe; returns an errno. */
static int spawn(const char *const *argv, int output, pid_t *pid) {
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return error;
    char *const *args;
    memcpy(&args, &argv, sizeof args); /* POSIX's missing const: the strings are not written to */
    error = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, output, 1);
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, output, 2);
    if (!error) error = posix_spawnp(pid, argv[0], &actions, NULL, args, environ);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Keeps the first OUTPUT_BYTES of what comes (the first error is the one that matters) and drains the rest. */
static size_t read_output(int fd, char *output) {
    char rest[4096];
    size_t n = 0;
    for (;;) {
        bool full = n == OUTPUT_BYTES;
        ssize_t got = read(fd, full ? rest : output + n, full ? sizeof rest : OUTPUT_BYTES - n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        if (!full) n += (size_t)got;
    }
    while (n && (output[n - 1] == '\n' || output[n - 1] == ' ')) n--;
    return n;
}

bool process_run(Context *cx, const char *const *argv) {
    char *output = arena_alloc(cx->arena, OUTPUT_BYTES + 1);
    int ends[2], status = 0;
    pid_t pid;
    if (pipe2(ends, O_CLOEXEC)) {
        diag_machine(cx, (Loc){0}, "cannot run '%s': %s", argv[0], strerror(errno));
        return false;
    }
    int error = spawn(argv, ends[1], &pid);
    close(ends[1]);
    if (error) {
        close(ends[0]);
        diag_machine(cx, (Loc){0}, "cannot run '%s': %s", argv[0], strerror(error));
        return false;
    }
    output[read_output(ends[0], output)] = 0;
    close(ends[0]);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) {
            diag_machine(cx, (Loc){0}, "cannot wait for '%s': %s", argv[0], strerror(errno));
            return false;
        }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    const char *colon = *output ? ": " : "";
    if (WIFSIGNALED(status))
        diag_machine(cx, (Loc){0}, "'%s' was ended by signal %d%s%s", argv[0], WTERMSIG(status), colon, output);
    else
        diag_machine(cx, (Loc){0}, "'%s' failed with exit status %d%s%s", argv[0], WEXITSTATUS(status), colon, output);
    return false;
}

static bool is_program(const char *path) {
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

/* The names are in order of preference: each is looked for on the whole PATH before the next. */
const char *process_find(Context *cx, const char *const *names, size_t n) {
    const char *search = getenv("PATH");
    for (size_t i = 0; i < n; i++) {
        if (strchr(names[i], '/')) {
            if (is_program(names[i])) return intern(cx, names[i]);
            continue;
        }
        for (const char *at = search; at;) {
            size_t length = strcspn(at, ":");
            /* An empty entry means the current folder; too dangerous a custom to follow. */
            const char *path = length ? arena_print(cx->arena, "%.*s/%s", (int)length, at, names[i]) : NULL;
            if (path && is_program(path)) return path;
            at = at[length] ? at + length + 1 : NULL;
        }
    }
    return NULL;
}

/* ---- paths ---- */

const char *path_folder(Context *cx, const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return intern(cx, ".");
    return intern_n(cx, path, slash == path ? 1 : (size_t)(slash - path));
}

const char *path_stem(Context *cx, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    return intern_n(cx, name, dot && dot != name ? (size_t)(dot - name) : strlen(name));
}
