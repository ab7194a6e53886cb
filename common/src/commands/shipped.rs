//! The rules, pages and dashboards that `common/embed.rs` packed into the program.

use std::io::Read as _;

/// What the build script has packed for this exporter.
#[macro_export]
macro_rules! shipped {
    () => {
        include_bytes!(concat!(env!("OUT_DIR"), "/shipped.gz"))
    };
}

/// A file: its path in the repository, and its text.
pub type File = (String, String);

/// Unpacks all files; those that are damaged end the list.
pub fn unpack(packed: &[u8]) -> Vec<File> {
    let mut text = String::new();
    // What could be read before an error is kept: the list is short then, and the commands say what they lack.
    let _ = flate2::read::GzDecoder::new(packed).read_to_string(&mut text);
    let (mut files, mut rest) = (Vec::new(), text.as_str());
    while let Some((head, body)) = rest.split_once('\n') {
        let Some((name, length)) = head.rsplit_once(' ') else { break };
        let Some((content, after)) = length.parse().ok().and_then(|length| body.split_at_checked(length)) else { break };
        files.push((name.to_owned(), content.to_owned()));
        rest = after;
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn files_come_out_as_they_went_in() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all("a b.yml 6\n1\n2é\nc.json 0\n".as_bytes()).unwrap();
        let packed = packer.finish().unwrap();
        assert_eq!(unpack(&packed), [("a b.yml".to_owned(), "1\n2é\n".to_owned()), ("c.json".to_owned(), String::new())]);
        assert!(unpack(b"no gzip").is_empty());
    }
}
