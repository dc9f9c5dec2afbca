-- Routing.

-- A version of a merchant's rules for one of its two sets of books: written once. `rules` is JSON.
create table routing_profile (
    shard integer not null,
    id uuid not null,
    book bigint not null,
    number integer not null,
    name text not null,
    attempts_max integer not null,
    rules bytea not null,
    created_at timestamptz not null,
    primary key (shard, id),
    constraint routing_profile_number_positive check (number > 0),
    constraint routing_profile_attempts_bounded check (attempts_max between 1 and 5)
);
create unique index routing_profile_number on routing_profile (shard, book, number);
create index routing_profile_of_book on routing_profile (shard, book, created_at, id);
