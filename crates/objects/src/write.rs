use std::mem;

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::{Bytes, BytesMut};
use tokio::task::JoinSet;

use crate::{Error, ObjectKey, Objects, error::classify};

/// S3's smallest part. A small one keeps memory low; 10,000 of them are the limit, hence the growth below.
const PART_BYTES: usize = 5 << 20;
/// Parts grow by [`PART_BYTES`] every so many parts: 10,000 parts then reach 5 TiB, S3's largest object.
const PARTS_PER_SIZE: usize = 1000;
/// What [`Writer::rewrite_head`] can still reach at the end.
pub const HEAD_BYTES: usize = 64 << 10;

/// Streams one object of unknown size to S3 in constant memory: one part being filled, one on its way, and the first part if held back.
///
/// Nothing is visible under the key before [`Writer::finish`]. Dropped without `finish` or [`Writer::abort`] it leaves an open upload
/// behind, which the owner of [`Writer::open_upload`] must abort.
pub struct Writer {
    objects: Objects,
    key: ObjectKey,
    hold_head: bool,
    head: Option<BytesMut>,
    filling: BytesMut,
    spare: Option<BytesMut>,
    upload: Option<String>,
    sent: i32,
    on_its_way: JoinSet<Result<(CompletedPart, Bytes), Error>>,
    parts: Vec<CompletedPart>,
}

impl Objects {
    /// A writer that sends every part as soon as it is full.
    pub fn writer(&self, key: ObjectKey) -> Writer {
        self.new_writer(key, false)
    }

    /// A writer that keeps the first part until the end, so that its first [`HEAD_BYTES`] may be rewritten.
    pub fn writer_with_head(&self, key: ObjectKey) -> Writer {
        self.new_writer(key, true)
    }

    fn new_writer(&self, key: ObjectKey, hold_head: bool) -> Writer {
        Writer {
            objects: self.clone(),
            key,
            hold_head,
            head: None,
            filling: BytesMut::new(),
            spare: None,
            upload: None,
            sent: 0,
            on_its_way: JoinSet::new(),
            parts: Vec::new(),
        }
    }

    /// Gives an upload up and frees its parts; one that is gone is as good.
    pub async fn abort_upload(&self, key: ObjectKey, upload: &str) -> Result<(), Error> {
        let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(key.to_string()).upload_id(upload);
        match request.send().await.map_err(classify) {
            Err(Error::Refused { code, .. }) if code == "NoSuchUpload" || code == "status 404" => Ok(()),
            // What s3s-fs says of an upload that is gone; elsewhere it is a permission that the operator should grant.
            Err(Error::Refused { code, .. }) if code == "AccessDenied" => {
                tracing::warn!(%key, "the object store denied aborting an upload; its parts may remain");
                Ok(())
            }
            aborted => aborted.map(drop),
        }
    }
}

impl Writer {
    /// The S3 upload that is open, once there is one.
    pub fn open_upload(&self) -> Option<&str> {
        self.upload.as_deref()
    }

