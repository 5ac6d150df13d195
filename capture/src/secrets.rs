//! What looks like a secret, and what stands in its place.
//!
//! A value is replaced by `<secret:LENGTH:TAG>`. The tag is 64 bits of a keyed hash: equal secrets of one capture have
//! equal tags, so that one can see where the same password went, and nobody who has the bundle can find it by
//! trying, because the key is random, is kept in memory alone, and goes with the process.
//!
//! What looks like a secret is found by the name that stands before it. Too much is taken rather than too little: the
//! name, the length and the tag stay.

use crate::engine::Secrets;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use std::ffi::OsString;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};
use stillframe_format::header::Redaction;

/// Pieces of names of what is secret.
const WORDS: [&[u8]; 8] = [
    b"PASS", b"PWD", b"TOKEN", b"KEY", b"SECRET", b"AUTH", b"CRED", b"DSN",
];
/// A user part of a URL that is so long is a token.
const TOKEN_LENGTH: usize = 20;
/// Bytes of a keyed hash that a tag shows.
const TAG: usize = 8;

/// Where values were replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Arguments of processes in a snapshot.
    Snapshot,
    /// Arguments in the event of a program's start.
    Exec,
    /// Arguments behind `execve` and `execveat`.
    Call,
    /// The engine's events.
    Engine,
    /// The command that capture was told to start.
    Command,
}

const PLACES: [(Place, &str); 5] = [
    (Place::Snapshot, "processes.json: argv"),
    (Place::Exec, "process events: argv"),
    (Place::Call, "system calls: argv"),
    (Place::Engine, "engine events"),
    (Place::Command, "header.json and end.json: argv of the command"),
];

/// Replaces secrets.
#[derive(Debug)]
pub(crate) struct Masker {
    key: [u8; 32],
    counts: [AtomicU64; PLACES.len()],
}

static CHOICE: OnceLock<Secrets> = OnceLock::new();
static MASKER: LazyLock<Masker> = LazyLock::new(|| Masker::with_key(random()));

/// Says what is to happen to secrets. The first one counts; until then they are masked.
pub(crate) fn choose(secrets: Secrets) {
    let _ = CHOICE.set(secrets);
}

/// What replaces secrets; `None` when they are kept.
pub(crate) fn policy() -> Option<&'static Masker> {
    (CHOICE.get() != Some(&Secrets::Keep)).then(masker)
}

/// What replaces secrets, whatever was chosen.
pub(crate) fn masker() -> &'static Masker {
    &MASKER
}

/// A command's arguments as the bundle has them.
pub(crate) fn command(words: &[OsString]) -> Vec<String> {
    let mut out: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if let Some(masker) = policy() {
        masker.arguments(&mut out, Place::Command);
    }
    out
}

/// How many values were replaced, by place; places without one are left out.
pub(crate) fn redactions() -> Vec<Redaction> {
    let Some(masker) = policy() else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for ((_, name), count) in PLACES.iter().zip(&masker.counts) {
        let count = count.load(Ordering::Relaxed);
        if count > 0 {
            out.push(Redaction {
                member: (*name).to_owned(),
                places: Vec::new(),
                count,
            });
        }
    }
    out
}

/// From the kernel's random numbers (`getrandom`), 122 bits of each UUID.
fn random() -> [u8; 32] {
    let mut hash = Sha256::new();
    for _ in 0..3 {
        hash.update(uuid::Uuid::new_v4());
    }
    hash.finalize().into()
}

fn keyed_hash(key: &[u8; 32], value: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    for (at, byte) in block.iter_mut().zip(key) {
        *at = *byte;
    }
    // A key of a whole block, which is what HMAC pads a shorter one to: of this length it can't be refused.
    let mac = Hmac::<Sha256>::new(&block.into());
    mac.chain_update(value).finalize().into_bytes().into()
}

