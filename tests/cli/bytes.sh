# Products of 8-bit numbers: what the interpreter finds before the pass, exactly, on every backend, tier and number of threads.
. "$TESTS/cli/common.bash"
python3 - <<'P'
import random
random.seed(5)
w = lambda n: "[" + ", ".join(str(random.randint(-128, 127)) for _ in range(n)) + "]"
open("product.graph", "w").write(f"""graph @f(%1 "x": u8[N,37], %2 "z": u8[], %3 "y": i8[2,N,40]) where N in [1,64] {{
  %4 = convert %1 {{dtype=i32, saturate=1}}
  %5 = convert %2 {{dtype=i32, saturate=1}}
  %6 = broadcast %5 {{shape=[N, 37], axes=[]}}
  %7 = sub %4, %6
  %8 = const {{data=i32 {w(37 * 45)}, dtype=i32, shape=[37, 45]}}
  %9 = dot %7, %8 {{batch=0, chunk=256}}
  %10 = convert %3 {{dtype=i32, saturate=1}}
  %11 = const {{data=i32 -7, dtype=i32, shape=[2, N, 40]}}
  %12 = sub %10, %11
  %13 = const {{data=i32 {w(40 * 20)}, dtype=i32, shape=[40, 20]}}
  %14 = dot %12, %13 {{batch=0, chunk=256}}
  return %9 "a", %14 "b"
}}""")
conv = "low=[1, 2], high=[1, 0], stride=[1, 1], dilation=[1, 1]"
open("image.graph", "w").write(f"""graph @f(%1 "x": u8[B,9,S,7], %2 "y": i8[B,9,S,16], %3 "z": u8[]) where B in [1,4], S in [3,40] {{
  %4 = convert %1 {{dtype=i32, saturate=1}}
  %5 = const {{data=i32 {w(9 * 7 * 19)}, dtype=i32, shape=[3, 3, 7, 19]}}
  %6 = conv %4, %5 {{{conv}, groups=1, chunk=256}}
  %7 = convert %3 {{dtype=i32, saturate=1}}
  %8 = broadcast %7 {{shape=[B, 9, S, 7], axes=[]}}
  %9 = sub %4, %8
  %10 = conv %9, %5 {{low=[1, 1], high=[1, 1], stride=[2, 2], dilation=[1, 1], groups=1, chunk=256}}
  %11 = convert %2 {{dtype=i32, saturate=1}}
  %12 = const {{data=i32 3, dtype=i32, shape=[B, 9, S, 16]}}
  %13 = sub %11, %12
  %14 = const {{data=i32 {w(9 * 8 * 32)}, dtype=i32, shape=[3, 3, 8, 32]}}
  %15 = conv %13, %14 {{{conv}, groups=2, chunk=256}}
  %16 = const {{data=i32 {w(16 * 33)}, dtype=i32, shape=[1, 1, 16, 33]}}
  %17 = conv %13, %16 {{low=[0, 0], high=[0, 0], stride=[1, 1], dilation=[1, 1], groups=1, chunk=256}}
  return %6 "a", %10 "b", %15 "c", %17 "d"
}}""")
P
same() { # same MODEL SIZES
    local how result
    "$INGOT" compile $1.graph --passes=canon,bytes --emit=graph -o $1.bytes.graph
    [ "$(grep -c 'quad16' $1.bytes.graph)" -ge 2 ]
    "$INGOT" run $1.graph --random --dim $2 --backend=interpreter --seed=3 -o whole
    for how in --cpu=v3 "--cpu=v3 --backend=c" --cpu=x86-64 "--cpu=v3 --threads=2" --cpu=v4 --cpu=v4-vnni "--cpu=v4-vnni --backend=c"; do
        case $how in *v4*) grep -qw avx512vl /proc/cpuinfo || continue ;; esac
        case $how in *vnni*) grep -qw avx512_vnni /proc/cpuinfo || continue ;; esac
        "$INGOT" run $1.graph --random --dim $2 --seed=3 $how -o found
        for result in whole/*.npy; do cmp $result found/"$(basename $result)"; done
    done
}
same product N=1
same product N=23
same image B=2,S=11
"$INGOT" compile product.graph -o lib.so
"$INGOT" inspect lib.so | grep -q 'variants x86-64-v3, x86-64-v4, x86-64-v4-vnni'
