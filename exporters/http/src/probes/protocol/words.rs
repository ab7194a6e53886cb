//! What is said to a database server: the first bytes of each protocol, and its farewell.

/// StartupMessage of version 3.0 for a user that there is not, as `pg_isready` sends one. What the server lacks, it says before
/// it asks for a password.
pub const POSTGRESQL: &[u8] = b"\0\0\0\x41\0\x03\0\0user\0sage_probe\0database\0postgres\0application_name\0sage\0\0";

/// A login without TLS, database and password: protocol 4.1, secure connection, plugin mysql_native_password.
pub const MYSQL_LOGIN: &[u8] =
    b"\x42\0\0\x01\x00\x82\x08\x00\0\0\x01\0\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0sage_probe\0\0mysql_native_password\0";

/// COM_QUIT.
pub const MYSQL_QUIT: &[u8] = &[1, 0, 0, 0, 1];

/// A greeting's answer that asks for TLS: as the login up to the user.
pub const MYSQL_TLS: &[u8] = b"\x20\0\0\x01\x00\x8a\x08\x00\0\0\x01\0\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// PRELOGIN: a version and that TLS is not wanted.
pub const MSSQL: &[u8] = b"\x12\x01\0\x1a\0\0\0\0\0\0\x0b\0\x06\x01\0\x11\0\x01\xff\x10\0\0\0\0\0\x02";

/// PING.
pub const REDIS_PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
/// HELLO, which changes nothing without arguments.
pub const REDIS_HELLO: &[u8] = b"*1\r\n$5\r\nHELLO\r\n";

/// OP_MSG number 7: `{hello: 1, $db: "admin"}`.
pub const MONGODB: &[u8] = b"\x34\0\0\0\x07\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x1f\0\0\0\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0";

/// ApiVersions of version 0, number `KAFKA_NUMBER`, client `sage`.
pub const KAFKA: &[u8] = b"\0\0\0\x0e\0\x12\0\0Sage\0\x04sage";

/// Search of the root entry for what it says of its maker.
pub const LDAP: &[u8] = b"\x30\x43\x02\x01\x01\x63\x3e\x04\0\x0a\x01\0\x0a\x01\0\x02\x01\0\x02\x01\0\x01\x01\0\x87\x0bobjectClass\x30\x1e\
\x04\x0avendorName\x04\x0dvendorVersion\x04\x01+";
/// Unbind.
pub const LDAP_UNBIND: &[u8] = b"\x30\x05\x02\x01\x02\x42\0";
/// ExtendedRequest: StartTLS (1.3.6.1.4.1.1466.20037).
pub const LDAP_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

/// The header of AMQP 0-9-1.
pub const AMQP: &[u8] = b"AMQP\0\0\x09\x01";

/// SSLRequest.
pub const POSTGRESQL_TLS: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_bytes() {
        let big = |bytes: &[u8]| usize::try_from(u32::from_be_bytes(bytes[..4].try_into().unwrap())).unwrap();
        assert_eq!(big(POSTGRESQL), POSTGRESQL.len());
        assert_eq!(big(KAFKA), KAFKA.len() - 4);
        assert_eq!(usize::from(MONGODB[0]), MONGODB.len());
        assert_eq!(usize::from(MONGODB[21]), MONGODB.len() - 21);
        assert_eq!(usize::from(MYSQL_LOGIN[0]), MYSQL_LOGIN.len() - 4);
        assert_eq!(usize::from(MYSQL_TLS[0]), MYSQL_TLS.len() - 4);
        assert_eq!(usize::from(MSSQL[3]), MSSQL.len());
        for message in [LDAP, LDAP_UNBIND, LDAP_TLS] {
            assert_eq!(usize::from(message[1]), message.len() - 2);
        }
        assert_eq!(usize::from(LDAP[6]), LDAP.len() - 7);
    }
}
