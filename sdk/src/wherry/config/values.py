"""A connector's configuration from all the places a value may stand, each with its provenance.

--set KEY=VALUE  >  the reference  >  wherry.yaml  >  environment  >  .env  >  the connector's default

In each place a secret may stand itself (`password`), or where it is kept (`password_file`, `password_keyring`).
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretBytes, SecretStr, ValidationError

from wherry.config.document import parse_json
from wherry.config.elsewhere import Elsewhere, Elsewheres, Kind
from wherry.config.environment import Environment, Setting
from wherry.config.redact import Redactor, one_line
from wherry.config.reference import Reference
from wherry.config.refusal import Refusal, explain, fields, model_of
from wherry.contracts.config import ConnectorConfig
from wherry.errors import UsageError, WherryError
from wherry.near import near


@dataclass(frozen=True, slots=True)
class Configured:
    """A validated configuration that remembers where each of its values came from.

    notes: variables that look like a key of this connector but are none; what its configuration warns of.
    """

    reference: Reference
    config: ConnectorConfig
    origins: Mapping[str, str]
    notes: tuple[str, ...] = ()
    option: str = "--set"

    def provenance(self, key: str) -> str:
        """`password from .env, line 3`, for messages."""
        if key in self.origins:
            return f"{key} from {self.origins[key]}"
        return f"{key} was not given: {self.option} {key}=…, or {_variable(self.reference, key)} in the environment"

    def explain(self, error: WherryError) -> WherryError:
        """The same error, saying where the value of its key came from."""
        if error.key and not error.where:
            error.where = self.provenance(error.key)
        return error


def configure(
    reference: Reference,
    model: type[ConnectorConfig],
    *,
    environment: Environment,
    folder: Path,
    sets: Sequence[str] = (),
    redactor: Redactor | None = None,
) -> Configured:
    """Build and validate the configuration of the connector that `reference` names.

    sets: "KEY=VALUE" texts of `--set` (of `--dest-set`, for a destination).  folder: what `${file:…}` is relative to.
    redactor: learns the secrets, before anything is validated.  UsageError: a key, its value, where that came from.
    """
    redactor = redactor or Redactor()
    option = "--set" if reference.kind == "source" else "--dest-set"
    given = _gather(reference, model, environment, sets, option)
    elsewhere = Elsewheres(environment, folder)
    settings = {key: elsewhere.resolved(setting) for key, setting in given.items()}
    for key, setting in settings.items():
        _learn(redactor, model, key, setting)
    data = {key: _shaped(model, key, setting.value) for key, setting in settings.items()}
    origins = {key: setting.origin for key, setting in settings.items()}
    try:
        config = model.model_validate(data)
    except ValidationError as error:
        refusal = explain(error, model, data)
        raise _usage_error(refusal, reference, model, settings, option, redactor) from None
    notes = (*_strays(reference, model, environment), *elsewhere.notes, *config.warnings())
    return Configured(reference, config, origins, notes, option)


def pointed_at(
    reference: Reference, model: type[ConnectorConfig], *, environment: Environment, folder: Path,
    sets: Sequence[str] = (),
) -> str | None:  # fmt: skip
    """What the field that `model.reference` names will hold, wherever it was said; None: nobody said it."""
    if model.reference is None:
        return None
    option = "--set" if reference.kind == "source" else "--dest-set"
    setting = _gather(reference, model, environment, sets, option).get(model.reference)
    return None if setting is None else str(Elsewheres(environment, folder).resolved(setting).value)


def _gather(
    reference: Reference, model: type[ConnectorConfig], environment: Environment, sets: Sequence[str], option: str
) -> dict[str, Setting]:
    """Values by key, the strongest last; of those that another key points at, where they are."""
    given: dict[str, Setting] = {}
    known, pointers = fields(model), _pointers(model)

    def take(key: str, setting: Setting) -> None:
        name, kind = pointers.get(key, (key, None))
        given[name] = Setting(Elsewhere(kind, str(setting.value)), setting.origin) if kind else setting

    free = model.model_config.get("extra") == "allow"
    for prefix in _prefixes(reference):
        for key, setting in environment.starting(prefix):
            if free or key in known or key in pointers:
                take(key, setting)
    for key, setting in reference.settings.items():
        take(key, setting)
    if reference.value is not None:
        if model.reference is None:
            raise UsageError(
                f"{reference.kind} {reference.connector} takes nothing after its name: {reference.text}",
                next=f"write {reference.connector}, and its keys with {option} KEY=VALUE",
            )
        given[model.reference] = Setting(reference.value, reference.origin)
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{option} takes KEY=VALUE", next=f"keys: {', '.join(known) or 'none'}")
        take(key.strip(), Setting(value, f"{option} {key.strip()}"))
    return given


def _pointers(model: type[ConnectorConfig]) -> dict[str, tuple[str, Kind]]:
    """`password_file`, `password_keyring` -> (`password`, "file" or "keyring"), for each secret that is a text."""
    known = fields(model)
    texts = [key for key in known if is_secret(model, key) and str in _shapes(known[key].annotation)]
    kinds: tuple[Kind, ...] = ("file", "keyring")
    return {f"{key}_{kind}": (key, kind) for key in texts for kind in kinds if f"{key}_{kind}" not in known}


def _prefixes(reference: Reference) -> list[str]:
    """Of environment variables, the strongest last: the connector's name, then that of the entry in wherry.yaml."""
    names = dict.fromkeys(filter(None, (reference.connector, reference.name)))
    return [f"WHERRY_{reference.kind.upper()}_{_upper(name)}_" for name in names]


