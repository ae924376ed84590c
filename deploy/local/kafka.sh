#!/usr/bin/env bash
# Runs a real Apache Kafka and a schema registry on this machine: Java 17 and Maven, nothing else.
#
#   kafka.sh up [kafka|registry]     fetch what is missing, start, wait until ready
#   kafka.sh wait [kafka|registry]   wait until ready
#   kafka.sh down                    stop both and delete their data (downloads stay)
#   kafka.sh status                  say what runs; exit code 0 when both do
#   kafka.sh topics|configs|groups|consume|produce ARGS...   Kafka's own console tools
#
#   kafka.sh up|wait|down|status secured   a second broker with TLS, log-in and rights
#   kafka.sh acls|scram ARGS...            its rights and its users' passwords, as its admin
#   kafka.sh certificate NAME FILE         FILE.pem and FILE.key for a client NAME of it
#   kafka.sh token NAME [SECONDS]          a signed token for NAME, good for an hour or so long
#   DRIFTLINE_KERBEROS=1 kafka.sh up secured    the same with a KDC of MIT Kerberos beside it
#   kafka.sh keytab NAME FILE                   a principal NAME of it, and its key
#
# Ports are on loopback and can be chosen, so that several pairs run side by side:
#   DRIFTLINE_KAFKA_PORT (29092, its controller one above)   DRIFTLINE_REGISTRY_PORT (28081)
# The secured broker listens two (SASL_SSL) and three (SSL) above the first, its controller four and
# its KDC five.
#
# One node, plain text, no authentication: for development and tests, never for real data. The
# secured one has users `admin` and `driftline` with passwords made at its start.
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
SECURED_PORT=$((KAFKA_PORT + 2))
SECURED_HOME="$WORK/secured-$SECURED_PORT"
TOKEN_ISSUER=driftline-local
TOKEN_AUDIENCE=kafka-local
REGISTRY="http://127.0.0.1:$REGISTRY_PORT/apis/ccompat/v7"

# shellcheck source-path=SCRIPTDIR source=kerberos.sh
source "$HERE/kerberos.sh"

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

secured_ready() {
  grep -q 'Kafka Server started' "$SECURED_HOME/broker.log" 2>/dev/null && answers "$SECURED_PORT"
}

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
$(common_settings)
PROPERTIES
}

# Of one node that starts quickly and does not wait for others.
common_settings() {
  cat <<'PROPERTIES'
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
}

