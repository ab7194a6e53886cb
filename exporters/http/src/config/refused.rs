//! Keys of blackbox_exporter that this version knows and does not honour, each with what to do instead.
//!
//! A key that is silently ignored makes a probe say less than its author believes; so these are refused by name, with
//! their place in the file.

use sage_common::codes;
use sage_common::config::refused;
use sage_common::error::Invalid;
use serde::de::{Deserializer, IgnoredAny};

macro_rules! refused {
    ($code:ident: $($key:ident: $what:literal => $hint:literal;)*) => {
        $(
            #[doc = concat!("Refuses `", stringify!($key), "`.")]
            ///
            /// # Errors
            /// Always.
            pub fn $key<'de, D: Deserializer<'de>>(value: D) -> Result<(), D::Error> {
                // The value is read over first, so that the error points at this key and not past it.
                value.deserialize_ignored_any(IgnoredAny)?;
                Err(refused(Invalid::new(concat!("`", stringify!($key), "`: ", $what)).hint($hint).code(codes::$code)))
            }
        )*
    };
}

refused! { NOT_HERE:
    websocket: "the websocket prober is not supported by this version" => "remove the module, or keep it in a file of its own for blackbox_exporter";
    fail_if_body_json_matches_cel: "CEL is not supported by this version" => "write `fail_if_body_json_matches: [{path: a.b, regexp: x}]`";
    fail_if_body_json_not_matches_cel: "CEL is not supported by this version" => "write `fail_if_body_json_not_matches: [{path: a.b, regexp: x}]`";
    client_certificate_key: "tokens by a signed JWT are not supported by this version" => "write `client_secret_file: /path/to/file`";
    client_certificate_key_file: "tokens by a signed JWT are not supported by this version" => "write `client_secret_file: /path/to/file`";
    ca: "a certificate does not stand in this file" => "write `ca_file: /path/to/file` and put it there";
    cert: "a certificate does not stand in this file" => "write `cert_file: /path/to/file` and put it there";
}

refused! { SECRET_IN_FILE:
    client_secret: "a secret does not stand in this file" => "write `client_secret_file: /path/to/file` and put it there";
    secrets: "a secret does not stand in this file" => "write `files: [/path/to/file]` and put it there";
    password: "a secret does not stand in this file" => "write `password_file: /path/to/file` and put it there";
    bearer_token: "a secret does not stand in this file" => "write `bearer_token_file: /path/to/file` and put it there";
    credentials: "a secret does not stand in this file" => "write `credentials_file: /path/to/file` and put it there";
    key: "a secret does not stand in this file" => "write `key_file: /path/to/file` and put it there";
}
