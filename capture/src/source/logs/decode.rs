//! From bytes of the engine's reply to pieces of a container's log. Pure.
//!
//! A container without a terminal has a multiplexed reply (Docker Engine API, "Attach to a container", "Stream
//! format"): frames of a header (which output, three zeros, a length of 32 bits big endian) and what was written, one
//! frame for each piece. One with a terminal has a raw reply, in which lines follow each other. In both each piece
//! begins with its stamp and a space.

use stillframe_format::event::LogStream;

/// Bytes that are kept of a piece. The engine itself cuts lines into pieces of 16 KiB.
pub(crate) const PIECE_LIMIT: usize = 1 << 20;
/// Where the engine cuts a long line (`defaultBufSize`, daemon/logger/copier.go, moby 20.10).
const ENGINE_CUT: usize = 16 << 10;
const HEADER: usize = 8;
/// The longest stamp: `2006-01-02T15:04:05.999999999+07:00`.
const STAMP_LIMIT: usize = 35;

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The container's.
    Output(LogStream),
    /// The engine's own word on why it can't go on.
    EngineError,
}

/// A piece of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) kind: Kind,
    /// Nanoseconds of realtime; the engine's errors have none.
    pub(crate) stamp: Option<i64>,
    /// Without the stamp; the line end included, if there is one.
    pub(crate) bytes: Vec<u8>,
    /// Bytes that were cut off at the limit.
    pub(crate) cut: u64,
}

/// The reply is not what it should be: from here on it can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its reply is no multiplexed stream")]
pub(crate) struct NoFrame;

/// Takes a reply apart, however it is cut.
#[derive(Debug)]
pub(crate) struct Decoder {
    limit: usize,
    /// Of the piece at hand, at most the limit.
    piece: Vec<u8>,
    cut: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Raw,
    Header { bytes: [u8; HEADER], seen: usize },
    Body { kind: Kind, left: u64 },
    Broken,
}

const HEADER_BEGIN: State = State::Header {
    bytes: [0; HEADER],
    seen: 0,
};

impl Decoder {
    /// For a container with a terminal, or without.
    pub(crate) fn new(tty: bool) -> Self {
        Self::with_limit(tty, PIECE_LIMIT)
    }

    fn with_limit(tty: bool, limit: usize) -> Self {
        Self {
            limit,
            piece: Vec::new(),
            cut: 0,
            state: if tty { State::Raw } else { HEADER_BEGIN },
        }
    }

