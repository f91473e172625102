-- People who may log in. The address is the login name; it is compared without regard to case.
create table users (
    id            uuid        primary key,
    email         text        not null
                              constraint users_email_plausible check (email ~ '^[^@\s]+@[^@\s]+$' and length(email) <= 254),
    -- A PHC string: algorithm, parameters, salt and hash in one (argon2id).
    password_hash text        not null,
    admin         boolean     not null default false,
    -- A disabled user keeps the jobs and can no longer log in or upload.
    disabled_at   timestamptz,
    created_at    timestamptz not null default now()
);

create unique index users_email_key on users (lower(email));
