"""What somebody might change by SQL, and who finds it: laws of db/checks, the replay, or nobody, and why not."""

from __future__ import annotations

# Table, what is changed in a row of it, and who names it: laws of db/checks, the replay. Which row: ABOUT.
CHANGED = """
account             id = id + 64                                          account_balance account_of_entry replay
account             version = version + 1                                 account_balance shard_totals replay
account             debits_pending = debits_pending + 1                   account_balance pending_counters replay
account             debits_posted = debits_posted + 1                     account_balance shard_totals replay
account             credits_pending = credits_pending + 1                 account_balance pending_counters replay
account             credits_posted = credits_posted + 1                   account_balance shard_totals replay
account             flags = flags # 1                                     account_balance replay
entry               account_id = account_id + 64                          entry_follows entry_of_transfer replay
entry               version = version + 100000                            entry_follows replay
entry               seq = seq + 1                                         entry_of_transfer replay
entry               amount_minor = amount_minor + 1                       entry_follows entry_of_transfer replay
entry               debits_pending = debits_pending + 1                   entry_follows replay
entry               debits_posted = debits_posted + 1                     entry_follows replay
entry               credits_pending = credits_pending + 1                 entry_follows replay
entry               credits_posted = credits_posted + 1                   entry_follows replay
entry               side = -side                                          entry_follows entry_of_transfer replay
entry               kind = 3                                              entry_of_transfer replay
entry               flags = flags # 1                                     replay
entry               fact = not fact                                       entry_of_transfer replay
entry(request)      flags = flags | 2                                     entry_within_limit replay
transfer            seq = seq + 100000                                    transfer_numbers entry_of_transfer replay
transfer            group_seq = group_seq - 1                             replay
transfer            debit_account = debit_account + 131072                entry_of_transfer replay
transfer            credit_account = credit_account + 131072              entry_of_transfer replay
transfer            amount_minor = amount_minor + 1                       entry_of_transfer replay
transfer            at = at + interval '1 us'                             transfer_numbers replay
transfer            flags = flags # 1                                     entry_of_transfer replay
transfer            kind = 2                                              entry_of_transfer replay
transfer            id = gen_random_uuid()                                replay
transfer            subject = gen_random_uuid()                           replay
transfer            code = code || 'x'                                    replay
transfer            hash = set_byte(hash, 7, get_byte(hash, 7) # 1)       replay
transfer(hold)      timeout_s = timeout_s + 1                             replay
transfer(post)      pending_id = gen_random_uuid()                        replay
transfer(bank)      subject = gen_random_uuid()                           deposit_booked replay
pending_transfer    id = gen_random_uuid()                                replay
pending_transfer    version = 1, state = 0, posted_minor = 0              pending_counters replay
pending_transfer    debit_account = debit_account + 64                    replay
pending_transfer    credit_account = credit_account + 64                  replay
pending_transfer    amount_minor = amount_minor + 1                       replay
pending_transfer    posted_minor = posted_minor - 1                       replay
pending_transfer    expires_at = expires_at + interval '1 us'             replay
pending_transfer    state = 4, posted_minor = 0                           replay
pending_transfer    flags = flags # 1                                     replay
pending_transfer    subject = gen_random_uuid()                           replay
pending_transfer    code = code || 'x'                                    replay
shard               event_seq = event_seq + 1                             event_head
shard               posting_seq = posting_seq + 1                         shard_head shard_totals replay
shard               chain = set_byte(chain, 0, get_byte(chain, 0) # 1)    shard_head replay
batch               first_event_seq = first_event_seq + 1                 batch_follows
batch               last_event_seq = last_event_seq + 1                   batch_follows
batch               first_posting_seq = first_posting_seq + 1             batch_follows
batch               last_posting_seq = last_posting_seq + 1               batch_follows
batch               at = at - interval '1 day'                            batch_follows
event               at = at + interval '1 us'                             event_numbers
event               seq = seq + 100000                                    event_numbers event_head
event               book = book + 2                                       event_of_payin
event               subject = gen_random_uuid()                           event_of_payin
event               type = 'payin.expired'                                event_of_payin event_of_change
event               data = set_byte(data, 10, 0)                          event_of_payin
event               data = set_byte(data, position('"fees":'::bytea in data) + 6, 57)   event_of_payin
event               data = set_byte(data, position('"available_on":'::bytea in data) + 17, 57)   event_of_payin
event(created)      data = set_byte(data, position('"fees":'::bytea in data) + 6, 57)   event_of_payin
event(deposit)      data = set_byte(data, 10, 0)                          event_of_deposit
event(house)        data = set_byte(data, 60, 0)                          event_of_house audit_of_event
key                 book = book + 2                                       key_of_payin
key                 subject = gen_random_uuid()                           key_answer
key                 status = 500                                          key_answer
key                 answer = set_byte(answer, 300, 0)                     key_of_payin
key                 deadline = '2026-01-01', status = null, answer = null   key_stuck
payin               id = gen_random_uuid()                                payin_history event_of_payin
payin               book = book # 6                                       payin_earnings event_of_payin payin_place
payin               version = version + 1                                 payin_history
payin               status = 'expired', paid_at = null                    payin_history payin_earnings
payin               reason = 'late'                                       payin_history
payin               method = 'oxxo'                                       event_of_payin
payin               country = 'BR'                                        event_of_payin
payin               currency = 'USD'                                      payin_earnings event_of_payin payin_fee
payin               amount_minor = amount_minor - 1                       line_of_payin event_of_payin
payin               received_minor = received_minor + 1                   payin_history payin_received
payin               fee_minor = fee_minor + 1                             payin_earnings payin_fee
payin               fee_plan = fee_plan + 100                             event_of_payin payin_fee
payin               deposit_number = deposit_number + 1                   payin_place
payin               reference = 'order 8'                                 event_of_payin
payin               detail = '{"clabe":"1"}'                              payin_received
payin               detail = set_byte(detail, position('"deposits":'::bytea in detail) + 12, 255)   payin_received
payin(capturing)    detail = '{"capture":"manual"}'                       payin_captured
payin               created_at = created_at - interval '1 us'             event_of_payin
payin               expires_at = expires_at + interval '1 us'             event_of_payin
payin               available_on = available_on + 1                       line_of_payin
payin               paid_at = paid_at - interval '1 us'                   event_of_payin
payin(provider)     authorized_minor = authorized_minor + 1               event_of_payin
payin(provider)     fee_minor = fee_minor + 1                             payin_fee payin_earnings
payin(provider)     captured_minor = captured_minor - 1                   payin_captured
payin(provider)     refunded_minor = refunded_minor + 1                   payin_captured
payin(provider)     received_minor = received_minor - 1                   payin_captured payin_history
payin(provider)     disputed_minor = disputed_minor + 1                   payin_disputed
payin(submitting)   id = gen_random_uuid()                                provider_work
payin_operation     id = gen_random_uuid()                                event_of_operation refund_booked
payin_operation     book = book + 100                                     event_of_operation payin_earnings
payin_operation     payin = gen_random_uuid()                             event_of_operation payin_captured
payin_operation     kind = 'void'                                         event_of_operation payin_captured
payin_operation     status = 'failed'                                     event_of_operation payin_captured
payin_operation     reason = 'do_not_honor'                               event_of_operation
payin_operation     currency = 'MXN'                                      event_of_operation payin_earnings
payin_operation     amount_minor = amount_minor + 1, from_available_minor = from_available_minor + 1   payin_captured
payin_operation     fee_minor = fee_minor + 1, from_available_minor = from_available_minor + 1   refund_fee
payin_operation     amount_minor = amount_minor - 1, from_pending_minor = from_pending_minor - 1   payin_earnings
payin_operation     from_pending_minor = 0, from_available_minor = amount_minor + fee_minor   refund_booked
payin_operation     created_at = created_at - interval '1 us'             event_of_operation
payin_operation     settled_at = settled_at - interval '1 us'             event_of_operation
payin_operation(pending)   currency = 'MXN'                               clearing_money
payin_operation(pending)   id = gen_random_uuid()                         provider_work
payin_operation(capture)   amount_minor = amount_minor + 1                payin_captured event_of_operation
discrepancy         id = gen_random_uuid()                                event_of_discrepancy
discrepancy         book = book + 2                                       event_of_discrepancy
discrepancy         provider = 'other'                                    event_of_discrepancy
discrepancy         kind = 'other_account'                                event_of_discrepancy
discrepancy         payin = gen_random_uuid()                             event_of_discrepancy
discrepancy         detail = detail || ' '::bytea                         event_of_discrepancy
discrepancy         created_at = created_at - interval '1 us'             event_of_discrepancy
discrepancy         resolved_at = resolved_at - interval '1 us'           event_of_discrepancy
discrepancy         resolution = resolution || 'x'                        event_of_discrepancy
discrepancy         held = held || ' '::bytea                             event_of_discrepancy
discrepancy         answer = 'x'                                          event_of_discrepancy
discrepancy         correction = 'by_hand'                                event_of_discrepancy
instrument          id = gen_random_uuid()                                event_of_instrument
instrument          book = book + 2                                       event_of_instrument
instrument          brand = 'elo'                                         event_of_instrument
instrument          bin = '55555555'                                      event_of_instrument
instrument          last4 = '2222'                                        event_of_instrument
instrument          expiry_month = expiry_month - 1                       event_of_instrument
instrument          expiry_year = expiry_year - 1                         event_of_instrument
instrument          country = 'CO'                                        event_of_instrument
instrument          created_at = created_at - interval '1 us'             event_of_instrument
instrument(deleted)   deleted_at = deleted_at - interval '1 us'           event_of_instrument
instrument          code = 'c', code_until = '2026-01-01'                 code_kept_too_long
payin_change        payin = gen_random_uuid()                             payin_history event_of_change
payin_change        number = number + 1                                   payin_history
payin_change        status = status || 'x'                                payin_history
payin_change        reason = 'late'                                       payin_history
payin_change        event = 'part_returned'                               event_of_change
payin_change        received_minor = received_minor + 1                   payin_history
payin_change        at = at + interval '1 us'                             event_of_change
deposit_account     number = number + 1                                   payin_place
deposit_account     payin = gen_random_uuid()                             payin_place
deposit_account     book = book + 2                                       payin_place
payer               book = book + 2                                       payin_place
deposit             id = gen_random_uuid()                                payin_received deposit_booked
deposit             book = book + 2                                       unapplied_money deposit_booked
deposit             provider = 'other'                                    event_of_deposit
deposit             tracking_key = tracking_key || 'X'                    event_of_deposit
deposit             account = account || '1'                              event_of_deposit
deposit             currency = 'USD'                                      event_of_deposit deposit_booked
deposit             amount_minor = amount_minor + 1, unapplied_minor = unapplied_minor + 1   unapplied_money
deposit             applied_minor = applied_minor - 1, unapplied_minor = unapplied_minor + 1   payin_received
deposit             unapplied_minor = unapplied_minor - 1, returning_minor = returning_minor + 1   unapplied_money
deposit(returned)   returned_minor = returned_minor - 1, returning_minor = returning_minor + 1   deposit_returned
deposit             payin = gen_random_uuid()                             event_of_deposit
deposit             created_at = created_at - interval '1 us'             event_of_deposit
deposit             paid_at = now()                                       event_of_deposit
due(expiry)         subject = gen_random_uuid()                           open_payin_expires
due(expiry)         kind = 'payin.submit'                                 open_payin_expires
due(return)         subject = gen_random_uuid()                           return_under_way
release             id = gen_random_uuid()                                release_of_its_id release_is_due
release             book = book + 2                                       release_of_its_id pending_money
release             currency = 'USD'                                      release_of_its_id pending_money
release             day = day + 1                                         release_of_its_id
release             amount_minor = amount_minor + 1                       pending_money
release             due_at = due_at + interval '1 us'                     release_is_due
release(done)       released_minor = 0                                    release_booked
balance_transaction   id = gen_random_uuid()                              line_of_payin payin_earnings
balance_transaction   book = book + 2                                     statement_money line_of_payin
balance_transaction   created_at = created_at + interval '1 us'           line_of_payin
balance_transaction   kind = 'capture'                                    line_of_payin
balance_transaction currency = case currency when 'BRL' then 'MXN' else 'BRL' end   statement_money line_of_payin
balance_transaction   gross_minor = gross_minor + 1, net_minor = net_minor + 1   statement_money line_of_payin
balance_transaction   gross_minor = gross_minor + 1, fee_minor = fee_minor + 1   line_of_payin
balance_transaction   fee_minor = fee_minor + 1, net_minor = net_minor - 1   payin_earnings statement_money
balance_transaction(failed)   created_at = created_at + interval '1 us'   line_of_payin payin_earnings
balance_transaction   subject = gen_random_uuid()                         line_of_payin
balance_transaction   subject_kind = 'refund'                             line_of_payin
balance_transaction   payin = gen_random_uuid()                           line_of_payin
balance_transaction   available_on = available_on + 1                     line_of_payin
merchant            id = gen_random_uuid()                                books_of_merchant event_of_house
merchant            slot = slot + 100                                     books_of_merchant
merchant            name = name || 'x'                                    event_of_house
merchant            country = 'BR'                                        event_of_house
merchant            created_at = created_at + interval '1 us'             event_of_house
book                book = book + 100                                     books_of_merchant
book                merchant = gen_random_uuid()                          books_of_merchant
book                fee_plan = fee_plan + 100                             books_of_merchant
fee_plan            book = book + 100                                     plan_has_its_lines
fee_plan            version = version + 100                               books_of_merchant plan_has_its_lines
fee_plan            family = 'card'                                       plan_of_event
fee_plan            currency = 'USD'                                      plan_of_event
fee_plan            fixed_minor = fixed_minor + 1                         plan_of_event
fee_plan            basis_points = basis_points + 1                       plan_of_event
fee_plan            refund_fixed_minor = refund_fixed_minor + 1           plan_of_event
fee_plan            dispute_fixed_minor = dispute_fixed_minor + 1         plan_of_event
fee_plan            settlement_days = settlement_days + 1                 plan_of_event
fee_plan            created_at = created_at + interval '1 us'             plan_of_event
api_key             id = gen_random_uuid()                                event_of_house
api_key             book = book # 6                                       event_of_house
api_key             name = name || 'x'                                    event_of_house
api_key             scopes = scopes || '{payouts:write}'                  event_of_house
api_key             created_at = created_at + interval '1 us'             event_of_house
operator            id = gen_random_uuid()                                event_of_house
operator            name = name || 'x'                                    event_of_house
operator            created_at = created_at + interval '1 us'             event_of_house
audit               at = at + interval '1 us'                             audit_of_event
audit               action = 'merchant.created'                           audit_of_event
audit               subject = subject || '1'                              audit_of_event
audit               detail = set_byte(detail, 10, 0)                      audit_of_event
"""
# Which rows of a table a change is about; of these it is the one in the middle.
ABOUT = {
    "payin": "status = 'paid' and version = 2 and deposit_number is not null",
    "payin(provider)": "status = 'paid' and captured_minor > 0 and captured_minor > refunded_minor",
    "payin(capturing)": "id in (select payin from payin_operation where kind = 'capture' and status = 'pending')",
    "payin(submitting)": "status = 'submitting'",
    "payin_operation": "kind = 'refund' and status = 'succeeded' and from_pending_minor > 0",
    "payin_operation(pending)": "kind = 'refund' and status = 'pending'",
    "payin_operation(capture)": "kind = 'capture' and status = 'succeeded'",
    "discrepancy": "resolved_at is not null",
    "instrument": "deleted_at is null",
    "instrument(deleted)": "deleted_at is not null",
    "deposit": "applied_minor > 0 and unapplied_minor > 0",
    "deposit(returned)": "returned_minor > 0",
    "due(expiry)": "kind = 'payin.expire' and subject in (select id from payin where status = 'pending')",
    "due(return)": "kind = 'deposit.return' and subject in (select id from deposit where returning_minor > 0)",
    "transfer": "group_seq > 1 and seq > 1 and kind = 1",
    "transfer(hold)": "kind = 2",
    "transfer(post)": "kind = 3",
    "transfer(bank)": "code = 'payin.received'",
    "entry(request)": "not fact and kind = 2 and side = -1",
    "pending_transfer": "state = 3",
    "event": "type = 'payin.paid' and position('\"fees\":9'::bytea in data) = 0",
    "event(created)": "type = 'payin.created'",
    "event(deposit)": "type = 'deposit.unapplied'",
    "event(house)": "type = 'merchant.created'",
    "key": "status = 201 and subject in (select id from payin where deposit_number is not null)",
    "payin_change": "status = 'paid' and number = 2",
    "payer": "book = 2",
    "release": "amount_minor > 0",
    "release(done)": "released_minor > 0",
    "balance_transaction": "kind = 'payment'",
    "balance_transaction(failed)": "kind = 'refund_failure'",
    "fee_plan": "book = 4 and currency = 'MXN' and version = (select max(version) from fee_plan where book = 4)",
    "audit": "action = 'fee_plan.changed'",
}
# What the table itself would refuse, if nobody had taken that from it.
TAKEN_AWAY = {"entry(request)": "alter table entry drop constraint entry_request_within_limit"}
# Columns that no law watches, and why not. `docs/money.md`, "Who watches", says the same in words.
UNWATCHED = {
    "tests/webhooks/test_webhook_laws.py breaks those that laws look at": """
        webhook_endpoint.* webhook_queue.* webhook_delivery.* webhook_attempt.* webhook_range.*""",
    "tests/payins/test_dispute_laws.py breaks those that laws look at": """
        dispute.* dispute_evidence.* dispute_file.*""",
    "it leads to the row, which is gone from its place when it is changed": "*.shard shard.id",
    "nobody keeps what it was made of": "key.digest key.fingerprint payin_search.term",
    "sealed under the id of its row: AES-GCM does not open it any more": "payer.payin payer.sealed deposit.sealed"
    " deposit.destination"
    " payin_operation.sealed instrument.sealed instrument.wrapped instrument.holder instrument.key_id",
    "what was said beside it; its events have it": "payin_operation.detail",
    "its constraint leaves it no other value": "instrument.type",
    "a guard of the next change, which fails with another one": "key.version deposit.version merchant.version"
    " book.version api_key.version operator.version release.version payin_operation.version"
    " discrepancy.version instrument.version",
    "says when a row may be forgotten": "key.created_at",
    "says who came and what was asked last; every change is in the audit trail": "deposit.reason merchant.status"
    " book.routing_profile book.routing_profiles routing_profile.*"
    " book.late_payments book.refunds_beyond_balance book.clock_offset_s api_key.ends_at api_key.revoked_at"
    " operator.revoked_at audit.id audit.actor",
    "a secret's trace: changed, it lets nobody in": "api_key.digest api_key.hint operator.digest operator.hint"
    " directory.*",
    "where things are: changed, they are not found": "placement.* migration.*",
    "an operator's decision for the next payments; its history is the audit trail": "provider_override.*",
    "changed, no process begins any more": "sealing_key.*",
    "when work comes and how far readers are; what was done stands in history": "deposit.sent_until"
    " due.at due.book due.attempt due.said consumer.* payin_search.* check_place.*",
    "the next batch's clock, and what finds a batch again": "shard.last_at batch.id batch.commands",
}
GONE = [
    "account",
    "entry",
    "transfer",
    "pending_transfer",
    "payin",
    "payin_change",
    "deposit",
    "deposit_account",
    "event",
    "batch",
    "merchant",
    "book",
]
GONE += ["api_key", "operator", "release", "balance_transaction", "payin_operation", "discrepancy", "instrument"]
