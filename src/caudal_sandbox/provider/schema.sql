-- The provider's books. A payment's row says how it stands; nothing here has ever seen a card's number.

create table if not exists payment (
    seq integer primary key,
    key text not null unique check (length(key) between 32 and 35),
    method text not null check (method in ('card', 'pix', 'boleto', 'pse', 'mpesa')),
    account text not null,
    amount_minor integer not null check (amount_minor between 1 and 99999999999),
    currency text not null check (length(currency) = 3),
    country text not null check (length(country) = 2),
    capture text not null check (capture in ('automatic', 'manual')),
    payer_name text,
    payer_document text,
    phone text,
    bank text,
    return_url text,
    description text,
    brand text,
    last_four text check (length(last_four) = 4),
    issuer_code text,
    disputes integer not null,
    fingerprint blob not null,
    created_ms integer not null,
    expires_ms integer not null,
    status text not null check (status in ('pending', 'authorized', 'paid', 'declined', 'expired', 'cancelled')),
    code text,
    authorized_minor integer not null check (authorized_minor >= 0),
    captured_minor integer not null check (captured_minor >= 0),
    refunded_minor integer not null check (refunded_minor >= 0),
    refunding_minor integer not null check (refunding_minor >= 0),
    disputed_minor integer not null check (disputed_minor >= 0),
    released integer not null,
    sequence integer not null,
    updated_ms integer not null,
    check (refunded_minor + refunding_minor + disputed_minor <= captured_minor),
    check (method != 'card' or captured_minor <= authorized_minor)
) strict;

create index if not exists payment_expires on payment (expires_ms) where status = 'pending';

create table if not exists operation (
    seq integer primary key,
    key text not null unique check (length(key) = 32),
    payment_key text not null references payment (key),
    account text not null,
    method text not null,
    kind text not null check (kind in ('capture', 'cancellation', 'refund')),
    amount_minor integer not null check (amount_minor > 0),
    currency text not null,
    fingerprint blob not null,
    status text not null check (status in ('pending', 'succeeded', 'failed')),
    code text,
    updated_ms integer not null
) strict;

create index if not exists operation_by_payment on operation (payment_key);

create table if not exists dispute (
    seq integer primary key,
    reference text not null unique,
    payment_key text not null references payment (key),
    account text not null,
    method text not null,
    amount_minor integer not null check (amount_minor > 0),
    currency text not null,
    code text not null,
    status text not null check (status in ('opened', 'won', 'lost')),
    respond_by_ms integer not null,
    updated_ms integer not null
) strict;

create index if not exists dispute_by_payment on dispute (payment_key);

create table if not exists evidence (
    key text not null primary key check (length(key) = 32),
    reference text not null references dispute (reference),
    content_type text not null,
    size integer not null,
    digest text not null
) strict;

-- What happens by itself: the payer pays or disputes, a refund ends, the time for evidence is over.
create table if not exists timer (
    seq integer primary key,
    at_ms integer not null,
    what text not null,
    subject text not null
) strict;

create index if not exists timer_due on timer (at_ms);

-- The outbox: what is delivered leaves it, what was refused stays and says why.
create table if not exists callback (
    seq integer primary key,
    payment_key text not null references payment (key),
    method text not null,
    body text not null,
    forged integer not null,
    copies integer not null,
    status text not null default 'waiting' check (status in ('waiting', 'refused')),
    copies_delivered integer not null default 0,
    failures integer not null default 0,
    next_attempt_ms integer check ((next_attempt_ms is not null) = (status = 'waiting')),
    answer_status integer,
    answer_detail text
) strict;

create index if not exists callback_due on callback (next_attempt_ms) where status = 'waiting';
create index if not exists callback_lane on callback (payment_key, seq) where status = 'waiting';
