//! What `/metrics` shows, as OTLP.

use std::collections::HashMap;

use super::wire::{CUMULATIVE, Data, Gauge, Histogram, HistogramPoint, KeyValue, Metric, NumberPoint, Sum};

/// When a process began and when it was looked at, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) began: u64,
    pub(super) now: u64,
}

/// A family of Prometheus' text format.
#[derive(Default)]
struct Family<'t> {
    name: &'t str,
    help: &'t str,
    kind: &'t str,
    series: Vec<(&'t str, Vec<KeyValue>, f64)>, // its own name, its labels, its value
}

/// Each family as one metric; lines that are not understood are left out.
pub(super) fn metrics(text: &str, times: Times) -> Vec<Metric> {
    families(text)
        .into_iter()
        .filter(|family| !family.series.is_empty())
        .map(|family| metric(family, times))
        .collect()
}

fn families(text: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    let mut helps: HashMap<&str, &str> = HashMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            helps.insert(name, help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let help = helps.get(name).copied().unwrap_or_default();
            families.push(Family { name, help, kind, series: Vec::new() });
        } else if let (Some(family), Some(one)) = (families.last_mut(), series(line)) {
            family.series.push(one);
        }
    }
    families
}

/// `name{label="value",…} 1.5`
fn series(line: &str) -> Option<(&str, Vec<KeyValue>, f64)> {
    let (head, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, labels)) = head.split_once('{') else { return Some((head, Vec::new(), value)) };
    Some((name, attributes(labels.strip_suffix('}')?)?, value))
}

fn attributes(mut labels: &str) -> Option<Vec<KeyValue>> {
    let mut found = Vec::new();
    while !labels.is_empty() {
        let (key, rest) = labels.split_once("=\"")?;
        let (mut value, mut characters) = (String::new(), rest.char_indices());
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        found.push(KeyValue::text(key, value));
        labels = rest[end + 1..].trim_start_matches(',');
    }
    Some(found)
}

fn metric(family: Family<'_>, times: Times) -> Metric {
    let data = match family.kind {
        "counter" => Data::Sum(Sum {
            data_points: points(&family, times),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        }),
        "histogram" => Data::Histogram(Histogram {
            data_points: histograms(&family, times),
            aggregation_temporality: CUMULATIVE,
        }),
        _ => Data::Gauge(Gauge { data_points: points(&family, times) }),
    };
    Metric {
        name: family.name.to_owned(),
        description: family.help.to_owned(),
        unit: unit(family.name).to_owned(),
        data: Some(data),
    }
}

/// By the suffix that the names here end in, as UCUM writes it.
fn unit(name: &str) -> &'static str {
    let base = name.strip_suffix("_total").unwrap_or(name);
    match base.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "1",
    }
}

fn points(family: &Family<'_>, times: Times) -> Vec<NumberPoint> {
    let point = |(_, attributes, value): &(&str, Vec<KeyValue>, f64)| NumberPoint {
        start_time_unix_nano: times.began,
        time_unix_nano: times.now,
        as_double: Some(*value),
        attributes: attributes.clone(),
    };
    family.series.iter().map(point).collect()
}

/// Buckets of the text add up, those of OTLP do not; the last one has no bound.
fn histograms(family: &Family<'_>, times: Times) -> Vec<HistogramPoint> {
    let mut points: Vec<HistogramPoint> = Vec::new();
    for (name, labels, value) in &family.series {
        let (bound, attributes): (Vec<_>, Vec<_>) =
            labels.iter().cloned().partition(|label| label.key == "le");
        let at = points.iter().position(|point| point.attributes == attributes).unwrap_or_else(|| {
            points.push(HistogramPoint {
                start_time_unix_nano: times.began,
                time_unix_nano: times.now,
                attributes,
                ..HistogramPoint::default()
            });
            points.len() - 1
        });
        let point = &mut points[at];
        match name.rsplit('_').next() {
            Some("bucket") => {
                point.bucket_counts.push(whole(*value) - point.bucket_counts.iter().sum::<u64>());
                let bound = bound.first().and_then(|label| label.text_of()?.parse::<f64>().ok());
                point.explicit_bounds.extend(bound.filter(|bound| bound.is_finite()));
            }
            Some("sum") => point.sum = Some(*value),
            _ => point.count = whole(*value),
        }
    }
    points
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP t_seconds How long.\n# TYPE t_seconds histogram\n\
        t_seconds_bucket{route=\"/a \\\"b\\\",c\",le=\"0.1\"} 2\nt_seconds_bucket{route=\"/a \\\"b\\\",c\",le=\"1\"} 5\n\
        t_seconds_bucket{route=\"/a \\\"b\\\",c\",le=\"+Inf\"} 6\nt_seconds_sum{route=\"/a \\\"b\\\",c\"} 7.5\nt_seconds_count{route=\"/a \\\"b\\\",c\"} 6\n\n\
        # HELP n_total How often.\n# TYPE n_total counter\nn_total 3\n# TYPE g gauge\ng{x=\"1\"} -1.5\nwhat is this\n";

    #[test]
    fn the_text_format_becomes_points() {
        let found = metrics(TEXT, Times { began: 1, now: 2 });
        assert_eq!(
            found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
            ["t_seconds", "n_total", "g"]
        );
        assert_eq!((found[0].description.as_str(), found[0].unit.as_str()), ("How long.", "s"));
        let Some(Data::Histogram(histogram)) = &found[0].data else { panic!("{found:?}") };
        let point = &histogram.data_points[0];
        assert_eq!((&point.bucket_counts[..], &point.explicit_bounds[..]), (&[2, 3, 1][..], &[0.1, 1.0][..]));
        assert_eq!((point.count, point.sum), (6, Some(7.5)));
        assert_eq!(point.attributes, [KeyValue::text("route", "/a \"b\",c")]);
        let Some(Data::Sum(sum)) = &found[1].data else { panic!("{found:?}") };
        assert!(sum.is_monotonic && sum.data_points[0].as_double == Some(3.0));
        let Some(Data::Gauge(gauge)) = &found[2].data else { panic!("{found:?}") };
        assert_eq!(gauge.data_points[0].as_double, Some(-1.5));
    }
}
