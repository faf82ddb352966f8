/* rt.c: contexts: memory, sizes, runs.  Linked into every artifact: 2 KB without threads, with what it calls; a test counts.
 *
 * A context is one block: the struct, then arrays at offsets that the compiler chose (ingot_frame.h).  Behind it, or in a
 * block of its own where the context may allocate, lie the workers' scratch, the arena and memory to lend, planned by
 * `reserve`; smaller sizes reuse these offsets.  All that follows from sizes is Loop IR, written by codegen/interface_sizes.c
 * and called through ingot_rt_model; what is left here are checks of the caller's memory by one table, and the order of steps.
 * Sizes are trusted only once `measure` has accepted bounds above them: then no product of dims overflows.
 * Errors found before generated code runs leave the caller's memory untouched.
 * Switches: INGOT_RT_THREADS, INGOT_RT_WEIGHTS (weights outside of the artifact), INGOT_RT_HEAP (may allocate).
 */
#if !defined(_GNU_SOURCE) && !defined(_ISOC11_SOURCE)
#define _ISOC11_SOURCE /* aligned_alloc */
#endif
#include "ingot_frame.h"
#include <string.h>
#if INGOT_RT_HEAP
#include <stdlib.h>
#endif

#define refuse ingot_rt_error
#define OLD_STRUCT "\013the struct's size is %d, expected %d"
#if defined(__GNUC__) && !defined(__TINYC__)
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE
#endif
typedef const ingot_rt_model Model;

static Model *private_of(const ingot_model *model) { return (Model *)model->own; }
/* Without a name; a call of fewer arguments is shorter. */
static NOINLINE ingot_status mismatch(ingot_error *err, const char *what, int64_t found, int64_t expected) {
    return refuse(err, what, NULL, found, expected, 0);
}
/* A guard that generated code answered. */
static ingot_status failed(const ingot_context *c, int64_t answer, ingot_error *err) {
    const int64_t *f = c->fail;
    return refuse(err, c->m->guards[~answer], c->m->launches[f[0]], f[1], f[2], f[3]);
}

/* ---- contexts ------------------------------------------------------------------------------------------------------- */

void ingot_rt_destroy(ingot_context *c) {
    if (!c) return;
#if INGOT_RT_WEIGHTS
    ingot_rt_weights_close(c->held);
#endif
#if INGOT_RT_HEAP
    if (!c->lends) return;
    free(c->own);
    free(c);
#endif
}

/* what: the message where the memory that is there must do, and does not. */
static ingot_status reserve(ingot_context *c, const int64_t *sizes, int64_t allocates, const char *what, ingot_error *err) {
    int64_t need = c->m->measure(sizes, c);
    if (need < 0) return failed(c, need, err);
    if ((uint64_t)need > c->bytes) {
        void *work = NULL;
#if INGOT_RT_HEAP
        if (allocates) {
            free(c->own);
            c->bytes = 0;
            *c->bounds = 0;
            c->own = c->work = work = aligned_alloc(64, (size_t)need);
        }
#else
        (void)allocates;
#endif
        if (!work) return mismatch(err, what, need, (int64_t)c->bytes);
        c->bytes = (uint64_t)need;
    }
    c->m->layout(sizes, c);
    return INGOT_OK;
}

ingot_status ingot_rt_reserve(ingot_context *c, uint32_t entry, const int64_t *sizes, ingot_error *err) {
    if (entry) return mismatch(err, "\001found entry %d, expected 0", entry, 0);
    return reserve(c, sizes, c->lends, "\010these sizes need %d bytes of memory, found %d", err);
}

ingot_status ingot_rt_create(const ingot_model *model, const ingot_options *opt, ingot_context **out, ingot_error *err) {
    static const ingot_options standard = {.size = sizeof standard};
    Model *m = private_of(model);
    ingot_status rc = INGOT_OK;
    *out = NULL;
    if (!opt) opt = &standard;
    int64_t newer = (int64_t)opt->size - (int64_t)offsetof(ingot_options, tier); /* bytes since ABI 1.0 */
    if (newer < 0) return mismatch(err, OLD_STRUCT, opt->size, offsetof(ingot_options, tier));
    if (opt->device > 1) return mismatch(err, "\017found device %d, expected the CPU: %d", opt->device, 1);
    uint32_t tiers = newer && opt->tier - 1 < m->n_tiers ? opt->tier : m->n_tiers;
    int32_t tier = ingot_rt_cpu(m, tiers, err);
    if (tier < 0) return -tier;
    uint64_t bytes = opt->memory[INGOT_HOST].bytes;
    int64_t lends = 0;
    ingot_context *c = (ingot_context *)opt->memory[INGOT_HOST].base;
    if ((uintptr_t)c & 63) return mismatch(err, "\005memory of a context must be aligned to 64 bytes", 0, 0);
#if INGOT_RT_HEAP
    if (!c) {
        c = (ingot_context *)aligned_alloc(64, bytes = m->fixed_bytes);
        lends = 1;
    }
#endif
    if (!c || bytes < m->fixed_bytes)
        return mismatch(err, "\010a context needs %d bytes of memory, found %d", m->fixed_bytes, (int64_t)bytes);
    memset(c, 0, m->fixed_bytes);
    c->bytes = bytes;
    c->lends = lends;
    c->tier = tier;
    m->init(c);
#if INGOT_RT_THREADS
    c->parallel = opt->parallel;
    int64_t workers = opt->parallel ? opt->parallel->workers : 1;
    c->pool = workers < 1 ? 1 : workers > m->max_workers ? m->max_workers : workers;
#endif
#if INGOT_RT_WEIGHTS
    if (opt->weights || (!m->weights && m->weights_bytes)) rc = ingot_rt_use_weights(c, opt->weights, err);
    if (rc) {
        ingot_rt_destroy(c);
        return rc;
    }
#endif
    *out = c;
    return rc;
}

