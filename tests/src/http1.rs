//! Answers of HTTP/1.1, read from a stream.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::http2::{Answer, CallError, bounded};

/// Reads one answer whose length is told.
pub async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> Result<Answer, CallError> {
    let mut read = Vec::new();
    loop {
        if let Some((mut answer, head)) = parse_head(&read)? {
            let length = answer.header("content-length").and_then(|value| value.parse().ok());
            let length: usize =
                length.ok_or_else(|| CallError(format!("an answer of no length: {answer:?}")))?;
            if let Some(body) = read.get(head..head + length) {
                answer.body = body.to_vec();
                return Ok(answer);
            }
        }
        if bounded(stream.read_buf(&mut read)).await? == 0 {
            return Err(CallError("the connection ended before the answer".to_owned()));
        }
    }
}

/// An answer without its body, and how long its head is; none where that is not all there.
fn parse_head(read: &[u8]) -> Result<Option<(Answer, usize)>, CallError> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(read).map_err(CallError::from_display)? else {
        return Ok(None);
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = response.headers.iter().map(|h| (h.name.to_ascii_lowercase(), text(h.value)));
    let (status, headers) = (response.code.unwrap_or_default(), headers.collect());
    Ok(Some((Answer { status, headers, body: vec![] }, head)))
}
