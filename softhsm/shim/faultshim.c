/* A PKCS#11 module that stands in front of a real one and fails on demand. README.md beside this file
 * describes the environment variables, the control file, the statistics file and the record.
 *
 * A call goes: count it, obey the control file, then, under a read lock, check the session's generation
 * and call the real module. Dropping all sessions takes the write lock: closing a session that another
 * thread is using crashes SoftHSM.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim.h"

/* Protected: should the real module or a preloaded library export the same names, the shim's table must
 * still name the shim's own functions. */
#define EXPORT __attribute__((visibility("protected")))

struct function_list {
    struct version version;
#define FUNCTION(kind, name, parameters, arguments) CK_RV(*name) parameters;
#include "functions.h"
#undef FUNCTION
};

const char *const function_names[FUNCTION_COUNT] = {
#define FUNCTION(kind, name, parameters, arguments) #name,
#include "functions.h"
#undef FUNCTION
};

#define FUNCTION(kind, name, parameters, arguments) EXPORT CK_RV name parameters;
#include "functions.h"
#undef FUNCTION

static struct function_list *real;
static int record_file = -1;
static atomic_bool record_is_incomplete;

void complain(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "faultshim: %s\n", text);
}

/* ---- statistics: one file of 64-bit counters, shared by all processes that name it ---- */

struct statistics {
    _Atomic uint64_t version;
    _Atomic uint64_t calls[FUNCTION_COUNT];
    _Atomic uint64_t sessions_open;
    _Atomic uint64_t sessions_most;
    _Atomic uint64_t sessions_encrypting;
};

static struct statistics unshared;
static struct statistics *statistics = &unshared;

static bool share_statistics(const char *path)
{
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *memory = MAP_FAILED;
    if (file >= 0 && ftruncate(file, sizeof(struct statistics)) == 0)
        memory = mmap(NULL, sizeof(struct statistics), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0)
        close(file); /* the mapping stays */
    if (memory == MAP_FAILED) {
        complain("cannot map FAULTSHIM_STATS %s", path);
        return false;
    }
    statistics = memory;
    statistics->version = 1;
    return true;
}

/* ---- the record: every byte string that the token hands out ---- */

static void record(enum function function, const CK_BYTE *bytes, CK_ULONG length)
{
    static const char digits[] = "0123456789abcdef";
    if (record_file < 0)
        return;
    size_t room = 2 * length + 64;
    char *line = malloc(room);
    ssize_t written = -1;
    size_t end = 0;
    if (line != NULL) {
        end = (size_t)snprintf(line, room, "%s %lu ", function_names[function], length);
        for (CK_ULONG i = 0; i < length; i++) {
            line[end++] = digits[bytes[i] >> 4];
            line[end++] = digits[bytes[i] & 15];
        }
        line[end++] = '\n';
        /* One write to a file opened for appending: lines of other threads and processes stay whole. */
        written = write(record_file, line, end);
        free(line);
    }
    /* A record with a gap would prove what is not true, so from here on nothing works. */
    if ((written < 0 || (size_t)written != end) && !atomic_exchange(&record_is_incomplete, true))
        complain("cannot write FAULTSHIM_RECORD: every call fails from now on");
}

static void record_answer(enum function function, CK_RV rv, const CK_BYTE *bytes, const CK_ULONG *length)
{
    if (rv == CKR_OK && bytes != NULL && length != NULL)
        record(function, bytes, *length);
}

static void record_attributes(CK_RV rv, const struct attribute *template, CK_ULONG count)
{
    /* These three refusals still fill the attributes that could be read (PKCS#11 2.40, C_GetAttributeValue). */
    if (rv != CKR_OK && rv != CKR_ATTRIBUTE_SENSITIVE && rv != CKR_ATTRIBUTE_TYPE_INVALID &&
        rv != CKR_BUFFER_TOO_SMALL)
        return;
    for (CK_ULONG i = 0; i < count; i++) {
        const struct attribute *a = &template[i];
        if (a->value == NULL || a->length == CK_UNAVAILABLE_INFORMATION)
            continue;
        if (a->type == CKA_WRAP_TEMPLATE || a->type == CKA_UNWRAP_TEMPLATE || a->type == CKA_DERIVE_TEMPLATE)
            record_attributes(rv, a->value, a->length / sizeof(struct attribute));
        else
            record(F_C_GetAttributeValue, a->value, a->length);
    }
}

/* ---- the sessions of this process ---- */

/* The application sees a real handle plus the generation in the upper half. A drop starts a generation, so
 * an old handle stays invalid even when the real module gives the same number again. Or, on demand, it sees the
 * smallest number that is free, as with a token that counts from 1 again when it has restarted. */
#define GENERATION_SHIFT 32
#define MOST_SESSIONS 4096
#define ANY (~0UL)
_Static_assert(sizeof(CK_ULONG) == 8, "the upper half of a session handle holds its generation");

