//! Keys and what they do: the one table that the keys, the help and its test are made of.

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A letter, digit or sign.
    Char(char),
    /// With Ctrl.
    Ctrl(char),
    /// A function key.
    Function(u8),
    /// Up.
    Up,
    /// Down.
    Down,
    /// Left.
    Left,
    /// Right.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Tab.
    Tab,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// So many rows.
    Step(i64),
    /// So many pages.
    Page(i64),
    /// The first event.
    First,
    /// The last one.
    Last,
    /// The next event of the same thread, or of the same descriptor, connection or request.
    Kin {
        /// Thread, or thing.
        thread: bool,
        /// Forward, or back.
        forward: bool,
    },
    /// The next match of what was searched for.
    Match(bool),
    /// The next event that failed.
    Failed(bool),
    /// The next hole.
    Hole(bool),
    /// Continue to the condition.
    Continue(bool),
    /// One column of the overview.
    Column(bool),
    /// Asks for what is searched for.
    Search,
    /// Asks for the filter.
    Filter,
    /// Asks for the condition.
    Condition,
    /// Asks for a moment.
    Goto,
    /// Gives this event a letter.
    Mark,
    /// Goes to a letter's event.
    Jump,
    /// Narrows the list to what is under the cursor.
    Drill,
    /// Back to where it was before.
    Back,
    /// Follows the thread, or the thing.
    Follow {
        /// Thread, or thing.
        thread: bool,
    },
    /// A tab.
    Tab(usize),
    /// The next tab.
    NextTab,
    /// Keys go to the list, or to what is below it.
    Focus,
    /// Scrolls sideways.
    Sideways(bool),
    /// Copies the command line that prints what is shown.
    Copy,
    /// Copies the command line that opens this view.
    CopyView,
    /// Help.
    Help,
    /// Stops what is running.
    Stop,
    /// Draws everything anew.
    Redraw,
    /// Stops the program, as Ctrl-Z does elsewhere.
    Suspend,
    /// Stops what is running, or quits.
    Interrupt,
    /// Quits.
    Quit,
}

/// A row of the table.
#[derive(Debug)]
pub struct Binding {
    /// The keys, each with what it does.
    pub keys: &'static [(Key, Action)],
    /// The keys as the help names them.
    pub label: &'static str,
    /// What they do.
    pub help: &'static str,
}

const fn binding(label: &'static str, help: &'static str, keys: &'static [(Key, Action)]) -> Binding {
    Binding { keys, label, help }
}

use Action as A;
use Key as K;

