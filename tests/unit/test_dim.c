/* test_dim.c: symbolic dims: known identities, and random expressions against brute-force valuations.
 *
 * INGOT_SEED=n draws other random cases.  An expression is kept twice: as a tree that is evaluated naively, and as the
 * Dim that the constructors make of it.  Valuations where a divisor is below 1 or a broadcast has incompatible extents
 * are outside the contract and skipped.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir.h"

static const Loc nowhere = {0};

static int setup(void **state) { return (*state = context_new(NULL)) ? 0 : -1; }
static int teardown(void **state) {
    context_free(*state);
    return 0;
}

static uint64_t random_state = 1;
static uint32_t draw(uint32_t n) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 33) % n;
}
static void seed(void) {
    const char *text = getenv("INGOT_SEED");
    random_state = (text ? strtoull(text, NULL, 10) : 20250101) * UINT64_C(0x9E3779B97F4A7C15) | 1;
}

static Dim parse(Context *cx, const char *text) {
    const char *at = text;
    Dim d = dim_parse(cx, nowhere, &at, true);
    if (!d.id || *at) fail_msg("cannot parse %s: %s", text, diag_count(cx) ? diag_at(cx, 0)->text : at);
    return d;
}

static void expect_same(Context *cx, const char *a, const char *b) {
    Dim x = parse(cx, a), y = parse(cx, b);
    if (!dim_same(x, y)) fail_msg("%s is %s, but %s is %s", a, dim_string(cx, x), b, dim_string(cx, y));
}

/* ---- identities --------------------------------------------------------------------------------------------------- */

static const char *const identities[][2] = {
    {"d/2", "ceildiv(d-1,2)"},
    {"(X*240)%(X*3)", "0"},
    {"((w+h)*65)/(w+h)", "65"},
    {"(((w-2)/32*12+12)*((h-2)/32+1)*340+((w-2)/32*6+6)*((h-2)/32+1)*170+((w-2)/32*3+3)*((h-2)/32+1)*85)*85 / "
     "(((w-2)/32*12+12)*((h-2)/32+1)*340+((w-2)/32*6+6)*((h-2)/32+1)*170+((w-2)/32*3+3)*((h-2)/32+1)*85)",
     "85"},
    {"(b*s*4096)/(b*32*128)", "s"},
    {"(b*(s*2560)/2560)*2560", "b*s*2560"},
    {"d%2+2*(d/2)", "d"},
    {"(s+2-3)/1+1", "s"},
    {"((((s+2-3)/2+1)+2-3)/2)+1", "(s+3)/4"},
    {"(s+2-4)/2+1", "s/2"},
    {"((w/14)*(h/14)+1-1)/(h/14)", "w/14"},
    {"(s-1)+1", "s"},
    {"ceildiv(s,64)*64-(ceildiv(s,64)*64-s)", "s"},
    {"(t+k)*b-(t*b)", "k*b"},
    {"(4*s+3)/4", "s"},
    {"(6*s+4)/4", "(3*s+2)/2"},
    {"(s/2)/3", "s/6"},
    /* beyond the prototype */
    {"(i*S+j)/S", "i+j/S"},
    {"(i*S*T+j*T+k)/(S*T)", "i+(j*T+k)/(S*T)"},
    {"(i*S*T+j*T+k)%T", "k%T"},
    {"max(s,s+1)", "s+1"},
    {"max(a,max(b,c))", "max(max(c,a),b)"},
    {"max(2*a,2*b+2)", "2*max(a,b+1)"},
    {"max(a+c,b+c)", "max(b,a)+c"},
    {"min(a,b)+max(a,b)", "a+b"},
    {"bcast(a,bcast(b,a))", "bcast(b,a)"},
    {"bcast(1,a)", "a"},
    {"bcast(a,8)", "8"},
    {"bcast(a,a)", "a"},
    {"(x/N)/M", "(x/M)/N"},
    {"a+b-b", "a"},
    {"5-7", "-2"},
    {"-7/2", "-4"},
    {"-7%4", "1"},
    {"x/-2", "-x/2"},
    {"-2^2", "-4"},
    {"let(a)", "a"},
    {"s/(s+1)", "0"},
};

static void identities_are_normal_forms(void **state) {
    Context *cx = *state;
    for (size_t i = 0; i < COUNT(identities); i++) expect_same(cx, identities[i][0], identities[i][1]);
    /* the 18th of the prototype: Hermite's identity is not a normal form, but proven */
    Dim s = parse(cx, "s");
    assert_int_equal(prove(cx, NULL, REL_EQ, parse(cx, "s/2+(s+1)/2"), s), YES);
    assert_int_equal(diag_count(cx), 0);
}

