#!/bin/sh
# The full image of the lab, from Debian's packages and no registry:  build.sh [base | image]
#
# "base" makes the Debian root with mmdebstrap, as root, and takes some minutes; "image" puts the two binaries into
# it. Without a word both are done, the base only if it is missing. NODE, IMAGE, BASE, SUITE and MIRROR say what and where.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../.."
: "${NODE:=bin/node}" "${IMAGE:=synod-lab:full}" "${BASE:=synod-lab-base:bookworm}" "${SUITE:=bookworm}" "${MIRROR:=http://deb.debian.org/debian}"

# base is a Debian without what no member needs: documents, languages, and the packages that others only recommend.
base() {
	command -v mmdebstrap >/dev/null || {
		echo "build.sh needs mmdebstrap:  apt-get install mmdebstrap" >&2
		exit 1
	}
	[ "$(id -u)" = 0 ] || {
		echo "build.sh needs root for a Debian root: try  sudo $0 base" >&2
		exit 1
	}
	root=$(mktemp)
	trap 'rm -f "$root"' EXIT
	mmdebstrap --quiet --variant=minbase --include=openssh-server,openssh-client,jupyter-notebook \
		--aptopt='APT::Install-Recommends "false"' --dpkgopt=force-unsafe-io \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--customize-hook='rm -f "$1"/etc/ssh/ssh_host_*' \
		"$SUITE" - "$MIRROR" >"$root"
	docker import "$root" "$BASE" >/dev/null
	rm -f "$root"
	trap - EXIT
}

image() {
	stage=$(mktemp -d)
	trap 'rm -rf "$stage"' EXIT
	cp -R "$here/root" "$stage/root"
	mkdir -p "$stage/root/etc/lab" "$stage/root/run/lab" "$stage/root/shared" "$stage/root/tls"
	cp "$here"/../etc/* "$stage/root/etc/lab"
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$stage/root/member" ./examples/container-cluster/member
	install -m 0755 "$NODE" "$stage/root/node"
	docker build -q -t "$IMAGE" -f "$here/Dockerfile" --build-arg "BASE=$BASE" "$stage" >/dev/null
}

case ${1:-all} in
base) base ;;
image) image ;;
all)
	docker image inspect "$BASE" >/dev/null 2>&1 || base
	image
	;;
*)
	echo "usage: examples/container-cluster/full/build.sh [base | image]" >&2
	exit 2
	;;
esac
