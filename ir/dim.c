/* dim.c: symbols, and the ring of dims: interned polynomials over atoms, with addition and multiplication.
 *
 * The floor of the IR: types, attributes and index expressions hold Dims.  The rules for fdiv, max and bcast are in
 * dim_form.c, what reads dims in dim_use.c, text in dim_text.c, proofs in prove.c.
 *
 * Invariants: terms descend in monomial order without zeros or repeats, so equal polynomials have equal ids; addition
 * is exact in the module of terms, so that a + b - b == a unless a limit was met.  A result that overflows a coefficient
 * or has more than 32 terms is built from let-symbols for its operands: bigger numbers never appear, wrong ones neither.
 */
#include <string.h>

#include "dim_table.h"

/* Sums of two dims, and products of two. */
enum { WORK_TERMS = DIM_TERMS * DIM_TERMS };

typedef struct Work {
    uint32_t n;
    int64_t coefficient[WORK_TERMS];
    uint32_t monomial[WORK_TERMS];
} Work;

static Dim dim_intern(Context *, uint32_t n, const int64_t *coefficients, const uint32_t *monomials);

/* ---- the table ---------------------------------------------------------------------------------------------------- */

static DimTable *table_new(Context *cx) {
    Arena *arena = cx->arena;
    DimTable *t = arena_alloc(arena, sizeof *t);
    t->arena = arena;
    t->names = map_new(arena);
    t->suffixes = map_new(arena);
    t->atom_map = map_new(arena);
    t->monomial_map = map_new(arena);
    t->dim_map = map_new(arena);
    t->set_map = map_new(arena);
    t->memo = map_new(arena);
    t->proved = map_new(arena);
    t->given_up = map_new(arena);
    t->simplified = map_new(arena);
    t->ranged = map_new(arena);
    vec_push(arena, &t->symbols, (SymbolEntry){0});
    vec_push(arena, &t->atoms, (AtomEntry){0});
    vec_push(arena, &t->monomials, (Monomial){0});
    vec_push(arena, &t->dims, (DimEntry){0});
    vec_push(arena, &t->sets, (FactSet){0});
    vec_push(arena, &t->ranges, (DimRange){0});
    return t;
}

DimTable *dim_table(Context *cx) {
    IrTables *ir = ir_tables(cx);
    if (!ir->dims) ir->dims = table_new(cx);
    return ir->dims;
}

bool dim_memo_get(Context *cx, MemoOp op, Dim a, Dim b, Dim *result) {
    uint64_t key = (uint64_t)op << 60 | (uint64_t)a.id << 30 | b.id;
    *result = (Dim){map_get(&dim_table(cx)->memo, key)};
    return result->id != 0;
}

Dim dim_memo_set(Context *cx, MemoOp op, Dim a, Dim b, Dim result) {
    uint64_t key = (uint64_t)op << 60 | (uint64_t)a.id << 30 | b.id;
    if (result.id) map_set(&dim_table(cx)->memo, key, result.id);
    return result;
}

void probe_begin(Context *cx) { dim_table(cx)->probing++; }
void probe_end(Context *cx) { dim_table(cx)->probing--; }

/* ---- symbols ------------------------------------------------------------------------------------------------------ */

static const char *free_name(Context *cx, const char *wanted) {
    DimTable *t = dim_table(cx);
    const char *base = intern(cx, wanted && *wanted ? wanted : "s");
    if (!map_get(&t->names, (uintptr_t)base)) return base;
    uint32_t i = map_get(&t->suffixes, (uintptr_t)base);
    const char *name;
    do
        name = intern(cx, arena_print(t->arena, "%s_%u", base, ++i));
    while (map_get(&t->names, (uintptr_t)name));
    map_set(&t->suffixes, (uintptr_t)base, i);
    return name;
}

