/* string.c: interned strings, growing texts, shortest decimals, and "did you mean".
 *
 * Invariants: intern returns the same pointer for the same text for the life of the Context; a Text is NUL-terminated
 * whenever it is not empty; numbers print the same under every locale.
 * Source: the edit distance is optimal string alignment (Damerau 1964: a swap of neighbours is one edit).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

typedef struct Interner {
    Map map; /* hash of the text -> index; texts with equal hashes are told apart by comparing */
    VEC(const char *) texts;
} Interner;

const char *intern_n(Context *cx, const char *text, size_t n) {
    Interner *all = cx->strings;
    if (!all) {
        all = arena_alloc(cx->arena, sizeof *all);
        all->map = map_new(cx->arena);
        vec_push(cx->arena, &all->texts, "");
        cx->strings = all;
    }
    const char *nul = n ? memchr(text, 0, n) : NULL;
    if (nul) n = (size_t)(nul - text);
    if (!n) return all->texts.at[0];
    uint64_t key = hash_bytes(text, n, 0);
    uint32_t cursor = 0, i;
    while ((i = map_next(&all->map, key, &cursor)) != 0) {
        const char *known = all->texts.at[i];
        if (!strncmp(known, text, n) && !known[n]) return known;
    }
    char *copy = arena_alloc(cx->arena, n + 1);
    memcpy(copy, text, n);
    map_add(&all->map, key, all->texts.n);
    vec_push(cx->arena, &all->texts, copy);
    return copy;
}

const char *intern(Context *cx, const char *text) { return intern_n(cx, text, strlen(text)); }

/* ---- texts ---- */

Text text_new(Arena *arena) { return (Text){.arena = arena}; }

/* Room for n more bytes and the NUL.  Overflow of the sum makes the arena report. */
static void reserve(Text *t, size_t n) {
    if (n < t->cap - t->n) return;
    size_t cap = t->cap ? t->cap * 2 : 64;
    if (cap - t->n <= n && __builtin_add_overflow(t->n + 1, n, &cap)) cap = SIZE_MAX;
    char *grown = arena_alloc(t->arena, cap);
    if (t->n) memcpy(grown, t->at, t->n);
    t->at = grown;
    t->cap = cap;
}

void text_add_n(Text *t, const char *bytes, size_t n) {
    reserve(t, n);
    if (n) memcpy(t->at + t->n, bytes, n);
    t->n += n;
    t->at[t->n] = 0;
}

void text_add(Text *t, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    reserve(t, 31); /* most additions fit at once */
    int n = vsnprintf(t->at + t->n, t->cap - t->n, fmt, args);
    va_end(args);
    if (n > 0 && (size_t)n >= t->cap - t->n) {
        reserve(t, (size_t)n);
        vsnprintf(t->at + t->n, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    if (n > 0) t->n += (size_t)n;
}

/* The length of the well-formed UTF-8 character at `at`, 0 if it is none.  Source: Unicode 15, table 3-7. */
static size_t utf8_length(const unsigned char *at) {
    unsigned char c = at[0], low = 0x80, high = 0xBF;
    size_t n = c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (c == 0xE0) low = 0xA0;  /* not overlong */
    if (c == 0xED) high = 0x9F; /* not a surrogate */
    if (c == 0xF0) low = 0x90;
    if (c == 0xF4) high = 0x8F; /* not beyond U+10FFFF */
    for (size_t i = 1; i < n; i++, low = 0x80, high = 0xBF)
        if (at[i] < low || at[i] > high) return 0;
    return n;
}

void text_quote(Text *t, const char *text) {
    text_add_n(t, "\"", 1);
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        size_t n = utf8_length(at);
        if (!n && *at >= 0x20 && *at < 0x7F && *at != '"' && *at != '\\') n = 1;
        if (n)
            text_add_n(t, (const char *)at, n);
        else if (*at == '\n')
            text_add_n(t, "\\n", 2);
        else if (*at == '\t')
            text_add_n(t, "\\t", 2);
        else if (*at == '"' || *at == '\\')
            text_add(t, "\\%c", *at);
        else
            text_add(t, "\\x%02X", *at);
        at += n ? n : 1;
    }
    text_add_n(t, "\"", 1);
}

/* Adds the digits snprintf wrote, with "." for whatever the locale's decimal point is. */
static void add_number(Text *t, const char *digits) {
    bool in_point = false;
    for (; *digits; digits++) {
        bool plain = (*digits >= '0' && *digits <= '9') || strchr("+-e", *digits);
        if (plain)
            text_add_n(t, digits, 1);
        else if (!in_point)
            text_add_n(t, ".", 1);
        in_point = !plain;
    }
}

static bool add_special(Text *t, double x) {
    if (isnan(x))
        text_add(t, "nan");
    else if (isinf(x))
        text_add(t, x < 0 ? "-inf" : "inf");
    else
        return false;
    return true;
}

void text_add_f64(Text *t, double x) {
    char digits[64];
    if (add_special(t, x)) return;
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, x);
        double back = strtod(digits, NULL);
        if (!memcmp(&back, &x, sizeof x)) break;
    }
    add_number(t, digits);
}

void text_add_f32(Text *t, float x) {
    char digits[64];
    if (add_special(t, (double)x)) return;
    for (int precision = 1; precision <= 9; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, (double)x);
        float back = strtof(digits, NULL);
        if (!memcmp(&back, &x, sizeof x)) break;
    }
    add_number(t, digits);
}

/* ---- did you mean ---- */

enum { LONGEST_WORD = 63 };

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

static size_t edit_distance(const char *a, size_t na, const char *b, size_t nb) {
    size_t rows[3][LONGEST_WORD + 1], *two_up = rows[0], *up = rows[1], *row = rows[2];
    for (size_t j = 0; j <= nb; j++) up[j] = two_up[j] = j;
    for (size_t i = 1; i <= na; i++) {
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            row[j] = min_size(up[j], row[j - 1]) + 1;
            row[j] = min_size(row[j], up[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = min_size(row[j], two_up[j - 2] + 1);
        }
        size_t *spare = two_up;
        two_up = up;
        up = row;
        row = spare;
    }
    return up[nb];
}

const char *closest_word(const char *word, const char *const *candidates, size_t n) {
    size_t length = strlen(word), best = length / 3 + 1;
    const char *closest = NULL;
    if (length > LONGEST_WORD) return NULL;
    for (size_t i = 0; i < n; i++) {
        if (!candidates[i]) continue;
        size_t other = strlen(candidates[i]);
        if (other > LONGEST_WORD) continue;
        size_t distance = edit_distance(word, length, candidates[i], other);
        if (distance < best) {
            best = distance;
            closest = candidates[i];
        }
    }
    return closest;
}
