#!/bin/sh
# The cluster of compose.yaml:  tools/cluster.sh image | up | down
#
# PROJECT names its containers, networks and volumes, DIR is where its certificates are, and
# IMAGE is its image. "down" ends the containers and keeps the data; KEEP=no removes both. With
# DOCKER=yes agents have the engine's socket and run Docker tasks beside themselves; EXTRA names a
# file more for compose.
set -eu
cd "$(dirname "$0")/.."
: "${PROJECT:=synod}" "${DIR:=$PWD/.cluster}" "${IMAGE:=synod:latest}" "${NODE:=bin/node}"
case $DIR in /*) ;; *) DIR=$PWD/$DIR ;; esac
COMPOSE="docker-compose"
docker-compose version >/dev/null 2>&1 || COMPOSE="docker compose"
export COMPOSE_HTTP_TIMEOUT="${COMPOSE_HTTP_TIMEOUT:-300}" # of docker-compose 1, whose minute is short for a busy machine
compose() { $COMPOSE -p "$PROJECT" -f compose.yaml $FILES "$@"; }

# The user of the containers owns their keys. Nobody but root can give files away.
if [ "$(id -u)" = 0 ]; then SYNOD_USER=65532:65532; else SYNOD_USER=$(id -u):$(id -g); fi
SYNOD_IMAGE=$IMAGE SYNOD_TLS=$DIR/tls SYNOD_PROJECT=$PROJECT FILES=
export SYNOD_USER SYNOD_IMAGE SYNOD_TLS SYNOD_PROJECT

# socket finds the engine's, and the group to which it belongs.
socket() {
	SYNOD_DOCKER_SOCKET=/var/run/docker.sock
	case ${DOCKER_HOST:-} in
	'') ;;
	unix://*) SYNOD_DOCKER_SOCKET=${DOCKER_HOST#unix://} ;;
	*)
		echo "DOCKER=yes needs the engine's socket on this machine, and DOCKER_HOST is $DOCKER_HOST" >&2
		exit 1
		;;
	esac
	SYNOD_DOCKER_GROUP=$(stat -c %g "$SYNOD_DOCKER_SOCKET")
	export SYNOD_DOCKER_SOCKET SYNOD_DOCKER_GROUP
	FILES="-f compose.docker.yaml"
}
if [ "${DOCKER:-no}" = yes ]; then socket; fi
if [ -n "${EXTRA:-}" ]; then FILES="$FILES -f $EXTRA"; fi

# tasks ends the containers of Docker tasks, which are not of compose. The agents have to be down:
# they would have others in their place.
tasks() {
	list=$(docker ps -aq --filter "label=synod.cluster=$PROJECT")
	if [ -z "$list" ]; then return; fi
	# shellcheck disable=SC2086
	docker stop -t 3 $list >/dev/null
	if [ "${KEEP:-yes}" != no ]; then return; fi
	# shellcheck disable=SC2086
	docker rm -fv $list >/dev/null
}

# volumes removes those that tasks of the cluster have had made.
volumes() {
	list=$(docker volume ls -q --filter "label=synod.cluster=$PROJECT")
	if [ -z "$list" ]; then return; fi
	# shellcheck disable=SC2086
	docker volume rm $list >/dev/null || echo "these volumes stay" >&2
}

image() {
	stage=$(mktemp -d)
	trap 'rm -rf "$stage"' EXIT
	mkdir -m 1777 "$stage/root" "$stage/root/data" "$stage/root/tmp"
	chmod 1777 "$stage/root/data" "$stage/root/tmp"
	chmod 755 "$stage/root"
	install -m 0755 "$NODE" "$stage/root/node"
	old=$(docker image inspect -f '{{.Id}}' "$IMAGE" 2>/dev/null || true)
	DOCKER_CLI_HINTS=false docker build -q -t "$IMAGE" -f Dockerfile --build-arg "VERSION=$(cat VERSION)" \
		--build-arg "REVISION=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)" "$stage" >/dev/null
	if [ -n "$old" ] && [ "$old" != "$(docker image inspect -f '{{.Id}}' "$IMAGE")" ]; then
		docker image rm "$old" >/dev/null 2>&1 || true # containers that are still there need it
	fi
}

# certificates are made once. The authority's key stays in DIR/ca, which no container sees.
certificates() {
	[ -e "$DIR/tls/complete" ] && return
	rm -rf "$DIR/ca" "$DIR/tls"
	mkdir -p "$DIR/ca" "$DIR/tls"
	chmod 700 "$DIR/ca"
	"$NODE" tls init --quiet --dir "$DIR/ca" --cluster "$PROJECT" >/dev/null
	for name in n1 n2 n3 a1 a2 a3 operator; do
		role=node files=gossip.key
		case $name in a?) role=agent files= ;; operator) role=client files= ;; esac
		"$NODE" tls issue "$name" --quiet --dir "$DIR/ca" --role $role --host "$name,127.0.0.1,localhost" >/dev/null
		mkdir -m 700 "$DIR/tls/$name"
		mv "$DIR/ca/$name.pem" "$DIR/ca/$name-key.pem" "$DIR/tls/$name"
		for file in ca.pem $files; do cp -p "$DIR/ca/$file" "$DIR/tls/$name"; done
		if [ "$(id -u)" = 0 ] && [ $name != operator ]; then chown -R $SYNOD_USER "$DIR/tls/$name"; fi
	done
	: >"$DIR/tls/complete"
}

# environment is what the commands of a shell on this machine need.
environment() {
	echo "export NODE_ADDR=127.0.0.1:${SYNOD_PORT_1:-4700},127.0.0.1:${SYNOD_PORT_2:-4710},127.0.0.1:${SYNOD_PORT_3:-4720}"
	echo "export NODE_TLS_CA=$DIR/tls/operator/ca.pem NODE_TLS_CERT=$DIR/tls/operator/operator.pem NODE_TLS_KEY=$DIR/tls/operator/operator-key.pem"
}

case ${1:-} in
image) image ;;
up)
	certificates
	compose up -d
	environment >"$DIR/env"
	# shellcheck source=/dev/null
	. "$DIR/env"
	"$NODE" wait --quiet --voters 3 --timeout "${WAIT:-30s}"
	echo "the cluster serves. In this shell:  . $DIR/env"
	;;
down)
	compose stop a1 a2 a3
	tasks
	if [ "${KEEP:-yes}" = no ]; then
		volumes
		compose down -v
		rm -rf "$DIR/ca" "$DIR/tls" "$DIR/env"
	else
		compose down
	fi
	;;
*)
	echo "usage: tools/cluster.sh image | up | down" >&2
	exit 2
	;;
esac
