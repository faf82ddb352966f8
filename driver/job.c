/* job.c: one call of the public API: its settings and input going in, its diagnostics and status coming out.
 *
 * First and last step of everything in api.c.  Settings are checked here, once, against tables.
 */
#define _GNU_SOURCE
#include "compile.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const char *const precision_names[PRECISION_COUNT] = {"f32", "bf16", "f64"};
static const char *const default_tiers[PRECISION_COUNT] = {"v3,v4", "v3,v4,v4-bf16", "v3,v4"};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A growable struct of a caller of any version: fields it does not have are zero. */
static void copy_growable(void *to, size_t bytes, const void *from) {
    uint32_t size = 0;
    if (!from) return;
    memcpy(&size, from, sizeof size);
    memcpy(to, from, size < bytes ? size : bytes);
}

Job *job_begin(const ingot_input *in, const ingot_settings *settings, const char *path) {
    Job *job = calloc(1, sizeof *job);
    if (!job) return NULL;
    copy_growable(&job->in, sizeof job->in, in);
    copy_growable(&job->set, sizeof job->set, settings);
    job->path = path;
    if (job->set.time_limit > 0) job->deadline = now() + job->set.time_limit;
    Limits limits = {.memory_bytes = job->set.memory_limit};
    job->cx = context_new(&limits);
    if (job->cx) return job;
    free(job);
    return NULL;
}

bool job_run(Job *job, bool (*work)(Job *, void *), void *user) {
    job->ok = false;
    if (context_enter(job->cx)) job->ok = work(job, user);
    context_leave(job->cx);
    return job->ok;
}

void job_free(Job *job) {
    if (!job) return;
    context_free(job->cx);
    free(job);
}

/* Budgets unwind through diag_fatal, which leaves no more than its text. */
static bool ran_out(const Context *cx) {
    uint32_t n = diag_count(cx);
    const char *last = n ? diag_at(cx, n - 1)->text : "";
    return strncmp(last, "out of ", 7) == 0 && strstr(last, "the limit of");
}

ingot_status job_status(const Job *job) {
    const Context *cx = job->cx;
    if (job->ok && !diag_error_count(cx)) return INGOT_OK;
    if (cx->bug) return INGOT_E_BUG;
    if (job->limited || ran_out(cx)) return INGOT_E_LIMIT;
    if (diag_is_machine(cx)) return INGOT_E_SYSTEM;
    return diag_is_usage(cx) ? INGOT_E_ARG : INGOT_E_MODEL;
}

/* Passes report their own times; this is for the steps around them. */
static void report_time(Job *job, const char *next) {
    bool pass = job->stage && pass_find(job->stage);
    if ((job->set.flags & INGOT_TIME) && job->set.text && job->stage && !pass) {
        char title[64];
        snprintf(title, sizeof title, "%s: %.1f ms", job->stage, (now() - job->stage_start) * 1e3);
        job->set.text(job->set.user, title, NULL);
    }
    job->stage = next;
    job->stage_start = now();
}

ingot_status job_end(Job *job, bool keep, ingot_error *err) {
    Context *cx = job->cx;
    ingot_status status = job_status(job);
    const char *stage = job->stage;
    report_time(job, NULL);
    const Diag *first = NULL;
    for (uint32_t i = 0; i < diag_count(cx); i++) {
        static const int32_t kinds[] = {[DIAG_ERROR] = INGOT_ERROR, [DIAG_WARNING] = INGOT_WARNING, [DIAG_NOTE] = INGOT_NOTE};
        const Diag *d = diag_at(cx, i);
        if (!first && d->kind == DIAG_ERROR) first = d;
        if (job->set.diagnostic) job->set.diagnostic(job->set.user, kinds[d->kind], loc_string(cx, d->loc), d->text);
    }
    if (err && status) {
        const char *where = first ? loc_string(cx, first->loc) : "",
                   *text = first ? first->text : "failed without a diagnostic";
        err->code = status;
        snprintf(err->text, sizeof err->text, "%s%s%s", where, *where ? ": " : "", text);
    }
    if (status == INGOT_E_BUG) give_reproducer(job, stage);
    diag_truncate(cx, 0);
    if (!keep || status) job_free(job);
    return status;
}