    /// Appends. Waits while a full part cannot be sent yet: the server sets the pace.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let size = self.part_size();
            let (now, later) = bytes.split_at(bytes.len().min(size - self.filling.len()));
            // Small objects get small buffers; beyond a quarter of a part, the whole part is certain enough.
            let quarter = self.filling.len() + now.len() > size / 4;
            self.filling.reserve(if quarter { size - self.filling.len() } else { now.len() });
            self.filling.extend_from_slice(now);
            bytes = later;
            if self.filling.len() == size {
                self.part_is_full().await?;
            }
        }
        Ok(())
    }

    /// Overwrites bytes near the beginning; see [`Objects::writer_with_head`].
    ///
    /// # Panics
    /// When the writer holds no head, or the bytes are not all within the first [`HEAD_BYTES`] that were written: a defect of the caller.
    pub fn rewrite_head(&mut self, offset: usize, bytes: &[u8]) {
        assert!(self.hold_head && offset + bytes.len() <= HEAD_BYTES, "only the held head can be rewritten");
        let head = self.head.as_mut().unwrap_or(&mut self.filling);
        head[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Makes the object visible, whole.
    pub async fn finish(mut self) -> Result<(), Error> {
        let finished = self.try_finish().await;
        if finished.is_err()
            && let Err(error) = self.abort().await
        {
            tracing::warn!(%error, "cannot abort an upload to the object store; the janitor will");
        }
        finished
    }

    /// Gives the object up; nothing of it remains.
    pub async fn abort(mut self) -> Result<(), Error> {
        self.on_its_way.shutdown().await;
        match self.upload.take() {
            Some(upload) => self.objects.abort_upload(self.key, &upload).await,
            None => Ok(()),
        }
    }

    async fn try_finish(&mut self) -> Result<(), Error> {
        let last = self.filling.split().freeze();
        let Some(upload) = self.upload.clone() else {
            let whole = match self.head.take() {
                Some(mut head) => {
                    head.extend_from_slice(&last);
                    head.freeze()
                }
                None => last,
            };
            return self.put(whole).await;
        };
        if !last.is_empty() {
            self.send_part(last).await?;
        }
        if let Some(head) = self.head.take() {
            self.start_part(upload.clone(), 1, head.freeze()).await?;
        }
        self.settle().await?;
        self.complete(upload).await
    }

    async fn part_is_full(&mut self) -> Result<(), Error> {
        let full = mem::take(&mut self.filling);
        if self.hold_head && self.head.is_none() {
            self.head = Some(full);
            self.sent = 1;
            return Ok(());
        }
        self.send_part(full.freeze()).await?;
        self.filling = self.spare.take().unwrap_or_default();
        Ok(())
    }

    async fn send_part(&mut self, part: Bytes) -> Result<(), Error> {
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => self.create_upload().await?,
        };
        self.sent += 1;
        self.start_part(upload, self.sent, part).await
    }

    async fn start_part(&mut self, upload: String, number: i32, part: Bytes) -> Result<(), Error> {
        self.settle().await?;
        self.on_its_way.spawn(send(self.objects.clone(), self.key, upload, number, part));
        Ok(())
    }

    /// Waits until no part is on its way.
    async fn settle(&mut self) -> Result<(), Error> {
        while let Some(sent) = self.on_its_way.join_next().await {
            let (part, bytes) = sent.map_err(|error| Error::Unavailable(error.into()))??;
            self.parts.push(part);
            // Two buffers taking turns: allocators are slow to give large ones back.
            self.spare = bytes.try_into_mut().ok().map(|mut buffer| {
                buffer.clear();
                buffer
            });
        }
        Ok(())
    }

    async fn create_upload(&mut self) -> Result<String, Error> {
        let request =
            self.objects.client.create_multipart_upload().bucket(&self.objects.bucket).key(self.key.to_string());
        let created = request.content_type(self.key.content_type()).send().await.map_err(classify)?;
        let upload = created.upload_id().unwrap_or_default().to_owned();
        Ok(self.upload.insert(upload).clone())
    }

    async fn put(&self, whole: Bytes) -> Result<(), Error> {
        let request = self.objects.client.put_object().bucket(&self.objects.bucket).key(self.key.to_string());
        let request = request.content_type(self.key.content_type()).body(ByteStream::from(whole));
        request.send().await.map_err(classify).map(drop)
    }

    async fn complete(&mut self, upload: String) -> Result<(), Error> {
        self.parts.sort_by_key(CompletedPart::part_number);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(self.parts.clone())).build();
        let request =
            self.objects.client.complete_multipart_upload().bucket(&self.objects.bucket).key(self.key.to_string());
        match request.upload_id(upload).multipart_upload(parts).send().await.map_err(classify) {
            Ok(_) => Ok(()),
            // The key is this writer's alone: if the object is there, only the answer was lost.
            Err(error) => self.objects.size(self.key).await.map(drop).map_err(|_| error),
        }
    }

    fn part_size(&self) -> usize {
        PART_BYTES * (1 + usize::try_from(self.sent).unwrap_or(0) / PARTS_PER_SIZE)
    }
}

async fn send(
    objects: Objects,
    key: ObjectKey,
    upload: String,
    number: i32,
    part: Bytes,
) -> Result<(CompletedPart, Bytes), Error> {
    let request = objects.client.upload_part().bucket(&objects.bucket).key(key.to_string()).upload_id(upload);
    let sent = request.part_number(number).body(ByteStream::from(part.clone())).send().await.map_err(classify)?;
    let completed = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag().map(str::to_owned)).build();
    Ok((completed, part))
}
