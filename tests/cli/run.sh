# Library and model in process give the same answer; inputs by name; sizes; interpreter.
. "$TESTS/cli/common.bash"
expect 0 '' "$INGOT" compile m.graph -o libm.so
expect 0 '' "$INGOT" run libm.so --dim batch=5 --seed=3 -o library
expect 0 '' "$INGOT" run m.graph --dim batch=5 --seed=3 -o process
expect 0 '' "$INGOT" run m.graph --dim batch=5 --seed=3 --backend=c -o tcc
cmp library/y.npy process/y.npy
cmp library/y.npy tcc/y.npy
expect 0 '' "$INGOT" verify libm.so --against m.graph
expect 0 '' "$INGOT" verify m.graph --backend=c
expect 2 "did you mean 'x'" "$INGOT" run libm.so X=library/y.npy
expect 2 "input 'w' is not given" "$INGOT" run libm.so x=library/y.npy
expect 0 '' "$INGOT" run libm.so x=library/y.npy --random
expect 2 'batch = 65, declared 1..64' "$INGOT" run libm.so --dim batch=65
expect 2 "did you mean 'batch'" "$INGOT" run libm.so --dim bach=5
expect 4 'cannot open' "$INGOT" run libm.so x=missing.npy --random
head -c 100 /dev/urandom > bad.npy
expect 1 'no .npy file' "$INGOT" run libm.so x=bad.npy --random
printf '\x93NUMPY\x01\x00\x46\x00%-69s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (999999999, 9999999), }" > huge.npy
expect 1 'too large' "$INGOT" run libm.so x=huge.npy --random
expect 0 '' "$INGOT" bench libm.so --repeat=20 --json
grep -q median_ms stdout
