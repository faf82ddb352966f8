# Mistakes of users: the exact message, the exit status, and nothing left behind.
. "$TESTS/cli/common.bash"
digits=$TESTS/../examples/digits/digits.onnx
cp "$digits" digits.onnx
head -c 3000 "$digits" > short.onnx
sed 's/Softmax/Softmix/g' "$digits" > operator.onnx
: > empty.onnx
mkdir folder.onnx out
cat > huge.graph <<'EOT'
graph @f(%1 "x": f32[9999999999,9999999999]) { %2 = exp %1 return %2 "y" }
EOT
cat > rank.graph <<'EOT'
graph @f(%1 "x": f32[4,5]) { %2 = permute %1 {perm=[0]} return %2 "y" }
EOT
cat > cut.graph <<'EOT'
graph @f(%1 "x": f32[4,5]) { %2 = exp %1
EOT
cat > side.graph <<'EOT'
graph @f(%1 "x": f32[100]) { %2 = const {data=f32 blob(0, 100), dtype=f32, shape=[100]} return %2 "y" }
EOT
# An Add whose second operand lies in weights.bin, which is not there; an .npy of three floats.
python3 - <<'EOT'
import struct
def varint(v):
    out = b""
    while v > 127: out, v = out + bytes([v & 127 | 128]), v >> 7
    return out + bytes([v])
def field(n, value):
    if isinstance(value, int): return bytes([n << 3]) + varint(value)
    value = value if isinstance(value, bytes) else value.encode()
    return bytes([n << 3 | 2]) + varint(len(value)) + value
def value(name): return field(1, name) + field(2, field(1, field(1, 1) + field(2, field(1, field(1, 4)))))
tensor = field(1, 4) + field(2, 1) + field(8, "w") + field(13, field(1, "location") + field(2, "weights.bin")) + field(14, 1)
node = field(1, "x") + field(1, "w") + field(2, "y") + field(3, "sum") + field(4, "Add")
graph = field(1, node) + field(2, "g") + field(5, tensor) + field(11, value("x")) + field(12, value("y"))
open("external.onnx", "wb").write(field(1, 8) + field(8, field(2, 17)) + field(7, graph))
head = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }".ljust(69) + "\n"
open("x.npy", "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + bytes(12))
EOT
"$INGOT" compile m.graph --name=m -o m.loop
touch stdout stderr wanted before
ls -R > before

# mistake STATUS MESSAGE ARGUMENTS...
mistake() {
    local wanted=$1 text=$2
    shift 2
    expect "$wanted" "$text" "$INGOT" compile "$@"
    [ "$(cat stderr)" = "$text" ] || { echo "$*: expected exactly '$text', found"; cat stderr; return 1; }
    ls -R | cmp - before || { echo "$*: left something behind"; return 1; }
}
passes='passes: canon sink attend expand permute align rescale winograd interleave lines narrow bytes pack regroup fuse join schedule together plan'
declare='write name=7, name=1..64 or name=1..64%8'
mistake 1 'short.onnx: error: broken ModelProto message: field longer than its message; is this an ONNX model?' short.onnx -o out/l.so
mistake 1 'empty.onnx: error: broken ModelProto message: it holds no graph; is this an ONNX model?' empty.onnx -o out/l.so
mistake 1 "operator.onnx: node 'softmax' (Softmix): error: operator Softmix is not supported (did you mean Softmax?)" operator.onnx -o out/l.so
mistake 2 "error: 'batch=64..1' is no declaration of a dim; $declare" digits.onnx --dim batch=64..1 -o out/l.so
mistake 2 "error: 'batch=many' is no declaration of a dim; $declare" digits.onnx --dim batch=many -o out/l.so
mistake 2 "error: 'bach=1..64': the model has no dim of that name (did you mean batch?)" digits.onnx --dim bach=1..64 -o out/l.so
mistake 2 "error: 'seq=1..64': the model has no dim of that name; it has batch" digits.onnx --dim seq=1..64 -o out/l.so
mistake 2 "error: 'batch=3': the dim is declared already, as 'batch=1..64'" digits.onnx --dim batch=1..64,batch=3 -o out/l.so
mistake 2 "error: constant 'imag': the model has no input of that name (did you mean image?)" digits.onnx --constant imag=x.npy -o out/l.so
mistake 2 "digits.onnx: node 'image' (input): error: the constant for it has rank 1, expected 4" digits.onnx --constant image=x.npy -o out/l.so
mistake 4 "error: cannot open 'y.npy': No such file or directory" digits.onnx --constant image=y.npy -o out/l.so
mistake 2 "error: no pass 'fuze' to stop after (did you mean 'fuse'?); $passes" digits.onnx --stop-after=fuze -o out/l.graph
mistake 2 "error: no pass 'fuze' to run (did you mean 'fuse'?); $passes" digits.onnx --passes=canon,fuze -o out/l.graph
mistake 2 'error: the graph after --stop-after cannot become code: only --emit=graph and dot go with it' digits.onnx --stop-after=fuse --emit=so -o out/l.so
mistake 4 "external.onnx: node 'w' (initializer): error: cannot open 'weights.bin' in '.': No such file or directory" external.onnx -o out/l.so
mistake 1 'rank.graph:1:30: error: permute: perm has 1 numbers, 2 expected (operand f32[4,5])' rank.graph -o out/l.so
mistake 1 'huge.graph:1:10: error: param: result has more elements than memory can address' huge.graph -o out/l.so
mistake 1 "cut.graph:2:1: error: the text ends, 'return' expected" cut.graph -o out/l.so
mistake 1 'side.graph:1:63: error: the constant before this ends beyond the 0 bytes of the blob' side.graph -o out/l.so
mistake 4 "error: cannot read 'folder.onnx': it is a folder" folder.onnx -o out/l.so
mistake 4 "error: cannot write 'missing/l.so': No such file or directory" digits.onnx -o missing/l.so
mistake 4 "error: cannot write 'folder.onnx': Is a directory" digits.onnx --emit=so -o folder.onnx
mistake 2 "error: 'out' does not tell what to write: use a suffix such as .so, .a, .o, .c, or --emit" digits.onnx -o out
mistake 2 'error: --threads takes no number when compiling: the library serves any number of threads' digits.onnx --threads=4 -o out/l.so
mistake 2 'error: m.loop is Loop IR: name, target, cpu, threads, precision, place of weights, schedules, profile and self-tests are fixed in it' m.loop --cpu=x86-64-v4 -o out/l.so
mistake 2 "error: unknown cpu 'v9'; expected some of x86-64, x86-64-v3, x86-64-v4, x86-64-v4-vnni, x86-64-v4-bf16, x86-64-v4-amx, native" digits.onnx --cpu=v3,v9 -o out/l.so
mistake 2 "error: unknown cpu 'nativ' (did you mean 'native'?); expected some of x86-64, x86-64-v3, x86-64-v4, x86-64-v4-vnni, x86-64-v4-bf16, x86-64-v4-amx, native" digits.onnx --cpu=nativ -o out/l.so
mistake 2 "error: cpu: 'l2=3' is no size of this cache: expected 32K to 262144K, as in l1=48K,l2=1M,last=32M" digits.onnx --cpu=v4,l2=3 -o out/l.so
mistake 2 "error: cpu: 'l1=48k' is no size of this cache: expected 4K to 1024K, as in l1=48K,l2=1M,last=32M" digits.onnx --cpu=v4,l1=48k -o out/l.so
mistake 2 "error: cpu: 'l1=' is no size of this cache: expected 4K to 1024K, as in l1=48K,l2=1M,last=32M" digits.onnx --cpu=v4,l1= -o out/l.so
mistake 2 "error: cpu: 'l2=99999999999999999999G' is no size of this cache: expected 32K to 262144K, as in l1=48K,l2=1M,last=32M" digits.onnx --cpu=v4,l2=99999999999999999999G -o out/l.so
mistake 2 "error: cpu: 'l3=8M' gives nothing that is known: expected l1=, l2= or last= and the size of this cache" digits.onnx --cpu=v4,l3=8M -o out/l.so
mistake 2 "error: cpu: 'l2=1M' gives sizes alone: expected a cpu as well, such as v3,v4,l2=1M" digits.onnx --cpu=l2=1M -o out/l.so
mistake 2 "error: cpu: caches of 512K, 256K and 32768K on x86-64-v4: expected that none is smaller than the one before; give l1=, l2= and last= together" digits.onnx --cpu=v4,l1=512K,l2=256K -o out/l.so
for name in int class ingot ingot_model main; do
    mistake 2 "error: '$name' cannot be the model's name: it is a word of C, C++ or ingot's own headers; add to it" \
        digits.onnx --name=$name -o out/l.so
done
mistake 2 "error: --limits=: expected memory and seconds, such as 2G,60" digits.onnx --limits= -o out/l.so
mistake 2 "error: 'batch=1..99999999999999999999' is no declaration of a dim; write name=7, name=1..64 or name=1..64%8" \
    digits.onnx --dim batch=1..99999999999999999999 -o out/l.so
mistake 2 "error: unknown precision 'foo'; expected one of f32, bf16, f64" digits.onnx --precision=foo -o out/l.so
mistake 2 'error: precision bf16 needs fused multiply-add, which x86-64 lacks: leave it out of --cpu' digits.onnx --precision=bf16 --cpu=x86-64 -o out/l.so
mistake 2 'error: x86-64 and x86-64-v3 differ in bits (fused multiply-add): one artifact cannot hold both; compile two' digits.onnx --cpu=x86-64,v3 -o out/l.so
mistake 2 "error: unknown backend 'gpu'; expected one of llvm, c, interpreter" digits.onnx --backend=gpu -o out/l.so
mistake 1 'error: out of memory: compiling needs more than the limit of 307200 bytes; raise the memory limit or compile a smaller model' digits.onnx --limits=300K -o out/l.so
