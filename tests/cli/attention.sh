# Scores, mask, softmax and values in one kernel: against the interpreter at sizes around blocks of keys and tiles of rows, on
# every backend and tier.
. "$TESTS/cli/common.bash"
llvm=no
if "$INGOT" compile m.graph -o m.ll 2>/dev/null; then llvm=yes; fi
# verified MODEL "OPTIONS;.." SIZES..: agrees with the interpreter, compiled with these options and through C.  Where LLVM compiles,
# it does so once for all sizes.
verified() {
    local model=$1 options sizes each
    IFS=';' read -ra options <<< "$2;"
    shift 2
    for each in "${options[@]}"; do
        [ $llvm = no ] || expect 0 '' "$INGOT" compile $model.graph $each -o libmodel.so
        for sizes in "$@"; do
            if [ $llvm = yes ]; then expect 0 '' "$INGOT" verify libmodel.so --against $model.graph --dim $sizes
            else expect 0 '' "$INGOT" verify $model.graph $each --dim $sizes; fi
        done
    done
    for sizes in "$@"; do
        expect 0 '' "$INGOT" verify $model.graph --dim $sizes --backend=c --cpu=v3
    done
}
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
verified fixed '--cpu=v3,v4;--cpu=v3' B=1,M=7,N=128 B=2,M=13,N=300 B=1,M=1,N=129 B=1,M=200,N=5 B=2,M=6,N=0 B=0,M=3,N=3
expect 0 '' "$INGOT" verify fixed.graph --dim B=2,M=13,N=300 --backend=c
verified t '' B=1,M=7,N=140,D=16,E=64 B=1,M=9,N=256,D=3,E=5 B=2,M=2,N=130,D=33,E=70

# Few rows meet keys where they lie, and come to the bits that they have among many.
sed 's/,D\]/,32]/g; s/,E\]/,48]/g; s/, D in .* {/ {/' t.graph > few.graph
verified few '--cpu=v3,v4;--cpu=v3' B=2,M=1,N=129 B=1,M=2,N=1 B=1,M=3,N=300 B=1,M=4,N=144 B=2,M=1,N=0
expect 0 '' "$INGOT" verify few.graph --dim B=1,M=4,N=144 --backend=c
rows() {
    cat <<EOF
graph @f(%1 "q": f32[2,7,32], %2 "k": f32[2,N,32], %3 "v": f32[2,N,16]) where N in [0,1024] {
  %4 = slice %1 {shape=[2, $1, 32], start=[0, 0, 0], step=[1, 1, 1]}
  %5 = permute %2 {perm=[0, 2, 1]}
  %6 = dot %4, %5 {batch=1, chunk=256}
  %7 = softmax %6 {axis=2}
  %8 = dot %7, %3 {batch=1, chunk=256}
  %9 = slice %8 {shape=[2, 1, 16], start=[0, 0, 0], step=[1, 1, 1]}
  return %9 "y"
}
EOF
}
for m in 1 3 7; do
    rows $m > rows.graph
    expect 0 '' "$INGOT" run rows.graph --random --dim N=277 -o rows.$m
    cmp rows.1/y.npy rows.$m/y.npy
done

# Masks that hide whole blocks of keys from tiles of rows, and from some rows every key: by a number, and by -inf added.
mask() {
    cat <<EOF
graph @f(%1 "q": f32[2,M,16], %2 "k": f32[2,N,16], %3 "v": f32[2,N,16]) where M in [0,1024], N in [0,1024] {
  %4 = permute %2 {perm=[0, 2, 1]}
  %5 = dot %1, %4 {batch=1, chunk=512}
  %6 = iota {dtype=i64, shape=[2, M, N], axis=1}
  %7 = iota {dtype=i64, shape=[2, M, N], axis=2}
  %8 = const {data=i64 150, dtype=i64, shape=[2, M, N]}
  %9 = add %7, %8
  %10 = le %7, %6
  %11 = lt %6, %9
  %12 = and %10, %11
  %13 = const {data=f32 0, dtype=f32, shape=[2, M, N]}
  %14 = const {data=f32 $1, dtype=f32, shape=[2, M, N]}
$2
  %17 = softmax %16 {axis=2}
${3-}
  %30 = dot ${4-%17}, %3 {batch=1, chunk=512}
  return %30 "y"
}
EOF
}
mask -inf '  %16 = select %12, %5, %14' > never.graph
mask -1e4 '  %16 = select %12, %5, %14' > number.graph
mask -inf '  %15 = select %12, %13, %14
  %16 = add %5, %15' > added.graph
