/* loop_type.c: the signature of every instruction, read by the builder (a wrong call stops at once) and by loop_verify.
 *
 * A signature is a letter for the result and one for each operand:
 *   T  a type of the kind in the third column, the same at each T      e  a scalar of T's dtype
 *   S  any number or bool with T's lanes (casts)                       m  bool with T's lanes
 *   i  i64              I  i64 with T's lanes                          M  bool of any lanes
 *   p  pointer to T's dtype     P  a pointer, the same at each P       Q  any pointer
 *   w  u32 with T's lanes (T is f32)
 *   U  ptr u64                  V  T's dtype, lanes of its own         -  nothing
 * Kinds of T: n number, f float, s f32, d integer, b integer or bool, a number or bool, A also pointers. */
#include "loop.h"
#include <string.h>

typedef struct Signature {
    char result;
    const char *operands;
    char kind;
} Signature;

static const Signature signature[LOP_COUNT] = {
    [LOP_const] = {'T', "", 'A'},
    [LOP_iota] = {'T', "", 'd'},
    [LOP_symbol_addr] = {'P', "", 'a'},
    [LOP_neg] = {'T', "T", 'n'},
    [LOP_abs] = {'T', "T", 'n'},
    [LOP_floor] = {'T', "T", 'f'},
    [LOP_ceil] = {'T', "T", 'f'},
    [LOP_trunc] = {'T', "T", 'f'},
    [LOP_rint] = {'T', "T", 'f'},
    [LOP_sqrt] = {'T', "T", 'f'},
    [LOP_round_bf16] = {'T', "T", 's'},
    [LOP_not] = {'T', "T", 'b'},
    [LOP_popcount] = {'T', "T", 'd'},
    [LOP_add] = {'T', "TT", 'n'},
    [LOP_sub] = {'T', "TT", 'n'},
    [LOP_mul] = {'T', "TT", 'n'},
    [LOP_div] = {'T', "TT", 'n'},
    [LOP_rem] = {'T', "TT", 'd'},
    [LOP_min] = {'T', "TT", 'n'},
    [LOP_max] = {'T', "TT", 'n'},
    [LOP_and] = {'T', "TT", 'b'},
    [LOP_or] = {'T', "TT", 'b'},
    [LOP_xor] = {'T', "TT", 'b'},
    [LOP_shl] = {'T', "TT", 'd'},
    [LOP_shr] = {'T', "TT", 'd'},
    [LOP_fma] = {'T', "TTT", 'f'},
    [LOP_dot_bf16] = {'T', "Tww", 's'},
    [LOP_dot_u8] = {'T', "Tww", 'l'},
    [LOP_select] = {'T', "mTT", 'A'},
    [LOP_eq] = {'m', "TT", 'A'},
    [LOP_ne] = {'m', "TT", 'A'},
    [LOP_lt] = {'m', "TT", 'a'},
    [LOP_le] = {'m', "TT", 'a'},
    [LOP_convert] = {'T', "S", 'a'},
    [LOP_bitcast] = {'T', "S", 'n'},
    [LOP_splat] = {'T', "e", 'a'},
    [LOP_extract] = {'e', "T", 'a'},
    [LOP_insert] = {'T', "Te", 'a'},
    [LOP_shuffle] = {'V', "TT", 'a'},
    [LOP_lookup] = {'T', "w", 's'},
    [LOP_reduce_add] = {'e', "T", 'n'},
    [LOP_reduce_mul] = {'e', "T", 'n'},
    [LOP_reduce_max] = {'e', "T", 'n'},
    [LOP_reduce_min] = {'e', "T", 'n'},
    [LOP_reduce_and] = {'e', "T", 'b'},
    [LOP_reduce_or] = {'e', "T", 'b'},
    [LOP_lane_mask] = {'M', "i", 'a'},
    [LOP_load] = {'T', "pi", 'a'},
    [LOP_load_masked] = {'T', "pim", 'a'},
    [LOP_gather] = {'T', "pI", 'a'},
    [LOP_gather_masked] = {'T', "pIm", 'a'},
    [LOP_store] = {'-', "piT", 'a'},
    [LOP_store_masked] = {'-', "piTm", 'a'},
    [LOP_scatter_masked] = {'-', "pITm", 'a'},
    [LOP_offset] = {'P', "Pi", 'a'},
    [LOP_recast] = {'P', "Q", 'a'},
    [LOP_alloc] = {'P', "", 'a'},
    [LOP_load_pointer] = {'P', "Ui", 'a'},
    [LOP_store_pointer] = {'-', "UiP", 'a'},
    [LOP_prefetch] = {'-', "Pi", 'a'},
    [LOP_store_stream] = {'-', "piT", 'a'},
    [LOP_fence] = {'-', "", 'a'},
    [LOP_tile_begin] = {'-', "", 'a'},
    [LOP_tile_end] = {'-', "", 'a'},
    [LOP_tile_zero] = {'-', "", 'a'},
    [LOP_tile_load] = {'-', "Pii", 'a'},
    [LOP_tile_store] = {'-', "Pii", 'a'},
    [LOP_tile_dot_bf16] = {'-', "", 'a'},
};

