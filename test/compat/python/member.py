"""A member of a consumer group. Argument: a JSON job {"bootstrap", "group", "topic", "config"}.

Prints a JSON line per event: {"assigned": [partitions held now]}, {"record": value}. Commits what it has printed.
Leaves the group when its input ends.
"""

import json
import sys
import threading

from confluent_kafka import Consumer

job = json.loads(sys.argv[1])
stop = threading.Event()


def watch():
    sys.stdin.read()
    stop.set()


threading.Thread(target=watch, daemon=True).start()


def say(event):
    print(json.dumps(event), flush=True)


consumer = Consumer(
    {
        "bootstrap.servers": job["bootstrap"],
        "group.id": job["group"],
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 10000,
        "heartbeat.interval.ms": 200,
        **job.get("config", {}),
    }
)
consumer.subscribe(
    [job["topic"]],
    on_assign=lambda c, parts: say({"assigned": [p.partition for p in parts]}),
    on_revoke=lambda c, parts: say({"assigned": []}),
)
while not stop.is_set():
    message = consumer.poll(0.1)
    if message is None:
        continue
    if message.error():
        sys.exit(str(message.error()))
    say({"record": message.value().decode()})
    consumer.commit(message=message, asynchronous=False)
consumer.close()