/* ---- proofs ------------------------------------------------------------------------------------------------------- */

static Symbol loop_index(Context *cx, const char *name) {
    return symbol_new(cx, &(SymbolInfo){.name = name, .kind = SYMBOL_INDEX, .max = INT64_MAX});
}

static const struct {
    const char *a;
    Relation relation;
    const char *b;
    Truth expected;
} proofs[] = {
    {"i*M+j", REL_LT, "N*M", YES},
    {"i*M+j", REL_LE, "N*M-1", YES},
    {"i*M*K+j*K+k", REL_LT, "N*M*K", YES},
    {"i*M+j", REL_LT, "N*M-1", UNKNOWN},
    {"i+1", REL_LE, "N", YES},
    {"i", REL_NE, "N", YES},
    {"N", REL_LE, "0", NO},
    {"(i*M+j)/M", REL_EQ, "i", YES},
    {"(i*M+j)%M", REL_EQ, "j", YES},
    {"i/32", REL_LT, "ceildiv(N,32)", YES},
    {"i/32", REL_LE, "(N-1)/32", YES},
    {"i%32", REL_LT, "32", YES},
    {"x-x%64", REL_LE, "x", YES},
    {"x%64", REL_LE, "63", YES},
    {"x%S", REL_LT, "S", YES},
    {"3*(x/2)", REL_LE, "2*x", YES},
    {"min(i,j)", REL_LE, "i", YES},
    {"min(i,N)", REL_EQ, "i", YES},
    {"max(i,x)", REL_LE, "i+x", YES},
    {"2*x", REL_EQ, "2*y+1", NO},
    {"x", REL_EQ, "y", UNKNOWN},
    {"8", REL_DIVIDES, "16*x+8", YES},
    {"8", REL_DIVIDES, "16*x+4", NO},
    {"8", REL_DIVIDES, "x", UNKNOWN},
    {"S", REL_DIVIDES, "3*x*S", YES},
    {"(i*M*K+j*K+k)%(M*K)", REL_EQ, "j*K+k", YES},
    {"(i*M+j)/M", REL_LT, "N", YES},
    {"p*q", REL_LE, "x*y", YES},
    {"2*p*q", REL_LE, "2*x*y+1", YES},
    {"x*y", REL_LE, "p*q", UNKNOWN},
};

static void known_relations_are_proven(void **state) {
    Context *cx = *state;
    const char *const bound[][2] = {{"i", "N"}, {"j", "M"}, {"k", "K"}};
    Fact facts[4];
    for (int f = 0; f < 3; f++) {
        Dim index = dim_symbol(cx, loop_index(cx, bound[f][0]));
        facts[f] = (Fact){REL_LT, index, parse(cx, bound[f][1])};
    }
    facts[3] = (Fact){REL_LE, parse(cx, "p*q"), parse(cx, "x*y")};
    Scope outer = {.facts = facts, .n = 2}, scope = {.parent = &outer, .facts = facts + 2, .n = 2};
    for (size_t i = 0; i < COUNT(proofs); i++) {
        Dim a = parse(cx, proofs[i].a), b = parse(cx, proofs[i].b);
        Truth found = prove(cx, &scope, proofs[i].relation, a, b);
        if (found != proofs[i].expected) fail_msg("%s ? %s gives %d", proofs[i].a, proofs[i].b, (int)found);
    }
}

static const char *const simplifications[][2] = {
    {"j/M", "0"},
    {"j%M", "j"},
    {"(i*M+j)/M", "i"},
    {"(i*M+j)%M", "j"},
    {"(i*M*K+j*K+k)/(M*K)", "i"},
    {"(i*M*K+j*K+k)%(M*K)", "j*K+k"},
    {"((i*M*K+j*K+k)/K)%M", "j"},
    {"(i*M*K+j*K+k)%K", "k"},
    {"(i*M*K+j*K+k)/K/M", "i"},
    {"(j*K+k)/(M*K)", "0"},
    {"(x*K+k)/(M*K)", "x/M"},
    {"(32*x+l)/64", "x/2"},
    {"(63-c)/64", "0"},
    {"(N-1-i)/N", "0"},
    {"max(i,N)", "N"},
    {"min(i,N-1)", "i"},
    {"bcast(x,N1)", "x"},
    {"(q*32+l)/32*32+(q*32+l)%32", "q*32+l"},
};

