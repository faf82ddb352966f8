/* ulp_sweep.c: measures the math builders as compiled: every f32 (or every STRIDE-th), or random f64, against libm.
 *
 *   ulp_sweep FUNCTION [--stride N] [--f64 SAMPLES] [--target NAME] [--lanes N] [--by llvm|tcc] [--bound ULP]
 *
 * Prints the largest error in units in the last place of the exact result, where it is, and a hash of all results, which
 * must be the same for every target, backend and number of lanes.  Exit status 1: beyond --bound.
 * The reference is libm in double for f32 and in long double for f64.  The table of results: docs/math.md.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen.h"

enum { BLOCK = 1 << 14 };

typedef long double Wide;
static Wide sigmoid_wide(Wide x) { return 1 / (1 + expl(-x)); }
static Wide softplus_wide(Wide x) { return isnan(x) ? x : (x > 0 ? x : 0) + log1pl(expl(-fabsl(x))); }
static double sigmoid_double(double x) { return 1 / (1 + exp(-x)); }
static double softplus_double(double x) { return isnan(x) ? x : (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }

static const struct Function {
    const char *name;
    LVal (*build)(LoopBuilder *, LVal);
    double (*reference)(double);
    Wide (*wide)(Wide);
} functions[] = {
    {"exp", m_exp, exp, expl},           {"expm1", m_expm1, expm1, expm1l}, {"log", m_log, log, logl},
    {"log1p", m_log1p, log1p, log1pl},   {"sin", m_sin, sin, sinl},         {"cos", m_cos, cos, cosl},
    {"tan", m_tan, tan, tanl},           {"asin", m_asin, asin, asinl},     {"acos", m_acos, acos, acosl},
    {"atan", m_atan, atan, atanl},       {"sinh", m_sinh, sinh, sinhl},     {"cosh", m_cosh, cosh, coshl},
    {"tanh", m_tanh, tanh, tanhl},       {"asinh", m_asinh, asinh, asinhl}, {"acosh", m_acosh, acosh, acoshl},
    {"atanh", m_atanh, atanh, atanhl},   {"erf", m_erf, erf, erfl},
    {"sigmoid", m_sigmoid, sigmoid_double, sigmoid_wide}, {"softplus", m_softplus, softplus_double, softplus_wide},
};

typedef struct Options {
    const struct Function *function;
    const char *target;
    uint64_t stride, samples;
    uint32_t lanes;
    bool f64, tcc;
    double bound;
} Options;

static bool options_read(int argc, char **argv, Options *o) {
    *o = (Options){.target = "x86-64-v3", .stride = 1, .lanes = 16};
    for (size_t k = 0; argc > 1 && k < COUNT(functions); k++)
        if (strcmp(argv[1], functions[k].name) == 0) o->function = &functions[k];
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--stride") == 0) o->stride = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--f64") == 0) o->f64 = true, o->samples = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--target") == 0) o->target = argv[i + 1];
        else if (strcmp(argv[i], "--lanes") == 0) o->lanes = (uint32_t)strtoul(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--by") == 0) o->tcc = strcmp(argv[i + 1], "tcc") == 0;
        else if (strcmp(argv[i], "--bound") == 0) o->bound = strtod(argv[i + 1], NULL);
        else return false;
    }
    return o->function && o->stride && o->lanes && o->lanes <= MAX_LANES && argc % 2 == 0;
}

/* void f(x, r): BLOCK elements. */
typedef void Compiled(const void *x, void *r);

static Compiled *compile(Context *cx, const Options *o) {
    const Target *target = target_find(o->target);
    if (!target) {
        diag_error(cx, (Loc){0}, "unknown target '%s'", o->target);
        return NULL;
    }
    DType t = o->f64 ? DT_f64 : DT_f32;
    LoopModule *m = loop_module_new(cx, "sweep", &(Tiers){.n = 1, .at = {target}});
    LParam params[2] = {{.name = "x", .type = lt_pointer(t)}, {.name = "r", .type = lt_pointer(t)}};
    LoopBuilder *b = loop_begin(m, "f", LF_EXPORT, params, 2, (LType){0});
    LVal i;
    LFor loop = l_for(b, l_i64(b, 0), l_i64(b, BLOCK), o->lanes, LOOP_SERIAL, NULL, 0, &i);
    LVal x = l_load(b, loop_param(b, 0), i, o->lanes, (LVal){0});
    l_store(b, loop_param(b, 1), i, o->function->build(b, x), (LVal){0});
    l_for_end(b, &loop, NULL, 0);
    l_return(b, (LVal){0});
    loop_end(b);
    const uint8_t *object;
    size_t n;
    LoadedCode *code = NULL;
    Text text = text_new(cx->arena);
    if (o->tcc && emit_c(m, &(EmitC){0}, &text)) code = tcc_load(cx, text.at, NULL, 0);
    if (!o->tcc && emit_llvm(m, &(EmitLlvm){.verify = true, .opt_level = 2}, LLVM_OBJECT, &object, &n))
        code = llvm_load(cx, object, n, NULL, 0);
    Compiled *f = NULL;
    if (code) *(void **)&f = code_find(code, "f");
    return f;
}

