// Workers with a negative element report; the status keeps one of the numbers.
#include "tile_hip.h"
struct report_failure_arguments { const void *a, *b; void *c; index_t n; };

KERNEL(64, 1) void report_failure_programs(PARAMETER report_failure_arguments arguments) {
    if ((i32)global<const i32>(arguments.a)[worker()] < 0)
        fail((i32 *)arguments.c, 7);
    wave_sync();
}
extern "C" DSLC_EXPORT int32_t launch_report_failure(const report_failure_arguments *arguments, void *stream) {
    return launch(report_failure_programs, 1, 64, 0, stream, *arguments);
}
