/* dim_table.h: the representation of symbolic dims, private to dim*.c and prove.c.
 *
 * Three interned layers: an Atom (a symbol, or fdiv, max, bcast of dims), a Monomial (a product of powers of atoms; id 0
 * is the empty product) and a Dim (a sum of coefficient * monomial).  Interned objects never change, so what depends
 * only on birth ranges (interval, divisor, depth) is stored with them.
 *
 * Order: monomials by degree, highest first, then lexicographically in an order of atoms that looks only at names and
 * structure.  Ids depend on the order of construction, the normal form and the text of a dim do not.
 */
#pragma once
#include "ir_tables.h"

enum {
    DIM_TERMS = 32,       /* of a dim; more give a let-symbol */
    DIM_DEPTH = 6,        /* nesting of atoms */
    DIM_DEGREE = 32,      /* of a monomial */
    DIM_LEAVES = 8,       /* operands of one flattened max or bcast */
    DIM_TEXT = 4096       /* atoms a printed let-definition may have; beyond, its name is printed */
};

/* Inclusive; INT64_MIN and INT64_MAX mean unbounded. */
typedef struct DimRange { int64_t min, max; } DimRange;

typedef struct SymbolEntry {
    SymbolInfo info;
    uint32_t atom;        /* 0 until used in a dim */
} SymbolEntry;

typedef struct AtomEntry {
    Atom atom;
    uint32_t depth;
    uint32_t size;        /* atoms in its text, saturating */
    uint64_t mask;        /* bit (symbol id mod 64) of every symbol inside */
    DimRange range;       /* by birth ranges */
    int64_t multiple;     /* known divisor */
    uint64_t stamp;       /* of the traversal that computed `value` or `image` */
    int64_t value;
    Dim image;
    bool valid;
} AtomEntry;

typedef struct Monomial {
    uint32_t n, degree;
    const Factor *factors; /* ascending in atom_compare */
} Monomial;

typedef struct DimEntry {
    uint32_t n;
    const Term *terms;     /* descending in monomial order: the constant term is last */
    const uint32_t *monomials;
    uint32_t depth, size;
    uint64_t mask;
    int64_t multiple;      /* 0: the constant 0, a multiple of everything */
    DimRange range;        /* valid where ranged */
    bool ranged;
    uint32_t let;          /* the let-symbol that stands for it, or 0 */
} DimEntry;

typedef enum MemoOp {
    MEMO_ADD, MEMO_SUB, MEMO_MUL, MEMO_FDIV, MEMO_MAX, MEMO_BCAST, MEMO_UPPER,
    MEMO_LET = 8 /* added to ADD, SUB, MUL: of operands that became let-symbols */
} MemoOp;

/* What a Scope says, flattened, normalised and interned: id 0 says nothing. */
typedef struct FactSet {
    uint32_t n, n_divides, n_unequal;
    const Dim *nonneg;     /* each is >= 0 */
    const Fact *divides;   /* a divides b */
    const Dim *unequal;    /* each is != 0 */
} FactSet;

typedef struct DimTable {
    Arena *arena;
    VEC(SymbolEntry) symbols; /* [0] unused, as in atoms and dims */
    VEC(AtomEntry) atoms;
    VEC(Monomial) monomials;
    VEC(DimEntry) dims;
    VEC(FactSet) sets;
    VEC(DimRange) ranges;     /* of (fact set, dim) */
    Map names;                /* interned name -> symbol */
    Map suffixes;             /* interned name -> last suffix tried */
    Map atom_map, monomial_map, dim_map, set_map;
    Map memo;                 /* MemoOp and two dims -> dim */
    Map proved;               /* (fact set, dim): is it >= 0, as prove.c encodes it */
    Map given_up;             /* (fact set, dim): asked, and the budget ran out */
    Map simplified;           /* (fact set, dim) -> dim */
    Map ranged;               /* (fact set, dim) -> index into ranges */
    uint64_t stamp;
    uint32_t probing;         /* above 0: sums and products that do not fit are poison */
} DimTable;

DimTable *dim_table(Context *);

/* Analyses build dims to look at them.  Between begin and end what does not fit is poison, of which nothing is known,
 * instead of a new let-symbol, which would be analysed in turn.  fdiv, max and bcast build as always. */
void probe_begin(Context *);
void probe_end(Context *);

/* ---- dim.c -------------------------------------------------------------------------------------------------------- */

static inline const DimEntry *dim_entry(const DimTable *t, Dim d) { return &t->dims.at[d.id]; }
int dim_compare(const DimTable *, Dim, Dim);
uint32_t monomial_mul(Context *, uint32_t, uint32_t);
/* m / by, false where it is no monomial. */
bool monomial_div(Context *, uint32_t m, uint32_t by, uint32_t *quotient);
uint32_t monomial_gcd(Context *, uint32_t, uint32_t);
Dim dim_monomial(Context *, int64_t coefficient, uint32_t monomial);
/* The atom as it is, without any rule; no operand may be too deep. */
Dim dim_new_atom(Context *, AtomKind, Dim a, Dim b);
Dim dim_from_atom(Context *, uint32_t atom);
bool dim_too_deep(Context *, AtomKind, Dim d); /* an atom over it would exceed the limit */
/* A symbol that stands for d; d itself where it is one symbol. */
Dim dim_let(Context *, Dim d);
/* d without its constant term, which goes to *constant. */
Dim dim_split_constant(Context *, Dim d, int64_t *constant);
/* Each coefficient divided by g, rounded down. */
Dim dim_divide_coefficients(Context *, Dim d, int64_t g);
int64_t dim_content(Context *, Dim d);         /* gcd of the coefficients of all but the constant term; 0: constant */
/* d = a * atom + b, with b free of atom as a factor; a may contain it.  false where a is 0. */
bool dim_split_atom(Context *, Dim d, uint32_t atom, Dim *a, Dim *b);
/* The atom, where d is nothing but that. */
bool dim_is_atom(Context *, Dim d, uint32_t *atom);
bool dim_memo_get(Context *, MemoOp, Dim a, Dim b, Dim *result);
Dim dim_memo_set(Context *, MemoOp, Dim a, Dim b, Dim result);

/* ---- dim_range.c, prove.c, dim_simplify.c ------------------------------------------------------------------------- */

DimRange dim_birth(Context *, Dim);            /* by birth ranges alone */
DimRange dim_birth_difference(Context *, Dim a, Dim b);
DimRange dim_interval(Context *, uint32_t set, Dim);
DimRange atom_interval(Context *, uint32_t set, uint32_t atom);
DimRange monomial_interval(Context *, uint32_t set, uint32_t monomial);
int64_t monomial_multiple(Context *, uint32_t monomial);
uint32_t fact_set(Context *, const Scope *);
uint32_t fact_set_with(Context *, uint32_t set, Dim nonneg);
uint32_t fact_set_with_divisors(Context *, uint32_t set, Dim d); /* every divisor inside d is >= 1 */
/* Is d >= 0 under the facts?  false: not known. */
bool dim_nonneg(Context *, uint32_t set, Dim d);
Dim dim_simplify_under(Context *, uint32_t set, Dim d);

static inline int64_t gcd_i64(int64_t a, int64_t b) {
    uint64_t x = a < 0 ? 0 - (uint64_t)a : (uint64_t)a, y = b < 0 ? 0 - (uint64_t)b : (uint64_t)b;
    while (y) {
        uint64_t r = x % y;
        x = y;
        y = r;
    }
    return x > INT64_MAX ? 1 : (int64_t)x;
}
