"""Placement's API, as much of it as is needed: one short method per request over an Adapter of keystoneauth1.

Every method raises Unavailable, Stale or Refused (``faults``). Inventories, traits and generations are plain values.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib import parse

from keystoneauth1 import adapter
from keystoneauth1 import exceptions as ksa

from worker.placement import faults

if TYPE_CHECKING:
    import requests

LEAST = (1, 28)
"""Consumer generations; before them two writers of one consumer cannot tell that they are two."""
NEWEST = (1, 39)
CONSUMER_TYPES = (1, 38)
NOBODY = "00000000-0000-0000-0000-000000000000"
"""Project and user of a consumer of which neither is known; Placement uses the same."""

NOT_FOUND, CONFLICT, TOO_MANY, NOT_ACCEPTABLE = 404, 409, 429, 406
DENIED = frozenset({401, 403})

Version = tuple[int, int]
Records = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A provider as Placement has it."""

    uuid: str
    name: str
    parent_uuid: str | None
    generation: int


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """All that a consumer holds as Placement has it; the generation is None for one that it does not know."""

    generation: int | None
    allocations: Mapping[str, Mapping[str, int]]
    project_id: str | None = None
    user_id: str | None = None
    consumer_type: str | None = None


class Placement:
    """One Placement service. ``least`` is the oldest microversion to use; ``pulse`` is called before every request.

    With ``dry`` nothing is written: each request that would is told to it instead, as one line.
    """

    def __init__(
        self,
        service: adapter.Adapter,
        least: Version = LEAST,
        pulse: Callable[[], None] = lambda: None,
        dry: Callable[[str], None] | None = None,
    ) -> None:
        self._service = service
        self._least = max(least, LEAST)
        self._pulse = pulse
        self._dry = dry
        self.version: Version | None = None
        self.requests = 0

    @property
    def writes(self) -> bool:
        """Whether anything is really written."""
        return self._dry is None

    def negotiate(self) -> Version:
        """Return the newest microversion that both sides have, from now on used; raises Unavailable if there is none."""
        if self.version is None:
            self.version = self._common(self._root())
        return self.version

    def forget_version(self) -> None:
        """Negotiate anew before the next request: the service may be another one by now."""
        self.version = None

    def provider(self, uuid: str) -> Known | None:
        """Return a provider, or None."""
        found = self._get(f"/resource_providers/{uuid}", missing=None)
        return None if found is None else _known(found)

    def providers(self, name: str | None = None) -> list[Known]:
        """Return all providers, or the one of that name."""
        query = "" if name is None else f"?{parse.urlencode({'name': name})}"
        return [_known(one) for one in self._get(f"/resource_providers{query}")["resource_providers"]]

    def create_provider(self, uuid: str, name: str, parent_uuid: str | None) -> int:
        """Make a provider and return its generation."""
        body = {"uuid": uuid, "name": name, **({"parent_provider_uuid": parent_uuid} if parent_uuid else {})}
        return int(self._write("POST", "/resource_providers", body).get("generation", 0))

    def update_provider(self, uuid: str, name: str, parent_uuid: str | None) -> None:
        """Give a provider another name or parent."""
        self._write("PUT", f"/resource_providers/{uuid}", {"name": name, "parent_provider_uuid": parent_uuid})

    def delete_provider(self, uuid: str) -> None:
        """Delete a provider; one that is not there is none either."""
        with contextlib.suppress(faults.Missing):
            self._write("DELETE", f"/resource_providers/{uuid}", None)

    def inventories(self, uuid: str) -> tuple[int, dict[str, dict[str, Any]]]:
        """Return the provider's generation and its inventories by class."""
        found = self._get(f"/resource_providers/{uuid}/inventories")
        return int(found["resource_provider_generation"]), dict(found["inventories"])

    def set_inventories(self, uuid: str, generation: int, inventories: Records) -> int:
        """Replace all inventories and return the provider's generation."""
        body = {"resource_provider_generation": generation, "inventories": inventories}
        found = self._write("PUT", f"/resource_providers/{uuid}/inventories", body)
        return int(found.get("resource_provider_generation", generation))

    def traits(self, uuid: str) -> tuple[int, frozenset[str]]:
        """Return the provider's generation and its traits."""
        found = self._get(f"/resource_providers/{uuid}/traits")
        return int(found["resource_provider_generation"]), frozenset(found["traits"])

    def set_traits(self, uuid: str, generation: int, traits: frozenset[str]) -> None:
        """Replace all traits."""
        body = {"resource_provider_generation": generation, "traits": sorted(traits)}
        self._write("PUT", f"/resource_providers/{uuid}/traits", body)

    def known_traits(self) -> frozenset[str]:
        """Return every trait that can be set."""
        return frozenset(self._get("/traits")["traits"])

    def known_classes(self) -> frozenset[str]:
        """Return every resource class that can be used."""
        return frozenset(one["name"] for one in self._get("/resource_classes")["resource_classes"])

    def make_trait(self, name: str) -> None:
        """Make a trait of CUSTOM_; it may be there already."""
        self._write("PUT", f"/traits/{name}", None)

    def make_class(self, name: str) -> None:
        """Make a resource class of CUSTOM_; it may be there already."""
        self._write("PUT", f"/resource_classes/{name}", None)

    def usages(self, uuid: str) -> dict[str, int]:
        """Return what is held of each class of a provider."""
        return dict(self._get(f"/resource_providers/{uuid}/usages")["usages"])

    def holders(self, uuid: str) -> dict[str, dict[str, int]]:
        """Return what each consumer holds of a provider, by consumer uuid."""
        found = self._get(f"/resource_providers/{uuid}/allocations")["allocations"]
        return {consumer: dict(one["resources"]) for consumer, one in found.items()}

    def held(self, consumer: str) -> Held:
        """Return what a consumer holds."""
        found = self._get(f"/allocations/{consumer}")
        allocations = {uuid: dict(one["resources"]) for uuid, one in found["allocations"].items()}
        if not allocations:
            return Held(None, {})
        owner = [found.get(name) for name in ("project_id", "user_id", "consumer_type")]
        return Held(found["consumer_generation"], allocations, *owner)

    def set_allocations(self, consumers: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace everything that these consumers hold, all of them or none."""
        self._write("POST", "/allocations", consumers)

    def _get(self, path: str, **missing: Any) -> Any:
        self.negotiate()
        return self._ask("GET", path, None, **missing)

    def _write(self, method: str, path: str, body: Any) -> dict[str, Any]:
        self.negotiate()
        if self._dry is not None:
            self._dry(f"{method} {path}{'' if body is None else f' {_plain(body)}'}")
            return {}
        return self._ask(method, path, body) or {}

    def _root(self) -> dict[str, Any]:
        try:
            return dict(self._ask("GET", "/", None)["versions"][0])
        except (faults.Missing, faults.Refused, TypeError, KeyError, IndexError) as error:
            raise faults.Unavailable("what answers at its endpoint is not a Placement service") from error

    def _common(self, root: Mapping[str, Any]) -> Version:
        oldest, newest = (version(str(root.get(name, "1.0"))) for name in ("min_version", "max_version"))
        common = min(NEWEST, newest)
        if common < max(self._least, oldest):
            spoken, needed = f"{_shown(oldest)} to {_shown(newest)}", f"{_shown(self._least)} to {_shown(NEWEST)}"
            raise faults.Unavailable(f"it speaks the microversions {spoken}, we speak {needed}")
        return common

    def _ask(self, method: str, path: str, body: Any, **missing: Any) -> Any:
        """Send one request and return the JSON of its answer; ``missing`` is what to return for 404."""
        self._pulse()
        self.requests += 1
        sent = {} if body is None else {"json": body}
        try:
            answer = self._service.request(
                path, method, raise_exc=False, redirect=3, microversion=self._microversion(), **sent
            )
        except ksa.ClientException as error:
            raise faults.Unavailable(_one_line(error)) from error
        if answer.status_code == NOT_FOUND and "missing" in missing:
            return missing["missing"]
        return _read(answer)

    def _microversion(self) -> str | None:
        return None if self.version is None else _shown(self.version)


def version(text: str) -> Version:
    """Return a microversion as numbers; raises Unavailable for what is none."""
    found = re.fullmatch(r"(\d+)\.(\d+)", text)
    if found is None:
        raise faults.Unavailable(f"{text} is no microversion")
    return int(found[1]), int(found[2])


def _shown(of: Version) -> str:
    return f"{of[0]}.{of[1]}"


def _known(found: Mapping[str, Any]) -> Known:
    return Known(found["uuid"], found["name"], found.get("parent_provider_uuid"), int(found["generation"]))


def _read(answer: requests.Response) -> Any:
    status = answer.status_code
    if status < 300:
        return _json(answer) if answer.content else None
    code, detail = _fault(answer)
    if status in DENIED:
        raise faults.Unavailable(f"it does not let us in ({status}): check the credentials of [placement]. {detail}")
    if status == NOT_FOUND:
        raise faults.Missing(detail)
    if status == CONFLICT and code == faults.CONCURRENT_UPDATE:
        raise faults.Stale(detail)
    if status >= 500 or status in {TOO_MANY, NOT_ACCEPTABLE, 300, 301, 302, 307, 308, 408}:
        raise faults.Unavailable(f"it answers {status}: {detail}")
    raise faults.Refused(status, code, detail)


def _json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise faults.Unavailable("what answers at its endpoint does not speak JSON") from error


def _fault(answer: requests.Response) -> tuple[str, str]:
    """Return Placement's code and words for an error; a proxy's answer has neither."""
    try:
        first = answer.json()["errors"][0]
        return str(first.get("code", "")), _one_line(first.get("detail", "")) or str(first.get("title", ""))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return "", str(answer.reason)


def _one_line(of: object) -> str:
    return " ".join(str(of).split())


def _plain(body: Any) -> str:
    return _one_line({key: dict(value) if isinstance(value, Mapping) else value for key, value in body.items()})
