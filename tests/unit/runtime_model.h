/* runtime_model.h: a small model written by hand as Loop IR, for tests of the runtime and the interface.
 *
 *   x: f32[n, 4], class: i64[n]   (n 0..64, a guard says that both have n rows)
 *   a.b: f32[n, 4] = x * 2, written in place; a class outside of 0..3 is an index error
 *   a_b: f32[u]    = the rows of class 0, found while running, u <= n, copied out of the arena
 */
#pragma once
#include "artifact.h"
#include "ingot_frame.h"

typedef struct TestModel {
    LoopModule *m;
    Graph *g;
    HostFacts facts;
} TestModel;

static LVal none = {0};

static LVal frame_pointer_of(LoopBuilder *b, int slot, DType t) {
    return l_inst(b, LOP_load_pointer, lt_pointer(t), (LVal[]){loop_param(b, 0), l_i64(b, slot)}, 2, 0);
}
static LVal entry_of(LoopBuilder *b, LVal table, int64_t i, DType t) {
    return l_inst(b, LOP_load_pointer, lt_pointer(t), (LVal[]){table, l_i64(b, i)}, 2, 0);
}
static const char *suffixed(LoopModule *m, const char *suffix) { return arena_print(m->arena, "%s_%s", m->name, suffix); }

static void write_kernel(LoopModule *m) {
    LParam params[] = {{.name = "lo", .type = lt_scalar(DT_i64)}, {.name = "hi", .type = lt_scalar(DT_i64)},
                       {.name = "worker", .type = lt_scalar(DT_i64)}, {.name = "x", .type = lt_pointer(DT_f32)},
                       {.name = "c", .type = lt_pointer(DT_i64)}, {.name = "y", .type = lt_pointer(DT_f32)},
                       {.name = "fails", .type = lt_pointer(DT_i64)}};
    LoopBuilder *b = loop_begin(m, suffixed(m, "k0"), LF_KERNEL, params, 7, lt_scalar(DT_i32));
    LVal row, column, four = l_i64(b, 4), zero = l_i64(b, 0), class;
    LFor rows = l_for(b, loop_param(b, 0), loop_param(b, 1), 1, LOOP_SERIAL, NULL, 0, &row);
    class = l_load(b, loop_param(b, 4), row, 1, none);
    LIf bad = l_if(b, l_bin(b, LOP_or, l_lt(b, class, zero), l_bin(b, LOP_le, four, class)));
    LVal record = l_offset(b, loop_param(b, 6), l_mul(b, loop_param(b, 2), four));
    l_store(b, record, l_i64(b, 1), row, none);
    l_store(b, record, l_i64(b, 2), class, none);
    l_store(b, record, l_i64(b, 3), four, none);
    l_return(b, l_int(b, lt_scalar(DT_i32), 6));
    l_else(b, &bad, NULL, 0);
    l_if_end(b, &bad, NULL, 0, NULL);
    LFor columns = l_for(b, zero, four, 1, LOOP_SERIAL, NULL, 0, &column);
    LVal at = l_add(b, l_mul(b, row, four), column), two = l_float(b, lt_scalar(DT_f32), 2);
    l_store(b, loop_param(b, 5), at, l_mul(b, l_load(b, loop_param(b, 3), at, 1, none), two), none);
    l_for_end(b, &columns, NULL, 0);
    l_for_end(b, &rows, NULL, 0);
    l_return(b, l_int(b, lt_scalar(DT_i32), 0));
    loop_end(b);
}

/* Guard `number` of bind, counted from 1. */
static void bind_guard(LoopBuilder *b, LVal holds, LVal found, LVal expected, int64_t number) {
    LVal fail = frame_pointer_of(b, FRAME_FAIL, DT_i64);
    LIf bad = l_if(b, l_un(b, LOP_not, holds));
    l_store(b, fail, l_i64(b, 1), found, none);
    l_store(b, fail, l_i64(b, 2), expected, none);
    l_return(b, l_int(b, lt_scalar(DT_i32), number));
    l_else(b, &bad, NULL, 0);
    l_if_end(b, &bad, NULL, 0, NULL);
}

