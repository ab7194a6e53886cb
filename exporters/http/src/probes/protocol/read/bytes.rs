//! Bytes that others wrote, taken from the front: numbers, texts, values of BSON, elements of BER (X.690).

use super::{MAX_ANSWER, Other};

/// Bytes that are taken from the front; none where they end.
#[derive(Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// So many.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of so many bytes, the highest first.
    pub fn number(&mut self, size: usize) -> Option<usize> {
        Some(self.take(size)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// A number of so many bytes, the lowest first.
    pub fn little(&mut self, size: usize) -> Option<usize> {
        Some(self.take(size)?.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Up to a zero, which is taken too.
    pub fn text(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|b| *b == 0)?;
        let text = self.take(end)?;
        self.take(1)?;
        Some(text)
    }
}

/// Takes one value of BSON.
pub fn bson_value(body: &mut Bytes<'_>, kind: usize) -> Option<()> {
    let size = match kind {
        0x01 | 0x09 | 0x11 | 0x12 => 8,
        0x02 => body.little(4)?,
        0x03 | 0x04 => body.little(4)?.checked_sub(4)?,
        0x05 => body.little(4)?.checked_add(1)?,
        0x07 => 12,
        0x08 => 1,
        0x0a => 0,
        0x10 => 4,
        0x13 => 16,
        _ => return None,
    };
    body.take(size).map(drop)
}

/// One element of BER: its tag and content. The length is that of short form or up to three bytes.
pub fn ber_element<'a>(b: &mut Bytes<'a>) -> Option<Result<(usize, Bytes<'a>), Other>> {
    let tag = b.number(1)?;
    let length = match b.number(1)? {
        short @ 0..=0x7f => short,
        long @ 0x81..=0x84 => b.number(long - 0x80)?,
        _ => return Some(Err(Other)),
    };
    if length > MAX_ANSWER {
        return Some(Err(Other));
    }
    Some(Ok((tag, Bytes(b.take(length)?))))
}
