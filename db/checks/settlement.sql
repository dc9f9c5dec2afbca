-- The laws of settlement; README.md says how a law is written.

-- name: pending_money
-- range: shard
-- What stands in PENDING is what the releases have not released yet.
select 'pending_money' check_name, %(shard)s::integer shard, 'book ' || coalesce(r.book, a.book) subject,
    format('releases of %%s hold %%s, the ledger %%s', coalesce(r.currency, a.numeric_code::text), r.unreleased, a.held)
    detail
from (
    select book, currency, numeric_code, sum(amount_minor) unreleased
    from release join unnest(%(currencies)s::text[], %(numerics)s::integer[]) iso(currency, numeric_code)
        using (currency)
    where shard = %(shard)s group by book, currency, numeric_code) r
full join (
    select id >> 16 book, (id & 65472) / 64 numeric_code, credits_posted - debits_posted held
    from account where shard = %(shard)s and id & 63 = 1) a
    on a.book = r.book and a.numeric_code = r.numeric_code
where coalesce(r.unreleased, 0) <> coalesce(a.held, 0)

-- name: statement_money
-- range: books
-- What a merchant has is the sum of its statement.
select 'statement_money' check_name, %(shard)s::integer shard, 'book ' || coalesce(t.book, a.book) subject,
    format('the statement of %%s says %%s, the ledger holds %%s', coalesce(t.currency, a.numeric_code::text), t.net,
        a.held) detail
from (
    select book, currency, numeric_code, sum(net) net
    from (
        select book, currency, net_minor net from balance_transaction
        where shard = %(shard)s and (book, created_at) > (%(low)s, %(low_at)s::timestamptz) and book < %(high)s
        union all
        select %(low)s, currency, net from unnest(%(summed)s::text[], %(sums)s::bigint[]) s(currency, net)) l
    join unnest(%(currencies)s::text[], %(numerics)s::integer[]) iso(currency, numeric_code) using (currency)
    group by book, currency, numeric_code) t
full join (
    select id >> 16 book, (id & 65472) / 64 numeric_code, sum(credits_posted - debits_posted) held
    from account
    where shard = %(shard)s and id >= %(low)s::bigint << 16 and id < %(high)s::bigint << 16 and id & 63 in (1, 2, 3, 4)
    group by 1, 2) a
    on a.book = t.book and a.numeric_code = t.numeric_code
where coalesce(t.net, 0) <> coalesce(a.held, 0)

-- name: release_is_due
-- range: shard
-- Money that is not released yet has work that is going to release it, and stands where its row says until it is claimed.
select 'release_is_due' check_name, r.shard, 'release ' || r.id subject,
    r.amount_minor || ' ' || r.currency || ' of ' || r.day || ' wait for nothing' detail
from release r
where r.shard = %(shard)s and (r.amount_minor > 0 or r.due_at is not null) and not exists (
    select from due d where d.shard = r.shard and d.kind = 'funds.release' and d.subject = r.id
        and (d.at = r.due_at or d.attempt > 0))

-- name: release_of_its_id
-- range: shard
-- A release's id says its book, currency and day.
select 'release_of_its_id' check_name, r.shard, 'release ' || r.id subject,
    format('is of book %%s, %%s, %%s', r.book, r.currency, r.day) detail
from release r
left join unnest(%(currencies)s::text[], %(numerics)s::integer[]) iso(currency, numeric_code) using (currency)
where r.shard = %(shard)s and r.id is distinct from (lpad(to_hex(r.book), 12, '0') || '8'
    || lpad(to_hex(iso.numeric_code), 3, '0') || '8' || lpad(to_hex(r.day - date '1970-01-01'), 15, '0'))::uuid

-- name: release_booked
-- range: transfers
-- What has become available was released by a day of this book and currency, which knows of it.
select 'release_booked' check_name, t.shard, 'transfer ' || t.seq subject,
    format('released %%s of %%s, which says %%s', t.amount_minor, t.subject, r.released_minor) detail
from transfer t
left join release r on r.shard = t.shard and r.id = t.subject
where t.shard = %(shard)s and t.seq > %(low)s and t.seq <= %(high)s and t.code = 'funds.released' and (
    r.id is null
    or r.released_minor < t.amount_minor
    or t.debit_account >> 16 <> r.book
    or t.debit_account & 63 <> 1
    or t.credit_account <> t.debit_account + 1)

-- name: line_of_payin
-- range: lines
-- A line of the statement says of its payin, capture or refund what that says of itself.
select 'line_of_payin' check_name, t.shard, 'line ' || t.id subject,
    format('%%s %%s %%s of payin %%s, which tells another story', t.kind, t.gross_minor, t.currency, t.payin) detail
from balance_transaction t
left join payin p on p.shard = t.shard and p.id = t.payin
left join payin_operation o on o.shard = t.shard and o.id = t.subject and o.payin = t.payin
where t.shard = %(shard)s and t.id > %(low)s and t.id <= %(high)s
    and t.kind in ('payment', 'capture', 'refund', 'refund_failure') and (
    p.id is null
    or (p.book, p.currency) <> (t.book, t.currency)
    or case t.kind
        when 'payment' then (t.id, t.subject_kind, t.subject, t.gross_minor, t.created_at, t.available_on)
            is distinct from (p.id, 'payin', p.id, p.amount_minor, p.paid_at, p.available_on)
        when 'capture' then (t.id, t.subject_kind, t.gross_minor, 'capture')
            is distinct from (o.id, 'capture', o.amount_minor, o.kind)
        when 'refund' then (t.id, t.subject_kind, t.gross_minor, t.fee_minor, 'refund')
            is distinct from (o.id, 'refund', -o.amount_minor, o.fee_minor, o.kind)
        else (t.subject_kind, t.gross_minor, t.fee_minor, t.created_at, 'refund', 'failed')
            is distinct from ('refund', o.amount_minor, -o.fee_minor, o.settled_at, o.kind, o.status) end)

-- name: line_of_dispute
-- range: lines
-- A line of the statement says of its dispute what that says of itself: held and given back it moves nothing.
select 'line_of_dispute' check_name, t.shard, 'line ' || t.id subject,
    format('%%s %%s %%s of dispute %%s, which tells another story', t.kind, t.gross_minor, t.currency, t.subject) detail
from balance_transaction t
left join dispute d on d.shard = t.shard and d.id = t.subject
where t.shard = %(shard)s and t.id > %(low)s and t.id <= %(high)s
    and t.kind in ('dispute', 'dispute_won', 'dispute_lost', 'adjustment') and (
    d.id is null
    or (d.book, d.currency, d.payin, 'dispute') is distinct from (t.book, t.currency, t.payin, t.subject_kind)
    or case t.kind
        when 'dispute' then (t.id, t.gross_minor, t.fee_minor, t.created_at)
            is distinct from (d.id, 0, 0, d.opened_at)
        when 'dispute_won' then (t.gross_minor, t.fee_minor, t.created_at, 'won')
            is distinct from (0, 0, d.closed_at, d.status)
        when 'dispute_lost' then (t.gross_minor, t.fee_minor) is distinct from (-d.amount_minor, d.fee_minor)
            or d.closed_at is null or (t.created_at <> d.closed_at and d.status <> 'won')
        else (t.gross_minor, t.fee_minor, t.created_at, 'won')
            is distinct from (d.amount_minor, -d.fee_minor, d.closed_at, d.status) end)
