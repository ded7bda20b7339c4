//! `/metrics`: the figures as Prometheus text, version 0.0.4.

use std::fmt::{Display, Write};
use std::sync::Arc;

use pump_core::statistics::Histogram;

use super::figures::{Family, FigureKind, FigureValue};

/// All metrics.
pub(super) fn render(families: &[Family]) -> String {
    let mut page = Page(String::with_capacity(8 << 10));
    for Family { name, kind, help, figures } in families {
        let kind = match kind {
            FigureKind::Counter => "counter",
            FigureKind::Gauge => "gauge",
            FigureKind::Histogram => "histogram",
        };
        // Writing into a string cannot fail.
        let _ = writeln!(page.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for figure in figures {
            match &figure.value {
                FigureValue::Whole(value) => page.sample(name, &figure.labels, value),
                FigureValue::Number(value) => page.sample(name, &figure.labels, value),
                FigureValue::Histogram(histogram) => page.histogram(name, &figure.labels, histogram),
            }
        }
    }
    page.0
}

type Labels = Vec<(&'static str, Arc<str>)>;

struct Page(String);

impl Page {
    fn sample(&mut self, name: &str, labels: &Labels, value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            // Label values are names of sections and words from closed sets: nothing to escape.
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn histogram(&mut self, name: &str, labels: &Labels, histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        let below = |bound: String| {
            let mut labels = labels.clone();
            labels.push(("le", bound.into()));
            labels
        };
        for (bound, count) in histogram.cumulative() {
            self.sample(&bucket, &below(bound.to_string()), count);
        }
        self.sample(&bucket, &below("+Inf".to_owned()), histogram.count);
        self.sample(&format!("{name}_sum"), labels, histogram.sum);
        self.sample(&format!("{name}_count"), labels, histogram.count);
    }
}
