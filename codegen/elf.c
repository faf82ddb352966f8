/* elf.c: weights as an ELF64 x86-64 object of one data symbol, and the symbols that objects define.
 *
 * An object is pieces around the data, which stay where they are until a file is written.  Above 1 GiB the section is .lrodata
 * (large), which linkers lay out away from code, so that code keeps its 32-bit distances.  The symbol is hidden: it joins
 * objects of one artifact.  Layout: header, data, symbol table, strings, section headers.
 * A hole is the same object without the data: linkers give it a place, elf_fill.c its content.
 * Source: System V gABI chapters 4 (ELF-64), x86-64 psABI section 4.1 (SHF_X86_64_LARGE).
 */
#include "codegen.h"
#include <elf.h>
#include <string.h>

enum { DATA_ALIGN = 64, N_SECTIONS = 6 };
#define LARGE_BYTES (INT64_C(1) << 30)
#define SHF_LARGE   0x10000000u
/* Only a section of a kind of its own is sure to be left without content by a linker. */
static const char section_names[] = "\0.rodata\0.lrodata\0" ELF_HOLE "\0.symtab\0.strtab\0.shstrtab\0.note.GNU-stack";

static uint32_t name_at(const char *name) {
    size_t at = 1;
    while (strcmp(section_names + at, name) != 0) at += strlen(section_names + at) + 1;
    return (uint32_t)at;
}

typedef struct Layout {
    uint64_t bytes, symtab, strtab, shstrtab, headers, strtab_bytes;
} Layout;

static Layout lay_out(const char *symbol, uint64_t stored) {
    Layout at = {.bytes = stored, .symtab = (DATA_ALIGN + stored + 7) & ~UINT64_C(7), .strtab_bytes = strlen(symbol) + 2};
    at.strtab = at.symtab + 2 * sizeof(Elf64_Sym);
    at.shstrtab = at.strtab + at.strtab_bytes;
    at.headers = (at.shstrtab + sizeof section_names + 7) & ~UINT64_C(7);
    return at;
}

static void put_header(Text *out, const Layout *at) {
    Elf64_Ehdr h = {.e_type = ET_REL, .e_machine = EM_X86_64, .e_version = EV_CURRENT, .e_shoff = at->headers,
                    .e_ehsize = sizeof h, .e_shentsize = sizeof(Elf64_Shdr), .e_shnum = N_SECTIONS, .e_shstrndx = 4};
    memcpy(h.e_ident, ELFMAG, SELFMAG);
    h.e_ident[EI_CLASS] = ELFCLASS64;
    h.e_ident[EI_DATA] = ELFDATA2LSB;
    h.e_ident[EI_VERSION] = EV_CURRENT;
    _Static_assert(sizeof(Elf64_Ehdr) == DATA_ALIGN, "the data follow the header at once");
    text_add_n(out, (const char *)&h, sizeof h);
}

static void put_zeros(Text *out, uint64_t n) {
    static const char zeros[DATA_ALIGN] = {0};
    text_add_n(out, zeros, n);
}

