# Sizes of caches in --cpu: tiles and blocks follow them as passes/schedule.c says; bits do not; `native` reads the machine.
. "$TESTS/cli/common.bash"
# A block of rows, its sums and two groups of panels fill 7/8 of the second cache, K in parts of 256 or, where 5/8 hold all of it,
# whole and without sums; short rows, sixteen at a time, the first one;
# what no cache holds beside its operand is stored past them.
cat > k.graph <<'EOT'
graph @f(%1 "x": f32[4096,1024], %2 "long": f32[64,600], %3 "far": f32[4194304]) {
  %4 = const {data=f32 blob(0, 1048576), dtype=f32, shape=[1024,1024]}
  %5 = dot %1, %4 {batch=0, chunk=256}
  %6 = softmax %2 {axis=1}
  %7 = exp %3
  return %5 "y", %6 "s", %7 "e"
}
EOT
yes 1234567 | head -c 4194304 > k.graph.bin || [ $? = 141 ] # no single number
field() { # FIELD OP LIST: of the kernel's template, compiled for LIST
    "$INGOT" compile k.graph --cpu="$3" --print-schedule 2> stderr > s || { cat stderr; return 1; }
    sed -n "s/.*{template=$2,.*\b$1=\([0-9]*\).*/\1/p" s
}
[ "$(field block_m contraction v4)" = "$(field block_m contraction v4,l1=32K,l2=1M,last=32M)" ]
[ "$(field block_m contraction v4,l2=2M)" -gt "$(field block_m contraction v4)" ]
[ "$(field block_m contraction v4,l2=256K)" -lt "$(field block_m contraction v4)" ]
block=$(field block_m contraction v4,l2=524288) tile=$(field tile_m contraction v4) columns=$(field block_n contraction v4,l2=524288)
width=$((16 * $(field tile_n contraction v4)))
[ "$block" = $(((524288 / 8 * 7 - 2 * 1024 * width) / (1024 + 4 * columns) / tile * tile)) ]
[ "$(field block_m contraction v4,l2=1M)" = $(((1048576 / 8 * 7 - 2 * 4096 * width) / 4096 / tile * tile)) ]
[ "$(field tile_m row v4)" = 1 ]
[ "$(field tile_m row v4,l1=48K)" = 16 ]
[ "$(field far map v4,last=8M)" = 0 ]
[ "$(field stream map v4,last=8M)" = 1 ]
[ "$(field stream map v4)" = 1 ]
[ "$(field stream map v4,last=64M)" = 0 ]
# Given sizes are the whole difference: the list of tiers gives the same bytes on every machine, and no size changes a bit.
digits=$TESTS/../examples/digits/digits.onnx
"$INGOT" compile "$digits" --name=m --emit=loop -o plain.loop
"$INGOT" compile "$digits" --name=m --emit=loop --cpu=v4,l1=32K,v3,l2=1M,last=32M -o same.loop
cmp plain.loop same.loop
"$INGOT" run "$digits" --dim batch=37 --seed=3 -o wanted
for list in v3,v4,l1=8K,l2=64K,last=64K v3,v4,l1=512K,l2=16M,last=16M native native,l2=2M,last=1G; do
    expect 0 '' "$INGOT" run "$digits" --dim batch=37 --seed=3 --cpu=$list -o got
    cmp wanted/probability.npy got/probability.npy || { echo "--cpu=$list changes bits"; exit 1; }
done
# native is one tier, this machine's best; sizes behind it replace those it read.
native=$(field block_m contraction native,l2=512K,last=32M)
[ "$native" -gt 0 ]
[ "$native" -lt "$(field block_m contraction native,l2=4M,last=32M)" ]
if grep -q ' on x86' s; then echo 'native is more than one tier'; exit 1; fi
if [ -r /sys/devices/system/cpu/cpu0/cache/index2/size ] && grep -q Unified /sys/devices/system/cpu/cpu0/cache/index2/type; then
    l2=$(cat /sys/devices/system/cpu/cpu0/cache/index2/size)
    [ "$(field block_m contraction native,last=1G)" = "$(field block_m contraction native,l2="$l2",last=1G)" ]
fi
# A loop's steps take the panels of a constant that the second cache does not hold by turns forwards and backwards.
cat > t.graph <<'EOT'
graph @t(%1 "x": f32[7,1,112]) {
  %2 = const {data=f32 blob(0, 12544), dtype=f32, shape=[112,112]}
  %3 = const {data=f32 0, dtype=f32, shape=[1,112]}
  %4 = scan %3, %1, %2 {reverse=1, carried=1, scanned=1, trip=7, body=graph @step(%1 "at": i64[], %2 "h": f32[1,112],
      %3 "x": f32[1,112], %4 "w": f32[112,112]) {
    %5 = dot %2, %4 {batch=0, chunk=256}
    %6 = add %5, %3
    %7 = tanh %6
    return %7 "h", %7 "y"
  }}
  %5 = get %4 {index=1}
  return %5 "y"
}
EOT
head -c 50176 k.graph.bin > t.graph.bin
cp t.graph k.graph && cp t.graph.bin k.graph.bin
[ "$(field turn contraction v4)" = 0 ]
[ "$(field turn contraction v4,l2=32K)" = 1 ]
"$INGOT" run t.graph --seed=3 -o wanted
for threads in 1 2; do
    "$INGOT" compile t.graph --cpu=v3,v4,l2=32K --print-schedule 2> stderr | grep turn=1 | sed 's/grain=[0-9]*/grain=16/' > t.schedule
    [ -s t.schedule ]
    expect 0 '' "$INGOT" run t.graph --seed=3 --threads=$threads --cpu=v3,v4,l2=32K --schedule=t.schedule -o got
    cmp wanted/y.npy got/y.npy || { echo "turning changes bits ($threads threads)"; exit 1; }
done
