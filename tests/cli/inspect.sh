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
expect 1 '' "$INGOT" inspect --compat libm.so libnarrow.so --json
python3 -c 'import json; r = json.load(open("stdout")); assert not r["compatible"] and r["differences"] == ["size batch has a smaller range"]'
expect 0 '' "$INGOT" inspect --compat libnarrow.so libm.so --json
python3 -c 'import json; r = json.load(open("stdout")); assert r["compatible"] and r["differences"] == []'
sed 's/"w": f32\[4,4\]/"w": f32[4,5]/; s/"y"/"z"/' m.graph > other.graph
"$INGOT" compile other.graph --name=m -o libother.so
expect 1 '' "$INGOT" inspect --compat libm.so libother.so
grep -q "'w' has an extent that changes from 4 to 5" stdout
grep -q "output 'y' is gone" stdout
grep -q "output 'z' is new" stdout
expect 2 'expected two libraries' "$INGOT" inspect --compat libm.so
expect 0 '' "$INGOT" inspect libm.so --json
python3 - <<'EOT'
import json
r = json.load(open("stdout"))
assert r["entries"][0]["inputs"][0] == {"name": "x", "dtype": "f32", "dims": ["batch", 4], "optional": False}
assert len(r["model_sha256"]) == 64 and r["weights"] == "embedded" and r["threads"] is False
EOT
expect 0 '' "$INGOT" inspect libm.so
grep -q 'numerics strict, precision f32' stdout
"$INGOT" compile m.graph --precision=bf16 -o libbf16.so
expect 0 '' "$INGOT" inspect libbf16.so
grep -q 'variants x86-64-v3, x86-64-v4, x86-64-v4-bf16' stdout
grep -q 'numerics strict, precision bf16' stdout
expect 0 '' "$INGOT" inspect libbf16.so --json
grep -q '"precision": "bf16"' stdout
