"""The build cache: shared by processes, healed when damaged, refused when others may write it, never in the way."""
from __future__ import annotations

import builtins
import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dslc.errors import DslError
from dslc.runtime import cache as module
from dslc.runtime.cache import Cache, NoSpace, default_root, digest, shared_cache

KEY = digest("a kernel")


def produce(folder: Path) -> dict[str, Any]:
    (folder / "kernel.so").write_bytes(b"\x7fELF" + b"code" * 1000)
    (folder / "deep").mkdir()
    (folder / "deep" / "kernel.cpp").write_text("int x;\n")
    return {"grid": [1, 2]}


def never(folder: Path) -> dict[str, Any]:
    raise AssertionError("built again")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "root")


def processes(root: Path, code: str, count: int = 1) -> list[subprocess.Popen[str]]:
    prelude = ("import os, signal, sys, time, warnings; from pathlib import Path; from dslc.runtime.cache import Cache; "
               f"warnings.simplefilter('error'); root = {str(root)!r}; key = {KEY!r}\n")
    return [subprocess.Popen([sys.executable, "-c", prelude + code], stdout=subprocess.PIPE, text=True) for _ in range(count)]


def everything(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_digest_tells_parts_apart() -> None:
    lists: list[tuple[str | bytes, ...]] = [(), ("",), ("", ""), ("a", "b"), ("ab",), ("", "ab"), ("ab", ""), (b"ab",), (b"a", b"b"), ("a", b"b"),
                                            ("s1:a",), ("as1:b",), ("\udc80",)]
    assert len({digest(*parts) for parts in lists}) == len(lists)
    assert re.fullmatch("[0-9a-f]{64}", digest("a")) and digest("a") == digest("a")


def test_build_once_then_find(cache: Cache) -> None:
    assert cache.get(KEY) is None
    made = cache.build(KEY, produce)
    assert made.data == {"grid": [1, 2]} and (made.path / "deep/kernel.cpp").read_text() == "int x;\n"
    assert cache.build(KEY, never) == made == Cache(cache.root).get(KEY)
    assert everything(Path(cache.root)) == [f"entries/{KEY}/{n}" for n in ("deep/kernel.cpp", "kernel.so", "manifest.json")]


def test_nobody_else_may_enter(cache: Cache) -> None:
    before = os.umask(0)
    try:
        made = cache.build(KEY, lambda folder: (produce(folder), (folder / "kernel.so").chmod(0o777))[0])
        cache.set_alias("a", KEY)
    finally:
        os.umask(before)
    paths = [Path(cache.root), *Path(cache.root).rglob("*")]
    assert made and all(p.stat().st_mode & 0o077 == 0 for p in paths if p.parent != Path(cache.root).parent), paths


def test_a_failed_build_leaves_nothing(cache: Cache) -> None:
    def fail(folder: Path) -> dict[str, Any]:
        produce(folder)
        raise DslError("no such thing")

    for error in (DslError, KeyboardInterrupt):
        with pytest.raises(error):
            cache.build(KEY, lambda folder, error=error: fail(folder) if error is DslError else (_ for _ in ()).throw(error))  # type: ignore[misc]
        assert everything(Path(cache.root)) == [] and cache.get(KEY) is None
    assert cache.build(KEY, produce)


def test_an_error_of_the_build_is_not_blamed_on_the_cache(cache: Cache) -> None:
    with warnings.catch_warnings(), pytest.raises(DslError, match=r"build failed.*gone\.h"):
        warnings.simplefilter("error")
        cache.build(KEY, lambda folder: {"x": (folder / "gone.h").read_text()})
    assert cache.info()["writable"]


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda e: os.truncate(e / "kernel.so", 100),
    "a bit flipped": lambda e: (e / "kernel.so").write_bytes((e / "kernel.so").read_bytes().replace(b"codecode", b"codecodf", 1)),
    "missing": lambda e: (e / "deep/kernel.cpp").unlink(),
    "emptied": lambda e: (e / "kernel.so").write_bytes(b""),
    "no manifest": lambda e: (e / "manifest.json").unlink(),
    "manifest cut": lambda e: os.truncate(e / "manifest.json", 90),
    "manifest empty": lambda e: os.truncate(e / "manifest.json", 0),
    "manifest changed": lambda e: (e / "manifest.json").write_bytes((e / "manifest.json").read_bytes().replace(b"[1,2]", b"[1,3]")),
    "another's manifest": lambda e: (e / "manifest.json").write_bytes(module._seal({"key": "b", "files": {}, "data": {}})),
    "a link": lambda e: ((e / "kernel.so").rename(e / "x"), (e / "kernel.so").symlink_to(e / "x")),
    "a pipe": lambda e: ((e / "kernel.so").unlink(), os.mkfifo(e / "kernel.so")),
    "writable by all": lambda e: (e / "kernel.so").chmod(0o666),
    "folder writable by all": lambda e: e.chmod(0o777),
    "a file": lambda e: (module._remove(str(e)), e.write_text("")),
    "an empty folder": lambda e: (module._remove(str(e)), e.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_seen_and_healed(cache: Cache, damage: str) -> None:
    DAMAGE[damage](cache.build(KEY, produce).path)
    assert cache.get(KEY) is None
    assert cache.build(KEY, produce).data == {"grid": [1, 2]}
    assert cache.build(KEY, never) and len(everything(Path(cache.root))) == 3


def test_alias_and_records(cache: Cache) -> None:
    cache.build(KEY, produce)
    cache.set_alias("short", KEY)
    cache.remember("signature", "k1", {"args": ["x"]})
    again = Cache(cache.root)
    found = again.alias("short")
    assert found and found.key == KEY and again.recall("signature", "k1") == {"args": ["x"]}
    assert again.alias("other") is None and again.recall("signature", "k2") is None and again.recall("other", "k1") is None
    assert again.info() == {"path": cache.root, "writable": True, "entries": 1, "aliases": 1, "bytes": again.info()["bytes"]}
    os.truncate(f"{cache.root}/facts/alias/short.json", 30)
    Path(f"{cache.root}/facts/signature/k1.json").write_text("{}")
    assert again.alias("short") is None and again.recall("signature", "k1") is None


def test_a_record_of_another_key_is_not_taken(cache: Cache) -> None:
    cache.remember("alias", "a", "b")
    os.rename(f"{cache.root}/facts/alias/a.json", f"{cache.root}/facts/alias/c.json")
    assert cache.recall("alias", "c") is None


@pytest.mark.parametrize("key", ["", "../x", "a/b", "a.b", "a\0b"])
def test_keys_are_names(cache: Cache, key: str) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        cache.build(key, produce)


def test_two_processes_build_once(tmp_path: Path) -> None:
    code = """
def produce(folder):
    time.sleep(0.3)
    (folder / "k").write_text("x")
    print("built")
    return {"by": os.getpid()}
print("of", Cache(root).build(key, produce).data["by"])
"""
    outputs = [p.communicate(timeout=20)[0].split() for p in processes(tmp_path / "root", code, 4)]
    assert sorted(word for out in outputs for word in out).count("built") == 1
    assert len({out[-1] for out in outputs}) == 1


def test_threads_build_once(cache: Cache) -> None:
    made = []

    def slow(folder: Path) -> dict[str, Any]:
        made.append(1)
        time.sleep(0.05)
        return produce(folder)

    threads = [threading.Thread(target=cache.build, args=(KEY, slow)) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert made == [1] and cache.get(KEY)


def test_without_locks_the_last_one_wins(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(module.fcntl, "flock", no_locks)

    def meanwhile(folder: Path) -> dict[str, Any]:
        Cache(cache.root).build(KEY, produce)
        return produce(folder)

    assert cache.build(KEY, meanwhile).data == {"grid": [1, 2]} and cache.get(KEY)


def test_a_killed_build_harms_nobody(tmp_path: Path) -> None:
    root = tmp_path / "root"
    code = """
def produce(folder):
    (folder / "k").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
Cache(root).build(key, produce)
"""
    (child,) = processes(root, code)
    assert child.stdout and child.stdout.readline() == "ready\n"
    cache = Cache(root)
    assert cache.get(KEY) is None and cache.clear() == 0
    (work,) = (root / "building").iterdir()
    os.utime(work, (0, 0))
    module._sweep(str(root))
    assert work.exists(), "a build under way was swept"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    begun = time.monotonic()
    assert cache.build(KEY, produce).data == {"grid": [1, 2]}
    assert time.monotonic() - begun < 2 and not work.exists()


BLOCKED = {"under a file": "file/root", "in /proc": "/proc/dslc", "in nowhere": "/dev/null/x", "a file": "file"}


@pytest.mark.parametrize("place", BLOCKED)
def test_an_unusable_root_costs_one_warning(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / BLOCKED[place])
    with pytest.warns(RuntimeWarning, match="cannot write its build cache") as caught:
        assert cache.build(KEY, produce).data == {"grid": [1, 2]}
        cache.set_alias("short", KEY)
        assert cache.build(KEY, never) == cache.alias("short") == cache.get(KEY)
        assert cache.folder("zig").is_dir()
    assert len(caught) == 1 and not cache.info()["writable"] and cache.clear() == 0


def test_the_private_folder_goes_with_the_process(tmp_path: Path) -> None:
    code = """
warnings.simplefilter('ignore')
print(Cache('/proc/x').build(key, lambda folder: {}).path, flush=True)
if os.fork() == 0:
    sys.exit()
os.wait()
assert Path(Cache('/proc/x').root) and os.path.isdir(os.environ["TMPDIR"]) and len(os.listdir(os.environ["TMPDIR"])) == 1
"""
    os.environ["TMPDIR"], before = str(tmp_path), os.environ.get("TMPDIR")
    try:
        (child,) = processes(tmp_path, code)
    finally:
        os.environ.pop("TMPDIR") if before is None else os.environ.update(TMPDIR=before)
    out = child.communicate()[0]
    assert child.returncode == 0 and str(tmp_path) in out and os.listdir(tmp_path) == []


def test_no_folder_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str, *_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", path)

    monkeypatch.setattr(os, "mkdir", full)
    with pytest.warns(RuntimeWarning), pytest.raises(DslError, match=r"no folder to build in.*No space left.*/tmp"):
        Cache(tmp_path / "root").build(KEY, produce)


class Full:
    """A disk that has no room under `root` for anything but folders."""

    def __init__(self, root: str) -> None:
        self.root, self.open = root, builtins.open

    def __call__(self, file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        if mode == "wb" and os.readlink(f"/proc/self/fd/{file}").startswith(self.root):
            os.close(file)
            raise OSError(errno.ENOSPC, "No space left on device", self.root)
        return self.open(file, mode, *args, **options)


def test_a_full_disk_while_writing(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    old = cache.build(digest("old"), produce)
    monkeypatch.setattr(module, "open", Full(cache.root), raising=False)
    with pytest.warns(RuntimeWarning, match="No space left"):
        made = cache.build(KEY, produce)
    assert not str(made.path).startswith(cache.root) and cache.get(KEY) == made
    assert cache.get(digest("old")) == old, "what is on the full disk can still be read"
    assert [n for n in everything(Path(cache.root)) if digest("old") not in n] == []


@pytest.mark.parametrize("error", [NoSpace("the disk is full"), OSError(errno.ENOSPC, "No space left on device")])
def test_a_full_disk_while_compiling(cache: Cache, error: Exception) -> None:
    def build(folder: Path) -> dict[str, Any]:
        if str(folder).startswith(cache.root):
            raise error
        return produce(folder)

    with pytest.warns(RuntimeWarning, match="disk is full|No space left"):
        assert cache.build(KEY, build).data == {"grid": [1, 2]}


def test_every_disk_full(cache: Cache) -> None:
    def build(folder: Path) -> dict[str, Any]:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "k.so"))

    with pytest.warns(RuntimeWarning), pytest.raises(DslError, match=r"cannot build in .*No space left.*k\.so"):
        cache.build(KEY, build)


def test_records_never_stop_anyone(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open", Full("/"), raising=False)
    with pytest.warns(RuntimeWarning):
        cache.remember("signature", "k", 1)
    assert cache.recall("signature", "k") is None


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_root_that_others_write_is_refused(tmp_path: Path, mode: int) -> None:
    Cache(tmp_path).build(KEY, produce)
    tmp_path.chmod(mode)
    with pytest.raises(DslError, match="may be written by other users") as caught:
        Cache(tmp_path)
    assert "chmod" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_others_is_refused(tmp_path: Path) -> None:
    made = Cache(tmp_path).build(KEY, produce)
    os.chown(made.path / "kernel.so", 12345, -1)
    assert Cache(tmp_path).get(KEY) is None
    os.chown(tmp_path, 12345, -1)
    with pytest.raises(DslError, match="another user"):
        Cache(tmp_path)


def test_a_root_that_others_can_swap_is_not_used(tmp_path: Path) -> None:
    root = tmp_path / "open" / "root"
    Cache(root).build(KEY, produce)
    (tmp_path / "open").chmod(0o777)
    with pytest.warns(RuntimeWarning, match="every user can rename"):
        cache = Cache(root)
    assert cache.get(KEY) is None and not str(cache.build(KEY, produce).path).startswith(str(root))


def test_clear_while_others_work(tmp_path: Path) -> None:
    code = """
for i in range(60):
    made = Cache(root).build(f"k{i % 3}", lambda folder: ((folder / "k").write_text("x" * 1000), {})[1])
    Cache(root).set_alias(f"a{i % 3}", made.key)
"""
    workers = processes(tmp_path / "root", code, 2)
    cache, gone = Cache(tmp_path / "root"), 0
    while any(w.poll() is None for w in workers):
        gone += cache.clear()
    assert [w.wait() for w in workers] == [0, 0] and gone > 0
    cache.clear()
    assert cache.info()["entries"] == cache.info()["aliases"] == 0


def test_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("DSLC_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_root() == "/home/somebody/.cache/dslc"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_root() == "/home/somebody/.cache/dslc"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/x")
    assert default_root() == "/var/x/dslc"
    monkeypatch.setenv("DSLC_CACHE_DIR", str(tmp_path))
    assert default_root() == str(tmp_path) and shared_cache() is shared_cache()
    monkeypatch.setenv("DSLC_CACHE_DIR", str(tmp_path / "b"))
    assert shared_cache().root == str(tmp_path / "b")
