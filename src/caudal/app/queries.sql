-- What the processes read for themselves.

-- name: events_after
select seq, at, type, subject, data from event
where shard = %(shard)s and book = %(book)s and seq > %(after)s order by seq limit %(limit)s

-- name: event_by_seq
select seq, at, type, subject, data from event where shard = %(shard)s and book = %(book)s and seq = %(seq)s

-- name: events_of_types
-- Of the next `looked_at` events of the book those of some types; then, without a type, the last one that was looked at,
-- if there are so many. A rare type costs no look through all of history.
with last_one as (
    select seq, at from event where shard = %(shard)s and book = %(book)s and seq > %(after)s
    order by seq offset %(looked_at)s - 1 limit 1)
(select seq, at, type, subject, data from event
where shard = %(shard)s and book = %(book)s and seq > %(after)s
    and seq <= coalesce((select seq from last_one), 9223372036854775807) and type = any(%(types)s::text[])
order by seq limit %(limit)s)
union all select seq, at, null, null, null from last_one

-- name: last_event_before
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

-- name: shards
select id from shard order by id

-- name: anything_due
select 1 from due where shard = %s and at <= clock_timestamp() and kind <> all(%s::text[]) order by at limit 1

-- name: prune_batches
-- Batches are looked for within seconds of their commit. In the law's order, so that what is left follows from one to
-- the next; ids would not do, since they are made before the shard is locked.
delete from batch where shard = %(shard)s and id = any(array(
    select id from batch where shard = %(shard)s and at < now() - interval '1 day'
    order by at, first_event_seq, last_event_seq, first_posting_seq, last_posting_seq limit %(limit)s))

-- name: partitions
select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
where p.relname = %s order by c.relname

-- name: take_time
-- How many milliseconds a law may take, on this connection from now on. Its length is no reason to end the session.
select set_config('statement_timeout', %s, false), set_config('transaction_timeout', '0', false)

-- name: range_of_batches
select max(at), null, count(*) from (
    select at from batch where shard = %(shard)s and at > %(low)s order by at limit %(size)s) page

-- name: range_of_transfers
select max(seq), null, count(*) from (
    select seq from transfer where shard = %(shard)s and seq > %(low)s order by seq limit %(size)s) page

-- name: range_of_events
select max(seq), null, count(*) from (
    select seq from event where shard = %(shard)s and seq > %(low)s order by seq limit %(size)s) page

-- name: range_of_accounts
select max(id), null, count(*) from (
    select id from account where shard = %(shard)s and id > %(low)s order by id limit %(size)s) page

-- name: range_of_payins
select (array_agg(id order by id desc))[1], null, count(*) from (
    select id from payin where shard = %(shard)s and id > %(low)s order by id limit %(size)s) page

-- name: range_of_deliveries
select (array_agg(id order by id desc))[1], null, count(*) from (
    select id from webhook_delivery where shard = %(shard)s and id > %(low)s order by id limit %(size)s) page

-- name: range_of_entries
select (array_agg(account_id order by account_id desc, version desc))[1],
    (array_agg(version order by account_id desc, version desc))[1], count(*)
from (
    select account_id, version from entry where shard = %(shard)s and (account_id, version) > (%(low)s, %(low2)s)
    order by account_id, version limit %(size)s) page

-- name: range_of_lines
select (array_agg(id order by id desc))[1], null, count(*) from (
    select id from balance_transaction where shard = %(shard)s and id > %(low)s order by id limit %(size)s) page

-- name: page_of_statement
-- Where the next `size` lines of the statement end, book by book, and whether that book goes on after that time.
select book, created_at, exists (
    select from balance_transaction l
    where l.shard = %(shard)s and l.book = page.book and l.created_at > page.created_at)
from (
    select book, created_at from balance_transaction
    where shard = %(shard)s and (book, created_at) > (%(book)s, %(at)s::timestamptz)
    order by book, created_at offset %(size)s - 1 limit 1) page

-- name: part_of_statement
select currency, sum(net_minor)::bigint from balance_transaction
where shard = %(shard)s and book = %(book)s and created_at > %(low)s::timestamptz and created_at <= %(high)s
group by currency

-- name: range_of_keys
select (array_agg(book order by book desc, digest desc))[1], (array_agg(digest order by book desc, digest desc))[1],
    count(*)
from (
    select book, digest from key where shard = %(shard)s and (book, digest) > (%(low)s, %(low2)s)
    order by book, digest limit %(size)s) page

-- name: deposits_for_bank
select tracking_key, sum(amount_minor)::bigint, sum(returned_minor)::bigint
from deposit where provider = 'spei' and book %% 2 = 0 group by tracking_key

-- name: refunds_for_bank
-- Refunds of transfers that went out to the payer's account, by the key that the bank knows.
select replace(o.id::text, '-', ''), o.amount_minor, 0::bigint
from payin_operation o join payin p on p.shard = o.shard and p.id = o.payin
where o.kind = 'refund' and o.status = 'succeeded' and p.deposit_number is not null and o.book %% 2 = 0

-- name: payins_for_provider
-- What a provider holds, has taken and has given back for each payin, money for a payin that had ended included, and what
-- of it is disputed or was lost to its payer. A payin that ended holds nothing, and after its final capture none does.
-- Of an attempt before the last it has what is a deposit, and holds nothing.
select a.key, coalesce(a.provider, 'sandbox'), (p.book / 2)::text, p.currency,
    case when not a.carries then 0
        when p.status not in ('authorized', 'paid') or p.authorized_minor <= p.captured_minor then 0
        when coalesce((convert_from(p.detail, 'UTF8')::jsonb -> 'closed')::boolean, false) then 0
        else p.authorized_minor - p.captured_minor end,
    case when a.carries then p.received_minor else 0 end + coalesce(d.amount_minor, 0),
    case when a.carries then coalesce(o.refunded, 0) else 0 end + coalesce(d.returned_minor, 0),
    case when a.carries then p.disputed_minor else 0 end
from payin p
cross join lateral (
    select replace(p.id::text, '-', '') || case when n.number > 1 then '-' || n.number else '' end as key,
        t.attempts -> (n.number - 1) ->> 'provider' provider, n.number = t.many carries
    from (
        select d.attempts, greatest(1, jsonb_array_length(d.attempts)) many
        from (select convert_from(p.detail, 'UTF8')::jsonb -> 'attempts' attempts) d) t,
        generate_series(1, t.many) n(number)) a
left join lateral (
    select sum(amount_minor)::bigint refunded from payin_operation o
    where o.shard = p.shard and o.payin = p.id and o.kind = 'refund' and o.status = 'succeeded') o on true
left join deposit d on d.shard = p.shard and d.payin = p.id and d.provider <> 'spei' and d.tracking_key = a.key
where p.deposit_number is null and p.book %% 2 = 0
