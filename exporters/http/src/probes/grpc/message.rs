//! The two messages of grpc.health.v1 and their frame (gRPC over HTTP/2: a flag and a length before each message).

/// What a service says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does not know.
    Unknown,
    /// It serves.
    Serving,
    /// It does not.
    NotServing,
    /// There is no such service.
    ServiceUnknown,
}

impl Health {
    /// All of them, by their numbers.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Serving, Self::NotServing, Self::ServiceUnknown];

    /// The name in the protocol.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Serving => "SERVING",
            Self::NotServing => "NOT_SERVING",
            Self::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }
}

/// A HealthCheckRequest in its frame: field 1 is the name of the service.
pub fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
            length >>= 7;
        }
        message.push(u8::try_from(length).unwrap_or(0));
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], length.to_be_bytes().as_slice(), &message].concat()
}

/// A HealthCheckResponse in its frame: field 1 is the number of the status, 0 where it is left out.
pub fn answer(frame: &[u8]) -> Option<Health> {
    let (head, message) = frame.split_first_chunk::<5>()?;
    let [flag, length @ ..] = *head;
    if flag != 0 || usize::try_from(u32::from_be_bytes(length)).ok()? != message.len() {
        return None;
    }
    let (mut rest, mut status) = (message, 0);
    while !rest.is_empty() {
        let tag = number(&mut rest)?;
        match tag & 7 {
            0 => {
                let value = number(&mut rest)?;
                if tag >> 3 == 1 {
                    status = value;
                }
            }
            1 => rest = rest.get(8..)?,
            2 => {
                let length = usize::try_from(number(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(usize::try_from(status).ok().and_then(|n| Health::ALL.get(n).copied()).unwrap_or(Health::Unknown))
}

/// One number of the protocol: seven bits a byte, the lowest first.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The name of a status code of gRPC.
pub fn code_name(code: u16) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(usize::from(code)).copied().unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_its_service() {
        assert_eq!(question(""), [0, 0, 0, 0, 0]);
        assert_eq!(question("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
        let long = question(&"x".repeat(300));
        assert_eq!((&long[..8], long.len()), ([0, 0, 0, 1, 0x2f, 0x0a, 0xac, 2].as_slice(), 308));
    }

    #[test]
    fn answers_and_what_is_none() {
        assert_eq!(answer(&[0, 0, 0, 0, 2, 8, 1]), Some(Health::Serving));
        assert_eq!(answer(&[0, 0, 0, 0, 2, 8, 2]), Some(Health::NotServing));
        assert_eq!(answer(&[0, 0, 0, 0, 0]), Some(Health::Unknown));
        assert_eq!(answer(&[0, 0, 0, 0, 2, 8, 9]), Some(Health::Unknown));
        // Fields of later versions are passed over.
        assert_eq!(answer(&[0, 0, 0, 0, 7, 0x12, 1, b'x', 8, 1, 0x18, 5]), Some(Health::Serving));
        for bad in [&[] as &[u8], &[0, 0, 0, 0], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 3, 8, 1], &[0, 0, 0, 0, 1, 8], &[0, 0, 0, 0, 2, 0x0a, 9]] {
            assert_eq!(answer(bad), None, "{bad:?}");
        }
        let endless = [[0, 0, 0, 0, 12, 8].as_slice(), &[0xff; 11]].concat();
        assert_eq!(answer(&endless), None);
        assert_eq!((code_name(14), code_name(99)), ("UNAVAILABLE", "unknown"));
    }
}
