//! A name server that knows one name.

use anyhow::{Context as _, Result};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A name server; it ends when this value goes.
#[derive(Debug)]
pub struct Resolver {
    address: Arc<Mutex<Ipv4Addr>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Resolver {
    /// Answers on port 53 of `own`: every name is at `address`, and at no IPv6 address.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(own: &str, address: &str) -> Result<Self> {
        let socket = UdpSocket::bind((own, 53)).with_context(|| format!("cannot listen on {own}:53"))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let address = Arc::new(Mutex::new(address.parse().context("no IPv4 address")?));
        let is_over = Arc::new(AtomicBool::new(false));
        let (known, over) = (Arc::clone(&address), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let mut query = [0; 1500];
            while !over.load(Ordering::Relaxed) {
                let (length, from) = match socket.recv_from(&mut query) {
                    Ok(got) => got,
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                        continue;
                    }
                    Err(_) => return,
                };
                let address = *known.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(answer) = query.get(..length).and_then(|query| answer(query, address)) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Ok(Self {
            address,
            is_over,
            thread: Some(thread),
        })
    }

    /// From now on the name is at another address.
    ///
    /// # Errors
    /// It is none.
    pub fn change(&self, address: &str) -> Result<()> {
        let address = address.parse().context("no IPv4 address")?;
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
        Ok(())
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The response to a query (RFC 1035, section 4.1): its question again, and for type A one address.
fn answer(query: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let mut end = 12;
    while *query.get(end)? != 0 {
        end += usize::from(*query.get(end)?) + 1;
    }
    let question = query.get(12..end + 5)?;
    let is_a = question.get(question.len() - 4..question.len() - 2)? == [0, 1];
    let mut out = query.get(..2)?.to_vec();
    // A response, authoritative, recursion wanted and to be had; one question.
    out.extend([0x85, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    out.extend(question);
    if is_a {
        // The question's name, type A, class IN, five seconds, four bytes.
        out.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
        out.extend(address.octets());
    }
    Some(out)
}
