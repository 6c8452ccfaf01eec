#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| unsync_websocket_fuzz::deflate_roundtrip(data));
