/* decode.c: decodes with caches that the library writes in place: docs/attention.md.
 *
 *   ingot compile step.graph --donate=k=past_k,v=past_v --name=step -o libstep.so
 *   cc decode.c -I. -L. -lstep -Wl,-rpath,. -o decode
 */
#include <stdio.h>
#include <string.h>
#include "step.h"

enum { CAPACITY = 12, WIDTH = 64, CACHE = 2 * 4 * CAPACITY * 16 };
static float k[CACHE], v[CACHE];

int main(void) {
    step *s;
    ingot_error err;
    float x[WIDTH], y[WIDTH];
    int64_t past = 0; /* how much of the caches is used: the model's input of that name */
    if (step_create(STEP_SIGNATURE, NULL, &s, &err)) return fprintf(stderr, "%s\n", err.text), 1;
    for (int i = 0; i < WIDTH; i++) x[i] = (float)i / WIDTH;
    for (;;) {
        step_io io = {.batch = 1, .new_ = 1, .past = past, .past_capacity = CAPACITY,
                      .x = x, .past_k = k, .past_v = v, .past_2 = &past, .y = y};
        ingot_status status = step_run(s, &io, &err);
        if (status == INGOT_E_SHAPE) break; /* the caches are full; nothing was touched */
        if (status) return fprintf(stderr, "%s\n", err.text), 1;
        past++;
        for (int i = 0; i < WIDTH; i++) x[i] = y[i] / 2;
    }
    printf("%d tokens, then: %s\n", (int)past, err.text);
    step_destroy(s);
    return 0;
}
