# Operands of a short last axis, repeated all along: vectors hold several turns of it, with what is left over, by every backend.
. "$TESTS/cli/common.bash"

repeats() { # LAST SHAPE
    cat > repeats.graph <<GRAPH
graph @f(%1 "x": f32[$2,$1], %2 "m": f32[1,1,$1], %3 "s": f32[1,1,$1]) where N in [1,99] {
  %4 = broadcast %2 {shape=[$2,$1], axes=[0,1,2]}
  %5 = broadcast %3 {shape=[$2,$1], axes=[0,1,2]}
  %6 = sub %1, %4
  %7 = mul %6, %5
  return %7 "y"
}
GRAPH
    for backend in '' --backend=c; do
        "$INGOT" verify repeats.graph --quiet --ulp=0 $backend ${3-} >out 2>&1 ||
            { echo "last axis $1 of [$2,$1] $backend:" >&2; cat out >&2; exit 1; }
    done
}
repeats 8 9,131
repeats 4 N,7 --dim=N=5
repeats 2 1,1500
repeats 3 5,77

# Eight channels are one loop over all elements; the vectors of three channels keep to their pixels.
"$INGOT" compile repeats.graph --cpu=v4 --emit=loop -o three.loop
sed -i 's/,3\]/,8]/g' repeats.graph
"$INGOT" compile repeats.graph --cpu=v4 --emit=loop -o eight.loop
grep -q 'gather %in1' eight.loop
! grep -q 'gather %in1' three.loop || exit 1
