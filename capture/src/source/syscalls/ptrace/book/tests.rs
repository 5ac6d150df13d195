//! Stops of made-up threads, and what the decoder makes of the records.

use super::super::signal::Delivery;
use super::*;
use crate::source::syscalls::decode::Decoder;
use crate::source::syscalls::ptrace::record::records;
use stillframe_format::Body;
use stillframe_format::event::{Abi, ProcessChange};

const SLEEP: u32 = 35;
const CLONE: u32 = 56;
const EXECVE: u32 = 59;
const EXIT_GROUP: u32 = 231;

fn entered(number: u32) -> Entered {
    Entered {
        abi: Abi::X86_64,
        number,
        args: [0; 6],
    }
}

fn book() -> Book {
    let mut book = Book::new(&DataLimits::all(64));
    let target = book.target("c0ffee");
    assert_eq!(book.target("c0ffee"), target);
    book.seized(
        70,
        Identity {
            tgid: 70,
            target,
            comm: *b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        },
    );
    book
}

/// Everything that was recorded, in words.
fn told(book: &mut Book) -> Vec<String> {
    let mut decoder = Decoder::default();
    decoder.set_targets(book.ids());
    let mut told = Vec::new();
    for record in records(&std::mem::take(&mut book.chunk).bytes) {
        decoder.push(record).unwrap();
        let (batch, events) = decoder.take();
        for row in &batch.rows {
            let task = &batch.tasks[row.task as usize];
            assert_eq!(task.container, "c0ffee");
            let name = abi::lookup(row.abi, row.number).unwrap().name;
            let result = match row.flags {
                ROW_NEVER_RETURNED => "never".to_owned(),
                ROW_ENTRY_UNSEEN => format!("unseen {}", row.ret),
                _ => format!("{} in {}", row.ret, row.duration),
            };
            told.push(format!("{}/{} {name} {result}", task.pid, task.tid));
        }
        for event in events {
            let Body::Process(process) = event.body else {
                panic!("{event:?}");
            };
            let what = match &process.change {
                ProcessChange::Fork { pid, tid } => format!("fork {pid}/{tid}"),
                ProcessChange::Exec { old_tid, argv, .. } => {
                    format!("exec from {old_tid} {:?}", argv.value().map(Vec::len))
                }
                ProcessChange::Exit {
                    status, signal, last, ..
                } => format!("exit {status} {signal}{}", if *last { " last" } else { "" }),
                ProcessChange::Signal(signal) => format!(
                    "signal {} {:?} {} {}{}",
                    signal.number,
                    signal.step,
                    signal.code,
                    signal.info.len(),
                    if signal.fatal { " fatal" } else { "" }
                ),
                ProcessChange::OomKill(_) => "killed for want of memory".to_owned(),
            };
            told.push(format!("{}/{} {what}", process.task.pid, process.task.tid));
        }
    }
    told
}

#[test]
fn a_call_that_makes_a_process_returns_twice() {
    let mut book = book();
    book.entry(70, 100, entered(CLONE), &NoMemory);
    book.forked(70, 80, 80, 110);
    assert!(book.is_newborn(80) && !book.is_newborn(70));
    book.begins(80, 120, &NoMemory);
    book.returned(70, 130, 80, None, &NoMemory);
    assert!(!book.is_newborn(80));
    assert_eq!(
        told(&mut book),
        ["70/70 fork 80/80", "80/80 clone 0 in 20", "70/70 clone 80 in 30"]
    );
    assert!(book.has_process(80));
}

#[test]
fn a_signal_is_told_when_it_is_delivered() {
    let mut book = book();
    let mut delivery = Delivery {
        number: 10,
        code: -6,
        action: wire::ACTION_HANDLER,
        is_fatal: false,
        siginfo: vec![1; wire::SIGINFO],
    };
    book.signalled(70, &delivery, 100);
    delivery.is_fatal = true;
    delivery.action = wire::ACTION_DEFAULT;
    delivery.siginfo.clear();
    book.signalled(70, &delivery, 110);
    book.signalled(99, &delivery, 120);
    assert_eq!(
        told(&mut book),
        [
            "70/70 signal 10 DeliveredHandler -6 48",
            "70/70 signal 10 DeliveredDefault -6 0 fatal",
        ],
        "and of a thread that is not known nothing"
    );
}

