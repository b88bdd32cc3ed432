"""Order and cycles of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def order(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Names so that each comes after all that it needs; otherwise in the given order.

    Names that lie on or behind a cycle, or behind an unknown name, are left out.
    """
    done: list[str] = []
    waiting = list(needs)
    while True:
        ready = [name for name in waiting if all(need in done for need in needs[name])]
        if not ready:
            return done
        done += ready
        waiting = [name for name in waiting if name not in done]


def cycle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """One cycle as a path that ends where it began ("a", "b", "a"), or an empty list."""
    colour: dict[str, int] = {}
    for start in needs:
        if colour.get(start):
            continue
        path: list[str] = []
        stack: list[tuple[str, int]] = [(start, 0)]
        while stack:
            name, index = stack.pop()
            if index == 0:
                colour[name] = 1
                path.append(name)
            following = [n for n in needs[name] if n in needs]
            if index < len(following):
                stack.append((name, index + 1))
                nxt = following[index]
                if colour.get(nxt) == 1:
                    return [*path[path.index(nxt) :], nxt]
                if not colour.get(nxt):
                    stack.append((nxt, 0))
            else:
                colour[name] = 2
                path.pop()
    return []
