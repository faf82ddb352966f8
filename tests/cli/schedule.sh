# --print-schedule and --schedule: what is printed changes nothing; numbers are applied and change no bit; mistakes have a place.
. "$TESTS/cli/common.bash"
digits=$TESTS/../examples/digits/digits.onnx
backends=c
if "$INGOT" compile m.graph -o m.ll 2>/dev/null; then backends="llvm c"; fi
expect 0 '' "$INGOT" compile "$digits" --print-schedule
mv stdout s
grep -q "^\"digits.onnx: node 'conv1' (Conv), node 'relu1' (Relu)\" on x86-64-v3 {template=convolution, tile_m=" s
grep -q "^\"digits.onnx: node 'conv1' (Conv), node 'relu1' (Relu)\" on x86-64-v4 {template=convolution, tile_m=" s
grep -q "node 'pool' (MaxPool)\" #2 {" s
grep -q "(Softmax)\" {template=row, tile_m=16, vectors=1, grain=[0-9]*, stage=[1-9]" s
expect 0 '' "$INGOT" compile "$digits" --emit=schedule -o two.schedule
cmp s two.schedule
expect 0 '' "$INGOT" compile "$digits" --emit=loop --name=m -o plain.loop --print-schedule
cmp s stdout
expect 0 '' "$INGOT" compile "$digits" --emit=loop --name=m -o same.loop --schedule=s
cmp plain.loop same.loop

# Every field, at its ends and between: another program, the same bits, on every backend, also on two threads.
"$INGOT" run "$digits" --dim batch=37 --seed=3 -o wanted
set_all() { # FIELD=VALUE...: wherever a template takes it
    cp s changed
    for change in "$@"; do sed -i "s/\b${change%%=*}=[0-9]*/$change/" changed; done
    if cmp -s s changed; then echo "nothing takes $*"; return 1; fi
}
for change in lanes=1 lanes=128 "tile_m=1 tile_n=1" "tile_m=16 tile_n=4" "tile_m=3 tile_n=2 block_m=7" block_m=1 block_m=2147483647 grain=1 \
    grain=2147483647 stage=0 stage=32 stage=96 stream=1 "stream=1 far=500" "stream=1 far=5000000000" vectors=0 tile_m=1; do
    set_all $change
    expect 0 '' "$INGOT" compile "$digits" --emit=loop --name=m -o changed.loop --schedule=changed --verify-each
    if cmp -s plain.loop changed.loop; then echo "$change has no effect"; exit 1; fi
    for backend in $backends; do
        expect 0 '' "$INGOT" run "$digits" --dim batch=37 --seed=3 --backend=$backend --threads=2 --schedule=changed -o got
        cmp wanted/probability.npy got/probability.npy || { echo "$change changes bits through $backend"; exit 1; }
    done
done
# A few kernels alone, with comments; what is not given stays.
cat > few <<'EOT'
# the second pool, and dense2

"digits.onnx: node 'pool' (MaxPool)" #2 { grain = 77 }   # blanks do not matter
"digits.onnx: node 'dense2' (Gemm)" {tile_m=2}
EOT
expect 0 '' "$INGOT" compile "$digits" --print-schedule --schedule=few
diff s stdout > changes && exit 1
[ "$(grep -c '^>' changes)" = 3 ] # dense2 has other numbers on another CPU; a line without one is for all
grep -q '^> .*#2 {template=transpose, grain=77, stream=0, far=0}$' changes
grep -q '^> .*dense2.* on x86-64-v3 {template=contraction, tile_m=2, tile_n=1,' changes
grep -q '^> .*dense2.* on x86-64-v4 {template=contraction, tile_m=2, tile_n=1,' changes
# One CPU alone; one that is not compiled for.
echo "\"digits.onnx: node 'dense2' (Gemm)\" on v4 {tile_m=3}" > v4
expect 0 '' "$INGOT" compile "$digits" --print-schedule --schedule=v4
diff s stdout > changes && exit 1
[ "$(grep -c '^>' changes)" = 1 ]
grep -q '^> .*dense2.* on x86-64-v4 {template=contraction, tile_m=3,' changes
"$INGOT" compile "$digits" --cpu=v3 --print-schedule > plain
expect 0 '' "$INGOT" compile "$digits" --cpu=v3 --print-schedule --schedule=v4
cmp plain stdout
# It is in the text of the graph, and goes on from there.
expect 0 '' "$INGOT" compile "$digits" --stop-after=schedule --schedule=few -o few.graph
grep -q 'grain=77' few.graph
expect 2 'few has nothing to override: pass schedule does not run' "$INGOT" compile "$digits" --stop-after=fuse --schedule=few -o x.graph
"$INGOT" compile "$digits" --stop-after=plan -o planned.graph
expect 2 'few has nothing to override: the graph is planned already' "$INGOT" compile planned.graph --schedule=few -o x.so
expect 2 'schedules, profile and self-tests are fixed in it' "$INGOT" compile plain.loop --schedule=few -o x.so
expect 4 "cannot open 'missing'" "$INGOT" compile "$digits" --schedule=missing -o x.so
expect 2 'cannot go there as well' "$INGOT" compile "$digits" --print-schedule --emit=c -o -
# What a text says beyond that is refused, where its schedules are kept.
for number in lanes=3 lanes=-9223372036854775808 lanes=256 tile_m=99 grain=4294967296; do
    sed "s/ ${number%=*}=[0-9]*/ $number/" planned.graph > impossible.graph
    cp planned.graph.bin impossible.graph.bin
    expect 1 'the graph in impossible.graph is not well-formed' "$INGOT" compile impossible.graph -o x.so
    grep -q "verify: a schedule of .digits. is impossible: %[0-9]* has $number, expected" stderr
