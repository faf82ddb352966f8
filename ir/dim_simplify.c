/* dim_simplify.c: a dim rewritten by what a scope knows: index expressions lose the floor-divisions they do not need.
 *
 * Bottom-up; an atom whose operands are simple is decided by the prover, or a quotient is shortened:
 *   floor(x / d) => k                     where k*d <= x < (k+1)*d, k in {0, -1, 1}
 *   floor((g*x + r) / (g*d)) => floor(x/d) where 0 <= r < g
 *   floor((x + r) / d) => floor(x / d)    where a fact's w divides x and d, 0 <= r < w
 *   max(a, b) => a                        where a >= b
 *   bcast(a, b) => a                      where b is 1, or a is not, or a == b
 * The result equals d for every valuation the scope admits; it is no normal form.
 */
#include "dim_table.h"

/* x in [k*d, (k+1)*d) for a k in {0, -1, 1}. */
static bool small_quotient(Context *cx, uint32_t set, Dim x, Dim d, int64_t *k) {
    static const int64_t candidates[] = {0, -1, 1};
    for (uint32_t i = 0; i < COUNT(candidates); i++) {
        Dim low = dim_sub(cx, x, dim_muli(cx, d, candidates[i]));
        *k = candidates[i];
        if (dim_nonneg(cx, set, low) && dim_nonneg(cx, set, dim_addi(cx, dim_sub(cx, d, low), -1))) return true;
    }
    return false;
}

/* x over the constant n with coefficients brought nearest to 0: x = n*quotient + balanced. */
static Dim balance(Context *cx, Dim x, int64_t n, Dim *quotient) {
    DimEntry e = *dim_entry(dim_table(cx), x);
    *quotient = dim_const(cx, 0);
    for (uint32_t i = 0; i < e.n; i++)
        if (e.terms[i].n && e.terms[i].coefficient > n / 2)
            *quotient = dim_add(cx, *quotient, dim_monomial(cx, 1, e.monomials[i]));
    return dim_sub(cx, x, dim_muli(cx, *quotient, n));
}

static bool decide_quotient(Context *cx, uint32_t set, Dim x, Dim d, Dim *result) {
    int64_t n, k;
    Dim quotient = dim_const(cx, 0);
    if (dim_const_value(cx, d, &n)) {
        if (n < 1) return false;
        x = balance(cx, x, n, &quotient);
        DimRange r = dim_interval(cx, set, x);
        if (r.min != INT64_MIN && r.max != INT64_MAX && floor_div(r.min, n) == floor_div(r.max, n))
            return *result = dim_addi(cx, quotient, floor_div(r.min, n)), true;
    }
    if (!small_quotient(cx, set, x, d, &k)) return false;
    *result = dim_addi(cx, quotient, k);
    return true;
}

/* The terms of x that g = coefficient * monomial divides, divided by it; the others go to *rest. */
static Dim divisible_part(Context *cx, Dim x, int64_t coefficient, uint32_t monomial, Dim *rest) {
    DimEntry e = *dim_entry(dim_table(cx), x);
    Dim part = dim_const(cx, 0);
    *rest = part;
    for (uint32_t i = 0; i < e.n; i++) {
        int64_t c = e.terms[i].coefficient;
        uint32_t m;
        if (c % coefficient == 0 && monomial_div(cx, e.monomials[i], monomial, &m))
            part = dim_add(cx, part, dim_monomial(cx, c / coefficient, m));
        else
            *rest = dim_add(cx, *rest, dim_monomial(cx, c, e.monomials[i]));
    }
    return part;
}

static bool shorten_quotient(Context *cx, uint32_t set, Dim x, Dim d, Dim *result) {
    DimTable *t = dim_table(cx);
    DimEntry e = *dim_entry(t, x), by = *dim_entry(t, d);
    if (by.n != 1 || by.terms[0].coefficient < 1) return false;
    for (uint32_t i = 0; i < e.n; i++) {
        int64_t g = gcd_i64(e.terms[i].coefficient, by.terms[0].coefficient);
        uint32_t m = monomial_gcd(cx, e.monomials[i], by.monomials[0]), left;
        if (!e.terms[i].n || (g == 1 && !m) || !monomial_div(cx, by.monomials[0], m, &left)) continue;
        Dim rest, part = divisible_part(cx, x, g, m, &rest), size = dim_monomial(cx, g, m);
        if (!dim_nonneg(cx, set, rest) || !dim_nonneg(cx, set, dim_addi(cx, dim_sub(cx, size, rest), -1))) continue;
        *result = dim_fdiv(cx, part, dim_monomial(cx, by.terms[0].coefficient / g, left));
        return true;
    }
    return false;
}

static bool known_to_divide(Context *cx, const Fact *fact, int64_t w, const Term *term, uint32_t monomial) {
    return term->coefficient % w == 0 || dim_same(dim_monomial(cx, 1, monomial), fact->b);
}

