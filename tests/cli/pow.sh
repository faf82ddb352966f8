# Powers with constant exponents: products and roots where they serve, within the bound of pow, at all ends of the range.
. "$TESTS/cli/common.bash"
powers() { # ULP EXPONENT..
n=10 ulp=$1
shift
{
    echo 'graph @f(%1 "x": f32[n], %2 "z": f64[n]) where n in [1,600] {'
    echo '  %3 = const {data=f32 [0, -0, 1, -1, inf, -inf, nan, 1e-45, -1e-45, 3e38, -3e38, 1e-38, -1e-20, 1e13, 2, -0.5], dtype=f32, shape=[16]}'
    echo '  %5 = const {data=f32 20, dtype=f32, shape=[n]}'
    echo '  %6 = mul %1, %5'
    echo '  %7 = concat %6, %3 {axis=0}'
    results=
    for e in "$@"; do
        echo "  %$n = const {data=f32 $e, dtype=f32, shape=[n+16]}"
        echo "  %$((n + 1)) = pow %7, %$n"
        results="$results%$((n + 1)) \"y$n\", "
        n=$((n + 2))
    done
    echo "  %$n = const {data=f64 2, dtype=f64, shape=[n]}"
    echo "  %$((n + 1)) = pow %2, %$n"
    echo "  return $results%$((n + 1)) \"z$n\""
    echo '}'
} > p.graph
for n in 1 500; do
    expect 0 '' "$INGOT" verify p.graph --dim n=$n --ulp=$ulp
    expect 0 '' "$INGOT" verify p.graph --dim n=$n --ulp=$ulp --backend=c
done
}
powers 1 0 1 2 4 5 7 8 31 64 65 -1 -2 -3 -64 0.5 -0.5 1.5
powers 2 3 # two roundings
