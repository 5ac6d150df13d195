//! Tables: named columns of the same number of rows. A stream's segment is a few of them in one CBOR map.

use crate::cbor;
use crate::column::view::{self, Bytes, Integers};
use crate::column::{self, ByteColumn, Layout};
use crate::error::{ReadError, WriteError};
use crate::layout::{COLUMNS_MAX, ROWS_MAX};
use ciborium::Value;

/// Builds a segment: a CBOR map from table names to `{"rows": n, "columns": {name: column}}`.
#[derive(Debug, Default)]
pub struct SegmentBuilder {
    tables: Vec<(Value, Value)>,
}

/// Builds a table.
#[derive(Debug)]
pub struct TableBuilder {
    rows: usize,
    columns: Vec<(Value, Value)>,
}

impl TableBuilder {
    /// A table of `rows` rows and no columns yet.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        Self {
            rows,
            columns: Vec::new(),
        }
    }

    /// Adds an integer column.
    #[must_use]
    pub fn integers(mut self, name: &str, values: &[u64], layout: Layout) -> Self {
        debug_assert_eq!(values.len(), self.rows);
        self.columns.push((name.into(), column::encode(values, layout)));
        self
    }

    /// Adds a byte-string column.
    #[must_use]
    pub fn bytes<'a>(mut self, name: &str, values: impl Iterator<Item = &'a [u8]>) -> Self {
        self.columns.push((name.into(), column::encode_bytes(values)));
        self
    }

    /// Adds a byte-string column whose rows lie end to end already.
    #[must_use]
    pub fn blob(mut self, name: &str, lengths: &[u64], content: Vec<u8>) -> Self {
        debug_assert_eq!(lengths.len(), self.rows);
        self.columns
            .push((name.into(), column::encode_blob(lengths, content)));
        self
    }
}

impl SegmentBuilder {
    /// Adds a table.
    #[must_use]
    pub fn table(mut self, name: &str, table: TableBuilder) -> Self {
        let content = Value::Map(vec![
            ("rows".into(), Value::Integer(table.rows.into())),
            ("columns".into(), Value::Map(table.columns)),
        ]);
        self.tables.push((name.into(), content));
        self
    }

    /// The segment's bytes.
    ///
    /// # Errors
    /// [`WriteError::Encode`], which no content of ours leads to.
    pub fn encode(self, what: &str) -> Result<Vec<u8>, WriteError> {
        cbor::encode(what, &Value::Map(self.tables))
    }
}

/// A segment that was read: its tables by name.
#[derive(Debug)]
pub struct Segment {
    what: String,
    tables: Vec<(String, Table)>,
}

/// A table that was read; columns are decoded when they are asked for.
#[derive(Debug)]
pub struct Table {
    what: String,
    rows: usize,
    columns: Vec<(String, Value)>,
}

impl Segment {
    /// Reads a segment. `what` names it in errors.
    ///
    /// # Errors
    /// [`ReadError`] when the bytes are not one.
    pub fn decode(what: &str, bytes: &[u8]) -> Result<Self, ReadError> {
        let Value::Map(entries) = cbor::decode(what, bytes)? else {
            return Err(ReadError::damaged(what, "not a map of tables"));
        };
        ReadError::check(what, entries.len(), COLUMNS_MAX)?;
        let mut tables = Vec::with_capacity(entries.len());
        for (name, table) in entries {
            let Value::Text(name) = name else {
                return Err(ReadError::damaged(what, "a table without a name"));
            };
            let table = Table::new(format!("{what}: table {name}"), table)?;
            tables.push((name, table));
        }
        Ok(Self {
            what: what.to_owned(),
            tables,
        })
    }

    /// The table of a name.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when there is none.
    pub fn table(&self, name: &str) -> Result<&Table, ReadError> {
        self.tables
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, table)| table)
            .ok_or_else(|| ReadError::damaged(&self.what, format!("no table {name:?}")))
    }
}

