use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// A body that keeps `companion` until its last byte is sent, or the client is gone.
pub(super) struct Accompanied<T> {
    body: Body,
    _companion: T,
}

impl<T: Unpin + Send + 'static> Accompanied<T> {
    pub(super) fn wrap(body: Body, companion: T) -> Body {
        Body::new(Self { body, _companion: companion })
    }
}

impl<T: Unpin> http_body::Body for Accompanied<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
