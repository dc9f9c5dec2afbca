-- The core: what db/README.md says of the schema holds here, too.

-- ── Where things are ────────────────────────────────────────────────────────────────────────────────────────────

create table placement (
    slot integer primary key,
    merchant uuid not null,
    shard integer not null,
    constraint placement_slot_fits check (slot between 0 and 4194303),
    constraint placement_merchant_once unique (merchant)
);

-- What arrives without saying whose it is: API keys, prefixes of CLABEs. Written before use.
create table directory (
    kind text not null,
    digest bytea not null,
    slot integer not null,
    shard integer not null,
    primary key (kind, digest)
);

create table migration (
    number integer primary key,
    name text not null,
    applied_at timestamptz not null default clock_timestamp()
);

-- By which each process sees at its start that it has the key-encryption key under which everything here is sealed.
create table sealing_key (
    only_one boolean primary key,
    check_value bytea not null,
    constraint sealing_key_is_one check (only_one)
);

-- ── The write path ──────────────────────────────────────────────────────────────────────────────────────────────

-- One row a shard: every batch locks it first, numbers from it, and moves it on.
create table shard (
    id integer primary key,
    event_seq bigint not null default 0,
    posting_seq bigint not null default 0,
    chain bytea not null default '\x0000000000000000000000000000000000000000000000000000000000000000',
    last_at timestamptz not null default '2000-01-01 00:00:00+00',
    constraint shard_chain_is_sha256 check (octet_length(chain) = 32)
) with (fillfactor = 10);

-- One row a batch: by its id a commit whose answer was lost is found again.
create table batch (
    shard integer not null,
    id uuid not null,
    commands integer not null,
    first_event_seq bigint not null,
    last_event_seq bigint not null,
    first_posting_seq bigint not null,
    last_posting_seq bigint not null,
    at timestamptz not null,
    primary key (shard, id)
);
-- `caudal check` goes through batches in the order of their commits, and the oldest are pruned.
create index batch_in_time on batch (shard, at);

-- Idempotency: the key commits with the effect and holds the answer. In progress while `status` is null.
create table key (
    shard integer not null,
    book bigint not null,
    digest bytea not null,
    created_at timestamptz not null,
    version integer not null,
    fingerprint bytea,
    subject uuid,
    status integer,
    answer bytea,
    deadline timestamptz,
    primary key (shard, book, digest, created_at),
    constraint key_digest_is_16_bytes check (octet_length(digest) = 16),
    constraint key_answered_or_in_progress check ((status is null) = (answer is null)),
    constraint key_in_progress_has_deadline check (status is not null or deadline is not null)
) partition by range (created_at);
create table key_default partition of key default;

-- What happened, numbered without gaps in commit order.
create table event (
    shard integer not null,
    seq bigint not null,
    at timestamptz not null,
    book bigint not null,
    subject uuid not null,
    type text not null,
    data bytea not null,
    primary key (shard, seq, at)
) partition by range (at);
create index event_of_book on event (shard, book, seq);
create table event_default partition of event default;

-- Work that becomes due. A claim moves `at` to the end of its lease.
create table due (
    shard integer not null,
    at timestamptz not null,
    kind text not null,
    subject uuid not null,
    book bigint not null,
    attempt integer not null,
    primary key (shard, at, kind, subject)
);

-- How far a consumer has come, written with its effect.
create table consumer (
    shard integer not null,
    name text not null,
    seq bigint not null,
    primary key (shard, name)
);

-- ── Merchants ───────────────────────────────────────────────────────────────────────────────────────────────────

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
    primary key (shard, book),
    constraint book_late_payments_known check (late_payments in ('accept', 'unapplied')),
    constraint book_clock_moves_in_test_only check (clock_offset_s = 0 or book % 2 = 0),
    constraint book_clock_never_goes_back check (clock_offset_s >= 0)
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
    primary key (shard, book, version, family, currency),
    constraint fee_plan_fixed_not_negative check (fixed_minor >= 0),
    constraint fee_plan_basis_points_below_all check (basis_points between 0 and 10000)
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

-- ── Payins ──────────────────────────────────────────────────────────────────────────────────────────────────────

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
    primary key (shard, id),
    constraint payin_amount_positive check (amount_minor > 0),
    constraint payin_received_not_negative check (received_minor >= 0),
    constraint payin_status_known check (status in
        ('submitting', 'pending', 'authorized', 'paid', 'declined', 'failed', 'expired', 'cancelled')),
    constraint payin_paid_in_full check (status <> 'paid' or received_minor >= amount_minor),
    constraint payin_paid_has_time check ((status = 'paid') = (paid_at is not null))
) with (fillfactor = 85);
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
    primary key (shard, id),
    constraint deposit_amount_positive check (amount_minor > 0),
    constraint deposit_parts_make_the_whole check (
        amount_minor = applied_minor + unapplied_minor + returning_minor + returned_minor
        and applied_minor >= 0 and unapplied_minor >= 0 and returning_minor >= 0 and returned_minor >= 0)
);
create index deposit_of_book on deposit (shard, book, created_at, id);
-- What operators look after; small, because few deposits are left over.
create index deposit_unapplied on deposit (shard, created_at, id) where unapplied_minor > 0;

