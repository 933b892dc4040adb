"""A way to a server that a test can break where it likes: before a request arrives, or after its commit and before its
reply."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path


class Proxy:
    """Listens on a loopback port and passes everything on to a server's socket."""

    def __init__(self, socket: Path, login: str, database: str) -> None:
        self._socket = socket
        self._login = login
        self._database = database
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._traps: list[tuple[bytes, bool, asyncio.Event]] = []
        self._silent = False
        self.dsn = ""
        self._port = 0

    async def start(self) -> None:
        # at the same address again, after a stop
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self.dsn = f"postgresql://{self._login}@127.0.0.1:{self._port}/{self._database}?sslmode=disable"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks)

    def cut(self) -> int:
        """Breaks all connections, as a network does; returns how many."""
        pairs = list(self._pairs)
        for pair in pairs:
            pair.cut()
        return len(pairs)

    def lead_to(self, socket: Path) -> None:
        """New connections lead to another server, and the old ones break."""
        self._socket = socket
        self.cut()

    def fall_silent(self) -> None:
        """From now on nothing passes, and nobody is told: a host that is gone, a network that drops packets. Connecting
        still works."""
        self._silent = True
        for pair in self._pairs:
            pair.silent = True

    def let_in(self) -> None:
        """New connections work again; the old ones stay silent."""
        self._silent = False

    def speak(self) -> None:
        """New connections work again, and the old ones break."""
        self._silent = False
        self.cut()

    def lose_reply(self, marker: bytes) -> asyncio.Event:
        """The next request that holds these bytes is carried out, and its connection breaks instead of a reply; the
        event is set when that has happened."""
        self._traps.append((marker, True, asyncio.Event()))
        return self._traps[-1][2]

    def lose_request(self, marker: bytes) -> asyncio.Event:
        """The next request that holds these bytes never arrives: its connection breaks."""
        self._traps.append((marker, False, asyncio.Event()))
        return self._traps[-1][2]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            upstream = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, upstream[1], self._silent)
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._requests(pair, reader), self._replies(pair, upstream[0]))
        finally:
            self._pairs.discard(pair)
            pair.cut()
            for end in (writer, upstream[1]):
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _requests(self, pair: _Pair, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if pair.silent:
                    continue
                for trap in [trap for trap in self._traps if trap[0] in data]:
                    self._traps.remove(trap)
                    _, arrives, happened = trap
                    if not arrives:
                        happened.set()
                        pair.cut()
                        return
                    pair.doomed = happened
                pair.server.write(data)
        # a client that is gone without a goodbye is gone for the server too
        pair.server.transport.abort()

    async def _replies(self, pair: _Pair, reader: asyncio.StreamReader) -> None:
        swallowed = b""
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if pair.silent:
                    continue
                if pair.doomed is None:
                    pair.client.write(data)
                    continue
                swallowed += data
                # ReadyForQuery, idle: the statement's transaction has ended
                if swallowed.endswith(b"Z\x00\x00\x00\x05I"):
                    pair.doomed.set()
                    break
        pair.cut()


class _Pair:
    """A client's connection and the one to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter, silent: bool) -> None:
        self.client = client
        self.server = server
        self.silent = silent
        self.doomed: asyncio.Event | None = None

    def cut(self) -> None:
        self.client.transport.abort()
        self.server.transport.abort()
