"""When a key was used last. Spec: AWS KMS API Reference, GetKeyLastUsage."""

from __future__ import annotations

from hsmkms.model.actions import Action
from hsmkms.service.call import Call
from hsmkms.service.region import RegionRoom
from hsmkms.service.results import KeyUse


class LastUsageVerbs(RegionRoom):
    """The verb about a key's last use."""

    def key_last_usage(self, call: Call, key_ref: str) -> KeyUse:
        """The last successful cryptographic operation with a key, as far as it has been written down.

        Workers write down what they know about once a minute; this one does so now.
        """
        key = self.resolve_without_alias(call, Action.GET_KEY_LAST_USAGE, key_ref)
        self.usage.write()
        store = self.usage.store
        uses = store.last_uses(key.all_versions)
        return KeyUse(
            key_id=key.key_id,
            last=max(uses, key=lambda use: use.used_at, default=None),
            tracked_since=max(store.tracked_since(), key.created_at),
            created_at=key.created_at,
        )
