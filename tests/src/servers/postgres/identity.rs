//! A system identifier of its own for a server that is copied from the template: two servers of one identifier are one
//! cluster, and primaries of one cluster are an alert. It stands in pg_control, under a checksum, and in the header of the
//! first WAL file. Source: PostgreSQL's own layout of both (pg_control.h, xlog_internal.h), the same in 13 to 18.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the first WAL file has the identifier: behind the short header of its first page.
const IN_WAL: usize = 24;

/// Gives the stopped server in `data` another identifier.
///
/// # Panics
/// When the files are not as expected.
pub fn renew(data: &Path) {
    let id = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let path = data.join("global/pg_control");
    let mut control = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let at = (128..512).find(|at| control[*at..at + 4] == crc32c(&control[..*at]).to_le_bytes()).expect("pg_control has a checksum");
    let old = control[..8].to_vec();
    control[..8].copy_from_slice(&id.to_le_bytes());
    let crc = crc32c(&control[..at]).to_le_bytes();
    control[at..at + 4].copy_from_slice(&crc);
    fs::write(&path, control).expect("pg_control is ours");
    let path = data.join("pg_wal/000000010000000000000001");
    let mut wal = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(wal[IN_WAL..IN_WAL + 8], old, "the WAL is of this cluster");
    wal[IN_WAL..IN_WAL + 8].copy_from_slice(&id.to_le_bytes());
    fs::write(&path, wal).expect("the WAL is ours");
}

/// CRC-32C (Castagnoli), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(super::crc32c(b"123456789"), 0xe306_9283);
    }
}
