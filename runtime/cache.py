"""What was built once is not built again: entries named by their content, checked whenever they are read.

    ROOT/entries/KEY/         the files of one build and manifest.json, which holds their sizes and sha256
    ROOT/facts/KIND/KEY.json  small records; KIND alias: a cheap key -> KEY, so that a later process needs no compiler
    ROOT/tools/NAME/          caches of other programs
    ROOT/building/            builds under way, each locked by its process; left-overs are swept
    ROOT/locks/KEY            held by the process that builds KEY

Nothing here needs trust in what is on the disk: what is damaged counts as absent, what others may write is refused.
"""
from __future__ import annotations

import atexit
import errno
import fcntl
import json
import os
import shutil
import stat
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from ..errors import DslError

T = TypeVar("T")
_MANIFEST = "manifest.json"
_LOCK_SECONDS = 600.0  # longer than any compiler may run; then build without the lock, since publishing is atomic anyway
_STALE_SECONDS = 3600.0
_FRESH_SECONDS = 5.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)


class NoSpace(DslError):
    """Raised inside a build whose disk is full: the cache then builds somewhere else."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One finished build.  `data` is what its `produce` returned."""

    key: str
    path: Path
    data: dict[str, Any]


def digest(*parts: str | bytes) -> str:
    """sha256 in hex of the parts; no two different lists of parts are hashed as the same bytes."""
    h = sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        h.update(b"%c%d:" % (b"s" if isinstance(part, str) else b"b", len(raw)))
        h.update(raw)
    return h.hexdigest()


def _seal(value: Any) -> bytes:
    body = json.dumps(value, separators=(",", ":")).encode()
    return b'{"sha256":"%s","body":%s}\n' % (sha256(body).hexdigest().encode(), body)


def _unseal(raw: bytes) -> Any:
    """The value that `_seal` was given; ValueError when a byte differs."""
    body = raw[84:-2]
    if raw != b'{"sha256":"%s","body":%s}\n' % (sha256(body).hexdigest().encode(), body):
        raise ValueError("damaged record")
    return json.loads(body)


def _check_owner(status: os.stat_result, path: str) -> None:
    """Raise DslError if another user may write what `status` describes."""
    if status.st_uid not in (os.geteuid(), 0):
        raise DslError(f"the build cache {path} belongs to another user ({status.st_uid}), so nothing in it is run",
                       hint="set DSLC_CACHE_DIR to a folder of your own")
    if status.st_mode & 0o022:
        raise DslError(f"the build cache {path} may be written by other users (mode {stat.S_IMODE(status.st_mode):o}), "
                       "so nothing in it is run", hint=f"chmod go-w {path}, or set DSLC_CACHE_DIR to a folder of your own")


