//! `driftline check`: says what a configuration means before anything runs.
//!
//! Reads the file alone; with `--connect` also looks at the brokers and the registry, and changes
//! nothing there.

use std::fmt::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{Exit, start};
use crate::config::deployment::Deployment;
use crate::config::estimate;
use crate::config::plan::{
    Absent, Covers, DatasetPlan, Decision, FieldSelection, Locator, ModelPlan, OutcomePlan, Plan,
    TimeSource, ValuePolicy,
};
use crate::config::values::Keeps;
use crate::config::{Bytes, Millis};
use crate::observe::Observe;
use crate::registry;
use crate::runtime::check_connect;

/// Fields to reckon with where all are watched: schemas are not known here.
const FIELDS_ASSUMED: u64 = 20;

/// Check a configuration: what is watched, how exactly models are traced, what it may cost
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  driftline check drift.yaml
  driftline check --connect drift.yaml
  driftline check drift.yaml && driftline run drift.yaml

Exits with 78 when the configuration is wrong, or a topic is; with 75 when nobody answers.")]
pub(super) struct Check {
    /// Configuration file
    config: PathBuf,
    /// Look at the brokers and the registry too: topics, their settings, subjects
    #[arg(long)]
    connect: bool,
}

pub(super) fn run(args: &Check) -> Exit {
    match start::planned(&args.config) {
        Ok((plan, deployment)) => {
            print!("{}", describe(&plan, &deployment));
            if args.connect { connect(plan, &deployment) } else { Exit::Done }
        }
        Err(exit) => exit,
    }
}

/// Looks at what the plan needs at the brokers and the registry; says what is missing and how to
/// mend it.
fn connect(plan: Plan, deployment: &Deployment) -> Exit {
    let plan = Arc::new(plan);
    let sources = Observe::new(Arc::clone(&plan)).topics();
    println!();
    let mut exit = Exit::Done;
    for check in check_connect(&plan, deployment, &sources) {
        match check.result {
            Ok(found) => println!("ok       {}: {found}", check.name),
            Err(error) => {
                println!("MISSING  {}: {error}", check.name);
                exit = Exit::of_code(error.exit_code());
            }
        }
    }
    let Some(access) = &deployment.registry else { return exit };
    match registry::subjects(access, &registry::Options::default()) {
        Ok(subjects) => {
            println!("ok       registry: {} subjects", subjects.len());
            for topic in sources {
                let subject = format!("{topic}-value");
                if subjects.contains(&subject) {
                    println!("ok       subject {subject}");
                } else {
                    println!(
                        "note     no subject {subject}: fine where {topic} is JSON or its \
                         producers name subjects otherwise"
                    );
                }
            }
        }
        Err(error) => {
            println!("MISSING  registry: {error}");
            exit = Exit::Temporary;
        }
    }
    exit
}

fn describe(plan: &Plan, deployment: &Deployment) -> String {
    let mut text = String::new();
    write_all(&mut text, plan, deployment).expect("a String takes all text");
    text
}

fn write_all(out: &mut String, plan: &Plan, deployment: &Deployment) -> fmt::Result {
    writeln!(out, "app {}", plan.app)?;
    writeln!(out, "  kafka      {}", deployment.kafka.bootstrap_servers)?;
    match &deployment.registry {
        Some(registry) => writeln!(out, "  registry   {}", registry.urls.join(", "))?,
        None => writeln!(out, "  registry   none: records and events are JSON")?,
    }
    let topics = &deployment.topics;
    writeln!(
        out,
        "  writes     {}, {}, {}",
        topics.drift_events, topics.retrain_requests, topics.action_requests
    )?;
    writeln!(out, "  commits    every {}", millis(deployment.commit_interval.as_millis() as i64))?;
    match deployment.http {
        Some(address) => writeln!(out, "  http       {address}")?,
        None => writeln!(out, "  http       off")?,
    }
    writeln!(out, "  acts on    windows that ended at most {} ago", millis(plan.act_within_ms))?;
    writeln!(
        out,
        "  holds      windows open at most {} for a partition that cannot be read",
        millis(plan.hold_max_ms)
    )?;
    write_values(out, plan, deployment)?;
    plan.datasets.values().try_for_each(|dataset| write_dataset(out, dataset))?;
    plan.models.values().try_for_each(|model| write_model(out, plan, model))?;
    write_limits(out, plan)
}

