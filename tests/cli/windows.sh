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
