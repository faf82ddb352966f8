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
