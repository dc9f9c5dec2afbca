-- The laws of keys, events and batches; README.md says how a law is written.

-- name: event_numbers
-- range: events
-- Events are numbered without gaps, in the order of their batches' times.
select 'event_numbers' check_name, shard, 'event ' || seq subject, 'after ' || before detail
from (
    select shard, seq, at, lag(seq) over numbered before, lag(at) over numbered at_before
    from event where shard = %(shard)s and seq >= %(low)s and seq <= %(high)s
    window numbered as (order by seq)) e
where seq > %(low)s and before is not null and (seq <> before + 1 or at < at_before)

-- name: event_head
-- range: shard
-- The shard stands where its last event is.
select 'event_head' check_name, s.id shard, 'shard ' || s.id subject,
    'says ' || s.event_seq || ', last is ' || coalesce(e.seq, 0) detail
from shard s
left join lateral (select seq from event where shard = s.id order by seq desc limit 1) e on true
where s.id = %(shard)s and s.event_seq <> coalesce(e.seq, 0)

-- name: batch_follows
-- range: batches
-- Each batch begins where the one before it ended.
select 'batch_follows' check_name, shard, 'batch ' || id subject,
    first_event_seq || '/' || first_posting_seq || ' after ' || event_before || '/' || posting_before detail
from (
    select shard, id, at, first_event_seq, first_posting_seq, lag(last_event_seq) over done event_before,
        lag(last_posting_seq) over done posting_before
    from batch where shard = %(shard)s and at >= %(low)s and at <= %(high)s
    window done as (order by at, first_event_seq, last_event_seq, first_posting_seq, last_posting_seq)) b
where at > %(low)s and (first_event_seq <> event_before + 1 or first_posting_seq <> posting_before + 1)

-- name: key_stuck
-- range: keys
-- No key stays in progress for long after its deadline.
select 'key_stuck' check_name, shard, 'key ' || encode(digest, 'hex') || ' of book ' || book subject,
    'in progress since ' || created_at detail
from key
where shard = %(shard)s and (book, digest) > (%(low_book)s, %(low_digest)s)
    and (book, digest) <= (%(high_book)s, %(high_digest)s)
    and status is null and deadline < now() - interval '1 hour'

-- name: key_answer
-- range: keys
-- A stored answer is that of its status and its subject: a problem repeats the status, an object begins with its id.
select 'key_answer' check_name, shard, 'key ' || encode(digest, 'hex') || ' of book ' || book subject,
    'answers ' || status || ' about ' || coalesce(subject::text, 'nothing') || ' and says something else' detail
from key
where shard = %(shard)s and (book, digest) > (%(low_book)s, %(low_digest)s)
    and (book, digest) <= (%(high_book)s, %(high_digest)s) and status is not null and (
        status not between 200 and 599
        or (status >= 400 and position(convert_to('"status":' || status || ',', 'UTF8') in answer) = 0)
        or (status < 400 and position('"status":4'::bytea in substr(answer, 1, 200)) > 0)
        or (status < 400 and position(convert_to('_' || replace(subject::text, '-', '') || '"', 'UTF8') in answer) = 0))
