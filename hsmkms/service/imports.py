"""The verbs about imported key material.

Spec: AWS KMS API Reference, GetParametersForImport, ImportKeyMaterial, DeleteImportedKeyMaterial.
"""

from __future__ import annotations

from datetime import datetime

from hsmkms.errors import NotFoundError, UnsupportedOperationError
from hsmkms.formats.material_id import key_material_id
from hsmkms.model.actions import Action
from hsmkms.model.imports import ImportType, WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import Key, KeyOrigin
from hsmkms.model.names import MaterialId
from hsmkms.service.call import Call
from hsmkms.service.importing import ImportPlan, MaterialImporter
from hsmkms.service.key_context import Particulars
from hsmkms.service.region import RegionRoom
from hsmkms.service.results import ImportedMaterial, ImportParameters


class ImportVerbs(RegionRoom):
    """The verbs about imported key material."""

    @property
    def importer(self) -> MaterialImporter:
        """Imports this region's key material."""
        return MaterialImporter(self.region, self.hsm, self.keys, self.budget, self.clock)

    def parameters_for_import(
        self, call: Call, key_ref: str, algorithm: WrappingAlgorithm, key_spec: WrappingKeySpec
    ) -> ImportParameters:
        """A public key to wrap key material under, and the token that goes with it; good for 24 hours.

        Raises:
            UnsupportedOperationError: the key's material is not imported; or this region unwraps no material
                of this algorithm.
        """
        particulars = Particulars(
            more={"kms:wrappingalgorithm": (algorithm.value,), "kms:wrappingkeyspec": (key_spec.value,)}
        )
        key = self.resolve_without_alias(call, Action.GET_PARAMETERS_FOR_IMPORT, key_ref, particulars)
        self._require_external(key)
        self.require_state(Action.GET_PARAMETERS_FOR_IMPORT, key)
        # To CloudTrail this reads, but a pair of keys that nobody can be told of is not made.
        self.trail.require_writable()
        return self.importer.parameters(key, algorithm, key_spec)

    def import_key_material(
        self,
        call: Call,
        key_ref: str,
        *,
        import_token: bytes,
        encrypted_material: bytes,
        expires_at: datetime | None,
        import_type: ImportType | None,
        key_material_id: str | None,
        description: str | None,
    ) -> ImportedMaterial:
        """Import key material, new or the same again; see ``MaterialImporter.take_in``.

        Raises:
            ValidationError: it would expire in the past, or in more than 365 days.
            InvalidImportTokenError, ExpiredImportTokenError: the token is another key's, or too old.
        """
        particulars = Particulars(more=_conditions(expires_at))
        key = self.resolve_without_alias(call, Action.IMPORT_KEY_MATERIAL, key_ref, particulars)
        self._require_external(key)
        self.require_state(Action.IMPORT_KEY_MATERIAL, key)
        self.importer.require_validity(expires_at)
        pair = self.importer.pair_of(key, import_token)
        call.additional["unwrappedIn"] = "token" if pair.sealed_private_key is None else "software"
        plan = ImportPlan(import_type, key_material_id, expires_at, description)
        version = self.importer.take_in(key, pair, encrypted_material, plan)
        return self._answer(call, key, version.material_id)

    def delete_imported_key_material(
        self, call: Call, key_ref: str, key_material_id: str | None
    ) -> ImportedMaterial:
        """Delete imported key material, the current one unless another is named. It may come again.

        Raises:
            NotFoundError: the key has no such material.
        """
        key = self.resolve_without_alias(call, Action.DELETE_IMPORTED_KEY_MATERIAL, key_ref)
        self._require_external(key)
        self.require_state(Action.DELETE_IMPORTED_KEY_MATERIAL, key)
        material_id = self._named_material(key, key_material_id)
        if material_id is None or self.importer.give_up(key, material_id) is None:
            return ImportedMaterial(self.key_arn(key), None)
        return self._answer(call, key, material_id)

    def _named_material(self, key: Key, name: str | None) -> MaterialId | None:
        if name is None:
            return key.current_material_id
        for material_id in key.all_versions:
            if key_material_id(key.key_id, material_id) == name:
                return material_id
        raise NotFoundError(f"{self.key_arn(key)} has no key material {name}.")

    def _answer(self, call: Call, key: Key, material_id: MaterialId) -> ImportedMaterial:
        name = call.additional["keyMaterialId"] = key_material_id(key.key_id, material_id)
        return ImportedMaterial(self.key_arn(key), name)

    def _require_external(self, key: Key) -> None:
        if key.origin is not KeyOrigin.EXTERNAL:
            raise UnsupportedOperationError(
                f"{self.key_arn(key)} origin is {key.origin} which is not valid for this operation."
            )


def _conditions(expires_at: datetime | None) -> dict[str, tuple[str, ...]]:
    if expires_at is None:
        return {"kms:expirationmodel": ("KEY_MATERIAL_DOES_NOT_EXPIRE",)}
    return {
        "kms:expirationmodel": ("KEY_MATERIAL_EXPIRES",),
        "kms:validto": (expires_at.isoformat(timespec="seconds").replace("+00:00", "Z"),),
    }
