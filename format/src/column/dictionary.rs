//! Encoding `dict` of integer columns: one byte a row for the frequent values, the others behind them.
//!
//! Durations, and the times between calls, have a few hundred values that make up nearly all rows, each of two bytes or
//! more. The compressor codes these bytes apart from each other, and so never sees how frequent a value is; in a
//! dictionary it does. And it has less to read.

use super::view::{are_varints, varints};
use super::{column, push_varint, take_varint};
use crate::error::ReadError;
use ciborium::Value;

/// Values that a dictionary has at most.
const ENTRIES_MAX: usize = 255;
/// In the place of a value's number: the next of the others.
pub(super) const OTHER: u8 = 255;
/// Of fewer rows no dictionary is made: it would be as long as they are.
const ROWS_MIN: usize = 1_024;
/// Which values are frequent is found out from so many runs of so many rows. Runs, because what programs do repeats
/// itself: every so many-th row would be always the same call.
const SAMPLE_RUNS: usize = 32;
const SAMPLE_RUN: usize = 64;

/// Encodes a column, unless fewer than `share` percent of its rows would be found in the dictionary.
pub(super) fn encode(values: &[u64], share: usize) -> Option<Value> {
    if values.len() < ROWS_MIN {
        return None;
    }
    let entries = frequent(values, share)?;
    let numbers = Numbers::new(&entries);
    let mut index = Vec::with_capacity(values.len());
    let mut others = Vec::new();
    for &value in values {
        let number = numbers.of(value);
        index.push(number);
        if number == OTHER {
            push_varint(&mut others, value);
        }
    }
    let mut table = Vec::new();
    for entry in entries {
        push_varint(&mut table, entry);
    }
    Some(column(
        "dict",
        Value::Array([table, index, others].map(Value::Bytes).into()),
    ))
}

/// The most frequent values, ascending, where they make up `share` percent of a sample.
fn frequent(values: &[u64], share: usize) -> Option<Vec<u64>> {
    let mut sample = Vec::with_capacity(SAMPLE_RUNS * SAMPLE_RUN);
    for run in 0..SAMPLE_RUNS {
        let start = (values.len() - SAMPLE_RUN) * run / (SAMPLE_RUNS - 1);
        sample.extend_from_slice(values.get(start..start + SAMPLE_RUN).unwrap_or_default());
    }
    sample.sort_unstable();
    let mut counted: Vec<(usize, u64)> = sample
        .chunk_by(|a, b| a == b)
        .filter_map(|run| Some((run.len(), *run.first()?)))
        .collect();
    counted.sort_unstable_by(|a, b| b.cmp(a));
    counted.truncate(ENTRIES_MAX);
    let covered: usize = counted.iter().map(|(count, _)| count).sum();
    if covered * 100 < sample.len() * share {
        return None;
    }
    let mut entries: Vec<u64> = counted.into_iter().map(|(_, value)| value).collect();
    entries.sort_unstable();
    Some(entries)
}

/// From values to their numbers: open addressing, a quarter full at most.
struct Numbers(Vec<(u64, u8)>);

impl Numbers {
    const BITS: u32 = 10;

    fn new(entries: &[u64]) -> Self {
        let mut numbers = Self(vec![(0, OTHER); 1 << Self::BITS]);
        for (&entry, number) in entries.iter().zip(0..OTHER) {
            let mut at = Self::place(entry);
            while numbers.0.get(at).is_some_and(|slot| slot.1 != OTHER) {
                at = Self::next(at);
            }
            if let Some(slot) = numbers.0.get_mut(at) {
                *slot = (entry, number);
            }
        }
        numbers
    }

    /// Multiplication by 2^64 over the golden ratio spreads neighbours apart; the top bits are the best of it.
    fn place(value: u64) -> usize {
        (value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - Self::BITS)) as usize
    }

    fn next(at: usize) -> usize {
        (at + 1) & ((1 << Self::BITS) - 1)
    }

    #[inline]
    fn of(&self, value: u64) -> u8 {
        let mut at = Self::place(value);
        loop {
            match self.0.get(at) {
                Some(&(entry, number)) if number != OTHER => {
                    if entry == value {
                        return number;
                    }
                }
                _ => return OTHER,
            }
            at = Self::next(at);
        }
    }
}

