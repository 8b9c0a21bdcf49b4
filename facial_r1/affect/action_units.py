"""FACS action units: codes, names, face region and muscles.

Names and muscles follow the Facial Action Coding System (Ekman, Friesen and Hager, *Facial Action Coding System:
The Manual*, 2002). Region ``upper`` covers brows, lids and cheeks as in the manual's upper face chapter,
``lower`` everything below the infraorbital furrow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Region = Literal["upper", "lower"]


@dataclass(frozen=True, slots=True)
class ActionUnit:
    """One action unit of FACS.

    Attributes:
        code: Canonical spelling, for example ``"AU12"``.
        number: The number in FACS, for example ``12``.
        name: The name in the manual, for example ``"Lip corner puller"``.
        region: ``"upper"`` or ``"lower"`` face.
        muscle: The muscles that produce it.
    """

    code: str
    number: int
    name: str
    region: Region
    muscle: str


_ROWS: tuple[tuple[int, str, Region, str], ...] = (
    (1, "Inner brow raiser", "upper", "frontalis, pars medialis"),
    (2, "Outer brow raiser", "upper", "frontalis, pars lateralis"),
    (4, "Brow lowerer", "upper", "corrugator supercilii, depressor supercilii, depressor glabellae"),
    (5, "Upper lid raiser", "upper", "levator palpebrae superioris"),
    (6, "Cheek raiser", "upper", "orbicularis oculi, pars orbitalis"),
    (7, "Lid tightener", "upper", "orbicularis oculi, pars palpebralis"),
    (8, "Lips toward each other", "lower", "orbicularis oris"),
    (9, "Nose wrinkler", "lower", "levator labii superioris alaeque nasi"),
    (10, "Upper lip raiser", "lower", "levator labii superioris"),
    (11, "Nasolabial furrow deepener", "lower", "zygomaticus minor"),
    (12, "Lip corner puller", "lower", "zygomaticus major"),
    (13, "Sharp lip puller", "lower", "levator anguli oris"),
    (14, "Dimpler", "lower", "buccinator"),
    (15, "Lip corner depressor", "lower", "depressor anguli oris"),
    (16, "Lower lip depressor", "lower", "depressor labii inferioris"),
    (17, "Chin raiser", "lower", "mentalis"),
    (18, "Lip pucker", "lower", "incisivii labii superioris and inferioris"),
    (19, "Tongue show", "lower", "genioglossus"),
    (20, "Lip stretcher", "lower", "risorius"),
    (21, "Neck tightener", "lower", "platysma"),
    (22, "Lip funneler", "lower", "orbicularis oris"),
    (23, "Lip tightener", "lower", "orbicularis oris"),
    (24, "Lip pressor", "lower", "orbicularis oris"),
    (25, "Lips part", "lower", "depressor labii inferioris, or relaxation of mentalis or orbicularis oris"),
    (26, "Jaw drop", "lower", "masseter, relaxed temporalis and internal pterygoid"),
    (27, "Mouth stretch", "lower", "pterygoids, digastric"),
    (28, "Lip suck", "lower", "orbicularis oris"),
    (29, "Jaw thrust", "lower", "pterygoids"),
    (30, "Jaw sideways", "lower", "pterygoids"),
    (31, "Jaw clencher", "lower", "masseter"),
    (32, "Lip bite", "lower", "orbicularis oris, jaw closers"),
    (33, "Cheek blow", "lower", "buccinator, relaxed orbicularis oris"),
    (34, "Cheek puff", "lower", "orbicularis oris, buccinator"),
    (35, "Cheek suck", "lower", "buccinator"),
    (36, "Tongue bulge", "lower", "tongue"),
    (37, "Lip wipe", "lower", "tongue"),
    (38, "Nostril dilator", "lower", "nasalis, pars alaris"),
    (39, "Nostril compressor", "lower", "nasalis, pars transversa, and depressor septi nasi"),
    (41, "Lid droop", "upper", "relaxation of levator palpebrae superioris"),
    (42, "Slit", "upper", "orbicularis oculi"),
    (43, "Eyes closed", "upper", "relaxation of levator palpebrae superioris; orbicularis oculi, pars palpebralis"),
    (44, "Squint", "upper", "orbicularis oculi, pars palpebralis"),
    (45, "Blink", "upper", "relaxation of levator palpebrae superioris; orbicularis oculi, pars palpebralis"),
    (46, "Wink", "upper", "relaxation of levator palpebrae superioris; orbicularis oculi, pars palpebralis"),
)

ACTION_UNITS: dict[str, ActionUnit] = {
    f"AU{number}": ActionUnit(f"AU{number}", number, name, region, muscle) for number, name, region, muscle in _ROWS
}
"""All known units by canonical code, in the order of their numbers."""

PAPER_NAMES: dict[str, str] = {
    f"AU{number}": ACTION_UNITS[f"AU{number}"].name
    for number in (*(1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20), *range(22, 33), 43)
} | {"AU11": "Nasolabial Furrow Deepener", "AU13": "Cheek puffer", "AU25": "Lips parted"}
"""The 30 units that the prompt of the released Facial-R1 code defines, with its names for them, in its order."""

MISNAMED_IN_PAPER: tuple[str, ...] = ("AU13",)
"""Units that it calls by another unit's name: puffing the cheeks is AU34. AU11 and AU25 only differ in spelling."""

_CODE = re.compile(r"\s*(?:AU)?[\s_-]*0*(\d{1,3})\s*", re.IGNORECASE)


def normalise_code(text: str | int) -> str | None:
    """Return the canonical code of an action unit, or None when FACS has no such unit in our table.

    Args:
        text: ``"AU12"``, ``"au 12"``, ``"AU-12"``, ``"AU012"``, ``"12"`` or ``12``.
    """
    match = _CODE.fullmatch(str(text))
    if match is None:
        return None
    code = f"AU{int(match.group(1))}"
    return code if code in ACTION_UNITS else None


def sort_codes(codes: Iterable[str]) -> list[str]:
    """Return canonical codes without duplicates, ordered by their FACS number.

    Raises:
        ValueError: A code is not of the form ``AU<number>``.
    """
    return sorted(set(codes), key=lambda code: int(code.removeprefix("AU")))
