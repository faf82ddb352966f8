# Check 8: the bytes that query names suffice between guard pages, one fewer is INGOT_E_MEMORY, and more is never less.
. "$(dirname "$0")/common.bash"
ingot compile pair.graph -o libpair.so
ingot compile digits.onnx --dim batch=0..64 -o libdigits.so
host memory
./memory
