"""The data plane: calls on integer handles through ctypes, with CKR codes as numbers.

The hot calls use structures and buffers that are made once a session: one session is used by one thread at
a time, and a call costs no allocation that it does not need. Plaintext is wiped from those buffers as soon
as it was copied out.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Protocol

from hsmkms.formats.blob import MAX_PLAINTEXT_LENGTH, TAG_LENGTH
from hsmkms.hsm.function_list import (
    CK_UNAVAILABLE_INFORMATION,
    Attribute,
    FunctionList,
    GcmParams,
    Mechanism,
    SessionInfo,
)
from hsmkms.hsm.return_codes import (
    CKR_ATTRIBUTE_SENSITIVE,
    CKR_ATTRIBUTE_TYPE_INVALID,
    CKR_BUFFER_TOO_SMALL,
    CkrError,
)

AttributeValue = bool | int | bytes
Template = Mapping[int, AttributeValue]

CKM_AES_KEY_GEN: Final = 0x1080
CKM_AES_GCM: Final = 0x1087
CKA_CLASS: Final = 0x00
CKA_TOKEN: Final = 0x01
CKO_VENDOR_DEFINED: Final = 0x80000000
CKU_USER: Final = 1
CKS_RW_USER_FUNCTIONS: Final = 3
CKS_RO_USER_FUNCTIONS: Final = 1

_NO_OBJECT: Final[Template] = {CKA_CLASS: CKO_VENDOR_DEFINED}
_MAX_IV_LENGTH: Final = 16
_BUFFER_LENGTH: Final = 8192  # 4096 of plaintext, tag and an appended IV fit, so no call asks for the size
_SEARCH_BATCH: Final = 512
_ATTRIBUTE_LENGTH: Final = 256  # the longest value that is ever read: a label
# Attributes are read together; these codes mean that some of them could not be, and the others were.
_PARTLY_READ: Final = frozenset({CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_BUFFER_TOO_SMALL})

assert _BUFFER_LENGTH >= MAX_PLAINTEXT_LENGTH + TAG_LENGTH + _MAX_IV_LENGTH  # noqa: S101 - of constants


class GcmSession(Protocol):
    """What sealing needs of a session; tests put tokens behind it that make IVs their own way."""

    def random(self, length: int) -> bytes:
        """Random bytes from the token, 1 to 8192."""

    def encrypt_gcm(self, key: int, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """What C_Encrypt put out: ciphertext, 16-byte tag, and what the token appends. Empty IV = NULL."""

    def iv_after_encrypt(self, length: int) -> bytes:
        """The IV field as the token left it, for tokens that write their own IV there."""

    def decrypt_gcm(self, key: int, iv: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        """The plaintext; raises ``CkrError`` with the token's own code for a bad tag."""


def _packed(template: Template) -> tuple[ctypes.Array[Attribute], list[object]]:
    """A template as C sees it, and the values that must outlive the call."""
    attributes = (Attribute * len(template))()
    values: list[object] = []
    for attribute, (kind, value) in zip(attributes, template.items(), strict=True):
        held: ctypes.c_ubyte | ctypes.c_ulong | ctypes.Array[ctypes.c_char]
        if isinstance(value, bool):
            held = ctypes.c_ubyte(value)
        elif isinstance(value, int):
            held = ctypes.c_ulong(value)
        else:
            held = ctypes.create_string_buffer(value, max(len(value), 1))
        values.append(held)
        attribute.type = kind
        attribute.pValue = ctypes.addressof(held)
        attribute.ulValueLen = len(value) if isinstance(value, bytes) else ctypes.sizeof(held)
    return attributes, values


