// Vector cores. After a wrong line stands what the emulator must say of it; `blocks N` after a kernel's name: that many cores.
#define TYPE KERNEL_TYPE_AIV_ONLY
#include "case.h"

KERNEL(right_add) {
    auto x = ub<float>(0, 64), y = ub<float>(256, 64);
    DataCopy(x, global<float>(a), 64);
    PASS(MTE2_V, 0);
    Adds(y, x, 1.0f, 64);
    PipeBarrier<PIPE_V>();
    Add(y, y, x, 64);
    PASS(V_MTE3, 0);
    DataCopy(global<float>(c), y, 64);
}
KERNEL(right_two_slots) {
    auto x = ub<float>(0, 128);
    SetFlag<HardEvent::V_MTE2>(0);
    SetFlag<HardEvent::V_MTE2>(1);
    for (int i = 0; i < 6; ++i) {
        WaitFlag<HardEvent::V_MTE2>(i % 2);
        DataCopy(x[i % 2 * 64], global<float>(a)[i * 64], 64);
        PASS(MTE2_V, i % 2);
        Adds(x[i % 2 * 64], x[i % 2 * 64], 1.0f, 64);
        PASS(V_MTE3, 0);
        DataCopy(global<float>(c)[i * 64], x[i % 2 * 64], 64);
        PASS(MTE3_V, 0);
        SetFlag<HardEvent::V_MTE2>(i % 2);
    }
    WaitFlag<HardEvent::V_MTE2>(0);
    WaitFlag<HardEvent::V_MTE2>(1);
}
KERNEL(right_scalar) {
    auto x = ub<float>(0, 64);
    Duplicate(x, 2.0f, 64);
    PASS(V_S, 0);
    x.SetValue(3, x.GetValue(2) + 1.0f);
    PASS(S_V, 0);
    Adds(x, x, 1.0f, 64);
    PASS(V_MTE3, 0);
    DataCopy(global<float>(c), x, 64);
}
KERNEL(right_atomic) {  // blocks 3
    auto x = ub<float>(0, 64);
    Duplicate(x, 1.0f, 64);
    PASS(V_MTE3, 0);
    SetAtomicAdd<float>();
    DataCopy(global<float>(c), x, 64);
    DataCopy(global<float>(c), x, 64);
    SetAtomicNone();
}
KERNEL(right_cached) {
    auto x = ub<int32_t>(0, 8);
    Duplicate(x, 5, 8);
    PASS(V_MTE3, 0);
    DataCopy(global<int32_t>(c), x, 8);
    PipeBarrier<PIPE_ALL>();
    DataCacheCleanAndInvalid<int32_t, CacheLine::ENTIRE_DATA_CACHE, DcciDst::CACHELINE_OUT>(global<int32_t>(c));
    global<int32_t>(c).SetValue(8, global<int32_t>(c).GetValue(1));
    DataCacheCleanAndInvalid<int32_t, CacheLine::ENTIRE_DATA_CACHE, DcciDst::CACHELINE_OUT>(global<int32_t>(c));
}

