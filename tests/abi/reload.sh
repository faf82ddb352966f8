# Check 12: a thousand times dlopen, run and dlclose leave memory and threads flat; a forked child runs.
. "$(dirname "$0")/common.bash"
ingot compile digits.onnx -o libdigits.so
ingot compile digits.onnx --threads --name=pooled -o libpooled.so
host reload
./reload
