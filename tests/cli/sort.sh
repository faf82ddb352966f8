# Orders by keys, by insertion and by a heap are the reference's, with equal values and NaNs, along any axis, by every backend.
. "$TESTS/cli/common.bash"

sorts() { # TYPE AXIS LARGEST K [OPTION]: the K of an axis, and of floats (of which half are NaN) too
    local x=1 roots=''
    case $1 in f32*) x=2 roots='%2 = sqrt %1' ;; *) roots='%2 = add %1, %1' ;; esac
    cat > sort.graph <<EOF
graph @f(%1 "x": $1) where N in [0,2000] {
  $roots
  %3 = top_k %$x {value=$4, axis=$2, largest=$3}
  %4 = get %3 {index=0}
  %5 = get %3 {index=1}
  return %4 "values", %5 "places"
}
EOF
    for backend in '' --backend=c; do # the build's default, and C
        "$INGOT" verify sort.graph --quiet --ulp=0 $backend ${5-} >out 2>&1 ||
            { echo "$1, $4 of axis $2, largest=$3 $backend:" >&2; cat out >&2; exit 1; }
    done
}
sorts 'f32[3,1000]' 1 1 300
sorts 'f32[200,2]' 0 0 200
sorts 'i8[2,700,3]' 1 0 700
sorts 'i8[3,500]' 1 1 25
sorts 'f32[N,90]' 1 0 90 --dim=N=5
sorts 'i8[N,4]' 0 1 N --dim=N=129
sorts 'i8[N,4]' 0 0 N --dim=N=1
sorts 'f32[N,4]' 0 0 N --dim=N=0
# By keys: few of many, several cuts, bytes, other widths and orders; and what has no keys.
sorts 'f32[3,5000]' 1 1 7
sorts 'f32[2,700]' 1 0 40
sorts 'f32[300,5]' 0 1 150
sorts 'u8[2,1000]' 1 1 130
sorts 'i16[N,33]' 0 0 50 --dim=N=400
sorts 'f16[2,300]' 1 1 20
sorts 'i64[3,500]' 1 1 60
sorts 'f64[2,90]' 1 0 90
# Of elements found while running, the best of as many as there are, up to 300.
cat > found.graph <<'EOF'
graph @f(%1 "x": f32[N]) where N in [0,4000], count found in [0,4000] <= N {
  %2 = const {data=f32 0, dtype=f32, shape=[N]}
  %3 = lt %2, %1
  %4 = nonzero %3 {extent=count}
  %5 = permute %4 {perm=[1, 0]}
  %6 = gather_nd %1, %5 {batch=0}
  %7 = top_k %6 {value=count-max(count,300)+300, axis=0, largest=1}
  %8 = get %7 {index=0}
  %9 = get %7 {index=1}
  return %8 "values", %9 "places"
}
EOF
for n in 0 5 3000; do "$INGOT" verify found.graph --quiet --ulp=0 --dim=N=$n; done
