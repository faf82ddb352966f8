/* interface_sizes.c: everything of an artifact's contexts that depends on the model and on sizes, as Loop IR: what the
 * runtime calls through ingot_rt_model.
 *
 * N_init points a fresh context at its arrays; N_measure and N_layout are `reserve`; N_start and N_enter are the two halves of
 * `run`, before and after the runtime has checked the caller's memory for outputs.
 * Invariant: measure accepts sizes only where every tensor and the sum of all memory stay below 2^61 bytes, judged in
 * double with the absolute value of every term; no product of dims overflows then.
 */
#include "interface.h"
#include "ingot_frame.h"

typedef LVal Frame; /* u64 pointer */

static LVal zero(Interface *w) { return l_i64(w->p.b, 0); }
static LoopBuilder *builder(Interface *w) { return w->p.b; }

static void begin(Interface *w, const char *name, bool sizes, LType result) {
    LParam params[] = {{.name = "sizes", .type = lt_pointer(DT_i64)}, {.name = "frame", .type = lt_pointer(DT_u64)}};
    w->p.b = loop_begin(w->p.m, program_name(&w->p, name), LF_LOCAL, sizes ? params : params + 1, sizes ? 2 : 1, result);
}

void interface_symbols(Interface *w, LVal values, uint32_t n) {
    Program *p = &w->p;
    p->symbols = arena_new_array(p->arena, LVal, symbol_count(p->cx) + 1);
    for (uint32_t i = 0; i < n; i++) p->symbols[w->facts->symbols.at[i].id] = interface_word(w, values, i);
}

bool interface_uses_found(const Interface *w, Dim d) {
    for (uint32_t i = w->facts->n_input_symbols; i < w->facts->symbols.n; i++)
        if (dim_uses(w->p.cx, d, w->facts->symbols.at[i])) return true;
    return false;
}

Dim interface_bytes(Interface *w, uint32_t k, bool upper) {
    Val v = interface_tensor(w, k);
    const TypeInfo *t = val_type(w->g, v);
    Dim elements = upper ? graph_upper_elements(w->g, v, 0) : dim_product(w->p.cx, t->dims, t->rank);
    return dim_muli(w->p.cx, elements, dtype_bytes(t->dtype));
}

static LVal round64(LoopBuilder *b, LVal x) { return l_bin(b, LOP_and, l_add(b, x, l_i64(b, 63)), l_i64(b, -64)); }

/* The answer of a failed guard where `holds` does not. */
static void require(Interface *w, LVal frame, LVal holds, const char *text, LVal found, LVal expected, DType answer) {
    LoopBuilder *b = builder(w);
    int64_t known;
    if (loop_const_int(b, holds, &known) && known) return;
    uint32_t number = interface_guard(w, text);
    LIf branch = l_if(b, l_un(b, LOP_not, holds));
    LVal fail = interface_frame_pointer(w, frame, FRAME_FAIL, DT_i64);
    interface_set_word(w, fail, 1, found);
    interface_set_word(w, fail, 2, expected);
    l_return(b, l_int(b, lt_scalar(answer), ~(int64_t)number));
    l_else(b, &branch, NULL, 0);
    l_if_end(b, &branch, NULL, 0, NULL);
}

/* ---- contexts ------------------------------------------------------------------------------------------------------- */

static void write_init(Interface *w) {
    begin(w, "init", false, (LType){0});
    LoopBuilder *b = builder(w);
    LVal frame = loop_param(b, 0), block = interface_recast(w, frame, DT_u8);
    const LData *weights = loop_weights(w->p.m);
    for (int slot = 0; slot < FRAME_SLOTS; slot++) {
        if (!w->at[slot]) continue;
        LVal in[] = {frame, l_i64(b, slot), l_offset(b, block, l_i64(b, w->at[slot]))};
        l_inst(b, LOP_store_pointer, (LType){0}, in, 3, 0);
    }
    LVal model[] = {frame, zero(w), interface_address(w, "private")};
    l_inst(b, LOP_store_pointer, (LType){0}, model, 3, 0);
    if (weights && w->options->weights == WEIGHTS_EMBEDDED) {
        LVal in[] = {frame, l_i64(b, FRAME_WEIGHTS), l_addr(b, weights->name, lt_pointer(DT_u8))};
        l_inst(b, LOP_store_pointer, (LType){0}, in, 3, 0);
    }
    interface_set_word(w, interface_recast(w, frame, DT_i64), FRAME_POOL, l_i64(b, 1));
    loop_end(b);
}

