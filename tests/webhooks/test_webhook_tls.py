"""Whose certificate is believed: one for the name in the endpoint's address, by authorities that the system knows."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from caudal.kernel.context import Context
from tests.webhooks.cast import Ana, delivering, settled, told


@pytest.mark.parametrize(
    ("speaks_tls", "error"), [(True, "the certificate does not verify"), (False, "TLS could not be agreed on")]
)
async def test_a_server_that_nobody_vouches_for_is_not_sent_to(
    context: Context, ana: Ana, tmp_path: Path, speaks_tls: bool, error: str
) -> None:
    requests = list[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.read(5))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(
        serve, "127.0.0.1", 0, ssl=vouched_by_itself(tmp_path) if speaks_tls else None
    )
    endpoint = await ana.endpoint(f"https://localhost:{listening.sockets[0].getsockname()[1]}/")
    await ana.payin()
    await told(context)
    async with delivering(context):
        [delivery] = await settled(context, 1, endpoint, ana)
    [attempt] = await ana.attempts(delivery)
    assert (attempt["error"], attempt["response"]) == (error, None)
    assert not any(b"POST" in request for request in requests)
    listening.close()


def vouched_by_itself(folder: Path) -> ssl.SSLContext:
    """What a server speaks TLS with whose certificate it has made for itself."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")]),
    )
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
    )
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    signed = made.add_extension(names, critical=False).sign(key, hashes.SHA256())
    place = folder / "server.pem"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    place.write_bytes(key.private_bytes(*form) + signed.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(place)
    return context
