-- The ledger.

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
