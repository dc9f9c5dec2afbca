-- What the processes read for themselves.

-- name: balances
select id, credits_posted - debits_posted from account where shard = %s and id >= %s and id < %s order by id

-- name: events_after
select seq, at, type, subject, data from event
where shard = %(shard)s and book = %(book)s and seq > %(after)s
    and (%(types)s::text[] is null or type = any(%(types)s::text[]))
    and (%(since)s::timestamptz is null or at >= %(since)s::timestamptz)
order by seq limit %(limit)s

-- name: shards
select id from shard order by id

-- name: anything_due
select 1 from due where shard = %s and at <= clock_timestamp() order by at limit 1

-- name: prune_batches
-- Batches are looked for within seconds of their commit; their ids order by time.
delete from batch where shard = %s and id in (select id from batch where shard = %s and id < %s order by id limit 5000)

-- name: partitions
select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
where p.relname = %s order by c.relname

-- name: range_of_transfers
select max(seq), null from (
    select seq from transfer where shard = %(shard)s and seq > %(low)s order by seq limit %(size)s) page

-- name: range_of_events
select max(seq), null from (
    select seq from event where shard = %(shard)s and seq > %(low)s order by seq limit %(size)s) page

-- name: range_of_accounts
select max(id), null from (
    select id from account where shard = %(shard)s and id > %(low)s order by id limit %(size)s) page

-- name: range_of_payins
select (array_agg(id order by id desc))[1], null from (
    select id from payin where shard = %(shard)s and id > %(low)s order by id limit %(size)s) page

-- name: range_of_entries
select (array_agg(account_id order by account_id desc, version desc))[1],
    (array_agg(version order by account_id desc, version desc))[1]
from (
    select account_id, version from entry where shard = %(shard)s and (account_id, version) > (%(low)s, %(low2)s)
    order by account_id, version limit %(size)s) page

-- name: deposits_for_bank
select tracking_key, sum(amount_minor)::bigint, sum(returned_minor)::bigint
from deposit where provider = 'spei' and book %% 2 = 0 group by tracking_key
