-- Payins.

create table payin (
    shard integer not null,
    id uuid not null,
    book bigint not null,
    version integer not null,
    status text not null,
    reason text,
    method text not null,
    country text not null,
    currency text not null,
    amount_minor bigint not null,
    received_minor bigint not null,
    fee_minor bigint not null,
    fee_plan integer not null,
    deposit_number bigint,
    reference text,
    detail bytea,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    paid_at timestamptz,
    authorized_minor bigint not null default 0,
    captured_minor bigint not null default 0,
    refunded_minor bigint not null default 0,
    disputed_minor bigint not null default 0,
    available_on date,  -- the day of its release
    primary key (shard, id),
    constraint payin_amount_positive check (amount_minor > 0),
    constraint payin_received_not_negative check (received_minor >= 0),
    constraint payin_status_known check (status in
        ('submitting', 'pending', 'authorized', 'paid', 'declined', 'failed', 'expired', 'cancelled')),
    constraint payin_paid_received_something check (status <> 'paid' or received_minor > 0),
    constraint payin_captured_within_authorized check (captured_minor between 0 and authorized_minor),
    constraint payin_refunded_within_received check (refunded_minor between 0 and received_minor),
    constraint payin_disputed_not_negative check (disputed_minor >= 0),
    constraint payin_paid_has_time check ((status = 'paid') = (paid_at is not null)),
    constraint payin_disputed_within_received check (disputed_minor <= received_minor)
) with (fillfactor = 45);  -- a page has room for a change of each of its rows: all of a batch are made before one is dead
create index payin_of_book on payin (shard, book, created_at, id);

-- Every change of a payin's state after its creation.
create table payin_change (
    shard integer not null,
    payin uuid not null,
    number integer not null,
    status text not null,
    reason text,
    event text not null,
    received_minor bigint not null,
    at timestamptz not null,
    primary key (shard, payin, number)
);

-- Which payin a CLABE was given to, by the number that the CLABE carries.
create table deposit_account (
    shard integer not null,
    number bigint not null,
    payin uuid not null,
    book bigint not null,
    primary key (shard, number)
);

-- The only place of a payer's personal data: sealed, referenced by the payin, erasable without touching history.
create table payer (
    shard integer not null,
    payin uuid not null,
    book bigint not null,
    sealed bytea not null,
    primary key (shard, payin)
);

-- Money that a bank reported. The id is made of provider and tracking key, so that one report counts once, for ever.
create table deposit (
    shard integer not null,
    id uuid not null,
    book bigint not null,
    version integer not null,
    provider text not null,
    tracking_key text not null,
    account text not null,
    currency text not null,
    amount_minor bigint not null,
    applied_minor bigint not null,
    unapplied_minor bigint not null,
    returning_minor bigint not null,
    returned_minor bigint not null,
    payin uuid,
    reason text,
    sealed bytea not null,
    created_at timestamptz not null,
    paid_at timestamptz,
    -- The payer's account that a return goes to, sealed; where money cannot go back the way it came.
    destination bytea,
    -- Until when an order to return it may be on its way to a provider that would not know it again; real time.
    sent_until timestamptz,
    primary key (shard, id),
    constraint deposit_amount_positive check (amount_minor > 0),
    constraint deposit_parts_make_the_whole check (
        amount_minor = applied_minor + unapplied_minor + returning_minor + returned_minor
        and applied_minor >= 0 and unapplied_minor >= 0 and returning_minor >= 0 and returned_minor >= 0)
);
create index deposit_of_book on deposit (shard, book, created_at, id);
-- What operators look after; small, because few deposits are left over.
create index deposit_unapplied on deposit (shard, created_at, id) where unapplied_minor > 0;
-- What is on its way back; small, for the same reason.
create index deposit_returning on deposit (shard, id) where returning_minor > 0;
-- What is not simply the whole of what a payin asked for: partial, surplus, late, another amount. The rest stands in the
-- payin's row.
create index deposit_beside on deposit (shard, payin) where reason is not null;

-- Search: a projection that a consumer keeps. `term` is an HMAC of field and normalised value.
create table payin_search (
    shard integer not null,
    book bigint not null,
    term bytea not null,
    payin uuid not null,
    primary key (shard, book, term, payin)
);

-- Captures, voids and refunds: intended durably before the provider is asked, settled once. `sealed` is a bank account.
create table payin_operation (
    shard integer not null,
    id uuid not null,
    book bigint not null,
    payin uuid not null,
    version integer not null,
    kind text not null,
    status text not null,
    reason text,
    currency text not null,
    amount_minor bigint not null,
    fee_minor bigint not null,
    from_pending_minor bigint not null,
    from_available_minor bigint not null,
    detail bytea,
    sealed bytea,
    created_at timestamptz not null,
    settled_at timestamptz,
    primary key (shard, id),
    constraint payin_operation_kind_known check (kind in ('capture', 'void', 'refund')),
    constraint payin_operation_status_known check (status in ('pending', 'succeeded', 'failed')),
    constraint payin_operation_amounts_not_negative check (
        amount_minor >= 0 and fee_minor >= 0 and from_pending_minor >= 0 and from_available_minor >= 0),
    constraint payin_operation_refund_is_covered check (
        kind <> 'refund' or amount_minor + fee_minor = from_pending_minor + from_available_minor),
    constraint payin_operation_settled_has_time check ((status = 'pending') = (settled_at is null))
) with (fillfactor = 85);
create index payin_operation_of_book on payin_operation (shard, book, created_at, id);
create index payin_operation_of_payin on payin_operation (shard, payin, id);
-- What waits for a provider; small, because few do.
create index payin_operation_pending on payin_operation (shard, id) where status = 'pending';

-- What a provider says that contradicts our books; a person looks after it.
create table discrepancy (
    shard integer not null,
    id uuid not null,
    book bigint not null,
    version integer not null,
    provider text not null,
    kind text not null,
    payin uuid,
    detail bytea not null,
    created_at timestamptz not null,
    resolved_at timestamptz,
    resolution text,
    held bytea,  -- what our books said when it was opened
    answer bytea,  -- what the provider said when it was asked about it
    correction text,  -- what puts it right, once that is chosen
    primary key (shard, id),
    constraint discrepancy_kind_known check (kind in ('contradicts_final_state', 'other_account', 'other_amount',
        'other_reference', 'unknown_payment', 'late_success')),
    constraint discrepancy_resolved_says_how check ((resolved_at is null) = (resolution is null))
);
-- What operators look after; small, because few are open.
create index discrepancy_open on discrepancy (shard, created_at, id) where resolved_at is null;
create index discrepancy_in_time on discrepancy (shard, created_at, id);
create index discrepancy_of_payin on discrepancy (shard, payin, created_at, id);

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
