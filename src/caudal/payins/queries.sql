-- Payins: what the batch reads and writes, and what the API reads.

-- name: read_payins
select id, book, version, status, reason, method, country, currency, amount_minor, received_minor, fee_minor, fee_plan,
    deposit_number, reference, detail, created_at, expires_at, paid_at
from payin where shard = %s and id = any(%s)

-- name: insert_payins
with w as (
    insert into payin (shard, id, book, version, status, reason, method, country, currency, amount_minor,
        received_minor, fee_minor, fee_plan, deposit_number, reference, detail, created_at, expires_at, paid_at)
    select %s, * from unnest(%s::uuid[], %s::bigint[], %s::integer[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::integer[], %s::bigint[], %s::text[], %s::bytea[],
        %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_payins
with w as (
    update payin p set version = n.version, status = n.status, reason = n.reason, received_minor = n.received_minor,
        fee_minor = n.fee_minor, detail = n.detail, paid_at = n.paid_at
    from unnest(%s::uuid[], %s::integer[], %s::integer[], %s::text[], %s::text[], %s::bigint[], %s::bigint[],
        %s::bytea[], %s::timestamptz[])
        n(id, read_version, version, status, reason, received_minor, fee_minor, detail, paid_at)
    where p.shard = %s and p.id = n.id and p.version = n.read_version
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
-- Numbers come round again after 10^11; by then the payin that had one has long been closed.
with w as (
    insert into deposit_account (shard, number, payin, book)
    select %s, * from unnest(%s::bigint[], %s::uuid[], %s::bigint[])
    on conflict (shard, number) do update set payin = excluded.payin, book = excluded.book
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
    returning_minor, returned_minor, payin, reason, sealed, created_at
from deposit where shard = %s and id = any(%s)

-- name: insert_deposits
with w as (
    insert into deposit (shard, id, book, version, provider, tracking_key, account, currency, amount_minor,
        applied_minor, unapplied_minor, returning_minor, returned_minor, payin, reason, sealed, created_at)
    select %s, * from unnest(%s::uuid[], %s::bigint[], %s::integer[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::uuid[], %s::text[], %s::bytea[],
        %s::timestamptz[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_deposits
with w as (
    update deposit d set version = n.version, applied_minor = n.applied_minor, unapplied_minor = n.unapplied_minor,
        returning_minor = n.returning_minor, returned_minor = n.returned_minor, reason = n.reason
    from unnest(%s::uuid[], %s::integer[], %s::integer[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
        %s::text[])
        n(id, read_version, version, applied_minor, unapplied_minor, returning_minor, returned_minor, reason)
    where d.shard = %s and d.id = n.id and d.version = n.read_version
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: payin_of_number
-- Facts that never change may be read before the lock: whose CLABE it is, and what its payin was priced by.
select p.id, p.book, p.currency, p.fee_plan
from deposit_account a join payin p on p.shard = a.shard and p.id = a.payin
where a.shard = %s and a.number = %s

-- name: payin_by_id
select p.id, p.book, p.version, p.status, p.reason, p.method, p.country, p.currency, p.amount_minor, p.received_minor,
    p.fee_minor, p.fee_plan, p.deposit_number, p.reference, p.detail, p.created_at, p.expires_at, p.paid_at, s.sealed
from payin p left join payer s on s.shard = p.shard and s.payin = p.id
where p.shard = %s and p.id = %s and p.book = %s

-- name: payins_before
-- One page, newest first. Filters that are null do not filter.
select id, book, version, status, reason, method, country, currency, amount_minor, received_minor, fee_minor, fee_plan,
    deposit_number, reference, detail, created_at, expires_at, paid_at
from payin
where shard = %(shard)s and book = %(book)s
    and (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    and created_at >= %(since)s::timestamptz
    and (%(status)s::text is null or status = %(status)s)
    and (%(method)s::text is null or method = %(method)s)
    and (%(country)s::text is null or country = %(country)s)
    and (%(currency)s::text is null or currency = %(currency)s)
order by created_at desc, id desc
limit %(limit)s

-- name: payins_after
-- One page back towards the newest.
select id, book, version, status, reason, method, country, currency, amount_minor, received_minor, fee_minor, fee_plan,
    deposit_number, reference, detail, created_at, expires_at, paid_at
from payin
where shard = %(shard)s and book = %(book)s
    and (created_at, id) > (%(after_at)s::timestamptz, %(after_id)s::uuid)
    and created_at < %(until)s::timestamptz
    and (%(status)s::text is null or status = %(status)s)
    and (%(method)s::text is null or method = %(method)s)
    and (%(country)s::text is null or country = %(country)s)
    and (%(currency)s::text is null or currency = %(currency)s)
order by created_at, id
limit %(limit)s

-- name: payins_found
-- Payins that have all of these terms, newest first: their ids carry the time.
select p.id, p.book, p.version, p.status, p.reason, p.method, p.country, p.currency, p.amount_minor, p.received_minor,
    p.fee_minor, p.fee_plan, p.deposit_number, p.reference, p.detail, p.created_at, p.expires_at, p.paid_at
from (
    select payin from payin_search
    where shard = %(shard)s and book = %(book)s and term = any(%(terms)s::bytea[])
        and (payin < %(before_id)s::uuid)
    group by payin having count(*) = %(terms_count)s
    order by payin desc limit %(scan)s) found
join payin p on p.shard = %(shard)s and p.id = found.payin
where (%(status)s::text is null or p.status = %(status)s)
    and (%(method)s::text is null or p.method = %(method)s)
    and (%(country)s::text is null or p.country = %(country)s)
    and (%(currency)s::text is null or p.currency = %(currency)s)
    and p.created_at >= %(since)s::timestamptz and p.created_at < %(until)s::timestamptz
order by p.id desc
limit %(limit)s

-- name: payins_found_after
-- One page of them back towards the newest.
select p.id, p.book, p.version, p.status, p.reason, p.method, p.country, p.currency, p.amount_minor, p.received_minor,
    p.fee_minor, p.fee_plan, p.deposit_number, p.reference, p.detail, p.created_at, p.expires_at, p.paid_at
from (
    select payin from payin_search
    where shard = %(shard)s and book = %(book)s and term = any(%(terms)s::bytea[])
        and (payin > %(after_id)s::uuid)
    group by payin having count(*) = %(terms_count)s
    order by payin limit %(scan)s) found
join payin p on p.shard = %(shard)s and p.id = found.payin
where (%(status)s::text is null or p.status = %(status)s)
    and (%(method)s::text is null or p.method = %(method)s)
    and (%(country)s::text is null or p.country = %(country)s)
    and (%(currency)s::text is null or p.currency = %(currency)s)
    and p.created_at >= %(since)s::timestamptz and p.created_at < %(until)s::timestamptz
order by p.id
limit %(limit)s

-- name: payins_to_expire
-- Open payins of one test book that a moved clock has passed, oldest first.
select id, expires_at, created_at from payin
where shard = %s and book = %s and (created_at, id) > (%s::timestamptz, %s::uuid) and status = 'pending'
order by created_at, id limit %s

-- name: deposits_before
select id, book, version, provider, tracking_key, account, currency, amount_minor, applied_minor, unapplied_minor,
    returning_minor, returned_minor, payin, reason, sealed, created_at
from deposit
where shard = %(shard)s and book = %(book)s and (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    and (not %(unapplied)s or unapplied_minor > 0)
order by created_at desc, id desc
limit %(limit)s

-- name: unapplied_deposits_before
select id, book, version, provider, tracking_key, account, currency, amount_minor, applied_minor, unapplied_minor,
    returning_minor, returned_minor, payin, reason, sealed, created_at
from deposit
where shard = %(shard)s and unapplied_minor > 0 and (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
order by created_at desc, id desc
limit %(limit)s

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