/* ---- one run -------------------------------------------------------------------------------------------------------- */

/* Everything of n tensors but what their dims mean, and that none overlaps one of the others. */
static ingot_status check(const ingot_tensor_info *const *info, const ingot_tensor *x, uint32_t n, const ingot_tensor *others,
                          uint32_t n_others, ingot_error *err) {
    for (; n--; x++) {
        const ingot_tensor_info *t = *info++;
        const char *what = "\017'%s' is on device %d, expected the CPU: %d";
        int64_t found = x->device, expected = 1, dense = 1, strided = 0, other = 0, width = (t->dtype + 0x700) >> 11,
                bytes = width;
        if (found > expected) goto bad;
        what = "\003'%s' has dtype %d, expected %d", found = x->dtype, expected = t->dtype;
        if (found != expected) goto bad;
        what = "\002'%s' has rank %d, expected %d", found = x->rank, expected = t->rank;
        if (found != expected) goto bad;
        while (expected--) {
            what = "\002'%s' has extent %d on axis %d, out of range", found = x->dims[expected];
            if (found > 1) strided |= x->strides[expected], other |= x->strides[expected] ^ dense;
            int64_t product = (int64_t)((uint64_t)bytes * (uint64_t)found);
            if (found < 0 || (found && product / found != bytes)) goto bad;
            bytes = product;
            dense *= found;
        }
        what = "\001'%s' has strides, expected a dense tensor";
        if (strided && other) goto bad;
        what = "\004'%s' has %d bytes of memory, expected %d", found = x->data ? (int64_t)x->bytes : 0, expected = bytes;
        if ((uint64_t)found < (uint64_t)expected) goto bad;
        what = "\005'%s' is not aligned to its %d bytes an element", found = width;
        if ((uintptr_t)x->data & (uintptr_t)(width - 1)) goto bad;
        what = "\001'%s' overlaps input number %d", found = 0;
        for (; (uint32_t)found < n_others; found++) {
            const ingot_tensor *y = others + found;
            uintptr_t distance = (uintptr_t)x->data - (uintptr_t)y->data;
            if ((distance < y->bytes || 0 - distance < x->bytes) && (int32_t)found != t->alias) goto bad;
        }
        continue;
    bad:
        return refuse(err, what, t->name, found, expected, 0);
    }
    return INGOT_OK;
}

static int32_t run_main(ingot_context *c) {
#if defined(__x86_64__)
    /* The default mode; bytes, because tcc's assembler lacks stmxcsr and ldmxcsr (%rax). */
    uint32_t mode, plain = 0x1f80;
    __asm__ volatile(".byte 0x0f, 0xae, 0x18" : : "a"(&mode) : "memory");
    __asm__ volatile(".byte 0x0f, 0xae, 0x10" : : "a"(&plain) : "memory");
#endif
    int32_t rc = c->m->main(c);
#if defined(__x86_64__)
    __asm__ volatile(".byte 0x0f, 0xae, 0x10" : : "a"(&mode) : "memory");
#endif
    (void)ingot_rt_step(c, -1);
    return rc;
}

ingot_status ingot_rt_run(ingot_context *c, const ingot_call *call, ingot_error *err) {
    Model *m = c->m;
    ingot_status rc;
    if (call->size < sizeof *call) return mismatch(err, OLD_STRUCT, call->size, sizeof *call);
    if ((call->n_inputs ^ m->n_inputs) | (call->n_outputs ^ m->n_outputs) | call->entry ||
        (uintptr_t)call->state | (uintptr_t)call->stream)
        return refuse(err, "\001found %d inputs and %d outputs, expected %d of entry 0, without state and stream", NULL,
                      call->n_inputs, call->n_outputs, m->n_inputs);
#if INGOT_RT_THREADS
    c->workers = call->max_workers > 0 && call->max_workers < c->pool ? call->max_workers : c->pool;
#endif
    c->call = call;
    rc = check(m->tensors, call->inputs, m->n_inputs, NULL, 0, err);
    if (rc) return rc;
    while ((rc = m->start(c)) > 0)
        if ((rc = reserve(c, c->wanted, c->lends & ~call->flags, "\011these sizes need %d bytes, reserved are %d", err)))
            return rc;
    if (!rc) {
        rc = check(m->tensors + m->n_inputs, call->outputs, m->n_outputs, call->inputs, m->n_inputs, err);
        if (rc) return rc;
        rc = run_main(c);
    }
    return rc ? failed(c, rc, err) : rc;
}
#undef refuse
#undef OLD_STRUCT
#undef NOINLINE
