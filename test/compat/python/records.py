"""Writes or reads records with confluent-kafka. One JSON job on the input, one JSON answer on the output; bytes are base64.

{"do": "produce", "bootstrap", "topic", "config": {}, "records": [{"key", "value", "headers": [[name, value]], "timestamp", "partition"}]}
{"do": "consume", "bootstrap", "topics": [{"topic", "count"}], "config": {}}
"""

import base64
import json
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition


def raw(text):
    return None if text is None else base64.b64decode(text)


def text(data):
    return None if data is None else base64.b64encode(data).decode()


def produce(job):
    producer = Producer({"bootstrap.servers": job["bootstrap"], "linger.ms": 5, "message.max.bytes": 12000000, **job["config"]})
    acked = []
    failed = []

    def delivered(error, message):
        (failed if error else acked).append(str(error) if error else message.offset())

    for record in job["records"]:
        extra = {}
        if record.get("timestamp") is not None:
            extra["timestamp"] = record["timestamp"]
        producer.produce(
            job["topic"],
            key=raw(record["key"]),
            value=raw(record["value"]),
            headers=[(name, raw(value)) for name, value in record["headers"]],
            partition=record.get("partition") or 0,
            on_delivery=delivered,
            **extra,
        )
        producer.poll(0)
    left = producer.flush(30)
    if failed or left:
        sys.exit(f"{len(failed)} failed ({failed[:1]}), {left} not sent")
    return {"offsets": acked}


def consume(job):
    consumer = Consumer(
        {
            "bootstrap.servers": job["bootstrap"],
            "group.id": "unused",
            "enable.auto.commit": False,
            "fetch.message.max.bytes": 12000000,
            "receive.message.max.bytes": 120000000,
            **job["config"],
        }
    )
    parts = []
    for wanted in job["topics"]:
        found = consumer.list_topics(wanted["topic"], timeout=10).topics[wanted["topic"]]
        parts += [TopicPartition(wanted["topic"], p, OFFSET_BEGINNING) for p in found.partitions]
    consumer.assign(parts)
    read = {wanted["topic"]: [] for wanted in job["topics"]}
    while any(len(read[wanted["topic"]]) < wanted["count"] for wanted in job["topics"]):
        message = consumer.poll(20)
        if message is None:
            sys.exit(f"nothing for 20 s, so far {({t: len(r) for t, r in read.items()})}")
        if message.error():
            if message.error().code() == KafkaError._PARTITION_EOF:
                continue
            sys.exit(str(message.error()))
        read[message.topic()].append(
            {
                "partition": message.partition(),
                "offset": message.offset(),
                "timestamp": message.timestamp()[1],
                "key": text(message.key()),
                "value": text(message.value()),
                "headers": [[name, text(value)] for name, value in message.headers() or []],
            }
        )
    consumer.close()
    return read


job = json.load(sys.stdin)
json.dump({"produce": produce, "consume": consume}[job["do"]](job), sys.stdout)
