"""What the files of a folder are, as the sources know them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sos_plugins.contract.session import Session
from sos_plugins.contract.types import FileDescription
from sos_plugins.errors import DataError, StudyError, listing
from sos_plugins.host.registry import Registry


def describe_folder(
    registry: Registry, folder: Path, source: str | None = None
) -> Mapping[str, tuple[FileDescription, ...]]:
    """Ask the sources what each file of a folder is.

    Args:
        registry: The sources.
        folder: The folder, searched through.
        source: Name of the one source to ask; all that can tell by default.

    Returns:
        The descriptions of each source that can tell, by its name. A file that one source knows is
        not listed as unknown by the others.

    Raises:
        NotRegisteredError: If there is no source of that name.
        StudyError: If the source named, or every source, cannot tell.
        DataError: If the folder is not there, or a file in it cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. Name the folder that holds the files.")
    session = Session(base=folder)
    names = [offer.name for offer in registry.offers("source")] if source is None else [source]
    told = {}
    for name in names:
        described = registry.source(name).describe_files(folder, session)
        if described is not None:
            told[name] = tuple(described)
    if not told:
        raise StudyError(
            f"{listing(names)} cannot tell what the files of a folder are: "
            "sos-plugins profile --source NAME reads them and tells what is wrong."
        )
    known = {one.file for described in told.values() for one in described if one.is_known}
    return {
        name: tuple(one for one in described if one.is_known or one.file not in known)
        for name, described in told.items()
    }
