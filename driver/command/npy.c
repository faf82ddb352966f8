/* npy.c: reads and writes .npy files.
 *
 * Little-endian, C order, versions 1 to 3.  Types that NumPy lacks travel as ml_dtypes writes them: raw bytes ('|V1', '<V2')
 * cannot be told apart, so bf16 is read from '<V2' and written as such, and 8-bit floats are not.  A file is hostile: its
 * header's length, shape and size are checked against the bytes that are there.
 * Source: NumPy enhancement proposal 1; numpy.lib.format.
 */
#define _GNU_SOURCE
#include "command.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct Row { const char *descr; ingot_dtype dtype; } Row;
static const Row rows[] = {{"|b1", INGOT_BOOL}, {"|i1", INGOT_I8},  {"|u1", INGOT_U8},  {"<i2", INGOT_I16}, {"<u2", INGOT_U16},
                           {"<i4", INGOT_I32},  {"<u4", INGOT_U32}, {"<i8", INGOT_I64}, {"<u8", INGOT_U64}, {"<f2", INGOT_F16},
                           {"<f4", INGOT_F32},  {"<f8", INGOT_F64}, {"<V2", INGOT_BF16}, {"|V2", INGOT_BF16}};
enum { N_ROWS = sizeof rows / sizeof *rows, MOST_HEADER = 1 << 20 };

static uint64_t bytes_of(ingot_dtype t) { return ((t >> 8) + 7) / 8; }

uint64_t element_count(const ingot_tensor *t) {
    uint64_t n = 1;
    for (int32_t i = 0; i < t->rank; i++) n *= (uint64_t)t->dims[i];
    return n;
}

/* The text behind 'key': in the header's dictionary. */
static const char *find_key(const char *header, const char *key) {
    char quoted[32];
    snprintf(quoted, sizeof quoted, "'%s'", key);
    const char *at = strstr(header, quoted);
    if (!at) return NULL;
    at += strlen(quoted);
    at += strspn(at, " ");
    if (*at != ':') return NULL;
    at++;
    return at + strspn(at, " ");
}

static const char *read_shape(const char *at, ingot_tensor *t, uint64_t *elements) {
    *elements = 1;
    if (*at++ != '(') return "the shape is malformed";
    for (;;) {
        at += strspn(at, " ,");
        if (*at == ')') return NULL;
        char *end;
        errno = 0;
        long long n = strtoll(at, &end, 10);
        if (end == at || n < 0 || errno) return "the shape is malformed";
        if (*end == 'L') end++;
        if (t->rank == 8) return "it has more than 8 axes";
        t->dims[t->rank++] = n;
        if (n && *elements > ((uint64_t)1 << 48) / (uint64_t)n) return "it is too large";
        *elements *= (uint64_t)n;
        at = end;
    }
}

static const char *parse_header(const char *header, ingot_tensor *t, uint64_t *bytes) {
    const char *descr = find_key(header, "descr"), *order = find_key(header, "fortran_order"),
               *shape = find_key(header, "shape");
    uint64_t elements;
    if (!descr || !order || !shape) return "its header lacks descr, fortran_order or shape";
    for (int i = 0; i < N_ROWS && !t->dtype; i++) {
        size_t n = strlen(rows[i].descr);
        bool same = descr[0] == '\'' && strncmp(descr + 1, rows[i].descr, n) == 0 && descr[n + 1] == '\'';
        bool native = descr[0] == '\'' && (descr[1] == '=' || descr[1] == '<') && rows[i].descr[0] == '|' &&
                      strncmp(descr + 2, rows[i].descr + 1, n - 1) == 0 && descr[n + 1] == '\'';
        if (same || native) t->dtype = rows[i].dtype;
    }
    if (!t->dtype) return "its dtype is not one of bool, i1..i8, u1..u8, f2, f4, f8, V2 in little-endian order";
    const char *wrong = read_shape(shape, t, &elements);
    if (wrong) return wrong;
    if (strncmp(order, "True", 4) == 0 && t->rank > 1) return "it is in Fortran order; save np.ascontiguousarray(x)";
    *bytes = elements * bytes_of(t->dtype);
    return NULL;
}

