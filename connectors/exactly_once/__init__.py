"""The exactly-once sink: a transaction and a changelog for each lane.

The protocol has ten rules (docs/adr/0002 gives the reasons).  Code that keeps a rule cites its
number.

1. A lane numbers its verdict batches 1, 2, 3, ...  They are written whole, and in this order.
   Kept in operators/lanes/lane.py, operators/encode/reassemble.py and lane_writer.py.
2. The first record begins a transaction.  It is committed when the commit interval has passed, and
   always before a snapshot.  So no snapshot and no group offset is ahead of a lane in Kafka.
   Kept in lane_writer.py, sink.py and connectors/kafka/source.py.
3. Before a lane decides, (a) its producer is opened, which fences older ones and settles their
   last transaction, and (b) its changelog is read to the end, once no transaction is open there.
   The lane's sink is in the same process, and shares the producer.
   Kept in lane_opener.py, lane_producer.py and sink.py.
4. Records below the lane's progress are skipped.  A slice that begins after the end of the last
   one stops the job.  Kept in operators/lanes/positions.py.
5. An application first writes where reading begins, in all lanes at once.  Later the source starts
   at or before the progress of every lane.  An application that has group offsets but no changelog
   is refused.
   Kept in beginning.py, connectors/kafka/starting_offsets.py and changelog_topic.py.
6. The changelog is trimmed by event time, never by the clock.
   Kept in changelog_segments.py, lane_transactions.py and changelog_topic.py.
7. The first transaction of a run, the first after each mark, and each snapshot name the settings
   that their state depends on.  State made with other settings is refused.
   Kept in changelog_format.py, lane_transactions.py, lane_opener.py and operators/fingerprint.py.
8. One table says whether an error means the same call again, the transaction again, or the end of
   the process.  Kept in transaction_errors.py and lane_producer.py.
9. No transaction begins in a producer epoch in which a request that ends a transaction may still
   be under way.  Then a new epoch begins, if the changelog's last record is the lane's own.
   Kept in lane_producer.py and lane_transactions.py, and by flows/cli/replay/writer.py.
10. Each opening of a lane writes a record that names it.  A lane whose producer is lost is opened
   again only if the changelog's last record is of the same opening; that record says whether the
   last transaction was committed.  Kept in lane_opener.py and lane_transactions.py.
"""