/// Whether a name is one of what is secret.
pub(crate) fn is_secret_name(name: &[u8]) -> bool {
    let upper = name.to_ascii_uppercase();
    let has = |word: &[u8]| upper.windows(word.len()).any(|part| part == word);
    WORDS.iter().any(|word| match *word {
        // An author is no authorisation.
        b"AUTH" => has(word) && (!has(b"AUTHOR") || has(b"AUTHORI")),
        word => has(word),
    })
}

/// What the next word is, by the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Next {
    /// Whatever it looks like.
    #[default]
    Plain,
    /// A secret.
    Value,
    /// `user:password`.
    User,
}

impl Masker {
    pub(crate) fn with_key(key: [u8; 32]) -> Self {
        Self {
            key,
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    fn count(&self, place: Place, more: u64) {
        if let Some(index) = PLACES.iter().position(|(known, _)| *known == place)
            && let Some(count) = self.counts.get(index)
        {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// What stands in place of a value.
    pub(crate) fn tag(&self, value: &[u8]) -> String {
        let hash = keyed_hash(&self.key, value);
        let mut out = format!("<secret:{}:", value.len());
        for byte in hash.iter().take(TAG) {
            out.push_str(&format!("{byte:02x}"));
        }
        out.push('>');
        out
    }

    /// An argument without its secrets, and how many they were; `None` when it has none. `next` says what the argument
    /// before leads to expect, and then what this one does.
    pub(crate) fn argument(&self, argument: &[u8], next: &mut Next) -> Option<(Vec<u8>, u64)> {
        let found = secrets(argument, next);
        if found.is_empty() {
            return None;
        }
        let mut out = Vec::with_capacity(argument.len());
        let mut copied = 0;
        for range in &found {
            out.extend_from_slice(argument.get(copied..range.start).unwrap_or_default());
            let value = argument.get(range.clone()).unwrap_or_default();
            out.extend_from_slice(self.tag(value).as_bytes());
            copied = range.end;
        }
        out.extend_from_slice(argument.get(copied..).unwrap_or_default());
        Some((out, found.len() as u64))
    }

    /// Strings that each end with NUL, without their secrets; `None` when they have none.
    pub(crate) fn strings(&self, bytes: &[u8], place: Place) -> Option<Vec<u8>> {
        let mut next = Next::Plain;
        let mut replaced = 0;
        let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == 0);
            let (argument, after) = rest
                .split_at_checked(end.unwrap_or(rest.len()))
                .unwrap_or((rest, &[]));
            match self.argument(argument, &mut next) {
                Some((masked, count)) => {
                    out.extend(masked);
                    replaced += count;
                }
                None => out.extend_from_slice(argument),
            }
            rest = match after.split_first() {
                Some((nul, after)) => {
                    out.push(*nul);
                    after
                }
                None => after,
            };
        }
        self.count(place, replaced);
        (replaced > 0).then_some(out)
    }

    /// A list of arguments without their secrets.
    pub(crate) fn arguments(&self, arguments: &mut [String], place: Place) {
        let mut next = Next::Plain;
        for argument in arguments {
            if let Some((masked, count)) = self.argument(argument.as_bytes(), &mut next) {
                *argument = String::from_utf8_lossy(&masked).into_owned();
                self.count(place, count);
            }
        }
    }

    /// An event of the engine without the secrets of the commands in it; `None` when it has none.
    pub(crate) fn engine_event(&self, json: &[u8]) -> Option<Vec<u8>> {
        let masked = crate::engine::mask_json(json, self).ok()?;
        self.count(Place::Engine, masked.pointers.len() as u64);
        (!masked.pointers.is_empty()).then_some(masked.bytes)
    }
}

/// The secrets of one argument, in order. It may be a text of many words, as `sh -c` takes it.
fn secrets(argument: &[u8], next: &mut Next) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    match std::mem::take(next) {
        Next::Value if !argument.starts_with(b"-") => {
            if !argument.is_empty() {
                found.push(0..argument.len());
            }
            return found;
        }
        Next::User => {
            found.extend(password_of(argument, 0));
            return found;
        }
        Next::Value | Next::Plain => {}
    }
    let mut at = 0;
    let mut waits = Next::Plain;
    while at < argument.len() {
        if argument.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
            continue;
        }
        let length = argument
            .get(at..)
            .and_then(|rest| rest.iter().position(u8::is_ascii_whitespace));
        let end = length.map_or(argument.len(), |length| at + length);
        let word = argument.get(at..end).unwrap_or_default();
        let mut reached = end;
        match std::mem::take(&mut waits) {
            Next::Value if !word.starts_with(b"-") => {
                let value = value(argument, at, end, false);
                reached = reached.max(value.end);
                found.extend((!value.is_empty()).then_some(value));
            }
            Next::User => found.extend(password_of(word, at)),
            _ => {
                // All of what an option of its own holds belongs to it, blanks too.
                let is_whole = at == 0 && word.starts_with(b"-");
                let limit = if is_whole { argument.len() } else { end };
                waits = in_word(argument, at..end, limit, &mut found);
                if let Some(last) = found.last() {
                    reached = reached.max(last.end);
                }
            }
        }
        at = reached.max(at + 1);
    }
    *next = waits;
    found
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// A value that begins at `start`: up to `limit`, or to the quote that closes it, or, among others of its kind, to what
/// separates them.
fn value(text: &[u8], start: usize, limit: usize, among: bool) -> Range<usize> {
    if let Some(quote @ (b'"' | b'\'')) = text.get(start).copied() {
        let inner = start + 1;
        let length = text
            .get(inner..)
            .and_then(|rest| rest.iter().position(|byte| *byte == quote));
        return inner..length.map_or(text.len(), |length| inner + length);
    }
    let rest = text.get(start..limit).unwrap_or_default();
    let stop = |byte: &u8| among && matches!(byte, b'&' | b';' | b',' | b'"' | b'\'' | b'}' | b')' | b']');
    let mut end = rest.iter().position(stop).unwrap_or(rest.len());
    // In a script, what ends a command is no part of its last word.
    if text.iter().any(u8::is_ascii_whitespace) && !text.starts_with(b"-") {
        let ends = |byte: &&u8| matches!(byte, b';' | b'&' | b'|' | b')');
        end -= rest
            .get(..end)
            .unwrap_or_default()
            .iter()
            .rev()
            .take_while(ends)
            .count();
    }
    start..start + end
}

/// Secrets of one word, and what it says of the next.
fn in_word(text: &[u8], word: Range<usize>, limit: usize, found: &mut Vec<Range<usize>>) -> Next {
    let bytes = text.get(word.clone()).unwrap_or_default();
    let dashes = bytes.iter().take_while(|byte| **byte == b'-').count();
    let name = bytes.get(dashes..).unwrap_or_default();
    if dashes > 0 && name.iter().all(|byte| is_name(*byte)) {
        if is_secret_name(name) {
            return Next::Value;
        }
        if matches!(name, b"u" | b"user" | b"proxy-user") {
            return Next::User;
        }
    }
    // `Authorization: Bearer …`: the rest of the text belongs to it.
    if let Some(colon) = bytes.iter().position(|byte| *byte == b':') {
        let header = bytes.get(..colon).unwrap_or_default();
        let header = header
            .rsplit(|byte| matches!(byte, b'"' | b'\''))
            .next()
            .unwrap_or(header);
        let is_header = header.contains(&b'-') || header.eq_ignore_ascii_case(b"authorization");
        if !header.starts_with(b"-")
            && is_header
            && header.iter().all(|byte| is_name(*byte))
            && is_secret_name(header)
        {
            let mut start = word.start + colon + 1;
            while text.get(start).is_some_and(u8::is_ascii_whitespace) {
                start += 1;
            }
            let quoted = bytes.iter().take(colon).any(|byte| matches!(byte, b'"' | b'\''));
            let rest = text.get(start..).unwrap_or_default();
            let end = rest
                .iter()
                .position(|byte| quoted && matches!(byte, b'"' | b'\''));
            let end = end.map_or(text.len(), |end| start + end);
            found.extend((end > start).then_some(start..end));
            return Next::Plain;
        }
    }
    let mut at = word.start;
    while at < word.end {
        if text
            .get(at..word.end)
            .is_some_and(|rest| rest.starts_with(b"://"))
        {
            let password = in_url(text, at + 3, word.end);
            if let Some(password) = password {
                at = password.end;
                found.push(password);
                continue;
            }
        }
        if text.get(at) == Some(&b'=') {
            let before = text.get(word.start..at).unwrap_or_default();
            let length = before.iter().rev().take_while(|byte| is_name(**byte)).count();
            let start = at - length;
            let name = text.get(start..at).unwrap_or_default();
            if is_secret_name(name) {
                let is_first = start == word.start;
                let value = value(text, at + 1, if is_first { limit } else { word.end }, !is_first);
                at = value.end.max(at + 1);
                found.extend((!value.is_empty()).then_some(value));
                continue;
            }
        }
        at += 1;
    }
    Next::Plain
}

/// The password of a URL, whose part behind `://` begins at `start`.
fn in_url(text: &[u8], start: usize, limit: usize) -> Option<Range<usize>> {
    let rest = text.get(start..limit)?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b',' | b'<' | b'>'));
    let authority = rest.get(..end.unwrap_or(rest.len()))?;
    let at = authority.iter().rposition(|byte| *byte == b'@')?;
    let user = authority.get(..at)?;
    match user.iter().position(|byte| *byte == b':') {
        Some(colon) if colon + 1 < at => Some(start + colon + 1..start + at),
        None if user.len() >= TOKEN_LENGTH => Some(start..start + at),
        _ => None,
    }
}

