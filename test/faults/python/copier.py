"""A copier on confluent-kafka. Argument: {"bootstrap", "from", "to", "id", "timeout"}; `id` is transactional id, group and
static member. Prints a line for each transaction; ends with 3 when it is fenced, with 1 on any other error: whoever runs
it starts it again."""

import json
import sys

from confluent_kafka import Consumer, KafkaException, Producer

job = json.loads(sys.argv[1])


def leave(error):
    print(f"error {error.name()} {error.str()}", flush=True)
    fenced = "FENCED" in error.name() or error.name() in ("INVALID_PRODUCER_EPOCH", "UNKNOWN_MEMBER_ID")
    # Without a goodbye: that would abort, and wait.
    sys.stdout.flush()
    import os

    os._exit(3 if fenced else 1)


producer = Producer(
    {
        "bootstrap.servers": job["bootstrap"],
        "transactional.id": job["id"],
        "transaction.timeout.ms": job["timeout"],
        "linger.ms": 0,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 200,
        "log_level": 0,
    }
)
consumer = Consumer(
    {
        "bootstrap.servers": job["bootstrap"],
        "group.id": job["id"],
        "group.instance.id": job["id"],
        "session.timeout.ms": 6000,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 200,
        "log_level": 0,
    }
)
try:
    producer.init_transactions(30)
    consumer.subscribe([job["from"]])
    while True:
        records = []
        for record in consumer.consume(5, 0.2):
            if record.error() is None:
                records.append(record)
            elif record.error().fatal():
                leave(record.error())
        if not records:
            continue
        producer.begin_transaction()
        for record in records:
            producer.produce(job["to"], record.value(), key=record.key(), partition=record.partition())
        positions = [found for found in consumer.position(consumer.assignment()) if found.offset >= 0]
        producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), 30)
        producer.commit_transaction(30)
        print("copied", len(records), flush=True)
except KafkaException as failed:
    leave(failed.args[0])