# Makes the data folder of a broker whose server.properties are written: HOME FORMAT_ARGS...
format() {
  local home="$1" id
  shift
  id="$("$(java_bin)" -cp "$KAFKA_LIBS/*" kafka.tools.StorageTool random-uuid 2>/dev/null | tail -1)"
  "$(java_bin)" -cp "$KAFKA_LIBS/*" kafka.tools.StorageTool format --standalone -t "$id" "$@" \
    -c "$home/server.properties" >"$home/format.log" 2>&1 ||
    { tail -n 20 "$home/format.log" >&2; die "could not format $home/data"; }
}

# Starts the broker of a HOME.
launch() {
  local home="$1"
  cat >"$home/log4j2.properties" <<'PROPERTIES'
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
PROPERTIES
  : >"$home/broker.log"
  nohup "$(java_bin)" -Xms256m -Xmx512m -cp "$KAFKA_LIBS/*" \
    "-Dlog4j2.configurationFile=$home/log4j2.properties" \
    "-Djava.security.krb5.conf=$home/kerberos/krb5.conf" \
    "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://$home/token.keys" \
    kafka.Kafka "$home/server.properties" \
    </dev/null >>"$home/broker.log" 2>&1 &
  echo $! >"$home/pid"
}

start_kafka() {
  if alive "$KAFKA_HOME"; then return; fi
  if answers "$KAFKA_PORT"; then die "port $KAFKA_PORT is taken by something else; set DRIFTLINE_KAFKA_PORT"; fi
  fetch_kafka
  mkdir -p "$KAFKA_HOME"
  write_kafka_files
  if [[ ! -f "$KAFKA_HOME/data/meta.properties" ]]; then format "$KAFKA_HOME"; fi
  launch "$KAFKA_HOME"
}

# A certificate for NAME of the secured broker's own authority: FILE.pem and FILE.key.
certificate() {
  local name="$1" file="$2" ca="$SECURED_HOME/ca"
  [[ -f "$ca.key" ]] || die "no secured broker at port $SECURED_PORT: $0 up secured"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" \
    -keyout "$file.key.new" -out "$file.csr" 2>/dev/null
  openssl x509 -req -in "$file.csr" -CA "$ca.pem" -CAkey "$ca.key" -days 30 \
    -set_serial "0x$(openssl rand -hex 8)" \
    -extfile <(printf 'subjectAltName=IP:127.0.0.1,DNS:localhost') -out "$file.pem.new" 2>/dev/null
  mv "$file.key.new" "$file.key"
  mv "$file.pem.new" "$file.pem"
  rm -f "$file.csr"
}

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

# The public half of the key that signs tokens, as brokers read it.
token_keys() {
  local modulus
  modulus="$(openssl rsa -in "$1" -noout -modulus 2>/dev/null | sed 's/.*=//; s/../\\x&/g')"
  printf '{"keys":[{"kty":"RSA","alg":"RS256","use":"sig","kid":"local","e":"AQAB","n":"%s"}]}\n' \
    "$(printf '%b' "$modulus" | base64url)"
}

# A token as an identity provider would give it: NAME [SECONDS], [KEY] to sign with another key.
token() {
  local name="$1" seconds="${2:-3600}" key="${3:-$SECURED_HOME/token.key}" now head claims
  [[ -f "$key" ]] || die "no secured broker at port $SECURED_PORT: $0 up secured"
  now="$(date +%s)"
  head="$(printf '{"alg":"RS256","kid":"local"}' | base64url)"
  claims="$(printf '{"iss":"%s","aud":"%s","sub":"%s","iat":%d,"exp":%d}' \
    "$TOKEN_ISSUER" "$TOKEN_AUDIENCE" "$name" "$now" "$((now + seconds))" | base64url)"
  printf '%s.%s.%s\n' "$head" "$claims" \
    "$(printf '%s.%s' "$head" "$claims" | openssl dgst -sha256 -sign "$key" -binary | base64url)"
}

write_secured_files() {
  local home="$SECURED_HOME"
  (
    umask 077
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
      -subj "/CN=driftline test authority" -keyout "$home/ca.key" -out "$home/ca.pem" 2>/dev/null
    certificate broker "$home/broker"
    cat "$home/broker.key" "$home/broker.pem" >"$home/keystore.pem"
    openssl genrsa -out "$home/token.key" 2048 2>/dev/null
    token_keys "$home/token.key" >"$home/token.keys"
    openssl rand -hex 16 >"$home/admin.password"
    openssl rand -hex 16 >"$home/driftline.password"
    cat >"$home/admin.properties" <<PROPERTIES
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="admin" password="$(cat "$home/admin.password")";
ssl.truststore.type=PEM
ssl.truststore.location=$home/ca.pem
PROPERTIES
  )
  local mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN,OAUTHBEARER kerberos=""
  if [[ -n "${DRIFTLINE_KERBEROS:-}" ]]; then
    mechanisms+=,GSSAPI
    kerberos="$(kerberos_settings)"
  fi
  # The second listener asks for a certificate and takes none: who has none is ANONYMOUS. Who
  # logged in by a token is turned away when it ends, unless he has shown a newer one by then.
  cat >"$home/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$((SECURED_PORT + 2))
listeners=SASL_SSL://127.0.0.1:$SECURED_PORT,SSL://127.0.0.1:$((SECURED_PORT + 1)),CONTROLLER://127.0.0.1:$((SECURED_PORT + 2))
advertised.listeners=SASL_SSL://127.0.0.1:$SECURED_PORT,SSL://127.0.0.1:$((SECURED_PORT + 1)),CONTROLLER://127.0.0.1:$((SECURED_PORT + 2))
controller.listener.names=CONTROLLER
inter.broker.listener.name=SSL
listener.security.protocol.map=CONTROLLER:SSL,SSL:SSL,SASL_SSL:SASL_SSL
sasl.enabled.mechanisms=$mechanisms
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_plain="plain";
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.sasl_ssl.oauthbearer.sasl.server.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
listener.name.sasl_ssl.oauthbearer.connections.max.reauth.ms=3600000
sasl.oauthbearer.jwks.endpoint.url=file://$home/token.keys
sasl.oauthbearer.expected.audience=$TOKEN_AUDIENCE
sasl.oauthbearer.expected.issuer=$TOKEN_ISSUER
sasl.oauthbearer.clock.skew.seconds=1
ssl.keystore.type=PEM
ssl.keystore.location=$home/keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location=$home/ca.pem
listener.name.controller.ssl.client.auth=required
listener.name.ssl.ssl.client.auth=requested
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*\$/\$1/
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:broker
$kerberos
$(common_settings)
log.dirs=$home/data
PROPERTIES
}

start_secured() {
  if alive "$SECURED_HOME"; then return; fi
  if answers "$SECURED_PORT"; then die "port $SECURED_PORT is taken by something else; set DRIFTLINE_KAFKA_PORT"; fi
  command -v openssl >/dev/null || die "openssl not found: install it to make certificates"
  fetch_kafka
  mkdir -p "$SECURED_HOME"
  if [[ -n "${DRIFTLINE_KERBEROS:-}" ]]; then start_kdc; fi
  if [[ ! -f "$SECURED_HOME/data/meta.properties" ]]; then
    write_secured_files
    format "$SECURED_HOME" \
      --add-scram "SCRAM-SHA-512=[name=admin,password=$(cat "$SECURED_HOME/admin.password")]" \
      --add-scram "SCRAM-SHA-512=[name=driftline,password=$(cat "$SECURED_HOME/driftline.password")]"
  fi
  launch "$SECURED_HOME"
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
  if [[ "$1" == secured ]]; then await secured "$SECURED_HOME" broker.log; return; fi
  if [[ "$1" != registry ]]; then await kafka "$KAFKA_HOME" broker.log; fi
  if [[ "$1" != kafka ]]; then await registry "$REGISTRY_HOME" registry.log; fi
}

up() {
  check_java
  mkdir -p "$WORK"
  if [[ "$1" == secured ]]; then
    start_secured
    wait_ready secured
    say "the secured broker is ready: SASL_SSL at 127.0.0.1:$SECURED_PORT, SSL one above"
    say "its authority and passwords are in $SECURED_HOME"
    return
  fi
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

down() {
  stop_kdc
  if [[ "$1" == secured ]]; then stop "$SECURED_HOME"; say "stopped"; return; fi
  stop "$KAFKA_HOME"
  stop "$REGISTRY_HOME"
  stop "$SECURED_HOME"
  say "stopped"
}

status() {
  local all=0
  if [[ "$1" == secured ]]; then
    alive "$SECURED_HOME" && secured_ready || { say "no secured broker at port $SECURED_PORT"; return 1; }
    say "the secured broker runs at 127.0.0.1:$SECURED_PORT, pid $(cat "$SECURED_HOME/pid")"
    return
  fi
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
  # Half the time to start, for tools that only start.
  local quick=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC)
  "$(java_bin)" "${quick[@]}" -cp "$KAFKA_LIBS/*" "$class" --bootstrap-server "$BROKER" "$@" 2> >(grep -v -e log4j -e SLF4J >&2)
}

# A tool on the secured broker, as its admin.
admin_tool() {
  local class="$1"
  shift
  BROKER="127.0.0.1:$SECURED_PORT"
  tool "$class" --command-config "$SECURED_HOME/admin.properties" "$@"
}

usage() { sed -n '2,24s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

what() {
  case "${1:-both}" in
    kafka | registry | secured | both) printf '%s' "${1:-both}" ;;
    *) die "unknown part '$1': kafka, registry or secured" ;;
  esac
}

case "${1:-}" in
  up) up "$(what "${2:-both}")" ;;
  wait) wait_ready "$(what "${2:-both}")" ;;
  down) down "$(what "${2:-both}")" ;;
  status) status "$(what "${2:-both}")" ;;
  topics) shift; tool org.apache.kafka.tools.TopicCommand "$@" ;;
  configs) shift; tool kafka.admin.ConfigCommand "$@" ;;
  groups) shift; tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand "$@" ;;
  acls) shift; admin_tool org.apache.kafka.tools.AclCommand "$@" ;;
  scram) shift; admin_tool kafka.admin.ConfigCommand "$@" ;;
  certificate) certificate "$2" "$3" ;;
  token) shift; token "$@" ;;
  keytab) keytab "$2" "$3" ;;
  consume) shift; tool org.apache.kafka.tools.consumer.ConsoleConsumer "$@" ;;
  produce) shift; tool org.apache.kafka.tools.ConsoleProducer "$@" ;;
  -h | --help | help) usage ;;
  *) usage >&2; exit 64 ;;
esac
