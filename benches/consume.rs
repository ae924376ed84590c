//! `run --stages observe` beside a bare `BaseConsumer` poll loop, on the same real topic.
//!
//! Needs a broker: `deploy/local/kafka.sh up kafka`, then `cargo bench --bench consume`. Prints
//! records per second and CPU microseconds per record of both, all threads of the client library
//! included, and the ratio of rates; the broker shares the machine, so only the ratio and the CPU
//! say something.
//!
//! Observe is timed from its first commit to its last but one: what lies between is full load,
//! while the last interval ends in idleness. Of several instances it is the time in which all
//! of them hold partitions and have records to read.
//!
//! | environment | chooses |
//! |---|---|
//! | `DRIFTLINE_TEST_KAFKA` | the broker; 127.0.0.1:29092 |
//! | `TLS` | another broker, over TLS, measured in turns with the first: `host:port,ca,certificate,key`, the last three files in PEM |
//! | `RECORDS` | how many, of about 130 bytes; 6,000,000 |
//! | `COMPRESSION` | how they are written: `none`, `lz4`, `zstd` |
//! | `INSTANCES` | instances of observe that share the topic; 1 |
//! | `ROUNDS` | repetitions; 3 |
//! | `FIELDS` | `3`, `all`, or both when absent |
//! | `TOPIC` | a topic filled by an earlier run, read instead of a new one |
//! | `FILL` | fills `TOPIC` and ends |
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench measures wall time, prints, and stops at the first surprise"
)]
#![allow(clippy::cast_precision_loss, reason = "millions")]

use std::collections::BTreeSet;
use std::env::var;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use driftline::config::Config;
use driftline::config::deployment::{Deployment, RegistryAccess};
use driftline::config::plan::Plan;
use driftline::demo::bank::{Bank, BankPlan, HeaderValue, TopicKind};
use driftline::demo::record::SchemaRef;
use driftline::event::time::EventTime;
use driftline::process::{self, Settings, StageName};
use driftline::registry::{Options, Registry, StandIn};
use driftline::runtime::{Commit, Report, ReportKind, Shutdown, TopicSpec, ensure_topics};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

const PARTITIONS: i32 = 8;
const CALL: Duration = Duration::from_secs(60);
/// Clock ticks a second in `/proc`: 100 wherever Linux runs this.
const TICK: Duration = Duration::from_millis(10);
/// Fields watched, by what `FIELDS` calls them.
const FIELDS: [(&str, &str); 2] = [("3", "only: [amount, country, items]"), ("all", "fields: {}")];

/// The topic, and how to reach it.
struct Target {
    /// What it is called in what is printed.
    name: &'static str,
    brokers: String,
    tls: Option<Tls>,
    registry: StandIn,
    topic: String,
    stamp: u128,
}

/// Files in PEM.
struct Tls {
    ca: String,
    certificate: String,
    key: String,
}

fn main() {
    let number = |name: &str, default: u32| var(name).map_or(default, |n| n.parse().unwrap());
    let stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let topic = var("TOPIC").unwrap_or_else(|_| format!("bench-{stamp}"));
    let target = |name, brokers: String, tls| Target {
        name,
        brokers,
        tls,
        registry: StandIn::start().unwrap(),
        topic: topic.clone(),
        stamp,
    };
    let brokers = var("DRIFTLINE_TEST_KAFKA").unwrap_or_else(|_| "127.0.0.1:29092".into());
    let mut targets = vec![target("plain", brokers, None)];
    if let Ok(tls) = var("TLS") {
        let parts: Vec<String> = tls.split(',').map(str::to_owned).collect();
        let [brokers, ca, certificate, key] = parts.try_into().unwrap();
        targets.push(target("TLS", brokers, Some(Tls { ca, certificate, key })));
    }
    for target in &targets {
        let (plan, ids) = target.schemas(number("RECORDS", 6_000_000));
        if var("FILL").is_ok() || var("TOPIC").is_err() {
            target.fill(plan, &ids);
        }
        if var("FILL").is_ok() {
            ids.iter().for_each(|(schema, id)| println!("schema {id} order-v{}", schema.number()));
        }
    }
    if var("FILL").is_ok() {
        return;
    }
    let instances = number("INSTANCES", 1);
    println!("orders of the demo bank, Avro, {PARTITIONS} partitions, 16 or 17 fields");
    for (name, fields) in FIELDS {
        if var("FIELDS").is_ok_and(|wanted| wanted != name) {
            continue;
        }
        for round in 0..number("ROUNDS", 3) {
            for target in &targets {
                let records = target.records();
                let bare = target.bare(records);
                let observed = target.observe(round, fields, instances, records);
                let (ratio, over) = (observed.rate / bare.rate, target.name);
                println!(
                    "{over:>5}, {name:>3} fields, {records} records: bare {bare}   observe \
                     {observed}   ratio {ratio:.2}"
                );
            }
        }
    }
}

