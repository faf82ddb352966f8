# --precision=bf16 with operands that are made while running: products of two of them, and attention, in pairs of bf16.  Within
# rounding of the narrowed graph as the interpreter takes it, and with the same bits on every backend, tier and number of threads.
. "$TESTS/cli/common.bash"
cat > product.graph <<'EOF'
graph @f(%1 "x": f32[B,M,K], %2 "w": f32[B,K,N], %3 "v": f32[B,N,K])
    where B in [1,4], M in [5,512], K in [8,512], N in [1,512] {
  %4 = dot %1, %2 {batch=1, chunk=256}
  %5 = permute %3 {perm=[0, 2, 1]}
  %6 = dot %1, %5 {batch=1, chunk=256}
  %7 = exp %3
  %8 = permute %7 {perm=[0, 2, 1]}
  %9 = dot %1, %8 {batch=1, chunk=256}
  return %4 "a", %6 "b", %9 "c"
}
EOF
cat > attention.graph <<'EOF'
graph @f(%1 "q": f32[2,M,D], %2 "k": f32[2,N,D], %3 "v": f32[2,N,E], %4 "mask": f32[N])
    where M in [1,512], N in [0,512], D in [8,64], E in [1,80] {
  %5 = const {data=f32 0.25, dtype=f32, shape=[2, M, D]}
  %6 = mul %1, %5
  %7 = tanh %2
  %8 = permute %7 {perm=[0, 2, 1]}
  %9 = dot %6, %8 {batch=1, chunk=256}
  %10 = broadcast %4 {shape=[2, M, N], axes=[2]}
  %11 = add %9, %10
  %12 = softmax %11 {axis=2}
  %13 = dot %12, %3 {batch=1, chunk=256}
  return %13 "y", %2 "keys"
}
EOF
bits() { # bits MODEL ARGUMENT..: the same from all that run here
    local model=$1 tier result n=0
    shift
    "$INGOT" run $model --random --precision=bf16 --cpu=v3 --backend=c "$@" -o bits.0
    for tier in v3 v4 v4-bf16 "v3 --threads=2"; do
        case $tier in v4*) grep -qw avx512vl /proc/cpuinfo || continue ;; esac
        case $tier in *bf16) grep -qw avx512_bf16 /proc/cpuinfo || continue ;; esac
        n=$((n + 1))
        "$INGOT" run $model --random --precision=bf16 --cpu=$tier "$@" -o bits.$n
        for result in bits.0/*.npy; do cmp $result bits.$n/"$(basename $result)"; done
    done
}
for model in product attention; do
    "$INGOT" compile $model.graph --passes=attend,expand,canon,narrow --emit=graph -o $model.narrow.graph
    [ "$(grep -c 'convert .*dtype=bf16' $model.narrow.graph)" -ge 3 ]
done
for sizes in B=2,M=17,K=41,N=33 B=1,M=300,K=301,N=70; do
    expect 0 '' "$INGOT" verify product.graph --precision=bf16 --dim $sizes --against product.narrow.graph --rtol=1e-4 --atol=1e-3
    bits product.graph --dim $sizes
done
for sizes in M=17,N=150,D=24,E=33 M=1,N=300,D=64,E=64 M=200,N=129,D=9,E=16; do
    expect 0 '' "$INGOT" verify attention.graph --precision=bf16 --dim $sizes
    bits attention.graph --dim $sizes
done
