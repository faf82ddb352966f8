/* ranks.c: the best of a line for template top_k, sixteen elements at a time.
 *
 * An element is a key of 64 bits: above, its value as an integer that ascends in the order asked for (NaN beyond infinity, both
 * zeros alike); below, its place, so that keys differ and the lower place comes first among equals.  The line is read in
 * vectors; those ahead of the last of the best so far join the candidates, which are sorted and cut to the best whenever they
 * are twice as many.  Few keys are sorted by counting how many are smaller, many by their bytes (LSD radix, stable, so that
 * places need no passes: candidates join in their order).
 * Source: Knuth, The Art of Computer Programming 3, 5.2 (comparison counting), 5.2.5 (radix sorting).
 */
#include "order.h"

enum {
    SPARE = 2 * LANES, /* keys beyond the last: a vector that joins, a vector of pads */
    COUNTED = 96,      /* so few are sorted by counting */
    DIGIT = 256,
    DIGITS = 4
};

typedef struct Ranks {
    Kernel *k;
    Lines *l;
    LVal limit, room;            /* of candidates, beyond which they are cut to the best */
    LVal keys, other;            /* i64: candidates; as many again to sort into */
    bool all;                    /* every element is asked for */
} Ranks;

static Dim wanted(const Lines *l) { return attr_dim(l->node, ATTR_value); }

static bool takes_all(Kernel *k, const Lines *l) {
    return prove(k->cx, k->scope, REL_EQ, wanted(l), l->x->dims[l->axis]) == YES;
}

bool ranks_by_keys(Kernel *k, const Lines *l) {
    enum { FEW = 8, SHORT = 16 };
    Context *cx = k->cx;
    Dim extent = l->x->dims[l->axis];
    DType t = l->x->dtype;
    bool fits = t != DT_bool && dtype_bytes(t) <= 2;
    if (dtype_is_float(t)) fits = loop_compute_dtype(t) == DT_f32;
    if (!fits || prove(cx, k->scope, REL_LT, extent, dim_const(cx, INT64_C(1) << 32)) != YES) return false;
    if (!dim_upper(cx, wanted(l)).id) return false;
    return prove(cx, k->scope, REL_LE, extent, dim_const(cx, SHORT)) != YES ||
           prove(cx, k->scope, REL_LE, wanted(l), dim_const(cx, FEW)) != YES;
}

/* Keys that candidates for so many take, at most. */
static Dim most_keys(Kernel *k, const Lines *l, Dim many) {
    return dim_addi(k->cx, dim_muli(k->cx, many, takes_all(k, l) ? 1 : 2), LANES);
}

/* In sizes of inputs: memory is planned before anything is found. */
Dim ranks_scratch(Kernel *k, const Lines *l) {
    Dim most = most_keys(k, l, dim_upper(k->cx, wanted(l)));
    return dim_muli(k->cx, dim_addi(k->cx, most, SPARE), 2 * dtype_bytes(DT_i64));
}

/* The upper half of a key: ascends where elements come later; below INT32_MAX. */
static LVal upper_half(const Ranks *r, LVal x) {
    enum { BEYOND_INFINITY = 0x7ffffff0 };
    LoopBuilder *b = r->k->b;
    LVal bits;
    if (dtype_is_float(r->l->x->dtype)) {
        x = l_add(b, x, l_float(b, loop_type(b, x), 0)); /* -0 becomes 0 */
        bits = l_bitcast(b, x, DT_i32);
        LType t = loop_type(b, bits);
        LVal sign = l_bin(b, LOP_shr, bits, l_int(b, t, 31));
        bits = l_bin(b, LOP_xor, bits, l_bin(b, LOP_and, sign, l_int(b, t, INT32_MAX)));
        bits = l_select(b, l_bin(b, LOP_ne, x, x), l_int(b, t, BEYOND_INFINITY), bits);
    } else {
        bits = l_convert(b, x, DT_i32);
    }
    return attr_int(r->l->node, ATTR_largest) ? l_un(b, LOP_not, bits) : bits;
}

/* Sixteen elements from place `first` under the mask. */
static LVal elements(Ranks *r, Dim first, LVal mask) {
    Kernel *k = r->k;
    Dim place = dim_add(k->cx, first, dim_symbol(k->cx, k->lane));
    Fact inside[] = {{REL_LT, place, r->l->x->dims[r->l->axis]}};
    KernelScope scope;
    kernel_enter(k, &scope, inside, 1);
    r->l->at[r->l->axis] = place;
    k->lanes = LANES, k->mask = mask;
    LVal x = l_splat(k->b, kernel_eval(k, r->l->node->in[0], r->l->at), LANES);
    k->lanes = 1, k->mask = (LVal){0};
    kernel_leave(k, &scope);
    return x;
}

static LVal keys_of(Ranks *r, LVal upper, LVal first) {
    LoopBuilder *b = r->k->b;
    LType t = lt_vector(DT_i64, LANES);
    LVal lane = l_inst(b, LOP_iota, t, NULL, 0, 0), place = l_add(b, l_splat(b, first, LANES), lane);
    return l_bin(b, LOP_or, l_bin(b, LOP_shl, l_convert(b, upper, DT_i64), l_int(b, t, 32)), place);
}

