# Every intermediate text is an input: what was stopped after any pass, read back and compiled, is the same library.
. "$TESTS/cli/common.bash"
digits=$TESTS/../examples/digits/digits.onnx
mkdir direct
"$INGOT" compile "$digits" --dim batch=1..64 -o direct/libdigits.so
"$INGOT" compile "$digits" --dim batch=1..64 --emit=graph -o import.graph
for pass in import canon sink attend expand permute align pack fuse schedule plan; do
    [ $pass = import ] || "$INGOT" compile "$digits" --dim batch=1..64 --stop-after=$pass --emit=graph -o $pass.graph
    mkdir $pass
    "$INGOT" compile $pass.graph -o $pass/libdigits.so
    diff -r direct $pass
done
# Also step by step, each pass in a process of its own, and through the passes' own list.
"$INGOT" compile import.graph --passes=canon,expand --emit=graph -o a.graph
"$INGOT" compile a.graph --stop-after=fuse -o b.graph
"$INGOT" compile b.graph --stop-after=schedule -o c.graph
"$INGOT" compile c.graph --stop-after=plan -o d.graph
cmp d.graph plan.graph
cmp d.graph.bin plan.graph.bin
