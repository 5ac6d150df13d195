//! How a table of call numbers is written down.

/// `number name` rows, in the order of numbers, become a sorted slice.
macro_rules! numbers {
    ($($number:literal $name:ident)*) => {
        /// Number and name, in the order of numbers.
        pub(super) const NUMBERS: &[(u32, &str)] = &[$(($number, stringify!($name))),*];
    };
}

pub(super) use numbers;