static void indices_lose_their_divisions(void **state) {
    Context *cx = *state;
    const char *const bound[][2] = {{"i", "N"}, {"j", "M"}, {"k", "K"}, {"l", "32"}, {"c", "64"}};
    Fact facts[6];
    for (int f = 0; f < 5; f++) {
        Dim index = dim_symbol(cx, loop_index(cx, bound[f][0]));
        facts[f] = (Fact){REL_LT, index, parse(cx, bound[f][1])};
    }
    facts[5] = (Fact){REL_EQ, parse(cx, "N1"), dim_const(cx, 1)};
    Scope scope = {.facts = facts, .n = 6};
    for (size_t i = 0; i < COUNT(simplifications); i++) {
        Dim d = dim_simplify(cx, &scope, parse(cx, simplifications[i][0]));
        if (!dim_same(d, parse(cx, simplifications[i][1])))
            fail_msg("%s simplifies to %s", simplifications[i][0], dim_string(cx, d));
    }
    int64_t min, max;
    dim_range(cx, &scope, parse(cx, "2*l+c%8"), &min, &max);
    assert_int_equal(min, 0);
    assert_int_equal(max, 69);
    dim_range(cx, NULL, parse(cx, "x%64"), &min, &max);
    assert_int_equal(min, 0);
    assert_int_equal(max, 63);
}

/* ---- random expressions ------------------------------------------------------------------------------------------- */

enum { N_SYMBOLS = 7, MAX_NODES = 64 };

/* Birth ranges, and the values that valuations draw from them. */
static const struct {
    const char *name;
    SymbolKind kind;
    int64_t min, max, multiple, largest;
} births[N_SYMBOLS] = {
    {"a", SYMBOL_INPUT, 0, INT64_MAX, 1, 5}, {"b", SYMBOL_INPUT, 1, INT64_MAX, 1, 4}, {"c", SYMBOL_INPUT, 0, 3, 1, 3},
    {"m", SYMBOL_INPUT, 0, INT64_MAX, 4, 12}, {"z", SYMBOL_INPUT, -2, 2, 1, 2},       {"i", SYMBOL_INDEX, 0, INT64_MAX, 1, 4},
    {"j", SYMBOL_INDEX, 0, 7, 1, 7},
};

typedef struct Tree {
    char op; /* c: constant, s: symbol, + - * / % C (ceildiv) M (max) m (min) B (bcast) */
    int64_t value;
    uint32_t left, right;
} Tree;

typedef struct World {
    Context *cx;
    Symbol symbols[N_SYMBOLS];
    Tree nodes[MAX_NODES];
    uint32_t n;
} World;

static void world_init(World *w) {
    w->cx = context_new(NULL);
    assert_non_null(w->cx);
    uint32_t first = draw(N_SYMBOLS);
    for (uint32_t k = 0; k < N_SYMBOLS; k++) { /* in any order: nothing may depend on ids */
        uint32_t s = (first + k) % N_SYMBOLS;
        w->symbols[s] = symbol_new(w->cx, &(SymbolInfo){.name = births[s].name,
                                                        .kind = births[s].kind,
                                                        .min = births[s].min,
                                                        .max = births[s].max,
                                                        .multiple = births[s].multiple});
    }
}

static uint32_t grow(World *w, uint32_t depth, const char *ops) {
    uint32_t at = w->n++;
    Tree t = {.op = 's', .value = draw(N_SYMBOLS)};
    if (!depth || draw(5) == 0 || w->n > MAX_NODES - 8) {
        if (draw(3) == 0) t = (Tree){.op = 'c', .value = (int64_t)draw(14) - 4};
    } else {
        t.op = ops[draw((uint32_t)strlen(ops))];
        t.left = grow(w, depth - 1, ops);
        t.right = grow(w, depth - 1, ops);
        if (strchr("/%C", t.op) && draw(3)) w->nodes[t.right] = (Tree){.op = 'c', .value = 1 + draw(8)};
    }
    w->nodes[at] = t;
    return at;
}

