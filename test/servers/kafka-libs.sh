#!/usr/bin/env bash
# kafka-libs.sh -- resolve a runnable Apache Kafka (broker, tools, logging) through Maven's own
# configuration and print the folder that holds the jars. Nothing is downloaded twice.
#   --find          print the folder only if it is complete, else exit 1; downloads nothing
#   KAFKA_VERSION   default 4.3.1 (4.4.0's kafka-tools could not be resolved when this was written)
#   KAFKA_LIB_ROOT  default ${XDG_CACHE_HOME:-$HOME/.cache}/kafka-bench
export LC_ALL=C
set -euo pipefail
v=${KAFKA_VERSION:-4.3.1}
root=${KAFKA_LIB_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/kafka-bench}
dir=$root/libs-$v
if [ "${1:-}" = --find ]; then [ -e "$dir/.complete" ] || exit 1; fi
if [ ! -e "$dir/.complete" ]; then
  mkdir -p "$dir"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  case $v in
    3.*) logging='<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId><version>1.7.36</version></dependency>' ;;
    *)   logging='<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.4</version></dependency>' ;;
  esac
  dep() { printf '<dependency><groupId>org.apache.kafka</groupId><artifactId>%s</artifactId><version>%s</version></dependency>' "$1" "$v"; }
  cat > "$work/pom.xml" <<P
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>bench</groupId><artifactId>kafka-libs</artifactId><version>1</version>
<dependencies>$(dep kafka_2.13)$(dep kafka-tools)$logging</dependencies></project>
P
  (cd "$work" && mvn -q -B dependency:copy-dependencies -DoutputDirectory="$dir") >&2
  touch "$dir/.complete"
fi
echo "$dir"
