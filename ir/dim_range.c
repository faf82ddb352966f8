/* dim_range.c: intervals and divisors of dims, by birth ranges (fact set 0) or also under the facts of a scope.
 *
 * The normal form and the prover both stand on this.  Scopes are flattened and interned as fact sets, so that answers
 * can be remembered by id.
 *
 * Invariants: intervals contain every value over the integers (not over int64: ends saturate outwards); divisors of
 * fdiv are >= 1.  A mod pair, c*x - c*n*floor(x/n), is c*[0, n-1] whatever the interval of x.
 */
#include <string.h>

#include "dim_table.h"

/* ---- interval arithmetic ------------------------------------------------------------------------------------------ */

static const DimRange everything = {INT64_MIN, INT64_MAX};

/* A lower end is never +infinity, nor an upper one -infinity: what saturated that way gives up one. */
static DimRange range_of(int64_t min, int64_t max) {
    return (DimRange){min == INT64_MAX ? INT64_MAX - 1 : min, max == INT64_MIN ? INT64_MIN + 1 : max};
}

static DimRange range_add(DimRange a, DimRange b) { return range_of(sat_add(a.min, b.min), sat_add(a.max, b.max)); }

static DimRange range_mul(DimRange a, DimRange b) {
    int64_t corner[4] = {sat_mul(a.min, b.min), sat_mul(a.min, b.max), sat_mul(a.max, b.min), sat_mul(a.max, b.max)};
    int64_t min = corner[0], max = corner[0];
    for (int i = 1; i < 4; i++) {
        min = corner[i] < min ? corner[i] : min;
        max = corner[i] > max ? corner[i] : max;
    }
    return range_of(min, max);
}

static DimRange range_hull(DimRange a, DimRange b) {
    return (DimRange){a.min < b.min ? a.min : b.min, a.max > b.max ? a.max : b.max};
}

static DimRange range_meet(DimRange a, DimRange b) {
    DimRange r = {a.min > b.min ? a.min : b.min, a.max < b.max ? a.max : b.max};
    /* contradictory facts: any answer is right, a well-formed one is convenient */
    if (r.min > r.max) r.max = r.min;
    return range_of(r.min, r.max);
}

static int64_t floor_end(int64_t a, int64_t b) {
    if (b == INT64_MAX) return a >= 0 && a != INT64_MAX ? 0 : a == INT64_MIN || a == INT64_MAX ? a : -1;
    return a == INT64_MIN || a == INT64_MAX ? a : floor_div(a, b);
}

static DimRange range_fdiv(DimRange a, DimRange b) {
    int64_t low = b.min < 1 ? 1 : b.min, high = b.max < low ? low : b.max;
    return range_of(floor_end(a.min, a.min >= 0 ? high : low), floor_end(a.max, a.max >= 0 ? low : high));
}

static DimRange range_power(DimRange a, uint32_t power) {
    DimRange r = a;
    for (uint32_t i = 1; i < power; i++) r = range_mul(r, a);
    if (power % 2 == 0 && r.min < 0) r.min = 0;
    return r;
}

/* ---- facts about one atom ----------------------------------------------------------------------------------------- */

/* f >= 0 with f = c*atom + k bounds the atom by a constant. */
static DimRange meet_fact(Context *cx, DimRange range, Dim fact, uint32_t atom) {
    const DimTable *t = dim_table(cx);
    const DimEntry *f = dim_entry(t, fact);
    if (!f->n || f->n > 2 || f->terms[0].n != 1 || f->terms[0].factors[0].power != 1) return range;
    if (f->terms[0].factors[0].atom != atom || (f->n == 2 && f->terms[1].n)) return range;
    int64_t c = f->terms[0].coefficient, k = f->n == 2 ? f->terms[1].coefficient : 0;
    if (c == INT64_MIN || k == INT64_MIN) return range;
    /* c*x >= -k: x >= ceiling(-k/c), or for c < 0, x <= floor(k/-c) */
    if (c > 0) return range_meet(range, (DimRange){-floor_div(k, c), INT64_MAX});
    return range_meet(range, (DimRange){INT64_MIN, floor_div(k, -c)});
}

/* max(a, b) >= (a + b) / 2, which is a number where they oppose each other: max(x, -x) is |x|. */
static int64_t opposed_min(Context *cx, Atom atom, int64_t min) {
    int64_t sum;
    if (min >= 0 || !dim_const_value(cx, dim_add(cx, atom.a, atom.b), &sum) || sum == INT64_MAX) return min;
    int64_t half = floor_div(sum + 1, 2);
    return half > min ? half : min;
}

