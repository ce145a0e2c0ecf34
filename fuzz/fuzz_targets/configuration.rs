#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    fedgate_fuzz::configuration(octets);
});