struct session {
    CK_ULONG handle; /* the real module's */
    CK_ULONG number; /* the application's */
    CK_ULONG slot;
    bool has_encrypted;
};

/* Read lock: a call into the real module. Write lock: dropping sessions. */
static pthread_rwlock_t token_lock = PTHREAD_RWLOCK_INITIALIZER;
static CK_ULONG generation; /* guarded by token_lock */

static bool numbers_start_again; /* never changes after start() */

static pthread_mutex_t sessions_lock = PTHREAD_MUTEX_INITIALIZER;
static struct session sessions[MOST_SESSIONS];
static size_t session_count;

/* Called with sessions_lock held. */
static size_t find_number(CK_ULONG number)
{
    size_t i = 0;
    while (i < session_count && sessions[i].number != number)
        i++;
    return i;
}

static CK_ULONG new_number(CK_ULONG handle)
{
    CK_ULONG number = 1;
    if (!numbers_start_again)
        return handle + (generation << GENERATION_SHIFT);
    while (find_number(number) < session_count)
        number++;
    return number;
}

/* Turns the application's number into the real module's; false for one that is no session's any more. */
static bool translate_session(CK_ULONG *session)
{
    bool is_open = *session >> GENERATION_SHIFT == generation;
    if (!numbers_start_again) {
        *session -= generation << GENERATION_SHIFT;
        return is_open;
    }
    pthread_mutex_lock(&sessions_lock);
    size_t i = find_number(*session);
    is_open = i < session_count;
    if (is_open)
        *session = sessions[i].handle;
    pthread_mutex_unlock(&sessions_lock);
    return is_open;
}

/* `session`: the real module's handle; becomes the application's number. */
static bool remember_session(CK_ULONG *session, CK_ULONG slot)
{
    pthread_mutex_lock(&sessions_lock);
    bool fits = session_count < MOST_SESSIONS;
    if (fits) {
        CK_ULONG handle = *session;
        *session = new_number(handle);
        sessions[session_count++] = (struct session){.handle = handle, .number = *session, .slot = slot};
        uint64_t open = atomic_fetch_add(&statistics->sessions_open, 1) + 1;
        uint64_t most = statistics->sessions_most;
        while (most < open && !atomic_compare_exchange_weak(&statistics->sessions_most, &most, open))
            ;
    }
    pthread_mutex_unlock(&sessions_lock);
    return fits;
}

static void forget_sessions(CK_RV closing, CK_ULONG handle, CK_ULONG slot)
{
    if (closing != CKR_OK)
        return;
    pthread_mutex_lock(&sessions_lock);
    for (size_t i = session_count; i-- > 0;) {
        if ((handle == ANY || sessions[i].handle == handle) && (slot == ANY || sessions[i].slot == slot)) {
            sessions[i] = sessions[--session_count];
            atomic_fetch_sub(&statistics->sessions_open, 1);
        }
    }
    pthread_mutex_unlock(&sessions_lock);
}

static void note_encryption(CK_ULONG handle)
{
    pthread_mutex_lock(&sessions_lock);
    for (size_t i = 0; i < session_count; i++) {
        if (sessions[i].handle == handle && !sessions[i].has_encrypted) {
            sessions[i].has_encrypted = true;
            atomic_fetch_add(&statistics->sessions_encrypting, 1);
        }
    }
    pthread_mutex_unlock(&sessions_lock);
}

void drop_sessions(void)
{
    pthread_rwlock_wrlock(&token_lock);
    if (session_count > 0)
        generation++;
    while (session_count > 0) {
        CK_ULONG slot = sessions[0].slot;
        CK_RV rv = real->C_CloseAllSessions(slot);
        if (rv != CKR_OK)
            complain("dropping the sessions of slot %lu: C_CloseAllSessions answered 0x%lx", slot, rv);
        forget_sessions(CKR_OK, ANY, slot);
    }
    pthread_rwlock_unlock(&token_lock);
}

/* ---- the way in and the way out of every call ---- */

static void start(void)
{
    const char *module = getenv("FAULTSHIM_MODULE");
    const char *statistics_path = getenv("FAULTSHIM_STATS");
    const char *record_path = getenv("FAULTSHIM_RECORD");
    CK_RV (*get_list)(struct function_list **) = NULL;
    struct function_list *list = NULL;
    if (module == NULL) {
        complain("FAULTSHIM_MODULE does not name the real module");
        return;
    }
    void *library = dlopen(module, RTLD_NOW | RTLD_LOCAL);
    if (library != NULL)
        *(void **)&get_list = dlsym(library, "C_GetFunctionList");
    if (get_list == NULL) {
        complain("FAULTSHIM_MODULE: %s", dlerror());
        return;
    }
    if (get_list == C_GetFunctionList || get_list(&list) != CKR_OK || list == NULL) {
        complain("FAULTSHIM_MODULE %s gives no function list", module);
        return;
    }
    if (statistics_path != NULL && !share_statistics(statistics_path))
        return;
    if (record_path != NULL) {
        record_file = open(record_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (record_file < 0) {
            complain("cannot open FAULTSHIM_RECORD %s", record_path);
            return;
        }
    }
    numbers_start_again = getenv("FAULTSHIM_NUMBERS_START_AGAIN") != NULL;
    use_control(getenv("FAULTSHIM_CONTROL"));
    real = list; /* last: without it every call fails */
}

static CK_RV announce(enum function function)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
    if (real == NULL)
        return CKR_GENERAL_ERROR;
    atomic_fetch_add(&statistics->calls[function], 1);
    CK_RV rv = obey_control(function);
    return atomic_load(&record_is_incomplete) ? CKR_FUNCTION_FAILED : rv;
}

