-- The row is the job, the queue's message only a wake-up (docs/architecture.md). Every change of state is one compare-and-set on this
-- table; leases use the database's clock alone.
create table jobs (
    id               uuid        primary key,
    user_id          uuid        not null constraint jobs_user_exists references users (id),
    state            text        not null default 'receiving'
                                 constraint jobs_state_known check (state in ('receiving', 'queued', 'running', 'done', 'failed', 'cancelled')),

    -- The video. A retry is a new job over the same source, hence its own id here: object in/{source_id}.
    source_id        uuid        not null,
    source_name      text,
    source_bytes     bigint,
    source_sha256    bytea,
    options          jsonb       not null default '{}',
    idempotency_key  text,
    retry_of         uuid        constraint jobs_retry_of_key unique references jobs (id),

    -- Counts claims and names the attempt's object: out/{id}/{attempt}.mp3. Never reused, so a zombie cannot overwrite its successor.
    attempt          integer     not null default 0,
    -- Claims that ended because a worker was asked to stop; they are not held against the job.
    handbacks        integer     not null default 0,
    -- Who works on it, and until when; a worker that lost its lease can no longer write here.
    lease            uuid,
    lease_until      timestamptz,
    -- The S3 multipart upload in progress for this row; whoever takes over or cleans up aborts it.
    open_upload      text,
    -- When the sweep may take a queued job for which no message came.
    wake_at          timestamptz,
    -- W3C trace context of the upload: the conversion continues that trace.
    traceparent      text,
    progress_seconds double precision,
    total_seconds    double precision,

    -- The audio: out/{id}/{audio_attempt}.mp3
    audio_attempt    integer,
    audio_bytes      bigint,
    audio_sha256     bytea,
    audio_seconds    double precision,
    warning          text,

    error_code       text,
    error_detail     text,

    created_at       timestamptz not null default now(),
    queued_at        timestamptz,
    started_at       timestamptz,
    finished_at      timestamptz,
    expires_at       timestamptz,
    deleted_at       timestamptz,
    -- Set when the objects of a deleted or expired job are gone.
    erased_at        timestamptz,

    constraint jobs_running_has_lease check ((state = 'running') = (lease is not null)),
    constraint jobs_accepted_has_source check (state = 'receiving' or (source_name is not null and source_bytes is not null and source_sha256 is not null)),
    constraint jobs_done_has_audio check ((state = 'done') = (audio_attempt is not null)),
    constraint jobs_failed_has_reason check ((state = 'failed') = (error_code is not null))
);

-- One accepted upload for each key of a user; the same request again gets the same answer.
create unique index jobs_idempotency_key on jobs (user_id, idempotency_key) where idempotency_key is not null;
-- Listing: newest first, by keyset.
create index jobs_of_user on jobs (user_id, created_at desc, id desc) where deleted_at is null;
-- The few rows that are not at rest: claims, sweeps and quotas look only here.
create index jobs_in_motion on jobs (state, lease_until, wake_at) where state in ('receiving', 'queued', 'running');
create index jobs_to_erase on jobs (expires_at) where erased_at is null;
create index jobs_of_source on jobs (source_id) where erased_at is null;

-- What a worker may take although no message came: the message was lost, the broker is away, or the worker that had it died.
-- KEDA's postgresql trigger counts this view to wake a worker from zero.
create view sweepable_jobs as
select id, state, attempt, handbacks, coalesce(lease_until, wake_at) as since
from jobs
where (state = 'queued' and wake_at <= now())
   or (state = 'running' and lease_until < now());
