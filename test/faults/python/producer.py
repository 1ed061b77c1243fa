"""confluent-kafka with idempotence on. Argument: {"bootstrap", "topic", "partitions",
"firstPartition"}.

Prints "PARTITION COUNT" for every run of acks; ends when its input ends, after all acks have come. A fatal error, for
example a lost sequence, is printed and ends the program with 1.
"""

import json
import re
import sys
import threading
import time

from confluent_kafka import Producer

job = json.loads(sys.argv[1])
partitions = job["partitions"]
first = job["firstPartition"]
stop = threading.Event()


def value_of(n):
    """The same as valueOf in producers/producer.ts."""
    if n % 50 == 7:
        return f'{{"n":{n},'
    damage = "?" if n % 50 == 13 else "Substantial" if n % 10 == 3 else "None"
    return f'{{"n":{n},"damage":"{damage}","reporter":{{"name":"Ada {n}"}}}}'


def watch():
    sys.stdin.read()
    stop.set()


threading.Thread(target=watch, daemon=True).start()


def on_error(error):
    if error.fatal():
        print(f"fatal {error.name()} {error.str()}", flush=True)


producer = Producer(
    {
        "bootstrap.servers": job["bootstrap"],
        "enable.idempotence": True,
        "linger.ms": 2,
        "message.timeout.ms": 600000,
        "socket.timeout.ms": 5000,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 200,
        "retry.backoff.ms": 20,
        "retry.backoff.max.ms": 200,
        "error_cb": on_error,
        "log_level": 0,
    }
)
acked = [0] * partitions
shown = [0] * partitions
sent = [0] * partitions
failed = []


def delivered(error, message):
    if error:
        failed.append(error)
        return
    n = int(re.match(rb'{"n":(\d+)', message.value())[1])
    p = message.partition() - first
    if n != acked[p]:
        failed.append(f"ack of {n} came when {acked[p]} was due")
    acked[p] = n + 1


def show():
    for p in range(partitions):
        if acked[p] != shown[p]:
            shown[p] = acked[p]
            print(p, acked[p], flush=True)


while not stop.is_set() and not failed:
    for p in range(partitions):
        if sent[p] - acked[p] < 2000:
            for _ in range(10):
                producer.produce(job["topic"], value_of(sent[p]), partition=first + p, on_delivery=delivered)
                sent[p] += 1
    producer.poll(0)
    show()
    # Pipelines and sinks read all of this; the producer must not outrun them.
    time.sleep(0.02)
left = producer.flush(60)
show()
if failed or left:
    print(f"fatal {failed[:1]} {left} left", flush=True)
    sys.exit(1)
