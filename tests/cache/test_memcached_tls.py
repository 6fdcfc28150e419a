"""Memcached over TLS, on the loop."""

import asyncio
import datetime
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from django_async_ext.cache import PyMemcacheCache
from tests.programs import Memcached, running

Start = Callable[..., Memcached]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def start(tmp_path: Path, authority: trustme.CA) -> Iterator[Start]:
    """Start a server with a certificate of ``authority``."""
    with ExitStack() as stack:

        def start(**certificate: Any) -> Memcached:
            issued = authority.issue_cert("127.0.0.1", **certificate)
            pem = tmp_path / "key_and_chain.pem"
            issued.private_key_and_cert_chain_pem.write_to_path(str(pem))
            options = f"ssl_chain_cert={pem},ssl_key={pem}"
            return stack.enter_context(running(Memcached("-Z", "-o", options)))

        yield start


def cache_of(server: Memcached, *authorities: trustme.CA) -> PyMemcacheCache:
    context = ssl.create_default_context()
    for one in authorities:
        one.configure_trust(context)
    return PyMemcacheCache(server.address, {"OPTIONS": {"tls_context": context}})


async def test_values_go_over_tls(
    start: Start, authority: trustme.CA, thread_submissions: list[str]
) -> None:
    cache = cache_of(start(), authority)
    value = os.urandom(900_000)
    # Not by aset_many(): of commands in one TLS record with the end of a large one,
    # memcached (1.6.18) answers none before it is sent more.
    await cache.aset("large", value)
    await cache.aset("small", 1)
    assert await asyncio.gather(*(cache.aget("large") for _ in range(5))) == [value] * 5
    assert await cache.aincr("small") == 2
    assert not thread_submissions


def test_plain_code_uses_the_same_certificates(
    start: Start, authority: trustme.CA
) -> None:
    cache = cache_of(start(), authority)

    async def write() -> None:
        await cache.aset("key", "value")

    asyncio.run(write())
    assert cache.get("key") == "value"
    cache.close()


async def test_an_expired_certificate_is_refused(
    start: Start, authority: trustme.CA
) -> None:
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        await cache_of(start(not_after=past), authority).aget("key")


async def test_a_certificate_of_a_stranger_is_refused(start: Start) -> None:
    with pytest.raises(
        ssl.SSLCertVerificationError, match=r"self.signed|unable to get"
    ):
        await cache_of(start()).aget("key")
