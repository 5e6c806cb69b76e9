"""List and watch: the objects of a kind, as they are now, and who has changed."""

import logging
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import trio

from actors import World
from kube_operator.api import KubernetesApi
from kube_operator.errors import ClusterError, ExpiredError
from kube_operator.objects import Document, Key, Resource, key_of

MAX_OBJECTS: Final = 20_000  # of a kind in a place; some 200 MB at 10 KiB each
WATCH_SECONDS: Final = 300  # of a watch at least; up to twice as long, so that not all end at once
FIRST_DELAY: Final = 0.5
LAST_DELAY: Final = 30.0

log: Final = logging.getLogger("freehold.kubernetes")


class ObjectStore(Protocol):
    """Objects of a kind by name."""

    def get(self, key: Key) -> Document | None:
        """The object as last seen; not to be changed."""
        ...


class Informer:
    """The objects of one kind in one namespace (empty: in all), and a call for each change.

    A change of the status alone is none: who writes it would be called for it. `synced` is set by
    the first complete list.
    """

    def __init__(
        self,
        api: KubernetesApi,
        resource: Resource,
        namespace: str,
        on_change: Callable[[Key], None],
        world: World,
    ) -> None:
        self._api = api
        self._resource = resource
        self._namespace = namespace
        self._on_change = on_change
        self._world = world
        self._objects: dict[Key, Document] = {}
        self._version = ""
        self._failures = 0
        self.synced = trio.Event()
        self.lists = 0
        self.watches = 0

    def __iter__(self) -> Iterator[Key]:
        """The names of all objects."""
        return iter(list(self._objects))

    def get(self, key: Key) -> Document | None:
        """The object as last seen; not to be changed."""
        return self._objects.get(key)

    async def run(self) -> None:
        """Follow until cancelled: through ends, outages and versions that are not kept any more."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except ExpiredError:
                self._version = ""
                if not self._failures:  # a list that expires at once must not be a busy loop
                    self._failures = 1
                    continue
                await self._pause("its version is not kept any more")
            except ClusterError as error:
                await self._pause(str(error))

    async def _pause(self, why: str) -> None:
        self._failures += 1
        delay = min(FIRST_DELAY * 2.0 ** min(self._failures - 1, 10), LAST_DELAY)
        delay *= (1 + self._world.jitter()) / 2
        log.warning("%s: %s; again in %.1f s", self._resource.plural, why, delay)
        await self._world.sleep(delay)

    async def _list(self) -> None:
        """List all objects anew; those that are gone count as changed."""
        found: dict[Key, Document] = {}
        version = ""
        async for items, last in self._api.list_pages(self._resource, self._namespace):
            version = last
            for item in items:
                # Items of a list do not say what they are.
                item["apiVersion"], item["kind"] = self._resource.api_version, self._resource.kind
                found[key_of(item)] = _slim(item)
            if len(found) > MAX_OBJECTS:
                raise ClusterError(
                    0, "", f"there are more than {MAX_OBJECTS} {self._resource.plural}: "
                    "run an operator for a part of the namespaces"
                )  # fmt: skip
        before, self._objects = self._objects, found
        self._version = version
        self.lists += 1
        for key in before.keys() | found.keys():
            if _differs(before.get(key), found.get(key)):
                self._on_change(key)
        self.synced.set()

    async def _watch(self) -> None:
        seconds = int(WATCH_SECONDS * (1 + self._world.jitter()))
        async with self._api.watch(
            self._resource, self._namespace, self._version, seconds
        ) as events:
            self.watches += 1
            async for event in events:
                self._failures = 0
                if event.type != "BOOKMARK":
                    self._take(event.type, event.object)
                self._version = event.object["metadata"]["resourceVersion"]
        if self._failures:  # one that ends at once, time and again
            await self._pause("the watch ends at once")
        self._failures += 1

    def _take(self, kind: str, changed: Document) -> None:
        key = key_of(changed)
        before = self._objects.get(key)
        after = None if kind == "DELETED" else _slim(changed)
        if after is None:
            self._objects.pop(key, None)
        elif key in self._objects or len(self._objects) < MAX_OBJECTS:
            self._objects[key] = after
        else:
            raise ClusterError(0, "", f"there are more than {MAX_OBJECTS} of them")
        if _differs(before, after):
            self._on_change(key)


def _slim(document: Document) -> Document:
    """Without the record of who set which field, half of many an object, which nobody reads."""
    document["metadata"].pop("managedFields", None)
    return document


def _differs(before: Document | None, after: Document | None) -> bool:
    """Whether anything but the status has changed."""
    if before is None or after is None:
        return before is not after
    one, other = before["metadata"], after["metadata"]
    names = ("uid", "generation", "deletionTimestamp", "finalizers")
    return any(one.get(name) != other.get(name) for name in names)
