# Sourced: run named steps, time each, go on after a failure, and tell at the end.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export GOFLAGS="${GOFLAGS:--tags=goolm}" CGO_ENABLED=1
failed=()
step() { # step NAME COMMAND…
	local name=$1 began=$SECONDS status=ok
	shift
	echo "== $name"
	"$@" || { status="FAILED (exit $?)"; failed+=("$name"); }
	echo "== $name: $status, $((SECONDS - began)) s"
}
finish() { # exit 1 if a step failed
	((${#failed[@]} == 0)) && return 0
	printf 'FAIL: %s\n' "${failed[@]}" >&2
	return 1
}
