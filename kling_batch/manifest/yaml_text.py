"""YAML to nodes, over libyaml's events: positions, bounded work, and nothing that runs code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from kling_batch.manifest.nodes import MAX_DEPTH, ListNode, MapNode, Node, Page, Scalar, Unreadable
from kling_batch.manifest.scalars import resolve
from kling_batch.manifest.yaml_errors import worded

MAX_ALIASED = 2_000_000
"""How many values aliases may stand for in all. A few lines of nested aliases can stand for billions."""

_CORE = "tag:yaml.org,2002:"
_SCALAR_TAGS: dict[str, set[type]] = {"null": {type(None)}, "bool": {bool}, "int": {int}, "float": {float, int}}
_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str, page: Page, *, may_be_empty: bool = False) -> Node:
    """Read one document. `page` takes the problems that do not stop the reading; of an empty text comes no field.

    Raises:
        Unreadable: The text is no YAML, is empty, or is nested or aliased beyond reason.
    """
    try:
        return _Builder(yaml.parse(text, Loader=_LOADER), page).document(may_be_empty=may_be_empty)
    except yaml.MarkedYAMLError as error:
        raise worded(text, error, yaml.parse(text, Loader=_LOADER)) from error
    except yaml.reader.ReaderError as error:
        raise Unreadable(error.position, f"a character that YAML does not allow ({error.reason}); remove it") from error


def _index(mark: Any) -> int:
    return int(mark.index)


class _Builder:
    """Builds the tree of one document. `_count` is the number of values so far, aliases counted in full."""

    def __init__(self, events: Iterator[Any], page: Page) -> None:
        self._events = events
        self._page = page
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        self._count = 0
        self._aliased = 0

    def document(self, *, may_be_empty: bool) -> Node:
        if not any(isinstance(event, yaml.DocumentStartEvent) for event in self._events):
            if may_be_empty:
                return MapNode({}, {}, 0)
            raise Unreadable(0, "the file is empty; a manifest starts with `version: 1`")
        root = self._node(next(self._events), 0)
        for after in self._events:
            if isinstance(after, yaml.DocumentStartEvent):
                self._page.tell(
                    _index(after.start_mark),
                    "a second YAML document starts here; a manifest is one document: "
                    "remove the line `---`, or make two files",
                )
                break
        return root

    def _node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        self._count += 1
        if event.anchor is None:
            return self._fresh(event, depth)
        self._anchors[event.anchor] = None
        before = self._count
        node = self._fresh(event, depth)
        self._anchors[event.anchor] = node, self._count - before + 1
        return node

    def _fresh(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        at = event.start_mark.index
        if depth >= MAX_DEPTH:
            raise Unreadable(at, f"values are nested more than {MAX_DEPTH} deep")
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in {None, "!", _CORE + ("map" if is_mapping else "seq")}:
            self._refuse_tag(at, event.tag)
        return self._mapping(at, depth + 1) if is_mapping else self._sequence(at, depth + 1)

    def _alias(self, event: Any) -> Node:
        at = event.start_mark.index
        name = event.anchor
        if name not in self._anchors:
            raise Unreadable(at, f"`*{name}` stands for nothing: there is no `&{name}` before it")
        anchored = self._anchors[name]
        if anchored is None:
            raise Unreadable(at, f"`*{name}` stands inside of `&{name}` itself")
        node, size = anchored
        self._count += size
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            raise Unreadable(at, f"the aliases of this file stand for more than {MAX_ALIASED:,} values")
        return node

    def _scalar(self, event: Any) -> Scalar:
        text, tag, at = event.value, event.tag, event.start_mark.index
        if tag is None:
            return Scalar(resolve(text) if event.implicit[0] else text, text, at)
        kind = tag.removeprefix(_CORE)
        if tag in {"!", _CORE + "str"}:
            return Scalar(text, text, at)
        if not tag.startswith(_CORE) or kind not in _SCALAR_TAGS:
            self._refuse_tag(at, tag)
            return Scalar(text, text, at)
        value = resolve(text)
        if type(value) not in _SCALAR_TAGS[kind]:
            self._page.tell(at, f"the tag `!!{kind}` does not fit this value; remove the tag")
        return Scalar(value, text, at)

    def _sequence(self, at: int, depth: int) -> ListNode:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth))
        return ListNode(items, at)

    def _mapping(self, at: int, depth: int) -> MapNode:
        mapping = MapNode({}, {}, at)
        merged: list[MapNode] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key_at = event.start_mark.index
            key = self._node(event, depth)
            value = self._node(next(self._events), depth)
            if not isinstance(key, Scalar):
                self._page.tell(key_at, "a list or a mapping cannot be the name of a field; write a word")
            elif key.text == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
                merged.extend(self._merged(value))
            else:
                mapping.add(key.text, key_at, value, self._page)
        for node in merged:
            for name, value in node.items.items():
                if name not in mapping.items:
                    mapping.add(name, node.keys[name], value, self._page)
        return mapping

    def _merged(self, value: Node) -> list[MapNode]:
        if isinstance(value, MapNode):
            return [value]
        if isinstance(value, ListNode) and all(isinstance(item, MapNode) for item in value.items):
            return [item for item in value.items if isinstance(item, MapNode)]
        self._page.tell(value.at, "`<<` merges a mapping, or a list of mappings, such as `<<: *name`")
        return []

    def _refuse_tag(self, at: int, tag: str) -> None:
        shown = tag.replace(_CORE, "!!", 1)
        self._page.tell(at, f"the tag `{shown}` is not allowed: a manifest holds plain values; remove the tag")
