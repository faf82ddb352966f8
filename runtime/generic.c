/* generic.c: the functions of ingot_model: tensors that carry their dims, checked against the model, then rt.c.
 *
 * Nothing here is linked into programs that use the typed functions alone.
 */
#include "ingot_frame.h"
#include <string.h>

static const ingot_rt_model *private_of(const ingot_model *model) { return ((const ingot_rt_public *)(const void *)model)->rt; }
static ingot_status no_entry(ingot_error *err) { return ingot_rt_error(err, "\001no such entry"); }

ingot_status ingot_rt_model_query(const ingot_model *model, uint32_t entry, const int64_t *sizes, ingot_plan *plan,
                                  ingot_error *err) {
    const ingot_rt_model *m = private_of(model);
    uint32_t n = m->n_tensors - m->n_inputs;
    ingot_parallel p;
    if (entry) return no_entry(err);
    if (plan->size < sizeof *plan) return ingot_rt_error(err, "\013size of plan is %d, expected %d", INGOT_RT_ARG(plan->size), INGOT_RT_ARG(sizeof *plan));
    if (plan->outputs && plan->n_outputs != n) return ingot_rt_error(err, "\001%d outputs given, expected %d", INGOT_RT_ARG(plan->n_outputs), INGOT_RT_ARG(n));
    p.workers = plan->workers;
#if INGOT_RT_THREADS
    p.workers = (int32_t)ingot_rt_workers(m, &p);
#else
    p.workers = 1;
#endif
    uint64_t bytes = ingot_rt_bytes(m, sizes, p.workers, err);
    if (!bytes) return err ? err->code : INGOT_E_SHAPE;
    memset(plan->context, 0, sizeof plan->context + sizeof plan->state);
    plan->context[INGOT_HOST] = bytes;
    if (!plan->outputs || !n) return INGOT_OK;
    m->upper(sizes, plan->outputs->dims, sizeof(ingot_tensor) / 8);
    for (uint32_t i = 0; i < n; i++) {
        const ingot_tensor_info *t = m->tensors[m->n_inputs + i];
        ingot_tensor *out = &plan->outputs[i];
        out->dtype = t->dtype;
        out->rank = t->rank;
        out->bytes = t->dtype >> 11;
        for (int32_t k = 0; k < t->rank; k++) out->bytes *= (uint64_t)out->dims[k];
    }
    return INGOT_OK;
}

ingot_status ingot_rt_model_create(const ingot_model *model, const ingot_options *opt, ingot_context **out, ingot_error *err) {
    return ingot_rt_create(private_of(model), private_of(model)->signature, opt, out, err);
}

ingot_status ingot_rt_model_reserve(ingot_context *c, uint32_t entry, const int64_t *sizes, ingot_error *err) {
    return entry ? no_entry(err) : ingot_rt_reserve(c, sizes, err);
}

/* Everything of a tensor but its memory.  dims: those to check, NULL for an output's, which run sets. */
static ingot_status check_tensor(const ingot_tensor_info *t, const ingot_tensor *given, const int64_t *dims, ingot_error *err) {
    int64_t dense = 1, any = 0;
    if (given->dtype != t->dtype)
        return ingot_rt_error(err, "\003'%s' has dtype %d, expected %d", t->name, INGOT_RT_ARG(given->dtype), INGOT_RT_ARG(t->dtype));
    if (given->device > 1) return ingot_rt_error(err, "\017'%s' is on device %d, expected the CPU", t->name, INGOT_RT_ARG(given->device));
    if (!dims) return INGOT_OK;
    if (given->rank != t->rank) return ingot_rt_error(err, "\002'%s' has rank %d, expected %d", t->name, INGOT_RT_ARG(given->rank), INGOT_RT_ARG(t->rank));
    for (int32_t i = 0; i < t->rank; i++) any |= given->strides[i];
    for (int32_t i = t->rank; i-- > 0;) {
        if (dims[i] < 0 || (t->dims[i] >= 0 && dims[i] != t->dims[i]))
            return ingot_rt_error(err, t->dims[i] < 0 ? "\002'%s' has extent %d on axis %d, expected at least 0"
                                            : "\002'%s' has extent %d on axis %d, expected %d",
                        t->name, dims[i], INGOT_RT_ARG(i), t->dims[i]);
        if (any && dims[i] > 1 && given->strides[i] != dense)
            return ingot_rt_error(err, "\001'%s' has stride %d on axis %d, expected a dense tensor: %d", t->name, given->strides[i], INGOT_RT_ARG(i),
                        dense);
        if (__builtin_mul_overflow(dense, dims[i], &dense))
            return ingot_rt_error(err, "\007'%s' has more elements than 64 bits count", t->name);
    }
    return INGOT_OK;
}

