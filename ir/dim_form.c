/* dim_form.c: the normal form of floor division, max, min and bcast.
 *
 * Every rule is an identity over all integer valuations within the birth ranges in which divisors are >= 1 (and, for
 * bcast, in which the extents are compatible); facts of a scope are dim_simplify's business, or ids would depend on them.
 * mod, ceiling division and min are sugar.  An atom is made only where no rule applies, so rebuilding one gives itself.
 *
 * Rules try things out between probe_begin and probe_end: what would not fit in a dim makes them not apply.
 *
 * Why no rationals: ceiling(d/2 - 1/2) and floor(d/2) never meet; floor((d-1+1)/2) and floor(d/2) do.
 * Source: reference prototype (17 of its 18 identities are normal forms; prove() finds the last).
 */
#include "dim_table.h"

static Dim sum(Context *cx, Dim q, Dim rest) { return dim_is(cx, q, 0) ? rest : dim_add(cx, q, rest); }

/* What is built, and remembered, may not depend on who asks. */
static uint32_t leave_probe(Context *cx) {
    uint32_t probing = dim_table(cx)->probing;
    dim_table(cx)->probing = 0;
    return probing;
}

/* Operands too deep become let-symbols, and the rules look at those again: what is read back must be what was made. */
static Dim new_quotient(Context *cx, Dim a, Dim b) {
    bool deep_a = dim_too_deep(cx, ATOM_FDIV, a), deep_b = dim_too_deep(cx, ATOM_FDIV, b);
    if (deep_a || deep_b) return dim_fdiv(cx, deep_a ? dim_let(cx, a) : a, deep_b ? dim_let(cx, b) : b);
    return dim_new_atom(cx, ATOM_FDIV, a, b);
}

/* ---- floor division by a constant --------------------------------------------------------------------------------- */

/* floor((floor(x/d) + c) / b) => floor((x + c*d) / (b*d)) */
static bool nested(Context *cx, Dim a, Dim b, Dim *result) {
    int64_t c, by, outer, product;
    uint32_t atom;
    Dim rest = dim_split_constant(cx, a, &c);
    if (!dim_is_atom(cx, rest, &atom)) return false;
    Atom inner = dim_atom(cx, atom);
    if (inner.kind != ATOM_FDIV) return false;
    if (dim_const_value(cx, inner.b, &by)) {
        if (by <= 0 || !ck_mul(by, c, &product)) return false;
        if (dim_const_value(cx, b, &outer) && !ck_mul(by, outer, &product)) return false;
    }
    probe_begin(cx);
    *result = dim_fdiv(cx, dim_add(cx, inner.a, dim_muli(cx, inner.b, c)), dim_mul(cx, b, inner.b));
    probe_end(cx);
    return result->id != 0;
}

/* Coefficients nearest to 0 keep intervals short: 63*j + 63 over 64 is j + floor((63 - j)/64), which is j. */
static bool decided_by_range(Context *cx, Dim a, int64_t n, Dim *result) {
    DimTable *t = dim_table(cx);
    Dim quotient = dim_const(cx, 0);
    DimEntry e = *dim_entry(t, a);
    for (uint32_t i = 0; i < e.n; i++)
        if (e.terms[i].n && e.terms[i].coefficient > n / 2)
            quotient = dim_add(cx, quotient, dim_monomial(cx, 1, e.monomials[i]));
    probe_begin(cx);
    DimRange r = dim_birth(cx, dim_sub(cx, a, dim_muli(cx, quotient, n)));
    probe_end(cx);
    if (r.min == INT64_MIN || r.max == INT64_MAX || floor_div(r.min, n) != floor_div(r.max, n)) return false;
    *result = dim_addi(cx, quotient, floor_div(r.min, n));
    return true;
}

/* Every part of a but its constant is a multiple of this; 0 where a is constant. */
static int64_t multiple_of_rest(Context *cx, Dim a) {
    const DimEntry *e = dim_entry(dim_table(cx), a);
    int64_t g = 0, multiple;
    for (uint32_t i = 0; i < e->n; i++) {
        if (!e->terms[i].n) continue;
        if (!ck_mul(e->terms[i].coefficient, monomial_multiple(cx, e->monomials[i]), &multiple)) multiple = 1;
        g = gcd_i64(g, multiple);
    }
    return g;
}

