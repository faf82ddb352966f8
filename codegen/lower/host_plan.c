/* host_plan.c: N_plan: offsets of all buffers at given symbol values.
 *
 * A buffer lies on the highest end among those in its `above` list (pass plan), a function's frame ends at its highest end,
 * and a region's frame is a buffer of its parent: maxima and sums alone, so everything is monotone in the symbols.
 * Sizes that overflow give -1.  Invariant: offsets are multiples of 64.
 */
#include "program.h"

/* Saturates instead of wrapping: sizes are sums and products of values >= 0, so a double of them tells overflow. */
static LVal sum_checked(Program *p, LVal a, LVal b, LVal *overflow) {
    LVal sum = l_add(p->b, a, b);
    LVal bad = l_bin(p->b, LOP_or, l_lt(p->b, sum, a), l_lt(p->b, b, l_i64(p->b, 0)));
    *overflow = overflow->id ? l_bin(p->b, LOP_or, *overflow, bad) : bad;
    return sum;
}

static LVal size_value(Program *p, Dim bytes, LVal *overflow) {
    LVal exact = program_dim(p, bytes);
    const Term *terms;
    uint32_t n = dim_terms(p->cx, bytes, &terms);
    bool constant = n == 0 || (n == 1 && terms[0].n == 0);
    if (constant) return exact;
    /* The same polynomial in doubles, roughly: far below 2^63 wherever the integers are right. */
    LVal bad = l_bin(p->b, LOP_le, l_float(p->b, lt_scalar(DT_f64), 4.0e18), program_estimate(p, bytes));
    *overflow = overflow->id ? l_bin(p->b, LOP_or, *overflow, bad) : bad;
    return exact;
}

static LVal larger(Program *p, LVal a, LVal b) { return l_max(p->b, a, b); }

/* Upper estimate of |d| in double: every term's absolute value.  *peak takes in all values on the way to d. */
static LVal estimate(Program *p, Dim d, LVal *peak) {
    LoopBuilder *b = p->b;
    int64_t divisor;
    const Term *terms;
    uint32_t n = dim_terms(p->cx, d, &terms);
    LVal sum = l_float(b, lt_scalar(DT_f64), 0), one = l_float(b, lt_scalar(DT_f64), 1);
    for (uint32_t i = 0; i < n; i++) {
        double c = (double)terms[i].coefficient;
        LVal t = l_float(b, lt_scalar(DT_f64), c < 0 ? -c : c);
        for (uint32_t f = 0; f < terms[i].n; f++) {
            Atom a = dim_atom(p->cx, terms[i].factors[f].atom);
            LVal x;
            if (a.kind == ATOM_SYMBOL && symbol_info(p->cx, a.symbol)->kind != SYMBOL_LET)
                x = l_un(b, LOP_abs, l_convert(b, p->symbols[a.symbol.id], DT_f64));
            else if (a.kind == ATOM_SYMBOL)
                x = estimate(p, symbol_info(p->cx, a.symbol)->capacity, peak);
            else if (a.kind == ATOM_FDIV && dim_const_value(p->cx, a.b, &divisor))
                x = l_add(b, l_mul(b, estimate(p, a.a, peak), l_float(b, lt_scalar(DT_f64), 1 / (double)divisor)), one);
            else if (a.kind == ATOM_FDIV)
                x = l_add(b, estimate(p, a.a, peak), one);
            else
                x = estimate(p, a.a, peak), x = larger(p, x, estimate(p, a.b, peak));
            for (uint32_t k = 0; k < terms[i].factors[f].power; k++) t = l_mul(b, t, x);
        }
        sum = l_add(b, sum, t);
    }
    *peak = peak->id ? larger(p, *peak, sum) : sum;
    return sum;
}

LVal program_estimate(Program *p, Dim d) {
    LVal peak = {0};
    estimate(p, d, &peak);
    return peak;
}

/* Writes offsets[first + i] of g's buffers relative to its frame; returns the frame's size. */
static LVal plan_graph(Program *p, const Graph *g, LVal offsets, LVal *overflow) {
    LoopBuilder *b = p->b;
    uint32_t first = program_base(p, g), n = g->plan->n;
    LVal *end = arena_new_array(p->arena, LVal, n);
    LVal total = l_i64(b, 0);
    uint32_t left = n;
    for (bool progress = true; left && progress;) { /* in dependency order: `above` is acyclic */
        progress = false;
        for (uint32_t i = 0; i < n; i++) {
            const Buffer *u = &g->plan->buffers[i];
            bool ready = !end[i].id;
            for (uint32_t a = 0; a < u->n_above && ready; a++) ready = end[u->above[a]].id != 0;
            if (!ready) continue;
            LVal at = l_i64(b, 0);
            for (uint32_t a = 0; a < u->n_above; a++) at = a ? l_max(b, at, end[u->above[a]]) : end[u->above[a]];
            l_store(b, offsets, l_i64(b, first + i), at, (LVal){0});
            LVal size = u->frame ? plan_graph(p, u->frame, offsets, overflow) : size_value(p, u->bytes, overflow);
            end[i] = sum_checked(p, at, size, overflow);
            total = l_max(b, total, end[i]);
            progress = true, left--;
        }
    }
    if (left) BUG(p->cx, "the memory plan of %s is cyclic", g->name);
    return total;
}

void program_plan(Program *p, const Graph *g) {
    LParam params[] = {{.name = "symbols", .type = lt_pointer(DT_i64), .flags = LP_READONLY},
                       {.name = "offsets", .type = lt_pointer(DT_i64)}};
    LoopBuilder *b = p->b = loop_begin(p->m, program_name(p, "plan"), LF_EXPORT, params, 2, lt_scalar(DT_i64));
    p->symbols = arena_new_array(p->arena, LVal, symbol_count(p->cx) + 1);
    for (uint32_t i = 0; i < p->facts->n_input_symbols; i++)
        p->symbols[p->facts->symbols.at[i].id] = l_load(b, loop_param(b, 0), l_i64(b, i), 1, (LVal){0});
    LVal overflow = {0};
    LVal total = plan_graph(p, g, loop_param(b, 1), &overflow);
    LVal scratch = size_value(p, dim_muli(p->cx, dim_cdiv(p->cx, p->scratch, dim_const(p->cx, 64)), 64), &overflow);
    l_store(b, loop_param(b, 1), l_i64(b, p->facts->n_offsets), scratch, (LVal){0});
    if (overflow.id) total = l_select(b, overflow, l_i64(b, -1), total);
    l_return(b, total);
    loop_end(b);
}
