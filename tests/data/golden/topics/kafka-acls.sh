# Rights of app fraud-watch, for `driftline run`.
# Read, and made by their owners: chargebacks, orders, scores
# Read and Write imply Describe. Whoever joins a group also needs Read on it.
# In the registry: read schemas by id, and write the subjects
#   Fraud_Drift-io.driftline.v1.Alarm
#   Fraud_Drift-io.driftline.v1.Incident
#   Fraud_Drift-io.driftline.v1.SchemaChanged
#   action-requests-io.driftline.v1.ActionRequested
#   retrain-requests-io.driftline.v1.RetrainRequested

# Driftline itself
kafka-acls.sh --bootstrap-server b1:9093,b2:9093 --add --allow-principal User:driftline --operation Read --topic chargebacks --topic orders --topic scores
kafka-acls.sh --bootstrap-server b1:9093,b2:9093 --add --allow-principal User:driftline --operation Read --operation Write --operation DescribeConfigs --topic fraud-watch. --resource-pattern-type prefixed
kafka-acls.sh --bootstrap-server b1:9093,b2:9093 --add --allow-principal User:driftline --operation Write --operation DescribeConfigs --topic Fraud_Drift --topic retrain-requests --topic action-requests
kafka-acls.sh --bootstrap-server b1:9093,b2:9093 --add --allow-principal User:driftline --operation Read --group fraud-watch. --resource-pattern-type prefixed
kafka-acls.sh --bootstrap-server b1:9093,b2:9093 --add --allow-principal User:driftline --operation Write --transactional-id fraud-watch. --resource-pattern-type prefixed

# readers of events and requests
kafka-acls.sh --bootstrap-server b1:9093,b2:9093 --add --allow-principal User:driftline-events --operation Read --topic Fraud_Drift --topic retrain-requests --topic action-requests

# readers of quarantine, which holds payloads
kafka-acls.sh --bootstrap-server b1:9093,b2:9093 --add --allow-principal User:driftline-quarantine --operation Read --topic fraud-watch.quarantine
