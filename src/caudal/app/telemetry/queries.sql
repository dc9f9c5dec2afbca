-- What is asked so that a process can be seen.

-- name: shards_ahead
select id, date_trunc('second', last_at - clock_timestamp())::text from shard
where last_at > clock_timestamp() + interval '1 minute' order by id

-- name: migrations
select number from migration

-- name: watch_alone
-- One worker at a time gathers what stands below; its session holds this until it ends.
select pg_try_advisory_lock(870088)

-- name: heads
select id, event_seq, greatest(0, extract(epoch from last_at - clock_timestamp()))::float8 from shard order by id

-- name: check_places
-- One row a shard, and no more.
select shard, laws = %s, place from check_place order by shard

-- name: keep_check_place
insert into check_place (shard, laws, place, at) values (%s, %s, %s, clock_timestamp())
on conflict (shard) do update set laws = excluded.laws, place = excluded.place, at = excluded.at

-- name: consumers
select c.shard, c.name, greatest(0, s.event_seq - c.seq) from consumer c join shard s on s.id = c.shard

-- name: oldest_due
-- Of what has been due longest and nobody has taken: how long, kind by kind.
select kind, extract(epoch from clock_timestamp() - min(at))::float8
from (select kind, at from due where shard = %s and at <= clock_timestamp() order by at limit 1000) waiting
group by kind

-- name: in_vain
-- What was tried and did not end, kind by kind.
select kind, count(*)
from (select kind from due where shard = %s and (attempt > 1 or said is not null) limit 1000) waiting
group by kind

-- name: webhooks_unmade
-- How old the first event is that no delivery was made of yet.
select extract(epoch from clock_timestamp() - e.at)::float8
from consumer c
cross join lateral (select at from event where event.shard = c.shard and seq > c.seq order by seq limit 1) e
where c.shard = %s and c.name = 'webhooks'

-- name: webhooks_late
-- How long the first delivery of each endpoint has been due: those that were never tried, and those that were.
select d.attempts > 0, extract(epoch from clock_timestamp() - min(d.due_at))::float8
from (
    select shard, endpoint from webhook_queue where shard = %s and due_at <= clock_timestamp()
    order by due_at limit 1000) q
cross join lateral (
    select due_at, attempts from webhook_delivery
    where webhook_delivery.shard = q.shard and webhook_delivery.endpoint = q.endpoint and due_at is not null
    order by due_at limit 1) d
where d.due_at <= clock_timestamp()
group by d.attempts > 0

-- name: open_discrepancies
select count(*), coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8
from (
    select created_at from discrepancy where shard = %s and resolved_at is null
    order by created_at, id limit 1000) unresolved

-- name: operations_under_way
select kind, book & 1 = 1, currency, sum(amount_minor)::bigint
from (
    select kind, book, currency, amount_minor from payin_operation where shard = %s and status = 'pending'
    order by id limit 10000) waiting
group by 1, 2, 3

-- name: returns_under_way
select book & 1 = 1, currency, sum(returning_minor)::bigint
from (
    select book, currency, returning_minor from deposit where shard = %s and returning_minor > 0
    order by id limit 10000) waiting
group by 1, 2

-- name: authorized_in_range
-- What is held for merchants and not taken, the rest of what was captured in part, too. No index leads there, for every card payment would pay for it.
select book & 1 = 1, currency, sum(authorized_minor - captured_minor)::bigint
from payin
where shard = %(shard)s and id > %(low)s and id <= %(high)s and captured_minor < authorized_minor
    and (status = 'authorized' or (status = 'paid' and position(convert_to('"closed":true', 'UTF8') in detail) = 0))
group by 1, 2

-- name: house_accounts
select id, debits_posted - credits_posted from account where shard = %s and id >= 0 and id < %s order by id
