"""Makes code that calls something before it does what it did, on Python 3.11.

Contract: the function keeps its identity, name, signature and line numbers; only
its ``__code__`` is exchanged. Python 3.11 gets security fixes only, so the shape of
its bytecode stays as it is.
"""

from __future__ import annotations

import opcode
from collections.abc import Callable, Iterator
from types import CodeType

_UNIT = 2
#: How many units of the table of positions one entry may cover.
_MOST_UNITS = 8
#: In that table: a line, without columns.
_LINE_ONLY = 13


def calling_first(code: CodeType, hook: Callable[[], None]) -> CodeType:
    """Return ``code`` with a call of ``hook`` before all else that it does."""
    at = _after_resume(code.co_code)
    call = _call(len(code.co_consts))
    added = len(call) // _UNIT
    return code.replace(
        co_code=code.co_code[:at] + call + code.co_code[at:],
        co_consts=(*code.co_consts, hook),
        co_stacksize=max(code.co_stacksize, 3),
        co_linetable=_lines(code.co_linetable, at // _UNIT, added),
        co_exceptiontable=_exceptions(code.co_exceptiontable, at // _UNIT, added),
    )


def _after_resume(instructions: bytes) -> int:
    resume = opcode.opmap["RESUME"]
    for at in range(0, len(instructions), _UNIT):
        if instructions[at] == resume:
            return at + _UNIT
    raise ValueError("This code has no RESUME: it is not that of a function.")


def _call(constant: int) -> bytes:
    found = [_instruction("PUSH_NULL")]
    if constant > 0xFFFF:
        found.append(_instruction("EXTENDED_ARG", constant >> 16))
    if constant > 0xFF:
        found.append(_instruction("EXTENDED_ARG", constant >> 8 & 0xFF))
    found.append(_instruction("LOAD_CONST", constant & 0xFF))
    found += [_instruction("PRECALL"), _instruction("CALL"), _instruction("POP_TOP")]
    return b"".join(found)


def _instruction(name: str, argument: int = 0) -> bytes:
    number = opcode.opmap[name]
    caches: int = opcode._inline_cache_entries[number]  # type: ignore[attr-defined]
    return bytes([number, argument]) + bytes(_UNIT * caches)


def _lines(table: bytes, at: int, added: int) -> bytes:
    """Give ``added`` units the line that is in force before the unit ``at``."""
    position = units = 0
    while units < at:
        units += (table[position] & 7) + 1
        position += 1
        while position < len(table) and not table[position] & 0x80:
            position += 1
    entries = bytearray()
    while added:
        length = min(added, _MOST_UNITS)
        entries += bytes([0x80 | _LINE_ONLY << 3 | length - 1, 0])
        added -= length
    return table[:position] + bytes(entries) + table[position:]


def _exceptions(table: bytes, at: int, added: int) -> bytes:
    """Move what is handled from the unit ``at`` on, and its handlers."""
    numbers, found = list(_numbers(table)), bytearray()
    for n in range(0, len(numbers), 4):
        start, length, target, depth = numbers[n : n + 4]
        end = start + length
        start, end, target = (x + added if x >= at else x for x in (start, end, target))
        found += _number(start, begins=True)
        for each in (end - start, target, depth):
            found += _number(each)
    return bytes(found)


def _numbers(table: bytes) -> Iterator[int]:
    value = 0
    for byte in table:
        value = value << 6 | byte & 0x3F
        if not byte & 0x40:
            yield value
            value = 0


def _number(value: int, *, begins: bool = False) -> bytes:
    digits = [value & 0x3F]
    while value := value >> 6:
        digits.append(value & 0x3F | 0x40)
    digits.reverse()
    if begins:
        digits[0] |= 0x80
    return bytes(digits)