void job_progress(Job *job, const char *stage) {
    report_time(job, stage);
    if (job->set.progress) job->set.progress(job->set.user, stage);
    if (job->deadline == 0 || now() < job->deadline) return;
    job->limited = true;
    diag_fatal(job->cx, "stopped before %s: compiling took longer than the limit of %g seconds", stage, job->set.time_limit);
}

/* ---- settings ----------------------------------------------------------------------------------------------------------- */

static const char *const emit_names[] = {
#define EMIT(name, ...) #name,
#include "emits.def"
};
static const char *const emit_suffixes[] = {
#define EMIT(name, suffixes, ...) suffixes,
#include "emits.def"
};
static const char *const backend_names[] = {"llvm", "c", "interpreter"};
static const char *const weights_names[] = {"embed", "file", "extern"};

/* Index of value among names; -1 after a diagnostic. */
static int choose(Job *job, const char *what, const char *value, const char *const *names, size_t n) {
    Text known = text_new(job->cx->arena);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(value, names[i]) == 0) return (int)i;
        text_add(&known, "%s%s", i ? ", " : "", names[i]);
    }
    const char *close = closest_word(value, names, n);
    diag_usage(job->cx, (Loc){0}, "unknown %s '%s'%s%s%s; expected one of %s", what, value, close ? " (did you mean '" : "",
               close ? close : "", close ? "'?)" : "", known.at);
    return -1;
}

static bool has_suffix(const char *path, const char *suffixes) {
    size_t n = strlen(path);
    for (const char *s = suffixes; *s; s += strspn(s, " ")) {
        size_t k = strcspn(s, " ");
        if (k < n && strncmp(path + n - k, s, k) == 0) return true;
        s += k;
    }
    return false;
}

static bool choose_emit(Job *job) {
    const char *emit = job->set.emit;
    int chosen = EMIT_so;
    if (emit) chosen = choose(job, "output", emit, emit_names, EMIT_COUNT);
    else if (job->path) {
        for (chosen = 0; chosen < EMIT_COUNT && !has_suffix(job->path, emit_suffixes[chosen]); chosen++) {}
        if (chosen == EMIT_COUNT) {
            diag_usage(job->cx, (Loc){0}, "'%s' does not tell what to write: use a suffix such as .so, .a, .o, .c, or --emit",
                       job->path);
            return false;
        }
    }
    job->emit = (Emit)chosen;
    return chosen >= 0;
}

static bool choose_tiers(Job *job) {
    const char *found = job->set.precision;
    int precision = choose(job, "precision", found ? found : "f32", precision_names, PRECISION_COUNT);
    if (precision < 0) return false;
    job->precision = (Precision)precision;
    const char *list = job->set.cpu ? job->set.cpu : default_tiers[precision];
    if (!tiers_parse(job->cx, list, cpu_native(job->cx->arena), &job->tiers)) return false;
    if (job->precision != PRECISION_bf16 || job->tiers.at[0]->fma) return true;
    diag_usage(job->cx, (Loc){0}, "precision %s needs fused multiply-add, which %s lacks: leave it out of --cpu", found,
               job->tiers.at[0]->name);
    return false;
}

/* libminilm.so -> minilm; any file name becomes a C identifier. */
static const char *name_from(Job *job, const char *path) {
    const char *stem = path_stem(job->cx, path);
    if (strncmp(stem, "lib", 3) == 0 && stem[3] && job->path == path) stem += 3;
    Text name = text_new(job->cx->arena);
    if (!(stem[0] >= 'a' && stem[0] <= 'z') && !(stem[0] >= 'A' && stem[0] <= 'Z')) text_add(&name, "m");
    for (; *stem; stem++) {
        bool fine = (*stem >= 'a' && *stem <= 'z') || (*stem >= 'A' && *stem <= 'Z') || (*stem >= '0' && *stem <= '9');
        text_add(&name, "%c", fine ? *stem : '_');
    }
    return header_takes(name.at) ? intern(job->cx, arena_print(job->cx->arena, "m_%s", name.at)) : intern(job->cx, name.at);
}