fn write_values(out: &mut String, plan: &Plan, deployment: &Deployment) -> fmt::Result {
    let values = &plan.values;
    match &values.key {
        Some(key) => writeln!(out, "  values     hashed with key {:016x}", key.id())?,
        None => writeln!(
            out,
            "  values     no key: where a field has more than 64, its presence alone is counted"
        )?,
    }
    if deployment.registry.is_some() && !values.drop_tags.is_empty() {
        let tags = values.drop_tags.join(", ");
        writeln!(
            out,
            "  silent     fields the registry tags {tags}, unless `values` says otherwise"
        )?;
    }
    let kept = match values.quarantine {
        Keeps::Full => "whole records",
        Keeps::Hash => "hashes of records",
        Keeps::None => "the places of records alone",
    };
    writeln!(out, "  quarantine keeps {kept}")
}

fn write_dataset(out: &mut String, dataset: &DatasetPlan) -> fmt::Result {
    writeln!(out, "\ndataset {} (topic {})", dataset.name, dataset.topic)?;
    if let Some(owner) = &dataset.owner {
        writeln!(out, "  owner      {owner}")?;
    }
    write_window(out, dataset.window.ms(), dataset.lateness_ms, &dataset.event_time)?;
    writeln!(
        out,
        "  plausible  event times from {} before to {} after the record's Kafka timestamp",
        millis(dataset.bounds.past_ms),
        millis(dataset.bounds.future_ms)
    )?;
    match &dataset.producer {
        Some(place) => writeln!(out, "  producer   {place}")?,
        None => writeln!(out, "  producer   unknown: add `producer:` to tell producers apart")?,
    }
    if let Some(place) = &dataset.schema_version {
        writeln!(out, "  schema     {place}, where records are plain JSON")?;
    }
    write_fields(out, dataset)?;
    writeln!(out, "  definition {:016x}", dataset.definition)
}

fn write_window(
    out: &mut String,
    size_ms: i64,
    lateness_ms: i64,
    time: &TimeSource,
) -> fmt::Result {
    let time = match time {
        TimeSource::Record => "the record's Kafka timestamp".to_owned(),
        TimeSource::At(place) => place.to_string(),
    };
    writeln!(
        out,
        "  window     {} by {time}, {} late at most",
        millis(size_ms),
        millis(lateness_ms)
    )
}

fn write_fields(out: &mut String, dataset: &DatasetPlan) -> fmt::Result {
    let (named, rest) = match &dataset.fields {
        FieldSelection::All(named) if named.is_empty() => (named, "all scalar fields"),
        FieldSelection::All(named) => (named, "all scalar fields; of these is known:"),
        FieldSelection::Only(named) => (named, "these alone:"),
    };
    writeln!(out, "  fields     {rest}")?;
    for (path, field) in named {
        let mut said = Vec::new();
        said.extend(field.kind.map(|kind| format!("{kind:?}").to_lowercase()));
        said.extend(field.unit.clone());
        said.extend(field.required.then(|| "required".to_owned()));
        said.extend(field.min.map(|min| format!("min {min}")));
        said.extend(field.max.map(|max| format!("max {max}")));
        if !field.allowed.is_empty() {
            said.push(format!("one of {}", field.allowed.join(", ")));
        }
        said.push(format!("values {:?}", field.values).to_lowercase());
        if field.values == ValuePolicy::Drop && names_cells(dataset, path) {
            said.push("though told as part of cells".to_owned());
        }
        writeln!(out, "    {path}: {}", said.join(", "))?;
    }
    if dataset.quarantine_breaches {
        writeln!(out, "  breaches   are set aside in quarantine")?;
    }
    Ok(())
}

