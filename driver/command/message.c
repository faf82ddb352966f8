/* message.c: everything that goes to stderr: errors in colour where a terminal shows them, and progress.
 *
 * The terminal is the process's, so its state is too: set once by message_setup.
 */
#define _GNU_SOURCE
#include "command.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct { bool color, progress, quiet, line; } terminal;

void message_setup(const Arguments *a) {
    const char *color = a->value[OPT_color], *no = getenv("NO_COLOR"), *term = getenv("TERM");
    bool tty = isatty(2) != 0;
    terminal.quiet = a->value[OPT_quiet] != NULL;
    terminal.progress = tty && !terminal.quiet && term && strcmp(term, "dumb") != 0;
    terminal.color = tty && !(no && *no) && term && strcmp(term, "dumb") != 0;
    if (color && strcmp(color, "always") == 0) terminal.color = true;
    if (color && strcmp(color, "never") == 0) terminal.color = false;
}

void progress_end(void) {
    if (terminal.line) fprintf(stderr, "\r\033[K");
    terminal.line = false;
}

static void say(const char *kind, const char *color, const char *where, const char *text) {
    progress_end();
    if (terminal.color) fprintf(stderr, "%s%s%s\033[1;%sm%s:\033[0m %s\n", where, *where ? ": " : "", "", color, kind, text);
    else fprintf(stderr, "%s%s%s: %s\n", where, *where ? ": " : "", kind, text);
}

static int fail_list(int status, const char *fmt, va_list args) FORMAT(2, 0);
static int fail_list(int status, const char *fmt, va_list args) {
    char text[1024];
    vsnprintf(text, sizeof text, fmt, args);
    say("error", "31", "", text);
    return status;
}

#define FAIL(status)                                                                                                   \
    va_list args;                                                                                                      \
    va_start(args, fmt);                                                                                               \
    int result = fail_list(status, fmt, args);                                                                         \
    va_end(args);                                                                                                      \
    return result
int fail_usage(const char *fmt, ...) { FAIL(EXIT_USAGE); }
int fail_machine(const char *fmt, ...) { FAIL(EXIT_MACHINE); }
int fail_no(const char *fmt, ...) { FAIL(EXIT_NO); }

void warn(const char *fmt, ...) {
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (!terminal.quiet) say("warning", "33", "", text);
}

void note(const char *fmt, ...) {
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    say("note", "36", "", text);
}

int exit_status(ingot_status status) {
    switch (status) {
    case INGOT_OK: return EXIT_YES;
    case INGOT_E_ARG: return EXIT_USAGE;
    case INGOT_E_BUG: return EXIT_BUG;
    case INGOT_E_SYSTEM:
    case INGOT_E_MEMORY:
    case INGOT_E_CPU:
    case INGOT_E_DEVICE:
    case INGOT_E_DEVICE_LOST: return EXIT_MACHINE;
    default: return EXIT_NO;
    }
}

int fail_error(const char *what, const ingot_error *err) {
    say("error", "31", what, err->text);
    return exit_status(err->code);
}

/* ---- callbacks of the settings ------------------------------------------------------------------------------------------ */

static void show_diagnostic(void *user, int32_t kind, const char *where, const char *text) {
    static const char *const kinds[] = {"error", "warning", "note"}, *const colors[] = {"31", "33", "36"};
    (void)user;
    if (kind != INGOT_ERROR && terminal.quiet) return;
    say(kinds[kind], colors[kind], where, text);
}

static void show_text(void *user, const char *title, const char *text) {
    (void)user;
    progress_end();
    fprintf(stderr, "// %s\n%s", title, text ? text : "");
}

static void show_progress(void *user, const char *stage) {
    (void)user;
    if (!terminal.progress) return;
    fprintf(stderr, "\r\033[K%s ...", stage);
    fflush(stderr);
    terminal.line = true;
}

/* ---- settings ------------------------------------------------------------------------------------------------------------ */

