-- The laws of webhooks; README.md says how a law is written.

-- name: webhook_queue_of_endpoint
-- range: shard
-- Each endpoint has its place in the queue, and nothing else has one.
select 'webhook_queue_of_endpoint' check_name, %(shard)s::integer shard,
    'endpoint ' || coalesce(e.id, q.endpoint) subject,
    case when e.id is null then 'has a place in the queue and does not exist' else 'has no place in the queue' end detail
from (select id from webhook_endpoint where shard = %(shard)s) e
full join (select endpoint from webhook_queue where shard = %(shard)s) q on q.endpoint = e.id
where e.id is null or q.endpoint is null

-- name: webhook_waiting_is_looked_at
-- range: shard
-- What waits has somebody who comes: its endpoint is due no later, or is held.
select 'webhook_waiting_is_looked_at' check_name, q.shard, 'endpoint ' || q.endpoint subject,
    format('a delivery is due at %%s, the endpoint at %%s', d.due_at, coalesce(q.due_at::text, 'no time')) detail
from webhook_queue q
cross join lateral (
    select due_at from webhook_delivery w
    where w.shard = q.shard and w.endpoint = q.endpoint and w.due_at is not null order by w.due_at limit 1) d
where q.shard = %(shard)s and q.holder is null and (q.due_at is null or q.due_at > d.due_at)

-- name: webhook_fan_out_within
-- range: shard
-- Deliveries were made of events that happened, and of no later ones.
select 'webhook_fan_out_within' check_name, s.id shard, 'consumer webhooks' subject,
    'stands at ' || c.seq || ', the shard at ' || s.event_seq detail
from shard s join consumer c on c.shard = s.id and c.name = 'webhooks'
where s.id = %(shard)s and c.seq > s.event_seq

-- name: event_of_webhook_endpoint
-- range: events
-- An event says of its endpoint what never changes.
select 'event_of_webhook_endpoint' check_name, e.shard, 'event ' || e.seq subject,
    e.type || ' and endpoint ' || e.subject || ' tell different stories' detail
from event e
left join webhook_endpoint w on w.shard = e.shard and w.id = e.subject and w.book = e.book
where e.shard = %(shard)s and e.seq > %(low)s and e.seq <= %(high)s and e.type like 'webhook_endpoint.%%' and (
    w.id is null
    or position(convert_to('{"id":"endpoint_' || replace(w.id::text, '-', '') || '","object":"webhook_endpoint","mode":"'
        || case when w.book %% 2 = 1 then 'live' else 'test' end || '",', 'UTF8') in e.data) <> 1
    or position(convert_to(',"created_at":"' || to_char(w.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '"', 'UTF8') in e.data) = 0)

-- name: webhook_delivered_was_accepted
-- range: deliveries
-- A delivery counts the attempts that were made, and the last one says what became of it.
select 'webhook_delivered_was_accepted' check_name, d.shard, 'delivery ' || d.id subject,
    format('%%s after %%s attempts; the last that is kept is %%s, answered %%s', d.status, d.attempts,
        coalesce(a.number, 0), coalesce(a.status::text, a.error, 'nothing')) detail
from webhook_delivery d
left join lateral (
    select number, status, error from webhook_attempt a
    where a.shard = d.shard and a.delivery = d.id order by number desc, at desc limit 1) a on true
where d.shard = %(shard)s and d.id > %(low)s and d.id <= %(high)s and (
    d.attempts <> coalesce(a.number, 0)
    or (d.status = 'delivered') is distinct from (coalesce(a.status, 0) between 200 and 299))

-- name: webhook_delivery_of_event
-- range: deliveries
-- A delivery is of an event of its own book, while that is kept, and goes to an endpoint of the same.
select 'webhook_delivery_of_event' check_name, d.shard, 'delivery ' || d.id subject,
    'event ' || d.event_seq || ' of book ' || coalesce(e.book::text, 'nobody') || ', endpoint of book '
        || coalesce(w.book::text, 'nobody') || ', delivery of book ' || d.book detail
from webhook_delivery d
left join event e on e.shard = d.shard and e.seq = d.event_seq and e.at = d.event_at
left join webhook_endpoint w on w.shard = d.shard and w.id = d.endpoint
where d.shard = %(shard)s and d.id > %(low)s and d.id <= %(high)s and (
    w.book is distinct from d.book
    or (e.seq is not null and (e.book, e.type, e.subject) is distinct from (d.book, d.type, d.subject))
    or (e.seq is null and d.event_seq >= (select seq from event where shard = %(shard)s order by seq limit 1)))
