# Row kernels: batches of sixteen rows and what is left of them, short rows and long, single rows; infinities, NaNs and both zeros
# among the largest and smallest; all on every backend, and the same bits whatever the schedule, the threads and the CPU.
. "$TESTS/cli/common.bash"
cat > r.graph <<'EOF'
graph @f(%1 "x": f32[n,c], %2 "z": f64[n,c], %3 "h": f16[n,3,c]) where n in [0,100], c in [0,700] {
  %4 = softmax %1 {axis=1}
  %5 = softmax %2 {axis=1}
  %6 = normalize %3 {axes=[1, 2], epsilon=1e-5}
  %7 = reduce_min %1 {axes=[1], order=16}
  %8 = reduce_max %2 {axes=[1], order=16}
  %9 = reduce_max %1 {axes=[0], order=1}
  %10 = reduce_min %3 {axes=[0, 1, 2], order=16}
  return %4 "a", %5 "b", %6 "c", %7 "d", %8 "e", %9 "f", %10 "g"
}
EOF
for sizes in n=1,c=1 n=16,c=16 n=17,c=10 n=50,c=129 n=3,c=600 n=0,c=4; do
    expect 0 '' "$INGOT" verify r.graph --dim $sizes
    expect 0 '' "$INGOT" verify r.graph --dim $sizes --backend=c
done
"$INGOT" compile r.graph --emit=schedule -o s
sed 's/tile_m=16/tile_m=1/' s > single
cmp -s s single && exit 1
"$INGOT" run r.graph --dim n=50,c=129 --seed=5 -o batched
for how in "--schedule=single" "--threads=3" "--cpu=v3"; do
    "$INGOT" run r.graph --dim n=50,c=129 --seed=5 $how -o other
    for y in a b c d e f g; do cmp batched/$y.npy other/$y.npy || { echo "$how changes $y"; exit 1; }; done
done
# Rows that are kept and go past the caches: one is stored while the next is reduced.  Two are kept here, from either pass on.
cat > b.graph <<'EOF'
graph @b(%1 "x": f32[n,2,c]) where n in [0,100], c in [0,700] {
  %2 = tanh %1
  %3 = reduce_sum %2 {axes=[2], order=32}
  %4 = broadcast %3 {shape=[n, 2, c], axes=[0, 1]}
  %5 = sub %2, %4
  %6 = exp %5
  %7 = reduce_max %6 {axes=[2], order=16}
  %8 = broadcast %7 {shape=[n, 2, c], axes=[0, 1]}
  %9 = div %6, %8
  %10 = mul %2, %8
  %11 = softmax %1 {axis=2}
  return %9 "y", %10 "z", %11 "s"
}
EOF
"$INGOT" compile b.graph --emit=schedule -o s
sed 's/tile_m=16/tile_m=1/; s/stream=0/stream=1/' s > behind
sed 's/tile_m=16/tile_m=1/' s > single
"$INGOT" compile b.graph --schedule=behind --emit=loop --cpu=v4 -o behind.loop
grep -q store_stream behind.loop
for sizes in n=0,c=4 n=1,c=1 n=1,c=600 n=2,c=64 n=50,c=129; do
    expect 0 '' "$INGOT" verify b.graph --dim $sizes --schedule=behind
    expect 0 '' "$INGOT" verify b.graph --dim $sizes --schedule=behind --backend=c
    "$INGOT" run b.graph --dim $sizes --seed=5 --schedule=single -o single.out
    for how in --threads=1 --threads=3 --cpu=v3; do
        "$INGOT" run b.graph --dim $sizes --seed=5 --schedule=behind $how -o other
        for y in y z s; do cmp single.out/$y.npy other/$y.npy || { echo "$how $sizes: stored behind, $y differs"; exit 1; }; done
    done
done
# Extremes of every kind, made while running from an input: NaNs of either sign, infinities, zeros of both signs.
cat > x.graph <<'EOF'
graph @x(%1 "s": f32[]) {
  %2 = const {data=f32 0, dtype=f32, shape=[]}
  %3 = mul %1, %2
  %4 = broadcast %3 {shape=[6, 5], axes=[]}
  %5 = const {data=f32 [1, -inf, 3, 4, -0, -0, -0, -0, -0, -0, -0, -0, 0, -0, -0, inf, 2, 1, 0, 1, -1, -2, -3, -4, 5, -5, 6, -6, 7, -7], dtype=f32, shape=[6, 5]}
  %6 = min %4, %5
  %7 = max %4, %5
  %8 = const {data=bool [false, false, true, false, false, false, false, false, false, false, false, false, false, false, false, false, false, false, false, true, false, false, false, false, false, false, false, false, false, false], dtype=bool, shape=[6, 5]}
  %9 = div %4, %4
  %10 = neg %9
  %11 = add %5, %4
  %12 = select %8, %9, %5
  %13 = select %8, %10, %11
  %14 = concat %6, %7, %12, %13, %5 {axis=0}
  %15 = reduce_max %14 {axes=[1], order=16}
  %16 = reduce_min %14 {axes=[1], order=16}
  %17 = reduce_max %14 {axes=[0], order=1}
  %18 = reduce_min %14 {axes=[0], order=1}
  %19 = const {data=f32 1, dtype=f32, shape=[30]}
  %20 = div %19, %15
  %21 = div %19, %16
  return %15 "most", %16 "least", %17 "down", %18 "low", %20 "sign", %21 "sign2"
}
EOF
expect 0 '' "$INGOT" verify x.graph
expect 0 '' "$INGOT" verify x.graph --backend=c
# An outer axis of extent 1 is read as views read it: what a reduction gave is one value a row, not computed for every element.
cat > one.graph <<'EOF'
graph @f(%1 "x": f32[1,8,600]) {
  %2 = normalize %1 {axes=[2], epsilon=1e-5}
  return %2 "y"
}
EOF
"$INGOT" compile one.graph --emit=loop --cpu=v4 -o one.loop
test "$(grep -c reduce_add one.loop)" = 2 || { echo "reductions inside the loops over a row"; exit 1; }
expect 0 '' "$INGOT" verify one.graph
# Rows that lie in the padding, whose last lanes are off in half a vector whatever the row: a mask that LLVM 19 takes for all on
# where it halves it (codegen/emit_llvm_memory.c).
cat > padded.graph <<'EOT'
graph @p(%1 "x": f32[n,72]) where n in [1,64] {
  %2 = const {data=f32 0, dtype=f32, shape=[]}
  %3 = pad %1, %2 {low=[2, 0], high=[0, 3], interior=[0, 0]}
  %4 = reduce_sum %3 {axes=[1], order=16}
  %5 = broadcast %4 {shape=[n+2, 75], axes=[0]}
  %6 = sub %3, %5
  return %4 "sum", %6 "apart"
}
EOT
for cpu in v3 v3,v4; do expect 0 '' "$INGOT" verify padded.graph --dim n=2 --cpu=$cpu; done
