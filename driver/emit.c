/* emit.c: a complete Loop module to bytes or files.
 *
 * Last step of compiling.  Files are made in a private folder or in memory and then put in place one by one, each whole;
 * the library itself comes last, so that a failure leaves at most new headers.
 * A library is: the module's object, the weights, the runtime's objects.  Weights are many times larger than all the rest: they
 * are never in memory whole and meet no compiler; the linker leaves a hole for them.  In objects and
 * static libraries the runtime's symbols get the model's prefix, so that two models link into one program.
 */
#define _GNU_SOURCE
#include "compile.h"
#include <stdlib.h>
#include <string.h>

static bool has_note(const LoopModule *m, const char *key, const char *text) {
    const char *note = loop_note(m, key);
    return note && strcmp(note, text) == 0;
}

static RuntimeUse runtime_use(const LoopModule *m) {
    const char *weights = loop_note(m, "weights");
    return (RuntimeUse){.threads = has_note(m, "threads", "1"),
                        .weights = weights && strcmp(weights, "embed") != 0,
                        .bare = has_note(m, "bare", "1"),
                        .tests = loop_note(m, "tests") != NULL,
                        .profile = has_note(m, "profile", "1"),
                        .grants = m->tiers.n && m->tiers.at[m->tiers.n - 1]->tiles_bf16};
}

/* Only shared libraries have the getter. */
static const LoopModule *without_getter(const LoopModule *m) {
    LoopModule *copy = arena_copy(m->arena, m, sizeof *m);
    memset(&copy->funcs, 0, sizeof copy->funcs);
    for (uint32_t i = 0; i < m->funcs.n; i++)
        if (strcmp(m->funcs.at[i]->name, "ingot_model_v1") != 0) vec_push(m->arena, &copy->funcs, m->funcs.at[i]);
    return copy;
}

/* ---- objects ------------------------------------------------------------------------------------------------------------- */

typedef struct Part { const char *name; const uint8_t *bytes; size_t n; } Part;
typedef struct Library {
    Job *job;
    const LoopModule *m;
    Temporary *folder;
    VEC(Part) parts;             /* all but the weights */
    const char *weights_symbol;  /* NULL where they are not embedded */
    FilePiece weights;
} Library;

static bool add_file(Library *lib, const char *name, const char *path) {
    size_t n;
    const uint8_t *bytes = file_map(lib->job->cx, path, &n);
    if (bytes) vec_push(lib->job->cx->arena, &lib->parts, (Part){name, bytes, n});
    return bytes != NULL;
}

static bool add_code(Library *lib) {
    Job *job = lib->job;
    const uint8_t *bytes;
    size_t n;
    if (job->backend == BACKEND_llvm) {
        EmitLlvm o = {.external_weights = true, .opt_level = 2, .verify = (job->set.flags & INGOT_VERIFY) != 0};
        if (!emit_llvm(lib->m, &o, LLVM_OBJECT, &bytes, &n)) return false;
        vec_push(job->cx->arena, &lib->parts, (Part){"model.o", bytes, n});
        return true;
    }
    Tiers parts = emit_c_parts(lib->m);
    for (uint32_t i = 0; i < parts.n; i++) {
        EmitC o = {.external_weights = true, .part = parts.at[i]};
        Text text = text_new(job->cx->arena);
        const char *name = i ? arena_print(job->cx->arena, "model_%s.o", target_short_name(parts.at[i])) : "model.o";
        const char *path = temporary_path(lib->folder, arena_print(job->cx->arena, "c_%s", name));
        if (!emit_c(lib->m, &o, &text) || !cc_object(job->cx, NULL, parts.at[i], text.at, text.n, path)) return false;
        if (!add_file(lib, name, path)) return false;
    }
    return true;
}

static void add_weights(Library *lib) {
    const LData *w = loop_weights(lib->m);
    if (!w || runtime_use(lib->m).weights) return;
    lib->weights = loop_data_piece(lib->m, w);
    lib->weights_symbol = w->name;
}