/* What is less than a step of a loop carries no quotient further. */
static bool drop_rest(Context *cx, uint32_t set, Dim x, Dim d, Dim *result) {
    DimTable *t = dim_table(cx);
    DimEntry e = *dim_entry(t, x);
    int64_t n, w;
    if (!set || !dim_const_value(cx, d, &n)) return false;
    const FactSet facts = t->sets.at[set];
    for (uint32_t f = 0; f < facts.n_divides; f++) {
        const Fact *fact = &facts.divides[f];
        if (!dim_const_value(cx, fact->a, &w) || w < 2 || n % w) continue;
        Dim part = dim_const(cx, 0), rest = part;
        for (uint32_t i = 0; i < e.n; i++) {
            Dim term = dim_monomial(cx, e.terms[i].coefficient, e.monomials[i]);
            if (known_to_divide(cx, fact, w, &e.terms[i], e.monomials[i])) part = dim_add(cx, part, term);
            else rest = dim_add(cx, rest, term);
        }
        if (!part.id || !rest.id || dim_is(cx, rest, 0) || dim_is(cx, part, 0)) continue;
        if (!dim_nonneg(cx, set, rest) || !dim_nonneg(cx, set, dim_addi(cx, dim_sub(cx, dim_const(cx, w), rest), -1))) continue;
        *result = dim_fdiv(cx, part, d);
        return true;
    }
    return false;
}

static bool equal(Context *cx, uint32_t set, Dim a, Dim b) {
    return dim_nonneg(cx, set, dim_sub(cx, a, b)) && dim_nonneg(cx, set, dim_sub(cx, b, a));
}

static bool decide_bcast(Context *cx, uint32_t set, Dim a, Dim b, Dim *result) {
    Dim one = dim_const(cx, 1), two = dim_const(cx, 2);
    bool a_first = equal(cx, set, a, b) || equal(cx, set, b, one) || dim_nonneg(cx, set, dim_sub(cx, a, two)) ||
                   dim_nonneg(cx, set, dim_muli(cx, a, -1));
    if (a_first) return *result = a, true;
    bool b_first = equal(cx, set, a, one) || dim_nonneg(cx, set, dim_sub(cx, b, two)) ||
                   dim_nonneg(cx, set, dim_muli(cx, b, -1));
    if (b_first) return *result = b, true;
    return false;
}

static bool decide(Context *cx, uint32_t set, Atom atom, Dim *result) {
    switch (atom.kind) {
    case ATOM_SYMBOL: return false;
    case ATOM_FDIV:
        return decide_quotient(cx, set, atom.a, atom.b, result) || shorten_quotient(cx, set, atom.a, atom.b, result) ||
               drop_rest(cx, set, atom.a, atom.b, result);
    case ATOM_MAX:
        *result = atom.a;
        if (dim_nonneg(cx, set, dim_sub(cx, atom.a, atom.b))) return true;
        *result = atom.b;
        return dim_nonneg(cx, set, dim_sub(cx, atom.b, atom.a));
    case ATOM_BCAST: return decide_bcast(cx, set, atom.a, atom.b, result);
    }
    return false;
}

static Dim simplify_atom(Context *cx, uint32_t set, uint32_t id) {
    Atom atom = dim_atom(cx, id);
    Dim same = dim_from_atom(cx, id), result = same;
    if (atom.kind == ATOM_SYMBOL) return same;
    Dim a = dim_simplify_under(cx, set, atom.a), b = dim_simplify_under(cx, set, atom.b);
    if (!dim_same(a, atom.a) || !dim_same(b, atom.b)) {
        result = atom.kind == ATOM_FDIV ? dim_fdiv(cx, a, b)
                 : atom.kind == ATOM_MAX ? dim_max(cx, a, b)
                                         : dim_bcast(cx, a, b);
        if (!dim_same(result, same)) return dim_simplify_under(cx, set, result);
    }
    context_spend(cx, 1);
    probe_begin(cx);
    bool decided = decide(cx, set, atom, &result) && result.id;
    probe_end(cx);
    return decided ? dim_simplify_under(cx, set, result) : same;
}

Dim dim_simplify_under(Context *cx, uint32_t set, Dim d) {
    DimTable *t = dim_table(cx);
    DimEntry e = *dim_entry(t, d);
    if (!e.depth) return d;
    uint64_t key = (uint64_t)set << 32 | d.id;
    uint32_t known = map_get(&t->simplified, key);
    if (known) return (Dim){known};
    map_set(&t->simplified, key, d.id); /* a rule that led back here would end here */
    Dim sum = dim_const(cx, 0);
    for (uint32_t i = 0; i < e.n; i++) {
        Dim product = dim_const(cx, e.terms[i].coefficient);
        for (uint32_t f = 0; f < e.terms[i].n; f++) {
            Dim factor = simplify_atom(cx, set, e.terms[i].factors[f].atom);
            for (uint32_t p = 0; p < e.terms[i].factors[f].power; p++) product = dim_mul(cx, product, factor);
        }
        sum = dim_add(cx, sum, product);
    }
    map_set(&t->simplified, key, sum.id);
    return sum;
}

Dim dim_simplify(Context *cx, const Scope *scope, Dim d) {
    if (!d.id || !dim_entry(dim_table(cx), d)->depth) return d;
    return dim_simplify_under(cx, fact_set_with_divisors(cx, fact_set(cx, scope), d), d);
}
