"""Reads the annotation strings of kernel parameters.  The only user of their grammar; what they mean is dims.py."""
from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedInput, v_args

from .definition import Definition
from .dims import Annotation, Dim, dim_names, dim_text
from .errors import DslError, Loc, check
from .types import DTYPES

_GRAMMAR = Lark(Path(__file__).with_suffix(".lark").read_text(), parser="lalr")
_WORDS = {"NAME": "a name", "INT": "a number", "LSQB": "'['", "RSQB": "']'", "COMMA": "','", "LPAR": "'('", "RPAR": "')'", "PLUS": "'+'", "MINUS": "'-'",
          "STAR": "'*'", "SLASH": "'/'", "QUESTION": "'?'", "IN": "'in'", "SPLIT": "'split'", "ORDER": "'order'", "$END": "the end"}


@v_args(inline=True)
class _Reader(Transformer[Token, Annotation]):
    """One method per rule of the grammar."""

    name, number = str, int

    def scalar(self, dtype: str) -> Annotation:
        return Annotation(str(dtype))

    def operation(self, left: Dim, sign: str, right: Dim) -> Dim:
        return (str(sign), left, right)

    def dims(self, *dims: Dim) -> tuple[Dim, ...]:
        return dims

    def split(self) -> str:
        return "split"

    def order(self, *fields: str) -> tuple[int, ...]:
        return tuple(map(int, fields))

    def tensor(self, dtype: str, dims: tuple[Dim, ...], optional: str = "") -> Annotation:
        return Annotation(str(dtype), dims, optional=bool(optional))

    def packed(self, dtype: str, dims: tuple[Dim, ...], word: str, stored: tuple[Dim, ...], *rest: Any) -> Annotation:
        optional = rest[-1:] == ("?",)
        return Annotation(str(dtype), dims, str(word), stored, (*rest[:len(rest) - optional], "adjacent")[0], optional)


def parse_annotation(text: str, loc: Loc | None = None) -> Annotation:
    """The annotation that `text` spells.  DslError, pointing into the string at `loc`, says where it stops being readable or what is wrong with it."""
    def at(offset: int) -> Loc | None:
        if loc is None or text not in loc.text[loc.column:]:
            return loc
        start = loc.text.index(text, loc.column)
        return replace(loc, column=start + offset, end_column=start + offset + 1 if offset else start + max(len(text), 1))

    try:
        annotation = _Reader().transform(_GRAMMAR.parse(text))
    except UnexpectedInput as error:
        raise _unreadable(text, error, at) from None
    try:
        _check_types(text, annotation)
    except DslError as error:
        raise error.located(at(0)) from None
    return annotation


def _unreadable(text: str, error: UnexpectedInput, at: Callable[[int], Loc | None]) -> DslError:
    expected = getattr(error, "accepts", None) or getattr(error, "expected", None) or getattr(error, "allowed", None) or ()
    end = getattr(getattr(error, "token", None), "type", "") == "$END"
    offset = len(text) if end else error.pos_in_stream or 0
    words = " or ".join(sorted(word for name, word in _WORDS.items() if name in expected)) or "a dtype"
    found = "it ends" if end else f"'{text[offset:].split()[0]}' stands"
    return DslError(f"annotation '{text}': {found} where {words} was expected", at(offset), hint="f32, T[M, K], f32[N]?, u4[K, N] in u32[K/8, N]")


def _check_types(text: str, a: Annotation) -> None:
    known = (a.dtype in DTYPES and (a.dtype != "index" or a.dims is None)) or a.dtype[0].isupper()
    near = difflib.get_close_matches(a.dtype, DTYPES, 1)
    check(known, f"annotation '{text}': '{a.dtype}' is not a dtype", hint=f"did you mean {near[0]}" if near and near[0] != "index" else
          "a dtype such as f32, or a dtype variable, which starts with a capital letter")
    check(a.dims is not None or a.dtype in DTYPES, f"annotation '{text}': a scalar parameter has a dtype, not a dtype variable", hint="f32, or T[N]")
    if a.word is None and a.dims is not None and a.dtype in ("u1", "u2", "u4", "i4"):
        raise DslError(f"annotation '{text}': {a.dtype} lies in words", hint=f"{a.dtype}[N] in u8[N/{8 // DTYPES[a.dtype].bits}]")
    if a.word is not None:
        _check_packing(text, a)


def _check_packing(text: str, a: Annotation) -> None:
    word, dtype, dims, stored = DTYPES.get(a.word or ""), DTYPES.get(a.dtype), a.dims or (), a.stored or ()
    if dtype is None or dtype.kind != "i":
        raise DslError(f"annotation '{text}': packed elements must be integers of a named type, got {a.dtype}", hint="u1 u2 u4 i4 u8 or i8")
    if word is None or word.kind != "i" or word.signed or word.bits <= dtype.bits:
        raise DslError(f"annotation '{text}': words must be unsigned and wider than {dtype}, got {a.word}", hint="u8, u16, u32 or u64")
    check(len(dims) == len(stored), f"annotation '{text}': {len(dims)} dimensions are stored in {len(stored)}")
    differ = [d for d, (x, y) in enumerate(zip(dims, stored, strict=True)) if x != y]
    fields = word.bits // dtype.bits
    example = f"{dim_text(dims[-1])}/{fields}"
    check(len(differ) == 1, f"annotation '{text}': exactly one stored extent must differ, {len(differ)} do", hint=f"the packed axis is written as {example}")
    want: Dim = ("/", dims[differ[0]], fields)
    packed, number = stored[differ[0]], dims[differ[0]]
    exact = packed == want or (isinstance(number, int) and packed == number / fields)
    check(exact, f"annotation '{text}': the packed axis holds {fields} fields to a word, so it must be stored as {dim_text(want)}, got {dim_text(packed)}")
    if isinstance(a.order, tuple):
        check(sorted(a.order) == list(range(fields)), f"annotation '{text}': order must name each of 0..{fields - 1} once, got {' '.join(map(str, a.order))}")


def read_annotations(definition: Definition) -> dict[str, Annotation]:
    """The annotations of a kernel's parameters by name, constants left out.  DslError also for an expression over names that nothing binds."""
    read = {name: parse_annotation(text, definition.source.annotation_loc(name)) for name, text in definition.texts.items()}
    plain = {dim for a in read.values() for dim in a.dims or () if isinstance(dim, str)} | set(definition.consts)
    for name, a in read.items():
        for unbound in (n for dim in (*(a.dims or ()), *(a.stored or ())) for n in dim_names(dim) if n not in plain):
            raise DslError(f"annotation '{definition.texts[name]}': {unbound} is not bound by any parameter", definition.source.annotation_loc(name),
                           hint=f"give some tensor the plain dimension {unbound}")
    return read
