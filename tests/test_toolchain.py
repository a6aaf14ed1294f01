"""Compilers are found in order, tried once, and their failures said in the user's terms."""
from __future__ import annotations

import ctypes
import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from dslc.backends.common import toolchain
from dslc.backends.common.toolchain import STRICT, Compiler, all_compilers, candidates, compile, explain, find_compiler
from dslc.errors import DslError
from dslc.runtime.cache import Cache, NoSpace, shared_cache

KERNEL = """#include <math.h>
#include <stdint.h>
#include <string.h>
extern "C" __attribute__((visibility("default"))) float total(const float *x, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += expf(x[i]) * (float)(n / (i + 1));
  return sum;
}
"""
THREADS = """#include <pthread.h>
static void *run(void *p) { *(int *)p = 42; return p; }
__attribute__((visibility("default"))) int spawn(void) {
  int value = 0;
  pthread_t thread;
  if (pthread_create(&thread, 0, run, &value)) return -1;
  pthread_join(thread, 0);
  return value;
}
"""
VARIABLES = ("DSLC_CXX", "DSLC_CXX_FLAGS")
WORKING = all_compilers()


@pytest.fixture(params=WORKING, ids=[c.name for c in WORKING])
def compiler(request: pytest.FixtureRequest) -> Compiler:
    found: Compiler = request.param
    return found


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No settings, an empty PATH in the folder that is returned, no wheel, a cache of its own."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("DSLC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    return tmp_path / "bin"


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def real() -> str:
    return WORKING[0].command[0]


def passing_on(path: Path, before: str = "") -> Path:
    """A program that is the real compiler after doing something of its own.  Skips where only a wheel compiles: its driver takes a sub-command."""
    if len(WORKING[0].command) > 1:
        pytest.skip("no system compiler to stand in for")
    return script(path, f'{before}\nPATH=/usr/bin:/bin; export PATH; exec {real()} "$@"')


def built(compiler: Compiler, folder: Path, text: str, name: str = "k.cpp", *flags: str) -> ctypes.CDLL:
    (folder / name).write_text(text)
    compile(compiler, [folder / name], folder / "k.so", extra_flags=(*STRICT, *flags))
    return ctypes.CDLL(str(folder / "k.so"))


def test_each_compiler_builds_what_runs(compiler: Compiler, tmp_path: Path) -> None:
    library = built(compiler, tmp_path, KERNEL)
    library.total.restype = ctypes.c_float
    assert library.total((ctypes.c_float * 2)(0, 0), ctypes.c_int64(2)) == 3
    assert sorted(os.listdir(tmp_path)) == ["k.cpp", "k.so"]


def test_c_with_threads(compiler: Compiler, tmp_path: Path) -> None:
    assert built(compiler, tmp_path, THREADS, "threads.c", "-lpthread").spawn() == 42


def test_integers_wrap_and_nothing_traps(compiler: Compiler, tmp_path: Path) -> None:
    library = built(compiler, tmp_path, 'extern "C" __attribute__((visibility("default"))) int next(int x) { return x + 1 > x ? x + 1 : -7; }\n')
    assert library.next(2**31 - 1) == -7


def test_products_are_rounded_before_they_are_added(compiler: Compiler, tmp_path: Path) -> None:
    library = built(compiler, tmp_path, 'extern "C" __attribute__((visibility("default"))) double fma3(double a, double b, double c) { return a * b + c; }\n')
    library.fma3.restype, library.fma3.argtypes = ctypes.c_double, [ctypes.c_double] * 3
    a = 1 + 2.0**-30
    assert library.fma3(a, a, -(a * a)) == 0.0


def test_only_what_is_exported_is_seen(compiler: Compiler, tmp_path: Path) -> None:
    library = built(compiler, tmp_path, 'extern "C" int hidden() { return 1; }\n' + KERNEL)
    assert library.total and not hasattr(library, "hidden")


