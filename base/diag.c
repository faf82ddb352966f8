/* diag.c: diagnostics, and the locations they point at.
 *
 * Every layer reports here; only the driver prints.  The texts of the first 100 diagnostics are kept; of later ones only
 * the kind, one byte each, so that diag_error_count stays exact however many there are and a step that fails is never
 * taken for one that succeeded, even after diag_truncate.
 *
 * A location is a leaf (a node of a model, a place in a text) or a join of up to four leaves.  Equal texts are equal ids.
 * Model data is hostile: control characters in names are escaped, long names are cut.
 *
 * Invariants: diag_init allocates what diag_fatal needs, so reporting the end of memory needs none.  Where even diag_init
 * ran out there is no list, and reports are dropped: context_new then returns NULL.
 */
#include <stdio.h>
#include <string.h>

#include "base.h"

enum { KEPT = 100, FATAL_BYTES = 8192, FATAL_LEAST = 640, JOIN_PARTS = 4, NAME_BYTES = 200 };

typedef struct Place {
    const char *text;           /* interned */
    size_t prefix;              /* bytes of "file: " in front, left out where joins repeat it */
    uint32_t parts[JOIN_PARTS]; /* leaf ids; of a leaf, itself */
    uint32_t nparts;
} Place;

struct DiagList {
    Diag kept[KEPT];
    VEC(uint8_t) kinds; /* of all */
    uint32_t nerrors;   /* of all */
    bool machine;       /* one of them was the machine's */
    bool usage;         /* one of them was about what was asked for */
    VEC(Place) places;  /* by Loc id; 0 unused */
    Map by_text;        /* interned text -> id */
    size_t fatal_used;
    char fatal[FATAL_BYTES];
};

void diag_init(Context *cx) {
    struct DiagList *list = arena_alloc(cx->arena, sizeof *list);
    list->by_text = map_new(cx->arena);
    list->kinds.at = arena_new_array(cx->arena, uint8_t, KEPT);
    list->kinds.cap = KEPT;
    vec_push(cx->arena, &list->places, (Place){.text = ""});
    cx->diags = list;
}

/* ---- locations ---- */

/* A name out of a model, safe to show on one line. */
static void add_name(Text *t, const char *name) {
    size_t n = 0;
    for (; name[n] && n < NAME_BYTES; n++) {
        unsigned char c = (unsigned char)name[n];
        if (c < 0x20 || c == 0x7f)
            text_add(t, "\\x%02X", c);
        else
            text_add_n(t, name + n, 1);
    }
    if (!name[n]) return;
    while (t->n && ((unsigned char)t->at[t->n - 1] & 0xC0) == 0x80) t->at[--t->n] = 0; /* whole UTF-8 characters */
    if (t->n && (unsigned char)t->at[t->n - 1] >= 0xC0) t->at[--t->n] = 0;
    text_add(t, "...");
}

static Loc place_add(Context *cx, const char *text, size_t prefix, const uint32_t *parts, uint32_t nparts) {
    struct DiagList *list = cx->diags;
    if (!*text) return (Loc){0};
    text = intern(cx, text);
    uint64_t key = (uint64_t)(uintptr_t)text;
    uint32_t id = map_get(&list->by_text, key);
    if (id) return (Loc){id};
    id = list->places.n;
    Place place = {.text = text, .prefix = prefix, .parts = {id}, .nparts = 1};
    if (nparts) {
        memcpy(place.parts, parts, nparts * sizeof *parts);
        place.nparts = nparts;
    }
    vec_push(cx->arena, &list->places, place);
    map_set(&list->by_text, key, id);
    return (Loc){id};
}

