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
    expect 0 '' "$INGOT" bench $model --dim batch=2 --repeat=10 --profile
    grep -q "node 'conv2' (Conv)" stdout
    [ "$(grep -c ' ms .* % ' stdout)" -ge $((kernels - 1)) ] # two launches may share a name
    expect 0 '' "$INGOT" bench $model --dim batch=2 --repeat=10 --profile --json
    python3 -c 'import json; r = json.load(open("stdout")); assert len(r[0]["kernels"]) >= 5 and all(k["ms"] >= 0 for k in r[0]["kernels"])'
done
