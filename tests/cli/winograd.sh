# --numerics=fast and convolutions of 3 x 3 taps: tiles of 4 and of 2 where they pay, taps elsewhere and in strict mode; near the
# model, at sizes with and without rests, and the same bits on several threads, CPUs and backends.
. "$TESTS/cli/common.bash"
constant() { # NAME SHAPE: numbers around 0, as text
    local n=$(($(echo "$2" | sed 's/, /*/g')))
    awk -v n="$n" -v name="$1" -v shape="$2" 'BEGIN { srand(7); printf "  %s = const {data=f32 [", name
        for (i = 0; i < n; i++) printf "%s%.3f", i ? ", " : "", rand() / 5 - 0.1
        printf "], dtype=f32, shape=[%s]}\n", shape }'
}
plain='stride=[1, 1], dilation=[1, 1], groups=1, chunk=512'
{
    echo 'graph @f(%1 "x": f32[n,h,19,24], %2 "z": f32[n,11,11,64]) where n in [1,4], h in [1,40] hint 24 {'
    constant %3 '3, 3, 24, 40'
    constant %4 '3, 3, 64, 64'
    constant %5 '3, 3, 24, 8'
    echo "  %6 = conv %1, %3 {low=[1, 1], high=[1, 1], $plain}"
    echo "  %7 = conv %2, %4 {low=[1, 0], high=[0, 1], $plain}"
    echo "  %8 = conv %1, %5 {low=[1, 1], high=[1, 1], stride=[2, 1], dilation=[1, 1], groups=1, chunk=512}"
    echo "  %9 = conv %1, %5 {low=[2, 2], high=[2, 2], stride=[1, 1], dilation=[2, 2], groups=1, chunk=512}"
    echo '  return %6 "a", %7 "b", %8 "c", %9 "d"'
    echo '}'
} >w.graph
"$INGOT" compile w.graph --numerics=fast --stop-after=pack --emit=graph -o g
grep -q 'winograd.*tile=4.*f32\[n,h,19,40\]' g
grep -q 'winograd.*tile=2.*f32\[n,10,10,64\]' g
[ "$(grep -c ' winograd ' g)" = 2 ]
"$INGOT" compile w.graph --stop-after=pack --emit=graph -o g
if grep ' winograd ' g; then exit 1; fi
"$INGOT" compile w.graph --numerics=fast --precision=bf16 --stop-after=pack --emit=graph -o g   # products of bf16 are summed as they are
if grep ' winograd ' g; then exit 1; fi
"$INGOT" compile w.graph --numerics=fast --threads -o libw.so
"$INGOT" compile w.graph --numerics=fast --cpu=v3 -o libv3.so
"$INGOT" compile w.graph --numerics=fast --backend=c -o libc.so
for sizes in n=1,h=1 n=2,h=24 n=3,h=7; do
    expect 0 '' "$INGOT" verify libw.so --against w.graph --dim $sizes --rtol=1e-5 --atol=1e-5
    "$INGOT" run libw.so --dim $sizes --seed=5 -o one
    for how in "libw.so --threads=3" libv3.so libc.so; do
        "$INGOT" run $how --dim $sizes --seed=5 -o other
        for y in a b c d; do cmp one/$y.npy other/$y.npy || { echo "$how changes $y"; exit 1; }; done
    done
done
expect 0 '' "$INGOT" compile w.graph --numerics=fast --check-each -o libw.so
