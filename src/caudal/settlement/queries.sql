-- Settlement: what the batch reads and writes, and what the API reads.

-- name: read_releases
select id, book, currency, day, version, amount_minor, released_minor, due_at
from release where shard = %s and id = any(%s)

-- name: insert_releases
with w as (
    insert into release (shard, id, book, currency, day, version, amount_minor, released_minor, due_at)
    select %s, * from unnest(%s::uuid[], %s::bigint[], %s::text[], %s::date[], %s::integer[], %s::bigint[],
        %s::bigint[], %s::timestamptz[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_releases
with w as (
    update release r set version = n.version, amount_minor = n.amount_minor, released_minor = n.released_minor,
        due_at = n.due_at
    from (select * from unnest(%s::uuid[], %s::integer[], %s::integer[], %s::bigint[], %s::bigint[], %s::timestamptz[])
        n(id, read_version, version, amount_minor, released_minor, due_at),
        (select %s::integer as shard) here offset 0) n
    where r.shard = n.shard and r.id = n.id and r.version = n.read_version
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: insert_balance_transactions
with w as (
    insert into balance_transaction (shard, id, book, created_at, kind, currency, gross_minor, fee_minor, net_minor,
        subject, subject_kind, payin, available_on)
    select %s, * from unnest(%s::uuid[], %s::bigint[], %s::timestamptz[], %s::text[], %s::text[], %s::bigint[],
        %s::bigint[], %s::bigint[], %s::uuid[], %s::text[], %s::uuid[], %s::date[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: waiting_releases
-- What of a book has due work. Parameters: shard, first id, id behind the last.
select id, due_at from release where shard = %s and id >= %s and id < %s and due_at is not null order by id

-- name: pending_by_day
-- What of a book is not available yet, by currency and day. Parameters: shard, first id, id behind the last.
select currency, day, amount_minor from release
where shard = %s and id >= %s and id < %s and amount_minor > 0 order by currency, day

-- name: transactions_before
select id, book, created_at, kind, currency, gross_minor, fee_minor, net_minor, subject, subject_kind, payin,
    available_on
from balance_transaction
where shard = %(shard)s and book = %(book)s and (created_at, id) < (%(before_at)s, %(before_id)s::uuid)
    and (created_at, id) >= (%(end_at)s, %(end_id)s::uuid)
    and (%(kind)s::text is null or kind = %(kind)s::text)
    and (%(currency)s::text is null or currency = %(currency)s::text)
    and (%(payin)s::uuid is null or payin = %(payin)s::uuid)
order by created_at desc, id desc limit %(limit)s

-- name: transactions_looked_before
-- Where a page ends that looks at so many: the place, if there is more behind it.
select created_at, id from balance_transaction
where shard = %(shard)s and book = %(book)s and (created_at, id) < (%(before_at)s, %(before_id)s::uuid)
    and (created_at, id) >= (%(end_at)s, %(end_id)s::uuid)
order by created_at desc, id desc offset %(looked_at)s - 1 limit 1

-- name: transactions_looked_after
select created_at, id from balance_transaction
where shard = %(shard)s and book = %(book)s and (created_at, id) > (%(after_at)s, %(after_id)s::uuid)
    and (created_at, id) <= (%(end_at)s, %(end_id)s::uuid) and created_at >= %(since)s
order by created_at, id offset %(looked_at)s - 1 limit 1

-- name: transactions_after
select id, book, created_at, kind, currency, gross_minor, fee_minor, net_minor, subject, subject_kind, payin,
    available_on
from balance_transaction
where shard = %(shard)s and book = %(book)s and (created_at, id) > (%(after_at)s, %(after_id)s::uuid)
    and (created_at, id) <= (%(end_at)s, %(end_id)s::uuid) and created_at >= %(since)s
    and (%(kind)s::text is null or kind = %(kind)s::text)
    and (%(currency)s::text is null or currency = %(currency)s::text)
    and (%(payin)s::uuid is null or payin = %(payin)s::uuid)
order by created_at, id limit %(limit)s
