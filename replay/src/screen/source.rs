//! One open file that several threads read, each at its own place.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A handle of a file that is shared. A bundle that came through a pipe has no name to be opened by again.
#[derive(Debug)]
pub struct Source {
    file: Arc<Mutex<File>>,
    at: u64,
}

impl Source {
    /// The only handle so far.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self {
            file: Arc::new(Mutex::new(file)),
            at: 0,
        }
    }

    /// The file's length now.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn length(&self) -> io::Result<u64> {
        Ok(self.file().metadata()?.len())
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for Source {
    fn clone(&self) -> Self {
        Self {
            file: Arc::clone(&self.file),
            at: 0,
        }
    }
}

impl Read for Source {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = {
            let mut file = self.file();
            file.seek(SeekFrom::Start(self.at))?;
            file.read(bytes)?
        };
        self.at = self.at.saturating_add(read as u64);
        Ok(read)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.length()?.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn handles_do_not_move_each_other() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut one = Source::new(file);
        let mut other = one.clone();
        let mut bytes = [0; 3];
        one.seek(SeekFrom::Start(2)).unwrap();
        one.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"234");
        other.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"012");
        one.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"567");
        assert_eq!(other.seek(SeekFrom::End(-1)).unwrap(), 9);
        assert_eq!(one.length().unwrap(), 10);
    }
}
