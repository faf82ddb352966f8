# Verifying and interpreting around every pass finds nothing on the example and on every test graph of the passes.
. "$TESTS/cli/common.bash"
expect 0 '' "$INGOT" compile "$TESTS/../examples/digits/digits.onnx" --verify-each --check-each -o libdigits.so
for graph in m.graph "$TESTS"/passes/*.graph; do
    sed '/^\/\/ ---/,$d' "$graph" > input.graph
    expect 0 '' "$INGOT" compile input.graph --name=m --verify-each --check-each --emit=header -o m.h
done
expect 0 'after plan' "$INGOT" compile m.graph --time-passes --verify-each --emit=header -o m.h
mkdir dump
expect 0 '' "$INGOT" compile m.graph --dump-dir=dump --emit=header -o m.h
[ -s dump/00-input.graph ]
[ -s dump/17-plan.graph ]
