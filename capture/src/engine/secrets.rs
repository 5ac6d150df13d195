//! Masking secrets in the engine's JSON without touching any other byte.
//!
//! The reply is evidence, so it is not parsed and written again: a scanner finds where the strings lie that hold a
//! secret, and only those bytes change. All values of `Config.Env` (and `ContainerConfig.Env`, which images of older
//! engines have) count as secret, labels with a secret's name, and what [`crate::secrets`] finds in commands.

use crate::secrets::{Masker, Next, is_secret_name, masker};
use serde::de::IgnoredAny;
use std::ops::Range;

/// Nesting that no reply of an engine comes near.
const DEPTH_LIMIT: usize = 128;

/// A reply whose values are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked {
    /// The reply.
    pub bytes: Vec<u8>,
    /// JSON pointers (RFC 6901) to the strings that were changed, in the order of the reply. A key that occurs
    /// twice gives the same pointer twice.
    pub pointers: Vec<String>,
}

/// Why a reply could not be masked.
#[derive(Debug, thiserror::Error)]
pub enum MaskError {
    /// It is no JSON.
    #[error("it is no JSON, so values in it cannot be masked: {0}")]
    Json(#[from] serde_json::Error),
    /// It is nested deeper than is looked.
    #[error("it is nested deeper than {DEPTH_LIMIT} levels, so values in it cannot be masked")]
    TooDeep,
}

/// Masks the values of environment variables in `json`, the reply to inspect of a container or an image.
///
/// Of `NAME=value` the name stays and the value becomes a tag, an empty one too; a name without `=` carries no
/// value and stays. Strings below `Env` where the API has none are masked whole. Keys are matched without regard
/// to case, as the engine's own decoder does, and every one of a repeated key counts.
///
/// # Errors
/// [`MaskError`] when the bytes are no JSON or nested too deep; the caller should then not keep them.
pub fn mask_env(json: &[u8]) -> Result<Masked, MaskError> {
    mask_json(json, masker())
}

/// The same with a given key.
pub(crate) fn mask_json(json: &[u8], masker: &Masker) -> Result<Masked, MaskError> {
    // The scanner below is lenient; this is what makes it right.
    serde_json::from_slice::<IgnoredAny>(json)?;
    let mut scan = Scan {
        json,
        masker,
        at: 0,
        next: Next::Plain,
        path: Vec::new(),
        edits: Vec::new(),
    };
    scan.value(Place::Root)?;
    let mut bytes = Vec::with_capacity(json.len());
    let mut pointers = Vec::with_capacity(scan.edits.len());
    let mut copied = 0;
    for (range, value, pointer) in scan.edits {
        bytes.extend_from_slice(json.get(copied..range.start).unwrap_or_default());
        bytes.extend_from_slice(&value);
        copied = range.end;
        pointers.push(pointer);
    }
    bytes.extend_from_slice(json.get(copied..).unwrap_or_default());
    Ok(Masked { bytes, pointers })
}

/// Where a value stands, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The whole reply.
    Root,
    /// The value of `Config` or `ContainerConfig` at the top.
    Config,
    /// The value of its `Env`.
    Env,
    /// An element of that array.
    Entry,
    /// Anything else below `Env`.
    Inside,
    /// An object of labels, or of what an event says of itself.
    Labels,
    /// The value of a label with a secret's name.
    Label,
    /// Anywhere else.
    Elsewhere,
}

impl Place {
    fn of_member(self, key: &str) -> Self {
        let is = |name: &str| key.eq_ignore_ascii_case(name);
        match self {
            Self::Root if is("Config") || is("ContainerConfig") => Self::Config,
            Self::Config if is("Env") => Self::Env,
            Self::Env | Self::Entry | Self::Inside => Self::Inside,
            Self::Labels if is_secret_name(key.as_bytes()) => Self::Label,
            _ if is("Labels") || is("Annotations") || is("Attributes") => Self::Labels,
            _ => Self::Elsewhere,
        }
    }

