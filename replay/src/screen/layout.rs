//! Where things stand on a screen of some size.

use ratatui_core::layout::Rect;

/// The smallest screen that something is drawn on.
pub const LEAST: (u16, u16) = (40, 12);
/// From this width on processes and state stand beside the list.
const WIDE: u16 = 120;
/// From this height on the overview has a row for each stream.
const TALL: u16 = 36;

/// The parts of a screen. Those without room are empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Areas {
    /// What bundle, which moment.
    pub header: Rect,
    /// Counts over time.
    pub overview: Rect,
    /// Processes and, below, another part of the state: wide screens only.
    pub left: Option<(Rect, Rect)>,
    /// The list, its title included.
    pub list: Rect,
    /// The tabs, their titles included.
    pub tabs: Rect,
    /// Messages, progress, prompts.
    pub status: Rect,
    /// Some keys.
    pub hints: Rect,
}

impl Areas {
    /// The rows of the list, without its title.
    #[must_use]
    pub fn list_height(&self) -> usize {
        usize::from(self.list.height.saturating_sub(1))
    }

    /// The rows of a tab, without the titles.
    #[must_use]
    pub fn tab_height(&self) -> usize {
        usize::from(self.tabs.height.saturating_sub(1))
    }
}

/// Lays out a screen; `None` when it is too small.
#[must_use]
pub fn areas(width: u16, height: u16) -> Option<Areas> {
    if width < LEAST.0 || height < LEAST.1 {
        return None;
    }
    let overview = match height {
        0..20 => 2,
        20..TALL => 3,
        _ => 7,
    };
    let body = 1 + overview;
    let rest = height - body - 2;
    let left = (width >= WIDE).then(|| (width / 3).min(60));
    let right = left.unwrap_or(0);
    // The list is what one looks at: it has a little more than half.
    let list = (rest * 11 / 20).max(3);
    let tree = (rest / 2).max(3);
    Some(Areas {
        header: Rect::new(0, 0, width, 1),
        overview: Rect::new(0, 1, width, overview),
        left: left.map(|left| {
            (
                Rect::new(0, body, left - 1, tree),
                Rect::new(0, body + tree, left - 1, rest - tree),
            )
        }),
        list: Rect::new(right, body, width - right, list),
        tabs: Rect::new(right, body + list, width - right, rest - list),
        status: Rect::new(0, height - 2, width, 1),
        hints: Rect::new(0, height - 1, width, 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_screen_is_filled_and_nothing_overlaps() {
        for width in LEAST.0..260 {
            for height in LEAST.1..90 {
                let areas = areas(width, height).unwrap();
                let mut all = vec![
                    areas.header,
                    areas.overview,
                    areas.list,
                    areas.tabs,
                    areas.status,
                    areas.hints,
                ];
                all.extend(areas.left.into_iter().flat_map(|(a, b)| [a, b]));
                let screen = Rect::new(0, 0, width, height);
                for (at, one) in all.iter().enumerate() {
                    assert_eq!(one.intersection(screen), *one, "{width}x{height}");
                    assert!(one.area() > 0, "{width}x{height}: {one:?}");
                    assert!(all[..at].iter().all(|other| !one.intersects(*other)));
                }
                assert!(areas.list_height() >= 2 && areas.tab_height() >= 1);
            }
        }
    }
}
