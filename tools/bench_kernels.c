/* bench_kernels.c: speed of the tiled templates on one thread, beside the FMA peak measured in the same run.
 *
 * usage: bench_kernels [target [filter [field=value ..]]]     fields of the schedule
 * rows: shape, GF/s, % of peak, GB/s where few rows read all weights
 * Link with passes, codegen, runtime_embed, ir, base and LLVM, as the tests are.  BENCH_ASM=1 prints the assembly.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../tests/unit/kernel_entry.h"
#include "codegen.h"
#include "lower/lower.h"
#include "passes.h"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(Context *cx, const char *what) {
    for (uint32_t i = 0; i < diag_count(cx); i++) fprintf(stderr, "%s\n", diag_at(cx, i)->text);
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static EntryFn *load(Context *cx, LoopModule *m) {
    const uint8_t *object;
    size_t n;
    if (!loop_verify(m)) die(cx, "loop_verify");
    if (getenv("BENCH_ASM")) {
        if (!emit_llvm(m, NULL, LLVM_ASSEMBLY, &object, &n)) die(cx, "emit_llvm");
        fwrite(object, 1, n, stdout);
    }
    if (!emit_llvm(m, NULL, LLVM_OBJECT, &object, &n)) die(cx, "emit_llvm");
    LoadedCode *code = llvm_load(cx, object, n, NULL, 0);
    if (!code) die(cx, "load");
    return (EntryFn *)(uintptr_t)code_find(code, "run");
}

/* Register-only chains, as many as hide the latency. */
static double peak(const Target *target) {
    enum { CHAINS = 12, TRIPS = 1 << 16 };
    Context *cx = context_new(NULL);
    LoopModule *m = loop_module_new(cx, "peak", &(Tiers){.n = 1, .at = {target}});
    LParam slots = {.name = "slots", .type = lt_pointer(DT_f32)};
    LoopBuilder *b = loop_begin(m, "run", LF_EXPORT, &slots, 1, lt_scalar(DT_i32));
    uint32_t lanes = (uint32_t)target->vector_bytes / 4;
    LVal acc[CHAINS], i, x = l_load(b, loop_param(b, 0), l_i64(b, 0), lanes, (LVal){0});
    for (uint32_t c = 0; c < CHAINS; c++) acc[c] = l_load(b, loop_param(b, 0), l_i64(b, c * lanes), lanes, (LVal){0});
    LFor loop = l_for(b, l_i64(b, 0), l_i64(b, TRIPS), 1, LOOP_SERIAL, acc, CHAINS, &i);
    for (uint32_t c = 0; c < CHAINS; c++) acc[c] = contract_step(b, target->fma, acc[c], x, x);
    l_for_end(b, &loop, acc, CHAINS);
    for (uint32_t c = 0; c < CHAINS; c++) l_store(b, loop_param(b, 0), l_i64(b, c * lanes), acc[c], (LVal){0});
    l_return(b, l_int(b, lt_scalar(DT_i32), 0));
    loop_end(b);
    EntryFn *run = load(cx, m);
    static uint64_t memory[CHAINS * 16];
    double best = 1e9;
    for (uint32_t r = 0; r < 400; r++) {
        double t = now();
        run(memory);
        t = now() - t;
        if (t < best) best = t;
    }
    context_free(cx);
    return 2e-9 * (double)(TRIPS * CHAINS) * lanes / best;
}

typedef struct Bench {
    const Target *target;
    double peak;
    const char *filter;
    int64_t symbol;
    double ratio;
    uint32_t n;
    char **fields;
} Bench;
typedef struct Model { Context *cx; Graph *g; char name[64]; double flops, bytes; } Model;

static Model begin(void) {
    Model m = {.cx = context_new(NULL)};
    m.g = graph_new(m.cx, "bench");
    return m;
}
static Val tensor(Model *m, bool constant, uint32_t rank, const int64_t *dims) {
    Dim d[MAX_RANK];
    int64_t n = 1;
    for (uint32_t i = 0; i < rank; i++) d[i] = dim_const(m->cx, dims[i]), n *= dims[i];
    if (!constant) return b_param(m->g, (Loc){0}, "x", DT_f32, rank, d);
    float *data = malloc((size_t)n * 4);
    for (int64_t i = 0; i < n; i++) data[i] = (float)(i % 13 - 6) * 0.01f;
    return b_const(m->g, (Loc){0}, const_data(m->cx, DT_f32, (uint64_t)n, data), rank, d);
}
#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

