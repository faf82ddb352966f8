# libingot exports ingot_* alone, and a C program compiles and runs a model with it.
. "$TESTS/cli/common.bash"
library=$(dirname "$INGOT")/libingot.a
[ -f "$library" ] || exit 77
command -v cc >/dev/null && command -v nm >/dev/null || exit 77
if nm -g --defined-only "$library" | grep -E ' [A-Z] ' | grep -v ' ingot_'; then exit 1; fi
cat > host.c <<'EOF'
#include "ingot.h"
#include <stdio.h>
int main(void) {
    const ingot_model *m;
    ingot_error e;
    if (ingot_jit_file("m.graph", NULL, &m, &e)) return puts(e.text), 1;
    printf("%s %u\n", m->name, (unsigned)m->entries[0]->n_inputs);
    ingot_jit_close(m);
    return 0;
}
EOF
libraries="-lm -lpthread -ldl"
if nm "$library" | grep ' U LLVM' >list; then libraries="$(llvm-config-19 --libs --ldflags 2>/dev/null | tr '\n' ' ') $libraries"; fi
if nm "$library" | grep ' U tcc_' >list; then libraries="-ltcc $libraries"; fi
cc -std=c99 -Wall -Wextra -Werror host.c -I"$TESTS/../include" "$library" $libraries -o host
[ "$(./host)" = 'm 2' ]
