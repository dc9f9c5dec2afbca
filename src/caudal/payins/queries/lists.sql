-- Lists, a page at a time. With filters that may leave few of many rows, a page looks at a bounded number of them.

-- name: payins_before
-- One page, newest first. Filters that are null do not filter.
select id, book, version, status, reason, method, country, currency, amount_minor, received_minor, fee_minor, fee_plan,
    deposit_number, reference, detail, created_at, expires_at, paid_at, authorized_minor, captured_minor,
    refunded_minor, disputed_minor, available_on
from payin
where shard = %(shard)s and book = %(book)s
    and (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    and (created_at, id) >= (%(end_at)s::timestamptz, %(end_id)s::uuid)
    and (%(status)s::text is null or status = %(status)s)
    and (%(method)s::text is null or method = %(method)s)
    and (%(country)s::text is null or country = %(country)s)
    and (%(currency)s::text is null or currency = %(currency)s)
order by created_at desc, id desc
limit %(limit)s

-- name: payins_looked_before
-- Where a page ends that looks at so many: the place, if there is more behind it.
select created_at, id from payin
where shard = %(shard)s and book = %(book)s
    and (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    and (created_at, id) >= (%(end_at)s::timestamptz, %(end_id)s::uuid)
order by created_at desc, id desc offset %(looked_at)s - 1 limit 1

-- name: payins_looked_after
select created_at, id from payin
where shard = %(shard)s and book = %(book)s
    and (created_at, id) > (%(after_at)s::timestamptz, %(after_id)s::uuid)
    and (created_at, id) <= (%(end_at)s::timestamptz, %(end_id)s::uuid)
order by created_at, id offset %(looked_at)s - 1 limit 1

-- name: payins_after
-- One page back towards the newest.
select id, book, version, status, reason, method, country, currency, amount_minor, received_minor, fee_minor, fee_plan,
    deposit_number, reference, detail, created_at, expires_at, paid_at, authorized_minor, captured_minor,
    refunded_minor, disputed_minor, available_on
from payin
where shard = %(shard)s and book = %(book)s
    and (created_at, id) > (%(after_at)s::timestamptz, %(after_id)s::uuid)
    and (created_at, id) <= (%(end_at)s::timestamptz, %(end_id)s::uuid)
    and (%(status)s::text is null or status = %(status)s)
    and (%(method)s::text is null or method = %(method)s)
    and (%(country)s::text is null or country = %(country)s)
    and (%(currency)s::text is null or currency = %(currency)s)
order by created_at, id
limit %(limit)s

-- name: payins_found
-- Payins that have a term and all of the others, newest first: their ids carry the time.
select p.id, p.book, p.version, p.status, p.reason, p.method, p.country, p.currency, p.amount_minor, p.received_minor,
    p.fee_minor, p.fee_plan, p.deposit_number, p.reference, p.detail, p.created_at, p.expires_at, p.paid_at,
    p.authorized_minor, p.captured_minor, p.refunded_minor, p.disputed_minor, p.available_on
from payin_search s
join payin p on p.shard = s.shard and p.id = s.payin
where s.shard = %(shard)s and s.book = %(book)s and s.term = %(term)s
    and s.payin < %(before_id)s::uuid and s.payin >= %(end_id)s::uuid
    and not exists (
        select from unnest(%(others)s::bytea[]) other(term)
        where not exists (
            select from payin_search o
            where o.shard = s.shard and o.book = s.book and o.term = other.term and o.payin = s.payin))
    and (%(status)s::text is null or p.status = %(status)s)
    and (%(method)s::text is null or p.method = %(method)s)
    and (%(country)s::text is null or p.country = %(country)s)
    and (%(currency)s::text is null or p.currency = %(currency)s)
    and p.created_at >= %(since)s::timestamptz and p.created_at < %(until)s::timestamptz
order by s.payin desc
limit %(limit)s

-- name: payins_found_looked
-- Where a page of them ends that looks at so many of the first term's.
select p.created_at, p.id from (
    select payin from payin_search
    where shard = %(shard)s and book = %(book)s and term = %(term)s and payin < %(before_id)s::uuid
    order by payin desc offset %(looked_at)s - 1 limit 1) last_one
join payin p on p.shard = %(shard)s and p.id = last_one.payin

-- name: payins_found_after
-- One page of them back towards the newest.
select p.id, p.book, p.version, p.status, p.reason, p.method, p.country, p.currency, p.amount_minor, p.received_minor,
    p.fee_minor, p.fee_plan, p.deposit_number, p.reference, p.detail, p.created_at, p.expires_at, p.paid_at,
    p.authorized_minor, p.captured_minor, p.refunded_minor, p.disputed_minor, p.available_on
from payin_search s
join payin p on p.shard = s.shard and p.id = s.payin
where s.shard = %(shard)s and s.book = %(book)s and s.term = %(term)s
    and s.payin > %(after_id)s::uuid and s.payin <= %(end_id)s::uuid
    and not exists (
        select from unnest(%(others)s::bytea[]) other(term)
        where not exists (
            select from payin_search o
            where o.shard = s.shard and o.book = s.book and o.term = other.term and o.payin = s.payin))
    and (%(status)s::text is null or p.status = %(status)s)
    and (%(method)s::text is null or p.method = %(method)s)
    and (%(country)s::text is null or p.country = %(country)s)
    and (%(currency)s::text is null or p.currency = %(currency)s)
    and p.created_at >= %(since)s::timestamptz and p.created_at < %(until)s::timestamptz
order by s.payin
limit %(limit)s

-- name: payins_found_looked_after
select p.created_at, p.id from (
    select payin from payin_search
    where shard = %(shard)s and book = %(book)s and term = %(term)s and payin > %(after_id)s::uuid
    order by payin offset %(looked_at)s - 1 limit 1) last_one
join payin p on p.shard = %(shard)s and p.id = last_one.payin

-- name: deposits_before
select id, book, version, provider, tracking_key, account, currency, amount_minor, applied_minor, unapplied_minor,
    returning_minor, returned_minor, payin, reason, sealed, created_at, paid_at, destination, sent_until
from deposit
where shard = %(shard)s and book = %(book)s and (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    and (created_at, id) >= (%(end_at)s::timestamptz, %(end_id)s::uuid)
    and (not %(unapplied)s or unapplied_minor > 0)
order by created_at desc, id desc
limit %(limit)s

-- name: deposits_looked_before
-- Where a page of a book's ends that looks at so many.
select created_at, id from deposit
where shard = %(shard)s and book = %(book)s and (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
order by created_at desc, id desc offset %(looked_at)s - 1 limit 1

-- name: unapplied_deposits_before
select id, book, version, provider, tracking_key, account, currency, amount_minor, applied_minor, unapplied_minor,
    returning_minor, returned_minor, payin, reason, sealed, created_at, paid_at, destination, sent_until
from deposit
where shard = %(shard)s and unapplied_minor > 0 and (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
order by created_at desc, id desc
limit %(limit)s

-- name: deposits_of_payin
-- Those that count towards it, which its row names, and those beside.
select id, book, version, provider, tracking_key, account, currency, amount_minor, applied_minor, unapplied_minor,
    returning_minor, returned_minor, payin, reason, sealed, created_at, paid_at, destination, sent_until
from deposit
where shard = %(shard)s
    and id = any(array(
        select unnest(%(own)s::uuid[])
        union select id from deposit where shard = %(shard)s and payin = %(payin)s and reason is not null))
    and (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    and (not %(unapplied)s or unapplied_minor > 0)
order by created_at desc, id desc
limit %(limit)s

-- name: operations_before
-- One page of one kind, newest first.
select id, book, payin, version, kind, status, reason, currency, amount_minor, fee_minor, from_pending_minor,
    from_available_minor, detail, sealed, created_at, settled_at
from payin_operation
where shard = %(shard)s and book = %(book)s and kind = %(kind)s
    and (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    and (created_at, id) >= (%(end_at)s::timestamptz, %(end_id)s::uuid)
    and (%(status)s::text is null or status = %(status)s)
order by created_at desc, id desc
limit %(limit)s

-- name: operations_looked_before
-- Where a page of one kind ends that looks at so many of all kinds.
select created_at, id from payin_operation
where shard = %(shard)s and book = %(book)s and (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
order by created_at desc, id desc offset %(looked_at)s - 1 limit 1

-- name: discrepancies_before
select id, book, version, provider, kind, payin, detail, created_at, resolved_at, resolution, held, answer, correction
from discrepancy
where shard = %(shard)s and (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    and (created_at, id) >= (%(end_at)s::timestamptz, %(end_id)s::uuid)
    and (%(kind)s::text is null or kind = %(kind)s) and (%(provider)s::text is null or provider = %(provider)s)
order by created_at desc, id desc
limit %(limit)s

-- name: discrepancies_looked_before
select created_at, id from discrepancy
where shard = %(shard)s and (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
order by created_at desc, id desc offset %(looked_at)s - 1 limit 1

-- name: open_discrepancies_before
select id, book, version, provider, kind, payin, detail, created_at, resolved_at, resolution, held, answer, correction
from discrepancy
where shard = %(shard)s and resolved_at is null and (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    and (created_at, id) >= (%(end_at)s::timestamptz, %(end_id)s::uuid)
    and (%(kind)s::text is null or kind = %(kind)s) and (%(provider)s::text is null or provider = %(provider)s)
order by created_at desc, id desc
limit %(limit)s

-- name: open_discrepancies_looked_before
select created_at, id from discrepancy
where shard = %(shard)s and resolved_at is null and (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
order by created_at desc, id desc offset %(looked_at)s - 1 limit 1

-- name: disputes_before
select id, book, payin, version, provider, reference, status, reason, currency, amount_minor, fee_minor,
    from_pending_minor, day, evidence, respond_by, opened_at, closed_at
from dispute
where shard = %(shard)s and book = %(book)s and (opened_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
    and opened_at >= %(since)s::timestamptz
    and (%(payin)s::uuid is null or payin = %(payin)s) and (%(status)s::text is null or status = %(status)s)
order by opened_at desc, id desc
limit %(limit)s

-- name: recent_payins
-- The newest payins of any book since an id, which has its time in it. Parameters: shard, since, limit.
select id, book, version, status, reason, method, country, currency, amount_minor, received_minor, fee_minor, fee_plan,
    deposit_number, reference, detail, created_at, expires_at, paid_at, authorized_minor, captured_minor,
    refunded_minor, disputed_minor, available_on
from payin where shard = %s and id > %s order by id desc limit %s

-- name: work_in_vain
-- What was tried in vain, of one kind and behind a subject; all of a small index.
select at, kind, subject, book, attempt, said from due
where shard = %(shard)s and kind = %(kind)s and subject > %(after)s::uuid and (attempt > 1 or said is not null)
order by subject limit %(limit)s

-- name: work_in_vain_of
select at, kind, subject, book, attempt, said from due
where shard = %s and kind = any(%s) and subject = %s and (attempt > 1 or said is not null) limit 1

-- name: changes_of_payin
select event, status, reason, at from payin_change where shard = %s and payin = %s order by number

-- name: discrepancies_of_payin
select id from discrepancy where shard = %s and payin = %s order by created_at desc, id desc limit 100