/// A column in this encoding, checked.
#[derive(Clone, Debug)]
pub(super) struct Dictionary<'a> {
    /// By number; what is not there is zero, and no row has its number.
    pub(super) values: Box<[u64; 256]>,
    /// For each row a number, or [`OTHER`].
    pub(super) index: &'a [u8],
    others: &'a [u8],
    other_rows: usize,
}

impl<'a> Dictionary<'a> {
    /// Looks at a column of exactly `rows` rows.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when it is none.
    pub(super) fn new(what: &str, content: &'a Value, rows: usize) -> Result<Self, ReadError> {
        let bad = |problem: &str| ReadError::damaged(what, problem);
        let Value::Array(items) = content else {
            return Err(bad("a dictionary that is not an array"));
        };
        let [Value::Bytes(table), Value::Bytes(index), Value::Bytes(others)] = items.as_slice() else {
            return Err(bad("a dictionary that is not three byte strings"));
        };
        if index.len() != rows {
            return Err(bad("a dictionary whose length is not that of the table"));
        }
        let mut values = Box::new([0; 256]);
        let mut count = 0;
        let mut rest = table.as_slice();
        while !rest.is_empty() {
            let value = take_varint(&mut rest).ok_or_else(|| bad("an integer that is cut or too long"))?;
            let slot = values.get_mut(count).filter(|_| count < ENTRIES_MAX);
            *slot.ok_or_else(|| bad("a dictionary of more than 255 values"))? = value;
            count += 1;
        }
        let other_rows = index.iter().filter(|&&number| number == OTHER).count();
        let largest = index
            .iter()
            .map(|&number| if number == OTHER { 0 } else { number })
            .max();
        if other_rows < rows && largest.is_some_and(|number| usize::from(number) >= count) {
            return Err(bad("a row whose value is not in the dictionary"));
        }
        if !are_varints(others, other_rows) {
            return Err(bad("not as many other integers as rows that have one"));
        }
        Ok(Self {
            values,
            index,
            others,
            other_rows,
        })
    }

    /// The values of the rows that are in no dictionary, in the order of rows.
    pub(super) fn others(&self) -> Vec<u64> {
        // That the bytes are sound was checked.
        varints(&mut { self.others }, self.other_rows, false).unwrap_or_default()
    }

    /// Hands over all values in the order of rows.
    pub(super) fn each(&self, mut take: impl FnMut(u64)) {
        let mut others = self.others().into_iter();
        for &number in self.index {
            take(match number {
                OTHER => others.next().unwrap_or(0),
                number => self.values.get(usize::from(number)).copied().unwrap_or(0),
            });
        }
    }

