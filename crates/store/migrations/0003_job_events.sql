-- The append-only history of every job: audit log, metrics' source and the tests' oracle.
-- No foreign key: an event outlives its job.
create table job_events (
    id         bigint      generated always as identity primary key,
    job_id     uuid        not null,
    state      text        not null,
    attempt    integer     not null,
    error_code text,
    at         timestamptz not null default clock_timestamp()
);

create index job_events_of_job on job_events (job_id, id);

-- A terminal state is final: whatever bug or operator tries to leave it, the transaction fails.
create function job_events_guard() returns trigger language plpgsql as $$
begin
    if tg_op <> 'INSERT' then
        raise exception 'job_events is append-only' using errcode = 'restrict_violation', constraint = 'job_events_append_only';
    end if;
    if exists (select from job_events where job_id = new.job_id and state in ('done', 'failed', 'cancelled')) then
        raise exception 'job % has ended and cannot become %', new.job_id, new.state
            using errcode = 'restrict_violation', constraint = 'job_events_terminal_is_final';
    end if;
    return new;
end $$;

create trigger job_events_guard before insert or update or delete on job_events
    for each row execute function job_events_guard();

-- Every change of state is recorded by the database itself, in the same transaction, and told to whoever waits (channel job_events).
create function jobs_record_event() returns trigger language plpgsql as $$
begin
    insert into job_events (job_id, state, attempt, error_code) values (new.id, new.state, new.attempt, new.error_code);
    perform pg_notify('job_events', new.id::text);
    return null;
end $$;

create trigger jobs_record_insert after insert on jobs
    for each row execute function jobs_record_event();
create trigger jobs_record_update after update of state on jobs
    for each row when (old.state is distinct from new.state) execute function jobs_record_event();