static Dim build(World *w, uint32_t at) {
    Tree t = w->nodes[at];
    Context *cx = w->cx;
    if (t.op == 'c') return dim_const(cx, t.value);
    if (t.op == 's') return dim_symbol(cx, w->symbols[t.value]);
    Dim a = build(w, t.left), b = build(w, t.right);
    switch (t.op) {
    case '+': return dim_add(cx, a, b);
    case '-': return dim_sub(cx, a, b);
    case '*': return dim_mul(cx, a, b);
    case '/': return dim_fdiv(cx, a, b);
    case '%': return dim_mod(cx, a, b);
    case 'C': return dim_cdiv(cx, a, b);
    case 'M': return dim_max(cx, a, b);
    case 'm': return dim_min(cx, a, b);
    default: return dim_bcast(cx, a, b);
    }
}

/* false: outside the contract. */
static bool value(const World *w, uint32_t at, const int64_t *values, int64_t *r) {
    Tree t = w->nodes[at];
    int64_t a, b;
    if (t.op == 'c') return *r = t.value, true;
    if (t.op == 's') return *r = values[w->symbols[t.value].id], true;
    if (!value(w, t.left, values, &a) || !value(w, t.right, values, &b)) return false;
    if (strchr("/%C", t.op) && b < 1) return false;
    if (t.op == 'B' && a != b && a != 1 && b != 1) return false;
    switch (t.op) {
    case '+': return ck_add(a, b, r);
    case '-': return ck_sub(a, b, r);
    case '*': return ck_mul(a, b, r);
    case '/': *r = floor_div(a, b); break;
    case '%': *r = floor_mod(a, b); break;
    case 'C': *r = -floor_div(-a, b); break;
    case 'M': *r = a > b ? a : b; break;
    case 'm': *r = a < b ? a : b; break;
    default: *r = a == 1 ? b : a; break;
    }
    return true;
}

static void draw_values(const World *w, int64_t *values) {
    for (uint32_t s = 0; s < N_SYMBOLS; s++) {
        int64_t span = (births[s].largest - births[s].min) / births[s].multiple + 1;
        values[w->symbols[s].id] = births[s].min + births[s].multiple * draw((uint32_t)span);
    }
}

static const char all_ops[] = "++--**//%CMmB";
enum { CASES = 10000, PER_WORLD = 500 };

static void construction_keeps_the_value(void **state) {
    (void)state;
    World w;
    seed();
    for (int i = 0; i < CASES; i++) {
        if (i % PER_WORLD == 0) world_init(&w);
        w.n = 0;
        uint32_t root = grow(&w, 1 + draw(4), all_ops);
        Dim d = build(&w, root);
        for (int k = 0; k < 40; k++) {
            int64_t values[N_SYMBOLS * 8] = {0}, expected, found = 0, ranged[2];
            draw_values(&w, values);
            if (!value(&w, root, values, &expected)) continue;
            bool evaluates = dim_eval(w.cx, d, values, &found);
            if (!evaluates || found != expected)
                fail_msg("case %d: %s is %" PRId64 ", expected %" PRId64, i, dim_string(w.cx, d), found, expected);
            dim_range(w.cx, NULL, d, &ranged[0], &ranged[1]);
            if (expected < ranged[0] || expected > ranged[1])
                fail_msg("case %d: %s = %" PRId64 " is out of its range", i, dim_string(w.cx, d), expected);
        }
        /* the ring has inverses, whatever atoms are in it */
        Dim e = build(&w, grow(&w, 2, all_ops)), sum = dim_add(w.cx, d, e);
        if (!dim_same(dim_sub(w.cx, sum, e), d) && !strstr(dim_string(w.cx, sum), "let("))
            fail_msg("case %d: %s is not undone", i, dim_string(w.cx, sum));
        if (i % PER_WORLD == PER_WORLD - 1) context_free(w.cx);
    }
}

static void text_reads_back(void **state) {
    (void)state;
    World w, fresh;
    seed();
    for (int i = 0; i < CASES; i++) {
        if (i % PER_WORLD == 0) world_init(&w), world_init(&fresh);
        w.n = 0;
        Dim d = build(&w, grow(&w, 1 + draw(5), all_ops));
        const char *text = dim_string(w.cx, d), *at = text;
        Dim again = dim_parse(w.cx, nowhere, &at, false);
        if (!dim_same(d, again) || *at) fail_msg("case %d: %s reads back as %s", i, text, dim_string(w.cx, again));
        const char *there = dim_string(fresh.cx, parse(fresh.cx, text));
        if (strcmp(text, there) != 0) fail_msg("case %d: %s becomes %s in a fresh context", i, text, there);
        if (i % PER_WORLD == PER_WORLD - 1) context_free(w.cx), context_free(fresh.cx);
    }
}

