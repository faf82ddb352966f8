/* rt.c: contexts: memory, sizes, one run.  Linked into every artifact: 2 KB without threads, counted by a test.
 *
 * A context is one block: the struct, then arrays at offsets that the compiler chose (ingot_frame.h).  Behind it, or in a
 * block of its own where the context may malloc, lie the workers' scratch, the arena and memory to lend, planned by
 * `reserve` at upper bounds; smaller sizes reuse these offsets.  What follows from sizes is computed when they change.
 * Sizes are trusted only once `measure` has accepted bounds above them: then no product of dims overflows.
 * Errors found before generated code runs leave the caller's memory untouched.
 * Switches: INGOT_RT_THREADS, INGOT_RT_WEIGHTS (weights outside of the artifact), INGOT_RT_HEAP (may malloc).
 */
#include "ingot_frame.h"
#include <string.h>
#if INGOT_RT_HEAP
#include <stdlib.h>
#endif

#define fail ingot_rt_error
#define INT INGOT_RT_ARG
typedef const ingot_rt_model Model;

/* given: the same values, or what the caller says they are. */
static ingot_status check(Model *m, const int64_t *given, const int64_t *values, ingot_error *err) {
    for (uint32_t i = 0; i < m->n_symbols; i++) {
        const ingot_symbol *s = m->symbols[i];
        int64_t v = values[i];
        if (v != given[i]) return fail(err, "\002%s = %d, but the inputs make it %d", s->name, given[i], v);
        if (v < s->min || v > s->max) return fail(err, "\002%s = %d, declared %d..%d", s->name, v, s->min, s->max);
        if (v % s->multiple) return fail(err, "\002%s = %d, expected a multiple of %d", s->name, v, s->multiple);
    }
    return INGOT_OK;
}

static int covered(const ingot_context *c, const int64_t *sizes) {
    const int64_t *bounds = c->frame[FRAME_BOUNDS].p;
    for (uint32_t i = 0; i < c->m->n_symbols; i++)
        if (sizes[i] > bounds[i]) return 0;
    return c->lent != NULL;
}

#if INGOT_RT_THREADS
int64_t ingot_rt_workers(Model *m, const ingot_parallel *p) {
    int64_t n = p ? p->workers : 1;
    return n < 1 ? 1 : n > m->max_workers ? m->max_workers : n;
}
#else
#define ingot_rt_workers(m, p) INT(1)
#endif

/* Bytes behind the fixed part, or -1 after an error. */
static int64_t work_bytes(Model *m, const int64_t *sizes, int64_t workers, int lends, ingot_rt_sizes *s, ingot_error *err) {
    int64_t arena = m->measure(sizes, s);
    if (arena < 0) {
        fail(err, "\007the sizes need more memory than 64 bits count");
        return arena;
    }
    return arena + s->scratch * workers + (lends ? s->lent : 0);
}

uint64_t ingot_rt_bytes(Model *m, const int64_t *sizes, int32_t workers, ingot_error *err) {
    ingot_rt_sizes s;
    int64_t n = check(m, sizes, sizes, err) ? -1 : work_bytes(m, sizes, workers, 0, &s, err);
    return n < 0 ? 0 : m->fixed_bytes + (uint64_t)n;
}

/* ---- contexts ------------------------------------------------------------------------------------------------------- */

#if INGOT_RT_HEAP
static void *align64(void *block) { return (void *)(((uintptr_t)block + 63) & ~(uintptr_t)63); }
#endif

void ingot_rt_destroy(ingot_context *c) {
    if (!c) return;
#if INGOT_RT_WEIGHTS
    ingot_rt_weights_close(c->weights);
#endif
#if INGOT_RT_HEAP
    free(c->own_work);
    free(c->own);
#endif
}

/* The block's fixed part, made from the table of offsets. */
static ingot_context *context_init(void *block, Model *m) {
    ingot_context *c = (ingot_context *)memset(block, 0, m->fixed_bytes);
    for (int i = 0; i < FRAME_INSIDE; i++) c->frame[i].p = (char *)c + m->at[i];
    c->frame[FRAME_WEIGHTS].cp = m->weights;
    c->m = m;
    return c;
}

