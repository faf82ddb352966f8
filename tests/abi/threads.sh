# Check 5: no thread exists unless asked for; serial, reversed and shuffled parallel.run give the same bits as one thread.
. "$(dirname "$0")/common.bash"
ingot compile digits.onnx -o libdigits.so
ingot compile digits.onnx --threads --name=pooled -o libpooled.so
host threads
./threads
