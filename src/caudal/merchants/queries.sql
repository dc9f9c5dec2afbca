-- Statements of merchants and operators. Guards: a row count other than the expected one divides by zero, so that the
-- server aborts the COMMIT that is already on the wire behind the statement.

-- ── Where things are ────────────────────────────────────────────────────────────────────────────────────────────

-- name: next_slot
-- The slot of the next merchant; somebody else may take it first.
select coalesce(max(slot), 0) + 1 from placement

-- name: place_merchant
-- Takes a slot; no row when it is taken. Parameters: slot, merchant, shard.
insert into placement (slot, merchant, shard) values (%s, %s, %s) on conflict (slot) do nothing returning slot

-- name: placement_of_slot
select merchant, shard from placement where slot = %s

-- name: emptiest_shard
-- Where the next merchant goes: the shard with fewest.
select s.id from shard s
order by (select count(*) from placement p where p.shard = s.id), s.id
limit 1

-- name: shard_of_digest
-- Parameters: kind, digest.
select shard from directory where kind = %s and digest = %s

-- name: enter_digest
-- Where a digest leads, written before use. Parameters: kind, digest, slot, shard.
insert into directory (kind, digest, slot, shard) values (%s, %s, %s, %s) on conflict (kind, digest) do nothing

-- ── Who calls ───────────────────────────────────────────────────────────────────────────────────────────────────

-- name: callers
-- Keys that count, with their books and prices; one probe a key by construction. Parameters: digests.
select n.digest, c.* from unnest(%s::bytea[]) n(digest) cross join lateral (
    select d.slot, d.shard, b.merchant, k.book, k.scopes, b.late_payments, b.refunds_beyond_balance, b.clock_offset_s,
        b.fee_plan, b.routing_profile,
        f.families, f.currencies, f.fixed_minor, f.basis_points, f.refund_fixed_minor, f.dispute_fixed_minor,
        f.settlement_days
    from directory d
    join api_key k on k.shard = d.shard and k.digest = d.digest
    join book b on b.shard = k.shard and b.book = k.book
    join merchant m on m.shard = b.shard and m.id = b.merchant
    cross join lateral (
        select array_agg(p.family) families, array_agg(p.currency) currencies, array_agg(p.fixed_minor) fixed_minor,
            array_agg(p.basis_points) basis_points, array_agg(p.refund_fixed_minor) refund_fixed_minor,
            array_agg(p.dispute_fixed_minor) dispute_fixed_minor, array_agg(p.settlement_days) settlement_days
        from fee_plan p where p.shard = b.shard and p.book = b.book and p.version = b.fee_plan) f
    where d.kind = 'api_key' and d.digest = n.digest and m.status = 'active' and k.revoked_at is null
        and (k.ends_at is null or k.ends_at > clock_timestamp())
    limit 1) c

-- name: operator
-- An operator whose key counts. Parameters: digest.
select o.id, o.name, o.digest, o.shard
from directory d
join operator o on o.shard = d.shard and o.digest = d.digest
where d.kind = 'operator' and d.digest = %s and o.revoked_at is null

-- ── Lists: newest first; `after` and `before` are ids ───────────────────────────────────────────────────────────

-- name: merchants
-- Merchants, or one of them. Parameters: id, after, before, limit.
select m.id, m.slot, m.version, m.name, m.country, m.status, m.created_at, b.late_payments,
    b.refunds_beyond_balance, b.fee_plan, m.shard,
    f.families, f.currencies, f.fixed_minor, f.basis_points, f.refund_fixed_minor, f.dispute_fixed_minor,
    f.settlement_days
from merchant m
join book b on b.shard = m.shard and b.book = m.slot * 2 + 1
cross join lateral (
    select array_agg(p.family) families, array_agg(p.currency) currencies, array_agg(p.fixed_minor) fixed_minor,
        array_agg(p.basis_points) basis_points, array_agg(p.refund_fixed_minor) refund_fixed_minor,
        array_agg(p.dispute_fixed_minor) dispute_fixed_minor, array_agg(p.settlement_days) settlement_days
    from fee_plan p where p.shard = b.shard and p.book = b.book and p.version = b.fee_plan) f
