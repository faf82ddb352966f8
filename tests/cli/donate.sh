# Which outputs can be written into which inputs, on every backend; what inspect and the header say; mistakes.
. "$TESTS/cli/common.bash"
sed '/^\/\/ ---/,$d; /^\/\//d' "$TESTS/passes/donate.graph" > mask.graph
step=$TESTS/../examples/decode/step.graph
for sizes in n=2,new=1,past_n=37 n=1,new=5,past_n=0 n=3,new=4,past_n=44; do
    for how in "" "--backend=c" "--cpu=v3" "--threads=2"; do
        expect 0 '' "$INGOT" verify mask.graph --donate=k=past --dim $sizes,past_n_capacity=48 $how
    done
done
expect 0 '' "$INGOT" verify "$step" --donate=k=past_k,v=past_v --dim batch=2,new=2,past=129,past_capacity=140
expect 0 '' "$INGOT" verify "$step" --donate=v=past_v --dim batch=2,new=1,past=20,past_capacity=21
expect 0 '' "$INGOT" compile "$step" --donate=k=past_k,v=past_v --self-test=2 --check-each --verify-each -o libstep.so
expect 0 '' "$INGOT" verify ./libstep.so
"$INGOT" inspect libstep.so > said
grep -q 'past_k: f32\[2,batch,4,past_capacity,16\] donated to k$' said
grep -q ' v: f32\[2,batch,4,past_capacity,16\] in past_v$' said
"$INGOT" inspect libstep.so --json > said
grep -q '"donated": "past_v"' said
grep -q "float \*past_k; /\* f32\[2, batch, 4, past_capacity, 16\], donated: run writes 'k' into it \*/" step.h
grep -q "float \*k; .* NULL: run sets it to 'past_k', where it lies \*/" step.h
grep -q 'overlap no input but those donated' step.h
expect 1 "no room in 'past_k' for what is appended (new+past <= past_capacity): found 11 and 10" \
    "$INGOT" run libstep.so --random --dim batch=1,new=1,past=10,past_capacity=10
# What is known of the capacity when compiling: a range, or the number itself; and nothing that there is not.
expect 0 '' "$INGOT" compile "$step" --donate=k=past_k,v=past_v --dim past_capacity=16..64%16 --self-test=2 --check-each -o libstep.so
"$INGOT" inspect libstep.so --json > said
grep -q '"name": "past_capacity", "min": 16, "max": 64, "multiple": 16' said
expect 0 '' "$INGOT" verify ./libstep.so --dim batch=1,new=1,past=20,past_capacity=48
expect 2 "past_capacity = 80, declared 16..64" "$INGOT" run libstep.so --random --dim batch=1,new=1,past=10,past_capacity=80
expect 0 '' "$INGOT" compile "$step" --donate=k=past_k,v=past_v --dim past_capacity=32 --self-test=2 --check-each -o libstep.so
"$INGOT" inspect libstep.so > said
grep -q 'past_k: f32\[2,batch,4,32,16\] donated to k$' said
expect 1 "no room in 'past_k' for what is appended (new+past <= 32): found 33 and 32" \
    "$INGOT" run libstep.so --random --dim batch=1,new=1,past=32
expect 2 "'capacity=64': neither the model nor a donated cache has a dim of that name" \
    "$INGOT" compile "$step" --donate=k=past_k --dim capacity=64 -o a.so
expect 2 "expected OUT=IN,.." "$INGOT" compile "$step" --donate=k -o a.so
expect 2 "the model has no output 'kk'" "$INGOT" compile "$step" --donate=kk=past_k -o a.so
expect 2 "the model has no input 'past'" "$INGOT" compile "$step" --donate=k=past -o a.so
expect 2 "output 'k' is no concatenation of input 'past_v'" "$INGOT" compile "$step" --donate=k=past_v -o a.so
expect 2 "output 'y' is no concatenation of input 'past_v'" "$INGOT" compile "$step" --donate=y=past_v -o a.so
# Overwriting is of donated parameters alone.
cat > bad.graph <<'EOF'
graph @f(%1 "x": f32[64], %2 "w": f32[16]) {
  %3 = overwrite %1, %2 {start=[16]}
  %4 = exp %3
  return %4 "y"
}
EOF
expect 1 "what is overwritten here must lie in a parameter that a result takes the memory of" "$INGOT" compile bad.graph -o a.so
sed 's/%4 "y"/%3 "y"/' bad.graph > good.graph
expect 0 '' "$INGOT" verify good.graph
# A layer of 60 bytes a row shares lines with the next.
sed 's/,16\]/,15]/g; s/, 16\]/, 15]/g' mask.graph > odd.graph
expect 1 "in whole lines of 64 bytes" "$INGOT" compile odd.graph --donate=k=past -o a.so
# Caches stay f32 where products are rounded: the buffer is the caller's.
expect 0 '' "$INGOT" compile "$step" --donate=k=past_k,v=past_v --precision=bf16 -o librounded.so
