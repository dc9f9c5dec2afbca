-- The laws of payins and deposits; README.md says how a law is written.

-- name: event_of_payin
-- range: events
-- An event says of its payin what never changes, the state that it is named after, and its money: none at first, then all
-- (captured by hand, it comes in parts). Bytes are looked for as they were written, so that no changed one breaks the look.
select 'event_of_payin' check_name, e.shard, 'event ' || e.seq subject,
    e.type || ' and payin ' || e.subject || ' tell different stories' detail
from event e
left join payin p on p.shard = e.shard and p.id = e.subject and p.book = e.book
where e.shard = %(shard)s and e.seq > %(low)s and e.seq <= %(high)s and e.type like 'payin.%%' and (
    p.id is null
    or position(convert_to('{"id":"payin_' || replace(p.id::text, '-', '') || '","object":"payin","mode":"'
        || case when p.book %% 2 = 1 then 'live' else 'test' end || '","status":"'
        || case when e.type in ('payin.created', 'payin.received') then ''
            else case when e.type in ('payin.captured', 'payin.rest_released') then 'paid' else substr(e.type, 7) end
                || '"' end,
        'UTF8') in e.data) <> 1
    or position(convert_to(',"amount":' || p.amount_minor || ',"currency":"' || p.currency || '","country":"'
        || p.country || '","method":"' || p.method || '",', 'UTF8') in e.data) = 0
    or position(convert_to(',"fee_plan":' || p.fee_plan || ',"reference":' || coalesce(to_json(p.reference)::text, 'null')
        || ',', 'UTF8') in e.data) = 0
    or ((e.type = 'payin.paid' or (e.type = 'payin.authorized' and p.status = 'authorized'))
        and position(convert_to(',"amount_authorized":' || p.authorized_minor || ',', 'UTF8') in e.data) = 0)
    or (e.type = 'payin.paid' and position(convert_to(',"paid_at":"'
        || to_char(p.paid_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', 'UTF8') in e.data) = 0)
    or (e.type = 'payin.created' and position(convert_to('"amount_authorized":0,"amount_captured":0,"amount_received":0,'
        '"amount_refunded":0,"amount_disputed":0,"fees":0,', 'UTF8') in e.data) = 0)
    or (e.type = 'payin.paid' and position('"capture":"manual",'::bytea in e.data) = 0 and (
        position(convert_to('"capture":"automatic","amount_authorized":' || p.authorized_minor || ',"amount_captured":'
            || p.captured_minor || ',"amount_received":' || p.received_minor || ',"amount_refunded":0,"amount_disputed":0'
            || ',"fees":' || p.fee_minor || ',', 'UTF8') in e.data) = 0
        or (position('"available_on":'::bytea in e.data) > 0
            and position(convert_to('"available_on":"' || p.available_on || '"', 'UTF8') in e.data) = 0)))
    or position(convert_to(',"created_at":"' || to_char(p.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","expires_at":"' || case when p.authorized_minor > 0 then ''  -- an authorization has a time of its own
            else to_char(p.expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"' end,
        'UTF8') in e.data) = 0)

-- name: event_of_deposit
-- range: events
-- An event says of its deposit what never changes.
select 'event_of_deposit' check_name, e.shard, 'event ' || e.seq subject,
    e.type || ' and deposit ' || e.subject || ' tell different stories' detail
from event e
left join deposit d on d.shard = e.shard and d.id = e.subject and d.book = e.book
where e.shard = %(shard)s and e.seq > %(low)s and e.seq <= %(high)s and e.type like 'deposit.%%' and (
    d.id is null
    or position(convert_to('{"id":"dep_' || replace(d.id::text, '-', '') || '","object":"deposit","mode":"'
        || case when d.book %% 2 = 1 then 'live' else 'test' end || '","provider":"' || d.provider
        || '","tracking_key":"' || d.tracking_key || '","account":"' || d.account || '","currency":"' || d.currency
        || '","amount":' || d.amount_minor || ',', 'UTF8') in e.data) <> 1
    or position(convert_to(',"payin":' || coalesce('"payin_' || replace(d.payin::text, '-', '') || '"', 'null') || ',',
        'UTF8') in e.data) = 0
    or position(convert_to(',"created_at":"' || to_char(d.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","paid_at":' || coalesce('"' || to_char(d.paid_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"',
            'null') || '}', 'UTF8') in e.data) = 0)

-- name: event_of_operation
-- range: events
-- An event says of its capture or refund what never changes, and how it ended.
select 'event_of_operation' check_name, e.shard, 'event ' || e.seq subject,
    e.type || ' and operation ' || e.subject || ' tell different stories' detail
from event e
left join payin_operation o on o.shard = e.shard and o.id = e.subject and o.book = e.book
where e.shard = %(shard)s and e.seq > %(low)s and e.seq <= %(high)s
    and (e.type like 'capture.%%' or e.type like 'refund.%%') and (
    o.id is null
    or position(convert_to('{"id":"' || o.kind || '_' || replace(o.id::text, '-', '') || '","object":"' || o.kind
        || '","mode":"' || case when o.book %% 2 = 1 then 'live' else 'test' end || '","payin":"payin_'
        || replace(o.payin::text, '-', '') || '","status":"'
        || case when e.type = 'refund.created' then 'pending","status_reason":null'
            else o.status || '","status_reason":' || coalesce('"' || o.reason || '"', 'null') end
        || ',"amount":' || o.amount_minor || ',"currency":"' || o.currency || '",', 'UTF8') in e.data) <> 1
    or position(convert_to(',"created_at":"' || to_char(o.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","settled_at":' || case when e.type = 'refund.created' then 'null' else '"'
            || to_char(o.settled_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"' end, 'UTF8') in e.data) = 0
    or (e.type <> 'refund.created' and o.status <> substr(e.type, strpos(e.type, '.') + 1)))

-- name: refund_booked
-- range: transfers
-- What a refund took stands in its row: from money that was not released yet, and from what was available.
select 'refund_booked' check_name, t.shard, 'transfer ' || t.seq subject,
    format('refund %%s took %%s and %%s, booked are %%s and %%s', t.subject, o.from_pending_minor, o.from_available_minor,
        booked.pending, booked.available) detail
from transfer t
left join lateral (select * from payin_operation o where o.shard = t.shard and o.id = t.subject limit 1) o on true
cross join lateral (
    select coalesce(sum(g.amount_minor) filter (where g.debit_account & 63 = 1), 0) pending,
        coalesce(sum(g.amount_minor) filter (where g.debit_account & 63 = 2), 0) available
    from transfer g
    where g.shard = t.shard and g.seq between t.seq - 3 and t.seq + 3 and g.group_seq = t.group_seq) booked
where t.shard = %(shard)s and t.seq > %(low)s and t.seq <= %(high)s
    and t.code in ('refund.requested', 'refund.requested_pending', 'refund.fee', 'refund.fee_pending')
    and (booked.pending, booked.available) is distinct from (o.from_pending_minor, o.from_available_minor)

-- name: payin_history
-- range: payins
-- A payin stands where its last change left it.
select 'payin_history' check_name, p.shard, 'payin ' || p.id subject,
    format('%%s (%%s) version %%s, history says %%s (%%s) version %%s', p.status, p.reason, p.version, c.status,
        c.reason, c.number) detail
from payin p
left join lateral (
    select number, status, reason, received_minor from payin_change c
    where c.shard = p.shard and c.payin = p.id order by number desc limit 1) c on true
where p.shard = %(shard)s and p.id > %(low)s and p.id <= %(high)s
    and (p.version, p.status, p.reason, p.received_minor) is distinct from
        (coalesce(c.number, 1), coalesce(c.status, case when p.deposit_number is null then 'submitting' else 'pending' end),
            c.reason, coalesce(c.received_minor, 0))

-- name: event_of_change
-- range: events
-- What an event says has become of a payin stands in its history, at that time.
select 'event_of_change' check_name, e.shard, 'event ' || e.seq subject,
    e.type || ' is no change of payin ' || e.subject detail
from event e
where e.shard = %(shard)s and e.seq > %(low)s and e.seq <= %(high)s
    and e.type like 'payin.%%' and e.type <> 'payin.created'
    and not exists (
        select from payin_change c where c.shard = e.shard and c.payin = e.subject and c.at = e.at
            and c.event = any(case e.type when 'payin.received' then '{part_received}'::text[]
                when 'payin.paid' then '{all_received,captured}' when 'payin.expired' then '{time_passed}'
                when 'payin.pending' then '{accepted}' when 'payin.rest_released' then '{rest_released,captured}' else array[substr(e.type, 7)] end))

-- name: payin_place
-- range: payins
-- A payin has the CLABE that was given to it, and its payer stands in its book.
select 'payin_place' check_name, p.shard, 'payin ' || p.id subject,
    format('number %%s of book %%s is that of payin %%s of book %%s; its payer stands in book %%s', p.deposit_number,
        p.book, a.payin, a.book, y.book) detail
from payin p
left join lateral (
    select payin, book from deposit_account a where a.shard = p.shard and a.number = p.deposit_number limit 1) a on true
left join lateral (select book from payer y where y.shard = p.shard and y.payin = p.id limit 1) y on true
where p.shard = %(shard)s and p.id > %(low)s and p.id <= %(high)s
    and ((p.deposit_number is not null and (a.payin, a.book) is distinct from (p.id, p.book)) or y.book <> p.book
        or (p.method = 'spei' and p.deposit_number is null))

-- name: payin_fee
-- range: payins
-- A paid payin costs what the plan says that it was created under, half up, on all that was taken: of several captures
-- the fixed part once. One that is not paid costs nothing.
select 'payin_fee' check_name, shard, 'payin ' || id subject,
    format('%%s of %%s costs %%s, plan %%s says %%s', status, received_minor, fee_minor, fee_plan, fee) detail
from (
    select p.*, case when p.status = 'paid'
        then coalesce(f.fixed_minor + (p.received_minor * f.basis_points * 2 + 10000) / 20000, 0) else 0 end fee
    from payin p
    left join unnest(%(countries)s::text[], %(methods)s::text[], %(families)s::text[]) m(country, method, family)
        on m.country = p.country and m.method = p.method
    left join lateral (
        select fixed_minor, basis_points from fee_plan f
        where f.shard = p.shard and f.book = p.book and f.version = p.fee_plan and f.family = m.family
            and f.currency = p.currency limit 1) f on true
    where p.shard = %(shard)s and p.id > %(low)s and p.id <= %(high)s) p
where fee_minor <> fee

-- name: refund_fee
-- range: payins
-- A refund costs what its payin's plan says, but for a correction; a capture and a void cost nothing of their own.
select 'refund_fee' check_name, shard, kind || ' ' || id subject,
    format('costs %%s, plan %%s says %%s', fee_minor, fee_plan, fee) detail
from (
    select o.shard, o.id, o.kind, o.fee_minor, p.fee_plan,
        case when o.kind = 'refund' and position('"correction":'::bytea in coalesce(o.detail, '')) = 0 then coalesce(f.refund_fixed_minor, 0) else 0 end fee
    from payin p
    join payin_operation o on o.shard = p.shard and o.payin = p.id
    left join unnest(%(countries)s::text[], %(methods)s::text[], %(families)s::text[]) m(country, method, family)
        on m.country = p.country and m.method = p.method
    left join lateral (
        select refund_fixed_minor from fee_plan f
        where f.shard = p.shard and f.book = p.book and f.version = p.fee_plan and f.family = m.family
            and f.currency = p.currency limit 1) f on true
    where p.shard = %(shard)s and p.id > %(low)s and p.id <= %(high)s) o
where fee_minor <> fee

-- name: key_of_payin
-- range: keys
-- The answer to the request for a payin is what its first event says. The deposit number is twice that event's number.
select 'key_of_payin' check_name, k.shard, 'key ' || encode(k.digest, 'hex') || ' of book ' || k.book subject,
    'answers otherwise than event ' || e.seq || ' of payin ' || p.id detail
from key k
cross join lateral (
    select id, book, deposit_number from payin p where p.shard = k.shard and p.id = k.subject limit 1) p
cross join lateral (
    select seq, data from event e
    where e.shard = k.shard and e.seq = p.deposit_number / 2 and e.at = k.created_at limit 1) e
where k.shard = %(shard)s and (k.book, k.digest) > (%(low_book)s, %(low_digest)s)
    and (k.book, k.digest) <= (%(high_book)s, %(high_digest)s)
    and (p.book <> k.book or (k.status = 201 and e.data <> k.answer))

-- name: deposit_booked
-- range: transfers
-- What a bank reported and what was booked for it are one amount, in one currency and book. A deposit is one group.
select 'deposit_booked' check_name, t.shard, 'transfer ' || t.seq subject,
    format('deposit %%s of %%s %%s in book %%s is booked as %%s in book %%s', t.subject, d.amount_minor, d.currency,
        d.book, booked.amount, booked.book) detail
from transfer t
left join lateral (select * from deposit d where d.shard = t.shard and d.id = t.subject limit 1) d on true
left join unnest(%(currencies)s::text[], %(numerics)s::integer[]) iso(currency, numeric_code)
    on iso.currency = d.currency
cross join lateral (
    select sum(g.amount_minor) amount, min(g.credit_account >> 16) book,
        bool_and((g.debit_account & 65472) / 64 = iso.numeric_code) same
    from transfer g
    where g.shard = t.shard and g.seq between t.seq - 3 and t.seq + 3 and g.group_seq = t.group_seq
        and g.subject is not distinct from t.subject and g.debit_account & 63 in (10, 11)) booked
where t.shard = %(shard)s and t.seq > %(low)s and t.seq <= %(high)s and t.debit_account & 63 in (10, 11)
    and t.code in ('payin.received', 'deposit.unapplied')
    and (d.id is null or booked.same is not true or (booked.amount, booked.book) is distinct from (d.amount_minor, d.book))

-- name: deposit_returned
-- range: transfers
-- What went back to the bank is counted at the deposit that it came with.
select 'deposit_returned' check_name, t.shard, 'transfer ' || t.seq subject,
    format('returned %%s, deposit %%s counts %%s', t.amount_minor, t.subject, d.returned_minor) detail
from transfer t
left join lateral (
    select returned_minor from deposit d where d.shard = t.shard and d.id = t.subject limit 1) d on true
where t.shard = %(shard)s and t.seq > %(low)s and t.seq <= %(high)s and t.code = 'deposit.returned'
    and t.amount_minor > coalesce(d.returned_minor, 0)

-- name: payin_received
-- range: payins
-- What a payin has received is what its deposits brought it. Each payin looks for its own: a join might read all deposits
-- for each range. Its list of them is read as text, so that a changed byte is named and does not end the look.
select 'payin_received' check_name, p.shard, 'payin ' || p.id subject,
    'received ' || p.received_minor || ', deposits ' || d.brought detail
from payin p
cross join lateral (
    select '{' || replace(coalesce(substring(encode(p.detail, 'escape') from '"deposits":\[([^]]*)\]'), ''), '"', '') || '}'
        named) l
cross join lateral (
    select coalesce(sum(case when p.status = 'paid' then d.applied_minor else d.unapplied_minor end), 0) brought
    from deposit d
    where d.shard = p.shard
        and d.id = any(case when pg_input_is_valid(l.named, 'uuid[]') then l.named else '{}' end::uuid[])) d
where p.shard = %(shard)s and p.id > %(low)s and p.id <= %(high)s and p.deposit_number is not null
    and p.received_minor <> d.brought

-- name: payin_captured
-- range: payins
-- What a provider took for a payin is what its captures say, all of it at once where there are none; what it is asked to
-- take is what those say that are under way; and what was refunded is what refunds say.
select 'payin_captured' check_name, shard, 'payin ' || id subject,
    format('received %%s, captured %%s of %%s, capturing %%s; captures say %%s and %%s; refunded %%s, refunds say %%s',
        received_minor, captured_minor, authorized_minor, capturing, captures, under_way, refunded_minor, refunds) detail
from (
    select p.*, o.captures, o.refunds, o.under_way, coalesce(substring(
        encode(p.detail, 'escape') from '"capturing_minor":([0-9]{1,18})')::bigint, 0) capturing
    from payin p
    cross join lateral (
        select sum(amount_minor) filter (where kind = 'capture' and status = 'succeeded') captures,
            coalesce(sum(amount_minor) filter (where kind = 'capture' and status = 'pending'), 0) under_way,
            coalesce(sum(amount_minor) filter (where kind = 'refund' and status <> 'failed'), 0) refunds
        from payin_operation o where o.shard = p.shard and o.payin = p.id) o
    where p.shard = %(shard)s and p.id > %(low)s and p.id <= %(high)s) p
where refunded_minor <> refunds
    or capturing <> under_way
    or (deposit_number is null and received_minor <> coalesce(captures, case when status = 'paid' then amount_minor else 0 end))
    or (authorized_minor > 0 and captured_minor <> received_minor)

-- name: provider_work
-- range: payins
-- What waits for a provider has work that asks for it.
select 'provider_work' check_name, p.shard, 'payin ' || p.id subject, 'waits for a provider and nobody asks' detail
from payin p
where p.shard = %(shard)s and p.id > %(low)s and p.id <= %(high)s and (
    (p.status = 'submitting' and not exists (
        select from due d where d.shard = p.shard and d.kind = 'payin.submit' and d.subject = p.id))
    or exists (
        select from payin_operation o where o.shard = p.shard and o.payin = p.id and o.status = 'pending' and not exists (
            select from due d where d.shard = o.shard and d.kind = 'payin.operate' and d.subject = o.id)))

-- name: open_payin_expires
-- range: payins
-- What waits for its payer, or holds the payer's money, has the work that ends it; so has the rest of what was captured in
-- part, until it is asked back; what is asked back of an attempt before the last is not its own. Where a claim or a clock has moved it, the look by its subject reads all work.
select 'open_payin_expires' check_name, p.shard, 'payin ' || p.id subject, p.status || ' and nothing ends it' detail
from (
    select p.shard, p.id, p.status
    from payin p
    left join book b on b.shard = p.shard and b.book = p.book
    where p.shard = %(shard)s and p.id > %(low)s and p.id <= %(high)s
        and (p.status in ('pending', 'authorized') or (p.status = 'paid' and p.captured_minor < p.authorized_minor
            and position(convert_to('"closed":true', 'UTF8') in p.detail) = 0
            and not exists (
                select from payin_operation o where o.shard = p.shard and o.payin = p.id and o.kind = 'void'
                    and position('"attempt":'::bytea in coalesce(o.detail, '')) = 0)))
        and not exists (
            select from due d
            where d.shard = p.shard and d.at = p.expires_at - coalesce(b.clock_offset_s, 0) * interval '1 second'
                and d.kind = 'payin.expire' and d.subject = p.id)
    offset 0) p
where not exists (
    select from due d where d.shard = p.shard and d.kind = 'payin.expire' and d.subject = p.id)

-- name: return_under_way
-- range: shard
-- A deposit that goes back has the work that asks its bank or provider for it.
select 'return_under_way' check_name, d.shard, 'deposit ' || d.id subject,
    format('%%s go back and nobody asks', d.returning_minor) detail
from deposit d
where d.shard = %(shard)s and d.returning_minor > 0 and not exists (
    select from due w where w.shard = d.shard and w.kind = 'deposit.return' and w.subject = d.id)

-- name: clearing_money
-- range: shard
-- What is on its way to payers is what refunds and returns under way say.
select 'clearing_money' check_name, %(shard)s::integer shard, 'house book ' || coalesce(w.mode, a.mode) subject,
    format('under way %%s, the ledger holds %%s', w.amount, a.held) detail
from (
    select mode, numeric_code, sum(amount) amount
    from (
        select book & 1 mode, currency, amount_minor amount from payin_operation
        where shard = %(shard)s and kind = 'refund' and status = 'pending'
        union all
        select book & 1, currency, returning_minor from deposit where shard = %(shard)s and returning_minor > 0) u
    join unnest(%(currencies)s::text[], %(numerics)s::integer[]) iso(currency, numeric_code) using (currency)
    group by 1, 2) w
full join (
    select id >> 16 mode, (id & 65472) / 64 numeric_code, credits_posted - debits_posted held
    from account where shard = %(shard)s and id >> 16 in (0, 1) and id & 63 = 15 and credits_posted <> debits_posted) a
    on a.mode = w.mode and a.numeric_code = w.numeric_code
where w.amount is distinct from a.held

-- name: payin_earnings
-- range: payins
-- What a payin has earned is what was received less its fee, its refunds with theirs, and the disputes that it lost; its
-- lines of the statement say the same. With `statement_money` that is what the ledger holds. A line has the id of its
-- payin, capture or refund; one of a failed refund or a lost dispute, the time at which that ended.
select 'payin_earnings' check_name, shard, 'payin ' || id subject,
    format('earned %%s %%s, its lines say %%s', earned, currency, lines) detail
from (
    select p.shard, p.id, p.currency,
        case when p.status = 'paid' then p.received_minor - p.fee_minor else 0 end + o.earned + d.earned earned,
        coalesce(t.net_minor, 0) + o.lines + d.lines lines
    from payin p
    left join balance_transaction t
        on t.shard = p.shard and t.id = p.id and t.book = p.book and t.currency = p.currency
    cross join lateral (
        select coalesce(sum(-o.amount_minor - o.fee_minor) filter (where o.kind = 'refund' and o.status <> 'failed'
                and o.book = p.book and o.currency = p.currency), 0) earned,
            coalesce(sum(coalesce(t.net_minor, 0) + coalesce(f.net_minor, 0)), 0) lines
        from payin_operation o
        left join balance_transaction t
            on t.shard = o.shard and t.id = o.id and t.book = p.book and t.currency = p.currency
        left join lateral (
            select sum(net_minor) net_minor from balance_transaction f
            where f.shard = p.shard and f.book = p.book and f.created_at = o.settled_at and f.kind = 'refund_failure'
                and f.subject = o.id and f.currency = p.currency) f on o.status = 'failed' and o.kind = 'refund'
        where o.shard = p.shard and o.payin = p.id) o
    cross join lateral (
        select coalesce(sum(-d.amount_minor - d.fee_minor) filter (where d.book = p.book and d.currency = p.currency), 0)
            earned, coalesce(sum(t.net_minor), 0) lines
        from dispute d
        cross join lateral (
            select sum(net_minor) net_minor from balance_transaction t
            where t.shard = p.shard and t.book = p.book and t.created_at = d.closed_at and t.kind = 'dispute_lost'
                and t.subject = d.id and t.currency = p.currency) t
        where d.shard = p.shard and d.payin = p.id and d.status in ('lost', 'expired')) d
    where p.shard = %(shard)s and p.id > %(low)s and p.id <= %(high)s) p
where earned <> lines

-- name: unapplied_money
-- range: shard
-- Unapplied money in the ledger is what deposits say is unapplied.
select 'unapplied_money' check_name, %(shard)s::integer shard, 'book ' || coalesce(d.book, a.book) subject,
    format('deposits say %%s, the ledger holds %%s', d.unapplied, a.held) detail
from (
    select book, sum(unapplied_minor) unapplied
    from (
        -- in the order of the small index of what is unapplied, so that it is that index which is read
        select book, unapplied_minor from deposit where shard = %(shard)s and unapplied_minor > 0
        order by created_at, id) u
    group by book) d
full join (
    select id >> 16 book, sum(credits_posted - debits_posted) held
    from account where shard = %(shard)s and id & 63 = 5 group by 1
    having sum(credits_posted - debits_posted) <> 0) a on a.book = d.book
where d.unapplied is distinct from a.held