void lt_print(Text *out, LType t) {
    if (t.dtype >= DT_COUNT)
        text_add(out, "dtype %u", (unsigned)t.dtype);
    else if (t.dtype == DT_none)
        text_add(out, "void");
    else if (t.pointer)
        text_add(out, "ptr %s", dtype_info[t.dtype].name);
    else if (t.lanes == 1)
        text_add(out, "%s", dtype_info[t.dtype].name);
    else
        text_add(out, "%sx%u", dtype_info[t.dtype].name, (unsigned)t.lanes);
}

static bool dtype_allowed(unsigned t) {
    static const bool allowed[DT_COUNT] = {
        [DT_bool] = true, [DT_i8] = true,  [DT_u8] = true,  [DT_i16] = true, [DT_u16] = true, [DT_i32] = true,
        [DT_u32] = true,  [DT_i64] = true, [DT_u64] = true, [DT_f32] = true, [DT_f64] = true,
    };
    return t < DT_COUNT && allowed[t];
}

bool lt_allowed(LType t) {
    if (!dtype_allowed(t.dtype) || t.lanes < 1 || t.lanes > MAX_LANES) return false;
    return !t.pointer || t.lanes == 1;
}

bool loop_inst_is_pure(LOp op) {
    LClass class_ = lop_info[op].class_;
    return (class_ != LC_NONE && class_ != LC_MEMORY && class_ != LC_TILE && class_ != LC_CONTROL) || op == LOP_offset ||
           op == LOP_recast;
}

static bool kind_holds(char kind, LType t) {
    if (t.pointer) return kind == 'A';
    DType d = (DType)t.dtype;
    switch (kind) {
    case 'n': return dtype_is_int(d) || dtype_is_float(d);
    case 'f': return dtype_is_float(d);
    case 's': return d == DT_f32;
    case 'l': return d == DT_i32;
    case 'd': return dtype_is_int(d);
    case 'b': return dtype_is_int(d) || dtype_is_bool(d);
    default: return true;
    }
}

static const char *kind_text(char kind) {
    switch (kind) {
    case 'n': return "a number";
    case 'f': return "a float";
    case 's': return "f32";
    case 'l': return "i32";
    case 'd': return "an integer";
    case 'b': return "an integer or bool";
    default: return "a number or bool";
    }
}

/* What the letter stands for once T and P are known; DT_none where any type with the right shape will do. */
static LType expected(char letter, LType t, LType p) {
    switch (letter) {
    case 'T': return t;
    case 'e': return (LType){t.dtype, 0, 1};
    case 'm': return lt_vector(DT_bool, t.lanes);
    case 'w': return lt_vector(DT_u32, t.lanes);
    case 'i': return lt_scalar(DT_i64);
    case 'I': return lt_vector(DT_i64, t.lanes);
    case 'p': return lt_pointer((DType)t.dtype);
    case 'P': return p;
    case 'U': return lt_pointer(DT_u64);
    default: return (LType){0, 0, 0};
    }
}

static bool fits(char letter, LType found, LType t, LType p) {
    switch (letter) {
    case 'S': return !found.pointer && found.lanes == t.lanes;
    case 'M': return !found.pointer && found.dtype == DT_bool;
    case 'Q': return found.pointer;
    case 'V': return !found.pointer && found.dtype == t.dtype;
    default: return lt_same(found, expected(letter, t, p));
    }
}

