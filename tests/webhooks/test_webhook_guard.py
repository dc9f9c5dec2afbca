"""No webhook reaches anybody's own network, however its address is spelled and wherever its name leads."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import msgspec
import pytest
from aiohttp import web

from caudal.kernel.context import Context
from caudal.webhooks import guard, sender
from tests.webhooks.cast import Ana, delivering, told
from tests.webhooks.receiver import Receiver

ALLOWED = [
    "https://shop.example.com/caudal",
    "https://shop.example.com:8443/hooks?tenant=7&x=%20",
    "https://xn--panadera-i2a.mx/",
    "https://8.8.8.8/hook",
    "https://[2606:4700:4700::1111]/hook",
    "https://shop.example.com:443",
    "HTTPS://Shop.Example.COM/Hook",
    "https://a_b.example.com/",
    "https://10.example.com/",
]
REFUSED = [
    # loopback
    "https://127.0.0.1/",
    "https://127.8.9.10/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://api.localhost/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::]/",
    "https://0.0.0.0/",
    "https://0/",
    # the same in other spellings
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0x7F.0x0.0x0.0x1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.0.0.01/",
    "https://127.0.0.1./",
    "https://shop.example.com./",
    "https://127.0.0.1%00.example.com/",
    "https://0000:0000:0000:0000:0000:0000:0000:0001/",
    "https://[::ffff:0x7f.1]/",
    "https://127.0.0.0x1/",
    "https://1.1.1.256/",
    "https://127%2e0.0.1/",
    "https://%31%32%37.0.0.1/",
    "https://１２７.０.０.１/",
    "https://ⓛocalhost/",
    "https://127。0。0。1/",
    # private, link-local, metadata, shared
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/latest/meta-data/",
    "https://0xa9fea9fe/",
    "https://0251.0376.0251.0376/",
    "https://100.64.0.1/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://192.0.0.192/",
    "https://198.18.0.1/",
    "https://192.0.2.1/",
    "https://203.0.113.9/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    # IPv4 inside of IPv6
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[::127.0.0.1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a9fe:a9fe::1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::169.254.169.254]/",
    "https://[64:ff9b:1::a00:1]/",
    "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[64:ff9b::192.168.1.1]/",
    "https://[2002:c0a8:0101::]/",
    "https://[fec0::1]/",
    "https://[100::1]/",
    "https://[5f00::1]/",
    "https://[3fff::1]/",
    # names of somebody's own network
    "https://metadata/",
    "https://metadata.google.internal/",
    "https://printer.local/",
    "https://intranet/",
    "https://db.corp/",
    "https://1.0.0.127.in-addr.arpa/",
    # what is no plain address of a web server
    "ftp://shop.example.com/",
    "file:///etc/passwd",
    "gopher://shop.example.com/",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "unix:///var/run/docker.sock",
    "//shop.example.com/",
    "shop.example.com",
    "https:shop.example.com",
    "https:///hook",
    "https://",
    "",
    "https://user@shop.example.com/",
    "https://user:password@127.0.0.1/",
    "https://shop.example.com@127.0.0.1/",
    "https://shop.example.com\\@127.0.0.1/",
    "https://shop.example.com/#here",
    "https://shop.example.com:/",
    "https://shop.example.com:22/",
    "https://shop.example.com:25/",
    "https://shop.example.com:0/",
    "https://shop.example.com:99999/",
    "https://shop.example.com:5432/",
    "https://shop.example.com:6379/",
    "https://shop.example.com:٤٤٣/",
    "https://shop..example.com/",
    "https://-shop.example.com/",
    "https://shop.example.com/ hook",
    "https://shop.example.com/\r\nHost: x",
    "https://shop.example.com/\u0000",
    "https://[127.0.0.1]/",
    "https://[::1/",
    f"https://shop.example.com/{'x' * 2000}",
]


@pytest.mark.parametrize("url", ALLOWED)
def test_a_public_web_server_may_be_named(url: str) -> None:
    assert list(guard.refusals(url, live=True, loopback=False)) == []


@pytest.mark.parametrize("url", REFUSED, ids=[url[:50].encode("unicode_escape").decode() for url in REFUSED])
@pytest.mark.parametrize("live", [True, False], ids=["live", "test"])
def test_nothing_else_may_be_named(url: str, live: bool) -> None:
    assert list(guard.refusals(url, live=live, loopback=False))


def test_live_events_need_https() -> None:
    assert [code for code, _ in guard.refusals("http://shop.example.com/", live=True, loopback=False)] == [
        "https_needed"
    ]
    assert list(guard.refusals("http://shop.example.com/", live=False, loopback=False)) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/", "http://localhost:5432/hook", "http://[::1]:8080/"])
def test_this_machine_may_be_named_in_test_mode_where_the_setting_says_so(url: str) -> None:
    assert list(guard.refusals(url, live=False, loopback=True)) == []
    assert list(guard.refusals(url, live=True, loopback=True))
    assert list(guard.refusals(url, live=False, loopback=False))


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/", "http://2130706433/", "http://169.254.169.254/", "http://localhost:22/"]
)
def test_the_setting_opens_this_machine_and_nothing_else(url: str) -> None:
    assert list(guard.refusals(url, live=False, loopback=True))


def test_every_address_outside_of_the_public_internet_is_closed() -> None:
    for text in ("1.1.1.1", "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"):
        assert guard.closed(ipaddress.ip_address(text)) is None
    for text in ("127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:1.1.1.1", "64:ff9b::101:101", "fd00::1"):
        assert guard.closed(ipaddress.ip_address(text)) is not None


# Names that lead somewhere else


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Names lead to these addresses, at each look to the next ones; the names that were looked up."""
    left, asked = list(answers), list[str]()

    def look_up(host: str, port: int) -> list[str]:
        asked.append(host)
        return left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(sender, "_look_up", look_up)
    return asked


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.7"], ["93.184.216.34", "169.254.169.254"], ["::1"], ["::ffff:127.0.0.1"], ["64:ff9b::1"]],
    ids=",".join,
)
async def test_a_name_that_leads_into_a_network_is_not_connected_to(
    context: Context, ana: Ana, server: Receiver, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    port = server.url.rpartition(":")[2]
    asked = resolving(monkeypatch, addresses)
    endpoint = await ana.endpoint(f"http://shop.example.com:{port}/hook")
    attempt = await failed_attempt(context, ana, endpoint)
    assert asked == ["shop.example.com"] and server.messages == []
    assert attempt["error"] == "the address is private, local or reserved: a public one is needed"


async def failed_attempt(context: Context, ana: Ana, endpoint: dict[str, Any]) -> Any:
    """A test message, and what became of it."""
    made = await ana.post(f"/v1/webhook_endpoints/{endpoint['id']}/tests")
    async with delivering(context):
        for _ in range(200):
            attempts = await ana.attempts(made.json)
            if attempts:
                return attempts[0]
    raise AssertionError("nothing was tried")


async def test_the_socket_itself_is_not_made_for_a_closed_address(
    context: Context, ana: Ana, server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def careless(self: object, host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(sender.Resolver, "resolve", careless)
    endpoint = await ana.endpoint(f"http://shop.example.com:{server.url.rpartition(':')[2]}/")
    attempt = await failed_attempt(context, ana, endpoint)
    assert server.messages == [] and attempt["response"] is None


async def test_the_connection_goes_to_the_number_that_was_looked_at(
    context: Context, ana: Ana, server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here this machine stands for the internet, and the name means something else from the second look on."""
    asked = resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    looked_at, closed = list[str](), guard.closed

    def pretending(address: guard.Address) -> str | None:
        looked_at.append(str(address))
        return None if str(address) == "127.0.0.1" else closed(address)

    monkeypatch.setattr(guard, "closed", pretending)
    await ana.endpoint(f"http://shop.example.com:{server.url.rpartition(':')[2]}/")
    await ana.payin()
    await told(context)
    async with delivering(context):
        await server.until(1)
    assert asked == ["shop.example.com"], "nobody looks the name up again"
    assert looked_at == ["127.0.0.1"] * 2, "as it was resolved, and as it is connected to"


async def test_no_proxy_of_the_environment_is_asked(
    context: Context, ana: Ana, server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, server.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint = await ana.endpoint(f"http://127.0.0.1:{nobody.getsockname()[1]}/hook")
        attempt = await failed_attempt(context, ana, endpoint)
    assert server.messages == [] and "connection was refused" in attempt["error"]


async def test_a_redirect_is_an_answer_and_not_a_way(context: Context, ana: Ana, server: Receiver) -> None:
    async def elsewhere(message: Any) -> web.Response:
        return web.Response(status=307, headers={"location": f"{server.url}/secret"})

    server.answer = elsewhere
    endpoint = await ana.endpoint(f"{server.url}/hook")
    attempt = await failed_attempt(context, ana, endpoint)
    assert attempt["response"]["status"] == 307 and [message.path for message in server.messages] == ["/hook"]
    await told(context)


async def test_an_endpoint_on_this_machine_loses_it_when_the_setting_goes(
    context: Context, ana: Ana, server: Receiver
) -> None:
    endpoint = await ana.endpoint(f"{server.url}/hook")
    object.__setattr__(context, "settings", _without_loopback(context))
    attempt = await failed_attempt(context, ana, endpoint)
    assert server.messages == [] and "address" in attempt["error"]


def _without_loopback(context: Context) -> Any:
    return msgspec.structs.replace(context.settings, webhook_loopback=False)
