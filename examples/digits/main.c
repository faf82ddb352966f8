/* main.c: the host side of the digits example: reads images, calls the compiled model through its typed header, prints.
 *
 * Links against libdigits.so, which ingot made from digits.onnx; needs nothing else.  Usage: digits FILE.test
 */
#define _POSIX_C_SOURCE 199309L
#include "digits.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 10, MAX_IMAGES = 4096, SHOWN = 8 };

typedef struct Set {
    int64_t n;
    uint8_t label[MAX_IMAGES];
    float image[MAX_IMAGES][PIXELS];
    float probability[MAX_IMAGES][CLASSES];
} Set;

static int read_set(const char *path, Set *s) {
    FILE *f = fopen(path, "rb");
    uint8_t record[1 + PIXELS];
    if (!f) return 0;
    while (s->n < MAX_IMAGES && fread(record, sizeof record, 1, f) == 1) {
        s->label[s->n] = record[0];
        for (int p = 0; p < PIXELS; p++) s->image[s->n][p] = record[1 + p];
        s->n++;
    }
    fclose(f);
    return s->n > 0;
}

static int best(const float *p) {
    int b = 0;
    for (int i = 1; i < CLASSES; i++) b = p[i] > p[b] ? i : b;
    return b;
}

/* Several images side by side, two characters a pixel, then what the model says and what the label says. */
static void show(const Set *s, int64_t first) {
    static const char grey[] = " .:-=+*#%@";
    for (int y = 0; y < SIDE; y++) {
        for (int64_t i = first; i < first + SHOWN; i++) {
            for (int x = 0; x < SIDE; x++) {
                char c = grey[(int)(s->image[i][y * SIDE + x] * 9 / 16)];
                putchar(c), putchar(c);
            }
            printf("  ");
        }
        putchar('\n');
    }
    for (int64_t i = first; i < first + SHOWN; i++) {
        int b = best(s->probability[i]);
        printf("says %d %3.0f%% is %d%s ", b, 100 * s->probability[i][b], s->label[i], b == s->label[i] ? " " : "!");
    }
    puts("\n");
}

static double microseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median time of one image, one call each. */
static double latency(digits *model, Set *s, ingot_error *err) {
    enum { RUNS = 1001 };
    static double t[RUNS];
    for (int r = 0; r < RUNS; r++) {
        digits_io io = {.batch = 1, .image = s->image[r % s->n], .probability = s->probability[r % s->n]};
        double start = microseconds();
        if (digits_run(model, &io, err)) return -1;
        t[r] = microseconds() - start;
    }
    qsort(t, RUNS, sizeof *t, compare);
    return t[RUNS / 2];
}

int main(int argc, char **argv) {
    static Set s;
    ingot_error err = {0};
    digits *model;
    if (argc != 2 || !read_set(argv[1], &s)) {
        fprintf(stderr, "usage: digits FILE.test\n");
        return 2;
    }
    if (digits_create(DIGITS_SIGNATURE, NULL, &model, &err)) {
        fprintf(stderr, "digits: %s\n", err.text);
        return 1;
    }
    digits_io io = {.batch = s.n, .image = s.image[0], .probability = s.probability[0]};
    double single = -1;
    if (digits_run(model, &io, &err) || (single = latency(model, &s, &err)) < 0) {
        fprintf(stderr, "digits: %s\n", err.text);
        return 1;
    }
    int64_t right = 0;
    for (int64_t i = 0; i < s.n; i++) right += best(s.probability[i]) == s.label[i];
    show(&s, 0);
    show(&s, SHOWN);
    printf("accuracy  %.1f %% of %lld images the model has never seen\n", 100.0 * (double)right / (double)s.n, (long long)s.n);
    printf("latency   %.1f us for one image (median)\n", single);
    digits_destroy(model);
    return right * 100 >= s.n * 95 ? 0 : 1;
}
