/* tune_space.c: what ingot tune searches: groups of kernels, their numbers, and the neighbours of a set of numbers.
 *
 * Schedules come and go as the text of --print-schedule; nothing here knows what a template does with a number, only by which
 * steps a field of that name is worth trying.  A step that a template cannot work with is an error of the compiler at its line.
 */
#define _GNU_SOURCE
#include "tune.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef enum Steps { STEP_NONE, STEP_ONES, STEP_TWICE, STEP_FLAG, STEP_BITS_OFF } Steps;
static const struct { const char *field; Steps steps; bool threads; /* matters on several alone */
} steps_of[] = {{"tile_m", STEP_ONES, false},    {"tile_n", STEP_ONES, false}, {"unroll", STEP_ONES, false},
                {"block_m", STEP_TWICE, false},  {"pixels", STEP_ONES, false}, {"lanes", STEP_TWICE, false},
                {"place", STEP_FLAG, false},     {"stage", STEP_BITS_OFF, false}, {"stream", STEP_FLAG, false},
                {"grain", STEP_TWICE, true}};

/* ---- sizes -------------------------------------------------------------------------------------------------------------- */

static int64_t square_root(int64_t x) {
    int64_t r = 0;
    while ((r + 1) * (r + 1) <= x && r < INT32_MAX) r += 1 + r / 64; /* about */
    return r;
}

/* "batch=1..64%8" of --dim, where it is a range with two ends. */
static bool given_range(const Arguments *a, const char *name, int64_t *low, int64_t *high) {
    size_t n = strlen(name);
    for (uint32_t i = 0; i < a->dims.n; i++) {
        const char *text = a->dims.at[i], *dots = strstr(text, "..");
        if (strncmp(text, name, n) != 0 || text[n] != '=' || !dots || dots[2] < '0' || dots[2] > '9') continue;
        *low = text[n + 1] == '.' ? 1 : strtoll(text + n + 1, NULL, 10);
        *high = strtoll(dots + 2, NULL, 10);
        return *low <= *high;
    }
    return false;
}

int tune_points(Tuner *t) {
    const Session *s = &t->base;
    bool ranges = false;
    for (int p = 0; p < MOST_POINTS; p++) {
        t->points[p] = calloc(s->model->n_symbols + 1, sizeof(int64_t));
        if (!t->points[p]) return fail_machine("out of memory");
        memcpy(t->points[p], s->symbols, s->model->n_symbols * sizeof(int64_t));
        for (uint32_t i = 0; i < s->model->n_symbols; i++) {
            const ingot_symbol *y = s->model->symbols[i];
            int64_t low, high;
            if ((y->flags & 1) || !given_range(t->a, y->name, &low, &high)) continue;
            int64_t values[MOST_POINTS] = {low, square_root((low ? low : 1) * high), high}, v = values[p];
            if (v < y->min) v = y->min;
            if (y->multiple > 1) v = (v + y->multiple - 1) / y->multiple * y->multiple;
            t->points[p][i] = v > y->max ? y->max : v;
            ranges |= low < high;
        }
    }
    t->n_points = ranges ? MOST_POINTS : 1;
    return EXIT_YES;
}

/* ---- kernels and groups ------------------------------------------------------------------------------------------------- */

/* Behind the quoted nodes that a line starts with. */
static char *after_quotes(char *at) {
    if (*at != '"') return NULL;
    for (at++; *at && *at != '"'; at++)
        if (*at == '\\' && at[1]) at++;
    return *at ? at + 1 : NULL;
}

/* {template=map, lanes=16, grain=7}; fields without steps are left alone. */
static void read_fields(Tuner *t, TuneGroup *g, char *at) {
    for (char *key = strtok(at, "{}, \n"); key; key = strtok(NULL, "{}, \n")) {
        char *eq = strchr(key, '=');
        if (!eq || g->n_fields == MOST_FIELDS) continue;
        *eq = 0;
        for (size_t i = 0; i < sizeof steps_of / sizeof *steps_of; i++) {
            if (strcmp(steps_of[i].field, key) != 0 || (steps_of[i].threads && t->threads == 1)) continue;
            g->start.at[g->n_fields] = strtoll(eq + 1, NULL, 10);
            g->field[g->n_fields++] = steps_of[i].field;
        }
    }
    g->best = g->candidate = g->start;
    g->ratio = 1;
}

