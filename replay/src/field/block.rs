//! Fields of block I/O.

use super::{Field, again, plain};
use crate::value::{Kind, Value};
use crate::view::View;
use stillframe_format::event::{Block, BlockAction, BlockOwner, Body};

/// Names of `enum req_op` (include/linux/blk_types.h, v6.18); the low eight bits of `cmd_flags`.
const OPERATIONS: [(u64, &str); 14] = [
    (0, "read"),
    (1, "write"),
    (2, "flush"),
    (3, "discard"),
    (5, "secure-erase"),
    (7, "zone-append"),
    (9, "write-zeroes"),
    (10, "zone-open"),
    (11, "zone-close"),
    (12, "zone-finish"),
    (13, "zone-reset"),
    (15, "zone-reset"),
    (17, "zone-reset-all"),
    (34, "driver-in"),
];

fn block<'v>(view: &'v View<'_>) -> Option<&'v Block> {
    match &view.event.body {
        Body::Block(block) => Some(block),
        _ => None,
    }
}

/// The operation of a request, in one word.
pub(crate) fn operation(block: &Block) -> Option<&'static str> {
    let code = block.cmd_flags & 0xff;
    OPERATIONS
        .iter()
        .find(|(number, _)| *number == code)
        .map(|(_, name)| *name)
}

/// Where a request stands, in one word.
pub(crate) fn action(action: BlockAction) -> &'static str {
    match action {
        BlockAction::Queue => "queue",
        BlockAction::Issue => "issue",
        BlockAction::Complete => "complete",
    }
}

fn owner(owner: BlockOwner) -> &'static str {
    match owner {
        BlockOwner::Page => "page",
        BlockOwner::Bio => "bio",
        BlockOwner::Task => "task",
        BlockOwner::Unknown => "unknown",
    }
}

pub(super) const FIELDS: &[Field] = &[
    plain(
        "blk.action",
        Kind::Text,
        "queue, issue or complete (blkparse's Q, D, C)",
        |view, _| Some(Value::text(action(block(view)?.action))),
    ),
    plain("blk.dev", Kind::Text, "device number, MAJOR:MINOR", |view, _| {
        Some(Value::owned(block(view)?.device.to_string()))
    }),
    plain(
        "blk.devname",
        Kind::Text,
        "the device's kernel name, where the snapshot has it",
        |view, _| {
            view.context
                .devices
                .get(&block(view)?.device)
                .map(|name| Value::text(name))
        },
    ),
    plain(
        "blk.op",
        Kind::Text,
        "read, write, flush, discard, write-zeroes, …",
        |view, _| operation(block(view)?).map(Value::text),
    ),
    plain(
        "blk.sector",
        Kind::Number,
        "first sector, in units of 512 bytes",
        |view, _| Some(Value::number(block(view)?.sector)),
    ),
    plain("blk.bytes", Kind::Size, "length", |view, _| {
        Some(Value::Size(u64::from(block(view)?.bytes)))
    }),
    plain(
        "blk.flags",
        Kind::Hex,
        "operation and REQ_ flags as the kernel held them",
        |view, _| Some(Value::Hex(block(view)?.cmd_flags)),
    ),
    plain(
        "blk.latency",
        Kind::Duration,
        "issue: since the request was allocated; complete: since issue",
        |view, _| {
            block(view)?
                .latency
                .map(|value| Value::Duration(i128::from(value)))
        },
    ),
    plain(
        "blk.error",
        Kind::Number,
        "errno of a completion that failed",
        |view, _| {
            let error = block(view)?.error;
            (error != 0).then_some(Value::number(error))
        },
    ),
    plain(
        "blk.owner",
        Kind::Text,
        "how the container was found: page, bio, task (in falling certainty), unknown",
        |view, _| Some(Value::text(owner(block(view)?.owner))),
    ),
    plain(
        "blk.inode",
        Kind::Number,
        "inode number of the file that its first page belongs to",
        |view, _| {
            let inode = block(view)?.inode;
            (inode != 0).then_some(Value::number(inode))
        },
    ),
    plain(
        "blk.request",
        Kind::Hex,
        "the kernel's address of the request: pairs issue with complete",
        |view, _| {
            let request = block(view)?.request;
            (request != 0).then_some(Value::Hex(request))
        },
    ),
    again(
        "blk.failed",
        Kind::Flag,
        "true when a completion failed",
        |view, _| {
            let block = block(view)?;
            (block.action == BlockAction::Complete).then_some(Value::Flag(block.error != 0))
        },
    ),
];
