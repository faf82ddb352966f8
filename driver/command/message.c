/* message.c: everything that goes to stderr: errors in colour where a terminal shows them, and progress.
 *
 * The terminal is the process's, so its state is too: set once by message_setup.
 */
#define _GNU_SOURCE
#include "command.h"
#include <errno.h>
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

void progress_lost(void) {
    terminal.line = terminal.progress;
    progress_end();
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
int fail_bug(const char *fmt, ...) { FAIL(EXIT_BUG); }

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

int output_end(int status) {
    if ((!fflush(stdout) && !ferror(stdout)) || status != EXIT_YES) return status;
    return fail_machine("cannot write to the standard output: %s", strerror(errno));
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

void progress_show(const char *what) {
    if (!terminal.progress) return;
    fprintf(stderr, "\r\033[K%s ...", what);
    fflush(stderr);
    terminal.line = true;
}

static void show_progress(void *user, const char *stage) {
    (void)user;
    isolate_stage(stage);
    progress_show(stage);
}

void message_callbacks(ingot_settings *s) { s->diagnostic = show_diagnostic, s->text = show_text, s->progress = show_progress; }

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
