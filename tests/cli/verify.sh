# verify: a library against a model, another library and ONNX test data; tolerances; every result also as JSON.
. "$TESTS/cli/common.bash"
digits=$TESTS/../examples/digits/digits.onnx
sed 's/exp %3/tanh %3/' m.graph > other.graph
"$INGOT" compile m.graph -o libm.so
expect 0 '' "$INGOT" verify libm.so --against libm.so --ulp=0
[ "$(grep -c '^same at batch=.* 0 ulp$' stdout)" = 5 ]
expect 0 '' "$INGOT" verify libm.so --against m.graph
expect 1 '' "$INGOT" verify libm.so --against other.graph
grep -q "^output 'y' differs at [0-9]* of [0-9]* elements, first at 0: found .*, expected " stdout
expect 1 '' "$INGOT" verify "$digits" --ulp=1 # sums of the interpreter are in double
expect 0 '' "$INGOT" verify "$digits" --ulp 1000 --dim batch=5
[ "$(grep -c '^same at batch=5' stdout)" = 5 ]
"$INGOT" compile "$digits" --precision=bf16 -o libbf16.so
expect 0 '' "$INGOT" verify libbf16.so --against "$digits" # tolerances of its precision
expect 1 '' "$INGOT" verify libbf16.so --against "$digits" --rtol=1e-5 --atol=1e-5 # it does round
expect 0 '' "$INGOT" verify "$digits" --precision=bf16 --backend=c
expect 2 'needs something to compare with' "$INGOT" verify libm.so
expect 2 "expected a number" "$INGOT" verify m.graph --ulp=many
expect 2 'expected a whole number from 1 to 256' "$INGOT" verify m.graph --threads=0
expect 1 "has no input" "$INGOT" verify libm.so --against "$digits"

# ONNX test data: the inputs of one run, and outputs that are right and wrong.
expect 0 '' "$INGOT" run libm.so --seed=3 --dim batch=2 --random -o right
python3 - <<'EOT'
import os, struct
def varint(v):
    out = b""
    while v > 127: out, v = out + bytes([v & 127 | 128]), v >> 7
    return out + bytes([v])
def tensor(path, dims, values):
    raw = struct.pack(f"<{len(values)}f", *values)
    open(path, "wb").write(b"".join(b"\x08" + varint(d) for d in dims) + b"\x10\x01" + b"\x4a" + varint(len(raw)) + raw)
for name, first in (("test_data_set_0", 1.0), ("test_data_set_1", 2.0)):
    os.makedirs(f"data/{name}")
    tensor(f"data/{name}/input_0.pb", [1, 4], [0, 0, 0, 0])
    tensor(f"data/{name}/input_1.pb", [4, 4], [1] * 16)
    tensor(f"data/{name}/output_0.pb", [1, 4], [first, 1, 1, 1])
EOT
expect 0 '' "$INGOT" verify libm.so --data data/test_data_set_0
expect 1 '' "$INGOT" verify libm.so --data data
grep -q '^same data/test_data_set_0' stdout
grep -q '^differs data/test_data_set_1' stdout
expect 4 'has no input_0.pb' "$INGOT" verify libm.so --data right
expect 4 'cannot read the folder' "$INGOT" verify libm.so --data nowhere

expect 1 '' "$INGOT" verify libm.so --data data --json
python3 - <<'EOT'
import json
a, b = json.load(open("stdout"))
assert a["result"] == "same" and a["ulp"] == 0 and a["differences"] == [] and a["data"].endswith("set_0")
assert b["result"] == "differs" and b["differences"][0]["output"] == "y" and "found 1, expected 2" in b["differences"][0]["text"]
EOT
expect 0 '' "$INGOT" verify m.graph --json
python3 -c 'import json; r = json.load(open("stdout")); assert len(r) == 5 and all(x["result"] == "same" and x["sizes"]["batch"] >= 1 for x in r)'

# The error against f64, and the run that it is measured against: f32 0.1 + 2^24 + 1 + 0.25 needs 27 bits and more.
cat > sum.graph <<'END'
graph @sum(%1 "x": f32[4]) {
  %2 = const {data=f32 [0.1, 16777216, 1, 0.25], dtype=f32, shape=[4]}
  %3 = mul %1, %2
  %4 = reduce_sum %3 {axes=[0], order=1}
  return %4 "y"
}
END
expect 0 '' "$INGOT" verify sum.graph
grep -q '^same.*; error against f64: largest [0-9.e-]*, RMS [0-9.e-]* (' stdout
expect 0 '' "$INGOT" verify sum.graph --json
grep -q '"f64": {"largest": [0-9.e-]*, "rms": ' stdout
expect 0 '' "$INGOT" verify m.graph --against m.graph --precision=bf16
grep -q 'error against f64: ' stdout
expect 2 'goes with the backend interpreter alone' "$INGOT" run sum.graph --precision=f64
python3 - <<'EOT'
import struct
header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }"
header += b" " * (-(len(header) + 11) % 64) + b"\n"
open("ones.npy", "wb").write(b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + struct.pack("<4f", 1, 1, 1, 1))
EOT
expect 0 '' "$INGOT" run sum.graph x=ones.npy --precision=f64 --backend=interpreter --json
grep -q '16777217.4' stdout || { cat stdout; exit 1; }
expect 0 '' "$INGOT" run sum.graph x=ones.npy --json
grep -q '16777218\|16777217[],]\|16777216' stdout || { cat stdout; exit 1; }
