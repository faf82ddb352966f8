/* weights.c: packed weights from outside of the artifact: a file, memory, a callback, or the file beside the library.
 *
 * Format: ingot_rt_weights_header, then the bytes.  The header's layout must be the model's: bytes packed for another
 * layout are refused; other values in the same layout are fine (fine-tuned weights).  Immutable and counted.
 * Source: FIPS 180-4 (SHA-256).
 */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "ingot_frame.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER sizeof(ingot_rt_weights_header)
struct ingot_weights {
    int32_t count;
    const uint8_t *bytes; /* behind the header */
    void *mapped, *owned;
    size_t mapped_bytes;
};

/* ---- SHA-256 -------------------------------------------------------------------------------------------------------- */

typedef struct Sha { uint32_t h[8]; } Sha;
static const uint32_t sha_start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
static const uint32_t sha_round[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))

static void sha_block(Sha *s, const uint8_t *b) {
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++, b += 4) w[i] = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    for (int i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];
        w[i] = w[i - 16] + (ROTATE(x, 7) ^ ROTATE(x, 18) ^ x >> 3) + w[i - 7] + (ROTATE(y, 17) ^ ROTATE(y, 19) ^ y >> 10);
    }
    memcpy(v, s->h, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t e = v[4], a = v[0];
        uint32_t t = v[7] + (ROTATE(e, 6) ^ ROTATE(e, 11) ^ ROTATE(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + sha_round[i] + w[i];
        uint32_t u = (ROTATE(a, 2) ^ ROTATE(a, 13) ^ ROTATE(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t;
        v[0] = t + u;
    }
    for (int i = 0; i < 8; i++) s->h[i] += v[i];
}

static int hash_is(const uint8_t *bytes, uint64_t n, const uint8_t *expected) {
    Sha s;
    uint8_t tail[128];
    uint64_t whole = n / 64 * 64, rest = n - whole, padded = rest < 56 ? 64 : 128;
    memcpy(s.h, sha_start, sizeof s.h);
    for (uint64_t i = 0; i < whole; i += 64) sha_block(&s, bytes + i);
    memset(tail, 0, sizeof tail);
    memcpy(tail, bytes + whole, rest);
    tail[rest] = 0x80;
    for (int i = 0; i < 8; i++) tail[padded - 1 - (uint64_t)i] = (uint8_t)(n * 8 >> 8 * i);
    for (uint64_t i = 0; i < padded; i += 64) sha_block(&s, tail + i);
    for (int i = 0; i < 32; i++)
        if ((uint8_t)(s.h[i / 4] >> (24 - 8 * (i % 4))) != expected[i]) return 0;
    return 1;
}

/* ---- sources -------------------------------------------------------------------------------------------------------- */

/* The header and the bytes behind it, n in all. */
static ingot_status weights_check(const ingot_rt_model *m, const uint8_t *at, uint64_t n, uint32_t flags, const char *from,
                                  ingot_error *err) {
    ingot_rt_weights_header h;
    if (n < HEADER) return ingot_rt_error(err, "\014%s: found %d bytes, too few for weights", from, (int64_t)n, 0, 0);
    memcpy(&h, at, HEADER);
    if (memcmp(h.magic, "INGOTWT1", 8)) return ingot_rt_error(err, "\014%s: these are no weights of ingot", from, 0, 0, 0);
    if (h.bytes != m->weights_bytes || n - HEADER != h.bytes)
        return ingot_rt_error(err, "\014%s: found %d bytes of weights, expected %d", from, (int64_t)(n - HEADER),
                              (int64_t)m->weights_bytes, 0);
    if (h.layout != m->weights_layout)
        return ingot_rt_error(err, "\014%s: packed for another layout: pack them with the compiler that made the library", from,
                              0, 0, 0);
    if ((flags & 1) && !hash_is(at + HEADER, h.bytes, h.sha256))
        return ingot_rt_error(err, "\014%s: the hash of the weights is wrong: the data is damaged", from, 0, 0, 0);
    return INGOT_OK;
}

/* 64-byte aligned, header first, so that the bytes are aligned as well. */
static uint8_t *buffer(ingot_weights *w, uint64_t n) {
    w->owned = malloc(n + 63);
    return w->owned ? (uint8_t *)(((uintptr_t)w->owned + 63) & ~(uintptr_t)63) : NULL;
}

static ingot_status from_file(ingot_weights *w, const char *path, uint32_t flags, const uint8_t **at, uint64_t *n,
                              ingot_error *err) {
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ingot_rt_error(err, "\014%s: cannot be opened", path, 0, 0, 0);
    ingot_status rc = INGOT_OK;
    if (fstat(fd, &s) || !S_ISREG(s.st_mode)) {
        rc = ingot_rt_error(err, "\014%s: is no regular file", path, 0, 0, 0);
    } else if (!(flags & 2)) {
        *n = w->mapped_bytes = (uint64_t)s.st_size;
        w->mapped = mmap(NULL, w->mapped_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        *at = (const uint8_t *)w->mapped;
        if (w->mapped == MAP_FAILED) {
            w->mapped = NULL;
            rc = ingot_rt_error(err, "\014%s: cannot be mapped", path, 0, 0, 0);
        }
    } else {
        uint8_t *to = buffer(w, *n = (uint64_t)s.st_size);
        uint64_t have = 0;
        *at = to;
        if (!to) rc = ingot_rt_error(err, "\010no memory for %d bytes of weights", NULL, (int64_t)*n, 0, 0);
        while (!rc && have < *n) {
            ssize_t got = read(fd, to + have, *n - have);
            if (got <= 0) rc = ingot_rt_error(err, "\014%s: cannot be read", path, 0, 0, 0);
            have += (uint64_t)got;
        }
    }
    close(fd);
    return rc;
}

/* "<folder of the library>/<model>.weights" */
static ingot_status beside(ingot_weights *w, const ingot_rt_model *m, uint32_t flags, const uint8_t **at, uint64_t *n,
                           char *path, size_t room, ingot_error *err) {
    Dl_info info;
    size_t folder = 0;
    if (!dladdr((const void *)m, &info) || !info.dli_fname)
        return ingot_rt_error(err, "\014the folder of %s is unknown: give a path", m->name, 0, 0, 0);
    for (size_t i = 0; info.dli_fname[i]; i++)
        if (info.dli_fname[i] == '/') folder = i + 1;
    if (folder + strlen(m->name) + sizeof ".weights" > room)
        return ingot_rt_error(err, "\014the path of the weights is too long", NULL, 0, 0, 0);
    memcpy(path, info.dli_fname, folder);
    strcpy(path + folder, m->name);
    strcat(path, ".weights");
    return from_file(w, path, flags, at, n, err);
}

static ingot_status source_open(ingot_weights *w, const ingot_rt_model *m, const ingot_source *source, ingot_error *err) {
    char path[4096] = "the given memory";
    const char *from = path;
    const uint8_t *at = NULL;
    uint64_t n = 0;
    uint32_t flags = source ? source->flags : 0;
    ingot_status rc = INGOT_OK;
    if (source && source->memory.base) {
        at = (const uint8_t *)source->memory.base;
        n = source->memory.bytes;
        if ((uintptr_t)at & 63) return ingot_rt_error(err, "\005weights in memory must be aligned to 64 bytes", NULL, 0, 0, 0);
    } else if (source && source->read) {
        uint8_t *to = buffer(w, n = HEADER + m->weights_bytes);
        at = to;
        from = "the read callback";
        if (!to) return ingot_rt_error(err, "\010no memory for %d bytes of weights", NULL, (int64_t)n, 0, 0);
        if (source->read(source->user, 0, to, n)) return ingot_rt_error(err, "\014the read callback failed", NULL, 0, 0, 0);
    } else if (source && source->path) {
        from = source->path;
        rc = from_file(w, from, flags, &at, &n, err);
    } else if (m->weights || !m->weights_bytes) {
        w->bytes = (const uint8_t *)m->weights;
        return INGOT_OK;
    } else {
        rc = beside(w, m, flags, &at, &n, path, sizeof path, err);
    }
    if (!rc) rc = weights_check(m, at, n, flags, from, err);
    if (!rc) w->bytes = at + HEADER;
    return rc;
}

static ingot_status weights_open(const ingot_rt_model *m, const ingot_source *source, ingot_weights **out, ingot_error *err) {
    *out = NULL;
    if (source && source->size < sizeof *source)
        return ingot_rt_error(err, "\013the source's size is %d, expected %d", NULL, source->size, (int64_t)sizeof *source, 0);
    ingot_weights *w = (ingot_weights *)calloc(1, sizeof *w);
    if (!w) return ingot_rt_error(err, "\010no memory", NULL, 0, 0, 0);
    w->count = 1;
    ingot_status rc = source_open(w, m, source, err);
    if (rc)
        ingot_rt_weights_close(w);
    else
        *out = w;
    return rc;
}

ingot_status ingot_rt_weights_open(const ingot_model *model, const ingot_source *source, ingot_weights **out,
                                   ingot_error *err) {
    return weights_open((const ingot_rt_model *)model->own, source, out, err);
}

void ingot_rt_weights_close(ingot_weights *w) {
    if (!w || __atomic_sub_fetch(&w->count, 1, __ATOMIC_ACQ_REL)) return;
    if (w->mapped) munmap(w->mapped, w->mapped_bytes);
    free(w->owned);
    free(w);
}

ingot_status ingot_rt_use_weights(ingot_context *c, ingot_weights *w, ingot_error *err) {
    if (w) {
        __atomic_add_fetch(&w->count, 1, __ATOMIC_RELAXED);
    } else {
        ingot_status rc = weights_open(c->m, NULL, &w, err);
        if (rc) return rc;
    }
    ingot_rt_weights_close(c->held);
    c->held = w;
    c->weights = w->bytes;
    return INGOT_OK;
}
