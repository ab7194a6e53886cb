//! Feeds arbitrary text to the reader of web configuration files, and to the reader of password hashes.
//!
//! Beyond not crashing: a refusal begins with the file's name and shows no hash; what is taken is taken again; each user
//! has a hash in force, each header can be sent, and versions are in order. Run with `cargo +nightly fuzz run web`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sage_common::web::file::parse;
use sage_common::web::hash::Hash;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse(text, "folder/web.yml") {
        Ok(settings) => {
            for (name, hash) in &settings.users {
                assert!(!name.is_empty() && !name.contains(':'));
                assert!(Hash::parse(&hash.text()).is_ok_and(|again| again == *hash));
            }
            for (_, value) in &settings.headers {
                assert!(!value.is_empty() && value.to_str().is_ok_and(|text| !text.contains(['\r', '\n'])));
            }
            if let Some(tls) = &settings.tls {
                assert!(tls.versions.0 <= tls.versions.1 && (2..=3).contains(&tls.versions.0));
                assert!(tls.allowed_sans.is_empty() || tls.client_ca.is_some());
            }
            assert!(settings.rate.is_none_or(|(interval, burst)| !interval.is_zero() && burst > 0));
            assert!(parse(text, "folder/web.yml").is_ok());
        }
        Err(error) => {
            assert!(error.message.starts_with("folder/web.yml:"), "{error}");
            assert!(!error.message.contains('\n'), "{error}");
        }
    }
    if let Ok(hash) = Hash::parse(text) {
        assert!(Hash::parse(&hash.text()).is_ok_and(|again| again == hash));
    }
});
