"""Files at URLs: from public addresses on hosts that are allowed, and never from inside."""

import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_INET
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from retinue.errors import RequestError
from retinue.run.fetch import Fetcher
from retinue.run.fetchable import Fetched, allows, is_public

HERE = "127.0.0.1"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
        *("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1"),
        *("224.0.0.1", "255.255.255.255", "240.0.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::7f00:1", "64:ff9b::a9fe:a9fe"),
        *("64:ff9b:1::1", "2002:7f00:1::", "2001:0:7f00:1::", "localhost", "", "8.8.8"),
    ],
)
def test_what_is_inside_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:2800:21f:cb07::1"])
def test_what_is_outside_is(address):
    assert is_public(address)


@given(st.ip_addresses())
def test_nothing_private_is_public(ip):
    if ip.is_private or ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_reserved:
        assert not is_public(str(ip))


@pytest.mark.parametrize(
    ("hosts", "host", "allowed"),
    [
        (["a.com"], "a.com", True),
        (["a.com"], "A.com.", True),
        (["a.com"], "b.a.com", False),
        (["a.com"], "aa.com", False),
        (["*.a.com"], "b.a.com", True),
        (["*.a.com"], "c.b.a.com", True),
        (["*.a.com"], "a.com", False),
        (["*.a.com"], "ba.com", False),
        (["*"], "any.org", True),
        ([], "a.com", False),
    ],
)
def test_hosts_are_names_or_all_below_one(hosts, host, allowed):
    assert allows(hosts, host) is allowed


@dataclass
class Names(AbstractResolver):
    """Each name's addresses; where there are several lists, one after the other."""

    known: dict[str, list[list[str]]]
    asked: list[str] = field(default_factory=list)

    async def resolve(self, host, port=0, family=AF_INET):  # noqa: ARG002
        self.asked.append(host)
        lists = self.known.get(host)
        if lists is None:
            raise OSError(f"nobody knows {host}")
        found = lists.pop(0) if len(lists) > 1 else lists[0]
        common = {"hostname": host, "port": port, "family": AF_INET, "proto": 0, "flags": 0}
        return [{**common, "host": address} for address in found]

    async def close(self):
        pass


