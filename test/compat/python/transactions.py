"""{"bootstrap", "from", "to", "group", "count"} -> {"copied", "fenced"}: copies in transactions of up to five records,
aborts each third and tries again; then leaves one open, which a second producer with the same id fences."""

import json
import sys

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

job = json.load(sys.stdin)


def producer():
    made = Producer(
        {"bootstrap.servers": job["bootstrap"], "transactional.id": job["group"], "linger.ms": 0, "log_level": 0}
    )
    made.init_transactions(30)
    return made


first = producer()
consumer = Consumer(
    {
        "bootstrap.servers": job["bootstrap"],
        "group.id": job["group"],
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
    }
)
consumer.subscribe([job["from"]])
copied = 0
transactions = 0
while copied < job["count"]:
    records = [record for record in consumer.consume(5, 1) if record.error() is None]
    if not records:
        continue
    first.begin_transaction()
    for record in records:
        first.produce(job["to"], record.value(), key=record.value())
    first.send_offsets_to_transaction(
        consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 30
    )
    transactions += 1
    if transactions % 3 == 0:
        first.flush(30)
        first.abort_transaction(30)
        for found in consumer.committed(consumer.assignment(), 30):
            consumer.seek(TopicPartition(found.topic, found.partition, max(0, found.offset)))
    else:
        first.commit_transaction(30)
        copied += len(records)
consumer.close()

first.begin_transaction()
first.produce(job["to"], b"zombie", key=b"zombie")
first.flush(30)
second = producer()
fenced = False
try:
    first.commit_transaction(30)
except KafkaException:
    fenced = True
second.begin_transaction()
second.produce(job["to"], b"last", key=b"last")
second.commit_transaction(30)
json.dump({"copied": copied, "fenced": fenced}, sys.stdout)
