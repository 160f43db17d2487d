//! Ids that are strings, as Arrow holds them: string i is `bytes[offsets[i]..offsets[i + 1]]`.

use crate::error::{Error, Result};
use rayon::prelude::*;
use std::cmp::Ordering;

/// Strings that are worth a thread.
const MIN_STRINGS: usize = 1 << 13;

/// Strings in one run of bytes. Nothing is assumed of the offsets: they may come from a file that nobody checked.
#[derive(Clone, Copy)]
pub struct Strings<'a> {
    /// One more than there are strings.
    pub offsets: &'a [i64],
    /// In UTF-8.
    pub bytes: &'a [u8],
}

/// What keeps strings from being ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// The offsets of this string lie outside the bytes, or fall.
    Offsets(usize),
    /// This string is not UTF-8.
    Utf8(usize),
    /// This string is not above the one before it.
    Order(usize),
}

impl<'a> Strings<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn get(&self, at: usize) -> Option<&'a [u8]> {
        let start = usize::try_from(*self.offsets.get(at)?).ok()?;
        let end = usize::try_from(*self.offsets.get(at + 1)?).ok()?;
        self.bytes.get(start..end)
    }

    fn flaw(&self, at: usize) -> Option<Flaw> {
        let Some(own) = self.get(at) else {
            return Some(Flaw::Offsets(at));
        };
        if std::str::from_utf8(own).is_err() {
            return Some(Flaw::Utf8(at));
        }
        // UTF-8 sorts as code points do. A flaw of the one before is found at its own place.
        let falls = at > 0 && self.get(at - 1).is_some_and(|before| before >= own);
        falls.then_some(Flaw::Order(at))
    }

    /// The first flaw of these strings as ids: in bounds, UTF-8, strictly ascending.
    pub fn first_flaw(&self) -> Option<Flaw> {
        (0..self.len()).into_par_iter().with_min_len(MIN_STRINGS).find_map_first(|at| self.flaw(at))
    }

    /// The place of each wanted string among these, which ascend; -1 where it is not.
    pub fn find(&self, wanted: Strings<'_>) -> Result<Vec<i32>> {
        if self.len() > i32::MAX as usize {
            return Err(Error::shape("ids", format!("must be at most {} strings", i32::MAX), self.len()));
        }
        let find = |at: usize| match wanted.get(at) {
            Some(text) => Ok(self.place(text)),
            None => Err(Error::layout("values", "strings must lie within the bytes", ()).at("position", at)),
        };
        if Self::is_few(wanted.len()) {
            return (0..wanted.len()).map(find).collect();
        }
        (0..wanted.len()).into_par_iter().with_min_len(MIN_STRINGS).map(find).collect()
    }

    /// Are they so few that [`Strings::find`] needs no thread pool for them?
    pub fn is_few(wanted: usize) -> bool {
        wanted < MIN_STRINGS
    }

    fn place(&self, text: &[u8]) -> i32 {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).map_or(Ordering::Less, |id| id.cmp(text)) {
                Ordering::Equal => return middle as i32,
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        -1
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn strings<'a>(texts: &[&str], offsets: &'a mut Vec<i64>, bytes: &'a mut Vec<u8>) -> Strings<'a> {
        offsets.push(0);
        for text in texts {
            bytes.extend_from_slice(text.as_bytes());
            offsets.push(bytes.len() as i64);
        }
        Strings { offsets, bytes }
    }

    #[test]
    fn finds_what_is_there() {
        let texts: Vec<String> = (0..30_000).map(|i| format!("é{:06}", i * 3)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (mut offsets, mut bytes, mut o, mut b) = (vec![], vec![], vec![], vec![]);
        let ids = strings(&texts, &mut offsets, &mut bytes);
        assert_eq!(ids.first_flaw(), None);
        let wanted = strings(&["é000003", "", "é000004", "é089997", "zebra"], &mut o, &mut b);
        assert_eq!(ids.find(wanted).unwrap(), [1, -1, -1, 29_999, -1]);
        assert_eq!(ids.find(ids).unwrap(), (0..30_000).collect::<Vec<i32>>());
        assert_eq!(Strings { offsets: &[], bytes: &[] }.find(wanted).unwrap(), [-1; 5]);
    }

    #[test]
    fn names_the_first_flaw() {
        let flaw = |offsets: &[i64], bytes: &[u8]| Strings { offsets, bytes }.first_flaw();
        assert_eq!(flaw(&[0, 1, 2, 3], b"abc"), None);
        assert_eq!(flaw(&[0, 1, 2, 3], b"aab"), Some(Flaw::Order(1)));
        assert_eq!(flaw(&[0, 1, 2, 3], b"cba"), Some(Flaw::Order(1)));
        assert_eq!(flaw(&[0, 1, 3], b"a\xff\xfe"), Some(Flaw::Utf8(1)));
        assert_eq!(flaw(&[0, 2, 1], b"ab"), Some(Flaw::Offsets(1)));
        assert_eq!(flaw(&[0, 1, 9], b"ab"), Some(Flaw::Offsets(1)));
        assert_eq!(flaw(&[-1, 1, 2], b"ab"), Some(Flaw::Offsets(0)));
        assert_eq!(flaw(&[i64::MIN, i64::MAX], b"ab"), Some(Flaw::Offsets(0)));
        assert_eq!(flaw(&[0, 0, 0], b""), Some(Flaw::Order(1)));
    }

    #[test]
    fn damaged_labels_find_nothing_or_something_but_do_not_panic() {
        let damaged = Strings { offsets: &[5, -3, i64::MAX, 2, 0, 1], bytes: b"ab" };
        let wanted = Strings { offsets: &[0, 1, 2], bytes: b"ab" };
        assert_eq!(damaged.find(wanted).unwrap().len(), 2);
        let outside = Strings { offsets: &[0, 9], bytes: b"ab" };
        assert!(damaged.find(outside).is_err());
    }
}