where (%(id)s::uuid is null or m.id = %(id)s::uuid)
    and (%(after)s::uuid is null or m.id < %(after)s::uuid)
    and (%(before)s::uuid is null or m.id > %(before)s::uuid)
order by case when %(before)s::uuid is not null then m.id end, m.id desc
limit %(limit)s

-- name: keys_of_merchant
-- A merchant's keys of both modes. Parameters: shard, slot, after, before, limit.
select k.digest, k.id, k.book, k.version, k.name, k.hint, k.scopes, k.created_at, k.ends_at, k.revoked_at
from api_key k
where k.shard = %(shard)s and k.book in (%(slot)s::bigint * 2, %(slot)s::bigint * 2 + 1)
    and (%(after)s::uuid is null or k.id < %(after)s::uuid)
    and (%(before)s::uuid is null or k.id > %(before)s::uuid)
order by case when %(before)s::uuid is not null then k.id end, k.id desc
limit %(limit)s

-- name: key_by_id
-- What never changes of a key: digest and book. Parameters: shard, book, book, id.
select digest, book from api_key where shard = %s and book in (%s, %s) and id = %s

-- name: operators
-- Every operator.
select digest, id, version, name, hint, created_at, revoked_at, shard from operator order by id

-- name: audit_older
-- A page of every shard's audit trail, newest first: older than a place, as far as an end. Filters that are null do not
-- filter; with one that does, the page looks at a bounded number of rows.
select a.id, a.at, a.actor, a.action, a.subject, a.detail
from shard s cross join lateral (
    select id, at, actor, action, subject, detail from audit
    where shard = s.id and id < %(place)s::uuid and id >= %(end)s::uuid
        and (%(actor)s::text is null or actor = %(actor)s::text)
        and (%(action)s::text is null or action = %(action)s::text)
        and (%(subject)s::text is null or subject = %(subject)s::text)
        and (%(since)s::timestamptz is null or at >= %(since)s::timestamptz)
    order by id desc limit %(limit)s) a
order by a.id desc
limit %(limit)s

-- name: audit_looked_older
-- Where a page ends that looks at so many.
select a.at, a.id
from shard s cross join lateral (
    select at, id from audit where shard = s.id and id < %(place)s::uuid order by id desc limit %(looked_at)s) a
order by a.id desc offset %(looked_at)s - 1 limit 1

-- name: audit_newer
-- The page towards the newest, the nearest first.
select a.id, a.at, a.actor, a.action, a.subject, a.detail
from shard s cross join lateral (
    select id, at, actor, action, subject, detail from audit
    where shard = s.id and id > %(place)s::uuid and id <= %(end)s::uuid
        and (%(actor)s::text is null or actor = %(actor)s::text)
        and (%(action)s::text is null or action = %(action)s::text)
        and (%(subject)s::text is null or subject = %(subject)s::text)
        and (%(since)s::timestamptz is null or at >= %(since)s::timestamptz)
    order by id limit %(limit)s) a
order by a.id
limit %(limit)s

-- name: audit_looked_newer
select a.at, a.id
from shard s cross join lateral (
    select at, id from audit where shard = s.id and id > %(place)s::uuid order by id limit %(looked_at)s) a
order by a.id offset %(looked_at)s - 1 limit 1

-- ── Rows of a batch ─────────────────────────────────────────────────────────────────────────────────────────────

-- name: read_merchants
select id, slot, version, name, country, status, created_at
from merchant where shard = %s and id = any(%s::uuid[])

