# Check 2: two models, and one model under two names, link statically into one program; archives export <name>_* alone.
. "$(dirname "$0")/common.bash"
ingot compile digits.onnx -o digits.a
ingot compile digits.onnx --name=second -o second.a
ingot compile pair.graph -o pair.a
ingot compile pair.graph --threads --name=pooled -o pooled.o
for name in digits second pair; do
    ! nm -g --defined-only $name.a | awk 'NF == 3 {print $3}' | grep -v "^${name}_" || fail "$name.a exports what is not its own"
done
! nm -g --defined-only pooled.o | awk 'NF == 3 {print $3}' | grep -v "^pooled_" || fail "pooled.o exports what is not its own"
host link digits.a second.a pair.a pooled.o
./link
ingot compile pair.graph -o libpair.so
for name in memory_bytes create destroy reserve run model; do echo pair_$name; done | sort > expected
echo ingot_model_v1 >> expected
nm -D --defined-only libpair.so | awk '{print $3}' | sort > found
diff <(sort expected) found
