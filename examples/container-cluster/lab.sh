#!/bin/sh
# The lab of lab.yaml on the cluster of compose.yaml:  lab.sh image | up | down
#
# "up" needs the cluster of `make cluster-up DOCKER=yes`. PROJECT, DIR and NODE are those of tools/cluster.sh.
# IMAGE is the lab's image, CPUS and MEMORY what each member may have, and PORT where the notebook is found.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
: "${PROJECT:=synod}" "${DIR:=$PWD/.cluster}" "${NODE:=bin/node}" "${IMAGE:=synod-lab:scratch}" "${CPUS:=0.5}" "${MEMORY:=256MiB}" "${PORT:=8888}"
case $DIR in /*) ;; *) DIR=$PWD/$DIR ;; esac

# image makes the scratch image of $NODE and of member.
image() {
	stage=$(mktemp -d)
	trap 'rm -rf "$stage"' EXIT
	mkdir -p "$stage/root/bin" "$stage/root/etc/lab" "$stage/root/run/lab" "$stage/root/shared" "$stage/root/tls"
	mkdir -m 1777 "$stage/root/tmp"
	chmod 1777 "$stage/root/tmp"
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$stage/root/member" ./examples/container-cluster/member
	install -m 0755 "$NODE" "$stage/root/node"
	for name in ssh hostname cat tee ls; do ln -s /member "$stage/root/bin/$name"; done
	cp "$here"/etc/* "$stage/root/etc/lab"
	old=$(docker image inspect -f '{{.Id}}' "$IMAGE" 2>/dev/null || true)
	docker build -q -t "$IMAGE" -f "$here/Dockerfile" "$stage" >/dev/null
	if [ -n "$old" ] && [ "$old" != "$(docker image inspect -f '{{.Id}}' "$IMAGE")" ]; then
		docker image rm "$old" >/dev/null 2>&1 || true # containers that are still there need it
	fi
}

# secrets fills the volume that members read: a certificate with which they are clients of the
# cluster, and the notebook's token.
secrets() {
	[ -e "$DIR/lab/complete" ] || {
		rm -rf "$DIR/lab" "$DIR/ca/lab.pem" "$DIR/ca/lab-key.pem"
		mkdir -m 700 "$DIR/lab"
		"$NODE" tls issue lab --quiet --dir "$DIR/ca" --role client >/dev/null
		mv "$DIR/ca/lab.pem" "$DIR/ca/lab-key.pem" "$DIR/lab"
		cp "$DIR/ca/ca.pem" "$DIR/lab"
		od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$DIR/lab/token"
		: >"$DIR/lab/complete"
	}
	docker volume create --label "synod.cluster=$PROJECT" "$PROJECT-lab-tls" >/dev/null
	docker volume create --label "synod.cluster=$PROJECT" "$PROJECT-lab-shared" >/dev/null
	filler=$(docker create -v "$PROJECT-lab-tls:/tls" "$IMAGE")
	tar -C "$DIR/lab" --owner=0 --group=0 -c ca.pem lab.pem lab-key.pem token | docker cp - "$filler:/tls"
	docker rm "$filler" >/dev/null
}

jobs() {
	sed -e "s/synod_agents/${PROJECT}_agents/; s/synod-lab-\(shared\|tls\)/$PROJECT-lab-\1/g" \
		-e "s|synod-lab:scratch|$IMAGE|; s/host: 8888/host: $PORT/; s/cpus: 0.5/cpus: $CPUS/; s/memory: 256MiB/memory: $MEMORY/" "$here/lab.yaml"
}

case ${1:-} in
image) image ;;
up)
	# shellcheck source=/dev/null
	. "$DIR/env"
	secrets
	jobs >"$DIR/lab/lab.yaml"
	"$NODE" run "$DIR/lab/lab.yaml" --timeout 60s
	echo "the notebook is at http://127.0.0.1:$PORT/?token=$(cat "$DIR/lab/token")"
	;;
down)
	# shellcheck source=/dev/null
	. "$DIR/env"
	for job in lab lab-proxy; do "$NODE" stop $job --timeout 60s || true; done # what is left of it goes with the cluster
	docker volume rm -f "$PROJECT-lab-shared" "$PROJECT-lab-tls" >/dev/null || echo "these volumes go with the cluster" >&2
	rm -rf "$DIR/lab"
	;;
*)
	echo "usage: examples/container-cluster/lab.sh image | up | down" >&2
	exit 2
	;;
esac
