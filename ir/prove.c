/* prove.c: what is known of dims under a scope: relations, intervals, and dims rewritten by what is known.
 *
 * Everything rests on one question: is a polynomial p >= 0 for every integer valuation within birth ranges and facts?
 * p is taken apart one atom at a time: p = a*x + b, the sign of a known, and a bound of x (its interval, a fact that is
 * affine in it, floor(y/d)'s d*x <= y <= d*x + d - 1) replaces it, scaled by the bound's coefficient c and tightened by
 * the integers: p >= 0 exactly where c*p >= 1 - c.  Maxima are split into cases; two quotients by one divisor are
 * compared by their numerators.  Depth, budget and fuel bound the search; memos make thousands of calls cheap.
 *
 * Invariant: never wrong.  A step that is not sound for all valuations may not be added, however likely.
 * Source: Fourier-Motzkin elimination; JAX's _DecisionByElimination.
 */
#include "dim_table.h"

enum {
    PROVE_DEPTH = 6,
    PROVE_BUDGET = 256, /* polynomials looked at for one question */
    LONG_BUDGET = 48,   /* for one of more than LONG_TERMS terms: no index expression, and costly */
    LONG_TERMS = 12,
    PATIENCE = 64,      /* questions that may run out of budget (whole models have five); from then on all get */
    SHORT_BUDGET = 24,
    SIGN_DEPTH = 2,
    MAX_ATOMS = 24
};

typedef struct Prover {
    Context *cx;
    uint32_t budget;
} Prover;

static bool nonneg(Prover *, uint32_t set, Dim p, uint32_t depth);

/* ---- elimination of one atom -------------------------------------------------------------------------------------- */

/* 1: d >= 0, -1: d <= 0, 0: unknown. */
static int sign_of(Prover *v, uint32_t set, Dim d, uint32_t depth) {
    DimRange r = dim_interval(v->cx, set, d);
    if (r.min >= 0) return 1;
    if (r.max <= 0) return -1;
    depth = depth > SIGN_DEPTH ? SIGN_DEPTH : depth;
    if (nonneg(v, set, d, depth)) return 1;
    return nonneg(v, set, dim_muli(v->cx, d, -1), depth) ? -1 : 0;
}

typedef struct Split {
    Dim p, a, b;
    int sign; /* of a */
} Split;

/* With c*x >= bound (where a >= 0) or c*x <= bound (where a <= 0), c >= 1: is p >= 0? */
static bool with_bound(Prover *v, uint32_t set, const Split *s, Dim c, Dim bound, uint32_t depth) {
    Context *cx = v->cx;
    Dim exact = dim_fdiv(cx, s->a, c), goal;
    if (dim_same(dim_mul(cx, exact, c), s->a))
        goal = dim_add(cx, dim_mul(cx, exact, bound), s->b);
    else
        goal = dim_addi(cx, dim_add(cx, dim_mul(cx, s->a, bound), dim_mul(cx, c, dim_add(cx, s->b, dim_const(cx, 1)))), -1);
    return nonneg(v, set, goal, depth - 1);
}

static bool with_facts(Prover *v, uint32_t set, const Split *s, uint32_t atom, uint32_t depth) {
    Context *cx = v->cx;
    DimTable *t = dim_table(cx);
    FactSet facts = t->sets.at[set];
    uint64_t mask = t->atoms.at[atom].mask;
    Dim c, rest;
    for (uint32_t i = 0; i < facts.n && v->budget; i++) {
        if ((dim_entry(t, facts.nonneg[i])->mask & mask) != mask) continue;
        if (!dim_split_atom(cx, facts.nonneg[i], atom, &c, &rest)) continue;
        if (s->sign > 0) rest = dim_muli(cx, rest, -1); /* c*x >= -rest */
        else c = dim_muli(cx, c, -1);                   /* -c*x <= rest */
        if (dim_interval(cx, set, c).min >= 1 && with_bound(v, set, s, c, rest, depth)) return true;
    }
    return false;
}

