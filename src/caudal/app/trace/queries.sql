-- One payment's story, out of every service's tables, by index probes alone. What is numbered (events, postings) has no
-- index by what it is about: it is found by its time, which is that of the batch that wrote the object's row.

-- name: payin
select p.book, p.status, p.reason, p.method, p.country, p.currency, p.amount_minor, p.received_minor, p.fee_minor,
    p.authorized_minor, p.captured_minor, p.refunded_minor, p.disputed_minor, p.reference, p.detail, p.created_at,
    p.expires_at, p.paid_at, p.available_on, b.merchant, b.clock_offset_s, clock_timestamp() read_at
from payin p join book b on b.shard = p.shard and b.book = p.book
where p.shard = %(shard)s and p.id = %(id)s

-- name: owner_of_operation
select payin from payin_operation where shard = %(shard)s and id = %(id)s

-- name: owner_of_deposit
select payin from deposit where shard = %(shard)s and id = %(id)s

-- name: owner_of_dispute
select payin from dispute where shard = %(shard)s and id = %(id)s

-- name: owner_of_discrepancy
select payin from discrepancy where shard = %(shard)s and id = %(id)s

-- name: owner_of_evidence
select d.payin from dispute_evidence e join dispute d on d.shard = e.shard and d.id = e.dispute
where e.shard = %(shard)s and e.id = %(id)s

-- name: subject_of_delivery
select type, subject from webhook_delivery where shard = %(shard)s and id = %(id)s limit 1

-- name: subject_of_event
select type, subject from event where shard = %(shard)s and seq = %(seq)s limit 1

-- name: changes
select number, event, status, reason, received_minor, at from payin_change
where shard = %(shard)s and payin = %(id)s order by number

-- name: operations
select id, kind, status, reason, amount_minor, fee_minor, created_at, settled_at,
    (convert_from(detail, 'UTF8')::jsonb ->> 'attempt')::integer
from payin_operation
where shard = %(shard)s and payin = %(id)s order by id

-- name: deposits
select id, provider, tracking_key, amount_minor, applied_minor, unapplied_minor, returning_minor, returned_minor, reason,
    created_at
from deposit where shard = %(shard)s and id = any(%(ids)s::uuid[]) order by created_at, id

-- name: disputes
select id, provider, reference, status, reason, amount_minor, fee_minor, respond_by, opened_at, closed_at from dispute
where shard = %(shard)s and payin = %(id)s order by opened_at, id

-- name: evidence
select e.id, e.dispute, e.kind, e.size_bytes, e.status, e.reason, e.created_at, e.sent_at
from unnest(%(disputes)s::uuid[]) d(id)
join dispute_evidence e on e.shard = %(shard)s and e.dispute = d.id order by e.created_at, e.id

-- name: discrepancies
select id, provider, kind, created_at, resolved_at, resolution, correction from discrepancy
where shard = %(shard)s and payin = %(id)s order by created_at, id

-- name: tried
-- What was tried in vain and waits to be tried again.
select kind, subject, at, attempt, said from due
where shard = %(shard)s and kind = any(%(kinds)s::text[]) and subject = any(%(ids)s::uuid[])
    and (attempt > 1 or said is not null)
order by at

-- name: batches
-- They are kept for a day.
select id, commands, first_event_seq, last_event_seq, first_posting_seq, last_posting_seq, at from batch
where shard = %(shard)s and at = any(%(moments)s::timestamptz[]) order by at, first_event_seq limit 200

-- name: events
-- Those of some moments about some subjects. Time never goes back from one number to the next, so the first of each
-- moment is found by halving.
with recursive halves(moment, low, high) as (
    select moment, 0::bigint, s.event_seq from shard s cross join unnest(%(moments)s::timestamptz[]) m(moment)
    where s.id = %(shard)s
    union all
    select moment, case when found.at >= moment then low else middle end,
        case when found.at >= moment then middle - 1 else high end
    from halves
    cross join lateral (select (low + high + 1) / 2 middle) half
    left join lateral (select at from event where shard = %(shard)s and seq = middle limit 1) found on true
    where low < high)
select e.seq, e.at, e.type, e.subject from halves h
cross join lateral (
    select seq, at, type, subject from event
    where shard = %(shard)s and seq > h.low and seq <= h.low + %(looked_at)s and at = h.moment) e
where h.low = h.high and e.subject = any(%(subjects)s::uuid[]) order by e.seq

-- name: transfers
-- The same for postings.
with recursive halves(moment, low, high) as (
    select moment, 0::bigint, s.posting_seq from shard s cross join unnest(%(moments)s::timestamptz[]) m(moment)
    where s.id = %(shard)s
    union all
    select moment, case when found.at >= moment then low else middle end,
        case when found.at >= moment then middle - 1 else high end
    from halves
    cross join lateral (select (low + high + 1) / 2 middle) half
    left join lateral (select at from transfer where shard = %(shard)s and seq = middle) found on true
    where low < high)
select t.seq, t.at, t.code, t.kind, t.debit_account, t.credit_account, t.amount_minor, t.subject from halves h
cross join lateral (
    select seq, at, code, kind, debit_account, credit_account, amount_minor, subject from transfer
    where shard = %(shard)s and seq > h.low and seq <= h.low + %(looked_at)s and at = h.moment) t
where h.low = h.high and t.subject = any(%(subjects)s::uuid[]) order by t.seq

-- name: deliveries
-- What became of its events on the way to its merchant's endpoints, those that are deleted since, too.
select d.id, d.endpoint, d.event_seq, d.type, d.cause, d.status, d.attempts, d.created_at, d.due_at
from (
    select shard, id from webhook_endpoint where shard = %(shard)s and book = %(book)s and status <> 'deleted'
    union all
    select shard, id from webhook_endpoint where shard = %(shard)s and book = %(book)s and status = 'deleted') w
cross join unnest(%(moments)s::timestamptz[]) m(moment)
join webhook_delivery d on d.shard = w.shard and d.endpoint = w.id and d.event_at = m.moment
where d.subject = any(%(subjects)s::uuid[])
order by d.created_at, d.event_seq limit 500

-- name: attempts
select a.delivery, a.number, a.at, a.duration_us, a.status, a.error
from unnest(%(deliveries)s::uuid[]) d(id)
join webhook_attempt a on a.shard = %(shard)s and a.delivery = d.id order by a.at, a.number limit 1000