/* ---- random scopes ------------------------------------------------------------------------------------------------ */

enum { MAX_SCOPE = 4 };

typedef struct Claim { /* a relation of two trees */
    Relation relation;
    uint32_t a, b;
} Claim;

static Claim draw_claim(World *w, uint32_t depth, const char *ops) {
    static const Relation relations[] = {REL_LE, REL_LT, REL_LE, REL_LT, REL_EQ, REL_NE, REL_DIVIDES};
    Claim c = {.relation = relations[draw(7)]};
    c.a = grow(w, depth, ops);
    c.b = grow(w, depth, ops);
    if (c.relation == REL_DIVIDES && draw(3)) w->nodes[c.a] = (Tree){.op = 'c', .value = 1 + draw(6)};
    return c;
}

static Fact claim_fact(World *w, Claim c) { return (Fact){c.relation, build(w, c.a), build(w, c.b)}; }

/* 1 true, 0 false, -1 outside the contract. */
static int holds(const World *w, Claim c, const int64_t *values) {
    int64_t a, b;
    if (!value(w, c.a, values, &a) || !value(w, c.b, values, &b)) return -1;
    switch (c.relation) {
    case REL_EQ: return a == b;
    case REL_NE: return a != b;
    case REL_LE: return a <= b;
    case REL_LT: return a < b;
    case REL_DIVIDES: return a == 0 ? -1 : b % a == 0;
    }
    return -1;
}

typedef struct Assumed {
    Claim claims[MAX_SCOPE];
    Fact facts[MAX_SCOPE];
    Scope outer, scope;
    uint32_t n;
} Assumed;

static void assume(World *w, Assumed *s) {
    s->n = draw(MAX_SCOPE + 1);
    for (uint32_t f = 0; f < s->n; f++) {
        s->claims[f] = draw_claim(w, draw(3), draw(2) ? "+-" : "+-*/");
        s->facts[f] = claim_fact(w, s->claims[f]);
    }
    s->outer = (Scope){.facts = s->facts, .n = s->n / 2};
    s->scope = (Scope){.parent = &s->outer, .facts = s->facts + s->n / 2, .n = s->n - s->n / 2};
}

static bool admitted(const World *w, const Assumed *s, const int64_t *values) {
    for (uint32_t f = 0; f < s->n; f++)
        if (holds(w, s->claims[f], values) != 1) return false;
    return true;
}

static void proofs_are_sound(void **state) {
    (void)state;
    World w;
    Assumed s;
    seed();
    uint32_t decided = 0;
    for (int i = 0; i < CASES; i++) {
        if (i % PER_WORLD == 0) world_init(&w);
        w.n = 0;
        assume(&w, &s);
        w.n = s.n ? w.n : 0;
        if (w.n < MAX_NODES - 20) {
            Claim claim = draw_claim(&w, draw(3), draw(2) ? "+-*/%" : all_ops);
            Fact fact = claim_fact(&w, claim);
            Truth truth = prove(w.cx, &s.scope, fact.relation, fact.a, fact.b);
            decided += truth != UNKNOWN;
            for (int k = 0; k < 300 && truth != UNKNOWN; k++) {
                int64_t values[N_SYMBOLS * 8] = {0};
                draw_values(&w, values);
                int found = admitted(&w, &s, values) ? holds(&w, claim, values) : -1;
                if (found != -1 && found != (truth == YES))
                    fail_msg("case %d: %s, %s, relation %d: proven %d", i, dim_string(w.cx, fact.a),
                             dim_string(w.cx, fact.b), (int)fact.relation, (int)truth);
            }
        }
        if (i % PER_WORLD == PER_WORLD - 1) context_free(w.cx);
    }
    assert_true(decided > CASES / 4);
}

