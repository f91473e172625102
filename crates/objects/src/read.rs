use std::{io, ops::Range, time::Duration};

use aws_lc_rs::digest;
use aws_sdk_s3::{presigning::PresigningConfig, primitives::ByteStream};
use bytes::Bytes;
use futures::{Stream, StreamExt};

use crate::{
    Error, ObjectKey, Objects,
    error::{about, classify},
};

/// An object on its way.
pub struct Stored {
    /// Bytes that `body` will give.
    pub length: u64,
    body: ByteStream,
}

impl Stored {
    /// The bytes, in pieces as they come; ends early only with an error.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        futures::stream::unfold(self.body, |mut body| async {
            let piece = body.next().await?;
            Some((piece.map_err(io::Error::other), body))
        })
    }

    /// All of the bytes at once; for short ranges.
    pub async fn into_bytes(self) -> Result<Bytes, Error> {
        let all = self.body.collect().await.map_err(|error| Error::Unavailable(error.into()))?;
        Ok(all.into_bytes())
    }
}

impl Objects {
    /// The object, or the given bytes of it (`end` exclusive), as a stream.
    pub async fn get(&self, key: ObjectKey, range: Option<Range<u64>>) -> Result<Stored, Error> {
        let range = range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let request = self.client.get_object().bucket(&self.bucket).key(key.to_string()).set_range(range);
        let answer = request.send().await.map_err(about(key))?;
        Ok(Stored { length: u64::try_from(answer.content_length().unwrap_or(0)).unwrap_or(0), body: answer.body })
    }

    /// The object's size in bytes.
    pub async fn size(&self, key: ObjectKey) -> Result<u64, Error> {
        let answer =
            self.client.head_object().bucket(&self.bucket).key(key.to_string()).send().await.map_err(about(key))?;
        Ok(u64::try_from(answer.content_length().unwrap_or(0)).unwrap_or(0))
    }

    /// Reads the object back: its size and SHA-256 as the server has them.
    ///
    /// # Panics
    /// Never: a SHA-256 has 32 bytes.
    pub async fn digest(&self, key: ObjectKey) -> Result<(u64, [u8; 32]), Error> {
        let mut pieces = std::pin::pin!(self.get(key, None).await?.into_stream());
        let (mut bytes, mut sha256) = (0, digest::Context::new(&digest::SHA256));
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| Error::Unavailable(error.into()))?;
            bytes += piece.len() as u64;
            sha256.update(&piece);
        }
        let sha256 = sha256.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        Ok((bytes, sha256))
    }

    /// A link that anybody may follow until it ends; the answer carries the given Content-Disposition.
    pub async fn link(&self, key: ObjectKey, valid: Duration, disposition: &str) -> Result<String, Error> {
        let valid = PresigningConfig::expires_in(valid).map_err(|error| Error::Unavailable(error.into()))?;
        let request = self.public.get_object().bucket(&self.bucket).key(key.to_string());
        let request = request.response_content_disposition(disposition).response_content_type(key.content_type());
        Ok(request.presigned(valid).await.map_err(classify)?.uri().to_owned())
    }

    /// Deletes the object; an absent one is as good.
    pub async fn delete(&self, key: ObjectKey) -> Result<(), Error> {
        let request = self.client.delete_object().bucket(&self.bucket).key(key.to_string());
        match request.send().await.map_err(about(key)) {
            Ok(_) | Err(Error::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
