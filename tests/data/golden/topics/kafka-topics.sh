# Topics of app fraud-watch, for `driftline run`.
# Read, and made by their owners: chargebacks, orders, scores
# One that exists is left as it is; `driftline check --connect` looks at it.

kafka-topics.sh --bootstrap-server b1:9093,b2:9093 --create --if-not-exists --topic fraud-watch.facts --partitions 8 --config message.timestamp.type=LogAppendTime --config retention.ms=3024000000
kafka-topics.sh --bootstrap-server b1:9093,b2:9093 --create --if-not-exists --topic fraud-watch.summaries --partitions 8 --config message.timestamp.type=LogAppendTime --config retention.ms=604800000
kafka-topics.sh --bootstrap-server b1:9093,b2:9093 --create --if-not-exists --topic fraud-watch.findings --partitions 1 --config message.timestamp.type=LogAppendTime --config retention.ms=604800000
kafka-topics.sh --bootstrap-server b1:9093,b2:9093 --create --if-not-exists --topic fraud-watch.state-assess --partitions 8 --config cleanup.policy=compact --config segment.bytes=67108864 --config message.timestamp.type=LogAppendTime
kafka-topics.sh --bootstrap-server b1:9093,b2:9093 --create --if-not-exists --topic fraud-watch.state-decide --partitions 1 --config cleanup.policy=compact --config segment.bytes=67108864 --config message.timestamp.type=LogAppendTime
kafka-topics.sh --bootstrap-server b1:9093,b2:9093 --create --if-not-exists --topic fraud-watch.layouts --partitions 1 --config cleanup.policy=compact --config segment.bytes=67108864 --config message.timestamp.type=LogAppendTime
kafka-topics.sh --bootstrap-server b1:9093,b2:9093 --create --if-not-exists --topic fraud-watch.quarantine --partitions 1
kafka-topics.sh --bootstrap-server b1:9093,b2:9093 --create --if-not-exists --topic Fraud_Drift --partitions 1
kafka-topics.sh --bootstrap-server b1:9093,b2:9093 --create --if-not-exists --topic retrain-requests --partitions 1
kafka-topics.sh --bootstrap-server b1:9093,b2:9093 --create --if-not-exists --topic action-requests --partitions 1
