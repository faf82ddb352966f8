/* ops_contract.c: matrix products: MatMul, Gemm, their integer and quantised forms, Einsum, Det.
 *
 * Everything becomes the Graph op dot over permuted and reshaped operands.
 */
#include "onnx.h"
#include <ctype.h>
#include <string.h>

Val import_matmul(Call *c) { return batched_matmul(c, in(c, 0), in(c, 1)); }

Val import_gemm(Call *c) {
    Val a = in(c, 0), b = in(c, 1);
    double alpha = attr_f(c, "alpha", 1), beta = attr_f(c, "beta", 1);
    if (!a.id || !b.id) return NO_VAL;
    if (val_rank(c->g, a) != 2 || val_rank(c->g, b) != 2)
        return fail(c, "needs matrices, found ranks %u and %u", val_rank(c->g, a), val_rank(c->g, b));
    if (attr_i(c, "transA", 0)) a = swap_last(c, a);
    if (attr_i(c, "transB", 0)) b = swap_last(c, b);
    Val y = batched_matmul(c, a, b);
    if (alpha != 1) y = ew2(c, OP_mul, y, num(c, y, alpha));
    if (!has_in(c, 2) || !y.id) return y;
    Val bias = in(c, 2);
    if (beta != 1) bias = ew2(c, OP_mul, bias, num(c, bias, beta));
    return ew2(c, OP_add, y, bias);
}

/* ---- integers ---------------------------------------------------------------------------------------------------- */

/* x - zero point, in i32; a zero point of one element per row or column is aligned by `axis` counted from the end. */
static Val centred(Call *c, Val x, uint32_t zero_input, uint32_t from_end) {
    Val y = to(c, x, DT_i32);
    if (!has_in(c, zero_input) || !y.id) return y;
    Val zero = to(c, in(c, zero_input), DT_i32);
    if (zero.id && val_rank(c->g, zero) == 1 && !dim_is(c->cx, val_dim(c->g, zero, 0), 1) &&
        val_rank(c->g, y) >= from_end)
        zero = per_axis(c, zero, val_rank(c->g, y) - from_end, val_rank(c->g, y));
    return ew2(c, OP_sub, y, zero);
}

/* a and b with their zero points at inputs zero_a and zero_b. */
static Val centred_matmul(Call *c, Val a, uint32_t zero_a, Val b, uint32_t zero_b) {
    a = centred(c, a, zero_a, 2);
    return batched_matmul(c, a, centred(c, b, zero_b, 1));
}

Val import_matmul_integer(Call *c) { return centred_matmul(c, in(c, 0), 2, in(c, 1), 3); }

/* a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero. */
Val import_qlinear_matmul(Call *c) {
    Val a = in(c, 0), b = in(c, 3), scale_a = in(c, 1), scale_b = in(c, 4), scale_y = in(c, 6), zero = in(c, 7);
    if (!a.id || !b.id || !zero.id || !scale_a.id || !scale_b.id) return NO_VAL;
    Val y = centred_matmul(c, a, 2, b, 5);
    if (!y.id) return y;
    uint32_t rank = val_rank(c->g, y);
    if (val_rank(c->g, scale_a) == 1 && rank >= 2 && !dim_is(c->cx, val_dim(c->g, scale_a, 0), 1))
        scale_a = per_axis(c, scale_a, rank - 2, rank);
    Val scale = ew2(c, OP_div, ew2(c, OP_mul, to(c, scale_a, DT_f32), to(c, scale_b, DT_f32)), to(c, scale_y, DT_f32));
    Val f = ew1(c, OP_round, ew2(c, OP_mul, to(c, y, DT_f32), scale));
    return to(c, ew2(c, OP_add, f, to(c, zero, DT_f32)), val_dtype(c->g, zero));
}

/* ---- Einsum ------------------------------------------------------------------------------------------------------ */

/* An operand under way: which letter each axis stands for.  Ellipsis axes are letters from '\1' on, aligned at their end. */
typedef struct Operand {
    Val val;
    uint32_t n;
    char letter[MAX_RANK];
} Operand;