static Dim fdiv_const(Context *cx, Dim a, int64_t n) {
    int64_t c;
    Dim by = dim_const(cx, n), result;
    /* floor((q*n + r) / n) => q + floor(r/n), each coefficient of r in [0, n) */
    Dim q = dim_divide_coefficients(cx, a, n);
    if (!dim_is(cx, q, 0)) return dim_add(cx, q, dim_fdiv(cx, dim_sub(cx, a, dim_muli(cx, q, n)), by));
    if (dim_const_value(cx, a, &c)) return dim_const(cx, floor_div(c, n));
    if (decided_by_range(cx, a, n, &result)) return result;
    /* floor((g*x + c) / (g*m)) => floor((x + floor(c/g)) / m) */
    int64_t g = gcd_i64(dim_content(cx, a), n);
    if (g > 1) return dim_fdiv(cx, dim_divide_coefficients(cx, a, g), dim_const(cx, n / g));
    /* the same where x's symbols bring the factor: what c has beyond a multiple of g never carries */
    g = gcd_i64(multiple_of_rest(cx, a), n);
    dim_split_constant(cx, a, &c);
    if (c % g) return dim_fdiv(cx, dim_addi(cx, a, -(c % g)), by);
    if (nested(cx, a, by, &result)) return result;
    return new_quotient(cx, a, by);
}

/* ---- floor division by a symbolic divisor ------------------------------------------------------------------------- */

/* a = q*b + r, r without terms that b's leading term divides.  false where it does not come to an end within limits. */
static bool divide(Context *cx, Dim a, Dim b, Dim *q, Dim *r) {
    DimTable *t = dim_table(cx);
    DimEntry by = *dim_entry(t, b);
    int64_t lead = by.terms[0].coefficient;
    *q = *r = dim_const(cx, 0);
    if (lead == INT64_MIN) return false;
    for (int fuel = 64; fuel; fuel--) {
        if (!a.id || !q->id || !r->id) return false;
        DimEntry e = *dim_entry(t, a);
        if (!e.n) return true;
        uint32_t m;
        int64_t size = lead < 0 ? -lead : lead, k = floor_div(e.terms[0].coefficient, size);
        if (k && k != INT64_MIN && monomial_div(cx, e.monomials[0], by.monomials[0], &m)) {
            Dim x = dim_monomial(cx, lead < 0 ? -k : k, m);
            *q = dim_add(cx, *q, x);
            a = dim_sub(cx, a, dim_mul(cx, x, b));
        } else {
            Dim x = dim_monomial(cx, e.terms[0].coefficient, e.monomials[0]);
            *r = dim_add(cx, *r, x);
            a = dim_sub(cx, a, x);
        }
    }
    return false;
}

static uint32_t common_monomial(Context *cx, Dim a, uint32_t m) {
    DimEntry e = *dim_entry(dim_table(cx), a);
    for (uint32_t i = 0; i < e.n && m; i++) m = monomial_gcd(cx, m, e.monomials[i]);
    return m;
}

static Dim divide_monomial(Context *cx, Dim a, uint32_t m) {
    DimEntry e = *dim_entry(dim_table(cx), a);
    Dim result = dim_const(cx, 0);
    uint32_t quotient = 0;
    for (uint32_t i = 0; i < e.n; i++)
        if (monomial_div(cx, e.monomials[i], m, &quotient))
            result = dim_add(cx, result, dim_monomial(cx, e.terms[i].coefficient, quotient));
    return result;
}

/* a in [k*b, (k+1)*b) by birth ranges, for k = 0 and -1. */
static bool within(Context *cx, Dim a, Dim b, Dim *result) {
    DimRange r = dim_birth(cx, a);
    probe_begin(cx);
    bool zero = r.min >= 0 && dim_birth(cx, dim_sub(cx, b, a)).min >= 1;
    bool minus_one = r.max < 0 && dim_birth(cx, dim_add(cx, a, b)).min >= 0;
    probe_end(cx);
    *result = dim_const(cx, zero ? 0 : -1);
    return zero || minus_one;
}

