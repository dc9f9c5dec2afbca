-- Statements of the write path. Guards: a row count other than the expected one divides by zero, so that the server
-- aborts the COMMIT that is already on the wire behind the statement.

-- name: begin
begin isolation level read committed

-- name: discard_plans
discard plans

-- name: commit
commit

-- name: lock_shard
-- Whoever held it has changed the row, which is looked at anew then: the times are those of the moment behind the wait.
select event_seq, posting_seq, chain, clock_timestamp(), greatest(clock_timestamp(), last_at),
    clock_timestamp() - now()
from shard where id = %s for update

-- name: shards
select id from shard order by id

-- name: find_batch
select 1 from batch where shard = %s and id = %s

-- name: read_keys
-- One probe a key and partition by construction (`lateral … limit 1`), whatever the planner believes of the table.
select k.book, k.digest, k.fingerprint, k.subject, k.status, k.answer, k.deadline, k.version, k.created_at
from unnest(%s::bigint[], %s::bytea[]) asked(book, digest)
cross join lateral (
    -- Weeks that have not begun, by the shard's time, hold no keys: said so, they are left out.
    select * from key where shard = %s and book = asked.book and digest = asked.digest
        and created_at < (select greatest(now(), last_at) + interval '1 day' from shard where id = %s) limit 1) k

-- name: insert_keys
with w as (
    insert into key (shard, created_at, version, book, digest, fingerprint, subject, status, answer, deadline)
    select %s, %s, * from unnest(%s::integer[],
        %s::bigint[], %s::bytea[], %s::bytea[], %s::uuid[], %s::integer[], %s::bytea[], %s::timestamptz[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_keys
-- The shard stands among the rows that are looked for, behind `offset 0`: so no condition is left that a scan of the
-- whole table could begin with, and every row is a probe, whatever the planner believes. All updates are written so.
with w as (
    update key k set version = n.version, status = n.status, answer = n.answer, subject = n.subject,
        deadline = n.deadline
    from (select * from unnest(%s::bigint[], %s::bytea[], %s::timestamptz[], %s::integer[], %s::integer[], %s::uuid[],
        %s::integer[], %s::bytea[], %s::timestamptz[])
        n(book, digest, created_at, read_version, version, subject, status, answer, deadline),
        (select %s::integer as shard) here offset 0) n
    where k.shard = n.shard and k.book = n.book and k.digest = n.digest and k.created_at = n.created_at
        and k.version = n.read_version
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: insert_events
with w as (
    insert into event (shard, at, seq, book, subject, type, data)
    select %s, %s, * from unnest(%s::bigint[], %s::bigint[], %s::uuid[], %s::text[], %s::bytea[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: insert_due
with w as (
    insert into due (shard, at, kind, subject, book, attempt)
    select %s, * from unnest(%s::timestamptz[], %s::text[], %s::uuid[], %s::bigint[], %s::integer[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: insert_told_due
with w as (
    insert into due (shard, at, kind, subject, book, attempt, said)
    select %s, * from unnest(%s::timestamptz[], %s::text[], %s::uuid[], %s::bigint[], %s::integer[], %s::text[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: delete_due
-- Unguarded: the work may have been claimed meanwhile, and then finds for itself that nothing is left to do.
delete from due d using (select * from unnest(%s::timestamptz[], %s::text[], %s::uuid[]) gone(at, kind, subject),
    (select %s::integer as shard) here offset 0) gone
where d.shard = gone.shard and d.at = gone.at and d.kind = gone.kind and d.subject = gone.subject

-- name: read_due_now
select at, kind, subject, book, attempt, said from due
where shard = %s and at <= clock_timestamp() and kind <> all(%s::text[]) order by at limit %s

-- name: read_due
select d.at, d.kind, d.subject, d.book, d.attempt, d.said
from (select * from unnest(%s::timestamptz[], %s::text[], %s::uuid[]) n(at, kind, subject),
    (select %s::integer as shard) here offset 0) n
join due d on d.shard = n.shard and d.at = n.at and d.kind = n.kind and d.subject = n.subject

-- name: advance_shard
with b as (
    insert into batch (shard, id, commands, first_event_seq, last_event_seq, first_posting_seq, last_posting_seq, at)
    values (%s, %s, %s, %s, %s, %s, %s, %s)),
w as (
    update shard set event_seq = %s, posting_seq = %s, chain = %s, last_at = %s
    where id = %s and event_seq = %s and posting_seq = %s
    returning 1)
select 1 / (count(*) = 1)::int from w