static bool choose_name(Job *job) {
    const char *name = job->set.name;
    if (!name) {
        job->name = name_from(job, job->path ? job->path : job->in.path ? job->in.path : "model");
        return true;
    }
    bool fine = *name && !(*name >= '0' && *name <= '9') && strlen(name) < 64;
    for (const char *p = name; *p; p++)
        fine = fine && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '_');
    if (!fine)
        diag_usage(job->cx, (Loc){0}, "'%s' cannot be the model's name: expected a C identifier of at most 63 characters",
                   name);
    bool taken = fine && header_takes(name);
    if (taken)
        diag_usage(job->cx, (Loc){0},
                   "'%s' cannot be the model's name: it is a word of C, C++ or ingot's own headers; add to it", name);
    job->name = intern(job->cx, name);
    return fine && !taken;
}

/* The triple without its vendor is what compilers are called by: both spellings are known. */
static bool choose_system(Job *job) {
    const char *found = job->set.target, *triple = job->tiers.at[0]->triple, *vendor = strchr(triple, '-'),
               *system = vendor ? strchr(vendor + 1, '-') : NULL;
    if (!found || strcmp(found, triple) == 0) return true;
    const char *brief = system ? arena_print(job->cx->arena, "%.*s%s", (int)(vendor - triple), triple, system) : triple;
    const char *const known[] = {triple, brief};
    return choose(job, "target", found, known, COUNT(known)) >= 0;
}

static bool choose_numerics(Job *job) {
    static const char *const known[] = {"strict", "fast"};
    int n = choose(job, "numerics", job->set.numerics ? job->set.numerics : "strict", known, COUNT(known));
    job->fast = n == 1;
    return n >= 0;
}

static bool choose_backend(Job *job) {
    const char *backend = job->set.backend ? job->set.backend : have_llvm() ? "llvm" : "c";
    int b = choose(job, "backend", backend, backend_names, BACKEND_COUNT);
    int w = choose(job, "place of weights", job->set.weights ? job->set.weights : "embed", weights_names, WEIGHTS_COUNT);
    if (b < 0 || w < 0) return false;
    job->backend = (Backend)b;
    job->weights = (WeightsKind)w;
    if (job->precision != PRECISION_f64 || job->backend == BACKEND_interpreter) return true;
    diag_usage(job->cx, (Loc){0}, "precision f64 is for measuring errors and goes with the backend interpreter alone; found %s",
               backend);
    return false;
}

/* ---- input -------------------------------------------------------------------------------------------------------------- */

static bool is_text_of(const char *at, size_t n, const char *keyword) {
    size_t k = strlen(keyword);
    return n > k && memcmp(at, keyword, k) == 0 && (at[k] == ' ' || at[k] == '\t' || at[k] == '@');
}

static InputKind sniff(const uint8_t *bytes, size_t n) {
    const char *at = (const char *)bytes, *end = at + n;
    for (;;) { /* behind space and comments */
        while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')) at++;
        if (end - at < 2 || at[0] != '/' || at[1] != '/') break;
        while (at < end && *at != '\n') at++;
    }
    if (is_text_of(at, (size_t)(end - at), "loop")) return INPUT_LOOP;
    return is_text_of(at, (size_t)(end - at), "graph") ? INPUT_GRAPH : INPUT_ONNX;
}

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

enum { HASH_WINDOW = 1 << 24 };

