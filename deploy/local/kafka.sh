#!/usr/bin/env bash
# Runs a real Apache Kafka and a schema registry on this machine: Java 17 and Maven, nothing else.
#
#   kafka.sh up [kafka|registry]     fetch what is missing, start, wait until ready
#   kafka.sh wait [kafka|registry]   wait until ready
#   kafka.sh down                    stop both and delete their data (downloads stay)
#   kafka.sh status                  say what runs; exit code 0 when both do
#   kafka.sh topics|configs|groups|consume|produce ARGS...   Kafka's own console tools
#
# Ports are on loopback and can be chosen, so that several pairs run side by side:
#   DRIFTLINE_KAFKA_PORT (29092, its controller one above)   DRIFTLINE_REGISTRY_PORT (28081)
#
# One node, plain text, no authentication: for development and tests, never for real data.
set -euo pipefail

KAFKA_PORT="${DRIFTLINE_KAFKA_PORT:-29092}"
CONTROLLER_PORT=$((KAFKA_PORT + 1))
REGISTRY_PORT="${DRIFTLINE_REGISTRY_PORT:-28081}"
READY_SECONDS="${DRIFTLINE_READY_SECONDS:-120}"

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
WORK="$HERE/.work"
KAFKA_LIBS="$WORK/kafka-4.3.1"
REGISTRY_VERSION=3.0.9
REGISTRY_LIBS="$WORK/registry-$REGISTRY_VERSION"
# 2.8 is the last one that fetches a single artifact whose parent POM is not published.
COPY_PLUGIN=org.apache.maven.plugins:maven-dependency-plugin:2.8
KAFKA_HOME="$WORK/kafka-$KAFKA_PORT"
REGISTRY_HOME="$WORK/registry-at-$REGISTRY_PORT"
BROKER="127.0.0.1:$KAFKA_PORT"
REGISTRY="http://127.0.0.1:$REGISTRY_PORT/apis/ccompat/v7"

