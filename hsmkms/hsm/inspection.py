"""What an operator wants to know of a token: what it is, what it can, what it holds."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pkcs11 import Attribute, Mechanism, MechanismFlag, Token
from pkcs11.exceptions import PKCS11Error

from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.function_list import CK_UNAVAILABLE_INFORMATION, TokenInfo
from hsmkms.hsm.handles import Handle, scan_objects
from hsmkms.hsm.link import Link
from hsmkms.hsm.module import Module
from hsmkms.hsm.profiles import Profile
from hsmkms.hsm.return_codes import CKR_OK, CkrError, ckr_error
from hsmkms.hsm.sessions import control_session
from hsmkms.hsm.usages import Purpose, faults, read_back_attributes
from hsmkms.model.keys import KeyOrigin
from hsmkms.model.names import MaterialId

_SHOWN: Final[Mapping[str, Attribute]] = {
    "sensitive": Attribute.SENSITIVE,
    "always_sensitive": Attribute.ALWAYS_SENSITIVE,
    "extractable": Attribute.EXTRACTABLE,
    "never_extractable": Attribute.NEVER_EXTRACTABLE,
    "local": Attribute.LOCAL,
}


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What a token says of itself; None where it does not say.

    Attributes:
        mechanisms: names (or numbers) of mechanisms and the names of their flags.
        free_private_memory: bytes.
        max_sessions: None also for "without limit".
    """

    label: str
    serial: str
    manufacturer: str
    model: str
    firmware: str
    mechanisms: Mapping[str, Sequence[str]]
    max_sessions: int | None
    open_sessions: int | None
    free_private_memory: int | None
    total_private_memory: int | None


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """One version's object.

    Attributes:
        attributes: protection by its name in ``pkcs11-tool``; None where the token does not say.
        faults: attributes that are not as they must be.
    """

    material_id: MaterialId
    key_id: str
    attributes: Mapping[str, bool | None]
    faults: Sequence[str]


@dataclass(frozen=True, slots=True)
class Inventory:
    """The version objects of a token against the rows of a store.

    Attributes:
        missing: in a row and not in the token.
        unknown: in the token and in no row; reported, never deleted by itself.
        duplicate: borne by two objects, and so not usable.
    """

    objects: Sequence[ObjectFacts]
    missing: Sequence[MaterialId]
    unknown: Sequence[MaterialId]
    duplicate: Sequence[MaterialId]


def token_facts(module: Module, token: Token) -> TokenFacts:
    """Ask a token for what it says of itself; needs no login.

    Raises:
        CkrError: the token does not answer.
    """
    info = TokenInfo()
    code = module.functions.C_GetTokenInfo(token.slot.slot_id, ctypes.addressof(info))
    if code != CKR_OK:
        raise CkrError("C_GetTokenInfo", code)
    major, minor = token.firmware_version
    return TokenFacts(
        label=token.label,
        serial=token.serial.decode("ascii", "replace"),
        manufacturer=token.manufacturer_id,
        model=token.model,
        firmware=f"{major}.{minor}",
        mechanisms=_mechanisms(token),
        max_sessions=_count(info.ulMaxSessionCount) or None,
        open_sessions=_count(info.ulSessionCount),
        free_private_memory=_count(info.ulFreePrivateMemory),
        total_private_memory=_count(info.ulTotalPrivateMemory),
    )


def _count(number: int) -> int | None:
    return None if number == CK_UNAVAILABLE_INFORMATION else number


def _mechanisms(token: Token) -> dict[str, Sequence[str]]:
    try:
        known = sorted(token.slot.get_mechanisms(), key=int)
    except PKCS11Error as error:
        raise ckr_error("C_GetMechanismList", error) from error
    facts: dict[str, Sequence[str]] = {}
    for mechanism in known:
        name = mechanism.name if isinstance(mechanism, Mechanism) else f"0x{int(mechanism):08x}"
        with contextlib.suppress(PKCS11Error):
            flags = token.slot.get_mechanism_info(mechanism).flags
            facts[name] = [flag.name for flag in MechanismFlag if flag.name and flags & flag]
    return facts


def take_inventory(link: Link, profile: Profile, origins: Mapping[MaterialId, KeyOrigin]) -> Inventory:
    """Compare the token's version objects with the rows, and read their attributes.

    Costs a search over the whole token and one call an object, on the anchor session: not beside requests.

    Args:
        origins: of the rows' versions: what an object's attributes must say depends on where it comes from.

    Raises:
        CkrError: the token failed.
    """
    session = control_session(link.module, link.anchor, profile)
    handles = scan_objects(session, link.generation).of(Purpose.CMK)
    counted: dict[bytes, int] = {}
    for handle in handles:
        counted[handle.object_id] = counted.get(handle.object_id, 0) + 1
    return Inventory(
        objects=[_object_facts(session, handle, profile, origins) for handle in handles],
        missing=sorted(origins.keys() - counted.keys()),
        unknown=sorted(MaterialId(found) for found in counted.keys() - origins.keys()),
        duplicate=sorted(MaterialId(found) for found, count in counted.items() if count > 1),
    )


def _object_facts(
    session: CryptoSession, handle: Handle, profile: Profile, origins: Mapping[MaterialId, KeyOrigin]
) -> ObjectFacts:
    read = session.attributes(handle.number, read_back_attributes(profile))
    material_id = MaterialId(handle.object_id)
    # Nobody knows where an object without a row comes from: what would be a fault either way is one.
    possible = [origins[material_id]] if material_id in origins else list(KeyOrigin)
    found = [faults(handle.object_name, material_id, read, profile, origin) for origin in possible]
    return ObjectFacts(
        material_id,
        handle.object_name.name,
        {name: _flag(read[kind]) for name, kind in _SHOWN.items()},
        min(found, key=len),
    )


def _flag(raw: bytes | None) -> bool | None:
    return None if raw is None else raw != b"\0"
