-- The laws of what providers say and our books contradict; README.md says how a law is written.

-- name: event_of_discrepancy
-- range: events
-- An event says of its discrepancy what everybody said of it, and how it was looked after. It stands in its payin's book.
select 'event_of_discrepancy' check_name, e.shard, 'event ' || e.seq subject,
    e.type || ' and discrepancy ' || e.subject || ' tell different stories' detail
from event e
left join discrepancy d on d.shard = e.shard and d.id = e.subject and d.book %% 2 = e.book
left join payin p on p.shard = d.shard and p.id = d.payin
where e.shard = %(shard)s and e.seq > %(low)s and e.seq <= %(high)s and e.type like 'discrepancy.%%' and (
    d.id is null
    or d.book <> coalesce(p.book, d.book %% 2)
    or position(convert_to('{"id":"disc_' || replace(d.id::text, '-', '') || '","object":"discrepancy","mode":"'
        || case when d.book %% 2 = 1 then 'live' else 'test' end || '","provider":"' || d.provider || '","kind":"' || d.kind
        || '","payin":' || coalesce('"payin_' || replace(d.payin::text, '-', '') || '"', 'null') || ',"detail":', 'UTF8')
        || d.detail || convert_to(',"created_at":"'
        || to_char(d.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '","resolved_at":'
        || case when e.type = 'discrepancy.opened' then 'null,"resolution":null' else '"'
            || to_char(d.resolved_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '","resolution":'
            || to_json(d.resolution)::text end, 'UTF8') in e.data) <> 1
    or position(',"held":'::bytea || d.held in e.data) = 0  -- null where it is older than that is kept
    or (e.type = 'discrepancy.resolved' and d.held is not null and position(',"answer":'::bytea || coalesce(d.answer,
        'null') || convert_to(',"correction":' || coalesce('"' || d.correction || '"', 'null') || '}', 'UTF8') in e.data) = 0))