KERNEL(load_is_not_awaited) {
    auto x = ub<float>(0, 64), y = ub<float>(256, 64);
    DataCopy(x, global<float>(a), 64);  // expect race
    Adds(y, x, 1.0f, 64);  // expect race
}
KERNEL(store_does_not_wait) {
    auto x = ub<float>(0, 64);
    Duplicate(x, 1.0f, 64);  // expect race
    DataCopy(global<float>(c), x, 64);  // expect race
}
KERNEL(no_barrier_of_the_vector_pipe) {
    auto x = ub<float>(0, 64);
    Duplicate(x, 1.0f, 64);  // expect race
    Adds(x, x, 1.0f, 64);  // expect race
}
KERNEL(write_after_read_on_the_vector_pipe) {
    auto x = ub<float>(0, 64), y = ub<float>(256, 64);
    Duplicate(x, 1.0f, 64);
    PipeBarrier<PIPE_V>();
    Adds(y, x, 1.0f, 64);  // expect race
    Duplicate(x, 2.0f, 64);  // expect race
}
KERNEL(two_loads_to_one_place) {
    auto x = ub<float>(0, 64);
    DataCopy(x, global<float>(a), 64);  // expect race
    DataCopy(x[8], global<float>(a), 8);  // expect race
}
KERNEL(two_stores_to_one_place) {
    auto x = ub<float>(0, 64);
    Duplicate(x, 1.0f, 64);
    PASS(V_MTE3, 0);
    DataCopy(global<float>(c), x, 64);  // expect race
    DataCopy(global<float>(c)[56], x, 8);  // expect race
}
KERNEL(load_overtakes_a_reader) {
    auto x = ub<float>(0, 64), y = ub<float>(256, 64);
    DataCopy(x, global<float>(a), 64);
    PASS(MTE2_V, 0);
    Adds(y, x, 1.0f, 64);  // expect race
    PipeBarrier<PIPE_MTE2>();
    DataCopy(x, global<float>(a)[64], 64);  // expect race
}
KERNEL(vector_overtakes_a_store) {
    auto x = ub<float>(0, 64);
    Duplicate(x, 1.0f, 64);
    PASS(V_MTE3, 0);
    DataCopy(global<float>(c), x, 64);  // expect race
    PipeBarrier<PIPE_V>();
    Duplicate(x, 2.0f, 64);  // expect race
}
KERNEL(flag_before_its_instruction) {
    auto x = ub<float>(0, 64), y = ub<float>(256, 64);
    SetFlag<HardEvent::MTE2_V>(0);
    DataCopy(x, global<float>(a), 64);  // expect race
    WaitFlag<HardEvent::MTE2_V>(0);
    Adds(y, x, 1.0f, 64);  // expect race
}
KERNEL(scalar_reads_at_once) {
    auto x = ub<float>(0, 64);
    DataCopy(x, global<float>(a), 64);
    PASS(MTE2_V, 0);
    PipeBarrier<PIPE_ALL>();
    Adds(x, x, 1.0f, 64);  // expect race late
    x.SetValue(0, 1.0f);  // expect race late
    PipeBarrier<PIPE_ALL>();
}
KERNEL(cores_write_one_place) {  // blocks 2
    auto x = ub<float>(0, 64);
    Duplicate(x, 1.0f, 64);
    PASS(V_MTE3, 0);
    DataCopy(global<float>(c)[GetBlockIdx() * 8], x, 64);  // expect race twice
}
KERNEL(atomic_meets_a_plain_store) {  // blocks 2
    auto x = ub<float>(0, 8);
    Duplicate(x, 1.0f, 8);
    PASS(V_MTE3, 0);
    if (GetBlockIdx() == 1) {
        SetAtomicAdd<float>();
        DataCopy(global<float>(c), x, 8);  // expect race
        SetAtomicNone();
    } else DataCopy(global<float>(c), x, 8);  // expect race
}

