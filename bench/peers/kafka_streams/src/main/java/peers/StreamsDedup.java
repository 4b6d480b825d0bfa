package peers;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;
import org.apache.kafka.streams.state.WindowStoreIterator;

/**
 * Deduplication by event_id within an hour, as Kafka Streams users write it: a processor with a
 * store, unique records to one topic and duplicates to another.
 *
 * <p>Arguments: brokers, application id, input topic, unique topic, duplicate topic, store
 * ("window" or "keyvalue"), guarantee ("at_least_once" or "exactly_once_v2"), records to read (0:
 * go on until killed), state directory. The record key of the input should be the event id, or at
 * least keep an id in one partition: like every Kafka Streams program this one looks at a partition
 * at a time.
 *
 * <p>Prints "FIRST millis" and "LAST millis" (wall clock) when the first and last record were read.
 */
public final class StreamsDedup {
  private static final long WINDOW_SECONDS = 3600;
  private static final String STORE = "seen";
  private static final byte[] SEEN = new byte[0];
  private static final JsonFactory JSON = new JsonFactory();
  private static final AtomicLong READ = new AtomicLong();

  private StreamsDedup() {}

  public static void main(String[] args) throws InterruptedException {
    long records = Long.parseLong(args[7]);
    CountDownLatch done = new CountDownLatch(1);
    Topology topology = new Topology();
    topology.addSource("in", new ByteArrayDeserializer(), new ByteArrayDeserializer(), args[2]);
    boolean window = args[5].equals("window");
    topology.addProcessor("dedup", () -> new Dedup(window, records, done), "in");
    topology.addStateStore(store(window), "dedup");
    var bytes = new ByteArraySerializer();
    topology.addSink("unique", args[3], bytes, bytes, "dedup");
    topology.addSink("duplicate", args[4], bytes, bytes, "dedup");

    Properties config = new Properties();
    config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
    config.put(StreamsConfig.APPLICATION_ID_CONFIG, args[1]);
    config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, args[6]);
    config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
    config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    config.put(StreamsConfig.STATE_DIR_CONFIG, args[8]);
    config.put("auto.offset.reset", "earliest");
    config.put("producer.linger.ms", 5);
    config.put("producer.batch.size", 262144);
    config.put("max.poll.records", 10000);
    config.put("fetch.max.bytes", 52428800);
    config.put("max.partition.fetch.bytes", 4194304);
    KafkaStreams streams = new KafkaStreams(topology, config);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
    streams.start();
    done.await();
    streams.close(Duration.ofSeconds(30));
    System.out.println("LAST " + System.currentTimeMillis());
  }

  private static StoreBuilder<?> store(boolean window) {
    Duration length = Duration.ofSeconds(WINDOW_SECONDS);
    if (window) {
      return Stores.windowStoreBuilder(
          Stores.persistentWindowStore(STORE, length.multipliedBy(2), length, false),
          Serdes.String(),
          Serdes.ByteArray());
    }
    return Stores.keyValueStoreBuilder(
        Stores.persistentKeyValueStore(STORE), Serdes.String(), Serdes.ByteArray());
  }

  /** Forwards each record to "unique" or "duplicate". */
  private static final class Dedup implements Processor<byte[], byte[], byte[], byte[]> {
    private final boolean window;
    private final long records;
    private final CountDownLatch done;
    private ProcessorContext<byte[], byte[]> context;
    private WindowStore<String, byte[]> windows;
    private KeyValueStore<String, byte[]> keys;

    Dedup(boolean window, long records, CountDownLatch done) {
      this.window = window;
      this.records = records;
      this.done = done;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
      this.context = context;
      if (window) {
        windows = context.getStateStore(STORE);
      } else {
        keys = context.getStateStore(STORE);
      }
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      long read = READ.incrementAndGet();
      if (read == 1) {
        System.out.println("FIRST " + System.currentTimeMillis());
      }
      context.forward(record, seen(record.value()) ? "duplicate" : "unique");
      if (read == records) {
        done.countDown();
      }
    }

    private boolean seen(byte[] value) {
      String id = null;
      double timestamp = 0;
      try (JsonParser parser = JSON.createParser(value)) {
        parser.nextToken();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
          String name = parser.currentName();
          parser.nextToken();
          if (name.equals("event_id")) {
            id = parser.getText();
          } else if (name.equals("timestamp")) {
            timestamp = parser.getDoubleValue();
          } else {
            parser.skipChildren();
          }
        }
      } catch (IOException error) {
        throw new IllegalArgumentException(new String(value, StandardCharsets.UTF_8), error);
      }
      if (!window) {
        return keys.putIfAbsent(id, SEEN) != null;
      }
      long start = (long) Math.floor(timestamp / WINDOW_SECONDS) * WINDOW_SECONDS * 1000;
      try (WindowStoreIterator<byte[]> found = windows.fetch(id, start, start)) {
        if (found.hasNext()) {
          return true;
        }
      }
      windows.put(id, SEEN, start);
      return false;
    }
  }
}