#[test]
fn a_death_inside_a_call_is_told_with_what_the_call_came_to() {
    let mut book = book();
    book.entry(70, 100, entered(CLONE), &NoMemory);
    book.forked(70, 71, 70, 110);
    book.begins(71, 120, &NoMemory);
    book.returned(70, 120, 71, None, &NoMemory);
    book.entry(71, 130, entered(SLEEP), &NoMemory);
    book.entry(70, 140, entered(EXIT_GROUP), &NoMemory);
    told(&mut book);
    // The kernel has returned from the one, and never from the other.
    book.ended(71, 9, Some(-512), 150, &NoMemory);
    book.ended(70, 0x300, None, 160, &NoMemory);
    book.gone(71, 9, 170);
    book.gone(70, 0x300, 170);
    assert_eq!(
        told(&mut book),
        [
            "70/71 nanosleep -512 in 20",
            "70/71 exit 0 9",
            "70/70 exit_group never",
            "70/70 exit 3 0 last"
        ]
    );
    assert!(!book.knows(70) && !book.knows(71) && !book.has_process(70));
}

#[test]
fn one_that_is_reaped_without_a_word_has_ended_all_the_same() {
    let mut book = book();
    book.entry(70, 100, entered(SLEEP), &NoMemory);
    book.gone(70, 9, 110);
    assert_eq!(told(&mut book), ["70/70 nanosleep never", "70/70 exit 0 9 last"]);
    book.gone(70, 9, 120);
    assert_eq!(told(&mut book), [""; 0], "twice");
}

#[test]
fn a_thread_that_executes_becomes_the_leader() {
    let mut book = book();
    book.entry(70, 100, entered(CLONE), &NoMemory);
    book.forked(70, 71, 70, 110);
    book.begins(71, 120, &NoMemory);
    book.returned(70, 120, 71, None, &NoMemory);
    book.entry(70, 125, entered(SLEEP), &NoMemory);
    book.entry(71, 130, entered(EXECVE), &NoMemory);
    told(&mut book);
    book.ended(70, 0, None, 140, &NoMemory);
    book.executed(
        70,
        71,
        150,
        *b"ls\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        (b"ls\0-l\0", Fate::Whole),
    );
    book.returned(70, 160, 0, None, &NoMemory);
    assert_eq!(
        told(&mut book),
        [
            "70/70 nanosleep never",
            "70/70 exit 0 0",
            "70/70 exec from 71 Some(6)",
            "70/70 execve 0 in 30"
        ]
    );
    book.ended(70, 0, None, 170, &NoMemory);
    assert_eq!(told(&mut book), ["70/70 exit 0 0 last"]);
}

#[test]
fn what_was_entered_before_it_was_traced_has_no_entry() {
    let mut book = book();
    assert!(book.no_longer_fresh(70) && !book.no_longer_fresh(70));
    book.returned(70, 100, -512, Some(entered(SLEEP)), &NoMemory);
    book.returned(70, 110, 5, None, &NoMemory);
    assert_eq!(
        told(&mut book),
        ["70/70 nanosleep unseen -512"],
        "nothing is known of the second"
    );
}

#[test]
fn open_calls_are_those_that_were_entered() {
    let mut book = book();
    assert_eq!(book.open_calls(), []);
    book.entry(70, 100, entered(SLEEP), &NoMemory);
    let open = book.open_calls();
    assert_eq!((open[0].number, open[0].enter), (SLEEP, Some(BootTime(100))));
    assert_eq!(
        (open[0].task.tid, open[0].task.container.as_str()),
        (70, "c0ffee")
    );
    book.returned(70, 110, 0, None, &NoMemory);
    assert_eq!(book.open_calls(), []);
}

/// One string wherever one looks.
struct Text(&'static [u8]);

impl Memory for Text {
    fn read(&self, _: u64, into: &mut [u8]) -> usize {
        let n = self.0.len().min(into.len());
        into[..n].copy_from_slice(&self.0[..n]);
        into[n..].fill(0);
        into.len()
    }
}

#[test]
fn who_may_have_another_name_is_asked_for_it() {
    let mut book = book();
    let prctl = Entered {
        args: [PR_SET_NAME, 1, 0, 0, 0, 0],
        ..entered(157)
    };
    book.entry(70, 100, prctl, &NoMemory);
    assert_eq!(book.renamed(70, 0), [70]);
    assert_eq!(book.renamed(70, -1), [0; 0]);
    let write = entered(1);
    book.entry(70, 110, write, &NoMemory);
    assert_eq!(book.renamed(70, 3), [0; 0]);
    let open = Entered {
        args: [0, 1, 1, 0, 0, 0],
        ..entered(257)
    };
    book.entry(70, 120, open, &NoMemory);
    book.returned(70, 130, 3, None, &Text(b"/proc/self/task/70/comm\0"));
    book.entry(70, 140, write, &NoMemory);
    assert_eq!(book.renamed(70, 3), [70]);
    book.rename(70, [b'x'; 16]);
    assert_eq!(book.identity(70).unwrap().comm, [b'x'; 16]);
}