static bool with_quotient(Prover *v, uint32_t set, const Split *s, Atom atom, uint32_t depth) {
    Context *cx = v->cx;
    int64_t n, multiple = dim_entry(dim_table(cx), atom.a)->multiple;
    bool constant = dim_const_value(cx, atom.b, &n);
    if (constant && n < 1) return false;
    Dim bound = atom.a; /* d*floor(x/d) <= x, and >= x - d + 1 unless d divides x */
    if (s->sign > 0 && !(constant && multiple % n == 0)) bound = dim_addi(cx, dim_sub(cx, bound, atom.b), 1);
    return with_bound(v, set, s, atom.b, bound, depth);
}

static bool by_cases(Prover *v, uint32_t set, const Split *s, Atom atom, uint32_t depth) {
    Context *cx = v->cx;
    Dim first = dim_add(cx, dim_mul(cx, s->a, atom.a), s->b), second = dim_add(cx, dim_mul(cx, s->a, atom.b), s->b);
    uint32_t set_a = set, set_b = set;
    if (atom.kind == ATOM_MAX) {
        set_a = fact_set_with(cx, set, dim_sub(cx, atom.a, atom.b));
        set_b = fact_set_with(cx, set, dim_sub(cx, atom.b, atom.a));
    }
    return nonneg(v, set_a, first, depth - 1) && nonneg(v, set_b, second, depth - 1);
}

static bool by_atom(Prover *v, uint32_t set, Dim p, uint32_t id, uint32_t depth) {
    Context *cx = v->cx;
    Atom atom = dim_atom(cx, id);
    Split s = {.p = p};
    if (!dim_split_atom(cx, p, id, &s.a, &s.b)) return false;
    if ((atom.kind == ATOM_MAX || atom.kind == ATOM_BCAST) && by_cases(v, set, &s, atom, depth)) return true;
    s.sign = sign_of(v, set, s.a, depth - 1);
    if (!s.sign) return false;
    if (atom.kind == ATOM_FDIV && with_quotient(v, set, &s, atom, depth)) return true;
    if (with_facts(v, set, &s, id, depth)) return true;
    DimRange r = atom_interval(cx, set, id);
    int64_t end = s.sign > 0 ? r.min : r.max;
    return end != INT64_MIN && end != INT64_MAX && with_bound(v, set, &s, dim_const(cx, 1), dim_const(cx, end), depth);
}

/* ---- the order of attack ------------------------------------------------------------------------------------------ */

typedef struct Atoms {
    uint32_t at[MAX_ATOMS], n;
} Atoms;

static void collect(Context *cx, Dim p, Atoms *atoms) {
    DimEntry e = *dim_entry(dim_table(cx), p);
    for (uint32_t i = 0; i < e.n; i++) {
        for (uint32_t f = 0; f < e.terms[i].n; f++) {
            uint32_t k = 0, atom = e.terms[i].factors[f].atom;
            while (k < atoms->n && atoms->at[k] != atom) k++;
            if (k == atoms->n && k < MAX_ATOMS) atoms->at[atoms->n++] = atom;
        }
    }
}

/* Loop indices go first, as their bounds are exact, unless a quotient speaks of them too. */
static int rank(Context *cx, const Atoms *atoms, uint32_t id) {
    const DimTable *t = dim_table(cx);
    const AtomEntry *entry = &t->atoms.at[id];
    if (entry->atom.kind == ATOM_MAX || entry->atom.kind == ATOM_BCAST) return 0;
    if (entry->atom.kind == ATOM_FDIV) return 2;
    if (t->symbols.at[entry->atom.symbol.id].info.kind != SYMBOL_INDEX) return 4;
    for (uint32_t i = 0; i < atoms->n; i++)
        if (atoms->at[i] != id && (t->atoms.at[atoms->at[i]].mask & entry->mask)) return 3;
    return 1;
}

static bool by_atoms(Prover *v, uint32_t set, Dim p, uint32_t depth) {
    Atoms atoms = {.n = 0};
    collect(v->cx, p, &atoms);
    for (int r = 0; r <= 4; r++)
        for (uint32_t i = 0; i < atoms.n && v->budget; i++)
            if (rank(v->cx, &atoms, atoms.at[i]) == r && by_atom(v, set, p, atoms.at[i], depth)) return true;
    return false;
}