static LVal call_plan(Interface *w, LVal sizes, LVal offsets) {
    return l_call(w->p.b, program_name(&w->p, "plan"), lt_scalar(DT_i64), (LVal[]){sizes, offsets}, 2);
}

/* Sizes must be what was declared. */
static void require_sizes(Interface *w, LVal frame) {
    Program *p = &w->p;
    LoopBuilder *b = p->b;
    for (uint32_t i = 0; i < w->facts->n_input_symbols; i++) {
        const SymbolInfo *s = symbol_info(p->cx, w->facts->symbols.at[i]);
        LVal v = p->symbols[w->facts->symbols.at[i].id], min = l_i64(b, s->min), max = l_i64(b, s->max),
             k = l_i64(b, s->multiple);
        const char *name = arena_print(p->arena, "%s", s->name);
        for (char *c = (char *)(uintptr_t)name; *c; c++) *c = *c == '%' ? '?' : *c;
        if (s->min != INT64_MIN)
            require(w, frame, l_bin(b, LOP_le, min, v), arena_print(p->arena, "\002%s = %%d, expected at least %%d", name), v,
                    min, DT_i64);
        if (s->max != INT64_MAX)
            require(w, frame, l_bin(b, LOP_le, v, max), arena_print(p->arena, "\002%s = %%d, expected at most %%d", name), v,
                    max, DT_i64);
        if (s->multiple > 1)
            require(w, frame, l_bin(b, LOP_eq, l_bin(b, LOP_rem, v, k), zero(w)),
                    arena_print(p->arena, "\002%s = %%d, expected a multiple of %%d", name), v, k, DT_i64);
    }
}

/* Memory of the outputs that are written in place, one after the other; from `at` on, in PLACES unless places is 0. */
static LVal lay_lent(Interface *w, LVal at, LVal places, LVal lends) {
    LoopBuilder *b = builder(w);
    for (uint32_t k = 0; k < w->g->results.n; k++) {
        if (w->facts->output_offset.at[k] >= 0 || graph_donor(w->g, k) >= 0) continue;
        if (places.id) interface_set_word(w, places, k, l_select(b, l_bin(b, LOP_ne, lends, zero(w)), at, zero(w)));
        at = l_add(b, at, round64(b, program_dim(&w->p, interface_bytes(w, w->g->params.n + k, true))));
    }
    return at;
}

static void write_measure(Interface *w) {
    begin(w, "measure", true, lt_scalar(DT_i64));
    Program *p = &w->p;
    LoopBuilder *b = p->b;
    LVal sizes = loop_param(b, 0), frame = loop_param(b, 1), words = interface_recast(w, frame, DT_i64);
    interface_symbols(w, sizes, w->facts->n_input_symbols);
    require_sizes(w, frame);
    LVal offsets = l_alloc(b, DT_i64, (int64_t)w->facts->n_offsets + 1), arena = round64(b, call_plan(w, sizes, offsets));
    LVal scratch = interface_word(w, offsets, w->facts->n_offsets);
    LType f64 = lt_scalar(DT_f64);
    LVal sum =
        l_add(b, l_convert(b, arena, DT_f64), l_mul(b, l_convert(b, scratch, DT_f64), l_float(b, f64, FRAME_MAX_WORKERS)));
    for (uint32_t k = 0; k < w->g->params.n + w->g->results.n; k++)
        sum = l_add(b, sum, l_add(b, program_estimate(p, interface_bytes(w, k, true)), l_float(b, f64, 64)));
    LVal fits = l_bin(b, LOP_and, l_bin(b, LOP_le, zero(w), arena), l_lt(b, sum, l_float(b, f64, 0x1p61)));
    require(w, frame, fits, "\007these sizes need more memory than 64 bits count", zero(w), zero(w), DT_i64);
    LVal total = l_add(b, l_add(b, l_i64(b, w->fixed_bytes), arena), l_mul(b, scratch, interface_word(w, words, FRAME_POOL)));
    LVal lends = l_bin(b, LOP_ne, interface_word(w, words, FRAME_LENDS), zero(w));
    l_return(b, l_add(b, total, l_select(b, lends, lay_lent(w, zero(w), (LVal){0}, zero(w)), zero(w))));
    loop_end(b);
}

