//! `replay export`: a part of the bundle in the format of a stock tool.

use super::{Failure, Reading, filter, moment, place, say};
use crate::cli::{self, Format};
#[cfg(feature = "parquet")]
use stillframe_replay::export::parquet;
use stillframe_replay::export::{Exported, blktrace, csv, html, journal, jsonl, pcapng, perfetto, strace};
use stillframe_replay::output::Output;
use stillframe_replay::question::Scope;
use stillframe_replay::timeline::{Range, Timeline};

pub(super) fn run(options: &cli::Export) -> Result<u8, Failure> {
    let is_stdout = options.output.as_os_str() == "-";
    if options.format == Format::Blktrace && is_stdout {
        let text = "export blktrace: it makes several files, and standard output is one (give -o PREFIX)";
        return Err(Failure::Usage(text.to_owned()));
    }
    let asked = asked(options);
    if let Some((option, _)) = asked.first()
        && !matches!(
            options.format,
            Format::Csv | Format::Html | Format::Parquet | Format::Perfetto
        )
    {
        return Err(Failure::Usage(format!(
            "export: {option} works for csv, html, parquet and perfetto only (replay events … --json takes it too, replay cut makes a smaller bundle)"
        )));
    }
    if options.fields.is_some() && !matches!(options.format, Format::Csv | Format::Parquet) {
        let text = "export: --fields works for csv and parquet only";
        return Err(Failure::Usage(text.to_owned()));
    }
    #[cfg(not(feature = "parquet"))]
    if options.format == Format::Parquet {
        let text = "export parquet: this replay was built without it (cargo build --release -p stillframe-replay --features parquet; \
                    or export csv, which DuckDB and pandas read too)";
        return Err(Failure::Usage(text.to_owned()));
    }
    let filter = filter(&options.filter)?;
    #[cfg(feature = "parquet")]
    let standard = match options.format {
        Format::Parquet => parquet::FIELDS,
        _ => csv::FIELDS,
    };
    #[cfg(not(feature = "parquet"))]
    let standard = csv::FIELDS;
    let fields = csv::fields(options.fields.as_deref().unwrap_or(standard))
        .map_err(|error| Failure::Usage(format!("export: --fields: {error}")))?;
    let (from, to) = (
        moment(options.from.as_deref(), options.bundle.times.tz.as_ref())?,
        moment(options.to.as_deref(), options.bundle.times.tz.as_ref())?,
    );
    let mut reading = Reading::open(&options.bundle, options.format != Format::Html)?;
    let range = Range {
        from: place(from, &reading.context)?,
        to: place(to, &reading.context)?,
    };
    let scope = Scope { range, filter };
    let (timeline, context) = (&mut reading.timeline, &reading.context);
    let exported = match options.format {
        Format::Blktrace => {
            let (exported, files) = blktrace::write(timeline, context, &options.output, options.force)?;
            for file in files {
                say(&format!("wrote {}", file.display()));
            }
            exported
        }
        Format::Strace => to_file(options, timeline, |timeline, out| {
            Ok(strace::write(timeline, context, out)?)
        })?,
        Format::Pcapng => to_file(options, timeline, |timeline, out| {
            Ok(pcapng::write(timeline, context, out)?)
        })?,
        Format::Jsonl => to_file(options, timeline, |timeline, out| {
            Ok(jsonl::write(timeline, context, out)?)
        })?,
        Format::Csv => to_file(options, timeline, |timeline, out| {
            Ok(csv::write(timeline, context, &fields, &scope, out)?)
        })?,
        #[cfg(feature = "parquet")]
        Format::Parquet => to_file(options, timeline, |timeline, out| {
            Ok(parquet::write(timeline, context, &fields, &scope, out)?)
        })?,
        // Refused above.
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => Exported::default(),
        Format::Perfetto => to_file(options, timeline, |timeline, out| {
            Ok(perfetto::write(timeline, context, &scope, out)?)
        })?,
        Format::Html => {
            let page = html::Options {
                bundle: options.bundle.path.display().to_string(),
                scope,
                asked,
                max_events: options.max_events,
            };
            to_file(options, timeline, |timeline, out| {
                Ok(html::write(timeline, context, &page, out)?)
            })?
        }
        Format::Journal => to_file(options, timeline, |timeline, out| {
            Ok(journal::write(timeline, out)?)
        })?,
    };
    reading.note(&exported.damages);
    Ok(reading.answer(exported.items > 0))
}

/// What was asked to be left out, as it was typed.
fn asked(options: &cli::Export) -> Vec<(&'static str, String)> {
    let mut asked = Vec::new();
    for (option, text) in [("--from", &options.from), ("--to", &options.to)] {
        asked.extend(text.iter().map(|text| (option, text.clone())));
    }
    if !options.filter.is_empty() {
        asked.push(("-f", options.filter.clone()));
    }
    asked
}

fn to_file<R>(
    options: &cli::Export,
    timeline: &mut Timeline<R>,
    write: impl FnOnce(&mut Timeline<R>, &mut Output) -> Result<Exported, Failure>,
) -> Result<Exported, Failure> {
    let mut out = Output::create(&options.output, options.force)?;
    let exported = write(timeline, &mut out)?;
    out.finish()?;
    Ok(exported)
}
