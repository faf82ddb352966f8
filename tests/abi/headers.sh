# Check 3: headers compile as C99, C++11, by tcc and freestanding, with tensors named class, input:0, a.b and a_b.
. "$(dirname "$0")/common.bash"
ingot compile pair.graph -o pair.a
ingot compile digits.onnx -o digits.a
cat > use.c <<'END'
#include "pair.h"
#include "digits.h"
#include "pair.h"
int use(pair *c, pair_io *io, ingot_error *err);
int use(pair *c, pair_io *io, ingot_error *err) {
    io->rows = PAIR_ROWS_MAX;
    io->cols = 1;
    io->class_ = 0;
    io->input_0 = 0;
    io->a_b = 0;
    io->a_b_2 = 0;
    io->input_0_2 = 0;
    io->places = 0;
    return (int)(pair_run(c, io, err) + (int)io->u);
}
END
cp use.c use.cpp
ran=0
try() {
    command -v "$1" >/dev/null || return 0
    "$@" -I. -o use.o || fail "$*" # not /dev/null: as root, tcc replaces it by a file
    ran=$((ran + 1))
}
strict="-Wall -Wextra -Werror -pedantic-errors"
try cc -std=c99 $strict -c use.c
try cc -std=c99 -ffreestanding -nostdinc -isystem "$(cc -print-file-name=include)" $strict -c use.c
try gcc -std=c11 -fshort-enums $strict -c use.c
try clang-19 -std=c99 $strict -Weverything -Wno-padded -Wno-unsafe-buffer-usage -Wno-declaration-after-statement -Wno-reserved-macro-identifier -c use.c
try c++ -std=c++11 $strict -c use.cpp
try clang++-19 -std=c++11 $strict -c use.cpp
try tcc -Wall -Werror -c use.c
echo "$ran compilers"
[ $ran -ge 3 ]