ingot_status ingot_rt_create(Model *m, uint32_t signature, const ingot_options *opt, ingot_context **out, ingot_error *err) {
    ingot_status rc = INGOT_OK;
    *out = NULL;
    if (signature != m->signature) return fail(err, "\013%s: header and library are not from the same model", m->name);
    if (opt && opt->size < sizeof *opt) return fail(err, "\013size of options is %d, expected %d", INT(opt->size), INT(sizeof *opt));
    if (opt && opt->device > 1) return fail(err, "\017%s was compiled for the CPU", m->name);
    if (m->cpu && (rc = m->cpu(m, err))) return rc;
    void *own = NULL, *block = opt ? opt->memory[INGOT_HOST].base : NULL;
    uint64_t bytes = opt ? opt->memory[INGOT_HOST].bytes : 0;
    if ((uintptr_t)block & 63) return fail(err, "\005memory of a context must be aligned to 64 bytes");
#if INGOT_RT_HEAP
    if (!block && (own = malloc((size_t)m->fixed_bytes + 63))) {
        block = align64(own);
        bytes = m->fixed_bytes;
    }
#endif
    if (!block || bytes < m->fixed_bytes)
        return fail(err, "\010a context needs %d bytes of memory, found %d", INT(m->fixed_bytes), INT(bytes));
    ingot_context *c = context_init(block, m);
    c->own = own;
    c->work_bytes = bytes - m->fixed_bytes;
    c->frame[FRAME_PARALLEL].cp = opt ? opt->parallel : NULL;
#if INGOT_RT_WEIGHTS
    if ((opt && opt->weights) || (!m->weights && m->weights_bytes)) rc = ingot_rt_use_weights(c, opt ? opt->weights : NULL, err);
#else
    if (opt && opt->weights) rc = fail(err, "\014the weights of %s are embedded", m->name);
#endif
    if (!rc && !m->n_symbols) rc = ingot_rt_reserve(c, NULL, err);
    if (!rc)
        *out = c;
    else
        ingot_rt_destroy(c);
    return rc;
}

ingot_status ingot_rt_reserve(ingot_context *c, const int64_t *sizes, ingot_error *err) {
    Model *m = c->m;
    ingot_rt_sizes s;
    int64_t workers = ingot_rt_workers(m, c->frame[FRAME_PARALLEL].p);
    ingot_status rc = check(m, sizes, sizes, err);
    if (rc || covered(c, sizes)) return rc;
    int64_t need = work_bytes(m, sizes, workers, c->own != NULL, &s, err);
    if (need < 0) return INGOT_E_CAPACITY;
    char *work = (char *)c + m->fixed_bytes;
#if INGOT_RT_HEAP
    if (c->own) {
        if ((uint64_t)need > c->work_bytes || !c->own_work) {
            free(c->own_work);
            c->lent = NULL; /* no reservation */
            c->own_work = malloc((size_t)need + 64);
            c->work_bytes = c->own_work ? (uint64_t)need : 0;
        }
        work = (char *)align64(c->own_work);
    }
#endif
    if ((uint64_t)need > c->work_bytes || !work)
        return fail(err, "\010these sizes need %d bytes of memory, found %d", need + m->fixed_bytes,
                    INT(c->work_bytes + m->fixed_bytes));
    m->layout(sizes, (int64_t *)c->frame[FRAME_OFFSETS].p);
    for (uint32_t i = 0; i < m->n_symbols; i++) ((int64_t *)c->frame[FRAME_BOUNDS].p)[i] = sizes[i];
    c->frame[FRAME_SCRATCH].p = work;
    c->frame[FRAME_SCRATCH_BYTES].i = s.scratch;
    c->frame[FRAME_ARENA].p = work += s.scratch * workers;
    c->lent = work + need - s.scratch * workers - (c->own ? s.lent : 0);
    return INGOT_OK;
}

/* ---- one run -------------------------------------------------------------------------------------------------------- */

static uint64_t tensor_bytes(const ingot_tensor_info *t, const int64_t *dims) {
    uint64_t bytes = t->dtype >> 11;
    for (int32_t i = 0; i < t->rank; i++) bytes *= (uint64_t)dims[i];
    return bytes;
}

/* Symbols from the inputs' dims and elements, what follows from them, and room for it. */
static ingot_status bind(ingot_context *c, const int64_t *given, uint32_t flags, ingot_error *err) {
    Model *m = c->m;
    int64_t *symbols = c->frame[FRAME_SYMBOLS].p, *failed = c->frame[FRAME_FAIL].p;
    int64_t *bounds = c->frame[FRAME_BOUNDS].p, *wanted = c->frame[FRAME_WANTED].p;
    ingot_rt_sizes s;
    int32_t guard = m->bind(c->frame);
    if (guard) return fail(err, m->guards[guard - 1], failed[1], failed[2]);
    ingot_status rc = check(m, given ? given : symbols, symbols, err);
    if (rc) return rc;
    if (!covered(c, symbols)) {
        if ((flags & 1) || !c->own)
            return fail(err, "\011these sizes need %d bytes: reserve them first",
                        m->fixed_bytes + work_bytes(m, symbols, ingot_rt_workers(m, c->frame[FRAME_PARALLEL].p), 0, &s, NULL));
        for (uint32_t i = 0; i < m->n_symbols; i++) wanted[i] = symbols[i] > bounds[i] ? symbols[i] : bounds[i];
        if ((rc = ingot_rt_reserve(c, wanted, err))) return rc;
    }
    m->bounds(symbols, (int64_t *)c->frame[FRAME_OUT_DIMS].p, 0);
    c->bound = 1;
    return INGOT_OK;
}

