/* infer_broadcast.c: when may an extent be broadcast to another?  As facts about dims, for run-time
 * guards.
 *
 * d may become s where d is s or 1, which as one relation is (d - s) * (d - 1) == 0.  Where s is a
 * bcast of which d is a part, the parts must be compatible in pairs: (d - e) * (d - 1) * (e - 1) ==
 * 0; bcast itself presumes that they are. The sign of a product is fixed by its leading
 * coefficient, so that equal conditions are equal dims in every Context.
 */
#include "infer.h"

typedef struct Parts {
    uint32_t n;
    Dim at[MAX_BROADCAST_PARTS];
} Parts;

static bool add_parts(Context *cx, Dim d, Parts *parts) {
    const Term *term;
    if (dim_terms(cx, d, &term) == 1 && term->coefficient == 1 && term->n == 1 &&
        term->factors[0].power == 1) {
        Atom atom = dim_atom(cx, term->factors[0].atom);
        if (atom.kind == ATOM_BCAST)
            return add_parts(cx, atom.a, parts) && add_parts(cx, atom.b, parts);
    }
    if (parts->n == MAX_BROADCAST_PARTS)
        return false;
    parts->at[parts->n++] = d;
    return true;
}

static bool has_part(const Parts *parts, Dim d) {
    for (uint32_t i = 0; i < parts->n; i++)
        if (dim_same(parts->at[i], d))
            return true;
    return false;
}

static Dim with_sign(Context *cx, Dim d) {
    const Term *terms;
    if (dim_terms(cx, d, &terms) && terms[0].coefficient < 0)
        return dim_muli(cx, d, -1);
    return d;
}

/* 0 where a is b or a is 1. */
static Dim misfit(Context *cx, Dim a, Dim b) {
    return dim_mul(cx, dim_sub(cx, a, b), dim_addi(cx, a, -1));
}

uint32_t broadcast_conditions(Context *cx, Dim from, Dim to, Dim zeros[MAX_BROADCAST_CONDITIONS]) {
    uint32_t n = 0;
    if (from.id == 0 || to.id == 0 || dim_same(from, to) || dim_is(cx, from, 1))
        return 0;
    Parts small = {0}, large = {0};
    bool inside = add_parts(cx, from, &small) && add_parts(cx, to, &large) && large.n > 1;
    for (uint32_t i = 0; inside && i < small.n; i++)
        inside = has_part(&large, small.at[i]);
    if (!inside) {
        zeros[0] = with_sign(cx, misfit(cx, from, to));
        return 1;
    }
    for (uint32_t i = 0; i < small.n; i++)
        for (uint32_t j = 0; j < large.n; j++) {
            Dim a = small.at[i], b = large.at[j];
            if (dim_same(a, b))
                continue;
            zeros[n++] = with_sign(cx, dim_mul(cx, misfit(cx, a, b), dim_addi(cx, b, -1)));
        }
    return n;
}
