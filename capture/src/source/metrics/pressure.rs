//! Pressure stall information (Documentation/accounting/psi.rst, Linux 6.12).

use super::{Values, text};
use std::path::Path;

const RESOURCES: [&str; 3] = ["cpu", "memory", "io"];

/// Adds `pressure.cpu.some_total_us` and so on from the cgroup. Where the cgroup says nothing, the host's own
/// figures stand under names of their own, `host.pressure.…`: they count everybody.
pub(super) fn read(unified: Option<&Path>, values: &mut Values) {
    let before = values.len();
    if let Some(folder) = unified {
        for resource in RESOURCES {
            if let Some(text) = text(&folder.join(format!("{resource}.pressure"))) {
                parse(&text, &format!("pressure.{resource}"), values);
            }
        }
    }
    if values.len() > before {
        return;
    }
    for resource in RESOURCES {
        if let Some(text) = text(&Path::new("/proc/pressure").join(resource)) {
            parse(&text, &format!("host.pressure.{resource}"), values);
        }
    }
}

/// Lines of `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
fn parse(text: &str, prefix: &str, values: &mut Values) {
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let Some(kind) = fields.next().filter(|kind| *kind == "some" || *kind == "full") else {
            continue;
        };
        let total = fields.find_map(|field| field.strip_prefix("total=")?.parse().ok());
        if let Some(total) = total {
            values.push((format!("{prefix}.{kind}_total_us"), total));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read() {
        let mut values = Values::new();
        let text = "some avg10=0.32 avg60=11.19 avg300=35.94 total=595731825\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull torn\n";
        parse(text, "pressure.io", &mut values);
        let expected = [
            ("pressure.io.some_total_us", 595_731_825),
            ("pressure.io.full_total_us", 7),
        ];
        assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn the_hosts_pressure_is_not_called_the_targets() {
        let folder = tempfile::tempdir().unwrap();
        let mut values = Values::new();
        read(Some(folder.path()), &mut values);
        assert!(
            values.iter().all(|(name, _)| name.starts_with("host.")),
            "{values:?}"
        );
        std::fs::write(
            folder.path().join("cpu.pressure"),
            "some avg10=0 avg60=0 avg300=0 total=5\n",
        )
        .unwrap();
        let mut values = Values::new();
        read(Some(folder.path()), &mut values);
        assert_eq!(values, [("pressure.cpu.some_total_us".to_owned(), 5)]);
    }
}
