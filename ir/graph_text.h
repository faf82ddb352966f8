/* graph_text.h: private to the printer and the parser of the Graph's text form (docs/ir.md):
 * spellings that both share. */
#pragma once
#include "ir.h"

#define N_RELATIONS (REL_DIVIDES + 1)
extern const char *const relation_name[N_RELATIONS];
extern const char *const symbol_kind_name[]; /* by SymbolKind; "" for INPUT */

enum { INLINE_ELEMENTS = 64, BLOB_ALIGN = 64, MAX_NESTING = 64 };

/* " where batch in [1,64] multiple 8, …": declares the symbols of a graph and its regions; nothing
 * where it has none. */
void where_print(const Graph *, Text *);
void name_print(Text *, const char *name); /* bare, or quoted where it must be */
void const_print(Context *, Text *out, Text *blob, Const);

/* ---- parse_lex.c, parse_text.c: the lexer, and what is written the same way everywhere ---- */

typedef enum TokenKind {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_NUMBER,
    TOKEN_STRING,
    TOKEN_VALUE /* %name */,
    TOKEN_PUNCT
} TokenKind;
typedef struct Token {
    TokenKind kind;
    const char *at; /* into the text */
    const char *
        text; /* interned: the name, the number as written, the string unescaped, the punctuation */
} Token;

typedef struct Parser {
    Context *cx;
    const char *file;
    const char *text, *end; /* NUL-terminated at end */
    const char *at;         /* after token */
    Token token;            /* the next one, not consumed */
    const uint8_t *blob;
    size_t blob_bytes;
    bool failed;    /* after the first mistake everything says no */
    bool declare;   /* names of dims that nobody declared become symbols: a text without `where` */
    uint32_t depth; /* of regions and of tuple types */
    const char *counted, *line_start; /* lines are counted up to here; the next position is near */
    uint32_t line;
} Parser;

void lex_start(Parser *);
void lex_next(Parser *);
Loc parser_loc(Parser *, const char *at);
/* Reports at the next token, once; always false. */
bool parse_fail(Parser *, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool lex_is(const Parser *, const char *punct);
bool lex_is_name(const Parser *, const char *name);
bool lex_accept(Parser *, const char *punct);
bool lex_accept_name(Parser *, const char *name);
bool lex_expect(Parser *, const char *punct);
bool lex_expect_name(Parser *, const char *name);
/* Reports an unknown word at the next token with the closest known one; always false. */
bool parse_unknown(Parser *, const char *what, const char *const *known, size_t n);
bool parse_int(Parser *, int64_t min, int64_t max, int64_t *);
bool parse_float(Parser *, DType, double *); /* the nearest f64 or, for other dtypes, f32 */
bool parse_string(Parser *, const char **);
bool parse_name(Parser *, const char **); /* a bare or a quoted one */
bool parse_ints(Parser *, uint32_t *n, const int64_t **);
bool parse_dim(Parser *, Dim *);
bool parse_dtype(Parser *, DType *);
bool parse_type(Parser *, Type *);
bool parse_encoding(Parser *, Encoding *); /* behind "{", to "}" */
bool parse_where(Parser *);
bool parse_const(Parser *, Const *); /* parse_const.c */
