-- Merchants.

create table merchant (
    shard integer not null,
    id uuid not null,
    slot integer not null,
    version integer not null,
    name text not null,
    country text not null,
    status text not null,
    created_at timestamptz not null,
    primary key (shard, id),
    constraint merchant_status_known check (status in ('active', 'suspended'))
);

-- One of a merchant's two sets of books, with the settings that decisions look at.
create table book (
    shard integer not null,
    book bigint not null,
    merchant uuid not null,
    version integer not null,
    late_payments text not null,
    fee_plan integer not null,
    clock_offset_s bigint not null default 0,
    refunds_beyond_balance text not null default 'refuse',
    routing_profile uuid,  -- the active one
    routing_profiles integer not null default 0,
    primary key (shard, book),
    constraint book_late_payments_known check (late_payments in ('accept', 'unapplied')),
    constraint book_refunds_beyond_balance_known check (refunds_beyond_balance in ('refuse', 'allow')),
    constraint book_clock_moves_in_test_only check (clock_offset_s = 0 or book % 2 = 0),
    constraint book_clock_never_goes_back check (clock_offset_s >= 0),
    constraint book_routing_active_is_made check (routing_profile is null or routing_profiles > 0)
);

create table fee_plan (
    shard integer not null,
    book bigint not null,
    version integer not null,
    family text not null,
    currency text not null,
    fixed_minor bigint not null,
    basis_points integer not null,
    created_at timestamptz not null,
    refund_fixed_minor bigint not null default 0,
    dispute_fixed_minor bigint not null default 0,
    settlement_days integer not null default 1,
    primary key (shard, book, version, family, currency),
    constraint fee_plan_fixed_not_negative check (fixed_minor >= 0),
    constraint fee_plan_basis_points_below_all check (basis_points between 0 and 10000),
    constraint fee_plan_refund_fixed_not_negative check (refund_fixed_minor >= 0),
    constraint fee_plan_dispute_fixed_not_negative check (dispute_fixed_minor >= 0),
    constraint fee_plan_settlement_days_bounded check (settlement_days between 0 and 90)
);

create table api_key (
    shard integer not null,
    digest bytea not null,
    id uuid not null,
    book bigint not null,
    version integer not null,
    name text not null,
    hint text not null,
    scopes text[] not null,
    created_at timestamptz not null,
    ends_at timestamptz,
    revoked_at timestamptz,
    primary key (shard, digest),
    constraint api_key_digest_is_sha256 check (octet_length(digest) = 32)
);

create table operator (
    shard integer not null,
    digest bytea not null,
    id uuid not null,
    version integer not null,
    name text not null,
    hint text not null,
    created_at timestamptz not null,
    revoked_at timestamptz,
    primary key (shard, digest),
    constraint operator_digest_is_sha256 check (octet_length(digest) = 32)
);

-- Who did what, for ever.
create table audit (
    shard integer not null,
    id uuid not null,
    at timestamptz not null,
    actor text not null,
    action text not null,
    subject text not null,
    detail bytea not null,
    primary key (shard, id)
);
