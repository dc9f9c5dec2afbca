-- The laws of the vault; README.md says how a law is written.

-- name: event_of_instrument
-- range: events
-- An event says of its instrument what never changes, and nothing more of its number.
select 'event_of_instrument' check_name, e.shard, 'event ' || e.seq subject,
    e.type || ' and instrument ' || e.subject || ' tell different stories' detail
from event e
left join instrument i on i.shard = e.shard and i.id = e.subject and i.book = e.book
where e.shard = %(shard)s and e.seq > %(low)s and e.seq <= %(high)s and e.type like 'instrument.%%' and (
    i.id is null
    or position(convert_to('{"id":"instr_' || replace(i.id::text, '-', '') || '","object":"instrument","mode":"'
        || case when i.book %% 2 = 1 then 'live' else 'test' end || '","type":"' || i.type || '","status":"'
        || case when e.type = 'instrument.deleted' then 'deleted' else 'active' end || '",', 'UTF8') in e.data) <> 1
    or position(convert_to(',"card":{"brand":"' || i.brand || '","bin":"' || i.bin || '","last4":"' || i.last4
        || '","expiry_month":' || i.expiry_month || ',"expiry_year":' || i.expiry_year || '}', 'UTF8') in e.data) = 0
    or position(convert_to('","country":' || coalesce('"' || i.country || '"', 'null') || ',"card":', 'UTF8') in e.data) = 0
    or position(convert_to(',"created_at":"' || to_char(i.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","deleted_at":' || case when e.type = 'instrument.created' then 'null' else '"'
            || to_char(i.deleted_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"' end, 'UTF8') in e.data) = 0
    or (e.type = 'instrument.deleted' and i.deleted_at is null))

-- name: code_kept_too_long
-- range: shard
-- A security code is gone an hour after it came; ten minutes more are a worker's that was away.
select 'code_kept_too_long' check_name, shard, 'instrument ' || id subject, 'its code was due at ' || code_until detail
from instrument
where shard = %(shard)s and code is not null and code_until < clock_timestamp() - interval '10 minutes'
