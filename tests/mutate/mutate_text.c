/* mutate_text.c: mutants of the text IRs, token by token: most stay grammatical and wrong, some are not even that.
 *
 * A text is cut into tokens (a word, a number, a string, one other character) with the blanks before each; mutations drop,
 * repeat, exchange and replace tokens by others of their class from this text or another seed, and do the same to lines.
 */
#include "mutate.h"
#include <string.h>

typedef enum Class { CLASS_WORD, CLASS_NUMBER, CLASS_VALUE, CLASS_STRING, CLASS_MARK, CLASSES } Class;
typedef struct Token { const char *at; uint32_t blank, n; Class class; } Token; /* `blank` bytes, then n */
typedef VEC(Token) Tokens;

static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c); }

static uint32_t token_length(const char *at, const char *end, Class *class) {
    const char *p = at;
    if (*p == '"') {
        *class = CLASS_STRING;
        for (p++; p < end && *p != '"' && *p != '\n'; p++) p += *p == '\\' && p + 1 < end;
        return (uint32_t)(p < end ? p - at + 1 : end - at);
    }
    if (*p == '%' || *p == '@') {
        *class = CLASS_VALUE;
        for (p++; p < end && is_word(*p);) p++;
        return (uint32_t)(p - at);
    }
    if (is_digit(*p) || (*p == '-' && p + 1 < end && is_digit(p[1]))) {
        *class = CLASS_NUMBER;
        for (p++; p < end && (is_word(*p) || *p == '.' || ((*p == '-' || *p == '+') && (p[-1] == 'e' || p[-1] == 'p')));) p++;
        return (uint32_t)(p - at);
    }
    *class = is_word(*p) ? CLASS_WORD : CLASS_MARK;
    while (p < end && is_word(*p)) p++;
    return p == at ? 1 : (uint32_t)(p - at);
}

static void cut(Arena *arena, const Seed *seed, Tokens *to) {
    const char *at = (const char *)seed->bytes, *end = at + seed->n;
    while (at < end) {
        Token t = {.at = at};
        while (at < end && is_blank(*at)) at++;
        t.blank = (uint32_t)(at - t.at);
        if (at < end) t.n = token_length(at, end, &t.class);
        at += t.n;
        vec_push(arena, to, t);
    }
}

static Token token_of(const char *text, Class class) {
    return (Token){text, 0, (uint32_t)strlen(text), class};
}

static uint32_t line_start(const Tokens *t, uint32_t i) {
    while (i > 0 && !memchr(t->at[i].at, '\n', t->at[i].blank)) i--;
    return i;
}

static uint32_t line_end(const Tokens *t, uint32_t i) {
    for (i++; i < t->n && !memchr(t->at[i].at, '\n', t->at[i].blank);) i++;
    return i;
}

static void splice_tokens(Arena *arena, Tokens *t, uint32_t at, const Token *from, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) vec_push(arena, t, from[i]);
    memmove(t->at + at + n, t->at + at, (t->n - n - at) * sizeof *t->at);
    memcpy(t->at + at, from, n * sizeof *from);
}

static void remove_tokens(Tokens *t, uint32_t at, uint32_t end) {
    memmove(t->at + at, t->at + end, (t->n - end) * sizeof *t->at);
    t->n -= end - at;
}

/* Another token of the class; its blanks stay those of the place. */
static bool exchange(Random *r, Tokens *t, uint32_t at, const Tokens *from) {
    for (uint32_t tries = 0; tries < 40 && from->n; tries++) {
        Token other = from->at[random_below(r, from->n)];
        if (other.class != t->at[at].class || !other.n) continue;
        const char *text = other.at + other.blank;
        if (other.n == t->at[at].n && memcmp(text, t->at[at].at + t->at[at].blank, other.n) == 0) continue;
        t->at[at] = (Token){text, 0, other.n, other.class};
        return true;
    }
    return false;
}

static void new_number(Arena *arena, Random *r, Tokens *t, uint32_t at) {
    static const char *const odd[] = {"nan", "inf", "1e999", "-0", "0x",    "99999999999999999999", "1.5",
                                      "x",   "-",   "0.",    "1e", "(N+1)", "floordiv(N,0)"};
    bool wild = random_chance(r, 15);
    const char *text =
        wild ? odd[random_below(r, (uint32_t)COUNT(odd))] : arena_print(arena, "%lld", (long long)random_number(r));
    t->at[at] = token_of(text, CLASS_NUMBER);
}