static void simplification_keeps_the_value(void **state) {
    (void)state;
    World w;
    Assumed s;
    seed();
    uint32_t changed = 0;
    for (int i = 0; i < CASES; i++) {
        if (i % PER_WORLD == 0) world_init(&w);
        w.n = 0;
        assume(&w, &s);
        if (w.n < MAX_NODES - 20) {
            uint32_t root = grow(&w, 1 + draw(3), "+-*//%%CMmB");
            Dim d = build(&w, root), simple = dim_simplify(w.cx, &s.scope, d);
            int64_t min, max;
            dim_range(w.cx, &s.scope, d, &min, &max);
            changed += !dim_same(d, simple);
            for (int k = 0; k < 100; k++) {
                int64_t values[N_SYMBOLS * 8] = {0}, expected, found = 0;
                draw_values(&w, values);
                if (!admitted(&w, &s, values) || !value(&w, root, values, &expected)) continue;
                if (!dim_eval(w.cx, simple, values, &found) || found != expected)
                    fail_msg("case %d: %s became %s", i, dim_string(w.cx, d), dim_string(w.cx, simple));
                if (expected < min || expected > max)
                    fail_msg("case %d: %s = %" PRId64 " is out of range", i, dim_string(w.cx, d), expected);
            }
        }
        if (i % PER_WORLD == PER_WORLD - 1) context_free(w.cx);
    }
    assert_true(changed > CASES / 50);
}

/* ---- upper bounds, substitution ----------------------------------------------------------------------------------- */

static void upper_bounds_hold_and_grow(void **state) {
    (void)state;
    World w;
    seed();
    Symbol found = {0};
    uint32_t bounded = 0;
    for (int i = 0; i < CASES; i++) {
        if (i % PER_WORLD == 0) {
            world_init(&w);
            Dim capacity = parse(w.cx, "a*b+2");
            found =
                symbol_new(w.cx, &(SymbolInfo){.name = "found", .kind = SYMBOL_FOUND, .max = INT64_MAX, .capacity = capacity});
            w.symbols[5] = found; /* for i */
        }
        w.n = 0;
        uint32_t root = grow(&w, 1 + draw(3), all_ops);
        Dim d = build(&w, root), upper = dim_upper(w.cx, d);
        bounded += upper.id != 0;
        for (uint32_t s = 0; s < N_SYMBOLS && upper.id; s++)
            if (s >= 5 && dim_uses(w.cx, upper, w.symbols[s])) fail_msg("case %d: not in input symbols", i);
        for (int k = 0; k < 40 && upper.id; k++) {
            int64_t low[N_SYMBOLS * 8] = {0}, high[N_SYMBOLS * 8], expected, bound, larger;
            draw_values(&w, low);
            low[found.id] = draw((uint32_t)(low[w.symbols[0].id] * low[w.symbols[1].id]) + 3);
            memcpy(high, low, sizeof high);
            for (uint32_t s = 0; s < 5; s++)
                high[w.symbols[s].id] += births[s].multiple * draw(3);
            if (high[w.symbols[2].id] > 3) high[w.symbols[2].id] = 3;
            if (high[w.symbols[4].id] > 2) high[w.symbols[4].id] = 2;
            if (!value(&w, root, low, &expected)) continue;
            assert_true(dim_eval(w.cx, upper, low, &bound) && dim_eval(w.cx, upper, high, &larger));
            if (bound < expected || larger < bound)
                fail_msg("case %d: %s bounded by %s", i, dim_string(w.cx, d), dim_string(w.cx, upper));
        }
        if (i % PER_WORLD == PER_WORLD - 1) context_free(w.cx);
    }
    assert_true(bounded > CASES * 9 / 10);
}

static void known_upper_bounds(void **state) {
    Context *cx = *state;
    static const char *const bounds[][2] = {
        {"b*s-s", "b*s"},          {"ceildiv(s,64)*64-s", "63"}, {"h-3", "h-3"},     {"(h-1)/2+1", "(h-1)/2+1"},
        {"(b*s)/t*t", "b*s"},      {"min(s,100)", "100"},        {"s%64", "63"},     {"x/(s+4)", "x/4"},
        {"max(s,t)-t", "max(s,t)"}, {"bcast(s,t)", "max(s,t)"},  {"min(b,100)*4", "400"},
    };
    for (size_t i = 0; i < COUNT(bounds); i++) {
        Dim upper = dim_upper(cx, parse(cx, bounds[i][0]));
        if (!dim_same(upper, parse(cx, bounds[i][1]))) fail_msg("%s: %s", bounds[i][0], dim_string(cx, upper));
    }
    assert_int_equal(dim_upper(cx, dim_symbol(cx, loop_index(cx, "i"))).id, 0);
}

