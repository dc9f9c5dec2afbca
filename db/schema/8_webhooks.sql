-- Webhooks.

-- Where a merchant wants to hear of its events. Secrets are sealed; the former one signs too until `former_until`.
create table webhook_endpoint (
    shard integer not null,
    id uuid not null,
    book bigint not null,
    version integer not null,
    url text not null,
    types text[] not null,  -- none: all
    description text,
    status text not null,
    reason text,
    sealed bytea,
    former_sealed bytea,
    former_until timestamptz,
    created_at timestamptz not null,
    disabled_at timestamptz,
    deleted_at timestamptz,
    primary key (shard, id),
    constraint webhook_endpoint_status_known check (status in ('enabled', 'disabled', 'deleted')),
    constraint webhook_endpoint_disabled_has_reason check ((status = 'disabled') = (reason is not null)),
    constraint webhook_endpoint_disabled_has_time check ((status = 'disabled') = (disabled_at is not null)),
    constraint webhook_endpoint_deleted_has_time check ((status = 'deleted') = (deleted_at is not null)),
    constraint webhook_endpoint_deleted_has_no_secret check ((status = 'deleted') = (sealed is null)),
    constraint webhook_endpoint_former_ends check ((former_sealed is null) = (former_until is null)),
    constraint webhook_endpoint_former_has_follower check (former_sealed is null or sealed is not null)
);
create index webhook_endpoint_of_book on webhook_endpoint (shard, book) where status <> 'deleted';
create index webhook_endpoint_deleted on webhook_endpoint (shard, book) where status = 'deleted';

-- One row an endpoint: when somebody has to look at its deliveries, who does, and since when nothing else than failures
-- came of it. No batch reads it: deliveries are not money.
create table webhook_queue (
    shard integer not null,
    endpoint uuid not null,
    due_at timestamptz,
    holder uuid,
    lease_until timestamptz,
    failing_since timestamptz,
    primary key (shard, endpoint),
    constraint webhook_queue_held_until check ((holder is null) = (lease_until is null))
) with (fillfactor = 50);
create index webhook_queue_due on webhook_queue (shard, due_at) where due_at is not null;

-- One event on its way to one endpoint. It waits while `due_at` is there.
create table webhook_delivery (
    shard integer not null,
    id uuid not null,
    created_at timestamptz not null,
    book bigint not null,
    endpoint uuid not null,
    event_seq bigint not null,
    event_at timestamptz not null,
    type text not null,
    subject uuid not null,
    cause text not null,
    status text not null,
    attempts integer not null,
    due_at timestamptz,
    primary key (shard, id, created_at),
    constraint webhook_delivery_cause_known check (cause in ('event', 'test', 'redelivery')),
    constraint webhook_delivery_status_known check (status in ('pending', 'delivered', 'failed', 'cancelled')),
    constraint webhook_delivery_pending_is_due check ((status = 'pending') = (due_at is not null)),
    constraint webhook_delivery_attempts_counted check (attempts >= 0 and (attempts > 0 or status <> 'delivered'))
) partition by range (created_at);
-- Without `id`: an index that has it might be taken for the primary key by a plan that was made while tables were empty.
create index webhook_delivery_of_endpoint on webhook_delivery (shard, endpoint, event_at);
create index webhook_delivery_due on webhook_delivery (shard, endpoint, due_at, event_seq) where due_at is not null;
-- What has failed once or twice, or was put off behind such a one: later events of its subject wait. Empty when all is
-- well.
create index webhook_delivery_put_off on webhook_delivery (shard, endpoint, subject)
    where due_at is not null and (attempts between 1 and 2 or (attempts = 0 and due_at > created_at));
create table webhook_delivery_default partition of webhook_delivery default;

-- What was sent, what came back. The body is the event's, written again the same way.
create table webhook_attempt (
    shard integer not null,
    delivery uuid not null,
    number integer not null,
    at timestamptz not null,
    url text not null,
    signature text not null,
    duration_us bigint not null,
    status integer,
    error text,
    answer bytea,
    primary key (shard, delivery, number, at),
    constraint webhook_attempt_number_positive check (number > 0),
    constraint webhook_attempt_answered_or_not check ((status is null) = (error is not null)),
    constraint webhook_attempt_answer_short check (octet_length(answer) <= 2048)
) partition by range (at);
create table webhook_attempt_default partition of webhook_attempt default;

-- A range of events on its way to an endpoint again: `seq` is how far it has come, committed with its deliveries.
create table webhook_range (
    shard integer not null,
    id uuid not null,
    book bigint not null,
    endpoint uuid not null,
    since timestamptz not null,
    until timestamptz not null,
    types text[] not null,
    only_failed boolean not null,
    status text not null,
    seq bigint not null,
    made bigint not null,
    created_at timestamptz not null,
    primary key (shard, id),
    constraint webhook_range_status_known check (status in ('running', 'done')),
    constraint webhook_range_counts_up check (seq >= 0 and made >= 0)
);
create index webhook_range_running on webhook_range (shard, book) where status = 'running';
