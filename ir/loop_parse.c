/* loop_parse.c: reads the text form of Loop IR (docs/loop-ir.md); parse(print(m)) == m.
 *
 * Recursive descent over a bounded text, which may be hostile: nesting is limited, every number is range-checked, the first
 * mistake is reported with its line and column and ends the parse.  What the grammar cannot say (types, dominance, names of
 * functions) loop_verify checks at the end. */
#include "loop.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NESTING = 64, MAX_LIST = 1 << 16 };
typedef VEC(LVal) Values;
typedef VEC(const char *) Names;

typedef struct Parser {
    Context *cx;
    const char *file, *text;
    size_t n, at;
    const uint8_t *blob;
    size_t blob_bytes;
    bool failed;
    LoopModule *m;
    Arena *arena;            /* of the module */
    Arena *scratch;
    LFunc *f;
    Map values;              /* interned name or number -> value id */
    int depth;
} Parser;

/* ---- text --------------------------------------------------------------------------------------------------------- */

static bool fail(Parser *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool fail(Parser *p, const char *fmt, ...) {
    if (p->failed) return false;
    p->failed = true;
    uint32_t line = 1, column = 1;
    for (size_t i = 0; i < p->at && i < p->n; i++) {
        column = p->text[i] == '\n' ? 1 : column + 1;
        line += p->text[i] == '\n';
    }
    char message[256];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(message, sizeof message, fmt, args) < 0) message[0] = 0;
    va_end(args);
    diag_error(p->cx, loc_text(p->cx, p->file, line, column), "%s", message);
    return false;
}

static char peek(const Parser *p) { return p->at < p->n ? p->text[p->at] : '\0'; }

static void skip_space(Parser *p) {
    for (; p->at < p->n; p->at++) {
        char c = p->text[p->at];
        if (c == '/' && p->at + 1 < p->n && p->text[p->at + 1] == '/') {
            while (p->at < p->n && p->text[p->at] != '\n') p->at++;
            if (p->at >= p->n) return;
        } else if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
            return;
        }
    }
}

static bool is_word_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '$';
}

/* The run of word characters ahead; nothing is consumed. */
static size_t word_length(Parser *p) {
    skip_space(p);
    size_t end = p->at;
    while (end < p->n && is_word_char(p->text[end])) end++;
    return end - p->at;
}

/* What is ahead, for messages. */
static const char *found(Parser *p) {
    size_t n = word_length(p);
    if (p->at >= p->n) return "the end of the text";
    if (n == 0) n = 1;
    if (n > 40) n = 40;
    char c = p->text[p->at];
    if (n == 1 && (c < ' ' || c > '~')) return arena_print(p->scratch, "byte 0x%02x", (unsigned)(uint8_t)c);
    return arena_print(p->scratch, "'%.*s'", (int)n, p->text + p->at);
}

static bool accept(Parser *p, char c) {
    skip_space(p);
    if (p->failed || peek(p) != c) return false;
    p->at++;
    return true;
}

static bool expect(Parser *p, char c) { return accept(p, c) || fail(p, "found %s, expected '%c'", found(p), c); }

static bool accept_word(Parser *p, const char *word) {
    size_t n = strlen(word);
    if (p->failed || word_length(p) != n || memcmp(p->text + p->at, word, n) != 0) return false;
    p->at += n;
    return true;
}

static bool expect_word(Parser *p, const char *word) {
    return accept_word(p, word) || fail(p, "found %s, expected '%s'", found(p), word);
}

