-- The vault.

-- Cards. `sealed` (the number), `holder` (the name on it) and `code` (security code) are each under a data key of the row's
-- own; `wrapped` is that key under the key-encryption key that `key_id` names. Deletion takes them all.
create table instrument (
    shard integer not null,
    id uuid not null,
    book bigint not null,
    version integer not null,
    type text not null,
    brand text not null,
    bin text not null,
    last4 text not null,
    expiry_month integer not null,
    expiry_year integer not null,
    country text,
    holder bytea,
    key_id text,
    wrapped bytea,
    sealed bytea,
    code bytea,
    code_until timestamptz,
    created_at timestamptz not null,
    deleted_at timestamptz,
    primary key (shard, id),
    constraint instrument_type_known check (type in ('card')),
    constraint instrument_shows_little_of_its_number check (length(bin) between 2 and 8 and length(last4) = 4),
    constraint instrument_month_is_one check (expiry_month between 1 and 12),
    constraint instrument_sealed_until_deleted check (
        num_nulls(holder, key_id, wrapped, sealed) = case when deleted_at is null then 0 else 4 end),
    constraint instrument_code_has_an_end check ((code is null) = (code_until is null)),
    constraint instrument_deleted_has_no_code check (deleted_at is null or code is null)
) with (fillfactor = 85);
-- Security codes that wait for their use; small, because none waits for more than an hour.
create index instrument_code on instrument (shard, code_until) where code is not null;
