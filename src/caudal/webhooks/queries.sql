-- Webhooks. Endpoints are written by batches; deliveries, attempts and the queue by transactions of their own, many rows
-- a statement, without the shard's lock.

-- Endpoints, as a batch sees them

-- name: read_endpoints
select id, book, version, url, types, description, status, reason, sealed, former_sealed, former_until, created_at,
    disabled_at, deleted_at
from webhook_endpoint where shard = %s and id = any(%s)

-- name: insert_endpoints
with w as (
    insert into webhook_endpoint (shard, id, book, version, url, types, description, status, reason, sealed,
        former_sealed, former_until, created_at, disabled_at)
    select %s, id, book, version, url, string_to_array(types, ' '), description, status, reason, sealed, former_sealed,
        former_until, created_at, disabled_at
    from unnest(%s::uuid[], %s::bigint[], %s::integer[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::bytea[], %s::bytea[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
        n(id, book, version, url, types, description, status, reason, sealed, former_sealed, former_until, created_at,
        disabled_at)
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: insert_queues
with w as (insert into webhook_queue (shard, endpoint) select %s, * from unnest(%s::uuid[]) returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_endpoints
with w as (
    update webhook_endpoint e set version = n.version, url = n.url, types = string_to_array(n.types, ' '),
        description = n.description, status = n.status, reason = n.reason, sealed = n.sealed,
        former_sealed = n.former_sealed, former_until = n.former_until, disabled_at = n.disabled_at,
        deleted_at = n.deleted_at
    from (select * from unnest(%s::integer[], %s::uuid[], %s::integer[], %s::text[], %s::text[], %s::text[],
        %s::text[], %s::text[],
        %s::bytea[], %s::bytea[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
        n(read_version, id, version, url, types, description, status, reason, sealed, former_sealed, former_until,
        disabled_at, deleted_at),
        (select %s::integer as shard) here offset 0) n
    where e.shard = n.shard and e.id = n.id and e.version = n.read_version
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: count_endpoints
-- How many endpoints each of these books has; deleted ones count no more.
select b.book, (select count(*) from webhook_endpoint where shard = %s and book = b.book and status <> 'deleted')
from unnest(%s::bigint[]) b(book)

-- name: count_ranges
-- How many ranges of each of these books are still being made into deliveries.
select b.book, (select count(*) from webhook_range where shard = %s and book = b.book and status = 'running')
from unnest(%s::bigint[]) b(book)

-- name: begin_again
-- An endpoint was changed: whoever delivers looks at it, and its days of failures are counted anew.
update webhook_queue set due_at = now(), failing_since = null
where shard = %s and endpoint = any(array(
    select endpoint from webhook_queue where shard = %s and endpoint = any(%s::uuid[]) order by endpoint for update))

-- name: insert_ranges
with w as (
    insert into webhook_range (shard, id, book, endpoint, since, until, types, only_failed, status, seq, made, created_at)
    select %s, id, book, endpoint, since, until, string_to_array(types, ' '), only_failed, 'running', 0, 0, created_at
    from unnest(%s::uuid[], %s::bigint[], %s::uuid[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::boolean[],
        %s::timestamptz[]) n(id, book, endpoint, since, until, types, only_failed, created_at)
    returning 1)
select 1 / (count(*) = %s)::int from w

-- Deliveries come into being

-- name: insert_deliveries
insert into webhook_delivery (shard, created_at, status, attempts, due_at, id, book, endpoint, event_seq, event_at,
    type, subject, cause)
select %s, coalesce(%s, now()), 'pending', 0, now(), * from unnest(
    %s::uuid[], %s::bigint[], %s::uuid[], %s::bigint[], %s::timestamptz[], %s::text[], %s::uuid[], %s::text[])

-- name: wake
-- Locked in one order, and always: whoever releases an endpoint at this moment sees what is new after us, or before.
update webhook_queue set due_at = least(coalesce(due_at, now()), now())
where shard = %s and endpoint = any(array(
    select endpoint from webhook_queue where shard = %s and endpoint = any(%s::uuid[]) order by endpoint for update))

-- name: fan_out_begin
insert into consumer (shard, name, seq) values (%s, 'webhooks', 0) on conflict (shard, name) do nothing

-- name: fan_out_mark
select c.seq, s.event_seq from consumer c join shard s on s.id = c.shard
where c.shard = %s and c.name = 'webhooks' for update of c skip locked

-- name: fan_out_anybody
select 1 from webhook_endpoint where shard = %s and status = 'enabled' limit 1

-- name: fan_out_source
-- Events behind the mark with the endpoints that hear of them, so many rows and the rest of the last event's; the house's
-- book 0 is nobody's.
select e.seq, e.at, e.book, e.type, e.subject, w.id
from event e
join webhook_endpoint w on w.shard = e.shard and w.book = e.book and w.status = 'enabled' and w.created_at <= e.at
    and (w.types = '{}' or e.type = any(w.types))
where e.shard = %s and e.seq > %s and e.seq <= %s and e.book > 1 and e.type <> 'webhook_endpoint.tested'
order by e.seq fetch first %s rows with ties

-- name: fan_out_advance
update consumer set seq = %s where shard = %s and name = 'webhooks'

-- name: range_mark
select r.book, r.endpoint, r.since, r.until, r.types, r.only_failed, r.seq, e.status
from webhook_range r join webhook_endpoint e on e.shard = r.shard and e.id = r.endpoint
where r.shard = %s and r.id = %s and r.status = 'running' for update of r

-- name: range_begin
-- The number of the last event before a time. Time never goes back from one event to the next, so it is found by
-- halving; events that have been dropped were before it.
with recursive halves(low, high) as (
    select 0::bigint, event_seq from shard where id = %(shard)s
    union all
    select case when found.at >= %(since)s then low else middle end,
        case when found.at >= %(since)s then middle - 1 else high end
    from halves
    cross join lateral (select (low + high + 1) / 2 middle) half
    left join lateral (select at from event where shard = %(shard)s and seq = middle limit 1) found on true
    where low < high)
select low from halves where low = high

-- name: range_source
-- The next events of the book, and whether each is asked for: so many are looked at, whatever is asked.
select e.seq, e.at, e.type, e.subject,
    e.at >= %(since)s and e.type <> 'webhook_endpoint.tested'
    and (%(types)s::text[] = '{}' or e.type = any(%(types)s::text[]))
    and not (%(only_failed)s and exists (
        select 1 from webhook_delivery d where d.shard = %(shard)s and d.endpoint = %(endpoint)s and d.event_at = e.at
            and d.event_seq = e.seq and d.status in ('pending', 'delivered')))
from (
    select seq, at, type, subject from event where shard = %(shard)s and book = %(book)s and seq > %(seq)s
    order by seq limit %(looked_at)s) e
where e.at <= %(until)s
order by e.seq

-- name: range_advance
update webhook_range set seq = %s, made = made + %s, status = %s where shard = %s and id = %s

-- Deliveries on their way

-- name: claim
-- Endpoints that somebody has to look at and that nobody holds.
update webhook_queue set holder = %(holder)s, lease_until = now() + %(lease)s
where shard = %(shard)s and endpoint = any(array(
    select endpoint from webhook_queue
    where shard = %(shard)s and due_at <= now() and (lease_until is null or lease_until <= now())
    order by due_at limit %(limit)s for update skip locked))
returning endpoint, failing_since

-- name: renew
update webhook_queue set lease_until = now() + %s where shard = %s and endpoint = any(%s::uuid[]) and holder = %s
returning endpoint

-- name: read_held
-- Endpoints as they are now, and whether something was put off at each (an index that is empty when all is well).
select e.id, e.book, e.version, e.url, e.types, e.description, e.status, e.reason, e.sealed, e.former_sealed,
    e.former_until, e.created_at, e.disabled_at, e.deleted_at, exists (
        select 1 from webhook_delivery r
        where r.shard = e.shard and r.endpoint = e.id and r.due_at is not null
            and (r.attempts between 1 and 2 or (r.attempts = 0 and r.due_at > r.created_at)))
from webhook_endpoint e where e.shard = %s and e.id = any(%s)

-- name: read_due
-- What is due at each endpoint, at most so much, in order.
select d.id, d.created_at, d.book, d.endpoint, d.event_seq, d.event_at, d.type, d.subject, d.attempts, e.data
from unnest(%s::uuid[], %s::integer[]) asked(endpoint, most)
cross join lateral (
    select * from webhook_delivery
    where shard = %s and endpoint = asked.endpoint and due_at is not null and due_at <= now()
    order by due_at, event_seq limit asked.most) d
left join lateral (
    select data from event where shard = d.shard and seq = d.event_seq and at = d.event_at limit 1) e on true
order by d.due_at, d.event_seq

-- name: read_changed
-- Which endpoints are no longer at the version that is known.
select n.id from unnest(%s::uuid[], %s::integer[]) n(id, version)
cross join lateral (
    select version from webhook_endpoint where shard = %s and id = n.id order by shard, id limit 1) e
where e.version <> n.version

-- name: read_put_off
-- What of these subjects is tried again soon or was put off, and until when.
select r.id, r.endpoint, r.subject, r.event_seq, r.due_at
from unnest(%s::uuid[], %s::uuid[]) asked(endpoint, subject)
cross join lateral (
    select * from webhook_delivery
    where shard = %s and endpoint = asked.endpoint and subject = asked.subject and due_at is not null
        and (attempts between 1 and 2 or (attempts = 0 and due_at > created_at))
    order by shard, endpoint, subject) r

-- name: discard_plans
discard plans

-- name: finish
-- Where an attempt has led to. What comes later is counted from the database's time, equal for all of one statement.
-- One that was cancelled while it was under way keeps its attempt, and is delivered if it was taken.
-- One probe a row by construction (`lateral … limit 1`, `offset 0`): joined otherwise, a plan that was made while tables
-- were empty reads all deliveries for each.
update webhook_delivery d set attempts = f.attempts,
    status = case when d.status = 'pending' or f.status = 'delivered' then f.status else d.status end,
    due_at = case when d.status = 'pending' and f.status = 'pending'
    then coalesce(f.due_at, now() + f.delay_us * interval '1 microsecond') end
from (
    select n.*, t.created_at at from unnest(
        %s::uuid[], %s::timestamptz[], %s::text[], %s::integer[], %s::timestamptz[], %s::bigint[])
        n(id, created_at, status, attempts, due_at, delay_us)
    cross join lateral (
        select created_at from webhook_delivery
        where shard = %s and id = n.id and created_at = n.created_at and status in ('pending', 'cancelled') limit 1) t
    offset 0) f
where d.shard = %s and d.id = f.id and d.created_at = f.at and d.status in ('pending', 'cancelled') and d.attempts <= f.attempts

-- name: insert_attempts
insert into webhook_attempt (shard, delivery, number, at, url, signature, duration_us, status, error, answer)
select %s, * from unnest(%s::uuid[], %s::integer[], %s::timestamptz[], %s::text[], %s::text[], %s::bigint[],
    %s::integer[], %s::text[], %s::bytea[])
on conflict (shard, delivery, number, at) do nothing

-- name: mark_failing
update webhook_queue q set failing_since = (
    select n.since from unnest(%s::uuid[], %s::timestamptz[]) n(endpoint, since) where n.endpoint = q.endpoint limit 1)
where q.shard = %s and q.endpoint = any(%s::uuid[]) and q.holder = %s

-- name: cancel
-- A disabled endpoint's deliveries wait for nothing; so many at once.
update webhook_delivery d set status = %s, due_at = null
from (
    select id, created_at from webhook_delivery
    where shard = %s and endpoint = any(%s::uuid[]) and due_at is not null limit %s) c
where d.shard = %s and d.id = c.id and d.created_at = c.created_at

-- name: hold
select endpoint from webhook_queue where shard = %s and endpoint = any(%s::uuid[]) and holder = %s
order by endpoint for update

-- name: release
update webhook_queue q set holder = null, lease_until = null, due_at = (
    select d.due_at from webhook_delivery d
    where d.shard = q.shard and d.endpoint = q.endpoint and d.due_at is not null order by d.due_at limit 1)
where q.shard = %s and q.endpoint = any(%s::uuid[]) and q.holder = %s

-- What merchants read

-- name: endpoint_by_id
select e.id, e.book, e.version, e.url, e.types, e.description, e.status, e.reason, e.sealed, e.former_sealed,
    e.former_until, e.created_at, e.disabled_at, e.deleted_at, q.failing_since
from webhook_endpoint e join webhook_queue q on q.shard = e.shard and q.endpoint = e.id
where e.shard = %s and e.id = %s and e.book = %s

-- name: endpoints_before
select e.id, e.book, e.version, e.url, e.types, e.description, e.status, e.reason, e.sealed, e.former_sealed,
    e.former_until, e.created_at, e.disabled_at, e.deleted_at, q.failing_since
from webhook_endpoint e join webhook_queue q on q.shard = e.shard and q.endpoint = e.id
where e.shard = %s and e.book = %s and e.status <> 'deleted' and (e.created_at, e.id) < (%s, %s)
order by e.created_at desc, e.id desc limit %s

-- name: endpoints_after
select e.id, e.book, e.version, e.url, e.types, e.description, e.status, e.reason, e.sealed, e.former_sealed,
    e.former_until, e.created_at, e.disabled_at, e.deleted_at, q.failing_since
from webhook_endpoint e join webhook_queue q on q.shard = e.shard and q.endpoint = e.id
where e.shard = %s and e.book = %s and e.status <> 'deleted' and (e.created_at, e.id) > (%s, %s)
order by e.created_at, e.id limit %s

-- name: endpoints_for
-- Which of a book's endpoints hear of a type.
select id from webhook_endpoint
where shard = %s and book = %s and status = 'enabled' and (types = '{}' or %s = any(types)) order by id

-- name: deliveries_before
select id, created_at, book, endpoint, event_seq, event_at, type, subject, cause, status, attempts, due_at
from webhook_delivery
where shard = %(shard)s and endpoint = %(endpoint)s and (event_at, id) < (%(place_at)s, %(place_id)s)
    and event_at >= %(since)s and event_at <= %(until)s
    and (%(status)s::text is null or status = %(status)s::text) and (%(type)s::text is null or type = %(type)s::text)
    and (%(seq)s::bigint is null or event_seq = %(seq)s::bigint)
order by event_at desc, id desc limit %(limit)s

-- name: deliveries_after
select id, created_at, book, endpoint, event_seq, event_at, type, subject, cause, status, attempts, due_at
from webhook_delivery
where shard = %(shard)s and endpoint = %(endpoint)s and (event_at, id) > (%(place_at)s, %(place_id)s)
    and event_at >= %(since)s and event_at <= %(until)s
    and (%(status)s::text is null or status = %(status)s::text) and (%(type)s::text is null or type = %(type)s::text)
    and (%(seq)s::bigint is null or event_seq = %(seq)s::bigint)
order by event_at, id limit %(limit)s

-- name: delivery_by_id
select id, created_at, book, endpoint, event_seq, event_at, type, subject, cause, status, attempts, due_at
from webhook_delivery where shard = %s and id = %s and book = %s

-- name: attempts_of
select number, at, url, signature, duration_us, status, error, answer
from webhook_attempt where shard = %s and delivery = %s order by number, at

-- name: event_by_seq
select seq, at, type, subject, data from event where shard = %s and book = %s and seq = %s

-- name: lag
-- How long what is due first has been due, and how old the first event is that no delivery was made of yet, seconds.
select greatest(
    coalesce(extract(epoch from now() - min(d.due_at)), 0),
    coalesce((
        select extract(epoch from now() - e.at)
        from consumer c join lateral (
            select at from event where event.shard = c.shard and seq > c.seq order by seq limit 1) e on true
        where c.shard = %(shard)s and c.name = 'webhooks'), 0))::float8
from webhook_queue q
cross join lateral (
    select due_at from webhook_delivery
    where webhook_delivery.shard = q.shard and endpoint = q.endpoint and due_at is not null
    order by due_at limit 1) d
where q.shard = %(shard)s and q.due_at <= now()