/* Ends of the range move inwards to multiples; an empty range (the index of an empty loop) keeps its minimum. */
static void set_range(SymbolInfo *info, int64_t min, int64_t max, int64_t multiple) {
    info->multiple = multiple < 1 ? 1 : multiple;
    int64_t up = min == INT64_MIN ? 0 : -(min % info->multiple), down = max % info->multiple;
    if (up < 0) up += info->multiple;
    if (down < 0) down += info->multiple;
    if (!ck_add(min, up, &min)) min = INT64_MAX - 1;
    if (max != INT64_MAX && !ck_sub(max, down, &max)) max = INT64_MIN + 1;
    info->min = min;
    info->max = max < min ? min : max;
}

Symbol symbol_new(Context *cx, const SymbolInfo *info) {
    DimTable *t = dim_table(cx);
    SymbolEntry entry = {.info = *info};
    set_range(&entry.info, info->min, info->max, info->multiple);
    entry.info.name = free_name(cx, info->name);
    Symbol s = {t->symbols.n};
    map_set(&t->names, (uintptr_t)entry.info.name, s.id);
    vec_push(t->arena, &t->symbols, entry);
    return s;
}

Symbol symbol_find(Context *cx, const char *name) {
    return (Symbol){map_get(&dim_table(cx)->names, (uintptr_t)intern(cx, name))};
}

const SymbolInfo *symbol_info(Context *cx, Symbol s) {
    DimTable *t = dim_table(cx);
    REQUIRE(cx, s.id && s.id < t->symbols.n);
    return &t->symbols.at[s.id].info;
}

void symbol_declare(Context *cx, Symbol s, int64_t min, int64_t max, int64_t multiple, int64_t hint) {
    DimTable *t = dim_table(cx);
    REQUIRE(cx, s.id && s.id < t->symbols.n && min <= max);
    SymbolEntry *entry = &t->symbols.at[s.id];
    SymbolInfo next = entry->info;
    set_range(&next, min, max, multiple);
    bool same = next.min == entry->info.min && next.max == entry->info.max && next.multiple == entry->info.multiple;
    if (!same && entry->atom) BUG(cx, "symbol %s is declared after its first use in a dim", entry->info.name);
    next.hint = hint ? hint : next.hint;
    entry->info = next;
}

uint32_t symbol_count(Context *cx) { return dim_table(cx)->symbols.n - 1; }

/* ---- order -------------------------------------------------------------------------------------------------------- */

static int symbol_compare(const DimTable *t, Symbol x, Symbol y) {
    const SymbolInfo *a = &t->symbols.at[x.id].info, *b = &t->symbols.at[y.id].info;
    bool a_let = a->kind == SYMBOL_LET, b_let = b->kind == SYMBOL_LET;
    if (a_let != b_let) return a_let ? 1 : -1;
    /* names of let-symbols count their creation, so definitions decide */
    return a_let ? dim_compare(t, a->capacity, b->capacity) : strcmp(a->name, b->name);
}

static int atom_compare(const DimTable *t, uint32_t x, uint32_t y) {
    if (x == y) return 0;
    const Atom *a = &t->atoms.at[x].atom, *b = &t->atoms.at[y].atom;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    if (a->kind == ATOM_SYMBOL) return symbol_compare(t, a->symbol, b->symbol);
    int order = dim_compare(t, a->a, b->a);
    return order ? order : dim_compare(t, a->b, b->b);
}

/* Graded lexicographic: compatible with multiplication, so that division by a leading term terminates. */
static int monomial_compare(const DimTable *t, uint32_t x, uint32_t y) {
    if (x == y) return 0;
    const Monomial *a = &t->monomials.at[x], *b = &t->monomials.at[y];
    if (a->degree != b->degree) return a->degree > b->degree ? -1 : 1;
    for (uint32_t i = 0; i < a->n && i < b->n; i++) {
        int order = atom_compare(t, a->factors[i].atom, b->factors[i].atom);
        if (order) return order;
        if (a->factors[i].power != b->factors[i].power) return a->factors[i].power > b->factors[i].power ? -1 : 1;
    }
    return a->n == b->n ? 0 : a->n > b->n ? -1 : 1;
}

