-- The laws of the ledger; README.md says how a law is written.

-- name: transfer_numbers
-- range: transfers
-- Numbers without gaps, groups that begin where they say, time that never goes back.
select 'transfer_numbers' check_name, shard, 'transfer ' || seq subject, 'after ' || coalesce(before, 0)
    || ', group ' || group_seq || ' after group ' || coalesce(group_before, 0) detail
from (
    select shard, seq, group_seq, at, lag(seq) over numbered before, lag(group_seq) over numbered group_before,
        lag(at) over numbered at_before
    from transfer where shard = %(shard)s and seq >= %(low)s and seq <= %(high)s
    window numbered as (order by seq)) t
where seq > %(low)s and (
    seq <> coalesce(before, 0) + 1
    or group_seq not in (seq, coalesce(group_before, seq))
    or at < at_before)

-- name: shard_head
-- range: shard
-- The shard stands where its last transfer is, with that one's hash.
select 'shard_head' check_name, s.id shard, 'shard ' || s.id subject, 'says ' || s.posting_seq || ' '
    || encode(s.chain, 'hex') || ', last is ' || coalesce(t.seq, 0) || ' ' || coalesce(encode(t.hash, 'hex'), '-') detail
from shard s
left join lateral (select seq, hash from transfer where shard = s.id order by seq desc limit 1) t on true
where s.id = %(shard)s and (
    s.posting_seq <> coalesce(t.seq, 0)
    or s.chain <> coalesce(t.hash, decode(repeat('00', 32), 'hex')))

-- name: entry_follows
-- range: entries
-- Versions without gaps; counters move by the entry's amount on its own side, and on no other; posted ones never fall.
select 'entry_follows' check_name, shard, 'account ' || account_id || ' version ' || version subject,
    format('kind %%s side %%s amount %%s: %%s/%%s/%%s/%%s after %%s/%%s/%%s/%%s', kind, side, amount_minor,
        debits_pending, debits_posted, credits_pending, credits_posted, dpe0, dpo0, cpe0, cpo0) detail
from (
    select *, case when side = 1 then debits_pending - dpe0 else credits_pending - cpe0 end held,
        case when side = 1 then debits_posted - dpo0 else credits_posted - cpo0 end moved,
        case when side = 1 then credits_pending - cpe0 else debits_pending - dpe0 end other_held,
        case when side = 1 then credits_posted - cpo0 else debits_posted - dpo0 end other_moved
    from (
        select *, coalesce(lag(version) over same, 0) version0, coalesce(lag(debits_pending) over same, 0) dpe0,
            coalesce(lag(debits_posted) over same, 0) dpo0, coalesce(lag(credits_pending) over same, 0) cpe0,
            coalesce(lag(credits_posted) over same, 0) cpo0, coalesce(lag(seq) over same, 0) seq0
        from entry
        where shard = %(shard)s and (account_id, version) >= (%(low_account)s, %(low_version)s)
            and (account_id, version) <= (%(high_account)s, %(high_version)s)
        window same as (partition by account_id order by version)) with_before) e
where (account_id, version) > (%(low_account)s, %(low_version)s) and (
    version <> version0 + 1
    or seq <= seq0
    or other_held <> 0
    or other_moved <> 0
    or moved <> case when kind in (1, 3) then amount_minor else 0 end
    or case kind when 1 then held <> 0 when 2 then held <> amount_minor when 3 then held > -amount_minor
        else held <> -amount_minor end)

-- name: entry_within_limit
-- range: entries
-- No request left an account beyond its limit.
select 'entry_within_limit' check_name, shard, 'account ' || account_id || ' version ' || version subject,
    format('%%s+%%s debits, %%s+%%s credits, flags %%s', debits_pending, debits_posted, credits_pending,
        credits_posted, flags) detail
from entry
where shard = %(shard)s and (account_id, version) > (%(low_account)s, %(low_version)s)
    and (account_id, version) <= (%(high_account)s, %(high_version)s)
    and not fact and kind < 3 and (
        (side = 1 and flags & 1 <> 0 and debits_pending + debits_posted > credits_posted)
        or (side = -1 and flags & 2 <> 0 and credits_pending + credits_posted > debits_posted))

