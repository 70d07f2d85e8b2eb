"""Files that a command may replace, because it wrote them and they have not changed since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnn_jax import whole_file
from cnn_jax.config.parsing import ConfigError

MANIFEST = "written_by_inspect.json"


class OwnFiles:
    """A folder of files written by one command, with a manifest of their digests."""

    def __init__(self, folder: Path, flag: str):
        """Creates the folder, or checks that an existing one was written by the command.

        Args:
          folder: The folder.
          flag: Flag that names the folder, for error messages.

        Raises:
          ConfigError: If it is not a folder, cannot be written, or holds other files.
        """
        self._folder = folder
        if folder.exists() and not folder.is_dir():
            raise ConfigError([f"{flag}: {folder} is a file, expected a folder"])
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._known = self._read_manifest(flag)
            self._write_manifest(self._known)
        except OSError as error:
            raise ConfigError([f"{flag}: cannot write to {folder}: {error.strerror}"]) from error

    def write(self, files: Mapping[str, bytes]) -> None:
        """Writes files atomically, and removes older files of the command that are not among them.

        Args:
          files: Contents by name.

        Raises:
          FileExistsError: If a file that the command did not write has one of the names; nothing is written then.
          OSError: If a file cannot be written; the error names it.
        """
        for name in files:
            if name not in self._known and (self._folder / name).exists():
                path = str(self._folder / name)
                raise FileExistsError(17, "this command did not write it; move it away, or name another folder", path)
        digests = {name: [_digest(content)] for name, content in files.items()}
        # Every written file is in the manifest, even if the process is killed.
        self._write_manifest(
            {name: self._known.get(name, []) + digests.get(name, []) for name in {**self._known, **digests}}
        )
        for name, content in files.items():
            whole_file.write(self._folder / name, content)
        for name in self._known.keys() - files.keys():
            (self._folder / name).unlink(missing_ok=True)
        self._write_manifest(digests)

    def _read_manifest(self, flag: str) -> dict[str, list[str]]:
        """Reads the manifest; empty for a new folder."""
        try:
            known: Any = json.loads((self._folder / MANIFEST).read_text())
        except FileNotFoundError:
            if others := sorted(path.name for path in self._folder.iterdir() if not path.name.startswith(".")):
                fault = f"{self._folder} has files that this command did not write ({others[0]}, ...)"
                raise ConfigError([f"{flag}: {fault}; name a new or an empty folder"]) from None
            return {}
        except ValueError:
            known = None
        if not isinstance(known, dict) or not all(isinstance(each, list) for each in known.values()):
            raise ConfigError([f"{flag}: {self._folder / MANIFEST} is damaged; move the folder away, or name another"])
        for name, digests in known.items():
            path = self._folder / Path(name).name
            if path.exists() and (not path.is_file() or _digest(path.read_bytes()) not in digests):
                raise ConfigError(
                    [f"{flag}: {path} was changed since this command wrote it; move it away, or name another folder"]
                )
        return {Path(name).name: digests for name, digests in known.items()}

    def _write_manifest(self, digests: Mapping[str, list[str]]) -> None:
        text = json.dumps({name: list(dict.fromkeys(each)) for name, each in sorted(digests.items())}, indent=1)
        whole_file.write(self._folder / MANIFEST, f"{text}\n".encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
