# The tier v4-amx: its machine code and its C give one answer, emulated where the CPU has no tiles; a library of it alone says what is
# missing there, one of several tiers runs the next.  The default is left as it was.
. "$(dirname "$0")/common.bash"
"$INGOT" compile pair.graph --emit=llvm --quiet -o pair.ll 2>/dev/null || exit 77
tiers=v3,v4,v4-bf16,v4-amx
ingot compile digits.onnx --precision=bf16 --cpu=$tiers --threads -o libdigits.so
ingot compile digits.onnx --precision=bf16 --cpu=$tiers --threads --backend=c -o libdigits_c.so
"$INGOT" inspect libdigits.so | grep -q 'variants x86-64-v3, x86-64-v4, x86-64-v4-bf16, x86-64-v4-amx' || fail "inspect does not name the tier"
"$INGOT" compile digits.onnx --precision=bf16 --cpu=$tiers --print-schedule -o schedule.so > schedule 2>&1
grep -q 'on x86-64-v4-amx {template=matrix' schedule || fail "--print-schedule does not show the tier's template"
host amx -I"$ABI/../../include"
./amx ./libdigits.so ./libdigits_c.so > said || { [ $? = 77 ] && exit 77; fail "wrong answers"; }

# Without tiles: the message, and the other tiers.
if ! grep -q native said; then
    ingot compile digits.onnx --precision=bf16 --cpu=v4-amx -o libalone.so
    "$INGOT" run libalone.so --random -o out > message 2>&1 && fail "a machine without AMX ran its tier"
    grep -q 'this machine lacks amx-' message || fail "no message: $(cat message)"
    "$INGOT" run libdigits.so --random -o out > message 2>&1 || fail "several tiers: $(cat message)"
fi
ingot compile digits.onnx --precision=bf16 -o libdefault.so
! "$INGOT" inspect libdefault.so | grep -q amx || fail "the default has the tier"
