# Library and model in process give the same answer; inputs by name; sizes; interpreter.
. "$TESTS/cli/common.bash"
expect 0 '' "$INGOT" compile m.graph -o libm.so
expect 0 '' "$INGOT" run libm.so --dim batch=5 --seed=3 -o library
expect 0 '' "$INGOT" run m.graph --dim batch=5 --seed=3 -o process
expect 0 '' "$INGOT" run m.graph --dim batch=5 --seed=3 --backend=c -o tcc
cmp library/y.npy process/y.npy
cmp library/y.npy tcc/y.npy
expect 0 '' "$INGOT" verify libm.so --against m.graph
expect 0 '' "$INGOT" verify m.graph --backend=c
expect 2 "did you mean 'x'" "$INGOT" run libm.so X=library/y.npy
expect 2 "input 'w' is not given" "$INGOT" run libm.so x=library/y.npy
expect 0 '' "$INGOT" run libm.so x=library/y.npy --random
expect 2 'batch = 65, declared 1..64' "$INGOT" run libm.so --dim batch=65
expect 2 "did you mean 'batch'" "$INGOT" run libm.so --dim bach=5
expect 4 'cannot open' "$INGOT" run libm.so x=missing.npy --random
seq 100 > bad.npy
expect 1 'no .npy file' "$INGOT" run libm.so x=bad.npy --random
printf '\x93NUMPY\x01\x00\x46\x00%-69s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (999999999, 9999999), }" > huge.npy
expect 1 'too large' "$INGOT" run libm.so x=huge.npy --random
expect 0 '' "$INGOT" bench libm.so --repeat=20 --json
grep -q median_ms stdout
# Inputs that are given say the sizes of those that are not; numbers are whole and in range.
cat > two.graph <<'EOF'
graph @f(%1 "x": f32[batch,4], %2 "w": f32[batch,4]) where batch in [1,64] {
  %3 = add %1, %2
  return %3 "y"
}
EOF
expect 0 '' "$INGOT" run libm.so --dim batch=5 --random -o five
expect 0 '' "$INGOT" run two.graph x=five/y.npy --random
grep -qF 'y: f32[5,4]' stdout
expect 0 '' "$INGOT" run two.graph --random --seed 7 --json
python3 -c 'import json; r = json.load(open("stdout")); assert r["outputs"][0]["name"] == "y" and len(r["outputs"][0]["first"]) == 10'
mv stdout seven
expect 0 '' "$INGOT" run two.graph --random --seed=7 --json
cmp seven stdout
expect 0 '' "$INGOT" run two.graph --random --seed=8 --json
if cmp -s seven stdout; then exit 1; fi
for bad in --seed=x --seed=-1 --seed=1e30 --threads=0 --threads=257 --threads=2.5; do
    expect 2 'expected a whole number' "$INGOT" run two.graph --random $bad
done
expect 0 '' "$INGOT" run two.graph --random --threads 2
expect 2 'expected a whole number' "$INGOT" bench two.graph --repeat=0
expect 0 '' "$INGOT" bench two.graph --repeat=30 --jitter --threads 1,2
[ "$(grep -c 'p99.9 .*, max ' stdout)" = 2 ]
expect 2 'expected numbers from 1 to 256' "$INGOT" bench two.graph --threads=1,0
# Libraries that are cut off, or none, and models that share no inputs: one message each.
for bytes in 40 100 4000; do
    head -c $bytes libm.so > short.so
    expect 1 "short.so is no whole library: found $bytes bytes, expected at least " "$INGOT" run short.so --random
done
echo hello > text.so
expect 1 'is this an ONNX model?' "$INGOT" run text.so --random
expect 0 '' "$INGOT" compile two.graph -o libtwo.so
sed 's/"x"/"z"/' two.graph > other.graph
expect 1 "libtwo.so has no input 'z', which other.graph has" "$INGOT" verify libtwo.so --against other.graph
[ "$(wc -l < stderr)" = 1 ]
# A library called as a word of C is: its header still is C.
for name in int ingot; do
    expect 0 '' "$INGOT" compile m.graph -o lib$name.so
    grep -q "^ingot_status m_${name}_run(" m_$name.h
done
sed 's/"y"/"v"/' two.graph > other.graph
expect 1 "other.graph has no output 'y', which libtwo.so has" "$INGOT" verify libtwo.so --against other.graph
[ "$(wc -l < stderr)" = 1 ]
# What has no kernel of its own is copied into each result that asks for it.
cat > thrice.graph <<'EOT'
graph @f(%1 "x": f32[n,24]) where n in [1,64] {
  %2 = reshape %1 {shape=[24*n]}
  return %2 "a", %1 "b", %2 "c", %1 "d"
}
EOT
expect 0 '' "$INGOT" verify thrice.graph --dim n=2
expect 0 '' "$INGOT" verify thrice.graph --dim n=2 --backend=c
