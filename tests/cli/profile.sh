# explain shows the model's own names; bench --profile lists every kernel, of a library and in process.
. "$TESTS/cli/common.bash"
digits=$TESTS/../examples/digits/digits.onnx
expect 0 '' "$INGOT" explain "$digits"
grep -qF 'image: f32[batch,1,8,8]' stdout
kernels=$(sed -n 's/^everything is supported: \([0-9]*\) kernels$/\1/p' stdout)
expect 0 '' "$INGOT" explain m.graph --json
grep -qF '"type": "f32[batch,4]"' stdout
expect 0 '' "$INGOT" compile "$digits" -o libdigits.so
for model in libdigits.so "$digits"; do
    expect 0 '' "$INGOT" bench "$model" --dim batch=2 --repeat=10 --profile
    grep -q "node 'conv2' (Conv)" stdout
    [ "$(grep -c ' ms .* % ' stdout)" -ge $((kernels - 1)) ] # two launches may share a name
    expect 0 '' "$INGOT" bench "$model" --dim batch=2 --repeat=10 --profile --json
    python3 -c 'import json; r = json.load(open("stdout")); assert len(r[0]["kernels"]) >= 5 and all(k["ms"] >= 0 for k in r[0]["kernels"])'
done
# Two kernels of one node are two rows.
cat > twice.graph <<'EOT'
graph @f(%1 "x": f32[n,8]) where n in [1,64] {
  %2 = reduce_max %1 {axes=[1], order=16} @ "m.onnx: node 'norm' (Norm)"
  %3 = top_k %1 {axis=1, value=3, largest=1} @ "m.onnx: node 'norm' (Norm)"
  %4 = get %3 {index=0}
  return %2 "y", %4 "z"
}
EOT
expect 0 '' "$INGOT" bench twice.graph --repeat=10 --profile
grep -q "node 'norm' (Norm)$" stdout
grep -q "node 'norm' (Norm) #2$" stdout
# Work, of a library that tells it and in process: sizes of the run, bounds, the model's nodes; a loop adds its launches up.
expect 0 '' "$INGOT" compile m.graph --profile -o libm.so
expect 0 '' "$INGOT" inspect libm.so
grep -q 'profile of 1 kernels' stdout
expect 0 '' "$INGOT" inspect libm.so --json
grep -q '"profile": true' stdout
expect 0 '' "$INGOT" inspect libdigits.so --json
grep -q '"profile": false' stdout
for model in libm.so m.graph; do
    for batch in 8 64; do
        expect 0 '' "$INGOT" bench $model --dim batch=$batch --repeat=10 --profile --json
        BATCH=$batch python3 - <<'EOT'
import json, os
b = int(os.environ["BATCH"])
row = json.load(open("stdout"))[0]
(k,) = row["kernels"]
assert k["flops"] == b * 4 * (2 * 4 + 20) and k["read"] == 4 * (4 * b + 16) and k["written"] == 16 * b and k["weights"] == 0, k
assert k["launches"] == 1 and k["kind"] == "contraction" and k["bound_ms"] > 0 and k["bound_by"] in ("fma", "read"), k
assert row["machine"]["flops"] > 1e8 and len(row["machine"]["read"]) >= 1
EOT
    done
done
expect 0 '' "$INGOT" bench m.graph --repeat=10 --profile
grep -q '^  kernels .* ms, bound .* GFLOP/s$' stdout
cat > parts.graph <<'EOT'
graph @f(%1 "x": f32[n,8], %2 "table": f32[1000,8], %3 "i": i64[k]) where n in [1,64], k in [1,64] {
  %4 = gather %2, %3 {axis=0, batch=0}
  %5 = slice %1 {start=[0, 2], step=[1, 1], shape=[n, 3]}
  %6 = sqrt %5
  return %4 "rows", %6 "y"
}
EOT
expect 0 '' "$INGOT" bench parts.graph --dim n=4,k=6 --repeat=10 --profile --json
python3 - <<'EOT'
import json
rows = {(k["read"], k["written"], k["flops"]) for k in json.load(open("stdout"))[0]["kernels"]}
assert rows == {(6 * 8 * 4 + 6 * 8, 6 * 8 * 4, 0), (4 * 3 * 4, 4 * 3 * 4, 4 * 3 * 20)}, rows
EOT
# Loop IR keeps it; a freestanding artifact has no clock.
expect 0 '' "$INGOT" compile m.graph --profile -o m.loop
mkdir again
expect 0 '' "$INGOT" compile m.loop -o again/libm.so
cmp libm.so again/libm.so
expect 2 'nor a profile nor self-tests: drop one' "$INGOT" compile m.graph --profile --freestanding -o libbare.so
# The trace: launches, and on threads the ranges inside them.
cat > wide.graph <<'EOT'
graph @f(%1 "x": f32[n,4096]) where n in [1,4096] {
  %2 = exp %1
  return %2 "y"
}
EOT
expect 0 '' "$INGOT" bench "$digits" --dim batch=64 --repeat=10 --trace=one.json
expect 0 '' "$INGOT" bench wide.graph --dim n=2048 --repeat=10 --threads=2 --trace=two.json
python3 - <<'EOT'
import json
for file, tracks in ("one.json", {0}), ("two.json", {0, 1, 2}):
    events = json.load(open(file))["traceEvents"]
    work = [e for e in events if e["ph"] == "X"]
    assert {e["tid"] for e in events if e["name"] == "thread_name"} == tracks, file
    # On a busy machine either thread may have done all of the fastest run: ranges are on one track at least.
    used = {e["tid"] for e in work}
    assert 0 in used and used <= tracks and bool(used - {0}) == (len(tracks) > 1), (file, used)
    assert all(e["dur"] >= 0 and e["ts"] >= 0 for e in work)
    launches = [e for e in work if e["tid"] == 0]
    assert all(e["args"]["read"] > 0 for e in launches)
    for e in work:
        assert any(l["ts"] - 0.01 <= e["ts"] and e["ts"] + e["dur"] <= l["ts"] + l["dur"] + 0.01 and l["name"] == e["name"] for l in launches), e
EOT
expect 1 'libdigits.so was compiled without --profile' "$INGOT" bench libdigits.so --repeat=10 --trace=x.json
expect 4 "cannot write 'missing/x.json'" "$INGOT" bench m.graph --repeat=10 --trace=missing/x.json
expect 2 '--trace takes one number of threads' "$INGOT" bench m.graph --threads=1,2 --trace=x.json
