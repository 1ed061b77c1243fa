#!/usr/bin/env bash
# kafka-up.sh DATA_DIR PORT [KEY=VALUE ...]   start a single-node Apache Kafka (KRaft) on loopback
# kafka-up.sh --stop DATA_DIR                 stop it
# Listens on 127.0.0.1:PORT (clients) and KAFKA_CONTROLLER_PORT (default PORT+1). Extra KEY=VALUE go into server.properties.
# Prints one line: ready pid=… startup_ms=… rss_mib=… bootstrap=…
# Needs: java >= 17, mvn (first run only). Env: KAFKA_VERSION, KAFKA_LIB_ROOT (see kafka-libs.sh), KAFKA_HEAP (-Xmx, default 1g)
export LC_ALL=C
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ "${1:-}" = --stop ]; then
  pid=$(cat "$2/broker.pid"); kill "$pid"; for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || exit 0; sleep 0.1; done; kill -9 "$pid"; exit 0
fi
data=${1:?DATA_DIR}; port=${2:?PORT}; cport=${KAFKA_CONTROLLER_PORT:-$((port + 1))}; shift 2
mkdir -p "$data"; data=$(cd "$data" && pwd)
libs=$("$here/kafka-libs.sh")
heap=${KAFKA_HEAP:-1g}
cp="$libs/*"
cat > "$data/log4j2.xml" <<'X'
<Configuration status="WARN"><Appenders><Console name="out"><PatternLayout pattern="%d %-5p %c{1} %m%n"/></Console></Appenders>
<Loggers><Root level="${sys:bench.log:-WARN}"><AppenderRef ref="out"/></Root></Loggers></Configuration>
X
{
  cat <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$cport
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$cport
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$data/log
num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=true
delete.topic.enable=true
P
  for kv in "$@"; do echo "$kv"; done
} > "$data/server.properties"
jopts=(-Xmx"$heap" -Xms"$heap" -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -Djava.awt.headless=true
  -Dlog4j2.configurationFile="file:$data/log4j2.xml" -Dbench.log="${KAFKA_LOG_LEVEL:-WARN}")
if [ ! -e "$data/log/meta.properties" ]; then
  id=$(java -cp "$cp" "${jopts[@]}" -Xms64m kafka.tools.StorageTool random-uuid 2>/dev/null | tail -1)
  java -cp "$cp" "${jopts[@]}" -Xms64m kafka.tools.StorageTool format -t "$id" -c "$data/server.properties" ${KAFKA_FORMAT_ARGS:-} > "$data/format.out" 2>&1
fi
t0=$(date +%s%3N)
setsid java -cp "$cp" "${jopts[@]}" kafka.Kafka "$data/server.properties" > "$data/broker.out" 2>&1 < /dev/null &
pid=$!; echo "$pid" > "$data/broker.pid"
# ready = answers an ApiVersions v0 request (size 15: key 18, version 0, correlation 7, client id "up", no body)
probe() {
  exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
  printf '\0\0\0\014\0\022\0\0\0\0\0\007\0\002up' >&3
  local n; n=$(timeout 1 head -c 8 <&3 | od -An -tu1 | tr -s ' ' | awk '{print $8}'); exec 3>&-; [ "$n" = 7 ]
}
for _ in $(seq 1200); do
  kill -0 "$pid" 2>/dev/null || { echo "broker ended early; see $data/broker.out" >&2; tail -20 "$data/broker.out" >&2; exit 1; }
  if (probe) 2>/dev/null; then
    ms=$(( $(date +%s%3N) - t0 ))
    rss=$(awk '/VmRSS/{print int($2/1024)}' "/proc/$pid/status")
    echo "ready pid=$pid startup_ms=$ms rss_mib=$rss bootstrap=127.0.0.1:$port"; exit 0
  fi
  sleep 0.05
done
echo "not ready after 60 s" >&2; exit 1