-- name: insert_merchants
with w as (
    insert into merchant (shard, id, slot, version, name, country, status, created_at)
    select %s, * from unnest(
        %s::uuid[], %s::integer[], %s::integer[], %s::text[], %s::text[], %s::text[], %s::timestamptz[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: read_books
select book, merchant, version, late_payments, fee_plan, clock_offset_s, refunds_beyond_balance, routing_profile,
    routing_profiles
from book where shard = %s and book = any(%s::bigint[])

-- name: insert_books
with w as (
    insert into book (shard, book, merchant, version, late_payments, fee_plan, clock_offset_s, refunds_beyond_balance,
        routing_profile, routing_profiles)
    select %s, * from unnest(%s::bigint[], %s::uuid[], %s::integer[], %s::text[], %s::integer[], %s::bigint[],
        %s::text[], %s::uuid[], %s::integer[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_books
with w as (
    update book b set version = n.version, late_payments = n.late_payments, fee_plan = n.fee_plan,
        clock_offset_s = n.clock_offset_s, refunds_beyond_balance = n.refunds_beyond_balance,
        routing_profile = n.routing_profile, routing_profiles = n.routing_profiles
    from (select * from unnest(%s::integer[], %s::bigint[], %s::integer[], %s::text[], %s::integer[], %s::bigint[],
        %s::text[], %s::uuid[], %s::integer[])
        n(read_version, book, version, late_payments, fee_plan, clock_offset_s, refunds_beyond_balance,
        routing_profile, routing_profiles),
        (select %s::integer as shard) here offset 0) n
    where b.shard = n.shard and b.book = n.book and b.version = n.read_version
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: read_fee_plans
-- One row a plan. Parameters: books, versions, shard. One probe a plan, like updates (kernel/commit/queries.sql).
select p.book, p.version, array_agg(p.family), array_agg(p.currency), array_agg(p.fixed_minor),
    array_agg(p.basis_points), array_agg(p.refund_fixed_minor), array_agg(p.dispute_fixed_minor),
    array_agg(p.settlement_days), min(p.created_at)
from (select * from unnest(%s::bigint[], %s::integer[]) asked(book, version),
    (select %s::integer as shard) here offset 0) asked
join fee_plan p on p.shard = asked.shard and p.book = asked.book and p.version = asked.version
group by p.book, p.version

-- name: insert_fee_plans
-- One row a line of a plan.
with w as (
    insert into fee_plan (shard, book, version, family, currency, fixed_minor, basis_points, created_at,
        refund_fixed_minor, dispute_fixed_minor, settlement_days)
    select %s, * from unnest(%s::bigint[], %s::integer[], %s::text[], %s::text[], %s::bigint[], %s::integer[],
        %s::timestamptz[], %s::bigint[], %s::bigint[], %s::integer[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: read_api_keys
select digest, id, book, version, name, hint, scopes, created_at, ends_at, revoked_at
from api_key where shard = %s and digest = any(%s::bytea[])

-- name: insert_api_keys
-- Scopes come as one text each: `unnest` would flatten an array of arrays.
with w as (
    insert into api_key (shard, digest, id, book, version, name, hint, scopes, created_at, ends_at, revoked_at)
    select %s, n.digest, n.id, n.book, n.version, n.name, n.hint, string_to_array(n.scopes, ' '), n.created_at,
        n.ends_at, n.revoked_at
    from unnest(%s::bytea[], %s::uuid[], %s::bigint[], %s::integer[], %s::text[], %s::text[], %s::text[],
        %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
        n(digest, id, book, version, name, hint, scopes, created_at, ends_at, revoked_at)
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_api_keys
with w as (
    update api_key k set version = n.version, ends_at = n.ends_at, revoked_at = n.revoked_at
    from (select * from unnest(%s::integer[], %s::bytea[], %s::integer[], %s::timestamptz[], %s::timestamptz[])
        n(read_version, digest, version, ends_at, revoked_at),
        (select %s::integer as shard) here offset 0) n
    where k.shard = n.shard and k.digest = n.digest and k.version = n.read_version
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: read_operators
select digest, id, version, name, hint, created_at, revoked_at
from operator where shard = %s and digest = any(%s::bytea[])

-- name: insert_operators
with w as (
    insert into operator (shard, digest, id, version, name, hint, created_at, revoked_at)
    select %s, * from unnest(%s::bytea[], %s::uuid[], %s::integer[], %s::text[], %s::text[], %s::timestamptz[],
        %s::timestamptz[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_operators
with w as (
    update operator o set version = n.version, revoked_at = n.revoked_at
    from (select * from unnest(%s::integer[], %s::bytea[], %s::integer[], %s::timestamptz[])
        n(read_version, digest, version, revoked_at),
        (select %s::integer as shard) here offset 0) n
    where o.shard = n.shard and o.digest = n.digest and o.version = n.read_version
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: insert_audit_entries
with w as (
    insert into audit (shard, id, at, actor, action, subject, detail)
    select %s, * from unnest(%s::uuid[], %s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::bytea[])
    returning 1)
select 1 / (count(*) = %s)::int from w
