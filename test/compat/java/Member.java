import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/** The same group member as python/member.py. Arguments: bootstrap, group, topic. */
class Member {
  static volatile boolean stop = false;

  public static void main(String[] args) throws Exception {
    Thread watch = new Thread(() -> {
      try {
        while (System.in.read() >= 0) {}
      } catch (java.io.IOException ended) {
        // the same as the end of the input
      }
      stop = true;
    });
    watch.setDaemon(true);
    watch.start();
    Properties config = new Properties();
    config.put("bootstrap.servers", args[0]);
    config.put("group.id", args[1]);
    config.put("auto.offset.reset", "earliest");
    config.put("enable.auto.commit", "false");
    config.put("session.timeout.ms", "10000");
    config.put("heartbeat.interval.ms", "200");
    config.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor");
    try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
      consumer.subscribe(List.of(args[2]), new ConsumerRebalanceListener() {
        public void onPartitionsAssigned(Collection<TopicPartition> parts) {
          say("assigned", parts.stream().map(p -> "" + p.partition()).collect(Collectors.joining(",", "[", "]")));
        }

        public void onPartitionsRevoked(Collection<TopicPartition> parts) {
          say("assigned", "[]");
        }
      });
      while (!stop) {
        var polled = consumer.poll(Duration.ofMillis(100));
        for (var r : polled) say("record", "\"" + r.value() + "\"");
        if (!polled.isEmpty()) consumer.commitSync();
      }
    }
  }

  static void say(String event, String value) {
    System.out.println("{\"" + event + "\": " + value + "}");
  }
}
