-- Where things are.

create table placement (
    slot integer primary key,
    merchant uuid not null,
    shard integer not null,
    constraint placement_slot_fits check (slot between 0 and 4194303),
    constraint placement_merchant_once unique (merchant)
);

-- What arrives without saying whose it is: kinds `api_key` and `operator`. Written before use.
create table directory (
    kind text not null,
    digest bytea not null,
    slot integer not null,
    shard integer not null,
    primary key (kind, digest)
);

create table migration (
    number integer primary key,
    name text not null,
    applied_at timestamptz not null default clock_timestamp()
);

-- By which each process sees at its start that it has the key-encryption key under which everything here is sealed.
create table sealing_key (
    only_one boolean primary key,
    check_value bytea not null,
    constraint sealing_key_is_one check (only_one)
);