static int read_limits(const char *text, ingot_settings *s) {
    char *end;
    double memory = strtod(text, &end);
    if (*end == 'K') memory *= 1024, end++;
    else if (*end == 'M') memory *= 1048576, end++;
    else if (*end == 'G') memory *= 1073741824, end++;
    if (end == text) memory = 0;
    if (*end == ',') {
        const char *from = end + 1;
        s->time_limit = strtod(from, &end);
        if (end == from) end = (char *)(uintptr_t)text;
    }
    if (*end || memory < 0 || memory > 1e15 || s->time_limit < 0) return fail_usage("--limits=%s: expected memory and seconds, such as 2G,60", text);
    s->memory_limit = (uint64_t)memory;
    return EXIT_YES;
}

static int read_constants(const Arguments *a, Prepared *p) {
    p->constants = calloc(a->constants.n + 1, sizeof *p->constants);
    if (!p->constants) return fail_machine("out of memory");
    p->settings.constants = p->constants;
    for (uint32_t i = 0; i < a->constants.n; i++) {
        const char *text = a->constants.at[i], *eq = strrchr(text, '=');
        char why[256];
        if (!eq || eq == text) return fail_usage("--constant=%s: expected NAME=X.npy", text);
        ingot_constant *c = &p->constants[i];
        char *name = strndup(text, (size_t)(eq - text));
        if (!name) return fail_machine("out of memory");
        c->name = name;
        p->settings.n_constants = i + 1;
        int status = npy_read(eq + 1, &c->tensor, why);
        if (status) return status == EXIT_MACHINE ? fail_machine("%s", why) : fail_no("%s", why);
    }
    return EXIT_YES;
}

int prepare(Arguments *a, Prepared *p) {
    static const struct { Option option; uint32_t flag; } flags[] = {
        {OPT_symbolic, INGOT_SYMBOLIC}, {OPT_verify_each, INGOT_VERIFY}, {OPT_check_each, INGOT_CHECK},
        {OPT_time_passes, INGOT_TIME},  {OPT_freestanding, INGOT_BARE},  {OPT_threads, INGOT_THREADS}};
    *p = (Prepared){0};
    ingot_settings *s = &p->settings;
    s->size = sizeof *s;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (a->value[flags[i].option]) s->flags |= flags[i].flag;
    s->name = a->value[OPT_name], s->cpu = a->value[OPT_cpu], s->backend = a->value[OPT_backend], s->emit = a->value[OPT_emit];
    s->target = a->value[OPT_target], s->numerics = a->value[OPT_numerics];
    s->dims = a->dims.at, s->n_dims = a->dims.n;
    s->print_after = a->value[OPT_print_after], s->stop_after = a->value[OPT_stop_after];
    s->passes = a->value[OPT_passes], s->dump_folder = a->value[OPT_dump_dir];
    s->diagnostic = show_diagnostic, s->text = show_text, s->progress = show_progress;
    s->reproducer = write_reproducer, s->user = a;
    int status = a->value[OPT_limits] ? read_limits(a->value[OPT_limits], s) : EXIT_YES;
    return status ? status : read_constants(a, p);
}

void prepared_free(Prepared *p) {
    for (uint32_t i = 0; p->constants && i < p->settings.n_constants; i++) {
        free((char *)(uintptr_t)p->constants[i].name);
        free(p->constants[i].tensor.data);
    }
    free(p->constants);
    progress_end();
}

/* ---- did you mean -------------------------------------------------------------------------------------------------------- */

/* Levenshtein's distance; words longer than the table count as far away. */
static size_t distance(const char *a, const char *b) {
    enum { MOST = 40 };
    size_t n = strlen(a), m = strlen(b), row[MOST + 1];
    if (n > MOST || m > MOST) return MOST;
    for (size_t j = 0; j <= m; j++) row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]), least = row[j] < row[j - 1] ? row[j] : row[j - 1];
            diagonal = row[j];
            row[j] = change < least + 1 ? change : least + 1;
        }
    }
    return row[m];
}

const char *closest(const char *word, Candidate *candidate, const void *user, size_t n) {
    size_t best = strlen(word) / 3 + 1, at = n;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, candidate(user, i));
        if (d < best || (d == best && at == n)) best = d, at = i;
    }
    return at < n ? candidate(user, at) : NULL;
}