DimRange atom_interval(Context *cx, uint32_t set, uint32_t atom) {
    DimTable *t = dim_table(cx);
    AtomEntry entry = t->atoms.at[atom];
    DimRange r = entry.range;
    FactSet facts = t->sets.at[set];
    if (entry.atom.kind != ATOM_SYMBOL) {
        DimRange a = dim_interval(cx, set, entry.atom.a), b = dim_interval(cx, set, entry.atom.b);
        if (entry.atom.kind == ATOM_FDIV && !dim_is(cx, entry.atom.b, 0)) r = range_meet(r, range_fdiv(a, b));
        if (entry.atom.kind == ATOM_BCAST) r = range_meet(r, range_hull(a, b));
        if (entry.atom.kind == ATOM_MAX) {
            r = range_meet(r, (DimRange){a.min > b.min ? a.min : b.min, a.max > b.max ? a.max : b.max});
            r.min = opposed_min(cx, entry.atom, r.min);
        }
    }
    for (uint32_t i = 0; i < facts.n; i++) r = meet_fact(cx, r, facts.nonneg[i], atom);
    return r;
}

DimRange monomial_interval(Context *cx, uint32_t set, uint32_t monomial) {
    Monomial m = dim_table(cx)->monomials.at[monomial];
    DimRange r = {1, 1};
    for (uint32_t i = 0; i < m.n; i++)
        r = range_mul(r, range_power(atom_interval(cx, set, m.factors[i].atom), m.factors[i].power));
    return r;
}

int64_t monomial_multiple(Context *cx, uint32_t monomial) {
    const DimTable *t = dim_table(cx);
    Monomial m = t->monomials.at[monomial];
    int64_t product = 1, next;
    for (uint32_t i = 0; i < m.n; i++)
        for (uint32_t p = 0; p < m.factors[i].power; p++)
            if (ck_mul(product, t->atoms.at[m.factors[i].atom].multiple, &next)) product = next;
    return product;
}

int64_t dim_multiple(Context *cx, Dim d) { return dim_entry(dim_table(cx), d)->multiple; }

/* ---- intervals of dims -------------------------------------------------------------------------------------------- */

/* d = rest + c*m*(x mod n) with n*c*m*floor(x/n) a term of d. */
typedef struct ModPair {
    Dim rest;
    int64_t c, n;
    uint32_t m;
} ModPair;

static bool mod_pair(Context *cx, Dim d, uint32_t i, uint32_t atom_id, ModPair *pair) {
    DimTable *t = dim_table(cx);
    const DimEntry *e = dim_entry(t, d);
    Atom atom = dim_atom(cx, atom_id);
    int64_t coefficient = e->terms[i].coefficient;
    if (atom.kind != ATOM_FDIV || !dim_const_value(cx, atom.b, &pair->n) || pair->n <= 0) return false;
    if (coefficient % pair->n || coefficient == INT64_MIN) return false;
    Dim quotient = dim_from_atom(cx, atom_id);
    if (!monomial_div(cx, dim_entry(t, d)->monomials[i], dim_entry(t, quotient)->monomials[0], &pair->m)) return false;
    pair->c = -(coefficient / pair->n);
    Dim mod = dim_sub(cx, atom.a, dim_muli(cx, quotient, pair->n));
    pair->rest = dim_sub(cx, d, dim_mul(cx, dim_monomial(cx, pair->c, pair->m), mod));
    return pair->rest.id != 0;
}

/* Only the pair that leaves the fewest terms is followed, and only if they are fewer: trying all would be exponential. */
static DimRange meet_mod_pairs(Context *cx, uint32_t set, Dim d, DimRange range) {
    DimTable *t = dim_table(cx);
    DimEntry e = *dim_entry(t, d);
    ModPair pair, best = {.n = 0};
    uint32_t fewest = e.n;
    for (uint32_t i = 0; i < e.n; i++) {
        for (uint32_t f = 0; f < e.terms[i].n; f++) {
            if (!mod_pair(cx, d, i, e.terms[i].factors[f].atom, &pair)) continue;
            if (dim_entry(t, pair.rest)->n >= fewest) continue;
            fewest = dim_entry(t, pair.rest)->n;
            best = pair;
        }
    }
    if (!best.n) return range;
    DimRange mod = range_mul(range_mul((DimRange){best.c, best.c}, (DimRange){0, best.n - 1}),
                             monomial_interval(cx, set, best.m));
    return range_meet(range, range_add(dim_interval(cx, set, best.rest), mod));
}

