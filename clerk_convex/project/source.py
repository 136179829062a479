"""Reads just enough of TypeScript to find a place in a file and to add a line there.

It is no parser. A file that is written in an unusual way yields None, and a person adds the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate

__all__ = ["Source", "exports"]

_OPENING, _CLOSING = "([{", ")]}"
# Comments, strings and templates. What is in them is blanked out.
_OPAQUE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`""", re.DOTALL
)
_IMPORT = re.compile(r"""^import\b[^;]*?["'][^"'\n]*["'](;?)[ \t]*$""", re.MULTILINE)


class Source:
    """The text of a TypeScript or JavaScript file.

    text: the file as it is.
    uncommented: the same, of equal length, with blanks in place of comments.
    code: the same again, with blanks also in place of what is in strings.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.uncommented = _OPAQUE.sub(lambda found: _blank(found) if found[0][0] == "/" else found[0], text)
        self.code = _OPAQUE.sub(_blank, text)

    @property
    def is_readable(self) -> bool:
        """Whether all brackets match, so that the places that are found are the right ones."""
        open_ones: list[str] = []
        for character in self.code:
            if character in _OPENING:
                open_ones.append(_CLOSING[_OPENING.index(character)])
            elif character in _CLOSING and (not open_ones or open_ones.pop() != character):
                return False
        return not open_ones

    def only(self, pattern: str) -> re.Match[str] | None:
        """Return the one match of a pattern in the code, or None if there is none or there are several."""
        found = list(re.finditer(pattern, self.code, re.MULTILINE))
        return found[0] if len(found) == 1 else None

    def entries(self, opening: int) -> Iterator[str]:
        """Yield each entry of the object or list that begins with the bracket at `opening`, without comments.

        This and `with_entry` are for a source that is readable.
        """
        depth, start, end = 0, opening + 1, self._end(opening)
        for at in range(start, end + 1):
            if depth == 0 and (at == end or self.code[at] == ","):
                if self.code[start:at].strip():
                    yield self.uncommented[start:at].strip()
                start = at + 1
            depth += _step(self.code[at])

    def with_entry(self, opening: int, entry: str) -> str:
        """Return the text with a new first entry in the object or list that begins at `opening`."""
        rest = self.text[opening + 1 :]
        before, bracket = self.text[:opening], self.text[opening]
        end = self._end(opening)
        if not self.text[opening + 1 : end].strip(" "):
            pad = " " if bracket == "{" else ""
            return f"{before}{bracket}{pad}{entry}{pad}{self.text[end:]}"
        line, newline, _ = rest.partition("\n")
        if newline and not self.code[opening + 1 : opening + 1 + len(line)].strip():
            return f"{before}{bracket}{line}\n{self._indent(opening)}{entry},{rest[len(line) :]}"
        spaces = rest[: len(rest) - len(rest.lstrip(" "))]
        return f"{before}{bracket}{spaces}{entry}, {rest.lstrip(' ')}"

    def with_import(self, names: str, path: str) -> str:
        """Return the text with an import after the last one, in the same style."""
        last = self.last_import
        if last is None:
            return f'import {{ {names} }} from "{path}";\n{self.text}'
        quote = last[0].rstrip("; \t")[-1]
        line = f"import {{ {names} }} from {quote}{path}{quote}{last[1]}"
        return f"{self.text[: last.end()]}\n{line}{self.text[last.end() :]}"

    @property
    def last_import(self) -> re.Match[str] | None:
        """The last import of the file. Its group 1 is the semicolon at its end, or nothing."""
        return next(reversed(list(_IMPORT.finditer(self.code))), None)

    def _end(self, opening: int) -> int:
        depths = accumulate(map(_step, self.code[opening:]))
        return opening + next(at for at, depth in enumerate(depths) if depth == 0)

    def _indent(self, opening: int) -> str:
        """Return the indent of the first entry, or two more than the closing bracket's."""
        line = next(line for line in self.text[opening:].split("\n")[1:] if line.strip())
        indent = line[: len(line) - len(line.lstrip())]
        return f"{indent}  " if line.strip()[0] in _CLOSING else indent


def exports(text: str) -> dict[str, str]:
    """Return the first line of each export of a file of ours, by its name."""
    found = re.finditer(r"^export (?:async )?(?:const|function|type) (\w+).*", text, re.MULTILINE)
    return {line[1]: line[0] for line in found}


def _step(character: str) -> int:
    return (character in _OPENING) - (character in _CLOSING)


def _blank(found: re.Match[str]) -> str:
    text = found[0]
    inside = re.sub(r"[^\n]", " ", text)
    return inside if text.startswith("/") else f"{text[0]}{inside[1:-1]}{text[-1]}"
