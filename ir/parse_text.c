/* parse_text.c: what is written the same way everywhere in a graph's text: numbers, names, dims,
 * types, symbols. */
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph_text.h"

/* ---- numbers and names
 * -------------------------------------------------------------------------------------------- */

bool parse_int(Parser *p, int64_t min, int64_t max, int64_t *value) {
    if (p->failed)
        return false;
    if (p->token.kind != TOKEN_NUMBER)
        return parse_fail(p, "found '%.60s', an integer expected", p->token.text);
    char *end;
    errno = 0;
    long long x = strtoll(p->token.text, &end, 10);
    if (*end)
        return parse_fail(p, "found '%.60s', an integer expected", p->token.text);
    if (errno || x < min || x > max)
        return parse_fail(p, "%.60s is out of range, %" PRId64 " to %" PRId64 " expected",
                          p->token.text, min, max);
    *value = x;
    lex_next(p);
    return !p->failed;
}

/* The C library's conversions read the decimal point of the process's locale. */
static double decimal(const char *text, bool f64, char **end, char copy[128]) {
    const char *point = localeconv()->decimal_point, *dot = strchr(text, '.');
    size_t n = strlen(text), head = dot ? (size_t)(dot - text) : n, points = strlen(point);
    if (n + points >= 127) {
        *end = copy;
        copy[0] = '?';
        return 0;
    }
    memcpy(copy, text, head);
    if (dot) {
        memcpy(copy + head, point, points);
        memcpy(copy + head + points, dot + 1, n - head); /* with the NUL */
    } else {
        copy[n] = 0;
    }
    return f64 ? strtod(copy, end) : (double)strtof(copy, end);
}

bool parse_float(Parser *p, DType dtype, double *value) {
    char copy[128], *end = copy;
    if (p->failed)
        return false;
    const char *text = p->token.text;
    bool special =
        strcmp(text, "inf") == 0 || strcmp(text, "-inf") == 0 || strcmp(text, "nan") == 0;
    if (p->token.kind != TOKEN_NUMBER && !(special && p->token.kind == TOKEN_NAME))
        return parse_fail(p, "found '%.60s', a number expected", text);
    if (special) {
        *value = *text == 'n' ? (double)NAN : *text == '-' ? -(double)INFINITY : (double)INFINITY;
    } else {
        *value = decimal(text, dtype == DT_f64, &end, copy);
        if (*end || strpbrk(text, "xX"))
            return parse_fail(p, "found '%.60s', a number expected", text);
    }
    lex_next(p);
    return !p->failed;
}

bool parse_string(Parser *p, const char **text) {
    if (p->failed)
        return false;
    if (p->token.kind != TOKEN_STRING)
        return parse_fail(p, "found '%.60s', a quoted text expected", p->token.text);
    *text = p->token.text;
    lex_next(p);
    return !p->failed;
}

bool parse_name(Parser *p, const char **name) {
    if (p->failed)
        return false;
    if (p->token.kind != TOKEN_NAME && p->token.kind != TOKEN_STRING)
        return parse_fail(p, "found '%.60s', a name expected", p->token.text);
    *name = p->token.text;
    lex_next(p);
    return !p->failed;
}

bool parse_ints(Parser *p, uint32_t *n, const int64_t **ints) {
    VEC(int64_t) list = {0};
    if (!lex_expect(p, "["))
        return false;
    while (!lex_is(p, "]")) {
        int64_t x;
        if ((list.n && !lex_expect(p, ",")) || !parse_int(p, INT64_MIN, INT64_MAX, &x))
            return false;
        vec_push(p->cx->arena, &list, x);
    }
    *n = list.n;
    *ints = list.at;
    return lex_expect(p, "]");
}

/* ---- dims and types
 * -----------------------------------------------------------------------------------------------
 */

/* A number or a known symbol alone needs no position: most dims of a text. */
static bool parse_plain_dim(Parser *p, Dim *d) {
    if (*p->at != ',' && *p->at != ']')
        return false;
    if (p->token.kind == TOKEN_NAME) {
        Symbol s = symbol_find(p->cx, p->token.text);
        if (s.id == 0)
            return false;
        *d = dim_symbol(p->cx, s);
    } else {
        char *end;
        errno = 0;
        long long value = strtoll(p->token.text, &end, 10);
        if (p->token.kind != TOKEN_NUMBER || errno || *end)
            return false;
        *d = dim_const(p->cx, value);
    }
    lex_next(p);
    return true;
}

bool parse_dim(Parser *p, Dim *d) {
    if (p->failed)
        return false;
    if (parse_plain_dim(p, d))
        return !p->failed;
    const char *at = p->token.at;
    *d = dim_parse(p->cx, parser_loc(p, at), &at, p->declare);
    if (d->id == 0) {
        p->failed = true; /* dim_parse has said why */
        return false;
    }
    p->at = at;
    lex_next(p);
    return !p->failed;
}

