/* archive.c: writes a static library: GNU ar format with a symbol index, and long names in their own table.
 *
 * Members are streamed from memory.  Times, owners and modes are constants, so the same members give the same bytes.
 * Source: ar(5); GNU binutils' archive format: "/" is the index (big-endian offsets), "//" the names.
 */
#define _GNU_SOURCE
#include "codegen.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct Index {
    Arena *arena;
    VEC(const char *) names;
    VEC(uint32_t) members;   /* that define them */
    uint32_t member;         /* being read */
    uint64_t text_bytes;
} Index;

static void add_symbol(void *user, const char *name) {
    Index *index = user;
    vec_push(index->arena, &index->names, name);
    vec_push(index->arena, &index->members, index->member);
    index->text_bytes += strlen(name) + 1;
}

static uint64_t even(uint64_t n) { return n + (n & 1); }
enum { MAGIC_BYTES = 8, HEADER_BYTES = 60 };

static bool put(FILE *file, const void *bytes, size_t n) { return n == 0 || fwrite(bytes, 1, n, file) == n; }
static bool put_header(FILE *file, const char *name, uint64_t n) {
    char header[HEADER_BYTES + 1];
    snprintf(header, sizeof header, "%-16.16s%-12d%-6d%-6d%-8s%-10llu`\n", name, 0, 0, 0, "644", (unsigned long long)n);
    return put(file, header, HEADER_BYTES);
}
static bool put_pad(FILE *file, uint64_t n) { return !(n & 1) || put(file, "\n", 1); }

static bool put_big_endian(FILE *file, uint64_t x) {
    uint8_t bytes[4] = {(uint8_t)(x >> 24), (uint8_t)(x >> 16), (uint8_t)(x >> 8), (uint8_t)x};
    return put(file, bytes, sizeof bytes);
}

static bool put_archive(FILE *file, const Index *index, const Text *names, const ArchiveMember *members, uint32_t n,
                        const uint64_t *offsets, const uint32_t *name_at) {
    uint64_t index_bytes = 4 + 4 * (uint64_t)index->names.n + index->text_bytes;
    bool ok = put(file, "!<arch>\n", MAGIC_BYTES) && put_header(file, "/", index_bytes) && put_big_endian(file, index->names.n);
    for (uint32_t i = 0; i < index->names.n && ok; i++) ok = put_big_endian(file, offsets[index->members.at[i]]);
    for (uint32_t i = 0; i < index->names.n && ok; i++) ok = put(file, index->names.at[i], strlen(index->names.at[i]) + 1);
    ok = ok && put_pad(file, index_bytes) && put_header(file, "//", names->n) && put(file, names->at, names->n) && put_pad(file, names->n);
    for (uint32_t i = 0; i < n && ok; i++) {
        char name[17];
        snprintf(name, sizeof name, "/%u", name_at[i]);
        ok = put_header(file, name, members[i].n) && put(file, members[i].bytes, members[i].n) && put_pad(file, members[i].n);
    }
    return ok;
}

bool archive_write(Context *cx, const char *path, const ArchiveMember *members, uint32_t n) {
    Index index = {.arena = cx->arena};
    Text names = text_new(cx->arena);
    uint32_t *name_at = arena_new_array(cx->arena, uint32_t, n);
    uint64_t *offsets = arena_new_array(cx->arena, uint64_t, n);
    text_add(&names, "%s", "");
    for (uint32_t i = 0; i < n; i++) {
        index.member = i;
        name_at[i] = (uint32_t)names.n;
        text_add(&names, "%s/\n", members[i].name);
        if (!elf_each_symbol(members[i].bytes, members[i].n, add_symbol, &index)) {
            diag_error(cx, (Loc){0}, "archive member '%s' is no ELF object", members[i].name);
            return false;
        }
    }
    uint64_t at = MAGIC_BYTES + HEADER_BYTES + even(4 + 4 * (uint64_t)index.names.n + index.text_bytes) + HEADER_BYTES + even(names.n);
    for (uint32_t i = 0; i < n; i++) {
        offsets[i] = at;
        at += HEADER_BYTES + even(members[i].n);
        if (at > UINT32_MAX) {
            diag_error(cx, (Loc){0}, "archive '%s' would exceed 4 GiB, the limit of its symbol index; put weights in a side file", path);
            return false;
        }
    }
    FILE *file = fopen(path, "wb");
    if (!file) {
        diag_machine(cx, (Loc){0}, "cannot write '%s': %s", path, strerror(errno));
        return false;
    }
    bool ok = put_archive(file, &index, &names, members, n, offsets, name_at);
    int error = ok ? 0 : errno;
    if (fclose(file) && ok) ok = false, error = errno;
    if (ok) return true;
    unlink(path);
    diag_machine(cx, (Loc){0}, "cannot write '%s': %s", path, strerror(error));
    return false;
}
