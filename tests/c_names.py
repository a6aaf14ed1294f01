"""Which names a header of ours declares at file scope, and which words a template writes.  Reads our own style of C++, not C++.  Not a test itself."""
from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import jinja2
from jinja2 import nodes

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", re.S)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", re.M)
_TOKEN = re.compile(r"[A-Za-z_]\w*|\.\d\w*|\d[\w.]*|::|->|\S")
_PAIRS = {"(": ")", "[": "]", "{": "}"}
_NAME = re.compile(r"[A-Za-z_]\w*")


def macros(text: str) -> set[str]:
    """Names that are defined for whoever includes it."""
    bare = _COMMENT.sub(" ", text)
    return set(re.findall(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", bare, re.M)) - set(re.findall(r"^[ \t]*#[ \t]*undef[ \t]+(\w+)", bare, re.M))


def declared(text: str) -> set[str]:
    """Macros, types, functions and constants at file scope; of a named namespace its name alone."""
    bare = _COMMENT.sub(" ", text)
    made = [m.replace("\\\n", " ").partition(")") for m in _DIRECTIVE.findall(bare) if "DSLC_DEVICE" in m or "template" in m]          # by macros
    names = _declared(_DIRECTIVE.sub("", bare)).union(*(_declared(body) - set(_NAME.findall(head)) for head, _, body in made))
    return {n for n in macros(text) | names if not n.startswith(("DSLC_", "dslc_", "_"))}


def _declared(text: str) -> set[str]:
    return {name for words in _declarations(_TOKEN.findall(text)) for name in _names(words)}


def _closing(tokens: list[str], at: int) -> int:
    """Where the bracket at `at` is closed."""
    depth = 0
    for n in range(at, len(tokens)):
        depth += (tokens[n] in _PAIRS) - (tokens[n] in _PAIRS.values())
        if depth == 0:
            return n
    return len(tokens) - 1


def _declarations(tokens: list[str]) -> Iterator[list[str]]:
    """Each declaration without the bodies in it: { stands for one."""
    now: list[str] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token == "{" and (now[:1] == ["namespace"] or now == ["extern"]):
            end = _closing(tokens, at)
            if len(now) == 2:
                yield now
            else:
                yield from _declarations(tokens[at + 1:end])
            now, at = [], end + 1
            continue
        if token == "{" and now[:1] == ["enum"] and "class" not in now:
            yield from (["enum", tokens[n]] for n in range(at + 1, _closing(tokens, at)) if tokens[n - 1] in "{,")
        if token == "{":
            at = _closing(tokens, at)
            now.append("{")
            kind = next((w for w in _plain(now) if w in ("struct", "class", "union", "enum", "=", "(")), "")
            if kind == "(":                                 # a function: no semicolon follows
                yield now
                now = []
        elif token == ";":
            yield now
            now = []
        elif token in "([":
            end = _closing(tokens, at)
            now += tokens[at:end + 1]
            at = end
        else:
            now.append(token)
        at += 1


def _plain(words: list[str]) -> list[str]:
    """Without attributes, macros of ours, and what stands in angle brackets."""
    out: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        if word == "<" and not {"=", "(", "{", "operator"} & set(out):
            depth, at = 1, at + 1
            while depth:
                depth += (words[at] == "<") - (words[at] == ">")
                at = _closing(words, at) + 1 if words[at] in _PAIRS else at + 1
        elif word in ("__attribute__", "alignas", "__align__", "__launch_bounds__", "decltype"):
            at = _closing(words, at + 1) + 1
        elif word == "[" and words[at + 1] == "[":
            at = _closing(words, at) + 1
        elif word.startswith("DSLC_"):
            at = _closing(words, at + 1) + 1 if words[at + 1:at + 2] == ["("] else at + 1
        else:
            out += [] if word == "template" else [word]
            at += 1
    return out


def _names(words: list[str]) -> Iterator[str]:
    words = _plain(words)
    if not words or "operator" in words or words[0] in ("static_assert", "friend"):
        return
    if words[0] == "namespace":
        yield words[1]
    elif words[0] == "using":
        yield from words[1:2] if "=" in words else words[-1:]
    elif words[0] == "typedef":
        pointer = re.search(r"\( \* (\w+)", " ".join(words))                      # to a function
        yield pointer[1] if pointer else [w for w in words if _NAME.fullmatch(w)][-1]
    elif words[0] in ("struct", "class", "union", "enum"):
        yield from [w for w in words[1:] if w != "class" and _NAME.fullmatch(w)][:1]
    else:
        stop = next((n for n, w in enumerate(words) if w in "=({[" or (w == "," and n)), len(words))
        if words[stop:stop + 2] in (["(", "&"], ["(", "*"]):                      # T (&name(..))[n]
            stop = words.index("(", stop + 1) if "(" in words[stop + 1:_closing(words, stop)] else _closing(words, stop)
        named = [w for w in words[:stop] if _NAME.fullmatch(w)]
        if len(named) > 1 and not (len(words) > stop - 2 >= 0 and words[stop - 2] == "::"):
            yield named[-1]


def written(path: Path) -> set[str]:
    """Words that a template writes of itself, but for members and what stands in comments and strings."""
    source = path.read_text()
    texts = [re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "\x01", source, flags=re.S)]
    tree = jinja2.Environment(extensions=["jinja2.ext.do"]).parse(source)
    parents = (nodes.Concat, nodes.List, nodes.CondExpr, nodes.Call, nodes.Output)
    texts += [c.value for kind in parents for n in tree.find_all(kind) for c in n.iter_child_nodes(exclude=("test",))
              if isinstance(c, nodes.Const) and isinstance(c.value, str)]
    found: set[str] = set()
    for text in texts:
        found |= set(re.findall(r"(?<![\w\x01.:>])[A-Za-z_]\w*(?![\w\x01])", _DIRECTIVE.sub("", _COMMENT.sub(" ", text))))
    return {n for n in found if not n.startswith(("DSLC_", "dslc_", "_"))}