static int find_letter(const Operand *o, char letter) {
    for (uint32_t i = 0; i < o->n; i++)
        if (o->letter[i] == letter) return (int)i;
    return -1;
}

static Operand permute_to(Call *c, Operand o, const char *letters, uint32_t n) {
    int64_t perm[MAX_RANK];
    for (uint32_t i = 0; i < n; i++) perm[i] = find_letter(&o, letters[i]);
    o.val = permuted(c, o.val, perm);
    memcpy(o.letter, letters, n);
    return o;
}

/* A letter twice in one operand: the diagonal of the two axes, moved to the end, [n, n] -> [n * n] at a step of n + 1. */
static Operand diagonal(Call *c, Operand o, uint32_t i, uint32_t j) {
    int64_t perm[MAX_RANK], step[MAX_RANK];
    Dim start[MAX_RANK];
    uint32_t n = 0;
    for (uint32_t k = 0; k < o.n; k++)
        if (k != i && k != j) {
            o.letter[n] = o.letter[k];
            perm[n++] = k;
        }
    char letter = o.letter[i];
    perm[n] = i, perm[n + 1] = j;
    Val x = permuted(c, o.val, perm);
    Dims d = dims_of(c, x);
    if (!x.id) return (Operand){0};
    Dim size = d.at[n];
    if (!graph_guard(c->g, c->loc, REL_EQ, size, d.at[n + 1], "a repeated index needs axes of equal extent"))
        return (Operand){0};
    d.at[n] = dim_mul(c->cx, size, size);
    d.n = n + 1;
    x = shaped(c, x, &d);
    for (uint32_t k = 0; k <= n; k++) start[k] = dim_k(c, 0), step[k] = 1;
    int64_t k;
    if (dim_const_value(c->cx, size, &k)) {
        step[n] = k + 1;
        d.at[n] = size;
        o.val = x.id ? b_slice(c->g, c->loc, x, start, step, d.at) : x;
    } else {
        Val at = ew2(c, OP_mul, iota(c, DT_i64, size), b_dim(c->g, c->loc, dim_addi(c->cx, size, 1)));
        o.val = x.id && at.id ? b_gather(c->g, c->loc, x, at, n, 0) : NO_VAL;
    }
    o.letter[n] = letter;
    o.n = n + 1;
    return o;
}

/* Sums over the axes whose letters nobody needs any more. */
static Operand drop(Call *c, Operand o, const char *needed) {
    int64_t axes[MAX_RANK];
    uint32_t n = 0, kept = 0;
    for (uint32_t i = 0; i < o.n; i++) {
        if (strchr(needed, o.letter[i]))
            o.letter[kept++] = o.letter[i];
        else
            axes[n++] = i;
    }
    if (n) o.val = reduce(c, OP_reduce_sum, o.val, axes, n, false);
    o.n = kept;
    return o;
}