/* Interned; "" after a diagnostic. */
static const char *read_word(Parser *p, const char *what) {
    size_t n = word_length(p);
    if (p->failed || n == 0) return fail(p, "found %s, expected %s", found(p), what), "";
    const char *word = intern_n(p->cx, p->text + p->at, n);
    p->at += n;
    return word;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The character after a backslash; 0 after a diagnostic. */
static char read_escape(Parser *p) {
    char c = peek(p);
    p->at++;
    switch (c) {
    case 'n': return '\n';
    case 't': return '\t';
    case '"':
    case '\\': return c;
    case 'x': {
        int high = hex_digit(peek(p)), low = p->at + 1 < p->n ? hex_digit(p->text[p->at + 1]) : -1;
        if (high < 0 || low < 0 || high + low == 0) return fail(p, "\\x takes two hex digits other than 00"), '\0';
        p->at += 2;
        return (char)(high << 4 | low);
    }
    default: return fail(p, "unknown escape in a string, expected \\n \\t \\\" \\\\ or \\xHH"), '\0';
    }
}

static const char *read_string(Parser *p) {
    if (!expect(p, '"')) return "";
    Text out = text_new(p->scratch);
    text_add(&out, "%s", "");
    while (!p->failed && peek(p) != '"') {
        if (p->at >= p->n || peek(p) == '\n' || peek(p) == '\0')
            return fail(p, "a string does not end on its line"), "";
        char c = p->text[p->at++];
        if (c == '\\') c = read_escape(p);
        if (p->failed) return "";
        text_add_n(&out, &c, 1);
    }
    p->at++;
    return intern_n(p->cx, out.at ? out.at : "", out.n);
}

static const char *read_symbol(Parser *p) {
    if (!expect(p, '@')) return "";
    return peek(p) == '"' ? read_string(p) : read_word(p, "a name after '@'");
}

/* The token of a number, sign included, as a C string; "" where there is none. */
static const char *number_text(Parser *p) {
    skip_space(p);
    size_t end = p->at;
    if (end < p->n && (p->text[end] == '-' || p->text[end] == '+')) end++;
    while (end < p->n && (is_word_char(p->text[end]) || ((p->text[end] == '-' || p->text[end] == '+') &&
                                                         (p->text[end - 1] == 'e' || p->text[end - 1] == 'E'))))
        end++;
    size_t n = end - p->at;
    if (n > 400) n = 0; /* the longest decimal of a double needs fewer */
    const char *token = arena_print(p->scratch, "%.*s", (int)n, p->text + p->at);
    p->at += n;
    return token;
}

static int64_t read_int(Parser *p, int64_t min, int64_t max) {
    skip_space(p);
    size_t start = p->at;
    const char *token = number_text(p);
    char *end = NULL;
    errno = 0;
    long long value = strtoll(token, &end, 10);
    bool digits = (token[0] >= '0' && token[0] <= '9') ||
                  ((token[0] == '-' || token[0] == '+') && token[1] >= '0' && token[1] <= '9');
    if (!p->failed && digits && *end == '\0' && errno == 0 && value >= min && value <= max) return value;
    p->at = start;
    fail(p, "found %s, expected an integer from %" PRId64 " to %" PRId64, found(p), min, max);
    return min;
}

/* ---- types and values --------------------------------------------------------------------------------------------- */

static LType read_type(Parser *p) {
    bool pointer = accept_word(p, "ptr");
    size_t start = p->at;
    const char *word = read_word(p, "a type");
    const char *cross = strchr(word, 'x');
    long lanes = 1;
    if (cross && !pointer) {
        char *end = NULL;
        lanes = cross[1] >= '1' && cross[1] <= '9' ? strtol(cross + 1, &end, 10) : 0;
        if (!end || *end || lanes > MAX_LANES) lanes = 0;
        word = intern_n(p->cx, word, (size_t)(cross - word));
    }
    DType dtype = dtype_by_name(word);
    LType t = pointer ? lt_pointer(dtype) : lt_vector(dtype, (uint32_t)lanes);
    if (p->failed || lt_allowed(t)) return t;
    p->at = start;
    fail(p, "found %s, expected a type of loop IR such as i64, f32x8, boolx16 or ptr f32", found(p));
    return lt_scalar(DT_i64);
}

static LVal new_value(Parser *p, LType t) {
    LVal v = {p->f->types.n};
    vec_push(p->arena, &p->f->types, t);
    return v;
}

static const char *read_value_name(Parser *p) {
    if (!expect(p, '%')) return "";
    return read_word(p, "a name or number after '%'");
}

static void define(Parser *p, const char *name, LVal v) {
    if (p->failed) return;
    if (map_get(&p->values, (uintptr_t)name)) {
        fail(p, "value %%%s is defined twice", name);
        return;
    }
    map_set(&p->values, (uintptr_t)name, v.id);
}

static LVal read_value(Parser *p) {
    skip_space(p);
    size_t start = p->at;
    const char *name = read_value_name(p);
    LVal v = {p->failed ? 0 : map_get(&p->values, (uintptr_t)name)};
    if (v.id || p->failed) return v;
    p->at = start;
    fail(p, "value %%%s is not defined before its use", name);
    return v;
}

static void add_value(Parser *p, Values *list, LVal v) {
    if (list->n >= MAX_LIST) fail(p, "more than %d values in a list", MAX_LIST);
    if (!p->failed) vec_push(p->arena, list, v);
}

/* Values up to the closing parenthesis, which is consumed. */
static void read_arguments(Parser *p, Values *list) {
    if (!expect(p, '(') || accept(p, ')')) return;
    do add_value(p, list, read_value(p));
    while (accept(p, ','));
    expect(p, ')');
}

/* ---- instructions ------------------------------------------------------------------------------------------------- */

static void read_block(Parser *p, LBlock *block, bool function);

static void read_ints(Parser *p, LInst *inst) {
    VEC(int64_t) ints = {0};
    if (!expect(p, '[')) return;
    int64_t most = inst->op == LOP_lookup ? UINT32_MAX : 2 * MAX_LANES - 1;
    do vec_push(p->arena, &ints, read_int(p, 0, most));
    while (ints.n < MAX_LANES && accept(p, ','));
    expect(p, ']');
    if (inst->op == LOP_shuffle || inst->op == LOP_lookup || lop_info[inst->op].class_ == LC_TILE) {
        inst->imm.ints = ints.at;
        inst->imm.n_ints = ints.n;
    } else if (ints.n == 1) {
        inst->imm.i = ints.at[0];
    } else {
        fail(p, "found %u lane numbers, expected one", ints.n);
    }
}

/* A constant's token; that of a NaN with payload is nan(0xBITS. */
static const char *read_const_token(Parser *p) {
    const char *token = number_text(p);
    if (strcmp(token, "nan") != 0 || !accept(p, '(')) return token;
    const char *bits = number_text(p);
    expect(p, ')');
    return arena_print(p->scratch, "nan(%s", bits);
}

/* Operands, symbol and immediates of what has no blocks; a constant's token is given back, because its type follows. */
static const char *read_plain(Parser *p, LInst *inst, Values *in) {
    switch ((int)inst->op) {
    case LOP_const: return read_const_token(p);
    case LOP_symbol_addr: inst->imm.text = read_symbol(p); return NULL;
    case LOP_alloc: inst->imm.i = read_int(p, 1, INT32_MAX); return NULL;
    case LOP_call:
    case LOP_launch:
    case LOP_defer:
        inst->imm.text = read_symbol(p);
        read_arguments(p, in);
        return NULL;
    case LOP_call_pointer:
        add_value(p, in, read_value(p));
        read_arguments(p, in);
        return NULL;
    default: break;
    }
    skip_space(p);
    if (lop_info[inst->op].operands && peek(p) == '%') {
        do add_value(p, in, read_value(p));
        while (accept(p, ','));
    }
    bool numbers = inst->op == LOP_shuffle || inst->op == LOP_lookup || inst->op == LOP_extract || inst->op == LOP_insert;
    if (numbers) read_ints(p, inst);
    if (lop_info[inst->op].class_ == LC_TILE && peek(p) == '[') read_ints(p, inst);
    if (lop_info[inst->op].class_ == LC_MEMORY && accept_word(p, "align")) inst->imm.i = read_int(p, 1, 4096);
    return NULL;
}

static void set_float(Parser *p, LInst *inst, DType t, const char *token) {
    char *end = NULL;
    if (strncmp(token, "nan", 3) == 0) {
        uint64_t bits = UINT64_C(0x7FF8000000000000);
        if (token[3] == '(') bits = strtoull(token + 4, &end, 16);
        memcpy(&inst->imm.f, &bits, sizeof bits);
        if ((end && *end) || (token[3] && token[3] != '(') || inst->imm.f == inst->imm.f)
            fail(p, "'%.40s' is no NaN: expected nan or nan(0x bits of an f64)", token);
        return;
    }
    const char *digits = token + (token[0] == '-' || token[0] == '+');
    bool known = (digits[0] >= '0' && digits[0] <= '9') || strcmp(digits, "inf") == 0;
    inst->imm.f = t == DT_f32 ? (double)strtof(token, &end) : strtod(token, &end);
    if (!known || *end) fail(p, "'%.40s' is no %s", token, dtype_info[t].name);
}

static void set_const(Parser *p, LInst *inst, LType t, const char *token) {
    char *end = NULL;
    errno = 0;
    if (t.pointer) {
        if (strcmp(token, "null") != 0) fail(p, "found '%.40s', expected null, the only constant pointer", token);
    } else if (dtype_is_float((DType)t.dtype)) {
        set_float(p, inst, (DType)t.dtype, token);
    } else if (t.dtype == DT_bool) {
        inst->imm.i = strcmp(token, "true") == 0;
        if (!inst->imm.i && strcmp(token, "false") != 0) fail(p, "found '%.40s', expected true or false", token);
    } else {
        bool negative = token[0] == '-';
        inst->imm.i = negative ? strtoll(token, &end, 10) : (int64_t)strtoull(token, &end, 10);
        bool sign_right = negative ? dtype_is_signed((DType)t.dtype) : inst->imm.i >= 0 || t.dtype == DT_u64;
        if (!end || end == token || *end || errno || !sign_right ||
            loop_wrap((DType)t.dtype, inst->imm.i) != inst->imm.i)
            fail(p, "constant '%.40s' is no %s", token, dtype_info[t.dtype].name);
    }
}

/* ": type, type" for the results; they become known after the instruction's blocks. */
static void read_result_types(Parser *p, LInst *inst, uint32_t n) {
    LVal *out = arena_new_array(p->arena, LVal, n);
    if (n) expect(p, ':');
    for (uint32_t i = 0; i < n && !p->failed; i++) {
        if (i) expect(p, ',');
        out[i] = new_value(p, read_type(p));
    }
    inst->out = out;
    inst->n_out = p->failed ? 0 : n;
}

/* iter(%a = %init, ...): names of the block's arguments after `args`, initial values after `in`. */
static void read_iter(Parser *p, Values *in, Names *names) {
    if (!accept_word(p, "iter") || !expect(p, '(')) return;
    do {
        vec_push(p->scratch, names, read_value_name(p));
        expect(p, '=');
        add_value(p, in, read_value(p));
    } while (!p->failed && accept(p, ','));
    expect(p, ')');
}

static void read_body(Parser *p, LInst *inst, uint32_t which) {
    LBlock *block = inst->blocks[which];
    if (!block) block = inst->blocks[which] = arena_alloc(p->arena, sizeof *block);
    inst->n_blocks = (uint16_t)(which + 1);
    if (expect(p, '{')) read_block(p, block, false);
}

/* Arguments of a loop's body: the index, if any, and one like each carried value. */
static void define_arguments(Parser *p, LInst *inst, const char *index, const Names *names, const Values *in) {
    uint32_t extra = index != NULL;
    LVal *args = arena_new_array(p->arena, LVal, names->n + extra);
    LBlock *body = inst->blocks[0] = arena_alloc(p->arena, sizeof *body);
    if (p->failed) return;
    if (index) define(p, index, args[0] = new_value(p, lt_scalar(DT_i64)));
    for (uint32_t i = 0; i < names->n && !p->failed; i++) {
        args[extra + i] = new_value(p, p->f->types.at[in->at[in->n - names->n + i].id]);
        define(p, names->at[i], args[extra + i]);
    }
    body->args = args;
    body->n_args = names->n + extra;
}

/* for [unrolled] %i = %begin to %end step 4 iter(%a = %x) : f32 { ... } */
static void read_for(Parser *p, LInst *inst, uint32_t n_results) {
    Values in = {0};
    Names names = {0};
    if (accept_word(p, "unrolled")) inst->kind = LOOP_UNROLLED;
    const char *index = read_value_name(p);
    expect(p, '=');
    add_value(p, &in, read_value(p));
    expect_word(p, "to");
    add_value(p, &in, read_value(p));
    expect_word(p, "step");
    inst->imm.i = read_int(p, 1, INT64_MAX);
    read_iter(p, &in, &names);
    read_result_types(p, inst, n_results);
    inst->in = in.at;
    inst->n_in = in.n;
    define_arguments(p, inst, index, &names, &in);
    read_body(p, inst, 0);
}

/* while iter(%a = %x) : i64 { ... } */
static void read_while(Parser *p, LInst *inst, uint32_t n_results) {
    Values in = {0};
    Names names = {0};
    read_iter(p, &in, &names);
    read_result_types(p, inst, n_results);
    inst->in = in.at;
    inst->n_in = in.n;
    define_arguments(p, inst, NULL, &names, &in);
    read_body(p, inst, 0);
}

/* if %c : f32 { ... } else { ... } */
static void read_if(Parser *p, LInst *inst, uint32_t n_results) {
    Values in = {0};
    add_value(p, &in, read_value(p));
    inst->in = in.at;
    inst->n_in = in.n;
    read_result_types(p, inst, n_results);
    read_body(p, inst, 0);
    if (accept_word(p, "else")) {
        read_body(p, inst, 1);
        return;
    }
    LBlock *otherwise = inst->blocks[1] = arena_alloc(p->arena, sizeof *otherwise);
    vec_push(p->arena, &otherwise->insts, (LInst){.op = LOP_yield});
    inst->n_blocks = 2;
}

static void read_inst(Parser *p, LBlock *block) {
    Names results = {0};
    Values in = {0};
    LInst inst = {0};
    skip_space(p);
    if (peek(p) == '%') {
        do vec_push(p->scratch, &results, read_value_name(p));
        while (!p->failed && accept(p, ','));
        expect(p, '=');
    }
    skip_space(p);
    size_t start = p->at;
    const char *name = read_word(p, "an instruction");
    inst.op = p->failed ? LOP_none : lop_by_name(name);
    if (inst.op == LOP_none) {
        p->at = start;
        fail(p, "found %s, expected an instruction", found(p));
        return;
    }
    if (inst.op == LOP_for) {
        read_for(p, &inst, results.n);
    } else if (inst.op == LOP_while) {
        read_while(p, &inst, results.n);
    } else if (inst.op == LOP_if) {
        read_if(p, &inst, results.n);
    } else {
        const char *token = read_plain(p, &inst, &in);
        inst.in = in.at;
        inst.n_in = in.n;
        read_result_types(p, &inst, results.n);
        if (inst.op == LOP_const && inst.n_out == 1) set_const(p, &inst, p->f->types.at[inst.out[0].id], token);
    }
    for (uint32_t i = 0; i < inst.n_out; i++) define(p, results.at[i], inst.out[i]);
    if (!p->failed) vec_push(p->arena, &block->insts, inst);
}

/* After the opening brace, up to and with the closing one. */
static void read_block(Parser *p, LBlock *block, bool function) {
    if (++p->depth > MAX_NESTING) fail(p, "blocks nest deeper than %d", MAX_NESTING);
    while (!p->failed && !accept(p, '}')) {
        if (p->at >= p->n) fail(p, "found the end of the text, expected '}'");
        if (!p->failed) read_inst(p, block);
    }
    p->depth--;
    bool ended =
        block->insts.n && (vec_last(&block->insts).op == LOP_yield || vec_last(&block->insts).op == LOP_return);
    if (!ended && !function) vec_push(p->arena, &block->insts, (LInst){.op = LOP_yield});
}

/* ---- functions ---------------------------------------------------------------------------------------------------- */

static LParam read_param(Parser *p) {
    LParam param = {0};
    const char *name = read_value_name(p);
    bool number = name[0] >= '0' && name[0] <= '9';
    skip_space(p);
    param.name = number ? NULL : name;
    if (number && peek(p) == '"') param.name = read_string(p);
    expect(p, ':');
    param.type = read_type(p);
    param.value = new_value(p, param.type);
    define(p, name, param.value);
    for (bool more = true; more && !p->failed;) {
        uint32_t flag = accept_word(p, "noalias")     ? LP_NOALIAS
                        : accept_word(p, "readonly")  ? LP_READONLY
                        : accept_word(p, "writeonly") ? LP_WRITEONLY
                                                      : 0;
        param.flags |= flag;
        more = flag != 0;
        if (!flag && accept_word(p, "align")) {
            param.align = (uint32_t)read_int(p, 1, 1 << 16);
            more = true;
        }
    }
    return param;
}

static void read_params(Parser *p) {
    VEC(LParam) params = {0};
    if (!expect(p, '(')) return;
    if (!accept(p, ')')) {
        do vec_push(p->arena, &params, read_param(p));
        while (!p->failed && params.n < MAX_LIST && accept(p, ','));
        expect(p, ')');
    }
    p->f->params = params.at;
    p->f->n_params = params.n;
}

/* A comment on the rest of this line belongs to the function. */
static const char *read_comment(Parser *p) {
    while (peek(p) == ' ' || peek(p) == '	') p->at++;
    if (p->at + 1 >= p->n || p->text[p->at] != '/' || p->text[p->at + 1] != '/') return NULL;
    p->at += 2;
    if (peek(p) == ' ') p->at++;
    Text out = text_new(p->scratch);
    for (; p->at < p->n && peek(p) != '\n' && peek(p) != '\0'; p->at++) {
        char c = peek(p);
        if (c == '\\' && p->at + 1 < p->n && (p->text[p->at + 1] == 'n' || p->text[p->at + 1] == '\\'))
            c = p->text[++p->at] == 'n' ? '\n' : '\\';
        text_add_n(&out, &c, 1);
    }
    return out.n ? intern_n(p->cx, out.at, out.n) : NULL;
}

static const Target *read_target(Parser *p) {
    const char *name = read_string(p);
    const Target *t = p->failed ? NULL : target_find(name);
    if (!t) fail(p, "unknown target '%.40s'", name);
    return t;
}

/* "variant of @k", "for "target"", both optional. */
static void read_tier(Parser *p, LFunc *f) {
    if (accept_word(p, "variant")) {
        expect_word(p, "of");
        f->variant_of = read_symbol(p);
    }
    if (accept_word(p, "for")) f->target = read_target(p);
}

/* A variant without text of its own: after its name. */
static void read_same_text(Parser *p, LFunc *f) {
    const char *name = f->name;
    read_tier(p, f);
    const LFunc *kernel = f->variant_of ? loop_func_find(p->m, f->variant_of) : NULL;
    if (!kernel || kernel->same_text || !f->target) {
        fail(
            p,
            "a variant without text follows the kernel that it is a variant of: kernel @name variant of @kernel for "
            "\"target\"");
        return;
    }
    LFunc tier = *f;
    *f = *kernel;
    f->name = name;
    f->target = tier.target;
    f->variant_of = tier.variant_of;
    f->same_text = true;
    vec_push(p->arena, &p->m->funcs, f);
}

static void read_function(Parser *p, LFuncKind kind) {
    LFunc *f = p->f = arena_alloc(p->arena, sizeof *f);
    f->kind = kind;
    p->values = map_new(p->scratch);
    (void)new_value(p, (LType){0, 0, 0});
    f->name = read_symbol(p);
    skip_space(p);
    if (kind == LF_KERNEL && peek(p) == 'v') {
        read_same_text(p, f);
        return;
    }
    read_params(p);
    skip_space(p);
    if (p->at + 1 < p->n && p->text[p->at] == '-' && p->text[p->at + 1] == '>') {
        p->at += 2;
        f->result = read_type(p);
    }
    read_tier(p, f);
    if (kind != LF_EXTERN && expect(p, '{')) f->body = arena_alloc(p->arena, sizeof *f->body);
    f->comment = read_comment(p);
    if (f->body) read_block(p, f->body, true);
    vec_push(p->arena, &p->m->funcs, f);
}

/* ---- data --------------------------------------------------------------------------------------------------------- */

static void read_hex(Parser *p, LData *d) {
    size_t start = ++p->at; /* after x and the quote */
    while (hex_digit(peek(p)) >= 0) p->at++;
    size_t digits = p->at - start;
    if (peek(p) != '"' || digits % 2) {
        fail(p, "found %s in a hex string, expected pairs of hex digits and '\"'", found(p));
        return;
    }
    uint8_t *bytes = arena_alloc(p->arena, digits / 2 + 1);
    for (size_t i = 0; i < digits / 2; i++)
        bytes[i] = (uint8_t)(hex_digit(p->text[start + 2 * i]) << 4 | hex_digit(p->text[start + 2 * i + 1]));
    p->at++;
    d->bytes = bytes;
    d->size = digits / 2;
}

static void read_blob(Parser *p, LData *d) {
    expect(p, '(');
    uint64_t offset = (uint64_t)read_int(p, 0, INT64_MAX);
    expect(p, ',');
    d->size = (uint64_t)read_int(p, 0, INT64_MAX);
    expect(p, ')');
    if (p->failed) return;
    if (!p->blob || offset > p->blob_bytes || d->size > p->blob_bytes - offset)
        fail(p, "blob(%" PRIu64 ", %" PRIu64 ") lies beyond the %zu bytes of the side file", offset, d->size,
             p->blob_bytes);
    else
        d->bytes = p->blob + offset;
}

static void read_relocs(Parser *p, LData *d) {
    VEC(LReloc) relocs = {0};
    if (!expect(p, '[')) return;
    do {
        LReloc r = {0};
        r.offset = (uint64_t)read_int(p, 0, INT64_MAX);
        expect(p, ':');
        r.symbol = read_symbol(p);
        skip_space(p);
        if (peek(p) == '+' || peek(p) == '-') r.addend = read_int(p, INT64_MIN, INT64_MAX);
        vec_push(p->arena, &relocs, r);
    } while (!p->failed && accept(p, ','));
    expect(p, ']');
    d->relocs = relocs.at;
    d->n_relocs = relocs.n;
}

static void read_data(Parser *p) {
    LData d = {0};
    d.name = read_symbol(p);
    expect_word(p, "align");
    d.align = (uint32_t)read_int(p, 1, 1 << 16);
    if (accept_word(p, "export")) d.flags |= LD_EXPORT;
    if (accept_word(p, "writable")) d.flags |= LD_WRITABLE;
    if (accept_word(p, "weights")) d.flags |= LD_WEIGHTS;
    expect(p, '=');
    if (accept_word(p, "zero")) {
        expect(p, '(');
        d.size = (uint64_t)read_int(p, 0, INT64_MAX);
        expect(p, ')');
    } else if (accept_word(p, "blob")) {
        read_blob(p, &d);
    } else if (accept_word(p, "x") && peek(p) == '"') {
        read_hex(p, &d);
    } else {
        fail(p, "found %s, expected x\"...\", zero(size) or blob(offset, size)", found(p));
    }
    if (accept_word(p, "relocs")) read_relocs(p, &d);
    if (!p->failed) vec_push(p->arena, &p->m->datas, d);
}

/* ---- the module --------------------------------------------------------------------------------------------------- */

static void read_header(Parser *p) {
    expect_word(p, "loop");
    const char *name = read_symbol(p);
    Tiers tiers = {0};
    if (accept_word(p, "target")) {
        do {
            const Target *t = read_target(p), *last = tiers.n ? tiers.at[tiers.n - 1] : NULL;
            if (t && last && t <= last) fail(p, "found target \"%s\" after \"%s\", expected a higher one", t->name, last->name);
            tiers.at[tiers.n++] = t;
            skip_space(p);
        } while (!p->failed && tiers.n < MAX_TIERS && peek(p) == '"');
    }
    p->m = loop_module_new(p->cx, name, &tiers);
    p->arena = p->m->arena;
}

static void read_item(Parser *p) {
    static const char *const keyword[] = {"func", "export", "kernel", "extern"};
    for (int kind = 0; kind < 4; kind++)
        if (accept_word(p, keyword[kind])) {
            read_function(p, (LFuncKind)kind);
            return;
        }
    if (accept_word(p, "data")) {
        read_data(p);
    } else if (accept_word(p, "note")) {
        LNote note = {read_string(p), NULL};
        expect(p, '=');
        note.text = read_string(p);
        vec_push(p->arena, &p->m->notes, note);
    } else {
        fail(p, "found %s, expected note, data, func, export, kernel or extern", found(p));
    }
}

LoopModule *loop_parse(Context *cx, const char *file, const char *text, size_t n, const uint8_t *blob,
                       size_t blob_bytes) {
    Parser p = {.cx = cx, .file = file, .text = text, .n = n, .blob = blob, .blob_bytes = blob_bytes};
    p.scratch = arena_new(cx);
    read_header(&p);
    for (skip_space(&p); !p.failed && p.at < p.n; skip_space(&p)) read_item(&p);
    arena_free(p.scratch);
    return !p.failed && loop_verify(p.m) ? p.m : NULL;
}
