# Chains of order 1 along the last axis: sixteen rows at once, transposed in registers, and what is left of rows and of chains;
# something pointwise before and behind; the same bits on every backend, CPU and number of threads, and as the chain over columns.
. "$TESTS/cli/common.bash"
cat > c.graph <<'EOF'
graph @f(%1 "x": f32[b,h,w,c], %2 "m": f32[b,h,w,1]) where b in [1,4], h in [0,9], w in [0,40] hint 32, c in [0,70] hint 48 {
  %3 = reduce_sum %1 {axes=[3], order=1}
  %4 = broadcast %2 {shape=[b, h, w, c], axes=[0, 1, 2, 3]}
  %5 = sub %1, %4
  %6 = mul %5, %5
  %7 = reduce_sum %6 {axes=[3], order=1}
  %8 = sqrt %7
  %9 = reduce_max %1 {axes=[3], order=1}
  %10 = permute %1 {perm=[3, 0, 1, 2]}
  %11 = reduce_sum %10 {axes=[0], order=1}
  return %3 "a", %8 "b", %9 "c", %11 "d"
}
EOF
"$INGOT" compile c.graph --emit=loop -o l
grep -q shuffle l
for sizes in b=1,h=1,w=1,c=1 b=2,h=4,w=16,c=48 b=1,h=3,w=33,c=35 b=1,h=0,w=4,c=16 b=1,h=2,w=17,c=0; do
    expect 0 '' "$INGOT" verify c.graph --dim $sizes
    expect 0 '' "$INGOT" verify c.graph --dim $sizes --backend=c
done
"$INGOT" run c.graph --dim b=2,h=5,w=21,c=53 --seed=5 -o one
cmp one/a.npy one/d.npy
for how in "--threads=3" "--cpu=v3" "--backend=c"; do
    "$INGOT" run c.graph --dim b=2,h=5,w=21,c=53 --seed=5 $how -o other
    for y in a b c d; do cmp one/$y.npy other/$y.npy || { echo "$how changes $y"; exit 1; }; done
done
