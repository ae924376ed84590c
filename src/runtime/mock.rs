//! A broker inside the process, for `demo` and for tests.
//!
//! librdkafka's mock cluster: groups, offsets and topics work, transactions are a façade, so
//! loops on it use [`super::Commit::Plain`] and claim no exactly-once. A partition holds 5 MiB,
//! older records vanish silently: keep less than that waiting.

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaErrorCode, RDKafkaRespErr};

use super::ffi;
use super::topics::TopicSpec;
use crate::config::deployment::KafkaAccess;

/// A running mock cluster; it ends when this is dropped.
pub struct MockBroker {
    owner: BaseProducer,
}

impl std::fmt::Debug for MockBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MockBroker").finish_non_exhaustive()
    }
}

impl MockBroker {
    /// Starts one broker on a free port of the loopback interface.
    ///
    /// # Errors
    /// When librdkafka cannot.
    pub fn start() -> KafkaResult<MockBroker> {
        let owner: BaseProducer = ClientConfig::new().set("test.mock.num.brokers", "1").create()?;
        ffi::skip_group_delay(owner.client());
        Ok(MockBroker { owner })
    }

    /// How to reach it.
    ///
    /// # Errors
    /// Never in practice: the owner is made with a cluster.
    pub fn access(&self) -> KafkaResult<KafkaAccess> {
        let cluster = self.owner.client().mock_cluster().ok_or_else(no_cluster)?;
        Ok(KafkaAccess { bootstrap_servers: cluster.bootstrap_servers(), properties: Vec::new() })
    }

    /// Creates a topic. The admin API does not work on a mock cluster.
    ///
    /// # Errors
    /// When it exists already.
    pub fn create_topic(&self, name: &str, partitions: i32) -> KafkaResult<()> {
        let cluster = self.owner.client().mock_cluster().ok_or_else(no_cluster)?;
        cluster.create_topic(name, partitions, 1)
    }

    /// Answers the next requests of a kind with these errors, one each and in this order.
    /// `RD_KAFKA_RESP_ERR__TRANSPORT` drops the connection.
    ///
    /// # Errors
    /// Never in practice, as [`MockBroker::access`].
    pub fn fail(&self, request: RDKafkaApiKey, errors: &[RDKafkaRespErr]) -> KafkaResult<()> {
        let cluster = self.owner.client().mock_cluster().ok_or_else(no_cluster)?;
        cluster.request_errors(request, errors);
        Ok(())
    }

    /// Answers requests of a kind as they should be again.
    ///
    /// # Errors
    /// Never in practice, as [`MockBroker::access`].
    pub fn mend(&self, request: RDKafkaApiKey) -> KafkaResult<()> {
        let cluster = self.owner.client().mock_cluster().ok_or_else(no_cluster)?;
        cluster.clear_request_errors(request);
        Ok(())
    }

    /// Creates all topics of a list.
    ///
    /// # Errors
    /// As [`MockBroker::create_topic`].
    pub fn create_topics(&self, specs: &[TopicSpec]) -> KafkaResult<()> {
        for spec in specs {
            self.create_topic(&spec.name, spec.partitions.unwrap_or(1))?;
        }
        Ok(())
    }
}

fn no_cluster() -> KafkaError {
    KafkaError::MockCluster(RDKafkaErrorCode::State)
}
