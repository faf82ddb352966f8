# Check 11: weights embedded, beside the library, by path, in memory and read through a callback give the same results; a swap
# under load yields old or new results alone.
. "$(dirname "$0")/common.bash"
ingot compile digits.onnx -o libdigits.so
ingot compile digits.onnx --weights=file --name=outside -o liboutside.so
ingot compile digits.onnx --weights=extern --name=given -o libgiven.so
test -s outside.weights
test ! -e given.weights
# Other weights of the same layout: the last bytes, dense2's bias or weights, are exchanged.
python3 - <<'END'
import hashlib
data = bytearray(open("outside.weights", "rb").read())
body = data[64:]
import struct
floats = list(struct.unpack(f"<{len(body) // 4}f", body))
floats = [x * 0.5 for x in floats]
body = struct.pack(f"<{len(floats)}f", *floats)
open("other.weights", "wb").write(data[:32] + hashlib.sha256(body).digest() + body)
damaged = bytearray(data)
damaged[100] ^= 1
open("damaged.weights", "wb").write(damaged)
END
host weights
./weights
