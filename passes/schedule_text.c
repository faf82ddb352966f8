/* schedule_text.c: schedules as a text of their own: printed, and read back over what pass `schedule` chose.
 *
 * A line is a kernel: the nodes it comes from, in quotes; the k-th of several such kernels says #k; `on x86-64-v4` says which
 * CPU tier is meant, where it is not all; then fields in braces.  Lines for CPUs that are not compiled for change nothing.
 * Fields that are not given keep their numbers; # starts a comment.  Only what the kernel's template reads may be given, and
 * only numbers that it can work with: an override either has its effect or is an error at its place.  No field changes a bit
 * of a result.  docs/cli.md has an example.
 */
#include "passes.h"
#include <inttypes.h>
#include <string.h>

typedef struct Kernel {      /* on one tier; those of the same node follow each other */
    const Graph *g;          /* it is node `id` of this */
    uint32_t id, number;     /* the number-th from the same nodes, from 1 */
    const char *from;
    const Graph *body;
    const Target *target;    /* NULL: all, where they agree and are only printed */
    Schedule schedule;
    Loc given;               /* the line that overrides it */
} Kernel;

typedef struct Override {
    Context *cx;
    Arena *arena;
    const Tiers *tiers;      /* NULL: as many as an attribute names */
    VEC(Kernel) kernels;     /* of all regions, in order */
    const char *file, *line, *at, *end; /* the text, its current line and place */
    uint32_t number;         /* of the line */
} Override;

/* ---- kernels ------------------------------------------------------------------------------------------------------------ */

static void add_tiers(Override *o, Kernel k, const Attr *schedules) {
    for (uint32_t t = 0; t < (o->tiers ? o->tiers->n : schedules->n); t++) {
        int64_t named = schedules->as.schedule[o->tiers ? 0 : t].field[SCHED_tier];
        k.target = o->tiers ? o->tiers->at[t] : named ? &targets[named - 1] : NULL;
        k.schedule = o->tiers ? schedule_for(schedules, k.target) : schedules->as.schedule[t];
        vec_push(o->arena, &o->kernels, k);
    }
}

static void collect(Override *o, const Graph *g) {
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        const Node *n = &g->nodes.at[i];
        for (uint32_t a = 0; n->op != OP_kernel && a < n->n_attrs; a++)
            if (attr_info[n->attrs[a].key].type == AT_GRAPH) collect(o, n->attrs[a].as.graph);
        if (n->op != OP_kernel) continue;
        Kernel k = {
            .g = g, .id = i, .number = 1, .from = intern(o->cx, loc_string(o->cx, n->loc)), .body = attr_graph(n, ATTR_body)};
        for (uint32_t e = 0; e < o->kernels.n; e++)
            if (o->kernels.at[e].from == k.from) k.number = o->kernels.at[e].number + 1; /* interned */
        add_tiers(o, k, node_attr(n, ATTR_schedule));
    }
}

/* Whether the word is in a list by spaces. */
static bool has_word(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *s = list; (s = strstr(s, word)); s += n)
        if ((s == list || s[-1] == ' ') && (s[n] == ' ' || !s[n])) return true;
    return false;
}

static const char *fields_of(const Schedule *s) { return template_fields[s->field[SCHED_template_]]; }

void schedule_print(const Graph *g, Text *out) {
    Override o = {.cx = g->cx, .arena = out->arena};
    collect(&o, g);
    for (uint32_t i = 0; i < o.kernels.n; i++) {
        const Kernel *k = &o.kernels.at[i];
        text_quote(out, k->from);
        if (k->number > 1) text_add(out, " #%u", k->number);
        if (k->target) text_add(out, " on %s", k->target->name);
        text_add(out, " {template=%s", template_name[k->schedule.field[SCHED_template_]]);
        for (int f = 0; f < SCHED_COUNT; f++)
            if (has_word(fields_of(&k->schedule), schedule_field_name[f]))
                text_add(out, ", %s=%" PRId64, schedule_field_name[f], k->schedule.field[f]);
        text_add(out, "}\n");
    }
}

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

static Loc here(const Override *o) { return loc_text(o->cx, o->file, o->number, (uint32_t)(o->at - o->line) + 1); }

static void skip_space(Override *o) {
    while (o->at < o->end && (*o->at == ' ' || *o->at == '\t' || *o->at == '\r')) o->at++;
}

static bool accept(Override *o, char c) {
    skip_space(o);
    if (o->at == o->end || *o->at != c) return false;
    o->at++;
    return true;
}