/* p = l*m*f + rest with f >= 0 a fact, m >= 0 and l >= 1: rest >= 0 suffices.  For facts about products. */
static bool by_facts(Prover *v, uint32_t set, Dim p, uint32_t depth) {
    Context *cx = v->cx;
    DimTable *t = dim_table(cx);
    FactSet facts = t->sets.at[set];
    DimEntry e = *dim_entry(t, p);
    for (uint32_t i = 0; i < facts.n; i++) {
        DimEntry f = *dim_entry(t, facts.nonneg[i]);
        if (t->monomials.at[f.monomials[0]].degree < 2) continue;
        for (uint32_t k = 0; k < e.n && v->budget; k++) {
            uint32_t m;
            int64_t c = e.terms[k].coefficient, by = f.terms[0].coefficient;
            if ((c < 0) != (by < 0) || c / by < 1 || !monomial_div(cx, e.monomials[k], f.monomials[0], &m)) continue;
            if (monomial_interval(cx, set, m).min < 0) continue;
            Dim rest = dim_sub(cx, p, dim_mul(cx, dim_monomial(cx, c / by, m), facts.nonneg[i]));
            if (nonneg(v, set, rest, depth - 1)) return true;
        }
    }
    return false;
}

/* The greatest k in {1, 0, -1} with floor(y/d) - floor(x/d) >= k known; -2 where none is. */
static int64_t quotient_gap(Prover *v, uint32_t set, Dim y, Dim x, Dim d, uint32_t depth) {
    Dim gap = dim_sub(v->cx, y, x);
    for (int64_t k = 1; k >= -1; k--)
        if (nonneg(v, set, dim_sub(v->cx, gap, dim_muli(v->cx, d, k)), depth)) return k;
    return -2;
}

static uint32_t quotient_in(Context *cx, const DimEntry *e, uint32_t term, uint32_t from, Atom *atom, uint32_t *rest) {
    for (uint32_t f = from; f < e->terms[term].n; f++) {
        uint32_t id = e->terms[term].factors[f].atom;
        *atom = dim_atom(cx, id);
        uint32_t alone = dim_entry(dim_table(cx), dim_from_atom(cx, id))->monomials[0];
        if (atom->kind == ATOM_FDIV && !dim_is(cx, atom->b, 0) && monomial_div(cx, e->monomials[term], alone, rest))
            return f + 1;
    }
    return 0;
}

/* c*m*floor(y/d) - c*m*floor(x/d) >= c*m*k where m >= 0. */
static bool by_pairs(Prover *v, uint32_t set, Dim p, uint32_t depth) {
    Context *cx = v->cx;
    DimEntry e = *dim_entry(dim_table(cx), p);
    Atom y, x;
    uint32_t m, other;
    for (uint32_t i = 0; i < e.n; i++) {
        for (uint32_t f = 0; e.terms[i].coefficient > 0 && (f = quotient_in(cx, &e, i, f, &y, &m)) != 0;) {
            for (uint32_t j = 0; j < e.n; j++) {
                for (uint32_t g = 0; e.terms[j].coefficient < 0 && (g = quotient_in(cx, &e, j, g, &x, &other)) != 0;) {
                    if (other != m || !dim_same(x.b, y.b) || monomial_interval(cx, set, m).min < 0) continue;
                    int64_t k = quotient_gap(v, set, y.a, x.a, y.b, depth > SIGN_DEPTH ? SIGN_DEPTH : depth - 1);
                    int64_t c = e.terms[i].coefficient, d = e.terms[j].coefficient;
                    if (k < -1 || d == INT64_MIN) continue;
                    c = c < -d ? c : -d;
                    Dim rest = dim_sub(cx, p, dim_monomial(cx, c, e.monomials[i]));
                    rest = dim_add(cx, rest, dim_monomial(cx, c, e.monomials[j]));
                    rest = dim_add(cx, rest, dim_monomial(cx, c * k, m));
                    if (nonneg(v, set, rest, depth - 1)) return true;
                }
            }
        }
    }
    return false;
}

