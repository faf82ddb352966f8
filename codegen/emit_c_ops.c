/* emit_c_ops.c: what each operation of Loop IR is in C, as a table of patterns, and the text of its definition.
 *
 * A scalar operation is a macro (its operands are names or literals, so that it may use them twice); a vector operation is
 * an inline function: one expression over GNU vectors where there is one, else a loop over the lanes that applies the
 * scalar macro.  In patterns: $T type, $U unsigned of its width, $W u32 or u64 that holds it, $V vector, $X the vector of
 * $U, $I the vector of masks, $K width - 1, $F suffix of libm (f for f32), $N op name, $M(x) mask x widened to $X.
 * Integers wrap: arithmetic is unsigned.  Source: loop_ops.def.
 */
#include "emit_c.h"
#include <math.h>
#include <string.h>

enum { B = 1, S = 2, U = 4, F = 8, SU = S | U, BSU = B | S | U, ALL = BSU | F };
typedef struct OpRow { LOp op; int classes; const char *scalar, *vector; } OpRow;

static const OpRow rows[] = {
    {LOP_neg, SU, "($T)(0 - ($W)(a))", "($V)(0 - ($X)a)"},
    {LOP_neg, F, "(-(a))", "-a"},
    {LOP_abs, S, "((a) < 0 ? ($T)(0 - ($W)(a)) : (a))", "($V)((($X)a ^ ($X)(a < 0)) - ($X)(a < 0))"},
    {LOP_abs, U, "(a)", "a"},
    {LOP_abs, F, "LIBM(fabs$F)(a)", "($V)(($X)a & ~($U)0 >> 1)"},
    {LOP_floor, F, "LIBM($N$F)(a)", NULL},
    {LOP_ceil, F, "LIBM($N$F)(a)", NULL},
    {LOP_trunc, F, "LIBM($N$F)(a)", NULL},
    {LOP_rint, F, "LIBM($N$F)(a)", NULL},
    {LOP_sqrt, F, "LIBM($N$F)(a)", NULL},
    {LOP_round_bf16, F,
     "((a) != (a) ? f32_bits(0x7fc00000u) : f32_bits((bits_f32(a) + 0x7fffu + (bits_f32(a) >> 16 & 1u)) & 0xffff0000u))",
     "($V)(((($X)a + 0x7fffu + (($X)a >> 16 & 1u)) & 0xffff0000u & ~($X)(a != a)) | (0x7fc00000u & ($X)(a != a)))"},
    {LOP_not, SU, "(($T)~(a))", "~a"},
    {LOP_not, B, "((a) ^ 1)", "~a"},
    {LOP_popcount, SU, "(($T)popcount_bits(($U)(a)))", NULL},
    {LOP_add, SU, "(($T)(($W)(a) + ($W)(b)))", "($V)(($X)a + ($X)b)"},
    {LOP_add, F, "((a) + (b))", "a + b"},
    {LOP_sub, SU, "(($T)(($W)(a) - ($W)(b)))", "($V)(($X)a - ($X)b)"},
    {LOP_sub, F, "((a) - (b))", "a - b"},
    {LOP_mul, SU, "(($T)(($W)(a) * ($W)(b)))", "($V)(($X)a * ($X)b)"},
    {LOP_mul, F, "((a) * (b))", "a * b"},
    {LOP_div, S, "((b) == -1 ? ($T)(0 - ($W)(a)) : ($T)((a) / (b)))", NULL},
    {LOP_div, U, "(($T)((a) / (b)))", NULL},
    {LOP_div, F, "((a) / (b))", "a / b"},
    {LOP_rem, S, "((b) == -1 ? ($T)0 : ($T)((a) % (b)))", NULL},
    {LOP_rem, U, "(($T)((a) % (b)))", NULL},
    {LOP_min, SU, "((a) < (b) ? (a) : (b))", "($V)((($X)a & ($X)(a < b)) | (($X)b & ~($X)(a < b)))"},
    {LOP_max, SU, "((a) < (b) ? (b) : (a))", "($V)((($X)b & ($X)(a < b)) | (($X)a & ~($X)(a < b)))"},
    {LOP_min, F, "",
     "($V)((($X)a & ($X)(a < b)) | (($X)b & ($X)(b < a)) | ((($X)a | ($X)b) & ($X)(a == b)) |"
     " (($X)(a + b) & ~(($X)(a <= b) | ($X)(b <= a))))"},
    {LOP_max, F, "",
     "($V)((($X)a & ($X)(a > b)) | (($X)b & ($X)(b > a)) | ((($X)a & ($X)b) & ($X)(a == b)) |"
     " (($X)(a + b) & ~(($X)(a <= b) | ($X)(b <= a))))"},
    {LOP_min, B, "((a) & (b))", "a & b"},
    {LOP_max, B, "((a) | (b))", "a | b"},
    {LOP_and, BSU, "(($T)((a) & (b)))", "a & b"},
    {LOP_or, BSU, "(($T)((a) | (b)))", "a | b"},
    {LOP_xor, BSU, "(($T)((a) ^ (b)))", "a ^ b"},
    {LOP_shl, SU, "(($T)(($W)(a) << ((b) & $K)))", "($V)(($X)a << (($X)b & $K))"},
    {LOP_shr, SU, "(($T)((a) >> ((b) & $K)))", "a >> (b & $K)"},
    {LOP_fma, F, "LIBM(fma$F)(a, b, c)", NULL},
    {LOP_dot_bf16, F,
     "LIBM(fmaf)(f32_bits((b) << 16), f32_bits((c) << 16), LIBM(fmaf)(f32_bits((b) & 0xffff0000u), f32_bits((c) & "
     "0xffff0000u), a))",
     NULL},
    {LOP_dot_u8, S,
     "((i32)((u32)(a) + ((b) & 255u) * (u32)((i32)((c) << 24) >> 24) + ((b) >> 8 & 255u) * (u32)((i32)((c) << 16) >> 24) + "
     "((b) >> 16 & 255u) * (u32)((i32)((c) << 8) >> 24) + ((b) >> 24) * (u32)((i32)(c) >> 24)))",
     "($V)(($X)a + (b & 255u) * ($X)(($V)(c << 24) >> 24) + (b >> 8 & 255u) * ($X)(($V)(c << 16) >> 24) + "
     "(b >> 16 & 255u) * ($X)(($V)(c << 8) >> 24) + (b >> 24) * ($X)(($V)c >> 24))"},
    {LOP_select, ALL, "((a) ? (b) : (c))", "($V)((($X)b & $M(a)) | (($X)c & ~$M(a)))"},
    {LOP_eq, SU | F, "((b8)((a) == (b)))", "$C(a == b)"},
    {LOP_ne, SU | F, "((b8)((a) != (b)))", "$C(a != b)"},
    {LOP_lt, SU | F, "((b8)((a) < (b)))", "$C(a < b)"},
    {LOP_le, SU | F, "((b8)((a) <= (b)))", "$C(a <= b)"},
    {LOP_eq, B, "((b8)((a) == (b)))", "~(a ^ b)"},
    {LOP_ne, B, "((b8)((a) != (b)))", "a ^ b"},
    {LOP_lt, B, "((b8)((a) < (b)))", "~a & b"},
    {LOP_le, B, "((b8)((a) <= (b)))", "~a | b"},
};