/* Lines and launches come in the same order: a kernel each. */
static int add_kernel(Tuner *t, char *line) {
    const ingot_model *m = t->base.model;
    char *head = after_quotes(line), *brace = head ? strchr(head, '{') : NULL;
    if (!brace || t->n_kernels == m->n_kernels) return fail_bug("schedules and kernels do not agree");
    const char *function = m->kernels[t->n_kernels]->function;
    uint32_t i = 0;
    while (i < t->n_groups && strcmp(t->groups[i].function, function) != 0) i++;
    if (i == t->n_groups) {
        t->groups[t->n_groups++] = (TuneGroup){.function = function};
        read_fields(t, &t->groups[i], brace);
    }
    while (brace > head && brace[-1] == ' ') brace--;
    *brace = 0;
    t->kernels[t->n_kernels++] = (TuneKernel){line, i};
    return EXIT_YES;
}

/* The tier that the model runs on, with the sizes of caches that --cpu gives it.  malloc'd; NULL: no memory. */
static char *tier_alone(const char *tier, const char *given) {
    size_t room = strlen(tier) + strlen(given ? given : "") + 2;
    char *list = malloc(room);
    if (list) snprintf(list, room, "%s", tier);
    for (const char *at = given; list && at && *at; at += strcspn(at, ","), at += *at == ',') {
        int n = (int)strcspn(at, ",");
        bool sizes = memchr(at, '=', (size_t)n) || (n == 6 && strncmp(at, "native", 6) == 0); /* whose tier this is, then */
        if (sizes) snprintf(list + strlen(list), room - strlen(list), ",%.*s", n, at);
    }
    return list;
}

int tune_kernels(Tuner *t) {
    Prepared p;
    ingot_bytes text = {0};
    ingot_error err;
    List declared = {0};
    uint32_t n = t->base.model->n_kernels;
    int status = prepare(t->a, &p);
    for (uint32_t i = 0; i < t->a->dims.n; i++)
        if (strstr(t->a->dims.at[i], "..") && !list_push(&declared, t->a->dims.at[i])) status = fail_machine("out of memory");
    ingot_input in = {.size = sizeof in, .path = t->base.path};
    p.settings.dims = declared.at, p.settings.n_dims = declared.n;
    char *tier = tier_alone(t->base.model->tiers[0], p.settings.cpu);
    if (!tier) status = fail_machine("out of memory");
    p.settings.emit = "schedule", p.settings.cpu = tier, p.settings.progress = NULL;
    if (!status) status = exit_status(ingot_compile_memory(&in, &p.settings, &text, NULL, &err));
    t->kernels = calloc(n + 1, sizeof *t->kernels);
    t->groups = calloc(n + 1, sizeof *t->groups);
    t->line_group = calloc(n + 2, sizeof *t->line_group);
    if (!status) t->schedules = strndup(text.at, text.n);
    if (!status && (!t->kernels || !t->groups || !t->line_group || !t->schedules)) status = fail_machine("out of memory");
    for (char *line = t->schedules, *next; !status && line && *line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = 0;
        status = add_kernel(t, line);
    }
    if (!status && t->n_kernels != n) status = fail_bug("schedules and kernels do not agree");
    ingot_free(text.at);
    free(declared.at);
    free(tier);
    prepared_free(&p);
    return status;
}

/* ---- neighbours --------------------------------------------------------------------------------------------------------- */

static bool same_values(const TuneGroup *g, const Values *a, const Values *b) {
    return memcmp(a, b, g->n_fields * sizeof a->at[0]) == 0;
}

static bool was_tried(const TuneGroup *g, const Values *v) {
    bool known = same_values(g, v, &g->start) || same_values(g, v, &g->best);
    for (uint32_t i = 0; i < g->n_tried && !known; i++) known = same_values(g, v, &g->tried[i]);
    return known;
}

/* Of a tile other columns may want other rows: the same number of sums. */
static void keep_area(const TuneGroup *g, uint32_t field, int64_t from, Values *v) {
    for (uint32_t i = 0; i < g->n_fields; i++)
        if (i != field && strcmp(g->field[i], "tile_m") == 0) v->at[i] = (v->at[i] * from + v->at[field] / 2) / v->at[field];
}

