//! Replays the corpus, and a few thousand random inputs, with no fuzzer at hand.

use std::fs;
use std::path::Path;

#[test]
fn the_corpus_holds_every_property() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/recv_stream");
    let inputs: Vec<_> = fs::read_dir(corpus).expect("the corpus is in the repository").collect();
    assert!(inputs.len() >= 8, "the seeds are there");
    for input in inputs {
        let path = input.expect("readable").path();
        println!("{}", path.display());
        unsync_websocket_fuzz::recv_stream(&fs::read(path).expect("readable"));
    }
}

#[test]
fn mutated_seeds_hold_every_property() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/recv_stream");
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for input in fs::read_dir(corpus).expect("the corpus is in the repository") {
        let seed = fs::read(input.expect("readable").path()).expect("readable");
        for _ in 0..500 {
            let mut bytes = seed.clone();
            for _ in 0..=random(4) {
                match random(3) {
                    0 if !bytes.is_empty() => {
                        let at = random(bytes.len());
                        bytes[at] ^= 1 << random(8);
                    }
                    1 => bytes.insert(random(bytes.len() + 1), random(256) as u8),
                    _ => bytes.truncate(random(bytes.len() + 1)),
                }
            }
            unsync_websocket_fuzz::recv_stream(&bytes);
        }
    }
}
