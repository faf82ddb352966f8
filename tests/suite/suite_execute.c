/* suite_execute.c: a graph through one backend, in this process: interpreted, or compiled and called through its frame.
 *
 * The frame is set up as runtime/rt.c does it, but with exact memory: every output has guard bytes behind it, the arena is
 * filled with garbage first, and the Loop interpreter knows the bounds of everything.
 */
#include "ingot_frame.h"
#include "suite.h"
#include <stdio.h>
#include <string.h>

enum { GUARD_BYTES = 64, GUARD = 0xA5, GARBAGE = 0xFF };
typedef int32_t BindFn(void *frame);
typedef int64_t PlanFn(const int64_t *symbols, int64_t *offsets);

struct Program {
    Context *cx;
    const Graph *g;          /* as imported: its interface */
    Backend backend;
    HostFacts facts;
    const LoopModule *m;
    LoadedCode *code;
    LoopInterp *interp;
    const void *weights;
    int64_t *values;         /* by symbol id, during a run */
};
typedef struct Run {
    Program *p;
    uint64_t slots[FRAME_SLOTS];
    int64_t *symbols, *offsets, *fails;
    uint8_t *arena;
    void **outputs;
    Tensor *results;
    uint64_t *capacity;
} Run;

/* ---- compiling -------------------------------------------------------------------------------------------------------- */

static void show(void *user, const char *title, const char *text) {
    (void)user;
    fprintf(stderr, "== %s\n%s", title, text ? text : "");
}

/* What the host program asks before every launch: nobody cancels here. */
static int32_t step(void *frame, int64_t launch) { return (void)frame, (void)launch, 0; }
static bool step_interpreted(void *user, LoopInterp *in, const char *name, const LSlot *args, uint32_t n, LSlot *out) {
    (void)user, (void)in, (void)args, (void)n;
    out->i = 0;
    return strcmp(name, "ingot_rt_step") == 0;
}

/* C through a compiler of the system; LLVM's linker loads its object. */
static LoadedCode *cc_load(Context *cx, const Case *c, const Text *text, const CodeSymbol *symbols, uint32_t n) {
    Temporary *folder = temporary_new(cx);
    size_t bytes;
    if (!folder) return NULL;
    const char *path = temporary_path(folder, "m.o");
    bool compiled = cc_object(cx, c->cc, target_find(c->target), text->at, text->n, path);
    const uint8_t *object = compiled ? file_map(cx, path, &bytes) : NULL;
    LoadedCode *code = object ? llvm_load(cx, object, bytes, symbols, n) : NULL;
    temporary_remove(folder);
    return code;
}

static bool make_code(Program *p, const char *weights_name, const Case *c) {
    Context *cx = p->cx;
    CodeSymbol symbols[] = {{weights_name, (void *)(uintptr_t)p->weights}, {"ingot_rt_step", (void *)(uintptr_t)step}};
    if (p->backend == BACKEND_C) {
        EmitC how = {.external_weights = true};
        Text text = text_new(cx->arena);
        if (!emit_c(p->m, &how, &text)) return false;
        if (c->verbose) fprintf(stderr, "%s\n", text.at);
        p->code = c->cc ? cc_load(cx, c, &text, symbols, COUNT(symbols)) : tcc_load(cx, text.at, symbols, COUNT(symbols));
    } else {
        EmitLlvm how = {.external_weights = true, .opt_level = 1, .verify = true};
        const uint8_t *object;
        size_t n;
        if (!emit_llvm(p->m, &how, LLVM_OBJECT, &object, &n)) return false;
        p->code = llvm_load(cx, object, n, symbols, COUNT(symbols));
    }
    return p->code != NULL;
}

/* Symbolic mode: what `inspect` would show has no extent that is fixed, save the length of 1-D i64 inputs. */
static bool is_free(Context *cx, const Graph *g) {
    for (uint32_t i = 0; i < g->params.n; i++) {
        const TypeInfo *t = val_type(g, g->params.at[i]);
        bool may_fix_rank = t->dtype == DT_i64 && t->rank == 1;
        for (uint32_t d = 0; d < t->rank && t->dtype != DT_none && !may_fix_rank; d++) {
            int64_t low, high;
            dim_range(cx, NULL, t->dims[d], &low, &high);
            if (low < high) continue;
            diag_error(cx, (Loc){0}, "axis %u of input %u is specialised: %s", d, i, dim_string(cx, t->dims[d]));
            return false;
        }
    }
    return true;
}