Loc loc_node(Context *cx, const char *file, const char *node, const char *op) {
    Text t = text_new(cx->arena);
    size_t prefix = 0;
    if (file && *file) add_name(&t, file);
    if (node || op) {
        if (t.n) text_add(&t, ": ");
        prefix = t.n;
        if (node) {
            text_add(&t, "node '");
            add_name(&t, node);
            text_add(&t, "'");
        }
        if (op) {
            text_add(&t, node ? " (" : "(");
            add_name(&t, op);
            text_add(&t, ")");
        }
    }
    return t.n ? place_add(cx, t.at, prefix, NULL, 0) : (Loc){0};
}


Loc loc_text(Context *cx, const char *file, uint32_t line, uint32_t column) {
    Text t = text_new(cx->arena);
    add_name(&t, file ? file : "");
    text_add(&t, "%s%u:%u", t.n ? ":" : "", line, column);
    return place_add(cx, t.at, 0, NULL, 0);
}

static const Place *place_at(const Context *cx, Loc loc) {
    const struct DiagList *list = cx->diags;
    return &list->places.at[loc.id < list->places.n ? loc.id : 0];
}

Loc loc_join(Context *cx, Loc a, Loc b) {
    if (!a.id || a.id == b.id) return b;
    if (!b.id) return a;
    const Place *pa = place_at(cx, a), *pb = place_at(cx, b);
    uint32_t parts[JOIN_PARTS], n = pa->nparts;
    bool cut = false;
    memcpy(parts, pa->parts, sizeof parts);
    for (uint32_t i = 0; i < pb->nparts; i++) {
        uint32_t known = 0;
        while (known < n && parts[known] != pb->parts[i]) known++;
        if (known < n) continue;
        if (n == JOIN_PARTS)
            cut = true;
        else
            parts[n++] = pb->parts[i];
    }
    if (n == pa->nparts) return a; /* nothing new, or no room for it */
    Text t = text_new(cx->arena);
    const char *first = place_at(cx, (Loc){parts[0]})->text;
    for (uint32_t i = 0; i < n; i++) {
        const Place *leaf = place_at(cx, (Loc){parts[i]});
        bool same_file = i && leaf->prefix && !strncmp(first, leaf->text, leaf->prefix);
        text_add(&t, "%s%s", i ? ", " : "", leaf->text + (same_file ? leaf->prefix : 0));
    }
    if (cut) text_add(&t, ", ...");
    return place_add(cx, t.at, 0, parts, n);
}

/* A text is taken apart where it is what loc_node and loc_join write, so that joining it later gives what joining the
 * original would have given; any other text is one leaf. */
Loc loc_read(Context *cx, const char *text) {
    static const char node[] = "node '", next[] = ", node '";
    const char *at = strstr(text, ": node '"), *end;
    Loc joined = {0};
    if (!at) return place_add(cx, text, 0, NULL, 0);
    size_t prefix = (size_t)(at + 2 - text);
    for (at += 2; at; at = end ? end + 2 : NULL) {
        Text leaf = text_new(cx->arena);
        end = strstr(at + sizeof node - 1, next);
        text_add_n(&leaf, text, prefix);
        text_add_n(&leaf, at, end ? (size_t)(end - at) : strlen(at));
        joined = loc_join(cx, joined, place_add(cx, leaf.at, prefix, NULL, 0));
    }
    return strcmp(loc_string(cx, joined), text) == 0 ? joined : place_add(cx, text, 0, NULL, 0);
}

const char *loc_string(Context *cx, Loc loc) { return place_at(cx, loc)->text; }

/* ---- the list ---- */

static void add(Context *cx, DiagKind kind, Loc loc, const char *fmt, va_list args) PRINTF_LIKE(4, 0);
static void add(Context *cx, DiagKind kind, Loc loc, const char *fmt, va_list args) {
    struct DiagList *list = cx->diags;
    if (!list) return;
    if (list->kinds.n < KEPT) {
        va_list again;
        va_copy(again, args);
        int n = vsnprintf(NULL, 0, fmt, again);
        va_end(again);
        size_t bytes = n < 0 ? 1 : (size_t)n + 1;
        char *text = arena_alloc(cx->arena, bytes);
        vsnprintf(text, bytes, fmt, args);
        list->kept[list->kinds.n] = (Diag){kind, loc, text};
    }
    if (list->kinds.n == UINT32_MAX / 2) return; /* the arena's budget ends long before */
    vec_push(cx->arena, &list->kinds, (uint8_t)kind);
    list->nerrors += kind == DIAG_ERROR;
}

