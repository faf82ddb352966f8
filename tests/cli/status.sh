# Exit statuses and messages: 0 yes, 1 no, 2 usage, 4 the machine; nothing on stderr where all is well, and no colour.
. "$TESTS/cli/common.bash"
expect 2 'usage: ingot COMMAND' "$INGOT"
expect 0 '' "$INGOT" --help
expect 0 '' "$INGOT" --version
for command in compile run inspect explain verify bench; do
    expect 0 '' "$INGOT" $command --help
    grep -q examples: stdout
    expect 2 'usage: ingot' "$INGOT" $command
done
expect 2 "did you mean 'compile'" "$INGOT" compil m.graph
expect 2 "did you mean '--threads'" "$INGOT" compile m.graph -o libm.so --thread
expect 2 'has no option --against' "$INGOT" compile m.graph -o libm.so --against=x
expect 2 'needs a value' "$INGOT" compile m.graph -o
expect 2 'takes no value' "$INGOT" compile m.graph -o libm.so --freestanding=1
expect 2 'no output given' "$INGOT" compile m.graph
expect 2 'does not tell what to write' "$INGOT" compile m.graph -o out.foo
expect 2 "did you mean 'graph'" "$INGOT" compile m.graph --emit=grap -o out
expect 2 "did you mean 'x86-64-v3'" "$INGOT" compile m.graph --cpu=x86-64-v5 -o libm.so
expect 2 'C identifier' "$INGOT" compile m.graph --name=a-b -o libm.so
expect 2 'apply to ONNX models' "$INGOT" compile m.graph --dim=batch=3 -o libm.so
expect 4 'No such file' "$INGOT" compile missing.onnx -o libm.so
expect 4 'cannot write' "$INGOT" compile m.graph --emit=graph -o missing/out.graph
expect 1 'limit' "$INGOT" compile m.graph --limits=200K -o libm.so
expect 2 '--limits' "$INGOT" compile m.graph --limits=lots -o libm.so
seq 1000 | sha256sum > junk.onnx # no protocol buffer
expect 1 'junk.onnx' "$INGOT" compile junk.onnx -o libm.so
expect 1 '' "$INGOT" explain junk.onnx 2>/dev/null || expect 1 'junk' "$INGOT" explain junk.onnx
expect 0 $'\033[' "$INGOT" compile m.graph --emit=graph -o /dev/null --color=always --print-after=canon || true
