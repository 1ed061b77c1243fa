#!/usr/bin/env bash
# perf.sh BOOTSTRAP [CASE ...]   drive any Kafka-compatible listener with Apache Kafka's own Java tools.
# One line a case on stdout. Cases (default: all):
#   p-SIZE-ACKS-CODEC   produce     (SIZE bytes 100|1024, ACKS 1|all, CODEC none|lz4|zstd|snappy|gzip)
#   c-SIZE-CODEC        consume what p-SIZE-all-CODEC wrote (runs that produce first if the topic is missing)
#   e2e-SIZE-ACKS       end-to-end latency, one record in flight
#   rate-SIZE-ACKS-R    produce at a fixed R records/s and report latency (steady state, not saturation)
# Env: BROKER_PID (CPU seconds and RSS of the broker; omit for a remote one), RECORDS_100 (2000000), RECORDS_1024 (500000),
#   E2E_N (3000), RATE_S (15), PARTITIONS (1), BATCH (65536), LINGER (5), RUN (suffix for topic names), IDEMPOTENT (true)
# The payload file is made here: 1,000 distinct JSON-like lines of exactly SIZE bytes, the same for every broker,
# so that the client spends no time making random bytes and compression meets realistic text.
export LC_ALL=C
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bs=${1:?BOOTSTRAP}; shift
cp="$("$here/../../test/servers/kafka-libs.sh")/*"
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
run=${RUN:-$(date +%s)}; hz=$(getconf CLK_TCK)
cat > "$tmp/log4j2.xml" <<'X'
<Configuration status="ERROR"><Appenders><Console name="o" target="SYSTEM_ERR"><PatternLayout pattern="%p %c{1} %m%n"/></Console></Appenders><Loggers><Root level="ERROR"><AppenderRef ref="o"/></Root></Loggers></Configuration>
X
J=(java -Xmx512m -Xms512m -XX:+UseG1GC -Dlog4j2.configurationFile="file:$tmp/log4j2.xml" -cp "$cp")
payload() { # SIZE -> file
  local f=$tmp/payload-$1
  [ -e "$f" ] || awk -v n="$1" 'BEGIN{srand(42);split("login logout click view buy refund search error",E," ");split("de us fr jp in br cz ca",C," ");
    for(i=0;i<1000;i++){s=sprintf("{\"id\":%d,\"ts\":%d,\"event\":\"%s\",\"country\":\"%s\",\"amount\":%.2f,\"note\":\"",int(rand()*1e9),1700000000+i,E[1+int(rand()*8)],C[1+int(rand()*8)],rand()*1000);
      while(length(s)<n-2){r=int(rand()*1e6); s=s sprintf("w%x ",r)} s=substr(s,1,n-2) "\"}"; print s}}' > "$f"
  echo "$f"
}
bcpu() { [ -n "${BROKER_PID:-}" ] && awk -v hz="$hz" '{sub(/^.*\) /,""); print ($12+$13)/hz}' "/proc/$BROKER_PID/stat" || echo 0; }
brss() { [ -n "${BROKER_PID:-}" ] && awk '/VmRSS/{print int($2/1024)}' "/proc/$BROKER_PID/status" || echo 0; }
timed() { # OUT CMD... ; leaves client user+sys seconds in $ccpu, wall in $wall, broker cpu in $bc
  local out=$1; shift; local b0 b1 t; b0=$(bcpu)
  TIMEFORMAT='%U %S %R'; t=$( { time "$@" > "$out" 2> "$out.err" ; } 2>&1 ) || { echo "FAILED: $(tail -3 "$out.err" "$out" | tr '\n' ' ' | cut -c1-300)"; return 1; }
  b1=$(bcpu); read -r u s wall <<< "$t"; ccpu=$(awk "BEGIN{print $u+$s}"); bc=$(awk "BEGIN{printf \"%.2f\",$b1-$b0}")
}
recs() { local v=RECORDS_$1; if [ -n "${!v:-}" ]; then echo "${!v}"; elif [ "$1" -le 200 ]; then echo 2000000; else echo 500000; fi; }
topic() { echo "perf-$1-$2-$run"; }
mk() { "${J[@]}" org.apache.kafka.tools.TopicCommand --bootstrap-server "$bs" --create --if-not-exists --topic "$1" --partitions "${PARTITIONS:-1}" --replication-factor 1 > /dev/null 2>"$tmp/mk.err" || true; }
produce() { # SIZE ACKS CODEC RECORDS RATE TOPIC OUT
  timed "$7" "${J[@]}" org.apache.kafka.tools.ProducerPerformance --bootstrap-server "$bs" --topic "$6" --num-records "$4" --throughput "$5" --payload-file "$(payload "$1")" \
    --reporting-interval 600000 --command-property acks="$2" batch.size="${BATCH:-65536}" linger.ms="${LINGER:-5}" compression.type="$3" \
    enable.idempotence="$([ "$2" = all ] && echo "${IDEMPOTENT:-true}" || echo false)" buffer.memory=67108864
}
fields() { awk '/records sent/{l=$0} END{match(l,/, [0-9.]+ records\/sec/);r=substr(l,RSTART+2); sub(/ .*/,"",r); match(l,/\([0-9.]+ MB\/sec/);m=substr(l,RSTART+1);sub(/ .*/,"",m);
  n=split(l,a,", "); for(i=1;i<=n;i++){ if(a[i]~/ 50th/){split(a[i],x," ");p50=x[1]} if(a[i]~/ 99th/){split(a[i],x," ");p99=x[1]} if(a[i]~/99.9th/){split(a[i],x," ");p999=x[1]} }
  printf "rec_s=%d MiB_s=%s p50_ms=%s p99_ms=%s p999_ms=%s", r,m,p50,p99,p999}' "$1"; }
