//! Events as comma-separated values (RFC 4180): a line an event, a column a field of the field table.
//!
//! Spreadsheets run text that begins with `=`, `+`, `-` or `@` as a formula, and a bundle's text may come from an
//! attacker: such text gets an apostrophe in front. Control characters and bytes that are not UTF-8 are escaped.

use super::Exported;
use crate::field::{self, FieldError, FieldRef};
use crate::question::Scope;
use crate::timeline::{Item, Timeline};
use crate::value::Value;
use crate::view::{Context, View};
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;

/// The columns when none are named.
pub const FIELDS: &str = "evt.num,evt.time,evt.stream,evt.type,container.name,proc.pid,thread.tid,proc.name,\
fd.num,fd.name,fs.path.name,evt.res,evt.rawres,evt.latency,evt.buflen,blk.devname,blk.op,blk.sector,blk.bytes,\
blk.latency,blk.error,pkt.interface,pkt.proto,ip.src,ip.dst,pkt.len,loss.stream,loss.count";

/// Reads names of fields, with commas between them.
///
/// # Errors
/// When one is no field.
pub fn fields(names: &str) -> Result<Vec<FieldRef>, FieldError> {
    names.split(',').map(|name| field::find(name.trim())).collect()
}

/// Writes a head line and a line for every event of the scope.
///
/// # Errors
/// When the output fails.
pub fn write<R: Read + Seek>(
    timeline: &mut Timeline<R>,
    context: &Context,
    fields: &[FieldRef],
    scope: &Scope,
    out: &mut dyn Write,
) -> io::Result<Exported> {
    let mut exported = Exported::default();
    let mut line = String::new();
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            line.push(',');
        }
        push(&mut line, &crate::escape::line(&field.to_string()), false);
    }
    line.push_str("\r\n");
    out.write_all(line.as_bytes())?;
    timeline.each(&scope.range, |item| {
        match item {
            Item::Event(event) if scope.filter.is_all() || scope.filter.matches(event, context) => {
                let view = View::new(event, context);
                line.clear();
                for (index, field) in fields.iter().enumerate() {
                    if index > 0 {
                        line.push(',');
                    }
                    match field.get(&view) {
                        // Programs add these up.
                        Some(Value::Duration(nanoseconds)) => line.push_str(&nanoseconds.to_string()),
                        Some(value) => {
                            let is_text = matches!(value, Value::Text(_) | Value::Any(_));
                            push(&mut line, &value.to_text(), is_text);
                        }
                        None => {}
                    }
                }
                line.push_str("\r\n");
                out.write_all(line.as_bytes())?;
                exported.items += 1;
            }
            Item::Event(_) => {}
            Item::Damage(damage) => exported.damages.push(damage.clone()),
        }
        Ok::<_, io::Error>(ControlFlow::Continue(()))
    })?;
    Ok(exported)
}

/// A value, in quotes where it needs them.
fn push(line: &mut String, text: &str, is_text: bool) {
    let guard = is_text && text.starts_with(['=', '+', '-', '@']);
    if !guard && !text.contains([',', '"', '\r', '\n']) {
        line.push_str(text);
        return;
    }
    line.push('"');
    if guard {
        line.push('\'');
    }
    for character in text.chars() {
        if character == '"' {
            line.push('"');
        }
        line.push(character);
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(text: &str, is_text: bool) -> String {
        let mut line = String::new();
        push(&mut line, text, is_text);
        line
    }

    #[test]
    fn quotes_stand_where_rfc_4180_wants_them_and_formulas_are_text() {
        assert_eq!(pushed("plain", true), "plain");
        assert_eq!(pushed("a,b", true), "\"a,b\"");
        assert_eq!(pushed("say \"x\"", true), "\"say \"\"x\"\"\"");
        assert_eq!(pushed("=cmd|' /C calc'!A0", true), "\"'=cmd|' /C calc'!A0\"");
        assert_eq!(pushed("-2", false), "-2");
    }

    #[test]
    fn the_fields_that_stand_for_none_exist() {
        assert!(fields(FIELDS).unwrap().len() > 20);
        assert!(fields("evt.num,evt.nmu").is_err());
    }
}
