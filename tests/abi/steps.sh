# Between kernels: a call is cancelled where its flag is set, and its trace hears of every kernel.
. "$(dirname "$0")/common.bash"
ingot compile digits.onnx -o libdigits.so
host steps
./steps