static int64_t value(Bench *bench, Context *cx, Dim d) {
    int64_t result = 0, values[64];
    for (uint32_t i = 0; i < 64; i++) values[i] = bench->symbol;
    if (!dim_eval(cx, d, values, &result)) die(cx, "dim_eval");
    return result;
}
static void *memory_for(Bench *bench, Context *cx, const TypeInfo *t) {
    size_t bytes = (size_t)value(bench, cx, dim_product(cx, t->dims, t->rank)) * 4;
    float *at = aligned_alloc(4096, (bytes + 8191) & ~(size_t)4095);
    for (size_t i = 0; i < bytes / 4; i++) at[i] = (float)(i % 7) * 0.1f;
    return at;
}

static void override(const Bench *bench, Schedule *s) {
    for (char **field = bench->fields; *field; field++)
        for (uint32_t i = 0; i < SCHED_COUNT; i++) {
            size_t n = strlen(schedule_field_name[i]);
            if (strncmp(*field, schedule_field_name[i], n) == 0 && (*field)[n] == '=') s->field[i] = atoll(*field + n + 1);
        }
}

/* Sum over pieces of the range, each short beside the scheduler's time slice, of its best time: preemption falls out.  A sum
 * of minima is an optimistic estimate: 0 to 4 points above the best whole run (or its CPU time) where both could be taken. */
static double time_pieces(const Bench *bench, const Model *m, EntryFn *run, uint64_t *slots) {
    enum { MAX_PIECES = 256 };
    int64_t range = (int64_t)slots[1], pieces = (int64_t)(m->flops / (bench->peak * 1e9) / 400e-6) + 1;
    if (m->bytes > 0) pieces = (int64_t)(m->bytes / 20e9 / 400e-6) + 1;
    if (pieces > range) pieces = range;
    if (pieces > MAX_PIECES) pieces = MAX_PIECES;
    double best[MAX_PIECES], begun = now(), sum = 0;
    for (int64_t i = 0; i < pieces; i++) best[i] = 1e9;
    for (uint32_t r = 0; r < 400 && (r < 8 || now() - begun < 0.4); r++)
        for (int64_t i = 0; i < pieces; i++) {
            slots[0] = (uint64_t)(range * i / pieces), slots[1] = (uint64_t)(range * (i + 1) / pieces);
            double t = now();
            run(slots);
            t = now() - t;
            if (t < best[i]) best[i] = t;
        }
    for (int64_t i = 0; i < pieces; i++) sum += best[i];
    return sum;
}

/* Compiles the graph of one kernel and times it. */
static void finish(Bench *bench, Model *m, Val result) {
    Context *cx = m->cx;
    graph_result(m->g, result, "y");
    if ((bench->filter && !strstr(m->name, bench->filter)) || !context_enter(cx)) {
        context_free(cx);
        return;
    }
    Graph *g = graph_finish(m->g);
    if (g) g = pass_pack(cx, g, &(Tiers){.n = 1, .at = {bench->target}});
    if (g) g = pass_fuse(cx, g, &(Tiers){.n = 1, .at = {bench->target}});
    if (g) g = pass_schedule(cx, g, &(Tiers){.n = 1, .at = {bench->target}});
    if (!g) die(cx, "passes");
    Val v = {0};
    for (uint32_t i = 1; i < g->nodes.n; i++)
        if (g->nodes.at[i].op == OP_kernel) v = (Val){i};
    const Node *n = node(g, v);
    LoopModule *module = loop_module_new(cx, "bench", &(Tiers){.n = 1, .at = {bench->target}});
    Schedule schedule = *node_attr(n, ATTR_schedule)->as.schedule;
    override(bench, &schedule);
    KernelInfo info = lower_kernel(module, attr_graph(n, ATTR_body), &schedule, "kernel", "", false);
    add_entry(module, info.func);
    double t0 = now();
    EntryFn *run = load(cx, module);
    double compile = now() - t0;
    uint64_t slots[64] = {0, (uint64_t)value(bench, cx, info.range), 0};
    uint32_t s = 3;
    for (uint32_t i = 0; i < n->n_in; i++) {
        Const c;
        if (!val_const(g, n->in[i], &c)) {
            slots[s++] = (uintptr_t)memory_for(bench, cx, val_type(g, n->in[i]));
            continue;
        }
        const ConstInfo *data = const_info(cx, c);
        void *copy = aligned_alloc(4096, (data->elements * 4 + 8191) & ~(uint64_t)4095);
        memcpy(copy, const_bytes(cx, c), data->elements * 4);
        slots[s++] = (uintptr_t)copy;
    }
    slots[s++] = (uintptr_t)memory_for(bench, cx, type_info(cx, n->type));
    if (info.scratches) {
        int64_t bytes = value(bench, cx, info.scratch_bytes);
        slots[s++] = (uintptr_t)aligned_alloc(4096, ((size_t)bytes + 8191) & ~(size_t)4095);
        slots[s++] = (uint64_t)bytes;
    }
    for (uint32_t i = 0; i < info.n_symbols; i++) slots[s++] = (uint64_t)bench->symbol;
    double best = time_pieces(bench, m, run, slots);
    double gflops = m->flops / best / 1e9;
    printf("%-34s %7.1f GF/s %5.1f %%", m->name, gflops, 100 * gflops / bench->peak);
    if (m->bytes > 0) printf("  %5.1f GB/s", m->bytes / best / 1e9);
    printf("   (compiled in %.0f ms)\n", compile * 1e3);
    fflush(stdout);
    bench->ratio += gflops / bench->peak, bench->n++;
    context_leave(cx);
    context_free(cx);
}