def _variable(reference: Reference, key: str) -> str:
    return f"{_prefixes(reference)[-1]}{_upper(key)}"


def _upper(name: str) -> str:
    return re.sub(r"\W", "_", name).upper()


def _strays(reference: Reference, model: type[ConnectorConfig], environment: Environment) -> Iterator[str]:
    if model.model_config.get("extra") == "allow":
        return
    known, pointers = fields(model), _pointers(model)
    for prefix in _prefixes(reference):
        for key, setting in environment.starting(prefix):
            match = near(key, known)
            if key not in known and key not in pointers and match:
                what = f"no key {key!r} of {reference.kind} {reference.connector}, did you mean {match!r}?"
                yield f"{setting.origin}: {what}"


def _learn(redactor: Redactor, model: type[ConnectorConfig], key: str, setting: Setting) -> None:
    if key == model.reference:  # messages show it without its password
        redactor.add_inside(str(setting.value))
        return
    if re.search(r"\((.*, )?(file|keyring) ", setting.origin):
        redactor.add(setting.value)
    if is_secret(model, key):
        redactor.add(list(_secrets(model.model_fields[key].annotation, setting.value)))
    else:
        redactor.add_inside({key: setting.value})  # of a key that the model leaves free, its name tells


def is_secret(model: type[ConnectorConfig], key: str) -> bool:
    """Whether a key's value must never be shown: its type holds a secret anywhere."""
    return key in model.model_fields and _holds_secret(model.model_fields[key].annotation)


def _holds_secret(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, (SecretStr, SecretBytes)):
        return True
    if model_of(annotation):
        return any(_holds_secret(info.annotation) for info in fields(model_of(annotation)).values())
    return any(map(_holds_secret, typing.get_args(annotation)))


def _secrets(annotation: Any, value: Any) -> Iterator[Any]:
    """What is secret in a value: all of it, unless its type is a model, whose other keys may be said."""
    model = model_of(annotation)
    if model is None or not isinstance(value, Mapping):
        yield value
        return
    for key, info in fields(model).items():
        if key in value and _holds_secret(info.annotation):
            yield from _secrets(info.annotation, value[key])


def _shaped(model: type[ConnectorConfig], key: str, value: Any) -> Any:
    """Text for a key that holds a list or a mapping: JSON, or for a list words between commas."""
    info = model.model_fields.get(key)
    if not isinstance(value, str) or info is None:
        return value
    shapes = set(_shapes(info.annotation))
    if str in shapes or not shapes & {list, dict}:
        return value
    if value.lstrip().startswith(("[", "{")):
        try:
            return parse_json(value)
        except ValueError:
            return value  # what is accepted is for the connector's model to say
    return [word.strip() for word in value.split(",") if word.strip()] if list in shapes else value


def _shapes(annotation: Any) -> Iterator[type]:
    origin = typing.get_origin(annotation) or annotation
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        for part in typing.get_args(annotation):
            yield from _shapes(part)
    elif isinstance(origin, type) and issubclass(origin, (str, SecretStr)):
        yield str
    elif isinstance(origin, type) and (issubclass(origin, Mapping) or hasattr(origin, "model_fields")):
        yield dict
    elif isinstance(origin, type) and issubclass(origin, (Sequence, set, frozenset)) and origin is not bytes:
        yield list


def _usage_error(
    refusal: Refusal,
    reference: Reference,
    model: type[ConnectorConfig],
    settings: Mapping[str, Setting],
    option: str,
    redactor: Redactor,
) -> UsageError:
    key = str(refusal.path[0]) if refusal.path else ""
    what = f"{reference.kind} {reference.name or reference.connector}: {refusal.message}"
    setting = settings.get(key)
    if setting is None:
        variable = _variable(reference, key)
        where = (reference.settings and reference.origin) or None
        return UsageError(
            what, key=key, where=where, next=f"give it with {option} {key}=…  or {variable} (environment, .env)"
        )
    if refusal.shown and not is_secret(model, key) and isinstance(setting.value, (str, int, float, bool)):
        what += f", not {one_line(redactor.redact(str(setting.value)))[:80]!r}"
    known = reference.object or reference.connector
    remedy = refusal.remedy or f"correct {key}; wherry plugins info {known} lists the keys"
    return UsageError(redactor.redact(what), key=key, where=f"{key} from {setting.origin}", next=remedy)
