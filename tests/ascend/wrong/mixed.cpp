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
