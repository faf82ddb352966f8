# Scores, mask, softmax and values in one kernel: against the interpreter at sizes around blocks of keys and tiles of rows, on
# every backend and tier.
. "$TESTS/cli/common.bash"
cat > t.graph <<'EOF'
graph @f(%1 "q": f32[B,2,M,D], %2 "k": f32[B,2,N,D], %3 "v": f32[B,2,N,E], %4 "mask": f32[B,N])
    where B in [0,8], M in [0,1024], N in [0,1024], D in [0,64], E in [0,80] {
  %5 = permute %2 {perm=[0, 1, 3, 2]}
  %6 = dot %1, %5 {batch=2, chunk=512}
  %7 = const {data=f32 0.25, dtype=f32, shape=[B, 2, M, N]}
  %8 = mul %6, %7
  %9 = broadcast %4 {shape=[B, 2, M, N], axes=[0, 3]}
  %10 = add %8, %9
  %11 = softmax %10 {axis=3}
  %12 = dot %11, %3 {batch=2, chunk=512}
  return %12 "y"
}
EOF
sed 's/,D\]/,40]/g; s/,E\]/,24]/g; s/, D in .* {/ {/' t.graph > fixed.graph
expect 0 "" "$INGOT" compile t.graph --emit=schedule -o t.schedule
grep -q attention t.schedule
for sizes in B=1,M=7,N=128 B=2,M=13,N=300 B=1,M=1,N=129 B=1,M=200,N=5 B=2,M=6,N=0 B=0,M=3,N=3; do
    expect 0 '' "$INGOT" verify fixed.graph --dim $sizes
    expect 0 '' "$INGOT" verify fixed.graph --dim $sizes --backend=c
    expect 0 '' "$INGOT" verify fixed.graph --dim $sizes --cpu=v3
done
for sizes in B=1,M=7,N=140,D=16,E=64 B=1,M=9,N=256,D=3,E=5 B=2,M=2,N=130,D=33,E=70; do
    expect 0 '' "$INGOT" verify t.graph --dim $sizes
done
