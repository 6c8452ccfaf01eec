pub fn duplex_workload(_: &[u8]) {}
pub fn hostile_transport(_: &[u8]) {}