def certified(folder: Path, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's side and a client's, which believes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    alternatives = x509.SubjectAlternativeName(
        [*map(x509.DNSName, names), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]
    )
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(alternatives, critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "c.pem", folder / "k.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, secret)
    return server, ssl.create_default_context(cafile=str(certificate))


@dataclass
class Site:
    """An HTTPS server on every address of this machine, and what was asked of it."""

    port: int
    tls: ssl.SSLContext
    asked: list[tuple[str, str]]
    names: Names = field(
        default_factory=lambda: Names({"a.test": [[HERE]], "b.test": [[HERE]], "c.test": [[HERE]]})
    )

    def url(self, path: str, host: str = "a.test") -> str:
        return f"https://{host}:{self.port}{path}"

    async def fetch(self, url: str, hosts=("a.test", "b.test"), most: int = 1000) -> Fetched:
        fetcher = Fetcher(
            may=lambda address: address == HERE or is_public(address),
            resolver=lambda: self.names,
            tls=self.tls,
            port=self.port,
        )
        return await fetcher.fetch(url, hosts, most)

    async def refused(self, url: str, **more) -> RequestError:
        with pytest.raises(RequestError) as raised:
            await self.fetch(url, **more)
        assert "SECRET" not in str(raised.value)
        return raised.value


@pytest.fixture
async def site(tmp_path) -> AsyncIterator[Site]:
    asked: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        to = request.transport.get_extra_info("sockname")[0]
        asked.append((to, request.path_qs))
        what = request.path.rpartition("/")[2]
        if what == "moved":
            raise web.HTTPFound(request.query["to"])
        if what == "endless":
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"x" * 500)
        if what == "packed":
            return web.Response(body=b"x", headers={"content-encoding": "gzip"})
        if what == "gone":
            raise web.HTTPNotFound
        kind = request.query.get("type", "Text/Plain; charset=utf-8")
        told = sorted(request.headers)
        return web.Response(body=f"{what} {told}".encode(), headers={"content-type": kind})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    server, client = certified(tmp_path, "a.test", "b.test", "c.test")
    tcp = web.TCPSite(runner, "0.0.0.0", 0, ssl_context=server)
    await tcp.start()
    (port,) = {s.getsockname()[1] for s in tcp._server.sockets}
    yield Site(port, client, asked)
    await runner.cleanup()


async def test_a_file_with_its_name_and_kind(site):
    found = await site.fetch(site.url("/x/my%20sales.csv?sig=SECRET"))
    assert (found.name, found.media_type) == ("my sales.csv", "text/plain")
    # Nothing is sent along that tells of us or of who asks.
    assert found.content == b"my sales.csv ['Accept', 'Accept-Encoding', 'Host', 'User-Agent']"
    vague = await site.fetch(site.url("/a.pdf?type=application/octet-stream"))
    assert vague.media_type == "application/pdf"


async def test_a_name_without_an_address_is_told_as_that(site):
    error = await site.refused(site.url("/a.csv?sig=SECRET", "nowhere.test"), hosts=("*",))
    assert str(error) == "The file can't be fetched: its host has no address."


async def test_a_redirect_is_looked_at_as_the_first_url_is(site):
    good = site.url("/end.txt", "b.test")
    assert (await site.fetch(site.url(f"/moved?to={good}"))).name == "end.txt"
    assert (await site.fetch(site.url("/moved?to=/end.txt"))).name == "end.txt"
    site.asked.clear()
    wrong = [
        site.url("/x", "c.test"),
        site.url("/x").replace("https:", "http:"),
        "https://a.test/x",
        site.url("/x", "me:SECRET@a.test"),
        "file:///etc/passwd",
        "https://",
        "",
    ]
    for url in wrong:
        assert (await site.refused(site.url(f"/moved?to={url}"))).code == "file_not_fetched"
    assert {path.partition("?")[0] for _, path in site.asked} == {"/moved"}


async def test_redirects_come_to_an_end(site):
    path = "/end.txt"
    for _ in range(3):
        path = f"/moved?to={quote(path, safe='')}"
    assert (await site.fetch(site.url(path))).name == "end.txt"
    site.asked.clear()
    error = await site.refused(site.url(f"/moved?to={quote(path, safe='')}"))
    assert "redirected" in str(error)
    assert len(site.asked) == 4


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.2", "[::1]", "169.254.169.254"),
        *("127.2", "2130706434", "0177.0.0.2", "127.0.0.2.", "①②⑦.2"),
    ],
)
async def test_an_address_inside_is_refused_wherever_it_comes_from(site, host):
    for url in (site.url("/x", host), site.url(f"/moved?to={site.url('/x', host)}")):
        error = await site.refused(url, hosts=("*",))
        assert "public" in str(error)
    assert [to for to, _ in site.asked] == [HERE]


@pytest.mark.parametrize("found", [["127.0.0.2"], [HERE, "127.0.0.2"], ["10.0.0.1"], []])
async def test_a_name_that_stands_for_an_address_inside_is_refused(site, found):
    site.names.known["a.test"] = [found]
    assert "public" in str(await site.refused(site.url("/x")))
    assert site.asked == []


async def test_a_name_that_is_bound_anew_is_not_followed(site):
    # It stood for a good address when it was looked at, and stands for another one from then on.
    site.names.known["a.test"] = [[HERE], ["127.0.0.2"]]
    await site.fetch(site.url("/x"))
    assert [to for to, _ in site.asked] == [HERE]
    assert site.names.asked == ["a.test"]
    await site.refused(site.url("/x"))
    assert [to for to, _ in site.asked] == [HERE]


async def test_what_is_too_large_is_left(site):
    for path in ("/endless", "/" + "x" * 1000):
        error = await site.refused(site.url(path), most=900)
        assert (error.status, error.code) == (413, "file_too_large")


@pytest.mark.parametrize("path", ["/gone", "/packed"])
async def test_what_comes_otherwise_is_told(site, path):
    assert (await site.refused(site.url(f"{path}?SECRET"))).code == "file_not_fetched"


async def test_a_certificate_that_nobody_vouches_for_is_refused(site):
    site.tls = ssl.create_default_context()
    assert "Certificate" in str(await site.refused(site.url("/x?SECRET")))
    assert site.asked == []


async def test_a_host_that_is_not_allowed_is_not_even_looked_up(site):
    await site.refused(site.url("/x", "c.test"))
    await site.refused("https://[")
    assert site.names.asked == []
