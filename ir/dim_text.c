/* dim_text.c: dims as text, both ways.  docs/dims.md is the grammar.
 *
 * Part of every type, attribute and message.  Invariants: dim_parse(dim_print(d)) is d, in this Context or a fresh one
 * (where definitions nested beyond DIM_TEXT atoms are printed by name, in this one only); the text depends on names and
 * structure, never on ids.  Reading is bounded: nesting, powers and numbers have limits with a diagnostic each.
 */
#include <inttypes.h>
#include <string.h>

#include "dim_table.h"

enum { MAX_NESTING = 200, MAX_POWER = 64 };

typedef Dim Binary(Context *, Dim, Dim);

static const struct {
    const char *name;
    Binary *build; /* NULL: let, of one operand */
} functions[] = {{"floordiv", dim_fdiv}, {"ceildiv", dim_cdiv}, {"mod", dim_mod}, {"max", dim_max},
                 {"min", dim_min},       {"bcast", dim_bcast},  {"let", NULL}};

static bool starts_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool in_name(char c) { return starts_name(c) || (c >= '0' && c <= '9'); }

/* ---- print -------------------------------------------------------------------------------------------------------- */

static void print_name(Text *out, const char *name) {
    bool plain = starts_name(name[0]);
    for (const char *c = name; *c; c++) plain &= in_name(*c);
    for (size_t i = 0; i < COUNT(functions); i++) plain &= strcmp(name, functions[i].name) != 0;
    if (plain)
        text_add(out, "%s", name);
    else
        text_quote(out, name);
}

static void print_atom(Context *cx, Text *out, Atom atom) {
    static const char *const call[] = {[ATOM_FDIV] = "floordiv", [ATOM_MAX] = "max", [ATOM_BCAST] = "bcast"};
    if (atom.kind == ATOM_SYMBOL) {
        const SymbolInfo *info = symbol_info(cx, atom.symbol);
        if (info->kind != SYMBOL_LET || dim_entry(dim_table(cx), info->capacity)->size > DIM_TEXT) {
            print_name(out, info->name);
            return;
        }
        text_add(out, "let(");
        dim_print(cx, out, info->capacity);
    } else {
        text_add(out, "%s(", call[atom.kind]);
        dim_print(cx, out, atom.a);
        text_add(out, ",");
        dim_print(cx, out, atom.b);
    }
    text_add(out, ")");
}

void dim_print(Context *cx, Text *out, Dim d) {
    DimEntry e = *dim_entry(dim_table(cx), d);
    if (!d.id || !e.n) text_add(out, d.id ? "0" : "poison");
    for (uint32_t i = 0; i < e.n; i++) {
        int64_t c = e.terms[i].coefficient;
        /* the least integer has no positive counterpart to subtract */
        if (i && (c > 0 || c == INT64_MIN)) text_add(out, "+");
        if (c == -1 && e.terms[i].n) text_add(out, "-");
        else if (c != 1 || !e.terms[i].n) text_add(out, "%" PRId64 "%s", c, e.terms[i].n ? "*" : "");
        for (uint32_t f = 0; f < e.terms[i].n; f++) {
            if (f) text_add(out, "*");
            print_atom(cx, out, dim_atom(cx, e.terms[i].factors[f].atom));
            if (e.terms[i].factors[f].power > 1) text_add(out, "^%u", e.terms[i].factors[f].power);
        }
    }
}

const char *dim_string(Context *cx, Dim d) {
    Text text = text_new(cx->arena);
    dim_print(cx, &text, d);
    return intern_n(cx, text.at, text.n);
}

/* ---- parse -------------------------------------------------------------------------------------------------------- */

typedef struct Parser {
    Context *cx;
    Loc loc;
    const char *at;
    bool declare, failed;
    int nesting;
} Parser;

static const Dim none = {0};
static Dim parse_sum(Parser *);

static Dim fail(Parser *p, const char *what) {
    if (!p->failed) {
        size_t n = 0;
        while (n < 24 && p->at[n]) n++;
        if (n)
            diag_error(p->cx, p->loc, "dim: %s, at '%.*s'", what, (int)n, p->at);
        else
            diag_error(p->cx, p->loc, "dim: %s, at the end of the text", what);
    }
    p->failed = true;
    return none;
}

static void skip(Parser *p) {
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r') p->at++;
}

/* An arrow or a comment is no operator. */
static bool take(Parser *p, char c) {
    skip(p);
    if (*p->at != c || (c == '-' && p->at[1] == '>') || (c == '/' && p->at[1] == '/')) return false;
    p->at++;
    return true;
}

static Dim parse_number(Parser *p, bool negative) {
    uint64_t value = 0, limit = (uint64_t)INT64_MAX + negative;
    for (; *p->at >= '0' && *p->at <= '9'; p->at++) {
        uint64_t digit = (uint64_t)(*p->at - '0');
        if (value > (limit - digit) / 10) return fail(p, "the number does not fit in 64 bits");
        value = value * 10 + digit;
    }
    return dim_const(p->cx, (int64_t)(negative ? 0 - value : value));
}