int dim_compare(const DimTable *t, Dim x, Dim y) {
    if (x.id == y.id) return 0;
    const DimEntry *a = dim_entry(t, x), *b = dim_entry(t, y);
    for (uint32_t i = 0; i < a->n && i < b->n; i++) {
        int order = monomial_compare(t, a->monomials[i], b->monomials[i]);
        if (order) return order;
        int64_t p = a->terms[i].coefficient, q = b->terms[i].coefficient;
        if (p != q) return p < q ? -1 : 1;
    }
    return a->n == b->n ? 0 : a->n < b->n ? -1 : 1;
}

/* ---- monomials ---------------------------------------------------------------------------------------------------- */

static uint32_t monomial_intern(DimTable *t, const Factor *factors, uint32_t n) {
    if (!n) return 0;
    uint64_t key = hash_bytes(factors, n * sizeof *factors, n);
    uint32_t cursor = 0, id;
    while ((id = map_next(&t->monomial_map, key, &cursor)) != 0) {
        const Monomial *m = &t->monomials.at[id];
        if (m->n == n && !memcmp(m->factors, factors, n * sizeof *factors)) return id;
    }
    Monomial m = {.n = n, .factors = arena_copy(t->arena, factors, n * sizeof *factors)};
    for (uint32_t i = 0; i < n; i++) m.degree += factors[i].power;
    id = t->monomials.n;
    vec_push(t->arena, &t->monomials, m);
    map_add(&t->monomial_map, key, id);
    return id;
}

/* Merges the factors: powers are added (sign 1), subtracted (sign -1) or their minimum is taken (sign 0). */
static bool monomial_merge(Context *cx, uint32_t x, uint32_t y, int sign, uint32_t *result) {
    DimTable *t = dim_table(cx);
    Monomial a = t->monomials.at[x], b = t->monomials.at[y];
    Factor out[2 * DIM_DEGREE];
    uint32_t n = 0, i = 0, j = 0;
    while (i < a.n || j < b.n) {
        int order = i == a.n ? 1 : j == b.n ? -1 : atom_compare(t, a.factors[i].atom, b.factors[j].atom);
        uint32_t p = order <= 0 ? a.factors[i].power : 0, q = order >= 0 ? b.factors[j].power : 0;
        uint32_t atom = order <= 0 ? a.factors[i].atom : b.factors[j].atom;
        if (sign < 0 && p < q) return false;
        uint32_t power = sign > 0 ? p + q : sign < 0 ? p - q : p < q ? p : q;
        if (power) out[n++] = (Factor){.atom = atom, .power = power};
        i += order <= 0;
        j += order >= 0;
    }
    *result = monomial_intern(t, out, n);
    return true;
}

uint32_t monomial_mul(Context *cx, uint32_t x, uint32_t y) {
    uint32_t result = 0;
    if (!x || !y) return x | y;
    monomial_merge(cx, x, y, 1, &result);
    return result;
}

bool monomial_div(Context *cx, uint32_t m, uint32_t by, uint32_t *quotient) {
    if (!by) return *quotient = m, true;
    return monomial_merge(cx, m, by, -1, quotient);
}

uint32_t monomial_gcd(Context *cx, uint32_t x, uint32_t y) {
    uint32_t result = 0;
    if (x && y) monomial_merge(cx, x, y, 0, &result);
    return result;
}

/* ---- interning of dims and atoms ---------------------------------------------------------------------------------- */

static uint32_t saturating(uint32_t a, uint32_t b) { return a > UINT32_MAX - b ? UINT32_MAX : a + b; }

static void describe(Context *cx, DimEntry *d) {
    const DimTable *t = dim_table(cx);
    d->size = 1;
    for (uint32_t i = 0; i < d->n; i++) {
        const Term *term = &d->terms[i];
        int64_t multiple;
        if (!ck_mul(term->coefficient, monomial_multiple(cx, d->monomials[i]), &multiple)) multiple = 1;
        d->multiple = gcd_i64(d->multiple, multiple);
        for (uint32_t f = 0; f < term->n; f++) {
            const AtomEntry *atom = &t->atoms.at[term->factors[f].atom];
            d->depth = atom->depth > d->depth ? atom->depth : d->depth;
            d->size = saturating(d->size, atom->size);
            d->mask |= atom->mask;
        }
    }
}