/* The k-th way to change a field; false: there are no more, *v unchanged: this one leads nowhere. */
static bool change(const TuneGroup *g, uint32_t field, uint32_t k, Values *v) {
    static const int64_t ones[] = {1, -1, 2, -2};
    int64_t x = v->at[field], y = x;
    Steps steps = STEP_NONE;
    bool area = false;
    for (size_t i = 0; i < sizeof steps_of / sizeof *steps_of; i++)
        if (strcmp(steps_of[i].field, g->field[field]) == 0) steps = steps_of[i].steps;
    switch (steps) {
    case STEP_ONES: /* twice: alone, and with the area kept */
        if (k >= 8) return false;
        y = x + ones[k % 4], area = k < 4;
        break;
    case STEP_TWICE:
        if (k >= 4) return false;
        y = k == 0 ? 2 * x : k == 1 ? x / 2 : k == 2 ? 4 * x : x / 4;
        break;
    case STEP_FLAG:
        if (k >= 1) return false;
        y = !x;
        break;
    case STEP_BITS_OFF:
        if (k >= 62) return false;
        y = x & ~(INT64_C(1) << k);
        break;
    case STEP_NONE: return false;
    }
    if (y < 0 || y > INT32_MAX || (y < 1 && (steps == STEP_ONES || steps == STEP_TWICE))) return true;
    v->at[field] = y;
    if (area && strcmp(g->field[field], "tile_n") == 0) keep_area(g, field, x, v);
    return true;
}

/* Fields take turns, so that a short search sees something of each. */
static bool next_neighbour(TuneGroup *g) {
    for (uint32_t k = 0; k < 64; k++)
        for (uint32_t f = 0; f < g->n_fields; f++) {
            Values v = g->best;
            if (!change(g, f, k, &v) || was_tried(g, &v)) continue;
            g->candidate = v;
            return true;
        }
    return false;
}

static bool remember(TuneGroup *g, const Values *v) {
    Values *tried = realloc(g->tried, (g->n_tried + 1) * sizeof *tried);
    if (!tried) return false;
    g->tried = tried;
    g->tried[g->n_tried++] = *v;
    return true;
}

bool tune_propose(Tuner *t) {
    bool any = false;
    for (uint32_t i = 0; i < t->n_groups; i++) {
        TuneGroup *g = &t->groups[i];
        if (!g->trying && !g->done) g->done = !next_neighbour(g) || !remember(g, &g->candidate), g->trying = !g->done;
        any |= g->trying;
    }
    return any;
}

void tune_learn(Tuner *t, const double *ratio, double better) {
    for (uint32_t i = 0; i < t->n_groups; i++) {
        TuneGroup *g = &t->groups[i];
        if (g->trying && ratio[i] < better * g->ratio) g->best = g->candidate, g->ratio = ratio[i];
        g->trying = false;
        g->candidate = g->best;
    }
}

void tune_refuse(Tuner *t, uint32_t line) {
    if (line < 1 || line > t->n_lines) return;
    TuneGroup *g = &t->groups[t->line_group[line - 1]];
    g->trying = false;
    g->candidate = g->best;
}

void tune_revert(Tuner *t, const double *ratio, double most) {
    for (uint32_t i = 0; i < t->n_groups; i++)
        if (ratio[i] > most) t->groups[i].best = t->groups[i].candidate = t->groups[i].start;
}

uint32_t tune_changed(const Tuner *t) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n_kernels; i++) {
        const TuneGroup *g = &t->groups[t->kernels[i].group];
        n += !same_values(g, &g->best, &g->start);
    }
    return n;
}

/* ---- text --------------------------------------------------------------------------------------------------------------- */

int tune_text(Tuner *t, bool candidates, char **text) {
    size_t n;
    FILE *f = open_memstream(text, &n);
    if (!f) return fail_machine("out of memory");
    t->n_lines = 0;
    for (uint32_t i = 0; i < t->n_kernels; i++) {
        const TuneGroup *g = &t->groups[t->kernels[i].group];
        const Values *v = candidates && g->trying ? &g->candidate : &g->best;
        if (same_values(g, v, &g->start)) continue;
        t->line_group[t->n_lines++] = t->kernels[i].group;
        fprintf(f, "%s on %s {", t->kernels[i].head, t->base.model->tiers[0]);
        for (uint32_t k = 0; k < g->n_fields; k++) fprintf(f, "%s%s=%" PRId64, k ? ", " : "", g->field[k], v->at[k]);
        fprintf(f, "}\n");
    }
    return fclose(f) ? fail_machine("out of memory") : EXIT_YES;
}

void tune_free(Tuner *t) {
    for (uint32_t i = 0; i < t->n_groups; i++) free(t->groups[i].tried);
    for (int p = 0; p < MOST_POINTS; p++) free(t->points[p]);
    free(t->kernels);
    free(t->groups);
    free(t->line_group);
    free(t->schedules);
}
