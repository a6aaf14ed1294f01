"""The command line: arguments in, exit status out.  What each command prints is in report.py.

Exit status: 0 done and right; 1 a result or a check was wrong; 2 a mistake in the words or in the kernel; 3 a bug of dslc; 130 interrupted.
"""
from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dslc.errors import DslError, check

from .deferred import deferred
from .version import RELEASE

if TYPE_CHECKING:
    from . import report
else:
    report = deferred("dslc.runtime.report")
commands_of_bench: Any = deferred("dslc.bench.command")

OK, WRONG, MISTAKE, BUG, INTERRUPTED, CLOSED = 0, 1, 2, 3, 130, 141      # the last two as a shell reports SIGINT and SIGPIPE
_STATUS = "exit status: 0 done and right, 1 a result or a check was wrong, 2 a mistake in the words or in the kernel, 3 a bug of dslc"
_KERNEL = "a library name (gemm), module:function, or path/to/file.py:function"
_SETTINGS = "a dtype variable (T=f32), a constant (BM=64, causal=true, epilogue=bias_gelu), a scalar (scale=0.5), or present=TENSOR for an optional one"


def main(words: Sequence[str] | None = None) -> int:
    """Run the command `words` (default: those of the process); the exit status."""
    try:
        arguments = _parser().parse_args(words)
        status = int(arguments.run(arguments))
        sys.stdout.flush()
        return status
    except DslError as e:
        if os.environ.get("DSLC_DEBUG"):
            traceback.print_exc()
        else:
            print(f"dslc: {e}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("dslc: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:                                  # the reader has enough: nothing to say, and nothing left to flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return CLOSED
    except Exception as e:
        if os.environ.get("DSLC_DEBUG"):
            traceback.print_exc()
        else:
            place = traceback.extract_tb(e.__traceback__)[-1]
            print(f"dslc: internal error: {type(e).__name__}: {e}\n  in {os.path.basename(place.filename)}:{place.lineno}\n"
                  "  hint: DSLC_DEBUG=1 shows the whole traceback; please report it", file=sys.stderr)
        return BUG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dslc", description="Tile kernels, written once in Python, compiled for every target.", epilog=_STATUS)
    parser.add_argument("--version", action="version", version=f"dslc {RELEASE}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for declare in (_run, _build, _check, _inspect, _ops, _opt, _targets, _doctor, _cache, _bench, _tune):
        declare(commands)
    return parser


def _command(commands: Any, name: str, help: str, examples: str, run: Callable[[argparse.Namespace], int], *, data: bool = True,
             about: str = "") -> argparse.ArgumentParser:
    lines = "\n".join(f"  {line}" for line in examples.splitlines())
    made: argparse.ArgumentParser = commands.add_parser(name, help=help, description=about or f"{help[0].upper()}{help[1:]}.",
                                                        epilog=f"examples:\n{lines}\n\n{_STATUS}", formatter_class=argparse.RawDescriptionHelpFormatter)
    made.set_defaults(run=run)
    if data:
        made.add_argument("--json", action="store_true", help="print data instead of text")
    return made


def _kernel_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kernel", metavar="KERNEL", help=_KERNEL)
    parser.add_argument("settings", metavar="NAME=VALUE", nargs="*", help=_SETTINGS)
    parser.add_argument("--target", default=os.environ.get("DSLC_TARGET", "cpu"), help="NAME or NAME:ARCHITECTURE, see `dslc targets` (default: %(default)s)")


def _size_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", metavar="NAME=N", action="append", default=[], help="a dimension; may be given again")


def _run(commands: Any) -> None:
    p = _command(commands, "run", "run a kernel on random data, check its result, time it",
                 "dslc run gemm\ndslc run gemm T=bf16 U=f32 --size M=4096 --size N=512\ndslc run gemm epilogue=bias_gelu present=bias\n"
                 "dslc run attention causal=true --size SQ=2048 --size SK=2048\ndslc run my_kernels.py:scale --json\n"
                 "dslc run gemm --target NAME:ARCHITECTURE --emulate --mode random:3",
                 lambda a: report.run(a, sizes(a.size), _progress),
                 about="Random data from a fixed seed; the result is checked against numpy "
                 "(library kernels) or the interpreter; the median\n"
                 "time stands beside the least that this machine's measured limits allow, and beside what a user would call instead.")
    _kernel_words(p)
    _size_words(p)
    p.add_argument("--emulate", action="store_true", help="run the target's source on this processor, checked for races, bounds and deadlock")
    p.add_argument("--mode", metavar="MODE", help="when asynchronous work happens, emulated: late (default), early or random:SEED")
    p.add_argument("--trace", metavar="FILE", help="what each unit did when, emulated: a file for a trace viewer (.json) or a drawing (.svg)")
    p.add_argument("--repeat", type=_positive, metavar="N", help="timed calls (default: as many as fit 1.5 s)")


def _build(commands: Any) -> None:
    p = _command(commands, "build", "compile a kernel to a folder that a C program can use",
                 "dslc build gemm T=f32 U=f32 -o out\ndslc build attention T=bf16 D=128 DV=128 causal=true -o out --save-stages\n"
                 "dslc build gemm -o out --print-after fuse\ncc main.c -Iout -Lout -lgemm -Wl,-rpath,out", lambda a: report.build(a, _progress),
                 about="Writes the generated source, its headers, the library lib<kernel>.so, the C header <kernel>.h, and <kernel>.json, which\n"
                 "describes the argument struct, the statuses and the files.")
    _kernel_words(p)
    p.add_argument("-o", "--output", metavar="DIR", required=True, help="the folder to write, made if need be")
    p.add_argument("--save-stages", action="store_true", help="write the IR after each stage as NN-name.ir")
    p.add_argument("--print-after", metavar="PASS", action="append", default=[], help='print the IR after a pass, or after "front end"')


def _check(commands: Any) -> None:
    p = _command(commands, "check", "compile kernels for a target, where its compiler is here",
                 "dslc check gemm --target NAME:ARCHITECTURE\ndslc check my_kernels.py --target NAME", lambda a: report.check_kernels(a, _progress),
                 about="Writes the source of a kernel, or of all kernels of a file, and has the target's compiler read it.  Without that compiler\n"
                 "nothing but the source is checked, and it says skipped.")
    _kernel_words(p)


def _inspect(commands: Any) -> None:
    p = _command(commands, "inspect", "what a kernel will do, before it runs: operations, bytes, scratch, least time, schedule, machine code",
                 "dslc inspect gemm --size M=64\ndslc inspect attention causal=true --json\n"
                 "dslc inspect gemm --target NAME:ARCHITECTURE --layout acc -o acc.svg", lambda a: report.inspect(a, sizes(a.size)))
    _kernel_words(p)
    _size_words(p)
    p.add_argument("--layout", metavar="TILE", help="draw the layout of a tile instead, as SVG")
    p.add_argument("-o", "--output", metavar="FILE", help="the file for --layout (default: print it)")


def _ops(commands: Any) -> None:
    p = _command(commands, "ops", "the operations of the language and of the IR",
                 "dslc ops\ndslc ops exp2\ndslc ops --markdown > docs/operations.md", lambda a: report.ops(a))
    p.add_argument("name", metavar="NAME", nargs="?", help="one operation, whole")
    p.add_argument("--markdown", action="store_true", help="tables for the documentation")


def _opt(commands: Any) -> None:
    p = _command(commands, "opt", "passes on the text form of the IR",
                 "dslc opt gemm.ir -p fold -p dce\ncat gemm.ir | dslc opt - -p fuse", lambda a: report.opt(a), data=False,
                 about="Reads a kernel in the text form, runs the passes in the order given, verified after each, and prints the text form.")
    p.add_argument("file", metavar="FILE", help="a file in the text form, - for standard input")
    p.add_argument("-p", "--pass", dest="passes", metavar="PASS", action="append", default=[], help="a pass; may be given again")
    p.add_argument("--target", help="also know the passes of a target")


def _targets(commands: Any) -> None:
    _command(commands, "targets", "the targets, their compilers, and what they lack", "dslc targets\ndslc targets --json", lambda a: report.targets_known(a))


def _doctor(commands: Any) -> None:
    _command(commands, "doctor", "what dslc finds on this machine, and what is missing",
             "dslc doctor\nDSLC_CXX=clang++-18 dslc doctor", lambda a: report.doctor(a),
             about="Compilers looked at and why one was chosen, the build cache, the processor, threads, packages.\n"
                   "Status 1 if a target has neither a compiler nor an emulator.")


def _cache(commands: Any) -> None:
    p = _command(commands, "cache", "the folder of compiled kernels", "dslc cache info\ndslc cache clear", lambda a: report.cache(a))
    p.add_argument("action", choices=("info", "clear"))


def _bench(commands: Any) -> None:
    p = _command(commands, "bench", "kernels beside what a user would call instead, and beside the limits of this machine",
                 "dslc bench gemm\ndslc bench all --json all.json --plot all.svg\ndslc bench gemm dtype=bf16 --size M=1000,N=777,K=333 --peers torch",
                 lambda a: commands_of_bench.bench(a, sizes, _progress), data=False)
    commands_of_bench.bench_words(p)


def _tune(commands: Any) -> None:
    p = _command(commands, "tune", "search the constants of a kernel for a size, and write a schedule that calls then take",
                 "dslc tune gemm T=f32 U=f32 --size M=2048,N=2048,K=2048 --seconds 60 -o schedules.json",
                 lambda a: commands_of_bench.search(a, sizes, _progress))
    _kernel_words(p)
    _size_words(p)
    commands_of_bench.tune_words(p)


# ---------------------------------------------------------------- words
def sizes(words: Sequence[str]) -> dict[str, int]:
    """NAME=N words as numbers; DslError for anything else."""
    out: dict[str, int] = {}
    for word in words:
        for part in word.split(","):
            name, _, text = part.partition("=")
            check(name and text.isdigit() and int(text) < 2 ** 31, f"--size takes NAME=N with N below 2^31, found {part!r}", hint="--size M=1024")
            out[name] = int(text)
    return out


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more, found {text!r}")
    return int(text)


def _progress(text: str) -> None:
    """What is going on, on one line of a terminal that is wiped by the next; nothing where stderr is no terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text + ' ..' if text else ''}", end="", file=sys.stderr, flush=True)
