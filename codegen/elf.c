/* elf.c: writes weights as an ELF64 x86-64 object of one data symbol, and lists the symbols objects define.
 *
 * Parts go from memory to the file without a copy: hundreds of megabytes cost one write.  Above 1 GiB the section is
 * .lrodata (large), which linkers lay out away from code, so that code keeps its 32-bit distances.  The symbol is hidden: it
 * joins objects of one artifact.  Layout: header, data, symbol table, strings, section headers.
 * Source: System V gABI chapters 4 (ELF-64), x86-64 psABI section 4.1 (SHF_X86_64_LARGE).
 */
#define _GNU_SOURCE
#include "codegen.h"
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DATA_ALIGN = 64, N_SECTIONS = 6 };
#define LARGE_BYTES (INT64_C(1) << 30)
#define SHF_LARGE   0x10000000u
static const char section_names[] = "\0.rodata\0.lrodata\0.symtab\0.strtab\0.shstrtab\0.note.GNU-stack";
enum { NAME_RODATA = 1, NAME_LRODATA = 9, NAME_SYMTAB = 18, NAME_STRTAB = 26, NAME_SHSTRTAB = 34, NAME_STACK = 44 };

static bool put(FILE *file, const void *bytes, size_t n) { return n == 0 || fwrite(bytes, 1, n, file) == n; }
static bool put_zeros(FILE *file, uint64_t n) {
    static const uint8_t zeros[4096];
    for (; n > 0; n -= n < sizeof zeros ? n : sizeof zeros)
        if (!put(file, zeros, n < sizeof zeros ? n : sizeof zeros)) return false;
    return true;
}

typedef struct Layout {
    uint64_t bytes, symtab, strtab, shstrtab, headers, strtab_bytes;
} Layout;

static bool lay_out(Context *cx, const char *symbol, const DataPart *parts, uint32_t n, Layout *at) {
    int64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        if (!ck_add(bytes, (int64_t)parts[i].n, &bytes) || bytes < 0 || bytes > INT64_MAX / 2) {
            diag_error(cx, (Loc){0}, "data '%s' is too large for an object", symbol);
            return false;
        }
    at->bytes = (uint64_t)bytes;
    at->symtab = (DATA_ALIGN + at->bytes + 7) & ~UINT64_C(7);
    at->strtab = at->symtab + 2 * sizeof(Elf64_Sym);
    at->strtab_bytes = strlen(symbol) + 2;
    at->shstrtab = at->strtab + at->strtab_bytes;
    at->headers = (at->shstrtab + sizeof section_names + 7) & ~UINT64_C(7);
    return true;
}

static bool put_header(FILE *file, const Layout *at) {
    Elf64_Ehdr h = {.e_type = ET_REL, .e_machine = EM_X86_64, .e_version = EV_CURRENT, .e_shoff = at->headers,
                    .e_ehsize = sizeof h, .e_shentsize = sizeof(Elf64_Shdr), .e_shnum = N_SECTIONS, .e_shstrndx = 4};
    memcpy(h.e_ident, ELFMAG, SELFMAG);
    h.e_ident[EI_CLASS] = ELFCLASS64;
    h.e_ident[EI_DATA] = ELFDATA2LSB;
    h.e_ident[EI_VERSION] = EV_CURRENT;
    _Static_assert(sizeof(Elf64_Ehdr) == DATA_ALIGN, "the data follow the header at once");
    return put(file, &h, sizeof h);
}

static bool put_tables(FILE *file, const Layout *at, const char *symbol) {
    Elf64_Sym symbols[2] = {{0}, {.st_name = 1, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT), .st_other = STV_HIDDEN,
                                  .st_shndx = 1, .st_size = at->bytes}};
    bool large = at->bytes > LARGE_BYTES;
    Elf64_Shdr sections[N_SECTIONS] = {
        {0},
        {.sh_name = large ? NAME_LRODATA : NAME_RODATA, .sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC | (large ? SHF_LARGE : 0),
         .sh_offset = DATA_ALIGN, .sh_size = at->bytes, .sh_addralign = DATA_ALIGN},
        {.sh_name = NAME_SYMTAB, .sh_type = SHT_SYMTAB, .sh_offset = at->symtab, .sh_size = sizeof symbols, .sh_link = 3,
         .sh_info = 1, .sh_addralign = 8, .sh_entsize = sizeof(Elf64_Sym)},
        {.sh_name = NAME_STRTAB, .sh_type = SHT_STRTAB, .sh_offset = at->strtab, .sh_size = at->strtab_bytes, .sh_addralign = 1},
        {.sh_name = NAME_SHSTRTAB, .sh_type = SHT_STRTAB, .sh_offset = at->shstrtab, .sh_size = sizeof section_names,
         .sh_addralign = 1},
        {.sh_name = NAME_STACK, .sh_type = SHT_PROGBITS, .sh_offset = at->headers, .sh_addralign = 1}};
    return put_zeros(file, at->symtab - DATA_ALIGN - at->bytes) && put(file, symbols, sizeof symbols) && put(file, "", 1) &&
           put(file, symbol, strlen(symbol) + 1) && put(file, section_names, sizeof section_names) &&
           put_zeros(file, at->headers - at->shstrtab - sizeof section_names) && put(file, sections, sizeof sections);
}

bool elf_write_data(Context *cx, const char *path, const char *symbol, const DataPart *parts, uint32_t n_parts) {
    Layout at;
    if (!lay_out(cx, symbol, parts, n_parts, &at)) return false;
    FILE *file = fopen(path, "wb");
    if (!file) {
        diag_machine(cx, (Loc){0}, "cannot write '%s': %s", path, strerror(errno));
        return false;
    }
    bool ok = put_header(file, &at);
    for (uint32_t i = 0; i < n_parts && ok; i++)
        ok = parts[i].bytes ? put(file, parts[i].bytes, parts[i].n) : put_zeros(file, parts[i].n);
    ok = ok && put_tables(file, &at, symbol);
    int error = ok ? 0 : errno;
    if (fclose(file) && ok) ok = false, error = errno;
    if (ok) return true;
    unlink(path);
    diag_machine(cx, (Loc){0}, "cannot write '%s': %s", path, strerror(error));
    return false;
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
    if (header.e_shentsize != sizeof(Elf64_Shdr) || !inside(header.e_shoff, (uint64_t)header.e_shnum * sizeof(Elf64_Shdr), n)) return false;
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
