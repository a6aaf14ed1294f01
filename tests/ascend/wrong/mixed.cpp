// A cube core and its two vector cores.
#define TYPE KERNEL_TYPE_MIX_AIC_1_2
#include "case.h"

static Nd2NzParams rows() {
    Nd2NzParams p;
    p.ndNum = 1, p.nValue = 16, p.dValue = 16, p.srcDValue = 16, p.dstNzC0Stride = 16;
    return p;
}
// Each vector core writes 8 of 16 rows of b.
static void vector_half(GM_ADDR b) {
    auto x = ub<half>(0, 128);
    Duplicate(x, (half)1.0f, 128);
    PASS(V_MTE3, 0);
    DataCopy(global<half>(b)[GetSubBlockIdx() * 128], x, 128);
}

KERNEL(right_crossing) {
    if (ASCEND_IS_AIV) {
        vector_half(b);
        CrossCoreSetFlag<2, PIPE_MTE3>(0);
        CrossCoreWaitFlag<2, PIPE_MTE3>(1);
        PipeBarrier<PIPE_ALL>();
        vector_half(b);
    } else {
        CrossCoreWaitFlag<2, PIPE_MTE2>(0);
        DataCopy(l1<half>(0, 256), global<half>(b), rows());
        CrossCoreSetFlag<2, PIPE_MTE2>(1);
    }
}
KERNEL(no_flag_between_cores) {
    if (ASCEND_IS_AIV) {
        auto x = ub<half>(0, 256);
        Duplicate(x, (half)1.0f, 256);
        PASS(V_MTE3, 0);
        if (GetSubBlockIdx() == 0) DataCopy(global<half>(c), x, 256);  // expect race
    } else DataCopy(l1<half>(0, 256), global<half>(c), rows());  // expect race
}
KERNEL(overwritten_before_it_is_read) {
    if (ASCEND_IS_AIV) {
        auto x = ub<half>(0, 256);
        Duplicate(x, (half)1.0f, 256);
        PASS(V_MTE3, 0);
        if (GetSubBlockIdx() == 0) DataCopy(global<half>(c), x, 256);
        CrossCoreSetFlag<2, PIPE_MTE3>(0);
        PipeBarrier<PIPE_MTE3>();
        if (GetSubBlockIdx() == 0) DataCopy(global<half>(c), x, 256);  // expect race
    } else {
        CrossCoreWaitFlag<2, PIPE_MTE2>(0);
        DataCopy(l1<half>(0, 256), global<half>(c), rows());  // expect race
    }
}
KERNEL(set_by_another_pipe_than_writes) {
    if (ASCEND_IS_AIV) {
        auto x = ub<half>(0, 256);
        Duplicate(x, (half)1.0f, 256);
        PASS(V_MTE3, 0);
        if (GetSubBlockIdx() == 0) DataCopy(global<half>(c), x, 256);  // expect race
        CrossCoreSetFlag<2, PIPE_V>(0);
    } else {
        CrossCoreWaitFlag<2, PIPE_MTE2>(0);
        DataCopy(l1<half>(0, 256), global<half>(c), rows());  // expect race
    }
}
KERNEL(sixteen_sets) {
    if (ASCEND_IS_AIC)
        for (int i = 0; i < 16; ++i) CrossCoreSetFlag<2, PIPE_FIX>(0);  // expect cross-core
}
KERNEL(a_set_too_many) {
    if (ASCEND_IS_AIV) {
        CrossCoreWaitFlag<2, PIPE_MTE2>(0);
    } else {
        CrossCoreSetFlag<2, PIPE_FIX>(0);
        CrossCoreSetFlag<2, PIPE_FIX>(0);  // expect cross-core
    }
}
KERNEL(set_by_the_scalar_unit) {
    CrossCoreSetFlag<2, PIPE_S>(0);  // expect cross-core
}
KERNEL(flag_11) {
    CrossCoreSetFlag<2, PIPE_MTE2>(11);  // expect cross-core
}
KERNEL(one_vector_core_never_sets) {
    if (ASCEND_IS_AIV) {
        if (GetSubBlockIdx() == 0) CrossCoreSetFlag<2, PIPE_MTE3>(0);
    } else CrossCoreWaitFlag<2, PIPE_MTE2>(0);  // expect deadlock
}
KERNEL(product_of_a_vector_core) {
    if (ASCEND_IS_AIV) LocalTensor<half>(TPosition::A2, 0, 256);  // expect core
}

