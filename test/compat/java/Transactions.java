import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The same transactional copier as python/transactions.py. Arguments: bootstrap, from, to, group, count. */
class Transactions {
  static KafkaProducer<String, String> producer(String bootstrap, String group) {
    Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "transactional.id", group);
    return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
  }

  public static void main(String[] args) throws Exception {
    String bootstrap = args[0], from = args[1], to = args[2], group = args[3];
    int count = Integer.parseInt(args[4]);
    KafkaProducer<String, String> first = producer(bootstrap, group);
    first.initTransactions();
    Properties config = new Properties();
    config.put("bootstrap.servers", bootstrap);
    config.put("group.id", group);
    config.put("enable.auto.commit", "false");
    config.put("auto.offset.reset", "earliest");
    config.put("isolation.level", "read_committed");
    config.put("max.poll.records", "5");
    KafkaConsumer<String, String> consumer =
        new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    consumer.subscribe(List.of(from));
    int copied = 0, transactions = 0;
    while (copied < count) {
      var records = consumer.poll(Duration.ofMillis(500));
      if (records.isEmpty()) continue;
      first.beginTransaction();
      var next = new HashMap<TopicPartition, OffsetAndMetadata>();
      for (var record : records) {
        first.send(new ProducerRecord<>(to, record.value(), record.value()));
        next.put(new TopicPartition(from, record.partition()), new OffsetAndMetadata(record.offset() + 1));
      }
      first.sendOffsetsToTransaction(next, consumer.groupMetadata());
      if (++transactions % 3 == 0) {
        // What was not sent yet would be dropped.
        first.flush();
        first.abortTransaction();
        for (TopicPartition partition : next.keySet()) {
          var committed = consumer.committed(Set.of(partition)).get(partition);
          consumer.seek(partition, committed == null ? 0 : committed.offset());
        }
      } else {
        first.commitTransaction();
        copied += records.count();
      }
    }
    consumer.close();
    first.beginTransaction();
    first.send(new ProducerRecord<>(to, "zombie", "zombie")).get();
    KafkaProducer<String, String> second = producer(bootstrap, group);
    second.initTransactions();
    boolean fenced = false;
    try {
      first.commitTransaction();
    } catch (KafkaException refused) {
      fenced = true;
    }
    second.beginTransaction();
    second.send(new ProducerRecord<>(to, "last", "last"));
    second.commitTransaction();
    second.close();
    System.out.println("{\"copied\": " + copied + ", \"fenced\": " + fenced + "}");
    System.exit(0);
  }
}
