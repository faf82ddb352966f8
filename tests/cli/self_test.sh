# --self-test: runs made when compiling are repeated by the library, whatever backend and form it has, and find damage.
. "$TESTS/cli/common.bash"
digits=$TESTS/../examples/digits/digits.onnx
backends=c
if "$INGOT" compile m.graph -o m.ll 2>/dev/null; then backends="llvm c"; fi
"$INGOT" compile "$digits" -o libplain.so
expect 2 'a library without self-tests needs something to compare with' "$INGOT" verify libplain.so
for backend in $backends; do
    expect 0 '' "$INGOT" compile "$digits" --dim batch=1..64 --self-test=5 --backend=$backend -o libdigits.so
    expect 0 '' "$INGOT" verify libdigits.so
    grep -qx 'self-test passed' stdout
    expect 0 '' "$INGOT" compile "$digits" --dim batch=1..64 --self-test=5 --threads --backend=$backend -o libdigits.so
    expect 0 '' "$INGOT" verify libdigits.so --threads=2 --json
    python3 -c 'import json; assert json.load(open("stdout")) == [{"self_test": "passed"}]'
    expect 0 '' "$INGOT" inspect libdigits.so --json
    grep -q '"self_test": true' stdout
    # The hashes do not depend on who computed them.
    "$INGOT" compile "$digits" --dim batch=1..64 --self-test=5 --backend=$backend --emit=loop --name=d -o $backend.loop
    cmp $backend.loop ${backends%% *}.loop
    cmp $backend.loop.bin ${backends%% *}.loop.bin
done
"$INGOT" compile c.loop -o libc.so
expect 0 '' "$INGOT" verify libc.so

# Damaged weights are found: many in the middle of them.
python3 - <<'EOT'
b = bytearray(open("libc.so", "rb").read())
weights = open("c.loop.bin", "rb").read() # nothing else is as large; 64 bytes of its middle without zeros of padding
at = next(b.find(weights[i:i + 64]) for i in range(len(weights) // 2, len(weights), 64) if weights[i:i + 64].count(0) < 4)
assert at > 0
for i in range(at + 3, at + 8192, 4): b[i] ^= 0x40 # the tops of exponents
open("libbroken.so", "wb").write(b)
EOT
expect 1 '' "$INGOT" verify libbroken.so
grep -q 'self-test failed: self-test 1 of 5: the outputs are not those' stdout
expect 1 '' "$INGOT" verify libbroken.so --json
python3 -c 'import json; r = json.load(open("stdout"))[0]; assert r["self_test"] == "failed" and "outputs are not those" in r["why"]'

# Weights outside, and models with indices, data-dependent results and sizes among the elements of an input.
expect 0 '' "$INGOT" compile "$digits" --self-test=2 --weights=file --name=apart -o libapart.so
expect 0 '' "$INGOT" verify libapart.so
cat > mixed.graph <<'EOT'
graph @mixed(%1 "x": f16[n,8], %2 "i": i64[k], %3 "flag": bool[n,8]) where n in [1,64], k in [0,9] {
  %4 = gather %1, %2 {axis=1, batch=0}
  %5 = select %3, %1, %1
  return %4 "picked", %5 "same"
}
EOT
expect 0 '' "$INGOT" compile mixed.graph --self-test=4 -o libmixed.so
expect 0 '' "$INGOT" verify libmixed.so

# The C file, with a C compiler, through the ABI.
if command -v cc >/dev/null; then
    "$INGOT" compile "$digits" --dim batch=1..64 --self-test=2 -o digits.c
    cat > host.c <<'EOT'
#include "digits.h"
#include <stdio.h>
int main(void) {
    const ingot_model *m = digits_model();
    ingot_context *c;
    ingot_error e;
    if (!m->self_test) return 2;
    if (m->create(m, NULL, &c, &e) || m->self_test(c, &e)) return puts(e.text), 1;
    m->destroy(c);
    return 0;
}
EOT
    cc -std=c99 -O1 -w host.c digits.c -lm -o host
    ./host
fi
expect 2 'self-tests: drop one of the two' "$INGOT" compile "$digits" --self-test=1 --freestanding -o libx.so
expect 2 'self-tests are fixed in it' "$INGOT" compile c.loop --self-test=1 -o libx.so
expect 2 'from 1 to 1000' "$INGOT" compile "$digits" --self-test=0 -o libx.so
