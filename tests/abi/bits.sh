# Check 6: the same bits over 1, 2, 4 workers, for a row alone and in a batch of 8, on AVX2 and AVX-512, as tiers of one library
# and compiled alone; the caller's float mode neither matters nor changes.
. "$(dirname "$0")/common.bash"
ingot compile digits.onnx --threads -o libboth.so
ingot compile digits.onnx --threads --cpu=v3 -o libv3.so
libraries="./libboth.so ./libv3.so"
if grep -qw avx512vl /proc/cpuinfo; then
    ingot compile digits.onnx --threads --cpu=v4 -o libv4.so
    libraries="$libraries ./libv4.so"
else
    echo "this machine has no AVX-512: tiers are not compared"
fi
host bits
./bits $libraries