static const char *const element_name[DT_COUNT] = {
    [DT_bool] = "b8", [DT_i8] = "i8", [DT_u8] = "u8", [DT_i16] = "i16", [DT_u16] = "u16", [DT_i32] = "i32",
    [DT_u32] = "u32", [DT_i64] = "i64", [DT_u64] = "u64", [DT_f32] = "f32", [DT_f64] = "f64"};
const char *c_element(DType t) { return element_name[t]; }

static bool power_of_two(uint32_t n) { return n && !(n & (n - 1)); }
static const char *vector_name(CPrinter *p, const char *element, uint32_t lanes) {
    if (lanes == 1) return element;
    return intern(p->cx, arena_print(p->arena, "%sx%u", element, lanes));
}
const char *c_type(CPrinter *p, LType t) {
    if (t.pointer) return "u8 *";
    if (t.dtype == DT_none) return "void";
    if (!element_name[t.dtype]) BUG(p->cx, "dtype %s in Loop IR", dtype_info[t.dtype].name);
    if (!power_of_two(t.lanes) || t.lanes > MAX_LANES) {
        if (!p->failed)
            diag_error(p->cx, (Loc){0}, "C: vectors of %u lanes are not supported, expected a power of two", t.lanes);
        p->failed = true;
        return "f32";
    }
    if (t.lanes > 1) p->lanes_used |= t.lanes;
    return vector_name(p, element_name[t.dtype], t.lanes);
}

