"""What the type of a setting says: in words, and its parts."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel


def members(annotation: Any) -> tuple[Any, ...]:
    """Return the types that a union is made of, or the one type; metadata is left out.

    >>> members(int | None)
    (<class 'int'>, <class 'NoneType'>)

    Args:
        annotation: The type of a setting.
    """
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return members(args[0])
    if origin in (typing.Union, types.UnionType):
        return tuple(member for arg in args for member in members(arg))
    return (annotation,)


def is_list(annotation: Any) -> bool:
    """Whether a type is a list of something.

    Args:
        annotation: The type of a setting.
    """
    return typing.get_origin(annotation) in (list, tuple, set, frozenset)


def choices_of(annotation: Any) -> tuple[str, ...]:
    """Return the texts that a type admits, or a list of them; none where any text fits.

    >>> choices_of(tuple[Literal["age", "sex"], ...] | None)
    ('age', 'sex')

    Args:
        annotation: The type of a setting.
    """
    kinds = [k for kind in members(annotation) for k in (kind, *typing.get_args(kind))]
    literals = [kind for kind in kinds if typing.get_origin(kind) is Literal]
    return tuple(text for kind in literals for text in typing.get_args(kind))


def type_name(annotation: Any) -> str:
    """Write a type as a reader would: ``Literal["a", "b"]`` becomes ``a | b``.

    >>> type_name(Literal["dr", "reg"])
    'dr | reg'
    >>> type_name(tuple[str, ...])
    'list of text'

    Args:
        annotation: The type of a setting.
    """
    plain = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true | false",
        Path: "path of a file",
        type(None): "none",
    }
    if annotation in plain:
        return plain[annotation]
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " | ".join(str(arg) for arg in args)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_name(arg) for arg in args)
    if origin is typing.Annotated:
        return type_name(args[0])
    if origin in (list, tuple, set, frozenset):
        return f"list of {type_name(args[0])}" if args else "list"
    if origin in (dict, Mapping):
        return "table"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return getattr(annotation, "__name__", str(annotation))
