/* The 68 functions in the order of CK_FUNCTION_LIST (PKCS#11 2.40): this order is the ABI, and also the
 * order of the counters in the statistics file. tests/faultshim.py reads the names from here.
 *
 * FUNCTION(kind, name, parameters, arguments) is defined by whoever includes this file. The kind says what
 * the pass-through has to do beside the call:
 *   PLAIN       nothing
 *   SESSION     translate the session handle, the parameter `session`
 *   BYTES       as SESSION; the token wrote `*out_length` bytes to `out`, which are recorded
 *   RANDOM      the same with `out_length` by value
 *   ATTRIBUTES  the same with the attributes of `template`
 *   CLOSE, CLOSE_SLOT, CLOSE_ALL  forget `session`, the sessions of `slot`, all sessions
 *   OWN         written by hand in faultshim.c
 */
FUNCTION(PLAIN, C_Initialize, (void *init_args), (init_args))
FUNCTION(CLOSE_ALL, C_Finalize, (void *reserved), (reserved))
FUNCTION(PLAIN, C_GetInfo, (void *info), (info))
FUNCTION(OWN, C_GetFunctionList, (struct function_list **list), (list))
FUNCTION(OWN, C_GetSlotList, (CK_BBOOL present, CK_ULONG *slots, CK_ULONG *count), (present, slots, count))
FUNCTION(PLAIN, C_GetSlotInfo, (CK_ULONG slot, void *info), (slot, info))
FUNCTION(PLAIN, C_GetTokenInfo, (CK_ULONG slot, void *info), (slot, info))
FUNCTION(PLAIN, C_GetMechanismList, (CK_ULONG slot, CK_ULONG *types, CK_ULONG *count), (slot, types, count))
FUNCTION(PLAIN, C_GetMechanismInfo, (CK_ULONG slot, CK_ULONG type, void *info), (slot, type, info))
FUNCTION(PLAIN, C_InitToken, (CK_ULONG slot, CK_BYTE *pin, CK_ULONG pin_length, CK_BYTE *label),
         (slot, pin, pin_length, label))
FUNCTION(SESSION, C_InitPIN, (CK_ULONG session, CK_BYTE *pin, CK_ULONG pin_length), (session, pin, pin_length))
FUNCTION(SESSION, C_SetPIN, (CK_ULONG session, CK_BYTE *old, CK_ULONG old_length, CK_BYTE *pin, CK_ULONG pin_length),
         (session, old, old_length, pin, pin_length))
FUNCTION(OWN, C_OpenSession, (CK_ULONG slot, CK_ULONG flags, void *application, void *notify, CK_ULONG *session),
         (slot, flags, application, notify, session))
FUNCTION(CLOSE, C_CloseSession, (CK_ULONG session), (session))
FUNCTION(CLOSE_SLOT, C_CloseAllSessions, (CK_ULONG slot), (slot))
FUNCTION(SESSION, C_GetSessionInfo, (CK_ULONG session, void *info), (session, info))
FUNCTION(BYTES, C_GetOperationState, (CK_ULONG session, CK_BYTE *out, CK_ULONG *out_length),
         (session, out, out_length))
FUNCTION(SESSION, C_SetOperationState,
         (CK_ULONG session, CK_BYTE *state, CK_ULONG length, CK_ULONG cipher_key, CK_ULONG signing_key),
         (session, state, length, cipher_key, signing_key))
FUNCTION(SESSION, C_Login, (CK_ULONG session, CK_ULONG user, CK_BYTE *pin, CK_ULONG pin_length),
         (session, user, pin, pin_length))
FUNCTION(SESSION, C_Logout, (CK_ULONG session), (session))
FUNCTION(SESSION, C_CreateObject, (CK_ULONG session, struct attribute *template, CK_ULONG count, CK_ULONG *object),
         (session, template, count, object))
