"""Reads a census return block by block; see :mod:`sos_sources.cin.block_parser`.

Memory does not grow with the file: a block is turned into rows and forgotten. What stands around
the children, the header above all, is read by the parser, and so are children that are not plain.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lxml import etree

from sos_sources.cin.block_parser import Block, NotPlainError, Odd, read_block
from sos_sources.cin.rows import Sink
from sos_sources.cin.tag_lookup import Vocabulary, vocabulary
from sos_sources.cin.xml import PARSING, RawReturn, Reader, parse_return

BLOCK = 1 << 21
"""Bytes read at a time."""
LARGEST = 1 << 26
"""Bytes within which a child must start, and end."""
ODD_TOGETHER = 500
"""Children that one parser is given: what it has read it keeps."""
START, END = b"<Child>", b"</Child>"
PLAIN_ENCODINGS = ("utf-8", "us-ascii", "ascii")
_ENCODING = re.compile(rb"""<\?xml[^>]*encoding\s*=\s*["']([^"']*)["']""")


def read_return(
    path: Path,
    sink: Sink,
    *,
    n_lines: int = 20,
    threads: int = 1,
    extras: Sequence[str] = (),
    advance: Callable[[int], None] = lambda _: None,
) -> RawReturn:
    """Read one file; a break in the XML ends the reading and is noted, never raised.

    Args:
        path: The file.
        sink: Where its rows go.
        n_lines: For how many occurrences of an oddity the line is kept.
        threads: How many blocks are read at once.
        extras: Names of further elements whose texts are read.
        advance: Called with the number of bytes read.
    """
    known = vocabulary(tuple(extras))
    if known is not None:
        with suppress(NotPlainError):
            return PlainFile(path, sink, n_lines, threads, advance, known).read()
    return parse_return(path, sink, n_lines=n_lines, extras=extras, advance=advance)


class _Digest:
    """The digest of what is read, made in a thread of its own."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._hash = hashlib.sha256()
        self._last: Future[None] | None = None

    def add(self, data: bytes) -> None:
        self._wait()
        self._last = self._pool.submit(self._hash.update, data)

    def _wait(self) -> None:
        if self._last is not None:
            self._last.result()

    def text(self) -> str:
        self._wait()
        return self._hash.hexdigest()


@dataclass(frozen=True)
class _Part:
    """Bytes of the file: where they start, and whether they hold children."""

    data: bytes
    offset: int
    children: bool