static void gemm(Bench *bench, int64_t rows, int64_t depth, int64_t columns, bool constant, bool symbolic) {
    Model m = begin();
    snprintf(m.name, sizeof m.name, "%s %lldx%lldx%lld%s", constant ? "gemm" : "dynamic", (long long)rows, (long long)depth,
             (long long)columns, symbolic ? " symbolic" : "");
    m.flops = 2.0 * (double)rows * (double)depth * (double)columns;
    if (rows <= 8) m.bytes = 4.0 * (double)depth * (double)columns;
    Val x = tensor(&m, false, 2, DIMS(rows, depth));
    if (symbolic) {
        bench->symbol = rows;
        Symbol s = symbol_new(
            m.cx, &(SymbolInfo){.name = intern(m.cx, "m"), .kind = SYMBOL_INPUT, .min = 1, .max = INT64_MAX, .multiple = 1});
        x = b_param(m.g, (Loc){0}, "x", DT_f32, 2, (Dim[]){dim_symbol(m.cx, s), dim_const(m.cx, depth)});
    }
    Val y = b_dot(m.g, (Loc){0}, x, tensor(&m, constant, 2, DIMS(depth, columns)), 0);
    y = b_binary(m.g, (Loc){0}, OP_add, y, tensor(&m, true, 1, DIMS(columns)));
    finish(bench, &m, b_binary(m.g, (Loc){0}, OP_max, y, b_scalar(m.g, (Loc){0}, DT_f32, 0)));
}

/* Q K' and P V over heads split by views. */
static void attention(Bench *bench, int64_t length, int64_t heads, int64_t size, bool scores) {
    Model m = begin();
    Loc l = {0};
    snprintf(m.name, sizeof m.name, "%s %lld, %lld heads of %lld", scores ? "scores" : "values", (long long)length,
             (long long)heads, (long long)size);
    m.flops = 2.0 * (double)length * (double)length * (double)heads * (double)size;
    Val q = b_permute(m.g, l, tensor(&m, false, 4, DIMS(1, length, heads, size)), DIMS(0, 2, 1, 3));
    Val k = tensor(&m, false, 4, DIMS(1, length, heads, size));
    if (scores) {
        finish(bench, &m, b_dot(m.g, l, q, b_permute(m.g, l, k, DIMS(0, 2, 3, 1)), 2));
        return;
    }
    Val p = tensor(&m, false, 4, DIMS(1, heads, length, length));
    finish(bench, &m, b_permute(m.g, l, b_dot(m.g, l, p, b_permute(m.g, l, k, DIMS(0, 2, 1, 3)), 2), DIMS(0, 2, 1, 3)));
}