done

wrong() { # MESSAGE LINE
    printf '%s\n' '# first' "$2" > bad
    expect 2 "$1" "$INGOT" compile "$digits" --schedule=bad -o x.so
    [ "$(cat stderr)" = "$1" ] || { echo "expected exactly $1, found"; cat stderr; return 1; }
    [ ! -e x.so ]
}
dense="\"digits.onnx: node 'dense2' (Gemm)\""
pool="\"digits.onnx: node 'pool' (MaxPool)\""
softmax="\"digits.onnx: node 'softmax' (Softmax)\""
wrong "bad:2:38: error: tile_m = 17, expected 1..16" "$dense {tile_m=17}"
wrong "bad:2:38: error: tile_m = 0, expected 1..16" "$dense {tile_m=0}"
wrong "bad:2:48: error: stream = 2, which names results that are not there: expected bits of 1" "$pool {grain=1, stream=2}"
wrong "bad:2:45: error: the number is too large" "$dense {tile_m=99999999999999999999}"
wrong "bad:2:45: error: expected a number" "$dense {tile_m=-1}"
wrong "bad:2:39: error: lanes = 12, expected a power of two" "$pool {lanes=12}"
wrong "bad:2:42: error: stage = 2, which names nodes that cannot be kept: expected bits of 96" "$softmax {stage=2}"
wrong "bad:2:38: error: template contraction takes no 'lanes'; it takes tile_m tile_n block_m block_n vectors place turn grain" "$dense {lanes=4}"
wrong "bad:2:38: error: template contraction takes no 'tile_k' (did you mean 'tile_m'?); it takes tile_m tile_n block_m block_n vectors place turn grain" "$dense {tile_k=4}"
wrong "bad:2:38: error: template contraction takes no 'block_k'; it takes tile_m tile_n block_m block_n vectors place turn grain" "$dense {block_k=4}"
wrong "bad:2:47: error: the kernel's template is contraction, which what it computes decides; found 'map'" "$dense {template=map}"
wrong "bad:2:1: error: there is no kernel #3 of these nodes: they have 2" "$pool #3 {grain=1}"
wrong "bad:2:1: error: no kernel comes from these nodes (did you mean \"digits.onnx: node 'dense2' (Gemm)\"?); --print-schedule lists all" "\"digits.onnx: node 'dense3' (Gemm)\" {grain=1}"
wrong "bad:2:1: error: expected '\"' and the nodes that a kernel comes from, as --print-schedule has them" 'dense2 {grain=1}'
wrong "bad:2:40: error: unknown cpu 'v9'" "$dense on v9 {grain=1}"
wrong "bad:2:46: error: expected ',' or '}' behind a field" "$dense {grain=1 tile_m=2}"
wrong "bad:2:47: error: expected the end of the line" "$dense {grain=1} x"
printf '%s\n' "$dense {grain=1}" "$dense {grain=2}" "$dense {lanes=1}" > bad
expect 2 'bad:2:1: error: this kernel is given already, at bad:1:1' "$INGOT" compile "$digits" --schedule=bad -o x.so
[ "$(wc -l < stderr)" = 2 ] # the first two are one kernel's, and the third line is told as well
# A tile lies in one group of a convolution.
cat > groups.graph <<'EOT'
graph @g(%1 "x": f32[n,3,3,4]) where n in [1,64] {
  %4 = const {data=f32 [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128], dtype=f32, shape=[1, 1, 2, 64]}
  %5 = conv %1, %4 {low=[0, 0], high=[0, 0], stride=[1, 1], dilation=[1, 1], groups=2, chunk=512} @ "m: node 'c' (Conv)"
  return %5 "y"
}
EOT
expect 0 '' "$INGOT" compile groups.graph --print-schedule
grep -q "^\"m: node 'c' (Conv)\" .*{template=convolution, " stdout
"$INGOT" run groups.graph -o wanted
echo "\"m: node 'c' (Conv)\" {tile_n=1, tile_m=2}" > fits
expect 0 '' "$INGOT" run groups.graph --schedule=fits -o got
cmp wanted/y.npy got/y.npy
echo "\"m: node 'c' (Conv)\" {tile_n=4}" > spans
expect 2 'spans:1:23: error: tile_n = 4, panels of which do not divide the groups of the convolution' "$INGOT" run groups.graph --schedule=spans

# Past the caches or not, by sizes.
cat > sizes.graph <<'EOF'
graph @f(%1 "x": f32[N,40]) where N in [0,64] {
  %2 = exp %1
  %3 = reduce_sum %2 {axes=[1], order=16}
  return %2 "e", %3 "s"
}
EOF
expect 0 '' "$INGOT" compile sizes.graph --print-schedule
sed 's/}$/, stream=1, far=3200}/; s/stream=[0-9]*, far=0, //' stdout > far.schedule
grep -q 'far=3200' far.schedule
for rows in 7 20 64; do
    expect 0 '' "$INGOT" verify sizes.graph --dim N=$rows --schedule far.schedule
    expect 0 '' "$INGOT" verify sizes.graph --dim N=$rows --schedule far.schedule --backend=c
done
expect 0 '' "$INGOT" compile sizes.graph --schedule far.schedule --emit=c -o far.c
grep -q stream_ far.c