    fn of_element(self) -> Self {
        match self {
            Self::Env => Self::Entry,
            Self::Entry | Self::Inside => Self::Inside,
            _ => Self::Elsewhere,
        }
    }
}

/// Walks over JSON that is known to be well formed.
struct Scan<'a> {
    json: &'a [u8],
    masker: &'a Masker,
    at: usize,
    /// What the string before, in the same list, leads to expect.
    next: Next,
    /// Keys and indices that lead to the value at hand.
    path: Vec<String>,
    /// Bytes to replace, in order, by what, with the pointer to their string.
    edits: Vec<(Range<usize>, Vec<u8>, String)>,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, place: Place) -> Result<(), MaskError> {
        if self.path.len() > DEPTH_LIMIT {
            return Err(MaskError::TooDeep);
        }
        self.space();
        if self.peek() != Some(b'"') {
            self.next = Next::Plain;
        }
        match self.peek() {
            Some(b'{') => self.object(place)?,
            Some(b'[') => self.array(place)?,
            Some(b'"') => {
                let content = self.string();
                self.mask(place, content);
            }
            _ => {
                while !matches!(
                    self.peek(),
                    None | Some(b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r')
                ) {
                    self.at += 1;
                }
            }
        }
        self.space();
        Ok(())
    }

    fn object(&mut self, place: Place) -> Result<(), MaskError> {
        self.at += 1;
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                self.at += 1; // the closing brace of an empty object
                return Ok(());
            }
            let start = self.at;
            self.string();
            let token = self.json.get(start..self.at).unwrap_or_default();
            // Escapes count: "\u0045nv" is Env to whoever reads the reply.
            let key = serde_json::from_slice::<String>(token)
                .unwrap_or_else(|_| String::from_utf8_lossy(token).into_owned());
            self.space();
            self.at += 1; // the colon
            let inner = place.of_member(&key);
            self.path.push(key);
            self.next = Next::Plain;
            self.value(inner)?;
            self.next = Next::Plain;
            self.path.pop();
            let more = self.peek() == Some(b',');
            self.at += 1;
            if !more {
                return Ok(());
            }
        }
    }

    fn array(&mut self, place: Place) -> Result<(), MaskError> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        let mut index = 0_usize;
        loop {
            self.path.push(index.to_string());
            self.value(place.of_element())?;
            self.path.pop();
            index += 1;
            let more = self.peek() == Some(b',');
            self.at += 1;
            if !more {
                return Ok(());
            }
        }
    }

    /// Steps over a string; the range between its quotes.
    fn string(&mut self) -> Range<usize> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'\\') => self.at += 2,
                Some(b'"') => {
                    self.at += 1;
                    return start..self.at - 1;
                }
                None => return start..self.json.len(),
                Some(_) => self.at += 1,
            }
        }
    }

    fn mask(&mut self, place: Place, content: Range<usize>) {
        let range = match place {
            Place::Entry => {
                let bytes = self.json.get(content.clone()).unwrap_or_default();
                match after_equals(bytes) {
                    Some(offset) => content.start + offset..content.end,
                    None => return,
                }
            }
            Place::Env | Place::Inside | Place::Label => content,
            _ => return self.mask_text(content),
        };
        let tag = self.masker.tag(&self.decoded(range.clone()));
        self.edits.push((range, tag.into_bytes(), pointer(&self.path)));
    }

    /// A text that may be a command, or a word of one.
    fn mask_text(&mut self, content: Range<usize>) {
        let text = self.decoded(content.clone());
        let Some((masked, _)) = self.masker.argument(&text, &mut self.next) else {
            return;
        };
        let Ok(encoded) = serde_json::to_vec(&String::from_utf8_lossy(&masked)) else {
            return;
        };
        let inner = encoded
            .get(1..encoded.len().saturating_sub(1))
            .unwrap_or_default();
        self.edits.push((content, inner.to_vec(), pointer(&self.path)));
    }

    /// What a part of a string means; the part itself where it is no string of its own.
    fn decoded(&self, content: Range<usize>) -> Vec<u8> {
        let bytes = self.json.get(content).unwrap_or_default();
        if !bytes.contains(&b'\\') {
            return bytes.to_vec();
        }
        let quoted = [b"\"", bytes, b"\""].concat();
        serde_json::from_slice::<String>(&quoted).map_or_else(|_| bytes.to_vec(), String::into_bytes)
    }
}

