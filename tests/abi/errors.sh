# Checks 9 and 10: every error names the tensor, what was found and what was expected, and leaves outputs as they were; outputs
# of unknown extent are lent, or a short buffer is told with the true dims.
. "$(dirname "$0")/common.bash"
ingot compile pair.graph -o libpair.so
ingot compile digits.onnx -o libdigits.so
host errors
./errors