static void substitution_and_affine_parts_agree_with_values(void **state) {
    (void)state;
    World w;
    seed();
    uint32_t affine = 0;
    for (int i = 0; i < CASES; i++) {
        if (i % PER_WORLD == 0) world_init(&w);
        w.n = 0;
        uint32_t root = grow(&w, 1 + draw(3), all_ops), with[2];
        Dim d = build(&w, root), images[2], a, b;
        Symbol replaced[2] = {w.symbols[0], w.symbols[5]};
        for (int k = 0; k < 2; k++) {
            with[k] = grow(&w, 1, "+-*");
            images[k] = build(&w, with[k]);
        }
        Dim result = dim_substitute(w.cx, d, replaced, images, 2);
        bool is_affine = dim_affine(w.cx, d, replaced[0], &a, &b);
        affine += is_affine && dim_uses(w.cx, d, replaced[0]);
        for (int k = 0; k < 30; k++) {
            int64_t values[N_SYMBOLS * 8] = {0}, after[N_SYMBOLS * 8], x = 0, y = 0, expected, found = 0;
            draw_values(&w, values);
            if (is_affine && value(&w, root, values, &expected)) {
                assert_true(dim_eval(w.cx, a, values, &x) && dim_eval(w.cx, b, values, &y));
                assert_int_equal(x * values[replaced[0].id] + y, expected);
            }
            memcpy(after, values, sizeof after);
            if (!value(&w, with[0], values, &x) || !value(&w, with[1], values, &y)) continue;
            after[replaced[0].id] = x;
            after[replaced[1].id] = y;
            if (x < 0 || y < 0 || !value(&w, root, after, &expected)) continue; /* births hold for what comes in */
            if (!dim_eval(w.cx, result, values, &found) || found != expected)
                fail_msg("case %d: %s became %s", i, dim_string(w.cx, d), dim_string(w.cx, result));
        }
        if (i % PER_WORLD == PER_WORLD - 1) context_free(w.cx);
    }
    assert_true(affine > CASES / 50);
}

/* ---- limits ------------------------------------------------------------------------------------------------------- */

static void limits_give_let_symbols(void **state) {
    Context *cx = *state;
    int64_t values[64] = {0}, result;
    Dim huge = dim_const(cx, INT64_MAX), x = parse(cx, "x"), overflow = dim_mul(cx, huge, dim_muli(cx, x, 2));
    assert_true(overflow.id);
    values[symbol_find(cx, "x").id] = 0;
    assert_true(dim_eval(cx, overflow, values, &result));
    assert_int_equal(result, 0);
    values[symbol_find(cx, "x").id] = 1;
    assert_false(dim_eval(cx, overflow, values, &result));
    assert_true(dim_same(overflow, parse(cx, dim_string(cx, overflow))));
    assert_int_equal(prove(cx, NULL, REL_LE, dim_add(cx, huge, huge), huge), NO);
    Dim least = parse(cx, "-9223372036854775808*x^2+-9223372036854775808*x");
    assert_string_equal(dim_string(cx, least), "-9223372036854775808*x^2+-9223372036854775808*x");

    Dim wide = dim_const(cx, 0); /* more terms than a dim holds */
    for (int i = 0; i < 50; i++) wide = dim_add(cx, wide, parse(cx, arena_print(cx->arena, "w%d", i)));
    const Term *terms;
    assert_true(dim_terms(cx, wide, &terms) <= 32);
    int64_t many[256];
    for (int i = 0; i < 256; i++) many[i] = 2;
    assert_true(dim_eval(cx, wide, many, &result));
    assert_int_equal(result, 100);
    assert_true(dim_same(wide, parse(cx, dim_string(cx, wide))));
    Symbol w3 = symbol_find(cx, "w3");
    assert_true(dim_uses(cx, wide, w3));
    Dim five = dim_const(cx, 5);
    assert_true(dim_eval(cx, dim_substitute(cx, wide, &w3, &five, 1), many, &result));
    assert_int_equal(result, 103);
    assert_true(dim_eval(cx, dim_upper(cx, wide), many, &result));
    assert_int_equal(result, 100);

    Dim deep = x, power = parse(cx, "x+y+z"); /* a tree of 2^60 leaves, if it were one */
    for (int i = 0; i < 60; i++) {
        deep = dim_mul(cx, dim_fdiv(cx, dim_addi(cx, deep, 1), parse(cx, "y")), dim_max(cx, deep, parse(cx, "z")));
        power = dim_mul(cx, power, power);
    }
    assert_true(dim_eval(cx, deep, many, &result));
    assert_true(strlen(dim_string(cx, deep)) < 1000000);
    assert_true(dim_hint(cx, power) > 0);
    assert_true(prove(cx, NULL, REL_LE, deep, power) != YES);
    assert_true(dim_upper(cx, deep).id != 0);
    assert_int_equal(diag_count(cx), 0);
}