-- Search: a projection that a consumer keeps. `term` is an HMAC of field and normalised value.
create table payin_search (
    shard integer not null,
    book bigint not null,
    term bytea not null,
    payin uuid not null,
    primary key (shard, book, term, payin)
);

-- ── The ledger ──────────────────────────────────────────────────────────────────────────────────────────────────

-- The balance now: a copy of the account's last entry, and the version that guards the next one.
create table account (
    shard           integer  not null,
    id              bigint   not null,  -- book << 16 | ISO 4217 numeric << 6 | purpose (docs/money.md)
    version         bigint   not null,  -- how many entries there are
    debits_pending  bigint   not null,
    debits_posted   bigint   not null,
    credits_pending bigint   not null,
    credits_posted  bigint   not null,
    flags           smallint not null,  -- 1 debits must not exceed credits, 2 credits must not exceed debits, 4 closed
    primary key (shard, id),
    constraint account_version_positive check (version > 0),
    constraint account_counters_not_negative check (
        debits_pending >= 0 and debits_posted >= 0 and credits_pending >= 0 and credits_posted >= 0),
    constraint account_flags_known check (flags between 0 and 7 and flags & 3 <> 3)
) with (fillfactor = 20);  -- hot rows: an update finds room on its page

-- One amount from one account to another, numbered without gaps in the order of commits, chained by hash.
create table transfer (
    shard          integer     not null,
    seq            bigint      not null,
    group_seq      bigint      not null,  -- seq of the first transfer of its group
    debit_account  bigint      not null,
    credit_account bigint      not null,
    amount_minor   bigint      not null,
    at             timestamptz not null,
    timeout_s      integer     not null,  -- 0: none
    kind           smallint    not null,  -- 1 direct, 2 pending, 3 post, 4 void, 5 expire
    flags          smallint    not null,  -- 1 fact, 2/4 balancing debit/credit, 8/16 closing debit/credit
    id             uuid        not null,
    pending_id     uuid,                  -- the pending transfer that kinds 3 to 5 resolve
    subject        uuid,                  -- the object it is about
    code           text        not null,  -- the verb, `payin.received`
    hash           bytea       not null,  -- SHA-256 over the hash before it, this row and its two entries
    primary key (shard, seq),
    constraint transfer_group_begins_before check (group_seq between 1 and seq),
    constraint transfer_accounts_differ check (debit_account <> credit_account),
    constraint transfer_one_currency check ((debit_account # credit_account) & 65472 = 0),
    constraint transfer_one_mode check ((debit_account # credit_account) & 65536 = 0),
    constraint transfer_amount_not_negative check (amount_minor >= 0),
    constraint transfer_kind_known check (kind between 1 and 5),
    constraint transfer_flags_known check (flags between 0 and 31),
    constraint transfer_resolves_or_not check ((kind >= 3) = (pending_id is not null)),
    constraint transfer_timeout_pending check (timeout_s = 0 or (timeout_s > 0 and kind = 2)),
    constraint transfer_code_given check (code <> ''),
    constraint transfer_hash_sha256 check (octet_length(hash) = 32)
);

-- One side of one transfer, with the account's version and counters right after it: "balance at" is one index probe.
create table entry (
    shard           integer  not null,
    account_id      bigint   not null,
    version         bigint   not null,
    seq             bigint   not null,
    amount_minor    bigint   not null,
    debits_pending  bigint   not null,
    debits_posted   bigint   not null,
    credits_pending bigint   not null,
    credits_posted  bigint   not null,
    side            smallint not null,  -- 1 debit, -1 credit
    kind            smallint not null,  -- the transfer's
    flags           smallint not null,  -- the account's, after it
    fact            boolean  not null,
    primary key (shard, account_id, version),
    constraint entry_version_positive check (version > 0),
    constraint entry_side_known check (side in (1, -1)),
    constraint entry_kind_known check (kind between 1 and 5),
    constraint entry_amount_not_negative check (amount_minor >= 0),
    constraint entry_counters_not_negative check (
        debits_pending >= 0 and debits_posted >= 0 and credits_pending >= 0 and credits_posted >= 0),
    -- A request that moves or holds money leaves the account within its limit; only a fact may break it. Resolving a
    -- hold is free: the hold has met the limit.
    constraint entry_request_within_limit check (
        fact or kind >= 3
        or (side = 1 and (flags & 1 = 0 or debits_pending + debits_posted <= credits_posted))
        or (side = -1 and (flags & 2 = 0 or credits_pending + credits_posted <= debits_posted)))
);

-- The state of a hold; its history is in `transfer`.
create table pending_transfer (
    shard          integer  not null,
    id             uuid     not null,
    version        integer  not null,  -- 1 open, 2 resolved
    debit_account  bigint   not null,
    credit_account bigint   not null,
    amount_minor   bigint   not null,
    posted_minor   bigint   not null,
    expires_at     timestamptz,
    state          smallint not null,  -- 0 open, 3 posted, 4 voided, 5 expired
    flags          smallint not null,
    subject        uuid,
    code           text     not null,
    primary key (shard, id),
    constraint pending_transfer_state_known check (state in (0, 3, 4, 5)),
    constraint pending_transfer_resolved_once check (version = case when state = 0 then 1 else 2 end),
    constraint pending_transfer_posted_within check (
        posted_minor between 0 and amount_minor and (posted_minor = 0 or state = 3))
) with (fillfactor = 80);