-- name: entry_of_transfer
-- range: entries
-- Each entry is one side of its transfer. With `shard_totals` (two entries a transfer) each transfer sums to zero. Each
-- looks for its own: nobody can tell how many there are between two pairs, and a join would read all transfers.
select 'entry_of_transfer' check_name, e.shard, 'account ' || e.account_id || ' version ' || e.version subject,
    'is not the ' || case when e.side = 1 then 'debit' else 'credit' end || ' of transfer ' || e.seq detail
from entry e
left join lateral (select * from transfer t where t.shard = e.shard and t.seq = e.seq limit 1) t on true
where e.shard = %(shard)s and (e.account_id, e.version) > (%(low_account)s, %(low_version)s)
    and (e.account_id, e.version) <= (%(high_account)s, %(high_version)s)
    and (t.seq is null or t.amount_minor <> e.amount_minor or t.kind <> e.kind or (t.flags & 1 = 1) <> e.fact
        or e.account_id <> case when e.side = 1 then t.debit_account else t.credit_account end)

-- name: account_balance
-- range: accounts
-- The account is a copy of its last entry.
select 'account_balance' check_name, a.shard, 'account ' || a.id subject,
    format('version %%s %%s/%%s/%%s/%%s flags %%s, last entry %%s %%s/%%s/%%s/%%s flags %%s', a.version,
        a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted, a.flags, e.version, e.debits_pending,
        e.debits_posted, e.credits_pending, e.credits_posted, e.flags) detail
from account a
left join lateral (
    select * from entry e where e.shard = a.shard and e.account_id = a.id order by version desc limit 1) e on true
where a.shard = %(shard)s and a.id > %(low)s and a.id <= %(high)s
    and (a.version, a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted, a.flags) is distinct from
        (e.version, e.debits_pending, e.debits_posted, e.credits_pending, e.credits_posted, e.flags)

-- name: account_of_entry
-- range: entries
-- No entry without its account. An account's own versions are `account_balance`.
select 'account_of_entry' check_name, e.shard, 'account ' || e.account_id subject, 'has entries and no row' detail
from entry e
where e.shard = %(shard)s and (e.account_id, e.version) > (%(low_account)s, %(low_version)s)
    and (e.account_id, e.version) <= (%(high_account)s, %(high_version)s) and e.version = 1
    and not exists (select from account a where a.shard = e.shard and a.id = e.account_id)

-- name: shard_totals
-- range: shard
-- Debits are credits, held and posted, in each currency and mode; two entries for each transfer.
select 'shard_totals' check_name, %(shard)s::integer shard, 'currency ' || (id & 65472) / 64 || ' mode ' || (id & 65536) / 65536
    subject, 'pending ' || sum(debits_pending - credits_pending) || ', posted ' || sum(debits_posted - credits_posted)
    detail
from account where shard = %(shard)s group by id & 131008, (id & 65472) / 64, (id & 65536) / 65536
having sum(debits_pending - credits_pending) <> 0 or sum(debits_posted - credits_posted) <> 0
union all
select 'shard_totals', s.id, 'shard ' || s.id, entries || ' entries of ' || s.posting_seq || ' transfers'
from shard s, (select coalesce(sum(version), 0) entries from account where shard = %(shard)s) a
where s.id = %(shard)s and entries <> 2 * s.posting_seq

-- name: pending_counters
-- range: shard
-- What an account holds is the sum of its open pending transfers.
select 'pending_counters' check_name, %(shard)s::integer shard, 'account ' || coalesce(a.id, p.id) subject,
    format('%%s/%%s held, %%s/%%s open', a.debits_pending, a.credits_pending, p.debits, p.credits) detail
from (select * from account where shard = %(shard)s and (debits_pending <> 0 or credits_pending <> 0)) a
full join (
    select sides.id, sum(debits) debits, sum(credits) credits
    from pending_transfer, lateral (values (debit_account, amount_minor, 0), (credit_account, 0, amount_minor))
        sides(id, debits, credits)
    where shard = %(shard)s and state = 0 group by sides.id having sum(debits + credits) <> 0) p on p.id = a.id
where (a.debits_pending, a.credits_pending) is distinct from (p.debits, p.credits)
