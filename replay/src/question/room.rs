//! Room for the texts of an answer: that there are not too many keys does not bound what they take.

use super::{TEXTS_MAX, kept};

/// What of a text is kept when there is room for no more whole ones.
const SHORT: usize = 48;

/// How much of [`TEXTS_MAX`] is used.
#[derive(Debug, Default)]
pub(super) struct Room {
    used: usize,
}

impl Room {
    /// Takes room for so many bytes; false when there is not so much.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let used = self.used.saturating_add(bytes);
        if used > TEXTS_MAX {
            return false;
        }
        self.used = used;
        true
    }

    /// Gives back what a kept text took; of one that was cut, nothing was.
    pub(super) fn give(&mut self, text: &str) {
        if text.len() > SHORT && !text.ends_with('…') {
            self.used = self.used.saturating_sub(text.len());
        }
    }

    /// A text that is kept; where there is no room for it, its beginning.
    pub(super) fn kept(&mut self, text: &str) -> String {
        let text = kept(text);
        if text.len() <= SHORT || self.take(text.len()) {
            return text;
        }
        let mut end = SHORT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        format!("{}…", text.get(..end).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_cut_and_says_so() {
        let mut room = Room::default();
        let long = "ä".repeat(100);
        assert_eq!(room.kept(&long), long);
        assert!(!room.take(TEXTS_MAX));
        assert!(room.take(TEXTS_MAX - long.len()));
        let cut = room.kept(&long);
        assert!(cut.ends_with('…') && long.starts_with(cut.trim_end_matches('…')) && cut.len() < 60);
        room.give(&cut);
        assert!(room.kept(&long) == cut);
        room.give(&long);
        assert_eq!(room.kept(&long), long);
    }
}
