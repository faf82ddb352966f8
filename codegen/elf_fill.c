/* elf_fill.c: gives the hole of a linked object or library (elf.c) its content, after the linker.
 *
 * So neither the linker nor we ever hold the weights: what it made is small, and the data go from where they are to the final
 * file.  In a relocatable object they are appended.  In a shared object the hole ends the memory of a read-only segment, and
 * what follows in the file moves back by whole pages; addresses were fixed by the linker and do not change.
 * Source: System V gABI, chapters 4 and 5 (program loading: p_offset and p_vaddr agree modulo p_align).
 */
#include "codegen.h"
#include <elf.h>
#include <string.h>

typedef struct Linked {
    uint8_t *bytes;              /* a copy, to be changed */
    uint64_t n;
    Elf64_Ehdr head;
    Elf64_Phdr *segments;
    Elf64_Shdr *sections, *hole;
} Linked;

static bool inside(const Linked *f, uint64_t at, uint64_t n) { return at <= f->n && n <= f->n - at; }

static bool open_linked(Arena *arena, Linked *f) {
    Elf64_Ehdr *h = &f->head;
    if (f->n < sizeof *h) return false;
    memcpy(h, f->bytes, sizeof *h);
    uint64_t sections = (uint64_t)h->e_shnum * sizeof(Elf64_Shdr), segments = (uint64_t)h->e_phnum * sizeof(Elf64_Phdr);
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || !inside(f, h->e_shoff, sections) || !inside(f, h->e_phoff, segments))
        return false;
    f->sections = arena_copy(arena, f->bytes + h->e_shoff, sections);
    f->segments = arena_copy(arena, f->bytes + h->e_phoff, segments);
    if (h->e_shstrndx >= h->e_shnum) return false;
    const Elf64_Shdr *names = &f->sections[h->e_shstrndx];
    if (!inside(f, names->sh_offset, names->sh_size)) return false;
    for (uint32_t i = 0; i < h->e_shnum; i++) {
        uint32_t at = f->sections[i].sh_name;
        bool named = at < names->sh_size && names->sh_size - at >= sizeof ELF_HOLE &&
                     memcmp(f->bytes + names->sh_offset + at, ELF_HOLE, sizeof ELF_HOLE) == 0;
        if (named && f->sections[i].sh_type == SHT_NOBITS) f->hole = &f->sections[i];
    }
    return f->hole != NULL;
}

/* The segment whose memory ends with the hole; NULL where it has another place, or may be written to. */
static Elf64_Phdr *segment_of(const Linked *f) {
    for (uint32_t i = 0; i < f->head.e_phnum; i++) {
        Elf64_Phdr *p = &f->segments[i];
        uint64_t end = f->hole->sh_addr + f->hole->sh_size;
        if (p->p_type != PT_LOAD || f->hole->sh_addr < p->p_vaddr || end != p->p_vaddr + p->p_memsz) continue;
        return p->p_flags & PF_W || f->hole->sh_addr < p->p_vaddr + p->p_filesz ? NULL : p;
    }
    return NULL;
}

/* Whatever lies in the file at `from` or later is `by` bytes further on. */
static void shift(Linked *f, uint64_t from, uint64_t by) {
    for (uint32_t i = 0; i < f->head.e_phnum; i++)
        if (f->segments[i].p_offset >= from) f->segments[i].p_offset += by;
    for (uint32_t i = 0; i < f->head.e_shnum; i++)
        if (f->sections[i].sh_offset >= from && &f->sections[i] != f->hole) f->sections[i].sh_offset += by;
    if (f->head.e_phoff >= from) f->head.e_phoff += by;
    if (f->head.e_shoff >= from) f->head.e_shoff += by;
}

static void put_back(Linked *f, uint64_t sections, uint64_t segments) {
    memcpy(f->bytes, &f->head, sizeof f->head);
    memcpy(f->bytes + sections, f->sections, f->head.e_shnum * sizeof *f->sections);
    memcpy(f->bytes + segments, f->segments, f->head.e_phnum * sizeof *f->segments);
}

bool elf_fill(Context *cx, const uint8_t *linked, size_t n, const FilePiece *data, FilePieces *out) {
    Linked f = {.bytes = arena_copy(cx->arena, linked, n), .n = n};
    if (!open_linked(cx->arena, &f) || f.hole->sh_size != data->n) return false;
    uint64_t sections = f.head.e_shoff, segments = f.head.e_phoff, cut = n, at, by, page = 1;
    if (f.head.e_phnum) {
        Elf64_Phdr *p = segment_of(&f);
        if (!p) return false;
        cut = p->p_offset + p->p_filesz;
        at = p->p_offset + (f.hole->sh_addr - p->p_vaddr);
        for (uint32_t i = 0; i < f.head.e_phnum; i++)
            if (f.segments[i].p_align > page) page = f.segments[i].p_align;
        p->p_filesz = p->p_memsz;
    } else {
        at = (n + f.hole->sh_addralign - 1) / f.hole->sh_addralign * f.hole->sh_addralign;
    }
    by = (at + data->n - cut + page - 1) / page * page;
    shift(&f, cut, by);
    f.hole->sh_type = SHT_PROGBITS;
    f.hole->sh_offset = at;
    put_back(&f, sections, segments);
    vec_push(cx->arena, out, (FilePiece){.bytes = f.bytes, .n = cut});
    vec_push(cx->arena, out, (FilePiece){.n = at - cut});
    vec_push(cx->arena, out, *data);
    vec_push(cx->arena, out, (FilePiece){.n = cut == n ? 0 : cut + by - at - data->n});
    vec_push(cx->arena, out, (FilePiece){.bytes = f.bytes + cut, .n = n - cut});
    return true;
}