/// The second half of `user:password`, which begins at `start`; two numbers are a user and a group.
fn password_of(word: &[u8], start: usize) -> Option<Range<usize>> {
    let colon = word.iter().position(|byte| *byte == b':')?;
    let is_number = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let (user, password) = (word.get(..colon)?, word.get(colon + 1..)?);
    if password.is_empty() || (is_number(user) && is_number(password)) {
        return None;
    }
    Some(start + colon + 1..start + word.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(arguments: &[&str]) -> Vec<String> {
        let masker = Masker::with_key([7; 32]);
        let mut list: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        masker.arguments(&mut list, Place::Exec);
        // A tag is as good as another here.
        list.iter()
            .map(|text| {
                let mut out = String::new();
                let mut rest = text.as_str();
                while let Some((start, after)) = rest.split_once("<secret:") {
                    let (tag, end) = after.split_once('>').unwrap();
                    let (length, hash) = tag.split_once(':').unwrap();
                    assert_eq!(hash.len(), 2 * TAG);
                    out.push_str(&format!("{start}<{length}>"));
                    rest = end;
                }
                out + rest
            })
            .collect()
    }

    fn one(argument: &str) -> String {
        masked(&[argument]).remove(0)
    }

    #[test]
    fn options_variables_and_urls() {
        assert_eq!(
            masked(&["mysql", "--password", "hunter2", "db"]),
            ["mysql", "--password", "<7>", "db"]
        );
        assert_eq!(masked(&["x", "--password", "-v"]), ["x", "--password", "-v"]);
        assert_eq!(one("--password=two words"), "--password=<9>");
        assert_eq!(one("--token=a&b"), "--token=<3>");
        assert_eq!(one("PGPASSWORD=x"), "PGPASSWORD=<1>");
        assert_eq!(
            one("AWS_SECRET_ACCESS_KEY=abc/def+=="),
            "AWS_SECRET_ACCESS_KEY=<10>"
        );
        assert_eq!(one("-Ddb.password=x"), "-Ddb.password=<1>");
        assert_eq!(one("postgres://me:pw@db:5432/x"), "postgres://me:<2>@db:5432/x");
        assert_eq!(
            one("https://ghp_0123456789abcdefghij@host/x"),
            "https://<24>@host/x"
        );
        assert_eq!(one("https://me@host/x"), "https://me@host/x");
        assert_eq!(
            one("http://h/x?user=a&password=b&c=d"),
            "http://h/x?user=a&password=<1>&c=d"
        );
        assert_eq!(masked(&["curl", "-u", "me:pw"]), ["curl", "-u", "me:<2>"]);
        assert_eq!(
            masked(&["docker", "run", "-u", "1000:1000"]),
            ["docker", "run", "-u", "1000:1000"]
        );
        assert_eq!(
            masked(&["curl", "-H", "Authorization: Bearer abc def"])[2],
            "Authorization: <14>"
        );
        assert_eq!(one("X-Api-Key:abc"), "X-Api-Key:<3>");
    }

    #[test]
    fn scripts_are_texts_of_words() {
        assert_eq!(
            one("export TOKEN=abc; mysql --password hunter2 -h db"),
            "export TOKEN=<3>; mysql --password <7> -h db"
        );
        assert_eq!(one("PASS='a b' run"), "PASS='<3>' run");
        assert_eq!(
            one("curl -H 'Authorization: Bearer abc' http://x"),
            "curl -H 'Authorization: <10>' http://x"
        );
        assert_eq!(
            one("host=db password=x dbname=y"),
            "host=db password=<1> dbname=y"
        );
    }

    #[test]
    fn what_is_no_secret_stays() {
        for same in [
            "",
            "-",
            "=",
            "--",
            "a=b",
            "--author=Me",
            "--password",
            "PASSWORD=",
            "sh",
            "/run/secrets/x",
            "http://host/",
            "://",
            "a:b@c",
        ] {
            assert_eq!(one(same), same);
        }
    }

    #[test]
    fn equal_secrets_have_equal_tags_of_one_key() {
        let (one, two) = (Masker::with_key([1; 32]), Masker::with_key([2; 32]));
        assert_eq!(one.tag(b"x"), one.tag(b"x"));
        assert_ne!(one.tag(b"x"), one.tag(b"y"));
        assert_ne!(one.tag(b"x"), two.tag(b"x"));
        let in_list = one.strings(b"a\0--password\0hunter2\0", Place::Exec).unwrap();
        let expected = format!("a\0--password\0{}\0", one.tag(b"hunter2"));
        assert_eq!(in_list, expected.as_bytes());
        assert_eq!(one.strings(b"a\0b\0", Place::Exec), None);
        assert_eq!(one.strings(b"", Place::Exec), None);
        // What was cut has no NUL at its end.
        assert!(one.strings(b"--token=abc", Place::Exec).unwrap().ends_with(b">"));
    }

    #[test]
    fn the_hash_is_the_standards() {
        // RFC 4231, test case 2, has a short key: here it is padded to 32 bytes with zeros, which HMAC does too.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let hash = keyed_hash(&key, b"what do ya want for nothing?");
        assert_eq!(hash[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }

    proptest::proptest! {
        #[test]
        fn any_argument_is_taken(
            arguments in proptest::collection::vec("[-a=:@/ '\"KEYpasswd&;]{0,24}", 0..4),
        ) {
            let masker = Masker::with_key([3; 32]);
            let mut next = Next::Plain;
            for argument in &arguments {
                let before = secrets(argument.as_bytes(), &mut next.clone());
                let mut end = 0;
                for range in &before {
                    proptest::prop_assert!(range.start >= end && range.end > range.start && range.end <= argument.len());
                    end = range.end;
                }
                masker.argument(argument.as_bytes(), &mut next);
            }
        }
    }
}