static Dim dim_intern(Context *cx, uint32_t n, const int64_t *coefficients, const uint32_t *monomials) {
    DimTable *t = dim_table(cx);
    uint64_t key = hash_bytes(monomials, n * sizeof *monomials, hash_bytes(coefficients, n * sizeof *coefficients, n));
    uint32_t cursor = 0, id;
    while ((id = map_next(&t->dim_map, key, &cursor)) != 0) {
        const DimEntry *d = &t->dims.at[id];
        if (d->n != n || (n && memcmp(d->monomials, monomials, n * sizeof *monomials))) continue;
        uint32_t i = 0;
        while (i < n && d->terms[i].coefficient == coefficients[i]) i++;
        if (i == n) return (Dim){id};
    }
    Term *terms = arena_new_array(t->arena, Term, n);
    for (uint32_t i = 0; i < n; i++) {
        const Monomial *m = &t->monomials.at[monomials[i]];
        terms[i] = (Term){.coefficient = coefficients[i], .n = m->n, .factors = m->factors};
    }
    DimEntry d = {.n = n, .terms = terms, .monomials = arena_copy(t->arena, monomials, n * sizeof *monomials)};
    describe(cx, &d);
    id = t->dims.n;
    REQUIRE(cx, id < UINT32_C(1) << 30); /* memo keys hold two ids */
    vec_push(t->arena, &t->dims, d);
    map_add(&t->dim_map, key, id);
    return (Dim){id};
}

Dim dim_monomial(Context *cx, int64_t coefficient, uint32_t monomial) {
    return dim_intern(cx, coefficient != 0, &coefficient, &monomial);
}

Dim dim_from_atom(Context *cx, uint32_t atom) {
    Factor factor = {.atom = atom, .power = 1};
    return dim_monomial(cx, 1, monomial_intern(dim_table(cx), &factor, 1));
}

/* A divisor that every value of the atom has. */
static int64_t atom_multiple(Context *cx, const Atom *atom) {
    const DimTable *t = dim_table(cx);
    int64_t by, a, b;
    switch (atom->kind) {
    case ATOM_SYMBOL: return t->symbols.at[atom->symbol.id].info.multiple;
    case ATOM_FDIV:
        a = dim_entry(t, atom->a)->multiple;
        return dim_const_value(cx, atom->b, &by) && by > 0 && a % by == 0 && a ? a / by : 1;
    case ATOM_MAX:
    case ATOM_BCAST:
        a = dim_entry(t, atom->a)->multiple;
        b = dim_entry(t, atom->b)->multiple;
        a = gcd_i64(a, b);
        return a ? a : 1;
    }
    return 1;
}

/* The depth an atom over d has by d.  What a flattened max or bcast nests in its own kind counts once. */
static uint32_t operand_depth(const DimTable *t, AtomKind kind, Dim d) {
    const DimEntry *e = dim_entry(t, d);
    uint32_t depth = 1;
    for (uint32_t i = 0; i < e->n; i++) {
        bool alone = e->terms[i].n == 1 && e->terms[i].factors[0].power == 1;
        alone &= kind == ATOM_MAX ? e->terms[i].coefficient > 0 : kind == ATOM_BCAST && e->n == 1;
        for (uint32_t f = 0; f < e->terms[i].n; f++) {
            const AtomEntry *atom = &t->atoms.at[e->terms[i].factors[f].atom];
            uint32_t own = atom->depth + !(alone && atom->atom.kind == kind);
            depth = own > depth ? own : depth;
        }
    }
    return depth;
}

bool dim_too_deep(Context *cx, AtomKind kind, Dim d) { return operand_depth(dim_table(cx), kind, d) > DIM_DEPTH; }

