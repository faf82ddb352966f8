/* elf_rename.c: gives the runtime's symbols the model's prefix, so that two models link into one program.
 *
 * The symbol table's strings are copied behind the old object, with the new names; entries and the string section's header
 * are patched.  Nothing moves, so relocations and group signatures, which refer to symbols by index, stay right.
 * Source: System V gABI, chapter 4 (ELF-64 object files).
 */
#include "artifact.h"
#include <elf.h>
#include <string.h>

typedef struct Object {
    const uint8_t *bytes;
    size_t n;
    Elf64_Ehdr head;
} Object;

static bool inside(const Object *o, uint64_t at, uint64_t n) { return at <= o->n && n <= o->n - at; }

static bool section(const Object *o, uint64_t index, Elf64_Shdr *s) {
    if (index >= o->head.e_shnum) return false;
    memcpy(s, o->bytes + o->head.e_shoff + index * sizeof *s, sizeof *s);
    return s->sh_type == SHT_NOBITS || inside(o, s->sh_offset, s->sh_size);
}

static bool open_object(Object *o, const uint8_t *bytes, size_t n) {
    *o = (Object){.bytes = bytes, .n = n};
    if (n < sizeof o->head) return false;
    memcpy(&o->head, bytes, sizeof o->head);
    const Elf64_Ehdr *h = &o->head;
    return memcmp(h->e_ident, ELFMAG, SELFMAG) == 0 && h->e_ident[EI_CLASS] == ELFCLASS64 &&
           h->e_ident[EI_DATA] == ELFDATA2LSB && h->e_type == ET_REL && h->e_shentsize == sizeof(Elf64_Shdr) &&
           h->e_shoff <= n && h->e_shnum <= (n - h->e_shoff) / sizeof(Elf64_Shdr);
}

/* Index of the symbol table's section, 0 where there is none or it is broken. */
static uint32_t symbol_table(const Object *o, Elf64_Shdr *table, Elf64_Shdr *strings) {
    for (uint32_t i = 1; i < o->head.e_shnum; i++) {
        if (!section(o, i, table)) return 0;
        if (table->sh_type != SHT_SYMTAB) continue;
        bool ok = table->sh_entsize == sizeof(Elf64_Sym) && section(o, table->sh_link, strings) &&
                  strings->sh_type == SHT_STRTAB && strings->sh_size && !o->bytes[strings->sh_offset + strings->sh_size - 1];
        return ok ? i : 0;
    }
    return 0;
}

const uint8_t *elf_rename(Context *cx, const uint8_t *object, size_t n, const char *from, const char *to, size_t *renamed) {
    Object o;
    Elf64_Shdr table, strings;
    if (!open_object(&o, object, n) || !symbol_table(&o, &table, &strings)) {
        diag_error(cx, (Loc){0}, "found no relocatable ELF64 object where one was to be renamed");
        return NULL;
    }
    size_t prefix = strlen(from), longer = strlen(to);
    uint64_t count = table.sh_size / sizeof(Elf64_Sym);
    Text out = text_new(cx->arena);
    text_add_n(&out, (const char *)object, n);
    while (out.n % 8) text_add_n(&out, "", 1);
    Elf64_Shdr moved = strings;
    moved.sh_offset = out.n;
    text_add_n(&out, (const char *)object + strings.sh_offset, strings.sh_size);
    for (uint64_t i = 0; i < count; i++) {
        Elf64_Sym s;
        uint64_t at = table.sh_offset + i * sizeof s;
        memcpy(&s, object + at, sizeof s);
        if (s.st_name >= strings.sh_size) continue;
        const char *name = (const char *)object + strings.sh_offset + s.st_name;
        if (strncmp(name, from, prefix) != 0) continue;
        s.st_name = (Elf64_Word)(out.n - moved.sh_offset);
        text_add_n(&out, to, longer);
        text_add_n(&out, name + prefix, strlen(name + prefix) + 1);
        memcpy(out.at + at, &s, sizeof s);
    }
    moved.sh_size = out.n - moved.sh_offset;
    memcpy(out.at + o.head.e_shoff + table.sh_link * sizeof moved, &moved, sizeof moved);
    *renamed = out.n;
    return (const uint8_t *)out.at;
}
