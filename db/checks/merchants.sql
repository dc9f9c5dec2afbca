-- The laws of merchants and operators; README.md says how a law is written.

-- name: books_of_merchant
-- range: shard
-- A merchant has its two sets of books, and each stands at its newest fee plan; one without lines has no rows, and is
-- in the audit trail.
select 'books_of_merchant' check_name, %(shard)s::integer shard, 'merchant ' || coalesce(m.id, b.merchant) subject,
    format('slot %%s, book %%s at plan %%s of %%s', m.slot, b.book, b.fee_plan, f.version) detail
from (select id, slot, slot::bigint * 2 + live book from merchant, (values (0), (1)) _(live) where shard = %(shard)s) m
full join (select * from book where shard = %(shard)s) b on b.merchant = m.id and b.book = m.book
left join lateral (
    select max(version) version from fee_plan f where f.shard = %(shard)s and f.book = b.book) f on true
where m.id is null or b.book is null or b.fee_plan < f.version or (b.fee_plan > f.version and not exists (
    select from audit a
    where a.shard = %(shard)s and a.action = 'fee_plan.changed' and a.subject = 'mer_' || replace(m.id::text, '-', '')
        and position(convert_to('"version":' || b.fee_plan || ',"fee_plan":[]', 'UTF8') in a.detail) > 0))

-- name: event_of_house
-- range: events
-- What an event tells of a merchant, a key or an operator, the rows still say.
select 'event_of_house' check_name, e.shard, 'event ' || e.seq subject,
    e.type || ' and the row of ' || e.subject || ' tell different stories' detail
from event e
left join merchant m on e.type = 'merchant.created' and m.shard = e.shard and m.id = e.subject
left join api_key k on e.type = 'api_key.created' and k.shard = e.shard and k.id = e.subject
left join operator o on e.type = 'operator.created' and o.shard = e.shard and o.id = e.subject
where e.shard = %(shard)s and e.seq > %(low)s and e.seq <= %(high)s and e.book = 0
    and case e.type
        when 'merchant.created' then m.created_at is distinct from e.at
            or position(convert_to('"name":' || to_json(m.name) || ',"country":"' || m.country || '"', 'UTF8') in e.data) = 0
        when 'api_key.created' then k.created_at is distinct from e.at
            or position(convert_to('"mode":"' || case when k.book %% 2 = 1 then 'live' else 'test' end || '","name":'
                || to_json(k.name) || ',"scopes":' || array_to_json(k.scopes), 'UTF8') in e.data) = 0
            or not exists (
                select from book b where b.shard = k.shard and b.book = k.book and position(
                    convert_to('"mer_' || replace(b.merchant::text, '-', '') || '"', 'UTF8') in e.data) > 0)
        when 'operator.created' then o.created_at is distinct from e.at
            or position(convert_to('"name":' || to_json(o.name), 'UTF8') in e.data) = 0
        else false end

-- name: plan_of_event
-- range: events
-- A fee plan is what was announced: the same lines in both books, at that time.
select 'plan_of_event' check_name, e.shard, 'event ' || e.seq subject,
    format('%%s and plan %%s of book %%s tell different stories', e.type, f.version, f.book) detail
from event e
join merchant m on m.shard = e.shard and m.id = e.subject
join fee_plan f on f.shard = e.shard and f.book in (m.slot::bigint * 2, m.slot::bigint * 2 + 1)
    and position(convert_to('"version":' || f.version || ',', 'UTF8') in e.data) > 0
where e.shard = %(shard)s and e.seq > %(low)s and e.seq <= %(high)s and e.type = 'fee_plan.changed' and (
    f.created_at <> e.at
    or position(convert_to(format('{"family":%%s,"currency":%%s,"fixed_minor":%%s,"basis_points":%%s%%s}',
        to_json(f.family), to_json(f.currency), f.fixed_minor, f.basis_points, case
            -- Plans from before these had a price are announced without them.
            when position('"settlement_days":'::bytea in e.data) = 0
                and (f.refund_fixed_minor, f.dispute_fixed_minor, f.settlement_days) = (0, 0, 1) then ''
            else format(',"refund_fixed_minor":%%s,"dispute_fixed_minor":%%s,"settlement_days":%%s',
                f.refund_fixed_minor, f.dispute_fixed_minor, f.settlement_days) end), 'UTF8') in e.data) = 0)

-- name: plan_has_its_lines
-- range: events
-- Each of a merchant's books has as many lines of a fee plan as were announced.
select 'plan_has_its_lines' check_name, e.shard, 'event ' || e.seq subject,
    format('%%s lines of it stand in book %%s', f.lines, b.book) detail
from event e
join merchant m on m.shard = e.shard and m.id = e.subject
cross join lateral (select m.slot::bigint * 2 + live book from (values (0), (1)) l(live)) b
cross join lateral (
    select count(*) lines from fee_plan f
    where f.shard = e.shard and f.book = b.book
        and position(convert_to('"version":' || f.version || ',', 'UTF8') in e.data) > 0) f
where e.shard = %(shard)s and e.seq > %(low)s and e.seq <= %(high)s and e.type = 'fee_plan.changed'
    and f.lines <> (length(encode(e.data, 'escape')) - length(replace(encode(e.data, 'escape'), '"family":', ''))) / 9

-- name: audit_of_event
-- range: shard
-- Who did what is in the audit trail in the words of the event that it caused; those of deposits stand in their books.
select 'audit_of_event' check_name, a.shard, 'entry ' || a.id subject,
    a.action || ' of ' || a.subject || ' is no event of that time' detail
from audit a
where a.shard = %(shard)s and a.action not like 'deposit.%%'
    and a.action in (select type from event where shard = %(shard)s and book in (0, 1))
    and a.at >= (select min(at) from event where shard = %(shard)s and book in (0, 1))
    and not exists (
        select from event e
        where e.shard = a.shard and e.book in (0, 1) and e.at = a.at and e.type = a.action and e.data = a.detail
            and replace(e.subject::text, '-', '') = substr(a.subject, length(a.subject) - 31))