/* g*x + c >= 0 exactly where x + floor(c/g) >= 0 */
static Dim tighten(Context *cx, Dim p) {
    int64_t g = dim_content(cx, p);
    return g > 1 ? dim_divide_coefficients(cx, p, g) : p;
}

/* Memo: 1 proven, 2 + depth not found to that depth. */
static bool nonneg(Prover *v, uint32_t set, Dim p, uint32_t depth) {
    Context *cx = v->cx;
    DimTable *t = dim_table(cx);
    if (!p.id) return false;
    p = tighten(cx, p);
    if (v->budget) v->budget--;
    DimRange r = dim_interval(cx, set, p);
    if (r.min >= 0) return true;
    if (r.max < 0) return false;
    uint64_t key = (uint64_t)set << 32 | p.id;
    uint32_t known = map_get(&t->proved, key);
    if (known == 1) return true;
    if (!depth || !v->budget || known >= 2 + depth) return false;
    context_spend(cx, 1);
    bool fdiv = dim_entry(t, p)->depth > 0;
    bool proven = (fdiv && by_pairs(v, set, p, depth)) || by_atoms(v, set, p, depth) || by_facts(v, set, p, depth);
    if (proven || v->budget) map_set(&t->proved, key, proven ? 1 : 2 + depth);
    return proven;
}

bool dim_nonneg(Context *cx, uint32_t set, Dim d) {
    DimTable *t = dim_table(cx);
    uint64_t key = (uint64_t)set << 32 | d.id;
    if (map_get(&t->given_up, key)) return false;
    uint32_t budget = dim_entry(t, d)->n > LONG_TERMS ? LONG_BUDGET : PROVE_BUDGET;
    if (t->given_up.n >= PATIENCE) budget = SHORT_BUDGET;
    Prover v = {.cx = cx, .budget = budget};
    probe_begin(cx);
    bool proven = nonneg(&v, set, d, PROVE_DEPTH);
    probe_end(cx);
    if (!proven && !v.budget) map_set(&t->given_up, key, 1);
    return proven;
}

/* ---- relations ---------------------------------------------------------------------------------------------------- */

static bool negative(Context *cx, uint32_t set, Dim d) {
    return dim_nonneg(cx, set, dim_addi(cx, dim_muli(cx, d, -1), -1));
}

/* d = g*x + c with g known, and g does not divide c. */
static bool never_zero_by_multiple(Context *cx, Dim d) {
    int64_t c;
    Dim rest = dim_split_constant(cx, d, &c);
    int64_t g = dim_entry(dim_table(cx), rest)->multiple;
    return g > 1 && c % g != 0;
}

static Truth prove_equal(Context *cx, uint32_t set, Dim a, Dim b) {
    Dim d = dim_sub(cx, b, a), minus = dim_sub(cx, a, b);
    FactSet facts = dim_table(cx)->sets.at[set];
    int64_t value;
    if (dim_const_value(cx, d, &value)) return value ? NO : YES;
    for (uint32_t i = 0; i < facts.n_unequal; i++)
        if (dim_same(facts.unequal[i], d)) return NO;
    if (never_zero_by_multiple(cx, d)) return NO;
    bool le = dim_nonneg(cx, set, d), ge = dim_nonneg(cx, set, minus);
    if (le && ge) return YES;
    if (!ge && !le) return negative(cx, set, d) || negative(cx, set, minus) ? NO : UNKNOWN;
    return negative(cx, set, le ? minus : d) ? NO : UNKNOWN;
}

static Truth prove_nonneg(Context *cx, uint32_t set, Dim d) {
    return dim_nonneg(cx, set, d) ? YES : negative(cx, set, d) ? NO : UNKNOWN;
}

/* A divisor of d under the facts that n divides x, for a constant n and x = d. */
static int64_t multiple_under(Context *cx, const FactSet *facts, Dim d) {
    int64_t multiple = dim_entry(dim_table(cx), d)->multiple, n, product;
    for (uint32_t i = 0; i < facts->n_divides; i++) {
        if (!dim_same(facts->divides[i].b, d) || !dim_const_value(cx, facts->divides[i].a, &n) || !n) continue;
        int64_t g = gcd_i64(multiple, n);
        if (ck_mul(multiple / g, n, &product)) multiple = product;
    }
    return multiple;
}

