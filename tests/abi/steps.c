/* steps.c: cancellation and traces of real artifacts. */
#include "host.h"

static float image[4 * DIGITS_IN], out[4 * DIGITS_OUT];
static uint32_t cancel;
typedef struct Trace { int kernels, stop_after; uint64_t ns; } Trace;

static void traced(void *user, const char *kernel, uint64_t ns) {
    Trace *t = user;
    REQUIRE(strstr(kernel, "digits.onnx: node '") == kernel && ns < 60000000000u);
    t->ns += ns;
    if (++t->kernels == t->stop_after) cancel = 1;
}

static ingot_status run(const ingot_model *m, ingot_context *c, Trace *t) {
    const int64_t dims[4] = {4, 1, 8, 8};
    ingot_tensor in = tensor(image, sizeof image, INGOT_F32, 4, dims), to = tensor(out, sizeof out, INGOT_F32, 0, NULL);
    ingot_call call = {.size = sizeof call, .n_inputs = 1, .n_outputs = 1, .inputs = &in, .outputs = &to, .cancel = &cancel};
    if (t) call.trace = traced, call.trace_user = t;
    return m->run(c, &call, &host_error);
}

int main(void) {
    const ingot_model *m = model_open("./libdigits.so", NULL);
    ingot_context *c;
    Trace all = {0}, some = {.stop_after = 2}, again = {0};
    OK(m->create(m, NULL, &c, &host_error));
    cancel = 1;
    REQUIRE(run(m, c, NULL) == INGOT_E_CANCELLED && strcmp(host_error.text, "cancelled") == 0 && out[0] == 0);
    cancel = 0;
    OK(run(m, c, &all));
    REQUIRE(all.kernels >= 4 && all.ns > 0 && out[0] > 0);
    REQUIRE(run(m, c, &some) == INGOT_E_CANCELLED && some.kernels == 3); /* its own kernel was done */
    cancel = 0;
    OK(run(m, c, &again));
    REQUIRE(again.kernels == all.kernels);
    m->destroy(c);
    printf("%d kernels traced, %.1f us\n", all.kernels, (double)all.ns / 1000);
    return 0;
}
