-- The deposits of a payin that are not simply what it asked for are found by it; the others stand in the payin's own row.

create index deposit_beside on deposit (shard, payin) where reason is not null;