static int hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What text_quote writes. */
static const char *parse_quoted(Parser *p) {
    Text name = text_new(p->cx->arena);
    for (p->at++; *p->at && *p->at != '"'; p->at++) {
        char c = *p->at;
        if (c == '\\') {
            c = *++p->at;
            if (c == 'n') c = '\n';
            else if (c == 't') c = '\t';
            else if (c == 'x' && hex(p->at[1]) >= 0 && hex(p->at[2]) >= 0) {
                c = (char)(hex(p->at[1]) * 16 + hex(p->at[2]));
                p->at += 2;
            } else if (c != '\\' && c != '"') {
                fail(p, "expected one of \\n \\t \\\\ \\\" \\xHH");
                return NULL;
            }
        }
        text_add_n(&name, &c, 1);
    }
    if (*p->at != '"' || !name.n) {
        fail(p, "expected a name in quotes");
        return NULL;
    }
    p->at++;
    return intern_n(p->cx, name.at, name.n);
}

static Dim parse_symbol(Parser *p, const char *name) {
    Symbol s = symbol_find(p->cx, name);
    if (!s.id && !p->declare) {
        diag_error(p->cx, p->loc, "dim: there is no symbol '%s'; declare it where the function's symbols are", name);
        p->failed = true;
        return none;
    }
    if (!s.id) s = symbol_new(p->cx, &(SymbolInfo){.name = name, .kind = SYMBOL_INPUT, .max = INT64_MAX, .multiple = 1});
    return dim_symbol(p->cx, s);
}

static Dim parse_call(Parser *p, size_t function) {
    Binary *build = functions[function].build;
    Dim a = parse_sum(p), b = none;
    if (p->failed) return none;
    if (build) {
        if (!take(p, ',')) return fail(p, "expected ',' and a second operand");
        b = parse_sum(p);
        if (p->failed) return none;
    }
    if (!take(p, ')')) return fail(p, "expected ')'");
    if (!build) return dim_let(p->cx, a);
    /* a floordiv by 0 may have come out of a substitution: it is printed and read, but has no value */
    bool divides = build == dim_cdiv || build == dim_mod;
    return divides && dim_is(p->cx, b, 0) ? fail(p, "division by 0") : build(p->cx, a, b);
}

static Dim parse_primary(Parser *p) {
    skip(p);
    if (*p->at >= '0' && *p->at <= '9') return parse_number(p, false);
    if (take(p, '(')) {
        Dim d = parse_sum(p);
        return p->failed || take(p, ')') ? d : fail(p, "expected ')'");
    }
    if (*p->at == '"') {
        const char *name = parse_quoted(p);
        return name ? parse_symbol(p, name) : none;
    }
    if (!starts_name(*p->at)) return fail(p, "expected a number, a symbol, a function or '('");
    const char *start = p->at;
    while (in_name(*p->at)) p->at++;
    const char *name = intern_n(p->cx, start, (size_t)(p->at - start));
    for (size_t i = 0; i < COUNT(functions); i++)
        if (!strcmp(name, functions[i].name) && take(p, '(')) return parse_call(p, i);
    return parse_symbol(p, name);
}

static Dim parse_power(Parser *p) {
    Dim base = parse_primary(p);
    if (p->failed || !take(p, '^')) return base;
    skip(p);
    if (*p->at < '0' || *p->at > '9') return fail(p, "expected a power");
    Dim power = parse_number(p, false), result = dim_const(p->cx, 1);
    int64_t n;
    if (p->failed) return none;
    if (!dim_const_value(p->cx, power, &n) || n > MAX_POWER) return fail(p, "expected a power of at most 64");
    for (int64_t i = 0; i < n; i++) result = dim_mul(p->cx, result, base);
    return result;
}

static Dim parse_unary(Parser *p) {
    if (p->nesting >= MAX_NESTING) return fail(p, "nested too deeply");
    p->nesting++;
    Dim d;
    if (!take(p, '-')) {
        d = parse_power(p);
    } else {
        skip(p);
        const char *start = p->at;
        bool number = *start >= '0' && *start <= '9';
        d = number ? parse_number(p, true) : parse_unary(p);
        if (number && !p->failed && take(p, '^')) { /* -2^2 is -(2^2) */
            p->at = start;
            d = parse_power(p);
            number = false;
        }
        if (!number && !p->failed) d = dim_muli(p->cx, d, -1);
    }
    p->nesting--;
    return d;
}

static Dim parse_product(Parser *p) {
    Dim d = parse_unary(p);
    while (!p->failed) {
        char operator = take(p, '*') ? '*' : take(p, '/') ? '/' : take(p, '%') ? '%' : 0;
        if (!operator) break;
        Dim by = parse_unary(p);
        if (p->failed) break;
        if (operator != '*' && dim_is(p->cx, by, 0)) return fail(p, "division by 0");
        d = operator == '*' ? dim_mul(p->cx, d, by) : operator == '/' ? dim_fdiv(p->cx, d, by) : dim_mod(p->cx, d, by);
    }
    return p->failed ? none : d;
}

static Dim parse_sum(Parser *p) {
    Dim d = parse_product(p);
    while (!p->failed) {
        bool plus = take(p, '+');
        if (!plus && !take(p, '-')) break;
        Dim next = parse_product(p);
        if (!p->failed) d = plus ? dim_add(p->cx, d, next) : dim_sub(p->cx, d, next);
    }
    return p->failed ? none : d;
}

Dim dim_parse(Context *cx, Loc loc, const char **at, bool declare) {
    Parser p = {.cx = cx, .loc = loc, .at = *at, .declare = declare};
    Dim d = parse_sum(&p);
    *at = p.at;
    return d;
}
