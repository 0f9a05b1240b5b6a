"""Objects through ctypes: made, searched, read, wrapped and destroyed by integer handles.

Templates are packed here, and the lock that some modules need is held here (docs/adr/0007).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Self

from hsmkms.formats.blob import MAX_PLAINTEXT_LENGTH, TAG_LENGTH
from hsmkms.hsm.function_list import CK_UNAVAILABLE_INFORMATION, Attribute, FunctionList, Mechanism
from hsmkms.hsm.return_codes import (
    CKR_ATTRIBUTE_SENSITIVE,
    CKR_ATTRIBUTE_TYPE_INVALID,
    CKR_BUFFER_TOO_SMALL,
    CkrError,
)

AttributeValue = bool | int | bytes | bytearray
Template = Mapping[int, AttributeValue]

CKM_RSA_PKCS_KEY_PAIR_GEN: Final = 0x00
CKM_AES_KEY_GEN: Final = 0x1080
CKA_CLASS: Final = 0x00
CKA_TOKEN: Final = 0x01
CKO_VENDOR_DEFINED: Final = 0x80000000

_NO_OBJECT: Final[Template] = {CKA_CLASS: CKO_VENDOR_DEFINED}
MAX_IV_LENGTH: Final = 16
BUFFER_LENGTH: Final = 8192
"""4096 of plaintext, tag and an appended IV fit, so no call asks for the size."""
_SEARCH_BATCH: Final = 512
_ATTRIBUTE_LENGTH: Final = 512  # the longest value that is ever read: the modulus of RSA_4096
# Attributes are read together; these codes mean that some of them could not be, and the others were.
_PARTLY_READ: Final = frozenset({CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_BUFFER_TOO_SMALL})

assert BUFFER_LENGTH >= MAX_PLAINTEXT_LENGTH + TAG_LENGTH + MAX_IV_LENGTH  # noqa: S101 - of constants


class _Packed:
    """A template as C sees it; its byte strings are wiped at the end of the block."""

    def __init__(self, template: Template) -> None:
        self.count = len(template)
        self._attributes = (Attribute * len(template))()
        self.address = ctypes.addressof(self._attributes)
        self._values: list[ctypes.c_ubyte | ctypes.c_ulong | ctypes.Array[ctypes.c_char]] = []
        for attribute, (kind, value) in zip(self._attributes, template.items(), strict=True):
            held: ctypes.c_ubyte | ctypes.c_ulong | ctypes.Array[ctypes.c_char]
            if isinstance(value, bool):
                held = ctypes.c_ubyte(value)
            elif isinstance(value, int):
                held = ctypes.c_ulong(value)
            else:
                held = (ctypes.c_char * max(len(value), 1)).from_buffer_copy(value or b"\0")
            self._values.append(held)
            attribute.type = kind
            attribute.pValue = ctypes.addressof(held)
            attribute.ulValueLen = ctypes.sizeof(held) if isinstance(value, int) else len(value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for held in self._values:
            if isinstance(held, ctypes.Array):  # CKA_VALUE of imported material may be among them
                ctypes.memset(ctypes.addressof(held), 0, ctypes.sizeof(held))


class ObjectSession:
    """What one session does with objects; not for two threads at once."""

    def __init__(
        self,
        functions: FunctionList,
        handle: int,
        objects_lock: AbstractContextManager[object] | None = None,
    ) -> None:
        """Prepare the buffer of a session.

        Args:
            objects_lock: held while the token's own objects are made, destroyed, searched or looked at, where
                the module cannot do these at the same time. Session objects live in its memory alone.
                Such a module also loses sight of others' objects when it writes its own (see ``_alone``).
        """
        self.handle = handle
        self._objects_lock = objects_lock or nullcontext()
        self._forgets_others = objects_lock is not None
        self._functions = functions
        self._buffer = ctypes.create_string_buffer(BUFFER_LENGTH)
        self._buffer_address = ctypes.addressof(self._buffer)
        self._length = ctypes.c_ulong()
        self._length_address = ctypes.addressof(self._length)

    # --- making -------------------------------------------------------------------------------------------

    def generate_key(self, template: Template) -> int:
        """Make an AES key; the handle of the new object."""
        mechanism = Mechanism(CKM_AES_KEY_GEN, None, 0)
        made = ctypes.c_ulong()
        with _Packed(template) as packed, self._to_change(template):
            code = self._functions.C_GenerateKey(
                self.handle, ctypes.addressof(mechanism), packed.address, packed.count, ctypes.addressof(made)
            )
        return _made("C_GenerateKey", code, made)

    def generate_key_pair(self, public: Template, private: Template) -> tuple[int, int]:
        """Make an RSA pair; the handles of the public and of the private key."""
        mechanism = Mechanism(CKM_RSA_PKCS_KEY_PAIR_GEN, None, 0)
        made_public, made_private = ctypes.c_ulong(), ctypes.c_ulong()
        with _Packed(public) as one, _Packed(private) as other, self._to_change(private):
            code = self._functions.C_GenerateKeyPair(
                self.handle,
                ctypes.addressof(mechanism),
                one.address,
                one.count,
                other.address,
                other.count,
                ctypes.addressof(made_public),
                ctypes.addressof(made_private),
            )
        return _made("C_GenerateKeyPair", code, made_public), made_private.value

    def create_object(self, template: Template) -> int:
        """Make an object of values that are given; its handle."""
        made = ctypes.c_ulong()
        with _Packed(template) as packed, self._to_change(template):
            code = self._create(packed, made)
        return _made("C_CreateObject", code, made)

    def create_if_fewer(self, search: Template, template: Template, count: int) -> None:
        """Make a token object if fewer than ``count`` fit the search; under the lock nobody comes in
        between.
        """
        made = ctypes.c_ulong()
        with _Packed(search) as wanted, _Packed(template) as packed, self._alone():
            if len(self._search(wanted, count)) >= count:
                return
            code = self._create(packed, made)
        _made("C_CreateObject", code, made)

    def _create(self, packed: _Packed, made: ctypes.c_ulong) -> int:
        return self._functions.C_CreateObject(
            self.handle, packed.address, packed.count, ctypes.addressof(made)
        )

    def copy_object(self, object_handle: int, template: Template) -> int:
        """A copy with other attributes; the probe asks for one too, and hopes to be refused."""
        made = ctypes.c_ulong()
        with _Packed(template) as packed, self._to_change(template):
            code = self._functions.C_CopyObject(
                self.handle, object_handle, packed.address, packed.count, ctypes.addressof(made)
            )
        return _made("C_CopyObject", code, made)

    def destroy_object(self, object_handle: int) -> None:
        """Destroy an object of the token's own."""
        with self._alone():
            self.destroy_session_object(object_handle)

    def destroy_session_object(self, object_handle: int) -> None:
        """Destroy an object that would go with its session."""
        code = self._functions.C_DestroyObject(self.handle, object_handle)
        if code:
            raise CkrError("C_DestroyObject", code)

    # --- wrapping -----------------------------------------------------------------------------------------

    def wrap_key(self, mechanism_number: int, wrapping_key: int, key: int) -> bytes:
        """A key under a wrapping key; the mechanism takes no parameter."""
        mechanism = Mechanism(mechanism_number, None, 0)
        self._length.value = BUFFER_LENGTH
        code = self._functions.C_WrapKey(
            self.handle,
            ctypes.addressof(mechanism),
            wrapping_key,
            key,
            self._buffer_address,
            self._length_address,
        )
        if code:
            raise CkrError("C_WrapKey", code)
        return ctypes.string_at(self._buffer_address, self._length.value)

    def unwrap_key(
        self,
        mechanism_number: int,
        unwrapping_key: int,
        wrapped_key: bytes,
        template: Template,
        parameter: ctypes.Structure | None = None,
    ) -> int:
        """Make an object of a wrapped key; its handle."""
        mechanism = Mechanism(mechanism_number, None, 0)
        if parameter is not None:
            mechanism.pParameter = ctypes.addressof(parameter)
            mechanism.ulParameterLen = ctypes.sizeof(parameter)
        made = ctypes.c_ulong()
        with _Packed(template) as packed, self._to_change(template):
            code = self._functions.C_UnwrapKey(
                self.handle,
                ctypes.addressof(mechanism),
                unwrapping_key,
                wrapped_key,
                len(wrapped_key),
                packed.address,
                packed.count,
                ctypes.addressof(made),
            )
        return _made("C_UnwrapKey", code, made)

    # --- looking ------------------------------------------------------------------------------------------

    def secret_value(self, object_handle: int, value_attribute: int) -> bytes:
        """One secret attribute (CKA_VALUE) of a session object; wiped from the buffer after copying."""
        attribute = Attribute(value_attribute, self._buffer_address, BUFFER_LENGTH)
        code = self._functions.C_GetAttributeValue(self.handle, object_handle, ctypes.addressof(attribute), 1)
        if code:
            raise CkrError("C_GetAttributeValue", code)
        value = ctypes.string_at(self._buffer_address, attribute.ulValueLen)
        ctypes.memset(self._buffer_address, 0, len(value))
        return value

    def attributes(self, object_handle: int, kinds: Sequence[int]) -> dict[int, bytes | None]:
        """Attributes by number, never secret ones; None for one that the token does not know or show."""
        with self._objects_lock:
            return self._read(object_handle, kinds)

    def _read(self, object_handle: int, kinds: Sequence[int]) -> dict[int, bytes | None]:
        asked = (Attribute * len(kinds))()
        values = ctypes.create_string_buffer(_ATTRIBUTE_LENGTH * len(kinds))
        start = ctypes.addressof(values)
        for index, (attribute, kind) in enumerate(zip(asked, kinds, strict=True)):
            attribute.type = kind
            attribute.pValue = start + index * _ATTRIBUTE_LENGTH
            attribute.ulValueLen = _ATTRIBUTE_LENGTH
        code = self._functions.C_GetAttributeValue(
            self.handle, object_handle, ctypes.addressof(asked), len(kinds)
        )
        if code and code not in _PARTLY_READ:
            raise CkrError("C_GetAttributeValue", code)
        return {
            kind: None
            if attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION or attribute.ulValueLen > _ATTRIBUTE_LENGTH
            else ctypes.string_at(attribute.pValue, attribute.ulValueLen)
            for attribute, kind in zip(asked, kinds, strict=True)
        }

    def replace_attribute(
        self,
        object_handles: Sequence[int],
        kind: int,
        choose: Callable[[Sequence[bytes | None]], tuple[int, bytes] | None],
    ) -> Sequence[bytes | None]:
        """Look at an attribute of some token objects, and write another value into one of them, or none.

        Under the lock nobody comes in between. No search goes before: SoftHSM keeps a generation number in
        each object's file too, so a new value takes nothing out of sight (tried on 2.6.1, unlike ``_alone``).

        Args:
            choose: from the values, in order, to the place of the object and its new value.

        Returns:
            What stands there now.
        """
        with self._objects_lock:
            values = [self._read(number, (kind,))[kind] for number in object_handles]
            chosen = choose(values)
            if chosen is None:
                return values
            place, value = chosen
            with _Packed({kind: value}) as packed:
                code = self._functions.C_SetAttributeValue(
                    self.handle, object_handles[place], packed.address, packed.count
                )
        if code:
            raise CkrError("C_SetAttributeValue", code)
        return [*values[:place], value, *values[place + 1 :]]

    def find_objects(self, template: Template, limit: int | None = None) -> list[int]:
        """Handles of the objects that fit, at most ``limit``."""
        with _Packed(template) as packed, self._objects_lock:
            return self._search(packed, limit)

    # --- the lock -----------------------------------------------------------------------------------------

    def _to_change(self, template: Template) -> AbstractContextManager[None]:
        """What has to be held to make an object of a template."""
        return self._alone() if template.get(CKA_TOKEN) else nullcontext()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock to change the token's objects, having seen all that others changed.

        SoftHSM reads its directory anew when the token's generation number has changed. To make or destroy an
        object it takes over the number as it stands then, so that what another process made since the last
        search would stay unseen until a third change (tried on 2.6.1).
        """
        with self._objects_lock:
            if self._forgets_others:
                with _Packed(_NO_OBJECT) as packed:
                    self._begin_search(packed)
                self._functions.C_FindObjectsFinal(self.handle)
            yield

    def _search(self, packed: _Packed, limit: int | None) -> list[int]:
        self._begin_search(packed)
        try:
            return self._found(limit)
        finally:
            # Its answer adds nothing: a session that cannot end its search says so at the next call.
            self._functions.C_FindObjectsFinal(self.handle)

    def _begin_search(self, packed: _Packed) -> None:
        code = self._functions.C_FindObjectsInit(self.handle, packed.address, packed.count)
        if code:
            raise CkrError("C_FindObjectsInit", code)

    def _found(self, limit: int | None) -> list[int]:
        batch = (ctypes.c_ulong * _SEARCH_BATCH)()
        count = ctypes.c_ulong()
        handles: list[int] = []
        while limit is None or len(handles) < limit:
            code = self._functions.C_FindObjects(
                self.handle, ctypes.addressof(batch), _SEARCH_BATCH, ctypes.addressof(count)
            )
            if code:
                raise CkrError("C_FindObjects", code)
            if not count.value:
                break
            handles.extend(batch[: count.value])
        return handles if limit is None else handles[:limit]


def _made(function: str, code: int, handle: ctypes.c_ulong) -> int:
    if code:
        raise CkrError(function, code)
    return handle.value
