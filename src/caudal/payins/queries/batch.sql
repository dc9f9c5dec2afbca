-- Payins: what the batch reads and writes, and what is read by an id or by the worker.

-- name: read_payins
-- A probe of the primary key each, by construction: `id = any(…)` may skip through another index that ends with the id,
-- as long as the table has no statistics. So are all rows read whose tables grow and have other such indexes.
select id, book, version, status, reason, method, country, currency, amount_minor, received_minor, fee_minor, fee_plan,
    deposit_number, reference, detail, created_at, expires_at, paid_at, authorized_minor, captured_minor,
    refunded_minor, disputed_minor, available_on
from unnest(%s::uuid[]) asked(this)
cross join lateral (select * from payin where shard = %s and id = asked.this limit 1) payin

-- name: insert_payins
with w as (
    insert into payin (shard, id, book, version, status, reason, method, country, currency, amount_minor,
        received_minor, fee_minor, fee_plan, deposit_number, reference, detail, created_at, expires_at, paid_at)
    select %s, * from unnest(%s::uuid[], %s::bigint[], %s::integer[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::integer[], %s::bigint[], %s::text[], %s::bytea[],
        %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: insert_moved_payins
-- Payins that began in the same batch and have come to something already.
with w as (
    insert into payin (shard, id, book, version, status, reason, method, country, currency, amount_minor,
        received_minor, fee_minor, fee_plan, deposit_number, reference, detail, created_at, expires_at, paid_at,
        authorized_minor, captured_minor, refunded_minor, disputed_minor, available_on)
    select %s, * from unnest(%s::uuid[], %s::bigint[], %s::integer[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::integer[], %s::bigint[], %s::text[], %s::bytea[],
        %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::bigint[],
        %s::bigint[], %s::date[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_payins
with w as (
    update payin p set version = n.version, status = n.status, reason = n.reason, received_minor = n.received_minor,
        fee_minor = n.fee_minor, detail = n.detail, expires_at = n.expires_at, paid_at = n.paid_at,
        authorized_minor = n.authorized_minor, captured_minor = n.captured_minor, refunded_minor = n.refunded_minor,
        disputed_minor = n.disputed_minor, available_on = n.available_on
    from (select * from unnest(%s::uuid[], %s::integer[], %s::integer[], %s::text[], %s::text[], %s::bigint[],
        %s::bigint[], %s::bytea[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::bigint[],
        %s::bigint[], %s::date[])
        n(id, read_version, version, status, reason, received_minor, fee_minor, detail, expires_at, paid_at,
            authorized_minor, captured_minor, refunded_minor, disputed_minor, available_on),
        (select %s::integer as shard) here offset 0) n
    where p.shard = n.shard and p.id = n.id and p.version = n.read_version
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: insert_changes
with w as (
    insert into payin_change (shard, payin, number, status, reason, event, received_minor, at)
    select %s, * from unnest(%s::uuid[], %s::integer[], %s::text[], %s::text[], %s::text[], %s::bigint[],
        %s::timestamptz[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: insert_deposit_accounts
-- Numbers come round again after 10^11. The payin that had one has to have come to its end, or nothing is written:
-- nobody's money may change hands.
with w as (
    insert into deposit_account (shard, number, payin, book)
    select %s, * from unnest(%s::bigint[], %s::uuid[], %s::bigint[])
    on conflict (shard, number) do update set payin = excluded.payin, book = excluded.book
        where not exists (
            select from payin p
            where p.shard = deposit_account.shard and p.id = deposit_account.payin
                and p.status in ('submitting', 'pending', 'authorized'))
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: insert_payers
with w as (
    insert into payer (shard, payin, book, sealed)
    select %s, * from unnest(%s::uuid[], %s::bigint[], %s::bytea[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: read_deposits
select id, book, version, provider, tracking_key, account, currency, amount_minor, applied_minor, unapplied_minor,
    returning_minor, returned_minor, payin, reason, sealed, created_at, paid_at, destination, sent_until
from unnest(%s::uuid[]) asked(this)
cross join lateral (select * from deposit where shard = %s and id = asked.this limit 1) deposit

-- name: insert_deposits
with w as (
    insert into deposit (shard, id, book, version, provider, tracking_key, account, currency, amount_minor,
        applied_minor, unapplied_minor, returning_minor, returned_minor, payin, reason, sealed, created_at, paid_at)
    select %s, * from unnest(%s::uuid[], %s::bigint[], %s::integer[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::uuid[], %s::text[], %s::bytea[],
        %s::timestamptz[], %s::timestamptz[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: insert_moved_deposits
with w as (
    insert into deposit (shard, id, book, version, provider, tracking_key, account, currency, amount_minor,
        applied_minor, unapplied_minor, returning_minor, returned_minor, payin, reason, sealed, created_at, paid_at,
        destination, sent_until)
    select %s, * from unnest(%s::uuid[], %s::bigint[], %s::integer[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::uuid[], %s::text[], %s::bytea[],
        %s::timestamptz[], %s::timestamptz[], %s::bytea[], %s::timestamptz[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_deposits
with w as (
    update deposit d set version = n.version, applied_minor = n.applied_minor, unapplied_minor = n.unapplied_minor,
        returning_minor = n.returning_minor, returned_minor = n.returned_minor, reason = n.reason,
        destination = n.destination, sent_until = n.sent_until
    from (select * from unnest(%s::uuid[], %s::integer[], %s::integer[], %s::bigint[], %s::bigint[], %s::bigint[],
        %s::bigint[], %s::text[], %s::bytea[], %s::timestamptz[])
        n(id, read_version, version, applied_minor, unapplied_minor, returning_minor, returned_minor, reason, destination,
            sent_until),
        (select %s::integer as shard) here offset 0) n
    where d.shard = n.shard and d.id = n.id and d.version = n.read_version
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: payin_of_number
-- Facts that never change may be read before the lock: whose CLABE it is, and what its payin was priced by.
-- The book's clock may be moved meanwhile. Parameters: family, shard, number.
select p.id, p.book, p.fee_plan, coalesce(f.settlement_days, 1), b.clock_offset_s
from deposit_account a
join payin p on p.shard = a.shard and p.id = a.payin
join book b on b.shard = p.shard and b.book = p.book
left join fee_plan f on f.shard = p.shard and f.book = p.book and f.version = p.fee_plan and f.family = %s
    and f.currency = p.currency
where a.shard = %s and a.number = %s

-- name: payins_by_id
-- Each of its own book, where one is named. Probes of two keys a payin by construction (`lateral … limit 1`), whatever
-- the planner believes of the tables.
select p.id, p.book, p.version, p.status, p.reason, p.method, p.country, p.currency, p.amount_minor, p.received_minor,
    p.fee_minor, p.fee_plan, p.deposit_number, p.reference, p.detail, p.created_at, p.expires_at, p.paid_at,
    p.authorized_minor, p.captured_minor, p.refunded_minor, p.disputed_minor, p.available_on, s.sealed
from unnest(%s::uuid[], %s::bigint[]) asked(id, book)
cross join lateral (select * from payin where shard = %s and id = asked.id
    and (asked.book is null or book = asked.book) limit 1) p
left join lateral (select sealed from payer where shard = %s and payin = p.id limit 1) s on true

-- name: payins_to_expire
-- Payins of one test book that a moved clock may have passed, oldest first: open ones, and those of which a part is
-- captured.
select id, expires_at, created_at from payin
where shard = %s and book = %s and (created_at, id) > (%s::timestamptz, %s::uuid)
    and (status in ('pending', 'authorized') or (status = 'paid' and captured_minor < authorized_minor))
order by created_at, id limit %s

-- name: search_mark
select seq from consumer where shard = %s and name = 'payin_search'

-- name: search_source
-- New payins behind the mark, with what they are searched by.
select e.seq, e.book, e.subject, p.reference, s.sealed
from event e
join payin p on p.shard = e.shard and p.id = e.subject
left join payer s on s.shard = e.shard and s.payin = e.subject
where e.shard = %s and e.seq > %s and e.seq <= %s and e.type = 'payin.created'

-- name: search_insert
insert into payin_search (shard, book, term, payin)
select %s, * from unnest(%s::bigint[], %s::bytea[], %s::uuid[])
on conflict (shard, book, term, payin) do nothing

-- name: search_advance
insert into consumer (shard, name, seq) values (%s, 'payin_search', %s)
on conflict (shard, name) do update set seq = excluded.seq

-- name: head
select event_seq from shard where id = %s

-- name: read_operations
select id, book, payin, version, kind, status, reason, currency, amount_minor, fee_minor, from_pending_minor,
    from_available_minor, detail, sealed, created_at, settled_at
from unnest(%s::uuid[]) asked(this)
cross join lateral (select * from payin_operation where shard = %s and id = asked.this limit 1) payin_operation

-- name: insert_operations
with w as (
    insert into payin_operation (shard, id, book, payin, version, kind, status, reason, currency, amount_minor,
        fee_minor, from_pending_minor, from_available_minor, detail, sealed, created_at, settled_at)
    select %s, * from unnest(%s::uuid[], %s::bigint[], %s::uuid[], %s::integer[], %s::text[], %s::text[], %s::text[],
        %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bytea[], %s::bytea[],
        %s::timestamptz[], %s::timestamptz[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_operations
with w as (
    update payin_operation o set version = n.version, status = n.status, reason = n.reason, detail = n.detail,
        settled_at = n.settled_at
    from (select * from unnest(%s::uuid[], %s::integer[], %s::integer[], %s::text[], %s::text[], %s::bytea[],
        %s::timestamptz[])
        n(id, read_version, version, status, reason, detail, settled_at),
        (select %s::integer as shard) here offset 0) n
    where o.shard = n.shard and o.id = n.id and o.version = n.read_version
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: operations_of_payin
select id, book, payin, version, kind, status, reason, currency, amount_minor, fee_minor, from_pending_minor,
    from_available_minor, detail, sealed, created_at, settled_at
from payin_operation where shard = %s and payin = %s order by id

-- name: read_discrepancies
select id, book, version, provider, kind, payin, detail, created_at, resolved_at, resolution, held, answer, correction
from discrepancy where shard = %s and id = any(%s)

-- name: insert_discrepancies
with w as (
    insert into discrepancy (shard, id, book, version, provider, kind, payin, detail, created_at, resolved_at,
        resolution, held, answer, correction)
    select %s, * from unnest(%s::uuid[], %s::bigint[], %s::integer[], %s::text[], %s::text[], %s::uuid[], %s::bytea[],
        %s::timestamptz[], %s::timestamptz[], %s::text[], %s::bytea[], %s::bytea[], %s::text[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_discrepancies
with w as (
    update discrepancy d set version = n.version, resolved_at = n.resolved_at, resolution = n.resolution,
        answer = n.answer, correction = n.correction
    from (select * from unnest(%s::uuid[], %s::integer[], %s::integer[], %s::timestamptz[], %s::text[], %s::bytea[],
        %s::text[])
        n(id, read_version, version, resolved_at, resolution, answer, correction),
        (select %s::integer as shard) here offset 0) n
    where d.shard = n.shard and d.id = n.id and d.version = n.read_version
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: payer_seal
select sealed from payer where shard = %s and payin = %s

-- name: read_disputes
select id, book, payin, version, provider, reference, status, reason, currency, amount_minor, fee_minor,
    from_pending_minor, day, evidence, respond_by, opened_at, closed_at
from dispute where shard = %s and id = any(%s)

-- name: insert_disputes
with w as (
    insert into dispute (shard, id, book, payin, version, provider, reference, status, reason, currency, amount_minor,
        fee_minor, from_pending_minor, day, evidence, respond_by, opened_at, closed_at)
    select %s, * from unnest(%s::uuid[], %s::bigint[], %s::uuid[], %s::integer[], %s::text[], %s::text[], %s::text[],
        %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::date[], %s::integer[],
        %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_disputes
with w as (
    update dispute d set version = n.version, status = n.status, evidence = n.evidence, closed_at = n.closed_at
    from (select * from unnest(%s::uuid[], %s::integer[], %s::integer[], %s::text[], %s::integer[], %s::timestamptz[])
        n(id, read_version, version, status, evidence, closed_at),
        (select %s::integer as shard) here offset 0) n
    where d.shard = n.shard and d.id = n.id and d.version = n.read_version
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: open_disputes
select id, currency, respond_by from dispute
where shard = %s and book = %s and closed_at is null and id > %s order by id limit %s

-- name: read_evidence
select id, book, dispute, version, kind, content_type, size_bytes, sha256, status, reason, created_at, sent_at
from dispute_evidence where shard = %s and id = any(%s)

-- name: insert_evidence
with w as (
    insert into dispute_evidence (shard, id, book, dispute, version, kind, content_type, size_bytes, sha256, status,
        reason, created_at, sent_at)
    select %s, * from unnest(%s::uuid[], %s::bigint[], %s::uuid[], %s::integer[], %s::text[], %s::text[],
        %s::integer[], %s::bytea[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_evidence
with w as (
    update dispute_evidence e set version = n.version, status = n.status, reason = n.reason, sent_at = n.sent_at
    from (select * from unnest(%s::uuid[], %s::integer[], %s::integer[], %s::text[], %s::text[], %s::timestamptz[])
        n(id, read_version, version, status, reason, sent_at),
        (select %s::integer as shard) here offset 0) n
    where e.shard = n.shard and e.id = n.id and e.version = n.read_version
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: evidence_of_dispute
select id, book, dispute, version, kind, content_type, size_bytes, sha256, status, reason, created_at, sent_at
from dispute_evidence where shard = %s and dispute = %s order by created_at, id

-- name: keep_file
insert into dispute_file (shard, id, sealed, kept_at) values (%s, %s, %s, now())
on conflict (shard, id) do update set kept_at = now()

-- name: drop_file
-- A file whose evidence was refused, unless a former request has made it count.
delete from dispute_file f
where f.shard = %s and f.id = %s
    and not exists (select from dispute_evidence e where e.shard = f.shard and e.id = f.id)

-- name: drop_unused_files
-- Kept by a request that ended before its evidence was committed: long enough ago that none can still come.
delete from dispute_file f
where f.shard = %s and f.kept_at between now() - interval '8 days' and now() - interval '1 hour'
    and not exists (select from dispute_evidence e where e.shard = f.shard and e.id = f.id)

-- name: read_file
select sealed from dispute_file where shard = %s and id = %s

-- name: read_overrides
select provider, mode, version, forced, forced_reason, forced_until, drained, drained_reason, changed_at
from unnest(%s::text[], %s::text[]) asked(of_provider, of_mode)
join provider_override on shard = %s and provider = of_provider and mode = of_mode

-- name: all_overrides
select provider, mode, version, forced, forced_reason, forced_until, drained, drained_reason, changed_at
from provider_override where shard = %s order by provider, mode

-- name: insert_overrides
with w as (
    insert into provider_override (shard, provider, mode, version, forced, forced_reason, forced_until, drained,
        drained_reason, changed_at)
    select %s, * from unnest(%s::text[], %s::text[], %s::integer[], %s::text[], %s::text[], %s::timestamptz[],
        %s::boolean[], %s::text[], %s::timestamptz[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_overrides
with w as (
    update provider_override o set version = n.version, forced = n.forced, forced_reason = n.forced_reason,
        forced_until = n.forced_until, drained = n.drained, drained_reason = n.drained_reason,
        changed_at = n.changed_at
    from (select * from unnest(%s::text[], %s::text[], %s::integer[], %s::integer[], %s::text[], %s::text[],
            %s::timestamptz[], %s::boolean[], %s::text[], %s::timestamptz[])
        n(provider, mode, read_version, version, forced, forced_reason, forced_until, drained, drained_reason,
            changed_at),
        (select %s::integer as shard) here offset 0) n
    where o.shard = n.shard and o.provider = n.provider and o.mode = n.mode and o.version = n.read_version
    returning 1)
select 1 / (count(*) = %s)::int from w
