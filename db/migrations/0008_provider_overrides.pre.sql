-- What operators have decided about providers: a forced breaker, a drain. One row a provider and mode, where there is any.

create table provider_override (
    shard integer not null,
    provider text not null,
    mode text not null,
    version integer not null,
    forced text,
    forced_reason text,
    forced_until timestamptz,          -- real time; null: until it is changed
    drained boolean not null,
    drained_reason text,
    changed_at timestamptz not null,
    primary key (shard, provider, mode),
    constraint provider_override_mode_known check (mode in ('test', 'live')),
    constraint provider_override_forced_known check (forced in ('open', 'closed')),
    constraint provider_override_forced_says_why check ((forced is null) = (forced_reason is null)),
    constraint provider_override_until_is_forced check (forced_until is null or forced is not null),
    constraint provider_override_drained_says_why check (drained = (drained_reason is not null))
);
