-- A discrepancy keeps what our books said, what the provider said when it was asked, and what put it right; work that
-- did not end keeps why.

alter table discrepancy
    add column held bytea,
    add column answer bytea,
    add column correction text,
    drop constraint discrepancy_kind_known,
    add constraint discrepancy_kind_known check (kind in ('contradicts_final_state', 'other_account', 'other_amount',
        'other_reference', 'unknown_payment', 'late_success'));
create index discrepancy_in_time on discrepancy (shard, created_at, id);
create index discrepancy_of_payin on discrepancy (shard, payin, created_at, id);

alter table due add column said text;
create index due_in_vain on due (shard, kind, subject) where attempt > 1 or said is not null;