KERNEL(one_store_names_an_element_twice) {
    auto x = ub<float>(0, 8);
    Duplicate(x, 1.0f, 8);
    PASS(V_MTE3, 0);
    DataCopyExtParams p;
    p.blockLen = 4;
    dslc_emulator::Distinct distinct;
    for (int i = 0; i < 3; ++i) {
        DataCopyPad(global<float>(c)[i % 2], x, p);  // expect twice
        PipeBarrier<PIPE_MTE3>();
    }
}
KERNEL(right_stores_of_one_element) {
    auto x = ub<float>(0, 8);
    Duplicate(x, 1.0f, 8);
    PASS(V_MTE3, 0);
    DataCopyExtParams p;
    p.blockLen = 4;
    for (int i = 0; i < 2; ++i) {
        dslc_emulator::Distinct distinct;
        for (int k = 0; k < 2; ++k) DataCopyPad(global<float>(c)[k], x, p);
        PipeBarrier<PIPE_MTE3>();
    }
}
KERNEL(never_written_ub) {
    auto x = ub<float>(0, 64);
    Adds(x[0], x[0], 1.0f, 64);  // expect uninitialised
}
KERNEL(tail_never_written) {
    auto x = ub<float>(0, 64);
    DataCopyExtParams p;
    p.blockLen = 20;
    DataCopyPad(x, global<float>(a), p, DataCopyPadExtParams<float>());
    PASS(MTE2_V, 0);
    Adds(x, x, 1.0f, 8);  // expect uninitialised
}
KERNEL(never_written_workspace) {
    DataCopy(ub<float>(0, 8), global<float>(b), 8);  // expect uninitialised
}
KERNEL(added_to_what_nobody_cleared) {
    auto x = ub<float>(0, 8);
    Duplicate(x, 1.0f, 8);
    PASS(V_MTE3, 0);
    SetAtomicAdd<float>();
    DataCopy(global<float>(b), x, 8);  // expect uninitialised
}
KERNEL(past_the_end_of_a_tensor_in_gm) {
    DataCopy(ub<float>(0, 64), global<float>(a)[1020], 8);  // expect out of bounds
}
KERNEL(past_the_end_of_its_count) {
    Duplicate(ub<float>(0, 32), 1.0f, 40);  // expect out of bounds
}
KERNEL(strides_past_the_end_of_its_count) {
    Duplicate(ub<float>(0, 128), 1.0f, 64, 3, 1, 8);  // expect out of bounds
}
KERNEL(load_past_its_count) {
    DataCopy(ub<float>(0, 32), global<float>(a), 64);  // expect out of bounds
}
KERNEL(element_past_its_count) {
    ub<float>(0, 32).SetValue(32, 1.0f);  // expect out of bounds
}
KERNEL(gather_past_the_end) {
    auto x = ub<float>(0, 8), y = ub<float>(512, 8);
    auto at = ub<uint32_t>(1024, 8);
    Duplicate(x, 1.0f, 8);
    Duplicate(at, 256u * 1024u, 8);
    PipeBarrier<PIPE_V>();
    Gather(y, x, at, 0, 8);  // expect out of bounds
}
KERNEL(writes_what_it_only_reads) {
    auto x = ub<float>(0, 8);
    Duplicate(x, 1.0f, 8);
    PASS(V_MTE3, 0);
    DataCopy(global<float>(a), x, 8);  // expect out of bounds
}
KERNEL(misaligned_vector) {
    Duplicate(ub<float>(0, 64)[3], 1.0f, 8);  // expect alignment
}
KERNEL(misaligned_load) {
    DataCopy(ub<float>(0, 64)[1], global<float>(a), 8);  // expect alignment
}
KERNEL(more_than_ub) {
    auto x = ub<float>(0, 192 * 256 + 8);  // expect capacity
}
KERNEL(set_twice) {
    SetFlag<HardEvent::MTE2_V>(0);
    SetFlag<HardEvent::MTE2_V>(0);  // expect event
    PipeBarrier<PIPE_ALL>();
    WaitFlag<HardEvent::MTE2_V>(0);
    WaitFlag<HardEvent::MTE2_V>(0);
}
KERNEL(left_set) {
    SetFlag<HardEvent::MTE2_V>(0);  // expect event
}
KERNEL(event_8) {
    SetFlag<HardEvent::MTE2_V>(8);  // expect event
}
KERNEL(a_flag_of_the_other_kind_of_core) {
    SetFlag<HardEvent::MTE1_M>(0);  // expect event
}
KERNEL(nobody_sets) {
    WaitFlag<HardEvent::MTE2_V>(0);  // expect deadlock
}
KERNEL(the_scalar_unit_waits_for_ever) {
    WaitFlag<HardEvent::V_S>(0);  // expect deadlock
}
KERNEL(pipes_wait_for_each_other) {
    WaitFlag<HardEvent::V_MTE2>(0);  // expect deadlock
    SetFlag<HardEvent::MTE2_V>(0);
    WaitFlag<HardEvent::MTE2_V>(0);  // expect deadlock
    SetFlag<HardEvent::V_MTE2>(0);
}
KERNEL(barrier_of_the_cube) {
    PipeBarrier<PIPE_M>();  // expect core
}
KERNEL(l1_of_a_vector_core) {
    DataCopy(l1<half>(0, 64), global<half>(a), 64);  // expect core
}
KERNEL(cross_core_flag_without_a_cube_core) {
    CrossCoreSetFlag<2, PIPE_MTE3>(0);  // expect cross-core
}
KERNEL(repeat_256) {
    Duplicate(ub<float>(0, 32768), 1.0f, 64, 256, 1, 0);  // expect range
}
KERNEL(mask_65) {
    Duplicate(ub<float>(0, 128), 1.0f, 65, 1, 1, 8);  // expect range
}
KERNEL(stride_256) {
    Duplicate(ub<float>(0, 32768), 1.0f, 64, 2, 1, 256);  // expect range
}
KERNEL(compare_of_65) {
    auto x = ub<float>(0, 128);
    Duplicate(x, 1.0f, 128);
    PipeBarrier<PIPE_V>();
    Compare(ub<uint8_t>(1024, 32), x, x, CMPMODE::LT, 65);  // expect range
}
KERNEL(compare_of_integers) {
    auto x = ub<int32_t>(0, 64);
    Duplicate(x, 1, 64);
    PipeBarrier<PIPE_V>();
    Compare(ub<uint8_t>(1024, 32), x, x, CMPMODE::LT, 64);  // expect range
}
KERNEL(copy_of_12_bytes) {
    DataCopy(ub<float>(0, 64), global<float>(a), 3);  // expect range
}
KERNEL(blocks_4096) {
    DataCopyParams p;
    p.blockCount = 4096, p.blockLen = 1;
    DataCopy(ub<float>(0, 64), global<float>(a), p);  // expect range
}
KERNEL(stale_scalar_read) {
    auto x = ub<int32_t>(0, 8);
    Duplicate(x, 5, 8);
    PASS(V_MTE3, 0);
    DataCopy(global<int32_t>(c), x, 8);  // expect cache
    PipeBarrier<PIPE_ALL>();
    global<int32_t>(c).GetValue(1);  // expect cache
}
KERNEL(scalar_write_not_written_back) {
    global<int32_t>(c).SetValue(1, 5);  // expect cache
    PASS(S_MTE2, 0);
    DataCopy(ub<int32_t>(0, 8), global<int32_t>(c), 8);  // expect cache
}
KERNEL(no_barrier_at_the_end) {
    ends = false;
    auto x = ub<float>(0, 64);
    PipeBarrier<PIPE_ALL>();
    Duplicate(x, 1.0f, 64);  // expect end
}
KERNEL(row_longer_than_its_tensor) {
    DataCopyExtParams row;
    row.blockLen = 100;
    DataCopyPad(ub<float>(0, 24), global<float>(a), row, {});  // expect out of bounds
}
