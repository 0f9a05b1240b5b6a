/* The few PKCS#11 types and codes that the fault shim needs (OASIS PKCS#11 2.40, base specification).
 *
 * Templates, mechanisms and info structures only pass through, so they stay `void *`: no system header
 * is needed to build the shim.
 */
#ifndef FAULTSHIM_CRYPTOKI_H
#define FAULTSHIM_CRYPTOKI_H

typedef unsigned char CK_BYTE;
typedef unsigned char CK_BBOOL;
typedef unsigned long CK_ULONG;
typedef CK_ULONG CK_RV;

struct version {
    CK_BYTE major;
    CK_BYTE minor;
};

struct attribute {
    CK_ULONG type;
    void *value;
    CK_ULONG length;
};

#define CK_UNAVAILABLE_INFORMATION (~0UL)

/* Attributes whose value is a template of its own: CKF_ARRAY_ATTRIBUTE and WRAP, UNWRAP, DERIVE. */
#define CKA_WRAP_TEMPLATE 0x40000211UL
#define CKA_UNWRAP_TEMPLATE 0x40000212UL
#define CKA_DERIVE_TEMPLATE 0x40000213UL

#define CKR_OK 0x00UL
#define CKR_GENERAL_ERROR 0x05UL
#define CKR_FUNCTION_FAILED 0x06UL
#define CKR_ARGUMENTS_BAD 0x07UL
#define CKR_ATTRIBUTE_SENSITIVE 0x11UL
#define CKR_ATTRIBUTE_TYPE_INVALID 0x12UL
#define CKR_DEVICE_ERROR 0x30UL
#define CKR_SESSION_COUNT 0xB1UL
#define CKR_SESSION_HANDLE_INVALID 0xB3UL
#define CKR_TOKEN_NOT_PRESENT 0xE0UL
#define CKR_BUFFER_TOO_SMALL 0x150UL

#endif
