# A host's parallel_for is as fast as our pool: prints both.
. "$(dirname "$0")/common.bash"
ingot compile digits.onnx --threads --name=pooled -o libpooled.so
host parallel
./parallel
