# Joints along the last axis: wide parts are copied by loops of their own, narrow ones lane by lane; nested, and with pads and steps.
. "$TESTS/cli/common.bash"
cat > j.graph <<'EOF'
graph @f(%1 "x": f32[n,64], %2 "y": f32[n,17], %3 "z": f32[n,48], %4 "w": f32[n,5]) where n in [0,9] {
  %5 = const {data=f32 2, dtype=f32, shape=[]}
  %6 = concat %1, %2, %3 {axis=1}
  %7 = exp %6
  %8 = concat %4, %1, %4 {axis=1}
  %9 = pad %3, %5 {low=[0, 32], high=[0, 20], interior=[0, 0]}
  %10 = concat %6, %9 {axis=1}
  %11 = neg %10
  %12 = pad %3, %5 {low=[1, 16], high=[2, 0], interior=[0, 1]}
  %13 = pad %1, %5 {low=[0, -16], high=[0, 31], interior=[0, 0]}
  %14 = slice %6 {shape=[n, 100], start=[0, 20], step=[1, 1]}
  return %7 "a", %8 "b", %9 "c", %11 "d", %12 "e", %13 "f", %14 "g"
}
EOF
for n in 0 1 3; do
    expect 0 '' "$INGOT" verify j.graph --dim n=$n
    expect 0 '' "$INGOT" verify j.graph --dim n=$n --backend=c
done
"$INGOT" compile j.graph --emit=loop --name=j -o j.loop
[ "$(sed -n '/kernel @j_k0/,/^}/p' j.loop | grep -c 'for ')" -ge 4 ] # rows, and three parts