static int class_bit(DType t) {
    if (dtype_is_bool(t)) return B;
    return dtype_is_float(t) ? F : dtype_is_signed(t) ? S : U;
}
static const char *unsigned_name(DType t) {
    static const char *const by_bits[] = {"u8", "u16", "u32", "u64"};
    uint32_t bits = dtype_info[t].bits;
    return by_bits[bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : 3];
}
/* bool in vectors is an i32 lane. */
static uint32_t lane_bits(DType t) { return dtype_is_bool(t) ? 32 : dtype_info[t].bits; }

/* Writes pattern under an operation on `t` (vector patterns: of t.lanes lanes). */
static void expand(CPrinter *p, Text *out, const char *pattern, LOp op, LType t) {
    const char *u = dtype_is_bool(t.dtype) ? "u32" : unsigned_name(t.dtype);
    const char *x = vector_name(p, u, t.lanes), *mask = vector_name(p, "b8", t.lanes);
    for (const char *s = pattern; *s; s++) {
        if (*s != '$') { text_add_n(out, s, 1); continue; }
        switch (*++s) {
        case 'T': text_add(out, "%s", element_name[t.dtype]); break;
        case 'U': text_add(out, "%s", u); break;
        case 'W': text_add(out, "%s", dtype_info[t.dtype].bits == 64 ? "u64" : "u32"); break;
        case 'V': text_add(out, "%s", vector_name(p, element_name[t.dtype], t.lanes)); break;
        case 'X': text_add(out, "%s", x); break;
        case 'K': text_add(out, "%d", dtype_info[t.dtype].bits - 1); break;
        case 'F': text_add(out, "%s", t.dtype == DT_f32 ? "f" : ""); break;
        case 'N': text_add(out, "%s", lop_info[op].name); break;
        case 'M': /* $M(a) */
            if (lane_bits(t.dtype) == 32) text_add(out, "(%s)a", x);
            else text_add(out, "__builtin_convertvector(a, %s)", x);
            s += 3;
            break;
        case 'C': { /* $C(comparison) */
            const char *end = strchr(s, ')');
            int n = (int)(end - s - 2);
            if (lane_bits(t.dtype) == 32) text_add(out, "(%s)(%.*s)", mask, n, s + 2);
            else text_add(out, "__builtin_convertvector(%.*s, %s)", n, s + 2, mask);
            s = end;
            break;
        }
        default: BUG(p->cx, "pattern '%s'", pattern);
        }
    }
}

bool c_define(CPrinter *p, const char *name) {
    uint64_t key = hash_bytes(name, strlen(name), 0);
    uint32_t cursor = 0, at;
    while ((at = map_next(&p->defined, key, &cursor)))
        if (strcmp(p->names.at[at - 1], name) == 0) return false;
    vec_push(p->arena, &p->names, intern(p->cx, name));
    map_add(&p->defined, key, p->names.n);
    return true;
}

/* ---- casts ---- */

static void number_convert(Text *out, DType from, DType to) {
    const char *r = element_name[to];
    uint32_t bits = dtype_info[to].bits;
    if (dtype_is_bool(to)) {
        text_add(out, "((b8)((a) != 0))");
    } else if (!dtype_is_float(from) || dtype_is_float(to)) {
        bool through = from == DT_u32 && dtype_is_float(to); /* tcc has no direct conversion */
        text_add(out, "((%s)%s(a))", r, through ? "(i64)" : "");
    } else if (dtype_is_signed(to)) {
        double limit = ldexp(1.0, (int)bits - 1);
        text_add(out, "((a) != (a) ? (%s)0 : (a) <= -%.1f ? (%s)((%s)1 << %u) : (a) >= %.1f ? (%s)(~(%s)0 >> %u) : (%s)(a))", r,
                 limit, r, bits == 64 ? "u64" : "u32", bits - 1, limit, r, bits == 64 ? "u64" : "u32",
                 (bits == 64 ? 64 : 32) - bits + 1, r);
    } else if (bits < 64) {
        text_add(out, "((a) > 0 ? (a) >= %.1f ? (%s)~(%s)0 : (%s)(i64)(a) : (%s)0)", ldexp(1.0, (int)bits), r, r, r, r);
    } else {
        text_add(out, "((a) > 0 ? (a) >= 18446744073709551616.0 ? ~(u64)0 : (a) >= 9223372036854775808.0 ?"
                      " (u64)(i64)((a) - 9223372036854775808.0) + ((u64)1 << 63) : (u64)(i64)(a) : (u64)0)");
    }
}

