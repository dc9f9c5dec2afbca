-- The laws of the books. Each block returns no row when all is well, otherwise one for each row that breaks it
-- (check_name, shard, subject, detail). `caudal check` runs them all; `range:` says what a block walks through, each
-- range in a short transaction of its own, so that no old snapshot makes hot rows slow:
--   transfers  seq in (low, high]                      accounts, payins  id in (low, high]
--   events     seq in (low, high]                      shard             no range
--   entries    (account_id, version) in (low, high], as low_account, low_version, high_account, high_version
-- Every block is one statement and therefore sees one moment. `currencies` and `numerics` are ISO 4217's codes.

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
-- Each entry is one side of its transfer. With `shard_totals` (two entries a transfer) each transfer sums to zero.
select 'entry_of_transfer' check_name, e.shard, 'account ' || e.account_id || ' version ' || e.version subject,
    'is not the ' || case when e.side = 1 then 'debit' else 'credit' end || ' of transfer ' || e.seq detail
from entry e
left join transfer t on t.shard = e.shard and t.seq = e.seq
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

-- name: event_numbers
-- range: events
-- Events are numbered without gaps, in the order of their batches' times.
select 'event_numbers' check_name, shard, 'event ' || seq subject, 'after ' || before detail
from (
    select shard, seq, at, lag(seq) over numbered before, lag(at) over numbered at_before
    from event where shard = %(shard)s and seq >= %(low)s and seq <= %(high)s
    window numbered as (order by seq)) e
where seq > %(low)s and before is not null and (seq <> before + 1 or at < at_before)

-- name: event_of_payin
-- range: events
-- An event says of its payin what never changes, and the state that it is named after. Bytes are looked for as they are
-- written (contracts/payins.py), so that none that somebody changed can break the look itself.
select 'event_of_payin' check_name, e.shard, 'event ' || e.seq subject,
    e.type || ' and payin ' || e.subject || ' tell different stories' detail
from event e
left join payin p on p.shard = e.shard and p.id = e.subject and p.book = e.book
where e.shard = %(shard)s and e.seq > %(low)s and e.seq <= %(high)s and e.type like 'payin.%%' and (
    p.id is null
    or position(convert_to('{"id":"payin_' || replace(p.id::text, '-', '') || '","object":"payin","mode":"'
        || case when p.book %% 2 = 1 then 'live' else 'test' end || '","status":"'
        || case when e.type in ('payin.created', 'payin.received') then '' else substr(e.type, 7) || '"' end,
        'UTF8') in e.data) <> 1
    or position(convert_to(',"amount":' || p.amount_minor || ',"currency":"' || p.currency || '","country":"'
        || p.country || '","method":"' || p.method || '",', 'UTF8') in e.data) = 0
    or position(convert_to(',"fee_plan":' || p.fee_plan || ',', 'UTF8') in e.data) = 0
    or position(convert_to(',"created_at":"' || to_char(p.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","expires_at":"' || to_char(p.expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"',
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
        || '","amount":' || d.amount_minor || ',', 'UTF8') in e.data) <> 1)

-- name: event_head
-- range: shard
-- The shard stands where its last event is.
select 'event_head' check_name, s.id shard, 'shard ' || s.id subject,
    'says ' || s.event_seq || ', last is ' || coalesce(e.seq, 0) detail
from shard s
left join lateral (select seq from event where shard = s.id order by seq desc limit 1) e on true
where s.id = %(shard)s and s.event_seq <> coalesce(e.seq, 0)

-- name: batch_follows
-- range: shard
-- Each batch begins where the one before it ended.
select 'batch_follows' check_name, shard, 'batch ' || id subject,
    first_event_seq || '/' || first_posting_seq || ' after ' || event_before || '/' || posting_before detail
from (
    select shard, id, first_event_seq, first_posting_seq, lag(last_event_seq) over done event_before,
        lag(last_posting_seq) over done posting_before
    from batch where shard = %(shard)s
    window done as (order by at, first_event_seq, last_event_seq, first_posting_seq, last_posting_seq)) b
where first_event_seq <> event_before + 1 or first_posting_seq <> posting_before + 1

-- name: payin_history
-- range: payins
-- A payin stands where its last change left it.
select 'payin_history' check_name, p.shard, 'payin ' || p.id subject,
    format('%%s version %%s, history says %%s version %%s', p.status, p.version, c.status, c.number) detail
from payin p
left join lateral (
    select number, status, received_minor from payin_change c
    where c.shard = p.shard and c.payin = p.id order by number desc limit 1) c on true
where p.shard = %(shard)s and p.id > %(low)s and p.id <= %(high)s
    and (p.version, p.status, p.received_minor) is distinct from
        (coalesce(c.number, 1), coalesce(c.status, 'pending'), coalesce(c.received_minor, 0))

-- name: payin_received
-- range: payins
-- What a payin has received is what its deposits brought it. One join for the range: without statistics a look for
-- each payin would read all deposits again and again.
select 'payin_received' check_name, shard, 'payin ' || id subject,
    'received ' || received_minor || ', deposits ' || brought detail
from (
    select p.shard, p.id, p.received_minor,
        coalesce(sum(case when p.status = 'paid' then d.applied_minor else d.unapplied_minor end), 0) brought
    from payin p
    left join lateral jsonb_array_elements_text(convert_from(p.detail, 'UTF8')::jsonb -> 'deposits') counted(id) on true
    left join deposit d on d.shard = p.shard and d.id = counted.id::uuid
    where p.shard = %(shard)s and p.id > %(low)s and p.id <= %(high)s
    group by p.shard, p.id) p
where received_minor <> brought

-- name: payin_earnings
-- range: shard
-- What a book has earned is its paid payins less their fees.
select 'payin_earnings' check_name, %(shard)s::integer shard, 'book ' || coalesce(p.book, a.book) subject,
    format('payins of %%s earned %%s, the ledger holds %%s', p.currency, p.earned, a.held) detail
from (
    select book, currency, numeric_code, sum(amount_minor - fee_minor) earned
    from payin join unnest(%(currencies)s::text[], %(numerics)s::integer[]) iso(currency, numeric_code) using (currency)
    where shard = %(shard)s and status = 'paid' group by book, currency, numeric_code) p
full join (
    select id >> 16 book, (id & 65472) / 64 numeric_code, sum(credits_posted - debits_posted) held
    from account where shard = %(shard)s and id & 63 in (1, 2, 3, 4) group by 1, 2) a
    on a.book = p.book and a.numeric_code = p.numeric_code
where coalesce(p.earned, 0) <> coalesce(a.held, 0)

-- name: unapplied_money
-- range: shard
-- Unapplied money in the ledger is what deposits say is unapplied.
select 'unapplied_money' check_name, %(shard)s::integer shard, 'book ' || coalesce(d.book, a.book) subject,
    format('deposits say %%s, the ledger holds %%s', d.unapplied, a.held) detail
from (
    select book, sum(unapplied_minor) unapplied from deposit where shard = %(shard)s and unapplied_minor > 0
    group by book) d
full join (
    select id >> 16 book, sum(credits_posted - debits_posted) held
    from account where shard = %(shard)s and id & 63 = 5 group by 1
    having sum(credits_posted - debits_posted) <> 0) a on a.book = d.book
where d.unapplied is distinct from a.held

-- name: key_stuck
-- range: shard
-- No key stays in progress for long after its deadline.
select 'key_stuck' check_name, shard, 'key ' || encode(digest, 'hex') || ' of book ' || book subject,
    'in progress since ' || created_at detail
from key where shard = %(shard)s and status is null and deadline < now() - interval '1 hour'