FUNCTION(SESSION, C_CopyObject,
         (CK_ULONG session, CK_ULONG object, struct attribute *template, CK_ULONG count, CK_ULONG *copy),
         (session, object, template, count, copy))
FUNCTION(SESSION, C_DestroyObject, (CK_ULONG session, CK_ULONG object), (session, object))
FUNCTION(SESSION, C_GetObjectSize, (CK_ULONG session, CK_ULONG object, CK_ULONG *size), (session, object, size))
FUNCTION(ATTRIBUTES, C_GetAttributeValue,
         (CK_ULONG session, CK_ULONG object, struct attribute *template, CK_ULONG count),
         (session, object, template, count))
FUNCTION(SESSION, C_SetAttributeValue,
         (CK_ULONG session, CK_ULONG object, struct attribute *template, CK_ULONG count),
         (session, object, template, count))
FUNCTION(SESSION, C_FindObjectsInit, (CK_ULONG session, struct attribute *template, CK_ULONG count),
         (session, template, count))
FUNCTION(SESSION, C_FindObjects, (CK_ULONG session, CK_ULONG *objects, CK_ULONG limit, CK_ULONG *count),
         (session, objects, limit, count))
FUNCTION(SESSION, C_FindObjectsFinal, (CK_ULONG session), (session))
FUNCTION(SESSION, C_EncryptInit, (CK_ULONG session, void *mechanism, CK_ULONG key), (session, mechanism, key))
FUNCTION(BYTES, C_Encrypt,
         (CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *out, CK_ULONG *out_length),
         (session, in, in_length, out, out_length))
FUNCTION(BYTES, C_EncryptUpdate,
         (CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *out, CK_ULONG *out_length),
         (session, in, in_length, out, out_length))
FUNCTION(BYTES, C_EncryptFinal, (CK_ULONG session, CK_BYTE *out, CK_ULONG *out_length), (session, out, out_length))
FUNCTION(SESSION, C_DecryptInit, (CK_ULONG session, void *mechanism, CK_ULONG key), (session, mechanism, key))
FUNCTION(BYTES, C_Decrypt,
         (CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *out, CK_ULONG *out_length),
         (session, in, in_length, out, out_length))
FUNCTION(BYTES, C_DecryptUpdate,
         (CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *out, CK_ULONG *out_length),
         (session, in, in_length, out, out_length))
FUNCTION(BYTES, C_DecryptFinal, (CK_ULONG session, CK_BYTE *out, CK_ULONG *out_length), (session, out, out_length))
FUNCTION(SESSION, C_DigestInit, (CK_ULONG session, void *mechanism), (session, mechanism))
FUNCTION(BYTES, C_Digest,
         (CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *out, CK_ULONG *out_length),
         (session, in, in_length, out, out_length))
FUNCTION(SESSION, C_DigestUpdate, (CK_ULONG session, CK_BYTE *in, CK_ULONG in_length), (session, in, in_length))
FUNCTION(SESSION, C_DigestKey, (CK_ULONG session, CK_ULONG key), (session, key))
FUNCTION(BYTES, C_DigestFinal, (CK_ULONG session, CK_BYTE *out, CK_ULONG *out_length), (session, out, out_length))
FUNCTION(SESSION, C_SignInit, (CK_ULONG session, void *mechanism, CK_ULONG key), (session, mechanism, key))
FUNCTION(BYTES, C_Sign,
         (CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *out, CK_ULONG *out_length),
         (session, in, in_length, out, out_length))
FUNCTION(SESSION, C_SignUpdate, (CK_ULONG session, CK_BYTE *in, CK_ULONG in_length), (session, in, in_length))
FUNCTION(BYTES, C_SignFinal, (CK_ULONG session, CK_BYTE *out, CK_ULONG *out_length), (session, out, out_length))
FUNCTION(SESSION, C_SignRecoverInit, (CK_ULONG session, void *mechanism, CK_ULONG key), (session, mechanism, key))
FUNCTION(BYTES, C_SignRecover,
         (CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *out, CK_ULONG *out_length),
         (session, in, in_length, out, out_length))
