# Reductions over axes before the last: blocks of columns and what is left of them, rows left over, several axes on either side, every
# order, narrow formats; on every backend, the same bits on several threads and CPUs.
. "$TESTS/cli/common.bash"
cat > c.graph <<'EOF'
graph @f(%1 "x": f32[r,c], %2 "y": f32[b,r,2,c], %3 "z": f64[r,3,c], %4 "h": f16[b,r,c], %5 "s": f32[c], %6 "i": i32[r,c]) where b in [1,4], r in [0,40], c in [0,3000] hint 64 {
  %7 = reduce_sum %1 {axes=[0], order=1}
  %8 = add %7, %5
  %9 = exp %2
  %10 = reduce_sum %9 {axes=[1], order=1}
  %11 = reduce_max %2 {axes=[0, 1], order=1}
  %12 = reduce_sum %3 {axes=[0], order=16}
  %13 = reduce_max %4 {axes=[1], order=4}
  %14 = reduce_min %6 {axes=[0], order=1}
  %15 = reduce_prod %2 {axes=[0, 2], order=1}
  %16 = reduce_min %4 {axes=[0, 1], order=2}
  return %8 "a", %10 "b", %11 "c", %12 "d", %13 "e", %14 "f", %15 "g", %16 "h"
}
EOF
"$INGOT" compile c.graph --emit=schedule -o s
[ "$(grep -c 'template=columns' s)" -ge 7 ]
for sizes in b=1,r=1,c=1 b=2,r=5,c=33 b=1,r=40,c=16 b=3,r=6,c=1025 b=1,r=0,c=40 b=1,r=4,c=0; do
    expect 0 '' "$INGOT" verify c.graph --dim $sizes
    expect 0 '' "$INGOT" verify c.graph --dim $sizes --backend=c
done
"$INGOT" run c.graph --dim b=2,r=9,c=2100 --seed=5 -o one
for how in "--threads=3" "--cpu=v3" "--backend=c"; do
    "$INGOT" run c.graph --dim b=2,r=9,c=2100 --seed=5 $how -o other
    for y in a b c d e f g h; do cmp one/$y.npy other/$y.npy || { echo "$how changes $y"; exit 1; }; done
done