/// The offset behind the first `=` of a JSON string's content, which may be written `\u003d`.
fn after_equals(content: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match content.get(at)? {
            b'=' => return Some(at + 1),
            b'\\' => {
                let escape = content.get(at + 1..at + 6).unwrap_or_default();
                if escape.eq_ignore_ascii_case(b"u003d") {
                    return Some(at + 6);
                }
                at += 2;
            }
            _ => at += 1,
        }
    }
}

fn pointer(path: &[String]) -> String {
    let mut text = String::new();
    for part in path {
        text.push('/');
        text.push_str(&part.replace('~', "~0").replace('/', "~1"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result as text, and its pointers.
    fn masked(json: &str) -> (String, Vec<String>) {
        let out = mask_json(json.as_bytes(), &Masker::with_key([5; 32])).unwrap();
        serde_json::from_slice::<serde_json::Value>(&out.bytes).unwrap();
        // A tag is as good as another here.
        let text = String::from_utf8(out.bytes).unwrap();
        let mut pieces = text.split("<secret:");
        let mut shown = pieces.next().unwrap().to_owned();
        for piece in pieces {
            let (_, end) = piece.split_once('>').unwrap();
            shown.push_str("***");
            shown.push_str(end);
        }
        (shown, out.pointers)
    }

    #[test]
    fn only_the_values_change() {
        let (text, pointers) = masked(
            "{ \"Id\" : \"x=1\",\n\"Config\":\t{\"Cmd\":[\"A=b\"],\"Env\" : [ \"PATH=/bin\" , \"TOKEN=a=b\\\"c\" ] , \"Tty\":false}, \"n\":1.50e+3 }\n",
        );
        assert_eq!(
            text,
            "{ \"Id\" : \"x=1\",\n\"Config\":\t{\"Cmd\":[\"A=b\"],\"Env\" : [ \"PATH=***\" , \"TOKEN=***\" ] , \"Tty\":false}, \"n\":1.50e+3 }\n"
        );
        assert_eq!(pointers, ["/Config/Env/0", "/Config/Env/1"]);
    }

    #[test]
    fn escapes_hide_nothing() {
        let (text, pointers) = masked(
            r#"{"\u0043onfig":{"E\u006ev":["A\u003dsecret","B\\u003d=s","\"=\\","\u00e9\ud83d\ude00=x"]}}"#,
        );
        assert_eq!(
            text,
            r#"{"\u0043onfig":{"E\u006ev":["A\u003d***","B\\u003d=***","\"=***","\u00e9\ud83d\ude00=***"]}}"#
        );
        assert_eq!(pointers.len(), 4);
        assert_eq!(pointers[0], "/Config/Env/0");
    }

    #[test]
    fn every_one_of_a_repeated_key_is_masked_in_any_case() {
        let (text, pointers) = masked(r#"{"Config":{"Env":["A=1"],"Env":["B=2"]},"config":{"ENV":["C=3"]}}"#);
        assert_eq!(
            text,
            r#"{"Config":{"Env":["A=***"],"Env":["B=***"]},"config":{"ENV":["C=***"]}}"#
        );
        assert_eq!(pointers, ["/Config/Env/0", "/Config/Env/0", "/config/ENV/0"]);
    }

    #[test]
    fn both_configs_of_an_image_are_masked() {
        let (text, _) =
            masked(r#"{"ContainerConfig":{"Env":["A=1"]},"Config":{"Env":["B=2"]},"Other":{"Env":["C=3"]}}"#);
        assert_eq!(
            text,
            r#"{"ContainerConfig":{"Env":["A=***"]},"Config":{"Env":["B=***"]},"Other":{"Env":["C=3"]}}"#
        );
    }

    #[test]
    fn a_name_without_value_stays_and_an_empty_value_does_not_show() {
        let (text, pointers) = masked(r#"{"Config":{"Env":["NAME","EMPTY=","","=x"]}}"#);
        assert_eq!(text, r#"{"Config":{"Env":["NAME","EMPTY=***","","=***"]}}"#);
        assert_eq!(pointers, ["/Config/Env/1", "/Config/Env/3"]);
    }

    #[test]
    fn an_env_of_another_shape_is_masked_whole() {
        let (text, pointers) =
            masked(r#"{"Config":{"Env":{"A/b~":"1","B":["x","y=z",{"q":"r"}]}},"config":{"env":"A=1"}}"#);
        assert_eq!(
            text,
            r#"{"Config":{"Env":{"A/b~":"***","B":["***","***",{"q":"***"}]}},"config":{"env":"***"}}"#
        );
        assert_eq!(pointers[0], "/Config/Env/A~1b~0");
        assert_eq!(pointers[3], "/Config/Env/B/2/q");
    }

    #[test]
    fn commands_and_labels_are_masked_where_they_hold_secrets() {
        let (text, pointers) = masked(
            r#"{"Args":["--password","hun\"ter","db"],"Config":{"Cmd":["sh","-c","mysql --token=abc -x"],"Labels":{"API_KEY":"x","a":"b"}},"Attributes":{"execCommand":"curl http://me:pw@h/"},"Action":"exec_start: x --password y"}"#,
        );
        assert_eq!(
            text,
            r#"{"Args":["--password","***","db"],"Config":{"Cmd":["sh","-c","mysql --token=*** -x"],"Labels":{"API_KEY":"***","a":"b"}},"Attributes":{"execCommand":"curl http://me:***@h/"},"Action":"exec_start: x --password ***"}"#
        );
        assert_eq!(
            pointers,
            [
                "/Args/1",
                "/Config/Cmd/2",
                "/Config/Labels/API_KEY",
                "/Attributes/execCommand",
                "/Action"
            ]
        );
    }

    #[test]
    fn equal_values_have_equal_tags_however_they_are_written() {
        let masker = Masker::with_key([5; 32]);
        let out = mask_json(br#"{"Config":{"Env":["A=\u0041b","B=Ab"]}}"#, &masker).unwrap();
        let tag = masker.tag(b"Ab");
        assert_eq!(
            String::from_utf8(out.bytes).unwrap(),
            format!(r#"{{"Config":{{"Env":["A={tag}","B={tag}"]}}}}"#)
        );
    }

    #[test]
    fn env_deeper_or_at_the_top_is_not_meant() {
        let same = r#"{"Env":["A=1"],"HostConfig":{"Config":{"Env":["A=1"]}},"Config":{"Labels":{"Env":["A=1"]}},"e":{},"f":[]}"#;
        let (text, pointers) = masked(same);
        assert_eq!(text, same);
        assert!(pointers.is_empty());
    }

    #[test]
    fn null_and_empty_are_fine() {
        for same in [
            r#"{"Config":null}"#,
            r#"{"Config":{"Env":null}}"#,
            r#"{"Config":{"Env":[]}}"#,
            r#"{"Config":{"Env":[ ]}, "x":[{}, [ ], 1,true]}"#,
            "[]",
            "7",
            "\"Config\"",
        ] {
            assert_eq!(masked(same).0, same);
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for bad in [
            "",
            "{",
            r#"{"Config":{"Env":["A=1"}}"#,
            r#"{"Config":{"Env":["A=1]}}"#,
            "{} {}",
            "nul",
        ] {
            assert!(
                matches!(mask_env(bad.as_bytes()), Err(MaskError::Json(_))),
                "{bad}"
            );
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(mask_env(deep.as_bytes()).is_err());
    }
}
