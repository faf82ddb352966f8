# The static library, the object and the C file link into a program with the typed header; two models link into one.
. "$TESTS/cli/common.bash"
command -v cc >/dev/null || exit 77
cat > main.c <<'EOF'
#include "m.h"
#include "n.h"
#include <stdio.h>
#include <string.h>
int main(void) {
    float x[8] = {1, 0, 0, 0, 0, 1, 0, 0}, w[16] = {0}, y[8], z[8];
    m *a;
    n *b;
    m_io io;
    n_io jo;
    ingot_error e;
    memset(&io, 0, sizeof io);
    memset(&jo, 0, sizeof jo);
    io.batch = jo.batch = 2, io.x = jo.x = x, io.w = jo.w = w, io.y = y, jo.y = z;
    if (m_create(M_SIGNATURE, NULL, &a, &e) || n_create(N_SIGNATURE, NULL, &b, &e) || m_run(a, &io, &e) || n_run(b, &jo, &e)) return puts(e.text), 1;
    for (int i = 0; i < 8; i++)
        if (y[i] != 1 || z[i] != 1) return 2;
    io.batch = 65;
    if (m_run(a, &io, &e) != INGOT_E_SHAPE) return 3;
    m_destroy(a);
    n_destroy(b);
    return 0;
}
EOF
for kind in a o c; do
    "$INGOT" compile m.graph --name=m -o m.$kind
    "$INGOT" compile m.graph --name=n -o n.$kind
    cc -std=gnu99 -w -O1 main.c m.$kind n.$kind -I. -lm -o program
    ./program
done
"$INGOT" compile m.graph --name=m -o libm_.so
"$INGOT" compile m.graph --name=n -o libn_.so
cc -std=c99 main.c ./libm_.so ./libn_.so -I. -Wl,-rpath,. -o program
./program
if command -v c++ >/dev/null; then printf '#include "m.h"\nint main() { return 0; }\n' > h.cpp && c++ -std=c++11 -Wall -Wextra -Werror -pedantic -fsyntax-only -I. h.cpp; fi