static void vector_convert(CPrinter *p, Text *out, LType from, LType to) {
    const char *r = c_type(p, to);
    if (dtype_is_bool(to.dtype)) {
        if (lane_bits(from.dtype) == 32) text_add(out, "(%s)(a != 0)", r);
        else text_add(out, "__builtin_convertvector(a != 0, %s)", r);
    } else {
        text_add(out, "__builtin_convertvector(%s, %s)", dtype_is_bool(from.dtype) ? "a & 1" : "a", r);
    }
}

static const char *convert_op(CPrinter *p, LType from, LType to) {
    const char *scalar = arena_print(p->arena, "convert_%s_%s", element_name[from.dtype], element_name[to.dtype]);
    bool in_prelude = from.dtype == DT_u64 && dtype_is_float(to.dtype);
    if (!in_prelude && c_define(p, scalar)) {
        text_add(&p->ops, "#define %s(a) ", scalar);
        number_convert(&p->ops, from.dtype, to.dtype);
        text_add(&p->ops, "\n");
    }
    if (from.lanes == 1) return scalar;
    const char *name = arena_print(p->arena, "%sx%u", scalar, from.lanes), *a = c_type(p, from), *r = c_type(p, to);
    if (!c_define(p, name)) return name;
    if (dtype_is_float(from.dtype) && dtype_is_int(to.dtype)) {
        text_add(&p->ops, "LANES1(%s, %s, %s, %u, %s)\n", r, name, a, from.lanes, scalar);
        return name;
    }
    text_add(&p->ops, "OP1(%s, %s, %s, %u, (", r, name, a, from.lanes);
    vector_convert(p, &p->ops, from, to);
    text_add(&p->ops, "), %s)\n", scalar);
    return name;
}

static const char *bitcast_op(CPrinter *p, LType from, LType to) {
    if (dtype_is_bool(from.dtype) || dtype_is_bool(to.dtype)) return convert_op(p, from, to);
    const char *scalar = arena_print(p->arena, "bitcast_%s_%s", element_name[from.dtype], element_name[to.dtype]);
    if (c_define(p, scalar))
        text_add(&p->ops, "BITCAST(%s, %s, %s)\n", element_name[to.dtype], scalar, element_name[from.dtype]);
    if (from.lanes == 1) return scalar;
    const char *name = arena_print(p->arena, "%sx%u", scalar, from.lanes), *a = c_type(p, from), *r = c_type(p, to);
    if (c_define(p, name)) text_add(&p->ops, "OP1(%s, %s, %s, %u, ((%s)a), %s)\n", r, name, a, from.lanes, r, scalar);
    return name;
}

/* ---- elementwise ---- */

static const OpRow *find_row(CPrinter *p, LOp op, DType t) {
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].op == op && rows[i].classes & class_bit(t)) return &rows[i];
    BUG(p->cx, "'%s' on %s has no C", lop_info[op].name, dtype_info[t].name);
}

static const char *scalar_op(CPrinter *p, const OpRow *row, DType t) {
    const char *name = arena_print(p->arena, "%s_%s", lop_info[row->op].name, element_name[t]);
    static const char *const operands[] = {"", "a", "a, b", "a, b, c"};
    if (*row->scalar && c_define(p, name)) {
        text_add(&p->ops, "#define %s(%s) ", name, operands[lop_info[row->op].operands]);
        expand(p, &p->ops, row->scalar, row->op, lt_scalar(t));
        text_add(&p->ops, "\n");
    }
    return name;
}

/* OP2(result, name, operand, lanes, (vector expression), scalar) and its like with one or three operands. */
static void define_vector(CPrinter *p, const OpRow *row, const char *name, const char *scalar, LType t, LType result) {
    int n = lop_info[row->op].operands;
    const char *v = c_type(p, t), *r = c_type(p, result);
    if (row->op == LOP_fma && !(t.dtype == DT_f32 && t.lanes == 2)) {
        text_add(&p->ops, "FMA_PARTS(%s, %u)\n", element_name[t.dtype], t.lanes);
        return;
    }
    text_add(&p->ops, "%s%d(%s, %s, ", row->vector ? "OP" : "LANES", n, r, name);
    if (n == 3) {
        const char *first = row->op == LOP_select ? c_type(p, lt_vector(DT_bool, t.lanes)) : v;
        bool packed = row->op == LOP_dot_bf16 || row->op == LOP_dot_u8;
        const char *rest = packed ? c_type(p, lt_vector(DT_u32, t.lanes)) : v;
        text_add(&p->ops, "%s, %s, %s, %u, ", first, rest, rest, t.lanes);
    } else {
        text_add(&p->ops, "%s, %u, ", v, t.lanes);
    }
    if (row->vector) {
        text_add(&p->ops, "(");
        expand(p, &p->ops, row->vector, row->op, t);
        text_add(&p->ops, "), ");
    }
    text_add(&p->ops, "%s)\n", scalar);
}