static ingot_status take_tensors(ingot_context *c, const ingot_call *call, void **data, uint64_t *capacity, ingot_error *err) {
    const ingot_rt_model *m = c->m;
    int64_t *dims = c->frame[FRAME_INPUT_DIMS].p;
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        const ingot_tensor_info *t = m->tensors[i];
        int input = i < m->n_inputs;
        const ingot_tensor *given = input ? &call->inputs[i] : &call->outputs[i - m->n_inputs];
        ingot_status rc = check_tensor(t, given, input ? given->dims : NULL, err);
        if (rc) return rc;
        data[i] = given->data;
        capacity[i] = given->bytes;
        if (!input) {
            int64_t dense = 0;
            for (int32_t k = 0; k < t->rank; k++) dense |= given->strides[k];
            if (dense) return ingot_rt_error(err, "\001output '%s' has strides, expected zeros: outputs are dense", t->name);
            uintptr_t out = (uintptr_t)data[i];
            for (uint32_t k = 0; out && k < m->n_inputs; k++)
                if ((uintptr_t)data[k] < out + capacity[i] && out < (uintptr_t)data[k] + capacity[k])
                    return ingot_rt_error(err, "\001output '%s' overlaps input '%s'", t->name, m->tensors[k]->name);
            continue;
        }
        size_t bytes = (size_t)t->rank * sizeof *dims;
        if (memcmp(dims, given->dims, bytes)) {
            memcpy(dims, given->dims, bytes);
            c->bound = 0;
        }
        dims += t->rank;
    }
    return INGOT_OK;
}

ingot_status ingot_rt_model_run(ingot_context *c, const ingot_call *call, ingot_error *err) {
    const ingot_rt_model *m = c->m;
    void **data = c->frame[FRAME_DATA].p;
    uint64_t *capacity = c->frame[FRAME_CAPACITY].p;
    uint32_t n = m->n_tensors - m->n_inputs;
    if (call->size < sizeof *call) return ingot_rt_error(err, "\013size of call is %d, expected %d", INGOT_RT_ARG(call->size), INGOT_RT_ARG(sizeof *call));
    if (call->entry) return no_entry(err);
    if (call->n_inputs != m->n_inputs || call->n_outputs != n)
        return ingot_rt_error(err, "\001%d inputs and %d outputs given, expected %d and %d", INGOT_RT_ARG(call->n_inputs), INGOT_RT_ARG(call->n_outputs),
                    INGOT_RT_ARG(m->n_inputs), INGOT_RT_ARG(n));
    if (call->state || call->stream) return ingot_rt_error(err, "\001%s has neither states nor streams", m->name);
    int64_t workers = 1;
#if INGOT_RT_THREADS
    workers = ingot_rt_workers(m, c->frame[FRAME_PARALLEL].p);
    if (call->max_workers > 0 && call->max_workers < workers) workers = call->max_workers;
#endif
    c->frame[FRAME_WORKERS].i = workers;
    c->call = call;
    c->traced_launch = -1;
    c->frame[FRAME_CANCEL].cp = (const char *)c + m->at[FRAME_CANCEL];
    if (call->cancel) c->frame[FRAME_CANCEL].cp = call->cancel;
    ingot_status rc = take_tensors(c, call, data, capacity, err);
    if (rc) c->bound = 0;
    if (!rc) rc = ingot_rt_execute(c, NULL, data, capacity, call->flags, err);
    if (call->trace && c->traced_launch >= 0) ingot_rt_step(c, -1);
    if (rc && rc != INGOT_E_SHORT) return rc;
    const int64_t *dims = c->frame[FRAME_OUT_DIMS].p;
    for (uint32_t i = 0; i < n; i++) {
        ingot_tensor *out = &call->outputs[i];
        out->rank = m->tensors[m->n_inputs + i]->rank;
        uint64_t bytes = out->dtype >> 11;
        for (int32_t k = 0; k < out->rank; k++) bytes *= (uint64_t)(out->dims[k] = *dims++);
        if (!rc && out->data != data[m->n_inputs + i]) {
            out->data = data[m->n_inputs + i];
            out->bytes = bytes;
        }
    }
    return rc;
}
