/* tool_link.c: links objects into a shared object with ld.lld, or with cc where there is no lld.
 *
 * Only the exports stay visible; dead sections go; relocations are read-only before user code runs; no build id, paths or
 * times, so the same objects give the same bytes.  libc and libm are linked by the file found in the standard folders, as
 * needed, and then nothing may stay undefined; without them (a cross link) undefined symbols are left to the loader.
 */
#define _GNU_SOURCE
#include "codegen.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef VEC(const char *) Arguments;

static const char *find_library(Context *cx, const char *name) {
    static const char *const folders[] = {
        "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"};
    for (size_t i = 0; i < COUNT(folders); i++) {
        const char *path = arena_print(cx->arena, "%s/%s", folders[i], name);
        if (access(path, R_OK) == 0) return path;
    }
    return NULL;
}

static bool write_version_script(Context *cx, const LinkShared *link, const char *path) {
    Text script = text_new(cx->arena);
    text_add(&script, "{\n");
    if (link->n_exports) text_add(&script, "  global:\n");
    for (uint32_t i = 0; i < link->n_exports; i++) text_add(&script, "    %s;\n", link->exports[i]);
    text_add(&script, "  local: *;\n};\n");
    return file_write(cx, path, script.at, script.n, 0600);
}

/* Options are the linker's own; a compiler driver gets them behind -Wl. */
static void add_option(Context *cx, Arguments *argv, bool driver, const char *option) {
    vec_push(cx->arena, argv, driver ? arena_print(cx->arena, "-Wl,%s", option) : option);
}

static void add_libraries(Context *cx, Arguments *argv, bool driver) {
    const char *libc = find_library(cx, "libc.so.6"), *libm = find_library(cx, "libm.so.6");
    add_option(cx, argv, driver, "--as-needed");
    if (libm) vec_push(cx->arena, argv, libm);
    if (!libc) return;
    vec_push(cx->arena, argv, libc);
    add_option(cx, argv, driver, "--no-undefined");
}

static const char *const lld[] = {"ld.lld-19", "ld.lld"};

/* GNU ld puts a hole into the writable segment, behind what is zero. */
bool link_leaves_holes(Context *cx) { return process_find(cx, lld, COUNT(lld)) != NULL; }

bool link_shared(Context *cx, const LinkShared *link) {
    static const char *const drivers[] = {"cc", "gcc", "clang"};
    static const char *const options[] = {"--gc-sections", "--build-id=none", "--hash-style=gnu", "-znow", "-zrelro",
                                          "-znoexecstack"};
    const char *linker = link->linker ? link->linker : process_find(cx, lld, COUNT(lld));
    if (!linker) linker = process_find(cx, drivers, COUNT(drivers));
    if (!linker) {
        diag_machine(cx, (Loc){0},
                     "no linker found on PATH (ld.lld-19, ld.lld, cc); install lld, or write an object or archive");
        return false;
    }
    const char *base = strrchr(linker, '/') ? strrchr(linker, '/') + 1 : linker;
    bool driver = strncmp(base, "ld", 2) != 0;
    Temporary *folder = temporary_new(cx);
    if (!folder) return false;
    const char *script = temporary_path(folder, "exports"), *built = temporary_path(folder, "library.so");
    Arguments argv = {0};
    vec_push(cx->arena, &argv, linker);
    vec_push(cx->arena, &argv, "-shared");
    if (driver) vec_push(cx->arena, &argv, "-nostdlib");
    for (size_t i = 0; i < COUNT(options); i++) add_option(cx, &argv, driver, options[i]);
    add_option(cx, &argv, driver, arena_print(cx->arena, "--version-script=%s", script));
    if (link->soname) add_option(cx, &argv, driver, arena_print(cx->arena, "-soname=%s", link->soname));
    vec_push(cx->arena, &argv, "-o");
    vec_push(cx->arena, &argv, built);
    for (uint32_t i = 0; i < link->n_objects; i++) vec_push(cx->arena, &argv, link->objects[i]);
    add_libraries(cx, &argv, driver);
    vec_push(cx->arena, &argv, NULL);
    bool ok = write_version_script(cx, link, script) && process_run(cx, argv.at);
    if (ok) {
        size_t n = 0;
        const uint8_t *bytes = file_map(cx, built, &n);
        ok = bytes && file_write(cx, link->path, bytes, n, 0755);
    }
    temporary_remove(folder);
    return ok;
}
