//! A look into files before they are replayed: what inference needs, and the times of records.

use std::collections::BTreeMap;

use super::{FileSource, FileSpec, ReplayError};
use crate::config::plan::{Locator, Plan, TimeSource};
use crate::infer::{Sampler, TopicSample, time_field};
use crate::observe::SchemaLanguage;

/// Records sampled of a topic, over all of its files; a second of decoding at most.
const RECORDS_MAX: usize = 20_000;

/// Why the records of a topic have no time to be merged by.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// Its time is a header.
    #[error(
        "time of `{topic}` is header `{header}`, and files have no headers: name a field in the \
         configuration"
    )]
    Header {
        /// Topic.
        topic: String,
        /// Header.
        header: String,
    },
    /// Its time is the Kafka timestamp, and no field can stand in for it.
    #[error(
        "records of `{topic}` have no time: files have no Kafka timestamps, and no field looks \
         like a time; name one in the configuration"
    )]
    None {
        /// Topic.
        topic: String,
    },
}

/// Samples every topic from the beginnings of its files. What cannot be read there is met again,
/// and told, when the files are replayed.
///
/// # Errors
/// When a file cannot be opened or its head is not of its format.
pub fn sample(specs: &[FileSpec]) -> Result<Vec<TopicSample>, ReplayError> {
    let mut topics: BTreeMap<&str, Vec<&FileSpec>> = BTreeMap::new();
    for spec in specs {
        topics.entry(&spec.topic).or_default().push(spec);
    }
    let mut samples = Vec::new();
    for (topic, files) in topics {
        let mut whole = TopicSample { topic: topic.to_owned(), ..TopicSample::default() };
        for spec in &files {
            whole.merge(sample_file(spec, RECORDS_MAX / files.len())?);
        }
        samples.push(whole);
    }
    Ok(samples)
}

fn sample_file(spec: &FileSpec, records_max: usize) -> Result<TopicSample, ReplayError> {
    let mut source = FileSource::open(spec)?;
    let mut sampler = Sampler::new(&spec.topic);
    let mut is_whole = true;
    let mut records = 0;
    for record in source.by_ref() {
        let Ok(record) = record else { continue };
        if records == 0
            && let Some((id, text)) = &record.schema
        {
            sampler.schema(*id, SchemaLanguage::Avro, text);
        }
        // The only schema there is has been handed in.
        let _ = sampler.take(&record.as_source());
        records += 1;
        if records >= records_max.max(1) {
            is_whole = false;
            break;
        }
    }
    let progress = source.progress();
    let share = match progress.total {
        Some(total) if !is_whole && total > 0 => progress.read as f64 / total as f64,
        _ => 1.0,
    };
    Ok(sampler.finish(share))
}

/// Sets the field that each file's records are merged by: the event time of its topic. A topic
/// that is read by its Kafka timestamp gets the field that looks like its time.
///
/// # Errors
/// [`TimeError`] when a topic's time cannot be found in a file.
pub fn set_times(
    specs: &mut [FileSpec],
    plan: &Plan,
    samples: &[TopicSample],
) -> Result<(), TimeError> {
    for spec in specs {
        let topic = spec.topic.clone();
        spec.time = match time_of(plan, &topic) {
            TimeSource::At(Locator::Field(path)) => Some(path.clone()),
            TimeSource::At(Locator::Header(header)) => {
                return Err(TimeError::Header { topic, header: header.clone() });
            }
            TimeSource::Record => {
                let sample = samples.iter().find(|sample| sample.topic == topic);
                match sample.and_then(time_field) {
                    Some(path) => Some(path.to_owned()),
                    None => return Err(TimeError::None { topic }),
                }
            }
        };
    }
    Ok(())
}

/// The first that is said of a topic's time: by a dataset, predictions, outcomes.
fn time_of<'p>(plan: &'p Plan, topic: &str) -> &'p TimeSource {
    let datasets = plan.datasets.values().map(|d| (&d.topic, &d.event_time));
    let predictions = plan.models.values().map(|m| (&m.predictions.topic, &m.predictions.time));
    let outcomes = plan.models.values().filter_map(|model| model.outcomes.as_ref());
    let outcomes = outcomes.map(|outcomes| (&outcomes.topic, &outcomes.time));
    let all = datasets.chain(predictions).chain(outcomes);
    let mut times = all.filter(|(name, _)| *name == topic).map(|(_, time)| time);
    times.find(|time| **time != TimeSource::Record).unwrap_or(&TimeSource::Record)
}