impl Table {
    fn new(what: String, value: Value) -> Result<Self, ReadError> {
        let bad = |problem: &str| ReadError::damaged(&what, problem);
        let Value::Map(entries) = value else {
            return Err(bad("not a map"));
        };
        let mut rows = None;
        let mut columns = None;
        for (key, value) in entries {
            match (key.as_text(), value) {
                (Some("rows"), Value::Integer(count)) => rows = usize::try_from(count).ok(),
                (Some("columns"), Value::Map(entries)) => columns = Some(entries),
                _ => {}
            }
        }
        let (Some(rows), Some(entries)) = (rows, columns) else {
            return Err(bad("no rows or no columns"));
        };
        ReadError::check(&what, rows, ROWS_MAX)?;
        ReadError::check(&what, entries.len(), COLUMNS_MAX)?;
        let mut columns = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let Value::Text(name) = key else {
                return Err(bad("a column without a name"));
            };
            columns.push((name, value));
        }
        Ok(Self { what, rows, columns })
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    fn column(&self, name: &str) -> Result<(&Value, String), ReadError> {
        let what = format!("{}: column {name}", self.what);
        match self.columns.iter().find(|(other, _)| other == name) {
            Some((_, column)) => Ok((column, what)),
            None => Err(ReadError::damaged(what, "missing")),
        }
    }

    /// Decodes an integer column.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when it is missing or not of the table's length.
    pub fn integers(&self, name: &str) -> Result<Vec<u64>, ReadError> {
        let (column, what) = self.column(name)?;
        column::decode(&what, column, self.rows)
    }

    /// Decodes an integer column whose values must all be at most `limit`.
    ///
    /// # Errors
    /// As [`Table::integers`], and when a value is larger.
    pub fn bounded(&self, name: &str, limit: u64) -> Result<Vec<u64>, ReadError> {
        let values = self.integers(name)?;
        match values.iter().find(|&&value| value > limit) {
            Some(&size) => Err(ReadError::Limit {
                what: format!("{}: column {name}", self.what),
                size,
                limit,
            }),
            None => Ok(values),
        }
    }

    /// Decodes a column of 32-bit integers.
    ///
    /// # Errors
    /// As [`Table::bounded`].
    pub fn words(&self, name: &str) -> Result<Vec<u32>, ReadError> {
        let values = self.bounded(name, u64::from(u32::MAX))?;
        Ok(values
            .into_iter()
            .map(|value| u32::try_from(value).unwrap_or(u32::MAX))
            .collect())
    }

    /// Decodes a byte-string column.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when it is missing or not of the table's length.
    pub fn bytes(&self, name: &str) -> Result<ByteColumn, ReadError> {
        let (column, what) = self.column(name)?;
        column::decode_bytes(&what, column, self.rows)
    }

    /// Looks at an integer column without decoding it, where its values must all be at most `limit`.
    ///
    /// # Errors
    /// As [`Table::bounded`].
    pub fn view(&self, name: &str, limit: u64) -> Result<Integers<'_>, ReadError> {
        let (column, what) = self.column(name)?;
        let values = view::integers(&what, column, self.rows)?;
        if limit < u64::MAX && values.max() > limit {
            return Err(ReadError::Limit {
                size: values.max(),
                what,
                limit,
            });
        }
        Ok(values)
    }

    /// Looks at a byte-string column without copying it.
    ///
    /// # Errors
    /// As [`Table::bytes`].
    pub fn view_bytes(&self, name: &str) -> Result<Bytes<'_>, ReadError> {
        let (column, what) = self.column(name)?;
        view::bytes(&what, column, self.rows)
    }

    /// Decodes a byte-string column as UTF-8.
    ///
    /// # Errors
    /// As [`Table::bytes`], and when a row is not UTF-8.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, ReadError> {
        let column = self.bytes(name)?;
        (0..self.rows)
            .map(|row| {
                String::from_utf8(column.row(row).to_vec()).map_err(|_| {
                    ReadError::damaged(format!("{}: column {name}", self.what), "a row that is not UTF-8")
                })
            })
            .collect()
    }
}