FUNCTION(SESSION, C_VerifyInit, (CK_ULONG session, void *mechanism, CK_ULONG key), (session, mechanism, key))
FUNCTION(SESSION, C_Verify,
         (CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *signature, CK_ULONG length),
         (session, in, in_length, signature, length))
FUNCTION(SESSION, C_VerifyUpdate, (CK_ULONG session, CK_BYTE *in, CK_ULONG in_length), (session, in, in_length))
FUNCTION(SESSION, C_VerifyFinal, (CK_ULONG session, CK_BYTE *signature, CK_ULONG length),
         (session, signature, length))
FUNCTION(SESSION, C_VerifyRecoverInit, (CK_ULONG session, void *mechanism, CK_ULONG key), (session, mechanism, key))
FUNCTION(BYTES, C_VerifyRecover,
         (CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *out, CK_ULONG *out_length),
         (session, in, in_length, out, out_length))
FUNCTION(BYTES, C_DigestEncryptUpdate,
         (CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *out, CK_ULONG *out_length),
         (session, in, in_length, out, out_length))
FUNCTION(BYTES, C_DecryptDigestUpdate,
         (CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *out, CK_ULONG *out_length),
         (session, in, in_length, out, out_length))
FUNCTION(BYTES, C_SignEncryptUpdate,
         (CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *out, CK_ULONG *out_length),
         (session, in, in_length, out, out_length))
FUNCTION(BYTES, C_DecryptVerifyUpdate,
         (CK_ULONG session, CK_BYTE *in, CK_ULONG in_length, CK_BYTE *out, CK_ULONG *out_length),
         (session, in, in_length, out, out_length))
FUNCTION(SESSION, C_GenerateKey,
         (CK_ULONG session, void *mechanism, struct attribute *template, CK_ULONG count, CK_ULONG *key),
         (session, mechanism, template, count, key))
FUNCTION(SESSION, C_GenerateKeyPair,
         (CK_ULONG session, void *mechanism, struct attribute *public_template, CK_ULONG public_count,
          struct attribute *private_template, CK_ULONG private_count, CK_ULONG *public_key, CK_ULONG *private_key),
         (session, mechanism, public_template, public_count, private_template, private_count, public_key, private_key))
FUNCTION(BYTES, C_WrapKey,
         (CK_ULONG session, void *mechanism, CK_ULONG wrapping_key, CK_ULONG key, CK_BYTE *out, CK_ULONG *out_length),
         (session, mechanism, wrapping_key, key, out, out_length))
FUNCTION(SESSION, C_UnwrapKey,
         (CK_ULONG session, void *mechanism, CK_ULONG unwrapping_key, CK_BYTE *wrapped, CK_ULONG wrapped_length,
          struct attribute *template, CK_ULONG count, CK_ULONG *key),
         (session, mechanism, unwrapping_key, wrapped, wrapped_length, template, count, key))
FUNCTION(SESSION, C_DeriveKey,
         (CK_ULONG session, void *mechanism, CK_ULONG parent_key, struct attribute *template, CK_ULONG count,
          CK_ULONG *key),
         (session, mechanism, parent_key, template, count, key))
FUNCTION(SESSION, C_SeedRandom, (CK_ULONG session, CK_BYTE *seed, CK_ULONG length), (session, seed, length))
FUNCTION(RANDOM, C_GenerateRandom, (CK_ULONG session, CK_BYTE *out, CK_ULONG out_length),
         (session, out, out_length))
FUNCTION(SESSION, C_GetFunctionStatus, (CK_ULONG session), (session))
FUNCTION(SESSION, C_CancelFunction, (CK_ULONG session), (session))
FUNCTION(OWN, C_WaitForSlotEvent, (CK_ULONG flags, CK_ULONG *slot, void *reserved), (flags, slot, reserved))
