import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The same two jobs as python/records.py, with Apache Kafka's own Java client. Run as a single source file. */
class Records {
  static final ObjectMapper json = new ObjectMapper();

  public static void main(String[] args) throws Exception {
    JsonNode job = json.readTree(System.in);
    Properties config = new Properties();
    config.put("bootstrap.servers", job.get("bootstrap").asText());
    for (var e : job.get("config").properties()) config.put(e.getKey(), e.getValue().asText());
    Object answer = job.get("do").asText().equals("produce") ? produce(job, config) : consume(job, config);
    json.writeValue(System.out, answer);
  }

  static byte[] raw(JsonNode text) {
    return text == null || text.isNull() ? null : Base64.getDecoder().decode(text.asText());
  }

  static String text(byte[] data) {
    return data == null ? null : Base64.getEncoder().encodeToString(data);
  }

  static ArrayNode produce(JsonNode job, Properties config) throws Exception {
    config.put("max.request.size", "12000000");
    config.put("buffer.memory", "64000000");
    ArrayNode offsets = json.createArrayNode();
    try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
      List<Future<RecordMetadata>> sent = new ArrayList<>();
      for (JsonNode r : job.get("records")) {
        List<Header> headers = new ArrayList<>();
        for (JsonNode h : r.get("headers")) headers.add(new RecordHeader(h.get(0).asText(), raw(h.get(1))));
        Long timestamp = r.hasNonNull("timestamp") ? r.get("timestamp").asLong() : null;
        int partition = r.hasNonNull("partition") ? r.get("partition").asInt() : 0;
        sent.add(producer.send(new ProducerRecord<>(job.get("topic").asText(), partition, timestamp, raw(r.get("key")), raw(r.get("value")), headers)));
      }
      for (Future<RecordMetadata> f : sent) offsets.add(f.get().offset());
    }
    return offsets;
  }

  static ObjectNode consume(JsonNode job, Properties config) throws Exception {
    config.put("fetch.max.bytes", "60000000");
    config.put("max.partition.fetch.bytes", "12000000");
    config.put("enable.auto.commit", "false");
    ObjectNode answer = json.createObjectNode();
    try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      List<TopicPartition> all = new ArrayList<>();
      long missing = 0;
      for (JsonNode t : job.get("topics")) {
        String topic = t.get("topic").asText();
        answer.putArray(topic);
        missing += t.get("count").asLong();
        consumer.partitionsFor(topic).forEach(p -> all.add(new TopicPartition(topic, p.partition())));
      }
      consumer.assign(all);
      consumer.seekToBeginning(all);
      while (missing > 0) {
        var polled = consumer.poll(Duration.ofSeconds(20));
        if (polled.isEmpty()) throw new IllegalStateException("nothing for 20 s, " + missing + " missing");
        for (var r : polled) {
          missing--;
          ObjectNode o = ((ArrayNode) answer.get(r.topic())).addObject();
          o.put("partition", r.partition()).put("offset", r.offset()).put("timestamp", r.timestamp());
          o.put("key", text(r.key())).put("value", text(r.value()));
          ArrayNode headers = o.putArray("headers");
          for (Header h : r.headers()) headers.addArray().add(h.key()).add(text(h.value()));
        }
      }
    }
    return answer;
  }
}
