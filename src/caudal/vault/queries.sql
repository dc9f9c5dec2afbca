-- The vault: what the batch reads and writes, and what the API reads.

-- name: read_instruments
select id, book, version, type, brand, bin, last4, expiry_month, expiry_year, country, holder, key_id, wrapped,
    sealed, code, code_until, created_at, deleted_at
from instrument where shard = %s and id = any(%s)

-- name: insert_instruments
with w as (
    insert into instrument (shard, id, book, version, type, brand, bin, last4, expiry_month, expiry_year, country,
        holder, key_id, wrapped, sealed, code, code_until, created_at, deleted_at)
    select %s, * from unnest(%s::uuid[], %s::bigint[], %s::integer[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::integer[], %s::integer[], %s::text[], %s::bytea[], %s::text[], %s::bytea[], %s::bytea[], %s::bytea[],
        %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: update_instruments
with w as (
    update instrument i set version = n.version, holder = n.holder, key_id = n.key_id, wrapped = n.wrapped,
        sealed = n.sealed, code = n.code, code_until = n.code_until, deleted_at = n.deleted_at
    from (select * from unnest(%s::uuid[], %s::integer[], %s::integer[], %s::bytea[], %s::text[], %s::bytea[],
        %s::bytea[],
        %s::bytea[], %s::timestamptz[], %s::timestamptz[])
        n(id, read_version, version, holder, key_id, wrapped, sealed, code, code_until, deleted_at),
        (select %s::integer as shard) here offset 0) n
    where i.shard = n.shard and i.id = n.id and i.version = n.read_version
    returning 1)
select 1 / (count(*) = %s)::int from w

-- name: instrument_by_id
select id, book, version, type, brand, bin, last4, expiry_month, expiry_year, country, holder, key_id, wrapped,
    sealed, code, code_until, created_at, deleted_at
from instrument where shard = %s and id = %s and book = %s

-- name: shards
select id from shard order by id

-- name: instruments_to_rewrap
-- A page of those under another key than this, in the order of their ids.
select id, book, version, type, brand, bin, last4, expiry_month, expiry_year, country, holder, key_id, wrapped,
    sealed, code, code_until, created_at, deleted_at
from instrument where shard = %s and id > %s and key_id <> %s order by id limit %s