static uint32_t atom_intern(Context *cx, Atom atom) {
    DimTable *t = dim_table(cx);
    uint64_t key = hash_mix(hash_mix(hash_mix(atom.kind, atom.symbol.id), atom.a.id), atom.b.id);
    uint32_t cursor = 0, id;
    while ((id = map_next(&t->atom_map, key, &cursor)) != 0) {
        const Atom *known = &t->atoms.at[id].atom;
        if (known->kind == atom.kind && known->symbol.id == atom.symbol.id && known->a.id == atom.a.id &&
            known->b.id == atom.b.id)
            return id;
    }
    AtomEntry entry = {.atom = atom, .multiple = atom_multiple(cx, &atom), .size = 1};
    if (atom.kind == ATOM_SYMBOL) {
        const SymbolInfo *info = &t->symbols.at[atom.symbol.id].info;
        entry.range = (DimRange){info->min, info->max};
        entry.mask = UINT64_C(1) << (atom.symbol.id & 63);
        if (info->kind == SYMBOL_LET) {
            const DimEntry *definition = dim_entry(t, info->capacity);
            entry.mask |= definition->mask;
            entry.size = definition->size <= DIM_TEXT ? definition->size : 1;
        }
    } else {
        const DimEntry *a = dim_entry(t, atom.a), *b = dim_entry(t, atom.b);
        uint32_t depth_a = operand_depth(t, atom.kind, atom.a), depth_b = operand_depth(t, atom.kind, atom.b);
        entry.depth = depth_a > depth_b ? depth_a : depth_b;
        entry.size = saturating(saturating(a->size, b->size), 1);
        entry.mask = a->mask | b->mask;
        entry.range = (DimRange){INT64_MIN, INT64_MAX};
    }
    id = t->atoms.n;
    vec_push(t->arena, &t->atoms, entry);
    map_add(&t->atom_map, key, id);
    if (atom.kind != ATOM_SYMBOL) {
        DimRange range = atom_interval(cx, 0, id);
        t->atoms.at[id].range = range;
    }
    return id;
}

Dim dim_new_atom(Context *cx, AtomKind kind, Dim a, Dim b) {
    return dim_from_atom(cx, atom_intern(cx, (Atom){.kind = kind, .a = a, .b = b}));
}

Dim dim_symbol(Context *cx, Symbol s) {
    DimTable *t = dim_table(cx);
    if (!s.id) return (Dim){0};
    REQUIRE(cx, s.id < t->symbols.n);
    SymbolEntry *entry = &t->symbols.at[s.id];
    if (entry->info.min == entry->info.max && entry->info.kind != SYMBOL_LET) {
        if (!entry->atom) entry->atom = UINT32_MAX; /* used: its range is fixed now */
        return dim_const(cx, entry->info.min);
    }
    if (!entry->atom) {
        uint32_t atom = atom_intern(cx, (Atom){.kind = ATOM_SYMBOL, .symbol = s});
        t->symbols.at[s.id].atom = atom;
    }
    return dim_from_atom(cx, t->symbols.at[s.id].atom);
}

Dim dim_let(Context *cx, Dim d) {
    DimTable *t = dim_table(cx);
    uint32_t atom;
    if (dim_is_atom(cx, d, &atom) && t->atoms.at[atom].atom.kind == ATOM_SYMBOL) return d;
    if (!dim_entry(t, d)->let) {
        DimRange range = dim_birth(cx, d);
        int64_t multiple = dim_entry(t, d)->multiple;
        Symbol s = symbol_new(cx, &(SymbolInfo){.name = "let",
                                                .kind = SYMBOL_LET,
                                                .min = range.min,
                                                .max = range.max,
                                                .multiple = multiple ? multiple : 1,
                                                .capacity = d});
        t->dims.at[d.id].let = s.id;
    }
    return dim_symbol(cx, (Symbol){dim_entry(t, d)->let});
}

/* ---- the ring ----------------------------------------------------------------------------------------------------- */

Dim dim_const(Context *cx, int64_t value) { return dim_monomial(cx, value, 0); }

static void load(const DimEntry *d, Work *w) {
    w->n = d->n;
    for (uint32_t i = 0; i < d->n; i++) {
        w->coefficient[i] = d->terms[i].coefficient;
        w->monomial[i] = d->monomials[i];
    }
}

