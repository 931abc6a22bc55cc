"""What a model is called: by people, in URLs, and in our own records.

Grammar and defaults are Ollama's (types/model/name.go): namespace, model and tag have 1 to 80
characters of letters, digits, `_`, `-` and (not in a namespace) `.`, and start with a letter, a
digit or `_`. Case is kept: `Tiny:LATEST` and `tiny:latest` are two models to a registry.
"""

import re
from dataclasses import dataclass

from appliance.protocol.digest import Digest
from appliance.protocol.errors import NameInvalid

NAMESPACE_DEFAULT = "library"
TAG_DEFAULT = "latest"

_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """`library/llama3.2`: the `<name>` in `/v2/<name>/…`; always two components."""

    namespace: str
    model: str

    def __post_init__(self) -> None:
        if not (_NAMESPACE.fullmatch(self.namespace) and _NAME.fullmatch(self.model)):
            raise NameInvalid(f"not a repository: {self.namespace}/{self.model}"[:200])

    def __str__(self) -> str:
        return f"{self.namespace}/{self.model}"


@dataclass(frozen=True, slots=True)
class Reference:
    """One manifest of a repository: by movable tag (a str), or by digest, which never moves."""

    repository: Repository
    target: str | Digest

    def __post_init__(self) -> None:
        if isinstance(self.target, str) and not _NAME.fullmatch(self.target):
            raise NameInvalid(f"not a tag: {self.target}"[:200])

    @property
    def tag(self) -> str | None:
        return self.target if isinstance(self.target, str) else None

    def __str__(self) -> str:
        separator = ":" if isinstance(self.target, str) else "@"
        return f"{self.repository}{separator}{self.target}"


def parse_repository(text: str) -> Repository:
    """Read `namespace/model`, the spelling of records. Raises NameInvalid."""
    namespace, _, model = text.partition("/")
    return Repository(namespace, model)


def parse_model_name(text: str) -> Reference:
    """Read what a person types: `tiny`, `tiny:1b`, `someone/tiny:1b`.

    Raises:
        NameInvalid: outside the grammar, or with a host: this box serves one registry.
    """
    name, _, tag = text.partition(":")
    namespace, slash, model = name.rpartition("/")
    repository = Repository(namespace if slash else NAMESPACE_DEFAULT, model)
    return Reference(repository, tag or TAG_DEFAULT)


def format_model_name(reference: Reference) -> str:
    """The shortest name that means `reference` to Ollama: the library and `latest` go unsaid."""
    namespace, model = reference.repository.namespace, reference.repository.model
    name = model if namespace == NAMESPACE_DEFAULT else f"{namespace}/{model}"
    if isinstance(reference.target, Digest):
        return f"{name}@{reference.target}"
    return name if reference.target == TAG_DEFAULT else f"{name}:{reference.target}"
