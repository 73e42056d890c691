"""The `identity` verb: all that results depend on besides their spec, as JSON on stdout."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable
from functools import cache
from pathlib import Path

from .exits import Exit

Read = Callable[[Path], tuple[list[str], str]]

_SERVE = ("torch", "transformers", "tokenizers", "jinja2")
_SCORE = (*_SERVE, "peft", "numpy")
_TAG = (*_SERVE, "numpy")
_PACKAGES = {"train": (*_SCORE, "trl", "accelerate"), "embed": _SCORE, "score": _SCORE, "tag": _TAG, "serve": _SERVE, "check": _SCORE, "gguf": (*_SERVE, "gguf")}

_OF_OPTIONS = ("bitsandbytes", "flash-attn", "flash-attn-3", "liger-kernel")  # see `options`


def identity() -> Exit:
    """Prints, for each verb, a SHA-256 of its code, and the versions of the packages that compute."""
    read = cache(_read)  # verbs share most modules
    print(json.dumps({verb: _identity_of(verb, packages, read) for verb, packages in _PACKAGES.items()}))
    return Exit.DONE


def _identity_of(verb: str, packages: tuple[str, ...], read: Read) -> dict[str, str | None]:
    python = ".".join(platform.python_version_tuple()[:2])
    code = code_of(Path(__file__).parent, verb, read)
    options = versions_for_options() if verb in ("train", "check") else {}
    return {"code": code, "python": python, **{name: _version(name) for name in packages}, **options}


def versions_for_options() -> dict[str, str]:
    """Versions of the packages that options of a training need, as far as they are installed."""
    return {name: found for name in _OF_OPTIONS if (found := _version(name))}


def code_of(package: Path, module: str, read: Read | None = None) -> str:
    """A digest of a module of the package and of all that it imports from there, without comments and docstrings."""
    texts: dict[str, str] = {}
    queue = [module]
    for name in queue:
        path = package / f"{name}.py"
        if name in texts or not path.is_file():
            continue
        imported, texts[name] = (read or _read)(path)
        queue += imported
    return hashlib.sha256(json.dumps(sorted(texts.items())).encode()).hexdigest()


def _read(path: Path) -> tuple[list[str], str]:
    """The modules that a file may import from the package, and its code."""
    tree = ast.parse(path.read_bytes())
    return [found for node in ast.walk(tree) for found in _imported(node)], ast.dump(_without_docstrings(tree))


def _imported(node: ast.AST) -> list[str]:
    """Modules of the package that an import may name; `from . import a` names some, or what stands in `__init__`."""
    if not isinstance(node, ast.ImportFrom) or node.level != 1:
        return []
    return [node.module] if node.module else ["__init__", *(alias.name for alias in node.names)]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            node.body = body[1:]
    return tree


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
