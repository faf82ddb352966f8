# One C file, as written, through every C compiler there is: no warning, libm alone, the bits of the shared library.
. "$TESTS/cli/common.bash"
command -v cc >/dev/null || exit 77
example=$TESTS/../examples/digits
"$INGOT" compile "$example/digits.onnx" --dim batch=1..4096 -o libdigits.so
"$INGOT" compile "$example/digits.onnx" --dim batch=1..4096 -o digits.c
cat > bits.c <<'EOT'
#include "digits.h"
#include <stdio.h>
int main(void) {
    static float x[33][64], y[33][10];
    static digits_io io;
    digits *model;
    ingot_error e;
    int i, n;
    for (i = 0; i < 33 * 64; i++) x[i / 64][i % 64] = (float)(i * 37 % 17);
    if (digits_create(DIGITS_SIGNATURE, NULL, &model, &e)) return puts(e.text), 1;
    for (n = 1; n <= 33; n += 8) {
        io.batch = n, io.image = x[0], io.probability = y[0];
        if (digits_run(model, &io, &e)) return puts(e.text), 1;
        for (i = 0; i < n * 10; i++) printf("%a\n", y[i / 10][i % 10]);
    }
    digits_destroy(model);
    return 0;
}
EOT
cc -std=c99 bits.c ./libdigits.so -Wl,-rpath,. -o library
./library > wanted
[ "$(wc -l < wanted)" = 850 ]
for compiler in tcc "gcc -std=c99 -O1 -Wall -Wextra" "clang-19 -std=c99 -O1 -Wall -Wextra"; do
    command -v ${compiler%% *} >/dev/null || continue
    $compiler -c digits.c -o digits.o 2> messages
    # gcc has a note, which no pragma stops, on how vectors used to be passed; nothing here is passed but inline.
    if grep -E 'warning|error' messages; then exit 1; fi
    $compiler bits.c digits.o -lm -o bits
    ./bits | cmp - wanted
    $compiler "$example/main.c" -I. digits.o -lm -o digits
    ./digits "$example/digits.test" > said
    grep -q '^accuracy' said
done
