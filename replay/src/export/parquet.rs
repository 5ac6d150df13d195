//! Events as Apache Parquet: a row an event, a typed column a field of the field table; for DuckDB, pandas, Spark.
//!
//! Names of columns are those of fields with `_` for what is no letter or digit (`evt_num`), since dots mean nesting
//! elsewhere. Moments are timestamps in nanoseconds, UTC; lengths of time integer nanoseconds; what is absent is null.
//! Text is escaped as in CSV: the format's strings are UTF-8, and names of files need not be.

use super::Exported;
use crate::field::FieldRef;
use crate::question::Scope;
use crate::timeline::{Search, Timeline};
use crate::value::{Kind, Value};
use crate::view::{Context, View};
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The columns when none are named.
pub const FIELDS: &str = "evt.num,evt.time,evt.boottime,evt.stream,evt.type,evt.late,container.id,container.name,\
proc.pid,thread.tid,proc.name,evt.cpu,evt.abi,evt.nr,evt.args,evt.res,evt.rawres,evt.failed,evt.latency,fd.num,fd.type,\
fd.name,fs.path.name,evt.buflen,loss.stream,loss.count";

/// Rows that are held in memory before they are written, if their text does not get too long before.
const GROUP_ROWS: usize = 1 << 16;
/// Bytes of text that are held.
const GROUP_TEXT: usize = 32 << 20;

/// Values of a column that are not written yet; of absent ones only the level says that they are.
#[derive(Debug)]
struct Column {
    field: FieldRef,
    levels: Vec<i16>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Flags(Vec<bool>),
    Numbers(Vec<i64>),
    Texts(Vec<ByteArray>),
}

/// Writes every event of the scope.
///
/// # Errors
/// When the output fails, or a field has two values in one event.
pub fn write<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    context: &Context,
    fields: &[FieldRef],
    scope: &Scope,
    out: &mut (impl Write + Send),
) -> io::Result<Exported> {
    let mut columns: Vec<Column> = fields.iter().cloned().map(Column::new).collect();
    let types = columns.iter().map(|column| column.schema().map(Arc::new));
    let types: Vec<Arc<Type>> = types.collect::<Result<_, _>>().map_err(cause)?;
    let schema = Type::group_type_builder("events").with_fields(types).build();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(format!("stillframe replay {}", env!("CARGO_PKG_VERSION")))
        .build();
    let mut writer = SerializedFileWriter::new(out, Arc::new(schema.map_err(cause)?), Arc::new(properties))
        .map_err(cause)?;
    let mut exported = Exported::default();
    let (mut rows, mut text) = (0usize, 0usize);
    let search = Search {
        range: scope.range,
        filter: &scope.filter,
        context,
        count: false,
        limit: None,
    };
    timeline.search(&search, |slice| {
        let found = match slice {
            Ok(found) => found,
            Err(damage) => {
                exported.damages.push(damage);
                return Ok(ControlFlow::Continue(()));
            }
        };
        for event in &found.events {
            let view = View::new(event, context);
            for column in &mut columns {
                text = text.saturating_add(column.take(&view)?);
            }
            exported.items += 1;
            rows += 1;
            if rows == GROUP_ROWS || text >= GROUP_TEXT {
                (rows, text) = (0, 0);
                write_group(&mut writer, &mut columns)?;
            }
        }
        Ok::<_, io::Error>(ControlFlow::Continue(()))
    })?;
    if rows > 0 {
        write_group(&mut writer, &mut columns)?;
    }
    writer.close().map_err(cause)?;
    Ok(exported)
}

/// The error beneath the crate's own, where there is one: a closed pipe must be known for what it is.
fn cause(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        other => io::Error::other(other),
    }
}

fn write_group<W: Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    columns: &mut [Column],
) -> io::Result<()> {
    let mut group = writer.next_row_group().map_err(cause)?;
    for column in columns {
        column.write(&mut group).map_err(cause)?;
    }
    group.close().map_err(cause)?;
    Ok(())
}

impl Column {
    fn new(field: FieldRef) -> Self {
        let values = match field.field.kind {
            Kind::Text | Kind::Address => Values::Texts(Vec::new()),
            Kind::Flag => Values::Flags(Vec::new()),
            Kind::Number | Kind::Time | Kind::Duration | Kind::Size | Kind::Hex => {
                Values::Numbers(Vec::new())
            }
        };
        Self {
            field,
            levels: Vec::new(),
            values,
        }
    }

    fn schema(&self) -> Result<Type, ParquetError> {
        let (physical, logical) = match self.field.field.kind {
            Kind::Text | Kind::Address => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Flag => (Physical::BOOLEAN, None),
            Kind::Time => (
                Physical::INT64,
                Some(LogicalType::timestamp(true, TimeUnit::NANOS)),
            ),
            Kind::Hex => (Physical::INT64, Some(LogicalType::integer(64, false))),
            Kind::Number | Kind::Duration | Kind::Size => (Physical::INT64, None),
        };
        let name = self.field.to_string();
        let name: String = name
            .trim_end_matches(']')
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        Type::primitive_type_builder(&name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()
    }

    /// Takes the event's value, and gives the length of its text.
    fn take(&mut self, view: &View<'_>) -> io::Result<usize> {
        let value = self.field.get(view);
        let mut length = 0;
        let taken = match (&mut self.values, value) {
            (_, None) => false,
            (Values::Texts(texts), Some(value)) => {
                let text = value.to_text().into_bytes();
                length = text.len();
                texts.push(ByteArray::from(text));
                true
            }
            (Values::Flags(flags), Some(Value::Flag(flag))) => {
                flags.push(flag);
                true
            }
            (Values::Numbers(numbers), Some(value)) => {
                let number = match value {
                    Value::Number(number) | Value::Duration(number) => i64::try_from(number).ok(),
                    Value::Time(time) => Some(time),
                    Value::Size(size) => i64::try_from(size).ok(),
                    // The column is one of unsigned numbers: the bits are what counts.
                    Value::Hex(bits) => Some(bits.cast_signed()),
                    _ => return Err(self.several()),
                };
                // None such is known; null is truer than a number that is not it.
                numbers.extend(number);
                number.is_some()
            }
            (Values::Flags(_), Some(_)) => return Err(self.several()),
        };
        self.levels.push(i16::from(taken));
        Ok(length)
    }

    fn several(&self) -> io::Error {
        io::Error::other(format!(
            "{} has several values in one event, and a column holds one (name its parts, `replay fields` lists them)",
            self.field
        ))
    }

    /// Writes what is held, and holds nothing.
    fn write<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        let Some(mut column) = group.next_column()? else {
            return Err(ParquetError::General("no column".to_owned()));
        };
        let levels = Some(self.levels.as_slice());
        match &mut self.values {
            Values::Flags(values) => {
                column.typed::<BoolType>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Numbers(values) => {
                column.typed::<Int64Type>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Texts(values) => {
                column
                    .typed::<ByteArrayType>()
                    .write_batch(values, levels, None)?;
                values.clear();
            }
        }
        self.levels.clear();
        column.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_that_stand_for_none_exist() {
        assert!(crate::export::csv::fields(FIELDS).unwrap().len() > 20);
    }
}
