//! The table of a benchmark: medians and ratios as Markdown, and its place in a page.

use super::{CALLS, Row, STRACE_CALLS, Sample, median};
use anyhow::{Context as _, Result, bail};
use std::path::Path;

/// Medians of `rows`; the first row is what the others are compared with.
pub(super) fn markdown(rows: &[Row], rounds: u32) -> String {
    let base = rows
        .first()
        .and_then(|row| median_of(row, |sample| Some(sample.seconds)));
    let mut text = format!(
        "`dd if=/dev/zero of=/dev/null bs=1 count={CALLS}` in a container: {CALLS} reads and as many writes.\n\
         Medians of {rounds} rounds, the ways in turn. strace is given {STRACE_CALLS} of them, and its time is scaled.\n\n\
         | way | seconds | ratio | bytes a call | user CPU a call | lost |\n|---|---:|---:|---:|---:|---:|\n"
    );
    for row in rows {
        let seconds = median_of(row, |sample| Some(sample.seconds));
        let ratio = seconds.zip(base).map(|(seconds, base)| seconds / base);
        let lost: Option<u64> = row.samples.iter().map(|sample| sample.lost).sum();
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            row.name,
            cell(seconds, |value| format!("{value:.2}")),
            cell(ratio, |value| format!("{value:.1}x")),
            cell(median_of(row, |sample| sample.bytes_a_call), |value| format!(
                "{value:.2}"
            )),
            cell(median_of(row, |sample| sample.cpu_us_a_call), |value| format!(
                "{value:.2} us"
            )),
            cell(lost, |value| value.to_string()),
        ));
    }
    text
}

fn cell<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(String::new, show)
}

fn median_of(row: &Row, of: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
    median(row.samples.iter().filter_map(of).collect())
}

/// Puts `text` between the two marks that the page has for `chore`.
pub(crate) fn put(file: &Path, chore: &str, text: &str) -> Result<()> {
    let page = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let replaced = between_the_marks(&page, chore, text).with_context(|| format!("{}", file.display()))?;
    std::fs::write(file, replaced).with_context(|| format!("cannot write {}", file.display()))
}

fn between_the_marks(page: &str, chore: &str, text: &str) -> Result<String> {
    let begin = format!("<!-- cargo xtask {chore}: begin -->");
    let end = format!("<!-- cargo xtask {chore}: end -->");
    let parts = page
        .split_once(&begin)
        .and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let Some((before, after)) = parts else {
        bail!("the marks `{begin}` and `{end}` are missing");
    };
    Ok(format!("{before}{begin}\n{text}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seconds: &[f64]) -> Row {
        let sample = |seconds: &f64| Sample {
            seconds: *seconds,
            lost: Some(1),
            ..Sample::default()
        };
        Row {
            name: "way",
            samples: seconds.iter().map(sample).collect(),
        }
    }

    #[test]
    fn medians_of_odd_and_even_counts() {
        let seconds = |sample: &Sample| Some(sample.seconds);
        assert_eq!(median_of(&row(&[3.0, 1.0, 2.0]), seconds), Some(2.0));
        assert_eq!(median_of(&row(&[4.0, 1.0, 2.0, 3.0]), seconds), Some(2.5));
        assert_eq!(median_of(&row(&[]), seconds), None);
    }

    #[test]
    fn ratios_are_to_the_first_row_and_losses_are_summed() {
        let text = markdown(&[row(&[0.5]), row(&[2.0, 2.0])], 1);
        assert!(text.contains("| way | 0.50 | 1.0x |"), "{text}");
        assert!(text.contains("| way | 2.00 | 4.0x |  |  | 2 |"), "{text}");
    }

    #[test]
    fn what_stands_around_the_marks_stays() {
        let page = |text: &str| {
            format!("before\n<!-- cargo xtask x: begin -->\n{text}\n<!-- cargo xtask x: end -->\nafter\n")
        };
        let replaced = between_the_marks(&page("old"), "x", "new\n").unwrap();
        assert_eq!(replaced, page("new"));
        assert!(between_the_marks(&page("old"), "y", "new").is_err());
    }
}
