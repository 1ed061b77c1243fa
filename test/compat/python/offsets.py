"""{"bootstrap", "topic", "times": [ms]} -> {"watermarks": [low, high], "offsets": [offset]}; past the last record = the end."""

import json
import sys

from confluent_kafka import Consumer, TopicPartition

job = json.load(sys.stdin)
consumer = Consumer({"bootstrap.servers": job["bootstrap"], "group.id": "unused"})
low, high = consumer.get_watermark_offsets(TopicPartition(job["topic"], 0), timeout=10)
offsets = []
for time in job["times"]:
    (found,) = consumer.offsets_for_times([TopicPartition(job["topic"], 0, time)], timeout=10)
    offsets.append(high if found.offset < 0 else found.offset)
consumer.close()
json.dump({"watermarks": [low, high], "offsets": offsets}, sys.stdout)
