-- Payins through providers: what was authorized, captured, refunded and disputed; captures, voids and refunds; and what
-- providers say that contradicts our books.

alter table payin
    add column authorized_minor bigint not null default 0,
    add column captured_minor bigint not null default 0,
    add column refunded_minor bigint not null default 0,
    add column disputed_minor bigint not null default 0;
alter table payin
    drop constraint payin_paid_in_full,
    add constraint payin_paid_received_something check (status <> 'paid' or received_minor > 0),
    add constraint payin_captured_within_authorized check (captured_minor between 0 and authorized_minor),
    add constraint payin_refunded_within_received check (refunded_minor between 0 and received_minor),
    add constraint payin_disputed_not_negative check (disputed_minor >= 0);

create index deposit_returning on deposit (shard, id) where returning_minor > 0;

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
create index payin_operation_pending on payin_operation (shard, id) where status = 'pending';

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
    primary key (shard, id),
    constraint discrepancy_kind_known check (kind in
        ('contradicts_final_state', 'other_account', 'other_amount', 'unknown_payment', 'late_success')),
    constraint discrepancy_resolved_says_how check ((resolved_at is null) = (resolution is null))
);
-- What operators look after; small, because few are open.
create index discrepancy_open on discrepancy (shard, created_at, id) where resolved_at is null;

-- When the payer's bank sent the money, as it was reported; nobody knows it of older deposits.
alter table deposit add column paid_at timestamptz;