static const char *element_op(CPrinter *p, LOp op, LType t, LType result) {
    const OpRow *row = find_row(p, op, t.pointer ? DT_u64 : t.dtype);
    if (t.pointer) return scalar_op(p, row, DT_u64); /* select of pointers: the macro fits any type */
    const char *scalar = scalar_op(p, row, t.dtype);
    if (t.lanes == 1) return scalar;
    const char *name = arena_print(p->arena, "%sx%u", scalar, t.lanes);
    if (c_define(p, name)) define_vector(p, row, name, scalar, t, result);
    return name;
}

/* ---- vectors and memory ---- */

typedef struct ShapeRow { LOp op; const char *prefix; const char *macro; } ShapeRow;
static const ShapeRow shapes[] = { /* MACRO(V, T, lanes, conversion) defines prefix_V */
    {LOP_splat, "splat", "SPLAT"}, {LOP_iota, "iota", "IOTA"},
    {LOP_load_masked, "load_masked", "LOAD_MASKED"}, {LOP_gather, "gather", "GATHER"},
    {LOP_gather_masked, "gather_masked", "GATHER_MASKED"}, {LOP_store_masked, "store_masked", "STORE_MASKED"},
    {LOP_scatter_masked, "scatter_masked", "SCATTER_MASKED"}};

static bool is_store(LOp op) {
    return op == LOP_store || op == LOP_store_masked || op == LOP_scatter_masked || op == LOP_store_stream;
}

static void define_scalar_access(CPrinter *p, DType t) {
    const char *e = element_name[t];
    if (!c_define(p, arena_print(p->arena, "access_%s", e))) return;
    text_add(&p->ops, "typedef %s ALIAS %s_a;\n", e, e);
    text_add(&p->ops, "#define load_%s(p, i) (%s*(const %s_a *)((p) + (i) * %d)%s)\n", e, dtype_is_bool(t) ? "0 != " : "", e,
             (int)dtype_bytes(t), "");
    text_add(&p->ops, "#define store_%s(p, i, v) (*(%s_a *)((p) + (i) * %d) = (v))\n", e, e, (int)dtype_bytes(t));
}

static const char *access_op(CPrinter *p, LOp op, LType t) {
    bool store = is_store(op);
    if (op != LOP_splat && op != LOP_iota) define_scalar_access(p, t.dtype);
    const char *v = c_type(p, t), *e = element_name[t.dtype];
    if (op == LOP_store_stream) {
        const char *plain = access_op(p, LOP_store, t), *name = arena_print(p->arena, "store_stream_%s", v);
        if (dtype_is_bool(t.dtype) || t.lanes * dtype_bytes(t.dtype) % 64) return plain;
        if (c_define(p, name)) text_add(&p->ops, "VSTREAM(%s, %s)\n", v, e);
        return name;
    }
    if (op == LOP_load || op == LOP_store) {
        const char *name = arena_print(p->arena, "%s_%s", lop_info[op].name, v);
        if (t.lanes == 1 || !c_define(p, name)) return name;
        if (dtype_is_bool(t.dtype))
            text_add(&p->ops, "%s(%s, %s, %u, %s)\n", store ? "STORE_LANES" : "LOAD_LANES", v, e, t.lanes,
                     store ? "ON" : "TO_MASK");
        else text_add(&p->ops, "%s(%s, %s, %u)\n", store ? "VSTORE" : "VLOAD", v, e, t.lanes);
        return name;
    }
    for (size_t i = 0; i < COUNT(shapes); i++) {
        if (shapes[i].op != op) continue;
        const char *name = arena_print(p->arena, "%s_%s", shapes[i].prefix, v);
        if (!c_define(p, name)) return name;
        text_add(&p->ops, "%s(%s, %s, %u", shapes[i].macro, v, e, t.lanes);
        bool mask = dtype_is_bool(t.dtype);
        if (op != LOP_iota) text_add(&p->ops, ", %s", store ? (mask ? "ON" : "LANE") : mask ? "TO_MASK" : "SAME");
        text_add(&p->ops, ")\n");
        return name;
    }
    BUG(p->cx, "'%s' is no vector or memory op", lop_info[op].name);
}

