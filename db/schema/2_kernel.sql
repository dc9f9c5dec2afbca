-- The write path.

-- One row a shard: every batch locks it first, numbers from it, and moves it on.
create table shard (
    id integer primary key,
    event_seq bigint not null default 0,
    posting_seq bigint not null default 0,
    chain bytea not null default '\x0000000000000000000000000000000000000000000000000000000000000000',
    last_at timestamptz not null default '2000-01-01 00:00:00+00',
    constraint shard_chain_is_sha256 check (octet_length(chain) = 32)
) with (fillfactor = 10);

-- One row a batch: by its id a commit whose answer was lost is found again.
create table batch (
    shard integer not null,
    id uuid not null,
    commands integer not null,
    first_event_seq bigint not null,
    last_event_seq bigint not null,
    first_posting_seq bigint not null,
    last_posting_seq bigint not null,
    at timestamptz not null,
    primary key (shard, id)
);
-- `caudal check` goes through batches in the order of their commits, and the oldest are pruned.
create index batch_in_time on batch (shard, at);

-- Idempotency: the key commits with the effect and holds the answer. In progress while `status` is null.
create table key (
    shard integer not null,
    book bigint not null,
    digest bytea not null,
    created_at timestamptz not null,
    version integer not null,
    fingerprint bytea,
    subject uuid,
    status integer,
    answer bytea,
    deadline timestamptz,
    primary key (shard, book, digest, created_at),
    constraint key_digest_is_16_bytes check (octet_length(digest) = 16),
    constraint key_answered_or_in_progress check ((status is null) = (answer is null)),
    constraint key_in_progress_has_deadline check (status is not null or deadline is not null)
) partition by range (created_at);
create table key_default partition of key default;

-- What happened, numbered without gaps in commit order.
create table event (
    shard integer not null,
    seq bigint not null,
    at timestamptz not null,
    book bigint not null,
    subject uuid not null,
    type text not null,
    data bytea not null,
    primary key (shard, seq, at)
) partition by range (at);
create index event_of_book on event (shard, book, seq);
create table event_default partition of event default;

-- Work that becomes due. A claim moves `at` to the end of its lease.
create table due (
    shard integer not null,
    at timestamptz not null,
    kind text not null,
    subject uuid not null,
    book bigint not null,
    attempt integer not null,
    said text,  -- why it did not end when it was last tried
    primary key (shard, at, kind, subject)
);
-- What was tried in vain, by what it is about; small, because most work ends at its first try.
create index due_in_vain on due (shard, kind, subject) where attempt > 1 or said is not null;

-- How far a consumer has come, written with its effect.
create table consumer (
    shard integer not null,
    name text not null,
    seq bigint not null,
    primary key (shard, name)
);

-- How far the running check has held the laws of db/checks against the shard's rows; one row, written once a minute by who
-- watches. `laws` is a digest of them: where there are others, the check begins again.
create table check_place (
    shard integer not null,
    laws bytea not null,
    place bytea not null,
    at timestamptz not null,
    primary key (shard)
);
