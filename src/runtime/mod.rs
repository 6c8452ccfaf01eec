//! What binds the crate to a runtime, one file a feature. Nothing inside the crate imports from here.

#[cfg(feature = "async-io")]
pub(crate) mod async_io;
#[cfg(feature = "async-io")]
pub(crate) mod client_stream;
#[cfg(all(feature = "local", unix))]
pub mod local;
#[cfg(feature = "async-io")]
#[cfg_attr(not(feature = "rustls"), path = "no_rustls.rs")]
mod rustls;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;