/* Memory of all tensors against the bound sizes; lends; before the run (`after` 0).  After it: outputs in the arena. */
static ingot_status tensors(ingot_context *c, void **data, const uint64_t *capacity, int after, ingot_error *err) {
    Model *m = c->m;
    const int64_t *dims = c->frame[FRAME_INPUT_DIMS].p, *offsets = c->frame[FRAME_OFFSETS].p;
    void **lent = c->frame[FRAME_LENT].p;
    ingot_status rc = INGOT_OK;
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        const ingot_tensor_info *t = m->tensors[i];
        uint32_t o = i - m->n_inputs;
        if (o == 0) dims = c->frame[FRAME_OUT_DIMS].p;
        uint64_t bytes = tensor_bytes(t, dims);
        dims += t->rank;
        int64_t copied = i < m->n_inputs ? -1 : m->output_offset[o];
        if (!after && ((uintptr_t)data[i] & ((t->dtype >> 11) - 1)))
            return fail(err, "\005'%s' is not aligned to its %d bytes an element", t->name, INT(t->dtype >> 11));
        if (after != (copied >= 0)) continue;
        char *ours = copied < 0 ? c->lent : (char *)c->frame[FRAME_ARENA].p;
        if (i >= m->n_inputs) {
            ours += offsets[copied < 0 ? m->n_offsets + 1 + o : (uint32_t)copied];
            if (!data[i] || data[i] == lent[o]) {
                if (!c->own) return fail(err, "\001output '%s' is NULL and the context owns no memory to lend", t->name);
                data[i] = lent[o] = ours;
                continue;
            }
        } else if (!data[i] && bytes) {
            return fail(err, "\001input '%s' is NULL", t->name);
        }
        if (capacity && capacity[i] < bytes)
            rc = fail(err, "\004'%s' has %d bytes of memory, expected %d", t->name, INT(capacity[i]), INT(bytes));
        else if (after)
            memcpy(data[i], ours, bytes);
    }
    return rc;
}

ingot_status ingot_rt_execute(ingot_context *c, const int64_t *given, void **data, const uint64_t *capacity, uint32_t flags,
                              ingot_error *err) {
    Model *m = c->m;
    int64_t *failed = c->frame[FRAME_FAIL].p;
    ingot_status rc = INGOT_OK;
    c->frame[FRAME_INPUTS].p = data;
    c->frame[FRAME_OUTPUTS].p = data + m->n_inputs;
    if (!c->bound) rc = bind(c, given, flags, err);
    if (rc || (rc = tensors(c, data, capacity, 0, err))) return rc;
    c->bound = !(m->n_found || (m->flags & INGOT_RT_BINDS_ELEMENTS));
#if defined(__x86_64__)
    /* The default mode; bytes, because tcc's assembler lacks stmxcsr and ldmxcsr (%rax). */
    uint32_t mode, plain = 0x1f80;
    __asm__ volatile(".byte 0x0f, 0xae, 0x18" : : "a"(&mode) : "memory");
    __asm__ volatile(".byte 0x0f, 0xae, 0x10" : : "a"(&plain) : "memory");
#endif
    rc = m->main(c->frame);
#if defined(__x86_64__)
    __asm__ volatile(".byte 0x0f, 0xae, 0x10" : : "a"(&mode) : "memory");
#endif
    if (rc == INGOT_E_CANCELLED) return fail(err, "\015cancelled");
    if (rc) {
        fail(err, "\020%s: found %d at position %d, limit %d", m->launches[failed[0]], failed[2], failed[1], failed[3]);
        if (err) err->code = rc;
        return rc;
    }
    if (m->n_found) m->extents((int64_t *)c->frame[FRAME_SYMBOLS].p, (int64_t *)c->frame[FRAME_OUT_DIMS].p, 0);
    return tensors(c, data, capacity, 1, err);
}

ingot_status ingot_rt_run(ingot_context *c, int64_t *io, ingot_error *err) {
    Model *m = c->m;
    int64_t *symbols = c->frame[FRAME_SYMBOLS].p;
    size_t bytes = m->n_symbols * sizeof *io;
    void **data = (void **)(void *)(io + m->n_symbols);
    c->call = NULL;
    c->frame[FRAME_CANCEL].p = (char *)c + m->at[FRAME_CANCEL];
    c->frame[FRAME_WORKERS].i = ingot_rt_workers(m, c->frame[FRAME_PARALLEL].p);
    if (!c->bound || memcmp(symbols, io, bytes)) {
        ingot_status rc = check(m, io, io, err);
        if (rc) return rc;
        c->bound = 0;
        m->input_dims(io, (int64_t *)c->frame[FRAME_INPUT_DIMS].p);
    }
    ingot_status rc = ingot_rt_execute(c, io, data, NULL, 0, err);
    memcpy(data + m->n_tensors, symbols + m->n_symbols, m->n_found * sizeof *io);
    return rc;
}
#undef fail
#undef INT
