"""Runs admin calls of confluent-kafka. {"bootstrap", "calls": [[name, argument...]]} -> [answer]; a refusal is {"error": name}."""

import json
import sys

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

job = json.load(sys.stdin)
admin = AdminClient({"bootstrap.servers": job["bootstrap"]})


def wait(futures):
    return {str(key): future.result(30) for key, future in futures.items()}


def create(name, partitions, config):
    wait(admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=1, config=config)]))
    return "created"


def describe(name):
    found = admin.list_topics(name, timeout=10).topics[name]
    if found.error:
        return {"error": found.error.name()}
    return {str(p.id): {"leader": p.leader, "replicas": p.replicas} for p in found.partitions.values()}


def delete(name):
    wait(admin.delete_topics([name]))
    return "deleted"


def configs(name):
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    (entries,) = wait(admin.describe_configs([resource])).values()
    return {key: entry.value for key, entry in entries.items()}


def cluster():
    found = admin.describe_cluster().result(30)
    return {"nodes": len(found.nodes), "controller": found.controller.id}


def offsets(name):
    asked = {TopicPartition(name, 0): OffsetSpec.latest()}
    (found,) = wait(admin.list_offsets(asked)).values()
    return found.offset


def commit(group, topic, offset, metadata):
    consumer = Consumer({"bootstrap.servers": job["bootstrap"], "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, offset, metadata)], asynchronous=False)
    consumer.close()
    return "committed"


def committed(group, topic):
    consumer = Consumer({"bootstrap.servers": job["bootstrap"], "group.id": group})
    (found,) = consumer.committed([TopicPartition(topic, 0)], timeout=10)
    consumer.close()
    return {"offset": found.offset, "metadata": found.metadata}


def group_offsets(group):
    asked = [ConsumerGroupTopicPartitions(group)]
    (found,) = wait(admin.list_consumer_group_offsets(asked)).values()
    return [[p.topic, p.partition, p.offset] for p in found.topic_partitions]


def groups():
    found = admin.list_consumer_groups().result(30)
    return [group.group_id for group in found.valid]


def describe_group(group):
    (found,) = wait(admin.describe_consumer_groups([group])).values()
    return {"state": found.state.name, "members": len(found.members)}


def delete_group(group):
    wait(admin.delete_consumer_groups([group]))
    return "deleted"


answers = []
for name, *arguments in job["calls"]:
    try:
        answers.append(globals()[name](*arguments))
    except KafkaException as refused:
        answers.append({"error": refused.args[0].name()})
json.dump(answers, sys.stdout)
