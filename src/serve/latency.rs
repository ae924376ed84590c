//! Durations: recorded in HDR histograms, exported as Prometheus buckets at scrape.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use prometheus::core::{Collector, Desc};
use prometheus::proto;

use super::table::Metric;

/// Upper bounds of the exported buckets. *Units*: microseconds. From a commit to an idle local
/// broker (about 2 ms) to the longest transaction (10 s).
const BOUNDS_US: [u64; 13] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];
/// Longer ones are recorded as this long: one hour.
const LONGEST_US: u64 = 3_600_000_000;

/// Durations by label values. *Bound*: relative error 1 %; about 50 KiB for each label value.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    metric: Metric,
    desc: Desc,
    series: Arc<Mutex<BTreeMap<Vec<String>, Series>>>,
}

#[derive(Debug)]
struct Series {
    histogram: Histogram<u64>,
    sum: Duration,
}

impl Latencies {
    pub(super) fn new(metric: Metric) -> Result<Latencies, prometheus::Error> {
        let labels = metric.labels.iter().map(|label| (*label).to_owned()).collect();
        let (name, help) = (metric.name.to_owned(), metric.help.to_owned());
        let desc = Desc::new(name, help, labels, Default::default())?;
        Ok(Latencies { metric, desc, series: Arc::default() })
    }

    pub(super) fn record(&self, labels: &[&str], duration: Duration) {
        let key: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let one = series.entry(key).or_insert_with(|| Series {
            histogram: Histogram::new_with_bounds(1, LONGEST_US, 2).expect("bounds are constants"),
            sum: Duration::ZERO,
        });
        let micros = u64::try_from(duration.as_micros()).unwrap_or(LONGEST_US);
        one.histogram.saturating_record(micros.clamp(1, LONGEST_US));
        one.sum += duration;
    }
}

impl Collector for Latencies {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if series.is_empty() {
            return Vec::new();
        }
        let mut family = proto::MetricFamily::default();
        family.set_name(self.metric.name.to_owned());
        family.set_help(self.metric.help.to_owned());
        family.set_field_type(proto::MetricType::HISTOGRAM);
        family.set_metric(
            series.iter().map(|(labels, one)| exported(&self.metric, labels, one)).collect(),
        );
        vec![family]
    }
}

fn exported(metric: &Metric, labels: &[String], series: &Series) -> proto::Metric {
    let buckets = BOUNDS_US.iter().map(|bound| {
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound as f64 / 1e6);
        bucket.set_cumulative_count(series.histogram.count_between(0, *bound));
        bucket
    });
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(series.histogram.len());
    histogram.set_sample_sum(series.sum.as_secs_f64());
    let pairs = metric.labels.iter().zip(labels).map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    });
    let mut exported = proto::Metric::from_label(pairs.collect());
    exported.set_histogram(histogram);
    exported
}