/// Whether the values of a field are told in the names or times of cells.
fn names_cells(dataset: &DatasetPlan, path: &str) -> bool {
    let places = dataset
        .event_time
        .place()
        .into_iter()
        .chain(&dataset.producer)
        .chain(&dataset.schema_version);
    places.into_iter().any(|place| matches!(place, Locator::Field(known) if known == path))
}

fn write_model(out: &mut String, plan: &Plan, model: &ModelPlan) -> fmt::Result {
    let predictions = &model.predictions;
    writeln!(out, "\nmodel {} (topic {})", model.name, predictions.topic)?;
    write_window(out, model.window.ms(), model.lateness_ms, &predictions.time)?;
    writeln!(out, "  id         {}", predictions.id)?;
    match &predictions.decision {
        Decision::ScoreAbove(limit) => writeln!(out, "  positive   score above {limit}")?,
        Decision::OneOf(place, values) => {
            writeln!(out, "  positive   {place} is {}", values.join(" or "))?;
        }
    }
    match &predictions.version {
        Some(place) => writeln!(out, "  version    {place}")?,
        None => writeln!(
            out,
            "  version    unknown: add `predictions.version` to tell a new model from new data"
        )?,
    }
    match &model.outcomes {
        Some(outcomes) => write_outcomes(out, outcomes)?,
        None => writeln!(
            out,
            "  outcomes   none: add `outcomes:` to see whether the model is still right"
        )?,
    }
    if model.inputs.is_empty() {
        writeln!(out, "  inputs     none: add `inputs:` to trace changes upstream")?;
    }
    for (dataset, fields) in &model.inputs {
        write_input(out, plan, model, (dataset, fields))?;
    }
    writeln!(out, "  definition {:016x}", model.definition)
}

fn write_outcomes(out: &mut String, outcomes: &OutcomePlan) -> fmt::Result {
    let covers = match outcomes.covers {
        Covers::All => "all predictions",
        Covers::Flagged => "flagged predictions",
    };
    let absent = match outcomes.absent {
        Absent::NegativeAfterHorizon => "then it was a negative",
        Absent::Unknown => "then nothing is known",
    };
    writeln!(
        out,
        "  outcomes   topic {}, {} is {} for {covers}, within {}, {absent}",
        outcomes.topic,
        outcomes.label,
        outcomes.positive.join(" or "),
        millis(outcomes.horizon_ms)
    )
}

/// The grade of an input's exposure, and the keys that would better it.
fn write_input(
    out: &mut String,
    plan: &Plan,
    model: &ModelPlan,
    (dataset, fields): (&String, &Vec<String>),
) -> fmt::Result {
    let fields = match fields.is_empty() {
        true => "all fields".to_owned(),
        false => fields.join(", "),
    };
    writeln!(out, "  input      {dataset} ({fields})")?;
    let key = format!("models.{}.predictions.exposure.{dataset}", model.name);
    let exposure = model.predictions.exposure.get(dataset);
    let schema = exposure.map_or(&[][..], |exposure| &exposure.schema);
    let producer = exposure.map_or(&[][..], |exposure| &exposure.producer);
    if schema.is_empty() && producer.is_empty() {
        writeln!(out, "    exposure C: traced by time alone")?;
        writeln!(
            out,
            "    for A, let the service that predicts pass on the schema id and producer"
        )?;
        writeln!(out, "    of the record it read, and say where they are:")?;
        return writeln!(
            out,
            "      {key}: {{ schema: {{ header: schema_id }}, producer: {{ header: producer }} }}"
        );
    }
    writeln!(out, "    exposure A: carried by the prediction")?;
    match schema {
        [] => writeln!(out, "      schema   unknown: add `{key}.schema`")?,
        places => writeln!(out, "      schema   {}", either(places))?,
    }
    match producer {
        [] => writeln!(out, "      producer unknown: add `{key}.producer`")?,
        places => writeln!(out, "      producer {}", either(places))?,
    }
    let names_producer = plan.datasets.get(dataset).is_some_and(|plan| plan.producer.is_some());
    if !producer.is_empty() && !names_producer {
        writeln!(out, "      the dataset knows no producers: add `datasets.{dataset}.producer`")?;
    }
    Ok(())
}

