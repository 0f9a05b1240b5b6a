/* What the two halves of the shim know of each other: the functions' numbers and names, and the control. */
#ifndef FAULTSHIM_SHIM_H
#define FAULTSHIM_SHIM_H

#include "cryptoki.h"

/* The process under test must see nothing of the shim but the C_ functions. */
#pragma GCC visibility push(hidden)

enum function {
#define FUNCTION(kind, name, parameters, arguments) F_##name,
#include "functions.h"
#undef FUNCTION
    FUNCTION_COUNT,
    EVERY_FUNCTION, /* `*` in the control file */
};

/* Returned by obey_control for C_GetSlotList of a token that is gone; no caller ever sees it. */
#define NO_SLOTS (~0UL)

extern const char *const function_names[FUNCTION_COUNT];

void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Closes every session of this process and makes its handles invalid; control.c decides when. */
void drop_sessions(void);

/* `path` NULL: no faults. To be called once, before any obey_control(). */
void use_control(const char *path);

/* Waits as long as the control file asks, and returns CKR_OK when the call may go on to the token, else the
 * answer to give. Thread-safe; no lock may be held. */
CK_RV obey_control(enum function function);

#pragma GCC visibility pop

#endif