class PlainFile:
    """A file that is read block by block; :meth:`read` raises when it cannot be."""

    def __init__(
        self,
        path: Path,
        sink: Sink,
        n_lines: int,
        threads: int,
        advance: Callable[[int], None],
        known: Vocabulary,
    ) -> None:
        self.path = path
        self.advance = advance
        self.threads = threads
        self.known = known
        self.reader = Reader(path, sink, n_lines, known.further)
        self.n_read = 0
        self.line = 1

    def read(self) -> RawReturn:
        """Read the file.

        Raises:
            NotPlainError: If the parser must read it; its rows are forgotten.
        """
        reader = self.reader
        try:
            with (
                self.path.open("rb") as file,
                ThreadPoolExecutor(1) as beside,
                ThreadPoolExecutor(self.threads) as pool,
            ):
                self.digest = _Digest(beside)
                parts = self._parts(file)
                head = next(parts)
                self.line += head.data.count(b"\n")
                tail = self._blocks(parts, pool, head.data)
                self._read_around(head, tail)
                raw = reader.finish()
                raw.sha256 = self.digest.text()
        except NotPlainError:
            self.advance(-self.n_read)
            reader.out.forget()
            raise
        return raw

    def _blocks(self, parts: Iterator[_Part], pool: Executor, head: bytes) -> _Part:
        """Read the blocks of children, some at once, and return what stands after them."""
        running: deque[Future[Block]] = deque()
        for part in parts:
            if not part.children:
                while running:
                    self._take(running.popleft().result(), head)
                return part
            line, self.line = self.line, self.line + part.data.count(b"\n")
            running.append(self._submit(pool, part, line))
            if len(running) > self.threads:
                self._take(running.popleft().result(), head)
        raise AssertionError("the last part holds no children")

    def _submit(self, pool: Executor, part: _Part, line: int) -> Future[Block]:
        return pool.submit(read_block, part.data, self.known, offset=part.offset, line=line)

    def _take(self, block: Block, head: bytes) -> None:
        """Hand on what a block gave.

        Raises:
            NotPlainError: If most children of the first block are odd: the parser alone is faster.
        """
        n_odd, first = len(block.odd), not any(self.reader.out.n.values())
        if first and n_odd > ODD_TOGETHER and n_odd > block.tables["children"].num_rows:
            raise NotPlainError
        for name, table in block.tables.items():
            if table.num_rows:
                self.reader.out.add(name, table)
        self.reader.raw.extras |= block.further
        self._parse(block.odd, head)

    def _parts(self, file: BinaryIO) -> Iterator[_Part]:
        """Yield what stands before the children, blocks of children, and what stands after."""
        rest = self._more(file)
        head = rest.find(START)
        while head < 0:
            rest += self._more(file)
            head = rest.find(START)
        _refuse_head(rest[:head])
        yield _Part(rest[:head], 0, children=False)
        offset, rest = head, rest[head:]
        while True:
            cut = rest.rfind(END)
            if cut >= 0:
                cut += len(END)
                yield _Part(rest[:cut], offset, children=True)
                offset, rest = offset + cut, rest[cut:]
            more = file.read(BLOCK)
            if not more:
                break
            rest += self._seen(more)
            if len(rest) > LARGEST:
                raise NotPlainError
        yield _Part(rest, offset, children=False)

    def _more(self, file: BinaryIO) -> bytes:
        data = file.read(BLOCK)
        if not data or self.n_read > LARGEST:
            raise NotPlainError
        return self._seen(data)

    def _seen(self, data: bytes) -> bytes:
        self.digest.add(data)
        self.n_read += len(data)
        self.advance(len(data))
        return data

    def _parse(self, odd: Sequence[Odd], head: bytes) -> None:
        """Let the parser read children that are not plain, after the head of the file."""
        reader = self.reader
        for first in range(0, len(odd), ODD_TOGETHER):
            parser = etree.XMLPullParser(events=("end",), tag="{*}Child", **PARSING)
            with _refusing():
                parser.feed(head)
                for one in odd[first : first + ODD_TOGETHER]:
                    parser.feed(one.data)
                    elements = [element for _, element in parser.read_events()]
                    if len(elements) != 1:
                        raise NotPlainError
                    reader.number_from(one.offset, one.line - (elements[0].sourceline or 0))
                    reader.child(elements[0])
                    elements[0].clear()
        reader.pack()

    def _read_around(self, head: _Part, tail: _Part) -> None:
        """Read the header and look at what else stands around the children."""
        if _loose(head.data[head.data.rfind(b">") + 1 :]) or _loose(tail.data.split(b"<")[0]):
            raise NotPlainError
        lines = head.data.count(b"\n") + 1
        reader = self.reader
        reader.number_from(0, 0)
        before = {oddity: len(lines_of) for oddity, lines_of in reader.raw.lines.items()}
        with _refusing():
            reader.read(io.BytesIO(head.data + b"\n" + tail.data))
        if any(reader.rows.values()):
            raise NotPlainError  # a child that starts otherwise
        for oddity, lines_of in reader.raw.lines.items():
            for place in range(before.get(oddity, 0), len(lines_of)):
                if lines_of[place] > lines:
                    lines_of[place] += self.line - lines - 1


def _refuse_head(head: bytes) -> None:
    encoding = _ENCODING.search(head)
    named = encoding[1].decode("ascii", "replace").lower() if encoding else "utf-8"
    if named not in PLAIN_ENCODINGS or b"<!" in head:
        raise NotPlainError


def _loose(text: bytes) -> bool:
    return bool(text.strip())


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn a break in the XML into :class:`NotPlainError`: the parser will tell where it is."""
    try:
        yield
    except etree.XMLSyntaxError:
        raise NotPlainError from None