static Dim fdiv_symbolic(Context *cx, Dim a, Dim b) {
    Dim q, r, result;
    if (dim_is(cx, a, 0)) return a;
    probe_begin(cx);
    bool divided = divide(cx, a, b, &q, &r);
    probe_end(cx);
    if (divided && !dim_is(cx, q, 0)) return dim_add(cx, q, dim_fdiv(cx, r, b));
    if (within(cx, a, b, &result)) return result;
    DimEntry by = *dim_entry(dim_table(cx), b);
    int64_t g = gcd_i64(dim_content(cx, a), dim_content(cx, b)), c;
    dim_split_constant(cx, b, &c);
    g = gcd_i64(g, c);
    if (g > 1) return dim_fdiv(cx, dim_divide_coefficients(cx, a, g), dim_divide_coefficients(cx, b, g));
    /* floor(m*a / (m*b)) => floor(a/b); m*b >= 1 and m >= 0 make b >= 1 */
    uint32_t m = common_monomial(cx, a, common_monomial(cx, b, by.monomials[0]));
    if (m && monomial_interval(cx, 0, m).min >= 0)
        return dim_fdiv(cx, divide_monomial(cx, a, m), divide_monomial(cx, b, m));
    if (nested(cx, a, b, &result)) return result;
    return new_quotient(cx, a, b);
}

static Dim fdiv(Context *cx, Dim a, Dim b) {
    int64_t n;
    if (!dim_const_value(cx, b, &n)) return fdiv_symbolic(cx, a, b);
    if (n == 1) return a;
    if (n > 0) return fdiv_const(cx, a, n);
    /* no value: dim_eval says so, and nothing is decided */
    if (n == 0 || n == INT64_MIN) return new_quotient(cx, a, b);
    return dim_fdiv(cx, dim_muli(cx, a, -1), dim_const(cx, -n));
}

Dim dim_fdiv(Context *cx, Dim a, Dim b) {
    Dim result;
    if (!a.id || !b.id) return (Dim){0};
    if (dim_memo_get(cx, MEMO_FDIV, a, b, &result)) return result;
    uint32_t probing = leave_probe(cx);
    result = fdiv(cx, a, b);
    dim_table(cx)->probing = probing;
    return dim_memo_set(cx, MEMO_FDIV, a, b, result);
}

/* ceiling(a/b) => floor((a + b - 1) / b) */
Dim dim_cdiv(Context *cx, Dim a, Dim b) { return dim_fdiv(cx, dim_addi(cx, dim_add(cx, a, b), -1), b); }

Dim dim_mod(Context *cx, Dim a, Dim b) {
    int64_t n;
    if (!a.id || !b.id) return (Dim){0};
    if (dim_const_value(cx, b, &n) && n > 0 && dim_entry(dim_table(cx), a)->multiple % n == 0) return dim_const(cx, 0);
    return dim_sub(cx, a, dim_mul(cx, b, dim_fdiv(cx, a, b)));
}

/* ---- max ---------------------------------------------------------------------------------------------------------- */

typedef struct Leaves {
    Dim at[DIM_LEAVES];
    uint32_t n;
} Leaves;

/* Where flattening gives too many. */
static Leaves let_leaves(Context *cx, Dim a, Dim b) { return (Leaves){.at = {dim_let(cx, a), dim_let(cx, b)}, .n = 2}; }

static bool push_leaf(Leaves *leaves, Dim d) {
    for (uint32_t i = 0; i < leaves->n; i++)
        if (dim_same(leaves->at[i], d)) return true;
    if (leaves->n == DIM_LEAVES) return false;
    leaves->at[leaves->n++] = d;
    return true;
}

/* c*max(x,y) + r => max(c*x + r, c*y + r) for c > 0: as an operand of another max.  false: too many leaves. */
static bool max_leaves(Context *cx, Dim d, Leaves *leaves) {
    DimTable *t = dim_table(cx);
    DimEntry e = *dim_entry(t, d);
    for (uint32_t i = 0; i < e.n; i++) {
        if (e.terms[i].n != 1 || e.terms[i].factors[0].power != 1 || e.terms[i].coefficient < 0) continue;
        Atom atom = dim_atom(cx, e.terms[i].factors[0].atom);
        if (atom.kind != ATOM_MAX) continue;
        int64_t c = e.terms[i].coefficient;
        Dim rest = dim_sub(cx, d, dim_monomial(cx, c, e.monomials[i]));
        return max_leaves(cx, dim_add(cx, dim_muli(cx, atom.a, c), rest), leaves) &&
               max_leaves(cx, dim_add(cx, dim_muli(cx, atom.b, c), rest), leaves);
    }
    return push_leaf(leaves, d);
}