/// How fast something was, and at what cost.
struct Speed {
    /// Records a second, by the clock on the wall.
    rate: f64,
    /// CPU of the whole process by record.
    cpu: Duration,
    /// Rates of the instances, where there are several.
    each: Vec<f64>,
}

impl std::fmt::Display for Speed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cpu_us = self.cpu.as_nanos() as f64 / 1e3;
        write!(f, "{:9.0}/s {cpu_us:.2} us", self.rate)?;
        for rate in self.each.iter().filter(|_| self.each.len() > 1) {
            write!(f, " [{rate:.0}/s]")?;
        }
        Ok(())
    }
}

/// CPU time of this process, all its threads, user and system.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    TICK * ticks.map(|ticks| ticks.parse::<u32>().unwrap()).sum()
}

impl Target {
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        if let Some(tls) = &self.tls {
            config
                .set("security.protocol", "SSL")
                .set("ssl.ca.location", &tls.ca)
                .set("ssl.certificate.location", &tls.certificate)
                .set("ssl.key.location", &tls.key);
        }
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// The configuration of one app that watches the topic.
    fn planned(&self, app: &str, fields: &str) -> (Plan, Deployment) {
        let (brokers, url, topic) = (&self.brokers, self.registry.url(), &self.topic);
        let security = self.tls.as_ref().map_or_else(String::new, |tls| {
            let Tls { ca, certificate, key } = tls;
            format!("protocol: SSL, ca: \"{ca}\", certificate: \"{certificate}\", key: \"{key}\"")
        });
        let text = format!(
            "app: {app}\n\
             kafka: {{ bootstrap_servers: \"{brokers}\", security: {{ {security} }} }}\n\
             registry: {{ url: \"{url}\" }}\n\
             datasets:\n  orders:\n    topic: {topic}\n    producer: {{ header: app }}\n    \
             {fields}\n\
             http: {{ listen: off }}\ncommit: {{ interval: 1s }}\n"
        );
        Config::parse(&text, "bench.yaml").unwrap().plan().unwrap()
    }

    /// Orders of one hour, all within one window, and the ids of their schemas, which are the same
    /// in every run: half of what two of the six producers write is another version.
    fn schemas(&self, records: u32) -> (BankPlan, Vec<(SchemaRef, u32)>) {
        let story = BankPlan::story(EventTime(0));
        let plan = BankPlan { windows: 1, rows_per_window: records, onset_window: 0, ..story };
        let access = RegistryAccess::open(vec![self.registry.url()]);
        let client = Registry::start(&access, Options::default()).unwrap();
        let orders = [SchemaRef::OrderV12, SchemaRef::OrderV13];
        let ids = orders.map(|schema| {
            (schema, client.register(schema.subject(), schema.text(), CALL).unwrap())
        });
        (plan, ids.to_vec())
    }

