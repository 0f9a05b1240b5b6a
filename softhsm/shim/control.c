/* The control file: noticing a change, parsing it, and what it means for one call. README.md beside this file
 * describes the language. */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "shim.h"

#define MOST_RULES 64
#define MOST_WORDS 8

struct rule {
    enum { FAIL, DELAY, HANG } verb;
    enum function function;
    CK_RV answer;
    uint64_t delay_ns;
    uint64_t first;
    uint64_t count;
    _Atomic uint64_t calls; /* since this control was loaded, in this process */
};

struct stamp {
    uint64_t inode;
    int64_t size;
    int64_t seconds;
    int64_t nanoseconds;
};

struct control {
    struct stamp stamp;
    bool is_broken;
    bool token_is_gone;
    bool drops_always;
    uint64_t drop_serial;
    size_t rule_count;
    struct rule rules[MOST_RULES];
    /* A replaced control is kept, because a thread may still be reading it; there are few in a test. */
    struct control *previous;
};

static const char *control_path;
static struct control no_control = {.stamp = {.size = -1}};
static struct control *_Atomic current = &no_control;
static pthread_mutex_t reload_lock = PTHREAD_MUTEX_INITIALIZER;

static bool parse_number(const char *word, uint64_t least, uint64_t *number)
{
    char *end;
    if (word[0] < '0' || word[0] > '9')
        return false; /* strtoull would take a sign */
    *number = strtoull(word, &end, 0);
    return *end == '\0' && *number >= least;
}

static bool parse_milliseconds(const char *word, uint64_t *nanoseconds)
{
    char *end;
    double milliseconds = strtod(word, &end);
    if (end == word || *end != '\0' || !isfinite(milliseconds) || milliseconds < 0 || milliseconds > 3600e3)
        return false;
    *nanoseconds = (uint64_t)(milliseconds * 1e6);
    return true;
}

static bool parse_function(const char *word, enum function *function)
{
    if (strcmp(word, "*") == 0) {
        *function = EVERY_FUNCTION;
        return true;
    }
    for (*function = 0; *function < FUNCTION_COUNT; ++*function)
        if (strcmp(word, function_names[*function]) == 0)
            return true;
    return false;
}

static const char *parse_rule(struct control *c, char **words, size_t word_count)
{
    if (c->rule_count == MOST_RULES)
        return "too many rules";
    struct rule *rule = &c->rules[c->rule_count];
    size_t next = 3;
    if (strcmp(words[0], "fail") == 0) {
        rule->verb = FAIL;
        if (word_count < 3 || !parse_number(words[2], 1, &rule->answer) || rule->answer > 0xffffffffUL)
            return "`fail` takes a function and a return value from 1 to 0xffffffff";
    } else if (strcmp(words[0], "delay") == 0) {
        rule->verb = DELAY;
        if (word_count < 3 || !parse_milliseconds(words[2], &rule->delay_ns))
            return "`delay` takes a function and 0 to 3600000 milliseconds";
    } else if (strcmp(words[0], "hang") == 0) {
        rule->verb = HANG;
        next = 2;
        if (word_count < 2)
            return "`hang` takes a function";
    } else {
        return "unknown word";
    }
    if (!parse_function(words[1], &rule->function))
        return "unknown function";
    rule->first = 1;
    rule->count = UINT64_MAX;
    for (; next < word_count; next += 2) {
        uint64_t *field = strcmp(words[next], "from") == 0    ? &rule->first
                          : strcmp(words[next], "count") == 0 ? &rule->count
                                                              : NULL;
        if (field == NULL || next + 1 == word_count || !parse_number(words[next + 1], 1, field))
            return "expected `from N` or `count N`, N at least 1";
    }
    c->rule_count++;
    return NULL;
}

/* Returns what is wrong with the line, or NULL. */
static const char *parse_line(struct control *c, char *line)
{
    char *words[MOST_WORDS];
    char *rest;
    size_t word_count = 0;
    line[strcspn(line, "#")] = '\0';
    for (char *word = strtok_r(line, " \t\r\n", &rest); word != NULL; word = strtok_r(NULL, " \t\r\n", &rest)) {
        if (word_count == MOST_WORDS)
            return "too many words";
        words[word_count++] = word;
    }
    if (word_count == 0)
        return NULL;
    if (strcmp(words[0], "gone") == 0) {
        c->token_is_gone = true;
        return word_count == 1 ? NULL : "`gone` stands alone";
    }
    if (strcmp(words[0], "drop-sessions") == 0) {
        if (word_count == 1)
            c->drops_always = true;
        else if (word_count > 2 || !parse_number(words[1], 1, &c->drop_serial))
            return "`drop-sessions` takes at most one serial number, at least 1";
        return NULL;
    }
    return parse_rule(c, words, word_count);
}

static struct stamp stamp_of(const struct stat *status)
{
    return (struct stamp){(uint64_t)status->st_ino, status->st_size, status->st_mtim.tv_sec,
                          status->st_mtim.tv_nsec};
}

/* A file that is missing has a stamp of zeros. */
static struct stamp current_stamp(void)
{
    struct stat status;
    return stat(control_path, &status) == 0 ? stamp_of(&status) : (struct stamp){0};
}