/* max(x, y) => x where x >= y by birth ranges */
static void drop_dominated(Context *cx, Leaves *leaves) {
    for (uint32_t i = 0; i < leaves->n;) {
        uint32_t j = 0;
        while (j < leaves->n && (j == i || dim_birth_difference(cx, leaves->at[j], leaves->at[i]).min < 0)) j++;
        if (j == leaves->n)
            i++;
        else
            leaves->at[i] = leaves->at[--leaves->n], i = 0;
    }
}

static void sort_leaves(Context *cx, Leaves *leaves) {
    const DimTable *t = dim_table(cx);
    for (uint32_t i = 1; i < leaves->n; i++) {
        Dim d = leaves->at[i];
        uint32_t j = i;
        for (; j && dim_compare(t, leaves->at[j - 1], d) > 0; j--) leaves->at[j] = leaves->at[j - 1];
        leaves->at[j] = d;
    }
}

/* The terms that all leaves share, and the least of their constants. */
static Dim common_terms(Context *cx, const Leaves *leaves) {
    DimTable *t = dim_table(cx);
    DimEntry first = *dim_entry(t, leaves->at[0]);
    int64_t least = INT64_MAX, c;
    for (uint32_t i = 0; i < leaves->n; i++) {
        dim_split_constant(cx, leaves->at[i], &c);
        least = c < least ? c : least;
    }
    Dim common = dim_const(cx, least);
    for (uint32_t k = 0; k < first.n; k++) {
        bool shared = first.terms[k].n != 0;
        for (uint32_t i = 1; i < leaves->n && shared; i++) {
            const DimEntry *e = dim_entry(t, leaves->at[i]);
            shared = false;
            for (uint32_t j = 0; j < e->n && !shared; j++)
                shared = e->monomials[j] == first.monomials[k] && e->terms[j].coefficient == first.terms[k].coefficient;
        }
        if (shared) common = dim_add(cx, common, dim_monomial(cx, first.terms[k].coefficient, first.monomials[k]));
    }
    return common;
}

static bool let_deep_leaves(Context *cx, AtomKind kind, Leaves *leaves) {
    bool any = false;
    for (uint32_t i = 0; i < leaves->n; i++) {
        if (!dim_too_deep(cx, kind, leaves->at[i])) continue;
        leaves->at[i] = dim_let(cx, leaves->at[i]);
        any = true;
    }
    return any;
}

static Leaves rest_of(const Leaves *leaves) {
    Leaves rest = {.n = 0};
    for (uint32_t i = 1; i < leaves->n; i++) rest.at[rest.n++] = leaves->at[i];
    return rest;
}

static Dim max_of(Context *, Leaves);

static bool simpler(Context *cx, const Leaves *a, const Leaves *b) {
    const DimTable *t = dim_table(cx);
    uint64_t size_a = 0, size_b = 0;
    if (a->n != b->n) return a->n < b->n;
    for (uint32_t i = 0; i < a->n; i++) {
        size_a += dim_entry(t, a->at[i])->size;
        size_b += dim_entry(t, b->at[i])->size;
    }
    return size_a < size_b;
}

/* The first leaf against the rest, which is a normal form of its own; where that has simpler leaves, anew with those. */
static Dim max_chain(Context *cx, const Leaves *leaves) {
    Dim first = leaves->at[0], inner = max_of(cx, rest_of(leaves));
    Leaves again = {.at = {first}, .n = 1};
    if (max_leaves(cx, inner, &again) && simpler(cx, &again, leaves)) return max_of(cx, again);
    return dim_new_atom(cx, ATOM_MAX, first, inner);
}

