-- Settlement: when a merchant's money becomes available, and its statement.

-- What was earned for a day: it stands in PENDING until that day begins, then in AVAILABLE. One row a book, currency and
-- day, however many payments. The id is made of the three (settlement/model.py), so that a book's rows are one range.
create table release (
    shard integer not null,
    id uuid not null,
    book bigint not null,
    currency text not null,
    day date not null,
    version integer not null,
    amount_minor bigint not null,    -- stands in PENDING
    released_minor bigint not null,  -- has become available
    due_at timestamptz,              -- where its due work stands, in real time; none when nothing waits
    primary key (shard, id),
    constraint release_amount_not_negative check (amount_minor >= 0),
    constraint release_released_not_negative check (released_minor >= 0),
    constraint release_due_while_unreleased check (amount_minor = 0 or due_at is not null)
) with (fillfactor = 20);  -- hot rows: an update finds room on its page

-- The statement: one line for everything that changed what a merchant has, only ever added.
create table balance_transaction (
    shard integer not null,
    id uuid not null,
    book bigint not null,
    created_at timestamptz not null,  -- of the book's own clock
    kind text not null,
    currency text not null,
    gross_minor bigint not null,
    fee_minor bigint not null,
    net_minor bigint not null,
    subject uuid not null,
    subject_kind text not null,  -- the prefix of the subject's public id
    payin uuid,
    available_on date,
    primary key (shard, id),
    constraint balance_transaction_net_is_gross_less_fee check (net_minor = gross_minor - fee_minor),
    constraint balance_transaction_kind_known check (kind in ('payment', 'capture', 'refund', 'refund_failure',
        'dispute', 'dispute_won', 'dispute_lost', 'adjustment'))
);
create index balance_transaction_of_book on balance_transaction (shard, book, created_at, id);