static void conv(Bench *bench, int64_t h, int64_t c, int64_t f, int64_t r, int64_t stride, bool planes) {
    Model m = begin();
    Loc l = {0};
    snprintf(m.name, sizeof m.name, "conv %lldx%lld %lld>%lld %lldx%lld/%lld%s", (long long)h, (long long)h, (long long)c,
             (long long)f, (long long)r, (long long)r, (long long)stride, planes ? " planes" : "");
    Val x = planes ? b_permute(m.g, l, tensor(&m, false, 4, DIMS(1, c, h, h)), DIMS(0, 2, 3, 1))
                   : tensor(&m, false, 4, DIMS(1, h, h, c));
    int64_t strides[] = {stride, stride}, ones[] = {1, 1};
    Dim pad[] = {dim_const(m.cx, r / 2), dim_const(m.cx, r / 2)};
    Attr attrs[] = {{.key = ATTR_stride, .n = 2, .as.ints = strides}, {.key = ATTR_dilation, .n = 2, .as.ints = ones},
                    {.key = ATTR_low, .n = 2, .as.dims = pad}, {.key = ATTR_high, .n = 2, .as.dims = pad},
                    {.key = ATTR_groups, .as.i = 1}, {.key = ATTR_chunk, .as.i = CHUNK_K}};
    Val y = emit(m.g, OP_conv, l, (Val[]){x, tensor(&m, true, 4, DIMS(r, r, c, f))}, 2, attrs, COUNT(attrs));
    int64_t o = (h + 2 * (r / 2) - r) / stride + 1;
    m.flops = 2.0 * (double)(o * o) * (double)(r * r * c) * (double)f;
    y = b_binary(m.g, l, OP_add, y, tensor(&m, true, 1, DIMS(f)));
    y = b_binary(m.g, l, OP_add, y, b_param(m.g, l, "r", DT_f32, 4, val_type(m.g, y)->dims));
    finish(bench, &m, b_binary(m.g, l, OP_max, y, b_scalar(m.g, l, DT_f32, 0)));
}

int main(int argc, char **argv) {
    Bench bench = {.target = target_find(argc > 1 ? argv[1] : "x86-64-v4"),
                   .filter = argc > 2 ? argv[2] : NULL,
                   .symbol = 1,
                   .fields = argv + (argc > 3 ? 3 : argc)};
    if (!bench.target) return fprintf(stderr, "unknown target\n"), 2;
    bench.peak = peak(bench.target);
    printf("%s: peak %.1f GF/s\n", bench.target->name, bench.peak);
    static const int64_t squares[] = {64, 128, 256, 512, 1024, 2048};
    for (uint32_t i = 0; i < COUNT(squares); i++) gemm(&bench, squares[i], squares[i], squares[i], true, false);
    gemm(&bench, 512, 512, 512, true, true);
    gemm(&bench, 128, 768, 3072, true, false);
    gemm(&bench, 128, 3072, 768, true, true);
    gemm(&bench, 512, 512, 512, false, false);
    static const int64_t few[] = {1, 2, 4, 8};
    for (uint32_t i = 0; i < COUNT(few); i++) gemm(&bench, few[i], 4096, 4096, true, false);
    gemm(&bench, 1, 4096, 4096, true, true);
    attention(&bench, 128, 12, 64, true);
    attention(&bench, 128, 12, 64, false);
    attention(&bench, 512, 12, 64, true);
    attention(&bench, 512, 12, 64, false);
    static const int64_t resnet[][5] = {
        {56, 64, 64, 3, 1},   {28, 128, 128, 3, 1}, {14, 256, 256, 3, 1}, {7, 512, 512, 3, 1},   {56, 64, 256, 1, 1},
        {56, 256, 64, 1, 1},  {28, 512, 128, 1, 1}, {28, 128, 512, 1, 1}, {14, 1024, 256, 1, 1}, {14, 256, 1024, 1, 1},
        {7, 2048, 512, 1, 1}, {7, 512, 2048, 1, 1}, {56, 128, 128, 3, 2}, {28, 256, 256, 3, 2},  {14, 512, 512, 3, 2},
        {56, 256, 512, 1, 2}, {224, 3, 64, 7, 2}};
    for (uint32_t i = 0; i < COUNT(resnet); i++)
        conv(&bench, resnet[i][0], resnet[i][1], resnet[i][2], resnet[i][3], resnet[i][4], false);
    conv(&bench, 224, 3, 64, 7, 2, true);
    if (bench.n) printf("mean of %u: %.1f %% of peak\n", bench.n, 100 * bench.ratio / bench.n);
    return 0;
}
