# A window of many positions along the lanes: right on every backend, and a loop rather than code for each position.
. "$TESTS/cli/common.bash"
cat > w.graph <<'EOF'
graph @f(%1 "x": f32[n,3,701]) {
  %2 = window_max %1 {low=[0, 1, 100], high=[0, 1, 100], window=[1, 3, 200], stride=[1, 1, 3], dilation=[1, 1, 2]}
  %3 = window_sum %1 {low=[0, 0, 8], high=[0, 0, 8], window=[1, 1, 70], stride=[1, 1, 2], dilation=[1, 1, 1]}
  return %2 "largest", %3 "sum"
}
EOF
expect 0 '' "$INGOT" verify w.graph
expect 0 '' "$INGOT" verify w.graph --backend=c
expect 0 '' "$INGOT" compile w.graph --emit=loop -o w.loop
lines=$(wc -l < w.loop)
[ "$lines" -lt 1500 ] || { echo "$lines lines of Loop IR" >&2; exit 1; }

# The largest of NaNs, infinities, and of none: where windows lie along the lanes, and where they do not.
cat > nan.graph <<'GRAPH'
graph @f(%1 "x": f32[n,9,37]) {
  %2 = sqrt %1
  %3 = window_max %2 {low=[0, 1, 1], high=[0, 1, 1], window=[1, 3, 3], stride=[1, 1, 2], dilation=[1, 1, 1]}
  %4 = window_max %2 {low=[0, 0, 0], high=[0, 0, 0], window=[1, 3, 1], stride=[1, 2, 1], dilation=[1, 1, 1]}
  %5 = neg %1
  %6 = window_max %5 {low=[0, 0, 4], high=[0, 0, 4], window=[1, 1, 2], stride=[1, 1, 1], dilation=[1, 1, 1]}
  return %3 "across", %4 "down", %6 "outside"
}
GRAPH
expect 0 '' "$INGOT" verify nan.graph --dim n=2
expect 0 '' "$INGOT" verify nan.graph --dim n=2 --backend=c
expect 0 '' "$INGOT" run nan.graph --dim n=2 --quiet -o own # by LLVM where it is there
for b in c interpreter; do
    expect 0 '' "$INGOT" run nan.graph --dim n=2 --backend=$b --quiet -o $b
    for y in across down outside; do cmp own/$y.npy $b/$y.npy; done
done
