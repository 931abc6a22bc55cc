"""The kinds of values that configuration keys have: how each is called, read and checked.

A value comes from TOML, which has types, or from a variable, which is text. A kind turns the
text into what TOML would have held (`lex`), so that only one reader judges both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from appliance.config.values import parse_duration


@dataclass(frozen=True, slots=True)
class Kind[T]:
    """A kind of value: how it is called, read from TOML, and told from an environment's text."""

    unit: str
    read: Callable[[object], T]
    """Raises ValueError with what is wrong, or "" where `unit` says it all."""
    lex: Callable[[str], object] = str
    """The text of a variable → what TOML would have held; never fails, since `read` judges it."""


def flag() -> Kind[bool]:
    """True or false; a variable may say yes, on or 1."""
    words = {"true": True, "yes": True, "on": True, "1": True}
    words |= {"false": False, "no": False, "off": False, "0": False}
    return Kind("true or false", _expect(bool), lambda text: words.get(text.lower(), text))


def text[T](unit: str, parse: Callable[[str], T]) -> Kind[T]:
    """A string, read by `parse`."""
    read_string = _expect(str)
    return Kind(unit, lambda raw: parse(read_string(raw)))


def choice(*words: str) -> Kind[str]:
    """One of a few words."""
    return text(f"one of {', '.join(words)}", partial(_choose, words))


def number(low: int, high: int) -> Kind[int]:
    """A whole number between two others, both included."""
    return Kind(f"a number, {low} to {high}", partial(_number, low=low, high=high), _lex_number)


def port() -> Kind[int]:
    """A TCP or UDP port that can be named."""
    return Kind("a port, 1 to 65535", partial(_number, low=1, high=65535), _lex_number)


def seconds(low: int, high: int) -> Kind[int]:
    """A duration: a bare number is seconds, a string may have a unit."""
    unit = f'seconds, {low} to {high}, as a number or a text such as "1m"'
    return Kind(unit, partial(_seconds, low=low, high=high), _lex_number)


def list_of[T](item: Kind[T], unit: str, *, count_min: int = 0) -> Kind[tuple[T, ...]]:
    """A list of one kind; a variable parts its items by commas."""

    def lex(raw: str) -> object:
        return [item.lex(each.strip()) for each in raw.split(",") if each.strip()]

    return Kind(unit, partial(_items, item=item, count_min=count_min), lex)


def _expect[T](kind: type[T]) -> Callable[[object], T]:
    def read(raw: object) -> T:
        if not isinstance(raw, kind):
            raise ValueError("")  # noqa: TRY004  # One fault for every bad value, by contract.
        return raw

    return read


def _choose(words: tuple[str, ...], raw: str) -> str:
    if raw not in words:
        raise ValueError("")
    return raw


def _number(raw: object, *, low: int, high: int) -> int:
    if not isinstance(raw, int) or isinstance(raw, bool) or not low <= raw <= high:
        raise ValueError("")
    return raw


def _seconds(raw: object, *, low: int, high: int) -> int:
    return _number(parse_duration(raw) if isinstance(raw, str) else raw, low=low, high=high)


def _lex_number(raw: str) -> object:
    return int(raw) if raw.isascii() and raw.isdigit() and len(raw) <= 9 else raw


def _items[T](raw: object, *, item: Kind[T], count_min: int) -> tuple[T, ...]:
    if not isinstance(raw, list):
        raise ValueError("write a list, in brackets")  # noqa: TRY004  # As above.
    if len(raw) < count_min:
        raise ValueError(f"at least {count_min} is needed")
    return tuple(_item(each, item) for each in raw)


def _item[T](raw: object, item: Kind[T]) -> T:
    try:
        return item.read(raw)
    except ValueError as error:
        raise ValueError(
            f"{raw!r} is not {item.unit}" + (f": {error}" if str(error) else "")
        ) from None
