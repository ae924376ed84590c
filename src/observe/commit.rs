//! What a commit says: deltas, samples, schemas and facts, and the header to every partition.
//!
//! The bytes depend on the records taken since the last commit and the order they came in, on
//! nothing else: datasets and models come in name order, their windows in time order, cells in key
//! order, fields in path order, facts in the order of their records, partitions in (topic,
//! partition) order.

use super::cells::{Cell, OTHERS};
use super::dataset::Dataset;
use super::engine::Engine;
use super::model::Model;
use super::pack::{FactMessages, Summaries};
use crate::event::cell::CellKey;
use crate::event::fact::{FactCell, OutcomeFact, PredictionFact};
use crate::event::finding::Subject;
use crate::event::progress::Progress;
use crate::event::route::{FACTS_PARTITIONS, Note, Outbox, SUMMARIES_PARTITIONS, partition_of};
use crate::event::summary::{CellDelta, DatasetDelta, ModelDelta, SampleDelta};
use crate::sketch::{FieldKind, FieldSummary};

/// Writes everything since the last commit and empties it.
pub(super) fn write(engine: &mut Engine, progress: &[Progress], out: &mut Outbox) {
    for partition in 0..SUMMARIES_PARTITIONS {
        let mut messages = Summaries::new(partition, out);
        for dataset in &mut engine.datasets {
            if partition == home(Subject::Dataset(dataset.plan.name.clone())) {
                tell_dataset(dataset, &mut messages);
            }
        }
        for model in &engine.models {
            if partition == home(Subject::Model(model.plan.name.clone())) {
                tell_model(model, &mut messages);
            }
        }
        messages.finish(progress);
    }
    for partition in 0..FACTS_PARTITIONS {
        let mut messages = FactMessages::new(partition, out);
        tell_facts(engine, partition, &mut messages);
        messages.finish(progress);
    }
    notes(engine, out);
    engine.datasets.iter_mut().for_each(Dataset::told);
    engine.models.iter_mut().for_each(Model::clear);
    engine.facts.clear();
}

/// The partition of `summaries` a subject lives in.
fn home(subject: Subject) -> i32 {
    partition_of(subject.to_string().as_bytes(), SUMMARIES_PARTITIONS)
}

fn tell_dataset(dataset: &mut Dataset, messages: &mut Summaries<'_>) {
    for schema in std::mem::take(&mut dataset.schemas) {
        messages.schema(schema);
    }
    let mut order: Vec<usize> = (0..dataset.fields.len()).collect();
    order.sort_by(|a, b| dataset.fields[*a].path.cmp(&dataset.fields[*b].path));
    for (window, cells) in dataset.cells.by_window() {
        let mut cells: Vec<CellDelta> =
            cells.into_iter().map(|cell| cell_delta(dataset, cell, &order)).collect();
        cells.sort_by(|a, b| a.key.cmp(&b.key));
        messages.dataset(DatasetDelta {
            dataset: dataset.plan.name.clone(),
            definition: dataset.plan.definition,
            window: window.start,
            layout: dataset.layouts.get(window.layout).map(|layout| layout.id),
            evicted_from: window.evicted_from(),
            cells,
        });
    }
    for index in order {
        let field = &mut dataset.fields[index];
        if field.sampler.pending() == 0 {
            continue;
        }
        let (policy, alone) = (field.policy(), field.naming.leaves_alone());
        messages.sample(SampleDelta {
            dataset: dataset.plan.name.clone(),
            definition: dataset.plan.definition,
            field: field.path.clone(),
            sample: field.sampler.drain(policy, alone),
        });
    }
}

fn cell_delta(dataset: &Dataset, cell: &Cell, order: &[usize]) -> CellDelta {
    let key = if cell.version == OTHERS {
        CellKey::other()
    } else {
        CellKey {
            producer: dataset.producers.text(cell.producer).to_owned(),
            schema_version: dataset.versions.text(cell.version).to_owned(),
        }
    };
    let used = order.iter().filter_map(|index| {
        let field = cell.fields.get(*index).filter(|field| field.is_used())?;
        Some((dataset.fields[*index].path.clone(), told(&field.summary)))
    });
    CellDelta { key, rows: cell.rows, max_event_time: cell.max_event_time, fields: used.collect() }
}

/// A field without any value has no kind, whatever this process remembers of it.
fn told(summary: &FieldSummary) -> FieldSummary {
    let has_kind = summary.counters.present > 0 || !summary.bins.is_empty();
    let kind = if has_kind { summary.kind } else { FieldKind::Opaque };
    FieldSummary {
        kind,
        counters: summary.counters,
        bins: summary.bins.clone(),
        histogram: summary.histogram.clone(),
    }
}

fn tell_model(model: &Model, messages: &mut Summaries<'_>) {
    for window in model.told() {
        messages.model(ModelDelta {
            model: model.plan.name.clone(),
            definition: model.plan.definition,
            window: window.start,
            evicted_from: window.evicted_from,
            cells: window.cells,
        });
    }
}

fn tell_facts(engine: &Engine, partition: i32, messages: &mut FactMessages<'_>) {
    let Some(waiting) = engine.facts.partition(partition) else {
        return;
    };
    for fact in &waiting.predictions {
        let model = &engine.models[fact.model];
        let name = || {
            let (window, key) = model.name_of(fact.cell);
            FactCell { model: 0, window, key }
        };
        let told = PredictionFact { id: fact.id, cell: 0, time: fact.time, flagged: fact.flagged };
        messages.prediction(told, (fact.model, fact.cell), &model.plan.name, name);
    }
    for fact in &waiting.outcomes {
        let told = OutcomeFact { id: fact.id, model: 0, time: fact.time, positive: fact.positive };
        messages.outcome(told, fact.model, &engine.models[fact.model].plan.name);
    }
}

fn notes(engine: &Engine, out: &mut Outbox) {
    let mut count = |name, subject: Subject, n| {
        if n > 0 {
            out.notes.push(Note::Count { name, subject: subject.to_string(), n });
        }
    };
    for dataset in &engine.datasets {
        let subject = || Subject::Dataset(dataset.plan.name.clone());
        count("field_unwatched", subject(), dataset.unwatched);
        count("time_unit_mismatch", subject(), dataset.other_units);
    }
    for model in &engine.models {
        let subject = Subject::Model(model.plan.name.clone());
        count("time_unit_mismatch", subject, model.other_units);
    }
}
