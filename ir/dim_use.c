/* dim_use.c: what reads dims: substitution, affine parts, values, hints and upper bounds.
 *
 * Traversals mark atoms with a stamp, so that shared parts are visited once however often they occur.
 */
#include "dim_table.h"

/* ---- occurrence, substitution, affine parts ----------------------------------------------------------------------- */

static bool uses(Context *cx, Dim d, Symbol s, uint64_t stamp) {
    DimTable *t = dim_table(cx);
    DimEntry e = *dim_entry(t, d);
    if (!(e.mask >> (s.id & 63) & 1)) return false;
    for (uint32_t i = 0; i < e.n; i++) {
        for (uint32_t f = 0; f < e.terms[i].n; f++) {
            AtomEntry *entry = &t->atoms.at[e.terms[i].factors[f].atom];
            Atom atom = entry->atom;
            if (entry->stamp == stamp) continue; /* seen, and s was not in it */
            entry->stamp = stamp;
            if (atom.kind == ATOM_SYMBOL) {
                const SymbolInfo *info = symbol_info(cx, atom.symbol);
                if (atom.symbol.id == s.id) return true;
                if (info->kind == SYMBOL_LET && uses(cx, info->capacity, s, stamp)) return true;
            } else if (uses(cx, atom.a, s, stamp) || uses(cx, atom.b, s, stamp)) {
                return true;
            }
        }
    }
    return false;
}

bool dim_uses(Context *cx, Dim d, Symbol s) { return uses(cx, d, s, ++dim_table(cx)->stamp); }

typedef struct Substitution {
    const Symbol *symbols;
    const Dim *with;
    uint32_t n;
    uint64_t stamp, mask;
} Substitution;

static Dim substitute(Context *, const Substitution *, Dim);

static Dim substitute_atom(Context *cx, const Substitution *s, uint32_t id) {
    DimTable *t = dim_table(cx);
    Atom atom = t->atoms.at[id].atom;
    if (!(t->atoms.at[id].mask & s->mask)) return dim_from_atom(cx, id);
    if (t->atoms.at[id].stamp == s->stamp) return t->atoms.at[id].image;
    Dim image = {0};
    if (atom.kind == ATOM_SYMBOL) {
        const SymbolInfo *info = symbol_info(cx, atom.symbol);
        image = dim_from_atom(cx, id);
        for (uint32_t i = 0; i < s->n; i++)
            if (s->symbols[i].id == atom.symbol.id) image = s->with[i];
        if (info->kind == SYMBOL_LET) {
            Dim definition = info->capacity, changed = substitute(cx, s, definition);
            if (!dim_same(changed, definition)) image = changed;
        }
    } else {
        Dim a = substitute(cx, s, atom.a), b = substitute(cx, s, atom.b);
        switch (atom.kind) {
        case ATOM_SYMBOL: break;
        case ATOM_FDIV: image = dim_fdiv(cx, a, b); break;
        case ATOM_MAX: image = dim_max(cx, a, b); break;
        case ATOM_BCAST: image = dim_bcast(cx, a, b); break;
        }
    }
    t->atoms.at[id].stamp = s->stamp;
    t->atoms.at[id].image = image;
    return image;
}

static Dim substitute(Context *cx, const Substitution *s, Dim d) {
    DimEntry e = *dim_entry(dim_table(cx), d);
    if (!(e.mask & s->mask)) return d;
    Dim sum = dim_const(cx, 0);
    for (uint32_t i = 0; i < e.n; i++) {
        Dim product = dim_const(cx, e.terms[i].coefficient);
        for (uint32_t f = 0; f < e.terms[i].n; f++) {
            Dim factor = substitute_atom(cx, s, e.terms[i].factors[f].atom);
            for (uint32_t p = 0; p < e.terms[i].factors[f].power; p++) product = dim_mul(cx, product, factor);
        }
        sum = dim_add(cx, sum, product);
    }
    return sum;
}

