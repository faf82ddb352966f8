/* host_guard.c: conditions on sizes, as instructions: N_bind checks those over sizes of inputs, N_main the others.
 *
 * A guard over a size that is only found while running is checked as soon as the size is known; a region's guards are checked
 * on entering it, so that those of a branch not taken never fire.  Failing answers INGOT_E_SHAPE with both values.
 */
#include "program.h"

static bool mentions_found(Program *p, Dim d) {
    for (uint32_t i = p->facts->n_input_symbols; i < p->facts->symbols.n; i++)
        if (dim_uses(p->cx, d, p->facts->symbols.at[i])) return true;
    return false;
}

bool program_guard_is_late(Program *p, const Guard *g) { return mentions_found(p, g->fact.a) || mentions_found(p, g->fact.b); }

static bool known(Program *p, Dim d) {
    for (uint32_t i = 0; i < p->facts->symbols.n; i++) {
        Symbol s = p->facts->symbols.at[i];
        if (!p->symbols[s.id].id && dim_uses(p->cx, d, s)) return false;
    }
    return true;
}

LVal program_guard(Program *p, const Guard *guard, LVal *x, LVal *y) {
    static const LOp test[] = {[REL_EQ] = LOP_eq, [REL_NE] = LOP_ne, [REL_LE] = LOP_le, [REL_LT] = LOP_lt};
    *x = program_dim(p, guard->fact.a), *y = program_dim(p, guard->fact.b);
    if (guard->fact.relation != REL_DIVIDES) return l_bin(p->b, test[guard->fact.relation], *x, *y);
    LVal rest = l_bin(p->b, LOP_rem, *y, l_max(p->b, *x, l_i64(p->b, 1)));
    return l_bin(p->b, LOP_eq, rest, l_i64(p->b, 0));
}

static void check(Program *p, LVal fail, const Guard *guard) {
    LoopBuilder *b = p->b;
    LVal x, y, holds = program_guard(p, guard, &x, &y);
    int64_t constant;
    if (loop_const_int(b, holds, &constant) && constant) return;
    LIf branch = l_if(b, l_un(b, LOP_not, holds));
    LVal record[] = {l_i64(b, p->facts->launches.n), x, y};
    for (uint32_t i = 0; i < COUNT(record); i++) l_store(b, fail, l_i64(b, i), record[i], (LVal){0});
    l_return(b, l_int(b, lt_scalar(DT_i32), INGOT_E_SHAPE));
    l_else(b, &branch, NULL, 0);
    l_if_end(b, &branch, NULL, 0, NULL);
    const char *where = loc_string(p->cx, guard->loc);
    const char *text = arena_print(p->arena, "%s%s%s", *where ? where : "", *where ? ": " : "", guard->message);
    vec_push(p->arena, &p->facts->launches, text);
}

void program_late_guards(Program *p, const Graph *g, bool region, bool *checked, LVal fail) {
    for (uint32_t i = 0; i < g->guards.n; i++) {
        const Guard *guard = &g->guards.at[i];
        if (checked[i] || !known(p, guard->fact.a) || !known(p, guard->fact.b)) continue;
        checked[i] = true;
        if (region || program_guard_is_late(p, guard)) check(p, fail, guard);
    }
}