class CryptoSession:
    """The calls of one session by its handle; not for two threads at once."""

    def __init__(
        self,
        functions: FunctionList,
        handle: int,
        *,
        iv_bits: bool = True,
        objects_lock: AbstractContextManager[object] | None = None,
    ) -> None:
        """Prepare the structures of a session.

        Args:
            iv_bits: whether ``ulIvBits`` is filled in.
            objects_lock: held while the token's own objects are made, destroyed, searched or looked at, where
                the module cannot do these at the same time. Session objects live in its memory alone.
                Such a module also loses sight of others' objects when it writes its own (see ``_alone``).
        """
        self.handle = handle
        self._objects_lock = objects_lock or nullcontext()
        self._forgets_others = objects_lock is not None
        self._functions = functions
        self._buffer = ctypes.create_string_buffer(_BUFFER_LENGTH)
        self._buffer_address = ctypes.addressof(self._buffer)
        self._length = ctypes.c_ulong()
        self._length_address = ctypes.addressof(self._length)
        self._iv = ctypes.create_string_buffer(_MAX_IV_LENGTH)
        self._iv_address = ctypes.addressof(self._iv)
        self._gcm = GcmParams(pIv=self._iv_address, ulTagBits=TAG_LENGTH * 8)
        self._mechanism = Mechanism(CKM_AES_GCM, ctypes.addressof(self._gcm), ctypes.sizeof(self._gcm))
        self._mechanism_address = ctypes.addressof(self._mechanism)
        self._sets_iv_bits = iv_bits

    # --- randomness and GCM: the hot path -----------------------------------------------------------------

    def random(self, length: int) -> bytes:
        """``length`` bytes, 1 to 8192, of the token's randomness."""
        if length > _BUFFER_LENGTH:
            raise ValueError(f"at most {_BUFFER_LENGTH} random bytes at once")
        code = self._functions.C_GenerateRandom(self.handle, self._buffer_address, length)
        if code:
            raise CkrError("C_GenerateRandom", code)
        value = ctypes.string_at(self._buffer_address, length)
        ctypes.memset(self._buffer_address, 0, length)  # a data key may be in it
        return value

    def _set_gcm(self, iv: bytes, aad: bytes) -> None:
        gcm = self._gcm
        iv_length = len(iv)
        if iv_length:
            ctypes.memmove(self._iv_address, iv, iv_length)
            gcm.pIv = self._iv_address
        else:
            gcm.pIv = None
        gcm.ulIvLen = iv_length
        gcm.ulIvBits = iv_length * 8 if self._sets_iv_bits else 0
        gcm.pAAD = aad
        gcm.ulAADLen = len(aad)

    def encrypt_gcm(self, key: int, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """AES-GCM with a 16-byte tag; an empty ``iv`` is passed as NULL."""
        self._set_gcm(iv, aad)
        functions, handle = self._functions, self.handle
        code = functions.C_EncryptInit(handle, self._mechanism_address, key)
        if code:
            raise CkrError("C_EncryptInit", code)
        self._length.value = _BUFFER_LENGTH
        code = functions.C_Encrypt(
            handle, plaintext, len(plaintext), self._buffer_address, self._length_address
        )
        if code:
            raise CkrError("C_Encrypt", code)
        return ctypes.string_at(self._buffer_address, self._length.value)

    def iv_after_encrypt(self, length: int) -> bytes:
        """The IV buffer of the last call as the token left it."""
        return ctypes.string_at(self._iv_address, length)

    def decrypt_gcm(self, key: int, iv: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        """The plaintext of ciphertext and 16-byte tag."""
        self._set_gcm(iv, aad)
        functions, handle, address = self._functions, self.handle, self._buffer_address
        code = functions.C_DecryptInit(handle, self._mechanism_address, key)
        if code:
            raise CkrError("C_DecryptInit", code)
        self._length.value = _BUFFER_LENGTH
        code = functions.C_Decrypt(handle, ciphertext, len(ciphertext), address, self._length_address)
        length = self._length.value
        if code:
            # A token may have put out plaintext that it then found to be forged.
            ctypes.memset(address, 0, min(max(length, len(ciphertext)), _BUFFER_LENGTH))
            raise CkrError("C_Decrypt", code)
        plaintext = ctypes.string_at(address, length)
        ctypes.memset(address, 0, length)
        return plaintext

    # --- keys and objects ---------------------------------------------------------------------------------

    def generate_key(self, template: Template) -> int:
        """Make an AES key; the handle of the new object."""
        attributes, _values = _packed(template)
        mechanism = Mechanism(CKM_AES_KEY_GEN, None, 0)
        handle = ctypes.c_ulong()
        with self._alone() if template[CKA_TOKEN] else nullcontext():
            code = self._functions.C_GenerateKey(
                self.handle,
                ctypes.addressof(mechanism),
                ctypes.addressof(attributes),
                len(attributes),
                ctypes.addressof(handle),
            )
        if code:
            raise CkrError("C_GenerateKey", code)
        return handle.value

    def wrap_key(self, mechanism_number: int, wrapping_key: int, key: int) -> bytes:
        """A key under a wrapping key; the mechanism takes no parameter."""
        mechanism = Mechanism(mechanism_number, None, 0)
        self._length.value = _BUFFER_LENGTH
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
        self, mechanism_number: int, unwrapping_key: int, wrapped_key: bytes, template: Template
    ) -> int:
        """Make an object of a wrapped key; its handle."""
        attributes, _values = _packed(template)
        mechanism = Mechanism(mechanism_number, None, 0)
        handle = ctypes.c_ulong()
        code = self._functions.C_UnwrapKey(
            self.handle,
            ctypes.addressof(mechanism),
            unwrapping_key,
            wrapped_key,
            len(wrapped_key),
            ctypes.addressof(attributes),
            len(attributes),
            ctypes.addressof(handle),
        )
        if code:
            raise CkrError("C_UnwrapKey", code)
        return handle.value

    def secret_value(self, object_handle: int, value_attribute: int) -> bytes:
        """One secret attribute (CKA_VALUE) of a session object; wiped from the buffer after copying."""
        attribute = Attribute(value_attribute, self._buffer_address, _BUFFER_LENGTH)
        code = self._functions.C_GetAttributeValue(self.handle, object_handle, ctypes.addressof(attribute), 1)
        if code:
            raise CkrError("C_GetAttributeValue", code)
        value = ctypes.string_at(self._buffer_address, attribute.ulValueLen)
        ctypes.memset(self._buffer_address, 0, len(value))
        return value

    def attributes(self, object_handle: int, kinds: Sequence[int]) -> dict[int, bytes | None]:
        """Attributes by number, never secret ones; None for one that the token does not know or show."""
        asked = (Attribute * len(kinds))()
        values = ctypes.create_string_buffer(_ATTRIBUTE_LENGTH * len(kinds))
        start = ctypes.addressof(values)
        for index, (attribute, kind) in enumerate(zip(asked, kinds, strict=True)):
            attribute.type = kind
            attribute.pValue = start + index * _ATTRIBUTE_LENGTH
            attribute.ulValueLen = _ATTRIBUTE_LENGTH
        with self._objects_lock:
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

    def find_objects(self, template: Template, limit: int | None = None) -> list[int]:
        """Handles of the objects that fit, at most ``limit``."""
        attributes, _values = _packed(template)
        with self._objects_lock:
            self._begin_search(attributes)
            try:
                return self._found(limit)
            finally:
                # Its answer adds nothing: a session that cannot end its search says so at the next call.
                self._functions.C_FindObjectsFinal(self.handle)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock to change the token's objects, having seen all that others changed.

        SoftHSM reads its directory anew when the token's generation number has changed. To change an object
        it takes over the number as it stands then, so that what another process made since the last search
        would stay unseen until a third change (tried on 2.6.1).
        """
        with self._objects_lock:
            if self._forgets_others:
                attributes, _values = _packed(_NO_OBJECT)
                self._begin_search(attributes)
                self._functions.C_FindObjectsFinal(self.handle)
            yield

    def _begin_search(self, attributes: ctypes.Array[Attribute]) -> None:
        code = self._functions.C_FindObjectsInit(self.handle, ctypes.addressof(attributes), len(attributes))
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

    def copy_object(self, object_handle: int, template: Template) -> int:
        """A copy with other attributes; only the probe asks for one, and hopes to be refused."""
        attributes, _values = _packed(template)
        handle = ctypes.c_ulong()
        code = self._functions.C_CopyObject(
            self.handle,
            object_handle,
            ctypes.addressof(attributes),
            len(attributes),
            ctypes.addressof(handle),
        )
        if code:
            raise CkrError("C_CopyObject", code)
        return handle.value

    def destroy_object(self, object_handle: int) -> None:
        """Destroy an object of the token's own."""
        with self._alone():
            self.destroy_session_object(object_handle)

    def destroy_session_object(self, object_handle: int) -> None:
        """Destroy an object that would go with its session."""
        code = self._functions.C_DestroyObject(self.handle, object_handle)
        if code:
            raise CkrError("C_DestroyObject", code)

    # --- the session itself -------------------------------------------------------------------------------

    def login_user(self, pin: Iterable[int]) -> None:
        """C_Login as the token's user; the copy of the PIN that is made for the call is wiped."""
        pin_bytes = bytearray(pin)
        copy = (ctypes.c_ubyte * max(len(pin_bytes), 1)).from_buffer(pin_bytes or bytearray(1))
        try:
            code = self._functions.C_Login(self.handle, CKU_USER, ctypes.addressof(copy), len(pin_bytes))
        finally:
            ctypes.memset(ctypes.addressof(copy), 0, ctypes.sizeof(copy))
        if code:
            raise CkrError("C_Login", code)

    def is_logged_in(self) -> bool:
        """True when the token says that the user is logged in on this session."""
        info = SessionInfo()
        code = self._functions.C_GetSessionInfo(self.handle, ctypes.addressof(info))
        if code:
            raise CkrError("C_GetSessionInfo", code)
        return info.state in (CKS_RW_USER_FUNCTIONS, CKS_RO_USER_FUNCTIONS)