/* The keys under the mask go behind the `count` there are; their new number. */
static LVal join(Ranks *r, LVal keys, LVal mask, LVal count) {
    LoopBuilder *b = r->k->b;
    LVal all = l_inst(b, LOP_reduce_and, lt_scalar(DT_bool), &mask, 1, 0), joined = l_add(b, count, l_i64(b, LANES));
    LType t = lt_vector(DT_i64, LANES);
    LIf whole = l_if(b, all);
    l_store(b, r->keys, count, keys, (LVal){0});
    l_else(b, &whole, &joined, 1);
    LVal bit = l_select(b, mask, l_int(b, t, 1), l_int(b, t, 0)), results[1];
    for (uint32_t i = 0; i < LANES; i++) { /* the next one goes over one that did not join */
        l_store(b, r->keys, count, l_inst(b, LOP_extract, lt_scalar(DT_i64), &keys, 1, i), (LVal){0});
        count = l_add(b, count, l_inst(b, LOP_extract, lt_scalar(DT_i64), &bit, 1, i));
    }
    l_if_end(b, &whole, &count, 1, results);
    return results[0];
}

/* ---- sorting ------------------------------------------------------------------------------------------------------------ */

/* Each goes to the place that the number of smaller ones is. */
static void sort_by_counting(Ranks *r, LVal count) {
    LoopBuilder *b = r->k->b;
    LType t = lt_vector(DT_i64, LANES);
    LVal zero = l_i64(b, 0), i, j;
    l_store(b, r->keys, count, l_int(b, t, INT64_MAX), (LVal){0});
    LFor each = l_for(b, zero, count, 1, LOOP_SERIAL, NULL, 0, &i);
    LVal key = l_load(b, r->keys, i, 1, (LVal){0}), smaller = l_int(b, t, 0);
    LFor others = l_for(b, zero, count, LANES, LOOP_SERIAL, &smaller, 1, &j);
    LVal less = l_lt(b, l_load(b, r->keys, j, LANES, (LVal){0}), l_splat(b, key, LANES));
    smaller = l_add(b, smaller, l_select(b, less, l_int(b, t, 1), l_int(b, t, 0)));
    l_for_end(b, &others, &smaller, 1);
    l_store(b, r->other, l_un(b, LOP_reduce_add, smaller), key, (LVal){0});
    l_for_end(b, &each, NULL, 0);
    LFor copy = l_for(b, zero, count, LANES, LOOP_SERIAL, NULL, 0, &j);
    LVal there = l_lane_mask(b, l_sub(b, count, j), LANES);
    l_store(b, r->keys, j, l_load(b, r->other, j, LANES, there), (LVal){0});
    l_for_end(b, &copy, NULL, 0);
}

/* Where digit number `digit` of the key, of its upper half, is counted; the last one has the sign. */
static LVal counter(LoopBuilder *b, LVal key, LVal digit) {
    LVal shift = l_add(b, l_i64(b, 32), l_mul(b, digit, l_i64(b, 8)));
    LVal value = l_bin(b, LOP_and, l_bin(b, LOP_shr, key, shift), l_i64(b, DIGIT - 1));
    LVal sign = l_select(b, l_bin(b, LOP_eq, digit, l_i64(b, DIGITS - 1)), l_i64(b, DIGIT / 2), l_i64(b, 0));
    return l_add(b, l_bin(b, LOP_xor, value, sign), l_mul(b, digit, l_i64(b, DIGIT)));
}

/* How many keys have a smaller digit, for every value of each digit. */
static LVal count_digits(Ranks *r, LVal count) {
    LoopBuilder *b = r->k->b;
    LVal counts = l_alloc(b, DT_i64, DIGITS * DIGIT), zero = l_i64(b, 0), one = l_i64(b, 1), i, digit;
    LFor clear = l_for(b, zero, l_i64(b, DIGITS * DIGIT), LANES, LOOP_SERIAL, NULL, 0, &i);
    l_store(b, counts, i, l_int(b, lt_vector(DT_i64, LANES), 0), (LVal){0});
    l_for_end(b, &clear, NULL, 0);
    LFor each = l_for(b, zero, count, 1, LOOP_SERIAL, NULL, 0, &i);
    LVal key = l_load(b, r->keys, i, 1, (LVal){0});
    for (int64_t d = 0; d < DIGITS; d++) {
        LVal at = counter(b, key, l_i64(b, d));
        l_store(b, counts, at, l_add(b, l_load(b, counts, at, 1, (LVal){0}), one), (LVal){0});
    }
    l_for_end(b, &each, NULL, 0);
    LFor digits = l_for(b, zero, l_i64(b, DIGITS), 1, LOOP_SERIAL, NULL, 0, &digit);
    LVal before = zero, first = l_mul(b, digit, l_i64(b, DIGIT));
    LFor values = l_for(b, zero, l_i64(b, DIGIT), 1, LOOP_SERIAL, &before, 1, &i);
    LVal at = l_add(b, first, i), here = l_load(b, counts, at, 1, (LVal){0});
    l_store(b, counts, at, before, (LVal){0});
    before = l_add(b, before, here);
    l_for_end(b, &values, &before, 1);
    l_for_end(b, &digits, NULL, 0);
    return counts;
}

