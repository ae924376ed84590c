//! Memory, descriptors and threads of a process over time, as the kernel tells them.

use std::time::Duration;

/// What was seen at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Since the first one.
    pub at: Duration,
    /// Resident memory. *Units*: MiB.
    pub rss_mib: f64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Sample {
    /// Of a process; nothing of one that has ended.
    pub fn take(process: u32, at: Duration) -> Option<Sample> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let number = |name: &str| -> Option<u64> {
            let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
            rest.split_whitespace().next()?.parse().ok()
        };
        let open = std::fs::read_dir(format!("/proc/{process}/fd")).ok()?;
        Some(Sample {
            at,
            rss_mib: number("VmRSS:")? as f64 / 1_024.0,
            descriptors: open.count() as u64,
            threads: number("Threads:")?,
        })
    }
}

/// How memory goes, by least squares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Mean. *Units*: MiB.
    pub mean: f64,
    /// Slope. *Units*: MiB an hour.
    pub by_hour: f64,
    /// From the first sample to the last on that line. *Units*: MiB.
    pub rise: f64,
}

/// The line through the memory of some samples.
pub fn trend(samples: &[Sample]) -> Trend {
    let n = samples.len() as f64;
    let hours = |sample: &Sample| sample.at.as_secs_f64() / 3_600.0;
    let mean_time = samples.iter().map(hours).sum::<f64>() / n;
    let mean = samples.iter().map(|sample| sample.rss_mib).sum::<f64>() / n;
    let (mut together, mut spread) = (0.0, 0.0);
    for sample in samples {
        let offset = hours(sample) - mean_time;
        together += offset * (sample.rss_mib - mean);
        spread += offset * offset;
    }
    let by_hour = together / spread;
    let span = samples.last().map_or(0.0, hours) - samples.first().map_or(0.0, hours);
    Trend { mean, by_hour, rise: by_hour * span }
}

/// The middle value of one sign.
pub fn median(samples: &[Sample], sign: impl Fn(&Sample) -> u64) -> u64 {
    let mut values: Vec<u64> = samples.iter().map(sign).collect();
    values.sort_unstable();
    values[values.len() / 2]
}

#[test]
fn a_line_is_found_by_least_squares() {
    let sample = |minutes: u64, rss_mib: f64| Sample {
        at: Duration::from_secs(60 * minutes),
        rss_mib,
        descriptors: minutes,
        threads: 1,
    };
    let samples = [sample(0, 100.0), sample(10, 103.0), sample(20, 104.0), sample(30, 107.0)];

    let trend = trend(&samples);

    assert!((trend.by_hour - 13.2).abs() < 1e-9, "{trend:?}");
    assert!((trend.rise - 6.6).abs() < 1e-9, "{trend:?}");
    assert_eq!(median(&samples, |sample| sample.descriptors), 20);
}
