//! A tar archive (POSIX ustar) of a few small texts: the one form that every machine can open without our help.

/// One file of an archive.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its path, ASCII, at most 100 bytes.
    pub name: String,
    /// What it is for, in the list that is shown.
    pub about: &'static str,
    /// What is in it.
    pub text: String,
}

/// Size of the blocks that an archive consists of.
const BLOCK: usize = 512;

/// The archive; `time` is the Unix time that all members have.
pub fn archive(members: &[Member], time: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for member in members {
        let mut head = Vec::with_capacity(BLOCK);
        let mut field = |text: &str, size: usize| {
            let bytes = text.as_bytes();
            head.extend(bytes.iter().take(size));
            head.extend(std::iter::repeat_n(0, size.saturating_sub(bytes.len())));
        };
        field(&member.name, 100);
        field("0000600", 8);
        field("0000000", 8);
        field("0000000", 8);
        field(&format!("{:011o}", member.text.len()), 12);
        field(&format!("{time:011o}"), 12);
        // The sum is made as if it consisted of blanks.
        field("        ", 8);
        field("0", 1);
        field("", 100);
        field("ustar\0", 6);
        field("00", 2);
        field("", 247);
        let sum: u32 = head.iter().copied().map(u32::from).sum();
        let (front, back) = head.split_at(148);
        out.extend_from_slice(front);
        out.extend_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend(back.iter().skip(8));
        out.extend_from_slice(member.text.as_bytes());
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_a_head_and_whole_blocks() {
        let made = archive(&[Member { name: "a.txt".to_owned(), about: "", text: "x".repeat(513) }], 8);
        assert_eq!(made.len(), BLOCK * (1 + 2 + 2));
        assert_eq!(
            (&made[..5], &made[124..135], &made[136..147], &made[257..263]),
            (&b"a.txt"[..], &b"00000001001"[..], &b"00000000010"[..], &b"ustar\0"[..])
        );
        let sum: u32 = made[..BLOCK].iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) }).sum();
        assert_eq!(&made[148..156], format!("{sum:06o}\0 ").as_bytes());
    }
}
