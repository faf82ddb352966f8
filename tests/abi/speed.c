/* speed.c: microseconds from dlopen to the first result, in a fresh process. */
#include "host.h"
#include <time.h>

int main(void) {
    static float image[DIGITS_IN], out[DIGITS_OUT];
    struct timespec a, b;
    ingot_context *c;
    random_floats(image, DIGITS_IN, 31);
    clock_gettime(CLOCK_MONOTONIC, &a);
    const ingot_model *m = model_open("./libdigits.so", NULL);
    OK(m->create(m, NULL, &c, &host_error));
    OK(digits_call(m, c, 1, image, out, 0));
    clock_gettime(CLOCK_MONOTONIC, &b);
    REQUIRE(out[0] > 0);
    printf("%ld\n", (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000);
    return 0;
}
