/* kernel_entry.h: one kernel as code that a test or a benchmark can call: tile_test.h, tools/bench_kernels.c. */
#pragma once
#include <stdint.h>

#include "codegen.h"
#include "ir.h"
#include "loop.h"

typedef int32_t EntryFn(uint64_t *slots);

/* i32 run(slots): takes the kernel's arguments from 8-byte slots. */
static void add_entry(LoopModule *m, const LFunc *kernel) {
    LParam slots = {.name = "slots", .type = lt_pointer(DT_u64)};
    LoopBuilder *b = loop_begin(m, "run", LF_EXPORT, &slots, 1, lt_scalar(DT_i32));
    LVal *in = arena_new_array(m->arena, LVal, kernel->n_params);
    for (uint32_t i = 0; i < kernel->n_params; i++) {
        LVal at[] = {loop_param(b, 0), l_i64(b, i)};
        LType t = kernel->params[i].type;
        if (t.pointer) in[i] = l_inst(b, LOP_load_pointer, t, at, 2, 0);
        else in[i] = l_convert(b, l_load(b, at[0], at[1], 1, (LVal){0}), DT_i64);
    }
    l_return(b, l_call(b, kernel->name, lt_scalar(DT_i32), in, kernel->n_params));
    loop_end(b);
}
