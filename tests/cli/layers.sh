# tools/layers.py finds what breaks the laws of includes, sizes and opening comments, and nothing in what keeps them.
layers() { python3 "$TESTS/../tools/layers.py" tree; }
mkdir -p tree/base tree/ir tree/passes tree/codegen tree/runtime
echo '/* base.h: the lowest layer. */' > tree/base/base.h
echo '/* ir.h: above it. */' > tree/ir/ir.h
printf '/* passes.h: a sibling of codegen. */\n#include "ir.h"\n' > tree/passes/passes.h
printf '/* pool.c: stands alone. */\n#include <pthread.h>\n#include "ingot_rt.h"\n' > tree/runtime/pool.c
layers
broken() { # FILE TEXT WHAT
    printf "$2" > "tree/$1"
    if layers > said; then echo "nothing found in $1"; exit 1; fi
    grep -qF -- "$3" said || { cat said; exit 1; }
    [ "$(wc -l < said)" = 1 ]
    rm "tree/$1"
}
broken base/up.c '/* up.c: x */\n#include "ir.h"\n' 'base/up.c:2: base/ includes "ir.h" of ir/, which it may not see'
broken codegen/side.c '/* side.c: x */\n#include "passes.h"\n' 'codegen/ includes "passes.h" of passes/'
broken ir/out.c '/* out.c: x */\n#include "../passes/passes.h"\n' 'leaves its folder'
broken passes/llvm.c '/* llvm.c: x */\n#include <llvm-c/Core.h>\n' 'only codegen/ may'
broken runtime/own.c '/* own.c: x */\n#include "base.h"\n' 'runtime/ includes "base.h"'
broken runtime/more.c '/* more.c: x */\n#include <zlib.h>\n' 'which is not a libc header'
broken ir/other.c '/* another.c: x */\n' 'expected an opening comment that begins with other.c'
broken ir/gone.h '/* gone.h: x */\n/* ---- gone.c ---- */\n' 'ir/gone.h:2: names gone.c, which is not there'
broken ir/wide.c "/* wide.c: x */\nint x = $(printf '%0120d' 1);\n" 'ir/wide.c:2: 129 columns; expected at most 128'
broken ir/deep.c "/* deep.c: x */\nint f(void) {\n$(yes 'f();' | head -69)\n}\n" 'ir/deep.c:2: 71 lines of a function; expected at most 70'
broken ir/long.c "/* long.c: x */\n$(yes ';' | head -1000)\n" 'ir/long.c:1002: 1001 lines; expected at most 1000'
layers