static void write_bind(LoopModule *m) {
    LParam params[] = {{.name = "frame", .type = lt_pointer(DT_u64)}};
    LoopBuilder *b = loop_begin(m, suffixed(m, "bind"), LF_EXPORT, params, 1, lt_scalar(DT_i32));
    LVal dims = frame_pointer_of(b, FRAME_INPUT_DIMS, DT_i64);
    LVal n = l_load(b, dims, l_i64(b, 0), 1, none), columns = l_load(b, dims, l_i64(b, 1), 1, none),
         rows = l_load(b, dims, l_i64(b, 2), 1, none);
    l_store(b, frame_pointer_of(b, FRAME_SYMBOLS, DT_i64), l_i64(b, 0), n, none);
    bind_guard(b, l_bin(b, LOP_eq, n, rows), n, rows, 1);
    bind_guard(b, l_bin(b, LOP_eq, columns, l_i64(b, 4)), columns, l_i64(b, 4), 2);
    bind_guard(b, l_bin(b, LOP_le, n, l_i64(b, 64)), n, l_i64(b, 64), 3);
    l_return(b, l_int(b, lt_scalar(DT_i32), 0));
    loop_end(b);
}

static void write_plan(LoopModule *m) {
    LParam params[] = {{.name = "symbols", .type = lt_pointer(DT_i64)}, {.name = "offsets", .type = lt_pointer(DT_i64)}};
    LoopBuilder *b = loop_begin(m, suffixed(m, "plan"), LF_EXPORT, params, 2, lt_scalar(DT_i64));
    LVal n = l_load(b, loop_param(b, 0), l_i64(b, 0), 1, none);
    l_store(b, loop_param(b, 1), l_i64(b, 0), l_i64(b, 0), none);
    l_store(b, loop_param(b, 1), l_i64(b, 1), l_i64(b, 64), none);
    l_return(b, l_bin(b, LOP_and, l_add(b, l_mul(b, n, l_i64(b, 4)), l_i64(b, 63)), l_i64(b, -64)));
    loop_end(b);
}

/* a_b: the rows of class 0; its length becomes symbol 1. */
static void write_found(LoopBuilder *b, LVal symbols, LVal classes) {
    LVal offsets = frame_pointer_of(b, FRAME_OFFSETS, DT_i64), arena = frame_pointer_of(b, FRAME_ARENA, DT_u8), row;
    LVal at = l_inst(b, LOP_offset, lt_pointer(DT_u8), (LVal[]){arena, l_load(b, offsets, l_i64(b, 0), 1, none)}, 2, 0);
    LVal z = l_inst(b, LOP_recast, lt_pointer(DT_f32), &at, 1, 0), found[] = {l_i64(b, 0)};
    LVal n = l_load(b, symbols, l_i64(b, 0), 1, none);
    LFor rows = l_for(b, l_i64(b, 0), n, 1, LOOP_SERIAL, found, 1, &row);
    LVal hit = l_bin(b, LOP_eq, l_load(b, classes, row, 1, none), l_i64(b, 0));
    LIf branch = l_if(b, hit);
    l_store(b, z, found[0], l_convert(b, row, DT_f32), none);
    l_else(b, &branch, NULL, 0);
    l_if_end(b, &branch, NULL, 0, NULL);
    found[0] = l_add(b, found[0], l_convert(b, hit, DT_i64));
    l_for_end(b, &rows, found, 1);
    l_store(b, symbols, l_i64(b, 1), found[0], none);
}

