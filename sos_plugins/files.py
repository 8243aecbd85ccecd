"""Files that cannot be read, in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sos_plugins.errors import DataError


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the system says about a file that is read into a sentence.

    Raises:
        DataError: If the file is not there or no longer, is a folder, or may not be read.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError
        yield
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; a file was expected. Name the file in it.") from None
    except PermissionError:
        raise DataError(
            f"{path} may not be read by this user: permission is denied. Ask for the right to "
            "read it, or copy it to where you may."
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
