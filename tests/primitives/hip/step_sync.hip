// Waves out of step: the first half writes a buffer while the second reads the other one, and they meet in different places.
#include "tile_hip.h"
struct step_sync_arguments { const void *a, *b; void *c; index_t n; };

KERNEL(256, 1) void step_sync_programs(PARAMETER step_sync_arguments arguments) {
    const Shared<u32> s = shared_at<u32>(0);
    const i32 i = worker() % 128;
    if (worker() < 128) {
        const u32 x = global<const u32>(arguments.a)[i];
        for (i32 turn = 0; turn < 6; ++turn) {
            s[turn % 2 * 128 + i] = x + (u32)turn;
            MEET_AFTER_WRITING();
        }
    } else {
        for (i32 turn = 0; turn < 6; ++turn) {
            MEET_BEFORE_READING();
            global<u32>(arguments.c)[turn * 128 + i] = s[turn % 2 * 128 + 127 - i];
        }
    }
}
extern "C" DSLC_EXPORT int32_t launch_step_sync(const step_sync_arguments *arguments, void *stream) {
    return launch(step_sync_programs, 1, 256, 1024, stream, *arguments);
}