static const char *read_npy(FILE *f, ingot_tensor *t) {
    uint8_t head[12];
    size_t n;
    uint64_t bytes = 0;
    if (fread(head, 1, 10, f) != 10 || memcmp(head, "\x93NUMPY", 6) != 0) return "it is no .npy file";
    if (head[6] < 1 || head[6] > 3) return "its version of the .npy format is unknown";
    if (head[6] == 1) n = (size_t)head[8] | (size_t)head[9] << 8;
    else if (fread(head + 10, 1, 2, f) != 2) return "it ends early";
    else n = (size_t)head[8] | (size_t)head[9] << 8 | (size_t)head[10] << 16 | (size_t)head[11] << 24;
    if (n > MOST_HEADER) return "its header is too long";
    char *header = calloc(1, n + 1);
    if (!header) return "out of memory";
    const char *wrong = fread(header, 1, n, f) == n ? parse_header(header, t, &bytes) : "it ends early";
    free(header);
    if (wrong) return wrong;
    long at = ftell(f);
    if (at < 0 || fseek(f, 0, SEEK_END)) return "it cannot be read";
    long end = ftell(f);
    if (end < at || (uint64_t)(end - at) < bytes) return "it ends early";
    if (fseek(f, at, SEEK_SET)) return "it cannot be read";
    t->bytes = bytes;
    t->data = malloc(bytes + 1);
    if (!t->data) return "out of memory";
    return fread(t->data, 1, bytes, f) == bytes ? NULL : "it ends early";
}

int npy_read(const char *path, ingot_tensor *out, char text[256]) {
    memset(out, 0, sizeof *out);
    FILE *f = fopen(path, "rb");
    if (!f) {
        snprintf(text, 256, "cannot open '%.150s': %.60s", path, strerror(errno));
        return EXIT_MACHINE;
    }
    const char *wrong = read_npy(f, out);
    fclose(f);
    if (!wrong) return 0;
    snprintf(text, 256, "cannot read '%.110s': %.100s", path, wrong);
    free(out->data);
    memset(out, 0, sizeof *out);
    return EXIT_NO;
}

/* Types that NumPy lacks are widened to f32; true where that was done to *wide. */
static bool widen(const ingot_tensor *t, ingot_tensor *wide) {
    for (int i = 0; i < N_ROWS; i++)
        if (rows[i].dtype == t->dtype) return false;
    uint64_t n = element_count(t), each = bytes_of(t->dtype);
    *wide = *t;
    wide->dtype = INGOT_F32;
    wide->data = malloc(n * sizeof(float) + 1);
    for (uint64_t i = 0; wide->data && i < n; i++)
        ((float *)wide->data)[i] = (float)ingot_element(t->dtype, (const char *)t->data + i * each);
    return true;
}

static bool write_npy(FILE *f, const ingot_tensor *t) {
    char header[400] = "", shape[200] = "";
    const char *descr = "";
    size_t at = 0;
    for (int i = N_ROWS - 1; i >= 0; i--)
        if (rows[i].dtype == t->dtype) descr = rows[i].descr;
    for (int32_t i = 0; i < t->rank; i++)
        at += (size_t)snprintf(shape + at, sizeof shape - at, "%lld, ", (long long)t->dims[i]);
    if (t->rank > 1) shape[at - 2] = 0;
    if (t->rank == 1) shape[at - 1] = 0;
    size_t n =
        (size_t)snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape);
    while ((10 + n + 1) % 64) header[n++] = ' ';
    header[n++] = '\n';
    uint8_t head[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)n, (uint8_t)(n >> 8)};
    uint64_t bytes = element_count(t) * bytes_of(t->dtype);
    return fwrite(head, 1, 10, f) == 10 && fwrite(header, 1, n, f) == n && (!bytes || fwrite(t->data, 1, bytes, f) == bytes);
}

int npy_write(const char *path, const ingot_tensor *t, char text[256]) {
    char temporary[4096];
    ingot_tensor wide;
    bool widened = widen(t, &wide);
    snprintf(temporary, sizeof temporary, "%s.part", path);
    FILE *f = widened && !wide.data ? NULL : fopen(temporary, "wb");
    bool ok = f && write_npy(f, widened ? &wide : t);
    if (f && fclose(f)) ok = false;
    if (ok && rename(temporary, path)) ok = false;
    if (!ok) {
        snprintf(text, 256, "cannot write '%.150s': %.60s", path, strerror(errno));
        remove(temporary);
    }
    if (widened) free(wide.data);
    return ok ? 0 : EXIT_MACHINE;
}
