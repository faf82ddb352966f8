# tune: writes a schedule that --schedule takes and that changes no bit, within its time; a budget too small gives the default.
. "$TESTS/cli/common.bash"
digits=$TESTS/../examples/digits/digits.onnx
backend=c
if "$INGOT" compile m.graph -o m.ll 2>/dev/null; then backend=llvm; fi
"$INGOT" run "$digits" --dim batch=37 --seed=3 -o wanted
for threads in 1 2; do
    for seconds in 8 32 128; do # a slow machine measures nothing in a few
        expect 0 '' "$INGOT" tune "$digits" -o tuned --dim batch=1..40 --time=$seconds --threads=$threads --backend=$backend
        if ! grep -q ' after 0 candidates' stdout; then break; fi
    done
    grep -q '^[0-9]* of [0-9]* kernels changed after [0-9]* candidates each; time of all kernels [0-9.]* % of the default' stdout
    head -1 tuned | grep -q "^# ingot tune: digits on x86-64-v[34].*, $threads thread"
    changed=$(sed 's/ of .*//' stdout)
    [ "$(grep -vc '^#' tuned || true)" = "$changed" ]
    [ ! -e tuned.part ]
    candidates=$(sed 's/.* after \([0-9]*\) .*/\1/' stdout)
    [ "$candidates" -ge 1 ]
    for t in 1 2; do
        expect 0 '' "$INGOT" run "$digits" --dim batch=37 --seed=3 --threads=$t --schedule=tuned -o got
        cmp wanted/probability.npy got/probability.npy
    done
    expect 0 '' "$INGOT" compile "$digits" --schedule=tuned -o libtuned.so
done
# Kernels of text IR without locations, and of regions; sizes found while running; C alone.
cat > parts.graph <<'EOT'
graph @f(%1 "x": f32[n,8], %2 "w": f32[8,8]) where n in [1,64] {
  %3 = dot %1, %2 {batch=0, chunk=512}
  %4 = exp %3
  %5 = dot %4, %2 {batch=0, chunk=512}
  return %5 "y"
}
EOT
"$INGOT" run parts.graph --dim n=9 --seed=5 -o wanted
expect 0 '' "$INGOT" tune parts.graph -o tuned --time=2s --backend=c
expect 0 '' "$INGOT" run parts.graph --dim n=9 --seed=5 --schedule=tuned -o got
cmp wanted/y.npy got/y.npy
# No time: the default, and a file that says so.
expect 0 '' "$INGOT" tune "$digits" -o none --time=0.001
grep -q '^0 of [0-9]* kernels changed after 0 candidates each; time of all kernels 100.0 % of the default' stdout
[ "$(wc -l < none)" = 1 ]
expect 0 '' "$INGOT" compile "$digits" --schedule=none -o libnone.so
# Mistakes; nothing stays behind.
expect 2 'where to? say -o FILE' "$INGOT" tune "$digits"
expect 2 'expected one model' "$INGOT" tune -o x
expect 2 '--time=soon: expected a time such as 60s or 5m' "$INGOT" tune "$digits" -o x --time=soon
expect 2 '--time=0: expected a time such as 60s or 5m' "$INGOT" tune "$digits" -o x --time=0
expect 2 '--threads=no: expected a whole number from 1 to 256' "$INGOT" tune "$digits" -o x --threads=no
expect 4 "cannot write 'missing/x'" "$INGOT" tune "$digits" -o missing/x
expect 4 "missing.onnx" "$INGOT" tune missing.onnx -o x
expect 2 'the interpreter has no schedules' "$INGOT" tune "$digits" -o x --backend=interpreter
"$INGOT" compile "$digits" -o libdigits.so
expect 1 'libdigits.so is a library, whose schedules are fixed' "$INGOT" tune libdigits.so -o x
expect 2 "no dim 'bach' (did you mean 'batch'?)" "$INGOT" tune "$digits" -o x --dim bach=3
[ ! -e x ]
[ ! -e x.part ]
echo old > kept
expect 2 'expected a number' "$INGOT" tune "$digits" -o kept --dim batch=x
[ "$(cat kept)" = old ]
[ ! -e kept.part ]