// Every vector core writes its 8 elements; after the flags each reads those of another.
static void mine(GM_ADDR c) {
    auto x = ub<int32_t>(0, 8);
    Duplicate(x, (int32_t)GetBlockIdx(), 8);
    PASS(V_MTE3, 0);
    DataCopy(global<int32_t>(c)[GetBlockIdx() * 8], x, 8);
}
static void anothers(GM_ADDR c, int64_t of, int64_t to) {
    DataCopy(ub<int32_t>(32, 8), global<int32_t>(c)[of * 8], 8);
    PASS(MTE2_MTE3, 0);
    DataCopy(global<int32_t>(c)[to * 8], ub<int32_t>(32, 8), 8);
}
KERNEL(right_all_vector_cores) {  // blocks 3
    if (ASCEND_IS_AIC) return;
    mine(c);
    CrossCoreSetFlag<0, PIPE_MTE3>(3);
    CrossCoreWaitFlag<0, PIPE_MTE2>(3);
    anothers(c, (GetBlockIdx() + 1) % 6, GetBlockIdx() + 6);
}
KERNEL(right_the_other_vector_core) {  // blocks 2
    if (ASCEND_IS_AIC) return;
    mine(c);
    CrossCoreSetFlag<1, PIPE_MTE3>(4);
    CrossCoreWaitFlag<1>(4);
    anothers(c, GetBlockIdx() ^ 1, GetBlockIdx() + 6);
}
KERNEL(right_sync_all) {  // blocks 3
    if (ASCEND_IS_AIV) mine(c);
    SyncAll();
    if (ASCEND_IS_AIV) anothers(c, (GetBlockIdx() + 1) % 6, GetBlockIdx() + 6);
}
KERNEL(right_sync_all_of_both_kinds) {  // blocks 2
    if (ASCEND_IS_AIV) mine(c);
    SyncAll<false>();
    if (ASCEND_IS_AIC) DataCopy(l1<int32_t>(0, 32), global<int32_t>(c), 32);
}
KERNEL(the_other_ai_core_is_not_awaited) {  // blocks 2
    if (ASCEND_IS_AIC) return;
    auto x = ub<int32_t>(0, 16);
    Duplicate(x, 1, 8);
    PASS(V_MTE3, 0);
    DataCopy(global<int32_t>(c)[GetBlockIdx() * 8], x, 8);  // expect race
    CrossCoreSetFlag<1, PIPE_MTE3>(4);
    CrossCoreWaitFlag<1, PIPE_MTE2>(4);
    DataCopy(x[8], global<int32_t>(c)[(GetBlockIdx() ^ 2) * 8], 8);  // expect race
}
KERNEL(one_core_stays_away) {
    if (ASCEND_IS_AIV) {
        if (GetBlockIdx() != 1) {
            CrossCoreSetFlag<0, PIPE_MTE3>(3);
            CrossCoreWaitFlag<0>(3);  // expect deadlock
        }
    }
}
KERNEL(one_core_sets_alone) {
    if (ASCEND_IS_AIV)
        if (GetSubBlockIdx() == 1) CrossCoreSetFlag<1, PIPE_MTE3>(3);  // expect cross-core
}
KERNEL(mode_3) {
    CrossCoreSetFlag<3, PIPE_MTE3>(0);  // expect cross-core
}
