-- A payment's story tells what went to endpoints that are deleted since.

create index webhook_endpoint_deleted on webhook_endpoint (shard, book) where status = 'deleted';
