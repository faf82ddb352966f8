# Values along another axis than the result's last: squares of sixteen, and what is left over on either side, on every backend.
. "$TESTS/cli/common.bash"
cat > t.graph <<'EOF'
graph @f(%1 "x": f32[n,h,c], %2 "b": f32[c], %3 "i": i32[h,c], %8 "h": f16[n,h,c]) {
  %4 = permute %1 {perm=[0, 2, 1]}
  %5 = broadcast %2 {shape=[n, c, h], axes=[1]}
  %6 = add %4, %5
  %7 = permute %3 {perm=[1, 0]}
  %9 = convert %1 {dtype=bf16, saturate=1}
  %10 = permute %9 {perm=[0, 2, 1]}
  %11 = permute %8 {perm=[2, 0, 1]}
  %12 = exp %11
  return %6 "y", %7 "z", %10 "narrow", %12 "half"
}
EOF
expect 0 "" "$INGOT" compile t.graph --emit=schedule -o t.schedule
[ "$(grep -c template=transpose t.schedule)" -ge 4 ]
for sizes in n=2,h=33,c=47 n=1,h=16,c=16 n=3,h=1,c=64 n=2,h=64,c=5 n=1,h=1300,c=35 n=0,h=3,c=3; do
    expect 0 '' "$INGOT" verify t.graph --dim $sizes
    expect 0 '' "$INGOT" verify t.graph --dim $sizes --backend=c
done
"$INGOT" run t.graph --dim n=3,h=1300,c=100 --seed=5 -o one
for how in "--threads=3" "--cpu=v3"; do
    "$INGOT" run t.graph --dim n=3,h=1300,c=100 --seed=5 $how -o other
    for y in y z narrow half; do cmp one/$y.npy other/$y.npy || { echo "$how changes $y"; exit 1; }; done
done