/* Addresses are computed as integers: a context that lends nothing has the place 0. */
static void write_layout(Interface *w) {
    begin(w, "layout", true, (LType){0});
    LoopBuilder *b = builder(w);
    const HostFacts *f = w->facts;
    LVal sizes = loop_param(b, 0), frame = loop_param(b, 1), words = interface_recast(w, frame, DT_i64);
    interface_symbols(w, sizes, f->n_input_symbols);
    LVal offsets = interface_frame_pointer(w, frame, FRAME_OFFSETS, DT_i64), bytes = round64(b, call_plan(w, sizes, offsets));
    LVal scratch = interface_word(w, offsets, f->n_offsets), work = interface_word(w, words, FRAME_WORK);
    LVal arena = l_add(b, work, l_mul(b, scratch, interface_word(w, words, FRAME_POOL)));
    interface_set_word(w, words, FRAME_SCRATCH, work);
    interface_set_word(w, words, FRAME_SCRATCH_BYTES, scratch);
    interface_set_word(w, words, FRAME_ARENA, arena);
    LVal bounds = interface_frame_pointer(w, frame, FRAME_BOUNDS, DT_i64);
    interface_set_word(w, bounds, 0, l_i64(b, 1));
    for (uint32_t i = 0; i < f->n_input_symbols; i++) interface_set_word(w, bounds, i + 1, interface_word(w, sizes, i));
    LVal places = interface_frame_pointer(w, frame, FRAME_PLACES, DT_i64);
    (void)lay_lent(w, l_add(b, arena, bytes), places, interface_word(w, words, FRAME_LENDS));
    for (uint32_t k = 0; k < w->g->results.n; k++)
        if (f->output_offset.at[k] >= 0)
            interface_set_word(w, places, k, l_add(b, arena, interface_word(w, offsets, f->output_offset.at[k])));
    loop_end(b);
}

/* ---- a run ----------------------------------------------------------------------------------------------------------- */

static LVal call_tensors(Interface *w, LVal frame, int64_t member) {
    LVal call = interface_frame_pointer(w, frame, FRAME_CALL, DT_u64);
    return interface_frame_pointer(w, call, (int)member, DT_i64);
}

/* The caller's dims and data, as N_bind and N_main want them. */
static void take_inputs(Interface *w, LVal frame) {
    LVal from = call_tensors(w, frame, CALL_WORD(inputs));
    LVal dims = interface_frame_pointer(w, frame, FRAME_INPUT_DIMS, DT_i64),
         data = interface_frame_pointer(w, frame, FRAME_INPUTS, DT_i64);
    int64_t at = 0;
    for (uint32_t k = 0; k < w->g->params.n; k++) {
        uint32_t rank = val_rank(w->g, w->g->params.at[k]);
        int64_t first = (int64_t)k * TENSOR_WORDS;
        for (uint32_t a = 0; a < rank; a++)
            interface_set_word(w, dims, at++, interface_word(w, from, first + TENSOR_WORD(dims) + a));
        interface_set_word(w, data, k, interface_word(w, from, first + TENSOR_WORD(data)));
    }
}

/* Ends the function with 1 where the reservation is too small. */
static void require_reservation(Interface *w, LVal frame) {
    Program *p = &w->p;
    LoopBuilder *b = p->b;
    LVal bounds = interface_frame_pointer(w, frame, FRAME_BOUNDS, DT_i64),
         covered = l_bin(b, LOP_ne, interface_word(w, bounds, 0), zero(w));
    uint32_t n = w->facts->n_input_symbols;
    for (uint32_t i = 0; i < n; i++)
        covered = l_bin(b, LOP_and, covered,
                        l_bin(b, LOP_le, p->symbols[w->facts->symbols.at[i].id], interface_word(w, bounds, i + 1)));
    LIf branch = l_if(b, l_un(b, LOP_not, covered));
    LVal wanted = interface_frame_pointer(w, frame, FRAME_WANTED, DT_i64);
    for (uint32_t i = 0; i < n; i++)
        interface_set_word(w, wanted, i, l_max(b, p->symbols[w->facts->symbols.at[i].id], interface_word(w, bounds, i + 1)));
    l_return(b, l_int(b, lt_scalar(DT_i32), 1));
    l_else(b, &branch, NULL, 0);
    l_if_end(b, &branch, NULL, 0, NULL);
}

