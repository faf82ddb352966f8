/* parse_lex.c: tokens of the Graph's text form, and positions in it.
 *
 * The text may be hostile: every token is bounded by the text's end, strings and names are checked
 * here, and the first mistake ends the parse (`failed` makes every later test answer no).  //
 * starts a comment.
 */
#include <stdio.h>
#include <string.h>

#include "graph_text.h"

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_word(char c) { return is_letter(c) || is_digit(c); }

Loc parser_loc(Parser *p, const char *at) {
    bool crossed = false;
    for (; p->counted > at; p->counted--)
        if (p->counted[-1] == '\n') {
            p->line--;
            crossed = true;
        }
    if (crossed)
        for (p->line_start = at; p->line_start > p->text && p->line_start[-1] != '\n';)
            p->line_start--;
    for (; p->counted < at; p->counted++)
        if (*p->counted == '\n') {
            p->line++;
            p->line_start = p->counted + 1;
        }
    return loc_text(p->cx, p->file, p->line, (uint32_t)(at - p->line_start) + 1);
}

bool parse_fail(Parser *p, const char *fmt, ...) {
    if (p->failed)
        return false;
    p->failed = true;
    char message[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    diag_error(p->cx, parser_loc(p, p->token.at), "%s", message);
    return false;
}

bool parse_unknown(Parser *p, const char *what, const char *const *known, size_t n) {
    const char *closest = closest_word(p->token.text, known, n);
    if (closest)
        return parse_fail(p, "unknown %s '%.60s': did you mean '%s'", what, p->token.text, closest);
    return parse_fail(p, "unknown %s '%.60s'", what, p->token.text);
}

/* ---- tokens
 * -------------------------------------------------------------------------------------------------------
 */

static void skip_blank(Parser *p) {
    for (;;) {
        while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')
            p->at++;
        if (p->at[0] != '/' || p->at[1] != '/')
            return;
        while (p->at < p->end && *p->at != '\n')
            p->at++;
    }
}

static int hex_digit(char c) {
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One escape after its backslash; p->at ends behind it. */
static bool unescape(Parser *p, char *out) {
    char c = *p->at++;
    switch (c) {
    case 'n':
        *out = '\n';
        return true;
    case 't':
        *out = '\t';
        return true;
    case '"':
    case '\\':
        *out = c;
        return true;
    case 'x': {
        int high = hex_digit(p->at[0]), low = high < 0 ? -1 : hex_digit(p->at[1]);
        if (low < 0 || high + low == 0)
            return false;
        *out = (char)(high * 16 + low);
        p->at += 2;
        return true;
    }
    default:
        return false;
    }
}

static void lex_string(Parser *p) {
    Text text = text_new(p->cx->arena);
    p->token.kind = TOKEN_STRING;
    for (p->at++; *p->at != '"';) {
        const char *run = p->at;
        while (p->at < p->end && *p->at != '"' && *p->at != '\\' && *p->at != '\n')
            p->at++;
        text_add_n(&text, run, (size_t)(p->at - run));
        char c;
        if (*p->at == '"')
            break;
        if (p->at >= p->end || *p->at == '\n') {
            parse_fail(p, "a string without an end");
            return;
        }
        p->at++;
        if (!unescape(p, &c)) {
            parse_fail(p, "a string with an unknown escape: expected \\n \\t \\\" \\\\ or \\xHH");
            return;
        }
        text_add_n(&text, &c, 1);
    }
    p->at++;
    p->token.text = intern_n(p->cx, text.n ? text.at : "", text.n);
}

static void lex_number(Parser *p) {
    p->token.kind = TOKEN_NUMBER;
    if (*p->at == '-')
        p->at++;
    while (is_word(*p->at) || *p->at == '.' ||
           ((*p->at == '+' || *p->at == '-') && (p->at[-1] == 'e' || p->at[-1] == 'E')))
        p->at++;
}

static void lex_punct(Parser *p) {
    static const char *const pairs[] = {"==", "!=", "<=", "->"};
    p->token.kind = TOKEN_PUNCT;
    for (size_t i = 0; i < COUNT(pairs); i++)
        if (p->at[0] == pairs[i][0] && p->at[1] == pairs[i][1]) {
            p->at += 2;
            return;
        }
    if (*p->at < 0x21 || *p->at > 0x7e)
        parse_fail(p, "unexpected byte 0x%02X", (unsigned char)*p->at);
    p->at++;
}

void lex_next(Parser *p) {
    if (p->failed)
        p->at = p->end; /* an escape may have ended behind it */
    skip_blank(p);
    p->token = (Token){.kind = TOKEN_END, .at = p->at, .text = ""};
    if (p->at >= p->end || p->failed)
        return;
    if (*p->at == '"') {
        lex_string(p);
        return;
    }
    if (is_letter(*p->at) || *p->at == '%') {
        p->token.kind = *p->at == '%' ? TOKEN_VALUE : TOKEN_NAME;
        for (p->at++; is_word(*p->at);)
            p->at++;
    } else if (is_digit(*p->at) || (*p->at == '-' && is_word(p->at[1]))) {
        lex_number(p);
    } else {
        lex_punct(p);
    }
    p->token.text = intern_n(p->cx, p->token.at, (size_t)(p->at - p->token.at));
}

void lex_start(Parser *p) {
    p->at = p->counted = p->line_start = p->token.at = p->text;
    p->line = 1;
    const char *nul = memchr(p->text, 0, (size_t)(p->end - p->text));
    if (nul) {
        p->token.at = nul;
        parse_fail(p, "unexpected byte 0x00");
    }
    lex_next(p);
}

bool lex_is(const Parser *p, const char *punct) {
    return !p->failed && p->token.kind == TOKEN_PUNCT && strcmp(p->token.text, punct) == 0;
}

bool lex_is_name(const Parser *p, const char *name) {
    return !p->failed && p->token.kind == TOKEN_NAME && strcmp(p->token.text, name) == 0;
}

bool lex_accept(Parser *p, const char *punct) {
    if (!lex_is(p, punct))
        return false;
    lex_next(p);
    return true;
}

bool lex_accept_name(Parser *p, const char *name) {
    if (!lex_is_name(p, name))
        return false;
    lex_next(p);
    return true;
}

static bool expected(Parser *p, const char *what) {
    if (p->token.kind == TOKEN_END)
        return parse_fail(p, "the text ends, '%s' expected", what);
    return parse_fail(p, "found '%.60s', '%s' expected", p->token.text, what);
}

bool lex_expect(Parser *p, const char *punct) {
    return lex_accept(p, punct) ? !p->failed : expected(p, punct);
}

bool lex_expect_name(Parser *p, const char *name) {
    return lex_accept_name(p, name) ? !p->failed : expected(p, name);
}