Dim dim_substitute(Context *cx, Dim d, const Symbol *symbols, const Dim *with, uint32_t n) {
    Substitution s = {.symbols = symbols, .with = with, .n = n, .stamp = ++dim_table(cx)->stamp};
    for (uint32_t i = 0; i < n; i++) s.mask |= UINT64_C(1) << (symbols[i].id & 63);
    return substitute(cx, &s, d);
}

bool dim_affine(Context *cx, Dim d, Symbol s, Dim *a, Dim *b) {
    uint32_t atom;
    *a = dim_const(cx, 0);
    *b = d;
    if (!dim_uses(cx, d, s)) return true;
    if (!dim_is_atom(cx, dim_symbol(cx, s), &atom) || !dim_split_atom(cx, d, atom, a, b)) return false;
    return !dim_uses(cx, *a, s) && !dim_uses(cx, *b, s);
}

/* ---- values and hints --------------------------------------------------------------------------------------------- */

/* values NULL: at the hints, saturating and total. */
typedef struct Eval {
    Context *cx;
    const int64_t *values;
    uint64_t stamp;
} Eval;

static bool eval(const Eval *, Dim, int64_t *result);

static int64_t clamp(int64_t value, int64_t min, int64_t max) { return value < min ? min : value > max ? max : value; }

static bool eval_symbol(const Eval *v, Symbol s, int64_t *result) {
    const SymbolInfo *info = symbol_info(v->cx, s);
    if (info->kind == SYMBOL_LET) return eval(v, info->capacity, result);
    if (v->values) {
        *result = v->values[s.id];
        return true;
    }
    *result = clamp(info->hint ? info->hint : 128, info->min, info->max);
    int64_t capacity;
    if (!info->hint && info->kind == SYMBOL_FOUND && info->capacity.id && eval(v, info->capacity, &capacity))
        *result = clamp(*result, info->min, capacity < info->min ? info->min : capacity);
    return true;
}

static bool eval_atom(const Eval *v, uint32_t id, int64_t *result) {
    DimTable *t = dim_table(v->cx);
    AtomEntry entry = t->atoms.at[id];
    if (entry.stamp == v->stamp) return *result = entry.value, entry.valid;
    int64_t a, b;
    bool valid;
    if (entry.atom.kind == ATOM_SYMBOL) {
        valid = eval_symbol(v, entry.atom.symbol, result);
    } else {
        valid = eval(v, entry.atom.a, &a) && eval(v, entry.atom.b, &b);
        if (valid && entry.atom.kind == ATOM_FDIV) {
            if (!v->values && b < 1) b = 1;
            valid = b != 0 && !(a == INT64_MIN && b == -1);
            *result = valid ? floor_div(a, b) : 0;
        }
        if (valid && entry.atom.kind == ATOM_MAX) *result = a > b ? a : b;
        if (valid && entry.atom.kind == ATOM_BCAST) *result = a == 1 ? b : a;
    }
    t->atoms.at[id].stamp = v->stamp;
    t->atoms.at[id].valid = valid;
    t->atoms.at[id].value = valid ? *result : 0;
    return valid;
}

static bool eval(const Eval *v, Dim d, int64_t *result) {
    DimEntry e = *dim_entry(dim_table(v->cx), d);
    int64_t sum = 0, factor;
    if (!d.id) return false;
    for (uint32_t i = 0; i < e.n; i++) {
        int64_t product = e.terms[i].coefficient;
        for (uint32_t f = 0; f < e.terms[i].n; f++) {
            if (!eval_atom(v, e.terms[i].factors[f].atom, &factor)) return false;
            for (uint32_t p = 0; p < e.terms[i].factors[f].power; p++) {
                if (!v->values)
                    product = sat_mul(product, factor);
                else if (!ck_mul(product, factor, &product))
                    return false;
            }
        }
        if (!v->values)
            sum = sat_add(sum, product);
        else if (!ck_add(sum, product, &sum))
            return false;
    }
    *result = sum;
    return true;
}

bool dim_eval(Context *cx, Dim d, const int64_t *values, int64_t *result) {
    Eval v = {.cx = cx, .values = values, .stamp = ++dim_table(cx)->stamp};
    REQUIRE(cx, values);
    return eval(&v, d, result);
}