    /// Takes the next bytes and hands every piece that they end to `found`.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut found: impl FnMut(Piece)) -> Result<(), NoFrame> {
        while let Some(first) = bytes.first().copied() {
            let taken = match &mut self.state {
                State::Broken => return Err(NoFrame),
                State::Raw => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let taken = end.map_or(bytes.len(), |end| end + 1);
                    self.keep(bytes.get(..taken).unwrap_or_default());
                    if end.is_some() {
                        self.raw_line(&mut found);
                    }
                    taken
                }
                State::Header { bytes: header, seen } => {
                    if let Some(place) = header.get_mut(*seen) {
                        *place = first;
                    }
                    *seen += 1;
                    if *seen == HEADER {
                        let Some((kind, left)) = parse_header(*header) else {
                            self.state = State::Broken;
                            return Err(NoFrame);
                        };
                        self.state = State::Body { kind, left };
                        self.end_if_whole(&mut found);
                    }
                    1
                }
                State::Body { left, .. } => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= taken as u64;
                    self.keep(bytes.get(..taken).unwrap_or_default());
                    self.end_if_whole(&mut found);
                    taken
                }
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// The reply has ended: what a terminal wrote without a line end is a piece as well. What is left of a frame is
    /// none: it comes whole when the reply is asked for again.
    pub(crate) fn finish(&mut self, mut found: impl FnMut(Piece)) {
        if matches!(self.state, State::Raw) && !self.piece.is_empty() {
            self.raw_line(&mut found);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        // The stamp is not the container's, so it does not count.
        let room = (self.limit + STAMP_LIMIT + 1).saturating_sub(self.piece.len());
        let kept = bytes.get(..room).unwrap_or(bytes);
        self.piece.extend_from_slice(kept);
        self.cut += (bytes.len() - kept.len()) as u64;
    }

    fn end_if_whole(&mut self, found: &mut impl FnMut(Piece)) {
        if let State::Body { kind, left: 0 } = self.state {
            self.state = HEADER_BEGIN;
            let piece = std::mem::take(&mut self.piece);
            let cut = std::mem::take(&mut self.cut);
            found(self.piece(kind, &piece, cut));
        }
    }

    fn piece(&self, kind: Kind, bytes: &[u8], cut: u64) -> Piece {
        let (stamp, bytes) = match split_stamp(bytes) {
            Some((stamp, rest)) => (Some(stamp), rest),
            None => (None, bytes),
        };
        let kept = bytes.get(..self.limit).unwrap_or(bytes);
        Piece {
            kind,
            stamp,
            bytes: kept.to_vec(),
            cut: cut + (bytes.len() - kept.len()) as u64,
        }
    }

    /// A line of a raw reply. Pieces without a line end stand in it one behind the other, each with its stamp; only
    /// the length at which the engine cuts tells where they are.
    fn raw_line(&mut self, found: &mut impl FnMut(Piece)) {
        let line = std::mem::take(&mut self.piece);
        let cut = std::mem::take(&mut self.cut);
        let mut rest = line.as_slice();
        while let Some((_, content)) = split_stamp(rest)
            && let Some(behind) = content.get(ENGINE_CUT..)
            && split_stamp(behind).is_some()
        {
            let (piece, _) = rest.split_at(rest.len() - behind.len());
            found(self.piece(Kind::Output(LogStream::Stdout), piece, 0));
            rest = behind;
        }
        let piece = self.piece(Kind::Output(LogStream::Stdout), rest, cut);
        let is_error = piece.stamp.is_none() && piece.bytes.starts_with(b"Error grabbing logs");
        found(if is_error {
            Piece {
                kind: Kind::EngineError,
                ..piece
            }
        } else {
            piece
        });
    }
}

fn parse_header(header: [u8; HEADER]) -> Option<(Kind, u64)> {
    let [output, 0, 0, 0, length @ ..] = header else {
        return None;
    };
    let kind = match output {
        // Input that is echoed counts as output.
        0 | 1 => Kind::Output(LogStream::Stdout),
        2 => Kind::Output(LogStream::Stderr),
        // `Systemerr`, pkg/stdcopy, moby.
        3 => Kind::EngineError,
        _ => return None,
    };
    Some((kind, u64::from(u32::from_be_bytes(length))))
}

/// The stamp (RFC 3339, up to nine digits of a second), and what is behind the space that ends it.
fn split_stamp(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let end = bytes
        .iter()
        .take(STAMP_LIMIT + 1)
        .position(|byte| *byte == b' ')?;
    let text = std::str::from_utf8(bytes.get(..end)?).ok()?;
    // The parser takes more spellings than an engine writes.
    if text.as_bytes().get(10) != Some(&b'T') || !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let stamp: jiff::Timestamp = text.parse().ok()?;
    Some((
        i64::try_from(stamp.as_nanosecond()).ok()?,
        bytes.get(end + 1..).unwrap_or_default(),
    ))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAMP: &str = "2026-11-24T14:03:07.000000001Z ";
    const NANOSECONDS: i64 = 1_795_528_987_000_000_001;
    const OUT: Kind = Kind::Output(LogStream::Stdout);
    const ERR: Kind = Kind::Output(LogStream::Stderr);

    pub(crate) fn frame(output: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![output, 0, 0, 0];
        out.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        out.extend(content);
        out
    }

    fn decode(decoder: &mut Decoder, bytes: &[u8], size: usize) -> (Vec<Piece>, Result<(), NoFrame>) {
        let mut pieces = Vec::new();
        for chunk in bytes.chunks(size.max(1)) {
            let outcome = decoder.push(chunk, |piece| pieces.push(piece));
            if outcome.is_err() {
                return (pieces, outcome);
            }
        }
        decoder.finish(|piece| pieces.push(piece));
        (pieces, Ok(()))
    }

    fn piece(kind: Kind, bytes: &[u8]) -> Piece {
        Piece {
            kind,
            stamp: Some(NANOSECONDS),
            bytes: bytes.to_vec(),
            cut: 0,
        }
    }

    fn stamped(content: &[u8]) -> Vec<u8> {
        [STAMP.as_bytes(), content].concat()
    }

    #[test]
    fn frames_are_pieces_of_their_output_whatever_they_hold() {
        let stream = [
            frame(1, &stamped(b"a\n")),
            frame(2, &stamped(b"\xff\0no end")),
            frame(1, &stamped(b"two\nlines\n")),
            frame(2, STAMP.as_bytes()),
            frame(1, b"no stamp\n"),
            frame(3, b"Error grabbing logs: EOF\n"),
            frame(1, b""),
            frame(1, &stamped(b"never whole"))[..20].to_vec(),
        ]
        .concat();
        for size in 1..stream.len() {
            let (pieces, outcome) = decode(&mut Decoder::new(false), &stream, size);
            assert_eq!(outcome, Ok(()));
            let unstamped = |kind, bytes: &[u8]| Piece {
                stamp: None,
                ..piece(kind, bytes)
            };
            assert_eq!(
                pieces,
                [
                    piece(OUT, b"a\n"),
                    piece(ERR, b"\xff\0no end"),
                    piece(OUT, b"two\nlines\n"),
                    piece(ERR, b""),
                    unstamped(OUT, b"no stamp\n"),
                    unstamped(Kind::EngineError, b"Error grabbing logs: EOF\n"),
                    unstamped(OUT, b""),
                ],
                "chunks of {size}"
            );
        }
    }

    #[test]
    fn a_length_is_counted_down_and_never_allocated() {
        let mut decoder = Decoder::with_limit(false, 10);
        let mut stream = frame(1, &stamped(&[b'x'; 100]));
        stream.extend(frame(2, &stamped(b"next")));
        let (pieces, _) = decode(&mut decoder, &stream, 7);
        let whole = piece(OUT, &[b'x'; 10]);
        assert_eq!(pieces, [Piece { cut: 90, ..whole }, piece(ERR, b"next")]);

        let mut decoder = Decoder::with_limit(false, 10);
        decoder
            .push(b"\x01\0\0\0\xff\xff\xff\xff", |_| panic!("no piece ends here"))
            .unwrap();
        for _ in 0..100 {
            decoder.push(&[b'x'; 1000], |_| panic!("nor here")).unwrap();
        }
        assert!(decoder.piece.capacity() < 200, "{}", decoder.piece.capacity());
    }

    #[test]
    fn what_is_no_frame_is_refused_for_good() {
        for bad in [
            &b"2026-11-24T14:03"[..],
            b"\x04\0\0\0\0\0\0\0",
            b"\x01\0\0\x01\0\0\0\0",
        ] {
            let mut decoder = Decoder::new(false);
            assert_eq!(decode(&mut decoder, bad, 3), (vec![], Err(NoFrame)));
            assert_eq!(decoder.push(b"\x01", |_| {}), Err(NoFrame));
        }
    }

    #[test]
    fn a_terminal_writes_lines() {
        let stream = [
            stamped(b"a\r\n"),
            stamped(b"\n"),
            b"Error grabbing logs: EOF\n".to_vec(),
            stamped(b"$ "),
        ]
        .concat();
        for size in 1..stream.len() {
            let (pieces, _) = decode(&mut Decoder::new(true), &stream, size);
            let error = Piece {
                stamp: None,
                ..piece(Kind::EngineError, b"Error grabbing logs: EOF\n")
            };
            assert_eq!(
                pieces,
                [piece(OUT, b"a\r\n"), piece(OUT, b"\n"), error, piece(OUT, b"$ ")]
            );
        }
    }

    #[test]
    fn a_terminals_line_that_the_engine_cut_stays_in_pieces() {
        let (first, second) = (vec![b'x'; ENGINE_CUT], vec![b'y'; ENGINE_CUT]);
        let stream = [stamped(&first), stamped(&second), stamped(b"z\r\n")].concat();
        let (pieces, _) = decode(&mut Decoder::new(true), &stream, 1000);
        assert_eq!(
            pieces,
            [piece(OUT, &first), piece(OUT, &second), piece(OUT, b"z\r\n")]
        );
        // A stamp anywhere else is what the container wrote.
        let content = [&first[1..], STAMP.as_bytes(), b"\n"].concat();
        let (pieces, _) = decode(&mut Decoder::new(true), &stamped(&content), 1000);
        assert_eq!(pieces, [piece(OUT, &content)]);
    }

    #[test]
    fn stamps_are_taken_in_any_zone_and_precision_and_nothing_else_is_one() {
        let stamp = |text: &str| split_stamp(text.as_bytes()).map(|(stamp, rest)| (stamp, rest.len()));
        assert_eq!(stamp("2026-11-24T14:03:07.000000001Z x"), Some((NANOSECONDS, 1)));
        assert_eq!(
            stamp("2026-11-24T16:03:07.000000001+02:00 "),
            Some((NANOSECONDS, 0))
        );
        assert_eq!(stamp("2026-11-24T14:03:07Z  x"), Some((NANOSECONDS - 1, 2)));
        for bad in [
            "",
            " ",
            "2026-11-24T14:03:07.000000001Z",
            "2026-11-24 14:03:07Z x",
            "2026-13-24T14:03:07Z x",
            "9999-12-31T00:00:00Z x",
            "+002026-11-24T14:03:07Z x",
            "hello world",
        ] {
            assert_eq!(stamp(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_pieces(
            lines in prop::collection::vec((1_u8..3, prop::collection::vec(any::<u8>(), 0..40)), 0..8),
            size in 1_usize..60,
        ) {
            let frames: Vec<u8> = lines.iter().flat_map(|(output, line)| frame(*output, &stamped(line))).collect();
            let (pieces, outcome) = decode(&mut Decoder::new(false), &frames, size);
            prop_assert_eq!(outcome, Ok(()));
            let expected: Vec<Piece> = lines.iter()
                .map(|(output, line)| piece(if *output == 1 { OUT } else { ERR }, line)).collect();
            prop_assert_eq!(pieces, expected);

            let raw: Vec<u8> = lines.iter().flat_map(|(_, line)| stamped(line)).collect();
            let whole = decode(&mut Decoder::new(true), &raw, raw.len());
            prop_assert_eq!(decode(&mut Decoder::new(true), &raw, size), whole);
        }

        #[test]
        fn garbage_never_panics_and_a_terminals_bytes_all_come_back(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            size in 1_usize..40,
        ) {
            let _ = decode(&mut Decoder::with_limit(false, 16), &bytes, size);
            let (pieces, _) = decode(&mut Decoder::with_limit(true, 16), &bytes, size);
            let told: u64 = pieces.iter().map(|piece| piece.bytes.len() as u64 + piece.cut).sum();
            prop_assert_eq!(told, bytes.len() as u64);
        }
    }
}