/* ---- judging ---- */

typedef struct Worst { double error, x, got; Wide exact; uint64_t hash, n; } Worst;

static void judge(Worst *w, double x, double got, Wide exact, bool f64) {
    double rounded = f64 ? (double)exact : (double)(float)exact, error;
    uint64_t bits = 0; /* every NaN is one */
    if (!isnan(got)) memcpy(&bits, &got, sizeof bits);
    w->hash = hash_mix(w->hash, bits);
    w->n++;
    if (got == rounded && got != 0 && w->error >= 0.5) return; /* most of them, quickly */
    if (isnan(got) || isnan(rounded)) {
        error = isnan(got) && isnan(rounded) ? 0 : 1e9;
    } else if (isinf(got) || isinf(rounded) || (got == 0 && rounded == 0)) {
        double most = f64 ? DBL_MAX : (double)FLT_MAX;
        bool next = isinf(got) ? fabs(rounded) >= most : fabs(got) >= most; /* the largest number is next to infinity */
        error = got == rounded ? (signbit(got) == signbit(rounded) ? 0 : 1e9) : next ? 1 : 1e9;
    } else {
        int e, digits = f64 ? 53 : 24, least = f64 ? -1074 : -149;
        frexpl(exact, &e);
        error = (double)(fabsl((Wide)got - exact) / ldexpl(1, exact != 0 && e - digits > least ? e - digits : least));
    }
    if (error > w->error) w->error = error, w->x = x, w->got = got, w->exact = exact;
}

static void sweep_f32(const Options *o, Compiled *f, Worst *w) {
    static float x[BLOCK], r[BLOCK];
    for (uint64_t at = 0; at < UINT64_C(1) << 32;) {
        int n = 0;
        for (; n < BLOCK && at < UINT64_C(1) << 32; n++, at += o->stride) {
            uint32_t bits = (uint32_t)at;
            memcpy(&x[n], &bits, sizeof bits);
        }
        f(x, r);
        for (int i = 0; i < n; i++) judge(w, (double)x[i], (double)r[i], (Wide)o->function->reference((double)x[i]), false);
    }
}

static uint64_t random_bits(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* All magnitudes, everyday sizes, and the neighbourhood of 1. */
static void sweep_f64(const Options *o, Compiled *f, Worst *w) {
    static double x[BLOCK], r[BLOCK];
    uint64_t state = UINT64_C(88172645463325252);
    for (uint64_t done = 0; done < o->samples; done += BLOCK) {
        for (int i = 0; i < BLOCK; i++) {
            uint64_t bits = random_bits(&state);
            double unit = (double)(int64_t)random_bits(&state) * 0x1p-63;
            if (i % 4 == 0) memcpy(&x[i], &bits, sizeof bits);
            else
                x[i] = i % 4 == 1   ? unit * 8
                       : i % 4 == 2 ? ldexp(unit, (int)(bits % 30) - 20)
                                    : 1 + ldexp(unit, -(int)(bits % 40));
        }
        f(x, r);
        for (int i = 0; i < BLOCK; i++) judge(w, x[i], r[i], o->function->wide((Wide)x[i]), true);
    }
}

int main(int argc, char **argv) {
    Options o;
    if (!options_read(argc, argv, &o)) {
        fprintf(
            stderr,
            "usage: ulp_sweep FUNCTION [--stride N] [--f64 SAMPLES] [--target NAME] [--lanes N] [--by llvm|tcc] [--bound "
            "ULP]\n");
        return 2;
    }
    Context *cx = context_new(NULL);
    if (!cx) return 2;
    Compiled *volatile f = NULL;
    if (context_enter(cx)) f = compile(cx, &o);
    context_leave(cx);
    for (uint32_t i = 0; i < diag_count(cx); i++) fprintf(stderr, "%s\n", diag_at(cx, i)->text);
    Worst w = {0};
    if (f && o.f64) sweep_f64(&o, f, &w);
    if (f && !o.f64) sweep_f32(&o, f, &w);
    if (f)
        printf("%-9s %s %-12s x%-2u %.4f ulp at %a: got %a, exactly %La; %llu values, hash %016llx\n", o.function->name,
               o.f64 ? "f64" : "f32", o.target, o.lanes, w.error, w.x, w.got, w.exact, (unsigned long long)w.n,
               (unsigned long long)w.hash);
    context_free(cx);
    return !f ? 2 : o.bound > 0 && w.error > o.bound;
}