    /// The largest value of a row; 0 where there is none.
    pub(super) fn max(&self) -> u64 {
        let mut used = [false; 256];
        for &number in self.index {
            if let Some(used) = used.get_mut(usize::from(number)) {
                *used = true;
            }
        }
        let in_it = self
            .values
            .iter()
            .zip(used)
            .filter_map(|(value, used)| used.then_some(*value));
        in_it.chain(self.others()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::integers;
    use super::super::{Layout, decode, encode, push_varint};
    use super::*;
    use proptest::prelude::*;

    fn encoding(column: &Value) -> &str {
        let entries = column.as_map().unwrap();
        entries[0].1.as_text().unwrap()
    }

    fn dict(table: &[u64], index: &[u8], others: &[u64]) -> Value {
        let integers = |values: &[u64]| {
            let mut bytes = Vec::new();
            for &value in values {
                push_varint(&mut bytes, value);
            }
            Value::Bytes(bytes)
        };
        let items = vec![integers(table), Value::Bytes(index.to_vec()), integers(others)];
        column("dict", Value::Array(items))
    }

    fn both(column: &Value, rows: usize) -> Result<Vec<u64>, String> {
        let decoded = decode("t", column, rows).map_err(|error| error.to_string());
        let seen = integers("t", column, rows).map_err(|error| error.to_string());
        match (&decoded, seen) {
            (Ok(decoded), Ok(seen)) => {
                let mut each = Vec::new();
                seen.each(|value| each.push(value));
                assert_eq!(&each, decoded);
                let got: Vec<u64> = (0..rows).map(|row| seen.get(row)).collect();
                assert_eq!(&got, decoded);
                assert_eq!(seen.max(), decoded.iter().copied().max().unwrap_or(0));
                assert_eq!(
                    seen.sum(),
                    decoded.iter().fold(0, |sum: u64, v| sum.saturating_add(*v))
                );
                assert_eq!((seen.get(rows), seen.len()), (0, rows));
            }
            (Err(decoded), Err(seen)) => assert_eq!(decoded, &seen),
            (decoded, seen) => panic!("{decoded:?} {seen:?}"),
        }
        decoded
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_goes_in_comes_out(
            common in proptest::collection::vec(any::<u64>(), 1..400),
            rows in proptest::collection::vec((0..4u8, any::<u32>()), ROWS_MIN..3 * ROWS_MIN),
            layout in prop_oneof![Just(Layout::Fixed), Just(Layout::Varint)],
        ) {
            // Three of four rows are one of the common values.
            let value = |&(kind, random): &(u8, u32)| match kind {
                0 => u64::from(random) << 20,
                _ => common[random as usize % common.len()],
            };
            let values: Vec<u64> = rows.iter().map(value).collect();
            let column = encode(&values, layout);
            if common.len() < 200 && layout == Layout::Varint {
                prop_assert_eq!(encoding(&column), "dict");
            }
            prop_assert_eq!(both(&column, values.len()).unwrap(), values);
        }
    }

    #[test]
    fn a_dictionary_is_made_where_it_is_smaller() {
        let few: Vec<u64> = (0..5_000).map(|row| 1_000_000 + row * row % 97).collect();
        assert_eq!(encoding(&encode(&few, Layout::Fixed)), "dict");
        assert_eq!(encoding(&encode(&few, Layout::Varint)), "dict");
        assert_eq!(encoding(&encode(&few, Layout::Delta)), "delta");
        assert_eq!(encoding(&encode(&few[..100], Layout::Varint)), "varint");
        let narrow: Vec<u64> = (0..5_000).map(|row| row % 3).collect();
        assert_eq!(
            encoding(&encode(&narrow, Layout::Fixed)),
            "fixed",
            "a byte a row already"
        );
        let many: Vec<u64> = (0..5_000).map(|row| row * 7_919).collect();
        assert_eq!(encoding(&encode(&many, Layout::Fixed)), "fixed");
        assert_eq!(encoding(&encode(&many, Layout::Varint)), "varint");
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        assert_eq!(
            both(&dict(&[7, 9], &[0, 255, 1, 255], &[1, 2]), 4),
            Ok(vec![7, 1, 9, 2])
        );
        assert_eq!(both(&dict(&[], &[255], &[1]), 1), Ok(vec![1]));
        assert_eq!(both(&dict(&[], &[], &[]), 0), Ok(vec![]));
        let full: Vec<u64> = (0..255).collect();
        assert_eq!(both(&dict(&full, &[254], &[]), 1), Ok(vec![254]));
        let more: Vec<u64> = (0..256).collect();
        for (column, rows, problem) in [
            (dict(&[7], &[1], &[]), 1, "not in the dictionary"),
            (dict(&[], &[0], &[]), 1, "not in the dictionary"),
            (dict(&[7], &[0], &[]), 2, "whose length"),
            (dict(&[7], &[255], &[]), 1, "other integers"),
            (dict(&[7], &[255], &[1, 2]), 1, "other integers"),
            (dict(&more, &[0], &[]), 1, "more than 255"),
            (column("dict", Value::Bytes(vec![0])), 1, "not an array"),
            (
                column("dict", Value::Array(vec![Value::Bytes(vec![])])),
                0,
                "three byte strings",
            ),
            (
                column(
                    "dict",
                    Value::Array([vec![0x80], vec![0], vec![]].map(Value::Bytes).into()),
                ),
                1,
                "cut or too long",
            ),
            (
                column(
                    "dict",
                    Value::Array([vec![1], vec![255], vec![0x80]].map(Value::Bytes).into()),
                ),
                1,
                "other integers",
            ),
        ] {
            let said = both(&column, rows).unwrap_err();
            assert!(said.contains(problem), "{said} ({problem})");
        }
    }

    #[test]
    fn a_value_of_the_dictionary_that_no_row_has_is_no_maximum() {
        assert_eq!(both(&dict(&[7, u64::MAX], &[0, 0], &[]), 2), Ok(vec![7, 7]));
    }
}
