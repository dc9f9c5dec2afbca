-- Disputes: money that payers want back through their banks, and the files that merchants answer with.

alter table payin
    add constraint payin_disputed_within_received check (disputed_minor <= received_minor);

-- The payer's account that a return goes to, sealed; where money cannot go back the way it came.
alter table deposit add column destination bytea;

create table dispute (
    shard integer not null,
    id uuid not null,
    book bigint not null,
    payin uuid not null,
    version integer not null,
    provider text not null,
    reference text not null,
    status text not null,
    reason text not null,
    currency text not null,
    amount_minor bigint not null,
    fee_minor bigint not null,
    from_pending_minor bigint not null,
    day date not null,
    evidence integer not null,
    respond_by timestamptz not null,
    opened_at timestamptz not null,
    closed_at timestamptz,
    primary key (shard, id),
    constraint dispute_status_known check (status in ('needs_response', 'under_review', 'won', 'lost', 'expired')),
    constraint dispute_amount_positive check (amount_minor > 0),
    constraint dispute_fee_not_negative check (fee_minor >= 0),
    constraint dispute_held_is_covered check (from_pending_minor between 0 and amount_minor + fee_minor),
    constraint dispute_evidence_not_negative check (evidence >= 0),
    constraint dispute_closed_has_time check ((status in ('needs_response', 'under_review')) = (closed_at is null))
) with (fillfactor = 85);
create index dispute_of_book on dispute (shard, book, opened_at, id);
create index dispute_of_payin on dispute (shard, payin);
-- What the clock has to look at; small, because few are open.
create index dispute_open on dispute (shard, book, id) where closed_at is null;

create table dispute_evidence (
    shard integer not null,
    id uuid not null,
    book bigint not null,
    dispute uuid not null,
    version integer not null,
    kind text not null,
    content_type text not null,
    size_bytes integer not null,
    sha256 bytea not null,
    status text not null,
    reason text,
    created_at timestamptz not null,
    sent_at timestamptz,
    primary key (shard, id),
    constraint dispute_evidence_kind_known check (kind in ('receipt', 'communication', 'shipping', 'other')),
    constraint dispute_evidence_size_positive check (size_bytes > 0),
    constraint dispute_evidence_sha256 check (octet_length(sha256) = 32),
    constraint dispute_evidence_status_known check (status in ('pending', 'taken', 'refused')),
    constraint dispute_evidence_refused_has_reason check ((status = 'refused') = (reason is not null)),
    constraint dispute_evidence_sent_has_time check ((status = 'pending') = (sent_at is null))
) with (fillfactor = 85);
create index dispute_evidence_of_dispute on dispute_evidence (shard, dispute, id);

create table dispute_file (
    shard integer not null,
    id uuid not null,
    sealed bytea not null,
    kept_at timestamptz not null default now(),
    primary key (shard, id)
);
create index dispute_file_kept on dispute_file (shard, kept_at);
