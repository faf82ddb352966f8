/* eval.c: the element of a body value at an index, as instructions: where fusion happens.
 *
 * Elementwise nodes evaluate their operands at the same index; views and indexed nodes at the index that index_<op> gives;
 * parameters load; anchors are the template's (Kernel.anchor) or reduced in place (reduce.c).  Values computed in the
 * current or an enclosing block are shared.
 * Invariant: under a mask, vector loads of inactive lanes touch no memory; uniform loads under a mask are guarded by it.
 */
#include "lower.h"

/* ---- scopes ------------------------------------------------------------------------------------------------------- */

void kernel_enter(Kernel *k, KernelScope *s, const Fact *facts, uint32_t n) {
    *s = (KernelScope){k->scope, {k->scope, facts, n}, k->memo.n, k->symbols.n, k->next_index};
    k->scope = &s->scope;
}

void kernel_leave(Kernel *k, KernelScope *s) {
    k->scope = s->outer;
    k->memo.n = s->memo;
    k->symbols.n = s->symbols;
    k->next_index = s->index;
}

Dim kernel_loop(Kernel *k, KernelLoop *s, LVal begin, LVal end, Dim extent, int64_t step, LVal *carried, uint32_t n) {
    s->memo = k->memo.n, s->symbols = k->symbols.n, s->index = k->next_index;
    LVal index;
    s->loop = l_for(k->b, begin, end, step, LOOP_SERIAL, carried, n, &index);
    Dim i = kernel_index(k, index);
    s->facts[0] = (Fact){REL_LE, dim_const(k->cx, 0), i};
    s->facts[1] = (Fact){REL_LT, i, extent};
    s->scope = (Scope){k->scope, s->facts, 2};
    k->scope = &s->scope;
    return i;
}

void kernel_loop_end(Kernel *k, KernelLoop *s, LVal *carried, uint32_t n) {
    l_for_end(k->b, &s->loop, carried, n);
    k->scope = s->scope.parent;
    k->memo.n = s->memo, k->symbols.n = s->symbols, k->next_index = s->index;
}

void kernel_split(Kernel *k, Dim linear, const Dim *dims, uint32_t n, Dim *at, Fact *facts) {
    Context *cx = k->cx;
    for (uint32_t i = n; i-- > 0;) {
        if (dim_is(cx, dims[i], 1)) {
            at[i] = dim_const(cx, 0); /* as views read such an axis, so that what both evaluate is shared */
        } else if (i == 0) {
            at[0] = linear;
        } else {
            Dim q = kernel_simplify(k, dim_fdiv(cx, linear, dims[i]));
            at[i] = kernel_index(k, kernel_dim(k, dim_sub(cx, linear, dim_mul(cx, q, dims[i]))));
            linear = i > 1 || n > 1 ? kernel_index(k, kernel_dim(k, q)) : q;
        }
        facts[i] = (Fact){REL_LT, at[i], dims[i]};
    }
}

void kernel_tasks(Kernel *k, KernelTasks *s, LVal lo, LVal hi, const Dim *dims, uint32_t n, Dim *at) {
    Dim p = kernel_loop(k, &s->loop, lo, hi, dim_product(k->cx, dims, n), 1, NULL, 0);
    kernel_split(k, p, dims, n, at, s->facts);
    kernel_enter(k, &s->scope, s->facts, n);
}