int64_t dim_hint(Context *cx, Dim d) {
    Eval v = {.cx = cx, .stamp = ++dim_table(cx)->stamp};
    int64_t result;
    return eval(&v, d, &result) ? result : 0;
}

/* ---- upper bounds ------------------------------------------------------------------------------------------------- */

static Dim upper_symbol(Context *cx, Symbol s, uint32_t atom) {
    const SymbolInfo *info = symbol_info(cx, s);
    switch (info->kind) {
    case SYMBOL_INPUT: return dim_from_atom(cx, atom);
    case SYMBOL_LET: return dim_upper(cx, info->capacity);
    case SYMBOL_FOUND:
        if (info->capacity.id) return dim_upper(cx, info->capacity);
        break;
    case SYMBOL_INDEX: break;
    }
    return info->max == INT64_MAX ? (Dim){0} : dim_const(cx, info->max);
}

static Dim upper_atom(Context *cx, uint32_t id) {
    Atom atom = dim_atom(cx, id);
    if (atom.kind == ATOM_SYMBOL) return upper_symbol(cx, atom.symbol, id);
    Dim a = dim_upper(cx, atom.a);
    if (atom.kind != ATOM_FDIV) return dim_max(cx, a, dim_upper(cx, atom.b));
    int64_t by;
    if (dim_const_value(cx, atom.b, &by)) return by > 0 ? dim_fdiv(cx, a, atom.b) : (Dim){0};
    /* a smaller divisor is an upper bound only where the quotient is not negative */
    if (dim_birth(cx, atom.a).min < 0) a = dim_max(cx, a, dim_const(cx, 0));
    int64_t least = dim_birth(cx, atom.b).min;
    return dim_fdiv(cx, a, dim_const(cx, least < 1 ? 1 : least));
}

/* c * max(a, b), c < 0, is at most c * a and at most c * b. */
static Dim upper_negative(Context *cx, int64_t c, Atom atom) {
    int64_t value;
    if (atom.kind != ATOM_MAX) return (Dim){0};
    Dim a = dim_upper(cx, dim_muli(cx, atom.a, c)), b = dim_upper(cx, dim_muli(cx, atom.b, c));
    return !a.id || (b.id && dim_const_value(cx, b, &value)) ? b : a;
}

/* Of coefficient * monomial, monotone; id 0 where there is none. */
static Dim upper_term(Context *cx, int64_t coefficient, uint32_t monomial) {
    DimTable *t = dim_table(cx);
    Monomial m = t->monomials.at[monomial];
    uint32_t signed_powers = 0; /* of factors that may be negative */
    int64_t bound;
    for (uint32_t f = 0; f < m.n; f++)
        if (t->atoms.at[m.factors[f].atom].range.min < 0) signed_powers += m.factors[f].power;
    if (coefficient < 0) {
        int64_t least = monomial_interval(cx, 0, monomial).min;
        if (least != INT64_MIN && ck_mul(least, coefficient, &bound)) return dim_const(cx, bound);
        if (m.n == 1 && m.degree == 1) return upper_negative(cx, coefficient, dim_atom(cx, m.factors[0].atom));
        if (signed_powers == 0 || coefficient == INT64_MIN) return (Dim){0};
    }
    Dim product = dim_const(cx, coefficient < 0 ? -coefficient : coefficient);
    for (uint32_t f = 0; f < m.n; f++) {
        Dim factor = upper_atom(cx, m.factors[f].atom);
        int64_t least = t->atoms.at[m.factors[f].atom].range.min;
        if (least < 0 && signed_powers == 1) { /* alone it gives the product its sign */
            if (coefficient < 0 && least <= -INT64_MAX) return (Dim){0};
            if (coefficient < 0) factor = dim_const(cx, -least);
            else if (m.degree > 1) factor = dim_max(cx, factor, dim_const(cx, 0));
        } else if (least < 0) { /* the factors' magnitudes bound the product */
            if (least <= -INT64_MAX) return (Dim){0};
            factor = dim_max(cx, factor, dim_const(cx, -least));
        }
        for (uint32_t p = 0; p < m.factors[f].power; p++) product = dim_mul(cx, product, factor);
    }
    return product;
}