/* out = a + coefficient * monomial * d; false on overflow. */
static bool add_scaled(Context *cx, const Work *a, Dim d, int64_t coefficient, uint32_t monomial, Work *out) {
    const DimTable *t = dim_table(cx);
    DimEntry b = *dim_entry(t, d);
    uint32_t i = 0, j = 0, n = 0;
    while (i < a->n || j < b.n) {
        uint32_t shifted = j < b.n ? monomial_mul(cx, b.monomials[j], monomial) : 0;
        int order = i == a->n ? 1 : j == b.n ? -1 : monomial_compare(t, a->monomial[i], shifted);
        int64_t sum = order <= 0 ? a->coefficient[i] : 0, scaled;
        if (order >= 0) {
            if (!ck_mul(b.terms[j].coefficient, coefficient, &scaled) || !ck_add(sum, scaled, &sum)) return false;
        }
        if (sum) {
            if (n == WORK_TERMS) return false;
            out->coefficient[n] = sum;
            out->monomial[n++] = order <= 0 ? a->monomial[i] : shifted;
        }
        i += order <= 0;
        j += order >= 0;
    }
    out->n = n;
    return true;
}

static bool try_add(Context *cx, Dim a, Dim b, int64_t sign, Dim *result) {
    Work left, sum;
    load(dim_entry(dim_table(cx), a), &left);
    if (!add_scaled(cx, &left, b, sign, 0, &sum) || sum.n > DIM_TERMS) return false;
    *result = dim_intern(cx, sum.n, sum.coefficient, sum.monomial);
    return true;
}

static bool try_mul(Context *cx, Dim a, Dim b, int64_t unused, Dim *result) {
    (void)unused;
    Work work[2];
    DimTable *t = dim_table(cx);
    DimEntry left = *dim_entry(t, a), right = *dim_entry(t, b);
    if (left.n && right.n && /* the first term has the highest degree */
        t->monomials.at[left.monomials[0]].degree + t->monomials.at[right.monomials[0]].degree > DIM_DEGREE)
        return false;
    work[0].n = 0;
    for (uint32_t i = 0; i < left.n; i++)
        if (!add_scaled(cx, &work[i & 1], b, left.terms[i].coefficient, left.monomials[i], &work[~i & 1])) return false;
    const Work *product = &work[left.n & 1];
    if (product->n > DIM_TERMS) return false;
    *result = dim_intern(cx, product->n, product->coefficient, product->monomial);
    return true;
}

typedef bool Combine(Context *, Dim a, Dim b, int64_t sign, Dim *result);

/* Where the result does not fit, the longer operand becomes a let-symbol, then both: two symbols always fit. */
static Dim combine(Context *cx, MemoOp op, Combine *with, Dim a, Dim b, int64_t sign) {
    Dim result;
    if (!a.id || !b.id) return (Dim){0};
    if (dim_memo_get(cx, op, a, b, &result)) return result;
    const DimTable *t = dim_table(cx);
    MemoOp with_let = (MemoOp)(op + MEMO_LET);
    if (dim_memo_get(cx, with_let, a, b, &result)) return t->probing ? (Dim){0} : result;
    if (with(cx, a, b, sign, &result)) return dim_memo_set(cx, op, a, b, result);
    if (t->probing) return (Dim){0};
    bool first = dim_entry(t, a)->n >= dim_entry(t, b)->n;
    Dim x = first ? dim_let(cx, a) : a, y = first ? b : dim_let(cx, b);
    if (!with(cx, x, y, sign, &result) && !with(cx, dim_let(cx, a), dim_let(cx, b), sign, &result))
        BUG(cx, "two let-symbols do not fit in a dim");
    return dim_memo_set(cx, with_let, a, b, result);
}

static void order_pair(Dim *a, Dim *b) {
    if (a->id <= b->id) return;
    Dim swap = *a;
    *a = *b;
    *b = swap;
}

Dim dim_add(Context *cx, Dim a, Dim b) {
    order_pair(&a, &b);
    return combine(cx, MEMO_ADD, try_add, a, b, 1);
}

Dim dim_sub(Context *cx, Dim a, Dim b) { return combine(cx, MEMO_SUB, try_add, a, b, -1); }

