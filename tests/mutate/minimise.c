/* minimise.c: makes a failing mutant small: parts of the tree (lines of a text) go, largest first, while the failure stays. */
#define _GNU_SOURCE
#include "mutate.h"
#include <stdlib.h>
#include <string.h>

/* Alike: the same outcome, and the same text up to its numbers. */
static bool alike(const Record *a, const Record *b) {
    if (a->outcome != b->outcome) return false;
    const char *x = a->text, *y = b->text;
    while (*x && *y) {
        bool dx = *x >= '0' && *x <= '9', dy = *y >= '0' && *y <= '9';
        if (dx) x++;
        if (dy) y++;
        if (dx || dy) continue;
        if (*x++ != *y++) return false;
    }
    return true;
}

static bool still_fails(const Work *w, const char *path, const uint8_t *bytes, size_t n, const Record *wanted) {
    Seed seed = {path, bytes, n};
    Seeds seeds = {&seed, 1};
    Work again = *w;
    again.replay = true, again.seeds = &seeds, again.count = 1, again.jobs = 1;
    Record *r = worker_records(1);
    worker_run(&again, r);
    return alike(r, wanted);
}

typedef struct Search {
    const Work *work;
    const char *path;
    const Record *wanted;
    Arena *arena;
    Piece *root;
    uint32_t tries;
} Search;

static bool try_tree(Search *s) {
    Text text = text_new(s->arena);
    tree_write(s->root, &text);
    s->tries++;
    return text.n && still_fails(s->work, s->path, (const uint8_t *)text.at, text.n, s->wanted);
}

/* Removes runs of parts, halving the runs, then descends. */
static void shrink(Search *s, Piece *p) {
    for (uint32_t run = p->parts.n; run; run /= 2)
        for (uint32_t i = 0; i < p->parts.n && s->tries < 3000;) {
            uint32_t n = p->parts.n, take = n - i < run ? n - i : run;
            Piece **all = arena_copy(s->arena, p->parts.at, n * sizeof *all);
            memmove(p->parts.at + i, p->parts.at + i + take, (n - i - take) * sizeof *all);
            p->parts.n = n - take;
            if (try_tree(s)) continue;
            memcpy(p->parts.at, all, n * sizeof *all);
            p->parts.n = n;
            i += take;
        }
    for (uint32_t i = 0; i < p->parts.n; i++) shrink(s, p->parts.at[i]);
}

/* A text as a tree: a part for each line. */
static Piece *lines(Arena *arena, const uint8_t *bytes, size_t n) {
    Piece *root = arena_new_array(arena, Piece, 1);
    root->message = MSG_NONE;
    for (const uint8_t *at = bytes, *end = bytes + n; at < end;) {
        const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
        Piece *p = tree_add(arena, root, 0, PIECE_BYTES, MSG_NONE);
        p->bytes = at;
        p->n = stop ? (size_t)(stop + 1 - at) : (size_t)(end - at);
        at += p->n;
    }
    return root;
}

static bool try_lines(Search *s, Text *text) {
    *text = text_new(s->arena);
    for (uint32_t i = 0; i < s->root->parts.n; i++)
        text_add_n(text, (const char *)s->root->parts.at[i]->bytes, s->root->parts.at[i]->n);
    s->tries++;
    return text->n && still_fails(s->work, s->path, (const uint8_t *)text->at, text->n, s->wanted);
}

static void shrink_lines(Search *s) {
    Text text;
    Piece *p = s->root;
    for (uint32_t run = p->parts.n / 2 + 1; run; run /= 2)
        for (uint32_t i = 0; i < p->parts.n && s->tries < 1500;) {
            uint32_t n = p->parts.n, take = n - i < run ? n - i : run;
            Piece **all = arena_copy(s->arena, p->parts.at, n * sizeof *all);
            memmove(p->parts.at + i, p->parts.at + i + take, (n - i - take) * sizeof *all);
            p->parts.n = n - take;
            if (try_lines(s, &text)) continue;
            memcpy(p->parts.at, all, n * sizeof *all);
            p->parts.n = n;
            i += take;
        }
}

static void search(Search *s, const uint8_t **bytes, size_t *n) {
    Text text = text_new(s->arena);
    bool onnx = s->work->kind == KIND_ONNX;
    s->root = onnx ? tree_read(s->arena, MSG_MODEL, *bytes, *n) : lines(s->arena, *bytes, *n);
    if (onnx && s->root->message != MSG_NONE) {
        shrink(s, s->root);
        tree_write(s->root, &text);
    } else if (!onnx) {
        shrink_lines(s);
        for (uint32_t i = 0; i < s->root->parts.n; i++)
            text_add_n(&text, (const char *)s->root->parts.at[i]->bytes, s->root->parts.at[i]->n);
    }
    if (!text.n || !still_fails(s->work, s->path, (const uint8_t *)text.at, text.n, s->wanted)) return;
    uint8_t *copy = malloc(text.n);
    if (!copy) abort();
    memcpy(copy, text.at, text.n);
    *bytes = copy, *n = text.n;
}

void minimise(const Work *w, const Record *wanted, const uint8_t **bytes, size_t *n) {
    Limits limits = {.memory_bytes = UINT64_C(8) << 30};
    Context *cx = context_new(&limits);
    if (!cx) abort();
    Search s = {w, kind_endings[w->kind], wanted, cx->arena, NULL, 0};
    if (context_enter(cx)) search(&s, bytes, n);
    context_leave(cx);
    context_free(cx);
}