static void symbols_are_declared_before_use(void **state) {
    Context *cx = *state;
    Symbol n = symbol_new(cx, &(SymbolInfo){.name = "n", .max = INT64_MAX}), again = symbol_new(cx, &(SymbolInfo){.name = "n"});
    assert_string_equal(symbol_info(cx, n)->name, "n");
    assert_string_equal(symbol_info(cx, again)->name, "n_1");
    assert_int_equal(symbol_find(cx, "n").id, n.id);
    assert_int_equal(symbol_find(cx, "absent").id, 0);
    symbol_declare(cx, n, 3, 21, 4, 8);
    assert_int_equal(symbol_info(cx, n)->min, 4);
    assert_int_equal(symbol_info(cx, n)->max, 20);
    assert_int_equal(dim_hint(cx, parse(cx, "2*n+1")), 17);
    assert_int_equal(prove(cx, NULL, REL_DIVIDES, dim_const(cx, 4), parse(cx, "n+8")), YES);
    assert_int_equal(prove(cx, NULL, REL_EQ, parse(cx, "n/4*4"), parse(cx, "n")), YES);
    assert_true(dim_is(cx, parse(cx, "n%4"), 0));
    Symbol fixed = symbol_new(cx, &(SymbolInfo){.name = "fixed", .max = INT64_MAX});
    symbol_declare(cx, fixed, 7, 7, 1, 0);
    assert_true(dim_is(cx, dim_symbol(cx, fixed), 7));
    symbol_declare(cx, n, 3, 21, 4, 0); /* the same again is no change */
    if (context_enter(cx)) {
        symbol_declare(cx, n, 0, 5, 1, 0);
        fail_msg("a late declaration was accepted");
    }
    context_leave(cx);
}

static void mistakes_are_diagnosed(void **state) {
    Context *cx = *state;
    static const char *const wrong[] = {"",      "x+",      "(x",     "max(x)", "ceildiv(x,0)", "x/0", "9223372036854775808",
                                        "x^999", "\"a\\q\"", "\"open", "*x",    "max(x,y",       "x %%"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        const char *at = wrong[i];
        assert_int_equal(dim_parse(cx, nowhere, &at, true).id, 0);
        assert_int_equal(diag_error_count(cx), i + 1);
    }
    const char *at = "unknown+1";
    assert_int_equal(dim_parse(cx, nowhere, &at, false).id, 0);
    char nested[4000];
    memset(nested, '(', sizeof nested - 1);
    nested[sizeof nested - 1] = 0;
    at = nested;
    assert_int_equal(dim_parse(cx, nowhere, &at, true).id, 0);
    memset(nested, '-', sizeof nested - 1);
    at = nested;
    assert_int_equal(dim_parse(cx, nowhere, &at, true).id, 0);
    at = "N] -> x";
    assert_true(dim_parse(cx, nowhere, &at, true).id);
    assert_string_equal(at, "] -> x");
    Dim odd = parse(cx, "\"past + seq\"*\"max\"+\"say \\\"hi\\\"\"");
    assert_true(dim_same(odd, parse(cx, dim_string(cx, odd))));
    assert_non_null(strstr(dim_string(cx, odd), "\"past + seq\""));
    assert_string_equal(dim_string(cx, parse(cx, "1+h/32+seq*2*batch-x^2")), "2*batch*seq-x^2+floordiv(h,32)+1");
    assert_int_equal(dim_add(cx, (Dim){0}, odd).id, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(identities_are_normal_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(known_relations_are_proven, setup, teardown),
        cmocka_unit_test_setup_teardown(indices_lose_their_divisions, setup, teardown),
        cmocka_unit_test_setup_teardown(known_upper_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_give_let_symbols, setup, teardown),
        cmocka_unit_test_setup_teardown(symbols_are_declared_before_use, setup, teardown),
        cmocka_unit_test_setup_teardown(mistakes_are_diagnosed, setup, teardown),
        cmocka_unit_test(construction_keeps_the_value),
        cmocka_unit_test(text_reads_back),
        cmocka_unit_test(proofs_are_sound),
        cmocka_unit_test(simplification_keeps_the_value),
        cmocka_unit_test(upper_bounds_hold_and_grow),
        cmocka_unit_test(substitution_and_affine_parts_agree_with_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