/* An even number of passes: they end where they began. */
static void sort_by_digits(Ranks *r, LVal count) {
    LoopBuilder *b = r->k->b;
    LVal counts = count_digits(r, count), zero = l_i64(b, 0), one = l_i64(b, 1), i, digit;
    LFor digits = l_for(b, zero, l_i64(b, DIGITS), 1, LOOP_SERIAL, NULL, 0, &digit);
    LVal even = l_bin(b, LOP_eq, l_bin(b, LOP_and, digit, one), zero);
    LVal from = l_select(b, even, r->keys, r->other), to = l_select(b, even, r->other, r->keys);
    LFor each = l_for(b, zero, count, 1, LOOP_SERIAL, NULL, 0, &i);
    LVal key = l_load(b, from, i, 1, (LVal){0}), at = counter(b, key, digit), place = l_load(b, counts, at, 1, (LVal){0});
    l_store(b, to, place, key, (LVal){0});
    l_store(b, counts, at, l_add(b, place, one), (LVal){0});
    l_for_end(b, &each, NULL, 0);
    l_for_end(b, &digits, NULL, 0);
}

/* state: number of candidates, upper half of the last of the best: sorted, and cut to those. */
static void cut(Ranks *r, LVal *state) {
    LoopBuilder *b = r->k->b;
    LIf few = l_if(b, l_bin(b, LOP_le, state[0], l_i64(b, COUNTED)));
    sort_by_counting(r, state[0]);
    l_else(b, &few, NULL, 0);
    sort_by_digits(r, state[0]);
    l_if_end(b, &few, NULL, 0, NULL);
    LVal full = l_bin(b, LOP_and, l_bin(b, LOP_le, r->limit, state[0]), l_lt(b, l_i64(b, 0), r->limit));
    LVal at = l_select(b, full, l_sub(b, r->limit, l_i64(b, 1)), l_i64(b, 0));
    LVal upper = l_convert(b, l_bin(b, LOP_shr, l_load(b, r->keys, at, 1, (LVal){0}), l_i64(b, 32)), DT_i32);
    state[0] = l_min(b, state[0], r->limit), state[1] = l_select(b, full, upper, state[1]);
}

/* ---- a line ------------------------------------------------------------------------------------------------------------- */

/* The vector of elements from `first` on. */
static void visit(Ranks *r, Dim first, LVal *state) {
    LoopBuilder *b = r->k->b;
    LVal at = kernel_dim(r->k, first), left = l_sub(b, kernel_dim(r->k, r->l->x->dims[r->l->axis]), at);
    LVal mask = l_lane_mask(b, left, LANES), upper = upper_half(r, elements(r, first, mask)), joined[1];
    if (r->all) {
        l_store(b, r->keys, at, keys_of(r, upper, at), (LVal){0});
        state[0] = l_add(b, state[0], l_min(b, left, l_i64(b, LANES)));
    } else {
        LVal ahead = l_bin(b, LOP_and, mask, l_lt(b, upper, l_splat(b, state[1], LANES)));
        LIf some = l_if(b, l_inst(b, LOP_reduce_or, lt_scalar(DT_bool), &ahead, 1, 0));
        LVal count = join(r, keys_of(r, upper, at), ahead, state[0]);
        l_else(b, &some, &count, 1);
        l_if_end(b, &some, &state[0], 1, joined);
        state[0] = joined[0];
    }
    LVal last = l_bin(b, LOP_le, left, l_i64(b, LANES)), results[2];
    LIf full = l_if(b, l_bin(b, LOP_or, last, l_lt(b, r->room, state[0])));
    LVal after[] = {state[0], state[1]};
    cut(r, after);
    l_else(b, &full, after, 2);
    l_if_end(b, &full, state, 2, results);
    state[0] = results[0], state[1] = results[1];
}

LVal ranks_of_line(Kernel *k, Lines *l, LVal limit) {
    LoopBuilder *b = k->b;
    Ranks r = {.k = k, .l = l, .limit = limit, .all = takes_all(k, l)};
    r.room = kernel_dim(k, most_keys(k, l, wanted(l)));
    r.keys = l_inst(b, LOP_recast, lt_pointer(DT_i64), &k->scratch, 1, 0);
    r.other = l_offset(b, r.keys, l_add(b, r.room, l_i64(b, SPARE)));
    LVal state[] = {l_i64(b, 0), l_int(b, lt_scalar(DT_i32), INT32_MAX)};
    KernelLoop loop;
    Dim extent = l->x->dims[l->axis];
    Dim first = kernel_loop(k, &loop, l_i64(b, 0), kernel_dim(k, extent), extent, LANES, state, 2);
    visit(&r, first, state);
    kernel_loop_end(k, &loop, state, 2);
    return r.keys;
}
