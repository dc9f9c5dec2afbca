-- Statements of the ledger. Guards: a row count or a sum other than the expected one divides by zero, so that the
-- server aborts the COMMIT that is already on the wire behind the statement.

-- name: read_accounts
-- Parameters: shard, account ids.
select id, version, debits_pending, debits_posted, credits_pending, credits_posted, flags
from account where shard = %s and id = any(%s::bigint[])

-- name: insert_accounts
-- Accounts with their first entries. Parameters: shard, one array a column, how many.
with w as (
    insert into account (shard, id, version, debits_pending, debits_posted, credits_pending, credits_posted, flags)
    select %s, * from unnest(
        %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::integer[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_accounts
-- New balances of accounts that still have the version that was read. Parameters: the versions that were read, one
-- array a column, shard, how many.
with w as (
    update account a set version = n.version, debits_pending = n.debits_pending, debits_posted = n.debits_posted,
        credits_pending = n.credits_pending, credits_posted = n.credits_posted, flags = n.flags
    from (select * from unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
        %s::bigint[],
        %s::integer[])
        n(read_version, id, version, debits_pending, debits_posted, credits_pending, credits_posted, flags),
        (select %s::integer as shard) here offset 0) n
    where a.shard = n.shard and a.id = n.id and a.version = n.read_version
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: insert_transfers
-- Parameters: shard, one array a column, how many.
with w as (
    insert into transfer (shard, seq, group_seq, id, kind, flags, debit_account, credit_account, amount_minor,
        pending_id, timeout_s, subject, code, at, hash)
    select %s, * from unnest(
        %s::bigint[], %s::bigint[], %s::uuid[], %s::integer[], %s::integer[], %s::bigint[], %s::bigint[],
        %s::bigint[], %s::uuid[], %s::integer[], %s::uuid[], %s::text[], %s::timestamptz[], %s::bytea[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: insert_entries
-- After the accounts. Each transfer sums to zero in one currency, so does each group; versions follow each other from
-- the account's last entry to the version and balance that its row has now. `limit 1` keeps the two looks at an
-- account index probes, whatever the planner believes of the tables. Parameters: shard, one array a column, shard
-- twice, how many.
with w as (
    insert into entry (shard, account_id, version, seq, side, kind, amount_minor, debits_pending, debits_posted,
        credits_pending, credits_posted, fact, flags)
    select %s, * from unnest(
        %s::bigint[], %s::bigint[], %s::bigint[], %s::integer[], %s::integer[], %s::bigint[], %s::bigint[],
        %s::bigint[], %s::bigint[], %s::bigint[], %s::boolean[], %s::integer[])
    returning account_id, version, seq, side, amount_minor, debits_pending, debits_posted, credits_pending,
        credits_posted, flags),
sums as (
    select 1 from w group by seq, account_id & 65472 having sum(side * amount_minor) <> 0 or count(*) <> 2),
latest as (
    select distinct on (account_id) *, min(version) over same as first_version, count(*) over same as entries
    from w window same as (partition by account_id) order by account_id, version desc),
wrong as (
    select 1 from latest n
    left join lateral (
        select true as here from account a where a.shard = %s and a.id = n.account_id and a.version = n.version
            and a.debits_pending = n.debits_pending and a.debits_posted = n.debits_posted and a.flags = n.flags
            and a.credits_pending = n.credits_pending and a.credits_posted = n.credits_posted limit 1) balance on true
    left join lateral (
        select true as here from entry e where e.shard = %s and e.account_id = n.account_id
            and e.version = n.first_version - 1 limit 1) before on true
    where balance.here is null or n.version - n.first_version + 1 <> n.entries
        or (n.first_version > 1 and before.here is null))
select 1 / (count(*) = %s and not exists (select from sums) and not exists (select from wrong))::int from w

-- name: read_pending_transfers
-- Parameters: shard, ids.
select id, version, state, debit_account, credit_account, amount_minor, flags, subject, code, expires_at, posted_minor
from pending_transfer where shard = %s and id = any(%s::uuid[])

-- name: insert_pending_transfers
-- Parameters: shard, one array a column, how many.
with w as (
    insert into pending_transfer (shard, id, version, state, debit_account, credit_account, amount_minor, flags,
        subject, code, expires_at, posted_minor)
    select %s, * from unnest(
        %s::uuid[], %s::integer[], %s::integer[], %s::bigint[], %s::bigint[], %s::bigint[], %s::integer[],
        %s::uuid[], %s::text[], %s::timestamptz[], %s::bigint[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_pending_transfers
-- Resolve, once. Parameters: versions that were read, ids, versions, states, posted amounts, shard, how many.
with w as (
    update pending_transfer p set version = n.version, state = n.state, posted_minor = n.posted_minor
    from (select * from unnest(%s::integer[], %s::uuid[], %s::integer[], %s::integer[], %s::bigint[])
        n(read_version, id, version, state, posted_minor),
        (select %s::integer as shard) here offset 0) n
    where p.shard = n.shard and p.id = n.id and p.version = n.read_version and p.state = 0
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: balances
-- Accounts of one book, for reading outside a batch. Parameters: shard, lowest id, id beyond the highest.
select id, version, debits_pending, debits_posted, credits_pending, credits_posted, flags
from account where shard = %s and id >= %s and id < %s order by id

-- name: entry_at_seq
-- The account as it stood after the shard's posting `seq`: halving the range of versions, about twenty probes, because
-- versions and numbers grow together. Parameters: shard, account, shard, account, seq, shard, account.
with recursive ends as (
    select 0::bigint low, coalesce(max(version), 0) high from entry where shard = %s and account_id = %s),
halving as (
    select low, high from ends
    union all
    select case when e.seq <= h.seq then e.version else h.low end, case when e.seq <= h.seq then h.high else e.version - 1 end
    from (select low, high, (low + high + 1) / 2 middle, %s::bigint seq from halving where low < high) h
    join entry e on e.shard = %s and e.account_id = %s and e.version = h.middle)
select e.version, e.seq, e.debits_pending, e.debits_posted, e.credits_pending, e.credits_posted, e.flags
from halving h join entry e on e.shard = %s and e.account_id = %s and e.version = h.low
where h.low = h.high

-- name: seq_at
-- The last posting at or before a time; 0 before the first. Parameters: shard, time, shard.
with recursive ends as (
    select 0::bigint low, coalesce(max(seq), 0) high from transfer where shard = %s),
halving as (
    select low, high from ends
    union all
    select case when t.at <= h.at then t.seq else h.low end, case when t.at <= h.at then h.high else t.seq - 1 end
    from (select low, high, (low + high + 1) / 2 middle, %s::timestamptz at from halving where low < high) h
    join transfer t on t.shard = %s and t.seq = h.middle)
select low from halving where low = high