Dim dim_mul(Context *cx, Dim a, Dim b) {
    order_pair(&a, &b);
    return combine(cx, MEMO_MUL, try_mul, a, b, 1);
}

Dim dim_addi(Context *cx, Dim a, int64_t value) { return dim_add(cx, a, dim_const(cx, value)); }
Dim dim_muli(Context *cx, Dim a, int64_t value) { return dim_mul(cx, a, dim_const(cx, value)); }

Dim dim_product(Context *cx, const Dim *dims, uint32_t n) {
    Dim product = dim_const(cx, 1);
    for (uint32_t i = 0; i < n; i++) product = dim_mul(cx, product, dims[i]);
    return product;
}

/* ---- taking apart ------------------------------------------------------------------------------------------------- */

bool dim_const_value(Context *cx, Dim d, int64_t *value) {
    const DimEntry *e = dim_entry(dim_table(cx), d);
    if (!d.id || e->n > 1 || (e->n && e->terms[0].n)) return false;
    *value = e->n ? e->terms[0].coefficient : 0;
    return true;
}

bool dim_is(Context *cx, Dim d, int64_t value) {
    int64_t found;
    return dim_const_value(cx, d, &found) && found == value;
}

uint32_t dim_terms(Context *cx, Dim d, const Term **terms) {
    const DimEntry *e = dim_entry(dim_table(cx), d);
    *terms = e->terms;
    return e->n;
}

Atom dim_atom(Context *cx, uint32_t atom) { return dim_table(cx)->atoms.at[atom].atom; }

bool dim_is_atom(Context *cx, Dim d, uint32_t *atom) {
    const DimEntry *e = dim_entry(dim_table(cx), d);
    if (e->n != 1 || e->terms[0].coefficient != 1 || e->terms[0].n != 1 || e->terms[0].factors[0].power != 1)
        return false;
    *atom = e->terms[0].factors[0].atom;
    return true;
}

Dim dim_split_constant(Context *cx, Dim d, int64_t *constant) {
    const DimEntry *e = dim_entry(dim_table(cx), d);
    *constant = 0;
    if (!e->n || e->terms[e->n - 1].n) return d;
    *constant = e->terms[e->n - 1].coefficient;
    return dim_sub(cx, d, dim_const(cx, *constant));
}

Dim dim_divide_coefficients(Context *cx, Dim d, int64_t g) {
    DimEntry e = *dim_entry(dim_table(cx), d);
    int64_t coefficients[DIM_TERMS];
    uint32_t monomials[DIM_TERMS], n = 0;
    for (uint32_t i = 0; i < e.n; i++) {
        coefficients[n] = floor_div(e.terms[i].coefficient, g);
        monomials[n] = e.monomials[i];
        n += coefficients[n] != 0;
    }
    return dim_intern(cx, n, coefficients, monomials);
}

int64_t dim_content(Context *cx, Dim d) {
    const DimEntry *e = dim_entry(dim_table(cx), d);
    int64_t g = 0;
    for (uint32_t i = 0; i < e->n; i++)
        if (e->terms[i].n) g = gcd_i64(g, e->terms[i].coefficient);
    return g;
}

bool dim_split_atom(Context *cx, Dim d, uint32_t atom, Dim *a, Dim *b) {
    DimTable *t = dim_table(cx);
    DimEntry e = *dim_entry(t, d);
    int64_t with[DIM_TERMS], without[DIM_TERMS];
    uint32_t with_m[DIM_TERMS], without_m[DIM_TERMS], n = 0, m = 0;
    Factor factor = {.atom = atom, .power = 1};
    uint32_t alone = monomial_intern(t, &factor, 1), rest;
    for (uint32_t i = 0; i < e.n; i++) {
        if (monomial_div(cx, e.monomials[i], alone, &rest)) {
            with[n] = e.terms[i].coefficient;
            with_m[n++] = rest;
        } else {
            without[m] = e.terms[i].coefficient;
            without_m[m++] = e.monomials[i];
        }
    }
    if (!n) return false;
    *a = dim_intern(cx, n, with, with_m); /* dividing by one atom keeps the order */
    *b = dim_intern(cx, m, without, without_m);
    return true;
}