/* A bound of d with fewer terms, or id 0: for c*rem*n*floor(x/n) = c*rem*(x - x mod n), and for c*rem*max(a, b), c < 0. */
static Dim relax(Context *cx, Dim d, uint32_t i, uint32_t atom_id) {
    const Dim none = {0};
    DimTable *t = dim_table(cx);
    DimEntry e = *dim_entry(t, d);
    Atom atom = dim_atom(cx, atom_id);
    int64_t c = e.terms[i].coefficient, n;
    uint32_t rem, alone = dim_entry(t, dim_from_atom(cx, atom_id))->monomials[0];
    monomial_div(cx, e.monomials[i], alone, &rem);
    if (monomial_interval(cx, 0, rem).min < 0 || c == INT64_MIN) return none;
    Dim gone = dim_sub(cx, d, dim_monomial(cx, c, e.monomials[i]));
    if (atom.kind == ATOM_MAX && c < 0) {
        for (int side = 0; side < 2; side++) {
            Dim bound = dim_add(cx, gone, dim_mul(cx, dim_monomial(cx, c, rem), side ? atom.b : atom.a));
            if (bound.id && dim_entry(t, bound)->n < e.n) return bound;
        }
    }
    if (atom.kind != ATOM_FDIV) return none;
    if (dim_const_value(cx, atom.b, &n)) {
        if (n <= 0 || c % n) return none;
        Dim scale = dim_monomial(cx, c / n, rem), bound = dim_add(cx, gone, dim_mul(cx, scale, atom.a));
        if (c < 0) bound = dim_sub(cx, bound, dim_muli(cx, scale, n - 1));
        return bound.id && dim_entry(t, bound)->n < e.n ? bound : none;
    }
    /* c*rem*n*floor(x/n) <= c*rem*x for a symbolic product n too; without this n counts twice */
    const DimEntry *by = dim_entry(t, atom.b);
    uint32_t left;
    if (c < 0 || by->n != 1 || c % by->terms[0].coefficient || !monomial_div(cx, rem, by->monomials[0], &left)) return none;
    if (monomial_interval(cx, 0, left).min < 0 || by->terms[0].coefficient < 0) return none;
    return dim_add(cx, gone, dim_mul(cx, dim_monomial(cx, c / by->terms[0].coefficient, left), atom.a));
}

static Dim relaxed(Context *cx, Dim d) {
    probe_begin(cx);
    for (int fuel = DIM_TERMS; fuel; fuel--) {
        DimEntry e = *dim_entry(dim_table(cx), d);
        Dim next = {0};
        for (uint32_t i = 0; i < e.n && !next.id; i++)
            for (uint32_t f = 0; f < e.terms[i].n && !next.id; f++)
                next = relax(cx, d, i, e.terms[i].factors[f].atom);
        if (!next.id) break;
        d = next;
    }
    probe_end(cx);
    return d;
}

static Dim upper_terms(Context *cx, Dim d) {
    DimEntry e = *dim_entry(dim_table(cx), d);
    Dim sum = dim_const(cx, 0);
    for (uint32_t i = 0; i < e.n; i++) sum = dim_add(cx, sum, upper_term(cx, e.terms[i].coefficient, e.monomials[i]));
    return sum;
}

Dim dim_upper(Context *cx, Dim d) {
    Dim result;
    int64_t value;
    if (!d.id || dim_const_value(cx, d, &value)) return d;
    if (dim_memo_get(cx, MEMO_UPPER, d, (Dim){0}, &result)) return result;
    context_spend(cx, 1);
    Dim fewer = relaxed(cx, d);
    result = upper_terms(cx, fewer);
    /* Relaxing may lead away from a bound of the terms as they are: a number is better than what it found. */
    if (!dim_same(fewer, d) && !dim_const_value(cx, result, &value)) {
        Dim plain = upper_terms(cx, d);
        if (!result.id || dim_const_value(cx, plain, &value)) result = plain;
    }
    return dim_memo_set(cx, MEMO_UPPER, d, (Dim){0}, result);
}