/* A name in a text that is a format. */
static const char *plain(Arena *arena, const char *name) {
    char *copy = arena_print(arena, "%s", name);
    for (char *c = copy; *c; c++) *c = *c == '%' ? '?' : *c;
    return copy;
}

/* An output's dims before the run: found ones at their capacity where the run writes in place, else 0. */
static void set_output(Interface *w, LVal frame, LVal to, uint32_t k) {
    Program *p = &w->p;
    LoopBuilder *b = p->b;
    const TypeInfo *t = val_type(w->g, w->g->results.at[k]);
    bool copied = w->facts->output_offset.at[k] >= 0;
    int64_t first = (int64_t)k * TENSOR_WORDS;
    LVal need = l_i64(b, dtype_bytes(t->dtype));
    for (uint32_t a = 0; a < t->rank; a++) {
        bool found = interface_uses_found(w, t->dims[a]);
        LVal d =
            found && copied ? zero(w) : program_dim(p, found ? graph_upper_axis(w->g, w->g->results.at[k], 0, a) : t->dims[a]);
        interface_set_word(w, to, first + TENSOR_WORD(dims) + a, d);
        need = l_mul(b, need, d);
    }
    l_store(b, interface_recast(w, to, DT_i32), l_i64(b, 2 * first + (int64_t)(offsetof(ingot_tensor, rank) / 4)),
            l_int(b, lt_scalar(DT_i32), t->rank), (LVal){0});
    LVal lent = interface_frame_pointer(w, frame, FRAME_LENT, DT_i64),
         place = interface_word(w, interface_frame_pointer(w, frame, FRAME_PLACES, DT_i64), k);
    LVal data = interface_word(w, to, first), bytes = interface_word(w, to, first + TENSOR_WORD(bytes));
    LVal lend = l_bin(b, LOP_or, l_bin(b, LOP_eq, data, zero(w)), l_bin(b, LOP_eq, data, interface_word(w, lent, k)));
    int64_t donor = graph_donor(w->g, k);
    if (donor >= 0)
        place = interface_word(w, call_tensors(w, frame, CALL_WORD(inputs)), donor * TENSOR_WORDS + TENSOR_WORD(data));
    data = l_select(b, lend, place, data);
    if (donor >= 0) {
        const char *output = plain(p->arena, interface_tensor_name(w->g, w->g->params.n + k));
        const char *input = plain(p->arena, interface_tensor_name(w->g, (uint32_t)donor));
        const char *text =
            arena_print(p->arena, "\001'%s' must be NULL or lie where input '%s' does, which is donated to it", output, input);
        require(w, frame, l_bin(b, LOP_eq, data, place), text, zero(w), zero(w), DT_i32);
    }
    interface_set_word(w, lent, k, l_select(b, lend, place, zero(w)));
    interface_set_word(w, to, first + TENSOR_WORD(data), data);
    interface_set_word(w, to, first + TENSOR_WORD(bytes), l_select(b, lend, need, bytes));
    interface_set_word(w, interface_frame_pointer(w, frame, FRAME_OUTPUTS, DT_i64), k, data);
}

static void write_start(Interface *w) {
    begin(w, "start", false, lt_scalar(DT_i32));
    LoopBuilder *b = builder(w);
    LVal frame = loop_param(b, 0), none = l_int(b, lt_scalar(DT_i32), 0);
    take_inputs(w, frame);
    LVal guard = l_call(b, program_name(&w->p, "bind"), lt_scalar(DT_i32), &frame, 1);
    LIf branch = l_if(b, l_bin(b, LOP_ne, guard, none));
    l_return(b, l_sub(b, none, guard)); /* N_bind counts from 1 */
    l_else(b, &branch, NULL, 0);
    l_if_end(b, &branch, NULL, 0, NULL);
    interface_symbols(w, interface_frame_pointer(w, frame, FRAME_SYMBOLS, DT_i64), w->facts->n_input_symbols);
    require_reservation(w, frame);
    LVal to = call_tensors(w, frame, CALL_WORD(outputs));
    for (uint32_t k = 0; k < w->g->results.n; k++) set_output(w, frame, to, k);
    l_return(b, none);
    loop_end(b);
}