    fn fill(&self, plan: BankPlan, ids: &[(SchemaRef, u32)]) {
        let (_, deployment) = self.planned("bench-fill", "fields: {}");
        let spec = TopicSpec::records(&self.topic, PARTITIONS);
        ensure_topics(&deployment.kafka, &[spec], &[]).unwrap();
        let producer: BaseProducer = self
            .client()
            .set("linger.ms", "50")
            .set("batch.size", "1000000")
            .set("compression.type", var("COMPRESSION").unwrap_or_else(|_| "none".into()))
            .create()
            .unwrap();
        let mut payload = Vec::new();
        for order in Bank::new(plan).filter(|one| one.topic == TopicKind::Orders) {
            payload.clear();
            payload.push(0);
            let (_, id) = ids.iter().find(|(schema, _)| *schema == order.schema).unwrap();
            payload.extend_from_slice(&id.to_be_bytes());
            order.write_avro(&mut payload);
            let [(key, HeaderValue::Text(app))] = order.headers[..] else { panic!("one header") };
            let header = Header { key, value: Some(app) };
            let mut record = BaseRecord::to(&self.topic)
                .key(order.key())
                .payload(payload.as_slice())
                .headers(OwnedHeaders::new().insert(header));
            while let Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) =
                producer.send(record)
            {
                producer.poll(Duration::from_millis(10));
                record = again;
            }
        }
        producer.flush(CALL).unwrap();
    }

    /// Records the topic holds.
    fn records(&self) -> u64 {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let ends = (0..PARTITIONS).map(|partition| {
            let (low, high) = consumer.fetch_watermarks(&self.topic, partition, CALL).unwrap();
            u64::try_from(high - low).unwrap()
        });
        ends.sum()
    }

    /// A loop that only polls, with the prefetch settings of observe.
    fn bare(&self, records: u64) -> Speed {
        let cpu_before = cpu();
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", "bench-bare")
            .set("enable.auto.commit", "false")
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.wait.max.ms", "50")
            .set("queued.max.messages.kbytes", "65536")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(&self.topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let mut seen = 0;
        let mut started = None;
        while seen < records {
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                message.unwrap();
                started.get_or_insert_with(Instant::now);
                seen += 1;
            }
        }
        let cpu = per_record(cpu() - cpu_before, records);
        let rate = records as f64 / started.unwrap().elapsed().as_secs_f64();
        Speed { rate, cpu, each: Vec::new() }
    }

    /// Observe: transactions, summaries and all.
    fn observe(&self, round: u32, fields: &str, instances: u32, records: u64) -> Speed {
        let app = format!("bench-{}-{round}-{}", self.stamp, fields.len());
        let committed = Arc::new(AtomicU64::new(0));
        let shutdown = Shutdown::new();
        let running: Vec<_> = (0..instances)
            .map(|slot| {
                let (plan, mut deployment) = self.planned(&app, fields);
                deployment.slot = slot;
                start(plan, deployment, &shutdown, &committed)
            })
            .collect();
        while committed.load(Ordering::Relaxed) < records {
            std::thread::sleep(Duration::from_millis(20));
        }
        shutdown.request();
        let ended = running.into_iter().map(|(process, follower)| {
            process.join().unwrap().unwrap();
            follower.join().unwrap()
        });
        speed(&ended.collect::<Vec<_>>())
    }
}

fn per_record(cpu: Duration, records: u64) -> Duration {
    cpu.div_f64(records as f64)
}

/// A commit of an instance.
#[derive(Clone, Copy)]
struct Mark {
    at: Instant,
    cpu: Duration,
    read: u64,
}

type Process = JoinHandle<Result<(), process::ProcessError>>;

/// Starts one instance, and a thread that notes its commits since it last got its partitions.
fn start(
    plan: Plan,
    deployment: Deployment,
    shutdown: &Shutdown,
    committed: &Arc<AtomicU64>,
) -> (Process, JoinHandle<Vec<Mark>>) {
    let (reports, heard) = channel();
    let settings = Settings {
        stages: BTreeSet::from([StageName::Observe]),
        commit: Commit::Transactional,
        pace: None,
        leave: false,
        listener: Some(reports),
    };
    let (stop, committed) = (shutdown.clone(), Arc::clone(committed));
    let run = move || process::run(&Arc::new(plan), &deployment, &settings, &stop);
    (std::thread::spawn(run), std::thread::spawn(move || follow(heard, &committed)))
}

fn follow(heard: Receiver<Report>, committed: &AtomicU64) -> Vec<Mark> {
    let mut marks = Vec::new();
    for report in heard {
        match report.kind {
            ReportKind::Assigned { .. } => marks.clear(),
            ReportKind::Committed { read, .. } if read > 0 => {
                committed.fetch_add(read, Ordering::Relaxed);
                marks.push(Mark { at: Instant::now(), cpu: cpu(), read });
            }
            _ => {}
        }
    }
    marks
}

/// The time in which all instances were under full load: from the last of their first commits to
/// the first of their last but one.
fn speed(instances: &[Vec<Mark>]) -> Speed {
    let few = "too few commits to time: raise RECORDS";
    let from = instances.iter().map(|marks| marks.first().expect(few).at).max().unwrap();
    let to = instances.iter().map(|marks| marks.iter().rev().nth(1).expect(few).at).min().unwrap();
    let (mut cpu, mut each) = (Duration::ZERO, Vec::new());
    for marks in instances {
        let loaded: Vec<&Mark> =
            marks.iter().filter(|mark| from <= mark.at && mark.at <= to).collect();
        let [first, rest @ ..] = loaded.as_slice() else { panic!("{few}") };
        let last = rest.last().expect(few);
        let read: u64 = rest.iter().map(|mark| mark.read).sum();
        each.push(read as f64 / (last.at - first.at).as_secs_f64());
        // Of the whole process; with several instances by what all of them read.
        cpu = (last.cpu - first.cpu).div_f64((last.at - first.at).as_secs_f64());
    }
    let rate: f64 = each.iter().sum();
    Speed { rate, cpu: cpu.div_f64(rate), each }
}
