# Topics and rights of app fraud-watch, for `driftline run`.
# Read, and made by their owners: chargebacks, orders, scores
# Read and Write imply Describe. Whoever joins a group also needs Read on it.
# In the registry: read schemas by id, and write the subjects
#   Fraud_Drift-io.driftline.v1.Alarm
#   Fraud_Drift-io.driftline.v1.Incident
#   Fraud_Drift-io.driftline.v1.SchemaChanged
#   action-requests-io.driftline.v1.ActionRequested
#   retrain-requests-io.driftline.v1.RetrainRequested

terraform {
  required_providers {
    kafka = {
      source = "Mongey/kafka"
    }
  }
}

variable "replication_factor" {
  type    = number
  default = 3
}

resource "kafka_topic" "fraud-watch_facts" {
  name               = "fraud-watch.facts"
  partitions         = 8
  replication_factor = var.replication_factor
  config = {
    "message.timestamp.type" = "LogAppendTime"
    "retention.ms" = "3024000000"
  }
}

resource "kafka_topic" "fraud-watch_summaries" {
  name               = "fraud-watch.summaries"
  partitions         = 8
  replication_factor = var.replication_factor
  config = {
    "message.timestamp.type" = "LogAppendTime"
    "retention.ms" = "604800000"
  }
}

resource "kafka_topic" "fraud-watch_findings" {
  name               = "fraud-watch.findings"
  partitions         = 1
  replication_factor = var.replication_factor
  config = {
    "message.timestamp.type" = "LogAppendTime"
    "retention.ms" = "604800000"
  }
}

resource "kafka_topic" "fraud-watch_state-assess" {
  name               = "fraud-watch.state-assess"
  partitions         = 8
  replication_factor = var.replication_factor
  config = {
    "cleanup.policy" = "compact"
    "segment.bytes" = "67108864"
    "message.timestamp.type" = "LogAppendTime"
  }
}

resource "kafka_topic" "fraud-watch_state-decide" {
  name               = "fraud-watch.state-decide"
  partitions         = 1
  replication_factor = var.replication_factor
  config = {
    "cleanup.policy" = "compact"
    "segment.bytes" = "67108864"
    "message.timestamp.type" = "LogAppendTime"
  }
}

resource "kafka_topic" "fraud-watch_layouts" {
  name               = "fraud-watch.layouts"
  partitions         = 1
  replication_factor = var.replication_factor
  config = {
    "cleanup.policy" = "compact"
    "segment.bytes" = "67108864"
    "message.timestamp.type" = "LogAppendTime"
  }
}

resource "kafka_topic" "fraud-watch_quarantine" {
  name               = "fraud-watch.quarantine"
  partitions         = 1
  replication_factor = var.replication_factor
}

resource "kafka_topic" "Fraud_Drift" {
  name               = "Fraud_Drift"
  partitions         = 1
  replication_factor = var.replication_factor
}

resource "kafka_topic" "retrain-requests" {
  name               = "retrain-requests"
  partitions         = 1
  replication_factor = var.replication_factor
}

resource "kafka_topic" "action-requests" {
  name               = "action-requests"
  partitions         = 1
  replication_factor = var.replication_factor
}

