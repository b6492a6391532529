#!/bin/sh
# One fuzz target for a time:  fuzz.sh PACKAGE TARGET TIME
#
# Before Go 1.27 the fuzzer can end with "context deadline exceeded" and no input that fails when its time is over, by a
# race of its own (golang/go#75804): that is no finding. An input that hangs or ends the process is reported in other words.
set -u
out=$(mktemp)
trap 'rm -f "$out"' EXIT
"${GO:-go}" test "$1" -run '^$' -fuzz "^$2\$" -fuzztime "$3" >"$out" 2>&1
status=$?
cat "$out"
if [ "$status" != 0 ] && grep -qx '    context deadline exceeded' "$out" && ! grep -q 'Failing input\|hung or terminated\|panic\|_test.go:' "$out"; then
	echo "no input has failed: that is golang/go#75804"
	status=0
fi
exit "$status"
