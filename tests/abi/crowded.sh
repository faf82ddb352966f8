# More workers than CPUs cost little, and change no bit.
. "$(dirname "$0")/common.bash"
ingot compile digits.onnx --threads --name=pooled -o libpooled.so
host crowded
./crowded
