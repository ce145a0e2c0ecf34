//! HTTP/1.1 on connections that are kept, one call at a time on each.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Mutex;

use fedgate_tests::http1::read_answer;
use fedgate_tests::http2::{Answer, CallError};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// The connections to one server that nobody uses at the moment.
#[derive(Debug)]
pub(crate) struct Pool {
    server: SocketAddr,
    /// The longest idle first, so that all are in use: one that idles may be closed just as a call is sent.
    idle: Mutex<VecDeque<TcpStream>>,
}

// === impl Pool ===

impl Pool {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self { server, idle: Mutex::default() }
    }

    /// Posts `{}`, on an idle connection where there is one. Nothing is sent twice.
    pub(crate) async fn post(&self, path: &str) -> Result<Answer, CallError> {
        let mut stream = match self.idle() {
            Some(stream) => stream,
            None => TcpStream::connect(self.server).await.map_err(failed)?,
        };
        let request =
            format!("POST {path} HTTP/1.1\r\nhost: federator\r\ncontent-length: 2\r\n\r\n{{}}");
        stream.write_all(request.as_bytes()).await.map_err(failed)?;
        let answer = read_answer(&mut stream).await?;
        if answer.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")) {
            self.idle.lock().expect("no holder panics").push_back(stream);
        }
        Ok(answer)
    }

    /// One that the server has not closed, as far as we have heard.
    fn idle(&self) -> Option<TcpStream> {
        loop {
            let stream = self.idle.lock().expect("no holder panics").pop_front()?;
            if stream.try_read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                return Some(stream);
            }
        }
    }
}

pub(crate) fn failed(error: impl std::fmt::Display) -> CallError {
    CallError(error.to_string())
}
