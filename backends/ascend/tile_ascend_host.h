// The launcher's half: cores of the device, memory on it, the status word, the launch. Everything is the host's; a kernel calls nothing of it.
//
// ACL functions as in CANN's "AscendCL API" reference (aclrtMalloc, aclrtMemsetAsync, aclrtMemcpy, aclrtGetDeviceInfo, aclrtGetSocName, ..).
#ifndef DSLC_TILE_ASCEND_HOST_H
#define DSLC_TILE_ASCEND_HOST_H

#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

#include "acl/acl.h"

#define DSLC_EXPORT __attribute__((visibility("default")))
// Only bisheng reads the three brackets: a compiler that never sees a launch may read this file. The value is 0; what the cores find wrong
// comes out when the stream is waited for.
#define DSLC_LAUNCH(kernel, blocks, stream, ...) (kernel<<<(uint32_t)(blocks), nullptr, static_cast<aclrtStream>(stream)>>>(__VA_ARGS__), 0)

// Statuses of a launcher: 0, positive ones of the kernel's own, minus the number of an ACL error (six digits at most), or one of these.
enum { no_memory = -1000000 };

static inline int32_t ascend_status(aclError error) { return -(int32_t)error; }

// ---------------------------------------------------------------- cores
// aclDevAttr numbers ACL_DEV_ATTR_AICORE_CORE_NUM and ACL_DEV_ATTR_VECTOR_CORE_NUM: CANN documentation, aclrtDevAttr. The function came after
// 8.1, so it is looked up; before that the name of the chip tells (CANN 8.1, platform_config/*.ini), and one that is unknown has the fewest.
typedef aclError (*GetDeviceInfo)(uint32_t device, int attribute, int64_t *value);

static inline int64_t cores_by_name(const char *chip) {
    const struct { const char *name; int64_t cores; } known[] = {
        {"Ascend910B1", 24}, {"Ascend910B2", 24}, {"Ascend910_9391", 24}, {"Ascend910_9392", 24}, {"Ascend910_9381", 24}, {"Ascend910_9382", 24},
        {"Ascend910B3", 20}, {"Ascend910B4", 20}, {"Ascend910_9372", 20}, {"Ascend910_9362", 20}};
    for (const auto &row : known)
        if (chip && !strncmp(chip, row.name, strlen(row.name)))
            return row.cores;
    return 20;
}

static inline int64_t device_cores(int attribute, int64_t per_core) {
    int32_t device = 0;
    int64_t found = 0;
    if (aclrtGetDevice(&device) != ACL_SUCCESS)
        return per_core;                                      // no device is set: the launch will say so
    void *const named = dlsym(RTLD_DEFAULT, "aclrtGetDeviceInfo");
    GetDeviceInfo ask = nullptr;
    memcpy(&ask, &named, sizeof ask);
    if (ask && ask((uint32_t)device, attribute, &found) == ACL_SUCCESS && found > 0)
        return found;
    return per_core * cores_by_name(aclrtGetSocName());
}

// Of the current device. A mixed kernel has one block for each AI core, one of vector work alone one for each vector core, of which an AI core has two.
static inline int64_t ai_cores() {
    static const int64_t known = device_cores(101, 1);
    return known;
}
static inline int64_t vector_cores() {
    static const int64_t known = device_cores(201, 2);
    return known;
}

// ---------------------------------------------------------------- memory
struct Kept {
    void *stream, *at;
    uint64_t bytes;
    int32_t device;
};
constexpr int most_kept = 64;                                 // streams at once; the one that comes after them takes the first one's place
static Kept kept[most_kept];
static int kept_next, kept_lock;

// Memory for this kernel's launches on one stream and device: launches of a stream follow each other, so that they can share it.
// It grows by waiting for the stream. Null where there is no memory, no device, or where nothing is asked for.
static inline void *keep(uint64_t bytes, void *stream, Kept *from, int *next) {
    int32_t device = 0;
    if (!bytes || aclrtGetDevice(&device) != ACL_SUCCESS)
        return nullptr;
    while (__atomic_exchange_n(&kept_lock, 1, __ATOMIC_ACQUIRE)) {
    }
    Kept *mine = nullptr;
    for (int i = 0; i < most_kept && !mine; ++i)
        if (from[i].at && from[i].stream == stream && from[i].device == device)
            mine = &from[i];
    if (!mine)
        mine = &from[(*next)++ % most_kept];
    if (mine->at && (mine->stream != stream || mine->device != device || mine->bytes < bytes)) {
        aclrtSynchronizeStream(static_cast<aclrtStream>(mine->stream));
        aclrtFree(mine->at);
        *mine = Kept();
    }
    if (!mine->at && aclrtMalloc(&mine->at, (size_t)bytes, ACL_MEM_MALLOC_HUGE_FIRST) == ACL_SUCCESS)
        mine->stream = stream, mine->bytes = bytes, mine->device = device;
    else if (!mine->bytes)
        mine->at = nullptr;
    void *const found = mine->at;
    __atomic_store_n(&kept_lock, 0, __ATOMIC_RELEASE);
    return found;
}

// Global memory through which the units of a core reach each other; nobody has written it.
static inline GM_ADDR workspace_at(uint64_t bytes, void *stream) { return (GM_ADDR)keep(bytes, stream, kept, &kept_next); }

// ---------------------------------------------------------------- what a kernel finds wrong
static Kept status_words[most_kept];
static int status_next;

// A word on the device, zeroed on the stream, for the kernel's last argument. Null where there is no memory.
static inline GM_ADDR status_word(void *stream) {
    const uint64_t line = 64;                                 // bytes of a line of the data cache: nothing else lies in the word's
    void *const word = keep(line, stream, status_words, &status_next);
    return word && aclrtMemsetAsync(word, line, 0, line, static_cast<aclrtStream>(stream)) == ACL_SUCCESS ? (GM_ADDR)word : nullptr;
}
// Waits for the stream; what the kernel left in the word.
static inline int32_t read_status(GM_ADDR word, void *stream) {
    int32_t status = 0;
    aclError error = aclrtSynchronizeStream(static_cast<aclrtStream>(stream));
    if (error == ACL_SUCCESS)
        error = aclrtMemcpy(&status, sizeof status, (void *)word, sizeof status, ACL_MEMCPY_DEVICE_TO_HOST);
    return error == ACL_SUCCESS ? status : ascend_status(error);
}

// ---------------------------------------------------------------- for the one that loads the library
// What a status below 0 means; waiting for a stream, where faults of a kernel come out; giving memory back, before ACL ends.
extern "C" DSLC_EXPORT inline __attribute__((used)) const char *dslc_ascend_error(int32_t status) {
    if (status == no_memory)
        return "there is no memory on the device for the kernel, or no device is set";
    const char *const said = aclGetRecentErrMsg();
    return said && *said ? said : "an ACL error";
}
extern "C" DSLC_EXPORT inline __attribute__((used)) int32_t dslc_ascend_wait(void *stream) {
    return ascend_status(aclrtSynchronizeStream(static_cast<aclrtStream>(stream)));
}
extern "C" DSLC_EXPORT inline __attribute__((used)) void dslc_ascend_release(void) {
    for (Kept *row = kept; row < kept + most_kept; ++row)
        if (row->at)
            aclrtFree(row->at), *row = Kept();
    for (Kept *row = status_words; row < status_words + most_kept; ++row)
        if (row->at)
            aclrtFree(row->at), *row = Kept();
}

#endif
