// The launcher's half, emulated: the same functions as in backends/ascend/tile_ascend_host.h for cores that are emulated on this processor.
#ifndef DSLC_TILE_ASCEND_HOST_H
#define DSLC_TILE_ASCEND_HOST_H

#include <stdint.h>
#include <string.h>

#include "kernel_operator.h"

#ifndef DSLC_EXPORT
#define DSLC_EXPORT __attribute__((visibility("default")))
#endif
#define DSLC_LAUNCH(kernel, blocks, stream, ...) dslc_emulator::launch(#kernel, kernel, (int64_t)(blocks), __VA_ARGS__)

enum { no_memory = -1000000 };

// Of the emulated chip, or as many as the call asks for.
static inline int64_t ai_cores() { return dslc_emulator::ai_cores(); }
static inline int64_t vector_cores() { return 2 * dslc_emulator::ai_cores(); }

// Memory of this run: a range of its own, which nobody has written.
static inline GM_ADDR workspace_at(uint64_t bytes, void *) { return bytes ? (GM_ADDR)dslc_emulator::reserve("workspace", bytes, false) : nullptr; }

// The status is a range too, of one cache line, that the host has zeroed.
static inline GM_ADDR status_word(void *) {
    const uint64_t line = 64;
    return (GM_ADDR)memset(dslc_emulator::reserve("status", line, true), 0, line);
}
static inline int32_t read_status(GM_ADDR word, void *) {
    int32_t status = 0;
    memcpy(&status, (const void *)word, sizeof status);
    return status;
}

#endif
