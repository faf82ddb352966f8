/* suite_table.c: what the cases came to, as one table by operator and the totals, a column each run: readable on a terminal
 * and as Markdown in a file.
 */
#include "suite.h"
#include <stdlib.h>
#include <string.h>

enum { OP_WIDTH = 30, CELL_WIDTH = 15 };

void table_add(Table *t, const char *op, Mode m, Backend b, Outcome o) {
    unsigned i = 0;
    while (i < t->n && strcmp(t->rows[i].op, op) != 0) i++;
    if (i == TABLE_ROWS) return;
    if (i == t->n) snprintf(t->rows[t->n++].op, sizeof t->rows[i].op, "%s", op);
    t->rows[i].count[m][b][o]++;
}

static int by_op(const void *a, const void *b) { return strcmp(((const TableRow *)a)->op, ((const TableRow *)b)->op); }

/* "12", or "10 1u 1f" where not all pass. */
static void print_cell(FILE *f, const unsigned count[OUTCOMES]) {
    static const char letter[OUTCOMES] = {0, 'u', 'f', 'c'};
    char text[64];
    int n = snprintf(text, sizeof text, "%u", count[PASS]);
    for (unsigned o = PASS + 1; o < OUTCOMES; o++)
        if (count[o]) n += snprintf(text + n, sizeof text - (size_t)n, " %u%c", count[o], letter[o]);
    fprintf(f, " %-*s |", CELL_WIDTH, text);
}

static void print_rule(FILE *f, unsigned columns) {
    fprintf(f, "|%.*s|", OP_WIDTH + 2, "----------------------------------------------------------------");
    for (unsigned i = 0; i < columns; i++) fprintf(f, "%.*s|", CELL_WIDTH + 2, "--------------------------------");
    fputc('\n', f);
}

void table_print(Table *t, FILE *f, const bool modes[MODES], const bool backends[BACKENDS]) {
    unsigned columns = 0;
    qsort(t->rows, t->n, sizeof *t->rows, by_op);
    fprintf(f, "\nCases that pass; of the others u are unsupported, f fail, c crash.\n\n| %-*s |", OP_WIDTH, "operator");
    for (unsigned m = 0; m < MODES; m++)
        for (unsigned b = 0; b < BACKENDS; b++) {
            char head[32];
            if (!modes[m] || !backends[b]) continue;
            snprintf(head, sizeof head, "%s %s", mode_names[m], backend_names[b]);
            fprintf(f, " %-*s |", CELL_WIDTH, head);
            columns++;
        }
    fputc('\n', f);
    print_rule(f, columns);
    for (unsigned i = 0; i < t->n; i++) {
        fprintf(f, "| %-*s |", OP_WIDTH, t->rows[i].op);
        for (unsigned m = 0; m < MODES; m++)
            for (unsigned b = 0; b < BACKENDS; b++)
                if (modes[m] && backends[b]) print_cell(f, t->rows[i].count[m][b]);
        fputc('\n', f);
    }
}

void totals_print(Totals totals[MODES][BACKENDS], FILE *f, const bool modes[MODES], const bool backends[BACKENDS]) {
    fprintf(f, "\n| %-8s | %-7s | %5s | %13s | %12s | %11s | %4s | %5s | %7s |\n", "mode", "backend", "pass", "not _expanded",
            "second sizes", "unsupported", "fail", "crash", "seconds");
    fputs("|----------|---------|-------|---------------|--------------|-------------|------|-------|---------|\n", f);
    for (unsigned m = 0; m < MODES; m++)
        for (unsigned b = 0; b < BACKENDS; b++) {
            const Totals *t = &totals[m][b];
            if (!modes[m] || !backends[b]) continue;
            fprintf(f, "| %-8s | %-7s | %5u | %13u | %12u | %11u | %4u | %5u | %7.1f |\n", mode_names[m], backend_names[b],
                    t->count[PASS], t->plain, t->second, t->count[UNSUPPORTED], t->count[FAIL], t->count[CRASH], t->seconds);
        }
}

bool totals_reach(const Totals *t, const char *file, Mode mode, Backend backend) {
    char m[32], b[32], line[256];
    unsigned pass, plain, second, fail;
    bool recorded = false, reached = false;
    FILE *f = fopen(file, "r");
    while (f && !recorded && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%31s %31s %u %u %u %u", m, b, &pass, &plain, &second, &fail) != 6) continue;
        if (strcmp(m, mode_names[mode]) != 0 || strcmp(b, backend_names[backend]) != 0) continue;
        recorded = true;
        reached = t->count[PASS] >= pass && t->plain >= plain && t->second >= second && t->count[FAIL] <= fail;
    }
    if (f) fclose(f);
    if (!recorded) printf("%s records nothing for %s %s\n", file, mode_names[mode], backend_names[backend]);
    else if (!reached)
        printf("%s %s: %u pass, %u not _expanded, %u at second sizes, %u fail; recorded are %u, %u, %u, %u\n", mode_names[mode],
               backend_names[backend], t->count[PASS], t->plain, t->second, t->count[FAIL], pass, plain, second, fail);
    return reached;
}
