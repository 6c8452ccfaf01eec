//! The key of a handshake and the value that accepts it (RFC 6455, sections 4.2.1 and 4.2.2).
//!
//! Neither is a secret: together they prove that the other end speaks this protocol and did not answer from a
//! cache.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// What is appended to the key before it is hashed (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A `Sec-WebSocket-Key` that has been found to be 16 bytes in base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key([u8; 24]);

impl Key {
    /// The key of a client that chose `nonce` for it (section 4.1).
    pub(crate) fn from_nonce(nonce: [u8; 16]) -> Self {
        let mut text = [0; 24];
        // 16 bytes are 24 characters, so it always fits.
        let _ = STANDARD.encode_slice(nonce, &mut text);
        Self(text)
    }

    /// As it is sent.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// `None` unless `value` is 24 characters that decode to 16 bytes: standard alphabet, both `=`, and no bits
    /// set that decoding would throw away.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let text: [u8; 24] = value.try_into().ok()?;
        // The decoder asks for room by the length of the text, before it looks at the padding.
        let mut nonce = [0; 18];
        match STANDARD.decode_slice(text, &mut nonce) {
            Ok(16) => Some(Self(text)),
            _ => None,
        }
    }

    /// The `Sec-WebSocket-Accept` that answers this key: base64 of the SHA-1 of the key *as text* and the GUID.
    pub(crate) fn accept(self) -> String {
        let hash = Sha1::new().chain_update(self.0).chain_update(GUID).finalize();
        STANDARD.encode(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_value_is_that_of_section_1_3() {
        let key = Key::parse(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();

        assert_eq!(key.accept(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_is_24_characters_for_16_bytes() {
        for bad in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",    // no padding
            "dGhlIHNhbXBsZSBub25jZQ=",   // half of it
            "dGhlIHNhbXBsZSBub25jZQ===", // too much of it
            "dGhlIHNhbXBsZSBub25jZQ== ", // trimmed before it comes here
            "dGhlIHNhbXBsZSBub25jZSE=",  // 17 bytes
            "dGhlIHNhbXBsZSBub25jZSEh",  // 18 bytes
            "dGhlIHNhbXBsZSBub25jZR==",  // bits that no byte has
            "dGhlIHNhbXBsZSBub25j_Q==",  // the other alphabet
            "dGhl=HNhbXBsZSBub25jZQ==",  // padding in the middle
            "dGhlIHNhbXBsZSBub25jZQ==AAAA",
            "\u{e9}GhlIHNhbXBsZSBub25jZ==",
        ] {
            assert!(Key::parse(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn the_nonce_of_section_1_3_is_its_key() {
        let key = Key::from_nonce(*b"the sample nonce");

        assert_eq!(key.as_bytes(), b"dGhlIHNhbXBsZSBub25jZQ==");
        assert!(Key::parse(key.as_bytes()) == Some(key));
    }

    #[test]
    fn every_byte_at_every_place_is_judged_without_a_panic() {
        for place in 0..24 {
            for byte in 0..=u8::MAX {
                let mut text = *b"dGhlIHNhbXBsZSBub25jZQ==";
                text[place] = byte;
                let in_alphabet = byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';

                let accepted = Key::parse(&text).is_some();

                match place {
                    0..21 => assert_eq!(accepted, in_alphabet),
                    21 => assert_eq!(accepted, matches!(byte, b'A' | b'Q' | b'g' | b'w')),
                    _ => assert_eq!(accepted, byte == b'='),
                }
            }
        }
    }
}