/* CKR_OK: the caller may call the real module, and must leave() afterwards. `session` may be NULL; it
 * becomes the real module's handle. */
static CK_RV enter(enum function function, CK_ULONG *session)
{
    CK_RV rv = announce(function);
    if (rv != CKR_OK)
        return rv;
    pthread_rwlock_rdlock(&token_lock);
    if (session != NULL) {
        if (!translate_session(session)) {
            pthread_rwlock_unlock(&token_lock);
            return CKR_SESSION_HANDLE_INVALID;
        }
        if (function == F_C_Encrypt)
            note_encryption(*session);
    }
    return CKR_OK;
}

static CK_RV leave(CK_RV rv)
{
    pthread_rwlock_unlock(&token_lock);
    return rv;
}

/* Shared by every pass-through: `afterwards` runs with the token's answer in `rv`. */
#define PASS(name, parameters, arguments, session_pointer, afterwards) \
    CK_RV name parameters \
    { \
        CK_RV rv = enter(F_##name, session_pointer); \
        if (rv != CKR_OK) \
            return rv; \
        rv = real->name arguments; \
        afterwards; \
        return leave(rv); \
    }
#define PASS_PLAIN(name, p, a) PASS(name, p, a, NULL, )
#define PASS_SESSION(name, p, a) PASS(name, p, a, &session, )
#define PASS_BYTES(name, p, a) PASS(name, p, a, &session, record_answer(F_##name, rv, out, out_length))
#define PASS_RANDOM(name, p, a) PASS(name, p, a, &session, record_answer(F_##name, rv, out, &out_length))
#define PASS_ATTRIBUTES(name, p, a) PASS(name, p, a, &session, record_attributes(rv, template, count))
#define PASS_CLOSE(name, p, a) PASS(name, p, a, &session, forget_sessions(rv, session, ANY))
#define PASS_CLOSE_SLOT(name, p, a) PASS(name, p, a, NULL, forget_sessions(rv, ANY, slot))
#define PASS_CLOSE_ALL(name, p, a) PASS(name, p, a, NULL, forget_sessions(rv, ANY, ANY))
#define PASS_OWN(name, p, a)
#define FUNCTION(kind, name, parameters, arguments) PASS_##kind(name, parameters, arguments)
#include "functions.h"
#undef FUNCTION

CK_RV C_GetFunctionList(struct function_list **list)
{
    static struct function_list own = {
        .version = {2, 40},
#define FUNCTION(kind, name, parameters, arguments) .name = name,
#include "functions.h"
#undef FUNCTION
    };
    if (list == NULL)
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = announce(F_C_GetFunctionList);
    if (rv == CKR_OK)
        *list = &own;
    return rv;
}

CK_RV C_GetSlotList(CK_BBOOL present, CK_ULONG *slots, CK_ULONG *count)
{
    CK_RV rv = enter(F_C_GetSlotList, NULL);
    if (rv == NO_SLOTS) {
        if (count == NULL)
            return CKR_ARGUMENTS_BAD;
        *count = 0;
        return CKR_OK;
    }
    return rv == CKR_OK ? leave(real->C_GetSlotList(present, slots, count)) : rv;
}

CK_RV C_OpenSession(CK_ULONG slot, CK_ULONG flags, void *application, void *notify, CK_ULONG *session)
{
    CK_RV rv = enter(F_C_OpenSession, NULL);
    if (rv != CKR_OK)
        return rv;
    rv = real->C_OpenSession(slot, flags, application, notify, session);
    if (rv == CKR_OK) {
        if (*session >> GENERATION_SHIFT != 0 || !remember_session(session, slot)) {
            complain("session handle 0x%lx is too large, or %d sessions are open", *session, MOST_SESSIONS);
            real->C_CloseSession(*session);
            return leave(CKR_SESSION_COUNT);
        }
    }
    return leave(rv);
}

CK_RV C_WaitForSlotEvent(CK_ULONG flags, CK_ULONG *slot, void *reserved)
{
    /* Without the lock: it may wait for ever, and it uses no session. */
    CK_RV rv = announce(F_C_WaitForSlotEvent);
    return rv == CKR_OK ? real->C_WaitForSlotEvent(flags, slot, reserved) : rv;
}