def test_identity_follows_the_file_the_flags_and_the_processor(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = str(passing_on(clean / "g++"))
    first = Compiler("g++", (program,), "12", ("-O3",), "")
    assert first.identity == Compiler("g++", (program,), "other", ("-O3",), "another reason").identity
    seen = {first.identity, replace(first, flags=("-O2",)).identity, replace(first, command=("ccache", program)).identity}
    os.utime(program, (5, 5))
    seen.add(replace(first, name="later").identity)
    monkeypatch.setattr(toolchain, "cpu", lambda: "another processor")
    seen.add(replace(first, name="elsewhere").identity)
    assert len(seen) == 5


def test_the_processor_is_told_by_its_features() -> None:
    assert os.uname().machine in toolchain.cpu() and len(toolchain.cpu().splitlines()) > 1


def test_a_compiler_is_tried_once_for_all_processes(clean: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    passing_on(clean / "g++", f"echo x >> {calls}")
    assert find_compiler() is find_compiler() and find_compiler().name == "g++"
    once = calls.read_text()
    code = ("import importlib.util as u; f = u.find_spec; u.find_spec = lambda n: None if n == 'ziglang' else f(n); "
            "from dslc.backends.common.toolchain import *; print(find_compiler().identity)")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert calls.read_text() == once and out.strip() == find_compiler().identity


def test_the_order(clean: Path) -> None:
    for name in ("g++", "clang++"):
        passing_on(clean / name, 'for a; do shift; [ "$a" = -nostdlib++ ] || set -- "$@" "$a"; done  # which g++ 12 does not know')
    assert find_compiler().name == "clang++"
    assert [(row["name"], row["chosen"], row["found"]) for row in candidates()] == [
        ("clang++", True, True), ("g++", False, True), ("zig c++", False, False)]
    assert [c.name for c in all_compilers()] == ["clang++", "g++"]


def test_a_broken_compiler_on_the_path_is_passed_over(clean: Path) -> None:
    script(clean / "clang++", "echo 'ld: cannot find -lc' >&2; exit 1")
    passing_on(clean / "g++")
    assert find_compiler().name == "g++"
    row = candidates()[0]
    assert not row["found"] and "cannot find -lc" in row["reason"] and not row["chosen"]


def test_no_compiler_at_all(clean: Path) -> None:
    with pytest.raises(DslError, match=r"no C\+\+ compiler.*clang\+\+: not on PATH.*wheel ziglang") as caught:
        find_compiler()
    for way in ("apt-get install g++", "DSLC_CXX", "dslc[toolchains]"):
        assert way in caught.value.hint
    assert all_compilers() == [] and not any(row["found"] for row in candidates())


@pytest.mark.parametrize(("value", "reason"), [
    ("/no/such/compiler -O1", "no program '/no/such/compiler'"), ("nonsense++", "no program"), ("/bin/false", "wrote no library"),
    ("/bin/true", "wrote no library"), ("'unbalanced", "split into words"), ("'  '", "no program"), ("/etc/passwd", "no program")])
def test_a_broken_choice_is_not_passed_over(clean: Path, monkeypatch: pytest.MonkeyPatch, value: str, reason: str) -> None:
    passing_on(clean / "g++")
    monkeypatch.setenv("DSLC_CXX", value)
    with pytest.raises(DslError, match=reason) as caught:
        find_compiler()
    assert "DSLC_CXX" in caught.value.message


def test_a_choice_with_arguments(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = passing_on(clean / "my compiler", '[ "$1" = -DX="a b" ] || exit 3')
    monkeypatch.setenv("DSLC_CXX", f"'{program}' '-DX=a b'")
    monkeypatch.setenv("DSLC_CXX_FLAGS", "-g '-DY=$(touch /tmp/never) z'")
    found = find_compiler()
    assert found.command == (str(program), "-DX=a b") and found.flags[-2:] == ("-g", "-DY=$(touch /tmp/never) z")
    assert found.why == "DSLC_CXX names it" and not os.path.exists("/tmp/never")


def test_a_compiler_for_another_machine(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = script(clean / "cross++", 'for last; do [ "$before" = -o ] && out=$last; before=$last; done; [ "$out" ] && printf "%020d" 0 > "$out"; exit 0')
    monkeypatch.setenv("DSLC_CXX", str(program))
    with pytest.raises(DslError, match="another machine"):
        find_compiler()


BAD = """// matmul.py:3: def matmul(a, b):
void f() {
  // matmul.py:7: acc += a @ b
  float4 acc;
  acc = 1;
}
"""


def test_an_error_quotes_both_lines(compiler: Compiler, tmp_path: Path) -> None:
    with pytest.raises(DslError) as caught:
        built(compiler, tmp_path, BAD)
    text = str(caught.value)
    assert "float4" in text.splitlines()[0] and f"{tmp_path}/k.cpp:4: float4 acc;" in text and "from matmul.py:7: acc += a @ b" in text
    assert os.listdir(tmp_path) == ["k.cpp"]


def test_an_error_through_line_directives(compiler: Compiler, tmp_path: Path) -> None:
    with pytest.raises(DslError) as caught:
        built(compiler, tmp_path, 'void f() {\n#line 12 "my kernel.py"\n  int x = 1; (void)x;\n  return missing;\n#line 3 "other.py"\n}\n')
    assert f"{tmp_path}/k.cpp:4: return missing;" in str(caught.value)


def test_explain_what_it_can(tmp_path: Path) -> None:
    source = tmp_path / "k.cpp"
    assert explain("k.cpp:3:1: error: bad thing", source) == "bad thing\n  at k.cpp:3"
    source.write_text("int x;\n")
    assert explain("/inc/types.h:9:1: fatal error: bad", source) == "bad\n  at /inc/types.h:9"
    assert explain("k.cpp:99:1: error: bad", source) == "bad\n  at k.cpp:99"
    assert explain("In function f:\nk.o: undefined reference to `g'\n", source) == "k.o: undefined reference to `g'"
    assert "said nothing" in explain("", source)


def fake(folder: Path, text: str) -> Compiler:
    return Compiler("fake++", (str(script(folder / "fake++", text)),), "1", (), "")


@pytest.mark.parametrize(("text", "message"), [
    ("kill -9 $$", "ended by SIGKILL"), ("kill -11 $$", "ended by SIGSEGV"),
    ("echo 'g++: fatal error: Killed signal terminated program cc1plus' >&2; exit 1", "ended by SIGKILL"),
    ("echo 'k.cpp:1:1: internal compiler error: in f, at g.cc:3' >&2; exit 1", "crashed"), ("exit 0", "wrote no library"),
    ("read x || { echo 'error: no input' >&2; exit 1; }", "no input")])
def test_each_way_to_fail_has_its_words(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DslError, match=message):
        built(fake(tmp_path, text), tmp_path, KERNEL)


def test_a_full_disk_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoSpace):
        built(fake(tmp_path, "echo 'ld: final link failed: No space left on device' >&2; exit 1"), tmp_path, KERNEL)
    monkeypatch.setattr(toolchain, "_free_bytes", lambda folder: 0)
    with pytest.raises(NoSpace):
        built(fake(tmp_path, "kill -7 $$"), tmp_path, KERNEL)


def test_a_compiler_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "TIMEOUT_SECONDS", 0.3)
    with pytest.raises(DslError, match=r"stopped after 0\.3 s"):
        built(fake(tmp_path, f"sleep 77 & echo $! > {tmp_path}/child; wait"), tmp_path, KERNEL)
    state = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/status")
    assert not state.exists() or "Z (zombie)" in state.read_text()


def test_a_compiler_that_went_away(tmp_path: Path) -> None:
    with pytest.raises(DslError, match="cannot run /no/such"):
        built(Compiler("gone", ("/no/such",), "1", (), ""), tmp_path, KERNEL)


def test_the_wheel_keeps_its_cache_with_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = next((c for c in WORKING if c.name == "zig c++"), None)
    if wheel is None:
        pytest.skip("the wheel ziglang is not installed")
    monkeypatch.setenv("DSLC_CACHE_DIR", str(tmp_path / "cache"))
    built(wheel, tmp_path, KERNEL)
    assert any((tmp_path / "cache/tools/zig").iterdir()) and isinstance(shared_cache(), Cache)
    shared_cache().clear()
    assert not (tmp_path / "cache/tools/zig").exists()
