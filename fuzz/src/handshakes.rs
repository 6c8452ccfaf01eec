pub fn client_handshake(_: &[u8]) {}
pub fn server_handshake(_: &[u8]) {}
pub fn ext_negotiation(_: &[u8]) {}
