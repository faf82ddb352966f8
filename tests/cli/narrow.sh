# Products with constants of few columns: parts of K follow one another in a tile's registers.  Rows and taps of every kind, on
# every backend and tier, against the interpreter; the same bits as with parts one pass after the other.
. "$TESTS/cli/common.bash"
cat > n.graph <<'EOT'
graph @f(%1 "x": f32[n,200], %2 "image": f32[n,h,11,3], %3 "deep": f32[n,7,7,70], %4 "one": f32[1,300]) where n in [0,40], h in [1,30] {
  %5 = const {data=f32 blob(0, 2000), dtype=f32, shape=[200,10]}
  %6 = const {data=f32 blob(100, 1200), dtype=f32, shape=[5,5,3,16]}
  %7 = const {data=f32 blob(52, 5040), dtype=f32, shape=[3,3,70,8]}
  %8 = const {data=f32 blob(8, 30000), dtype=f32, shape=[300,100]}
  %9 = dot %1, %5 {batch=0, chunk=256}
  %10 = conv %2, %6 {low=[2, 2], high=[2, 2], stride=[1, 1], dilation=[1, 1], groups=1, chunk=256}
  %11 = conv %3, %7 {low=[1, 1], high=[1, 1], stride=[2, 1], dilation=[1, 1], groups=1, chunk=256}
  %12 = dot %4, %8 {batch=0, chunk=128}
  return %9 "y", %10 "seen", %11 "below", %12 "row"
}
EOT
python3 -c "
import random, struct, sys
random.seed(5)
sys.stdout.buffer.write(struct.pack('<31000f', *(random.uniform(-1, 1) for _ in range(31000))))" > n.graph.bin
"$INGOT" compile n.graph --stop-after=schedule -o s.graph
[ "$(grep -c 'chunk=32[,}]' s.graph)" = 3 ] # the narrow ones
grep -q 'chunk=128[,}]' s.graph
[ "$(grep -c 'schedule=.*tile_n=1, block_m' s.graph)" -ge 3 ] # no block_k: one pass
sed 's/, block_m=/, block_k=32, block_m=/; s/block_k=[0-9]*, block_k=/block_k=/' s.graph > parts.graph
cp s.graph.bin parts.graph.bin
if cmp -s s.graph parts.graph; then echo 'nothing is one pass'; exit 1; fi
backends=c
if "$INGOT" compile n.graph -o n.ll 2>/dev/null; then backends="llvm c"; fi
for sizes in n=1,h=1 n=3,h=9 n=37,h=14 n=0,h=2; do
    "$INGOT" run n.graph --dim $sizes --seed=2 --backend=c --cpu=v3 -o wanted
    for backend in $backends; do
        expect 0 '' "$INGOT" verify n.graph --dim $sizes --backend=$backend
        for list in v3 v3,v4; do
            expect 0 '' "$INGOT" run n.graph --dim $sizes --seed=2 --backend=$backend --cpu=$list --threads=2 -o got
            for y in wanted/*.npy; do cmp "$y" "got/${y#wanted/}" || { echo "$sizes $backend $list"; exit 1; }; done
        done
        expect 0 '' "$INGOT" run parts.graph --dim $sizes --seed=2 --backend=$backend -o got
        for y in wanted/*.npy; do cmp "$y" "got/${y#wanted/}" || { echo "$sizes $backend in passes"; exit 1; }; done
    done
done
