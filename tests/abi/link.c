/* link.c: three models in one program, one of them under two names. */
#include "host.h"
#include "digits.h"
#include "pair.h"
#include "pooled.h"
#include "second.h"

int main(void) {
    static float image[3 * DIGITS_IN], a[3 * DIGITS_OUT], b[3 * DIGITS_OUT];
    static Pair p, q;
    digits *d;
    second *s;
    pair *c;
    pooled *e;
    random_floats(image, 3 * DIGITS_IN, 7);
    OK(digits_create(DIGITS_SIGNATURE, NULL, &d, &host_error));
    OK(second_create(SECOND_SIGNATURE, NULL, &s, &host_error));
    OK(pair_create(PAIR_SIGNATURE, NULL, &c, &host_error));
    OK(pooled_create(POOLED_SIGNATURE, NULL, &e, &host_error));
    digits_io x = {.batch = 3, .image = image, .probability = a};
    second_io y = {.batch = 3, .image = image, .probability = b};
    OK(digits_run(d, &x, &host_error));
    OK(second_run(s, &y, &host_error));
    REQUIRE(memcmp(a, b, sizeof a) == 0);
    pair_init(&p, 9, 5);
    pair_io z = {.rows = 9, .cols = 5, .class_ = p.class_, .input_0 = p.input, .a_b = p.index,
                 .a_b_2 = p.soft, .input_0_2 = p.rows_of, .places = p.places};
    OK(pair_run(c, &z, &host_error));
    pair_init(&q, 9, 5);
    OK(pooled_model()->run(e, &q.call, &host_error));
    pair_check(&q);
    REQUIRE(memcmp(p.soft, q.soft, sizeof p.soft) == 0 && z.u == q.out[2].dims[1]);
    digits_destroy(d), second_destroy(s), pair_destroy(c), pooled_destroy(e);
    return 0;
}