one() {
  local IFS=-; set -- $1; unset IFS
  case $1 in
    p) local t=$(topic "$2" "$4")-$3; [ "$3" = all ] && t=$(topic "$2" "$4"); mk "$t"; n=$(recs "$2")
       produce "$2" "$3" "$4" "$n" -1 "$t" "$tmp/o" || return 0
       echo "$(fields "$tmp/o") records=$n client_cpu_s=$ccpu broker_cpu_s=$bc broker_us_per_rec=$(awk "BEGIN{printf \"%.2f\",$bc*1e6/$n}") broker_rss_mib=$(brss)" ;;
    c) local t=$(topic "$2" "$3") n=$(recs "$2")
       if [ ! -e "$tmp/done-$t" ] && ! "${J[@]}" org.apache.kafka.tools.TopicCommand --bootstrap-server "$bs" --list 2>/dev/null | grep -qx "$t"; then mk "$t"; produce "$2" all "$3" "$n" -1 "$t" "$tmp/o" || return 0; fi
       timed "$tmp/o" "${J[@]}" org.apache.kafka.tools.ConsumerPerformance --bootstrap-server "$bs" --topic "$t" --num-records "$n" --hide-header --timeout 20000 || return 0
       echo "$(awk -F', ' 'END{printf "rec_s=%d MiB_s=%s fetch_rec_s=%d got=%s rebalance_ms=%s", $6,$4,$10,$5,$7}' "$tmp/o") client_cpu_s=$ccpu broker_cpu_s=$bc broker_us_per_rec=$(awk "BEGIN{printf \"%.2f\",$bc*1e6/$n}") broker_rss_mib=$(brss)" ;;
    e2e) mk "e2e-$2-$3-$run"; timed "$tmp/o" "${J[@]}" org.apache.kafka.tools.EndToEndLatency "$bs" "e2e-$2-$3-$run" "${E2E_N:-3000}" "$3" "$2" || return 0
       echo "$(awk '/Avg latency/{a=$3} /Percentiles/{sub(/.*50th = /,"");p50=$1;sub(/.*99th = /,"");p99=$1;sub(/.*99.9th = /,"");p999=$1} END{sub(/,/,"",p50);sub(/,/,"",p99);printf "avg_ms=%s p50_ms=%s p99_ms=%s p999_ms=%s",a,p50,p99,p999}' "$tmp/o") client_cpu_s=$ccpu broker_cpu_s=$bc broker_rss_mib=$(brss)" ;;
    rate) local t=rate-$2-$3-$4-$run; mk "$t"; n=$(( $4 * ${RATE_S:-15} )); produce "$2" "$3" none "$n" "$4" "$t" "$tmp/o" || return 0
       echo "$(fields "$tmp/o") records=$n client_cpu_s=$ccpu broker_cpu_s=$bc broker_us_per_rec=$(awk "BEGIN{printf \"%.2f\",$bc*1e6/$n}") broker_rss_mib=$(brss)" ;;
    *) echo "unknown case" ;;
  esac
}
[ $# -gt 0 ] || set -- p-100-1-none p-100-all-none p-100-all-lz4 p-1024-1-none p-1024-all-none p-1024-all-lz4 c-100-none c-100-lz4 c-1024-none c-1024-lz4 e2e-100-1 e2e-1024-all rate-1024-all-5000
for c in "$@"; do printf '%-22s ' "$c"; one "$c"; done
