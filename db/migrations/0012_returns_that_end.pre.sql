-- Until when an order to return a deposit may be on its way to a provider that would not know it again.

alter table deposit add column sent_until timestamptz;
