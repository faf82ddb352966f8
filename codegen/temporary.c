/* temporary.c: private folders for the files that compilers and linkers exchange.
 *
 * A folder of mode 0700 under $TMPDIR or /tmp; it goes with all in it when removed, at the latest with the Context.
 * Invariants: the folder is on the clean-up list before it exists, so that unwinding leaves none behind.
 */
#define _GNU_SOURCE
#include "codegen.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct Temporary {
    Context *cx;
    char *folder;
    bool made;
};

static void remove_folder(void *resource) {
    Temporary *t = resource;
    if (!t->made) return;
    t->made = false;
    DIR *dir = opendir(t->folder);
    if (dir) {
        for (struct dirent *e; (e = readdir(dir));)
            if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) unlinkat(dirfd(dir), e->d_name, 0);
        closedir(dir);
    }
    rmdir(t->folder);
}

Temporary *temporary_new(Context *cx) {
    const char *root = getenv("TMPDIR");
    Temporary *t = arena_alloc(cx->arena, sizeof *t);
    t->cx = cx;
    t->folder = arena_print(cx->arena, "%s/ingot-XXXXXX", root && *root ? root : "/tmp");
    context_defer(cx, remove_folder, t);
    if (!mkdtemp(t->folder)) {
        diag_machine(cx, (Loc){0}, "cannot create a temporary folder '%s': %s", t->folder, strerror(errno));
        return NULL;
    }
    t->made = true;
    return t;
}

const char *temporary_path(Temporary *t, const char *name) { return arena_print(t->cx->arena, "%s/%s", t->folder, name); }
void temporary_remove(Temporary *t) { remove_folder(t); }