def _read(path: str, size: int | None = None) -> bytes:
    """The bytes of a regular file that only this user can write and that has `size` bytes; else OSError or DslError."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(handle, "rb", buffering=0) as file:
        status = os.fstat(handle)
        _check_owner(status, path)
        if not stat.S_ISREG(status.st_mode) or size not in (None, status.st_size):
            raise OSError(errno.EIO, "not the file that was written", path)
        return file.read()


def _write(path: str, raw: bytes) -> None:
    """Put `raw` at `path` so that a reader sees all of it or what was there before."""
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    part = f"{path}.{os.urandom(6).hex()}.part"
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(raw)
        os.replace(part, path)
    except BaseException:
        _remove(part)
        raise


def _remove(path: str) -> None:
    """Remove a file or a folder, as far as it is there and ours."""
    shutil.rmtree(path, ignore_errors=True)
    _unlink(path)


def _unlink(path: str) -> bool:
    """Remove a file or an empty folder; whether it went."""
    for remove in (os.unlink, os.rmdir):
        with suppress(OSError):
            remove(path)
            return True
    return False


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sizes(folder: str) -> dict[str, int]:
    """Bytes of each file under `folder`; names that vanish meanwhile are passed over."""
    found = {}
    for base, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                found[os.path.join(base, name)] = os.lstat(os.path.join(base, name)).st_size
    return found


def _lock(handle: int) -> bool | None:
    """Try for the lock of an open file or folder; None where the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _same_file(handle: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False


@contextmanager
def _locked(path: str, seconds: float) -> Iterator[bool]:
    """Try that long to hold the lock file `path`, which the kernel lets go when the process dies; removed afterwards.

    Locks of open files also keep threads of one process apart.  A holder may have removed the file that we wait for, so
    only a lock on the file that bears the name counts.
    """
    deadline, pause = time.monotonic() + seconds, 0.002
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        held = _lock(handle) is not False and _same_file(handle, path)
        if held or time.monotonic() >= deadline:
            break
        os.close(handle)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    try:
        yield held
    finally:
        if held:
            _unlink(path)
        os.close(handle)


@contextmanager
def _workplace(root: str) -> Iterator[str]:
    """A new folder under `building`, locked while we live, removed afterwards unless it was renamed."""
    path = f"{root}/building/{os.urandom(8).hex()}"
    os.mkdir(path, 0o700)
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _lock(handle)
        yield path
    finally:
        _remove(path)
        os.close(handle)


def _sweep(root: str) -> int:
    """Remove the workplaces of builds that were killed; return how many are still at work."""
    alive = 0
    for name in _children(f"{root}/building"):
        path = f"{root}/building/{name}"
        with suppress(OSError):
            age = _age(path)
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            free = _lock(handle)
            if (free and age > _FRESH_SECONDS) or (free is None and age > _STALE_SECONDS):
                _remove(path)
            else:
                alive += 1
            os.close(handle)
    return alive


def _age(path: str) -> float:
    """Seconds since the last change; 0 for what is gone."""
    with suppress(OSError):
        return time.time() - os.lstat(path).st_mtime
    return 0.0


def _children(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _seal_folder(work: str, key: str, data: dict[str, Any]) -> None:
    """Write the manifest of the files in `work`, take them from other users, and bring all of it to the disk."""
    files = {}
    for path, size in _sizes(work).items():
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise DslError(f"a build left {path}, which is no regular file")
        os.chmod(path, os.stat(path).st_mode & 0o700)
        files[os.path.relpath(path, work)] = [size, sha256(_read(path, size)).hexdigest()]
        _sync(path)
    for base, _, _ in os.walk(work):
        os.chmod(base, 0o700)
    _write(f"{work}/{_MANIFEST}", _seal({"key": key, "files": files, "data": data}))
    _sync(f"{work}/{_MANIFEST}")
    _sync(work)


def _publish(work: str, target: str) -> None:
    """Give the finished folder its name.  What has the name already is damaged, or the same build without the lock."""
    try:
        os.rename(work, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        os.rename(target, f"{work}.old")
        os.rename(work, target)
        _remove(f"{work}.old")
    _sync(os.path.dirname(target))


def _load(root: str, key: str) -> Entry | None:
    folder = f"{root}/entries/{key}"
    try:
        status = os.lstat(folder)
        _check_owner(status, folder)
        body = _unseal(_read(f"{folder}/{_MANIFEST}"))
        whole = body["key"] == key and stat.S_ISDIR(status.st_mode) and all(
            sha256(_read(f"{folder}/{name}", size)).hexdigest() == sum for name, (size, sum) in body["files"].items())
    except (OSError, ValueError, LookupError, TypeError, DslError):
        return None
    return Entry(key, Path(folder), body["data"]) if whole else None


def default_root() -> str:
    """$DSLC_CACHE_DIR, else dslc in $XDG_CACHE_HOME (if absolute), else in ~/.cache."""
    chosen, base = os.environ.get("DSLC_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME", "")
    return os.path.abspath(chosen or os.path.join(base if base.startswith("/") else os.path.expanduser("~/.cache"), "dslc"))


def _own_folder() -> str:
    """A new folder that goes when this process ends; DslError when there is nowhere to make one."""
    reasons = []
    for base in dict.fromkeys([os.environ.get("TMPDIR") or "/tmp", "/tmp", "/var/tmp", "/dev/shm"]):
        path = f"{base}/dslc-{os.getpid()}-{os.urandom(6).hex()}"
        try:
            os.mkdir(path, 0o700)
        except OSError as error:
            reasons.append(str(error))
        else:
            atexit.register(_remove_in, os.getpid(), path)
            return path
    raise DslError(f"there is no folder to build in: {'; '.join(reasons)}", hint="set TMPDIR or DSLC_CACHE_DIR to a writable folder")


def _remove_in(process: int, path: str) -> None:
    if os.getpid() == process:  # a forked child inherits the exit handlers, not the folder
        _remove(path)


def _exposed(root: str) -> str:
    """The folder above `root` in which every user could put another folder in its place, or ""."""
    for folder in Path(root).parents:
        with suppress(OSError):
            mode = folder.stat().st_mode
            if stat.S_ISDIR(mode) and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                return str(folder)
    return ""


def _prepared(root: str) -> str:
    """`root` with its folders, none of which other users may enter whatever the umask is."""
    os.makedirs(root, 0o700, exist_ok=True)
    _check_owner(os.stat(root), root)
    for name in ("entries", "facts", "tools", "building", "locks"):
        with suppress(FileExistsError):
            os.mkdir(f"{root}/{name}", 0o700)
    return root


class Cache:
    """The cache at `root` (default: `default_root()`); threads and processes may share it.

    Raises DslError at once if others may write the root.  A root that cannot be used costs one warning: this process
    then keeps its builds in a folder of its own, so that every call still works.
    """

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = default_root() if root is None else os.path.abspath(root)
        self._private: tuple[int, str] | None = None
        self._read_root = self._write_root = True
        with suppress(OSError):
            _check_owner(os.stat(self.root), self.root)
        above = _exposed(self.root)
        if above:
            self._read_root = False
            self._give_up(f"every user can rename what is in {above}")

    def _give_up(self, reason: str) -> None:
        if self._write_root:
            self._write_root = False
            warnings.warn(f"dslc cannot write its build cache {self.root}: {reason}; "
                          "what this process builds is gone when it ends (DSLC_CACHE_DIR names another place)", RuntimeWarning, stacklevel=2)

    def _roots(self) -> list[str]:
        private = [self._private[1]] if self._private and self._private[0] == os.getpid() else []
        return [self.root, *private] if self._read_root else private

    def _own(self) -> str:
        if self._private is None or self._private[0] != os.getpid():
            self._private = os.getpid(), _own_folder()
        return self._private[1]

    def _writing(self, action: Callable[[str], T]) -> T:
        """action(root), in a private root once the real one fails; DslError if that fails as well."""
        if self._write_root:
            try:
                return action(_prepared(self.root))
            except (OSError, NoSpace) as error:
                self._give_up(str(error))
        try:
            return action(_prepared(self._own()))
        except (OSError, NoSpace) as error:
            raise DslError(f"cannot build in {self._own()}: {error}", hint="free some space, or set TMPDIR to a disk with room") from error

    def get(self, key: str) -> Entry | None:
        """The entry of `key`, every byte of it checked against the manifest; None if absent, damaged or not ours."""
        found = (_load(root, key) for root in self._roots())
        return next((entry for entry in found if entry), None)

    def build(self, key: str, produce: Callable[[Path], dict[str, Any]]) -> Entry:
        """The entry of `key`, made by `produce` if it is absent or damaged.

        produce(folder) writes the files and returns JSON data for the manifest.  Only one process or thread builds a key
        at a time; the others wait.  What `produce` raises leaves nothing behind; an OSError becomes a DslError, and it may
        be called again, elsewhere, after NoSpace or an OSError that means the same.
        """
        return self._writing(lambda root: self._build(root, key, produce))

    def _build(self, root: str, key: str, produce: Callable[[Path], dict[str, Any]]) -> Entry:
        with _locked(f"{root}/locks/{_name(key)}", _LOCK_SECONDS):
            found = self.get(key)
            if found:
                return found
            _sweep(root)
            with _workplace(root) as work:
                try:
                    data = produce(Path(work))
                except OSError as error:
                    kind = NoSpace if error.errno in _FULL else DslError
                    raise kind(f"the build failed: {error}") from error
                _seal_folder(work, key, data)
                _publish(work, f"{root}/entries/{key}")
            made = _load(root, key)
        if made is None:
            raise OSError(errno.EIO, "what was just written reads back differently", f"{root}/entries/{key}")
        return made

    def alias(self, short: str) -> Entry | None:
        """The entry that `set_alias` tied to `short`, if both are whole."""
        key = self.recall("alias", short)
        return self.get(key) if isinstance(key, str) else None

    def set_alias(self, short: str, key: str) -> None:
        """Let `short` lead to the entry of `key`."""
        self.remember("alias", short, key)

    def remember(self, kind: str, key: str, value: Any) -> None:
        """Keep the JSON value under (kind, key), as well as can be: a failure to write is no error."""
        name = f"facts/{_name(kind)}/{_name(key)}.json"
        with suppress(DslError):
            self._writing(lambda root: _write(f"{root}/{name}", _seal([kind, key, value])))

    def recall(self, kind: str, key: str) -> Any:
        """What `remember` kept, or None if it is absent or damaged."""
        for root in self._roots():
            with suppress(OSError, ValueError, DslError):
                found = _unseal(_read(f"{root}/facts/{kind}/{key}.json"))
                if found[:2] == [kind, key]:
                    return found[2]
        return None

    def folder(self, tool: str) -> Path:
        """A folder for the cache of another program."""
        def make(root: str) -> Path:
            path = Path(root, "tools", _name(tool))
            path.mkdir(0o700, parents=True, exist_ok=True)
            return path

        return self._writing(make)

    def info(self) -> dict[str, Any]:
        """path, writable, entries, aliases, bytes: what `dslc cache` shows."""
        facts = _children(f"{self.root}/facts/alias")
        return {"path": self.root, "writable": self._write_root, "entries": len(_children(f"{self.root}/entries")),
                "aliases": sum(name.endswith(".json") for name in facts), "bytes": sum(_sizes(self.root).values())}

    def clear(self) -> int:
        """Remove every entry and record, and other programs' caches unless a build is under way; return the bytes.

        Builds under way go on.  An entry vanishes as a whole, but it may do so between `get` and the use of its files.
        """
        facts = {p: n for p, n in _sizes(f"{self.root}/facts").items() if p.endswith(".json") or _age(p) > _STALE_SECONDS}
        gone = sum(size for path, size in facts.items() if _unlink(path))
        for key in _children(f"{self.root}/entries"):
            with suppress(OSError), _locked(f"{self.root}/locks/{key}", 0) as held:
                gone += self._discard(f"entries/{key}") if held else 0
        if not _sweep(self.root):
            gone += sum(self._discard(f"tools/{name}") for name in _children(f"{self.root}/tools"))
        return gone

    def _discard(self, folder: str) -> int:
        trash = f"{self.root}/building/{os.urandom(8).hex()}"
        try:
            os.rename(f"{self.root}/{folder}", trash)
        except OSError:
            return 0
        size = sum(_sizes(trash).values())
        _remove(trash)
        return size


def _name(key: str) -> str:
    if not (key.isascii() and key.replace("_", "").replace("-", "").isalnum()):
        raise ValueError(f"{key!r} cannot name a file of the cache")
    return key


_SHARED: dict[str, Cache] = {}


def shared_cache() -> Cache:
    """The one Cache of this process for the root that the environment names now."""
    root = default_root()
    return _SHARED.get(root) or _SHARED.setdefault(root, Cache(root))
