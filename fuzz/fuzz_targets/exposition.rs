//! Feeds arbitrary bytes to the reader of exposition pages, in both formats.
//!
//! Beyond not crashing: a page reads the same in pieces as in one, strict mode takes nothing that the lenient mode
//! refuses, and an error names a line the page has. Run with `cargo +nightly fuzz run exposition`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sage_common::parse::{Event, Format, Limits, Reader, page, strict};

fuzz_target!(|data: &[u8]| {
    // All of it is the page, so that a file of the corpus is one; the size of the pieces varies with its length.
    let size = data.len() % 29 + 1;
    let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
    for format in [Format::Text, Format::OpenMetrics] {
        let whole = page(data, format);
        let mut samples = Vec::new();
        let mut reader = Reader::new(Limits::default()).format(format);
        let mut on = |_line: usize, event: Event<'_>| {
            if let Event::Sample(sample) = event {
                samples.push(format!("{sample:?}"));
            }
        };
        let end = data
            .chunks(size)
            .try_for_each(|piece| reader.feed(piece, &mut on))
            .and_then(|()| reader.finish(&mut on));
        match (&whole, end) {
            (Ok(page), Ok(())) => {
                let mut known: Vec<_> = page
                    .families
                    .iter()
                    .flat_map(|family| &family.samples)
                    .map(|sample| format!("{sample:?}"))
                    .collect();
                known.sort();
                samples.sort();
                assert_eq!(known, samples);
                for family in &page.families {
                    assert!(family.samples.iter().all(|sample| sample.name.starts_with(&family.name)));
                }
            }
            (Err(one), Err(other)) => {
                assert_eq!(*one, other);
                assert!(one.line <= lines + 1, "{one}");
                assert!(!one.to_string().contains('\n'));
            }
            (one, other) => panic!("{one:?} in one, {other:?} in pieces"),
        }
        match strict(data, format) {
            Ok(page) => assert_eq!(format!("{page:?}"), format!("{:?}", whole.expect("strict took it"))),
            Err(faults) => assert!(faults.len() <= 1000 && faults.is_sorted_by_key(|fault| fault.line)),
        }
    }
});