void kernel_tasks_end(Kernel *k, KernelTasks *s) {
    kernel_leave(k, &s->scope);
    kernel_loop_end(k, &s->loop, NULL, 0);
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */

static LVal element_pointer_index(Kernel *k, Dim offset, bool *is_vector_load) {
    Dim a, base;
    *is_vector_load = false;
    if (dim_affine(k->cx, offset, k->lane, &a, &base) && !kernel_varies(k, base)) {
        if (dim_is(k->cx, a, 1)) {
            *is_vector_load = true;
            return kernel_dim(k, base);
        }
        if (!kernel_varies(k, a)) {
            LVal iota = l_inst(k->b, LOP_iota, lt_vector(DT_i64, k->lanes), NULL, 0, 0);
            LVal step = l_mul(k->b, iota, kernel_dim(k, a));
            return l_add(k->b, step, kernel_dim(k, base));
        }
    }
    return kernel_dim_lanes(k, offset);
}

static LVal load_uniform(Kernel *k, LVal pointer, Dim offset) {
    LVal index = kernel_dim(k, offset);
    if (!k->mask.id || k->lanes == 1) return l_load(k->b, pointer, index, 1, (LVal){0});
    LVal any = l_inst(k->b, LOP_reduce_or, lt_scalar(DT_bool), &k->mask, 1, 0);
    LType t = {loop_type(k->b, pointer).dtype, 0, 1};
    LIf branch = l_if(k->b, any);
    LVal value = l_load(k->b, pointer, index, 1, (LVal){0});
    l_else(k->b, &branch, &value, 1);
    LVal zero = dtype_is_float(t.dtype) ? l_float(k->b, t, 0) : l_int(k->b, t, 0);
    l_if_end(k->b, &branch, &zero, 1, &value);
    return value;
}

LVal kernel_load(Kernel *k, LVal pointer, DType dtype, Dim offset) {
    offset = kernel_simplify(k, offset);
    LVal raw;
    if (!kernel_varies(k, offset)) {
        raw = load_uniform(k, pointer, offset);
    } else {
        bool contiguous;
        LVal index = element_pointer_index(k, offset, &contiguous);
        raw = contiguous ? l_load(k->b, pointer, index, k->lanes, k->mask) : l_gather(k->b, pointer, index, k->mask);
    }
    return l_decode(k->b, raw, dtype);
}

static bool streams(const Kernel *k, LVal pointer) {
    for (uint32_t r = 0; r < k->body->results.n && k->stream >> r; r++)
        if (k->outputs[r].id == pointer.id) return k->stream >> r & 1;
    return false;
}

static void store_stream(Kernel *k, LVal pointer, LVal index, LVal raw) {
    LVal in[] = {pointer, index, raw};
    if (!k->far.id) {
        l_inst(k->b, LOP_store_stream, (LType){0}, in, 3, 0);
        return;
    }
    LIf branch = l_if(k->b, k->far);
    l_inst(k->b, LOP_store_stream, (LType){0}, in, 3, 0);
    l_else(k->b, &branch, NULL, 0);
    l_store(k->b, pointer, index, raw, (LVal){0});
    l_if_end(k->b, &branch, NULL, 0, NULL);
}

void kernel_store(Kernel *k, LVal pointer, DType dtype, Dim offset, LVal value) {
    LVal raw = l_encode(k->b, value, dtype);
    offset = kernel_simplify(k, offset);
    if (k->lanes == 1) {
        l_store(k->b, pointer, kernel_dim(k, offset), raw, (LVal){0});
        return;
    }
    bool contiguous;
    LVal index = element_pointer_index(k, offset, &contiguous);
    raw = l_splat(k->b, raw, k->lanes);
    if (contiguous) {
        if (!k->mask.id && streams(k, pointer)) store_stream(k, pointer, index, raw);
        else l_store(k->b, pointer, index, raw, k->mask);
        return;
    }
    LVal all = k->mask.id ? k->mask : l_splat(k->b, l_bool(k->b, true), k->lanes);
    LVal in[] = {pointer, index, raw, all};
    l_inst(k->b, LOP_scatter_masked, (LType){0}, in, 4, 0);
}

/* ---- run-time indices --------------------------------------------------------------------------------------------- */

void kernel_fail(Kernel *k, LVal condition, ingot_status status, LVal position, LVal value, LVal extent) {
    if (!k->fail.id) BUG(k->cx, "a kernel with run-time checks has no failure record");
    LIf branch = l_if(k->b, condition);
    LVal record[] = {position, value, extent};
    for (uint32_t i = 0; i < COUNT(record); i++) l_store(k->b, k->fail, l_i64(k->b, i + 1), record[i], (LVal){0});
    LType i32 = lt_scalar(DT_i32);
    l_return(k->b, l_int(k->b, i32, status));
    l_else(k->b, &branch, NULL, 0);
    l_if_end(k->b, &branch, NULL, 0, NULL);
}

typedef struct IndexLoad { Kernel *k; const Node *node; } IndexLoad;

/* The first active lane whose index is bad, and its index. */
static LVal first_bad_value(Kernel *k, LVal bad, LVal index) {
    LType t = loop_type(k->b, index);
    LVal none = l_int(k->b, t, INT64_MIN);
    return l_inst(k->b, LOP_reduce_max, lt_scalar(DT_i64), (LVal[]){l_select(k->b, bad, index, none)}, 1, 0);
}

static void check_index(Kernel *k, LVal index, Dim extent, Dim position) {
    LoopBuilder *b = k->b;
    LVal limit = kernel_dim(k, extent), zero = l_i64(b, 0);
    LVal bad = l_bin(b, LOP_or, l_lt(b, index, zero), l_bin(b, LOP_le, limit, index));
    Dim first = dim_substitute(k->cx, position, &k->lane, (Dim[]){dim_const(k->cx, 0)}, 1);
    LVal where = kernel_varies(k, first) ? zero : kernel_dim(k, first);
    if (loop_type(b, bad).lanes > 1) {
        if (k->mask.id) bad = l_bin(b, LOP_and, bad, k->mask);
        LVal value = first_bad_value(k, bad, index);
        LVal any = l_inst(b, LOP_reduce_or, lt_scalar(DT_bool), &bad, 1, 0);
        kernel_fail(k, any, INGOT_E_INDEX, where, value, limit);
    } else {
        if (k->mask.id) bad = l_bin(b, LOP_and, bad, l_inst(b, LOP_reduce_or, lt_scalar(DT_bool), &k->mask, 1, 0));
        kernel_fail(k, bad, INGOT_E_INDEX, where, index, limit);
    }
}

static Dim load_index(void *user, uint32_t operand, const Dim *at, Dim extent) {
    IndexLoad *s = user;
    Kernel *k = s->k;
    Val v = s->node->in[operand];
    LVal index = l_convert(k->b, kernel_eval(k, v, at), DT_i64);
    const TypeInfo *t = val_type(k->body, v);
    if (s->node->op == OP_dyn_slice || s->node->op == OP_dyn_update) {
        LVal high = kernel_dim(k, dim_max(k->cx, dim_addi(k->cx, extent, -1), dim_const(k->cx, 0)));
        index = l_max(k->b, l_min(k->b, index, high), l_i64(k->b, 0));
    } else {
        check_index(k, index, extent, access_offset(k->cx, t->dims, at, t->rank));
        if (k->mask.id && loop_type(k->b, index).lanes > 1) index = l_select(k->b, k->mask, index, l_i64(k->b, 0));
    }
    return kernel_index(k, index);
}

/* ---- cases: pad, concat, update ------------------------------------------------------------------------------------- */

static LVal eval_cases(Kernel *k, const Node *n, const IndexCase *cases, uint32_t n_cases);

static LVal eval_case(Kernel *k, const Node *n, const IndexCase *c) {
    KernelScope scope;
    kernel_enter(k, &scope, c->when, c->n_when);
    Dim at[MAX_RANK];
    uint32_t rank = val_rank(k->body, n->in[c->operand]);
    for (uint32_t i = 0; i < rank; i++) at[i] = kernel_simplify(k, c->at[i]);
    LVal v = kernel_eval(k, n->in[c->operand], at);
    kernel_leave(k, &scope);
    return v;
}

static LVal case_condition(Kernel *k, const IndexCase *c) {
    LVal all = {0};
    for (uint32_t i = 0; i < c->n_when; i++) {
        LVal x = kernel_fact(k, c->when[i]);
        all = all.id ? l_bin(k->b, LOP_and, all, x) : x;
    }
    return all.id ? all : l_bool(k->b, true);
}

/* A condition that differs between lanes: both sides under complementary masks. */
static LVal eval_masked(Kernel *k, const Node *n, const IndexCase *cases, uint32_t n_cases, LVal condition) {
    LVal outer = k->mask;
    k->mask = outer.id ? l_bin(k->b, LOP_and, outer, condition) : condition;
    LVal yes = l_splat(k->b, eval_case(k, n, cases), k->lanes);
    LVal other = l_un(k->b, LOP_not, condition);
    k->mask = outer.id ? l_bin(k->b, LOP_and, outer, other) : other;
    LVal no = l_splat(k->b, eval_cases(k, n, cases + 1, n_cases - 1), k->lanes);
    k->mask = outer;
    return l_select(k->b, condition, yes, no);
}

static LVal zero_of(Kernel *k, DType dtype);

static LVal eval_cases(Kernel *k, const Node *n, const IndexCase *cases, uint32_t n_cases) {
    /* No case can hold: the facts in scope contradict each other, so that this block never runs. */
    if (n_cases == 0) return zero_of(k, type_info(k->cx, n->type)->dtype);
    if (n_cases == 1) return eval_case(k, n, cases);
    LVal condition = case_condition(k, cases);
    if (loop_type(k->b, condition).lanes > 1) return eval_masked(k, n, cases, n_cases, condition);
    KernelScope scope;
    LIf branch = l_if(k->b, condition);
    kernel_enter(k, &scope, NULL, 0);
    LVal yes = eval_case(k, n, cases);
    uint32_t lanes_yes = loop_type(k->b, yes).lanes;
    if (k->lanes > 1 && lanes_yes == 1) yes = l_splat(k->b, yes, k->lanes);
    kernel_leave(k, &scope);
    l_else(k->b, &branch, &yes, 1);
    kernel_enter(k, &scope, NULL, 0);
    LVal no = eval_cases(k, n, cases + 1, n_cases - 1), result;
    if (k->lanes > 1) no = l_splat(k->b, no, k->lanes);
    kernel_leave(k, &scope);
    l_if_end(k->b, &branch, &no, 1, &result);
    return result;
}

static LVal eval_indexed(Kernel *k, const Node *n, const Dim *at) {
    IndexLoad load = {k, n};
    uint32_t symbols = k->symbols.n, index = k->next_index, memo = k->memo.n;
    IndexQuery query = {k->body, n, at, k->scope, k->arena, load_index, &load};
    const IndexCase *cases = NULL;
    uint32_t n_cases = index_fn[n->op](&query, &cases);
    LVal v = eval_cases(k, n, cases, n_cases);
    if (k->next_index != index) k->symbols.n = symbols, k->next_index = index, k->memo.n = memo;
    return v;
}

/* ---- leaves and elementwise nodes ----------------------------------------------------------------------------------- */

static LVal constant(Kernel *k, DType dtype, Scalar s) {
    DType compute = loop_compute_dtype(dtype);
    if (dtype_is_float(compute)) return l_float(k->b, lt_scalar(compute), s.f);
    return l_int(k->b, lt_scalar(compute), s.i);
}

static LVal zero_of(Kernel *k, DType dtype) {
    Scalar zero = {0};
    return constant(k, dtype, zero);
}

static LVal eval_iota(Kernel *k, const Node *n, const Dim *at) {
    Dim d = at[attr_int(n, ATTR_axis)];
    LVal i = kernel_varies(k, d) ? kernel_dim_lanes(k, d) : kernel_dim(k, d);
    return l_convert_graph(k->b, i, DT_i64, type_info(k->cx, n->type)->dtype, false);
}

static LVal eval_elementwise(Kernel *k, const Node *n, const Dim *at) {
    LVal in[4];
    uint32_t lanes = 1;
    for (uint32_t i = 0; i < n->n_in; i++) {
        in[i] = kernel_eval(k, n->in[i], at);
        uint32_t l = loop_type(k->b, in[i]).lanes;
        lanes = l > lanes ? l : lanes;
    }
    for (uint32_t i = 0; i < n->n_in; i++) in[i] = l_splat(k->b, in[i], lanes);
    LVal v = scalar_fn[n->op](k->b, k->body, n, in);
    return l_round(k->b, v, type_info(k->cx, n->type)->dtype);
}

/* Where element `at` of a parameter lies: row-major, or in panels. */
static Dim param_offset(Kernel *k, const TypeInfo *t, const Dim *at) {
    Context *cx = k->cx;
    if (t->encoding == ENCODING_DENSE) return access_offset(cx, t->dims, at, t->rank);
    Dim rows = dim_product(cx, t->dims, t->rank - 1), row = access_offset(cx, t->dims, at, t->rank - 1);
    Dim width = dim_const(cx, encoding_columns(t->encoding)), column = at[t->rank - 1];
    Dim panel = kernel_simplify(k, dim_fdiv(cx, column, width));
    Dim rest = kernel_simplify(k, dim_sub(cx, column, dim_mul(cx, panel, width)));
    return dim_add(cx, dim_mul(cx, dim_add(cx, dim_mul(cx, panel, rows), row), width), rest);
}

/* Lines of a vector that lie some bytes further on; none where results that only sizes make large stay in cache. */
static void fetch_ahead(Kernel *k, LVal pointer, DType dtype, Dim offset) {
    enum { AHEAD = 4096, LINE = 64 };
    int64_t each = dtype_bytes(dtype);
    bool contiguous;
    offset = kernel_simplify(k, offset);
    if (!each || k->mask.id || !kernel_varies(k, offset)) return;
    LVal index = element_pointer_index(k, offset, &contiguous);
    if (!contiguous) return;
    LIf branch = {0};
    if (k->far.id) branch = l_if(k->b, k->far);
    for (int64_t i = 0; i < k->lanes; i += LINE / each)
        l_inst(k->b, LOP_prefetch, (LType){0}, (LVal[]){pointer, l_add(k->b, index, l_i64(k->b, AHEAD / each + i))}, 2, 0);
    if (!k->far.id) return;
    l_else(k->b, &branch, NULL, 0);
    l_if_end(k->b, &branch, NULL, 0, NULL);
}

static LVal eval_source(Kernel *k, Val v, const Node *n, const Dim *at) {
    const TypeInfo *t = type_info(k->cx, n->type);
    Scalar s;
    if (n->op == OP_iota) return eval_iota(k, n, at);
    if (n->op == OP_dim) return kernel_dim(k, attr_dim(n, ATTR_value));
    if (val_splat(k->body, v, &s)) return constant(k, t->dtype, s);
    if (n->op != OP_param) BUG(k->cx, "a constant of many elements inside a kernel body");
    LVal pointer = k->pointers[attr_int(n, ATTR_index)];
    Dim offset = param_offset(k, t, at);
    if (k->ahead.id && dim_same(k->ahead, dim_product(k->cx, t->dims, t->rank))) fetch_ahead(k, pointer, t->dtype, offset);
    return kernel_load(k, pointer, t->dtype, offset);
}

static LVal eval_fresh(Kernel *k, Val v, const Node *n, const Dim *at) {
    switch (op_info[n->op].kind) {
    case KIND_SOURCE: return eval_source(k, v, n, at);
    case KIND_EW: return eval_elementwise(k, n, at);
    case KIND_VIEW:
    case KIND_INDEXED: return eval_indexed(k, n, at);
    case KIND_REDUCE: return kernel_reduce(k, v, at);
    case KIND_CONTRACT: return kernel_contract(k, v, at);
    case KIND_ANCHOR:
        if (n->op == OP_window_arg_max) return kernel_reduce(k, v, at);
        break;
    case KIND_NONE:
    case KIND_CONTROL:
    case KIND_MACRO:
    case KIND_GROUP: break;
    }
    diag_fatal(k->cx, "schedule: op '%s' needs a template of its own", op_info[n->op].name);
}

static bool same_index(const Dim *a, const Dim *b, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (!dim_same(a[i], b[i])) return false;
    return true;
}

static StagedRow *find_staged(Kernel *k, Val v, const Dim *at, uint32_t rank) {
    if (!k->row_at) return NULL;
    for (uint32_t i = 0; i < k->staged.n; i++)
        if (k->staged.at[i].node.id == v.id && same_index(at, k->row_at, rank)) return &k->staged.at[i];
    return NULL;
}

static LVal eval_staged(Kernel *k, StagedRow *s, Val v, const Node *n, const Dim *at) {
    LVal index = kernel_dim(k, dim_substitute(k->cx, k->row_offset, &k->lane, (Dim[]){dim_const(k->cx, 0)}, 1));
    if (s->filled) return l_load(k->b, s->pointer, index, k->lanes, k->mask);
    LVal value = l_splat(k->b, eval_fresh(k, v, n, at), k->lanes);
    l_store(k->b, s->pointer, index, value, k->mask);
    s->stored = true;
    return value;
}

LVal kernel_eval(Kernel *k, Val v, const Dim *at) {
    const Node *n = node(k->body, v);
    uint32_t rank = val_rank(k->body, v);
    Scalar s;
    if (val_splat(k->body, v, &s)) return constant(k, val_dtype(k->body, v), s);
    for (uint32_t i = k->memo.n; i-- > 0;) {
        const EvalEntry *e = &k->memo.at[i];
        /* What was computed for all lanes holds under any mask. */
        bool covers = !e->mask.id || e->mask.id == k->mask.id;
        if (e->node.id == v.id && covers && same_index(e->at, at, rank)) return e->value;
    }
    LVal value = k->anchor ? k->anchor(k, v, at) : (LVal){0};
    StagedRow *row = value.id ? NULL : find_staged(k, v, at, rank);
    if (row) value = eval_staged(k, row, v, n, at);
    if (!value.id) value = eval_fresh(k, v, n, at);
    EvalEntry entry = {v, arena_copy(k->arena, at, rank * sizeof *at), k->mask, value};
    vec_push(k->arena, &k->memo, entry);
    return value;
}

void lanes_transpose(LoopBuilder *b, LVal *v) {
    for (uint32_t d = LANES / 2; d; d /= 2) {
        int64_t low[LANES], high[LANES];
        for (uint32_t i = 0; i < LANES; i++) {
            low[i] = i & d ? LANES + i - d : i;
            high[i] = i & d ? LANES + i : i + d;
        }
        for (uint32_t i = 0; i < LANES; i++) {
            if (i & d) continue;
            LVal x = v[i], y = v[i + d];
            v[i] = l_shuffle(b, x, y, low, LANES);
            v[i + d] = l_shuffle(b, x, y, high, LANES);
        }
    }
}

/* ---- views followed forwards, and vector loops ------------------------------------------------------------------------ */

/* What a slice keeps of the element at `in`: from 0 on, or where it surely does. */
static bool forward_slice(Kernel *k, const Node *n, const Dim *in, Dim *out, Kept *kept) {
    const TypeInfo *t = type_info(k->cx, n->type);
    const Dim *start = attr_dims(n, ATTR_start, NULL);
    for (uint32_t i = 0; i < t->rank; i++) {
        if (attr_ints(n, ATTR_step, NULL)[i] != 1) return false;
        bool from_0 = dim_is(k->cx, start[i], 0);
        if (!from_0 && prove(k->cx, k->scope, REL_LE, start[i], in[i]) != YES) return false;
        out[i] = dim_sub(k->cx, in[i], start[i]);
        Truth inside = prove(k->cx, k->scope, REL_LT, out[i], t->dims[i]);
        if (inside == YES) continue;
        kept->none |= inside == NO;
        if (kept->n == MAX_RANK || !from_0) return false;
        kept->facts[kept->n++] = (Fact){REL_LT, in[i], t->dims[i]};
    }
    return true;
}

bool kernel_forward(Kernel *k, Val from, Val to, const Dim *at, Dim *out, Kept *kept) {
    const Graph *g = k->body;
    const Node *n = node(g, to);
    if (to.id == from.id) {
        for (uint32_t i = 0; i < val_rank(g, to); i++) out[i] = at[i];
        return true;
    }
    if (op_info[n->op].kind == KIND_EW) {
        for (uint32_t i = 0; i < n->n_in; i++)
            if (n->in[i].id >= from.id && kernel_forward(k, from, n->in[i], at, out, kept)) return true;
        return false;
    }
    Dim in[MAX_RANK];
    bool followed = n->op == OP_reshape || n->op == OP_permute || n->op == OP_slice;
    if (!followed || !kernel_forward(k, from, n->in[0], at, in, kept)) return false;
    uint32_t rank = val_rank(g, to);
    if (n->op == OP_slice) return forward_slice(k, n, in, out, kept);
    if (n->op == OP_permute) {
        const int64_t *perm = attr_ints(n, ATTR_perm, NULL);
        for (uint32_t i = 0; i < rank; i++) out[i] = in[perm[i]];
        return true;
    }
    /* A reshape forwards is the reshape back, read as a view. */
    Attr shape = {.key = ATTR_shape, .n = val_rank(g, n->in[0]), .as.dims = val_type(g, n->in[0])->dims};
    Node back = *n;
    back.attrs = &shape, back.n_attrs = 1, back.in = &to, back.type = node(g, n->in[0])->type;
    Scope scope = {k->scope, kept->facts, kept->n};
    IndexQuery query = {g, &back, in, &scope, k->arena, NULL, NULL};
    const IndexCase *cases;
    index_fn[OP_reshape](&query, &cases);
    for (uint32_t i = 0; i < rank; i++) out[i] = dim_simplify(k->cx, &scope, cases[0].at[i]);
    return true;
}

/* Written out: what one loop evaluates is there for the next at the same places. */
static void vector_steps(Kernel *k, int64_t extent, uint32_t lanes, LVal *carried, KernelVectorFn *fill, void *user) {
    uint32_t outer_lanes = k->lanes;
    LVal outer_mask = k->mask;
    k->lanes = lanes;
    for (int64_t i = 0; i < extent; i += lanes) {
        LVal left = l_i64(k->b, extent - i);
        Dim at = dim_const(k->cx, i);
        if (lanes > 1) at = dim_add(k->cx, at, dim_symbol(k->cx, k->lane));
        if (extent - i < lanes) k->mask = l_lane_mask(k->b, left, lanes);
        const Fact inside[] = {{REL_LT, at, dim_const(k->cx, extent)}};
        const Scope *outer = k->scope, scope = {outer, inside, 1};
        k->scope = &scope;
        fill(k, user, at, carried);
        k->scope = outer;
    }
    k->lanes = outer_lanes, k->mask = outer_mask;
}

void kernel_vector_loop(Kernel *k, Dim extent, uint32_t lanes, LVal *carried, uint32_t n, KernelVectorFn *fill, void *user) {
    int64_t known;
    if (k->straight && dim_const_value(k->cx, extent, &known)) vector_steps(k, known, lanes, carried, fill, user);
    else kernel_vector_range(k, NULL, extent, lanes, carried, n, fill, user);
}

void kernel_vector_range(Kernel *k, const KernelSpan *span, Dim extent, uint32_t lanes, LVal *carried, uint32_t n,
                         KernelVectorFn *fill, void *user) {
    LoopBuilder *b = k->b;
    Context *cx = k->cx;
    Dim width = dim_const(cx, lanes), full = dim_mul(cx, dim_fdiv(cx, extent, width), width);
    Dim lane = dim_symbol(cx, k->lane);
    uint32_t outer_lanes = k->lanes;
    k->lanes = lanes;
    KernelLoop loop;
    if (!dim_is(cx, full, 0)) {
        LVal begin = span ? span->begin : l_i64(b, 0), end = kernel_dim(k, full);
        if (span) end = l_min(b, end, span->end);
        Dim i = kernel_loop(k, &loop, begin, end, dim_addi(cx, extent, 1 - (int64_t)lanes), lanes, carried, n);
        Dim at = lanes > 1 ? dim_add(cx, i, lane) : i;
        Fact inside[] = {{REL_LT, at, extent}, {REL_DIVIDES, width, i}};
        KernelScope scope;
        kernel_enter(k, &scope, inside, 2);
        fill(k, user, at, carried);
        kernel_leave(k, &scope);
        kernel_loop_end(k, &loop, carried, n);
    }
    Dim rest = dim_sub(cx, extent, full);
    if (lanes > 1 && prove(cx, k->scope, REL_LE, rest, dim_const(cx, 0)) != YES) {
        LVal left = kernel_dim(k, rest), before[8];
        for (uint32_t c = 0; c < n; c++) before[c] = carried[c];
        LVal reached = l_lt(b, l_i64(b, 0), left);
        if (span) reached = l_bin(b, LOP_and, reached, l_lt(b, kernel_dim(k, full), span->end));
        LIf branch = l_if(b, reached);
        Dim at = dim_add(cx, full, lane);
        Fact inside[] = {{REL_LT, at, extent}};
        KernelScope scope;
        kernel_enter(k, &scope, inside, 1);
        LVal outer_mask = k->mask;
        k->mask = l_lane_mask(b, left, lanes);
        fill(k, user, at, carried);
        k->mask = outer_mask;
        kernel_leave(k, &scope);
        l_else(b, &branch, carried, n);
        l_if_end(b, &branch, before, n, carried);
    }
    k->lanes = outer_lanes;
}
