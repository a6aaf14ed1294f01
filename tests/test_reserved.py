"""Names in generated source: those of our headers and skeletons are kept from kernels' names, and include guards from each other's."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_names import declared, macros, written
from dslc import DslError, const, tile, tile_kernel
from dslc.backend import backend_of
from dslc.backends.common.reserved import KEYWORDS

FOLDER = Path(__file__).resolve().parents[1] / "backends"
TARGETS = sorted(p.parent.name for p in FOLDER.glob("*/ops.j2") if p.parent.name != "common")
HEADERS = {target: sorted({*backend_of(target).header_files, *(FOLDER / target).rglob("*.h"),
                           *((FOLDER / "common" / "emulator").glob("*.h") if backend_of(target).emulator else ())}) for target in TARGETS}
TEMPLATES = {target: sorted({*(FOLDER / target).glob("*.j2"), *(p for p in (FOLDER / "common").glob("*.j2")
                                                               if p.name in backend_of(target).macro_files or (p.name == "kernel_gpu.j2" and target != "cpu"))})
             for target in TARGETS}
NO_NAMES = {"from", "f", "row", "col", "cu", "hip", "tile_cuda", "tile_hip"}         # in a comment, a number's suffix, members, file names


def test_what_a_header_declares() -> None:
    text = '''#define DSLC_OURS(x) x
#define PLAIN 1
#define GONE 2
#undef GONE
// struct Not;
namespace inner { struct Hidden {}; }
template <class T, int n = (1 << 2)> struct alignas(n * sizeof(T)) Vector { T at[n]; void member(); };
template <> struct Word<4> { typedef u32 type; };
template <class T> using Shared = T *;
typedef unsigned long long Wide;
typedef int (*Called)(int fill);
enum { first = 1, second };
enum class Kind : int { inside };
constexpr int lanes = 32, more[2] = {1, 2};
DSLC_FN Pair<T, typename U<T>::type> function(int parameter) { int local; }
template <int n, class T> DSLC_FN T (&part(T (&x)[n], int i))[n] { return x; }
DSLC_FN T operator+(T a, T b) { return a; }
extern "C" __attribute__((visibility("default"))) int exported(void) { return 0; }
DSLC_MAKE(1, 2)
static inline i32 after() { return 0; }
#define DSLC_EACH(N, PARAMETERS)                        \\
    template <class T> DSLC_DEVICE void made(PARAMETERS) { \\
        inside(N);                                       \\
    }
'''
    assert declared(text) == {"PLAIN", "inner", "Vector", "Word", "Shared", "Wide", "Called", "first", "second", "Kind", "lanes", "function", "part",
                              "exported", "after", "made"}


@pytest.mark.parametrize("target", TARGETS)
def test_names_of_headers_are_reserved(target: str) -> None:
    reserved = backend_of(target).reserved
    missing = {path.name: sorted(declared(path.read_text()) - reserved) for path in HEADERS[target]}
    assert not {name: words for name, words in missing.items() if words}
    assert sum(len(declared(path.read_text())) for path in HEADERS[target]) > 100


@pytest.mark.parametrize("target", TARGETS)
def test_words_of_templates_are_reserved(target: str) -> None:
    reserved = backend_of(target).reserved | NO_NAMES
    missing = {path.name: sorted(written(path) - reserved) for path in TEMPLATES[target]}
    assert not {name: words for name, words in missing.items() if words}
    assert any("arguments" in written(path) for path in TEMPLATES[target])


@pytest.mark.parametrize("target", TARGETS)
def test_macros_are_no_members_either(target: str) -> None:
    """A macro would be expanded within the argument block, too.  Macros with parameters are expanded only before a parenthesis."""
    for path in HEADERS[target]:
        plain = {m for m in macros(path.read_text()) if not re.search(rf"#\s*define\s+{m}\(", path.read_text())}
        assert {m for m in plain if not m.startswith(("DSLC_", "_"))} <= KEYWORDS, path.name


@pytest.mark.parametrize("target", TARGETS)
def test_no_kernel_takes_the_guard_of_a_header(target: str) -> None:
    guards = [re.search(r"#ifndef (\w+)\n#define \1\n", path.read_text()) for path in HEADERS[target]]
    assert all(guards), [path.name for path, g in zip(HEADERS[target], guards, strict=True) if not g]
    names = [g[1] for g in guards if g]
    assert not [n for n in names if n.startswith("DSLC_KERNEL_")]
    assert all(names.count(n) == 1 or re.fullmatch(f"DSLC_TILE_{target.upper()}(_HOST)?_H", n) for n in names)     # the emulated form keeps out the real one
    given = "".join(path.read_text() for path in TEMPLATES[target])
    assert re.search(r"#ifndef DSLC_KERNEL_\{\{ name \}\}_H\n#define DSLC_KERNEL_\{\{ name \}\}_H\n", given)


@tile_kernel
def bounds(launch: "f32[M, EOF]", status: "f32[M, EOF]", bounds_launch: "f32[M]", worker: "f32", *, BN: const = 8):
    program = tile.grid(M)
    for scaled in tile.range(0, EOF, BN):
        e0 = tile.load(launch, (program, (scaled, BN))) * worker
        fail = e0 + tile.load(bounds_launch, (program, 1))
        tile.store(status, (program, (scaled, BN)), fail)


@tile_kernel
def tile_types(x: "f32[M]"):
    i = tile.grid(M)
    tile.store(x, i, 1.0)


@pytest.mark.parametrize("target", TARGETS)
def test_no_kernel_takes_the_file_of_a_header(target: str) -> None:
    with pytest.raises(DslError, match=f"would overwrite the header tile_types.h of target {target}"):
        tile_types.source(target, np.zeros(4, np.float32))


@pytest.mark.parametrize("target", TARGETS)
def test_a_kernel_of_such_names(target: str) -> None:
    """Called like a header, with parameters, a dimension and variables called like our own words and the C library's."""
    x, bias = np.arange(3 * 20, dtype=np.float32).reshape(3, 20), np.arange(3, dtype=np.float32)
    y: Any = np.zeros_like(x)
    if backend_of(target).emulator:
        bounds.emulate(x, y, bias, 2.0, target=target)
    else:
        bounds(x, y, bias, 2.0, target=target)
    assert np.array_equal(y, x * 2 + bias[:, None])
