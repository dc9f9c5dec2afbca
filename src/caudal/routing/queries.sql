-- Routing profiles: what the batch reads and writes, and what the API reads.

-- name: read_profiles
select id, book, number, name, attempts_max, rules, created_at
from routing_profile where shard = %s and id = any(%s)

-- name: insert_profiles
with w as (
    insert into routing_profile (shard, id, book, number, name, attempts_max, rules, created_at)
    select %s, * from unnest(%s::uuid[], %s::bigint[], %s::integer[], %s::text[], %s::integer[], %s::bytea[],
        %s::timestamptz[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: profiles_before
-- A book's profiles, newest first. Parameters: shard, book, before_at, before_id, limit.
select id, book, number, name, attempts_max, rules, created_at
from routing_profile
where shard = %(shard)s and book = %(book)s
    and (created_at, id) < (%(before_at)s::timestamptz, %(before_id)s::uuid)
order by created_at desc, id desc limit %(limit)s

-- name: active_profile
-- Which of a book's profiles is active. Parameters: shard, book.
select routing_profile from book where shard = %s and book = %s
