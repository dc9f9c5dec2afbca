-- The laws of disputes; README.md says how a law is written.

-- name: event_of_dispute
-- range: events
-- An event says of its dispute what never changes, and the state that it is named after; what is closed stays so, but
-- for what expired and was won after all.
select 'event_of_dispute' check_name, e.shard, 'event ' || e.seq subject,
    e.type || ' and dispute ' || e.subject || ' tell different stories' detail
from event e
left join dispute d on d.shard = e.shard and d.id = e.subject and d.book = e.book
where e.shard = %(shard)s and e.seq > %(low)s and e.seq <= %(high)s and e.type like 'dispute.%%' and (
    d.id is null
    or position(convert_to('{"id":"dispute_' || replace(d.id::text, '-', '') || '","object":"dispute","mode":"'
        || case when d.book %% 2 = 1 then 'live' else 'test' end || '","payin":"payin_' || replace(d.payin::text, '-', '')
        || '","status":"' || case e.type when 'dispute.evidence_refused' then '' when 'dispute.opened' then
            'needs_response"' else substr(e.type, 9) || '"' end, 'UTF8') in e.data) <> 1
    or position(convert_to(',"reason":' || to_json(d.reason) || ',"amount":' || d.amount_minor || ',"currency":"'
        || d.currency || '","fees":' || d.fee_minor || ',"provider_reference":' || to_json(d.reference) || ',',
        'UTF8') in e.data) = 0
    or position(convert_to(',"respond_by":"' || to_char(d.respond_by at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","opened_at":"' || to_char(d.opened_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '","closed_at":',
        'UTF8') in e.data) = 0
    or (d.status = substr(e.type, 9) and d.closed_at is not null and position(convert_to('"closed_at":"'
        || to_char(d.closed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', 'UTF8') in e.data) = 0)
    or case e.type when 'dispute.won' then d.status <> 'won' when 'dispute.lost' then d.status <> 'lost'
        when 'dispute.expired' then d.status not in ('expired', 'won')
        when 'dispute.under_review' then d.status = 'needs_response' else false end)

-- name: payin_disputed
-- range: payins
-- What of a payin is disputed or was lost is what its disputes say, and the one that it shows is one of them.
select 'payin_disputed' check_name, shard, 'payin ' || id subject,
    format('disputed %%s, disputes say %%s; shows %%s', disputed_minor, disputes, coalesce(shown, 'none')) detail
from (
    select p.shard, p.id, p.disputed_minor, coalesce(sum(d.amount_minor) filter (where d.status <> 'won'), 0) disputes,
        substring(encode(p.detail, 'escape') from '"dispute":"([0-9a-f-]{36})"[}]$') shown,
        array_agg(d.id::text order by d.opened_at desc) filter (where d.id is not null) there,
        bool_and(case when d.id is not null then d.book = p.book and d.currency = p.currency
            and (d.provider = p.method or exists (  -- the method: made when providers had no names
                select 1 from jsonb_array_elements(convert_from(p.detail, 'UTF8')::jsonb -> 'attempts') a
                where a ->> 'provider' = d.provider)) end) same
    from payin p
    left join dispute d on d.shard = p.shard and d.payin = p.id
    where p.shard = %(shard)s and p.id > %(low)s and p.id <= %(high)s
    group by p.shard, p.id) p
where disputed_minor <> disputes or same is false or (there is null) <> (shown is null) or shown <> all(there)

-- name: dispute_fee
-- range: payins
-- A dispute costs what the plan of its payin says; one of which nobody heard before it was won costs nothing.
select 'dispute_fee' check_name, shard, 'dispute ' || id subject,
    format('%%s costs %%s, plan %%s says %%s', status, fee_minor, fee_plan, fee) detail
from (
    select d.*, p.fee_plan, coalesce(f.dispute_fixed_minor, 0) fee
    from payin p
    join dispute d on d.shard = p.shard and d.payin = p.id
    left join unnest(%(countries)s::text[], %(methods)s::text[], %(families)s::text[]) m(country, method, family)
        on m.country = p.country and m.method = p.method
    left join lateral (
        select dispute_fixed_minor from fee_plan f
        where f.shard = p.shard and f.book = p.book and f.version = p.fee_plan and f.family = m.family
            and f.currency = p.currency limit 1) f on true
    where p.shard = %(shard)s and p.id > %(low)s and p.id <= %(high)s) d
where fee_minor <> fee and (fee_minor > 0 or status <> 'won' or closed_at <> opened_at)

-- name: evidence_counted
-- range: payins
-- A dispute counts the files that wait or were taken, and is under review once one was taken.
select 'evidence_counted' check_name, d.shard, 'dispute ' || d.id subject,
    format('%%s counts %%s files, %%s are there', d.status, d.evidence, e.counted) detail
from dispute d
cross join lateral (
    select count(*) filter (where status <> 'refused') counted, count(*) filter (where status = 'taken') taken,
        coalesce(bool_and(e.book = d.book), true) same
    from dispute_evidence e where e.shard = d.shard and e.dispute = d.id) e
where d.shard = %(shard)s and d.payin > %(low)s and d.payin <= %(high)s
    and (d.evidence <> e.counted or not e.same or (d.status = 'needs_response' and e.taken > 0)
        or (d.status = 'under_review' and e.taken = 0))

-- name: file_of_evidence
-- range: payins
-- The content of every file is there: sealed, longer than what was sent by the seal's own 29 bytes.
select 'file_of_evidence' check_name, e.shard, 'evidence ' || e.id subject,
    format('of %%s bytes, kept are %%s', e.size_bytes, octet_length(f.sealed) - 29) detail
from dispute d
join dispute_evidence e on e.shard = d.shard and e.dispute = d.id
left join dispute_file f on f.shard = e.shard and f.id = e.id
where d.shard = %(shard)s and d.payin > %(low)s and d.payin <= %(high)s
    and octet_length(f.sealed) is distinct from e.size_bytes + 29

-- name: dispute_booked
-- range: transfers
-- What was booked for a dispute is what it says: what was held, what was given up, and what came back.
select 'dispute_booked' check_name, t.shard, 'transfer ' || t.seq subject,
    format('%%s of %%s is booked for dispute %%s', t.code, t.amount_minor, t.subject) detail
from transfer t
left join lateral (select * from dispute d where d.shard = t.shard and d.id = t.subject limit 1) d on true
where t.shard = %(shard)s and t.seq > %(low)s and t.seq <= %(high)s and t.code like 'dispute.%%'
    and (d.id is null or case t.code
        when 'dispute.held_pending' then t.amount_minor <> d.from_pending_minor
        when 'dispute.held' then t.amount_minor <> d.amount_minor + d.fee_minor - d.from_pending_minor
        when 'dispute.lost' then t.amount_minor <> d.amount_minor
        when 'dispute.fee' then t.amount_minor <> d.fee_minor
        when 'dispute.reversed' then t.amount_minor <> d.amount_minor
        when 'dispute.fee_reversed' then t.amount_minor <> d.fee_minor
        else t.amount_minor > d.amount_minor + d.fee_minor or d.status <> 'won' end)

-- name: disputed_money
-- range: shard
-- What is held as disputed is what open disputes say, amount and fee.
select 'disputed_money' check_name, %(shard)s::integer shard, 'book ' || coalesce(d.book, a.book) subject,
    format('disputes say %%s, the ledger holds %%s', d.held, a.held) detail
from (
    select book, numeric_code, sum(amount_minor + fee_minor) held
    from dispute join unnest(%(currencies)s::text[], %(numerics)s::integer[]) iso(currency, numeric_code) using (currency)
    where shard = %(shard)s and closed_at is null group by book, numeric_code) d
full join (
    select id >> 16 book, (id & 65472) / 64 numeric_code, credits_posted - debits_posted held
    from account where shard = %(shard)s and id & 63 = 4 and credits_posted <> debits_posted) a
    on a.book = d.book and a.numeric_code = d.numeric_code
where d.held is distinct from a.held

-- name: dispute_work
-- range: shard
-- A dispute that waits for an answer has work that ends it, and a file that waits for the provider work that sends it.
select 'dispute_work' check_name, d.shard, 'dispute ' || d.id subject, 'waits and nobody looks' detail
from dispute d
where d.shard = %(shard)s and d.closed_at is null and (
    (d.status = 'needs_response' and d.evidence = 0 and not exists (
        select from due w where w.shard = d.shard and w.kind = 'dispute.expire' and w.subject = d.id))
    or exists (
        select from dispute_evidence e
        where e.shard = d.shard and e.dispute = d.id and e.status = 'pending' and not exists (
            select from due w where w.shard = e.shard and w.kind = 'dispute.send' and w.subject = e.id)))