/* One contraction: batch letters in both and needed, summed letters in both and not needed, the rest in one. */
static Operand contract(Call *c, Operand a, Operand b, const char *needed) {
    char order_a[MAX_RANK * 2], order_b[MAX_RANK * 2];
    uint32_t nb = 0, nk = 0, nm = 0, nn = 0;
    char batch[MAX_RANK], summed[MAX_RANK], left[MAX_RANK], right[MAX_RANK];
    for (uint32_t i = 0; i < a.n; i++) {
        bool both = find_letter(&b, a.letter[i]) >= 0, keep = strchr(needed, a.letter[i]) != NULL;
        if (both && keep)
            batch[nb++] = a.letter[i];
        else if (both)
            summed[nk++] = a.letter[i];
        else
            left[nm++] = a.letter[i];
    }
    for (uint32_t i = 0; i < b.n; i++)
        if (find_letter(&a, b.letter[i]) < 0) right[nn++] = b.letter[i];
    Operand y = {.n = nb + nm + nn};
    if (y.n > MAX_RANK) {
        fail(c, "an intermediate product of rank %u", y.n);
        return (Operand){0};
    }
    memcpy(order_a, batch, nb), memcpy(order_a + nb, left, nm), memcpy(order_a + nb + nm, summed, nk);
    memcpy(order_b, batch, nb), memcpy(order_b + nb, summed, nk), memcpy(order_b + nb + nk, right, nn);
    a = permute_to(c, a, order_a, a.n);
    b = permute_to(c, b, order_b, b.n);
    if (!a.val.id || !b.val.id) return (Operand){0};
    Dims da = dims_of(c, a.val), db = dims_of(c, b.val), dy = {.n = y.n};
    Dims wide_a = da, wide_b = db;
    for (uint32_t i = 0; i < nb; i++)
        wide_a.at[i] = wide_b.at[i] = dy.at[i] = b_broadcast_dim(c->g, c->loc, da.at[i], db.at[i]);
    for (uint32_t i = 0; i < nm; i++) dy.at[nb + i] = da.at[nb + i];
    for (uint32_t i = 0; i < nn; i++) dy.at[nb + nm + i] = db.at[nb + nk + i];
    for (uint32_t i = 0; i < nk; i++)
        wide_a.at[nb + nm + i] = wide_b.at[nb + i] = b_broadcast_dim(c->g, c->loc, da.at[nb + nm + i], db.at[nb + i]);
    a.val = spread(c, a.val, &wide_a);
    b.val = spread(c, b.val, &wide_b);
    Dims fold_a = {.n = nb + 2}, fold_b = {.n = nb + 2};
    for (uint32_t i = 0; i < nb; i++) fold_a.at[i] = fold_b.at[i] = dy.at[i];
    fold_a.at[nb] = dim_product(c->cx, wide_a.at + nb, nm);
    fold_a.at[nb + 1] = fold_b.at[nb] = dim_product(c->cx, wide_a.at + nb + nm, nk);
    fold_b.at[nb + 1] = dim_product(c->cx, wide_b.at + nb + nk, nn);
    Val fa = shaped(c, a.val, &fold_a), fb = shaped(c, b.val, &fold_b);
    Val p = fa.id && fb.id ? b_dot(c->g, c->loc, fa, fb, nb) : NO_VAL;
    y.val = shaped(c, p, &dy);
    memcpy(y.letter, batch, nb), memcpy(y.letter + nb, left, nm), memcpy(y.letter + nb + nm, right, nn);
    return y;
}

/* Letters of one comma-separated term; "..." takes what axes are left. */
static bool read_term(Call *c, const char **at, uint32_t rank, bool operand, Operand *o, uint32_t ellipsis) {
    uint32_t stated = 0;
    bool dots = false;
    const char *p = *at;
    for (; *p && *p != ',' && *p != '-'; p++) {
        if (isalpha((unsigned char)*p))
            stated++;
        else if (strncmp(p, "...", 3) == 0 && !dots)
            dots = true, p += 2;
        else
            return false;
    }
    uint32_t rest = operand ? rank - stated : ellipsis;
    if (operand && (stated > rank || (!dots && stated != rank))) {
        fail(c, "the equation gives an operand %u axes, it has %u", stated, rank);
        return false;
    }
    o->n = 0;
    for (p = *at; *p && *p != ',' && *p != '-'; p++) {
        if (isalpha((unsigned char)*p)) {
            if (o->n == MAX_RANK) return false;
            o->letter[o->n++] = *p;
            continue;
        }
        for (uint32_t i = 0; i < rest && o->n < MAX_RANK; i++) o->letter[o->n++] = (char)(1 + MAX_RANK - rest + i);
        p += 2;
    }
    *at = p;
    return true;
}

/* Without "->": every letter that occurs once, in alphabetical order, after the ellipsis. */
static void implicit_output(const Operand *terms, uint32_t n, uint32_t ellipsis, Operand *y) {
    y->n = 0;
    for (uint32_t i = 0; i < ellipsis; i++) y->letter[y->n++] = (char)(1 + MAX_RANK - ellipsis + i);
    for (int letter = 'A'; letter <= 'z'; letter++) {
        uint32_t times = 0;
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t k = 0; k < terms[i].n; k++) times += terms[i].letter[k] == letter;
        if (times == 1 && y->n < MAX_RANK) y->letter[y->n++] = (char)letter;
    }
}

