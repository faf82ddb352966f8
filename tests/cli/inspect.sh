# What inspect says, and whether one library may replace another.
. "$TESTS/cli/common.bash"
"$INGOT" compile m.graph -o libm.so
sed 's/\[1,64\]/[1,32]/' m.graph > narrow.graph
"$INGOT" compile narrow.graph --name=m -o libnarrow.so
expect 0 '' "$INGOT" inspect libm.so
grep -q 'x: f32\[batch,4\]' stdout
grep -q 'batch: 1..64' stdout
expect 0 '' "$INGOT" inspect libm.so --json
grep -q '"name": "batch", "min": 1, "max": 64' stdout
expect 0 '' "$INGOT" inspect --compat libnarrow.so libm.so
expect 1 '' "$INGOT" inspect --compat libm.so libnarrow.so
grep -q 'size batch has a smaller range' stdout
