//! Answers that open no connection: put together by a builder, sent by a future with a name.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use super::HandshakeError;
use super::link::{Farewell, Link};
use super::response::{Answer, BodyMode};

/// An answer that opens no connection, while it is being put together; from
/// [`ServerRequest::reject`](crate::ServerRequest::reject) and
/// [`ServerRequest::respond`](crate::ServerRequest::respond). `.await` sends it and closes the stream.
///
/// It always has `Content-Length`, but where the status has no body, and `Connection: close`. With status 426 it
/// also says what to upgrade to.
///
/// # Examples
///
/// See [`ServerRequest::reject`](crate::ServerRequest::reject).
#[must_use = "it is sent when awaited"]
pub struct Response<T> {
    link: Link<T>,
    mode: BodyMode,
    /// Or the first thing wrong with it.
    answer: Result<Answer, HandshakeError>,
    /// Never `Send`, whatever the timer is.
    local: PhantomData<Rc<()>>,
}

impl<T> Response<T> {
    /// An answer with `status`, with nothing in it yet.
    pub(crate) fn new(link: Link<T>, status: u16, mode: BodyMode) -> Self {
        Self { link, mode, answer: Answer::new(status), local: PhantomData }
    }

    /// Adds a header. A name that is no token, a control character in the value, and the headers that tell where
    /// the answer ends (`Content-Length`, `Connection` and the like) are faults: 500 is answered instead, and the
    /// fault returned.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server};
    /// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// let answer = request.respond(302).header("Location", "/lobby");
    /// block_on(answer.into_future())?;
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        if let Ok(answer) = &mut self.answer
            && let Err(fault) = answer.extra.push(name.as_ref(), value.as_ref())
        {
            self.answer = Err(fault);
        }
        self
    }

    /// Sets the body, which is `text/plain; charset=utf-8` unless a header says otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server};
    /// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// let page = request.respond(200).header("Content-Type", "text/html").body("<h1>Hello</h1>");
    /// block_on(page.into_future())?;
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        if let Ok(answer) = &mut self.answer {
            answer.body = body.into();
        }
        self
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> IntoFuture for Response<T> {
    type Output = Result<(), HandshakeError>;
    type IntoFuture = Responding<T>;

    fn into_future(self) -> Responding<T> {
        let (answer, fault) = match self.answer {
            Ok(answer) => (Some(answer), None),
            Err(fault) => (Answer::to_fault(&fault), Some(fault)),
        };
        let bytes = answer.map(|answer| answer.encode(self.mode)).unwrap_or_default();
        Responding { link: self.link, farewell: Farewell::new(bytes), fault, local: PhantomData }
    }
}

/// The future of a [`Response`]: ready once the answer is written and the stream at its end.
///
/// After the answer our side of the stream is closed, and what the client still sends is read and thrown away, up
/// to 1 MiB and the deadline: a stream dropped with unread input would make the client lose the answer.
///
/// # Errors
///
/// [`HandshakeError::Io`] and [`HandshakeError::ResponseTimeout`]: the answer could not be written. A fault of the
/// builder: it was answered with 500.
///
/// # Cancel safety
///
/// Dropping the future drops the stream: the client may get a part of the answer.
///
/// # Examples
///
/// A task that answers, beside others:
///
/// ```no_run
/// use async_executor::LocalExecutor;
/// use unsync_websocket::{Responding, ServerRequest};
///
/// fn answer(executor: &LocalExecutor<'static>, request: ServerRequest<async_net::TcpStream>) {
///     let responding: Responding<_> = request.respond(200).body("page").into_future();
///     executor.spawn(responding).detach();
/// }
/// ```
#[must_use = "it is sent when awaited"]
pub struct Responding<T> {
    link: Link<T>,
    farewell: Farewell,
    /// To be returned once the error response is out.
    fault: Option<HandshakeError>,
    /// Never `Send`, whatever the timer is.
    local: PhantomData<Rc<()>>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for Responding<T> {
    type Output = Result<(), HandshakeError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let answered = ready!(this.farewell.poll(&mut this.link, cx));
        Poll::Ready(this.fault.take().map_or(answered, Err))
    }
}

impl<T> fmt::Debug for Response<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("answer", &self.answer).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Responding<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responding").field("fault", &self.fault).finish_non_exhaustive()
    }
}