/* The gcd over terms, each a product of what is known of its factors. */
static int64_t multiple_of_terms(Context *cx, const FactSet *facts, Dim d) {
    DimEntry e = *dim_entry(dim_table(cx), d);
    int64_t g = 0, next;
    for (uint32_t i = 0; i < e.n; i++) {
        int64_t product = e.terms[i].coefficient;
        for (uint32_t f = 0; f < e.terms[i].n; f++) {
            int64_t m = multiple_under(cx, facts, dim_from_atom(cx, e.terms[i].factors[f].atom));
            if (ck_mul(product, m, &next)) product = next;
        }
        g = gcd_i64(g, product);
    }
    return gcd_i64(g, 0);
}

static Truth prove_divides(Context *cx, uint32_t set, Dim a, Dim b) {
    FactSet facts = dim_table(cx)->sets.at[set];
    int64_t n, c;
    for (uint32_t i = 0; i < facts.n_divides; i++)
        if (dim_same(facts.divides[i].a, a) && dim_same(facts.divides[i].b, b)) return YES;
    if (dim_is(cx, b, 0)) return YES;
    if (!dim_const_value(cx, a, &n)) {
        /* an exact quotient is an identity of polynomials, whatever a is */
        return dim_same(dim_mul(cx, dim_fdiv(cx, b, a), a), b) ? YES : UNKNOWN;
    }
    if (n < 0 && n != INT64_MIN) n = -n;
    if (n < 1) return UNKNOWN;
    if (multiple_of_terms(cx, &facts, b) % n == 0 || multiple_under(cx, &facts, b) % n == 0) return YES;
    Dim rest = dim_split_constant(cx, b, &c);
    int64_t g = gcd_i64(multiple_of_terms(cx, &facts, rest), n);
    return c % g != 0 ? NO : UNKNOWN;
}

static Truth prove_relation(Context *cx, uint32_t set, Relation relation, Dim a, Dim b) {
    Truth equal;
    switch (relation) {
    case REL_EQ: return prove_equal(cx, set, a, b);
    case REL_NE: equal = prove_equal(cx, set, a, b); return equal == YES ? NO : equal == NO ? YES : UNKNOWN;
    case REL_LE: return prove_nonneg(cx, set, dim_sub(cx, b, a));
    case REL_LT: return prove_nonneg(cx, set, dim_addi(cx, dim_sub(cx, b, a), -1));
    case REL_DIVIDES: return prove_divides(cx, set, a, b);
    }
    return UNKNOWN;
}

static Truth prove_under(Context *cx, uint32_t set, Relation relation, Dim a, Dim b) {
    probe_begin(cx);
    Truth truth = prove_relation(cx, set, relation, a, b);
    probe_end(cx);
    return truth;
}

Truth prove(Context *cx, const Scope *scope, Relation relation, Dim a, Dim b) {
    if (!a.id || !b.id) return UNKNOWN;
    uint32_t set = fact_set_with_divisors(cx, fact_set_with_divisors(cx, fact_set(cx, scope), a), b);
    Truth truth = prove_under(cx, set, relation, a, b);
    if (truth != UNKNOWN) return truth;
    /* quotients that the facts decide are worth another look */
    Dim x = dim_simplify_under(cx, set, a), y = dim_simplify_under(cx, set, b);
    return dim_same(x, a) && dim_same(y, b) ? UNKNOWN : prove_under(cx, set, relation, x, y);
}

void dim_range(Context *cx, const Scope *scope, Dim d, int64_t *min, int64_t *max) {
    uint32_t set = d.id ? fact_set_with_divisors(cx, fact_set(cx, scope), d) : 0;
    DimRange r = dim_interval(cx, set, d);
    if (d.id && r.min < 0 && r.max >= 0 && dim_nonneg(cx, set, d)) r.min = 0;
    *min = r.min;
    *max = r.max;
}
