/* file_write.c: files written whole or not at all, from pieces that need not be in memory at once.
 *
 * A file is made beside its target and renamed.  Invariant: between creating the temporary file and disposing of it nothing
 * allocates from an arena, so unwinding cannot leave one behind.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base.h"

bool piece_put(const FilePiece *p, SinkFn *sink, void *user) {
    static const uint8_t zeros[16384];
    if (p->bytes) return !p->n || sink(user, p->bytes, p->n);
    if (p->produce) return p->produce(p->what, sink, user);
    for (uint64_t n = p->n; n > 0; n -= n < sizeof zeros ? n : sizeof zeros)
        if (!sink(user, zeros, n < sizeof zeros ? n : sizeof zeros)) return false;
    return true;
}

static bool write_all(int fd, const void *bytes, size_t n) {
    const char *at = bytes;
    while (n) {
        ssize_t wrote = write(fd, at, n < (1u << 30) ? n : 1u << 30);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return false;
        at += wrote;
        n -= (size_t)wrote;
    }
    return true;
}

/* Creates a new file beside path; its name goes to temporary.  The umask applies to mode, as it would to the target. */
static int create_beside(const char *path, char *temporary, size_t room, int mode) {
    for (unsigned i = 0; i < 1000; i++) {
        int n = snprintf(temporary, room, "%s.tmp-%ld-%u", path, (long)getpid(), i);
        if (n < 0 || (size_t)n >= room) break;
        int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    errno = ENAMETOOLONG;
    return -1;
}

/* What is small is gathered: producers hand out lines and rows. */
typedef struct Output {
    int fd;
    size_t held;
    uint8_t buffer[1 << 16];
} Output;

static bool output_flush(Output *o) {
    size_t n = o->held;
    o->held = 0;
    return write_all(o->fd, o->buffer, n);
}

static bool output_put(void *user, const void *bytes, size_t n) {
    Output *o = user;
    if (n > sizeof o->buffer - o->held && !output_flush(o)) return false;
    if (n > sizeof o->buffer) return write_all(o->fd, bytes, n);
    memcpy(o->buffer + o->held, bytes, n);
    o->held += n;
    return true;
}

/* Closes too; keeps the first errno. */
static bool write_and_close(int fd, const FilePieces *pieces) {
    Output o = {.fd = fd};
    bool ok = true;
    for (uint32_t i = 0; i < pieces->n && ok; i++) ok = piece_put(&pieces->at[i], output_put, &o);
    ok = ok && output_flush(&o);
    int error = errno;
    if (close(fd) && ok) return false;
    errno = error;
    return ok;
}

bool file_write_pieces(Context *cx, const char *path, const FilePieces *pieces, int mode) {
    struct stat st;
    bool ok, special = !stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
    if (special) { /* /dev/stdout, /dev/null: renaming over a device would replace it */
        int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        ok = fd >= 0 && write_and_close(fd, pieces);
    } else {
        size_t room = strlen(path) + 48;
        char *temporary = arena_alloc(cx->arena, room);
        int fd = create_beside(path, temporary, room, mode);
        ok = fd >= 0 && write_and_close(fd, pieces) && !rename(temporary, path);
        if (!ok && fd >= 0) {
            int error = errno;
            unlink(temporary);
            errno = error;
        }
    }
    if (!ok) diag_machine(cx, (Loc){0}, "cannot write '%s': %s", path, strerror(errno));
    return ok;
}

bool file_write(Context *cx, const char *path, const void *bytes, size_t n, int mode) {
    FilePiece piece = {.bytes = bytes, .n = n};
    FilePieces pieces = {&piece, 1, 1};
    return file_write_pieces(cx, path, &pieces, mode);
}
