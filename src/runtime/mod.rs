//! What binds the crate to a runtime, one file a feature. Nothing inside the crate imports from here.

#[cfg(feature = "async-io")]
pub(crate) mod async_io;
#[cfg(all(feature = "local", unix))]
pub mod local;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;