fn either(places: &[Locator]) -> String {
    let places: Vec<String> = places.iter().map(ToString::to_string).collect();
    places.join(", else ")
}

fn write_limits(out: &mut String, plan: &Plan) -> fmt::Result {
    let limits = &plan.limits;
    writeln!(out, "\nlimits")?;
    writeln!(out, "  memory     {}", Bytes(limits.memory_bytes))?;
    writeln!(out, "  cells      {} a window", limits.cells_per_window)?;
    writeln!(out, "  fields     {} a dataset", limits.fields_per_dataset)?;
    writeln!(out, "  schemas    {} a dataset", limits.versions_per_dataset)?;
    writeln!(out, "  records    {} each", Bytes(limits.record_bytes as u64))?;
    writeln!(out, "  waiting    {} predictions and outcomes", limits.waiting)?;
    let estimates = estimate::memory(plan, FIELDS_ASSUMED);
    let total: u64 = estimates.iter().map(|estimate| estimate.bytes).sum();
    writeln!(
        out,
        "\nmemory at most {}, with {FIELDS_ASSUMED} fields where all are watched and every limit \
         reached",
        Bytes(total)
    )?;
    for estimate in &estimates {
        writeln!(out, "  {:>10}  {}", Bytes(estimate.bytes).to_string(), estimate.what)?;
    }
    if total > limits.memory_bytes {
        writeln!(out, "  more than `limits.memory`: raise it, or give `only:` or lower limits")?;
    }
    Ok(())
}

fn millis(ms: i64) -> Millis {
    Millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn described(text: &str) -> String {
        let config = Config::parse(text, "drift.yaml");
        let (plan, deployment) = config.and_then(|config| config.plan()).expect("valid");
        describe(&plan, &deployment)
    }

    const MODEL: &str = "
app: a
datasets: { orders: { topic: orders } }
models:
  fraud:
    inputs: { orders: [amount] }
    predictions:
      topic: scores
      id: tx
      score: p
      decision: { score_above: 0.8 }
";

    #[test]
    fn an_input_without_exposure_says_which_keys_to_add() {
        let text = described(MODEL);

        assert!(text.contains("exposure C: traced by time alone"), "{text}");
        assert!(
            text.contains(
                "models.fraud.predictions.exposure.orders: { schema: { header: schema_id }, \
                 producer: { header: producer } }"
            ),
            "{text}"
        );
        assert!(text.contains("outcomes   none: add `outcomes:`"), "{text}");
    }

    #[test]
    fn an_input_with_exposure_says_what_is_missing_of_it() {
        let text =
            described(&format!("{MODEL}      exposure: {{ orders: {{ producer: app }} }}\n"));

        assert!(text.contains("exposure A: carried by the prediction"), "{text}");
        assert!(text.contains("add `models.fraud.predictions.exposure.orders.schema`"), "{text}");
        assert!(text.contains("add `datasets.orders.producer`"), "{text}");
    }

    #[test]
    fn a_dataset_of_defaults_is_described_in_full() {
        let text = described("app: a\ndatasets: { orders: { topic: orders } }");

        assert!(text.contains("window     1h by the record's Kafka timestamp, 5m late"), "{text}");
        assert!(text.contains("fields     all scalar fields\n"), "{text}");
        assert!(text.contains("memory     512 MiB\n"), "{text}");
    }
}
