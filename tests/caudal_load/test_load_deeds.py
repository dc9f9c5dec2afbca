"""Captures, refunds, cancellations, repeats and reads: of payins that are fit for them; every answer is looked at."""

from caudal_load.deeds import Deed, Deeds, Known
from caudal_load.tally import Tally

ANA = Known(7, 1, b"0" * 31 + b"7", 1000)
OTHER = b"f" * 32


def deeds(tally: Tally | None = None, pending_are_cancelled: bool = True) -> Deeds:
    return Deeds(["sk_test_ana", "sk_test_beto"], "127.0.0.1:8700", tally or Tally(), pending_are_cancelled)


def asked(all_: Deeds, deed: Deed) -> bytes | None:
    found = all_.ask(deed, 20, "load-1-20")
    return None if found is None else found[0]


def test_a_capture_is_of_an_authorized_payin_once_and_by_its_own_merchant() -> None:
    all_ = deeds()
    assert asked(all_, Deed.CAPTURE) is None and all_.instead == {"capture": 1}
    all_.learn(ANA, b"authorized")
    request = asked(all_, Deed.CAPTURE)
    assert request is not None
    assert request.startswith(b"POST /v1/payins/payin_%b/captures HTTP/1.1\r\n" % ANA.digits)
    assert b"Bearer sk_test_beto\r\n" in request and b"Idempotency-Key: load-1-20\r\n" in request
    assert asked(all_, Deed.CAPTURE) is None


def test_what_is_captured_may_be_refunded_a_half_of_it() -> None:
    tally = Tally()
    all_ = deeds(tally)
    answer = b'{"id":"capture_%b","payin":"payin_%b","status":"succeeded"}' % (OTHER, ANA.digits)
    assert all_.done(Deed.CAPTURE, ANA, 201, answer) is True
    assert bytes(tally.operations).hex().encode() == OTHER
    request = asked(all_, Deed.REFUND)
    assert request is not None and request.endswith(
        b'Content-Length: 14\r\nIdempotency-Key: load-1-20\r\n\r\n{"amount":500}'
    )


def test_an_acknowledged_operation_without_an_id_is_malformed_and_a_refusal_is_none() -> None:
    assert deeds().done(Deed.REFUND, ANA, 201, b'{"status":"succeeded"}') is False
    assert deeds().done(Deed.REFUND, ANA, 409, b'{"code":"insufficient_balance"}') is None


def test_where_payers_pay_nothing_that_waits_for_them_is_cancelled() -> None:
    for wanted in (True, False):
        all_ = deeds(pending_are_cancelled=wanted)
        all_.learn(ANA, b"pending")
        assert (asked(all_, Deed.CANCEL) is not None) is wanted


def test_a_cancellation_is_remembered_to_be_looked_for() -> None:
    tally = Tally()
    assert deeds(tally).done(Deed.CANCEL, ANA, 200, b'{"id":"payin_%b","status":"cancelled"}' % ANA.digits)
    assert bytes(tally.cancelled).hex().encode() == ANA.digits


def test_a_repeat_with_another_answer_is_counted() -> None:
    tally = Tally()
    all_ = deeds(tally)
    assert all_.done(Deed.REPLAY, ANA, 201, b'{"id":"payin_%b"}' % ANA.digits) and tally.differing == 0
    assert all_.done(Deed.REPLAY, ANA, 201, b'{"id":"payin_%b"}' % OTHER) and tally.differing == 1


def test_a_read_of_another_payin_is_malformed() -> None:
    assert deeds().done(Deed.READ, ANA, 200, b'{"id":"payin_%b"}' % ANA.digits) is True
    assert deeds().done(Deed.READ, ANA, 200, b'{"id":"payin_%b"}' % OTHER) is False


def test_reads_go_through_all_that_is_remembered() -> None:
    all_ = deeds()
    for number in range(10):
        all_.learn(Known(number, 0, b"%032d" % number, 1), b"pending")
    paths = {asked_.split(b" ")[1] for n in range(10) if (asked_ := (all_.ask(Deed.READ, n, "") or (b"",))[0])}
    assert len(paths) == 10
