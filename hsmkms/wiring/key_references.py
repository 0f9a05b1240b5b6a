"""How an operator names a key: whosever it is, without leave."""

from __future__ import annotations

from hsmkms.errors import NotFoundError
from hsmkms.model.keys import Key
from hsmkms.model.names import KeyId, Region, parse_kms_arn
from hsmkms.ports.store import KeySnapshot


def find_key(snapshot: KeySnapshot, region: Region, key_ref: str) -> Key:
    """The key of any account that an id or an ARN names; no alias does.

    Raises:
        NotFoundError: there is none in this region, or the ARN is another region's.
        InvalidArnError: malformed.
    """
    account, key_id = None, key_ref
    if key_ref.startswith("arn:"):
        arn = parse_kms_arn(key_ref)
        account, key_id = arn.account, arn.resource.removeprefix("key/")
        if arn.region != region:
            raise NotFoundError(f"{key_ref} is not a key of region {region}")
    key = snapshot.keys.get(KeyId(key_id))
    if key is None or account not in (None, key.account):
        raise NotFoundError(f"there is no key {key_ref} in region {region}")
    return key