static void say_expected(Text *problem, char letter, LType t, LType p) {
    switch (letter) {
    case 'S': text_add(problem, "a number or bool of %u lanes", (unsigned)t.lanes); return;
    case 'M': text_add(problem, "bool of some lanes"); return;
    case 'Q': text_add(problem, "a pointer"); return;
    case 'V': text_add(problem, "%s of some lanes", dtype_info[t.dtype].name); return;
    default: lt_print(problem, expected(letter, t, p)); return;
    }
}

/* The first place of `letter`: 0 the result, else the operand's number + 1; -1 where it does not occur. */
static int place_of(const Signature *s, char letter) {
    if (s->result == letter) return 0;
    const char *at = strchr(s->operands, letter);
    return at ? (int)(at - s->operands) + 1 : -1;
}

static bool check_lanes(const LInst *inst, LType t, LType result, Text *problem) {
    switch ((int)inst->op) {
    case LOP_extract:
    case LOP_insert:
        if (inst->imm.i >= 0 && inst->imm.i < t.lanes) return true;
        text_add(problem, "lane %lld is outside of %u lanes", (long long)inst->imm.i, (unsigned)t.lanes);
        return false;
    case LOP_shuffle:
        if (inst->imm.n_ints != result.lanes) {
            text_add(problem, "%u lane numbers for %u lanes", (unsigned)inst->imm.n_ints, (unsigned)result.lanes);
            return false;
        }
        for (uint32_t i = 0; i < inst->imm.n_ints; i++) {
            if (inst->imm.ints[i] >= 0 && inst->imm.ints[i] < 2 * t.lanes) continue;
            text_add(problem, "lane number %lld is outside of the operands' %u lanes", (long long)inst->imm.ints[i],
                     2U * t.lanes);
            return false;
        }
        return true;
    case LOP_lookup:
        if (inst->imm.n_ints == TABLE) {
            for (uint32_t i = 0; i < TABLE; i++)
                if (inst->imm.ints[i] < 0 || inst->imm.ints[i] > UINT32_MAX)
                    return text_add(problem, "%lld is not 32 bits", (long long)inst->imm.ints[i]), false;
            return true;
        }
        text_add(problem, "%u numbers in the table, expected %u", (unsigned)inst->imm.n_ints, (unsigned)TABLE);
        return false;
    default: /* reduce_*: the tree halves */
        if (t.lanes != 0 && (t.lanes & (t.lanes - 1)) == 0) return true;
        text_add(problem, "%u lanes is no power of two", (unsigned)t.lanes);
        return false;
    }
}

static bool check_const(const LInst *inst, LType t, Text *problem) {
    if (t.pointer) {
        if (inst->imm.i == 0) return true;
        text_add(problem, "a constant pointer must be 0 (null)");
        return false;
    }
    if (dtype_is_float((DType)t.dtype)) return true;
    if (loop_wrap((DType)t.dtype, inst->imm.i) == inst->imm.i) return true;
    text_add(problem, "constant %lld does not fit %s", (long long)inst->imm.i, dtype_info[t.dtype].name);
    return false;
}

static bool check_tiles(const LInst *inst, Text *problem) {
    uint32_t n = inst->op == LOP_tile_begin || inst->op == LOP_tile_end ? 0 : inst->op == LOP_tile_dot_bf16 ? 3 : 1;
    const int64_t *tile = inst->imm.ints;
    if (inst->imm.n_ints != n) {
        text_add(problem, "%u tiles, expected %u", (unsigned)inst->imm.n_ints, (unsigned)n);
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (tile[i] >= 0 && tile[i] < LOOP_TILES) continue;
        text_add(problem, "there is no tile %lld, only 0 to %d", (long long)tile[i], LOOP_TILES - 1);
        return false;
    }
    if (n < 3 || (tile[0] != tile[1] && tile[0] != tile[2] && tile[1] != tile[2])) return true;
    text_add(problem, "the three tiles are not different ones");
    return false;
}

