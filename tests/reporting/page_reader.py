"""Reads a page as a browser would take it apart: elements, their attributes and their text."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr", "wbr"}


@dataclass(eq=False, repr=False)
class Element:
    tag: str
    attributes: dict
    parent: "Element | None" = None
    children: list = field(default_factory=list)
    pieces: list = field(default_factory=list)

    def find_all(self, tag):
        for child in self.children:
            if child.tag == tag:
                yield child
            yield from child.find_all(tag)

    def every(self):
        for child in self.children:
            yield child
            yield from child.every()

    @property
    def text(self):
        return " ".join("".join(self._texts()).split())

    def _texts(self):
        for piece in self.pieces:
            if isinstance(piece, Element):
                yield from piece._texts()
            else:
                yield piece


class Page(HTMLParser):
    """The element tree of a page; raises AssertionError where elements are not closed in order."""

    def __init__(self, source):
        super().__init__()
        self.source = source
        self.root = self.here = Element("page", {})
        self.feed(source)
        assert self.here is self.root, f"<{self.here.tag}> is never closed"

    @classmethod
    def read(cls, path):
        return cls(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        element = Element(tag, dict(attrs), self.here)
        self.here.children.append(element)
        self.here.pieces.append(element)
        if tag not in VOID:
            self.here = element

    def handle_startendtag(self, tag, attrs):
        element = Element(tag, dict(attrs), self.here)
        self.here.children.append(element)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.here.tag == tag, f"<{self.here.tag}> closed by </{tag}>"
            self.here = self.here.parent

    def handle_data(self, data):
        self.here.pieces.append(data)

    def find_all(self, tag):
        return list(self.root.find_all(tag))

    def figure(self, name):
        (found,) = [f for f in self.find_all("figure") if f.attributes.get("id") == name]
        return found