mask -inf '  %16 = select %12, %5, %14' '  %18 = isnan %17
  %19 = select %18, %13, %17' %19 > guarded.graph
for model in never number added guarded; do
    verified $model '' M=400,N=400 M=300,N=140 M=9,N=300 M=1,N=1
done

# Eight heads that share two of keys and values, as copies of them.
cat > shared.graph <<'EOF'
graph @f(%1 "q": f32[B,8,M,16], %2 "k": f32[B,2,N,16], %3 "v": f32[B,2,N,16], %4 "see": bool[M,N]) {
  %5 = reshape %2 {shape=[B, 2, 1, N, 16]}
  %6 = broadcast %5 {shape=[B, 2, 4, N, 16], axes=[0, 1, 2, 3, 4]}
  %7 = reshape %6 {shape=[B, 8, N, 16]}
  %8 = permute %7 {perm=[0, 1, 3, 2]}
  %9 = dot %1, %8 {batch=2, chunk=512}
  %10 = broadcast %4 {shape=[B, 8, M, N], axes=[2, 3]}
  %11 = const {data=f32 -inf, dtype=f32, shape=[B, 8, M, N]}
  %12 = select %10, %9, %11
  %13 = softmax %12 {axis=3}
  %14 = reshape %3 {shape=[B, 2, 1, N, 16]}
  %15 = broadcast %14 {shape=[B, 2, 4, N, 16], axes=[0, 1, 2, 3, 4]}
  %16 = reshape %15 {shape=[B, 8, N, 16]}
  %17 = dot %13, %16 {batch=2, chunk=512}
  return %17 "y"
}
EOF
expect 0 "" "$INGOT" compile shared.graph --emit=schedule -o t.schedule
[ "$(wc -l < t.schedule)" = 2 ]
grep -q attention t.schedule
verified shared '' B=2,M=5,N=200 B=1,M=1,N=130 B=1,M=40,N=3

# Queries that are computed: each task evaluates its own, to the bits of those that a kernel of their own stores.
queries() {
    cat <<TEXT
graph @f(%1 "qkv": f32[M,3,2,$1], %2 "turn": f32[M,2,$1]) where M in [0,512], D in [0,64] {
  %3 = const {data=i64 0, dtype=i64, shape=[]}
  %4 = const {data=i64 1, dtype=i64, shape=[]}
  %5 = const {data=i64 2, dtype=i64, shape=[]}
  %6 = gather %1, %3 {axis=1, batch=0}
  %7 = gather %1, %4 {axis=1, batch=0}
  %8 = gather %1, %5 {axis=1, batch=0}
  %9 = mul %6, %2
  %10 = neg %9
  %11 = permute %10 {perm=[1, 0, 2]}
  %12 = permute %7 {perm=[1, 2, 0]}
  %13 = const {data=f32 0.3, dtype=f32, shape=[2, $1, M]}
  %14 = mul %12, %13
  %15 = permute %8 {perm=[1, 0, 2]}
  %16 = dot %11, %14 {batch=1, chunk=512}
  %17 = softmax %16 {axis=2}
  %18 = dot %17, %15 {batch=1, chunk=512}
  return %18 "y"$2
}
TEXT
}
queries 40 '' > queries.graph
queries 40 ', %10 "q"' > stored.graph
queries D '' > depth.graph
expect 0 "" "$INGOT" compile queries.graph --emit=schedule -o t.schedule
[ "$(wc -l < t.schedule)" = 3 ]
grep -q attention t.schedule
verified queries '' M=1 M=3 M=140 M=300
verified depth '' M=1,D=19 M=3,D=19 M=140,D=19 M=300,D=19
for m in 1 3 140 300; do
    expect 0 '' "$INGOT" run queries.graph --random --dim M=$m -o queries.$m
    expect 0 '' "$INGOT" run stored.graph --random --dim M=$m -o stored.$m
    cmp queries.$m/y.npy stored.$m/y.npy
done
