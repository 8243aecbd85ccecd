"""What a step of a study rests on, as hashes: its files, its tables, its settings, its program.

A path is a file for what it is called as well as for what it holds: a source may read an authority
or a year from the names of files and folders.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePath
from typing import Any, cast
from uuid import uuid4

import duckdb
import ibis
from ibis.expr import operations
from pydantic import BaseModel

from sos_plugins.cache.codec import CodecError, encode
from sos_plugins.contract.interfaces import Plugin, Requirement
from sos_plugins.contract.types import Records, Sample
from sos_plugins.errors import SosError
from sos_plugins.groundwork.installed import distribution_version
from sos_plugins.groundwork.plain import plain
from sos_plugins.host.distributions import (
    DISTRIBUTION,
    LOCAL,
    declared,
    distribution_of,
    owners_of_modules,
    versions,
    with_dependencies,
)
from sos_plugins.host.registry import Registry
from sos_plugins.r import client as r

CODE = (".py", ".R")


def hashed(*parts: Any) -> str:
    """Return a hash of texts, numbers, and lists and tables of them."""
    text = json.dumps([_simple(part) for part in parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def _simple(part: Any) -> Any:
    dump = getattr(part, "model_dump", None)
    return plain(dump(mode="json") if dump else part)


def of_value(value: Any) -> str:
    """Return a hash of anything that travels down the line (:mod:`sos_plugins.cache.codec`).

    What does not travel is like nothing else, and what rests on it is made anew in every run.
    """
    try:
        return hashlib.sha256(encode(value)).hexdigest()
    except CodecError:
        return uuid4().hex


def hashed_files(paths: Iterable[Path], base: Path | None = None) -> str:
    """Return a hash of names and contents of files; one that cannot be read counts as absent.

    Args:
        paths: The files.
        base: Folder of the study: the folders of a file below it are part of its name.
    """
    digest = hashlib.sha256()
    for name, path in sorted((_called(path, base), path) for path in paths):
        digest.update(f"\0{name}\0".encode("utf-8", "backslashreplace"))
        if path.is_file():  # a pipe would be waited for
            with suppress(OSError), path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _called(path: Path, base: Path | None) -> str:
    if base is None:
        return path.name
    with suppress(ValueError):
        return path.absolute().relative_to(base.absolute()).as_posix()
    return path.absolute().as_posix()


def of_settings(settings: Any, base: Path) -> str:
    """Return a hash of settings and of all that they name.

    A :class:`~pathlib.Path` names a file, or a folder with all that is in it; a text counts as
    the name of a file where there is one.

    Args:
        settings: A settings object, or texts, numbers, and lists and tables of them.
        base: Folder against which relative paths are resolved.
    """
    files = []
    for value in _leaves(settings):
        path = base / Path(value).expanduser()
        if os.path.isfile(path):  # noqa: PTH113 (any text may be asked)
            files.append(path)
        elif isinstance(value, PurePath) and path.is_dir():
            files += [inner for inner in path.rglob("*") if inner.is_file()]
    return hashed(settings, hashed_files(files, base))


def _leaves(value: Any) -> Iterator[str | PurePath]:
    """Yield every text and path in settings, lists and tables."""
    if isinstance(value, (str, PurePath)):
        with suppress(RuntimeError):  # a home of nobody
            Path(value).expanduser()
            yield value
    elif isinstance(value, BaseModel):
        for _, part in value:
            yield from _leaves(part)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(key)
            yield from _leaves(part)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for part in value:
            yield from _leaves(part)


def of_sample(sample: Sample) -> str:
    """Return a hash of a sample: its rows in order, its columns and its marks."""
    types = [[str(name), str(dtype)] for name, dtype in sample.frame.dtypes.items()]
    hashed_already = ("frame", "completed")
    marks = {
        f.name: getattr(sample, f.name) for f in fields(sample) if f.name not in hashed_already
    }
    return hashed(sample.data_hash, types, of_value(marks))


def of_records(records: Records, backend: Any) -> str:
    """Return a hash of records as they were read: every table, and all that is told of them."""
    tables = {name: _of_table(table, backend) for name, table in records.tables.items()}
    told = {f.name: getattr(records, f.name) for f in fields(records) if f.name != "tables"}
    return hashed(tables, of_value(told))


def _of_table(table: ibis.Table, backend: Any) -> list[str]:
    """Return the columns of a table, and what its rows add up to, whatever their order."""
    columns = [f"{name} {kind}" for name, kind in table.schema().items()]
    return [*columns, *(str(number) for number in _added_up(table, backend))]


def _added_up(table: ibis.Table, backend: Any) -> Sequence[Any]:
    """Return how many rows a table has, and the sums of their hashes."""
    if backend.name == "pyspark":  # its hash of several columns passes over missing ones
        rows = f"SELECT xxhash64(to_json(struct(*))) AS h FROM ({backend.compile(table)}) t"
        query = f"SELECT count(*), bit_xor(h), sum(cast(h AS DECIMAL(38, 0))) FROM ({rows}) h"
        return cast("Sequence[Any]", backend.raw_sql(query).collect()[0])
    query = "SELECT count(*), bit_xor(hash(t)), sum(hash(t)::HUGEINT) FROM {} t"
    if backend.name == "duckdb" and not table.op().find(operations.InMemoryTable):
        sums = backend.raw_sql(query.format(f"({backend.compile(table)})")).fetchall()
    else:
        with duckdb.connect() as con:
            con.register("rows", backend.to_pyarrow_batches(table))
            sums = con.execute(query.format("rows")).fetchall()
    return cast("Sequence[Any]", sums[0])


@dataclass(frozen=True)
class Program:
    """What computes a study: the code of its plugins and the versions of what they rest on.

    Attributes:
        code: Hash of Python, of the core and every plugin, and of the distributions they require.
        in_r: By R package that a plugin declares, the versions of R, of the package and of all
            that the package rests on; empty without R.
        versions: Versions of the distributions that plugins and engines name, and of all that
            these require, looked up once a run.
    """

    code: str = ""
    in_r: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, registry: Registry) -> Program:
        """Look at the plugins that are loaded."""
        named, in_r = declared(registry)
        config = registry.config.model_dump(mode="json")
        python = [sys.version, platform.machine()]
        code = hashed(python, config, _code(registry), versions(_distributions(registry)))
        return cls(code, r.beneath(in_r) if r.available() else {}, versions(named))

    def with_plugin(self, plugin: Plugin) -> str:
        """Return a hash of the program with what a plugin says decides its figures."""
        return hashed(self.code, self._needs(plugin.decides))

    def with_engine(self, registry: Registry, host: str, engine: str | None) -> str:
        """Return a hash of the program with an engine (None: the first that can run here)."""
        by_name = {one.name: one for one in registry.engines(host)}
        try:  # whether one that is named can run here, which may start R, need not be known
            chosen = by_name.get(engine or "") or registry.engine(host, engine)
        except SosError as error:
            return hashed(self.code, str(error))
        plugin = self.with_plugin(registry.engine_host(host))
        needs = self._needs((*chosen.requires, *chosen.decides))
        return hashed(plugin, chosen.name, needs, self._versions(chosen.packages))

    def _needs(self, needs: Iterable[Requirement]) -> Any:
        needs = list(needs)
        python = [distribution_of(need.name) for need in needs if need.language == "python"]
        in_r = [need.name for need in needs if need.language == "r"]
        return [self._versions(python), {name: self.in_r.get(name, "") for name in in_r}]

    def _versions(self, distributions: Iterable[str]) -> dict[str, str]:
        names = {below for name in distributions for below in with_dependencies(name)}
        return {
            name: self.versions.get(name) or distribution_version(name) for name in sorted(names)
        }


def _distributions(registry: Registry) -> set[str]:
    """Return the distributions of the core and the plugins, and those that strangers import."""
    owners = {info.distribution for info in registry.plugins.values()} - {LOCAL}
    files = [file for top in _of_strangers(registry) for file in _python_files(top)]
    return {DISTRIBUTION, *owners, *(distribution_of(name) for name in _imported(files))}


def _of_strangers(registry: Registry) -> set[Path]:
    """Return the code of the plugins that do not come with the core."""
    others = [info for info in registry.plugins.values() if info.distribution != DISTRIBUTION]
    return {_top_of(Path(info.file)) for info in others if info.file}


def _code(registry: Registry) -> list[str]:
    """Return hashes of the code of the core and of every plugin with what it imports from beside.

    Paths are no part of them: the same code elsewhere is the same.
    """
    files = {Path(info.file) for info in registry.plugins.values() if info.file}
    tops = {_CORE, *(_top_of(file) for file in files)}
    return sorted(_hash_of_code(top) for top in tops | _local_imports(registry))


_CORE = Path(__file__).resolve().parents[1]


def _top_of(file: Path) -> Path:
    """Return the top folder of the package a file belongs to, or the file itself."""
    top = file
    while (top.parent / "__init__.py").is_file():
        top = top.parent
    return top


def _hash_of_code(top: Path) -> str:
    """Return a hash of a package, or of a file with its neighbours, which may change any time."""
    if top.is_dir():
        return _hash_of_package(top)
    return hashed_files(p for p in top.parent.iterdir() if p.suffix in CODE)


@functools.cache
def _hash_of_package(top: Path) -> str:
    return hashed_files((p for p in top.rglob("*") if p.is_file() and p.suffix != ".pyc"), top)


def _local_imports(registry: Registry) -> set[Path]:
    """Return the code of nobody else's distribution that strangers' code imports, step by step."""
    own = {info.distribution for info in registry.plugins.values()} - {DISTRIBUTION}
    places: set[Path] = set()
    ahead = list(_of_strangers(registry))
    while ahead:
        top = ahead.pop()
        for name in _imported(_python_files(top)):
            place = _place_of(name, top.parent, own)
            if place is not None and place not in places:
                places.add(place)
                ahead.append(place)
    return places


def _place_of(module: str, beside: Path, own: Collection[str]) -> Path | None:
    """Return the package or file of a module, unless another distribution or Python has it."""
    if not {"site-packages", "dist-packages"} & set(beside.parts):
        for near in (beside / module, beside / f"{module}.py"):
            if near.exists():
                return near
    owners = owners_of_modules().get(module, [])
    if module in sys.stdlib_module_names or (owners and not set(owners) & set(own)):
        return None
    with suppress(ImportError, ValueError, AttributeError):
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.origin and Path(spec.origin).is_file():
            return _top_of(Path(spec.origin))
    return None


def _python_files(top: Path) -> Sequence[Path]:
    return sorted(top.rglob("*.py") if top.is_dir() else top.parent.glob("*.py"))


def _imported(files: Iterable[Path]) -> set[str]:
    """Return the top names of the modules that Python files import."""
    names = {name.split(".")[0] for file in files for name in _imports_of(file)}
    return names - {"", "__future__", _CORE.name}


def _imports_of(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
