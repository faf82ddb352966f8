/* host.h: what the hosts of these tests share: libraries opened by name, calls with tensors, data that is always the same. */
#pragma once
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "ingot_rt.h"

#define REQUIRE(c) ((c) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #c), exit(1)))
#define OK(call) do { ingot_error *e_ = &host_error; ingot_status s_ = (call); \
    if (s_) { fprintf(stderr, "%s:%d: %s: status %d: %s\n", __FILE__, __LINE__, #call, s_, e_->text); exit(1); } } while (0)
static ingot_error host_error;

static inline const ingot_model *model_open(const char *path, void **handle) {
    void *h = dlopen(path, RTLD_NOW | RTLD_LOCAL), *f = h ? dlsym(h, "ingot_model_v1") : NULL;
    ingot_get_model get;
    if (!f) fprintf(stderr, "%s\n", dlerror()), exit(1);
    memcpy(&get, &f, sizeof get);
    if (handle) *handle = h;
    return get();
}

static inline uint32_t random_next(uint32_t *state) { return (*state = *state * 1664525u + 1013904223u) >> 8; }
static inline void random_floats(float *to, int64_t n, uint32_t seed) {
    for (int64_t i = 0; i < n; i++) to[i] = (float)(random_next(&seed) % 1024) / 64 - 4;
}
static inline ingot_tensor tensor(void *data, uint64_t bytes, ingot_dtype t, int32_t rank, const int64_t *dims) {
    ingot_tensor x;
    memset(&x, 0, sizeof x);
    x.data = data, x.bytes = bytes, x.dtype = t, x.rank = rank;
    for (int i = 0; i < rank && dims; i++) x.dims[i] = dims[i];
    return x;
}

/* digits: image[n,1,8,8] -> probability[n,10] */
enum { DIGITS_IN = 64, DIGITS_OUT = 10 };
static inline ingot_status digits_call(const ingot_model *m, ingot_context *c, int64_t n, const float *image, float *out,
                                       int32_t workers) {
    const int64_t dims[4] = {n, 1, 8, 8};
    ingot_tensor in = tensor((void *)(uintptr_t)image, (uint64_t)n * DIGITS_IN * 4, INGOT_F32, 4, dims);
    ingot_tensor to = tensor(out, (uint64_t)n * DIGITS_OUT * 4, INGOT_F32, 0, NULL);
    ingot_call call;
    memset(&call, 0, sizeof call);
    call.size = sizeof call, call.n_inputs = call.n_outputs = 1, call.inputs = &in, call.outputs = &to,
    call.max_workers = workers;
    return m->run(c, &call, &host_error);
}

/* pair: class[rows,cols], input:0[cols], a.b[rows] -> a_b[rows,cols], input_0[rows,cols], places[1,u] */
typedef struct Pair {
    float class_[64 * 32], input[32], soft[64 * 32], rows_of[64 * 32];
    int64_t index[64], places[64];
    ingot_tensor in[3], out[3];
    ingot_call call;
} Pair;
static inline void pair_init(Pair *p, int64_t rows, int64_t cols) {
    const int64_t dims[3] = {rows, cols, 0};
    memset(p, 0, sizeof *p);
    random_floats(p->class_, rows * cols, 1);
    random_floats(p->input, cols, 2);
    for (int64_t i = 0; i < rows; i++) p->index[i] = (i * 5 + 1) % rows;
    p->in[0] = tensor(p->class_, sizeof p->class_, INGOT_F32, 2, dims);
    p->in[1] = tensor(p->input, sizeof p->input, INGOT_F32, 1, dims + 1);
    p->in[2] = tensor(p->index, sizeof p->index, INGOT_I64, 1, dims);
    p->out[0] = tensor(p->soft, sizeof p->soft, INGOT_F32, 0, NULL);
    p->out[1] = tensor(p->rows_of, sizeof p->rows_of, INGOT_F32, 0, NULL);
    p->out[2] = tensor(p->places, sizeof p->places, INGOT_I64, 0, NULL);
    p->call.size = sizeof p->call, p->call.n_inputs = p->call.n_outputs = 3, p->call.inputs = p->in, p->call.outputs = p->out;
}
static inline void pair_check(const Pair *p) {
    int64_t rows = p->in[0].dims[0], cols = p->in[0].dims[1], found = 0;
    const float *soft = (const float *)p->out[0].data, *got = (const float *)p->out[1].data;
    for (int64_t i = 0; i < rows; i++) {
        float sum = 0;
        for (int64_t k = 0; k < cols; k++) {
            REQUIRE(got[i * cols + k] == p->class_[p->index[i] * cols + k]);
            sum += soft[i * cols + k];
        }
        REQUIRE(sum > 0.999f && sum < 1.001f);
        if (p->index[i]) REQUIRE(((const int64_t *)p->out[2].data)[found++] == i);
    }
    REQUIRE(p->out[2].dims[0] == 1 && p->out[2].dims[1] == found && p->out[0].dims[0] == rows && p->out[0].rank == 2);
}

static inline int threads_now(void) {
    DIR *d = opendir("/proc/self/task");
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}
/* So many threads are left.  One that was joined may be listed a moment longer: the kernel wakes who joins it before it is
 * gone. */
static inline int threads_left(int n) {
    for (int i = 0; i < 3000 && threads_now() != n; i++) usleep(10000);
    return threads_now() == n;
}
/* Without pages of files. */
static inline long private_pages(void) {
    long total = 0, resident = 0, shared = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    REQUIRE(f && fscanf(f, "%ld %ld %ld", &total, &resident, &shared) == 3);
    fclose(f);
    return resident - shared;
}
