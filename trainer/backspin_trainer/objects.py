"""Reads JSON values with camelCase keys into frozen dataclasses. Unknown keys and wrong types are refused."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import types
import typing
from typing import Any, Literal

from .exits import Exit, Refusal


def read(value: Any, kind: Any, key: str) -> Any:
    """`value` as `kind` (a dataclass, a union, a Literal, tuple, list, dict, or a plain type), or Refusal 64."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if value is None else read(value, arguments[0], key)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            raise invalid(key, f"must be one of {', '.join(map(json.dumps, arguments))}, not {json.dumps(value)}")
        return value
    if origin is tuple:
        if not isinstance(value, list) or len(value) != len(arguments):
            raise invalid(key, f"must be a list of {len(arguments)} numbers")
        return tuple(read(item, of, f"{key}[{index}]") for index, (item, of) in enumerate(zip(value, arguments)))
    if origin is list:
        if not isinstance(value, list):
            raise invalid(key, "must be a list")
        return [read(item, arguments[0], f"{key}[{index}]") for index, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise invalid(key, "must be an object")
        return {name: read(item, arguments[1], f"{key}.{name}") for name, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _read_object(value, kind, key)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        names = {int: "an integer", float: "a finite number", str: "a string", bool: "true or false"}
        raise invalid(key, f"must be {names[kind]}, not {json.dumps(value)}")
    return value


def _read_object(value: Any, cls: type, key: str) -> Any:
    if not isinstance(value, dict):
        raise invalid(key or "the spec", "must be an object")
    hints = typing.get_type_hints(cls)
    known = {camel(item.name): item for item in dataclasses.fields(cls)}
    inside = f"{key}." if key else ""
    for name in value:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise invalid(
                inside + name,
                f"is unknown; did you mean '{near[0]}'?" if near else f"is unknown; the keys are {', '.join(known)}",
            )
    for name, item in known.items():
        if name not in value and item.default is dataclasses.MISSING:
            raise invalid(inside + name, "is missing; add it")
    return cls(
        **{known[name].name: read(item, hints[known[name].name], inside + name) for name, item in value.items()}
    )


def camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name).rstrip("_")


def invalid(key: str, remedy: str) -> Refusal:
    return Refusal(Exit.SPEC, f"Spec key '{key}' {remedy}.")
