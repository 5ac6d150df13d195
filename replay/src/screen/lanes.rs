//! The threads that read: one for each lane, so that a search that takes long keeps neither keys nor rows waiting.

use super::answer::Desk;
use super::ask::{Answer, Ask, Facts, Lane, Told, What};
use super::source::Source;
use crate::open;
use crate::timeline::Timeline;
use crate::view::Context;
use crate::zone::Zone;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use stillframe_format::error::ReadError;
use stillframe_format::reader::Bundle;

/// How often the file of a growing bundle is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What a thread gets.
enum Job {
    Ask(Ask),
    Grown(Box<(Bundle<Source>, Arc<Context>)>),
}

/// The threads.
pub(super) struct Lanes {
    jobs: Vec<mpsc::Sender<Job>>,
    /// The oldest era that is still wanted, of each lane.
    wanted: Arc<Vec<AtomicU64>>,
    over: Arc<AtomicBool>,
    watch: Option<JoinHandle<()>>,
}

impl Lanes {
    /// Starts them. Answers go to `tell`.
    pub(super) fn start<T: From<Answer> + Send + 'static>(
        source: &Source,
        bundle: &Bundle<Source>,
        context: &Arc<Context>,
        follow: bool,
        tell: &mpsc::Sender<T>,
    ) -> Result<Self, ReadError> {
        let wanted: Arc<Vec<AtomicU64>> = Arc::new(Lane::ALL.iter().map(|_| AtomicU64::new(0)).collect());
        let over = Arc::new(AtomicBool::new(false));
        let mut jobs = Vec::new();
        for lane in Lane::ALL {
            let (sender, receiver) = mpsc::channel();
            let desk = Desk::new(
                Timeline::new(bundle.through(source.clone())?),
                Arc::clone(context),
            );
            let (wanted, over, tell) = (Arc::clone(&wanted), Arc::clone(&over), tell.clone());
            std::thread::spawn(move || work(desk, lane, &receiver, &wanted, &over, &tell));
            jobs.push(sender);
        }
        let mut lanes = Self {
            jobs,
            wanted,
            over,
            watch: None,
        };
        if Facts::of(bundle, Arc::clone(context), follow).growing {
            lanes.watch = Some(lanes.watch(
                source.clone(),
                bundle.file_len(),
                context.zone.clone(),
                tell.clone(),
            ));
        }
        Ok(lanes)
    }

    /// Passes a question on. What its lane does for older ones is broken off.
    pub(super) fn ask(&self, ask: Ask) {
        let lane = ask.what.lane().index();
        if let Some(wanted) = self.wanted.get(lane) {
            wanted.fetch_max(ask.era, Ordering::Relaxed);
        }
        if matches!(ask.what, What::Stop(_)) {
            return;
        }
        if let Some(jobs) = self.jobs.get(lane) {
            let _ = jobs.send(Job::Ask(ask));
        }
    }

    /// Reopens the bundle whenever its file has grown, until it is complete.
    fn watch<T: From<Answer> + Send + 'static>(
        &self,
        source: Source,
        mut length: u64,
        zone: Zone,
        tell: mpsc::Sender<T>,
    ) -> JoinHandle<()> {
        let (jobs, over) = (self.jobs.clone(), Arc::clone(&self.over));
        std::thread::spawn(move || {
            let mut pause = LOOK;
            loop {
                let until = Instant::now() + pause;
                while Instant::now() < until {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(LOOK / 10);
                }
                let Ok(now) = source.length() else { return };
                if now == length {
                    continue;
                }
                length = now;
                let began = Instant::now();
                let Ok(mut bundle) = Bundle::open(source.clone()) else {
                    continue;
                };
                let context = Arc::new(open::context(&mut bundle).in_zone(zone.clone()));
                // Reading all of it again must not become all that is done.
                pause = LOOK.max(began.elapsed() * 5);
                let facts = Facts::of(&bundle, Arc::clone(&context), true);
                let growing = facts.growing;
                for jobs in &jobs {
                    if let Ok(bundle) = bundle.through(source.clone()) {
                        let _ = jobs.send(Job::Grown(Box::new((bundle, Arc::clone(&context)))));
                    }
                }
                let answer = Answer {
                    era: 0,
                    what: Told::Facts(Box::new(facts)),
                };
                if tell.send(answer.into()).is_err() || !growing {
                    return;
                }
            }
        })
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        // Threads end by themselves when nobody asks any more; nobody waits for them.
        self.over.store(true, Ordering::Relaxed);
        self.jobs.clear();
    }
}

fn work<T: From<Answer>>(
    mut desk: Desk<Source>,
    lane: Lane,
    jobs: &mpsc::Receiver<Job>,
    wanted: &[AtomicU64],
    over: &AtomicBool,
    tell: &mpsc::Sender<T>,
) {
    let oldest = || {
        wanted
            .get(lane.index())
            .map_or(0, |wanted| wanted.load(Ordering::Relaxed))
    };
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Grown(grown) => {
                let (bundle, context) = *grown;
                desk.replace(Timeline::new(bundle), context);
            }
            Job::Ask(ask) => {
                let is_wanted = || ask.era >= oldest() && !over.load(Ordering::Relaxed);
                if is_wanted() {
                    desk.answer(&ask, &is_wanted, &mut |answer| {
                        let _ = tell.send(answer.into());
                    });
                }
            }
        }
    }
}
