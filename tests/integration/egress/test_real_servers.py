"""Against servers that others wrote: aiohttp, the standard library's http.server, nginx."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiohttp import web

from jit_auth.egress import Egress
from jit_auth.errors import Lost
from jit_auth.model import Reply, Request

BIG = json.dumps({"items": [{"id": number, "text": "a text that repeats itself"} for number in range(2000)]}).encode()


async def send(
    egress: Egress, base: str, method: str, path: str, body: bytes = b"", *headers: tuple[str, str]
) -> Reply:
    return await egress.send(Request(method, base + path, headers, body), hosts=["127.0.0.1"], timeout=5000)


@pytest.fixture
async def aiohttp_url() -> AsyncIterator[str]:
    async def echo(request: web.Request) -> web.Response:
        headers = {"X-Connection": str(id(request.transport))}
        return web.json_response(
            {"method": request.method, "path": request.raw_path, "body": (await request.read()).decode("latin-1")},
            status=201,
            headers=headers,
        )

    async def compressed(request: web.Request) -> web.Response:
        response = web.Response(body=BIG, content_type="application/json")
        response.enable_compression()
        return response

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for at in range(0, len(BIG), 1000):
            await response.write(BIG[at : at + 1000])
        await response.write_eof()
        return response

    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 100
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    app = web.Application()
    app.router.add_get("/compressed", compressed, allow_head=False)
    app.router.add_get("/stream", stream, allow_head=False)
    app.router.add_get("/broken", broken, allow_head=False)
    app.router.add_route("*", "/{tail:.*}", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_aiohttp(egress: Egress, aiohttp_url: str) -> None:
    connections = set()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        body = b"" if method == "GET" else b"\xe9 body"
        reply = await send(egress, aiohttp_url, method, "/a%2Fb?c=%20", body)
        assert reply.status == 201
        assert json.loads(reply.body) == {"method": method, "path": "/a%2Fb?c=%20", "body": body.decode("latin-1")}
        connections.add(reply.header("x-connection"))
    head = await send(egress, aiohttp_url, "HEAD", "/")
    assert (head.status, head.body) == (201, b"")
    connections.add(head.header("x-connection"))
    assert len(connections) == 1
    compressed = await send(egress, aiohttp_url, "GET", "/compressed")
    assert compressed.header("content-encoding") in ("gzip", "deflate")
    assert compressed.body == BIG
    assert (await send(egress, aiohttp_url, "GET", "/stream")).body == BIG
    assert (await send(egress, aiohttp_url, "GET", "/broken")).truncated


async def test_aiohttp_many_at_once(egress: Egress, aiohttp_url: str) -> None:
    async def one(number: int) -> None:
        reply = await send(egress, aiohttp_url, "POST", f"/{number}", str(number).encode() * 100)
        assert json.loads(reply.body)["body"] == str(number) * 100

    for _ in range(3):
        await asyncio.gather(*(one(number) for number in range(100)))


@pytest.mark.parametrize("protocol", ["HTTP/1.0", "HTTP/1.1"])
async def test_http_server(protocol: str, egress: Egress) -> None:
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = protocol

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.append(self.requestline)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            if protocol == "HTTP/1.1":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        for number in range(3):
            base = f"http://127.0.0.1:{server.server_port}"
            reply = await send(egress, base, "POST", f"/{number}", b'{"a":1}')
            assert (reply.status, reply.body, reply.truncated) == (200, b'{"a":1}', False)
        assert len(seen) == 3
    finally:
        await egress.close()  # its threads wait for our connections
        server.shutdown()
        server.server_close()
        thread.join()


NGINX = """
{user} daemon off; pid {folder}/pid; error_log stderr error; worker_processes 1;
events {{}}
http {{
  access_log {folder}/access.log; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  gzip on; gzip_types application/json; gzip_min_length 100; keepalive_timeout 5s;
  server {{
    listen unix:{folder}/unused.sock; listen 127.0.0.1:{port};
    location /file {{ alias {folder}/big.json; types {{}} default_type application/json; }}
    location /gone {{ return 410 "gone"; }}
    location /empty {{ return 204; }}
    location /moved {{ return 302 /file; }}
    location /drop {{ return 444; }}
    location /up {{ proxy_pass {upstream}; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed here")
async def test_nginx(egress: Egress, aiohttp_url: str, tmp_path: Path, unused_tcp_port: int) -> None:
    (tmp_path / "big.json").write_bytes(BIG)
    user = "user root;" if os.geteuid() == 0 else ""  # its own user may not read the folder
    conf = NGINX.format(user=user, folder=tmp_path, port=unused_tcp_port, upstream=aiohttp_url)
    (tmp_path / "conf").write_text(conf)
    nginx = await asyncio.create_subprocess_exec("nginx", "-e", "stderr", "-c", tmp_path / "conf", "-p", tmp_path)
    base = f"http://127.0.0.1:{unused_tcp_port}"
    try:
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
                writer.close()
                await writer.wait_closed()
                break
            except OSError:
                await asyncio.sleep(0.01)
        big = await send(egress, base, "GET", "/file")
        assert (big.body, big.header("content-encoding")) == (BIG, "gzip")
        assert (await send(egress, base, "HEAD", "/file")).body == b""
        gone = await send(egress, base, "GET", "/gone")
        assert (gone.status, gone.body) == (410, b"gone")
        assert (await send(egress, base, "GET", "/empty")).status == 204
        assert (await send(egress, base, "GET", "/moved")).header("location") == f"{base}/file"
        through = await send(egress, base, "POST", "/up?a=%2F", b'{"a":1}')
        assert json.loads(through.body) == {"method": "POST", "path": "/up?a=%2F", "body": '{"a":1}'}
        with pytest.raises(Lost):
            await send(egress, base, "PUT", "/drop", b"x")
    finally:
        await egress.close()
        nginx.terminate()
        await nginx.wait()
    log = (tmp_path / "access.log").read_text()
    assert log.count("PUT /drop") == 1
    assert log.count('"POST /up') == 1
