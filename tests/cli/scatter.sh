# Scatters: places that move along axes of several extents, single elements, every way to combine, duplicates in order; on every
# backend, symbolic and fixed.
. "$TESTS/cli/common.bash"
cat > s.graph <<'EOF'
graph @f(%1 "x": f32[4,n], %2 "i": i64[m,1], %3 "u": f32[m,n], %4 "y": f16[3,n,2], %5 "v": f16[m,n,2], %6 "j": i64[m,2],
         %7 "w": f32[m], %8 "z": i64[4,n], %9 "k": i64[m,n]) where n in [0,100], m in [0,50] {
  %10 = scatter_nd %1, %2, %3 {combine="add"}
  %11 = scatter_nd %4, %2, %5 {combine="set"}
  %12 = scatter_nd %1, %6, %7 {combine="max"}
  %13 = scatter_nd %8, %2, %9 {combine="mul"}
  %14 = scatter_nd %1, %2, %3 {combine="min"}
  return %10 "a", %11 "b", %12 "c", %13 "d", %14 "e"
}
EOF
for sizes in n=2,m=7 n=16,m=9 n=33,m=20 n=100,m=50 n=3,m=0; do
    expect 0 '' "$INGOT" verify s.graph --dim $sizes
    expect 0 '' "$INGOT" verify s.graph --dim $sizes --backend=c
done
