-- The sandbox bank's books. `seq` is one sequence over transfers, returns and payments: the order of the statement.
-- Rows of transfer, return_transfer and payment are never changed or deleted; only callback_delivery moves.

create table if not exists transfer (
    seq integer primary key,
    tracking_key text not null unique check (length(tracking_key) between 1 and 30),
    clabe text not null check (length(clabe) = 18),
    amount_minor integer not null check (amount_minor between 1 and 99999999999),
    currency text not null check (currency = 'MXN'),
    payer_name text not null,
    paid_ms integer not null,
    copies integer not null,
    delay_ms integer not null,
    fault text
) strict;

-- Covers the list of a CLABE and the sums of the books.
create index if not exists transfer_by_clabe on transfer (clabe, seq, amount_minor);

create table if not exists return_transfer (
    seq integer primary key,
    return_key text not null unique,
    transfer_seq integer not null references transfer (seq),
    amount_minor integer not null check (amount_minor > 0),
    returned_ms integer not null
) strict;

create index if not exists return_by_transfer on return_transfer (transfer_seq, amount_minor);

-- What caudal sends to an account that the payer named, where a return cannot reach.
create table if not exists payment (
    seq integer primary key,
    payment_key text not null unique,
    clabe text not null check (length(clabe) = 18),
    amount_minor integer not null check (amount_minor between 1 and 99999999999),
    beneficiary_name text not null,
    sent_ms integer not null
) strict;

-- The outbox: one row a transfer, written in the transfer's own transaction.
create table if not exists callback_delivery (
    transfer_seq integer primary key references transfer (seq),
    status text not null check (status in ('waiting', 'held', 'delivered', 'refused')),
    round integer not null default 1,
    copies integer not null,
    fault text,
    copies_delivered integer not null default 0,
    attempts integer not null default 0,
    failures integer not null default 0,
    next_attempt_ms integer check ((next_attempt_ms is not null) = (status = 'waiting')),
    delivered_ms integer,
    answer_status integer,
    answer_detail text,
    answered_ms integer
) strict;

create index if not exists delivery_due on callback_delivery (next_attempt_ms) where status = 'waiting';
create index if not exists delivery_by_status on callback_delivery (status, transfer_seq);
create index if not exists delivery_never_made on callback_delivery (transfer_seq) where delivered_ms is null;
