/* reproducer.c: a bug of ingot leaves a file that brings it about again, to be attached to a report.
 *
 * The library hands the text over; the command line adds itself as a comment and writes.  Named by its content: the same bug
 * gives the same file.
 */
#include "command.h"
#include <errno.h>
#include <string.h>

static uint64_t hash(uint64_t h, const char *at, uint64_t n) { /* FNV-1a */
    for (uint64_t i = 0; i < n; i++) h = (h ^ (unsigned char)at[i]) * UINT64_C(0x100000001B3);
    return h;
}

static bool write_all(const char *path, const Arguments *a, const void *at, uint64_t n) {
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    if (a) fprintf(f, "// command:");
    for (int i = 0; a && i < a->argc; i++) { /* one line, whatever is in it */
        const char *word = i ? a->argv[i] : "ingot";
        fputc(' ', f);
        for (; *word; word++) fputc(*word == '\n' || *word == '\r' ? ' ' : *word, f);
    }
    if (a) fputc('\n', f);
    bool ok = fwrite(at, 1, (size_t)n, f) == n;
    return fclose(f) == 0 && ok;
}

void write_reproducer(void *user, const char *suffix, const char *text, uint64_t n, const void *side, uint64_t side_n) {
    const Arguments *a = user;
    const char *folder = a->value[OPT_dump_dir];
    char path[4096], side_path[4104];
    snprintf(path, sizeof path, "%s%singot-bug-%08x%s", folder ? folder : "", folder ? "/" : "",
             (unsigned)hash(UINT64_C(0xCBF29CE484222325), text, n), suffix);
    snprintf(side_path, sizeof side_path, "%s.bin", path);
    bool ok = write_all(path, a, text, n) && (!side || write_all(side_path, NULL, side, side_n));
    if (!ok) warn("cannot write %s: %s", path, strerror(errno));
    else note("wrote %s%s%s: please attach it to the report", path, side ? " and " : "", side ? side_path : "");
}