/* Output k lies in the arena: it is lent, or copied to the caller. */
static void give_copied(Interface *w, LVal frame, LVal to, uint32_t k) {
    Program *p = &w->p;
    LoopBuilder *b = p->b;
    int64_t first = (int64_t)k * TENSOR_WORDS;
    const char *name = plain(p->arena, interface_tensor_name(w->g, w->g->params.n + k));
    LVal need = program_dim(p, interface_bytes(w, w->g->params.n + k, false));
    LVal lent = interface_word(w, interface_frame_pointer(w, frame, FRAME_LENT, DT_i64), k);
    LIf branch = l_if(b, l_bin(b, LOP_ne, lent, zero(w)));
    interface_set_word(w, to, first + TENSOR_WORD(bytes), need);
    l_else(b, &branch, NULL, 0);
    LVal capacity = interface_word(w, to, first + TENSOR_WORD(bytes));
    require(w, frame, l_bin(b, LOP_le, l_bitcast(b, need, DT_u64), l_bitcast(b, capacity, DT_u64)),
            arena_print(p->arena, "\004'%s' has %%d bytes of memory, expected %%d", name), capacity, need, DT_i32);
    LVal place = interface_frame_pointer(w, interface_frame_pointer(w, frame, FRAME_PLACES, DT_u64), (int)k, DT_u8);
    l_copy_bytes(b, interface_frame_pointer(w, interface_recast(w, to, DT_u64), (int)(first + TENSOR_WORD(data)), DT_u8), place,
                 need);
    l_if_end(b, &branch, NULL, 0, NULL);
}

/* N_main, its status as a guard, and what is known of outputs only now. */
static void write_enter(Interface *w) {
    begin(w, "enter", false, lt_scalar(DT_i32));
    Program *p = &w->p;
    LoopBuilder *b = p->b;
    LType i32 = lt_scalar(DT_i32);
    LVal frame = loop_param(b, 0), status = l_call(b, program_name(p, "main"), i32, &frame, 1);
    LIf branch = l_if(b, l_bin(b, LOP_ne, status, l_int(b, i32, 0)));
    LVal answer = l_int(b, i32, ~(int64_t)w->guard_failed);
    static const ingot_status others[] = {INGOT_E_CAPACITY, INGOT_E_CANCELLED, INGOT_E_SHAPE};
    for (uint32_t i = 0; i < COUNT(others); i++)
        answer = l_select(b, l_bin(b, LOP_eq, status, l_int(b, i32, others[i])),
                          l_int(b, i32, ~(int64_t)(w->guard_failed + 1 + i)), answer);
    l_return(b, answer);
    l_else(b, &branch, NULL, 0);
    l_if_end(b, &branch, NULL, 0, NULL);
    interface_symbols(w, interface_frame_pointer(w, frame, FRAME_SYMBOLS, DT_i64), w->facts->symbols.n);
    LVal to = call_tensors(w, frame, CALL_WORD(outputs));
    for (uint32_t k = 0; k < w->g->results.n; k++) {
        const TypeInfo *t = val_type(w->g, w->g->results.at[k]);
        for (uint32_t a = 0; a < t->rank; a++)
            if (interface_uses_found(w, t->dims[a]))
                interface_set_word(w, to, (int64_t)k * TENSOR_WORDS + TENSOR_WORD(dims) + a, program_dim(p, t->dims[a]));
    }
    for (uint32_t k = 0; k < w->g->results.n; k++)
        if (w->facts->output_offset.at[k] >= 0) give_copied(w, frame, to, k);
    l_return(b, l_int(b, i32, 0));
    loop_end(b);
}

void interface_sizes(Interface *w) {
    w->guard_failed = interface_guard(w, "\006%s: at position %d found %d, limit %d");
    (void)interface_guard(w, "\007%s: at position %d found %d, limit %d");
    (void)interface_guard(w, "\015cancelled");
    (void)interface_guard(w, "\002%s: found %d and %d");
    write_init(w);
    write_measure(w);
    write_layout(w);
    write_start(w);
    write_enter(w);
}
