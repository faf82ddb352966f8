# --precision=bf16 of first layers, whose pairs are taps of a line (passes lines and narrow): 3 x 3 and 7 x 7 taps of an image of
# fixed and of symbolic size, with windows behind, and a row of taps of one channel; within rounding of the narrowed graph as the
# interpreter takes it, and the same bits on every backend, tier and number of threads.
. "$TESTS/cli/common.bash"
numbers() { awk -v n=$1 'BEGIN { for (i = 0; i < n; i++) printf "%s%.4f", i ? ", " : "", sin(i * i) }'; }
first() { # first NAME TAPS STRIDE PAD H W FILTERS
    cat > $1.graph <<EOF
graph @f(%1 "x": f32[N,3,$5,$6]) where N in [1,4], H in [8,64], W in [8,64] {
  %4 = const {data=f32 [$(numbers $(($2 * $2 * 3 * $7)))], dtype=f32, shape=[$2, $2, 3, $7]}
  %5 = permute %1 {perm=[0, 2, 3, 1]}
  %6 = conv %5, %4 {low=[$4, $4], high=[$4, $4], stride=[$3, $3], dilation=[1, 1], groups=1, chunk=256}
  %7 = tanh %6
  %8 = window_max %7 {low=[0, 1, 1, 0], high=[0, 1, 1, 0], window=[1, 3, 3, 1], stride=[1, 2, 2, 1], dilation=[1, 1, 1, 1]}
  return %8 "y"
}
EOF
}
first stem 7 2 3 40 224 64
first small 3 1 1 17 23 24
first even 2 2 0 H W 16
first wide 5 2 2 H W 32
cat > series.graph <<EOF
graph @f(%1 "x": f32[N,1,L]) where N in [1,4], L in [20,4000] {
  %4 = const {data=f32 [$(numbers 160)], dtype=f32, shape=[10, 1, 16]}
  %5 = reshape %1 {shape=[N, L, 1]}
  %6 = conv %5, %4 {low=[0], high=[0], stride=[5], dilation=[1], groups=1, chunk=4}
  return %6 "y"
}
EOF
for case in "stem N=2" "small N=3" "even N=2,H=9,W=11" "even N=1,H=64,W=40" "wide N=2,H=31,W=47" "series N=2,L=777"; do
    set -- $case
    "$INGOT" compile $1.graph --passes=canon,lines,narrow --emit=graph -o narrowed.graph
    grep -q 'pair16' narrowed.graph
    expect 0 '' "$INGOT" verify $1.graph --precision=bf16 --dim $2 --against narrowed.graph --rtol=1e-4 --atol=1e-4
    "$INGOT" run $1.graph --random --precision=bf16 --cpu=v3 --backend=c --dim $2 -o bits.0
    for tier in v3 v4 v4-bf16 "v3 --threads=2"; do
        case $tier in v4*) grep -qw avx512vl /proc/cpuinfo || continue ;; esac
        case $tier in *bf16) grep -qw avx512_bf16 /proc/cpuinfo || continue ;; esac
        "$INGOT" run $1.graph --random --precision=bf16 --cpu=$tier --dim $2 -o bits.1
        cmp bits.0/y.npy bits.1/y.npy
    done
done