static Dim max_of(Context *cx, Leaves leaves) {
    drop_dominated(cx, &leaves);
    if (leaves.n == 1) return leaves.at[0];
    if (let_deep_leaves(cx, ATOM_MAX, &leaves)) return max_of(cx, leaves);
    sort_leaves(cx, &leaves);
    Dim common = common_terms(cx, &leaves);
    int64_t g = 0, c;
    for (uint32_t i = 0; i < leaves.n; i++) {
        leaves.at[i] = dim_sub(cx, leaves.at[i], common);
        dim_split_constant(cx, leaves.at[i], &c);
        g = gcd_i64(gcd_i64(g, dim_content(cx, leaves.at[i])), c);
    }
    if (g <= 1 && dim_is(cx, common, 0)) return max_chain(cx, &leaves);
    /* what is left is shorter, so that more may apply */
    Leaves shorter = {.n = 0};
    bool flat = true;
    for (uint32_t i = 0; i < leaves.n; i++) {
        if (g > 1) leaves.at[i] = dim_divide_coefficients(cx, leaves.at[i], g);
        flat = flat && max_leaves(cx, leaves.at[i], &shorter);
    }
    return sum(cx, common, dim_muli(cx, max_of(cx, flat ? shorter : leaves), g > 1 ? g : 1));
}

Dim dim_max(Context *cx, Dim a, Dim b) {
    Dim result;
    if (!a.id || !b.id) return (Dim){0};
    if (dim_same(a, b)) return a;
    if (dim_memo_get(cx, MEMO_MAX, a, b, &result)) return result;
    uint32_t probing = leave_probe(cx);
    Leaves leaves = {.n = 0};
    if (!max_leaves(cx, a, &leaves) || !max_leaves(cx, b, &leaves)) leaves = let_leaves(cx, a, b);
    result = max_of(cx, leaves);
    dim_table(cx)->probing = probing;
    return dim_memo_set(cx, MEMO_MAX, a, b, result);
}

/* min(a, b) => a + b - max(a, b) */
Dim dim_min(Context *cx, Dim a, Dim b) { return dim_sub(cx, dim_add(cx, a, b), dim_max(cx, a, b)); }

/* ---- bcast -------------------------------------------------------------------------------------------------------- */

static bool bcast_leaves(Context *cx, Dim d, Leaves *leaves) {
    uint32_t atom;
    if (dim_is_atom(cx, d, &atom) && dim_atom(cx, atom).kind == ATOM_BCAST) {
        Atom inner = dim_atom(cx, atom);
        return bcast_leaves(cx, inner.a, leaves) && bcast_leaves(cx, inner.b, leaves);
    }
    return dim_is(cx, d, 1) || push_leaf(leaves, d);
}

/* An extent that cannot be 1 is the result: the others are 1 or equal to it.  Constants first, as the shortest answer. */
static bool bcast_decided(Context *cx, const Leaves *leaves, Dim *result) {
    int64_t value;
    for (uint32_t i = 0; i < leaves->n; i++)
        if (dim_const_value(cx, leaves->at[i], &value)) return *result = leaves->at[i], true;
    for (uint32_t i = 0; i < leaves->n; i++) {
        DimRange r = dim_birth(cx, leaves->at[i]);
        if (r.min > 1 || r.max < 1) return *result = leaves->at[i], true;
    }
    return false;
}

static Dim bcast_of(Context *cx, Leaves leaves) {
    Dim result;
    if (!leaves.n) return dim_const(cx, 1);
    if (leaves.n == 1) return leaves.at[0];
    sort_leaves(cx, &leaves);
    if (bcast_decided(cx, &leaves, &result)) return result;
    if (let_deep_leaves(cx, ATOM_BCAST, &leaves)) return bcast_of(cx, leaves);
    return dim_new_atom(cx, ATOM_BCAST, leaves.at[0], bcast_of(cx, rest_of(&leaves)));
}

Dim dim_bcast(Context *cx, Dim a, Dim b) {
    Dim result;
    if (!a.id || !b.id) return (Dim){0};
    if (dim_memo_get(cx, MEMO_BCAST, a, b, &result)) return result;
    uint32_t probing = leave_probe(cx);
    Leaves leaves = {.n = 0};
    if (!bcast_leaves(cx, a, &leaves) || !bcast_leaves(cx, b, &leaves)) leaves = let_leaves(cx, a, b);
    result = bcast_of(cx, leaves);
    dim_table(cx)->probing = probing;
    return dim_memo_set(cx, MEMO_BCAST, a, b, result);
}