static const char *reduce_op(CPrinter *p, LOp op, LType t) {
    static const struct { LOp op, by; } reduces[] = {
        {LOP_reduce_add, LOP_add}, {LOP_reduce_mul, LOP_mul}, {LOP_reduce_max, LOP_max},
        {LOP_reduce_min, LOP_min}, {LOP_reduce_and, LOP_and}, {LOP_reduce_or, LOP_or}};
    for (size_t i = 0; i < COUNT(reduces); i++) {
        if (reduces[i].op != op) continue;
        const char *scalar = element_op(p, reduces[i].by, lt_scalar((DType)t.dtype), lt_scalar((DType)t.dtype));
        const char *v = c_type(p, t), *name = arena_print(p->arena, "%s_%s", lop_info[op].name, v);
        if (c_define(p, name))
            text_add(&p->ops, "REDUCE(%s, %s, %s, %u, %s, %s)\n", name, v, element_name[t.dtype], t.lanes,
                     dtype_is_bool(t.dtype) ? "ON" : "LANE", scalar);
        return name;
    }
    BUG(p->cx, "'%s' is no reduction", lop_info[op].name);
}

const char *c_op(CPrinter *p, LOp op, LType operand, LType result) {
    switch (lop_info[op].class_) {
    case LC_UNARY: case LC_BINARY: case LC_TERNARY: case LC_COMPARE: return element_op(p, op, operand, result);
    case LC_CAST: return op == LOP_convert ? convert_op(p, operand, result) : bitcast_op(p, operand, result);
    case LC_NONE: case LC_CONTROL: BUG(p->cx, "'%s' is no operation", lop_info[op].name);
    case LC_CONST: case LC_VECTOR: case LC_MEMORY: case LC_TILE: break;
    }
    if (op >= LOP_reduce_add && op <= LOP_reduce_or) return reduce_op(p, op, operand);
    if (op == LOP_lane_mask) {
        const char *v = c_type(p, result), *name = arena_print(p->arena, "lane_mask_%s", v);
        if (c_define(p, name)) text_add(&p->ops, "LANE_MASK(%u)\n", result.lanes);
        return name;
    }
    return access_op(p, op, is_store(op) ? operand : result);
}

/* ---- literals ---- */

bool c_is_integer_literal(CPrinter *p, LVal v) {
    const LInst *inst = p->def[v.id];
    return inst && inst->op == LOP_const && p->func->types.at[v.id].lanes == 1;
}

static void float_literal(Text *out, DType t, double x) {
    if (t == DT_f32) x = (double)(float)x;
    if (!isfinite(x)) {
        uint64_t bits = 0;
        uint32_t bits32 = 0;
        float narrow = (float)x;
        memcpy(&bits, &x, sizeof bits);
        memcpy(&bits32, &narrow, sizeof bits32);
        if (t == DT_f32) text_add(out, "f32_bits(0x%xu)", bits32);
        else text_add(out, "f64_bits(0x%llxu)", (unsigned long long)bits);
        return;
    }
    Text digits = text_new(out->arena);
    if (t == DT_f32) text_add_f32(&digits, (float)x);
    else text_add_f64(&digits, x);
    bool point = strpbrk(digits.at, ".e") != NULL;
    text_add(out, signbit(x) ? "(%s%s%s)" : "%s%s%s", digits.at, point ? "" : ".0", t == DT_f32 ? "f" : "");
}

void c_literal(CPrinter *p, Text *out, DType t, const LInst *inst) {
    if (dtype_is_float(t)) { float_literal(out, t, inst->imm.f); return; }
    int64_t i = loop_wrap(t, inst->imm.i);
    if (dtype_is_bool(t)) text_add(out, "%d", (int)i);
    else if (t == DT_u64) text_add(out, "%lluull", (unsigned long long)i);
    else if (t == DT_u32) text_add(out, "%lluu", (unsigned long long)i);
    else if (t == DT_i64 && i == INT64_MIN) text_add(out, "(-9223372036854775807ll - 1)");
    else if (t == DT_i32 && i == INT32_MIN) text_add(out, "(-2147483647 - 1)");
    else if (t == DT_i64 || t == DT_i32) text_add(out, i < 0 ? "(%lld%s)" : "%lld%s", (long long)i, t == DT_i64 ? "ll" : "");
    else text_add(out, "((%s)%lld)", element_name[t], (long long)i);
    (void)p;
}
