-- How far the running check of the books has come, so that a worker that begins goes on there.

create table check_place (
    shard integer not null,
    laws bytea not null,
    place bytea not null,
    at timestamptz not null,
    primary key (shard)
);
