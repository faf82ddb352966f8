# --target and --numerics: what there is, and what there is not is refused, in both spellings of a triple.
. "$TESTS/cli/common.bash"
mkdir two
expect 0 '' "$INGOT" compile m.graph -o libm.so
for triple in x86_64-linux-gnu x86_64-unknown-linux-gnu; do
    expect 0 "" "$INGOT" compile m.graph --target=$triple --numerics=strict -o two/libm.so
    cmp libm.so two/libm.so
    expect 0 '' "$INGOT" explain m.graph --target=$triple
    expect 0 '' "$INGOT" inspect two/libm.so
    grep -q 'numerics strict' stdout
done
expect 2 "unknown target 's390x-ibm-zos'; expected one of x86_64-unknown-linux-gnu, x86_64-linux-gnu" "$INGOT" compile m.graph --target=s390x-ibm-zos -o no.so
expect 2 "did you mean 'x86_64-linux-gnu'" "$INGOT" explain m.graph --target=x86_64-linux-gnw
"$INGOT" compile m.graph --numerics=fast -o libm.so
expect 0 '' "$INGOT" inspect libm.so
grep -q 'numerics fast' stdout
expect 2 "did you mean 'strict'" "$INGOT" compile m.graph --numerics=stricd -o no.so
[ ! -e no.so ]
