use std::fmt::Write;

/// Families of metrics, one after the other.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// A metric with one line for each of `series`: its labels, as they stand between braces, and its value. Nothing without one.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str, series: &[(String, f64)]) {
        if series.is_empty() {
            return;
        }
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}"); // a String takes all
        for (labels, value) in series {
            let _ = match labels.as_str() {
                "" => writeln!(self.0, "{name} {value}"),
                _ => writeln!(self.0, "{name}{{{labels}}} {value}"),
            };
        }
    }

    /// A metric without labels; nothing where it is not known.
    pub(super) fn one(&mut self, name: &str, kind: &str, help: &str, value: Option<f64>) {
        let series: Vec<_> = value.map(|value| (String::new(), value)).into_iter().collect();
        self.family(name, kind, help, &series);
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// A label and its value, escaped as the format asks.
#[cfg(feature = "profiler")]
pub(super) fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}
