/* declaration.c: what a user says of a dim: "name=7", "name=1..64%8", "name=..4096".  docs/cli.md has the grammar.
 *
 * Read by the importer, for the model's own dims, and by pass donate's caller, for capacities.
 */
#include <string.h>

#include "ir.h"

/* To behind the number; *found: there is one.  One that 63 bits do not hold is left where it is, as no declaration. */
static const char *number(const char *p, int64_t *value, bool *found) {
    bool fits = true;
    const char *from = p;
    for (*value = 0; *p >= '0' && *p <= '9'; p++)
        fits = fits && ck_mul(*value, 10, value) && ck_add(*value, *p - '0', value);
    *found = p > from && fits;
    return fits ? p : from;
}

static bool parse(Context *cx, const char *text, SymbolInfo *d) {
    const char *eq = strchr(text, '=');
    bool low, high, has_multiple = true;
    *d = (SymbolInfo){.kind = SYMBOL_INPUT, .max = INT64_MAX, .multiple = 1};
    if (!eq || eq == text) return false;
    d->name = intern_n(cx, text, (size_t)(eq - text));
    const char *p = number(eq + 1, &d->min, &low);
    if (strncmp(p, "..", 2) == 0) {
        p = number(p + 2, &d->max, &high);
        if (!high) d->max = INT64_MAX;
    } else {
        if (!low) return false;
        d->max = d->min;
    }
    if (*p == '%') p = number(p + 1, &d->multiple, &has_multiple);
    return *p == 0 && has_multiple && d->multiple >= 1 && d->min <= d->max;
}

bool symbol_declaration(Context *cx, const char *text, SymbolInfo *to) {
    if (parse(cx, text, to)) return true;
    diag_usage(cx, (Loc){0}, "'%s' is no declaration of a dim; write name=7, name=1..64 or name=1..64%%8", text);
    return false;
}
