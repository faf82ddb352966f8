# One library, several CPUs: weights and host program once, AVX in kernels alone, a tier chosen at create or asked for; the same
# through every kind of output and through the text of Loop IR.
. "$(dirname "$0")/common.bash"
ingot compile digits.onnx -o libdigits.so
cp libdigits.so first.so
ingot compile digits.onnx --cpu=v3 --name=alone -o libalone.so
head -n 5 digits.h | grep -q 'needs .*fma.*avx2.*; variants x86-64-v3, x86-64-v4; numerics' || fail "the header does not name the tiers"
"$INGOT" inspect libdigits.so | grep -qx '  variants x86-64-v3, x86-64-v4' || fail "inspect does not name the tiers"
"$INGOT" inspect libdigits.so --json | grep -q '"variants": \["x86-64-v3", "x86-64-v4"\]' || fail "inspect --json does not name the tiers"

weights=$("$INGOT" inspect libdigits.so --json | sed -n 's/.*"weights_bytes": \([0-9]*\),.*/\1/p')
both=$(stat -c %s libdigits.so) alone=$(stat -c %s libalone.so)
[ $((both - alone)) -lt "$weights" ] || fail "two tiers take $both bytes, one $alone: are the $weights bytes of weights there twice?"

# The order of the list and the spelling of its names do not matter; nor does the way through the text.
for cpu in v4,v3 x86-64-v3,x86-64-v4 v3,v3,v4; do
    ingot compile digits.onnx --cpu=$cpu -o libdigits.so
    cmp libdigits.so first.so || fail "--cpu=$cpu differs from the default"
done
ingot compile digits.onnx --emit=loop --name=digits -o m.loop
grep -q '^kernel @digits_k[0-9]*_v4(.* variant of @digits_k[0-9]* for "x86-64-v4" {' m.loop || fail "no variant with a text of its own"
grep -q '^kernel @digits_k[0-9]*_v4 variant of @digits_k[0-9]* for "x86-64-v4"$' m.loop || fail "no variant that shares its text"
for name in bind plan main; do [ "$(grep -c "^[a-z]* @digits_$name(" m.loop)" = 1 ] || fail "$name is not there once"; done
ingot compile m.loop -o libdigits.so
cmp libdigits.so first.so || fail "the way through Loop IR gives another library"
ingot compile digits.onnx --name=digits -o direct.a
ingot compile m.loop -o read.a
cmp direct.a read.a || fail "the way through Loop IR gives another archive"

# Whoever lacks the tiers is to get a message: nothing that runs before may use them.
ingot compile digits.onnx --name=digits -o digits.o
if command -v objdump >/dev/null && "$INGOT" compile pair.graph --emit=llvm --quiet -o pair.ll 2>/dev/null; then
    objdump -d --no-show-raw-insn digits.o | awk '/^[0-9a-f]+ </ {f = $2} /[yz]mm|\tv[a-z]/ && f !~ /_k[0-9]/ {print f}' | sort -u > avx
    [ ! -s avx ] || fail "functions that are no kernels use AVX: $(xargs < avx)"
fi

# One answer: on every tier, linked statically, through C on every CPU and through tcc.
host tiers
./tiers ./first.so ./libalone.so > expected
# answers COMPILER SOURCE...: of a program of the compiler that has digits in it.
answers() {
    local compiler=$1
    shift
    "$compiler" -w -I. -I"$ABI" -DLINKED "$ABI/tiers.c" "$@" -o linked -ldl -lpthread -lm
    ./linked > found
    cmp found expected || fail "$compiler $*: other answers than the shared library"
}
ingot compile digits.onnx --name=digits -o digits.a
ingot compile digits.onnx --name=digits --emit=c -o digits.c
answers cc -std=gnu99 -O1 digits.a
answers cc -std=gnu99 -O1 digits.o
for march in x86-64 x86-64-v3 x86-64-v4; do
    if [ $march = x86-64-v4 ] && ! grep -qw avx512vl /proc/cpuinfo; then continue; fi
    answers cc -std=gnu99 -O1 -march=$march digits.c
done
! command -v tcc >/dev/null || answers tcc digits.c

# Products in bf16: a tier that has instructions for them gives the bits of those that have not.
ingot compile digits.onnx --precision=bf16 -o libnarrow.so
ingot compile digits.onnx --precision=bf16 --backend=c -o libnarrow_c.so
[ "$("$INGOT" inspect libnarrow.so --json | sed -n 's/.*"weights_bytes": \([0-9]*\),.*/\1/p')" -lt $((weights * 2 / 3)) ] || fail "weights in bf16 are too large"
./tiers ./libnarrow.so > found
./tiers ./libnarrow_c.so > expected
cmp found expected || fail "the C backend gives other bits in bf16"