Program *program_make(Context *cx, const Graph *g, const Case *c) {
    Program *p = arena_alloc(cx->arena, sizeof *p);
    *p = (Program){.cx = cx, .g = g, .backend = c->backend};
    if (c->backend == BACKEND_INTERP) return p;
    Tiers tiers = tiers_of(target_find(c->target));
    PipelineOptions options = {.tiers = &tiers, .verify_each = true, .print = show};
    if (c->verbose) options.print_after = "all";
    if (!tiers.n) {
        diag_error(cx, (Loc){0}, "no target '%s'", c->target);
        return NULL;
    }
    const Graph *planned = pipeline_graph(cx, g, &options);
    if (!planned || (c->mode == MODE_SYMBOLIC && !is_free(cx, planned))) return NULL;
    LoopModule *m = lower_graph(cx, planned, "m", &tiers, &p->facts);
    if (!m || !loop_verify(m)) return NULL;
    p->m = m;
    if (c->verbose) {
        Text text = text_new(cx->arena), blob = text_new(cx->arena);
        loop_print(m, &text, &blob);
        fprintf(stderr, "%s\n", text.at);
    }
    const LData *weights = loop_data_find(m, "m_weights");
    p->weights = weights ? loop_data_aligned(m, weights) : NULL;
    if (c->backend == BACKEND_LOOP) {
        p->interp = loop_interp_new(m, step_interpreted, NULL);
        return p;
    }
    return make_code(p, "m_weights", c) ? p : NULL;
}

/* ---- running ---------------------------------------------------------------------------------------------------------- */

static void declare(Program *p, void *at, uint64_t bytes, bool writable, bool initialised) {
    if (p->interp && bytes) loop_interp_memory(p->interp, at, bytes, writable, initialised);
}

static void *memory(Program *p, uint64_t bytes, int fill, bool initialised) {
    uint8_t *raw = arena_alloc(p->cx->arena, bytes + 64 + GUARD_BYTES);
    uint8_t *at = raw + (64 - (uintptr_t)raw % 64) % 64;
    memset(at, fill, bytes);
    memset(at + bytes, GUARD, GUARD_BYTES);
    declare(p, at, bytes, true, initialised);
    return at;
}

static bool whole(const uint8_t *end) {
    for (uint32_t i = 0; i < GUARD_BYTES; i++)
        if (end[i] != GUARD) return false;
    return true;
}

/* Calls bind, plan or main; the result is that function's. */
static bool call(Run *r, const char *name, const LSlot *in, uint32_t n, int64_t *result) {
    Program *p = r->p;
    if (p->interp) {
        LSlot out = {0};
        if (!loop_interp_call(p->interp, name, in, n, &out)) return false;
        *result = out.i;
        return true;
    }
    void *address = code_find(p->code, name);
    if (!address) {
        diag_error(p->cx, (Loc){0}, "no function %s in the code", name);
        return false;
    }
    *result = n == 2 ? ((PlanFn *)(uintptr_t)address)(in[0].p, in[1].p) : ((BindFn *)(uintptr_t)address)(in[0].p);
    return true;
}

static void set(Run *r, uint32_t slot, const void *at) { r->slots[slot] = (uint64_t)(uintptr_t)at; }

static void set_inputs(Run *r, const Tensor *in, uint32_t n) {
    Program *p = r->p;
    uint32_t total = 0;
    for (uint32_t i = 0; i < n; i++) total += in[i].rank;
    int64_t *dims = memory(p, (total + 1) * sizeof *dims, 0, true);
    void **data = memory(p, (n + 1) * sizeof *data, 0, true);
    for (uint32_t i = 0, at = 0; i < n; i++) {
        uint64_t bytes = (uint64_t)(tensor_elements(&in[i]) * dtype_bytes(in[i].dtype));
        data[i] = memory(p, bytes, 0, true);
        if (bytes) memcpy(data[i], in[i].data, bytes);
        for (uint32_t d = 0; d < in[i].rank; d++) dims[at++] = in[i].dims[d];
    }
    set(r, FRAME_INPUTS, data);
    set(r, FRAME_INPUT_DIMS, dims);
}

static bool bind(Run *r) {
    Program *p = r->p;
    int64_t status, *fail = (int64_t *)(uintptr_t)r->slots[FRAME_FAIL];
    if (!call(r, "m_bind", &(LSlot){.p = r->slots}, 1, &status)) return false;
    if (!status) return true;
    diag_error(p->cx, (Loc){0}, "guard: %s (%lld, %lld)", p->facts.guards.at[status - 1], (long long)fail[1],
               (long long)fail[2]);
    return false;
}

static bool reserve(Run *r) {
    Program *p = r->p;
    int64_t total;
    r->offsets = memory(p, (p->facts.n_offsets + 1) * sizeof *r->offsets, 0, true);
    if (!call(r, "m_plan", (LSlot[]){{.p = r->symbols}, {.p = r->offsets}}, 2, &total)) return false;
    if (total < 0 || total > INT64_C(1) << 32) {
        diag_error(p->cx, (Loc){0}, "the plan takes %lld bytes", (long long)total);
        return false;
    }
    r->arena = memory(p, (uint64_t)total, GARBAGE, false);
    int64_t scratch = r->offsets[p->facts.n_offsets];
    set(r, FRAME_OFFSETS, r->offsets);
    set(r, FRAME_ARENA, r->arena);
    set(r, FRAME_SCRATCH, memory(p, (uint64_t)scratch * 4, GARBAGE, false));
    r->slots[FRAME_SCRATCH_BYTES] = (uint64_t)scratch;
    return true;
}