/// All of them, in the order of the help.
pub const BINDINGS: &[Binding] = &[
    binding(
        "Down Up  . ,  j k",
        "step: one event forward, back",
        &[
            (K::Down, A::Step(1)),
            (K::Up, A::Step(-1)),
            (K::Char('.'), A::Step(1)),
            (K::Char(','), A::Step(-1)),
            (K::Char('j'), A::Step(1)),
            (K::Char('k'), A::Step(-1)),
        ],
    ),
    binding(
        "PgDn PgUp  Space",
        "a page forward, back",
        &[
            (K::PageDown, A::Page(1)),
            (K::PageUp, A::Page(-1)),
            (K::Char(' '), A::Page(1)),
            (K::Ctrl('f'), A::Page(1)),
            (K::Ctrl('b'), A::Page(-1)),
        ],
    ),
    binding(
        "Home End  G",
        "the first event, the last one",
        &[(K::Home, A::First), (K::End, A::Last), (K::Char('G'), A::Last)],
    ),
    binding(
        "] [",
        "next, previous event of the same thread",
        &[
            (
                K::Char(']'),
                A::Kin {
                    thread: true,
                    forward: true,
                },
            ),
            (
                K::Char('['),
                A::Kin {
                    thread: true,
                    forward: false,
                },
            ),
        ],
    ),
    binding(
        ") (",
        "of the same descriptor, connection, block request or log",
        &[
            (
                K::Char(')'),
                A::Kin {
                    thread: false,
                    forward: true,
                },
            ),
            (
                K::Char('('),
                A::Kin {
                    thread: false,
                    forward: false,
                },
            ),
        ],
    ),
    binding(
        "e E",
        "next, previous event that failed",
        &[(K::Char('e'), A::Failed(true)), (K::Char('E'), A::Failed(false))],
    ),
    binding(
        "o O",
        "next, previous hole: lost events, a step of the clock",
        &[(K::Char('o'), A::Hole(true)), (K::Char('O'), A::Hole(false))],
    ),
    binding(
        "/",
        "search: a filter; goes to its next match",
        &[(K::Char('/'), A::Search)],
    ),
    binding(
        "n N  } {",
        "next, previous match of the search",
        &[
            (K::Char('n'), A::Match(true)),
            (K::Char('N'), A::Match(false)),
            (K::Char('}'), A::Match(true)),
            (K::Char('{'), A::Match(false)),
        ],
    ),
    binding(
        "b",
        "break: a condition (a filter) for c and C",
        &[(K::Char('b'), A::Condition)],
    ),
    binding(
        "c C",
        "continue, reverse-continue to the condition",
        &[
            (K::Char('c'), A::Continue(true)),
            (K::Char('C'), A::Continue(false)),
        ],
    ),
    binding(
        "g",
        "go to a moment: 14:03:07.2, +5s, -200ms, 40%, @EPOCH, #EVENT, 4711",
        &[(K::Char('g'), A::Goto)],
    ),
    binding(
        "t T",
        "one column of the overview forward, back",
        &[(K::Char('t'), A::Column(true)), (K::Char('T'), A::Column(false))],
    ),
    binding(
        "m' letter",
        "m sets a mark, ' goes to it; marks are kept until you quit",
        &[(K::Char('m'), A::Mark), (K::Char('\''), A::Jump)],
    ),
    binding(
        "f  &",
        "filter: the list shows only what it means, and every hole",
        &[(K::Char('f'), A::Filter), (K::Char('&'), A::Filter)],
    ),
    binding(
        "Enter",
        "drill down: filter by the thread, process, descriptor under the cursor; a row of follow or logs: go there",
        &[(K::Enter, A::Drill)],
    ),
    binding(
        "Backspace",
        "back to the place and filter before",
        &[(K::Backspace, A::Back)],
    ),
    binding(
        "F  P",
        "follow the descriptor, connection or request; the thread",
        &[
            (K::Char('F'), A::Follow { thread: false }),
            (K::Function(5), A::Follow { thread: false }),
            (K::Char('P'), A::Follow { thread: true }),
        ],
    ),
    binding(
        "1 to 9",
        "tabs: details, processes, fds, sockets, mounts, follow, logs, links, containers",
        &[
            (K::Char('1'), A::Tab(0)),
            (K::Char('2'), A::Tab(1)),
            (K::Char('3'), A::Tab(2)),
            (K::Char('4'), A::Tab(3)),
            (K::Char('5'), A::Tab(4)),
            (K::Char('6'), A::Tab(5)),
            (K::Char('7'), A::Tab(6)),
            (K::Char('8'), A::Tab(7)),
            (K::Char('9'), A::Tab(8)),
        ],
    ),
    binding(
        "Tab  w",
        "Tab: keys go to the list, to the tab; w: the next tab",
        &[(K::Tab, A::Focus), (K::Char('w'), A::NextTab)],
    ),
    binding(
        "Left Right  < >",
        "scroll long lines",
        &[
            (K::Right, A::Sideways(true)),
            (K::Left, A::Sideways(false)),
            (K::Char('>'), A::Sideways(true)),
            (K::Char('<'), A::Sideways(false)),
        ],
    ),
    binding(
        "y Y",
        "copy the command line that prints what is shown; that opens this view",
        &[(K::Char('y'), A::Copy), (K::Char('Y'), A::CopyView)],
    ),
    binding(
        "Esc",
        "stop a search; leave a prompt, this help, a tab",
        &[(K::Escape, A::Stop)],
    ),
    binding(
        "? F1",
        "this help",
        &[
            (K::Char('?'), A::Help),
            (K::Function(1), A::Help),
            (K::Char('h'), A::Help),
        ],
    ),
    binding(
        "q  Ctrl-C",
        "quit; Ctrl-C stops a search first. Ctrl-L draws anew, Ctrl-Z suspends",
        &[
            (K::Char('q'), A::Quit),
            (K::Ctrl('c'), A::Interrupt),
            (K::Ctrl('l'), A::Redraw),
            (K::Ctrl('z'), A::Suspend),
        ],
    ),
];

/// What a key does.
#[must_use]
pub fn action(key: Key) -> Option<Action> {
    let mut keys = BINDINGS.iter().flat_map(|binding| binding.keys);
    keys.find(|(bound, _)| *bound == key).map(|(_, action)| *action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things() {
        let keys: Vec<Key> = BINDINGS
            .iter()
            .flat_map(|binding| binding.keys.iter().map(|(key, _)| *key))
            .collect();
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "{key:?}");
        }
    }
}