static DimRange interval(Context *cx, uint32_t set, Dim d) {
    DimEntry e = *dim_entry(dim_table(cx), d);
    DimRange r = {0, 0};
    bool fdiv = false;
    for (uint32_t i = 0; i < e.n; i++) {
        int64_t c = e.terms[i].coefficient;
        DimRange m = monomial_interval(cx, set, e.monomials[i]);
        r = range_add(r, range_mul((DimRange){c, c}, m));
        for (uint32_t f = 0; f < e.terms[i].n; f++)
            fdiv |= dim_atom(cx, e.terms[i].factors[f].atom).kind == ATOM_FDIV;
    }
    if (!fdiv || e.n < 2) return r;
    probe_begin(cx);
    r = meet_mod_pairs(cx, set, d, r);
    probe_end(cx);
    return r;
}

DimRange dim_interval(Context *cx, uint32_t set, Dim d) {
    DimTable *t = dim_table(cx);
    const DimEntry *e = dim_entry(t, d);
    if (!d.id) return everything;
    if (e->n <= 1 && (!e->n || !e->terms[0].n)) {
        int64_t value = e->n ? e->terms[0].coefficient : 0;
        return range_of(value == INT64_MIN ? INT64_MIN : value, value);
    }
    if (!set && e->ranged) return e->range;
    uint64_t key = (uint64_t)set << 32 | d.id;
    uint32_t at = set ? map_get(&t->ranged, key) : 0;
    if (at) return t->ranges.at[at];
    DimRange r = interval(cx, set, d);
    if (set) {
        vec_push(t->arena, &t->ranges, r);
        map_set(&t->ranged, key, t->ranges.n - 1);
    } else {
        t->dims.at[d.id].range = r;
        t->dims.at[d.id].ranged = true;
    }
    return r;
}

DimRange dim_birth(Context *cx, Dim d) { return dim_interval(cx, 0, d); }

DimRange dim_birth_difference(Context *cx, Dim a, Dim b) {
    probe_begin(cx);
    Dim d = dim_sub(cx, a, b);
    probe_end(cx);
    return dim_birth(cx, d);
}

/* ---- fact sets ---------------------------------------------------------------------------------------------------- */

enum { MAX_FACTS = 96, MAX_OTHER = 24 };

typedef struct Building {
    Dim nonneg[MAX_FACTS], unequal[MAX_OTHER];
    Fact divides[MAX_OTHER];
    uint32_t n, n_unequal, n_divides;
} Building;

static void build_dim(Dim *at, uint32_t *n, uint32_t cap, Dim d) {
    for (uint32_t i = 0; i < *n; i++)
        if (dim_same(at[i], d)) return;
    if (d.id && *n < cap) at[(*n)++] = d;
}

/* What birth ranges say already is no news. */
static void build_nonneg(Context *cx, Building *b, Dim d) {
    if (d.id && dim_birth(cx, d).min < 0) build_dim(b->nonneg, &b->n, MAX_FACTS, d);
}

/* Every fdiv was built on divisor >= 1; so it is a fact wherever the quotient is spoken of. */
static void build_divisors(Context *cx, Building *b, Dim d, uint64_t stamp) {
    DimTable *t = dim_table(cx);
    DimEntry e = *dim_entry(t, d);
    if (!e.depth) return;
    for (uint32_t i = 0; i < e.n; i++) {
        for (uint32_t f = 0; f < e.terms[i].n; f++) {
            AtomEntry *entry = &t->atoms.at[e.terms[i].factors[f].atom];
            Atom atom = entry->atom;
            if (atom.kind == ATOM_SYMBOL || entry->stamp == stamp) continue;
            entry->stamp = stamp;
            if (atom.kind == ATOM_FDIV && !dim_is(cx, atom.b, 0)) build_nonneg(cx, b, dim_addi(cx, atom.b, -1));
            build_divisors(cx, b, atom.a, stamp);
            build_divisors(cx, b, atom.b, stamp);
        }
    }
}

static void build_fact(Context *cx, Building *b, const Fact *fact, uint64_t stamp) {
    if (!fact->a.id || !fact->b.id) return;
    Dim difference = dim_sub(cx, fact->b, fact->a);
    build_divisors(cx, b, fact->a, stamp);
    build_divisors(cx, b, fact->b, stamp);
    switch (fact->relation) {
    case REL_EQ:
        build_nonneg(cx, b, difference);
        build_nonneg(cx, b, dim_muli(cx, difference, -1));
        break;
    case REL_LE: build_nonneg(cx, b, difference); break;
    case REL_LT: build_nonneg(cx, b, dim_addi(cx, difference, -1)); break;
    case REL_NE:
        build_dim(b->unequal, &b->n_unequal, MAX_OTHER, difference);
        build_dim(b->unequal, &b->n_unequal, MAX_OTHER, dim_muli(cx, difference, -1));
        break;
    case REL_DIVIDES:
        if (b->n_divides < MAX_OTHER) b->divides[b->n_divides++] = *fact;
        break;
    }
}

