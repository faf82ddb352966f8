# A build with --profile tells what each launch takes, through both backends and on threads, with the same bits; the typed header too.
. "$(dirname "$0")/common.bash"
ingot compile digits.onnx -o libdigits.so
ingot compile digits.onnx --profile --name=seen -o libseen.so
ingot compile digits.onnx --profile --threads --name=seen_pooled -o libseen_pooled.so
BACKEND=c ingot compile digits.onnx --profile --name=seen_c -o libseen_c.so
host profile
./profile
cat > typed.c <<'EOT'
#include "seen.h"
static void count(void *user, const ingot_launch *l) { *(uint64_t *)user += l->end_ns - l->begin_ns; }
int main(void) {
    uint64_t ns = 0;
    seen *c;
    static float image[64], probability[10];
    seen_io io = {.batch = 1, .image = image, .probability = probability};
    if (seen_create(SEEN_SIGNATURE, 0, &c, 0)) return 1;
    seen_observe(c, count, &ns);
    if (seen_run(c, &io, 0)) return 1;
    seen_destroy(c);
    return ns == 0;
}
EOT
cc -std=c99 -Wall -Wextra -Werror -pedantic -I. typed.c libseen.so -Wl,-rpath,. -o typed
./typed
! grep -q observe digits.h || fail "a header without a profile speaks of one"