/* Letters that terms from `from` on and the output hold, as a string. */
static void needed_letters(const Operand *terms, uint32_t from, uint32_t n, const Operand *y, char *needed) {
    uint32_t k = 0;
    for (int letter = 1; letter < 128; letter++) {
        bool used = find_letter(y, (char)letter) >= 0;
        for (uint32_t i = from; i < n; i++) used = used || find_letter(&terms[i], (char)letter) >= 0;
        if (used) needed[k++] = (char)letter;
    }
    needed[k] = 0;
}

static bool read_equation(Call *c, Operand *terms, Operand *y) {
    char text[256];
    size_t n = 0;
    for (const char *p = attr_s(c, "equation", ""); *p && n + 1 < sizeof text; p++)
        if (*p != ' ') text[n++] = *p;
    text[n] = 0;
    const char *at = text;
    uint32_t ellipsis = 0;
    for (uint32_t i = 0; i < c->n_in; i++) {
        uint32_t rank = val_rank(c->g, terms[i].val), letters = 0;
        for (const char *p = at; *p && *p != ',' && *p != '-'; p++) letters += isalpha((unsigned char)*p) != 0;
        if (rank >= letters && rank - letters > ellipsis) ellipsis = rank - letters;
        if (!read_term(c, &at, rank, true, &terms[i], 0)) return false;
        if (i + 1 < c->n_in && *at++ != ',') return false;
    }
    if (!*at) {
        implicit_output(terms, c->n_in, ellipsis, y);
        return true;
    }
    if (strncmp(at, "->", 2) != 0) return false;
    at += 2;
    return read_term(c, &at, 0, false, y, ellipsis) && !*at;
}

Val import_einsum(Call *c) {
    Operand *terms = arena_new_array(c->im->arena, Operand, c->n_in + 1), y = {0};
    char needed[129];
    for (uint32_t i = 0; i < c->n_in; i++)
        if (!(terms[i].val = in(c, i)).id) return NO_VAL;
    uint32_t errors = diag_error_count(c->cx);
    if (!c->n_in || !read_equation(c, terms, &y))
        return diag_error_count(c->cx) > errors ? NO_VAL
                                                : fail(c, "equation '%s' cannot be read", attr_s(c, "equation", ""));
    for (uint32_t i = 0; i < c->n_in; i++)
        for (uint32_t k = 0; k < terms[i].n; k++)
            for (uint32_t j = k + 1; j < terms[i].n; j++)
                if (terms[i].letter[k] == terms[i].letter[j]) {
                    terms[i] = diagonal(c, terms[i], k, j);
                    if (!terms[i].val.id) return NO_VAL;
                    k = 0, j = 0;
                }
    Operand all = terms[0];
    for (uint32_t i = 1; i < c->n_in; i++) {
        Operand rest[2] = {all, terms[i]};
        char theirs[129];
        needed_letters(terms, i + 1, c->n_in, &y, needed);
        memcpy(theirs, needed, sizeof theirs);
        for (uint32_t side = 0; side < 2; side++) {
            char both[129 + MAX_RANK + 1];
            size_t k = strlen(theirs);
            memcpy(both, theirs, k);
            memcpy(both + k, rest[1 - side].letter, rest[1 - side].n);
            both[k + rest[1 - side].n] = 0;
            rest[side] = drop(c, rest[side], both);
        }
        all = contract(c, rest[0], rest[1], needed);
        if (!all.val.id) return NO_VAL;
    }
    needed_letters(terms, c->n_in, c->n_in, &y, needed);
    all = drop(c, all, needed);
    if (all.n != y.n)
        return fail(c, "the output of '%s' names an index that no operand has, or one twice",
                    attr_s(c, "equation", ""));
    return permute_to(c, all, y.letter, y.n).val;
}
