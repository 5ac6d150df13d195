//! Values that come again and again, each written once.

use std::collections::HashMap;
use std::hash::Hash;

/// Values by the numbers that stand for them.
#[derive(Debug)]
pub(super) struct Dictionary<T> {
    numbers: HashMap<T, usize>,
    values: Vec<T>,
}

impl<T> Default for Dictionary<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            values: Vec::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Dictionary<T> {
    /// The value's number.
    pub(super) fn number(&mut self, value: T) -> usize {
        if let Some(number) = self.numbers.get(&value) {
            return *number;
        }
        let number = self.values.len();
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }

    /// The values in the order of their numbers.
    pub(super) fn values(&self) -> &[T] {
        &self.values
    }
}