static bool add_runtime(Library *lib) {
    uint32_t n;
    const RuntimeObject *objects = runtime_objects(lib->job->cx->arena, runtime_use(lib->m), &n);
    for (uint32_t i = 0; i < n; i++)
        vec_push(lib->job->cx->arena, &lib->parts, (Part){objects[i].name, objects[i].bytes, objects[i].n});
    return true;
}

static bool rename_runtime(Library *lib) {
    Context *cx = lib->job->cx;
    const char *prefix = arena_print(cx->arena, "%s_rt_", lib->m->name);
    for (uint32_t i = 0; i < lib->parts.n; i++) {
        Part *p = &lib->parts.at[i];
        if (!(p->bytes = elf_rename(cx, p->bytes, p->n, "ingot_rt_", prefix, &p->n))) return false;
    }
    return true;
}

enum { HOLE_BYTES = 1 << 20 }; /* what is smaller may as well go through the linker */

/* The parts as files, for a linker; NULL last. */
static const char **part_files(Library *lib, bool hole) {
    Context *cx = lib->job->cx;
    FilePieces weights = {0};
    const char **paths = arena_new_array(cx->arena, const char *, lib->parts.n + 2);
    for (uint32_t i = 0; i < lib->parts.n; i++) {
        const Part *p = &lib->parts.at[i];
        paths[i] = temporary_path(lib->folder, p->name);
        if (!file_write(cx, paths[i], p->bytes, p->n, 0600)) return NULL;
    }
    if (!lib->weights_symbol) return paths;
    const char *path = paths[lib->parts.n] = temporary_path(lib->folder, "weights.o");
    if (!elf_data(cx, lib->weights_symbol, &lib->weights, hole, &weights)) return NULL;
    return file_write_pieces(cx, path, &weights, 0600) ? paths : NULL;
}

/* ---- libraries ----------------------------------------------------------------------------------------------------------- */

static const char *base_name(const char *path) { return strrchr(path, '/') ? strrchr(path, '/') + 1 : path; }

static bool link_library(Library *lib, const char *const *objects, const char *path) {
    Context *cx = lib->job->cx;
    VEC(const char *) exports = {0};
    const char *names = loop_note(lib->m, "exports");
    uint32_t n = 0;
    for (const char *at = names ? names : ""; *at; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");
        vec_push(cx->arena, &exports, intern_n(cx, at, length));
        at += length;
    }
    while (objects[n]) n++;
    LinkShared link = {.path = path,
                       .soname = lib->job->path ? base_name(lib->job->path) : arena_print(cx->arena, "lib%s.so", lib->m->name),
                       .objects = objects,
                       .n_objects = n,
                       .exports = exports.at,
                       .n_exports = exports.n};
    return link_shared(cx, &link);
}

static bool link_object(Library *lib, const char *const *objects, const char *path) {
    static const char *const linkers[] = {"ld.lld-19", "ld.lld", "ld"};
    Context *cx = lib->job->cx;
    const char *linker = process_find(cx, linkers, COUNT(linkers));
    if (!linker) {
        diag_machine(cx, (Loc){0}, "no linker found on PATH (ld.lld-19, ld.lld, ld); install lld, or write a static library");
        return false;
    }
    VEC(const char *) argv = {0};
    vec_push(cx->arena, &argv, linker);
    vec_push(cx->arena, &argv, "-r");
    vec_push(cx->arena, &argv, "-o");
    vec_push(cx->arena, &argv, path);
    for (; *objects; objects++) vec_push(cx->arena, &argv, *objects);
    vec_push(cx->arena, &argv, NULL);
    return process_run(cx, argv.at);
}

