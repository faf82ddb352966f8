# Results written into the memory of what joins them, on both backends, with threads, and from the planned graph's own text.
. "$TESTS/cli/common.bash"
sed '/^\/\/ ---/,$d; /^\/\//d' "$TESTS/passes/join.graph" > t.graph
expect 0 "" "$INGOT" compile t.graph --emit=graph --stop-after=plan -o planned.graph
grep -q ' = join ' planned.graph
for sizes in B=1 B=7 B=64; do
    expect 0 '' "$INGOT" verify t.graph --dim $sizes --atol=1e-4
    expect 0 '' "$INGOT" verify t.graph --dim $sizes --atol=1e-4 --backend=c --threads=2
    expect 0 '' "$INGOT" verify planned.graph --dim $sizes --atol=1e-4
done
expect 0 "" "$INGOT" compile t.graph --check-each --verify-each -o t.so