say() { printf 'kafka.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

java_bin() {
  if [[ -n "${JAVA_HOME:-}" && -x "$JAVA_HOME/bin/java" ]]; then
    printf '%s' "$JAVA_HOME/bin/java"
  else
    command -v java || die "java not found: install a Java 17 runtime or set JAVA_HOME"
  fi
}

check_java() {
  local version
  version="$("$(java_bin)" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1)"
  [[ "${version:-0}" -ge 17 ]] ||
    die "Kafka 4 needs Java 17 or newer, found ${version:-none} at $(java_bin)"
}

# Runs Maven; its output is shown only when it fails.
fetch() {
  command -v mvn >/dev/null || die "mvn not found: install Maven 3.6 or newer"
  local log="$WORK/fetch.$$.log"
  if ! mvn -q -B "$@" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "could not fetch from Maven Central (see above); is the network there?"
  fi
  rm -f "$log"
}

# Downloads go to a folder of their own that is renamed when complete, so that a broken or a
# second concurrent download is never taken for a whole one.
fetch_kafka() {
  [[ -d "$KAFKA_LIBS" ]] && return
  say "fetching Apache Kafka (about 55 MB, once)"
  local partial="$WORK/partial-kafka.$$"
  mkdir -p "$partial"
  fetch -f "$HERE/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime "-DoutputDirectory=$partial"
  mv "$partial" "$KAFKA_LIBS" 2>/dev/null || rm -rf "$partial"
}

fetch_registry() {
  [[ -d "$REGISTRY_LIBS" ]] && return
  say "fetching Apicurio Registry (about 110 MB, once)"
  local partial="$WORK/partial-registry.$$"
  mkdir -p "$partial"
  fetch -f "$HERE/pom.xml" "$COPY_PLUGIN:copy" "-DoutputDirectory=$partial" \
    "-Dartifact=io.apicurio:apicurio-registry-app:$REGISTRY_VERSION:tar.gz:all"
  tar -xzf "$partial"/*.tar.gz -C "$partial"
  rm -f "$partial"/*.tar.gz
  mv "$partial" "$REGISTRY_LIBS" 2>/dev/null || rm -rf "$partial"
}

alive() { [[ -f "$1/pid" ]] && kill -0 "$(cat "$1/pid")" 2>/dev/null; }

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

kafka_ready() { grep -q 'Kafka Server started' "$KAFKA_HOME/broker.log" 2>/dev/null && answers "$KAFKA_PORT"; }

registry_ready() {
  answers "$REGISTRY_PORT" || return 1
  local status=""
  exec 3<>"/dev/tcp/127.0.0.1/$REGISTRY_PORT"
  printf 'GET /apis/ccompat/v7/subjects HTTP/1.0\r\n\r\n' >&3
  read -r -t 5 status <&3 || true
  exec 3>&-
  [[ "$status" == *" 200 "* ]]
}

write_kafka_files() {
  cat >"$KAFKA_HOME/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$CONTROLLER_PORT
listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT,CONTROLLER://127.0.0.1:$CONTROLLER_PORT
advertised.listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT,CONTROLLER://127.0.0.1:$CONTROLLER_PORT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$KAFKA_HOME/data
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=2
log.cleaner.backoff.ms=1000
PROPERTIES
  cat >"$KAFKA_HOME/log4j2.properties" <<'PROPERTIES'
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
PROPERTIES
}

start_kafka() {
  if alive "$KAFKA_HOME"; then return; fi
  if answers "$KAFKA_PORT"; then die "port $KAFKA_PORT is taken by something else; set DRIFTLINE_KAFKA_PORT"; fi
  fetch_kafka
  mkdir -p "$KAFKA_HOME"
  write_kafka_files
  if [[ ! -f "$KAFKA_HOME/data/meta.properties" ]]; then
    local id
    id="$("$(java_bin)" -cp "$KAFKA_LIBS/*" kafka.tools.StorageTool random-uuid 2>/dev/null | tail -1)"
    "$(java_bin)" -cp "$KAFKA_LIBS/*" kafka.tools.StorageTool format --standalone -t "$id" \
      -c "$KAFKA_HOME/server.properties" >"$KAFKA_HOME/format.log" 2>&1 ||
      { tail -n 20 "$KAFKA_HOME/format.log" >&2; die "could not format $KAFKA_HOME/data"; }
  fi
  : >"$KAFKA_HOME/broker.log"
  nohup "$(java_bin)" -Xms256m -Xmx512m -cp "$KAFKA_LIBS/*" \
    "-Dlog4j2.configurationFile=$KAFKA_HOME/log4j2.properties" \
    kafka.Kafka "$KAFKA_HOME/server.properties" \
    </dev/null >>"$KAFKA_HOME/broker.log" 2>&1 &
  echo $! >"$KAFKA_HOME/pid"
}

start_registry() {
  if alive "$REGISTRY_HOME"; then return; fi
  if answers "$REGISTRY_PORT"; then die "port $REGISTRY_PORT is taken by something else; set DRIFTLINE_REGISTRY_PORT"; fi
  fetch_registry
  mkdir -p "$REGISTRY_HOME"
  local jar
  jar="$(find "$REGISTRY_LIBS" -maxdepth 2 -name 'apicurio-registry-app-*-runner.jar' -print -quit)"
  [[ -n "$jar" ]] || die "no runner jar in $REGISTRY_LIBS: delete the folder and try again"
  : >"$REGISTRY_HOME/registry.log"
  nohup "$(java_bin)" -Xmx384m -Dquarkus.http.host=127.0.0.1 "-Dquarkus.http.port=$REGISTRY_PORT" \
    -jar "$jar" </dev/null >>"$REGISTRY_HOME/registry.log" 2>&1 &
  echo $! >"$REGISTRY_HOME/pid"
}

# Polls `$1_ready` until it holds, the process has gone, or the time is up.
await() {
  local name="$1" home="$2" log="$3" ends=$((SECONDS + READY_SECONDS))
  until "${name}_ready"; do
    alive "$home" || { tail -n 20 "$home/$log" >&2 2>/dev/null; die "$name is not running (log: $home/$log)"; }
    [[ $SECONDS -lt $ends ]] || die "$name not ready after $READY_SECONDS s (log: $home/$log)"
    sleep 0.1
  done
}

wait_ready() {
  if [[ "$1" != registry ]]; then await kafka "$KAFKA_HOME" broker.log; fi
  if [[ "$1" != kafka ]]; then await registry "$REGISTRY_HOME" registry.log; fi
}

up() {
  check_java
  mkdir -p "$WORK"
  if [[ "$1" != registry ]]; then start_kafka; fi
  if [[ "$1" != kafka ]]; then start_registry; fi
  wait_ready "$1"
  if [[ "$1" != registry ]]; then say "Kafka is ready at $BROKER"; fi
  if [[ "$1" != kafka ]]; then say "the registry is ready at $REGISTRY"; fi
  say "next: put these into 'kafka.bootstrap_servers' and 'registry.url', then 'driftline run'"
  say "stop: $0 down"
}

stop() {
  local home="$1" pid ends
  if alive "$home"; then
    pid="$(cat "$home/pid")"
    kill "$pid" 2>/dev/null || true
    ends=$((SECONDS + 15))
    while kill -0 "$pid" 2>/dev/null && [[ $SECONDS -lt $ends ]]; do sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
  fi
  rm -rf "$home"
}

status() {
  local all=0
  if alive "$KAFKA_HOME" && kafka_ready; then say "Kafka runs at $BROKER, pid $(cat "$KAFKA_HOME/pid")"
  else say "Kafka does not run at $BROKER"; all=1; fi
  if alive "$REGISTRY_HOME" && registry_ready; then say "the registry runs at $REGISTRY, pid $(cat "$REGISTRY_HOME/pid")"
  else say "the registry does not run at $REGISTRY"; all=1; fi
  return $all
}

tool() {
  local class="$1"
  shift
  [[ -d "$KAFKA_LIBS" ]] || die "nothing fetched yet: $0 up"
  "$(java_bin)" -cp "$KAFKA_LIBS/*" "$class" --bootstrap-server "$BROKER" "$@" 2> >(grep -v -e log4j -e SLF4J >&2)
}

usage() { sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

what() {
  case "${1:-both}" in
    kafka | registry | both) printf '%s' "${1:-both}" ;;
    *) die "unknown part '$1': kafka or registry" ;;
  esac
}

case "${1:-}" in
  up) up "$(what "${2:-both}")" ;;
  wait) wait_ready "$(what "${2:-both}")" ;;
  down) stop "$KAFKA_HOME"; stop "$REGISTRY_HOME"; say "stopped" ;;
  status) status ;;
  topics) shift; tool org.apache.kafka.tools.TopicCommand "$@" ;;
  configs) shift; tool kafka.admin.ConfigCommand "$@" ;;
  groups) shift; tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand "$@" ;;
  consume) shift; tool org.apache.kafka.tools.consumer.ConsoleConsumer "$@" ;;
  produce) shift; tool org.apache.kafka.tools.ConsoleProducer "$@" ;;
  -h | --help | help) usage ;;
  *) usage >&2; exit 64 ;;
esac
