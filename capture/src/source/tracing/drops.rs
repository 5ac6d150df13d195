//! What the kernel side counted as lost, CPU by CPU.

use stillframe_format::event::Loss;
use stillframe_format::{Body, BootTime, Draft, Stream};

/// What was told so far of one cause, by CPU.
#[derive(Debug, Default)]
pub(crate) struct Drops {
    told: Vec<u64>,
    until: u64,
}

impl Drops {
    /// Nothing is lost before `from`.
    pub(crate) fn new(from: u64) -> Self {
        Self {
            told: Vec::new(),
            until: from,
        }
    }

    /// A loss for each CPU whose total, as it is read at `now`, is more than what was told. Without totals, which could not
    /// be read then, nothing is told, and the next time tells it.
    pub(crate) fn tell(
        &mut self,
        stream: Stream,
        cause: &str,
        totals: &[u64],
        now: u64,
    ) -> Vec<(u64, Draft)> {
        if totals.is_empty() {
            return Vec::new();
        }
        self.told.resize(totals.len().max(self.told.len()), 0);
        let from = std::mem::replace(&mut self.until, now);
        let grown = (0_u16..).zip(totals).zip(&mut self.told);
        grown
            .filter_map(|((cpu, total), told)| {
                let count = total.saturating_sub(std::mem::replace(told, *total));
                let loss = Loss {
                    stream,
                    cause: cause.to_owned(),
                    count,
                    from: BootTime(from),
                    to: BootTime(now),
                    scope: format!("cpu {cpu}"),
                };
                (count > 0).then(|| {
                    let draft = Draft {
                        time: BootTime(now),
                        cpu,
                        body: Body::Loss(loss),
                    };
                    (count, draft)
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cpu_tells_what_it_lost_since_the_last_time() {
        let mut drops = Drops::new(10);
        let mut told = |totals: &[u64], now| -> Vec<(u64, String, u64, u64)> {
            drops
                .tell(Stream::Syscall, "ring-full", totals, now)
                .into_iter()
                .filter_map(|(count, draft)| match draft.body {
                    Body::Loss(loss) => {
                        assert_eq!((loss.count, draft.time), (count, loss.to));
                        Some((count, loss.scope, loss.from.0, loss.to.0))
                    }
                    _ => None,
                })
                .collect()
        };
        assert_eq!(told(&[0, 0], 20), []);
        assert_eq!(
            told(&[3, 1], 30),
            [(3, "cpu 0".to_owned(), 20, 30), (1, "cpu 1".to_owned(), 20, 30)]
        );
        assert_eq!(told(&[3, 5], 40), [(4, "cpu 1".to_owned(), 30, 40)]);
        assert_eq!(told(&[], 50), []);
        assert_eq!(told(&[4, 5], 60), [(1, "cpu 0".to_owned(), 40, 60)]);
    }
}
