//! Numbers that look random and are the same on every machine: xorshift64* (Vigna, 2016).

/// A generator.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// Seeds that are near each other give rows that are not: the seed goes through a mixer first (splitmix64).
    pub(super) fn new(seed: u64) -> Self {
        let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((state ^ (state >> 31)) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end` (0 when that is 0).
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // The high half of the product: fair enough for made-up events, and no division.
        u64::try_from((u128::from(self.next()) * u128::from(end)) >> 64).unwrap_or(0)
    }

    /// `true` once in `of` times.
    pub(super) fn once_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// One of a list; `None` when it is empty.
    pub(super) fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let at = self.below(u64::try_from(of.len()).unwrap_or(0));
        of.get(usize::try_from(at).unwrap_or(0))
    }

    /// A length of time as the kernel's are: mostly near `typical`, now and then many times as long.
    pub(super) fn time(&mut self, typical: u64) -> u64 {
        let near = typical / 2 + self.below(typical);
        match self.below(1000) {
            0 => near.saturating_mul(200),
            1..=20 => near.saturating_mul(12),
            21..=150 => near.saturating_mul(3),
            _ => near,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_row_and_another_another() {
        let row = |seed| {
            let mut random = Random::new(seed);
            (0..5).map(|_| random.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(row(1), row(1));
        assert_ne!(row(1), row(2));
        assert!(row(3).iter().all(|value| *value < 1000));
    }
}