static void write_main(LoopModule *m) {
    LParam params[] = {{.name = "frame", .type = lt_pointer(DT_u64)}};
    LoopBuilder *b = loop_begin(m, suffixed(m, "main"), LF_EXPORT, params, 1, lt_scalar(DT_i32));
    LVal in = frame_pointer_of(b, FRAME_INPUTS, DT_u64), out = frame_pointer_of(b, FRAME_OUTPUTS, DT_u64);
    LVal symbols = frame_pointer_of(b, FRAME_SYMBOLS, DT_i64), classes = entry_of(b, in, 1, DT_i64),
         zero = l_int(b, lt_scalar(DT_i32), 0);
    LVal step = l_call(b, "ingot_rt_step", lt_scalar(DT_i32), (LVal[]){loop_param(b, 0), l_i64(b, 0)}, 2);
    LIf stop = l_if(b, l_bin(b, LOP_ne, step, zero));
    l_return(b, step);
    l_else(b, &stop, NULL, 0);
    l_if_end(b, &stop, NULL, 0, NULL);
    LVal args[] = {loop_param(b, 0),
                   l_load(b, symbols, l_i64(b, 0), 1, none),
                   l_i64(b, 64),
                   entry_of(b, in, 0, DT_f32),
                   classes,
                   entry_of(b, out, 0, DT_f32),
                   frame_pointer_of(b, FRAME_FAILS, DT_i64)};
    LVal status = l_launch(b, suffixed(m, "k0"), args, 7);
    LIf bad = l_if(b, l_bin(b, LOP_ne, status, zero));
    l_store(b, frame_pointer_of(b, FRAME_FAIL, DT_i64), l_i64(b, 0), l_i64(b, 0), none);
    l_return(b, status);
    l_else(b, &bad, NULL, 0);
    l_if_end(b, &bad, NULL, 0, NULL);
    write_found(b, symbols, classes);
    l_return(b, zero);
    loop_end(b);
}

static TestModel test_model(Context *cx, const char *name, const char *target) {
    TestModel t = {.m = loop_module_new(cx, name, &(Tiers){.n = 1, .at = {target_find(target)}}), .g = graph_new(cx, name)};
    Arena *a = t.m->arena;
    Symbol n = symbol_new(cx, &(SymbolInfo){.name = "n", .kind = SYMBOL_INPUT, .min = 0, .max = 64, .multiple = 1});
    Dim dn = dim_symbol(cx, n), rows[] = {dn, dim_const(cx, 4)};
    Symbol u = symbol_new(
        cx, &(SymbolInfo){.name = "u", .kind = SYMBOL_FOUND, .min = 0, .max = INT64_MAX, .multiple = 1, .capacity = dn});
    Dim du = dim_symbol(cx, u);
    Val x = b_param(t.g, (Loc){0}, "x", DT_f32, 2, rows);
    (void)b_param(t.g, (Loc){0}, "class", DT_i64, 1, &dn);
    graph_result(t.g, b_binary(t.g, (Loc){0}, OP_add, x, x), "a.b");
    graph_result(t.g, b_splat(t.g, (Loc){0}, DT_f32, (Scalar){.f = 0}, 1, &du), "a_b");
    vec_push(a, &t.facts.symbols, n);
    vec_push(a, &t.facts.symbols, u);
    t.facts.n_input_symbols = 1;
    vec_push(a, &t.facts.guards, "\002inputs 'x' and 'class' must have as many rows: found %d and %d");
    vec_push(a, &t.facts.guards, "\002input 'x' axis 1: found %d, expected %d");
    vec_push(a, &t.facts.guards, "\002input 'x' axis 0 (n): found %d, expected at most %d");
    vec_push(a, &t.facts.launches, "node 'Gather_3' (Gather)");
    vec_push(a, &t.facts.output_offset, -1);
    vec_push(a, &t.facts.output_offset, 0);
    t.facts.n_offsets = 1;
    LParam params[] = {{.name = "frame", .type = lt_pointer(DT_u64)}, {.name = "launch", .type = lt_scalar(DT_i64)}};
    loop_end(loop_begin(t.m, "ingot_rt_step", LF_EXTERN, params, 2, lt_scalar(DT_i32)));
    write_kernel(t.m);
    write_bind(t.m);
    write_plan(t.m);
    write_main(t.m);
    return t;
}