static bool link_parts(Library *lib, FilePieces *out) {
    Context *cx = lib->job->cx;
    const char *path = temporary_path(lib->folder, "out");
    bool hole = lib->weights.n >= HOLE_BYTES && link_leaves_holes(cx);
    const char **objects = part_files(lib, hole);
    size_t n;
    if (!objects || !(lib->job->emit == EMIT_so ? link_library : link_object)(lib, objects, path)) return false;
    const uint8_t *bytes = file_map(cx, path, &n);
    if (!bytes) return false;
    if (!hole) vec_push(cx->arena, out, (FilePiece){.bytes = bytes, .n = n});
    else if (!elf_fill(cx, bytes, n, &lib->weights, out)) BUG(cx, "the linker put the weights where they cannot be filled in");
    return true;
}

static bool archive_parts(Library *lib, FilePieces *out) {
    Context *cx = lib->job->cx;
    FilePieces weights = {0};
    ArchiveMember *members = arena_new_array(cx->arena, ArchiveMember, lib->parts.n + 1);
    for (uint32_t i = 0; i < lib->parts.n; i++) {
        const Part *p = &lib->parts.at[i];
        members[i] =
            (ArchiveMember){.name = arena_print(cx->arena, "%s_%s", lib->m->name, p->name), .bytes = p->bytes, .n = p->n};
    }
    if (lib->weights_symbol) {
        if (!elf_data(cx, lib->weights_symbol, &lib->weights, false, &weights)) return false;
        members[lib->parts.n] = (ArchiveMember){.name = arena_print(cx->arena, "%s_weights.o", lib->m->name),
                                                .symbol = lib->weights_symbol, .pieces = &weights};
    }
    return archive_pieces(cx, lib->job->path ? lib->job->path : lib->m->name, members, lib->parts.n + !!lib->weights_symbol,
                          out);
}

static bool make_library(Job *job, const LoopModule *m, FilePieces *out) {
    Library lib = {.job = job, .m = job->emit == EMIT_so ? m : without_getter(m), .folder = temporary_new(job->cx)};
    if (!lib.folder) return false;
    job_progress(job, "code");
    if (!add_code(&lib) || !add_runtime(&lib)) return false;
    add_weights(&lib);
    job_progress(job, "link");
    if (job->emit != EMIT_so && !rename_runtime(&lib)) return false;
    return (job->emit == EMIT_a ? archive_parts : link_parts)(&lib, out);
}

static bool is_linked(Emit e) { return e == EMIT_so || e == EMIT_a || e == EMIT_obj; }

static bool text_sink(void *text, const void *bytes, size_t n) {
    text_add_n(text, bytes, n);
    return true;
}

/* ---- texts --------------------------------------------------------------------------------------------------------------- */

static bool emit_c_text(Job *job, const LoopModule *m, Text *out) {
    EmitC o = {
        .external_weights = runtime_use(m).weights, .one_tier = true, .before = runtime_text(job->cx->arena, runtime_use(m))};
    o.declared = runtime_functions(&o.n_declared);
    return emit_c(without_getter(m), &o, out);
}

static bool emit_llvm_text(Job *job, const LoopModule *m, Text *out) {
    EmitLlvm o = {.external_weights = runtime_use(m).weights, .opt_level = 2};
    const uint8_t *bytes;
    size_t n;
    if (!emit_llvm(m, &o, job->emit == EMIT_asm ? LLVM_ASSEMBLY : LLVM_TEXT, &bytes, &n)) return false;
    text_add_n(out, (const char *)bytes, n);
    return true;
}

static bool is_graph(Emit e) { return e == EMIT_graph || e == EMIT_schedule || e == EMIT_dot; }

static bool emit_graph(Job *job, Text *out, Text *side) {
    const Graph *g = job_import(job);
    if (g && (job->set.stop_after || job->set.passes || job->emit == EMIT_schedule)) g = job_passes(job, g);
    if (!g) return false;
    if (job->emit == EMIT_graph) job_origin(job, out);
    if (job->emit == EMIT_schedule) schedule_print(g, out);
    else if (job->emit == EMIT_dot) graph_dot(g, out);
    else graph_print(g, out, side);
    return true;
}