/* Immediates and widths, which signatures do not say. */
static bool check_rest(const LFunc *f, const LInst *inst, LType t, LType result, Text *problem) {
    switch (lop_info[inst->op].class_) {
    case LC_CONST: 
        if (inst->op == LOP_const) return check_const(inst, t, problem);
        if (inst->op == LOP_symbol_addr && !inst->imm.text) return text_add(problem, "no symbol is named"), false;
        return true;
    case LC_CAST: {
        DType from = (DType)f->types.at[inst->in[0].id].dtype;
        if (inst->op != LOP_bitcast || (from != DT_bool && dtype_info[from].bits == dtype_info[t.dtype].bits))
            return true;
        text_add(problem, "%s and %s differ in width", dtype_info[from].name, dtype_info[t.dtype].name);
        return false;
    }
    case LC_VECTOR:
        if (inst->op == LOP_splat || inst->op == LOP_lane_mask) return true;
        return check_lanes(inst, t, result, problem);
    case LC_MEMORY:
        if (inst->op == LOP_alloc) {
            if (inst->imm.i > 0 && inst->imm.i <= INT32_MAX) return true;
            text_add(problem, "alloc of %lld elements", (long long)inst->imm.i);
            return false;
        }
        if (inst->imm.i >= 0 && inst->imm.i <= 4096 && (inst->imm.i & (inst->imm.i - 1)) == 0) return true;
        text_add(problem, "alignment %lld is no power of two up to 4096", (long long)inst->imm.i);
        return false;
    case LC_TILE: return check_tiles(inst, problem);
    case LC_NONE:
    case LC_UNARY:
    case LC_BINARY:
    case LC_TERNARY:
    case LC_COMPARE:
    case LC_CONTROL: return true;
    }
    return true;
}

static bool check_signature(const LFunc *f, const LInst *inst, Text *problem) {
    const Signature *s = &signature[inst->op];
    LType result = inst->n_out ? f->types.at[inst->out[0].id] : (LType){0, 0, 0};
    if (inst->n_out != (s->result != '-')) {
        text_add(problem, "%u results, expected %d", (unsigned)inst->n_out, s->result != '-');
        return false;
    }
    int place_t = place_of(s, 'T'), place_p = place_of(s, 'P');
    LType t = {0, 0, 0}, p = {0, 0, 0};
    if (place_t >= 0) t = place_t == 0 ? result : f->types.at[inst->in[place_t - 1].id];
    if (place_p >= 0) p = place_p == 0 ? result : f->types.at[inst->in[place_p - 1].id];
    if (place_t >= 0 && !kind_holds(s->kind, t)) {
        text_add(problem, "type ");
        lt_print(problem, t);
        text_add(problem, " is not %s", kind_text(s->kind));
        return false;
    }
    if (place_p >= 0 && !p.pointer) {
        text_add(problem, "type ");
        lt_print(problem, p);
        text_add(problem, " is not a pointer");
        return false;
    }
    for (uint32_t i = 0; i < inst->n_in; i++) {
        LType found = f->types.at[inst->in[i].id];
        if (fits(s->operands[i], found, t, p)) continue;
        text_add(problem, "operand %u is ", (unsigned)i);
        lt_print(problem, found);
        text_add(problem, ", expected ");
        say_expected(problem, s->operands[i], t, p);
        return false;
    }
    if (s->result != '-' && !fits(s->result, result, t, p)) {
        text_add(problem, "the result is ");
        lt_print(problem, result);
        text_add(problem, ", expected ");
        say_expected(problem, s->result, t, p);
        return false;
    }
    return check_rest(f, inst, t, result, problem);
}

bool loop_inst_check(const LFunc *f, const LInst *inst, Text *problem) {
    if (inst->op <= LOP_none || inst->op >= LOP_COUNT) return text_add(problem, "no such instruction"), false;
    int operands = lop_info[inst->op].operands;
    if (operands != ANY && inst->n_in != (uint32_t)operands) {
        text_add(problem, "%u operands, expected %d", (unsigned)inst->n_in, operands);
        return false;
    }
    for (uint32_t i = 0; i < inst->n_in; i++)
        if (inst->in[i].id == 0 || inst->in[i].id >= f->types.n) {
            text_add(problem, "operand %u is no value", (unsigned)i);
            return false;
        }
    for (uint32_t i = 0; i < inst->n_out; i++)
        if (inst->out[i].id == 0 || inst->out[i].id >= f->types.n || !lt_allowed(f->types.at[inst->out[i].id])) {
            text_add(problem, "result %u has no type of loop IR", (unsigned)i);
            return false;
        }
    return lop_info[inst->op].class_ == LC_CONTROL || check_signature(f, inst, problem);
}