bool parse_dtype(Parser *p, DType *dtype) {
    if (p->failed)
        return false;
    *dtype = p->token.kind == TOKEN_NAME ? dtype_by_name(p->token.text) : DT_none;
    if (*dtype == DT_none) {
        const char *names[DT_COUNT];
        for (int t = 0; t < DT_COUNT; t++)
            names[t] = dtype_info[t].name;
        return parse_unknown(p, "element type", names + 1, DT_COUNT - 1);
    }
    lex_next(p);
    return !p->failed;
}

bool parse_encoding(Parser *p, Encoding *encoding) {
    for (int e = ENCODING_DENSE + 1; e < ENCODING_COUNT; e++) {
        *encoding = (Encoding)e;
        if (lex_accept_name(p, encoding_name[e]))
            return lex_expect(p, "}");
    }
    return lex_expect_name(p, encoding_name[ENCODING_PANEL16]);
}

static bool parse_tensor(Parser *p, Type *type) {
    DType dtype;
    Dim dims[MAX_RANK];
    uint32_t rank = 0;
    if (!parse_dtype(p, &dtype) || !lex_expect(p, "["))
        return false;
    while (!lex_is(p, "]")) {
        if (rank == MAX_RANK)
            return parse_fail(p, "more than %d axes", MAX_RANK);
        if ((rank && !lex_expect(p, ",")) || !parse_dim(p, &dims[rank]))
            return false;
        rank++;
    }
    if (!lex_expect(p, "]"))
        return false;
    *type = type_tensor(p->cx, dtype, rank, dims);
    if (!lex_accept(p, "{"))
        return true;
    Encoding encoding;
    if (!parse_encoding(p, &encoding))
        return false;
    *type = type_encoded(p->cx, *type, encoding);
    return true;
}

bool parse_type(Parser *p, Type *type) {
    if (!lex_is(p, "("))
        return parse_tensor(p, type);
    if (p->depth >= MAX_NESTING)
        return parse_fail(p, "nested more than %d deep", MAX_NESTING);
    p->depth++;
    VEC(Type) elements = {0};
    lex_next(p);
    while (!lex_is(p, ")")) {
        Type element;
        if ((elements.n && !lex_expect(p, ",")) || !parse_type(p, &element))
            return false;
        vec_push(p->cx->arena, &elements, element);
    }
    p->depth--;
    *type = type_tuple(p->cx, elements.n, elements.at);
    return lex_expect(p, ")");
}

/* ---- symbols
 * ------------------------------------------------------------------------------------------------------
 */

static bool parse_bound(Parser *p, int64_t *bound) {
    bool low = p->token.kind == TOKEN_NUMBER && strcmp(p->token.text, "-inf") == 0;
    if (!low && !lex_is_name(p, "inf"))
        return parse_int(p, INT64_MIN, INT64_MAX, bound);
    *bound = low ? INT64_MIN : INT64_MAX;
    lex_next(p);
    return !p->failed;
}

/* symbol_new moves the ends of a range inwards to multiples. */
static bool same_range(const SymbolInfo *known, const SymbolInfo *stated) {
    uint64_t multiple = (uint64_t)stated->multiple;
    return known->multiple == stated->multiple && known->min >= stated->min &&
           known->max <= stated->max && (uint64_t)known->min - (uint64_t)stated->min < multiple &&
           (uint64_t)stated->max - (uint64_t)known->max < multiple;
}

/* The symbol is new, or was declared alike. */
static bool declare_symbol(Parser *p, const SymbolInfo *info) {
    Symbol known = symbol_find(p->cx, info->name);
    if (known.id == 0) {
        symbol_new(p->cx, info);
        return true;
    }
    const SymbolInfo *old = symbol_info(p->cx, known);
    if (old->kind == info->kind && same_range(old, info) && dim_same(old->capacity, info->capacity))
        return true;
    return parse_fail(p, "symbol '%.60s' was declared before with another range or kind",
                      info->name);
}

static bool parse_symbol(Parser *p) {
    SymbolInfo info = {.kind = SYMBOL_INPUT, .multiple = 1};
    if (!parse_name(p, &info.name))
        return false;
    if (lex_accept_name(p, symbol_kind_name[SYMBOL_FOUND]))
        info.kind = SYMBOL_FOUND;
    else if (lex_accept_name(p, symbol_kind_name[SYMBOL_INDEX]))
        info.kind = SYMBOL_INDEX;
    if (!lex_expect_name(p, "in") || !lex_expect(p, "[") || !parse_bound(p, &info.min) ||
        !lex_expect(p, ",") || !parse_bound(p, &info.max))
        return false;
    if (info.min > info.max)
        return parse_fail(p, "the range of '%.60s' is empty", info.name);
    if (!lex_expect(p, "]"))
        return false;
    if (lex_accept_name(p, "multiple") && !parse_int(p, 1, INT64_MAX, &info.multiple))
        return false;
    if (lex_accept_name(p, "hint") && !parse_int(p, INT64_MIN, INT64_MAX, &info.hint))
        return false;
    if (info.kind == SYMBOL_FOUND && lex_accept(p, "<=") && !parse_dim(p, &info.capacity))
        return false;
    return declare_symbol(p, &info);
}

bool parse_where(Parser *p) {
    p->declare = false;
    do
        if (!parse_symbol(p))
            return false;
    while (lex_accept(p, ","));
    return !p->failed;
}
