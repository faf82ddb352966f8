/* archive.c: writes a static library: GNU ar format with a symbol index, and long names in their own table.
 *
 * Members are pieces of the file to be.  Times, owners and modes are constants, so the same members give the same bytes.
 * Source: ar(5); GNU binutils' archive format: "/" is the index (big-endian offsets), "//" the names.
 */
#include "codegen.h"
#include <stdio.h>
#include <string.h>

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

static void put_header(Text *out, const char *name, uint64_t n) {
    char header[HEADER_BYTES + 1];
    snprintf(header, sizeof header, "%-16.16s%-12d%-6d%-6d%-8s%-10llu`\n", name, 0, 0, 0, "644", (unsigned long long)n);
    text_add_n(out, header, HEADER_BYTES);
}

static void put_pad(Text *out, uint64_t n) { text_add_n(out, "\n", n & 1); }

static void put_big_endian(Text *out, uint64_t x) {
    const char bytes[4] = {(char)(x >> 24), (char)(x >> 16), (char)(x >> 8), (char)x};
    text_add_n(out, bytes, sizeof bytes);
}

static uint64_t member_bytes(const ArchiveMember *member) {
    uint64_t n = member->n;
    for (uint32_t i = 0; !member->bytes && i < member->pieces->n; i++) n += member->pieces->at[i].n;
    return n;
}

/* Everything before the first member. */
static void put_index(Text *out, const Index *index, const Text *names, const uint64_t *offsets) {
    uint64_t index_bytes = 4 + 4 * (uint64_t)index->names.n + index->text_bytes;
    text_add_n(out, "!<arch>\n", MAGIC_BYTES);
    put_header(out, "/", index_bytes);
    put_big_endian(out, index->names.n);
    for (uint32_t i = 0; i < index->names.n; i++) put_big_endian(out, offsets[index->members.at[i]]);
    for (uint32_t i = 0; i < index->names.n; i++) text_add_n(out, index->names.at[i], strlen(index->names.at[i]) + 1);
    put_pad(out, index_bytes);
    put_header(out, "//", names->n);
    text_add_n(out, names->at, names->n);
    put_pad(out, names->n);
}

static void put_members(Context *cx, Text *head, const ArchiveMember *members, uint32_t n, const uint32_t *name_at,
                        FilePieces *out) {
    for (uint32_t i = 0; i < n; i++) { /* each piece of text: the pad of the member before it, and a header */
        char name[17];
        uint64_t bytes = member_bytes(&members[i]);
        snprintf(name, sizeof name, "/%u", name_at[i]);
        put_header(head, name, bytes);
        vec_push(cx->arena, out, (FilePiece){.bytes = head->at, .n = head->n});
        if (members[i].bytes) vec_push(cx->arena, out, (FilePiece){.bytes = members[i].bytes, .n = members[i].n});
        for (uint32_t k = 0; !members[i].bytes && k < members[i].pieces->n; k++)
            vec_push(cx->arena, out, members[i].pieces->at[k]);
        *head = text_new(cx->arena);
        text_add(head, "%s", "");
        put_pad(head, bytes);
    }
    vec_push(cx->arena, out, (FilePiece){.bytes = head->at, .n = head->n});
}

bool archive_pieces(Context *cx, const char *path, const ArchiveMember *members, uint32_t n, FilePieces *out) {
    Index index = {.arena = cx->arena};
    Text names = text_new(cx->arena), head = text_new(cx->arena);
    uint32_t *name_at = arena_new_array(cx->arena, uint32_t, n);
    uint64_t *offsets = arena_new_array(cx->arena, uint64_t, n);
    text_add(&names, "%s", "");
    for (uint32_t i = 0; i < n; i++) {
        index.member = i;
        name_at[i] = (uint32_t)names.n;
        text_add(&names, "%s/\n", members[i].name);
        if (!members[i].bytes) {
            add_symbol(&index, members[i].symbol);
        } else if (!elf_each_symbol(members[i].bytes, members[i].n, add_symbol, &index)) {
            diag_error(cx, (Loc){0}, "archive member '%s' is no ELF object", members[i].name);
            return false;
        }
    }
    uint64_t at =
        MAGIC_BYTES + HEADER_BYTES + even(4 + 4 * (uint64_t)index.names.n + index.text_bytes) + HEADER_BYTES + even(names.n);
    for (uint32_t i = 0; i < n; i++) {
        offsets[i] = at;
        at += HEADER_BYTES + even(member_bytes(&members[i]));
        if (at > UINT32_MAX) {
            diag_error(cx, (Loc){0},
                       "archive '%s' would exceed 4 GiB, the limit of its symbol index; put weights in a side file", path);
            return false;
        }
    }
    put_index(&head, &index, &names, offsets);
    put_members(cx, &head, members, n, name_at, out);
    return true;
}