static bool result_dims(Run *r, uint32_t i, Tensor *t) {
    Program *p = r->p;
    const TypeInfo *type = val_type(p->g, p->g->results.at[i]);
    *t = (Tensor){.dtype = type->dtype, .rank = type->rank};
    for (uint32_t d = 0; d < type->rank; d++) {
        if (dim_eval(p->cx, type->dims[d], p->values, &t->dims[d]) && t->dims[d] >= 0) continue;
        diag_error(p->cx, (Loc){0}, "extent %s of output %u has no value", dim_string(p->cx, type->dims[d]), i);
        return false;
    }
    return true;
}

static void take_symbols(Run *r, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) r->p->values[r->p->facts.symbols.at[i].id] = r->symbols[i];
}

static bool set_outputs(Run *r) {
    Program *p = r->p;
    uint32_t n = p->g->results.n;
    r->outputs = memory(p, (n + 1) * sizeof *r->outputs, 0, true);
    r->capacity = arena_new_array(p->cx->arena, uint64_t, n + 1);
    set(r, FRAME_OUTPUTS, r->outputs);
    for (uint32_t i = 0; i < n; i++) {
        Dim upper = graph_upper_elements(p->g, p->g->results.at[i], 0);
        int64_t elements;
        if (!dim_eval(p->cx, upper, p->values, &elements) || elements < 0 || elements > INT64_C(1) << 30) {
            diag_error(p->cx, (Loc){0}, "output %u has no largest size", i);
            return false;
        }
        r->capacity[i] = (uint64_t)(elements * dtype_bytes(val_dtype(p->g, p->g->results.at[i])));
        r->outputs[i] = memory(p, r->capacity[i], GARBAGE, false);
    }
    return true;
}

static bool run_main(Run *r) {
    Program *p = r->p;
    int64_t status, *fail = (int64_t *)(uintptr_t)r->slots[FRAME_FAIL];
    if (!call(r, "m_main", &(LSlot){.p = r->slots}, 1, &status)) return false;
    if (!status) return true;
    const char *launch = fail[0] >= 0 && fail[0] < p->facts.launches.n ? p->facts.launches.at[fail[0]] : "?";
    diag_error(p->cx, (Loc){0}, "status %lld at %s: position %lld, value %lld, limit %lld", (long long)status, launch,
               (long long)r->fails[1], (long long)r->fails[2], (long long)r->fails[3]);
    return false;
}

static bool take_outputs(Run *r, Tensor *outputs) {
    Program *p = r->p;
    take_symbols(r, p->facts.symbols.n);
    for (uint32_t i = 0; i < p->g->results.n; i++) {
        if (!result_dims(r, i, &outputs[i])) return false;
        int64_t place = p->facts.output_offset.at[i];
        outputs[i].data = place < 0 ? r->outputs[i] : r->arena + r->offsets[place];
        if (whole((uint8_t *)r->outputs[i] + r->capacity[i])) continue;
        diag_error(p->cx, (Loc){0}, "memory behind output %u was overwritten", i);
        return false;
    }
    return true;
}

bool program_run(Program *p, const Tensor *inputs, uint32_t n, Tensor *outputs) {
    if (p->backend == BACKEND_INTERP) {
        p->cx->limits.fuel = UINT64_MAX / 2; /* some cases are whole networks */
        return interp_run(p->cx, p->cx->arena, p->g, inputs, n, outputs);
    }
    Run r = {.p = p};
    p->values = arena_new_array(p->cx->arena, int64_t, symbol_count(p->cx) + 1);
    r.symbols = memory(p, (p->facts.symbols.n + 1) * sizeof *r.symbols, 0, true);
    r.fails = memory(p, 4 * FRAME_FAIL_SLOTS * sizeof *r.fails, 0, true);
    set(&r, FRAME_SYMBOLS, r.symbols);
    set(&r, FRAME_FAIL, r.fails);
    set(&r, FRAME_FAILS, r.fails);
    set(&r, FRAME_WEIGHTS, p->weights);
    if (p->weights) declare(p, (void *)(uintptr_t)p->weights, loop_data_find(p->m, "m_weights")->size, false, true);
    r.slots[FRAME_WORKERS] = 1;
    declare(p, r.slots, sizeof r.slots, true, true);
    set_inputs(&r, inputs, n);
    bool ok = bind(&r) && reserve(&r);
    if (ok) take_symbols(&r, p->facts.n_input_symbols);
    ok = ok && set_outputs(&r) && run_main(&r) && take_outputs(&r, outputs);
    if (p->interp) loop_interp_forget(p->interp, r.slots);
    if (p->interp && p->weights) loop_interp_forget(p->interp, (void *)(uintptr_t)p->weights);
    return ok;
}