void diag_error(Context *cx, Loc loc, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    add(cx, DIAG_ERROR, loc, fmt, args);
    va_end(args);
}

void diag_machine(Context *cx, Loc loc, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    add(cx, DIAG_ERROR, loc, fmt, args);
    va_end(args);
    if (cx->diags) cx->diags->machine = true;
}

bool diag_is_machine(const Context *cx) { return cx->diags && cx->diags->machine; }

void diag_usage(Context *cx, Loc loc, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    add(cx, DIAG_ERROR, loc, fmt, args);
    va_end(args);
    if (cx->diags) cx->diags->usage = true;
}

bool diag_is_usage(const Context *cx) { return cx->diags && cx->diags->usage; }

void diag_warning(Context *cx, Loc loc, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    add(cx, DIAG_WARNING, loc, fmt, args);
    va_end(args);
}

void diag_note(Context *cx, Loc loc, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    add(cx, DIAG_NOTE, loc, fmt, args);
    va_end(args);
}

uint32_t diag_count(const Context *cx) { return cx->diags->kinds.n; }
uint32_t diag_error_count(const Context *cx) { return cx->diags->nerrors; }

const Diag *diag_at(const Context *cx, uint32_t i) {
    static const Diag dropped = {DIAG_NOTE, {0}, "more diagnostics were dropped"};
    const struct DiagList *list = cx->diags;
    return i < KEPT && i < list->kinds.n ? &list->kept[i] : &dropped;
}

void diag_truncate(Context *cx, uint32_t n) {
    struct DiagList *list = cx->diags;
    while (list->kinds.n > n) list->nerrors -= list->kinds.at[--list->kinds.n] == DIAG_ERROR;
}

/* ---- the end ---- */

/* Records the text without allocating: in a full list it takes the last one's place. */
static void add_fatal(Context *cx, const char *fmt, va_list args) PRINTF_LIKE(2, 0);
static void add_fatal(Context *cx, const char *fmt, va_list args) {
    struct DiagList *list = cx->diags;
    if (!list) return;
    const char *text = "stopped again, as before"; /* when many fatal errors have used the reserve up */
    if (list->fatal_used + FATAL_LEAST <= FATAL_BYTES) {
        char *room = list->fatal + list->fatal_used;
        vsnprintf(room, FATAL_LEAST, fmt, args);
        list->fatal_used += strlen(room) + 1;
        text = room;
    }
    uint32_t slot = list->kinds.n;
    if (slot < KEPT)
        list->kinds.n++;
    else
        list->nerrors -= list->kinds.at[slot = KEPT - 1] == DIAG_ERROR;
    list->kept[slot] = (Diag){DIAG_ERROR, {0}, text};
    list->kinds.at[slot] = DIAG_ERROR;
    list->nerrors++;
}

void diag_fatal(Context *cx, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    add_fatal(cx, fmt, args);
    va_end(args);
    context_unwind(cx);
}

void bug_at(Context *cx, const char *file, int line, const char *fmt, ...) {
    char what[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    const char *name = strrchr(file, '/');
    struct DiagList *list = cx->diags;
    if (!cx->bug && list && list->fatal_used + sizeof what <= FATAL_BYTES) {
        cx->bug = memcpy(list->fatal + list->fatal_used, what, strlen(what) + 1);
        list->fatal_used += strlen(what) + 1;
    }
    if (!cx->bug) cx->bug = "a bug, with no memory left to describe it";
    diag_fatal(cx, "internal error: %s (%s:%d); please report this as a bug, with the model and the command line",
               what, name ? name + 1 : file, line);
}
