-- When a merchant's money becomes available, and its statement.

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

-- ── Prices and settings ─────────────────────────────────────────────────────────────────────────────────────────

alter table fee_plan
    add column refund_fixed_minor bigint not null default 0,
    add column dispute_fixed_minor bigint not null default 0,
    add column settlement_days integer not null default 1,
    add constraint fee_plan_refund_fixed_not_negative check (refund_fixed_minor >= 0),
    add constraint fee_plan_dispute_fixed_not_negative check (dispute_fixed_minor >= 0),
    add constraint fee_plan_settlement_days_bounded check (settlement_days between 0 and 90);

alter table book
    add column refunds_beyond_balance text not null default 'refuse',
    add constraint book_refunds_beyond_balance_known check (refunds_beyond_balance in ('refuse', 'allow'));

alter table payin add column available_on date;

-- ── What was earned before ──────────────────────────────────────────────────────────────────────────────────────

-- All of it is due on the day of this migration, by each book's own clock.
create temporary table earned_before on commit drop as
select a.shard, b.book, iso.currency, a.credits_posted - a.debits_posted amount_minor,
    ((now() + make_interval(secs => b.clock_offset_s)) at time zone 'UTC')::date today,
    (lpad(to_hex(b.book), 12, '0') || '8' || lpad(to_hex(iso.numeric_code), 3, '0') || '8'
        || lpad(to_hex(((now() + make_interval(secs => b.clock_offset_s)) at time zone 'UTC')::date
            - date '1970-01-01'), 15, '0'))::uuid id,
    b.clock_offset_s
from account a
join (values (484, 'MXN'), (986, 'BRL'), (170, 'COP'), (404, 'KES')) iso(numeric_code, currency)
    on iso.numeric_code = (a.id & 65472) / 64
join book b on b.shard = a.shard and b.book = a.id >> 16
where a.id & 63 = 1 and a.credits_posted > a.debits_posted;

insert into release (shard, id, book, currency, day, version, amount_minor, released_minor, due_at)
select shard, id, book, currency, today, 1, amount_minor, 0,
    today::timestamp at time zone 'UTC' - make_interval(secs => clock_offset_s)
from earned_before;

insert into due (shard, at, kind, subject, book, attempt)
select shard, due_at, 'funds.release', id, book, 0 from release;

update payin p set available_on = ((now() + make_interval(secs => b.clock_offset_s)) at time zone 'UTC')::date
from book b
where b.shard = p.shard and b.book = p.book and p.status = 'paid';

-- A payin that was paid has one line, which gets the payin's own UUID.
insert into balance_transaction (shard, id, book, created_at, kind, currency, gross_minor, fee_minor, net_minor,
    subject, subject_kind, payin, available_on)
select shard, id, book, paid_at, 'payment', currency, amount_minor, fee_minor, amount_minor - fee_minor,
    id, 'payin', id, available_on
from payin where status = 'paid';
