-- What is asked so that a process can be seen.

-- name: shards_ahead
select id, date_trunc('second', last_at - clock_timestamp())::text from shard
where last_at > clock_timestamp() + interval '1 minute' order by id

-- name: migrations
select number from migration
