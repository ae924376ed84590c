//! A real broker with TLS, log-in and rights, started by `deploy/local`, and its administrator.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/local/kafka.sh");
const CALL: Duration = Duration::from_secs(30);

/// Where it is.
#[derive(Clone, Debug)]
pub struct Secured {
    /// SASL over TLS.
    pub sasl_ssl: String,
    /// TLS, with a client's certificate or without.
    pub ssl: String,
    home: PathBuf,
}

/// A topic to make.
#[derive(Clone, Debug)]
pub struct Topic {
    pub name: String,
    pub partitions: i32,
    pub settings: Vec<(String, String)>,
}

impl Secured {
    /// Ready. The first call starts it where it does not run yet.
    pub fn get() -> &'static Secured {
        static SECURED: OnceLock<Secured> = OnceLock::new();
        SECURED.get_or_init(|| {
            script(&["up", "secured"]);
            let port = std::env::var("DRIFTLINE_KAFKA_PORT").unwrap_or_else(|_| "29092".into());
            let port: u16 = port.parse().expect("a port");
            let home = format!("deploy/local/.work/secured-{}", port + 2);
            Secured {
                sasl_ssl: format!("127.0.0.1:{}", port + 2),
                ssl: format!("127.0.0.1:{}", port + 3),
                home: Path::new(env!("CARGO_MANIFEST_DIR")).join(home),
            }
        })
    }

    /// As [`Secured::get`], where none runs yet with a KDC beside it.
    pub fn with_kerberos() -> &'static Secured {
        script_in(&[("DRIFTLINE_KERBEROS", "1")], &["up", "secured"]);
        Secured::get()
    }

    /// The realm's configuration, for `KRB5_CONFIG`.
    pub fn realm(&self) -> PathBuf {
        self.home.join("kerberos/krb5.conf")
    }

    /// Makes a principal and a file with its key.
    pub fn keytab(&self, principal: &str, file: &Path) {
        script(&["keytab", principal, &file.display().to_string()]);
    }

    /// The authority that the broker's certificate comes from.
    pub fn ca(&self) -> PathBuf {
        self.home.join("ca.pem")
    }

    /// A certificate for a client: FILE.pem and FILE.key.
    pub fn certificate(&self, name: &str, file: &Path) {
        script(&["certificate", name, &file.display().to_string()]);
    }

    /// A token for a user, good for a time; with a negative one it has ended.
    pub fn token(&self, user: &str, seconds: i32) -> String {
        script(&["token", user, &seconds.to_string()])
    }

    /// A token that someone else signed.
    pub fn token_signed_with(&self, key: &Path, user: &str) -> String {
        script(&["token", user, "3600", &key.display().to_string()])
    }

    /// Gives a user a password for a SCRAM mechanism.
    pub fn set_password(&self, user: &str, mechanism: &str, password: &str) {
        let credential = format!("{mechanism}=[password={password}]");
        let what = ["--alter", "--add-config", &credential];
        script(
            &[&["scram"], &what[..], &["--entity-type", "users", "--entity-name", user]].concat(),
        );
    }

    /// Runs `kafka-acls.sh` as the administrator.
    pub fn acls(&self, arguments: &[&str]) {
        script(&[&["acls"], arguments].concat());
    }

    fn admin(&self) -> ClientConfig {
        let password = std::fs::read_to_string(self.home.join("admin.password")).expect("made");
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.sasl_ssl)
            .set("security.protocol", "SASL_SSL")
            .set("sasl.mechanism", "SCRAM-SHA-512")
            .set("sasl.username", "admin")
            .set("sasl.password", password.trim())
            .set("ssl.ca.location", self.ca().display().to_string());
        config
    }

    /// Makes topics with partitions and settings.
    pub fn create_topics(&self, topics: &[Topic]) {
        let admin: AdminClient<DefaultClientContext> = self.admin().create().expect("a client");
        let new: Vec<NewTopic<'_>> = topics
            .iter()
            .map(|topic| {
                let new = NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(1));
                topic.settings.iter().fold(new, |new, (key, value)| new.set(key, value))
            })
            .collect();
        let options = AdminOptions::new().operation_timeout(Some(CALL));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let made = runtime.expect("a runtime").block_on(admin.create_topics(&new, &options));
        for result in made.expect("the broker answers") {
            result.expect("the topic is new");
        }
    }

    /// Writes records of these bytes, stamped with a time.
    pub fn feed(&self, topic: &str, time_ms: i64, count: u32, payload: impl Fn(u32) -> Vec<u8>) {
        let producer: BaseProducer = self.admin().create().expect("a producer");
        for index in 0..count {
            let (key, payload) = (index.to_string(), payload(index));
            let record = BaseRecord::to(topic).timestamp(time_ms).key(&key).payload(&payload);
            producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
        }
        producer.flush(CALL).expect("the broker takes what is written");
    }

    /// How far a group has committed a topic, all partitions added up.
    pub fn committed(&self, group: &str, topic: &str) -> i64 {
        let mut config = self.admin();
        let consumer: BaseConsumer = config.set("group.id", group).create().expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(topic), CALL).expect("metadata");
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            list.add_partition(topic, partition.id());
        }
        let committed = consumer.committed_offsets(list, CALL).expect("offsets");
        let offsets = committed.elements();
        let known = offsets.iter().map(|element| match element.offset() {
            Offset::Offset(offset) => offset,
            _ => 0,
        });
        known.sum()
    }

    /// Where a topic of one partition ends.
    pub fn end(&self, topic: &str) -> i64 {
        let consumer: BaseConsumer = self.admin().create().expect("a consumer");
        consumer.fetch_watermarks(topic, 0, CALL).expect("watermarks").1
    }
}

fn script(arguments: &[&str]) -> String {
    script_in(&[], arguments)
}

fn script_in(environment: &[(&str, &str)], arguments: &[&str]) -> String {
    let mut command = Command::new(SCRIPT);
    command.args(arguments).envs(environment.iter().copied());
    let done = command.output().expect("bash runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{SCRIPT} {}: {said}", arguments.join(" "));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}
