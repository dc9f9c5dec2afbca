-- What the replay reads, in ranges. Ids come as 16 bytes, times as the 8 bytes of their binary form: a million of them
-- are loaded in a second.

-- name: head
select posting_seq, chain from shard where id = %(shard)s

-- name: last_transfer
select coalesce(max(seq), 0) from transfer where shard = %(shard)s

-- name: transfers
select seq, group_seq, uuid_send(id), kind, flags, debit_account, credit_account, amount_minor, uuid_send(pending_id),
    timeout_s, uuid_send(subject), code, timestamptz_send(at), hash
from transfer where shard = %(shard)s and seq > %(low)s and seq <= %(high)s order by seq

-- name: entries
-- The entries of each account between two versions: one index range an account.
select e.account_id, e.version, e.seq, e.side, e.kind, e.amount_minor, e.debits_pending, e.debits_posted,
    e.credits_pending, e.credits_posted, e.fact, e.flags
from unnest(%(accounts)s::bigint[], %(firsts)s::bigint[], %(lasts)s::bigint[]) touched(account_id, low, high)
cross join lateral (
    select * from entry where shard = %(shard)s and account_id = touched.account_id
        and version >= touched.low and version <= touched.high
    order by account_id, version limit 1000000000) e

-- name: accounts
select id, version, debits_pending, debits_posted, credits_pending, credits_posted, flags
from account where shard = %(shard)s and id > %(after)s order by id limit %(limit)s

-- name: last_entries
-- Each account that has entries, found by hopping from one to the next, and its last entry.
with recursive hop as (
    (select account_id, 1 hops from entry where shard = %(shard)s and account_id > %(after)s
     order by account_id limit 1)
    union all
    select next.account_id, hop.hops + 1 from hop cross join lateral (
        select account_id from entry where shard = %(shard)s and account_id > hop.account_id
        order by account_id limit 1) next
    where hop.hops < %(limit)s)
select e.account_id, e.version, e.debits_pending, e.debits_posted, e.credits_pending, e.credits_posted, e.flags
from hop cross join lateral (
    select * from entry where shard = %(shard)s and account_id = hop.account_id
    order by account_id desc, version desc limit 1) e
order by e.account_id

-- name: pendings
select uuid_send(id), version, state, debit_account, credit_account, amount_minor, flags, uuid_send(subject), code,
    timestamptz_send(expires_at), posted_minor, id
from pending_transfer where shard = %(shard)s and id > %(after)s order by id limit %(limit)s

-- name: ids
select seq, id from transfer where shard = %(shard)s and seq = any(%(seqs)s::bigint[])