static void put_tables(Text *out, const Layout *at, const char *symbol, uint64_t bytes, bool hole) {
    Elf64_Sym symbols[2] = {{0}, {.st_name = 1, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT), .st_other = STV_HIDDEN,
                                  .st_shndx = 1, .st_size = bytes}};
    bool large = bytes > LARGE_BYTES;
    Elf64_Shdr sections[N_SECTIONS] = {
        {0},
        {.sh_name = name_at(hole    ? ELF_HOLE
                            : large ? ".lrodata"
                                    : ".rodata"),
         .sh_type = hole ? SHT_NOBITS : SHT_PROGBITS,
         .sh_flags = SHF_ALLOC | (large ? SHF_LARGE : 0),
         .sh_offset = DATA_ALIGN,
         .sh_size = bytes,
         .sh_addralign = DATA_ALIGN},
        {.sh_name = name_at(".symtab"),
         .sh_type = SHT_SYMTAB,
         .sh_offset = at->symtab,
         .sh_size = sizeof symbols,
         .sh_link = 3,
         .sh_info = 1,
         .sh_addralign = 8,
         .sh_entsize = sizeof(Elf64_Sym)},
        {.sh_name = name_at(".strtab"),
         .sh_type = SHT_STRTAB,
         .sh_offset = at->strtab,
         .sh_size = at->strtab_bytes,
         .sh_addralign = 1},
        {.sh_name = name_at(".shstrtab"),
         .sh_type = SHT_STRTAB,
         .sh_offset = at->shstrtab,
         .sh_size = sizeof section_names,
         .sh_addralign = 1},
        {.sh_name = name_at(".note.GNU-stack"), .sh_type = SHT_PROGBITS, .sh_offset = at->headers, .sh_addralign = 1}};
    put_zeros(out, at->symtab - DATA_ALIGN - at->bytes);
    text_add_n(out, (const char *)symbols, sizeof symbols);
    text_add_n(out, "", 1);
    text_add_n(out, symbol, strlen(symbol) + 1);
    text_add_n(out, section_names, sizeof section_names);
    put_zeros(out, at->headers - at->shstrtab - sizeof section_names);
    text_add_n(out, (const char *)sections, sizeof sections);
}

bool elf_data(Context *cx, const char *symbol, const FilePiece *data, bool hole, FilePieces *out) {
    Layout at = lay_out(symbol, hole ? 0 : data->n);
    Text head = text_new(cx->arena), tables = text_new(cx->arena);
    if (data->n > INT64_MAX / 2) {
        diag_error(cx, (Loc){0}, "data '%s' is too large for an object", symbol);
        return false;
    }
    put_header(&head, &at);
    put_tables(&tables, &at, symbol, data->n, hole);
    vec_push(cx->arena, out, (FilePiece){.bytes = head.at, .n = head.n});
    if (!hole) vec_push(cx->arena, out, *data);
    vec_push(cx->arena, out, (FilePiece){.bytes = tables.at, .n = tables.n});
    return true;
}

/* ---- reading ---- */

static bool inside(uint64_t offset, uint64_t bytes, size_t n) { return offset <= n && bytes <= n - offset; }

static bool each_of_table(const uint8_t *object, size_t n, const Elf64_Shdr *table, const Elf64_Shdr *strings,
                          void (*each)(void *, const char *), void *user) {
    if (!inside(table->sh_offset, table->sh_size, n) || !inside(strings->sh_offset, strings->sh_size, n)) return false;
    for (uint64_t i = 0; i + sizeof(Elf64_Sym) <= table->sh_size; i += sizeof(Elf64_Sym)) {
        Elf64_Sym symbol;
        memcpy(&symbol, object + table->sh_offset + i, sizeof symbol);
        unsigned binding = ELF64_ST_BIND(symbol.st_info);
        if (symbol.st_shndx == SHN_UNDEF || (binding != STB_GLOBAL && binding != STB_WEAK)) continue;
        if (symbol.st_name >= strings->sh_size) return false;
        const char *name = (const char *)object + strings->sh_offset + symbol.st_name;
        if (!memchr(name, 0, strings->sh_size - symbol.st_name)) return false;
        each(user, name);
    }
    return true;
}

bool elf_each_symbol(const uint8_t *object, size_t n, void (*each)(void *user, const char *name), void *user) {
    Elf64_Ehdr header;
    if (n < sizeof header) return false;
    memcpy(&header, object, sizeof header);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64) return false;
    if (header.e_shentsize != sizeof(Elf64_Shdr) || !inside(header.e_shoff, (uint64_t)header.e_shnum * sizeof(Elf64_Shdr), n))
        return false;
    for (uint32_t i = 0; i < header.e_shnum; i++) {
        Elf64_Shdr table, strings;
        memcpy(&table, object + header.e_shoff + i * sizeof table, sizeof table);
        if (table.sh_type != SHT_SYMTAB) continue;
        if (table.sh_link >= header.e_shnum) return false;
        memcpy(&strings, object + header.e_shoff + table.sh_link * sizeof strings, sizeof strings);
        if (!each_of_table(object, n, &table, &strings, each, user)) return false;
    }
    return true;
}