static bool is_same_stamp(const struct stamp *a, const struct stamp *b)
{
    return a->inode == b->inode && a->size == b->size && a->seconds == b->seconds &&
           a->nanoseconds == b->nanoseconds;
}

static void parse_control(struct control *c)
{
    struct stat status;
    FILE *file = fopen(control_path, "re");
    if (file == NULL || fstat(fileno(file), &status) != 0) {
        complain("cannot read FAULTSHIM_CONTROL %s: every call fails", control_path);
        c->is_broken = true; /* the stamp stays all zeros, as that of a missing file */
    } else {
        c->stamp = stamp_of(&status);
        char *line = NULL;
        size_t room = 0;
        for (int number = 1; getline(&line, &room, file) >= 0; number++) {
            const char *complaint = parse_line(c, line);
            if (complaint != NULL) {
                complain("%s, line %d: %s: every call fails", control_path, number, complaint);
                c->is_broken = true;
            }
        }
        free(line);
    }
    if (file != NULL)
        fclose(file);
}

/* Called with reload_lock held. */
static struct control *load_control(struct control *old)
{
    struct control *c = calloc(1, sizeof *c);
    if (c == NULL) {
        complain("out of memory");
        abort();
    }
    c->previous = old;
    parse_control(c);
    if (c->is_broken || c->drop_serial == 0)
        c->drop_serial = old->drop_serial;
    if (c->is_broken) {
        /* What the file meant is unknown, so the next good one is compared with the last good one. */
        c->token_is_gone = old->token_is_gone;
    } else if (c->drops_always || c->drop_serial != old->drop_serial ||
               (old->token_is_gone && !c->token_is_gone)) {
        drop_sessions();
    }
    /* Only now: until the sessions are dropped, other threads wait for reload_lock in refresh(), so busy
     * callers cannot starve the write lock. */
    atomic_store(&current, c);
    return c;
}

static struct control *refresh(void)
{
    struct control *c = atomic_load(&current);
    if (control_path == NULL)
        return c;
    struct stamp stamp = current_stamp();
    if (is_same_stamp(&c->stamp, &stamp))
        return c;
    pthread_mutex_lock(&reload_lock);
    /* Look again: another thread may have loaded the file since, and loading it twice would start the counts
     * afresh and drop the sessions twice. */
    c = atomic_load(&current);
    stamp = current_stamp();
    if (!is_same_stamp(&c->stamp, &stamp))
        c = load_control(c);
    pthread_mutex_unlock(&reload_lock);
    return c;
}

struct verdict {
    bool hangs;
    uint64_t delay_ns;
    CK_RV answer;
};

static bool concerns_library(enum function function)
{
    return function <= F_C_GetFunctionList;
}

static bool is_meant(const struct rule *rule, enum function function)
{
    return rule->function == function || (rule->function == EVERY_FUNCTION && !concerns_library(function));
}

static CK_RV answer_when_gone(enum function function)
{
    if (function == F_C_GetSlotList)
        return NO_SLOTS;
    if (function == F_C_GetSlotInfo || function == F_C_GetTokenInfo)
        return CKR_TOKEN_NOT_PRESENT;
    return concerns_library(function) ? CKR_OK : CKR_DEVICE_ERROR;
}

/* Counts the call in every rule that concerns it. */
static struct verdict judge(struct control *c, enum function function)
{
    struct verdict verdict = {.answer = CKR_OK};
    if (c->is_broken) {
        verdict.answer = CKR_FUNCTION_FAILED;
        return verdict;
    }
    for (size_t i = 0; i < c->rule_count; i++) {
        struct rule *rule = &c->rules[i];
        if (!is_meant(rule, function))
            continue;
        uint64_t call = atomic_fetch_add(&rule->calls, 1) + 1;
        if (call < rule->first || call - rule->first >= rule->count)
            continue;
        if (rule->verb == HANG)
            verdict.hangs = true;
        else if (rule->verb == DELAY)
            verdict.delay_ns += rule->delay_ns;
        else if (verdict.answer == CKR_OK)
            verdict.answer = rule->answer;
    }
    if (verdict.answer == CKR_OK && c->token_is_gone)
        verdict.answer = answer_when_gone(function);
    return verdict;
}

static bool still_hangs(const struct control *c, enum function function)
{
    for (size_t i = 0; !c->is_broken && i < c->rule_count; i++)
        if (c->rules[i].verb == HANG && is_meant(&c->rules[i], function))
            return true;
    return false;
}

static void sleep_for(uint64_t nanoseconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    nanoseconds += (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(nanoseconds / 1000000000U);
    until.tv_nsec = (long)(nanoseconds % 1000000000U);
    /* An absolute time, so that a signal cannot shorten the delay. */
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
        ;
}

void use_control(const char *path)
{
    control_path = path;
}

CK_RV obey_control(enum function function)
{
    struct control *c = refresh();
    struct verdict verdict = judge(c, function);
    if (verdict.hangs) {
        while (still_hangs(c, function)) {
            sleep_for(10000000);
            c = refresh();
        }
        verdict = judge(c, function); /* the file that ended the hang decides how the call goes on */
    }
    if (verdict.delay_ns > 0)
        sleep_for(verdict.delay_ns);
    return verdict.answer;
}