static void mutate_line(Arena *arena, Random *r, Tokens *t, uint32_t at) {
    uint32_t begin = line_start(t, at), end = line_end(t, at), n = end - begin;
    if (random_chance(r, 50)) {
        remove_tokens(t, begin, end);
        return;
    }
    const Token *copy = arena_copy(arena, t->at + begin, n * sizeof *copy);
    splice_tokens(arena, t, line_start(t, random_below(r, t->n)), copy, n);
}

static void nest(Arena *arena, Random *r, Tokens *t, uint32_t at) {
    static const char *const open[] = {"(", "[", "{", "(f32[2],", "max(1,", "-", "floordiv("};
    const char *mark = open[random_below(r, (uint32_t)COUNT(open))];
    Token one = token_of(mark, CLASS_MARK);
    uint32_t n = random_chance(r, 50) ? 3 : 20000;
    Token *many = arena_new_array(arena, Token, n);
    for (uint32_t i = 0; i < n; i++) many[i] = one;
    splice_tokens(arena, t, at, many, n);
}

/* Another template, which may not fit the kernel at all; or another number in the schedule. */
static void mutate_schedule(Arena *arena, Random *r, Tokens *t) {
    static const char *const names[] = {
#define TEMPLATE(name, ...) #name,
#include "templates.def"
    };
    uint32_t at = 0, n = 0;
    for (uint32_t i = 0; i + 2 < t->n; i++)
        if (t->at[i].n == 9 && memcmp(t->at[i].at + t->at[i].blank, "template_", 9) == 0 && random_below(r, ++n) == 0)
            at = i + 2;
    if (!n) return;
    if (random_chance(r, 50)) {
        t->at[at] = token_of(names[random_below(r, (uint32_t)COUNT(names))], CLASS_WORD);
        return;
    }
    for (uint32_t i = at, k = 1 + random_below(r, 4); i < t->n && k; i++)
        if (t->at[i].class == CLASS_NUMBER && --k == 0) new_number(arena, r, t, i);
}

static void mutate_once(Arena *arena, Random *r, Tokens *t, const Tokens *donor) {
    if (!t->n) return;
    uint32_t at = random_below(r, t->n), other = random_below(r, t->n);
    Token token;
    switch (random_below(r, 18)) {
    case 0: remove_tokens(t, at, at + 1); break;
    case 1: token = t->at[at]; splice_tokens(arena, t, other, &token, 1); break;
    case 2:
        token = t->at[at];
        t->at[at] = t->at[other];
        t->at[other] = token;
        break;
    case 3: case 4: mutate_line(arena, r, t, at); break;
    case 5: exchange(r, t, at, donor); break;
    case 6: if (random_chance(r, 10)) nest(arena, r, t, at); break;
    case 7: if (random_chance(r, 10)) t->n = at; break;
    case 8: case 9: case 10: case 11:
        for (uint32_t tries = 0; tries < 40 && t->at[at].class != CLASS_NUMBER; tries++) at = random_below(r, t->n);
        if (t->at[at].class == CLASS_NUMBER) new_number(arena, r, t, at);
        break;
    case 12: case 13: mutate_schedule(arena, r, t); break;
    default: exchange(r, t, at, t);
    }
}

void mutate_text(Arena *arena, const Seeds *seeds, uint64_t seed, uint64_t number, Text *out) {
    Random r = random_of(seed, number);
    Tokens tokens = {0}, donor = {0};
    cut(arena, &seeds->at[random_below(&r, seeds->n)], &tokens);
    cut(arena, &seeds->at[random_below(&r, seeds->n)], &donor);
    for (uint32_t n = 1; n && n <= 6; n = random_chance(&r, 30) ? n + 1 : 0) mutate_once(arena, &r, &tokens, &donor);
    for (uint32_t i = 0; i < tokens.n; i++) {
        const Token *t = &tokens.at[i];
        if (i && !t->blank) {
            const char *last = tokens.at[i - 1].at + tokens.at[i - 1].blank;
            uint32_t n = tokens.at[i - 1].n;
            if (n && t->n && is_word(last[n - 1]) && is_word(t->at[0])) text_add_n(out, " ", 1);
        }
        text_add_n(out, t->at, t->blank + t->n);
    }
    if (random_chance(&r, 4) && out->n) out->at[random_below(&r, (uint32_t)out->n)] = (char)random_bits(&r);
}
