"""confluent-kafka with idempotence on. Argument: {"bootstrap", "topic", "partitions"}.

Prints "PARTITION COUNT" for every run of acks; ends when its input ends, after all acks have come. A fatal error, for
example a lost sequence, is printed and ends the program with 1.
"""

import json
import sys
import threading
import time

from confluent_kafka import Producer

job = json.loads(sys.argv[1])
partitions = job["partitions"]
stop = threading.Event()


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
    n = int(message.value()[:20].rstrip(b"."))
    if n != acked[message.partition()]:
        failed.append(f"ack of {n} came when {acked[message.partition()]} was due")
    acked[message.partition()] = n + 1


def show():
    for p in range(partitions):
        if acked[p] != shown[p]:
            shown[p] = acked[p]
            print(p, acked[p], flush=True)


while not stop.is_set() and not failed:
    for p in range(partitions):
        if sent[p] - acked[p] < 2000:
            for _ in range(10):
                producer.produce(job["topic"], f"{sent[p]}".ljust(64, "."), partition=p, on_delivery=delivered)
                sent[p] += 1
    producer.poll(0)
    show()
    time.sleep(0.002)
left = producer.flush(60)
show()
if failed or left:
    print(f"fatal {failed[:1]} {left} left", flush=True)
    sys.exit(1)