static uint32_t intern_set(Context *cx, const Building *b) {
    DimTable *t = dim_table(cx);
    if (!b->n && !b->n_divides && !b->n_unequal) return 0;
    uint64_t key = hash_bytes(b->nonneg, b->n * sizeof *b->nonneg, b->n_divides);
    key = hash_bytes(b->unequal, b->n_unequal * sizeof *b->unequal, key);
    key = hash_bytes(b->divides, b->n_divides * sizeof *b->divides, key);
    uint32_t cursor = 0, id;
    while ((id = map_next(&t->set_map, key, &cursor)) != 0) {
        const FactSet *s = &t->sets.at[id];
        if (s->n == b->n && s->n_divides == b->n_divides && s->n_unequal == b->n_unequal &&
            (!b->n || !memcmp(s->nonneg, b->nonneg, b->n * sizeof *b->nonneg)) &&
            (!b->n_unequal || !memcmp(s->unequal, b->unequal, b->n_unequal * sizeof *b->unequal)) &&
            (!b->n_divides || !memcmp(s->divides, b->divides, b->n_divides * sizeof *b->divides)))
            return id;
    }
    FactSet s = {.n = b->n, .n_divides = b->n_divides, .n_unequal = b->n_unequal};
    s.nonneg = arena_copy(t->arena, b->nonneg, b->n * sizeof *b->nonneg);
    s.unequal = arena_copy(t->arena, b->unequal, b->n_unequal * sizeof *b->unequal);
    s.divides = arena_copy(t->arena, b->divides, b->n_divides * sizeof *b->divides);
    id = t->sets.n;
    vec_push(t->arena, &t->sets, s);
    map_add(&t->set_map, key, id);
    return id;
}

/* f >= 0 and f != 0 give f >= 1. */
static void sharpen(Context *cx, Building *b) {
    for (uint32_t i = 0; i < b->n_unequal; i++) {
        if (dim_birth(cx, b->unequal[i]).min == 0) build_nonneg(cx, b, dim_addi(cx, b->unequal[i], -1));
        for (uint32_t j = 0; j < b->n; j++)
            if (dim_same(b->nonneg[j], b->unequal[i])) build_nonneg(cx, b, dim_addi(cx, b->nonneg[j], -1));
    }
}

/* Innermost facts first: what does not fit is the outermost, and dropping a fact is always sound. */
uint32_t fact_set(Context *cx, const Scope *scope) {
    if (!scope) return 0;
    DimTable *t = dim_table(cx);
    Building b;
    b.n = b.n_unequal = b.n_divides = 0;
    uint64_t stamp = ++t->stamp;
    probe_begin(cx);
    for (; scope; scope = scope->parent)
        for (uint32_t i = 0; i < scope->n; i++) build_fact(cx, &b, &scope->facts[i], stamp);
    sharpen(cx, &b);
    probe_end(cx);
    return intern_set(cx, &b);
}

static void load_set(const FactSet *s, Building *b) {
    b->n = s->n;
    b->n_unequal = s->n_unequal;
    b->n_divides = s->n_divides;
    for (uint32_t i = 0; i < s->n; i++) b->nonneg[i] = s->nonneg[i];
    for (uint32_t i = 0; i < s->n_unequal; i++) b->unequal[i] = s->unequal[i];
    for (uint32_t i = 0; i < s->n_divides; i++) b->divides[i] = s->divides[i];
}

uint32_t fact_set_with(Context *cx, uint32_t set, Dim nonneg) {
    Building b;
    load_set(&dim_table(cx)->sets.at[set], &b);
    build_nonneg(cx, &b, nonneg);
    return intern_set(cx, &b);
}

uint32_t fact_set_with_divisors(Context *cx, uint32_t set, Dim d) {
    DimTable *t = dim_table(cx);
    if (!dim_entry(t, d)->depth) return set;
    Building b;
    load_set(&t->sets.at[set], &b);
    probe_begin(cx);
    build_divisors(cx, &b, d, ++t->stamp);
    probe_end(cx);
    return intern_set(cx, &b);
}