/* The model itself, or what an intermediate text says (job_origin). */
static void find_origin(Job *job) {
    const char *at = (const char *)job->bytes, *end = at + job->n;
    const size_t head = strlen(ORIGIN_COMMENT), hash = 2 * sizeof job->origin_sha256;
    Sha256 sha;
    sha256_init(&sha);
    for (size_t done = 0; done < job->n;
         done += HASH_WINDOW) { /* most of a model may be weights, which are read when written */
        size_t n = job->n - done < HASH_WINDOW ? job->n - done : HASH_WINDOW;
        sha256_add(&sha, job->bytes + done, n);
        file_release(job->cx, job->bytes + done, n);
    }
    sha256_end(&sha, job->origin_sha256);
    job->origin = job->file;
    if (job->kind != INPUT_GRAPH || job->n < head + hash + 2 || memcmp(at, ORIGIN_COMMENT, head) != 0) return;
    at += head;
    for (size_t i = 0; i < hash; i++)
        if (hex_digit(at[i]) < 0) return;
    const char *name = at + hash + 1, *line = memchr(name, '\n', (size_t)(end - name));
    if (at[hash] != ' ' || !line) return;
    for (size_t i = 0; i < hash; i += 2) job->origin_sha256[i / 2] = (uint8_t)(hex_digit(at[i]) << 4 | hex_digit(at[i + 1]));
    job->origin = intern_n(job->cx, name, (size_t)(line - name));
}

static bool open_input(Job *job) {
    Context *cx = job->cx;
    const ingot_input *in = &job->in;
    const char *slash = in->path ? strrchr(in->path, '/') : NULL;
    job->file = slash ? slash + 1 : in->path ? in->path : "model"; /* artifacts name it: they must not depend on folders */
    job->folder = in->folder ? in->folder : in->path && !in->bytes ? path_folder(cx, in->path) : NULL;
    job->bytes = in->bytes, job->n = (size_t)in->n;
    job->side = in->side, job->side_n = (size_t)in->side_n;
    if (!in->bytes && !in->path) {
        diag_usage(cx, (Loc){0}, "no model given: neither a path nor bytes");
        return false;
    }
    if (!in->bytes && !(job->bytes = file_map(cx, in->path, &job->n))) return false;
    if (job->n >= 4 && memcmp(job->bytes, "\177ELF", 4) == 0) {
        diag_error(cx, (Loc){0}, "%s is a compiled library or object; expected a model (.onnx, .graph, .loop)", job->file);
        return false;
    }
    job->kind = sniff(job->bytes, job->n);
    find_origin(job);
    if (job->kind == INPUT_ONNX || in->bytes) return true;
    const char *side = arena_print(cx->arena, "%s.bin", in->path);
    if (access(side, F_OK) != 0) return true;
    job->side = file_map(cx, side, &job->side_n);
    return job->side != NULL;
}

/* What cannot be written is told before the work, not after. */
static bool check_path(Job *job) {
    struct stat s;
    if (!job->path) return true;
    if (stat(job->path, &s) == 0 && S_ISDIR(s.st_mode)) errno = EISDIR;
    else if (access(arena_print(job->cx->arena, "%s/.", path_folder(job->cx, job->path)), W_OK) == 0) return true;
    int error = errno; /* the folder's; it does not matter to a device */
    if (error != EISDIR && access(job->path, W_OK) == 0) return true;
    diag_machine(job->cx, (Loc){0}, "cannot write '%s': %s", job->path, strerror(error));
    return false;
}

static bool open_schedule(Job *job) {
    if (job->set.schedule_text) {
        job->schedule = job->set.schedule_text, job->schedule_n = job->set.schedule_bytes;
        if (!job->set.schedule) job->set.schedule = "schedule";
        return true;
    }
    return !job->set.schedule || (job->schedule = (const char *)file_map(job->cx, job->set.schedule, &job->schedule_n));
}

bool job_open(Job *job) {
    return choose_emit(job) && choose_tiers(job) && choose_system(job) && choose_numerics(job) && choose_backend(job) &&
           choose_name(job) && job_check_passes(job) && open_input(job) && open_schedule(job) && check_path(job);
}