static bool emit_text(Job *job, const LoopModule *m, Text *out, Text *side) {
    job_progress(job, "print");
    switch (job->emit) {
    case EMIT_c: return emit_c_text(job, m, out);
    case EMIT_llvm:
    case EMIT_asm: return emit_llvm_text(job, m, out);
    case EMIT_loop: loop_print(m, out, side); return true;
    case EMIT_header: text_add(out, "%s", loop_note(m, "header") ? loop_note(m, "header") : ""); return true;
    case EMIT_so:
    case EMIT_a:
    case EMIT_obj: {
        FilePieces pieces = {0};
        bool ok = make_library(job, m, &pieces);
        for (uint32_t i = 0; ok && i < pieces.n; i++) piece_put(&pieces.at[i], text_sink, out);
        return ok;
    }
    case EMIT_graph:
    case EMIT_schedule:
    case EMIT_dot:
    case EMIT_COUNT: break;
    }
    return false;
}

bool emit_memory(Job *job, Text *out, Text *side) {
    if (is_graph(job->emit)) return emit_graph(job, out, side);
    LoopModule *m = job_module(job);
    return m && emit_text(job, m, out, side);
}

/* ---- files --------------------------------------------------------------------------------------------------------------- */

static bool write_text(Job *job, const char *path, const char *text) {
    return file_write(job->cx, path, text, strlen(text), 0644);
}

static bool write_headers(Job *job, const LoopModule *m) {
    Context *cx = job->cx;
    const char *folder = path_folder(cx, job->path), *header = loop_note(m, "header");
    return !header || (write_text(job, arena_print(cx->arena, "%s/%s.h", folder, m->name), header) &&
                       write_text(job, arena_print(cx->arena, "%s/ingot_rt.h", folder), runtime_header()));
}

/* <name>.weights beside the library. */
static bool write_weights(Job *job, const LoopModule *m) {
    Context *cx = job->cx;
    const LData *w = loop_weights(m);
    const char *layout = loop_note(m, "weights_layout");
    if (!w || !has_note(m, "weights", "file")) return true;
    ingot_rt_weights_header h = {.magic = "INGOTWT1", .bytes = w->size, .layout = layout ? strtoull(layout, NULL, 16) : 0};
    FilePiece at[] = {{.bytes = &h, .n = sizeof h}, loop_data_piece(m, w)};
    FilePieces pieces = {at, COUNT(at), COUNT(at)};
    Sha256 sha;
    sha256_init(&sha);
    piece_put(&at[1], sha256_sink, &sha);
    sha256_end(&sha, h.sha256);
    return file_write_pieces(cx, arena_print(cx->arena, "%s/%s.weights", path_folder(cx, job->path), m->name), &pieces, 0644);
}

static bool is_library(Emit e) { return is_linked(e) || e == EMIT_c; }

static bool emit_texts(Job *job, const LoopModule *m) {
    Context *cx = job->cx;
    Text out = text_new(cx->arena), side = text_new(cx->arena);
    text_add(&out, "%s", "");
    if (!(m ? emit_text(job, m, &out, &side) : emit_graph(job, &out, &side))) return false;
    if (side.n && !file_write(cx, arena_print(cx->arena, "%s.bin", job->path), side.at, side.n, 0644)) return false;
    if (m && is_library(job->emit) && !(write_headers(job, m) && write_weights(job, m))) return false;
    return file_write(cx, job->path, out.at, out.n, job->emit == EMIT_so ? 0755 : 0644);
}

bool emit_file(Job *job) {
    if (is_graph(job->emit)) return emit_texts(job, NULL);
    const LoopModule *m = job_module(job);
    if (!m) return false;
    if (!is_linked(job->emit)) return emit_texts(job, m);
    FilePieces library = {0};
    return make_library(job, m, &library) && write_headers(job, m) && write_weights(job, m) &&
           file_write_pieces(job->cx, job->path, &library, job->emit == EMIT_so ? 0755 : 0644);
}