# Driftline itself
resource "kafka_acl" "driftline_Topic_chargebacks_Read" {
  resource_name                = "chargebacks"
  resource_type                = "Topic"
  resource_pattern_type_filter = "Literal"
  acl_principal                = "User:driftline"
  acl_host                     = "*"
  acl_operation                = "Read"
  acl_permission_type          = "Allow"
}
resource "kafka_acl" "driftline_Topic_orders_Read" {
  resource_name                = "orders"
  resource_type                = "Topic"
  resource_pattern_type_filter = "Literal"
  acl_principal                = "User:driftline"
  acl_host                     = "*"
  acl_operation                = "Read"
  acl_permission_type          = "Allow"
}
resource "kafka_acl" "driftline_Topic_scores_Read" {
  resource_name                = "scores"
  resource_type                = "Topic"
  resource_pattern_type_filter = "Literal"
  acl_principal                = "User:driftline"
  acl_host                     = "*"
  acl_operation                = "Read"
  acl_permission_type          = "Allow"
}
resource "kafka_acl" "driftline_Topic_fraud-watch__Read" {
  resource_name                = "fraud-watch."
  resource_type                = "Topic"
  resource_pattern_type_filter = "Prefixed"
  acl_principal                = "User:driftline"
  acl_host                     = "*"
  acl_operation                = "Read"
  acl_permission_type          = "Allow"
}
resource "kafka_acl" "driftline_Topic_fraud-watch__Write" {
  resource_name                = "fraud-watch."
  resource_type                = "Topic"
  resource_pattern_type_filter = "Prefixed"
  acl_principal                = "User:driftline"
  acl_host                     = "*"
  acl_operation                = "Write"
  acl_permission_type          = "Allow"
}
resource "kafka_acl" "driftline_Topic_fraud-watch__DescribeConfigs" {
  resource_name                = "fraud-watch."
  resource_type                = "Topic"
  resource_pattern_type_filter = "Prefixed"
  acl_principal                = "User:driftline"
  acl_host                     = "*"
  acl_operation                = "DescribeConfigs"
  acl_permission_type          = "Allow"
}
resource "kafka_acl" "driftline_Topic_Fraud_Drift_Write" {
  resource_name                = "Fraud_Drift"
  resource_type                = "Topic"
  resource_pattern_type_filter = "Literal"
  acl_principal                = "User:driftline"
  acl_host                     = "*"
  acl_operation                = "Write"
  acl_permission_type          = "Allow"
}
resource "kafka_acl" "driftline_Topic_Fraud_Drift_DescribeConfigs" {
  resource_name                = "Fraud_Drift"
  resource_type                = "Topic"
  resource_pattern_type_filter = "Literal"
  acl_principal                = "User:driftline"
  acl_host                     = "*"
  acl_operation                = "DescribeConfigs"
  acl_permission_type          = "Allow"
}
resource "kafka_acl" "driftline_Topic_retrain-requests_Write" {
  resource_name                = "retrain-requests"
  resource_type                = "Topic"
  resource_pattern_type_filter = "Literal"
  acl_principal                = "User:driftline"
  acl_host                     = "*"
  acl_operation                = "Write"
  acl_permission_type          = "Allow"
}
resource "kafka_acl" "driftline_Topic_retrain-requests_DescribeConfigs" {
  resource_name                = "retrain-requests"
  resource_type                = "Topic"
  resource_pattern_type_filter = "Literal"
  acl_principal                = "User:driftline"
  acl_host                     = "*"
  acl_operation                = "DescribeConfigs"
  acl_permission_type          = "Allow"
}
resource "kafka_acl" "driftline_Topic_action-requests_Write" {
  resource_name                = "action-requests"
  resource_type                = "Topic"
  resource_pattern_type_filter = "Literal"
  acl_principal                = "User:driftline"
  acl_host                     = "*"
  acl_operation                = "Write"
  acl_permission_type          = "Allow"
}
resource "kafka_acl" "driftline_Topic_action-requests_DescribeConfigs" {
  resource_name                = "action-requests"
  resource_type                = "Topic"
  resource_pattern_type_filter = "Literal"
  acl_principal                = "User:driftline"
  acl_host                     = "*"
  acl_operation                = "DescribeConfigs"
  acl_permission_type          = "Allow"
}
resource "kafka_acl" "driftline_Group_fraud-watch__Read" {
  resource_name                = "fraud-watch."
  resource_type                = "Group"
  resource_pattern_type_filter = "Prefixed"
  acl_principal                = "User:driftline"
  acl_host                     = "*"
  acl_operation                = "Read"
  acl_permission_type          = "Allow"
}
resource "kafka_acl" "driftline_TransactionalID_fraud-watch__Write" {
  resource_name                = "fraud-watch."
  resource_type                = "TransactionalID"
  resource_pattern_type_filter = "Prefixed"
  acl_principal                = "User:driftline"
  acl_host                     = "*"
  acl_operation                = "Write"
  acl_permission_type          = "Allow"
}

# readers of events and requests
resource "kafka_acl" "driftline-events_Topic_Fraud_Drift_Read" {
  resource_name                = "Fraud_Drift"
  resource_type                = "Topic"
  resource_pattern_type_filter = "Literal"
  acl_principal                = "User:driftline-events"
  acl_host                     = "*"
  acl_operation                = "Read"
  acl_permission_type          = "Allow"
}
resource "kafka_acl" "driftline-events_Topic_retrain-requests_Read" {
  resource_name                = "retrain-requests"
  resource_type                = "Topic"
  resource_pattern_type_filter = "Literal"
  acl_principal                = "User:driftline-events"
  acl_host                     = "*"
  acl_operation                = "Read"
  acl_permission_type          = "Allow"
}
resource "kafka_acl" "driftline-events_Topic_action-requests_Read" {
  resource_name                = "action-requests"
  resource_type                = "Topic"
  resource_pattern_type_filter = "Literal"
  acl_principal                = "User:driftline-events"
  acl_host                     = "*"
  acl_operation                = "Read"
  acl_permission_type          = "Allow"
}

# readers of quarantine, which holds payloads
resource "kafka_acl" "driftline-quarantine_Topic_fraud-watch_quarantine_Read" {
  resource_name                = "fraud-watch.quarantine"
  resource_type                = "Topic"
  resource_pattern_type_filter = "Literal"
  acl_principal                = "User:driftline-quarantine"
  acl_host                     = "*"
  acl_operation                = "Read"
  acl_permission_type          = "Allow"
}