static bool expect(Override *o, char c, const char *before) {
    if (accept(o, c)) return true;
    diag_usage(o->cx, here(o), "expected '%c' %s", c, before);
    return false;
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* As text_quote writes them; NULL after a diagnostic. */
static const char *read_quoted(Override *o) {
    Text t = text_new(o->arena);
    text_add(&t, "%s", "");
    if (!expect(o, '"', "and the nodes that a kernel comes from, as --print-schedule has them")) return NULL;
    for (; o->at < o->end && *o->at != '"' && *o->at != '\n'; o->at++) {
        char c = *o->at;
        if (c == '\\' && o->at + 1 < o->end) c = *++o->at == 'n' ? '\n' : *o->at == 't' ? '\t' : *o->at;
        if (c == 'x' && o->at[-1] == '\\' && o->end - o->at > 2 && hex_digit(o->at[1]) >= 0 && hex_digit(o->at[2]) >= 0) {
            c = (char)(hex_digit(o->at[1]) << 4 | hex_digit(o->at[2]));
            o->at += 2;
        }
        text_add_n(&t, &c, 1);
    }
    return expect(o, '"', "at the end of the nodes") ? intern(o->cx, t.at) : NULL;
}

static const char *read_word(Override *o) {
    skip_space(o);
    const char *from = o->at;
    while (o->at < o->end && ((*o->at >= 'a' && *o->at <= 'z') || (*o->at >= '0' && *o->at <= '9') || *o->at == '_')) o->at++;
    return intern_n(o->cx, from, (size_t)(o->at - from));
}

static bool read_number(Override *o, int64_t *value) {
    skip_space(o);
    Loc at = here(o);
    bool digits = false, fits = true;
    for (*value = 0; o->at < o->end && *o->at >= '0' && *o->at <= '9'; o->at++, digits = true)
        fits = fits && ck_mul(*value, 10, value) && ck_add(*value, *o->at - '0', value);
    if (digits && fits) return true;
    diag_usage(o->cx, at, digits ? "the number is too large" : "expected a number");
    return false;
}

static Kernel *find_kernel(Override *o, Loc at, const char *from, int64_t number) {
    const char **names = arena_new_array(o->arena, const char *, o->kernels.n + 1);
    uint32_t known = 0;
    for (uint32_t i = 0; i < o->kernels.n; i++) {
        Kernel *k = &o->kernels.at[i];
        names[i] = k->from;
        if (k->from != from) continue;
        known = (uint32_t)k->number;
        if (k->number == number) return k;
    }
    const char *close = known ? NULL : closest_word(from, names, o->kernels.n);
    if (known) diag_usage(o->cx, at, "there is no kernel #%" PRId64 " of these nodes: they have %u", number, known);
    else
        diag_usage(o->cx, at, "no kernel comes from these nodes%s%s%s; --print-schedule lists all",
                   close ? " (did you mean \"" : "", close ? close : "", close ? "\"?)" : "");
    return NULL;
}

static bool read_template(Override *o, const Kernel *k) {
    skip_space(o);
    Loc at = here(o);
    const char *word = read_word(o), *is = template_name[k->schedule.field[SCHED_template_]];
    if (strcmp(word, is) == 0) return true;
    diag_usage(o->cx, at, "the kernel's template is %s, which what it computes decides; found '%s'", is, word);
    return false;
}

static int find_field(Override *o, Loc at, const Kernel *k, const char *word) {
    const char *takes = fields_of(&k->schedule), *names[SCHED_COUNT], *close;
    for (int f = 0; f < SCHED_COUNT; f++) {
        names[f] = schedule_field_name[f];
        if (strcmp(word, names[f]) == 0 && has_word(takes, word)) return f;
    }
    close = has_word(takes, word) ? NULL : closest_word(word, names, SCHED_COUNT);
    if (close && (!has_word(takes, close) || strcmp(close, word) == 0)) close = NULL;
    diag_usage(o->cx, at, "template %s takes no '%s'%s%s%s; it takes %s", template_name[k->schedule.field[SCHED_template_]],
               word, close ? " (did you mean '" : "", close ? close : "", close ? "'?)" : "", takes);
    return -1;
}

static int64_t bits_below(uint32_t n) { return n < 63 ? (INT64_C(1) << n) - 1 : INT64_MAX; }

/* What the field's row and the kernel's body allow. */
static bool check_value(Override *o, Loc at, const Kernel *k, int f, int64_t value) {
    const SchedRange *range = &schedule_range[f];
    int64_t may = f == SCHED_stage ? schedule_stageable(o->cx, k->body) : bits_below(k->body->results.n);
    bool power = f != SCHED_lanes || (value & (value - 1)) == 0;
    if ((f == SCHED_stage || f == SCHED_stream) && (value & ~may))
        diag_usage(o->cx, at, "%s = %" PRId64 ", which names %s: expected bits of %" PRId64, schedule_field_name[f], value,
                   f == SCHED_stage ? "nodes that cannot be kept" : "results that are not there", may);
    else if (value < range->least || value > range->most)
        diag_usage(o->cx, at, "%s = %" PRId64 ", expected %" PRId64 "..%" PRId64, schedule_field_name[f], value, range->least,
                   range->most);
    else if (f == SCHED_tile_n && !schedule_panels_fit(o->cx, k->body, value))
        diag_usage(o->cx, at,
                   "tile_n = %" PRId64
                   ", panels of which do not divide the groups of the convolution, or the panels of the constant",
                   value);
    else if (!power) diag_usage(o->cx, at, "lanes = %" PRId64 ", expected a power of two", value);
    else return true;
    return false;
}

static bool read_field(Override *o, Kernel *k, const bool *chosen) {
    int64_t value;
    skip_space(o);
    Loc at = here(o);
    const char *word = read_word(o);
    bool template = strcmp(word, "template") == 0;
    int f = template ? SCHED_template_ : find_field(o, at, k, word);
    if (f < 0 || !expect(o, '=', "behind a field")) return false;
    if (template) return read_template(o, k);
    if (!read_number(o, &value) || !check_value(o, at, k, f, value)) return false;
    for (uint32_t t = 0; t < o->tiers->n; t++)
        if (chosen[t]) k[t].schedule.field[f] = value;
    return true;
}

/* "on x86-64-v4": that tier of the kernel alone, or none where it is not compiled for. */
static bool read_tier(Override *o, bool *chosen) {
    skip_space(o);
    for (uint32_t t = 0; t < o->tiers->n; t++) chosen[t] = true;
    if (o->end - o->at < 3 || memcmp(o->at, "on ", 3) != 0) return true;
    o->at += 3;
    skip_space(o);
    Loc at = here(o);
    const char *from = o->at;
    while (o->at < o->end && *o->at > ' ' && *o->at != '{') o->at++;
    const char *name = intern_n(o->cx, from, (size_t)(o->at - from));
    const Target *t = target_find(name);
    for (uint32_t i = 0; i < o->tiers->n; i++) chosen[i] = o->tiers->at[i] == t;
    if (!t) diag_usage(o->cx, at, "unknown cpu '%s'", name);
    return t != NULL;
}

static bool read_line(Override *o) {
    skip_space(o);
    if (o->at == o->end || *o->at == '\n' || *o->at == '#') return true;
    Loc at = here(o);
    int64_t number = 1;
    const char *from = read_quoted(o);
    if (!from || (accept(o, '#') && !read_number(o, &number))) return false;
    Kernel *k = find_kernel(o, at, from, number);
    if (!k) return false;
    bool chosen[MAX_TIERS];
    if (!read_tier(o, chosen)) return false;
    for (uint32_t t = 0; t < o->tiers->n; t++) {
        if (!chosen[t]) continue;
        if (k[t].given.id) {
            diag_usage(o->cx, at, "this kernel is given already, at %s", loc_string(o->cx, k[t].given));
            return false;
        }
        k[t].given = at;
    }
    if (!expect(o, '{', "before the fields")) return false;
    for (bool first = true; !accept(o, '}'); first = false)
        if ((!first && !expect(o, ',', "or '}' behind a field")) || !read_field(o, k, chosen)) return false;
    skip_space(o);
    if (o->at == o->end || *o->at == '\n' || *o->at == '#') return true;
    diag_usage(o->cx, here(o), "expected the end of the line");
    return false;
}

/* ---- applying ----------------------------------------------------------------------------------------------------------- */

static Val attach(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    const Override *o = rw->user;
    for (uint32_t i = 0; old->op == OP_kernel && i < o->kernels.n; i += o->tiers->n) {
        const Kernel *k = &o->kernels.at[i];
        if (k->g != rw->from || k->id != old_val.id) continue;
        Schedule s[MAX_TIERS];
        for (uint32_t t = 0; t < o->tiers->n; t++) s[t] = k[t].schedule;
        uint32_t n = schedule_join(o->tiers, s);
        Attr attrs[] = {{.key = ATTR_body, .as.graph = attr_graph(old, ATTR_body)},
                        {.key = ATTR_schedule, .n = n, .as.schedule = s}};
        return emit(rw->to, OP_kernel, old->loc, in, old->n_in, attrs, 2);
    }
    return (Val){0};
}

Graph *schedule_override(Context *cx, const Graph *g, const Tiers *tiers, const char *file, const char *text, size_t n) {
    Override o = {
        .cx = cx, .arena = cx->arena, .tiers = tiers, .file = file, .line = text, .at = text, .end = text + n, .number = 1};
    bool fine = true;
    collect(&o, g);
    for (; o.at < o.end; o.number++) {
        fine &= read_line(&o); /* the lines behind a mistake are checked as well */
        const char *end = o.at < o.end ? memchr(o.at, '\n', (size_t)(o.end - o.at)) : NULL;
        o.line = o.at = end ? end + 1 : o.end;
    }
    return fine ? graph_rewrite(cx, g, attach, &o, false) : NULL;
}
